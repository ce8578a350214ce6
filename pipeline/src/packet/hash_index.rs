//! An index by hashes: which number a thing has that is known by a text.

use std::ops::Range;

use super::bugs::{Bug, made};

/// Parts of the table. One large table would stall for a good part of a second when it grows.
const PARTS: usize = 256;
/// A part is looked through for what can be forgotten once it has doubled, and not below this size
/// (a small one in tests, so that much is forgotten).
const PART_MIN: usize = if cfg!(test) { 2 } else { 64 };

/// The numbers of things, which come in their order, by the hashes of what they are known by.
///
/// It has eight bytes a thing, so that little of it is cleared, moved and missed: the lower bits of
/// the number and some of the hash. Whoever looks says whether a thing is the one that is meant; with
/// these bits hardly ever a wrong one is looked at.
#[derive(Clone, Debug)]
pub(super) struct HashIndex {
    parts: Vec<Part>,
    /// The numbers that are remembered. The table drops others when it has reason to.
    remembered: Range<u64>,
}

/// A table in which a hash stands in the place that it says, or in the next that is free after it:
/// whoever looks for it looks at one place in memory, and whoever adds it looks at no other.
#[derive(Clone, Debug, Default)]
struct Part {
    /// A power of two of them; at most three quarters are taken.
    places: Vec<Place>,
    len: usize,
    survivors: usize,
}

/// A place: nothing, or above [`TAG_BITS`] one more than the lower [`NUMBER_BITS`] of a number, and
/// below them as many bits of the hash. These say where the place is as well, in parts of up to eight
/// million; larger ones would only be slower.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Place(u64);

const TAG_BITS: u32 = 23;
const TAGS: u64 = (1 << TAG_BITS) - 1;
/// Of things that are remembered at one time: no memory holds so many.
const NUMBER_BITS: u32 = 64 - TAG_BITS - 1;
const NUMBERS: u64 = (1 << NUMBER_BITS) - 1;

impl Default for HashIndex {
    fn default() -> HashIndex {
        HashIndex { parts: (0..PARTS).map(|_| Part::default()).collect(), remembered: 0..0 }
    }
}

impl HashIndex {
    /// The number of the thing of a hash; `is_it` says whether a thing is the one.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u64) -> bool) -> Option<u64> {
        let part = &self.parts[part_of(hash)];
        let tag = Place::tag(hash);
        let mask = part.places.len().checked_sub(1)?;
        let mut at = tag as usize & mask;
        loop {
            let place = part.places[at];
            if place == Place::default() {
                return None;
            }
            if place.has(tag) {
                let number = place.number(self.remembered.start);
                if is_it(number) {
                    return Some(number);
                }
                if made(Bug::ForgottenIdHidesItsSuccessor) {
                    return None;
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// The number that the thing of a hash probably has, if there is one.
    pub(super) fn guess(&self, hash: u64) -> Option<u64> {
        self.find(hash, |_| true)
    }

    /// Reads the place where a hash is or would be, so that it is near when it is needed. A search waits
    /// for the place before it knows where to go on; this does not, so that many can wait at once.
    pub(super) fn near(&self, hash: u64) -> u64 {
        let places = &self.parts[part_of(hash)].places;
        let at = Place::tag(hash) as usize & places.len().wrapping_sub(1);
        places.get(at).map_or(0, |place| place.0)
    }

    /// Forgets the things of numbers below `first`.
    pub(super) fn forget_before(&mut self, first: u64) {
        self.remembered.start = first;
    }

    /// Adds a thing that is not found, later than all others.
    pub(super) fn add(&mut self, hash: u64, number: u64) {
        self.remembered.end = number + 1;
        let part = &mut self.parts[part_of(hash)];
        if part.len >= PART_MIN.max(2 * part.survivors) {
            part.rebuild(part.places.len(), &self.remembered);
            part.survivors = part.len;
        }
        if (part.len + 1) * 4 > part.places.len() * 3 {
            part.rebuild((part.places.len() * 2).max(4), &self.remembered);
        }
        part.put(Place::of(number, Place::tag(hash)));
    }
}

fn part_of(hash: u64) -> usize {
    (hash >> 32) as usize % PARTS
}

impl Part {
    /// Puts into the first place that is free. Whoever puts has made room.
    fn put(&mut self, new: Place) {
        let mask = self.places.len() - 1;
        let mut at = (new.0 & TAGS) as usize & mask;
        while self.places[at] != Place::default() {
            at = (at + 1) & mask;
        }
        self.places[at] = new;
        self.len += 1;
    }

    /// Puts those that are remembered into so many places.
    fn rebuild(&mut self, places: usize, remembered: &Range<u64>) {
        let earlier = std::mem::replace(&mut self.places, vec![Place::default(); places]);
        self.len = 0;
        for place in earlier.into_iter().filter(|place| *place != Place::default()) {
            // Of one that is forgotten the number is taken for one to come.
            if remembered.contains(&place.number(remembered.start)) {
                self.put(place);
            }
        }
    }
}

impl Place {
    fn tag(hash: u64) -> u64 {
        hash & TAGS
    }

    fn of(number: u64, tag: u64) -> Place {
        Place(((number & NUMBERS) + 1) << TAG_BITS | tag)
    }

    fn has(self, tag: u64) -> bool {
        self.0 & TAGS == tag
    }

    /// Its number, where that is not below `first`.
    fn number(self, first: u64) -> u64 {
        let lower = (self.0 >> TAG_BITS) - 1;
        first + (lower.wrapping_sub(first) & NUMBERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes whose places and tags are all the same, numbers beyond what a place can tell apart, and
    /// numbers that are forgotten on the way.
    #[test]
    fn a_number_is_found_until_it_is_forgotten() {
        let start = 3 * (NUMBERS + 1) - 40;
        let hash = |number: u64| number << 40;
        let mut numbers = HashIndex::default();
        for number in start..start + 200 {
            let first = number.saturating_sub(30).max(start);
            numbers.forget_before(first);
            numbers.add(hash(number), number);
            for known in start..=number {
                let is_it = |found: u64| found >= first && found == known;
                let expected = (known >= first).then_some(known);
                assert_eq!(numbers.find(hash(known), is_it), expected, "{known} of {number}");
            }
        }
        let kept: usize = numbers.parts.iter().map(|part| part.len).sum();
        assert!(kept <= 2 * 31, "{kept} places for the last 31");
    }
}
