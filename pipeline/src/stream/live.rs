//! The stream as it runs: reads, decides, commits; begins where the last commit ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::config::Config;
use super::connect::Tell;
use super::control::{Counted, Entry, Held, Resume};
use super::days::{self, Days};
use super::ends::UNHEARD;
use super::engine::{Engine, Topics};
use super::export;
use super::http::{self, Server, Watch};
use super::input::Input;
use super::output::{Output, Told, fenced};
use super::reader::Reader;
use super::reload::Read;
use super::rules::Rules;
use super::snapshots::{FoundSnapshot, Snapshots};
use super::start::{Started, control, start};
use super::told::Told as Rulings;
use crate::dataflow::Options;
use crate::diagnostic::{Failure, Message};
use crate::event::Schema;
use crate::peers::{Peers, Place, Term};
use crate::run::{
    self, Events, Followed, Laid, ModelPaths, ReadNews, Request, SORT_MEMORY, Session, Settings,
    follow_session,
};
use crate::snapshot::Saved;
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
/// Without a commit, whether another instance goes on is looked at so often.
const CONFIRMED: Duration = Duration::from_secs(10);
/// How far it is, a stream says at least so often.
const REPORTED: Duration = Duration::from_secs(1);

/// How a stream is run.
pub struct How<'h> {
    /// Which of several processes it is; none where it is alone. What is not number 0 [`follow`]s.
    pub place: Option<Place>,
    /// Whether it ends where the topics end when it begins.
    pub once: bool,
    /// Set when it is to end at the next tick.
    pub interrupted: Arc<AtomicBool>,
    /// Set when the rules are to be read again.
    pub reload: Arc<AtomicBool>,
    /// For tests: the transaction in which the program dies, after it is flushed.
    pub crash_at: Option<u64>,
    /// Hears what whoever runs it should know.
    pub tell: Tell<'h>,
    /// Hears what they should do something about.
    pub warn: Tell<'h>,
    /// Hears how far it is, again and again.
    pub progress: &'h dyn Fn(&Progress),
}

/// How far a stream is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What became of all records since the stream began; while the past is replayed, of those so far.
    pub counts: Counted,
    /// Whether the past has been replayed.
    pub live: bool,
    /// Records that no partition has more of that were not read; none where brokers do not say.
    pub lag: Option<u64>,
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
    /// Whether that was another process of the cluster, which had all of them end.
    pub by_other: bool,
}

/// Runs a stream until it is interrupted; or, `once`, until it has read what there is.
///
/// # Errors
/// Configuration, rules and models of a stream that begins (exit 2); brokers away, records gone,
/// another instance (exit 3); a replay that does not give what was committed (exit 1).
pub fn stream(config: &Config, how: &How<'_>) -> Result<Ended, Failure> {
    let schema = Arc::new(config.schema());
    let bound = config.http.as_ref().map(http::bind).transpose()?;
    let peers = match &how.place {
        Some(place) => Some(meet(config, how, place.clone(), &schema)?),
        None => None,
    };
    let Started { held, begin, laid, disk, snapshots, input, output, mut found } =
        start(config, how, &schema)?;
    let settings = laid.settings();
    let state = found.as_mut().map(FoundSnapshot::take);
    let session = match peers {
        Some(mut peers) => {
            peers.say(&Rulings::of(&held, None)?.to_bytes());
            Session::lead(laid, &schema, state, peers)?
        }
        None => Session::of(laid, &schema, config.workers, state)?,
    };
    let server = bound.map(|bound| Server::open(config, bound, &held, &input, settings));
    let server = server.transpose()?;
    let decoder = Decoder::new(schema.clone(), settings.times.max_ahead);
    let waiting = Waiting::new(schema.clone(), settings.dedup_window);
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
    if let Some(settings) = &config.days {
        let facts = days::Facts::of(config, &begin, engine.session().timetable().policy());
        let begun = found.as_ref().map_or_else(Counted::default, FoundSnapshot::counts);
        let days = Days::open(settings, facts, (begun, held.resume.as_ref()), how.tell)?;
        engine.set_days(Some(days));
    }
    let snapshots = snapshots.of(&begin, found.as_ref(), how.tell);
    let refused = matches!(disk, Some(Err(_)));
    let rules = Rules::new(config, how, (&held, &begin), &schema, disk);
    let committed = held.resume.clone();
    let written = 0;
    let mut stream = Stream {
        config,
        how,
        input,
        engine,
        output,
        committed,
        settings,
        written,
        snapshots,
        rules,
        heard: None,
        confirmed: Since::now(),
    };
    stream.report_rules();
    if refused {
        stream.count_reload("refused");
    }
    if let Some(resume) = &held.resume {
        let decided = resume.counts.decided;
        (how.tell)(&Message::new(
            format!("replaying the input to where {decided} decisions were committed"),
            format!("正在重放输入，直至已提交的 {decided} 条决策"),
        ));
    }
    let ended = stream.run()?;
    stream.snapshot(true)?;
    stream.engine.end_days()?;
    stream.engine.finish()?;
    if how.once
        && !ended.interrupted
        && let Some(out) = &config.out
    {
        write_run(config, out, &ended, how.tell)?;
    }
    Ok(ended)
}

/// Connects with the other processes, which must read events as this one does.
fn meet(
    config: &Config,
    how: &How<'_>,
    place: Place,
    schema: &Arc<Schema>,
) -> Result<Peers, Failure> {
    let stop = || how.interrupted.load(Ordering::Relaxed);
    let mut peers = place.meet(config.workers, &stop)?;
    let key = schema.pseudonyms().map_or("none", |held| held.fingerprint());
    let columns = format!("{:?}", config.extras);
    let terms = [
        Term {
            what: Message::new("columns of [extra]", " [extra] 的列"),
            hash: blake3::hash(columns.as_bytes()),
        },
        Term {
            what: Message::new("key of pseudonymise", " pseudonymise 密钥"),
            hash: blake3::hash(key.as_bytes()),
        },
    ];
    peers.agree(&terms, &stop)?;
    Ok(peers)
}

/// What the processes of a stream do that are not number 0: their part of what that one reads, by the
/// rules of which it tells them. It ends them when it ends; one that is interrupted ends it.
///
/// # Errors
/// Configuration (exit 2); another process that was lost (exit 3).
pub fn follow(config: &Config, how: &How<'_>) -> Result<Followed, Failure> {
    let Some(place) = &how.place else {
        unreachable!("who follows is one of several processes");
    };
    let schema = Arc::new(config.schema());
    let stop = || how.interrupted.load(Ordering::Relaxed);
    let mut events = 0;
    loop {
        let mut peers = meet(config, how, place.clone(), &schema)?;
        let laid = Rulings::from_bytes(&peers.hear(&stop)?)?.laid(&schema)?;
        let own = schema.clone();
        let read: ReadNews =
            Box::new(move |held, news| Rulings::from_bytes(news)?.change(held, &own));
        let interrupted = how.interrupted.clone();
        let (followed, again) = follow_session(laid, &schema, peers, (read, interrupted))?;
        events += followed.events;
        if !again {
            return Ok(Followed { events, ..followed });
        }
    }
}

pub(super) struct Stream<'s> {
    pub(super) config: &'s Config,
    pub(super) how: &'s How<'s>,
    pub(super) input: Input,
    pub(super) engine: Engine,
    pub(super) output: Output,
    pub(super) committed: Option<Resume>,
    pub(super) settings: Settings,
    pub(super) written: u64,
    pub(super) snapshots: Snapshots,
    pub(super) rules: Rules,
    /// Whether all partitions' brokers were heard when it was last looked.
    heard: Option<bool>,
    /// When it was last known that nobody else goes on.
    confirmed: Since,
}

impl Stream<'_> {
    /// A session in the place of the one that runs. Where there are several processes they part, and
    /// meet anew for it.
    pub(super) fn session_of(
        &mut self,
        laid: Laid,
        state: Option<Saved>,
        to_come: Option<&Read>,
    ) -> Result<Session, Failure> {
        let (config, schema) = (self.config, self.rules.schema.clone());
        let Some(place) = &self.how.place else {
            return Session::of(laid, &schema, config.workers, state);
        };
        let told = Rulings::of(&Held::read(config)?, to_come)?.to_bytes();
        self.engine.part()?;
        let mut peers = meet(config, self.how, place.clone(), &schema)?;
        peers.say(&told);
        Session::lead(laid, &schema, state, peers)
    }

    fn run(&mut self) -> Result<Ended, Failure> {
        let interval = Duration::from_millis(self.config.commit_interval as u64);
        let mut since = Since::now();
        let mut reported = Since::now();
        loop {
            let got = self.read()?;
            self.engine.advance()?;
            self.check_progress()?;
            self.reload()?;
            let told = self.how.interrupted.load(Ordering::Relaxed);
            let added = self.input.added();
            let interrupted = told || added.is_some() || self.engine.is_end_asked();
            let over = self.how.once && self.is_over();
            let urgent = !got && since.elapsed() >= URGENT && self.engine.is_waited_for();
            let due = urgent || since.elapsed() >= interval || self.has_much_unwritten();
            self.confirm()?;
            if interrupted || over || due {
                let beats = if interrupted { Vec::new() } else { self.beats(got) };
                // What was read and waits is to be in the last snapshot, and in no record again.
                let always = interrupted && self.committed.is_some() && self.has_moved();
                self.commit(beats, always)?;
                since = Since::now();
            }
            // Commits may be further apart than whoever asks has patience; and the last figures stay.
            if interrupted || over || due || reported.elapsed() >= REPORTED {
                self.report();
                reported = Since::now();
            }
            if let Some(added) = added {
                self.snapshot(true)?;
                self.engine.end_days()?;
                return Err(added);
            }
            if interrupted {
                return Ok(Ended { by_other: !told, ..self.ended(true) });
            }
            if over {
                self.close()?;
                return Ok(self.ended(false));
            }
            self.input.rest(got)?;
        }
    }

    /// Reads what is there; false where there was nothing.
    fn read(&mut self) -> Result<bool, Failure> {
        self.reader().read(&mut self.input, &mut self.engine)
    }

    fn reader(&self) -> Reader {
        Reader { once: self.how.once, ..Reader::of(self.config) }
    }

    fn has_much_unwritten(&self) -> bool {
        let (records, bytes) = self.engine.unwritten();
        records > UNWRITTEN_MAX || bytes > UNWRITTEN_BYTES_MAX
    }

    /// Checks that the stream can go on: what waits has its limit, and a replay comes to its end.
    fn check_progress(&self) -> Result<(), Failure> {
        self.reader().check_waiting(&self.engine)?;
        let read = |(at, source): (usize, &super::input::Reading)| {
            self.engine.bound(at).is_none_or(|bound| source.has_read_to(bound))
        };
        if !self.engine.is_live() && self.input.sources.iter().enumerate().all(read) {
            return Err(replay_falls_short());
        }
        Ok(())
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
        let mut idle = ms(self.settings.idle);
        if let Some(http) = self.config.http.as_ref().filter(|_| self.engine.is_waited_for()) {
            idle = idle.min(ms(http.idle));
        }
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

    /// Has a stream that has long had nothing to commit see whether another has taken its name: it
    /// commits once more where it is.
    fn confirm(&mut self) -> Result<(), Failure> {
        let Some(resume) = &self.committed else { return Ok(()) };
        // While brokers are away there is nothing to learn.
        let is_due = self.confirmed.elapsed() >= CONFIRMED && self.heard == Some(true);
        if !is_due || !self.engine.is_live() {
            return Ok(());
        }
        let record = control(self.config, &Entry::Resume(resume.clone()));
        if self.output.commit(&[record], self.how.tell)? == Told::Unknown
            && Held::read(self.config)?.resume != self.committed
        {
            return Err(fenced(&self.config.name, "it committed what this one did not"));
        }
        self.confirmed = Since::now();
        Ok(())
    }

    /// Commits what is decided, with where the stream is and heartbeats, and only then lets those
    /// count.
    fn commit(&mut self, beats: Vec<Heartbeat>, always: bool) -> Result<(), Failure> {
        self.commit_with(beats, Vec::new(), always)
    }

    /// The same with further records of the control topic.
    pub(super) fn commit_with(
        &mut self,
        beats: Vec<Heartbeat>,
        entries: Vec<Entry>,
        always: bool,
    ) -> Result<(), Failure> {
        if !self.engine.is_live() {
            // While the past is replayed there is nothing new to say.
            return Ok(());
        }
        self.engine.decide_all()?;
        let resume = Resume { serial: self.serial() + 1, ..self.engine.resume() };
        let moved = self.committed.as_ref().is_none_or(|was| was.frontier != resume.frontier);
        let mut records = self.engine.outgoing_records();
        let nothing = records.is_empty() && beats.is_empty() && entries.is_empty();
        if nothing && !moved && !always {
            return self.keep();
        }
        let since = Since::now();
        self.written += records.len() as u64;
        records.extend(beats.iter().map(|beat| control(self.config, &Entry::Heartbeat(*beat))));
        records.extend(entries.iter().map(|entry| control(self.config, entry)));
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
        self.confirmed = Since::now();
        self.rules.heartbeats.extend(&beats);
        beats.into_iter().for_each(|beat| self.engine.beat(beat));
        self.keep()
    }

    /// Brings to disk what is committed, as far as it is time to: also where the input rests.
    fn keep(&mut self) -> Result<(), Failure> {
        if !self.committed.as_ref().is_some_and(|resume| self.engine.is_at(resume)) {
            return Ok(());
        }
        self.engine.write_days(false)?;
        self.snapshot(false)
    }

    /// Saves the state, which is that of the last commit, if it is time to; or, at the end, if there
    /// is anything new, and waits until it is on disk.
    fn snapshot(&mut self, at_end: bool) -> Result<(), Failure> {
        let Some(resume) = self.committed.as_ref().filter(|_| self.engine.is_live()) else {
            return Ok(());
        };
        let tell = self.how.tell;
        if self.snapshots.is_due(resume, at_end, tell) {
            // What was read since would be in the state, and be read again.
            assert!(self.engine.is_at(resume), "a snapshot is of what is committed");
            self.snapshots.write(resume, &mut self.engine, at_end, tell)?;
        }
        if at_end {
            self.snapshots.finish(tell);
        }
        Ok(())
    }

    /// Says to whoever asks how far the stream is, and when brokers fall silent.
    fn report(&mut self) {
        let lags: Vec<Option<u64>> =
            (0..self.input.sources.len()).map(|at| self.input.lag(at)).collect();
        let lag = lags.iter().copied().try_fold(0, |most, lag| lag.map(|lag| most.max(lag)));
        let (counts, live) = (self.engine.counts(), self.engine.is_live());
        (self.how.progress)(&Progress { counts, live, lag });
        // Before the first word of a client nothing is known.
        if lag.is_some() || self.heard == Some(true) {
            let how = self.how;
            match self.heard {
                Some(true) if lag.is_none() => (how.warn)(&of_brokers(false)),
                Some(false) if lag.is_some() => (how.tell)(&of_brokers(true)),
                _ => {}
            }
            self.heard = Some(lag.is_some());
        }
        if self.engine.watch.is_none() {
            return;
        }
        let (input, reader) = (&self.input, self.reader());
        let paused: Vec<bool> =
            (0..input.sources.len()).map(|at| reader.is_ahead(at, input, &self.engine)).collect();
        let watermarks: Vec<i64> =
            (0..input.sources.len()).map(|at| self.engine.watermark(at)).collect();
        let waiting = (self.engine.waiting(), self.engine.waiting_bytes());
        // What was committed has been told; a repeat that somebody waits for commits nothing.
        let told = live && !self.engine.is_waited_for();
        let resume = (!told).then(|| self.engine.resume());
        let Some(watch) = &mut self.engine.watch else { return };
        if let Some(resume) = resume {
            watch.passed(&resume);
        }
        if live {
            watch.desk.set_live();
            watch.desk.metrics.counts(counts);
        }
        for (at, watermark) in watermarks.into_iter().enumerate() {
            let source = &input.sources[at];
            let place = (source.topic.as_str(), source.partition);
            watch.desk.metrics.partition(place, lags[at], watermark, paused[at]);
        }
        watch.desk.metrics.state(waiting, live, lag);
        if let Some(figures) = self.snapshots.figures() {
            watch.desk.metrics.snapshots(&figures);
        }
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
            by_other: false,
        }
    }
}

/// That brokers have fallen silent, or are heard again.
fn of_brokers(heard: bool) -> Message {
    if heard {
        return Message::new("the brokers are heard again", "代理已恢复应答");
    }
    let seconds = UNHEARD.as_secs();
    Message::new(
        format!(
            "nothing was heard of a partition's broker for {seconds} s: nothing of it is read until it \
             is back"
        ),
        format!("某分区的代理已有 {seconds} 秒没有应答：恢复之前不会读取其数据"),
    )
}

pub(super) fn replay_falls_short() -> Failure {
    Failure::Environment(Message::new(
        "the input ends before what was committed is decided again: records are gone",
        "输入在重放完已提交的决策之前结束：有记录丢失",
    ))
}

/// Writes the run directory: the input log as the topics have it, and the backtest of it, whose
/// decisions must be those of the stream.
fn write_run(
    config: &Config,
    out: &std::path::Path,
    ended: &Ended,
    tell: Tell<'_>,
) -> Result<(), Failure> {
    let log = out.join("input-log");
    let exported = export::export(config, export::Span::default(), &log, tell)?;
    let request = Request {
        events: Events::Log { path: log, lateness: None },
        pseudonyms: config.pseudonyms.clone(),
        labels: None,
        rules: exported.rules,
        models: ModelPaths { champion: exported.model, challenger: exported.challenger },
        out: out.to_owned(),
        options: Options { workers: config.workers, tick: config.tick, batch: BATCH, sorted: true },
        warmup: 0,
        rejects_max: None,
        sort_memory: SORT_MEMORY,
        place: None,
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
