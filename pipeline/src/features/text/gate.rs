//! The gate: a first look that lets nearly every harmless text go by.
//!
//! A text that holds a phrase holds each pair of adjacent symbols of that phrase. So one pair of
//! each phrase, the one that is rarest in everyday text, goes into a Bloom filter, and a text
//! without any such pair needs no automaton. A wrong yes costs time and never a hit; a wrong no
//! cannot happen.

use hashbrown::HashMap;

use super::normalise::{Normaliser, Reading, SKIP, Symbol};

/// Bits a phrase. At 128, a pair that belongs to no phrase gets by about once in two thousand.
const BITS_PER_PHRASE: usize = 128;
/// 32 KB: at 2,000 phrases and fewer the filter stays in the first-level cache.
const WORDS_MIN: usize = 1 << 8;
/// 2 MB, which fits a second-level cache at the largest lexicon.
const WORDS_MAX: usize = 1 << 18;

/// A Bloom filter of two bits in one word over pairs of symbols.
pub(super) struct Gate {
    words: Box<[u64]>,
    /// How far a hash is shifted so that its high bits are a place in `words`.
    shift: u32,
}

impl Gate {
    /// A gate that opens for each of `pairs`.
    pub(super) fn new(pairs: &[(Symbol, Symbol)]) -> Gate {
        let words = (pairs.len() * BITS_PER_PHRASE / 64).next_power_of_two();
        let words = words.clamp(WORDS_MIN, WORDS_MAX);
        let mut gate = Gate { words: vec![0; words].into(), shift: 64 - words.ilog2() };
        for &(before, symbol) in pairs {
            let (word, bits) = gate.place(before, symbol);
            gate.words[word] |= bits;
        }
        gate
    }

    /// Whether `text` may hold a phrase.
    pub(super) fn opens_for(&self, table: &Normaliser, text: &str) -> bool {
        let mut before = SKIP;
        for c in text.chars() {
            match table.read(c) {
                Reading::One(SKIP) => {}
                Reading::One(symbol) => {
                    if self.holds(before, symbol) {
                        return true;
                    }
                    before = symbol;
                }
                Reading::Many(symbols) => {
                    for &symbol in symbols {
                        if self.holds(before, symbol) {
                            return true;
                        }
                        before = symbol;
                    }
                }
            }
        }
        false
    }

    #[inline]
    fn holds(&self, before: Symbol, symbol: Symbol) -> bool {
        let (word, bits) = self.place(before, symbol);
        self.words[word] & bits == bits
    }

    #[inline]
    fn place(&self, before: Symbol, symbol: Symbol) -> (usize, u64) {
        let pair = u64::from(before) << 32 | u64::from(symbol);
        // Fibonacci hashing; the second product mixes the high half into the low one.
        let hash = pair.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let hash = (hash ^ hash >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let bits = 1 << (hash & 63) | 1 << (hash >> 6 & 63);
        ((hash >> self.shift) as usize, bits)
    }
}

/// How often symbols and pairs stand in everyday messages.
pub(super) struct Background {
    symbols: HashMap<Symbol, u32>,
    pairs: HashMap<(Symbol, Symbol), u32>,
}

impl Background {
    /// Counts of the sentences in `background.txt`.
    pub(super) fn count(table: &Normaliser) -> Background {
        let mut background = Background { symbols: HashMap::new(), pairs: HashMap::new() };
        for line in include_str!("background.txt").lines() {
            let mut before = SKIP;
            for c in line.chars() {
                let one;
                let symbols = match table.read(c) {
                    Reading::One(SKIP) => continue,
                    Reading::One(symbol) => {
                        one = [symbol];
                        &one[..]
                    }
                    Reading::Many(symbols) => symbols,
                };
                for &symbol in symbols {
                    *background.symbols.entry(symbol).or_default() += 1;
                    *background.pairs.entry((before, symbol)).or_default() += 1;
                    before = symbol;
                }
            }
        }
        background
    }

    /// The rarest of `pairs`: by its own count, then by what the counts of its symbols suggest,
    /// then the first.
    pub(super) fn rarest(
        &self,
        pairs: impl Iterator<Item = (Symbol, Symbol)>,
    ) -> Option<(Symbol, Symbol)> {
        let count = |symbol| u64::from(self.symbols.get(&symbol).copied().unwrap_or(0)) + 1;
        pairs.min_by_key(|pair| {
            let seen = self.pairs.get(pair).copied().unwrap_or(0);
            (seen, count(pair.0) * count(pair.1))
        })
    }
}
