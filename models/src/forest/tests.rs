//! Forests as a whole: against linfa, against the definition, and byte for byte.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_ensemble::RandomForestParams;
use linfa_trees::{DecisionTree, TreeNode};
use ndarray::{Array1, Array2};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::bins::Edges;
use crate::judge;

/// Columns and labels: the label depends on four of eight columns, and on chance.
fn data(rows: usize, seed: u64, holes: bool) -> (Vec<Vec<f64>>, Vec<bool>) {
    let mut random = Random::new(seed, 0);
    let columns: Vec<Vec<f64>> = (0..8)
        .map(|_| {
            let value = |random: &mut Random| match random.below(8) {
                0 if holes => f64::NAN,
                _ => random.unit(),
            };
            (0..rows).map(|_| value(&mut random)).collect()
        })
        .collect();
    let label = |row: usize| {
        let of = |column: usize| match columns[column][row] {
            value if value.is_nan() => 0.8,
            value => value,
        };
        of(0) + of(1) * of(2) - of(3) + 0.4 * random.unit() > 0.9
    };
    let labels = (0..rows).map(label).collect();
    (columns, labels)
}

fn flat(binned: &Binned, trees: Vec<Tree>, base: i64) -> Flat {
    Flat::new(TreesFile { base, edges: binned.edges.clone(), trees }).unwrap()
}

fn bins_of(edges: &[Edges], columns: &[Vec<f64>], row: usize) -> Vec<u8> {
    edges.iter().zip(columns).map(|(edges, column)| edges.bin(column[row])).collect()
}

fn raw(flat: &Flat, columns: &[Vec<f64>]) -> Vec<i64> {
    (0..columns[0].len()).map(|row| flat.raw(&bins_of(flat.edges(), columns, row))).collect()
}

fn matrix(columns: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_fn((columns[0].len(), columns.len()), |(row, column)| columns[column][row])
}

#[test]
fn as_good_as_linfa() {
    let (columns, labels) = data(1000, 1, false);
    let (test, truth) = data(1000, 2, false);
    let dataset = Dataset::new(matrix(&columns), Array1::from(labels.clone()));
    let params = DecisionTree::params().max_depth(Some(8));
    let linfa = RandomForestParams::new_fixed_rng(params, SmallRng::seed_from_u64(1))
        .ensemble_size(40)
        .bootstrap_proportion(1.0)
        .feature_proportion(0.5)
        .fit(&dataset)
        .unwrap();
    // linfa gives the class with more votes; the votes of its trees are what can be ranked.
    let mut votes = vec![0i64; truth.len()];
    for (tree, features) in linfa.models.iter().zip(&linfa.model_features) {
        for (row, votes) in votes.iter_mut().enumerate() {
            let values: Vec<f64> = features.iter().map(|column| test[*column][row]).collect();
            *votes += i64::from(vote(tree.root_node(), &values));
        }
    }
    let binned = Binned::new(&columns, &labels);
    let config = ForestConfig { trees: 40, depth_max: 8, ..ForestConfig::default() };
    let ours = flat(&binned, forest(&binned, &labels, &config, 1, Work::default()), 0);
    let ours = raw(&ours, &test);
    let of = |scores: &[i64]| {
        let auc = judge::auc(scores, &truth).unwrap();
        (auc, judge::average_precision(scores, &truth).unwrap())
    };
    let (ours, linfa) = (of(&ours), of(&votes));
    assert!(ours.0 >= linfa.0 - 0.005, "AUC {} and linfa's {}", ours.0, linfa.0);
    assert!(ours.1 >= linfa.1 - 0.01, "AP {} and linfa's {}", ours.1, linfa.1);
    assert!(ours.0 > 0.9, "the label can be learnt");
}

fn vote(node: &TreeNode<f64, bool>, values: &[f64]) -> bool {
    if node.is_leaf() {
        return node.prediction().unwrap();
    }
    let (feature, cut, _) = node.split();
    let right = usize::from(values[feature] >= cut);
    vote(node.children()[right].as_ref().unwrap(), values)
}

#[test]
fn the_same_tree_as_linfa_where_every_value_has_a_bin() {
    // 200 different values a column, so that both see the same divisions.
    let (mut columns, labels) = data(600, 5, false);
    for value in columns.iter_mut().flatten() {
        *value = (*value * 200.0).floor();
    }
    let dataset = Dataset::new(matrix(&columns), Array1::from(labels.clone()));
    let linfa = DecisionTree::params()
        .max_depth(Some(3))
        .min_weight_leaf(5.0)
        .min_weight_split(10.0)
        .min_impurity_decrease(1e-9)
        .fit(&dataset)
        .unwrap();
    let binned = Binned::new(&columns, &labels);
    let config = TreeConfig { depth_max: 3, leaf_rows_min: 5, ..TreeConfig::default() };
    let ours = flat(&binned, tree(&binned, &labels, &config), 0);
    let half = 1 << (VALUE_BITS - 1);
    let mut differ = 0;
    for row in 0..labels.len() {
        let values: Vec<f64> = columns.iter().map(|column| column[row]).collect();
        let raw = ours.raw(&bins_of(ours.edges(), &columns, row));
        differ += usize::from(vote(linfa.root_node(), &values) != (raw > half));
    }
    // linfa sums weights in f32, so that two divisions of equal worth may change places.
    assert!(differ <= labels.len() / 100, "{differ} of {} rows differ", labels.len());
}

#[test]
fn threads_do_not_matter() {
    let (columns, labels) = data(1500, 3, true);
    let binned = Binned::new(&columns, &labels);
    let work = |threads| Work { threads, ..Work::default() };
    let config = ForestConfig { trees: 9, ..ForestConfig::default() };
    let one = forest(&binned, &labels, &config, 7, work(1));
    assert_eq!(one, forest(&binned, &labels, &config, 7, work(4)));
    assert_ne!(one, forest(&binned, &labels, &config, 8, work(1)));
    let config = BoostingConfig { trees: 9, ..BoostingConfig::default() };
    let one = boost(&binned, &labels, &config, 7, work(1));
    assert_eq!(one, boost(&binned, &labels, &config, 7, work(4)));
    let config = IsolationConfig::default();
    assert_eq!(isolate(&binned, &config, 7, work(1)), isolate(&binned, &config, 7, work(3)));
}

#[test]
fn blocks_score_and_explain_as_single_rows() {
    let (columns, labels) = data(1000, 4, true);
    let binned = Binned::new(&columns, &labels);
    let mut flats = Vec::new();
    // From single leaves, by what the crown has whole and in part, to what is deep below it.
    for depth_max in [1, 2, 3, 4, 5, 7, 8, 9, 12, 16] {
        let config = ForestConfig { trees: 12, depth_max, ..ForestConfig::default() };
        flats.push(flat(&binned, forest(&binned, &labels, &config, 1, Work::default()), 0));
    }
    let config = BoostingConfig { trees: 20, ..BoostingConfig::default() };
    let (base, trees) = boost(&binned, &labels, &config, 1, Work::default());
    flats.push(flat(&binned, trees, base));
    let alone = tree(&binned, &vec![false; 1000], &TreeConfig::default());
    assert_eq!(alone[0].nodes(), 1, "nothing to tell apart");
    flats.push(flat(&binned, alone, 5));
    for (nth, flat) in flats.iter().enumerate() {
        let single = raw(flat, &columns);
        let mut scratch = Scratch::default();
        for blocks in [3, 1, 5] {
            for (block, bins) in scratch.bins(blocks, columns.len()).iter_mut().enumerate() {
                for (bins, column) in bins.iter_mut().zip(&binned.columns) {
                    bins.copy_from_slice(&column[64 * (nth % 10 + block)..][..64]);
                }
            }
            flat.raw_blocks(&mut scratch);
            assert_eq!(scratch.sums.len(), blocks);
            let sums = scratch.sums.iter().flatten().map(|sum| i64::from(*sum));
            let expected = &single[64 * (nth % 10)..][..64 * blocks];
            assert!(sums.eq(expected.iter().copied()), "model {nth}, {blocks} blocks");
        }
        for (row, raw) in single.iter().enumerate() {
            let (bias, adds) = flat.contributions(&bins_of(flat.edges(), &columns, row));
            assert_eq!(bias + adds.iter().sum::<i64>(), *raw, "row {row}");
        }
    }
}

#[test]
fn boosting_lowers_the_loss_and_ranks() {
    let (columns, labels) = data(1500, 1, true);
    let (test, truth) = data(1500, 2, true);
    let binned = Binned::new(&columns, &labels);
    let loss = |trees: usize| {
        let config = BoostingConfig { trees, learning_rate: 0.2, ..BoostingConfig::default() };
        let (base, trees) = boost(&binned, &labels, &config, 1, Work::default());
        let scores = raw(&flat(&binned, trees, base), &test);
        let loss = |(raw, label): (&i64, &bool)| {
            let logit = *raw as f64 / f64::from(1u32 << VALUE_BITS);
            libm::log1p(libm::exp(if *label { -logit } else { logit }))
        };
        let sum: f64 = scores.iter().zip(&truth).map(loss).sum();
        (sum / truth.len() as f64, judge::auc(&scores, &truth).unwrap())
    };
    let (one, many) = (loss(1), loss(40));
    assert!(many.0 < 0.75 * one.0, "the loss falls from {} to {}", one.0, many.0);
    assert!(many.1 > 0.93 && many.1 > one.1, "AUC {} and {}", one.1, many.1);
}

#[test]
fn what_is_far_out_is_isolated() {
    let (mut columns, _) = data(1000, 6, false);
    for column in &mut columns {
        column[17] = 9.0;
    }
    let edges: Vec<Edges> = columns.iter().map(|values| mixed_edges(values)).collect();
    let binned = Binned::with_edges(&columns, edges);
    let config = IsolationConfig::default();
    let flat = flat(&binned, isolate(&binned, &config, 1, Work::default()), 0);
    let raw = raw(&flat, &columns);
    let odd = raw[17];
    assert_eq!(raw.iter().filter(|raw| **raw >= odd).count(), 1, "nothing is as odd");
    let levels = levels_of_path_lengths(&config, 1000);
    let score = |raw: i64| levels.partition_point(|level| *level <= raw);
    let mut scores: Vec<usize> = raw.iter().map(|raw| score(*raw)).collect();
    assert!(scores[17] > 600, "{}", scores[17]);
    scores.sort_unstable();
    // By the paper, what is usual scores about a half.
    assert!((350..550).contains(&scores[500]), "{}", scores[500]);
}

#[test]
fn a_broken_tree_is_no_tree() {
    let (columns, labels) = data(200, 4, false);
    let binned = Binned::new(&columns, &labels);
    let good = tree(&binned, &labels, &TreeConfig::default());
    let file = |trees| TreesFile { base: 0, edges: binned.edges.clone(), trees };
    assert!(Flat::new(file(good.clone())).is_some());
    let json = serde_json::to_value(&good[0]).unwrap();
    let broken = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = json.clone();
        change(&mut json);
        Flat::new(file(vec![serde_json::from_value(json).unwrap()])).is_none()
    };
    assert!(broken(&|json| json["splits"][0] = 0.into()), "children without a parent");
    assert!(broken(&|json| json["splits"][0] = (1 + 512 * 8).into()), "no such column");
    assert!(broken(&|json| json["values"][0] = (1 << 22).into()), "a value out of bounds");
    let last = good[0].nodes() - 1;
    assert!(broken(&|json| json["splits"][last] = 3.into()), "a node that goes on for ever");
}
