//! The scan against a naive one that is written without its parts.
//!
//! Texts are made of pieces whose reading is stated here, so the oracle needs no character table.
//! It tries every stretch of the text for every phrase.
mod pieces;

use std::path::PathBuf;

use proptest::prelude::*;

use super::{Boundary, Grade, Hit, Lexicon, Scratch};
use pieces::{
    ALIKE, APART, Line, PIECES, Piece, SYLLABLES, disguised, lexicon, phrase_line, spelling,
};

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

/// The symbols of a part as they are, and with one look-alike; whether it is one.
fn ways(own: &[Unit]) -> Vec<(Vec<char>, bool)> {
    let own: Vec<char> = own.iter().map(|unit| unit.0).collect();
    let mut ways = vec![(own.clone(), false)];
    let mut others = Vec::new();
    for at in 0..own.len() {
        for (_, other) in ALIKE.iter().filter(|one| one.0 == own[at] && own.len() >= 3) {
            let mut way = own.clone();
            way[at] = *other;
            others.push((way, true));
        }
    }
    others.truncate(8);
    ways.extend(others);
    ways
}

/// A run of a text: its symbol, its length, its first and its last place, and whether some of it is
/// two pieces put together.
type Stretch = (char, usize, usize, usize, bool);

/// The runs of a text with pieces put together from left to right: 雨 and 田, each alone, are 雷,
/// and 雨田雨田 or 雨田雷 are a run of two. Only characters that a phrase seeks are put together.
fn put_together(all: &[Unit], sought: impl Fn(char) -> bool) -> Vec<Stretch> {
    let mut runs: Vec<Stretch> = Vec::new();
    for (at, unit) in all.iter().enumerate() {
        match runs.last_mut() {
            Some(last) if last.0 == unit.0 => (last.1, last.3) = (last.1 + 1, at),
            _ => runs.push((unit.0, 1, at, at, false)),
        }
    }
    let mut out: Vec<Stretch> = Vec::new();
    let mut at = 0;
    while at < runs.len() {
        let two = runs[at..].iter().take(2).filter(|run| run.1 == 1).map(|run| run.0);
        let two: String = two.collect();
        let one = match APART.iter().find(|one| one.1 == two && sought(one.0)) {
            Some((whole, _)) => (*whole, 1, runs[at].2, runs[at + 1].3, true),
            None => runs[at],
        };
        at += if one.4 { 2 } else { 1 };
        match out.last_mut() {
            Some(last) if last.0 == one.0 => {
                *last = (last.0, last.1 + one.1, last.2, one.3, true);
            }
            _ => out.push(one),
        }
    }
    out
}

/// The place at which a text spells a part with some characters taken apart, over the stretches
/// `here`, which begin and end where those of the text do.
fn spelt_apart(
    text: &[Piece],
    all: &[Unit],
    here: &[Stretch],
    (line, part): (&Line, &[Piece]),
) -> Option<(usize, usize, Grade)> {
    let want = run_lengths(&units(part));
    if !here.iter().any(|one| one.4) || here.len() != want.len() {
        return None;
    }
    let fits = |at: usize, length: usize| {
        let long = !want[at].0.is_ascii_digit() && length > want[at].1;
        length == want[at].1 || long
    };
    let last = here.len() - 1;
    let alike = here.iter().zip(&want).all(|(have, want)| have.0 == want.0);
    let middle = (1..last.max(1)).all(|at| fits(at, here[at].1));
    if !alike || !middle {
        return None;
    }
    let inked = |left: usize| {
        let (a, b) = (all[left].1, all[left + 1].1);
        a != b && text[a + 1..b].iter().any(|between| between.2)
    };
    let (head, tail) = (here[0], here[last]);
    let late = (head.2..head.3).rev().filter(|_| !head.4).find(|left| inked(*left));
    let start = late.map(|left| left + 1).into_iter().chain([head.2]).find(|start| {
        let length = if head.4 { head.1 } else { head.3 - start + 1 };
        let stuck = *start > 0 && !head.4 && glued(text, all, start - 1, line.boundary);
        fits(0, length) && !stuck
    })?;
    let early = (tail.2..tail.3).filter(|_| !tail.4).find(|left| inked(*left));
    let end = early.into_iter().chain([tail.3]).find(|end| {
        let length = if tail.4 { tail.1 } else { end - tail.2 + 1 };
        let stuck = !tail.4 && end + 1 < all.len() && glued(text, all, *end, line.boundary);
        fits(last, length) && !stuck
    })?;
    line.grades.contains(&Grade::Split).then_some((all[start].1, all[end].1 + 1, Grade::Split))
}

/// The place and the grade with which the whole runs `from..=to` spell a part of a phrase in one of
/// its ways, if they do.
fn spelt(
    text: &[Piece],
    all: &[Unit],
    from: usize,
    to: usize,
    (line, part, way): (&Line, &[Piece], &(Vec<char>, bool)),
) -> Option<(usize, usize, Grade)> {
    let whole_runs = (from == 0 || all[from - 1].0 != all[from].0)
        && (to + 1 == all.len() || all[to + 1].0 != all[to].0);
    if !whole_runs {
        return None;
    }
    let want = run_lengths(&way.0.iter().map(|c| (*c, 0)).collect::<Vec<_>>());
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
    let own = units(part);
    let core = &part[own[0].1..=own[own.len() - 1].1];
    let written = &text[all[from].1..=all[to].1];
    let lower = |pieces: &[Piece]| spelling(pieces).to_ascii_lowercase();
    let grade = if lower(written).contains(&lower(core)) {
        Grade::Exact
    } else if skipped(written) > skipped(core) {
        Grade::Skipped
    } else {
        Grade::Folded
    };
    // Look-alikes are sought only for a phrase that takes folded spellings.
    let sought = !way.1 || line.grades.contains(&Grade::Folded);
    let taken = sought && line.grades.contains(&grade);
    taken.then_some((all[from].1, all[to].1 + 1, grade))
}

/// A syllable, letter or other symbol of a text: its sound, the symbol it is read from (none for
/// pinyin and pictures), its first piece and the one after its last, and what it is.
#[derive(Clone, Debug)]
struct Sounded {
    sound: String,
    symbol: Option<char>,
    start: usize,
    end: usize,
    letter: bool,
    digit: bool,
}

/// The best cut of a word into syllables: the fewest, then the longest first.
fn cut(word: &str) -> Option<Vec<&str>> {
    if word.is_empty() {
        return Some(Vec::new());
    }
    let cuts = SYLLABLES.iter().filter(|syllable| word.starts_with(**syllable));
    let cuts = cuts.filter_map(|syllable| {
        let rest = cut(&word[syllable.len()..])?;
        Some([vec![&word[..syllable.len()]], rest].concat())
    });
    let key = |cut: &Vec<&str>| {
        let lengths: Vec<_> = cut.iter().map(|one| std::cmp::Reverse(one.len())).collect();
        (cut.len(), lengths)
    };
    cuts.min_by_key(key)
}

fn sounded(text: &[Piece]) -> Vec<Sounded> {
    let mut each = Vec::new();
    for (at, piece) in text.iter().enumerate() {
        let symbols: Vec<char> = piece.1.chars().collect();
        for (place, sound) in piece.3.split(' ').filter(|sound| !sound.is_empty()).enumerate() {
            let symbol = symbols.get(place).copied();
            let letter = symbol.is_some_and(|symbol| symbol.is_ascii_lowercase());
            let digit = symbol.is_some_and(|s| s.is_ascii_digit()) && !"一陸".contains(piece.0);
            let sound = sound.to_owned();
            each.push(Sounded { sound, symbol, start: at, end: at + 1, letter, digit });
        }
    }
    let mut read = Vec::new();
    let mut at = 0;
    while at < each.len() {
        let mut end = at + 1;
        while each[at].letter && end < each.len() && each[end].letter {
            if text[each[end - 1].end..each[end].start].iter().any(|piece| piece.2) {
                break;
            }
            end += 1;
        }
        let word: String = each[at..end].iter().map(|one| one.sound.as_str()).collect();
        let cuts = if each[at].letter && word.len() <= 128 { cut(&word) } else { None };
        match cuts {
            Some(cuts) => {
                let mut place = at;
                for syllable in cuts {
                    let last = &each[place + syllable.len() - 1];
                    read.push(Sounded {
                        sound: syllable.to_owned(),
                        symbol: None,
                        start: each[place].start,
                        end: last.end,
                        letter: false,
                        digit: false,
                    });
                    place += syllable.len();
                }
            }
            None => read.extend_from_slice(&each[at..end]),
        }
        at = end;
    }
    read
}

/// The places and grades with which a text spells a part of a phrase by its sound.
fn heard(
    text: &[Piece],
    read: &[Sounded],
    line: &Line,
    part: &[Piece],
) -> Vec<(usize, usize, Grade)> {
    let want: Vec<(char, &str)> = (part.iter())
        .filter(|piece| !piece.1.is_empty())
        .flat_map(|piece| piece.1.chars().zip(piece.3.split(' ')))
        .collect();
    let alike = |one: &Sounded, want: &(char, &str)| {
        let second = want.0 == '红' && one.sound == "gong";
        want.1 != "?" && (one.sound == want.1 || second)
    };
    let touch = |left: usize, right: usize| {
        let (Some(a), Some(b)) = (read.get(left), read.get(right)) else { return false };
        let ink = a.end <= b.start && text[a.end..b.start].iter().any(|piece| piece.2);
        let (letters, digits) = (a.letter && b.letter, a.digit && b.digit);
        !ink && match line.boundary {
            Boundary::Word => letters || digits,
            Boundary::Token => (a.letter || a.digit) && (b.letter || b.digit),
            Boundary::None => false,
        }
    };
    let mut found = Vec::new();
    for from in 0..(read.len() + 1).saturating_sub(want.len()) {
        let to = from + want.len() - 1;
        let here = || read[from..=to].iter().zip(&want);
        let differ = here().filter(|(one, want)| one.symbol != Some(want.0)).count();
        let grade = if differ == 1 { Grade::Homophone } else { Grade::Homophones };
        let stuck = from > 0 && touch(from - 1, from) || touch(to, to + 1);
        let spelt = here().all(|(one, want)| alike(one, want));
        if spelt && differ > 0 && !stuck && line.grades.contains(&grade) {
            found.push((read[from].start, read[to].end, grade));
        }
    }
    found
}

/// Hits as (start, end, phrase as written, category, grade), sorted.
type Found = (usize, usize, String, String, Grade);

/// A part of a line that stands in the text in its own symbols or in a variant of them.
struct Stand {
    line: usize,
    part: usize,
    from: usize,
    to: usize,
    runs: usize,
    variant: bool,
    place: (usize, usize, Grade),
}

fn stands(text: &[Piece], lines: &[Line]) -> Vec<Stand> {
    let all = units(text);
    let sought = |symbol: char| {
        let takes = |line: &&Line| line.category.is_some() && line.grades.contains(&Grade::Split);
        let parts = lines.iter().filter(takes).flat_map(|line| &line.parts);
        parts.flatten().any(|piece| piece.1.contains(symbol))
    };
    let together = put_together(&all, sought);
    let mut stands = Vec::new();
    for (line_at, line) in lines.iter().enumerate() {
        for (part_at, part) in line.parts.iter().enumerate() {
            for first in 0..together.len() {
                for last in (first..together.len()).filter(|_| line.category.is_some()) {
                    let place = spelt_apart(text, &all, &together[first..=last], (line, &part[..]));
                    let (from, to) = (together[first].2, together[last].3);
                    let runs = run_lengths(&all[from..=to]).len();
                    stands.extend(place.map(|place| Stand {
                        line: line_at,
                        part: part_at,
                        from,
                        to,
                        runs,
                        variant: true,
                        place,
                    }));
                }
            }
            for way in ways(&units(part)) {
                if line.category.is_none() && way.1 {
                    continue;
                }
                for from in 0..all.len() {
                    for to in from..all.len() {
                        let place = spelt(text, &all, from, to, (line, part, &way));
                        let runs = run_lengths(&all[from..=to]).len();
                        stands.extend(place.map(|place| Stand {
                            line: line_at,
                            part: part_at,
                            from,
                            to,
                            runs,
                            variant: way.1,
                            place,
                        }));
                    }
                }
            }
        }
    }
    stands
}

fn naive(text: &[Piece], lines: &[Line]) -> Vec<Found> {
    let stands = stands(text, lines);
    let whole = |stand: &Stand| lines[stand.line].whole();
    let allowed = |stand: &Stand| lines[stand.line].category.is_none();
    let category = |stand: &Stand| lines[stand.line].category;
    // What is told of each part: line, part, place.
    let mut told: Vec<(usize, usize, (usize, usize, Grade))> = Vec::new();
    for stand in stands.iter().filter(|stand| !allowed(stand)) {
        let covers = stands.iter().filter(|other| {
            let same = (other.line, other.part) == (stand.line, stand.part);
            (whole(other) || same) && other.from <= stand.from && other.to >= stand.to
        });
        let longest_of =
            |free: bool| covers.clone().filter(|c| allowed(c) == free).map(|c| c.runs).max();
        if longest_of(true) >= longest_of(false) {
            continue;
        }
        // Another phrase of the category is meant: one that stands there in its own symbols, or the
        // first of those that can be disguised so.
        let another = covers.clone().any(|other| {
            let same = (other.from, other.to) == (stand.from, stand.to);
            let first = lines[other.line].text() < lines[stand.line].text();
            category(other) == category(stand) && whole(other) && (!other.variant || same && first)
        });
        if !(stand.variant && whole(stand) && another) {
            told.push((stand.line, stand.part, stand.place));
        }
    }

    let read = sounded(text);
    let mut sounds: Vec<(usize, usize, (usize, usize, Grade))> = Vec::new();
    for (line_at, line) in lines.iter().enumerate().filter(|line| line.1.category.is_some()) {
        for (part_at, part) in line.parts.iter().enumerate() {
            for place in heard(text, &read, line, part) {
                let written = stands.iter().any(|other| {
                    let covers = other.place.0 <= place.0 && other.place.1 >= place.1;
                    let overlaps = other.place.0 < place.1 && place.0 < other.place.1;
                    let meant = line.whole() && whole(other) && category(other) == line.category;
                    covers && (allowed(other) || meant)
                        || overlaps && (other.line, other.part) == (line_at, part_at)
                });
                if !written {
                    sounds.push((line_at, part_at, place));
                }
            }
        }
    }
    for (line, part, place) in &sounds {
        let better = sounds.iter().any(|(other, _, at)| {
            let (one, two) = (&lines[*other], &lines[*line]);
            let same = (at.0, at.1) == (place.0, place.1) && one.category == two.category;
            one.whole() && same && (at.2, one.text()) < (place.2, two.text())
        });
        if !(lines[*line].whole() && better) {
            told.push((*line, *part, *place));
        }
    }

    let mut hits = Vec::new();
    for (line_at, line) in lines.iter().enumerate().filter(|line| line.1.category.is_some()) {
        let of_part = |part: usize| {
            let own = told.iter().filter(move |one| (one.0, one.1) == (line_at, part));
            own.map(|one| one.2).collect::<Vec<_>>()
        };
        let named = |(start, end, grade)| {
            (start, end, line.text(), line.category.unwrap().to_owned(), grade)
        };
        if line.whole() {
            hits.extend(of_part(0).into_iter().map(named));
            continue;
        }
        let best: Vec<_> = (0..line.parts.len())
            .filter_map(|part| of_part(part).into_iter().min_by_key(|one| (one.2, one.0, one.1)))
            .collect();
        if best.len() == line.parts.len() {
            let start = best.iter().map(|one| one.0).min().unwrap();
            let end = best.iter().map(|one| one.1).max().unwrap();
            hits.push(named((start, end, best.iter().map(|one| one.2).max().unwrap())));
        }
    }
    hits.sort();
    hits.dedup();
    hits
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn scan_equals_the_naive_scan(
        lines in prop::collection::vec(phrase_line(), 1..14),
        text in prop::collection::vec(prop::sample::select(PIECES), 0..40),
        quoted in prop::collection::vec(
            (any::<prop::sample::Index>(), 0usize..40, prop::collection::vec(0usize..9, 6)),
            0..4,
        ),
    ) {
        let (lexicon, lines) = lexicon(lines);
        let mut text = text;
        if !lines.is_empty() {
            for (which, at, choices) in quoted {
                for (turn, part) in which.get(&lines).parts.iter().enumerate() {
                    let at = (at * (turn + 1)).min(text.len());
                    text.splice(at..at, disguised(part, &choices));
                }
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
