//! Ids of accounts, groups, cases and clusters as small numbers, in the order of their first use.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Texts with numbers from 0. Equal texts have one number, and no two texts share one, whatever
/// their hashes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Texts", into = "Texts")]
pub struct Names {
    texts: Texts,
    numbers: HashTable<u32>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    fn get(&self, number: u32) -> &str {
        let at = number as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }

    fn hash(&self, number: u32) -> u64 {
        xxh3_64(self.get(number).as_bytes())
    }
}

impl Names {
    /// The number of a text, if it has one.
    pub fn find(&self, text: &str) -> Option<u32> {
        let same = |&number: &u32| self.texts.get(number) == text;
        self.numbers.find(xxh3_64(text.as_bytes()), same).copied()
    }

    /// The number of a text; a new one gets the next number.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.find(text) {
            return number;
        }
        let number = u32::try_from(self.texts.ends.len()).expect("four billion names at most");
        self.texts.text.push_str(text);
        self.texts.ends.push(self.texts.text.len());
        let texts = &self.texts;
        self.numbers.insert_unique(texts.hash(number), number, |&number| texts.hash(number));
        number
    }

    /// The text of a number.
    ///
    /// # Panics
    /// When no text has it.
    pub fn text(&self, number: u32) -> &str {
        self.texts.get(number)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.ends.is_empty()
    }
}

impl From<Texts> for Names {
    fn from(texts: Texts) -> Names {
        let mut numbers = HashTable::with_capacity(texts.ends.len());
        for number in 0..texts.ends.len() as u32 {
            numbers.insert_unique(texts.hash(number), number, |&number| texts.hash(number));
        }
        Names { texts, numbers }
    }
}

impl From<Names> for Texts {
    fn from(names: Names) -> Texts {
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
        let names = Names::from(Texts::from(names));
        assert_eq!((names.find("a"), names.find(""), names.find("b")), (Some(0), Some(1), None));
        assert_eq!((names.text(0), names.text(1), names.len()), ("a", "", 2));
    }
}
