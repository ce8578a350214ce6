//! CSV: a header row, then a record a row (RFC 4180). An empty cell is null, quoted or not.

use memchr::{memchr_iter, memchr2};

use super::sink::{Row, Sink};
use super::split::{Strays, record_end};
use super::{malformed, not_utf8, too_long};
use crate::csv_cells::{Cells, Slip};
use crate::event::{RECORD_BYTES_MAX, Raw, Refusal};

/// The column names of a header.
pub(super) type Names = Vec<String>;

/// The first record of `bytes` as column names, and where the next record starts; none if all
/// lines are blank.
pub(super) fn header(bytes: &[u8], strays: &Strays) -> Result<Option<(Names, usize)>, Refusal> {
    let mut cells = Cells::default();
    let mut at = 0;
    while at < bytes.len() {
        if strays.at(at).is_some() {
            return Err(malformed(Slip::Unclosed.message().en));
        }
        let (next, _) = next_record(bytes, at);
        let record = without_line_end(&bytes[at..next]);
        at = next;
        if record.is_empty() {
            continue;
        }
        let record = std::str::from_utf8(record).map_err(|_| not_utf8())?;
        cells.read(record).map_err(|slip| malformed(slip.message().en))?;
        let names = (0..cells.len()).map(|column| cells.get(record, column).to_owned()).collect();
        return Ok(Some((names, at)));
    }
    Ok(None)
}

/// Decodes a block of whole records of `width` cells each, the first of which starts on `line`.
pub(super) fn decode(
    bytes: &[u8],
    mut line: u64,
    strays: &Strays,
    width: usize,
    sink: &mut Sink<'_>,
) {
    let text = simdutf8::basic::from_utf8(bytes).ok();
    let mut cells = Cells::default();
    let mut at = 0;
    while at < bytes.len() {
        if let Some(stray) = strays.at(at) {
            let whole = &bytes[stray.record.clone()];
            let before = newlines(&bytes[at..stray.quote]);
            sink.refuse(line, unclosed(line, before), without_line_end(whole));
            line += newlines(whole);
            at = stray.record.end;
            continue;
        }
        let (next, quoted) = next_record(bytes, at);
        let whole = &bytes[at..next];
        let record = without_line_end(whole);
        if !record.is_empty() {
            let text = text.map(|text| &text[at..at + record.len()]);
            match check(whole, record, (width, quoted), text, &mut cells) {
                Ok(text) => {
                    let row = CsvRow { record: text, cells: &cells };
                    sink.record(&row, line, || record.to_vec());
                }
                Err(refusal) => sink.refuse(line, refusal, record),
            }
        }
        line += if quoted { newlines(whole) } else { 1 };
        at = next;
    }
}

/// That a quote in the record on `line` is never closed, so many lines further on.
fn unclosed(line: u64, lines: u64) -> Refusal {
    if lines == 0 {
        return malformed(Slip::Unclosed.message().en);
    }
    malformed(format!("a quote is opened on line {} and never closed", line + lines))
}

/// The record as text, which is known where all of the block is text; so is whether it has quotes.
fn check<'r>(
    whole: &[u8],
    record: &'r [u8],
    (width, quoted): (usize, bool),
    text: Option<&'r str>,
    cells: &mut Cells,
) -> Result<&'r str, Refusal> {
    // The splitter measures a line up to its newline, a carriage return included.
    if whole.strip_suffix(b"\n").unwrap_or(whole).len() > RECORD_BYTES_MAX {
        return Err(too_long());
    }
    let text = match text {
        Some(text) => text,
        None => std::str::from_utf8(record).map_err(|_| not_utf8())?,
    };
    if quoted {
        cells.read(text).map_err(|slip| malformed(slip.message().en))?;
    } else {
        cells.read_plain(text);
    }
    let found = cells.len();
    if found != width {
        return Err(malformed(format!("the record has {found} cells, the header {width}")));
    }
    Ok(text)
}

/// Where the record after the one at `at` starts, and whether there is a quote in the one at `at`.
fn next_record(bytes: &[u8], at: usize) -> (usize, bool) {
    match memchr2(b'"', b'\n', &bytes[at..]) {
        None => (bytes.len(), false),
        Some(found) if bytes[at + found] == b'\n' => (at + found + 1, false),
        Some(_) => (record_end(bytes, at), true),
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

fn without_line_end(whole: &[u8]) -> &[u8] {
    let record = whole.strip_suffix(b"\n").unwrap_or(whole);
    record.strip_suffix(b"\r").unwrap_or(record)
}

struct CsvRow<'a> {
    record: &'a str,
    cells: &'a Cells,
}

impl Row for CsvRow<'_> {
    #[inline]
    fn get(&self, column: usize) -> Raw<'_> {
        Raw::Cell(self.cells.get(self.record, column))
    }
}
