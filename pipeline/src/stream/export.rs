//! The input log of a stream as files: what `backtest --input-log` replays to the same bytes, where it is
//! all of it. A part of it is for whoever wants to look at a day of a long history.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::bundle::Places;
use super::config::Config;
use super::connect::{Tell, wait};
use super::control::{Begin, Held, Resume};
use super::input::{Input, Start, first_since};
use super::reload;
use super::start::check_last_records;
use crate::diagnostic::{Failure, Message, unwritable};
use crate::expr::format_duration;
use crate::source::log::{Heartbeat, LOG_VERSION};

/// Of a log, the records that were appended from a time on and before another, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// None: from where the stream began.
    pub from: Option<i64>,
    /// None: to where it had read when it last committed.
    pub to: Option<i64>,
}

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
/// committed, and of that what was appended in the span.
///
/// # Errors
/// When there is no such stream or nothing was appended in the span (exit 2), records are gone, or
/// the disk fails (exit 3).
pub fn export(
    config: &Config,
    span: Span,
    out: &Path,
    tell: Tell<'_>,
) -> Result<Exported, Failure> {
    let consumer = config.cluster.consumer()?;
    wait(&config.cluster, &consumer, tell, &|| false)?;
    let held = Held::read(config)?;
    let (Some(begin), Some(resume)) = (&held.begin, &held.resume) else {
        let topic = &config.control;
        return Err(Failure::Usage(Message::new(
            format!("no stream has committed anything to {topic} yet"),
            format!("{topic} 中还没有任何已提交的流"),
        )));
    };
    let parts = parts(config, span, begin, resume)?;
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
        .zip(&parts)
        .map(|(source, part)| (source.topic.clone(), source.partition, Start::At(part.start)))
        .collect();
    let mut exported = Exported { records: vec![0; files.len()], ..Exported::default() };
    let mut input = Input::open(&config.cluster, &starts)?;
    check_last_records(&config.cluster, &input, resume)?;
    for (source, part) in input.sources.iter_mut().zip(&parts) {
        source.end = part.end;
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
    for heartbeat in heartbeats(&held, span, &parts) {
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

/// The offsets of a partition that are exported.
#[derive(Clone, Copy)]
struct Part {
    start: u64,
    end: u64,
}

/// The offsets of each partition between the times of a span.
fn parts(
    config: &Config,
    span: Span,
    begin: &Begin,
    resume: &Resume,
) -> Result<Vec<Part>, Failure> {
    if let Span { from: Some(from), to: Some(to) } = span
        && from >= to
    {
        return Err(Failure::Usage(Message::new(
            "--from is not before --to",
            "--from 不早于 --to",
        )));
    }
    let names: Vec<(&str, i32)> =
        begin.partitions.iter().map(|source| (&*source.topic, source.partition)).collect();
    // Before the first record since then; none: nothing came since.
    let since = |time: Option<i64>| match time {
        Some(time) => first_since(&config.cluster, &names, time),
        None => Ok(vec![None; names.len()]),
    };
    let (from, to) = (since(span.from)?, since(span.to)?);
    let mut parts = Vec::new();
    for (at, (source, place)) in begin.partitions.iter().zip(&resume.partitions).enumerate() {
        let read = source.offset..=place.next_offset.max(source.offset);
        let within = |offset: u64| offset.clamp(*read.start(), *read.end());
        let start = match span.from {
            Some(_) => from[at].map_or(*read.end(), within),
            None => source.offset,
        };
        let end = to[at].map_or(*read.end(), within);
        parts.push(Part { start, end: end.max(start) });
    }
    if span != Span::default() && parts.iter().all(|part| part.start == part.end) {
        return Err(Failure::Usage(Message::new(
            "of what the stream has read nothing was appended between --from and --to",
            "流已读取的记录中没有在 --from 与 --to 之间写入的",
        )));
    }
    Ok(parts)
}

/// The heartbeats of what is exported. Those before it have moved its watermark already.
fn heartbeats(held: &Held, span: Span, parts: &[Part]) -> Vec<Heartbeat> {
    if span == Span::default() {
        return held.heartbeats.clone();
    }
    let mut told = Vec::new();
    for (partition, part) in (0..).zip(parts) {
        let (before, within): (Vec<Heartbeat>, Vec<Heartbeat>) =
            held.of(partition).partition(|one| one.next_offset <= part.start);
        let before = before.into_iter().max_by_key(|one| one.event_time_max);
        told.extend(before.map(|one| Heartbeat { next_offset: part.start, ..one }));
        told.extend(within.into_iter().filter(|one| one.next_offset <= part.end));
    }
    told
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
