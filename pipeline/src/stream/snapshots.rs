//! Snapshots of a stream: taken at a commit, written beside the stream as it goes on, and where it
//! begins after a restart.
//!
//! A snapshot is never ahead of what is committed, and names the resume record at which it was taken.
//! So whatever the program dies of, a restart finds one that is at or before the last commit, reads
//! the input from its offsets on, and decides again in silence what is between them.
//!
//! While the state is copied in memory the stream stands still; it goes on while the copy is
//! compressed and written. Where it stood still for long it says so.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use super::config::Config;
use super::connect::Tell;
use super::control::{Begin, Held, Resume};
use super::engine::Engine;
use crate::diagnostic::{Failure, Message};
use crate::document::Reader;
use crate::snapshot::{Part, State, Store, Stored};
use crate::stopwatch::Since;

/// How often state is saved unless told otherwise, in ms.
const INTERVAL_MS: i64 = 60_000;
/// A day without a snapshot is a mistake.
const INTERVAL_MAX_MS: i64 = 86_400_000;
/// So many are kept unless told otherwise: one may be broken, and the one before it is there.
const KEEP: i64 = 3;
/// Each is as large as the state.
const KEEP_MAX: i64 = 1_000;

/// Where and when the state of a stream is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The directory; of one stream alone.
    pub dir: PathBuf,
    /// Time between two snapshots, in ms; they are taken at commits.
    pub interval: i64,
    /// How many are kept.
    pub keep: usize,
}

impl Settings {
    /// Reads the table `[snapshots]` of a configuration, if it is there.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        root: &DeTable<'_>,
        path: &Path,
    ) -> Option<Settings> {
        let node = root.get("snapshots")?;
        let table = reader.as_table("snapshots", node)?;
        reader.known_keys(table, &["dir", "interval", "keep"]);
        reader.required_keys(table, node.span(), &["dir"]);
        let interval = reader.duration(table, "interval", 1..=INTERVAL_MAX_MS);
        let keep = reader.integer(table, "keep", 1..=KEEP_MAX).unwrap_or(KEEP);
        let dir = reader.string(table, "dir")?;
        Some(Settings {
            dir: path.parent().unwrap_or(Path::new("")).join(dir.get_ref()),
            interval: interval.unwrap_or(INTERVAL_MS),
            keep: keep as usize,
        })
    }
}

/// A stream that stands still for longer says so, in ms: whoever waits for a decision notices.
const PAUSE_TOLD_MS: u128 = 1_000;

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    /// The version of the program that wrote it, for whoever reads the manifest.
    program: String,
    /// Of the state, see [`Session::layout`].
    layout: String,
    /// With what its stream began: partitions, rules and times.
    begin: Begin,
    /// The commit at which it was taken.
    resume: Resume,
}

/// The snapshots of a stream.
pub(super) struct Snapshots {
    settings: Option<Settings>,
    layout: String,
    begin: Option<Begin>,
    /// The last commit of which there is one, or will be.
    last: Option<u64>,
    since: Since,
    /// The one that is being written.
    writing: Option<JoinHandle<std::io::Result<Stored>>>,
}

/// A snapshot from which a stream goes on.
pub(super) struct FoundSnapshot {
    resume: Resume,
    state: State,
    engine: Part,
}

impl Snapshots {
    pub(super) fn open(config: &Config, layout: [u8; 32]) -> Snapshots {
        Snapshots {
            settings: config.snapshots.clone(),
            layout: blake3::Hash::from(layout).to_hex().to_string(),
            begin: None,
            last: None,
            since: Since::now(),
            writing: None,
        }
    }

    /// The newest snapshot that is whole and of this stream; of others before it is told.
    pub(super) fn newest(
        &self,
        held: &Held,
        tell: Tell<'_>,
    ) -> Result<Option<FoundSnapshot>, Failure> {
        let Some(settings) = &self.settings else { return Ok(None) };
        let store = Store::new(&settings.dir, settings.keep);
        let fits = |_, about: &serde_json::Value| self.fits(about, held);
        let unreadable = |error| Failure::Environment(unusable(&settings.dir, &error));
        let found = store.newest(fits).map_err(unreadable)?;
        for (path, why) in &found.passed_over {
            tell(&why.tell(path));
        }
        let Some((_, about, mut state)) = found.snapshot else { return Ok(None) };
        let about: Option<About> = serde_json::from_value(about).ok();
        let Some((about, engine)) = about.zip(Engine::part_of(&mut state)) else {
            return Ok(None);
        };
        let decided = about.resume.counts.decided;
        tell(&Message::new(
            format!("going on from the snapshot at {decided} decisions"),
            format!("从已作出 {decided} 条决策时的快照继续"),
        ));
        Ok(Some(FoundSnapshot { resume: about.resume, state, engine }))
    }

    /// Whether a snapshot is of this stream as it is now.
    fn fits(&self, about: &serde_json::Value, held: &Held) -> Result<(), Message> {
        let about: About = serde_json::from_value(about.clone()).map_err(|error| {
            Message::new(format!("it is of no stream: {error}"), format!("它不属于流：{error}"))
        })?;
        if held.begin.as_ref() != Some(&about.begin) {
            return Err(Message::new(
                "it is of another stream, or of one with other rules; give each stream a snapshot \
                 directory of its own",
                "它属于另一个流，或规则不同的流；请为每个流使用各自的快照目录",
            ));
        }
        if about.layout != self.layout {
            let program = about.program;
            return Err(Message::new(
                format!(
                    "version {program} of the program wrote it with other features; to go on from \
                     it, run that version"
                ),
                format!("它由程序版本 {program} 以不同的特征写入；如需由此继续，请运行该版本"),
            ));
        }
        match &held.resume {
            Some(last) if about.resume.serial < last.serial || about.resume == *last => Ok(()),
            _ => Err(Message::new(
                "it is ahead of what the control topic says is committed",
                "它超前于控制主题中已提交的进度",
            )),
        }
    }

    /// The snapshots of a stream that began so and goes on from there.
    pub(super) fn of(self, begin: &Begin, found: Option<&FoundSnapshot>) -> Snapshots {
        let last = found.map(|found| found.resume.serial);
        Snapshots { begin: Some(begin.clone()), last, since: Since::now(), ..self }
    }

    /// Whether the state of this commit is to be saved.
    pub(super) fn is_due(&mut self, resume: &Resume, at_end: bool) -> bool {
        let Some(settings) = &self.settings else { return false };
        let is_new = self.last.is_none_or(|last| last < resume.serial);
        let free = self.writing.as_ref().is_none_or(JoinHandle::is_finished);
        let interval = Duration::from_millis(settings.interval as u64);
        is_new && (at_end || (free && self.since.elapsed() >= interval))
    }

    /// Copies the state of this commit, and writes it on a thread of its own.
    pub(super) fn write(
        &mut self,
        resume: &Resume,
        engine: &mut Engine,
        tell: Tell<'_>,
    ) -> Result<(), Failure> {
        self.wait(tell);
        let pause = Since::now();
        let state = engine.save()?;
        let pause = pause.elapsed().as_millis();
        if pause > PAUSE_TOLD_MS {
            tell(&still(pause, &state));
        }
        let (Some(settings), Some(begin)) = (&self.settings, &self.begin) else { return Ok(()) };
        let about = About {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            layout: self.layout.clone(),
            begin: begin.clone(),
            resume: resume.clone(),
        };
        let store = Store::new(&settings.dir, settings.keep);
        let number = resume.serial;
        let write = move || {
            let about = serde_json::to_value(about).map_err(std::io::Error::other)?;
            store.write(number, about, &state)
        };
        (self.last, self.since) = (Some(number), Since::now());
        self.writing = Some(std::thread::spawn(write));
        Ok(())
    }

    /// Waits until the one that is being written is on disk. That one cannot be written is said, and is
    /// no reason to stop: the ones before are there.
    pub(super) fn wait(&mut self, tell: Tell<'_>) {
        let Some(writing) = self.writing.take() else { return };
        let written = writing.join().unwrap_or_else(|_| Err(std::io::Error::other("a panic")));
        if let (Err(error), Some(settings)) = (written, &self.settings) {
            tell(&unusable(&settings.dir, &error));
        }
    }
}

impl FoundSnapshot {
    /// Where a partition goes on.
    pub(super) fn offset(&self, at: usize) -> u64 {
        self.resume.partitions[at].next_offset
    }

    /// What a session goes on from.
    pub(super) fn take(&mut self) -> State {
        std::mem::take(&mut self.state)
    }

    /// Brings the engine to where it was.
    pub(super) fn restore(&self, engine: &mut Engine, tell: Tell<'_>) -> Result<(), Failure> {
        if !engine.load(&self.engine)? {
            tell(&Message::new(
                "what was held before the snapshot is not listed: HTTP was off when it was taken",
                "快照生成时未启用 HTTP，此前暂缓的交易不在列表中",
            ));
        }
        Ok(())
    }
}

fn still(pause: u128, state: &State) -> Message {
    let bytes: usize = state.parts.iter().map(|part| part.bytes.len()).sum();
    let megabytes = bytes / 1_000_000;
    Message::new(
        format!("nothing was decided for {pause} ms while {megabytes} MB of state were copied"),
        format!("复制 {megabytes} MB 状态期间，有 {pause} 毫秒未作决策"),
    )
}

fn unusable(directory: &Path, error: &std::io::Error) -> Message {
    let directory = directory.display();
    Message::new(
        format!("the snapshot directory {directory} cannot be used: {error}"),
        format!("无法使用快照目录 {directory}：{error}"),
    )
}
