//! Blocks of events on disk: columns, encoded, compressed, and checked when they are read back.
//!
//! The files have no names. Whatever ends the program, a signal or a lost machine included, the
//! system takes their space back, and nobody else can open them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use crate::diagnostic::Message;
use crate::event::{Chunk, Schema, Stored};

/// The most events of a block: enough for columns to compress well, few enough that a merge of many
/// runs holds a block of each.
const BLOCK_ROWS_MAX: usize = 4096;

/// What a block takes up in memory, about, where its events are long or memory is small.
const BLOCK_BYTES: std::ops::RangeInclusive<usize> = 1 << 12..=1 << 20;

/// The part of the memory that a block may take up: a merge has a block of each of some 32 runs, and
/// those that it is writing.
const MEMORY_A_BLOCK: usize = 64;

/// Compresses several times faster than it is read from a disk.
const ZSTD_LEVEL: i32 = 1;

/// How many events a block is to have with so much memory, where `rows` events take up `bytes`.
pub(super) fn rows_a_block(memory: usize, bytes: usize, rows: usize) -> usize {
    let block = (memory / MEMORY_A_BLOCK).clamp(*BLOCK_BYTES.start(), *BLOCK_BYTES.end());
    (block / (bytes / rows.max(1)).max(1)).clamp(1, BLOCK_ROWS_MAX)
}

/// Consecutive events, in order.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) chunk: Arc<Chunk>,
    /// Their effective times.
    pub(super) effective: Vec<i64>,
}

/// Where a block is in its file.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    bytes: u32,
    /// Of the bytes: what a disk gives back changed must not be decided on.
    checksum: u64,
}

/// A file of blocks.
#[derive(Debug)]
pub(super) struct BlockFile {
    file: File,
    folder: PathBuf,
    places: Vec<Place>,
    bytes: u64,
}

impl BlockFile {
    /// A new file on the disk of that folder.
    pub(super) fn create(folder: &Path) -> Result<BlockFile, Message> {
        let file = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
        let file = file.map_err(|error| unwritable(folder, &error))?;
        Ok(BlockFile { file, folder: folder.to_owned(), places: Vec::new(), bytes: 0 })
    }

    /// Appends blocks, which are compressed side by side.
    pub(super) fn append(&mut self, blocks: &[Block]) -> Result<(), Message> {
        let encoded: Vec<io::Result<Vec<u8>>> = blocks.par_iter().map(Block::encode).collect();
        for bytes in encoded {
            let written = bytes.and_then(|bytes| self.file.write_all(&bytes).map(|()| bytes));
            let bytes = written.map_err(|error| unwritable(&self.folder, &error))?;
            let checksum = xxh3_64(&bytes);
            self.places.push(Place { offset: self.bytes, bytes: bytes.len() as u32, checksum });
            self.bytes += bytes.len() as u64;
        }
        Ok(())
    }

    /// The block of that number, as it was appended. Threads may read at the same time.
    pub(super) fn read(&self, schema: &Arc<Schema>, number: usize) -> Result<Block, Message> {
        let Place { offset, bytes, checksum } = self.places[number];
        let mut encoded = vec![0; bytes as usize];
        let read = self.file.read_exact_at(&mut encoded, offset);
        read.map_err(|error| self.unreadable(&error.to_string()))?;
        if xxh3_64(&encoded) != checksum {
            return Err(self.unreadable("what was read is not what was written"));
        }
        Block::decode(schema, &encoded).map_err(|error| self.unreadable(&error.to_string()))
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Its size.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn unreadable(&self, why: &str) -> Message {
        let folder = self.folder.display();
        Message::new(
            format!("cannot read back the events that were sorted on disk in {folder}: {why}"),
            format!("无法读回在 {folder} 中磁盘排序的事件:{why}"),
        )
    }
}

fn unwritable(folder: &Path, error: &io::Error) -> Message {
    let folder = folder.display();
    Message::new(
        format!("cannot sort events on disk in {folder}: {error}"),
        format!("无法在 {folder} 中对事件进行磁盘排序:{error}"),
    )
}

impl Block {
    fn encode(&self) -> io::Result<Vec<u8>> {
        let plain = postcard::to_stdvec(&(&self.effective, self.chunk.stored()));
        zstd::bulk::compress(&plain.map_err(io::Error::other)?, ZSTD_LEVEL)
    }

    fn decode(schema: &Arc<Schema>, bytes: &[u8]) -> io::Result<Block> {
        let plain = zstd::stream::decode_all(bytes)?;
        let stored = postcard::from_bytes::<(Vec<i64>, Stored)>(&plain);
        let (effective, stored) = stored.map_err(io::Error::other)?;
        Ok(Block { chunk: Arc::new(Chunk::from_stored(schema, stored)), effective })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        ACCOUNT_ID, ChunkBuilder, EVENT_ID, EVENT_TIME, KIND, Position, Raw, VERIFIED,
    };

    fn block(schema: &Arc<Schema>) -> Block {
        let mut builder = ChunkBuilder::new(schema.clone());
        for at in 0..100_u64 {
            let id = format!("e{at}");
            let values = [
                (EVENT_ID, Raw::Str(&id)),
                (EVENT_TIME, Raw::Int(1_707_480_000_000 + at as i64)),
                (KIND, Raw::Str("account")),
                (ACCOUNT_ID, Raw::Str("红线")),
                (VERIFIED, if at % 3 == 0 { Raw::Null } else { Raw::Bool(at % 3 == 1) }),
            ];
            builder.push(values, Position { source: 7, at }).unwrap();
        }
        let effective = (0..100).collect();
        Block { chunk: Arc::new(builder.finish()), effective }
    }

    fn rows(block: &Block) -> Vec<(serde_json::Value, Position, i64)> {
        let row = |row| (block.chunk.to_json(row), block.chunk.position(row), block.effective[row]);
        (0..block.chunk.len()).map(row).collect()
    }

    #[test]
    fn what_comes_back_is_what_was_written_or_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let schema = Arc::new(Schema::default());
        let mut file = BlockFile::create(folder.path()).unwrap();
        file.append(&[block(&schema), block(&schema)]).unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "the file has no name");
        let back = file.read(&schema, 1).unwrap();
        assert_eq!(rows(&back), rows(&block(&schema)));

        let shown = folder.path().display().to_string();
        // Any bit of the second block, and then its end.
        let start = file.places[1].offset;
        for offset in start..file.bytes {
            let mut byte = [0];
            file.file.read_exact_at(&mut byte, offset).unwrap();
            file.file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
            let message = file.read(&schema, 1).unwrap_err();
            assert!(message.en.contains("not what was written"), "{message:?}");
            assert!(message.en.contains(&shown) && message.zh.contains(&shown));
            file.file.write_all_at(&byte, offset).unwrap();
        }
        assert!(file.read(&schema, 1).is_ok());
        file.file.set_len(file.bytes - 1).unwrap();
        assert!(file.read(&schema, 1).unwrap_err().en.contains("cannot read back"));
        assert!(file.read(&schema, 0).is_ok());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let message = BlockFile::create(&file.join("run")).unwrap_err();
        assert!(message.en.contains(&file.display().to_string()), "{message:?}");
    }
}
