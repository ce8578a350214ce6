//! What the workers of one process share.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::Summary;
use crate::peers::Watch;
use crate::snapshot::Saved;

/// What the workers of a run share, those of this process.
#[derive(Default)]
pub(super) struct Shared {
    /// Whether one has failed, or another process was lost.
    pub(super) watch: Arc<Watch>,
    begun: Mutex<Begun>,
    /// The end of the last step of which any of them has read its share. An operator that sees that
    /// there is no more sees it as it stays, for then no worker reads any more.
    pub(super) reached: Arc<AtomicI64>,
    /// Where process 0 says that the run goes on; none: it begins.
    pub(super) restored: OnceLock<Option<Arc<Saved>>>,
    /// What the workers of other processes found.
    others: Mutex<Vec<Summary>>,
    /// Why it has failed, where it was no worker's mistake.
    wrong: OnceLock<String>,
}

/// How far the workers are. All of them read the same steps, also where the run is interrupted: one
/// that had read a step more would wait for ever for what the others tell of it.
#[derive(Default)]
struct Begun {
    /// The steps that some worker reads or has read; in processes but 0, those that process 0 has
    /// said to be.
    steps: usize,
    /// Whether there are no more.
    ended: bool,
    /// Whether process 0 says which steps there are.
    follows: bool,
}

/// Whether a worker may read a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    Read,
    /// Process 0 has not said so, and will.
    Wait,
    /// It is not to be read: the run ends before it.
    End,
}

impl Shared {
    pub(super) fn goes_on(&self) -> bool {
        !self.watch.has_failed()
    }

    /// Whether a worker that has read the first `done` steps may read the next one.
    pub(super) fn begin(&self, done: usize, interrupted: bool) -> May {
        let mut begun = self.begun();
        if !begun.follows {
            begun.ended |= interrupted;
            if !begun.ended {
                begun.steps = begun.steps.max(done + 1);
            }
        }
        match (done < begun.steps, begun.ended) {
            (true, _) => May::Read,
            (false, true) => May::End,
            (false, false) => May::Wait,
        }
    }

    /// From now on process 0 says which steps there are.
    pub(super) fn follow(&self) {
        self.begun().follows = true;
    }

    /// Process 0 reads the first `steps` steps.
    pub(super) fn allow(&self, steps: usize) {
        let mut begun = self.begun();
        begun.steps = begun.steps.max(steps);
    }

    /// There are no steps but those that somebody has begun.
    pub(super) fn end(&self) {
        self.begun().ended = true;
    }

    /// Ends the run for this reason.
    pub(super) fn fail(&self, why: String) {
        self.wrong.get_or_init(|| why);
        self.watch.fail();
    }

    /// Why the run has ended, where no worker says it.
    pub(super) fn why(&self) -> Option<String> {
        let lost = self.watch.lost().map(|process| format!("process {process} was lost"));
        lost.or_else(|| self.wrong.get().cloned())
    }

    /// A worker of another process says what it found.
    pub(super) fn add(&self, summary: Summary) {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).push(summary);
    }

    /// What workers of other processes have found.
    pub(super) fn take_others(&self) -> Vec<Summary> {
        std::mem::take(&mut *self.others.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who panicked here had changed nothing.
    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
