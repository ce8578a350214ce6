//! The stream as it runs: reads, decides, commits; begins where the last commit ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::config::Config;
use super::connect::{Tell, ensure_topic, partitions, wait};
use super::control::{Begin, Counted, Entry, Held, Resume, Source};
use super::engine::{Engine, Topics};
use super::export;
use super::input::{Input, Start, no_topic};
use super::output::{Outgoing, Output, Told, fenced};
use super::snapshots::{FoundSnapshot, Snapshots};
use crate::dataflow::Options;
use crate::diagnostic::{Failure, Message};
use crate::run::{self, Events, ModelPaths, Request, SORT_MEMORY, Session, Settings};
use crate::source::log::{Decoder, Heartbeat};
use crate::source::order::Waiting;
use crate::stopwatch::Since;

/// Events that may wait for partitions that are behind: those ahead are not read meanwhile. About
/// 200 bytes an event.
const WAITING_MAX: usize = 500_000;
/// Records that are written with one commit, about.
const UNWRITTEN_MAX: usize = 50_000;
/// Events of a step of the backtest that writes the run directory, at least.
const BATCH: usize = 65_536;

/// How a stream is run.
pub struct How<'h> {
    /// Whether it ends where the topics end when it begins.
    pub once: bool,
    /// Set when it is to end at the next tick.
    pub interrupted: Arc<AtomicBool>,
    /// For tests: the transaction in which the program dies, after it is flushed.
    pub crash_at: Option<u64>,
    /// Hears what whoever runs it should know.
    pub tell: Tell<'h>,
}

/// What came of a stream.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What became of all records since the stream began, also before this incarnation.
    pub counts: Counted,
    /// The digest of all its decisions.
    pub digest: blake3::Hash,
    /// Decisions and dead letters that this incarnation wrote.
    pub written: u64,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

/// Runs a stream until it is interrupted; or, `once`, until it has read what there is.
///
/// # Errors
/// Configuration, rules (exit 2); brokers away, records gone, another instance (exit 3); a replay
/// that does not give what was committed (exit 1).
pub fn stream(config: &Config, how: &How<'_>) -> Result<Ended, Failure> {
    let schema = Arc::new(config.schema());
    let session = Session::with_workers(config.rules.as_deref(), &schema, config.workers)?;
    let sources = open_topics(config, how.tell)?;
    // First of all: from here on nobody else writes in the stream's name.
    let mut output = Output::open(config, how.crash_at)?;
    let held = Held::read(config)?;
    let settings = session.settings();
    let rules_hash = blake3::Hash::from(session.rules_hash()).to_hex().to_string();
    let mut snapshots = Snapshots::open(config);
    let mut found = snapshots.newest(&held, session.layout(), how.tell)?;
    let session = match &mut found {
        Some(found) => found.session(config, &schema)?,
        None => session,
    };
    let starts = starts(&sources, held.begin.as_ref(), found.as_ref());
    let input = Input::open(&config.cluster, &starts)?;
    let now = Begin::new(config, begun(&input), (settings, &rules_hash));
    match &held.begin {
        Some(begin) => begin.check(&now)?,
        None => begin(config, &mut output, &now, how.tell)?,
    }
    check_ends(&input, held.resume.as_ref())?;
    let decoder = Decoder::new(schema.clone(), settings.times.max_ahead);
    let waiting = Waiting::new(schema, settings.dedup_window);
    let starts: Vec<(String, i32, u64)> = input
        .sources
        .iter()
        .map(|source| (source.topic.clone(), source.partition, source.start))
        .collect();
    let topics = Topics { output: config.output.clone(), dead_letter: config.dead_letter.clone() };
    let mut engine = Engine::new((decoder, session), &starts, &held, config.tick, topics, waiting);
    if let Some(found) = &found {
        found.restore(&mut engine)?;
    }
    let snapshots = snapshots.of(held.begin.as_ref().unwrap_or(&now), found.as_ref());
    let committed = held.resume.clone();
    let mut stream =
        Stream { config, how, input, engine, output, committed, settings, written: 0, snapshots };
    if let Some(resume) = &held.resume {
        let decided = resume.counts.decided;
        (how.tell)(&Message::new(
            format!("replaying the input to where {decided} decisions were committed"),
            format!("正在重放输入，直至已提交的 {decided} 条决策"),
        ));
    }
    let ended = stream.run()?;
    stream.snapshot(true)?;
    if how.once
        && !ended.interrupted
        && let Some(out) = &config.out
    {
        write_run(config, out, &ended)?;
    }
    Ok(ended)
}

/// Waits for the brokers and makes topics that are not there, but for those of the input.
fn open_topics(config: &Config, tell: Tell<'_>) -> Result<Vec<(String, i32)>, Failure> {
    let consumer = config.cluster.consumer()?;
    wait(&config.cluster, &consumer, tell)?;
    let mut sources = Vec::new();
    for topic in &config.input {
        let count = partitions(&consumer, topic)?.ok_or_else(|| no_topic(topic))?;
        sources.extend((0..count as i32).map(|partition| (topic.clone(), partition)));
    }
    for topic in [&config.output, &config.dead_letter] {
        ensure_topic(&config.cluster, &consumer, (topic, 1), &[])?;
    }
    // How far the stream is and its heartbeats are never to be lost for their age.
    let keep = [("retention.ms", "-1"), ("retention.bytes", "-1")];
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
    let source = |source: &super::input::Reading| Source {
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

/// Writes down with what the stream begins.
fn begin(config: &Config, output: &mut Output, now: &Begin, tell: Tell<'_>) -> Result<(), Failure> {
    let record = control(config, &Entry::Begin(now.clone()));
    while output.commit(std::slice::from_ref(&record), tell)? == Told::Unknown {
        if let Some(begin) = Held::read(config)?.begin {
            return begin.check(now);
        }
    }
    Ok(())
}

/// A record of the control topic.
fn control(config: &Config, entry: &Entry) -> Outgoing {
    Outgoing {
        topic: config.control.clone(),
        key: Some(entry.key().into_bytes()),
        value: entry.value().into_bytes(),
        headers: Vec::new(),
        came_with: None,
    }
}

struct Stream<'s> {
    config: &'s Config,
    how: &'s How<'s>,
    input: Input,
    engine: Engine,
    output: Output,
    committed: Option<Resume>,
    settings: Settings,
    written: u64,
    snapshots: Snapshots,
}

impl Stream<'_> {
    fn run(&mut self) -> Result<Ended, Failure> {
        let interval = Duration::from_millis(self.config.commit_interval as u64);
        let mut since = Since::now();
        loop {
            let got = self.read()?;
            self.engine.advance()?;
            let interrupted = self.how.interrupted.load(Ordering::Relaxed);
            let over = self.how.once && self.is_over();
            if interrupted
                || over
                || since.elapsed() >= interval
                || self.engine.unwritten() > UNWRITTEN_MAX
            {
                let beats = if interrupted { Vec::new() } else { self.idle() };
                self.commit(beats, false)?;
                since = Since::now();
            }
            if interrupted {
                return Ok(self.ended(true));
            }
            if over {
                self.close()?;
                return Ok(self.ended(false));
            }
            if !got {
                self.input.rest()?;
            }
        }
    }

    /// Reads what is there, of partitions that are behind first; false where there was nothing.
    fn read(&mut self) -> Result<bool, Failure> {
        let mut order: Vec<usize> = (0..self.input.sources.len()).collect();
        order.sort_by_key(|at| self.engine.watermark(*at));
        let mut got = false;
        for at in order {
            let behind = self.lowest();
            if self.engine.waiting() > WAITING_MAX && self.engine.watermark(at) > behind {
                // A partition that is not read is not idle.
                self.input.sources[at].quiet = Since::now();
                continue;
            }
            let before = self.how.once.then_some(self.input.sources[at].end);
            let records = self.input.take(at, before)?;
            let next_offset = self.input.sources[at].position;
            if !records.is_empty() {
                got = true;
                self.engine.take(at, records, next_offset);
            }
        }
        Ok(got)
    }

    fn lowest(&self) -> i64 {
        let all = 0..self.input.sources.len();
        all.map(|at| self.engine.watermark(at)).min().unwrap_or(i64::MIN)
    }

    /// Whether all that there was at the beginning has been read.
    fn is_over(&self) -> bool {
        self.input.sources.iter().all(|source| source.at_end || source.position >= source.end)
    }

    /// Heartbeats for partitions that have been at their end for long enough. While the past is
    /// replayed there are none but those of the past.
    fn idle(&self) -> Vec<Heartbeat> {
        if !self.engine.is_live() {
            return Vec::new();
        }
        let idle = Duration::from_millis(self.settings.idle.max(0) as u64);
        self.engine.heartbeats(|at| {
            let source = &self.input.sources[at];
            if self.how.once {
                // Nothing more comes from it in this run.
                return source.at_end || source.position >= source.end;
            }
            source.at_end && source.quiet.elapsed() >= idle
        })
    }

    /// Commits what is decided, with where the stream is and heartbeats, and only then lets those
    /// count.
    fn commit(&mut self, beats: Vec<Heartbeat>, always: bool) -> Result<(), Failure> {
        self.engine.decide_all()?;
        let resume = Resume { serial: self.serial() + 1, ..self.engine.resume() };
        // While the past is replayed there is nothing new to say.
        let moved = self.engine.is_live()
            && self.committed.as_ref().is_none_or(|was| was.frontier != resume.frontier);
        let mut records = self.engine.outgoing_records();
        if records.is_empty() && beats.is_empty() && !moved && !always {
            return Ok(());
        }
        self.written += records.len() as u64;
        records.extend(beats.iter().map(|beat| control(self.config, &Entry::Heartbeat(*beat))));
        records.push(control(self.config, &Entry::Resume(resume.clone())));
        while self.output.commit(&records, self.how.tell)? == Told::Unknown {
            let found = Held::read(self.config)?.resume;
            if found.as_ref() == Some(&resume) {
                break;
            }
            if found != self.committed {
                return Err(fenced(&self.config.name, "it committed what this one did not"));
            }
        }
        self.committed = Some(resume);
        beats.into_iter().for_each(|beat| self.engine.beat(beat));
        self.snapshot(false)
    }

    /// Saves the state, which is that of the last commit, if it is time to; or, at the end, if there
    /// is anything new, and waits until it is on disk.
    fn snapshot(&mut self, at_end: bool) -> Result<(), Failure> {
        let Some(resume) = self.committed.as_ref().filter(|_| self.engine.is_live()) else {
            return Ok(());
        };
        if self.snapshots.is_due(resume, at_end) {
            self.snapshots.write(resume, &mut self.engine, self.how.tell)?;
        }
        if at_end {
            self.snapshots.wait(self.how.tell);
        }
        Ok(())
    }

    /// The number of the last commit.
    fn serial(&self) -> u64 {
        self.committed.as_ref().map_or(0, |resume| resume.serial)
    }

    /// Decides what still waits: all partitions get a heartbeat of after it.
    fn close(&mut self) -> Result<(), Failure> {
        // What idle partitions were moved on to may have settled it.
        self.engine.advance()?;
        if !self.engine.is_live() {
            return Err(Failure::Environment(Message::new(
                "the input ends before what was committed is decided again: records are gone",
                "输入在重放完已提交的决策之前结束：有记录丢失",
            )));
        }
        let closing = self.engine.closing();
        if !closing.is_empty() {
            self.commit(closing, false)?;
            self.engine.advance()?;
        }
        self.engine.decide_all()?;
        let resume = Resume { serial: self.serial(), ..self.engine.resume() };
        if self.committed.as_ref() == Some(&resume) {
            return Ok(());
        }
        self.commit(Vec::new(), true)
    }

    fn ended(&self, interrupted: bool) -> Ended {
        Ended {
            counts: self.engine.counts(),
            digest: self.engine.digest(),
            written: self.written,
            interrupted,
        }
    }
}

/// Writes the run directory: the input log as the topics have it, and the backtest of it, whose
/// decisions must be those of the stream.
fn write_run(config: &Config, out: &std::path::Path, ended: &Ended) -> Result<(), Failure> {
    let log = out.join("input-log");
    export::export(config, &log)?;
    let request = Request {
        events: Events::Log { path: log, lateness: None },
        labels: None,
        rules: config.rules.clone(),
        models: ModelPaths::default(),
        out: out.to_owned(),
        options: Options { workers: config.workers, tick: config.tick, batch: BATCH, sorted: true },
        warmup: 0,
        rejects_max: None,
        sort_memory: SORT_MEMORY,
    };
    let outcome = run::run(&request, &(), Arc::default())?;
    let (streamed, replayed) = (ended.digest.to_hex(), outcome.facts.decisions_digest);
    if streamed.as_str() == replayed {
        return Ok(());
    }
    Err(Failure::No(Message::new(
        format!("the stream decided {streamed}, and a backtest of its input log {replayed}"),
        format!("流的决策摘要为 {streamed}，而回测其输入日志得到 {replayed}"),
    )))
}
