//! Events that come while a run goes on: they wait until nothing can come before them any more, and
//! leave in total order, each id once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::repeats::{First, Remembered};
use super::{Entry, Refused, Repeats, compare, entry};
use crate::event::{Chunk, Schema, Stored};
use crate::snapshot::{self, Broken};

/// Events of so many ms wait together: those of whom some leave are looked at one by one.
const SLOT: i64 = 64;

/// Events that wait for their turn in the total order.
pub struct Waiting {
    schema: Arc<Schema>,
    /// The chunks in which they stand; a place of which nothing is left is used again.
    chunks: Vec<Arc<Chunk>>,
    /// For each chunk, how many of its events wait.
    left: Vec<usize>,
    free: Vec<u32>,
    /// By effective time, in slots.
    entries: BTreeMap<i64, Vec<Entry>>,
    len: usize,
    /// Memory of the chunks, about.
    bytes: usize,
    remembered: Remembered,
}

/// What left together.
#[derive(Debug)]
pub struct Left {
    /// The events, in total order.
    pub chunk: Chunk,
    /// Their effective times.
    pub effective: Vec<i64>,
    /// Repeats of an event that left before, with the same body.
    pub duplicates: u64,
    /// Events that are refused for their id, in total order.
    pub refused: Vec<Refused>,
}

impl Waiting {
    /// Nothing waits, and no id is remembered; `dedup_window` is in ms.
    pub fn new(schema: Arc<Schema>, dedup_window: i64) -> Waiting {
        Waiting {
            schema,
            chunks: Vec::new(),
            left: Vec::new(),
            free: Vec::new(),
            entries: BTreeMap::new(),
            len: 0,
            bytes: 0,
            remembered: Remembered::new(dedup_window),
        }
    }

    /// Takes events with their effective times.
    pub fn push(&mut self, chunk: Chunk, effective: &[i64]) {
        let (rows, chunk) = (chunk.len(), Arc::new(chunk));
        if rows == 0 {
            return;
        }
        self.bytes += chunk.bytes();
        let place = match self.free.pop() {
            Some(place) => {
                (self.chunks[place as usize], self.left[place as usize]) = (chunk, rows);
                place as usize
            }
            None => {
                self.chunks.push(chunk);
                self.left.push(rows);
                self.chunks.len() - 1
            }
        };
        let chunk = &self.chunks[place];
        for row in 0..rows {
            let entry = entry(chunk, place, row, Some(effective));
            self.entries.entry(entry.effective.div_euclid(SLOT)).or_default().push(entry);
        }
        self.len += rows;
    }

    /// Lets out all events whose effective time is before `until`: the caller knows that no more of
    /// them will come.
    pub fn take(&mut self, until: i64) -> Left {
        let mut out = Vec::new();
        while let Some(mut slot) = self.entries.first_entry() {
            if slot.key() * SLOT >= until {
                break;
            }
            out.extend(slot.get_mut().extract_if(.., |entry| entry.effective < until));
            if !slot.get().is_empty() {
                break;
            }
            slot.remove();
        }
        self.len -= out.len();
        out.sort_unstable_by(|left, right| compare(&self.chunks, left, right));
        let mut repeats = Repeats::default();
        let stays = |entry: &&Entry| {
            let chunk = &self.chunks[entry.chunk as usize];
            let mark = self.remembered.next(entry, chunk);
            repeats.take(mark, chunk, entry.row as usize)
        };
        let kept: Vec<&Entry> = out.iter().filter(stays).collect();
        let rows: Vec<(u32, u32)> = kept.iter().map(|entry| (entry.chunk, entry.row)).collect();
        let effective = kept.iter().map(|entry| entry.effective).collect();
        let chunk = Chunk::gather(&self.schema, &self.chunks, &rows);
        self.let_go(&out);
        Left { chunk, effective, duplicates: repeats.duplicates, refused: repeats.refused }
    }

    /// All that waits and is remembered, as bytes.
    pub(crate) fn save(&self) -> Vec<u8> {
        let rows: Vec<(u32, u32)> = self.all().map(|entry| (entry.chunk, entry.row)).collect();
        let effective: Vec<i64> = self.all().map(|entry| entry.effective).collect();
        let chunk = Chunk::gather(&self.schema, &self.chunks, &rows);
        snapshot::encode(&(effective, chunk.stored(), self.remembered.kept()))
    }

    /// Takes in what was saved, where nothing waits and nothing is remembered.
    pub(crate) fn load(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let (effective, stored, kept): (Vec<i64>, Stored, Vec<First>) = snapshot::decode(bytes)?;
        self.push(Chunk::from_stored(&self.schema, stored), &effective);
        kept.into_iter().for_each(|first| self.remembered.remember(first));
        Ok(())
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// About how many bytes of memory they take up: a chunk is held until its last event leaves.
    pub fn bytes(&self) -> usize {
        self.bytes + self.len * size_of::<Entry>()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The latest effective time of those that wait.
    pub fn last(&self) -> Option<i64> {
        let (_, slot) = self.entries.last_key_value()?;
        slot.iter().map(|entry| entry.effective).max()
    }

    /// For each source below `sources`, the first line or offset of which an event waits.
    pub fn firsts(&self, sources: usize) -> Vec<Option<u64>> {
        let mut firsts: Vec<Option<u64>> = vec![None; sources];
        for entry in self.all() {
            let position = self.chunks[entry.chunk as usize].position(entry.row as usize);
            let first = &mut firsts[position.source as usize];
            *first = Some(first.map_or(position.at, |first| first.min(position.at)));
        }
        firsts
    }

    fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().flatten()
    }

    /// Gives chunks of which nothing waits any more back to memory.
    fn let_go(&mut self, out: &[Entry]) {
        for entry in out {
            let left = &mut self.left[entry.chunk as usize];
            *left -= 1;
            if *left == 0 {
                self.bytes -= self.chunks[entry.chunk as usize].bytes();
                self.chunks[entry.chunk as usize] = Arc::new(Chunk::gather(&self.schema, &[], &[]));
                self.free.push(entry.chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arrivals, Ordered};
    use super::*;
    use crate::event::{
        ACCOUNT_ID, ChunkBuilder, EVENT_ID, EVENT_TIME, GROUP_ID, KIND, Position, Raw,
    };

    const START: i64 = 1_707_480_000_000;
    const WINDOW: i64 = 400;

    /// Histories with repeats, conflicts and late events, let out at random times: what leaves, in
    /// which order and what is refused, is what a backtest of the same events puts in order.
    #[test]
    fn what_leaves_is_what_is_put_in_order_at_once() {
        for seed in 0..60_u64 {
            let mut state = seed;
            let mut random = move |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) % below
            };
            let schema = Arc::new(Schema::default());
            let mut waiting = Waiting::new(schema.clone(), WINDOW);
            let (mut arrivals, mut all) = (Arrivals::default(), Vec::new());
            let (mut watermark, mut until, mut at) = (START, i64::MIN, 0);
            let mut found = (Vec::new(), 0, Vec::new());
            let mut let_out = |waiting: &mut Waiting, until: i64| {
                let left = waiting.take(until);
                found.0.extend(shown(&left.chunk, &left.effective));
                found.1 += left.duplicates;
                found.2.extend(left.refused);
            };
            for _ in 0..40 {
                let mut builder = ChunkBuilder::new(schema.clone());
                let mut effective = Vec::new();
                for _ in 0..random(5) + 1 {
                    let time = START + random(900) as i64;
                    watermark = watermark.max(time - 300);
                    let (id, group) = (format!("e{}", random(40)), format!("g{}", random(2)));
                    let values = [
                        (EVENT_ID, Raw::Str(&id)),
                        (EVENT_TIME, Raw::Int(time)),
                        (KIND, Raw::Str("login")),
                        (ACCOUNT_ID, Raw::Str("u")),
                        (GROUP_ID, Raw::Str(&group)),
                    ];
                    builder.push(values, Position { source: 0, at }).unwrap();
                    effective.push(time.max(watermark));
                    at += 1;
                }
                let chunk = builder.finish();
                arrivals.chunks.push(Arc::new(chunk.clone()));
                all.push(effective.clone());
                waiting.push(chunk, &effective);
                if random(3) == 0 {
                    until = until.max(watermark);
                    let_out(&mut waiting, until);
                }
            }
            let_out(&mut waiting, i64::MAX);
            assert!(waiting.is_empty() && waiting.left.iter().all(|left| *left == 0));
            assert_eq!(waiting.bytes(), 0, "seed {seed}");
            arrivals.effective = Some(all);
            let ordered = Ordered::new(schema, arrivals, WINDOW, true);
            let slice = ordered.slice(0..ordered.len(), 0).unwrap();
            found.2.sort_unstable();
            assert_eq!(found.0, shown(&slice.chunk, &slice.effective), "seed {seed}");
            assert_eq!((found.1, found.2), (ordered.duplicates, ordered.refused), "seed {seed}");
        }
    }

    fn shown(chunk: &Chunk, effective: &[i64]) -> Vec<String> {
        let rows = 0..chunk.len();
        rows.map(|row| {
            format!("{} {:?} {}", effective[row], chunk.position(row), chunk.to_json(row))
        })
        .collect()
    }
}
