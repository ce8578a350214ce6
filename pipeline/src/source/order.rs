//! The total order of a run's events: effective time, event time, sequence, id as bytes.
//!
//! Everything that must not depend on chunking, row order or timing is settled here, before the
//! dataflow sees an event: which of two events comes first, and which of two with one id counts.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashTable;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use crate::event::{Chunk, EVENT_ID, EVENT_TIME, NULL_INT, Position, RejectCode, SEQ, Schema};

/// Events with their effective times, as they enter the order.
#[derive(Debug)]
pub struct Arrivals {
    /// The chunks.
    pub chunks: Vec<Arc<Chunk>>,
    /// For each chunk, the events' effective times; none means each event's own time.
    pub effective: Option<Vec<Vec<i64>>>,
}

/// One event's place.
#[derive(Clone, Copy, Debug)]
struct Entry {
    effective: i64,
    event_time: i64,
    seq: i64,
    chunk: u32,
    row: u32,
}

/// All events of a run in total order, each id once.
#[derive(Debug)]
pub struct Ordered {
    schema: Arc<Schema>,
    chunks: Vec<Arc<Chunk>>,
    entries: Vec<Entry>,
    /// Repeats of an accepted event, with the same body.
    pub duplicates: u64,
    /// Events whose id was used before by another body, or that come too late to tell.
    pub refused: Vec<Refused>,
}

/// An event that was refused in the order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// Where it came from.
    pub position: Position,
    /// Why.
    pub code: RejectCode,
    /// The event as a JSON object.
    pub raw: String,
}

/// A part of the order that goes through the dataflow together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its events.
    pub events: Range<usize>,
    /// Its time in the dataflow: later than every event of the steps before, and not later than
    /// any of its own.
    pub time: i64,
    /// How many of the cuts are before it.
    pub epoch: usize,
}

/// A contiguous part of the order, in columns.
#[derive(Debug)]
pub struct Slice {
    /// The events.
    pub chunk: Chunk,
    /// Their effective times.
    pub effective: Vec<i64>,
    /// The step to which the slice belongs.
    pub step: usize,
    /// The place of its first event in the order of the whole run.
    pub first: u64,
}

impl Slice {
    /// Whether the event came after the watermark had passed its time.
    pub fn late(&self, row: usize) -> bool {
        self.effective[row] > self.chunk.int(EVENT_TIME, row)
    }
}

impl Ordered {
    /// Puts events in order and takes repeated ids out. `sorted: false` leaves them as they came:
    /// the negative control of the order tests, and nothing else.
    pub fn new(
        schema: Arc<Schema>,
        arrivals: Arrivals,
        dedup_window: i64,
        sorted: bool,
    ) -> Ordered {
        let chunks = arrivals.chunks;
        let mut entries = entries(&chunks, arrivals.effective.as_deref());
        let compare = |left: &Entry, right: &Entry| compare(&chunks, left, right);
        if sorted && !entries.is_sorted_by(|left, right| compare(left, right).is_le()) {
            entries.par_sort_unstable_by(compare);
        }
        let marks = mark_repeats(&chunks, &entries, dedup_window);
        let mut ordered = Ordered {
            schema,
            duplicates: 0,
            refused: Vec::new(),
            entries: Vec::new(),
            chunks: Vec::new(),
        };
        if marks.iter().any(|mark| *mark != Mark::Keep) {
            ordered.take_out(&chunks, &mut entries, &marks);
        }
        Ordered { chunks, entries, ..ordered }
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The effective time of the first event; 0 where there is none.
    pub fn start(&self) -> i64 {
        self.entries.first().map_or(0, |entry| entry.effective)
    }

    /// The effective time of the last event; 0 where there is none.
    pub fn end(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.effective)
    }

    /// Cuts the order into steps of whole ticks, each closed as soon as it has `batch` events, and
    /// at each of the effective times `cuts`, which rise, whatever the ticks: an event at a cut is
    /// after it.
    pub fn steps(&self, tick: i64, batch: usize, cuts: &[i64]) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut start = 0;
        for epoch in 0..=cuts.len() {
            let ended = |end: &i64| self.entries.partition_point(|entry| entry.effective < *end);
            let end = cuts.get(epoch).map_or(self.entries.len(), ended);
            let since = epoch.checked_sub(1).map_or(i64::MIN, |before| cuts[before]);
            self.steps_within(start..end, (tick, batch), (since, epoch), &mut steps);
            start = end;
        }
        steps
    }

    fn steps_within(
        &self,
        range: Range<usize>,
        (tick, batch): (i64, usize),
        (since, epoch): (i64, usize),
        steps: &mut Vec<Step>,
    ) {
        let tick_of = |at: usize| self.entries[at].effective.div_euclid(tick);
        let mut start = range.start;
        while start < range.end {
            let mut end = (start + batch.max(1)).min(range.end);
            let last = tick_of(end - 1);
            end += self.entries[end..range.end]
                .partition_point(|entry| entry.effective.div_euclid(tick) <= last);
            // A tick that is cut begins anew at the cut: no two steps have one time.
            let time = (tick_of(start) * tick).max(since);
            steps.push(Step { events: start..end, time, epoch });
            start = end;
        }
    }

    /// The events at `range` as a slice of `step`.
    pub fn slice(&self, range: Range<usize>, step: usize) -> Slice {
        let entries = &self.entries[range.clone()];
        let rows: Vec<(u32, u32)> = entries.iter().map(|entry| (entry.chunk, entry.row)).collect();
        Slice {
            chunk: Chunk::gather(&self.schema, &self.chunks, &rows),
            effective: entries.iter().map(|entry| entry.effective).collect(),
            step,
            first: range.start as u64,
        }
    }

    /// The schema of the events.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn take_out(&mut self, chunks: &[Arc<Chunk>], entries: &mut Vec<Entry>, marks: &[Mark]) {
        for (entry, mark) in entries.iter().zip(marks) {
            let code = match mark {
                Mark::Keep => continue,
                Mark::Duplicate => {
                    self.duplicates += 1;
                    continue;
                }
                Mark::Conflict => RejectCode::IdConflict,
                Mark::TooOld => RejectCode::TooOld,
            };
            let (chunk, row) = (&chunks[entry.chunk as usize], entry.row as usize);
            let (position, raw) = (chunk.position(row), chunk.to_json(row).to_string());
            self.refused.push(Refused { position, code, raw });
        }
        self.refused.sort_unstable();
        let mut kept = marks.iter().map(|mark| *mark == Mark::Keep);
        entries.retain(|_| kept.next().unwrap_or(true));
    }
}

fn entries(chunks: &[Arc<Chunk>], effective: Option<&[Vec<i64>]>) -> Vec<Entry> {
    let parts: Vec<Vec<Entry>> = chunks
        .par_iter()
        .enumerate()
        .map(|(at, chunk)| {
            let own = effective.map(|effective| effective[at].as_slice());
            (0..chunk.len()).map(|row| entry(chunk, at, row, own)).collect()
        })
        .collect();
    parts.concat()
}

fn entry(chunk: &Chunk, at: usize, row: usize, effective: Option<&[i64]>) -> Entry {
    let event_time = chunk.int(EVENT_TIME, row);
    let seq = chunk.int(SEQ, row);
    Entry {
        effective: effective.map_or(event_time, |effective| effective[row]),
        event_time,
        seq: if seq == NULL_INT { 0 } else { seq },
        chunk: at as u32,
        row: row as u32,
    }
}

fn id<'c>(chunks: &'c [Arc<Chunk>], entry: &Entry) -> &'c str {
    chunks[entry.chunk as usize].str(EVENT_ID, entry.row as usize)
}

/// The total order. Where two events agree in all four, the later in input order comes later, so
/// that sorting them is stable; they have one id, and only the first is kept.
fn compare(chunks: &[Arc<Chunk>], left: &Entry, right: &Entry) -> Ordering {
    let numbers = |entry: &Entry| (entry.effective, entry.event_time, entry.seq);
    numbers(left)
        .cmp(&numbers(right))
        .then_with(|| id(chunks, left).as_bytes().cmp(id(chunks, right).as_bytes()))
        .then_with(|| body_order(chunks, left, right))
}

/// Tells bodies with one id at one place of the order apart by what they say, so that which of
/// them counts does not depend on the row order of the files.
fn body_order(chunks: &[Arc<Chunk>], left: &Entry, right: &Entry) -> Ordering {
    let body = |entry: &Entry| {
        let chunk = &chunks[entry.chunk as usize];
        let row = entry.row as usize;
        let fields = 0..chunk.schema().fields().len() as u16;
        let values: Vec<String> = fields
            .map(|field| format!("{:?}", chunk.value(crate::event::FieldId(field), row)))
            .collect();
        (chunk.kind(row), values)
    };
    body(left).cmp(&body(right))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Keep,
    Duplicate,
    Conflict,
    TooOld,
}

/// Marks what has an id that was used before: the first in order counts. An id is remembered
/// until effective time has passed its event time by the window; what is older than that when it
/// comes can no longer be told from a repeat.
fn mark_repeats(chunks: &[Arc<Chunk>], entries: &[Entry], window: i64) -> Vec<Mark> {
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
