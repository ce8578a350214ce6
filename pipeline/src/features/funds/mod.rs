//! Funds: what an account's money did in the last 24 hours, and whom it went through.
//!
//! `flows` is exact to the event; `chains` and `cycles` are as of the moments of the graph, see
//! [`GraphTick`]. `requests` says what a slice of events asks, and `keepers` answers.

mod chains;
mod cycles;
mod flows;
pub(crate) mod keepers;
mod neighbours;
#[cfg(test)]
mod oracle;
pub(crate) mod requests;

use super::state::Usage;

/// The moments as of which graphs are seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GraphTick(pub(crate) i64);

impl GraphTick {
    /// The moment as of which a transaction at `time` sees graphs: one to two ticks before.
    pub(crate) fn known(self, time: i64) -> i64 {
        (time.div_euclid(self.0) - 1) * self.0
    }

    /// The first moment after `time`: from then on an event at `time` is seen.
    pub(crate) fn enters(self, time: i64) -> i64 {
        (time.div_euclid(self.0) + 1) * self.0
    }

    /// The number of a moment; numbers wrap around.
    fn number(self, moment: i64) -> u32 {
        moment.div_euclid(self.0) as u32
    }

    /// The moment of a number that is not before `from` and less than 2^32 ticks after it.
    fn moment(self, number: u32, from: i64) -> i64 {
        from + i64::from(number.wrapping_sub(self.number(from))) * self.0
    }
}
