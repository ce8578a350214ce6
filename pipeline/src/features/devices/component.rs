//! What is kept of a component of the graph, so that a small change of a large one costs little.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use compact_str::CompactString;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

/// A component with more vertices keeps its smallest id and its groups up to date; one with fewer
/// is walked through when it has changed.
pub(super) const LARGE: usize = 64;

/// A component.
#[derive(Default)]
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
pub(super) struct Large {
    /// Its accounts, smallest id first. Accounts that have gone stay until they come up.
    by_name: BinaryHeap<Reverse<Named>>,
    /// How many memberships there are of each group.
    groups: HashMap<u32, u32, FxBuildHasher>,
}

/// An account in the order of ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    name: CompactString,
    vertex: u32,
    /// Tells it from another account that has its number later.
    born: u32,
}

impl Large {
    /// From the accounts: id, number, birth and groups of each.
    pub(super) fn new<'a>(
        accounts: impl Iterator<Item = (&'a CompactString, u32, u32, &'a [u32])>,
    ) -> Large {
        let mut groups: HashMap<u32, u32, FxBuildHasher> = HashMap::default();
        let mut named = Vec::new();
        for (name, vertex, born, own) in accounts {
            named.push(Reverse(Named { name: name.clone(), vertex, born }));
            own.iter().for_each(|group| *groups.entry(*group).or_default() += 1);
        }
        Large { by_name: BinaryHeap::from(named), groups }
    }

    /// Takes in all that another component holds.
    pub(super) fn absorb(&mut self, mut other: Large) {
        self.by_name.append(&mut other.by_name);
        if other.groups.len() > self.groups.len() {
            std::mem::swap(&mut self.groups, &mut other.groups);
        }
        for (group, count) in other.groups {
            self.count(group, count);
        }
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

    /// The account of the smallest id, of so many; `is_held` says whether one is still there.
    pub(super) fn smallest(
        &mut self,
        accounts: usize,
        is_held: impl Fn(u32, u32) -> bool,
    ) -> Option<u32> {
        if self.by_name.len() > 2 * accounts {
            let mut named = std::mem::take(&mut self.by_name).into_vec();
            named.retain(|Reverse(named)| is_held(named.vertex, named.born));
            // An account that left and came back may be there twice.
            if named.len() > accounts + accounts / 2 {
                named.sort_unstable();
                named.dedup();
            }
            self.by_name = BinaryHeap::from(named);
        }
        loop {
            let Reverse(first) = self.by_name.peek()?;
            if is_held(first.vertex, first.born) {
                return Some(first.vertex);
            }
            self.by_name.pop();
        }
    }
}
