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

/// Where a share stands among all that could have been drawn in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Its mid-rank, in units of 2^-32: how likely a smaller share was, and half of how likely this
    /// one was. Its mean under the law is exactly a half.
    pub mid: u32,
    /// The variance of the mid-rank under the law, in the same units: a twelfth, less a twelfth of
    /// the sum of the cubes of all probabilities (E. Parzen, Quantile
    /// probability and statistical data modeling, 2004).
    pub variance: u32,
    /// How many amounts were possible, but for one that only a bound rounded up allows.
    pub outcomes: u64,
}

/// The rank of a share that is not the last, drawn by [`share`] with so much in the packet and so
/// many shares to come; none where the law cannot draw it.
///
/// With `F` free fen, `k` shares to come and `2F = bk + odd`, the bound is `b + 1` with probability
/// `odd / k` and else `b`. So each of the amounts `1..=b+1` has probability
/// `(1 - odd/k) / (b+1) + (odd/k) / (b+2) = (k(b+2) - odd) / (k(b+1)(b+2))`, and the amount `b + 2`
/// has what is left, `odd / (k(b+2))`.
///
/// # Panics
/// When there are fewer than two shares to come, or less than a fen for each.
pub fn rank(remaining: Fen, shares_left: u32, share: Fen) -> Option<Rank> {
    let left = u64::from(shares_left);
    assert!(left >= 2 && remaining.0 >= left, "a fen for each of two shares or more");
    let twice_the_free = 2 * (remaining.0 - left);
    let (bound, odd) = (twice_the_free / left, twice_the_free % left);
    let above = share.0.checked_sub(1)?;
    if above > bound + u64::from(odd > 0) {
        return None;
    }
    let [left, outcomes, odd, above] = [left, bound + 1, odd, above].map(u128::from);
    // Common denominator of all probabilities; below 2^84, as the left times the bound is at most
    // twice the money.
    let whole = left * outcomes * (outcomes + 1);
    let each = left * (outcomes + 1) - odd;
    let most = odd * outcomes;
    let twice_the_mid =
        if above < outcomes { (2 * above + 1) * each } else { 2 * outcomes * each + most };
    let unit = |part: u128| (part << 32) / whole;
    let cube = |probability: u128| probability * probability * probability;
    let cubes = (outcomes * cube(unit(each)) + cube(unit(most))) >> 64;
    Some(Rank {
        mid: (unit(twice_the_mid) / 2) as u32,
        variance: (((1 << 32) - cubes) / 12) as u32,
        outcomes: bound + 1,
    })
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

    /// Ranks against a count of every outcome of the two draws.
    #[test]
    fn a_rank_is_what_the_count_of_all_outcomes_says() {
        for left in 2..=12_u32 {
            for remaining in u64::from(left)..=80 {
                // Outcomes by amount; those of each bound weigh so much that all weigh the same.
                let mut weights = std::collections::BTreeMap::<u64, f64>::new();
                for rounding in 0..u64::from(left) {
                    let mut second = 0;
                    loop {
                        let mut ends = Vec::new();
                        let got = share(Fen(remaining), left, |end| {
                            ends.push(end);
                            if ends.len() == 1 { rounding } else { second }
                        });
                        let weight = 1.0 / f64::from(left) / ends[1] as f64;
                        *weights.entry(got.0).or_default() += weight;
                        second += 1;
                        if second == ends[1] {
                            break;
                        }
                    }
                }
                let (mut below, mut mean, mut square) = (0.0, 0.0, 0.0);
                let variance = (1.0 - weights.values().map(|p| p * p * p).sum::<f64>()) / 12.0;
                for amount in 0..=remaining + 1 {
                    let found = rank(Fen(remaining), left, Fen(amount));
                    let Some(p) = weights.get(&amount) else {
                        assert_eq!(found, None, "{amount} of {remaining} in {left}");
                        continue;
                    };
                    let found = found.expect("it can be drawn");
                    let mid = below + p / 2.0;
                    let unit = 1.0 / 4_294_967_296.0;
                    assert!((f64::from(found.mid) * unit - mid).abs() < 1e-9);
                    assert!((f64::from(found.variance) * unit - variance).abs() < 1e-8);
                    below += p;
                    mean += p * mid;
                    square += p * (mid - 0.5) * (mid - 0.5);
                }
                assert!((mean - 0.5).abs() < 1e-12 && (square - variance).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn ranks_of_the_largest_packets_stay_within_their_range() {
        for left in [2, 3, 99, 1_000_000] {
            let remaining = Fen(Fen::MAX.0);
            assert_eq!(rank(remaining, left, Fen(0)), None);
            assert!(rank(remaining, left, Fen(1)).is_some_and(|rank| rank.mid < 1 << 20));
            let most = 2 * (remaining.0 - u64::from(left)) / u64::from(left) + 1;
            assert!(
                rank(remaining, left, Fen(most)).is_some_and(|rank| rank.mid > u32::MAX - 4096)
            );
            assert_eq!(rank(remaining, left, Fen(most + 2)), None);
        }
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
