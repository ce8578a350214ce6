//! The truth about how good a run was: decisions in their total order against what is known.
//!
//! An alert is a decision other than allow, a stop is a hold or block, transactions are ranked by
//! score. A transaction without a label counts as honest, and how many there are is shown. Labels
//! of events, accounts and groups judge apart, each in a [`View`] of their own.
//!
//! Memory is bounded by rules, labels and the accounts that were alerted, not by events.

mod accounts;
mod compare;
mod ids;
mod labels;
pub mod metrics;
mod read;
mod tally;
mod timeline;
mod view;

use serde::Serialize;

pub use accounts::{AccountFinding, AccountsTouched};
pub use compare::{
    AtBudget, CalibrationBin, Common, Comparison, TypologyFinding, WayDecision, WayDecisions,
    WayFinding,
};
pub use labels::{BadLabel, COLUMNS, COLUMNS_REQUIRED, Label, Labels, LabelsBuilder, Subject};
pub use tally::{Mix, Tally};
pub use timeline::{BINS_MAX, Bin, Timeline};
pub use view::{Caught, Detection, LabelUse, RuleTruth, Slice, View};

use crate::expr::Zone;
use crate::rules::file::Status;
use crate::score::Verdict;
use accounts::{Accounts, Act};
use compare::{Compared, Comparer};
use metrics::{Histogram, SCORE_MAX, ratio};
use timeline::{DAY, Days};
use view::{Seen, Viewer};

/// One decided transaction.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Its id; may be empty where no event is [labelled](Judge::labelled).
    pub event_id: &'a str,
    /// When it happened.
    pub event_time: i64,
    /// Who acts.
    pub account_id: &'a str,
    /// The group; empty if none, and may be where no group is labelled.
    pub group_id: &'a str,
    /// The money.
    pub amount_fen: i64,
    /// The decision.
    pub decision: Verdict,
    /// The floor that an enforced verdict on the account or group set.
    pub floor: Verdict,
    /// The score, 0..=1000.
    pub score: i64,
    /// The live rules that hit, as indices into the rules given to [`Judge::new`], each once.
    pub hits: &'a [u16],
    /// Which of the run's rules decided, where they changed: 0 for the first.
    pub epoch: usize,
    /// What rules and model say, each alone and together, where there is a model.
    pub ways: Option<WayDecisions>,
}

/// A rule, as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JudgedRule {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its title in Chinese; empty if it has none.
    pub title_zh: String,
    /// What a hit adds to the score.
    pub score: i64,
    /// Whether it decided: live if it ever was in the run, else shadow if it ever was.
    pub status: Status,
}

/// What the decision on a transaction would have been with other hits: asked without one of the
/// rules at a time, to see which alerts depend on it.
pub type Redecide = Box<dyn Fn(&Judged<'_>, &[u16]) -> Verdict + Send>;

/// From when, and by what clock, a run is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgeOptions {
    /// Transactions before this time warm up the features and are not judged.
    pub judge_from: i64,
    /// The offset of the policy's time zone, by which days are told apart.
    pub utc_offset_ms: i64,
}

impl JudgeOptions {
    /// Everything is judged, by the clock of `zone` as it stands on a winter's day: bins of a
    /// plot do not follow daylight saving.
    pub fn in_zone(zone: &Zone) -> Self {
        // 2024-01-01T00:00:00Z, so that the local midnight before it tells the offset.
        let new_year = 1_704_067_200_000;
        let behind = new_year - zone.day_start(new_year);
        // No zone is more than 14 hours ahead; a longer way back is that of a zone behind UTC.
        let ahead_max = 14 * 3_600_000;
        let utc_offset_ms = if behind > ahead_max { behind - DAY } else { behind };
        JudgeOptions { utc_offset_ms, ..JudgeOptions::default() }
    }
}

impl Default for JudgeOptions {
    /// Everything is judged, by the clock of Shanghai.
    fn default() -> Self {
        JudgeOptions { judge_from: i64::MIN, utc_offset_ms: 8 * 3_600_000 }
    }
}

/// What a rule did in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleFinding {
    /// The rule.
    #[serde(flatten)]
    pub rule: JudgedRule,
    /// Transactions that it hit.
    pub hits: Tally,
    /// Of these the alerts.
    pub alerts: u64,
    /// Alerts that no other rule hit.
    pub unique: u64,
    /// Alerts that would not be without this rule.
    pub marginal: u64,
}

/// How often two rules hit the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// Index of the one.
    pub a: u16,
    /// Index of the other, which is larger.
    pub b: u16,
    /// Transactions that both hit.
    pub both: u64,
}

/// How much work the alerts are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Workload {
    /// Decisions other than allow.
    pub alerts: u64,
    /// Accounts with an alert.
    pub accounts_alerted: u64,
    /// Of these with a hold or block.
    pub accounts_stopped: u64,
    /// Days with at least one transaction.
    pub days: u64,
    /// Alerts a day, on average over these.
    pub alerts_per_day: Option<f64>,
    /// The most alerts of one day.
    pub alerts_per_day_max: u64,
}

/// What the labels of each kind of subject say; none where the file has none of that kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Truth {
    /// By event labels.
    pub events: Option<View>,
    /// By account labels.
    pub accounts: Option<View>,
    /// By group labels.
    pub groups: Option<View>,
    /// Whether there is a labels file; it may hold no label.
    pub given: bool,
    /// Rows of the labels file about a subject that had one already, with the same label.
    pub repeated_labels: u64,
}

impl Truth {
    /// The views there are: those of events first, then accounts, then groups.
    pub fn views(&self) -> impl Iterator<Item = &View> {
        [&self.events, &self.accounts, &self.groups].into_iter().flatten()
    }
}

/// The judgement of a run: what goes into `metrics.json` and the reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// Transactions judged.
    pub transactions: u64,
    /// Transactions before the judged time.
    pub warmup: u64,
    /// Time of the first and the last judged transaction.
    pub span: Option<(i64, i64)>,
    /// What was decided.
    pub decided: Mix,
    /// How much work that is.
    pub workload: Workload,
    /// Each score that occurs and how many transactions got it.
    pub scores: Vec<(u16, u64)>,
    /// Rules, in the order of the rule set.
    pub rules: Vec<RuleFinding>,
    /// Pairs of rules that hit together.
    pub overlap: Vec<Overlap>,
    /// What happened when.
    pub timeline: Timeline,
    /// The accounts to look at first.
    pub top_accounts: Vec<AccountFinding>,
    /// What the labels say.
    pub truth: Truth,
    /// Rules and model compared, where there was a model.
    pub comparison: Option<Comparison>,
}

#[derive(Clone, Copy, Default)]
struct RuleCounts {
    hits: Tally,
    alerts: u64,
    unique: u64,
    marginal: u64,
}

/// What is looked up of a transaction before any of those that come with it is judged.
struct Met {
    account_hash: u64,
    /// By kind of subject: the label, and whether it says fraud.
    labels: [Option<(u32, bool)>; 3],
    /// Whether its account is known to be stopped.
    stopped: bool,
}

/// Judges transactions in total order.
pub struct Judge {
    rules: Vec<JudgedRule>,
    options: JudgeOptions,
    redecide: Redecide,
    viewers: [Option<Viewer>; 3],
    typologies: Vec<String>,
    roles: Vec<String>,
    labels_given: bool,
    repeated_labels: u64,
    warmup: u64,
    span: Option<(i64, i64)>,
    decided: Mix,
    scores: Histogram,
    counts: Vec<RuleCounts>,
    overlap: Vec<u64>,
    timeline: Timeline,
    days: Days,
    accounts: Accounts,
    comparer: Option<Comparer>,
    met: Vec<Met>,
    needed: Vec<u16>,
    others: Vec<u16>,
}

impl Judge {
    /// A judge of decisions made with `rules`.
    pub fn new(
        labels: Option<Labels>,
        rules: Vec<JudgedRule>,
        options: JudgeOptions,
        redecide: Redecide,
    ) -> Self {
        let labels_given = labels.is_some();
        let labels = labels.unwrap_or_default();
        let (typologies, roles) = (labels.typologies().to_vec(), labels.roles().to_vec());
        let repeated_labels = labels.repeated;
        let viewers = labels.sets.map(|set| {
            let (rules, typologies, roles) = (rules.len(), typologies.len(), roles.len());
            (!set.labels.is_empty())
                .then(|| Viewer::new(set, options.judge_from, rules, typologies, roles))
        });
        Judge {
            timeline: Timeline::new(rules.len(), options.utc_offset_ms),
            counts: vec![RuleCounts::default(); rules.len()],
            overlap: vec![0; rules.len() * rules.len()],
            rules,
            options,
            redecide,
            viewers,
            typologies,
            roles,
            labels_given,
            repeated_labels,
            warmup: 0,
            span: None,
            decided: Mix::default(),
            scores: Histogram::default(),
            days: Days::default(),
            accounts: Accounts::default(),
            comparer: None,
            met: Vec::new(),
            needed: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Whether there are labels of such subjects; else nobody asks for their ids.
    pub fn labelled(&self, subject: Subject) -> bool {
        self.viewers[subject as usize].is_some()
    }

    /// Judges the next transaction in total order.
    pub fn observe(&mut self, judged: &Judged<'_>) {
        self.observe_all(std::slice::from_ref(judged));
    }

    /// Judges the next transactions in total order. What is known of their accounts and labels is
    /// looked up before any is judged, as the waits for memory then overlap: a few at a time cost
    /// less than one by one, or all, of which the first are far away again when they are judged.
    pub fn observe_all(&mut self, transactions: &[Judged<'_>]) {
        let mut all_met = std::mem::take(&mut self.met);
        all_met.clear();
        all_met.extend(transactions.iter().map(|judged| self.meet(judged)));
        for (judged, met) in transactions.iter().zip(&all_met) {
            self.judge(judged, met);
        }
        self.met = all_met;
    }

    #[inline]
    fn meet(&mut self, judged: &Judged<'_>) -> Met {
        let account_hash = ids::hash(judged.account_id);
        let labels = self.find_labels(judged, account_hash);
        let stopped = self.accounts.look_ahead(account_hash, judged.account_id, judged.decision);
        Met { account_hash, labels, stopped }
    }

    fn judge(&mut self, judged: &Judged<'_>, met: &Met) {
        let &Met { account_hash, labels, stopped } = met;
        let fraud = |at: usize| matches!(labels[at], Some((_, true)));
        let first_truth = self.viewers.iter().position(Option::is_some);
        let fraud_bits = (0..3).fold(0, |bits, at| bits | u8::from(fraud(at)) << at);
        if judged.event_time < self.options.judge_from {
            self.warmup += 1;
            let stops = judged.decision >= Verdict::Hold;
            self.accounts.add_before(account_hash, judged.account_id, fraud_bits, stops);
            if judged.ways.is_some() && first_truth.is_some_and(fraud) {
                let typologies = self.typologies.len();
                let comparer = self.comparer.get_or_insert_with(|| Comparer::new(typologies));
                comparer.add_before(account_hash);
            }
            return;
        }
        let act = Act {
            verdict: judged.decision,
            score: judged.score.clamp(0, SCORE_MAX as i64) as u16,
            fen: judged.amount_fen,
            time: judged.event_time,
            fraud: fraud_bits,
        };
        let stopped_before = self.accounts.add(account_hash, judged.account_id, &act, stopped);
        let alert = judged.decision > Verdict::Allow;
        self.decided.add(judged.decision, judged.amount_fen, stopped_before);
        self.scores.add(judged.score);
        self.days.add(judged.event_time + self.options.utc_offset_ms, alert);
        let (first, last) = self.span.unwrap_or((judged.event_time, judged.event_time));
        self.span = Some((first.min(judged.event_time), last.max(judged.event_time)));
        self.timeline.add(
            judged.event_time,
            judged.decision,
            judged.amount_fen,
            judged.hits,
            first_truth.is_some_and(fraud),
        );
        self.add_hits(judged, alert);
        if let Some(ways) = &judged.ways {
            let label = first_truth.and_then(|at| labels[at]).filter(|(_, fraud)| *fraud);
            let viewer = first_truth.and_then(|at| self.viewers[at].as_ref());
            let typology = viewer.zip(label).and_then(|(viewer, (at, _))| viewer.typology(at));
            let (fen, fraud) = (judged.amount_fen, label.is_some());
            let compared = Compared { account_hash, fen, fraud, typology };
            let typologies = self.typologies.len();
            let comparer = self.comparer.get_or_insert_with(|| Comparer::new(typologies));
            comparer.add(&compared, ways);
        }
        let seen = Seen {
            verdict: judged.decision,
            score: judged.score,
            fen: judged.amount_fen,
            time: judged.event_time,
            stopped_before,
            hits: judged.hits,
            needed: &self.needed,
            lead: if alert { self.lead(judged.hits) } else { None },
        };
        for (viewer, label) in self.viewers.iter_mut().zip(labels) {
            if let Some(viewer) = viewer {
                viewer.add(label, &seen);
            }
        }
    }

    #[inline]
    fn find_labels(&mut self, judged: &Judged<'_>, account_hash: u64) -> [Option<(u32, bool)>; 3] {
        let [events, accounts, groups] = &mut self.viewers;
        let by_id = |viewer: &mut Viewer, id: &str| viewer.find(ids::hash(id), id);
        [
            events.as_mut().and_then(|viewer| by_id(viewer, judged.event_id)),
            accounts.as_mut().and_then(|viewer| viewer.find(account_hash, judged.account_id)),
            groups.as_mut().and_then(|viewer| by_id(viewer, judged.group_id)),
        ]
    }

    /// Of rules that hit the one of the highest score, the first in the rule set's order of equal ones.
    fn lead(&self, hits: &[u16]) -> Option<u16> {
        let place = |rule: &u16| (-self.rules[usize::from(*rule)].score, *rule);
        hits.iter().copied().min_by_key(place)
    }

    /// Counts the hits, and leaves in `needed` those without which there would be no alert.
    fn add_hits(&mut self, judged: &Judged<'_>, alert: bool) {
        self.needed.clear();
        let hits = judged.hits;
        for (at, &rule) in hits.iter().enumerate() {
            let row = usize::from(rule) * self.rules.len();
            for &other in &hits[at + 1..] {
                self.overlap[row + usize::from(other)] += 1;
            }
            let counts = &mut self.counts[usize::from(rule)];
            counts.hits.add(judged.amount_fen);
            if !alert {
                continue;
            }
            counts.alerts += 1;
            counts.unique += u64::from(hits.len() == 1);
            self.others.clear();
            self.others.extend(hits.iter().filter(|&&other| other != rule));
            if (self.redecide)(judged, &self.others) == Verdict::Allow {
                counts.marginal += 1;
                self.needed.push(rule);
            }
        }
    }

    /// The judgement of all that was observed.
    pub fn finish(self) -> Judgement {
        let first_truth = self.viewers.iter().position(Option::is_some);
        let rule_ids: Vec<&str> = self.rules.iter().map(|rule| rule.id.as_str()).collect();
        let mut views = [None, None, None];
        for (at, viewer) in self.viewers.into_iter().enumerate() {
            views[at] = viewer.map(|viewer| {
                viewer.finish(
                    Subject::ALL[at],
                    self.accounts.touched(1 << at),
                    &rule_ids,
                    &self.typologies,
                    &self.roles,
                )
            });
        }
        let subject = first_truth.map(|at| Subject::ALL[at]);
        // One that has only heard of the warm-up has nothing to compare.
        let judged = self.comparer.filter(|_| self.span.is_some());
        let comparison = judged.map(|held| held.finish(subject, &self.typologies));
        let [events, accounts, groups] = views;
        let overlap = pairs(&self.overlap, self.rules.len());
        let (accounts_alerted, accounts_stopped) = self.accounts.alerted();
        let alerts = self.decided.alerts().count;
        let rules = self.rules.into_iter().zip(self.counts).map(|(rule, counts)| RuleFinding {
            rule,
            hits: counts.hits,
            alerts: counts.alerts,
            unique: counts.unique,
            marginal: counts.marginal,
        });
        Judgement {
            transactions: self.decided.total().count,
            warmup: self.warmup,
            span: self.span,
            decided: self.decided,
            workload: Workload {
                alerts,
                accounts_alerted,
                accounts_stopped,
                days: self.days.len(),
                alerts_per_day: ratio(alerts, self.days.len()),
                alerts_per_day_max: self.days.alerts_max(),
            },
            scores: self.scores.bars().map(|(score, count)| (score as u16, count)).collect(),
            rules: rules.collect(),
            overlap,
            timeline: self.timeline,
            top_accounts: self.accounts.top(first_truth.map(|at| 1 << at)),
            truth: Truth {
                events,
                accounts,
                groups,
                given: self.labels_given,
                repeated_labels: self.repeated_labels,
            },
            comparison,
        }
    }
}

/// The pairs that occur; hits may come in any order, so both halves of the matrix are read.
fn pairs(matrix: &[u64], rules: usize) -> Vec<Overlap> {
    let mut pairs = Vec::new();
    for a in 0..rules {
        for b in a + 1..rules {
            let both = matrix[a * rules + b] + matrix[b * rules + a];
            if both > 0 {
                pairs.push(Overlap { a: a as u16, b: b as u16, both });
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests;
