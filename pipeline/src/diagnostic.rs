//! What is said to a person about a mistake: what, where, and what to do, in English and Chinese.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use codespan_reporting::diagnostic::{Diagnostic as Rendered, Label};
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term;

use crate::unseen::{self, Lines};

/// One sentence in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// English, with a lower-case start and no full stop.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

impl Message {
    /// A message in both languages.
    pub fn new(en: impl Into<String>, zh: impl Into<String>) -> Message {
        Message { en: en.into(), zh: zh.into() }
    }

    /// The text in one language.
    pub fn text(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Zh => &self.zh,
        }
    }

    /// The same for a terminal: what it quotes of files can do nothing there.
    pub fn shown(&self, lang: Lang) -> Cow<'_, str> {
        unseen::printable_lines(self.text(lang))
    }
}

/// The language of what a person reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

impl Lang {
    /// The language of a locale name such as `zh_CN.UTF-8`.
    pub fn of_locale(locale: &str) -> Lang {
        if locale.starts_with("zh") { Lang::Zh } else { Lang::En }
    }
}

/// How bad a mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// It runs, and is probably not what was meant.
    Warning,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name for the kind of mistake.
    pub code: &'static str,
    /// The file in which it stands.
    pub file: PathBuf,
    /// Where in the file, in bytes; none for the file as a whole.
    pub span: Option<Range<usize>>,
    /// What is wrong.
    pub message: Message,
    /// What to do about it.
    pub hint: Option<Message>,
}

impl Diagnostic {
    /// An error in a file.
    pub fn error(
        code: &'static str,
        file: impl Into<PathBuf>,
        span: Option<Range<usize>>,
        message: Message,
    ) -> Diagnostic {
        let file = file.into();
        Diagnostic { severity: Severity::Error, code, file, span, message, hint: None }
    }

    /// The same with a hint.
    pub fn with_hint(self, hint: Option<Message>) -> Diagnostic {
        Diagnostic { hint, ..self }
    }
}

/// The texts of the files in which mistakes are shown.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    texts: BTreeMap<PathBuf, String>,
}

impl Sources {
    /// Adds a file's text.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) {
        self.texts.insert(path.into(), text.into());
    }

    /// A file's text.
    pub fn get(&self, path: &Path) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Every file's path and text, in order of the path.
    pub fn texts(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_path(), text.as_str()))
    }

    /// Adds all texts of another.
    pub fn extend(&mut self, other: Sources) {
        self.texts.extend(other.texts);
    }
}

/// That a file cannot be read.
pub fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Message {
    let path = path.display();
    Message::new(format!("cannot read {path}: {error}"), format!("无法读取 {path}：{error}"))
}

/// That a file cannot be written.
pub fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> Message {
    let path = path.display();
    Message::new(format!("cannot write {path}: {error}"), format!("无法写入 {path}：{error}"))
}

/// Writes to standard error. Whether anybody reads it is no matter of the program: a closed pipe or
/// a full disk there changes no exit code.
pub(crate) fn to_stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Why a command ends without doing its work.
#[derive(Clone, Debug)]
pub enum Failure {
    /// Mistakes in rules or input files: exit 2.
    Input(Vec<Diagnostic>, Sources),
    /// Mistakes in how the command was called: exit 2.
    Usage(Message),
    /// The answer is no: exit 1.
    No(Message),
    /// The disk, the broker, the machine: exit 3.
    Environment(Message),
    /// Interrupted while input was read: exit 130.
    Interrupted,
    /// Interrupted while a run that is over was looked at: exit 130.
    Stopped,
    /// Interrupted, after a clean end at a tick: exit 130.
    Partial,
    /// Interrupted, with what was done until then: exit 130.
    Cut(Message),
}

impl Failure {
    /// One mistake about a file as a whole.
    pub fn file(code: &'static str, path: &Path, message: Message, hint: Option<Message>) -> Self {
        let diagnostic = Diagnostic::error(code, path, None, message).with_hint(hint);
        Failure::Input(vec![diagnostic], Sources::default())
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::No(_) => 1,
            Failure::Input(..) | Failure::Usage(_) => 2,
            Failure::Environment(_) => 3,
            Failure::Interrupted | Failure::Stopped | Failure::Partial | Failure::Cut(_) => 130,
        }
    }

    /// Whether somebody wanted it to end.
    pub fn is_interruption(&self) -> bool {
        self.exit_code() == 130
    }

    /// What is shown to the user.
    pub fn render(&self, lang: Lang, color: bool) -> String {
        let (error, interrupted, stopped, partial) = match lang {
            Lang::En => (
                "error",
                "interrupted before anything was decided: nothing is written\n",
                "interrupted: the run was not read to its end, and nothing is shown\n",
                "interrupted: what was decided until the last tick is kept\n",
            ),
            Lang::Zh => (
                "错误",
                "已中断:尚未作出任何决策,未写入结果\n",
                "已中断:未读完该运行,不显示结果\n",
                "已中断:截至上一个时刻的结果已保存\n",
            ),
        };
        match self {
            Failure::Input(diagnostics, sources) => render(diagnostics, sources, lang, color),
            Failure::Usage(message) | Failure::No(message) | Failure::Environment(message) => {
                format!("{error}: {}\n", message.shown(lang))
            }
            Failure::Cut(message) => format!("{}\n", message.shown(lang)),
            Failure::Interrupted => interrupted.to_owned(),
            Failure::Stopped => stopped.to_owned(),
            Failure::Partial => partial.to_owned(),
        }
    }
}

/// The word that codespan puts before a mistake, and the one in the reader's language.
fn severity_words(severity: Severity, lang: Lang) -> (&'static str, &'static str) {
    match (severity, lang) {
        (Severity::Error, Lang::En) => ("error", "error"),
        (Severity::Error, Lang::Zh) => ("error", "错误"),
        (Severity::Warning, Lang::En) => ("warning", "warning"),
        (Severity::Warning, Lang::Zh) => ("warning", "警告"),
    }
}

/// All mistakes as text: file, line, column, the line itself with a caret, and the hint. Characters
/// that a terminal would obey are replaced, one for one.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, lang: Lang, color: bool) -> String {
    let mut files = SimpleFiles::new();
    let named = |path: &Path| diagnostics.iter().any(|one| one.file == path);
    let shown: BTreeMap<&Path, (usize, Lines<'_>)> = sources
        .texts
        .iter()
        .filter(|(path, _)| named(path))
        .map(|(path, text)| {
            let lines = Lines::of(text);
            (path.as_path(), (files.add(name(path), lines.text.to_string()), lines))
        })
        .collect();
    let config = term::Config { tab_width: 4, ..term::Config::default() };
    let hint_word = match lang {
        Lang::En => "hint",
        Lang::Zh => "提示",
    };
    let mut out = String::new();
    for diagnostic in diagnostics {
        let rendered = match diagnostic.severity {
            Severity::Error => Rendered::error(),
            Severity::Warning => Rendered::warning(),
        };
        let notes = diagnostic.hint.iter().map(|hint| format!("{hint_word}: {}", hint.shown(lang)));
        let mut rendered = rendered
            .with_code(diagnostic.code)
            .with_message(diagnostic.message.shown(lang))
            .with_notes(notes.collect());
        match (shown.get(diagnostic.file.as_path()), &diagnostic.span) {
            (Some((id, lines)), Some(span)) => {
                let text = sources.get(&diagnostic.file).unwrap_or_default();
                let place = |at: usize| lines.place(boundary(text, at));
                let span = place(span.start)..place(span.end);
                rendered = rendered.with_labels(vec![Label::primary(*id, span)]);
            }
            _ => {
                let file = name(&diagnostic.file);
                rendered.message = format!("{file}: {}", rendered.message);
            }
        }
        let mut text = String::new();
        let written = if color {
            let mut buffer = term::termcolor::Buffer::ansi();
            term::emit_to_write_style(&mut buffer, &config, &files, &rendered)
                .map(|()| text.push_str(&String::from_utf8_lossy(buffer.as_slice())))
        } else {
            term::emit_into_string(&config, &files, &rendered).map(|shown| text.push_str(&shown))
        };
        if written.is_err() {
            text = format!("{}: {}\n", name(&diagnostic.file), rendered.message);
        }
        let (word, own_word) = severity_words(diagnostic.severity, lang);
        out.push_str(&text.replacen(word, own_word, 1));
    }
    out
}

/// A file's name for a terminal.
fn name(path: &Path) -> String {
    unseen::printable(&path.to_string_lossy())
}

/// The nearest place at or before `at` that lies in the text and between two characters.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The mistakes for programs: an array of objects with file, line and column (from 1).
pub fn to_json(diagnostics: &[Diagnostic], sources: &Sources) -> serde_json::Value {
    let one = |diagnostic: &Diagnostic| {
        let text = sources.get(&diagnostic.file).unwrap_or("");
        let place = |at: usize| line_and_column(text, at);
        let span = diagnostic.span.clone();
        let (start, end) = match span {
            Some(span) => (Some(place(span.start)), Some(place(span.end))),
            None => (None, None),
        };
        serde_json::json!({
            "file": diagnostic.file.display().to_string(),
            "line": start.map(|(line, _)| line),
            "column": start.map(|(_, column)| column),
            "end_line": end.map(|(line, _)| line),
            "end_column": end.map(|(_, column)| column),
            "severity": match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "code": diagnostic.code,
            "message": diagnostic.message.en,
            "message_zh": diagnostic.message.zh,
            "hint": diagnostic.hint.as_ref().map(|hint| &hint.en),
            "hint_zh": diagnostic.hint.as_ref().map(|hint| &hint.zh),
        })
    };
    diagnostics.iter().map(one).collect()
}

/// Line and column, both from 1, the column in characters.
pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..boundary(text, at)];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}

/// The candidate that is nearest to a misspelt name, if one is near: by its letters, or the one
/// whose last part it is (`fan_in_24h` for `funds.payee.fan_in_24h`).
pub fn did_you_mean<'n>(
    name: &str,
    candidates: impl IntoIterator<Item = &'n str>,
) -> Option<String> {
    let letters = name.chars().count();
    // A name of which no letter would stay is another name.
    let allowed = (letters / 3).clamp(1, 4).min(letters.saturating_sub(1));
    let distance = |candidate: &str| {
        let is_last = candidate.strip_suffix(name).is_some_and(|before| before.ends_with('.'));
        if is_last || candidate.eq_ignore_ascii_case(name) {
            return 0;
        }
        strsim::damerau_levenshtein(name, candidate)
    };
    // Of equally near ones the first in the alphabet, whatever the order of the candidates.
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// "did you mean ...?" in both languages.
pub fn did_you_mean_hint<'n>(
    name: &str,
    candidates: impl IntoIterator<Item = &'n str>,
) -> Option<Message> {
    did_you_mean(name, candidates)
        .map(|near| Message::new(format!("did you mean `{near}`?"), format!("是否想写 `{near}`?")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "rules/a.toml";
    const TEXT: &str = "title = \"甲\"\nscoer = 3\nwhen = \"群 > 1\"\n";

    #[test]
    fn files_are_told_of_in_both_languages() {
        let path = Path::new("out/a.json");
        assert_eq!(unreadable(path, &"gone").text(Lang::En), "cannot read out/a.json: gone");
        assert_eq!(unreadable(path, &"gone").text(Lang::Zh), "无法读取 out/a.json：gone");
        assert_eq!(unwritable(path, &"full").text(Lang::Zh), "无法写入 out/a.json：full");
    }

    fn sources() -> Sources {
        let mut sources = Sources::default();
        sources.add(FILE, TEXT);
        sources
    }

    fn mistakes() -> Vec<Diagnostic> {
        let key = Message::new("unknown key `scoer`", "未知的键 `scoer`");
        let name = Message::new("unknown name `群`", "未知的名称 `群`");
        let late = Message::new("retired last year", "去年已停用");
        let at = TEXT.find('群').unwrap();
        vec![
            Diagnostic::error("unknown-key", FILE, Some(14..19), key)
                .with_hint(did_you_mean_hint("scoer", ["title", "score"])),
            Diagnostic::error("unknown-name", FILE, Some(at..at + 3), name),
            Diagnostic {
                severity: Severity::Warning,
                ..Diagnostic::error("retired", FILE, None, late)
            },
        ]
    }

    #[test]
    fn mistakes_are_shown_with_their_place_and_a_way_out() {
        let shown = render(&mistakes(), &sources(), Lang::En, false);
        let expected = "\
error[unknown-key]: unknown key `scoer`
  ┌─ rules/a.toml:2:1
  │
2 │ scoer = 3
  │ ^^^^^
  │
  = hint: did you mean `score`?

error[unknown-name]: unknown name `群`
  ┌─ rules/a.toml:3:9
  │
3 │ when = \"群 > 1\"
  │         ^^

warning[retired]: rules/a.toml: retired last year

";
        assert_eq!(shown, expected);
    }

    #[test]
    fn mistakes_are_shown_in_chinese() {
        let shown = render(&mistakes(), &sources(), Lang::Zh, false);
        let expected = "\
错误[unknown-key]: 未知的键 `scoer`
  ┌─ rules/a.toml:2:1
  │
2 │ scoer = 3
  │ ^^^^^
  │
  = 提示: 是否想写 `score`?

错误[unknown-name]: 未知的名称 `群`
  ┌─ rules/a.toml:3:9
  │
3 │ when = \"群 > 1\"
  │         ^^

警告[retired]: rules/a.toml: 去年已停用

";
        assert_eq!(shown, expected);
    }

    /// What a terminal would obey comes out of no file: not of its lines, not of what a message or
    /// a hint quotes of it, and not of its name. Carets stand where they stood.
    #[test]
    fn control_characters_of_files_are_replaced() {
        let text = "a\u{1b}]0;pwned\u{7}b,c\r\nd\re\n";
        let mut sources = Sources::default();
        sources.add("l\u{1b}.csv", text);
        let message = |said: &str| Message::new(said, said);
        let at = text.find('c').unwrap();
        let found =
            Diagnostic::error("bad", "l\u{1b}.csv", Some(at..at + 1), message("is \u{9b}1m"))
                .with_hint(Some(message("its columns are \u{1b}[2J\nand more")));
        let shown = render(std::slice::from_ref(&found), &sources, Lang::En, false);
        let expect = "\
error[bad]: is \u{fffd}1m
  ┌─ l\u{fffd}.csv:1:14
  │
1 │ a\u{fffd}]0;pwned\u{fffd}b,c
  │              ^
  │
  = hint: its columns are \u{fffd}[2J
    and more

";
        assert_eq!(shown, expect);
        let place = to_json(&[found], &sources);
        assert_eq!((&place[0]["line"], &place[0]["column"]), (&1.into(), &14.into()));
        let second = Diagnostic::error(
            "bad",
            "l\u{1b}.csv",
            Some(text.len() - 2..text.len() - 1),
            message("x"),
        );
        assert!(render(&[second], &sources, Lang::En, false).contains("2 │ d\u{fffd}e\n"));
        let usage = Failure::Usage(message("no file \u{1b}[31m"));
        assert_eq!(usage.render(Lang::En, false), "error: no file \u{fffd}[31m\n");
    }

    #[test]
    fn color_changes_nothing_but_color() {
        let colored = render(&mistakes(), &sources(), Lang::Zh, true);
        assert!(colored.contains("\u{1b}["));
        let mut plain = String::new();
        let mut rest = colored.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            plain.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        plain.push_str(rest);
        assert_eq!(plain, render(&mistakes(), &sources(), Lang::Zh, false));
    }

    #[test]
    fn a_place_that_is_not_there_is_shown_as_the_nearest() {
        let message = Message::new("odd", "怪");
        for span in [0..9_999, 9_000..9_999, 10..11, 11..10_000] {
            let odd = Diagnostic::error("odd", FILE, Some(span), message.clone());
            let shown = render(std::slice::from_ref(&odd), &sources(), Lang::En, false);
            assert!(shown.contains("rules/a.toml:"), "{shown}");
            to_json(&[odd], &sources());
        }
        let elsewhere = Diagnostic::error("odd", "b.toml", Some(0..1), message);
        let shown = render(&[elsewhere], &sources(), Lang::En, false);
        assert_eq!(shown, "error[odd]: b.toml: odd\n\n");
    }

    #[test]
    fn programs_get_the_same_facts() {
        let json = to_json(&mistakes(), &sources());
        assert_eq!(
            json[1],
            serde_json::json!({
                "file": FILE, "line": 3, "column": 9, "end_line": 3, "end_column": 10,
                "severity": "error", "code": "unknown-name", "message": "unknown name `群`",
                "message_zh": "未知的名称 `群`", "hint": null, "hint_zh": null,
            })
        );
        assert_eq!(json[0]["hint_zh"], "是否想写 `score`?");
        assert_eq!(
            (&json[2]["line"], &json[2]["severity"]),
            (&serde_json::Value::Null, &"warning".into())
        );
    }

    #[test]
    fn every_failure_has_its_exit_code() {
        let message = || Message::new("no broker", "没有 broker");
        let input = Failure::file("empty", Path::new("a.csv"), message(), None);
        for (failure, code, shown) in [
            (Failure::No(message()), 1, "错误: 没有 broker\n"),
            (input, 2, "错误[empty]: a.csv: 没有 broker\n\n"),
            (Failure::Usage(message()), 2, "错误: 没有 broker\n"),
            (Failure::Environment(message()), 3, "错误: 没有 broker\n"),
            (Failure::Interrupted, 130, "已中断:尚未作出任何决策,未写入结果\n"),
            (Failure::Stopped, 130, "已中断:未读完该运行,不显示结果\n"),
            (Failure::Partial, 130, "已中断:截至上一个时刻的结果已保存\n"),
        ] {
            assert_eq!(failure.exit_code(), code);
            assert_eq!(failure.render(Lang::Zh, false), shown);
        }
    }

    #[test]
    fn a_locale_names_a_language() {
        for (locale, lang) in [
            ("zh_CN.UTF-8", Lang::Zh),
            ("zh", Lang::Zh),
            ("C.UTF-8", Lang::En),
            ("en_GB", Lang::En),
            ("", Lang::En),
        ] {
            assert_eq!(Lang::of_locale(locale), lang, "{locale}");
        }
    }

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        assert_eq!(line_and_column("", 0), (1, 1));
        assert_eq!(line_and_column("ab\n", 2), (1, 3));
        assert_eq!(line_and_column("ab\n", 3), (2, 1));
        assert_eq!(line_and_column("ab\n", 99), (2, 1));
        assert_eq!(line_and_column("红a", 1), (1, 1));
        assert_eq!(line_and_column("红a", 3), (1, 2));
    }

    #[test]
    fn only_near_names_are_offered() {
        let near =
            |name, candidates: &[&'static str]| did_you_mean(name, candidates.iter().copied());
        assert_eq!(near("claims_1m", &["claims_10m"]).as_deref(), Some("claims_10m"));
        assert_eq!(near("amount", &["region", "text"]), None);
        assert_eq!(near("fan_in", &["funds.payee.fan_in"]).as_deref(), Some("funds.payee.fan_in"));
        assert_eq!(near("KIND", &["kind", "wind"]).as_deref(), Some("kind"));
        assert_eq!(near("ab", &["ac", "aa"]).as_deref(), Some("aa"), "whatever their order");
        assert_eq!(near("b", &["a"]), None);
        assert_eq!(near("", &[""]), None);
    }
}
