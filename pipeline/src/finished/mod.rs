//! A run that is over, opened again: what was run, and its events, decisions, features, verdicts
//! and labels.
//!
//! `run.toml` names the inputs with their hashes. They are read again through the very code that
//! read them for the backtest ([`crate::source`]), and come out in the same total order. An input
//! that has changed, or is gone, is refused: whatever would be told of it would not be about this
//! run. Decisions and features have a row a transaction, in the same order as the transactions
//! among the events.

pub(crate) mod days;
mod one;
mod roles;
pub(crate) mod tables;
pub(crate) mod written;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::Deserialize;

pub(crate) use self::days::StreamDay;
pub use self::one::Record;
pub use self::roles::{NO_ROLE, ROLE_FEATURE, ROLE_TRANSACTIONS_MIN, RoleCounts, role};
pub use self::tables::{Decided, Entity, Reason};

use crate::dataflow::Options;
use crate::diagnostic::{Failure, Message};
use crate::event::{Pseudonyms, Schema};
use crate::expr::Zone;
use crate::judge::Labels;
use crate::rules::Policy;
use crate::run::{Events as Inputs, ModelPaths, Request, SORT_MEMORY};
use crate::sink::Written;
use crate::source::intake::{Intake, Taken};
use crate::source::log::{InputLog, Times};
use crate::source::mapping::Mapping;
use crate::source::order::{Ordered, Slice, SortMemory};
use crate::source::{FileRead, Input, Progress};

/// Events that are handed over together: few enough to stay in the cache of a core.
const SLICE_EVENTS: usize = 1 << 16;

/// The directory of a run that came to its end.
#[derive(Debug)]
pub struct FinishedRun {
    directory: PathBuf,
    facts: RunFile,
    metrics: serde_json::Value,
    zone: Zone,
    notes: Vec<Message>,
    /// Where its tables are, in order: the directory itself, or parts of a stream's days.
    parts: Vec<PathBuf>,
    /// The days of which it is made, where it is the directory of several.
    days: Vec<FinishedRun>,
    /// The files that were found to be what it wrote.
    checked: Mutex<BTreeSet<String>>,
}

/// `run.toml`, as far as it is needed to read a run again.
#[derive(Clone, Debug, Deserialize)]
struct RunFile {
    decisions_digest: String,
    #[serde(default)]
    partial: bool,
    #[serde(default)]
    rules: String,
    #[serde(default)]
    rules_hash: String,
    #[serde(default)]
    labels: String,
    labels_blake3: Option<String>,
    /// The key file of its pseudonyms, and the key's fingerprint.
    pseudonymise: Option<String>,
    pseudonymise_fingerprint: Option<String>,
    time_zone: Option<String>,
    dedup_window_ms: Option<i64>,
    tick_ms: Option<i64>,
    #[serde(default)]
    warmup_ms: i64,
    model: Option<String>,
    model_hash: Option<String>,
    input_log: Option<String>,
    #[serde(default)]
    allowed_lateness_ms: i64,
    #[serde(default)]
    max_ahead_ms: i64,
    /// What it wrote; none where an earlier version made it, or it is a stream's.
    #[serde(default)]
    files: Vec<Written>,
    #[serde(default)]
    inputs: Vec<InputEntry>,
    #[serde(default)]
    changes: Vec<ChangeEntry>,
    /// What is more of a day of a stream.
    stream: Option<StreamDay>,
}

#[derive(Clone, Debug, Deserialize)]
struct ChangeEntry {
    rules: String,
    rules_hash: String,
    model_hash: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct InputEntry {
    path: String,
    blake3: String,
    map: Option<String>,
    map_blake3: Option<String>,
}

/// The events of a run, in the order in which they were decided on.
#[derive(Debug)]
pub struct Events {
    ordered: Ordered,
    /// How many of them the run came to.
    reached: usize,
}

impl Events {
    /// How many events the run came to.
    pub fn len(&self) -> usize {
        self.reached
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.reached == 0
    }

    /// The events as they are read, for whoever runs them again.
    pub fn ordered(&self) -> &Ordered {
        &self.ordered
    }

    /// Events in order, whoever put them there.
    pub fn of(ordered: Ordered) -> Events {
        Events { reached: ordered.len(), ordered }
    }

    /// The effective time of the last event that the run came to; 0 where there is none.
    ///
    /// # Errors
    /// When events that were sorted on disk cannot be read back.
    pub fn end(&self) -> Result<i64, Failure> {
        let Some(last) = self.reached.checked_sub(1) else { return Ok(0) };
        let slice = self.ordered.slice(last..last + 1, 0).map_err(Failure::Environment)?;
        Ok(slice.effective[0])
    }

    /// Hands over all events in order, a slice at a time.
    ///
    /// # Errors
    /// When events that were sorted on disk cannot be read back, or `progress` says to stop.
    pub fn each_slice(
        &self,
        progress: &dyn Progress,
        each: &mut dyn FnMut(&Arc<Slice>),
    ) -> Result<(), Failure> {
        let mut start = 0;
        while start < self.reached {
            go_on(progress)?;
            let end = (start + SLICE_EVENTS).min(self.reached);
            each(&Arc::new(self.ordered.slice(start..end, 0).map_err(Failure::Environment)?));
            start = end;
        }
        Ok(())
    }
}

/// Goes on, unless somebody wants it to stop: then nothing of what was looked at is shown.
///
/// # Errors
/// When `progress` says to stop (exit 130).
pub fn go_on(progress: &dyn Progress) -> Result<(), Failure> {
    if progress.stop() { Err(Failure::Stopped) } else { Ok(()) }
}

impl FinishedRun {
    /// Opens a run directory; or a day of a stream, also one that grows, as far as it is then; or
    /// the directory of all its days.
    ///
    /// # Errors
    /// When it is none, or the run in it did not come to its end (usage, exit 2).
    pub fn open(directory: &Path) -> Result<FinishedRun, Failure> {
        let path = directory.join("run.toml");
        let Ok(text) = fs::read_to_string(&path) else {
            return Self::of_days_in(directory);
        };
        let facts: RunFile = toml::from_str(&text).map_err(|error| {
            let error = error.message().to_owned();
            damaged(&path, &error)
        })?;
        if let Some(day) = &facts.stream {
            let (parts, metrics) = (day.parts_of(directory), day.metrics(&facts.decisions_digest));
            return Ok(Self::of(directory, facts, metrics, parts)?.noting_files());
        }
        let path = directory.join("metrics.json");
        let metrics = fs::read(&path).map_err(|error| damaged(&path, &error.to_string()))?;
        let metrics =
            serde_json::from_slice(&metrics).map_err(|error| damaged(&path, &error.to_string()))?;
        Ok(Self::of(directory, facts, metrics, vec![directory.to_owned()])?.noting_files())
    }

    fn of(
        directory: &Path,
        facts: RunFile,
        metrics: serde_json::Value,
        parts: Vec<PathBuf>,
    ) -> Result<FinishedRun, Failure> {
        let mut notes = Vec::new();
        if facts.dedup_window_ms.is_none() || facts.time_zone.is_none() {
            notes.push(Message::new(
                "an earlier version made this run, which did not write down its time zone and \
                 dedup window: the defaults of the policy are taken",
                "该运行由旧版本生成，未记录时区与去重窗口：按策略默认值处理",
            ));
        }
        let name = facts.time_zone.clone().unwrap_or_else(|| Policy::default().time_zone);
        let zone = Zone::new(&name)
            .ok_or_else(|| damaged(&directory.join("run.toml"), "its time zone is unknown"))?;
        let (directory, days) = (directory.to_owned(), Vec::new());
        let checked = Mutex::default();
        Ok(FinishedRun { directory, facts, metrics, zone, notes, parts, days, checked })
    }

    /// Where one of its tables is, in the order of its rows.
    pub(crate) fn files<'r>(&'r self, name: &'r str) -> impl Iterator<Item = PathBuf> + 'r {
        self.parts.iter().map(move |part| part.join(name))
    }

    /// The days of which it is made, where it is the directory of several.
    pub fn days(&self) -> &[FinishedRun] {
        &self.days
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The digest of its decisions.
    pub fn decisions_digest(&self) -> &str {
        &self.facts.decisions_digest
    }

    /// The rules directory, as it was given; none where there were no rules.
    pub fn rules(&self) -> Option<&Path> {
        Some(self.facts.rules.as_str()).filter(|path| !path.is_empty()).map(Path::new)
    }

    /// The hash of the rules with which it began; empty where it is not known.
    pub fn rules_hash(&self) -> &str {
        &self.facts.rules_hash
    }

    /// The directory of the rules with this hash: those with which it began, or those of a change
    /// on the way, whose directory the log names as seen from its own place.
    pub fn rules_of(&self, hash: &str) -> Option<PathBuf> {
        let change = self.facts.changes.iter().find(|change| change.rules_hash == hash);
        let (Some(change), false) = (change, hash == self.facts.rules_hash) else {
            return self.rules().map(Path::to_owned);
        };
        let log = self.facts.input_log.as_ref().map(Path::new);
        let beside = log.map(|log| log.join(&change.rules)).filter(|path| path.is_dir());
        Some(beside.unwrap_or_else(|| PathBuf::from(&change.rules)))
    }

    /// What gives this run again, into another directory and without its labels. `options` say how it
    /// is cut up; the tick is the run's.
    ///
    /// # Errors
    /// When that cannot be had of these days of a stream (exit 2), see [`goes_on`](Self::goes_on).
    pub fn request(&self, out: PathBuf, options: Options) -> Result<Request, Failure> {
        if let Some(why) = self.goes_on() {
            return Err(Failure::Usage(why));
        }
        let facts = &self.facts;
        let events = match &facts.input_log {
            _ if facts.stream.is_some() => Inputs::Days(self.day_events()),
            Some(log) => {
                Inputs::Log { path: PathBuf::from(log), lateness: Some(facts.allowed_lateness_ms) }
            }
            None => Inputs::Files {
                paths: facts.inputs.iter().map(|input| PathBuf::from(&input.path)).collect(),
                maps: facts
                    .inputs
                    .iter()
                    .filter_map(|input| Some(input.map.as_ref()?.into()))
                    .collect(),
            },
        };
        Ok(Request {
            events,
            pseudonyms: self.pseudonyms()?,
            labels: None,
            rules: self.rules().map(Path::to_owned),
            models: self.models(),
            out,
            options: Options { tick: facts.tick_ms.unwrap_or(options.tick), ..options },
            warmup: facts.warmup_ms,
            rejects_max: None,
            sort_memory: SORT_MEMORY,
            place: None,
        })
    }

    /// The model that decided with the rules, as it was given.
    pub(crate) fn models(&self) -> ModelPaths {
        ModelPaths { champion: self.facts.model.as_ref().map(PathBuf::from), challenger: None }
    }

    /// The hash that an input had; none where there was none of that path.
    pub fn input_hash(&self, path: &str) -> Option<&str> {
        let entry = self.facts.inputs.iter().find(|entry| entry.path == path);
        entry.map(|entry| entry.blake3.as_str())
    }

    /// Whether its rules changed on the way.
    pub fn has_changes(&self) -> bool {
        !self.facts.changes.is_empty() || self.facts.stream.as_ref().is_some_and(|day| day.changed)
    }

    /// The labels that it was judged by, as the path was given; none where it had none.
    pub fn labels_path(&self) -> Option<&Path> {
        Some(self.facts.labels.as_str()).filter(|path| !path.is_empty()).map(Path::new)
    }

    /// The start of the stream that was not judged, ms.
    pub fn warmup(&self) -> i64 {
        self.facts.warmup_ms
    }

    /// Whether a model took part in its decisions, be it after a change on the way.
    pub fn has_model(&self) -> bool {
        self.facts.model_hash.is_some()
            || self.facts.changes.iter().any(|change| change.model_hash.is_some())
            || self.days.iter().any(FinishedRun::has_model)
    }

    /// Where its model is, as the path was given; none where it began without one.
    pub fn model_path(&self) -> Option<&Path> {
        self.facts.model.as_deref().map(Path::new)
    }

    /// The hash of its model; none where there was none.
    pub fn model_hash(&self) -> Option<&str> {
        self.facts.model_hash.as_deref()
    }

    /// What stands in metrics.json.
    pub fn metrics(&self) -> &serde_json::Value {
        &self.metrics
    }

    /// The zone of its hours and days.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether it was interrupted and holds only what it had done.
    pub fn partial(&self) -> bool {
        self.facts.partial
    }

    /// What whoever reads it should know.
    pub fn notes(&self) -> &[Message] {
        &self.notes
    }

    /// The schema of its events.
    ///
    /// # Errors
    /// When a mapping file has changed since, or an input is gone (exit 2).
    pub fn schema(&self) -> Result<Schema, Failure> {
        self.check_there()?;
        Ok(self.intake()?.schema()?.with_pseudonyms(self.pseudonyms()?))
    }

    /// What replaced its ids, if anything did: inputs, labels and lists that are read again have to
    /// get the same pseudonyms.
    ///
    /// # Errors
    /// When the key file is gone, or holds another key (exit 2).
    pub fn pseudonyms(&self) -> Result<Option<Arc<Pseudonyms>>, Failure> {
        let Some(path) = self.facts.pseudonymise.as_deref().map(Path::new) else { return Ok(None) };
        if !path.exists() {
            return Err(gone(&[path]));
        }
        let pseudonyms = Pseudonyms::read(path)?;
        let then = self.facts.pseudonymise_fingerprint.as_deref().unwrap_or_default();
        if pseudonyms.fingerprint() != then {
            let (path, now) = (path.display(), pseudonyms.fingerprint());
            return Err(usage(
                format!(
                    "{path} holds another key than that of this run: its fingerprint is {now}, and \
                     was {then}"
                ),
                format!("{path} 中的密钥与该运行所用的不同：指纹为 {now}，原为 {then}"),
            ));
        }
        Ok(Some(Arc::new(pseudonyms)))
    }

    /// Reads its inputs again.
    ///
    /// # Errors
    /// When an input or a mapping file has changed since, or is gone (exit 2), or `progress` says to
    /// stop (exit 130).
    pub fn events(&self, progress: &dyn Progress) -> Result<Events, Failure> {
        self.read_again(progress).map_err(|failure| match failure {
            Failure::Interrupted => Failure::Stopped,
            other => other,
        })
    }

    fn read_again(&self, progress: &dyn Progress) -> Result<Events, Failure> {
        self.check_there()?;
        let intake = self.intake()?;
        let schema = Arc::new(intake.schema()?.with_pseudonyms(self.pseudonyms()?));
        let policy = Policy::default();
        let times = Times {
            allowed_lateness: self.facts.allowed_lateness_ms,
            max_ahead: self.facts.max_ahead_ms,
        };
        let folder = self.directory.clone();
        let memory = SortMemory { bytes: SORT_MEMORY, folder };
        let Taken { events, files, .. } = intake.take(&schema, times, memory, None, progress)?;
        match self.facts.stream {
            Some(_) => self.check_written("events.parquet")?,
            None => self.check_unchanged(&files)?,
        }
        let dedup_window = self.facts.dedup_window_ms.unwrap_or(policy.dedup_window);
        let ordered = events.finish(dedup_window, &|| progress.stop())?;
        let reached = self.reached().unwrap_or(ordered.len());
        if reached > ordered.len() || (reached < ordered.len() && !self.facts.partial) {
            let (now, then) = (ordered.len(), reached);
            return Err(Failure::Usage(Message::new(
                format!(
                    "{now} events are read where the run had {then}: run the backtest again \
                     with this version"
                ),
                format!("读到 {now} 个事件，而运行时为 {then} 个：请用当前版本重新回测"),
            )));
        }
        Ok(Events { ordered, reached })
    }

    /// The labels that it was judged by; none where it had none.
    ///
    /// # Errors
    /// When the file has changed since, or is gone (exit 2).
    pub fn labels(&self) -> Result<Option<Labels>, Failure> {
        if self.facts.labels.is_empty() {
            return Ok(None);
        }
        let path = Path::new(&self.facts.labels);
        let bytes = fs::read(path).map_err(|_| gone(&[path]))?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        if self.facts.labels_blake3.as_ref().is_some_and(|then| *then != hash) {
            return Err(changed(&[path]));
        }
        Labels::read(path, self.pseudonyms()?.as_deref()).map(Some)
    }

    fn reached(&self) -> Option<usize> {
        let counts = self.metrics.get("counts")?;
        let count = |name: &str| counts.get(name)?.as_u64();
        Some((count("decided")? + count("applied")?) as usize)
    }

    fn intake(&self) -> Result<Intake, Failure> {
        if self.facts.stream.is_some() {
            return Ok(Intake::Days(self.day_events()));
        }
        if let Some(log) = &self.facts.input_log {
            let lateness = Some(self.facts.allowed_lateness_ms);
            let log = InputLog::open(Path::new(log))?.with_lateness(lateness);
            return Ok(Intake::Log(Box::new(log)));
        }
        let input = |entry: &InputEntry| {
            let mapping = match &entry.map {
                None => None,
                Some(map) => {
                    let mapping = Mapping::load(Path::new(map))?;
                    let hash = blake3::hash(mapping.text().as_bytes()).to_hex().to_string();
                    if entry.map_blake3.as_ref().is_some_and(|then| *then != hash) {
                        return Err(changed(&[Path::new(map)]));
                    }
                    Some(Arc::new(mapping))
                }
            };
            Ok(Input { path: PathBuf::from(&entry.path), mapping })
        };
        let inputs = self.facts.inputs.iter().map(input);
        Ok(Intake::Files(inputs.collect::<Result<_, Failure>>()?))
    }

    fn check_there(&self) -> Result<(), Failure> {
        let inputs = self.facts.inputs.iter();
        let paths = inputs.flat_map(|input| [Some(&input.path), input.map.as_ref()]).flatten();
        let missing: Vec<&Path> = paths.map(Path::new).filter(|path| !path.exists()).collect();
        if missing.is_empty() { Ok(()) } else { Err(gone(&missing)) }
    }

    fn check_unchanged(&self, files: &[(PathBuf, FileRead)]) -> Result<(), Failure> {
        let then = |path: &Path| {
            let entry = self.facts.inputs.iter().find(|entry| Path::new(&entry.path) == path);
            entry.map(|entry| entry.blake3.as_str())
        };
        let differs = |(path, file): &&(PathBuf, FileRead)| {
            let now = blake3::Hash::from(file.hash).to_hex();
            then(path).is_none_or(|then| then != now.as_str())
        };
        let other: Vec<&Path> =
            files.iter().filter(differs).map(|(path, _)| path.as_path()).collect();
        if other.is_empty() { Ok(()) } else { Err(changed(&other)) }
    }
}

fn damaged(path: &Path, error: &str) -> Failure {
    let path = path.display();
    Failure::Usage(Message::new(
        format!("cannot read {path}: {error}"),
        format!("无法读取 {path}：{error}"),
    ))
}

fn usage(en: impl Into<String>, zh: impl Into<String>) -> Failure {
    Failure::Usage(Message::new(en, zh))
}

fn names(paths: &[&Path]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

fn gone(paths: &[&Path]) -> Failure {
    let names = names(paths);
    Failure::Usage(Message::new(
        format!(
            "an input of this run is not there: {names}; paths in run.toml are as seen from \
             where the backtest was started, so start this command there too"
        ),
        format!(
            "该运行的输入文件不存在：{names}；run.toml 中的路径相对于回测启动目录，请在同一目录执行"
        ),
    ))
}

fn changed(paths: &[&Path]) -> Failure {
    let names = names(paths);
    Failure::Usage(Message::new(
        format!(
            "an input has changed since this run read it: {names}; run the backtest again, or \
             bring the file back"
        ),
        format!("输入文件在该运行之后已被改动：{names}；请重新回测，或恢复原文件"),
    ))
}
