//! `log.toml` and `control.jsonl`: what held for the log as a whole, and what happened to it
//! beside its records.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use super::super::mapping::extra_columns;
use super::Times;
use crate::diagnostic::{Diagnostic, Message};
use crate::document::Reader;
use crate::event::{TIME_MAX, TIME_MIN, Type};

/// The version of the format that this program reads and writes.
pub const LOG_VERSION: i64 = 1;

/// More partitions than any topic has.
const PARTITIONS_MAX: i64 = 100_000;

const DAY_MS: i64 = 86_400_000;

/// A BLAKE3 hash in hexadecimal, as decisions and run.toml have it.
const HASH_DIGITS: usize = 64;

/// What `log.toml` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) partitions: u32,
    pub(super) times: Times<Option<i64>>,
    pub(super) extras: Vec<(String, Type)>,
}

impl Header {
    /// Reads the file: what it says, and every mistake in it.
    pub(super) fn read(file: &Path, text: &str) -> (Header, Vec<Diagnostic>) {
        let mut reader = Reader::new(file, text);
        let root = reader.parse();
        let (span, root) = (root.span(), root.get_ref());
        let known = ["version", "partitions", "allowed_lateness", "max_ahead", "extra"];
        reader.known_keys(root, &known);
        reader.required_keys(root, span, &["version", "partitions"]);
        reader.integer(root, "version", LOG_VERSION..=LOG_VERSION);
        let partitions = reader.integer(root, "partitions", 1..=PARTITIONS_MAX).unwrap_or(1);
        let times = Times {
            allowed_lateness: reader.duration(root, "allowed_lateness", 0..=DAY_MS),
            max_ahead: reader.duration(root, "max_ahead", 0..=DAY_MS),
        };
        let extras = extra_columns(&mut reader, root);
        (Header { partitions: partitions as u32, times, extras }, reader.finish())
    }
}

/// A line of `control.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Entry {
    /// An idle partition was moved on.
    Heartbeat(Heartbeat),
    /// The rules changed.
    Change(Change),
}

/// From an effective time on, other rules or another model decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ChangeLine")]
pub struct Change {
    /// The effective time of the first event for which they do, in ms.
    pub effective_time: i64,
    /// The rules directory, relative to the log.
    pub rules: String,
    /// The hash that its rules had when the line was written, as decisions have it; none: whatever
    /// is there now decides.
    pub rules_hash: Option<String>,
    /// Whether what they bring had been worked out from the whole log before: then it has a value from
    /// that time on.
    pub backfilled: bool,
    /// The model that scores with them.
    pub model: ModelTold,
    /// The one that is watched beside it.
    pub challenger: ModelTold,
    /// Where the line stands in `control.jsonl`, in bytes.
    pub span: Range<usize>,
}

/// What a change says of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ModelTold {
    /// Nothing: the one before goes on.
    #[default]
    AsBefore,
    /// There is none from then on.
    Gone,
    /// From then on it is another.
    Named {
        /// Its file, or the directory of its training, relative to the log.
        path: String,
        /// The hash that it had when the line was written; none: whatever is there now.
        hash: Option<String>,
    },
}

/// A change as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeLine {
    effective_time: i64,
    rules: String,
    rules_hash: Option<String>,
    #[serde(default)]
    backfilled: bool,
    #[serde(default, deserialize_with = "there")]
    model: Option<Option<String>>,
    model_hash: Option<String>,
    #[serde(default, deserialize_with = "there")]
    challenger: Option<Option<String>>,
    challenger_hash: Option<String>,
}

/// What is there, be it null.
fn there<'de, D: Deserializer<'de>>(found: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(found).map(Some)
}

impl TryFrom<ChangeLine> for Change {
    type Error = String;

    fn try_from(line: ChangeLine) -> Result<Change, String> {
        let told = |name: &str, path: Option<Option<String>>, hash: Option<String>| {
            Ok(match (path, hash) {
                (Some(Some(path)), hash) => ModelTold::Named { path, hash },
                (None | Some(None), Some(_)) => return Err(format!("{name}_hash without {name}")),
                (Some(None), None) => ModelTold::Gone,
                (None, None) => ModelTold::AsBefore,
            })
        };
        Ok(Change {
            effective_time: line.effective_time,
            rules: line.rules,
            rules_hash: line.rules_hash,
            backfilled: line.backfilled,
            model: told("model", line.model, line.model_hash)?,
            challenger: told("challenger", line.challenger, line.challenger_hash)?,
            span: 0..0,
        })
    }
}

impl Change {
    /// The change as a line of `control.jsonl`, without the newline.
    pub fn to_line(&self) -> String {
        let Change { effective_time, rules, rules_hash, .. } = self;
        let mut line = serde_json::json!({
            "kind": "change", "effective_time": effective_time, "rules": rules
        });
        if let Some(hash) = rules_hash {
            line["rules_hash"] = hash.as_str().into();
        }
        if self.backfilled {
            line["backfilled"] = true.into();
        }
        for (name, told) in self.models() {
            match told {
                ModelTold::AsBefore => {}
                ModelTold::Gone => line[name] = serde_json::Value::Null,
                ModelTold::Named { path, hash } => {
                    line[name] = path.as_str().into();
                    if let Some(hash) = hash {
                        line[format!("{name}_hash")] = hash.as_str().into();
                    }
                }
            }
        }
        line.to_string()
    }

    fn models(&self) -> [(&'static str, &ModelTold); 2] {
        [("model", &self.model), ("challenger", &self.challenger)]
    }

    fn check(&self) -> Result<(), String> {
        let named = self.models().into_iter().filter_map(|(name, told)| match told {
            ModelTold::Named { path, hash } => Some((name, path, hash)),
            ModelTold::AsBefore | ModelTold::Gone => None,
        });
        let all = named.chain([("rules", &self.rules, &self.rules_hash)]);
        for (name, path, hash) in all {
            // A log that names a place on one machine is of no use on another.
            if path.is_empty() || Path::new(path).is_absolute() {
                return Err(format!("{name} is no path relative to the log"));
            }
            if hash.as_deref().is_some_and(|hash| !is_hash(hash)) {
                let digits = HASH_DIGITS;
                return Err(format!("{name}_hash is not {digits} digits of 0-9 and a-f"));
            }
        }
        in_range("effective_time", self.effective_time)
    }
}

/// From a record on, a partition is as if it had seen an event of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// The partition's number.
    pub partition: u32,
    /// The first record for which it holds.
    pub next_offset: u64,
    /// The largest event time that any partition had accepted, in ms since 1970 UTC.
    pub event_time_max: i64,
}

impl Heartbeat {
    /// The heartbeat as a line of `control.jsonl`, without the newline.
    pub fn to_line(&self) -> String {
        let Heartbeat { partition, next_offset, event_time_max } = self;
        format!(
            "{{\"kind\":\"heartbeat\",\"partition\":{partition},\"next_offset\":{next_offset},\
             \"event_time_max\":{event_time_max}}}"
        )
    }
}

/// Reads `control.jsonl`: what it says, and every mistake in it.
pub(super) fn read(file: &Path, text: &str, partitions: u32) -> (Vec<Entry>, Vec<Diagnostic>) {
    let (mut entries, mut wrong) = (Vec::new(), Vec::new());
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let span = at..at + line.trim_end().len();
        at += line.len();
        if line.trim().is_empty() {
            continue;
        }
        let checked = serde_json::from_str::<Entry>(line)
            .map_err(|error| error.to_string())
            .and_then(|entry| entry.check(partitions).map(|()| entry.at(&span)));
        match checked {
            Ok(entry) => entries.push(entry),
            Err(why) => {
                let message = Message::new(
                    format!("the line is not a record of an input log: {why}"),
                    format!("该行不是输入日志的记录:{why}"),
                );
                let hint = Message::new(
                    "lines are {\"kind\":\"heartbeat\",\"partition\":0,\"next_offset\":0,\
                     \"event_time_max\":MS} or {\"kind\":\"change\",\"effective_time\":MS,\
                     \"rules\":\"DIRECTORY\"}, this also with \"rules_hash\":\"HASH\", \
                     \"backfilled\":true, \"model\":\"PATH\" or null, \"model_hash\", \
                     \"challenger\" and \"challenger_hash\"",
                    "每行应为 {\"kind\":\"heartbeat\",\"partition\":0,\"next_offset\":0,\
                     \"event_time_max\":毫秒} 或 {\"kind\":\"change\",\"effective_time\":毫秒,\
                     \"rules\":\"目录\"}，后者还可加上 \"rules_hash\":\"哈希\"、\"backfilled\":true、\"model\":\"路径\"（或 \
                     null）、\"model_hash\"、\"challenger\" 与 \"challenger_hash\"",
                );
                let error = Diagnostic::error("bad-control", file, Some(span), message);
                wrong.push(error.with_hint(Some(hint)));
            }
        }
    }
    (entries, wrong)
}

impl Entry {
    /// The same with the place where it stands.
    fn at(self, span: &Range<usize>) -> Entry {
        match self {
            Entry::Change(change) => Entry::Change(Change { span: span.clone(), ..change }),
            heartbeat => heartbeat,
        }
    }

    fn check(&self, partitions: u32) -> Result<(), String> {
        let heartbeat = match self {
            Entry::Heartbeat(heartbeat) => heartbeat,
            Entry::Change(change) => return change.check(),
        };
        if heartbeat.partition >= partitions {
            let partition = heartbeat.partition;
            return Err(format!("partition {partition}, and log.toml has {partitions}"));
        }
        in_range("event_time_max", heartbeat.event_time_max)
    }
}

fn is_hash(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == HASH_DIGITS && text.bytes().all(digit)
}

fn in_range(name: &str, time: i64) -> Result<(), String> {
    if (TIME_MIN..TIME_MAX).contains(&time) {
        return Ok(());
    }
    Err(format!("{name} is {time}, outside {TIME_MIN}..{TIME_MAX}"))
}
