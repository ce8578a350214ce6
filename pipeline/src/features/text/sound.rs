//! How a symbol sounds: toneless syllables, and pinyin written in Latin letters.
//!
//! Readings come from the `pinyin` crate. A character of a text has one sound, its everyday
//! reading; a phrase is also searched for in the second reading of the characters that have two
//! in everyday use (`HETERONYMS`), because its writer cannot know which one a text plays on.

use std::borrow::Cow;
use std::sync::LazyLock;

use hashbrown::{HashMap, HashSet};
use pinyin::ToPinyin as _;

use super::normalise::Symbol;

/// The sound of a symbol: a syllable, a Latin letter by itself, or one of the two below.
pub(super) type Sound = u16;

/// What has no sound and does not part its neighbours: skipped characters.
pub(super) const SILENT: Sound = 0;
/// A symbol without a reading, such as a kana. No phrase holds it, so it parts its neighbours.
pub(super) const FOREIGN: Sound = 27;
/// Sounds from here on are syllables; `a` to `z` are 1 to 26.
const SYLLABLES_FROM: Sound = 32;
/// All sounds are below. Standard Chinese has about 410 syllables without tones.
pub(super) const SOUNDS_MAX: Sound = 512;

/// The longest Latin word that is tried as pinyin, in letters: a sentence of some 30 syllables.
pub(super) const WORD_LETTERS_MAX: usize = 128;

/// What the ten digits are called.
const DIGITS: [&str; 10] = ["ling", "yi", "er", "san", "si", "wu", "liu", "qi", "ba", "jiu"];

/// Characters with a second reading in everyday use, and that reading. The crate also knows
/// readings of old books (包 as fu): they would only bring false hits.
const HETERONYMS: &[(char, &str)] = &[
    ('便', "pian"),
    ('藏', "zang"),
    ('差', "chai"),
    ('长', "zhang"),
    ('朝', "zhao"),
    ('车', "ju"),
    ('传', "zhuan"),
    ('大', "dai"),
    ('弹', "tan"),
    ('的', "di"),
    ('地', "di"),
    ('调', "tiao"),
    ('都', "du"),
    ('度', "duo"),
    ('恶', "wu"),
    ('给', "ji"),
    ('还', "huan"),
    ('行', "hang"),
    ('和', "huo"),
    ('会', "kuai"),
    ('红', "gong"),
    ('降', "xiang"),
    ('角', "jue"),
    ('觉', "jiao"),
    ('卡', "qia"),
    ('壳', "qiao"),
    ('了', "liao"),
    ('乐', "yue"),
    ('率', "shuai"),
    ('落', "la"),
    ('没', "mo"),
    ('模', "mu"),
    ('区', "ou"),
    ('色', "shai"),
    ('单', "shan"),
    ('省', "xing"),
    ('石', "dan"),
    ('什', "shi"),
    ('说', "shui"),
    ('宿', "xiu"),
    ('提', "di"),
    ('拓', "ta"),
    ('系', "ji"),
    ('校', "jiao"),
    ('血', "xie"),
    ('着', "zhao"),
    ('扎', "za"),
    ('重', "chong"),
    ('种', "chong"),
    ('幢', "chuang"),
    ('粘', "nian"),
    ('折', "she"),
    ('绿', "lu"),
    ('六', "lu"),
];

/// The syllables of Standard Chinese, and a trie over their letters.
pub(super) struct Syllables {
    by_name: HashMap<String, Sound>,
    nodes: Vec<Node>,
    second: HashMap<char, Sound>,
}

/// A beginning of syllables.
#[derive(Clone, Default)]
struct Node {
    next: [u16; 26],
    sound: Sound,
}

impl Syllables {
    /// The one list of this process, built by the first caller.
    pub(super) fn get() -> &'static Syllables {
        static SYLLABLES: LazyLock<Syllables> = LazyLock::new(Syllables::build);
        &SYLLABLES
    }

    fn build() -> Syllables {
        // Some four hundred of twenty thousand are different.
        let names: HashSet<Cow<'static, str>> =
            ('\u{3400}'..='\u{9FFF}').filter_map(reading).collect();
        let names = names.into_iter().filter(|name| is_syllable(name)).map(Cow::into_owned);
        let mut names: Vec<String> = names.collect();
        names.sort();
        assert!(names.len() < usize::from(SOUNDS_MAX - SYLLABLES_FROM), "they fit the sounds");
        let by_name: HashMap<String, Sound> = names.into_iter().zip(SYLLABLES_FROM..).collect();
        let mut nodes = vec![Node::default()];
        let mut sorted: Vec<_> = by_name.iter().collect();
        sorted.sort();
        for (name, sound) in sorted {
            let mut at = 0;
            for letter in name.bytes() {
                let letter = usize::from(letter - b'a');
                if nodes[at].next[letter] == 0 {
                    nodes[at].next[letter] = nodes.len() as u16;
                    nodes.push(Node::default());
                }
                at = usize::from(nodes[at].next[letter]);
            }
            nodes[at].sound = *sound;
        }
        let second = HETERONYMS.iter().map(|(c, name)| (*c, by_name[*name])).collect();
        Syllables { by_name, nodes, second }
    }

    /// The sound of a symbol.
    pub(super) fn of(&self, symbol: Symbol) -> Sound {
        match char::from_u32(symbol) {
            None | Some('\0') => SILENT,
            Some(c @ 'a'..='z') => c as Sound - 'a' as Sound + 1,
            Some(c @ '0'..='9') => self.named(DIGITS[c as usize - '0' as usize]),
            Some(c) => {
                reading(c).and_then(|name| self.by_name.get(&*name).copied()).unwrap_or(FOREIGN)
            }
        }
    }

    /// The second everyday sound of a symbol.
    pub(super) fn second(&self, symbol: Symbol) -> Option<Sound> {
        self.second.get(&char::from_u32(symbol)?).copied()
    }

    /// The sound of a syllable, or of a Latin letter by itself.
    ///
    /// # Panics
    /// If there is no such syllable: the names stand in tables of this program.
    pub(super) fn named(&self, name: &str) -> Sound {
        if let [letter @ b'a'..=b'z'] = name.as_bytes() {
            return self.of(Symbol::from(*letter));
        }
        *self.by_name.get(name).unwrap_or_else(|| panic!("{name} is no syllable"))
    }

    /// Cuts a word of letters `a` to `z` into syllables: the fewest, and of several cuts the one
    /// whose first syllable is the longest, and so on. `cuts` gets each sound and how many letters
    /// it takes. Returns how many there are: 0 if the word is no pinyin.
    pub(super) fn cut_into(
        &self,
        word: &[u8],
        cuts: &mut [(Sound, u8); WORD_LETTERS_MAX],
    ) -> usize {
        if word.len() > WORD_LETTERS_MAX || word.len() < 2 {
            return 0;
        }
        // For each place: how many syllables the rest takes, and how long the first of them is.
        let mut best = [(u8::MAX, 0_u8, SILENT); WORD_LETTERS_MAX + 1];
        best[word.len()].0 = 0;
        for start in (0..word.len()).rev() {
            let mut at = 0;
            for (length, letter) in word[start..].iter().enumerate() {
                at = usize::from(self.nodes[at].next[usize::from(letter - b'a')]);
                if at == 0 {
                    break;
                }
                let (sound, rest) = (self.nodes[at].sound, best[start + length + 1].0);
                if sound != SILENT && rest != u8::MAX && rest < best[start].0 {
                    best[start] = (rest + 1, length as u8 + 1, sound);
                }
            }
        }
        let (mut start, mut count) = (0, 0);
        while start < word.len() && best[start].0 != u8::MAX {
            let (_, length, sound) = best[start];
            cuts[count] = (sound, length);
            start += usize::from(length);
            count += 1;
        }
        count
    }
}

/// Whether a sound is a Latin letter by itself.
#[inline]
pub(super) fn is_letter(sound: Sound) -> bool {
    (1..FOREIGN).contains(&sound)
}

/// The everyday reading of a character, without tone; ü is typed as v.
fn reading(c: char) -> Option<Cow<'static, str>> {
    let name = c.to_pinyin()?.plain();
    Some(if name.is_ascii() { name.into() } else { name.replace('ü', "v").into() })
}

/// The crate also lists hums such as `hm`, `n` and `ng`.
fn is_syllable(name: &str) -> bool {
    name.contains(['a', 'e', 'i', 'o', 'u', 'v']) && name.bytes().all(|b| b.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(word: &str) -> String {
        let syllables = Syllables::get();
        let mut cuts = [(SILENT, 0); WORD_LETTERS_MAX];
        let count = syllables.cut_into(word.as_bytes(), &mut cuts);
        let mut at = 0;
        let each = cuts[..count].iter().map(|(sound, length)| {
            let piece = &word[at..at + usize::from(*length)];
            assert_eq!(syllables.named(piece), *sound);
            at += piece.len();
            piece
        });
        each.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_are_cut_into_syllables() {
        let rows = [
            ("hongbao", "hong bao"),
            ("saolei", "sao lei"),
            ("dama", "da ma"),
            ("xian", "xian"),
            ("fangan", "fang an"),
            ("lvse", "lv se"),
            ("niuniu", "niu niu"),
            ("er", "er"),
            ("vx", ""),
            ("wx", ""),
            ("telegram", ""),
            ("usdt", ""),
            ("hongb", ""),
            (
                "jintianwanshangyiqiwanhongbaosaoleiba",
                "jin tian wan shang yi qi wan hong bao sao lei ba",
            ),
            ("a", ""),
            ("", ""),
        ];
        for (word, expected) in rows {
            assert_eq!(cut(word), expected, "{word}");
        }
    }

    #[test]
    fn readings_are_the_everyday_ones() {
        let syllables = Syllables::get();
        let named = |c: char| syllables.of(c as Symbol);
        for (chars, name) in [
            ("红宏洪", "hong"),
            ("包胞苞", "bao"),
            ("雷累类泪", "lei"),
            ("绿", "lv"),
            ("分纷", "fen"),
            ("8捌", "ba"),
            ("0零", "ling"),
        ] {
            for c in chars.chars() {
                assert_eq!(named(c), syllables.named(name), "{c}");
            }
        }
        assert_eq!((named('a'), named('z'), named('カ'), named('\0')), (1, 26, FOREIGN, SILENT));
        assert_eq!(syllables.second('行' as Symbol), Some(syllables.named("hang")));
    }
}
