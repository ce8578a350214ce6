//! A witness as a test in a rule's own file: what an analyst keeps of a case.

use std::fmt::Write as _;

use crate::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, Chunk, DEVICE_ID, EVENT_ID, EVENT_TIME, FieldId,
    GROUP_ID, KIND, Kind, PACKET_ID, SEQ, Value,
};
use crate::expr::{self, Zone};
use crate::unseen::printable;

/// The events as a `[[test]]` in which the rule hits on the last. None where a value has the quote in
/// which values stand. What was late stands where it counted.
pub(super) fn test(chunk: &Chunk, effective: &[i64], zone: &Zone) -> Option<String> {
    let (start, last) = (*effective.first()?, chunk.len().checked_sub(1)?);
    let mut test = String::from("[[test]]\n");
    // Writing to a string cannot fail.
    let _ = writeln!(test, "name = {}", quoted(&format!("as on {}", chunk.str(EVENT_ID, last))));
    let _ = writeln!(test, "start = {}", quoted(&zone.moment(start)));
    test.push_str("given = [\n");
    for (row, time) in effective.iter().enumerate() {
        let mut line = event(chunk, row, time - start)?;
        if row == last {
            line.push_str(" as=last");
        }
        let _ = writeln!(test, "  {},", quoted(&line));
    }
    test.push_str("]\nexpect = { event = \"last\", hit = true }\n");
    Some(test)
}

/// A line of a timeline, see [`crate::rules::timeline`].
fn event(chunk: &Chunk, row: usize, offset: i64) -> Option<String> {
    let kind = chunk.kind(row);
    let mut line = format!("{} {}", expr::format_duration(offset), kind.name());
    let mut written = vec![EVENT_ID, EVENT_TIME, KIND, SEQ];
    for field in [GROUP_ID, ACCOUNT_ID] {
        // What does not fit in front of the others is one of them.
        let fits = |value: &&str| is_word(value) && *value != "-";
        let value = Some(chunk.str(field, row)).filter(fits);
        written.extend(value.map(|_| field));
        let _ = write!(line, " {}", value.unwrap_or("-"));
    }
    for (at, field) in chunk.schema().fields().iter().enumerate() {
        let id = FieldId(at as u16);
        if written.contains(&id) {
            continue;
        }
        let value = match chunk.value(id, row) {
            Value::Null => continue,
            Value::Int(fen) if id == AMOUNT_FEN => expr::format_yuan(fen),
            Value::Int(value) => value.to_string(),
            Value::Double(value) => format!("{value:?}"),
            Value::Bool(value) => value.to_string(),
            Value::Str(text) if is_word(text) => text.to_owned(),
            Value::Str(text) if text.contains('\'') => return None,
            Value::Str(text) => format!("'{text}'"),
        };
        let name = match (id, kind) {
            (AMOUNT_FEN, _) => "amount",
            (DEVICE_ID, _) => "device",
            (PACKET_ID, _) => "packet",
            (COUNTERPARTY_ID, Kind::Claim) => "payer",
            (COUNTERPARTY_ID, Kind::Transfer) => "payee",
            _ => field.name.as_str(),
        };
        let _ = write!(line, " {name}={value}");
    }
    Some(line)
}

/// Whether a value can stand without quotes.
fn is_word(value: &str) -> bool {
    !value.is_empty() && !value.contains(|c: char| c == '\'' || c.is_whitespace())
}

/// A string of TOML, with escapes for all that is not seen or turns what is.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if !printable(&c.to_string()).starts_with(c) => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{ChunkBuilder, Position, Raw, Schema, TEXT};

    fn written(account: &str, text: &str) -> Option<String> {
        let mut builder = ChunkBuilder::new(Arc::new(Schema::default()));
        let values = [
            (EVENT_ID, Raw::Str("e \"1\"")),
            (EVENT_TIME, Raw::Int(1_707_480_000_123)),
            (KIND, Raw::Str("transfer")),
            (ACCOUNT_ID, Raw::Str(account)),
            (COUNTERPARTY_ID, Raw::Str("ada")),
            (AMOUNT_FEN, Raw::Int(1205)),
            (TEXT, Raw::Str(text)),
        ];
        builder.push(values, Position { source: 0, at: 0 }).unwrap();
        test(&builder.finish(), &[1_707_480_000_123], &Zone::new("Asia/Shanghai").unwrap())
    }

    #[test]
    fn values_that_are_no_words_are_quoted_and_nothing_gets_out_of_its_line() {
        let plain = written("bob", "100-6").unwrap();
        let expected = "[[test]]\nname = \"as on e \\\"1\\\"\"\n\
                        start = \"2024-02-09T20:00:00.123+08:00\"\ngiven = [\n  \
                        \"0s transfer - bob payee=ada amount=12.05 text=100-6 as=last\",\n]\n\
                        expect = { event = \"last\", hit = true }\n";
        assert_eq!(plain, expected);
        let odd = written("bob the -", "a\n\u{1b}[31m\"\\").unwrap();
        assert!(odd.contains("transfer - - account_id='bob the -' payee=ada"), "{odd}");
        assert!(odd.contains("text='a\\U0000000A\\U0000001B[31m\\\"\\\\' as=last"), "{odd}");
        assert_eq!(odd.lines().count(), plain.lines().count());
        assert_eq!(written("bob", "it's"), None);
    }
}
