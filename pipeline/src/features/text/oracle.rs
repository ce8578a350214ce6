//! The scan against a naive one that is written without its parts.
//!
//! Texts are made of pieces whose reading is stated here, so the oracle needs no character table.
//! It tries every stretch of the text for every phrase.

use std::path::PathBuf;

use proptest::prelude::*;

use super::{Boundary, Grade, Hit, Lexicon, Scratch};

/// A character, what it is read as, and whether it is ink. Characters read as nothing are skipped.
type Piece = (char, &'static str, bool);

const PIECES: &[Piece] = &[
    ('牛', "牛", true),
    ('⽜', "牛", true),
    ('扫', "扫", true),
    ('掃', "扫", true),
    ('雷', "雷", true),
    ('红', "红", true),
    ('紅', "红", true),
    ('荭', "红", true),
    ('v', "v", true),
    ('V', "v", true),
    ('ｖ', "v", true),
    ('🅥', "v", true),
    ('ν', "v", true),
    ('x', "x", true),
    ('Ⓧ', "x", true),
    ('𝐱', "x", true),
    ('1', "1", true),
    ('①', "1", true),
    ('一', "1", true),
    ('6', "6", true),
    ('６', "6", true),
    ('陸', "6", true),
    ('⑯', "16", true),
    ('⒒', "11", true),
    ('*', "", true),
    (' ', "", true),
    ('，', "", true),
    ('💰', "", true),
    ('丶', "", true),
    ('\u{200b}', "", false),
    ('\u{fe0f}', "", false),
    ('\u{308}', "", false),
];

/// A phrase line as the test makes it.
#[derive(Clone, Debug)]
struct Line {
    pieces: Vec<Piece>,
    category: Option<&'static str>,
    grades: Vec<Grade>,
    boundary: Boundary,
}

/// A symbol of a text and the place of its character.
type Unit = (char, usize);

fn units(pieces: &[Piece]) -> Vec<Unit> {
    let each = pieces.iter().enumerate();
    each.flat_map(|(at, piece)| piece.1.chars().map(move |symbol| (symbol, at))).collect()
}

fn run_lengths(units: &[Unit]) -> Vec<(char, usize)> {
    let mut runs: Vec<(char, usize)> = Vec::new();
    for unit in units {
        match runs.last_mut() {
            Some(last) if last.0 == unit.0 => last.1 += 1,
            _ => runs.push((unit.0, 1)),
        }
    }
    runs
}

fn spelling(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| piece.0).collect()
}

fn skipped(pieces: &[Piece]) -> usize {
    pieces.iter().filter(|piece| piece.1.is_empty()).count()
}

/// Whether the symbols `left` and `left + 1` are glued together under a boundary rule.
fn glued(pieces: &[Piece], all: &[Unit], left: usize, boundary: Boundary) -> bool {
    let (a, b) = (all[left], all[left + 1]);
    if a.1 != b.1 && pieces[a.1 + 1..b.1].iter().any(|between| between.2) {
        return false;
    }
    let han = |unit: Unit| "一陸".contains(pieces[unit.1].0);
    let letter = |unit: Unit| unit.0.is_ascii_alphabetic();
    let digit = |unit: Unit| unit.0.is_ascii_digit() && !han(unit);
    match boundary {
        Boundary::Word => letter(a) && letter(b) || digit(a) && digit(b),
        Boundary::Token => (letter(a) || digit(a)) && (letter(b) || digit(b)),
        Boundary::None => false,
    }
}

/// The stretches of symbols, best first, that a hit over the whole runs `from..=to` can take: from
/// after the last ink of its first run, if there is any, to before the first ink of its last.
fn stretches(text: &[Piece], all: &[Unit], from: usize, to: usize) -> Vec<(usize, usize)> {
    let inked = |left: usize| {
        let (a, b) = (all[left].1, all[left + 1].1);
        a != b && text[a + 1..b].iter().any(|between| between.2)
    };
    let head_end = (from..=to).take_while(|at| all[*at].0 == all[from].0).last().unwrap();
    let tail_start = (from..=to).rev().take_while(|at| all[*at].0 == all[to].0).last().unwrap();
    let late = (from..head_end).rev().find(|left| inked(*left)).map(|left| left + 1);
    let early = (tail_start..to).find(|left| inked(*left));
    if head_end == to {
        let inner = late.zip(early).map(|(late, early)| [(late, to), (from, early)]);
        return inner.into_iter().flatten().chain([(from, to)]).collect();
    }
    let ends: Vec<usize> = early.into_iter().chain([to]).collect();
    let starts = late.into_iter().chain([from]);
    starts.flat_map(|start| ends.iter().map(move |end| (start, *end))).collect()
}

/// The place and the grade with which the whole runs `from..=to` spell a phrase, if they do.
fn spelt(
    text: &[Piece],
    all: &[Unit],
    from: usize,
    to: usize,
    line: &Line,
) -> Option<(usize, usize, Grade)> {
    let whole_runs = (from == 0 || all[from - 1].0 != all[from].0)
        && (to + 1 == all.len() || all[to + 1].0 != all[to].0);
    if !whole_runs {
        return None;
    }
    let want = run_lengths(&units(&line.pieces));
    let good = |&(from, to): &(usize, usize)| {
        let have = run_lengths(&all[from..=to]);
        let same = have.len() == want.len()
            && have.iter().zip(&want).all(|(have, want)| {
                let long = !want.0.is_ascii_digit() && have.1 > want.1;
                have.0 == want.0 && (have.1 == want.1 || long)
            });
        let stuck = from > 0 && glued(text, all, from - 1, line.boundary)
            || to + 1 < all.len() && glued(text, all, to, line.boundary);
        same && !stuck
    };
    let (from, to) = stretches(text, all, from, to).into_iter().find(good)?;
    let own = units(&line.pieces);
    let core = &line.pieces[own[0].1..=own[own.len() - 1].1];
    let written = &text[all[from].1..=all[to].1];
    let lower = |pieces: &[Piece]| spelling(pieces).to_ascii_lowercase();
    let grade = if lower(written).contains(&lower(core)) {
        Grade::Exact
    } else if skipped(written) > skipped(core) {
        Grade::Skipped
    } else {
        Grade::Folded
    };
    line.grades.contains(&grade).then_some((all[from].1, all[to].1 + 1, grade))
}

/// Hits as (start, end, phrase as written, category, grade), sorted.
type Found = (usize, usize, String, String, Grade);

fn naive(text: &[Piece], lines: &[Line]) -> Vec<Found> {
    let all = units(text);
    let mut spans = Vec::new();
    for from in 0..all.len() {
        for to in from..all.len() {
            for line in lines {
                if let Some(found) = spelt(text, &all, from, to, line) {
                    spans.push((from, to, run_lengths(&all[from..=to]).len(), line, found));
                }
            }
        }
    }
    let kept = spans.iter().filter_map(|&(from, to, _, line, (start, end, grade))| {
        let category = line.category?;
        let covers = spans.iter().filter(|span| span.0 <= from && span.1 >= to);
        let longest_of = |allowed: bool| {
            covers.clone().filter(|c| c.3.category.is_none() == allowed).map(|c| c.2).max()
        };
        let hit = (start, end, spelling(&line.pieces), category.to_owned(), grade);
        (longest_of(true) < longest_of(false)).then_some(hit)
    });
    let mut kept: Vec<Found> = kept.collect();
    kept.sort();
    kept
}

/// A lexicon of the lines that can be in one file, and those lines.
fn lexicon(lines: Vec<Line>) -> (Lexicon, Vec<Line>) {
    let mut kept: Vec<Line> = Vec::new();
    for line in lines {
        let symbols = |line: &Line| run_lengths(&units(&line.pieces));
        let known =
            |other: &Line| other.category == line.category && symbols(other) == symbols(&line);
        if units(&line.pieces).len() >= 2 && !kept.iter().any(known) {
            kept.push(line);
        }
    }
    let file: String = kept.iter().map(written_line).collect();
    let lexicon = Lexicon::from_files(&[(PathBuf::from("made.txt"), file)]);
    (lexicon.expect("the lines are well formed"), kept)
}

fn written_line(line: &Line) -> String {
    let text = spelling(&line.pieces);
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

fn named(lexicon: &Lexicon, hits: &[Hit]) -> Vec<Found> {
    let one = |hit: &Hit| {
        let category = lexicon.categories()[usize::from(hit.category)].clone();
        let phrase = lexicon.phrase(hit.phrase).to_owned();
        (hit.start as usize, hit.end as usize, phrase, category, hit.grade)
    };
    let mut found: Vec<Found> = hits.iter().map(one).collect();
    found.sort();
    found
}

fn ink() -> impl Strategy<Value = Piece> {
    let symbols: Vec<Piece> = PIECES.iter().copied().filter(|piece| !piece.1.is_empty()).collect();
    prop::sample::select(symbols)
}

fn phrase_line() -> impl Strategy<Value = Line> {
    let inside = prop::collection::vec(prop::sample::select(PIECES), 0..4);
    let category = prop::sample::select(&[Some("gambling"), Some("own"), Some("own"), None][..]);
    let grades = prop::sample::subsequence(Grade::ALL.to_vec(), 1..=3);
    let boundary = prop::sample::select(
        &[Boundary::Word, Boundary::Word, Boundary::Token, Boundary::None][..],
    );
    (ink(), inside, ink(), category, grades, boundary).prop_map(
        |(first, inside, last, category, grades, boundary)| {
            let pieces = [vec![first], inside, vec![last]].concat();
            // An allow-phrase takes every grade.
            let grades = if category.is_some() { grades } else { Grade::ALL.to_vec() };
            Line { pieces, category, grades, boundary }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn scan_equals_the_naive_scan(
        lines in prop::collection::vec(phrase_line(), 1..14),
        text in prop::collection::vec(prop::sample::select(PIECES), 0..40),
        quoted in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40), 0..3),
    ) {
        let (lexicon, lines) = lexicon(lines);
        let mut text = text;
        if !lines.is_empty() {
            for (which, at) in quoted {
                let pieces = which.get(&lines).pieces.iter().copied();
                let at = at.min(text.len());
                text.splice(at..at, pieces);
            }
        }
        let written = spelling(&text);
        let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
        lexicon.scan(&written, &mut scratch, &mut hits);
        prop_assert_eq!(named(&lexicon, &hits), naive(&text, &lines), "{:?}", written);
        let mut ungated = Vec::new();
        let both = super::gate::Opened { symbols: true, sounds: true };
        lexicon.scan_candidate(&written, both, &mut scratch, &mut ungated);
        prop_assert_eq!(hits, ungated);
    }

    #[test]
    fn any_text_can_be_scanned(text in any::<String>()) {
        let file = "[own]\n牛牛\nvx\n1元\n".to_owned();
        let lexicon = Lexicon::from_files(&[(PathBuf::from("made.txt"), file)]).unwrap();
        let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
        lexicon.scan(&text, &mut scratch, &mut hits);
        let length = text.chars().count() as u32;
        prop_assert!(hits.iter().all(|hit| hit.start < hit.end && hit.end <= length));
        let mut values = vec![0; lexicon.features()];
        lexicon.compute(&text, &mut scratch, &mut values);
    }
}
