//! The rules of the house that a compiler does not check.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::support::workspace;

/// The most lines of a source file, tests included; about 500 is what to aim at.
const FILE_LINES_MAX: usize = 700;

/// What may not be left in a source file, and why.
const FORBIDDEN: [(&str, &str); 8] = [
    ("todo!", "what is merged is done"),
    ("unimplemented!", "what is merged is done"),
    ("dbg!", "it writes to standard error"),
    ("TODO", "open work stands in an issue"),
    ("FIXME", "open work stands in an issue"),
    ("XXX", "open work stands in an issue"),
    ("#[ignore", "a test that does not run proves nothing"),
    ("#[allow(", "#[expect] says when it is no longer needed"),
];

#[test]
fn a_module_uses_only_modules_above_it_in_lib_rs() {
    let source = package().join("src");
    let order = modules(&read(&source.join("lib.rs")));
    assert!(order.len() >= 2, "lib.rs lists its modules as `pub mod NAME;`");
    let mut wrong = Vec::new();
    for (place, module) in order.iter().enumerate() {
        for file in module_files(&source, module) {
            for used in used_modules(&read(&file)) {
                match order.iter().position(|name| *name == used) {
                    Some(other) if other <= place => {}
                    Some(_) => wrong.push(format!("{}: uses {used}", shown(&file))),
                    None => wrong.push(format!(
                        "{}: uses crate::{used}, which is no module of lib.rs",
                        shown(&file)
                    )),
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "the order of modules in lib.rs is the way of an event:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|file| !read(file).starts_with("//!"))
        .map(|file| shown(&file))
        .collect();
    assert!(silent.is_empty(), "these do not begin with a //! sentence:\n{}", silent.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|file| (read(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .map(|(lines, file)| format!("{}: {lines} lines", shown(&file)))
        .collect();
    assert!(long.is_empty(), "more than {FILE_LINES_MAX} lines; split them:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_over() {
    let this = Path::new(file!()).file_name();
    let mut found = Vec::new();
    for file in sources().into_iter().filter(|file| file.file_name() != this) {
        for (line, text) in (1..).zip(read(&file).lines()) {
            for (word, why) in FORBIDDEN {
                if text.contains(word) {
                    found.push(format!("{}:{line}: {word}: {why}", shown(&file)));
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn rule_files_have_names_of_their_own() {
    let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
    for dimension in hongxian::rules::DIMENSIONS {
        for file in files(&workspace().join("rules").join(dimension), "toml") {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.chars().all(kebab), "{}: a rule's name is kebab-case", shown(&file));
            if let Some(first) = names.insert(name, file.clone()) {
                panic!("{} and {} are one rule id", shown(&first), shown(&file));
            }
        }
    }
}

/// Each invariant stands beside what enforces it: files and tests that are named there are there.
#[test]
fn what_enforces_an_invariant_is_there() {
    let folders = ["pipeline/src", "pipeline", "pipeline/tests/it", "models/src", ""];
    let all: String = sources().iter().map(|file| read(file)).collect();
    let architecture = read(&workspace().join("ARCHITECTURE.md"));
    let rows = architecture.lines().filter(|line| line.starts_with('|') && line.contains(".rs`"));
    let (mut files, mut tests) = (0, 0);
    for named in rows.flat_map(|row| row.split('`').skip(1).step_by(2)) {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let test = named.trim_end_matches('.');
        if named.ends_with(".rs") {
            let is_there = |folder: &&str| workspace().join(folder).join(named).exists();
            assert!(folders.iter().any(is_there), "{named} is not there");
            files += 1;
        } else if test.chars().all(word) && test.matches('_').count() > 1 {
            assert!(all.contains(&format!("fn {test}")), "{named} is not there");
            tests += 1;
        }
    }
    assert!(files > 50 && tests > 30, "the invariants were not found");
}

#[test]
fn the_reader_of_uses_sees_every_form() {
    let text = "
        use crate::event::{Kind, Schema};
        use crate::{source, packet::Engine, features::{self, plan::Plan}};
        // use crate::commented;
        /// See [crate::linked].
        fn f() { crate::rules::load(); $crate::of_a_macro!(); }
        let words = \"// crate::in_a_string_after_slashes\";
    ";
    let used = ["event", "source", "packet", "features", "rules"];
    assert_eq!(used_modules(text), used);
    assert_eq!(modules("//! x\npub mod b;\nmod a;\n#[cfg(test)]\nmod c { }"), ["b", "a"]);
}

/// The modules that a `lib.rs` lists, in its order.
fn modules(text: &str) -> Vec<String> {
    let declared = |line: &str| {
        let line = line.trim();
        let name = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?;
        Some(name.strip_suffix(';')?.to_owned())
    };
    text.lines().filter_map(declared).collect()
}

/// The first name of every path that begins with `crate::`, in the order of the text.
fn used_modules(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n");
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with('$') {
            continue;
        }
        let path = &code[at + "crate::".len()..];
        match path.strip_prefix('{') {
            Some(group) => used.extend(group_names(group)),
            None => used.push(first_name(path)),
        }
    }
    used
}

/// The first names of the paths of a `use` group, up to its closing brace.
fn group_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(first_name(group[start..at].trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn first_name(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn module_files(source: &Path, module: &str) -> Vec<PathBuf> {
    let mut files = files(&source.join(module), "rs");
    let single = source.join(format!("{module}.rs"));
    if single.exists() {
        files.push(single);
    }
    assert!(!files.is_empty(), "no file of module {module}");
    files
}

/// Every source file of the workspace.
fn sources() -> Vec<PathBuf> {
    let folders = ["pipeline/src", "pipeline/tests", "models/src", "models/tests", "bench/src"];
    let found: Vec<PathBuf> =
        folders.iter().flat_map(|folder| files(&workspace().join(folder), "rs")).collect();
    assert!(found.iter().any(|file| file.ends_with("src/lib.rs")), "the sources were not found");
    found
}

/// The files with that extension in a folder and below it, in the order of their names; none where
/// there is no folder.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn shown(file: &Path) -> String {
    file.strip_prefix(workspace()).unwrap_or(file).display().to_string()
}
