//! What a model loses when a column is shuffled.

use serde::{Deserialize, Serialize};

use super::ranking::Runs;
use crate::forest::{Work, in_parallel};
use crate::model::Model;
use crate::random::Random;

/// How much of a figure hangs on one input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Importance {
    /// The input.
    pub input: String,
    /// How much the area under the curve falls, on average over the repeats.
    pub auc: f64,
    /// How much the average precision falls, on average over the repeats.
    pub average_precision: f64,
    /// The standard deviation of the fall of the average precision between repeats.
    pub deviation: f64,
}

/// Shuffles each input in turn among the rows and scores again; the most important by average
/// precision come first. `columns` are the model's inputs in their order. Inputs that say the same
/// stand in for each other: each alone may then look unimportant.
pub fn permutation_importance(
    model: &Model,
    columns: &[&[f64]],
    positive: &[bool],
    repeats: usize,
    seed: u64,
    work: Work,
) -> Vec<Importance> {
    let measure = |columns: &[&[f64]]| {
        let runs = Runs::new(&model.raw_columns(columns));
        let auc = runs.auc(positive, None).unwrap_or(0.0);
        (auc, runs.average_precision(positive, None).unwrap_or(0.0))
    };
    let whole = measure(columns);
    let mut importances = in_parallel(columns.len(), work, "importances", |input| {
        let mut falls = Vec::new();
        for repeat in 0..repeats.max(1) {
            let mut random = Random::new(seed, (input * repeats.max(1) + repeat) as u64);
            let mut shuffled = columns[input].to_vec();
            random.shuffle(&mut shuffled);
            let mut columns = columns.to_vec();
            columns[input] = &shuffled;
            let (auc, precision) = measure(&columns);
            falls.push((whole.0 - auc, whole.1 - precision));
        }
        let count = falls.len() as f64;
        let auc = falls.iter().map(|fall| fall.0).sum::<f64>() / count;
        let average_precision = falls.iter().map(|fall| fall.1).sum::<f64>() / count;
        let squares = falls.iter().map(|(_, fall)| {
            let apart = fall - average_precision;
            apart * apart
        });
        let deviation = libm::sqrt(squares.sum::<f64>() / count);
        let input = model.inputs()[input].name.clone();
        Importance { input, auc, average_precision, deviation }
    });
    importances.sort_by(|a, b| b.average_precision.total_cmp(&a.average_precision));
    importances
}
