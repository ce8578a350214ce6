//! What people write. The phrases stand in `words/*.txt`, where anyone can add some: a line
//! `# name` opens a section, every other line is a phrase, `//` starts a remark.
//!
//! In a phrase `{a|b|c}` is one of these (each may hold slots of its own), `{10-99}` a whole number,
//! `{$name}` what the caller says.

use std::collections::BTreeMap;

use super::random::Rng;

const FILES: [&str; 3] = [
    include_str!("words/life.txt"),
    include_str!("words/groups.txt"),
    include_str!("words/fraud.txt"),
];

/// All phrases, by section.
#[derive(Debug)]
pub struct Words {
    sections: BTreeMap<&'static str, Vec<Phrase>>,
}

/// A phrase.
#[derive(Debug)]
pub struct Phrase {
    /// As it stands in the file.
    pub line: &'static str,
    parts: Vec<Part>,
}

/// A part of a phrase: what stands there, or a slot.
#[derive(Debug)]
enum Part {
    Text(&'static str),
    Said(&'static str),
    Number(i64, i64),
    OneOf(Vec<Vec<Part>>),
}

impl Words {
    /// Reads the phrases that are compiled in.
    pub fn new() -> Words {
        let mut sections: BTreeMap<&str, Vec<Phrase>> = BTreeMap::new();
        for file in FILES {
            let mut section = "";
            for line in file.lines().map(str::trim) {
                if line.is_empty() || line.starts_with("//") {
                    continue;
                }
                match line.strip_prefix("# ") {
                    Some(name) => section = name,
                    None => {
                        let phrase = Phrase { line, parts: parts(line) };
                        sections.entry(section).or_default().push(phrase);
                    }
                }
            }
        }
        Words { sections }
    }

    /// A phrase of a section, filled in.
    pub fn say(&self, section: &str, said: &[(&str, &str)], rng: &mut Rng) -> String {
        let phrases = self.section(section);
        let phrase = &phrases[rng.below(phrases.len() as u64) as usize];
        let mut text = String::with_capacity(phrase.line.len());
        fill(&phrase.parts, said, rng, &mut text);
        text
    }

    /// The phrases of a section.
    pub fn section(&self, section: &str) -> &[Phrase] {
        let phrases = self.sections.get(section);
        // A name that is no section is a mistake in this program, found by any run of the test.
        phrases.unwrap_or_else(|| panic!("there is no section {section} of phrases"))
    }

    /// The names of the sections.
    #[cfg(test)]
    pub fn sections(&self) -> impl Iterator<Item = (&str, usize)> {
        self.sections.iter().map(|(name, phrases)| (*name, phrases.len()))
    }
}

fn fill(parts: &[Part], said: &[(&str, &str)], rng: &mut Rng, text: &mut String) {
    for part in parts {
        match part {
            Part::Text(there) => text.push_str(there),
            Part::Said(name) => {
                let found = said.iter().find(|(known, _)| known == name);
                let (_, value) =
                    found.unwrap_or_else(|| panic!("nothing is said for the slot {name}"));
                text.push_str(value);
            }
            Part::Number(low, high) => {
                text.push_str(itoa::Buffer::new().format(rng.between(*low, *high)));
            }
            Part::OneOf(ways) => {
                fill(&ways[rng.below(ways.len() as u64) as usize], said, rng, text);
            }
        }
    }
}

/// Takes a phrase apart.
fn parts(phrase: &'static str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = phrase;
    while let Some((before, after)) = rest.split_once('{') {
        let end = slot_end(after).unwrap_or_else(|| panic!("a slot of {phrase} is not closed"));
        parts.push(Part::Text(before));
        parts.push(slot(&after[..end]));
        rest = &after[end + 1..];
    }
    parts.push(Part::Text(rest));
    parts
}

/// Where the brace stands that closes the slot which `text` begins within.
fn slot_end(text: &str) -> Option<usize> {
    let mut open = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn slot(slot: &'static str) -> Part {
    if let Some(name) = slot.strip_prefix('$') {
        return Part::Said(name);
    }
    let range = slot
        .split_once('-')
        .and_then(|(low, high)| Some((low.parse::<i64>().ok()?, high.parse::<i64>().ok()?)));
    match range {
        Some((low, high)) => Part::Number(low, high),
        None => Part::OneOf(alternatives(slot).into_iter().map(parts).collect()),
    }
}

/// The parts of a slot between the bars that are not within a slot of its own.
fn alternatives(slot: &'static str) -> Vec<&'static str> {
    let mut open = 0;
    let mut ways = Vec::new();
    let mut start = 0;
    for (at, c) in slot.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            '|' if open == 0 => {
                ways.push(&slot[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    ways.push(&slot[start..]);
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled() {
        let mut rng = Rng::named(1, "words", 0);
        let mut text = String::new();
        let phrase = parts("付{$who}{5-5}元{买菜|{买|买}菜}");
        fill(&phrase, &[("who", "妈")], &mut rng, &mut text);
        assert_eq!(text, "付妈5元买菜");
    }

    /// Every name that a caller fills in.
    const SAID: [(&str, &str); 11] = [
        ("word", "花茶"),
        ("name", "早起打卡群"),
        ("yuan", "66"),
        ("mine", "3"),
        ("shares", "7"),
        ("code", "k8"),
        ("stars", "3"),
        ("hour", "9"),
        ("each", "50"),
        ("heads", "8"),
        ("units", "2"),
    ];

    #[test]
    fn every_phrase_of_every_section_fills() {
        let words = Words::new();
        let mut rng = Rng::named(1, "words", 0);
        let mut phrases = 0;
        for (section, count) in words.sections() {
            phrases += count;
            for _ in 0..4 * count {
                let text = words.say(section, &SAID, &mut rng);
                assert!(!text.contains(['{', '}', '$']) && text.len() < 400, "{section}: {text}");
            }
        }
        assert!(phrases > 300, "only {phrases} phrases");
    }
}
