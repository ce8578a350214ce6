//! What travels between the worker that read an event and the workers that keep its keys' state.
//!
//! A request is slim: 128 bits that stand for the key, and the few words that the state keeps.
//! The event itself, and its text, stay where they were read.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3;

use crate::event::{Strings, uneven_share};

/// State is split into this many maps a family: the unit of routing, of growth and of snapshots.
/// One big map would stall for 100 to 600 ms when it grows.
pub const KEY_GROUPS: usize = 256;

/// 128 bits that stand for a string, and 32 bits of another hash by which a collision of the
/// first is noticed instead of mixing two keys' money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) hash: u128,
    pub(crate) check: u32,
}

impl Key {
    /// The key of no value; it is filed nowhere.
    pub(crate) const NULL: Key = Key { hash: 0, check: 0 };

    pub(crate) fn of(bytes: &[u8]) -> Key {
        if bytes.is_empty() {
            return Key::NULL;
        }
        let hash = xxh3::xxh3_128_with_seed(bytes, 0x686f_6e67).max(1);
        Key { hash, check: xxh3::xxh3_64_with_seed(bytes, 0x7869_616e) as u32 }
    }

    /// The key of two keys together.
    pub(crate) fn join(self, next: Key) -> Key {
        if self == Key::NULL || next == Key::NULL {
            return Key::NULL;
        }
        let mut bytes = [0; 40];
        bytes[..16].copy_from_slice(&self.hash.to_le_bytes());
        bytes[16..32].copy_from_slice(&next.hash.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.check.to_le_bytes());
        bytes[36..].copy_from_slice(&next.check.to_le_bytes());
        Key::of(&bytes)
    }

    /// The key group: by bits that the group's own map does not use, and not all of one size, so
    /// that their maps do not all grow at one time.
    pub(crate) fn group(self) -> usize {
        uneven_share((self.hash >> 64) as u64, KEY_GROUPS as u64)
    }
}

/// 128 bits as two words, the low one first.
pub(crate) fn halves(hash: u128) -> [u64; 2] {
    [hash as u64, (hash >> 64) as u64]
}

/// The 128 bits of two words.
pub(crate) fn whole(words: &[u64]) -> u128 {
    u128::from(words[0]) | u128::from(words[1]) << 64
}

/// What one event tells or asks of one key. All of it is needed at once, so it stands together.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// The key's hash, as two words.
    hash: [u64; 2],
    /// The effective time.
    pub(crate) time: i64,
    check: u32,
    /// The event's row in its slice.
    pub(crate) row: u32,
    /// Streams to which the event contributes, by bit.
    pub(crate) streams: u32,
    /// Lookups to answer, by bit.
    pub(crate) lookups: u32,
}

impl Asked {
    pub(crate) fn key(&self) -> Key {
        Key { hash: whole(&self.hash), check: self.check }
    }
}

/// The requests of one slice of events to one worker's part of one family, in total order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Requests {
    /// The worker that read the events.
    pub(crate) origin: u32,
    /// The worker that holds the state.
    pub(crate) destination: u32,
    /// The place of the slice's first event in the total order of its step.
    pub(crate) first: u64,
    pub(crate) asked: Vec<Asked>,
    /// The carried words of the contributing events, end to end.
    pub(crate) words: Vec<u64>,
    /// The texts that words point to.
    pub(crate) texts: Strings,
}

/// The answers to one [`Requests`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Replies {
    pub(crate) origin: u32,
    pub(crate) family: u32,
    pub(crate) rows: Vec<u32>,
    pub(crate) lookups: Vec<u32>,
    /// For each lookup of each row, the outputs' words, end to end.
    pub(crate) values: Vec<u64>,
    pub(crate) texts: Strings,
}

impl Replies {
    /// No answers yet to these requests.
    pub(crate) fn to(requests: &Requests, family: u32) -> Replies {
        Replies { origin: requests.origin, family, ..Replies::default() }
    }

    /// Makes room for the answers to these requests, where each set of lookups has so many words.
    pub(crate) fn make_room(&mut self, requests: &Requests, words: impl Fn(u32) -> usize) {
        let lookups =
            requests.asked.iter().map(|asked| asked.lookups).filter(|lookups| *lookups != 0);
        let (rows, words) = lookups.fold((0, 0), |(rows, sum), at| (rows + 1, sum + words(at)));
        self.rows.reserve(rows);
        self.lookups.reserve(rows);
        self.values.reserve(words);
    }
}

/// Where each request of a slice stands, batch and place, in the order of rows: of each row first
/// what there is to tell, by batch, and then the lookups that see it. No batch has both.
pub(crate) fn by_row(batches: &[Requests]) -> impl Iterator<Item = (usize, usize)> {
    let mut order = Vec::with_capacity(batches.iter().map(|batch| batch.asked.len()).sum());
    for (nth, batch) in (0_u32..).zip(batches) {
        let places = batch.asked.iter().zip(0_u32..);
        order.extend(places.map(|(asked, at)| (asked.row, asked.lookups != 0, nth, at)));
    }
    order.sort_unstable();
    order.into_iter().map(|(_, _, nth, at)| (nth as usize, at as usize))
}

/// The word of a text that is null.
pub(crate) const NULL_TEXT: u64 = u64::MAX;

/// Where the requests of a slice go.
pub(crate) struct Addressing {
    pub(crate) origin: usize,
    pub(crate) peers: usize,
    /// The place of the slice's first event in the total order of its step.
    pub(crate) first: u64,
}

impl Requests {
    /// An empty batch for each worker, with room for its share of `rows` requests that carry
    /// `words` each.
    pub(crate) fn batches(to: &Addressing, rows: usize, words: usize) -> Vec<Requests> {
        // Keys spread over workers by their hash: a share is seldom a sixteenth larger.
        let room = rows / to.peers + rows / (16 * to.peers) + 16;
        let batch = |destination| Requests {
            origin: to.origin as u32,
            destination,
            first: to.first,
            asked: Vec::with_capacity(room),
            words: Vec::with_capacity(room * words),
            texts: Strings::default(),
        };
        (0..to.peers as u32).map(batch).collect()
    }

    /// The key of the request at `at`.
    pub(crate) fn key(&self, at: usize) -> Key {
        self.asked[at].key()
    }

    /// The keys of the requests from `at` on.
    pub(crate) fn keys_from(&self, at: usize) -> impl Iterator<Item = Key> {
        self.asked[at..].iter().map(Asked::key)
    }

    /// Adds a request; the words that it carries come after.
    pub(crate) fn push(&mut self, row: usize, key: Key, time: i64, streams: u32, lookups: u32) {
        let (hash, check, row) = (halves(key.hash), key.check, row as u32);
        self.asked.push(Asked { hash, time, check, row, streams, lookups });
    }
}
