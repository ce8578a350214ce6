//! The bytes of what decides, a rules directory and models, as they stand in the control topic: so
//! that a stream goes on and is replayed with what decided, whatever is on the disk by then, and on
//! any machine.
//!
//! All files of the directory are in it, and the models that its `features.toml` names, which may
//! lie beside it. Of a model that scores it is the artefact alone. Each is compressed and cut into
//! records, for brokers take no large ones. It is named by its own hash, and stands there once,
//! however often it comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::control::Entry;
use crate::changes::Deciders;
use crate::diagnostic::{Failure, Message, unreadable, unwritable};
use crate::run::ModelPaths;

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
/// The digits of a hash that name a folder.
const FOLDER_DIGITS: usize = 16;
/// How far up from its `features.toml` a model may lie.
const UP_MAX: usize = 8;

/// What decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bundle {
    rules: Files,
    models: [Option<Files>; 2],
}

/// Where what decides is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// The rules directory; none: no rules.
    pub(super) rules: Option<PathBuf>,
    pub(super) models: ModelPaths,
}

/// The files of a rules directory, paths from it on, with `/`, and their bytes; or that of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Files {
    files: BTreeMap<String, Vec<u8>>,
}

/// A part of the bytes of a rules directory or a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Its number, from 0, of so many.
    part: u32,
    parts: u32,
    zstd_base64: String,
}

impl Part {
    /// Its number.
    pub(super) fn number(&self) -> u32 {
        self.part
    }
}

impl Places {
    pub(super) fn of(config: &Config) -> Places {
        Places { rules: config.rules.clone(), models: config.models.clone() }
    }

    /// What they are for people: of a stream without a model, rules.
    pub(super) fn named(&self) -> (&'static str, &'static str) {
        match self.models.champion {
            Some(_) => ("rules and models", "规则与模型"),
            None => ("rules", "规则"),
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<PathBuf> {
        let ModelPaths { champion, challenger } = &self.models;
        [&self.rules, champion, challenger].into_iter().flatten().cloned().collect()
    }
}

impl Bundle {
    /// Reads what decides.
    ///
    /// # Errors
    /// When a file cannot be read, or all are too large.
    pub(super) fn read(places: &Places) -> Result<Bundle, Failure> {
        let mut left = (FILES_MAX, BYTES_MAX);
        let rules = Files::of_rules(places.rules.as_deref(), &mut left)?;
        let mut model = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| Files::of_model(path, &mut left)).transpose()
        };
        let ModelPaths { champion, challenger } = &places.models;
        Ok(Bundle { rules, models: [model(champion)?, model(challenger)?] })
    }

    /// What records hold; none where some are missing or broken.
    pub(super) fn of<'p>(
        deciders: &Deciders,
        parts: impl Fn(&str) -> &'p [Part],
    ) -> Option<Bundle> {
        let files = |hash: &String| Files::of(parts(hash).iter());
        let model = |hash: &Option<String>| match hash {
            Some(hash) => files(hash).map(Some),
            None => Some(None),
        };
        Some(Bundle {
            rules: files(&deciders.rules_hash)?,
            models: [model(&deciders.model_hash)?, model(&deciders.challenger_hash)?],
        })
    }

    /// Writes what decides into folders of a directory, each named by its hash where that is known;
    /// where it is then.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn write(&self, directory: &Path, deciders: &Deciders) -> Result<Places, Failure> {
        let named = |kind: &str, hash: &str| {
            directory.join(kind).join(hash.get(..FOLDER_DIGITS).unwrap_or(hash))
        };
        let rules = self.rules.write(&named("rules", &deciders.rules_hash), Some("rules"))?;
        let model = |files: &Option<Files>, hash: &Option<String>, role: &str| {
            let Some(files) = files else { return Ok(None) };
            let folder = named("models", hash.as_deref().unwrap_or(role));
            files.write(&folder, None)?;
            // Whoever loads one that is not there says so.
            let name = files.files.keys().next().map_or("model.json", String::as_str);
            Ok(Some(folder.join(name)))
        };
        let [champion, challenger] = &self.models;
        let models = ModelPaths {
            champion: model(champion, &deciders.model_hash, "champion")?,
            challenger: model(challenger, &deciders.challenger_hash, "challenger")?,
        };
        Ok(Places { rules, models })
    }

    /// The records that hold it, but for what is `held` already.
    ///
    /// # Errors
    /// When it cannot be compressed.
    pub(super) fn entries(
        &self,
        deciders: &Deciders,
        held: &BTreeSet<String>,
    ) -> Result<Vec<Entry>, Failure> {
        let mut entries = Vec::new();
        if !held.contains(&deciders.rules_hash) {
            let rules_hash = &deciders.rules_hash;
            let entry = |part| Entry::Rules { rules_hash: rules_hash.clone(), part };
            entries.extend(self.rules.parts()?.map(entry));
        }
        let hashes = [&deciders.model_hash, &deciders.challenger_hash];
        for (files, model_hash) in self.models.iter().zip(hashes) {
            let (Some(files), Some(model_hash)) = (files, model_hash) else { continue };
            if !held.contains(model_hash) {
                let entry = |part| Entry::Model { model_hash: model_hash.clone(), part };
                entries.extend(files.parts()?.map(entry));
            }
        }
        Ok(entries)
    }
}

impl Files {
    /// Reads a directory; none: no rules.
    fn of_rules(directory: Option<&Path>, left: &mut (usize, usize)) -> Result<Files, Failure> {
        let mut read = Files::default();
        let Some(directory) = directory else { return Ok(read) };
        read.add(directory, "", left)?;
        for model in read.models() {
            let Some(name) = normal(&model) else { return Err(far(directory, &model)) };
            read.add(&directory.join(&model), &format!("{name}/"), left)?;
        }
        Ok(read)
    }

    /// Reads the file of a model. Where there is none that can be read, whoever loads it says so.
    fn of_model(path: &Path, left: &mut (usize, usize)) -> Result<Files, Failure> {
        let file = model_file(path);
        let is_onnx = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("onnx"));
        let name = if is_onnx { "model.onnx" } else { "model.json" };
        let mut read = Files::default();
        if fs::File::open(&file).is_ok() {
            read.add(&file, name, left)?;
        }
        Ok(read)
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

    /// Writes the files into a folder of their own, into a folder in it where that has a name; where
    /// they are then. None: there are none.
    fn write(&self, folder: &Path, name: Option<&str>) -> Result<Option<PathBuf>, Failure> {
        if self.files.is_empty() {
            return Ok(None);
        }
        let ups = self.files.keys().map(|name| name.matches("../").count()).max().unwrap_or(0);
        let mut own = folder.to_owned();
        // What lies above it comes to lie in the folder as well.
        own.extend((1..ups).map(|_| "up"));
        own.extend(name);
        for (name, bytes) in &self.files {
            let path = lexical(&own, name);
            assert!(path.starts_with(folder), "what is written is in the folder");
            let failed = |error| Failure::Environment(unwritable(&path, &error));
            fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(failed)?;
            fs::write(&path, bytes).map_err(failed)?;
        }
        Ok(Some(own))
    }

    /// Its bytes, in parts.
    fn parts(&self) -> Result<impl Iterator<Item = Part> + use<>, Failure> {
        let plain = crate::snapshot::encode(self);
        let compressed = zstd::encode_all(plain.as_slice(), LEVEL).map_err(|error| {
            let why = error.to_string();
            Failure::Environment(Message::new(
                format!("rules or models cannot be compressed: {why}"),
                format!("无法压缩规则或模型：{why}"),
            ))
        })?;
        let parts: Vec<String> =
            compressed.chunks(PART_BYTES).map(|bytes| STANDARD.encode(bytes)).collect();
        let count = parts.len() as u32;
        let part = move |(part, zstd_base64)| Part { part, parts: count, zstd_base64 };
        Ok((0..).zip(parts).map(part))
    }

    /// What parts hold; none where some are missing or broken.
    fn of<'p>(parts: impl Iterator<Item = &'p Part>) -> Option<Files> {
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
        let held: Files = crate::snapshot::decode(&plain).ok()?;
        let inside = |name: &String| normal(name).is_some_and(|normal| normal == *name);
        held.files.keys().all(inside).then_some(held)
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

/// The file of a model that is given by itself or by the directory of its training.
fn model_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("model.json") } else { path.to_owned() }
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
            "the rules directory and the models are too large to be kept in the control topic, at \
             {path}: at most {FILES_MAX} files and {mib} MiB"
        ),
        format!(
            "规则目录与模型过大，无法保存到控制主题（{path} 处）：最多 {FILES_MAX} 个文件、{mib} MiB"
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

    fn deciders(rules: &str, model: Option<&str>) -> Deciders {
        let model_hash = model.map(str::to_owned);
        Deciders { rules_hash: rules.to_owned(), model_hash, challenger_hash: None }
    }

    fn places(rules: &Path) -> Places {
        Places { rules: Some(rules.to_owned()), ..Places::default() }
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
        let bundle = Bundle::read(&places(&rules)).unwrap();
        let mut shuffled: Vec<Part> = bundle.rules.parts().unwrap().collect();
        assert!(shuffled.len() > 2, "{} records", shuffled.len());
        shuffled.reverse();
        let own = deciders("h", None);
        assert_eq!(Bundle::of(&own, |_| &shuffled).as_ref(), Some(&bundle));
        assert_eq!(Bundle::of(&own, |_| &shuffled[1..]), None, "one is missing");
        let out = tempfile::tempdir().unwrap();
        let written = bundle.write(out.path(), &own).unwrap();
        assert_eq!(Bundle::read(&written).unwrap(), bundle);
        let written = written.rules.unwrap();
        assert_eq!(fs::read(written.join("../../models/x/model.bin")).unwrap(), b"m");
        assert!(!written.join(".swp").exists());
        assert_eq!(Bundle::default().write(out.path(), &own).unwrap(), Places::default());
    }

    /// A model stands there under its own hash: with other rules it is not written once more, and
    /// without one of its parts nothing decides.
    #[test]
    fn a_model_is_kept_beside_the_rules_and_once() {
        let root = tempfile::tempdir().unwrap();
        let trained: &[(&str, &[u8])] =
            &[("rules/funds/many.toml", b"x"), ("m/model.json", b"{}"), ("m/card.md", b"c")];
        write(root.path(), trained);
        let models = ModelPaths { champion: Some(root.path().join("m")), ..ModelPaths::default() };
        let bundle =
            Bundle::read(&Places { models, ..places(&root.path().join("rules")) }).unwrap();
        let own = deciders("r", Some("m"));
        let entries = bundle.entries(&own, &BTreeSet::new()).unwrap();
        let held = |hash: &str| -> Vec<Part> {
            let part = |entry: &Entry| match entry {
                Entry::Rules { rules_hash: own, part } | Entry::Model { model_hash: own, part } => {
                    (own == hash).then(|| part.clone())
                }
                other => panic!("{other:?}"),
            };
            entries.iter().filter_map(part).collect()
        };
        let (rules, model) = (held("r"), held("m"));
        let of = |hash: &str| if hash == "r" { rules.as_slice() } else { model.as_slice() };
        let found = Bundle::of(&own, of).unwrap();
        assert_eq!(found, bundle);
        assert_eq!(Bundle::of(&own, |hash| if hash == "r" { &rules } else { &[] }), None);
        let out = tempfile::tempdir().unwrap();
        let written = found.write(out.path(), &own).unwrap().models.champion.unwrap();
        assert_eq!(written, out.path().join("models/m/model.json"), "and no card");
        assert_eq!(fs::read(written).unwrap(), b"{}");
        let more = bundle.entries(&own, &BTreeSet::from(["m".to_owned()])).unwrap();
        assert!(matches!(more.as_slice(), [Entry::Rules { .. }]), "{more:?}");
    }

    /// What would be written outside is not taken from records, nor a model from anywhere.
    #[test]
    fn nothing_comes_to_lie_outside() {
        for (name, fits) in [("a/b", true), ("../m/x", true), ("/a", false), ("a/../b", false)] {
            let mut held = Files::default();
            held.files.insert(name.to_owned(), Vec::new());
            let parts: Vec<Part> = held.parts().unwrap().collect();
            assert_eq!(Files::of(parts.iter()).is_some(), fits, "{name}");
        }
        assert_eq!(normal("../../x/./y"), Some("../../x/y".to_owned()));
        assert_eq!(normal(&"../".repeat(20)), None);
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[("features.toml", b"[g.kind]\nmodel = '/models/x'\ngives = 'score'\n")],
        );
        assert!(matches!(Bundle::read(&places(root.path())), Err(Failure::Usage(_))));
    }
}
