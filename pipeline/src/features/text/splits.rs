//! Characters taken apart: 贝者 for 赌, 木仓 for 枪. They stand in `splits.txt`.
//!
//! A text that holds the pieces of a character of some phrase is read a second time with the pieces
//! put together. Compiling every way to write each phrase instead would make the automaton six
//! times as large.

use hashbrown::HashMap;

use super::normalise::{Normaliser, SKIP, Symbol};
use super::runs::{Class, Edge, Run, read_runs};

/// The most characters that the same pieces can be put together to: 口贝 is 员 and 呗.
const READINGS_MAX: usize = 3;

/// Pieces are ideographs of the basic plane.
const SYMBOLS: usize = 0x1_0000;

/// Puts pieces together again.
pub(super) struct Joiner {
    /// By the first piece: all pieces and what they make, the longest first.
    by_first: HashMap<Symbol, Vec<Join>>,
    /// A bit for each symbol that is a first piece.
    firsts: Vec<u64>,
}

struct Join {
    /// The pieces as runs.
    pieces: Vec<(Symbol, u32)>,
    wholes: Vec<Symbol>,
}

/// A run of a text in which pieces are put together, and the runs of the text that it stands for.
#[derive(Clone)]
pub(super) struct JoinedRun {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) joined: bool,
}

impl Joiner {
    /// For the characters for which `sought` says yes.
    pub(super) fn new(table: &Normaliser, sought: impl Fn(Symbol) -> bool) -> Joiner {
        let mut by_first: HashMap<Symbol, Vec<Join>> = HashMap::new();
        let mut runs = Vec::new();
        let mut read = |text: &str| -> Vec<(Symbol, u32)> {
            read_runs(table, text, &mut runs);
            runs.iter().map(|run| (run.symbol, run.start.length)).collect()
        };
        for (whole, ways) in splits() {
            let whole = read(whole).first().map_or(SKIP, |run| run.0);
            if !sought(whole) {
                continue;
            }
            for way in ways {
                let pieces = read(way);
                // A piece without a symbol of its own, such as a stroke, is skipped in texts too.
                if pieces.iter().map(|run| run.1).sum::<u32>() < 2 {
                    continue;
                }
                let joins = by_first.entry(pieces[0].0).or_default();
                match joins.iter_mut().find(|join| join.pieces == pieces) {
                    Some(join) if join.wholes.len() == READINGS_MAX => {}
                    Some(join) if join.wholes.contains(&whole) => {}
                    Some(join) => join.wholes.push(whole),
                    None => joins.push(Join { pieces, wholes: vec![whole] }),
                }
            }
        }
        for joins in by_first.values_mut() {
            joins.sort_by(|a, b| {
                b.pieces.len().cmp(&a.pieces.len()).then_with(|| a.pieces.cmp(&b.pieces))
            });
        }
        let mut firsts = vec![0; SYMBOLS / 64];
        for symbol in by_first.keys().map(|symbol| *symbol as usize) {
            if let Some(word) = firsts.get_mut(symbol / 64) {
                *word |= 1 << (symbol % 64);
            }
        }
        Joiner { by_first, firsts }
    }

    /// For each character that can be put together, two adjacent pieces of it, or one piece twice.
    pub(super) fn pairs(&self) -> Vec<(Symbol, Symbol)> {
        let joins = self.by_first.values().flatten();
        let mut pairs: Vec<_> = joins
            .map(|join| match join.pieces[..] {
                [(only, _)] => (only, only),
                [(first, _), (second, _), ..] => (first, second),
                [] => (SKIP, SKIP),
            })
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// Reads `runs` from left to right, putting together what can be, the most pieces first; where
    /// pieces can make several characters, the one at `reading`. What is put together is one run with
    /// equal neighbours: 日寸日寸 and 日寸时 are 时时. Returns how many readings there are: 0 if
    /// nothing can be put together.
    pub(super) fn join(
        &self,
        runs: &[Run],
        reading: usize,
        joined: &mut Vec<Run>,
        places: &mut Vec<JoinedRun>,
    ) -> usize {
        joined.clear();
        places.clear();
        let may_begin = |at: usize| self.join_at(&runs[at..]).is_some();
        if !(0..runs.len()).any(may_begin) {
            return 0;
        }
        let mut readings = 0;
        let mut at = 0;
        while let Some(run) = runs.get(at) {
            let join = self.join_at(&runs[at..]);
            let (run, length) = match join {
                Some(join) => {
                    readings = readings.max(join.wholes.len());
                    let symbol = join.wholes[reading.min(join.wholes.len() - 1)];
                    let tail = &runs[at + join.pieces.len() - 1];
                    let whole = |edge: Edge| Edge { length: 1, class: Class::Other, ..edge };
                    let (start, end) = (whole(run.start), whole(tail.end));
                    (Run { symbol, start, end, inner: None }, join.pieces.len())
                }
                None => (run.clone(), 1),
            };
            let last = (at + length - 1) as u32;
            let place = JoinedRun { first: at as u32, last, joined: join.is_some() };
            at += length;
            match joined.last_mut().zip(places.last_mut()) {
                Some((before, place_before))
                    if before.symbol == run.symbol && (place_before.joined || place.joined) =>
                {
                    let length = before.start.length + run.start.length;
                    before.start.length = length;
                    before.end = Edge { length, ..run.end };
                    before.inner = None;
                    *place_before = JoinedRun { last, joined: true, ..*place_before };
                }
                _ => {
                    joined.push(run);
                    places.push(place);
                }
            }
        }
        readings
    }

    /// What the first of `runs` can be put together to, the most pieces first.
    fn join_at(&self, runs: &[Run]) -> Option<&Join> {
        let symbol = runs.first()?.symbol;
        let (word, bit) = (symbol as usize / 64, 1 << (symbol % 64));
        if self.firsts.get(word).is_none_or(|word| word & bit == 0) {
            return None;
        }
        let fits = |join: &&Join| {
            let here = runs.iter().map(|run| (run.symbol, run.start.length));
            join.pieces.len() <= runs.len()
                && here.zip(&join.pieces).all(|(here, piece)| here == *piece)
        };
        self.by_first.get(&symbol)?.iter().find(fits)
    }
}

/// The characters of the table, and the ways to take each apart.
fn splits() -> impl Iterator<Item = (&'static str, std::str::Split<'static, char>)> {
    let lines = include_str!("splits.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(whole, ways)| (whole, ways.split(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_characters_apart() {
        let mut runs = Vec::new();
        let mut seen = Vec::new();
        for (whole, ways) in splits() {
            assert!(whole.chars().count() == 1 && !seen.contains(&whole), "{whole}");
            seen.push(whole);
            for way in ways {
                assert!(way.chars().count() >= 2, "{whole} {way}");
                assert!(!way.contains(whole), "{whole} {way}");
                read_runs(Normaliser::get(), way, &mut runs);
                assert!(!runs.is_empty(), "{whole} {way}");
            }
        }
        assert!(seen.len() > 400, "{}", seen.len());
    }
}
