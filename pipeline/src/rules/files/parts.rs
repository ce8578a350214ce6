//! What stands in a rules directory, looks like a part of it and is none.
//!
//! Hidden files and texts for people (`*.md`) may stand anywhere.

use std::path::Path;

use super::{DIMENSIONS, Files, LISTS, PARTS, PHRASES, name_of, unreadable};
use crate::diagnostic::{Diagnostic, Message, did_you_mean};
use crate::document::suggest;

/// How deep rules in a folder that is no part are looked for.
const LEVELS_MAX: usize = 16;

impl Files {
    /// Notes everything that would be passed over though it may be meant to count.
    pub(super) fn check_parts(&mut self) {
        let root = self.directory.clone();
        let folders: Vec<&str> = DIMENSIONS.into_iter().chain([LISTS]).collect();
        for path in self.listing(&root) {
            let name = name_of(&path);
            if !path.is_dir() {
                self.check_link(&path);
                let of_rules = has_ending(&name, "toml") || is_meant(&name, "toml");
                if of_rules && !PARTS.contains(&&*name) {
                    self.unknown_part(&path, &name);
                }
            } else if DIMENSIONS.contains(&&*name) {
                self.check_folder(&path, &name);
            } else if name == LISTS {
                self.check_kept(&path, "csv");
            } else {
                let near = did_you_mean(&name, folders.iter().copied());
                let ending = match near.as_deref() {
                    Some(LISTS) => "csv",
                    Some("text") => "txt",
                    _ => "toml",
                };
                if self.holds(&path, "toml", 0) || self.holds(&path, ending, 0) {
                    self.unknown_folder(&path, &name, &folders);
                }
            }
        }
    }

    /// A folder of rules, which has no folders in it but that of the phrases.
    fn check_folder(&mut self, folder: &Path, dimension: &str) {
        for path in self.listing(folder) {
            let name = name_of(&path);
            let has_phrases = dimension == "text";
            if !path.is_dir() {
                self.check_link(&path);
                let wrong_case = has_ending(&name, "toml") && !name.ends_with(".toml");
                if wrong_case || is_meant(&name, "toml") {
                    self.unknown_file(&path, &name, "toml");
                } else if has_phrases && has_ending(&name, "txt") {
                    self.phrases_elsewhere(&path);
                }
            } else if has_phrases && name == PHRASES {
                self.check_kept(&path, "txt");
            } else if self.holds(&path, "toml", 0) {
                self.unknown_folder(&path, &name, &[]);
            } else if (has_phrases || name == PHRASES) && self.holds(&path, "txt", 0) {
                self.unknown_folder(&path, &name, &[PHRASES]);
            }
        }
    }

    /// A folder in which every file counts, by what its name ends in.
    fn check_kept(&mut self, folder: &Path, ending: &str) {
        for path in self.listing(folder) {
            let name = name_of(&path);
            if path.is_dir() {
                if self.holds(&path, ending, 0) {
                    self.unknown_folder(&path, &name, &[]);
                }
                continue;
            }
            self.check_link(&path);
            let counts = path.extension().is_some_and(|held| held == ending);
            if !counts && !has_ending(&name, "md") && !is_left_by_an_editor(&name) {
                self.unknown_file(&path, &name, ending);
            }
        }
    }

    /// A link to nothing is not an absent file: somebody means it to be there.
    fn check_link(&mut self, path: &Path) {
        if let Err(error) = path.metadata() {
            self.found.push(unreadable(path, &error));
        }
    }

    /// Whether a file with that ending stands somewhere in a folder.
    fn holds(&mut self, folder: &Path, ending: &str, level: usize) -> bool {
        self.listing(folder).iter().any(|path| {
            if !path.is_dir() {
                return has_ending(&name_of(path), ending);
            }
            // A link may lead back to where it stands.
            level < LEVELS_MAX && !path.is_symlink() && self.holds(path, ending, level + 1)
        })
    }

    fn unknown_folder(&mut self, path: &Path, name: &str, known: &[&str]) {
        let listed = DIMENSIONS.join(", ");
        let message = Message::new(
            format!(
                "rules stand in {listed}, lists in {LISTS}, phrases in text/{PHRASES}, and nothing \
                 of them here"
            ),
            format!(
                "规则应放在 {listed} 中,名单放在 {LISTS} 中,短语放在 text/{PHRASES} 中,而不是这里"
            ),
        );
        let hint = suggest(name, known.iter().copied()).unwrap_or_else(|| {
            Message::new(
                "move the files, or begin the folder's name with a dot",
                "请移动其中的文件,或让文件夹名以点号开头",
            )
        });
        let error = Diagnostic::error("unknown-folder", path, None, message);
        self.found.push(error.with_hint(Some(hint)));
    }

    /// A TOML file at the root is one of the parts; a misspelt one must not be passed over.
    fn unknown_part(&mut self, path: &Path, name: &str) {
        let message = Message::new(
            "this is no part of a rules directory; rules stand in a folder such as funds/",
            "这不是规则目录的组成部分;规则应放在 funds/ 之类的文件夹中",
        );
        let hint = suggest(name, PARTS.into_iter());
        let error = Diagnostic::error("unknown-part", path, None, message);
        self.found.push(error.with_hint(hint));
    }

    fn unknown_file(&mut self, path: &Path, name: &str, ending: &str) {
        let message = Message::new(
            format!("only files whose names end in `.{ending}` count here"),
            format!("此处只有以 `.{ending}` 结尾的文件才有效"),
        );
        let stem = in_text(name, ending).or_else(|| name.rsplit_once('.').map(|(stem, _)| stem));
        let stem = stem.unwrap_or(name);
        let hint = Message::new(
            format!("call it `{stem}.{ending}`, or begin its name with a dot"),
            format!("请改名为 `{stem}.{ending}`,或让文件名以点号开头"),
        );
        let error = Diagnostic::error("unknown-file", path, None, message);
        self.found.push(error.with_hint(Some(hint)));
    }

    fn phrases_elsewhere(&mut self, path: &Path) {
        let message = Message::new(
            format!("phrases stand in text/{PHRASES}, and not here"),
            format!("短语应放在 text/{PHRASES} 中,而不是这里"),
        );
        let hint = Message::new(
            "move the file there, or begin its name with a dot",
            "请把文件移到那里,或让文件名以点号开头",
        );
        let error = Diagnostic::error("unknown-file", path, None, message);
        self.found.push(error.with_hint(Some(hint)));
    }
}

/// Whether a name ends so, in letters of any case.
fn has_ending(name: &str, ending: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, held)| held.eq_ignore_ascii_case(ending))
}

/// Whether a name is meant to end so: an editor added `.txt`, or it nearly does (`new.tml`).
fn is_meant(name: &str, ending: &str) -> bool {
    let nearly = || {
        let (_, held) = name.rsplit_once('.')?;
        did_you_mean(held, [ending])
    };
    in_text(name, ending).is_some() || !is_left_by_an_editor(name) && nearly().is_some()
}

/// The stem of a name to which an editor added `.txt`: `new.toml.txt`.
fn in_text<'n>(name: &'n str, ending: &str) -> Option<&'n str> {
    let (inner, last) = name.rsplit_once('.')?;
    let (stem, held) = inner.rsplit_once('.')?;
    let is = last.eq_ignore_ascii_case("txt") && held.eq_ignore_ascii_case(ending);
    is.then_some(stem)
}

/// What editors leave beside a file while it is written, and after.
fn is_left_by_an_editor(name: &str) -> bool {
    let endings = ["~", ".bak", ".orig", ".swp", ".tmp"];
    name.starts_with('#') || endings.iter().any(|ending| name.ends_with(ending))
}
