//! Records that requests bring into topics: each is at the brokers, on all replicas that are in
//! sync, before anybody is told so.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use tokio::sync::oneshot;

use super::super::cluster::Cluster;
use super::super::connect::{settings_failure, why};
use super::super::ends::lock;
use super::super::known::{Known, TOLD_MS};
use crate::diagnostic::Failure;

/// How long records may be under way when the program ends.
const FLUSH: Duration = Duration::from_secs(2);

/// Where a record stands: partition and offset; or why it does not, as far as is known.
pub(super) type Appended = Result<(i32, u64), String>;

#[derive(Default)]
struct Deliveries(Known);

impl ClientContext for Deliveries {
    fn stats(&self, statistics: Statistics) {
        self.0.hear(&statistics);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<oneshot::Sender<Appended>>;

    fn delivery(&self, result: &DeliveryResult<'_>, told: Self::DeliveryOpaque) {
        let appended = match result {
            Ok(message) => Ok((message.partition(), message.offset().max(0) as u64)),
            Err((error, _)) => Err(why(error)),
        };
        // Whoever asked may have gone away.
        let _ = told.send(appended);
    }
}

type Client = ThreadedProducer<Deliveries>;

fn made(settings: &ClientConfig) -> KafkaResult<Client> {
    ThreadedProducer::from_config_and_context(settings, Deliveries::default())
}

/// Appends records.
pub(super) struct Log {
    settings: ClientConfig,
    client: Mutex<Arc<Client>>,
}

impl Log {
    /// For a cluster; a record that is not there after `limit_ms` is given up.
    pub(super) fn open(cluster: &Cluster, limit_ms: i64) -> Result<Log, Failure> {
        let mut client = cluster.client();
        client
            .set("enable.idempotence", "true")
            // As whoever else sends: an account's events meet in a partition.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            .set("message.timeout.ms", limit_ms.to_string())
            .set("statistics.interval.ms", TOLD_MS);
        let made = made(&client).map_err(settings_failure)?;
        Ok(Log { settings: client, client: Mutex::new(Arc::new(made)) })
    }

    /// The client; another one where it knows no broker any more.
    fn client(&self) -> Arc<Client> {
        let mut client = lock(&self.client);
        if client.context().0.is_lost()
            && let Ok(made) = made(&self.settings)
        {
            let was = std::mem::replace(&mut *client, Arc::new(made));
            // What it has will be given up, and it may be long in going.
            std::thread::spawn(move || drop(was));
        }
        client.clone()
    }

    /// Sends a record, behind those that were sent before, and says where it is when it is there.
    pub(super) fn append(
        &self,
        topic: &str,
        (key, value): (&str, &str),
        headers: &[(&str, &str)],
    ) -> impl Future<Output = Appended> + use<> {
        let (told, answer) = oneshot::channel();
        let owned = headers.iter().fold(OwnedHeaders::new(), |owned, (key, value)| {
            owned.insert(Header { key, value: Some(*value) })
        });
        let record = BaseRecord::with_opaque_to(topic, Box::new(told))
            .key(key)
            .payload(value)
            .headers(owned);
        let sent = self.client().send(record).map_err(|(error, _): (KafkaError, _)| why(&error));
        async move {
            sent?;
            answer.await.unwrap_or_else(|_| Err("the program ends".to_owned()))
        }
    }

    /// Waits a moment for what is under way.
    pub(super) fn end(&self) {
        // Whoever asked hears that it is not known.
        let _ = self.client().flush(FLUSH);
    }
}
