//! The character table: what each character of a text is read as.
//!
//! One lookup does the work of NFKC, lower case, traditional to simplified, numerals, enclosed
//! forms and look-alikes. The table is built once in a process; matching a text then costs one
//! load a character and no allocation.

use std::sync::LazyLock;

use ferrous_opencc::OpenCC;
use ferrous_opencc::config::BuiltinConfig;
use hashbrown::HashMap;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use super::confusables::{
    DECIMAL_ZEROS, DECORATION, ENCLOSED_LETTERS, ENCLOSED_NUMBERS, FOLDS, is_invisible,
};
use super::sound::{FOREIGN, SOUNDS_MAX, Sound, Syllables};

/// A normalised character, as its code point. Zero stands for a character that is skipped.
pub(super) type Symbol = u32;

/// What a skipped character is read as: punctuation, spaces, marks, pictures.
pub(super) const SKIP: Symbol = 0;

/// The low bits of a code hold a symbol; the bits above, its sound.
const SYMBOL_BITS: u32 = 21;
const SYMBOL_MASK: u32 = (1 << SYMBOL_BITS) - 1;

/// Symbols from here on are places in [`Normaliser::expansions`] and not symbols.
const EXPANSION: u32 = 0x11_0000;

/// Sounds from here on are places in [`Normaliser::pictures`] and not sounds.
const PICTURE: u32 = SOUNDS_MAX as u32;

/// The end of the flat part of the table. Beyond it are rare ideographs, which stay as they are,
/// compatibility ideographs and tags.
const FLAT_END: u32 = 0x2_0000;

/// The ideographs that have simplified forms, all of them below [`FLAT_END`].
const IDEOGRAPHS: std::ops::RangeInclusive<char> = '\u{3400}'..='\u{9FFF}';

/// The character table.
pub(super) struct Normaliser {
    flat: Box<[u32]>,
    /// Compatibility ideographs beyond the flat part, in order of the character.
    beyond: Box<[(char, u32)]>,
    /// Characters that are read as several symbols, such as ⒦, ⑫ and ㍿.
    expansions: Vec<Box<[Symbol]>>,
    /// The sounds of the characters that are skipped and yet have sounds.
    pictures: Vec<Box<[Sound]>>,
    syllables: &'static Syllables,
}

impl Normaliser {
    /// The one table of this process, built by the first caller.
    pub(super) fn get() -> &'static Normaliser {
        static TABLE: LazyLock<Normaliser> = LazyLock::new(Normaliser::build);
        &TABLE
    }

    /// What `c` is read as, and its sound.
    #[inline]
    pub(super) fn code(&self, c: char) -> Code {
        Code(match self.flat.get(c as usize) {
            Some(&code) => code,
            None => self.read_beyond(c),
        })
    }

    /// The single symbol that `c` is read as, [`SKIP`], or the symbols of an expansion.
    #[inline]
    pub(super) fn read(&self, c: char) -> Reading<'_> {
        let symbol = self.code(c).0 & SYMBOL_MASK;
        if symbol < EXPANSION {
            Reading::One(symbol)
        } else {
            Reading::Many(&self.expansions[(symbol - EXPANSION) as usize])
        }
    }

    /// What a code that is not [`Code::simple`] stands for: symbols, or the sounds of a picture.
    #[cold]
    pub(super) fn expand(&self, code: Code) -> Expansion<'_> {
        let symbol = code.0 & SYMBOL_MASK;
        if symbol >= EXPANSION {
            Expansion::Symbols(&self.expansions[(symbol - EXPANSION) as usize])
        } else {
            let place = (code.0 >> SYMBOL_BITS) - PICTURE;
            Expansion::Picture(&self.pictures[place as usize])
        }
    }

    /// The sound of a symbol.
    pub(super) fn sound(&self, symbol: Symbol) -> Sound {
        self.syllables.of(symbol)
    }

    #[cold]
    fn read_beyond(&self, c: char) -> u32 {
        match self.beyond.binary_search_by_key(&c, |entry| entry.0) {
            Ok(place) => self.beyond[place].1,
            Err(_) if c.is_alphanumeric() => c as u32 | u32::from(FOREIGN) << SYMBOL_BITS,
            Err(_) => SKIP,
        }
    }

    fn build() -> Normaliser {
        let folds = Folds::new();
        let syllables = Syllables::get();
        let (mut expansions, mut pictures) = (Vec::new(), Vec::new());
        let (mut form, mut symbols) = (Vec::new(), Vec::new());
        let mut code_of = |c: char| {
            folds.symbols(c, &mut form, &mut symbols);
            match symbols[..] {
                [] => match folds.pictures.get(&c) {
                    Some(names) => {
                        let names = names.split(' ').map(|name| syllables.named(name));
                        pictures.push(names.collect());
                        (PICTURE + (pictures.len() - 1) as u32) << SYMBOL_BITS
                    }
                    None => SKIP,
                },
                [one] => {
                    // Some simplified forms are so rare that only the traditional one has a
                    // reading.
                    let sound = match syllables.of(one) {
                        FOREIGN if one != c as Symbol => syllables.of(c as Symbol),
                        sound => sound,
                    };
                    one | u32::from(sound) << SYMBOL_BITS
                }
                _ => {
                    expansions.push(symbols.as_slice().into());
                    EXPANSION + (expansions.len() - 1) as u32
                }
            }
        };
        let flat = (0..FLAT_END).map(|code| char::from_u32(code).map_or(SKIP, &mut code_of));
        let flat = flat.collect();
        let compatibility = '\u{2F800}'..='\u{2FA1F}';
        let beyond = compatibility.map(|c| (c, code_of(c))).collect();
        Normaliser { flat, beyond, expansions, pictures, syllables }
    }
}

/// A symbol and its sound, as the table holds them.
#[derive(Clone, Copy)]
pub(super) struct Code(u32);

impl Code {
    /// The symbol and its sound, of a code that stands for one symbol or for none.
    #[inline]
    pub(super) fn simple(self) -> Option<(Symbol, Sound)> {
        let (symbol, sound) = (self.0 & SYMBOL_MASK, self.0 >> SYMBOL_BITS);
        (symbol < EXPANSION && sound < PICTURE).then_some((symbol, sound as Sound))
    }
}

/// What a code stands for that is not one symbol.
pub(super) enum Expansion<'t> {
    /// Several symbols.
    Symbols(&'t [Symbol]),
    /// A skipped character with sounds.
    Picture(&'t [Sound]),
}

/// What one character is read as.
pub(super) enum Reading<'t> {
    /// One symbol, or [`SKIP`].
    One(Symbol),
    /// Two symbols or more.
    Many(&'t [Symbol]),
}

/// The single steps of the fold, needed only while the table is built.
struct Folds {
    pictures: HashMap<char, &'static str>,
    own: HashMap<char, char>,
    numbers: HashMap<char, u32>,
    simplified: HashMap<char, char>,
}

impl Folds {
    fn new() -> Folds {
        let mut own = HashMap::new();
        for &(target, sources) in FOLDS {
            own.extend(sources.chars().map(|source| (source, target)));
        }
        for &first in ENCLOSED_LETTERS {
            let letters = ('a'..='z').zip(first..);
            own.extend(letters.filter_map(|(letter, code)| Some((char::from_u32(code)?, letter))));
        }
        for &zero in DECIMAL_ZEROS {
            own.extend(('0'..='9').zip(zero..).map(|(digit, c)| (c, digit)));
        }
        let mut numbers = HashMap::new();
        for &(first, from, to) in ENCLOSED_NUMBERS {
            let enclosed = (from..=to).zip(first..);
            numbers.extend(enclosed.filter_map(|(n, code)| Some((char::from_u32(code)?, n))));
        }
        let pictures = include_str!("pictures.txt").lines().filter(|line| !line.starts_with('#'));
        let pictures = pictures
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(picture, names)| Some((picture.chars().next()?, names)))
            .collect();
        Folds { pictures, own, numbers, simplified: simplified_forms() }
    }

    /// The symbols of one character: none if it is skipped. `form` is memory that is used again, for
    /// this is asked of each character there is.
    fn symbols(&self, c: char, form: &mut Vec<char>, symbols: &mut Vec<Symbol>) {
        symbols.clear();
        if is_invisible(c) || DECORATION.contains(&c) || self.pictures.contains_key(&c) {
            return;
        }
        if let Some(number) = self.numbers.get(&c) {
            symbols.extend(number.to_string().chars().map(|digit| digit as u32));
            return;
        }
        if self.own.contains_key(&c) || IDEOGRAPHS.contains(&c) {
            symbols.extend(self.single(c));
            return;
        }
        compatible(c, form);
        // Most characters: no letters, so that they have no lower case and are skipped.
        if form[..] == [c] && !c.is_alphanumeric() {
            return;
        }
        let lower = form.iter().flat_map(|c| c.to_lowercase());
        symbols.extend(lower.filter_map(|c| self.single(c)));
    }

    /// The symbol of a lower-case character that NFKC leaves alone.
    fn single(&self, c: char) -> Option<Symbol> {
        let step = |c: char| {
            let c = self.own.get(&c).copied().unwrap_or(c);
            self.simplified.get(&c).copied().unwrap_or(c)
        };
        // Two simplifications can follow each other (薴 to 苧 to 苎), and a look-alike two.
        let mut c = c;
        for _ in 0..3 {
            let next = step(c);
            if next == c {
                break;
            }
            c = next;
        }
        let kept = c.is_alphanumeric() && !DECORATION.contains(&c) && !is_invisible(c);
        kept.then_some(c as Symbol)
    }
}

/// Puts the compatibility form of a character into `form`; a Latin letter also loses its accents.
fn compatible(c: char, form: &mut Vec<char>) {
    form.clear();
    unicode_normalization::char::decompose_compatible(c, |part| {
        if !unicode_normalization::char::is_combining_mark(part) {
            form.push(part);
        }
    });
    // Most characters stand for themselves.
    if form.iter().all(char::is_ascii) && !form.is_empty() || form[..] == [c] {
        return;
    }
    form.clear();
    if is_nfkc_quick(std::iter::once(c)) == IsNormalized::Yes {
        form.push(c);
    } else {
        form.extend(std::iter::once(c).nfkc());
    }
}

/// The simplified form of every ideograph that has another one.
///
/// One conversion of all of them, a line each, so that OpenCC's phrases (which span characters)
/// cannot apply: a table by character must not depend on its neighbours.
fn simplified_forms() -> HashMap<char, char> {
    let converter = OpenCC::from_config(BuiltinConfig::T2s)
        .expect("the t2s configuration is compiled into ferrous-opencc");
    let lines: String = IDEOGRAPHS.flat_map(|c| [c, '\n']).collect();
    let converted = converter.convert(&lines);
    let pairs = IDEOGRAPHS.zip(converted.lines()).filter_map(|(c, line)| {
        let mut simplified = line.chars();
        match (simplified.next(), simplified.next()) {
            (Some(simple), None) if simple != c => Some((c, simple)),
            _ => None,
        }
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut out = String::new();
        for c in text.chars() {
            match Normaliser::get().read(c) {
                Reading::One(SKIP) => {}
                Reading::One(symbol) => out.extend(char::from_u32(symbol)),
                Reading::Many(symbols) => {
                    out.extend(symbols.iter().filter_map(|symbol| char::from_u32(*symbol)));
                }
            }
        }
        out
    }

    #[test]
    fn characters_are_read_as() {
        let rows = [
            ("ABC xyz", "abcxyz"),
            ("ＡＢＣ１２３", "abc123"),
            ("ⒶⓤⒸ🅥🆇🄰⒦", "aucvxak"),
            ("𝐐𝐐 ᵛˣ Ⅴ ㏂", "qqvxvam"),
            ("é ñ ü v̈ x̿", "enuvx"),
            ("аррӏе νχ ᑫᑫ զզ ǫǫ", "applevxqqqqqq"),
            ("9⓿二肆⁹₈③⑸⒋➃㈤㊄❶➀⓵", "902498354455111"),
            ("⑩⑳⓫", "102011"),
            ("壹贰叁肆伍陆柒捌玖零", "1234567890"),
            ("貳陸", "26"),
            ("٣۴३๗", "3437"),
            ("iчろらヿϭ𝟾", "i435768"),
            ("1️⃣2️⃣", "12"),
            ("紅包掃雷羣", "红包扫雷群"),
            ("丅汾 曰 硪 嶶信", "下汾日我微信"),
            ("微\u{200b}信\u{feff}·*❤💰、，红\u{ad}包", "微信红包"),
            ("加丶微丨信", "加微信"),
            ("加🇨🇳微™信 №1 30℃ ㊗ℹ️", "加微信130"),
            ("躺著 躺着", "躺着躺着"),
            ("⽜⾦", "牛金"),
            ("㍿", "株式会社"),
            ("日本語カタカナ 한국어", "日本语カタカナ한국어"),
        ];
        for (text, expected) in rows {
            assert_eq!(folded(text), expected, "{text:?}");
        }
    }

    /// What the table rests on where it does not ask for the lower case.
    #[test]
    fn only_letters_and_numbers_have_a_lower_case() {
        for c in ('\0'..=char::MAX).filter(|c| !c.is_alphanumeric()) {
            assert!(c.to_lowercase().eq([c]), "{c:?}");
        }
    }

    #[test]
    fn a_fold_is_final() {
        for c in '\0'..=char::MAX {
            let once = folded(&c.to_string());
            assert_eq!(folded(&once), once, "{c:?}");
        }
    }

    #[test]
    fn ideographs_follow_opencc() {
        let converter = OpenCC::from_config(BuiltinConfig::T2s).unwrap();
        let own: String = FOLDS.iter().map(|fold| fold.1).collect();
        for c in IDEOGRAPHS.step_by(7) {
            // Twice: 薴 becomes 苧, which becomes 苎.
            let simple = converter.convert(&converter.convert(&c.to_string()));
            let ours = own.contains(c) || own.contains(&simple) || DECORATION.contains(&c);
            if !ours && simple.chars().count() == 1 && c.is_alphanumeric() {
                assert_eq!(folded(&c.to_string()), simple, "{c}");
            }
        }
    }
}
