//! Logistic regression: trained by linfa on standardised columns, scored in integers.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::score::{FRACTION_BITS, score, to_fixed};
use crate::table::{Column, Table};

/// How far from its mean a value counts, in standard deviations: what lies beyond is no stronger
/// evidence, and the bound keeps sums far from overflow.
const DEVIATIONS_MAX: f64 = 64.0;
/// The largest slope of the loss, a row, at which training counts as done.
const SLOPE_A_ROW_MAX: f64 = 1e-4;
/// What an artefact of this shape says it is.
const FORMAT: &str = "hongxian-logistic-1";

/// A trained model. It is made by [`Logistic::train`] or read by [`Logistic::from_json`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logistic {
    format: String,
    /// The logit of a row in which every value is at its mean and none is missing.
    intercept: i64,
    inputs: Vec<Input>,
}

/// One input; the integers are in units of 2^-20 of a logit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    name: String,
    mean: f64,
    scale: f64,
    /// For each standard deviation above the mean.
    coefficient: i64,
    /// Where the value is missing: it counts as its mean, and this is added.
    when_missing: i64,
}

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The weight of half the sum of the squared coefficients beside the loss; more than 0, or
    /// classes that a line can part would have coefficients without bound.
    pub alpha: f64,
    /// The most steps.
    pub iterations_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { alpha: 1.0, iterations_max: 1000 }
    }
}

/// Why there is no model.
#[derive(Debug, Error, PartialEq)]
pub enum TrainError {
    /// An option is out of its bounds.
    #[error("alpha is {0}; it must be finite and more than 0")]
    Alpha(f64),
    /// The optimiser gave up.
    #[error("the optimiser failed: {0}")]
    Optimiser(String),
    /// It stopped before it was done.
    #[error("not done after {0} steps; allow more of them or a larger alpha")]
    NotDone(u64),
}

/// Why a text is no artefact.
#[derive(Debug, Error)]
pub enum ArtefactError {
    /// Not the JSON of a model.
    #[error("not the artefact of a model: {0}")]
    Json(#[from] serde_json::Error),
    /// Of another shape.
    #[error("the format is {0:?}, and this program reads {FORMAT:?}")]
    Format(String),
    /// An input that no training leaves.
    #[error("input {0} has a mean or a scale that cannot be")]
    Input(String),
}

/// How the inputs of a model differ from the names that there are.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the model wants {}, and these are not there", .missing.join(", "))]
pub struct NamesDiffer {
    /// What the model wants and is not there, in the model's order.
    pub missing: Vec<String>,
}

impl Logistic {
    /// Fits a model to a table.
    pub fn train(table: &Table, options: &Options) -> Result<Logistic, TrainError> {
        if !options.alpha.is_finite() || options.alpha <= 0.0 {
            return Err(TrainError::Alpha(options.alpha));
        }
        let inputs: Vec<Standardised> = table.columns().iter().map(Standardised::new).collect();
        let (coefficients, intercept) = fit(&matrix(&inputs), table.positive(), options)?;
        Ok(artefact(&inputs, &coefficients, intercept))
    }

    /// The names of the inputs, in the order in which [`Logistic::predict`] takes them.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.inputs.iter().map(|input| input.name.as_str())
    }

    /// Where each input stands among `available`; an error names all that are not there.
    pub fn places(&self, available: &[&str]) -> Result<Vec<usize>, NamesDiffer> {
        let found = self.names().map(|name| {
            available.iter().position(|other| *other == name).ok_or_else(|| name.to_owned())
        });
        let (places, missing): (Vec<_>, Vec<_>) = found.partition(Result::is_ok);
        if missing.is_empty() {
            Ok(places.into_iter().flatten().collect())
        } else {
            Err(NamesDiffer { missing: missing.into_iter().filter_map(Result::err).collect() })
        }
    }

    /// The score of one row, 0 to 1000: the probability in thousandths. A value that is not finite
    /// is missing.
    ///
    /// # Panics
    /// If there are not as many values as inputs.
    pub fn predict(&self, values: &[Option<f64>]) -> i64 {
        assert_eq!(values.len(), self.inputs.len(), "one value an input");
        let mut sum = i128::from(self.intercept) << FRACTION_BITS;
        for (input, value) in self.inputs.iter().zip(values) {
            sum += match value.filter(|value| value.is_finite()) {
                Some(value) => {
                    let deviations = standardise(value, input.mean, input.scale);
                    i128::from(input.coefficient) * i128::from(to_fixed(deviations))
                }
                None => i128::from(input.when_missing) << FRACTION_BITS,
            };
        }
        score(sum >> FRACTION_BITS)
    }

    /// The artefact.
    pub fn to_json(&self) -> String {
        // Names and finite numbers only: nothing in it can fail to be written.
        serde_json::to_string_pretty(self).expect("a model is JSON")
    }

    /// Reads an artefact.
    pub fn from_json(text: &str) -> Result<Logistic, ArtefactError> {
        let model: Logistic = serde_json::from_str(text)?;
        if model.format != FORMAT {
            return Err(ArtefactError::Format(model.format));
        }
        let good =
            |input: &&Input| input.mean.is_finite() && input.scale.is_finite() && input.scale > 0.0;
        match model.inputs.iter().find(|input| !good(input)) {
            Some(input) => Err(ArtefactError::Input(input.name.clone())),
            None => Ok(model),
        }
    }
}

/// A column as the optimiser sees it: standard deviations from the mean of the values that are
/// there, 0 for a missing one, and beside it which are missing.
struct Standardised<'t> {
    column: &'t Column,
    mean: f64,
    scale: f64,
    /// Share of rows in which the value is missing.
    missing_share: f64,
}

impl<'t> Standardised<'t> {
    fn new(column: &'t Column) -> Self {
        let present = column.present().count() as f64;
        let mean = column.present().sum::<f64>() / present;
        let squares: f64 = column.present().map(|value| (value - mean) * (value - mean)).sum();
        let missing_share = 1.0 - present / column.values.len() as f64;
        Standardised { column, mean, scale: (squares / present).sqrt(), missing_share }
    }

    fn value(&self, row: usize) -> f64 {
        self.column.values[row].map_or(0.0, |value| standardise(value, self.mean, self.scale))
    }

    /// The scale of the indicator of missing values, which is standardised too so that alpha weighs
    /// on it as on the others; None if none is missing, and then it has no coefficient.
    fn missing_scale(&self) -> Option<f64> {
        let share = self.missing_share;
        (share > 0.0).then(|| (share * (1.0 - share)).sqrt())
    }

    fn missing(&self, row: usize, scale: f64) -> f64 {
        let is_missing = f64::from(u8::from(self.column.values[row].is_none()));
        (is_missing - self.missing_share) / scale
    }
}

fn standardise(value: f64, mean: f64, scale: f64) -> f64 {
    ((value - mean) / scale).clamp(-DEVIATIONS_MAX, DEVIATIONS_MAX)
}

/// A column each for the values, then one for each indicator of missing values.
fn matrix(inputs: &[Standardised]) -> Array2<f64> {
    let rows = inputs[0].column.values.len();
    let mut columns: Vec<Vec<f64>> =
        inputs.iter().map(|input| (0..rows).map(|row| input.value(row)).collect()).collect();
    for input in inputs {
        if let Some(scale) = input.missing_scale() {
            columns.push((0..rows).map(|row| input.missing(row, scale)).collect());
        }
    }
    Array2::from_shape_fn((rows, columns.len()), |(row, column)| columns[column][row])
}

fn fit(
    matrix: &Array2<f64>,
    positive: &[bool],
    options: &Options,
) -> Result<(Array1<f64>, f64), TrainError> {
    let dataset = Dataset::new(matrix.clone(), Array1::from(positive.to_vec()));
    let fitted = LogisticRegression::default()
        .alpha(options.alpha)
        .max_iterations(options.iterations_max)
        .gradient_tolerance(SLOPE_A_ROW_MAX * 1e-3)
        .fit(&dataset)
        .map_err(|error| TrainError::Optimiser(error.to_string()))?;
    // linfa calls the more frequent class positive, whatever its label is.
    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    let (coefficients, intercept) = (fitted.params() * sign, fitted.intercept() * sign);
    if slope_a_row(matrix, positive, options.alpha, &coefficients, intercept) > SLOPE_A_ROW_MAX {
        return Err(TrainError::NotDone(options.iterations_max));
    }
    Ok((coefficients, intercept))
}

/// The steepest slope of the loss in any direction, a row: linfa does not say whether it was done
/// or out of steps.
fn slope_a_row(
    matrix: &Array2<f64>,
    positive: &[bool],
    alpha: f64,
    coefficients: &Array1<f64>,
    intercept: f64,
) -> f64 {
    let logits = matrix.dot(coefficients) + intercept;
    let surplus: Array1<f64> = logits
        .iter()
        .zip(positive)
        .map(|(logit, positive)| 1.0 / (1.0 + libm::exp(-logit)) - f64::from(u8::from(*positive)))
        .collect();
    let slopes = matrix.t().dot(&surplus) + coefficients * alpha;
    let steepest =
        slopes.iter().chain([&surplus.sum()]).fold(0.0, |most: f64, slope| most.max(slope.abs()));
    steepest / positive.len() as f64
}

fn artefact(inputs: &[Standardised], coefficients: &Array1<f64>, intercept: f64) -> Logistic {
    let coefficients = coefficients.to_vec();
    let (of_values, of_missing) = coefficients.split_at(inputs.len());
    let mut of_missing = of_missing.iter();
    // The indicators' means go into the intercept, so that a value that is there adds nothing.
    let mut intercept = intercept;
    let inputs = inputs
        .iter()
        .zip(of_values)
        .map(|(input, coefficient)| {
            let when_missing = input
                .missing_scale()
                .and_then(|scale| Some(of_missing.next()? / scale))
                .unwrap_or(0.0);
            intercept -= when_missing * input.missing_share;
            Input {
                name: input.column.name.clone(),
                mean: input.mean,
                scale: input.scale,
                coefficient: to_fixed(*coefficient),
                when_missing: to_fixed(when_missing),
            }
        })
        .collect();
    Logistic { format: FORMAT.to_owned(), intercept: to_fixed(intercept), inputs }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 24 rows of three columns, the third with holes, and labels that depend on all of them.
    fn table(swap_labels: bool) -> Table {
        let rows = 0..24i64;
        let amount = |i: i64| ((i * 37) % 101) as f64;
        let count = |i: i64| ((i * i * 7) % 13) as f64;
        let gap = |i: i64| (i % 5 != 3).then_some(((i * 11) % 17) as f64 / 2.0);
        let fraud = |i: i64| {
            let if_missing = if gap(i).is_none() { 20.0 } else { 0.0 };
            amount(i) + 9.0 * count(i) + if_missing + ((i * 29) % 23 * 2) as f64 > 95.0
        };
        let column = |name: &str, value: &dyn Fn(i64) -> Option<f64>| Column {
            name: name.to_owned(),
            values: rows.clone().map(value).collect(),
        };
        let columns = vec![
            column("amount", &|i| Some(amount(i))),
            column("count", &|i| Some(count(i))),
            column("gap", &gap),
        ];
        Table::new(columns, rows.map(|i| fraud(i) != swap_labels).collect()).unwrap()
    }

    fn row(table: &Table, at: usize) -> Vec<Option<f64>> {
        table.columns().iter().map(|column| column.values[at]).collect()
    }

    /// scikit-learn 1.9.1: `LogisticRegression(C=1.0, tol=1e-12)` on the same standardised columns
    /// (population standard deviation of the values that are there, 0 where missing, and a
    /// standardised indicator), `floor(1000 p + 0.5)`.
    const SCIKIT_COEFFICIENTS: [f64; 4] = [1.311953466, 1.085289291, -0.518829733, 0.376670543];
    const SCIKIT_INTERCEPT: f64 = 2.47511387;
    const SCIKIT_SCORES: [i64; 24] = [
        250, 858, 914, 962, 936, 986, 485, 901, 995, 820, 992, 380, 848, 922, 854, 637, 997, 935,
        977, 988, 602, 954, 815, 991,
    ];

    #[test]
    fn the_same_model_as_scikit_learn() {
        let table = table(false);
        let inputs: Vec<Standardised> = table.columns().iter().map(Standardised::new).collect();
        let (coefficients, intercept) =
            fit(&matrix(&inputs), table.positive(), &Options::default()).unwrap();
        for (found, expected) in coefficients.iter().zip(SCIKIT_COEFFICIENTS) {
            assert!((found - expected).abs() < 1e-4, "{coefficients} {SCIKIT_COEFFICIENTS:?}");
        }
        assert!((intercept - SCIKIT_INTERCEPT).abs() < 1e-4, "{intercept}");
        let model = Logistic::train(&table, &Options::default()).unwrap();
        for (at, expected) in SCIKIT_SCORES.into_iter().enumerate() {
            let score = model.predict(&row(&table, at));
            assert!((score - expected).abs() <= 1, "row {at}: {score}, scikit-learn {expected}");
        }
    }

    #[test]
    fn scores_rise_with_the_label_whichever_class_is_the_larger() {
        let (table, swapped) = (table(false), table(true));
        let count = |table: &Table| table.positive().iter().filter(|label| **label).count();
        assert_eq!((count(&table), count(&swapped)), (20, 4));
        let model = Logistic::train(&table, &Options::default()).unwrap();
        let other = Logistic::train(&swapped, &Options::default()).unwrap();
        for at in 0..24 {
            let sum = model.predict(&row(&table, at)) + other.predict(&row(&table, at));
            assert!((999..=1001).contains(&sum), "row {at}: the scores add to {sum}");
        }
    }

    #[test]
    fn an_artefact_scores_as_the_model_that_wrote_it() {
        let table = table(false);
        let model = Logistic::train(&table, &Options::default()).unwrap();
        assert_eq!(Logistic::from_json(&model.to_json()).unwrap(), model);
        let other = model.to_json().replace(FORMAT, "another-format");
        assert!(matches!(Logistic::from_json(&other), Err(ArtefactError::Format(_))));
        let mut broken = model.clone();
        broken.inputs[1].scale = 0.0;
        assert!(matches!(Logistic::from_json(&broken.to_json()), Err(ArtefactError::Input(_))));
        assert!(matches!(Logistic::from_json("{}"), Err(ArtefactError::Json(_))));
    }

    #[test]
    fn extreme_and_missing_values_have_a_score() {
        let model = Logistic::train(&table(false), &Options::default()).unwrap();
        assert_eq!(model.predict(&[Some(1e300), Some(1e300), Some(-1e300)]), 1000);
        assert_eq!(model.predict(&[Some(-1e300), Some(-1e300), Some(1e300)]), 0);
        let none = model.predict(&[None, None, None]);
        assert_eq!(model.predict(&[Some(f64::NAN), Some(f64::INFINITY), None]), none);
        assert!((0..=1000).contains(&none));
    }

    #[test]
    fn a_column_that_was_never_missing_has_no_weight_for_it() {
        let model = Logistic::train(&table(false), &Options::default()).unwrap();
        let when_missing: Vec<bool> =
            model.inputs.iter().map(|input| input.when_missing != 0).collect();
        assert_eq!(when_missing, [false, false, true]);
    }

    #[test]
    fn names_that_differ_are_named() {
        let model = Logistic::train(&table(false), &Options::default()).unwrap();
        assert_eq!(model.places(&["gap", "other", "count", "amount"]), Ok(vec![3, 2, 0]));
        let missing = vec!["amount".to_owned(), "gap".to_owned()];
        let differ = model.places(&["count"]).unwrap_err();
        assert_eq!(differ, NamesDiffer { missing });
        assert_eq!(differ.to_string(), "the model wants amount, gap, and these are not there");
    }

    #[test]
    fn bad_options_and_too_few_steps_are_errors() {
        let train = |alpha, iterations_max| {
            Logistic::train(&table(false), &Options { alpha, iterations_max }).unwrap_err()
        };
        assert_eq!(train(0.0, 100), TrainError::Alpha(0.0));
        assert!(matches!(train(f64::NAN, 100), TrainError::Alpha(_)));
        assert_eq!(train(1.0, 1), TrainError::NotDone(1));
    }
}
