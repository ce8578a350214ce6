//! From `[[test]]` tables to events and expectations.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::line::{self, Line};
use super::{EXPECT_KEYS, Expectation, START_DEFAULT, TEST_KEYS, Test};
use crate::decision::Verdict;
use crate::diagnostic::Message;
use crate::document::{Node, Reader, Text, integer_of, suggest};
use crate::event::{ChunkBuilder, EVENT_ID, EVENT_TIME, KIND, Position, Raw, SEQ, Schema};
use crate::expr::{Amount, Constant, Shortfall};
use crate::rules::params;

/// A timeline longer than this is a data set, and belongs into a story.
const LINES_MAX: usize = 10_000;

/// A test whose lines are read: what a later test can start from.
struct Read {
    name: String,
    start: i64,
    /// None where it is not known which lines are meant: of events no more is said then.
    lines: Option<Vec<Line>>,
}

/// Reads all tests of a rule file.
pub(crate) fn parse_all<'t>(
    reader: &mut Reader<'t>,
    table: &DeTable<'t>,
    schema: &Schema,
) -> Vec<Test> {
    let Some(node) = table.get("test") else { return Vec::new() };
    let DeValue::Array(items) = node.get_ref() else {
        reader.wrong_type::<()>("test", node, ("an array of tables, [[test]]", "表数组 [[test]]"));
        return Vec::new();
    };
    let schema = Arc::new(schema.clone());
    let mut earlier: Vec<Read> = Vec::new();
    let mut tests = Vec::new();
    for item in items {
        let Some(table) = reader.as_table("test", item) else { continue };
        let mut parser = Parser { reader, schema: &schema, earlier: &earlier };
        let (read, test) = parser.test(table, item.span());
        earlier.push(read);
        tests.extend(test);
    }
    tests
}

struct Parser<'p, 't> {
    reader: &'p mut Reader<'t>,
    schema: &'p Arc<Schema>,
    earlier: &'p [Read],
}

impl<'t> Parser<'_, 't> {
    /// Reads a test to its end, whatever is wrong with it; none that can be run is given then.
    fn test(&mut self, table: &DeTable<'t>, span: Range<usize>) -> (Read, Option<Test>) {
        self.reader.known_keys(table, TEST_KEYS);
        self.reader.required_keys(table, span.clone(), &["name", "expect"]);
        let name = self.reader.string(table, "name");
        let named = name.is_some();
        let name = name.unwrap_or_else(|| Text::new(span.clone(), String::new()));
        if named && self.earlier.iter().any(|read| read.name == *name.get_ref()) {
            let message = Message::new(
                "another test of this rule has the same name",
                "该规则的另一个测试使用了相同的名称",
            );
            self.reader.fail("duplicate-test", name.span(), message, None);
        }
        let start = self.start(table);
        let (start, mut lines) = match self.given(table, span) {
            Some((default, lines)) => (start.unwrap_or(default), Some(lines)),
            None => (start.unwrap_or(START_DEFAULT), None),
        };
        self.set(table, lines.as_deref_mut());
        let pins = self.pins(table);
        let read = Read { name: name.get_ref().clone(), start, lines };
        let chunk = self.chunk(&read, &name.span());
        let expect = self.expectations(table, &read);
        let test = chunk.filter(|_| named).map(|chunk| Test {
            span: name.span(),
            name: name.into_inner(),
            chunk,
            pins,
            expect,
        });
        (read, test)
    }

    /// The lines of the test itself, or those of the one that it starts from, and when they start
    /// if the test does not say.
    fn given(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<(i64, Vec<Line>)> {
        if let Some(from) = self.reader.string(table, "from") {
            if let Some((key, _)) = table.get_key_value("given") {
                let message = Message::new(
                    "a test has either `given` or `from`",
                    "测试只能有 `given` 或 `from` 之一",
                );
                self.reader.fail("given-and-from", key.span(), message, None);
            }
            let found = self.earlier.iter().find(|read| read.name == *from.get_ref());
            let Some(read) = found else {
                let message = Message::new(
                    format!("no test before this one is called `{}`", from.get_ref()),
                    format!("前面没有名为 `{}` 的测试", from.get_ref()),
                );
                let known = self.earlier.iter().map(|read| read.name.as_str());
                let hint = suggest(from.get_ref(), known);
                self.reader.fail("unknown-test", from.span(), message, hint);
                return None;
            };
            return Some((read.start, read.lines.clone()?));
        }
        self.reader.required_keys(table, span, &["given"]);
        let node = table.get("given")?;
        let before = self.reader.count();
        let texts = self.reader.strings(table, "given")?;
        if texts.len() > LINES_MAX {
            let message = Message::new(
                format!("a timeline has at most {LINES_MAX} lines"),
                format!("时间线最多 {LINES_MAX} 行"),
            );
            self.reader.fail("too-many-lines", node.span(), message, None);
        }
        if self.reader.count() > before {
            return None;
        }
        let mut lines = Vec::with_capacity(texts.len());
        for text in &texts {
            lines.push(line::parse(text.get_ref(), self.schema).unwrap_or_else(|errors| {
                self.reader.fail_expression(&text.span(), errors);
                line::broken(text.get_ref())
            }));
        }
        Some((START_DEFAULT, lines))
    }

    fn start(&mut self, table: &DeTable<'t>) -> Option<i64> {
        let text = self.reader.string(table, "start")?;
        match text.get_ref().parse::<jiff::Timestamp>() {
            Ok(time) => Some(time.as_millisecond()),
            Err(_) => {
                let message = Message::new(
                    "`start` is not a time with an offset",
                    "`start` 不是带时区偏移的时间",
                );
                let hint = Message::new(
                    "such as \"2024-02-09T20:00:00+08:00\"",
                    "例如 \"2024-02-09T20:00:00+08:00\"",
                );
                self.reader.fail("bad-time", text.span(), message, Some(hint));
                None
            }
        }
    }

    fn set(&mut self, table: &DeTable<'t>, lines: Option<&mut [Line]>) {
        let Some(changes) = self.reader.table(table, "set") else { return };
        let Some(lines) = lines else { return };
        for (key, node) in changes {
            let name: &str = key.get_ref();
            let Some(text) = self.reader.as_string(name, node) else { continue };
            let Some(row) = find(lines, name) else {
                self.unknown_event(name, key.span(), lines);
                continue;
            };
            let line = &mut lines[row];
            if line.broken {
                continue;
            }
            if let Err(errors) = line::change(line, text.get_ref(), self.schema) {
                self.reader.fail_expression(&text.span(), errors);
            }
        }
    }

    fn pins(&mut self, table: &DeTable<'t>) -> Vec<(String, Range<usize>, Constant)> {
        let Some(features) = self.reader.table(table, "given_features") else {
            return Vec::new();
        };
        let mut pins = Vec::new();
        for (key, node) in features {
            if let Some((value, _)) = params::value(self.reader, key.get_ref(), node) {
                pins.push((key.get_ref().clone().into_owned(), key.span(), value));
            }
        }
        pins
    }

    fn expectations(&mut self, table: &DeTable<'t>, read: &Read) -> Vec<Expectation> {
        let Some(node) = table.get("expect") else { return Vec::new() };
        let items: Vec<&Node<'t>> = match node.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![node],
        };
        if items.is_empty() {
            let message = Message::new(
                "`expect` is empty, so the test shows nothing",
                "`expect` 为空,该测试什么也证明不了",
            );
            let hint = Message::new(
                "write what is expected of an event: { event = 1, hit = true }",
                "请写明对某个事件的预期:{ event = 1, hit = true }",
            );
            self.reader.fail("empty", node.span(), message, Some(hint));
        }
        items.into_iter().filter_map(|item| self.expectation(item, read)).collect()
    }

    fn expectation(&mut self, node: &Node<'t>, read: &Read) -> Option<Expectation> {
        let table = self.reader.as_table("expect", node)?;
        self.reader.known_keys(table, EXPECT_KEYS);
        self.reader.required_keys(table, node.span(), &["event", "hit"]);
        let hit = self.reader.boolean(table, "hit");
        let score = self.reader.integer(table, "score", 0..=1_000);
        let all = Verdict::ALL.map(|verdict| (verdict.name(), verdict));
        let decision = self.reader.string(table, "decision");
        let decision = decision.and_then(|text| self.reader.choice("decision", &text, &all));
        let short_by = self.short_by(table);
        let evaluable = self.reader.boolean(table, "evaluable");
        if hit == Some(true)
            && let Some(node) = table.get("short_by")
        {
            let message = Message::new("a hit is not short of anything", "命中时不存在差距");
            self.reader.fail("hit-is-not-short", node.span(), message, None);
        }
        let (event, row) = self.event(table.get("event")?, read)?;
        let hit = hit?;
        let span = node.span();
        Some(Expectation { span, event, row, hit, score, decision, short_by, evaluable })
    }

    /// A distance such as `"0.01 yuan"`, `"1h"`, `"2"` or `2`.
    fn short_by(&mut self, table: &DeTable<'_>) -> Option<Shortfall> {
        let node = table.get("short_by")?;
        let (value, unit) = params::value(self.reader, "short_by", node)?;
        let amount = match value {
            Constant::Int(value) => Some(Amount::Int(value)),
            Constant::Double(value) => Some(Amount::Double(value)),
            Constant::Str(text) => {
                let double = || text.parse().ok().map(Amount::Double);
                text.parse().ok().map(Amount::Int).or_else(double)
            }
            Constant::Bool(_) => None,
        };
        match amount {
            Some(amount) => Some(Shortfall { amount, unit }),
            None => self.reader.wrong_type("short_by", node, ("a distance", "差距")),
        }
    }

    /// The event that is meant: by name, or by number from 1. It must be one that is decided on.
    /// Where no line is known, any may be meant.
    fn event(&mut self, node: &Node<'t>, read: &Read) -> Option<(String, usize)> {
        let name = match node.get_ref() {
            DeValue::Integer(_) => integer_of(node.get_ref())?.to_string(),
            _ => self.reader.as_string("event", node)?.into_inner(),
        };
        let lines = read.lines.as_ref()?;
        let Some(row) = find(lines, &name) else {
            self.unknown_event(&name, node.span(), lines);
            return None;
        };
        let kind = lines[row].kind;
        if !kind.is_transaction() {
            let message = Message::new(
                format!("nothing is decided on a {}", kind.name()),
                format!("不会对 {} 作出决策", kind.name()),
            );
            self.reader.fail("not-a-transaction", node.span(), message, None);
            return None;
        }
        Some((name, row))
    }

    fn unknown_event(&mut self, name: &str, span: Range<usize>, lines: &[Line]) {
        let message = Message::new(
            format!("no event of this timeline is called `{name}`"),
            format!("该时间线中没有名为 `{name}` 的事件"),
        );
        let known = lines.iter().filter_map(|line| line.name.as_deref());
        let hint = suggest(name, known).or_else(|| {
            let count = lines.len();
            Some(Message::new(
                format!("name one with as={name}, or give its number from 1 to {count}"),
                format!("用 as={name} 为事件命名,或写 1 到 {count} 的序号"),
            ))
        });
        self.reader.fail("unknown-event", span, message, hint);
    }

    /// The events, through the same check as all others; none where a line is wrong.
    fn chunk(&mut self, read: &Read, span: &Range<usize>) -> Option<crate::event::Chunk> {
        let lines = read.lines.as_ref().filter(|lines| lines.iter().all(|line| !line.broken))?;
        let mut builder = ChunkBuilder::new(self.schema.clone());
        let mut ids = BTreeSet::new();
        for (at, line) in lines.iter().enumerate() {
            let number = at + 1;
            let id = line.name.clone().unwrap_or_else(|| number.to_string());
            if !ids.insert(id.clone()) {
                let message = Message::new(
                    format!("two events are called `{id}`"),
                    format!("有两个事件名为 `{id}`"),
                );
                self.reader.fail("duplicate-event", span.clone(), message, None);
                return None;
            }
            let time = read.start.saturating_add(line.offset);
            let mut values = vec![
                (EVENT_ID, Raw::Str(&id)),
                (EVENT_TIME, Raw::Int(time)),
                (KIND, Raw::Str(line.kind.name())),
                (SEQ, Raw::Int(number as i64)),
            ];
            for (field, value) in &line.values {
                values.retain(|(held, _)| held != field);
                // What is not a text was written as one, and is read as a cell of a file is.
                values.push((
                    *field,
                    match line::is_text(self.schema, *field) {
                        true => Raw::Str(value),
                        false => Raw::Cell(value),
                    },
                ));
            }
            if let Err(refusal) = builder.push(values, Position { source: 0, at: number as u64 }) {
                let detail = refusal.detail;
                let message = Message::new(
                    format!("line {number} is not an event: {detail}"),
                    format!("第 {number} 行不是有效事件:{detail}"),
                );
                self.reader.fail("timeline-event", span.clone(), message, None);
                return None;
            }
        }
        Some(builder.finish())
    }
}

fn find(lines: &[Line], name: &str) -> Option<usize> {
    let named = lines.iter().position(|line| line.name.as_deref() == Some(name));
    named.or_else(|| {
        let number: usize = name.parse().ok()?;
        (1..=lines.len()).contains(&number).then(|| number - 1)
    })
}
