//! A stream of its own for a test: topics, rules, a configuration, and what is seen of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hongxian::stopwatch::Since;
use hongxian::stream::Cluster;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::succeeds;
use crate::support::START;

/// Longer than anything takes on a loaded machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

const POLICY: &str = "allowed_lateness = \"2s\"\ndedup_window = \"1d\"\nidle_ms = 100\n";
const FEATURES: &str = "[funds.t_count]\nover = [\"claim\"]\nkey = [\"account_id\"]\n\
                        agg = \"count\"\nwindow = \"10m\"\n";
const RULE: &str = "title = 'many'\nstatus = 'live'\non = ['claim']\nwhen = 'funds.t_count >= 3'\n\
                    score = 400\nreason = '{funds.t_count} claims'\n";

/// A record that a test sends.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) partition: i32,
    pub(super) value: Option<Vec<u8>>,
}

/// A record that a reader of what is committed sees.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) value: Vec<u8>,
    pub(super) headers: BTreeMap<String, String>,
}

pub(super) struct Bench {
    directory: tempfile::TempDir,
    pub(super) brokers: String,
    /// What the names of all its topics begin with.
    pub(super) prefix: String,
    /// What its programs have in their environment beside what the test has.
    pub(super) environment: Vec<(&'static str, String)>,
}

/// A claim of the account `at % 10` at a second each, in a partition.
pub(super) fn claim(at: i64, partition: i32) -> Sent {
    Sent {
        partition,
        value: Some(claim_json(&format!("e{at}"), at * 1_000, at % 10, at).into_bytes()),
    }
}

pub(super) fn claim_json(id: &str, after: i64, account: i64, amount: i64) -> String {
    let (time, amount) = (START + after, amount % 900 + 1);
    format!(
        "{{\"event_id\":\"{id}\",\"event_time\":{time},\"kind\":\"claim\",\
         \"account_id\":\"u{account}\",\"counterparty_id\":\"s\",\"group_id\":\"g\",\
         \"packet_id\":\"p\",\"amount_fen\":{amount}}}"
    )
}

pub(super) fn hongxian() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hongxian"))
}

#[expect(clippy::disallowed_methods, reason = "the check tells its tests where its broker is")]
pub(super) fn broker() -> Option<String> {
    std::env::var("HONGXIAN_TEST_BROKER").ok()
}

fn is_unknown(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let unknown = [Code::UnknownTopicOrPartition, Code::UnknownTopic, Code::UnknownPartition];
    error.rdkafka_error_code().is_some_and(|code| unknown.contains(&code))
}

fn is_away(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let away = [Code::AllBrokersDown, Code::BrokerTransportFailure];
    error.rdkafka_error_code().is_some_and(|code| away.contains(&code))
}

/// The end of a topic's one partition; none where nobody has made the topic. A broker that has just
/// lost its session may for a while know of no partition of a topic that is there.
fn end_of(consumer: &BaseConsumer, topic: &str) -> Option<i64> {
    let since = Since::now();
    loop {
        let error = match consumer.fetch_watermarks(topic, 0, PATIENCE) {
            Ok((_, end)) => return Some(end),
            Err(error) => error,
        };
        // Of all topics: a broker that is asked for one would make it.
        let all = consumer.fetch_metadata(None, PATIENCE).expect("what topics there are");
        if is_unknown(&error) && all.topics().iter().all(|known| known.name() != topic) {
            return None;
        }
        assert!(since.elapsed() < PATIENCE, "{topic}: {error}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Bench {
    /// A stream whose input has so many partitions; none where there is no broker.
    pub(super) fn new(name: &str, partitions: i32) -> Option<Bench> {
        let Some(brokers) = broker() else {
            eprintln!("not tested: HONGXIAN_TEST_BROKER is not set; scripts/test starts a broker");
            return None;
        };
        Some(Bench::at(brokers, name, partitions))
    }

    /// The same, on that broker.
    pub(super) fn at(brokers: String, name: &str, partitions: i32) -> Bench {
        let prefix = format!("{name}-{}", std::process::id());
        let (directory, environment) = (tempfile::tempdir().unwrap(), Vec::new());
        let bench = Bench { directory, brokers, prefix, environment };
        let rules = bench.rules();
        fs::create_dir_all(rules.join("funds")).unwrap();
        fs::write(rules.join("policy.toml"), POLICY).unwrap();
        fs::write(rules.join("features.toml"), FEATURES).unwrap();
        fs::write(rules.join("funds/many.toml"), RULE).unwrap();
        bench.configure(&rules);
        if partitions > 0 {
            bench.make_topic(partitions);
        }
        bench
    }

    /// Writes the configuration, with those rules.
    pub(super) fn configure(&self, rules: &Path) {
        self.configure_with(rules, "");
    }

    /// The same, with more lines before its tables.
    pub(super) fn configure_with(&self, rules: &Path, more: &str) {
        let (brokers, prefix) = (&self.brokers, &self.prefix);
        let text = format!(
            "brokers = '{brokers}'\nname = '{prefix}'\nrules = '{}'\nworkers = 2\n\
             commit_interval = '20ms'\n{more}\
             [topics]\ninput = ['{prefix}.in']\noutput = '{prefix}.out'\n\
             dead_letter = '{prefix}.dead'\ncontrol = '{prefix}.control'\n",
            rules.display()
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(super) fn rules(&self) -> PathBuf {
        self.directory.path().join("rules")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path("stream.toml")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn topic(&self, which: &str) -> String {
        format!("{}.{which}", self.prefix)
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers);
        client
    }

    fn admin(&self) -> (AdminClient<DefaultClientContext>, AdminOptions) {
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        (self.client().create().unwrap(), options)
    }

    fn make_topic(&self, partitions: i32) {
        self.make("in", partitions, &[("message.timestamp.type", "LogAppendTime")]);
    }

    /// Makes a topic with settings.
    pub(super) fn make(&self, which: &str, partitions: i32, settings: &[(&str, &str)]) {
        let name = self.topic(which);
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let (admin, options) = self.admin();
        let made = futures_executor::block_on(admin.create_topics([&topic], &options)).unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }

    /// A setting of a topic.
    pub(super) fn setting(&self, which: &str, name: &str) -> Option<String> {
        let topic = self.topic(which);
        let (admin, options) = self.admin();
        let wanted = [ResourceSpecifier::Topic(&topic)];
        let told = admin.describe_configs(&wanted, &options);
        let told = futures_executor::block_on(told).unwrap().remove(0).unwrap();
        told.get(name).and_then(|entry| entry.value.clone())
    }

    /// Takes a topic away. Brokers do that in their own time.
    pub(super) fn delete(&self, which: &str) {
        let topic = self.topic(which);
        let (admin, options) = self.admin();
        let deleted = futures_executor::block_on(admin.delete_topics(&[&topic], &options)).unwrap();
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
        let asker: BaseConsumer = self.client().create().unwrap();
        super::until("the topic stays", || {
            let all = asker.fetch_metadata(None, PATIENCE).unwrap();
            all.topics().iter().all(|known| known.name() != topic)
        });
    }

    /// Makes the input topic anew, with one partition.
    pub(super) fn make_anew(&self) {
        self.delete("in");
        self.make_topic(1);
    }

    /// Gives the input topic so many partitions.
    pub(super) fn add_partitions(&self, count: usize) {
        let topic = self.topic("in");
        let more = NewPartitions::new(&topic, count);
        let (admin, options) = self.admin();
        let added = futures_executor::block_on(admin.create_partitions([&more], &options)).unwrap();
        assert!(added.iter().all(Result::is_ok), "{added:?}");
    }

    /// Removes the first records of partition 0, as retention does.
    pub(super) fn delete_before(&self, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic("in"), 0, Offset::Offset(offset)).unwrap();
        let (admin, options) = self.admin();
        futures_executor::block_on(admin.delete_records(&list, &options)).unwrap();
    }

    /// Sends records, in their order, and returns when the broker has them.
    pub(super) fn send(&self, records: impl IntoIterator<Item = Sent>) {
        self.send_to("in", records);
    }

    pub(super) fn send_to(&self, which: &str, records: impl IntoIterator<Item = Sent>) {
        let producer: BaseProducer = self.client().create().unwrap();
        let topic = self.topic(which);
        for Sent { partition, value } in records {
            let mut record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&topic).partition(partition);
            if let Some(value) = &value {
                record = record.payload(value.as_slice()).key(b"k".as_slice());
            }
            while let Err((error, back)) = producer.send(record) {
                let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                assert_eq!(error, full);
                producer.poll(Duration::from_millis(20));
                record = back;
            }
        }
        producer.flush(PATIENCE).unwrap();
    }

    pub(super) fn command(&self, more: &[&str]) -> Command {
        let mut command = hongxian();
        command.arg("stream").arg(self.config()).args(more).args(["--json", "--lang", "en"]);
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Runs the stream to its end; what it says.
    pub(super) fn stream(&self, more: &[&str]) -> serde_json::Value {
        serde_json::from_str(&succeeds(&mut self.command(more))).unwrap()
    }

    /// Runs the stream, which fails with that exit code; what it says.
    pub(super) fn fails(&self, more: &[&str], code: i32) -> String {
        let output = self.command(more).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }

    /// Starts the stream and leaves it running.
    pub(super) fn spawn(&self, more: &[&str]) -> Child {
        let mut command = self.command(more);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The digest of the output topic.
    pub(super) fn digest(&self) -> String {
        let topic = self.topic("out");
        let mut command = hongxian();
        let said = succeeds(command.args(["digest", &topic, "--brokers", &self.brokers]));
        said.trim().to_owned()
    }

    /// The digest of the backtest of the exported input log, and the counts of that.
    pub(super) fn replayed(&self, workers: &str) -> (String, serde_json::Value) {
        let (log, run) = (self.path("log"), self.path("replayed"));
        let told = succeeds(hongxian().arg("input-log").arg(self.config()).arg("--out").arg(&log));
        // Rules and models as they are exported: what is on the disk may be others.
        let how = told.split("hongxian ").nth(1).and_then(|rest| rest.split(" --out").next());
        let mut backtest = hongxian();
        backtest.args(how.expect("it says how to replay").split(' ')).arg("--out").arg(&run);
        backtest.args(["--json", "--workers", workers]);
        let metrics: serde_json::Value = serde_json::from_str(&succeeds(&mut backtest)).unwrap();
        (metrics["decisions_digest"].as_str().unwrap().to_owned(), metrics["counts"].clone())
    }

    /// What a reader of a topic sees of what is committed by now.
    pub(super) fn committed(&self, which: &str) -> Vec<Seen> {
        let topic = self.topic(which);
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "test")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut seen = Vec::new();
        // One that grows all the time has no end to come to.
        let Some(until) = end_of(&consumer, &topic) else { return seen };
        loop {
            match consumer.poll(PATIENCE).expect("the end of the topic") {
                Ok(message) if message.offset() >= until => return seen,
                Ok(message) => {
                    let text = |bytes: Option<&[u8]>| {
                        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
                    };
                    let headers = message.headers().into_iter().flat_map(|all| all.iter());
                    seen.push(Seen {
                        value: message.payload().unwrap_or_default().to_vec(),
                        headers: headers
                            .map(|header| (header.key.to_owned(), text(header.value)))
                            .collect(),
                    });
                }
                Err(KafkaError::PartitionEOF(_)) => return seen,
                // The client connects and asks again.
                Err(error) if is_away(&error) || is_unknown(&error) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// How many of the input's partitions hold anything.
    pub(super) fn filled_partitions(&self, partitions: i32) -> usize {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let ends = |at| consumer.fetch_watermarks(&self.topic("in"), at, PATIENCE).unwrap().1;
        (0..partitions).filter(|at| ends(*at) > 0).count()
    }

    /// The ids that were decided on, in the order of the topic.
    pub(super) fn decided(&self) -> Vec<String> {
        let id = |seen: &Seen| -> String {
            let decision: serde_json::Value = serde_json::from_slice(&seen.value).unwrap();
            decision["event_id"].as_str().unwrap().to_owned()
        };
        self.committed("out").iter().map(id).collect()
    }

    pub(super) fn cluster(&self) -> Cluster {
        let (brokers, settings) = (self.brokers.clone(), BTreeMap::new());
        Cluster { brokers, connect_limit: PATIENCE.as_millis() as i64, settings }
    }
}
