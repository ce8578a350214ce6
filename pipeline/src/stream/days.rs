//! What a stream decides as run directories, one a day, which every command that takes a run can
//! read while they grow.
//!
//! A day is that of the effective time, in the policy's zone. What is decided is gathered, and after
//! a commit, now and then, it becomes a *part* of the day: a folder that is renamed when it is whole
//! and never changed. Then `run.toml` is replaced, and only what that speaks of is there. So what is
//! on disk is never ahead of what is committed; and no snapshot is whole before all that was decided
//! before it is on disk. Whatever the program dies of, what is missing is therefore decided again by
//! the next start, which leaves out what is there.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use toml::de::DeTable;

use super::config::Config;
use super::control::{Begin, Counted, Resume};
use crate::changes::Deciders;
use crate::decision::Names;
use crate::diagnostic::{Failure, Message};
use crate::document::Reader;
use crate::event::{Pseudonyms, Schema, Type};
use crate::expr::Zone;
use crate::finished::days::{DayCounts, PARTS, StreamDay, listed};
use crate::rules::Policy;
use crate::run::ModelPaths;
use crate::sink::lines::LineReader;
use crate::sink::log::{BLOCKS_FILE, Blocks};
use crate::sink::parquet::{
    Writer, challenger_columns, challenger_schema, decisions_columns, decisions_schema,
    events_columns, events_schema, features_columns, features_schema,
};
use crate::sink::{CHALLENGER_FILE, Scored, entities};
use crate::snapshot::take_away;
use crate::stopwatch::{Since, unix_ms};
use crate::verdicts::Finding;

/// How often a part is written unless told otherwise, in ms.
const INTERVAL_MS: i64 = 60_000;
const INTERVAL_MAX_MS: i64 = 3_600_000;
/// So many events are a part, however soon they came: they wait in memory.
const EVENTS_MAX: usize = 1 << 16;
/// From inside any day into the next, and not past that, also where clocks change.
const INTO_NEXT_MS: i64 = 30 * 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Characters by which processes are told apart.
const TOKEN: usize = 12;
/// Says who writes.
const OWNER: &str = ".owner";

/// Where the days of a stream are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The directory; of one stream alone.
    pub dir: PathBuf,
    /// The longest time from a decision to when it can be read, in ms.
    pub interval: i64,
}

impl Settings {
    /// Reads the table `[days]` of a configuration, if it is there.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        root: &DeTable<'_>,
        path: &Path,
    ) -> Option<Settings> {
        let node = root.get("days")?;
        let table = reader.as_table("days", node)?;
        reader.known_keys(table, &["dir", "interval", "keep"]);
        if let Some(node) = table.get("keep") {
            let message = Message::new(
                "how many days are kept is said in the policy.toml of the rules",
                "保留多少天由规则目录中的 policy.toml 指定",
            );
            let hint = Message::new("[days] keep = 30, there", "在该文件中写 [days] keep = 30");
            reader.fail("days-keep", node.span(), message, Some(hint));
        }
        reader.required_keys(table, node.span(), &["dir"]);
        let interval = reader.duration(table, "interval", 1..=INTERVAL_MAX_MS);
        let dir = reader.string(table, "dir")?;
        let dir = path.parent().unwrap_or(Path::new("")).join(dir.get_ref());
        Some(Settings { dir, interval: interval.unwrap_or(INTERVAL_MS) })
    }
}

/// What is the same for all days of a stream.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// BLAKE3 of that with which the stream began.
    pub(super) begin: String,
    pub(super) rules: Option<PathBuf>,
    pub(super) models: ModelPaths,
    pub(super) pseudonyms: Option<Arc<Pseudonyms>>,
    pub(super) zone: String,
    pub(super) dedup_window: i64,
    pub(super) tick: i64,
    pub(super) allowed_lateness: i64,
    pub(super) max_ahead: i64,
    pub(super) extra: Vec<(String, Type)>,
}

impl Facts {
    pub(super) fn of(config: &Config, begin: &Begin, policy: &Policy) -> Facts {
        // It is made of strings and integers.
        let bytes = serde_json::to_vec(begin).unwrap_or_default();
        Facts {
            begin: blake3::hash(&bytes).to_hex().to_string(),
            rules: config.rules.clone(),
            models: config.models.clone(),
            pseudonyms: config.pseudonyms.clone(),
            zone: policy.time_zone.clone(),
            dedup_window: policy.dedup_window,
            tick: config.tick,
            allowed_lateness: policy.allowed_lateness,
            max_ahead: policy.max_ahead,
            extra: config.extras.clone(),
        }
    }

    /// How many days are kept, the last one included, as the policy on disk says: it decides nothing, and
    /// so is no change of rules. None: all, also where there is no policy or anything is wrong with it.
    fn days_kept(&self) -> Option<i64> {
        let path = self.rules.as_ref()?.join(Policy::FILE);
        let text = fs::read_to_string(&path).ok()?;
        let schema = Schema::with_extras(self.extra.iter().cloned());
        let (policy, wrong) = Policy::read(&path, &text, &schema);
        policy.days_kept.filter(|_| wrong.is_empty())
    }
}

/// How far a stream is: everything before the frontier is decided.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub(super) frontier: i64,
    pub(super) counts: Counted,
    pub(super) digest: String,
    /// The verdicts that hold there.
    pub(super) findings: Vec<Finding>,
}

/// The days of a stream, as the stream has them.
pub(super) struct Days {
    interval: Duration,
    zone: Zone,
    dir: PathBuf,
    /// How far they were when the stream began.
    found: Option<StreamDay>,
    /// The effective times of what is gathered: of one day, or of what is on disk.
    span: Range<i64>,
    gathered: Vec<Scored>,
    /// Days that ended since the last commit.
    ended: Vec<Part>,
    /// Events in both.
    events: usize,
    since: Since,
    /// The columns of features.
    pub(super) columns: Vec<(String, Type)>,
    /// Those from effective times on at which rules with others come into force.
    to_come: VecDeque<(i64, Vec<(String, Type)>)>,
    sender: Option<SyncSender<Task>>,
    writer: Option<JoinHandle<Result<(), String>>>,
}

/// What is to be written.
enum Task {
    Part(Box<Part>),
    /// Says when all before it is on disk.
    Told(SyncSender<()>),
}

struct Part {
    day: String,
    scored: Vec<Scored>,
    columns: Vec<(String, Type)>,
    at: At,
}

impl Days {
    /// Goes on with the days that are there. The stream has been brought to where it was at
    /// `begun`, and will decide again all up to `committed`.
    ///
    /// # Errors
    /// When they are of another stream, or ahead of this one (exit 2); when another process has them,
    /// or the disk fails (exit 3).
    pub(super) fn open(
        settings: &Settings,
        facts: Facts,
        (begun, committed): (Counted, Option<&Resume>),
        tell: super::connect::Tell<'_>,
    ) -> Result<Days, Failure> {
        let dir = &settings.dir;
        fs::create_dir_all(dir).map_err(|error| unusable(dir, &error.to_string()))?;
        let zone = Zone::new(&facts.zone).ok_or_else(|| unusable(dir, "unknown zone"))?;
        let wrong = |why: String| unusable(dir, &why);
        if let Some(day) = listed(dir).pop() {
            let Held { stream: found, .. } = Held::read(&day).map_err(wrong)?;
            let total = committed.map_or(0, |resume| events(resume.counts.into()));
            if found.begin != facts.begin || events(found.total) > total {
                return Err(of_another(dir));
            }
        }
        let now = format!("{} {} {dir:?}", std::process::id(), unix_ms());
        let token = blake3::hash(now.as_bytes()).to_hex()[..TOKEN].to_owned();
        replace(dir, OWNER, &token).map_err(wrong)?;
        // Whoever had them before may have written until now.
        let open = listed(dir).pop().map(|day| Open::read(&day)).transpose().map_err(wrong)?;
        let found = open.as_ref().map(|open| open.is.clone());
        let there = found.as_ref().map_or(0, |found| events(found.total));
        let whole = events(begun.into()) <= there && found.as_ref().is_none_or(|found| found.whole);
        if events(begun.into()) > there {
            tell(&Message::new(
                format!(
                    "{} begins after a gap: what was decided before the snapshot is not there",
                    dir.display()
                ),
                format!("{} 从缺口之后开始：快照之前的决策不在其中", dir.display()),
            ));
        }
        let (sender, tasks) = sync_channel(1);
        let mut files = Files { settings: settings.clone(), facts, whole, open, token };
        let own = Zone::new(zone.name()).ok_or_else(|| unusable(dir, "unknown zone"))?;
        let run = move || files.run(&tasks, &own);
        Ok(Days {
            interval: Duration::from_millis(settings.interval as u64),
            zone,
            dir: dir.clone(),
            found,
            span: i64::MIN..i64::MIN,
            gathered: Vec::new(),
            ended: Vec::new(),
            events: 0,
            since: Since::now(),
            columns: Vec::new(),
            to_come: VecDeque::new(),
            sender: Some(sender),
            writer: Some(std::thread::spawn(run)),
        })
    }

    /// Has features have these columns from an effective time on: what is decided from then on is of
    /// another part.
    pub(super) fn change(&mut self, time: i64, columns: Vec<(String, Type)>) {
        self.span.end = self.span.end.min(time);
        self.to_come.push_back((time, columns));
    }

    /// Whether an event of that effective time is of another day than those that were fed before, or of
    /// other rules.
    pub(super) fn ends_before(&self, time: i64) -> bool {
        time >= self.span.end
    }

    /// Ends the day so far: the next event has that effective time, and `at` is how far the stream
    /// is, all of it decided.
    ///
    /// # Errors
    /// When what is on disk is not what this stream decided (exit 2).
    pub(super) fn begin(&mut self, time: i64, at: At) -> Result<(), Failure> {
        let frontier = self.span.end;
        self.close_part(At { frontier, ..at.clone() });
        if let Some(found) = self.found.take_if(|found| found.frontier <= time) {
            let passed = events(at.counts.into()) >= events(found.total);
            // After a gap the stream cannot know what was before.
            let same = events(at.counts.into()) > events(found.total) || at.digest == found.digest;
            if !passed || !same {
                return Err(of_another(&self.dir));
            }
        }
        while let Some((_, columns)) = self.to_come.pop_front_if(|(start, _)| *start <= time) {
            self.columns = columns;
        }
        self.span = match &self.found {
            Some(found) => i64::MIN..found.frontier,
            None => {
                let start = self.zone.day_start(time);
                start..self.zone.day_start(start + INTO_NEXT_MS)
            }
        };
        if let Some((start, _)) = self.to_come.front() {
            self.span.end = self.span.end.min(*start);
        }
        Ok(())
    }

    /// Where what is fed together ends.
    pub(super) fn end(&self) -> i64 {
        self.span.end
    }

    /// Gathers what was decided, unless it is on disk.
    pub(super) fn take(&mut self, scored: Scored) {
        let events = scored.batch.slice.chunk.len();
        if self.found.is_none() && events > 0 {
            self.events += events;
            self.gathered.push(scored);
        }
    }

    /// Whether so much is gathered that it is to be written, however soon.
    pub(super) fn is_full(&self) -> bool {
        self.events >= EVENTS_MAX
    }

    /// Whether what is gathered is to be written with the next commit.
    pub(super) fn is_due(&self) -> bool {
        self.is_full() || (self.events > 0 && self.since.elapsed() >= self.interval)
    }

    /// Hands over what is gathered to be written; all of it is committed.
    ///
    /// # Errors
    /// When what was handed over before could not be written (exit 3).
    pub(super) fn write(&mut self, at: At) -> Result<(), Failure> {
        (self.since, self.events) = (Since::now(), 0);
        self.close_part(at);
        let ended = std::mem::take(&mut self.ended);
        ended.into_iter().try_for_each(|part| self.hand(Task::Part(Box::new(part))))
    }

    fn close_part(&mut self, at: At) {
        if !self.gathered.is_empty() {
            let scored = std::mem::take(&mut self.gathered);
            let day = self.zone.date(self.span.start).to_string();
            self.ended.push(Part { day, scored, columns: self.columns.clone(), at });
        }
    }

    /// Says when all that was handed over is on disk.
    pub(super) fn told(&mut self) -> Result<Receiver<()>, Failure> {
        let (sender, receiver) = sync_channel(1);
        self.hand(Task::Told(sender))?;
        Ok(receiver)
    }

    fn hand(&mut self, task: Task) -> Result<(), Failure> {
        let sent = self.sender.as_ref().is_some_and(|sender| sender.send(task).is_ok());
        if sent { Ok(()) } else { self.close() }
    }

    /// Waits until all is on disk.
    ///
    /// # Errors
    /// When it cannot be written (exit 3).
    pub(super) fn close(&mut self) -> Result<(), Failure> {
        self.sender = None;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let written = writer.join().unwrap_or_else(|_| Err("a panic".to_owned()));
        written.map_err(|why| unusable(&self.dir, &why))
    }
}

/// The files of days, on a thread of their own.
struct Files {
    settings: Settings,
    facts: Facts,
    /// Whether everything since the stream's beginning is there, or was until it was removed.
    whole: bool,
    open: Option<Open>,
    /// By which parts of this process are told from those of others.
    token: String,
}

/// The last day.
struct Open {
    directory: PathBuf,
    /// By which it began; its first model, where that came on the way.
    deciders: Deciders,
    is: StreamDay,
    /// What the stream had before it.
    before: DayCounts,
    blocks: Blocks,
}

impl Open {
    /// The day in a directory. What its `run.toml` does not speak of is of one that died, and goes.
    fn read(directory: &Path) -> Result<Open, String> {
        let Held { deciders, stream: is } = Held::read(directory)?;
        for entry in fs::read_dir(directory.join(PARTS)).into_iter().flatten().flatten() {
            if !is.parts.iter().any(|part| *part == entry.file_name().to_string_lossy()) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(|error| failed(&path, &error))?;
            }
        }
        let mut blocks = Blocks::default();
        let parts = is.parts_of(directory);
        let mut lines = LineReader::of(parts.iter().map(|part| part.join("decisions.parquet")))?;
        while let Some(line) = lines.next_line()? {
            blocks.append_line(line);
        }
        let left = |total: u64, own: u64| total.saturating_sub(own);
        let before = DayCounts {
            decided: left(is.total.decided, is.counts.decided),
            applied: left(is.total.applied, is.counts.applied),
            rejected: left(is.total.rejected, is.counts.rejected),
            duplicates: left(is.total.duplicates, is.counts.duplicates),
        };
        let directory = directory.to_owned();
        Ok(Open { directory, deciders, is, before, blocks })
    }
}

/// What `run.toml` says of a day, as far as it is needed to go on.
#[derive(serde::Deserialize)]
struct Held {
    #[serde(flatten)]
    deciders: Deciders,
    stream: StreamDay,
}

impl Held {
    fn read(directory: &Path) -> Result<Held, String> {
        let path = directory.join("run.toml");
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| failed(&error))?;
        toml::from_str(&text).map_err(|error| failed(&error))
    }
}

impl Files {
    fn run(&mut self, tasks: &Receiver<Task>, zone: &Zone) -> Result<(), String> {
        for task in tasks {
            match task {
                Task::Part(part) => self.write(*part, zone)?,
                // Whoever asked may have gone away.
                Task::Told(sender) => drop(sender.send(())),
            }
        }
        Ok(())
    }

    fn write(&mut self, part: Part, zone: &Zone) -> Result<(), String> {
        let directory = self.settings.dir.join(&part.day);
        if self.open.as_ref().is_none_or(|open| open.directory != directory) {
            let deciders = deciders(&part.scored[0].names);
            let before = self.open.as_ref().map_or_else(DayCounts::default, |open| open.is.total);
            let is = StreamDay {
                begin: self.facts.begin.clone(),
                frontier: i64::MIN,
                parts: Vec::new(),
                whole: self.whole,
                changed: false,
                digest: String::new(),
                counts: DayCounts::default(),
                total: before,
                extra: self.facts.extra.iter().cloned().collect(),
            };
            let blocks = Blocks::default();
            // One that died before it said that the day is there.
            take_away(&directory).map_err(|error| failed(&directory, &error))?;
            self.open = Some(Open { directory, deciders, is, before, blocks });
            self.remove_old(part.scored[0].batch.slice.effective[0], zone)?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.is.whole &= self.whole;
        let name = format!("{:06}-{}", open.is.parts.len(), self.token);
        open.write_part(part, &name)?;
        check_owner(&self.settings.dir, &self.token)?;
        open.tell(&self.facts)
    }

    /// Removes days that are not kept.
    fn remove_old(&self, time: i64, zone: &Zone) -> Result<(), String> {
        let Some(keep) = self.facts.days_kept() else { return Ok(()) };
        // From noon, so that no change of clocks leaves the day.
        let noon = zone.day_start(time) + DAY_MS / 2;
        let first = zone.date(noon - (keep - 1) * DAY_MS).to_string();
        for day in listed(&self.settings.dir) {
            let name = day.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name < first {
                take_away(&day)
                    .map_err(|error| format!("cannot remove {}: {error}", day.display()))?;
            }
        }
        Ok(())
    }
}

impl Open {
    /// Writes a part, of which nobody knows yet.
    fn write_part(&mut self, part: Part, name: &str) -> Result<(), String> {
        let Part { scored, columns, at, .. } = part;
        let parts = self.directory.join(PARTS);
        let (draft, whole) = (parts.join(format!(".{name}")), parts.join(name));
        fs::create_dir_all(&draft).map_err(|error| failed(&draft, &error))?;
        for scored in &scored {
            let (rows, events) = (scored.batch.rows.len(), scored.batch.slice.chunk.len());
            self.is.counts.decided += rows as u64;
            self.is.counts.applied += (events - rows) as u64;
            // A challenger decides nothing.
            let Deciders { rules_hash, model_hash, .. } = deciders(&scored.names);
            let begun = (&self.deciders.rules_hash, &self.deciders.model_hash);
            self.is.changed |= (&rules_hash, &model_hash) != begun;
            // One that came on the way took part as well, and whoever reads the day is to know.
            self.deciders.model_hash = self.deciders.model_hash.take().or(model_hash);
            self.blocks.append(&scored.batch, &scored.names);
        }
        let (blocks, _) = self.blocks.so_far();
        write_tables(&draft, scored, &columns)?;
        entities::write(&draft.join("entities.parquet"), &at.findings)?;
        put(&draft.join(BLOCKS_FILE), blocks.as_bytes())?;
        let entries = fs::read_dir(&draft).map_err(|error| failed(&draft, &error))?;
        entries.flatten().try_for_each(|entry| sync(&entry.path()))?;
        sync(&draft)?;
        fs::rename(&draft, &whole).map_err(|error| failed(&whole, &error))?;
        sync(&parts)?;
        self.is.parts.push(name.to_owned());
        self.is.frontier = at.frontier;
        self.is.digest = at.digest;
        self.is.total = at.counts.into();
        self.is.counts.rejected = self.is.total.rejected.saturating_sub(self.before.rejected);
        self.is.counts.duplicates = self.is.total.duplicates.saturating_sub(self.before.duplicates);
        Ok(())
    }

    /// Says what is there now.
    fn tell(&mut self, facts: &Facts) -> Result<(), String> {
        let digest = self.blocks.so_far().1.to_hex().to_string();
        let counts = serde_json::json!({ "counts": self.is.counts, "decisions_digest": digest });
        replace(&self.directory, "metrics.json", &format!("{counts:#}\n"))?;
        replace(&self.directory, "run.toml", &self.run_toml(facts, &digest)?)?;
        // Those of the last two are read.
        if let Some(old) = self.is.parts.iter().nth_back(2) {
            let old = self.directory.join(PARTS).join(old);
            for file in [BLOCKS_FILE, "entities.parquet"] {
                let _ = fs::remove_file(old.join(file));
            }
        }
        Ok(())
    }

    fn run_toml(&self, facts: &Facts, digest: &str) -> Result<String, String> {
        #[derive(serde::Serialize)]
        struct Written<'w> {
            version: &'w str,
            decisions_digest: &'w str,
            #[serde(flatten)]
            deciders: &'w Deciders,
            partial: bool,
            rules: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            model: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            challenger: Option<String>,
            labels: &'w str,
            #[serde(skip_serializing_if = "Option::is_none")]
            pseudonymise: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pseudonymise_fingerprint: Option<&'w str>,
            time_zone: &'w str,
            dedup_window_ms: i64,
            tick_ms: i64,
            warmup_ms: i64,
            allowed_lateness_ms: i64,
            max_ahead_ms: i64,
            stream: &'w StreamDay,
        }
        let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        // What it is told may be others than those that decided, whose hashes say so.
        let of = |path, hash: &Option<String>| hash.as_ref().and_then(|_| shown(path));
        let ModelPaths { champion, challenger } = &facts.models;
        let pseudonyms = facts.pseudonyms.as_deref();
        toml::to_string(&Written {
            version: env!("CARGO_PKG_VERSION"),
            decisions_digest: digest,
            deciders: &self.deciders,
            partial: false,
            rules: shown(&facts.rules).unwrap_or_default(),
            model: of(champion, &self.deciders.model_hash),
            challenger: of(challenger, &self.deciders.challenger_hash),
            labels: "",
            pseudonymise: pseudonyms.map(|held| held.path().display().to_string()),
            pseudonymise_fingerprint: pseudonyms.map(|held| held.fingerprint()),
            time_zone: &facts.zone,
            dedup_window_ms: facts.dedup_window,
            tick_ms: facts.tick,
            warmup_ms: 0,
            allowed_lateness_ms: facts.allowed_lateness,
            max_ahead_ms: facts.max_ahead,
            stream: &self.is,
        })
        .map_err(|error| error.to_string())
    }
}

/// What decided what has these names.
fn deciders(names: &Names) -> Deciders {
    let hash = |hash: &String| Some(hash.clone()).filter(|hash| !hash.is_empty());
    Deciders {
        rules_hash: names.rules_hash.clone(),
        model_hash: hash(&names.model_hash),
        challenger_hash: hash(&names.challenger_hash),
    }
}

fn write_tables(
    folder: &Path,
    scored: Vec<Scored>,
    features: &[(String, Type)],
) -> Result<(), String> {
    let path = |name: &str| folder.join(name);
    let failed = |error: parquet::errors::ParquetError| {
        format!("cannot write to {}: {error}", folder.display())
    };
    let schema = scored[0].batch.slice.chunk.schema().clone();
    let create = |name: &str, schema| Writer::create(&path(name), schema).map_err(failed);
    let mut events = create("events.parquet", events_schema(&schema))?;
    let mut decisions = create("decisions.parquet", decisions_schema())?;
    let mut rows = create("features.parquet", features_schema(features))?;
    let challenged = scored.iter().any(|scored| !scored.batch.challenger.verdicts.is_empty());
    let mut challenger =
        challenged.then(|| create(CHALLENGER_FILE, challenger_schema())).transpose()?;
    for Scored { batch, names, features, .. } in scored {
        events.write(events_columns(&batch.slice)).map_err(failed)?;
        if let Some(file) = challenger.as_mut().filter(|_| !batch.challenger.verdicts.is_empty()) {
            file.write(challenger_columns(&batch)).map_err(failed)?;
        }
        if !batch.rows.is_empty() {
            decisions.write(decisions_columns(&batch, &names)).map_err(failed)?;
            rows.write(features_columns(&batch, features)).map_err(failed)?;
        }
    }
    let all = [events, decisions, rows].into_iter().chain(challenger);
    all.into_iter().try_for_each(|writer| writer.close().map_err(failed))
}

/// Writes a file anew: whoever reads it has the one before or this one.
fn replace(directory: &Path, name: &str, text: &str) -> Result<(), String> {
    let (draft, path) = (directory.join(format!(".{name}")), directory.join(name));
    put(&draft, text.as_bytes())?;
    sync(&draft)?;
    fs::rename(&draft, &path).map_err(|error| failed(&path, &error))?;
    sync(directory)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| failed(path, &error))
}

fn sync(path: &Path) -> Result<(), String> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

/// Whether the directory is still that of the one who says so: another may have taken the stream's
/// name, and goes on with the days. What it does not know of it decides again.
fn check_owner(dir: &Path, token: &str) -> Result<(), String> {
    match fs::read_to_string(dir.join(OWNER)) {
        Ok(owner) if owner == token => Ok(()),
        Ok(_) => Err("another instance goes on with them; each stream has a dir of its own".into()),
        Err(error) => Err(failed(&dir.join(OWNER), &error)),
    }
}

fn events(counts: DayCounts) -> u64 {
    counts.decided + counts.applied
}

impl From<Counted> for DayCounts {
    fn from(Counted { decided, applied, rejected, duplicates }: Counted) -> DayCounts {
        DayCounts { decided, applied, rejected, duplicates }
    }
}

fn of_another(dir: &Path) -> Failure {
    let dir = dir.display();
    Failure::Usage(Message::new(
        format!(
            "the days in {dir} are of another stream: give each stream a [days] dir of its own"
        ),
        format!("{dir} 中的日目录属于另一个流：请为每个流设置各自的 [days] dir"),
    ))
}

fn unusable(dir: &Path, why: &str) -> Failure {
    let dir = dir.display();
    Failure::Environment(Message::new(
        format!("the days in {dir} cannot be written: {why}"),
        format!("无法写入日目录 {dir}：{why}"),
    ))
}
