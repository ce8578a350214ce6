//! What will happen, in the order of time.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use super::clockwork::{Later, Then};
use super::closed::What;
use super::figures::MINUTE;
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

/// A part of the time, ms: what is due in one comes into order when it begins.
const SPAN: i64 = MINUTE;

/// All that will happen. What lies in a later minute is put in order only when that minute comes:
/// few things at a time are sorted, which then stay in the processor's cache.
pub(super) struct Agenda {
    /// What was planned before its minute came, the next thing last.
    due: Vec<Due>,
    /// What was planned within it.
    sudden: BinaryHeap<Reverse<Due>>,
    /// The minute of both; nothing in there is later.
    minute: i64,
    /// What lies in the minutes after that, one by one.
    later: VecDeque<Vec<Due>>,
    planned: u64,
}

impl Agenda {
    /// An empty one, from a time on.
    pub(super) fn from(time: i64) -> Agenda {
        Agenda {
            due: Vec::new(),
            sudden: BinaryHeap::new(),
            minute: time.div_euclid(SPAN),
            later: VecDeque::new(),
            planned: 0,
        }
    }

    pub(super) fn add(&mut self, time: i64, act: Act) {
        self.planned += 1;
        let due = Due { time, number: self.planned, act };
        let minutes = time.div_euclid(SPAN) - self.minute;
        if minutes <= 0 {
            return self.sudden.push(Reverse(due));
        }
        let at = minutes as usize - 1;
        if self.later.len() <= at {
            self.later.resize_with(at + 1, Vec::new);
        }
        self.later[at].push(due);
    }

    pub(super) fn next(&mut self) -> Option<Due> {
        self.next_time()?;
        if self.is_sudden() {
            return self.sudden.pop().map(|Reverse(due)| due);
        }
        self.due.pop()
    }

    /// When the next thing happens.
    pub(super) fn next_time(&mut self) -> Option<i64> {
        while self.due.is_empty() && self.sudden.is_empty() {
            self.due = self.later.pop_front()?;
            self.due.sort_unstable_by(|one, other| other.cmp(one));
            self.minute += 1;
        }
        match self.is_sudden() {
            true => self.sudden.peek().map(|Reverse(due)| due.time),
            false => self.due.last().map(|due| due.time),
        }
    }

    /// Whether the next thing was planned within its minute.
    fn is_sudden(&self) -> bool {
        let Some(Reverse(sudden)) = self.sudden.peek() else { return false };
        self.due.last().is_none_or(|due| sudden < due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::random::Rng;

    #[test]
    fn what_was_planned_comes_by_time_and_of_equal_times_in_the_order_of_planning() {
        let mut rng = Rng::named(1, "agenda", 0);
        let mut agenda = Agenda::from(5 * SPAN);
        let (mut waiting, mut now) = (std::collections::BTreeSet::new(), 5 * SPAN);
        for number in 0..5_000 {
            // Some at once, some within the minute, some much later.
            let time =
                now + rng.below([1, 50, 3 * SPAN as u64, 60 * SPAN as u64][number % 4]) as i64;
            agenda.add(time, Act::Login(Account(number as u32)));
            waiting.insert((time, number as u32));
            if rng.chance(0.45) {
                assert_eq!(agenda.next_time(), waiting.first().map(|first| first.0));
                now = took(&mut agenda, &mut waiting);
            }
        }
        while !waiting.is_empty() {
            took(&mut agenda, &mut waiting);
        }
        assert!(agenda.next().is_none());
    }

    fn took(agenda: &mut Agenda, waiting: &mut std::collections::BTreeSet<(i64, u32)>) -> i64 {
        let due = agenda.next().unwrap();
        let Act::Login(account) = due.act else { panic!("only that was planned") };
        assert_eq!(waiting.pop_first(), Some((due.time, account.0)));
        due.time
    }
}
