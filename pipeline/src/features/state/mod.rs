//! The state of one family: what is kept of each key, and how a request changes and reads it.

mod quantile;
mod ring;
pub(crate) mod tally;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;

pub(crate) use quantile::QUANTILE_UNIT;
use quantile::Quantile;
use ring::Ring;
use tally::{Change, Layout, Tally, entropy, surprisal_change};

use super::declare::Window;
use super::plan::{EntryWord, Family, Fold, Output, Read};
use super::requests::null_word;
use crate::event::{NULL_INT, Strings, Type};
use crate::expr::Zone;
use crate::keyed::{KEY_GROUPS, Key, NULL_TEXT, Replies, Requests};

/// Keys that are looked up together.
const LOOK_AHEAD: usize = 32;
/// The hint for a key that was not there.
const NO_HINT: u32 = u32::MAX;
/// The null slot of a tally.
const NULL_SLOT: u64 = u64::MAX;

/// One worker's part of a family's state.
pub(crate) struct FamilyState {
    family: Arc<Family>,
    zone: Arc<Zone>,
    groups: Vec<KeyGroup>,
}

/// What the state takes up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) keys: u64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

/// The keys of one key group, in slabs by slot, so that a key costs no allocation of its own.
#[derive(Default)]
struct KeyGroup {
    slots: HashTable<u32>,
    heads: Vec<Head>,
    rings: Vec<Ring>,
    cells: Vec<u64>,
    tallies: Vec<Tally>,
    extremes: Vec<VecDeque<(u64, i64)>>,
    quantiles: Vec<Quantile>,
    texts: Texts,
    free: Vec<u32>,
    /// Keys that the last sweep left.
    survivors: usize,
    swept_at: i64,
}

#[derive(Clone, Copy)]
struct Head {
    key: [u64; 2],
    check: u32,
    /// From this effective time on, nothing of the key is in any window.
    expires: i64,
}

/// Texts that outlive their event.
#[derive(Default)]
struct Texts {
    texts: Vec<Box<str>>,
    free: Vec<u32>,
}

/// One request in hand.
struct Request<'r> {
    key: Key,
    time: i64,
    streams: u32,
    lookups: u32,
    words: &'r [u64],
    texts: &'r Strings,
}

/// The state of one key.
struct KeyState<'g> {
    rings: &'g mut [Ring],
    cells: &'g mut [u64],
    tallies: &'g mut [Tally],
    extremes: &'g mut [VecDeque<(u64, i64)>],
    quantiles: &'g mut [Quantile],
    texts: &'g mut Texts,
}

impl FamilyState {
    pub(crate) fn new(family: Arc<Family>, zone: Arc<Zone>) -> FamilyState {
        let groups = (0..KEY_GROUPS).map(|_| KeyGroup::default()).collect();
        FamilyState { family, zone, groups }
    }

    /// Applies requests that are in total order, and answers them in the same order.
    pub(crate) fn apply(&mut self, requests: &Requests, replies: &mut Replies) {
        let stride = self.family.words();
        let mut words = requests.words.as_slice();
        let mut hints = [0; LOOK_AHEAD];
        for start in (0..requests.rows.len()).step_by(LOOK_AHEAD) {
            let block = start..(start + LOOK_AHEAD).min(requests.rows.len());
            self.look_ahead(requests, block.clone(), &mut hints);
            for at in block {
                let streams = requests.streams[at];
                let carried = if streams == 0 { 0 } else { stride };
                let (own, rest) = words.split_at(carried);
                words = rest;
                let key = Key { hash: requests.hashes[at], check: requests.checks[at] };
                let request = Request {
                    key,
                    time: requests.times[at],
                    streams,
                    lookups: requests.lookups[at],
                    words: own,
                    texts: &requests.texts,
                };
                if request.lookups != 0 {
                    replies.rows.push(requests.rows[at]);
                    replies.lookups.push(request.lookups);
                }
                let hint = hints[at - start];
                self.groups[key.group()].apply(&self.family, &self.zone, &request, hint, replies);
            }
        }
    }

    /// Looks up a block of keys before any is applied: the waits for memory, which are most of
    /// the cost, then overlap. What is found is only a hint, for keys may come and go meanwhile.
    fn look_ahead(
        &self,
        requests: &Requests,
        block: std::ops::Range<usize>,
        hints: &mut [u32; LOOK_AHEAD],
    ) {
        let mut touched = 0;
        let mut groups = [0; LOOK_AHEAD];
        for (nth, at) in block.clone().enumerate() {
            let key = Key { hash: requests.hashes[at], check: requests.checks[at] };
            groups[nth] = key.group();
            let slot = self.groups[groups[nth]].find(key);
            hints[nth] = slot.map_or(NO_HINT, |slot| slot as u32);
        }
        let (rings, cells) = (self.family.streams.len(), self.family.cells);
        for nth in 0..block.len() {
            if hints[nth] != NO_HINT {
                let (group, slot) = (&self.groups[groups[nth]], hints[nth] as usize);
                touched += group.rings.get(slot * rings).map_or(0, Ring::touch);
                touched += group.cells.get(slot * cells).copied().unwrap_or(0);
            }
        }
        std::hint::black_box(touched);
    }

    /// What the state takes up now; a walk over everything, for the report.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for group in &self.groups {
            usage.keys += group.slots.len() as u64;
            usage.events += group.rings.iter().map(|ring| ring.len() as u64).sum::<u64>();
            usage.bytes += group.bytes() as u64;
        }
        usage
    }
}

impl KeyGroup {
    fn apply(
        &mut self,
        family: &Family,
        zone: &Zone,
        request: &Request<'_>,
        hint: u32,
        replies: &mut Replies,
    ) {
        let held = self.heads.get(hint as usize).filter(|head| head.key == halves(request.key));
        let slot = match held.map(|_| hint as usize).or_else(|| self.find(request.key)) {
            Some(slot) => slot,
            None if request.streams == 0 => {
                answer_unknown(family, request.lookups, replies);
                return;
            }
            None => {
                self.sweep_when_due(family, request.time);
                self.insert(family, request.key)
            }
        };
        let head = &mut self.heads[slot];
        for (bit, stream) in family.streams.iter().enumerate() {
            if request.streams & (1 << bit) != 0 {
                head.expires = head.expires.max(request.time.saturating_add(stream.lifetime));
            }
        }
        self.state(family, slot).apply(family, zone, request, replies);
    }

    fn find(&self, key: Key) -> Option<usize> {
        let slot = self
            .slots
            .find(key.hash as u64, |slot| self.heads[*slot as usize].key == halves(key))?;
        let check = self.heads[*slot as usize].check;
        assert!(check == key.check, "two keys share the 128-bit hash {:032x}", key.hash);
        Some(*slot as usize)
    }

    fn insert(&mut self, family: &Family, key: Key) -> usize {
        let head = Head { key: halves(key), check: key.check, expires: i64::MIN };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.heads[slot as usize] = head;
                slot
            }
            None => {
                self.heads.push(head);
                let keys = self.heads.len();
                self.rings.resize_with(keys * family.streams.len(), Ring::default);
                self.cells.resize(keys * family.cells, 0);
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
            rings: part(&mut self.rings, slot, family.streams.len()),
            cells: part(&mut self.cells, slot, family.cells),
            tallies: part(&mut self.tallies, slot, family.tallies.len()),
            extremes: part(&mut self.extremes, slot, family.extremes),
            quantiles: part(&mut self.quantiles, slot, family.quantiles),
            texts: &mut self.texts,
        }
    }

    /// Drops the keys of which nothing is in any window any more. A sweep waits until the keys
    /// have doubled since the last one, or the longest stream has passed: so each key pays for a
    /// bounded number of looks, and memory follows the live keys.
    fn sweep_when_due(&mut self, family: &Family, now: i64) {
        const KEYS_MIN: usize = 32;
        let lifetime = family.streams.iter().map(|stream| stream.lifetime).max().unwrap_or(0);
        let doubled = self.slots.len() >= 2 * self.survivors + KEYS_MIN;
        if !doubled && now < self.swept_at.saturating_add(lifetime) {
            return;
        }
        for slot in 0..self.heads.len() {
            let head = self.heads[slot];
            if head.expires > now || head.key == [0; 2] {
                continue;
            }
            if let Ok(found) = self.slots.find_entry(head.key[0], |at| *at as usize == slot) {
                found.remove();
            }
            self.heads[slot].key = [0; 2];
            self.free.push(slot as u32);
            self.state(family, slot).clear(family);
        }
        self.survivors = self.slots.len();
        self.swept_at = now;
        if self.slots.is_empty() {
            *self = KeyGroup { swept_at: now, ..KeyGroup::default() };
        }
    }

    fn bytes(&self) -> usize {
        let rings: usize = self.rings.iter().map(Ring::heap_bytes).sum();
        let tallies: usize = self.tallies.iter().map(Tally::heap_bytes).sum();
        let quantiles: usize = self.quantiles.iter().map(Quantile::heap_bytes).sum();
        let extremes: usize = self.extremes.iter().map(|extreme| extreme.capacity() * 16).sum();
        self.slots.capacity() * 5
            + self.heads.capacity() * size_of::<Head>()
            + self.rings.capacity() * size_of::<Ring>()
            + self.cells.capacity() * 8
            + self.tallies.capacity() * size_of::<Tally>()
            + self.extremes.capacity() * size_of::<VecDeque<(u64, i64)>>()
            + self.quantiles.capacity() * size_of::<Quantile>()
            + rings
            + tallies
            + quantiles
            + extremes
    }
}

fn halves(key: Key) -> [u64; 2] {
    [key.hash as u64, (key.hash >> 64) as u64]
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

fn outputs(family: &Family, lookups: u32) -> impl Iterator<Item = &Output> {
    let wanted = move |(bit, _): &(usize, _)| lookups & (1 << bit) != 0;
    family.lookups.iter().enumerate().filter(wanted).flat_map(|(_, lookup)| &lookup.outputs)
}

impl Read {
    fn kind(self) -> Type {
        match self {
            Read::First { kind, .. } | Read::Latest { kind, .. } => kind,
            Read::Mean { .. }
            | Read::Stddev { .. }
            | Read::TopShare { .. }
            | Read::Entropy { .. } => Type::Double,
            _ => Type::Int,
        }
    }
}

impl KeyState<'_> {
    fn apply(
        &mut self,
        family: &Family,
        zone: &Zone,
        request: &Request<'_>,
        replies: &mut Replies,
    ) {
        for ring in 0..family.streams.len() {
            self.expire(family, ring, zone, request.time);
        }
        let start = replies.values.len();
        for output in outputs(family, request.lookups) {
            let early = output.before || request.streams & (1 << output.stream) == 0;
            let word =
                if early { self.read(family, zone, output, request.time, replies) } else { 0 };
            replies.values.push(word);
        }
        if request.streams == 0 {
            return;
        }
        for bit in 0..family.streams.len() {
            if request.streams & (1 << bit) != 0 {
                self.contribute(family, bit, request);
            }
        }
        for (at, output) in outputs(family, request.lookups).enumerate() {
            if !output.before && request.streams & (1 << output.stream) != 0 {
                let word = self.read(family, zone, output, request.time, replies);
                replies.values[start + at] = word;
            }
        }
    }

    /// Takes back what has left the stream's windows at `now`.
    fn expire(&mut self, family: &Family, ring: usize, zone: &Zone, now: i64) {
        let stream = &family.streams[ring];
        if self.rings[ring].len() == 0 {
            return;
        }
        let stride = stream.entry.len() + 1;
        let mut gone = usize::MAX;
        for plan in &stream.windows {
            let mut tail = self.cells[plan.tail] as usize;
            let held = &self.rings[ring];
            let is_out = |tail: usize| {
                tail < held.len()
                    && !contains(plan.window, zone, held.get(tail, stride)[0] as i64, now)
            };
            let start = tail;
            while is_out(tail) {
                tail += 1;
            }
            for at in start..tail {
                for fold in &plan.folds {
                    self.leave(family, ring, at, *fold);
                }
            }
            self.cells[plan.tail] = tail as u64;
            gone = gone.min(tail);
        }
        if stream.windows.is_empty() || gone == 0 {
            return;
        }
        for at in 0..gone {
            self.forget(family, ring, at);
        }
        self.rings[ring].pop(gone, stride);
        for plan in &stream.windows {
            self.cells[plan.tail] -= gone as u64;
        }
    }

    /// Gives up what the ring's entry at `at` holds elsewhere.
    fn forget(&mut self, family: &Family, ring: usize, at: usize) {
        let stream = &family.streams[ring];
        let entry = self.rings[ring].get(at, stream.entry.len() + 1);
        for (word, &value) in stream.entry.iter().zip(&entry[1..]) {
            match *word {
                EntryWord::Slot { tally, .. } if value != NULL_SLOT => {
                    let layout = Layout { windows: family.tallies[tally] };
                    self.tallies[tally].release(value as u32, layout);
                }
                EntryWord::Word { text: true, .. } => self.texts.release(value),
                _ => {}
            }
        }
    }

    fn leave(&mut self, family: &Family, ring: usize, at: usize, fold: Fold) {
        let stride = family.streams[ring].entry.len() + 1;
        let held = &self.rings[ring];
        let sequence = held.first() + at as u64;
        let entry = held.get(at, stride);
        match fold {
            Fold::Filled { entry: word, cell } => {
                self.cells[cell] -= u64::from(entry[word] as i64 != NULL_INT);
            }
            Fold::Sum { entry: word, cell } => {
                add(self.cells, cell, -int_or_zero(entry[word]));
            }
            Fold::Squares { entry: word, cell } => {
                add(self.cells, cell, -square(entry[word]));
            }
            Fold::Extreme { extreme, .. } => {
                let extreme = &mut self.extremes[extreme];
                if extreme.front().is_some_and(|(first, _)| *first == sequence) {
                    extreme.pop_front();
                }
            }
            Fold::Tally { entry: word, .. } => {
                if entry[word] != NULL_SLOT {
                    let slot = entry[word] as u32;
                    self.count(family, fold, slot, Tally::leave, -1);
                }
            }
            Fold::Quantile { entry: word, quantile, q } => {
                if entry[word] as i64 != NULL_INT {
                    self.quantiles[quantile].remove(entry[word] as i64, q);
                }
            }
        }
    }

    /// Counts a value in or out of a window.
    fn count(
        &mut self,
        family: &Family,
        fold: Fold,
        slot: u32,
        step: impl FnOnce(&mut Tally, usize, u32, Layout) -> Change,
        by: i64,
    ) {
        let Fold::Tally { tally, window, cells, top, entropy, .. } = fold else {
            return;
        };
        let layout = Layout { windows: family.tallies[tally] };
        let change = step(&mut self.tallies[tally], window, slot, layout);
        let distinct = i64::from(change.after > 0) - i64::from(change.before > 0);
        self.cells[cells] = self.cells[cells].wrapping_add_signed(distinct);
        self.cells[cells + 1] = self.cells[cells + 1].wrapping_add_signed(by);
        if top {
            self.tallies[tally].move_top(window, change);
        }
        if entropy {
            add(self.cells, cells + 2, surprisal_change(change));
        }
    }

    fn contribute(&mut self, family: &Family, ring: usize, request: &Request<'_>) {
        let stream = &family.streams[ring];
        if let Some(cell) = stream.newest {
            self.cells[cell] = request.time as u64;
        }
        for latest in &stream.latest {
            let mut word = request.words[latest.word];
            if word == null_word(latest.kind) || (latest.kind == Type::Double && is_nan(word)) {
                continue;
            }
            if latest.kind == Type::Str {
                if self.cells[latest.cell] != 0 {
                    self.texts.release(self.cells[latest.cell + 1]);
                }
                word = self.texts.hold(request.texts.get(word as usize));
            }
            self.cells[latest.cell] = request.time as u64;
            self.cells[latest.cell + 1] = word;
        }
        if stream.windows.is_empty() {
            return;
        }
        let entry = self.rings[ring].push(stream.entry.len() + 1);
        entry[0] = request.time as u64;
        for (word, place) in stream.entry.iter().zip(&mut entry[1..]) {
            *place = match *word {
                EntryWord::Word { word, text: false } => request.words[word],
                EntryWord::Word { word, text: true } => {
                    self.texts.hold(request.texts.get(request.words[word] as usize))
                }
                EntryWord::Slot { word, tally } => {
                    let (low, high) = (request.words[word], request.words[word + 1]);
                    match (low, high) {
                        (0, 0) => NULL_SLOT,
                        _ => {
                            let layout = Layout { windows: family.tallies[tally] };
                            u64::from(self.tallies[tally].hold([low, high], layout))
                        }
                    }
                }
            };
        }
        let at = self.rings[ring].len() - 1;
        for plan in &stream.windows {
            for fold in &plan.folds {
                self.enter(family, ring, at, *fold);
            }
        }
    }

    fn enter(&mut self, family: &Family, ring: usize, at: usize, fold: Fold) {
        let stride = family.streams[ring].entry.len() + 1;
        let held = &self.rings[ring];
        let sequence = held.first() + at as u64;
        let entry = held.get(at, stride);
        match fold {
            Fold::Filled { entry: word, cell } => {
                self.cells[cell] += u64::from(entry[word] as i64 != NULL_INT);
            }
            Fold::Sum { entry: word, cell } => add(self.cells, cell, int_or_zero(entry[word])),
            Fold::Squares { entry: word, cell } => add(self.cells, cell, square(entry[word])),
            Fold::Extreme { entry: word, extreme, max } => {
                let value = entry[word] as i64;
                if value != NULL_INT {
                    let extreme = &mut self.extremes[extreme];
                    let beaten =
                        |&(_, held): &(u64, i64)| if max { held <= value } else { held >= value };
                    while extreme.back().is_some_and(beaten) {
                        extreme.pop_back();
                    }
                    extreme.push_back((sequence, value));
                }
            }
            Fold::Tally { entry: word, .. } => {
                if entry[word] != NULL_SLOT {
                    let slot = entry[word] as u32;
                    self.count(family, fold, slot, Tally::enter, 1);
                }
            }
            Fold::Quantile { entry: word, quantile, q } => {
                if entry[word] as i64 != NULL_INT {
                    self.quantiles[quantile].insert(entry[word] as i64, q);
                }
            }
        }
    }

    fn read(
        &self,
        family: &Family,
        zone: &Zone,
        output: &Output,
        now: i64,
        replies: &mut Replies,
    ) -> u64 {
        let stream = &family.streams[output.stream];
        let ring = &self.rings[output.stream];
        let stride = stream.entry.len() + 1;
        let tail = |window: usize| self.cells[stream.windows[window].tail] as usize;
        let filled = |cell: usize| self.cells[cell];
        match output.read {
            Read::Count { window } => (ring.len() - tail(window)) as u64,
            Read::Sum { cell, .. } => {
                i64::try_from(wide(self.cells, cell)).unwrap_or(NULL_INT) as u64
            }
            Read::Extreme { extreme } => {
                self.extremes[extreme].front().map_or(NULL_INT, |(_, value)| *value) as u64
            }
            Read::First { window, entry, kind } => {
                let at = tail(window);
                if at == ring.len() {
                    return null_word(kind);
                }
                self.give(kind, ring.get(at, stride)[entry], replies)
            }
            Read::Latest { window, cell, kind } => {
                let time = self.cells[cell] as i64;
                if time == 0 || !contains(window, zone, time, now) {
                    return null_word(kind);
                }
                self.give(kind, self.cells[cell + 1], replies)
            }
            Read::Mean { sum, filled: cell, .. } => double(match filled(cell) {
                0 => None,
                count => Some(wide(self.cells, sum) as f64 / count as f64),
            }),
            Read::Stddev { sum, squares, filled: cell } => double(match filled(cell) {
                0 => None,
                count => Some(stddev(wide(self.cells, sum), wide(self.cells, squares), count)),
            }),
            Read::Distinct { cells } => self.cells[cells],
            Read::Quantile { quantile } => {
                self.quantiles[quantile].value().unwrap_or(NULL_INT) as u64
            }
            Read::SinceLast { window, cell } => {
                let time = self.cells[cell] as i64;
                if time == 0 || !contains(window, zone, time, now) {
                    return NULL_INT as u64;
                }
                (now - time) as u64
            }
            Read::TopShare { tally, window, cells } => double(match self.cells[cells + 1] {
                0 => None,
                total => Some(f64::from(self.tallies[tally].top(window)) / total as f64),
            }),
            Read::Entropy { cells } => double(match self.cells[cells + 1] {
                0 => None,
                total => Some(entropy(total, wide(self.cells, cells + 2))),
            }),
        }
    }

    fn give(&self, kind: Type, word: u64, replies: &mut Replies) -> u64 {
        if kind != Type::Str {
            return word;
        }
        replies.texts.push(&self.texts.texts[word as usize]);
        (replies.texts.len() - 1) as u64
    }

    fn clear(&mut self, family: &Family) {
        for (ring, stream) in family.streams.iter().enumerate() {
            for at in 0..self.rings[ring].len() {
                self.forget(family, ring, at);
            }
            for latest in stream.latest.iter().filter(|latest| latest.kind == Type::Str) {
                if self.cells[latest.cell] != 0 {
                    self.texts.release(self.cells[latest.cell + 1]);
                }
            }
        }
        self.rings.fill_with(Ring::default);
        self.cells.fill(0);
        self.tallies.fill_with(Tally::default);
        self.extremes.fill_with(VecDeque::new);
        self.quantiles.fill_with(Quantile::default);
    }
}

impl Texts {
    fn hold(&mut self, text: &str) -> u64 {
        match self.free.pop() {
            Some(place) => {
                self.texts[place as usize] = text.into();
                u64::from(place)
            }
            None => {
                self.texts.push(text.into());
                (self.texts.len() - 1) as u64
            }
        }
    }

    fn release(&mut self, place: u64) {
        if place != NULL_TEXT {
            self.texts[place as usize] = Box::default();
            self.free.push(place as u32);
        }
    }
}

/// Whether an event at `time` is in the window as of `now`.
fn contains(window: Window, zone: &Zone, time: i64, now: i64) -> bool {
    match window {
        Window::Span(span) => time > now - span,
        Window::Day => time >= zone.day_start(now),
        Window::Forever => true,
    }
}

fn int_or_zero(word: u64) -> i128 {
    if word as i64 == NULL_INT { 0 } else { i128::from(word as i64) }
}

fn square(word: u64) -> i128 {
    int_or_zero(word) * int_or_zero(word)
}

fn wide(cells: &[u64], cell: usize) -> i128 {
    (u128::from(cells[cell]) | u128::from(cells[cell + 1]) << 64) as i128
}

/// Wraps: what is taken back later is taken back exactly.
fn add(cells: &mut [u64], cell: usize, value: i128) {
    let sum = wide(cells, cell).wrapping_add(value) as u128;
    cells[cell] = sum as u64;
    cells[cell + 1] = (sum >> 64) as u64;
}

fn double(value: Option<f64>) -> u64 {
    value.unwrap_or(f64::NAN).to_bits()
}

fn is_nan(word: u64) -> bool {
    f64::from_bits(word).is_nan()
}

/// Population standard deviation: n sum x^2 - (sum x)^2 is exact; division and root come last.
fn stddev(sum: i128, squares: i128, count: u64) -> f64 {
    let n = i128::from(count);
    let spread = match (n.checked_mul(squares), sum.checked_mul(sum)) {
        (Some(squares), Some(square)) => (squares - square) as f64,
        _ => squares as f64 * count as f64 - sum as f64 * sum as f64,
    };
    (spread.max(0.0) / (count as f64 * count as f64)).sqrt()
}
