//! From a logit to a score without floating point.

use std::sync::LazyLock;

/// The largest score; it stands for certainty.
pub const SCORE_MAX: i64 = 1000;

/// A logit or a coefficient in units of 2^-20: six decimals.
pub(crate) const FRACTION_BITS: u32 = 20;

/// `value` in units of 2^-20, rounded; beyond what an `i64` holds, its nearest end.
pub(crate) fn to_fixed(value: f64) -> i64 {
    // A multiplication by a power of two is exact, so the one rounding is the same everywhere.
    (value * f64::from(1 << FRACTION_BITS)).round() as i64
}

/// 1000 times the logistic function of a logit in units of 2^-20, rounded to the nearest integer.
pub(crate) fn score(logit: i128) -> i64 {
    THRESHOLDS.partition_point(|threshold| i128::from(*threshold) <= logit) as i64
}

/// The logits from which on the score is 1, 2, ... 1000: `ln(p / (1 - p))` at p = (score - 0.5) /
/// 1000. libm is plain arithmetic, so that the table is the same on every machine.
static THRESHOLDS: LazyLock<[i64; SCORE_MAX as usize]> = LazyLock::new(|| {
    std::array::from_fn(|at| {
        let halves = (2 * at + 1) as f64;
        to_fixed(libm::log(halves / (2.0 * SCORE_MAX as f64 - halves)))
    })
});

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(score(i128::from(to_fixed(logit))), expected, "logit {logit}");
        }
        assert_eq!((score(i128::MIN), score(i128::MAX)), (0, SCORE_MAX));
    }

    #[test]
    fn the_table_rises_and_is_symmetric() {
        assert!(THRESHOLDS.is_sorted_by(|a, b| a < b));
        for (low, high) in THRESHOLDS.iter().zip(THRESHOLDS.iter().rev()) {
            assert_eq!(*low, -high);
        }
    }
}
