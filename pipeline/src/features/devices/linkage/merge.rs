//! To make two components one, a piece at a time: the smaller one may be large too.

use super::parts::PIECE;
use super::{Linkage, MANY_GROUPS};
use crate::features::devices::component::{LARGE, Large};

/// A merge under way.
pub(super) struct Merging {
    /// The edge that joins the two.
    edge: u32,
    /// The component that stays, with a vertex of it, and the one that becomes a part of it.
    into: (u32, u32),
    gone: u32,
    stage: Stage,
    /// The next vertex of the part.
    at: usize,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Walks through the smaller component.
    Walk,
    /// Its vertices get the other's number.
    Mark,
    /// The other, which is large, takes in its accounts and their groups.
    Enrol,
}

impl Linkage {
    /// Begins to join two components by an edge between a vertex of each.
    pub(super) fn begin_merge(&mut self, edge: u32, one: (u32, u32), other: (u32, u32)) -> Merging {
        let size = |(_, component): (u32, u32)| self.components[component as usize].vertices;
        let (into, gone) = if size(one) >= size(other) { (one, other) } else { (other, one) };
        self.walks[0].begin(&self.sites, gone.0);
        Merging { edge, into, gone: gone.1, stage: Stage::Walk, at: 0 }
    }

    /// Does a piece, and says whether the two are one.
    pub(super) fn go_on_merging(&mut self, merging: &mut Merging) -> bool {
        let limit = self.visits + PIECE as u64;
        while self.visits < limit {
            let is_over = match merging.stage {
                Stage::Walk => {
                    self.visits += 1;
                    !self.walks[0].step(&self.sites, &self.edges)
                }
                Stage::Mark => self.mark_merged(merging),
                Stage::Enrol => self.enrol_merged(merging),
            };
            if !is_over {
                continue;
            }
            merging.at = 0;
            merging.stage = match merging.stage {
                Stage::Walk => Stage::Mark,
                Stage::Mark if self.is_large_merged(merging) => Stage::Enrol,
                Stage::Mark | Stage::Enrol => {
                    self.end_merge(merging);
                    return true;
                }
            };
        }
        false
    }

    fn mark_merged(&mut self, merging: &mut Merging) -> bool {
        let Some(&(vertex, _)) = self.walks[0].reached.get(merging.at) else { return true };
        self.visits += 1;
        self.sites[vertex as usize].component = merging.into.1;
        self.touch_account(vertex);
        merging.at += 1;
        false
    }

    /// Whether what comes out is kept as a large component; the one that stays is one then.
    fn is_large_merged(&mut self, merging: &Merging) -> bool {
        let (vertex, into) = merging.into;
        let gone = &self.components[merging.gone as usize];
        let held = &self.components[into as usize];
        let is_large = held.vertices + gone.vertices > LARGE as u32 || gone.large.is_some();
        if held.large.is_none() && is_large {
            self.enlarge(into, vertex);
        }
        self.components[into as usize].large.is_some()
    }

    fn enrol_merged(&mut self, merging: &mut Merging) -> bool {
        let Some(&(vertex, _)) = self.walks[0].reached.get(merging.at) else { return true };
        let into = merging.into.1 as usize;
        let mut large = self.components[into].large.take().expect("it was made large");
        self.enrol(&mut large, vertex);
        self.components[into].large = Some(large);
        merging.at += 1;
        false
    }

    fn end_merge(&mut self, merging: &Merging) {
        let gone = self.free_component(merging.gone);
        let held = &mut self.components[merging.into.1 as usize];
        held.vertices += gone.vertices;
        held.accounts += gone.accounts;
        self.touch_component(merging.into.1);
        self.span(merging.edge);
    }

    /// Adds an account and its groups to what a large component keeps; a device adds nothing.
    pub(super) fn enrol(&mut self, large: &mut Large, vertex: u32) {
        let site = &self.sites[vertex as usize];
        let held = &self.vertices[vertex as usize];
        self.visits += 1 + held.groups.as_slice().len() as u64;
        if site.is_account {
            large.add(&held.name, (vertex, site.born), held.groups.as_slice());
        }
    }

    /// A component of no more than a few vertices is kept as a large one from now on.
    fn enlarge(&mut self, component: u32, vertex: u32) {
        let mut walk = std::mem::take(&mut self.walks[1]);
        walk.begin(&self.sites, vertex);
        while walk.step(&self.sites, &self.edges) {
            self.visits += 1;
        }
        let mut large = Box::<Large>::default();
        for &(vertex, _) in &walk.reached {
            self.enrol(&mut large, vertex);
        }
        self.components[component as usize].large = Some(large);
        self.walks[1] = walk;
    }

    /// Where an account acts in so many groups, going through them at each change would take long.
    pub(super) fn enlarge_for_groups(&mut self, vertex: u32) {
        let component = self.sites[vertex as usize].component;
        let is_large = self.components[component as usize].large.is_some();
        if !is_large && self.vertices[vertex as usize].groups.as_slice().len() > MANY_GROUPS {
            self.enlarge(component, vertex);
        }
    }
}
