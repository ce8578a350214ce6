//! Other rules on the stored features of a run: what is needed for that, and how it is done.
//!
//! An event's own fields and texts are read from the inputs again, and everything else from
//! `features.parquet`; so the result is that of a backtest as long as every value that the rules read
//! is defined as it was. Where one is not, [`Obstacle`] names it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, AsArray as _, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::{After, Side, Tally};
use crate::decision::DecisionBatch;
use crate::diagnostic::{Failure, Message};
use crate::event::{FieldId, TEXT, Value};
use crate::features::Features;
use crate::features::text::{Lexicon, Scratch, entries};
use crate::finished::tables::{column, strings};
use crate::finished::{Events, FinishedRun, go_on};
use crate::rules::file::Status;
use crate::rules::{self, Loaded, RuleSet};
use crate::run::{Rescoring, judge_from};
use crate::score::{Opinion, Scorer};
use crate::sink::Scored;
use crate::source::Progress;
use crate::source::order::Slice;

/// The name under which a rule asks for what the referee found.
const OUTCOME: &str = "packet.outcome";

/// Why stored features are not enough, and everything is decided anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle(pub(crate) Message);

/// What the live rules of a set read. Those in shadow decide nothing, and are left out.
fn uses(rules: &RuleSet) -> BTreeSet<&str> {
    let live = || rules.rules.iter().filter(|rule| rule.file.status == Status::Live);
    let read = live().flat_map(|rule| &rule.uses).map(|(name, ..)| name.as_str());
    let rollouts = live().filter_map(|rule| rule.file.rollout.as_ref());
    read.chain(rollouts.map(|rollout| rollout.by.get_ref().as_str())).collect()
}

/// Why the new rules cannot decide on what the run has stored; none where they can.
pub(crate) fn obstacle(
    run: &FinishedRun,
    new: &Loaded,
    directory: &Path,
) -> Result<Option<Obstacle>, Failure> {
    let say = |en: String, zh: String| Ok(Some(Obstacle(Message::new(en, zh))));
    if run.has_model() {
        return say("a model took part".to_owned(), "有模型参与决策".to_owned());
    }
    let schema = Arc::new(run.schema()?);
    let old = run.rules().filter(|path| path.is_dir());
    let old = old.map(|path| rules::load(Some(path), &schema).map(|loaded| (path, loaded)));
    let old =
        old.transpose()?.filter(|(_, old)| old.rules.hash.to_hex().as_str() == run.rules_hash());
    let Some((then, old)) = old else {
        return say(
            "the rules of the run are not what they were, so nobody can say which features are"
                .into(),
            "该运行的规则已被改动，无法判断哪些特征未变".into(),
        );
    };
    let settings =
        old.rules.policy.fixed_settings().into_iter().zip(new.rules.policy.fixed_settings());
    // Verdicts are worked out anew; the others change the order of events or what is kept.
    let mut settings = settings.filter(|((name, _), _)| !name.starts_with("verdicts."));
    if let Some(((name, _), _)) = settings.find(|((_, was), (_, is))| was != is) {
        return say(format!("`{name}` is another"), format!("`{name}` 不同"));
    }
    let recorded: BTreeSet<String> = run.feature_names()?.into_iter().collect();
    let changed: Vec<&str> = uses(&new.rules)
        .into_iter()
        .filter(|name| {
            !is_own(new, name) && !is_same(name, &recorded, &old.features, &new.features)
        })
        .collect();
    if !changed.is_empty() {
        let names = changed.join(", ");
        return say(
            format!("not stored as they are defined now, or dependent on decisions: {names}"),
            format!("未按现有定义保存，或取决于决策：{names}"),
        );
    }
    let declared = declared(new, directory);
    let declares = |marks: &[&str]| marks.iter().any(|mark| declared.contains(mark));
    for (folder, marks, en, zh) in [
        ("lists", ["in_list", "in_calendar"], "a list", "名单"),
        ("text", ["text.", "phrase"], "phrases", "短语"),
    ] {
        if declares(&marks) && contents(&then.join(folder)) != contents(&directory.join(folder)) {
            return say(
                format!("{en} changed, and a declared feature may depend on it"),
                format!("{zh}有改动，而声明的特征可能取决于它"),
            );
        }
    }
    Ok(None)
}

/// What the features of a directory are declared with: their file, and the named conditions in it.
fn declared(new: &Loaded, directory: &Path) -> String {
    let mut text = std::fs::read_to_string(directory.join("features.toml")).unwrap_or_default();
    let mut left: Vec<_> = new.vocabulary.conditions.iter().collect();
    // A condition may name another.
    while let Some(at) = left.iter().position(|(name, _)| text.contains(name.as_str())) {
        text.push_str(&left.swap_remove(at).1.canonical());
    }
    text
}

/// Whether a value is read from the event itself, or found anew.
fn is_own(new: &Loaded, name: &str) -> bool {
    new.features.schema.find(name).is_some()
        || matches!(name, "payer_id" | "payee_id" | OUTCOME)
        || entries(&new.features.lexicon).iter().any(|entry| entry.name == name)
}

fn is_same(name: &str, recorded: &BTreeSet<String>, old: &Features, new: &Features) -> bool {
    let (then, now) = (old.definition(name), new.definition(name));
    let same = then.zip(now).is_some_and(|(then, now)| then.hash == now.hash && !now.of_decisions);
    same && recorded.contains(name)
}

/// The files under a folder with what is in them.
fn contents(folder: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(below) = path.strip_prefix(folder) {
                found.insert(below.to_owned(), std::fs::read(&path).unwrap_or_default());
            }
        }
    }
    found
}

/// Where the value of a slot comes from.
enum From {
    Field(FieldId),
    Payer,
    Payee,
    Outcome,
    Text(usize),
    /// A column of the batch of features.
    Stored(String),
    /// No live rule asks for it.
    Nowhere,
}

/// Values of a feature.
enum Stored<'b> {
    Int(&'b Int64Array),
    Double(&'b Float64Array),
    Bool(&'b BooleanArray),
    Str(&'b StringArray),
    Nothing,
}

impl<'b> Stored<'b> {
    fn of(batch: &'b RecordBatch, name: &str) -> Result<Stored<'b>, String> {
        let found = column(batch, name)?;
        Ok(match found.data_type() {
            DataType::Int64 => Stored::Int(found.as_primitive::<Int64Type>()),
            DataType::Float64 => Stored::Double(found.as_primitive::<Float64Type>()),
            DataType::Boolean => Stored::Bool(found.as_boolean()),
            DataType::Utf8 => Stored::Str(found.as_string()),
            _ => Stored::Nothing,
        })
    }

    fn value(&self, at: usize) -> Value<'b> {
        match *self {
            Stored::Int(values) if values.is_valid(at) => Value::Int(values.value(at)),
            Stored::Double(values) if values.is_valid(at) => Value::Double(values.value(at)),
            Stored::Bool(values) if values.is_valid(at) => Value::Bool(values.value(at)),
            Stored::Str(values) if values.is_valid(at) => named(values.value(at)),
            _ => Value::Null,
        }
    }
}

fn named(text: &str) -> Value<'_> {
    if text.is_empty() { Value::Null } else { Value::Str(text) }
}

/// Rules at work.
struct Deciding {
    rescoring: Rescoring,
    tally: Tally,
}

/// The transactions of a slice, with what the run stored of them.
struct Step<'s> {
    slice: &'s Arc<Slice>,
    rows: Vec<u32>,
    features: RecordBatch,
    before: RecordBatch,
}

/// Decides all transactions of a run by sets of other rules, each for itself, judges them, and
/// compares them with what was decided. The sets are shared out among `threads`; they differ in what
/// their rules do with values, and not in what values there are.
pub(crate) fn rescore(
    run: &FinishedRun,
    events: &Events,
    news: Vec<Loaded>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Vec<Side>, Failure> {
    let Some(first) = news.first() else { return Ok(Vec::new()) };
    let sources = sources(first);
    let same = |new: &Loaded| new.catalogue.slot_names() == first.catalogue.slot_names();
    assert!(news.iter().all(same), "the sets have the same values");
    let stored: BTreeSet<&str> = sources
        .iter()
        .filter_map(|from| match from {
            From::Stored(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    // A file without columns has no rows to count.
    let mut features =
        run.rows("features.parquet", &|name| name == "event_id" || stored.contains(name))?;
    let mut before = run.rows("decisions.parquet", &Tally::reads)?;
    let lexicon = first.features.lexicon.clone();
    let judge_from = judge_from(run.warmup(), events.ordered().start());
    let labels = run.labels()?;
    let begin = |new: Loaded| Deciding {
        rescoring: Rescoring::new(new, labels.clone(), judge_from),
        tally: Tally::default(),
    };
    let mut sides: Vec<Deciding> = news.into_iter().map(begin).collect();
    let share = sides.len().div_ceil(threads.max(1));
    let mut failed = None;
    events.each_slice(progress, &mut |slice| {
        if failed.is_some() {
            return;
        }
        let mut step = || -> Result<(), Failure> {
            go_on(progress)?;
            let rows = (0..slice.chunk.len()).filter(|row| slice.chunk.kind(*row).is_transaction());
            let rows: Vec<u32> = rows.map(|row| row as u32).collect();
            let (features, before) = (features.take(rows.len())?, before.take(rows.len())?);
            let step = &Step { slice, rows, features, before };
            let (sources, lexicon) = (sources.as_slice(), &*lexicon);
            std::thread::scope(|scope| {
                let shares = sides.chunks_mut(share);
                let work = |sides| scope.spawn(move || take(step, sources, lexicon, sides));
                let at_work: Vec<_> = shares.map(work).collect();
                at_work.into_iter().try_for_each(|one| match one.join() {
                    Ok(done) => done.map_err(|error| super::damaged(run, &error)),
                    Err(panic) => std::panic::resume_unwind(panic),
                })
            })
        };
        failed = step().err();
    })?;
    match failed {
        Some(failure) => Err(failure),
        None => Ok(sides
            .into_iter()
            .map(|Deciding { rescoring, tally }| Side { tally, judgement: rescoring.finish() })
            .collect()),
    }
}

/// Decides and compares the transactions of a slice.
fn take(
    step: &Step<'_>,
    sources: &[From],
    lexicon: &Lexicon,
    sides: &mut [Deciding],
) -> Result<(), String> {
    let scorers: Vec<Arc<Scorer>> = sides.iter().map(|side| side.rescoring.scorer()).collect();
    let batches = decide(step, sources, lexicon, &scorers)?;
    for ((side, scorer), batch) in sides.iter_mut().zip(scorers).zip(batches) {
        let mut scored = Scored {
            part: 0,
            epoch: 0,
            names: scorer.names().clone(),
            features: Vec::new(),
            events: [0; 12],
            not_evaluable: Vec::new(),
            findings: Vec::new(),
            batch,
        };
        side.rescoring.observe(&mut scored);
        side.tally.take(&step.before, |at| {
            let mut reasons = Vec::new();
            scored.batch.each_reason(at, &scored.names, |reason| reasons.push(reason.rule));
            let decision = scored.batch.verdicts[at].name();
            After { decision, score: scored.batch.scores[at], reasons }
        })?;
    }
    Ok(())
}

/// Where the value of each slot comes from, by slot.
fn sources(new: &Loaded) -> Vec<From> {
    let uses = uses(&new.rules);
    let texts = entries(&new.features.lexicon);
    let from = |name: &String| {
        if let Some(field) = new.features.schema.find(name) {
            return From::Field(field);
        }
        match name.as_str() {
            "payer_id" => From::Payer,
            "payee_id" => From::Payee,
            OUTCOME => From::Outcome,
            name => match texts.iter().position(|entry| entry.name == name) {
                Some(at) => From::Text(at),
                None if uses.contains(name) => From::Stored(name.to_owned()),
                None => From::Nowhere,
            },
        }
    };
    new.catalogue.slot_names().iter().map(from).collect()
}

/// What each scorer decides on the transactions of a slice.
fn decide(
    step: &Step<'_>,
    sources: &[From],
    lexicon: &Lexicon,
    scorers: &[Arc<Scorer>],
) -> Result<Vec<DecisionBatch>, String> {
    let begin =
        |_| DecisionBatch { rows: step.rows.clone(), ..DecisionBatch::new(step.slice.clone()) };
    let mut batches: Vec<DecisionBatch> = scorers.iter().map(begin).collect();
    let chunk = &step.slice.chunk;
    let outcomes = strings(&step.before, "outcome")?;
    let stored: Vec<Stored<'_>> = sources
        .iter()
        .map(|from| match from {
            From::Stored(name) => Stored::of(&step.features, name),
            _ => Ok(Stored::Nothing),
        })
        .collect::<Result<_, _>>()?;
    let mut scratch = Scratch::default();
    let mut texts = vec![0; lexicon.features()];
    let mut deciders: Vec<_> = scorers.iter().map(|scorer| scorer.decider()).collect();
    let mut values = vec![Value::Null; sources.len()];
    for (at, row) in step.rows.iter().enumerate() {
        let row = *row as usize;
        let text = chunk.str(TEXT, row);
        if !text.is_empty() {
            lexicon.compute(text, &mut scratch, &mut texts);
        }
        for ((value, from), stored) in values.iter_mut().zip(sources).zip(&stored) {
            *value = match from {
                From::Field(field) => chunk.value(*field, row),
                From::Payer => named(chunk.payer(row)),
                From::Payee => named(chunk.payee(row)),
                From::Outcome => named(outcomes.value(at)),
                From::Text(_) if text.is_empty() => Value::Null,
                From::Text(feature) => lexicon.value(*feature, texts[*feature]),
                From::Stored(_) => stored.value(at),
                From::Nowhere => Value::Null,
            };
        }
        for (decider, batch) in deciders.iter_mut().zip(&mut batches) {
            decider.decide(chunk.kind(row), &values, None, Opinion::default(), batch);
        }
    }
    Ok(batches)
}
