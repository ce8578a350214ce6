//! The input log: what happened, so that it can be replayed to the same bytes.
//!
//! A log is a directory. A live run writes it, [`InputLog`] reads it back:
//!
//! ```text
//! log.toml             what held for all of it
//! partitions/0.jsonl   a record a line, in the order of offsets; also .jsonl.gz and .jsonl.zst
//! partitions/1.jsonl   one file a partition, empty where the partition is
//! control.jsonl        what happened beside the records; may be left out
//! ```
//!
//! `log.toml`:
//!
//! ```toml
//! version = 1
//! partitions = 2
//! allowed_lateness = "2s"   # the policy's when the log was written; left out: the rules' policy
//! max_ahead = "5m"          # the same
//! [extra]                   # types of columns of one's own: int, double, bool, string
//! channel = "string"        # the key "extra.channel" of a record
//! ```
//!
//! A line of a partition, where `value` is the record as it came:
//!
//! ```json
//! {"offset":17,"append_time":1707480000123,"value":{"event_id":"e1","event_time":1707480000000}}
//! ```
//!
//! In place of `value`, `raw_base64` holds the bytes of a record that is not JSON, or not in one
//! line; of one longer than 1 MiB it need hold but 1 MiB and a byte, for it is refused either way.
//! Offsets rise; gaps are no mistake. `append_time` is ms since 1970 UTC.
//!
//! A line of `control.jsonl`:
//!
//! ```json
//! {"kind":"heartbeat","partition":1,"next_offset":18,"event_time_max":1707480000000}
//! ```
//!
//! From the record `next_offset` on, the idle partition is as if it had accepted an event of that
//! time. A heartbeat holds a time and not a watermark, so that a log may be replayed with another
//! lateness.
//!
//! or
//!
//! ```json
//! {"kind":"change","effective_time":1707480600000,"rules":"rules-2"}
//! ```
//!
//! From that effective time on, whichever partition an event comes from, the rules of that
//! directory decide; its path is relative to the log. The replay begins with the rules that it is
//! given, and of two changes at one time the later line wins. What a change may alter, and what
//! becomes of features, is told in [`crate::changes`]. With `"backfilled":true`, as a stream writes
//! it, a feature that it brings has a value from that time on, else when its window is full.
//!
//! # Effective times
//!
//! A partition's watermark is the largest event time that it accepted so far (or that a heartbeat
//! gave it) minus the allowed lateness. An event whose time is before the watermark is late, and
//! its effective time is the watermark. *Accepted* is what was not refused when it came: malformed
//! records and those of a time ahead move nothing, and what is too old could not. That an id was
//! used before is found later, in the total order, which needs the effective times: it does not
//! take the watermark back.

mod control;
pub(super) mod frames;
mod partition;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub use self::control::{Change, Heartbeat, LOG_VERSION, ModelTold};
use self::control::{Entry, Header};
pub use self::partition::{Arrived, Decoder, Watermark};
use super::feed::Feed;
use super::file::seal;
use super::order::Sorter;
use super::{BLOCK_BYTES, FileRead, Input, Progress, Rejects, drain};
use crate::diagnostic::{Diagnostic, Failure, Message, Sources};
use crate::event::Schema;

/// What decides when a record of a log is late, and when its clock is wrong, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times<T = i64> {
    /// How far behind the newest event of its partition an event may come and be in time.
    pub allowed_lateness: T,
    /// How far ahead of its append time an event may be.
    pub max_ahead: T,
}

/// An input log whose structure has been read and understood.
#[derive(Debug)]
pub struct InputLog {
    header: Header,
    heartbeats: Vec<Heartbeat>,
    changes: Changes,
    partitions: Vec<PathBuf>,
    /// The files that are no partitions, and the hashes of their bytes.
    others: Vec<(PathBuf, FileRead)>,
}

/// The changes of rules and models that a log tells of.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The file in which they stand.
    pub file: PathBuf,
    /// Its text, in which mistakes are shown.
    pub text: String,
    /// The changes in the order of effective time; of two at one time, the later line is later.
    pub list: Vec<Change>,
    /// What the log says of times, or the one who replays it: there no rules have a say.
    pub times: Times<Option<i64>>,
}

impl Changes {
    /// The directory of the rules that a change brings.
    pub fn directory(&self, change: &Change) -> PathBuf {
        self.beside(&change.rules)
    }

    /// A path as the log names it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(name)
    }
}

impl InputLog {
    /// Opens a log; a failure holds everything that is wrong with its structure.
    pub fn open(directory: &Path) -> Result<InputLog, Failure> {
        let file = directory.join("log.toml");
        if !file.is_file() {
            let message = Message::new(
                "this is no input log: log.toml is not there",
                "这不是输入日志:缺少 log.toml",
            );
            return Err(Failure::file("no-input-log", &file, message, None));
        }
        let mut sources = Sources::default();
        let text = read_text(&file)?;
        let (header, mut wrong) = Header::read(&file, &text);
        sources.add(&file, text);
        if !wrong.is_empty() {
            return Err(Failure::Input(wrong, sources));
        }
        let mut others = vec![file];
        let control = directory.join("control.jsonl");
        let mut heartbeats = Vec::new();
        let mut changes = Changes::default();
        if control.exists() {
            let text = read_text(&control)?;
            let (entries, found) = control::read(&control, &text, header.partitions);
            sources.add(&control, text.clone());
            wrong.extend(found);
            for entry in entries {
                match entry {
                    Entry::Heartbeat(heartbeat) => heartbeats.push(heartbeat),
                    Entry::Change(change) => changes.list.push(change),
                }
            }
            (changes.file, changes.text) = (control.clone(), text);
            others.push(control);
        }
        changes.list.sort_by_key(|change| change.effective_time);
        heartbeats.sort_by_key(|heartbeat| (heartbeat.partition, heartbeat.next_offset));
        let partitions = partitions(&directory.join("partitions"), header.partitions, &mut wrong);
        if !wrong.is_empty() {
            return Err(Failure::Input(wrong, sources));
        }
        let sealed = |path: PathBuf| {
            let seal = seal(&path).map_err(|error| unreadable(&path, &error))?;
            Ok((path, FileRead { records: 0, bytes: seal.bytes, hash: seal.hash }))
        };
        let others = others.into_iter().map(sealed).collect::<Result<_, Failure>>()?;
        Ok(InputLog { header, heartbeats, changes, partitions, others })
    }

    /// The same log, read with another lateness than the one that held when it was written.
    pub fn with_lateness(mut self, lateness: Option<i64>) -> InputLog {
        let held = &mut self.header.times.allowed_lateness;
        *held = lateness.or(*held);
        self
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> u32 {
        self.header.partitions
    }

    /// The changes of rules that happened while it was written.
    pub fn changes(&self) -> Changes {
        Changes { times: self.header.times, ..self.changes.clone() }
    }

    /// The schema of its records: the standard fields, then the columns of one's own.
    pub fn schema(&self) -> Schema {
        Schema::with_extras(self.header.extras.iter().cloned())
    }

    /// What held when it was written, and for what it does not say, `policy`.
    pub fn times(&self, policy: Times) -> Times {
        let held = self.header.times;
        Times {
            allowed_lateness: held.allowed_lateness.unwrap_or(policy.allowed_lateness),
            max_ahead: held.max_ahead.unwrap_or(policy.max_ahead),
        }
    }

    /// Reads all records and hands the accepted events over with their effective times, and the
    /// refused ones by partition and offset; the source of each is its partition. Says what is known of
    /// the files.
    pub fn read(
        &self,
        times: Times,
        events: &mut Sorter,
        rejects: &mut Rejects,
        progress: &dyn Progress,
    ) -> Result<Vec<(PathBuf, FileRead)>, Failure> {
        self.read_in_blocks(times, BLOCK_BYTES, events, rejects, progress)
    }

    /// The same in blocks of that size, on which nothing depends.
    pub fn read_in_blocks(
        &self,
        times: Times,
        block_bytes: usize,
        events: &mut Sorter,
        rejects: &mut Rejects,
        progress: &dyn Progress,
    ) -> Result<Vec<(PathBuf, FileRead)>, Failure> {
        let inputs: Vec<Input> = self.partitions.iter().map(Input::plain).collect();
        let schema = events.schema().clone();
        let feed = Feed::of_log(&inputs, &schema, block_bytes, times.max_ahead)?;
        let mut watermarks: Vec<Watermark> =
            (0..inputs.len()).map(|at| self.watermark(at as u32, times)).collect();
        let files = drain(feed, inputs.len(), &schema, progress, &mut |block| {
            let watermark = &mut watermarks[block.source as usize];
            for chunk in block.chunks {
                let effective = watermark.effective_times(&chunk);
                events.push(chunk, Some(effective))?;
            }
            rejects.extend(block.rejects)
        })?;
        let partitions = self.partitions.iter().cloned().zip(files);
        Ok(self.others.iter().cloned().chain(partitions).collect())
    }

    fn watermark(&self, partition: u32, times: Times) -> Watermark {
        let own = |heartbeat: &Heartbeat| heartbeat.partition;
        let start = self.heartbeats.partition_point(|held| own(held) < partition);
        let end = self.heartbeats.partition_point(|held| own(held) <= partition);
        Watermark::new(times.allowed_lateness, self.heartbeats[start..end].iter().copied())
    }
}

/// The files of the partitions, in order. A partition without a file is a mistake, for nothing
/// tells it from one that got lost; so is a file of no partition.
fn partitions(folder: &Path, count: u32, wrong: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in listing(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let plain = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
        let stem = plain.strip_suffix(".jsonl").unwrap_or_default().to_owned();
        let known = (0..count).contains(&stem.parse().unwrap_or(count))
            && stem.parse().is_ok_and(|number: u32| number.to_string() == stem);
        if !known {
            let message = Message::new(
                format!("this is the file of no partition: log.toml has {count}"),
                format!("该文件不属于任何分区:log.toml 中有 {count} 个分区"),
            );
            wrong.push(Diagnostic::error("unknown-partition", path, None, message));
        } else if let Some(first) = found.insert(stem, path.clone()) {
            let first = first.display();
            let message = Message::new(
                format!("the partition has two files: this and {first}"),
                format!("该分区有两个文件:此文件和 {first}"),
            );
            wrong.push(Diagnostic::error("partition-twice", path, None, message));
        }
    }
    let mut paths = Vec::new();
    for number in 0..count {
        match found.remove(&number.to_string()) {
            Some(path) => paths.push(path),
            None => {
                let path = folder.join(format!("{number}.jsonl"));
                let message = Message::new(
                    format!("the file of partition {number} is missing"),
                    format!("缺少分区 {number} 的文件"),
                );
                let hint = Message::new(
                    format!("log.toml has {count} partitions; one without records is empty"),
                    format!("log.toml 中有 {count} 个分区;没有记录的分区应为空文件"),
                );
                let error = Diagnostic::error("missing-partition", path, None, message);
                wrong.push(error.with_hint(Some(hint)));
            }
        }
    }
    paths
}

/// What stands in a folder, by name; hidden files are nobody's.
fn listing(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let hidden = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
    };
    paths.retain(|path| !hidden(path));
    paths.sort();
    paths
}

fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let message =
        Message::new(format!("cannot read the file: {error}"), format!("无法读取文件:{error}"));
    Failure::file("unreadable-file", path, message, None)
}
