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

/// The log in the making.
pub struct Log {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    /// Lines that are not hashed yet.
    lines: String,
    first: u64,
    count: u64,
}

impl Log {
    /// Creates the directory and the file in it.
    pub fn create(directory: &Path) -> Result<Log, String> {
        let path = directory.join(BLOCKS_FILE);
        let file = std::fs::create_dir_all(directory)
            .and_then(|()| File::create(&path))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Log {
            file: BufWriter::new(file),
            hasher: blake3::Hasher::new(),
            lines: String::new(),
            first: 0,
            count: 0,
        })
    }

    /// Appends the decisions of a batch.
    pub fn append(&mut self, batch: &DecisionBatch, names: &Names) -> Result<(), String> {
        let lines = Lines::new(names);
        for at in 0..batch.rows.len() {
            lines.write(batch, at, &mut self.lines);
            self.count += 1;
            if self.count == BLOCK_DECISIONS {
                self.seal()?;
            } else if self.lines.len() >= HASHED_BYTES {
                self.hash();
            }
        }
        Ok(())
    }

    /// Seals the last block and gives the digest of all decisions.
    pub fn close(mut self) -> Result<blake3::Hash, String> {
        if self.count > 0 {
            self.seal()?;
        }
        self.file.flush().map_err(|error| format!("cannot write the log: {error}"))?;
        Ok(self.hasher.finalize())
    }

    fn hash(&mut self) {
        self.hasher.update(self.lines.as_bytes());
        self.lines.clear();
    }

    fn seal(&mut self) -> Result<(), String> {
        self.hash();
        let (first, count, digest) = (self.first, self.count, self.hasher.finalize());
        writeln!(self.file, r#"{{"first":{first},"count":{count},"digest":"{digest}"}}"#)
            .map_err(|error| format!("cannot write the log: {error}"))?;
        self.first += count;
        self.count = 0;
        Ok(())
    }
}
