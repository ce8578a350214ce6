//! Verification: a whole journal read from its first byte, and executed again by the engine.
//!
//! It checks every frame's bytes, hash, number and place; that no segment is missing; the log tree
//! against every checkpoint, the file's and the caller's; every snapshot's place; and, if the caller
//! executes the bodies again, the packets that each batch left and the state in each snapshot. It
//! changes nothing, and stops at the first place that is wrong.

use std::io::ErrorKind;

use super::checkpoint::{CHECKPOINTS, CheckpointError, CheckpointFile, Trust, Watch};
use super::error::{Cut, Damage, Fault, JournalError};
use super::frame::Header;
use super::ids::{FrameHash, Root};
use super::merkle::{Frontier, leaf_hash};
use super::segment::{Depth, Follows, Found, Segment, Walk};
use super::snapshot::{self, Mark, SnapshotError, SnapshotFault};
use super::storage::Storage;
use super::touched::{Touched, heads_root, repeated};

/// An engine that executes batches again.
pub trait Replay {
    /// Executes one batch, and gives the packets that it touched in the order in which it touched
    /// them first, each as it is after the batch.
    ///
    /// # Errors
    /// In words, if the batch cannot be executed or its outcomes are other than the journal says.
    fn batch<'a>(&'a mut self, header: &Header, body: &'a [u8])
    -> Result<Vec<Touched<'a>>, String>;

    /// Whether a snapshot's state is, to the byte, that after the batches so far.
    fn is_state(&mut self, state: &[u8]) -> bool;
}

/// What was found to be in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many batches there are.
    pub batches: u64,
    /// How many commands are in them.
    pub commands: u64,
    /// How long their frames are.
    pub bytes: u64,
    /// The hash of the last frame.
    pub hash: FrameHash,
    /// The root of the log tree.
    pub root: Root,
    /// How many checkpoints the journal's file has, all found to be true.
    pub checkpoints: u64,
    /// How many the caller brought, all found to be true.
    pub checkpoints_outside: u64,
    /// How many snapshots there are, all found to be of this journal; the state in them is compared
    /// where batches are executed again.
    pub snapshots: u64,
    /// How many snapshots an earlier version of this program wrote: whole, and of no use to this one,
    /// so nothing more is asked of them.
    pub snapshots_earlier: u64,
    /// The unfinished end of the last segment, which the next opening will cut.
    pub unfinished: Option<Cut>,
    /// The unfinished end of the checkpoints' file, which the next opening will cut.
    pub checkpoints_unfinished: Option<Cut>,
}

/// Verifies a journal. Without `replay` the bodies stay opaque, and only the packets' heads go
/// unchecked.
///
/// # Errors
/// [`JournalError::Damage`] is the first place that is wrong, [`JournalError::Io`] a storage that
/// cannot be read.
pub fn verify<S: Storage>(
    storage: &S,
    trust: &Trust,
    mut replay: Option<&mut dyn Replay>,
) -> Result<Verified, JournalError> {
    let (mut commands, mut bytes, mut compared, mut earlier) = (0, 0, 0, 0);
    // Before the batches, for a process that writes meanwhile: their batches are on disk then.
    let mut snapshots = snapshot::snapshots(storage)?.into_iter().peekable();
    let survey = Survey::of(storage, trust, None, |found, tree| {
        commands += u64::from(found.header.count);
        bytes += found.header.frame_bytes();
        if let Some(engine) = &mut replay {
            execute(*engine, found)?;
        }
        if let Some((_, file)) = snapshots.next_if(|(batch, _)| *batch == found.header.batch) {
            let header = &found.header;
            let engine = replay.as_mut();
            let state = |state: &[u8]| engine.is_none_or(|engine| engine.is_state(state));
            match compare(storage, &file, (header, tree), state)? {
                Compared::Same => compared += 1,
                Compared::Earlier => earlier += 1,
                Compared::Gone => {}
            }
        }
        Ok(())
    })?;
    if let Some((batch, file)) = snapshots.next() {
        let fault = SnapshotFault::Ahead(survey.tree.size()).into();
        return Err(Box::new(Damage { file, offset: 0, batch, fault }).into());
    }
    Ok(Verified {
        batches: survey.tree.size(),
        commands,
        bytes,
        hash: survey.follows.previous.unwrap_or(FrameHash::GENESIS),
        root: survey.tree.root(),
        checkpoints: survey.checkpoints.checkpoints.len() as u64,
        checkpoints_outside: trust.checkpoints.len() as u64,
        snapshots: compared,
        snapshots_earlier: earlier,
        unfinished: survey.torn,
        checkpoints_unfinished: survey.checkpoints.torn,
    })
}

/// What comes of holding a snapshot that is in order against the journal.
enum Compared {
    Same,
    /// Of an earlier version.
    Earlier,
    /// It is there no more, because a newer one has taken its place.
    Gone,
}

/// Holds a snapshot against the journal at its batch.
fn compare<S: Storage>(
    storage: &S,
    file: &str,
    (header, tree): (&Header, &Frontier),
    is_state: impl FnOnce(&[u8]) -> bool,
) -> Result<Compared, JournalError> {
    let bytes = match storage.read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Compared::Gone),
        read => read?,
    };
    let fault = match snapshot::decode(header.batch, bytes) {
        Err(SnapshotFault::Earlier(_)) => return Ok(Compared::Earlier),
        Err(fault) => fault,
        Ok((mark, _)) if mark.frame != header.hash => SnapshotFault::OtherBatch,
        Ok((mark, _)) if mark.tree != *tree => SnapshotFault::LogTree,
        Ok((_, snapshot)) if !is_state(&snapshot.state) => SnapshotFault::State,
        Ok(_) => return Ok(Compared::Same),
    };
    let (file, batch) = (file.to_owned(), header.batch);
    Err(Box::new(Damage { file, offset: 0, batch, fault: fault.into() }).into())
}

fn execute(engine: &mut dyn Replay, found: &Found<'_>) -> Result<(), JournalError> {
    let touched = engine
        .batch(&found.header, found.body)
        .map_err(|words| found.damage(Fault::Replay(words)))?;
    if repeated(&touched).is_some() {
        return Err(found.damage(Fault::PacketTwice).into());
    }
    if heads_root(&touched) != found.header.heads_root {
        return Err(found.damage(Fault::HeadsRoot).into());
    }
    Ok(())
}

/// The leaf of a batch in the log tree: `SHA-256(00 || hash of the frame || heads root)`.
pub(super) fn log_leaf(hash: &FrameHash, heads: &Root) -> Root {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&hash.0);
    bytes[32..].copy_from_slice(&heads.0);
    leaf_hash(&bytes)
}

/// What reading a whole journal gives.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) follows: Follows,
    pub(super) tree: Frontier,
    pub(super) torn: Option<Cut>,
    pub(super) last_segment: Option<Segment>,
    pub(super) checkpoints: CheckpointFile,
}

impl Survey {
    /// Reads and checks all checkpoints and the frames, either all of them or those after a mark
    /// that a snapshot holds, and shows each batch to `each`, with the log tree up to it.
    pub(super) fn of<S: Storage>(
        storage: &S,
        trust: &Trust,
        begin: Option<(String, Mark)>,
        mut each: impl FnMut(&Found<'_>, &Frontier) -> Result<(), JournalError>,
    ) -> Result<Survey, JournalError> {
        let checkpoints = match storage.read(CHECKPOINTS) {
            Ok(bytes) => CheckpointFile::read(&bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => CheckpointFile::default(),
            Err(error) => return Err(error.into()),
        };
        let mut watch = Watch::new(&checkpoints, trust)?;
        let (mut walk, mut tree) = match begin {
            None => (Walk::all(storage, Depth::Whole)?, Frontier::default()),
            Some((file, mark)) => begin_after(storage, file, mark)?,
        };
        watch.reached(&tree)?;
        while let Some(found) = walk.next()? {
            tree.push(log_leaf(&found.header.hash, &found.header.heads_root));
            each(&found, &tree)?;
            watch.reached(&tree)?;
        }
        watch.ended(tree.size()).map_err(|damage| match (walk.torn(), &damage.fault) {
            // The log's own place, where there is one, and not that of who tells of it.
            (
                Some((Cut { file, offset, .. }, error)),
                Fault::Checkpoint(CheckpointError::Truncated { size, .. }),
            ) => {
                let fault = Fault::Covered { error: *error, size: *size };
                Box::new(Damage { file: file.clone(), offset: *offset, batch: damage.batch, fault })
            }
            _ => damage,
        })?;
        Ok(Survey {
            follows: walk.follows(),
            tree,
            torn: walk.torn().map(|(cut, _)| cut.clone()),
            last_segment: walk.last_segment().cloned(),
            checkpoints,
        })
    }
}

/// A walk that has passed the batch of a mark, and found it to be the one that is meant.
fn begin_after<S: Storage>(
    storage: &S,
    file: String,
    mark: Mark,
) -> Result<(Walk<'_, S>, Frontier), JournalError> {
    let mut walk = Walk::from(storage, mark.batch)?;
    let batch = mark.batch;
    match walk.next()?.map(|found| found.header.hash) {
        Some(hash) if hash == mark.frame => Ok((walk, mark.tree)),
        Some(_) => Err(SnapshotError::OtherJournal { file, batch }.into()),
        None => {
            let batches = walk.follows().batch.0;
            Err(SnapshotError::Ahead { file, batch, batches }.into())
        }
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
