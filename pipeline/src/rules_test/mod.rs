//! `rules test`: every timeline of every rule through the same dataflow as everything else.
//!
//! A rule is tested on its own and as if it were live for everybody, whatever its status.

mod expect;
mod mutate;
mod mutate_report;
mod report;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use expect::Observed;
pub use mutate::{Survivor, mutate};
pub use mutate_report::{MutantsOf, Mutations};
pub use report::{Difference, Outcome, Report, Tested};

use crate::backtest;
use crate::dataflow::Options;
use crate::diagnostic::{Failure, Sources};
use crate::event::{EVENT_ID, Schema, Value};
use crate::expr::Constant;
use crate::features::{Catalogue, Features};
use crate::job::Job;
use crate::rules::set::Pin;
use crate::rules::timeline::{Expectation, Test};
use crate::rules::{self, Loaded, Rule, RuleSet, Vocabulary};
use crate::score::Scorer;
use crate::sink::Scored;
use crate::source::order::{Arrivals, Ordered};

/// Runs the tests of all rules of a directory. The texts are those in which failures are shown.
pub fn run(directory: &Path, schema: &Arc<Schema>) -> Result<(Report, Sources), Failure> {
    let (bench, sources) = Bench::load(directory, schema)?;
    let report = bench.report(&bench.watch_all()?);
    Ok((report, sources))
}

/// Rules with all that is needed to run their tests.
struct Bench {
    catalogue: Catalogue,
    vocabulary: Vocabulary,
    runner: Runner,
}

/// What runs timelines, on any thread.
struct Runner {
    schema: Arc<Schema>,
    features: Arc<Features>,
    dedup_window: i64,
    scorer: Arc<Scorer>,
}

/// The values that a rule sees on the event of one expectation; none where it got no decision.
type Seen = Option<Row>;

/// The values of an event by slot.
struct Row {
    values: Vec<Option<Constant>>,
}

impl Row {
    fn values(&self) -> Vec<Value<'_>> {
        let values = self.values.iter().map(Option::as_ref);
        values.map(|held| held.map_or(Value::Null, Constant::value)).collect()
    }
}

/// For each rule, for each of its tests, for each of its expectations: what the rule sees.
type Watched = Vec<Vec<Vec<Seen>>>;

impl Bench {
    fn load(directory: &Path, schema: &Arc<Schema>) -> Result<(Bench, Sources), Failure> {
        let Loaded { rules, features, catalogue, vocabulary, sources, .. } =
            rules::load(Some(directory), schema)?;
        let runner = Runner {
            schema: schema.clone(),
            features: Arc::new(features),
            dedup_window: rules.policy.dedup_window,
            scorer: Arc::new(Scorer::new(rules)),
        };
        Ok((Bench { catalogue, vocabulary, runner }, sources))
    }

    fn rules(&self) -> &RuleSet {
        self.runner.scorer.rules()
    }

    /// Runs all timelines, on as many threads as there are cores.
    fn watch_all(&self) -> Result<Watched, Failure> {
        let rules = &self.rules().rules;
        let (runner, next) = (&self.runner, AtomicUsize::new(0));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let work = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(rule) = rules.get(at) else { return Ok(done) };
                done.push((at, runner.watch(rule)?));
            }
        };
        let done: Vec<Result<Vec<_>, Failure>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..threads.min(rules.len())).map(|_| scope.spawn(work)).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            threads.into_iter().map(join).collect()
        });
        let mut watched: Vec<_> = (0..rules.len()).map(|_| Vec::new()).collect();
        for part in done {
            for (at, seen) in part? {
                watched[at] = seen;
            }
        }
        Ok(watched)
    }

    /// What came of the tests.
    fn report(&self, watched: &Watched) -> Report {
        let mut report = Report::default();
        let bands = &self.rules().policy.bands;
        for (rule, tests) in self.rules().rules.iter().zip(watched) {
            let (mut hits, mut misses) = (false, false);
            for (test, seen) in rule.file.tests.iter().zip(tests) {
                let mut wrong = Vec::new();
                for (expected, seen) in test.expect.iter().zip(seen) {
                    hits |= expected.hit;
                    misses |= !expected.hit && expected.evaluable != Some(false);
                    let observed =
                        seen.as_ref().map(|row| Observed::new(rule, &row.values(), bands));
                    wrong.extend(expect::difference(expected, observed.as_ref()));
                }
                report.tested.push(Tested {
                    rule: rule.file.id.clone(),
                    file: rule.file.path.clone(),
                    test: test.name.clone(),
                    outcome: match wrong.is_empty() {
                        true => Outcome::Passed,
                        false => Outcome::Failed(wrong),
                    },
                });
            }
            if !(hits && misses) {
                report.untested.push(rule.file.id.clone());
            }
        }
        report
    }
}

impl Runner {
    fn watch(&self, rule: &Rule) -> Result<Vec<Vec<Seen>>, Failure> {
        let tests = rule.file.tests.iter().zip(&rule.pins);
        let watch = |(test, pins): (&Test, &Vec<Pin>)| {
            let parts = self.decide(test)?;
            let see = |expected: &Expectation| self.see(test, pins, expected.row, &parts);
            Ok(test.expect.iter().map(see).collect())
        };
        tests.map(watch).collect()
    }

    fn decide(&self, test: &Test) -> Result<Vec<Scored>, Failure> {
        let arrivals = Arrivals { chunks: vec![Arc::new(test.chunk.clone())], effective: None };
        let events = Ordered::new(self.schema.clone(), arrivals, self.dedup_window, true);
        let (features, scorer) = (self.features.clone(), self.scorer.clone());
        let job = Arc::new(Job::new(events, features, scorer, Arc::default()));
        let options = Options { workers: 1, tick: 1000, batch: usize::MAX >> 1, sorted: true };
        let (_, parts) = backtest::decide(&job, options).map_err(|message| {
            let name = &test.name;
            Failure::Environment(crate::diagnostic::Message::new(
                format!("the test \"{name}\" did not run: {message}"),
                format!("测试“{name}”未能运行:{message}"),
            ))
        })?;
        Ok(parts)
    }

    /// What the rule sees on one event of a timeline; nothing where the event was not decided on.
    fn see(&self, test: &Test, pins: &[Pin], event: usize, parts: &[Scored]) -> Seen {
        let id = test.chunk.str(EVENT_ID, event);
        for part in parts {
            for (at, row) in part.batch.rows.iter().enumerate() {
                let chunk = &part.batch.slice.chunk;
                if chunk.str(EVENT_ID, *row as usize) != id {
                    continue;
                }
                let mut values: Vec<Option<Constant>> =
                    self.features.row(part, at).into_iter().map(Constant::of).collect();
                for pin in pins {
                    if let Some(place) = values.get_mut(usize::from(pin.slot.0)) {
                        *place = Some(pin.value.clone());
                    }
                }
                return Some(Row { values });
            }
        }
        None
    }
}
