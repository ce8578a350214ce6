//! A BLAKE3 digest that can be put aside and gone on with.

use blake3::hazmat::merge_subtrees_root;
use blake3::hazmat::{ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root};
use serde::{Deserialize, Serialize};

/// Bytes that are hashed at once: a whole number of chunks, and a power of two.
const BLOCK: usize = 16 << 10;

/// The digest of bytes that come one after the other, as [`blake3::Hasher`] has it, whose state is
/// a few kilobytes that can be written down.
///
/// BLAKE3 is a tree over chunks: kept are the values of the whole subtrees so far, largest first, and
/// the bytes of the block in hand. A block is hashed only when a byte comes after it, for nobody
/// knows before whether it is the last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunningDigest {
    subtrees: Vec<ChainingValue>,
    /// Whole blocks so far.
    blocks: u64,
    block: Vec<u8>,
}

impl RunningDigest {
    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.block.len() == BLOCK {
                self.close_block();
            }
            let taken = bytes.len().min(BLOCK - self.block.len());
            self.block.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
        }
    }

    /// The digest of all bytes so far.
    pub fn finalize(&self) -> blake3::Hash {
        let Some((first, rest)) = self.subtrees.split_first() else {
            return blake3::hash(&self.block);
        };
        let merge = |right, left: &ChainingValue| merge_subtrees_non_root(left, &right, Mode::Hash);
        let right = rest.iter().rev().fold(self.value(), merge);
        merge_subtrees_root(first, &right, Mode::Hash)
    }

    /// The value of the block in hand.
    fn value(&self) -> ChainingValue {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(self.blocks * BLOCK as u64);
        hasher.update(&self.block).finalize_non_root()
    }

    fn close_block(&mut self) {
        let mut value = self.value();
        self.blocks += 1;
        // Subtrees are the ones of the number of blocks: where it carries, two become one.
        for _ in 0..self.blocks.trailing_zeros() {
            if let Some(left) = self.subtrees.pop() {
                value = merge_subtrees_non_root(&left, &value, Mode::Hash);
            }
        }
        self.subtrees.push(value);
        self.block.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{decode, encode};

    /// At every length around whole blocks, in pieces, and put aside in between.
    #[test]
    fn equals_blake3_of_all_bytes() {
        let bytes: Vec<u8> = (0..9 * BLOCK + 2).map(|at| (at * 31 / 7) as u8).collect();
        for blocks in 0..9 {
            for length in [blocks * BLOCK, blocks * BLOCK + 1, (blocks + 1) * BLOCK - 1] {
                for piece in [1 + length / 3, 7_001] {
                    let mut digest = RunningDigest::default();
                    for piece in bytes[..length].chunks(piece) {
                        digest.update(piece);
                        digest = decode(&encode(&digest)).expect("it was put aside");
                    }
                    assert_eq!(digest.finalize(), blake3::hash(&bytes[..length]), "{length}");
                }
            }
        }
    }
}
