//! A text as runs of equal symbols, each with its place in the original.
//!
//! Runs keep their length: 扫扫雷 is read as 扫雷 with a longer first run, but 牛牛 needs a run of
//! two and is not found in 牛.

use std::ops::Range;

use super::confusables::is_invisible;
use super::normalise::{Normaliser, Reading, SKIP, Symbol};

/// Whether a character of the original is a Latin letter, a digit or something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Letter,
    Digit,
    Other,
}

impl Class {
    /// Han numerals are read as digits but are words like any other: no boundary is asked of them.
    fn of(original: char, symbol: Symbol) -> Class {
        let han = matches!(original, '\u{3000}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}');
        match char::from_u32(symbol) {
            Some('a'..='z') => Class::Letter,
            Some('0'..='9') if !han => Class::Digit,
            _ => Class::Other,
        }
    }
}

/// Equal symbols in a row, with nothing between them but skipped characters.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) symbol: Symbol,
    pub(super) length: u32,
    /// From the first to the last character of the run, in bytes of the original.
    pub(super) bytes: Range<u32>,
    /// The same in characters.
    pub(super) chars: Range<u32>,
    /// Characters that were skipped in the text up to the start and up to the end of the run.
    pub(super) skipped: Range<u32>,
    /// Whether ink of a skipped character stands between the run before and this one.
    pub(super) apart: bool,
    /// The class of the first and of the last character.
    pub(super) head: Class,
    pub(super) tail: Class,
}

/// Reads `text` into `runs`, whose old content is dropped.
pub(super) fn read_runs(table: &Normaliser, text: &str, runs: &mut Vec<Run>) {
    runs.clear();
    let mut reader = RunReader { runs, skipped: 0, apart: true };
    for (char_at, (byte_at, c)) in text.char_indices().enumerate() {
        let place = Place { byte_at: byte_at as u32, char_at: char_at as u32, c };
        match table.read(c) {
            Reading::One(SKIP) => {
                reader.skipped += 1;
                reader.apart |= !is_invisible(c);
            }
            Reading::One(symbol) => reader.push(symbol, place),
            Reading::Many(symbols) => {
                for &symbol in symbols {
                    reader.push(symbol, place);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Place {
    byte_at: u32,
    char_at: u32,
    c: char,
}

struct RunReader<'r> {
    runs: &'r mut Vec<Run>,
    skipped: u32,
    apart: bool,
}

impl RunReader<'_> {
    fn push(&mut self, symbol: Symbol, place: Place) {
        let class = Class::of(place.c, symbol);
        let byte_end = place.byte_at + place.c.len_utf8() as u32;
        match self.runs.last_mut() {
            Some(last) if last.symbol == symbol => {
                last.length += 1;
                last.bytes.end = byte_end;
                last.chars.end = place.char_at + 1;
                last.skipped.end = self.skipped;
                last.tail = class;
            }
            _ => self.runs.push(Run {
                symbol,
                length: 1,
                bytes: place.byte_at..byte_end,
                chars: place.char_at..place.char_at + 1,
                skipped: self.skipped..self.skipped,
                apart: self.apart,
                head: class,
                tail: class,
            }),
        }
        self.apart = false;
    }
}
