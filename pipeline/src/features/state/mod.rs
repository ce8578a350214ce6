//! The state of one family: what is kept of each key, and how a request changes and reads it.

mod asleep;
mod key;
pub(crate) mod quantile;
pub(crate) mod recents;
mod ring;
mod spread;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use asleep::Asleep;
use key::{KeyState, Request, Texts, outputs};
pub(crate) use quantile::QUANTILE_UNIT;
use quantile::Quantile;
use recents::Recents;
use ring::Ring;
pub(crate) use spread::{SQUARES_WORDS, stddev};
use tally::{Layout, Tally};

use super::plan::{Family, Read, Stream};
use super::requests::null_word;
use crate::expr::Zone;
use crate::keyed::{Asked, KEY_GROUPS, Key, Replies, Requests, halves};
use crate::snapshot::{self, Broken, Share, Snapshot};

/// Keys that are looked up together.
pub(crate) const LOOK_AHEAD: usize = 32;
/// The hint for a key that was not there.
const NO_HINT: u32 = u32::MAX;

/// One worker's part of a family's state.
pub(crate) struct FamilyState {
    family: Arc<Family>,
    zone: Arc<Zone>,
    groups: Vec<KeyGroup>,
}

/// Where a request stands among those of a slice.
#[derive(Clone, Copy, Default)]
struct Place {
    at: u32,
    /// Where the words that it carries begin.
    words: u32,
    /// Its key group.
    group: u16,
}

/// The requests of a slice by key group, in each as they stand: what is near in memory is then asked
/// for together.
fn by_group(asked: &[Asked], stride: usize) -> Vec<Place> {
    let mut starts = [0_u32; KEY_GROUPS + 1];
    asked.iter().for_each(|asked| starts[asked.key().group() + 1] += 1);
    for group in 0..KEY_GROUPS {
        starts[group + 1] += starts[group];
    }
    let mut places = vec![Place::default(); asked.len()];
    let mut words = 0;
    for (at, asked) in (0..).zip(asked) {
        let group = asked.key().group();
        places[starts[group] as usize] = Place { at, words, group: group as u16 };
        starts[group] += 1;
        words += if asked.streams == 0 { 0 } else { stride as u32 };
    }
    places
}

/// What the state takes up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) keys: u64,
    /// Keys that sleep beside those.
    pub(crate) asleep: u64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

/// The keys of one key group, in slabs by slot, so that a key costs no allocation of its own.
#[derive(Default, Serialize, Deserialize)]
struct KeyGroup {
    #[serde(skip)]
    slots: HashTable<u32>,
    heads: Vec<Head>,
    rings: Vec<Ring>,
    cells: Vec<u64>,
    recents: Vec<Recents>,
    tallies: Vec<Tally>,
    extremes: Vec<VecDeque<(u64, i64)>>,
    quantiles: Vec<Quantile>,
    texts: Texts,
    free: Vec<u32>,
    /// Keys that have no slot, for nothing is left of them but what stays for good.
    asleep: Asleep,
    /// Keys that the last sweep left.
    survivors: usize,
    /// When the next sweep is due at the latest.
    sweep_at: i64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Head {
    key: [u64; 2],
    check: u32,
    /// Whether something of the key stays for good.
    stays: bool,
    /// From this effective time on, nothing of the key is in any window that has an end.
    expires: i64,
}

impl FamilyState {
    pub(crate) fn new(family: Arc<Family>, zone: Arc<Zone>) -> FamilyState {
        let groups = (0..KEY_GROUPS).map(|_| KeyGroup::default()).collect();
        FamilyState { family, zone, groups }
    }

    /// Applies requests that are in total order. Those of one key group are done together, each key's
    /// in its order, and the answers stand as they were done.
    pub(crate) fn apply(&mut self, requests: &Requests, replies: &mut Replies) {
        let stride = self.family.words();
        replies.make_room(requests, |lookups| outputs(&self.family, lookups).count());
        let places = by_group(&requests.asked, stride);
        let mut hints = [0; LOOK_AHEAD];
        for block in places.chunks(LOOK_AHEAD) {
            self.look_ahead(requests, block, &mut hints);
            for (place, hint) in block.iter().zip(hints) {
                let asked = &requests.asked[place.at as usize];
                let Asked { time, streams, lookups, .. } = *asked;
                let words = place.words as usize;
                let carried = if streams == 0 { 0 } else { stride };
                let words = &requests.words[words..words + carried];
                let (key, texts) = (asked.key(), &requests.texts);
                let request = Request { key, time, streams, lookups, words, texts };
                if lookups != 0 {
                    replies.rows.push(asked.row);
                    replies.lookups.push(lookups);
                }
                let group = &mut self.groups[usize::from(place.group)];
                group.apply(&self.family, &self.zone, &request, hint, replies);
            }
        }
    }

    /// Looks up a block of keys before any is applied, and reads what their requests carry: the waits
    /// for memory, which are most of the cost, then overlap. What is found is only a hint, for keys may
    /// come and go meanwhile.
    fn look_ahead(&self, requests: &Requests, block: &[Place], hints: &mut [u32; LOOK_AHEAD]) {
        let mut touched = 0;
        for (place, hint) in block.iter().zip(&mut *hints) {
            let key = requests.key(place.at as usize);
            let slot = self.groups[usize::from(place.group)].find(key);
            *hint = slot.map_or(NO_HINT, |slot| slot as u32);
            touched ^= requests.words.get(place.words as usize).copied().unwrap_or(0);
        }
        for (place, hint) in block.iter().zip(hints).filter(|(_, hint)| **hint != NO_HINT) {
            touched ^= self.groups[usize::from(place.group)].touch(&self.family, *hint as usize);
        }
        std::hint::black_box(touched);
    }

    /// What the state takes up now; a walk over everything, for the report.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for group in &self.groups {
            usage.keys += group.slots.len() as u64;
            usage.asleep += group.asleep.len() as u64;
            usage.events += group.rings.iter().map(|ring| ring.len() as u64).sum::<u64>();
            usage.bytes += group.bytes() as u64;
        }
        usage
    }
}

impl Snapshot for FamilyState {
    fn share(&self) -> Share {
        Share::Groups
    }

    fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>)) {
        for (number, group) in self.groups.iter().enumerate() {
            if !group.slots.is_empty() || !group.asleep.is_empty() {
                put(number, snapshot::encode(group));
            }
        }
    }

    fn load(&mut self, number: usize, bytes: &[u8]) -> Result<(), Broken> {
        let mut group: KeyGroup = snapshot::decode(bytes)?;
        group.reindex(&self.family);
        self.groups[number] = group;
        Ok(())
    }
}

impl KeyGroup {
    /// Makes the tables by which keys and values are found, which are not written down.
    fn reindex(&mut self, family: &Family) {
        let heads = &self.heads;
        let hash = |slot: &u32| heads[*slot as usize].key[0];
        self.slots = HashTable::with_capacity(heads.len() - self.free.len());
        for (slot, head) in (0..).zip(heads) {
            if head.key != [0; 2] {
                self.slots.insert_unique(head.key[0], slot, hash);
            }
        }
        self.asleep.reindex(family.staying.len());
        let layouts = family.tallies.iter().map(|windows| Layout { windows: *windows }).cycle();
        for (tally, layout) in self.tallies.iter_mut().zip(layouts) {
            tally.reindex(layout);
        }
    }

    fn apply(
        &mut self,
        family: &Family,
        zone: &Zone,
        request: &Request<'_>,
        hint: u32,
        replies: &mut Replies,
    ) {
        if request.time >= self.sweep_at {
            self.sweep(family, zone, request.time);
        }
        let held =
            self.heads.get(hint as usize).filter(|head| head.key == halves(request.key.hash));
        let found = held.map(|_| hint as usize).or_else(|| self.find(request.key));
        let Some(slot) = found.or_else(|| self.admit(family, zone, request)) else {
            answer_unknown(family, request.lookups, replies);
            return;
        };
        let head = &mut self.heads[slot];
        for (bit, stream) in family.streams.iter().enumerate() {
            if request.streams & (1 << bit) != 0 {
                head.expires = head.expires.max(request.time.saturating_add(stream.lifetime));
                head.stays |= stream.stays;
            }
        }
        self.state(family, slot).apply(family, zone, request, replies);
    }

    /// Reads what a request for the key in `slot` will read first, to have it near.
    fn touch(&self, family: &Family, slot: usize) -> u64 {
        const WORDS_NEAR: usize = 8;
        let of = |stride: usize| slot * stride..(slot + 1) * stride;
        let cells = &self.cells[of(family.cells)];
        let cells = cells.iter().step_by(WORDS_NEAR).fold(0, |all, cell| all ^ cell);
        let rings = &self.rings[of(family.rings)];
        let ring = |stream: &Stream| Some(rings[stream.ring?].touch(stream.entry.len() + 1));
        let rings = family.streams.iter().filter_map(ring).fold(0, |all, word| all ^ word);
        let recents = &self.recents[of(family.recents)];
        let recents = recents.iter().fold(0, |all, recents| all ^ recents.touch());
        let tallies = &self.tallies[of(family.tallies.len())];
        tallies.iter().fold(cells ^ rings ^ recents, |all, tally| all ^ tally.touch())
    }

    fn find(&self, key: Key) -> Option<usize> {
        let slot = self
            .slots
            .find(key.hash as u64, |slot| self.heads[*slot as usize].key == halves(key.hash))?;
        let check = self.heads[*slot as usize].check;
        assert!(check == key.check, "two keys share the 128-bit hash {:032x}", key.hash);
        Some(*slot as usize)
    }

    /// A slot for a key that has none: one that sleeps wakes, and one that contributes is new.
    fn admit(&mut self, family: &Family, zone: &Zone, request: &Request<'_>) -> Option<usize> {
        let staying = family.staying.len();
        let asleep = self.asleep.find(request.key, staying);
        if asleep.is_none() && request.streams == 0 {
            return None;
        }
        // Others may fall asleep meanwhile: that moves none who do.
        self.sweep_when_grown(family, zone, request.time);
        let slot = self.insert(family, request.key);
        if let Some(place) = asleep {
            self.heads[slot].stays = true;
            let cells = part(&mut self.cells, slot, family.cells);
            for (cell, word) in family.staying.iter().zip(self.asleep.stayed(place, staying)) {
                cells[*cell] = *word;
            }
            self.asleep.forget(place, staying);
        }
        Some(slot)
    }

    fn insert(&mut self, family: &Family, key: Key) -> usize {
        let head =
            Head { key: halves(key.hash), check: key.check, stays: false, expires: i64::MIN };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.heads[slot as usize] = head;
                slot
            }
            None => {
                self.heads.push(head);
                let keys = self.heads.len();
                self.rings.resize_with(keys * family.rings, Ring::default);
                self.cells.resize(keys * family.cells, 0);
                self.recents.resize_with(keys * family.recents, Recents::default);
                self.tallies.resize_with(keys * family.tallies.len(), Tally::default);
                self.extremes.resize_with(keys * family.extremes, VecDeque::new);
                self.quantiles.resize_with(keys * family.quantiles, Quantile::default);
                (keys - 1) as u32
            }
        };
        let heads = &self.heads;
        let hash = |slot: &u32| heads[*slot as usize].key[0];
        self.slots.insert_unique(key.hash as u64, slot, hash);
        slot as usize
    }

    fn state(&mut self, family: &Family, slot: usize) -> KeyState<'_> {
        KeyState {
            rings: part(&mut self.rings, slot, family.rings),
            cells: part(&mut self.cells, slot, family.cells),
            recents: part(&mut self.recents, slot, family.recents),
            tallies: part(&mut self.tallies, slot, family.tallies.len()),
            extremes: part(&mut self.extremes, slot, family.extremes),
            quantiles: part(&mut self.quantiles, slot, family.quantiles),
            texts: &mut self.texts,
        }
    }

    /// A sweep waits until the keys have doubled since the last one, or the longest stream has
    /// passed: so each key pays for a bounded number of looks, and memory follows the live keys.
    fn sweep_when_grown(&mut self, family: &Family, zone: &Zone, now: i64) {
        const KEYS_MIN: usize = 32;
        if self.slots.len() >= 2 * self.survivors + KEYS_MIN {
            self.sweep(family, zone, now);
        }
    }

    /// Drops the keys of which nothing is in any window any more. Of those like them of which
    /// something stays for good all else is dropped: they sleep, where the family's keys do.
    fn sweep(&mut self, family: &Family, zone: &Zone, now: i64) {
        let sleep = keys_sleep(family);
        for slot in 0..self.heads.len() {
            let head = self.heads[slot];
            if head.expires > now || head.key == [0; 2] {
                continue;
            }
            if head.stays && !sleep {
                self.state(family, slot).rest(family, zone, now);
                continue;
            }
            let cells = part(&mut self.cells, slot, family.cells);
            if head.stays && family.staying.iter().any(|cell| cells[*cell] != 0) {
                let stay = family.staying.iter().map(|cell| std::mem::take(&mut cells[*cell]));
                self.asleep.put(head.key, head.check, stay);
            }
            if let Ok(found) = self.slots.find_entry(head.key[0], |at| *at as usize == slot) {
                found.remove();
            }
            self.heads[slot].key = [0; 2];
            self.free.push(slot as u32);
            self.state(family, slot).clear(family);
        }
        if self.slots.is_empty() {
            let asleep = std::mem::take(&mut self.asleep);
            // What stays may be texts.
            let texts = std::mem::take(&mut self.texts);
            let texts = if asleep.is_empty() { Texts::default() } else { texts };
            *self = KeyGroup { asleep, texts, ..KeyGroup::default() };
        }
        self.survivors = self.slots.len();
        // A family of nothing but what stays is never due.
        let lifetime = family.streams.iter().map(|stream| stream.lifetime).max().unwrap_or(0);
        self.sweep_at = if lifetime == 0 { i64::MAX } else { now.saturating_add(lifetime) };
    }

    fn bytes(&self) -> usize {
        let rings: usize = self.rings.iter().map(Ring::heap_bytes).sum();
        let recents: usize = self.recents.iter().map(Recents::heap_bytes).sum();
        let tallies: usize = self.tallies.iter().map(Tally::heap_bytes).sum();
        let quantiles: usize = self.quantiles.iter().map(Quantile::heap_bytes).sum();
        let extremes: usize = self.extremes.iter().map(|extreme| extreme.capacity() * 16).sum();
        self.slots.capacity() * 5
            + self.heads.capacity() * size_of::<Head>()
            + self.rings.capacity() * size_of::<Ring>()
            + self.cells.capacity() * 8
            + self.recents.capacity() * size_of::<Recents>()
            + self.tallies.capacity() * size_of::<Tally>()
            + self.extremes.capacity() * size_of::<VecDeque<(u64, i64)>>()
            + self.quantiles.capacity() * size_of::<Quantile>()
            + rings
            + recents
            + tallies
            + quantiles
            + extremes
            + self.texts.heap_bytes()
            + self.asleep.heap_bytes()
            + self.free.capacity() * 4
    }
}

/// Bytes that every key takes up in the slabs and the table of its group.
pub(crate) fn key_bytes(family: &Family) -> usize {
    5 + size_of::<Head>()
        + family.rings * size_of::<Ring>()
        + family.cells * 8
        + family.recents * size_of::<Recents>()
        + family.tallies.len() * size_of::<Tally>()
        + family.extremes * size_of::<VecDeque<(u64, i64)>>()
        + family.quantiles * size_of::<Quantile>()
}

/// Whether keys of which nothing but what stays for good is left sleep. They do not where that is
/// more than a few cells (a ring or a set of values without an end, which nothing shipped has), nor
/// where a slot is less than twice as large as what a sleeping key takes up.
fn keys_sleep(family: &Family) -> bool {
    !family.more_stays && key_bytes(family) >= 2 * asleep::key_bytes(family.staying.len())
}

fn part<T>(slab: &mut [T], slot: usize, stride: usize) -> &mut [T] {
    &mut slab[slot * stride..(slot + 1) * stride]
}

/// A key that nothing is known of: counts, sums and distinct are 0, all else is null.
fn answer_unknown(family: &Family, lookups: u32, replies: &mut Replies) {
    for output in outputs(family, lookups) {
        replies.values.push(match output.read {
            Read::Count { .. } | Read::Sum { .. } | Read::Distinct { .. } => 0,
            read => null_word(read.kind()),
        });
    }
}
