//! The total order of a run's events: effective time, event time, sequence, id as bytes.
//!
//! Everything that must not depend on chunking, row order or timing is settled here, before the
//! dataflow sees an event: which of two events comes first, and which of two with one id counts.
//!
//! Events that fit in memory stay there ([`Ordered::new`]). A [`Sorter`] takes them while they are
//! read, and writes what does not fit to disk in sorted runs, which it merges into one sorted file
//! in the end. Nothing but time and memory depends on which of the two happened.

mod blocks;
mod merge;
mod repeats;
mod sorter;
mod waiting;

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::sorter::{OnDisk, SortMemory, Sorter};
pub use self::waiting::{Left, Waiting};

use self::merge::Sorted;
use self::repeats::{Mark, mark_repeats};
use crate::diagnostic::Message;
use crate::event::{
    Chunk, EVENT_ID, EVENT_TIME, FieldId, NULL_INT, Position, RejectCode, SEQ, Schema, Value,
};

/// Events with their effective times, as they enter the order.
#[derive(Debug, Default)]
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
    events: Held,
    /// Repeats of an accepted event, with the same body.
    pub duplicates: u64,
    /// Events whose id was used before by another body, or that come too late to tell.
    pub refused: Vec<Refused>,
    /// What was sorted on disk, if anything was.
    pub on_disk: Option<OnDisk>,
}

/// Where the events are.
#[derive(Debug)]
enum Held {
    Memory { chunks: Vec<Arc<Chunk>>, entries: Vec<Entry> },
    Disk(Sorted),
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its events.
    pub events: Range<usize>,
    /// Its time in the dataflow: later than every event of the steps before, and not later than
    /// any of its own.
    pub time: i64,
    /// The end of its time: later than all of its events, and not later than any that comes after.
    pub until: i64,
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
        let (chunks, mut entries) = sorted_entries(arrivals, sorted);
        let marks = mark_repeats(&chunks, &entries, dedup_window);
        let mut repeats = Repeats::default();
        if marks.iter().any(|mark| *mark != Mark::Keep) {
            let mut marks = marks.into_iter();
            entries.retain(|entry| {
                let mark = marks.next().unwrap_or(Mark::Keep);
                repeats.take(mark, &chunks[entry.chunk as usize], entry.row as usize)
            });
        }
        repeats.ordered(schema, Held::Memory { chunks, entries }, None)
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        match &self.events {
            Held::Memory { entries, .. } => entries.len(),
            Held::Disk(sorted) => sorted.effective().len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The effective time of the first event; 0 where there is none.
    pub fn start(&self) -> i64 {
        if self.is_empty() { 0 } else { self.effective(0) }
    }

    /// The effective time of the last event; 0 where there is none.
    pub fn end(&self) -> i64 {
        self.len().checked_sub(1).map_or(0, |last| self.effective(last))
    }

    fn effective(&self, at: usize) -> i64 {
        match &self.events {
            Held::Memory { entries, .. } => entries[at].effective,
            Held::Disk(sorted) => sorted.effective()[at],
        }
    }

    /// How many events at the beginning of `range` have an effective time of which that is true.
    fn run_of(&self, range: Range<usize>, holds: impl Fn(i64) -> bool) -> usize {
        match &self.events {
            Held::Memory { entries, .. } => {
                entries[range].partition_point(|entry| holds(entry.effective))
            }
            Held::Disk(sorted) => sorted.effective()[range].partition_point(|time| holds(*time)),
        }
    }

    /// Cuts the order into steps of whole ticks, each closed as soon as it has `batch` events, and
    /// at each of the effective times `cuts`, which rise, whatever the ticks: an event at a cut is
    /// after it.
    pub fn steps(&self, tick: i64, batch: usize, cuts: &[i64]) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut start = 0;
        for epoch in 0..=cuts.len() {
            let ended = |end: &i64| self.run_of(0..self.len(), |time| time < *end);
            let end = cuts.get(epoch).map_or(self.len(), ended);
            let since = epoch.checked_sub(1).map_or(i64::MIN, |before| cuts[before]);
            self.steps_within(start..end, (tick, batch), (since, epoch), &mut steps);
            start = end;
        }
        let ends: Vec<i64> = steps.iter().skip(1).map(|step| step.time).collect();
        steps.iter_mut().zip(ends).for_each(|(step, end)| step.until = end);
        steps
    }

    fn steps_within(
        &self,
        range: Range<usize>,
        (tick, batch): (i64, usize),
        (since, epoch): (i64, usize),
        steps: &mut Vec<Step>,
    ) {
        let tick_of = |at: usize| self.effective(at).div_euclid(tick);
        let mut start = range.start;
        while start < range.end {
            let mut end = start.saturating_add(batch.max(1)).min(range.end);
            let last = tick_of(end - 1);
            end += self.run_of(end..range.end, |time| time.div_euclid(tick) <= last);
            // A tick that is cut begins anew at the cut: no two steps have one time.
            let time = (tick_of(start) * tick).max(since);
            // Until there is a step after it.
            let until = self.effective(end - 1).saturating_add(1);
            steps.push(Step { events: start..end, time, until, epoch });
            start = end;
        }
    }

    /// The events at `range` as a slice of `step`. It fails where they are on disk and cannot be
    /// read back as they were written.
    pub fn slice(&self, range: Range<usize>, step: usize) -> Result<Slice, Message> {
        let first = range.start as u64;
        let (chunk, effective) = match &self.events {
            Held::Memory { chunks, entries } => {
                let entries = &entries[range];
                let rows: Vec<(u32, u32)> =
                    entries.iter().map(|entry| (entry.chunk, entry.row)).collect();
                let effective = entries.iter().map(|entry| entry.effective).collect();
                (Chunk::gather(&self.schema, chunks, &rows), effective)
            }
            Held::Disk(sorted) => {
                let effective = sorted.effective()[range.clone()].to_vec();
                (sorted.chunk(&self.schema, range)?, effective)
            }
        };
        Ok(Slice { chunk, effective, step, first })
    }

    /// The schema of the events.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }
}

/// What is found of repeated ids.
#[derive(Default)]
struct Repeats {
    duplicates: u64,
    refused: Vec<Refused>,
}

impl Repeats {
    /// Takes note of what becomes of the event at `row`, and says whether it stays.
    fn take(&mut self, mark: Mark, chunk: &Chunk, row: usize) -> bool {
        if let Some(code) = mark.code() {
            let (position, raw) = (chunk.position(row), chunk.to_json(row).to_string());
            self.refused.push(Refused { position, code, raw });
        }
        self.duplicates += u64::from(mark == Mark::Duplicate);
        mark == Mark::Keep
    }

    fn ordered(mut self, schema: Arc<Schema>, events: Held, on_disk: Option<OnDisk>) -> Ordered {
        self.refused.sort_unstable();
        let (duplicates, refused) = (self.duplicates, self.refused);
        Ordered { schema, events, duplicates, refused, on_disk }
    }
}

/// Whether the events of a chunk are in total order, with their effective times.
pub(crate) fn is_ordered(chunk: &Chunk, effective: &[i64]) -> bool {
    let entries = (0..chunk.len()).map(|row| entry(chunk, 0, row, Some(effective)));
    entries.is_sorted_by(|left, right| {
        let tied = || compare_ties((chunk, left.row), (chunk, right.row));
        left.numbers().cmp(&right.numbers()).then_with(tied).is_le()
    })
}

/// The chunks, and the places of their events, in order unless `sorted` is false.
fn sorted_entries(arrivals: Arrivals, sorted: bool) -> (Vec<Arc<Chunk>>, Vec<Entry>) {
    let chunks = arrivals.chunks;
    let mut entries = entries(&chunks, arrivals.effective.as_deref());
    let compare = |left: &Entry, right: &Entry| compare(&chunks, left, right);
    let in_order = |pair: &[Entry]| compare(&pair[0], &pair[1]).is_le();
    if sorted && !entries.par_windows(2).all(in_order) {
        entries.par_sort_unstable_by(compare);
    }
    (chunks, entries)
}

fn entries(chunks: &[Arc<Chunk>], effective: Option<&[Vec<i64>]>) -> Vec<Entry> {
    /// Entries that one thread makes in a row.
    const STRETCH: usize = 1 << 14;
    let ends = chunks.iter().scan(0, |end, chunk| {
        *end += chunk.len();
        Some(*end)
    });
    let ends: Vec<usize> = ends.collect();
    let events = ends.last().copied().unwrap_or(0);
    let place = |chunk: &mut usize, at: usize| {
        while at >= ends[*chunk] {
            *chunk += 1;
        }
        let own = effective.map(|effective| effective[*chunk].as_slice());
        let row = at - (ends[*chunk] - chunks[*chunk].len());
        entry(&chunks[*chunk], *chunk, row, own)
    };
    (0..events).into_par_iter().with_min_len(STRETCH).map_init(|| 0, place).collect()
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

impl Entry {
    fn numbers(&self) -> (i64, i64, i64) {
        (self.effective, self.event_time, self.seq)
    }
}

fn compare(chunks: &[Arc<Chunk>], left: &Entry, right: &Entry) -> Ordering {
    left.numbers().cmp(&right.numbers()).then_with(|| {
        let chunk = |entry: &Entry| &*chunks[entry.chunk as usize];
        compare_ties((chunk(left), left.row), (chunk(right), right.row))
    })
}

/// The total order of events at rows of chunks that agree in their numbers. Where they have one id
/// too, only the first is kept: bodies are told apart by what they say, so that which of them counts
/// does not depend on the row order of the files, and what is wholly equal by where it came from.
fn compare_ties((left, left_row): (&Chunk, u32), (right, right_row): (&Chunk, u32)) -> Ordering {
    let (left_row, right_row) = (left_row as usize, right_row as usize);
    let (left_id, right_id) = (left.str(EVENT_ID, left_row), right.str(EVENT_ID, right_row));
    left_id
        .as_bytes()
        .cmp(right_id.as_bytes())
        .then_with(|| compare_bodies((left, left_row), (right, right_row)))
        .then_with(|| left.position(left_row).cmp(&right.position(right_row)))
}

/// By kind, and then by the first field that differs.
fn compare_bodies(
    (left, left_row): (&Chunk, usize),
    (right, right_row): (&Chunk, usize),
) -> Ordering {
    left.kind(left_row).cmp(&right.kind(right_row)).then_with(|| {
        (0..left.schema().fields().len() as u16)
            .map(FieldId)
            .map(|id| compare_values(left.value(id, left_row), right.value(id, right_row)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    })
}

/// Any order will do that is the same for ever: it is that of the values as they are written down for
/// whoever looks for mistakes, where zero has a sign.
fn compare_values(left: Value<'_>, right: Value<'_>) -> Ordering {
    let is_same = match (left, right) {
        (Value::Double(left), Value::Double(right)) => left.to_bits() == right.to_bits(),
        _ => left == right,
    };
    // Most often nothing need be written.
    if is_same { Ordering::Equal } else { format!("{left:?}").cmp(&format!("{right:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_the_order_of_what_is_written_of_them() {
        let numbers = [0.0, -0.0, 1.5, -1.5, 1e300, 10.0, 9.0].map(Value::Double);
        let whole = [0, -1, 9, 10, i64::MAX].map(Value::Int);
        let texts = ["a", "ab", "红", "\n", "\"", "Z"].map(Value::Str);
        let others = [Value::Null, Value::Bool(false), Value::Bool(true)];
        let all: Vec<Value<'_>> = [&numbers[..], &whole, &texts, &others].concat();
        for left in &all {
            for right in &all {
                let written = format!("{left:?}").cmp(&format!("{right:?}"));
                assert_eq!(compare_values(*left, *right), written, "{left:?} {right:?}");
            }
        }
    }
}
