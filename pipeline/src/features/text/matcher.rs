//! The lexicon: phrases compiled for matching, and the scan of a text.

use std::path::{Path, PathBuf};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use hashbrown::HashMap;

use crate::diagnostic::Diagnostic;

use super::Grade;
use super::compile::{compile_files, read_directory};
use super::gate::{Background, Gate};
use super::normalise::{Normaliser, Symbol};
use super::phrases::{Boundary, Grades};
use super::runs::{Class, Edge, Run, read_runs};

/// The phrases of a set of files, ready to be found in texts.
pub struct Lexicon {
    /// Phrases in order of category and text, then the allow-phrases.
    entries: Vec<Entry>,
    /// How many of `entries` are phrases.
    phrases: usize,
    categories: Vec<String>,
    /// The entries of each pattern of the automaton.
    of_pattern: Vec<Vec<u32>>,
    /// The most runs of an entry: no entry that covers a run begins further to the left.
    runs_max: usize,
    automaton: Option<AhoCorasick>,
    gate: Gate,
    pub(super) table: &'static Normaliser,
}

/// A phrase or an allow-phrase.
pub(super) struct Entry {
    /// As written in its file.
    pub(super) text: String,
    /// The place of its category; none for an allow-phrase.
    pub(super) category: Option<u16>,
    pub(super) weight: u32,
    pub(super) grades: Grades,
    pub(super) boundary: Boundary,
    /// The symbol and the length of each of its runs.
    pub(super) runs: Vec<(Symbol, u32)>,
    /// The part of `text` between its first and its last kept character.
    pub(super) core: String,
    /// How many characters of `core` are skipped.
    pub(super) skipped: u32,
}

/// A phrase found in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Where it begins, in characters of the original text.
    pub start: u32,
    /// Where it ends, exclusive.
    pub end: u32,
    /// The phrase, by its place in the lexicon.
    pub phrase: u32,
    /// Its category, by its place in [`Lexicon::categories`].
    pub category: u16,
    /// How the text spells it.
    pub grade: Grade,
}

/// Memory that scans reuse, one for each thread.
#[derive(Default)]
pub struct Scratch {
    runs: Vec<Run>,
    symbols: String,
    /// The run of each byte of `symbols`.
    run_at: Vec<u32>,
    found: Vec<Found>,
    pub(super) hits: Vec<Hit>,
    pub(super) memo: String,
}

/// An entry that stands in the text, over the runs from `first` to `last` inclusive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    first: u32,
    last: u32,
    entry: u32,
    spelling: Spelling,
}

/// Where in the original text an entry stands, in characters, and how it is spelt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Spelling {
    start: u32,
    end: u32,
    grade: Grade,
}

impl Lexicon {
    /// Reads every `*.txt` of a directory. A directory that is not there is an empty lexicon.
    pub fn load(dir: &Path) -> Result<Lexicon, Vec<Diagnostic>> {
        Lexicon::from_files(&read_directory(dir)?)
    }

    /// Compiles the phrases of files given as path and text; the order of the files and of their
    /// lines makes no difference. All mistakes are returned at once, in order of file and place.
    pub fn from_files(files: &[(PathBuf, String)]) -> Result<Lexicon, Vec<Diagnostic>> {
        let (categories, entries) = compile_files(files)?;
        Ok(Lexicon::build(entries, categories))
    }

    fn build(mut entries: Vec<Entry>, categories: Vec<String>) -> Lexicon {
        let key = |entry: &Entry| (entry.category.is_none(), entry.category);
        entries.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.text.cmp(&b.text)));
        let phrases = entries.iter().take_while(|entry| entry.category.is_some()).count();

        let mut of_pattern: Vec<Vec<u32>> = Vec::new();
        let mut patterns: Vec<String> = Vec::new();
        let mut place_of: HashMap<String, usize> = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            let pattern: String =
                entry.runs.iter().filter_map(|run| char::from_u32(run.0)).collect();
            let place = *place_of.entry(pattern).or_insert_with_key(|pattern| {
                patterns.push(pattern.clone());
                of_pattern.push(Vec::new());
                patterns.len() - 1
            });
            of_pattern[place].push(at as u32);
        }
        let automaton = (!patterns.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .prefilter(false)
                .build(&patterns)
                .expect("PHRASES_MAX phrases of PHRASE_CHARS_MAX fit the automaton's 2^31 states")
        });

        let table = Normaliser::get();
        let background = Background::count(table);
        let pairs: Vec<_> = entries[..phrases]
            .iter()
            .filter_map(|entry| background.rarest(pairs_of(&entry.runs)))
            .collect();
        let runs_max = entries.iter().map(|entry| entry.runs.len()).max().unwrap_or(0);
        let gate = Gate::new(&pairs);
        Lexicon { entries, phrases, categories, of_pattern, runs_max, automaton, gate, table }
    }

    /// The categories, in the order of [`Hit::category`]: those that always exist, then the files'
    /// own by name.
    pub fn categories(&self) -> &[String] {
        &self.categories
    }

    /// How many phrases there are, allow-phrases not counted.
    pub fn len(&self) -> usize {
        self.phrases
    }

    /// Whether there is no phrase.
    pub fn is_empty(&self) -> bool {
        self.phrases == 0
    }

    /// A phrase of a hit, as its file spells it.
    pub fn phrase(&self, phrase: u32) -> &str {
        &self.entries[phrase as usize].text
    }

    /// The weight of a phrase.
    pub fn weight(&self, phrase: u32) -> u32 {
        self.entries[phrase as usize].weight
    }

    /// The one normal spelling of the whole lexicon: what the hash of the rules is taken over. It
    /// does not depend on how the phrases are spread over files, nor on comments or order.
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        for entry in &self.entries {
            let category = entry.category.map_or("!", |at| &self.categories[usize::from(at)]);
            let (grades, boundary) = (entry.grades.names(), entry.boundary.name());
            let fields = [category, &entry.weight.to_string(), &grades, boundary, &entry.text];
            out.push_str(&fields.join("\t"));
            out.push('\n');
        }
        out
    }

    /// Finds every phrase of `text`; `hits` is cleared first and comes back in order of place.
    ///
    /// A hit takes drawn-out characters along: in 扫扫雷 the phrase 扫雷 is three characters long.
    pub fn scan(&self, text: &str, scratch: &mut Scratch, hits: &mut Vec<Hit>) {
        hits.clear();
        if self.gate.opens_for(self.table, text) {
            self.scan_candidate(text, scratch, hits);
        }
    }

    /// The scan of a text that the gate let through, or could not rule out.
    pub(super) fn scan_candidate(&self, text: &str, scratch: &mut Scratch, hits: &mut Vec<Hit>) {
        let Some(automaton) = &self.automaton else { return };
        let Scratch { runs, symbols, run_at, found, .. } = scratch;
        read_runs(self.table, text, runs);
        symbols.clear();
        run_at.clear();
        for (at, run) in runs.iter().enumerate() {
            symbols.extend(char::from_u32(run.symbol));
            run_at.resize(symbols.len(), at as u32);
        }
        found.clear();
        for found_pattern in automaton.find_overlapping_iter(symbols.as_bytes()) {
            let first = run_at[found_pattern.start()];
            let last = run_at[found_pattern.end() - 1];
            for &entry in &self.of_pattern[found_pattern.pattern().as_usize()] {
                let spelling = self.entries[entry as usize].verify(text, runs, first, last);
                found.extend(spelling.map(|spelling| Found { first, last, entry, spelling }));
            }
        }
        found.sort_unstable();
        let any_allowed = found.iter().any(|one| self.is_allowed(one));
        for one in found.iter().filter(|one| !self.is_allowed(one)) {
            if any_allowed && self.is_covered(one, found) {
                continue;
            }
            let Spelling { start, end, grade } = one.spelling;
            let category = self.entries[one.entry as usize].category.unwrap_or(0);
            hits.push(Hit { start, end, phrase: one.entry, category, grade });
        }
    }

    fn is_allowed(&self, found: &Found) -> bool {
        found.entry as usize >= self.phrases
    }

    /// Whether the longest entry that covers `hit`, itself included, is an allow-phrase. Of equals
    /// the allow-phrase wins, so that a file of one's own can switch a phrase off.
    fn is_covered(&self, hit: &Found, found: &[Found]) -> bool {
        let end = found.partition_point(|other| other.first <= hit.first);
        let reach = |other: &&Found| other.first as usize + self.runs_max > hit.first as usize;
        let covers = found[..end].iter().rev().take_while(reach).filter(|o| o.last >= hit.last);
        let longest = covers.map(|other| (other.last - other.first, self.is_allowed(other))).max();
        longest.is_some_and(|(_, allowed)| allowed)
    }
}

impl Entry {
    /// How the runs from `first` to `last`, whose symbols are the entry's, spell it, and where;
    /// none if they do not.
    fn verify(&self, text: &str, runs: &[Run], first: u32, last: u32) -> Option<Spelling> {
        let (first, last) = (first as usize, last as usize);
        let fits = |at: usize, have: u32| {
            let (symbol, length) = self.runs[at];
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
        let grade = if holds_written(written, &self.core) {
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
    fn joins(&self, left: Class, right: Class) -> bool {
        match self.boundary {
            Boundary::Word => left == right && left != Class::Other,
            Boundary::Token => left != Class::Other && right != Class::Other,
            Boundary::None => false,
        }
    }
}

/// Whether `written` holds `core` letter by letter. The case of ASCII letters makes no difference:
/// nobody hides by writing VX for vx.
fn holds_written(written: &str, core: &str) -> bool {
    let (written, core) = (written.as_bytes(), core.as_bytes());
    written.windows(core.len()).any(|window| window.eq_ignore_ascii_case(core))
}

/// Adjacent symbols of a phrase; for a phrase of one run, the symbol beside itself.
fn pairs_of(runs: &[(Symbol, u32)]) -> impl Iterator<Item = (Symbol, Symbol)> {
    let alone = (runs.len() == 1).then(|| (runs[0].0, runs[0].0));
    alone.into_iter().chain(runs.windows(2).map(|pair| (pair[0].0, pair[1].0)))
}
