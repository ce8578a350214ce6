//! Counts and money, added up.

use serde::Serialize;

use crate::score::Verdict;

/// A number of transactions and the money in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Their money. Stops at the largest integer instead of wrapping; 10^7 of the largest
    /// amounts would be needed to get there.
    pub fen: i64,
}

impl Tally {
    /// Adds one transaction.
    #[inline]
    pub fn add(&mut self, fen: i64) {
        self.count += 1;
        self.fen = self.fen.saturating_add(fen);
    }

    /// Both together.
    pub fn and(self, other: Tally) -> Tally {
        Tally { count: self.count + other.count, fen: self.fen.saturating_add(other.fen) }
    }
}

/// What was decided on some transactions, and where their money is. Each transaction's amount
/// stands under exactly one decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mix {
    /// Allowed.
    pub allow: Tally,
    /// Let through for a person to look at.
    pub review: Tally,
    /// Held.
    pub hold: Tally,
    /// Blocked.
    pub block: Tally,
    /// Of the held and blocked: by an account that had been stopped before, in the warm-up too.
    pub stopped_again: Tally,
    /// Of the allowed and reviewed: moved by an account that had been stopped before. This money
    /// did move; it would not have, had the account been restricted at its first stop.
    pub moved_after_stop: Tally,
}

impl Mix {
    /// Adds one transaction.
    #[inline]
    pub(super) fn add(&mut self, verdict: Verdict, fen: i64, stopped_before: bool) {
        match verdict {
            Verdict::Allow => self.allow.add(fen),
            Verdict::Review => self.review.add(fen),
            Verdict::Hold => self.hold.add(fen),
            Verdict::Block => self.block.add(fen),
        }
        if stopped_before {
            let stops = verdict >= Verdict::Hold;
            if stops { self.stopped_again.add(fen) } else { self.moved_after_stop.add(fen) }
        }
    }

    /// Held and blocked.
    pub fn stopped(&self) -> Tally {
        self.hold.and(self.block)
    }

    /// Every decision but allow.
    pub fn alerts(&self) -> Tally {
        self.review.and(self.stopped())
    }

    /// All.
    pub fn total(&self) -> Tally {
        self.allow.and(self.alerts())
    }
}
