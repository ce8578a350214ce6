//! The lexicon: phrases compiled for matching, and the scan of a text.

use std::path::{Path, PathBuf};

use hashbrown::HashSet;

use crate::diagnostic::Diagnostic;

use super::compile::{compile_files, read_directory};
use super::entry::{Entry, Form, Spelling};
use super::gate::{Background, Gate, Opened, opened};
use super::grade::Grade;
use super::homophones::{Homophones, SoundScratch};
use super::lookalikes::Lookalikes;
use super::normalise::{Normaliser, Symbol};
use super::patterns::Patterns;
use super::runs::{Run, read_runs};
use super::splits::{JoinedRun, Joiner};

/// The phrases of a set of files, ready to be found in texts.
pub struct Lexicon {
    /// Phrases in order of category and text, the allow-phrases, the parts of phrases.
    entries: Vec<Entry>,
    /// How many of `entries` are phrases.
    phrases: usize,
    /// How many are phrases or allow-phrases.
    wholes: usize,
    /// The phrase of each part, and how many parts that phrase has.
    of_part: Vec<(u32, u32)>,
    categories: Vec<String>,
    forms: Vec<Form>,
    /// The symbols of the forms.
    patterns: Patterns,
    gate: Gate,
    joiner: Joiner,
    homophones: Homophones,
    pub(super) table: &'static Normaliser,
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
    joined: Vec<Run>,
    places: Vec<JoinedRun>,
    letters: Letters,
    found: Vec<Found>,
    sound: SoundScratch,
    parts: Vec<Part>,
    pub(super) hits: Vec<Hit>,
    pub(super) memo: String,
}

/// The symbols of runs, as the automaton reads them.
#[derive(Default)]
struct Letters {
    symbols: String,
    /// The run of each byte of `symbols`.
    run_at: Vec<u32>,
}

/// An entry that stands in the text, over the runs from `first` to `last` inclusive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    first: u32,
    last: u32,
    entry: u32,
    spelling: Spelling,
    /// Whether its characters are taken apart or look-alikes, so that it is not the phrase's own
    /// symbols that stand there.
    variant: bool,
}

/// A part of a phrase that stands in the text. In order of the phrase, then of the part, then of
/// how well it is spelt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    phrase: u32,
    parts: u32,
    entry: u32,
    grade: Grade,
    start: u32,
    end: u32,
}

impl Lexicon {
    /// Reads every `*.txt` of a directory. A directory that is not there is an empty lexicon.
    pub fn load(dir: &Path) -> Result<Lexicon, Vec<Diagnostic>> {
        let (files, wrong) = read_directory(dir);
        if wrong.is_empty() { Lexicon::from_files(&files) } else { Err(wrong) }
    }

    /// Compiles the phrases of files given as path and text; the order of the files and of their
    /// lines makes no difference. All mistakes are returned at once, in order of file and place.
    pub fn from_files(files: &[(PathBuf, String)]) -> Result<Lexicon, Vec<Diagnostic>> {
        let (categories, entries, mistakes) = compile_files(files);
        if mistakes.is_empty() { Ok(Lexicon::build(entries, categories)) } else { Err(mistakes) }
    }

    /// No phrase, but every category that the files name, also where something is wrong with them:
    /// so that what uses one is not wrong as well.
    pub fn without_phrases(files: &[(PathBuf, String)]) -> Lexicon {
        let (categories, ..) = compile_files(files);
        Lexicon::build(Vec::new(), categories)
    }

    fn build(mut entries: Vec<Entry>, categories: Vec<String>) -> Lexicon {
        let key = |entry: &Entry| (entry.category.is_none(), entry.category);
        entries.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.text.cmp(&b.text)));
        let phrases = entries.iter().take_while(|entry| entry.category.is_some()).count();
        let wholes = entries.len();
        let mut of_part = Vec::new();
        for phrase in 0..phrases {
            let parts = std::mem::take(&mut entries[phrase].parts);
            of_part.extend(parts.iter().map(|_| (phrase as u32, parts.len() as u32)));
            entries.extend(parts);
        }

        let table = Normaliser::get();
        let forms = forms_of(&entries, &Lookalikes::new(table));
        let written =
            |form: &Form| form.runs.iter().filter_map(|run| char::from_u32(run.0)).collect();
        let patterns = forms.iter().enumerate().map(|(at, form)| (written(form), at as u32));
        let patterns = Patterns::new(patterns);
        let background = Background::count(table);
        let apart: HashSet<Symbol> = (entries.iter())
            .filter(|entry| entry.category.is_some() && entry.grades.contains(Grade::Split))
            .flat_map(|entry| entry.runs.iter().map(|run| run.0))
            .collect();
        let joiner = Joiner::new(table, |symbol| apart.contains(&symbol));
        let sought = forms.iter().filter(|form| entries[form.entry as usize].category.is_some());
        let rows = sought.map(|form| &form.runs[..]);
        let gate = Gate::new(rows, &joiner.pairs(), &background);
        let homophones = Homophones::new(&entries, &background);
        Lexicon {
            entries,
            phrases,
            wholes,
            of_part,
            categories,
            forms,
            patterns,
            gate,
            joiner,
            homophones,
            table,
        }
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
        for (at, entry) in self.entries[..self.wholes].iter().enumerate() {
            let category = entry.category.map_or("!", |at| &self.categories[usize::from(at)]);
            // The grades of a phrase of parts are those of its parts.
            let parts = self.of_part.iter().zip(&self.entries[self.wholes..]);
            let parts = parts.filter(|(of, _)| of.0 as usize == at).map(|(_, part)| part);
            let names: Vec<String> = if entry.runs.is_empty() {
                parts.map(|part| part.grades.names()).collect()
            } else {
                vec![entry.grades.names()]
            };
            let (grades, boundary) = (names.join(" && "), entry.boundary.name());
            let fields = [category, &entry.weight.to_string(), &grades, boundary, &entry.text];
            out.push_str(&fields.join("\t"));
            out.push('\n');
        }
        out
    }

    /// Finds every phrase of `text`; `hits` is cleared first and comes back in order of place.
    ///
    /// A hit takes drawn-out characters along: in 扫扫雷 the phrase 扫雷 is three characters long. A
    /// phrase of parts is hit once, from its first part to its last.
    pub fn scan(&self, text: &str, scratch: &mut Scratch, hits: &mut Vec<Hit>) {
        hits.clear();
        let opened = opened(&self.gate, &self.homophones.gate, self.table, text);
        if opened != Opened::default() {
            self.scan_candidate(text, opened, scratch, hits);
        }
    }

    /// The scan of a text that the gates let through, or could not rule out.
    pub(super) fn scan_candidate(
        &self,
        text: &str,
        opened: Opened,
        scratch: &mut Scratch,
        hits: &mut Vec<Hit>,
    ) {
        scratch.parts.clear();
        scratch.found.clear();
        if opened.symbols {
            self.find_written(text, scratch);
            let Scratch { found, parts, .. } = scratch;
            let any_allowed = found.iter().any(|one| self.is_allowed(one));
            let runs_max = found.iter().map(|one| one.last - one.first).max().unwrap_or(0);
            for one in found.iter().filter(|one| !self.is_allowed(one)) {
                let covered = any_allowed && self.is_covered(one, found, runs_max);
                let another = || one.variant && self.is_another(one, found);
                if !covered && !another() {
                    self.take(one.entry, one.spelling, parts, hits);
                }
            }
        }
        if opened.sounds {
            self.take_sounds(text, opened, scratch, hits);
        }
        if !scratch.parts.is_empty() {
            self.join_parts(&mut scratch.parts, hits);
        }
        hits.sort_unstable();
        hits.dedup();
    }

    /// Finds the entries that are written in the text, whole or taken apart.
    fn find_written(&self, text: &str, scratch: &mut Scratch) {
        let Scratch { runs, joined, places, letters, found, .. } = scratch;
        read_runs(self.table, text, runs);
        self.find_in_runs(text, runs, None, letters, found);
        let mut reading = 0;
        while reading < self.joiner.join(runs, reading, joined, places) {
            self.find_in_runs(text, joined, Some(places), letters, found);
            reading += 1;
        }
        found.sort_unstable();
        found.dedup();
    }

    /// Finds the entries in `runs`; if these are put together from others, only those with a run
    /// that is.
    fn find_in_runs(
        &self,
        text: &str,
        runs: &[Run],
        places: Option<&[JoinedRun]>,
        letters: &mut Letters,
        found: &mut Vec<Found>,
    ) {
        if self.patterns.is_empty() {
            return;
        }
        let Letters { symbols, run_at } = letters;
        symbols.clear();
        run_at.clear();
        for (at, run) in runs.iter().enumerate() {
            symbols.extend(char::from_u32(run.symbol));
            run_at.resize(symbols.len(), at as u32);
        }
        for (first, last, spelt) in self.patterns.find(symbols) {
            let (first, last) = (run_at[first] as usize, run_at[last] as usize);
            let split = places.is_some();
            let (mut from, mut to) = (first as u32, last as u32);
            if let Some(places) = places {
                if !places[first..=last].iter().any(|place| place.joined) {
                    continue;
                }
                (from, to) = (places[first].first, places[last].last);
            }
            for &form in spelt {
                let form = &self.forms[form as usize];
                let entry = &self.entries[form.entry as usize];
                if split && (entry.category.is_none() || form.lookalike) {
                    continue;
                }
                let spelling = entry.verify(form, text, runs, (first, last), split);
                let (entry, variant) = (form.entry, split || form.lookalike);
                found.extend(spelling.map(|spelling| Found {
                    first: from,
                    last: to,
                    entry,
                    spelling,
                    variant,
                }));
            }
        }
    }

    /// Takes what only sounds like a phrase, unless it or another phrase of its category is written
    /// there, or an allow-phrase covers it. Where several phrases of a category sound alike, one is
    /// meant: the best spelt, of these the heaviest, of these the first.
    fn take_sounds(&self, text: &str, opened: Opened, scratch: &mut Scratch, hits: &mut Vec<Hit>) {
        let mut sound = std::mem::take(&mut scratch.sound);
        let mut heard = std::mem::take(&mut sound.heard);
        heard.clear();
        self.homophones.find(self.table, &self.entries, text, &mut sound, |entry, spelling| {
            heard.push((entry, spelling));
        });
        if !heard.is_empty() && !opened.symbols {
            self.find_written(text, scratch);
        }
        heard.sort_unstable_by_key(|(entry, spelling)| {
            let one = &self.entries[*entry as usize];
            let place = (spelling.start, spelling.end, self.is_part(*entry), one.category);
            (place, spelling.grade, std::cmp::Reverse(one.weight), *entry)
        });
        let mut last = None;
        for &(entry, spelling) in &heard {
            let category = self.entries[entry as usize].category;
            let part = self.is_part(entry);
            let written = scratch.found.iter().any(|one| {
                let other = one.spelling;
                let covers = other.start <= spelling.start && other.end >= spelling.end;
                let overlaps = other.start < spelling.end && spelling.start < other.end;
                let meant = !part
                    && !self.is_part(one.entry)
                    && self.entries[one.entry as usize].category == category;
                covers && (self.is_allowed(one) || meant) || one.entry == entry && overlaps
            });
            let place = Some((spelling.start, spelling.end, category));
            if !written && (part || last != place) {
                self.take(entry, spelling, &mut scratch.parts, hits);
                last = place.filter(|_| !part);
            }
        }
        sound.heard = heard;
        scratch.sound = sound;
    }

    /// Whether what a variant spells is another phrase of its category, written in its own symbols;
    /// or the variant of one that stands before it.
    fn is_another(&self, variant: &Found, found: &[Found]) -> bool {
        let category = self.entries[variant.entry as usize].category;
        !self.is_part(variant.entry)
            && found.iter().any(|other| {
                let covers = other.first <= variant.first && other.last >= variant.last;
                let same = (other.first, other.last) == (variant.first, variant.last);
                let before = other.variant && same && other.entry < variant.entry;
                let category = self.entries[other.entry as usize].category == category;
                category && !self.is_part(other.entry) && (covers && !other.variant || before)
            })
    }

    fn is_part(&self, entry: u32) -> bool {
        entry as usize >= self.wholes
    }

    fn take(&self, entry: u32, spelling: Spelling, parts: &mut Vec<Part>, hits: &mut Vec<Hit>) {
        let Spelling { start, end, grade } = spelling;
        match (entry as usize).checked_sub(self.wholes) {
            Some(part) => {
                let (phrase, count) = self.of_part[part];
                parts.push(Part { phrase, parts: count, entry, grade, start, end });
            }
            None => {
                let category = self.entries[entry as usize].category.unwrap_or(0);
                hits.push(Hit { start, end, phrase: entry, category, grade });
            }
        }
    }

    /// Adds a hit for each phrase all of whose parts stand in the text, each where it is spelt
    /// best.
    fn join_parts(&self, parts: &mut [Part], hits: &mut Vec<Hit>) {
        parts.sort_unstable();
        for of_phrase in parts.chunk_by(|a, b| a.phrase == b.phrase) {
            let best = || of_phrase.chunk_by(|a, b| a.entry == b.entry).map(|same| same[0]);
            let first = of_phrase[0];
            if best().count() < first.parts as usize {
                continue;
            }
            let hit = best().fold(
                Hit {
                    start: first.start,
                    end: first.end,
                    phrase: first.phrase,
                    category: self.entries[first.phrase as usize].category.unwrap_or(0),
                    grade: first.grade,
                },
                |hit, part| Hit {
                    start: hit.start.min(part.start),
                    end: hit.end.max(part.end),
                    grade: hit.grade.max(part.grade),
                    ..hit
                },
            );
            hits.push(hit);
        }
    }

    fn is_allowed(&self, found: &Found) -> bool {
        (self.phrases..self.wholes).contains(&(found.entry as usize))
    }

    /// Whether the longest entry that covers `hit`, itself included, is an allow-phrase. Of equals
    /// the allow-phrase wins, so that a file of one's own can switch a phrase off. A part speaks
    /// for nobody else: alone it means nothing. None of `found` goes on for more than `runs_max`
    /// runs after its first.
    fn is_covered(&self, hit: &Found, found: &[Found], runs_max: u32) -> bool {
        let end = found.partition_point(|other| other.first <= hit.first);
        let reach = |other: &&Found| other.first + runs_max >= hit.first;
        let covers = found[..end].iter().rev().take_while(reach).filter(|other| {
            let speaks = (other.entry as usize) < self.wholes || other.entry == hit.entry;
            speaks && other.last >= hit.last
        });
        let longest = covers.map(|other| (other.last - other.first, self.is_allowed(other))).max();
        longest.is_some_and(|(_, allowed)| allowed)
    }
}

/// Each entry as it is, and each phrase with look-alikes.
fn forms_of(entries: &[Entry], lookalikes: &Lookalikes) -> Vec<Form> {
    let mut forms = Vec::with_capacity(2 * entries.len());
    for (at, entry) in entries.iter().enumerate().filter(|(_, entry)| !entry.runs.is_empty()) {
        let at = at as u32;
        forms.push(Form { entry: at, runs: entry.runs.clone(), lookalike: false });
        if entry.category.is_some() && entry.grades.contains(Grade::Folded) {
            let others = lookalikes.of(&entry.symbols());
            let form = |symbols: Vec<Symbol>| Form {
                entry: at,
                runs: run_lengths(&symbols),
                lookalike: true,
            };
            forms.extend(others.into_iter().map(form));
        }
    }
    forms
}

fn run_lengths(symbols: &[Symbol]) -> Vec<(Symbol, u32)> {
    symbols.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).collect()
}
