//! A map in many parts: one big map would stall for tens of milliseconds when it grows.

use std::hash::{BuildHasher, Hash};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

/// Into how many parts a map is spread.
const PARTS: usize = 256;

/// A map in parts by the upper bits of the hash, of which each grows on its own.
#[derive(Serialize, Deserialize)]
#[serde(bound(
    serialize = "K: Serialize + Eq + Hash, V: Serialize",
    deserialize = "K: Deserialize<'de> + Eq + Hash, V: Deserialize<'de>"
))]
pub(crate) struct Spread<K, V> {
    parts: Vec<HashMap<K, V, FxBuildHasher>>,
}

impl<K, V> Default for Spread<K, V> {
    fn default() -> Self {
        Spread { parts: (0..PARTS).map(|_| HashMap::default()).collect() }
    }
}

impl<K: Eq + Hash, V> Spread<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.parts[part(key)].get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.parts[part(key)].get_mut(key)
    }

    /// The value of a key, which is made if it is not there.
    pub(crate) fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        self.parts[part(&key)].entry(key).or_insert_with(new)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.parts[part(&key)].insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.parts[part(key)].remove(key)
    }

    /// Each key with its value, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.iter().flatten()
    }

    /// What the tables take up.
    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(HashMap::allocation_size).sum()
    }
}

fn part<K: Hash>(key: &K) -> usize {
    // The parts' own tables use the lowest and the seven highest bits.
    (FxBuildHasher.hash_one(key) >> 40) as usize % PARTS
}
