//! The bytes of a rules directory, as they stand in the control topic: so that a stream goes on and
//! is replayed with the rules that decided, whatever is on the disk by then, and on any machine.
//!
//! All files of the directory are in it, and the models that its `features.toml` names, which may
//! lie beside it. It is compressed and cut into records, for brokers take no large ones. It is named
//! by the hash of its rules, and stands there once, however often the rules come back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::control::Entry;
use crate::diagnostic::{Failure, Message, unreadable, unwritable};

/// Files and folders of a rules directory; a mistake in a configuration may name a disk.
const FILES_MAX: usize = 10_000;
/// Bytes of all of them together: far more than rules, lists and models take up, and what every
/// start of the stream reads from the control topic.
const BYTES_MAX: usize = 256 << 20;
/// Compressed bytes of a record: brokers take records up to 1 MiB unless told otherwise, and the
/// text of a record is a third longer than its bytes.
const PART_BYTES: usize = 512 << 10;
/// zstd's own default.
const LEVEL: i32 = 3;
/// How far up from its `features.toml` a model may lie.
const UP_MAX: usize = 8;

/// The files of a rules directory: paths from it on, with `/`, and their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
}

/// A part of the bytes of a rules directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) rules_hash: String,
    /// Its number, from 0, of so many.
    pub(super) part: u32,
    pub(super) parts: u32,
    zstd_base64: String,
}

impl Bundle {
    /// Reads a directory; none: no rules.
    ///
    /// # Errors
    /// When a file cannot be read, or all are too large.
    pub(super) fn read(directory: Option<&Path>) -> Result<Bundle, Failure> {
        let mut bundle = Bundle::default();
        let Some(directory) = directory else { return Ok(bundle) };
        let mut left = (FILES_MAX, BYTES_MAX);
        bundle.add(directory, "", &mut left)?;
        for model in bundle.models() {
            let Some(name) = normal(&model) else { return Err(far(directory, &model)) };
            bundle.add(&directory.join(&model), &format!("{name}/"), &mut left)?;
        }
        Ok(bundle)
    }

    /// Adds a file, or all that is under a folder, but for what is hidden.
    fn add(&mut self, path: &Path, name: &str, left: &mut (usize, usize)) -> Result<(), Failure> {
        let failed = |error| Failure::Environment(unreadable(path, &error));
        if path.is_dir() {
            for entry in fs::read_dir(path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let own = entry.file_name().to_string_lossy().into_owned();
                if own.starts_with('.') {
                    continue;
                }
                let slash = if entry.path().is_dir() { "/" } else { "" };
                self.add(&entry.path(), &format!("{name}{own}{slash}"), left)?;
            }
        } else if path.is_file() {
            let bytes = fs::read(path).map_err(failed)?;
            left.0 = left.0.checked_sub(1).ok_or_else(|| too_large(path))?;
            left.1 = left.1.checked_sub(bytes.len()).ok_or_else(|| too_large(path))?;
            self.files.insert(name.trim_end_matches('/').to_owned(), bytes);
        }
        Ok(())
    }

    /// The paths of the models that features name, from the directory on.
    fn models(&self) -> BTreeSet<String> {
        let text = self.files.get("features.toml").map(|bytes| String::from_utf8_lossy(bytes));
        // One with mistakes names none, and never comes into force.
        let table = text.and_then(|text| text.parse::<toml::Table>().ok()).unwrap_or_default();
        let mut found = BTreeSet::new();
        models_in(&table, &mut found);
        found
    }

    /// Writes the files into a folder of their own; where the rules directory is then. None: no
    /// rules.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn write(&self, folder: &Path) -> Result<Option<PathBuf>, Failure> {
        if self.files.is_empty() {
            return Ok(None);
        }
        let ups = self.files.keys().map(|name| name.matches("../").count()).max().unwrap_or(0);
        let mut rules = folder.to_owned();
        // What lies above it comes to lie in the folder as well.
        rules.extend((1..ups).map(|_| "up"));
        rules.push("rules");
        for (name, bytes) in &self.files {
            let path = lexical(&rules, name);
            assert!(path.starts_with(folder), "what is written is in the folder");
            let failed = |error| Failure::Environment(unwritable(&path, &error));
            fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(failed)?;
            fs::write(&path, bytes).map_err(failed)?;
        }
        Ok(Some(rules))
    }

    /// The records that hold it.
    pub(super) fn entries(&self, rules_hash: &str) -> Result<Vec<Entry>, Failure> {
        let plain = crate::snapshot::encode(self);
        let compressed = zstd::encode_all(plain.as_slice(), LEVEL).map_err(|error| {
            let why = error.to_string();
            Failure::Environment(Message::new(
                format!("the rules cannot be compressed: {why}"),
                format!("无法压缩规则：{why}"),
            ))
        })?;
        let parts: Vec<&[u8]> = compressed.chunks(PART_BYTES).collect();
        let count = parts.len() as u32;
        let entry = |(part, bytes): (u32, &[u8])| {
            Entry::Rules(Part {
                rules_hash: rules_hash.to_owned(),
                part,
                parts: count,
                zstd_base64: STANDARD.encode(bytes),
            })
        };
        Ok((0..).zip(parts).map(entry).collect())
    }

    /// What records hold; none where some are missing or broken.
    pub(super) fn of<'p>(parts: impl Iterator<Item = &'p Part>) -> Option<Bundle> {
        let mut parts: Vec<&Part> = parts.collect();
        parts.sort_by_key(|part| part.part);
        parts.dedup_by_key(|part| part.part);
        let count = parts.first()?.parts;
        let whole = parts.len() == count as usize
            && parts.iter().zip(0..).all(|(part, at)| part.part == at && part.parts == count);
        if !whole {
            return None;
        }
        let mut compressed = Vec::new();
        for part in parts {
            STANDARD.decode_vec(&part.zstd_base64, &mut compressed).ok()?;
        }
        let mut plain = Vec::new();
        // One that unfolds to more than was ever packed is not read to its end.
        let limit = 2 * BYTES_MAX as u64;
        let mut decoder = zstd::Decoder::new(compressed.as_slice()).ok()?;
        std::io::copy(&mut std::io::Read::take(&mut decoder, limit), &mut plain).ok()?;
        let bundle: Bundle = crate::snapshot::decode(&plain).ok()?;
        let inside = |name: &String| normal(name).is_some_and(|normal| normal == *name);
        bundle.files.keys().all(inside).then_some(bundle)
    }
}

/// Tables whose feature is a model name it in `model`.
fn models_in(table: &toml::Table, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        match value {
            toml::Value::String(path) if key == "model" => {
                found.insert(path.clone());
            }
            toml::Value::Table(table) => models_in(table, found),
            _ => {}
        }
    }
}

/// A path without detours: `..` only in front, and not too often. None where it is no such path.
fn normal(path: &str) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str()?),
            Component::ParentDir => match names.last() {
                Some(last) if *last != ".." => {
                    names.pop();
                }
                _ => names.push(".."),
            },
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let ups = names.iter().filter(|name| **name == "..").count();
    (ups <= UP_MAX && ups < names.len()).then(|| names.join("/"))
}

fn lexical(base: &Path, name: &str) -> PathBuf {
    let mut path = base.to_owned();
    for part in name.split('/') {
        if part == ".." {
            path.pop();
        } else {
            path.push(part);
        }
    }
    path
}

fn too_large(path: &Path) -> Failure {
    let (path, mib) = (path.display(), BYTES_MAX >> 20);
    Failure::Usage(Message::new(
        format!(
            "the rules directory is too large to be kept in the control topic, at {path}: at most \
             {FILES_MAX} files and {mib} MiB"
        ),
        format!(
            "规则目录过大，无法保存到控制主题（{path} 处）：最多 {FILES_MAX} 个文件、{mib} MiB"
        ),
    ))
}

fn far(directory: &Path, model: &str) -> Failure {
    let directory = directory.display();
    Failure::Usage(Message::new(
        format!(
            "a stream keeps the models that its rules name, and {model} is no path from \
             {directory} on; put the model beside the rules"
        ),
        format!(
            "流会保存规则所引用的模型，而 {model} 不是相对于 {directory} 的路径；请将模型放在规则目录旁"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &[u8])]) {
        for (name, bytes) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    fn parts(entries: &[Entry]) -> Vec<&Part> {
        let part = |entry: &'_ Entry| match entry {
            Entry::Rules(part) => part.clone(),
            other => panic!("{other:?}"),
        };
        entries.iter().map(|entry| &*Box::leak(Box::new(part(entry)))).collect()
    }

    /// What is packed comes out as it was, models beside the directory included, whatever the order
    /// of its records; what is hidden stays out.
    #[test]
    fn a_directory_comes_out_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let noise: Vec<u8> =
            (0..1_500_000u64).map(|at| blake3::hash(&at.to_le_bytes()).as_bytes()[0]).collect();
        write(
            root.path(),
            &[
                ("a/rules/features.toml", b"[g.kind]\nmodel = '../../models/x'\ngives = 'score'\n"),
                ("a/rules/funds/many.toml", b"x"),
                ("a/rules/lists/large.csv", &noise),
                ("a/rules/.swp", b"hidden"),
                ("models/x/model.bin", b"m"),
            ],
        );
        let rules = root.path().join("a/rules");
        let bundle = Bundle::read(Some(&rules)).unwrap();
        let entries = bundle.entries("h").unwrap();
        assert!(entries.len() > 2, "{} records", entries.len());
        let mut shuffled = parts(&entries);
        shuffled.reverse();
        assert_eq!(Bundle::of(shuffled.iter().copied()).as_ref(), Some(&bundle));
        assert_eq!(Bundle::of(shuffled.iter().copied().skip(1)), None, "one is missing");
        let out = tempfile::tempdir().unwrap();
        let written = bundle.write(out.path()).unwrap().unwrap();
        assert_eq!(Bundle::read(Some(&written)).unwrap(), bundle);
        assert_eq!(fs::read(written.join("../../models/x/model.bin")).unwrap(), b"m");
        assert!(!written.join(".swp").exists());
        assert_eq!(Bundle::default().write(out.path()).unwrap(), None);
    }

    /// What would be written outside is not taken from records, nor a model from anywhere.
    #[test]
    fn nothing_comes_to_lie_outside() {
        for (name, fits) in [("a/b", true), ("../m/x", true), ("/a", false), ("a/../b", false)] {
            let mut bundle = Bundle::default();
            bundle.files.insert(name.to_owned(), Vec::new());
            let entries = bundle.entries("h").unwrap();
            assert_eq!(Bundle::of(parts(&entries).into_iter()).is_some(), fits, "{name}");
        }
        assert_eq!(normal("../../x/./y"), Some("../../x/y".to_owned()));
        assert_eq!(normal(&"../".repeat(20)), None);
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[("features.toml", b"[g.kind]\nmodel = '/models/x'\ngives = 'score'\n")],
        );
        assert!(matches!(Bundle::read(Some(root.path())), Err(Failure::Usage(_))));
    }
}
