//! CSV: a header row, then a record a row (RFC 4180). An empty cell is null, quoted or not.

use memchr::{memchr, memchr_iter, memchr2};

use super::sink::{Row, Sink};
use super::split::{closing_quote, record_end};
use super::{malformed, not_utf8, too_long};
use crate::event::{RECORD_BYTES_MAX, Raw, Refusal};

/// The column names of a header.
pub(super) type Names = Vec<String>;

/// The first record of `bytes` as column names, and where the next record starts; none if all
/// lines are blank.
pub(super) fn header(bytes: &[u8]) -> Result<Option<(Names, usize)>, Refusal> {
    let mut cells = Cells::default();
    let mut at = 0;
    while at < bytes.len() {
        let (next, _) = next_record(bytes, at);
        let record = without_line_end(&bytes[at..next]);
        at = next;
        if record.is_empty() {
            continue;
        }
        let record = std::str::from_utf8(record).map_err(|_| not_utf8())?;
        cells.read(record)?;
        let row = CsvRow { record, cells: &cells };
        let names = (0..cells.spans.len()).map(|column| row.cell(column).to_owned()).collect();
        return Ok(Some((names, at)));
    }
    Ok(None)
}

/// Decodes a block of whole records of `width` cells each, the first of which starts on `line`.
pub(super) fn decode(bytes: &[u8], mut line: u64, width: usize, sink: &mut Sink<'_>) {
    let text = simdutf8::basic::from_utf8(bytes).ok();
    let mut cells = Cells::default();
    let mut at = 0;
    while at < bytes.len() {
        let (next, quoted) = next_record(bytes, at);
        let whole = &bytes[at..next];
        let record = without_line_end(whole);
        if !record.is_empty() {
            let text = text.map(|text| &text[at..at + record.len()]);
            match check(whole, record, width, text, &mut cells) {
                Ok(text) => {
                    let row = CsvRow { record: text, cells: &cells };
                    sink.record(&row, line, || record.to_vec());
                }
                Err(refusal) => sink.refuse(line, refusal, record),
            }
        }
        line += if quoted { memchr_iter(b'\n', whole).count() as u64 } else { 1 };
        at = next;
    }
}

/// The record as text, which is known where all of the block is text.
fn check<'r>(
    whole: &[u8],
    record: &'r [u8],
    width: usize,
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
    cells.read(text)?;
    let found = cells.spans.len();
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
        // The splitter has left nothing in the block but whole records.
        Some(_) => (record_end(bytes, at, true).unwrap_or(bytes.len()), true),
    }
}

fn without_line_end(whole: &[u8]) -> &[u8] {
    let record = whole.strip_suffix(b"\n").unwrap_or(whole);
    record.strip_suffix(b"\r").unwrap_or(record)
}

/// The cells of one record. Kept from record to record for its memory.
#[derive(Default)]
struct Cells {
    spans: Vec<Span>,
    /// Cells in which a doubled quote had to be undone.
    unescaped: String,
}

#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    /// Whether the span is one of `unescaped`, not of the record.
    unescaped: bool,
}

impl Cells {
    fn read(&mut self, record: &str) -> Result<(), Refusal> {
        self.spans.clear();
        self.unescaped.clear();
        if memchr(b'"', record.as_bytes()).is_some() {
            return self.read_quoted(record);
        }
        let mut start = 0;
        for comma in memchr_iter(b',', record.as_bytes()) {
            self.push(start, comma);
            start = comma + 1;
        }
        self.push(start, record.len());
        Ok(())
    }

    fn read_quoted(&mut self, record: &str) -> Result<(), Refusal> {
        let bytes = record.as_bytes();
        let mut at = 0;
        loop {
            let end = if bytes.get(at) == Some(&b'"') {
                let close = closing_quote(bytes, at + 1)
                    .ok_or_else(|| malformed("a quote is opened and never closed"))?;
                self.push_quoted(record, at + 1, close);
                close + 1
            } else {
                let end = memchr(b',', &bytes[at..]).map_or(bytes.len(), |comma| at + comma);
                if memchr(b'"', &bytes[at..end]).is_some() {
                    return Err(malformed("a quote inside a cell that does not start with one"));
                }
                self.push(at, end);
                end
            };
            match bytes.get(end) {
                None => return Ok(()),
                Some(b',') => at = end + 1,
                Some(_) => return Err(malformed("text after the quote that closes a cell")),
            }
        }
    }

    /// Offsets fit in 32 bits because a record is at most [`RECORD_BYTES_MAX`] long.
    fn push(&mut self, start: usize, end: usize) {
        self.spans.push(Span { start: start as u32, end: end as u32, unescaped: false });
    }

    fn push_quoted(&mut self, record: &str, start: usize, end: usize) {
        let mut text = &record[start..end];
        let Some(mut quote) = text.find('"') else { return self.push(start, end) };
        let start = self.unescaped.len() as u32;
        loop {
            self.unescaped.push_str(&text[..=quote]);
            text = &text[quote + 2..];
            match text.find('"') {
                Some(next) => quote = next,
                None => break,
            }
        }
        self.unescaped.push_str(text);
        self.spans.push(Span { start, end: self.unescaped.len() as u32, unescaped: true });
    }
}

struct CsvRow<'a> {
    record: &'a str,
    cells: &'a Cells,
}

impl CsvRow<'_> {
    fn cell(&self, column: usize) -> &str {
        let span = self.cells.spans[column];
        let text = if span.unescaped { &self.cells.unescaped } else { self.record };
        &text[span.start as usize..span.end as usize]
    }
}

impl Row for CsvRow<'_> {
    fn get(&self, column: usize) -> Raw<'_> {
        Raw::Cell(self.cell(column))
    }
}
