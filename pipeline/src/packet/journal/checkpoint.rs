//! Checkpoints: the size and the root of the log tree, signed, so that the journal cannot be
//! shortened or changed below them unnoticed.
//!
//! The text is that of `c2sp.org/tlog-checkpoint`, its origin being the name of the key:
//!
//! ```text
//! example.org/packets
//! 1024
//! base64 of the root of the first 1024 batches
//!
//! — example.org/packets base64(key id || signature)
//! ```
//!
//! `checkpoints.txt` holds them in the order in which they were made, an empty line after each. Who
//! can write to the directory can also cut this file: it is the copies *elsewhere* that bind the
//! operator. Give those to [`Trust::checkpoints`]. A checkpoint has no time of its own: an order is
//! settled as soon as a copy has left the machine, and the time is bounded by when the two
//! neighbours did.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::{Cut, Damage, Fault, OUTSIDE};
use super::ids::{BatchNumber, Root};
use super::merkle::Frontier;
use super::note::{Note, NoteError, PublicKey, Signer};
use super::unfinished::unfinished;

/// The file of checkpoints in the journal's directory.
pub const CHECKPOINTS: &str = "checkpoints.txt";

/// What the caller believes before it has read anything.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The key that signs the journal's checkpoints. Without it their signatures are not looked at,
    /// and a forged one can refuse a good journal but not let a bad one pass.
    pub key: Option<PublicKey>,
    /// Checkpoints that were kept elsewhere, each a whole note.
    pub checkpoints: Vec<String>,
}

/// The size and the root of the log tree at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log it is of: the name of the key that signs it.
    pub origin: String,
    /// How many batches it covers.
    pub size: u64,
    /// The root of the log tree over them.
    pub root: Root,
}

/// A checkpoint with the note that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: String,
}

impl SignedCheckpoint {
    /// The checkpoint of a log tree, signed.
    pub fn sign(size: u64, root: Root, signer: &Signer) -> SignedCheckpoint {
        let origin = signer.public().name().to_owned();
        let note = signer.sign(&format!("{origin}\n{size}\n{}\n", STANDARD.encode(root.0)));
        SignedCheckpoint { checkpoint: Checkpoint { origin, size, root }, note }
    }

    /// Reads a note. Its signature is not looked at.
    ///
    /// # Errors
    /// [`CheckpointError::Note`] and [`CheckpointError::Malformed`].
    pub fn parse(note: &str) -> Result<SignedCheckpoint, CheckpointError> {
        let text = Note::parse(note)?.text();
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Malformed("it has three lines: origin, size, root"));
        };
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == size);
        let size = number.ok_or(CheckpointError::Malformed("its size is no number"))?;
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok()).map(Root);
        let root = root.ok_or(CheckpointError::Malformed("its root is not base64 of 32 bytes"))?;
        let checkpoint = Checkpoint { origin: origin.to_owned(), size, root };
        Ok(SignedCheckpoint { checkpoint, note: note.to_owned() })
    }

    /// Checks the signature and that the checkpoint is of the key's own log.
    ///
    /// # Errors
    /// [`CheckpointError::Note`] and [`CheckpointError::Origin`].
    pub fn verify(&self, key: &PublicKey) -> Result<&Checkpoint, CheckpointError> {
        Note::parse(&self.note)?.verify(key)?;
        if self.checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin {
                found: self.checkpoint.origin.clone(),
                expected: key.name().to_owned(),
            });
        }
        Ok(&self.checkpoint)
    }

    /// What it says, whether or not it is true.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The whole note.
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// Why a checkpoint is not accepted, or shows that the journal is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not signed, or not by the trusted key.
    #[error("{0}")]
    Note(#[from] NoteError),
    /// The signed text is no checkpoint.
    #[error("this is no checkpoint: {0}")]
    Malformed(&'static str),
    /// It is of another log.
    #[error("the checkpoint is of the log `{found}`, not of `{expected}`")]
    Origin {
        /// The log it is of.
        found: String,
        /// The log that is looked at.
        expected: String,
    },
    /// Two checkpoints of one size say different things: the log was shown in two versions.
    #[error("two checkpoints of {size} batches have different roots: the log has two versions")]
    Equivocation {
        /// The size of both.
        size: u64,
    },
    /// A later checkpoint is of fewer batches: the log was rolled back and went on from there.
    #[error("a checkpoint of {size} batches stands after one of {before}: the log was rolled back")]
    RolledBack {
        /// The size of the later one.
        size: u64,
        /// The size of the one before it.
        before: u64,
    },
    /// The journal lost batches that a checkpoint covers.
    #[error("the checkpoint covers {size} batches and the journal has {batches}: it was cut")]
    Truncated {
        /// What the checkpoint covers.
        size: u64,
        /// What the journal has.
        batches: u64,
    },
    /// The journal has other batches than those that the checkpoint covers.
    #[error("the first {size} batches of the journal are not those that the checkpoint covers")]
    Forked {
        /// The size of the checkpoint.
        size: u64,
    },
}

impl CheckpointError {
    /// The stable name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            CheckpointError::Note(error) => error.code(),
            CheckpointError::Malformed(_) => "checkpoint-malformed",
            CheckpointError::Origin { .. } => "checkpoint-origin",
            CheckpointError::Equivocation { .. } => "checkpoint-equivocation",
            CheckpointError::RolledBack { .. } => "checkpoint-rolled-back",
            CheckpointError::Truncated { .. } => "checkpoint-truncated",
            CheckpointError::Forked { .. } => "checkpoint-forked",
        }
    }
}

/// The checkpoints of a file, each with its offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointFile {
    /// The checkpoints.
    pub checkpoints: Vec<(u64, SignedCheckpoint)>,
    /// The end that a crash left unfinished: the beginning of a checkpoint, or one with sectors that
    /// were never written.
    pub torn: Option<Cut>,
}

impl CheckpointFile {
    /// Reads what `checkpoints.txt` holds.
    ///
    /// # Errors
    /// The first checkpoint that cannot be read.
    pub fn read(bytes: &[u8]) -> Result<CheckpointFile, Box<Damage>> {
        let mut file = CheckpointFile::default();
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let Some(length) = entry_bytes(rest).filter(|length| !rest[..*length].contains(&0))
            else {
                let zeros = rest.iter().rposition(|byte| *byte == 0).map_or(0, |last| last + 1);
                let after = &rest[zeros..];
                if memchr::memchr_iter(b'\n', after).any(|line| whole(&after[line + 1..])) {
                    let error = NoteError::Malformed("it has zeros and others follow");
                    return Err(damage(CHECKPOINTS, at as u64, 0, error.into()));
                }
                let origin = file.checkpoints.last().map(|(_, last)| &*last.checkpoint.origin);
                if !unfinished(rest, at, origin) {
                    let error = NoteError::Malformed("no whole one begins like this");
                    return Err(damage(CHECKPOINTS, at as u64, 0, error.into()));
                }
                let bytes = rest.len() as u64;
                let (file_name, offset) = (CHECKPOINTS.to_owned(), at as u64);
                file.torn = Some(Cut { file: file_name, offset, bytes, whole_frames: 0 });
                return Ok(file);
            };
            let checkpoint = std::str::from_utf8(&rest[..length - 1])
                .map_err(|_| NoteError::Malformed("it is not UTF-8").into())
                .and_then(SignedCheckpoint::parse)
                .map_err(|error| damage(CHECKPOINTS, at as u64, 0, error))?;
            file.checkpoints.push((at as u64, checkpoint));
            at += length;
        }
        Ok(file)
    }

    /// Reads checkpoints that were kept elsewhere: one as it was given away, which no empty line
    /// need end, or several as in `checkpoints.txt`.
    ///
    /// # Errors
    /// The first checkpoint that cannot be read; that there is none.
    pub fn read_outside(bytes: &[u8]) -> Result<CheckpointFile, Box<Damage>> {
        let ended = bytes.ends_with(b"\n\n") || !bytes.ends_with(b"\n");
        let bytes = [bytes, if ended { b"" } else { b"\n" }].concat();
        let file = CheckpointFile::read(&bytes)?;
        match file.checkpoints.is_empty() {
            true => {
                Err(damage(OUTSIDE, 0, 0, NoteError::Malformed("there is no whole one").into()))
            }
            false => Ok(file),
        }
    }
}

/// What is put at the end of the file for a checkpoint.
pub(super) fn entry(checkpoint: &SignedCheckpoint) -> String {
    format!("{}\n", checkpoint.note)
}

/// The length of the first entry: a text, an empty line, signatures, an empty line.
fn entry_bytes(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(bytes, b"\n\n").nth(1).map(|at| at + 2)
}

/// Whether the bytes begin with a whole checkpoint.
fn whole(bytes: &[u8]) -> bool {
    entry_bytes(bytes)
        .and_then(|length| std::str::from_utf8(&bytes[..length - 1]).ok())
        .is_some_and(|note| SignedCheckpoint::parse(note).is_ok())
}

/// Holds a journal that is being read against all checkpoints.
#[derive(Debug)]
pub(super) struct Watch {
    /// By size: the root, and where the checkpoint stands.
    by_size: BTreeMap<u64, (Root, &'static str, u64)>,
}

impl Watch {
    /// Checks the checkpoints of the file and those of the caller by themselves and against each
    /// other.
    pub(super) fn new(file: &CheckpointFile, trust: &Trust) -> Result<Watch, Box<Damage>> {
        let mut watch = Watch { by_size: BTreeMap::new() };
        let mut before = 0;
        for (offset, signed) in &file.checkpoints {
            watch.add(signed, trust, (CHECKPOINTS, *offset))?;
            let size = signed.checkpoint.size;
            if size < before {
                let error = CheckpointError::RolledBack { size, before };
                return Err(damage(CHECKPOINTS, *offset, size, error));
            }
            before = size;
        }
        for (place, note) in (0..).zip(&trust.checkpoints) {
            let signed =
                SignedCheckpoint::parse(note).map_err(|error| damage(OUTSIDE, place, 0, error))?;
            watch.add(&signed, trust, (OUTSIDE, place))?;
        }
        Ok(watch)
    }

    fn add(
        &mut self,
        signed: &SignedCheckpoint,
        trust: &Trust,
        (file, offset): (&'static str, u64),
    ) -> Result<(), Box<Damage>> {
        let Checkpoint { size, root, .. } = signed.checkpoint;
        if let Some(key) = &trust.key {
            signed.verify(key).map_err(|error| damage(file, offset, size, error))?;
        }
        match self.by_size.insert(size, (root, file, offset)) {
            Some((other, ..)) if other != root => {
                Err(damage(file, offset, size, CheckpointError::Equivocation { size }))
            }
            _ => Ok(()),
        }
    }

    /// The log tree has reached another size.
    pub(super) fn reached(&mut self, tree: &Frontier) -> Result<(), Box<Damage>> {
        let size = tree.size();
        match self.by_size.remove(&size) {
            Some((root, file, offset)) if root != tree.root() => {
                Err(damage(file, offset, size, CheckpointError::Forked { size }))
            }
            _ => Ok(()),
        }
    }

    /// The journal ends.
    pub(super) fn ended(&self, batches: u64) -> Result<(), Box<Damage>> {
        match self.by_size.range(batches + 1..).next() {
            Some((&size, &(_, file, offset))) => {
                Err(damage(file, offset, batches, CheckpointError::Truncated { size, batches }))
            }
            None => Ok(()),
        }
    }
}

fn damage(file: &str, offset: u64, batch: u64, error: CheckpointError) -> Box<Damage> {
    let fault = Fault::Checkpoint(error);
    Box::new(Damage { file: file.to_owned(), offset, batch: BatchNumber(batch), fault })
}
