//! The digest of an output topic: that of the decisions in it, in their order, each once.

use std::collections::BTreeMap;

use rdkafka::message::Headers as _;

use super::config::Cluster;
use super::connect::{Tell, wait};
use super::engine::NUMBER;
use super::input::{Fetched, Input};
use crate::diagnostic::{Failure, Message};

/// Reads the committed decisions of a topic.
///
/// # Errors
/// When the topic cannot be read (exit 3), a record of it is no decision (exit 2), or a decision is
/// there twice or missing (exit 1).
pub fn digest(cluster: &Cluster, topic: &str, tell: Tell<'_>) -> Result<blake3::Hash, Failure> {
    wait(cluster, &cluster.consumer()?, tell)?;
    let wanted = Input::whole_topic(cluster, topic)?;
    let mut hasher = blake3::Hasher::new();
    // Partitions are read side by side; what comes early waits.
    let mut early: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut next = 0;
    Input::open(cluster, &wanted)?.read_to_end(|_, fetched| {
        let number = number(&fetched).ok_or_else(|| no_decision(topic, fetched.arrived.offset))?;
        if number < next || early.insert(number, fetched.arrived.value).is_some() {
            return Err(Failure::No(Message::new(
                format!("decision {number} stands in {topic} twice"),
                format!("决策 {number} 在主题 {topic} 中出现两次"),
            )));
        }
        while let Some(line) = early.remove(&next) {
            hasher.update(&line);
            hasher.update(b"\n");
            next += 1;
        }
        Ok(())
    })?;
    match early.keys().next() {
        None => Ok(hasher.finalize()),
        Some(later) => Err(Failure::No(Message::new(
            format!("decision {next} is missing in {topic}, which has {later}"),
            format!("主题 {topic} 缺少决策 {next}，却有 {later}"),
        ))),
    }
}

/// The place of a decision among all of its stream.
fn number(fetched: &Fetched) -> Option<u64> {
    let headers = fetched.headers.as_ref()?;
    let value = headers.iter().find(|header| header.key == NUMBER)?.value?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn no_decision(topic: &str, offset: u64) -> Failure {
    Failure::Usage(Message::new(
        format!("the record at offset {offset} of {topic} is no decision of a stream"),
        format!("主题 {topic} 偏移 {offset} 的记录不是流的决策"),
    ))
}
