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
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use toml::de::DeTable;

use super::config::Config;
use super::control::{Begin, Counted, Resume};
use super::day_files::{Files, Held, Open, replace};
use crate::diagnostic::{Failure, Message};
use crate::document::Reader;
use crate::event::{Pseudonyms, Schema, Type};
use crate::expr::Zone;
use crate::finished::days::{DayCounts, OWNER, StreamDay, listed};
use crate::rules::Policy;
use crate::run::ModelPaths;
use crate::sink::Scored;
use crate::stopwatch::{Since, unix_ms};
use crate::verdicts::Finding;

/// How often a part is written unless told otherwise, in ms.
const INTERVAL_MS: i64 = 60_000;
const INTERVAL_MAX_MS: i64 = 3_600_000;
/// So many events are a part, however soon they came: they wait in memory.
const EVENTS_MAX: usize = 1 << 16;
/// From inside any day into the next, and not past that, also where clocks change.
const INTO_NEXT_MS: i64 = 30 * 3_600_000;
/// Characters by which processes are told apart.
const TOKEN: usize = 12;

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
    pub(super) fn days_kept(&self) -> Option<i64> {
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
pub(super) enum Task {
    Part(Box<Part>),
    /// Says when all before it is on disk.
    Told(SyncSender<()>),
}

/// What was decided of a day since the part before.
pub(super) struct Part {
    pub(super) day: String,
    pub(super) scored: Vec<Scored>,
    pub(super) columns: Vec<(String, Type)>,
    pub(super) at: At,
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
