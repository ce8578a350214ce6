//! A live session: the one dataflow on a thread of its own, fed moment by moment, which answers
//! each with its decisions.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use super::environment;
use super::observer::{Floors, Places};
use crate::changes;
use crate::dataflow::{self, Live, Options, Steps, Summary};
use crate::decision::Verdict;
use crate::diagnostic::Failure;
use crate::event::{Chunk, EVENT_TIME, Schema};
use crate::job::Job;
use crate::model::Artefacts;
use crate::sink::Scored;
use crate::source::log::Changes;
use crate::source::order::{Arrivals, Ordered};
use crate::verdicts::Verdicts;

/// A moment has a few events, and whoever feeds them waits for the answer: more workers would only
/// wait for each other.
const WORKERS: usize = 1;
/// Tick and batch cut a job's events into steps; here whoever feeds them does.
const OPTIONS: Options = Options { workers: WORKERS, tick: 1, batch: 1, sorted: true };

/// A decision, as far as whoever moves the money needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What was decided, floors of enforced verdicts included.
    pub verdict: Verdict,
    /// BLAKE3 of the decision's canonical line.
    pub evidence: [u8; 32],
}

/// Rules at work on events that come one moment after the other.
pub struct Session {
    feed: Arc<Live>,
    parts: Receiver<Scored>,
    thread: Option<JoinHandle<Result<Summary, String>>>,
    floors: Floors,
    lines: blake3::Hasher,
    rules_hash: blake3::Hash,
}

impl Session {
    /// Begins with the rules of a directory; none: no rules.
    pub fn open(rules: Option<&Path>, schema: &Arc<Schema>) -> Result<Session, Failure> {
        let timetable = changes::load(rules, &Changes::default(), &Artefacts::default(), schema)?;
        let verdicts = Verdicts::new(timetable.policy());
        let rules_hash = timetable.rules_hash();
        let rules_hash = blake3::Hash::from_hex(rules_hash)
            .map_err(|error| environment(format!("the hash of the rules is none: {error}")))?;
        let epochs = timetable.epochs(i64::MIN);
        let floors = Floors::new(Arc::new(Places::new(&epochs)), verdicts);
        let events = Ordered::new(schema.clone(), Arrivals::default(), 0, true);
        let job = Arc::new(Job { events, epochs, interrupted: Arc::default() });
        let feed = Arc::new(Live::new(WORKERS));
        let steps: Arc<dyn Steps> = feed.clone();
        let (sender, parts) = sync_channel(WORKERS);
        let run = move || dataflow::run(&job, &steps, OPTIONS, &sender);
        let thread = Some(std::thread::spawn(run));
        Ok(Session { feed, parts, thread, floors, lines: blake3::Hasher::new(), rules_hash })
    }

    /// The hash of the rules.
    pub fn rules_hash(&self) -> [u8; 32] {
        *self.rules_hash.as_bytes()
    }

    /// Decides on the transactions of a moment, in total order. The events are all that there are
    /// from the moment before until before `until`, in total order, and none came late.
    ///
    /// # Errors
    /// When the dataflow has failed; there is nothing to be had from it after that.
    pub fn decide(&mut self, events: Chunk, until: i64) -> Result<Vec<Decided>, Failure> {
        let effective = (0..events.len()).map(|row| events.int(EVENT_TIME, row)).collect();
        self.feed.feed(events, effective, until);
        let Ok(mut scored) = self.parts.recv() else {
            return Err(self.stop().err().unwrap_or_else(|| {
                environment("the dataflow ended before its events did".to_owned())
            }));
        };
        self.floors.raise_all(&mut scored, |_, _, _, _| {});
        let lines = scored.lines();
        self.lines.update(lines.as_bytes());
        let decided = scored.batch.verdicts.iter().zip(lines.lines());
        let decided = decided.map(|(&verdict, line)| Decided {
            verdict,
            evidence: *blake3::hash(line.as_bytes()).as_bytes(),
        });
        Ok(decided.collect())
    }

    /// Ends the session: the digest of its decisions, as a run has it.
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
