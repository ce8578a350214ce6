//! A session that is built beside the one that decides, for rules which need what that one does not
//! compute.
//!
//! It is given the stream's input from its beginning, computes for all rules so far and for those to
//! come, and decides in silence what was decided, under the rules that decided it then; its digest is
//! compared with what is committed. What is committed in the meantime it decides as well, round after
//! round, until a round is short: then the stream stands still for the last of it, and goes on with
//! this session in the place of the other. So the new rules come into force as any others do.
//!
//! It takes as much memory again as the stream's own state, and a part of the machine, while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::config::Config;
use super::control::{Begin, Held, Resume};
use super::engine::{Engine, Topics};
use super::input::{Input, SILENCE, Start};
use super::live::replay_falls_short;
use super::reader::Reader;
use super::reload::Read;
use crate::changes::Timetable;
use crate::diagnostic::{Failure, Message};
use crate::event::Schema;
use crate::run::{Laid, Session};
use crate::source::log::{Decoder, Heartbeat};
use crate::source::order::Waiting;
use crate::stopwatch::Since;

/// The stream may stand still for about as long as the last round took.
const SHORT: Duration = Duration::from_millis(500);
/// Where the stream is as fast as the one beside it, rounds do not become short for ever.
const ROUNDS_MAX: u32 = 20;

/// What it takes to build a session anew.
pub(super) struct Basis {
    pub(super) config: Config,
    pub(super) schema: Arc<Schema>,
    pub(super) begin: Begin,
    /// The rules so far.
    pub(super) timetable: Timetable,
    /// The heartbeats so far, in the order of offsets for each partition.
    pub(super) heartbeats: Vec<Heartbeat>,
}

/// An engine that has decided again what was committed, and its input from there on.
pub(super) struct Caught {
    pub(super) input: Input,
    pub(super) engine: Engine,
}

/// A session that is being built.
pub(super) struct Shadow {
    pub(super) read: Read,
    work: JoinHandle<Result<Caught, Failure>>,
    cancelled: Arc<AtomicBool>,
    round: u32,
    since: Since,
    /// How many heartbeats it knows of.
    beats: usize,
}

/// What came of a round.
pub(super) enum Round {
    /// It goes on.
    Working(Shadow),
    /// All that was committed when it began is decided again.
    Done(Box<Caught>, Due),
    /// Nothing can come of it.
    Failed(Read, Failure),
}

/// What is to be done after a round.
pub(super) struct Due {
    pub(super) read: Read,
    round: u32,
    took: Duration,
    beats: usize,
}

impl Shadow {
    /// Begins to decide anew what is committed.
    pub(super) fn begin(basis: Basis, read: Read, committed: &Resume) -> Shadow {
        let cancelled = Arc::new(AtomicBool::new(false));
        let (stop, committed) = (cancelled.clone(), committed.clone());
        let (beats, candidate) = (basis.heartbeats.len(), read.candidate.clone());
        let work = std::thread::spawn(move || {
            let reader = Reader::of(&basis.config);
            let caught = first(basis, candidate, committed)?;
            catch_up(caught, reader, &stop)
        });
        Shadow { read, work, cancelled, round: 1, since: Since::now(), beats }
    }

    /// What has come of the round; `wait`s for it where it is to.
    pub(super) fn look(self, wait: bool) -> Round {
        if !wait && !self.work.is_finished() {
            return Round::Working(self);
        }
        let Shadow { read, work, round, since, beats, .. } = self;
        match work.join() {
            Ok(Ok(caught)) => {
                Round::Done(Box::new(caught), Due { read, round, took: since.elapsed(), beats })
            }
            Ok(Err(failure)) => Round::Failed(read, failure),
            Err(_) => Round::Failed(read, stopped()),
        }
    }

    /// Has it not go on.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Due {
    /// Whether what is left is little enough to be done while the stream stands still.
    pub(super) fn is_last(&self) -> bool {
        self.took < SHORT || self.round >= ROUNDS_MAX
    }

    /// One more round, to what is committed by now.
    pub(super) fn again(
        self,
        mut caught: Caught,
        (committed, heartbeats): (&Resume, &[Heartbeat]),
        reader: Reader,
    ) -> Shadow {
        caught.engine.decide_again(committed.clone(), &heartbeats[self.beats..]);
        let cancelled = Arc::new(AtomicBool::new(false));
        let stop = cancelled.clone();
        let work = std::thread::spawn(move || catch_up(caught, reader, &stop));
        let (read, round, beats) = (self.read, self.round + 1, heartbeats.len());
        Shadow { read, work, cancelled, round, since: Since::now(), beats }
    }

    /// The last round, while the stream stands still.
    pub(super) fn finish(
        &self,
        mut caught: Caught,
        (committed, heartbeats): (&Resume, &[Heartbeat]),
        reader: Reader,
    ) -> Result<Caught, Failure> {
        caught.engine.decide_again(committed.clone(), &heartbeats[self.beats..]);
        catch_up(caught, reader, &AtomicBool::new(false))
    }
}

/// An engine at the beginning of the stream, which is to decide what was committed.
fn first(
    basis: Basis,
    candidate: crate::changes::Candidate,
    committed: Resume,
) -> Result<Caught, Failure> {
    let Basis { config, schema, begin, timetable, heartbeats } = basis;
    let start = |source: &super::control::Source| {
        (source.topic.clone(), source.partition, Start::At(source.offset))
    };
    let starts: Vec<(String, i32, Start)> = begin.partitions.iter().map(start).collect();
    let input = Input::open(&config.cluster, &starts)?;
    let laid = Laid::new(timetable, vec![candidate]);
    let settings = laid.settings();
    let session = Session::of(laid, &schema, config.workers, None)?;
    let decoder = Decoder::new(schema.clone(), settings.times.max_ahead);
    let waiting = Waiting::new(schema, settings.dedup_window);
    let held = Held { heartbeats, resume: Some(committed), ..Held::default() };
    let topics = Topics { output: config.output.clone(), dead_letter: config.dead_letter.clone() };
    let starts: Vec<(String, i32, u64)> = begin
        .partitions
        .iter()
        .map(|source| (source.topic.clone(), source.partition, source.offset))
        .collect();
    let mut engine = Engine::new((decoder, session), &starts, &held, config.tick, topics, waiting);
    engine.stops_at_committed = true;
    Ok(Caught { input, engine })
}

/// Decides until it is where what was committed is.
fn catch_up(
    Caught { mut input, mut engine }: Caught,
    reader: Reader,
    cancelled: &AtomicBool,
) -> Result<Caught, Failure> {
    let mut silent = Since::now();
    while !engine.is_live() {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        let got = reader.read(&mut input, &mut engine)?;
        engine.advance()?;
        reader.check_waiting(&engine)?;
        // That a partition was read to its end once says nothing: what is to be decided again by now
        // has come after that. It is all there, since it was committed.
        let read = |(at, source): (usize, &super::input::Reading)| {
            engine.bound(at).is_none_or(|bound| source.position >= bound)
        };
        let all = input.sources.iter().enumerate().all(read);
        if got {
            silent = Since::now();
        }
        if !engine.is_live() && all {
            return Err(replay_falls_short());
        }
        if !engine.is_live() && silent.elapsed() > SILENCE {
            return Err(input.silent());
        }
        input.rest(got)?;
    }
    assert_eq!(engine.unwritten().0, 0, "what was committed is not written again");
    Ok(Caught { input, engine })
}

fn stopped() -> Failure {
    Failure::Environment(Message::new(
        "working out new features stopped, which is a mistake in this program",
        "计算新特征的线程意外停止，这是程序的错误",
    ))
}
