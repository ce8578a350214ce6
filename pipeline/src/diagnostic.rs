//! What is said to a person about a mistake: what, where, and what to do, in English and Chinese.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use codespan_reporting::diagnostic::{Diagnostic as Rendered, Label};
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term;

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

    /// Adds all texts of another.
    pub fn extend(&mut self, other: Sources) {
        self.texts.extend(other.texts);
    }
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
    /// Interrupted, after a clean end at a tick: exit 130.
    Interrupted,
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
            Failure::Interrupted => 130,
        }
    }

    /// What is shown to the user.
    pub fn render(&self, lang: Lang, color: bool) -> String {
        let (error, interrupted) = match lang {
            Lang::En => ("error", "interrupted: what was decided until the last tick is kept\n"),
            Lang::Zh => ("错误", "已中断:截至上一个时刻的结果已保存\n"),
        };
        match self {
            Failure::Input(diagnostics, sources) => render(diagnostics, sources, lang, color),
            Failure::Usage(message) | Failure::No(message) | Failure::Environment(message) => {
                format!("{error}: {}\n", message.text(lang))
            }
            Failure::Interrupted => interrupted.to_owned(),
        }
    }
}

/// All mistakes as text: file, line, column, the line itself with a caret, and the hint.
pub fn render(
    diagnostics: &[Diagnostic],
    sources: &Sources,
    lang: Lang,
    color: bool,
) -> String {
    let mut files = SimpleFiles::new();
    let ids: BTreeMap<&Path, usize> = sources
        .texts
        .iter()
        .map(|(path, text)| (path.as_path(), files.add(path.display().to_string(), text.as_str())))
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
        let notes = diagnostic.hint.iter().map(|hint| format!("{hint_word}: {}", hint.text(lang)));
        let mut rendered = rendered
            .with_code(diagnostic.code)
            .with_message(diagnostic.message.text(lang))
            .with_notes(notes.collect());
        match (ids.get(diagnostic.file.as_path()), &diagnostic.span) {
            (Some(id), Some(span)) => {
                rendered = rendered.with_labels(vec![Label::primary(*id, span.clone())]);
            }
            _ => {
                let file = diagnostic.file.display();
                rendered.message = format!("{file}: {}", rendered.message);
            }
        }
        let written = if color {
            let mut buffer = term::termcolor::Buffer::ansi();
            term::emit_to_write_style(&mut buffer, &config, &files, &rendered)
                .map(|()| out.push_str(&String::from_utf8_lossy(buffer.as_slice())))
        } else {
            term::emit_into_string(&config, &files, &rendered).map(|text| out.push_str(&text))
        };
        if written.is_err() {
            let _ = writeln!(out, "{}: {}", diagnostic.file.display(), rendered.message);
        }
    }
    out
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
    let at = at.min(text.len());
    let before = String::from_utf8_lossy(&text.as_bytes()[..at]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}

/// The candidate that is nearest to a misspelt name, if one is near.
pub fn did_you_mean<'n>(
    name: &str,
    candidates: impl IntoIterator<Item = &'n str>,
) -> Option<String> {
    let nearest = candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()?;
    let allowed = (name.chars().count() / 3).clamp(1, 4);
    (nearest.0 <= allowed && nearest.0 > 0).then(|| nearest.1.to_owned())
}

/// "did you mean ...?" in both languages.
pub fn did_you_mean_hint<'n>(
    name: &str,
    candidates: impl IntoIterator<Item = &'n str>,
) -> Option<Message> {
    did_you_mean(name, candidates).map(|near| {
        Message::new(format!("did you mean `{near}`?"), format!("是否想写 `{near}`?"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_shown_with_its_place_and_a_way_out() {
        let mut sources = Sources::default();
        sources.add("rules/a.toml", "title = \"甲\"\nscoer = 3\n");
        let mistake = Diagnostic::error(
            "unknown-key",
            "rules/a.toml",
            Some(14..19),
            Message::new("unknown key `scoer`", "未知的键 `scoer`"),
        )
        .with_hint(did_you_mean_hint("scoer", ["score", "title"]));
        let english = render(std::slice::from_ref(&mistake), &sources, Lang::En, false);
        assert!(english.contains("error[unknown-key]: unknown key `scoer`"), "{english}");
        assert!(english.contains("rules/a.toml:2:1"), "{english}");
        assert!(english.contains("^^^^^"), "{english}");
        assert!(english.contains("hint: did you mean `score`?"), "{english}");
        let chinese = render(std::slice::from_ref(&mistake), &sources, Lang::Zh, false);
        assert!(chinese.contains("未知的键 `scoer`"), "{chinese}");
        let json = to_json(&[mistake], &sources);
        assert_eq!((json[0]["line"].as_u64(), json[0]["column"].as_u64()), (Some(2), Some(1)));
    }

    #[test]
    fn only_near_names_are_offered() {
        assert_eq!(did_you_mean("claims_1m", ["claims_10m"]), Some("claims_10m".to_owned()));
        assert_eq!(did_you_mean("amount", ["region", "text"]), None);
    }
}
