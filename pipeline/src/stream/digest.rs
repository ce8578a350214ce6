//! The digest of an output topic: that of the decisions in it, in their order, each once.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::message::Headers as _;

use super::cluster::Cluster;
use super::connect::{Tell, wait};
use super::engine::NUMBER;
use super::input::{Fetched, Input, Start};
use crate::diagnostic::{Failure, Message};
use crate::stopwatch::Since;

/// How long the rest of a transaction may take to be seen once a part of it is.
const REST_OF_COMMIT: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(100);

/// Reads the committed decisions of a topic, up to the last of those that were there when reading
/// began.
///
/// # Errors
/// When the topic cannot be read (exit 3), a record of it is no decision (exit 2), or a decision is
/// there twice or missing (exit 1).
pub fn digest(cluster: &Cluster, topic: &str, tell: Tell<'_>) -> Result<blake3::Hash, Failure> {
    let consumer = cluster.consumer()?;
    wait(cluster, &consumer, tell, &|| false)?;
    let mut wanted = Input::whole_topic(cluster, topic)?;
    let mut read = Read::default();
    let positions = read.on(cluster, topic, &wanted, None)?;
    let Some(last) = read.last else { return Ok(read.hasher.finalize()) };
    for (one, position) in wanted.iter_mut().zip(positions) {
        one.2 = Start::At(position);
    }
    // The ends of partitions are not of one moment: between them a transaction may have been
    // committed, of which only a part was seen.
    let since = Since::now();
    while read.next <= last {
        if since.elapsed() > REST_OF_COMMIT {
            let (next, later) = (read.next, last);
            return Err(Failure::No(Message::new(
                format!("decision {next} is missing in {topic}, which has {later}"),
                format!("主题 {topic} 缺少决策 {next}，却有 {later}"),
            )));
        }
        std::thread::sleep(AGAIN);
        // From the same place each time, until all of it is there.
        let mut again = read.clone();
        again.on(cluster, topic, &wanted, Some(last))?;
        if again.next > last {
            read = again;
        }
    }
    Ok(read.hasher.finalize())
}

/// Decisions that were read.
#[derive(Clone, Default)]
struct Read {
    hasher: blake3::Hasher,
    /// What came before those in front of it: partitions are read side by side.
    early: BTreeMap<u64, Vec<u8>>,
    next: u64,
    /// The largest number so far.
    last: Option<u64>,
}

impl Read {
    /// Reads on to where partitions end now, and takes what is not after `until`; where it came to.
    fn on(
        &mut self,
        cluster: &Cluster,
        topic: &str,
        wanted: &[(String, i32, Start)],
        until: Option<u64>,
    ) -> Result<Vec<u64>, Failure> {
        let mut input = Input::open(cluster, wanted)?;
        input.read_to_end(|_, fetched| {
            let number =
                number(&fetched).ok_or_else(|| no_decision(topic, fetched.arrived.offset))?;
            if until.is_none_or(|until| number <= until) {
                self.take(topic, number, fetched.arrived.value)?;
            }
            Ok(())
        })?;
        Ok(input.sources.iter().map(|source| source.position).collect())
    }

    fn take(&mut self, topic: &str, number: u64, line: Vec<u8>) -> Result<(), Failure> {
        self.last = self.last.max(Some(number));
        if number < self.next || self.early.insert(number, line).is_some() {
            return Err(Failure::No(Message::new(
                format!("decision {number} stands in {topic} twice"),
                format!("决策 {number} 在主题 {topic} 中出现两次"),
            )));
        }
        while let Some(line) = self.early.remove(&self.next) {
            self.hasher.update(&line);
            self.hasher.update(b"\n");
            self.next += 1;
        }
        Ok(())
    }
}

/// The place of a decision among all of its stream.
fn number(fetched: &Fetched) -> Option<u64> {
    let headers = fetched.beside.headers.as_ref()?;
    let value = headers.iter().find(|header| header.key == NUMBER)?.value?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn no_decision(topic: &str, offset: u64) -> Failure {
    Failure::Usage(Message::new(
        format!("the record at offset {offset} of {topic} is no decision of a stream"),
        format!("主题 {topic} 偏移 {offset} 的记录不是流的决策"),
    ))
}
