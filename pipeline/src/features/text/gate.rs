//! The gates: a first look that lets nearly every harmless text go by.
//!
//! A text that holds a phrase holds each pair of adjacent symbols of that phrase. So one pair of
//! each phrase, the one that is rarest in everyday text, goes into a Bloom filter, and a text
//! without any such pair needs no automaton. The gate of sound does the same with three syllables
//! in a row: there are only four hundred syllables, and a pair of them would stand in too many
//! texts. A wrong yes costs time and never a hit; a wrong no cannot happen.

use hashbrown::HashMap;

use super::confusables::is_invisible;
use super::normalise::{Code, Expansion, Normaliser, Reading, SKIP, Symbol};
use super::sound::{SILENT, SOUNDS_MAX, Sound, Syllables, WORD_LETTERS_MAX, is_letter};

/// Bits a phrase. At 128, a pair that belongs to no phrase gets by about once in two thousand.
const BITS_PER_PHRASE: usize = 128;
/// 32 KB: at 2,000 phrases and fewer the filter stays in the first-level cache.
const WORDS_MIN: usize = 1 << 8;
/// 2 MB, which fits a second-level cache at the largest lexicon.
const WORDS_MAX: usize = 1 << 18;

/// A Bloom filter of two bits in one word.
struct Bloom {
    words: Box<[u64]>,
    /// How far a hash is shifted so that its high bits are a place in `words`.
    shift: u32,
}

impl Bloom {
    fn new(keys: &[u64]) -> Bloom {
        let words = (keys.len() * BITS_PER_PHRASE / 64).next_power_of_two();
        let words = words.clamp(WORDS_MIN, WORDS_MAX);
        let mut bloom = Bloom { words: vec![0; words].into(), shift: 64 - words.ilog2() };
        for key in keys {
            let (word, bits) = bloom.place(*key);
            bloom.words[word] |= bits;
        }
        bloom
    }

    #[inline]
    fn holds(&self, key: u64) -> bool {
        let (word, bits) = self.place(key);
        self.words[word] & bits == bits
    }

    #[inline]
    fn place(&self, key: u64) -> (usize, u64) {
        // Fibonacci hashing: the high bits of the product depend on all bits of the key.
        let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let bits = 1 << (hash >> 34 & 63) | 1 << (hash >> 28 & 63);
        ((hash >> self.shift) as usize, bits)
    }
}

/// The gate of symbols.
pub(super) struct Gate {
    pairs: Bloom,
}

impl Gate {
    /// A gate that opens for each of `pairs`.
    pub(super) fn new(pairs: &[(Symbol, Symbol)]) -> Gate {
        let keys: Vec<u64> = pairs.iter().map(|pair| Gate::key(pair.0, pair.1)).collect();
        Gate { pairs: Bloom::new(&keys) }
    }

    #[inline]
    fn holds(&self, before: Symbol, symbol: Symbol) -> bool {
        self.pairs.holds(Gate::key(before, symbol))
    }

    #[inline]
    fn key(before: Symbol, symbol: Symbol) -> u64 {
        u64::from(before) << 32 | u64::from(symbol)
    }
}

/// The gate of sound.
pub(super) struct SoundGate {
    triples: Bloom,
    /// Bit `512 a + b` says that a phrase has `b` after `a` at the end of its three syllables: 32 KB,
    /// looked at first.
    ends: Box<[u64]>,
    /// The same for phrases of two syllables, which need no more.
    pairs: Box<[u64]>,
    any: bool,
}

const PAIR_WORDS: usize = SOUNDS_MAX as usize * SOUNDS_MAX as usize / 64;

impl SoundGate {
    /// A gate that opens for each of the phrases whose sounds are `rows`.
    pub(super) fn new(rows: &[Vec<Sound>], background: &Background) -> SoundGate {
        let mut triples: Vec<u64> = Vec::new();
        let mut ends = vec![0; PAIR_WORDS];
        let mut pairs = vec![0; PAIR_WORDS];
        for row in rows {
            let [second, third] = match background.rarest_sounds(row) {
                Some(triple) => {
                    triples.push(SoundGate::key(triple));
                    [triple[1], triple[2]]
                }
                None => {
                    let (word, bit) = SoundGate::place(row[0], row[1]);
                    pairs[word] |= bit;
                    [row[0], row[1]]
                }
            };
            let (word, bit) = SoundGate::place(second, third);
            ends[word] |= bit;
        }
        let (ends, pairs) = (ends.into(), pairs.into());
        SoundGate { triples: Bloom::new(&triples), ends, pairs, any: !rows.is_empty() }
    }

    #[inline]
    fn holds(&self, [first, second, third]: [Sound; 3]) -> bool {
        let (word, bit) = SoundGate::place(second, third);
        self.ends[word] & bit != 0
            && (self.pairs[word] & bit != 0
                || self.triples.holds(SoundGate::key([first, second, third])))
    }

    /// The place of a pair in a table of bits.
    #[inline]
    fn place(first: Sound, second: Sound) -> (usize, u64) {
        let mask = SOUNDS_MAX - 1;
        let at = usize::from(first & mask) * usize::from(SOUNDS_MAX) + usize::from(second & mask);
        (at / 64, 1 << (at % 64))
    }

    #[inline]
    fn key([first, second, third]: [Sound; 3]) -> u64 {
        u64::from(first) << 32 | u64::from(second) << 16 | u64::from(third)
    }
}

/// Which channels a text must be searched in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) symbols: bool,
    pub(super) sounds: bool,
}

/// Whether `text` may hold a phrase, as it is written and by its sound.
pub(super) fn opened(gate: &Gate, sounds: &SoundGate, table: &Normaliser, text: &str) -> Opened {
    let mut look = Look {
        gate,
        sounds,
        before: SKIP,
        heard: [SILENT; 2],
        word: [0; WORD_LETTERS_MAX],
        letters: 0,
        opened: Opened { symbols: false, sounds: false },
    };
    for c in text.chars() {
        let code = table.code(c);
        match code.simple() {
            // A letter, or what may end a word of letters.
            Some((symbol, sound)) if sound > 0 && !is_letter(sound) && look.letters == 0 => {
                look.see(symbol);
                look.hear(sound);
            }
            _ => look.slow(table, c, code),
        }
    }
    look.end_word();
    look.opened
}

struct Look<'g> {
    gate: &'g Gate,
    sounds: &'g SoundGate,
    before: Symbol,
    heard: [Sound; 2],
    word: [u8; WORD_LETTERS_MAX],
    /// The length of the word of Latin letters so far, which can be longer than `word`.
    letters: usize,
    opened: Opened,
}

impl Look<'_> {
    #[inline]
    fn see(&mut self, symbol: Symbol) {
        self.opened.symbols |= self.gate.holds(self.before, symbol);
        self.before = symbol;
    }

    #[inline]
    fn hear(&mut self, sound: Sound) {
        let [first, second] = self.heard;
        self.opened.sounds |= self.sounds.holds([first, second, sound]);
        self.heard = [second, sound];
    }

    fn slow(&mut self, table: &Normaliser, c: char, code: Code) {
        match code.simple() {
            Some((SKIP, _)) => {
                if self.letters > 0 && !is_invisible(c) {
                    self.end_word();
                }
            }
            Some((symbol, sound)) => {
                self.see(symbol);
                self.letter_or_other(sound);
            }
            None => match table.expand(code) {
                Expansion::Symbols(symbols) => {
                    for &symbol in symbols {
                        self.see(symbol);
                        self.letter_or_other(table.sound(symbol));
                    }
                }
                Expansion::Picture(sounds) => {
                    self.end_word();
                    for &sound in sounds {
                        self.hear(sound);
                    }
                }
            },
        }
    }

    fn letter_or_other(&mut self, sound: Sound) {
        if is_letter(sound) {
            if let Some(place) = self.word.get_mut(self.letters) {
                *place = b'a' - 1 + sound as u8;
            } else if self.letters == WORD_LETTERS_MAX {
                // Too long to be pinyin: its letters count as such, from the first on.
                for at in 0..WORD_LETTERS_MAX {
                    self.hear(Sound::from(self.word[at] - (b'a' - 1)));
                }
                self.hear(sound);
            } else {
                self.hear(sound);
            }
            self.letters += 1;
        } else {
            self.end_word();
            self.hear(sound);
        }
    }

    fn end_word(&mut self) {
        let letters = std::mem::take(&mut self.letters);
        if letters == 0 || letters > WORD_LETTERS_MAX || !self.sounds.any {
            return;
        }
        let (mut cuts, word) = ([(SILENT, 0); WORD_LETTERS_MAX], self.word);
        let cut = Syllables::get().cut_into(&word[..letters], &mut cuts);
        for (sound, _) in &cuts[..cut] {
            self.hear(*sound);
        }
        if cut == 0 {
            for letter in &word[..letters] {
                self.hear(Sound::from(letter - (b'a' - 1)));
            }
        }
    }
}

/// How often symbols and sounds stand in everyday messages.
pub(super) struct Background {
    symbols: HashMap<Symbol, u32>,
    pairs: HashMap<(Symbol, Symbol), u32>,
    sounds: HashMap<Sound, u32>,
    sound_pairs: HashMap<(Sound, Sound), u32>,
}

impl Background {
    /// Counts of the sentences in `background.txt`.
    pub(super) fn count(table: &Normaliser) -> Background {
        let mut background = Background {
            symbols: HashMap::new(),
            pairs: HashMap::new(),
            sounds: HashMap::new(),
            sound_pairs: HashMap::new(),
        };
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
                    let (first, second) = (table.sound(before), table.sound(symbol));
                    *background.sounds.entry(second).or_default() += 1;
                    *background.sound_pairs.entry((first, second)).or_default() += 1;
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

    /// The three sounds of a row that are rarest together, by the counts of their pairs, then by
    /// those of each; none if it has only two.
    fn rarest_sounds(&self, row: &[Sound]) -> Option<[Sound; 3]> {
        let one = |sound| u64::from(self.sounds.get(&sound).copied().unwrap_or(0)) + 1;
        let two = |pair| u64::from(self.sound_pairs.get(&pair).copied().unwrap_or(0)) + 1;
        let triples = row.windows(3).map(|three| [three[0], three[1], three[2]]);
        triples.min_by_key(|[a, b, c]| {
            (two((*a, *b)) * two((*b, *c)), one(*a) * one(*b) * one(*c))
        })
    }
}
