//! Phrase files: plain text, one phrase a line.
//!
//! ```text
//! # A comment.
//! [gambling | weight=20]                  the category of the lines below, and their defaults
//! 红包扫雷 | weight=40                     a phrase with an option of its own; a tab also separates
//! 上下分 | grades=exact,folded boundary=none
//! 抢庄 | grades=+homophone                 the usual grades and one more
//! 福利 && 尾数                              both somewhere in one text
//! !扫雷游戏                                an allow-phrase: what it covers is no hit
//! ```
//!
//! What only looks like one of these, such as an option that nothing separates from its phrase, is
//! a mistake (`slips`): read as a phrase it would hit nothing, and nobody would be told.

mod slips;

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Message, did_you_mean};

use super::grade::{Grade, GradeChoice, GradeMistake};

/// The largest weight of a phrase, the same as the largest score of a rule.
pub const WEIGHT_MAX: u32 = 1000;
/// The weight of a phrase that names none.
pub const WEIGHT_DEFAULT: u32 = 10;
/// The longest phrase in characters; a longer one is a sentence that no one repeats word for word.
pub const PHRASE_CHARS_MAX: usize = 64;
/// The most parts of a phrase whose parts stand anywhere in a text.
pub const PARTS_MAX: usize = 4;
/// The most phrases of a lexicon. Beyond it the gate passes so much that it is no gate.
pub const PHRASES_MAX: usize = 200_000;
/// The most categories: each is two columns of every feature row.
pub const CATEGORIES_MAX: usize = 64;
/// The longest name of a category.
pub const CATEGORY_BYTES_MAX: usize = 32;

/// The category of the lines below a section header that names none that can be: they are checked
/// all the same. No name is empty.
pub(super) const NAMELESS: &str = "";

const OPTIONS: [&str; 4] = ["category", "weight", "grades", "boundary"];
const RESERVED: [&str; 3] = ["evasion", "bet_memo", "bet_digit"];

/// What must stand beside a Latin letter or a digit at the edge of a phrase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundary {
    /// No letter beside a letter and no digit beside a digit: `vx` hits in `加vx123`, not in `vxx1`
    /// or `devx`.
    #[default]
    Word,
    /// Neither a letter nor a digit: `vx` does not hit in `vx123`.
    Token,
    /// Anything.
    None,
}

impl Boundary {
    const ALL: [Boundary; 3] = [Boundary::Word, Boundary::Token, Boundary::None];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Boundary::Word => "word",
            Boundary::Token => "token",
            Boundary::None => "none",
        }
    }
}

/// One line of a phrase file, before it is known whether it fits the others.
#[derive(Debug)]
pub(super) struct PhraseLine {
    pub(super) text: String,
    /// None for an allow-phrase, which holds for every category.
    pub(super) category: Option<String>,
    pub(super) weight: u32,
    pub(super) grades: GradeChoice,
    pub(super) boundary: Boundary,
    pub(super) file: PathBuf,
    /// The bytes of the phrase in its file.
    pub(super) span: Range<usize>,
    /// The line in its file, from 1.
    pub(super) line: usize,
}

/// The options that hold for the lines below a section header.
#[derive(Clone)]
struct Defaults {
    category: Option<String>,
    weight: u32,
    grades: GradeChoice,
    boundary: Boundary,
}

impl Default for Defaults {
    fn default() -> Self {
        Defaults {
            category: None,
            weight: WEIGHT_DEFAULT,
            grades: GradeChoice::default(),
            boundary: Boundary::default(),
        }
    }
}

/// Reads the lines of one file; mistakes are added to `mistakes` and their lines left out, but for
/// those that name a category: what reads it is not wrong as well.
pub(super) fn read_file(
    file: &Path,
    text: &str,
    mistakes: &mut Vec<Diagnostic>,
) -> Vec<PhraseLine> {
    let mut named = Vec::new();
    let mut reader = Reader { file, mistakes, named: &mut named, defaults: Defaults::default() };
    reader.file(text)
}

/// Every place of a phrase file that names a category, and its bytes.
pub fn categories_named(text: &str) -> Vec<(String, Range<usize>)> {
    let (mut named, mut mistakes) = (Vec::new(), Vec::new());
    let mut reader = Reader {
        file: Path::new(""),
        mistakes: &mut mistakes,
        named: &mut named,
        defaults: Defaults::default(),
    };
    reader.file(text);
    named
}

/// Part of a file's text and where it begins.
#[derive(Clone, Copy)]
struct Piece<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Piece<'t> {
    /// Without white space around it, and without the mark with which some editors begin a file.
    fn trimmed(self) -> Piece<'t> {
        let blank = |c: char| c.is_whitespace() || c == '\u{FEFF}';
        let start = self.text.trim_start_matches(blank);
        let at = self.at + (self.text.len() - start.len());
        Piece { text: start.trim_end_matches(blank), at }
    }

    fn span(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// The piece from byte `from` on.
    fn after(self, from: usize) -> Piece<'t> {
        Piece { text: &self.text[from..], at: self.at + from }
    }

    /// The piece before byte `to`.
    fn before(self, to: usize) -> Piece<'t> {
        Piece { text: &self.text[..to], at: self.at }
    }

    /// Head and options of a line: a tab or a bar between spaces separates them.
    fn split_options(self) -> (Piece<'t>, Piece<'t>) {
        let tab = self.text.find('\t').map(|place| (place, 1));
        let bar = self.text.find(" | ").map(|place| (place, 3));
        match [tab, bar].into_iter().flatten().min() {
            Some((place, width)) => {
                (self.before(place).trimmed(), self.after(place + width).trimmed())
            }
            None => (self, self.after(self.text.len())),
        }
    }

    /// The words of the piece.
    fn words(self) -> impl Iterator<Item = Piece<'t>> {
        self.text.split_whitespace().map(move |word| {
            let place = word.as_ptr() as usize - self.text.as_ptr() as usize;
            Piece { text: word, at: self.at + place }
        })
    }
}

struct Reader<'r> {
    file: &'r Path,
    mistakes: &'r mut Vec<Diagnostic>,
    /// The categories that were named, and where.
    named: &'r mut Vec<(String, Range<usize>)>,
    defaults: Defaults,
}

impl Reader<'_> {
    fn file(&mut self, text: &str) -> Vec<PhraseLine> {
        let mut lines = Vec::new();
        let mut offset = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let piece = Piece { text: line, at: offset }.trimmed();
            offset += line.len();
            if !piece.text.is_empty() && !piece.text.starts_with('#') {
                lines.extend(self.line(piece, number + 1));
            }
        }
        lines
    }

    fn line(&mut self, line: Piece<'_>, number: usize) -> Option<PhraseLine> {
        let line = self.without_comment(line)?;
        if line.text.starts_with('[') {
            self.header(line);
            return None;
        }
        if self.other_brackets(line) {
            return None;
        }
        let (head, options) = line.split_options();
        let (head, mut plain) = self.separated(head);
        let (phrase, allowed) = self.without_mark(head);
        plain = plain && self.joined(phrase) && self.alone(phrase);
        if plain && phrase.text.chars().count() > PHRASE_CHARS_MAX {
            self.error(
                "phrase-too-long",
                phrase,
                format!("a phrase has at most {PHRASE_CHARS_MAX} characters"),
                format!("短语最多 {PHRASE_CHARS_MAX} 个字符"),
            );
            return None;
        }
        let own = if allowed {
            self.allow_options(options)
        } else {
            let mut own = self.defaults.clone();
            let fine = self.options(options, &mut own);
            if own.category.is_none() && fine && plain {
                self.error(
                    "phrase-without-category",
                    phrase,
                    "this phrase has no category: put a line such as `[gambling]` above it",
                    "该短语没有类别:请在上方加一行,例如 [gambling]",
                );
            }
            own.category.get_or_insert_with(|| NAMELESS.to_owned());
            own
        };
        Some(PhraseLine {
            text: phrase.text.to_owned(),
            category: own.category,
            weight: own.weight,
            grades: own.grades,
            boundary: own.boundary,
            file: self.file.to_owned(),
            span: phrase.span(),
            line: number,
        })
    }

    /// A section header: `[category]` or `[category | options]`. The lines below one that is wrong
    /// are not each blamed for it, and those below a good name have that category.
    fn header(&mut self, line: Piece<'_>) {
        let nameless = Some(NAMELESS.to_owned());
        self.defaults = Defaults { category: nameless, ..Defaults::default() };
        let Some(inside) = line.text.strip_suffix(']') else {
            self.error(
                "section-not-closed",
                line,
                "this section header has no closing `]`",
                "类别行缺少右方括号 ]",
            );
            return;
        };
        let (name, options) = line.before(inside.len()).after(1).trimmed().split_options();
        let mut defaults = Defaults::default();
        self.options(options, &mut defaults);
        let (name, plain) = self.separated(name);
        let fine = (plain || is_spelled(name.text)) && self.category(name);
        let category = if fine { name.text } else { NAMELESS };
        self.defaults = Defaults { category: Some(category.to_owned()), ..defaults };
    }

    /// The options of an allow-phrase, on which the section has no say.
    fn allow_options(&mut self, options: Piece<'_>) -> Defaults {
        let mut own = Defaults::default();
        for word in options.words() {
            if word.text.split('=').next() == Some("boundary") {
                self.option(word, &mut own);
                continue;
            }
            self.error(
                "option-of-allow-phrase",
                word,
                "an allow-phrase has no option but `boundary`: it holds for every category",
                "放行短语只能带 boundary 选项:它对所有类别都有效",
            );
        }
        own
    }

    /// Reads all options; false if one of them is wrong.
    fn options(&mut self, options: Piece<'_>, into: &mut Defaults) -> bool {
        let (mut fine, mut said) = (true, Vec::new());
        for word in options.words() {
            let name = word.text.split('=').next().unwrap_or_default();
            if said.contains(&name) {
                self.error(
                    "option-twice",
                    word,
                    format!("`{name}` is said twice on this line"),
                    format!("本行重复写了选项 {name}"),
                );
                fine = false;
                continue;
            }
            said.push(name);
            fine &= self.option(word, into);
        }
        fine
    }

    fn option(&mut self, word: Piece<'_>, into: &mut Defaults) -> bool {
        let (name, value) = match word.text.find('=') {
            Some(place) => (word.before(place), word.after(place + 1)),
            None => (word, word.after(word.text.len())),
        };
        match name.text {
            "category" => {
                let fine = self.category(value);
                into.category = Some(if fine { value.text } else { NAMELESS }.to_owned());
                fine
            }
            "weight" => {
                let weight = value.text.parse().ok().filter(|weight| *weight <= WEIGHT_MAX);
                into.weight = weight.unwrap_or(into.weight);
                if weight.is_none() {
                    self.error(
                        "weight",
                        value,
                        format!("a weight is a whole number from 0 to {WEIGHT_MAX}"),
                        format!("权重是 0 到 {WEIGHT_MAX} 的整数"),
                    );
                }
                weight.is_some()
            }
            "grades" => self.grades(value, into),
            "boundary" => {
                let found = Boundary::ALL.into_iter().find(|kind| kind.name() == value.text);
                into.boundary = found.unwrap_or(into.boundary);
                if found.is_none() {
                    let names = Boundary::ALL.map(Boundary::name);
                    self.unknown("boundary", "边界", value, &names);
                }
                found.is_some()
            }
            _ => {
                self.unknown("option", "选项", name, &OPTIONS);
                false
            }
        }
    }

    fn grades(&mut self, value: Piece<'_>, into: &mut Defaults) -> bool {
        match GradeChoice::read(value.text, into.grades) {
            Ok(choice) => {
                into.grades = choice;
                return true;
            }
            Err(GradeMistake::Unknown(at, name)) => {
                let piece = Piece { text: name, at: value.at + at };
                self.unknown("grade", "等级", piece, &Grade::ALL.map(Grade::name));
            }
            Err(GradeMistake::Twice(at, name)) => self.error(
                "grade-twice",
                Piece { text: name, at: value.at + at },
                format!("`{name}` is named twice: name each grade once"),
                format!("等级 {name} 写了两次:每个等级只写一次"),
            ),
            Err(GradeMistake::Mixed) => self.slip(
                "grades-mixed",
                value,
                Message::new(
                    "grades are a list, or each has a `+` or `-`: not both",
                    "等级要么是列表,要么每项前都带 + 或 -,两种写法不能混用",
                ),
                Message::new(
                    "`exact,folded` takes these alone; `+homophone,-skipped` changes what is usual",
                    "exact,folded 表示只取这些等级;+homophone,-skipped 表示在默认等级上增减",
                ),
            ),
        }
        false
    }

    /// Whether a name can be a category's; it becomes the name of a feature.
    fn category(&mut self, name: Piece<'_>) -> bool {
        let text = name.text;
        let spelled = is_spelled(text);
        if !spelled {
            self.error(
                "category-name",
                name,
                format!(
                    "a category is named with a lower-case letter, then letters, digits and `_`, \
                     at most {CATEGORY_BYTES_MAX} in all"
                ),
                format!("类别名以小写字母开头,后接小写字母、数字或 _,最多 {CATEGORY_BYTES_MAX} 个"),
            );
        } else if text.ends_with("_weight") || RESERVED.contains(&text) {
            self.error(
                "category-reserved",
                name,
                format!("`text.{text}` is the name of another feature"),
                format!("text.{text} 已是另一个特征的名称"),
            );
            return false;
        } else {
            self.named.push((text.to_owned(), name.span()));
        }
        spelled
    }

    fn unknown(&mut self, what: &str, what_zh: &str, piece: Piece<'_>, names: &[&'static str]) {
        let text = piece.text;
        let hint = did_you_mean(text, names.iter().copied());
        let list = names.join(", ");
        let hint = match hint {
            Some(name) => {
                Message::new(format!("did you mean `{name}`?"), format!("是否指 {name}?"))
            }
            None => Message::new(format!("one of: {list}"), format!("可用:{list}")),
        };
        let message =
            Message::new(format!("there is no {what} `{text}`"), format!("没有{what_zh} {text}"));
        let found =
            Diagnostic::error("unknown-phrase-option", self.file, Some(piece.span()), message);
        self.mistakes.push(found.with_hint(Some(hint)));
    }

    fn error(
        &mut self,
        code: &'static str,
        piece: Piece<'_>,
        en: impl Into<String>,
        zh: impl Into<String>,
    ) {
        let message = Message::new(en, zh);
        self.mistakes.push(Diagnostic::error(code, self.file, Some(piece.span()), message));
    }

    fn slip(&mut self, code: &'static str, piece: Piece<'_>, message: Message, hint: Message) {
        let found = Diagnostic::error(code, self.file, Some(piece.span()), message);
        self.mistakes.push(found.with_hint(Some(hint)));
    }
}

/// Whether a category can be spelt so.
fn is_spelled(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.len() <= CATEGORY_BYTES_MAX
}
