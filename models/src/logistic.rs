//! Logistic regression: trained on standardised columns, scored in integers.

mod newton;

use linfa::DatasetBase;
use linfa::traits::Fit as _;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::newton::Newton;
use crate::calibrate::Curve;
use crate::forest::ClassWeight;
use crate::inputs::{Input, NullPolicy};
use crate::score::{FRACTION_BITS, to_fixed};
use crate::table::Column;

/// How far from its mean a value counts, in standard deviations: what lies beyond is no stronger
/// evidence, and the bound keeps sums far from overflow.
const DEVIATIONS_MAX: f64 = 64.0;
/// The largest slope of the loss, a row, at which training counts as done.
const SLOPE_A_ROW_MAX: f64 = 1e-4;

/// Logistic regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogisticConfig {
    /// The weights, each more than 0, of half the sum of the squared coefficients beside the loss.
    /// The one that ranks best on the last rows of the training is taken, then trained with on all.
    pub l2: Vec<f64>,
    /// The share of the training rows, the latest, on which the path is judged.
    pub validation_share: f64,
    /// The most steps of Newton's method; it takes some ten.
    pub iterations_max: u64,
    /// What a row with the label weighs.
    pub class_weight: ClassWeight,
}

impl Default for LogisticConfig {
    fn default() -> Self {
        LogisticConfig {
            l2: vec![0.1, 1.0, 10.0, 100.0],
            validation_share: 0.25,
            iterations_max: 1000,
            class_weight: ClassWeight::None,
        }
    }
}

/// Why there is no model.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum LogisticError {
    /// The path is empty or has a weight out of its bounds.
    #[error("l2 is {0:?}; it wants weights that are finite and more than 0")]
    Path(Vec<f64>),
    /// Rows that count nothing teach nothing.
    #[error("a class weight of {0} is not a number of rows: it must be more than 0 and finite")]
    Weight(f64),
    /// It stopped before it was done.
    #[error("not done after {0} steps; allow more of them or a larger l2")]
    NotDone(u64),
    /// What linfa says of the data.
    #[error("{0}")]
    Data(String),
}

impl From<linfa::Error> for LogisticError {
    fn from(error: linfa::Error) -> LogisticError {
        LogisticError::Data(error.to_string())
    }
}

/// Trained coefficients, in the order of the model's inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Logistic {
    /// The logit of a row in which every value is at its mean and none is missing, in units of
    /// 2^-20 as all integers here.
    intercept: i64,
    terms: Vec<Term>,
}

/// What one input adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Term {
    mean: f64,
    scale: f64,
    /// For each standard deviation above the mean.
    coefficient: i64,
    /// Where the value is missing: what it adds.
    when_missing: i64,
}

/// Beyond 64 logits, in units of 2^-20, every score is 0 or 1000.
pub(crate) const LOGIT_MAX: i64 = 64 << FRACTION_BITS;

impl Logistic {
    /// The probability of a logit.
    pub(crate) const CURVE: Curve =
        Curve::Logistic { slope: 1.0 / (1u32 << FRACTION_BITS) as f64, shift: 0.0 };

    /// The logit, in units of 2^-20.
    pub(crate) fn raw(&self, values: impl Iterator<Item = f64>) -> i64 {
        let terms = self.terms.iter().zip(values);
        self.intercept + terms.map(|(term, value)| term.adds(value)).sum::<i64>()
    }

    /// What each input of a row adds to the logit; with the bias that is the logit.
    pub(crate) fn contributions(&self, values: &[f64]) -> (i64, Vec<i64>) {
        let adds = self.terms.iter().zip(values).map(|(term, value)| term.adds(*value));
        (self.intercept, adds.collect())
    }

    pub(crate) fn is_sound(&self, inputs: usize) -> bool {
        // Coefficients so small that a thousand terms of 64 deviations cannot overflow.
        let small = |units: i64| units.unsigned_abs() < 1 << 40;
        self.terms.len() == inputs
            && small(self.intercept)
            && self.terms.iter().all(|term| {
                term.mean.is_finite()
                    && term.scale.is_finite()
                    && term.scale > 0.0
                    && small(term.coefficient)
                    && small(term.when_missing)
            })
    }
}

impl Term {
    fn adds(&self, value: f64) -> i64 {
        if !value.is_finite() {
            return self.when_missing;
        }
        let deviations = to_fixed(standardise(value, self.mean, self.scale));
        ((i128::from(self.coefficient) * i128::from(deviations)) >> FRACTION_BITS) as i64
    }
}

/// Columns made ready for the optimiser, to be fitted with any weight of the path.
pub(crate) struct Prepared {
    inputs: Vec<Standardised>,
    rows: DatasetBase<Array2<f64>, Array1<bool>>,
    label_weight: f64,
}

impl Prepared {
    /// Standardises some rows of the columns.
    pub(crate) fn new(
        columns: &[Column],
        inputs: &[Input],
        rows: &[u32],
        positive: &[bool],
        class_weight: ClassWeight,
    ) -> Result<Prepared, LogisticError> {
        let labels: Vec<bool> = rows.iter().map(|row| positive[*row as usize]).collect();
        let label_weight = class_weight.weights(&labels)[1];
        if !label_weight.is_finite() || label_weight <= 0.0 {
            return Err(LogisticError::Weight(label_weight));
        }
        let inputs: Vec<Standardised> = columns
            .iter()
            .zip(inputs)
            .map(|(column, input)| Standardised::new(column, input, rows))
            .collect();
        let rows = DatasetBase::new(matrix(&inputs), Array1::from(labels));
        Ok(Prepared { inputs, rows, label_weight })
    }

    /// Fits the coefficients, beginning at those in `near`, which a fit to nearly the same left
    /// there, or nothing; these are put in their place.
    pub(crate) fn fit(
        &self,
        l2: f64,
        iterations_max: u64,
        near: &mut Vec<f64>,
    ) -> Result<Logistic, LogisticError> {
        let (label_weight, steps_max) = (self.label_weight, iterations_max);
        *near = Newton { l2, label_weight, steps_max, start: near }.fit(&self.rows)?;
        Ok(artefact(&self.inputs, near))
    }
}

/// A column as the optimiser sees it: standard deviations from the mean of the values that are
/// there, 0 for a missing one, and beside it which are missing.
struct Standardised {
    values: Vec<f64>,
    mean: f64,
    scale: f64,
    /// What a missing value counts as, where the policy wants no weight of its own for it.
    fill: Option<f64>,
    /// Share of rows in which the value is missing.
    missing_share: f64,
}

impl Standardised {
    fn new(column: &Column, input: &Input, rows: &[u32]) -> Self {
        let fill = input.fill.filter(|_| input.nulls == NullPolicy::Median);
        let value = |row: &u32| {
            let value = column.values[*row as usize];
            fill.filter(|_| value.is_nan()).unwrap_or(value)
        };
        let values: Vec<f64> = rows.iter().map(value).collect();
        let present = || values.iter().copied().filter(|value| !value.is_nan());
        let count = present().count() as f64;
        let mean = present().sum::<f64>() / count;
        let squares: f64 = present().map(|value| (value - mean) * (value - mean)).sum();
        let missing_share = 1.0 - count / values.len() as f64;
        // A column that is level in these rows, though not in all, has nothing to add.
        let scale = libm::sqrt(squares / count);
        let scale = if scale > 0.0 { scale } else { 1.0 };
        Standardised { values, mean, scale, fill, missing_share }
    }

    fn value(&self, row: usize) -> f64 {
        let value = self.values[row];
        if value.is_nan() { 0.0 } else { standardise(value, self.mean, self.scale) }
    }

    /// The scale of the indicator of missing values, which is standardised too so that l2 weighs
    /// on it as on the others; None if none is missing, and then it has no coefficient.
    fn missing_scale(&self) -> Option<f64> {
        let share = self.missing_share;
        (share > 0.0).then(|| libm::sqrt(share * (1.0 - share)))
    }

    fn missing(&self, row: usize, scale: f64) -> f64 {
        let is_missing = f64::from(u8::from(self.values[row].is_nan()));
        (is_missing - self.missing_share) / scale
    }
}

fn standardise(value: f64, mean: f64, scale: f64) -> f64 {
    ((value - mean) / scale).clamp(-DEVIATIONS_MAX, DEVIATIONS_MAX)
}

/// A column each for the values, then one for each indicator of missing values.
fn matrix(inputs: &[Standardised]) -> Array2<f64> {
    let rows = inputs[0].values.len();
    let mut columns: Vec<Vec<f64>> =
        inputs.iter().map(|input| (0..rows).map(|row| input.value(row)).collect()).collect();
    for input in inputs {
        if let Some(scale) = input.missing_scale() {
            columns.push((0..rows).map(|row| input.missing(row, scale)).collect());
        }
    }
    Array2::from_shape_fn((rows, columns.len()), |(row, column)| columns[column][row])
}

/// The coefficients of values, then of indicators, and last the intercept.
fn artefact(inputs: &[Standardised], coefficients: &[f64]) -> Logistic {
    let (of_values, of_missing) = coefficients.split_at(inputs.len());
    let mut intercept = of_missing.last().copied().unwrap_or(0.0);
    let mut of_missing = of_missing.iter();
    // The indicators' means go into the intercept, so that a value that is there adds nothing.
    let term = |(input, coefficient): (&Standardised, &f64)| {
        let mut when_missing =
            input.missing_scale().and_then(|scale| Some(of_missing.next()? / scale)).unwrap_or(0.0);
        intercept -= when_missing * input.missing_share;
        if let Some(fill) = input.fill {
            when_missing = coefficient * standardise(fill, input.mean, input.scale);
        }
        Term {
            mean: input.mean,
            scale: input.scale,
            coefficient: to_fixed(*coefficient),
            when_missing: to_fixed(when_missing),
        }
    };
    let terms = inputs.iter().zip(of_values).map(term).collect();
    Logistic { intercept: to_fixed(intercept), terms }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::{Levels, Scale};
    use crate::table::MISSING;

    fn score(logit: i64) -> i64 {
        Levels::new(&Logistic::CURVE, Scale::Probability, -LOGIT_MAX, LOGIT_MAX).score(logit)
    }

    /// 24 rows of three columns, the third with holes, and labels that depend on all of them.
    fn data(swap_labels: bool) -> (Vec<Column>, Vec<bool>) {
        let rows = 0..24i64;
        let amount = |i: i64| ((i * 37) % 101) as f64;
        let count = |i: i64| ((i * i * 7) % 13) as f64;
        let gap = |i: i64| (i % 5 != 3).then_some(((i * 11) % 17) as f64 / 2.0);
        let fraud = |i: i64| {
            let if_missing = if gap(i).is_none() { 20.0 } else { 0.0 };
            amount(i) + 9.0 * count(i) + if_missing + ((i * 29) % 23 * 2) as f64 > 95.0
        };
        let columns = vec![
            Column::new("amount", rows.clone().map(|i| Some(amount(i)))),
            Column::new("count", rows.clone().map(|i| Some(count(i)))),
            Column::new("gap", rows.clone().map(gap)),
        ];
        (columns, rows.map(|i| fraud(i) != swap_labels).collect())
    }

    fn prepared(swap_labels: bool, policy: NullPolicy, weight: ClassWeight) -> Prepared {
        let (columns, labels) = data(swap_labels);
        let rows: Vec<u32> = (0..24).collect();
        let inputs: Vec<Input> =
            columns.iter().map(|column| Input::of(column, policy, &rows)).collect();
        Prepared::new(&columns, &inputs, &rows, &labels, weight).unwrap()
    }

    fn model(swap_labels: bool) -> Logistic {
        prepared(swap_labels, NullPolicy::Indicator, ClassWeight::None)
            .fit(1.0, 1000, &mut Vec::new())
            .unwrap()
    }

    fn predict(model: &Logistic, columns: &[Column], row: usize) -> i64 {
        score(model.raw(columns.iter().map(|column| column.values[row])))
    }

    /// scikit-learn 1.9.1: `LogisticRegression(C=1.0, tol=1e-12)` on the same standardised columns
    /// (population standard deviation of the values that are there, 0 where missing, and a
    /// standardised indicator), `floor(1000 p + 0.5)`.
    const SCIKIT: [f64; 5] = [1.311953466, 1.085289291, -0.518829733, 0.376670543, 2.47511387];
    const SCIKIT_SCORES: [i64; 24] = [
        250, 858, 914, 962, 936, 986, 485, 901, 995, 820, 992, 380, 848, 922, 854, 637, 997, 935,
        977, 988, 602, 954, 815, 991,
    ];

    #[test]
    fn the_same_model_as_scikit_learn() {
        let prepared = prepared(false, NullPolicy::Indicator, ClassWeight::None);
        let mut found = Vec::new();
        prepared.fit(1.0, 1000, &mut found).unwrap();
        for (found, expected) in found.iter().zip(SCIKIT) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(found.len(), SCIKIT.len());
        let (model, (columns, _)) = (model(false), data(false));
        for (at, expected) in SCIKIT_SCORES.into_iter().enumerate() {
            let score = predict(&model, &columns, at);
            assert!((score - expected).abs() <= 1, "row {at}: {score}, scikit-learn {expected}");
        }
    }

    #[test]
    fn scores_are_rounded_probabilities() {
        // Probability in thousandths for logits, computed apart (1 / (1 + exp(-x))).
        let rows = [
            (-20.0, 0),  // 0.000002
            (-8.0, 0),   // 0.335
            (-7.0, 1),   // 0.911
            (-1.0, 269), // 268.941
            (0.0, 500),  // 500
            (0.5, 622),  // 622.459
            (1.0, 731),  // 731.059
            (3.0, 953),  // 952.574
            (7.0, 999),  // 999.089
            (8.0, 1000), // 999.665
            (20.0, 1000),
        ];
        for (logit, expected) in rows {
            assert_eq!(score(to_fixed(logit)), expected, "logit {logit}");
        }
        assert_eq!((score(i64::MIN), score(i64::MAX)), (0, 1000));
    }

    #[test]
    fn scores_rise_with_the_label_whichever_class_is_the_larger() {
        let (columns, labels) = data(false);
        assert_eq!(labels.iter().filter(|label| **label).count(), 20);
        let (model, other) = (model(false), model(true));
        for at in 0..24 {
            let sum = predict(&model, &columns, at) + predict(&other, &columns, at);
            assert!((999..=1001).contains(&sum), "row {at}: the scores add to {sum}");
        }
    }

    #[test]
    fn extreme_and_missing_values_have_a_score() {
        let model = model(false);
        let of = |values: [f64; 3]| score(model.raw(values.into_iter()));
        assert_eq!(of([1e300, 1e300, -1e300]), 1000);
        assert_eq!(of([-1e300, -1e300, 1e300]), 0);
        let none = of([MISSING; 3]);
        assert_eq!(of([f64::NAN, f64::INFINITY, MISSING]), none);
        assert!((0..=1000).contains(&none));
    }

    #[test]
    fn contributions_and_bias_are_the_logit() {
        let (model, (columns, _)) = (model(false), data(false));
        for row in 0..24 {
            let values: Vec<f64> = columns.iter().map(|column| column.values[row]).collect();
            let (bias, adds) = model.contributions(&values);
            assert_eq!(bias + adds.iter().sum::<i64>(), model.raw(values.into_iter()));
        }
    }

    #[test]
    fn a_column_that_was_never_missing_has_no_weight_for_it() {
        let when_missing = |policy| {
            let model =
                prepared(false, policy, ClassWeight::None).fit(1.0, 1000, &mut Vec::new()).unwrap();
            model.terms.iter().map(|term| term.when_missing != 0).collect::<Vec<_>>()
        };
        assert_eq!(when_missing(NullPolicy::Indicator), [false, false, true]);
        let (median, (columns, _)) = (
            prepared(false, NullPolicy::Median, ClassWeight::None)
                .fit(1.0, 1000, &mut Vec::new())
                .unwrap(),
            data(false),
        );
        let mut row = [50.0, 5.0, MISSING];
        let missing = median.raw(row.into_iter());
        row[2] =
            Input::of(&columns[2], NullPolicy::Median, &(0..24).collect::<Vec<_>>()).fill.unwrap();
        assert!((missing - median.raw(row.into_iter())).abs() <= 1, "counts as the median");
    }

    #[test]
    fn a_weight_of_the_label_raises_its_scores() {
        let (columns, _) = data(true);
        let heavy = prepared(true, NullPolicy::Indicator, ClassWeight::Balanced);
        let (heavy, plain) = (heavy.fit(1.0, 1000, &mut Vec::new()).unwrap(), model(true));
        let sum = |model| (0..24).map(|row| predict(model, &columns, row)).sum::<i64>();
        assert!(sum(&heavy) > sum(&plain) + 2000, "{} {}", sum(&heavy), sum(&plain));
    }

    /// Signs that one row in hundreds has, and columns that say nearly the same, need no more steps.
    #[test]
    fn a_hard_set_is_done_in_few_steps() {
        let rows = 0..6000_u32;
        let mut columns: Vec<Column> = (0..12)
            .map(|at| {
                let sign = |row: u32| row % (300 + 7 * at) == at;
                Column::new(format!("s{at}"), rows.clone().map(|row| Some(f64::from(sign(row)))))
            })
            .collect();
        let wide = |row: u32| f64::from(row * 7919 % 6000);
        columns.push(Column::new("wide", rows.clone().map(|row| Some(wide(row)))));
        let nearly = |row: u32| wide(row) + f64::from(row % 3);
        columns.push(Column::new("nearly", rows.clone().map(|row| Some(nearly(row)))));
        let labels: Vec<bool> =
            rows.clone().map(|row| row % 307 == 1 || wide(row) > 5700.0 && row % 4 > 0).collect();
        let rows: Vec<u32> = rows.collect();
        let inputs: Vec<Input> =
            columns.iter().map(|column| Input::of(column, NullPolicy::Indicator, &rows)).collect();
        let prepared =
            Prepared::new(&columns, &inputs, &rows, &labels, ClassWeight::Balanced).unwrap();
        for l2 in [0.001, 0.1, 100.0] {
            let mut near = Vec::new();
            let cold = prepared.fit(l2, 30, &mut near).unwrap();
            assert_eq!(prepared.fit(l2, 0, &mut near).unwrap(), cold, "nothing is left to do");
        }
    }

    #[test]
    fn too_few_steps_are_an_error() {
        let prepared = prepared(false, NullPolicy::Indicator, ClassWeight::None);
        assert_eq!(prepared.fit(1.0, 1, &mut Vec::new()).unwrap_err(), LogisticError::NotDone(1));
    }
}
