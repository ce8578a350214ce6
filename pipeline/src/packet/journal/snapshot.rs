//! Snapshots: the engine's state after a batch, so that a restart need not execute all batches
//! again.
//!
//! What a snapshot holds is the engine's affair. The file is written under another name, synced,
//! and renamed, so that it is there whole or not at all. All numbers are little endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic: `FF` and `HXSNAPS` in ASCII |
//! | 8 | 4 | version of the layout and of the state, 2 |
//! | 12 | 4 | zero |
//! | 16 | 8 | number of the last batch that the state includes |
//! | 24 | 32 | hash of that batch's frame |
//! | 56 | 8 | bytes of the state |
//! | 64 | 32 | BLAKE3 over the bytes 0..64 and all bytes from 96 on |
//! | 96 | 32 each | peaks of the log tree, one for each bit that is set in the number of batches |
//! | | | the state, opaque here |
//!
//! Who opens the journal at a snapshot believes what is in it, and whoever can write to the directory
//! can write another, hash and all: [`verify()`](super::verify()) executes the journal and compares.
//! So equal states must be written alike.
//!
//! A snapshot that is damaged is passed over: the one before it, or the journal alone, leads to the
//! same state. One that is whole but does not fit the journal is an error, because it shows that
//! the journal lost or changed batches that were on disk when the snapshot was made. The journal's
//! segments are never removed for a snapshot: they are the proof.

use super::error::JournalError;
use super::ids::{BatchNumber, FrameHash, Root};
use super::merkle::Frontier;
use super::storage::Storage;

/// How many snapshots are kept: the last, and the one before it should the last be damaged.
pub const KEPT: usize = 2;

const MAGIC: [u8; 8] = *b"\xFFHXSNAPS";
const VERSION: u32 = 2;
/// Since when the layout is this one; the state was another.
const LAYOUT_SINCE: u32 = 1;
const HEADER_BYTES: usize = 96;
/// Where the hash stands; everything before it is hashed.
const HASH_AT: usize = 64;
const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".bin";
/// The name while it is being written.
const UNFINISHED: &str = "snapshot.unfinished";

/// Why a snapshot was not written, or shows that the journal is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The journal lost the batch that the snapshot was made after.
    #[error("{file} was made after batch {batch}, and the journal has only {batches}: it was cut")]
    Ahead {
        /// The file.
        file: String,
        /// The last batch that it includes.
        batch: BatchNumber,
        /// How many batches the journal has.
        batches: u64,
    },
    /// The journal has another batch in that place.
    #[error("{file} was made after another batch {batch} than the one in the journal")]
    OtherJournal {
        /// The file.
        file: String,
        /// The last batch that it includes.
        batch: BatchNumber,
    },
}

/// What is wrong with a snapshot: one that was passed over, or that
/// [`verify()`](super::verify()) has held against the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFault {
    /// It is shorter than it says, or longer.
    #[error("it has {found} bytes instead of {needed}")]
    Length {
        /// What it should have.
        needed: u64,
        /// What it has.
        found: u64,
    },
    /// It is no snapshot.
    #[error("it does not begin as a snapshot does")]
    Magic,
    /// Another layout.
    #[error("version {0} of the layout is not known")]
    Version(u32),
    /// A whole one, whose state only an earlier program can read.
    #[error("an earlier version of this program wrote it (version {0})")]
    Earlier(u32),
    /// The bytes are not those that were hashed.
    #[error("the bytes are not those that were hashed")]
    Hash,
    /// It was made after another batch than its name says.
    #[error("it was made after batch {0}, not after the one in its name")]
    Name(BatchNumber),
    /// The journal lost the batch.
    #[error("it was made after a batch that the journal has lost: there are {0}")]
    Ahead(u64),
    /// The journal has another batch in that place.
    #[error("it was made after another batch than the one in the journal")]
    OtherBatch,
    /// The hashes of the log tree are others.
    #[error("its log tree is not that of the journal")]
    LogTree,
    /// The state is another.
    #[error("executing the journal comes to another state")]
    State,
}

impl SnapshotFault {
    /// The stable name of the kind of fault.
    pub fn code(&self) -> &'static str {
        match self {
            SnapshotFault::Length { .. } => "snapshot-length",
            SnapshotFault::Magic => "snapshot-magic",
            SnapshotFault::Version(_) => "snapshot-version",
            SnapshotFault::Earlier(_) => "snapshot-earlier",
            SnapshotFault::Hash => "snapshot-hash",
            SnapshotFault::Name(_) => "snapshot-name",
            SnapshotFault::Ahead(_) => "snapshot-ahead",
            SnapshotFault::OtherBatch => "snapshot-other-batch",
            SnapshotFault::LogTree => "snapshot-log-tree",
            SnapshotFault::State => "snapshot-state",
        }
    }
}

/// A place of the journal: what is needed to go on from there. A caller that writes its state in
/// the background takes the mark together with the copy of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub(super) batch: BatchNumber,
    pub(super) frame: FrameHash,
    /// The log tree up to and with the batch.
    pub(super) tree: Frontier,
}

impl Mark {
    /// The last batch before the mark.
    pub fn batch(&self) -> BatchNumber {
        self.batch
    }
}

/// The state after a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last batch that the state includes.
    pub batch: BatchNumber,
    /// The state.
    pub state: Vec<u8>,
}

/// The snapshot to start from, and those that are damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The newest that is whole; none if there is none.
    pub snapshot: Option<Snapshot>,
    /// Newer ones that were passed over, each with its fault.
    pub passed_over: Vec<(String, SnapshotFault)>,
}

/// Writes a snapshot through a handle of its own, beside a journal that goes on: a checkpoint covers
/// its mark already. One at a time may.
///
/// # Errors
/// Those of the storage.
pub fn write_beside<S: Storage>(storage: &mut S, mark: &Mark, state: &[u8]) -> std::io::Result<()> {
    write(storage, mark, state)
}

/// Writes a snapshot and takes away those before the last [`KEPT`].
pub(super) fn write<S: Storage>(storage: &mut S, mark: &Mark, state: &[u8]) -> std::io::Result<()> {
    let Mark { batch, frame, tree } = mark;
    let peaks: Vec<u8> = tree.peaks().iter().flat_map(|peak| peak.0).collect();
    let mut header = Vec::with_capacity(HEADER_BYTES + peaks.len());
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(&batch.0.to_le_bytes());
    header.extend_from_slice(&frame.0);
    header.extend_from_slice(&(state.len() as u64).to_le_bytes());
    let hash = hash(&[&header, &peaks, state]);
    header.extend_from_slice(&hash);
    header.extend_from_slice(&peaks);

    remove_unfinished(storage)?;
    storage.create(UNFINISHED)?;
    storage.append(UNFINISHED, &header)?;
    storage.append(UNFINISHED, state)?;
    storage.sync(UNFINISHED)?;
    storage.rename(UNFINISHED, &file_name(*batch))?;
    storage.sync_directory()?;

    let found = snapshots(storage)?;
    let old = found.len().saturating_sub(KEPT);
    for (_, name) in &found[..old] {
        storage.remove(name)?;
    }
    if old > 0 { storage.sync_directory() } else { Ok(()) }
}

/// Takes away what a crash left of a snapshot.
pub(super) fn remove_unfinished<S: Storage>(storage: &mut S) -> std::io::Result<()> {
    match storage.list()?.iter().any(|name| name == UNFINISHED) {
        true => storage.remove(UNFINISHED),
        false => Ok(()),
    }
}

/// Finds the newest snapshot that is whole. `frame` gives the hash of a batch of the journal.
pub(super) fn load<S: Storage>(
    storage: &S,
    batches: u64,
    frame: impl Fn(BatchNumber) -> Result<FrameHash, JournalError>,
) -> Result<Loaded, JournalError> {
    let mut loaded = Loaded::default();
    for (named, file) in snapshots(storage)?.into_iter().rev() {
        match decode(named, storage.read(&file)?) {
            Err(fault) => loaded.passed_over.push((file, fault)),
            Ok((_, Snapshot { batch, .. })) if batch.0 >= batches => {
                return Err(SnapshotError::Ahead { file, batch, batches }.into());
            }
            Ok((mark, Snapshot { batch, .. })) if frame(batch)? != mark.frame => {
                return Err(SnapshotError::OtherJournal { file, batch }.into());
            }
            Ok((_, snapshot)) => {
                loaded.snapshot = Some(snapshot);
                break;
            }
        }
    }
    Ok(loaded)
}

/// The mark of the newest snapshot that is whole, with its file.
pub(super) fn newest_mark<S: Storage>(storage: &S) -> std::io::Result<Option<(String, Mark)>> {
    for (named, file) in snapshots(storage)?.into_iter().rev() {
        if let Ok((mark, _)) = decode(named, storage.read(&file)?) {
            return Ok(Some((file, mark)));
        }
    }
    Ok(None)
}

/// Whether a file has the name of a snapshot.
pub(super) fn is_snapshot(name: &str) -> bool {
    batch_of(name).is_some()
}

/// All snapshots by their names, the oldest first.
pub(super) fn snapshots<S: Storage>(storage: &S) -> std::io::Result<Vec<(BatchNumber, String)>> {
    let names = storage.list()?.into_iter();
    Ok(names.filter_map(|name| Some((batch_of(&name)?, name))).collect())
}

pub(super) fn file_name(batch: BatchNumber) -> String {
    format!("{PREFIX}{:020}{SUFFIX}", batch.0)
}

fn batch_of(name: &str) -> Option<BatchNumber> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let batch = BatchNumber(digits.parse().ok()?);
    (file_name(batch) == name).then_some(batch)
}

pub(super) fn decode(
    named: BatchNumber,
    mut bytes: Vec<u8>,
) -> Result<(Mark, Snapshot), SnapshotFault> {
    let found = bytes.len() as u64;
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(SnapshotFault::Length { needed: HEADER_BYTES as u64, found });
    };
    let field = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("8 bytes"));
    if header[..8] != MAGIC {
        return Err(SnapshotFault::Magic);
    }
    let version = u32::from_le_bytes(header[8..12].try_into().expect("4 bytes"));
    if !(LAYOUT_SINCE..=VERSION).contains(&version) {
        return Err(SnapshotFault::Version(version));
    }
    let batches = field(16).wrapping_add(1);
    let peaks_bytes = batches.count_ones() as usize * 32;
    let needed = field(56).saturating_add((HEADER_BYTES + peaks_bytes) as u64);
    if needed != found {
        return Err(SnapshotFault::Length { needed, found });
    }
    if hash(&[&header[..HASH_AT], rest]) != header[HASH_AT..] {
        return Err(SnapshotFault::Hash);
    }
    let batch = BatchNumber(field(16));
    if batch != named {
        return Err(SnapshotFault::Name(batch));
    }
    if version < VERSION {
        return Err(SnapshotFault::Earlier(version));
    }
    let frame = FrameHash(header[24..56].try_into().expect("32 bytes"));
    let peaks = rest[..peaks_bytes].as_chunks::<32>().0.iter().map(|peak| Root(*peak)).collect();
    let tree = Frontier::from_peaks(batches, peaks).expect("a peak for each bit that is set");
    bytes.drain(..HEADER_BYTES + peaks_bytes);
    Ok((Mark { batch, frame, tree }, Snapshot { batch, state: bytes }))
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
