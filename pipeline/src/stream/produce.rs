//! Replays event files into a topic: JSON, one object a value, in total order, and what belongs to
//! one account in one partition.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};

use super::cluster::Cluster;
use super::connect::{Tell, ensure_topic, failed, wait};
use crate::diagnostic::{Failure, Message};
use crate::document::suggest;
use crate::event::{Chunk, EVENT_ID, EVENT_TIME, FieldId, GROUP_ID, SUBJECT_ID, Schema, Value};
use crate::run::Events;
use crate::source::Progress;
use crate::source::intake::Taken;
use crate::source::log::Times;
use crate::source::order::{Ordered, SortMemory};
use crate::stopwatch::Since;

/// Events that are read back from the sort together.
const SLICE_EVENTS: usize = 4096;
/// How long the last records may take to be acknowledged; and those that are under way when it is
/// interrupted.
const FLUSH: Duration = Duration::from_secs(60);
const FLUSH_INTERRUPTED: Duration = Duration::from_secs(5);
/// A full queue of the client is waited for so long at a time.
const QUEUE_FULL: Duration = Duration::from_millis(20);
/// A pause is slept through in pieces, between which deliveries are heard of and Ctrl-C is.
const NAP: Duration = Duration::from_millis(50);

/// What is to be produced.
#[derive(Clone, Debug)]
pub struct Request {
    /// Event files.
    pub paths: Vec<PathBuf>,
    /// Mapping files: none, one for all paths, or one for each.
    pub maps: Vec<PathBuf>,
    /// The topic.
    pub topic: String,
    /// How many partitions it gets if it is not there.
    pub partitions: u32,
    /// The field that says which events share a partition.
    pub key: String,
    /// How many times as fast as it happened; none: as fast as it goes.
    pub rate: Option<u32>,
    /// How much memory the sort may take up, in bytes.
    pub sort_memory: usize,
}

/// What was produced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Produced {
    /// Records in the topic.
    pub produced: u64,
    /// Records of the files that were refused, and are not in the topic.
    pub rejected: u64,
    /// Repeats of an event in the files, which are not in the topic.
    pub duplicates: u64,
    /// Partitions of the topic.
    pub partitions: u32,
}

/// Rejects that are told of, of those there are; a backtest of the files writes down all.
const REJECTS_TOLD: usize = 5;

/// Counts what brokers took, and what they did not.
#[derive(Default)]
struct Deliveries {
    taken: AtomicU64,
    refused: AtomicU64,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let count = if result.is_ok() { &self.taken } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Replays files into a topic. All events are put in order first; each is sent once.
///
/// # Errors
/// When a file or a setting is wrong (exit 2), when brokers do not answer or do not take a record
/// (exit 3), or when `progress` says to stop (exit 130), with how many events the topic has got.
pub fn produce(
    cluster: &Cluster,
    request: &Request,
    progress: &dyn Progress,
    tell: Tell<'_>,
) -> Result<Produced, Failure> {
    let Request { paths, maps, topic, .. } = request;
    let intake = Events::Files { paths: paths.clone(), maps: maps.clone() }.open()?;
    let schema = Arc::new(intake.schema()?);
    let key = key_field(&schema, &request.key)?;
    let consumer = cluster.consumer()?;
    wait(cluster, &consumer, tell, &|| progress.stop())?;
    let scratch = tempfile::tempdir().map_err(|error| {
        let said = error.to_string();
        Failure::Environment(Message::new(
            format!("no temporary directory: {said}"),
            format!("无法创建临时目录：{said}"),
        ))
    })?;
    let memory = SortMemory { bytes: request.sort_memory, folder: scratch.path().to_owned() };
    let Taken { events, rejects, .. } =
        intake.take(&schema, Times::default(), memory, None, progress)?;
    for reject in rejects.iter().take(REJECTS_TOLD) {
        let path = paths.get(reject.source as usize).map(|path| path.display().to_string());
        let (path, at) = (path.unwrap_or_default(), reject.at);
        let (code, detail) = (reject.code.name(), &reject.detail);
        tell(&Message::new(
            format!("{path}, line or row {at}, is not produced: {code}: {detail}"),
            format!("{path} 第 {at} 行未写入：{code}：{detail}"),
        ));
    }
    // The clock of the topic is the broker's: a producer whose clock is wrong cannot hide it.
    let config = [("message.timestamp.type", "LogAppendTime")];
    let partitions = ensure_topic(cluster, &consumer, (topic, request.partitions), &config)?;
    let mut client = cluster.client();
    client
        .set("enable.idempotence", "true")
        // As the producers of Java: what they and this one send of an account meets in a partition.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5");
    let producer = client
        .create_with_context::<_, BaseProducer<Deliveries>>(Deliveries::default())
        .map_err(|error| failed("a client cannot be made", "无法创建客户端", &error))?;
    // Ids repeat only at one time of the files' own order, as in a backtest of them.
    let ordered =
        events.finish(crate::rules::Policy::default().dedup_window, &|| progress.stop())?;
    progress.begin(ordered.len() as u64);
    let sending = Sending { producer: &producer, topic, progress };
    match sending.all(&ordered, key, request.rate) {
        Err(Failure::Interrupted) => return Err(sending.interrupted(ordered.len() as u64)),
        sent => sent?,
    }
    match producer.context().refused.load(Ordering::Relaxed) {
        0 => Ok(Produced {
            produced: ordered.len() as u64,
            rejected: (rejects.len() + ordered.refused.len()) as u64,
            duplicates: ordered.duplicates,
            partitions,
        }),
        refused => Err(Failure::Environment(Message::new(
            format!("the brokers did not take {refused} records of {topic}"),
            format!("代理未接受主题 {topic} 的 {refused} 条记录"),
        ))),
    }
}

/// Events on their way into a topic.
struct Sending<'s> {
    producer: &'s BaseProducer<Deliveries>,
    topic: &'s str,
    progress: &'s dyn Progress,
}

impl Sending<'_> {
    /// Sends all events, and waits until the brokers have them.
    fn all(&self, ordered: &Ordered, key: FieldId, rate: Option<u32>) -> Result<(), Failure> {
        let Sending { producer, progress, .. } = self;
        let mut pace = Pace { rate, begun: None };
        let mut start = 0;
        while start < ordered.len() {
            let end = (start + SLICE_EVENTS).min(ordered.len());
            let slice = ordered.slice(start..end, 0).map_err(Failure::Environment)?;
            for row in 0..slice.chunk.len() {
                pace.wait(slice.chunk.int(EVENT_TIME, row), producer, *progress)?;
                let value = slice.chunk.to_json(row).to_string();
                self.one(&key_of(&slice.chunk, key, row), &value)?;
            }
            progress.advance((end - start) as u64, (end - start) as u64);
            start = end;
            self.go_on()?;
        }
        let since = Since::now();
        while producer.in_flight_count() > 0 {
            self.go_on()?;
            match producer.flush(NAP) {
                Err(error) if since.elapsed() > FLUSH => return Err(unsent(self.topic, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn one(&self, key: &str, value: &str) -> Result<(), Failure> {
        let mut record = BaseRecord::to(self.topic).key(key).payload(value);
        loop {
            match self.producer.send(record) {
                Ok(()) => {
                    self.producer.poll(Duration::ZERO);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(QUEUE_FULL);
                    self.go_on()?;
                }
                Err((error, _)) => return Err(unsent(self.topic, &error)),
            }
        }
    }

    fn go_on(&self) -> Result<(), Failure> {
        if self.progress.stop() { Err(Failure::Interrupted) } else { Ok(()) }
    }

    /// Drops what is not on its way, waits for what is, and says how far it came.
    fn interrupted(&self, all: u64) -> Failure {
        self.producer.purge(PurgeConfig::default().queue());
        // What is not acknowledged by then may be in the topic or not.
        let rest = self.producer.flush(FLUSH_INTERRUPTED);
        let taken = self.producer.context().taken.load(Ordering::Relaxed);
        let unsure = if rest.is_err() { self.producer.in_flight_count().max(0) } else { 0 };
        let topic = self.topic;
        Failure::Cut(Message::new(
            format!(
                "interrupted: {taken} of {all} events are in {topic}, of {unsure} nobody knows; \
                 sent once more, a stream counts them as duplicates"
            ),
            format!(
                "已中断：{all} 个事件中有 {taken} 个已写入主题 {topic}，{unsure} 个状态未知；\
                 再次发送时流会将其计为重复"
            ),
        ))
    }
}

fn key_field(schema: &Schema, name: &str) -> Result<FieldId, Failure> {
    schema.find(name).ok_or_else(|| {
        let names = schema.fields().iter().map(|field| field.name.as_str());
        let hint = suggest(name, names).unwrap_or_else(|| Message::new("", ""));
        Failure::Usage(Message::new(
            format!("--partitions-by {name}: there is no such field; {}", hint.en),
            format!("--partitions-by {name}：没有该字段；{}", hint.zh),
        ))
    })
}

/// What decides on the partition: the field, or what else an event without it is about.
fn key_of(chunk: &Chunk, key: FieldId, row: usize) -> String {
    match chunk.value(key, row) {
        Value::Str(text) => text.to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Null => {
            let about = [GROUP_ID, SUBJECT_ID, EVENT_ID].map(|field| chunk.str(field, row));
            about.into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
        }
    }
}

fn unsent(topic: &str, error: &KafkaError) -> Failure {
    failed(&format!("cannot write to {topic}"), &format!("无法写入 {topic}"), error)
}

/// When the event of a time is due.
struct Pace {
    rate: Option<u32>,
    /// The first event's time, and when it was sent.
    begun: Option<(i64, Since)>,
}

impl Pace {
    fn wait(
        &mut self,
        time: i64,
        producer: &BaseProducer<Deliveries>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let Some(rate) = self.rate else { return Ok(()) };
        let (first, since) = *self.begun.get_or_insert_with(|| (time, Since::now()));
        let due = Duration::from_millis((time - first).max(0) as u64) / rate;
        while let Some(left) = due.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) {
            if progress.stop() {
                return Err(Failure::Interrupted);
            }
            producer.poll(Duration::ZERO);
            std::thread::sleep(left.min(NAP));
        }
        Ok(())
    }
}
