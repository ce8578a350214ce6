//! Reaching the brokers: clients, waiting for brokers that are away, topics, and what is said when
//! something fails.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, DefaultConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::cluster::Cluster;
use crate::diagnostic::{Failure, Message};
use crate::stopwatch::Since;

/// How long brokers that are there may take to answer.
const ATTEMPT: Duration = Duration::from_secs(15);
/// One attempt to reach brokers that may be away: what is said of it should not be long in coming.
const FIRST_ANSWER: Duration = Duration::from_secs(1);
/// The wait after a failed attempt: at first, and at most.
const BACK_OFF_FIRST: Duration = Duration::from_millis(250);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// What the client holds of all partitions together before it is taken, in KiB; and of one, the
/// least and the most: less than a fetch would hold up a partition of large records.
const FETCHED_KIB_MAX: usize = 256 << 10;
const FETCHED_KIB_OF_ONE: (usize, usize) = (1 << 10, 16 << 10);
/// What clients do otherwise than librdkafka, unless they are told to. How often they ask which broker has
/// which partition: a consumer that waits to have its place confirmed after a change of leaders may
/// go on only then. And how long a broker that is back or one that is gone without a word is not
/// noticed. Its own defaults are 5 minutes, 10 s with as much again by chance, 30 s and 60 s.
const NOTICING: [(&str, &str); 4] = [
    ("topic.metadata.refresh.interval.ms", "5000"),
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.connection.setup.timeout.ms", "10000"),
    ("socket.timeout.ms", "30000"),
];
/// A client that is let go is waited for so long, and so often it is looked whether nobody else has it.
const CLOSING: Duration = Duration::from_secs(1);
const LEAVING: Duration = Duration::from_millis(1);
/// Replicas: as many as the brokers' own default says.
const REPLICAS_OF_BROKER: i32 = -1;

/// A client that reads or asks. Its end is waited for, but not for long: one that knows no broker may
/// never come to it.
pub(super) struct Client<C: ConsumerContext + 'static = DefaultConsumerContext>(
    Option<Arc<BaseConsumer<C>>>,
);

impl<C: ConsumerContext + 'static> Client<C> {
    pub(super) fn of(client: BaseConsumer<C>) -> Client<C> {
        Client(Some(Arc::new(client)))
    }
}

impl<C: ConsumerContext + 'static> Deref for Client<C> {
    type Target = Arc<BaseConsumer<C>>;

    fn deref(&self) -> &Arc<BaseConsumer<C>> {
        let Some(client) = &self.0 else { unreachable!("it is there until it is dropped") };
        client
    }
}

impl<C: ConsumerContext + 'static> Drop for Client<C> {
    fn drop(&mut self) {
        let Some(last) = self.0.take() else { return };
        let (done, closed) = channel();
        std::thread::spawn(move || {
            // Whoever has the last one closes it.
            while Arc::strong_count(&last) > 1 {
                std::thread::sleep(LEAVING);
            }
            drop(last);
            // Nobody may listen any more.
            let _ = done.send(());
        });
        let _ = closed.recv_timeout(CLOSING);
    }
}

/// Something that whoever runs the stream should know while it goes on.
pub type Tell<'t> = &'t dyn Fn(&Message);

impl Cluster {
    /// The settings that all clients share.
    pub(super) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        let told = self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in NOTICING.into_iter().chain(told) {
            client.set(key, value);
        }
        client.set("bootstrap.servers", &self.brokers).set("client.id", "hongxian");
        client
    }

    /// A consumer of what is committed, which starts where it is told and nowhere else.
    pub(super) fn consumer(&self) -> Result<Client, Failure> {
        make(&self.consumer_settings(1)).map(Client::of)
    }

    /// A client that only asks, and is impatient: its connection lasts where an answer comes too late.
    pub(super) fn asker(&self) -> Result<Client, Failure> {
        make(self.consumer_settings(1).set("socket.max.fails", "0")).map(Client::of)
    }

    /// The settings of such a consumer of so many partitions.
    pub(super) fn consumer_settings(&self, partitions: usize) -> ClientConfig {
        let mut client = self.client();
        client
            // Partitions are assigned by hand: the group has no members and stores nothing.
            .set("group.id", "hongxian")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true");
        // What is fetched ahead of a partition that others have to catch up with, at most.
        let share = FETCHED_KIB_MAX / partitions.max(1);
        let share = share.clamp(FETCHED_KIB_OF_ONE.0, FETCHED_KIB_OF_ONE.1).to_string();
        for (key, value) in
            [("queued.max.messages.kbytes", share.as_str()), ("fetch.wait.max.ms", "50")]
        {
            if !self.settings.contains_key(key) {
                client.set(key, value);
            }
        }
        client
    }
}

/// A client; its settings are checked when it is made.
pub(super) fn make<C: FromClientConfig>(client: &ClientConfig) -> Result<C, Failure> {
    C::from_config(client).map_err(settings_failure)
}

/// That a client cannot be made.
pub(super) fn settings_failure(error: KafkaError) -> Failure {
    match error {
        // The value may be a secret under a misspelt name.
        KafkaError::ClientConfig(_, why, key, _) => Failure::Usage(Message::new(
            format!("librdkafka does not take the setting {key}: {why}"),
            format!("librdkafka 不接受设置 {key}：{why}"),
        )),
        other => failed("a client cannot be made", "无法创建客户端", &other),
    }
}

/// Waits until the brokers answer, or `stop` says to give up.
pub(super) fn wait(
    cluster: &Cluster,
    consumer: &BaseConsumer,
    tell: Tell<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let (since, limit) = (Since::now(), Duration::from_millis(cluster.connect_limit as u64));
    let mut back_off = BACK_OFF_FIRST;
    loop {
        let left = limit.saturating_sub(since.elapsed()).clamp(BACK_OFF_FIRST, FIRST_ANSWER);
        let Err(error) = consumer.fetch_metadata(Some("__consumer_offsets"), left) else {
            return Ok(());
        };
        if stop() {
            return Err(Failure::Interrupted);
        }
        let (brokers, waited) = (&cluster.brokers, since.elapsed());
        if waited >= limit {
            let seconds = waited.as_secs();
            return Err(Failure::Environment(Message::new(
                format!("no broker at {brokers} answered within {seconds} s: {}", why(&error)),
                format!("{seconds} 秒内 {brokers} 没有代理应答：{}", why(&error)),
            )));
        }
        tell(&Message::new(
            format!("no broker at {brokers} answers yet: {}", why(&error)),
            format!("{brokers} 的代理尚未应答：{}", why(&error)),
        ));
        std::thread::sleep(back_off.min(limit.saturating_sub(since.elapsed())));
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

/// How many partitions a topic has; none where there is no such topic.
pub(super) fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Option<u32>, Failure> {
    let metadata = consumer.fetch_metadata(Some(topic), ATTEMPT).map_err(|error| {
        failed(
            &format!("the topic {topic} cannot be looked at"),
            &format!("无法查看主题 {topic}"),
            &error,
        )
    })?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.filter(|found| found.error().is_none());
    Ok(found.map(|found| found.partitions().len() as u32).filter(|count| *count > 0))
}

/// Makes a topic if it is not there; one that is there stays as it is. How many partitions it has.
pub(super) fn ensure_topic(
    cluster: &Cluster,
    consumer: &BaseConsumer,
    (topic, wanted): (&str, u32),
    config: &[(&str, &str)],
) -> Result<u32, Failure> {
    if let Some(count) = partitions(consumer, topic)? {
        return Ok(count);
    }
    let admin: AdminClient<DefaultClientContext> = make(&cluster.client())?;
    let mut new = NewTopic::new(topic, wanted as i32, TopicReplication::Fixed(REPLICAS_OF_BROKER));
    for (key, value) in config {
        new = new.set(key, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(ATTEMPT));
    let en = format!("the topic {topic} cannot be made");
    let zh = format!("无法创建主题 {topic}");
    let made = futures_executor::block_on(admin.create_topics([&new], &options))
        .map_err(|error| failed(&en, &zh, &error))?;
    for result in made {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(failed(&en, &zh, &KafkaError::AdminOp(code))),
        }
    }
    // Brokers learn of it one after the other.
    let since = Since::now();
    while since.elapsed() < ATTEMPT {
        if let Some(count) = partitions(consumer, topic)? {
            return Ok(count);
        }
        std::thread::sleep(BACK_OFF_FIRST);
    }
    Err(failed(&en, &zh, &KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopicOrPartition)))
}

/// Which of some topics take the times of their records from whoever sends them; none where the
/// brokers do not tell.
pub(super) fn with_times_of_senders(cluster: &Cluster, topics: &[String]) -> Option<Vec<String>> {
    let admin: AdminClient<DefaultClientContext> = make(&cluster.client()).ok()?;
    let wanted: Vec<ResourceSpecifier<'_>> =
        topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(ATTEMPT));
    let told = futures_executor::block_on(admin.describe_configs(&wanted, &options)).ok()?;
    let mut found = Vec::new();
    for (topic, resource) in topics.iter().zip(told) {
        let resource = resource.ok()?;
        let kind = resource.get("message.timestamp.type")?.value.as_deref()?;
        if kind != "LogAppendTime" {
            found.push(topic.clone());
        }
    }
    Some(found)
}

/// That something with the brokers failed (exit 3).
pub(super) fn failed(en: &str, zh: &str, error: &KafkaError) -> Failure {
    Failure::Environment(Message::new(
        format!("{en}: {}", why(error)),
        format!("{zh}：{}", why(error)),
    ))
}

/// The sentence of an error, without the name of its type.
pub(super) fn why(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(error) => error.string(),
        other => {
            other.rdkafka_error_code().map_or_else(|| other.to_string(), |code| code.to_string())
        }
    }
}
