//! What a stream writes, in transactions: all of a commit, or nothing.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};

use super::config::Config;
use super::connect::{Tell, failed, make, why};
use crate::diagnostic::{Failure, Message};
use crate::stopwatch::Since;

/// How long a call to the brokers may take before it is made again.
const CALL: Duration = Duration::from_secs(10);
/// How long a commit is tried for before the stream gives up.
const COMMIT_LIMIT: Duration = Duration::from_secs(120);
const BACK_OFF: Duration = Duration::from_millis(200);
const QUEUE_FULL: Duration = Duration::from_millis(20);
/// Between two looks whether all is at the brokers.
const FLUSH_NAP: Duration = Duration::from_micros(250);
/// After a crash inside a transaction readers of what is committed wait so long at most.
const TRANSACTION_MS: &str = "60000";

/// What the headers of a refused record are taken to take up, well above what they usually do.
const CAME_WITH_BYTES: usize = 64 << 10;

/// A record to be written.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) topic: String,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    /// The headers of the record that it holds, before its own; left out where that is too much.
    pub(super) came_with: Option<OwnedHeaders>,
}

impl Outgoing {
    /// About how many bytes of memory it takes up.
    pub(super) fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        // They cannot be looked at: their keys may be no text.
        let came_with = self.came_with.as_ref().map_or(0, |_| CAME_WITH_BYTES);
        self.value.len()
            + self.key.as_ref().map_or(0, Vec::len)
            + headers.sum::<usize>()
            + came_with
    }
}

/// The transactional producer of a stream. Making it fences whoever had the stream's name before.
pub(super) struct Output {
    producer: BaseProducer,
    config: Config,
    /// Transactions that were flushed, and the one in which a test has the program die.
    flushed: u64,
    crash_at: Option<u64>,
    /// Since when nothing could be committed.
    failing: Option<Failing>,
}

/// Commits that fail one after the other.
struct Failing {
    since: Since,
    /// What was last said of them.
    told: String,
}

/// What came of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is committed.
    Committed,
    /// Something failed, and writing has been taken up anew. The control topic says whether it was
    /// committed, and whether somebody else went on in between.
    Unknown,
}

/// Why a transaction did not come about.
enum Trouble {
    /// Somebody else goes on with the stream.
    Fenced(String),
    /// It is done again.
    Again(String),
}

impl Output {
    /// Begins to write in a stream's name: an open transaction of a former incarnation is aborted,
    /// and none of its can be committed from here on.
    pub(super) fn open(config: &Config, crash_at: Option<u64>) -> Result<Output, Failure> {
        let producer = producer(config)?;
        Ok(Output { producer, config: config.clone(), flushed: 0, crash_at, failing: None })
    }

    /// Writes all records in one transaction, and returns when they are committed or nobody knows.
    ///
    /// # Errors
    /// When another instance goes on with the stream, or the brokers stay away (exit 3).
    pub(super) fn commit(&mut self, records: &[Outgoing], tell: Tell<'_>) -> Result<Told, Failure> {
        let why = match self.try_commit(records) {
            Ok(()) => {
                self.failing = None;
                return Ok(Told::Committed);
            }
            Err(Trouble::Fenced(why)) => return Err(fenced(&self.config.name, &why)),
            Err(Trouble::Again(why)) => why,
        };
        let begun = || Failing { since: Since::now(), told: String::new() };
        let failing = self.failing.get_or_insert_with(begun);
        if failing.since.elapsed() > COMMIT_LIMIT {
            return Err(Failure::Environment(Message::new(
                format!("nothing can be committed: {why}"),
                format!("无法提交：{why}"),
            )));
        }
        if failing.told != why {
            tell(&Message::new(
                format!("a commit failed and is looked into: {why}"),
                format!("提交失败，正在核实：{why}"),
            ));
            failing.told = why;
        }
        std::thread::sleep(BACK_OFF);
        // A producer in which something went wrong is beyond what can be known of it: an abort may
        // fail where the brokers know of no transaction. A new one aborts what was open.
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.producer = producer(&self.config)?;
        Ok(Told::Unknown)
    }

    fn try_commit(&mut self, records: &[Outgoing]) -> Result<(), Trouble> {
        self.producer.begin_transaction().map_err(|error| self.trouble(&error))?;
        for record in records {
            self.send(record)?;
        }
        self.flush().map_err(|error| self.trouble(&error))?;
        self.flushed += 1;
        if self.crash_at == Some(self.flushed) {
            // As kill -9 does, where it hurts most: all is at the brokers and nothing committed.
            std::process::abort();
        }
        self.producer.commit_transaction(CALL).map_err(|error| self.trouble(&error))
    }

    /// Waits until all is at the brokers. The client's own flush looks every 100 ms whether it is,
    /// however soon that was; all that time nothing would be decided. In times below a millisecond it
    /// does not wait at all but spins, and takes a core from brokers on the same machine.
    fn flush(&self) -> Result<(), KafkaError> {
        let since = Since::now();
        loop {
            let waiting = self.producer.in_flight_count();
            self.producer.poll(Duration::ZERO);
            match self.producer.flush(Duration::ZERO) {
                Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut))
                    if since.elapsed() < CALL =>
                {
                    // As long as there is news, the next one may be there, too.
                    if self.producer.in_flight_count() == waiting {
                        std::thread::sleep(FLUSH_NAP);
                    }
                }
                done => return done,
            }
        }
    }

    fn send(&self, outgoing: &Outgoing) -> Result<(), Trouble> {
        let too_large = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
        match self.send_with(outgoing, outgoing.came_with.clone()) {
            Err(error) if error == too_large && outgoing.came_with.is_some() => {
                self.send_with(outgoing, None)
            }
            sent => sent,
        }
        .map_err(|error| self.trouble(&error))
    }

    fn send_with(
        &self,
        outgoing: &Outgoing,
        came_with: Option<OwnedHeaders>,
    ) -> Result<(), KafkaError> {
        let mut headers = came_with.unwrap_or_default();
        for (key, value) in &outgoing.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(&outgoing.topic).payload(outgoing.value.as_slice()).headers(headers);
        if let Some(key) = &outgoing.key {
            record = record.key(key.as_slice());
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => {
                    self.producer.poll(Duration::ZERO);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(QUEUE_FULL);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    fn trouble(&self, error: &KafkaError) -> Trouble {
        let of_transaction = match error {
            KafkaError::Transaction(error) => Some(error.code()),
            other => other.rdkafka_error_code(),
        };
        let (code, said) = match self.producer.client().fatal_error() {
            Some((code, said)) => (Some(code), said),
            None => (of_transaction, why(error)),
        };
        if code.is_some_and(is_fenced) { Trouble::Fenced(said) } else { Trouble::Again(said) }
    }
}

/// A producer that has the stream's name to itself.
fn producer(config: &Config) -> Result<BaseProducer, Failure> {
    let mut client = config.cluster.client();
    client
        .set("transactional.id", &config.name)
        .set("transaction.timeout.ms", TRANSACTION_MS)
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5");
    let since = Since::now();
    loop {
        // Each time another: one may know no broker any more.
        let producer: BaseProducer = make(&client)?;
        match producer.init_transactions(CALL) {
            Ok(()) => return Ok(producer),
            Err(KafkaError::Transaction(error)) if is_fenced(error.code()) => {
                return Err(fenced(&config.name, &error.string()));
            }
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && since.elapsed() < COMMIT_LIMIT => {}
            Err(error) => {
                return Err(failed("no transactions can be had", "无法使用事务", &error));
            }
        }
    }
}

fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced)
}

/// That somebody else has the stream's name.
pub(super) fn fenced(name: &str, why: &str) -> Failure {
    Failure::Environment(Message::new(
        format!("another instance goes on with the stream {name}, this one ends: {why}"),
        format!("另一个实例已接管流 {name}，本实例结束：{why}"),
    ))
}
