//! `rules test`: every timeline of every rule through the same dataflow as everything else.
//!
//! A rule is tested on its own and as if it were live for everybody, whatever its status.

mod expect;
mod report;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

pub use expect::Observed;
pub use report::{Difference, Outcome, Report, Tested};

use crate::backtest;
use crate::dataflow::Options;
use crate::diagnostic::{Failure, Sources};
use crate::event::{EVENT_ID, Schema, Value};
use crate::expr::Constant;
use crate::features::Features;
use crate::job::Job;
use crate::rules::policy::Bands;
use crate::rules::set::Pin;
use crate::rules::timeline::Test;
use crate::rules::{self, Rule};
use crate::score::Scorer;
use crate::sink::Scored;
use crate::source::order::{Arrivals, Ordered};

/// Runs the tests of all rules of a directory. The texts are those in which failures are shown.
pub fn run(directory: &Path) -> Result<(Report, Sources), Failure> {
    let schema = Arc::new(Schema::default());
    let loaded = rules::load(Some(directory), &schema)?;
    let bench = Bench {
        schema,
        features: Arc::new(loaded.features),
        dedup_window: loaded.rules.policy.dedup_window,
        bands: loaded.rules.policy.bands,
        scorer: Arc::new(Scorer::new(loaded.rules)),
    };
    let mut report = Report::default();
    for rule in &bench.scorer.rules().rules {
        bench.run(rule, &mut report)?;
    }
    Ok((report, loaded.sources))
}

struct Bench {
    schema: Arc<Schema>,
    features: Arc<Features>,
    dedup_window: i64,
    bands: Bands,
    scorer: Arc<Scorer>,
}

impl Bench {
    fn run(&self, rule: &Rule, report: &mut Report) -> Result<(), Failure> {
        let (mut hits, mut misses) = (false, false);
        for (test, pins) in rule.file.tests.iter().zip(&rule.pins) {
            let parts = self.decide(test)?;
            let mut wrong = Vec::new();
            for expected in &test.expect {
                hits |= expected.hit;
                misses |= !expected.hit;
                let seen = self.observe(rule, test, pins, expected.row, &parts);
                wrong.extend(expect::difference(expected, seen.as_ref()));
            }
            report.tested.push(Tested {
                rule: rule.file.id.clone(),
                file: rule.file.path.clone(),
                test: test.name.clone(),
                outcome: if wrong.is_empty() { Outcome::Passed } else { Outcome::Failed(wrong) },
            });
        }
        if !(hits && misses) {
            report.untested.push(rule.file.id.clone());
        }
        Ok(())
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

    /// What the rule does on one event of a timeline; nothing where the event was not decided on.
    fn observe(
        &self,
        rule: &Rule,
        test: &Test,
        pins: &[Pin],
        event: usize,
        parts: &[Scored],
    ) -> Option<Observed> {
        let id = test.chunk.str(EVENT_ID, event);
        for part in parts {
            for (at, row) in part.batch.rows.iter().enumerate() {
                let chunk = &part.batch.slice.chunk;
                if chunk.str(EVENT_ID, *row as usize) != id {
                    continue;
                }
                let mut values = self.features.row(part, at);
                for pin in pins {
                    if let Some(place) = values.get_mut(usize::from(pin.slot.0)) {
                        *place = given(&pin.value);
                    }
                }
                let looked_at = rule.file.on.contains(chunk.kind(*row as usize));
                return Some(Observed::new(rule, looked_at, &values, &self.bands));
            }
        }
        None
    }
}

fn given(constant: &Constant) -> Value<'_> {
    match constant {
        Constant::Int(value) => Value::Int(*value),
        Constant::Double(value) => Value::Double(*value),
        Constant::Bool(value) => Value::Bool(*value),
        Constant::Str(value) => Value::Str(value),
    }
}
