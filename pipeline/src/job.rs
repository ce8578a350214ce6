//! What a run needs, from whichever command it comes.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use crate::features::Features;
use crate::rules::Rule;
use crate::score::Scorer;
use crate::source::order::Ordered;

/// What a run needs, shared by its workers.
pub struct Job {
    /// The events that are known beforehand, in total order; none where they come while it runs.
    pub events: Ordered,
    /// What decides on them, from the beginning on and from each change of rules on. There is at
    /// least one, and their times rise.
    pub epochs: Vec<Epoch>,
    /// Those that come while it runs, after the others; see [`Job::append`].
    pub(crate) appended: RwLock<Vec<Epoch>>,
    /// Set when the run is to end at the next tick.
    pub interrupted: Arc<AtomicBool>,
}

/// The rules that are in force from a time on.
#[derive(Clone)]
pub struct Epoch {
    /// The effective time of the first event for which they are; of the first epoch it says
    /// nothing, for that has every event before the second.
    pub start: i64,
    /// The features. All epochs share their schema, plan, families, clusters and zone.
    pub features: Arc<Features>,
    /// The rules and what they add up to.
    pub scorer: Arc<Scorer>,
}

impl Epoch {
    /// The rules, in the order of their ids.
    pub fn rules(&self) -> &[Rule] {
        &self.scorer.rules().rules
    }
}

impl Job {
    /// A run with the same rules from beginning to end.
    pub fn new(
        events: Ordered,
        features: Arc<Features>,
        scorer: Arc<Scorer>,
        interrupted: Arc<AtomicBool>,
    ) -> Job {
        Job::with_epochs(events, vec![Epoch { start: i64::MIN, features, scorer }], interrupted)
    }

    /// A run whose rules change at times that are known beforehand.
    pub fn with_epochs(events: Ordered, epochs: Vec<Epoch>, interrupted: Arc<AtomicBool>) -> Job {
        Job { events, epochs, appended: RwLock::default(), interrupted }
    }

    /// Adds rules to a run that goes on: steps that are fed from now on may name them. Their
    /// features must have the plan of the others.
    pub(crate) fn append(&self, epoch: Epoch) {
        self.appended.write().unwrap_or_else(PoisonError::into_inner).push(epoch);
    }

    /// The epoch of a step.
    pub(crate) fn epoch(&self, at: usize) -> Epoch {
        self.epochs.get(at).cloned().unwrap_or_else(|| {
            let appended = self.appended.read().unwrap_or_else(PoisonError::into_inner);
            appended[at - self.epochs.len()].clone()
        })
    }

    /// All epochs so far.
    pub(crate) fn all_epochs(&self) -> Vec<Epoch> {
        let appended = self.appended.read().unwrap_or_else(PoisonError::into_inner);
        self.epochs.iter().chain(&*appended).cloned().collect()
    }

    /// The features, for what all epochs share.
    pub fn features(&self) -> &Features {
        &self.epochs[0].features
    }

    /// The times at which rules change.
    pub(crate) fn cuts(&self) -> Vec<i64> {
        self.epochs[1..].iter().map(|epoch| epoch.start).collect()
    }
}
