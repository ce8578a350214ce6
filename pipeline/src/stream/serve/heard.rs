//! What is read from the stream: its decisions, and what people did with what it held.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use serde::Deserialize;

use super::super::cluster::Cluster;
use super::super::http::holds::{Act, Record as OfHold};
use super::super::input::{Fetched, Input, Start};
use super::work::Job;
use crate::decision::Verdict;
use crate::diagnostic::Failure;

/// A record that was read.
#[derive(Debug)]
pub(super) struct Heard {
    /// The number of its partition.
    pub(super) source: usize,
    pub(super) offset: u64,
    pub(super) what: What,
}

/// What it says.
#[derive(Debug)]
pub(super) enum What {
    Decided(Decided),
    Act(Act),
    /// What the engine itself has said.
    Own,
    /// Nothing that can be understood.
    Malformed,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) event_id: String,
    /// Whose event was decided on, and of how much.
    pub(super) account_id: String,
    pub(super) amount_fen: u64,
    pub(super) verdict: Verdict,
    pub(super) rules_hash: [u8; 32],
    /// BLAKE3 of the decision's canonical line.
    pub(super) evidence: [u8; 32],
}

/// The fields of a decision record that matter here.
#[derive(Deserialize)]
struct Record {
    event_id: String,
    account_id: String,
    amount_fen: u64,
    decision: String,
    rules_hash: Option<String>,
}

impl Decided {
    fn of(line: &[u8]) -> Option<Decided> {
        let record: Record = serde_json::from_slice(line).ok()?;
        let verdict = Verdict::ALL.into_iter().find(|one| one.name() == record.decision)?;
        let hash = record.rules_hash.and_then(|hash| blake3::Hash::from_hex(hash).ok());
        Some(Decided {
            event_id: record.event_id,
            account_id: record.account_id,
            amount_fen: record.amount_fen,
            verdict,
            rules_hash: hash.map_or([0; 32], |hash| *hash.as_bytes()),
            evidence: *blake3::hash(line).as_bytes(),
        })
    }
}

/// Reads decisions and acts.
pub(super) struct Listener {
    input: Input,
    /// Up to this number sources have decisions, from it on acts.
    decisions: usize,
}

impl Listener {
    /// Begins to read where each partition was left, and those that are new from their first record.
    pub(super) fn open(
        cluster: &Cluster,
        (decisions, acts): (&str, Option<&str>),
        read: &BTreeMap<String, u64>,
    ) -> Result<Listener, Failure> {
        let mut wanted = Input::whole_topic(cluster, decisions)?;
        let count = wanted.len();
        if let Some(acts) = acts {
            wanted.extend(Input::whole_topic(cluster, acts)?);
        }
        for (topic, partition, start) in &mut wanted {
            if let Some(offset) = read.get(&name(topic, *partition)) {
                *start = Start::At(*offset);
            }
        }
        Ok(Listener { input: Input::open(cluster, &wanted)?, decisions: count })
    }

    /// The names of the partitions, and where each is read from.
    pub(super) fn sources(&self) -> Vec<(String, u64)> {
        let sources = self.input.sources.iter();
        sources.map(|one| (name(&one.topic, one.partition), one.position)).collect()
    }

    /// Reads until nobody listens any more, or `ending` says so.
    pub(super) fn run(mut self, jobs: &SyncSender<Job>, ending: &AtomicBool) {
        let mut caught_up = false;
        while !ending.load(Ordering::Relaxed) {
            let mut sent = match self.step() {
                Ok(heard) if heard.is_empty() => Ok(()),
                Ok(heard) => jobs.send(Job::Heard(heard)),
                // Whoever listens ends.
                Err(failure) => jobs.send(Job::Failed(failure)),
            };
            let mut sources = self.input.sources.iter();
            if !caught_up && sources.all(|source| source.has_read_to(source.end)) {
                caught_up = true;
                sent = sent.and_then(|()| jobs.send(Job::CaughtUp));
            }
            if sent.is_err() {
                return;
            }
        }
    }

    /// The next records of each partition.
    fn step(&mut self) -> Result<Vec<Heard>, Failure> {
        let mut heard = Vec::new();
        for at in 0..self.input.sources.len() {
            let taken = self.input.take(at, None)?;
            heard.extend(taken.iter().map(|record| self.heard(at, record)));
        }
        if let Some(failure) = self.input.added() {
            return Err(failure);
        }
        self.input.rest(!heard.is_empty())?;
        Ok(heard)
    }

    fn heard(&self, source: usize, record: &Fetched) -> Heard {
        let value = &record.arrived.value;
        let what = match source < self.decisions {
            true => Decided::of(value).map(What::Decided),
            false => serde_json::from_slice(value).ok().map(|record| match record {
                OfHold::Act(act) if !act.at_engine => What::Act(act),
                OfHold::Act(_) | OfHold::Held { .. } => What::Own,
            }),
        };
        Heard { source, offset: record.arrived.offset, what: what.unwrap_or(What::Malformed) }
    }
}

fn name(topic: &str, partition: i32) -> String {
    format!("{topic}/{partition}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_record_is_read_and_anything_else_is_none() {
        let hash = "ab".repeat(32);
        let about = r#""event_id":"e","account_id":"ada","amount_fen":5"#;
        let line = format!(r#"{{{about},"decision":"hold","rules_hash":"{hash}","x":1}}"#);
        let decided = Decided::of(line.as_bytes()).unwrap();
        assert_eq!((decided.event_id.as_str(), decided.verdict), ("e", Verdict::Hold));
        assert_eq!(decided.rules_hash, [0xab; 32]);
        assert_eq!(decided.evidence, *blake3::hash(line.as_bytes()).as_bytes());
        assert_eq!((decided.account_id.as_str(), decided.amount_fen), ("ada", 5));
        let without = format!(r#"{{{about},"decision":"allow","rules_hash":null}}"#);
        assert_eq!(Decided::of(without.as_bytes()).unwrap().rules_hash, [0; 32]);
        let maybe = format!(r#"{{{about},"decision":"maybe"}}"#);
        for wrong in [&b"{}"[..], b"", b"\xff", maybe.as_bytes()] {
            assert_eq!(Decided::of(wrong), None);
        }
    }
}
