//! The tables `[model]` of a config: which kinds of models there are, and their settings.

use models::{
    BoostingConfig, ClassWeight, ForestConfig, IsolationConfig, LogisticConfig, Trainer, TreeConfig,
};
use toml::de::{DeTable, DeValue};

use super::config::{number, set};
use crate::document::{Node, Reader};

/// The most models to choose from: each is trained once more.
const MODELS_MAX: usize = 12;
/// The least that a share or a weight may be.
const SMALLEST: f64 = 1e-6;
/// The most that a weight may be.
const LARGEST: f64 = 1e6;

/// The kinds with their names.
const KINDS: [(&str, Kind); 5] = [
    ("boosting", Kind::Boosting),
    ("forest", Kind::Forest),
    ("tree", Kind::Tree),
    ("logistic", Kind::Logistic),
    ("isolation", Kind::Isolation),
];

#[derive(Clone, Copy)]
enum Kind {
    Boosting,
    Forest,
    Tree,
    Logistic,
    Isolation,
}

/// What `[model]` says, or each `[[model]]`; none where there is none.
pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<Vec<Trainer>> {
    let node = root.get("model")?;
    match node.get_ref() {
        DeValue::Array(items) if (1..=MODELS_MAX).contains(&items.len()) => {
            Some(items.iter().filter_map(|item| model(reader, item)).collect())
        }
        DeValue::Table(_) => model(reader, node).map(|model| vec![model]),
        _ => {
            let wanted = (
                "a table [model], or at most 12 of [[model]]",
                "表 [model] 或至多 12 个 [[model]]",
            );
            reader.wrong_type("model", node, wanted)
        }
    }
}

fn model(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Trainer> {
    let table = reader.as_table("model", node)?;
    let kind = match table.get("kind") {
        None => Kind::Boosting,
        Some(node) => {
            let text = reader.as_string("kind", node)?;
            reader.choice("kind", &text, &KINDS)?
        }
    };
    Some(match kind {
        Kind::Boosting => Trainer::Boosting(boosting(reader, table)),
        Kind::Forest => Trainer::Forest(forest(reader, table)),
        Kind::Tree => Trainer::Tree(tree(reader, table)),
        Kind::Logistic => Trainer::Logistic(logistic(reader, table)),
        Kind::Isolation => Trainer::Isolation(isolation(reader, table)),
    })
}

fn boosting(reader: &mut Reader<'_>, table: &DeTable<'_>) -> BoostingConfig {
    reader.known_keys(
        table,
        &[
            "kind",
            "trees",
            "depth_max",
            "leaf_rows_min",
            "learning_rate",
            "l2",
            "columns_share",
            "rows_share",
            "class_weight",
        ],
    );
    let mut config = BoostingConfig::default();
    set(&mut config.trees, count(reader, table, "trees", models::TREES_MAX));
    set(&mut config.depth_max, count(reader, table, "depth_max", models::DEPTH_MAX));
    set(&mut config.leaf_rows_min, leaf_rows(reader, table));
    set(&mut config.learning_rate, number(reader, table, "learning_rate", SMALLEST..=1.0));
    set(&mut config.l2, number(reader, table, "l2", 0.0..=LARGEST));
    set(&mut config.columns_share, number(reader, table, "columns_share", SMALLEST..=1.0));
    set(&mut config.rows_share, number(reader, table, "rows_share", SMALLEST..=1.0));
    set(&mut config.class_weight, class_weight(reader, table));
    config
}

fn forest(reader: &mut Reader<'_>, table: &DeTable<'_>) -> ForestConfig {
    reader.known_keys(
        table,
        &[
            "kind",
            "trees",
            "depth_max",
            "leaf_rows_min",
            "columns_tried",
            "sample_share",
            "class_weight",
        ],
    );
    let mut config = ForestConfig::default();
    set(&mut config.trees, count(reader, table, "trees", models::TREES_MAX));
    set(&mut config.depth_max, count(reader, table, "depth_max", models::DEPTH_MAX));
    set(&mut config.leaf_rows_min, leaf_rows(reader, table));
    config.columns_tried = count(reader, table, "columns_tried", models::COLUMNS_MAX);
    set(&mut config.sample_share, number(reader, table, "sample_share", SMALLEST..=1.0));
    set(&mut config.class_weight, class_weight(reader, table));
    config
}

fn tree(reader: &mut Reader<'_>, table: &DeTable<'_>) -> TreeConfig {
    reader.known_keys(table, &["kind", "depth_max", "leaf_rows_min", "class_weight"]);
    let mut config = TreeConfig::default();
    set(&mut config.depth_max, count(reader, table, "depth_max", models::DEPTH_MAX));
    set(&mut config.leaf_rows_min, leaf_rows(reader, table));
    set(&mut config.class_weight, class_weight(reader, table));
    config
}

fn logistic(reader: &mut Reader<'_>, table: &DeTable<'_>) -> LogisticConfig {
    let keys = ["kind", "l2", "validation_share", "iterations_max", "class_weight"];
    reader.known_keys(table, &keys);
    let mut config = LogisticConfig::default();
    if let Some(node) = table.get("l2") {
        set(&mut config.l2, weights(reader, node));
    }
    let share = number(reader, table, "validation_share", SMALLEST..=0.99);
    set(&mut config.validation_share, share);
    let most = reader.integer(table, "iterations_max", 1..=1_000_000);
    set(&mut config.iterations_max, most.map(|most| most as u64));
    set(&mut config.class_weight, class_weight(reader, table));
    config
}

fn isolation(reader: &mut Reader<'_>, table: &DeTable<'_>) -> IsolationConfig {
    reader.known_keys(table, &["kind", "trees", "sample_rows"]);
    let mut config = IsolationConfig::default();
    set(&mut config.trees, count(reader, table, "trees", models::TREES_MAX));
    let rows = reader.integer(table, "sample_rows", 2..=models::SAMPLE_ROWS_MAX as i64);
    set(&mut config.sample_rows, rows.map(|rows| rows as usize));
    config
}

fn count(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str, most: usize) -> Option<usize> {
    reader.integer(table, key, 1..=most as i64).map(|count| count as usize)
}

fn leaf_rows(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<u32> {
    reader.integer(table, "leaf_rows_min", 1..=1_000_000).map(|rows| rows as u32)
}

/// A weight or an array of weights, each more than 0.
fn weights(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Vec<f64>> {
    let of = |node: &Node<'_>| {
        let value = match node.get_ref() {
            DeValue::Float(value) => value.as_str().replace('_', "").parse().ok(),
            value => crate::document::integer_of(value).map(|value| value as f64),
        };
        value.filter(|value| (SMALLEST..=LARGEST).contains(value))
    };
    let found: Option<Vec<f64>> = match node.get_ref() {
        DeValue::Array(items) => items.iter().map(of).collect(),
        _ => of(node).map(|one| vec![one]),
    };
    match found.filter(|found| !found.is_empty()) {
        Some(found) => Some(found),
        None => reader.wrong_type(
            "l2",
            node,
            ("a number above 0, or an array of them", "正数,或正数的数组"),
        ),
    }
}

/// `"none"`, `"balanced"`, or how many rows without the label one with it weighs.
fn class_weight(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<ClassWeight> {
    const KEY: &str = "class_weight";
    match table.get(KEY)?.get_ref() {
        DeValue::String(_) => {
            let choices = [("none", ClassWeight::None), ("balanced", ClassWeight::Balanced)];
            super::config::choice(reader, table, KEY, &choices)
        }
        _ => number(reader, table, KEY, SMALLEST..=LARGEST).map(ClassWeight::Positive),
    }
}
