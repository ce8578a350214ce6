//! Parquet files that may be damaged: of events and labels, and of runs.
//!
//! The library that reads them takes a footer on trust and panics at pages that do not fit together,
//! in more places than can be checked before. A panic within it is told as an error of the file; any
//! other is a mistake in this program and ends it at once ([`end_on_panic`]).

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::process::abort;

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;

thread_local! {
    /// Whether this thread is within the library that reads Parquet.
    static READS: Cell<bool> = const { Cell::new(false) };
}

/// Has a panic end the program, as soon as it has been told on standard error, wherever it is but in
/// the library that reads Parquet.
pub(crate) fn end_on_panic() {
    let tell = take_hook();
    set_hook(Box::new(move |panic| {
        if !READS.get() {
            tell(panic);
            abort();
        }
    }));
}

/// The footer of a file, held to the file.
pub(crate) fn footer(file: &File, options: ArrowReaderOptions) -> io::Result<ArrowReaderMetadata> {
    let footer = caught(|| ArrowReaderMetadata::load(file, options))??;
    check_places(footer.metadata(), file.metadata()?.len())?;
    Ok(footer)
}

/// Opens a file, of which the caller then says what it reads.
pub(crate) fn open(path: &Path) -> io::Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path)?;
    let footer = footer(&file, ArrowReaderOptions::default())?;
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer))
}

/// Rows of a file, one batch after the other.
pub(crate) struct Batches(ParquetRecordBatchReader);

impl Batches {
    pub(crate) fn of(builder: ParquetRecordBatchReaderBuilder<File>) -> io::Result<Batches> {
        Ok(Batches(caught(|| builder.build())??))
    }
}

impl Iterator for Batches {
    type Item = io::Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match caught(|| self.0.next()) {
            Ok(batch) => Some(batch?.map_err(io::Error::other)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// What the library does, or what it panicked with. Whoever is told so reads no more of that file.
fn caught<T>(read: impl FnOnce() -> T) -> io::Result<T> {
    READS.set(true);
    let done = catch_unwind(AssertUnwindSafe(read));
    READS.set(false);
    done.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let said = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        damaged(&format!("what it holds does not fit together ({said})"))
    })
}

/// Checks what the library takes on trust, or takes for a mistake of the program: where the footer says
/// that columns stand, and how many rows it says there are.
fn check_places(metadata: &ParquetMetaData, file_bytes: u64) -> io::Result<()> {
    let mut rows = 0i64;
    for group in metadata.row_groups() {
        rows = rows.saturating_add(group.num_rows());
        if group.num_rows() < 0 {
            return Err(damaged("its footer has a negative number of rows"));
        }
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let place = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
            let end = place.and_then(|(start, bytes)| start.checked_add(bytes));
            if end.is_none_or(|end| end > file_bytes) {
                return Err(damaged("its footer places a column outside of the file"));
            }
            let is_flat = column.column_descr().max_rep_level() == 0;
            if is_flat && column.num_values() != group.num_rows() {
                return Err(damaged("its footer has two numbers of rows"));
            }
        }
    }
    if rows != metadata.file_metadata().num_rows() {
        return Err(damaged("its footer has two numbers of rows"));
    }
    Ok(())
}

pub(crate) fn damaged(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the Parquet file is damaged: {how}"))
}
