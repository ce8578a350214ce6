//! The proof of one claim: a JSON text that anyone with the public key can check, without the
//! journal.
//!
//! It leads in four steps from the claim's record to a checkpoint that the operator signed:
//!
//! 1. the packet's chain: the head before the record, the record, and the records after it give the
//!    head that the packet had after some batch (see [`super::chain`]);
//! 2. the batch tree: that head, with the packet's id and its number of claims, is a leaf under the
//!    batch's heads root (how many others are, the root does not say, and the proof neither);
//! 3. the log tree: the frame's hash and the heads root are a leaf under the checkpoint's root;
//! 4. the checkpoint's signature.
//!
//! What it shows: the record stood in the packet's order at that place when the checkpoint was
//! signed, and no later version of the log that fits the checkpoint has it elsewhere. What it does
//! not show: a time (see [`super::checkpoint`]), and that the records before the claim were honest:
//! for that, compare their proofs, or execute the journal again. The place rests on the number of
//! claims that the operator signed; all proofs of one batch and packet must agree on it, because it
//! is in the leaf.
//!
//! Hashes and records stand in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::chain::{self, RECORD_BYTES_MAX};
use super::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use super::frame::Header;
use super::ids::{BatchNumber, FrameHash, Head, Root};
use super::merkle::{MerkleError, Side, Tree, root_of, verify_inclusion};
use super::note::PublicKey;
use super::touched::{PACKET_BYTES_MAX, Touched, heads_root};
use super::verify::log_leaf;

/// The version of the layout.
pub const VERSION: u32 = 2;
/// The longest proof that is read: one with 1,000 records of 96 bytes behind the claim has 140 kB.
pub const PROOF_BYTES_MAX: usize = 1 << 20;

/// A claim in its packet's chain.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The packet's id.
    pub packet: &'a [u8],
    /// The packet's head before the claim.
    pub before: Head,
    /// The record of the claim.
    pub record: &'a [u8],
    /// The records after it, up to the end of the batch that the proof is for.
    pub after: &'a [&'a [u8]],
}

/// A proof as it is written and read. It shows nothing until [`Proof::check`] has said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    version: u32,
    packet: String,
    /// How many claims of the packet came before this one.
    place: u32,
    before: String,
    record: String,
    after: Vec<String>,
    /// The packet's head and number of claims after the batch.
    head: String,
    claims: u32,
    batch: BatchPart,
    log_path: Vec<String>,
    checkpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchPart {
    number: u64,
    hash: String,
    heads_root: String,
    path: Vec<Beside>,
}

/// A hash beside the way from the packet to the heads root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Beside {
    Left(String),
    Right(String),
}

/// What every layout begins with.
#[derive(Deserialize)]
struct Layout {
    version: u32,
}

/// What a proof has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The packet's id.
    pub packet: Vec<u8>,
    /// How many claims of the packet came before this one.
    pub place: u32,
    /// The record of the claim.
    pub record: Vec<u8>,
    /// The packet's head after the claim: what the claimer got as a receipt.
    pub receipt: Head,
    /// The batch after which the packet had the head that the proof ends with.
    pub batch: BatchNumber,
    /// The packet's number of claims after that batch.
    pub claims: u32,
    /// What the operator signed.
    pub checkpoint: Checkpoint,
}

/// Why a proof cannot be made, or shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is no proof in JSON.
    #[error("this is no proof: {0}")]
    Json(String),
    /// It is too long to be read.
    #[error("a proof of {0} bytes is longer than {PROOF_BYTES_MAX}")]
    TooLong(usize),
    /// Another layout.
    #[error("version {0} of the layout is not known")]
    Version(u32),
    /// A field is not base64, or not of the length that it has.
    #[error("`{0}` is not base64 of the right length")]
    Field(&'static str),
    /// The checkpoint is not signed by the key, or is none.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is older than the batch.
    #[error("the checkpoint covers {size} batches, and not batch {batch}")]
    NotCovered {
        /// The batch.
        batch: u64,
        /// The size of the checkpoint.
        size: u64,
    },
    /// The place does not follow from the number of claims.
    #[error("place {place} is not that of a claim with {after} of {claims} behind it")]
    Place {
        /// The place that is stated.
        place: u32,
        /// Records after the claim.
        after: usize,
        /// Claims of the packet.
        claims: u32,
    },
    /// The records do not lead to the head.
    #[error("the records do not lead to the packet's head")]
    Chain,
    /// The head is not under the batch's heads root.
    #[error("the packet's head is not among those of the batch")]
    BatchPath,
    /// The batch is not under the checkpoint's root.
    #[error("the batch is not in the log that was signed: {0}")]
    LogPath(MerkleError),
    /// The log of the older checkpoint is not the beginning of that of the newer.
    #[error("the log was not only added to: {0}")]
    Growth(MerkleError),
    /// There is no log of so many batches.
    #[error("no proof leads from {old} batches to {new}: the log has {batches}")]
    Sizes {
        /// The size of the older log.
        old: u64,
        /// The size of the newer one.
        new: u64,
        /// How many batches there are.
        batches: u64,
    },
    /// The batch did not touch the packet.
    #[error("the batch did not touch the packet")]
    NotTouched,
    /// The packets are not those of the batch.
    #[error("these packets are not those that the batch touched")]
    OtherBatch,
}

impl ProofError {
    /// The stable name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            ProofError::Json(_) => "proof-json",
            ProofError::TooLong(_) => "proof-too-long",
            ProofError::Version(_) => "proof-version",
            ProofError::Field(_) => "proof-field",
            ProofError::Checkpoint(error) => error.code(),
            ProofError::NotCovered { .. } => "proof-not-covered",
            ProofError::Place { .. } => "proof-place",
            ProofError::Chain => "proof-chain",
            ProofError::BatchPath => "proof-batch-path",
            ProofError::LogPath(_) => "proof-log-path",
            ProofError::Growth(_) => "proof-growth",
            ProofError::Sizes { .. } => "proof-sizes",
            ProofError::NotTouched => "proof-not-touched",
            ProofError::OtherBatch => "proof-other-batch",
        }
    }
}

impl Proof {
    /// The proof of a claim from the batch that made it or any later one that touched the packet,
    /// with all packets that this batch touched, the log tree, and a checkpoint that covers the
    /// batch.
    ///
    /// # Errors
    /// Why there is none. The checkpoint's signature is not looked at.
    pub fn new(
        claim: &Claim<'_>,
        (batch, touched): (&Header, &[Touched<'_>]),
        tree: &Tree,
        checkpoint: &SignedCheckpoint,
    ) -> Result<Proof, ProofError> {
        if heads_root(touched) != batch.heads_root {
            return Err(ProofError::OtherBatch);
        }
        let packet_place = touched
            .iter()
            .position(|touched| touched.packet == claim.packet)
            .ok_or(ProofError::NotTouched)?;
        let Touched { head, claims, .. } = touched[packet_place];
        let mut packets = Tree::default();
        touched.iter().for_each(|packet| packets.push(packet.leaf()));
        let path = packets
            .path(packet_place as u64, touched.len() as u64)
            .expect("the packet is one of them");
        let (number, size) = (batch.batch.0, checkpoint.checkpoint().size);
        let log_path =
            tree.inclusion(number, size).ok_or(ProofError::NotCovered { batch: number, size })?;
        let after = claim.after.len();
        let place = u32::try_from(after).ok().and_then(|after| claims.checked_sub(after + 1));
        let place = place.ok_or(ProofError::Place { place: 0, after, claims })?;
        let proof = Proof {
            version: VERSION,
            packet: STANDARD.encode(claim.packet),
            place,
            before: STANDARD.encode(claim.before.0),
            record: STANDARD.encode(claim.record),
            after: claim.after.iter().map(|record| STANDARD.encode(record)).collect(),
            head: STANDARD.encode(head.0),
            claims,
            batch: BatchPart {
                number,
                hash: STANDARD.encode(batch.hash.0),
                heads_root: STANDARD.encode(batch.heads_root.0),
                path: path.iter().map(Beside::new).collect(),
            },
            log_path: texts(&log_path),
            checkpoint: checkpoint.note().to_owned(),
        };
        proof.check_below(checkpoint.checkpoint())?;
        Ok(proof)
    }

    /// The proof as JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers are always JSON") + "\n"
    }

    /// Reads a proof. Nothing of it is checked.
    ///
    /// # Errors
    /// [`ProofError::Json`] and [`ProofError::TooLong`].
    pub fn from_json(text: &str) -> Result<Proof, ProofError> {
        read(text, VERSION)
    }

    /// Checks the proof with the operator's public key, and nothing else.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn check(&self, key: &PublicKey) -> Result<Proven, ProofError> {
        if self.version != VERSION {
            return Err(ProofError::Version(self.version));
        }
        let signed = SignedCheckpoint::parse(&self.checkpoint)?;
        self.check_below(signed.verify(key)?)
    }

    /// Checks all but the signature of the checkpoint.
    fn check_below(&self, checkpoint: &Checkpoint) -> Result<Proven, ProofError> {
        let batch = &self.batch;
        let (claims, after) = (self.claims, self.after.len());
        let place = u64::from(self.place);
        if place + after as u64 + 1 != u64::from(claims) {
            return Err(ProofError::Place { place: self.place, after, claims });
        }
        let record = bytes("record", &self.record, RECORD_BYTES_MAX)?;
        let receipt = chain::extend(Head(hash("before", &self.before)?), &record);
        let mut head = receipt;
        for record in &self.after {
            head = chain::extend(head, &bytes("after", record, RECORD_BYTES_MAX)?);
        }
        if head.0 != hash("head", &self.head)? {
            return Err(ProofError::Chain);
        }

        let packet = bytes("packet", &self.packet, PACKET_BYTES_MAX)?;
        let leaf = Touched { packet: &packet, head, claims }.leaf();
        let heads_root = Root(hash("batch.heads_root", &batch.heads_root)?);
        let path: Result<Vec<_>, _> = batch.path.iter().map(Beside::read).collect();
        if root_of(&leaf, &path?) != heads_root {
            return Err(ProofError::BatchPath);
        }

        let (number, size) = (batch.number, checkpoint.size);
        if number >= size {
            return Err(ProofError::NotCovered { batch: number, size });
        }
        let leaf = log_leaf(&FrameHash(hash("batch.hash", &batch.hash)?), &heads_root);
        let path = hashes("log_path", &self.log_path)?;
        verify_inclusion(&leaf, number, size, &path, &checkpoint.root)
            .map_err(ProofError::LogPath)?;
        Ok(Proven {
            packet,
            place: self.place,
            record,
            receipt,
            batch: BatchNumber(number),
            claims,
            checkpoint: checkpoint.clone(),
        })
    }
}

impl Beside {
    fn new((side, node): &(Side, Root)) -> Beside {
        let text = STANDARD.encode(node.0);
        match side {
            Side::Left => Beside::Left(text),
            Side::Right => Beside::Right(text),
        }
    }

    fn read(&self) -> Result<(Side, Root), ProofError> {
        let (side, text) = match self {
            Beside::Left(text) => (Side::Left, text),
            Beside::Right(text) => (Side::Right, text),
        };
        Ok((side, Root(hash("batch.path", text)?)))
    }
}

/// Reads a proof of that version of its layout.
pub(super) fn read<T: DeserializeOwned>(text: &str, version: u32) -> Result<T, ProofError> {
    if text.len() > PROOF_BYTES_MAX {
        return Err(ProofError::TooLong(text.len()));
    }
    serde_json::from_str(text).map_err(|error| match serde_json::from_str::<Layout>(text) {
        Ok(layout) if layout.version != version => ProofError::Version(layout.version),
        _ => ProofError::Json(error.to_string()),
    })
}

fn bytes(field: &'static str, text: &str, most: usize) -> Result<Vec<u8>, ProofError> {
    let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() <= most);
    bytes.ok_or(ProofError::Field(field))
}

fn hash(field: &'static str, text: &str) -> Result<[u8; 32], ProofError> {
    bytes(field, text, 32)?.try_into().map_err(|_| ProofError::Field(field))
}

pub(super) fn texts(hashes: &[Root]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash.0)).collect()
}

pub(super) fn hashes(field: &'static str, texts: &[String]) -> Result<Vec<Root>, ProofError> {
    texts.iter().map(|text| hash(field, text).map(Root)).collect()
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
