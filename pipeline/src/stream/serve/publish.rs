//! Events on their way to the topic that the stream reads, and which of them are there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;

use super::super::cluster::Cluster;
use super::super::connect::{settings_failure, why};
use super::super::ends::lock;
use super::super::known::{Known, TOLD_MS};
use super::outbox::Event;
use crate::diagnostic::Failure;

/// How long events may be under way when the program ends; what is not there by then is published at
/// the next start.
const FLUSH: Duration = Duration::from_secs(5);
const QUEUE_FULL: Duration = Duration::from_millis(10);

/// Which events are at the brokers.
#[derive(Default)]
pub(super) struct Published {
    state: Mutex<State>,
    /// Nothing more is sent.
    ending: AtomicBool,
}

#[derive(Default)]
struct State {
    /// By the number of batches with theirs: how many events are under way.
    under_way: BTreeMap<u64, u64>,
    /// The batches whose events were all sent.
    sent: u64,
    acknowledged: u64,
    failed: Option<String>,
}

impl Published {
    /// The brokers have all events of the first so many batches.
    pub(super) fn batches(&self) -> u64 {
        let state = lock(&self.state);
        state.under_way.keys().next().map_or(state.sent, |first| first - 1)
    }

    /// How many events brokers have taken, and how many are under way.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.acknowledged, state.under_way.values().sum())
    }

    /// What brokers have not taken and never will.
    pub(super) fn failed(&self) -> Option<String> {
        lock(&self.state).failed.clone()
    }

    /// Has nothing more sent: the outbox holds it.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    fn delivered(&self, batches: u64, error: Option<&KafkaError>) {
        let mut state = lock(&self.state);
        if let Some(error) = error {
            // Its place stays taken: it is published again at the next start.
            state.failed.get_or_insert_with(|| why(error));
            return;
        }
        state.acknowledged += 1;
        let left = state.under_way.get_mut(&batches).map(|left| {
            *left -= 1;
            *left
        });
        if left == Some(0) {
            state.under_way.remove(&batches);
        }
    }
}

struct Deliveries {
    published: Arc<Published>,
    known: Known,
}

impl ClientContext for Deliveries {
    fn stats(&self, statistics: Statistics) {
        self.known.hear(&statistics);
        if self.known.is_lost() {
            // The next start publishes what is in the outbox by another client.
            let why = "the client lost all brokers and does not find them again";
            lock(&self.published.state).failed.get_or_insert_with(|| why.to_owned());
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, batches: Box<u64>) {
        self.published.delivered(*batches, result.as_ref().err().map(|(error, _)| error));
    }
}

/// Sends events to the topic: each account's in their order, acknowledged by all replicas in sync.
pub(super) struct Publisher {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
    holds: Option<String>,
    published: Arc<Published>,
}

impl Publisher {
    /// For the topic that the stream reads, and that of holds, if there is one.
    pub(super) fn open(
        cluster: &Cluster,
        (topic, holds): (&str, Option<&str>),
    ) -> Result<Publisher, Failure> {
        let mut client = cluster.client();
        client
            .set("enable.idempotence", "true")
            // As whoever else sends: an account's events meet in a partition.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            // What is made is published, however long brokers are away.
            .set("message.timeout.ms", "0")
            .set("statistics.interval.ms", TOLD_MS);
        let published = Arc::new(Published::default());
        let context = Deliveries { published: published.clone(), known: Known::default() };
        let producer = ThreadedProducer::from_config_and_context(&client, context);
        let producer = producer.map_err(settings_failure)?;
        let (topic, holds) = (topic.to_owned(), holds.map(str::to_owned));
        Ok(Publisher { producer, topic, holds, published })
    }

    pub(super) fn published(&self) -> Arc<Published> {
        self.published.clone()
    }

    /// Sends the events with which there are so many batches. Waits while too many are under way.
    pub(super) fn send(&self, batches: u64, events: &[Event]) -> Result<(), KafkaError> {
        let topic = |event: &Event| match event.of_hold {
            true => self.holds.as_deref(),
            false => Some(&*self.topic),
        };
        let sent = events.iter().filter_map(|event| Some((event, topic(event)?)));
        let many = sent.clone().count() as u64;
        if many > 0 {
            lock(&self.published.state).under_way.insert(batches, many);
        }
        for (event, topic) in sent {
            let mut record = BaseRecord::with_opaque_to(topic, Box::new(batches))
                .key(&event.key)
                .payload(&event.value);
            while let Err((error, back)) = self.producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(error);
                }
                if self.published.ending.load(Ordering::Relaxed) {
                    return Ok(());
                }
                record = back;
                std::thread::sleep(QUEUE_FULL);
            }
        }
        let mut state = lock(&self.published.state);
        state.sent = state.sent.max(batches);
        Ok(())
    }

    /// Waits a moment for what is under way.
    pub(super) fn flush(&self) {
        // The outbox knows what has not come there.
        let _ = self.producer.flush(FLUSH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the order in which brokers acknowledge, only what has nothing missing before it counts.
    #[test]
    fn what_is_published_has_no_gap() {
        let published = Published::default();
        {
            let mut state = lock(&published.state);
            state.under_way = BTreeMap::from([(3, 2), (5, 1)]);
            state.sent = 7;
        }
        assert_eq!(published.batches(), 2);
        published.delivered(5, None);
        published.delivered(3, None);
        assert_eq!((published.batches(), published.counts()), (2, (2, 1)));
        published.delivered(3, None);
        assert_eq!(published.batches(), 7);
        lock(&published.state).under_way.insert(8, 1);
        published.delivered(8, Some(&KafkaError::Canceled));
        assert_eq!(published.batches(), 7, "what is not taken is not published");
        assert!(published.failed().is_some());
    }
}
