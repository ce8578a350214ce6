//! Cuts a stream of text into blocks of whole records, so that blocks can be decoded in parallel.
//!
//! What a record is never depends on the size of the blocks:
//! - In CSV a record ends at the first newline outside quotes; a quote opens only at the start of
//!   a cell. In JSON lines every newline ends a record.
//! - A line longer than [`RECORD_BYTES_MAX`] is refused (`too_long`) and ends at its newline.
//! - A quote that is not closed within [`RECORD_BYTES_MAX`] of its record's start, or by the end
//!   of the file, or on another line and not at the end of a cell, is a slip of the pen: its line is
//!   refused (`malformed`), and reading goes on at the next line, so that stray quotes swallow
//!   nothing of what stands after or between them.

use std::io::{self, Read};

use memchr::{memchr, memchr_iter, memchr2, memrchr};

use super::csv::slipped;
use super::log::frames::FRAME_BYTES_MAX;
use super::reject::RAW_BYTES_MAX;
use super::too_long;
use crate::csv_cells::{Slip, closing_quote};
use crate::event::{RECORD_BYTES_MAX, Refusal};

/// After so many lines with a quote that is never closed, no cell runs over lines any more: each
/// costs a look as far ahead as [`RECORD_BYTES_MAX`], and the time to read a hostile file has to
/// stay linear in its size.
const STRAY_QUOTES_MAX: u32 = 1000;

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
    Block { bytes: Vec<u8>, line: u64 },
    /// One record that is refused as it stands.
    Refused { line: u64, refusal: Refusal, raw: Vec<u8> },
}

/// Cuts what `reader` yields into blocks of about `block_bytes`.
pub(super) struct Splitter<R> {
    reader: R,
    framing: Framing,
    block_bytes: usize,
    buffer: Vec<u8>,
    /// Buffers of blocks that have been decoded. Fresh memory costs more than the reading: the
    /// kernel hands it out page by page and clears each.
    spare: Vec<Vec<u8>>,
    /// The line on which the buffer starts.
    line: u64,
    started: bool,
    ended: bool,
    stray_quotes: u32,
}

/// Where the whole records at the front of a buffer end, and what stands there.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    end: usize,
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// A record of which more must be read before anything can be said, or nothing.
    More,
    /// A line that is too long.
    TooLong,
    /// A record with a quote that is never closed.
    Unclosed,
}

impl<R: Read> Splitter<R> {
    pub(super) fn new(reader: R, framing: Framing, block_bytes: usize) -> Self {
        Splitter {
            reader,
            framing,
            block_bytes: block_bytes.max(1),
            buffer: Vec::new(),
            spare: Vec::new(),
            line: 1,
            started: false,
            ended: false,
            stray_quotes: 0,
        }
    }

    /// The next piece; none at the end of the stream.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        if !self.started {
            self.started = true;
            self.fill(BOM.len())?;
            if self.buffer.starts_with(BOM) {
                self.buffer.drain(..BOM.len());
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
                return Ok(Some(self.take_block(cut.end)));
            }
            match cut.then {
                Then::TooLong => return self.refuse_long_line().map(Some),
                Then::Unclosed => return self.refuse_stray_quote().map(Some),
                Then::More => {
                    // At the end of the stream `cut` leaves nothing open, and before it a
                    // record is decided within its longest length.
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
        match self.framing {
            Framing::Csv => {
                let by_line = self.stray_quotes >= STRAY_QUOTES_MAX;
                cut_csv(&self.buffer, self.ended, by_line)
            }
            framing => cut_lines(&self.buffer, 0, self.ended, framing.line_bytes_max()),
        }
    }

    fn take_block(&mut self, end: usize) -> Piece {
        let mut rest = self.spare.pop().unwrap_or_default();
        rest.clear();
        rest.extend_from_slice(&self.buffer[end..]);
        self.buffer.truncate(end);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let line = self.line;
        self.line += memchr_iter(b'\n', &bytes).count() as u64;
        Piece::Block { bytes, line }
    }

    /// Drops the line at the front of the buffer, however long it is, in bounded memory.
    fn refuse_long_line(&mut self) -> io::Result<Piece> {
        let refusal = too_long();
        let raw = self.buffer[..RAW_BYTES_MAX].to_vec();
        let line = self.line;
        self.drop_through_newline(self.framing.line_bytes_max())?;
        Ok(Piece::Refused { line, refusal, raw })
    }

    fn refuse_stray_quote(&mut self) -> io::Result<Piece> {
        self.stray_quotes += 1;
        let window = self.buffer.len().min(RECORD_BYTES_MAX + 1);
        let line_end = match memchr(b'\n', &self.buffer[..window]) {
            Some(end) => end,
            None if window > RECORD_BYTES_MAX => return self.refuse_long_line(),
            None => window,
        };
        let refusal = slipped(Slip::Unclosed);
        let raw = self.buffer[..line_end.min(RAW_BYTES_MAX)].to_vec();
        let line = self.line;
        self.drop_through_newline(line_end)?;
        Ok(Piece::Refused { line, refusal, raw })
    }

    /// Drops `from` bytes and then all up to and including the next newline.
    fn drop_through_newline(&mut self, from: usize) -> io::Result<()> {
        self.line += memchr_iter(b'\n', &self.buffer[..from]).count() as u64;
        self.buffer.drain(..from);
        loop {
            if let Some(end) = memchr(b'\n', &self.buffer) {
                self.buffer.drain(..=end);
                self.line += 1;
                return Ok(());
            }
            self.buffer.clear();
            if self.ended {
                return Ok(());
            }
            self.fill(self.block_bytes)?;
        }
    }
}

/// Cuts `buffer` after its last newline, where no quote comes after `from`. At the end of the
/// stream the last record needs no newline.
fn cut_lines(buffer: &[u8], from: usize, ended: bool, line_bytes_max: usize) -> Cut {
    let end = memrchr(b'\n', &buffer[from..]).map_or(from, |at| from + at + 1);
    if buffer.len() - end > line_bytes_max {
        return Cut { end, then: Then::TooLong };
    }
    Cut { end: if ended { buffer.len() } else { end }, then: Then::More }
}

fn cut_csv(buffer: &[u8], ended: bool, by_line: bool) -> Cut {
    let mut start = 0;
    while let Some(quote) = memchr(b'"', &buffer[start..]) {
        // Lines before the one with the quote are whole, whatever their length: the decoder
        // refuses those that are too long.
        let before = &buffer[start..start + quote];
        start += memrchr(b'\n', before).map_or(0, |at| at + 1);
        let line = memchr(b'\n', &buffer[start..]).filter(|_| by_line);
        let end = match line {
            Some(line) => record_end(&buffer[..=start + line], start, true),
            None => record_end(buffer, start, ended),
        };
        match end {
            Ok(end) => start = end,
            Err(then) => return Cut { end: start, then },
        }
    }
    cut_lines(buffer, start, ended, RECORD_BYTES_MAX)
}

/// Where the record that starts at `start` ends (after its newline), looking at most
/// [`RECORD_BYTES_MAX`] ahead.
pub(super) fn record_end(buffer: &[u8], start: usize, ended: bool) -> Result<usize, Then> {
    let limit = start + RECORD_BYTES_MAX + 1;
    let window = &buffer[..buffer.len().min(limit)];
    let whole = window.len() == limit || ended;
    let mut at = start;
    loop {
        let Some(found) = memchr2(b'"', b'\n', &window[at..]).map(|found| at + found) else {
            return match (window.len() == limit, ended) {
                (true, _) => Err(Then::TooLong),
                (false, true) => Ok(window.len()),
                (false, false) => Err(Then::More),
            };
        };
        if window[found] == b'\n' {
            return Ok(found + 1);
        }
        let opens = found == start || window[found - 1] == b',';
        at = match opens.then(|| closing_quote(window, found + 1)) {
            None => found + 1,
            // A quote as the last byte that was read may be the first of a pair.
            Some(Some(close)) if close + 1 < window.len() || whole => {
                let ends = matches!(window.get(close + 1), None | Some(b',' | b'\n' | b'\r'));
                if !ends && memchr(b'\n', &window[found..close]).is_some() {
                    return Err(Then::Unclosed);
                }
                close + 1
            }
            Some(_) => return Err(if whole { Then::Unclosed } else { Then::More }),
        };
    }
}
