//! On every worker: the clusters as of a moment, from their changes.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

/// A change of what is known of clusters, at a moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ClusterChange {
    /// An account's cluster.
    Label(String, String),
    /// A cluster's number of accounts.
    Size(String, isize),
    /// A cluster's number of groups.
    Groups(String, isize),
}

/// What is known of an account that shared devices link to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Linked<'v> {
    pub(crate) id: &'v str,
    pub(crate) accounts: i64,
    pub(crate) groups: i64,
}

/// The clusters as of the moment to which changes have been applied.
#[derive(Default)]
pub(crate) struct ClusterView {
    waiting: BTreeMap<i64, Vec<(ClusterChange, isize)>>,
    labels: HashMap<String, String, FxBuildHasher>,
    sizes: HashMap<String, isize, FxBuildHasher>,
    groups: HashMap<String, isize, FxBuildHasher>,
}

impl ClusterView {
    /// Takes a change that becomes true at `time`.
    pub(crate) fn take(&mut self, change: ClusterChange, time: i64, by: isize) {
        self.waiting.entry(time).or_default().push((change, by));
    }

    /// Applies all changes until `now`.
    pub(crate) fn advance(&mut self, now: i64) {
        while let Some(first) = self.waiting.first_entry() {
            if *first.key() > now {
                return;
            }
            let changes = first.remove();
            // What goes, goes before what comes: a new label takes the place of the old one.
            let (gone, come): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, by)| *by < 0);
            for (change, _) in gone {
                match change {
                    ClusterChange::Label(account, _) => drop(self.labels.remove(&account)),
                    ClusterChange::Size(label, _) => drop(self.sizes.remove(&label)),
                    ClusterChange::Groups(label, _) => drop(self.groups.remove(&label)),
                }
            }
            for (change, _) in come {
                match change {
                    ClusterChange::Label(account, label) => {
                        self.labels.insert(account, label);
                    }
                    ClusterChange::Size(label, size) => {
                        self.sizes.insert(label, size);
                    }
                    ClusterChange::Groups(label, groups) => {
                        self.groups.insert(label, groups);
                    }
                }
            }
        }
    }

    /// What links an account to others, if something does.
    pub(crate) fn linked(&self, account: &str) -> Option<Linked<'_>> {
        let id = self.labels.get(account)?;
        let count = |of: &HashMap<String, isize, FxBuildHasher>| {
            of.get(id).map_or(0, |count| *count as i64)
        };
        Some(Linked { id, accounts: count(&self.sizes), groups: count(&self.groups) })
    }
}
