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
use crate::sink::log::BLOCKS_FILE;
use crate::sink::parquet;
use crate::source::intake::Days;

/// The folder of a day's parts.
pub(crate) const PARTS: &str = "parts";
/// What only the last part of a day has for good.
const LAST_PART: [&str; 2] = [BLOCKS_FILE, "entities.parquet"];
/// Says who writes the days of a directory.
pub(crate) const OWNER: &str = ".owner";
/// A list of days that was read is read again so often where it is another meanwhile.
const LISTED_MAX: usize = 8;

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
    /// Whether what decided its first transaction did not decide all of it. Rules that came into force
    /// between two days changed neither of them.
    pub(crate) changed: bool,
    /// The digest of all decisions of the stream up to the frontier.
    pub(crate) digest: String,
    /// BLAKE3 over the lists of the files of its parts; none where an earlier version began the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<String>,
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
    /// The days in a directory as one run, as they are at one moment: a day may go while they are
    /// read, and another be there.
    pub(super) fn of_days_in(directory: &Path) -> Result<FinishedRun, Failure> {
        let mut days = listed(directory);
        for _ in 1..LISTED_MAX {
            let found = Self::of_days(directory, &days);
            let now = listed(directory);
            if found.is_ok() || days == now {
                return found;
            }
            days = now;
        }
        Self::of_days(directory, &days)
    }

    fn of_days(directory: &Path, days: &[PathBuf]) -> Result<FinishedRun, Failure> {
        if days.is_empty() {
            return Err(no_run(directory));
        }
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
        let (parts, files) = (Vec::new(), None);
        let stream = StreamDay { counts, whole, changed, parts, files, ..(*last).clone() };
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
        let notes = days.iter().map(|day| day.notes.clone()).find(|notes| !notes.is_empty());
        Ok(FinishedRun { days, notes: notes.unwrap_or_default(), ..run })
    }

    /// Whether it is of a stream: a day, or days.
    pub fn is_of_stream(&self) -> bool {
        self.facts.stream.is_some()
    }

    /// Whether the stream took files away since these days were opened: a day that is not kept any
    /// more, or what only the last part of a day has. What is gone though nothing came of it is no
    /// doing of the stream.
    pub(crate) fn has_moved_on(&self) -> bool {
        let is_there = |path: PathBuf| path.exists();
        let gone = |day: &FinishedRun| {
            let last = day.parts.last().into_iter();
            let own = last.flat_map(|part| LAST_PART.map(|name| part.join(name)));
            !day.files("decisions.parquet").chain(own).all(is_there)
        };
        let alone = std::slice::from_ref(self);
        let days = if self.days.is_empty() { alone } else { &self.days };
        let now = || FinishedRun::open(&self.directory).map(|now| now.parts);
        self.is_of_stream() && days.iter().any(gone) && now().ok().as_ref() != Some(&self.parts)
    }

    /// Where its log is: that of a day is in its last part, so that it is of the same moment.
    pub(crate) fn log_directory(&self) -> PathBuf {
        match (self.stream_day(), self.parts.last()) {
            (Some(_), Some(last)) => last.clone(),
            _ => self.directory.join("log"),
        }
    }

    pub(super) fn stream_day(&self) -> Option<&StreamDay> {
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

fn no_run(directory: &Path) -> Failure {
    let (is_stream, shown) =
        (directory.join(OWNER).exists() || directory.join(PARTS).exists(), directory.display());
    if is_stream {
        return usage(
            format!(
                "{shown} has no decisions yet: the stream that writes there has not finished a part of a \
                 day, which it does after a commit and at most once in the [days] interval"
            ),
            format!(
                "{shown} 中尚无决策：写入该目录的流还没有完成某一日的任何部分（每次提交之后、\
                 至多每个 [days] interval 写一次）"
            ),
        );
    }
    usage(
        format!(
            "{shown} is no finished run: it has no run.toml, which `hongxian backtest --out` writes last"
        ),
        format!("{shown} 不是已完成的运行目录：缺少 run.toml（hongxian backtest --out 最后写入）"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Lang;
    use crate::finished::written::{PART_FILES, PartFiles, Wrong};
    use crate::sink::Written;

    /// Says that a day has these parts, each of which has its files; the last one more.
    fn tell(day: &Path, parts: &[&str]) {
        let mut lists = blake3::Hasher::new();
        for part in parts {
            let folder = day.join(PARTS).join(part);
            fs::create_dir_all(&folder).unwrap();
            let put = |name: &str| Written::put(&folder.join(name), name.as_bytes()).unwrap();
            let files = ["decisions.parquet", "features.parquet", "entities.parquet"].map(put);
            fs::write(folder.join(BLOCKS_FILE), "").unwrap();
            let list = toml::to_string(&PartFiles { files: files.to_vec() }).unwrap();
            lists.update(list.as_bytes());
            fs::write(folder.join(PART_FILES), list).unwrap();
        }
        for old in parts.iter().rev().skip(1) {
            for name in LAST_PART {
                fs::remove_file(day.join(PARTS).join(old).join(name)).unwrap();
            }
        }
        let none = "decided = 0\napplied = 0\nrejected = 0\nduplicates = 0\n";
        let text = format!(
            "decisions_digest = \"\"\n[stream]\nbegin = \"b\"\nfrontier = 0\nparts = {parts:?}\n\
             whole = true\nchanged = false\ndigest = \"\"\nfiles = \"{}\"\n\
             [stream.counts]\n{none}[stream.total]\n{none}",
            lists.finalize().to_hex()
        );
        fs::write(day.join("run.toml"), text).unwrap();
    }

    fn wrong(run: &FinishedRun) -> Option<Wrong> {
        run.hold_files(&|_| true, &|| Ok(())).unwrap().err()
    }

    /// What a stream takes away is seen to be gone for that, and what somebody else takes is not.
    #[test]
    fn days_that_a_stream_goes_on_with_are_told_from_damaged_ones() {
        let directory = tempfile::tempdir().unwrap();
        let days = directory.path();
        let (first, second) = (days.join("2024-02-09"), days.join("2024-02-10"));
        tell(&first, &["a"]);
        tell(&second, &["a"]);
        let open = |path: &Path| FinishedRun::open(path).unwrap();
        let (all, alone) = (open(days), open(&second));
        assert!(!all.has_moved_on() && !alone.has_moved_on());
        assert!(wrong(&all).is_none());
        // It grew, and what only the last part has is of a later one.
        tell(&second, &["a", "b"]);
        assert!(all.has_moved_on() && alone.has_moved_on());
        let all = open(days);
        assert!(!all.has_moved_on() && wrong(&all).is_none());
        // A day that is not kept.
        fs::remove_dir_all(&first).unwrap();
        assert!(all.has_moved_on());
        let all = open(days);
        fs::remove_file(second.join(PARTS).join("a/decisions.parquet")).unwrap();
        assert!(!all.has_moved_on(), "no stream does that");
        assert!(matches!(wrong(&all), Some(Wrong::Unreadable(..))));
    }

    /// A file of any part is held to the list of the part, and the lists to `run.toml`.
    #[test]
    fn a_part_that_was_changed_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let day = directory.path().join("2024-02-09");
        tell(&day, &["a", "b"]);
        let folder = day.join(PARTS).join("a");
        let altered = |ends: &str| {
            let run = FinishedRun::open(directory.path()).unwrap();
            matches!(wrong(&run), Some(Wrong::Altered(path)) if path.ends_with(ends))
        };
        let written = Written::put(&folder.join("features.parquet"), b"other").unwrap();
        assert!(altered("a/features.parquet"));
        let run = FinishedRun::open(&day).unwrap();
        let Err(failure) = run.check_written("features.parquet") else { panic!("it is refused") };
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.render(Lang::En, false).contains("is not what the run wrote"));
        assert!(run.check_written("decisions.parquet").is_ok());
        let list = toml::to_string(&PartFiles { files: vec![written] }).unwrap();
        fs::write(folder.join(PART_FILES), list).unwrap();
        assert!(altered(PART_FILES));
    }

    /// Who looks at what a stream has only begun is told of the stream, and not of backtests.
    #[test]
    fn days_without_a_part_are_of_a_stream_that_has_begun() {
        let directory = tempfile::tempdir().unwrap();
        let said = |path: &Path| FinishedRun::open(path).unwrap_err().render(Lang::En, false);
        assert!(said(directory.path()).contains("is no finished run"));
        fs::write(directory.path().join(OWNER), "token").unwrap();
        let day = directory.path().join("2024-02-09");
        fs::create_dir_all(day.join(PARTS)).unwrap();
        for path in [directory.path(), &day] {
            let said = said(path);
            assert!(
                said.contains("has not finished a part") && !said.contains("backtest"),
                "{said}"
            );
        }
    }
}
