//! Rules and models that are read again while a stream runs: when it is asked by a signal, or when
//! their files have changed and then been still.
//!
//! They are read and checked on a thread of their own, as `rules check` and a backtest do. What is
//! wrong with them is said as those say it, and what was before stays in force.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::bundle::{Bundle, Places};
use super::config::Config;
use super::connect::Tell;
use super::control::{Change, Entry, Held};
use crate::changes::{self, Candidate, Deciders, Timetable};
use crate::diagnostic::{Failure, Lang, Message};
use crate::event::Schema;
use crate::source::log::{self, Changes, ModelTold};
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
    pub(super) fn deciders(&self) -> Deciders {
        self.candidate.deciders()
    }

    /// The records that must stand in the control topic before a change that names them.
    pub(super) fn entries(&self, held: &BTreeSet<String>) -> Result<Vec<Entry>, Failure> {
        self.bundle.entries(&self.deciders(), held)
    }
}

/// Reads what may decide after what a timetable has.
pub(super) fn read(
    places: &Places,
    begun: &Timetable,
    schema: &Arc<Schema>,
) -> Result<Read, Failure> {
    let candidate = |Places { rules, models }: &Places| {
        begun.candidate(rules.as_deref(), models.load()?, schema)
    };
    let (bundle, candidate) = packed(places, &candidate)?;
    Ok(Read { bundle, candidate })
}

/// Reads that with which a stream may begin.
pub(super) fn read_first(
    places: &Places,
    schema: &Arc<Schema>,
) -> Result<(Bundle, Timetable), Failure> {
    packed(places, &|places| load(places, &Changes::default(), schema))
}

fn load(places: &Places, changes: &Changes, schema: &Arc<Schema>) -> Result<Timetable, Failure> {
    let Places { rules, models } = places;
    changes::load(rules.as_deref(), changes, &models.load()?, schema)
}

/// The bytes of what decides, and what they are read as: what decides is what is kept, whatever
/// happens to the files meanwhile.
fn packed<T>(
    places: &Places,
    read: &dyn Fn(&Places) -> Result<T, Failure>,
) -> Result<(Bundle, T), Failure> {
    let bundle = Bundle::read(places)?;
    if places.rules.as_deref().is_none_or(Path::is_dir) {
        let folder = temporary()?;
        let unpacked = bundle.write(folder.path(), &Deciders::default())?;
        if let Ok(read) = read(&unpacked) {
            return Ok((bundle, read));
        }
    }
    // What is wrong is said at the places where people find it.
    Err(read(places).err().unwrap_or_else(|| {
        Failure::Usage(Message::new(
            "the files changed while they were read; they are read again when they are still, or \
             by another SIGHUP",
            "读取期间文件发生了变化；待文件不再变化或再次收到 SIGHUP 时会重新读取",
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

/// All rules and models of a stream, as its control topic has them. None where it was begun by a
/// version of the program that kept none.
pub(super) fn kept(held: &Held, schema: &Arc<Schema>) -> Result<Option<Timetable>, Failure> {
    let Some(begin) = &held.begin else { return Ok(None) };
    let Some(first) = held.bundle(&begin.deciders) else {
        return if held.changes.is_empty() { Ok(None) } else { Err(missing(&begin.deciders)) };
    };
    let folder = temporary()?;
    let (first, changes) = write(held, &first, folder.path())?;
    load(&first, &changes, schema).map(Some)
}

/// Writes what decided when a stream began, and from its changes on, into folders of a directory;
/// where it is.
pub(super) fn write(
    held: &Held,
    first: &Bundle,
    directory: &Path,
) -> Result<(Places, Changes), Failure> {
    let begin = held.begin.as_ref().map(|begin| begin.deciders.clone()).unwrap_or_default();
    let begun = first.write(directory, &begin)?;
    let has_models = |deciders: &Deciders| deciders.models().next().is_some();
    let mut all = held.changes.iter().map(|change| &change.deciders).chain([&begin]);
    let with_models = all.any(has_models);
    let relative =
        |path: &Path| path.strip_prefix(directory).unwrap_or(path).to_string_lossy().into_owned();
    let told = |path: &Option<PathBuf>, hash: &Option<String>| match path {
        Some(path) => ModelTold::Named { path: relative(path), hash: hash.clone() },
        // A log without models says nothing of them.
        None if with_models => ModelTold::Gone,
        None => ModelTold::AsBefore,
    };
    let mut list = Vec::new();
    for Change { effective_time, deciders, backfilled } in &held.changes {
        let bundle = held.bundle(deciders).ok_or_else(|| missing(deciders))?;
        let Places { rules, models } = bundle.write(directory, deciders)?;
        // Without rules there is nothing in it, and yet it is there.
        let rules = rules.unwrap_or_else(|| directory.join("rules").join("none"));
        std::fs::create_dir_all(&rules)
            .map_err(|error| Failure::Environment(crate::diagnostic::unwritable(&rules, &error)))?;
        list.push(log::Change {
            effective_time: *effective_time,
            rules: relative(&rules),
            rules_hash: Some(deciders.rules_hash.clone()),
            backfilled: *backfilled,
            model: told(&models.champion, &deciders.model_hash),
            challenger: told(&models.challenger, &deciders.challenger_hash),
            span: 0..0,
        });
    }
    let file = directory.join("control.jsonl");
    Ok((begun, Changes { file, list, ..Changes::default() }))
}

fn missing(deciders: &Deciders) -> Failure {
    let rules = &deciders.rules_hash;
    let models: Vec<&str> = deciders.models().map(String::as_str).collect();
    let (en, zh) = match models.is_empty() {
        true => (String::new(), String::new()),
        false => {
            let models = models.join(", ");
            (format!(" with the models {models}"), format!("及其模型 {models}"))
        }
    };
    Failure::Environment(Message::new(
        format!("the control topic does not hold the rules {rules}{en}, by which it was decided"),
        format!("控制主题中缺少曾用于决策的规则 {rules}{zh}"),
    ))
}

/// Sees to rules and models that are to be read again.
pub(super) struct Reload {
    pub(super) places: Places,
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
        let places = Places::of(config);
        if let Some(quiet) = config.reload_after {
            let quiet = Duration::from_millis(quiet as u64);
            watch(places.all(), quiet, asked.clone(), Arc::downgrade(&watching));
        }
        Reload {
            places,
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
            let (places, schema) = (self.places.clone(), self.schema.clone());
            let begun = in_force.clone();
            let work = move || {
                let read = read(&places, &begun, &schema)?;
                match begun.taken_out_by(&read.candidate) {
                    Some(rules) => Err(none_is_live(&places, rules)),
                    None => Ok(read),
                }
            };
            self.reading = Some(std::thread::spawn(work));
        }
        None
    }
}

/// That nothing of what was read decides: a folder that is not mounted, or that somebody is filling,
/// has no rules either, so whoever means it has to do more than ask for a reload.
fn none_is_live(places: &Places, rules: usize) -> Failure {
    let message = Message::new(
        format!("no rule here is live, and all {rules} that are would go out of force"),
        format!("此处没有 status 为 live 的规则，而生效中的 {rules} 条规则将全部失效"),
    );
    let hint = Message::new(
        "put the rules back and send another SIGHUP; where no rule is to decide, restart the stream: \
         what is on disk at a start comes into force",
        "请放回规则并再次发送 SIGHUP；若确实不要任何规则，请重启流：启动时磁盘上的内容即会生效",
    );
    let place = places.rules.as_deref().unwrap_or(Path::new("rules"));
    Failure::file("no-live-rule", place, message, Some(hint))
}

fn stopped() -> Message {
    Message::new(
        "reading rules and models stopped, which is a mistake in this program",
        "读取规则与模型的线程意外停止，这是程序的错误",
    )
}

/// Says what is wrong with what does not come into force.
pub(super) fn tell_refused(places: &Places, failure: &Failure, warn: Tell<'_>) {
    let said = |lang| failure.render(lang, false);
    let (en, zh) = places.named();
    warn(&Message::new(
        format!("{}the {en} on disk are refused, those before stay in force", said(Lang::En)),
        format!("{}磁盘上的{zh}被拒绝，原有{zh}继续生效", said(Lang::Zh)),
    ));
}

/// Asks for all to be read again when the files are others than before, and have been the same for
/// so long.
fn watch(places: Vec<PathBuf>, quiet: Duration, asked: Arc<AtomicBool>, alive: Weak<()>) {
    std::thread::spawn(move || {
        let mut taken = seen(&places);
        let (mut last, mut since) = (taken.clone(), Since::now());
        while alive.strong_count() > 0 {
            std::thread::sleep(LOOK);
            let now = seen(&places);
            if now != last {
                (last, since) = (now, Since::now());
            } else if last != taken && since.elapsed() >= quiet {
                taken = last.clone();
                asked.store(true, Ordering::Relaxed);
            }
        }
    });
}

/// What can be seen of files, and of those in directories, without reading them.
fn seen(places: &[PathBuf]) -> BTreeMap<PathBuf, (u64, Option<SystemTime>)> {
    let mut found = BTreeMap::new();
    let mut folders = Vec::new();
    for place in places {
        match std::fs::metadata(place) {
            Ok(about) if about.is_file() => {
                found.insert(place.clone(), (about.len(), about.modified().ok()));
            }
            // One that is not there now may be so later.
            _ => folders.push(place.clone()),
        }
    }
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
