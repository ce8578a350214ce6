//! What all that is shown on a terminal shares: words in two languages, headings, tables, bars.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

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

    /// Columns that a line may take.
    pub(crate) fn line_columns(self) -> usize {
        usize::from(self.width.min(WIDTH_MAX))
    }

    /// A table in lines; the first `words` columns are words, the others are numbers, of which none
    /// is broken: where they are too many for the screen, its lines are longer.
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
        let most = rows.iter().map(Vec::len).max().unwrap_or(0).max(header.len());
        let numbers: Vec<usize> = (words..most).map(|at| number_columns(&rows, at)).collect();
        table.add_rows(rows);
        for (column, number) in table.column_iter_mut().skip(words).zip(numbers) {
            column.set_cell_alignment(CellAlignment::Right);
            let least = u16::try_from(number).unwrap_or(u16::MAX);
            let least = least.saturating_add(column.padding_width());
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
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

/// The columns of the widest number in a column of a table.
fn number_columns(rows: &[Vec<String>], at: usize) -> usize {
    let cells = rows.iter().filter_map(|row| row.get(at));
    let words = cells.flat_map(|cell| cell.split(' '));
    let numbers = words.filter(|word| word.contains(|c: char| c.is_ascii_digit()));
    numbers.map(columns).max().unwrap_or(0)
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

    /// However narrow the screen.
    #[test]
    fn numbers_are_never_broken() {
        let numbers = ["9,999", "0.812", "1,007,965.04", "13d18h", "610 / 1,706", "+2,764.03"];
        for width in [1, 20, 40, 60, 80, 100] {
            let screen = Screen { width, ..SCREEN };
            for words in [0, 1] {
                let mut row = vec!["model alone".to_owned()];
                row.extend(numbers.map(str::to_owned));
                let header =
                    ["way", "alerts", "precision", "fraud stopped, yuan", "拦下欺诈", "", ""];
                let table = screen.table(&header, words, vec![row]);
                let shown: Vec<&str> = table.split_whitespace().collect();
                for number in numbers.iter().flat_map(|cell| cell.split(' ')) {
                    assert!(shown.contains(&number), "{number} at {width} columns:\n{table}");
                }
            }
        }
    }

    #[test]
    fn every_kind_of_event_has_a_word() {
        for kind in crate::event::Kind::ALL {
            assert_ne!(SCREEN.kind(kind.name()), kind.name());
        }
        assert_eq!((SCREEN.kind("new"), SCREEN.decision("hold")), ("new", "暂缓"));
    }
}
