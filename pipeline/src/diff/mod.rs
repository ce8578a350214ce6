//! What other rules would have decided on the events of a run, beside what was decided.
//!
//! Where the new rules read nothing but what the run has stored under the same definition, its features
//! are scored anew, without the dataflow; else everything is decided again, as a backtest does it. The
//! result is the same either way.

mod rescore;
mod shown;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{Array, AsArray as _, RecordBatch};
use serde::Serialize;

pub use self::shown::terminal;

pub(crate) use self::rescore::{Obstacle, obstacle, rescore};

use crate::dataflow::Options;
use crate::diagnostic::{Failure, Message};
use crate::finished::FinishedRun;
use crate::finished::tables::{column, ints, read_reasons, strings, times};
use crate::judge::Judgement;
use crate::rules;
use crate::run;
use crate::source::Progress;

/// Transactions that are shown of those whose decision is another.
const EXAMPLES_MAX: usize = 10;
/// Columns of `decisions.parquet` that are compared, or shown.
const COLUMNS: [&str; 8] = [
    "event_id",
    "event_time",
    "account_id",
    "amount_fen",
    "decision",
    "score",
    "reasons",
    "outcome",
];
/// Decisions from mild to strict.
const DECISIONS: [&str; 4] = ["allow", "review", "hold", "block"];

/// How the new rules came to their decisions.
pub(crate) const RESCORED: &str = "rescored";
pub(crate) const DECIDED_AGAIN: &str = "decided_again";

/// Two sets of rules on the same events.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Diff {
    /// The hashes of the rules.
    pub rules_hash: Both<String>,
    /// `rescored` from stored features, or `decided_again`.
    pub method: &'static str,
    /// Why stored features were not enough; empty where they were.
    pub because: String,
    #[serde(skip)]
    because_zh: String,
    /// Transactions.
    pub transactions: u64,
    /// Of these with another decision.
    pub changed: u64,
    /// How many went from one decision to which, those that stayed included.
    pub decisions: Vec<Moved>,
    /// Decisions other than allow.
    pub alerts: Change,
    /// Hits by rule, of rules that hit anything on either side; and by verdict, how many decisions it
    /// raised.
    pub rules: Vec<RuleChange>,
    /// What metrics.json says of each.
    pub judgement: Both<serde_json::Value>,
    /// The transactions that moved furthest, the largest first.
    pub examples: Vec<Example>,
}

/// What was, and what would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Both<T> {
    /// In the run.
    pub before: T,
    /// With the new rules.
    pub after: T,
}

/// Transactions that were decided one way and would be another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The decisions.
    #[serde(flatten)]
    pub decision: Both<&'static str>,
    /// How many.
    pub transactions: u64,
    /// Their amounts, in fen.
    pub amount_fen: i64,
}

/// How many there were and would be, how many are new, and how many are no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// In the run.
    pub before: u64,
    /// With the new rules.
    pub after: u64,
    /// Only with the new rules.
    pub gained: u64,
    /// Only in the run.
    pub lost: u64,
}

impl Change {
    fn add(&mut self, before: bool, after: bool) {
        self.before += u64::from(before);
        self.after += u64::from(after);
        self.gained += u64::from(after && !before);
        self.lost += u64::from(before && !after);
    }
}

/// The transactions that a rule hit, or that a verdict raised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleChange {
    /// The rule, or the verdict that raised a decision.
    pub rule: String,
    /// How many.
    #[serde(flatten)]
    pub hits: Change,
}

/// One transaction whose decision is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The transaction.
    pub event_id: String,
    /// When it happened, ms.
    pub event_time: i64,
    /// Who acts.
    pub account_id: String,
    /// What moves, in fen.
    pub amount_fen: i64,
    /// What was decided.
    pub decision: Both<&'static str>,
    /// The scores.
    pub score: Both<i64>,
    /// Rules that hit only before, and only after, and verdicts that raised it only then.
    pub rules: Both<Vec<String>>,
}

/// A decision by the new rules.
struct After<'a> {
    decision: &'static str,
    score: i64,
    /// The rules that hit, and what else stands among its reasons.
    reasons: Vec<&'a str>,
}

/// Decides the events of a run by the rules of a directory, and compares. `work` is where everything
/// is decided again if need be, and `options` how that is cut up, on which nothing depends.
///
/// # Errors
/// When the rules are wrong, the run's inputs have changed or its rules changed on the way (exit 2),
/// or `progress` says to stop.
pub fn diff(
    run: &FinishedRun,
    directory: &Path,
    work: &Path,
    options: Options,
    (progress, interrupted): (&dyn Progress, Arc<AtomicBool>),
) -> Result<Diff, Failure> {
    check_whole(run)?;
    let schema = Arc::new(run.schema()?);
    let new = rules::load(Some(directory), &schema)?;
    let hash = new.rules.hash.to_hex().to_string();
    let obstacle = obstacle(run, &new, directory)?;
    let Side { tally, judgement } = match &obstacle {
        None => {
            let events = run.events(progress)?;
            // One set of rules is the work of one thread.
            let mut sides = rescore(run, &events, vec![new], 1, progress)?;
            sides.remove(0)
        }
        Some(_) => decide_again(run, directory, work, options, (progress, interrupted))?,
    };
    let after = as_json(run, &judgement)?;
    let before = run.metrics().get("judgement").cloned().unwrap_or_default();
    let (because, because_zh) = match obstacle {
        None => (String::new(), String::new()),
        Some(Obstacle(Message { en, zh })) => (en, zh),
    };
    Ok(Diff {
        rules_hash: Both { before: run.rules_hash().to_owned(), after: hash },
        method: if because.is_empty() { RESCORED } else { DECIDED_AGAIN },
        because,
        because_zh,
        judgement: Both { before, after },
        ..tally.finish()
    })
}

/// Whether one set of rules decided on all of a run, so that another can be set beside it, and what
/// was said of that is still there.
pub(crate) fn check_whole(run: &FinishedRun) -> Result<(), Failure> {
    if run.partial() {
        return Err(Failure::Usage(Message::new(
            "this run did not come to its end: what other rules would have done to its end cannot be set \
             beside it",
            "该运行未运行到底：无法与另一套规则运行到底的结果相比较",
        )));
    }
    if run.has_changes() {
        let (mut en, mut zh) = (
            "the rules or the model of this run changed on the way: what other rules would have done from \
             its beginning to its end cannot be set beside it"
                .to_owned(),
            "该运行途中更换过规则或模型：无法与另一套规则从头到尾的结果相比较".to_owned(),
        );
        if let Some(day) = unchanged_day(run) {
            let day = day.directory().display();
            en.push_str(&format!(
                "; beside a single day with one set of rules it can, such as {day}"
            ));
            zh.push_str(&format!("；可以与规则未变的单日相比较，例如 {day}"));
        }
        return Err(Failure::Usage(Message::new(en, zh)));
    }
    run.check_written("metrics.json")
}

/// Of days, the last one beside which other rules can be set: one that the rules of today decided, so
/// that its features can be scored anew, or with which the stream began.
fn unchanged_day(run: &FinishedRun) -> Option<&FinishedRun> {
    let schema = Arc::new(run.schema().ok()?);
    let now = rules::load(run.rules(), &schema).ok().map(|now| now.rules.hash.to_hex());
    let scored = |day: &&FinishedRun| {
        !day.has_model() && now.as_ref().is_some_and(|now| now.as_str() == day.rules_hash())
    };
    let one = || run.days().iter().rev().filter(|day| !day.has_changes());
    one().find(scored).or_else(|| one().find(|day| day.goes_on().is_none()))
}

/// What came of other rules, beside a run.
pub(crate) struct Side {
    pub(crate) tally: Tally,
    pub(crate) judgement: Judgement,
}

/// Decides everything again by the rules of a directory, into another one.
pub(crate) fn decide_again(
    run: &FinishedRun,
    directory: &Path,
    work: &Path,
    options: Options,
    (progress, interrupted): (&dyn Progress, Arc<AtomicBool>),
) -> Result<Side, Failure> {
    let mut request = run.request(work.to_owned(), options)?;
    request.rules = Some(directory.to_owned());
    request.labels = run.labels_path().map(Path::to_owned);
    let outcome = match run::run(&request, progress, interrupted) {
        Err(Failure::Interrupted) => return Err(Failure::Stopped),
        outcome => outcome?,
    };
    if outcome.facts.partial {
        return Err(Failure::Stopped);
    }
    let mut tally = Tally::default();
    tally.compare(run, &FinishedRun::open(work)?)?;
    Ok(Side { tally, judgement: outcome.judgement })
}

/// As `metrics.json` has it.
pub(crate) fn as_json(
    run: &FinishedRun,
    judgement: &Judgement,
) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(judgement).map_err(|error| damaged(run, &error.to_string()))
}

fn damaged(run: &FinishedRun, error: &str) -> Failure {
    let path = run.directory().display();
    Failure::Usage(Message::new(
        format!("cannot read the decisions and features of {path}: {error}"),
        format!("无法读取 {path} 的决策与特征：{error}"),
    ))
}

/// What is counted as transactions are compared one by one.
#[derive(Default)]
pub(crate) struct Tally {
    transactions: u64,
    moved: BTreeMap<(usize, usize), (u64, i64)>,
    alerts: Change,
    rules: BTreeMap<String, Change>,
    examples: Vec<Example>,
}

impl Tally {
    /// Whether a column of the decisions is compared.
    fn reads(name: &str) -> bool {
        COLUMNS.contains(&name)
    }

    /// Compares two runs over the same events.
    fn compare(&mut self, before: &FinishedRun, after: &FinishedRun) -> Result<(), Failure> {
        let mut now = after.rows("decisions.parquet", &Tally::reads)?;
        before.decision_columns(&COLUMNS, &mut |_, then| {
            let now = now
                .take(then.num_rows())
                .map_err(|error| error.render(crate::diagnostic::Lang::En, false))?;
            let (ids, decisions) = (strings(&now, "event_id")?, strings(&now, "decision")?);
            if ids != strings(then, "event_id")? {
                return Err("its transactions come out in another order".to_owned());
            }
            let scores = ints(&now, "score")?;
            let reasons = column(&now, "reasons")?;
            let reasons = reasons.as_list_opt::<i32>().ok_or("its reasons are no lists")?;
            let mut rules = Vec::with_capacity(now.num_rows());
            for at in 0..now.num_rows() {
                rules.push(read_reasons(&reasons.value(at))?);
            }
            self.take(then, |at| After {
                decision: DECISIONS[place(decisions.value(at))],
                score: scores.value(at),
                reasons: rules[at].iter().map(|reason| reason.rule.as_str()).collect(),
            })
        })
    }

    /// Compares the decisions of the run in `then` with what the new rules say of each.
    fn take<'a>(
        &mut self,
        then: &RecordBatch,
        now: impl Fn(usize) -> After<'a>,
    ) -> Result<(), String> {
        let (ids, accounts) = (strings(then, "event_id")?, strings(then, "account_id")?);
        let decisions = strings(then, "decision")?;
        let (amounts, scores) = (ints(then, "amount_fen")?, ints(then, "score")?);
        let moments = times(then, "event_time")?;
        let reasons = column(then, "reasons")?;
        let reasons = reasons.as_list_opt::<i32>().ok_or("its reasons are no lists")?;
        for at in 0..then.num_rows() {
            let after = now(at);
            let (was, is) = (place(decisions.value(at)), place(after.decision));
            let fen = if amounts.is_valid(at) { amounts.value(at) } else { 0 };
            self.transactions += 1;
            let moved = self.moved.entry((was, is)).or_default();
            moved.0 += 1;
            moved.1 += fen;
            self.alerts.add(was > 0, is > 0);
            let old = match reasons.value_length(at) {
                0 => Vec::new(),
                _ => read_reasons(&reasons.value(at))?,
            };
            let old: Vec<&str> = old.iter().map(|reason| reason.rule.as_str()).collect();
            let new = &after.reasons;
            for rule in old.iter().chain(new.iter().filter(|rule| !old.contains(rule))) {
                let (was, is) = (old.contains(rule), new.contains(rule));
                match self.rules.get_mut(*rule) {
                    Some(change) => change.add(was, is),
                    None => self.rules.entry((*rule).to_owned()).or_default().add(was, is),
                }
            }
            if was != is {
                let only = |these: &[&str], others: &[&str]| {
                    let own = these.iter().filter(|rule| !others.contains(rule));
                    own.map(|rule| (*rule).to_owned()).collect()
                };
                self.example(Example {
                    event_id: ids.value(at).to_owned(),
                    event_time: moments.value(at),
                    account_id: accounts.value(at).to_owned(),
                    amount_fen: fen,
                    decision: Both { before: DECISIONS[was], after: DECISIONS[is] },
                    score: Both { before: scores.value(at), after: after.score },
                    rules: Both { before: only(&old, new), after: only(new, &old) },
                });
            }
        }
        Ok(())
    }

    /// Keeps an example if it is among the first: by how far it moved, then by amount.
    fn example(&mut self, example: Example) {
        let order = |one: &Example| {
            let Both { before, after } = one.decision;
            (place(before).abs_diff(place(after)), one.amount_fen)
        };
        let at = self.examples.partition_point(|held| order(held) >= order(&example));
        if at < EXAMPLES_MAX {
            self.examples.insert(at, example);
            self.examples.truncate(EXAMPLES_MAX);
        }
    }

    pub(crate) fn finish(self) -> Diff {
        let moved = |((was, is), (transactions, amount_fen)): ((usize, usize), (u64, i64))| Moved {
            decision: Both { before: DECISIONS[was], after: DECISIONS[is] },
            transactions,
            amount_fen,
        };
        let changed = self.moved.iter().filter(|((was, is), _)| was != is);
        Diff {
            transactions: self.transactions,
            changed: changed.map(|(_, (count, _))| count).sum(),
            decisions: self.moved.into_iter().map(moved).collect(),
            alerts: self.alerts,
            rules: self.rules.into_iter().map(|(rule, hits)| RuleChange { rule, hits }).collect(),
            examples: self.examples,
            ..Diff::default()
        }
    }
}

/// The place of a decision among all, from mild to strict.
fn place(decision: &str) -> usize {
    DECISIONS.iter().position(|name| *name == decision).unwrap_or(0)
}
