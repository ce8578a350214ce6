//! To take an edge of the forest away, a piece at a time: what comes off may be large.

use super::parts::PIECE;
use super::{Edge, Linkage, edge_node, place};
use crate::features::devices::component::{Component, LARGE, Large};
use crate::features::devices::forest::NONE;

/// A cut under way.
pub(super) struct Cutting {
    ends: [u32; 2],
    /// Whether the edge goes before its time, so that another may take its place.
    is_early: bool,
    stage: Stage,
    /// The next vertex of the part that comes off.
    at: usize,
    /// Which end is in that part.
    side: usize,
    /// The component from which it comes off, and the one that it becomes.
    old: u32,
    new: u32,
    /// How many of its vertices are accounts.
    accounts: u32,
    /// Of the edges that lead out of it, the one that lasts longest, with its time.
    best: Option<(i64, u32)>,
    /// What the part keeps up to date, if it is large.
    large: Option<Box<Large>>,
}

enum Stage {
    /// Walks from both ends in turns until one walk is at its end: that part is the smaller.
    Walk,
    /// The part gets a component of its own.
    Mark,
    /// Looks for an edge that leads out of the part.
    Search,
    /// There is one: the part is of the old component again.
    Unmark,
    /// There is none: accounts and groups of the part go from the old component to the new one.
    Split,
}

impl Linkage {
    pub(super) fn begin_cut(&mut self, edge: u32, is_early: bool) -> Cutting {
        let ends = self.edges[edge as usize].ends;
        self.unspan(edge);
        self.delist(edge);
        for (walk, end) in self.walks.iter_mut().zip(ends) {
            walk.begin(&self.sites, end);
        }
        let old = self.sites[ends[0] as usize].component;
        let (stage, at, side, new, accounts, best) = (Stage::Walk, 0, 0, NONE, 0, None);
        Cutting { ends, is_early, stage, at, side, old, new, accounts, best, large: None }
    }

    /// Does a piece, and says whether the cut is done.
    pub(super) fn go_on(&mut self, cutting: &mut Cutting) -> bool {
        self.visits += match cutting.stage {
            Stage::Walk | Stage::Split => 0,
            _ => PIECE.min(self.walks[cutting.side].reached.len() - cutting.at) as u64,
        };
        match cutting.stage {
            Stage::Walk => self.walk_on(cutting),
            Stage::Mark => {
                if self.mark(cutting, cutting.new) {
                    if !cutting.is_early {
                        return self.begin_split(cutting);
                    }
                    (cutting.stage, cutting.at) = (Stage::Search, 0);
                }
            }
            Stage::Search => {
                if self.search(cutting) {
                    let Some((_, best)) = cutting.best else {
                        return self.begin_split(cutting);
                    };
                    self.span(best);
                    (cutting.stage, cutting.at) = (Stage::Unmark, 0);
                }
            }
            Stage::Unmark => {
                if self.mark(cutting, cutting.old) {
                    self.free_component(cutting.new);
                    return true;
                }
            }
            Stage::Split => return self.split(cutting),
        }
        false
    }

    fn walk_on(&mut self, cutting: &mut Cutting) {
        for _ in 0..PIECE {
            self.visits += 2;
            for side in 0..2 {
                if !self.walks[side].step(&self.sites, &self.edges) {
                    let new = place(&mut self.free_components, &mut self.components);
                    (cutting.side, cutting.new) = (side, new);
                    (cutting.stage, cutting.at) = (Stage::Mark, 0);
                    return;
                }
            }
        }
    }

    /// The next piece of the part gets the number of a component; true at the end.
    fn mark(&mut self, cutting: &mut Cutting, component: u32) -> bool {
        let part = &self.walks[cutting.side].reached;
        let end = part.len().min(cutting.at + PIECE);
        for &(vertex, _) in &part[cutting.at..end] {
            let site = &mut self.sites[vertex as usize];
            site.component = component;
            cutting.accounts += u32::from(site.is_account);
        }
        cutting.at = end;
        end == part.len()
    }

    /// Looks for edges that lead out of the next piece of the part; true at the end.
    fn search(&mut self, cutting: &mut Cutting) -> bool {
        let part = &self.walks[cutting.side].reached;
        let end = part.len().min(cutting.at + PIECE);
        for &(vertex, _) in &part[cutting.at..end] {
            let mut edge = self.sites[vertex as usize].first;
            while edge != NONE {
                let Edge { ends, next, in_forest, .. } = self.edges[edge as usize];
                let side = usize::from(ends[1] == vertex);
                if !in_forest && self.sites[ends[1 - side] as usize].component != cutting.new {
                    let until = self.forest.weight(edge_node(edge));
                    if cutting.best.is_none_or(|(longest, _)| until > longest) {
                        cutting.best = Some((until, edge));
                    }
                }
                edge = next[side];
            }
        }
        cutting.at = end;
        end == part.len()
    }

    /// The part will be a component of its own. A small one is at once.
    fn begin_split(&mut self, cutting: &mut Cutting) -> bool {
        (cutting.stage, cutting.at) = (Stage::Split, 0);
        let part = &self.walks[cutting.side].reached;
        cutting.large = (part.len() > LARGE).then(Box::default);
        self.split(cutting)
    }

    /// The next piece of the part leaves what the old component keeps up to date; true at the end.
    fn split(&mut self, cutting: &mut Cutting) -> bool {
        let limit = self.visits + PIECE as u64;
        let part = std::mem::take(&mut self.walks[cutting.side].reached);
        let mut left = self.components[cutting.old as usize].large.take();
        while let Some(&(vertex, _)) = part.get(cutting.at).filter(|_| self.visits < limit) {
            self.visits += 1;
            if let Some(large) = &mut cutting.large {
                self.enrol(large, vertex);
            }
            if let Some(large) = &mut left {
                let gone = self.vertices[vertex as usize].groups.as_slice();
                self.visits += gone.len() as u64;
                gone.iter().for_each(|group| large.uncount(*group));
            }
            self.touch_account(vertex);
            cutting.at += 1;
        }
        self.components[cutting.old as usize].large = left;
        let is_over = cutting.at == part.len();
        if is_over {
            self.end_split(cutting, (part[0].0, part.len() as u32));
        }
        self.walks[cutting.side].reached = part;
        is_over
    }

    fn end_split(&mut self, cutting: &mut Cutting, (anchor, vertices): (u32, u32)) {
        let Cutting { ends, side, old, new, accounts, .. } = *cutting;
        let (large, is_touched) = (cutting.large.take(), self.components[new as usize].is_touched);
        self.components[new as usize] = Component { anchor, vertices, accounts, large, is_touched };
        let left = &mut self.components[old as usize];
        left.anchor = ends[1 - side];
        left.vertices -= vertices;
        left.accounts -= accounts;
        self.touch_component(new);
        self.touch_component(old);
    }
}
