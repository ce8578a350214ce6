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
/// After a crash inside a transaction readers of what is committed wait so long at most.
const TRANSACTION_MS: &str = "60000";

/// A record to be written.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) topic: String,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// The transactional producer of a stream. Making it fences whoever had the stream's name before.
pub(super) struct Output {
    producer: BaseProducer,
    name: String,
    /// Transactions that were flushed, and the one in which a test has the program die.
    flushed: u64,
    crash_at: Option<u64>,
}

/// Why a transaction did not come about.
enum Trouble {
    /// Somebody else goes on with the stream, or the client is beyond help.
    Fatal(String),
    /// It is done again.
    Again(String),
}

impl Output {
    /// Begins to write in a stream's name: an open transaction of a former incarnation is aborted,
    /// and none of its can be committed from here on.
    pub(super) fn open(config: &Config, crash_at: Option<u64>) -> Result<Output, Failure> {
        let mut client = config.cluster.client();
        client
            .set("transactional.id", &config.name)
            .set("transaction.timeout.ms", TRANSACTION_MS)
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5");
        let producer: BaseProducer = make(&client)?;
        let since = Since::now();
        loop {
            match producer.init_transactions(CALL) {
                Ok(()) => break,
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && since.elapsed() < COMMIT_LIMIT => {}
                Err(error) => {
                    return Err(failed("no transactions can be had", "无法使用事务", &error));
                }
            }
        }
        Ok(Output { producer, name: config.name.clone(), flushed: 0, crash_at })
    }

    /// Writes all records in one transaction, and returns when they are committed.
    ///
    /// # Errors
    /// When another instance goes on with the stream, or the brokers stay away (exit 3).
    pub(super) fn commit(&mut self, records: &[Outgoing], tell: Tell<'_>) -> Result<(), Failure> {
        let since = Since::now();
        loop {
            match self.try_commit(records) {
                Ok(()) => return Ok(()),
                Err(Trouble::Fatal(why)) => return Err(self.fenced(&why)),
                Err(Trouble::Again(why)) if since.elapsed() < COMMIT_LIMIT => {
                    tell(&Message::new(
                        format!("a commit failed and is done again: {why}"),
                        format!("提交失败，正在重试：{why}"),
                    ));
                    self.abort()?;
                    std::thread::sleep(BACK_OFF);
                }
                Err(Trouble::Again(why)) => {
                    return Err(Failure::Environment(Message::new(
                        format!("nothing can be committed: {why}"),
                        format!("无法提交：{why}"),
                    )));
                }
            }
        }
    }

    fn try_commit(&mut self, records: &[Outgoing]) -> Result<(), Trouble> {
        self.producer.begin_transaction().map_err(|error| self.trouble(&error))?;
        for record in records {
            self.send(record)?;
        }
        self.producer.flush(CALL).map_err(|error| self.trouble(&error))?;
        self.flushed += 1;
        if self.crash_at == Some(self.flushed) {
            // As kill -9 does, where it hurts most: all is at the brokers and nothing committed.
            std::process::abort();
        }
        let since = Since::now();
        loop {
            match self.producer.commit_transaction(CALL) {
                Ok(()) => return Ok(()),
                // Whether it was committed is not known: asking again is what settles it.
                Err(KafkaError::Transaction(error))
                    if error.is_retriable()
                        && !error.txn_requires_abort()
                        && since.elapsed() < COMMIT_LIMIT => {}
                Err(error) => return Err(self.trouble(&error)),
            }
        }
    }

    fn send(&self, outgoing: &Outgoing) -> Result<(), Trouble> {
        let mut headers = OwnedHeaders::new();
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
                Err((error, _)) => return Err(self.trouble(&error)),
            }
        }
    }

    /// Takes back what of a transaction is under way.
    fn abort(&self) -> Result<(), Failure> {
        // Aborting does not wait for what is on its way.
        self.producer.purge(PurgeConfig::default().queue().inflight());
        let _ = self.producer.flush(CALL);
        let since = Since::now();
        loop {
            match self.producer.abort_transaction(CALL) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_fatal() => {
                    return Err(self.fenced(&error.string()));
                }
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && since.elapsed() < COMMIT_LIMIT => {}
                // Where none was begun there is none to abort.
                Err(KafkaError::Transaction(error)) if error.code() == RDKafkaErrorCode::State => {
                    return Ok(());
                }
                Err(error) => {
                    return Err(failed("a transaction cannot be aborted", "无法中止事务", &error));
                }
            }
        }
    }

    fn trouble(&self, error: &KafkaError) -> Trouble {
        let fatal = matches!(error, KafkaError::Transaction(error) if error.is_fatal());
        match self.producer.client().fatal_error() {
            Some((_, said)) => Trouble::Fatal(said),
            None if fatal => Trouble::Fatal(why(error)),
            None => Trouble::Again(why(error)),
        }
    }

    fn fenced(&self, why: &str) -> Failure {
        let name = &self.name;
        Failure::Environment(Message::new(
            format!("another instance goes on with the stream {name}, this one ends: {why}"),
            format!("另一个实例已接管流 {name}，本实例结束：{why}"),
        ))
    }
}
