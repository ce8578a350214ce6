//! CSV of lists and labels: a record a line, its cells quoted or not. A quoted cell may hold commas
//! and doubled quotes, and no line break: so a quote that is never closed is a mistake on its own
//! line, where elsewhere it would swallow the lines after it.

use std::borrow::Cow;
use std::ops::Range;

use crate::diagnostic::Message;

/// One line that is not blank.
#[derive(Debug)]
pub(crate) struct Line<'b> {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Where it stands, in bytes, without its line end.
    pub(crate) span: Range<usize>,
    /// Its cells, or why it has none.
    pub(crate) cells: Result<Vec<Cow<'b, [u8]>>, Message>,
}

/// The lines of a file that are not blank. A byte order mark before the first is left out.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut next = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let numbered = (1..).zip(bytes[next..].split(|&byte| byte == b'\n'));
    numbered.filter_map(move |(number, whole)| {
        let start = next;
        next += whole.len() + 1;
        let line = whole.strip_suffix(b"\r").unwrap_or(whole);
        let span = start..start + line.len();
        (!line.is_empty()).then(|| Line { number, span, cells: cells(line) })
    })
}

fn cells(line: &[u8]) -> Result<Vec<Cow<'_, [u8]>>, Message> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let (cell, after) = match rest {
            [b'"', quoted @ ..] => unquoted(quoted)?,
            _ => plain(rest)?,
        };
        cells.push(cell);
        match after {
            [] => return Ok(cells),
            [b',', more @ ..] => rest = more,
            _ => {
                return Err(Message::new(
                    "text after the quote that closes a cell",
                    "单元格的右引号之后还有内容",
                ));
            }
        }
    }
}

/// The cell that begins without a quote, and what comes after it.
fn plain(rest: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Message> {
    let end = rest.iter().position(|&byte| byte == b',').unwrap_or(rest.len());
    let (cell, after) = rest.split_at(end);
    if cell.contains(&b'"') {
        return Err(Message::new(
            "a quote inside a cell that does not start with one",
            "未以引号开头的单元格中含有引号",
        ));
    }
    Ok((Cow::Borrowed(cell), after))
}

/// The cell whose text begins after its quote, and what comes after the quote that closes it.
fn unquoted(text: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Message> {
    let mut undoubled = Vec::new();
    let mut rest = text;
    loop {
        let Some(quote) = rest.iter().position(|&byte| byte == b'"') else {
            return Err(Message::new(
                "a quote is opened and not closed on its line",
                "引号在本行内没有闭合",
            ));
        };
        match &rest[quote + 1..] {
            [b'"', more @ ..] => {
                undoubled.extend_from_slice(&rest[..=quote]);
                rest = more;
            }
            after if undoubled.is_empty() => return Ok((Cow::Borrowed(&rest[..quote]), after)),
            after => {
                undoubled.extend_from_slice(&rest[..quote]);
                return Ok((Cow::Owned(undoubled), after));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line's number, what stands there, and its cells or what is wrong.
    type Read<'t> = (u64, &'t str, Result<Vec<String>, String>);

    fn read(text: &str) -> Vec<Read<'_>> {
        let owned = |cell: &Cow<'_, [u8]>| String::from_utf8_lossy(cell).into_owned();
        lines(text.as_bytes())
            .map(|line| {
                let cells = line.cells.map(|cells| cells.iter().map(owned).collect());
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
