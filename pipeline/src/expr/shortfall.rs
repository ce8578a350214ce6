//! How far a miss is from a hit.

use super::eval::{Bool, Compare, Program, Typed};
use super::{Unit, format_duration, format_yuan};
use crate::event::Value;

/// What one numeric comparison lacks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shortfall {
    /// By how much the left side would have to change.
    pub amount: f64,
    /// Its unit.
    pub unit: Unit,
}

impl std::fmt::Display for Shortfall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = self.amount as i64;
        match self.unit {
            Unit::Yuan => write!(f, "{} yuan", format_yuan(whole)),
            Unit::Duration => f.write_str(&format_duration(whole)),
            Unit::None if self.amount.fract() == 0.0 => write!(f, "{whole}"),
            Unit::None => write!(f, "{}", self.amount),
        }
    }
}

impl Program {
    /// How far a row is from making the condition true, where a single numeric comparison stands
    /// between: of several ways the nearest in the order written counts, and where more than one
    /// thing would have to change there is no one number to say.
    pub fn shortfall(&self, row: &[Value<'_>]) -> Option<Shortfall> {
        match &self.root {
            Typed::Bool(condition) => lacking(condition, row, true).flatten(),
            _ => None,
        }
    }
}

/// `None`: it already is as wanted. `Some(None)`: no single number. `Some(Some(s))`: s is lacking.
fn lacking(condition: &Bool, row: &[Value<'_>], wanted: bool) -> Option<Option<Shortfall>> {
    if condition.eval(row) == Ok(wanted) {
        return None;
    }
    match (condition, wanted) {
        (Bool::Not(inner), _) => lacking(inner, row, !wanted),
        (Bool::And(left, right), true) | (Bool::Or(left, right), false) => {
            match (lacking(left, row, wanted), lacking(right, row, wanted)) {
                (Some(one), None) | (None, Some(one)) => Some(one),
                _ => Some(None),
            }
        }
        (Bool::And(left, right), false) | (Bool::Or(left, right), true) => {
            let ways = [left, right].map(|side| lacking(side, row, wanted).flatten());
            let nearest = ways.into_iter().flatten().min_by(|a, b| a.amount.total_cmp(&b.amount));
            Some(nearest)
        }
        (Bool::SlotInt(compare, slot, limit, unit), _) => match row[*slot] {
            Value::Int(value) => Some(ints(*compare, value, *limit, *unit, wanted)),
            _ => Some(None),
        },
        (Bool::Ints(compare, left, right, unit), _) => match (left.eval(row), right.eval(row)) {
            (Ok(left), Ok(right)) => Some(ints(*compare, left, right, *unit, wanted)),
            _ => Some(None),
        },
        (Bool::Doubles(compare, left, right), _) => match (left.eval(row), right.eval(row)) {
            (Ok(left), Ok(right)) => Some(doubles(*compare, left, right, wanted)),
            _ => Some(None),
        },
        (Bool::Mixed(compare, left, right), _) => match (left.eval(row), right.eval(row)) {
            (Ok(left), Ok(right)) => Some(doubles(*compare, left as f64, right, wanted)),
            _ => Some(None),
        },
        _ => Some(None),
    }
}

fn ints(compare: Compare, left: i64, right: i64, unit: Unit, wanted: bool) -> Option<Shortfall> {
    let gap = (i128::from(right) - i128::from(left)).abs();
    let amount = match (compare, wanted) {
        (Compare::GreaterEqual | Compare::LessEqual | Compare::Equal, true) => gap,
        (Compare::Greater | Compare::Less, true) => gap + 1,
        (Compare::GreaterEqual | Compare::LessEqual, false) => gap + 1,
        (Compare::Greater | Compare::Less | Compare::NotEqual, false) => gap,
        _ => return None,
    };
    Some(Shortfall { amount: amount as f64, unit })
}

fn doubles(compare: Compare, left: f64, right: f64, wanted: bool) -> Option<Shortfall> {
    match (compare, wanted) {
        (Compare::NotEqual, true) | (Compare::Equal, false) => None,
        _ => Some(Shortfall { amount: (right - left).abs(), unit: Unit::None }),
    }
}
