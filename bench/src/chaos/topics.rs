//! Topics as a reader sees them, and how much of them there is.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

/// How long a broker that runs may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A record that is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Vec<u8>,
    pub(super) headers: BTreeMap<String, String>,
}

/// Topics of a broker.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    pub(super) brokers: String,
}

impl Topics {
    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers);
        client
    }

    fn consumer(&self) -> Result<BaseConsumer, String> {
        let mut client = self.client();
        client
            .set("group.id", "chaos")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        client.create().map_err(|error| format!("no consumer: {error}"))
    }

    /// All that is committed, in the order of partitions and offsets.
    pub(super) fn read(&self, topic: &str) -> Result<Vec<Seen>, String> {
        let failed = |error: KafkaError| format!("reading {topic}: {error}");
        let consumer = self.consumer()?;
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).map_err(failed)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let partitions = found.map_or(0, |found| found.partitions().len());
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            let at = Offset::Beginning;
            list.add_partition_offset(topic, partition as i32, at).map_err(failed)?;
        }
        consumer.assign(&list).map_err(failed)?;
        let mut seen = Vec::new();
        let mut ended = 0;
        while ended < partitions {
            match consumer.poll(PATIENCE) {
                None => return Err(format!("nothing comes from {topic}")),
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) => return Err(failed(error)),
                Some(Ok(message)) => {
                    let headers = message.headers().into_iter().flat_map(|all| all.iter());
                    let text = |bytes: Option<&[u8]>| {
                        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
                    };
                    seen.push(Seen {
                        partition: message.partition(),
                        offset: message.offset(),
                        key: message.key().map(<[u8]>::to_vec),
                        value: message.payload().unwrap_or_default().to_vec(),
                        headers: headers.map(|one| (one.key.to_owned(), text(one.value))).collect(),
                    });
                }
            }
        }
        seen.sort_by_key(|one| (one.partition, one.offset));
        Ok(seen)
    }

    /// Appends records to the first partition of a topic, in no transaction.
    pub(super) fn append(&self, topic: &str, records: &[Seen]) -> Result<(), String> {
        let failed = |error: KafkaError| format!("writing to {topic}: {error}");
        let producer: BaseProducer = self.client().create().map_err(failed)?;
        for record in records {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &record.headers {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let mut sent: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic)
                .partition(0)
                .payload(record.value.as_slice())
                .headers(headers);
            if let Some(key) = &record.key {
                sent = sent.key(key.as_slice());
            }
            while let Err((error, back)) = producer.send(sent) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(failed(error));
                }
                producer.poll(Duration::from_millis(20));
                sent = back;
            }
        }
        producer.flush(PATIENCE).map_err(failed)
    }
}

/// How far a topic of one partition is, asked again and again.
pub(super) struct Growth {
    topics: Topics,
    topic: String,
    consumer: Option<BaseConsumer>,
}

impl Growth {
    pub(super) fn of(topics: &Topics, topic: &str) -> Growth {
        Growth { topics: topics.clone(), topic: topic.to_owned(), consumer: None }
    }

    /// Its end; none while the broker does not tell, or there is no such topic yet.
    pub(super) fn end(&mut self) -> Option<i64> {
        let answer = Duration::from_secs(1);
        let consumer = match self.consumer.take() {
            Some(consumer) => consumer,
            None => self.topics.consumer().ok()?,
        };
        let (_, high) = consumer.fetch_watermarks(&self.topic, 0, answer).ok()?;
        // A client that got no answer is not asked again: after a broker that was frozen for longer
        // than its requests wait, librdkafka 2.12 was seen to find none for minutes.
        self.consumer = Some(consumer);
        Some(high)
    }
}
