//! A text with its phrases marked, to be shown to a person.

use serde::Serialize;

use super::{Hit, Lexicon, Scratch};

/// A text with the phrases in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Marked {
    /// `text` (of the transaction) or `group.text` (the name of its group).
    pub of: &'static str,
    /// The text; hostile.
    pub text: String,
    /// The phrases, by where they begin.
    pub marks: Vec<Mark>,
    /// Whether the text as a whole is a mine packet's memo.
    pub bet_memo: bool,
    /// The digit that it announces, if it announces one.
    pub bet_digit: Option<u8>,
}

/// A phrase in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Where it begins, in characters of the text.
    pub start: u32,
    /// Where it ends, exclusive.
    pub end: u32,
    /// The phrase as its file has it.
    pub phrase: String,
    /// Its category.
    pub category: String,
    /// How the text spells it.
    pub grade: &'static str,
}

impl Marked {
    /// A text with the phrases of a lexicon in it; none where there is no text.
    pub fn new(of: &'static str, text: &str, lexicon: &Lexicon) -> Option<Marked> {
        if text.is_empty() {
            return None;
        }
        let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
        lexicon.scan(text, &mut scratch, &mut hits);
        hits.sort_unstable();
        let mark = |hit: Hit| Mark {
            start: hit.start,
            end: hit.end,
            phrase: lexicon.phrase(hit.phrase).to_owned(),
            category: lexicon.categories()[usize::from(hit.category)].clone(),
            grade: hit.grade.name(),
        };
        let bet = lexicon.bet(text, &mut scratch);
        Some(Marked {
            of,
            text: text.to_owned(),
            marks: hits.into_iter().map(mark).collect(),
            bet_memo: bet.is_some(),
            bet_digit: bet.and_then(|bet| bet.digit),
        })
    }

    /// The text in pieces, in order, and whether each is marked: the marks without their overlaps,
    /// the whole of a mine packet's memo.
    pub fn pieces(&self) -> Vec<(String, bool)> {
        let mut pieces: Vec<(String, bool)> = Vec::new();
        for (at, c) in self.text.chars().enumerate() {
            let within = |mark: &Mark| (mark.start as usize..mark.end as usize).contains(&at);
            let marked = self.bet_memo || self.marks.iter().any(within);
            match pieces.last_mut() {
                Some((piece, held)) if *held == marked => piece.push(c),
                _ => pieces.push((c.to_string(), marked)),
            }
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_pieces_are_the_text_and_marks_do_not_overlap() {
        let phrases = "[own]\n雷群\n扫雷群\n红包\n".to_owned();
        let lexicon = Lexicon::from_files(&[(PathBuf::from("own.txt"), phrases)]).unwrap();
        let check = |text: &str, wanted: &[(&str, bool)]| {
            let marked = Marked::new("text", text, &lexicon).unwrap();
            let pieces = marked.pieces();
            let found: Vec<(&str, bool)> =
                pieces.iter().map(|(piece, marked)| (piece.as_str(), *marked)).collect();
            assert_eq!(found, wanted);
        };
        check("来扫雷群啊", &[("来", false), ("扫雷群", true), ("啊", false)]);
        check("👍<b>扫.雷.群", &[("👍<b>", false), ("扫.雷.群", true)]);
        check("吃了吗", &[("吃了吗", false)]);
        check("100-6", &[("100-6", true)]);
        assert_eq!(Marked::new("text", "", &lexicon), None);
    }
}
