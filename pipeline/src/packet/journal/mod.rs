//! The durable log of the packet engine: what was done, in which order, and the proof of both.
//!
//! The engine applies a batch of commands and hands over the bytes of the batch, which are opaque
//! here, and the packets that it touched. The journal makes the batch durable, chains it to the one
//! before, and puts it in a Merkle tree whose signed roots, the checkpoints, bind the operator to
//! the order.
//!
//! ```
//! use hongxian::packet::journal::ids::{Time, Seq};
//! use hongxian::packet::journal::{
//!     Batch, Directory, Journal, Options, Signer, Touched, Trust, chain, verify,
//! };
//!
//! # let place = tempfile::tempdir()?;
//! # let path = place.path();
//! let (mut journal, recovery) = Journal::open(Directory::open(path)?, &Options::default())?;
//! assert_eq!(recovery.batches, 0);
//!
//! let head = chain::extend(chain::start(b"packet p1 made"), b"u1 claims 5 yuan");
//! journal.append(&Batch {
//!     first_sequence: Seq(1),
//!     count: 2,
//!     time: Time(1_707_480_000_000_000_000),
//!     body: b"the commands and their outcomes",
//!     touched: &[Touched { packet: b"p1", head, claims: 1 }],
//! })?;
//! journal.sync()?; // only now may anyone be told
//!
//! let signer = Signer::new("example.org/packets", &[7; 32])?;
//! let checkpoint = journal.checkpoint(&signer)?; // give it away
//!
//! let trust = Trust {
//!     key: Some(signer.public().clone()),
//!     checkpoints: vec![checkpoint.note().to_owned()],
//! };
//! let verified = verify(&Directory::read_only(path)?, &trust, None)?;
//! assert_eq!((verified.batches, verified.commands), (1, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The files
//!
//! | file | holds |
//! |---|---|
//! | `batches-N.log` | a segment ([`segment`]): frames from batch N on ([`frame`]) |
//! | `checkpoints.txt` | signed sizes and roots of the log tree ([`checkpoint`]) |
//! | `snapshot-N.bin` | the engine's state after batch N ([`snapshot`]), the last two |
//! | `lock` | locked while a process writes ([`storage`]) |
//!
//! # What a crash may leave, and what may not be
//!
//! Batches that were appended and not synced may be lost in a crash, whole or in part, also one in
//! front of another that was kept. So a broken frame is taken for an unfinished end, cut off and
//! reported as [`Cut`], if and only if
//!
//! - it is in the last segment (a segment is synced before the next one gets its name), and
//! - no whole frame behind it says that the broken batch was durable when it was written, or has a
//!   number that cannot stand there.
//!
//! Anything else that is not as written is [`Damage`], and the journal does not open: a broken
//! frame that a later one knows to have been durable, a segment that is missing or has another
//! name, a whole frame with another number, hash before, first command or time than follows from
//! the one before it.
//!
//! *What can not be told apart.* The batches of the last sync have nothing behind them that says
//! they were durable. If one of their bits rots, or someone cuts or rewrites them, that looks like
//! a crash, and like one it is cut off and reported. A checkpoint ends this: it is written after
//! the sync, so a journal with fewer batches than a checkpoint covers was cut, and is refused. An
//! operator who rewrites segments *and* checkpoints can only be caught with a checkpoint that was
//! kept elsewhere ([`Trust::checkpoints`]). So: make a checkpoint before the process ends, and give
//! each away; and hold [`Recovery::batches`] against the last batch that anyone was told of, if
//! that is known from elsewhere.
//!
//! After a failed sync the system may hold in memory what is not on disk, and show it to the next
//! process too. The journal cannot see that; after such a failure the machine should be restarted,
//! or the disk replaced, before the journal is opened again.
//!
//! # Limits
//!
//! Opening reads and hashes the whole journal, unless it is told to begin at the last snapshot
//! ([`Begin`]), which is then believed: [`verify()`] alone holds snapshots against the journal. The file of checkpoints is read as a whole. Old segments are never removed.
//! [`Journal::write_snapshot`] has the thread that appends wait; [`snapshot::write_beside`] does not.

pub mod ids;
pub mod chain;
pub mod storage;
pub mod frame;
pub mod merkle;
pub mod touched;
pub mod note;
mod unfinished;
pub mod checkpoint;
pub mod snapshot;
pub mod error;
pub mod segment;
pub mod verify;
pub mod log;
pub mod proof;
pub mod growth;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
pub(crate) mod toy;

pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, Trust};
pub use error::{Cut, Damage, Fault, JournalError};
pub use frame::Header;
pub use growth::{Grown, Growth};
pub use log::{Batch, Batches, Begin, Journal, Options, Recovery, is_begun};
pub use note::{NoteError, PublicKey, Signer};
pub use proof::{Claim, Proof, ProofError, Proven};
pub use snapshot::{Loaded, Mark, Snapshot, SnapshotError};
pub use storage::{Directory, Storage};
pub use touched::Touched;
pub use verify::{Replay, Verified, verify};
