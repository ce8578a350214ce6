//! Standard deviations, exact for integers of any size: sums of squares are kept in three words,
//! and only what is left of all sums is rounded.

use arrow::datatypes::i256;

/// The words of a sum of squares: enough for 2^66 values.
pub(crate) const SQUARES_WORDS: usize = 3;

/// Counts a value's square in.
pub(super) fn add_square(cells: &mut [u64], cell: usize, value: i128) {
    let (sum, carried) = low(cells, cell).overflowing_add(square(value));
    put_low(cells, cell, sum);
    cells[cell + 2] += u64::from(carried);
}

/// Takes a value's square back.
pub(super) fn take_square(cells: &mut [u64], cell: usize, value: i128) {
    let (sum, borrowed) = low(cells, cell).overflowing_sub(square(value));
    put_low(cells, cell, sum);
    cells[cell + 2] -= u64::from(borrowed);
}

/// The sum of squares in three words.
pub(super) fn squares(cells: &[u64], cell: usize) -> i256 {
    i256::from_parts(low(cells, cell), cells[cell + 2].into())
}

/// Population standard deviation: n sum x^2 - (sum x)^2 is exact; division and root come last.
pub(crate) fn stddev(sum: i128, squares: impl Into<i256>, count: u64) -> f64 {
    let (n, sum) = (i256::from_i128(count.into()), i256::from_i128(sum));
    let spread = n.wrapping_mul(squares.into()).wrapping_sub(sum.wrapping_mul(sum));
    (nearest(spread) / (count as f64 * count as f64)).sqrt()
}

/// The double nearest to a spread, which is never negative.
fn nearest(spread: i256) -> f64 {
    let (low, high) = spread.to_parts();
    if high <= 0 {
        return low as f64;
    }
    // Of what is after the first 128 bits it only matters whether it is 0: one bit says so.
    let after = 128 - high.leading_zeros();
    let first = (high as u128) << (128 - after) | low >> after;
    let rest = low << (128 - after) != 0;
    libm::ldexp((first | u128::from(rest)) as f64, after as i32)
}

fn square(value: i128) -> u128 {
    (value * value) as u128
}

fn low(cells: &[u64], cell: usize) -> u128 {
    u128::from(cells[cell]) | u128::from(cells[cell + 1]) << 64
}

fn put_low(cells: &mut [u64], cell: usize, low: u128) {
    cells[cell] = low as u64;
    cells[cell + 1] = (low >> 64) as u64;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By another way: n sum x^2 - (sum x)^2 is the sum of (x - y)^2 over all pairs. It is added up
    /// by decimal digits, and the double nearest to it is the one that the digits say.
    fn by_pairs(values: &[i64]) -> f64 {
        const PART: u128 = 10_000_000_000_000_000_000;
        let (mut high, mut low) = (0, 0);
        for (at, one) in values.iter().enumerate() {
            for other in &values[..at] {
                let apart = (i128::from(*one) - i128::from(*other)).unsigned_abs();
                (high, low) = (high + apart * apart / PART, low + apart * apart % PART);
            }
        }
        let digits = format!("{}{:019}", high + low / PART, low % PART);
        let spread: f64 = digits.parse().unwrap();
        let count = values.len() as f64;
        (spread / (count * count)).sqrt()
    }

    /// The deviation of the last `length` values after each of them, sums kept up to date.
    fn deviations(values: &[i64], length: usize) -> Vec<f64> {
        let (mut cells, mut sum) = ([7; 5], 0);
        cells[1..4].fill(0);
        let mut found = Vec::new();
        for (at, value) in values.iter().enumerate() {
            add_square(&mut cells, 1, (*value).into());
            sum += i128::from(*value);
            if at >= length {
                take_square(&mut cells, 1, values[at - length].into());
                sum -= i128::from(values[at - length]);
            }
            found.push(stddev(sum, squares(&cells, 1), (at + 1).min(length) as u64));
        }
        assert_eq!((cells[0], cells[4]), (7, 7), "the cells beside them are others'");
        found
    }

    proptest! {
        #[test]
        fn equals_the_squares_of_all_differences(
            values in prop::collection::vec(
                prop_oneof![
                    -9i64..9,
                    0i64..2_000_000,
                    1_700_000_000_000_000_000i64..1_700_000_100_000_000_000,
                    prop::sample::select(vec![i64::MAX, -i64::MAX, i64::MAX - 1, 1 << 40]),
                    any::<i64>(),
                ],
                1..80,
            ),
            length in 1usize..80,
        ) {
            let found = deviations(&values, length);
            for (at, found) in found.iter().enumerate() {
                let window = &values[(at + 1).saturating_sub(length)..=at];
                prop_assert_eq!(found.to_bits(), by_pairs(window).to_bits(), "{:?}", window);
            }
        }
    }

    /// A second apart in nanoseconds, which is what ids that hold the time look like too: the
    /// deviation of n such is that of 0 to n - 1, sqrt((n^2 - 1) / 12) seconds.
    #[test]
    fn nanosecond_timestamps() {
        let values: Vec<i64> =
            (0..200).map(|at| 1_700_000_000_000_000_000 + at * 1_000_000_000).collect();
        for (n, found) in (1u64..).zip(deviations(&values, 200)) {
            let exact = ((n * n - 1) as f64 / 12.0).sqrt() * 1e9;
            assert!((found - exact).abs() <= exact * 1e-15, "{n}: {found} and not {exact}");
        }
        assert_eq!(deviations(&values[..8], 8).last(), Some(&by_pairs(&values[..8])));
    }

    /// What fits into 128 bits is what it has always been: decisions hang on its last bit.
    #[test]
    fn amounts_are_to_the_bit_what_128_bits_say() {
        let values: Vec<i64> = (0..500).map(|at| at * 7_919 % 20_000_000).collect();
        for (at, found) in deviations(&values, 500).into_iter().enumerate() {
            let values = || values[..=at].iter().map(|value| i128::from(*value));
            let (n, sum) = (at as i128 + 1, values().sum::<i128>());
            let spread = (n * values().map(|value| value * value).sum::<i128>() - sum * sum) as f64;
            let before = (spread.max(0.0) / (n as f64 * n as f64)).sqrt();
            assert_eq!(found.to_bits(), before.to_bits());
        }
    }

    /// Half of 2^32 values as large as can be, and half as small.
    #[test]
    fn as_many_values_as_a_ring_holds() {
        let largest = i256::from_i128(i64::MAX.into());
        let squares = largest.wrapping_mul(largest).wrapping_mul(i256::from_i128(1 << 32));
        assert_eq!(stddev(0, squares, 1 << 32), i64::MAX as f64);
    }
}
