//! How a stream begins: everything that can be wrong is looked at before it takes its name, so that
//! a start that must fail leaves an instance that runs alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::bundle::{Bundle, Places};
use super::cluster::Cluster;
use super::config::Config;
use super::connect::{Tell, ensure_topic, partitions, wait, with_times_of_senders};
use super::control::{Begin, Entry, Held, Last, Resume, Source};
use super::input::{Input, Reading, Start, no_topic};
use super::live::How;
use super::output::{Outgoing, Output, Told};
use super::reload::{self, Read};
use super::snapshots::{FoundSnapshot, Snapshots};
use crate::diagnostic::{Failure, Message};
use crate::event::Schema;
use crate::run::Laid;

/// What is written last is not compacted until there is so much of it.
const CONTROL_SEGMENT_BYTES: &str = "16777216";

/// What a stream begins with.
pub(super) struct Started {
    pub(super) held: Held,
    /// With what it began, perhaps long ago.
    pub(super) begin: Begin,
    /// Its rules, with all changes so far.
    pub(super) laid: Laid,
    /// The rules and models on disk, where they are others than those in force.
    pub(super) disk: Option<Result<Read, Failure>>,
    pub(super) snapshots: Snapshots,
    /// From which it goes on, if there is one.
    pub(super) found: Option<FoundSnapshot>,
    pub(super) input: Input,
    pub(super) output: Output,
}

/// Begins: from here on nobody else writes in the stream's name.
///
/// # Errors
/// When brokers are away, records are gone, or the stream began otherwise; whoever has the stream's
/// name then goes on.
pub(super) fn start(
    config: &Config,
    how: &How<'_>,
    schema: &Arc<Schema>,
) -> Result<Started, Failure> {
    let sources = open_topics(config, how)?;
    let mut held = Held::read(config)?;
    let mut ruled = Ruled::of(config, &held, schema)?;
    let mut snapshots = Snapshots::open(config, ruled.laid.layout())?;
    let mut found = snapshots.newest(&held, how.tell)?;
    let (input, _) = look(config, (&sources, &held), &ruled.laid, found.as_ref())?;
    if let Some(resume) = &held.resume {
        check_last_records(&config.cluster, &input, resume)?;
    }
    warn_of_times(config, how.warn);
    let mut output = Output::open(config, how.crash_at)?;
    // Whoever had the name may have committed until now.
    let now = Held::read(config)?;
    if (&now.begin, &now.changes) != (&held.begin, &held.changes) {
        ruled = Ruled::of(config, &now, schema)?;
        snapshots = Snapshots::open(config, ruled.laid.layout())?;
        found = snapshots.newest(&now, how.tell)?;
    } else if found.is_none() && now.resume != held.resume {
        // Its snapshots were ahead of what was read of it.
        found = snapshots.newest(&now, how.tell)?;
    }
    held = now;
    let (input, now) = look(config, (&sources, &held), &ruled.laid, found.as_ref())?;
    if let Some(bundle) = &ruled.unwritten {
        let written = write_begin(config, &mut output, (bundle, &now), how.tell)?;
        written.into_iter().for_each(|entry| held.take(entry));
    }
    let begin = held.begin.get_or_insert(now).clone();
    let Ruled { laid, disk, .. } = ruled;
    Ok(Started { held, begin, laid, disk, snapshots, found, input, output })
}

/// The rules and models of a stream.
struct Ruled {
    laid: Laid,
    /// Those with which it begins, where the control topic does not hold them.
    unwritten: Option<Bundle>,
    disk: Option<Result<Read, Failure>>,
}

impl Ruled {
    /// Those that the control topic holds, and beside them what is on disk; of a stream that begins,
    /// or was begun by a version that kept none, those on disk.
    fn of(config: &Config, held: &Held, schema: &Arc<Schema>) -> Result<Ruled, Failure> {
        let places = Places::of(config);
        let Some(timetable) = reload::kept(held, schema)? else {
            let (bundle, timetable) = reload::read_first(&places, schema)?;
            let laid = Laid::new(timetable, Vec::new());
            return Ok(Ruled { laid, unwritten: Some(bundle), disk: None });
        };
        let in_force = timetable.last_deciders();
        let same = |bundle: &Bundle| held.bundle(&in_force).as_ref() == Some(bundle);
        let disk = match Bundle::read(&places) {
            Ok(bundle) if same(&bundle) => None,
            _ => Some(reload::read(&places, &timetable, schema)),
        };
        let differs = |disk: &Result<Read, Failure>| {
            disk.as_ref().map_or(true, |read| read.deciders() != in_force)
        };
        let disk = disk.filter(differs);
        Ok(Ruled { laid: Laid::new(timetable, Vec::new()), unwritten: None, disk })
    }
}

/// The input of a stream from where it goes on, and with what it would begin now; that they fit.
fn look(
    config: &Config,
    (sources, held): (&[(String, i32)], &Held),
    laid: &Laid,
    found: Option<&FoundSnapshot>,
) -> Result<(Input, Begin), Failure> {
    let input = Input::open(&config.cluster, &starts(sources, held.begin.as_ref(), found))?;
    let deciders = laid.timetable().deciders();
    let now = Begin::new(config, begun(&input), (laid.settings(), deciders));
    if let Some(begin) = &held.begin {
        begin.check(&now)?;
    }
    check_ends(&input, held.resume.as_ref())?;
    Ok((input, now))
}

/// Says where `max_ahead` does not protect. It is no failure: whose topics they are may not be
/// theirs to change, and a replay has the same times.
fn warn_of_times(config: &Config, tell: Tell<'_>) {
    match with_times_of_senders(&config.cluster, &config.input) {
        Some(topics) if topics.is_empty() => {}
        Some(topics) => tell(&Message::new(
            format!(
                "the records of {} have the times of their senders: a sender whose clock is ahead \
                 passes max_ahead and moves the watermark; set message.timestamp.type = \
                 LogAppendTime on the topic",
                topics.join(", ")
            ),
            format!(
                "{} 的记录使用发送方的时间：发送方时钟超前时 max_ahead 无法察觉，并会推进水位线；\
                 请在主题上设置 message.timestamp.type = LogAppendTime",
                topics.join("、")
            ),
        )),
        None => tell(&Message::new(
            format!(
                "the brokers do not tell whose times the records of {} have: max_ahead protects \
                 only where message.timestamp.type is LogAppendTime",
                config.input.join(", ")
            ),
            format!(
                "代理未告知 {} 的记录使用谁的时间：仅当 message.timestamp.type 为 LogAppendTime 时 \
                 max_ahead 才有效",
                config.input.join("、")
            ),
        )),
    }
}

/// Waits for the brokers and makes topics that are not there, but for those of the input.
fn open_topics(config: &Config, how: &How<'_>) -> Result<Vec<(String, i32)>, Failure> {
    let consumer = config.cluster.consumer()?;
    let stop = || how.interrupted.load(Ordering::Relaxed);
    wait(&config.cluster, &consumer, how.tell, &stop)?;
    let mut sources = Vec::new();
    for topic in &config.input {
        let count = partitions(&consumer, topic)?.ok_or_else(|| no_topic(topic))?;
        sources.extend((0..count as i32).map(|partition| (topic.clone(), partition)));
    }
    for topic in [&config.output, &config.dead_letter] {
        ensure_topic(&config.cluster, &consumer, (topic, 1), &[])?;
    }
    // How far the stream is and its heartbeats are never to be lost for their age. Of how far it is
    // only the last record counts, and there are several a second: a start reads what is left of them.
    let keep = [
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("cleanup.policy", "compact"),
        ("segment.bytes", CONTROL_SEGMENT_BYTES),
    ];
    let count = ensure_topic(&config.cluster, &consumer, (&config.control, 1), &keep)?;
    if count != 1 {
        let topic = &config.control;
        return Err(Failure::Usage(Message::new(
            format!("the control topic {topic} has {count} partitions, and must have one"),
            format!("控制主题 {topic} 有 {count} 个分区，只能有一个"),
        )));
    }
    Ok(sources)
}

/// Where each partition begins: where its snapshot was, or else the stream began, or else where the
/// partition does.
fn starts(
    sources: &[(String, i32)],
    begin: Option<&Begin>,
    found: Option<&FoundSnapshot>,
) -> Vec<(String, i32, Start)> {
    let start = |topic: &str, partition: i32| {
        let own = |source: &Source| source.topic == topic && source.partition == partition;
        let known = begin.map(|begin| begin.partitions.as_slice()).unwrap_or_default();
        let Some(at) = known.iter().position(own) else { return Start::Earliest };
        Start::At(found.map_or(known[at].offset, |found| found.offset(at)))
    };
    let each = sources.iter();
    each.map(|(topic, at)| (topic.clone(), *at, start(topic, *at))).collect()
}

fn begun(input: &Input) -> Vec<Source> {
    let source = |source: &Reading| Source {
        topic: source.topic.clone(),
        partition: source.partition,
        offset: source.start,
    };
    input.sources.iter().map(source).collect()
}

/// Checks that what was read before is still there to its end.
fn check_ends(input: &Input, resume: Option<&Resume>) -> Result<(), Failure> {
    let places = resume.map(|resume| resume.partitions.as_slice()).unwrap_or_default();
    let lost = input.sources.iter().zip(places).find(|(now, was)| now.end < was.next_offset);
    let Some((now, was)) = lost else { return Ok(()) };
    let (topic, partition, end, next) = (&now.topic, now.partition, now.end, was.next_offset);
    Err(Failure::Environment(Message::new(
        format!(
            "partition {partition} of {topic} ends at offset {end}, and the stream had read to \
             {next}: the topic was made anew, or the brokers lost records"
        ),
        format!(
            "主题 {topic} 的分区 {partition} 止于偏移 {end}，而流已读到 {next}：主题被重建，或代理丢失了记录"
        ),
    )))
}

/// Checks that the last record of each partition that was read is still the one that was read: a topic
/// that was made anew may be as long as the one before. Where retention has removed it nothing is known.
pub(super) fn check_last_records(
    cluster: &Cluster,
    input: &Input,
    resume: &Resume,
) -> Result<(), Failure> {
    let places = input.sources.iter().zip(&resume.partitions);
    let known = places.filter_map(|(source, place)| Some((source, place.last?)));
    let known: Vec<_> = known.filter(|(source, last)| source.first <= last.offset).collect();
    if known.is_empty() {
        return Ok(());
    }
    let start = |(source, last): &(&Reading, Last)| {
        (source.topic.clone(), source.partition, Start::At(last.offset))
    };
    let mut again = Input::open(cluster, &known.iter().map(start).collect::<Vec<_>>())?;
    for (source, (_, last)) in again.sources.iter_mut().zip(&known) {
        source.end = last.offset + 1;
    }
    again.read_to_end(|at, record| {
        let (Reading { topic, partition, .. }, last) = known[at];
        if Last::of(&record.arrived) == last {
            return Ok(());
        }
        let offset = last.offset;
        Err(Failure::Environment(Message::new(
            format!(
                "partition {partition} of {topic} has another record at offset {offset} than the \
                 stream had read there: the topic was made anew, or the brokers lost records; begin a \
                 new stream with control and output topics of its own"
            ),
            format!(
                "主题 {topic} 的分区 {partition} 在偏移 {offset} 处的记录与流先前读到的不同：主题被重建，\
                 或代理丢失了记录；请使用新的控制主题与输出主题另起一个流"
            ),
        )))
    })
}

/// Writes down with what the stream begins, its rules with it; what was written.
fn write_begin(
    config: &Config,
    output: &mut Output,
    (bundle, now): (&Bundle, &Begin),
    tell: Tell<'_>,
) -> Result<Vec<Entry>, Failure> {
    let mut entries = bundle.entries(&now.deciders, &BTreeSet::new())?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| {
        let error = error.to_string();
        Failure::Environment(Message::new(error.clone(), error))
    })?;
    let id = format!("{:032x}", u128::from_le_bytes(id));
    entries.push(Entry::Begin(Begin { id, ..now.clone() }));
    let records: Vec<Outgoing> = entries.iter().map(|entry| control(config, entry)).collect();
    while output.commit(&records, tell)? == Told::Unknown {
        let held = Held::read(config)?;
        // A version that kept no rules may have begun it.
        let whole = held.bundle(&now.deciders).is_some();
        if let Some(begin) = held.begin.filter(|_| whole) {
            begin.check(now)?;
            break;
        }
    }
    Ok(entries)
}

/// A record of the control topic.
pub(super) fn control(config: &Config, entry: &Entry) -> Outgoing {
    Outgoing {
        topic: config.control.clone(),
        key: Some(entry.key().into_bytes()),
        value: entry.value().into_bytes(),
        headers: Vec::new(),
        came_with: None,
    }
}
