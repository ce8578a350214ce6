//! Text: phrases that betray a trade, found however they are spelt.
//!
//! A text passes through, in this order:
//! 1. `normalise`: one table says what each character is read as;
//! 2. `gate`: Bloom filters over the rarest three symbols and the rarest three syllables of each
//!    phrase let nearly every harmless text go by;
//! 3. `matcher`: aho-corasick finds the phrases of what is left; each is verified on the
//!    original (run lengths, word boundaries, allow-phrases) and graded by how it is spelt;
//! 4. `homophones`: a second automaton finds what only sounds like a phrase, over the syllables
//!    of `sound`;
//! 5. `memo`: the grammar of a mine packet's memo.
//!
//! The phrases come from files, read by `phrases` and turned into a lexicon by `compile`. All of it
//! depends on the one text alone.

mod compile;
mod confusables;
mod entry;
mod gate;
mod grade;
mod homophones;
mod lookalikes;
mod marked;
mod matcher;
mod memo;
mod normalise;
#[cfg(test)]
mod oracle;
mod patterns;
mod phrases;
#[cfg(test)]
mod reach;
mod reader;
mod runs;
mod sound;
mod splits;
mod symbols;
#[cfg(test)]
mod tests;

use crate::event::{NULL_INT, Type, Value};

pub use compile::{read_directory, read_text};
pub use grade::Grade;
pub use marked::{Mark, Marked};
pub use matcher::{Hit, Lexicon, Scratch};
pub use memo::Bet;
pub use phrases::{
    Boundary, CATEGORIES_MAX, CATEGORY_BYTES_MAX, PARTS_MAX, PHRASE_CHARS_MAX, PHRASES_MAX,
    WEIGHT_DEFAULT, WEIGHT_MAX, categories_named,
};
pub(crate) use reader::Reader;
pub use symbols::BREAK;

/// A category that every lexicon has, even when no phrase is in it.
struct Category {
    name: &'static str,
    what: &'static str,
    what_zh: &'static str,
    misleads: &'static str,
}

/// So that rules on these categories can be read whatever phrases there are.
const CATEGORIES: [Category; 5] = [
    Category {
        name: "gambling",
        what: "gambling with red packets",
        what_zh: "红包赌博",
        misleads: "people also talk about a film, a news item or a board game in these words",
    },
    Category {
        name: "settlement",
        what: "settling stakes in coded words",
        what_zh: "暗语结算",
        misleads: "bookkeepers and game shops settle and top up too",
    },
    Category {
        name: "brushing",
        what: "fake orders and paid reviews",
        what_zh: "刷单",
        misleads: "shops ask for honest reviews with similar words",
    },
    Category {
        name: "contact",
        what: "drawing people away to other contacts",
        what_zh: "引流",
        misleads: "friends exchange contacts too; strong only among strangers",
    },
    Category {
        name: "fraud",
        what: "talk of swindlers",
        what_zh: "诈骗话术",
        misleads: "warnings against fraud quote what they warn of",
    },
];

/// Whether every lexicon has this category, whatever its phrases.
pub fn has_always(category: &str) -> bool {
    CATEGORIES.iter().any(|one| one.name == category)
}

/// A text feature as the catalogue lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in conditions, such as `text.gambling`.
    pub name: String,
    /// The type of its values.
    pub kind: Type,
    /// What it measures.
    pub doc: String,
    /// The same in Chinese.
    pub doc_zh: String,
    /// The unit of its values; empty if they have none.
    pub unit: String,
    /// When it misleads.
    pub misleads: String,
}

/// The text features that a lexicon gives, in the order of the values of [`Lexicon::compute`].
pub fn entries(lexicon: &Lexicon) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(lexicon.features());
    for name in lexicon.categories() {
        entries.extend(category_entries(name));
    }
    entries.push(Entry {
        name: "text.evasion".to_owned(),
        kind: Type::Int,
        doc: "phrases hit only by undoing a disguise: look-alikes, symbols inside, odd numerals, \
              characters taken apart, homophones, pinyin"
            .to_owned(),
        doc_zh: "还原伪装后才命中的短语次数:形近字、插入符号、变体数字、拆字、谐音、拼音等"
            .to_owned(),
        unit: "hits".to_owned(),
        misleads: "writing in traditional characters or full width counts as a disguise, and so \
                   do a comma that happens to fall inside and a slip of a pinyin keyboard"
            .to_owned(),
    });
    entries.push(Entry {
        name: "text.bet_memo".to_owned(),
        kind: Type::Bool,
        doc: "the whole text is a mine packet's memo: 100-6, 100/7/6, 30元5包".to_owned(),
        doc_zh: "整段文字是扫雷红包的留言格式:金额-雷、金额/包数/雷、X元Y包".to_owned(),
        unit: String::new(),
        misleads: "10-6 is also the sixth of October and 10元3包 a price: weak without behaviour"
            .to_owned(),
    });
    entries.push(Entry {
        name: "text.bet_digit".to_owned(),
        kind: Type::Int,
        doc: "the one losing digit that a mine packet's memo announces".to_owned(),
        doc_zh: "扫雷红包留言公布的雷号(仅一个雷号时)".to_owned(),
        unit: "digit".to_owned(),
        misleads: "as text.bet_memo".to_owned(),
    });
    entries
}

fn category_entries(name: &str) -> [Entry; 2] {
    let known = CATEGORIES.iter().find(|category| category.name == name);
    let what = known.map_or(name, |category| category.what);
    let what_zh = known.map_or(name, |category| category.what_zh);
    let misleads = known.map_or("as its phrases do", |category| category.misleads);
    let entry = |suffix: &str, doc: String, doc_zh: String, unit: &str| Entry {
        name: format!("text.{name}{suffix}"),
        kind: Type::Int,
        doc,
        doc_zh,
        unit: unit.to_owned(),
        misleads: misleads.to_owned(),
    };
    [
        entry(
            "",
            format!("distinct phrases of {what} in the text; 0 when none"),
            format!("文本中出现的{what_zh}类短语种数,没有则为 0"),
            "phrases",
        ),
        entry(
            "_weight",
            format!("sum of the weights of the distinct phrases of {what}"),
            format!("出现的{what_zh}类短语的权重之和"),
            "points",
        ),
    ]
}

impl Lexicon {
    /// How many text features there are.
    pub fn features(&self) -> usize {
        2 * self.categories().len() + 3
    }

    /// The text features of `text`, in the order of [`entries`]; [`NULL_INT`] is null, and a bool
    /// is 0 or 1. All are null when there is no text.
    ///
    /// # Panics
    /// If `out` does not have [`Lexicon::features`] places.
    pub fn compute(&self, text: &str, scratch: &mut Scratch, out: &mut [i64]) {
        assert_eq!(out.len(), self.features(), "one place a text feature");
        if text.is_empty() {
            out.fill(NULL_INT);
            return;
        }
        out.fill(0);
        let mut hits = std::mem::take(&mut scratch.hits);
        self.scan(text, scratch, &mut hits);
        let [by_category @ .., evasion, bet_memo, bet_digit] = out else { return };
        *evasion = hits.iter().filter(|hit| hit.grade > Grade::Exact).count() as i64;
        if !hits.is_empty() {
            hits.sort_unstable_by_key(|hit| hit.phrase);
            hits.dedup_by_key(|hit| hit.phrase);
            for hit in &hits {
                let at = 2 * usize::from(hit.category);
                by_category[at] += 1;
                by_category[at + 1] += i64::from(self.weight(hit.phrase));
            }
        }
        scratch.hits = hits;
        let bet = memo::read_bet(self.table, text, &mut scratch.memo);
        *bet_memo = i64::from(bet.is_some());
        *bet_digit = bet.and_then(|bet| bet.digit).map_or(NULL_INT, i64::from);
    }

    /// A value of [`Lexicon::compute`] in its own type.
    pub fn value(&self, feature: usize, value: i64) -> Value<'static> {
        if value == NULL_INT {
            Value::Null
        } else if feature + 2 == self.features() {
            Value::Bool(value != 0)
        } else {
            Value::Int(value)
        }
    }

    /// The bet that a text as a whole announces, if it is a mine packet's memo.
    pub fn bet(&self, text: &str, scratch: &mut Scratch) -> Option<Bet> {
        memo::read_bet(self.table, text, &mut scratch.memo)
    }

    /// What `hongxian text scan` prints for one line: the hits, and the bet if there is one.
    pub fn scan_line(&self, line: &str) -> serde_json::Value {
        let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
        self.scan(line, &mut scratch, &mut hits);
        let hit = |hit: &Hit| {
            serde_json::json!({
                "phrase": self.phrase(hit.phrase),
                "category": self.categories()[usize::from(hit.category)],
                "weight": self.weight(hit.phrase),
                "grade": hit.grade.name(),
                "start": hit.start,
                "end": hit.end,
            })
        };
        let bet = self.bet(line, &mut scratch);
        serde_json::json!({
            "hits": hits.iter().map(hit).collect::<Vec<_>>(),
            "bet_memo": bet.is_some(),
            "bet_digit": bet.and_then(|bet| bet.digit),
        })
    }
}
