//! Merkle trees of RFC 6962 over SHA-256: roots, inclusion proofs and consistency proofs.
//!
//! A leaf is hashed as `SHA-256(00 || data)`, a node as `SHA-256(01 || left || right)`, and a tree
//! of n leaves splits at the largest power of two below n. [`Frontier`] is what a writer needs: it
//! takes leaves and gives the root, in at most 64 hashes of state. [`Tree`] keeps all hashes and
//! makes proofs. The two `verify_` functions are the algorithms of RFC 9162, sections 2.1.3.2 and
//! 2.1.4.2, and need neither.

use sha2::{Digest, Sha256};

use super::ids::Root;

/// The hash of a leaf.
pub fn leaf_hash(data: &[u8]) -> Root {
    Root(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
}

/// The hash of a node.
pub fn node_hash(left: &Root, right: &Root) -> Root {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Root(Sha256::digest(bytes).into())
}

/// The root of a tree without leaves.
pub fn empty_root() -> Root {
    Root(Sha256::digest([]).into())
}

/// The roots of the whole subtrees of a growing tree: enough to grow it and to know its root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One root for each bit of `size` that is set, the largest subtree first.
    peaks: Vec<Root>,
}

impl Frontier {
    /// Adds the hash of the next leaf, in O(log n) steps and O(1) on average.
    pub fn push(&mut self, leaf: Root) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each bit that is set");
            node = node_hash(&left, &node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The frontier of a tree of that size with those peaks; none if it has another number of them.
    pub fn from_peaks(size: u64, peaks: Vec<Root>) -> Option<Frontier> {
        (peaks.len() == size.count_ones() as usize).then_some(Frontier { size, peaks })
    }

    /// The roots of its whole subtrees, one for each bit of the size that is set, the largest
    /// subtree first.
    pub fn peaks(&self) -> &[Root] {
        &self.peaks
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree, in O(log n) steps.
    pub fn root(&self) -> Root {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => empty_root(),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

/// On which side of the way from a leaf to the root a hash stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before what the way comes from.
    Left,
    /// Behind it.
    Right,
}

/// The root to which a leaf and the hashes beside its way lead. That it is the root of a tree shows
/// that the leaf is in it, and not how large the tree is or at which place the leaf.
pub fn root_of(leaf: &Root, path: &[(Side, Root)]) -> Root {
    path.iter().fold(*leaf, |node, (side, beside)| match side {
        Side::Left => node_hash(beside, &node),
        Side::Right => node_hash(&node, beside),
    })
}

/// A tree with all its hashes, 64 bytes a leaf, from which proofs are made.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// `levels[k][i]` is the root of the leaves `i << k .. (i + 1) << k`.
    levels: Vec<Vec<Root>>,
}

impl Tree {
    /// Adds the hash of the next leaf.
    pub fn push(&mut self, leaf: Root) {
        let mut node = leaf;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let nodes = &mut self.levels[level];
            nodes.push(node);
            match nodes[..] {
                [.., left, right] if nodes.len().is_multiple_of(2) => {
                    node = node_hash(&left, &right)
                }
                _ => return,
            }
        }
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The root of the first `size` leaves; none if there are not so many.
    pub fn root_at(&self, size: u64) -> Option<Root> {
        match size {
            0 => Some(empty_root()),
            _ if size > self.size() => None,
            _ => Some(self.range_root(0, size)),
        }
    }

    /// The proof that leaf `index` is in the tree of the first `size` leaves: the hashes beside the
    /// way from the leaf to the root. None if there is no such leaf or no such tree.
    pub fn inclusion(&self, index: u64, size: u64) -> Option<Vec<Root>> {
        let path = self.path(index, size)?;
        Some(path.into_iter().map(|(_, beside)| beside).collect())
    }

    /// As [`inclusion`](Self::inclusion), and on which side each hash stands. So it needs no size,
    /// for trees of whose size nothing binds who makes the proof.
    pub fn path(&self, index: u64, size: u64) -> Option<Vec<(Side, Root)>> {
        if index >= size || size > self.size() {
            return None;
        }
        let (mut start, mut end) = (0, size);
        let mut path = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push((Side::Right, self.range_root(middle, end)));
                end = middle;
            } else {
                path.push((Side::Left, self.range_root(start, middle)));
                start = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// The proof that the tree of the first `old` leaves is the beginning of that of the first
    /// `new`. It is empty if `old` is 0 or `new`. None if `old > new` or there are not so many
    /// leaves.
    pub fn consistency(&self, old: u64, new: u64) -> Option<Vec<Root>> {
        if old > new || new > self.size() {
            return None;
        }
        if old == 0 || old == new {
            return Some(Vec::new());
        }
        let (mut start, mut end) = (0, new);
        let mut path = Vec::new();
        // The part of the tree that the old one ends in, made smaller until the old one ends with
        // it.
        while old != end {
            let middle = start + split(end - start);
            if old <= middle {
                path.push(self.range_root(middle, end));
                end = middle;
            } else {
                path.push(self.range_root(start, middle));
                start = middle;
            }
        }
        if start > 0 {
            path.push(self.range_root(start, end));
        }
        path.reverse();
        Some(path)
    }

    /// The root of leaves that are a part of the tree by its own splits.
    fn range_root(&self, start: u64, end: u64) -> Root {
        let leaves = end - start;
        if leaves.is_power_of_two() {
            let level = leaves.trailing_zeros();
            return self.levels[level as usize][(start >> level) as usize];
        }
        let middle = start + split(leaves);
        node_hash(&self.range_root(start, middle), &self.range_root(middle, end))
    }
}

/// The largest power of two below `leaves`, which is 2 or more.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// Why a Merkle proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// There is no such leaf.
    #[error("a tree of {size} leaves has no leaf {index}")]
    Index {
        /// The index.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The older tree is the larger one.
    #[error("a tree of {old} leaves does not grow into one of {new}")]
    Sizes {
        /// The size of the older tree.
        old: u64,
        /// The size of the newer one.
        new: u64,
    },
    /// Hashes are missing.
    #[error("the proof is too short")]
    TooShort,
    /// There are more hashes than the place of the leaf calls for.
    #[error("the proof is too long")]
    TooLong,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root")]
    Root,
}

/// Checks that `leaf` is leaf `index` of the tree of `size` leaves with that root.
///
/// # Errors
/// Why it is not shown.
pub fn verify_inclusion(
    leaf: &Root,
    index: u64,
    size: u64,
    path: &[Root],
    root: &Root,
) -> Result<(), MerkleError> {
    if index >= size {
        return Err(MerkleError::Index { index, size });
    }
    let (mut place, mut last) = (index, size - 1);
    let mut node = *leaf;
    for beside in path {
        if last == 0 {
            return Err(MerkleError::TooLong);
        }
        if place & 1 == 1 || place == last {
            node = node_hash(beside, &node);
            skip_levels_without_a_right_side(&mut place, &mut last);
        } else {
            node = node_hash(&node, beside);
        }
        place >>= 1;
        last >>= 1;
    }
    match last {
        0 if node == *root => Ok(()),
        0 => Err(MerkleError::Root),
        _ => Err(MerkleError::TooShort),
    }
}

/// Checks that the tree of `old` leaves is the beginning of the tree of `new` leaves.
///
/// # Errors
/// Why it is not shown.
pub fn verify_consistency(
    (old, old_root): (u64, &Root),
    (new, new_root): (u64, &Root),
    path: &[Root],
) -> Result<(), MerkleError> {
    if old > new {
        return Err(MerkleError::Sizes { old, new });
    }
    if old == 0 || old == new {
        let same = if old == 0 { *old_root == empty_root() } else { old_root == new_root };
        return match path {
            [] if same => Ok(()),
            [] => Err(MerkleError::Root),
            _ => Err(MerkleError::TooLong),
        };
    }
    let (mut place, mut last) = (old - 1, new - 1);
    let whole = place.trailing_ones();
    place >>= whole;
    last >>= whole;
    // A whole old tree is itself the first hash, and is not sent.
    let (start, rest) = match path.split_first() {
        _ if old.is_power_of_two() => (old_root, path),
        Some((start, rest)) => (start, rest),
        None => return Err(MerkleError::TooShort),
    };
    let (mut old_node, mut new_node) = (*start, *start);
    for beside in rest {
        if last == 0 {
            return Err(MerkleError::TooLong);
        }
        if place & 1 == 1 || place == last {
            old_node = node_hash(beside, &old_node);
            new_node = node_hash(beside, &new_node);
            skip_levels_without_a_right_side(&mut place, &mut last);
        } else {
            new_node = node_hash(&new_node, beside);
        }
        place >>= 1;
        last >>= 1;
    }
    match last {
        0 if old_node == *old_root && new_node == *new_root => Ok(()),
        0 => Err(MerkleError::Root),
        _ => Err(MerkleError::TooShort),
    }
}

/// A node at the right edge with nothing beside it goes up unchanged.
fn skip_levels_without_a_right_side(place: &mut u64, last: &mut u64) {
    while *place & 1 == 0 && *place != 0 {
        *place >>= 1;
        *last >>= 1;
    }
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
