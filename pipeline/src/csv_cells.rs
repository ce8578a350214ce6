//! The cells of a CSV record (RFC 4180), quoted or not: of events, and of lists and labels, whose
//! records are lines.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr_iter};

use crate::diagnostic::Message;

/// The cells of one record. Kept from record to record for its memory.
#[derive(Default)]
pub(crate) struct Cells {
    spans: Vec<Span>,
    /// Cells in which a doubled quote had to be undone.
    unescaped: String,
}

/// Offsets fit in 32 bits: a record is a few MiB at most.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    /// Whether the span is one of `unescaped`, not of the record.
    unescaped: bool,
}

/// What is wrong with the quotes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slip {
    Unclosed,
    InsideCell,
    TextAfter,
}

impl Slip {
    pub(crate) fn message(self) -> Message {
        match self {
            Slip::Unclosed => {
                Message::new("a quote is opened and never closed", "引号一直没有闭合")
            }
            Slip::InsideCell => Message::new(
                "a quote inside a cell that does not start with one",
                "未以引号开头的单元格中含有引号",
            ),
            Slip::TextAfter => Message::new(
                "text after the quote that closes a cell",
                "单元格的右引号之后还有内容",
            ),
        }
    }
}

impl Cells {
    /// Cuts `record`, which has no line end behind it.
    pub(crate) fn read(&mut self, record: &str) -> Result<(), Slip> {
        if memchr(b'"', record.as_bytes()).is_some() {
            self.spans.clear();
            self.unescaped.clear();
            return self.read_quoted(record);
        }
        self.read_plain(record);
        Ok(())
    }

    /// The same where it is known that there is no quote in the record.
    pub(crate) fn read_plain(&mut self, record: &str) {
        self.spans.clear();
        self.unescaped.clear();
        let mut start = 0;
        for comma in memchr_iter(b',', record.as_bytes()) {
            self.push(start, comma);
            start = comma + 1;
        }
        self.push(start, record.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// A cell of `record`, the one that was read.
    #[inline]
    pub(crate) fn get<'a>(&'a self, record: &'a str, cell: usize) -> &'a str {
        let span = self.spans[cell];
        let text = if span.unescaped { &self.unescaped } else { record };
        &text[span.start as usize..span.end as usize]
    }

    fn read_quoted(&mut self, record: &str) -> Result<(), Slip> {
        let bytes = record.as_bytes();
        let mut at = 0;
        loop {
            let end = if bytes.get(at) == Some(&b'"') {
                let close = closing_quote(bytes, at + 1).ok_or(Slip::Unclosed)?;
                self.push_quoted(record, at + 1, close);
                close + 1
            } else {
                let end = memchr(b',', &bytes[at..]).map_or(bytes.len(), |comma| at + comma);
                if memchr(b'"', &bytes[at..end]).is_some() {
                    return Err(Slip::InsideCell);
                }
                self.push(at, end);
                end
            };
            match bytes.get(end) {
                None => return Ok(()),
                Some(b',') => at = end + 1,
                Some(_) => return Err(Slip::TextAfter),
            }
        }
    }

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

/// The quote that closes a cell whose text starts at `from`; a doubled quote is text.
pub(crate) fn closing_quote(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let quote = from + memchr(b'"', &bytes[from..])?;
        if bytes.get(quote + 1) != Some(&b'"') {
            return Some(quote);
        }
        from = quote + 2;
    }
}

/// One line that is not blank.
#[derive(Debug)]
pub(crate) struct Line<'b> {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Where it stands, in bytes, without its line end.
    pub(crate) span: Range<usize>,
    /// Its cells, or why it has none.
    pub(crate) cells: Result<Vec<Cow<'b, str>>, Message>,
}

/// The records of a file of which each is a line, blank ones left out, and a byte order mark before
/// the first. No cell holds a line break, so that a quote that is never closed is a mistake on its
/// own line and swallows none of those after it.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut next = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut cells = Cells::default();
    let numbered = (1..).zip(bytes[next..].split(|&byte| byte == b'\n'));
    numbered.filter_map(move |(number, whole)| {
        let start = next;
        next += whole.len() + 1;
        let line = whole.strip_suffix(b"\r").unwrap_or(whole);
        let span = start..start + line.len();
        (!line.is_empty()).then(|| Line { number, span, cells: cells_of_line(line, &mut cells) })
    })
}

fn cells_of_line<'b>(line: &'b [u8], cells: &mut Cells) -> Result<Vec<Cow<'b, str>>, Message> {
    let line = std::str::from_utf8(line).map_err(|_| {
        Message::new("the line has bytes that are not UTF-8", "该行含有非 UTF-8 字节")
    })?;
    cells.read(line).map_err(|slip| match slip {
        Slip::Unclosed => {
            Message::new("a quote is opened and not closed on its line", "引号在本行内没有闭合")
        }
        Slip::InsideCell | Slip::TextAfter => slip.message(),
    })?;
    let cell = |(at, span): (usize, &Span)| {
        if span.unescaped {
            Cow::Owned(cells.get(line, at).to_owned())
        } else {
            Cow::Borrowed(&line[span.start as usize..span.end as usize])
        }
    };
    Ok(cells.spans.iter().enumerate().map(cell).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line's number, what stands there, and its cells or what is wrong.
    type Read<'t> = (u64, &'t str, Result<Vec<String>, String>);

    fn read(text: &str) -> Vec<Read<'_>> {
        lines(text.as_bytes())
            .map(|line| {
                let cells =
                    line.cells.map(|cells| cells.into_iter().map(Cow::into_owned).collect());
                (line.number, &text[line.span], cells.map_err(|message| message.en))
            })
            .collect()
    }

    fn cells_of(line: &str) -> Vec<String> {
        read(line).remove(0).2.unwrap()
    }

    #[test]
    fn a_line_is_cells() {
        assert_eq!(cells_of("a,b,"), ["a", "b", ""]);
        assert_eq!(cells_of(","), ["", ""]);
        assert_eq!(
            cells_of("\"a, b\",\"\",\"she said \"\"no\"\"\""),
            ["a, b", "", "she said \"no\""]
        );
        assert_eq!(cells_of("\"\"\"\",x"), ["\"", "x"]);
    }

    #[test]
    fn lines_are_counted_with_the_blank_ones_and_stand_where_they_are() {
        let found = read("\u{feff}a\r\n\n\r\n\"b\"\n c");
        let places: Vec<(u64, &str)> = found.iter().map(|(line, text, _)| (*line, *text)).collect();
        assert_eq!(places, [(1, "a"), (4, "\"b\""), (5, " c")]);
        assert!(read("").is_empty() && read("\n\n").is_empty());
    }

    /// A quote that is not closed takes no line but its own.
    #[test]
    fn a_mistaken_quote_is_told_on_its_line() {
        let open = "a quote is opened and not closed on its line";
        let inside = "a quote inside a cell that does not start with one";
        let after = "text after the quote that closes a cell";
        for (line, expect) in [
            ("u9,,,li,\"opened in haste", open),
            ("\"", open),
            ("\"a\"\"", open),
            ("5\" pipe,x", inside),
            (" \"a\"", inside),
            ("\"a\" ,b", after),
            ("\"a\"b", after),
        ] {
            let text = format!("{line}\nu10,x");
            let found = read(&text);
            assert_eq!(found[0].2, Err(expect.to_owned()), "{line}");
            assert_eq!(found[1].2, Ok(vec!["u10".to_owned(), "x".to_owned()]), "{line}");
        }
    }
}
