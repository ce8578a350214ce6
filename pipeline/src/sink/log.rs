//! The tamper-evident log: the digest of all decisions so far, block by block.
//!
//! `log/blocks.jsonl` has a line a block: the number of its first decision, how many it has, and
//! BLAKE3 over the canonical lines of *all* decisions up to its end. To change, drop, insert or
//! swap a decision changes every digest from its block on; the last one is the run's
//! `decisions_digest`, and the root of the log.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// Decisions of a block, the last one's fewer: a constant of the format, so that the log does not
/// depend on how a run was cut up.
pub const BLOCK_DECISIONS: u64 = 4096;

/// The log in the making.
pub struct Log {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    first: u64,
    count: u64,
}

impl Log {
    /// Creates the directory and the file in it.
    pub fn create(directory: &Path) -> Result<Log, String> {
        let path = directory.join("blocks.jsonl");
        let file = std::fs::create_dir_all(directory)
            .and_then(|()| File::create(&path))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Log { file: BufWriter::new(file), hasher: blake3::Hasher::new(), first: 0, count: 0 })
    }

    /// Appends decisions: `lines` holds `count` lines.
    pub fn append(&mut self, mut count: u64, mut lines: &str) -> Result<(), String> {
        while self.count + count >= BLOCK_DECISIONS {
            let wanted = BLOCK_DECISIONS - self.count;
            let end = match memchr::memchr_iter(b'\n', lines.as_bytes()).nth(wanted as usize - 1) {
                Some(newline) => newline + 1,
                None => lines.len(),
            };
            self.hasher.update(&lines.as_bytes()[..end]);
            self.count += wanted;
            self.seal()?;
            lines = &lines[end..];
            count -= wanted;
        }
        self.hasher.update(lines.as_bytes());
        self.count += count;
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

    fn seal(&mut self) -> Result<(), String> {
        let (first, count, digest) = (self.first, self.count, self.hasher.finalize());
        writeln!(self.file, r#"{{"first":{first},"count":{count},"digest":"{digest}"}}"#)
            .map_err(|error| format!("cannot write the log: {error}"))?;
        self.first += count;
        self.count = 0;
        Ok(())
    }
}
