//! From the lines of phrase files to the entries of a lexicon, with all mistakes at once.

use std::path::{Path, PathBuf};

use hashbrown::HashMap;

use crate::diagnostic::{Diagnostic, Message};

use super::CATEGORIES;
use super::matcher::Entry;
use super::normalise::{Normaliser, Symbol};
use super::phrases::{CATEGORIES_MAX, PHRASES_MAX, PhraseLine, read_file};
use super::runs::read_runs;

/// The categories of phrase files and their entries, or every mistake in order of file and place.
pub(super) fn compile_files(
    files: &[(PathBuf, String)],
) -> Result<(Vec<String>, Vec<Entry>), Vec<Diagnostic>> {
    let mut mistakes = Vec::new();
    let mut lines = Vec::new();
    for (path, text) in files {
        lines.extend(read_file(path, text, &mut mistakes));
    }
    lines.sort_by(|a, b| (&a.file, a.span.start).cmp(&(&b.file, b.span.start)));
    let categories = categories_of(&lines, &mut mistakes);
    let entries = compile(lines, &categories, &mut mistakes);
    if mistakes.is_empty() {
        return Ok((categories, entries));
    }
    let place = |mistake: &Diagnostic| mistake.span.as_ref().map(|span| span.start);
    mistakes.sort_by(|a, b| (&a.file, place(a)).cmp(&(&b.file, place(b))));
    Err(mistakes)
}

fn categories_of(lines: &[PhraseLine], mistakes: &mut Vec<Diagnostic>) -> Vec<String> {
    let mut categories: Vec<String> = CATEGORIES.iter().map(|one| one.name.to_owned()).collect();
    let mut own: Vec<&PhraseLine> = lines.iter().filter(|line| line.category.is_some()).collect();
    own.sort_by(|a, b| a.category.cmp(&b.category));
    for line in own {
        let Some(name) = &line.category else { continue };
        if categories.contains(name) {
            continue;
        }
        if categories.len() == CATEGORIES_MAX {
            let message = Message::new(
                format!("there are more than {CATEGORIES_MAX} categories"),
                format!("类别超过 {CATEGORIES_MAX} 个"),
            );
            mistakes.push(error("too-many-categories", line, message));
            break;
        }
        categories.push(name.clone());
    }
    categories
}

/// Reads the runs of every line, and refuses phrases that are too short or stand twice.
fn compile(
    lines: Vec<PhraseLine>,
    categories: &[String],
    mistakes: &mut Vec<Diagnostic>,
) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(lines.len());
    let mut first_of: HashMap<_, (PathBuf, usize, String)> = HashMap::new();
    let mut runs = Vec::new();
    for line in lines {
        if entries.len() == PHRASES_MAX {
            let message = Message::new(
                format!("there are more than {PHRASES_MAX} phrases"),
                format!("短语超过 {PHRASES_MAX} 条"),
            );
            mistakes.push(error("too-many-phrases", &line, message));
            break;
        }
        read_runs(Normaliser::get(), &line.text, &mut runs);
        let (Some(head), Some(tail)) = (runs.first(), runs.last()) else {
            mistakes.push(too_short(&line));
            continue;
        };
        let symbols: Vec<(Symbol, u32)> =
            runs.iter().map(|run| (run.symbol, run.start.length)).collect();
        if symbols.iter().map(|run| run.1).sum::<u32>() < 2 {
            mistakes.push(too_short(&line));
            continue;
        }
        let name = line.category.as_ref();
        let category = name.and_then(|name| categories.iter().position(|one| one == name));
        let key = (category, symbols.clone());
        if let Some((file, number, text)) = first_of.get(&key) {
            mistakes.push(repeated(&line, file, *number, text));
            continue;
        }
        first_of.insert(key, (line.file.clone(), line.line, line.text.clone()));
        let core = head.start.mark.byte as usize..tail.end.mark.byte as usize;
        entries.push(Entry {
            category: category.map(|at| at as u16),
            weight: line.weight,
            grades: line.grades,
            boundary: line.boundary,
            runs: symbols,
            core: line.text[core].to_owned(),
            skipped: tail.end.mark.skipped - head.start.mark.skipped,
            text: line.text,
        });
    }
    entries
}

fn too_short(line: &PhraseLine) -> Diagnostic {
    let message = Message::new(
        "a phrase needs at least two letters, digits or ideographs",
        "短语至少要有两个字母、数字或汉字",
    );
    let hint = Message::new(
        "punctuation, spaces and pictures are skipped in phrases and texts alike; \
         a single character would hit in every second message",
        "标点、空格和表情在短语和文本中都会被跳过;单个字符几乎处处命中",
    );
    error("phrase-too-short", line, message).with_hint(Some(hint))
}

fn repeated(line: &PhraseLine, file: &Path, number: usize, text: &str) -> Diagnostic {
    let place = format!("{}:{number}", file.display());
    let message = Message::new(
        format!("`{}` finds the same texts as `{text}`", line.text),
        format!("{} 与 {text} 匹配的文本相同", line.text),
    );
    let hint = Message::new(
        format!("the other one is at {place}; keep one of them"),
        format!("另一条在 {place},保留一条即可"),
    );
    error("phrase-repeated", line, message).with_hint(Some(hint))
}

fn error(code: &'static str, line: &PhraseLine, message: Message) -> Diagnostic {
    Diagnostic::error(code, &line.file, Some(line.span.clone()), message)
}

/// The phrase files of a directory, in order of name; none if there is no such directory.
pub fn read_directory(dir: &Path) -> Result<Vec<(PathBuf, String)>, Vec<Diagnostic>> {
    let unreadable = |path: &Path, error: std::io::Error| {
        let message =
            Message::new(format!("cannot read phrases: {error}"), format!("无法读取短语:{error}"));
        vec![Diagnostic::error("phrases-unreadable", path, None, message)]
    };
    if !dir.try_exists().map_err(|error| unreadable(dir, error))? {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for item in std::fs::read_dir(dir).map_err(|error| unreadable(dir, error))? {
        let path = item.map_err(|error| unreadable(dir, error))?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            paths.push(path);
        }
    }
    paths.sort();
    let (mut files, mut mistakes) = (Vec::new(), Vec::new());
    for path in paths {
        match std::fs::read_to_string(&path) {
            Ok(text) => files.push((path, text)),
            Err(error) => mistakes.extend(unreadable(&path, error)),
        }
    }
    if mistakes.is_empty() { Ok(files) } else { Err(mistakes) }
}
