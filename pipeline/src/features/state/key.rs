//! What is kept of one key, how a request changes it, and how features are read from it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::quantile::Quantile;
use super::recents::{self, Recents};
use super::ring::Ring;
use super::spread::{self, add_square, take_square};
use super::tally::{Change, Layout, Tally, entropy, surprisal_change};
use crate::event::{NULL_INT, Strings, Type};
use crate::expr::Zone;
use crate::features::declare::Window;
use crate::features::plan::{EntryWord, Family, Fold, Output, Read, Stream};
use crate::features::requests::null_word;
use crate::keyed::{Key, NULL_TEXT, Replies};

/// The null slot of a tally.
const NULL_SLOT: u64 = u64::MAX;

/// Texts that outlive their event.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Texts {
    texts: Vec<Box<str>>,
    free: Vec<u32>,
}

/// One request in hand.
pub(super) struct Request<'r> {
    pub(super) key: Key,
    pub(super) time: i64,
    pub(super) streams: u32,
    pub(super) lookups: u32,
    pub(super) words: &'r [u64],
    pub(super) texts: &'r Strings,
}

/// The state of one key.
pub(super) struct KeyState<'g> {
    pub(super) rings: &'g mut [Ring],
    pub(super) cells: &'g mut [u64],
    pub(super) recents: &'g mut [Recents],
    pub(super) tallies: &'g mut [Tally],
    pub(super) extremes: &'g mut [VecDeque<(u64, i64)>],
    pub(super) quantiles: &'g mut [Quantile],
    pub(super) texts: &'g mut Texts,
}

pub(super) fn outputs(family: &Family, lookups: u32) -> impl Iterator<Item = &Output> {
    let wanted = move |(bit, _): &(usize, _)| lookups & (1 << bit) != 0;
    family.lookups.iter().enumerate().filter(wanted).flat_map(|(_, lookup)| &lookup.outputs)
}

impl Read {
    pub(super) fn kind(self) -> Type {
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
    pub(super) fn apply(
        &mut self,
        family: &Family,
        zone: &Zone,
        request: &Request<'_>,
        replies: &mut Replies,
    ) {
        for stream in &family.streams {
            self.expire(family, stream, zone, request.time);
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
        for (bit, stream) in family.streams.iter().enumerate() {
            if request.streams & (1 << bit) != 0 {
                self.contribute(family, stream, request);
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
    fn expire(&mut self, family: &Family, stream: &Stream, zone: &Zone, now: i64) {
        for plan in &stream.recents {
            let recents = &mut self.recents[plan.recents];
            let mut live = 0;
            for &(window, cell) in &plan.windows {
                recents.advance(&mut self.cells[cell], |last| contains(window, zone, last, now));
                live = live.max(recents::count(self.cells[cell]));
            }
            recents.keep(live);
            recents.compact(self.cells, plan.windows.iter().map(|(_, cell)| *cell));
        }
        let Some(ring) = stream.ring.filter(|ring| self.rings[*ring].len() > 0) else {
            return;
        };
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
                    self.leave(family, (ring, at, stride), *fold);
                }
            }
            self.cells[plan.tail] = tail as u64;
            gone = gone.min(tail);
        }
        if gone == 0 {
            return;
        }
        if stream.entry.iter().any(|word| word.is_held_elsewhere()) {
            for at in 0..gone {
                self.forget(family, stream, ring, at);
            }
        }
        self.rings[ring].pop(gone, stride);
        for plan in &stream.windows {
            self.cells[plan.tail] -= gone as u64;
        }
        self.compact_tallies(family, stream, ring);
    }

    /// Gives back room that the tallies of a ring do not need any more.
    fn compact_tallies(&mut self, family: &Family, stream: &Stream, ring: usize) {
        let (ring, stride) = (&mut self.rings[ring], stream.entry.len() + 1);
        for (word, held) in (1..).zip(&stream.entry) {
            let EntryWord::Slot { tally, .. } = *held else { continue };
            let layout = Layout { windows: family.tallies[tally] };
            let Some(moved) = self.tallies[tally].compact(ring.len(), layout) else { continue };
            for at in 0..ring.len() {
                let slot = ring.word_mut(at, stride, word);
                if *slot != NULL_SLOT {
                    *slot = u64::from(moved[*slot as usize]);
                }
            }
        }
    }

    /// Gives up what the ring's entry at `at` holds elsewhere.
    fn forget(&mut self, family: &Family, stream: &Stream, ring: usize, at: usize) {
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

    fn leave(&mut self, family: &Family, place: (usize, usize, usize), fold: Fold) {
        let (ring, at, stride) = place;
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
                take_square(self.cells, cell, int_or_zero(entry[word]));
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
        self.cells[cells] = self.cells[cells].wrapping_add_signed(by);
        if top {
            self.tallies[tally].move_top(window, change);
        }
        if entropy {
            add(self.cells, cells + 1, surprisal_change(change));
        }
    }

    fn contribute(&mut self, family: &Family, stream: &Stream, request: &Request<'_>) {
        if let Some(cell) = stream.newest {
            self.cells[cell] = request.time as u64;
        }
        if let Some(cell) = stream.oldest
            && self.cells[cell] == 0
        {
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
        for plan in &stream.recents {
            let value = [request.words[plan.word], request.words[plan.word + 1]];
            if value != [0, 0] {
                let cells = plan.windows.iter().map(|(_, cell)| *cell);
                self.recents[plan.recents].see(value, request.time, self.cells, cells);
            }
        }
        let Some(ring) = stream.ring else { return };
        let stride = stream.entry.len() + 1;
        let entry = self.rings[ring].push(stride);
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
                self.enter(family, (ring, at, stride), *fold);
            }
        }
    }

    fn enter(&mut self, family: &Family, place: (usize, usize, usize), fold: Fold) {
        let (ring, at, stride) = place;
        let held = &self.rings[ring];
        let sequence = held.first() + at as u64;
        let entry = held.get(at, stride);
        match fold {
            Fold::Filled { entry: word, cell } => {
                self.cells[cell] += u64::from(entry[word] as i64 != NULL_INT);
            }
            Fold::Sum { entry: word, cell } => add(self.cells, cell, int_or_zero(entry[word])),
            Fold::Squares { entry: word, cell } => {
                add_square(self.cells, cell, int_or_zero(entry[word]));
            }
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
        let ring = stream.ring.map(|ring| &self.rings[ring]);
        let stride = stream.entry.len() + 1;
        let tail = |window: usize| self.cells[stream.windows[window].tail] as usize;
        let filled = |cell: usize| self.cells[cell];
        match output.read {
            Read::Count { window } => ring.map_or(0, |ring| ring.len() - tail(window)) as u64,
            Read::Sum { cell, .. } => {
                i64::try_from(wide(self.cells, cell)).unwrap_or(NULL_INT) as u64
            }
            Read::Extreme { extreme } => {
                self.extremes[extreme].front().map_or(NULL_INT, |(_, value)| *value) as u64
            }
            Read::First { window, entry, kind } => {
                let at = tail(window);
                match ring.filter(|ring| at < ring.len()) {
                    Some(ring) => self.give(kind, ring.get(at, stride)[entry], replies),
                    None => null_word(kind),
                }
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
                count => {
                    let (sum, squares) =
                        (wide(self.cells, sum), spread::squares(self.cells, squares));
                    Some(spread::stddev(sum, squares, count))
                }
            }),
            Read::Distinct { cell } => recents::count(self.cells[cell]),
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
            Read::SinceFirst { cell } => match self.cells[cell] as i64 {
                0 => NULL_INT as u64,
                first => (now - first) as u64,
            },
            Read::TopShare { tally, window, cells } => double(match self.cells[cells] {
                0 => None,
                total => Some(f64::from(self.tallies[tally].top(window)) / total as f64),
            }),
            Read::Entropy { cells } => double(match self.cells[cells] {
                0 => None,
                total => Some(entropy(total, wide(self.cells, cells + 1))),
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

    /// Gives back what a key takes up of which nothing is in any window that has an end, but
    /// something stays for good, where it does not sleep.
    pub(super) fn rest(&mut self, family: &Family, zone: &Zone, now: i64) {
        for stream in &family.streams {
            self.expire(family, stream, zone, now);
        }
        // An empty ring may number its entries anew: no extreme refers to any.
        for ring in self.rings.iter_mut().filter(|ring| ring.len() == 0) {
            *ring = Ring::default();
        }
        for extreme in self.extremes.iter_mut().filter(|extreme| extreme.is_empty()) {
            *extreme = VecDeque::new();
        }
    }

    pub(super) fn clear(&mut self, family: &Family) {
        for stream in &family.streams {
            if let Some(ring) = stream.ring {
                for at in 0..self.rings[ring].len() {
                    self.forget(family, stream, ring, at);
                }
            }
            for latest in stream.latest.iter().filter(|latest| latest.kind == Type::Str) {
                if self.cells[latest.cell] != 0 {
                    self.texts.release(self.cells[latest.cell + 1]);
                }
            }
        }
        self.rings.fill_with(Ring::default);
        self.cells.fill(0);
        self.recents.fill_with(Recents::default);
        self.tallies.fill_with(Tally::default);
        self.extremes.fill_with(VecDeque::new);
        self.quantiles.fill_with(Quantile::default);
    }
}

impl Texts {
    /// Heap bytes in use.
    pub(super) fn heap_bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len()).sum();
        self.texts.capacity() * size_of::<Box<str>>() + texts + self.free.capacity() * 4
    }

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
