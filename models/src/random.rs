//! Random numbers from a seed, the same on every machine, and independent streams of one seed.

/// SplitMix64 (Steele, Lea and Flood, 2014): a counter and a mixing function. It needs no state
/// beyond 64 bits, so a stream a tree or a replicate costs nothing.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// The step of SplitMix64's counter: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The stream of a seed with a number.
    pub(crate) fn new(seed: u64, stream: u64) -> Random {
        Random(mix(seed) ^ mix(stream.wrapping_mul(STEP) ^ 0x6a09_e667_f3bc_c908))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `bound`, which is more than 0. The bias, at most bound / 2^64, is far below
    /// what any number of draws of a training could show.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// From 0 to just below 1, in steps of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Puts a slice in an order of its own.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence() {
        // The first numbers of SplitMix64 from the state 1234567, as its authors' program prints.
        let mut random = Random(1_234_567);
        let found: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(
            found,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn draws_are_even_and_streams_differ() {
        let mut counts = [0u32; 10];
        let mut random = Random::new(1, 0);
        for _ in 0..100_000 {
            counts[random.below(10)] += 1;
        }
        // 10,000 each, with a standard deviation of 95: five of them either way.
        assert!(counts.iter().all(|count| (9_525..=10_475).contains(count)), "{counts:?}");
        assert_ne!(Random::new(1, 0).next(), Random::new(1, 1).next());
        assert_ne!(Random::new(1, 0).next(), Random::new(2, 0).next());
        assert!((0..1000).map(|_| random.unit()).all(|unit| (0.0..1.0).contains(&unit)));
    }
}
