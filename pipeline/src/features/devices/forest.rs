//! A forest of nodes with weights that is linked, cut, and asked for the lightest node of a path.
//!
//! Link-cut trees (Sleator and Tarjan, 1983): each tree is divided into paths, and each path is a
//! splay tree by depth. An operation costs O(log n) amortised, whatever the shape of the trees.

use serde::{Deserialize, Serialize};

use super::slab::Slab;

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// Nodes by number. A node that was never linked is a tree of its own.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Forest {
    nodes: Slab<Node>,
    /// The way from a node up to the root of its splay tree.
    #[serde(skip)]
    way: Vec<u32>,
}

/// Half a cache line: an operation visits dozens of nodes that lie anywhere.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[repr(align(32))]
struct Node {
    /// In the splay tree, or from its root to the path above.
    parent: u32,
    children: [u32; 2],
    /// The lightest node of the splay tree under this node, itself included; the upper bit says
    /// whether the order of everything under this node is turned round.
    lightest: u32,
    /// That one's weight.
    least: i64,
    weight: i64,
}

/// The bit of `lightest` that turns the order round.
const TURNED: u32 = 1 << 31;

impl Forest {
    /// Sets the weight of a node that is a tree of its own.
    pub(crate) fn place(&mut self, node: u32, weight: i64) {
        let at = node as usize;
        while self.nodes.len() <= at {
            let lightest = self.nodes.len() as u32;
            let (parent, children, least) = (NONE, [NONE; 2], weight);
            self.nodes.push(Node { parent, children, lightest, least, weight });
        }
        debug_assert_eq!((self.nodes[at].parent, self.nodes[at].children), (NONE, [NONE; 2]));
        self.nodes[at].weight = weight;
        self.gather(node);
    }

    pub(crate) fn weight(&self, node: u32) -> i64 {
        self.nodes[node as usize].weight
    }

    /// Changes a node's weight.
    pub(crate) fn weigh(&mut self, node: u32, weight: i64) {
        self.access(node);
        self.nodes[node as usize].weight = weight;
        self.gather(node);
    }

    /// Joins the trees of two nodes, which are different trees.
    pub(crate) fn link(&mut self, one: u32, other: u32) {
        self.root_at(one);
        self.access(other);
        self.nodes[one as usize].parent = other;
    }

    /// Takes a node out from between its only two neighbours, and makes it a tree of its own.
    pub(crate) fn remove(&mut self, node: u32, neighbours: [u32; 2]) {
        self.root_at(node);
        for neighbour in neighbours {
            self.access(neighbour);
            let held = &mut self.nodes[neighbour as usize].children[0];
            assert_eq!(*held, node, "what is taken out stands between its neighbours");
            *held = NONE;
            self.nodes[node as usize].parent = NONE;
            self.gather(neighbour);
        }
    }

    /// The lightest node on the path between two nodes of one tree.
    pub(crate) fn lightest(&mut self, one: u32, other: u32) -> u32 {
        self.root_at(one);
        self.access(other);
        self.nodes[other as usize].lightest & !TURNED
    }

    /// Puts a node that is a tree of its own in the place of one on the path between its two
    /// neighbours to be, of which [`Forest::lightest`] was asked last.
    pub(crate) fn replace(&mut self, (one, other): (u32, u32), old: u32, new: u32) {
        // The path is one splay tree, from the root of the whole, `one`, to `other`.
        self.splay(old);
        for side in 0..2 {
            let part = self.nodes[old as usize].children[side];
            self.nodes[part as usize].parent = NONE;
            self.nodes[old as usize].children[side] = NONE;
        }
        self.gather(old);
        self.splay(one);
        self.nodes[one as usize].parent = new;
        self.nodes[new as usize].parent = other;
    }

    /// Makes the path from the root to a node one splay tree with the node at its root. To do so
    /// now and then for any node keeps the splay trees shallow.
    pub(crate) fn access(&mut self, node: u32) {
        self.splay(node);
        self.set_child(node, 1, NONE);
        while self.nodes[node as usize].parent != NONE {
            let above = self.nodes[node as usize].parent;
            self.splay(above);
            self.set_child(above, 1, node);
            self.splay(node);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.nodes.bytes()
    }

    fn root_at(&mut self, node: u32) {
        self.access(node);
        self.nodes[node as usize].lightest ^= TURNED;
        self.push(node);
    }

    fn set_child(&mut self, node: u32, side: usize, child: u32) {
        self.nodes[node as usize].children[side] = child;
        if child != NONE {
            self.nodes[child as usize].parent = node;
        }
        self.gather(node);
    }

    fn gather(&mut self, node: u32) {
        let Node { children, weight, lightest, .. } = self.nodes[node as usize];
        let turned = lightest & TURNED;
        let (mut lightest, mut least) = (node, weight);
        for child in children {
            if child != NONE {
                let under = &self.nodes[child as usize];
                if under.least < least {
                    (lightest, least) = (under.lightest & !TURNED, under.least);
                }
            }
        }
        let held = &mut self.nodes[node as usize];
        (held.lightest, held.least) = (lightest | turned, least);
    }

    /// Turns a node's children round where that is still to be done.
    fn push(&mut self, node: u32) {
        let held = &mut self.nodes[node as usize];
        if held.lightest & TURNED == 0 {
            return;
        }
        held.lightest ^= TURNED;
        held.children.swap(0, 1);
        for child in held.children {
            if child != NONE {
                self.nodes[child as usize].lightest ^= TURNED;
            }
        }
    }

    /// On which side of its parent a node hangs in the splay tree, if it is not its root.
    fn side(&self, node: u32) -> Option<(u32, usize)> {
        let parent = self.nodes[node as usize].parent;
        if parent == NONE {
            return None;
        }
        let side = self.nodes[parent as usize].children.iter().position(|child| *child == node)?;
        Some((parent, side))
    }

    fn splay(&mut self, node: u32) {
        let mut way = std::mem::take(&mut self.way);
        way.push(node);
        let mut at = node;
        while let Some((parent, _)) = self.side(at) {
            way.push(parent);
            at = parent;
        }
        for at in way.drain(..).rev() {
            self.push(at);
        }
        self.way = way;
        while let Some((parent, side)) = self.side(node) {
            if let Some((_, parent_side)) = self.side(parent) {
                self.rotate(if side == parent_side { parent } else { node });
            }
            self.rotate(node);
        }
        self.gather(node);
    }

    /// Brings a node above its parent; what the node gathers is left to do.
    fn rotate(&mut self, node: u32) {
        let Some((parent, side)) = self.side(node) else { return };
        let above = self.nodes[parent as usize].parent;
        if let Some((above, above_side)) = self.side(parent) {
            self.nodes[above as usize].children[above_side] = node;
        }
        self.nodes[node as usize].parent = above;
        let inner = self.nodes[node as usize].children[1 - side];
        self.nodes[node as usize].children[1 - side] = parent;
        self.nodes[parent as usize].parent = node;
        self.set_child(parent, side, inner);
    }
}
