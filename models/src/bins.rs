//! Columns as bytes: each value is the number of the bin that it falls in, and 0 where there is
//! none. Trees are grown on bytes and descend on bytes.

use serde::{Deserialize, Serialize};

/// The bin of a value that is missing.
pub(crate) const BIN_MISSING: u8 = 0;
/// The most bins of values: one byte, without the two numbers that stand for a missing value (0
/// where it counts as lowest, 255 where it counts as highest).
pub(crate) const BINS_MAX: usize = 254;

/// Where the bins of one column end. Value `x` is in bin `1 + (number of edges below x)`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Edges(Vec<f64>);

impl Edges {
    /// Edges half way between neighbouring values, such that the bins hold about equal numbers of
    /// rows. Where there are few different values, each has a bin of its own.
    pub(crate) fn of_quantiles(values: impl Iterator<Item = f64>) -> Edges {
        let mut sorted: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        // Runs of one value: (value, rows up to its end).
        let mut runs: Vec<(f64, usize)> = Vec::new();
        for (at, value) in sorted.iter().enumerate() {
            match runs.last_mut() {
                Some((last, end)) if last == value => *end = at + 1,
                _ => runs.push((*value, at + 1)),
            }
        }
        let mut edges = Vec::new();
        let mut done = 0;
        for pair in runs.windows(2) {
            let ((value, end), (next, _)) = (pair[0], pair[1]);
            let left = BINS_MAX - edges.len();
            // Of what is left, one bin's fair share has been passed; runs that are larger than a
            // bin take one alone, and the rest is shared out anew.
            let share = (sorted.len() - done).div_ceil(left);
            if runs.len() <= BINS_MAX || end - done >= share {
                if edges.len() + 1 == BINS_MAX {
                    break;
                }
                edges.push(between(value, next));
                done = end;
            }
        }
        Edges(edges)
    }

    /// Edges of which up to half are where a tree on this column alone would divide the rows, and
    /// the others at quantiles. Where labels are rare, what tells them apart may lie within one
    /// part in 254 of the rows; on the Handbook's payments a forest without these edges loses 0.03
    /// of its average precision.
    pub(crate) fn of_labels(values: &[f64], labels: &[bool]) -> Edges {
        let at_quantiles = Edges::of_quantiles(values.iter().copied());
        if at_quantiles.bins() < BINS_MAX {
            return at_quantiles;
        }
        let mut edges = divisions(values, labels);
        let (all, free) = (at_quantiles.0.len(), BINS_MAX - 1 - edges.len());
        edges.extend((0..free).map(|at| at_quantiles.0[at * all / free]));
        edges.sort_unstable_by(f64::total_cmp);
        edges.dedup();
        Edges(edges)
    }

    /// Edges of which half are at quantiles and half lie evenly between two ends.
    pub(crate) fn mixed(values: &[f64], low: f64, high: f64) -> Edges {
        let at_quantiles = Edges::of_quantiles(values.iter().copied());
        if at_quantiles.0.len() + 1 < BINS_MAX || !(high - low).is_finite() {
            return at_quantiles;
        }
        let half = BINS_MAX / 2;
        let even = (1..half).map(|at| low + (high - low) * (at as f64 / half as f64));
        let mut edges: Vec<f64> = at_quantiles.0.into_iter().step_by(2).chain(even).collect();
        edges.sort_unstable_by(f64::total_cmp);
        edges.dedup();
        Edges(edges)
    }

    /// The number of bins of values.
    pub(crate) fn bins(&self) -> usize {
        self.0.len() + 1
    }

    /// The bin of a value.
    pub(crate) fn bin(&self, value: f64) -> u8 {
        if value.is_nan() {
            return BIN_MISSING;
        }
        // A binary search of fixed length has no branch to mispredict.
        let (mut low, mut size) = (0, self.0.len());
        while size > 1 {
            let half = size / 2;
            low += if self.0[low + half - 1] < value { half } else { 0 };
            size -= half;
        }
        1 + low as u8 + u8::from(size == 1 && self.0[low] < value)
    }

    /// The same edges, laid out for binning many rows.
    pub(crate) fn search(&self) -> Search {
        Search::new(&self.0)
    }

    /// Whether an artefact may have these edges: finite, rising, not too many.
    pub(crate) fn is_sound(&self) -> bool {
        self.0.len() < BINS_MAX
            && self.0.iter().all(|edge| edge.is_finite())
            && self.0.is_sorted_by(|a, b| a < b)
    }
}

/// Levels of the tree that finds edges: at most 127 of them, half of a byte's.
const DIVISION_LEVELS: usize = 7;

/// Where a tree on one column would divide the rows: level by level, each part at the place that
/// makes both sides purest.
fn divisions(values: &[f64], labels: &[bool]) -> Vec<f64> {
    let mut rows: Vec<(f64, bool)> =
        values.iter().copied().zip(labels.iter().copied()).filter(|row| !row.0.is_nan()).collect();
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut edges = Vec::new();
    let mut parts = vec![rows.as_slice()];
    for _ in 0..DIVISION_LEVELS {
        let mut next = Vec::new();
        for part in parts {
            let Some(at) = purest(part) else { continue };
            edges.push(between(part[at - 1].0, part[at].0));
            next.extend([&part[..at], &part[at..]]);
        }
        parts = next;
    }
    edges.truncate(BINS_MAX / 2 - 1);
    edges
}

/// The place that divides sorted rows best; None if none makes them purer.
fn purest(part: &[(f64, bool)]) -> Option<usize> {
    let purity = |positive: u64, rows: u64| {
        let (positive, negative) = (positive as f64, (rows - positive) as f64);
        (positive * positive + negative * negative) / rows as f64
    };
    let (all, rows) = (part.iter().filter(|row| row.1).count() as u64, part.len() as u64);
    if all == 0 || all == rows {
        return None;
    }
    let (mut best, mut most) = (None, purity(all, rows) * (1.0 + 1e-12));
    let mut positive = 0;
    for at in 1..part.len() {
        positive += u64::from(part[at - 1].1);
        if part[at].0 > part[at - 1].0 {
            let left = at as u64;
            let both = purity(positive, left) + purity(all - positive, rows - left);
            if both > most {
                (best, most) = (Some(at), both);
            }
        }
    }
    best
}

/// Rows that are put in bins together.
pub(crate) const ROWS: usize = 64;

/// Edges in 16 groups of 16, filled up with infinity: of each value, the groups that are all below
/// it are counted, for many values at once, and then the edges of the next group are searched.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Search {
    groups: Box<[[f64; 16]; 16]>,
    /// Groups that have edges.
    used: usize,
}

impl Search {
    fn new(edges: &[f64]) -> Search {
        let mut groups = Box::new([[f64::INFINITY; 16]; 16]);
        groups.as_flattened_mut()[..edges.len()].copy_from_slice(edges);
        Search { groups, used: edges.len().div_ceil(16) }
    }

    /// The bins of values that are finite or NaN, as [`Edges::bin`].
    #[inline(always)]
    pub(crate) fn bins(&self, values: &[f64; ROWS], bins: &mut [u8; ROWS]) {
        let mut groups = [0u64; ROWS];
        for [.., last] in &self.groups[..self.used] {
            for (groups, value) in groups.iter_mut().zip(values) {
                *groups += u64::from(last < value);
            }
        }
        for ((bin, value), groups) in bins.iter_mut().zip(values).zip(groups) {
            // The last group of all is never full, so the mask changes nothing: it tells the
            // compiler that the places are within the arrays, here and below.
            let group = &self.groups[groups as usize & 15];
            let mut within = 0;
            for half in [8, 4, 2, 1] {
                within += usize::from(group[(within + half - 1) & 15] < *value) * half;
            }
            let found = 1 + 16 * groups as usize + within;
            *bin = if value.is_nan() { BIN_MISSING } else { found as u8 };
        }
    }
}

/// A number from `low` (included) to `high` (excluded), half way where floating point has one.
fn between(low: f64, high: f64) -> f64 {
    let middle = low + (high - low) / 2.0;
    if middle.is_finite() && middle < high && middle >= low { middle } else { low }
}

/// Columns of bytes over the rows of a table, to grow trees on.
#[derive(Clone, Debug)]
pub(crate) struct Binned {
    /// The edges of each column.
    pub(crate) edges: Vec<Edges>,
    /// A byte a row for each column.
    pub(crate) columns: Vec<Vec<u8>>,
}

impl Binned {
    /// Makes bins from the rows of each column and their labels, and puts the rows in them.
    pub(crate) fn new(columns: &[Vec<f64>], labels: &[bool]) -> Binned {
        let edges = columns.iter().map(|values| Edges::of_labels(values, labels)).collect();
        Binned::with_edges(columns, edges)
    }

    /// Puts rows in given bins.
    pub(crate) fn with_edges(columns: &[Vec<f64>], edges: Vec<Edges>) -> Binned {
        let bin = |(values, edges): (&Vec<f64>, &Edges)| {
            values.iter().map(|value| edges.bin(*value)).collect()
        };
        let columns = columns.iter().zip(&edges).map(bin).collect();
        Binned { edges, columns }
    }

    pub(crate) fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn at_once(edges: &Edges, value: f64) -> u8 {
        let mut bins = [0; ROWS];
        edges.search().bins(&[value; ROWS], &mut bins);
        assert!(bins.iter().all(|bin| *bin == bins[0]));
        bins[0]
    }

    #[test]
    fn a_bin_is_where_the_definition_puts_a_value() {
        let mut random = Random::new(3, 0);
        for different in [1, 2, 3, 7, 16, 17, 33, 100, 253, 254, 255, 400, 5000] {
            let values: Vec<f64> =
                (0..5000).map(|_| random.below(different) as f64 / 4.0 - 20.0).collect();
            let edges = Edges::of_quantiles(values.iter().copied());
            assert!(edges.is_sound() && edges.bins() <= BINS_MAX, "{different}");
            for value in values.iter().flat_map(|value| [*value, value - 0.1, value + 0.1]) {
                let below = edges.0.iter().filter(|edge| **edge < value).count();
                assert_eq!(usize::from(edges.bin(value)), 1 + below, "{different} {value}");
                assert_eq!(at_once(&edges, value), edges.bin(value), "{different} {value}");
            }
            assert_eq!([edges.bin(f64::NAN), at_once(&edges, f64::NAN)], [BIN_MISSING; 2]);
        }
    }

    #[test]
    fn few_values_have_a_bin_each_and_many_share_evenly() {
        let few = Edges::of_quantiles((0..1000).map(|at| f64::from(at % 254)));
        assert_eq!(few.bins(), 254);
        assert_eq!(few.0[0], 0.5);
        // Half the rows are 0: they take one bin, and the other bins share the other half.
        let many = Edges::of_quantiles((0..10_000).map(|at| f64::from((at - 5_000).max(0))));
        assert!(many.bins() >= 250, "{}", many.bins());
        let mut counts = vec![0; 255];
        for at in 0..10_000 {
            counts[usize::from(many.bin(f64::from((at - 5_000).max(0))))] += 1;
        }
        assert_eq!(counts[0], 0);
        assert_eq!(counts[1], 5001);
        assert!(counts[2..=many.bins()].iter().all(|count| (1..=30).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_rare_label_in_a_tail_has_an_edge_of_its_own() {
        // 30 of 100,000 rows have the label, all those above 99,969.5: far less than a bin's share.
        let values: Vec<f64> = (0..100_000).map(f64::from).collect();
        let labels: Vec<bool> = values.iter().map(|value| *value > 99_969.5).collect();
        let edges = Edges::of_labels(&values, &labels);
        assert!(edges.is_sound());
        assert!(edges.0.contains(&99_969.5), "{:?}", &edges.0[edges.0.len() - 3..]);
        let noise: Vec<bool> = (0..100_000).map(|row| row * 7919 % 101 == 0).collect();
        let many = Edges::of_labels(&values, &noise);
        assert!(many.is_sound() && many.bins() > 200, "{}", many.bins());
    }

    #[test]
    fn neighbouring_numbers_are_kept_apart() {
        let (low, high) = (1.0, 1.0 + f64::EPSILON);
        let edges = Edges::of_quantiles([low, high].into_iter());
        assert_eq!((edges.bin(low), edges.bin(high)), (1, 2));
        let wide = Edges::of_quantiles([f64::MIN, f64::MAX].into_iter());
        assert_eq!((wide.bin(f64::MIN), wide.bin(f64::MAX)), (1, 2));
    }
}
