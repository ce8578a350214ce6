//! `lists/NAME.csv`: values, and when each is on the list.

use std::path::Path;

use crate::diagnostic::{Diagnostic, Message};
use crate::expr::{List, Zone};

/// The columns, all of which the header must name.
const COLUMNS: [&str; 5] = ["value", "valid_from", "valid_until", "added_by", "reason"];

/// Reads a list: a time is RFC 3339 or a date (its first moment in the policy's zone), and an
/// empty one has no bound.
pub fn read(file: &Path, text: &str, zone: &Zone) -> (List, Vec<Diagnostic>) {
    let mut list = List::default();
    let mut diagnostics = Vec::new();
    let mut fail = |at: u64, message: Message| {
        let start = at as usize;
        let end = text[start.min(text.len())..].find('\n').map_or(text.len(), |len| start + len);
        diagnostics.push(Diagnostic::error("bad-list", file, Some(start..end), message));
    };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let header: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
        Err(_) => Vec::new(),
    };
    if header != COLUMNS {
        let wanted = COLUMNS.join(",");
        fail(
            0,
            Message::new(format!("the header is not `{wanted}`"), format!("表头应为 `{wanted}`")),
        );
        return (list, diagnostics);
    }
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let at = error.position().map_or(0, csv::Position::byte);
                fail(at, Message::new(format!("unreadable: {error}"), format!("无法读取:{error}")));
                continue;
            }
        };
        let at = record.position().map_or(0, csv::Position::byte);
        let cell = |place: usize| record.get(place).unwrap_or("").trim();
        let times = (time(cell(1), zone, i64::MIN), time(cell(2), zone, i64::MAX));
        match times {
            _ if record.len() != COLUMNS.len() || cell(0).is_empty() => {
                fail(at, Message::new("a row needs a value and five cells", "每行需要值并且共五列"))
            }
            (Some(from), Some(until)) if from < until => list.add(cell(0), from, until),
            (Some(_), Some(_)) => fail(
                at,
                Message::new(
                    "valid_until is not after valid_from",
                    "valid_until 应晚于 valid_from",
                ),
            ),
            _ => fail(
                at,
                Message::new(
                    "a time is neither a date nor RFC 3339 with an offset",
                    "时间应为日期或带时区的 RFC 3339",
                ),
            ),
        }
    }
    (list, diagnostics)
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
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let entry = |record: csv::StringRecord| {
        let cell = |place: usize| record.get(place).unwrap_or("").trim().to_owned();
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
    reader.records().filter_map(Result::ok).filter_map(entry).collect()
}

fn time(text: &str, zone: &Zone, unbounded: i64) -> Option<i64> {
    if text.is_empty() {
        return Some(unbounded);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    if date.to_string() != text {
        // A time without an offset reads as a date too, and would lose its time of day.
        return None;
    }
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
}
