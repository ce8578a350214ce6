//! What a run needs, from whichever command it comes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
        Job { events, epochs: vec![Epoch { start: i64::MIN, features, scorer }], interrupted }
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
