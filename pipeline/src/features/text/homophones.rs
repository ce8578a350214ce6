//! The channel of sound: what a text spells with characters that only sound the same.
//!
//! A text is read as a row of syllables: of its ideographs and digits, of pinyin in Latin letters,
//! of pictures with a name. A second automaton finds the syllables of phrases in it. What is
//! spelt with the phrase's own symbols throughout is no business of this channel.

use super::confusables::is_invisible;
use super::entry::{Entry, Spelling};
use super::gate::{Background, SoundGate};
use super::grade::Grade;
use super::normalise::{Expansion, Normaliser, SKIP, Symbol};
use super::patterns::Patterns;
use super::runs::Class;
use super::sound::{FOREIGN, SILENT, Sound, Syllables, WORD_LETTERS_MAX, is_letter};

/// The most rows of syllables of one phrase. A phrase of three characters that each have two
/// everyday readings has eight.
const SOUNDS_PER_PHRASE_MAX: usize = 8;

/// The phrases that are searched for by sound.
pub(super) struct Homophones {
    /// Their syllables.
    patterns: Patterns,
    pub(super) gate: SoundGate,
}

/// A syllable, or a letter or symbol that is none, and where in the text it stands.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    sound: Sound,
    /// What it is read from; [`SKIP`] for pinyin and pictures.
    symbol: Symbol,
    /// The first character of the original, and the one after the last.
    start: u32,
    end: u32,
    class: Class,
    /// Whether ink stands between it and the unit before.
    apart: bool,
}

/// Memory that scans reuse.
#[derive(Default)]
pub(super) struct SoundScratch {
    units: Vec<Unit>,
    letters: Vec<Unit>,
    word: Vec<u8>,
    sounds: String,
    /// The unit of each byte of `sounds`.
    unit_at: Vec<u32>,
    /// What was found.
    pub(super) heard: Vec<(u32, Spelling)>,
}

impl Homophones {
    /// The phrases among `entries` that accept a spelling by sound.
    pub(super) fn new(entries: &[Entry], background: &Background) -> Homophones {
        let mut rows: Vec<(Vec<Sound>, u32)> = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            if entry.category.is_some() && entry.grades.by_sound() {
                let own = rows_of_sounds(&entry.symbols());
                rows.extend(own.into_iter().map(|sounds| (sounds, at as u32)));
            }
        }
        let text = |sounds: &[Sound]| sounds.iter().map(|sound| encoded(*sound)).collect();
        let patterns = Patterns::new(rows.iter().map(|(sounds, entry)| (text(sounds), *entry)));
        let mut rows: Vec<Vec<Sound>> = rows.into_iter().map(|(sounds, _)| sounds).collect();
        rows.sort_unstable();
        rows.dedup();
        Homophones { patterns, gate: SoundGate::new(&rows, background) }
    }

    /// Calls `found` with each entry that `text` spells by sound, and how.
    pub(super) fn find(
        &self,
        table: &Normaliser,
        entries: &[Entry],
        text: &str,
        scratch: &mut SoundScratch,
        mut found: impl FnMut(u32, Spelling),
    ) {
        if self.patterns.is_empty() {
            return;
        }
        read_units(table, text, scratch);
        let SoundScratch { units, sounds, unit_at, .. } = scratch;
        sounds.clear();
        unit_at.clear();
        for (at, unit) in units.iter().enumerate() {
            sounds.push(encoded(unit.sound));
            unit_at.resize(sounds.len(), at as u32);
        }
        for (first, last, spelt) in self.patterns.find(sounds) {
            let (first, last) = (unit_at[first] as usize, unit_at[last] as usize);
            for &entry in spelt {
                if let Some(spelling) = verify(&entries[entry as usize], units, first, last) {
                    found(entry, spelling);
                }
            }
        }
    }
}

/// How the units from `first` to `last`, which sound like `entry`, spell it; none if they do not,
/// or with its own symbols only.
fn verify(entry: &Entry, units: &[Unit], first: usize, last: usize) -> Option<Spelling> {
    let own = entry.runs.iter().flat_map(|run| std::iter::repeat_n(run.0, run.1 as usize));
    let spelt = units[first..=last].iter().zip(own);
    let grade = match spelt.filter(|(unit, own)| unit.symbol != *own).count() {
        0 => return None,
        1 => Grade::Homophone,
        _ => Grade::Homophones,
    };
    let joined = |left: usize, right: usize| {
        let (Some(a), Some(b)) = (units.get(left), units.get(right)) else { return false };
        !b.apart && entry.joins(a.class, b.class)
    };
    if !entry.grades.contains(grade)
        || first > 0 && joined(first - 1, first)
        || joined(last, last + 1)
    {
        return None;
    }
    Some(Spelling { start: units[first].start, end: units[last].end, grade })
}

/// The sounds of a phrase: in the everyday readings first, then with each second reading alone,
/// then together. None if a symbol of it has no sound.
fn rows_of_sounds(symbols: &[Symbol]) -> Vec<Vec<Sound>> {
    let syllables = Syllables::get();
    let first: Vec<Sound> = symbols.iter().map(|symbol| syllables.of(*symbol)).collect();
    if first.contains(&FOREIGN) || first.contains(&SILENT) || first.len() < 2 {
        return Vec::new();
    }
    let second: Vec<(usize, Sound)> = (symbols.iter().enumerate())
        .filter_map(|(at, symbol)| Some((at, syllables.second(*symbol)?)))
        .collect();
    let mut rows = vec![first];
    let mut done = 0;
    while done < rows.len() && rows.len() < SOUNDS_PER_PHRASE_MAX {
        for (at, sound) in &second {
            let mut row = rows[done].clone();
            row[*at] = *sound;
            if rows.len() < SOUNDS_PER_PHRASE_MAX && !rows.contains(&row) {
                rows.push(row);
            }
        }
        done += 1;
    }
    rows
}

/// How many sounds a phrase has, letters by themselves included: they cannot be played on, so they
/// tie a phrase down as well as a syllable does.
pub(super) fn count_sounds(symbols: impl Iterator<Item = Symbol>) -> usize {
    let syllables = Syllables::get();
    symbols.filter(|symbol| !matches!(syllables.of(*symbol), SILENT | FOREIGN)).count()
}

/// A sound as a character of two bytes, so that a pattern cannot begin in the middle of another.
fn encoded(sound: Sound) -> char {
    const TWO_BYTES_FROM: u32 = 0x80;
    char::from_u32(TWO_BYTES_FROM + u32::from(sound)).unwrap_or('\u{7FF}')
}

/// Reads `text` into units, pinyin as syllables.
fn read_units(table: &Normaliser, text: &str, scratch: &mut SoundScratch) {
    let SoundScratch { units, letters, word, .. } = scratch;
    let mut cuts = [(SILENT, 0); WORD_LETTERS_MAX];
    read_letters(table, text, letters);
    units.clear();
    let mut at = 0;
    while at < letters.len() {
        // The halves of flags sound like letters and are part of no word.
        let is_word = |unit: &Unit| is_letter(unit.sound) && unit.symbol != SKIP;
        let mut end = at + 1;
        if is_word(&letters[at]) {
            while letters.get(end).is_some_and(|unit| is_word(unit) && !unit.apart) {
                end += 1;
            }
            word.clear();
            word.extend(letters[at..end].iter().map(|unit| b'a' - 1 + unit.sound as u8));
            let cut = Syllables::get().cut_into(word, &mut cuts);
            for &(sound, length) in &cuts[..cut] {
                let length = usize::from(length);
                let (head, tail) = (letters[at], letters[at + length - 1]);
                let class = Class::Other;
                units.push(Unit { sound, symbol: SKIP, end: tail.end, class, ..head });
                at += length;
            }
        }
        units.extend_from_slice(&letters[at..end]);
        at = end;
    }
}

/// Reads `text` into units, each Latin letter by itself.
fn read_letters(table: &Normaliser, text: &str, units: &mut Vec<Unit>) {
    units.clear();
    let mut apart = false;
    for (place, c) in text.chars().enumerate() {
        let start = place as u32;
        let mut push = |sound, symbol, class| {
            let apart = std::mem::take(&mut apart);
            units.push(Unit { sound, symbol, start, end: start + 1, class, apart });
        };
        let code = table.code(c);
        match code.simple() {
            Some((SKIP, _)) => apart |= !is_invisible(c),
            Some((symbol, sound)) => push(sound, symbol, Class::of(c, symbol)),
            None => match table.expand(code) {
                Expansion::Symbols(symbols) => {
                    for &symbol in symbols {
                        push(table.sound(symbol), symbol, Class::of(c, symbol));
                    }
                }
                Expansion::Picture(sounds) => {
                    for &sound in sounds {
                        push(sound, SKIP, Class::Other);
                    }
                }
            },
        }
    }
}
