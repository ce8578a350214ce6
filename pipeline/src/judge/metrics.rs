//! How well a ranking by score tells fraud from honest. Scores are integers of 0..=1000, so two
//! histograms hold the whole ranking and every figure is exact, in memory that does not grow.

use serde::Serialize;

/// The highest score.
pub const SCORE_MAX: usize = 1000;

/// How many transactions got each score.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram(Box<[u64; SCORE_MAX + 1]>);

impl Default for Histogram {
    fn default() -> Self {
        Histogram(Box::new([0; SCORE_MAX + 1]))
    }
}

impl Histogram {
    /// Counts one transaction of that score; scores beyond the bounds count at the bound.
    #[inline]
    pub fn add(&mut self, score: i64) {
        self.0[score.clamp(0, SCORE_MAX as i64) as usize] += 1;
    }

    /// How many transactions were counted.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many got exactly that score.
    pub fn at(&self, score: usize) -> u64 {
        self.0[score]
    }

    /// The scores that occur, from the lowest, with how many got each.
    pub fn bars(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }
}

/// Alerts against truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// Fraud, alerted.
    pub true_positives: u64,
    /// Honest, alerted.
    pub false_positives: u64,
    /// Fraud, allowed.
    pub false_negatives: u64,
    /// Honest, allowed.
    pub true_negatives: u64,
}

impl Confusion {
    /// The share of alerts that are fraud; none without alerts.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// The share of fraud that is alerted; none without fraud.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// The harmonic mean of precision and recall; none without alerts and fraud.
    pub fn f1(&self) -> Option<f64> {
        let wrong = self.false_positives + self.false_negatives;
        ratio(2 * self.true_positives, 2 * self.true_positives + wrong)
    }
}

/// `part / whole`, none when the whole is nothing.
pub fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The area under the ROC curve: how often a random fraud scores above a random honest
/// transaction, a tie counting half. None unless there are both.
pub fn auc(fraud: &Histogram, honest: &Histogram) -> Option<f64> {
    let (mut honest_below, mut halves) = (0_u128, 0_u128);
    for score in 0..=SCORE_MAX {
        let positives = u128::from(fraud.at(score));
        let negatives = u128::from(honest.at(score));
        halves += positives * (2 * honest_below + negatives);
        honest_below += negatives;
    }
    let pairs = u128::from(fraud.total()) * honest_below;
    (pairs > 0).then(|| halves as f64 / (2 * pairs) as f64)
}

/// Average precision: the precision at each score that occurs, weighted by the recall that it
/// adds; equal scores enter together, as in scikit-learn. None without fraud.
pub fn average_precision(fraud: &Histogram, honest: &Histogram) -> Option<f64> {
    let total = fraud.total();
    let mut sum = 0.0;
    let mut before = 0;
    for point in curve(fraud, honest) {
        let added = point.fraud - before;
        before = point.fraud;
        sum += added as f64 * (point.fraud as f64 / (point.fraud + point.honest) as f64);
    }
    (total > 0).then(|| sum / total as f64)
}

/// What an alert at `score` or above would catch. Precision-recall and ROC curves are drawn from
/// these points; being counts they are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CurvePoint {
    /// The threshold.
    pub score: u16,
    /// Fraud at or above it.
    pub fraud: u64,
    /// Honest at or above it.
    pub honest: u64,
}

/// A point for each score that occurs, from the highest.
pub fn curve(fraud: &Histogram, honest: &Histogram) -> Vec<CurvePoint> {
    let mut points = Vec::new();
    let (mut frauds, mut honests) = (0, 0);
    for score in (0..=SCORE_MAX).rev() {
        let (positives, negatives) = (fraud.at(score), honest.at(score));
        if positives + negatives > 0 {
            frauds += positives;
            honests += negatives;
            points.push(CurvePoint { score: score as u16, fraud: frauds, honest: honests });
        }
    }
    points
}

/// The value at quantile `percent` of sorted values by nearest rank; none of none.
pub fn quantile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(scored: &[(i64, bool)]) -> (Histogram, Histogram) {
        let (mut fraud, mut honest) = (Histogram::default(), Histogram::default());
        for &(score, is_fraud) in scored {
            if is_fraud { fraud.add(score) } else { honest.add(score) }
        }
        (fraud, honest)
    }

    /// Every pair of a fraud and an honest transaction, one by one.
    fn auc_by_pairs(scored: &[(i64, bool)]) -> Option<f64> {
        let (mut halves, mut pairs) = (0_u64, 0_u64);
        for (fraud_score, _) in scored.iter().filter(|(_, fraud)| *fraud) {
            for (honest_score, _) in scored.iter().filter(|(_, fraud)| !*fraud) {
                pairs += 2;
                halves += match fraud_score.cmp(honest_score) {
                    std::cmp::Ordering::Greater => 2,
                    std::cmp::Ordering::Equal => 1,
                    std::cmp::Ordering::Less => 0,
                };
            }
        }
        (pairs > 0).then(|| halves as f64 / pairs as f64)
    }

    /// For each fraud the precision among all that score at least as high, averaged.
    fn average_precision_by_fraud(scored: &[(i64, bool)]) -> Option<f64> {
        let frauds = scored.iter().filter(|(_, fraud)| *fraud).count();
        let sum: f64 = scored
            .iter()
            .filter(|(_, fraud)| *fraud)
            .map(|(score, _)| {
                let above = || scored.iter().filter(|(other, _)| other >= score);
                above().filter(|(_, fraud)| *fraud).count() as f64 / above().count() as f64
            })
            .sum();
        (frauds > 0).then(|| sum / frauds as f64)
    }

    fn close(a: Option<f64>, b: Option<f64>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-12,
            (None, None) => true,
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agree_with_brute_force(
            wide in prop::collection::vec((0_i64..=1000, any::<bool>()), 0..120),
            tied in prop::collection::vec((0_i64..6, any::<bool>()), 0..120),
        ) {
            for scored in [&wide, &tied] {
                let (fraud, honest) = split(scored);
                prop_assert!(close(auc(&fraud, &honest), auc_by_pairs(scored)));
                prop_assert!(close(
                    average_precision(&fraud, &honest),
                    average_precision_by_fraud(scored),
                ));
            }
        }
    }

    /// Facts from scikit-learn 1.9.1: `roc_auc_score`, `average_precision_score` and, alerting from
    /// 300, `precision_score`, `recall_score`, `f1_score`, over the same sequence made in Python.
    #[test]
    fn agree_with_scikit_learn() {
        fn sequence(len: usize, scores: u64) -> Vec<(i64, bool)> {
            let mut state = 1_u64;
            let mut next = move || {
                state = (state * 1_103_515_245 + 12_345) % (1 << 31);
                state >> 8
            };
            let mut draw = || {
                let score = next() % scores;
                (score as i64, next() % 1000 < 50 + score * 400 / scores)
            };
            (0..len).map(|_| draw()).collect()
        }
        let by_hand = [
            (900, true),
            (900, false),
            (600, true),
            (300, false),
            (300, true),
            (0, false),
            (0, false),
            (0, true),
        ];
        let check = |scored: &[(i64, bool)], auc_fact, average_precision_fact| {
            let (fraud, honest) = split(scored);
            assert!(close(auc(&fraud, &honest), Some(auc_fact)));
            assert!(close(average_precision(&fraud, &honest), Some(average_precision_fact)));
        };
        check(&by_hand, 0.625, 0.5666666666666667);
        check(&sequence(5000, 1001), 0.6841064599324949, 0.39766883753454707);
        check(&sequence(5000, 7), 0.6848065563828837, 0.334656531517551);

        let mut confusion = Confusion::default();
        for (score, fraud) in sequence(5000, 1001) {
            *match (score >= 300, fraud) {
                (true, true) => &mut confusion.true_positives,
                (true, false) => &mut confusion.false_positives,
                (false, true) => &mut confusion.false_negatives,
                (false, false) => &mut confusion.true_negatives,
            } += 1;
        }
        assert!(close(confusion.precision(), Some(0.31296829971181556)));
        assert!(close(confusion.recall(), Some(0.8646496815286624)));
        assert!(close(confusion.f1(), Some(0.4595852729581041)));
    }

    #[test]
    fn nothing_to_rank_has_no_figure() {
        let (fraud, honest) = split(&[]);
        assert_eq!(auc(&fraud, &honest), None);
        assert_eq!(average_precision(&fraud, &honest), None);
        let (fraud, honest) = split(&[(10, true)]);
        assert_eq!(auc(&fraud, &honest), None);
        assert_eq!(average_precision(&fraud, &honest), Some(1.0));
        assert_eq!(Confusion::default().precision(), None);
        assert_eq!(Confusion::default().f1(), None);
    }

    #[test]
    fn quantiles_are_nearest_rank() {
        let check = |values: &[i64], percent, expect| {
            assert_eq!(quantile(values, percent), expect, "{percent} % of {values:?}");
        };
        check(&[], 50, None);
        check(&[7], 50, Some(7));
        check(&[7], 90, Some(7));
        check(&[1, 2, 3, 4], 50, Some(2));
        check(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 90, Some(9));
        check(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 90, Some(10));
    }
}
