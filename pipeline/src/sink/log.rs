//! The tamper-evident log: the digest of all decisions so far, block by block.
//!
//! `log/blocks.jsonl` has a line a block: the number of its first decision, how many it has, and
//! BLAKE3 over the canonical lines of *all* decisions up to its end. To change, drop, insert or
//! swap a decision changes every digest from its block on; the last one is the run's
//! `decisions_digest`, and the root of the log.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde::Deserialize;

use crate::decision::{DecisionBatch, Lines, Names};

/// The file of the blocks in the log's directory.
pub const BLOCKS_FILE: &str = "blocks.jsonl";

/// Decisions of a block, the last one's fewer: a constant of the format, so that the log does not
/// depend on how a run was cut up.
pub const BLOCK_DECISIONS: u64 = 4096;

/// Lines are hashed when there are so many bytes of them: enough for all lanes of the hash, few
/// enough to lie in the processor's cache still, where they were written.
const HASHED_BYTES: usize = 64 << 10;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The number of its first decision, from 0.
    pub first: u64,
    /// How many decisions it has.
    pub count: u64,
    /// BLAKE3 over all decisions up to its end, in hexadecimal.
    pub digest: String,
}

/// The blocks of decisions that come one after the other.
pub struct Blocks {
    hasher: blake3::Hasher,
    /// Lines that are not hashed yet.
    lines: String,
    first: u64,
    count: u64,
    /// The lines of the blocks that are whole.
    sealed: String,
}

impl Default for Blocks {
    fn default() -> Blocks {
        let (lines, sealed) = (String::new(), String::new());
        Blocks { hasher: blake3::Hasher::new(), lines, first: 0, count: 0, sealed }
    }
}

impl Blocks {
    /// Appends the decisions of a batch.
    pub fn append(&mut self, batch: &DecisionBatch, names: &Names) {
        let lines = Lines::new(names);
        for at in 0..batch.rows.len() {
            lines.write(batch, at, &mut self.lines);
            self.appended();
        }
    }

    /// Appends a decision as its canonical line, which ends it.
    pub fn append_line(&mut self, line: &str) {
        self.lines.push_str(line);
        self.appended();
    }

    fn appended(&mut self) {
        self.count += 1;
        if self.count == BLOCK_DECISIONS {
            self.hash();
            let block = self.block();
            self.sealed.push_str(&block);
            self.first += self.count;
            self.count = 0;
        } else if self.lines.len() >= HASHED_BYTES {
            self.hash();
        }
    }

    /// The lines of all blocks, that in hand as if it were the last, and the digest of all decisions.
    pub fn so_far(&mut self) -> (String, blake3::Hash) {
        self.hash();
        let last = if self.count > 0 { self.block() } else { String::new() };
        (format!("{}{last}", self.sealed), self.hasher.finalize())
    }

    fn hash(&mut self) {
        self.hasher.update(self.lines.as_bytes());
        self.lines.clear();
    }

    /// The line of the block in hand, all of whose decisions are hashed.
    fn block(&self) -> String {
        let Blocks { first, count, hasher, .. } = self;
        let digest = hasher.finalize();
        format!("{{\"first\":{first},\"count\":{count},\"digest\":\"{digest}\"}}\n")
    }
}

/// The log in the making.
pub struct Log {
    file: BufWriter<File>,
    blocks: Blocks,
}

impl Log {
    /// Creates the directory and the file in it.
    pub fn create(directory: &Path) -> Result<Log, String> {
        let path = directory.join(BLOCKS_FILE);
        let file = std::fs::create_dir_all(directory)
            .and_then(|()| File::create(&path))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Log { file: BufWriter::new(file), blocks: Blocks::default() })
    }

    /// Appends the decisions of a batch.
    pub fn append(&mut self, batch: &DecisionBatch, names: &Names) -> Result<(), String> {
        self.blocks.append(batch, names);
        let sealed = std::mem::take(&mut self.blocks.sealed);
        self.file.write_all(sealed.as_bytes()).map_err(unwritten)
    }

    /// Seals the last block and gives the digest of all decisions.
    pub fn close(mut self) -> Result<blake3::Hash, String> {
        let (last, digest) = self.blocks.so_far();
        self.file.write_all(last.as_bytes()).and_then(|()| self.file.flush()).map_err(unwritten)?;
        Ok(digest)
    }
}

fn unwritten(error: std::io::Error) -> String {
    format!("cannot write the log: {error}")
}
