//! Rows of symbols to be found in a text, each with all that is written so.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use hashbrown::HashMap;

/// An automaton, and what each of its patterns stands for.
pub(super) struct Patterns {
    /// None where there is nothing to find.
    automaton: Option<AhoCorasick>,
    of_pattern: Vec<Vec<u32>>,
}

impl Patterns {
    /// Patterns, each with the number of something that is written so.
    pub(super) fn new(all: impl Iterator<Item = (String, u32)>) -> Patterns {
        let mut of_pattern: Vec<Vec<u32>> = Vec::new();
        let mut patterns: Vec<String> = Vec::new();
        let mut place_of: HashMap<String, usize> = HashMap::new();
        for (pattern, what) in all {
            let place = *place_of.entry(pattern).or_insert_with_key(|pattern| {
                patterns.push(pattern.clone());
                of_pattern.push(Vec::new());
                patterns.len() - 1
            });
            of_pattern[place].push(what);
        }
        let automaton = (!patterns.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                // The gates have let by what a prefilter would.
                .prefilter(false)
                .build(&patterns)
                .expect("PHRASES_MAX phrases of PHRASE_CHARS_MAX fit the automaton's 2^31 states")
        });
        Patterns { automaton, of_pattern }
    }

    /// Whether there is nothing to find.
    pub(super) fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    /// Each pattern in `text`, also where they overlap: its first byte and its last, and what is
    /// written so.
    pub(super) fn find<'p>(
        &'p self,
        text: &'p str,
    ) -> impl Iterator<Item = (usize, usize, &'p [u32])> {
        let automaton = self.automaton.iter();
        automaton.flat_map(|automaton| automaton.find_overlapping_iter(text.as_bytes())).map(
            |found| {
                let what = &self.of_pattern[found.pattern().as_usize()][..];
                (found.start(), found.end() - 1, what)
            },
        )
    }
}
