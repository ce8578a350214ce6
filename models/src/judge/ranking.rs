//! How well scores put rows with the label above rows without.

use std::cmp::Reverse;

/// Runs of rows of one score, the highest first: how many rows with and without the label.
pub(crate) struct Runs {
    /// Row numbers, the highest score first.
    pub(crate) order: Vec<u32>,
    /// Where in `order` each run ends.
    pub(crate) ends: Vec<usize>,
}

impl Runs {
    pub(crate) fn new(scores: &[i64]) -> Runs {
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        order.sort_by_key(|row| Reverse(scores[*row as usize]));
        let score = |at: usize| scores[order[at] as usize];
        let ends = (1..=order.len())
            .filter(|end| *end == order.len() || score(*end) != score(*end - 1))
            .collect();
        Runs { order, ends }
    }

    /// (rows with the label, rows without) of each run, where row r counts `times[r]` times.
    fn counts<'a>(
        &'a self,
        positive: &'a [bool],
        times: Option<&'a [u32]>,
    ) -> impl Iterator<Item = (u64, u64)> + 'a {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let mut counts = [0, 0];
            for row in &self.order[start..*end] {
                let row = *row as usize;
                counts[usize::from(positive[row])] +=
                    times.map_or(1, |times| u64::from(times[row]));
            }
            start = *end;
            (counts[1], counts[0])
        })
    }

    pub(crate) fn auc(&self, positive: &[bool], times: Option<&[u32]>) -> Option<f64> {
        let (mut above, mut pairs_won, mut negatives) = (0u64, 0u128, 0u64);
        // Twice the pairs that are right, ties once: integers, so that the order does not matter.
        for (with, without) in self.counts(positive, times) {
            pairs_won += u128::from(without) * u128::from(2 * above + with);
            above += with;
            negatives += without;
        }
        let pairs = 2 * u128::from(above) * u128::from(negatives);
        (pairs > 0).then(|| pairs_won as f64 / pairs as f64)
    }

    pub(crate) fn average_precision(
        &self,
        positive: &[bool],
        times: Option<&[u32]>,
    ) -> Option<f64> {
        let (mut found, mut seen, mut sum) = (0u64, 0u64, 0.0);
        for (with, without) in self.counts(positive, times) {
            found += with;
            seen += with + without;
            if with > 0 {
                sum += with as f64 * (found as f64 / seen as f64);
            }
        }
        (found > 0).then(|| sum / found as f64)
    }
}

/// The chance that a row with the label has a higher score than one without, ties counting half.
/// None if there is only one class.
pub fn auc(scores: &[i64], positive: &[bool]) -> Option<f64> {
    Runs::new(scores).auc(positive, None)
}

/// The precision at each row with the label, averaged; rows of one score come all at once. None if
/// there is no row with the label.
pub fn average_precision(scores: &[i64], positive: &[bool]) -> Option<f64> {
    Runs::new(scores).average_precision(positive, None)
}
