//! A second reading of a CSV file, ahead of the first: where a quote is closed that is not closed
//! within the longest record.

use std::io::{self, BufRead, BufReader, Read};

use memchr::memchr;

/// Large enough that a call of the decompressor costs nothing a byte.
const READ_BYTES: usize = 1 << 17;

/// Looks ahead, only ever onwards, in the memory of one buffer.
pub(super) struct Ahead<R> {
    reader: BufReader<R>,
    /// Where it stands in the stream.
    at: u64,
}

/// A quote that is not one of a pair: it closes the cell around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lone {
    /// Where it is in the stream.
    pub(super) at: u64,
    /// Whether a comma, a line end or the end of the stream follows it.
    pub(super) ends_cell: bool,
    /// Whether a newline was passed on the way to it.
    pub(super) newline: bool,
}

impl<R: Read> Ahead<R> {
    /// `reader` is the stream from its start.
    pub(super) fn new(reader: R) -> Self {
        Ahead { reader: BufReader::with_capacity(READ_BYTES, reader), at: 0 }
    }

    /// The first lone quote at or after `from`, which is inside a quoted cell and no second quote
    /// of a pair; none if the stream ends inside the cell.
    ///
    /// `from` is after the answer before: a lone quote that gave a stray one away may open a cell
    /// itself, but between the two there are only pairs, which close at once.
    pub(super) fn lone_quote(&mut self, from: u64) -> io::Result<Option<Lone>> {
        // It is before only if the file changes meanwhile.
        let skipped = from.saturating_sub(self.at);
        self.at += io::copy(&mut self.reader.by_ref().take(skipped), &mut io::sink())?;
        let mut newline = false;
        loop {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let quote = memchr(b'"', chunk);
            let passed = quote.unwrap_or(chunk.len());
            newline = newline || memchr(b'\n', &chunk[..passed]).is_some();
            let Some(quote) = quote else {
                self.consume(passed);
                continue;
            };
            self.consume(quote + 1);
            match self.reader.fill_buf()?.first() {
                Some(b'"') => self.consume(1),
                next => {
                    let ends_cell = matches!(next, None | Some(b',' | b'\n' | b'\r'));
                    return Ok(Some(Lone { at: self.at - 1, ends_cell, newline }));
                }
            }
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.at += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_quote_is_found_however_the_stream_comes() {
        let text = br#"ab""c"d""""",x"#;
        let lone = |at, ends_cell| Some(Lone { at, ends_cell, newline: false });
        for (from, wanted) in [(0, lone(5, false)), (6, lone(11, true)), (12, None)] {
            let mut ahead = Ahead::new(text.as_slice());
            assert_eq!(ahead.lone_quote(from).unwrap(), wanted, "{from}");
        }
        // Each later question goes on from the answer before.
        let mut ahead = Ahead::new(
            text.chunks(1).fold(Box::new(io::empty()) as Box<dyn Read>, |before, byte| {
                Box::new(before.chain(byte))
            }),
        );
        assert_eq!(ahead.lone_quote(0).unwrap(), lone(5, false));
        assert_eq!(ahead.lone_quote(7).unwrap(), lone(11, true));
        assert_eq!(ahead.lone_quote(12).unwrap(), None);
    }

    #[test]
    fn a_newline_on_the_way_is_told() {
        for (text, newline) in [("a\nb\",", true), ("ab\"\n", false)] {
            let found = Ahead::new(text.as_bytes()).lone_quote(0).unwrap().unwrap();
            assert_eq!((found.ends_cell, found.newline), (true, newline), "{text:?}");
        }
    }
}
