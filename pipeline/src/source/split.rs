//! Cuts a stream of text into blocks of whole records, so that blocks can be decoded in parallel.
//!
//! What a record is never depends on the size of the blocks:
//! - In CSV a record ends at the first newline outside quotes; a quote opens only at the start of
//!   a cell. In JSON lines every newline ends a record.
//! - A record longer than [`RECORD_BYTES_MAX`] is refused (`too_long`), and reading goes on after
//!   its end, however far that is: text inside a cell is never read as records. Where a quote is
//!   not closed within the longest record, a second reading looks [`ahead`](super::ahead).
//! - A quote whose closing quote is on another line and not at the end of a cell is a slip of the
//!   pen: its record is refused (`malformed`) to the end of the line with that quote, and reading
//!   goes on at the next line, so that stray quotes swallow nothing of what stands between them. A
//!   quote that is never closed is one, too: a file that was cut off in a quoted cell of several
//!   lines looks the same, but a slip that costs the rest of a file is worse.
//!
//! The time is linear whatever the quotes are. Between a stray quote and the one that gives it away
//! there are only pairs, which close at once, so that the next that can be stray comes after both.

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2, memrchr};

use super::ahead::{Ahead, Lone};
use super::log::frames::FRAME_BYTES_MAX;
use super::reject::RAW_BYTES_MAX;
use super::too_long;
use crate::csv_cells::closing_quote;
use crate::event::{RECORD_BYTES_MAX, Refusal};

/// What some editors begin a file with, the byte order mark of UTF-8.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// What ends a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A newline outside quotes.
    Csv,
    /// Every newline.
    Lines,
    /// Every newline, in a file of an input log, whose lines hold a record and a frame around it.
    Frames,
}

impl Framing {
    /// The longest line that is not refused.
    fn line_bytes_max(self) -> usize {
        match self {
            Framing::Csv | Framing::Lines => RECORD_BYTES_MAX,
            Framing::Frames => FRAME_BYTES_MAX,
        }
    }
}

/// A part of the stream, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Whole records; the first starts on `line`.
    Block { bytes: Vec<u8>, line: u64, strays: Strays },
    /// One record that is refused as it stands.
    Refused { line: u64, refusal: Refusal, raw: Vec<u8> },
}

/// The records with stray quotes of a block, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Strays(Vec<Stray>);

impl Strays {
    /// The one that starts at `at` of the block, if there is one.
    pub(super) fn at(&self, at: usize) -> Option<&Stray> {
        let found = self.0.binary_search_by_key(&at, |stray| stray.record.start);
        found.ok().map(|found| &self.0[found])
    }

    /// The same for a block without its first bytes, in which no record is stray.
    pub(super) fn after(self, bytes: usize) -> Strays {
        let moved = self.0.into_iter().map(|Stray { record, quote }| Stray {
            record: record.start - bytes..record.end - bytes,
            quote: quote - bytes,
        });
        Strays(moved.collect())
    }
}

/// A record with a quote that is never closed, or on another line and not at the end of a cell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stray {
    /// Where it is in its block: to the end of the line with the quote.
    pub(super) record: Range<usize>,
    /// Where the quote is.
    pub(super) quote: usize,
}

/// Cuts what `reader` yields into blocks of about `block_bytes`.
pub(super) struct Splitter<R> {
    reader: R,
    /// Opens the stream once more, from its start.
    reopen: Box<dyn Fn() -> io::Result<R> + Send>,
    ahead: Option<Ahead<R>>,
    framing: Framing,
    block_bytes: usize,
    buffer: Vec<u8>,
    /// Buffers of blocks that have been decoded. Fresh memory costs more than the reading: the
    /// kernel hands it out page by page and clears each.
    spare: Vec<Vec<u8>>,
    /// Where in the stream the buffer starts.
    offset: u64,
    /// The line on which the buffer starts.
    line: u64,
    /// Whether the last byte that was dropped is a newline.
    newline_dropped: bool,
    started: bool,
    ended: bool,
}

/// Where the whole records at the front of a buffer end, and what stands there.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    end: usize,
    strays: Vec<Stray>,
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// A record of which more must be read before anything can be said, or nothing.
    More,
    /// A record that is too long, outside quotes at that place.
    TooLong(usize),
    /// A record with a quote at `quote` that is not closed within the longest length; what closes
    /// it is at `resume` or after it.
    Open { quote: usize, resume: usize },
}

/// How a record goes on.
#[derive(Debug, PartialEq, Eq)]
enum Scan {
    /// It ends there, after its newline.
    End(usize),
    /// It is outside quotes at the end of what was looked at.
    Outside,
    /// As [`Then::Open`].
    Open { quote: usize, resume: usize },
    /// The quote there is closed on another line and not at the end of a cell.
    Stray(usize),
}

impl<R: Read> Splitter<R> {
    /// Cuts the stream that `open` opens; it may be opened twice.
    pub(super) fn new(
        open: impl Fn() -> io::Result<R> + Send + 'static,
        framing: Framing,
        block_bytes: usize,
    ) -> io::Result<Self> {
        Ok(Splitter {
            reader: open()?,
            reopen: Box::new(open),
            ahead: None,
            framing,
            block_bytes: block_bytes.max(1),
            buffer: Vec::new(),
            spare: Vec::new(),
            offset: 0,
            line: 1,
            newline_dropped: false,
            started: false,
            ended: false,
        })
    }

    /// The next piece; none at the end of the stream.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        if !self.started {
            self.started = true;
            self.fill(BOM.len())?;
            if self.buffer.starts_with(BOM) {
                self.drop_front(BOM.len());
            }
        }
        let mut wanted = self.block_bytes;
        loop {
            self.fill(wanted)?;
            if self.buffer.is_empty() {
                return Ok(None);
            }
            let cut = self.cut();
            if cut.end > 0 {
                return Ok(Some(self.take_block(cut)));
            }
            match cut.then {
                Then::TooLong(at) => return self.refuse_long_record(at).map(Some),
                Then::Open { quote, resume } => return self.look_ahead(quote, resume).map(Some),
                // At the end of the stream `cut` leaves nothing open, and before it a record is
                // decided within its longest length.
                Then::More => {
                    let line_bytes_max = self.framing.line_bytes_max();
                    debug_assert!(!self.ended && self.buffer.len() <= line_bytes_max + 1);
                    wanted = (self.buffer.len() * 2).max(self.block_bytes);
                }
            }
        }
    }

    /// Takes back the buffer of a block.
    pub(super) fn recycle(&mut self, buffer: Vec<u8>) {
        self.spare.push(buffer);
    }

    /// What the splitter reads from.
    pub(super) fn reader(&self) -> &R {
        &self.reader
    }

    /// What the splitter has read from, for what is to be known at the end.
    pub(super) fn into_reader(self) -> R {
        self.reader
    }

    /// Reads until the buffer holds `wanted` bytes or the stream has ended.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.ended || self.buffer.len() >= wanted {
            return Ok(());
        }
        let missing = wanted - self.buffer.len();
        self.buffer.reserve(missing);
        let got = self.reader.by_ref().take(missing as u64).read_to_end(&mut self.buffer)?;
        self.ended = got < missing;
        Ok(())
    }

    fn cut(&self) -> Cut {
        if self.framing == Framing::Csv {
            return cut_csv(&self.buffer, self.ended);
        }
        cut_lines(&self.buffer, 0, self.ended, self.framing.line_bytes_max())
    }

    fn take_block(&mut self, cut: Cut) -> Piece {
        let mut rest = self.spare.pop().unwrap_or_default();
        rest.clear();
        rest.extend_from_slice(&self.buffer[cut.end..]);
        self.buffer.truncate(cut.end);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let line = self.line;
        self.offset += bytes.len() as u64;
        self.line += newlines(&bytes);
        Piece::Block { bytes, line, strays: Strays(cut.strays) }
    }

    /// Decides on the record at the front of the buffer, of which a quote is open after its longest
    /// length.
    fn look_ahead(&mut self, quote: usize, resume: usize) -> io::Result<Piece> {
        let found = self.closing_quote(quote, resume)?;
        if let Some(Lone { at, ends_cell: true, .. }) = found {
            let (line, raw) = self.front();
            self.drop_to(at)?;
            self.drop_record(1)?;
            return Ok(self.too_long(line, raw));
        }
        let window = &self.buffer[quote..=RECORD_BYTES_MAX];
        let Some(newline) = memchr(b'\n', window) else {
            let (line, raw) = self.front();
            self.drop_through_newline(quote)?;
            return Ok(self.too_long(line, raw));
        };
        let end = quote + newline + 1;
        let strays = vec![Stray { record: 0..end, quote }];
        Ok(self.take_block(Cut { end, strays, then: Then::More }))
    }

    /// What closes the quote at `quote` of the buffer, if anything does, at `resume` or after it. On
    /// the quote's own line whatever closes it ends the cell: the line is one record.
    fn closing_quote(&mut self, quote: usize, resume: usize) -> io::Result<Option<Lone>> {
        let ahead = match &mut self.ahead {
            Some(ahead) => ahead,
            None => self.ahead.insert(Ahead::new((self.reopen)()?)),
        };
        let found = ahead.lone_quote(self.offset + resume as u64)?;
        let on_line = memchr(b'\n', &self.buffer[quote..resume]).is_none();
        Ok(found.map(|lone| Lone { ends_cell: lone.ends_cell || on_line && !lone.newline, ..lone }))
    }

    /// Drops the record at the front of the buffer, which is outside quotes at `at`, in bounded
    /// memory however long it is.
    fn refuse_long_record(&mut self, at: usize) -> io::Result<Piece> {
        let (line, raw) = self.front();
        if self.framing == Framing::Csv {
            // The byte before tells whether a quote opens a cell.
            self.drop_front(at.saturating_sub(1));
            self.drop_record(at.min(1))?;
        } else {
            self.drop_through_newline(at)?;
        }
        Ok(self.too_long(line, raw))
    }

    /// The line and the first bytes of a record that is too long.
    fn front(&self) -> (u64, Vec<u8>) {
        (self.line, self.buffer[..RAW_BYTES_MAX].to_vec())
    }

    /// A record that began on `line` and has been dropped.
    fn too_long(&self, line: u64, raw: Vec<u8>) -> Piece {
        let mut refusal = too_long();
        let last = self.line - u64::from(self.newline_dropped);
        if last > line {
            refusal.detail += &format!("; it goes on to line {last}");
        }
        Piece::Refused { line, refusal, raw }
    }

    /// Drops what is left of a record that is outside quotes at `at` of the buffer.
    fn drop_record(&mut self, mut at: usize) -> io::Result<()> {
        loop {
            match scan(&self.buffer, at.min(self.buffer.len()), self.ended) {
                Scan::End(end) => {
                    self.drop_front(end);
                    return Ok(());
                }
                Scan::Stray(quote) => return self.drop_through_newline(quote),
                Scan::Open { quote, .. } if !self.ended && quotes_only(&self.buffer[quote..]) => {
                    // Pairs among them are text.
                    let pairs = (self.buffer.len() - quote - 1) / 2 * 2;
                    self.buffer.truncate(self.buffer.len() - pairs);
                    self.offset += pairs as u64;
                    self.drop_front(quote.saturating_sub(1));
                    at = quote.min(1);
                    self.fill(self.buffer.len() + self.block_bytes)?;
                }
                Scan::Open { quote, resume } => match self.closing_quote(quote, resume)? {
                    Some(Lone { at: close, ends_cell: true, .. }) => {
                        self.drop_to(close)?;
                        at = 1;
                    }
                    _ => return self.drop_through_newline(quote),
                },
                Scan::Outside => {
                    self.drop_front(self.buffer.len().saturating_sub(1));
                    at = 1;
                    self.fill(1 + self.block_bytes)?;
                }
            }
        }
    }

    /// Drops all before that place in the stream.
    fn drop_to(&mut self, offset: u64) -> io::Result<()> {
        loop {
            let before = usize::try_from(offset - self.offset).unwrap_or(usize::MAX);
            if before < self.buffer.len() {
                self.drop_front(before);
                return Ok(());
            }
            self.drop_front(self.buffer.len());
            if self.ended {
                return Ok(());
            }
            self.fill(self.block_bytes)?;
        }
    }

    /// Drops `from` bytes and then all up to and including the next newline.
    fn drop_through_newline(&mut self, from: usize) -> io::Result<()> {
        self.drop_front(from);
        loop {
            if let Some(end) = memchr(b'\n', &self.buffer) {
                self.drop_front(end + 1);
                return Ok(());
            }
            self.drop_front(self.buffer.len());
            if self.ended {
                return Ok(());
            }
            self.fill(self.block_bytes)?;
        }
    }

    fn drop_front(&mut self, bytes: usize) {
        if let Some(last) = self.buffer[..bytes].last() {
            self.newline_dropped = *last == b'\n';
        }
        self.offset += bytes as u64;
        self.line += newlines(&self.buffer[..bytes]);
        self.buffer.drain(..bytes);
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

/// Cuts `buffer` after its last newline, where no quote comes after `from`. At the end of the
/// stream the last record needs no newline.
fn cut_lines(buffer: &[u8], from: usize, ended: bool, line_bytes_max: usize) -> Cut {
    let end = memrchr(b'\n', &buffer[from..]).map_or(from, |at| from + at + 1);
    if buffer.len() - end > line_bytes_max {
        return Cut { end, strays: Vec::new(), then: Then::TooLong(line_bytes_max) };
    }
    let end = if ended { buffer.len() } else { end };
    Cut { end, strays: Vec::new(), then: Then::More }
}

fn cut_csv(buffer: &[u8], ended: bool) -> Cut {
    let mut start = 0;
    let mut strays = Vec::new();
    while let Some(quote) = memchr(b'"', &buffer[start..]) {
        // Lines before the one with the quote are whole, whatever their length: the decoder
        // refuses those that are too long.
        let before = &buffer[start..start + quote];
        start += memrchr(b'\n', before).map_or(0, |at| at + 1);
        let limit = start + RECORD_BYTES_MAX + 1;
        let window = &buffer[..buffer.len().min(limit)];
        let full = window.len() == limit;
        let then = match scan(window, start, ended && !full) {
            Scan::End(end) => {
                start = end;
                continue;
            }
            // Wherever these end, there is no line end within the longest length.
            Scan::Open { quote, .. } if full && quotes_only(&window[quote..]) => {
                Then::TooLong(quote)
            }
            Scan::Open { quote, resume } if full => Then::Open { quote, resume },
            Scan::Outside if full => Then::TooLong(window.len()),
            Scan::Outside => Then::More,
            Scan::Open { .. } if !ended => Then::More,
            Scan::Stray(quote) | Scan::Open { quote, .. } => {
                let end = line_end(window, quote);
                strays.push(Stray { record: start..end, quote });
                start = end;
                continue;
            }
        };
        return Cut { end: start, strays, then };
    }
    Cut { strays, ..cut_lines(buffer, start, ended, RECORD_BYTES_MAX) }
}

fn quotes_only(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b'"')
}

/// The end of the line in which `at` is.
fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |newline| at + newline + 1)
}

/// Where the record that is outside quotes at `at` ends (after its newline); `whole` says that the
/// stream ends with `bytes`.
fn scan(bytes: &[u8], mut at: usize, whole: bool) -> Scan {
    loop {
        let Some(found) = memchr2(b'"', b'\n', &bytes[at..]).map(|found| at + found) else {
            return if whole { Scan::End(bytes.len()) } else { Scan::Outside };
        };
        if bytes[found] == b'\n' {
            return Scan::End(found + 1);
        }
        // Before a record there is nothing, or the newline of another.
        let opens = found == 0 || matches!(bytes[found - 1], b',' | b'\n');
        if !opens {
            at = found + 1;
            continue;
        }
        match closing_quote(bytes, found + 1) {
            // A quote as the last byte that was read may be the first of a pair.
            Some(close) if close + 1 < bytes.len() || whole => {
                let ends_cell = matches!(bytes.get(close + 1), None | Some(b',' | b'\n' | b'\r'));
                if !ends_cell && memchr(b'\n', &bytes[found..close]).is_some() {
                    return Scan::Stray(found);
                }
                at = close + 1;
            }
            close => {
                return Scan::Open { quote: found, resume: close.unwrap_or(bytes.len()) };
            }
        }
    }
}

/// The end of the record at `at`, in a block in which all quotes are closed.
pub(super) fn record_end(bytes: &[u8], at: usize) -> usize {
    match scan(bytes, at, true) {
        Scan::End(end) => end,
        Scan::Outside | Scan::Open { .. } | Scan::Stray(_) => bytes.len(),
    }
}
