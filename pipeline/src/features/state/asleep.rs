//! Keys that sleep: of which nothing is in any window that has an end, but something stays for
//! good.
//!
//! Most keys that were ever seen sleep, so one costs no allocation of its own: its hash, its check
//! and the words that stay stand end to end with those of the others.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use crate::keyed::{Key, halves};

/// The words of a key beside those that stay: its hash takes two, and its check one.
const OWN_WORDS: usize = 3;
/// So many words are kept, however few are in use.
const WORDS_KEPT: usize = 64;

/// The sleeping keys of one key group. It does not know how many words stay: the plan of the family
/// does.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Asleep {
    #[serde(skip)]
    places: HashTable<u32>,
    words: Vec<u64>,
}

impl Asleep {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Where a key sleeps, if it does.
    pub(super) fn find(&self, key: Key, staying: usize) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let stride = OWN_WORDS + staying;
        let own = |place: u32| &self.words[place as usize * stride..][..OWN_WORDS];
        let is_key = |place: &u32| own(*place)[..2] == halves(key.hash);
        let place = *self.places.find(key.hash as u64, is_key)?;
        let check = own(place)[2];
        assert!(check == u64::from(key.check), "two keys share the 128-bit hash {:032x}", key.hash);
        Some(place as usize)
    }

    /// Puts a key to sleep, which does not, with the words of it that stay.
    pub(super) fn put(
        &mut self,
        key: [u64; 2],
        check: u32,
        stay: impl ExactSizeIterator<Item = u64>,
    ) {
        let stride = OWN_WORDS + stay.len();
        let place = self.words.len() / stride;
        if self.words.capacity() - self.words.len() < stride {
            // Grows by half: the slack of doubling costs more memory than the copies cost time.
            self.words.reserve_exact((place / 2 + 1) * stride);
        }
        self.words.extend([key[0], key[1], check.into()]);
        self.words.extend(stay);
        let words = &self.words;
        self.places.insert_unique(key[0], place as u32, |at| words[*at as usize * stride]);
    }

    /// What stayed of the key at `place`.
    pub(super) fn stayed(&self, place: usize, staying: usize) -> &[u64] {
        &self.words[place * (OWN_WORDS + staying) + OWN_WORDS..][..staying]
    }

    /// Forgets the key at `place`, for it has woken. The last one has its place then.
    pub(super) fn forget(&mut self, place: usize, staying: usize) {
        let stride = OWN_WORDS + staying;
        let (at, last) = (place * stride, self.words.len() - stride);
        if let Ok(found) = self.places.find_entry(self.words[at], |held| *held as usize == place) {
            found.remove();
        }
        let is_last = |held: &u32| *held as usize * stride == last;
        if let Some(moved) = self.places.find_mut(self.words[last], is_last) {
            *moved = place as u32;
        }
        self.words.copy_within(last.., at);
        self.words.truncate(last);
        if self.words.capacity() > WORDS_KEPT.max(4 * self.words.len()) {
            self.words.shrink_to(2 * self.words.len());
            let words = &self.words;
            self.places.shrink_to(2 * last / stride, |at| words[*at as usize * stride]);
        }
    }

    /// Makes the table by which keys are found, which is not written down.
    pub(super) fn reindex(&mut self, staying: usize) {
        let (stride, words) = (OWN_WORDS + staying, &self.words);
        let keys = words.len() / stride;
        self.places = HashTable::with_capacity(keys);
        for place in 0..keys as u32 {
            let hash = |at: &u32| words[*at as usize * stride];
            self.places.insert_unique(hash(&place), place, hash);
        }
    }

    /// Heap bytes in use.
    pub(super) fn heap_bytes(&self) -> usize {
        self.places.capacity() * 5 + self.words.capacity() * 8
    }
}

/// Bytes that a sleeping key takes up of which so many words stay.
pub(super) fn key_bytes(staying: usize) -> usize {
    5 + 8 * (OWN_WORDS + staying)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(number: u64) -> Key {
        Key::of(&number.to_le_bytes())
    }

    proptest! {
        /// Keys that fall asleep and wake in turn, against a map; now and then all is written down
        /// and read back.
        #[test]
        fn equals_a_map(
            steps in prop::collection::vec((0u64..60, any::<u64>(), 0usize..40), 0..400),
            staying in 1usize..4,
        ) {
            let (mut asleep, mut map) = (Asleep::default(), BTreeMap::new());
            for (number, value, saved) in steps {
                let (key, stay) = (key(number), (0..staying as u64).map(|at| value ^ at));
                let found = asleep.find(key, staying);
                prop_assert_eq!(found.is_some(), map.contains_key(&number));
                match found {
                    Some(place) => {
                        let stayed = asleep.stayed(place, staying).to_vec();
                        prop_assert_eq!(Some(stayed), map.remove(&number));
                        asleep.forget(place, staying);
                    }
                    None => {
                        let stay: Vec<u64> = stay.collect();
                        asleep.put(halves(key.hash), key.check, stay.iter().copied());
                        map.insert(number, stay);
                    }
                }
                if saved == 0 {
                    let bytes = crate::snapshot::encode(&asleep);
                    asleep = crate::snapshot::decode(&bytes).expect("what was written");
                    asleep.reindex(staying);
                }
                prop_assert_eq!(asleep.len(), map.len());
                let room = WORDS_KEPT.max(4 * asleep.len() * (OWN_WORDS + staying));
                prop_assert!(asleep.words.capacity() <= room + OWN_WORDS + staying);
            }
        }
    }

    #[test]
    #[should_panic(expected = "two keys share")]
    fn another_key_of_the_same_hash_is_noticed() {
        let mut asleep = Asleep::default();
        asleep.put(halves(key(1).hash), key(1).check, [7].into_iter());
        asleep.find(Key { check: key(1).check ^ 1, ..key(1) }, 1);
    }
}
