//! The value of one case of a mapping file: a column with its unit or format, a constant, or a
//! template.

use std::ops::Range;
use std::sync::Arc;

use jiff::tz::TimeZoneDatabase;
use toml::de::{DeTable, DeValue};

use super::decimal::Rounding;
use super::parse::Parser;
use super::time::{self, TimeRule};
use super::{Constant, From, Part};
use crate::diagnostic::Message;
use crate::document::{Node, Text, integer_of, suggest};
use crate::event::{
    ACCOUNT_ID, AMOUNT_FEN, Bound, ChunkBuilder, EVENT_ID, EVENT_TIME, FIELDS, FieldId, KIND, Kind,
    Position, Raw, Schema, TIME_MIN, Type,
};

const ROUNDINGS: &[(&str, Rounding)] = &[
    ("reject", Rounding::Reject),
    ("half_even", Rounding::HalfEven),
    ("half_up", Rounding::HalfUp),
    ("down", Rounding::Down),
];

/// What a `unit` says: a number of decimals of an amount, or the unit of a time.
#[derive(Clone, Copy)]
enum Unit {
    Amount(u32),
    Time(i64, i64),
}

/// The field that a rule is for.
#[derive(Clone, Copy)]
pub(super) struct Target<'n> {
    pub(super) name: &'n str,
    pub(super) kind: Type,
    pub(super) bound: Bound,
}

impl<'t> Parser<'t> {
    pub(super) fn column_case(
        &mut self,
        target: Target<'_>,
        table: &DeTable<'t>,
        span: Range<usize>,
    ) -> Option<From> {
        let name = self.reader.string(table, "column")?;
        let column = self.column(name.get_ref(), name.span());
        let reads = ["unit", "format", "zone", "origin"];
        if !reads.iter().any(|key| table.contains_key(*key)) {
            self.only_with("unit", table, "round");
            return Some(From::Column(column));
        }
        if target.kind != Type::Int {
            let message = Message::new(
                format!(
                    "`{}` is {}: it has no unit and no time format",
                    target.name,
                    target.kind.with_article()
                ),
                format!("`{}` 的类型是 {},没有单位和时间格式", target.name, target.kind),
            );
            self.reader.fail("value-source", span, message, None);
            return None;
        }
        let unit = match self.reader.string(table, "unit") {
            Some(unit) => Some(self.unit(target, &unit)?),
            None if table.contains_key("unit") => return None,
            None => None,
        };
        match unit {
            Some(Unit::Amount(places)) => {
                for key in ["format", "zone", "origin"] {
                    self.only_with("a unit of time", table, key);
                }
                let rounding = match self.reader.string(table, "round") {
                    Some(round) => self.reader.choice("round", &round, ROUNDINGS)?,
                    None => Rounding::Reject,
                };
                Some(From::Amount { column, places, rounding })
            }
            Some(Unit::Time(factor, divisor)) => {
                for key in ["format", "zone"] {
                    self.only_with("text", table, key);
                }
                let origin = self.origin(table)?;
                Some(From::Time { column, rule: TimeRule::Number { factor, divisor, origin } })
            }
            None => {
                self.only_with("unit", table, "origin");
                let rule = self.text_time(table, span)?;
                Some(From::Time { column, rule })
            }
        }
    }

    fn unit(&mut self, target: Target<'_>, unit: &Text) -> Option<Unit> {
        let amounts = [("yuan", Unit::Amount(2)), ("fen", Unit::Amount(0))];
        let times = time::UNITS
            .iter()
            .map(|&(name, (factor, divisor))| (name, Unit::Time(factor, divisor)));
        let choices: Vec<(&str, Unit)> = match target.bound {
            Bound::Time => times.collect(),
            Bound::Amount => amounts.to_vec(),
            _ => amounts.into_iter().chain(times).collect(),
        };
        self.reader.choice("unit", unit, &choices)
    }

    /// The time from which numbers count: 1970 if it is not given.
    fn origin(&mut self, table: &DeTable<'t>) -> Option<i64> {
        let Some(node) = table.get("origin") else { return Some(0) };
        let text = match node.get_ref() {
            DeValue::Datetime(time) => time.to_string(),
            DeValue::String(text) => text.to_string(),
            _ => return self.reader.wrong_type("origin", node, ("a time", "时间")),
        };
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => Some(time.as_millisecond()),
            Err(_) => {
                let message = Message::new(
                    "`origin` is not a time with an offset, such as 2024-01-01T00:00:00+08:00",
                    "`origin` 不是带时区偏移的时间,例如 2024-01-01T00:00:00+08:00",
                );
                self.reader.fail("bad-time", node.span(), message, None);
                None
            }
        }
    }

    fn text_time(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<TimeRule> {
        let format = self.reader.string(table, "format");
        if let Some(format) = &format
            && let Err(error) = time::check_format(format.get_ref())
        {
            let message = Message::new(
                format!("this is no time format: {error}"),
                format!("不是有效的时间格式:{error}"),
            );
            self.reader.fail("bad-time-format", format.span(), message, None);
            return None;
        }
        if let Some(format) = format.as_ref().filter(|format| !time::has_date(format.get_ref())) {
            let message = Message::new(
                "no time can be read by this format: it has no date",
                "此格式没有日期，无法读出时间",
            );
            self.reader.fail("bad-time-format", format.span(), message, None);
            return None;
        }
        let zone = self.reader.string(table, "zone");
        let zone = match zone {
            None => None,
            // A machine's own database may be another, and would change what is decided.
            Some(zone) => match TimeZoneDatabase::bundled().get(zone.get_ref()) {
                Ok(found) => Some(found),
                Err(_) => {
                    let message = Message::new(
                        format!("unknown time zone `{}`", zone.get_ref()),
                        format!("未知时区 `{}`", zone.get_ref()),
                    );
                    let hint = suggest(zone.get_ref(), ["UTC", "Asia/Shanghai"].into_iter());
                    self.reader.fail("unknown-zone", zone.span(), message, hint);
                    return None;
                }
            },
        };
        let format = format.map(|format| format.into_inner());
        if zone.is_none() && format.as_deref().is_some_and(|format| !time::carries_zone(format)) {
            let message = Message::new(
                "the format has no offset, so the times need a `zone`",
                "格式中没有时区偏移,需要用 `zone` 指明时区",
            );
            let hint =
                Message::new("write zone = \"UTC\" or another", "写 zone = \"UTC\" 或其他时区");
            self.reader.fail("missing-key", span, message, Some(hint));
            return None;
        }
        Some(TimeRule::Text { format, zone })
    }

    pub(super) fn constant(&mut self, target: Target<'_>, node: &Node<'t>) -> Option<Constant> {
        let constant = match (target.kind, node.get_ref()) {
            (Type::Str, DeValue::String(text)) => Constant::Str(text.to_string()),
            (Type::Int, DeValue::String(text)) if target.bound == Bound::Time => {
                Constant::Str(text.to_string())
            }
            (Type::Int, DeValue::Datetime(time)) => Constant::Str(time.to_string()),
            (Type::Int, value @ DeValue::Integer(_)) => Constant::Int(integer_of(value)?),
            (Type::Double, value @ DeValue::Integer(_)) => {
                Constant::Double(integer_of(value)? as f64)
            }
            (Type::Double, DeValue::Float(value)) => {
                Constant::Double(value.as_str().replace('_', "").parse().ok()?)
            }
            (Type::Bool, DeValue::Boolean(value)) => Constant::Bool(*value),
            (kind, _) => {
                let wanted = kind.to_string();
                return self.reader.wrong_type("constant", node, (&wanted, &wanted));
            }
        };
        if let Err(detail) = probe(target, constant.raw()) {
            let message = Message::new(
                format!("no event can have this: {detail}"),
                format!("事件不能取此值:{detail}"),
            );
            let hint = match node.get_ref() {
                DeValue::String(text) if target.bound == Bound::Kind => {
                    suggest(text, Kind::ALL.iter().map(|kind| kind.name()))
                }
                _ => None,
            };
            self.reader.fail("bad-constant", node.span(), message, hint);
            return None;
        }
        Some(constant)
    }

    pub(super) fn template(&mut self, target: Target<'_>, template: &Text) -> Option<Vec<Part>> {
        if target.kind != Type::Str {
            let message = Message::new(
                format!("`{}` is {}, and a template makes a string", target.name, target.kind),
                format!("`{}` 的类型是 {},模板只能生成字符串", target.name, target.kind),
            );
            self.reader.fail("value-source", template.span(), message, None);
            return None;
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = template.get_ref().as_str();
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if after.starts_with(brace) {
                text.push_str(brace);
                rest = &after[1..];
                continue;
            }
            let Some(end) = after.find('}').filter(|_| brace == "{") else {
                let message =
                    Message::new("a brace stands alone in the template", "模板中的花括号不成对");
                let hint = Message::new("write {{ or }} for a brace", "花括号本身写作 {{ 或 }}");
                self.reader.fail("bad-template", template.span(), message, Some(hint));
                return None;
            };
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(Part::Column(self.column(&after[..end], template.span())));
            rest = &after[end + 1..];
        }
        text.push_str(rest);
        parts.push(Part::Text(text));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Some(parts)
    }

    /// Notes a key that means nothing here.
    pub(super) fn only_with(&mut self, with: &str, table: &DeTable<'t>, key: &str) {
        if let Some((found, _)) = table.get_key_value(key) {
            let message = Message::new(
                format!("`{key}` goes with {with} only"),
                format!("`{key}` 只能与 {with} 同用"),
            );
            self.reader.fail("misplaced-key", found.span(), message, None);
        }
    }
}

/// Whether an event can have the value, asked of the event's own check.
fn probe(target: Target<'_>, value: Raw<'_>) -> Result<(), String> {
    let schema = Arc::new(Schema::with_extras([("probe".to_owned(), target.kind)]));
    let field = schema
        .find(target.name)
        .unwrap_or(FieldId(u16::try_from(FIELDS.len()).expect("a handful of fields")));
    let mut event = vec![
        (EVENT_ID, Raw::Str("e")),
        (EVENT_TIME, Raw::Int(TIME_MIN)),
        (KIND, Raw::Str("transfer")),
        (ACCOUNT_ID, Raw::Str("a")),
        (AMOUNT_FEN, Raw::Int(1)),
    ];
    event.retain(|(other, _)| *other != field);
    event.push((field, value));
    let at = Position { source: 0, at: 1 };
    ChunkBuilder::new(schema).push(event, at).map_err(|refusal| refusal.detail)
}
