//! Characters that are not seen, or turn what is: text of events and files is hostile.
//!
//! One list for the terminal, where they are replaced, for JSON, where they are written as escapes,
//! and for the pages, whose script has the same list (`foreign` in `assets/report/common.js`).

use std::borrow::Cow;

/// Controls, characters of other directions, invisible letters, tags and the like. What makes up
/// emoji stays, but for the joiner: a family falls apart and is still a family.
const UNSEEN: [(char, char); 16] = [
    ('\u{0}', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{e0000}', '\u{e0fff}'),
];

fn is_unseen(c: char) -> bool {
    UNSEEN.iter().any(|(from, to)| (*from..=*to).contains(&c))
}

/// The text with a replacement character for each that is not seen or turns what is.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_unseen(c) { '\u{fffd}' } else { c }).collect()
}

/// The same, but for tabs and the ends of lines.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    Lines::of(text).text
}

/// A text of lines as it is shown, and where in it what stands where.
pub(crate) struct Lines<'t> {
    /// What is shown.
    pub(crate) text: Cow<'t, str>,
    /// Where each character that was replaced ended, and by how many bytes the text has grown.
    grown: Vec<(usize, isize)>,
}

impl<'t> Lines<'t> {
    pub(crate) fn of(text: &'t str) -> Lines<'t> {
        let is_replaced = |(at, c): (usize, char)| match c {
            '\n' | '\t' => false,
            '\r' => !text[at + 1..].starts_with('\n'),
            c => is_unseen(c),
        };
        if !text.char_indices().any(is_replaced) {
            return Lines { text: Cow::Borrowed(text), grown: Vec::new() };
        }
        let (mut shown, mut grown) = (String::with_capacity(text.len()), Vec::new());
        for (at, c) in text.char_indices() {
            if !is_replaced((at, c)) {
                shown.push(c);
                continue;
            }
            shown.push('\u{fffd}');
            let end = at + c.len_utf8();
            grown.push((end, shown.len() as isize - end as isize));
        }
        Lines { text: Cow::Owned(shown), grown }
    }

    /// Where in the text that is shown stands what stood at `at`.
    pub(crate) fn place(&self, at: usize) -> usize {
        let before = self.grown.partition_point(|(end, _)| *end <= at);
        let grown = before.checked_sub(1).map_or(0, |last| self.grown[last].1);
        at.saturating_add_signed(grown)
    }
}

/// A value as JSON of several lines in which such characters are escapes: whoever parses it has
/// them, whoever looks at it does not.
pub(crate) fn json(value: &serde_json::Value) -> String {
    let plain = format!("{value:#}");
    let mut text = String::with_capacity(plain.len() + 1);
    let mut units = [0; 2];
    for c in plain.chars() {
        if c == '\n' || !is_unseen(c) {
            text.push(c);
            continue;
        }
        // Only strings can hold them: between strings JSON has none but line ends.
        for unit in c.encode_utf16(&mut units) {
            text.push_str(&format!("\\u{unit:04x}"));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [char; 9] = [
        '\u{1b}',
        '\u{85}',
        '\u{9b}',
        '\u{61c}',
        '\u{202e}',
        '\u{feff}',
        '\u{e0041}',
        '\u{2066}',
        '\u{3164}',
    ];

    #[test]
    fn hostile_characters_are_not_shown_and_not_lost() {
        for hostile in HOSTILE {
            let text = format!("甲{hostile}a👍🏽");
            assert_eq!(printable(&text), "甲\u{fffd}a👍🏽", "{hostile:?}");
            let value = serde_json::json!({ text.clone(): [text.clone()] });
            let json = json(&value);
            assert!(!json.contains(hostile), "{json}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
        }
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(printable_lines("a\tb\r\n甲\n"), "a\tb\r\n甲\n");
        assert_eq!(printable_lines("a\rb\u{1b}\n\r"), "a\u{fffd}b\u{fffd}\n\u{fffd}");
        let text = "a\u{1b}甲\u{e0041}\r\n\u{85}b";
        let lines = Lines::of(text);
        for (at, c) in text.char_indices().filter(|(_, c)| !is_unseen(*c)) {
            assert!(lines.text[lines.place(at)..].starts_with(c), "{c:?}");
        }
        assert_eq!(lines.place(text.len()), lines.text.len());
    }

    /// What Unicode calls controls is in the list, and nothing that people write with.
    #[test]
    fn the_list_has_all_controls_and_no_letters_or_signs() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            assert!(!c.is_control() || is_unseen(c), "{c:?}");
        }
        for c in "a1 中文，。!？〇々ﾊしアÀüñअभ👍❤\u{fe0f}🇨🇳¥€①".chars()
        {
            assert!(!is_unseen(c), "{c:?}");
        }
    }

    /// The pages' script replaces the very same characters.
    #[test]
    fn the_pages_have_the_same_list() {
        let script = include_str!("../assets/report/common.js");
        let (_, after) = script.split_once("text.replace(/[").expect("what foreign replaces");
        let (set, after) = after.split_once("]/").expect("its end");
        assert!(after.starts_with("gu,"), "all, by characters and not by halves of them");
        let mut ranges = Vec::new();
        for range in set.split("\\u{").skip(1).collect::<Vec<_>>().chunk_by(|a, _| a.ends_with('-'))
        {
            let code = |part: &str| {
                let digits = part.trim_end_matches('-').trim_end_matches('}');
                char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap()
            };
            ranges.push((code(range[0]), code(range[range.len() - 1])));
        }
        assert_eq!(ranges, UNSEEN);
    }
}
