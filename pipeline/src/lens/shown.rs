//! A lens on the terminal.

use super::scenes::NAMED;
use super::{Cell, Lens, Section, Unit, Words};
use crate::diagnostic::Lang;
use crate::report::{Screen, bar, columns, grouped, printable};

/// What stands for a hidden figure: the sign of official statistics for what is confidential
/// (Government Statistical Service, symbols in tables). One sign for few accounts and for what would
/// give them away, or the latter would be no cover.
const HIDDEN: &str = "[c]";

/// What notes begin with.
const NOTE_INDENT: &str = "  ";

/// The lens as text of at most 100 columns.
pub fn terminal(lens: &Lens, screen: Screen) -> String {
    let lang = screen.lang;
    let mut out = String::new();
    let run = printable(&lens.run);
    if lens.events == 0 {
        return nothing(&run, lens.rejected, lang);
    }
    let days = match lens.days {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    let head = match lang {
        Lang::En => format!(
            "{run}: {} events, {} to {} ({days})\nin brackets: the document's figure; {HIDDEN}: hidden, \
             as it is of\nfewer than {} accounts or would give such a figure away; -: nothing to measure\n",
            grouped(lens.events as u64),
            lens.from,
            lens.to,
            lens.small_cell
        ),
        Lang::Zh => format!(
            "{run}：{} 个事件，{} 至 {}（{} 天）\n括号内为文档数值；{HIDDEN}：不足 {} 个账户，或会泄露此类数值，已隐藏；\n-：无可度量\n",
            grouped(lens.events as u64),
            lens.from,
            lens.to,
            lens.days,
            lens.small_cell
        ),
    };
    out.push_str(&head);
    if lens.partial {
        let note = Words::new(
            "partial: the run was interrupted, and all below is about what it came to",
            "不完整：本次运行被中断，下文只涉及已处理的部分",
        );
        out.push_str(&format!("{}\n", note.text(lang)));
    }
    for section in &lens.sections {
        table(section, screen, &mut out);
        if section.id == "groups" {
            hours(lens, screen, &mut out);
        }
    }
    out
}

/// What is said of a run that has nothing in it.
fn nothing(run: &str, rejected: u64, lang: Lang) -> String {
    let rejected = match (rejected, lang) {
        (0, _) => String::new(),
        (1, Lang::En) => "; 1 record was rejected (rejects.jsonl)".to_owned(),
        (_, Lang::En) => format!("; {} records were rejected (rejects.jsonl)", grouped(rejected)),
        (_, Lang::Zh) => format!("；{} 条记录被拒收（rejects.jsonl）", grouped(rejected)),
    };
    match lang {
        Lang::En => format!("{run}: no events{rejected}\n"),
        Lang::Zh => format!("{run}：没有事件{rejected}\n"),
    }
}

fn heading(title: &Words, screen: Screen, out: &mut String) {
    out.push_str(&format!("\n{}\n", screen.bold(title.text(screen.lang))));
}

fn table(section: &Section, screen: Screen, out: &mut String) {
    heading(&section.title, screen, out);
    let names = section.columns.iter().map(|column| column.name.text(screen.lang));
    let header: Vec<&str> = std::iter::once("").chain(names).collect();
    let rows = section.rows.iter().map(|row| {
        let cells = row.cells.iter().zip(&section.columns);
        let cells = cells.map(|(cell, column)| shown(cell, column.unit));
        std::iter::once(printable(row.name.text(screen.lang))).chain(cells).collect()
    });
    out.push_str(&screen.table(&header, 1, rows.collect()));
    for note in &section.notes {
        note_lines(note.text(screen.lang), screen, out);
    }
}

/// A note in lines that fit.
fn note_lines(text: &str, screen: Screen, out: &mut String) {
    let most = screen.line_columns().saturating_sub(NOTE_INDENT.len());
    let mut width = 0;
    out.push_str(NOTE_INDENT);
    for word in text.split_inclusive([' ', '，', '；', '。', '：']) {
        let wide = columns(word);
        // The blank at the end of a line is not written.
        if width > 0 && width + columns(word.trim_end()) > most {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.push_str(NOTE_INDENT);
            width = 0;
        }
        out.push_str(word);
        width += wide;
    }
    out.push('\n');
}

/// A figure with the document's beside it.
fn shown(cell: &Cell, unit: Unit) -> String {
    let value = match cell.value {
        Some(value) => number(value, unit),
        None if cell.small => HIDDEN.to_owned(),
        None => "-".to_owned(),
    };
    match &cell.document {
        Some(document) if document == NAMED => format!("{value} {NAMED}"),
        Some(document) => format!("{value} ({document})"),
        None if cell.value.is_none() && !cell.small && !cell.unknown => String::new(),
        None => value,
    }
}

fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count => grouped(libm::round(value) as u64),
        Unit::Yuan => {
            let fen = libm::round(value * 100.0) as u64;
            format!("{}.{:02}", grouped(fen / 100), fen % 100)
        }
        Unit::Percent => format!("{value:.1}"),
        Unit::Minutes => format!("{value:.0}"),
        Unit::Number => format!("{value:.2}"),
        Unit::Clock => format!("{:02}:{:02}", value as u64, (value * 60.0) as u64 % 60),
    }
}

/// A bar a half-hour, each type against its own busiest one.
fn hours(lens: &Lens, screen: Screen, out: &mut String) {
    let title = Words::new("Packets by half-hour of the day", "一天各半小时的红包");
    heading(&title, screen, out);
    out.push_str(&format!("{:12}0     3     6     9     12    15    18    21\n", ""));
    for line in &lens.hours {
        let most = line.percent.iter().flatten().fold(0.0_f64, |most, value| most.max(*value));
        let one = |value: &Option<f64>| match value {
            None => '·',
            Some(value) if *value > 0.0 => bar(value / most),
            Some(_) => ' ',
        };
        let bars: String = line.percent.iter().map(one).collect();
        let name = line.name.text(screen.lang);
        let pad = " ".repeat(12_usize.saturating_sub(columns(name)));
        let active = line.active.map(|(from, to)| {
            let at = |half: usize| format!("{:02}:{:02}", half / 2, half % 2 * 30);
            format!("  ({}-{})", at(from), at(to))
        });
        out.push_str(&format!("{name}{pad}{bars}{}\n", active.unwrap_or_default()));
    }
    let note = Words::new(
        "a type's tallest bar is its busiest half-hour; ·: fewer than 10 senders",
        "每类以其最活跃半小时为最高；·：发送者不足 10 人",
    );
    note_lines(note.text(screen.lang), screen, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_take_the_width_of_the_screen() {
        let note = |width: u16, text: &str| {
            let mut out = String::new();
            note_lines(text, Screen { lang: Lang::En, width, rich: false }, &mut out);
            out
        };
        // "  a note of" is 11 columns wide, "  some words," 13, and a character of Chinese takes two.
        assert_eq!(note(13, "a note of some words, only"), "  a note of\n  some words,\n  only\n");
        assert_eq!(note(12, "a note of a few"), "  a note of\n  a few\n");
        assert_eq!(note(10, "说明，很长，完"), "  说明，\n  很长，完\n");
        let long = "word ".repeat(61);
        let widest = |width| note(width, &long).lines().map(columns).max();
        // As many words as fit, of five columns each but the last.
        assert_eq!([80, 100, 200].map(widest), [Some(76), Some(96), Some(96)]);
    }
}
