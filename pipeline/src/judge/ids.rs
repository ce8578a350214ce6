//! Identifiers numbered in the order in which they are first met.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// The hash by which [`Ids`] files an identifier; computed once where several tables are asked.
pub(super) fn hash(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// A set of identifiers, each with a number. Identifiers are compared byte by byte, so that two
/// with one hash stay apart.
#[derive(Clone, Default)]
pub(super) struct Ids {
    table: HashTable<u32>,
    hashes: Vec<u64>,
    ends: Vec<usize>,
    text: String,
}

impl Ids {
    /// The number of `id`, if it is in the set; `hash` is [`hash`]`(id)`.
    pub(super) fn find(&self, hash: u64, id: &str) -> Option<u32> {
        self.table.find(hash, |&at| self.get(at) == id).copied()
    }

    /// The number of `id`, which is added if it is new, and whether it was.
    pub(super) fn intern(&mut self, hash: u64, id: &str) -> (u32, bool) {
        if let Some(at) = self.find(hash, id) {
            return (at, false);
        }
        let at = u32::try_from(self.ends.len()).expect("fewer than 2^32 identifiers");
        self.text.push_str(id);
        self.ends.push(self.text.len());
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.table.insert_unique(hash, at, |&other| hashes[other as usize]);
        (at, true)
    }

    /// The identifier numbered `at`.
    pub(super) fn get(&self, at: u32) -> &str {
        let at = at as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }
}
