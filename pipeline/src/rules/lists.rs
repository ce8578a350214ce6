//! `lists/NAME.csv`: values, and when each is on the list.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use crate::csv_cells;
use crate::diagnostic::{Diagnostic, Message};
use crate::expr::{List, Zone};

/// The columns, all of which the header must name.
const COLUMNS: [&str; 5] = ["value", "valid_from", "valid_until", "added_by", "reason"];

/// Reads a list: a time is RFC 3339 or a date (its first moment in the policy's zone), and an
/// empty one has no bound.
pub fn read(file: &Path, text: &str, zone: &Zone) -> (List, Vec<Diagnostic>) {
    let mut list = List::default();
    let mut diagnostics = Vec::new();
    let mut fail = |span: Range<usize>, message: Message| {
        diagnostics.push(Diagnostic::error("bad-list", file, Some(span), message));
    };
    let mut rows = rows(text);
    let header = rows.next();
    match header {
        Some((_, Ok(names))) if names.iter().map(|name| name.trim()).eq(COLUMNS) => {}
        Some((span, Err(message))) => {
            fail(span, message);
            return (list, diagnostics);
        }
        _ => {
            let wanted = COLUMNS.join(",");
            fail(
                header.map_or(0..0, |(span, _)| span),
                Message::new(
                    format!("the header is not `{wanted}`"),
                    format!("表头应为 `{wanted}`"),
                ),
            );
            return (list, diagnostics);
        }
    }
    for (span, cells) in rows {
        let cells = match cells {
            Ok(cells) => cells,
            Err(message) => {
                fail(span, message);
                continue;
            }
        };
        let cell = |place: usize| cells.get(place).map_or("", |cell| cell.trim());
        let times = (time(cell(1), zone, i64::MIN), time(cell(2), zone, i64::MAX));
        match times {
            _ if cells.len() != COLUMNS.len() || cell(0).is_empty() => fail(
                span,
                Message::new("a row needs a value and five cells", "每行需要值并且共五列"),
            ),
            (Some(from), Some(until)) if from < until => list.add(cell(0), from, until),
            (Some(_), Some(_)) => fail(
                span,
                Message::new(
                    "valid_until is not after valid_from",
                    "valid_until 应晚于 valid_from",
                ),
            ),
            _ => fail(
                span,
                Message::new(
                    "a time is neither a date nor RFC 3339 with an offset",
                    "时间应为日期或带时区的 RFC 3339",
                ),
            ),
        }
    }
    (list, diagnostics)
}

/// The rows of a list, the header first: where each stands, and its cells or why it has none.
fn rows(text: &str) -> impl Iterator<Item = (Range<usize>, Result<Vec<String>, Message>)> {
    csv_cells::lines(text.as_bytes()).map(|line| {
        (line.span, line.cells.map(|cells| cells.into_iter().map(Cow::into_owned).collect()))
    })
}

/// What is wrong with the values of a list that is taken for a calendar: each is a day such as
/// `2024-02-09`, and another spelling of it would never be met.
pub fn no_days(file: &Path, text: &str) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    let mut values = 0;
    for (span, cells) in rows(text).skip(1) {
        let Ok(cells) = cells else { continue };
        let value = cells.first().map_or("", |cell| cell.trim());
        values += usize::from(!value.is_empty());
        if value.is_empty() || is_day(value) {
            continue;
        }
        let message = Message::new(
            format!("`{value}` is no day, and the list is used as a calendar"),
            format!("`{value}` 不是日期,而该名单被用作日历"),
        );
        let hint = Message::new("write a day as 2024-02-09", "日期写作 2024-02-09");
        let error = Diagnostic::error("not-a-day", file, Some(span), message);
        wrong.push(error.with_hint(Some(hint)));
    }
    // Where none is a day it is another list that is meant, and one line says enough.
    if wrong.len() == values {
        wrong.truncate(1);
    }
    wrong
}

fn is_day(text: &str) -> bool {
    // As it is written again, for the parser takes other spellings and whole times too.
    text.parse::<jiff::civil::Date>().is_ok_and(|day| day.to_string() == text)
}

/// A row of a list as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each text is the column of that name")]
pub struct ListEntry {
    pub value: String,
    pub valid_from: String,
    pub valid_until: String,
    pub added_by: String,
    pub reason: String,
    /// From when on it is valid, in ms since 1970 UTC.
    pub from: i64,
    /// Until before when it is valid.
    pub until: i64,
}

/// The rows of a list that [`read`] takes without a mistake, with who added each and why.
pub fn entries(text: &str, zone: &Zone) -> Vec<ListEntry> {
    let entry = |cells: Vec<String>| {
        let cell = |place: usize| cells.get(place).map_or("", |cell| cell.trim()).to_owned();
        Some(ListEntry {
            from: time(&cell(1), zone, i64::MIN)?,
            until: time(&cell(2), zone, i64::MAX)?,
            value: cell(0),
            valid_from: cell(1),
            valid_until: cell(2),
            added_by: cell(3),
            reason: cell(4),
        })
    };
    rows(text).skip(1).filter_map(|(_, cells)| cells.ok()).filter_map(entry).collect()
}

fn time(text: &str, zone: &Zone, unbounded: i64) -> Option<i64> {
    if text.is_empty() {
        return Some(unbounded);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    // A time without an offset reads as a date too, and would lose its time of day.
    let date: jiff::civil::Date = text.parse().ok().filter(|_| is_day(text))?;
    let start = date.in_tz(zone.name()).ok()?;
    Some(start.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_begins_with_its_day_in_the_zone() {
        let zone = Zone::new("Asia/Shanghai").unwrap();
        let text = "value,valid_from,valid_until,added_by,reason\n\
                    u1,2024-02-09,2024-02-10T00:00:00Z,li,seen\nu2,,,li,\n";
        let (list, diagnostics) = read(Path::new("x.csv"), text, &zone);
        assert_eq!(diagnostics, []);
        let on = |value, time: &str| {
            let time: jiff::Timestamp = time.parse().unwrap();
            list.contains(value, time.as_millisecond())
        };
        assert!(!on("u1", "2024-02-08T15:59:59Z"));
        assert!(on("u1", "2024-02-08T16:00:00Z"));
        assert!(!on("u1", "2024-02-10T00:00:00Z"));
        assert!(on("u2", "2099-01-01T00:00:00Z"));
    }

    #[test]
    fn every_bad_row_is_shown_where_it_stands() {
        let zone = Zone::new("UTC").unwrap();
        let text = "value,valid_from,valid_until,added_by,reason\n\
                    ,2024-01-01,,li,\nu1,soon,,li,\nu1,2024-01-01T10:00:00,,li,\nu2,2024-01-02,2024-01-01,li,\nu3,,\n";
        let (list, diagnostics) = read(Path::new("x.csv"), text, &zone);
        assert!(list.is_empty());
        let lines: Vec<&str> = diagnostics.iter().map(|d| &text[d.span.clone().unwrap()]).collect();
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines[1].starts_with("u1"));
    }
    /// A quote that is opened in haste hides no row after it.
    #[test]
    fn a_quote_that_is_not_closed_is_a_mistake_on_its_line() {
        let zone = Zone::new("UTC").unwrap();
        let text = "value,valid_from,valid_until,added_by,reason\n\
                    u9,,,li,\"opened in haste\nu10,,,li,\"seen, twice\"\n\
                    u11,,,li,\"over\ntwo lines\"\n";
        let (list, diagnostics) = read(Path::new("x.csv"), text, &zone);
        assert!(list.contains("u10", 0) && !list.contains("u9", 0));
        let shown: Vec<(&str, &str)> = diagnostics
            .iter()
            .map(|found| (&text[found.span.clone().unwrap()], found.message.en.as_str()))
            .collect();
        let open = "a quote is opened and not closed on its line";
        let inside = "a quote inside a cell that does not start with one";
        assert_eq!(
            shown,
            [
                ("u9,,,li,\"opened in haste", open),
                ("u11,,,li,\"over", open),
                ("two lines\"", inside),
            ]
        );
        let reasons: Vec<String> = entries(text, &zone).into_iter().map(|row| row.reason).collect();
        assert_eq!(reasons, ["seen, twice"]);
    }
}
