//! Conditions: a subset of the Common Expression Language (CEL), typed when it is read.
//!
//! Text becomes an [`Ast`], the ast with an [`Environment`] becomes a [`Program`] over typed
//! slots. A missing value behaves as a CEL error: `true || missing` is true, `false && missing`
//! is false, and what is left is *not evaluable*, which is not the same as false.
//!
//! Beyond CEL: `x ?? y` (y where x is missing; it binds to the value before it, so that
//! `a + b ?? 0` is `a + (b ?? 0)`), units (`yuan(5000)`, `duration('24h')`), lists and calendars,
//! and an int beside a double in arithmetic. Less than CEL: no macros, maps or messages; `/` on
//! two integers is refused, because it would silently drop the rest; and a result that is no
//! finite number is no value.
//!
//! ```
//! # use std::{collections::BTreeMap, sync::Arc};
//! use hongxian::event::{Type, Value};
//! use hongxian::expr::{Environment, Names, Slot, Zone, compile, parse};
//!
//! struct Amount;
//! impl Names for Amount {
//!     fn lookup(&self, name: &str) -> Option<(Slot, Type)> {
//!         (name == "amount_fen").then_some((Slot(0), Type::Int))
//!     }
//!     fn all(&self) -> Vec<String> {
//!         vec!["amount_fen".to_owned()]
//!     }
//! }
//!
//! let environment = Environment {
//!     names: &Amount,
//!     params: &BTreeMap::new(),
//!     conditions: &BTreeMap::new(),
//!     lists: &BTreeMap::new(),
//!     zone: &Arc::new(Zone::new("Asia/Shanghai").unwrap()),
//! };
//! let large = compile(&parse("amount_fen >= yuan(5000)").unwrap(), &environment).unwrap();
//! assert_eq!(large.test(&[Value::Int(500_000)]), Ok(true));
//! let miss = [Value::Int(499_999)];
//! assert_eq!(large.test(&miss), Ok(false));
//! assert_eq!(large.shortfall(&miss).unwrap().to_string(), "0.01 yuan");
//! ```

mod ast;
mod check;
mod clauses;
mod closed;
mod eval;
mod functions;
mod lexer;
mod list;
mod mutants;
mod operators;
mod parse;
mod possible;
mod shortfall;
mod zone;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub use ast::Ast;
pub use check::{compile, compile_with_unit};
pub use clauses::{Clause, Join};
pub use closed::{never, texts};
pub use eval::Program;
pub use list::List;
pub use mutants::{Change, Mutant, neighbours};
pub use parse::parse;
pub use possible::Events;
pub use shortfall::{Amount, Shortfall};
pub use zone::{Date, Zone};

use crate::diagnostic::Message;
use crate::event::{Type, Value};

/// A value's place in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

/// The names that an expression may use.
pub trait Names {
    /// The slot and type of a name.
    fn lookup(&self, name: &str) -> Option<(Slot, Type)>;
    /// Every name, for "did you mean".
    fn all(&self) -> Vec<String>;
    /// The unit of a name's values.
    fn unit(&self, name: &str) -> Unit {
        let _ = name;
        Unit::None
    }
    /// Whether a name's values are moments, in ms since 1970 UTC.
    fn is_moment(&self, name: &str) -> bool {
        let _ = name;
        false
    }
    /// The texts that a name's values can be, where they are a closed set.
    fn values(&self, name: &str) -> Option<Vec<String>> {
        let _ = name;
        None
    }
}

/// A unit, for messages; values are integers all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Unit {
    /// A plain number.
    #[default]
    None,
    /// Fen, shown as yuan.
    Yuan,
    /// Milliseconds, shown as a duration.
    Duration,
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant holds a value of that type")]
pub enum Constant {
    Int(i64),
    Double(f64),
    Bool(bool),
    Str(String),
}

impl Constant {
    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Constant::Int(_) => Type::Int,
            Constant::Double(_) => Type::Double,
            Constant::Bool(_) => Type::Bool,
            Constant::Str(_) => Type::Str,
        }
    }

    /// A value of a row; none where it is null.
    pub fn of(value: Value<'_>) -> Option<Constant> {
        Some(match value {
            Value::Null => return None,
            Value::Int(value) => Constant::Int(value),
            Value::Double(value) => Constant::Double(value),
            Value::Bool(value) => Constant::Bool(value),
            Value::Str(value) => Constant::Str(value.to_owned()),
        })
    }

    /// As a value of a row.
    pub fn value(&self) -> Value<'_> {
        match self {
            Constant::Int(value) => Value::Int(*value),
            Constant::Double(value) => Value::Double(*value),
            Constant::Bool(value) => Value::Bool(*value),
            Constant::Str(value) => Value::Str(value),
        }
    }
}

/// A parameter of a rule: a value, and other values where a field or feature says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// The value where nothing else is said.
    pub default: Constant,
    /// Its unit.
    pub unit: Unit,
    /// A string-valued name, and the parameter's value for some of its values.
    pub by: Option<(String, Vec<(String, Constant)>)>,
}

/// What an expression is compiled with.
pub struct Environment<'e> {
    /// Fields and features.
    pub names: &'e dyn Names,
    /// Parameters.
    pub params: &'e BTreeMap<String, Param>,
    /// Named conditions.
    pub conditions: &'e BTreeMap<String, Ast>,
    /// Lists and calendars.
    pub lists: &'e BTreeMap<String, Arc<List>>,
    /// The time zone of `hour`, `weekday` and calendars.
    pub zone: &'e Arc<Zone>,
}

/// A mistake in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprError {
    /// A stable name for the kind of mistake.
    pub code: &'static str,
    /// Where in the expression, in bytes.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: Message,
    /// What to do.
    pub hint: Option<Message>,
}

/// Why an expression has no value for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotEvaluable {
    /// A value is missing.
    Missing,
    /// A result does not fit its type.
    Overflow,
    /// A division by zero.
    DivisionByZero,
}

/// Reads an amount in yuan as fen, exactly: at most two decimals.
pub fn yuan(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, cents) = digits.split_once('.').unwrap_or((digits, "0"));
    let valid = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !valid(whole) || !valid(cents) || cents.len() > 2 {
        return None;
    }
    let scale = if cents.len() == 1 { 10 } else { 1 };
    let cents: i64 = cents.parse().ok()?;
    let whole: i64 = whole.parse().ok()?;
    whole.checked_mul(100)?.checked_add(cents * scale)?.checked_mul(sign)
}

/// Reads a duration such as `90s`, `10m`, `24h`, `30d` or `1h30m` as ms.
pub fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit_ms = match &rest[digits..digits + unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(count.checked_mul(unit_ms)?)?;
        rest = &rest[digits + unit..];
    }
    Some(total)
}

/// Fen as yuan, such as `5000.00`.
pub fn format_yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", fen.unsigned_abs() / 100, fen.unsigned_abs() % 100)
}

/// Milliseconds as a duration, such as `1h30m`.
pub fn format_duration(ms: i64) -> String {
    let mut rest = ms.unsigned_abs();
    let mut out = String::from(if ms < 0 { "-" } else { "" });
    for (unit, name) in
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")]
    {
        if rest >= unit {
            out.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if ms == 0 { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests;
