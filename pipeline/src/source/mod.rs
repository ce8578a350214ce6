//! Reading events from files: CSV, JSON lines (both also compressed) and Parquet, as they are or
//! through a mapping file; and from an input log ([`log`]). Every record becomes an event or a
//! reject; nothing is lost, and a bad record never stops the run.
//!
//! Files are cut into blocks of whole records, blocks are decoded in parallel, and what comes out
//! stands in the order of the files whatever the size of the blocks and the number of threads.

mod ahead;
mod columns;
mod csv;
mod feed;
mod file;
mod json;
pub mod intake;
pub mod log;
pub mod mapping;
pub mod order;
mod parquet;
mod reject;
mod rejects;
mod sink;
mod split;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

pub(crate) use self::feed::unknown_extension;
pub use self::file::{Compression, Format, format_of};
pub use self::mapping::Mapping;
pub use self::reject::{Origin, RAW_BYTES_MAX, Reject};
pub use self::rejects::Rejects;
pub use self::sink::{Block, CHUNK_ROWS_MAX};
pub(crate) use self::split::BOM;

use self::feed::Feed;
use crate::diagnostic::{Diagnostic, Failure, Message, Severity, Sources};
use crate::event::{Chunk, RECORD_BYTES_MAX, Refusal, RejectCode, Schema};

/// The size of the blocks into which text files are cut: large enough that a task a block costs
/// nothing, small enough that a few of them a thread fit in the cache.
pub const BLOCK_BYTES: usize = 1 << 18;

/// One file to read.
#[derive(Clone, Debug)]
pub struct Input {
    /// The file.
    pub path: PathBuf,
    /// What turns its columns into fields; without one they carry the names of fields.
    pub mapping: Option<Arc<Mapping>>,
}

impl Input {
    /// A file whose columns carry the names of fields.
    pub fn plain(path: impl Into<PathBuf>) -> Self {
        Input { path: path.into(), mapping: None }
    }
}

/// Who watches the reading, and may end it.
pub trait Progress: Sync {
    /// The reading is about to begin; the inputs have so many bytes on disk.
    fn begin(&self, _bytes: u64) {}

    /// So many more bytes on disk have been read, and so many records decoded.
    fn advance(&self, _bytes: u64, _records: u64) {}

    /// What looks like a mistake in the inputs and is none; told once, when all are read.
    fn warn(&self, _warnings: &[Diagnostic]) {}

    /// Whether to stop: asked once a round of blocks.
    fn stop(&self) -> bool {
        false
    }

    /// What was read no longer fits in memory and is about to go to disk; an error ends the reading.
    fn spill(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Nobody watches.
impl Progress for () {}

/// What is known of one input after it has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileRead {
    /// Every record seen: events and rejects together, the header and blank lines not counted. A
    /// row that also makes a label is two.
    pub records: u64,
    /// Its size on disk.
    pub bytes: u64,
    /// BLAKE3 of the file as on disk.
    pub hash: [u8; 32],
}

impl FileRead {
    /// Whether there was no record in it.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }
}

/// Everything that the inputs hold.
#[derive(Debug, Default)]
pub struct Read {
    /// The events in the order of the inputs, at most [`CHUNK_ROWS_MAX`] a chunk.
    pub chunks: Vec<Chunk>,
    /// The refused records in the order of the inputs.
    pub rejects: Vec<Reject>,
    /// What is known of the inputs, by input.
    pub files: Vec<FileRead>,
}

/// The schema of a run: the standard fields, then the extra columns of the mapping files, by name.
pub fn schema(inputs: &[Input]) -> Result<Schema, Failure> {
    columns::schema(inputs)
}

/// Reads all inputs into memory.
pub fn read_all(
    inputs: &[Input],
    schema: &Arc<Schema>,
    progress: &dyn Progress,
) -> Result<Read, Failure> {
    let mut read = Read::default();
    read.files = read_blocks(inputs, schema, BLOCK_BYTES, progress, &mut |block| {
        read.chunks.extend(block.chunks);
        read.rejects.extend(block.rejects);
        Ok(())
    })?;
    Ok(read)
}

/// Reads all inputs and hands over their blocks in order. The next blocks are read while those in
/// hand are decoded; so few are in memory that the inputs may be of any size.
pub fn read_blocks(
    inputs: &[Input],
    schema: &Arc<Schema>,
    block_bytes: usize,
    progress: &dyn Progress,
    each: &mut dyn FnMut(Block) -> Result<(), Failure>,
) -> Result<Vec<FileRead>, Failure> {
    let feed = Feed::new(inputs, schema, block_bytes)?;
    drain(feed, inputs.len(), schema, progress, each)
}

/// Takes everything that a feed of so many inputs has.
fn drain(
    mut feed: Feed<'_>,
    inputs: usize,
    schema: &Arc<Schema>,
    progress: &dyn Progress,
    each: &mut dyn FnMut(Block) -> Result<(), Failure>,
) -> Result<Vec<FileRead>, Failure> {
    progress.begin(feed.bytes_total());
    // Several a thread, so that one slow block does not leave the other threads idle.
    let round = 8 * rayon::current_num_threads();
    // A round may be the whole of a Parquet file.
    let decode = |step: feed::Step| match progress.stop() {
        true => Err(Failure::Interrupted),
        false => step.decode(schema),
    };
    let mut files = vec![FileRead::default(); inputs];
    let mut ready = feed.take(round);
    loop {
        if progress.stop() {
            return Err(Failure::Interrupted);
        }
        let steps = ready?;
        if steps.is_empty() {
            break;
        }
        let (next, decoded) = rayon::join(
            || feed.take(round),
            || steps.into_par_iter().map(decode).collect::<Vec<_>>(),
        );
        for step in decoded {
            settle(step?, &mut feed, &mut files, progress, each)?;
        }
        ready = next;
    }
    let warnings = feed.warnings();
    if !warnings.is_empty() {
        progress.warn(&warnings);
    }
    Ok(files)
}

/// Accounts for one decoded step.
fn settle(
    step: feed::Decoded,
    feed: &mut Feed<'_>,
    files: &mut [FileRead],
    progress: &dyn Progress,
    each: &mut dyn FnMut(Block) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match step {
        feed::Decoded::Block { block, seen, offsets, bytes, buffer } => {
            feed.recycle(buffer);
            feed.follow(block.source, offsets)?;
            files[block.source as usize].records += block.records;
            progress.advance(bytes, block.records);
            feed.saw(&block, seen);
            each(block)
        }
        feed::Decoded::End { source, seal } => {
            let file = &mut files[source as usize];
            file.bytes = seal.bytes;
            file.hash = seal.hash;
            feed.check_end(source, file.records)
        }
    }
}

fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::new(RejectCode::Malformed, detail)
}

fn too_long() -> Refusal {
    let detail = format!("the record is longer than {RECORD_BYTES_MAX} bytes");
    Refusal::new(RejectCode::TooLong, detail)
}

fn not_utf8() -> Refusal {
    Refusal::new(RejectCode::InvalidUtf8, "the record has bytes that are not UTF-8")
}

/// That there is nothing in a file: it is not the one that was meant, or was cut off.
fn empty(path: &Path) -> Failure {
    failure(
        "empty-file",
        path,
        "the file is empty: no records".to_owned(),
        "文件为空:没有记录".to_owned(),
    )
}

/// A finding about a whole file.
fn finding(
    severity: Severity,
    code: &'static str,
    path: &Path,
    message: Message,
    hint: Option<Message>,
) -> Diagnostic {
    Diagnostic { severity, code, file: path.to_owned(), span: None, message, hint }
}

/// An error about a whole file that ends the run.
fn failure(code: &'static str, path: &Path, en: String, zh: String) -> Failure {
    let error = finding(Severity::Error, code, path, Message::new(en, zh), None);
    Failure::Input(vec![error], Sources::default())
}
