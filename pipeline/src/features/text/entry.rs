//! A phrase of the lexicon, and whether a stretch of a text spells it.

use super::grade::{Grade, Grades};
use super::normalise::Symbol;
use super::phrases::Boundary;
use super::runs::{Class, Edge, Run};

/// A phrase, an allow-phrase, or a part of a phrase.
pub(super) struct Entry {
    /// As written in its file.
    pub(super) text: String,
    /// The place of its category; none for an allow-phrase.
    pub(super) category: Option<u16>,
    pub(super) weight: u32,
    pub(super) grades: Grades,
    pub(super) boundary: Boundary,
    /// The symbol and the length of each of its runs; none if it consists of parts.
    pub(super) runs: Vec<(Symbol, u32)>,
    /// The part of `text` between its first and its last kept character.
    pub(super) core: String,
    /// How many characters of `core` are skipped.
    pub(super) skipped: u32,
    /// What must all stand in a text, in any order; none if it is one piece.
    pub(super) parts: Vec<Entry>,
}

/// One way to write an entry.
pub(super) struct Form {
    pub(super) entry: u32,
    pub(super) runs: Vec<(Symbol, u32)>,
    /// Whether one of its symbols is a look-alike of the entry's own.
    pub(super) lookalike: bool,
}

/// Where in the original text an entry stands, in characters, and how it is spelt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spelling {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) grade: Grade,
}

impl Entry {
    /// How the runs from `first` to `last`, whose symbols are those of `form`, spell it, and where;
    /// none if they do not. `split` says whether one of the runs is put together from pieces.
    pub(super) fn verify(
        &self,
        form: &Form,
        text: &str,
        runs: &[Run],
        (first, last): (usize, usize),
        split: bool,
    ) -> Option<Spelling> {
        let fits = |at: usize, have: u32| {
            let (symbol, length) = form.runs[at];
            // 188 is not a drawn-out 18.
            let digit = (u32::from('0')..=u32::from('9')).contains(&symbol);
            have == length || have > length && !digit
        };
        let middle = first + 1..last.max(first + 1);
        if !middle.into_iter().all(|at| fits(at - first, runs[at].start.length)) {
            return None;
        }
        let before = first.checked_sub(1).map(|at| runs[at].end.class);
        let after = runs.get(last + 1).map(|run| run.start.class);
        let free = |edge: &Edge, beside: Option<Class>| {
            edge.apart || !beside.is_some_and(|beside| self.joins(edge.class, beside))
        };
        let (head, tail) = (&runs[first], &runs[last]);
        let (start, end) = if first == last {
            // Nearest first: what follows the last ink, what precedes the first, the whole.
            let inner = head.inner.iter().flat_map(|(start, end)| {
                [(*start, Edge { length: start.length, ..head.end }), (head.start, *end)]
            });
            let mut choices = inner.chain([(head.start, head.end)]);
            choices.find(|(start, end)| {
                fits(0, end.length) && free(start, before) && free(end, after)
            })?
        } else {
            let starts = head.inner.map(|inner| inner.0).into_iter().chain([head.start]);
            let ends = tail.inner.map(|inner| inner.1).into_iter().chain([tail.end]);
            let fits_start = |edge: &Edge| fits(0, edge.length) && free(edge, before);
            let fits_end = |edge: &Edge| fits(last - first, edge.length) && free(edge, after);
            (starts.into_iter().find(fits_start)?, ends.into_iter().find(fits_end)?)
        };
        let written = &text[start.mark.byte as usize..end.mark.byte as usize];
        let grade = if split {
            Grade::Split
        } else if holds_written(written, &self.core) {
            Grade::Exact
        } else if end.mark.skipped - start.mark.skipped > self.skipped {
            Grade::Skipped
        } else {
            Grade::Folded
        };
        let spelling = Spelling { start: start.mark.char, end: end.mark.char, grade };
        self.grades.contains(grade).then_some(spelling)
    }

    /// Whether two neighbours belong to one word or number, as far as this phrase cares.
    pub(super) fn joins(&self, left: Class, right: Class) -> bool {
        match self.boundary {
            Boundary::Word => left == right && left != Class::Other,
            Boundary::Token => left != Class::Other && right != Class::Other,
            Boundary::None => false,
        }
    }

    /// The symbols of the phrase, one by one.
    pub(super) fn symbols(&self) -> Vec<Symbol> {
        let runs = self.runs.iter();
        runs.flat_map(|run| std::iter::repeat_n(run.0, run.1 as usize)).collect()
    }
}

/// Whether `written` holds `core` letter by letter. The case of ASCII letters makes no difference:
/// nobody hides by writing VX for vx.
fn holds_written(written: &str, core: &str) -> bool {
    let (written, core) = (written.as_bytes(), core.as_bytes());
    written.windows(core.len()).any(|window| window.eq_ignore_ascii_case(core))
}
