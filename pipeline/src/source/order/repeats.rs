//! Repeated ids: which of several events with one id counts.
//!
//! The first in order counts. An id is remembered until effective time has passed its event time by
//! the dedup window; what is older than that when it comes can no longer be told from a repeat.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::{Entry, id};
use crate::event::{Chunk, EVENT_ID, RejectCode, short_hash};

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Keep,
    Duplicate,
    Conflict,
    TooOld,
}

/// Marks what has an id that was used before, of events in memory and in order.
pub(super) fn mark_repeats(chunks: &[Arc<Chunk>], entries: &[Entry], window: i64) -> Vec<Mark> {
    let hashes: Vec<u64> =
        entries.par_iter().map(|entry| xxh3_64(id(chunks, entry).as_bytes())).collect();
    let shards = rayon::current_num_threads().next_power_of_two().min(64);
    let found: Vec<Vec<(u32, Mark)>> = (0..shards)
        .into_par_iter()
        .map(|shard| repeats_of_shard(chunks, entries, &hashes, (shard, shards), window))
        .collect();
    let mut marks = vec![Mark::Keep; entries.len()];
    for (at, mark) in found.into_iter().flatten() {
        marks[at as usize] = mark;
    }
    marks
}

fn repeats_of_shard(
    chunks: &[Arc<Chunk>],
    entries: &[Entry],
    hashes: &[u64],
    (shard, shards): (usize, usize),
    window: i64,
) -> Vec<(u32, Mark)> {
    let mut seen: HashTable<u32> = HashTable::with_capacity(entries.len() / shards);
    let mut found = Vec::new();
    for (at, &hash) in hashes.iter().enumerate() {
        if (hash >> 32) as usize % shards != shard {
            continue;
        }
        let entry = &entries[at];
        if entry.effective > entry.event_time.saturating_add(window) {
            found.push((at as u32, Mark::TooOld));
            continue;
        }
        let same = |held: &u32| id(chunks, &entries[*held as usize]) == id(chunks, entry);
        match seen.find_mut(hash, same) {
            Some(held) => {
                let first = &entries[*held as usize];
                if entry.effective > first.event_time.saturating_add(window) {
                    *held = at as u32;
                    continue;
                }
                let (left, right) = (&chunks[first.chunk as usize], &chunks[entry.chunk as usize]);
                let same = left.same_body(first.row as usize, right, entry.row as usize);
                let mark = if same { Mark::Duplicate } else { Mark::Conflict };
                found.push((at as u32, mark));
            }
            None => {
                seen.insert_unique(hash, at as u32, |held| hashes[*held as usize]);
            }
        }
    }
    found
}

/// The ids that are remembered while events pass in order, one at a time; what it takes up, about 60
/// bytes an id, follows the window and not how many events there are.
pub(super) struct Remembered {
    window: i64,
    /// The events that stayed, in the order in which they came. One that may be forgotten before
    /// another in front of it stays a little longer.
    firsts: VecDeque<First>,
    /// How many firsts were forgotten.
    forgotten: u64,
    /// By id, the number of its first, forgotten ones counted.
    numbers: HashTable<u64>,
    scratch: Vec<u8>,
}

/// The event that counts of those with one id: hashes of 128 bits, which nobody can make meet.
struct First {
    id: [u64; 2],
    body: [u64; 2],
    /// The last effective time at which the id is remembered.
    until: i64,
}

impl Remembered {
    pub(super) fn new(window: i64) -> Remembered {
        Remembered {
            window,
            firsts: VecDeque::new(),
            forgotten: 0,
            numbers: HashTable::new(),
            scratch: Vec::new(),
        }
    }

    /// Says what becomes of the next event.
    pub(super) fn next(&mut self, entry: &Entry, chunk: &Chunk) -> Mark {
        let until = entry.event_time.saturating_add(self.window);
        if entry.effective > until {
            return Mark::TooOld;
        }
        self.forget(entry.effective);
        let row = entry.row as usize;
        let id = short_hash(chunk.str(EVENT_ID, row).as_bytes());
        let body = chunk.body_hash(row, &mut self.scratch);
        let (firsts, forgotten) = (&self.firsts, self.forgotten);
        let first = |number: &u64| &firsts[(number - forgotten) as usize];
        let next = forgotten + firsts.len() as u64;
        match self.numbers.find_mut(id[0], |number| first(number).id == id) {
            Some(number) if entry.effective <= first(number).until => {
                return if first(number).body == body { Mark::Duplicate } else { Mark::Conflict };
            }
            Some(number) => *number = next,
            None => {
                self.numbers.insert_unique(id[0], next, |number| first(number).id[0]);
            }
        }
        self.firsts.push_back(First { id, body, until });
        Mark::Keep
    }

    fn forget(&mut self, now: i64) {
        while let Some(first) = self.firsts.pop_front_if(|first| first.until < now) {
            // An id that was used anew in the meantime has another number.
            let own = |number: &u64| *number == self.forgotten;
            if let Ok(number) = self.numbers.find_entry(first.id[0], own) {
                number.remove();
            }
            self.forgotten += 1;
        }
    }
}

impl Mark {
    /// Why the event is refused, if it is.
    pub(super) fn code(self) -> Option<RejectCode> {
        match self {
            Mark::Keep | Mark::Duplicate => None,
            Mark::Conflict => Some(RejectCode::IdConflict),
            Mark::TooOld => Some(RejectCode::TooOld),
        }
    }
}
