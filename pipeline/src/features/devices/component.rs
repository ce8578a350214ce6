//! What is kept of a component of the graph, so that a small change of a large one costs little.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use compact_str::CompactString;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

/// A component with more vertices keeps its smallest id and its groups up to date; one with fewer
/// is walked through when it has changed.
pub(super) const LARGE: usize = 64;

/// A component.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Component {
    /// A vertex of it.
    pub(super) anchor: u32,
    pub(super) vertices: u32,
    pub(super) accounts: u32,
    pub(super) large: Option<Box<Large>>,
    /// Whether it is among those that have changed at the moment in hand.
    pub(super) is_touched: bool,
}

/// What a large component keeps up to date.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Large {
    /// Its accounts, smallest id first. Accounts that have gone stay until they come up.
    by_name: BinaryHeap<Reverse<Named>>,
    /// While they are tidied: those that are still there, in order.
    tidied: Option<Vec<Reverse<Named>>>,
    /// How many memberships there are of each group.
    groups: HashMap<u32, u32, FxBuildHasher>,
}

/// An account in the order of ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Named {
    name: CompactString,
    vertex: u32,
    /// Tells it from another account that has its number later.
    born: u32,
}

impl Large {
    /// Takes in an account: id, number and birth, and its groups.
    pub(super) fn add(&mut self, name: &CompactString, (vertex, born): (u32, u32), groups: &[u32]) {
        self.by_name.push(Reverse(Named { name: name.clone(), vertex, born }));
        groups.iter().for_each(|group| self.count(*group, 1));
    }

    pub(super) fn count(&mut self, group: u32, by: u32) {
        *self.groups.entry(group).or_default() += by;
    }

    /// One membership of a group goes.
    pub(super) fn uncount(&mut self, group: u32) {
        let count = self.groups.get_mut(&group).expect("a membership was counted before it goes");
        *count -= 1;
        if *count == 0 {
            self.groups.remove(&group);
        }
    }

    /// In how many groups its accounts acted.
    pub(super) fn groups(&self) -> u32 {
        self.groups.len() as u32
    }

    /// Looks at so many names at most: the smallest one is of an account that is still there, and
    /// those that have gone are less than half. Says how many it looked at, and whether that is so
    /// now; until it is, nothing else may be asked. `is_held` says whether one is still there.
    pub(super) fn tidy(
        &mut self,
        accounts: usize,
        names_max: usize,
        is_held: impl Fn(u32, u32) -> bool,
    ) -> (usize, bool) {
        if self.tidied.is_none() && self.by_name.len() > 2 * accounts {
            self.tidied = Some(Vec::with_capacity(accounts));
        }
        for looked_at in 0..names_max {
            let Some(Reverse(first)) = self.by_name.peek() else {
                // They came in order.
                self.by_name = self.tidied.take().map(BinaryHeap::from).unwrap_or_default();
                return (looked_at, true);
            };
            let is_held = is_held(first.vertex, first.born);
            let Some(tidied) = &mut self.tidied else {
                if is_held {
                    return (looked_at, true);
                }
                self.by_name.pop();
                continue;
            };
            // An account that left and came back is there twice, one after the other.
            let first = self.by_name.pop().filter(|first| is_held && tidied.last() != Some(first));
            tidied.extend(first);
        }
        (names_max, false)
    }

    /// The account of the smallest id, once all is tidy.
    pub(super) fn smallest(&self) -> Option<u32> {
        self.by_name.peek().map(|Reverse(first)| first.vertex)
    }
}
