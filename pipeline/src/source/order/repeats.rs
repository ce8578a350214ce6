//! Repeated ids: which of several events with one id counts.
//!
//! The first in order counts. An id is remembered until effective time has passed its event time by
//! the dedup window; what is older than that when it comes can no longer be told from a repeat.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Entry, id};
use crate::event::{Chunk, EVENT_ID, RejectCode, short_hash, uneven_share};

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

/// Tables in which ids are looked up: a single one of millions would stall for a tenth of a second and
/// more when it grows.
const TABLES: u64 = 256;
/// The firsts of a page.
const PAGE: u64 = 1 << 14;

/// The ids that are remembered while events pass in order, one at a time; what it takes up, about 60
/// bytes an id, follows the window and not how many events there are.
pub(super) struct Remembered {
    window: i64,
    firsts: Firsts,
    /// By id, the number of its first.
    numbers: Vec<HashTable<u64>>,
    scratch: Vec<u8>,
}

/// The event that counts of those with one id: hashes of 128 bits, which nobody can make meet.
#[derive(Serialize, Deserialize)]
pub(super) struct First {
    id: [u64; 2],
    body: [u64; 2],
    /// The last effective time at which the id is remembered.
    until: i64,
}

impl Remembered {
    pub(super) fn new(window: i64) -> Remembered {
        Remembered {
            window,
            firsts: Firsts::default(),
            numbers: (0..TABLES).map(|_| HashTable::new()).collect(),
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
        let firsts = &self.firsts;
        let same = |number: &u64| firsts.get(*number).id == id;
        if let Some(number) = self.numbers[table(id)].find(id[0], same)
            && entry.effective <= firsts.get(*number).until
        {
            let same = firsts.get(*number).body == body;
            return if same { Mark::Duplicate } else { Mark::Conflict };
        }
        self.remember(First { id, body, until });
        Mark::Keep
    }

    /// Remembers an event; under an id that is used anew it takes the place of the one before.
    pub(super) fn remember(&mut self, first: First) {
        let firsts = &self.firsts;
        let same = |number: &u64| firsts.get(*number).id == first.id;
        let numbers = &mut self.numbers[table(first.id)];
        match numbers.find_mut(first.id[0], same) {
            Some(number) => *number = firsts.end,
            None => {
                let hash = |number: &u64| firsts.get(*number).id[0];
                numbers.insert_unique(first.id[0], firsts.end, hash);
            }
        }
        self.firsts.push(first);
    }

    /// The events that are remembered, in the order in which they came.
    pub(super) fn kept(&self) -> Vec<&First> {
        let numbers = self.firsts.start..self.firsts.end;
        numbers.map(|number| self.firsts.get(number)).collect()
    }

    fn forget(&mut self, now: i64) {
        while self.firsts.start < self.firsts.end {
            let number = self.firsts.start;
            let first = self.firsts.get(number);
            if first.until >= now {
                break;
            }
            // An id that was used anew in the meantime has another number.
            let numbers = &mut self.numbers[table(first.id)];
            if let Ok(own) = numbers.find_entry(first.id[0], |held| *held == number) {
                own.remove();
            }
            self.firsts.pop();
        }
    }
}

/// The table of an id, by bits that the table does not use.
fn table(id: [u64; 2]) -> usize {
    uneven_share(id[1], TABLES)
}

/// The events that stayed, in the order in which they came, each with its number. One that may be
/// forgotten before another in front of it stays a little longer.
#[derive(Default)]
struct Firsts {
    /// A list that doubles would take up three times its size meanwhile.
    pages: VecDeque<Vec<First>>,
    /// The numbers of the first one, and of the next to come.
    start: u64,
    end: u64,
}

impl Firsts {
    fn get(&self, number: u64) -> &First {
        let (page, place) = (number / PAGE, number % PAGE);
        &self.pages[(page - self.start / PAGE) as usize][place as usize]
    }

    fn push(&mut self, first: First) {
        if self.end.is_multiple_of(PAGE) {
            self.pages.push_back(Vec::with_capacity(PAGE as usize));
        }
        if let Some(page) = self.pages.back_mut() {
            page.push(first);
            self.end += 1;
        }
    }

    /// Takes the first one out, of at least one.
    fn pop(&mut self) {
        self.start += 1;
        if self.start.is_multiple_of(PAGE) {
            self.pages.pop_front();
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

#[cfg(test)]
mod tests {
    use super::super::entry;
    use super::*;
    use crate::event::{ACCOUNT_ID, ChunkBuilder, EVENT_TIME, KIND, Position, Raw, Schema};

    const START: i64 = 1_707_480_000_000;
    const WINDOW: i64 = 100;

    /// An event a millisecond, in turn of a new id, the id of half a window ago, and the id of two
    /// windows ago.
    #[test]
    fn ids_are_remembered_for_the_window_and_memory_follows_it() {
        let mut remembered = Remembered::new(WINDOW);
        let schema = Arc::new(Schema::default());
        let mut kept = 0;
        for at in 0..40_000_i64 {
            let own = at - at % 3;
            let (id, expected) = match at % 3 {
                0 => (own, Mark::Keep),
                1 => (own - 48, if own < 48 { Mark::Keep } else { Mark::Conflict }),
                _ => (own - 201, Mark::Keep),
            };
            let mut builder = ChunkBuilder::new(schema.clone());
            let id = format!("e{id}");
            let values = [
                (EVENT_ID, Raw::Str(&id)),
                (EVENT_TIME, Raw::Int(START + at)),
                (KIND, Raw::Str("login")),
                (ACCOUNT_ID, Raw::Str("u")),
            ];
            builder.push(values, Position { source: 0, at: 0 }).unwrap();
            let chunk = builder.finish();
            let entry = entry(&chunk, 0, 0, None);
            assert_eq!(remembered.next(&entry, &chunk), expected, "{at}");
            kept += u64::from(expected == Mark::Keep);
            let numbers: usize = remembered.numbers.iter().map(HashTable::len).sum();
            assert!(numbers <= WINDOW as usize + 1, "{at}");
            assert!(remembered.firsts.pages.len() <= 2, "{at}");
        }
        assert!(kept > PAGE && remembered.firsts.end == kept);
    }
}
