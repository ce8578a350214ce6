//! Programs: typed trees over slots, evaluated without allocation.

use std::sync::Arc;

use super::{List, NotEvaluable, Slot, Unit, Zone};
use crate::event::{TIME_MAX, TIME_MIN, Type, Value};

type Result<T> = std::result::Result<T, NotEvaluable>;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) root: Typed,
    pub(super) slots: Vec<Slot>,
}

/// An expression of one of the four types.
#[derive(Clone, Debug)]
pub(super) enum Typed {
    Int(Int),
    Double(Double),
    Bool(Bool),
    Str(Str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Min,
    Max,
}

#[derive(Clone, Debug)]
pub(super) enum Int {
    Constant(i64),
    Slot(usize),
    Negate(Box<Int>),
    Absolute(Box<Int>),
    Arithmetic(Arithmetic, Box<Int>, Box<Int>),
    /// Truncates toward zero.
    FromDouble(Box<Double>),
    /// Characters of a string.
    Size(Str),
    Hour(Box<Int>, Arc<Zone>),
    Weekday(Box<Int>, Arc<Zone>),
    If(Box<Bool>, Box<Int>, Box<Int>),
    Otherwise(Box<Int>, Box<Int>),
}

#[derive(Clone, Debug)]
pub(super) enum Double {
    Constant(f64),
    Slot(usize),
    FromInt(Box<Int>),
    Negate(Box<Double>),
    Absolute(Box<Double>),
    Arithmetic(Arithmetic, Box<Double>, Box<Double>),
    If(Box<Bool>, Box<Double>, Box<Double>),
    Otherwise(Box<Double>, Box<Double>),
}

#[derive(Clone, Debug)]
pub(super) enum Str {
    Constant(String),
    Slot(usize),
    If(Box<Bool>, Box<Str>, Box<Str>),
    Otherwise(Box<Str>, Box<Str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Clone, Debug)]
pub(super) enum Bool {
    Constant(bool),
    Slot(usize),
    Has(usize),
    Not(Box<Bool>),
    And(Vec<Bool>),
    Or(Vec<Bool>),
    /// The commonest condition of all, without a walk.
    SlotInt(Compare, usize, i64, Unit),
    Ints(Compare, Int, Int, Unit),
    Doubles(Compare, Double, Double, Unit),
    /// An integer against a double, exactly.
    Mixed(Compare, Int, Double, Unit),
    Strs(Compare, Str, Str),
    Bools(bool, Box<Bool>, Box<Bool>),
    /// The values are in order.
    InInts(Int, Vec<i64>, Unit),
    InStrs(Str, Vec<String>),
    Search(Search, Str, Str),
    Matches(Str, Box<regex::Regex>),
    InList(Str, Arc<List>, Box<Int>),
    InCalendar(Box<Int>, Arc<List>, Arc<Zone>),
    If(Box<Bool>, Box<Bool>, Box<Bool>),
    Otherwise(Box<Bool>, Box<Bool>),
}

impl Typed {
    pub(super) fn kind(&self) -> Type {
        match self {
            Typed::Int(_) => Type::Int,
            Typed::Double(_) => Type::Double,
            Typed::Bool(_) => Type::Bool,
            Typed::Str(_) => Type::Str,
        }
    }

    /// The same with a number that depends on no slot computed once. What has no value is left, to
    /// have none for every row.
    pub(super) fn folded(self) -> Typed {
        match self {
            Typed::Int(int) if int.is_fixed() => {
                Typed::Int(int.eval(&[]).map_or(int, Int::Constant))
            }
            Typed::Double(double) if double.is_fixed() => {
                Typed::Double(double.eval(&[]).map_or(double, Double::Constant))
            }
            other => other,
        }
    }
}

impl Int {
    /// Whether what it is made of was folded into constants.
    fn is_fixed(&self) -> bool {
        let constant = |int: &Int| matches!(int, Int::Constant(_));
        match self {
            Int::Negate(inner) | Int::Absolute(inner) => constant(inner),
            Int::Arithmetic(_, left, right) => constant(left) && constant(right),
            Int::FromDouble(inner) => matches!(**inner, Double::Constant(_)),
            _ => false,
        }
    }
}

impl Double {
    fn is_fixed(&self) -> bool {
        let constant = |double: &Double| matches!(double, Double::Constant(_));
        match self {
            Double::Negate(inner) | Double::Absolute(inner) => constant(inner),
            // An int beside a double was made one in passing: folded with what it stands in.
            Double::Arithmetic(_, left, right) => {
                [left, right].iter().all(|side| constant(side) || side.is_fixed())
            }
            Double::FromInt(inner) => matches!(**inner, Int::Constant(_)),
            _ => false,
        }
    }
}

impl Program {
    /// The type of its value.
    pub fn kind(&self) -> Type {
        self.root.kind()
    }

    /// The slots that it reads, in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The value of a condition; a program of another type is never true.
    #[inline]
    pub fn test(&self, row: &[Value<'_>]) -> Result<bool> {
        match &self.root {
            Typed::Bool(condition) => condition.eval(row),
            _ => Ok(false),
        }
    }

    /// The value for a row.
    pub fn value<'v>(&'v self, row: &[Value<'v>]) -> Result<Value<'v>> {
        Ok(match &self.root {
            Typed::Int(int) => Value::Int(int.eval(row)?),
            Typed::Double(double) => Value::Double(double.eval(row)?),
            Typed::Bool(bool) => Value::Bool(bool.eval(row)?),
            Typed::Str(text) => match text.eval(row)? {
                // As in every column, an empty string is a missing value.
                "" => return Err(NotEvaluable::Missing),
                text => Value::Str(text),
            },
        })
    }
}

impl Compare {
    /// The same with its sides exchanged.
    pub(super) fn mirrored(self) -> Compare {
        match self {
            Compare::Less => Compare::Greater,
            Compare::LessEqual => Compare::GreaterEqual,
            Compare::Greater => Compare::Less,
            Compare::GreaterEqual => Compare::LessEqual,
            same => same,
        }
    }

    #[inline]
    pub(super) fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Compare::Equal => left == right,
            Compare::NotEqual => left != right,
            Compare::Less => left < right,
            Compare::LessEqual => left <= right,
            Compare::Greater => left > right,
            Compare::GreaterEqual => left >= right,
        }
    }
}

impl Int {
    #[inline]
    pub(super) fn eval(&self, row: &[Value<'_>]) -> Result<i64> {
        match self {
            Int::Constant(value) => Ok(*value),
            Int::Slot(slot) => match row[*slot] {
                Value::Int(value) => Ok(value),
                _ => Err(NotEvaluable::Missing),
            },
            Int::Negate(inner) => inner.eval(row)?.checked_neg().ok_or(NotEvaluable::Overflow),
            Int::Absolute(inner) => inner.eval(row)?.checked_abs().ok_or(NotEvaluable::Overflow),
            Int::Arithmetic(arithmetic, left, right) => {
                arithmetic.ints(left.eval(row)?, right.eval(row)?)
            }
            Int::FromDouble(inner) => to_int(inner.eval(row)?),
            Int::Size(text) => Ok(text.eval(row)?.chars().count() as i64),
            Int::Hour(time, zone) => Ok(zone.hour(moment(time, row)?)),
            Int::Weekday(time, zone) => Ok(zone.weekday(moment(time, row)?)),
            Int::If(test, yes, no) => {
                if test.eval(row)? {
                    yes.eval(row)
                } else {
                    no.eval(row)
                }
            }
            Int::Otherwise(first, second) => otherwise(first.eval(row), || second.eval(row)),
        }
    }
}

impl Arithmetic {
    fn ints(self, left: i64, right: i64) -> Result<i64> {
        if right == 0 && matches!(self, Arithmetic::Divide | Arithmetic::Remainder) {
            return Err(NotEvaluable::DivisionByZero);
        }
        let result = match self {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Subtract => left.checked_sub(right),
            Arithmetic::Multiply => left.checked_mul(right),
            Arithmetic::Divide => left.checked_div(right),
            Arithmetic::Remainder => left.checked_rem(right),
            Arithmetic::Min => Some(left.min(right)),
            Arithmetic::Max => Some(left.max(right)),
        };
        result.ok_or(NotEvaluable::Overflow)
    }

    /// A result that is no finite number is no value: a zero divisor, or an overflow.
    fn doubles(self, left: f64, right: f64) -> Result<f64> {
        let result = match self {
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide if right == 0.0 => return Err(NotEvaluable::DivisionByZero),
            Arithmetic::Divide => left / right,
            Arithmetic::Remainder => return Err(NotEvaluable::Overflow),
            Arithmetic::Min => left.min(right),
            Arithmetic::Max => left.max(right),
        };
        if result.is_finite() { Ok(result) } else { Err(NotEvaluable::Overflow) }
    }
}

/// A time that a calendar knows.
fn moment(time: &Int, row: &[Value<'_>]) -> Result<i64> {
    let time = time.eval(row)?;
    if (TIME_MIN..TIME_MAX).contains(&time) { Ok(time) } else { Err(NotEvaluable::Overflow) }
}

fn to_int(value: f64) -> Result<i64> {
    // 2^63 is a double; every double below it fits, and so does -2^63.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) { Ok(value as i64) } else { Err(NotEvaluable::Overflow) }
}

fn otherwise<T>(first: Result<T>, second: impl FnOnce() -> Result<T>) -> Result<T> {
    match first {
        Err(NotEvaluable::Missing) => second(),
        first => first,
    }
}

impl Double {
    pub(super) fn eval(&self, row: &[Value<'_>]) -> Result<f64> {
        match self {
            Double::Constant(value) => Ok(*value),
            Double::Slot(slot) => match row[*slot] {
                Value::Double(value) => Ok(value),
                _ => Err(NotEvaluable::Missing),
            },
            Double::FromInt(inner) => Ok(inner.eval(row)? as f64),
            Double::Negate(inner) => Ok(-inner.eval(row)?),
            Double::Absolute(inner) => Ok(inner.eval(row)?.abs()),
            Double::Arithmetic(arithmetic, left, right) => {
                arithmetic.doubles(left.eval(row)?, right.eval(row)?)
            }
            Double::If(test, yes, no) => {
                if test.eval(row)? {
                    yes.eval(row)
                } else {
                    no.eval(row)
                }
            }
            Double::Otherwise(first, second) => otherwise(first.eval(row), || second.eval(row)),
        }
    }
}

impl Str {
    pub(super) fn eval<'v>(&'v self, row: &[Value<'v>]) -> Result<&'v str> {
        match self {
            Str::Constant(text) => Ok(text),
            Str::Slot(slot) => match row[*slot] {
                Value::Str(text) => Ok(text),
                _ => Err(NotEvaluable::Missing),
            },
            Str::If(test, yes, no) => {
                if test.eval(row)? {
                    yes.eval(row)
                } else {
                    no.eval(row)
                }
            }
            Str::Otherwise(first, second) => otherwise(first.eval(row), || second.eval(row)),
        }
    }
}

impl Bool {
    pub(super) fn eval(&self, row: &[Value<'_>]) -> Result<bool> {
        match self {
            Bool::Constant(value) => Ok(*value),
            Bool::Slot(slot) => match row[*slot] {
                Value::Bool(value) => Ok(value),
                _ => Err(NotEvaluable::Missing),
            },
            Bool::Has(slot) => Ok(row[*slot] != Value::Null),
            Bool::Not(inner) => Ok(!inner.eval(row)?),
            Bool::And(items) => unless(false, items, row),
            Bool::Or(items) => unless(true, items, row),
            Bool::SlotInt(compare, slot, value, _) => match row[*slot] {
                Value::Int(held) => Ok(compare.holds(held, *value)),
                _ => Err(NotEvaluable::Missing),
            },
            Bool::Ints(compare, left, right, _) => {
                Ok(compare.holds(left.eval(row)?, right.eval(row)?))
            }
            Bool::Doubles(compare, left, right, _) => {
                Ok(compare.holds(left.eval(row)?, right.eval(row)?))
            }
            Bool::Mixed(compare, int, double, _) => {
                Ok(mixed(*compare, int.eval(row)?, double.eval(row)?))
            }
            Bool::Strs(compare, left, right) => {
                Ok(compare.holds(left.eval(row)?, right.eval(row)?))
            }
            Bool::Bools(equal, left, right) => Ok((left.eval(row)? == right.eval(row)?) == *equal),
            Bool::InInts(int, values, _) => Ok(values.binary_search(&int.eval(row)?).is_ok()),
            Bool::InStrs(text, values) => {
                let text = text.eval(row)?;
                Ok(values.binary_search_by(|value| value.as_str().cmp(text)).is_ok())
            }
            Bool::Search(search, text, part) => {
                let (text, part) = (text.eval(row)?, part.eval(row)?);
                Ok(match search {
                    Search::Contains => text.contains(part),
                    Search::StartsWith => text.starts_with(part),
                    Search::EndsWith => text.ends_with(part),
                })
            }
            Bool::Matches(text, pattern) => Ok(pattern.is_match(text.eval(row)?)),
            Bool::InList(text, list, time) => Ok(list.contains(text.eval(row)?, time.eval(row)?)),
            Bool::InCalendar(time, list, zone) => {
                let time = moment(time, row)?;
                Ok(list.contains(zone.date(time).as_str(), time))
            }
            Bool::If(test, yes, no) => {
                if test.eval(row)? {
                    yes.eval(row)
                } else {
                    no.eval(row)
                }
            }
            Bool::Otherwise(first, second) => otherwise(first.eval(row), || second.eval(row)),
        }
    }
}

/// `&&` (where false decides) and `||` (where true does): what decides does so even where a side
/// before it has no value; else the first side without a value makes the whole have none.
fn unless(decides: bool, items: &[Bool], row: &[Value<'_>]) -> Result<bool> {
    let mut result = Ok(!decides);
    for item in items {
        match item.eval(row) {
            Ok(value) if value == decides => return Ok(decides),
            Err(error) if result.is_ok() => result = Err(error),
            _ => {}
        }
    }
    result
}

/// Compares an integer with a finite double without rounding the integer.
fn mixed(compare: Compare, int: i64, double: f64) -> bool {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if double >= LIMIT {
        return compare.holds(0, 1);
    }
    if double < -LIMIT {
        return compare.holds(1, 0);
    }
    let whole = double.floor() as i64;
    let fraction = double - double.floor();
    match int.cmp(&whole) {
        std::cmp::Ordering::Equal if fraction > 0.0 => compare.holds(0, 1),
        ordering => compare.holds(ordering as i8, 0),
    }
}
