//! The numbers and hashes of the journal, each a type of its own so that none stands for another.

use std::fmt;

pub use crate::packet::units::{Seq, Time};

/// The number of a batch: 0 for the first, one more for each that follows. It is also the index of
/// the batch's leaf in the log tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BatchNumber(pub u64);

impl BatchNumber {
    /// The number after this one.
    pub fn next(self) -> BatchNumber {
        BatchNumber(self.0.checked_add(1).expect("2^64 batches are never written"))
    }
}

impl fmt::Display for BatchNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A type of 32 bytes that is written as hexadecimal digits.
macro_rules! hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

hash! {
    /// The BLAKE3 hash of a frame. It covers the hash before it, so it stands for the whole journal
    /// up to and with its batch.
    FrameHash
}

hash! {
    /// The SHA-256 hash of a leaf or a node of a Merkle tree, its root included (RFC 6962).
    Root
}

hash! {
    /// The BLAKE3 hash that stands for all records of one packet so far, in their order.
    Head
}

impl FrameHash {
    /// What the first batch has in the place of the hash before it.
    pub const GENESIS: FrameHash = FrameHash([0; 32]);
}
