//! Growing one tree on bytes: histograms of weighted counts, gini, and where nulls go.

use crate::bins::{BIN_MISSING, Binned};
use crate::random::Random;

/// A node while and after it is grown. The children of an inner node stand side by side, after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grown {
    /// How the node is divided; None for a leaf.
    pub(crate) split: Option<Cut>,
    /// The left child; the right one follows it. 0 for a leaf.
    pub(crate) left: u32,
    /// The node's value: for a forest the share of weight with the label; for boosting logits.
    pub(crate) value: f64,
}

/// A division of rows by one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cut {
    /// The column.
    pub(crate) column: u32,
    /// Rows of this bin and below go left.
    pub(crate) bin: u8,
    /// Rows without a value go right; else left.
    pub(crate) missing_right: bool,
}

/// What bounds a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) depth_max: usize,
    /// The fewest rows of a leaf, a row drawn twice counting twice.
    pub(crate) leaf_rows_min: u32,
    /// Columns tried at a node.
    pub(crate) columns_tried: usize,
    /// What a row without and a row with the label weigh.
    pub(crate) weights: [f64; 2],
}

/// A row of a tree's sample, and how often it was drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) row: u32,
    /// The times drawn: in the upper half if the row has the label, else in the lower.
    pub(crate) counts: u32,
}

/// The counts of rows with the label (upper half) and without (lower half): one addition counts
/// both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts(u64);

impl Entry {
    pub(crate) fn new(row: u32, times: u16, positive: bool) -> Entry {
        Entry { row, counts: u32::from(times) << if positive { 16 } else { 0 } }
    }

    fn wide(self) -> u64 {
        (u64::from(self.counts >> 16) << 32) | u64::from(self.counts & 0xffff)
    }
}

impl Counts {
    fn positive(self) -> u64 {
        self.0 >> 32
    }

    fn negative(self) -> u64 {
        self.0 & 0xffff_ffff
    }

    fn rows(self) -> u64 {
        self.positive() + self.negative()
    }

    fn minus(self, other: Counts) -> Counts {
        Counts(self.0 - other.0)
    }

    fn plus(self, other: Counts) -> Counts {
        Counts(self.0 + other.0)
    }

    /// Twice the weight times the gini impurity is weight - purity: the larger the better.
    fn purity(self, weights: [f64; 2]) -> f64 {
        let positive = self.positive() as f64 * weights[1];
        let negative = self.negative() as f64 * weights[0];
        (positive * positive + negative * negative) / (positive + negative)
    }

    fn share(self, weights: [f64; 2]) -> f64 {
        let positive = self.positive() as f64 * weights[1];
        positive / (positive + self.negative() as f64 * weights[0])
    }
}

/// Work that stands in the queue: the rows `start..end` belong to `node`.
struct Open {
    node: usize,
    start: usize,
    end: usize,
    depth: usize,
    counts: Counts,
}

/// The best division found so far.
struct Best {
    cut: Cut,
    purity: f64,
    left: Counts,
}

/// Grows a tree on a sample. The order of work is fixed, so that one random stream gives one tree.
pub(crate) fn grow(
    binned: &Binned,
    entries: &mut [Entry],
    limits: &Limits,
    random: &mut Random,
) -> Vec<Grown> {
    let counts = Counts(entries.iter().map(|entry| entry.wide()).sum());
    let leaf = |counts: Counts| Grown { split: None, left: 0, value: counts.share(limits.weights) };
    let mut nodes = vec![leaf(counts)];
    let mut queue = std::collections::VecDeque::new();
    queue.push_back(Open { node: 0, start: 0, end: entries.len(), depth: 0, counts });
    let mut order: Vec<u32> = (0..binned.columns.len() as u32).collect();
    let mut scratch = Vec::with_capacity(entries.len());
    while let Some(open) = queue.pop_front() {
        let rows = &mut entries[open.start..open.end];
        if open.depth >= limits.depth_max
            || open.counts.rows() < 2 * u64::from(limits.leaf_rows_min)
        {
            continue;
        }
        let Some(best) = best(binned, rows, open.counts, limits, random, &mut order) else {
            continue;
        };
        let middle = open.start + divide(binned, rows, &best.cut, &mut scratch);
        let right = open.counts.minus(best.left);
        let left_node = nodes.len();
        nodes[open.node].split = Some(best.cut);
        nodes[open.node].left = left_node as u32;
        let halves = [(best.left, open.start, middle), (right, middle, open.end)];
        for (at, (counts, start, end)) in halves.into_iter().enumerate() {
            nodes.push(leaf(counts));
            let depth = open.depth + 1;
            queue.push_back(Open { node: left_node + at, start, end, depth, counts });
        }
    }
    nodes
}

/// The best division of a node: columns are tried in random order until enough were tried and one
/// of them divides the rows at all.
fn best(
    binned: &Binned,
    rows: &[Entry],
    counts: Counts,
    limits: &Limits,
    random: &mut Random,
    order: &mut [u32],
) -> Option<Best> {
    if counts.positive() == 0 || counts.negative() == 0 {
        return None;
    }
    // No division is worth it that leaves the purity as it is.
    let mut best: Option<Best> = None;
    let mut least = counts.purity(limits.weights) * (1.0 + 1e-12);
    let mut histogram = [Counts::default(); 256];
    let mut tried = 0;
    for at in 0..order.len() {
        if tried >= limits.columns_tried && (best.is_some() || limits.columns_tried == 0) {
            break;
        }
        let other = at + random.below(order.len() - at);
        order.swap(at, other);
        let column = order[at] as usize;
        let bins = binned.edges[column].bins();
        histogram[..=bins].fill(Counts::default());
        let bytes = &binned.columns[column];
        for entry in rows {
            let bin = &mut histogram[usize::from(bytes[entry.row as usize])];
            bin.0 += entry.wide();
        }
        if histogram[..=bins].contains(&counts) {
            // All rows are in one bin: this column was no try.
            continue;
        }
        tried += 1;
        scan(&histogram[..=bins], column as u32, counts, limits, &mut |cut, purity, left| {
            if purity > least {
                least = purity;
                best = Some(Best { cut, purity, left });
            }
        });
    }
    debug_assert!(best.as_ref().is_none_or(|best| best.purity == least));
    best
}

/// Offers each division of a histogram. Between two bins with rows lie any number without: the
/// division stands in their middle.
fn scan(
    histogram: &[Counts],
    column: u32,
    counts: Counts,
    limits: &Limits,
    offer: &mut impl FnMut(Cut, f64, Counts),
) {
    let missing = histogram[usize::from(BIN_MISSING)];
    let none_missing = missing == Counts::default();
    let leaf_min = u64::from(limits.leaf_rows_min);
    // All values on the left and nulls on the right is the mirror image of nulls alone on the left.
    for missing_right in if none_missing { &[false][..] } else { &[false, true] } {
        let (mut left, mut below) = match (none_missing, *missing_right) {
            (false, false) => (missing, Some(0)),
            _ => (Counts::default(), None),
        };
        for (bin, here) in histogram.iter().enumerate().skip(1) {
            if *here == Counts::default() {
                continue;
            }
            let right = counts.minus(left);
            if let Some(below) = below
                && left.rows() >= leaf_min
                && right.rows() >= leaf_min
            {
                let middle = if below == 0 { 0 } else { (below + bin - 1) / 2 };
                // Where no row lacks a value, one that comes later goes with the larger part.
                let missing_right =
                    if none_missing { right.rows() > left.rows() } else { *missing_right };
                let cut = Cut { column, bin: middle as u8, missing_right };
                offer(cut, left.purity(limits.weights) + right.purity(limits.weights), left);
            }
            left = left.plus(*here);
            below = Some(bin);
        }
    }
}

/// Puts the rows that go left first, each part in its order, and says how many they are.
fn divide(binned: &Binned, rows: &mut [Entry], cut: &Cut, scratch: &mut Vec<Entry>) -> usize {
    let bytes = &binned.columns[cut.column as usize];
    scratch.clear();
    let mut left = 0;
    for at in 0..rows.len() {
        let entry = rows[at];
        if cut.goes_left(bytes[entry.row as usize]) {
            rows[left] = entry;
            left += 1;
        } else {
            scratch.push(entry);
        }
    }
    rows[left..].copy_from_slice(scratch);
    left
}

impl Cut {
    /// Where a row of this bin goes.
    pub(crate) fn goes_left(&self, bin: u8) -> bool {
        if bin == BIN_MISSING { !self.missing_right } else { bin <= self.bin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(columns: usize) -> Limits {
        Limits { depth_max: 30, leaf_rows_min: 1, columns_tried: columns, weights: [1.0, 1.0] }
    }

    fn entries(labels: &[bool]) -> Vec<Entry> {
        let entry = |(row, label): (usize, &bool)| Entry::new(row as u32, 1, *label);
        labels.iter().enumerate().map(entry).collect()
    }

    /// The best purity by the definition: every division of the values of every column, tried
    /// apart, with nulls on either side.
    fn naive(columns: &[Vec<f64>], labels: &[bool], weights: [f64; 2]) -> f64 {
        let purity = |side: &[bool]| {
            let of = |label| side.iter().filter(|l| **l == label).count() as f64;
            let (p, n) = (of(true) * weights[1], of(false) * weights[0]);
            if side.is_empty() { 0.0 } else { (p * p + n * n) / (p + n) }
        };
        let mut best = 0.0f64;
        for values in columns {
            let mut at: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
            at.push(f64::NEG_INFINITY);
            for cut in at {
                for right in [false, true] {
                    let goes_left = |v: f64| if v.is_nan() { !right } else { v <= cut };
                    let part = |side: bool| -> Vec<bool> {
                        let both = values.iter().zip(labels);
                        both.filter(|(v, _)| goes_left(**v) == side).map(|(_, l)| *l).collect()
                    };
                    best = best.max(purity(&part(true)) + purity(&part(false)));
                }
            }
        }
        best
    }

    #[test]
    fn the_first_division_is_the_best_there_is() {
        let mut random = Random::new(7, 0);
        for round in 0..200 {
            let rows = 3 + random.below(40);
            let columns: Vec<Vec<f64>> = (0..3)
                .map(|_| {
                    let value = |random: &mut Random| match random.below(6) {
                        0 => f64::NAN,
                        _ => random.below(9) as f64,
                    };
                    (0..rows).map(|_| value(&mut random)).collect()
                })
                .collect();
            let labels: Vec<bool> = (0..rows).map(|_| random.below(3) == 0).collect();
            let weights = [1.0, [1.0, 4.0][round % 2]];
            let binned = Binned::new(&columns, &labels);
            let mut rows = entries(&labels);
            let counts = Counts(rows.iter().map(|entry| entry.wide()).sum());
            let limits = Limits { weights, ..limits(3) };
            let mut order = [0, 1, 2];
            let best = best(&binned, &rows, counts, &limits, &mut random, &mut order);
            let expected = naive(&columns, &labels, weights);
            let whole = counts.purity(weights);
            match best {
                Some(best) => {
                    assert!((best.purity - expected).abs() < 1e-9, "round {round}");
                    let left = divide(&binned, &mut rows, &best.cut, &mut Vec::new());
                    assert_eq!(left as u64, best.left.rows(), "round {round}");
                }
                None => assert!(expected <= whole * (1.0 + 1e-9), "round {round}"),
            }
        }
    }

    #[test]
    fn a_tree_without_bounds_learns_what_can_be_told_apart() {
        let columns = vec![(0..64).map(f64::from).collect(), vec![0.0; 64]];
        let labels: Vec<bool> = (0..64).map(|row| (row / 5) % 2 == 0).collect();
        let binned = Binned::new(&columns, &labels);
        let nodes = grow(&binned, &mut entries(&labels), &limits(2), &mut Random::new(1, 1));
        for (row, label) in labels.iter().enumerate() {
            let mut node = &nodes[0];
            while let Some(cut) = node.split {
                let bin = binned.columns[cut.column as usize][row];
                node = &nodes[node.left as usize + usize::from(!cut.goes_left(bin))];
            }
            assert_eq!(node.value, f64::from(u8::from(*label)), "row {row}");
        }
    }

    #[test]
    fn a_leaf_holds_as_many_rows_as_asked() {
        let columns = vec![(0..100).map(f64::from).collect()];
        let labels: Vec<bool> = (0..100).map(|row| row % 7 == 0).collect();
        let binned = Binned::new(&columns, &labels);
        let bounds = Limits { leaf_rows_min: 20, depth_max: 2, ..limits(1) };
        let nodes = grow(&binned, &mut entries(&labels), &bounds, &mut Random::new(1, 1));
        let mut held = vec![0; nodes.len()];
        for bin in &binned.columns[0] {
            let mut at = 0;
            while let Some(cut) = nodes[at].split {
                at = nodes[at].left as usize + usize::from(!cut.goes_left(*bin));
            }
            held[at] += 1;
        }
        let leaves = held.iter().filter(|rows| **rows > 0).count();
        assert!((2..=4).contains(&leaves), "{held:?}");
        assert!(held.iter().all(|rows| *rows == 0 || *rows >= 20), "{held:?}");
    }
}
