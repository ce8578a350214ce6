//! The review desk: people who look at held transactions, so many a day, and now and then are wrong.

use std::collections::VecDeque;

use super::World;
use crate::packet::reply::Seq;
use crate::simulate::agenda::Act;
use crate::simulate::figures::{DAY, HOUR};

/// The desk's hours, of the day.
const OPENS: i64 = 9 * HOUR;
const SHUTS: i64 = 21 * HOUR;

/// What waits to be looked at, first come first served.
#[derive(Default)]
pub(super) struct Desk {
    waiting: VecDeque<Seq>,
    /// Whether somebody will look.
    planned: bool,
}

impl World {
    /// A held transaction comes to the desk.
    pub(super) fn queue(&mut self, transaction: Seq) {
        self.closed().desk.waiting.push_back(transaction);
        self.plan_look();
    }

    /// Plans the next look, when one has been taken or the desk opens.
    fn plan_look(&mut self) {
        let a_day = self.closed().reactions.desk_a_day;
        let desk = &mut self.closed().desk;
        if a_day == 0 || desk.planned || desk.waiting.is_empty() {
            return;
        }
        desk.planned = true;
        let hour = (self.now - self.start).rem_euclid(DAY);
        let midnight = self.now - hour;
        let begins = match hour {
            ..OPENS => midnight + OPENS,
            OPENS..SHUTS => self.now,
            _ => midnight + DAY + OPENS,
        };
        self.plan(begins + (SHUTS - OPENS) / a_day, Act::Look);
    }

    /// Somebody has looked at what came first. The desk works until nothing waits, also after the
    /// last day.
    pub(in crate::simulate) fn desk_looks(&mut self) {
        self.closed().desk.planned = false;
        self.look();
        self.plan_look();
    }

    /// Decides by what is true, and sometimes by mistake the other way.
    fn look(&mut self) {
        let closed = self.closed();
        let (waiting, held) = (&mut closed.desk.waiting, &closed.held);
        // The time of some is over.
        while waiting.front().is_some_and(|first| !held.contains_key(first)) {
            waiting.pop_front();
        }
        let Some(transaction) = waiting.pop_front() else { return };
        let subject = held[&transaction].awaited.subject;
        let wrong = closed.rng.below(1_000) < closed.reactions.desk_errors_permille as u64;
        let honest = self.fraud_of(&subject).is_none();
        self.closed().tally.looked(wrong, honest);
        self.resolve(transaction, honest != wrong);
    }
}
