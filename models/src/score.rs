//! The bounds of a score, and fixed-point numbers.

/// The largest score; it stands for certainty.
pub const SCORE_MAX: i64 = 1000;

/// A logit or a coefficient in units of 2^-20: six decimals.
pub(crate) const FRACTION_BITS: u32 = 20;

/// `value` in units of 2^-20, rounded; beyond what an `i64` holds, its nearest end.
pub(crate) fn to_fixed(value: f64) -> i64 {
    // A multiplication by a power of two is exact, so the one rounding is the same everywhere.
    (value * f64::from(1 << FRACTION_BITS)).round() as i64
}
