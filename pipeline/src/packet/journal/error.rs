//! What can go wrong with a journal, and where.

use std::fmt;
use std::io;

use super::checkpoint::CheckpointError;
use super::frame::{BODY_BYTES_MAX, FrameError};
use super::ids::{BatchNumber, Seq, Time};
use super::note::NoteError;
use super::snapshot::{SnapshotError, SnapshotFault};
use super::touched::PACKET_BYTES_MAX;

/// Why the journal did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The storage failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What is on disk is not what was written.
    #[error("{0}")]
    Damage(#[from] Box<Damage>),
    /// The storage failed before, so nobody knows what is on disk: the process must end.
    #[error("the journal failed before and takes nothing more; end the process and open it anew")]
    Poisoned,
    /// A batch does not go on where the one before ended.
    #[error("the batch begins with command {found}, and the next one is {expected}")]
    Sequence {
        /// The batch's first command.
        found: Seq,
        /// The next one.
        expected: Seq,
    },
    /// There is no number for a command after the batch.
    #[error("a batch that begins with command {0} has commands past the last number")]
    SequenceEnd(Seq),
    /// The clock of the engine ran backwards.
    #[error("the batch was applied at {found}, before the one in front of it at {before}")]
    Time {
        /// When the batch was applied.
        found: Time,
        /// When the one before it was.
        before: Time,
    },
    /// A body is longer than any reader accepts.
    #[error("a body of {0} bytes is longer than {BODY_BYTES_MAX}")]
    BodyTooLong(usize),
    /// A packet's id is too long.
    #[error("a packet's id of {0} bytes is longer than {PACKET_BYTES_MAX}")]
    PacketTooLong(usize),
    /// There is no such batch.
    #[error("there is no batch {0}")]
    NoSuchBatch(BatchNumber),
    /// A snapshot was not written or not read.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    /// A key or a note is not accepted.
    #[error("{0}")]
    Note(#[from] NoteError),
}

/// A place at which the journal is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} at byte {offset}, batch {batch}: {fault}")]
pub struct Damage {
    /// The segment, `checkpoints.txt`, the snapshot, or [`OUTSIDE`] for a checkpoint that the caller brought.
    pub file: String,
    /// Where in the file the frame or the checkpoint begins; the place among the caller's
    /// checkpoints for one of those.
    pub offset: u64,
    /// The batch that stands or should stand there; for a checkpoint, the first that it does not
    /// cover.
    pub batch: BatchNumber,
    /// What is wrong.
    pub fault: Fault,
}

/// The name in the place of a file for a checkpoint that the caller brought.
pub const OUTSIDE: &str = "outside checkpoint";

/// What is wrong at a place of the journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are no whole frame, and a crash does not explain it.
    #[error("{0}, and this is no crash's doing: the batch had been on disk, whole")]
    Frame(FrameError),
    /// The same, known by a checkpoint of so many batches.
    #[error("{error}, and a checkpoint of {size} batches says that the batch was on disk, whole")]
    Covered {
        /// What is wrong with the frame.
        error: FrameError,
        /// The size of the checkpoint.
        size: u64,
    },
    /// A segment is missing, or begins before the one in front of it ends.
    #[error("the segment begins with batch {named}, and batch {expected} comes next")]
    Segment {
        /// The batch in the segment's name.
        named: BatchNumber,
        /// The batch that comes next.
        expected: BatchNumber,
    },
    /// A file that looks like a segment has no batch number in its name.
    #[error("its name is not that of a segment")]
    SegmentName,
    /// Another batch than the next one.
    #[error("this is batch {0}")]
    Batch(BatchNumber),
    /// The frame was written after other batches than those before it.
    #[error("the hash before is not that of the frame before")]
    Previous,
    /// Commands are missing or counted twice.
    #[error("it begins with command {found}, and the next one is {expected}")]
    Sequence {
        /// The batch's first command.
        found: Seq,
        /// The next one.
        expected: Seq,
    },
    /// The clock ran backwards.
    #[error("it was applied at {found}, before the one in front of it at {before}")]
    Time {
        /// When the batch was applied.
        found: Time,
        /// When the one before it was.
        before: Time,
    },
    /// What is on disk changed while the journal was open.
    #[error("the frames before it are not those that the journal wrote or read before")]
    LogTree,
    /// The packets are not as the frame says.
    #[error("executed again, the batch leaves other packets than the frame says")]
    HeadsRoot,
    /// A packet stands twice among those that the batch touched.
    #[error("executed again, the batch gives one packet twice")]
    PacketTwice,
    /// The engine refuses what the journal says it did.
    #[error("executed again, the batch fails: {0}")]
    Replay(String),
    /// A snapshot is damaged, or is not what the journal comes to.
    #[error("{0}")]
    Snapshot(#[from] SnapshotFault),
    /// A checkpoint and the journal do not fit together.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
}

impl Fault {
    /// The stable name of the kind of fault.
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Frame(error) => error.fault.code(),
            Fault::Covered { .. } => "checkpoint-truncated",
            Fault::Segment { named, expected } if named > expected => "segment-missing",
            Fault::Segment { .. } => "segment-overlap",
            Fault::SegmentName => "segment-name",
            Fault::Batch(_) => "batch-number",
            Fault::Previous => "batch-previous-hash",
            Fault::Sequence { .. } => "batch-sequence",
            Fault::Time { .. } => "batch-time",
            Fault::LogTree => "log-tree",
            Fault::HeadsRoot => "batch-heads-root",
            Fault::PacketTwice => "batch-packet-twice",
            Fault::Replay(_) => "batch-replay",
            Fault::Snapshot(fault) => fault.code(),
            Fault::Checkpoint(error) => error.code(),
        }
    }
}

/// The end of a file that a crash left unfinished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub file: String,
    /// Where the unfinished part begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// Whole frames in it: they came after a broken one, in the same sync, and go with it.
    pub whole_frames: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cut { file, offset, bytes, whole_frames } = self;
        write!(f, "{file} at byte {offset}: an unfinished end of {bytes} bytes")?;
        match whole_frames {
            0 => Ok(()),
            frames => write!(f, ", {frames} whole frames of the same sync among them"),
        }
    }
}
