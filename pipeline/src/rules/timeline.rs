//! `[[test]]` of a rule file: a timeline of events with a virtual clock, and what is expected.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Message};
use crate::document::{Reader, integer_of};
use crate::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, Chunk, ChunkBuilder, EVENT_ID, EVENT_TIME, FieldId,
    GROUP_ID, KIND, Position, Raw, SEQ, Schema,
};
use crate::expr::{Constant, duration, yuan};

/// When a timeline starts that does not say: 2024-01-01T12:00:00+08:00.
const START: i64 = 1_704_081_600_000;

/// One test of a rule.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its name, unique in its file.
    pub name: String,
    /// The events, in the order written.
    pub events: Vec<TimelineEvent>,
    /// When the timeline starts, in ms.
    pub start: i64,
    /// Feature values that are given instead of computed.
    pub pinned: BTreeMap<String, Constant>,
    /// The place of the event that is looked at.
    pub event: usize,
    /// Whether the rule should hit it.
    pub hit: bool,
    /// What a miss should lack.
    pub short_by: Option<String>,
}

/// One line of a timeline.
#[derive(Clone, Debug)]
pub struct TimelineEvent {
    offset: i64,
    kind: String,
    group: String,
    account: String,
    fields: Vec<(String, String)>,
    name: Option<String>,
}

/// Reads the tests of a rule file, and every mistake in them.
pub fn read(path: &Path, text: &str) -> (Vec<Test>, Vec<Diagnostic>) {
    let mut reader = Reader::new(path, text);
    let root = reader.parse();
    let mut tests: Vec<Test> = Vec::new();
    if let Some(node) = root.get_ref().get("test") {
        let DeValue::Array(items) = node.get_ref() else { return (tests, reader.finish()) };
        for item in items {
            let Some(table) = reader.as_table("test", item) else { continue };
            let test = test(&mut reader, table, item.span(), &tests);
            tests.extend(test);
        }
    }
    (tests, reader.finish())
}

fn test(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    span: Range<usize>,
    before: &[Test],
) -> Option<Test> {
    reader
        .known_keys(table, &["name", "start", "given", "from", "set", "given_features", "expect"]);
    reader.required_keys(table, span.clone(), &["name", "expect"]);
    let name = reader.string(table, "name")?.into_inner();
    let from = reader.string(table, "from");
    let base = from.as_ref().and_then(|from| {
        let base = before.iter().find(|test| test.name == *from.get_ref());
        if base.is_none() {
            let message = Message::new(
                format!("there is no test `{}` before this one", from.get_ref()),
                format!("前面没有测试 `{}`", from.get_ref()),
            );
            reader.fail("unknown-test", from.span(), message, None);
        }
        base
    });
    let mut events = base.map(|base| base.events.clone()).unwrap_or_default();
    for line in reader.strings(table, "given").unwrap_or_default() {
        match event(line.get_ref()) {
            Ok(event) => events.push(event),
            Err(message) => reader.fail("bad-timeline", line.span(), message, None),
        }
    }
    set(reader, table, &mut events);
    let start = reader.string(table, "start").and_then(|text| {
        let time = text.get_ref().parse::<jiff::Timestamp>();
        if time.is_err() {
            let message = Message::new("`start` is not RFC 3339", "`start` 不是 RFC 3339 时间");
            reader.fail("bad-time", text.span(), message, None);
        }
        Some(time.ok()?.as_millisecond())
    });
    let start = start.or(base.map(|base| base.start)).unwrap_or(START);
    let pinned = pinned(reader, table);
    let expect = reader.table(table, "expect")?;
    reader.known_keys(expect, &["event", "hit", "short_by"]);
    reader.required_keys(expect, span.clone(), &["event", "hit"]);
    let event = place(reader, expect, &events, span)?;
    let hit = reader.boolean(expect, "hit")?;
    let short_by = reader.string(expect, "short_by").map(toml::Spanned::into_inner);
    Some(Test { name, events, start, pinned, event, hit, short_by })
}

/// `set = { NAME = "field=value ..." }`: the same timeline with some fields changed.
fn set(reader: &mut Reader<'_>, table: &DeTable<'_>, events: &mut [TimelineEvent]) {
    let Some(changes) = reader.table(table, "set") else { return };
    for (name, node) in changes {
        let Some(text) = reader.as_string(name.get_ref(), node) else { continue };
        let Some(event) = find(events, name.get_ref()) else {
            let message = Message::new(
                format!("no event is called `{}`", name.get_ref()),
                format!("没有名为 `{}` 的事件", name.get_ref()),
            );
            reader.fail("unknown-event", name.span(), message, None);
            continue;
        };
        for word in words(text.get_ref()) {
            match word.split_once('=') {
                Some(("at", offset)) if duration(offset).is_some() => {
                    events[event].offset = duration(offset).unwrap_or(0);
                }
                Some((field, value)) => {
                    let fields = &mut events[event].fields;
                    fields.retain(|(held, _)| held != field);
                    fields.push((field.to_owned(), unquoted(value)));
                }
                None => {
                    let message = Message::new("write field=value", "请写 field=value");
                    reader.fail("bad-timeline", text.span(), message, None);
                }
            }
        }
    }
}

fn pinned(reader: &mut Reader<'_>, table: &DeTable<'_>) -> BTreeMap<String, Constant> {
    let mut pinned = BTreeMap::new();
    let Some(given) = reader.table(table, "given_features") else { return pinned };
    flatten(given, String::new(), &mut pinned);
    pinned
}

/// Dotted keys of TOML are tables in tables.
fn flatten(table: &DeTable<'_>, prefix: String, out: &mut BTreeMap<String, Constant>) {
    for (key, node) in table {
        let name = if prefix.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{prefix}.{}", key.get_ref())
        };
        let constant = match node.get_ref() {
            DeValue::Table(inner) => {
                flatten(inner, name, out);
                continue;
            }
            DeValue::Boolean(value) => Some(Constant::Bool(*value)),
            DeValue::String(text) => Some(Constant::Str(text.to_string())),
            DeValue::Float(value) => value.as_str().parse().ok().map(Constant::Double),
            value => integer_of(value).map(Constant::Int),
        };
        out.extend(constant.map(|constant| (name, constant)));
    }
}

fn place(
    reader: &mut Reader<'_>,
    expect: &DeTable<'_>,
    events: &[TimelineEvent],
    span: Range<usize>,
) -> Option<usize> {
    let node = expect.get("event")?;
    let place = match node.get_ref() {
        DeValue::String(name) => find(events, name),
        value => integer_of(value)
            .and_then(|at| usize::try_from(at - 1).ok())
            .filter(|at| *at < events.len()),
    };
    if place.is_none() {
        let message = Message::new("there is no such event", "没有这个事件");
        reader.fail("unknown-event", span, message, None);
    }
    place
}

fn find(events: &[TimelineEvent], name: &str) -> Option<usize> {
    events.iter().position(|event| event.name.as_deref() == Some(name))
}

/// `OFFSET KIND GROUP|- ACCOUNT|- field=value...`
fn event(line: &str) -> Result<TimelineEvent, Message> {
    let words = words(line);
    let [offset, kind, group, account, rest @ ..] = words.as_slice() else {
        return Err(Message::new(
            "a line is OFFSET KIND GROUP ACCOUNT field=value...",
            "一行应为:偏移 类型 群 账号 field=value...",
        ));
    };
    let Some(offset) = duration(offset) else {
        return Err(Message::new(
            format!("`{offset}` is not an offset such as 90s or 1h30m"),
            format!("`{offset}` 不是 90s、1h30m 这样的偏移"),
        ));
    };
    let plain = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
    let mut event = TimelineEvent {
        offset,
        kind: kind.clone(),
        group: plain(group),
        account: plain(account),
        fields: Vec::new(),
        name: None,
    };
    for word in rest {
        match word.split_once('=') {
            Some(("as", name)) => event.name = Some(name.to_owned()),
            Some((field, value)) => event.fields.push((field.to_owned(), unquoted(value))),
            None => {
                return Err(Message::new(
                    format!("`{word}` is not field=value"),
                    format!("`{word}` 不是 field=value"),
                ));
            }
        }
    }
    Ok(event)
}

/// Splits at blanks that are not in single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => {
                words.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(word) = words.last_mut() {
            word.push(character);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn unquoted(value: &str) -> String {
    value.replace('\'', "")
}

impl Test {
    /// The id of the event that is looked at.
    pub fn event_id(&self) -> String {
        id(self.event)
    }

    /// The timeline as events; an event that breaks the schema is a mistake of the test.
    pub fn chunk(&self, schema: &Arc<Schema>) -> Result<Chunk, String> {
        let mut builder = ChunkBuilder::new(schema.clone());
        for (at, event) in self.events.iter().enumerate() {
            let fail = |detail: String| format!("event {}: {detail}", at + 1);
            let own_id = id(at);
            let mut cells: Vec<(FieldId, Cell)> = vec![
                (EVENT_ID, Cell::Text(own_id)),
                (EVENT_TIME, Cell::Int(self.start + event.offset)),
                (KIND, Cell::Text(event.kind.clone())),
                (GROUP_ID, Cell::Text(event.group.clone())),
                (ACCOUNT_ID, Cell::Text(event.account.clone())),
                (SEQ, Cell::Int(at as i64)),
            ];
            for (name, value) in &event.fields {
                let cell = cell(schema, name, value).map_err(fail)?;
                cells.retain(|(held, _)| *held != cell.0);
                cells.push(cell);
            }
            let raw = cells.iter().map(|(field, cell)| match cell {
                Cell::Int(value) => (*field, Raw::Int(*value)),
                Cell::Text(text) => (*field, Raw::Cell(text.as_bytes())),
            });
            let position = Position { source: 0, at: at as u64 };
            builder.push(raw, position).map_err(|refusal| fail(refusal.detail))?;
        }
        Ok(builder.finish())
    }
}

enum Cell {
    Int(i64),
    Text(String),
}

fn id(at: usize) -> String {
    format!("event-{:05}", at + 1)
}

/// A field's value; amounts are in yuan, and ids may be named without `_id`.
fn cell(schema: &Schema, name: &str, value: &str) -> Result<(FieldId, Cell), String> {
    let text = || Cell::Text(value.to_owned());
    match name {
        "amount" => match yuan(value) {
            Some(fen) => Ok((AMOUNT_FEN, Cell::Int(fen))),
            None => Err(format!("`{value}` is not an amount in yuan")),
        },
        "payer" | "payee" | "counterparty" => Ok((COUNTERPARTY_ID, text())),
        "id" => Ok((EVENT_ID, text())),
        name => {
            let field = schema.find(name).or_else(|| schema.find(&format!("{name}_id")));
            field.map(|field| (field, text())).ok_or_else(|| format!("unknown field `{name}`"))
        }
    }
}
