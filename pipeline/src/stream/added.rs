//! Partitions that are added to an input topic while a stream runs. Where each account's events are
//! then is otherwise than before, and what comes to the new ones is not read: so the stream ends
//! and says so, before it decides without them for long.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;

use super::cluster::Cluster;
use super::ends::Watching;
use crate::diagnostic::{Failure, Message};

/// How often brokers are asked.
const EVERY: Duration = Duration::from_secs(5);
/// How long they may take to answer: those that do not are asked again.
const ANSWER: Duration = Duration::from_secs(2);

/// A topic with another number of partitions than before.
struct Other {
    topic: String,
    was: usize,
    now: usize,
}

/// Watches the number of partitions of some topics.
pub(super) struct Added(Arc<OnceLock<Other>>);

impl Added {
    /// Watches topics whose partitions are these, for as long as somebody reads, by a client of its own as
    /// [`Ends`](super::ends::Ends) has.
    pub(super) fn watch(
        cluster: &Cluster,
        reading: Weak<BaseConsumer<Watching>>,
        names: impl Iterator<Item = String>,
    ) -> Added {
        let mut topics: BTreeMap<String, usize> = BTreeMap::new();
        for topic in names {
            *topics.entry(topic).or_default() += 1;
        }
        let (cluster, found) = (cluster.clone(), Arc::new(OnceLock::new()));
        let told = found.clone();
        std::thread::spawn(move || {
            let mut asker = None;
            while reading.strong_count() > 0 {
                // One that has no answer may know no broker any more.
                let client = asker.take().or_else(|| cluster.asker().ok());
                match client.as_ref().map(|client| look(client, &topics)) {
                    Some(Ok(Some(other))) => {
                        let _ = told.set(other);
                        return;
                    }
                    Some(Ok(None)) => asker = client,
                    Some(Err(_)) | None => {}
                }
                std::thread::sleep(EVERY);
            }
        });
        Added(found)
    }

    /// What has been found.
    pub(super) fn found(&self) -> Option<Failure> {
        let Other { topic, was, now } = self.0.get()?;
        let ended = Message::new(", and has ended at its last commit", "，已在最后一次提交处结束");
        Some(Failure::Environment(grown(topic, *was, *now, &ended)))
    }
}

/// That a topic has more partitions than the stream began with, and what can be done: brokers take
/// none away again.
pub(super) fn grown(topic: &str, was: usize, now: usize, ended: &Message) -> Message {
    let Message { en, zh } = ended;
    Message::new(
        format!(
            "the topic {topic} has {now} partitions, and the stream began with {was}: it reads no \
             others{en}; partitions cannot be taken away, so begin a new stream with a name, control \
             and output topics of its own: it reads the input from the first record that is still there"
        ),
        format!(
            "主题 {topic} 现有 {now} 个分区，而流开始时为 {was} 个：流不读取其他分区{zh}；分区无法撤销，请以新的\
             名称、新的控制主题与输出主题另起一个流：它从仍保留的第一条记录起读取输入"
        ),
    )
}

/// A topic that has more partitions than it had.
fn look(asker: &BaseConsumer, topics: &BTreeMap<String, usize>) -> KafkaResult<Option<Other>> {
    for (topic, was) in topics {
        let metadata = asker.fetch_metadata(Some(topic), ANSWER)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let now = found.filter(|found| found.error().is_none());
        let now = now.map_or(0, |found| found.partitions().len());
        if now > *was {
            return Ok(Some(Other { topic: topic.clone(), was: *was, now }));
        }
    }
    Ok(None)
}
