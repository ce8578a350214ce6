//! On every worker: the clusters as of a moment, from their changes.

use std::collections::VecDeque;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::forest::NONE;
use super::spread::Spread;
use crate::snapshot::{self, Broken, Share, Snapshot};

/// What became of accounts and components at one moment. Accounts and components have numbers,
/// which others may take after them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// The moment.
    pub(crate) time: i64,
    /// Accounts that nothing links any more; they go before the others come.
    pub(crate) gone: Vec<(u32, u128)>,
    pub(crate) come: Vec<Come>,
    /// Accounts that are in another component now, and in which.
    pub(crate) moved: Vec<(u32, u32)>,
    pub(crate) described: Vec<Described>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        let Changes { gone, come, moved, described, .. } = self;
        gone.is_empty() && come.is_empty() && moved.is_empty() && described.is_empty()
    }
}

/// An account that is linked from now on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Come {
    pub(crate) account: u32,
    pub(crate) key: u128,
    pub(crate) name: CompactString,
}

/// What is known of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Described {
    pub(crate) component: u32,
    /// Its account of the smallest id.
    pub(crate) smallest: u32,
    pub(crate) accounts: u32,
    pub(crate) groups: u32,
}

/// What is known of an account that something links to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Linked<'v> {
    pub(crate) id: &'v str,
    pub(crate) accounts: i64,
    pub(crate) groups: i64,
}

/// The clusters as of the moment to which changes have been applied.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ClusterView {
    waiting: VecDeque<Changes>,
    numbers: Spread<u128, u32>,
    /// The id and component of each account, by number.
    accounts: Vec<(CompactString, u32)>,
    components: Vec<Described>,
}

impl Snapshot for ClusterView {
    fn share(&self) -> Share {
        Share::Whole
    }

    fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>)) {
        put(0, snapshot::encode(self));
    }

    fn load(&mut self, _: usize, bytes: &[u8]) -> Result<(), Broken> {
        *self = snapshot::decode(bytes)?;
        Ok(())
    }
}

impl ClusterView {
    /// Takes the changes of the moment after all that were taken.
    pub(crate) fn take(&mut self, changes: Changes) {
        debug_assert!(self.waiting.back().is_none_or(|last| last.time < changes.time));
        self.waiting.push_back(changes);
    }

    /// Applies all changes until `now`.
    pub(crate) fn advance(&mut self, now: i64) {
        while self.waiting.front().is_some_and(|first| first.time <= now) {
            if let Some(changes) = self.waiting.pop_front() {
                self.apply(changes);
            }
        }
    }

    /// What links an account to others, if something does.
    pub(crate) fn linked(&self, account: u128) -> Option<Linked<'_>> {
        let number = *self.numbers.get(&account)?;
        let (_, component) = self.accounts[number as usize];
        let Described { smallest, accounts, groups, .. } = self.components[component as usize];
        let (id, _) = &self.accounts[smallest as usize];
        Some(Linked { id, accounts: i64::from(accounts), groups: i64::from(groups) })
    }

    fn apply(&mut self, changes: Changes) {
        for (account, key) in changes.gone {
            self.numbers.remove(&key);
            self.accounts[account as usize] = (CompactString::default(), NONE);
        }
        for Come { account, key, name } in changes.come {
            let at = account as usize;
            if self.accounts.len() <= at {
                self.accounts.resize(at + 1, (CompactString::default(), NONE));
            }
            self.accounts[at].0 = name;
            self.numbers.insert(key, account);
        }
        for (account, component) in changes.moved {
            self.accounts[account as usize].1 = component;
        }
        for described in changes.described {
            let at = described.component as usize;
            if self.components.len() <= at {
                let nothing = Described { component: 0, smallest: NONE, accounts: 0, groups: 0 };
                self.components.resize(at + 1, nothing);
            }
            self.components[at] = described;
        }
    }
}
