//! Rules that are read again while a stream runs: when it is asked by a signal, or when their files
//! have changed and then been still.
//!
//! They are read and checked on a thread of their own, as `rules check` does. What is wrong with
//! them is said as it says it, and the rules before stay in force.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::bundle::Bundle;
use super::config::Config;
use super::connect::Tell;
use super::control::{Entry, Held};
use crate::changes::{self, Candidate, Timetable};
use crate::diagnostic::{Failure, Lang, Message};
use crate::event::Schema;
use crate::model::Artefacts;
use crate::source::log::{self, Changes};
use crate::stopwatch::Since;

/// How often it is looked whether files have changed. Their times are compared, for not every file
/// system tells of changes: those over a network do not, and a folder that is mounted into a
/// container changes by a link.
const LOOK: Duration = Duration::from_millis(250);

/// Rules as they are on disk, which may come into force.
pub(super) struct Read {
    pub(super) bundle: Bundle,
    pub(super) candidate: Candidate,
}

impl Read {
    pub(super) fn rules_hash(&self) -> String {
        self.candidate.rules_hash()
    }

    /// The records that must stand in the control topic before a change that names them.
    pub(super) fn entries(&self, held: &[String]) -> Result<Vec<Entry>, Failure> {
        let hash = self.rules_hash();
        if held.contains(&hash) { Ok(Vec::new()) } else { self.bundle.entries(&hash) }
    }
}

/// Reads a rules directory as one that may come after the rules of a timetable.
pub(super) fn read(
    directory: Option<&Path>,
    begun: &Timetable,
    schema: &Arc<Schema>,
) -> Result<Read, Failure> {
    let (bundle, candidate) = packed(directory, &|path| begun.candidate(path, schema))?;
    Ok(Read { bundle, candidate })
}

/// Reads a rules directory with which a stream may begin.
pub(super) fn read_first(
    directory: Option<&Path>,
    schema: &Arc<Schema>,
) -> Result<(Bundle, Timetable), Failure> {
    let (changes, models) = (Changes::default(), Artefacts::default());
    packed(directory, &|path| changes::load(path, &changes, &models, schema))
}

/// The bytes of a rules directory, and what they are read as: what decides is what is kept, whatever
/// happens to the files meanwhile.
fn packed<T>(
    directory: Option<&Path>,
    read: &dyn Fn(Option<&Path>) -> Result<T, Failure>,
) -> Result<(Bundle, T), Failure> {
    let bundle = Bundle::read(directory)?;
    if directory.is_none_or(Path::is_dir) {
        let folder = temporary()?;
        let unpacked = bundle.write(folder.path())?;
        if let Ok(read) = read(unpacked.as_deref()) {
            return Ok((bundle, read));
        }
    }
    // What is wrong is said at the places where people find it.
    Err(read(directory).err().unwrap_or_else(|| {
        Failure::Usage(Message::new(
            "the rules changed while they were read; they are read again when they are still, or \
             by another SIGHUP",
            "读取期间规则发生了变化；待文件不再变化或再次收到 SIGHUP 时会重新读取",
        ))
    }))
}

pub(super) fn temporary() -> Result<tempfile::TempDir, Failure> {
    tempfile::tempdir().map_err(|error| {
        Failure::Environment(Message::new(
            format!("no temporary folder can be made for the rules: {error}"),
            format!("无法为规则创建临时目录：{error}"),
        ))
    })
}

/// All rules of a stream, as its control topic has them. None where it was begun by a version of
/// the program that kept none.
pub(super) fn kept(held: &Held, schema: &Arc<Schema>) -> Result<Option<Timetable>, Failure> {
    let Some(begin) = &held.begin else { return Ok(None) };
    let Some(first) = held.bundle(&begin.rules_hash) else {
        return if held.changes.is_empty() { Ok(None) } else { Err(missing(&begin.rules_hash)) };
    };
    let folder = temporary()?;
    let (first, changes) = write(held, &first, folder.path())?;
    changes::load(first.as_deref(), &changes, &Artefacts::default(), schema).map(Some)
}

/// Writes the rules with which a stream began, and those of its changes, into folders of a
/// directory; where they are.
pub(super) fn write(
    held: &Held,
    first: &Bundle,
    directory: &Path,
) -> Result<(Option<PathBuf>, Changes), Failure> {
    let begin = held.begin.as_ref().map_or("", |begin| begin.rules_hash.as_str());
    let folder = |hash: &str| Path::new("rules").join(hash.get(..16).unwrap_or(hash));
    let first = first.write(&directory.join(folder(begin)))?;
    let mut list = Vec::new();
    for change in &held.changes {
        let hash = &change.rules_hash;
        let bundle = held.bundle(hash).ok_or_else(|| missing(hash))?;
        let own = directory.join(folder(hash));
        let written = bundle.write(&own)?.unwrap_or(own);
        // Without rules there is nothing in it, and yet it is there.
        std::fs::create_dir_all(&written).map_err(|error| {
            Failure::Environment(crate::diagnostic::unwritable(&written, &error))
        })?;
        let relative = written.strip_prefix(directory).unwrap_or(&written);
        list.push(log::Change {
            effective_time: change.effective_time,
            rules: relative.to_string_lossy().into_owned(),
            rules_hash: Some(hash.clone()),
            span: 0..0,
        });
    }
    let file = directory.join("control.jsonl");
    Ok((first, Changes { file, list, ..Changes::default() }))
}

fn missing(rules_hash: &str) -> Failure {
    Failure::Environment(Message::new(
        format!("the control topic does not hold the rules {rules_hash}, by which it was decided"),
        format!("控制主题中缺少曾用于决策的规则 {rules_hash}"),
    ))
}

/// Sees to rules that are to be read again.
pub(super) struct Reload {
    directory: Option<PathBuf>,
    schema: Arc<Schema>,
    asked: Arc<AtomicBool>,
    reading: Option<JoinHandle<Result<Read, Failure>>>,
    /// Read and right, and not yet in force.
    pub(super) next: Option<Read>,
    /// As long as it is there, files are looked at.
    _watching: Arc<()>,
}

impl Reload {
    pub(super) fn new(config: &Config, schema: &Arc<Schema>, asked: &Arc<AtomicBool>) -> Reload {
        let watching = Arc::new(());
        if let (Some(quiet), Some(directory)) = (config.reload_after, &config.rules) {
            let quiet = Duration::from_millis(quiet as u64);
            watch(directory.clone(), quiet, asked.clone(), Arc::downgrade(&watching));
        }
        Reload {
            directory: config.rules.clone(),
            schema: schema.clone(),
            asked: asked.clone(),
            reading: None,
            next: None,
            _watching: watching,
        }
    }

    /// Whether rules are being read, or wait to come into force.
    pub(super) fn is_under_way(&self) -> bool {
        self.reading.is_some() || self.next.is_some()
    }

    /// Begins to read where it is asked to, and takes what has been read; the refusal of what is
    /// wrong, if it was.
    pub(super) fn poll(&mut self, in_force: &Timetable) -> Option<Failure> {
        if self.reading.as_ref().is_some_and(JoinHandle::is_finished) {
            let read = self.reading.take()?.join();
            match read.unwrap_or_else(|_| Err(Failure::Environment(stopped()))) {
                Ok(read) => self.next = Some(read),
                Err(failure) => return Some(failure),
            }
        }
        // One after the other: what is read is checked against what is in force.
        if !self.is_under_way() && self.asked.swap(false, Ordering::Relaxed) {
            let (directory, schema) = (self.directory.clone(), self.schema.clone());
            let begun = in_force.clone();
            let work = move || read(directory.as_deref(), &begun, &schema);
            self.reading = Some(std::thread::spawn(work));
        }
        None
    }
}

fn stopped() -> Message {
    Message::new(
        "reading the rules stopped, which is a mistake in this program",
        "读取规则的线程意外停止，这是程序的错误",
    )
}

/// Says what is wrong with rules that do not come into force.
pub(super) fn tell_refused(failure: &Failure, tell: Tell<'_>) {
    let said = |lang| failure.render(lang, false);
    tell(&Message::new(
        format!("{}the rules on disk are refused, those before stay in force", said(Lang::En)),
        format!("{}磁盘上的规则被拒绝，原有规则继续生效", said(Lang::Zh)),
    ));
}

/// Asks for rules to be read again when their files are others than before, and have been the same
/// for so long.
fn watch(directory: PathBuf, quiet: Duration, asked: Arc<AtomicBool>, alive: Weak<()>) {
    std::thread::spawn(move || {
        let mut taken = seen(&directory);
        let (mut last, mut since) = (taken.clone(), Since::now());
        while alive.strong_count() > 0 {
            std::thread::sleep(LOOK);
            let now = seen(&directory);
            if now != last {
                (last, since) = (now, Since::now());
            } else if last != taken && since.elapsed() >= quiet {
                taken = last.clone();
                asked.store(true, Ordering::Relaxed);
            }
        }
    });
}

/// What can be seen of the files of a directory without reading them.
fn seen(directory: &Path) -> BTreeMap<PathBuf, (u64, Option<SystemTime>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
            match std::fs::metadata(&path) {
                Ok(about) if about.is_dir() && !hidden => folders.push(path),
                Ok(about) if !hidden => {
                    found.insert(path, (about.len(), about.modified().ok()));
                }
                _ => {}
            }
        }
    }
    found
}
