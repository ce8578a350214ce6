//! Which values a key's events carry, and how often within each window.

use std::sync::LazyLock;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

/// How many values are searched one by one before an index is built.
const LINEAR_MAX: u32 = 12;
/// So much room is kept, however little of it is in use: slots, and counts of a window.
const ROOM_KEPT: usize = 32;
/// Beyond that, so much room is kept for each event of the ring: what is more is given back, which
/// takes less time than it took to fill.
const ROOM_AN_EVENT: usize = 8;
/// The slot after which there is none.
const NONE: u32 = u32::MAX;

/// The values in a ring, each in a slot that stays its own while an event of the ring carries it.
///
/// A slot is a few words: the value (two), how many events of the ring hold it, and how often it
/// occurs in each window. Most keys see few values, so all slots are one small block.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tally {
    words: Vec<u64>,
    /// First of the free slots, which are chained through their first word.
    free: u32,
    held_slots: u32,
    #[serde(skip)]
    index: Option<Box<HashTable<u32>>>,
    tops: Vec<Top>,
}

impl Default for Tally {
    fn default() -> Self {
        Tally { words: Vec::new(), free: NONE, held_slots: 0, index: None, tops: Vec::new() }
    }
}

/// How often the commonest value of a window occurs, and how many values occur how often.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Top {
    by_count: Vec<u32>,
    top: u32,
}

/// How a tally is laid out: the windows that count its values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) windows: usize,
}

impl Layout {
    fn stride(self) -> usize {
        3 + self.windows
    }
}

/// What an entering or leaving event does to a window: how often its value occurs before and after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) before: u64,
    pub(crate) after: u64,
}

impl Tally {
    /// Reads the first word, to have it near.
    pub(super) fn touch(&self) -> u64 {
        self.words.first().copied().unwrap_or(0)
    }

    /// Takes a value in with a new event of the ring; the slot goes into the event's entry.
    pub(crate) fn hold(&mut self, value: [u64; 2], layout: Layout) -> u32 {
        let stride = layout.stride();
        let slot = match self.find(value, stride) {
            Some(slot) => slot,
            None => self.take_slot(value, stride),
        };
        self.words[slot as usize * stride + 2] += 1;
        slot
    }

    /// Lets a value go with an event that leaves the ring.
    pub(crate) fn release(&mut self, slot: u32, layout: Layout) {
        let stride = layout.stride();
        let at = slot as usize * stride;
        self.words[at + 2] -= 1;
        if self.words[at + 2] > 0 {
            return;
        }
        if let Some(index) = &mut self.index
            && let Ok(found) = index.find_entry(self.words[at], |held| *held == slot)
        {
            found.remove();
        }
        self.held_slots -= 1;
        if self.held_slots == 0 {
            *self = Tally::default();
            return;
        }
        self.words[at] = u64::from(self.free);
        self.free = slot;
    }

    /// An event with the value in `slot` enters the window.
    pub(crate) fn enter(&mut self, window: usize, slot: u32, layout: Layout) -> Change {
        let count = &mut self.words[slot as usize * layout.stride() + 3 + window];
        *count += 1;
        Change { before: *count - 1, after: *count }
    }

    /// An event with the value in `slot` leaves the window.
    pub(crate) fn leave(&mut self, window: usize, slot: u32, layout: Layout) -> Change {
        let count = &mut self.words[slot as usize * layout.stride() + 3 + window];
        *count -= 1;
        Change { before: *count + 1, after: *count }
    }

    /// Keeps the window's commonest value up to date.
    pub(crate) fn move_top(&mut self, window: usize, change: Change) {
        let tops = &mut self.tops;
        if tops.len() <= window {
            tops.resize_with(window + 1, Top::default);
        }
        let top = &mut tops[window];
        let (before, after) = (change.before as usize, change.after as usize);
        if top.by_count.len() <= before.max(after) {
            top.by_count.resize(before.max(after) + 1, 0);
        }
        if before > 0 {
            top.by_count[before] -= 1;
        }
        if after > 0 {
            top.by_count[after] += 1;
        }
        let lost = before == top.top as usize && top.by_count[before] == 0;
        if after > top.top as usize || lost {
            top.top = after as u32;
        }
    }

    /// Gives room back when the ring has only so many events left and most of it is free. Where
    /// slots move, says for each where it went: what the ring's entries hold must follow.
    pub(crate) fn compact(&mut self, events: usize, layout: Layout) -> Option<Vec<u32>> {
        let room = ROOM_KEPT.max(ROOM_AN_EVENT * events);
        for top in self.tops.iter_mut().filter(|top| top.by_count.len() > room) {
            // No value occurs more often than the commonest.
            top.by_count.truncate(top.top as usize + 1);
            top.by_count.shrink_to_fit();
        }
        let stride = layout.stride();
        if self.words.len() <= room * stride {
            return None;
        }
        let mut moved = vec![NONE; self.words.len() / stride];
        let mut words = Vec::with_capacity(2 * self.held_slots as usize * stride);
        for (slot, place) in self.words.chunks_exact(stride).zip(&mut moved) {
            if slot[2] > 0 {
                *place = (words.len() / stride) as u32;
                words.extend_from_slice(slot);
            }
        }
        (self.words, self.free, self.index) = (words, NONE, None);
        if self.held_slots > LINEAR_MAX {
            self.build_index(NONE, stride);
        }
        Some(moved)
    }

    /// Makes the index anew, which is not written down.
    pub(super) fn reindex(&mut self, layout: Layout) {
        if self.held_slots > LINEAR_MAX {
            self.build_index(NONE, layout.stride());
        }
    }

    /// How often the window's commonest value occurs.
    pub(crate) fn top(&self, window: usize) -> u32 {
        self.tops.get(window).map_or(0, |top| top.top)
    }

    /// Heap bytes in use.
    pub(crate) fn heap_bytes(&self) -> usize {
        let index = self.index.as_ref().map_or(0, |index| index.capacity() * 5 + 32);
        let tops = self.tops.iter();
        let tops: usize = tops.map(|top| size_of::<Top>() + 4 * top.by_count.capacity()).sum();
        self.words.capacity() * 8 + index + tops
    }

    fn find(&self, value: [u64; 2], stride: usize) -> Option<u32> {
        let is_value = |at: usize| {
            self.words[at] == value[0] && self.words[at + 1] == value[1] && self.words[at + 2] > 0
        };
        match &self.index {
            Some(index) => index.find(value[0], |slot| is_value(*slot as usize * stride)).copied(),
            None => (0..self.words.len() / stride)
                .find(|slot| is_value(slot * stride))
                .map(|slot| slot as u32),
        }
    }

    fn take_slot(&mut self, value: [u64; 2], stride: usize) -> u32 {
        let slot = if self.free == NONE {
            if self.words.len() == self.words.capacity() {
                // Grows by half, by one slot at least: doubling wastes more than it saves.
                let slots = self.words.len() / stride;
                self.words.reserve_exact((slots / 2 + 1) * stride);
            }
            self.words.resize(self.words.len() + stride, 0);
            (self.words.len() / stride - 1) as u32
        } else {
            let slot = self.free;
            self.free = self.words[slot as usize * stride] as u32;
            slot
        };
        self.held_slots += 1;
        let at = slot as usize * stride;
        self.words[at..at + stride].fill(0);
        self.words[at] = value[0];
        self.words[at + 1] = value[1];
        self.index_slot(slot, stride);
        slot
    }

    fn index_slot(&mut self, slot: u32, stride: usize) {
        let words = &self.words;
        let hash = |slot: &u32| words[*slot as usize * stride];
        if let Some(index) = &mut self.index {
            index.insert_unique(hash(&slot), slot, hash);
        } else if self.held_slots > LINEAR_MAX {
            // The new slot holds nothing yet, and is indexed all the same.
            self.build_index(slot, stride);
        }
    }

    /// Indexes the slots that hold a value, and `fresh`.
    fn build_index(&mut self, fresh: u32, stride: usize) {
        let words = &self.words;
        let hash = |slot: &u32| words[*slot as usize * stride];
        let mut index = Box::new(HashTable::with_capacity(2 * self.held_slots as usize));
        let held = |at: &u32| *at == fresh || words[*at as usize * stride + 2] > 0;
        for at in (0..(words.len() / stride) as u32).filter(held) {
            index.insert_unique(hash(&at), at, hash);
        }
        self.index = Some(index);
    }
}

/// 2^32: surprisal is kept in integers of its inverse, so that adding and taking away are exact.
const SURPRISAL_UNIT: f64 = 4_294_967_296.0;

/// What a change adds to the sum of c log2 c, in units of 2^-32.
pub(crate) fn surprisal_change(change: Change) -> i128 {
    surprisal(change.after) - surprisal(change.before)
}

/// c log2 c in units of 2^-32, the same integer on every machine (libm is pure Rust).
fn surprisal(count: u64) -> i128 {
    if count < 2 {
        return 0;
    }
    libm::round(count as f64 * log2(count) * SURPRISAL_UNIT) as i128
}

/// The binary logarithm; those of small counts, which are nearly all, are worked out once.
fn log2(count: u64) -> f64 {
    static SMALL: LazyLock<Vec<f64>> =
        LazyLock::new(|| (0..1024).map(|count| libm::log2(f64::from(count))).collect());
    SMALL.get(count as usize).copied().unwrap_or_else(|| libm::log2(count as f64))
}

/// Shannon entropy in bits, log2 N - S / N, of `total` events whose surprisal adds up to `sum`.
pub(crate) fn entropy(total: u64, sum: i128) -> f64 {
    // All have one value, and any second one makes the sum smaller by far more than it is rounded by.
    // What the units round would be left of it otherwise, and no condition would find it equal to 0.
    if sum == surprisal(total) {
        return 0.0;
    }
    log2(total) - sum as f64 / SURPRISAL_UNIT / total as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// A tally over a ring of the last `length` values, with one window of the last `short`,
        /// against counting from scratch. Now and then all but one of the ring's values leave, and
        /// room is given back.
        #[test]
        fn equals_counting(
            values in prop::collection::vec(prop_oneof![Just(0u64), 0u64..150], 1..400),
            length in 1usize..300,
            short in 1usize..150,
            lost_after in 100usize..300,
        ) {
            let layout = Layout { windows: 1 };
            let (mut tally, mut slots) = (Tally::default(), Vec::new());
            let (mut surprisal, mut first, mut tail) = (0, 0, 0);
            for at in 0..values.len() {
                let kept = if at % lost_after == lost_after - 1 { 1 } else { length - 1 };
                let gone = (first, tail);
                first = first.max(at.saturating_sub(kept));
                tail = tail.max(at.saturating_sub(short - 1)).max(first);
                for slot in &slots[gone.1..tail] {
                    let change = tally.leave(0, *slot, layout);
                    tally.move_top(0, change);
                    surprisal += surprisal_change(change);
                }
                slots[gone.0..first].iter().for_each(|slot| tally.release(*slot, layout));
                if let Some(moved) = tally.compact(at - first, layout) {
                    slots[first..].iter_mut().for_each(|slot| *slot = moved[*slot as usize]);
                }
                let room = 2 * ROOM_KEPT.max(ROOM_AN_EVENT * (at - first));
                prop_assert!(tally.words.capacity() <= room * layout.stride());
                prop_assert!(tally.tops.iter().all(|top| top.by_count.capacity() <= room));

                let slot = tally.hold([values[at], 7], layout);
                slots.push(slot);
                let change = tally.enter(0, slot, layout);
                tally.move_top(0, change);
                surprisal += surprisal_change(change);
                let mut counts = BTreeMap::new();
                for value in &values[tail..=at] {
                    *counts.entry(value).or_insert(0u32) += 1;
                }
                let total: u32 = counts.values().sum();
                prop_assert_eq!(tally.top(0), counts.values().copied().max().unwrap());
                let plain: f64 = counts.values().map(|&count| {
                    let share = f64::from(count) / f64::from(total);
                    -share * libm::log2(share)
                }).sum();
                let found = entropy(u64::from(total), surprisal);
                prop_assert!((found - plain).abs() < 1e-8);
                prop_assert_eq!(found == 0.0, counts.len() == 1);
            }
        }
    }

    /// One value, however often, has none at all, and one event of another has some.
    #[test]
    fn the_entropy_of_one_value_is_nothing() {
        for count in (1..5_000).chain([u64::from(u32::MAX) - 1, 1 << 40]) {
            assert_eq!(entropy(count, surprisal(count)), 0.0, "{count}");
            assert!(entropy(count + 1, surprisal(count)) > 0.0, "{count} and another");
        }
    }
}
