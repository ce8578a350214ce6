//! A text as runs of equal symbols, each with its place in the original.
//!
//! Runs keep their length: 扫扫雷 is read as 扫雷 with a longer first run, but 牛牛 needs a run of
//! two and is not found in 牛.

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
    pub(super) fn of(original: char, symbol: Symbol) -> Class {
        let han = matches!(original, '\u{3000}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}');
        match char::from_u32(symbol) {
            Some('a'..='z') => Class::Letter,
            Some('0'..='9') if !han => Class::Digit,
            _ => Class::Other,
        }
    }
}

/// A place between two characters of the original.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) byte: u32,
    pub(super) char: u32,
    /// How many characters before it are skipped.
    pub(super) skipped: u32,
}

/// Where a hit can begin or end in a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) mark: Mark,
    /// How many symbols of the run lie on the hit's side.
    pub(super) length: u32,
    /// The class of the outermost of them.
    pub(super) class: Class,
    /// Whether ink of a skipped character stands outside of it.
    pub(super) apart: bool,
}

/// Equal symbols in a row, with nothing between them but skipped characters.
///
/// Ink inside a run, such as the space in `dev vx`, may or may not be part of a disguise, so a hit
/// can also begin after the last ink of its first run and end before the first ink of its last.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) symbol: Symbol,
    /// The whole run: its first symbol and its last.
    pub(super) start: Edge,
    pub(super) end: Edge,
    /// The start after the last ink inside, and the end before the first; none without ink.
    pub(super) inner: Option<(Edge, Edge)>,
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
        let Place { byte_at, char_at, c } = place;
        let (class, skipped) = (Class::of(c, symbol), self.skipped);
        let before = Mark { byte: byte_at, char: char_at, skipped };
        let after = Mark { byte: byte_at + c.len_utf8() as u32, char: char_at + 1, skipped };
        let apart = std::mem::replace(&mut self.apart, false);
        let start = Edge { mark: before, length: 1, class, apart };
        let end = Edge { mark: after, length: 1, class, apart: false };
        match self.runs.last_mut() {
            Some(run) if run.symbol == symbol => {
                let whole_before = run.end;
                run.start.length += 1;
                run.end = Edge { length: run.start.length, ..end };
                match &mut run.inner {
                    Some((inner_start, _)) if apart => *inner_start = start,
                    Some((inner_start, _)) => inner_start.length += 1,
                    None if apart => {
                        run.inner = Some((start, Edge { apart: true, ..whole_before }));
                    }
                    None => {}
                }
            }
            last => {
                // The run before ends here, at ink or at the character of this one.
                if let Some(run) = last {
                    run.end.apart = apart;
                }
                self.runs.push(Run { symbol, start, end, inner: None });
            }
        }
    }
}
