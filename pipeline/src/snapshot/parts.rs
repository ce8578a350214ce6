//! Parts in a file: each compressed, end to end, one at a time in memory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Broken, Part, State, decode, encode};

/// Compresses several times faster than a disk writes.
const ZSTD_LEVEL: i32 = 1;
/// Bytes of a file that are checked at once.
const CHECKED: usize = 1 << 20;

/// Where a part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) keeper: String,
    pub(super) number: u32,
    /// In which file.
    pub(super) file: u32,
    /// How many bytes it has in the file, after all parts before it.
    pub(super) stored: u64,
    /// BLAKE3 of these.
    pub(super) blake3: String,
    /// How many bytes it has.
    pub(super) bytes: u64,
}

/// The name of a file of parts.
pub(super) fn name(file: u32) -> String {
    format!("parts-{file}")
}

/// Writes parts to a file. The first failure is told at the end.
pub(super) struct Writer<'f> {
    file: &'f File,
    number: u32,
    places: Vec<Place>,
    failed: Option<io::Error>,
}

impl Writer<'_> {
    pub(super) fn new(file: &File, number: u32) -> Writer<'_> {
        Writer { file, number, places: Vec::new(), failed: None }
    }

    pub(super) fn put(&mut self, keeper: &str, number: u32, bytes: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.write(keeper, number, bytes).err();
        }
    }

    fn write(&mut self, keeper: &str, number: u32, bytes: &[u8]) -> io::Result<()> {
        let stored = zstd::bulk::compress(bytes, ZSTD_LEVEL)?;
        self.file.write_all(&stored)?;
        self.places.push(Place {
            keeper: keeper.to_owned(),
            number,
            file: self.number,
            stored: stored.len() as u64,
            blake3: blake3::hash(&stored).to_hex().to_string(),
            bytes: bytes.len() as u64,
        });
        Ok(())
    }

    /// Where the parts are.
    pub(super) fn finish(self) -> io::Result<Vec<Place>> {
        self.failed.map_or(Ok(self.places), Err)
    }

    /// Writes where the parts are after them, for another process to read.
    pub(super) fn finish_with_index(self) -> io::Result<()> {
        let mut file = self.file;
        let mut index = encode(&self.finish()?);
        index.extend((index.len() as u64).to_le_bytes());
        file.write_all(&index)
    }
}

/// Reads where the parts of a file are, and takes that off its end.
pub(super) fn take_index(file: &File) -> io::Result<Vec<Place>> {
    let mut file = file;
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it is not as it was written");
    let length = file.metadata()?.len();
    let mut last = [0; 8];
    file.seek(SeekFrom::Start(length.checked_sub(8).ok_or_else(wrong)?))?;
    file.read_exact(&mut last)?;
    let start = (length - 8).checked_sub(u64::from_le_bytes(last)).ok_or_else(wrong)?;
    let mut index = vec![0; (length - 8 - start) as usize];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut index)?;
    let places: Vec<Place> = decode(&index).map_err(|_| wrong())?;
    if places.iter().map(|place| place.stored).sum::<u64>() != start {
        return Err(wrong());
    }
    file.set_len(start)?;
    Ok(places)
}

/// A file of parts that is held open: who removes its snapshot meanwhile, such as another instance that
/// is about to end, does not take it away from whoever reads.
#[derive(Debug)]
pub(super) struct Opened {
    path: PathBuf,
    file: Mutex<File>,
}

impl Opened {
    pub(super) fn length(&self) -> io::Result<u64> {
        self.file().metadata().map(|metadata| metadata.len())
    }

    /// So many bytes from there on.
    pub(super) fn read(&self, at: u64, many: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; many as usize];
        let mut file = self.file();
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a file, and checks that it holds just these parts, as they were written.
pub(super) fn check(path: &Path, places: &[Place]) -> Result<Opened, String> {
    let failed = |error: io::Error| error.to_string();
    let mut file = File::open(path).map_err(failed)?;
    let mut room = vec![0; CHECKED];
    for place in places {
        let mut hasher = blake3::Hasher::new();
        let mut left = place.stored;
        while left > 0 {
            let piece = &mut room[..left.min(CHECKED as u64) as usize];
            file.read_exact(piece).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => "it ends too soon".to_owned(),
                _ => failed(error),
            })?;
            hasher.update(piece);
            left -= piece.len() as u64;
        }
        if hasher.finalize().to_hex().as_str() != place.blake3 {
            return Err(place.changed());
        }
    }
    match file.read(&mut room).map_err(failed)? {
        0 => Ok(Opened { path: path.to_owned(), file: Mutex::new(file) }),
        _ => Err("it has bytes too many".to_owned()),
    }
}

impl Place {
    fn changed(&self) -> String {
        format!("part {} of {} is not as it was written", self.number, self.keeper)
    }
}

/// State to go on from. What is on disk is read, a part at a time, when its keeper wants it.
#[derive(Debug, Default)]
pub struct Saved {
    /// The end of the last step, see [`State::until`].
    pub(crate) until: Option<i64>,
    pub(crate) parts: Vec<SavedPart>,
}

/// A part of it.
#[derive(Debug)]
pub(crate) struct SavedPart {
    pub(crate) keeper: String,
    pub(crate) number: u32,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Here(Vec<u8>),
    /// In the file, from there on.
    There(Arc<Opened>, u64, Place),
}

impl Saved {
    /// What is in files, each with its places, in order.
    pub(super) fn there(until: Option<i64>, files: Vec<(Opened, &[Place])>) -> Saved {
        let mut parts = Vec::new();
        for (opened, places) in files {
            let (opened, mut at) = (Arc::new(opened), 0);
            for place in places {
                let (keeper, number) = (place.keeper.clone(), place.number);
                let bytes = Bytes::There(opened.clone(), at, place.clone());
                parts.push(SavedPart { keeper, number, bytes });
                at += place.stored;
            }
        }
        Saved { until, parts }
    }

    /// Takes out the one part of a keeper; none where there is no such keeper.
    pub(crate) fn take(&mut self, keeper: &str) -> Option<SavedPart> {
        let at = self.parts.iter().position(|part| part.keeper == keeper)?;
        Some(self.parts.swap_remove(at))
    }

    /// All of it at once.
    ///
    /// # Errors
    /// When it is no longer on disk as it was.
    pub fn read(&self) -> io::Result<State> {
        let part = |part: &SavedPart| {
            let bytes = part.read().map_err(|broken| io::Error::other(broken.0))?.into_owned();
            Ok(Part { keeper: part.keeper.clone(), number: part.number, bytes })
        };
        let parts: io::Result<Vec<Part>> = self.parts.iter().map(part).collect();
        Ok(State { until: self.until, parts: parts? })
    }
}

impl From<State> for Saved {
    fn from(state: State) -> Saved {
        let part = |Part { keeper, number, bytes }| SavedPart {
            keeper,
            number,
            bytes: Bytes::Here(bytes),
        };
        Saved { until: state.until, parts: state.parts.into_iter().map(part).collect() }
    }
}

impl SavedPart {
    pub(crate) fn read(&self) -> Result<Cow<'_, [u8]>, Broken> {
        let (opened, at, place) = match &self.bytes {
            Bytes::Here(bytes) => return Ok(bytes.into()),
            Bytes::There(opened, at, place) => (opened, *at, place),
        };
        let failed = |error: io::Error| Broken(format!("{}: {error}", opened.path.display()));
        let stored = opened.read(at, place.stored).map_err(failed)?;
        // It was checked when it was chosen; what is on disk may change.
        if blake3::hash(&stored).to_hex().as_str() != place.blake3 {
            return Err(Broken(place.changed()));
        }
        let bytes = zstd::bulk::decompress(&stored, place.bytes as usize).map_err(failed)?;
        Ok(bytes.into())
    }
}
