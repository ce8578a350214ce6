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
    sections: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Words {
    /// Reads the phrases that are compiled in.
    pub fn new() -> Words {
        let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for file in FILES {
            let mut section = "";
            for line in file.lines().map(str::trim) {
                if line.is_empty() || line.starts_with("//") {
                    continue;
                }
                match line.strip_prefix("# ") {
                    Some(name) => section = name,
                    None => sections.entry(section).or_default().push(line),
                }
            }
        }
        Words { sections }
    }

    /// A phrase of a section, filled in.
    pub fn say(&self, section: &str, said: &[(&str, &str)], rng: &mut Rng) -> String {
        let phrases = self.sections.get(section);
        // A name that is no section is a mistake in this program, found by any run of the test.
        let phrases = phrases.unwrap_or_else(|| panic!("there is no section {section} of phrases"));
        let phrase = phrases[rng.below(phrases.len() as u64) as usize];
        fill(phrase, said, rng)
    }

    /// The phrases of a section, as they stand.
    pub fn section(&self, section: &str) -> &[&'static str] {
        let phrases = self.sections.get(section);
        phrases.unwrap_or_else(|| panic!("there is no section {section} of phrases"))
    }

    /// The names of the sections.
    #[cfg(test)]
    pub fn sections(&self) -> impl Iterator<Item = (&str, usize)> {
        self.sections.iter().map(|(name, phrases)| (*name, phrases.len()))
    }
}

fn fill(phrase: &str, said: &[(&str, &str)], rng: &mut Rng) -> String {
    let mut text = String::with_capacity(phrase.len());
    let mut rest = phrase;
    while let Some((before, after)) = rest.split_once('{') {
        let end = slot_end(after).unwrap_or_else(|| panic!("a slot of {phrase} is not closed"));
        text.push_str(before);
        text.push_str(&fill_slot(&after[..end], said, rng));
        rest = &after[end + 1..];
    }
    text.push_str(rest);
    text
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

fn fill_slot(slot: &str, said: &[(&str, &str)], rng: &mut Rng) -> String {
    if let Some(name) = slot.strip_prefix('$') {
        let found = said.iter().find(|(known, _)| *known == name);
        let (_, value) = found.unwrap_or_else(|| panic!("nothing is said for the slot {name}"));
        return (*value).to_owned();
    }
    let range = slot
        .split_once('-')
        .and_then(|(low, high)| Some((low.parse::<i64>().ok()?, high.parse::<i64>().ok()?)));
    match range {
        Some((low, high)) => rng.between(low, high).to_string(),
        None => {
            let parts = alternatives(slot);
            fill(parts[rng.below(parts.len() as u64) as usize], said, rng)
        }
    }
}

/// The parts of a slot between the bars that are not within a slot of its own.
fn alternatives(slot: &str) -> Vec<&str> {
    let mut open = 0;
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, c) in slot.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            '|' if open == 0 => {
                parts.push(&slot[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&slot[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled() {
        let mut rng = Rng::named(1, "words", 0);
        let text = fill("付{$who}{5-5}元{买菜|{买|买}菜}", &[("who", "妈")], &mut rng);
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
