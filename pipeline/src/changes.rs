//! Changes of rules inside a run: read at once, checked, and laid out as the epochs of a job.
//!
//! From its effective time on, event by event, a change's rules directory decides in place of the
//! one before; an event at that very time is the new rules'. All directories are read before
//! anything runs, and all mistakes of all of them are said at once.
//!
//! A feature that a change brings or defines otherwise is null until a full window has passed:
//! [`mod@crate::features::side_by_side`] says which features are the same. A change may alter
//! everything that scores. It may not alter what the order of events or the state of the run
//! depends on, nor the meaning of a column of `features.parquet`; that is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Failure, Message, Severity, Sources};
use crate::event::{Schema, Type};
use crate::features::{Catalogue, Features, side_by_side};
use crate::job::Epoch;
use crate::model::Artefacts;
use crate::rules::{self, Loaded, Policy, RuleSet};
use crate::score::Scorer;
use crate::source::log::{Change, Changes};

/// A decision refers to a rule by 16 bits, and the judge to all rules of a run.
const RULES_MAX: usize = 10_000;

/// The rules of a run, in the order in which they come into force.
#[derive(Clone)]
pub struct Timetable {
    /// Those with which the run begins, and those of each change that is not undone at once by
    /// another at the same time.
    phases: Vec<Phase>,
    models: Artefacts,
}

/// Rules that have been read and may come into force in a run that goes on.
#[derive(Clone)]
pub struct Candidate {
    rules: RuleSet,
    features: Features,
}

/// Rules and the time from which on they are in force.
#[derive(Clone)]
struct Phase {
    start: i64,
    /// The directory, as the log names it.
    name: String,
    rules: RuleSet,
    features: Features,
}

/// A change of rules that is part of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The effective time of the first event for which the new rules decide, in ms.
    pub effective_time: i64,
    /// Their directory, as the log names it.
    pub rules: String,
    /// Their hash.
    pub rules_hash: String,
}

/// Reads the rules directory with which a run begins (none: no rules) and those of all changes,
/// and holds the models to the features of each.
pub fn load(
    directory: Option<&Path>,
    changes: &Changes,
    models: &Artefacts,
    schema: &Arc<Schema>,
) -> Result<Timetable, Failure> {
    let mut loader = Loader { changes, models, found: Vec::new(), sources: Sources::default() };
    let first = loader.load(directory, schema)?;
    let mut later = Vec::new();
    for change in &changes.list {
        let directory = changes.directory(change);
        if !directory.is_dir() {
            let path = directory.display();
            loader.refuse(
                "no-directory",
                &change.span,
                Message::new(
                    format!("there is no such directory: {path}"),
                    format!("没有该目录:{path}"),
                ),
                None,
            );
        } else if let Some(loaded) = loader.load(Some(&directory), schema)? {
            loader.check_hash(change, &loaded.rules);
            later.push((change, loaded));
        }
    }
    // Of changes at one time the last is the one that is in force.
    later.reverse();
    later.dedup_by_key(|(change, _)| change.effective_time);
    later.reverse();
    let mut phases = Vec::new();
    if let Some(Loaded { rules, features, .. }) = first {
        phases.push(Phase { start: i64::MIN, name: String::new(), rules, features });
        for (change, Loaded { rules, features, .. }) in later {
            let (start, name) = (change.effective_time, change.rules.clone());
            loader.check(&phases, &rules, &features, &change.span);
            phases.push(Phase { start, name, rules, features });
        }
    }
    if loader.found.iter().any(|one| one.severity == Severity::Error) {
        return Err(Failure::Input(loader.found, loader.sources));
    }
    Ok(Timetable { phases, models: models.clone() })
}

/// What was read so far, and everything that is wrong with it.
struct Loader<'c> {
    changes: &'c Changes,
    models: &'c Artefacts,
    found: Vec<Diagnostic>,
    sources: Sources,
}

impl Loader<'_> {
    /// Reads a directory, with everything computed that models read.
    fn load(
        &mut self,
        directory: Option<&Path>,
        schema: &Arc<Schema>,
    ) -> Result<Option<Loaded>, Failure> {
        let models = self.models;
        let ask = |catalogue: &Catalogue| models.all().for_each(|model| model.ask(catalogue));
        let loaded = self.read(rules::load_with(directory, schema, &ask))?;
        for model in models.all() {
            let wrong = loaded.iter().flat_map(|loaded| model.check(&loaded.features));
            let new: Vec<Diagnostic> = wrong.filter(|one| !self.found.contains(one)).collect();
            self.found.extend(new);
        }
        Ok(loaded)
    }

    /// Keeps the mistakes of a directory; what was no mistake in it is a failure at once.
    fn read(&mut self, loaded: Result<Loaded, Failure>) -> Result<Option<Loaded>, Failure> {
        match loaded {
            Ok(loaded) => Ok(Some(loaded)),
            Err(Failure::Input(found, sources)) => {
                // A directory to which a log returns has its mistakes once.
                let new = found.into_iter().filter(|one| !self.found.contains(one));
                let new: Vec<Diagnostic> = new.collect();
                self.found.extend(new);
                self.sources.extend(sources);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    fn refuse(
        &mut self,
        code: &'static str,
        span: &Range<usize>,
        message: Message,
        hint: Option<Message>,
    ) {
        let Changes { file, text, .. } = self.changes;
        self.sources.add(file, text.clone());
        let error = Diagnostic::error(code, file, Some(span.clone()), message);
        self.found.push(error.with_hint(hint));
    }

    /// Checks that the rules are those of which the log says that they came into force.
    fn check_hash(&mut self, change: &Change, rules: &RuleSet) {
        let found = rules.hash.to_hex();
        let Some(told) = change.rules_hash.as_deref().filter(|told| *told != found.as_str()) else {
            return;
        };
        let directory = &change.rules;
        let message = Message::new(
            format!(
                "the rules in {directory} are not those of the log: rules_hash is {told}, and the \
                 directory's is {found}"
            ),
            format!(
                "{directory} 中的规则不是日志所记的规则:rules_hash 为 {told},该目录的哈希为 {found}"
            ),
        );
        let hint = Message::new(
            "put the rules back as they were; or, to replay with those that are there now, take \
             rules_hash out of the line",
            "请恢复当时的规则;若要用现有规则重放,请从该行删去 rules_hash",
        );
        self.refuse("rules-hash-differs", &change.span, message, Some(hint));
    }

    /// Checks that rules can come after those before.
    fn check(
        &mut self,
        before: &[Phase],
        rules: &RuleSet,
        features: &Features,
        span: &Range<usize>,
    ) {
        let fixed = before.first().map(|first| first.rules.policy.fixed_settings());
        let settings = fixed.into_iter().flatten().zip(rules.policy.fixed_settings());
        let told = &self.changes.times;
        let is_told = |name: &str| match name {
            "allowed_lateness" => told.allowed_lateness.is_some(),
            "max_ahead" => told.max_ahead.is_some(),
            _ => false,
        };
        let changed = settings.filter(|(held, new)| held != new && !is_told(held.0));
        for ((name, held), (_, new)) in changed {
            let message = Message::new(
                format!(
                    "`{name}` cannot change during a run: it is {}, and here {}",
                    held.en, new.en
                ),
                format!("`{name}` 不能在运行中改变:原为“{}”,此处为“{}”", held.zh, new.zh),
            );
            self.refuse("fixed-setting", span, message, None);
        }
        let held: BTreeMap<&str, Type> = before
            .iter()
            .flat_map(|phase| phase.features.columns())
            .map(|(name, kind, _)| (name.as_str(), *kind))
            .collect();
        for (name, kind, _) in features.columns() {
            let Some(held) = held.get(name.as_str()).filter(|held| *held != kind) else { continue };
            let message = Message::new(
                format!("the feature `{name}` is a {kind} here, and before a {held}; rename it"),
                format!("特征 `{name}` 在此处的类型是 {kind},此前是 {held};请改名"),
            );
            self.refuse("feature-type-changed", span, message, None);
        }
        let ids = before.iter().map(|phase| &phase.rules).chain([rules]).flat_map(rule_ids);
        let count = ids.collect::<BTreeSet<&str>>().len();
        if count > RULES_MAX {
            let message = Message::new(
                format!("with these rules the run has {count}, more than {RULES_MAX}"),
                format!("加上这些规则,本次运行共有 {count} 条规则,超过 {RULES_MAX}"),
            );
            self.refuse("too-many-rules", span, message, None);
        }
    }
}

impl Candidate {
    /// The hash of the rules.
    pub fn rules_hash(&self) -> String {
        self.rules.hash.to_hex().to_string()
    }

    /// What they need and a run with those features does not compute, by name.
    pub(crate) fn beyond(&self, held: &Features) -> Vec<String> {
        self.features.beyond(held)
    }

    /// After how long without records a partition is idle, in ms.
    pub(crate) fn idle(&self) -> i64 {
        self.rules.policy.idle_ms
    }
}

fn rule_ids(rules: &RuleSet) -> impl Iterator<Item = &str> {
    rules.rules.iter().map(|rule| rule.file.id.as_str())
}

impl Timetable {
    /// The same without the changes that come after `end`, the last event's effective time: they
    /// are no part of what happened.
    pub fn until(mut self, end: i64) -> Timetable {
        let reached = self.phases.partition_point(|phase| phase.start <= end).max(1);
        self.phases.truncate(reached);
        self
    }

    /// The policy at the beginning, for the settings that do not change.
    pub fn policy(&self) -> &Policy {
        &self.phases[0].rules.policy
    }

    /// The hash of the rules with which the run begins.
    pub fn rules_hash(&self) -> String {
        self.phases[0].rules.hash.to_hex().to_string()
    }

    /// The policy in the end, for the settings that decide nothing.
    pub fn last_policy(&self) -> &Policy {
        &self.last().policy
    }

    /// The hash of the rules that are in force in the end.
    pub fn last_hash(&self) -> blake3::Hash {
        self.last().hash
    }

    fn last(&self) -> &RuleSet {
        &self.phases[self.phases.len() - 1].rules
    }

    /// When the last change comes into force; none where there is none.
    pub fn last_start(&self) -> Option<i64> {
        self.phases[1..].last().map(|phase| phase.start)
    }

    /// Reads rules that may come after all of these, and checks them as those of a log.
    ///
    /// # Errors
    /// Everything that is wrong with them, also beside those that are in force.
    pub fn candidate(
        &self,
        directory: Option<&Path>,
        schema: &Arc<Schema>,
    ) -> Result<Candidate, Failure> {
        // What cannot change inside a run is said at the head of the file in which it mostly stands.
        let file = directory.unwrap_or(Path::new("")).join("policy.toml");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let changes = Changes { file, text, ..Changes::default() };
        let models = &self.models;
        let mut loader =
            Loader { changes: &changes, models, found: Vec::new(), sources: Sources::default() };
        let loaded = loader.load(directory, schema)?;
        if let Some(Loaded { rules, features, .. }) = loaded {
            loader.check(&self.phases, &rules, &features, &(0..0));
            if loader.found.iter().all(|one| one.severity != Severity::Error) {
                return Ok(Candidate { rules, features });
            }
        }
        Err(Failure::Input(loader.found, loader.sources))
    }

    /// The same with other rules in force from `start` on, which is after all changes.
    pub fn with(&self, candidate: &Candidate, start: i64) -> Timetable {
        let Candidate { rules, features } = candidate.clone();
        let mut with = self.clone();
        with.phases.push(Phase { start, name: String::new(), rules, features });
        with
    }

    /// The changes, in the order of time.
    pub fn changes(&self) -> Vec<Planned> {
        let planned = |phase: &Phase| Planned {
            effective_time: phase.start,
            rules: phase.name.clone(),
            rules_hash: phase.rules.hash.to_hex().to_string(),
        };
        self.phases[1..].iter().map(planned).collect()
    }

    /// The epochs of a stream whose first event is at the effective time `first`. Rules that are
    /// in force before any event are so from the beginning: there is no window that they missed.
    pub fn epochs(mut self, first: i64) -> Vec<Epoch> {
        let models = self.models;
        let over = self.phases.partition_point(|phase| phase.start <= first) - 1;
        self.phases.drain(..over);
        let (starts, (features, scorers)): (Vec<i64>, (Vec<Features>, Vec<Scorer>)) = self
            .phases
            .into_iter()
            .map(|phase| (phase.start, (phase.features, Scorer::new(phase.rules))))
            .unzip();
        let features = side_by_side(starts.iter().copied().zip(features).collect());
        let epochs = starts.into_iter().zip(features.into_iter().map(Arc::new)).zip(scorers);
        let epoch = |((start, features), scorer): ((i64, Arc<Features>), Scorer)| {
            let scorer = Arc::new(scorer.with_models(models.bind(&features)));
            Epoch { start, features, scorer }
        };
        epochs.map(epoch).collect()
    }
}
