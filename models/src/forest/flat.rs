//! Trees as arrays of integers: scoring and explaining, the same on every machine.

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::grow::{Cut, Grown};
use crate::bins::{Edges, Search};

/// A leaf's value in units of 2^-16, of a probability or of a logit.
pub(crate) const VALUE_BITS: u32 = 16;
/// The most that a node's value may be, either way: 32 logits. 1000 trees cannot overflow 32 bits.
pub(crate) const VALUE_MAX: i32 = 1 << 21;
/// The most trees of a model.
pub const TREES_MAX: usize = 1000;
/// Up to so many levels below the crown all rows go down all the way; below that it pays to ask
/// which rows are in a leaf already.
const LEVELS_FIXED: u32 = 6;
/// Blocks that one tree scores before the next: with 40 columns their bytes take 10 KiB, and leave
/// the tree room in a cache of 32.
pub(crate) const BLOCKS: usize = 16;
/// So few rows go down the trees one by one, as the single event of a stream does: a block costs
/// the same however many rows it has.
pub(crate) const ROWS_ALONE: usize = 8;
/// Rows that descend together: enough that the processor always has another one to work on.
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
    crowns: Vec<Crown>,
    searches: Vec<Search>,
}

/// The first eight levels of a tree, so that they can be looked at without asking what a row did
/// before: the first four, and below each of their 16 exits four more.
#[derive(Clone, Debug, PartialEq)]
struct Crown {
    top: Part,
    below: Box<[Part; 16]>,
    /// The node in which a row is after the crown, and the value of that.
    exits: Box<[u32; 256]>,
    values: Box<[i32; 256]>,
    /// Levels of the tree below the crown.
    levels_below: u32,
}

/// Four levels of a tree in the order of a heap. Where it is shallower, nodes that send all rows
/// left stand.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    nodes: [(u16, i8); 15],
    /// Levels that divide rows.
    levels: u32,
}

/// A byte a row.
type Lanes = [u8; BLOCK_ROWS];

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
    /// The byte that a node compares. Nulls are bin 0, below all others; where they go right, all
    /// bins are moved one down, so that nulls come round to the top. The upper bit is turned, since
    /// processors compare signed bytes.
    fn byte(self, bin: u8) -> i8 {
        (bin.wrapping_sub(u8::from(self.missing_right)) ^ 0x80) as i8
    }
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
                    let all_right = cut.missing_right && cut.bin == 0;
                    let bin = cut.bin < u8::MAX && !all_right;
                    2 * divided - 1 > node && (cut.column as usize) < columns && bin
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
                    None => Node { left: root + node as u32, view: 0, cut: i8::MAX, is_leaf: true },
                    Some(Cut { column, bin, missing_right }) => {
                        let view = &mut view_of[2 * column as usize + usize::from(missing_right)];
                        if *view == u16::MAX {
                            *view = views.len() as u16;
                            views.push(View { column, missing_right });
                        }
                        next_child += 2;
                        let left = next_child - 2;
                        let cut = View { column, missing_right }.byte(bin);
                        Node { left, view: *view, cut, is_leaf: false }
                    }
                });
            }
            values.extend(&tree.values);
        }
        let crowns = roots.iter().map(|root| Crown::new(&nodes, &values, *root)).collect();
        let searches = file.edges.iter().map(Edges::search).collect();
        Some(Flat { file, views, nodes, values, roots, crowns, searches })
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

    /// How values of each column are put in bins, for many rows.
    pub(crate) fn searches(&self) -> &[Search] {
        &self.searches
    }

    /// The raw scores of the blocks of 64 rows whose bins were written. A tree scores all blocks
    /// before the next tree comes, since trees are many and would not all stay in the nearest cache.
    pub(crate) fn raw_blocks(&self, scratch: &mut Scratch) {
        scratch.bytes.resize_with(scratch.bins.len(), Vec::new);
        for (bytes, bins) in scratch.bytes.iter_mut().zip(&scratch.bins) {
            bytes.clear();
            let seen = |view: &View| bins[view.column as usize].map(|bin| view.byte(bin));
            bytes.extend(self.views.iter().map(seen));
            if bytes.is_empty() {
                // A model of single leaves looks at nothing, and its crowns at the first view.
                bytes.push([0; BLOCK_ROWS]);
            }
        }
        scratch.sums.clear();
        scratch.sums.resize(scratch.bins.len(), [self.file.base as i32; BLOCK_ROWS]);
        add_trees(self, &scratch.bytes, &mut scratch.sums);
    }

    /// Adds the leaves of one tree: the crown for all rows at once, then each row on its way, so
    /// that the processor works on many rows at once. No branch depends on where a row goes.
    #[inline(always)]
    fn add_tree(&self, crown: &Crown, bytes: &[[i8; BLOCK_ROWS]], sums: &mut [i32; BLOCK_ROWS]) {
        let exits = crown.exits(bytes);
        if crown.levels_below == 0 {
            let values = &*crown.values;
            for (sum, exit) in sums.iter_mut().zip(exits) {
                *sum += values[usize::from(exit)];
            }
            return;
        }
        let mut at = exits.map(|exit| crown.exits[usize::from(exit)]);
        if crown.levels_below > LEVELS_FIXED {
            self.descend(&mut at, bytes);
        } else {
            for (row, at) in at.iter_mut().enumerate() {
                let mut here = *at;
                // A leaf leads to itself, so that all rows take as many steps.
                for _ in 0..crown.levels_below {
                    here = self.next(here, row, bytes);
                }
                *at = here;
            }
        }
        for (sum, at) in sums.iter_mut().zip(at) {
            *sum += self.values[at as usize];
        }
    }

    /// Level by level all rows that are not in a leaf yet, for trees that are deep in few places.
    #[inline(always)]
    fn descend(&self, at: &mut [u32; BLOCK_ROWS], bytes: &[[i8; BLOCK_ROWS]]) {
        let mut open: [u8; BLOCK_ROWS] = std::array::from_fn(|row| row as u8);
        let mut open_rows = BLOCK_ROWS;
        while open_rows > 0 {
            let mut still = 0;
            for place in 0..open_rows {
                // The masks tell the compiler that the places are within the block.
                let row = usize::from(open[place & (BLOCK_ROWS - 1)]) & (BLOCK_ROWS - 1);
                at[row] = self.next(at[row], row, bytes);
                open[still & (BLOCK_ROWS - 1)] = row as u8;
                still += usize::from(!self.nodes[at[row] as usize].is_leaf);
            }
            open_rows = still;
        }
    }

    #[inline(always)]
    fn next(&self, at: u32, row: usize, bytes: &[[i8; BLOCK_ROWS]]) -> u32 {
        let node = self.nodes[at as usize];
        node.left + u32::from(bytes[usize::from(node.view)][row] > node.cut)
    }
}

// Compares as many bytes at once as the processor can; what comes out is the same.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx2", "x86_64+avx2"))]
fn add_trees(flat: &Flat, blocks: &[Vec<[i8; BLOCK_ROWS]>], sums: &mut [[i32; BLOCK_ROWS]]) {
    for crown in &flat.crowns {
        for (bytes, sums) in blocks.iter().zip(&mut *sums) {
            flat.add_tree(crown, bytes, sums);
        }
    }
}

impl Crown {
    /// The first levels of the tree at a root.
    fn new(nodes: &[Node], values: &[i32], root: u32) -> Crown {
        let (top, places) = Part::new(nodes, root);
        let parts = places.map(|at| Part::new(nodes, at));
        let exits: [u32; 256] = std::array::from_fn(|exit| parts[exit / 16].1[exit % 16]);
        let mut levels_below = 0;
        let mut level = exits.to_vec();
        loop {
            // Leaves lead to themselves: what is left are the children of this level's nodes.
            let inner = level.iter().map(|at| nodes[*at as usize]).filter(|node| !node.is_leaf);
            level = inner.flat_map(|node| [node.left, node.left + 1]).collect();
            if level.is_empty() {
                break;
            }
            levels_below += 1;
        }
        Crown {
            top,
            below: Box::new(parts.map(|(part, _)| part)),
            exits: Box::new(exits),
            values: Box::new(exits.map(|at| values[at as usize])),
            levels_below,
        }
    }

    /// The exit of each row of a block.
    #[inline(always)]
    fn exits(&self, bytes: &[[i8; BLOCK_ROWS]]) -> Lanes {
        let mut found = [[0; BLOCK_ROWS]; 16];
        for (nth, (part, found)) in self.below.iter().zip(&mut found).enumerate() {
            let first = 16 * nth as u8;
            *found = match part.levels {
                0 => [first; BLOCK_ROWS],
                1 => part.exit(bytes, exits::<2>(first)),
                2 => part.exit(bytes, exits::<4>(first)),
                3 => part.exit(bytes, exits::<8>(first)),
                _ => part.exit(bytes, exits::<16>(first)),
            }
        }
        self.top.exit(bytes, found)
    }
}

/// The exits below the lowest level of a part that divides rows, from its first one on.
#[inline(always)]
fn exits<const EXITS: usize>(first: u8) -> [Lanes; EXITS] {
    let mut lanes = [[0; BLOCK_ROWS]; EXITS];
    for (nth, lanes) in lanes.iter_mut().enumerate() {
        *lanes = [first + (nth * (16 / EXITS)) as u8; BLOCK_ROWS];
    }
    lanes
}

impl Part {
    /// Four levels from a node on, and the nodes in which rows are after them.
    fn new(nodes: &[Node], at: u32) -> (Part, [u32; 16]) {
        let mut part = Part { nodes: [(0, i8::MAX); 15], levels: 0 };
        let mut exits = [at; 16];
        part.fill(nodes, &mut exits, 0, at);
        (part, exits)
    }

    fn fill(&mut self, nodes: &[Node], exits: &mut [u32; 16], place: usize, at: u32) {
        if let Some(exit) = place.checked_sub(self.nodes.len()) {
            exits[exit] = at;
            return;
        }
        let node = nodes[at as usize];
        // From a leaf all rows go left, so that only the leftmost exit below it is ever taken.
        let [left, right] = if node.is_leaf { [at; 2] } else { [node.left, node.left + 1] };
        if !node.is_leaf {
            self.nodes[place] = (node.view, node.cut);
            self.levels = self.levels.max((place + 1).ilog2() + 1);
        }
        self.fill(nodes, exits, 2 * place + 1, left);
        self.fill(nodes, exits, 2 * place + 2, right);
    }

    /// What each row finds below the part. All divisions are worked out for all rows, from the
    /// lowest level up: below a place a row finds what is below the right child where it goes right,
    /// else what is below the left one.
    #[inline(always)]
    fn exit<const EXITS: usize>(
        &self,
        bytes: &[[i8; BLOCK_ROWS]],
        mut found: [Lanes; EXITS],
    ) -> Lanes {
        let mut places = EXITS / 2;
        while places > 0 {
            for nth in 0..places {
                let (view, cut) = self.nodes[places - 1 + nth];
                let (left, right) = (found[2 * nth], found[2 * nth + 1]);
                for (row, byte) in bytes[usize::from(view)].iter().enumerate() {
                    let goes_right = if *byte > cut { 255 } else { 0 };
                    // Without a branch, so that all rows are done at once.
                    found[nth][row] = left[row] ^ ((left[row] ^ right[row]) & goes_right);
                }
            }
            places /= 2;
        }
        found[0]
    }
}

/// Buffers that live from one call to the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Of each block, a column after the other.
    bins: Vec<Vec<[u8; BLOCK_ROWS]>>,
    /// Of each block, its bytes, one array a view.
    bytes: Vec<Vec<[i8; BLOCK_ROWS]>>,
    /// The raw scores of each block.
    pub(crate) sums: Vec<[i32; BLOCK_ROWS]>,
}

impl Scratch {
    /// Room for the bins of blocks: rows that are not written have those of before.
    pub(crate) fn bins(&mut self, blocks: usize, columns: usize) -> &mut [Vec<[u8; BLOCK_ROWS]>] {
        self.bins.resize_with(blocks, Vec::new);
        self.bins.iter_mut().for_each(|bins| bins.resize(columns, [0; BLOCK_ROWS]));
        &mut self.bins
    }
}
