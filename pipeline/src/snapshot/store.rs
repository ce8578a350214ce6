//! Snapshots on disk: a directory each, which is whole or is not there.
//!
//! ```text
//! 00000000000000000042/   the number that whoever wrote it gave it
//!   manifest.json         a line of JSON: the format, what it is of, and where each part is; then
//!                         BLAKE3 of that line
//!   parts-0, parts-1 ..   the parts, each compressed, end to end
//! .unfinished/            one that is being written, or was when the program died
//! .fetched/               the same, from an object store
//! .removed/               one that is being taken away, or was: it loses its name first
//! ```
//!
//! Each part has its BLAKE3 in the manifest, so that no byte of a snapshot can change unseen. One
//! that is not whole is passed over for the one before, and so is one of another format. Parts go
//! to disk, and come from it, one at a time; each process that writes has a file of its own, and
//! the manifest comes last.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::draft::{Draft, Frozen};
use super::parts::{self, Opened, Place, Saved};
use super::{FORMAT, State};
use crate::diagnostic::Message;

pub(super) const MANIFEST: &str = "manifest.json";
/// The directory of one that is being written.
const UNFINISHED: &str = ".unfinished";
/// The directory of one that comes from elsewhere.
const FETCHED: &str = ".fetched";
/// The directory of one that is being taken away.
const REMOVED: &str = ".removed";

/// A directory of snapshots.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
    /// So many are kept, the newest.
    keep: usize,
}

/// What the first line of a manifest says.
#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    number: u64,
    /// What the snapshot is of, as whoever wrote it says.
    pub(super) about: serde_json::Value,
    until: Option<i64>,
    parts: Vec<Place>,
}

/// A snapshot whose files are held open, each as it was written.
pub(super) struct Whole {
    /// What the file of the manifest says.
    pub(super) text: String,
    manifest: Manifest,
    pub(super) files: Vec<Opened>,
}

/// Only this of a manifest is read of any format.
#[derive(Deserialize)]
struct OfAnyFormat {
    format: u32,
}

/// A snapshot that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Bytes on disk.
    pub stored: u64,
    /// Bytes before compression.
    pub bytes: u64,
}

/// What was found in a directory.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest that can be used: its number, what it is of, and the state.
    pub snapshot: Option<(u64, serde_json::Value, Saved)>,
    /// Newer ones that cannot, the newest first, and why.
    pub passed_over: Vec<(PathBuf, Unusable)>,
    /// Why not all could be looked at that are elsewhere, if so.
    pub away: Option<String>,
}

/// Why a snapshot cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is not whole, or not as it was written.
    Broken(String),
    /// It was written by another version of the program.
    Format(u32),
    /// It is of something else.
    Other(Message),
}

impl Unusable {
    /// What a person is told of the snapshot at `path`.
    pub fn tell(&self, path: &Path) -> Message {
        let path = path.display();
        match self {
            Unusable::Broken(why) => Message::new(
                format!("the snapshot {path} is passed over, it is not whole: {why}"),
                format!("跳过快照 {path}，它不完整：{why}"),
            ),
            Unusable::Format(format) => Message::new(
                format!(
                    "the snapshot {path} is passed over: it has format {format}, and this version \
                     of the program reads {FORMAT}; to go on from it, run the version that wrote it"
                ),
                format!(
                    "跳过快照 {path}：其格式为 {format}，本版本程序读取 {FORMAT}；\
                     如需由此继续，请运行写入它的版本"
                ),
            ),
            Unusable::Other(why) => Message::new(
                format!("the snapshot {path} is passed over: {}", why.en),
                format!("跳过快照 {path}：{}", why.zh),
            ),
        }
    }
}

impl Store {
    /// A directory that keeps so many snapshots, one at least.
    pub fn new(directory: &Path, keep: usize) -> Store {
        Store { directory: directory.to_owned(), keep: keep.max(1) }
    }

    /// Begins a snapshot: a place for what is to be in it, in place of what was left unfinished.
    /// Only one at a time may be written to a directory.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn begin(&self) -> io::Result<Draft> {
        let directory = self.directory.join(UNFINISHED);
        remove(&directory)?;
        fs::create_dir_all(&directory)?;
        Ok(Draft { directory, stopped: false })
    }

    /// Waits until a draft is written, makes a snapshot of it, and takes away those before the last
    /// that are kept. What `about` says is shown to whoever reads it back.
    ///
    /// # Errors
    /// Those of the disk, and of whoever writes; the snapshots before are then still there.
    pub fn finish(
        &self,
        draft: &Draft,
        number: u64,
        about: serde_json::Value,
        frozen: Frozen,
    ) -> io::Result<Stored> {
        let until = frozen.until;
        let places = draft.write(frozen);
        let finished = places.and_then(|places| self.complete(draft, number, about, until, places));
        if finished.is_err() {
            // What is written of it takes up room that may be what is missing. Where that cannot be
            // helped, the next one tries again and says so.
            let _ = remove(&draft.directory);
        }
        finished
    }

    /// Writes state that is in memory.
    ///
    /// # Errors
    /// Those of the disk; the snapshots before are then still there.
    pub fn write(
        &self,
        number: u64,
        about: serde_json::Value,
        state: &State,
    ) -> io::Result<Stored> {
        let draft = self.begin()?;
        let places = draft.write_parts(0, &state.parts)?;
        self.complete(&draft, number, about, state.until, places)
    }

    fn complete(
        &self,
        Draft { directory, .. }: &Draft,
        number: u64,
        about: serde_json::Value,
        until: Option<i64>,
        places: Vec<Place>,
    ) -> io::Result<Stored> {
        let sum = |of: fn(&Place) -> u64| places.iter().map(of).sum();
        let written = Stored { stored: sum(|place| place.stored), bytes: sum(|place| place.bytes) };
        let manifest = Manifest { format: FORMAT, number, about, until, parts: places };
        let line = serde_json::to_string(&manifest).map_err(io::Error::other)?;
        let mut file = File::create(directory.join(MANIFEST))?;
        writeln!(file, "{line}\n{}", blake3::hash(line.as_bytes()).to_hex())?;
        self.put_in_place(directory, number)?;
        // Numbers rise: one that is greater is another's, who may have been here before.
        let own = self.numbers()?.into_iter().rev().filter(|other| *other <= number);
        for number in own.skip(self.keep) {
            take_away(&self.path(number))?;
        }
        Ok(written)
    }

    /// The newest snapshot that is whole and of which `fits` says that it can be used. Nothing is
    /// read but what was written, and nothing is changed.
    ///
    /// # Errors
    /// When the directory is there and cannot be listed.
    pub fn newest(
        &self,
        fits: impl Fn(u64, &serde_json::Value) -> Result<(), Message>,
    ) -> io::Result<Found> {
        let mut found = Found::default();
        for number in self.numbers()?.into_iter().rev() {
            let path = self.path(number);
            if found.take(number, path, open(&self.path(number), number, &fits)) {
                break;
            }
        }
        Ok(found)
    }

    /// So many are kept.
    pub(super) fn keep(&self) -> usize {
        self.keep
    }

    /// Where the snapshot of a number is.
    pub fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:020}"))
    }

    /// Takes in a snapshot that comes from elsewhere, with what its manifest says: `fetch` writes its
    /// other files to a directory. It is there when it has been found to be whole.
    pub(super) fn take_in<E: From<io::Error> + From<Unusable>>(
        &self,
        number: u64,
        text: &str,
        fetch: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<Whole, E> {
        let directory = self.directory.join(FETCHED);
        remove(&directory)?;
        fs::create_dir_all(&directory)?;
        let taken = fetch(&directory).and_then(|()| {
            fs::write(directory.join(MANIFEST), text)?;
            let whole = open(&directory, number, |_, _| Ok(()))?;
            self.put_in_place(&directory, number)?;
            Ok(whole)
        });
        if taken.is_err() {
            // As where one cannot be written.
            let _ = remove(&directory);
        }
        taken
    }

    /// Gives a directory that is whole its name.
    fn put_in_place(&self, directory: &Path, number: u64) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            File::open(entry?.path())?.sync_all()?;
        }
        File::open(directory)?.sync_all()?;
        let path = self.path(number);
        take_away(&path)?;
        fs::rename(directory, &path)?;
        File::open(&self.directory)?.sync_all()
    }

    /// The numbers of the snapshots that are there, in order.
    pub(super) fn numbers(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let number = name.to_str().filter(|name| name.len() == 20);
            numbers.extend(number.and_then(|name| name.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// Takes away a directory that may be there, so that whoever sees its name sees all of it: it loses
/// that first. What a program that died left of one goes with the next.
///
/// # Errors
/// Those of the disk.
pub(crate) fn take_away(path: &Path) -> io::Result<()> {
    let removed = path.with_file_name(REMOVED);
    remove(&removed)?;
    match fs::rename(path, &removed) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed.and_then(|()| remove(&removed)),
    }
}

/// Removes a directory that may be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Opens a snapshot that can be used, and checks that it is whole.
pub(super) fn open(
    path: &Path,
    number: u64,
    fits: impl Fn(u64, &serde_json::Value) -> Result<(), Message>,
) -> Result<Whole, Unusable> {
    let failed = |error: io::Error| Unusable::Broken(format!("{MANIFEST}: {error}"));
    let text = fs::read_to_string(path.join(MANIFEST)).map_err(failed)?;
    let manifest = Manifest::read(&text, number)?;
    fits(number, &manifest.about).map_err(Unusable::Other)?;
    let files: Vec<&[Place]> = manifest.files().collect();
    let checked = files.par_iter().map(|places| {
        let name = parts::name(places[0].file);
        let told = |why| Unusable::Broken(format!("{name}: {why}"));
        parts::check(&path.join(&name), places).map_err(told)
    });
    let files: Vec<Opened> = checked.collect::<Result<_, Unusable>>()?;
    Ok(Whole { text, manifest, files })
}

impl Manifest {
    /// Reads what a file says, which must be of the snapshot of this number.
    pub(super) fn read(text: &str, number: u64) -> Result<Manifest, Unusable> {
        let broken = |why: String| Unusable::Broken(why);
        let (line, hash) = text.split_once('\n').unwrap_or_default();
        if hash != format!("{}\n", blake3::hash(line.as_bytes()).to_hex()) {
            return Err(broken(format!("{MANIFEST} is not as it was written")));
        }
        let strange = |error: serde_json::Error| broken(format!("{MANIFEST}: {error}"));
        let OfAnyFormat { format } = serde_json::from_str(line).map_err(strange)?;
        if format != FORMAT {
            return Err(Unusable::Format(format));
        }
        let manifest: Manifest = serde_json::from_str(line).map_err(strange)?;
        if manifest.number != number {
            return Err(broken(format!("it is number {}", manifest.number)));
        }
        Ok(manifest)
    }

    /// The parts of each file.
    pub(super) fn files(&self) -> impl Iterator<Item = &[Place]> {
        self.parts.chunk_by(|one, next| one.file == next.file)
    }
}

impl Whole {
    /// The snapshot, to be read.
    fn saved(self) -> (serde_json::Value, Saved) {
        let Whole { manifest, files, .. } = self;
        let files = files.into_iter().zip(manifest.files()).collect();
        let saved = Saved::there(manifest.until, files);
        (manifest.about, saved)
    }

    /// The name of a file.
    pub(super) fn name(&self, file: usize) -> String {
        let number = self.manifest.files().nth(file).map_or(0, |places| places[0].file);
        parts::name(number)
    }

    /// How many bytes it has.
    pub(super) fn size(&self) -> Stored {
        let sum = |of: fn(&Place) -> u64| self.manifest.parts.iter().map(of).sum();
        Stored { stored: sum(|place| place.stored), bytes: sum(|place| place.bytes) }
    }
}

impl Found {
    /// Notes what came of a snapshot; whether it is to be used.
    pub(super) fn take(
        &mut self,
        number: u64,
        path: PathBuf,
        opened: Result<Whole, Unusable>,
    ) -> bool {
        match opened {
            Ok(whole) => {
                let (about, saved) = whole.saved();
                self.snapshot = Some((number, about, saved));
            }
            Err(why) => self.passed_over.push((path, why)),
        }
        self.snapshot.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Part;

    fn state(of: u8) -> State {
        let part = |keeper: &str, number| Part {
            keeper: keeper.to_owned(),
            number,
            bytes: vec![of; 7 + number as usize * 50],
        };
        State { until: Some(i64::from(of)), parts: vec![part("a", 0), part("b", 1), part("b", 2)] }
    }

    fn found(store: &Store) -> (Option<u64>, usize) {
        let found = store.newest(|_, _| Ok(())).expect("the directory can be read");
        if let Some((number, about, read)) = &found.snapshot {
            let read = read.read().expect("it is as it was written");
            assert_eq!((about, read), (&serde_json::json!(number), state(*number as u8)));
        }
        (found.snapshot.map(|(number, _, _)| number), found.passed_over.len())
    }

    fn written(numbers: &[u64]) -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::new(&directory.path().join("snapshots"), 2);
        assert_eq!(found(&store), (None, 0), "not even the directory is there");
        for number in numbers {
            let about = serde_json::json!(number);
            store.write(*number, about, &state(*number as u8)).expect("it can be written");
        }
        (directory, store)
    }

    #[test]
    fn the_last_are_kept_and_the_newest_is_found() {
        let (directory, store) = written(&[3, 9, 10, 200]);
        assert_eq!(found(&store), (Some(200), 0));
        assert_eq!(store.numbers().expect("they can be listed"), [10, 200]);
        // What a crash left is in nobody's way.
        let folder = directory.path().join("snapshots");
        fs::create_dir(folder.join(UNFINISHED)).expect("a directory");
        fs::write(folder.join(UNFINISHED).join(parts::name(0)), "x").expect("a file");
        assert_eq!(found(&store), (Some(200), 0));
        store.write(201, serde_json::json!(201), &state(201)).expect("it can be written");
        assert_eq!(found(&store), (Some(201), 0));
        assert!(!folder.join(UNFINISHED).exists());
        // What was being taken away goes with the next, and the same number once more.
        fs::create_dir(folder.join(REMOVED)).expect("a directory");
        fs::write(folder.join(REMOVED).join(parts::name(0)), "x").expect("a file");
        store.write(201, serde_json::json!(201), &state(201)).expect("it can be written");
        assert_eq!(found(&store), (Some(201), 0));
        assert!(!folder.join(REMOVED).exists());
    }

    /// Whoever wrote them, and is no more, had come further: they are in nobody's way.
    #[test]
    fn the_last_are_kept_beside_those_of_greater_numbers() {
        let (_directory, store) = written(&[51, 53, 5, 6, 7]);
        assert_eq!(store.numbers().expect("they can be listed"), [6, 7, 51, 53]);
    }

    /// Every byte of each file changed, and each file cut at every length: it is seen, and the one
    /// before is used.
    #[test]
    fn no_byte_changes_unseen_and_the_one_before_is_used() {
        let (_directory, store) = written(&[1, 2]);
        for name in [MANIFEST, &parts::name(0)] {
            let path = store.path(2).join(name);
            let bytes = fs::read(&path).expect("the file");
            for at in 0..bytes.len() {
                for flip in [0x01, 0x20, 0x80] {
                    let mut changed = bytes.clone();
                    changed[at] ^= flip;
                    fs::write(&path, changed).expect("it can be written");
                    assert_eq!(found(&store), (Some(1), 1), "{name}, byte {at} ^ {flip}");
                }
                fs::write(&path, &bytes[..at]).expect("it can be written");
                assert_eq!(found(&store), (Some(1), 1), "{name}, cut at {at}");
            }
            let mut longer = bytes.clone();
            longer.push(b'\n');
            fs::write(&path, longer).expect("it can be written");
            assert_eq!(found(&store), (Some(1), 1), "{name}, longer");
            fs::remove_file(&path).expect("it can be removed");
            assert_eq!(found(&store), (Some(1), 1), "{name}, gone");
            fs::write(&path, &bytes).expect("it can be written");
            assert_eq!(found(&store), (Some(2), 0));
        }
        // Under another's number it is another's.
        remove(&store.path(1)).expect("it can be removed");
        fs::rename(store.path(2), store.path(1)).expect("it can be renamed");
        assert_eq!(found(&store), (None, 1));
    }

    /// Another instance that is about to end may still take an old one away.
    #[test]
    fn what_was_found_is_read_though_it_is_removed_meanwhile() {
        let (_directory, store) = written(&[1]);
        let found = store.newest(|_, _| Ok(())).expect("they can be listed").snapshot;
        let (_, _, saved) = found.expect("there is one");
        remove(&store.path(1)).expect("it can be removed");
        assert_eq!(saved.read().expect("it is held open"), state(1));
    }

    #[test]
    fn another_format_and_another_thing_are_refused_by_name() {
        let (_directory, store) = written(&[1, 2]);
        let path = store.path(2).join(MANIFEST);
        let text = fs::read_to_string(&path).expect("the file");
        let (line, _) = text.split_once('\n').expect("two lines");
        let other = line.replacen(&format!("\"format\":{FORMAT}"), "\"format\":77", 1);
        let hash = blake3::hash(other.as_bytes()).to_hex();
        fs::write(&path, format!("{other}\n{hash}\n")).expect("it can be written");
        let fits = |number, _: &serde_json::Value| match number {
            1 => Err(Message::new("it is of something else", "")),
            _ => Ok(()),
        };
        let found = store.newest(fits).expect("the directory can be read");
        assert!(found.snapshot.is_none());
        let told = found.passed_over.iter().map(|(path, why)| why.tell(path).en);
        let told: Vec<String> = told.collect();
        assert!(told[0].contains("it has format 77") && told[0].contains("002"), "{told:?}");
        assert!(told[1].contains("001 is passed over: it is of something else"), "{told:?}");
    }
}
