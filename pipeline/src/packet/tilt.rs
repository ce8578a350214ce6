//! Relationship regulation (动态金额调节): who gets which share may lean towards those who are close
//! to the sender.
//!
//! All shares are drawn first, by the same law and the same draws as without it, and shuffled. A
//! claimer gets one of those that are left, each as likely; with the probability of the tilt a
//! second one is drawn and a close claimer gets the larger of the two, a distant one the smaller.
//! So the sum, the least share and the set of shares cannot change, whatever the tilt and whoever
//! comes; only who gets which does. With the Gini coefficient G of the shares left (over pairs of
//! different shares), the expected share is `mean * (1 + tilt * G)` for a close claimer and
//! `mean * (1 - tilt * G)` for a distant one.

use serde::{Deserialize, Serialize};

use super::command::{PerMille, Tie};
use super::draw::{Draws, Purpose};
use super::reply::{Digest, Tilted};
use super::split;
use super::units::Fen;

/// The shares of a regulated packet that nobody has yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Regulated {
    left: Vec<Fen>,
}

impl Regulated {
    /// Draws all shares of a packet.
    pub fn new(secret: &Digest, amount: Fen, shares: u32) -> Regulated {
        let mut left = all_shares(secret, amount, shares);
        let mut draws = Draws::new(secret, Purpose::Shuffle, 0);
        for at in (1..left.len()).rev() {
            left.swap(at, draws.below(at as u64 + 1) as usize);
        }
        Regulated { left }
    }

    /// The share of the next claimer, and how it was tilted, if it was.
    ///
    /// # Panics
    /// When no share is left.
    pub fn take(
        &mut self,
        tie: Tie,
        tilt: PerMille,
        below: impl FnMut(u64) -> u64,
    ) -> (Fen, Option<Tilted>) {
        let (at, tilted) = choose(&self.left, tie, tilt, below);
        (self.left.swap_remove(at), tilted)
    }
}

/// The shares of a packet in the order of their places, as they are without regulation.
pub fn all_shares(secret: &Digest, amount: Fen, shares: u32) -> Vec<Fen> {
    let mut remaining = amount;
    let of_place = |place| {
        let mut draws = Draws::new(secret, Purpose::Share, place);
        let share = split::share(remaining, shares - place, |end| draws.below(end));
        remaining -= share;
        share
    };
    (0..shares).map(of_place).collect()
}

/// Which of the shares the claimer gets, and the two that were compared, if any were.
fn choose(
    left: &[Fen],
    tie: Tie,
    PerMille(tilt): PerMille,
    mut below: impl FnMut(u64) -> u64,
) -> (usize, Option<Tilted>) {
    let count = left.len() as u64;
    let first = below(count) as usize;
    if tie == Tie::None || tilt == 0 || count == 1 || below(1000) >= u64::from(tilt) {
        return (first, None);
    }
    let other = below(count - 1) as usize;
    let second = other + usize::from(other >= first);
    let better = match tie {
        Tie::Close => left[second] > left[first],
        Tie::Distant => left[second] < left[first],
        Tie::None => false,
    };
    let tilted = Tilted { first: left[first], second: left[second] };
    (if better { second } else { first }, Some(tilted))
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    /// Twice the expected share times the number of ordered pairs times 1000, by running `choose`
    /// on every outcome of its draws.
    fn expected(left: &[u64], tie: Tie, tilt: u16) -> u128 {
        let shares: Vec<Fen> = left.iter().copied().map(Fen).collect();
        let count = left.len() as u64;
        let mut sum = 0;
        for first in 0..count {
            for chance in 0..1000 {
                for other in 0..count - 1 {
                    let mut draws = [first, chance, other].into_iter();
                    let below = |end| {
                        let drawn = draws.next().expect("three draws at most");
                        assert!(drawn < end);
                        drawn
                    };
                    let (at, _) = choose(&shares, tie, PerMille(tilt), below);
                    sum += u128::from(left[at]);
                }
            }
        }
        sum
    }

    /// The sum over ordered pairs of different shares of their distance.
    fn distances(left: &[u64]) -> u128 {
        let of = |a: u64| left.iter().map(move |&b| u128::from(a.abs_diff(b))).sum::<u128>();
        left.iter().map(|&a| of(a)).sum()
    }

    #[test]
    fn the_expected_share_is_the_mean_and_tilt_times_gini_exactly() {
        for left in [&[1, 2][..], &[5, 5, 5], &[1, 1, 8], &[3, 1, 4, 1, 5, 9, 2, 6]] {
            let pairs = (left.len() * (left.len() - 1)) as u128;
            let mean = 1000 * (left.len() as u128 - 1) * u128::from(left.iter().sum::<u64>());
            assert_eq!(expected(left, Tie::None, 100), mean);
            for tilt in [0, 1, 100, 150] {
                // E max - E first = half the mean distance; the Gini of pairs by its definition.
                let lean = u128::from(tilt) * distances(left) / 2;
                assert_eq!(pairs, (left.len() * (left.len() - 1)) as u128);
                assert_eq!(expected(left, Tie::Close, tilt), mean + lean, "{left:?} {tilt}");
                assert_eq!(expected(left, Tie::Distant, tilt), mean - lean, "{left:?} {tilt}");
            }
        }
    }

    proptest! {
        #[test]
        fn tilt_changes_who_gets_which_share_and_nothing_else(
            secret: [u8; 32],
            shares in 1_u32..40,
            more in 0_u64..5_000,
            tilt in 0_u16..=150,
            ties in prop::collection::vec(0_u8..3, 40),
        ) {
            let amount = Fen(u64::from(shares) + more);
            let mut base = all_shares(&secret, amount, shares);
            let mut regulated = Regulated::new(&secret, amount, shares);
            let mut got = Vec::new();
            for place in 0..shares {
                let tie = [Tie::Close, Tie::None, Tie::Distant][ties[place as usize] as usize];
                let mut draws = Draws::new(&secret, Purpose::Choice, place);
                got.push(regulated.take(tie, PerMille(tilt), |end| draws.below(end)).0);
            }
            prop_assert_eq!(got.iter().copied().sum::<Fen>(), amount);
            base.sort_unstable();
            got.sort_unstable();
            prop_assert_eq!(base, got);
        }
    }

    /// The published bound: a distant claimer who comes last, after close ones only, at the
    /// largest tilt of the shipped limits. Figures of an independent simulation of the law.
    #[test]
    fn the_worst_place_keeps_its_part_of_the_mean() {
        const TRIALS: u32 = 20_000;
        for (shares, ratio) in [(2, 0.949), (5, 0.914), (10, 0.895)] {
            let mut sum = Fen::ZERO;
            for trial in 0..TRIALS {
                let secret = *blake3::hash(&trial.to_le_bytes()).as_bytes();
                let mut regulated = Regulated::new(&secret, Fen(10_000), shares);
                for place in 0..shares {
                    let last = place + 1 == shares;
                    let tie = if last { Tie::Distant } else { Tie::Close };
                    let mut draws = Draws::new(&secret, Purpose::Choice, place);
                    let (got, _) = regulated.take(tie, PerMille(100), |end| draws.below(end));
                    if last {
                        sum += got;
                    }
                }
            }
            let mean = 10_000.0 / f64::from(shares);
            let found = sum.0 as f64 / f64::from(TRIALS) / mean;
            // Four standard errors at a spread of 0.7 of the mean, and the rounding of the figure.
            assert!((found - ratio).abs() < 0.021, "{shares}: {found}");
        }
    }
}
