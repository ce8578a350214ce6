//! A live session: the one dataflow on a thread of its own, fed moment by moment, which answers
//! each with its decisions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::environment;
use super::model::ModelPaths;
use super::observer::{Floors, Places};
use crate::changes::{self, Candidate, Deciders, Timetable};
use crate::dataflow::{self, Live, Options, Steps, Summary};
use crate::decision::Verdict;
use crate::diagnostic::Failure;
use crate::event::{Chunk, EVENT_TIME, Schema, TIME_MAX, TIME_MIN, Type};
use crate::job::{Epoch, Job};
use crate::peers::Peers;
use crate::sink::Scored;
use crate::snapshot::{Draft, FORMAT, Frozen, Handed, Put, Saved, State};
use crate::source::log::{Changes, Times};
use crate::source::order::{Arrivals, Ordered};
use crate::verdicts::{Finding, Verdicts};

/// A moment has a few events, and whoever feeds them one by one waits for the answer: more workers
/// would only wait for each other.
const WORKERS: usize = 1;

/// The name under which verdicts on accounts and groups are in a snapshot.
const VERDICTS: &str = "verdicts";
/// Rules that are not in force are as if they came into force then; no event is after it.
const NOT_YET: i64 = TIME_MAX;
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
    job: Arc<Job>,
    parts: Receiver<Scored>,
    /// Parts that came before those in front of them.
    early: BTreeMap<usize, Scored>,
    /// Those of all processes.
    workers: usize,
    /// Parts that were asked for by feeding a step, and parts that were handed out.
    asked: usize,
    answered: usize,
    /// The end of the last step.
    fed: Option<i64>,
    thread: Option<JoinHandle<Result<Summary, String>>>,
    floors: Floors,
    lines: blake3::Hasher,
    timetable: Timetable,
    /// Rules for which the plan has room, and which are not in force.
    to_come: Vec<Candidate>,
    layout: blake3::Hash,
    settings: Settings,
}

/// What came into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The hashes of the rules and of their models.
    pub deciders: Deciders,
    /// The effective time of the first event for which they are, in ms.
    pub effective_time: i64,
}

/// The rules of a session laid out: what its dataflow computes is known, and nothing runs yet.
pub struct Laid {
    pub(super) timetable: Timetable,
    pub(super) to_come: Vec<Candidate>,
    pub(super) epochs: Vec<Epoch>,
    pub(super) layout: blake3::Hash,
}

impl Laid {
    /// The rules of a directory, none: no rules, and models beside them.
    ///
    /// # Errors
    /// When rules or models are wrong, or the models do not fit the rules.
    pub fn open(
        rules: Option<&Path>,
        models: &ModelPaths,
        schema: &Arc<Schema>,
    ) -> Result<Laid, Failure> {
        let timetable = changes::load(rules, &Changes::default(), &models.load()?, schema)?;
        Ok(Laid::new(timetable, Vec::new()))
    }

    /// Rules that change at known times. What is computed is enough for those `to_come` as well,
    /// which may come into force by [`Session::change`], in their order.
    pub fn new(timetable: Timetable, to_come: Vec<Candidate>) -> Laid {
        let mut epochs = epochs(&timetable, &to_come);
        epochs.truncate(epochs.len() - to_come.len());
        let layout = layout(&epochs);
        Laid { timetable, to_come, epochs, layout }
    }

    /// Rules with others in force from a time on, and without these among those to come.
    pub(super) fn with(
        (timetable, to_come): (&Timetable, &[Candidate]),
        (candidate, start): (&Candidate, i64),
    ) -> Laid {
        let mut to_come = to_come.to_vec();
        if to_come.first().is_some_and(|next| next.deciders() == candidate.deciders()) {
            to_come.remove(0);
        }
        Laid::new(timetable.with(candidate, start), to_come)
    }

    /// As [`Session::layout`].
    pub fn layout(&self) -> [u8; 32] {
        *self.layout.as_bytes()
    }

    /// As [`Session::settings`].
    pub fn settings(&self) -> Settings {
        let policy = self.timetable.policy();
        Settings {
            times: super::read::times(policy),
            dedup_window: policy.dedup_window,
            idle: self.timetable.last_policy().idle_ms,
        }
    }

    /// The rules.
    pub fn timetable(&self) -> &Timetable {
        &self.timetable
    }
}

/// The epochs of a timetable whose plan is enough for those to come, which stand at the end.
fn epochs(timetable: &Timetable, to_come: &[Candidate]) -> Vec<Epoch> {
    let all = to_come.iter().fold(timetable.clone(), |all, one| all.with(one, NOT_YET));
    // No event is before it: a change as of then is one before the first event.
    all.epochs(TIME_MIN)
}

fn layout(epochs: &[Epoch]) -> blake3::Hash {
    let plan = epochs[0].features.layout();
    blake3::hash(format!("{} {FORMAT} {plan}", env!("CARGO_PKG_VERSION")).as_bytes())
}

impl Session {
    /// Begins with the rules of a directory, none: no rules, and models beside them.
    ///
    /// # Errors
    /// When rules or models are wrong, or the models do not fit the rules.
    pub fn open(
        rules: Option<&Path>,
        models: &ModelPaths,
        schema: &Arc<Schema>,
    ) -> Result<Session, Failure> {
        Session::of(Laid::open(rules, models, schema)?, schema, WORKERS, None)
    }

    /// Begins with rules alone and so many workers, for steps with many events.
    pub fn with_workers(
        rules: Option<&Path>,
        schema: &Arc<Schema>,
        workers: usize,
    ) -> Result<Session, Failure> {
        Session::begin(rules, schema, workers, None)
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
        state: impl Into<Saved>,
    ) -> Result<Session, Failure> {
        Session::begin(rules, schema, workers, Some(state.into()))
    }

    /// Begins, or goes on, with the workers of other processes, which
    /// [`follow_session`](super::follow_session).
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn lead(
        laid: Laid,
        schema: &Arc<Schema>,
        state: Option<Saved>,
        peers: Peers,
    ) -> Result<Session, Failure> {
        Session::among(laid, schema, peers.workers(), (state, Some(peers)))
    }

    fn begin(
        rules: Option<&Path>,
        schema: &Arc<Schema>,
        workers: usize,
        state: Option<Saved>,
    ) -> Result<Session, Failure> {
        Session::of(Laid::open(rules, &ModelPaths::default(), schema)?, schema, workers, state)
    }

    /// Begins, or goes on from a state, with rules that change at known times.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn of(
        laid: Laid,
        schema: &Arc<Schema>,
        workers: usize,
        state: Option<Saved>,
    ) -> Result<Session, Failure> {
        Session::among(laid, schema, workers, (state, None))
    }

    fn among(
        laid: Laid,
        schema: &Arc<Schema>,
        workers: usize,
        (mut state, peers): (Option<Saved>, Option<Peers>),
    ) -> Result<Session, Failure> {
        let verdicts = Verdicts::new(laid.timetable.policy());
        let settings = laid.settings();
        let mut floors = Floors::new(Arc::new(Places::new(&laid.epochs)), verdicts);
        if let Some(part) = state.as_mut().and_then(|state| state.take(VERDICTS)) {
            let loaded = part.read().and_then(|bytes| floors.verdicts.load(&bytes));
            loaded.map_err(|broken| environment(format!("{VERDICTS}: {}", broken.0)))?;
        }
        let fed = state.as_ref().and_then(|state| state.until);
        let events = Ordered::new(schema.clone(), Arrivals::default(), 0, true);
        let job = Arc::new(Job::with_epochs(events, laid.epochs, Arc::default()));
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
        let own = job.clone();
        let run = move || dataflow::run_among(&own, &steps, options, Some(&sender), peers);
        Ok(Session {
            feed,
            job,
            parts,
            early: BTreeMap::new(),
            workers: workers * processes,
            asked: 0,
            answered: 0,
            fed,
            thread: Some(std::thread::spawn(run)),
            floors,
            lines: blake3::Hasher::new(),
            timetable: laid.timetable,
            to_come: laid.to_come,
            layout: laid.layout,
            settings,
        })
    }

    /// The hash of the rules that came into force last, or will.
    pub fn rules_hash(&self) -> [u8; 32] {
        *self.timetable.last_hash().as_bytes()
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
        self.hand_over(None, &|_| {}).map(Frozen::into_state)
    }

    /// The same, to be written to a draft while the session goes on, which must not end before it
    /// is finished.
    ///
    /// # Errors
    /// When the dataflow has failed.
    pub fn freeze(&mut self, draft: &Draft) -> Result<Frozen, Failure> {
        self.freeze_with(draft, &|_| {})
    }

    /// The same with what else the calling thread keeps. That may not look at anything that other
    /// threads change.
    pub(crate) fn freeze_with(
        &mut self,
        draft: &Draft,
        more: &dyn Fn(&mut Put<'_>),
    ) -> Result<Frozen, Failure> {
        self.hand_over(Some(draft), more)
    }

    fn hand_over(
        &mut self,
        draft: Option<&Draft>,
        more: &dyn Fn(&mut Put<'_>),
    ) -> Result<Frozen, Failure> {
        assert_eq!(self.answered, self.asked, "all that was fed has been decided");
        loop {
            let frozen = match draft {
                Some(draft) => self.feed.freeze(draft, PATIENCE),
                None => self.feed.save(PATIENCE).map(Frozen::from),
            };
            if let Some(mut frozen) = frozen {
                let own = draft.map(|draft| (draft, self.workers as u32));
                frozen.handed.push(Handed::over(own, &|put| {
                    put(VERDICTS, 0, self.floors.verdicts.save());
                    more(put);
                }));
                return Ok(frozen);
            }
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err(self.stop().err().unwrap_or_else(|| {
                    environment("the dataflow ended before its state was saved".to_owned())
                }));
            }
        }
    }

    /// The columns of the features of what the last rules decide, name and type; those before have as
    /// many of the first of them as there were.
    pub fn feature_columns(&self) -> Vec<(String, Type)> {
        let epochs = self.job.all_epochs();
        let columns = epochs.last().map_or(&[][..], |epoch| epoch.features.columns());
        columns.iter().map(|(name, kind, _)| (name.clone(), *kind)).collect()
    }

    /// The accounts and groups with a verdict that holds at `end`, by what was decided so far.
    pub fn findings(&self, end: i64) -> Vec<Finding> {
        self.floors.verdicts.findings(end)
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

    /// Feeds a step, see [`Live::feed`]; it may reach over changes of rules. Its decisions come in
    /// parts from [`next_part`](Self::next_part).
    pub fn feed(&mut self, events: Chunk, effective: Vec<i64>, until: i64) {
        let starts: Vec<i64> = self.job.all_epochs()[1..].iter().map(|one| one.start).collect();
        let epoch = |time: i64| starts.partition_point(|start| *start <= time);
        let last = epoch(effective.last().map_or(until - 1, |last| *last));
        let first = effective.first().map_or(last, |first| epoch(*first));
        self.fed = Some(until);
        if first == last {
            self.feed.feed_under(last, events, effective, until);
            self.asked += self.workers;
            return;
        }
        let (schema, events) = (events.schema().clone(), Arc::new(events));
        let mut begun = 0;
        for run in effective.chunk_by(|one, other| epoch(*one) == epoch(*other)) {
            let own = epoch(run[0]);
            let rows: Vec<(u32, u32)> =
                (begun..begun + run.len()).map(|row| (0, row as u32)).collect();
            let chunk = Chunk::gather(&schema, std::slice::from_ref(&events), &rows);
            let end = if own == last { until } else { starts[own] };
            self.feed.feed_under(own, chunk, run.to_vec(), end);
            self.asked += self.workers;
            begun += run.len();
        }
    }

    /// What keeps rules from coming into force while the session goes on: the names of features
    /// that are not computed. None where nothing does.
    pub fn lacks(&self, candidate: &Candidate) -> Option<Vec<String>> {
        let laid = self.laid_with(candidate, NOT_YET);
        (laid.layout != self.layout).then(|| candidate.beyond(&self.job.epochs[0].features))
    }

    /// The rules with others in force from a time on.
    fn laid_with(&self, candidate: &Candidate, start: i64) -> Laid {
        Laid::with((&self.timetable, &self.to_come), (candidate, start))
    }

    /// Has the processes that follow learn of rules before they come into force, see
    /// [`follow_session`](super::follow_session).
    pub fn tell(&self, news: Vec<u8>) {
        self.feed.tell(news);
    }

    /// Has rules decide from `effective_time` on.
    ///
    /// # Panics
    /// When that is not after every event that was fed and every change before, when nothing has
    /// been fed, or when the session [`lacks`](Self::lacks) something.
    pub fn change(&mut self, candidate: &Candidate, effective_time: i64) -> InForce {
        assert!(self.fed.is_some_and(|fed| fed <= effective_time), "no event was other rules'");
        let last = self.timetable.last_start();
        assert!(last.is_none_or(|last| last < effective_time), "changes come one after the other");
        let Laid { timetable, to_come, epochs, layout } = self.laid_with(candidate, effective_time);
        assert!(layout == self.layout, "all that the rules need is computed");
        let epoch = epochs.last().expect("there are rules").clone();
        let in_force = InForce { deciders: candidate.deciders(), effective_time: epoch.start };
        self.job.append(epoch);
        self.floors.replace(Places::new(&self.job.all_epochs()));
        (self.timetable, self.to_come) = (timetable, to_come);
        self.settings.idle = candidate.idle();
        in_force
    }

    /// The end of what was fed; none where nothing was.
    pub fn fed(&self) -> Option<i64> {
        self.fed
    }

    /// The rules, those of the changes included.
    pub fn timetable(&self) -> &Timetable {
        &self.timetable
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
                self.floors.raise_all(&mut scored);
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

    /// Ends the session, after which the processes that followed meet again.
    ///
    /// # Errors
    /// When the dataflow has failed.
    pub fn part(&mut self) -> Result<(), Failure> {
        self.feed.end_with(true);
        self.stop()
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
