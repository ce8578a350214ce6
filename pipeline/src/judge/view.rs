//! Judging by the labels of one kind of subject. An account label judges the transactions in
//! which the account acts, a group label those in the group, an event label that one.

use std::num::NonZeroU64;

use serde::Serialize;

use super::accounts::AccountsTouched;
use super::labels::{LabelSet, Subject};
use super::metrics::{
    Confusion, CurvePoint, Histogram, auc, average_precision, curve, quantile, ratio,
};
use super::tally::Mix;
use crate::score::Verdict;

/// How many labels that matched nothing are named.
const EXAMPLES_MAX: usize = 5;

/// What labels there are, and whether they met a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LabelUse {
    /// Subjects labelled fraud.
    pub fraud: u64,
    /// Subjects labelled honest.
    pub honest: u64,
    /// Labelled subjects of which a transaction was seen.
    pub matched: u64,
    /// Labelled subjects of which none was.
    pub unmatched: u64,
    /// The first few of these, in file order.
    pub unmatched_examples: Vec<String>,
}

/// How many labelled subjects of fraud were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Caught {
    /// Subjects labelled fraud of which a transaction was judged.
    pub subjects: u64,
    /// Of these with an alert.
    pub alerted: u64,
    /// Of these with a hold or block.
    pub stopped: u64,
}

/// Transactions of one typology, or one role.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slice {
    /// Its name; empty for fraud without one.
    pub name: String,
    /// Its transactions, what was decided on them, and their money.
    pub decided: Mix,
    /// Its subjects.
    pub caught: Caught,
    /// Of a typology: its alerts, of these and the honest ones that its rules lead to. An honest alert is
    /// of no typology; it counts for each by the share that this has of the frauds which the alert's
    /// leading rule, that of the highest score, leads to. Not counted are those of rules that lead to no
    /// fraud. Over all typologies the honest alerts add up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
}

/// How a rule did against truth. Unlabelled transactions count as honest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleTruth {
    /// The rule.
    pub id: String,
    /// Hits on fraud.
    pub fraud_hits: u64,
    /// The share of its hits that are fraud.
    pub precision: Option<f64>,
    /// Frauds with an alert that no other rule hit.
    pub unique: u64,
    /// Frauds that would lose their alert without this rule.
    pub marginal: u64,
    /// Honest transactions that would lose their alert without this rule.
    pub marginal_honest: u64,
}

/// How long fraud went on before the first alert: from when a label says that it could be seen.
///
/// Of accounts and groups only. A label of one transaction says of that one what it is, and no
/// alert on it comes earlier or later than the transaction: its time after the beginning of a
/// scheme is no time that anybody took to find the scheme.
///
/// Nor of those that could be seen before the warm-up's end: its alerts are not judged, and a time
/// to the first one after it is no time to the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detection {
    /// Subjects of fraud that say from when they could be seen, which is not in the warm-up.
    pub subjects: u64,
    /// Subjects that are left out, for they could be seen before the warm-up's end. They are counted
    /// in nothing else here, and have transactions after it like the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_warmup: Option<NonZeroU64>,
    /// Of the subjects with an alert from then on.
    pub detected: u64,
    /// Of these with an alert before then, which does not count as a detection.
    pub early: u64,
    /// Of these without any alert from then on. With the detected they are all that have an alert.
    pub early_only: u64,
    /// The median time to the first alert, over the detected.
    pub median_ms: Option<i64>,
    /// The 90th percentile of it.
    pub p90_ms: Option<i64>,
}

/// Everything that labels of one kind of subject say about a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// Of what the labels are.
    pub subject: Subject,
    /// The labels.
    pub labels: LabelUse,
    /// Transactions of fraud, and what was decided on them.
    pub fraud: Mix,
    /// Honest transactions, those without a label included.
    pub honest: Mix,
    /// Honest transactions that have no label.
    pub unlabelled: u64,
    /// Alerts against truth.
    pub confusion: Confusion,
    /// The share of alerts that are fraud.
    pub precision: Option<f64>,
    /// The share of fraud that is alerted.
    pub recall: Option<f64>,
    /// Their harmonic mean.
    pub f1: Option<f64>,
    /// The area under the ROC curve.
    pub auc: Option<f64>,
    /// Average precision.
    pub average_precision: Option<f64>,
    /// The share of transactions that are fraud: what a coin would reach as average precision.
    pub base_rate: Option<f64>,
    /// Labelled subjects found.
    pub caught: Caught,
    /// Accounts met by alerts.
    pub accounts: AccountsTouched,
    /// Rules, in the order of the rule set.
    pub rules: Vec<RuleTruth>,
    /// By kind of fraud, in order of first appearance in the labels.
    pub typologies: Vec<Slice>,
    /// By role, likewise.
    pub roles: Vec<Slice>,
    /// Time to detection; none by event labels, and where no label says from when it could be seen.
    pub detection: Option<Detection>,
    /// Each score that occurs: how many honest and how many frauds got it.
    pub scores: Vec<(u16, u64, u64)>,
    /// What each threshold would catch.
    pub curve: Vec<CurvePoint>,
}

/// A judged transaction, as far as truth is concerned.
pub(super) struct Seen<'a> {
    pub(super) verdict: Verdict,
    pub(super) score: i64,
    pub(super) fen: i64,
    pub(super) time: i64,
    pub(super) stopped_before: bool,
    pub(super) hits: &'a [u16],
    /// Of the hits, those without which there would be no alert.
    pub(super) needed: &'a [u16],
    /// Of the hits the one of the highest score; none where a model alone raised it.
    pub(super) lead: Option<u16>,
}

#[derive(Clone, Copy)]
struct SubjectState {
    matched: bool,
    judged: bool,
    alerted: bool,
    stopped: bool,
    early: bool,
    detected_at: i64,
}

const UNDETECTED: i64 = i64::MAX;

#[derive(Clone, Copy, Default)]
struct RuleCounts {
    fraud_hits: u64,
    honest_hits: u64,
    unique: u64,
    marginal: u64,
    marginal_honest: u64,
}

/// Adds up a [`View`].
pub(super) struct Viewer {
    set: LabelSet,
    /// Where the warm-up ends.
    judge_from: i64,
    states: Vec<SubjectState>,
    fraud: Mix,
    honest: Mix,
    fraud_scores: Histogram,
    honest_scores: Histogram,
    unlabelled: u64,
    rules: Vec<RuleCounts>,
    /// One a typology, then one for fraud without any; roles likewise.
    typologies: Vec<Mix>,
    roles: Vec<Mix>,
    led: Led,
}

/// Alerts by the rule that led to them, and by typology.
struct Led {
    /// As many as there are typologies, fraud without one, and honest transactions.
    columns: usize,
    /// A row a rule, then one for alerts without a rule.
    alerts: Vec<u64>,
}

impl Led {
    fn new(rules: usize, typologies: usize) -> Led {
        let columns = typologies + 2;
        Led { columns, alerts: vec![0; (rules + 1) * columns] }
    }

    /// Counts an alert on a fraud of the typology in this column, or on something honest.
    fn add(&mut self, lead: Option<u16>, fraud: Option<usize>) {
        let row = lead.map_or(self.alerts.len() / self.columns - 1, usize::from);
        self.alerts[row * self.columns + fraud.unwrap_or(self.columns - 1)] += 1;
    }

    /// The share of a typology's alerts that are fraud, see [`Slice::precision`].
    fn precision(&self, typology: usize) -> Option<f64> {
        let (mut found, mut honest) = (0, 0.0);
        for row in self.alerts.chunks_exact(self.columns) {
            let (of_honest, frauds) = row.split_last()?;
            let all: u64 = frauds.iter().sum();
            found += frauds[typology];
            honest += ratio(of_honest * frauds[typology], all).unwrap_or(0.0);
        }
        (found > 0).then(|| found as f64 / (found as f64 + honest))
    }
}

impl Viewer {
    pub(super) fn new(
        set: LabelSet,
        judge_from: i64,
        rules: usize,
        typologies: usize,
        roles: usize,
    ) -> Self {
        let state = SubjectState {
            matched: false,
            judged: false,
            alerted: false,
            stopped: false,
            early: false,
            detected_at: UNDETECTED,
        };
        Viewer {
            states: vec![state; set.labels.len()],
            set,
            judge_from,
            fraud: Mix::default(),
            honest: Mix::default(),
            fraud_scores: Histogram::default(),
            honest_scores: Histogram::default(),
            unlabelled: 0,
            rules: vec![RuleCounts::default(); rules],
            typologies: vec![Mix::default(); typologies + 1],
            roles: vec![Mix::default(); roles + 1],
            led: Led::new(rules, typologies),
        }
    }

    /// The label of a subject, if it has one, and whether it says fraud.
    #[inline]
    pub(super) fn find(&mut self, hash: u64, id: &str) -> Option<(u32, bool)> {
        let at = self.set.ids.find(hash, id)?;
        self.states[at as usize].matched = true;
        Some((at, self.set.labels[at as usize].fraud))
    }

    /// The typology of a labelled subject.
    pub(super) fn typology(&self, at: u32) -> Option<u16> {
        self.set.labels[at as usize].typology
    }

    #[inline]
    pub(super) fn add(&mut self, label: Option<(u32, bool)>, seen: &Seen<'_>) {
        if let Some((at, true)) = label {
            self.add_fraud(at as usize, seen);
            return;
        }
        self.unlabelled += u64::from(label.is_none());
        self.honest.add(seen.verdict, seen.fen, seen.stopped_before);
        self.honest_scores.add(seen.score);
        if seen.verdict > Verdict::Allow {
            self.led.add(seen.lead, None);
        }
        for &rule in seen.hits {
            self.rules[usize::from(rule)].honest_hits += 1;
        }
        for &rule in seen.needed {
            self.rules[usize::from(rule)].marginal_honest += 1;
        }
    }

    fn add_fraud(&mut self, at: usize, seen: &Seen<'_>) {
        let label = self.set.labels[at];
        self.fraud.add(seen.verdict, seen.fen, seen.stopped_before);
        self.fraud_scores.add(seen.score);
        let slices = [(&mut self.typologies, label.typology), (&mut self.roles, label.role)];
        for (mixes, name) in slices {
            let nameless = mixes.len() - 1;
            mixes[name.map_or(nameless, usize::from)].add(
                seen.verdict,
                seen.fen,
                seen.stopped_before,
            );
        }
        let alert = seen.verdict > Verdict::Allow;
        if alert {
            let nameless = self.typologies.len() - 1;
            self.led.add(seen.lead, Some(label.typology.map_or(nameless, usize::from)));
        }
        for &rule in seen.hits {
            let counts = &mut self.rules[usize::from(rule)];
            counts.fraud_hits += 1;
            counts.unique += u64::from(alert && seen.hits.len() == 1);
        }
        for &rule in seen.needed {
            self.rules[usize::from(rule)].marginal += 1;
        }
        let state = &mut self.states[at];
        state.judged = true;
        state.alerted |= alert;
        state.stopped |= seen.verdict >= Verdict::Hold;
        if let Some(from) = label.detectable_from.filter(|_| alert) {
            if seen.time < from {
                state.early = true;
            } else {
                state.detected_at = state.detected_at.min(seen.time);
            }
        }
    }

    /// The view; names come from the rule set and the labels.
    pub(super) fn finish(
        self,
        subject: Subject,
        accounts: AccountsTouched,
        rule_ids: &[&str],
        typologies: &[String],
        roles: &[String],
    ) -> View {
        let alerts = |mix: &Mix| mix.alerts().count;
        let confusion = Confusion {
            true_positives: alerts(&self.fraud),
            false_positives: alerts(&self.honest),
            false_negatives: self.fraud.allow.count,
            true_negatives: self.honest.allow.count,
        };
        let frauds = self.fraud.total().count;
        View {
            subject,
            labels: self.label_use(),
            fraud: self.fraud,
            honest: self.honest,
            unlabelled: self.unlabelled,
            confusion,
            precision: confusion.precision(),
            recall: confusion.recall(),
            f1: confusion.f1(),
            auc: auc(&self.fraud_scores, &self.honest_scores),
            average_precision: average_precision(&self.fraud_scores, &self.honest_scores),
            base_rate: ratio(frauds, frauds + self.honest.total().count),
            caught: self.caught(|_| true),
            accounts,
            rules: self.rules(rule_ids),
            typologies: self.slices(
                typologies,
                &self.typologies,
                |at| self.set.labels[at].typology,
                |typology| self.led.precision(typology),
            ),
            roles: self.slices(roles, &self.roles, |at| self.set.labels[at].role, |_| None),
            detection: (subject != Subject::Event).then(|| self.detection()).flatten(),
            scores: self.scores(),
            curve: curve(&self.fraud_scores, &self.honest_scores),
        }
    }

    fn label_use(&self) -> LabelUse {
        let fraud = self.set.labels.iter().filter(|label| label.fraud).count() as u64;
        let unmatched: Vec<usize> =
            (0..self.states.len()).filter(|&at| !self.states[at].matched).collect();
        let total = self.set.labels.len() as u64;
        LabelUse {
            fraud,
            honest: total - fraud,
            matched: total - unmatched.len() as u64,
            unmatched: unmatched.len() as u64,
            unmatched_examples: unmatched
                .iter()
                .take(EXAMPLES_MAX)
                .map(|&at| self.set.ids.get(at as u32).to_owned())
                .collect(),
        }
    }

    fn caught(&self, counts: impl Fn(usize) -> bool) -> Caught {
        let mut caught = Caught::default();
        for (at, state) in self.states.iter().enumerate() {
            if state.judged && counts(at) {
                caught.subjects += 1;
                caught.alerted += u64::from(state.alerted);
                caught.stopped += u64::from(state.stopped);
            }
        }
        caught
    }

    fn rules(&self, ids: &[&str]) -> Vec<RuleTruth> {
        let truth = |(id, counts): (&&str, &RuleCounts)| RuleTruth {
            id: (*id).to_owned(),
            fraud_hits: counts.fraud_hits,
            precision: ratio(counts.fraud_hits, counts.fraud_hits + counts.honest_hits),
            unique: counts.unique,
            marginal: counts.marginal,
            marginal_honest: counts.marginal_honest,
        };
        ids.iter().zip(&self.rules).map(truth).collect()
    }

    /// A row a name that has transactions, and one for fraud without a name if there is any.
    fn slices(
        &self,
        names: &[String],
        mixes: &[Mix],
        name_of: impl Fn(usize) -> Option<u16>,
        precision: impl Fn(usize) -> Option<f64>,
    ) -> Vec<Slice> {
        let row = |(number, decided): (usize, &Mix)| Slice {
            name: names.get(number).cloned().unwrap_or_default(),
            decided: *decided,
            caught: self.caught(|at| name_of(at).map_or(names.len(), usize::from) == number),
            precision: precision(number),
        };
        let met = |(_, mix): &(usize, &Mix)| mix.total().count > 0;
        mixes.iter().enumerate().filter(met).map(row).collect()
    }

    fn detection(&self) -> Option<Detection> {
        let mut detection = Detection {
            subjects: 0,
            in_warmup: None,
            detected: 0,
            early: 0,
            early_only: 0,
            median_ms: None,
            p90_ms: None,
        };
        let (mut delays, mut in_warmup) = (Vec::new(), 0);
        for (label, state) in self.set.labels.iter().zip(&self.states) {
            let Some(from) = label.detectable_from.filter(|_| label.fraud && state.judged) else {
                continue;
            };
            if from < self.judge_from {
                in_warmup += 1;
                continue;
            }
            detection.subjects += 1;
            detection.early += u64::from(state.early);
            if state.detected_at != UNDETECTED {
                delays.push(state.detected_at - from);
            } else {
                detection.early_only += u64::from(state.early);
            }
        }
        delays.sort_unstable();
        detection.detected = delays.len() as u64;
        detection.median_ms = quantile(&delays, 50);
        detection.p90_ms = quantile(&delays, 90);
        detection.in_warmup = NonZeroU64::new(in_warmup);
        (detection.subjects + in_warmup > 0).then_some(detection)
    }

    fn scores(&self) -> Vec<(u16, u64, u64)> {
        let both = |score: usize| (self.honest_scores.at(score), self.fraud_scores.at(score));
        (0..=super::metrics::SCORE_MAX)
            .map(|score| (score as u16, both(score).0, both(score).1))
            .filter(|(_, honest, fraud)| honest + fraud > 0)
            .collect()
    }
}
