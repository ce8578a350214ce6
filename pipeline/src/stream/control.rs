//! What a stream writes to its control topic: with what it began, the input-log records, and how
//! far it is. All in transactions: what stands there is committed together with the decisions that
//! it speaks of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3;

use super::added::grown;
use super::bundle::{Bundle, Part};
use super::config::Config;
use super::http::Hold;
use super::input::{Input, Start};
use crate::changes::Deciders;
use crate::diagnostic::{Failure, Message};
use crate::run::Settings;
use crate::source::log::{Arrived, Heartbeat};

/// The version of these records.
pub(super) const VERSION: u32 = 2;

/// A record of the control topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Entry {
    /// The first record: what holds for all of the stream.
    Begin(Begin),
    /// Some of the bytes of a rules directory, before anything was decided by it.
    Rules {
        rules_hash: String,
        #[serde(flatten)]
        part: Part,
    },
    /// Some of the bytes of a model.
    Model {
        model_hash: String,
        #[serde(flatten)]
        part: Part,
    },
    /// Other rules, or another model, decide from an effective time on; committed before any event
    /// from then on was.
    Change(Change),
    /// An idle partition was moved on, before anything was decided by it.
    Heartbeat(Heartbeat),
    /// What a transaction brought the stream to; the last one counts.
    Resume(Resume),
    /// What was answered to somebody who waited for a decision longer than they may: it binds
    /// whoever asks again, and decides nothing.
    Fallback(Fallen),
}

/// A change of rules or models. Those of a stream rise, but for such as came before the first event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    /// The effective time of the first event for which they decide, in ms.
    pub(super) effective_time: i64,
    #[serde(flatten)]
    pub(super) deciders: Deciders,
    /// Whether what they bring had been worked out from the whole input before: always, but where a
    /// former version of the program wrote it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) backfilled: bool,
}

/// A fallback answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fallen {
    pub(super) event_id: String,
    /// The hash of the event's body.
    pub(super) body: [u64; 2],
    /// The answer, as it was given.
    pub(super) answer: String,
    /// What waits for a person by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hold: Option<Hold>,
    pub(super) at_ms: i64,
}

/// What holds for a stream from its first record on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) version: u32,
    /// By chance: another stream of the same settings, after this one's topics are gone, has another.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
    /// The partitions in the order of their numbers, and where each began.
    pub(super) partitions: Vec<Source>,
    pub(super) allowed_lateness_ms: i64,
    pub(super) max_ahead_ms: i64,
    pub(super) dedup_window_ms: i64,
    #[serde(flatten)]
    pub(super) deciders: Deciders,
    /// Columns of one's own, with their types.
    pub(super) extra: Vec<(String, String)>,
    /// The fingerprint of the key by which ids are replaced; none where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pseudonymise: Option<String>,
}

/// A partition of an input topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// The offset of the first record that the stream took.
    pub(super) offset: u64,
}

/// How far a stream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resume {
    /// The number of the commit, from 1: no two resume records of a stream are alike, so that whoever
    /// does not know whether a commit came about can tell.
    pub(super) serial: u64,
    /// Everything before this effective time is decided and committed, nothing from it on.
    pub(super) frontier: i64,
    pub(super) counts: Counted,
    /// How many of the refused records were no events: those before the offsets that follow.
    pub(super) no_events: u64,
    /// BLAKE3 of the lines of all decisions so far.
    pub(super) decisions_digest: String,
    pub(super) partitions: Vec<Place>,
}

/// What became of records so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Transactions that were decided on.
    pub decided: u64,
    /// Other events.
    pub applied: u64,
    /// Records that were refused.
    pub rejected: u64,
    /// Repeats of an event, with the same body.
    pub duplicates: u64,
}

/// Where a stream is in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The lowest offset of what is not decided.
    pub(super) resume_offset: u64,
    /// The first offset that was not read.
    pub(super) next_offset: u64,
    /// The last record before it; none before any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Last>,
    /// The largest event time so far, heartbeats included; none before any.
    pub(super) event_time_max: Option<i64>,
}

/// A record by which a topic is known again: one that was made anew, and is as long, has others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Last {
    pub(super) offset: u64,
    /// XXH3 of its value.
    hash: u64,
}

impl Last {
    pub(super) fn of(record: &Arrived) -> Last {
        Last { offset: record.offset, hash: xxh3::xxh3_64(&record.value) }
    }
}

/// What the control topic holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) begin: Option<Begin>,
    /// In the order of partition and offset.
    pub(super) heartbeats: Vec<Heartbeat>,
    pub(super) resume: Option<Resume>,
    pub(super) fallbacks: Vec<Fallen>,
    /// In the order in which they were committed.
    pub(super) changes: Vec<Change>,
    /// The parts of rules and models, by hash.
    pub(super) parts: BTreeMap<String, Vec<Part>>,
}

impl Entry {
    /// The key under which a compacted topic keeps it: only the last resume record counts.
    pub(super) fn key(&self) -> String {
        match self {
            Entry::Begin(_) => "begin".to_owned(),
            Entry::Resume(_) => "resume".to_owned(),
            Entry::Rules { rules_hash, part } => format!("rules {rules_hash} {}", part.number()),
            Entry::Model { model_hash, part } => format!("model {model_hash} {}", part.number()),
            Entry::Change(Change { effective_time, deciders, .. }) => {
                let models = deciders.models().map(|hash| format!(" {hash}"));
                let models: String = models.collect();
                format!("change {effective_time} {}{models}", deciders.rules_hash)
            }
            Entry::Fallback(fallen) => format!("fallback {}", fallen.event_id),
            Entry::Heartbeat(Heartbeat { partition, next_offset, event_time_max }) => {
                format!("heartbeat {partition} {next_offset} {event_time_max}")
            }
        }
    }

    pub(super) fn value(&self) -> String {
        serde_json::to_string(self).expect("strings and integers always serialise")
    }
}

impl Held {
    /// Reads everything that is committed.
    pub(super) fn read(config: &Config) -> Result<Held, Failure> {
        let topic = &config.control;
        let mut input = Input::open(&config.cluster, &[(topic.clone(), 0, Start::Earliest)])?;
        let mut held = Held::default();
        input.read_to_end(|_, record| {
            let entry = serde_json::from_slice(&record.arrived.value)
                .map_err(|error| strange(topic, record.arrived.offset, &error.to_string()))?;
            if let Entry::Begin(begin) = &entry
                && begin.version != VERSION
            {
                let why = format!("version {}, not {VERSION}", begin.version);
                return Err(strange(topic, record.arrived.offset, &why));
            }
            held.take(entry);
            Ok(())
        })?;
        held.heartbeats.sort_by_key(|heartbeat| (heartbeat.partition, heartbeat.next_offset));
        Ok(held)
    }

    /// Takes the next record.
    pub(super) fn take(&mut self, entry: Entry) {
        match entry {
            // A stream begins once.
            Entry::Begin(begin) => self.begin = self.begin.take().or(Some(begin)),
            Entry::Heartbeat(heartbeat) => self.heartbeats.push(heartbeat),
            Entry::Rules { rules_hash: hash, part } | Entry::Model { model_hash: hash, part } => {
                self.parts.entry(hash).or_default().push(part);
            }
            Entry::Change(change) => self.changes.push(change),
            Entry::Resume(resume) => self.resume = Some(resume),
            Entry::Fallback(fallen) => self.fallbacks.push(fallen),
        }
    }

    /// What decides by its hashes; none where it is not there as a whole.
    pub(super) fn bundle(&self, deciders: &Deciders) -> Option<Bundle> {
        Bundle::of(deciders, |hash| self.parts.get(hash).map_or(&[], Vec::as_slice))
    }

    /// The heartbeats of one partition, in the order of offsets.
    pub(super) fn of(&self, partition: u32) -> impl Iterator<Item = Heartbeat> + '_ {
        self.heartbeats.iter().copied().filter(move |held| held.partition == partition)
    }
}

impl Begin {
    /// What a stream begins with; where it begins in each partition. It has no id before it does.
    pub(super) fn new(
        config: &Config,
        sources: Vec<Source>,
        (settings, deciders): (Settings, Deciders),
    ) -> Begin {
        Begin {
            version: VERSION,
            id: String::new(),
            partitions: sources,
            allowed_lateness_ms: settings.times.allowed_lateness,
            max_ahead_ms: settings.times.max_ahead,
            dedup_window_ms: settings.dedup_window,
            deciders,
            extra: extra(config),
            pseudonymise: config.pseudonyms.as_ref().map(|held| held.fingerprint().to_owned()),
        }
    }

    /// A topic that has more partitions now, where the topics are those of before.
    fn grown<'b>(&'b self, now: &Begin) -> Option<(&'b str, usize, usize)> {
        fn counts(begin: &Begin) -> BTreeMap<&str, usize> {
            let mut counts = BTreeMap::new();
            for source in &begin.partitions {
                *counts.entry(source.topic.as_str()).or_default() += 1;
            }
            counts
        }
        let (was, now) = (counts(self), counts(now));
        let same = was.keys().eq(now.keys());
        let mut both = was.into_iter().zip(now.into_values());
        let grown = both.find(|((_, was), now)| same && now > was);
        grown.map(|((topic, was), now)| (topic, was, now))
    }

    /// Checks that a stream that goes on is told the same: what was decided would else not be what
    /// its replay decides.
    pub(super) fn check(&self, now: &Begin) -> Result<(), Failure> {
        let names = |begin: &Begin| -> Vec<String> {
            let name = |source: &Source| format!("{}/{}", source.topic, source.partition);
            begin.partitions.iter().map(name).collect()
        };
        if let Some((topic, was, now)) = self.grown(now) {
            return Err(Failure::Usage(grown(topic, was, now, &Message::new("", ""))));
        }
        let differs = [
            ("the input partitions", "输入分区", names(self) != names(now)),
            (
                "allowed_lateness",
                "allowed_lateness",
                self.allowed_lateness_ms != now.allowed_lateness_ms,
            ),
            ("max_ahead", "max_ahead", self.max_ahead_ms != now.max_ahead_ms),
            ("dedup_window", "dedup_window", self.dedup_window_ms != now.dedup_window_ms),
            (
                "the rules (their hash)",
                "规则（哈希）",
                self.deciders.rules_hash != now.deciders.rules_hash,
            ),
            (
                "the models (their hashes)",
                "模型（哈希）",
                !self.deciders.models().eq(now.deciders.models()),
            ),
            ("the columns of [extra]", "[extra] 的列", self.extra != now.extra),
            ("the key of pseudonymise", "pseudonymise 密钥", self.pseudonymise != now.pseudonymise),
        ];
        let (en, zh): (Vec<&str>, Vec<&str>) =
            differs.iter().filter(|(_, _, differs)| *differs).map(|(en, zh, _)| (*en, *zh)).unzip();
        if en.is_empty() {
            return Ok(());
        }
        Err(Failure::Usage(Message::new(
            format!(
                "the stream began with others: {}; put them back, or begin a new stream with \
                 control and output topics of its own",
                en.join(", ")
            ),
            format!(
                "该流开始时与现在不同：{}；请恢复原样，或使用新的控制主题与输出主题另起一个流",
                zh.join("、")
            ),
        )))
    }
}

/// The columns of one's own as they are written down.
fn extra(config: &Config) -> Vec<(String, String)> {
    config.extras.iter().map(|(name, kind)| (name.clone(), kind.to_string())).collect()
}

fn strange(topic: &str, offset: u64, why: &str) -> Failure {
    Failure::Usage(Message::new(
        format!("the record at offset {offset} of {topic} is not of a stream: {why}"),
        format!("主题 {topic} 偏移 {offset} 的记录不属于流处理：{why}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in control topics since there were no models is read, and written so still.
    #[test]
    fn records_without_models_are_as_they_were() {
        let begin = "{\"kind\":\"begin\",\"version\":2,\"partitions\":[{\"topic\":\"t\",\
                     \"partition\":0,\"offset\":7}],\"allowed_lateness_ms\":1,\"max_ahead_ms\":2,\
                     \"dedup_window_ms\":3,\"rules_hash\":\"h\",\"extra\":[]}";
        for (text, key) in [
            (begin, "begin"),
            (
                "{\"kind\":\"rules\",\"rules_hash\":\"h\",\"part\":1,\"parts\":2,\
                 \"zstd_base64\":\"AA==\"}",
                "rules h 1",
            ),
            ("{\"kind\":\"change\",\"effective_time\":5,\"rules_hash\":\"h\"}", "change 5 h"),
        ] {
            let entry: Entry = serde_json::from_str(text).unwrap();
            assert_eq!((entry.value().as_str(), entry.key().as_str()), (text, key));
        }
        let change = "{\"kind\":\"change\",\"effective_time\":5,\"rules_hash\":\"h\",\
                      \"model_hash\":\"m\"}";
        let entry: Entry = serde_json::from_str(change).unwrap();
        assert_eq!((entry.value().as_str(), entry.key().as_str()), (change, "change 5 h m"));
    }
}
