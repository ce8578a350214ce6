//! The ids of commands that were executed, with what they said.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::packet::bugs::{Bug, made};

/// Parts of the table. One large table would stall for a good part of a second when it grows.
const PARTS: usize = 256;
/// A part is looked through for what can be forgotten once it has doubled, and not below this size
/// (a small one in tests, so that much is forgotten).
const PART_MIN: usize = if cfg!(test) { 2 } else { 64 };

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
    /// The ids of earlier numbers are forgotten. The table drops them when it has reason to, and they
    /// are not written down, so that equal engines are written alike.
    first: u64,
}

/// A table in which an id stands in the place that its hash says, or in the next that is free after
/// it: whoever looks for it looks at one place in memory, and whoever adds it looks at no other.
#[derive(Clone, Debug, Default)]
struct Part {
    /// A power of two of them; at most three quarters are taken.
    places: Vec<Known>,
    len: usize,
    survivors: usize,
}

/// The number in a place that is free.
const FREE: u64 = u64::MAX;

impl Default for Ids {
    fn default() -> Ids {
        Ids { parts: (0..PARTS).map(|_| Part::default()).collect(), first: 0 }
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
        let part = &self.parts[part_of(id)];
        let known = part.places.get(part.place_of(id)?)?;
        (known.number != FREE).then_some(*known)
    }

    /// Reads where an id is or would be, so that it is near when it is needed.
    pub(super) fn touch(&self, id: u128) -> Option<u64> {
        self.find(id).map(|known| known.number)
    }

    /// Forgets the ids of numbers below `first`.
    pub(super) fn forget_before(&mut self, first: u64) {
        self.first = first;
    }

    /// Adds an id, in place of an earlier use of it that only the table still remembers.
    pub(super) fn add(&mut self, id: u128, body: u64, number: u64) {
        let first = self.first;
        let part = &mut self.parts[part_of(id)];
        if part.len >= PART_MIN.max(2 * part.survivors) {
            part.rebuild(part.places.len(), first);
            part.survivors = part.len;
        }
        if (part.len + 1) * 4 > part.places.len() * 3 {
            part.rebuild((part.places.len() * 2).max(4), 0);
        }
        part.put(Known { id, body, number });
    }
}

fn part_of(id: u128) -> usize {
    (id >> 64) as usize % PARTS
}

impl Part {
    /// Where an id stands, or else would.
    fn place_of(&self, id: u128) -> Option<usize> {
        let mask = self.places.len().checked_sub(1)?;
        let mut place = id as usize & mask;
        while self.places[place].number != FREE && self.places[place].id != id {
            place = (place + 1) & mask;
        }
        Some(place)
    }

    fn put(&mut self, known: Known) {
        // Whoever puts has made room: a table without places is never put into.
        let place = self.place_of(known.id).expect("there is room");
        let there = &mut self.places[place];
        let free = there.number == FREE;
        self.len += usize::from(free);
        if free || !made(Bug::ForgottenIdKeepsItsPlace) {
            *there = known;
        }
    }

    /// Puts those of numbers from `first` on into so many places.
    fn rebuild(&mut self, places: usize, first: u64) {
        let free = Known { id: 0, body: 0, number: FREE };
        let earlier = std::mem::replace(&mut self.places, vec![free; places]);
        self.len = 0;
        for known in earlier.into_iter().filter(|known| (first..FREE).contains(&known.number)) {
            self.put(known);
        }
    }
}

impl From<Vec<Known>> for Ids {
    fn from(all: Vec<Known>) -> Ids {
        let mut ids = Ids::default();
        for known in all {
            ids.add(known.id, known.body, known.number);
        }
        ids
    }
}

impl From<Ids> for Vec<Known> {
    fn from(ids: Ids) -> Vec<Known> {
        let first = ids.first;
        let mut all: Vec<Known> = ids.parts.into_iter().flat_map(|part| part.places).collect();
        all.retain(|known| (first..FREE).contains(&known.number));
        all.sort_unstable_by_key(|known| known.number);
        all
    }
}
