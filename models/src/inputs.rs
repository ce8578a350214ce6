//! What a model reads: its inputs by name, and what stands for a value that is not there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::table::{Column, Kind, MISSING};

/// What becomes of a value that is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullPolicy {
    /// Trees give it a bin of its own, and each division learns on which side it goes. Logistic
    /// regression gives it a weight of its own, as for `indicator`.
    #[default]
    OwnBin,
    /// It counts as the median of the values that are there, and a column of 0 and 1 says which
    /// those are. Logistic regression takes the mean instead, which gives the same model.
    Indicator,
    /// It counts as the median of the values that are there, and nothing tells it from that.
    Median,
}

/// Which policy each column has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NullConfig {
    /// For columns that are not named.
    pub default: NullPolicy,
    /// By a column's name.
    pub columns: BTreeMap<String, NullPolicy>,
}

/// One input of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// What becomes of missing values.
    pub nulls: NullPolicy,
    /// The value that stands for a missing one, where the policy has one.
    pub fill: Option<f64>,
    /// The hash of what its values depend on, as [`Column::definition`] was in training; empty where
    /// nobody said.
    pub definition: String,
}

/// How the inputs of a model differ from the columns that there are.
#[derive(Clone, Debug, Default, Error, PartialEq, Eq)]
pub struct NamesDiffer {
    /// What the model wants and is not there, in the model's order.
    pub missing: Vec<String>,
    /// What is there and of another kind: the name, the model's kind, the column's kind.
    pub other_kind: Vec<(String, Kind, Kind)>,
}

impl std::fmt::Display for NamesDiffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.missing.is_empty() {
            write!(f, "the model wants {}, and these are not there", self.missing.join(", "))?;
        }
        for (at, (name, wants, has)) in self.other_kind.iter().enumerate() {
            let lead = if at > 0 || !self.missing.is_empty() { "; " } else { "" };
            write!(f, "{lead}the model wants {name} of kind {wants:?}, and it is {has:?}")?;
        }
        Ok(())
    }
}

impl Input {
    /// The input that a column becomes; `rows` are those that train.
    pub(crate) fn of(column: &Column, policy: NullPolicy, rows: &[u32]) -> Input {
        let fill = match policy {
            NullPolicy::OwnBin => None,
            NullPolicy::Indicator | NullPolicy::Median => Some(median(column, rows)),
        };
        let (name, definition) = (column.name.clone(), column.definition.clone());
        Input { name, kind: column.kind, nulls: policy, fill, definition }
    }
}

/// Where each input stands among columns; an error names all that are not there or differ.
pub(crate) fn places(
    inputs: &[Input],
    available: &[(&str, Kind)],
) -> Result<Vec<usize>, NamesDiffer> {
    let mut differ = NamesDiffer::default();
    let mut places = Vec::new();
    for input in inputs {
        match available.iter().position(|(name, _)| *name == input.name) {
            None => differ.missing.push(input.name.clone()),
            Some(at) if available[at].1 != input.kind => {
                differ.other_kind.push((input.name.clone(), input.kind, available[at].1));
            }
            Some(at) => places.push(at),
        }
    }
    if differ == NamesDiffer::default() { Ok(places) } else { Err(differ) }
}

/// A column that trees see: an input's value, or whether the input is missing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Derived {
    pub(crate) input: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Value,
    Filled(f64),
    IsMissing,
}

/// The columns that trees see, by the policies of the inputs.
pub(crate) fn derived(inputs: &[Input]) -> Vec<Derived> {
    let mut derived = Vec::new();
    for (input, Input { nulls, fill, .. }) in inputs.iter().enumerate() {
        let what = fill.map_or(What::Value, What::Filled);
        derived.push(Derived { input, what });
        if *nulls == NullPolicy::Indicator {
            derived.push(Derived { input, what: What::IsMissing });
        }
    }
    derived
}

impl Derived {
    /// What a tree sees for the value of the input.
    pub(crate) fn value(&self, value: f64) -> f64 {
        // A value that is not finite is missing, at inference too.
        let value = if value.is_finite() { value } else { MISSING };
        match self.what {
            What::Value => value,
            What::Filled(fill) => {
                if value.is_nan() {
                    fill
                } else {
                    value
                }
            }
            What::IsMissing => f64::from(u8::from(value.is_nan())),
        }
    }
}

impl Derived {
    /// [`Derived::value`] of many values at once.
    #[inline(always)]
    pub(crate) fn values<const ROWS: usize>(&self, values: &[f64; ROWS]) -> [f64; ROWS] {
        match self.what {
            // The question of the policy is asked only once.
            What::Value => values.map(|value| if value.is_finite() { value } else { MISSING }),
            _ => values.map(|value| self.value(value)),
        }
    }
}

/// The median of the values that are there: of an even number, the lower of the middle two. 0 if
/// there are none.
fn median(column: &Column, rows: &[u32]) -> f64 {
    let values = rows.iter().map(|row| column.values[*row as usize]);
    let mut values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    if values.is_empty() {
        return 0.0;
    }
    let middle = (values.len() - 1) / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_does_what_it_says() {
        let column = Column::new("x", [Some(5.0), None, Some(1.0), Some(3.0), Some(99.0)]);
        let seen = |policy| {
            let input = Input::of(&column, policy, &[0, 1, 2, 3]);
            let derived = derived(std::slice::from_ref(&input));
            let of = |value: f64| -> Vec<String> {
                derived.iter().map(|derived| derived.value(value).to_string()).collect()
            };
            (of(7.0), of(MISSING))
        };
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(seen(NullPolicy::OwnBin), (words(&["7"]), words(&["NaN"])));
        assert_eq!(seen(NullPolicy::Median), (words(&["7"]), words(&["3"])));
        assert_eq!(seen(NullPolicy::Indicator), (words(&["7", "0"]), words(&["3", "1"])));
    }

    #[test]
    fn names_and_kinds_that_differ_are_named() {
        let input = |name: &str, kind| Input {
            name: name.to_owned(),
            kind,
            nulls: NullPolicy::OwnBin,
            fill: None,
            definition: String::new(),
        };
        let inputs = [
            input("amount", Kind::Integer),
            input("count", Kind::Integer),
            input("night", Kind::Bool),
        ];
        let all = [("night", Kind::Bool), ("count", Kind::Integer), ("amount", Kind::Integer)];
        assert_eq!(places(&inputs, &all), Ok(vec![2, 1, 0]));
        let differ = places(&inputs, &[("night", Kind::Double)]).unwrap_err();
        assert_eq!(
            differ.to_string(),
            "the model wants amount, count, and these are not there; \
             the model wants night of kind Bool, and it is Double"
        );
    }
}
