//! Where decoders hand over their records: each becomes an event (or two, if a mapping file also
//! makes a label of it) or a reject.

use super::mapping::Bound;
use super::reject::Reject;
use crate::event::{Chunk, ChunkBuilder, FieldId, Position, Raw, Refusal, Schema};
use std::sync::Arc;

/// The largest chunk, in rows: small enough that its columns stay in the cache while an operator
/// walks them, large enough that a call a chunk costs nothing a row.
pub const CHUNK_ROWS_MAX: usize = 65_536;

/// Why a record was refused that could not be read at all, where ids are replaced.
const NOT_SHOWN: &str = "it cannot be read in its format; it is not shown, as ids are replaced";

/// What one block of a file held.
#[derive(Debug)]
pub struct Block {
    /// Index into the run's inputs.
    pub source: u32,
    /// The events, in the order of the file.
    pub chunks: Vec<Chunk>,
    /// The refused records, in the order of the file.
    pub rejects: Vec<Reject>,
    /// Every record seen: events and rejects together. A row that also makes a label is two.
    pub records: u64,
    /// Rows that make no label because the condition of labels meets a null in them.
    pub unlabelled: u64,
}

impl Block {
    /// With nothing in it yet.
    pub(super) fn of(source: u32) -> Block {
        Block { source, chunks: Vec::new(), rejects: Vec::new(), records: 0, unlabelled: 0 }
    }
}

/// A record as a decoder found it: a raw value a column.
pub(super) trait Row {
    /// The value of a column; [`Raw::Null`] if the record has none.
    fn get(&self, column: usize) -> Raw<'_>;
}

/// What becomes of the columns of one file.
pub(super) enum Target {
    /// Columns that carry the names of fields: the field, and the column that holds it.
    Fields(Vec<(FieldId, usize)>),
    /// Columns that a mapping file turns into fields.
    Mapped(Bound),
}

/// Gathers one block.
pub(super) struct Sink<'t> {
    target: &'t Target,
    builder: ChunkBuilder,
    block: Block,
}

impl<'t> Sink<'t> {
    /// For a block of about `rows` records.
    pub(super) fn new(source: u32, schema: &Arc<Schema>, target: &'t Target, rows: usize) -> Self {
        Sink {
            target,
            builder: ChunkBuilder::with_room(schema.clone(), rows.min(CHUNK_ROWS_MAX)),
            block: Block::of(source),
        }
    }

    /// Takes the record at line or row `at`; `raw` gives its bytes, should it be refused.
    pub(super) fn record(&mut self, row: &impl Row, at: u64, raw: impl Fn() -> Vec<u8>) {
        self.record_until(row, at, i64::MAX, raw);
    }

    /// The same, where the event may be no later than `latest`.
    pub(super) fn record_until(
        &mut self,
        row: &impl Row,
        at: u64,
        latest: i64,
        raw: impl Fn() -> Vec<u8>,
    ) {
        let position = Position { source: self.block.source, at };
        let target = self.target;
        match target {
            Target::Fields(fields) => {
                let values = fields.iter().map(|&(field, column)| (field, row.get(column)));
                let result = self.builder.push_until(values, position, latest);
                self.count(result, at, raw);
            }
            Target::Mapped(bound) => {
                let builder = &mut self.builder;
                let mut results = [None, None];
                let unlabelled = bound.apply(row, builder, position, &mut results);
                self.block.unlabelled += u64::from(unlabelled);
                for result in results.into_iter().flatten() {
                    self.count(result, at, &raw);
                }
            }
        }
        if self.builder.len() >= CHUNK_ROWS_MAX - 1 {
            self.block.chunks.push(self.builder.finish());
        }
    }

    /// Refuses a record that could not be read in its format.
    pub(super) fn refuse(&mut self, at: u64, refusal: Refusal, raw: &[u8]) {
        // What a decoder says may quote the record.
        let refusal = match self.builder.so_far().schema().pseudonyms() {
            Some(_) => Refusal::new(refusal.code, NOT_SHOWN),
            None => refusal,
        };
        self.count(Err(refusal), at, || raw.to_vec());
    }

    pub(super) fn finish(mut self) -> Block {
        if !self.builder.is_empty() {
            self.block.chunks.push(self.builder.finish());
        }
        self.block
    }

    fn count(&mut self, result: Result<(), Refusal>, at: u64, raw: impl Fn() -> Vec<u8>) {
        self.block.records += 1;
        if let Err(refusal) = result {
            // No pseudonym can be put into what is no event.
            let raw = match self.builder.so_far().schema().pseudonyms() {
                Some(_) => Vec::new(),
                None => raw(),
            };
            self.block.rejects.push(Reject::new(self.block.source, at, refusal, &raw));
        }
    }
}
