//! Gradient boosting: trees of Newton steps on sums of integers, so that the order in which rows
//! are added, and with it the number of threads, does not matter.

use super::grow::{Cut, Grown};
use super::{BoostingConfig, Tree, Work, in_parallel};
use crate::bins::{BIN_MISSING, Binned};
use crate::forest::flat::{VALUE_BITS, VALUE_MAX, to_units};
use crate::random::Random;

/// Gradients and curvatures are integers in units of 2^-24: sums of 2^31 rows of weight up to 2^7
/// fit into 64 bits.
const GRADIENT_UNIT: f64 = (1u32 << 24) as f64;
/// The most that a row may weigh, so that sums cannot overflow.
pub(crate) const WEIGHT_MAX: f64 = 128.0;
/// Below this many row visits threads cost more than they save.
const VISITS_MIN: usize = 1 << 20;

/// What a set of rows says: their number and the sums of gradients and curvatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    gradient: i64,
    curvature: i64,
    rows: u64,
}

struct Open {
    node: usize,
    start: usize,
    end: usize,
    depth: usize,
    sums: Sums,
    /// A histogram a column of the tree.
    histograms: Vec<Vec<Sums>>,
}

struct Boost<'a> {
    binned: &'a Binned,
    config: &'a BoostingConfig,
    /// Of each row, in the binned rows' order.
    of_row: Vec<Sums>,
    work: Work<'a>,
}

/// Grows the trees; with them comes the base, a logit in units of 2^-16.
pub(crate) fn boost(
    binned: &Binned,
    labels: &[bool],
    config: &BoostingConfig,
    seed: u64,
    work: Work,
) -> (i64, Vec<Tree>) {
    let mut weights = config.class_weight.weights(labels);
    weights[1] = weights[1].min(WEIGHT_MAX);
    let positive = labels.iter().filter(|label| **label).count() as f64;
    let negative = labels.len() as f64 - positive;
    let odds = positive * weights[1] / (negative * weights[0]);
    let base = to_units(libm::log(odds));
    let mut margins = vec![base; labels.len()];
    let silent = Work { progress: &|_, _, _| {}, ..work };
    let mut boost =
        Boost { binned, config, of_row: vec![Sums::default(); labels.len()], work: silent };
    let mut trees = Vec::new();
    for at in 0..config.trees {
        let mut random = Random::new(seed, at as u64);
        boost.slopes(labels, &margins, weights);
        let nodes = boost.grow(&mut random);
        let tree = Tree::new(&nodes);
        for (row, margin) in margins.iter_mut().enumerate() {
            let value = to_units(nodes[leaf(&nodes, binned, row)].value);
            // Bounded, so that a row that is long settled cannot run away.
            *margin = (*margin + value).clamp(-VALUE_MAX, VALUE_MAX);
        }
        trees.push(tree);
        (work.progress)("trees", at + 1, config.trees);
    }
    (i64::from(base), trees)
}

fn leaf(nodes: &[Grown], binned: &Binned, row: usize) -> usize {
    let mut at = 0;
    while let Some(cut) = nodes[at].split {
        let left = cut.goes_left(binned.columns[cut.column as usize][row]);
        at = nodes[at].left as usize + usize::from(!left);
    }
    at
}

impl Sums {
    fn plus(self, other: Sums) -> Sums {
        Sums {
            gradient: self.gradient + other.gradient,
            curvature: self.curvature + other.curvature,
            rows: self.rows + other.rows,
        }
    }

    fn minus(self, other: Sums) -> Sums {
        Sums {
            gradient: self.gradient - other.gradient,
            curvature: self.curvature - other.curvature,
            rows: self.rows - other.rows,
        }
    }

    /// The loss that a step of its own saves for these rows, twice.
    fn gain(self, l2: f64) -> f64 {
        let gradient = self.gradient as f64 / GRADIENT_UNIT;
        gradient * gradient / (self.curvature as f64 / GRADIENT_UNIT + l2)
    }

    fn step(self, config: &BoostingConfig) -> f64 {
        let gradient = self.gradient as f64 / GRADIENT_UNIT;
        let curvature = self.curvature as f64 / GRADIENT_UNIT + config.l2;
        // Without l2 a settled leaf has no curvature, and its step no bound.
        -config.learning_rate * gradient / curvature.max(1e-9)
    }
}

impl Boost<'_> {
    /// The gradient and curvature of the loss of each row.
    fn slopes(&mut self, labels: &[bool], margins: &[i32], weights: [f64; 2]) {
        let unit = f64::from(1u32 << VALUE_BITS);
        for ((sums, label), margin) in self.of_row.iter_mut().zip(labels).zip(margins) {
            let probability = 1.0 / (1.0 + libm::exp(-f64::from(*margin) / unit));
            let label = u8::from(*label);
            let weight = weights[usize::from(label)] * GRADIENT_UNIT;
            *sums = Sums {
                gradient: ((probability - f64::from(label)) * weight).round() as i64,
                curvature: (probability * (1.0 - probability) * weight).round() as i64,
                rows: 1,
            };
        }
    }

    fn grow(&self, random: &mut Random) -> Vec<Grown> {
        let columns = self.some_columns(random);
        let mut rows: Vec<u32> = (0..self.of_row.len() as u32)
            .filter(|_| self.config.rows_share >= 1.0 || random.unit() < self.config.rows_share)
            .collect();
        let sums = rows.iter().fold(Sums::default(), |all, row| all.plus(self.of(*row)));
        let mut nodes = vec![self.leaf(sums)];
        let histograms = self.histograms(&columns, &rows);
        let mut queue = std::collections::VecDeque::new();
        queue.push_back(Open { node: 0, start: 0, end: rows.len(), depth: 0, sums, histograms });
        let mut scratch = Vec::new();
        while let Some(open) = queue.pop_front() {
            if open.depth >= self.config.depth_max {
                continue;
            }
            let Some((cut, left)) = self.best(&columns, &open) else { continue };
            let here = &mut rows[open.start..open.end];
            let middle = open.start + self.divide(here, &cut, &mut scratch);
            let right = open.sums.minus(left);
            let first = nodes.len();
            nodes[open.node].split = Some(cut);
            nodes[open.node].left = first as u32;
            nodes.extend([self.leaf(left), self.leaf(right)]);
            let last = open.depth + 1 >= self.config.depth_max;
            let [of_left, of_right] = if last {
                [Vec::new(), Vec::new()]
            } else {
                self.both(&columns, open.histograms, &rows, [open.start, middle, open.end])
            };
            let halves = [(left, open.start, middle, of_left), (right, middle, open.end, of_right)];
            for (at, (sums, start, end, histograms)) in halves.into_iter().enumerate() {
                let (node, depth) = (first + at, open.depth + 1);
                queue.push_back(Open { node, start, end, depth, sums, histograms });
            }
        }
        nodes
    }

    fn of(&self, row: u32) -> Sums {
        self.of_row[row as usize]
    }

    fn leaf(&self, sums: Sums) -> Grown {
        Grown { split: None, left: 0, value: sums.step(self.config) }
    }

    /// The columns of a tree, in their order.
    fn some_columns(&self, random: &mut Random) -> Vec<u32> {
        let all = self.binned.columns.len();
        let some = ((all as f64 * self.config.columns_share).ceil() as usize).clamp(1, all);
        let mut columns: Vec<u32> = (0..all as u32).collect();
        random.shuffle(&mut columns);
        columns.truncate(some);
        columns.sort_unstable();
        columns
    }

    fn histograms(&self, columns: &[u32], rows: &[u32]) -> Vec<Vec<Sums>> {
        let few = rows.len() * columns.len() < VISITS_MIN;
        let work = Work { threads: if few { 1 } else { self.work.threads }, ..self.work };
        in_parallel(columns.len(), work, "", |at| {
            let column = columns[at] as usize;
            let bytes = &self.binned.columns[column];
            let mut histogram = vec![Sums::default(); self.binned.edges[column].bins() + 1];
            for row in rows {
                let bin = &mut histogram[usize::from(bytes[*row as usize])];
                *bin = bin.plus(self.of(*row));
            }
            histogram
        })
    }

    /// The histograms of both halves: the smaller is counted, the larger is what is left.
    fn both(
        &self,
        columns: &[u32],
        mut whole: Vec<Vec<Sums>>,
        rows: &[u32],
        [start, middle, end]: [usize; 3],
    ) -> [Vec<Vec<Sums>>; 2] {
        let left_is_smaller = middle - start <= end - middle;
        let smaller = if left_is_smaller { &rows[start..middle] } else { &rows[middle..end] };
        let counted = self.histograms(columns, smaller);
        for (whole, counted) in whole.iter_mut().flatten().zip(counted.iter().flatten()) {
            *whole = whole.minus(*counted);
        }
        if left_is_smaller { [counted, whole] } else { [whole, counted] }
    }

    /// The division that saves most, and the sums of its left side.
    fn best(&self, columns: &[u32], open: &Open) -> Option<(Cut, Sums)> {
        let (l2, leaf_min) = (self.config.l2, u64::from(self.config.leaf_rows_min.max(1)));
        let mut best = None;
        // What is smaller than the rounding of the sums is no gain.
        let mut most = open.sums.gain(l2) + 1e-6;
        for (column, histogram) in columns.iter().zip(&open.histograms) {
            let missing = histogram[usize::from(BIN_MISSING)];
            let none = missing.rows == 0;
            for missing_right in if none { &[false][..] } else { &[false, true] } {
                let (mut left, mut below) = match (none, *missing_right) {
                    (false, false) => (missing, Some(0)),
                    _ => (Sums::default(), None),
                };
                for (bin, here) in histogram.iter().enumerate().skip(1) {
                    if here.rows == 0 {
                        continue;
                    }
                    let right = open.sums.minus(left);
                    if let Some(below) = below
                        && left.rows >= leaf_min
                        && right.rows >= leaf_min
                    {
                        let gain = left.gain(l2) + right.gain(l2);
                        if gain > most {
                            most = gain;
                            let bin = if below == 0 { 0 } else { (below + bin - 1) / 2 } as u8;
                            let larger = right.rows > left.rows;
                            let missing_right = if none { larger } else { *missing_right };
                            best = Some((Cut { column: *column, bin, missing_right }, left));
                        }
                    }
                    left = left.plus(*here);
                    below = Some(bin);
                }
            }
        }
        best
    }

    fn divide(&self, rows: &mut [u32], cut: &Cut, scratch: &mut Vec<u32>) -> usize {
        let bytes = &self.binned.columns[cut.column as usize];
        scratch.clear();
        let mut left = 0;
        for at in 0..rows.len() {
            let row = rows[at];
            if cut.goes_left(bytes[row as usize]) {
                rows[left] = row;
                left += 1;
            } else {
                scratch.push(row);
            }
        }
        rows[left..].copy_from_slice(scratch);
        left
    }
}
