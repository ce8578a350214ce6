//! Where the steps of a run come from: planned from events that are all there, or fed while the
//! run goes on.
//!
//! A worker asks for the steps one after the other and reads its share of each. It waits for
//! nothing but the next step, so whatever can say "these events, and no more before that time" can
//! feed the dataflow: a job of files, a simulated world, a stream.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use crate::diagnostic::Message;
use crate::event::Chunk;
use crate::job::Job;
use crate::source::order::{Slice, Step, is_ordered};

/// What a worker does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It reads its share of this step.
    Step(Step),
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
}

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
}

/// Steps that are fed while the run goes on.
pub struct Live {
    workers: usize,
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
    threads: Vec<Thread>,
}

struct LiveStep {
    step: Step,
    chunk: Arc<Chunk>,
    effective: Arc<[i64]>,
    /// Workers that have not read their share.
    left: usize,
}

impl Live {
    /// No steps yet, for so many workers.
    pub fn new(workers: usize) -> Live {
        Live { workers, fed: Mutex::default() }
    }

    /// Feeds a step: events in total order with their effective times, all that there are from the
    /// step before it until before `until`. Without events only time passes.
    ///
    /// # Panics
    /// When the events are not in total order, when one is not in that time, or after
    /// [`end`](Self::end).
    pub fn feed(&self, chunk: Chunk, effective: Vec<i64>, until: i64) {
        let mut fed = self.fed();
        assert!(!fed.ended, "nothing comes after the end");
        assert!(is_ordered(&chunk, &effective), "a step's events are in total order");
        let since = fed.until;
        let (first, last) = (effective.first().copied(), effective.last().copied());
        let begun = first.into_iter().chain(since).max().unwrap_or(until);
        assert!(since <= first.or(since) && last.is_none_or(|last| last < until));
        assert!(since <= Some(until), "time does not go back");
        let events = fed.events..fed.events + chunk.len();
        fed.events = events.end;
        fed.until = Some(until);
        let step = Step { events, time: begun, until, epoch: 0 };
        let (chunk, effective) = (Arc::new(chunk), effective.into());
        fed.steps.push_back(LiveStep { step, chunk, effective, left: self.workers });
        fed.threads.iter().for_each(Thread::unpark);
    }

    /// Says that there is no more.
    pub fn end(&self) {
        let mut fed = self.fed();
        fed.ended = true;
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
            None => Next::Wait,
        }
    }

    fn slice(&self, step: usize, share: Range<usize>) -> Result<Slice, Message> {
        let mut fed = self.fed();
        let read = fed.read;
        let live = &mut fed.steps[step - read];
        let (chunk, effective) = (live.chunk.clone(), live.effective.clone());
        let first = live.step.events.start;
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
}
