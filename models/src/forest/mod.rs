//! Trees on binned columns: a single one, a random forest, boosting, and isolation.
//!
//! Why not linfa's: its trees pass over all rows of the table at every node, for every column,
//! behind a mask (1,000,000 rows, 6 of 40 columns: 3.5 s of processor time for a tree of 12 nodes,
//! where a whole forest of 100 trees of depth 8 takes 15 s here); its forests draw columns once a
//! tree, vote with whole trees, lose weights, and run on one thread. Here a node passes over its
//! own rows only, a byte each. `as_good_as_linfa` and
//! `the_same_tree_as_linfa_where_every_value_has_a_bin` compare what both learn.

mod boost;
mod flat;
mod grow;
mod isolate;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::bins::Binned;
use crate::random::Random;
use crate::table::ROWS_MAX;
use grow::{Entry, Limits};

pub(crate) use boost::boost;
pub use flat::TREES_MAX;
pub(crate) use flat::{BLOCK_ROWS, BLOCKS, Flat, ROWS_ALONE, Scratch, Tree, TreesFile, VALUE_BITS};
pub(crate) use isolate::{isolate, levels_of_path_lengths, mixed_edges};

/// The deepest tree: 64 divisions tell any rows apart that 254 bins can.
pub const DEPTH_MAX: usize = 64;

/// What a row with the label weighs against one without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeight {
    /// As much.
    #[default]
    None,
    /// As much more as there are fewer of them, so that both classes weigh the same in all.
    Balanced,
    /// This many times as much.
    Positive(f64),
}

/// A decision tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TreeConfig {
    /// The most divisions between the root and a leaf.
    pub depth_max: usize,
    /// The fewest rows of a leaf.
    pub leaf_rows_min: u32,
    /// What a row with the label weighs.
    pub class_weight: ClassWeight,
}

impl Default for TreeConfig {
    fn default() -> Self {
        TreeConfig { depth_max: 6, leaf_rows_min: 20, class_weight: ClassWeight::None }
    }
}

/// A random forest: each tree on a sample of rows with replacement, each node on a few columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForestConfig {
    /// How many trees.
    pub trees: usize,
    /// The most divisions between the root and a leaf.
    pub depth_max: usize,
    /// The fewest rows of a leaf; a row that was drawn twice counts twice.
    pub leaf_rows_min: u32,
    /// Columns tried at a node; without it, the square root of their number.
    pub columns_tried: Option<usize>,
    /// Rows drawn for a tree, as a share of all.
    pub sample_share: f64,
    /// What a row with the label weighs.
    pub class_weight: ClassWeight,
}

impl Default for ForestConfig {
    fn default() -> Self {
        ForestConfig {
            trees: 100,
            depth_max: 16,
            leaf_rows_min: 2,
            columns_tried: None,
            sample_share: 1.0,
            class_weight: ClassWeight::None,
        }
    }
}

/// Gradient boosting of the logistic loss: each tree mends what the trees before it got wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BoostingConfig {
    /// How many trees.
    pub trees: usize,
    /// The most divisions between the root and a leaf.
    pub depth_max: usize,
    /// The fewest rows of a leaf.
    pub leaf_rows_min: u32,
    /// The share of a tree's step that is taken.
    pub learning_rate: f64,
    /// What holds back the value of a leaf with little evidence.
    pub l2: f64,
    /// The share of columns that a tree may use.
    pub columns_share: f64,
    /// The share of rows that a tree sees.
    pub rows_share: f64,
    /// What a row with the label weighs.
    pub class_weight: ClassWeight,
}

impl Default for BoostingConfig {
    fn default() -> Self {
        BoostingConfig {
            trees: 200,
            depth_max: 4,
            leaf_rows_min: 20,
            learning_rate: 0.05,
            l2: 1.0,
            columns_share: 0.8,
            rows_share: 0.8,
            class_weight: ClassWeight::None,
        }
    }
}

/// An isolation forest, which needs no labels: what few random divisions part from the rest is odd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IsolationConfig {
    /// How many trees.
    pub trees: usize,
    /// Rows that a tree is grown on.
    pub sample_rows: usize,
}

impl Default for IsolationConfig {
    fn default() -> Self {
        // The numbers of the paper (Liu, Ting and Zhou, 2008).
        IsolationConfig { trees: 100, sample_rows: 256 }
    }
}

/// How the work is done; nothing here changes the result.
#[derive(Clone, Copy)]
pub struct Work<'p> {
    /// Threads to use; at least 1.
    pub threads: usize,
    /// Told after each step: what is done, how many steps of how many.
    pub progress: &'p (dyn Fn(&str, usize, usize) + Sync),
}

impl std::fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Default for Work<'_> {
    fn default() -> Self {
        Work { threads: 1, progress: &|_, _, _| {} }
    }
}

impl ClassWeight {
    /// What a row without and a row with the label weigh.
    pub(crate) fn weights(self, labels: &[bool]) -> [f64; 2] {
        let positive = labels.iter().filter(|label| **label).count();
        match self {
            ClassWeight::None => [1.0, 1.0],
            ClassWeight::Balanced => [1.0, (labels.len() - positive) as f64 / positive as f64],
            ClassWeight::Positive(weight) => [1.0, weight],
        }
    }
}

/// Grows one tree on all rows and columns.
pub(crate) fn tree(binned: &Binned, labels: &[bool], config: &TreeConfig) -> Vec<Tree> {
    let limits = Limits {
        depth_max: config.depth_max,
        leaf_rows_min: config.leaf_rows_min,
        columns_tried: binned.columns.len(),
        weights: config.class_weight.weights(labels),
    };
    let entry = |(row, label): (usize, &bool)| Entry::new(row as u32, 1, *label);
    let mut entries: Vec<Entry> = labels.iter().enumerate().map(entry).collect();
    vec![Tree::new(&grow::grow(binned, &mut entries, &limits, &mut Random::new(0, 0)))]
}

/// Grows a forest. Each tree has a random stream of its own, so the threads do not matter.
pub(crate) fn forest(
    binned: &Binned,
    labels: &[bool],
    config: &ForestConfig,
    seed: u64,
    work: Work,
) -> Vec<Tree> {
    let columns = binned.columns.len();
    let root = libm::sqrt(columns as f64) as usize;
    let limits = Limits {
        depth_max: config.depth_max,
        leaf_rows_min: config.leaf_rows_min,
        columns_tried: config.columns_tried.unwrap_or(root).clamp(1, columns),
        weights: config.class_weight.weights(labels),
    };
    let draws = (labels.len() as f64 * config.sample_share).ceil().max(1.0) as usize;
    in_parallel(config.trees, work, "trees", |at| {
        let mut random = Random::new(seed, at as u64);
        let mut entries = sample(labels, draws, &mut random);
        Tree::new(&grow::grow(binned, &mut entries, &limits, &mut random))
    })
}

/// Draws rows with replacement.
fn sample(labels: &[bool], draws: usize, random: &mut Random) -> Vec<Entry> {
    assert!(labels.len() <= ROWS_MAX);
    let mut times = vec![0u16; labels.len()];
    for _ in 0..draws {
        let times = &mut times[random.below(labels.len())];
        *times = times.saturating_add(1);
    }
    let drawn = times.iter().zip(labels).enumerate().filter(|(_, (times, _))| **times > 0);
    drawn.map(|(row, (times, label))| Entry::new(row as u32, *times, *label)).collect()
}

/// Does `count` pieces of work on some threads; the results stand in the order of the pieces.
pub(crate) fn in_parallel<T: Send>(
    count: usize,
    work: Work,
    what: &str,
    piece: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let worker = || {
        let mut results = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return results;
            }
            results.push((at, piece(at)));
            (work.progress)(what, 1 + done.fetch_add(1, Ordering::Relaxed), count);
        }
    };
    let mut results: Vec<(usize, T)> = thread::scope(|scope| {
        let others: Vec<_> = (1..work.threads.min(count)).map(|_| scope.spawn(worker)).collect();
        let mut results = worker();
        for other in others {
            match other.join() {
                Ok(more) => results.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
