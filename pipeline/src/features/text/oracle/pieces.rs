//! What the naive scan is tried with: characters whose reading is stated here, phrase lines made of
//! them, and texts that play on those.

use std::path::PathBuf;

use proptest::prelude::*;

use super::super::{Boundary, Grade, Lexicon};
use super::{run_lengths, units};

/// A character, what it is read as, whether it is ink, and how it sounds. Characters read as
/// nothing are skipped, even if they have sounds.
pub(super) type Piece = (char, &'static str, bool, &'static str);

pub(super) const PIECES: &[Piece] = &[
    ('牛', "牛", true, "niu"),
    ('⽜', "牛", true, "niu"),
    ('午', "午", true, "wu"),
    ('纽', "纽", true, "niu"),
    ('扫', "扫", true, "sao"),
    ('掃', "扫", true, "sao"),
    ('搔', "搔", true, "sao"),
    ('雷', "雷", true, "lei"),
    ('蕾', "蕾", true, "lei"),
    ('霄', "霄", true, "xiao"),
    ('红', "红", true, "hong"),
    ('紅', "红", true, "hong"),
    ('荭', "红", true, "hong"),
    ('宏', "宏", true, "hong"),
    ('江', "江", true, "jiang"),
    ('雨', "雨", true, "yu"),
    ('田', "田", true, "tian"),
    ('纟', "丝", true, "si"),
    ('工', "工", true, "gong"),
    ('扌', "手", true, "shou"),
    ('彐', "彐", true, "ji"),
    ('カ', "カ", true, "?"),
    ('v', "v", true, "v"),
    ('V', "v", true, "v"),
    ('ｖ', "v", true, "v"),
    ('🅥', "v", true, "v"),
    ('ν', "v", true, "v"),
    ('x', "x", true, "x"),
    ('Ⓧ', "x", true, "x"),
    ('𝐱', "x", true, "x"),
    ('n', "n", true, "n"),
    ('i', "i", true, "i"),
    ('u', "u", true, "u"),
    ('1', "1", true, "yi"),
    ('①', "1", true, "yi"),
    ('一', "1", true, "yi"),
    ('6', "6", true, "liu"),
    ('６', "6", true, "liu"),
    ('陸', "6", true, "liu"),
    ('⑯', "16", true, "yi liu"),
    ('⒒', "11", true, "yi yi"),
    ('🐮', "", true, "niu"),
    ('🧧', "", true, "hong bao"),
    ('🇳', "", true, "n"),
    ('*', "", true, ""),
    (' ', "", true, ""),
    ('，', "", true, ""),
    ('💰', "", true, ""),
    ('丶', "", true, ""),
    ('\u{200b}', "", false, ""),
    ('\u{fe0f}', "", false, ""),
    ('\u{308}', "", false, ""),
];

/// Every syllable that can be written with the letters above.
pub(super) const SYLLABLES: [&str; 11] =
    ["ni", "nin", "niu", "nu", "nun", "nv", "xi", "xin", "xiu", "xu", "xun"];
/// Characters above that can be taken apart, and how.
pub(super) const APART: [(char, &str); 3] = [('雷', "雨田"), ('红', "丝工"), ('扫', "手彐")];
/// Characters above that look alike. 土 and the like are not among them.
pub(super) const ALIKE: [(char, char); 6] =
    [('牛', '午'), ('午', '牛'), ('雷', '霄'), ('霄', '雷'), ('红', '江'), ('江', '红')];

/// A phrase line as the test makes it: one piece of text, or several that stand anywhere.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) parts: Vec<Vec<Piece>>,
    pub(super) category: Option<&'static str>,
    pub(super) grades: Vec<Grade>,
    pub(super) boundary: Boundary,
}

impl Line {
    pub(super) fn text(&self) -> String {
        self.parts.iter().map(|part| spelling(part)).collect::<Vec<_>>().join(" && ")
    }

    pub(super) fn whole(&self) -> bool {
        self.parts.len() == 1
    }
}

/// A lexicon of the lines that can be in one file, and those lines.
pub(super) fn lexicon(lines: Vec<Line>) -> (Lexicon, Vec<Line>) {
    let mut kept: Vec<Line> = Vec::new();
    for line in lines {
        let symbols = |line: &Line| {
            let mut parts: Vec<_> =
                line.parts.iter().map(|part| run_lengths(&units(part))).collect();
            parts.sort();
            parts
        };
        let known =
            |other: &Line| other.category == line.category && symbols(other) == symbols(&line);
        let parts = symbols(&line);
        let distinct = parts.windows(2).all(|two| two[0] != two[1]);
        // At most three 红: a fourth would have more readings than are searched for.
        let few = |part: &Vec<Piece>| part.iter().filter(|piece| piece.1 == "红").count() <= 3;
        let long = line.parts.iter().all(|part| units(part).len() >= 2 && few(part));
        if long && distinct && !kept.iter().any(known) {
            kept.push(line);
        }
    }
    let file: String = kept.iter().map(written_line).collect();
    let lexicon = Lexicon::from_files(&[(PathBuf::from("made.txt"), file)]);
    (lexicon.expect("the lines are well formed"), kept)
}

fn written_line(line: &Line) -> String {
    let text = line.text();
    let boundary = line.boundary.name();
    match line.category {
        None => format!("!{text}\tboundary={boundary}\n"),
        Some(category) => {
            let grades: Vec<_> = line.grades.iter().map(|grade| grade.name()).collect();
            let grades = grades.join(",");
            format!("{text}\tcategory={category} grades={grades} boundary={boundary}\n")
        }
    }
}

fn ink() -> impl Strategy<Value = Piece> {
    let symbols: Vec<Piece> = PIECES.iter().copied().filter(|piece| !piece.1.is_empty()).collect();
    prop::sample::select(symbols)
}

fn part() -> impl Strategy<Value = Vec<Piece>> {
    let inside = prop::collection::vec(prop::sample::select(PIECES), 0..4);
    // Between a sixth and five twelfths of them have a piece twice, as in 时时彩.
    let twice = 0usize..12;
    (ink(), inside, ink(), twice).prop_map(|(first, inside, last, twice)| {
        let mut part = [vec![first], inside, vec![last]].concat();
        if let Some(piece) = part.get(twice).copied() {
            part.insert(twice, piece);
        }
        part
    })
}

pub(super) fn phrase_line() -> impl Strategy<Value = Line> {
    let parts = prop_oneof![
        4 => prop::collection::vec(part(), 1),
        1 => prop::collection::vec(part(), 2..=3),
    ];
    let category = prop::sample::select(&[Some("gambling"), Some("own"), Some("own"), None][..]);
    let grades = prop::sample::subsequence(Grade::ALL.to_vec(), 1..=6);
    let boundary = prop::sample::select(
        &[Boundary::Word, Boundary::Word, Boundary::Token, Boundary::None][..],
    );
    (parts, category, grades, boundary).prop_map(|(mut parts, category, grades, boundary)| {
        // An allow-phrase takes every grade and is one piece.
        let grades = if category.is_some() { grades } else { Grade::ALL.to_vec() };
        if category.is_none() {
            parts.truncate(1);
        }
        Line { parts, category, grades, boundary }
    })
}

/// A text that plays on the parts of a phrase: each piece as it is, replaced by one of the same
/// sound, taken apart or spelt in Latin letters.
pub(super) fn disguised(pieces: &[Piece], choices: &[usize]) -> Vec<Piece> {
    let mut out = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let choice = choices.get(at).copied().unwrap_or(0);
        let find = |c: char| PIECES.iter().copied().find(|one| one.1.starts_with(c) && one.2);
        let apart = APART.iter().find(|one| piece.1.starts_with(one.0)).map(|one| one.1);
        match choice {
            1 | 2 => {
                let same: Vec<_> = PIECES.iter().filter(|one| one.3 == piece.3).collect();
                out.push(*same[(choice + at * 7) % same.len()]);
            }
            3 if apart.is_some() => out.extend(apart.unwrap_or("").chars().filter_map(find)),
            4 if piece.3 == "niu" => out.extend("niu".chars().filter_map(find)),
            5 => out.extend(
                ALIKE.iter().filter(|o| piece.1.starts_with(o.0)).filter_map(|o| find(o.1)),
            ),
            _ => out.push(*piece),
        }
    }
    out
}

pub(super) fn spelling(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| piece.0).collect()
}
