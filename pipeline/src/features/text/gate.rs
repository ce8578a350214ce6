//! The gates: a first look that lets nearly every harmless text go by.
//!
//! A text that holds a phrase holds each three symbols in a row of that phrase. So three of each
//! phrase, those that are rarest together in everyday text, go into a Bloom filter, and a text
//! without any such three needs no automaton; a phrase of two symbols goes into a filter of pairs.
//! The gate of sound does the same with syllables. A wrong yes costs time and never a hit; a wrong
//! no cannot happen.

use hashbrown::HashMap;

use super::confusables::is_invisible;
use super::normalise::{Code, Expansion, Normaliser, Reading, SKIP, Symbol};
use super::sound::{FOREIGN, SILENT, SOUNDS_MAX, Sound, Syllables, WORD_LETTERS_MAX, is_letter};

/// Bits a phrase. Twice as many let less by, but no longer stay in a cache as near.
const BITS_PER_PHRASE: usize = 64;
/// 8 KB: up to a thousand phrases the filter stays in the first-level cache.
const WORDS_MIN: usize = 1 << 10;
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
    /// Three different symbols in a row, a drawn-out one counted once.
    triples: Bloom,
    /// For what has only two.
    pairs: Bloom,
}

/// The symbols before a place: drawn-out ones once.
#[derive(Clone, Copy, Default)]
struct Before {
    last: Symbol,
    last_but_one: Symbol,
}

impl Gate {
    /// A gate that opens for each of the phrases whose runs are `rows`, and for each of `pairs`.
    pub(super) fn new<'r>(
        rows: impl Iterator<Item = &'r [(Symbol, u32)]>,
        pairs: &[(Symbol, Symbol)],
        background: &Background,
    ) -> Gate {
        let mut triples = Vec::new();
        let mut pairs: Vec<u64> = pairs.iter().map(|pair| Gate::pair(pair.0, pair.1)).collect();
        for row in rows {
            match background.rarest_symbols(row) {
                Some([first, second, third]) => triples.push(Gate::triple(first, second, third)),
                // A phrase of one run has its symbol beside itself.
                None => pairs.push(Gate::pair(row[0].0, row[row.len() - 1].0)),
            }
        }
        Gate { triples: Bloom::new(&triples), pairs: Bloom::new(&pairs) }
    }

    /// Whether a phrase may end its pair or triple with `symbol`.
    #[inline(always)]
    fn holds(&self, before: Before, symbol: Symbol) -> bool {
        self.triples.holds(Gate::triple(before.last_but_one, before.last, symbol))
            | self.pairs.holds(Gate::pair(before.last, symbol))
    }

    #[inline(always)]
    fn pair(first: Symbol, second: Symbol) -> u64 {
        u64::from(first) << 32 | u64::from(second)
    }

    #[inline(always)]
    fn triple(first: Symbol, second: Symbol, third: Symbol) -> u64 {
        u64::from(first) << 42 ^ u64::from(second) << 21 ^ u64::from(third)
    }
}

impl Before {
    #[inline(always)]
    fn after(self, symbol: Symbol) -> Before {
        let same = self.last == symbol;
        let last_but_one = if same { self.last_but_one } else { self.last };
        Before { last: symbol, last_but_one }
    }
}

/// The gate of sound.
pub(super) struct SoundGate {
    triples: Bloom,
    /// For phrases of two syllables, which must ask to be found by sound and are few: one bit a
    /// pair, in 4 KB.
    pairs: Box<[u64]>,
    any: bool,
}

/// One bit for each six low bits of a sound over the nine of another.
const PAIR_BITS: usize = SOUNDS_MAX as usize * 64;

impl SoundGate {
    /// A gate that opens for each of the phrases whose sounds are `rows`.
    pub(super) fn new(rows: &[Vec<Sound>], background: &Background) -> SoundGate {
        let mut triples: Vec<u64> = Vec::new();
        let mut pairs = vec![0; PAIR_BITS / 64];
        for row in rows {
            match background.rarest_sounds(row) {
                Some([first, second, third]) => triples.push(SoundGate::key(first, second, third)),
                None => {
                    let (word, bit) = SoundGate::place(SoundGate::key(SILENT, row[0], row[1]));
                    pairs[word] |= bit;
                }
            }
        }
        SoundGate { triples: Bloom::new(&triples), pairs: pairs.into(), any: !rows.is_empty() }
    }

    /// Whether a phrase may end with the last sounds of `key`.
    #[inline(always)]
    fn holds(&self, key: u64) -> bool {
        let (word, bit) = SoundGate::place(key);
        self.triples.holds(key) | (self.pairs[word] & bit != 0)
    }

    /// Three sounds in a row as a number of 27 bits.
    #[inline(always)]
    fn key(first: Sound, second: Sound, third: Sound) -> u64 {
        u64::from(first) << 18 | u64::from(second) << 9 | u64::from(third)
    }

    /// The last three sounds when `sound` comes after those of `key`.
    #[inline(always)]
    fn after(key: u64, sound: Sound) -> u64 {
        const LAST_TWO: u64 = (1 << 18) - 1;
        (key & LAST_TWO) << 9 | u64::from(sound)
    }

    /// The place of the last two sounds of `key` in `pairs`.
    #[inline(always)]
    fn place(key: u64) -> (usize, u64) {
        let mixed = (key >> 3 ^ key) as usize & (PAIR_BITS - 1);
        (mixed / 64, 1 << (mixed % 64))
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
    let Place { mut before, mut heard, opened: Opened { symbols: mut seen, sounds: mut sounded } } =
        Place::default();
    let mut words = Words { gate, sounds, table, word: [0; WORD_LETTERS_MAX], letters: 0 };
    let mut in_word = false;
    for c in text.chars() {
        let code = table.code(c);
        match code.simple() {
            Some((symbol, sound)) if sound >= FOREIGN && !in_word => {
                seen |= gate.holds(before, symbol);
                before = before.after(symbol);
                heard = SoundGate::after(heard, sound);
                sounded |= sounds.holds(heard);
            }
            Some((SKIP, SILENT)) if !in_word => {}
            _ => {
                let opened = Opened { symbols: seen, sounds: sounded };
                let at = words.read(Place { before, heard, opened }, c, code);
                in_word = words.letters > 0;
                (before, heard) = (at.before, at.heard);
                (seen, sounded) = (at.opened.symbols, at.opened.sounds);
            }
        }
    }
    let opened = Opened { symbols: seen, sounds: sounded };
    words.end(Place { before, heard, opened }).opened
}

/// What stands before the next symbol, and what was found so far.
#[derive(Clone, Copy, Default)]
struct Place {
    before: Before,
    /// The last sounds, as in [`SoundGate::key`].
    heard: u64,
    opened: Opened,
}

impl Place {
    #[inline]
    fn see(&mut self, gate: &Gate, symbol: Symbol) {
        self.opened.symbols |= gate.holds(self.before, symbol);
        self.before = self.before.after(symbol);
    }

    #[inline]
    fn hear(&mut self, sounds: &SoundGate, sound: Sound) {
        self.heard = SoundGate::after(self.heard, sound);
        self.opened.sounds |= sounds.holds(self.heard);
    }
}

/// Words of Latin letters, and all characters that are not one symbol with a syllable.
struct Words<'g> {
    gate: &'g Gate,
    sounds: &'g SoundGate,
    table: &'g Normaliser,
    word: [u8; WORD_LETTERS_MAX],
    /// The length of the word so far, which can be longer than `word`.
    letters: usize,
}

impl Words<'_> {
    #[inline(never)]
    fn read(&mut self, mut at: Place, c: char, code: Code) -> Place {
        match code.simple() {
            Some((SKIP, _)) if self.letters > 0 && !is_invisible(c) => self.end(at),
            Some((SKIP, _)) => at,
            Some((symbol, sound)) => {
                at.see(self.gate, symbol);
                self.letter_or_other(at, sound)
            }
            None => match self.table.expand(code) {
                Expansion::Symbols(symbols) => {
                    for &symbol in symbols {
                        at.see(self.gate, symbol);
                        at = self.letter_or_other(at, self.table.sound(symbol));
                    }
                    at
                }
                Expansion::Picture(sounds) => {
                    at = self.end(at);
                    for &sound in sounds {
                        at.hear(self.sounds, sound);
                    }
                    at
                }
            },
        }
    }

    fn letter_or_other(&mut self, mut at: Place, sound: Sound) -> Place {
        if !is_letter(sound) {
            at = self.end(at);
            at.hear(self.sounds, sound);
            return at;
        }
        match self.word.get_mut(self.letters) {
            Some(place) => *place = b'a' - 1 + sound as u8,
            None => {
                if self.letters == WORD_LETTERS_MAX {
                    // Too long to be pinyin: its letters count as such, from the first on.
                    at = self.spell(at, WORD_LETTERS_MAX);
                }
                at.hear(self.sounds, sound);
            }
        }
        self.letters += 1;
        at
    }

    fn end(&mut self, mut at: Place) -> Place {
        let letters = std::mem::take(&mut self.letters);
        if letters == 0 || letters > WORD_LETTERS_MAX || !self.sounds.any {
            return at;
        }
        let mut cuts = [(SILENT, 0); WORD_LETTERS_MAX];
        let cut = Syllables::get().cut_into(&self.word[..letters], &mut cuts);
        for (sound, _) in &cuts[..cut] {
            at.hear(self.sounds, *sound);
        }
        if cut == 0 { self.spell(at, letters) } else { at }
    }

    /// The first letters of the word, each by itself.
    fn spell(&self, mut at: Place, letters: usize) -> Place {
        for letter in &self.word[..letters] {
            at.hear(self.sounds, Sound::from(letter - (b'a' - 1)));
        }
        at
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

    /// The three runs in a row that are rarest together, by the counts of their pairs, then by
    /// those of each symbol; none if there are only two.
    fn rarest_symbols(&self, row: &[(Symbol, u32)]) -> Option<[Symbol; 3]> {
        let one = |symbol| u64::from(self.symbols.get(&symbol).copied().unwrap_or(0)) + 1;
        let two = |pair| u64::from(self.pairs.get(&pair).copied().unwrap_or(0)) + 1;
        let triples = row.windows(3).map(|three| [three[0].0, three[1].0, three[2].0]);
        triples.min_by_key(|[a, b, c]| (two((*a, *b)) * two((*b, *c)), one(*a) * one(*b) * one(*c)))
    }

    /// The three sounds of a row that are rarest together, by the counts of their pairs, then by
    /// those of each; none if it has only two.
    fn rarest_sounds(&self, row: &[Sound]) -> Option<[Sound; 3]> {
        let one = |sound| u64::from(self.sounds.get(&sound).copied().unwrap_or(0)) + 1;
        let two = |pair| u64::from(self.sound_pairs.get(&pair).copied().unwrap_or(0)) + 1;
        let triples = row.windows(3).map(|three| [three[0], three[1], three[2]]);
        triples.min_by_key(|[a, b, c]| (two((*a, *b)) * two((*b, *c)), one(*a) * one(*b) * one(*c)))
    }
}
