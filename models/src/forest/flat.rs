//! Trees as arrays of integers: scoring and explaining, the same on every machine.

use serde::{Deserialize, Serialize};
use wide::i8x16;

use super::grow::{Cut, Grown};
use crate::bins::{BIN_MISSING, Edges};

/// A leaf's value in units of 2^-16, of a probability or of a logit.
pub(crate) const VALUE_BITS: u32 = 16;
/// The most that a node's value may be, either way: 32 logits. 1000 trees cannot overflow 32 bits.
pub(crate) const VALUE_MAX: i32 = 1 << 21;
/// The most trees of a model.
pub const TREES_MAX: usize = 1000;
/// Rows that descend together: a 64 bit word says which of them reach a node.
pub(crate) const BLOCK_ROWS: usize = 64;

/// One tree as it stands in an artefact. Nodes are in breadth-first order, so that the children of
/// the k-th node that is divided (from 0) are nodes 2k + 1 and 2k + 2 and need not be written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tree {
    /// 0 for a leaf; else 1 + 512 x column + 2 x bin + (1 if nulls go right).
    splits: Vec<u32>,
    /// The value of each node, in units of 2^-16.
    values: Vec<i32>,
}

/// Trees over binned columns; the raw score is the base and the sum of the leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TreesFile {
    pub(crate) base: i64,
    pub(crate) edges: Vec<Edges>,
    pub(crate) trees: Vec<Tree>,
}

/// The same, laid out for scoring.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flat {
    file: TreesFile,
    /// Columns as nodes look at them: a column whose nulls go left here and right there is two.
    views: Vec<View>,
    nodes: Vec<Node>,
    values: Vec<i32>,
    roots: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct View {
    column: u32,
    missing_right: bool,
}

/// 8 bytes, so that eight nodes share a cache line.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Node {
    /// The left child; the right one follows it.
    left: u32,
    view: u16,
    /// Bytes up to this go left (see [`View::byte`]).
    cut: i8,
    is_leaf: bool,
}

impl View {
    /// The byte that a node compares: the bin moved by 128, since processors compare signed bytes,
    /// and nulls below or above all bins.
    fn byte(self, bin: u8) -> i8 {
        let bin = if bin == BIN_MISSING && self.missing_right { u8::MAX } else { bin };
        signed(bin)
    }
}

fn signed(bin: u8) -> i8 {
    (bin ^ 0x80) as i8
}

/// A value in units of 2^-16, rounded and kept within bounds.
pub(crate) fn to_units(value: f64) -> i32 {
    let units = (value * f64::from(1u32 << VALUE_BITS)).round();
    units.clamp(f64::from(-VALUE_MAX), f64::from(VALUE_MAX)) as i32
}

impl Tree {
    /// Takes over a grown tree.
    pub(crate) fn new(nodes: &[Grown]) -> Tree {
        let split = |node: &Grown| match node.split {
            None => 0,
            Some(Cut { column, bin, missing_right }) => {
                1 + ((column << 9) | (u32::from(bin) << 1) | u32::from(missing_right))
            }
        };
        Tree {
            splits: nodes.iter().map(split).collect(),
            values: nodes.iter().map(|node| to_units(node.value)).collect(),
        }
    }

    #[cfg(test)]
    pub(crate) fn nodes(&self) -> usize {
        self.splits.len()
    }

    fn cut(&self, node: usize) -> Option<Cut> {
        let packed = self.splits[node].checked_sub(1)?;
        Some(Cut {
            column: packed >> 9,
            bin: ((packed >> 1) & 0xff) as u8,
            missing_right: packed & 1 == 1,
        })
    }

    /// Whether this is a tree: as many nodes as its divisions have children, each after its parent.
    fn is_sound(&self, columns: usize) -> bool {
        let inner = self.splits.iter().filter(|split| **split != 0).count();
        let mut divided = 0;
        self.splits.len() == self.values.len()
            && self.splits.len() == 2 * inner + 1
            && (0..self.splits.len()).all(|node| match self.cut(node) {
                None => true,
                Some(cut) => {
                    divided += 1;
                    2 * divided - 1 > node && (cut.column as usize) < columns && cut.bin < u8::MAX
                }
            })
            && self.values.iter().all(|value| value.abs() <= VALUE_MAX)
    }
}

impl Flat {
    /// Lays trees out; None if they are not sound, as an artefact from elsewhere may not be.
    pub(crate) fn new(file: TreesFile) -> Option<Flat> {
        let sound = file.trees.len() <= TREES_MAX
            && file.edges.iter().all(Edges::is_sound)
            && file.trees.iter().all(|tree| tree.is_sound(file.edges.len()))
            && file.base.abs() <= i64::from(VALUE_MAX);
        if !sound {
            return None;
        }
        let (mut nodes, mut values, mut roots) = (Vec::new(), Vec::new(), Vec::new());
        let mut view_of = vec![u16::MAX; 2 * file.edges.len()];
        let mut views = Vec::new();
        for tree in &file.trees {
            let root = nodes.len() as u32;
            roots.push(root);
            let mut next_child = root + 1;
            for node in 0..tree.splits.len() {
                nodes.push(match tree.cut(node) {
                    None => Node { left: 0, view: 0, cut: i8::MAX, is_leaf: true },
                    Some(Cut { column, bin, missing_right }) => {
                        let view = &mut view_of[2 * column as usize + usize::from(missing_right)];
                        if *view == u16::MAX {
                            *view = views.len() as u16;
                            views.push(View { column, missing_right });
                        }
                        next_child += 2;
                        let left = next_child - 2;
                        Node { left, view: *view, cut: signed(bin), is_leaf: false }
                    }
                });
            }
            values.extend(&tree.values);
        }
        Some(Flat { file, views, nodes, values, roots })
    }

    pub(crate) fn file(&self) -> &TreesFile {
        &self.file
    }

    pub(crate) fn edges(&self) -> &[Edges] {
        &self.file.edges
    }

    /// The raw score of one row of bins.
    pub(crate) fn raw(&self, bins: &[u8]) -> i64 {
        let leaves = self.roots.iter().map(|root| i64::from(self.values[self.leaf(*root, bins)]));
        self.file.base + leaves.sum::<i64>()
    }

    fn leaf(&self, root: u32, bins: &[u8]) -> usize {
        let mut at = root as usize;
        while !self.nodes[at].is_leaf {
            at = self.child(at, bins);
        }
        at
    }

    fn child(&self, at: usize, bins: &[u8]) -> usize {
        let node = self.nodes[at];
        let view = self.views[usize::from(node.view)];
        node.left as usize + usize::from(view.byte(bins[view.column as usize]) > node.cut)
    }

    /// What each column of a row adds to its raw score: on the way down a tree, each division moves
    /// the node's value, and that move is the column's. With the bias they add up to the raw score.
    pub(crate) fn contributions(&self, bins: &[u8]) -> (i64, Vec<i64>) {
        let mut bias = self.file.base;
        let mut of_column = vec![0; self.file.edges.len()];
        for root in &self.roots {
            let mut at = *root as usize;
            bias += i64::from(self.values[at]);
            while !self.nodes[at].is_leaf {
                let column = self.views[usize::from(self.nodes[at].view)].column as usize;
                let child = self.child(at, bins);
                of_column[column] += i64::from(self.values[child]) - i64::from(self.values[at]);
                at = child;
            }
        }
        (bias, of_column)
    }

    /// The raw scores of up to 64 rows; `bins` holds a column after the other, 64 bytes each.
    pub(crate) fn raw_block(&self, bins: &[[u8; BLOCK_ROWS]], scratch: &mut Scratch) -> [i32; 64] {
        scratch.bytes.clear();
        scratch.bytes.extend(self.views.iter().map(|view| {
            let column = &bins[view.column as usize];
            let lane = |part: usize| {
                let bytes: [i8; 16] = std::array::from_fn(|at| view.byte(column[16 * part + at]));
                i8x16::from(bytes)
            };
            [lane(0), lane(1), lane(2), lane(3)]
        }));
        let mut sums = [self.file.base as i32; BLOCK_ROWS];
        for root in &self.roots {
            self.add_tree(*root, scratch, &mut sums);
        }
        sums
    }

    /// Adds the leaves of one tree. Rows that share a node are compared with its cut 16 at a time;
    /// nodes that no row of the block reaches are never looked at.
    fn add_tree(&self, root: u32, scratch: &mut Scratch, sums: &mut [i32; BLOCK_ROWS]) {
        let stack = &mut scratch.stack;
        stack.push((root, u64::MAX));
        while let Some((mut at, mut rows)) = stack.pop() {
            loop {
                let node = self.nodes[at as usize];
                if node.is_leaf {
                    let value = self.values[at as usize];
                    while rows != 0 {
                        // The mask tells the compiler that the place is within the block.
                        sums[rows.trailing_zeros() as usize & (BLOCK_ROWS - 1)] += value;
                        rows &= rows - 1;
                    }
                    break;
                }
                let right = rows & above(&scratch.bytes[usize::from(node.view)], node.cut);
                let left = rows & !right;
                match (left != 0, right != 0) {
                    (true, true) => {
                        stack.push((node.left + 1, right));
                        (at, rows) = (node.left, left);
                    }
                    (true, false) => at = node.left,
                    _ => at = node.left + 1,
                }
            }
        }
    }
}

/// Buffers that live from block to block.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bytes: Vec<[i8x16; 4]>,
    stack: Vec<(u32, u64)>,
}

/// Which of 64 bytes are above a cut, a bit each.
#[inline]
fn above(bytes: &[i8x16; 4], cut: i8) -> u64 {
    let cut = i8x16::splat(cut);
    let mask = |part: usize| u64::from(bytes[part].simd_gt(cut).to_bitmask() as u16);
    mask(0) | (mask(1) << 16) | (mask(2) << 32) | (mask(3) << 48)
}
