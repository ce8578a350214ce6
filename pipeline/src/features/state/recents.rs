//! The distinct values of a stream, in the order in which each was last seen.
//!
//! How many distinct values a window holds needs no event but each value's last one: memory
//! follows the values, and an event that repeats one costs nothing. A window is a suffix of the
//! order, for which one word stands.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

/// How many values are searched one by one before an index is built.
const LINEAR_MAX: u32 = 12;
/// So many slots are kept, however few are in use.
const SLOTS_KEPT: usize = 32;
/// The slot after which there is none.
const NONE: u32 = u32::MAX;
/// The last time of a slot that is free.
const FREE: i64 = i64::MIN;

/// Values with the time at which each was last seen, oldest first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(from = "Order")]
pub(crate) struct Recents {
    slots: Vec<Slot>,
    oldest: u32,
    newest: u32,
    /// First of the free slots, which are chained through `newer`.
    free: u32,
    held: u32,
    #[serde(skip)]
    index: Option<Box<HashTable<u32>>>,
}

/// What is written down of values: by their index they are only found.
#[derive(Deserialize)]
struct Order {
    slots: Vec<Slot>,
    oldest: u32,
    newest: u32,
    free: u32,
    held: u32,
}

impl From<Order> for Recents {
    fn from(Order { slots, oldest, newest, free, held }: Order) -> Recents {
        let mut recents = Recents { slots, oldest, newest, free, held, index: None };
        if held > LINEAR_MAX {
            recents.build_index();
        }
        recents
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Slot {
    value: [u64; 2],
    last: i64,
    older: u32,
    newer: u32,
}

/// The part of the values that a window holds, as one word of a key's cells.
#[derive(Clone, Copy, Debug)]
struct Suffix {
    count: u32,
    /// The slot of the oldest, where there is one.
    oldest: u32,
}

impl Suffix {
    fn of(cell: u64) -> Suffix {
        Suffix { count: cell as u32, oldest: (cell >> 32) as u32 }
    }

    fn cell(self) -> u64 {
        u64::from(self.count) | u64::from(self.oldest) << 32
    }
}

/// The number of values that a window's cell stands for.
pub(crate) fn count(cell: u64) -> u64 {
    u64::from(Suffix::of(cell).count)
}

impl Default for Recents {
    fn default() -> Self {
        Recents { slots: Vec::new(), oldest: NONE, newest: NONE, free: NONE, held: 0, index: None }
    }
}

impl Recents {
    /// Reads the slot that goes first, to have it near.
    pub(crate) fn touch(&self) -> u64 {
        self.oldest().unwrap_or(0) as u64
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.held as usize
    }

    /// The time at which the value longest not seen was last seen.
    pub(crate) fn oldest(&self) -> Option<i64> {
        self.slots.get(self.oldest as usize).map(|slot| slot.last)
    }

    /// The time at which any value was last seen.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.slots.get(self.newest as usize).map(|slot| slot.last)
    }

    /// Takes a value at `time`, which is not before any time so far, and counts it into the
    /// windows whose cells stand at `windows`. Whether it was not there.
    pub(crate) fn see(
        &mut self,
        value: [u64; 2],
        time: i64,
        cells: &mut [u64],
        windows: impl Iterator<Item = usize>,
    ) -> bool {
        let found = self.find(value);
        let slot = found.unwrap_or_else(|| self.take_slot(value));
        let Slot { last, newer, .. } = self.slots[slot as usize];
        for cell in windows {
            let mut suffix = Suffix::of(cells[cell]);
            let held = found.is_some()
                && suffix.count > 0
                && last >= self.slots[suffix.oldest as usize].last;
            if !held {
                suffix.oldest = if suffix.count == 0 { slot } else { suffix.oldest };
                suffix.count += 1;
            } else if suffix.oldest == slot && newer != NONE {
                suffix.oldest = newer;
            }
            cells[cell] = suffix.cell();
        }
        if found.is_some() {
            self.unlink(slot);
        }
        self.link(slot, time);
        found.is_none()
    }

    /// Moves a window on: values that it does not contain any more leave its count.
    pub(super) fn advance(&self, cell: &mut u64, contains: impl Fn(i64) -> bool) {
        let mut suffix = Suffix::of(*cell);
        while suffix.count > 0 {
            let slot = &self.slots[suffix.oldest as usize];
            if contains(slot.last) {
                break;
            }
            suffix = Suffix { count: suffix.count - 1, oldest: slot.newer };
        }
        *cell = suffix.cell();
    }

    /// Forgets all but the `count` values last seen.
    pub(super) fn keep(&mut self, count: u64) {
        while u64::from(self.held) > count {
            self.forget_oldest();
        }
    }

    /// Forgets the value longest not seen, and says which it was.
    pub(crate) fn forget_oldest(&mut self) -> Option<[u64; 2]> {
        let slot = self.oldest;
        let value = self.slots.get(slot as usize)?.value;
        if self.held == 1 {
            *self = Recents::default();
            return Some(value);
        }
        if let Some(index) = &mut self.index
            && let Ok(found) = index.find_entry(value[0], |held| *held == slot)
        {
            found.remove();
        }
        self.unlink(slot);
        self.held -= 1;
        let freed = &mut self.slots[slot as usize];
        (freed.last, freed.newer) = (FREE, self.free);
        self.free = slot;
        Some(value)
    }

    /// Gives room back where most of it is free, and moves the windows whose cells stand at
    /// `windows` along.
    pub(crate) fn compact(&mut self, cells: &mut [u64], windows: impl Iterator<Item = usize>) {
        if self.slots.len() < SLOTS_KEPT || self.held as usize * 8 > self.slots.len() {
            return;
        }
        let mut moved = vec![NONE; self.slots.len()];
        let mut slots: Vec<Slot> = Vec::with_capacity(2 * self.held as usize);
        let mut at = self.oldest;
        while let Some(slot) = self.slots.get(at as usize) {
            let place = slots.len() as u32;
            moved[at as usize] = place;
            slots.push(Slot { older: place.wrapping_sub(1), newer: place + 1, ..*slot });
            at = slot.newer;
        }
        if let Some(newest) = slots.last_mut() {
            newest.newer = NONE;
        }
        for cell in windows {
            let suffix = Suffix::of(cells[cell]);
            if suffix.count > 0 {
                let oldest = moved[suffix.oldest as usize];
                cells[cell] = Suffix { oldest, ..suffix }.cell();
            }
        }
        (self.oldest, self.newest, self.free) = (0, slots.len() as u32 - 1, NONE);
        (self.slots, self.index) = (slots, None);
        if self.held > LINEAR_MAX {
            self.build_index();
        }
    }

    /// Each value there is.
    pub(crate) fn each(&self) -> impl Iterator<Item = [u64; 2]> + '_ {
        self.slots.iter().filter(|slot| slot.last != FREE).map(|slot| slot.value)
    }

    /// Heap bytes in use.
    pub(crate) fn heap_bytes(&self) -> usize {
        let index = self.index.as_ref().map_or(0, |index| index.capacity() * 5 + 32);
        self.slots.capacity() * size_of::<Slot>() + index
    }

    fn find(&self, value: [u64; 2]) -> Option<u32> {
        let is_value = |slot: &Slot| slot.value == value && slot.last != FREE;
        match &self.index {
            Some(index) => {
                index.find(value[0], |slot| is_value(&self.slots[*slot as usize])).copied()
            }
            None => self.slots.iter().position(is_value).map(|slot| slot as u32),
        }
    }

    /// A slot for a value that is not there, not yet in the order.
    fn take_slot(&mut self, value: [u64; 2]) -> u32 {
        let fresh = Slot { value, last: FREE, older: NONE, newer: NONE };
        let slot = if self.free == NONE {
            if self.slots.len() == self.slots.capacity() {
                // Grows by half, by two slots at least: doubling wastes more than it saves.
                self.slots.reserve_exact((self.slots.len() / 2).max(2));
            }
            self.slots.push(fresh);
            (self.slots.len() - 1) as u32
        } else {
            let slot = self.free;
            self.free = self.slots[slot as usize].newer;
            self.slots[slot as usize] = fresh;
            slot
        };
        self.held += 1;
        let slots = &self.slots;
        let hash = |slot: &u32| slots[*slot as usize].value[0];
        if let Some(index) = &mut self.index {
            index.insert_unique(hash(&slot), slot, hash);
        } else if self.held > LINEAR_MAX {
            // What is not in the order yet is indexed all the same.
            self.slots[slot as usize].last = i64::MAX;
            self.build_index();
        }
        slot
    }

    fn build_index(&mut self) {
        let slots = &self.slots;
        let hash = |slot: &u32| slots[*slot as usize].value[0];
        let mut index = Box::new(HashTable::with_capacity(2 * self.held as usize));
        for at in (0..slots.len() as u32).filter(|at| slots[*at as usize].last != FREE) {
            index.insert_unique(hash(&at), at, hash);
        }
        self.index = Some(index);
    }

    /// Puts a slot at the end of the order.
    fn link(&mut self, slot: u32, time: i64) {
        let newest = self.newest;
        let linked = &mut self.slots[slot as usize];
        (linked.last, linked.older, linked.newer) = (time, newest, NONE);
        match self.slots.get_mut(newest as usize) {
            Some(before) => before.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
    }

    /// Takes a slot out of the order.
    fn unlink(&mut self, slot: u32) {
        let Slot { older, newer, .. } = self.slots[slot as usize];
        match self.slots.get_mut(older as usize) {
            Some(before) => before.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(after) => after.older = older,
            None => self.newest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Two windows over random values with pauses and ties, against counting from scratch.
        #[test]
        fn equals_counting(
            events in prop::collection::vec(
                (0u64..200, prop::sample::select(vec![0i64, 0, 0, 0, 1, 2, 3, 50])),
                1..600,
            ),
            spans in (1i64..60, 1i64..60),
        ) {
            let (mut recents, mut cells) = (Recents::default(), [0u64; 2]);
            let (mut time, mut seen) = (0, Vec::new());
            for (value, pause) in events {
                time += pause;
                let spans = [spans.0, spans.1];
                for (cell, span) in cells.iter_mut().zip(spans) {
                    recents.advance(cell, |last| last > time - span);
                }
                recents.keep(cells.map(count).into_iter().max().unwrap_or(0));
                recents.compact(&mut cells, 0..2);
                prop_assert!(recents.slots.capacity() <= (12 * recents.len()).max(2 * SLOTS_KEPT));
                recents.see([value, 7], time, &mut cells, 0..2);
                seen.push((value, time));
                for (cell, span) in cells.iter().zip(spans) {
                    let inside = seen.iter().filter(|(_, at)| *at > time - span);
                    let values: BTreeSet<u64> = inside.map(|(value, _)| *value).collect();
                    prop_assert_eq!(count(*cell), values.len() as u64);
                }
                let longest = time - spans[0].max(spans[1]);
                let inside = seen.iter().filter(|(_, at)| *at > longest);
                let values: BTreeSet<u64> = inside.map(|(value, _)| *value).collect();
                let held: BTreeSet<u64> = recents.each().map(|value| value[0]).collect();
                prop_assert_eq!(recents.len(), held.len());
                prop_assert_eq!(held, values, "memory follows the values that are in a window");
            }
        }
    }
}
