//! Random numbers that are the same on every machine: integers, and floating point only through
//! operations that IEEE 754 fixes to the bit or that the `libm` crate computes in Rust.

use std::sync::OnceLock;

/// A generator (xoshiro256++, seeded through splitmix64).
///
/// Each part of the population draws from a generator of its own, made by [`Rng::named`]: a change
/// in one part then leaves the draws of all others as they were.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The generator of a part of a population: its seed, the part's name, and a number within it.
    pub fn named(seed: u64, name: &str, number: u64) -> Rng {
        let mut mix = seed;
        for byte in name.bytes() {
            mix = splitmix(&mut (mix ^ u64::from(byte)));
        }
        mix ^= splitmix(&mut number.wrapping_add(0x5851_F42D_4C95_7F2D));
        Rng { state: std::array::from_fn(|_| splitmix(&mut mix)) }
    }

    /// A generator of its own for something that happens later.
    pub fn split(&mut self) -> Rng {
        let mut mix = self.bits();
        Rng { state: std::array::from_fn(|_| splitmix(&mut mix)) }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A whole number below `bound`, each as likely as the others.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below 0");
        // The product's high half is the answer; the few low halves that would make some answers
        // more likely than others are drawn again.
        let refused = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            if product as u64 >= refused {
                return (product >> 64) as u64;
            }
        }
    }

    /// A whole number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "{low} is above {high}");
        low + self.below(low.abs_diff(high) + 1) as i64
    }

    /// A number in (0, 1), never an end.
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// True with that probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// The index of one of the weights, in proportion to it.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let mut left = self.below(total);
        for (at, &weight) in weights.iter().enumerate() {
            if left < u64::from(weight) {
                return at;
            }
            left -= u64::from(weight);
        }
        unreachable!("what is left is below the total")
    }

    /// Puts the items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }

    /// `count` different items, or all of them if there are fewer, in random order.
    pub fn sample<T: Clone>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let mut items = items.to_vec();
        self.shuffle(&mut items);
        items.truncate(count);
        items
    }

    /// A lognormal number with that median and that standard deviation of its logarithm.
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * libm::exp(sigma * normal(self.unit()))
    }

    /// A lognormal duration of that median, in the same unit, rounded down.
    pub fn around(&mut self, median: i64, sigma: f64) -> i64 {
        self.lognormal(median as f64, sigma) as i64
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// About [`normal_quantile`], which takes long: between two of a thousand places in a straight
/// line, and at the ends exactly.
fn normal(p: f64) -> f64 {
    const PLACES: usize = 1024;
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    let table = TABLE
        .get_or_init(|| (1..PLACES).map(|at| normal_quantile(at as f64 / PLACES as f64)).collect());
    let place = p * PLACES as f64;
    let at = place as usize;
    if at == 0 || at + 1 >= PLACES {
        return normal_quantile(p);
    }
    let (low, high) = (table[at - 1], table[at]);
    low + (high - low) * (place - at as f64)
}

/// The number below which a standard normal variable lies with probability `p`: found by halving,
/// 50 steps from -8 to 8, so that no table of coefficients has to be believed.
pub(super) fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-8.0_f64, 8.0_f64);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if libm::erfc(-middle / std::f64::consts::SQRT_2) / 2.0 < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// Values that are dealt like cards: until the deck is used up none comes twice, so that a few
/// hundred draws have the mean of the deck and not of luck.
///
/// Cards are cut into [`STRATA`] piles by size, and each round deals one of every pile in random
/// order: also a part of a deck holds small and large in proportion.
#[derive(Clone, Debug)]
pub(super) struct Deck {
    /// Sorted.
    cards: Vec<i64>,
    /// Cards still to be dealt, the next one last.
    dealing: Vec<i64>,
}

/// Piles of a deck.
const STRATA: usize = 20;

impl Deck {
    /// A deck of these cards; their number must be a multiple of [`STRATA`].
    pub(super) fn new(mut cards: Vec<i64>) -> Deck {
        assert!(!cards.is_empty() && cards.len().is_multiple_of(STRATA), "{}", cards.len());
        cards.sort_unstable();
        Deck { cards, dealing: Vec::new() }
    }

    /// The mean of the cards.
    pub(super) fn mean(&self) -> i64 {
        self.cards.iter().sum::<i64>() / self.cards.len() as i64
    }

    /// The next card.
    pub(super) fn deal(&mut self, rng: &mut Rng) -> i64 {
        if self.dealing.is_empty() {
            let size = self.cards.len() / STRATA;
            let mut piles: Vec<Vec<i64>> = self.cards.chunks(size).map(<[i64]>::to_vec).collect();
            for pile in &mut piles {
                rng.shuffle(pile);
            }
            for round in 0..size {
                let mut hand: Vec<i64> = piles.iter().map(|pile| pile[round]).collect();
                rng.shuffle(&mut hand);
                self.dealing.append(&mut hand);
            }
        }
        self.dealing.pop().unwrap_or_else(|| unreachable!("a deck has cards"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_every_machine() {
        let mut rng = Rng::named(1, "test", 0);
        let drawn = (rng.bits(), rng.below(1000), rng.between(-5, 5), rng.around(3_600_000, 0.8));
        assert_eq!(drawn, EXPECTED, "the population of a seed would change");
        assert_ne!(Rng::named(1, "test", 1).bits(), Rng::named(1, "test", 0).bits());
        assert_ne!(Rng::named(2, "test", 0).bits(), Rng::named(1, "test", 0).bits());
        assert_ne!(Rng::named(1, "tesu", 0).bits(), Rng::named(1, "test", 0).bits());
    }

    const EXPECTED: (u64, u64, i64, i64) = (10_539_896_299_427_371_960, 325, -4, 9_035_290);

    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        for (p, wanted) in [(0.5, 0.0), (0.975, 1.959_964), (0.01, -2.326_348), (0.84, 0.994_458)] {
            assert!((normal_quantile(p) - wanted).abs() < 1e-6, "{p}");
        }
    }

    #[test]
    fn a_deck_deals_every_card_once_and_each_round_one_of_every_pile() {
        let mut deck = Deck::new((0..60).collect());
        let mut rng = Rng::named(7, "deck", 0);
        for _ in 0..3 {
            let mut dealt: Vec<i64> = (0..60).map(|_| deck.deal(&mut rng)).collect();
            for round in dealt.chunks(STRATA) {
                let mut piles: Vec<i64> = round.iter().map(|card| card / 3).collect();
                piles.sort_unstable();
                assert_eq!(piles, (0..20).collect::<Vec<_>>());
            }
            dealt.sort_unstable();
            assert_eq!(dealt, (0..60).collect::<Vec<_>>());
        }
    }

    #[test]
    fn below_is_even() {
        let mut rng = Rng::named(3, "even", 0);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 400), "{counts:?}");
    }
}
