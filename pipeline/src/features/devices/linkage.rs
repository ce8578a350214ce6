//! The components of the account-device graph, kept up to date edge by edge.
//!
//! The edges of a spanning forest are those that last longest: where an edge closes a circle, the
//! edge of the circle that goes first is left out. So when the time of an edge of the forest has
//! come, no other edge can take its place, for one that could would last longer; and to take an
//! edge away costs as much as the smaller part that comes off, however large the rest is. Only an
//! edge that goes before its time, of a device that has become a hub, may have to be replaced.
//!
//! Every vertex holds its component's number. Where two components join, the smaller one's
//! vertices change it; where one breaks, those of the smaller part do.

use compact_str::CompactString;

use super::component::{Component, LARGE, Large};
use super::edges::{EdgeChange, EdgeStep};
use super::forest::{Forest, NONE};
use super::groups::Membership;
use super::spread::Spread;
use super::view::{Changes, Come, Described};

/// One in two to the power of so many new edges of the forest is the occasion of an access
/// anywhere in it: a path that only ever grew at its end would have a splay tree as deep.
const SHAKES: u32 = 3;

/// So many visits take about as long as an operation of a large forest.
const FOREST_VISITS: u64 = 30;

/// The graph, and all that is known of its components.
#[derive(Default)]
pub(crate) struct Linkage {
    accounts: Spread<u128, u32>,
    devices: Spread<u128, u32>,
    edge_of: Spread<(u32, u32), u32>,
    vertices: Vec<Vertex>,
    free_vertices: Vec<u32>,
    edges: Vec<Edge>,
    free_edges: Vec<u32>,
    /// Vertex `v` is its node `2 v`, edge `e` its node `2 e + 1`.
    forest: Forest,
    components: Vec<Component>,
    free_components: Vec<u32>,
    groups: Groups,
    /// What the moment in hand has changed so far.
    touched: Touched,
    /// How often a vertex or an edge was looked at.
    visits: u64,
    walks: [Walk; 2],
    turn: u32,
    task: Option<Box<Task>>,
}

/// An account or a device.
#[derive(Default)]
struct Vertex {
    key: u128,
    /// The account's id; none for a device.
    name: Option<CompactString>,
    /// The groups of an account, in no order.
    groups: Vec<u32>,
    /// The first of its edges.
    first: u32,
    component: u32,
    /// Tells two that had the same number at different times apart.
    born: u32,
    is_touched: bool,
}

/// An edge, in the lists of its two ends.
#[derive(Clone, Copy, Default)]
struct Edge {
    /// Account and device.
    ends: [u32; 2],
    next: [u32; 2],
    before: [u32; 2],
    in_forest: bool,
}

/// The groups by number, each with how many memberships name it.
#[derive(Default)]
struct Groups {
    numbers: Spread<u128, u32>,
    held: Vec<(u128, u32)>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Touched {
    /// Accounts that came, or whose component is another.
    accounts: Vec<u32>,
    components: Vec<u32>,
    /// Vertices that may have lost their last edge.
    bare: Vec<u32>,
    come: Vec<u32>,
}

/// A walk through one tree of the forest, an edge at a time.
#[derive(Default)]
struct Walk {
    /// The vertices reached so far, each with the edge by which it was.
    reached: Vec<(u32, u32)>,
    /// The place of the vertex in hand, and the edge of it that is next.
    at: usize,
    next: u32,
}

/// What becomes of the graph at one moment.
#[derive(Default)]
pub(crate) struct Moment {
    pub(crate) time: i64,
    pub(crate) edges: Vec<EdgeChange>,
    pub(crate) memberships: Vec<(Membership, isize)>,
}

/// A moment that is being applied, a piece at a time.
#[derive(Default)]
struct Task {
    moment: Moment,
    phase: usize,
    /// The place of the next piece of its phase.
    at: usize,
    /// Edges of the forest whose time has come, and those that go before it.
    due: Vec<u32>,
    early: Vec<u32>,
    touched: Touched,
    changes: Changes,
}

/// The phases of a moment, in order. Each does its piece number `at`, and says whether there is
/// one. What goes, goes before what comes, so that an account that does both is a new one; edges
/// that others could replace go last, when nothing that goes could replace them.
const PHASES: [fn(&mut Linkage, &mut Task) -> bool; 11] = [
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
            if phase(self, &mut task) {
                task.at += 1;
            } else {
                task.phase += 1;
                task.at = 0;
            }
        }
        Some(task.changes)
    }

    /// How often a vertex or an edge was looked at so far: a measure of work that is no clock.
    pub(crate) fn visits(&self) -> u64 {
        self.visits
    }

    /// Whether a moment is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.task.is_some()
    }

    /// Bytes, but for what single accounts and components hold beside.
    pub(crate) fn bytes(&self) -> usize {
        self.accounts.bytes()
            + self.devices.bytes()
            + self.edge_of.bytes()
            + self.vertices.capacity() * size_of::<Vertex>()
            + self.edges.capacity() * size_of::<Edge>()
            + self.components.capacity() * size_of::<Component>()
            + self.forest.bytes()
    }

    /// How many edges there are.
    pub(crate) fn len(&self) -> usize {
        self.edges.len() - self.free_edges.len()
    }

    fn leave_group(&mut self, task: &mut Task) -> bool {
        let Some((gone, by)) = task.moment.memberships.get(task.at) else { return false };
        if *by < 0 {
            self.leave(gone);
        }
        true
    }

    fn hold_edge(&mut self, task: &mut Task) -> bool {
        let Some(change) = task.moment.edges.get(task.at) else { return false };
        if let EdgeStep::Hold { until } = change.step {
            self.hold(self.edge(change), until);
        }
        true
    }

    /// Takes away an edge that holds nothing together; others are left for later.
    fn drop_edge(&mut self, task: &mut Task) -> bool {
        let Some(change) = task.moment.edges.get(task.at) else { return false };
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
        true
    }

    fn cut_due(&mut self, task: &mut Task) -> bool {
        task.due.get(task.at).map(|edge| self.cut(*edge, false)).is_some()
    }

    fn cut_early(&mut self, task: &mut Task) -> bool {
        task.early.get(task.at).map(|edge| self.cut(*edge, true)).is_some()
    }

    fn link_edge(&mut self, task: &mut Task) -> bool {
        let Some(change) = task.moment.edges.get(task.at) else { return false };
        if let EdgeStep::Link { name, until } = &change.step {
            self.link(change, name, *until);
        }
        true
    }

    fn join_group(&mut self, task: &mut Task) -> bool {
        let Some((come, by)) = task.moment.memberships.get(task.at) else {
            task.touched = std::mem::take(&mut self.touched);
            return false;
        };
        if *by > 0 {
            self.join(come);
        }
        true
    }

    /// Forgets a vertex that has no edge any more.
    fn forget_bare(&mut self, task: &mut Task) -> bool {
        let Some(&vertex) = task.touched.bare.get(task.at) else { return false };
        let held = &self.vertices[vertex as usize];
        if held.first == NONE && held.component != NONE {
            self.forget(vertex, &mut task.changes);
        }
        true
    }

    fn tell_come(&mut self, task: &mut Task) -> bool {
        let Some(&account) = task.touched.come.get(task.at) else { return false };
        let Vertex { key, name, .. } = &self.vertices[account as usize];
        if let Some(name) = name {
            task.changes.come.push(Come { account, key: *key, name: name.clone() });
        }
        true
    }

    fn tell_moved(&mut self, task: &mut Task) -> bool {
        let Some(&account) = task.touched.accounts.get(task.at) else { return false };
        let held = &mut self.vertices[account as usize];
        held.is_touched = false;
        if held.component != NONE {
            task.changes.moved.push((account, held.component));
        }
        true
    }

    fn describe_touched(&mut self, task: &mut Task) -> bool {
        let Some(&component) = task.touched.components.get(task.at) else { return false };
        let held = &mut self.components[component as usize];
        held.is_touched = false;
        if held.vertices > 0 {
            let described = self.describe(component);
            task.changes.described.push(described);
        }
        true
    }

    fn edge(&self, change: &EdgeChange) -> u32 {
        let ends = self.accounts.get(&change.account).zip(self.devices.get(&change.device));
        let edge = ends.and_then(|(account, device)| self.edge_of.get(&(*account, *device)));
        *edge.expect("an edge is linked before it changes")
    }

    /// An edge lasts longer than was known.
    fn hold(&mut self, edge: u32, until: i64) {
        self.visits += FOREST_VISITS;
        self.forest.weigh(edge_node(edge), until);
        if !self.edges[edge as usize].in_forest {
            self.prefer(edge);
        }
    }

    /// Takes an edge between vertices of one tree in, if one that goes sooner can be left out.
    fn prefer(&mut self, edge: u32) {
        self.visits += FOREST_VISITS;
        let [account, device] = self.edges[edge as usize].ends;
        let lightest = self.forest.lightest(vertex_node(account), vertex_node(device));
        let until = self.forest.weight(edge_node(edge));
        if self.forest.weight(lightest) < until {
            let ends = (vertex_node(account), vertex_node(device));
            self.forest.replace(ends, lightest, edge_node(edge));
            self.edges[lightest as usize / 2].in_forest = false;
            self.edges[edge as usize].in_forest = true;
        }
    }

    /// Makes an edge between two trees one of the forest.
    fn span(&mut self, edge: u32) {
        self.visits += FOREST_VISITS;
        let [account, device] = self.edges[edge as usize].ends;
        self.edges[edge as usize].in_forest = true;
        self.forest.link(edge_node(edge), vertex_node(account));
        self.forest.link(vertex_node(device), edge_node(edge));
        self.turn = self.turn.wrapping_mul(0x2c92_77b5).wrapping_add(0xac56_4b05);
        if self.turn >> (32 - SHAKES) == 0 {
            let any = (u64::from(self.turn << SHAKES) * self.forest.len() as u64) >> 32;
            self.forest.access(any as u32);
        }
    }

    fn unspan(&mut self, edge: u32) {
        self.visits += FOREST_VISITS;
        let ends = self.edges[edge as usize].ends;
        self.edges[edge as usize].in_forest = false;
        self.forest.remove(edge_node(edge), ends.map(vertex_node));
    }

    fn link(&mut self, change: &EdgeChange, name: &CompactString, until: i64) {
        let account = self.vertex(change.account, Some(name));
        let device = self.vertex(change.device, None);
        let edge = place(&mut self.free_edges, &mut self.edges);
        self.edges[edge as usize] = Edge { ends: [account, device], ..Edge::default() };
        self.forest.place(edge_node(edge), until);
        self.edge_of.insert((account, device), edge);
        self.enlist(edge);
        let of = |vertex: u32| self.vertices[vertex as usize].component;
        let (one, other) = (of(account), of(device));
        if one == other {
            self.prefer(edge);
        } else {
            self.merge((account, one), (device, other));
            self.span(edge);
        }
    }

    fn vertex(&mut self, key: u128, name: Option<&CompactString>) -> u32 {
        let held = if name.is_some() { &self.accounts } else { &self.devices };
        if let Some(vertex) = held.get(&key) {
            return *vertex;
        }
        let vertex = place(&mut self.free_vertices, &mut self.vertices);
        let component = place(&mut self.free_components, &mut self.components);
        let new = &mut self.vertices[vertex as usize];
        let born = new.born.wrapping_add(1);
        let name = name.cloned();
        let is_account = name.is_some();
        *new = Vertex { key, name, first: NONE, component, born, ..Vertex::default() };
        let is_touched = self.components[component as usize].is_touched;
        let accounts = u32::from(is_account);
        let single = Component { anchor: vertex, vertices: 1, accounts, is_touched, large: None };
        self.components[component as usize] = single;
        let held = if is_account { &mut self.accounts } else { &mut self.devices };
        held.insert(key, vertex);
        self.forest.place(vertex_node(vertex), i64::MAX);
        self.touch_component(component);
        if is_account {
            self.touched.come.push(vertex);
            self.touch_account(vertex);
        }
        vertex
    }

    fn enlist(&mut self, edge: u32) {
        for side in 0..2 {
            let vertex = self.edges[edge as usize].ends[side] as usize;
            let first = std::mem::replace(&mut self.vertices[vertex].first, edge);
            self.edges[edge as usize].next[side] = first;
            self.edges[edge as usize].before[side] = NONE;
            if first != NONE {
                self.edges[first as usize].before[side] = edge;
            }
        }
    }

    fn delist(&mut self, edge: u32) {
        let Edge { ends, next, before, .. } = self.edges[edge as usize];
        for side in 0..2 {
            match before[side] {
                NONE => self.vertices[ends[side] as usize].first = next[side],
                before => self.edges[before as usize].next[side] = next[side],
            }
            if next[side] != NONE {
                self.edges[next[side] as usize].before[side] = before[side];
            }
        }
        self.edge_of.remove(&(ends[0], ends[1]));
        self.free_edges.push(edge);
        self.touched.bare.extend(ends);
    }

    fn cut(&mut self, edge: u32, is_early: bool) {
        let [account, device] = self.edges[edge as usize].ends;
        self.unspan(edge);
        self.delist(edge);
        let (side, rest) = self.smaller_part(account, device);
        let part = std::mem::take(&mut self.walks[side].reached);
        match self.replacement(&part, is_early) {
            Some(other) => self.span(other),
            None => self.split(&part, rest),
        }
        self.walks[side].reached = part;
    }

    /// Walks from two vertices in turns until one of the walks is at its end: which one, and the
    /// other's vertex.
    fn smaller_part(&mut self, one: u32, other: u32) -> (usize, u32) {
        let mut walks = std::mem::take(&mut self.walks);
        walks[0].begin(&self.vertices, one);
        walks[1].begin(&self.vertices, other);
        let side = loop {
            self.visits += 2;
            if !walks[0].step(&self.vertices, &self.edges) {
                break 0;
            }
            if !walks[1].step(&self.vertices, &self.edges) {
                break 1;
            }
        };
        self.walks = walks;
        (side, if side == 0 { other } else { one })
    }

    /// Of the edges that lead out of a part, the one that lasts longest.
    fn replacement(&mut self, part: &[(u32, u32)], is_early: bool) -> Option<u32> {
        if !is_early {
            return None;
        }
        // A number that no component has marks the part.
        let old = self.vertices[part[0].0 as usize].component;
        part.iter().for_each(|(vertex, _)| self.vertices[*vertex as usize].component = NONE);
        let mut best: Option<(i64, u32)> = None;
        for &(vertex, _) in part {
            let mut edge = self.vertices[vertex as usize].first;
            while edge != NONE {
                self.visits += 1;
                let Edge { ends, next, in_forest, .. } = self.edges[edge as usize];
                let side = usize::from(ends[1] == vertex);
                let away = self.vertices[ends[1 - side] as usize].component;
                if !in_forest && away != NONE {
                    let until = self.forest.weight(edge_node(edge));
                    if best.is_none_or(|(longest, _)| until > longest) {
                        best = Some((until, edge));
                    }
                }
                edge = next[side];
            }
        }
        part.iter().for_each(|(vertex, _)| self.vertices[*vertex as usize].component = old);
        best.map(|(_, edge)| edge)
    }

    /// Makes a part that has come off a component of its own; `rest` is in what is left.
    fn split(&mut self, part: &[(u32, u32)], rest: u32) {
        let old = self.vertices[rest as usize].component;
        let new = place(&mut self.free_components, &mut self.components);
        let is_touched = self.components[new as usize].is_touched;
        let anchor = part[0].0;
        self.components[new as usize] = Component { anchor, is_touched, ..Component::default() };
        let mut accounts = 0;
        for &(vertex, _) in part {
            self.vertices[vertex as usize].component = new;
            if self.vertices[vertex as usize].name.is_some() {
                accounts += 1;
                self.touch_account(vertex);
            }
        }
        let came = &mut self.components[new as usize];
        (came.vertices, came.accounts) = (part.len() as u32, accounts);
        if part.len() > LARGE {
            let large = self.large(part.iter().map(|(vertex, _)| *vertex));
            self.components[new as usize].large = Some(large);
        }
        let left = &mut self.components[old as usize];
        left.anchor = rest;
        left.vertices -= part.len() as u32;
        left.accounts -= accounts;
        if let Some(large) = &mut left.large {
            let gone = part.iter().flat_map(|(vertex, _)| &self.vertices[*vertex as usize].groups);
            gone.for_each(|group| large.uncount(*group));
        }
        self.touch_component(new);
        self.touch_component(old);
    }

    /// What a large component keeps up to date.
    fn large(&self, vertices: impl Iterator<Item = u32> + Clone) -> Box<Large> {
        let accounts = vertices.filter_map(|vertex| {
            let held = &self.vertices[vertex as usize];
            Some((held.name.as_ref()?, vertex, held.born, held.groups.as_slice()))
        });
        Box::new(Large::new(accounts))
    }

    /// Makes two components one. Each is given with a vertex of it.
    fn merge(&mut self, one: (u32, u32), other: (u32, u32)) {
        let size = |(_, component): (u32, u32)| self.components[component as usize].vertices;
        let (big, small) = if size(one) >= size(other) { (one, other) } else { (other, one) };
        let mut walk = std::mem::take(&mut self.walks[0]);
        walk.begin(&self.vertices, small.0);
        while walk.step(&self.vertices, &self.edges) {
            self.visits += 1;
        }
        for &(vertex, _) in &walk.reached {
            self.vertices[vertex as usize].component = big.1;
            if self.vertices[vertex as usize].name.is_some() {
                self.touch_account(vertex);
            }
        }
        let gone = self.free_component(small.1);
        let count = {
            let held = &mut self.components[big.1 as usize];
            held.vertices += gone.vertices;
            held.accounts += gone.accounts;
            held.vertices as usize
        };
        let held = self.components[big.1 as usize].large.take();
        if held.is_some() || count > LARGE {
            let mut large = held.unwrap_or_else(|| {
                let mut walk = std::mem::take(&mut self.walks[1]);
                walk.begin(&self.vertices, big.0);
                while walk.step(&self.vertices, &self.edges) {}
                let large = self.large(walk.reached.iter().map(|(vertex, _)| *vertex));
                self.walks[1] = walk;
                large
            });
            match gone.large {
                Some(other) => large.absorb(*other),
                None => large.absorb(*self.large(walk.reached.iter().map(|(vertex, _)| *vertex))),
            }
            self.components[big.1 as usize].large = Some(large);
        }
        self.walks[0] = walk;
        self.touch_component(big.1);
    }

    /// A linked account acts in a group for the first time in the window.
    fn join(&mut self, (account, group): &Membership) {
        let vertex = *self.accounts.get(account).expect("only linked accounts tell their groups");
        let group = self.groups.take(*group);
        let held = &mut self.vertices[vertex as usize];
        held.groups.push(group);
        let component = held.component;
        if let Some(large) = &mut self.components[component as usize].large {
            large.count(group, 1);
        }
        self.touch_component(component);
    }

    /// A group of a linked account goes.
    fn leave(&mut self, (account, group): &Membership) {
        let vertex = *self.accounts.get(account).expect("only linked accounts tell their groups");
        let group = self.groups.give_up(*group);
        let held = &mut self.vertices[vertex as usize];
        let at = held.groups.iter().position(|one| *one == group).expect("it came before it goes");
        held.groups.swap_remove(at);
        let component = held.component;
        if let Some(large) = &mut self.components[component as usize].large {
            large.uncount(group);
        }
        self.touch_component(component);
    }

    fn touch_account(&mut self, vertex: u32) {
        let held = &mut self.vertices[vertex as usize];
        if !std::mem::replace(&mut held.is_touched, true) {
            self.touched.accounts.push(vertex);
        }
    }

    fn touch_component(&mut self, component: u32) {
        let held = &mut self.components[component as usize];
        if !std::mem::replace(&mut held.is_touched, true) {
            self.touched.components.push(component);
        }
    }

    fn forget(&mut self, vertex: u32, changes: &mut Changes) {
        let held = &mut self.vertices[vertex as usize];
        let component = std::mem::replace(&mut held.component, NONE);
        assert!(held.groups.is_empty(), "the groups of an account go before its last edge");
        if held.name.take().is_some() {
            self.accounts.remove(&held.key);
            changes.gone.push((vertex, held.key));
        } else {
            self.devices.remove(&held.key);
        }
        self.free_vertices.push(vertex);
        self.free_component(component);
    }

    fn free_component(&mut self, component: u32) -> Component {
        self.free_components.push(component);
        let held = &mut self.components[component as usize];
        let is_touched = held.is_touched;
        std::mem::replace(held, Component { is_touched, ..Component::default() })
    }

    /// Size, smallest id and number of groups of a component as it is now.
    fn describe(&mut self, component: u32) -> Described {
        let held = &mut self.components[component as usize];
        let accounts = held.accounts;
        if let Some(large) = &mut held.large {
            let vertices = &self.vertices;
            let is_held = |vertex: u32, born: u32| {
                let held = &vertices[vertex as usize];
                held.component == component && held.born == born
            };
            let smallest = large.smallest(accounts as usize, is_held).unwrap_or(NONE);
            return Described { component, smallest, accounts, groups: large.groups() };
        }
        let mut walk = std::mem::take(&mut self.walks[0]);
        walk.begin(&self.vertices, held.anchor);
        while walk.step(&self.vertices, &self.edges) {
            self.visits += 1;
        }
        let mut smallest: Option<(&str, u32)> = None;
        let mut groups = Vec::new();
        for &(vertex, _) in &walk.reached {
            let Vertex { name: Some(name), groups: own, .. } = &self.vertices[vertex as usize]
            else {
                continue;
            };
            if smallest.is_none_or(|(least, _)| name.as_str() < least) {
                smallest = Some((name, vertex));
            }
            groups.extend_from_slice(own);
        }
        groups.sort_unstable();
        groups.dedup();
        let smallest = smallest.map_or(NONE, |(_, vertex)| vertex);
        self.walks[0] = walk;
        Described { component, smallest, accounts, groups: groups.len() as u32 }
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

fn vertex_node(vertex: u32) -> u32 {
    2 * vertex
}

fn edge_node(edge: u32) -> u32 {
    2 * edge + 1
}

/// A free place of a slab, or a new one.
fn place<T: Default>(free: &mut Vec<u32>, slab: &mut Vec<T>) -> u32 {
    free.pop().unwrap_or_else(|| {
        slab.push(T::default());
        (slab.len() - 1) as u32
    })
}

impl Walk {
    fn begin(&mut self, vertices: &[Vertex], from: u32) {
        self.reached.clear();
        self.reached.push((from, NONE));
        self.at = 0;
        self.next = vertices[from as usize].first;
    }

    /// Looks at one edge, or goes on to the next vertex; false at the end.
    fn step(&mut self, vertices: &[Vertex], edges: &[Edge]) -> bool {
        let (vertex, by) = self.reached[self.at];
        if self.next == NONE {
            self.at += 1;
            let Some((vertex, _)) = self.reached.get(self.at) else { return false };
            self.next = vertices[*vertex as usize].first;
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
    fn take(&mut self, group: [u64; 2]) -> u32 {
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
    fn give_up(&mut self, group: [u64; 2]) -> u32 {
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
