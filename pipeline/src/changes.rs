//! Changes of rules and models inside a run: read at once, checked, and laid out as the epochs of a
//! job.
//!
//! From its effective time on, event by event, a change's rules directory decides in place of the
//! one before, with the models that the change names; an event at that very time is the new rules'.
//! All directories are read before anything runs, and all mistakes of all of them are said at once.
//!
//! A feature that a change brings or defines otherwise is null until a full window has passed, or has
//! a value at once where it was backfilled, as it is in a stream:
//! [`mod@crate::features::side_by_side`] says which features are the same. A change may alter
//! everything that scores. It may not alter what the order of events or the state of the run
//! depends on, nor the meaning of a column of `features.parquet`; that is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Failure, Message, Severity, Sources};
use crate::event::{Schema, Type};
use crate::features::{Catalogue, Features, InTurn, side_by_side};
use crate::job::Epoch;
use crate::model::{Artefact, Artefacts};
use crate::rules::file::Status;
use crate::rules::{self, Loaded, Policy, RuleSet};
use crate::score::Scorer;
use crate::source::log::{Change, Changes, ModelTold};

/// A decision refers to a rule by 16 bits, and the judge to all rules of a run.
const RULES_MAX: usize = 10_000;

/// The rules of a run, in the order in which they come into force.
#[derive(Clone)]
pub struct Timetable {
    /// Those with which the run begins, and those of each change that is not undone at once by
    /// another at the same time.
    phases: Vec<Phase>,
}

/// The hashes of what decides: where they are the same, the same is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deciders {
    /// Of the rules.
    pub rules_hash: String,
    /// Of the model that scores with them; none: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_hash: Option<String>,
    /// Of the model that is watched beside it. It decides nothing, and what it says is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenger_hash: Option<String>,
}

/// Rules that have been read, with their models, and may come into force in a run that goes on.
#[derive(Clone)]
pub struct Candidate {
    rules: RuleSet,
    features: Features,
    models: Artefacts,
}

/// Rules and the time from which on they are in force.
#[derive(Clone)]
struct Phase {
    start: i64,
    /// Whether what they bring had been worked out before.
    backfilled: bool,
    /// The directory, as the log names it.
    name: String,
    rules: RuleSet,
    features: Features,
    models: Artefacts,
}

/// A change of rules that is part of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The effective time of the first event for which the new rules decide, in ms.
    pub effective_time: i64,
    /// Their directory, as the log names it.
    pub rules: String,
    /// Their hash, and those of the models from then on.
    pub deciders: Deciders,
}

/// Reads the rules directory with which a run begins (none: no rules) and those of all changes,
/// and holds to the features of each its models: those with which the run begins, until a change
/// names others.
pub fn load(
    directory: Option<&Path>,
    changes: &Changes,
    models: &Artefacts,
    schema: &Arc<Schema>,
) -> Result<Timetable, Failure> {
    let mut loader = Loader::new(changes);
    let first = loader.load(directory, models, schema)?;
    let mut later = Vec::new();
    let mut own = models.clone();
    for change in &changes.list {
        own = loader.models(change, own)?;
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
        } else if let Some(loaded) = loader.load(Some(&directory), &own, schema)? {
            loader.check_hash(change, &loaded.rules);
            later.push((change, loaded, own.clone()));
        }
    }
    // Of changes at one time the last is the one that is in force.
    later.reverse();
    later.dedup_by_key(|(change, ..)| change.effective_time);
    later.reverse();
    let mut phases = Vec::new();
    if let Some(Loaded { rules, features, .. }) = first {
        let (start, name, models) = (i64::MIN, String::new(), models.clone());
        phases.push(Phase { start, backfilled: false, name, rules, features, models });
        for (change, Loaded { rules, features, .. }, models) in later {
            let (start, backfilled) = (change.effective_time, change.backfilled);
            let name = change.rules.clone();
            loader.check(&phases, &rules, &features, &|_| change.span.clone());
            phases.push(Phase { start, backfilled, name, rules, features, models });
        }
    }
    if loader.found.iter().any(|one| one.severity == Severity::Error) {
        return Err(Failure::Input(loader.found, loader.sources));
    }
    Ok(Timetable { phases })
}

/// What was read so far, and everything that is wrong with it.
struct Loader<'c> {
    changes: &'c Changes,
    /// The models that changes name, by their paths.
    models: BTreeMap<PathBuf, Arc<Artefact>>,
    found: Vec<Diagnostic>,
    sources: Sources,
}

impl<'c> Loader<'c> {
    fn new(changes: &'c Changes) -> Loader<'c> {
        let (models, sources) = (BTreeMap::new(), Sources::default());
        Loader { changes, models, found: Vec::new(), sources }
    }

    /// Reads a directory, with everything computed that models read.
    fn load(
        &mut self,
        directory: Option<&Path>,
        models: &Artefacts,
        schema: &Arc<Schema>,
    ) -> Result<Option<Loaded>, Failure> {
        let ask = |catalogue: &Catalogue| models.all().for_each(|model| model.ask(catalogue));
        let loaded = self.read(rules::load_with(directory, schema, &ask))?;
        for model in models.all() {
            let wrong = loaded
                .iter()
                .flat_map(|loaded| model.check(&loaded.features, loaded.rules.policy.model.blend));
            let new: Vec<Diagnostic> = wrong.filter(|one| !self.found.contains(one)).collect();
            self.found.extend(new);
        }
        Ok(loaded)
    }

    /// The models from a change on: those before, where it names no others.
    fn models(&mut self, change: &Change, before: Artefacts) -> Result<Artefacts, Failure> {
        let champion = self.model(change, &change.model, before.champion)?;
        let challenger = self.model(change, &change.challenger, before.challenger)?;
        if champion.is_none() && challenger.is_some() {
            let message = Message::new(
                "there is a challenger and no model beside which it is watched",
                "有挑战者,却没有与之对照的模型",
            );
            let hint = Message::new(
                "a line that takes the model away, \"model\":null, also says \"challenger\":null",
                "去掉模型的行(\"model\":null)也要写明 \"challenger\":null",
            );
            self.refuse("challenger-alone", &change.span, message, Some(hint));
        }
        Ok(Artefacts { champion, challenger })
    }

    fn model(
        &mut self,
        change: &Change,
        told: &ModelTold,
        before: Option<Arc<Artefact>>,
    ) -> Result<Option<Arc<Artefact>>, Failure> {
        let (name, hash) = match told {
            ModelTold::AsBefore => return Ok(before),
            ModelTold::Gone => return Ok(None),
            ModelTold::Named { path, hash } => (path, hash),
        };
        let path = self.changes.beside(name);
        let model = match self.models.get(&path) {
            Some(model) => model.clone(),
            None => Arc::new(Artefact::load(&path)?),
        };
        self.models.insert(path, model.clone());
        if let Some(told) = hash.as_deref().filter(|told| *told != model.hash()) {
            let found = model.hash();
            let message = Message::new(
                format!(
                    "the model {name} is not that of the log: its hash is {found}, and the log \
                     says {told}"
                ),
                format!("模型 {name} 不是日志所记的模型:其哈希为 {found},日志记为 {told}"),
            );
            let hint = Message::new(
                "put the model back as it was; or, to replay with the one that is there now, take \
                 its hash out of the line",
                "请恢复当时的模型;若要用现有模型重放,请从该行删去其哈希",
            );
            self.refuse("model-hash-differs", &change.span, message, Some(hint));
        }
        Ok(Some(model))
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
        // What stands nowhere is of the file as a whole.
        let span = Some(span.clone()).filter(|span| !span.is_empty());
        let error = Diagnostic::error(code, file, span, message);
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

    /// Checks that rules can come after those before. `place` gives where a setting is told, or, of
    /// no name, that these rules come.
    fn check(
        &mut self,
        before: &[Phase],
        rules: &RuleSet,
        features: &Features,
        place: &dyn Fn(&str) -> Range<usize>,
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
            self.refuse("fixed-setting", &place(name), message, None);
        }
        let held: BTreeMap<&str, Type> = before
            .iter()
            .flat_map(|phase| phase.features.columns())
            .map(|(name, kind, _)| (name.as_str(), *kind))
            .collect();
        for (name, kind, _) in features.columns() {
            let Some(held) = held.get(name.as_str()).filter(|held| *held != kind) else { continue };
            let message = Message::new(
                format!(
                    "the feature `{name}` is {} here, and before {}; rename it",
                    kind.with_article(),
                    held.with_article()
                ),
                format!("特征 `{name}` 在此处的类型是 {kind},此前是 {held};请改名"),
            );
            self.refuse("feature-type-changed", &place(""), message, None);
        }
        let ids = before.iter().map(|phase| &phase.rules).chain([rules]).flat_map(rule_ids);
        let count = ids.collect::<BTreeSet<&str>>().len();
        if count > RULES_MAX {
            let message = Message::new(
                format!("with these rules the run has {count}, more than {RULES_MAX}"),
                format!("加上这些规则,本次运行共有 {count} 条规则,超过 {RULES_MAX}"),
            );
            self.refuse("too-many-rules", &place(""), message, None);
        }
    }
}

impl Candidate {
    /// The hashes of the rules and of their models.
    pub fn deciders(&self) -> Deciders {
        Deciders::of(&self.rules, &self.models)
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

impl Deciders {
    fn of(rules: &RuleSet, models: &Artefacts) -> Deciders {
        let hash = |model: &Option<Arc<Artefact>>| model.as_ref().map(|one| one.hash().to_owned());
        Deciders {
            rules_hash: rules.hash.to_hex().to_string(),
            model_hash: hash(&models.champion),
            challenger_hash: hash(&models.challenger),
        }
    }

    /// Those of the models that there are.
    pub fn models(&self) -> impl Iterator<Item = &String> {
        self.model_hash.iter().chain(&self.challenger_hash)
    }
}

fn rule_ids(rules: &RuleSet) -> impl Iterator<Item = &str> {
    rules.rules.iter().map(|rule| rule.file.id.as_str())
}

/// How many of the rules decide.
fn live(rules: &RuleSet) -> usize {
    rules.rules.iter().filter(|rule| rule.file.status == Status::Live).count()
}

/// Where a setting stands in a policy: its key, or the table that it would be in; empty where neither
/// is there.
fn place_of(setting: &str, policy: &str) -> Range<usize> {
    let Ok(root) = DeTable::parse(policy) else { return 0..0 };
    let (mut table, mut place) = (root.get_ref(), 0..0);
    for part in setting.split('.') {
        let Some((key, value)) = table.get_key_value(part) else { break };
        place = key.span();
        let DeValue::Table(inner) = value.get_ref() else { break };
        table = inner;
    }
    place
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
        self.deciders().rules_hash
    }

    /// The hashes of what decides when the run begins.
    pub fn deciders(&self) -> Deciders {
        let Phase { rules, models, .. } = &self.phases[0];
        Deciders::of(rules, models)
    }

    /// The policy in the end, for the settings that decide nothing.
    pub fn last_policy(&self) -> &Policy {
        &self.last().rules.policy
    }

    /// The hash of the rules that are in force in the end.
    pub fn last_hash(&self) -> blake3::Hash {
        self.last().rules.hash
    }

    /// The hashes of what decides in the end.
    pub fn last_deciders(&self) -> Deciders {
        let Phase { rules, models, .. } = self.last();
        Deciders::of(rules, models)
    }

    fn last(&self) -> &Phase {
        &self.phases[self.phases.len() - 1]
    }

    /// When the last change comes into force; none where there is none.
    pub fn last_start(&self) -> Option<i64> {
        self.phases[1..].last().map(|phase| phase.start)
    }

    /// Reads rules that may come after all of these, with such models, and checks them as those of a
    /// log.
    ///
    /// # Errors
    /// Everything that is wrong with them, also beside those that are in force.
    pub fn candidate(
        &self,
        directory: Option<&Path>,
        models: Artefacts,
        schema: &Arc<Schema>,
    ) -> Result<Candidate, Failure> {
        // What cannot change inside a run mostly stands there.
        let file = directory.unwrap_or(Path::new("")).join(Policy::FILE);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let changes = Changes { file, text, ..Changes::default() };
        let mut loader = Loader::new(&changes);
        let loaded = loader.load(directory, &models, schema)?;
        if let Some(Loaded { rules, features, .. }) = loaded {
            let place = |setting: &str| place_of(setting, &changes.text);
            loader.check(&self.phases, &rules, &features, &place);
            if loader.found.iter().all(|one| one.severity != Severity::Error) {
                return Ok(Candidate { rules, features, models });
            }
        }
        Err(Failure::Input(loader.found, loader.sources))
    }

    /// How many rules that are in force in the end decide, where none of these does: they would go
    /// without a word.
    pub(crate) fn taken_out_by(&self, candidate: &Candidate) -> Option<usize> {
        let held = live(&self.last().rules);
        (held > 0 && live(&candidate.rules) == 0).then_some(held)
    }

    /// Whether any rule that is in force in the end decides.
    pub(crate) fn has_live_rules(&self) -> bool {
        live(&self.last().rules) > 0
    }

    /// The same with other rules in force from `start` on, which is after all changes. What they bring
    /// has been worked out from the first event on.
    pub fn with(&self, candidate: &Candidate, start: i64) -> Timetable {
        let Candidate { rules, features, models } = candidate.clone();
        let mut with = self.clone();
        let (backfilled, name) = (true, String::new());
        with.phases.push(Phase { start, backfilled, name, rules, features, models });
        with
    }

    /// The changes, in the order of time.
    pub fn changes(&self) -> Vec<Planned> {
        let planned = |phase: &Phase| Planned {
            effective_time: phase.start,
            rules: phase.name.clone(),
            deciders: Deciders::of(&phase.rules, &phase.models),
        };
        self.phases[1..].iter().map(planned).collect()
    }

    /// The epochs of a stream whose first event is at the effective time `first`. Rules that are
    /// in force before any event are so from the beginning: there is no window that they missed.
    pub fn epochs(mut self, first: i64) -> Vec<Epoch> {
        let over = self.phases.partition_point(|phase| phase.start <= first) - 1;
        self.phases.drain(..over);
        let in_turn = self.phases.iter().map(|phase| InTurn {
            start: phase.start,
            backfilled: phase.backfilled,
            features: phase.features.clone(),
        });
        let features = side_by_side(in_turn.collect());
        let epoch = |(phase, features): (Phase, Features)| {
            let Phase { start, rules, models, .. } = phase;
            let scorer = Scorer::new(rules).with_models(models.bind(&features));
            Epoch { start, features: Arc::new(features), scorer: Arc::new(scorer) }
        };
        self.phases.into_iter().zip(features).map(epoch).collect()
    }
}
