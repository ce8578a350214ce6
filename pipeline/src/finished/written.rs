//! Whether the files of a run are still what it wrote.
//!
//! `run.toml` says of each file how long it is, and its hash. Of a day of a stream each part has such
//! a list of its own, and `run.toml` says the hash over all of these: a day has as many parts as it has
//! minutes, and its `run.toml` is written anew with each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::{FinishedRun, usage};
use crate::diagnostic::{Failure, Message, unreadable};
use crate::sink::Written;

/// The list of a part's files, in its folder.
pub(crate) const PART_FILES: &str = "files.toml";
/// Only that of the last part of a day is kept.
const ENTITIES: &str = "entities.parquet";

/// What stands in the list of a part's files.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PartFiles {
    pub(crate) files: Vec<Written>,
}

/// What is wrong with the files of a run.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// A file is not what the run wrote.
    Altered(PathBuf),
    /// A file cannot be read, or is gone.
    Unreadable(PathBuf, io::Error),
}

impl Wrong {
    pub(crate) fn message(&self) -> Message {
        match self {
            Wrong::Altered(path) => {
                let path = path.display();
                Message::new(
                    format!("{path} is not what the run wrote"),
                    format!("{path} 与该运行写入时不同"),
                )
            }
            Wrong::Unreadable(path, error) => unreadable(path, error),
        }
    }
}

impl FinishedRun {
    /// Whether it says what it wrote; one that an earlier version made does not.
    pub(crate) fn says_what_it_wrote(&self) -> bool {
        match self.stream_day() {
            Some(day) => day.files.is_some() || self.days.iter().any(Self::says_what_it_wrote),
            None => !self.facts.files.is_empty(),
        }
    }

    /// The same, which notes where it does not say what it wrote.
    pub(super) fn noting_files(mut self) -> FinishedRun {
        if !self.says_what_it_wrote() {
            self.notes.push(Message::new(
                "an earlier version made this run, which did not write down the hashes of its files: \
                 whether one of them was changed cannot be seen",
                "该运行由旧版本生成，未记录各文件的散列：无法看出文件是否被改动",
            ));
        }
        self
    }

    /// Reads each of its files that is `wanted` by name, once, and holds it to what was written.
    pub(crate) fn hold_files(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        go_on: &dyn Fn() -> Result<(), Failure>,
    ) -> Result<Result<(), Wrong>, Failure> {
        for day in &self.days {
            if let Err(wrong) = day.hold_files(wanted, go_on)? {
                return Ok(Err(wrong));
            }
        }
        let written = match self.written() {
            Ok(written) => written,
            Err(wrong) => return Ok(Err(wrong)),
        };
        for (directory, file) in written.iter().filter(|(_, file)| wanted(&file.name)) {
            go_on()?;
            let path = directory.join(&file.name);
            match file.is_in(directory) {
                Ok(true) => {}
                Ok(false) => return Ok(Err(Wrong::Altered(path))),
                Err(error) => return Ok(Err(Wrong::Unreadable(path, error))),
            }
        }
        Ok(Ok(()))
    }

    /// Refuses a file that is about to be read and is not what was written. It is read once for that,
    /// however often it is asked for.
    ///
    /// # Errors
    /// When it is another, or cannot be read (exit 2).
    pub(crate) fn check_written(&self, name: &str) -> Result<(), Failure> {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.contains(name) {
            return Ok(());
        }
        match self.hold_files(&|file| file == name, &|| Ok(()))? {
            Ok(()) => checked.insert(name.to_owned()),
            Err(wrong @ Wrong::Unreadable(..)) => return Err(Failure::Usage(wrong.message())),
            Err(wrong) => {
                let Message { en, zh } = wrong.message();
                return Err(usage(
                    format!("{en}: run the backtest again, or bring the file back"),
                    format!("{zh}：请重新回测，或恢复原文件"),
                ));
            }
        };
        Ok(())
    }

    /// What it wrote, and where.
    fn written(&self) -> Result<Vec<(PathBuf, Written)>, Wrong> {
        let Some(day) = self.stream_day() else {
            let one = |file: &Written| (self.directory.clone(), file.clone());
            return Ok(self.facts.files.iter().map(one).collect());
        };
        let Some(hash) = &day.files else { return Ok(Vec::new()) };
        let (mut all, mut hasher) = (Vec::new(), blake3::Hasher::new());
        for part in &self.parts {
            let path = part.join(PART_FILES);
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) => return Err(Wrong::Unreadable(path, error)),
            };
            hasher.update(text.as_bytes());
            let Ok(PartFiles { files }) = toml::from_str(&text) else {
                return Err(Wrong::Altered(path));
            };
            let is_kept = |file: &Written| file.name != ENTITIES || self.parts.last() == Some(part);
            all.extend(files.into_iter().filter(is_kept).map(|file| (part.clone(), file)));
        }
        if hasher.finalize().to_hex().as_str() != hash {
            return Err(Wrong::Altered(lists(&self.directory)));
        }
        Ok(all)
    }
}

/// The lists of all parts of a day, one of which is another.
fn lists(day: &Path) -> PathBuf {
    day.join(super::days::PARTS).join("*").join(PART_FILES)
}
