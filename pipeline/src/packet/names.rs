//! Ids of accounts, groups, cases and clusters as small numbers, in the order of their first use.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::hash_index::HashIndex;

/// Texts with numbers from 0. Equal texts have one number, and no two texts share one, whatever
/// their hashes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<CompactString>", into = "Vec<CompactString>")]
pub struct Names {
    /// A short text stands in its place, so that it takes one look to compare.
    texts: Vec<CompactString>,
    numbers: HashIndex,
}

impl Names {
    /// The number of a text, if it has one.
    pub fn find(&self, text: &str) -> Option<u32> {
        let is_it = |number: u64| self.texts[number as usize] == text;
        self.numbers.find(hash(text), is_it).map(|number| number as u32)
    }

    /// The number that a text of a hash probably has if it has one, without a look at the texts.
    pub fn guess(&self, hash: u64) -> Option<u64> {
        self.numbers.guess(hash)
    }

    /// Reads where a text of a hash is found, so that it is near when it is needed.
    pub fn near(&self, hash: u64) -> u64 {
        self.numbers.near(hash)
    }

    /// The number of a text; a new one gets the next number.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.find(text) {
            return number;
        }
        let number = u32::try_from(self.texts.len()).expect("four billion names at most");
        self.texts.push(text.into());
        self.numbers.add(hash(text), number.into());
        number
    }

    /// The text of a number.
    ///
    /// # Panics
    /// When no text has it.
    pub fn text(&self, number: u32) -> &str {
        &self.texts[number as usize]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

/// The hash by which a text is found, here and where a packet is found by its id.
pub fn hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

impl From<Vec<CompactString>> for Names {
    fn from(texts: Vec<CompactString>) -> Names {
        let mut numbers = HashIndex::default();
        for (number, text) in (0..).zip(&texts) {
            numbers.add(hash(text), number);
        }
        Names { texts, numbers }
    }
}

impl From<Names> for Vec<CompactString> {
    fn from(names: Names) -> Vec<CompactString> {
        names.texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_one_number() {
        let mut names = Names::default();
        assert_eq!((names.number("a"), names.number(""), names.number("a")), (0, 1, 0));
        let names = Names::from(Vec::from(names));
        assert_eq!((names.find("a"), names.find(""), names.find("b")), (Some(0), Some(1), None));
        assert_eq!((names.text(0), names.text(1), names.len()), ("a", "", 2));
    }
}
