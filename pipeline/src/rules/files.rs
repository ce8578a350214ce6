//! A rules directory as it is read: every part that is there, and everything wrong with it.
//!
//! ```text
//! features.toml     declared features           policy.toml      bands, verdicts, times
//! conditions.toml   named conditions            lists/NAME.csv   lists and calendars
//! text/phrases/     phrases by category         FOLDER/ID.toml   one rule a file
//! ```
//!
//! A directory may hold any part; what is absent has its documented default. What is there and
//! looks like a part but is none, such as a misspelt folder of rules, is a mistake: passed over in
//! silence, it would be rules that do not run.

mod parts;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::RuleFile;
use super::lists;
use super::params::is_name;
use super::policy::{Lift, Policy};
use crate::diagnostic::{Diagnostic, Failure, Message, Sources, did_you_mean_hint};
use crate::document::{Reader, Text};
use crate::event::Schema;
use crate::expr::{self, Ast, List, Zone};
use crate::features::declare::{self, Declarations};
use crate::features::text::{self, Lexicon};

/// The folders in which rules stand: the four dimensions, groups and ties between people, and what
/// the referee of packets finds. Features have the same names.
pub const DIMENSIONS: [&str; 6] = ["behaviour", "funds", "text", "devices", "social", "packet"];

const PARTS: [&str; 3] = ["features.toml", Policy::FILE, "conditions.toml"];
pub(super) const LISTS: &str = "lists";
const PHRASES: &str = "phrases";

/// A decision refers to a rule by 16 bits.
const RULES_MAX: usize = 10_000;
/// Nobody writes a larger rule file; a larger one is not a rule file.
const TOML_BYTES_MAX: u64 = 1 << 20;
/// Some ten million entries of a list.
const LIST_BYTES_MAX: u64 = 1 << 30;

/// Everything read from a rules directory, and everything that is wrong with it so far.
pub(super) struct Files {
    pub(super) directory: PathBuf,
    pub(super) sources: Sources,
    pub(super) found: Vec<Diagnostic>,
    pub(super) policy: Policy,
    pub(super) zone: Arc<Zone>,
    pub(super) declarations: Declarations,
    pub(super) conditions: BTreeMap<String, Ast>,
    pub(super) condition_texts: BTreeMap<String, Text>,
    pub(super) lists: BTreeMap<String, Arc<List>>,
    pub(super) lexicon: Lexicon,
    pub(super) rules: Vec<RuleFile>,
}

impl Files {
    /// Reads a directory; none is the empty one. A directory that is not there is a failure; all
    /// other mistakes are kept, to be said together with those that are found later.
    pub(super) fn read(directory: Option<&Path>, schema: &Schema) -> Result<Files, Failure> {
        let mut files = Files {
            directory: directory.unwrap_or(Path::new("")).to_owned(),
            sources: Sources::default(),
            found: Vec::new(),
            policy: Policy::default(),
            zone: zone(&Policy::default()),
            declarations: Declarations::default(),
            conditions: BTreeMap::new(),
            condition_texts: BTreeMap::new(),
            lists: BTreeMap::new(),
            lexicon: empty_lexicon(),
            rules: Vec::new(),
        };
        let Some(directory) = directory else { return Ok(files) };
        if !directory.is_dir() {
            let message = Message::new("there is no such directory", "没有该目录");
            return Err(Failure::file("no-directory", directory, message, None));
        }
        files.read_policy(schema);
        files.read_conditions();
        files.read_lists(schema);
        files.check_lifts();
        files.read_features(schema);
        files.read_phrases();
        files.read_rules(schema);
        files.check_parts();
        Ok(files)
    }

    /// The folder of phrases, whether or not it is there.
    pub(super) fn phrases_folder(&self) -> PathBuf {
        self.directory.join("text").join(PHRASES)
    }

    /// The path of `features.toml`, whether or not it is there.
    pub(super) fn features_file(&self) -> PathBuf {
        self.directory.join("features.toml")
    }

    /// The text of a file, kept for messages; none where it cannot be read, which is noted.
    fn text(&mut self, path: &Path, bytes_max: u64) -> Option<String> {
        let size = fs::metadata(path).map(|held| held.len()).unwrap_or(0);
        if size > bytes_max {
            let message = Message::new(
                format!("the file has {size} bytes, more than {bytes_max}"),
                format!("文件有 {size} 字节,超过 {bytes_max}"),
            );
            self.found.push(Diagnostic::error("file-too-large", path, None, message));
            return None;
        }
        match fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => {
                self.sources.add(path, text.clone());
                Some(text)
            }
            Ok(Err(_)) => {
                let message = Message::new("the file is not UTF-8", "文件不是 UTF-8 编码");
                self.found.push(Diagnostic::error("not-utf8", path, None, message));
                None
            }
            Err(error) => {
                self.found.push(unreadable(path, &error));
                None
            }
        }
    }

    /// What stands in a folder, by name; nothing where there is no folder.
    fn listing(&mut self, folder: &Path) -> Vec<PathBuf> {
        if !folder.is_dir() {
            return Vec::new();
        }
        let listed = fs::read_dir(folder).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
        });
        let mut paths = match listed {
            Ok(paths) => paths,
            Err(error) => {
                self.found.push(unreadable(folder, &error));
                return Vec::new();
            }
        };
        let hidden = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
        };
        paths.retain(|path| !hidden(path));
        paths.sort();
        paths
    }

    /// The text of one of the parts, if it is there.
    fn part(&mut self, name: &str) -> Option<(PathBuf, String)> {
        let path = self.directory.join(name);
        if !path.exists() {
            return None;
        }
        let text = self.text(&path, TOML_BYTES_MAX)?;
        Some((path, text))
    }

    fn read_policy(&mut self, schema: &Schema) {
        let Some((path, text)) = self.part(Policy::FILE) else { return };
        let (policy, wrong) = Policy::read(&path, &text, schema);
        self.zone = zone(&policy);
        self.policy = policy;
        self.found.extend(wrong);
    }

    fn read_features(&mut self, schema: &Schema) {
        let Some((path, text)) = self.part("features.toml") else { return };
        let (declarations, wrong) = declare::read(&path, &text, schema);
        self.declarations = declarations;
        self.found.extend(wrong);
    }

    fn read_conditions(&mut self) {
        let Some((path, text)) = self.part("conditions.toml") else { return };
        let mut reader = Reader::new(&path, &text);
        let root = reader.parse();
        for (key, node) in root.get_ref() {
            let name: &str = key.get_ref();
            if !is_name(name) {
                let message = Message::new(
                    format!("`{name}` cannot be the name of a condition"),
                    format!("`{name}` 不能作为条件名"),
                );
                let hint = Message::new(
                    "use a-z, 0-9 and _, beginning with a letter",
                    "使用 a-z、0-9 和 _,以字母开头",
                );
                reader.fail("bad-condition-name", key.span(), message, Some(hint));
            }
            let Some(text) = reader.as_string(name, node) else { continue };
            match expr::parse(text.get_ref()) {
                Ok(ast) => {
                    self.conditions.insert(name.to_owned(), ast);
                }
                Err(errors) => reader.fail_expression(&text.span(), errors),
            }
            self.condition_texts.insert(name.to_owned(), text);
        }
        self.found.extend(reader.finish());
    }

    fn read_lists(&mut self, schema: &Schema) {
        for path in self.listing(&self.directory.join(LISTS)) {
            if !has_extension(&path, "csv") {
                continue;
            }
            let Some(text) = self.text(&path, LIST_BYTES_MAX) else { continue };
            let (mut list, wrong) = lists::read(&path, &text, &self.zone);
            if let Some(pseudonyms) = schema.pseudonyms() {
                list.add_pseudonyms(|value| pseudonyms.of(value));
            }
            self.found.extend(wrong);
            self.lists.insert(stem(&path), Arc::new(list));
        }
    }

    /// That verdicts are lifted by lists that there are, whose rows say when.
    fn check_lifts(&mut self) {
        let file = self.directory.join(Policy::FILE);
        for Lift { list: name, span } in self.policy.lifts.iter().flatten() {
            let fail = |message, hint| {
                let wrong = Diagnostic::error("bad-lift", &file, Some(span.clone()), message);
                Diagnostic { hint, ..wrong }
            };
            let Some(list) = self.lists.get(name) else {
                let message = Message::new(
                    format!("there is no list `{name}`"),
                    format!("没有名单 `{name}`"),
                );
                let hint = did_you_mean_hint(name, self.lists.keys().map(String::as_str));
                self.found.push(fail(message, hint));
                continue;
            };
            let timeless = |(_, spans): &(&str, &[(i64, i64)])| {
                spans.iter().any(|(from, _)| *from == i64::MIN)
            };
            if let Some((value, _)) = list.entries().find(timeless) {
                let message = Message::new(
                    format!("list `{name}` does not say when `{value}` is let off"),
                    format!("名单 `{name}` 未写明 `{value}` 何时解除"),
                );
                let hint = Message::new(
                    "valid_from is the moment: what came before it counts no more",
                    "valid_from 为解除时刻:此前的决策不再计入",
                );
                self.found.push(fail(message, Some(hint)));
            }
        }
    }

    fn read_phrases(&mut self) {
        let folder = self.phrases_folder();
        let (mut files, mut wrong) = text::read_directory(&folder);
        for (path, text) in &files {
            self.sources.add(path, text.clone());
        }
        // Of a file that is not UTF-8 at least the categories are known.
        let unreadable = wrong.iter().map(|one| one.file.clone());
        let headers: Vec<(PathBuf, String)> = unreadable
            .filter_map(|path| {
                let bytes = fs::read(&path).ok()?;
                let text = String::from_utf8_lossy(&bytes);
                let headers = text.lines().filter(|line| line.starts_with('['));
                Some((path, headers.collect::<Vec<_>>().join("\n")))
            })
            .collect();
        match Lexicon::from_files(&files) {
            Ok(lexicon) if wrong.is_empty() => self.lexicon = lexicon,
            checked => {
                wrong.extend(checked.err().unwrap_or_default());
                files.extend(headers);
                self.lexicon = Lexicon::without_phrases(&files);
            }
        }
        self.found.extend(wrong);
    }

    fn read_rules(&mut self, schema: &Schema) {
        for path in self.listing(&self.directory.clone()) {
            let name = name_of(&path);
            if path.is_dir() && DIMENSIONS.contains(&&*name) {
                self.read_folder(&path, &name, schema);
            }
        }
        self.rules.sort_by(|left, right| left.id.cmp(&right.id));
        for pair in self.rules.windows(2) {
            if pair[0].id == pair[1].id {
                let (id, first) = (&pair[1].id, pair[0].path.display());
                let message = Message::new(
                    format!("the id `{id}` is taken by {first}"),
                    format!("规则编号 `{id}` 已被 {first} 使用"),
                );
                let hint = Message::new("rename one of the files", "请重命名其中一个文件");
                let error = Diagnostic::error("duplicate-id", &pair[1].path, None, message);
                self.found.push(error.with_hint(Some(hint)));
            }
        }
        if self.rules.len() > RULES_MAX {
            let count = self.rules.len();
            let message = Message::new(
                format!("{count} rules are more than {RULES_MAX}"),
                format!("规则共 {count} 条,超过 {RULES_MAX}"),
            );
            self.found.push(Diagnostic::error("too-many-rules", &self.directory, None, message));
        }
    }

    /// The rules of one dimension.
    fn read_folder(&mut self, folder: &Path, dimension: &str, schema: &Schema) {
        for path in self.listing(folder) {
            if has_extension(&path, "toml") {
                let Some(text) = self.text(&path, TOML_BYTES_MAX) else { continue };
                let (rule, wrong) = RuleFile::read(&path, dimension, &text, schema);
                self.rules.push(rule);
                self.found.extend(wrong);
            }
        }
    }
}

/// The zone of a policy, whose name was checked when it was read.
fn zone(policy: &Policy) -> Arc<Zone> {
    Arc::new(Zone::new(&policy.time_zone).expect("the policy holds only zones that are known"))
}

/// A lexicon without phrases.
pub(super) fn empty_lexicon() -> Lexicon {
    Lexicon::from_files(&[]).expect("no file has no mistake")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    let message = Message::new(format!("it cannot be read: {error}"), format!("无法读取:{error}"));
    Diagnostic::error("unreadable", path, None, message)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.is_file() && path.extension().is_some_and(|held| held == extension)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
