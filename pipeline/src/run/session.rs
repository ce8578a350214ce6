//! A live session: the one dataflow on a thread of its own, fed moment by moment, which answers
//! each with its decisions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::environment;
use super::observer::{Floors, Places};
use crate::changes;
use crate::dataflow::{self, Live, Options, Steps, Summary};
use crate::decision::Verdict;
use crate::diagnostic::Failure;
use crate::event::{Chunk, EVENT_TIME, Schema};
use crate::job::Job;
use crate::model::Artefacts;
use crate::peers::Peers;
use crate::sink::Scored;
use crate::snapshot::{FORMAT, Part, State};
use crate::source::log::{Changes, Times};
use crate::source::order::{Arrivals, Ordered};
use crate::verdicts::Verdicts;

/// A moment has a few events, and whoever feeds them one by one waits for the answer: more workers
/// would only wait for each other.
const WORKERS: usize = 1;

/// The name under which verdicts on accounts and groups are in a snapshot.
const VERDICTS: &str = "verdicts";
/// Whoever waits for a snapshot looks as often whether the dataflow still runs.
const PATIENCE: Duration = Duration::from_millis(500);

/// A decision, as far as whoever moves the money needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What was decided, floors of enforced verdicts included.
    pub verdict: Verdict,
    /// BLAKE3 of the decision's canonical line.
    pub evidence: [u8; 32],
}

/// What the rules of a session say of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When a record is late, and when its clock is wrong.
    pub times: Times,
    /// How long an id is remembered, in ms.
    pub dedup_window: i64,
    /// After how long without records a partition is idle, in ms.
    pub idle: i64,
}

/// Rules at work on events that come one moment after the other.
pub struct Session {
    feed: Arc<Live>,
    parts: Receiver<Scored>,
    /// Parts that came before those in front of them.
    early: BTreeMap<usize, Scored>,
    /// Those of all processes.
    workers: usize,
    /// Parts that were asked for by feeding a step, and parts that were handed out.
    asked: usize,
    answered: usize,
    thread: Option<JoinHandle<Result<Summary, String>>>,
    floors: Floors,
    lines: blake3::Hasher,
    rules_hash: blake3::Hash,
    layout: blake3::Hash,
    settings: Settings,
}

impl Session {
    /// Begins with the rules of a directory; none: no rules.
    pub fn open(rules: Option<&Path>, schema: &Arc<Schema>) -> Result<Session, Failure> {
        Session::with_workers(rules, schema, WORKERS)
    }

    /// The same with so many workers, for steps with many events.
    pub fn with_workers(
        rules: Option<&Path>,
        schema: &Arc<Schema>,
        workers: usize,
    ) -> Result<Session, Failure> {
        Session::begin(rules, schema, workers, (None, None))
    }

    /// Goes on from the state of another session of the same [`layout`](Self::layout), which may
    /// have had another number of workers.
    ///
    /// # Errors
    /// As when it begins, or when the state cannot be read.
    pub fn restore(
        rules: Option<&Path>,
        schema: &Arc<Schema>,
        workers: usize,
        state: State,
    ) -> Result<Session, Failure> {
        Session::begin(rules, schema, workers, (Some(state), None))
    }

    /// Begins, or goes on, with the workers of other processes, which
    /// [`follow_session`](super::follow_session).
    pub fn lead(
        rules: Option<&Path>,
        schema: &Arc<Schema>,
        state: Option<State>,
        peers: Peers,
    ) -> Result<Session, Failure> {
        Session::begin(rules, schema, peers.workers(), (state, Some(peers)))
    }

    fn begin(
        rules: Option<&Path>,
        schema: &Arc<Schema>,
        workers: usize,
        (mut state, peers): (Option<State>, Option<Peers>),
    ) -> Result<Session, Failure> {
        let timetable = changes::load(rules, &Changes::default(), &Artefacts::default(), schema)?;
        let policy = timetable.policy();
        let settings = Settings {
            times: super::times(policy),
            dedup_window: policy.dedup_window,
            idle: policy.idle_ms,
        };
        let verdicts = Verdicts::new(policy);
        let rules_hash = timetable.rules_hash();
        let rules_hash = blake3::Hash::from_hex(rules_hash)
            .map_err(|error| environment(format!("the hash of the rules is none: {error}")))?;
        let epochs = timetable.epochs(i64::MIN);
        let mut floors = Floors::new(Arc::new(Places::new(&epochs)), verdicts);
        if let Some(state) = &mut state {
            for part in state.parts.extract_if(.., |part| part.keeper == VERDICTS) {
                let loaded = floors.verdicts.load(&part.bytes);
                loaded.map_err(|broken| environment(format!("{VERDICTS}: {}", broken.0)))?;
            }
        }
        let layout =
            format!("{} {FORMAT} {}", env!("CARGO_PKG_VERSION"), epochs[0].features.layout());
        let events = Ordered::new(schema.clone(), Arrivals::default(), 0, true);
        let job = Arc::new(Job { events, epochs, interrupted: Arc::default() });
        let processes = peers.as_ref().map_or(1, Peers::processes);
        let feed = match state {
            Some(state) => Live::restored(workers, Arc::new(state)),
            None => Live::new(workers),
        };
        let feed = Arc::new(feed.in_processes(processes));
        let steps: Arc<dyn Steps> = feed.clone();
        let (sender, parts) = sync_channel(workers * processes);
        // Tick and batch cut a job's events into steps; here whoever feeds them does.
        let options = Options { workers, tick: 1, batch: 1, sorted: true };
        let run = move || dataflow::run_among(&job, &steps, options, Some(&sender), peers);
        Ok(Session {
            feed,
            parts,
            early: BTreeMap::new(),
            workers: workers * processes,
            asked: 0,
            answered: 0,
            thread: Some(std::thread::spawn(run)),
            floors,
            lines: blake3::Hasher::new(),
            rules_hash,
            layout: blake3::hash(layout.as_bytes()),
            settings,
        })
    }

    /// The hash of the rules.
    pub fn rules_hash(&self) -> [u8; 32] {
        *self.rules_hash.as_bytes()
    }

    /// A hash of all that says how state is laid out and what is in it. Only with the state of a
    /// session of the same hash, and the same rules, another one may go on.
    pub fn layout(&self) -> [u8; 32] {
        *self.layout.as_bytes()
    }

    /// All that the session keeps as of the end of the last step; every part of its decisions must
    /// have been taken. What [`decide`](Self::decide) has hashed is not among it.
    ///
    /// # Errors
    /// When the dataflow has failed.
    pub fn save(&mut self) -> Result<State, Failure> {
        assert_eq!(self.answered, self.asked, "all that was fed has been decided");
        loop {
            if let Some(mut state) = self.feed.save(PATIENCE) {
                let (keeper, bytes) = (VERDICTS.to_owned(), self.floors.verdicts.save());
                state.parts.push(Part { keeper, number: 0, bytes });
                return Ok(state);
            }
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err(self.stop().err().unwrap_or_else(|| {
                    environment("the dataflow ended before its state was saved".to_owned())
                }));
            }
        }
    }

    /// What the rules say of time.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Decides on the transactions of a moment, in total order. The events are all that there are
    /// from the moment before until before `until`, in total order, and none came late.
    ///
    /// # Errors
    /// When the dataflow has failed; there is nothing to be had from it after that.
    pub fn decide(&mut self, events: Chunk, until: i64) -> Result<Vec<Decided>, Failure> {
        let effective = (0..events.len()).map(|row| events.int(EVENT_TIME, row)).collect();
        self.feed(events, effective, until);
        let mut decided = Vec::new();
        while let Some(scored) = self.next_part(true)? {
            let lines = scored.lines();
            self.lines.update(lines.as_bytes());
            let each = scored.batch.verdicts.iter().zip(lines.lines());
            decided.extend(each.map(|(&verdict, line)| Decided {
                verdict,
                evidence: *blake3::hash(line.as_bytes()).as_bytes(),
            }));
        }
        Ok(decided)
    }

    /// Feeds a step, see [`Live::feed`]. Its decisions come in parts from
    /// [`next_part`](Self::next_part).
    pub fn feed(&mut self, events: Chunk, effective: Vec<i64>, until: i64) {
        self.feed.feed(events, effective, until);
        self.asked += self.workers;
    }

    /// The next part of the decisions in total order, raised to the floors of enforced verdicts.
    /// None where all that was fed is decided; or, without `wait`, where the next part is not yet
    /// there.
    ///
    /// # Errors
    /// When the dataflow has failed.
    pub fn next_part(&mut self, wait: bool) -> Result<Option<Scored>, Failure> {
        while self.answered < self.asked {
            if let Some(mut scored) = self.early.remove(&self.answered) {
                self.answered += 1;
                self.floors.raise_all(&mut scored, |_, _, _, _| {});
                return Ok(Some(scored));
            }
            let part = match wait {
                true => self.parts.recv().map_err(|_| TryRecvError::Disconnected),
                false => self.parts.try_recv(),
            };
            match part {
                Ok(scored) => self.early.insert(scored.part, scored),
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => {
                    return Err(self.stop().err().unwrap_or_else(|| {
                        environment("the dataflow ended before its events did".to_owned())
                    }));
                }
            };
        }
        // Whoever waits for nothing would not see that it has ended.
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            return Err(self.stop().err().unwrap_or_else(|| {
                environment("the dataflow ended before it was told to".to_owned())
            }));
        }
        Ok(None)
    }

    /// Whether another process was asked to end, and this one is to end the session.
    pub fn is_end_asked(&self) -> bool {
        self.feed.is_end_asked()
    }

    /// How many steps were fed and are not wholly decided.
    pub fn under_way(&self) -> usize {
        (self.asked - self.answered).div_ceil(self.workers)
    }

    /// Ends the session: the digest of the decisions of [`decide`](Self::decide), as a run has it.
    pub fn finish(mut self) -> Result<blake3::Hash, Failure> {
        self.stop()?;
        Ok(self.lines.finalize())
    }

    fn stop(&mut self) -> Result<(), Failure> {
        self.feed.end();
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let ended = thread.join().unwrap_or_else(|_| Err("the dataflow stopped".to_owned()));
        ended.map(drop).map_err(environment)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The thread ends by itself, and whoever drops a session wants nothing more of it.
        self.feed.end();
    }
}
