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

use serde::{Deserialize, Serialize};

mod cut;
mod merge;
mod parts;
mod phases;
#[cfg(test)]
mod tests;

use compact_str::CompactString;

use self::merge::Merging;
use self::parts::{Groups, Own, PIECE, Walk};
use self::phases::Task;
use super::component::Component;
use super::edges::EdgeChange;
use super::forest::{Forest, NONE};
use super::groups::Membership;
use super::slab::Slab;
use super::spread::Spread;
use super::view::{Changes, Described};

/// One in two to the power of so many new edges of the forest is the occasion of an access
/// anywhere in it: a path that only ever grew at its end would have a splay tree as deep.
const SHAKES: u32 = 1;

/// So many visits take about as long as an operation of a large forest.
const FOREST_VISITS: u64 = 30;

/// So many visits take about as long as to take the smallest name of many away.
const NAME_VISITS: u64 = 4;

/// The component of an account with more groups keeps them up to date as a large one does, however
/// few vertices it has; in tests with very few, so that there are some.
const MANY_GROUPS: usize = if cfg!(test) { 2 } else { 1_000 };

/// The graph, and all that is known of its components.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Linkage {
    accounts: Spread<u128, u32>,
    devices: Spread<u128, u32>,
    edge_of: Spread<(u32, u32), u32>,
    sites: Slab<Site>,
    /// In the same places.
    vertices: Slab<Vertex>,
    free_vertices: Vec<u32>,
    edges: Slab<Edge>,
    free_edges: Vec<u32>,
    /// Vertex `v` is its node `2 v`, edge `e` its node `2 e + 1`.
    forest: Forest,
    components: Slab<Component>,
    free_components: Vec<u32>,
    groups: Groups,
    /// What the moment in hand has changed so far.
    #[serde(skip)]
    touched: Touched,
    /// How often a vertex or an edge was looked at.
    visits: u64,
    #[serde(skip)]
    walks: [Walk; 2],
    turn: u32,
    #[serde(skip)]
    task: Option<Box<Task>>,
}

/// Where an account or a device is in the graph: small, for walks visit many.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Site {
    /// The first of its edges.
    first: u32,
    component: u32,
    /// Tells two that had the same number at different times apart.
    born: u32,
    is_account: bool,
    is_touched: bool,
}

/// What else there is of an account or a device.
#[derive(Default, Serialize, Deserialize)]
struct Vertex {
    key: u128,
    /// The account's id; empty for a device.
    name: CompactString,
    /// The groups of an account.
    groups: Own,
}

/// An edge, in the lists of its two ends.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Edge {
    /// Account and device.
    ends: [u32; 2],
    next: [u32; 2],
    before: [u32; 2],
    in_forest: bool,
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

/// What becomes of the graph at one moment.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) time: i64,
    pub(crate) edges: Vec<EdgeChange>,
    pub(crate) memberships: Vec<(Membership, isize)>,
}

impl Linkage {
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
            + self.sites.bytes()
            + self.vertices.bytes()
            + self.edges.bytes()
            + self.components.bytes()
            + self.forest.bytes()
    }

    /// How many edges there are.
    pub(crate) fn len(&self) -> usize {
        self.edges.len() - self.free_edges.len()
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
            self.shake();
        }
    }

    /// Makes an edge between two trees one of the forest.
    fn span(&mut self, edge: u32) {
        self.visits += FOREST_VISITS;
        let [account, device] = self.edges[edge as usize].ends;
        self.edges[edge as usize].in_forest = true;
        self.forest.link(edge_node(edge), vertex_node(account));
        self.forest.link(vertex_node(device), edge_node(edge));
        self.shake();
    }

    /// Now and then accesses any node of the forest.
    fn shake(&mut self) {
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

    /// An edge comes; if it joins two components, that is begun.
    fn link(&mut self, change: &EdgeChange, name: &CompactString, until: i64) -> Option<Merging> {
        let account = self.vertex(change.account, Some(name));
        let device = self.vertex(change.device, None);
        let edge = place(&mut self.free_edges, &mut self.edges);
        self.edges[edge as usize] = Edge { ends: [account, device], ..Edge::default() };
        self.forest.place(edge_node(edge), until);
        self.edge_of.insert((account, device), edge);
        self.enlist(edge);
        let of = |vertex: u32| self.sites[vertex as usize].component;
        let (one, other) = (of(account), of(device));
        if one == other {
            self.prefer(edge);
            return None;
        }
        Some(self.begin_merge(edge, (account, one), (device, other)))
    }

    fn vertex(&mut self, key: u128, name: Option<&CompactString>) -> u32 {
        let held = if name.is_some() { &self.accounts } else { &self.devices };
        if let Some(vertex) = held.get(&key) {
            return *vertex;
        }
        let vertex = place(&mut self.free_vertices, &mut self.vertices);
        if vertex as usize == self.sites.len() {
            self.sites.push(Site::default());
        }
        let component = place(&mut self.free_components, &mut self.components);
        let (born, is_account) = (self.sites[vertex as usize].born.wrapping_add(1), name.is_some());
        let site = Site { first: NONE, component, born, is_account, is_touched: false };
        self.sites[vertex as usize] = site;
        let name = name.cloned().unwrap_or_default();
        self.vertices[vertex as usize] = Vertex { key, name, groups: Own::default() };
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
            let first = std::mem::replace(&mut self.sites[vertex].first, edge);
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
                NONE => self.sites[ends[side] as usize].first = next[side],
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

    /// A linked account acts in a group for the first time in the window.
    fn join(&mut self, (account, group): &Membership) {
        let vertex = *self.accounts.get(account).expect("only linked accounts tell their groups");
        let group = self.groups.take(*group);
        self.vertices[vertex as usize].groups.push(group);
        let component = self.sites[vertex as usize].component;
        if let Some(large) = &mut self.components[component as usize].large {
            large.count(group, 1);
        } else {
            self.enlarge_for_groups(vertex);
        }
        self.touch_component(component);
    }

    /// A group of a linked account goes.
    fn leave(&mut self, (account, group): &Membership) {
        let vertex = *self.accounts.get(account).expect("only linked accounts tell their groups");
        let group = self.groups.give_up(*group);
        self.visits += self.vertices[vertex as usize].groups.remove(group);
        let component = self.sites[vertex as usize].component;
        if let Some(large) = &mut self.components[component as usize].large {
            large.uncount(group);
        } else {
            self.enlarge_for_groups(vertex);
        }
        self.touch_component(component);
    }

    /// Notes that an account came, or is in another component; a device is told of nowhere.
    fn touch_account(&mut self, vertex: u32) {
        let held = &mut self.sites[vertex as usize];
        if held.is_account && !std::mem::replace(&mut held.is_touched, true) {
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
        let site = &mut self.sites[vertex as usize];
        let component = std::mem::replace(&mut site.component, NONE);
        assert!(
            held.groups.as_slice().is_empty(),
            "the groups of an account go before its last edge"
        );
        held.name = CompactString::default();
        if site.is_account {
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

    /// Does a piece of the work after which a component's smallest id is known; true at the end.
    fn tidy(&mut self, component: u32) -> bool {
        let held = &mut self.components[component as usize];
        let Some(large) = &mut held.large else { return true };
        let sites = &self.sites;
        let is_held = |vertex: u32, born: u32| {
            let site = &sites[vertex as usize];
            site.component == component && site.born == born
        };
        let (names, is_over) = large.tidy(held.accounts as usize, PIECE, is_held);
        self.visits += names as u64 * NAME_VISITS;
        is_over
    }

    /// Size, smallest id and number of groups of a component as it is now; it is tidy.
    fn describe(&mut self, component: u32) -> Described {
        let held = &self.components[component as usize];
        let accounts = held.accounts;
        if let Some(large) = &held.large {
            let smallest = large.smallest().unwrap_or(NONE);
            return Described { component, smallest, accounts, groups: large.groups() };
        }
        let mut walk = std::mem::take(&mut self.walks[0]);
        walk.begin(&self.sites, held.anchor);
        while walk.step(&self.sites, &self.edges) {
            self.visits += 1;
        }
        let mut smallest: Option<(&str, u32)> = None;
        let mut groups = Vec::new();
        for &(vertex, _) in &walk.reached {
            if !self.sites[vertex as usize].is_account {
                continue;
            }
            let Vertex { name, groups: own, .. } = &self.vertices[vertex as usize];
            if smallest.is_none_or(|(least, _)| name.as_str() < least) {
                smallest = Some((name, vertex));
            }
            self.visits += own.as_slice().len() as u64;
            groups.extend_from_slice(own.as_slice());
        }
        groups.sort_unstable();
        groups.dedup();
        let smallest = smallest.map_or(NONE, |(_, vertex)| vertex);
        self.walks[0] = walk;
        Described { component, smallest, accounts, groups: groups.len() as u32 }
    }
}

fn vertex_node(vertex: u32) -> u32 {
    2 * vertex
}

fn edge_node(edge: u32) -> u32 {
    2 * edge + 1
}

/// A free place of a slab, or a new one.
fn place<T: Default>(free: &mut Vec<u32>, slab: &mut Slab<T>) -> u32 {
    free.pop().unwrap_or_else(|| {
        slab.push(T::default());
        (slab.len() - 1) as u32
    })
}
