//! What is sent to the stream while it is troubled: events in several partitions, late, twice and in
//! conflict, records that are no events, phases without any.
//!
//! Each record says in a header what it is, so that whoever reads the topic knows what has to become
//! of it: the stream does not look at headers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::dice::Dice;

/// The header in which a record says what it is.
pub(super) const CLASS: &str = "chaos";
/// The header with its number among all that are sent. A client that sends a batch again after the
/// brokers have lost sight of it may have it written twice: the same numbers.
pub(super) const NUMBER: &str = "sent";
pub(super) const PARTITIONS: i32 = 4;

/// The first event, in ms since 1970 UTC; any moment that is past will do.
const START: i64 = 1_707_480_000_000;
/// Event time between two events, in ms.
const STEP: i64 = 50;
/// Events are so late at most, in ms: more than the stream allows.
const BEHIND: u64 = 6_000;
/// A partition is so far behind the one before it, in ms.
const APART: i64 = 1_500;
/// A repeat comes up to so many records later.
const LATER: u64 = 400;
/// Before that many records a partition may have no watermark, by which something is too old.
const SETTLED: u64 = 400;
/// How long the brokers may take to have all that was sent, after every fault is over.
const FLUSH: Duration = Duration::from_secs(120);

/// Records that are refused, and why.
const REFUSED: [(&str, &[u8]); 6] = [
    ("malformed", b"not json"),
    ("invalid_utf8", b"\xff\xfe{}"),
    ("missing_field", b"{\"event_id\":\"x\"}"),
    (
        "wrong_type",
        b"{\"event_id\":\"x\",\"event_time\":1.0,\"kind\":\"login\",\"account_id\":\"u\"}",
    ),
    (
        "time_ahead",
        b"{\"event_id\":\"x\",\"event_time\":3786912000000,\"kind\":\"login\",\"account_id\":\"u\"}",
    ),
    (
        "too_old",
        b"{\"event_id\":\"old\",\"event_time\":1704067200000,\"kind\":\"login\",\"account_id\":\"u\"}",
    ),
];

const TEXTS: [&str; 4] = ["恭喜发财", "扫雷 100-6", "今晚老地方", "happy new year"];

/// What has to become of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// One decision.
    Transaction(String),
    /// It is applied, or is the one of two with another body that is refused.
    Other(String),
    /// It counts as a duplicate, or the first one does.
    Repeat(String),
    /// One of the two of its id is refused.
    Conflict(String),
    /// It is refused for that reason.
    Refused(String),
}

impl Class {
    fn to_header(&self) -> String {
        match self {
            Class::Transaction(id) => format!("transaction {id}"),
            Class::Other(id) => format!("other {id}"),
            Class::Repeat(id) => format!("repeat {id}"),
            Class::Conflict(id) => format!("conflict {id}"),
            Class::Refused(code) => format!("refused {code}"),
        }
    }

    pub(super) fn of_header(text: &str) -> Option<Class> {
        let (kind, name) = text.split_once(' ')?;
        let name = name.to_owned();
        Some(match kind {
            "transaction" => Class::Transaction(name),
            "other" => Class::Other(name),
            "repeat" => Class::Repeat(name),
            "conflict" => Class::Conflict(name),
            "refused" => Class::Refused(name),
            _ => return None,
        })
    }
}

#[derive(Clone, Debug)]
struct Record {
    partition: i32,
    value: Vec<u8>,
    class: Class,
}

/// Makes records by a seed.
struct Maker {
    dice: Dice,
    made: u64,
    /// What is to come again, after so many more records.
    later: VecDeque<(u64, Record)>,
}

impl Maker {
    /// The next records, for a partition that is busy.
    fn next(&mut self, partition: i32) -> Vec<Record> {
        let mut records = Vec::new();
        while self.later.front().is_some_and(|(at, _)| *at <= self.made) {
            records.extend(self.later.pop_front().map(|(_, record)| record));
        }
        self.made += 1;
        let at = self.made;
        let behind = if self.dice.once_in(4) { self.dice.below(BEHIND) as i64 } else { 0 };
        let time = START + at as i64 * STEP - behind - i64::from(partition) * APART;
        let id = format!("e{at}");
        let (is_transaction, fields) = self.fields(at);
        let json = |more: &str| {
            format!("{{\"event_id\":\"{id}\",\"event_time\":{time},{fields}{more}}}").into_bytes()
        };
        let (value, other) = (json(""), json(",\"region\":\"110000\""));
        let class =
            if is_transaction { Class::Transaction(id.clone()) } else { Class::Other(id.clone()) };
        let again = Record { partition, value: value.clone(), class: Class::Repeat(id.clone()) };
        match self.dice.below(40) {
            // At once, in the same partition or another.
            0 => records.push(again),
            1 => records.push(Record { partition: self.partition(), ..again }),
            2 => {
                let (at, partition) = (at + self.dice.below(LATER), self.partition());
                let place = self.later.partition_point(|(other, _)| *other <= at);
                self.later.insert(place, (at, Record { partition, ..again }));
            }
            3 => {
                let partition = self.partition();
                records.push(Record { partition, value: other, class: Class::Conflict(id) });
            }
            4 if at > SETTLED => {
                let (code, value) = self.dice.pick(&REFUSED);
                let (value, class) = (value.to_vec(), Class::Refused(code.to_owned()));
                records.push(Record { partition, value, class });
            }
            _ => {}
        }
        records.push(Record { partition, value, class });
        records
    }

    fn partition(&mut self) -> i32 {
        self.dice.below(PARTITIONS as u64) as i32
    }

    /// The fields of an event, and whether it is decided on.
    fn fields(&mut self, at: u64) -> (bool, String) {
        let dice = &mut self.dice;
        let (account, other) = (dice.below(60), dice.below(12));
        let (group, device, amount) = (dice.below(9), dice.below(25), dice.between(1, 40_000));
        let by = format!("\"account_id\":\"u{account}\"");
        let with = format!("\"device_id\":\"d{device}\",\"ip\":\"10.0.0.{device}\"");
        let money = format!("\"amount_fen\":{amount}");
        let of = format!("\"group_id\":\"g{group}\",\"packet_id\":\"p{}\"", at / 8);
        let text = dice.pick(&TEXTS);
        match dice.below(10) {
            0 => (true, format!("\"kind\":\"send\",{by},{of},{money},\"shares\":8,{with}")),
            1 => {
                let to = format!("\"counterparty_id\":\"u{other}\"");
                (true, format!("\"kind\":\"transfer\",{by},{to},{money},\"text\":\"{text}\""))
            }
            2 => (true, format!("\"kind\":\"withdraw\",{by},{money}")),
            3 => (false, format!("\"kind\":\"login\",{by},{with}")),
            4 => (
                false,
                format!("\"kind\":\"message\",{by},\"group_id\":\"g{group}\",\"text\":\"{text}\""),
            ),
            _ => {
                let from = format!("\"counterparty_id\":\"u{other}\"");
                (true, format!("\"kind\":\"claim\",{by},{from},{of},{money}"))
            }
        }
    }
}

/// What the brokers said of what was sent.
#[derive(Debug, Default)]
struct Told {
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

struct Listening(Arc<Told>);

impl ClientContext for Listening {
    // A broker that is killed on purpose is no news.
    fn error(&self, _: KafkaError, _: &str) {}
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
}

impl ProducerContext for Listening {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let count = if result.is_ok() { &self.0.acknowledged } else { &self.0.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whoever sends, on a thread of its own.
pub(super) struct Feed {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

#[derive(Default)]
struct Shared {
    told: Arc<Told>,
    stop: AtomicBool,
    /// Nothing is to be sent, and whether nothing is.
    pause: AtomicBool,
    paused: AtomicBool,
    /// No phase without records is to begin.
    busy: AtomicBool,
}

impl Feed {
    pub(super) fn start(brokers: &str, topic: &str, seed: u64) -> Result<Feed, String> {
        let shared = Arc::new(Shared::default());
        let producer: BaseProducer<Listening> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            // A broker that is down comes back: nothing is given up.
            .set("message.timeout.ms", "0")
            .set("reconnect.backoff.max.ms", "500")
            .create_with_context(Listening(shared.told.clone()))
            .map_err(|error| format!("no producer: {error}"))?;
        let maker = Maker { dice: Dice::new(seed), made: 0, later: VecDeque::new() };
        let (own, topic) = (shared.clone(), topic.to_owned());
        let thread = std::thread::spawn(move || send(maker, &producer, &topic, &own));
        Ok(Feed { shared, thread: Some(thread) })
    }

    /// Whether records come all the time.
    pub(super) fn busy(&self, busy: bool) {
        self.shared.busy.store(busy, Ordering::Relaxed);
    }

    /// Stops sending until told otherwise; how many records the brokers have.
    pub(super) fn pause(&mut self) -> Result<u64, String> {
        self.shared.pause.store(true, Ordering::Relaxed);
        while !self.shared.paused.load(Ordering::Relaxed) {
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                self.end()?;
                return Err("whoever sends has ended".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.shared.told.failed.load(Ordering::Relaxed) > 0 {
            return Err("the broker has lost records of its input".to_owned());
        }
        Ok(self.shared.told.acknowledged.load(Ordering::Relaxed))
    }

    pub(super) fn resume(&self) {
        self.shared.pause.store(false, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) -> u64 {
        self.shared.told.acknowledged.load(Ordering::Relaxed)
    }

    pub(super) fn end(&mut self) -> Result<(), String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err("whoever sends has panicked".to_owned()))
    }
}

/// Sends in phases: some partitions, all, or none.
fn send(
    mut maker: Maker,
    producer: &BaseProducer<Listening>,
    topic: &str,
    shared: &Shared,
) -> Result<(), String> {
    let mut numbers = 0..;
    while !shared.stop.load(Ordering::Relaxed) {
        let idle = maker.dice.once_in(6) && !shared.busy.load(Ordering::Relaxed);
        let busy: Vec<i32> = (0..PARTITIONS).filter(|_| !maker.dice.once_in(3)).collect();
        for _ in 0..maker.dice.between(8, 40) {
            if shared.pause.load(Ordering::Relaxed) {
                producer.flush(FLUSH).map_err(|error| format!("sending: {error}"))?;
                shared.paused.store(true, Ordering::Relaxed);
                while shared.pause.load(Ordering::Relaxed) && !shared.stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                shared.paused.store(false, Ordering::Relaxed);
                if shared.stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
            for _ in 0..if idle || busy.is_empty() { 0 } else { maker.dice.between(4, 24) } {
                let partition = maker.dice.pick(&busy);
                for (record, number) in maker.next(partition).iter().zip(&mut numbers) {
                    put(producer, topic, record, number)?;
                }
            }
            producer.poll(Duration::ZERO);
            std::thread::sleep(Duration::from_millis(maker.dice.between(20, 60)));
        }
    }
    Ok(())
}

fn put(
    producer: &BaseProducer<Listening>,
    topic: &str,
    record: &Record,
    number: u64,
) -> Result<(), String> {
    let (class, number) = (record.class.to_header(), number.to_string());
    let headers = OwnedHeaders::new()
        .insert(Header { key: CLASS, value: Some(&class) })
        .insert(Header { key: NUMBER, value: Some(&number) });
    let mut sent: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic)
        .partition(record.partition)
        .key(b"key".as_slice())
        .payload(record.value.as_slice())
        .headers(headers);
    loop {
        match producer.send(sent) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                sent = back;
                producer.poll(Duration::from_millis(20));
            }
            Err((error, _)) => return Err(format!("sending: {error}")),
        }
    }
}
