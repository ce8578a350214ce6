//! Merges sorted runs into one sorted file, and reads that file back.

use std::cmp::Ordering;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::blocks::{Block, BlockFile};
use super::{Entry, compare_ties, entry};
use crate::diagnostic::{Failure, Message};
use crate::event::{Chunk, Schema};

/// The blocks that were read last and stay in memory: neighbouring slices share one.
const BLOCKS_KEPT: usize = 8;

/// Events in order, on disk.
#[derive(Debug)]
pub(super) struct Run {
    file: BlockFile,
}

impl Run {
    pub(super) fn new(file: BlockFile) -> Run {
        Run { file }
    }

    /// Its size on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.file.bytes()
    }
}

/// Merges runs into a file with so many events a block, all but those that `keep` does not want.
/// A run's file is gone when its last event has passed.
pub(super) fn merge(
    schema: &Arc<Schema>,
    runs: Vec<Run>,
    folder: &Path,
    rows_a_block: usize,
    stop: &dyn Fn() -> bool,
    keep: &mut dyn FnMut(&Entry, &Chunk) -> bool,
) -> Result<BlockFile, Failure> {
    let mut heads = BinaryHeap::with_capacity(runs.len());
    for run in runs {
        heads.extend(Head::first(schema, run).map_err(Failure::Environment)?);
    }
    let file = BlockFile::create(folder).map_err(Failure::Environment)?;
    let mut output = Output::new(schema, file, rows_a_block);
    while let Some(mut head) = heads.peek_mut() {
        if keep(&head.entry, &head.at.block.chunk) {
            output.take(&mut head);
            if output.is_full() {
                if stop() {
                    return Err(Failure::Interrupted);
                }
                output.close_block().map_err(Failure::Environment)?;
            }
        }
        if !head.advance(schema).map_err(Failure::Environment)? {
            PeekMut::pop(head);
        }
    }
    output.finish().map_err(Failure::Environment)
}

/// Merges runs into one run of all their events.
pub(super) fn whole_run(
    schema: &Arc<Schema>,
    runs: Vec<Run>,
    folder: &Path,
    rows_a_block: usize,
) -> Result<Run, Failure> {
    merge(schema, runs, folder, rows_a_block, &|| false, &mut |_, _| true).map(Run::new)
}

/// The first event of a run that has not passed.
struct Head {
    entry: Entry,
    at: Box<At>,
}

/// Where a run stands.
struct At {
    run: Run,
    block: Block,
    next_block: usize,
    /// The place of the block's chunk among those of the output block of that number.
    place: Option<(usize, u32)>,
}

impl Head {
    /// The head of a run; none where it is empty.
    fn first(schema: &Arc<Schema>, run: Run) -> Result<Option<Head>, Message> {
        if run.file.len() == 0 {
            return Ok(None);
        }
        let block = run.file.read(schema, 0)?;
        let at = Box::new(At { run, block, next_block: 1, place: None });
        Ok(Some(Head { entry: at.entry(0), at }))
    }

    fn event(&self) -> (&Chunk, u32) {
        (&self.at.block.chunk, self.entry.row)
    }

    /// Goes to the next event, and says whether there is one.
    fn advance(&mut self, schema: &Arc<Schema>) -> Result<bool, Message> {
        let at = &mut *self.at;
        let mut row = self.entry.row as usize + 1;
        if row == at.block.effective.len() {
            if at.next_block == at.run.file.len() {
                return Ok(false);
            }
            at.block = at.run.file.read(schema, at.next_block)?;
            at.next_block += 1;
            at.place = None;
            row = 0;
        }
        self.entry = at.entry(row);
        Ok(true)
    }
}

impl At {
    fn entry(&self, row: usize) -> Entry {
        entry(&self.block.chunk, 0, row, Some(&self.block.effective))
    }
}

impl Ord for Head {
    /// The first event is the greatest, for the heap has the greatest on top.
    fn cmp(&self, other: &Head) -> Ordering {
        other
            .entry
            .numbers()
            .cmp(&self.entry.numbers())
            .then_with(|| compare_ties(other.event(), self.event()))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

/// A sorted file in the making.
struct Output<'s> {
    schema: &'s Arc<Schema>,
    file: BlockFile,
    rows_a_block: usize,
    /// The number of the block in the making.
    number: usize,
    /// The chunks from which its events come, and the events.
    chunks: Vec<Arc<Chunk>>,
    rows: Vec<(u32, u32)>,
    effective: Vec<i64>,
    /// Blocks that wait to be compressed side by side.
    ready: Vec<Block>,
}

impl Output<'_> {
    fn new(schema: &Arc<Schema>, file: BlockFile, rows_a_block: usize) -> Output<'_> {
        Output {
            schema,
            file,
            rows_a_block,
            number: 0,
            chunks: Vec::new(),
            rows: Vec::new(),
            effective: Vec::new(),
            ready: Vec::new(),
        }
    }

    fn take(&mut self, head: &mut Head) {
        let place = match head.at.place {
            Some((number, place)) if number == self.number => place,
            _ => {
                self.chunks.push(head.at.block.chunk.clone());
                (self.chunks.len() - 1) as u32
            }
        };
        head.at.place = Some((self.number, place));
        self.rows.push((place, head.entry.row));
        self.effective.push(head.entry.effective);
    }

    fn is_full(&self) -> bool {
        self.rows.len() == self.rows_a_block
    }

    fn close_block(&mut self) -> Result<(), Message> {
        let chunk = Chunk::gather(self.schema, &self.chunks, &self.rows);
        let effective = std::mem::take(&mut self.effective);
        self.ready.push(Block { chunk: Arc::new(chunk), effective });
        self.chunks.clear();
        self.rows.clear();
        self.number += 1;
        if self.ready.len() >= 2 * rayon::current_num_threads() {
            self.file.append(&self.ready)?;
            self.ready.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<BlockFile, Message> {
        if !self.rows.is_empty() {
            self.close_block()?;
        }
        self.file.append(&self.ready)?;
        Ok(self.file)
    }
}

/// All events of a run in total order, on disk; their effective times are in memory.
#[derive(Debug)]
pub(super) struct Sorted {
    file: BlockFile,
    /// The events of every block but the last.
    rows_a_block: usize,
    effective: Vec<i64>,
    /// The blocks that were read last, by number.
    kept: Mutex<VecDeque<(usize, Arc<Chunk>)>>,
}

impl Sorted {
    pub(super) fn new(file: BlockFile, rows_a_block: usize, effective: Vec<i64>) -> Sorted {
        Sorted { file, rows_a_block, effective, kept: Mutex::default() }
    }

    /// The effective times of all events.
    pub(super) fn effective(&self) -> &[i64] {
        &self.effective
    }

    /// The events at `range`.
    pub(super) fn chunk(
        &self,
        schema: &Arc<Schema>,
        range: Range<usize>,
    ) -> Result<Chunk, Message> {
        if range.is_empty() {
            return Ok(Chunk::gather(schema, &[], &[]));
        }
        let first = range.start / self.rows_a_block;
        let last = (range.end - 1) / self.rows_a_block;
        let blocks = (first..=last).map(|number| self.block(schema, number));
        let blocks: Vec<Arc<Chunk>> = blocks.collect::<Result<_, _>>()?;
        let place =
            |at: usize| ((at / self.rows_a_block - first) as u32, (at % self.rows_a_block) as u32);
        let rows: Vec<(u32, u32)> = range.map(place).collect();
        Ok(Chunk::gather(schema, &blocks, &rows))
    }

    fn block(&self, schema: &Arc<Schema>, number: usize) -> Result<Arc<Chunk>, Message> {
        // A thread that panicked here left the list whole: no step of it can fail half done.
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, chunk)) = kept().iter().find(|(held, _)| *held == number) {
            return Ok(chunk.clone());
        }
        let chunk = self.file.read(schema, number)?.chunk;
        let mut kept = kept();
        kept.truncate(BLOCKS_KEPT - 1);
        kept.push_front((number, chunk.clone()));
        Ok(chunk)
    }
}
