//! What falls due: decisions that did not come, holds that nobody ended, packets whose time is
//! over.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::packet::bugs::{Bug, made};
use crate::packet::units::Time;

/// Something that falls due. The order is that in which things of one moment are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Due {
    /// A transaction, of this number, without a decision.
    Decision(u64),
    /// A held transaction.
    Hold(u64),
    /// A packet's end.
    Expiry(u64),
}

/// All that will fall due.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Listed", into = "Listed")]
pub(super) struct Agenda {
    /// Decisions all have the same time, so they fall due in the order in which they came.
    decisions: VecDeque<(Time, Due)>,
    others: BinaryHeap<Reverse<(Time, Due)>>,
}

impl Agenda {
    pub(super) fn add(&mut self, time: Time, due: Due) {
        match due {
            Due::Decision(_) => {
                assert!(self.decisions.back().is_none_or(|last| last.0 <= time));
                self.decisions.push_back((time, due));
            }
            Due::Hold(_) | Due::Expiry(_) => self.others.push(Reverse((time, due))),
        }
    }

    /// The next thing that is due at a moment.
    pub(super) fn next(&mut self, now: Time) -> Option<Due> {
        let decision = self.decisions.front().copied();
        let other = self.others.peek().map(|Reverse(other)| *other);
        let (time, due) = match (decision, other) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other)?,
        };
        if time > now || time == now && made(Bug::ExpiryWaitsOneMomentMore) {
            return None;
        }
        match due {
            Due::Decision(_) => {
                self.decisions.pop_front();
            }
            Due::Hold(_) | Due::Expiry(_) => {
                self.others.pop();
            }
        }
        Some(due)
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Listed {
    decisions: VecDeque<(Time, Due)>,
    others: Vec<(Time, Due)>,
}

impl From<Listed> for Agenda {
    fn from(listed: Listed) -> Agenda {
        let others = listed.others.into_iter().map(Reverse).collect();
        Agenda { decisions: listed.decisions, others }
    }
}

impl From<Agenda> for Listed {
    fn from(agenda: Agenda) -> Listed {
        let sorted = agenda.others.into_sorted_vec();
        let others = sorted.into_iter().rev().map(|Reverse(other)| other).collect();
        Listed { decisions: agenda.decisions, others }
    }
}
