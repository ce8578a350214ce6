//! Where partitions end, asked of the brokers beside the reading: a partition is idle only if it was
//! read to an end that was asked for after it had been quiet. What the client knows by itself may be
//! old: of brokers that it cannot reach it hears nothing.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::statistics::{Broker, Partition, Statistics};
use rdkafka::{Offset, TopicPartitionList};

use super::cluster::Cluster;
use super::connect::{Client, settings_failure};
use super::known::Known;
use crate::diagnostic::Failure;
use crate::stopwatch::Since;

/// How long brokers may take to tell an end: those that do not have no idle partitions.
const ANSWER: Duration = Duration::from_secs(1);
/// So many questions in turn that are not answered, and another client asks.
const IN_VAIN_MAX: u32 = 5;
/// An answer is no news after that.
const FRESH: Duration = Duration::from_secs(2);
/// How often the client tells how far it has read: of partitions at whose end stands no record but
/// the end of a transaction, nothing else does.
const TOLD_MS: &str = "250";
/// What a broker told is old when it has said nothing for so long: it answers a reader all the time.
pub(super) const UNHEARD: Duration = Duration::from_secs(10);

/// What a client tells of itself: for each partition, up to where it was read when nothing was left
/// in its queue.
#[derive(Default)]
pub(super) struct Watching {
    read_to: Mutex<BTreeMap<(String, i32), u64>>,
    /// The end of what is committed, as far as the client knows, and when the partition's broker
    /// was last heard.
    ends: Mutex<BTreeMap<(String, i32), (u64, Since)>>,
    pub(super) known: Known,
}

impl Watching {
    /// Where a partition ends, as far as the client knows: good enough for a metric. None where the
    /// partition's broker is silent: one that is frozen or cut off does not close its connection.
    pub(super) fn end(&self, topic: &str, partition: i32) -> Option<u64> {
        let told = lock(&self.ends).get(&(topic.to_owned(), partition)).copied();
        told.filter(|(_, heard)| heard.elapsed() < UNHEARD).map(|(end, _)| end)
    }
}

/// Whether the broker that a partition is fetched from was heard a moment ago. What the client holds
/// for whoever reads is news too: it does not fetch more then.
fn is_heard(statistics: &Statistics, partition: &Partition) -> bool {
    let fresh = |broker: &Broker| (0..FRESH.as_micros() as i64).contains(&broker.rxidle);
    let is_its = |broker: &Broker| broker.nodeid >= 0 && broker.nodeid == partition.broker;
    let mut brokers = statistics.brokers.values();
    partition.fetchq_cnt > 0 || brokers.any(|broker| is_its(broker) && fresh(broker))
}

impl ClientContext for Watching {
    fn stats(&self, statistics: Statistics) {
        self.known.hear(&statistics);
        let (mut read_to, mut ends) = (lock(&self.read_to), lock(&self.ends));
        for (topic, told) in statistics.topics.iter().collect::<BTreeMap<_, _>>() {
            for (partition, told) in told.partitions.iter().collect::<BTreeMap<_, _>>() {
                if told.ls_offset >= 0 && is_heard(&statistics, told) {
                    ends.insert((topic.clone(), *partition), (told.ls_offset as u64, Since::now()));
                }
                if told.fetchq_cnt == 0 && told.eof_offset >= 0 {
                    read_to.insert((topic.clone(), *partition), told.eof_offset as u64);
                }
            }
        }
    }
}

impl ConsumerContext for Watching {}

/// A consumer that is watched.
pub(super) fn made(client: &ClientConfig) -> Result<Client<Watching>, Failure> {
    let mut client = client.clone();
    client.set("statistics.interval.ms", TOLD_MS);
    let made = BaseConsumer::from_config_and_context(&client, Watching::default());
    made.map(Client::of).map_err(settings_failure)
}

/// The end of a partition, and when it was asked for.
type End = (Since, u64);

/// The ends of partitions. Who asks is never the client that reads: the connection by which a question was
/// not answered in time is closed, and what waits to be sent by the next one may be too late by then,
/// so that this is closed too. Whatever reads by it would stand still for as long as that goes on.
pub(super) struct Ends {
    reading: Arc<BaseConsumer<Watching>>,
    names: Vec<(String, i32)>,
    wanted: Vec<usize>,
    asked: SyncSender<Vec<usize>>,
    told: Arc<Mutex<BTreeMap<usize, End>>>,
}

impl Ends {
    pub(super) fn new(
        reading: Arc<BaseConsumer<Watching>>,
        cluster: &Cluster,
        names: Vec<(String, i32)>,
    ) -> Ends {
        // While one question is under way another waits; more would be no news.
        let (asked, questions) = sync_channel(1);
        let told = Arc::new(Mutex::new(BTreeMap::new()));
        let (cluster, names_own, told_own) = (cluster.clone(), names.clone(), told.clone());
        // It ends with whoever wants to know.
        std::thread::spawn(move || answer(&cluster, &names_own, &questions, &told_own));
        Ends { reading, names, wanted: Vec::new(), asked, told }
    }

    /// Whether a partition that has been quiet since then was read to an end that was asked for
    /// when it had been quiet for `idle`. Where that is not known it is asked for next.
    pub(super) fn is_reached(
        &mut self,
        at: usize,
        position: u64,
        quiet: Since,
        idle: Duration,
    ) -> bool {
        let told = lock(&self.told).get(&at).copied();
        let told = told.filter(|(asked, _)| counts(asked.elapsed(), quiet.elapsed(), idle));
        let Some((_, end)) = told else {
            self.wanted.push(at);
            return false;
        };
        if position >= end {
            return true;
        }
        // Nothing but ends of transactions may stand before the end.
        let read_to = lock(&self.reading.context().read_to).get(&self.names[at]).copied();
        let reached = read_to.is_some_and(|read_to| read_to >= end);
        if !reached {
            // The end may have moved since; one that stays is reached some time.
            self.wanted.push(at);
        }
        reached
    }

    /// Asks for what was wanted.
    pub(super) fn ask(&mut self) {
        if self.wanted.is_empty() {
            return;
        }
        // The client does not bear one that is asked for twice.
        self.wanted.sort_unstable();
        self.wanted.dedup();
        match self.asked.try_send(std::mem::take(&mut self.wanted)) {
            // The next question has them again.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// Whether an answer tells that a partition is idle: it was asked for when the partition had been
/// quiet for long enough, and not so long ago that brokers may be out of reach since.
fn counts(asked: Duration, quiet: Duration, idle: Duration) -> bool {
    asked + idle <= quiet && asked <= FRESH
}

/// Answers questions until nobody asks.
fn answer(
    cluster: &Cluster,
    names: &[(String, i32)],
    questions: &Receiver<Vec<usize>>,
    told: &Mutex<BTreeMap<usize, End>>,
) {
    let (mut asker, mut in_vain) = (None, 0);
    while let Ok(wanted) = questions.recv() {
        // The settings are those of the client that reads.
        let Some(client) = asker.take().or_else(|| cluster.asker().ok()) else { continue };
        let mut ask = |wanted: &[usize]| {
            // Before the question: the answer is at least as new.
            let asked = Since::now();
            let ends = together(&client, names, wanted)?;
            in_vain = 0;
            lock(told).extend(ends.into_iter().map(|(at, end)| (at, (asked, end))));
            KafkaResult::Ok(())
        };
        if ask(&wanted).is_err() {
            // One that is out of reach spoils the answer for all.
            wanted.iter().for_each(|at| drop(ask(&[*at])));
            in_vain += 1;
        }
        // It may know no broker any more.
        asker = Some(client).filter(|_| in_vain < IN_VAIN_MAX);
    }
}

/// The ends of some partitions, in one question to each broker.
fn together(
    asker: &BaseConsumer,
    names: &[(String, i32)],
    wanted: &[usize],
) -> KafkaResult<Vec<(usize, u64)>> {
    let mut list = TopicPartitionList::new();
    for at in wanted {
        let (topic, partition) = &names[*at];
        list.add_partition_offset(topic, *partition, Offset::End)?;
    }
    let found = asker.offsets_for_times(list, ANSWER)?;
    let mut ends = Vec::new();
    for at in wanted {
        let (topic, partition) = &names[*at];
        let element = found.find_partition(topic, *partition);
        let end = element.filter(|one| one.error().is_ok()).map(|one| one.offset());
        if let Some(Offset::Offset(end)) = end {
            ends.push((*at, end.max(0) as u64));
        }
    }
    Ok(ends)
}

/// What is behind a lock is whole after every line, also where a thread ended badly.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In ms: how long ago it was asked, how long the partition has been quiet, and after how long
    /// it is idle.
    #[test]
    fn an_answer_counts_that_is_of_after_the_quiet_time_and_not_old() {
        for (asked, quiet, idle, expected) in [
            (0, 4_999, 5_000, false),
            (0, 5_000, 5_000, true),
            (1_000, 5_500, 5_000, false),
            (1_000, 6_000, 5_000, true),
            // Brokers that do not answer since are not taken to have nothing.
            (3_000, 3_600_000, 5_000, false),
            (3_000, 3_600_000, 100, false),
            (1_900, 3_600_000, 100, true),
        ] {
            let ms = Duration::from_millis;
            assert_eq!(counts(ms(asked), ms(quiet), ms(idle)), expected, "{asked} {quiet} {idle}");
        }
    }
}
