//! That a run writes over nothing that it reads.

use std::path::{Path, PathBuf};

use super::{Events, Request};
use crate::diagnostic::{Failure, Message};
use crate::event::Pseudonyms;
use crate::sink::CHALLENGER_FILE;

/// What a run writes into its directory, the folder of its log apart.
const WRITTEN: [&str; 8] = [
    "decisions.parquet",
    "features.parquet",
    CHALLENGER_FILE,
    "entities.parquet",
    "rejects.jsonl",
    "metrics.json",
    "report.html",
    "run.toml",
];

/// Refuses a run whose directory has something in it that is read and would be written.
pub(super) fn check(request: &Request) -> Result<(), Failure> {
    // What is not there is not written over, and is told of where it is read.
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let written: Vec<PathBuf> =
        WRITTEN.iter().filter_map(|name| real(&request.out.join(name))).collect();
    let log = real(&request.out.join("log"));
    let is_written = |path: &Path| {
        real(path).is_some_and(|read| {
            log.as_ref().is_some_and(|log| read.starts_with(log))
                || written.iter().any(|file| *file == read || file.parent() == Some(&read))
        })
    };
    match read(request).into_iter().find(|path| is_written(path)) {
        None => Ok(()),
        Some(path) => Err(overwritten(path, &request.out)),
    }
}

/// The files that a run reads, and the folders of which it reads files.
fn read(request: &Request) -> Vec<&Path> {
    let (inputs, maps) = match &request.events {
        Events::Files { paths, maps } => (paths.as_slice(), maps.as_slice()),
        Events::Log { path, .. } => (std::slice::from_ref(path), &[][..]),
        Events::Days(days) => (days.files.as_slice(), &[][..]),
    };
    let models = [&request.models.champion, &request.models.challenger];
    let others = [&request.labels, &request.rules].into_iter().chain(models).flatten();
    let key = request.pseudonyms.as_deref().map(Pseudonyms::path);
    inputs.iter().chain(maps).chain(others).map(PathBuf::as_path).chain(key).collect()
}

fn overwritten(path: &Path, out: &Path) -> Failure {
    let (path, out) = (path.display(), out.display());
    Failure::Usage(Message::new(
        format!("{path} is read, and --out {out} would write over it: give another --out"),
        format!("{path} 是输入，--out {out} 会将其覆盖：请换一个 --out"),
    ))
}
