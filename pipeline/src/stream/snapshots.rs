//! Snapshots of a stream: taken at a commit, written beside the stream as it goes on, and where it
//! begins after a restart.
//!
//! A snapshot is never ahead of what is committed, and names the resume record at which it was taken.
//! So whatever the program dies of, a restart finds one that is at or before the last commit, reads
//! the input from its offsets on, and decides again in silence what is between them.
//!
//! The stream stands still while the state is frozen, and goes on while children of this process
//! write the frozen image. Where it stood still for long it says so. Before, and after, memory is put
//! on large pages beside the stream: with those, freezing takes milliseconds.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use super::config::Config;
use super::connect::Tell;
use super::control::{Begin, Counted, Held, Resume};
use super::days::Days;
use super::engine::Engine;
use super::uploads::{self, Uploads};
use crate::diagnostic::{Failure, Message};
use crate::document::Reader;
use crate::snapshot::{Address, Bucket, Draft, Found, Saved, Store, Stored, tidy};
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
    /// Where they are put as well, for another machine; none: only in the directory.
    pub store: Option<Address>,
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
        reader.known_keys(table, &["dir", "interval", "keep", "store"]);
        reader.required_keys(table, node.span(), &["dir"]);
        let interval = reader.duration(table, "interval", 1..=INTERVAL_MAX_MS);
        let keep = reader.integer(table, "keep", 1..=KEEP_MAX).unwrap_or(KEEP);
        let store = reader.string(table, "store");
        if let Some(text) = store.as_ref().filter(|text| Address::parse(text.get_ref()).is_none()) {
            let message =
                Message::new("`store` wants s3://BUCKET/PREFIX", "`store` 须为 s3://存储桶/前缀");
            let hint = Message::new(
                "keys, region and endpoint come from the environment: AWS_ACCESS_KEY_ID, \
                 AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL",
                "密钥、区域与端点取自环境变量：AWS_ACCESS_KEY_ID、AWS_SECRET_ACCESS_KEY、AWS_REGION、\
                 AWS_ENDPOINT_URL",
            );
            reader.fail("store", text.span(), message, Some(hint));
        }
        let dir = reader.string(table, "dir")?;
        Some(Settings {
            dir: path.parent().unwrap_or(Path::new("")).join(dir.get_ref()),
            interval: interval.unwrap_or(INTERVAL_MS),
            keep: keep as usize,
            store: store.and_then(|text| Address::parse(text.get_ref())),
        })
    }

    fn local(&self) -> Store {
        Store::new(&self.dir, self.keep)
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::Environment(unusable(&self.dir, error))
    }
}

/// Says whose the directory is.
const OWNER: &str = ".stream";
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
    bucket: Option<Arc<Bucket>>,
    uploads: Option<Uploads>,
    /// What the directory says whose it is.
    owner: String,
    layout: String,
    begin: Option<Begin>,
    /// The last commit of which there is one, or will be.
    last: Option<u64>,
    since: Since,
    /// Whether it was said that state is copied.
    told: bool,
    /// The next one, for which everything is made ready.
    preparing: Option<JoinHandle<io::Result<Draft>>>,
    /// Whether the next one is not waited for: those before are of no use.
    overdue: bool,
    /// The one that is being written, of this commit.
    writing: Option<(u64, Writing)>,
    figures: Figures,
}

type Writing = JoinHandle<io::Result<(Stored, Duration)>>;

/// What is measured of snapshots.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    /// Those that this process wrote, and those that it could not write.
    pub(super) written: u64,
    pub(super) failed: u64,
    /// How long the stream stood still for the last one.
    pub(super) pause: Duration,
    /// What the last whole one is, and how long it took to write.
    pub(super) stored: Option<(Stored, Duration)>,
    /// Since when it is there.
    pub(super) since: Option<Since>,
    /// Of those that are put to an object store.
    pub(super) uploads: Option<uploads::Figures>,
}

impl Figures {
    /// How old the last whole one of this process is.
    pub(super) fn age(&self) -> Option<Duration> {
        self.since.map(|since| since.elapsed())
    }
}

/// A snapshot from which a stream goes on.
pub(super) struct FoundSnapshot {
    resume: Resume,
    state: Saved,
    engine: Vec<u8>,
}

impl Snapshots {
    /// Those of a stream; nothing is read yet.
    ///
    /// # Errors
    /// Where the environment does not say how the object store is reached (exit 2).
    pub(super) fn open(config: &Config, layout: [u8; 32]) -> Result<Snapshots, Failure> {
        let address = config.snapshots.as_ref().and_then(|settings| settings.store.as_ref());
        let open = |address| Bucket::open(address).map_err(|error| misled(address, &error));
        Ok(Snapshots {
            settings: config.snapshots.clone(),
            bucket: address.map(open).transpose()?.map(Arc::new),
            uploads: None,
            owner: format!("{} (control topic {})\n", config.name, config.control),
            layout: blake3::Hash::from(layout).to_hex().to_string(),
            begin: None,
            last: None,
            since: Since::now(),
            told: false,
            preparing: None,
            overdue: false,
            writing: None,
            figures: Figures::default(),
        })
    }

    /// The newest snapshot that is whole and of this stream; of others before it is told.
    pub(super) fn newest(
        &self,
        held: &Held,
        tell: Tell<'_>,
    ) -> Result<Option<FoundSnapshot>, Failure> {
        let Some(settings) = &self.settings else { return Ok(None) };
        self.check_owner(settings)?;
        let found = self.search(settings, held)?;
        for (path, why) in &found.passed_over {
            tell(&why.tell(path));
        }
        if let (Some(why), Some(bucket)) = (&found.away, &self.bucket) {
            let begins = found.snapshot.is_some() || held.resume.is_none();
            let away = away(bucket.address(), why, begins);
            if !begins {
                return Err(Failure::Environment(away));
            }
            tell(&away);
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

    /// What is there, on disk and in the object store.
    fn search(&self, settings: &Settings, held: &Held) -> Result<Found, Failure> {
        let local = settings.local();
        let fits = |_, about: &serde_json::Value| self.fits(about, held);
        let Some(bucket) = &self.bucket else {
            return local.newest(fits).map_err(|error| settings.unreadable(&error));
        };
        let found = match bucket.owner() {
            Ok(Some(owner)) if owner != self.owner => {
                return Err(Failure::Usage(uploads::another(bucket.address(), &owner)));
            }
            Ok(_) => bucket.newest(&local, fits),
            Err(why) => local.newest(fits).map(|found| Found { away: Some(why), ..found }),
        };
        found.map_err(|error| settings.unreadable(&error))
    }

    /// Checks that the directory is no other stream's: they would write over each other.
    fn check_owner(&self, settings: &Settings) -> Result<(), Failure> {
        let path = settings.dir.join(OWNER);
        let owner = match fs::read_to_string(&path) {
            Ok(owner) => owner,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(settings.unreadable(&error)),
        };
        if owner == self.owner || owner.is_empty() {
            return Ok(());
        }
        let (dir, owner) = (settings.dir.display(), owner.trim());
        Err(Failure::Usage(Message::new(
            format!(
                "the snapshot directory {dir} is that of the stream {owner}: give each stream one of \
                 its own; or, if that stream is no more, remove {}",
                path.display()
            ),
            format!(
                "快照目录 {dir} 属于流 {owner}：请为每个流使用各自的目录；若该流已不再使用，请删除 {}",
                path.display()
            ),
        )))
    }

    /// Whether a snapshot is of this stream as it is now.
    fn fits(&self, about: &serde_json::Value, held: &Held) -> Result<(), Message> {
        let about: About = serde_json::from_value(about.clone()).map_err(|error| {
            Message::new(format!("it is of no stream: {error}"), format!("它不属于流：{error}"))
        })?;
        if held.begin.as_ref() != Some(&about.begin) {
            return Err(Message::new(
                "it is of another stream, of one with other rules, or of one of this name whose topics \
                 are gone; give each stream a snapshot directory of its own",
                "它属于另一个流、规则不同的流，或主题已不存在的同名流；请为每个流使用各自的快照目录",
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

    /// The state is laid out otherwise from here on: one is to be taken soon.
    pub(super) fn laid_out(&mut self, layout: [u8; 32]) {
        self.layout = blake3::Hash::from(layout).to_hex().to_string();
        self.last = None;
        self.overdue = true;
    }

    /// The snapshots of a stream that began so and goes on from there. The directory is its own from
    /// here on.
    pub(super) fn of(
        self,
        begin: &Begin,
        found: Option<&FoundSnapshot>,
        tell: Tell<'_>,
    ) -> Snapshots {
        if let Some(settings) = &self.settings
            && let Err(error) = claim(&settings.dir, &self.owner)
        {
            // Nor can snapshots be, which is said each time, and is no reason to stop.
            tell(&unusable(&settings.dir, &error));
        }
        let last = found.map(|found| found.resume.serial);
        let uploads = self.settings.as_ref().zip(self.bucket.clone()).map(|(settings, bucket)| {
            let mut uploads = Uploads::new(bucket, settings.local(), self.owner.clone());
            // It may not have come to that when the program died.
            last.into_iter().for_each(|last| uploads.add(last, tell));
            uploads
        });
        Snapshots { uploads, begin: Some(begin.clone()), last, since: Since::now(), ..self }
    }

    /// Whether the state of this commit is to be saved.
    pub(super) fn is_due(&mut self, resume: &Resume, at_end: bool, tell: Tell<'_>) -> bool {
        if self.writing.as_ref().is_some_and(|(_, writing)| writing.is_finished()) {
            self.wait(tell);
        }
        if let Some(uploads) = &mut self.uploads {
            uploads.poll(tell);
        }
        let Some(settings) = &self.settings else { return false };
        if self.last.is_some_and(|last| last >= resume.serial) || at_end {
            return at_end && self.last.is_none_or(|last| last < resume.serial);
        }
        let interval = Duration::from_millis(settings.interval as u64);
        if self.writing.is_some() || !(self.overdue || self.since.elapsed() >= interval) {
            return false;
        }
        let store = settings.local();
        let prepare = move || {
            tidy();
            store.begin()
        };
        self.preparing.get_or_insert_with(|| std::thread::spawn(prepare)).is_finished()
    }

    /// Freezes the state of this commit, and has it written while the stream goes on.
    pub(super) fn write(
        &mut self,
        resume: &Resume,
        engine: &mut Engine,
        at_end: bool,
        tell: Tell<'_>,
    ) -> Result<(), Failure> {
        self.wait(tell);
        // What goes on from it decides nothing of before it again.
        engine.write_days(true)?;
        let days = engine.days.as_mut().map(Days::told).transpose()?;
        let (Some(settings), Some(begin)) = (&self.settings, &self.begin) else { return Ok(()) };
        let (store, number) = (settings.local(), resume.serial);
        let begun = match self.preparing.take() {
            Some(preparing) => joined(preparing),
            None => store.begin(),
        };
        (self.last, self.since, self.overdue) = (Some(number), Since::now(), false);
        let draft = match begun {
            Ok(draft) => draft,
            Err(error) => {
                self.failed(&error, tell);
                return Ok(());
            }
        };
        let pause = Since::now();
        let frozen = engine.freeze(&draft)?;
        self.figures.pause = pause.elapsed();
        if let Some(error) = frozen.copied().filter(|_| !std::mem::replace(&mut self.told, true)) {
            tell(&copied(error));
        }
        if self.figures.pause.as_millis() > PAUSE_TOLD_MS {
            tell(&still(self.figures.pause));
        }
        let about = About {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            layout: self.layout.clone(),
            begin: begin.clone(),
            resume: resume.clone(),
        };
        let owner = self.owner.clone();
        let dir = settings.dir.clone();
        let write = move || {
            let since = Since::now();
            // Somebody may have taken away the directory, and another stream may have come.
            claim(&dir, &owner)?;
            let about = serde_json::to_value(about).map_err(io::Error::other)?;
            if days.is_some_and(|days| days.recv().is_err()) {
                return Err(io::Error::other("the days before it cannot be written"));
            }
            let stored = store.finish(&draft, number, about, frozen)?;
            let took = since.elapsed();
            if !at_end {
                tidy();
            }
            Ok((stored, took))
        };
        self.writing = Some((number, std::thread::spawn(write)));
        Ok(())
    }

    /// Waits until the one that is being written is on disk. That one cannot be written is said, and is
    /// no reason to stop: the ones before are there.
    pub(super) fn wait(&mut self, tell: Tell<'_>) {
        let Some((number, writing)) = self.writing.take() else { return };
        match joined(writing) {
            Ok(stored) => {
                self.figures.written += 1;
                (self.figures.stored, self.figures.since) = (Some(stored), Some(Since::now()));
                if let Some(uploads) = &mut self.uploads {
                    uploads.add(number, tell);
                }
            }
            Err(error) => self.failed(&error, tell),
        }
    }

    /// Waits at the end until all is on disk, and put to the object store.
    pub(super) fn finish(&mut self, tell: Tell<'_>) {
        self.wait(tell);
        if let Some(uploads) = &mut self.uploads {
            uploads.finish(tell);
        }
    }

    fn failed(&mut self, error: &io::Error, tell: Tell<'_>) {
        self.figures.failed += 1;
        if let Some(settings) = &self.settings {
            tell(&unusable(&settings.dir, error));
        }
    }

    /// What is measured; none where there are no snapshots.
    pub(super) fn figures(&self) -> Option<Figures> {
        let uploads = self.uploads.as_ref().map(Uploads::figures);
        self.settings.as_ref().map(|_| Figures { uploads, ..self.figures })
    }
}

/// Says in a directory whose it is, unless it is another's. An empty word is nobody's: whoever wrote it
/// died there, or found the disk full.
fn claim(dir: &Path, owner: &str) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut file = File::options().read(true).append(true).create(true).open(dir.join(OWNER))?;
    let mut whose = String::new();
    file.read_to_string(&mut whose)?;
    if whose.is_empty() {
        return file.write_all(owner.as_bytes());
    }
    let theirs = || io::Error::other(format!("it is that of the stream {}", whose.trim()));
    if whose == owner { Ok(()) } else { Err(theirs()) }
}

/// What a thread of ours came to.
fn joined<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a panic")))
}

impl FoundSnapshot {
    /// What had become of records then.
    pub(super) fn counts(&self) -> Counted {
        self.resume.counts
    }

    /// Where a partition goes on.
    pub(super) fn offset(&self, at: usize) -> u64 {
        self.resume.partitions[at].next_offset
    }

    /// What a session goes on from.
    pub(super) fn take(&mut self) -> Saved {
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

fn misled(address: &Address, error: &str) -> Failure {
    Failure::Usage(Message::new(
        format!("the environment does not say how {address} is reached: {error}"),
        format!("环境变量未能说明如何访问 {address}：{error}"),
    ))
}

/// What a start says of an object store that cannot be read. A stream that would begin at the beginning
/// of its input for that alone does not begin.
fn away(address: &str, why: &str, begins: bool) -> Message {
    let (en, zh) = if begins {
        ("what is on disk is used", "改用本地磁盘上的快照")
    } else {
        (
            "no snapshot is on disk, and all input would be replayed: make it reachable, or take \
             `store` out of [snapshots]",
            "本地磁盘上没有快照，将需重放全部输入：请恢复访问，或从 [snapshots] 中去掉 `store`",
        )
    };
    Message::new(
        format!("the snapshots in {address} cannot be read: {why}; {en}"),
        format!("无法读取 {address} 中的快照：{why}；{zh}"),
    )
}

fn still(pause: Duration) -> Message {
    let pause = pause.as_millis();
    Message::new(
        format!("nothing was decided for {pause} ms while a snapshot was taken"),
        format!("生成快照期间，有 {pause} 毫秒未作决策"),
    )
}

fn copied(error: &io::Error) -> Message {
    Message::new(
        format!(
            "the stream stands still while state is copied for snapshots: no child process ({error})"
        ),
        format!("生成快照时流会暂停以复制状态：无法创建子进程（{error}）"),
    )
}

fn unusable(directory: &Path, error: &io::Error) -> Message {
    let directory = directory.display();
    Message::new(
        format!("the snapshot directory {directory} cannot be used: {error}"),
        format!("无法使用快照目录 {directory}：{error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_taken_away_is_whose_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("snapshots");
        claim(&dir, "one").unwrap();
        claim(&dir, "one").unwrap();
        assert!(claim(&dir, "two").unwrap_err().to_string().contains("the stream one"));
        fs::remove_dir_all(&dir).unwrap();
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(OWNER), "").unwrap();
        claim(&dir, "two").unwrap();
        assert!(claim(&dir, "one").unwrap_err().to_string().contains("the stream two"));
    }
}
