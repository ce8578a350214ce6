//! Keyed by account: the groups in which it acted, as of the moments of the graph.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::{Change, ClusterOptions};
use crate::features::state::LOOK_AHEAD;
use crate::features::state::recents::Recents;
use crate::features::state_map::SWEEP_MS;
use crate::keyed::{KEY_GROUPS, Key};

/// An account and a group; 128 bits stand for each.
pub(crate) type Membership = (u128, [u64; 2]);

/// The groups of each account.
pub(crate) struct AccountGroups {
    options: ClusterOptions,
    /// By key group: one big map would stall when it grows.
    accounts: Vec<Accounts>,
    /// What has happened and does not count yet, in the order of time.
    pending: VecDeque<Act>,
    /// When a group of a linked account may have to go.
    due: BTreeMap<i64, Vec<u128>>,
}

/// The accounts of one key group.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Accounts {
    map: HashMap<u128, Account, FxBuildHasher>,
    survivors: usize,
    /// When the next sweep is due at the latest.
    sweep_at: i64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Act {
    time: i64,
    account: u128,
    group: [u64; 2],
}

#[derive(Default, Serialize, Deserialize)]
struct Account {
    groups: Recents,
    /// How many edges link it to others.
    edges: u32,
    /// Whether it is due to be looked at.
    watched: bool,
}

/// What is kept of the accounts of one key group, to be written down: the accounts, what is
/// pending, and when which is due.
pub(crate) type GroupOut<'g> = (&'g Accounts, Vec<Act>, Vec<(i64, u128)>);

/// The same, read back.
pub(crate) type GroupIn = (Accounts, Vec<Act>, Vec<(i64, u128)>);

impl AccountGroups {
    /// What is kept, by key group.
    pub(crate) fn save(&self) -> Vec<GroupOut<'_>> {
        let kept = self.accounts.iter().map(|accounts| (accounts, Vec::new(), Vec::new()));
        let mut groups: Vec<GroupOut<'_>> = kept.collect();
        for act in &self.pending {
            groups[key_group(act.account)].1.push(*act);
        }
        for (moment, accounts) in &self.due {
            for account in accounts {
                groups[key_group(*account)].2.push((*moment, *account));
            }
        }
        groups
    }

    /// Takes in what was kept of a key group.
    pub(crate) fn load(&mut self, number: usize, (accounts, pending, due): GroupIn) {
        self.accounts[number] = accounts;
        self.pending.extend(pending);
        // Of one account they stay in their order.
        self.pending.make_contiguous().sort_by_key(|act| act.time);
        for (moment, account) in due {
            self.due.entry(moment).or_default().push(account);
        }
    }

    pub(crate) fn new(options: ClusterOptions) -> AccountGroups {
        AccountGroups {
            options,
            accounts: (0..KEY_GROUPS).map(|_| Accounts::default()).collect(),
            pending: VecDeque::new(),
            due: BTreeMap::new(),
        }
    }

    /// Takes an event of an account in a group; events come in the order of time.
    pub(crate) fn act(&mut self, account: u128, group: [u64; 2], time: i64) {
        self.pending.push_back(Act { time, account, group });
    }

    /// Reads what is kept of accounts that are asked for next: the waits for memory then overlap.
    pub(crate) fn look_ahead(&self, accounts: impl Iterator<Item = u128>) {
        let touch = |account: u128| {
            let map = &self.accounts[key_group(account)].map;
            map.get(&account).map_or(0, |state| state.groups.touch())
        };
        std::hint::black_box(accounts.fold(0, |all, account| all ^ touch(account)));
    }

    /// The number of groups of an account as of `now`, until which all is applied.
    pub(crate) fn count(&mut self, account: u128, now: i64) -> i64 {
        match part(&mut self.accounts, account).map.get_mut(&account) {
            Some(state) => {
                state.expire(&self.options, now, |_| {});
                state.groups.len() as i64
            }
            None => 0,
        }
    }

    /// At `now` an account has so many edges more or fewer. While it has one its groups are told.
    pub(crate) fn link(
        &mut self,
        account: u128,
        edges: i64,
        now: i64,
        changes: &mut Vec<Change<Membership>>,
    ) {
        let state = part(&mut self.accounts, account).map.entry(account).or_default();
        let before = state.edges;
        let after = i64::from(before) + edges;
        state.edges = u32::try_from(after).expect("an edge goes once, after it came");
        if before == 0 && after > 0 {
            state.expire(&self.options, now, |_| {});
            changes.extend(state.groups.each().map(|group| ((account, group), now, 1)));
            watch(state, account, &self.options, &mut self.due);
        } else if before > 0 && after == 0 {
            changes.extend(state.groups.each().map(|group| ((account, group), now, -1)));
        }
    }

    /// The next moment at which something changes.
    pub(crate) fn next_due(&self) -> Option<i64> {
        let entering = self.pending.front().map(|act| self.options.enters(act.time));
        entering.into_iter().chain(self.due.keys().next().copied()).min()
    }

    /// Applies what changes at `now`, the next moment due, and tells it of linked accounts.
    pub(crate) fn step(&mut self, now: i64, changes: &mut Vec<Change<Membership>>) {
        let entering = |act: &Act| self.options.enters(act.time) <= now;
        let mut count = self.pending.partition_point(entering);
        while count > 0 {
            let block = count.min(LOOK_AHEAD);
            self.look_ahead(self.pending.iter().take(block).map(|act| act.account));
            for _ in 0..block {
                if let Some(act) = self.pending.pop_front() {
                    self.enter(act, now, changes);
                }
            }
            count -= block;
        }
        for account in self.due.remove(&now).unwrap_or_default() {
            let Some(state) = part(&mut self.accounts, account).map.get_mut(&account) else {
                continue;
            };
            state.watched = false;
            state.expire(&self.options, now, |group| {
                changes.push(((account, group), now, -1));
            });
            watch(state, account, &self.options, &mut self.due);
        }
    }

    fn enter(&mut self, act: Act, now: i64, changes: &mut Vec<Change<Membership>>) {
        let accounts = part(&mut self.accounts, act.account);
        accounts.sweep_when_due(now, self.options.window);
        let state = accounts.map.entry(act.account).or_default();
        if state.edges == 0 {
            state.expire(&self.options, now, |_| {});
        }
        let is_new = state.groups.see(act.group, act.time, &mut [], std::iter::empty());
        if state.edges > 0 {
            if is_new {
                changes.push(((act.account, act.group), now, 1));
            }
            watch(state, act.account, &self.options, &mut self.due);
        }
    }
}

/// A linked account is looked at again when its oldest group may have to go.
fn watch(
    state: &mut Account,
    account: u128,
    options: &ClusterOptions,
    due: &mut BTreeMap<i64, Vec<u128>>,
) {
    if state.edges == 0 || state.watched {
        return;
    }
    if let Some(oldest) = state.groups.oldest() {
        due.entry(options.leaves(oldest)).or_default().push(account);
        state.watched = true;
    }
}

fn part(accounts: &mut [Accounts], account: u128) -> &mut Accounts {
    &mut accounts[key_group(account)]
}

fn key_group(account: u128) -> usize {
    Key { hash: account, check: 0 }.group()
}

impl Accounts {
    /// Forgets accounts that are not linked and of which nothing is in the window any more: when
    /// they have doubled since the last time, or a day has passed.
    fn sweep_when_due(&mut self, now: i64, window: i64) {
        const ACCOUNTS_MIN: usize = 32;
        if self.map.len() < 2 * self.survivors + ACCOUNTS_MIN && now < self.sweep_at {
            return;
        }
        self.map.retain(|_, account| {
            account.edges > 0 || account.groups.newest().is_some_and(|last| last >= now - window)
        });
        if self.map.len() * 8 < self.map.capacity() {
            self.map.shrink_to(2 * self.map.len());
        }
        self.survivors = self.map.len();
        self.sweep_at = now.saturating_add(SWEEP_MS);
    }
}

impl Account {
    /// Forgets the groups that the window does not hold any more at `now`, and tells them of a
    /// linked account.
    fn expire(&mut self, options: &ClusterOptions, now: i64, mut gone: impl FnMut([u64; 2])) {
        while self.groups.oldest().is_some_and(|last| last < now - options.window) {
            if let Some(group) = self.groups.forget_oldest()
                && self.edges > 0
            {
                gone(group);
            }
        }
        self.groups.compact(&mut [], std::iter::empty());
    }
}
