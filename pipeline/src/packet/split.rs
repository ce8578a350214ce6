//! How a lucky packet is shared out.
//!
//! One fen is kept for each share that is still to come. Of the rest a share gets a whole number
//! from nothing to twice the mean, all alike; the bound is rounded up or down at random so that
//! its mean is exactly twice the mean, and the last takes what is left. Every place then has the
//! same expected share, to the fen. (The folk formula, which rounds down, pays the last of ten
//! people 2.14 fen of a mean of 3.) The spread is not the same: later places vary more.

use super::units::Fen;

/// The next share of a packet with so much in it and so many shares to come. `below(n)` draws
/// from 0 to below n, each alike.
///
/// # Panics
/// When there are no shares to come, or less than a fen for each.
pub fn share(remaining: Fen, shares_left: u32, mut below: impl FnMut(u64) -> u64) -> Fen {
    let left = u64::from(shares_left);
    assert!(left >= 1 && remaining.0 >= left, "a fen for each share");
    if left == 1 {
        return remaining;
    }
    let twice_the_free = 2 * (remaining.0 - left);
    let (bound, odd) = (twice_the_free / left, twice_the_free % left);
    let bound = bound + u64::from(below(left) < odd);
    Fen(1 + below(bound + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::packet::draw::{Draws, Purpose};

    /// With every outcome of the two draws: the mean of the next share is exactly what remains by
    /// the shares to come. What remains for the place after it then has the mean of one share less,
    /// so every place has the mean of the first.
    #[test]
    fn the_mean_of_every_place_is_exactly_the_total_by_the_shares() {
        for left in 2..=20_u32 {
            for remaining in u64::from(left)..=150 {
                // Sum of shares by number of outcomes: of a bound rounded up and of one rounded down.
                let mut sums = std::collections::BTreeMap::<u64, u64>::new();
                for rounding in 0..u64::from(left) {
                    let mut second = 0;
                    loop {
                        let mut ends = Vec::new();
                        let got = share(Fen(remaining), left, |end| {
                            ends.push(end);
                            if ends.len() == 1 { rounding } else { second }
                        });
                        assert!(got.0 >= 1 && remaining - got.0 >= u64::from(left) - 1);
                        assert_eq!(ends[0], u64::from(left));
                        *sums.entry(ends[1]).or_default() += got.0;
                        second += 1;
                        if second == ends[1] {
                            break;
                        }
                    }
                }
                // The sum over roundings of (sum of shares / outcomes) is left * mean = remaining.
                let all: u64 = sums.keys().product();
                let mean: u64 = sums.iter().map(|(outcomes, sum)| sum * (all / outcomes)).sum();
                assert_eq!(mean, remaining * all, "{remaining} fen in {left} shares");
            }
        }
        assert_eq!(share(Fen(7), 1, |_| panic!("the last takes what is left")), Fen(7));
    }

    /// The shares of many packets, a row a packet.
    fn packets(total: u64, shares: u32, trials: u32) -> Vec<Vec<u64>> {
        let packet = |trial: u32| {
            let secret = *blake3::hash(&trial.to_le_bytes()).as_bytes();
            let mut remaining = Fen(total);
            let of_place = |place| {
                let mut draws = Draws::new(&secret, Purpose::Share, place);
                let got = share(remaining, shares - place, |end| draws.below(end));
                remaining -= got;
                got.0
            };
            (0..shares).map(of_place).collect()
        };
        (0..trials).map(packet).collect()
    }

    /// Spread and luck by place against figures found by an independent simulation of the law and,
    /// for the spread, by theory (second moments in the limit of large packets).
    #[test]
    fn spread_and_luck_by_place_are_those_of_the_law() {
        const TRIALS: u32 = 60_000;
        for (shares, spreads, lucks) in [
            (4, &[0.577, 0.619, 0.706, 0.706][..], &[1.101, 1.016, 0.941, 0.942][..]),
            (
                10,
                &[0.577, 0.582, 0.588, 0.596, 0.606, 0.621, 0.644, 0.683, 0.768, 0.768],
                &[1.007, 0.950, 0.909, 0.885, 0.883, 0.906, 0.969, 1.070, 1.207, 1.214],
            ),
        ] {
            let packets = packets(10_000, shares, TRIALS);
            let mean = 10_000.0 / f64::from(shares);
            for place in 0..shares as usize {
                let of_place = || packets.iter().map(|shares| shares[place] as f64);
                let average = of_place().sum::<f64>() / f64::from(TRIALS);
                let square = of_place().map(|x| (x - average) * (x - average)).sum::<f64>();
                let spread = (square / f64::from(TRIALS)).sqrt();
                // Four standard errors of each figure.
                assert!((average - mean).abs() < 4.0 * spread / f64::from(TRIALS).sqrt());
                assert!((spread / mean - spreads[place]).abs() < 0.012, "{shares}: {place}");
                // Of equal largest shares the first is the luckiest.
                let luckiest = |shares: &[u64]| {
                    let most = *shares.iter().max().expect("a share");
                    shares.iter().position(|&share| share == most) == Some(place)
                };
                let lucky = packets.iter().filter(|shares| luckiest(shares)).count();
                let luck = lucky as f64 / f64::from(TRIALS) * f64::from(shares);
                assert!((luck - lucks[place]).abs() < 0.05, "{shares}: {place}: {luck}");
            }
        }
    }

    #[test]
    fn the_first_share_is_uniform() {
        // 100 fen in 10 shares: twice the free mean is exactly 18, so 1 to 19 fen, each alike.
        // Chi-square with 18 degrees of freedom: 48 in about one of 6,000.
        let mut counts = [0_u32; 19];
        for shares in packets(100, 10, 38_000) {
            counts[shares[0] as usize - 1] += 1;
        }
        let square = |n: u32| (f64::from(n) - 2_000.0) * (f64::from(n) - 2_000.0);
        let chi_square: f64 = counts.iter().map(|&n| square(n) / 2_000.0).sum();
        assert!(chi_square < 48.0, "{chi_square} {counts:?}");
    }
}
