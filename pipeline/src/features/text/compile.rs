//! From the lines of phrase files to the entries of a lexicon, with all mistakes at once.

use std::path::{Path, PathBuf};

use hashbrown::HashMap;

use crate::diagnostic::{Diagnostic, Message, unreadable};

use super::CATEGORIES;
use super::entry::Entry;
use super::grade::Grades;
use super::homophones::count_sounds;
use super::normalise::{Normaliser, Symbol};
use super::phrases::{CATEGORIES_MAX, NAMELESS, PARTS_MAX, PHRASES_MAX, PhraseLine, read_file};
use super::runs::{Run, read_runs};

/// The categories that phrase files name, their entries, and every mistake in order of file and
/// place; the entries are of use only where there is none.
pub(super) fn compile_files(
    files: &[(PathBuf, String)],
) -> (Vec<String>, Vec<Entry>, Vec<Diagnostic>) {
    let mut mistakes = Vec::new();
    let mut lines = Vec::new();
    for (path, text) in files {
        lines.extend(read_file(path, text, &mut mistakes));
    }
    lines.sort_by(|a, b| (&a.file, a.span.start).cmp(&(&b.file, b.span.start)));
    let mut categories = categories_of(&lines, &mut mistakes);
    let entries = compile(lines, &categories, &mut mistakes);
    categories.retain(|name| name != NAMELESS);
    let place = |mistake: &Diagnostic| mistake.span.as_ref().map(|span| span.start);
    mistakes.sort_by(|a, b| (&a.file, place(a)).cmp(&(&b.file, place(b))));
    (categories, entries, mistakes)
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
        let category = line.category.as_ref();
        let category = category.and_then(|name| categories.iter().position(|one| one == name));
        let Some(entry) = entry_of(&line, category.map(|at| at as u16), &mut runs, mistakes) else {
            continue;
        };
        if [&entry].into_iter().chain(&entry.parts).any(|one| one.grades.is_empty()) {
            mistakes.push(never_hits(&line));
        }
        let mut key: Vec<_> = entry.parts.iter().map(|part| part.runs.clone()).collect();
        key.sort();
        let key = (category, entry.runs.clone(), key);
        if let Some((file, number, text)) = first_of.get(&key) {
            mistakes.push(repeated(&line, file, *number, text));
            continue;
        }
        first_of.insert(key, (line.file, line.line, line.text));
        entries.push(entry);
    }
    entries
}

/// What stands between the parts of a phrase that need not stand together.
pub(super) const AND: &str = "&&";

/// The entry of a line; none, and a mistake, if it cannot be one.
fn entry_of(
    line: &PhraseLine,
    category: Option<u16>,
    runs: &mut Vec<Run>,
    mistakes: &mut Vec<Diagnostic>,
) -> Option<Entry> {
    if !line.text.contains(AND) {
        let entry = whole_entry(line, &line.text, category, runs);
        if entry.is_none() {
            mistakes.push(too_short(line));
        }
        return entry;
    }
    let pieces: Vec<&str> = line.text.split(AND).map(str::trim).collect();
    let mut parts = Vec::with_capacity(pieces.len());
    for piece in &pieces {
        parts.extend(whole_entry(line, piece, category, runs));
    }
    let distinct = (1..parts.len()).all(|at| parts[..at].iter().all(|p| p.runs != parts[at].runs));
    if category.is_none() || pieces.len() > PARTS_MAX || !distinct {
        mistakes.push(parts_refused(line));
        return None;
    }
    if parts.len() < pieces.len() {
        mistakes.push(too_short(line));
        return None;
    }
    Some(Entry {
        text: pieces.join(" && "),
        category,
        weight: line.weight,
        grades: Grades::ALL,
        boundary: line.boundary,
        runs: Vec::new(),
        core: String::new(),
        skipped: 0,
        parts,
    })
}

/// The entry of a phrase in one piece; none if it is too short.
fn whole_entry(
    line: &PhraseLine,
    text: &str,
    category: Option<u16>,
    runs: &mut Vec<Run>,
) -> Option<Entry> {
    read_runs(Normaliser::get(), text, runs);
    let (head, tail) = (runs.first()?, runs.last()?);
    let symbols: Vec<(Symbol, u32)> =
        runs.iter().map(|run| (run.symbol, run.start.length)).collect();
    if symbols.iter().map(|run| run.1).sum::<u32>() < 2 {
        return None;
    }
    let core = head.start.mark.byte as usize..tail.end.mark.byte as usize;
    let each = symbols.iter().flat_map(|run| std::iter::repeat_n(run.0, run.1 as usize));
    let grades = match category {
        Some(_) => line.grades.of(count_sounds(each)),
        // An allow-phrase holds in all spellings of its own symbols.
        None => Grades::ALL,
    };
    Some(Entry {
        text: text.to_owned(),
        category,
        weight: line.weight,
        grades,
        boundary: line.boundary,
        runs: symbols,
        core: text[core].to_owned(),
        skipped: tail.end.mark.skipped - head.start.mark.skipped,
        parts: Vec::new(),
    })
}

fn parts_refused(line: &PhraseLine) -> Diagnostic {
    let message = Message::new(
        format!("`{AND}` joins two to {PARTS_MAX} different parts of one phrase"),
        format!("{AND} 连接同一短语的 2 到 {PARTS_MAX} 个不同部分"),
    );
    let hint = Message::new(
        "an allow-phrase is one piece: it says what a hit stands in",
        "放行短语不能分成几部分:它说明命中所在的整词",
    );
    error("phrase-parts", line, message).with_hint(Some(hint))
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

fn never_hits(line: &PhraseLine) -> Diagnostic {
    let message = Message::new(
        "no grade is left of this phrase, so that it never hits",
        "该短语没有剩下任何等级,永远不会命中",
    );
    let hint = Message::new(
        "its line and its section take all away: name one that counts, as in `grades=exact`; \
         `!` before it, not a grade, switches a phrase off",
        "本行与类别行去掉了全部等级:请写明要计的等级,例如 grades=exact;停用短语请在前面加 !,而不是去掉等级",
    );
    error("grades-none", line, message).with_hint(Some(hint))
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

/// The text of a phrase file, or why it has none.
pub fn read_text(path: &Path) -> Result<String, Message> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let path = path.display();
        Message::new(
            format!("{path}:{line} is not UTF-8: save the file as UTF-8"),
            format!("{path}:{line} 不是 UTF-8：请将文件存为 UTF-8"),
        )
    })
}

/// The phrase files of a directory, in order of name, and what is wrong with those that cannot be
/// read; none if there is no such directory.
pub fn read_directory(dir: &Path) -> (Vec<(PathBuf, String)>, Vec<Diagnostic>) {
    let (mut files, mut mistakes) = (Vec::new(), Vec::new());
    let paths = match paths_in(dir) {
        Ok(paths) => paths,
        Err(error) => {
            let message = Message::new(
                format!("cannot read phrases: {error}"),
                format!("无法读取短语:{error}"),
            );
            mistakes.push(Diagnostic::error("phrases-unreadable", dir, None, message));
            return (files, mistakes);
        }
    };
    for path in paths {
        match read_text(&path) {
            Ok(text) => files.push((path, text)),
            Err(why) => {
                mistakes.push(Diagnostic::error("phrases-unreadable", &path, None, why));
            }
        }
    }
    (files, mistakes)
}

fn paths_in(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !dir.try_exists()? {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for item in std::fs::read_dir(dir)? {
        let path = item?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
