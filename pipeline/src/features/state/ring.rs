//! A ring of events: what a key keeps of its past, oldest first, in one block of words.

use serde::{Deserialize, Serialize};

/// Entries of a fixed number of words, the first of which is the effective time.
///
/// The ring does not know its stride: the plan of the family does, and one word a key is worth it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ring {
    words: Vec<u64>,
    /// Index of the oldest entry, in entries.
    head: u32,
    len: u32,
    /// How many entries have left for good: the oldest has this sequence number.
    popped: u64,
}

/// The first block of a ring holds this many entries; most keys never need a second.
const ENTRIES_FIRST: usize = 2;

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Reads the time of the oldest entry, to have it near.
    pub(super) fn touch(&self, stride: usize) -> u64 {
        self.words.get(self.head as usize * stride).copied().unwrap_or(0)
    }

    /// The sequence number of the oldest entry.
    pub(super) fn first(&self) -> u64 {
        self.popped
    }

    /// The entry at `index` from the oldest.
    pub(super) fn get(&self, index: usize, stride: usize) -> &[u64] {
        debug_assert!(index < self.len());
        let at = self.place(index, stride);
        &self.words[at..at + stride]
    }

    /// A word of the entry at `index` from the oldest, to be changed.
    pub(super) fn word_mut(&mut self, index: usize, stride: usize, word: usize) -> &mut u64 {
        debug_assert!(index < self.len() && word < stride);
        let at = self.place(index, stride);
        &mut self.words[at + word]
    }

    /// Appends an entry and gives it out to be filled.
    pub(super) fn push(&mut self, stride: usize) -> &mut [u64] {
        if self.len() * stride == self.words.len() {
            self.grow(stride);
        }
        let at = self.place(self.len(), stride);
        self.len += 1;
        &mut self.words[at..at + stride]
    }

    /// Where in the block the entry at `index` from the oldest begins.
    fn place(&self, index: usize, stride: usize) -> usize {
        let at = (self.head as usize + index) * stride;
        if at >= self.words.len() { at - self.words.len() } else { at }
    }

    /// Drops the `count` oldest entries.
    pub(super) fn pop(&mut self, count: usize, stride: usize) {
        debug_assert!(count <= self.len());
        let capacity = self.words.len() / stride;
        let head = self.head as usize + count;
        self.head = if head >= capacity { head - capacity } else { head } as u32;
        self.len -= count as u32;
        self.popped += count as u64;
        if self.len() * 8 < capacity && capacity > 8 {
            self.resize(stride, (self.len() * 2).max(ENTRIES_FIRST));
        }
    }

    /// Heap bytes in use.
    pub(super) fn heap_bytes(&self) -> usize {
        self.words.capacity() * 8
    }

    /// Grows by half: the slack of doubling costs more memory than the copies cost time.
    fn grow(&mut self, stride: usize) {
        let capacity = self.words.len() / stride;
        self.resize(stride, (capacity + capacity / 2).max(capacity + ENTRIES_FIRST));
    }

    fn resize(&mut self, stride: usize, capacity: usize) {
        let mut words = Vec::with_capacity(capacity * stride);
        for index in 0..self.len() {
            words.extend_from_slice(self.get(index, stride));
        }
        words.resize(capacity * stride, 0);
        self.words = words;
        self.head = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn equals_a_deque(steps in prop::collection::vec((any::<bool>(), 0usize..5), 0..400)) {
            let (mut ring, mut deque, mut next) = (Ring::default(), VecDeque::new(), 0u64);
            for (push, count) in steps {
                for _ in 0..count {
                    if push {
                        ring.push(2).copy_from_slice(&[next, !next]);
                        deque.push_back(next);
                        next += 1;
                    } else if deque.pop_front().is_some() {
                        ring.pop(1, 2);
                    }
                }
                prop_assert_eq!(ring.len(), deque.len());
                prop_assert_eq!(ring.first() + ring.len() as u64, next);
                for (index, value) in deque.iter().enumerate() {
                    prop_assert_eq!(ring.get(index, 2), &[*value, !*value]);
                }
            }
        }
    }
}
