//! Isolation: how few random divisions part a row from the rest.

use super::grow::{Cut, Grown};
use super::{IsolationConfig, Tree, VALUE_BITS, Work, in_parallel};
use crate::bins::{BIN_MISSING, Binned, Edges};
use crate::random::Random;
use crate::score::SCORE_MAX;

/// The Euler-Mascheroni constant, of the mean path length of an unsuccessful search.
const EULER: f64 = 0.577_215_664_901_532_9;

/// Grows the trees. The value of a leaf is the length of the path to it, with what rows that share
/// it would still need; the value of an inner node is the mean over its rows, so that paths
/// explain.
pub(crate) fn isolate(
    binned: &Binned,
    config: &IsolationConfig,
    seed: u64,
    work: Work,
) -> Vec<Tree> {
    let sample = config.sample_rows.min(binned.rows());
    let depth_max = sample.next_power_of_two().trailing_zeros() as usize;
    in_parallel(config.trees, work, "trees", |at| {
        let mut random = Random::new(seed, at as u64);
        let rows = some_rows(binned.rows(), sample, &mut random);
        Tree::new(&grow(binned, rows, depth_max, &mut random))
    })
}

/// The raw score (a sum of path lengths) from which on a row is so odd: the score of the paper, 2^
/// -(mean path / usual path), in thousandths, as thresholds of minus the sum.
pub(crate) fn levels_of_path_lengths(config: &IsolationConfig, rows: usize) -> Vec<i64> {
    let usual = usual_path(config.sample_rows.min(rows));
    let unit = f64::from(1u32 << VALUE_BITS) * config.trees as f64;
    let level = |score: i64| {
        let share = (score as f64 - 0.5) / SCORE_MAX as f64;
        (libm::log2(share) * usual * unit).ceil() as i64
    };
    (1..=SCORE_MAX).map(level).collect()
}

/// Edges for isolation: half of them at quantiles, half evenly between the ends, since a random
/// division lies anywhere between them and what is far out must be easy to part.
pub(crate) fn mixed_edges(values: &[f64]) -> Edges {
    let present = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = present().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
    Edges::mixed(values, low, high)
}

fn some_rows(all: usize, some: usize, random: &mut Random) -> Vec<u32> {
    // Floyd's way to draw without replacement; the set is small.
    let mut rows: Vec<u32> = Vec::with_capacity(some);
    for last in all - some..all {
        let row = random.below(last + 1) as u32;
        rows.push(if rows.contains(&row) { last as u32 } else { row });
    }
    rows
}

/// The mean path length of a search tree of so many rows.
fn usual_path(rows: usize) -> f64 {
    match rows {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let rows = rows as f64;
            2.0 * (libm::log(rows - 1.0) + EULER) - 2.0 * (rows - 1.0) / rows
        }
    }
}

fn grow(binned: &Binned, rows: Vec<u32>, depth_max: usize, random: &mut Random) -> Vec<Grown> {
    let mut nodes = vec![Grown { split: None, left: 0, value: 0.0 }];
    let mut sizes = vec![rows.len()];
    let mut queue = std::collections::VecDeque::from([(0, rows, 0)]);
    while let Some((node, rows, depth)) = queue.pop_front() {
        let cut = if depth < depth_max { random_cut(binned, &rows, random) } else { None };
        let Some(cut) = cut else {
            nodes[node].value = -(depth as f64 + usual_path(rows.len()));
            continue;
        };
        let bytes = &binned.columns[cut.column as usize];
        let (left, right): (Vec<u32>, Vec<u32>) =
            rows.into_iter().partition(|row| cut.goes_left(bytes[*row as usize]));
        let first = nodes.len();
        nodes[node].split = Some(cut);
        nodes[node].left = first as u32;
        for (at, rows) in [left, right].into_iter().enumerate() {
            nodes.push(Grown { split: None, left: 0, value: 0.0 });
            sizes.push(rows.len());
            queue.push_back((first + at, rows, depth + 1));
        }
    }
    // Children stand after their parents: from the end, each mean is there when it is needed.
    for node in (0..nodes.len()).rev() {
        if nodes[node].split.is_some() {
            let left = nodes[node].left as usize;
            let of = |at: usize| nodes[at].value * sizes[at] as f64;
            nodes[node].value = (of(left) + of(left + 1)) / sizes[node] as f64;
        }
    }
    nodes
}

/// A random division of a random column in which the rows differ; None if there is none.
fn random_cut(binned: &Binned, rows: &[u32], random: &mut Random) -> Option<Cut> {
    if rows.len() < 2 {
        return None;
    }
    let mut order: Vec<u32> = (0..binned.columns.len() as u32).collect();
    for at in 0..order.len() {
        let other = at + random.below(order.len() - at);
        order.swap(at, other);
        let column = order[at];
        let bytes = &binned.columns[column as usize];
        let bins = || rows.iter().map(|row| bytes[*row as usize]);
        let present = || bins().filter(|bin| *bin != BIN_MISSING);
        let missing = bins().any(|bin| bin == BIN_MISSING);
        let (Some(low), Some(high)) = (present().min(), present().max()) else { continue };
        if low == high && !missing {
            continue;
        }
        // Among those without a value the division is as likely as at any one place.
        if missing && (low == high || random.below(usize::from(high - low) + 1) == 0) {
            return Some(Cut { column, bin: 0, missing_right: false });
        }
        let bin = low + random.below(usize::from(high - low)) as u8;
        return Some(Cut { column, bin, missing_right: random.below(2) == 0 });
    }
    None
}
