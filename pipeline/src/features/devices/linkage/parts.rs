//! What the graph is made with: walks through trees, and groups by number.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::{Edge, Site};
use crate::features::devices::forest::NONE;
use crate::features::devices::slab::Slab;
use crate::features::devices::spread::Spread;

/// So many vertices, edges or names are looked at in one piece; in tests few, so that small
/// components take several pieces too.
pub(super) const PIECE: usize = if cfg!(test) { 16 } else { 5_000 };

/// A walk through one tree of the forest, an edge at a time.
#[derive(Default)]
pub(super) struct Walk {
    /// The vertices reached so far, each with the edge by which it was.
    pub(super) reached: Vec<(u32, u32)>,
    /// The place of the vertex in hand, and the edge of it that is next.
    at: usize,
    next: u32,
}

/// Up to so many groups of an account are searched one by one.
const SEARCHED_MAX: usize = 64;
/// When so few are left, they are searched again.
const SEARCHED_AGAIN: usize = SEARCHED_MAX / 4;

/// The groups of an account, each once, in no order. Nearly all accounts have few; one of them may
/// have hundreds of thousands.
#[derive(Serialize, Deserialize)]
pub(super) enum Own {
    Few(Vec<u32>),
    Many(Box<Places>),
}

/// Groups, and where each stands among them.
#[derive(Serialize, Deserialize)]
pub(super) struct Places {
    list: Vec<u32>,
    places: HashMap<u32, u32, FxBuildHasher>,
}

/// The groups by number, each with how many memberships name it.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Groups {
    numbers: Spread<u128, u32>,
    held: Vec<(u128, u32)>,
    free: Vec<u32>,
}

impl Walk {
    pub(super) fn begin(&mut self, sites: &Slab<Site>, from: u32) {
        self.reached.clear();
        self.reached.push((from, NONE));
        self.at = 0;
        self.next = sites[from as usize].first;
    }

    /// Looks at one edge, or goes on to the next vertex; false at the end.
    pub(super) fn step(&mut self, sites: &Slab<Site>, edges: &Slab<Edge>) -> bool {
        let (vertex, by) = self.reached[self.at];
        if self.next == NONE {
            self.at += 1;
            let Some((vertex, _)) = self.reached.get(self.at) else { return false };
            self.next = sites[*vertex as usize].first;
            return true;
        }
        let edge = self.next;
        let Edge { ends, next, in_forest, .. } = edges[edge as usize];
        let side = usize::from(ends[1] == vertex);
        self.next = next[side];
        if in_forest && edge != by {
            self.reached.push((ends[1 - side], edge));
        }
        true
    }
}

impl Default for Own {
    fn default() -> Self {
        Own::Few(Vec::new())
    }
}

impl Own {
    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Own::Few(list) => list,
            Own::Many(many) => &many.list,
        }
    }

    /// Adds a group that is not there.
    pub(super) fn push(&mut self, group: u32) {
        match self {
            Own::Few(list) if list.len() < SEARCHED_MAX => list.push(group),
            Own::Few(list) => {
                let places = list.iter().copied().zip(0..).collect();
                *self = Own::Many(Box::new(Places { list: std::mem::take(list), places }));
                self.push(group);
            }
            Own::Many(many) => {
                many.places.insert(group, many.list.len() as u32);
                many.list.push(group);
            }
        }
    }

    /// Takes a group away that is there, and says how many were looked at.
    pub(super) fn remove(&mut self, group: u32) -> u64 {
        match self {
            Own::Few(list) => {
                let at = list.iter().position(|one| *one == group).expect("it came before it goes");
                list.swap_remove(at);
                at as u64 + 1
            }
            Own::Many(many) => {
                let at = many.places.remove(&group).expect("it came before it goes");
                many.list.swap_remove(at as usize);
                if let Some(moved) = many.list.get(at as usize) {
                    many.places.insert(*moved, at);
                }
                if many.list.len() <= SEARCHED_AGAIN {
                    *self = Own::Few(many.list.as_slice().to_vec());
                }
                1
            }
        }
    }
}

impl Groups {
    pub(super) fn take(&mut self, group: [u64; 2]) -> u32 {
        let key = u128::from(group[0]) | u128::from(group[1]) << 64;
        let number = *self.numbers.entry(key, || match self.free.pop() {
            Some(number) => number,
            None => {
                self.held.push((key, 0));
                (self.held.len() - 1) as u32
            }
        });
        let held = &mut self.held[number as usize];
        *held = (key, held.1 + 1);
        number
    }

    /// The number of a group of which one membership goes.
    pub(super) fn give_up(&mut self, group: [u64; 2]) -> u32 {
        let key = u128::from(group[0]) | u128::from(group[1]) << 64;
        let number = *self.numbers.get(&key).expect("it was taken");
        let held = &mut self.held[number as usize];
        held.1 -= 1;
        if held.1 == 0 {
            self.numbers.remove(&key);
            self.free.push(number);
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Hundreds of thousands of groups of one account come and go, and none is searched for long.
    #[test]
    fn groups_of_one_account_are_a_set_at_a_bounded_cost() {
        let (mut own, mut held) = (Own::default(), BTreeSet::new());
        let mut word = 1u32;
        for step in 0..300_000 {
            word = word.wrapping_mul(0x2c92_77b5).wrapping_add(0xac56_4b05);
            let group = word >> 8;
            // They grow, and all go in the end.
            if step < 150_000 && held.insert(group) {
                own.push(group);
            } else if let Some(group) = held.pop_first() {
                assert!(own.remove(group) <= SEARCHED_MAX as u64);
            }
            assert_eq!(own.as_slice().len(), held.len());
            if step % 20_000 == 0 || (1..200).contains(&held.len()) {
                assert_eq!(own.as_slice().iter().copied().collect::<BTreeSet<_>>(), held);
            }
        }
        assert!(held.is_empty() && matches!(own, Own::Few(_)));
    }
}
