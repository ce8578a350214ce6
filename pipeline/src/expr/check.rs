//! From an expression as written to a typed program; every mistake is found, not only the first.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::ast::{Ast, Node, Operator};
use super::eval::{Arithmetic, Bool, Compare, Double, Int, Program, Search, Str, Typed};
use super::{
    Constant, Environment, ExprError, List, Param, Slot, Unit, Zone, duration, yuan,
};
use crate::diagnostic::{Message, did_you_mean_hint};
use crate::event::{TIME_MAX, TIME_MIN, Type};

/// Named conditions may use each other this deep; deeper is taken for a circle.
const CONDITION_DEPTH_MAX: usize = 16;

/// The functions, for "did you mean".
const FUNCTIONS: [&str; 15] = [
    "abs", "div", "double", "duration", "has", "hour", "in_calendar", "in_list", "int", "max",
    "min", "size", "timestamp", "weekday", "yuan",
];
const METHODS: [&str; 4] = ["contains", "endsWith", "size", "startsWith"];

/// Types an expression and makes a program of it.
pub fn compile(ast: &Ast, environment: &Environment<'_>) -> Result<Program, Vec<ExprError>> {
    let mut checker =
        Checker { environment, errors: Vec::new(), slots: BTreeSet::new(), depth: 0 };
    let root = checker.expression(ast);
    match root {
        Some((root, _)) if checker.errors.is_empty() => {
            Ok(Program { root, slots: checker.slots.into_iter().collect() })
        }
        _ => Err(checker.errors),
    }
}

struct Checker<'c> {
    environment: &'c Environment<'c>,
    errors: Vec<ExprError>,
    slots: BTreeSet<Slot>,
    depth: usize,
}

/// A typed expression and its unit; none where a mistake was found and noted.
type Checked = Option<(Typed, Unit)>;

impl Typed {
    fn kind(&self) -> Type {
        match self {
            Typed::Int(_) => Type::Int,
            Typed::Double(_) => Type::Double,
            Typed::Bool(_) => Type::Bool,
            Typed::Str(_) => Type::Str,
        }
    }
}

impl Checker<'_> {
    fn fail(
        &mut self,
        code: &'static str,
        span: &Range<usize>,
        message: Message,
        hint: Option<Message>,
    ) -> Checked {
        self.errors.push(ExprError { code, span: span.clone(), message, hint });
        None
    }

    fn expression(&mut self, ast: &Ast) -> Checked {
        let plain = |typed| Some((typed, Unit::None));
        match &ast.node {
            Node::Int(value) => plain(Typed::Int(Int::Constant(*value))),
            Node::Double(value) => plain(Typed::Double(Double::Constant(*value))),
            Node::Bool(value) => plain(Typed::Bool(Bool::Constant(*value))),
            Node::Str(text) => plain(Typed::Str(Str::Constant(text.clone()))),
            Node::Name(name) => self.name(name, &ast.span),
            Node::Not(inner) => {
                let inner = self.bool(inner)?;
                plain(Typed::Bool(Bool::Not(Box::new(inner))))
            }
            Node::Negate(inner) => self.negate(inner),
            Node::Binary(operator, left, right) => self.binary(*operator, left, right, &ast.span),
            Node::If(test, yes, no) => self.conditional(test, yes, no, &ast.span),
            Node::List(_) => self.fail(
                "list-outside-in",
                &ast.span,
                Message::new("a list can stand only after `in`", "列表只能写在 `in` 之后"),
                None,
            ),
            Node::Call(name, items) => self.call(name, items, &ast.span),
            Node::Method(on, name, items) => self.method(on, name, items, &ast.span),
        }
    }

    fn name(&mut self, name: &str, span: &Range<usize>) -> Checked {
        let environment = self.environment;
        if let Some(param) = environment.params.get(name) {
            return self.param(param, span);
        }
        if let Some(condition) = environment.conditions.get(name) {
            return self.condition(name, condition, span);
        }
        if let Some((slot, kind)) = environment.names.lookup(name) {
            self.slots.insert(slot);
            let at = usize::from(slot.0);
            let typed = match kind {
                Type::Int => Typed::Int(Int::Slot(at)),
                Type::Double => Typed::Double(Double::Slot(at)),
                Type::Bool => Typed::Bool(Bool::Slot(at)),
                Type::Str => Typed::Str(Str::Slot(at)),
            };
            return Some((typed, environment.names.unit(name)));
        }
        let mut known = environment.names.all();
        known.extend(environment.params.keys().cloned());
        known.extend(environment.conditions.keys().cloned());
        let hint = did_you_mean_hint(name, known.iter().map(String::as_str));
        let message =
            Message::new(format!("unknown name `{name}`"), format!("未知的名称 `{name}`"));
        self.fail("unknown-name", span, message, hint)
    }

    fn param(&mut self, param: &Param, span: &Range<usize>) -> Checked {
        let mut typed = constant(&param.default);
        if let Some((by, values)) = &param.by {
            let (by, _) = self.name(by, span)?;
            let Typed::Str(by) = by else {
                let message = Message::new(
                    "a parameter can differ only by a string",
                    "参数只能按字符串取不同的值",
                );
                return self.fail("param-by-type", span, message, None);
            };
            for (value, then) in values.iter().rev() {
                let is = Bool::Strs(Compare::Equal, by.clone(), Str::Constant(value.clone()));
                // A missing value is no reason not to use the default.
                let is = Bool::Otherwise(Box::new(is), Box::new(Bool::Constant(false)));
                typed = choose(is, constant(then), typed)?;
            }
        }
        Some((typed, param.unit))
    }

    fn condition(&mut self, name: &str, condition: &Ast, span: &Range<usize>) -> Checked {
        if self.depth == CONDITION_DEPTH_MAX {
            let message = Message::new(
                format!("the condition `{name}` needs itself"),
                format!("条件 `{name}` 依赖它自身"),
            );
            return self.fail("condition-cycle", span, message, None);
        }
        self.depth += 1;
        let before = self.errors.len();
        let checked = self.expression(condition);
        // Mistakes inside are shown where the condition is written; here, where it is used.
        for error in &mut self.errors[before..] {
            error.span = span.clone();
            error.message = Message::new(
                format!("in the condition `{name}`: {}", error.message.en),
                format!("条件 `{name}` 中:{}", error.message.zh),
            );
        }
        self.depth -= 1;
        checked
    }

    fn negate(&mut self, inner: &Ast) -> Checked {
        let (typed, unit) = self.expression(inner)?;
        match typed {
            Typed::Int(int) => Some((Typed::Int(Int::Negate(Box::new(int))), unit)),
            Typed::Double(double) => {
                Some((Typed::Double(Double::Negate(Box::new(double))), unit))
            }
            other => self.mismatch(&inner.span, "a number", "数字", other.kind()),
        }
    }

    fn mismatch(&mut self, span: &Range<usize>, en: &str, zh: &str, found: Type) -> Checked {
        let message = Message::new(
            format!("expected {en}, found a {found}"),
            format!("应为{zh},实际是 {found}"),
        );
        self.fail("type-mismatch", span, message, None)
    }

    fn bool(&mut self, ast: &Ast) -> Option<Bool> {
        match self.expression(ast)?.0 {
            Typed::Bool(bool) => Some(bool),
            other => {
                self.mismatch(&ast.span, "a condition", "条件", other.kind());
                None
            }
        }
    }

    fn int(&mut self, ast: &Ast) -> Option<Int> {
        match self.expression(ast)?.0 {
            Typed::Int(int) => Some(int),
            other => {
                self.mismatch(&ast.span, "an int", "整数", other.kind());
                None
            }
        }
    }

    fn str(&mut self, ast: &Ast) -> Option<Str> {
        match self.expression(ast)?.0 {
            Typed::Str(text) => Some(text),
            other => {
                self.mismatch(&ast.span, "a string", "字符串", other.kind());
                None
            }
        }
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: &Ast,
        right: &Ast,
        span: &Range<usize>,
    ) -> Checked {
        let condition = |bool| Some((Typed::Bool(bool), Unit::None));
        match operator {
            Operator::And | Operator::Or => {
                let (left, right) = (self.bool(left), self.bool(right));
                let (left, right) = (Box::new(left?), Box::new(right?));
                condition(match operator {
                    Operator::And => Bool::And(left, right),
                    _ => Bool::Or(left, right),
                })
            }
            Operator::In => self.is_in(left, right),
            Operator::Otherwise => {
                let (left, right) = self.both(left, right)?;
                self.unify(left, right, span, |left, right| {
                    Some(match (left, right) {
                        (Typed::Int(a), Typed::Int(b)) => {
                            Typed::Int(Int::Otherwise(Box::new(a), Box::new(b)))
                        }
                        (Typed::Double(a), Typed::Double(b)) => {
                            Typed::Double(Double::Otherwise(Box::new(a), Box::new(b)))
                        }
                        (Typed::Bool(a), Typed::Bool(b)) => {
                            Typed::Bool(Bool::Otherwise(Box::new(a), Box::new(b)))
                        }
                        (Typed::Str(a), Typed::Str(b)) => {
                            Typed::Str(Str::Otherwise(Box::new(a), Box::new(b)))
                        }
                        _ => return None,
                    })
                })
            }
            Operator::Equal => self.compare(Compare::Equal, left, right, span),
            Operator::NotEqual => self.compare(Compare::NotEqual, left, right, span),
            Operator::Less => self.compare(Compare::Less, left, right, span),
            Operator::LessEqual => self.compare(Compare::LessEqual, left, right, span),
            Operator::Greater => self.compare(Compare::Greater, left, right, span),
            Operator::GreaterEqual => self.compare(Compare::GreaterEqual, left, right, span),
            Operator::Add => self.arithmetic(Arithmetic::Add, left, right, span),
            Operator::Subtract => self.arithmetic(Arithmetic::Subtract, left, right, span),
            Operator::Multiply => self.arithmetic(Arithmetic::Multiply, left, right, span),
            Operator::Divide => self.arithmetic(Arithmetic::Divide, left, right, span),
            Operator::Remainder => self.arithmetic(Arithmetic::Remainder, left, right, span),
        }
    }

    fn both(&mut self, left: &Ast, right: &Ast) -> Option<((Typed, Unit), (Typed, Unit))> {
        let (left, right) = (self.expression(left), self.expression(right));
        Some((left?, right?))
    }

    /// Combines two values of one type; an int beside a double becomes a double.
    fn unify(
        &mut self,
        (left, left_unit): (Typed, Unit),
        (right, right_unit): (Typed, Unit),
        span: &Range<usize>,
        combine: impl FnOnce(Typed, Typed) -> Option<Typed>,
    ) -> Checked {
        let kinds = (left.kind(), right.kind());
        let (left, right) = match (left, right) {
            (Typed::Int(int), right @ Typed::Double(_)) => {
                (Typed::Double(Double::FromInt(Box::new(int))), right)
            }
            (left @ Typed::Double(_), Typed::Int(int)) => {
                (left, Typed::Double(Double::FromInt(Box::new(int))))
            }
            both => both,
        };
        let unit = if left_unit == Unit::None { right_unit } else { left_unit };
        match combine(left, right) {
            Some(typed) => Some((typed, unit)),
            None => {
                let message = Message::new(
                    format!("these two are a {} and a {}", kinds.0, kinds.1),
                    format!("两边的类型是 {} 和 {}", kinds.0, kinds.1),
                );
                self.fail("type-mismatch", span, message, None)
            }
        }
    }

    fn arithmetic(
        &mut self,
        arithmetic: Arithmetic,
        left: &Ast,
        right: &Ast,
        span: &Range<usize>,
    ) -> Checked {
        let (left, right) = self.both(left, right)?;
        let ints = matches!((&left.0, &right.0), (Typed::Int(_), Typed::Int(_)));
        if arithmetic == Arithmetic::Divide && ints {
            return self.fail(
                "integer-division",
                span,
                Message::new("`/` on two ints would drop the rest", "两个整数用 `/` 会丢掉余数"),
                Some(Message::new(
                    "write div(a, b) to drop it, or double(a) / double(b) to keep it",
                    "要舍去余数写 div(a, b),要保留写 double(a) / double(b)",
                )),
            );
        }
        let no_rest = arithmetic == Arithmetic::Remainder;
        self.unify(left, right, span, |left, right| {
            Some(match (left, right) {
                (Typed::Int(a), Typed::Int(b)) => {
                    Typed::Int(Int::Arithmetic(arithmetic, Box::new(a), Box::new(b)))
                }
                (Typed::Double(a), Typed::Double(b)) if !no_rest => {
                    Typed::Double(Double::Arithmetic(arithmetic, Box::new(a), Box::new(b)))
                }
                _ => return None,
            })
        })
    }

    fn compare(
        &mut self,
        compare: Compare,
        left: &Ast,
        right: &Ast,
        span: &Range<usize>,
    ) -> Checked {
        let (left, right) = self.both(left, right)?;
        let unit = if left.1 == Unit::None { right.1 } else { left.1 };
        let equality = matches!(compare, Compare::Equal | Compare::NotEqual);
        let bool = match (left.0, right.0) {
            (Typed::Int(Int::Slot(slot)), Typed::Int(Int::Constant(value))) => {
                Bool::SlotInt(compare, slot, value, unit)
            }
            (Typed::Int(left), Typed::Int(right)) => Bool::Ints(compare, left, right, unit),
            (Typed::Double(left), Typed::Double(right)) => Bool::Doubles(compare, left, right),
            (Typed::Int(left), Typed::Double(right)) => Bool::Mixed(compare, left, right),
            (Typed::Double(left), Typed::Int(right)) => {
                Bool::Mixed(mirrored(compare), right, left)
            }
            (Typed::Str(left), Typed::Str(right)) => Bool::Strs(compare, left, right),
            (Typed::Bool(left), Typed::Bool(right)) if equality => {
                Bool::Bools(compare == Compare::Equal, Box::new(left), Box::new(right))
            }
            (left, right) => {
                let (left, right) = (left.kind(), right.kind());
                let message = Message::new(
                    format!("a {left} cannot be compared with a {right}"),
                    format!("{left} 不能与 {right} 比较"),
                );
                return self.fail("type-mismatch", span, message, None);
            }
        };
        Some((Typed::Bool(bool), Unit::None))
    }

    fn is_in(&mut self, left: &Ast, right: &Ast) -> Checked {
        let Node::List(items) = &right.node else {
            let message =
                Message::new("`in` needs a list such as ['a', 'b']", "`in` 后面应为列表");
            let hint = Message::new(
                "a named list is asked with in_list('name', value)",
                "查询名单请写 in_list('名单', 值)",
            );
            return self.fail("in-needs-list", &right.span, message, Some(hint));
        };
        let left = self.expression(left)?;
        let mut values = Vec::new();
        for item in items {
            let (typed, _) = self.expression(item)?;
            values.push(typed);
        }
        let bool = match left.0 {
            Typed::Int(int) => {
                let ints = values.iter().map(|value| match value {
                    Typed::Int(Int::Constant(value)) => Some(*value),
                    _ => None,
                });
                ints.collect::<Option<Vec<_>>>().map(|values| Bool::InInts(int, values))
            }
            Typed::Str(text) => {
                let texts = values.iter().map(|value| match value {
                    Typed::Str(Str::Constant(value)) => Some(value.clone()),
                    _ => None,
                });
                texts.collect::<Option<Vec<_>>>().map(|values| Bool::InStrs(text, values))
            }
            _ => None,
        };
        match bool {
            Some(bool) => Some((Typed::Bool(bool), Unit::None)),
            None => {
                let message = Message::new(
                    "the list must hold constants of the value's type, int or string",
                    "列表应为与左侧同类型的整数或字符串常量",
                );
                self.fail("type-mismatch", &right.span, message, None)
            }
        }
    }

    fn conditional(&mut self, test: &Ast, yes: &Ast, no: &Ast, span: &Range<usize>) -> Checked {
        let test = self.bool(test);
        let (yes, no) = self.both(yes, no)?;
        let test = test?;
        self.unify(yes, no, span, |yes, no| choose(test, yes, no))
    }

    fn call(&mut self, name: &str, items: &[Ast], span: &Range<usize>) -> Checked {
        let plain = |typed| Some((typed, Unit::None));
        match (name, items) {
            ("yuan", [item]) => self.yuan(item),
            ("duration", [item]) => self.duration(item),
            ("timestamp", [item]) => self.timestamp(item),
            ("has", [item]) => self.has(item),
            ("double", [item]) => {
                let (typed, unit) = self.expression(item)?;
                match typed {
                    Typed::Int(int) => Some((Typed::Double(Double::FromInt(Box::new(int))), unit)),
                    Typed::Double(double) => Some((Typed::Double(double), unit)),
                    other => self.mismatch(&item.span, "a number", "数字", other.kind()),
                }
            }
            ("int", [item]) => {
                let (typed, unit) = self.expression(item)?;
                match typed {
                    Typed::Int(int) => Some((Typed::Int(int), unit)),
                    Typed::Double(double) => Some((Typed::Int(Int::FromDouble(Box::new(double))), unit)),
                    other => self.mismatch(&item.span, "a number", "数字", other.kind()),
                }
            }
            ("abs", [item]) => {
                let (typed, unit) = self.expression(item)?;
                match typed {
                    Typed::Int(int) => Some((Typed::Int(Int::Absolute(Box::new(int))), unit)),
                    Typed::Double(double) => Some((Typed::Double(Double::Absolute(Box::new(double))), unit)),
                    other => self.mismatch(&item.span, "a number", "数字", other.kind()),
                }
            }
            ("div", [left, right]) => {
                let (left, right) = (self.int(left), self.int(right));
                let (left, right) = (Box::new(left?), Box::new(right?));
                plain(Typed::Int(Int::Arithmetic(Arithmetic::Divide, left, right)))
            }
            ("min", [left, right]) => self.arithmetic(Arithmetic::Min, left, right, span),
            ("max", [left, right]) => self.arithmetic(Arithmetic::Max, left, right, span),
            ("size", [item]) => plain(Typed::Int(Int::Size(self.str(item)?))),
            ("hour", [item]) => {
                let time = Box::new(self.int(item)?);
                plain(Typed::Int(Int::Hour(time, self.zone())))
            }
            ("weekday", [item]) => {
                let time = Box::new(self.int(item)?);
                plain(Typed::Int(Int::Weekday(time, self.zone())))
            }
            ("in_list", [list, value]) => {
                let (list, value) = (self.list(list), self.str(value));
                let time = self.name("event_time", span)?;
                let (Typed::Int(time), list, value) = (time.0, list?, value?) else { return None };
                plain(Typed::Bool(Bool::InList(value, list, Box::new(time))))
            }
            ("in_calendar", [list, time]) => {
                let (list, time) = (self.list(list), self.int(time));
                let (list, time) = (list?, Box::new(time?));
                plain(Typed::Bool(Bool::InCalendar(time, list, self.zone())))
            }
            (name, _) => self.unknown_function(name, items.len(), &FUNCTIONS, span),
        }
    }

    fn method(&mut self, on: &Ast, name: &str, items: &[Ast], span: &Range<usize>) -> Checked {
        let search = match (name, items) {
            ("contains", [_]) => Search::Contains,
            ("startsWith", [_]) => Search::StartsWith,
            ("endsWith", [_]) => Search::EndsWith,
            ("size", []) => {
                let text = self.str(on)?;
                return Some((Typed::Int(Int::Size(text)), Unit::None));
            }
            (name, _) => return self.unknown_function(name, items.len(), &METHODS, span),
        };
        let (text, part) = (self.str(on), self.str(&items[0]));
        Some((Typed::Bool(Bool::Search(search, text?, part?)), Unit::None))
    }

    fn unknown_function(
        &mut self,
        name: &str,
        count: usize,
        known: &[&str],
        span: &Range<usize>,
    ) -> Checked {
        if known.contains(&name) {
            let message = Message::new(
                format!("`{name}` does not take {count} values"),
                format!("`{name}` 的参数个数不能是 {count}"),
            );
            return self.fail("wrong-arity", span, message, None);
        }
        let message =
            Message::new(format!("unknown function `{name}`"), format!("未知的函数 `{name}`"));
        self.fail("unknown-function", span, message, did_you_mean_hint(name, known.iter().copied()))
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
            None => self.name(name, &item.span).and(None),
        }
    }
}

fn constant(constant: &Constant) -> Typed {
    match constant {
        Constant::Int(value) => Typed::Int(Int::Constant(*value)),
        Constant::Double(value) => Typed::Double(Double::Constant(*value)),
        Constant::Bool(value) => Typed::Bool(Bool::Constant(*value)),
        Constant::Str(value) => Typed::Str(Str::Constant(value.clone())),
    }
}

/// `test ? yes : no`, where both are of one type.
fn choose(test: Bool, yes: Typed, no: Typed) -> Option<Typed> {
    let test = Box::new(test);
    Some(match (yes, no) {
        (Typed::Int(yes), Typed::Int(no)) => {
            Typed::Int(Int::If(test, Box::new(yes), Box::new(no)))
        }
        (Typed::Double(yes), Typed::Double(no)) => {
            Typed::Double(Double::If(test, Box::new(yes), Box::new(no)))
        }
        (Typed::Bool(yes), Typed::Bool(no)) => {
            Typed::Bool(Bool::If(test, Box::new(yes), Box::new(no)))
        }
        (Typed::Str(yes), Typed::Str(no)) => {
            Typed::Str(Str::If(test, Box::new(yes), Box::new(no)))
        }
        _ => return None,
    })
}

fn mirrored(compare: Compare) -> Compare {
    match compare {
        Compare::Less => Compare::Greater,
        Compare::LessEqual => Compare::GreaterEqual,
        Compare::Greater => Compare::Less,
        Compare::GreaterEqual => Compare::LessEqual,
        same => same,
    }
}
