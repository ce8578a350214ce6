//! One partition of the input log, read from a file or while it grows: how its records become
//! events, and how far its watermark is.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::json::{Keys, Record};
use super::super::sink::{Block, Sink, Target};
use super::control::Heartbeat;
use super::frames;
use crate::event::{Chunk, EVENT_TIME, FieldId, Schema};

/// How far one partition has come.
#[derive(Clone, Debug)]
pub struct Watermark {
    /// What is to come, by offset.
    heartbeats: VecDeque<Heartbeat>,
    lateness: i64,
    /// The largest event time accepted so far, or given by a heartbeat.
    event_time_max: i64,
}

impl Watermark {
    /// A partition of which nothing has been read, with the allowed lateness in ms. The heartbeats
    /// are its own, in the order of offsets.
    pub fn new(lateness: i64, heartbeats: impl IntoIterator<Item = Heartbeat>) -> Watermark {
        let heartbeats = heartbeats.into_iter().collect();
        Watermark { heartbeats, lateness, event_time_max: i64::MIN }
    }

    /// Every record before `next_offset` has passed: heartbeats that hold from there on apply.
    pub fn pass(&mut self, next_offset: u64) {
        while let Some(next) =
            self.heartbeats.front().filter(|next| next.next_offset <= next_offset)
        {
            self.event_time_max = self.event_time_max.max(next.event_time_max);
            self.heartbeats.pop_front();
        }
    }

    /// Takes the record at `offset`, and says its effective time.
    pub fn accept(&mut self, offset: u64, event_time: i64) -> i64 {
        self.pass(offset);
        self.event_time_max = self.event_time_max.max(event_time);
        event_time.max(self.time())
    }

    /// Events of up to that time have been accepted before.
    pub(crate) fn reach(&mut self, event_time: i64) {
        self.event_time_max = self.event_time_max.max(event_time);
    }

    /// Adds a heartbeat behind those that are to come.
    pub fn push(&mut self, heartbeat: Heartbeat) {
        self.heartbeats.push_back(heartbeat);
    }

    /// The watermark in ms: whatever comes counts as of then at the earliest. [`i64::MIN`] where
    /// nothing has been accepted.
    pub fn time(&self) -> i64 {
        self.event_time_max.saturating_sub(self.lateness)
    }

    /// The largest event time accepted so far, or given by a heartbeat; [`i64::MIN`] for none.
    pub fn event_time_max(&self) -> i64 {
        self.event_time_max
    }

    /// The effective times of the partition's next events.
    pub(super) fn effective_times(&mut self, chunk: &Chunk) -> Vec<i64> {
        (0..chunk.len())
            .map(|row| self.accept(chunk.position(row).at, chunk.int(EVENT_TIME, row)))
            .collect()
    }
}

/// A record as it came to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its place in the partition.
    pub offset: u64,
    /// When it was appended, in ms since 1970 UTC.
    pub append_time: i64,
    /// Its bytes; none where the record has no value.
    pub value: Vec<u8>,
}

impl Arrived {
    /// The record as the line of a partition file, without the newline.
    pub fn to_line(&self) -> String {
        frames::line(self)
    }
}

/// Makes events of records as a replay of their log does.
pub struct Decoder {
    schema: Arc<Schema>,
    keys: Keys,
    target: Target,
    max_ahead: i64,
}

impl Decoder {
    /// For records of that schema; one whose time is more than `max_ahead` ms after it was appended
    /// is refused.
    pub fn new(schema: Arc<Schema>, max_ahead: i64) -> Decoder {
        let names: Vec<String> = schema.fields().iter().map(|field| field.name.clone()).collect();
        let fields = (0..names.len()).map(|at| (FieldId(at as u16), at)).collect();
        Decoder { schema, keys: Keys::new(names), target: Target::Fields(fields), max_ahead }
    }

    /// Whether ids are replaced: then nothing of a record is kept that is no event.
    pub(crate) fn replaces_ids(&self) -> bool {
        self.schema.pseudonyms().is_some()
    }

    /// The events and rejects of a partition's next records, both in the order of offsets.
    pub fn decode(&self, partition: u32, records: &[Arrived]) -> Block {
        let mut sink = Sink::new(partition, &self.schema, &self.target, records.len());
        let mut record = Record::new(&self.keys);
        for arrived in records {
            let latest = arrived.append_time.saturating_add(self.max_ahead);
            frames::take(&mut record, &arrived.value, (arrived.offset, latest), &mut sink);
        }
        sink.finish()
    }
}
