//! What the graph is made with: walks through trees, and groups by number.

use super::{Edge, Site};
use crate::features::devices::forest::NONE;
use crate::features::devices::slab::Slab;
use crate::features::devices::spread::Spread;

/// A walk through one tree of the forest, an edge at a time.
#[derive(Default)]
pub(super) struct Walk {
    /// The vertices reached so far, each with the edge by which it was.
    pub(super) reached: Vec<(u32, u32)>,
    /// The place of the vertex in hand, and the edge of it that is next.
    at: usize,
    next: u32,
}

/// The groups by number, each with how many memberships name it.
#[derive(Default)]
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
