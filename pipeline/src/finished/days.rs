//! The days of a stream as runs: a directory a day, and the directory of all of them.
//!
//! A day's tables are in parts, which `run.toml` names. That is replaced last, and parts are never
//! changed, so whoever opens a day that grows has it as it was then. Its events are kept beside its
//! decisions, each with its place in the order. A day goes on from the state of the days before:
//! only all days from the stream's beginning can be decided again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{FinishedRun, RunFile, damaged, usage};
use crate::diagnostic::{Failure, Message};
use crate::event::Type;
use crate::sink::parquet;
use crate::source::intake::Days;

/// The folder of a day's parts.
pub(crate) const PARTS: &str = "parts";

/// What `run.toml` says of a day, in the table `[stream]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamDay {
    /// BLAKE3 of that with which the stream began.
    pub(crate) begin: String,
    /// Every event of the day before this effective time is in its parts, and none from it on, in ms.
    pub(crate) frontier: i64,
    /// Its parts in order: folders in `parts/`.
    pub(crate) parts: Vec<String>,
    /// Whether everything from the stream's beginning to the day's end went into days.
    pub(crate) whole: bool,
    /// Whether other rules came into force during the day.
    pub(crate) changed: bool,
    /// The digest of all decisions of the stream up to the frontier.
    pub(crate) digest: String,
    /// What became of the day's records; refused ones and repeats are of the day of their commit.
    pub(crate) counts: DayCounts,
    /// What became of the stream's records up to here.
    pub(crate) total: DayCounts,
    /// Columns of one's own, with their types.
    #[serde(default)]
    pub(crate) extra: BTreeMap<String, Type>,
}

/// What became of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DayCounts {
    pub(crate) decided: u64,
    pub(crate) applied: u64,
    pub(crate) rejected: u64,
    pub(crate) duplicates: u64,
}

impl StreamDay {
    /// Where its tables are, in order.
    pub(crate) fn parts_of(&self, directory: &Path) -> Vec<PathBuf> {
        self.parts.iter().map(|part| directory.join(PARTS).join(part)).collect()
    }

    pub(super) fn metrics(&self, digest: &str) -> serde_json::Value {
        serde_json::json!({ "counts": self.counts, "decisions_digest": digest })
    }
}

/// The days in a directory, in order.
pub(crate) fn listed(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut days: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    days.retain(|path| is_date(path) && path.join("run.toml").is_file());
    days.sort();
    days
}

fn is_date(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let digit = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    name.len() == 10 && name.bytes().enumerate().all(digit)
}

impl FinishedRun {
    /// The days of a stream as one run.
    pub(super) fn of_days(directory: &Path, days: &[PathBuf]) -> Result<FinishedRun, Failure> {
        let days = days.iter().map(|day| FinishedRun::open(day)).collect::<Result<Vec<_>, _>>()?;
        let streams: Vec<&StreamDay> = days.iter().filter_map(FinishedRun::stream_day).collect();
        let (Some(first), Some(last)) = (days.first(), streams.last()) else {
            return Err(damaged(directory, "it has no days"));
        };
        if streams.len() < days.len() || streams.iter().any(|day| day.begin != last.begin) {
            return Err(usage(
                format!("the days in {} are not of one stream", directory.display()),
                format!("{} 中的各日不属于同一个流", directory.display()),
            ));
        }
        let mut counts = DayCounts::default();
        for StreamDay { counts: day, .. } in &streams {
            counts.decided += day.decided;
            counts.applied += day.applied;
            counts.rejected += day.rejected;
            counts.duplicates += day.duplicates;
        }
        // Whatever is not here was removed, or never was.
        let whole = last.whole && counts == last.total;
        let deciders = |day: &FinishedRun| {
            (day.rules_hash(), day.model_hash()) != (first.rules_hash(), first.model_hash())
        };
        let changed = streams.iter().any(|day| day.changed) || days.iter().any(deciders);
        let stream = StreamDay { counts, whole, changed, parts: Vec::new(), ..(*last).clone() };
        let parts: Vec<PathBuf> = days.iter().flat_map(|day| day.parts.clone()).collect();
        let decisions_digest = if whole {
            stream.digest.clone()
        } else {
            let files = parts.iter().map(|part| part.join("decisions.parquet"));
            let digest = parquet::digest(files).map_err(|error| damaged(directory, &error))?;
            digest.to_hex().to_string()
        };
        let metrics = stream.metrics(&decisions_digest);
        let facts = RunFile { decisions_digest, stream: Some(stream), ..first.facts.clone() };
        let run = FinishedRun::of(directory, facts, metrics, parts)?;
        Ok(FinishedRun { days, ..run })
    }

    /// Where its log is: that of a day is in its last part, so that it is of the same moment.
    pub(crate) fn log_directory(&self) -> PathBuf {
        match (self.stream_day(), self.parts.last()) {
            (Some(_), Some(last)) => last.clone(),
            _ => self.directory.join("log"),
        }
    }

    fn stream_day(&self) -> Option<&StreamDay> {
        self.facts.stream.as_ref()
    }

    /// The events that its parts hold.
    pub(super) fn day_events(&self) -> Days {
        let extra = self.stream_day().map(|day| day.extra.clone()).unwrap_or_default();
        Days { files: self.files("events.parquet").collect(), extras: extra.into_iter().collect() }
    }

    /// Why the run cannot be decided again from what is here; none where it can.
    pub fn goes_on(&self) -> Option<Message> {
        let day = self.stream_day()?;
        if day.changed {
            return Some(Message::new(
                "the stream's rules or model changed on the way: to decide it again, export its input log, \
                 which has all of them, and replay that",
                "流的规则或模型中途更换过：如需重新决策，请导出并重放包含它们全部的输入日志",
            ));
        }
        let alone = !day.whole || day.counts != day.total;
        alone.then(|| {
            Message::new(
                "this goes on from what the stream decided before, and cannot be decided again alone: \
                 take the directory of all its days, from the stream's beginning, or its input log",
                "它承接流此前的状态，无法单独重新决策：请使用自流开始以来所有日期的目录，或其输入日志",
            )
        })
    }
}
