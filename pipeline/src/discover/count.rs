//! Counts in bounded memory, and what is improbable about them.

/// A row of a sketch has 2^21 counters: with two rows and some million pairs of term and payee,
/// nearly every count is right, and a wrong one is too large, which only costs a place among the
/// pairs that are then counted exactly.
const SKETCH_BITS: u32 = 21;

/// Counts that are never too small, in 8 MiB.
pub(super) struct Sketch {
    rows: [Vec<u16>; 2],
}

impl Sketch {
    pub(super) fn new() -> Sketch {
        Sketch { rows: [vec![0; 1 << SKETCH_BITS], vec![0; 1 << SKETCH_BITS]] }
    }

    pub(super) fn add(&mut self, key: u64) {
        for (row, at) in self.rows.iter_mut().zip(places(key)) {
            row[at] = row[at].saturating_add(1);
        }
    }

    /// How often a key was added, or more.
    pub(super) fn at_most(&self, key: u64) -> u32 {
        let [first, second] = places(key);
        self.rows[0][first].min(self.rows[1][second]).into()
    }
}

fn places(key: u64) -> [usize; 2] {
    let mixed = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mask = (1 << SKETCH_BITS) - 1;
    [(mixed >> 43) as usize & mask, (mixed >> 17) as usize & mask]
}

/// The log-likelihood ratio of Dunning (1993) that `both` of `first` and `second` among `all` come
/// together as they do by chance; negative where they come together less often.
pub(super) fn log_likelihood_ratio(both: u32, first: u32, second: u32, all: u32) -> f64 {
    let [both, first, second, all] = [both, first, second, all].map(f64::from);
    let part = |observed: f64, expected: f64| match observed > 0.0 {
        true => observed * libm::log(observed / expected),
        false => 0.0,
    };
    let ratio = 2.0
        * (part(both, first * second / all)
            + part(first - both, first * (all - second) / all)
            + part(second - both, (all - first) * second / all)
            + part(all - first - second + both, (all - first) * (all - second) / all));
    if both * all < first * second { -ratio } else { ratio }
}

/// How improbable so many are where `expected` are, as the negative decimal logarithm of Chernoff's
/// bound on the Poisson tail; 0 where there are not more than expected.
pub(super) fn surprise(count: u32, expected: f64) -> f64 {
    let count = f64::from(count);
    if count <= expected || expected <= 0.0 {
        return 0.0;
    }
    (count * libm::log(count / expected) - count + expected) / core::f64::consts::LN_10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_the_definition() {
        // By hand: 10 of 20 and 30 among 100; G² = 2 Σ O ln(O/E), E = 6, 14, 24, 56.
        let by_hand = 2.0
            * (10.0 * libm::log(10.0 / 6.0)
                + 10.0 * libm::log(10.0 / 14.0)
                + 20.0 * libm::log(20.0 / 24.0)
                + 60.0 * libm::log(60.0 / 56.0));
        assert!((log_likelihood_ratio(10, 20, 30, 100) - by_hand).abs() < 1e-9);
        assert!(log_likelihood_ratio(6, 20, 30, 100).abs() < 1e-9, "as by chance");
        assert!(log_likelihood_ratio(1, 20, 30, 100) < 0.0, "less than by chance");
        assert!(log_likelihood_ratio(20, 20, 20, 100).is_finite(), "always together");
    }

    #[test]
    fn surprise_bounds_the_poisson_tail() {
        let (expected, count) = (4.0_f64, 12_u32);
        let mut term = libm::exp(-expected);
        let mut below = 0.0;
        for at in 0..count {
            below += term;
            term *= expected / f64::from(at + 1);
        }
        let exact = -libm::log10(1.0 - below);
        let bound = surprise(count, expected);
        assert!(bound > 0.0 && bound <= exact && exact < bound + 1.5, "{bound} {exact}");
        assert_eq!(surprise(4, 4.0), 0.0);
    }

    #[test]
    fn a_sketch_never_counts_too_few() {
        let mut sketch = Sketch::new();
        for key in 0..100_000_u64 {
            (0..key % 5).for_each(|_| sketch.add(key));
        }
        assert!((0..100_000).all(|key| u64::from(sketch.at_most(key)) >= key % 5));
    }
}
