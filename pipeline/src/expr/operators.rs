//! The operators: which types each joins, and what it becomes.

use std::ops::Range;

use super::Unit;
use super::ast::{Ast, Node, Operator};
use super::check::{Checked, Checker, a};
use super::eval::{Arithmetic, Bool, Compare, Double, Int, Str, Typed};
use super::functions::quotient_unit;
use crate::diagnostic::Message;

impl Checker<'_> {
    pub(super) fn binary(
        &mut self,
        operator: Operator,
        left: &Ast,
        right: &Ast,
        span: &Range<usize>,
    ) -> Checked {
        match operator {
            Operator::In => self.is_in(left, right),
            Operator::Otherwise => {
                let (left, right) = self.both(left, right)?;
                let unit = self.common_unit(left.1, right.1, span)?;
                self.unify((left.0, right.0), unit, span, otherwise)
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

    pub(super) fn both(
        &mut self,
        left: &Ast,
        right: &Ast,
    ) -> Option<((Typed, Unit), (Typed, Unit))> {
        let (left, right) = (self.expression(left), self.expression(right));
        Some((left?, right?))
    }

    /// Combines two values of one type; an int beside a double becomes a double.
    fn unify(
        &mut self,
        (left, right): (Typed, Typed),
        unit: Unit,
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
        match combine(left, right) {
            Some(typed) => Some((typed, unit)),
            None => {
                let message = Message::new(
                    format!("these two are {} and {}", a(kinds.0), a(kinds.1)),
                    format!("两边的类型是 {} 和 {}", kinds.0, kinds.1),
                );
                self.fail("type-mismatch", span, message, None)
            }
        }
    }

    pub(super) fn arithmetic(
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
        let unit = match arithmetic {
            Arithmetic::Multiply if left.1 == Unit::None => right.1,
            Arithmetic::Multiply if right.1 == Unit::None => left.1,
            Arithmetic::Multiply => Unit::None,
            Arithmetic::Divide => quotient_unit(left.1, right.1),
            _ => self.common_unit(left.1, right.1, span)?,
        };
        let no_rest = arithmetic == Arithmetic::Remainder;
        self.unify((left.0, right.0), unit, span, |left, right| {
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
        let equality = matches!(compare, Compare::Equal | Compare::NotEqual);
        self.refuse_empty(compare, left)?;
        self.refuse_empty(compare, right)?;
        let spans = (&left.span, &right.span);
        if equality {
            let (one, other) = (self.refuse_texts(left, right), self.refuse_texts(right, left));
            one.and(other)?;
        }
        let (left, right) = self.both(left, right)?;
        self.refuse_clock(compare, (&left.0, &right.0), spans.1)?;
        self.refuse_clock(compare.mirrored(), (&right.0, &left.0), spans.0)?;
        let unit = self.common_unit(left.1, right.1, span)?;
        let bool = match (left.0, right.0) {
            (Typed::Int(Int::Slot(slot)), Typed::Int(Int::Constant(value))) => {
                Bool::SlotInt(compare, slot, value, unit)
            }
            (Typed::Int(Int::Constant(value)), Typed::Int(Int::Slot(slot))) => {
                Bool::SlotInt(compare.mirrored(), slot, value, unit)
            }
            (Typed::Int(left), Typed::Int(right)) => Bool::Ints(compare, left, right, unit),
            (Typed::Double(left), Typed::Double(right)) => {
                Bool::Doubles(compare, left, right, unit)
            }
            (Typed::Int(left), Typed::Double(right)) => Bool::Mixed(compare, left, right, unit),
            (Typed::Double(left), Typed::Int(right)) => {
                Bool::Mixed(compare.mirrored(), right, left, unit)
            }
            (Typed::Str(left), Typed::Str(right)) => Bool::Strs(compare, left, right),
            (Typed::Bool(left), Typed::Bool(right)) if equality => {
                Bool::Bools(compare == Compare::Equal, Box::new(left), Box::new(right))
            }
            (left, right) => {
                let (left, right) = (left.kind(), right.kind());
                let message = Message::new(
                    format!("{} cannot be compared with {}", a(left), a(right)),
                    format!("{left} 不能与 {right} 比较"),
                );
                return self.fail("type-mismatch", span, message, None);
            }
        };
        Some((Typed::Bool(bool), Unit::None))
    }

    /// An empty string is a missing value: a comparison with it would never be true.
    fn refuse_empty(&mut self, compare: Compare, side: &Ast) -> Option<()> {
        let equality = matches!(compare, Compare::Equal | Compare::NotEqual);
        if !equality || !matches!(&side.node, Node::Str(text) if text.is_empty()) {
            return Some(());
        }
        let message = Message::new("an empty string is a missing value", "空字符串即缺失值");
        let hint = Message::new(
            "write !has(name) for missing, has(name) for present",
            "缺失请写 !has(名称),存在请写 has(名称)",
        );
        self.fail("empty-string", &side.span, message, Some(hint)).map(|_| ())
    }

    /// The unit of two values that are added or compared.
    fn common_unit(&mut self, left: Unit, right: Unit, span: &Range<usize>) -> Option<Unit> {
        match (left, right) {
            (Unit::None, unit) | (unit, Unit::None) => Some(unit),
            (left, right) if left == right => Some(left),
            _ => {
                let message = Message::new(
                    "money and a duration cannot be added or compared",
                    "金额与时长不能相加或比较",
                );
                self.fail("unit-mismatch", span, message, None);
                None
            }
        }
    }

    fn is_in(&mut self, left: &Ast, right: &Ast) -> Checked {
        let Node::List(items) = &right.node else {
            let message = Message::new("`in` needs a list such as ['a', 'b']", "`in` 后面应为列表");
            let hint = Message::new(
                "a named list is asked with in_list('name', value)",
                "查询名单请写 in_list('名单', 值)",
            );
            return self.fail("in-needs-list", &right.span, message, Some(hint));
        };
        let known = items.iter().map(|item| self.refuse_texts(left, item));
        let known: Vec<Option<()>> = known.collect();
        let left = self.expression(left);
        let values: Vec<_> = items.iter().map(|item| self.expression(item)).collect();
        let left = left?;
        let (mut unit, mut typed) = (left.1, Vec::with_capacity(values.len()));
        for (value, item) in values.into_iter().zip(items) {
            let (value, of) = value?;
            unit = self.common_unit(unit, of, &item.span)?;
            typed.push(value);
        }
        let values = typed;
        let clock = items.iter().zip(&values);
        let clock = clock
            .map(|(item, value)| self.refuse_clock(Compare::Equal, (&left.0, value), &item.span));
        let clock: Vec<Option<()>> = clock.collect();
        known.into_iter().chain(clock).collect::<Option<Vec<()>>>()?;
        let bool = match left.0 {
            Typed::Int(int) => {
                let ints = values.iter().map(|value| match value {
                    Typed::Int(Int::Constant(value)) => Some(*value),
                    _ => None,
                });
                ints.collect::<Option<Vec<_>>>().map(|mut values| {
                    values.sort_unstable();
                    Bool::InInts(int, values, unit)
                })
            }
            Typed::Str(text) => {
                let texts = values.iter().map(|value| match value {
                    Typed::Str(Str::Constant(value)) => Some(value.clone()),
                    _ => None,
                });
                texts.collect::<Option<Vec<_>>>().map(|mut values| {
                    values.sort_unstable();
                    Bool::InStrs(text, values)
                })
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

    pub(super) fn conditional(
        &mut self,
        test: &Ast,
        yes: &Ast,
        no: &Ast,
        span: &Range<usize>,
    ) -> Checked {
        let test = self.bool(test);
        let (yes, no) = self.both(yes, no)?;
        let test = test?;
        let unit = self.common_unit(yes.1, no.1, span)?;
        self.unify((yes.0, no.0), unit, span, |yes, no| choose(test, yes, no))
    }
}

/// `test ? yes : no`, where both are of one type.
pub(super) fn choose(test: Bool, yes: Typed, no: Typed) -> Option<Typed> {
    let test = Box::new(test);
    Some(match (yes, no) {
        (Typed::Int(yes), Typed::Int(no)) => Typed::Int(Int::If(test, Box::new(yes), Box::new(no))),
        (Typed::Double(yes), Typed::Double(no)) => {
            Typed::Double(Double::If(test, Box::new(yes), Box::new(no)))
        }
        (Typed::Bool(yes), Typed::Bool(no)) => {
            Typed::Bool(Bool::If(test, Box::new(yes), Box::new(no)))
        }
        (Typed::Str(yes), Typed::Str(no)) => Typed::Str(Str::If(test, Box::new(yes), Box::new(no))),
        _ => return None,
    })
}

/// `first ?? second`, where both are of one type.
fn otherwise(first: Typed, second: Typed) -> Option<Typed> {
    Some(match (first, second) {
        (Typed::Int(a), Typed::Int(b)) => Typed::Int(Int::Otherwise(Box::new(a), Box::new(b))),
        (Typed::Double(a), Typed::Double(b)) => {
            Typed::Double(Double::Otherwise(Box::new(a), Box::new(b)))
        }
        (Typed::Bool(a), Typed::Bool(b)) => Typed::Bool(Bool::Otherwise(Box::new(a), Box::new(b))),
        (Typed::Str(a), Typed::Str(b)) => Typed::Str(Str::Otherwise(Box::new(a), Box::new(b))),
        _ => return None,
    })
}
