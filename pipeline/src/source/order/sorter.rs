//! Takes events while they are read, and writes what does not fit in memory to disk in sorted runs.

use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;

use super::blocks::{Block, BlockFile, rows_a_block};
use super::merge::{Run, Sorted, merge, whole_run};
use super::repeats::Remembered;
use super::{Arrivals, Entry, Held, Ordered, Repeats, sorted_entries};
use crate::diagnostic::Failure;
use crate::event::{Chunk, Schema};

/// The most runs that are merged at once: each has a block in memory and a file open meanwhile.
const RUNS_MERGED_MAX: usize = 32;

/// What an event takes up beside its columns while it is put in order and its id is looked up.
const ENTRY_BYTES: usize = size_of::<Entry>() + 2 * size_of::<u64>();

/// How much memory events may take up while they are put in order. No result depends on it.
#[derive(Clone, Debug)]
pub struct SortMemory {
    /// In bytes, about. Beside it stay 8 bytes an event, and 60 bytes or so for each id that is
    /// remembered: those of a dedup window.
    pub bytes: usize,
    /// Whose disk takes what is more. The files in it have no names; the folder is made where there
    /// is none.
    pub folder: PathBuf,
}

/// What was sorted on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OnDisk {
    /// The events, repeated ones too.
    pub events: u64,
    /// The sorted runs into which memory was emptied.
    pub runs: u64,
    /// What the files took up on disk in the end, in bytes: runs, and what they were merged into.
    pub bytes: u64,
}

/// Takes events in any order, and puts them in total order.
#[derive(Debug)]
pub struct Sorter {
    schema: Arc<Schema>,
    memory: Option<SortMemory>,
    held: Arrivals,
    held_bytes: usize,
    /// The runs, each with how often its events were merged before; the oldest were so most often.
    runs: Vec<(u32, Run)>,
    written: OnDisk,
    /// The bytes in memory of the events that are on disk, for the size of blocks.
    emptied_bytes: usize,
}

impl Sorter {
    /// A sorter with nothing in it; without a limit all stays in memory.
    pub fn new(schema: Arc<Schema>, memory: Option<SortMemory>) -> Sorter {
        Sorter {
            schema,
            memory,
            held: Arrivals::default(),
            held_bytes: 0,
            runs: Vec::new(),
            written: OnDisk::default(),
            emptied_bytes: 0,
        }
    }

    /// The schema of the events.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Whether a block's events fit in memory with those that are held. It may say no where they just
    /// would, and never yes where they would not.
    pub fn has_room(&self, chunks: &[Chunk]) -> bool {
        /// Effective times beside the chunk, in a vector that has doubled.
        const TIME_BYTES_MAX: usize = 2 * size_of::<i64>();
        let bytes = |chunk: &Chunk| chunk.bytes() + chunk.len() * (ENTRY_BYTES + TIME_BYTES_MAX);
        let bytes: usize = chunks.iter().map(bytes).sum();
        self.memory.as_ref().is_none_or(|memory| self.held_bytes + bytes <= memory.bytes)
    }

    /// Takes events with their effective times, or all without: those have their own times.
    pub fn push(&mut self, chunk: Chunk, effective: Option<Vec<i64>>) -> Result<(), Failure> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.held_bytes += chunk.bytes() + chunk.len() * ENTRY_BYTES;
        self.held.chunks.push(Arc::new(chunk));
        if let Some(effective) = effective {
            self.held_bytes += effective.capacity() * size_of::<i64>();
            self.held.effective.get_or_insert_default().push(effective);
        }
        match self.memory.clone().filter(|memory| self.held_bytes > memory.bytes) {
            Some(memory) => self.empty(&memory),
            None => Ok(()),
        }
    }

    /// Puts all in order and takes repeated ids out, as [`Ordered::new`] does; `stop` is asked now
    /// and then whether to give up.
    pub fn finish(
        mut self,
        dedup_window: i64,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ordered, Failure> {
        let Some(memory) = self.memory.clone().filter(|_| !self.runs.is_empty()) else {
            return Ok(Ordered::new(self.schema, self.held, dedup_window, true));
        };
        if !self.held.chunks.is_empty() {
            self.empty(&memory)?;
        }
        let on_disk = self.written;
        let rows = self.rows_a_block(&memory);
        let mut repeats = Repeats::default();
        let mut remembered = Remembered::new(dedup_window);
        let mut effective = Vec::with_capacity(on_disk.events as usize);
        let runs: Vec<Run> = self.runs.into_iter().map(|(_, run)| run).collect();
        let runs_bytes: u64 = runs.iter().map(Run::bytes).sum();
        let merged = merge(&self.schema, runs, &memory.folder, rows, stop, &mut |entry, chunk| {
            let mark = remembered.next(entry, chunk);
            let stays = repeats.take(mark, chunk, entry.row as usize);
            if stays {
                effective.push(entry.effective);
            }
            stays
        })?;
        let bytes = runs_bytes + merged.bytes();
        let sorted = Sorted::new(merged, rows, effective);
        let on_disk = Some(OnDisk { bytes, ..on_disk });
        Ok(repeats.ordered(self.schema, Held::Disk(sorted), on_disk))
    }

    /// Writes what is in memory to disk as a run.
    fn empty(&mut self, memory: &SortMemory) -> Result<(), Failure> {
        let (bytes, held) = (std::mem::take(&mut self.held_bytes), std::mem::take(&mut self.held));
        let (chunks, entries) = sorted_entries(held, true);
        let rows = rows_a_block(memory.bytes, bytes, entries.len());
        let mut file = BlockFile::create(&memory.folder).map_err(Failure::Environment)?;
        for entries in entries.chunks(rows * 2 * rayon::current_num_threads()) {
            let block = |entries: &[Entry]| self.block(&chunks, entries);
            let blocks: Vec<Block> = entries.par_chunks(rows).map(block).collect();
            file.append(&blocks).map_err(Failure::Environment)?;
        }
        self.emptied_bytes += bytes;
        self.written.events += entries.len() as u64;
        self.written.runs += 1;
        self.runs.push((0, Run::new(file)));
        self.merge_early(memory)
    }

    fn block(&self, chunks: &[Arc<Chunk>], entries: &[Entry]) -> Block {
        let rows: Vec<(u32, u32)> = entries.iter().map(|entry| (entry.chunk, entry.row)).collect();
        let effective = entries.iter().map(|entry| entry.effective).collect();
        Block { chunk: Arc::new(Chunk::gather(&self.schema, chunks, &rows)), effective }
    }

    fn rows_a_block(&self, memory: &SortMemory) -> usize {
        rows_a_block(memory.bytes, self.emptied_bytes, self.written.events as usize)
    }

    /// Merges runs of one size as soon as there are many: so few are left in the end, and no event
    /// is written more often than a few times.
    fn merge_early(&mut self, memory: &SortMemory) -> Result<(), Failure> {
        while let Some(&(level, _)) = self.runs.last()
            && let Some(start) = self.runs.len().checked_sub(RUNS_MERGED_MAX)
            && self.runs[start].0 == level
        {
            let runs = self.runs.drain(start..).map(|(_, run)| run).collect();
            let rows = self.rows_a_block(memory);
            let run = whole_run(&self.schema, runs, &memory.folder, rows)?;
            self.runs.push((level + 1, run));
        }
        Ok(())
    }
}
