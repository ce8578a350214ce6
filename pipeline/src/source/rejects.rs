//! All refused records of a run: what is known of each is in memory, and their bytes too while they
//! are few. A file of nothing but records that are refused must not fill the memory.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::reject::{Origin, Reject};
use crate::diagnostic::{Failure, Message};

/// Bytes of records that are held in memory; those of the others go to disk.
const HELD_BYTES_MAX: usize = 64 << 20;

/// Of too many records, so many are shown.
const SHOWN_MAX: usize = 3;

/// Refused records, at most so many.
#[derive(Debug)]
pub struct Rejects {
    all: Vec<Kept>,
    /// What each source is.
    origins: Vec<Origin>,
    max: Option<u64>,
    held: usize,
    held_max: usize,
    folder: PathBuf,
    /// Has no name, and is gone with the run however it ends.
    file: Option<File>,
    file_bytes: u64,
}

#[derive(Debug)]
struct Kept {
    reject: Reject,
    /// Where its bytes are in the file, and how many, if they are there.
    on_disk: Option<(u64, usize)>,
}

impl Rejects {
    /// None yet of these sources; more than `max` end the run. `folder` is where bytes go that are
    /// too many; it is made where there is none.
    pub fn new(origins: Vec<Origin>, folder: &Path, max: Option<u64>) -> Rejects {
        Rejects {
            all: Vec::new(),
            origins,
            max,
            held: 0,
            held_max: HELD_BYTES_MAX,
            folder: folder.to_owned(),
            file: None,
            file_bytes: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What is known of each; the bytes of some are on disk and not here.
    pub fn iter(&self) -> impl Iterator<Item = &Reject> {
        self.all.iter().map(|kept| &kept.reject)
    }

    /// Whether the bytes of these fit in memory with those that are held.
    pub fn have_room(&self, rejects: &[Reject]) -> bool {
        let bytes: usize = rejects.iter().map(|reject| reject.raw.len()).sum();
        self.held + bytes <= self.held_max
    }

    /// Takes one more. An error is one too many, or a disk that takes no more.
    pub fn push(&mut self, mut reject: Reject) -> Result<(), Failure> {
        if self.max.is_some_and(|max| self.all.len() as u64 >= max) {
            return Err(self.too_many(&reject));
        }
        let size = reject.raw.len();
        let on_disk = if self.held + size <= self.held_max {
            self.held += size;
            None
        } else {
            let raw = std::mem::take(&mut reject.raw);
            Some(self.store(&raw).map_err(|error| unstored(&self.folder, &error))?)
        };
        self.all.push(Kept { reject, on_disk });
        Ok(())
    }

    /// Takes several more.
    pub fn extend(&mut self, rejects: impl IntoIterator<Item = Reject>) -> Result<(), Failure> {
        rejects.into_iter().try_for_each(|reject| self.push(reject))
    }

    /// Where the record of one of them stood, for a person.
    pub fn place(&self, reject: &Reject) -> String {
        reject.place(&self.origins[reject.source as usize])
    }

    /// Puts them in the order of their sources.
    pub fn sort(&mut self) {
        self.all.sort_by_key(|Kept { reject, .. }| (reject.source, reject.at));
    }

    /// Writes the lines of `rejects.jsonl`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for Kept { reject, on_disk } in &self.all {
            let origin = &self.origins[reject.source as usize];
            let line = match (*on_disk, &self.file) {
                (Some((at, size)), Some(file)) => {
                    let (mut file, mut raw) = (file, vec![0; size]);
                    file.seek(SeekFrom::Start(at))?;
                    file.read_exact(&mut raw)?;
                    Reject { raw, ..reject.clone() }.to_json_line(origin)
                }
                _ => reject.to_json_line(origin),
            };
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    fn store(&mut self, raw: &[u8]) -> io::Result<(u64, usize)> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                fs::create_dir_all(&self.folder)?;
                self.file.insert(tempfile::tempfile_in(&self.folder)?)
            }
        };
        file.write_all(raw)?;
        let at = self.file_bytes;
        self.file_bytes += raw.len() as u64;
        Ok((at, raw.len()))
    }

    /// That one more is too many, with the first ones: there is no run directory to look them up in.
    fn too_many(&self, last: &Reject) -> Failure {
        let max = self.max.unwrap_or_default();
        let line = |reject: &Reject| {
            format!("\n  {} {}: {}", self.place(reject), reject.code.name(), reject.detail)
        };
        let all = self.iter().chain([last]);
        let mut lines: String = all.take(SHOWN_MAX).map(line).collect();
        if self.len() >= SHOWN_MAX {
            lines.push_str("\n  ...");
        }
        Failure::Usage(Message::new(
            format!("more records were rejected than --max-rejects {max}:{lines}"),
            format!("被拒绝的记录超过 --max-rejects {max}：{lines}"),
        ))
    }
}

fn unstored(folder: &Path, error: &io::Error) -> Failure {
    let folder = folder.display();
    Failure::Environment(Message::new(
        format!("rejected records cannot be kept in {folder}: {error}"),
        format!("无法在 {folder} 保存被拒绝的记录：{error}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Refusal, RejectCode};

    /// What is on disk is written as what is in memory, in order.
    #[test]
    fn bytes_come_back_from_disk() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |at: u64| {
            let refusal = Refusal::new(RejectCode::Malformed, format!("number {at}"));
            Reject::new((at % 2) as u32, at, refusal, format!("record {at}").as_bytes())
        };
        let origins = [0, 1].map(Origin::Partition);
        let written = |held_max: usize| {
            let none = Rejects::new(origins.to_vec(), folder.path(), None);
            let mut rejects = Rejects { held_max, ..none };
            rejects.extend((0..100).map(refused)).unwrap();
            rejects.sort();
            let mut out = Vec::new();
            rejects.write(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let in_memory = written(HELD_BYTES_MAX);
        assert_eq!(in_memory.lines().count(), 100);
        let line = |at: u64| refused(at).to_json_line(&origins[(at % 2) as usize]);
        assert_eq!(in_memory.lines().nth(1), Some(line(2).as_str()));
        assert_eq!(in_memory.lines().last(), Some(line(99).as_str()));
        for held_max in [0, 100, 500] {
            assert_eq!(written(held_max), in_memory);
        }
    }

    #[test]
    fn the_first_of_too_many_are_named() {
        let refused = |at| Reject::new(0, at, Refusal::new(RejectCode::Malformed, "no"), b"");
        let told = |max: u64| {
            let origins = vec![Origin::File("e.csv".to_owned())];
            let mut rejects = Rejects::new(origins, Path::new("nowhere"), Some(max));
            (1..=max).for_each(|at| rejects.push(refused(at)).unwrap());
            match rejects.push(refused(9)) {
                Err(Failure::Usage(said)) => said.en,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            told(1),
            "more records were rejected than --max-rejects 1:\n  \
             e.csv:1 malformed: no\n  e.csv:9 malformed: no"
        );
        let four = told(4);
        assert!(four.ends_with("e.csv:3 malformed: no\n  ..."), "{four}");
    }
}
