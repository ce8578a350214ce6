//! Keyed by account: the groups in which it acted, as of the moments of the graph.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::{Change, ClusterOptions};
use crate::features::state::tally::{Layout, Tally};

/// An account and a group, for which 128 bits stand.
pub(crate) type Membership = (String, [u64; 2]);

/// One window counts a tally's groups.
const LAYOUT: Layout = Layout { windows: 1 };

/// The groups of each account.
pub(crate) struct AccountGroups {
    options: ClusterOptions,
    accounts: HashMap<u128, Account, FxBuildHasher>,
    /// When something changes for a linked account.
    due: BTreeMap<i64, Vec<u128>>,
    survivors: usize,
}

#[derive(Default)]
struct Account {
    /// Effective time and slot of the group, oldest first.
    ring: VecDeque<(i64, u32)>,
    /// How many of the ring have entered the window.
    entered: usize,
    tally: Tally,
    distinct: i64,
    /// Its id, while a device links it to others.
    linked: Option<String>,
}

impl AccountGroups {
    pub(crate) fn new(options: ClusterOptions) -> AccountGroups {
        AccountGroups { options, accounts: HashMap::default(), due: BTreeMap::new(), survivors: 0 }
    }

    /// Takes an event of an account in a group.
    pub(crate) fn act(&mut self, account: u128, group: [u64; 2], time: i64) {
        self.sweep_when_due(time);
        let state = self.accounts.entry(account).or_default();
        let slot = state.tally.hold(group, LAYOUT);
        state.ring.push_back((time, slot));
        if state.linked.is_some() {
            self.due.entry(self.options.enters(time)).or_default().push(account);
        }
    }

    /// The number of groups of an account as of `now`.
    pub(crate) fn count(&mut self, account: u128, now: i64) -> i64 {
        match self.accounts.get_mut(&account) {
            Some(state) => {
                state.advance(&self.options, now, &mut |_, _| {});
                state.distinct
            }
            None => 0,
        }
    }

    /// A device begins to link an account at `now`: from here on its groups are told.
    pub(crate) fn link(
        &mut self,
        account: u128,
        id: &str,
        now: i64,
        changes: &mut Vec<Change<Membership>>,
    ) {
        let state = self.accounts.entry(account).or_default();
        state.advance(&self.options, now, &mut |_, _| {});
        state.tally.each(0, LAYOUT, |group| {
            changes.push(((id.to_owned(), group), now as u64, 1));
        });
        state.linked = Some(id.to_owned());
        if let Some(next) = state.next(&self.options) {
            self.due.entry(next).or_default().push(account);
        }
    }

    /// No device links an account any more at `now`.
    pub(crate) fn unlink(
        &mut self,
        account: u128,
        now: i64,
        changes: &mut Vec<Change<Membership>>,
    ) {
        let Some(state) = self.accounts.get_mut(&account) else {
            return;
        };
        let Some(id) = state.linked.take() else {
            return;
        };
        state.tally.each(0, LAYOUT, |group| {
            changes.push(((id.clone(), group), now as u64, -1));
        });
    }

    /// The next moment at which something changes for a linked account.
    pub(crate) fn next_due(&self) -> Option<i64> {
        self.due.keys().next().copied()
    }

    /// Says what changes for linked accounts at `now`, the next moment due.
    pub(crate) fn step(&mut self, now: i64, changes: &mut Vec<Change<Membership>>) {
        for account in self.due.remove(&now).unwrap_or_default() {
            let Some(state) = self.accounts.get_mut(&account) else {
                continue;
            };
            let Some(id) = state.linked.clone() else {
                continue;
            };
            state.advance(&self.options, now, &mut |group, by| {
                changes.push(((id.clone(), group), now as u64, by));
            });
            if let Some(next) = state.next(&self.options) {
                self.due.entry(next).or_default().push(account);
            }
        }
    }

    /// Forgets accounts that are not linked and of which nothing is in the window any more.
    fn sweep_when_due(&mut self, now: i64) {
        if self.accounts.len() < 2 * self.survivors + 64 {
            return;
        }
        let oldest = now - self.options.window - 2 * self.options.graph_tick;
        self.accounts.retain(|_, account| {
            account.linked.is_some() || account.ring.back().is_some_and(|(time, _)| *time >= oldest)
        });
        self.survivors = self.accounts.len();
    }
}

impl Account {
    /// Brings the window to `now`, and tells each group that comes or goes.
    fn advance(
        &mut self,
        options: &ClusterOptions,
        now: i64,
        told: &mut dyn FnMut([u64; 2], isize),
    ) {
        while let Some(&(time, slot)) = self.ring.get(self.entered) {
            if time >= now {
                break;
            }
            self.entered += 1;
            if self.tally.enter(0, slot, LAYOUT).before == 0 {
                self.distinct += 1;
                told(self.tally.value(slot, LAYOUT), 1);
            }
        }
        while let Some(&(time, slot)) = self.ring.front() {
            if self.entered == 0 || time >= now - options.window {
                break;
            }
            self.ring.pop_front();
            self.entered -= 1;
            if self.tally.leave(0, slot, LAYOUT).after == 0 {
                self.distinct -= 1;
                told(self.tally.value(slot, LAYOUT), -1);
            }
            self.tally.release(slot, LAYOUT);
        }
    }

    /// The next moment at which the window changes.
    fn next(&self, options: &ClusterOptions) -> Option<i64> {
        let entering = self.ring.get(self.entered).map(|(time, _)| options.enters(*time));
        let leaving = self.ring.front().map(|(time, _)| options.leaves(*time));
        entering.into_iter().chain(leaving).min()
    }
}
