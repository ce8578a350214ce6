//! The functions: what each takes, and what it becomes.

use std::ops::Range;
use std::sync::Arc;

use super::ast::{Ast, Node};
use super::check::{Checked, Checker};
use super::eval::{Arithmetic, Bool, Double, Int, Search, Typed};
use super::{List, Unit, Zone, duration, yuan};
use crate::diagnostic::{Message, did_you_mean_hint};
use crate::event::{TIME_MAX, TIME_MIN};

/// The functions and how each is called.
const FUNCTIONS: &[(&str, &str)] = &[
    ("abs", "abs(number)"),
    ("div", "div(int, int)"),
    ("double", "double(number)"),
    ("duration", "duration('24h')"),
    ("has", "has(name)"),
    ("hour", "hour(event_time)"),
    ("in_calendar", "in_calendar('festivals', event_time)"),
    ("in_list", "in_list('trusted', payee_id)"),
    ("int", "int(number)"),
    ("max", "max(a, b)"),
    ("min", "min(a, b)"),
    ("size", "size(text)"),
    ("timestamp", "timestamp('2024-02-09T20:00:00+08:00')"),
    ("weekday", "weekday(event_time)"),
    ("yuan", "yuan(5000)"),
];

/// The functions that are called on a string, and how.
const METHODS: &[(&str, &str)] = &[
    ("contains", "text.contains('part')"),
    ("endsWith", "text.endsWith('part')"),
    ("matches", "text.matches('[0-9]+')"),
    ("size", "text.size()"),
    ("startsWith", "text.startsWith('part')"),
];

/// The largest program of a regular expression, in bytes: enough for any pattern that a person
/// can read, and a pattern that multiplies itself is refused when the rules are read.
const PATTERN_BYTES_MAX: usize = 1 << 20;

impl Checker<'_> {
    pub(super) fn call(&mut self, name: &str, items: &[Ast], span: &Range<usize>) -> Checked {
        let plain = |typed| Some((typed, Unit::None));
        match (name, items) {
            ("yuan", [item]) => self.yuan(item),
            ("duration", [item]) => self.duration(item),
            ("timestamp", [item]) => self.timestamp(item),
            ("has", [item]) => self.has(item),
            ("double", [item]) => {
                self.number(item, |int| Typed::Double(to_double(int)), Typed::Double)
            }
            ("int", [item]) => self
                .number(item, Typed::Int, |double| Typed::Int(Int::FromDouble(Box::new(double)))),
            ("abs", [item]) => self.number(
                item,
                |int| Typed::Int(Int::Absolute(Box::new(int))),
                |double| Typed::Double(Double::Absolute(Box::new(double))),
            ),
            ("div", [left, right]) => self.whole_division(left, right),
            ("min", [left, right]) => self.arithmetic(Arithmetic::Min, left, right, span),
            ("max", [left, right]) => self.arithmetic(Arithmetic::Max, left, right, span),
            ("size", [item]) => plain(Typed::Int(Int::Size(self.str(item)?))),
            ("hour", [item]) => {
                let time = Box::new(self.time(item)?);
                plain(Typed::Int(Int::Hour(time, self.zone())))
            }
            ("weekday", [item]) => {
                let time = Box::new(self.time(item)?);
                plain(Typed::Int(Int::Weekday(time, self.zone())))
            }
            ("in_list", [list, value]) => {
                let (list, value) = (self.list(list), self.str(value));
                let time = Ast::new(Node::Name("event_time".to_owned()), span.clone());
                let time = self.int(&time);
                plain(Typed::Bool(Bool::InList(value?, list?, Box::new(time?))))
            }
            ("in_calendar", [list, time]) => {
                let (list, time) = (self.list(list), self.time(time));
                let (list, time) = (list?, Box::new(time?));
                plain(Typed::Bool(Bool::InCalendar(time, list, self.zone())))
            }
            (name, _) => self.unknown_function(name, items.len(), FUNCTIONS, span),
        }
    }

    pub(super) fn method(
        &mut self,
        on: &Ast,
        name: &str,
        items: &[Ast],
        span: &Range<usize>,
    ) -> Checked {
        let search = match (name, items) {
            ("contains", [_]) => Search::Contains,
            ("startsWith", [_]) => Search::StartsWith,
            ("endsWith", [_]) => Search::EndsWith,
            ("size", []) => {
                let text = self.str(on)?;
                return Some((Typed::Int(Int::Size(text)), Unit::None));
            }
            ("matches", [pattern]) => return self.matches(on, pattern),
            (name, _) => return self.unknown_function(name, items.len(), METHODS, span),
        };
        let (text, part) = (self.str(on), self.str(&items[0]));
        Some((Typed::Bool(Bool::Search(search, text?, part?)), Unit::None))
    }

    fn unknown_function(
        &mut self,
        name: &str,
        count: usize,
        known: &[(&str, &str)],
        span: &Range<usize>,
    ) -> Checked {
        if let Some((_, usage)) = known.iter().find(|(known, _)| *known == name) {
            let message = Message::new(
                format!("`{name}` does not take {count} values"),
                format!("`{name}` 的参数个数不能是 {count}"),
            );
            let hint = Message::new(format!("write {usage}"), format!("写法:{usage}"));
            return self.fail("wrong-arity", span, message, Some(hint));
        }
        let message =
            Message::new(format!("unknown function `{name}`"), format!("未知的函数 `{name}`"));
        let other = if std::ptr::eq(known, METHODS) { FUNCTIONS } else { METHODS };
        let hint = match other.iter().find(|(other, _)| *other == name) {
            Some((_, usage)) => {
                Some(Message::new(format!("write {usage}"), format!("写法:{usage}")))
            }
            None => did_you_mean_hint(name, known.iter().map(|(name, _)| *name)),
        };
        self.fail("unknown-function", span, message, hint)
    }

    /// A function of one number, whichever its type.
    fn number(
        &mut self,
        item: &Ast,
        of_int: impl FnOnce(Int) -> Typed,
        of_double: impl FnOnce(Double) -> Typed,
    ) -> Checked {
        let (typed, unit) = self.expression(item)?;
        match typed {
            Typed::Int(int) => Some((of_int(int), unit)),
            Typed::Double(double) => Some((of_double(double), unit)),
            other => self.mismatch(&item.span, "a number", "数字", other.kind()),
        }
    }

    fn whole_division(&mut self, left: &Ast, right: &Ast) -> Checked {
        let (left_checked, right_checked) = self.both(left, right)?;
        let unit = quotient_unit(left_checked.1, right_checked.1);
        match (left_checked.0, right_checked.0) {
            (Typed::Int(a), Typed::Int(b)) => {
                let divided = Int::Arithmetic(Arithmetic::Divide, Box::new(a), Box::new(b));
                Some((Typed::Int(divided), unit))
            }
            (Typed::Int(_), other) => self.mismatch(&right.span, "an int", "整数", other.kind()),
            (other, _) => self.mismatch(&left.span, "an int", "整数", other.kind()),
        }
    }

    fn matches(&mut self, on: &Ast, pattern: &Ast) -> Checked {
        let text = self.str(on);
        let Node::Str(source) = &pattern.node else {
            let message = Message::new("the pattern must be a literal", "正则表达式必须是字面量");
            return self.fail("pattern-literal", &pattern.span, message, None);
        };
        match regex::RegexBuilder::new(source).size_limit(PATTERN_BYTES_MAX).build() {
            Ok(regex) => Some((Typed::Bool(Bool::Matches(text?, Box::new(regex))), Unit::None)),
            Err(error) => {
                // The library draws the pattern over several lines; its last says what is wrong.
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default();
                let reason = reason.strip_prefix("error: ").unwrap_or(reason);
                let message = Message::new(
                    format!("bad pattern: {reason}"),
                    format!("正则表达式有误:{reason}"),
                );
                self.fail("bad-pattern", &pattern.span, message, None)
            }
        }
    }

    fn zone(&self) -> Arc<Zone> {
        self.environment.zone.clone()
    }

    fn list(&mut self, ast: &Ast) -> Option<Arc<List>> {
        let Node::Str(name) = &ast.node else {
            let message = Message::new("expected the name of a list", "应为名单的名称");
            self.fail("list-name", &ast.span, message, None);
            return None;
        };
        let lists = self.environment.lists;
        if let Some(list) = lists.get(name) {
            return Some(list.clone());
        }
        let message =
            Message::new(format!("there is no list `{name}`"), format!("没有名单 `{name}`"));
        let hint = did_you_mean_hint(name, lists.keys().map(String::as_str));
        self.fail("unknown-list", &ast.span, message, hint);
        None
    }

    /// A moment. Money is none, and how long something takes is none by itself.
    fn time(&mut self, item: &Ast) -> Option<Int> {
        let (typed, unit) = self.expression(item)?;
        let Typed::Int(int) = typed else {
            self.mismatch(&item.span, "an int", "整数", typed.kind());
            return None;
        };
        let (en, zh) = match (unit, &int) {
            (Unit::Yuan, _) => ("money", "金额"),
            (Unit::Duration, Int::Slot(_) | Int::Constant(_)) => ("a duration", "时长"),
            _ => return Some(int),
        };
        let message =
            Message::new(format!("expected a time, found {en}"), format!("应为时间,实际是{zh}"));
        let hint = Message::new("such as `event_time`", "例如 `event_time`");
        self.fail("unit-mismatch", &item.span, message, Some(hint));
        None
    }

    fn yuan(&mut self, item: &Ast) -> Checked {
        let fen = match &item.node {
            Node::Int(value) => value.checked_mul(100),
            Node::Double(value) => yuan(&format!("{value}")),
            Node::Str(text) => yuan(text),
            _ => None,
        };
        match fen {
            Some(fen) => Some((Typed::Int(Int::Constant(fen)), Unit::Yuan)),
            None => {
                let message = Message::new(
                    "expected an amount such as 5000 or '99.50', with at most two decimals",
                    "应为金额,如 5000 或 '99.50',最多两位小数",
                );
                self.fail("bad-amount", &item.span, message, None)
            }
        }
    }

    fn duration(&mut self, item: &Ast) -> Checked {
        let ms = match &item.node {
            Node::Str(text) => duration(text),
            _ => None,
        };
        match ms {
            Some(ms) => Some((Typed::Int(Int::Constant(ms)), Unit::Duration)),
            None => {
                let message = Message::new(
                    "expected a duration such as '90s', '10m', '24h' or '30d'",
                    "应为时长,如 '90s'、'10m'、'24h'、'30d'",
                );
                self.fail("bad-duration", &item.span, message, None)
            }
        }
    }

    fn timestamp(&mut self, item: &Ast) -> Checked {
        let ms = match &item.node {
            Node::Str(text) => {
                text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond())
            }
            _ => None,
        };
        match ms.filter(|ms| (TIME_MIN..TIME_MAX).contains(ms)) {
            Some(ms) => Some((Typed::Int(Int::Constant(ms)), Unit::None)),
            None => {
                let message = Message::new(
                    "expected a time such as '2024-02-09T20:00:00+08:00'",
                    "应为时间,如 '2024-02-09T20:00:00+08:00'",
                );
                self.fail("bad-time", &item.span, message, None)
            }
        }
    }

    fn has(&mut self, item: &Ast) -> Checked {
        let Node::Name(name) = &item.node else {
            let message = Message::new("`has` takes a name", "`has` 的参数应为名称");
            return self.fail("has-needs-name", &item.span, message, None);
        };
        match self.environment.names.lookup(name) {
            Some((slot, _)) => {
                self.slots.insert(slot);
                Some((Typed::Bool(Bool::Has(usize::from(slot.0))), Unit::None))
            }
            None if self.environment.is_own(name) => {
                let message = Message::new(
                    format!("`has` takes a field or feature, and `{name}` always has a value"),
                    format!("`has` 只用于字段或特征,`{name}` 总是有值"),
                );
                self.fail("has-needs-name", &item.span, message, None)
            }
            None => self.unknown_name(name, &item.span),
        }
    }
}

fn to_double(int: Int) -> Double {
    Double::FromInt(Box::new(int))
}

/// The unit of a quotient: of two amounts of money it is a plain number.
pub(super) fn quotient_unit(left: Unit, right: Unit) -> Unit {
    if right == Unit::None { left } else { Unit::None }
}
