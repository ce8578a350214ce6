//! How far a miss is from a hit.

use std::cmp::Ordering;

use super::eval::{Bool, Compare, Program, Typed};
use super::{Unit, format_duration, format_yuan};
use crate::event::Value;

/// What one numeric comparison lacks: the gap between its two sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shortfall {
    /// By how much one side would have to change; never negative.
    pub amount: Amount,
    /// Its unit.
    pub unit: Unit,
}

/// A number that is lacking. Money and durations between integers stay integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Between integers: the least change that makes the comparison come out as wanted.
    Int(i64),
    /// With a double on a side: the distance.
    Double(f64),
}

impl Amount {
    fn cmp(self, other: Amount) -> Ordering {
        match (self, other) {
            (Amount::Int(a), Amount::Int(b)) => a.cmp(&b),
            (a, b) => a.as_double().total_cmp(&b.as_double()),
        }
    }

    fn as_double(self) -> f64 {
        match self {
            Amount::Int(amount) => amount as f64,
            Amount::Double(amount) => amount,
        }
    }
}

impl std::fmt::Display for Shortfall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What is lacking of a whole fen or ms is a whole one.
        let whole = match self.amount {
            Amount::Int(amount) => amount,
            Amount::Double(amount) => amount.ceil() as i64,
        };
        match (self.unit, self.amount) {
            (Unit::Yuan, _) => write!(f, "{} yuan", format_yuan(whole)),
            (Unit::Duration, _) => f.write_str(&format_duration(whole)),
            (Unit::None, Amount::Int(amount)) => write!(f, "{amount}"),
            // Nine decimals: what subtraction of doubles leaves beyond them is no one's wish.
            (Unit::None, Amount::Double(amount)) => write!(f, "{}", (amount * 1e9).round() / 1e9),
        }
    }
}

impl Program {
    /// How far a row is from making the condition true, where a single numeric comparison stands
    /// between. Of several ways, each enough by itself, the smallest counts (of those in the unit
    /// of the first); where more than one thing would have to change, or what would is no number,
    /// there is no shortfall.
    pub fn shortfall(&self, row: &[Value<'_>]) -> Option<Shortfall> {
        match &self.root {
            Typed::Bool(condition) => match gap(condition, row, true) {
                Gap::Lacks(shortfall) => Some(shortfall),
                Gap::Closed | Gap::Open => None,
            },
            _ => None,
        }
    }
}

/// What stands between a condition and the wanted outcome.
#[derive(Clone, Copy)]
enum Gap {
    /// Nothing: it is as wanted.
    Closed,
    /// One number.
    Lacks(Shortfall),
    /// Anything else.
    Open,
}

fn gap(condition: &Bool, row: &[Value<'_>], wanted: bool) -> Gap {
    if condition.eval(row) == Ok(wanted) {
        return Gap::Closed;
    }
    match (condition, wanted) {
        (Bool::Not(inner), _) => gap(inner, row, !wanted),
        (Bool::And(items), true) | (Bool::Or(items), false) => all(items, row, wanted),
        (Bool::And(items), false) | (Bool::Or(items), true) => any(items, row, wanted),
        (Bool::If(test, yes, no), _) => match test.eval(row) {
            Ok(true) => gap(yes, row, wanted),
            Ok(false) => gap(no, row, wanted),
            Err(_) => Gap::Open,
        },
        (Bool::Otherwise(first, second), _) => match first.eval(row) {
            Ok(_) => gap(first, row, wanted),
            Err(_) => gap(second, row, wanted),
        },
        (Bool::SlotInt(compare, slot, limit, unit), _) => match row[*slot] {
            Value::Int(value) => ints(*compare, value, *limit, *unit, wanted),
            _ => Gap::Open,
        },
        (Bool::Ints(compare, left, right, unit), _) => match (left.eval(row), right.eval(row)) {
            (Ok(left), Ok(right)) => ints(*compare, left, right, *unit, wanted),
            _ => Gap::Open,
        },
        (Bool::Doubles(compare, left, right, unit), _) => match (left.eval(row), right.eval(row)) {
            (Ok(left), Ok(right)) => doubles(*compare, left, right, *unit, wanted),
            _ => Gap::Open,
        },
        (Bool::Mixed(compare, left, right, unit), _) => match (left.eval(row), right.eval(row)) {
            (Ok(left), Ok(right)) => doubles(*compare, left as f64, right, *unit, wanted),
            _ => Gap::Open,
        },
        (Bool::InInts(int, values, unit), _) => match int.eval(row) {
            Ok(value) => among(value, values, *unit, wanted),
            _ => Gap::Open,
        },
        _ => Gap::Open,
    }
}

/// To the nearest of the values, which are in order, or to the nearest that is none of them.
fn among(value: i64, values: &[i64], unit: Unit, wanted: bool) -> Gap {
    let distance = match wanted {
        true => values.iter().map(|one| one.abs_diff(value)).min(),
        false => (1..).find(|step| {
            let near = [value.checked_add_unsigned(*step), value.checked_sub_unsigned(*step)];
            near.iter().flatten().any(|near| values.binary_search(near).is_err())
        }),
    };
    let Some(distance) = distance else { return Gap::Open };
    let amount = Amount::Int(i64::try_from(distance).unwrap_or(i64::MAX));
    Gap::Lacks(Shortfall { amount, unit })
}

/// All must be as wanted: one number is enough only where one alone is not.
fn all(items: &[Bool], row: &[Value<'_>], wanted: bool) -> Gap {
    let mut found = Gap::Closed;
    for item in items {
        found = match (found, gap(item, row, wanted)) {
            (found, Gap::Closed) => found,
            (Gap::Closed, gap) => gap,
            _ => return Gap::Open,
        };
    }
    found
}

/// One is enough: the nearest.
fn any(items: &[Bool], row: &[Value<'_>], wanted: bool) -> Gap {
    let mut nearest: Option<Shortfall> = None;
    for item in items {
        let Gap::Lacks(found) = gap(item, row, wanted) else { continue };
        nearest = match nearest {
            Some(held) if found.unit != held.unit => Some(held),
            Some(held) if found.amount.cmp(held.amount).is_ge() => Some(held),
            _ => Some(found),
        };
    }
    nearest.map_or(Gap::Open, Gap::Lacks)
}

fn ints(compare: Compare, left: i64, right: i64, unit: Unit, wanted: bool) -> Gap {
    let distance = left.abs_diff(right);
    let amount = match (compare, wanted) {
        (Compare::GreaterEqual | Compare::LessEqual | Compare::Equal, true) => distance,
        (Compare::Greater | Compare::Less | Compare::NotEqual, false) => distance,
        // These ask for more than to be equal, or for no longer being so.
        _ => distance.saturating_add(1),
    };
    let amount = Amount::Int(i64::try_from(amount).unwrap_or(i64::MAX));
    Gap::Lacks(Shortfall { amount, unit })
}

fn doubles(compare: Compare, left: f64, right: f64, unit: Unit, wanted: bool) -> Gap {
    match (compare, wanted) {
        // However little would be enough.
        (Compare::NotEqual, true) | (Compare::Equal, false) => Gap::Open,
        _ => Gap::Lacks(Shortfall { amount: Amount::Double((right - left).abs()), unit }),
    }
}
