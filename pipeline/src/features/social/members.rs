//! Who in a group gains and who pays: every member's money of the window, ordered both ways.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::group::{Id, NOBODY, give_back_map};

/// The members with money in the window.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Members {
    by_id: HashMap<Id, Member, FxBuildHasher>,
    /// How many members gain how much; who does not gain is not in it.
    gains: BTreeMap<i64, u32>,
    /// By what members paid: how many they are, and the fen that they gain together.
    by_paid: BTreeMap<i64, Payers>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Member {
    paid: i64,
    received: i64,
    /// Payments in the window that it made or received.
    payments: u32,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Payers {
    count: u32,
    gains: i64,
}

impl Member {
    fn gain(self) -> i64 {
        (self.received - self.paid).max(0)
    }
}

impl Members {
    /// A payment enters the window.
    pub(super) fn enter(&mut self, from: Id, to: Id, fen: i64) {
        self.change(from, |member| {
            member.paid += fen;
            member.payments += 1;
        });
        self.change(to, |member| {
            member.received += fen;
            member.payments += 1;
        });
    }

    /// A payment leaves the window.
    pub(super) fn leave(&mut self, from: Id, to: Id, fen: i64) {
        self.change(from, |member| {
            member.paid -= fen;
            member.payments -= 1;
        });
        self.change(to, |member| {
            member.received -= fen;
            member.payments -= 1;
        });
    }

    /// The largest that a member gains; 0 where nobody does.
    pub(super) fn largest_gain(&self) -> i64 {
        self.gains.last_key_value().map_or(0, |(gain, _)| *gain)
    }

    /// What those gain together who paid the least.
    pub(super) fn gains_of_least_payers(&self) -> i64 {
        self.by_paid.first_key_value().map_or(0, |(_, payers)| payers.gains)
    }

    /// Reads both ends, to have them near.
    pub(super) fn touch(&self) -> u64 {
        (self.largest_gain() ^ self.gains_of_least_payers()) as u64
    }

    /// Heap bytes in use, roughly: a B-tree node is about two thirds full.
    pub(super) fn heap_bytes(&self) -> usize {
        self.by_id.capacity() * (size_of::<(Id, Member)>() + 1)
            + self.gains.len() * 18
            + self.by_paid.len() * 36
    }

    fn change(&mut self, id: Id, change: impl Fn(&mut Member)) {
        if id == NOBODY {
            return;
        }
        let member = self.by_id.entry(id).or_default();
        let before = *member;
        change(member);
        let after = *member;
        if after.payments == 0 {
            self.by_id.remove(&id);
            give_back_map(&mut self.by_id);
        }
        if before.gain() != after.gain() {
            count(&mut self.gains, before.gain(), after.gain());
        }
        self.file(before, after);
    }

    fn file(&mut self, before: Member, after: Member) {
        let stays = before.payments > 0 && after.payments > 0 && before.paid == after.paid;
        if stays {
            if before.gain() != after.gain() {
                let payers = self.by_paid.entry(after.paid).or_default();
                payers.gains += after.gain() - before.gain();
            }
            return;
        }
        if before.payments > 0 {
            let payers = self.by_paid.entry(before.paid).or_default();
            payers.count -= 1;
            payers.gains -= before.gain();
            if payers.count == 0 {
                self.by_paid.remove(&before.paid);
            }
        }
        if after.payments > 0 {
            let payers = self.by_paid.entry(after.paid).or_default();
            payers.count += 1;
            payers.gains += after.gain();
        }
    }
}

/// One member moves from a gain to another; none is not counted.
fn count(gains: &mut BTreeMap<i64, u32>, before: i64, after: i64) {
    if before > 0
        && let Some(members) = gains.get_mut(&before)
    {
        *members -= 1;
        if *members == 0 {
            gains.remove(&before);
        }
    }
    if after > 0 {
        *gains.entry(after).or_default() += 1;
    }
}
