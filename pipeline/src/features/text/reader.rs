//! Reads the texts of events, and remembers those that come again and again: the memo of a packet
//! comes with each of its claims, and most people write one of a few wishes.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::{Lexicon, Scratch};

/// Texts that are remembered, each in the place that its hash says: the last one to come keeps it.
const PLACES: usize = 4096;
/// Longer texts hardly ever come twice, and would take up room.
const REMEMBERED_BYTES_MAX: usize = 96;

/// Reads texts by a lexicon. What is said of a text depends on nothing but the two, so what was read
/// of it once need not be read again.
#[derive(Default)]
pub(crate) struct Reader {
    lexicon: Option<Arc<Lexicon>>,
    /// The text in each place; an empty one is none.
    texts: Vec<Box<str>>,
    /// Their features, place by place, and after them those of a text that has no place.
    values: Vec<i64>,
    scratch: Scratch,
}

impl Reader {
    /// The features of a text, as [`Lexicon::compute`] says.
    pub(crate) fn read(&mut self, lexicon: &Arc<Lexicon>, text: &str) -> &[i64] {
        let features = lexicon.features();
        if !self.lexicon.as_ref().is_some_and(|held| Arc::ptr_eq(held, lexicon)) {
            self.texts = vec![Box::default(); PLACES];
            self.values = vec![0; (PLACES + 1) * features];
            self.lexicon = Some(lexicon.clone());
        }
        let is_short = text.len() <= REMEMBERED_BYTES_MAX;
        let place = if is_short { xxh3_64(text.as_bytes()) as usize % PLACES } else { PLACES };
        let held = self.texts.get_mut(place);
        let values = &mut self.values[place * features..][..features];
        let is_known = held.as_ref().is_some_and(|held| !text.is_empty() && ***held == *text);
        if !is_known {
            lexicon.compute(text, &mut self.scratch, values);
            if let Some(held) = held {
                *held = text.into();
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NULL_INT;
    use proptest::prelude::*;
    use std::path::PathBuf;

    fn lexicon(phrases: &str) -> Arc<Lexicon> {
        Arc::new(Lexicon::from_files(&[(PathBuf::from("made.txt"), phrases.to_owned())]).unwrap())
    }

    fn computed(lexicon: &Lexicon, text: &str) -> Vec<i64> {
        let mut values = vec![NULL_INT; lexicon.features()];
        lexicon.compute(text, &mut Scratch::default(), &mut values);
        values
    }

    /// Texts of few characters, so that many are hits and many come again; some are too long.
    fn some_text() -> impl Strategy<Value = String> {
        let character = prop::sample::select(vec!["扫", "雷", "红", "包", "6", "-", "100", " "]);
        let length = prop_oneof![9 => 0..5_usize, 1 => 60..80_usize];
        length.prop_flat_map(move |length| {
            prop::collection::vec(character.clone(), length).prop_map(|parts| parts.concat())
        })
    }

    proptest! {
        #[test]
        fn says_of_each_text_what_its_lexicon_says(
            texts in prop::collection::vec(some_text(), 1..300),
        ) {
            let lexicons = [lexicon("[gambling]\n扫雷\n红包\n"), lexicon("[fraud]\n雷红\n")];
            let mut reader = Reader::default();
            // By one lexicon for a while, then by the other.
            for (nth, text) in texts.iter().enumerate() {
                let lexicon = &lexicons[nth / 70 % 2];
                for _ in 0..2 {
                    prop_assert_eq!(reader.read(lexicon, text), computed(lexicon, text));
                }
            }
        }
    }

    /// Twice as many texts as there are places, so that many come to one that is taken.
    #[test]
    fn texts_of_one_place_are_told_apart() {
        let lexicon = lexicon("[gambling]\n扫雷\n");
        let mut reader = Reader::default();
        for number in (0..2 * PLACES).chain(0..2 * PLACES) {
            let phrase = if number % 3 == 0 { "扫雷" } else { "你好" };
            let text = format!("{phrase}{number}");
            assert_eq!(reader.read(&lexicon, &text), computed(&lexicon, &text), "{text}");
        }
    }
}
