//! The ids of commands that were executed, with what they said.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::packet::bugs::{Bug, made};

/// Parts of the table. One large table would stall for a good part of a second when it grows.
const PARTS: usize = 256;
/// A part is looked through for what can be forgotten once it has doubled, and not below this size
/// (a small one in tests, so that much is forgotten).
const PART_MIN: usize = if cfg!(test) { 2 } else { 1024 };

/// An executed command, found by its id.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Known {
    id: u128,
    /// A digest of the whole request.
    pub(super) body: u64,
    /// Its place in the sequence.
    pub(super) number: u64,
}

/// All that are remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<Known>", into = "Vec<Known>")]
pub(super) struct Ids {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Default)]
struct Part {
    table: HashTable<Known>,
    survivors: usize,
}

impl Default for Ids {
    fn default() -> Ids {
        Ids { parts: (0..PARTS).map(|_| Part::default()).collect() }
    }
}

impl Ids {
    /// The hash by which an id is kept. Two ids that share it have different bodies, which hold
    /// the id itself: the second is refused as the same id with another body, never taken for the
    /// first.
    pub(super) fn hash(id: &str) -> u128 {
        xxh3_128(id.as_bytes())
    }

    pub(super) fn find(&self, id: u128) -> Option<Known> {
        let part = &self.parts[(id >> 64) as usize % PARTS];
        part.table.find(id as u64, |known| known.id == id).copied()
    }

    /// Reads where an id is or would be, so that it is near when it is needed.
    pub(super) fn touch(&self, id: u128) -> Option<u64> {
        self.find(id).map(|known| known.number)
    }

    /// Adds an id, in place of an earlier use of it that only the table still remembers; those of
    /// numbers below `first` may be forgotten.
    pub(super) fn add(&mut self, id: u128, body: u64, number: u64, first: u64) {
        let part = &mut self.parts[(id >> 64) as usize % PARTS];
        if part.table.len() >= PART_MIN.max(2 * part.survivors) {
            part.table.retain(|known| known.number >= first);
            part.survivors = part.table.len();
        }
        let known = Known { id, body, number };
        match part.table.find_mut(id as u64, |known| known.id == id) {
            Some(earlier) if !made(Bug::ForgottenIdKeepsItsPlace) => *earlier = known,
            _ => {
                part.table.insert_unique(id as u64, known, |known| known.id as u64);
            }
        }
    }
}

impl From<Vec<Known>> for Ids {
    fn from(all: Vec<Known>) -> Ids {
        let mut ids = Ids::default();
        for known in all {
            ids.add(known.id, known.body, known.number, 0);
        }
        ids
    }
}

impl From<Ids> for Vec<Known> {
    fn from(ids: Ids) -> Vec<Known> {
        let mut all: Vec<Known> =
            ids.parts.into_iter().flat_map(|part| part.table.into_iter()).collect();
        all.sort_unstable_by_key(|known| known.number);
        all
    }
}
