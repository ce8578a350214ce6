//! Where the steps of a run come from: planned from events that are all there, or fed while the
//! run goes on.
//!
//! A worker asks for the steps one after the other and reads its share of each. It waits for
//! nothing but the next step, so whatever can say "these events, and no more before that time" can
//! feed the dataflow: a job of files, a simulated world, a stream.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Message;
use crate::event::{Chunk, Schema, Stored};
use crate::job::Job;
use crate::snapshot::{Draft, Frozen, Handed, Saved, State};
use crate::source::order::{Slice, Step, is_ordered};

/// What a worker does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It reads its share of this step.
    Step(Step),
    /// It hands over what it keeps, once it has done all that the steps before are followed by, unless it
    /// has done so under this number or a later one. Until all have, there is no more.
    Save(u64),
    /// There may be more, and it is not there yet.
    Wait,
    /// That was all.
    End,
}

/// The steps of a run in their order, the same for each of its workers.
pub trait Steps: Send + Sync {
    /// What follows for a worker that has read its share of the first `done` steps.
    fn next(&self, done: usize) -> Next;

    /// The events at `share`, a part of the range of step number `step`. It fails where they are
    /// on disk and cannot be read back as they were written.
    fn slice(&self, step: usize, share: Range<usize>) -> Result<Slice, Message>;

    /// A worker says whom to wake when there is something new after [`Next::Wait`].
    fn wake(&self, _worker: Thread) {}

    /// Where a worker has what it keeps written to, after [`Next::Save`]; none: it says it.
    fn draft(&self) -> Option<Draft> {
        None
    }

    /// A worker hands over what it keeps, after [`Next::Save`].
    fn saved(&self, _handed: Handed) {}

    /// Where the run goes on; none: it begins.
    fn restored(&self) -> Option<Arc<Saved>> {
        None
    }

    /// The events at `share` of a step, for a process that has not got them itself.
    fn part(&self, _step: usize, _share: Range<usize>) -> Option<StepPart> {
        None
    }

    /// Takes a step as process 0 of a cluster has it. An error where it is not the same here.
    fn take(&self, _number: usize, _step: Step, _part: Option<StepPart>) -> Result<(), String> {
        Ok(())
    }

    /// Process 0 asks for what workers keep, under this number.
    fn ask(&self, _number: u64) {}

    /// Process 0 says that there is no more, and whether all meet again after it.
    fn no_more(&self, _again: bool) {}

    /// Whether the processes of a cluster meet again when there is no more.
    fn meets_again(&self) -> bool {
        false
    }

    /// A process of the cluster was asked to end: whether whoever feeds the steps ends it, by
    /// feeding no more.
    fn end_asked(&self) -> bool {
        false
    }
}

/// Events of a step on their way to another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepPart {
    /// The place of the first in the total order.
    first: usize,
    events: Stored,
    effective: Vec<i64>,
    /// What is to be learnt before it, see [`Live::tell`].
    news: Vec<Vec<u8>>,
}

/// Learns what process 0 tells with a step, before the step is read.
pub type Learn = Box<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>;

/// The steps of a job whose events are all there.
pub struct Planned {
    job: Arc<Job>,
    steps: Vec<Step>,
}

impl Planned {
    /// Cuts the events of a job into steps, see [`Ordered::steps`](crate::source::order::Ordered::steps).
    pub fn new(job: Arc<Job>, tick: i64, batch: usize) -> Planned {
        let steps = job.events.steps(tick, batch, &job.cuts());
        Planned { job, steps }
    }
}

impl Steps for Planned {
    fn next(&self, done: usize) -> Next {
        self.steps.get(done).map_or(Next::End, |step| Next::Step(step.clone()))
    }

    fn slice(&self, step: usize, share: Range<usize>) -> Result<Slice, Message> {
        self.job.events.slice(share, step)
    }

    fn take(&self, number: usize, step: Step, _: Option<StepPart>) -> Result<(), String> {
        match self.steps.get(number) {
            Some(own) if *own == step => Ok(()),
            _ => Err(format!("step {number} is another one here than in process 0")),
        }
    }
}

/// Steps that are fed while the run goes on.
pub struct Live {
    /// Those of this process, which read.
    workers: usize,
    /// Those of all processes, which say what they keep.
    peers: usize,
    /// Of the events of steps that come from process 0, and who learns what that one tells.
    led: Option<(Arc<Schema>, Learn)>,
    /// Whether another process was asked to end.
    end_asked: AtomicBool,
    restored: Option<Arc<Saved>>,
    /// Told of what workers say that they keep.
    told: Condvar,
    fed: Mutex<Fed>,
}

#[derive(Default)]
struct Fed {
    /// How many steps there have been that every worker has read.
    read: usize,
    /// Those after them.
    steps: VecDeque<LiveStep>,
    events: usize,
    until: Option<i64>,
    ended: bool,
    /// Whether the processes meet again after the end.
    again: bool,
    /// What goes to the other processes with the next step.
    news: Vec<Vec<u8>>,
    threads: Vec<Thread>,
    /// How often it was asked what workers keep.
    saves: u64,
    /// Whether that has not been answered.
    saving: bool,
    /// Where they have it written to; none: they say it.
    draft: Option<Draft>,
    /// What each of them has handed over.
    saved: Vec<Handed>,
}

struct LiveStep {
    step: Step,
    /// The place of the first event that is here.
    first: usize,
    chunk: Arc<Chunk>,
    effective: Arc<[i64]>,
    news: Vec<Vec<u8>>,
    /// Workers that have not read their share.
    left: usize,
}

impl Live {
    /// No steps yet, for so many workers.
    pub fn new(workers: usize) -> Live {
        Live {
            workers,
            peers: workers,
            led: None,
            end_asked: AtomicBool::new(false),
            restored: None,
            told: Condvar::new(),
            fed: Mutex::default(),
        }
    }

    /// With workers in so many processes. This one is fed, and feeds the others.
    #[must_use]
    pub fn in_processes(self, processes: usize) -> Live {
        Live { peers: self.workers * processes, ..self }
    }

    /// For so many workers of a process that process 0 feeds.
    pub fn led(workers: usize, schema: &Arc<Schema>, learn: Learn) -> Live {
        Live { led: Some((schema.clone(), learn)), ..Live::new(workers) }
    }

    /// Has the other processes learn something before they read the next step that is fed.
    pub fn tell(&self, news: Vec<u8>) {
        self.fed().news.push(news);
    }

    /// Whether another process was asked to end.
    pub fn is_end_asked(&self) -> bool {
        self.end_asked.load(Ordering::Relaxed)
    }

    /// Goes on from what was kept: what is fed comes after it.
    pub fn restored(workers: usize, state: Arc<Saved>) -> Live {
        let fed = Fed { until: state.until, ..Fed::default() };
        Live { restored: Some(state), fed: Mutex::new(fed), ..Live::new(workers) }
    }

    /// All that the workers keep as of the end of the steps so far, which must have been decided.
    /// None where a worker has not answered within `patience`: it may have failed, and may still
    /// answer.
    ///
    /// # Panics
    /// After [`end`](Self::end).
    pub fn save(&self, patience: Duration) -> Option<State> {
        self.hand_over(None, patience).map(Frozen::into_state)
    }

    /// The same, to be written to a draft while the steps go on; it must be finished before they
    /// end.
    ///
    /// # Panics
    /// After [`end`](Self::end).
    pub fn freeze(&self, draft: &Draft, patience: Duration) -> Option<Frozen> {
        self.hand_over(Some(draft), patience)
    }

    fn hand_over(&self, draft: Option<&Draft>, patience: Duration) -> Option<Frozen> {
        let mut fed = self.fed();
        assert!(!fed.ended, "nothing comes after the end");
        if !fed.saving {
            (fed.saves, fed.saving, fed.draft) = (fed.saves + 1, true, draft.cloned());
            fed.threads.iter().for_each(Thread::unpark);
        }
        let left = |fed: &mut Fed| fed.saved.len() < self.peers;
        let waited = self.told.wait_timeout_while(fed, patience, left);
        let (mut fed, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if left(&mut fed) {
            return None;
        }
        fed.saving = false;
        Some(Frozen { until: fed.until, handed: std::mem::take(&mut fed.saved) })
    }

    /// Feeds a step: events in total order with their effective times, all that there are from the
    /// step before it until before `until`, under the rules of the first epoch. Without events
    /// only time passes.
    ///
    /// # Panics
    /// When the events are not in total order, when one is not in that time, when no time passes,
    /// or after [`end`](Self::end).
    pub fn feed(&self, chunk: Chunk, effective: Vec<i64>, until: i64) {
        self.feed_under(0, chunk, effective, until);
    }

    /// The same under the rules of that epoch.
    pub(crate) fn feed_under(&self, epoch: usize, chunk: Chunk, effective: Vec<i64>, until: i64) {
        let mut fed = self.fed();
        assert!(!fed.ended, "nothing comes after the end");
        assert!(is_ordered(&chunk, &effective), "a step's events are in total order");
        let since = fed.until;
        let (first, last) = (effective.first().copied(), effective.last().copied());
        // Without events before it, a step without events begins with time itself.
        let begun = first.or(since).unwrap_or(0);
        assert!(since <= Some(begun), "no event comes behind the step before");
        assert!(begun < until && last <= Some(until - 1), "a step ends after its events");
        let events = fed.events..fed.events + chunk.len();
        fed.events = events.end;
        fed.until = Some(until);
        let first = events.start;
        let step = Step { events, time: begun, until, epoch };
        let (chunk, effective) = (Arc::new(chunk), effective.into());
        let (news, left) = (std::mem::take(&mut fed.news), self.workers);
        fed.steps.push_back(LiveStep { step, first, chunk, effective, news, left });
        fed.threads.iter().for_each(Thread::unpark);
    }

    /// Says that there is no more.
    pub fn end(&self) {
        self.end_with(false);
    }

    /// The same, and whether the processes meet again after it.
    pub(crate) fn end_with(&self, again: bool) {
        let mut fed = self.fed();
        fed.ended = true;
        fed.again |= again;
        fed.threads.iter().for_each(Thread::unpark);
    }

    /// A thread that panicked here did so before it changed anything.
    fn fed(&self) -> MutexGuard<'_, Fed> {
        self.fed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Steps for Live {
    fn next(&self, done: usize) -> Next {
        let fed = self.fed();
        match fed.steps.get(done - fed.read) {
            Some(live) => Next::Step(live.step.clone()),
            None if fed.ended => Next::End,
            None if fed.saving => Next::Save(fed.saves),
            None => Next::Wait,
        }
    }

    fn slice(&self, step: usize, share: Range<usize>) -> Result<Slice, Message> {
        let mut fed = self.fed();
        let read = fed.read;
        let live = &mut fed.steps[step - read];
        let (chunk, effective) = (live.chunk.clone(), live.effective.clone());
        let first = live.first;
        live.left -= 1;
        while fed.steps.front().is_some_and(|live| live.left == 0) {
            fed.steps.pop_front();
            fed.read += 1;
        }
        drop(fed);
        let (start, end) = (share.start - first, share.end - first);
        let rows: Vec<(u32, u32)> = (start..end).map(|row| (0, row as u32)).collect();
        let effective = effective[start..end].to_vec();
        let (schema, first) = (chunk.schema().clone(), share.start as u64);
        Ok(Slice { chunk: Chunk::gather(&schema, &[chunk], &rows), effective, step, first })
    }

    fn wake(&self, worker: Thread) {
        self.fed().threads.push(worker);
    }

    fn draft(&self) -> Option<Draft> {
        self.fed().draft.clone()
    }

    fn saved(&self, handed: Handed) {
        self.fed().saved.push(handed);
        self.told.notify_all();
    }

    fn restored(&self) -> Option<Arc<Saved>> {
        self.restored.clone()
    }

    fn part(&self, step: usize, share: Range<usize>) -> Option<StepPart> {
        let fed = self.fed();
        let live = &fed.steps[step - fed.read];
        let (chunk, effective, first) = (live.chunk.clone(), live.effective.clone(), live.first);
        let news = live.news.clone();
        drop(fed);
        let own = share.start - first..share.end - first;
        let rows: Vec<(u32, u32)> = own.clone().map(|row| (0, row as u32)).collect();
        let schema = chunk.schema().clone();
        let events = Chunk::gather(&schema, &[chunk], &rows).into_stored();
        Some(StepPart { first: share.start, events, effective: effective[own].to_vec(), news })
    }

    fn take(&self, _: usize, step: Step, part: Option<StepPart>) -> Result<(), String> {
        let (Some(part), Some((schema, learn))) = (part, &self.led) else {
            return Err("process 0 sends no events, and there are none here".to_owned());
        };
        let StepPart { first, events, effective, news } = part;
        news.iter().try_for_each(|news| learn(news))?;
        let chunk = Arc::new(Chunk::from_stored(schema, events));
        let mut fed = self.fed();
        let (effective, left) = (effective.into(), self.workers);
        fed.steps.push_back(LiveStep { step, first, chunk, effective, news: Vec::new(), left });
        fed.threads.iter().for_each(Thread::unpark);
        Ok(())
    }

    fn ask(&self, number: u64) {
        let mut fed = self.fed();
        (fed.saves, fed.saving) = (number, true);
        fed.threads.iter().for_each(Thread::unpark);
    }

    fn no_more(&self, again: bool) {
        self.end_with(again);
    }

    fn meets_again(&self) -> bool {
        self.fed().again
    }

    fn end_asked(&self) -> bool {
        self.end_asked.store(true, Ordering::Relaxed);
        true
    }
}
