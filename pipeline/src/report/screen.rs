//! What all that is shown on a terminal shares: words in two languages, headings, tables, bars.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use super::printable;
use crate::diagnostic::Lang;

/// The widest that anything gets, however wide the terminal is.
const WIDTH_MAX: u16 = 100;
/// Names of rows stay in one line unless they are longer than this, as only ids can be.
const NAME_COLUMNS_MAX: usize = 40;
/// Levels of a bar of one character.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Where something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// The language.
    pub lang: Lang,
    /// Columns; more than 100 are not used.
    pub width: u16,
    /// Whether it is a terminal: lines are drawn and headings are bold.
    pub rich: bool,
}

impl Screen {
    /// The text in the screen's language.
    pub(crate) fn say<'s>(self, en: &'s str, zh: &'s str) -> &'s str {
        match self.lang {
            Lang::En => en,
            Lang::Zh => zh,
        }
    }

    /// Bold where that can be shown.
    pub(crate) fn bold(self, text: &str) -> String {
        if self.rich { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A table in lines; the first `words` columns are words, the others are numbers.
    pub(crate) fn table(self, header: &[&str], words: usize, rows: Vec<Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.force_no_tty();
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(self.width.min(WIDTH_MAX));
        if !header.is_empty() {
            table.set_header(header.to_vec());
        }
        let longest = rows.iter().filter_map(|row| row.first()).map(|name| columns(name)).max();
        table.add_rows(rows);
        for column in table.column_iter_mut().skip(words) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if let (Some(names), true) =
            (table.column_mut(0), longest.is_some_and(|longest| longest <= NAME_COLUMNS_MAX))
        {
            names.set_constraint(ColumnConstraint::ContentWidth);
        }
        let mut out = String::new();
        for (at, line) in table.trim_fmt().lines().enumerate() {
            let faint = self.rich && at == 0 && !header.is_empty();
            let line = line.trim_end();
            out.push_str(&if faint { format!("\x1b[2m{line}\x1b[0m") } else { line.to_owned() });
            out.push('\n');
        }
        out
    }

    /// The word for a decision.
    pub(crate) fn decision(self, decision: &str) -> &str {
        match decision {
            "allow" => self.say("allow", "放行"),
            "review" => self.say("review", "复核"),
            "hold" => self.say("hold", "暂缓"),
            "block" => self.say("block", "拦截"),
            other => other,
        }
    }

    /// The word for a kind of event.
    pub(crate) fn kind(self, kind: &str) -> &str {
        const KINDS: [(&str, &str); 12] = [
            ("send", "发红包"),
            ("claim", "领红包"),
            ("refund", "退回"),
            ("transfer", "转账"),
            ("topup", "充值"),
            ("withdraw", "提现"),
            ("message", "消息"),
            ("join", "入群"),
            ("login", "登录"),
            ("account", "账户资料"),
            ("group", "群资料"),
            ("label", "标签"),
        ];
        let found = KINDS.iter().find(|(name, _)| *name == kind);
        found.map_or(kind, |(_, zh)| self.say(kind, zh))
    }
}

/// A bar of one character: `part` is from 0 to 1.
pub(crate) fn bar(part: f64) -> char {
    LEVELS[(libm::round(part * 7.0) as usize).min(7)]
}

/// Columns that a text takes: characters from the CJK blocks take two, the replacement character
/// one.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(|c| if c >= '\u{2e80}' && c != '\u{fffd}' { 2 } else { 1 }).sum()
}

/// A moment of the run's clock to the minute.
pub(crate) fn minute(moment: &str) -> String {
    moment.chars().take(16).collect::<String>().replace('T', " ")
}

/// Text of an event, shown as far as so many characters; where it is cut there is an ellipsis.
pub(crate) fn short(text: &str, chars: usize) -> String {
    let text = printable(text);
    if text.chars().count() <= chars {
        return text;
    }
    text.chars().take(chars - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: Screen = Screen { lang: Lang::Zh, width: 40, rich: false };

    #[test]
    fn a_text_that_is_cut_says_so() {
        assert_eq!(short("四个字符", 4), "四个字符");
        assert_eq!(short("五个字符哦", 4), "五个字…");
        assert_eq!(short("\u{1b}[31m", 10), "\u{fffd}[31m");
    }

    /// What does not fit wraps, but a name of a row never does.
    #[test]
    fn names_of_rows_stay_in_one_line() {
        let name = "funds.payee.residence_24h_minutes";
        let rows = vec![vec![name.to_owned(), "1,000,000".to_owned(), "2,000,000".to_owned()]];
        let table = SCREEN.table(&["feature", "first", "last"], 1, rows);
        assert!(table.contains(name), "{table}");
    }

    #[test]
    fn every_kind_of_event_has_a_word() {
        for kind in crate::event::Kind::ALL {
            assert_ne!(SCREEN.kind(kind.name()), kind.name());
        }
        assert_eq!((SCREEN.kind("new"), SCREEN.decision("hold")), ("new", "暂缓"));
    }
}
