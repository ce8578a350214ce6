//! Newton's method for the loss of a regression with an l2 penalty.
//!
//! Why not linfa's L-BFGS: on 67,196 rows of 188 columns, with rare signs among them, one training
//! by it was not over after minutes, for it takes hundreds of small steps; Newton's takes some ten,
//! and as it ends at the minimum itself, the same rows give the same coefficients. Sums are in a
//! fixed order and vectors are of elements apart, so that all machines have the same bits.

use linfa::DatasetBase;
use linfa::traits::Fit;
use multiversion::multiversion;
use ndarray::{Array1, Array2};

use super::{LogisticError, SLOPE_A_ROW_MAX};

/// The slope of the loss, a row, at which no further step is taken: each about squares it, so that
/// the last one costs little and the coefficients are as good as exact.
const SLOPE_DONE: f64 = 1e-8;
/// Rows that are added to the curvature at once.
const LANES: usize = 4;
/// A step that is halved so often goes nowhere.
const HALVINGS_MAX: usize = 40;

/// How linfa is told to fit: it takes a data set with whether each row has the label, and gives the
/// coefficients, the intercept last.
pub(crate) struct Newton<'s> {
    /// The weight of half the sum of the squared coefficients, the intercept's apart.
    pub(crate) l2: f64,
    /// What a row with the label counts; the others count 1.
    pub(crate) label_weight: f64,
    pub(crate) steps_max: u64,
    /// Where to begin: coefficients of nearly the same, or nothing.
    pub(crate) start: &'s [f64],
}

impl Fit<Array2<f64>, Array1<bool>, LogisticError> for Newton<'_> {
    type Object = Vec<f64>;

    fn fit(
        &self,
        rows: &DatasetBase<Array2<f64>, Array1<bool>>,
    ) -> Result<Vec<f64>, LogisticError> {
        Rows::new(rows, self.label_weight).fit(self.l2, self.steps_max, self.start)
    }
}

/// Rows to fit to, with a column of ones for the intercept as their last.
struct Rows {
    width: usize,
    /// Row after row.
    values: Vec<f64>,
    positive: Vec<bool>,
    /// What each row counts; rows that only fill up the last few count nothing.
    weights: Vec<f64>,
}

impl Rows {
    fn new(given: &DatasetBase<Array2<f64>, Array1<bool>>, label_weight: f64) -> Rows {
        let width = given.records.ncols() + 1;
        let mut positive = given.targets.to_vec();
        let weight = |labelled: &bool| if *labelled { label_weight } else { 1.0 };
        let mut weights: Vec<f64> = positive.iter().map(weight).collect();
        let rows = positive.len().next_multiple_of(LANES);
        let mut values = vec![1.0; width * rows];
        for (row, held) in given.records.rows().into_iter().zip(values.chunks_exact_mut(width)) {
            held.iter_mut().zip(row).for_each(|(place, value)| *place = *value);
        }
        positive.resize(rows, false);
        weights.resize(rows, 0.0);
        Rows { width, values, positive, weights }
    }

    /// The coefficients, the intercept last, beginning at `start` if it has as many.
    fn fit(&self, l2: f64, steps_max: u64, start: &[f64]) -> Result<Vec<f64>, LogisticError> {
        let mut at = match start.len() == self.width {
            true => start.to_vec(),
            false => vec![0.0; self.width],
        };
        let rows: f64 = self.weights.iter().sum();
        let mut loss = self.loss(&at, l2);
        for steps in 0.. {
            let (slopes, curvature) = self.slopes(&at, l2);
            let steepest = slopes.iter().fold(0.0, |most: f64, slope| most.max(slope.abs())) / rows;
            if steepest <= SLOPE_DONE {
                break;
            }
            let next = (steps < steps_max)
                .then(|| solve(curvature, slopes))
                .and_then(|step| self.lower(&at, &step?, l2, loss));
            match next {
                Some(next) => (at, loss) = next,
                None if steepest <= SLOPE_A_ROW_MAX => break,
                None => return Err(LogisticError::NotDone(steps)),
            }
        }
        Ok(at)
    }

    /// The longest of a step and its halves that lowers the loss, and what that is then.
    fn lower(&self, at: &[f64], step: &[f64], l2: f64, loss: f64) -> Option<(Vec<f64>, f64)> {
        let mut length = 1.0;
        (0..HALVINGS_MAX).find_map(|_| {
            let next: Vec<f64> = at.iter().zip(step).map(|(at, step)| at - length * step).collect();
            length /= 2.0;
            let lower = self.loss(&next, l2);
            (lower < loss).then_some((next, lower))
        })
    }

    fn logits<'r>(&'r self, coefficients: &'r [f64]) -> impl Iterator<Item = f64> + 'r {
        let logit = move |row: &[f64]| row.iter().zip(coefficients).map(|(x, c)| x * c).sum();
        self.values.chunks_exact(self.width).map(logit)
    }

    fn loss(&self, coefficients: &[f64], l2: f64) -> f64 {
        let of_rows = self.logits(coefficients).zip(&self.positive).zip(&self.weights);
        let of_row = |((logit, positive), weight): ((f64, &bool), &f64)| {
            // ln(1 + exp(x)) without overflow, of what speaks against the label.
            let against = if *positive { -logit } else { logit };
            weight * (against.max(0.0) + libm::log1p(libm::exp(-against.abs())))
        };
        let penalty: f64 = coefficients[..self.width - 1].iter().map(|c| c * c).sum();
        of_rows.map(of_row).sum::<f64>() + 0.5 * l2 * penalty
    }

    /// The slopes of the loss and its curvature, the lower half of a matrix, row after row.
    fn slopes(&self, coefficients: &[f64], l2: f64) -> (Vec<f64>, Vec<f64>) {
        let (mut slopes, mut curvature) =
            (vec![0.0; self.width], vec![0.0; self.width * self.width]);
        let (mut surplus, mut bends) = ([0.0; LANES], [0.0; LANES]);
        for (row, logit) in self.logits(coefficients).enumerate() {
            let (probability, lane) = (1.0 / (1.0 + libm::exp(-logit)), row % LANES);
            let label = f64::from(u8::from(self.positive[row]));
            surplus[lane] = self.weights[row] * (probability - label);
            bends[lane] = self.weights[row] * probability * (1.0 - probability);
            if lane + 1 == LANES {
                let from = (row + 1 - LANES) * self.width;
                let rows = &self.values[from..from + LANES * self.width];
                add(rows, surplus, bends, &mut slopes, &mut curvature);
            }
        }
        for at in 0..self.width - 1 {
            slopes[at] += l2 * coefficients[at];
            curvature[at * self.width + at] += l2;
        }
        (slopes, curvature)
    }
}

/// Adds a few rows to the slopes and to the lower half of the curvature.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add(
    rows: &[f64],
    surplus: [f64; LANES],
    bends: [f64; LANES],
    slopes: &mut [f64],
    curvature: &mut [f64],
) {
    let width = slopes.len();
    let (a, rest) = rows.split_at(width);
    let (b, rest) = rest.split_at(width);
    let (c, d) = rest.split_at(width);
    let sum = |to: &mut [f64], by: [f64; LANES]| {
        let values = a.iter().zip(b).zip(c).zip(d);
        for (to, (((a, b), c), d)) in to.iter_mut().zip(values) {
            *to += (a * by[0] + b * by[1]) + (c * by[2] + d * by[3]);
        }
    };
    sum(slopes, surplus);
    for at in 0..width {
        let by = [a[at] * bends[0], b[at] * bends[1], c[at] * bends[2], d[at] * bends[3]];
        sum(&mut curvature[at * width..][..=at], by);
    }
}

/// Solves a symmetric system of which the lower half is given, by Cholesky's division; none where
/// it has no one solution.
fn solve(mut lower: Vec<f64>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let width = right.len();
    for row in 0..width {
        for column in 0..=row {
            let (above, own) = lower.split_at_mut(row * width);
            let others = if column < row { &above[column * width..] } else { &*own };
            let dot: f64 = own[..column].iter().zip(others).map(|(a, b)| a * b).sum();
            let left = own[column] - dot;
            own[column] = match column < row {
                true => left / above[column * width + column],
                false if left > 0.0 => libm::sqrt(left),
                false => return None,
            };
        }
    }
    for row in 0..width {
        let known: f64 = (0..row).map(|at| lower[row * width + at] * right[at]).sum();
        right[row] = (right[row] - known) / lower[row * width + row];
    }
    for row in (0..width).rev() {
        let known: f64 = (row + 1..width).map(|at| lower[at * width + row] * right[at]).sum();
        right[row] = (right[row] - known) / lower[row * width + row];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_worked_out_by_hand() {
        // 4x + 2y = 10 and 2x + 5y = 13; what is above the diagonal is not read.
        assert_eq!(solve(vec![4.0, f64::NAN, 2.0, 5.0], vec![10.0, 13.0]), Some(vec![1.5, 2.0]));
        assert_eq!(solve(vec![1.0, 0.0, 1.0, 1.0], vec![1.0, 1.0]), None);
    }

    #[test]
    fn a_weight_is_a_number_of_rows() {
        let fit = |values: &[f64], positive: &[bool], label_weight| {
            let values = Array2::from_shape_vec((values.len(), 1), values.to_vec()).unwrap();
            let rows = DatasetBase::new(values, Array1::from(positive.to_vec()));
            Newton { l2: 1.0, label_weight, steps_max: 100, start: &[] }.fit(&rows).unwrap()
        };
        let weighed = fit(&[1.0, -1.0, 0.5], &[true, false, false], 3.0);
        let repeated = fit(&[1.0, 1.0, 1.0, -1.0, 0.5], &[true, true, true, false, false], 1.0);
        for (one, other) in weighed.iter().zip(&repeated) {
            assert!((one - other).abs() < 1e-7, "{weighed:?} {repeated:?}");
        }
    }
}
