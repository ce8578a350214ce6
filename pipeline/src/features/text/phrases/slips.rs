//! What looks like a part of a phrase file and is none: marks from a Chinese keyboard, options that
//! nothing separates, several phrases in one line.
//!
//! Punctuation is skipped in phrases and texts alike, so who means a mark as part of a phrase can
//! leave it out. What may well be meant stays: commas (加我，带你赚), `&` between letters (Q&A), and
//! brackets around the first word of a message (【京东】退款).

use crate::diagnostic::{Message, did_you_mean};

use super::super::compile::AND;
use super::{Defaults, NAMELESS, OPTIONS, Piece, Reader, is_spelled};

const BARS: [char; 2] = ['|', '｜'];
const AMPERSANDS: [char; 2] = ['&', '＆'];
const EQUALS: [char; 2] = ['=', '＝'];
const SEMICOLONS: [char; 2] = [';', '；'];
/// Joins the words of a list, and also those of a sentence.
const LIST_COMMA: char = '、';
const BRACKETS_OPEN: [char; 3] = ['【', '［', '〔'];
const BRACKETS_CLOSE: [char; 4] = ['】', '］', '〕', ']'];

/// Words of so many characters with `、` between them are a list of phrases; longer ones may be
/// the parts of a sentence.
const LISTED_CHARS_MAX: usize = 4;

impl Reader<'_> {
    /// The line without a comment behind it, which is a mistake; none if it is meant as a comment
    /// as a whole.
    pub(super) fn without_comment<'t>(&mut self, line: Piece<'t>) -> Option<Piece<'t>> {
        if line.text.starts_with('＃') {
            self.full_width(line, '＃', '#');
            return None;
        }
        let mut marks = line.text.match_indices(['#', '＃']);
        let comment = marks.find(|(at, _)| line.text[..*at].ends_with(char::is_whitespace));
        let Some((at, _)) = comment else { return Some(line) };
        self.slip(
            "comment-after-phrase",
            line.after(at),
            Message::new("a comment has a line of its own", "注释须独占一行"),
            Message::new(
                "put it on the line above; if `#` belongs to the phrase, leave it out: \
                 punctuation is skipped in phrases and texts alike",
                "请移到上一行;若 # 属于短语,请省略:标点在短语和文本中都会被跳过",
            ),
        );
        Some(line.before(at).trimmed())
    }

    /// The phrase without the mark of an allow-phrase, and whether it has one.
    pub(super) fn without_mark<'t>(&mut self, head: Piece<'t>) -> (Piece<'t>, bool) {
        let Some(mark) = head.text.chars().next().filter(|c| matches!(c, '!' | '！')) else {
            return (head, false);
        };
        if mark == '！' {
            self.full_width(head, mark, '!');
        }
        (head.after(mark.len_utf8()).trimmed(), true)
    }

    /// That a line begins with a mark as a Chinese keyboard writes it.
    fn full_width(&mut self, line: Piece<'_>, written: char, meant: char) {
        let rest = line.after(written.len_utf8()).text;
        self.slip(
            "full-width-mark",
            line.before(written.len_utf8()),
            Message::new(
                format!("the line begins with the full-width `{written}`, which is no mark"),
                format!("行首是全角 {written},不起作用"),
            ),
            Message::new(
                format!("did you mean `{meant}{rest}`?"),
                format!("是否想写半角的 {meant}{rest}?"),
            ),
        );
    }

    /// Whether the line is a section header in other brackets, which is a mistake. The lines below
    /// have its category all the same, if it names one.
    pub(super) fn other_brackets(&mut self, line: Piece<'_>) -> bool {
        let Some(open) = line.text.chars().next().filter(|c| BRACKETS_OPEN.contains(c)) else {
            return false;
        };
        let rest = line.after(open.len_utf8());
        let close = rest.text.char_indices().find(|(_, c)| BRACKETS_CLOSE.contains(c));
        let (inside, tail) = match close {
            Some((at, c)) => (rest.before(at), rest.after(at + c.len_utf8()).trimmed().text),
            None => (rest, ""),
        };
        let inside = inside.trimmed();
        let name = inside.split_options().0.text;
        let named = is_spelled(name);
        let header = match close {
            Some(_) => tail.is_empty() || named && tail.starts_with(BARS),
            None => named,
        };
        if !header {
            return false;
        }
        let hint = if named {
            let meant = format!("[{}]", inside.text);
            Message::new(format!("did you mean `{meant}`?"), format!("是否想写 {meant}?"))
        } else {
            Message::new(
                "write a header as `[gambling]`; if it is a phrase, leave the brackets out: \
                 punctuation is skipped in phrases and texts alike",
                "类别行写作 [gambling];若是短语,请省略括号:标点在短语和文本中都会被跳过",
            )
        };
        let message = Message::new(
            "a section header stands between `[` and `]`",
            "类别行须用半角方括号 [ 和 ]",
        );
        self.slip("section-brackets", line, message, hint);
        if named {
            self.named.push((name.to_owned(), inside.split_options().0.span()));
            self.defaults = Defaults { category: Some(name.to_owned()), ..Defaults::default() };
        } else {
            self.defaults.category.get_or_insert_with(|| NAMELESS.to_owned());
        }
        true
    }

    /// A phrase, or the name of a section header, without options that nothing separates from it,
    /// and whether there are none.
    pub(super) fn separated<'t>(&mut self, head: Piece<'t>) -> (Piece<'t>, bool) {
        let (from, to) = match (head.text.find(BARS), option_in(head.text)) {
            (Some(bar), _) => {
                let after = head.text[bar..].trim_start_matches(BARS);
                (bar, head.text.len() - after.len())
            }
            (None, Some(option)) => (option, option),
            (None, None) => return (head, true),
        };
        let (before, after) = (head.before(from).trimmed(), head.after(to).trimmed());
        let mut code = "option-not-separated";
        let mut message = Message::new(
            "options stand after a bar with a space on either side, or after a tab",
            "选项须写在 ` | `(两侧各有一个空格)或制表符之后",
        );
        let option = option_in(after.text) == Some(0);
        let hint = if before.text.is_empty() {
            Message::new(
                "before it stands a phrase, or in `[gambling | weight=20]` a category",
                "其前应有短语,或如 [gambling | weight=20] 写明类别",
            )
        } else if option {
            let meant = format!("{} | {}", before.text, after.text);
            Message::new(format!("did you mean `{meant}`?"), format!("是否想写 {meant}?"))
        } else if after.text.is_empty() {
            code = "option-missing";
            message = Message::new("no option stands after the bar", "竖线之后没有选项");
            Message::new(
                "write one, such as ` | weight=40`, or leave the bar out",
                "请写上选项,例如 ` | weight=40`,或去掉竖线",
            )
        } else {
            Message::new(
                format!(
                    "parts that may stand apart are joined by ` {AND} `; for either of two, write \
                     two lines"
                ),
                format!("可分开出现的部分用 ` {AND} ` 连接;二者任一请分两行写"),
            )
        };
        let cut = !before.text.is_empty() && (option || after.text.is_empty());
        self.slip(code, head.after(from), message, hint);
        (if cut { before } else { head }, false)
    }

    /// Whether every `&` of a phrase joins parts of it, or stands between letters.
    pub(super) fn joined(&mut self, phrase: Piece<'_>) -> bool {
        let Some(at) = stray_ampersand(phrase.text) else { return true };
        let parts = phrase.text.split(AMPERSANDS).map(str::trim).filter(|part| !part.is_empty());
        let meant = parts.collect::<Vec<_>>().join(" && ");
        self.slip(
            "parts-not-joined",
            phrase.after(at),
            Message::new(
                format!("parts of a phrase are joined by `{AND}`"),
                format!("短语的各部分用半角 {AND} 连接"),
            ),
            Message::new(
                format!(
                    "did you mean `{meant}`? If `&` belongs to the phrase, leave it out: \
                     punctuation is skipped in phrases and texts alike"
                ),
                format!("是否想写 {meant}?若 & 属于短语,请省略:标点在短语和文本中都会被跳过"),
            ),
        );
        false
    }

    /// Whether a phrase is one, and not several with marks between them.
    pub(super) fn alone(&mut self, phrase: Piece<'_>) -> bool {
        let Some(at) = list_mark(phrase.text) else { return true };
        self.slip(
            "several-phrases",
            phrase.after(at),
            Message::new("one line holds one phrase", "一行只写一个短语"),
            Message::new(
                "write the others on lines of their own; if it is one phrase, leave the mark out: \
                 punctuation is skipped in phrases and texts alike",
                "其余短语请各写一行;若是同一短语,请省略该标点:标点在短语和文本中都会被跳过",
            ),
        );
        false
    }
}

/// Where an option begins in a phrase: `weight=40` in `赌局 weight=40`, also misspelt. What follows
/// another ASCII character is part of something else, such as an address.
fn option_in(text: &str) -> Option<usize> {
    text.match_indices(EQUALS).find_map(|(at, _)| {
        let name = text[..at].trim_end();
        let before = name.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let word = &name[before.len()..];
        let free = !before.ends_with(|c: char| c.is_ascii_graphic());
        let option = OPTIONS.contains(&word) || did_you_mean(word, OPTIONS).is_some();
        (free && option).then_some(before.len())
    })
}

/// The first `&` that neither is one of two nor stands between ASCII characters.
fn stray_ampersand(text: &str) -> Option<usize> {
    let mut rest = 0;
    while let Some(found) = text[rest..].find(AMPERSANDS) {
        let at = rest + found;
        let after = text[at..].trim_start_matches(AMPERSANDS);
        rest = text.len() - after.len();
        let inside = text[..at].ends_with(|c: char| c.is_ascii_graphic())
            && after.starts_with(|c: char| c.is_ascii_graphic());
        match &text[at..rest] {
            AND => {}
            "&" if inside => {}
            _ => return Some(at),
        }
    }
    None
}

/// The first mark between several phrases: a semicolon between any, or `、` between short words.
fn list_mark(text: &str) -> Option<usize> {
    let longest = if text.contains(SEMICOLONS) { usize::MAX } else { LISTED_CHARS_MAX };
    let marks = |c: char| SEMICOLONS.contains(&c) || c == LIST_COMMA;
    let words: Vec<&str> =
        text.split(marks).map(str::trim).filter(|word| !word.is_empty()).collect();
    let phrases = words.iter().all(|word| {
        let kept = word.chars().filter(|c| c.is_alphanumeric()).count();
        (2..=longest).contains(&kept)
    });
    if words.len() > 1 && phrases { text.find(marks) } else { None }
}
