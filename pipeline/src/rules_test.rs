//! `rules test`: every timeline of every rule through the same dataflow as everything else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::backtest;
use crate::dataflow::Options;
use crate::diagnostic::{Diagnostic, Failure, Sources};
use crate::event::{EVENT_ID, Schema, Value};
use crate::expr::{Constant, Names as _};
use crate::features::Features;
use crate::features::catalogue::Catalogue;
use crate::job::Job;
use crate::rules::timeline::{self, Test};
use crate::rules::{self, Rule};
use crate::score::Scorer;
use crate::source::order::{Arrivals, Ordered};

/// What became of one test.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TestResult {
    /// The rule.
    pub rule: String,
    /// The test.
    pub test: String,
    /// What was otherwise than expected; none: the test passed.
    pub failure: Option<String>,
}

/// Runs the tests of all rules of a directory.
pub fn run(directory: &Path) -> Result<Vec<TestResult>, Failure> {
    let schema = Arc::new(Schema::default());
    let loaded = rules::load(Some(directory), &schema)?;
    let mut found: Vec<Diagnostic> = Vec::new();
    let mut sources = Sources::default();
    let mut tests: Vec<(usize, Test)> = Vec::new();
    for (at, rule) in loaded.rules.rules.iter().enumerate() {
        let path = &rule.file.path;
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let (read, mistakes) = timeline::read(path, &text);
        tests.extend(read.into_iter().map(|test| (at, test)));
        found.extend(mistakes);
        sources.add(path, text);
    }
    if !found.is_empty() {
        return Err(Failure::Input(found, sources));
    }
    let bench = Bench {
        schema,
        features: Arc::new(loaded.features),
        catalogue: loaded.catalogue,
        dedup_window: loaded.rules.policy.dedup_window,
        scorer: Arc::new(Scorer::new(loaded.rules)),
    };
    let result = |(at, test): &(usize, Test)| {
        let rule = &bench.scorer.rules().rules[*at];
        TestResult {
            rule: rule.file.id.clone(),
            test: test.name.clone(),
            failure: bench.failure(rule, test),
        }
    };
    Ok(tests.iter().map(result).collect())
}

struct Bench {
    schema: Arc<Schema>,
    features: Arc<Features>,
    catalogue: Catalogue,
    dedup_window: i64,
    scorer: Arc<Scorer>,
}

impl Bench {
    fn failure(&self, rule: &Rule, test: &Test) -> Option<String> {
        let chunk = match test.chunk(&self.schema) {
            Ok(chunk) => chunk,
            Err(message) => return Some(message),
        };
        let arrivals = Arrivals { chunks: vec![Arc::new(chunk)], effective: None };
        let job = Arc::new(Job {
            events: Ordered::new(self.schema.clone(), arrivals, self.dedup_window, true),
            features: self.features.clone(),
            scorer: self.scorer.clone(),
            interrupted: Arc::new(AtomicBool::new(false)),
        });
        let options = Options { workers: 1, tick: 1000, batch: usize::MAX >> 1, sorted: true };
        let parts = match backtest::decide(&job, options) {
            Ok((_, parts)) => parts,
            Err(message) => return Some(message),
        };
        let id = test.event_id();
        for part in &parts {
            for (at, row) in part.batch.rows.iter().enumerate() {
                let chunk = &part.batch.slice.chunk;
                if chunk.str(EVENT_ID, *row as usize) != id {
                    continue;
                }
                if !rule.file.on.contains(chunk.kind(*row as usize)) {
                    return Some("the rule does not look at this kind of event".to_owned());
                }
                let mut values = self.features.row(part, at);
                for (name, constant) in &test.pinned {
                    let Some((slot, _)) = self.catalogue.lookup(name) else {
                        return Some(format!("unknown feature `{name}`"));
                    };
                    if let Some(place) = values.get_mut(usize::from(slot.0)) {
                        *place = value(constant);
                    }
                }
                return judge(rule, test, &values);
            }
        }
        Some("the event is not a transaction".to_owned())
    }
}

fn value(constant: &Constant) -> Value<'_> {
    match constant {
        Constant::Int(value) => Value::Int(*value),
        Constant::Double(value) => Value::Double(*value),
        Constant::Bool(value) => Value::Bool(*value),
        Constant::Str(value) => Value::Str(value),
    }
}

fn judge(rule: &Rule, test: &Test, row: &[Value<'_>]) -> Option<String> {
    let hit = rule.program.test(row);
    match hit {
        Err(why) if test.hit || test.short_by.is_some() => {
            return Some(format!("not evaluable: {why:?}"));
        }
        Ok(hit) if hit != test.hit => {
            let lacks = rule.program.shortfall(row);
            let lacks = lacks.map_or(String::new(), |lacks| format!(" (short by {lacks})"));
            return Some(format!(
                "expected hit = {}, got {hit}{lacks}{}",
                test.hit,
                used(rule, row)
            ));
        }
        _ => {}
    }
    let expected = test.short_by.as_ref()?;
    let found = rule.program.shortfall(row).map(|lacks| lacks.to_string());
    let same = found.as_deref() == Some(expected.as_str());
    (!same).then(|| {
        let found = found.unwrap_or_else(|| "no single number".to_owned());
        format!("expected short_by = \"{expected}\", got {found}{}", used(rule, row))
    })
}

/// The values that the rule saw.
fn used(rule: &Rule, row: &[Value<'_>]) -> String {
    let value = |(name, slot, _): &(String, crate::expr::Slot, crate::event::Type)| {
        let value = match row[usize::from(slot.0)] {
            Value::Null => "null".to_owned(),
            Value::Int(value) => value.to_string(),
            Value::Double(value) => format!("{value:?}"),
            Value::Bool(value) => value.to_string(),
            Value::Str(value) => format!("{value:?}"),
        };
        format!("\n      {name} = {value}")
    };
    rule.uses.iter().map(value).collect()
}
