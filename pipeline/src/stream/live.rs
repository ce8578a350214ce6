//! The stream as it runs: reads, decides, commits; begins where the last commit ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::config::Config;
use super::connect::Tell;
use super::control::{Counted, Entry, Held, Resume};
use super::engine::{Engine, Topics};
use super::export;
use super::http::{self, Server, Watch};
use super::input::Input;
use super::output::{Output, Told, fenced};
use super::snapshots::Snapshots;
use super::start::{Started, control, start};
use crate::dataflow::Options;
use crate::diagnostic::{Failure, Message};
use crate::run::{self, Events, ModelPaths, Request, SORT_MEMORY, Session, Settings};
use crate::source::log::{Decoder, Heartbeat};
use crate::source::order::Waiting;
use crate::stopwatch::Since;

/// Records that are written with one commit, and bytes of them, about.
const UNWRITTEN_MAX: usize = 50_000;
const UNWRITTEN_BYTES_MAX: usize = 32 << 20;
/// Events of a step of the backtest that writes the run directory, at least.
const BATCH: usize = 65_536;

/// Time between commits where somebody waits for a decision that wants one.
const URGENT: Duration = Duration::from_millis(5);

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
    let settings = session.settings();
    let rules_hash = blake3::Hash::from(session.rules_hash()).to_hex().to_string();
    let bound = config.http.as_ref().map(http::bind).transpose()?;
    let snapshots = Snapshots::open(config, session.layout());
    let told = (settings, rules_hash.as_str());
    let Started { held, begin, input, output, mut found } = start(config, how, told, &snapshots)?;
    let session = match &mut found {
        Some(found) => found.session(config, &schema)?,
        None => session,
    };
    let server = bound.map(|bound| Server::open(config, bound, &held, &input, settings));
    let server = server.transpose()?;
    let decoder = Decoder::new(schema.clone(), settings.times.max_ahead);
    let waiting = Waiting::new(schema, settings.dedup_window);
    let starts: Vec<(String, i32, u64)> = input
        .sources
        .iter()
        .map(|source| (source.topic.clone(), source.partition, source.start))
        .collect();
    let topics = Topics { output: config.output.clone(), dead_letter: config.dead_letter.clone() };
    let mut engine = Engine::new((decoder, session), &starts, &held, config.tick, topics, waiting);
    engine.watch = server.as_ref().map(|server| Watch::new(server.desk.clone(), starts.len()));
    if let Some(found) = &found {
        found.restore(&mut engine, how.tell)?;
    }
    let snapshots = snapshots.of(&begin, found.as_ref());
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
            self.check_progress()?;
            let interrupted = self.how.interrupted.load(Ordering::Relaxed);
            let over = self.how.once && self.is_over();
            let urgent = !got && since.elapsed() >= URGENT && self.engine.is_waited_for();
            let due = urgent || since.elapsed() >= interval || self.has_much_unwritten();
            if interrupted || over || due {
                let beats = if interrupted { Vec::new() } else { self.beats(got) };
                // What was read and waits is to be in the last snapshot, and in no record again.
                let always = interrupted && self.committed.is_some() && self.has_moved();
                self.commit(beats, always)?;
                self.report();
                since = Since::now();
            }
            if interrupted {
                return Ok(self.ended(true));
            }
            if over {
                self.close()?;
                return Ok(self.ended(false));
            }
            self.input.rest(got)?;
        }
    }

    /// Reads what is there, of partitions that are behind first; false where there was nothing.
    fn read(&mut self) -> Result<bool, Failure> {
        let mut order: Vec<usize> = (0..self.input.sources.len()).collect();
        order.sort_by_key(|at| self.engine.watermark(*at));
        let mut got = false;
        for at in order {
            let behind = self.lowest();
            if self.is_full() && self.engine.watermark(at) > behind {
                // What is left in its queue also keeps the client from fetching more.
                continue;
            }
            got |= self.read_of(at)?;
        }
        Ok(got)
    }

    /// Reads what is there of one partition.
    fn read_of(&mut self, at: usize) -> Result<bool, Failure> {
        let bound = self.engine.bound(at);
        let before = bound.or(self.how.once.then_some(self.input.sources[at].end));
        let was = self.input.sources[at].position;
        let records = self.input.take(at, before)?;
        let source = &mut self.input.sources[at];
        if let Some(bound) = bound.filter(|_| source.at_end) {
            // Between its last record and there nothing is left to read.
            source.position = source.position.max(bound);
        }
        let (position, got) = (source.position, !records.is_empty());
        if position != was && self.engine.take(at, records, position) > 0 {
            self.input.sources[at].quiet = Since::now();
        }
        Ok(got)
    }

    /// Whether so much waits that only what is behind is read.
    fn is_full(&self) -> bool {
        self.engine.waiting_bytes() > self.config.waiting_bytes / 2
    }

    fn has_much_unwritten(&self) -> bool {
        let (records, bytes) = self.engine.unwritten();
        records > UNWRITTEN_MAX || bytes > UNWRITTEN_BYTES_MAX
    }

    /// Checks that the stream can go on: what waits has its limit, and a replay comes to its end.
    fn check_progress(&self) -> Result<(), Failure> {
        let (bytes, limit) = (self.engine.waiting_bytes(), self.config.waiting_bytes);
        if bytes > limit {
            let mib = |bytes: usize| bytes >> 20;
            return Err(Failure::Environment(Message::new(
                format!(
                    "the events that wait for their turn take up {} MiB: more of one time, or of \
                     one allowed_lateness, than waiting_mib = {} lets wait",
                    mib(bytes),
                    mib(limit)
                ),
                format!(
                    "等待处理的事件占用 {} MiB：同一时刻或同一 allowed_lateness 内的事件超过了 \
                     waiting_mib = {} 所允许的数量",
                    mib(bytes),
                    mib(limit)
                ),
            )));
        }
        let read = |(at, source): (usize, &super::input::Reading)| {
            self.engine.bound(at).is_none_or(|bound| source.has_read_to(bound))
        };
        if !self.engine.is_live() && self.input.sources.iter().enumerate().all(read) {
            return Err(replay_falls_short());
        }
        Ok(())
    }

    fn lowest(&self) -> i64 {
        let all = 0..self.input.sources.len();
        all.map(|at| self.engine.watermark(at)).min().unwrap_or(i64::MIN)
    }

    /// Whether all that there was at the beginning has been read.
    fn is_over(&self) -> bool {
        self.input.sources.iter().all(|source| source.has_read_to(source.end))
    }

    /// Heartbeats for partitions that have been at their end for long enough. While the past is
    /// replayed there are none but those of the past.
    fn beats(&mut self, got: bool) -> Vec<Heartbeat> {
        if !self.engine.is_live() {
            return Vec::new();
        }
        let ms = |ms: i64| Duration::from_millis(ms.max(0) as u64);
        let idle = ms(self.settings.idle);
        if !got && !self.how.once {
            // What may still come within the allowed lateness is waited for.
            let idle = idle.max(ms(self.settings.times.allowed_lateness));
            let input = &mut self.input;
            let beats = self.engine.settling(|at| input.is_idle(at, idle));
            if !beats.is_empty() {
                return beats;
            }
        }
        let (input, once) = (&mut self.input, self.how.once);
        let beats = self.engine.heartbeats(|at| {
            // Nothing more comes from it in this run.
            (once && input.sources[at].has_read_to(input.sources[at].end))
                || input.is_idle(at, idle)
        });
        input.ask_ends();
        beats
    }

    /// Commits what is decided, with where the stream is and heartbeats, and only then lets those
    /// count.
    fn commit(&mut self, beats: Vec<Heartbeat>, always: bool) -> Result<(), Failure> {
        if !self.engine.is_live() {
            // While the past is replayed there is nothing new to say.
            return Ok(());
        }
        self.engine.decide_all()?;
        let resume = Resume { serial: self.serial() + 1, ..self.engine.resume() };
        let moved = self.committed.as_ref().is_none_or(|was| was.frontier != resume.frontier);
        let mut records = self.engine.outgoing_records();
        if records.is_empty() && beats.is_empty() && !moved && !always {
            return Ok(());
        }
        let since = Since::now();
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
        if let Some(watch) = &mut self.engine.watch {
            watch.committed(&resume, since.elapsed());
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
            // What was read since would be in the state, and be read again.
            assert!(self.engine.is_at(resume), "a snapshot is of what is committed");
            self.snapshots.write(resume, &mut self.engine, self.how.tell)?;
        }
        if at_end {
            self.snapshots.wait(self.how.tell);
        }
        Ok(())
    }

    /// Says to whoever asks how far the stream is.
    fn report(&mut self) {
        if self.engine.watch.is_none() {
            return;
        }
        let (live, input) = (self.engine.is_live(), &self.input);
        let watermarks: Vec<i64> =
            (0..input.sources.len()).map(|at| self.engine.watermark(at)).collect();
        let waiting = (self.engine.waiting(), self.engine.waiting_bytes());
        // What was committed has been told; a repeat that somebody waits for commits nothing.
        let told = live && !self.engine.is_waited_for();
        let (counts, resume) = (self.engine.counts(), (!told).then(|| self.engine.resume()));
        let Some(watch) = &mut self.engine.watch else { return };
        if let Some(resume) = resume {
            watch.passed(&resume);
        }
        if live {
            watch.desk.set_live();
            watch.desk.metrics.counts(counts);
        }
        let mut most = Some(0);
        for (at, watermark) in watermarks.into_iter().enumerate() {
            let (source, lag) = (&input.sources[at], input.lag(at));
            let place = (source.topic.as_str(), source.partition);
            watch.desk.metrics.partition(place, lag, watermark);
            most = most.zip(lag).map(|(most, lag)| most.max(lag));
        }
        watch.desk.metrics.state(waiting, live, most);
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
            return Err(replay_falls_short());
        }
        let closing = self.engine.closing();
        if !closing.is_empty() {
            self.commit(closing, false)?;
            self.engine.advance()?;
        }
        self.engine.decide_all()?;
        if self.has_moved() { self.commit(Vec::new(), true) } else { Ok(()) }
    }

    /// Whether the stream is further than its last commit says, if only by what was read.
    fn has_moved(&self) -> bool {
        let resume = Resume { serial: self.serial(), ..self.engine.resume() };
        self.committed.as_ref() != Some(&resume)
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

fn replay_falls_short() -> Failure {
    Failure::Environment(Message::new(
        "the input ends before what was committed is decided again: records are gone",
        "输入在重放完已提交的决策之前结束：有记录丢失",
    ))
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
