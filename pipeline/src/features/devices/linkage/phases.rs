//! A moment of the graph, phase by phase and a piece at a time.

use super::cut::Cutting;
use super::merge::Merging;
use super::{Linkage, Membership, Moment, Touched, Vertex, edge_node};
use crate::features::devices::edges::EdgeStep;
use crate::features::devices::forest::NONE;
use crate::features::devices::view::{Changes, Come};

/// A moment that is being applied, a piece at a time.
#[derive(Default)]
pub(super) struct Task {
    moment: Moment,
    phase: usize,
    /// The place of the next piece of its phase.
    at: usize,
    /// Edges of the forest whose time has come, and those that go before it.
    due: Vec<u32>,
    early: Vec<u32>,
    touched: Touched,
    changes: Changes,
    /// The edge that is being cut.
    cutting: Option<Cutting>,
    /// The merge of the edge in hand.
    merging: Option<Merging>,
}

/// What a phase says of its piece number `at`.
enum Piece {
    Done,
    /// There is more of it.
    Begun,
    /// There is no such piece.
    None,
}

/// The phases of a moment, in order. What goes, goes before what comes, so that an account that does
/// both is a new one; edges that others could replace go last, when nothing that goes could replace
/// them.
const PHASES: [fn(&mut Linkage, &mut Task) -> Piece; 11] = [
    Linkage::leave_group,
    Linkage::hold_edge,
    Linkage::drop_edge,
    Linkage::cut_due,
    Linkage::cut_early,
    Linkage::link_edge,
    Linkage::join_group,
    Linkage::forget_bare,
    Linkage::tell_come,
    Linkage::tell_moved,
    Linkage::describe_touched,
];

impl Linkage {
    /// Begins with the changes of a moment; the one before is done.
    pub(crate) fn begin(&mut self, mut moment: Moment) {
        assert!(self.task.is_none(), "one moment at a time");
        consolidate(&mut moment.memberships);
        self.touched = Touched::default();
        let changes = Changes { time: moment.time, ..Changes::default() };
        self.task = Some(Box::new(Task { moment, changes, ..Task::default() }));
    }

    /// Works off about so many visits of the moment in hand, and says what has become of accounts
    /// and components once it is done.
    pub(crate) fn work(&mut self, visits: u64) -> Option<Changes> {
        let mut task = self.task.take()?;
        let limit = self.visits.saturating_add(visits);
        while let Some(phase) = PHASES.get(task.phase) {
            if self.visits >= limit {
                self.task = Some(task);
                return None;
            }
            self.visits += 1;
            match phase(self, &mut task) {
                Piece::Done => task.at += 1,
                Piece::Begun => {}
                Piece::None => (task.phase, task.at) = (task.phase + 1, 0),
            }
        }
        Some(task.changes)
    }

    fn leave_group(&mut self, task: &mut Task) -> Piece {
        let Some((gone, by)) = task.moment.memberships.get(task.at) else { return Piece::None };
        if *by < 0 {
            self.leave(gone);
        }
        Piece::Done
    }

    fn hold_edge(&mut self, task: &mut Task) -> Piece {
        let Some(change) = task.moment.edges.get(task.at) else { return Piece::None };
        if let EdgeStep::Hold { until } = change.step {
            self.hold(self.edge(change), until);
        }
        Piece::Done
    }

    /// Takes away an edge that holds nothing together; others are left for later.
    fn drop_edge(&mut self, task: &mut Task) -> Piece {
        let Some(change) = task.moment.edges.get(task.at) else { return Piece::None };
        if matches!(change.step, EdgeStep::Cut) {
            let edge = self.edge(change);
            if !self.edges[edge as usize].in_forest {
                self.delist(edge);
            } else if self.forest.weight(edge_node(edge)) > task.moment.time {
                task.early.push(edge);
            } else {
                task.due.push(edge);
            }
        }
        Piece::Done
    }

    fn cut_due(&mut self, task: &mut Task) -> Piece {
        let edge = task.due.get(task.at).copied();
        self.cut(&mut task.cutting, edge, false)
    }

    fn cut_early(&mut self, task: &mut Task) -> Piece {
        let edge = task.early.get(task.at).copied();
        self.cut(&mut task.cutting, edge, true)
    }

    fn cut(&mut self, held: &mut Option<Cutting>, edge: Option<u32>, is_early: bool) -> Piece {
        let Some(edge) = edge else { return Piece::None };
        let mut cutting = held.take().unwrap_or_else(|| self.begin_cut(edge, is_early));
        if self.go_on(&mut cutting) {
            return Piece::Done;
        }
        *held = Some(cutting);
        Piece::Begun
    }

    fn link_edge(&mut self, task: &mut Task) -> Piece {
        let Some(change) = task.moment.edges.get(task.at) else { return Piece::None };
        let EdgeStep::Link { name, until } = &change.step else { return Piece::Done };
        let begun = task.merging.take().or_else(|| self.link(change, name, *until));
        let Some(mut merging) = begun else { return Piece::Done };
        if self.go_on_merging(&mut merging) {
            return Piece::Done;
        }
        task.merging = Some(merging);
        Piece::Begun
    }

    fn join_group(&mut self, task: &mut Task) -> Piece {
        let Some((come, by)) = task.moment.memberships.get(task.at) else {
            task.touched = std::mem::take(&mut self.touched);
            return Piece::None;
        };
        if *by > 0 {
            self.join(come);
        }
        Piece::Done
    }

    /// Forgets a vertex that has no edge any more.
    fn forget_bare(&mut self, task: &mut Task) -> Piece {
        let Some(&vertex) = task.touched.bare.get(task.at) else { return Piece::None };
        let held = &self.sites[vertex as usize];
        if held.first == NONE && held.component != NONE {
            self.forget(vertex, &mut task.changes);
        }
        Piece::Done
    }

    fn tell_come(&mut self, task: &mut Task) -> Piece {
        let Some(&account) = task.touched.come.get(task.at) else { return Piece::None };
        if self.sites[account as usize].component != NONE {
            let Vertex { key, name, .. } = &self.vertices[account as usize];
            task.changes.come.push(Come { account, key: *key, name: name.clone() });
        }
        Piece::Done
    }

    fn tell_moved(&mut self, task: &mut Task) -> Piece {
        let Some(&account) = task.touched.accounts.get(task.at) else { return Piece::None };
        let held = &mut self.sites[account as usize];
        held.is_touched = false;
        if held.component != NONE {
            task.changes.moved.push((account, held.component));
        }
        Piece::Done
    }

    fn describe_touched(&mut self, task: &mut Task) -> Piece {
        let Some(&component) = task.touched.components.get(task.at) else { return Piece::None };
        if !self.tidy(component) {
            return Piece::Begun;
        }
        let held = &mut self.components[component as usize];
        held.is_touched = false;
        if held.vertices > 0 {
            let described = self.describe(component);
            task.changes.described.push(described);
        }
        Piece::Done
    }
}

/// Adds up what is said of one membership: at one moment an account may enter a group and lose its
/// last edge.
fn consolidate(memberships: &mut Vec<(Membership, isize)>) {
    memberships.sort_unstable();
    memberships.dedup_by(|next, held| {
        let same = next.0 == held.0;
        held.1 += if same { next.1 } else { 0 };
        same
    });
    memberships.retain(|(_, by)| *by != 0);
}
