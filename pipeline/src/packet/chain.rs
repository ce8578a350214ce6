//! The order of a packet's claims as a chain of hashes: the head after a claim is its receipt, and
//! no claim before it can be changed, dropped, added or moved without another head.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

use super::command::Send;
use super::journal::chain as journal;
use super::journal::ids::Head;
use super::reply::Digest;
use super::units::{Fen, Time};

/// Bytes of a record.
pub const RECORD_BYTES: usize = 53;

/// What a link adds to a packet's chain. The account is there as the digest of its id, the other
/// fields are little-endian:
///
/// | bytes | field |
/// |---|---|
/// | 0 | 1 a claim, 2 the close |
/// | 1..5 | place of the claim; at the close the number of claims |
/// | 5..13 | fen of the claim; at the close the fen that went back |
/// | 13..21 | engine time, ns since 1970 UTC |
/// | 21..53 | digest of the claimer's id; at the close the packet's secret |
pub type Record = [u8; RECORD_BYTES];

/// The head of a chain without links: it binds what the packet is.
pub fn origin(send: &Send<'_>, time: Time, commitment: &Digest) -> Digest {
    static KEY: LazyLock<ContextKey> =
        LazyLock::new(|| hash_derive_key_context("hongxian 2026 packet chain"));
    let mut hasher = blake3::Hasher::new_from_context_key(&KEY);
    for text in [send.packet, send.account, send.group.unwrap_or_default(), send.play.rules().name]
    {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&send.amount.0.to_le_bytes());
    hasher.update(&send.shares.to_le_bytes());
    hasher.update(&send.tilt.0.to_le_bytes());
    hasher.update(&time.0.to_le_bytes());
    hasher.update(commitment);
    *hasher.finalize().as_bytes()
}

/// The record of a claim.
pub fn claim(index: u32, amount: Fen, time: Time, account: &Digest) -> Record {
    record(1, index, amount, time, account)
}

/// The record of the close.
pub fn close(claims: u32, refunded: Fen, time: Time, secret: &Digest) -> Record {
    record(2, claims, refunded, time, secret)
}

/// The head after one more record, by the journal's rule.
pub fn extend(head: &Digest, record: &Record) -> Digest {
    journal::extend(Head(*head), record).0
}

/// The digest by which an account stands in a chain.
pub fn account_digest(account: &str) -> Digest {
    *blake3::hash(account.as_bytes()).as_bytes()
}

/// What the record of a claim says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimRecord {
    /// Its place.
    pub index: u32,
    /// How much.
    pub amount: Fen,
    /// When.
    pub time: Time,
    /// The digest of the claimer's id.
    pub digest: Digest,
}

/// Reads the record of a claim; none for another record.
pub fn read(record: &Record) -> Option<ClaimRecord> {
    let number =
        |from: usize| u64::from_le_bytes(record[from..from + 8].try_into().expect("eight"));
    (record[0] == 1).then(|| ClaimRecord {
        index: u32::from_le_bytes(record[1..5].try_into().expect("four")),
        amount: Fen(number(5)),
        time: Time(number(13) as i64),
        digest: record[21..].try_into().expect("thirty-two"),
    })
}

fn record(kind: u8, count: u32, amount: Fen, time: Time, digest: &Digest) -> Record {
    let mut record = [0; RECORD_BYTES];
    record[0] = kind;
    record[1..5].copy_from_slice(&count.to_le_bytes());
    record[5..13].copy_from_slice(&amount.0.to_le_bytes());
    record[13..21].copy_from_slice(&time.0.to_le_bytes());
    record[21..].copy_from_slice(digest);
    record
}
