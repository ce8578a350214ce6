//! How the features of an account moved: those that are its own, each over the transactions in which
//! they tell of it.
//!
//! A feature of the payer is of another account wherever that one pays, and a feature of a group is
//! another group's from one transaction to the next: no such series would be the account's.

use std::collections::BTreeMap;

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use serde::Serialize;

use crate::diagnostic::Failure;
use crate::event::Kind;
use crate::features::Whose;
use crate::finished::{Decided, FinishedRun};

/// Points of a sparkline: the transactions in order, in so many parts of which the largest stands.
const POINTS: usize = 16;

/// As what an account is told of by a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// As who acts.
    Acts,
    /// As who pays: what it sends, transfers and withdraws, and what others claim of its packets.
    Pays,
    /// As who is paid: what it claims, and what others transfer to it.
    IsPaid,
}

/// A feature of the account that moved.
#[derive(Clone, Debug, Serialize)]
pub struct Trend {
    /// Its name.
    pub name: String,
    /// As what it tells of the account, and so over which transactions.
    pub part: Part,
    /// The unit of its values, as the feature declares it; empty where there is none.
    pub unit: String,
    /// On how many transactions it has a value.
    pub values: usize,
    /// The first value.
    pub first: f64,
    /// The last value.
    pub last: f64,
    /// The largest value.
    pub largest: f64,
    /// How often it was another than on the transaction before. A time that has grown by just what
    /// has passed since then is no other.
    pub changes: usize,
    /// The largest value of each part of its time, in order; none where there is no value.
    pub points: Vec<Option<f64>>,
}

/// A transaction in which the account takes part.
pub(super) struct Seen {
    row: usize,
    time: i64,
    acts: bool,
    pays: bool,
    is_paid: bool,
}

impl Seen {
    /// What the account is in a transaction that names it: the sides are `payer_id` and `payee_id`.
    pub(super) fn of(decided: &Decided, account: &str) -> Seen {
        let (acts, other) = (decided.account_id == account, decided.counterparty_id == account);
        let is = |kind: Kind| decided.kind == kind.name();
        let (pays, is_paid) = match is(Kind::Claim) {
            true => (other, acts),
            false => (acts, other && is(Kind::Transfer)),
        };
        Seen { row: decided.row, time: decided.event_time, acts, pays, is_paid }
    }

    fn fits(&self, whose: Whose) -> bool {
        (self.acts || !whose.acting)
            && (self.pays || !whose.payer)
            && (self.is_paid || !whose.payee)
            // What is nobody's is the transaction's own, and so of who acts in it.
            && (self.acts || whose.payer || whose.payee)
    }
}

/// What is known of a feature beside its values.
pub(super) struct Known {
    pub(super) whose: Whose,
    pub(super) unit: String,
}

impl Known {
    fn part(&self) -> Option<Part> {
        match self.whose {
            Whose { other: true, .. } | Whose { payer: true, payee: true, .. } => None,
            Whose { payer: true, .. } => Some(Part::Pays),
            Whose { payee: true, .. } => Some(Part::IsPaid),
            _ => Some(Part::Acts),
        }
    }
}

/// Values with the times of their transactions.
type Values = Vec<(i64, Option<f64>)>;

/// Those of the `known` features that are the account's, have numbers and moved over the `seen`
/// transactions, which are in order; those that changed most often first.
pub(super) fn trends(
    run: &FinishedRun,
    seen: &[Seen],
    known: &BTreeMap<String, Known>,
) -> Result<Vec<Trend>, Failure> {
    if seen.is_empty() {
        return Ok(Vec::new());
    }
    let of = |name: &str| known.get(name).and_then(|known| Some((known, known.part()?)));
    let mut found: BTreeMap<String, Values> = BTreeMap::new();
    let mut next = 0;
    run.features(&|name| of(name).is_some(), &mut |first, batch| {
        let from = next;
        while next < seen.len() && seen[next].row < first + batch.num_rows() {
            next += 1;
        }
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let Some((known, _)) = of(field.name()) else { continue };
            let own = seen[from..next].iter().filter(|seen| seen.fits(known.whose));
            let values = found.entry(field.name().clone()).or_default();
            read(column, first, own, values);
        }
    })?;
    let moved = found.iter().filter_map(|(name, values)| {
        let (known, part) = of(name)?;
        trend(name, part, &known.unit, values)
    });
    let mut trends: Vec<Trend> = moved.collect();
    trends.sort_by(|a, b| b.changes.cmp(&a.changes).then_with(|| a.name.cmp(&b.name)));
    Ok(trends)
}

/// Appends the values of the transactions; texts are not followed.
fn read<'s>(
    column: &ArrayRef,
    first: usize,
    own: impl Iterator<Item = &'s Seen>,
    values: &mut Values,
) {
    if *column.data_type() == DataType::Utf8 {
        return;
    }
    let Ok(numbers) = cast(column, &DataType::Float64) else { return };
    let numbers = numbers.as_primitive::<Float64Type>();
    values.extend(own.map(|seen| {
        let at = seen.row - first;
        (seen.time, numbers.is_valid(at).then(|| numbers.value(at)))
    }));
}

fn trend(name: &str, part: Part, unit: &str, values: &[(i64, Option<f64>)]) -> Option<Trend> {
    let known: Vec<(i64, f64)> =
        values.iter().filter_map(|(time, value)| Some((*time, (*value)?))).collect();
    let is_change = |pair: &&[(i64, f64)]| {
        let [(before, from), (now, to)] = pair else { return false };
        // An age or the like only tells that time has passed.
        from != to && (unit != "ms" || to - from != (now - before) as f64)
    };
    let changes = known.windows(2).filter(is_change).count();
    let (first, last) = (known.first()?.1, known.last()?.1);
    let largest = known.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    let size = values.len().div_ceil(POINTS).max(1);
    let most = |part: &[(i64, Option<f64>)]| part.iter().filter_map(|one| one.1).reduce(f64::max);
    let points = values.chunks(size).map(most).collect();
    (changes > 0).then(|| Trend {
        name: name.to_owned(),
        part,
        unit: unit.to_owned(),
        values: known.len(),
        first,
        last,
        largest,
        changes,
        points,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_is_first_last_largest_and_what_is_between() {
        let of = |values: &[Option<f64>]| {
            let timed: Values = (0..).map(|at| at * 10).zip(values.iter().copied()).collect();
            trend("f", Part::Acts, "fen", &timed)
        };
        let values = [None, Some(1.0), Some(1.0), Some(5.0), None, Some(2.0)];
        let found = of(&values).expect("it moved");
        assert_eq!((found.first, found.last, found.largest), (1.0, 2.0, 5.0));
        assert_eq!((found.values, found.changes), (4, 2));
        assert_eq!(found.points, values, "few values are all points");
        assert!(of(&[Some(1.0), None, Some(1.0)]).is_none(), "it stayed");
        let many: Vec<Option<f64>> = (0..100).map(|at| Some(f64::from(at))).collect();
        let found = of(&many).expect("it moved");
        assert_eq!(found.points.len(), 15, "of seven each, but the last");
        assert_eq!(found.points[0], Some(6.0), "the largest of its part");
    }

    #[test]
    fn what_grows_as_time_passes_has_not_moved() {
        let of = |unit: &str, values: &[(i64, f64)]| {
            let values: Values = values.iter().map(|(time, value)| (*time, Some(*value))).collect();
            trend("f", Part::Acts, unit, &values).map(|trend| trend.changes)
        };
        assert_eq!(of("ms", &[(0, 500.0), (10, 510.0), (90, 590.0)]), None, "an age");
        assert_eq!(of("ms", &[(0, 500.0), (10, 510.0), (90, 0.0)]), Some(1), "it began anew");
        assert_eq!(of("ms", &[(0, 30.0), (10, 10.0), (90, 80.0)]), Some(2), "a time between");
        assert_eq!(of("fen", &[(0, 500.0), (10, 510.0)]), Some(1), "money is no time");
    }

    #[test]
    fn a_feature_is_the_accounts_only_where_it_is_looked_up_by_it() {
        let decided = |kind: Kind, acts: &str, other: &str| Decided {
            row: 0,
            event_id: String::new(),
            event_time: 0,
            kind: kind.name().to_owned(),
            account_id: acts.to_owned(),
            counterparty_id: other.to_owned(),
            group_id: String::new(),
            amount_fen: 1,
            decision: "allow".to_owned(),
            score: 0,
            reasons: Vec::new(),
        };
        let nobody = Whose::default();
        let [acting, payer, payee] = [
            Whose { acting: true, ..nobody },
            Whose { payer: true, ..nobody },
            Whose { payee: true, ..nobody },
        ];
        // Whether the acting account's, the payer's and the payee's values are of `me`.
        for (kind, acts, other, expected) in [
            (Kind::Send, "me", "", [true, true, false]),
            (Kind::Withdraw, "me", "", [true, true, false]),
            (Kind::Transfer, "me", "you", [true, true, false]),
            (Kind::Transfer, "you", "me", [false, false, true]),
            (Kind::Transfer, "me", "me", [true, true, true]),
            (Kind::Claim, "me", "you", [true, false, true]),
            (Kind::Claim, "you", "me", [false, true, false]),
        ] {
            let seen = Seen::of(&decided(kind, acts, other), "me");
            let found = [acting, payer, payee].map(|whose| seen.fits(whose));
            assert_eq!(found, expected, "{} {acts} {other}", kind.name());
            assert_eq!(seen.fits(nobody), expected[0], "what it does itself");
        }
    }
}
