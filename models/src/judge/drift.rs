//! How far probabilities and columns are from what was promised.

/// The share that an empty bin counts as, so that one odd row is no infinite drift.
const SHARE_MIN: f64 = 1e-4;
/// Bins of the stability index, beside one for missing values.
const DRIFT_BINS: usize = 10;

/// Expected calibration error: rows in bins of equal width by their probability, and of each bin
/// how far its mean probability is from its share of labels, weighted by rows. 0 without rows.
pub fn calibration_error(probabilities: &[f64], positive: &[bool], bins: usize) -> f64 {
    let mut sums = vec![(0.0, 0u64); bins.max(1)];
    for (probability, positive) in probabilities.iter().zip(positive) {
        let bin = (probability * sums.len() as f64) as usize;
        let last = sums.len() - 1;
        let sum = &mut sums[bin.min(last)];
        *sum = (sum.0 + probability - f64::from(u8::from(*positive)), sum.1 + 1);
    }
    let error: f64 = sums.iter().map(|(surplus, _)| surplus.abs()).sum();
    error / probabilities.len().max(1) as f64
}

/// Population stability index of a column between two sets of rows, missing values (NaN) apart:
/// bins at tenths of the first set, and the sum of (share - share') ln(share / share'). Below 0.1
/// is taken for stable, above 0.25 for moved.
pub fn stability_index(first: &[f64], second: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = first.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let tenth = |at: usize| sorted.get(at * sorted.len() / DRIFT_BINS).copied();
    let mut edges: Vec<f64> = (1..DRIFT_BINS).filter_map(tenth).collect();
    edges.dedup();
    let shares = |values: &[f64]| -> Vec<f64> {
        let mut counts = vec![0u64; edges.len() + 2];
        for value in values {
            let bin = match value.is_nan() {
                true => edges.len() + 1,
                false => edges.partition_point(|edge| edge <= value),
            };
            counts[bin] += 1;
        }
        let all = values.len().max(1) as f64;
        counts.iter().map(|count| *count as f64 / all).collect()
    };
    let both = shares(first).into_iter().zip(shares(second));
    // A bin that both leave empty says nothing.
    both.filter(|(a, b)| *a > 0.0 || *b > 0.0)
        .map(|(a, b)| {
            let (a, b) = (a.max(SHARE_MIN), b.max(SHARE_MIN));
            (a - b) * libm::log(a / b)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_error_by_hand() {
        // Bin 0: 0.05 and 0.15 x 1 label of two is 0.4 off; bin 4 (0.9, label) is 0.1 off.
        let error = calibration_error(&[0.05, 0.15, 0.9], &[true, false, true], 5);
        assert!((error - (0.8 + 0.1) / 3.0).abs() < 1e-12, "{error}");
        assert_eq!(calibration_error(&[1.0, 0.0], &[true, false], 10), 0.0);
    }

    #[test]
    fn drift_by_hand() {
        let first: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(stability_index(&first, &first), 0.0);
        // All of the second set in the last tenth: nine bins of 0.1 against the least share.
        let second = vec![99.0; 50];
        let least = 1e-4f64;
        let expected = 9.0 * (0.1 - least) * libm::log(0.1 / least) - 0.9 * libm::log(0.1);
        assert!((stability_index(&first, &second) - expected).abs() < 1e-9);
        let missing = vec![f64::NAN; 50];
        assert!(stability_index(&first, &missing) > 5.0);
    }
}
