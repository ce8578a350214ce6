//! Partitions that are read from a place on, each from a queue of its own: so the one that is
//! behind can be read first, and those ahead wait in queues whose size is bounded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _, OwnedHeaders};
use rdkafka::{Offset, TopicPartitionList};

use super::added::Added;
use super::cluster::Cluster;
use super::connect::{Client, failed, partitions};
use super::ends::{Ends, Watching, made};
use crate::diagnostic::{Failure, Message};
use crate::source::log::Arrived;
use crate::stopwatch::Since;

/// How long brokers may take to tell the bounds of a partition.
const BOUNDS: Duration = Duration::from_secs(10);
/// Brokers that are away are asked again after so long.
const AGAIN: Duration = Duration::from_millis(250);
/// Without anything to read, so long until somebody looks again.
const REST: Duration = Duration::from_millis(2);
/// A client that has existed for so long, and of a partition hears nothing, gives way to another.
const SILENT_MAX: Duration = Duration::from_secs(20);
/// A topic that is read to its end and gives nothing for so long is out of reach.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// Records that are taken from a partition at once, and bytes of them: a record has up to 1 MiB.
const AT_ONCE: usize = 4096;
const AT_ONCE_BYTES: usize = 8 << 20;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At the first record that is there.
    Earliest,
    /// At that offset; it is a failure if records from there on are gone.
    At(u64),
}

/// A record with what came beside its bytes.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) arrived: Arrived,
    pub(super) beside: Beside,
}

/// What a record has that no event has.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    pub(super) key: Option<Vec<u8>>,
    pub(super) headers: Option<OwnedHeaders>,
}

/// Partitions that are read.
pub(super) struct Input {
    cluster: Cluster,
    pub(super) sources: Vec<Reading>,
    ends: Option<Ends>,
    added: Option<Added>,
    /// Since when by this client.
    begun: Since,
    /// Dropped after all that has a part of it.
    consumer: Client<Watching>,
}

/// A partition that is read.
pub(super) struct Reading {
    pub(super) topic: String,
    pub(super) partition: i32,
    queue: PartitionQueue<Watching>,
    /// What came before the partition had a queue of its own.
    early: VecDeque<Fetched>,
    /// The first offset that was there when it was opened.
    pub(super) first: u64,
    /// Where reading began.
    pub(super) start: u64,
    /// The next offset.
    pub(super) position: u64,
    /// The end of the partition when it was opened.
    pub(super) end: u64,
    /// Whether everything that is committed has been read, as far as is known.
    pub(super) at_end: bool,
    /// Since when no event came: records that are refused do not count.
    pub(super) quiet: Since,
}

impl Input {
    /// Begins to read partitions.
    pub(super) fn open(
        cluster: &Cluster,
        wanted: &[(String, i32, Start)],
    ) -> Result<Input, Failure> {
        let consumer = made(&cluster.consumer_settings(wanted.len()))?;
        let mut found = Vec::new();
        for (topic, partition, start) in wanted {
            let (low, high) = bounds(cluster, &consumer, (topic, *partition))?;
            let start = match *start {
                Start::Earliest => low,
                Start::At(offset) if (low..=high).contains(&offset) => offset,
                Start::At(offset) => return Err(gone((topic, *partition), offset, (low, high))),
            };
            found.push((topic.clone(), *partition, start, (low, high)));
        }
        let places = found.iter().map(|(topic, at, start, _)| (topic.as_str(), *at, *start));
        let queues = assigned(&consumer, places)?;
        let mut sources = Vec::new();
        for ((topic, partition, start, (first, end)), queue) in found.into_iter().zip(queues) {
            sources.push(Reading {
                topic,
                partition,
                queue,
                early: VecDeque::new(),
                first,
                start,
                position: start,
                end,
                at_end: start >= end,
                quiet: Since::now(),
            });
        }
        let cluster = cluster.clone();
        let mut input =
            Input { cluster, consumer, begun: Since::now(), sources, ends: None, added: None };
        input.take_early(Duration::ZERO)?;
        Ok(input)
    }

    /// Goes on by another client, from where each partition was read to.
    fn begin_anew(&mut self) -> Result<(), Failure> {
        let count = self.sources.len();
        let consumer = made(&self.cluster.consumer_settings(count))?;
        let places = self.sources.iter();
        let places = places.map(|one| (one.topic.as_str(), one.partition, one.position));
        let queues = assigned(&consumer, places)?;
        for (source, queue) in self.sources.iter_mut().zip(queues) {
            source.queue = queue;
            // It is read again.
            source.early.clear();
        }
        (self.ends, self.added) = (None, None);
        (self.consumer, self.begun) = (consumer, Since::now());
        Ok(())
    }

    /// All partitions of topics, from their first records on.
    pub(super) fn whole_topic(
        cluster: &Cluster,
        topic: &str,
    ) -> Result<Vec<(String, i32, Start)>, Failure> {
        let consumer = cluster.consumer()?;
        let count = partitions(&consumer, topic)?.ok_or_else(|| no_topic(topic))?;
        Ok((0..count as i32).map(|at| (topic.to_owned(), at, Start::Earliest)).collect())
    }

    /// Takes the next records of a source, as many as are there, those from `before` on left out.
    pub(super) fn take(&mut self, at: usize, before: Option<u64>) -> Result<Vec<Fetched>, Failure> {
        let source = &mut self.sources[at];
        let mut taken = Vec::new();
        let mut bytes = 0;
        let stop = before.unwrap_or(u64::MAX);
        while taken.len() < AT_ONCE && bytes < AT_ONCE_BYTES && source.position < stop {
            let next = match source.early.pop_front() {
                Some(fetched) => Some(fetched),
                None => source.poll()?,
            };
            let Some(fetched) = next else { break };
            if fetched.arrived.offset >= stop {
                // It is read by whoever goes on from there.
                (source.position, source.at_end) = (source.position.max(stop), false);
                source.early.push_front(fetched);
                break;
            }
            source.position = fetched.arrived.offset + 1;
            source.at_end = false;
            bytes += fetched.bytes();
            taken.push(fetched);
        }
        Ok(taken)
    }

    /// Lets the client do its own work: for a moment, when there is nothing to take.
    pub(super) fn rest(&mut self, got: bool) -> Result<(), Failure> {
        // What the client has told meanwhile is heard first.
        self.take_early(if got { Duration::ZERO } else { REST })?;
        if self.consumer.context().known.is_lost() || self.is_silent() {
            self.begin_anew()?;
        }
        Ok(())
    }

    /// Whether the client has long heard nothing of some partition. Where brokers are away another hears
    /// nothing either; but one can also be silent beside brokers that are well.
    fn is_silent(&self) -> bool {
        let unheard =
            |one: &Reading| self.consumer.context().end(&one.topic, one.partition).is_none();
        self.begun.elapsed() > SILENT_MAX && self.sources.iter().any(unheard)
    }

    /// Whether a partition has been without events for so long, and had been read to its end after
    /// that. Brokers that cannot be asked for the end do not make a partition idle. The answer
    /// comes from beside: one that is not there yet is that it is not.
    pub(super) fn is_idle(&mut self, at: usize, idle: Duration) -> bool {
        let source = &self.sources[at];
        if source.quiet.elapsed() < idle {
            return false;
        }
        let (consumer, cluster) = (&self.consumer, &self.cluster);
        let names = self.sources.iter().map(|source| (source.topic.clone(), source.partition));
        let begin = || Ends::new((*consumer).clone(), cluster, names.collect());
        let ends = self.ends.get_or_insert_with(begin);
        ends.is_reached(at, source.position, source.quiet, idle)
    }

    /// Asks for the ends of the partitions for which [`is_idle`](Self::is_idle) had no answer.
    pub(super) fn ask_ends(&mut self) {
        if let Some(ends) = &mut self.ends {
            ends.ask();
        }
    }

    /// That a topic has got partitions which are not read; asked again and again, from the first
    /// time on.
    pub(super) fn added(&mut self) -> Option<Failure> {
        let (cluster, sources) = (&self.cluster, &self.sources);
        let reading = || Arc::downgrade(&self.consumer);
        let names = || sources.iter().map(|source| source.topic.clone());
        self.added.get_or_insert_with(|| Added::watch(cluster, reading(), names())).found()
    }

    /// How many records a partition has that were not read, as far as is known.
    pub(super) fn lag(&self, at: usize) -> Option<u64> {
        let Reading { topic, partition, position, .. } = &self.sources[at];
        let end = self.consumer.context().end(topic, *partition)?;
        Some(end.saturating_sub(*position))
    }

    /// Hands over every record up to the end that the partitions had when they were opened.
    pub(super) fn read_to_end(
        &mut self,
        mut each: impl FnMut(usize, Fetched) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut silent = Since::now();
        loop {
            let mut got = false;
            let mut done = true;
            for at in 0..self.sources.len() {
                let end = self.sources[at].end;
                for fetched in self.take(at, Some(end))? {
                    got = true;
                    each(at, fetched)?;
                }
                let source = &self.sources[at];
                done &= source.has_read_to(source.end);
            }
            if done {
                return Ok(());
            }
            if got {
                silent = Since::now();
            } else if silent.elapsed() > SILENCE {
                return Err(self.silent());
            } else {
                self.rest(false)?;
            }
        }
    }

    /// That nothing came for too long, though there is more.
    pub(super) fn silent(&self) -> Failure {
        let (topic, seconds) = (&self.sources[0].topic, SILENCE.as_secs());
        Failure::Environment(Message::new(
            format!("nothing came from {topic} for {seconds} s: do its brokers answer?"),
            format!("主题 {topic} 在 {seconds} 秒内没有任何数据：代理是否应答？"),
        ))
    }

    /// Takes what the client's common queue got before the partitions had their own, and hears of
    /// errors.
    fn take_early(&mut self, wait: Duration) -> Result<(), Failure> {
        let consumer = self.consumer.clone();
        while let Some(polled) = consumer.poll(wait) {
            match polled {
                Ok(message) => {
                    let own = |source: &&mut Reading| {
                        source.topic == message.topic() && source.partition == message.partition()
                    };
                    if let Some(source) = self.sources.iter_mut().find(own) {
                        source.early.push_back(fetched(&message));
                    }
                }
                Err(error) if is_serious(&error) => {
                    return Err(failed(
                        "the brokers cannot be read from",
                        "无法从代理读取",
                        &error,
                    ));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// The offset of each partition's first record that was appended at a time or later; none where there
/// is no such record.
pub(super) fn first_since(
    cluster: &Cluster,
    names: &[(&str, i32)],
    time: i64,
) -> Result<Vec<Option<u64>>, Failure> {
    let consumer = cluster.consumer()?;
    let mut list = TopicPartitionList::new();
    for (topic, partition) in names {
        list.add_partition_offset(topic, *partition, Offset::Offset(time))
            .map_err(|error| unreadable(topic, *partition, &error))?;
    }
    let found = consumer.offsets_for_times(list, BOUNDS).map_err(|error| {
        failed("the brokers do not tell offsets by time", "代理未给出按时间的偏移", &error)
    })?;
    let mut offsets = Vec::new();
    for (topic, partition) in names {
        let element = found.find_partition(topic, *partition);
        if let Some(Err(error)) = element.as_ref().map(|one| one.error()) {
            return Err(unreadable(topic, *partition, &error));
        }
        offsets.push(match element.map(|one| one.offset()) {
            Some(Offset::Offset(offset)) => Some(offset.max(0) as u64),
            _ => None,
        });
    }
    Ok(offsets)
}

/// Has partitions read from those offsets on; a queue for each.
fn assigned<'p>(
    consumer: &Arc<BaseConsumer<Watching>>,
    places: impl Iterator<Item = (&'p str, i32, u64)> + Clone,
) -> Result<Vec<PartitionQueue<Watching>>, Failure> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in places.clone() {
        list.add_partition_offset(topic, partition, Offset::Offset(offset as i64))
            .map_err(|error| unreadable(topic, partition, &error))?;
    }
    let failure = |error| failed("partitions cannot be assigned", "无法分配分区", &error);
    consumer.assign(&list).map_err(failure)?;
    let queue = |(topic, partition, _): (&'p str, i32, u64)| {
        consumer.split_partition_queue(topic, partition).ok_or_else(|| {
            let error = KafkaError::Global(RDKafkaErrorCode::UnknownPartition);
            unreadable(topic, partition, &error)
        })
    };
    places.map(queue).collect()
}

/// The first offset of a partition, and the one after its last. Brokers that are away are waited for.
fn bounds(
    cluster: &Cluster,
    consumer: &BaseConsumer<Watching>,
    (topic, partition): (&str, i32),
) -> Result<(u64, u64), Failure> {
    let (since, limit) = (Since::now(), Duration::from_millis(cluster.connect_limit as u64));
    loop {
        match consumer.fetch_watermarks(topic, partition, BOUNDS) {
            Ok((low, high)) => return Ok((low.max(0) as u64, high.max(0) as u64)),
            // Brokers that have lost their session for a while know of nothing.
            Err(error) if since.elapsed() > limit || is_serious(&error) && !is_unknown(&error) => {
                return Err(unreadable(topic, partition, &error));
            }
            Err(_) => std::thread::sleep(AGAIN),
        }
    }
}

impl Fetched {
    /// About how many bytes of memory it takes up.
    pub(super) fn bytes(&self) -> usize {
        self.arrived.value.len() + self.beside.key.as_ref().map_or(0, Vec::len)
    }
}

impl Reading {
    /// Whether everything before an offset has been read, as far as there is anything.
    pub(super) fn has_read_to(&self, offset: u64) -> bool {
        self.at_end || self.position >= offset
    }

    fn poll(&mut self) -> Result<Option<Fetched>, Failure> {
        match self.queue.poll(Duration::ZERO) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(fetched(&message))),
            Some(Err(KafkaError::PartitionEOF(_))) => {
                self.at_end = true;
                Ok(None)
            }
            Some(Err(error)) if is_serious(&error) => {
                Err(unreadable(&self.topic, self.partition, &error))
            }
            // The client mends the rest by itself: it goes on where it was.
            Some(Err(_)) => Ok(None),
        }
    }
}

/// Whether there is no such partition, as far as brokers know.
fn is_unknown(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    const UNKNOWN: [Code; 3] =
        [Code::UnknownTopicOrPartition, Code::UnknownTopic, Code::UnknownPartition];
    error.rdkafka_error_code().is_some_and(|code| UNKNOWN.contains(&code))
}

/// Whether trying again would not help.
fn is_serious(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    const SERIOUS: [Code; 9] = [
        Code::Fatal,
        Code::AutoOffsetReset,
        Code::OffsetOutOfRange,
        Code::UnknownTopicOrPartition,
        Code::UnknownTopic,
        Code::UnknownPartition,
        Code::TopicAuthorizationFailed,
        Code::GroupAuthorizationFailed,
        Code::SaslAuthenticationFailed,
    ];
    error.rdkafka_error_code().is_some_and(|code| SERIOUS.contains(&code))
}

fn fetched(message: &BorrowedMessage<'_>) -> Fetched {
    Fetched {
        arrived: Arrived {
            offset: message.offset() as u64,
            // A record without a time is taken to come after everything.
            append_time: message.timestamp().to_millis().unwrap_or(i64::MAX),
            value: message.payload().unwrap_or_default().to_vec(),
        },
        beside: Beside {
            key: message.key().map(<[u8]>::to_vec),
            // As they are: their keys may be no text, and the client's reader of them does not bear it.
            headers: message.headers().map(|headers| headers.detach()),
        },
    }
}

/// That there is no such topic.
pub(super) fn no_topic(topic: &str) -> Failure {
    Failure::Environment(Message::new(
        format!("there is no topic {topic}"),
        format!("没有主题 {topic}"),
    ))
}

fn unreadable(topic: &str, partition: i32, error: &KafkaError) -> Failure {
    failed(
        &format!("partition {partition} of {topic} cannot be read"),
        &format!("无法读取主题 {topic} 的分区 {partition}"),
        error,
    )
}

/// That records are gone which the stream needs: it never goes on without them.
fn gone((topic, partition): (&str, i32), offset: u64, (low, high): (u64, u64)) -> Failure {
    Failure::Environment(Message::new(
        format!(
            "partition {partition} of {topic} has the offsets {low} to {high}, and the stream needs \
             those from {offset} on: retention has removed them, or the topic was made anew"
        ),
        format!(
            "主题 {topic} 的分区 {partition} 现有偏移 {low} 至 {high}，而流需要从 {offset} 起的记录：\
             它们已被保留策略删除，或主题被重建"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

    use super::*;

    /// Brokers that answer later than questions about ends wait for.
    const SLOW: Duration = Duration::from_millis(1_300);

    /// A broker with a topic of one partition, and whoever writes to it.
    fn one_partition() -> (MockCluster<'static, DefaultProducerContext>, Cluster, BaseProducer) {
        let brokers = MockCluster::new(1).unwrap();
        brokers.create_topic("t", 1, 1).unwrap();
        let cluster = Cluster {
            brokers: brokers.bootstrap_servers(),
            connect_limit: 10_000,
            settings: BTreeMap::new(),
        };
        let producer = cluster.client().create().unwrap();
        (brokers, cluster, producer)
    }

    /// A connection is closed where a question was not answered in time. That by which is read must
    /// not be: it would be opened again later and later, also when brokers are quick again.
    #[test]
    fn questions_that_slow_brokers_do_not_answer_in_time_do_not_hinder_reading() {
        let (brokers, cluster, producer) = one_partition();
        let wanted = [("t".to_owned(), 0, Start::Earliest)];
        let mut input = Input::open(&cluster, &wanted).unwrap();
        brokers.broker_round_trip_time(1, SLOW).unwrap();
        let read = |input: &mut Input, many: usize, limit: Duration| {
            let (since, mut got) = (Since::now(), 0);
            while got < many && since.elapsed() < limit {
                got += input.take(0, None).unwrap().len();
                // As a stream does whose partition is quiet.
                input.is_idle(0, Duration::ZERO);
                input.ask_ends();
                input.rest(false).unwrap();
            }
            got
        };
        for _ in 0..4 {
            assert_eq!(read(&mut input, 1, Duration::from_secs(3)), 0, "nothing was sent");
            producer.send(BaseRecord::<[u8], [u8]>::to("t").payload(b"one")).unwrap();
            producer.flush(Duration::from_secs(10)).unwrap();
            assert_eq!(read(&mut input, 1, 4 * SLOW), 1, "it is there and is not read");
        }
    }

    /// Brokers that come back know of no partition at first, and that can last.
    #[test]
    fn a_partition_that_no_broker_knows_of_is_waited_for_as_brokers_are() {
        let (brokers, mut cluster, _producer) = one_partition();
        let open = |cluster: &Cluster| {
            Input::open(cluster, &[("late".to_owned(), 0, Start::Earliest)]).map(drop)
        };
        cluster.connect_limit = 500;
        assert!(matches!(open(&cluster), Err(Failure::Environment(_))));
        cluster.connect_limit = 60_000;
        std::thread::scope(|scope| {
            let opened = scope.spawn(|| open(&cluster));
            std::thread::sleep(BOUNDS + Duration::from_secs(1));
            brokers.create_topic("late", 1, 1).unwrap();
            assert!(opened.join().unwrap().is_ok());
        });
    }

    /// Whatever the first client had fetched and nobody had taken is read again, and nothing twice.
    #[test]
    fn another_client_goes_on_where_the_first_was() {
        let (_brokers, cluster, producer) = one_partition();
        let send = |range: std::ops::Range<u32>| {
            for number in range {
                let value = number.to_string();
                let record = BaseRecord::<[u8], [u8]>::to("t").payload(value.as_bytes());
                producer.send(record).unwrap();
            }
            producer.flush(Duration::from_secs(10)).unwrap();
        };
        send(0..50);
        let wanted = [("t".to_owned(), 0, Start::Earliest)];
        let mut input = Input::open(&cluster, &wanted).unwrap();
        let mut seen = Vec::new();
        let since = Since::now();
        for (before, sent) in [(20, 0..0), (40, 50..70), (70, 70..90), (90, 0..0)] {
            while seen.len() < before && since.elapsed() < Duration::from_secs(30) {
                for fetched in input.take(0, Some(before as u64)).unwrap() {
                    seen.push(String::from_utf8(fetched.arrived.value).unwrap());
                }
                input.is_idle(0, Duration::ZERO);
                input.added();
                input.rest(false).unwrap();
            }
            send(sent);
            input.begin_anew().unwrap();
        }
        let all: Vec<String> = (0..90).map(|number| number.to_string()).collect();
        assert_eq!(seen, all);
    }

    /// Brokers that are silent for longer than a client is trusted to find them again.
    #[test]
    fn a_client_that_hears_nothing_gives_way_to_another() {
        let (brokers, cluster, producer) = one_partition();
        let send = |value: &str| {
            producer.send(BaseRecord::<[u8], [u8]>::to("t").payload(value.as_bytes())).unwrap();
            producer.flush(Duration::from_secs(10)).unwrap();
        };
        let wanted = [("t".to_owned(), 0, Start::Earliest)];
        let mut input = Input::open(&cluster, &wanted).unwrap();
        let mut seen = Vec::new();
        let read_until = |input: &mut Input, seen: &mut Vec<Vec<u8>>, many: usize| {
            let since = Since::now();
            while seen.len() < many && since.elapsed() < Duration::from_secs(30) {
                seen.extend(input.take(0, None).unwrap().into_iter().map(|one| one.arrived.value));
                input.rest(false).unwrap();
            }
        };
        send("before");
        read_until(&mut input, &mut seen, 1);
        brokers.broker_down(1).unwrap();
        let since = Since::now();
        while since.elapsed() < SILENT_MAX + Duration::from_secs(2) {
            assert!(input.take(0, None).unwrap().is_empty());
            input.rest(false).unwrap();
        }
        assert!(input.begun.elapsed() < SILENT_MAX, "another client has begun");
        brokers.broker_up(1).unwrap();
        send("after");
        read_until(&mut input, &mut seen, 2);
        assert_eq!(seen, [b"before".to_vec(), b"after".to_vec()]);
    }
}
