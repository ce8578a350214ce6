//! The input log of a stream as files: what `backtest --input-log` replays to the same bytes.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::bundle::Places;
use super::config::Config;
use super::control::{Begin, Held};
use super::input::{Input, Start};
use super::reload;
use crate::diagnostic::{Failure, Message, unwritable};
use crate::expr::format_duration;
use crate::source::log::LOG_VERSION;

/// What was exported.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    /// Records of each partition.
    pub records: Vec<u64>,
    /// Heartbeats.
    pub heartbeats: u64,
    /// Changes of rules and models.
    pub changes: u64,
    /// The rules directory with which the stream began, as it is exported; none: no rules.
    pub rules: Option<PathBuf>,
    /// The model with which it began; none: no model.
    pub model: Option<PathBuf>,
    /// The challenger with which it began.
    pub challenger: Option<PathBuf>,
}

/// Writes the input log of a stream into a directory: what the stream had read when it last
/// committed.
///
/// # Errors
/// When there is no such stream (exit 2), records are gone, or the disk fails (exit 3).
pub fn export(config: &Config, out: &Path) -> Result<Exported, Failure> {
    let held = Held::read(config)?;
    let (Some(begin), Some(resume)) = (&held.begin, &held.resume) else {
        let topic = &config.control;
        return Err(Failure::Usage(Message::new(
            format!("no stream has committed anything to {topic} yet"),
            format!("{topic} 中还没有任何已提交的流"),
        )));
    };
    let folder = out.join("partitions");
    // An older log's files would be partitions of this one, or rules or models.
    for older in [&folder, &out.join("rules"), &out.join("models")] {
        if older.exists() {
            fs::remove_dir_all(older).map_err(|error| failed(older, &error))?;
        }
    }
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    let mut files = Vec::new();
    for number in 0..begin.partitions.len() {
        let path = folder.join(format!("{number}.jsonl"));
        let file = File::create(&path).map_err(|error| failed(&path, &error))?;
        files.push((path, BufWriter::new(file)));
    }
    let starts: Vec<(String, i32, Start)> = begin
        .partitions
        .iter()
        .map(|source| (source.topic.clone(), source.partition, Start::At(source.offset)))
        .collect();
    let mut exported = Exported { records: vec![0; files.len()], ..Exported::default() };
    let mut input = Input::open(&config.cluster, &starts)?;
    for (source, place) in input.sources.iter_mut().zip(&resume.partitions) {
        source.end = place.next_offset;
        source.at_end |= source.position >= source.end;
    }
    input.read_to_end(|at, fetched| {
        exported.records[at] += 1;
        let (path, file) = &mut files[at];
        writeln!(file, "{}", fetched.arrived.to_line()).map_err(|error| failed(path, &error))
    })?;
    for (path, file) in &mut files {
        file.flush().map_err(|error| failed(path, &error))?;
    }
    let mut control = String::new();
    for heartbeat in &held.heartbeats {
        control.push_str(&heartbeat.to_line());
        control.push('\n');
        exported.heartbeats += 1;
    }
    match held.bundle(&begin.deciders) {
        Some(first) => {
            let (Places { rules, models }, changes) = reload::write(&held, &first, out)?;
            exported.rules = rules;
            (exported.model, exported.challenger) = (models.champion, models.challenger);
            for change in &changes.list {
                control.push_str(&change.to_line());
                control.push('\n');
                exported.changes += 1;
            }
        }
        // A version of the program that kept none began it, and there were no changes.
        None => exported.rules = config.rules.clone(),
    }
    write(&out.join("control.jsonl"), &control)?;
    write(&out.join("log.toml"), &header(begin))?;
    Ok(exported)
}

/// What held for all of the log.
fn header(begin: &Begin) -> String {
    let mut document = toml_edit::DocumentMut::new();
    document["version"] = toml_edit::value(LOG_VERSION);
    document["partitions"] = toml_edit::value(begin.partitions.len() as i64);
    document["allowed_lateness"] = toml_edit::value(format_duration(begin.allowed_lateness_ms));
    document["max_ahead"] = toml_edit::value(format_duration(begin.max_ahead_ms));
    let mut extra = toml_edit::Table::new();
    for (name, kind) in &begin.extra {
        extra[name] = toml_edit::value(kind);
    }
    if !extra.is_empty() {
        document["extra"] = toml_edit::Item::Table(extra);
    }
    document.to_string()
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Environment(unwritable(path, error))
}
