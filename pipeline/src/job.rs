//! What a run needs, from whichever command it comes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::features::Features;
use crate::score::Scorer;
use crate::source::order::Ordered;

/// What a run needs, shared by its workers.
pub struct Job {
    /// The events, in total order.
    pub events: Ordered,
    /// The features.
    pub features: Arc<Features>,
    /// The rules and what they add up to.
    pub scorer: Arc<Scorer>,
    /// Set when the run is to end at the next tick.
    pub interrupted: Arc<AtomicBool>,
}
