//! What will happen, in the order of time.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use super::clockwork::{Later, Then};
use super::closed::What;
use super::figures::HOUR;
use super::life::Plan;
use super::packets::{Offer, Taker, Transfer};
use super::world::{Account, Group, SchemeId};
use crate::packet::units::Time;

/// Something that will happen.
pub(super) enum Act {
    Claim {
        packet: u32,
        account: Account,
        scheme: Option<SchemeId>,
    },
    Expire(Time),
    Spend(Account),
    Packet(Box<Plan>),
    Chat(Account, Group),
    Login(Account),
    Join(Account, Group, Option<SchemeId>),
    Pay(Box<Transfer>),
    Send(Box<(Offer, Vec<Taker>, Option<Then>)>),
    Call(Later),
    /// What was blocked is tried once more.
    Again(Box<What>),
    /// The review desk looks at a held transaction.
    Look,
}

pub(super) struct Due {
    pub(super) time: i64,
    /// Of equal times, what was planned first comes first.
    number: u64,
    pub(super) act: Act,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        (self.time, self.number).cmp(&(other.time, other.number))
    }
}

/// All that will happen. What lies in a later hour is put in order only when that hour comes: few
/// things at a time are in the heap, which then stays in the processor's cache.
#[derive(Default)]
pub(super) struct Agenda {
    due: BinaryHeap<Reverse<Due>>,
    /// The hour of what is in the heap; nothing in there is later.
    hour: i64,
    later: BTreeMap<i64, Vec<Reverse<Due>>>,
    planned: u64,
}

impl Agenda {
    pub(super) fn add(&mut self, time: i64, act: Act) {
        self.planned += 1;
        let due = Reverse(Due { time, number: self.planned, act });
        match time.div_euclid(HOUR) {
            hour if hour <= self.hour => self.due.push(due),
            hour => self.later.entry(hour).or_default().push(due),
        }
    }

    pub(super) fn next(&mut self) -> Option<Due> {
        self.next_time()?;
        self.due.pop().map(|Reverse(due)| due)
    }

    /// When the next thing happens.
    pub(super) fn next_time(&mut self) -> Option<i64> {
        if self.due.is_empty() {
            let (hour, due) = self.later.pop_first()?;
            (self.hour, self.due) = (hour, BinaryHeap::from(due));
        }
        self.due.peek().map(|Reverse(due)| due.time)
    }
}
