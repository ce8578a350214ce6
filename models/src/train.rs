//! From a table and a config to a model.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bins::{Binned, Edges};
use crate::calibrate::{Curve, Levels, Method, Scale};
use crate::forest::{
    self, BoostingConfig, DEPTH_MAX, Flat, ForestConfig, IsolationConfig, TREES_MAX, Tree,
    TreeConfig, TreesFile, VALUE_BITS, Work,
};
use crate::inputs::{Input, NullConfig, derived};
use crate::judge::{self, Judgement};
use crate::logistic::{LOGIT_MAX, Logistic, LogisticConfig, LogisticError, Prepared};
use crate::model::{Binding, Model, ModelKind, Scorer};
use crate::split::{Split, SplitConfig, SplitError, SplitFacts};
use crate::table::{Column, Table};

/// From this area under the curve on, a single column tells the classes apart so well that it is
/// more likely an answer than a feature.
pub const LEAK_AUC: f64 = 0.99;
/// The most rows that a tree of an isolation forest is grown on; more only hide what is odd.
pub const SAMPLE_ROWS_MAX: usize = 1 << 12;

/// Which model, and how it is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Trainer {
    /// Logistic regression.
    Logistic(LogisticConfig),
    /// One decision tree.
    Tree(TreeConfig),
    /// A random forest.
    Forest(ForestConfig),
    /// Gradient boosting.
    Boosting(BoostingConfig),
    /// An isolation forest: how odd a row is. Labels judge it and teach it nothing, and there may
    /// be none; it is not calibrated.
    Isolation(IsolationConfig),
}

/// How raw scores are calibrated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalibrationConfig {
    /// How raw scores become probabilities.
    pub method: Method,
    /// On which rows that is learnt.
    pub rows: CalibrationRows,
    /// What a score says.
    pub scale: Scale,
}

/// The rows that a calibration is learnt on; never those that the model was trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationRows {
    /// The latest of the rows before the gap, by the split's `calibration_share`.
    #[default]
    Slice,
    /// All rows that train: they are cut into so many stretches of time (2 to 20), or of whole
    /// groups where the split is by group, and each is scored by a model that was trained on the
    /// others. No row is lost to the training, which
    /// takes so many times longer; the split's `calibration_share` should be 0.
    CrossFit(usize),
}

/// All that a training is given beside the table. As TOML:
///
/// ```toml
/// seed = 1
/// [model]
/// kind = "boosting"                # logistic, tree, forest, boosting; each with its own settings
/// trees = 200
/// class_weight = "none"            # balanced, or { positive = 5.0 }
/// [split]
/// label_delay = 604_800_000        # ms: seven days between training and test
/// by_group = true
/// [nulls]
/// default = "own_bin"              # indicator, median
/// columns = { "funds.gap" = "indicator" }
/// [calibration]
/// method = "platt"                 # isotonic, none
/// scale = "log_odds"               # probability
/// rows = { cross_fit = 5 }         # slice
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Which model.
    pub model: Trainer,
    /// What all random choices come from.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Which rows train, calibrate and test.
    #[serde(default)]
    pub split: SplitConfig,
    /// What becomes of missing values.
    #[serde(default)]
    pub nulls: NullConfig,
    /// How raw scores are calibrated.
    #[serde(default)]
    pub calibration: CalibrationConfig,
}

/// What a model is called and what its inputs mean.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The name of the model.
    pub name: &'a str,
    /// The hash of the feature catalogue that the columns were computed with; the crate keeps it,
    /// and whoever scores compares it.
    pub catalogue_hash: &'a str,
}

/// What was noticed about a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum Warning {
    /// It has one value in all rows that train, and was left out.
    Constant {
        /// Its name.
        column: String,
    },
    /// Alone it tells the classes apart nearly without error: it may know the answer.
    Leaking {
        /// Its name.
        column: String,
        /// The area under the curve of the column alone on the rows that train, whichever way up.
        auc: f64,
    },
}

/// A model and the rows that it was made from.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model.
    pub model: Model,
    /// Which rows trained, calibrated and test.
    pub split: Split,
    /// What was noticed about columns.
    pub warnings: Vec<Warning>,
}

/// What an artefact keeps of its training, for the card and for whoever asks later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingFacts {
    /// What the rows were, in the caller's words: a run, its hash, its period.
    pub data: String,
    /// The catalogue's hash, as in the model.
    pub catalogue_hash: String,
    /// The config of the training.
    pub config: TrainConfig,
    /// How the rows were divided.
    pub split: SplitFacts,
    /// What was noticed about columns.
    pub warnings: Vec<Warning>,
    /// The figures on the test rows.
    pub judgement: Judgement,
}

/// Why there is no model.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum TrainError {
    /// The rows cannot be divided.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The regression failed.
    #[error(transparent)]
    Logistic(#[from] LogisticError),
    /// A setting is out of its bounds.
    #[error("{name} is {value}; it must be {wanted}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// No column is left.
    #[error("no column tells any row from another: {}", .0.join(", "))]
    AllConstant(Vec<String>),
    /// The null policy names a column that is not there.
    #[error("the null policy names {0}, which is no column")]
    UnknownColumn(String),
    /// A calibration without rows of its own.
    #[error(
        "the calibration has no rows: give split.calibration_share, or calibration.method none"
    )]
    NoCalibrationRows,
}

fn seed() -> u64 {
    1
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Warning::Constant { column } => {
                write!(f, "column {column} has one value in all training rows and was left out")
            }
            Warning::Leaking { column, auc } => write!(
                f,
                "column {column} alone has an AUC of {auc:.4} on the training rows: does it know \
                 the answer?"
            ),
        }
    }
}

impl Trainer {
    fn kind(&self) -> ModelKind {
        match self {
            Trainer::Logistic(_) => ModelKind::Logistic,
            Trainer::Tree(_) => ModelKind::Tree,
            Trainer::Forest(_) => ModelKind::Forest,
            Trainer::Boosting(_) => ModelKind::Boosting,
            Trainer::Isolation(_) => ModelKind::Isolation,
        }
    }
}

/// Trains a model. The same table, config and seed give the same bytes, whatever the work's
/// threads.
pub fn train(
    table: &Table,
    config: &TrainConfig,
    identity: Identity,
    work: Work,
) -> Result<Trained, TrainError> {
    check(&config.model)?;
    if let Some(unknown) = config
        .nulls
        .columns
        .keys()
        .find(|name| !table.columns().iter().any(|column| column.name == **name))
    {
        return Err(TrainError::UnknownColumn(unknown.clone()));
    }
    if let Trainer::Isolation(isolation) = &config.model {
        let split = config.split.divide(table, config.seed)?;
        let (_, warnings) = useful(table.columns(), &split.train)?;
        let nulls = &config.nulls;
        let model =
            train_anomaly(table, &split.train, isolation, nulls, config.seed, identity, work)?;
        return Ok(Trained { model, split, warnings });
    }
    if config.calibration.scale == Scale::Anomaly {
        let (name, wanted) = ("scale", "probability or log_odds, for a model of labels");
        return Err(TrainError::Setting { name, value: "anomaly".to_owned(), wanted });
    }
    let split = config.split.split(table, config.seed)?;
    if config.calibration.method != Method::None {
        match config.calibration.rows {
            CalibrationRows::Slice if split.calibration.is_empty() => {
                return Err(TrainError::NoCalibrationRows);
            }
            CalibrationRows::CrossFit(folds) => {
                bounded("cross_fit", folds, 2, 20, "from 2 to 20")?;
            }
            CalibrationRows::Slice => {}
        }
    }
    let (columns, mut warnings) = useful(table.columns(), &split.train)?;
    let inputs: Vec<Input> = columns
        .iter()
        .map(|column| {
            let policy = config.nulls.columns.get(&column.name);
            Input::of(column, *policy.unwrap_or(&config.nulls.default), &split.train)
        })
        .collect();
    warnings.extend(leaking(table, &columns, &split.train));
    let fit = |rows: &[u32], work| fit(table, &columns, &inputs, rows, config, work);
    let Fitted { scorer, curve, bounds } = fit(&split.train, work)?;
    let (scale, method) = (config.calibration.scale, config.calibration.method);
    let levels = Levels::new(&curve, scale, -bounds, bounds);
    let head = Model::head(identity, config.model.kind(), inputs.clone(), levels);
    let mut model = Model::new(head.clone(), scorer);
    let (raw, rows) = match config.calibration.rows {
        _ if method == Method::None => (Vec::new(), Vec::new()),
        CalibrationRows::Slice => {
            (raw_of(&model, table, &split.calibration), split.calibration.clone())
        }
        CalibrationRows::CrossFit(folds) => {
            let by_group = table.groups().filter(|_| config.split.by_group);
            let group = |row: u32| by_group.and_then(|groups| groups.of_row()[row as usize]);
            let mut by_time = split.train.clone();
            by_time.sort_by_key(|row| (group(*row), table.times()[*row as usize], *row));
            let mut raw = Vec::with_capacity(by_time.len());
            // A group that is not cut: a model that has seen half of it knows the other half.
            let bound = |stretch: usize| {
                let mut at = stretch * by_time.len() / folds;
                while at > 0
                    && at < by_time.len()
                    && group(by_time[at]).is_some()
                    && group(by_time[at]) == group(by_time[at - 1])
                {
                    at += 1;
                }
                at
            };
            for stretch in 0..folds {
                let (from, until) = (bound(stretch), bound(stretch + 1));
                let others = [&by_time[..from], &by_time[until..]].concat();
                let of_others = Model::new(head.clone(), fit(&others, work)?.scorer);
                raw.extend(raw_of(&of_others, table, &by_time[from..until]));
            }
            (raw, by_time)
        }
    };
    if !rows.is_empty() {
        let curve = Curve::fit(method, curve, &raw, &table.labels_of(&rows));
        model.set_levels(Levels::new(&curve, scale, -bounds, bounds));
    }
    Ok(Trained { model, split, warnings })
}

impl Trained {
    /// Writes into the artefact what it was made from; the model's hash covers it.
    pub fn keep_facts(&mut self, data: &str, config: &TrainConfig, judgement: Judgement) {
        let facts = TrainingFacts {
            data: data.to_owned(),
            catalogue_hash: self.model.catalogue_hash().to_owned(),
            config: config.clone(),
            split: self.split.facts.clone(),
            warnings: self.warnings.clone(),
            judgement,
        };
        self.model.set_training(facts);
    }
}

/// Trains an isolation forest on some rows of a table, without looking at the labels.
pub fn train_anomaly(
    table: &Table,
    rows: &[u32],
    config: &IsolationConfig,
    nulls: &NullConfig,
    seed: u64,
    identity: Identity,
    work: Work,
) -> Result<Model, TrainError> {
    check(&Trainer::Isolation(config.clone()))?;
    let (columns, _) = useful(table.columns(), rows)?;
    let policy = |column: &Column| *nulls.columns.get(&column.name).unwrap_or(&nulls.default);
    let inputs: Vec<Input> =
        columns.iter().map(|column| Input::of(column, policy(column), rows)).collect();
    let values = derived_values(&columns, &inputs, rows);
    let edges = values.iter().map(|values| forest::mixed_edges(values)).collect();
    let binned = Binned::with_edges(&values, edges);
    let trees = forest::isolate(&binned, config, seed, work);
    let levels = Levels::of(Scale::Anomaly, forest::levels_of_path_lengths(config, binned.rows()));
    let head = Model::head(identity, ModelKind::Isolation, inputs, levels);
    Ok(Model::new(head, flat(0, binned.edges, trees)))
}

/// The raw scores of some rows of a table that has the model's inputs.
///
/// # Panics
/// If it has not.
pub fn raw_of(model: &Model, table: &Table, rows: &[u32]) -> Vec<i64> {
    model.raw_rows(table.columns(), &binding(model, table.columns()), rows)
}

fn binding(model: &Model, columns: &[Column]) -> Binding {
    let names: Vec<_> = columns.iter().map(|column| (column.name.as_str(), column.kind)).collect();
    model.bind(&names).unwrap_or_else(|differ| panic!("{differ}"))
}

fn bounded(
    name: &'static str,
    value: usize,
    low: usize,
    high: usize,
    wanted: &'static str,
) -> Result<(), TrainError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(TrainError::Setting { name, value: value.to_string(), wanted })
    }
}

fn check(trainer: &Trainer) -> Result<(), TrainError> {
    let share = |name, value: f64| {
        let good = value > 0.0 && value <= 1.0;
        let wanted = "more than 0 and at most 1";
        good.then_some(()).ok_or(TrainError::Setting { name, value: value.to_string(), wanted })
    };
    let depth = |value| bounded("depth_max", value, 1, DEPTH_MAX, "from 1 to 64");
    let trees = |value| bounded("trees", value, 1, TREES_MAX, "from 1 to 1000");
    let weight = |weight| match weight {
        forest::ClassWeight::Positive(value) if !(value > 0.0 && f64::is_finite(value)) => {
            let wanted = "more than 0 and finite";
            Err(TrainError::Setting { name: "class_weight", value: value.to_string(), wanted })
        }
        _ => Ok(()),
    };
    match trainer {
        Trainer::Logistic(config) => {
            let good = |l2: &f64| l2.is_finite() && *l2 > 0.0;
            if config.l2.is_empty() || !config.l2.iter().all(good) {
                return Err(LogisticError::Path(config.l2.clone()).into());
            }
            share("validation_share", config.validation_share)?;
            weight(config.class_weight)
        }
        Trainer::Isolation(config) => {
            trees(config.trees)?;
            bounded("sample_rows", config.sample_rows, 2, SAMPLE_ROWS_MAX, "from 2 to 4096")
        }
        Trainer::Tree(config) => depth(config.depth_max).and(weight(config.class_weight)),
        Trainer::Forest(config) => {
            trees(config.trees)?;
            depth(config.depth_max)?;
            share("sample_share", config.sample_share)?;
            weight(config.class_weight)
        }
        Trainer::Boosting(config) => {
            trees(config.trees)?;
            depth(config.depth_max)?;
            share("learning_rate", config.learning_rate)?;
            share("columns_share", config.columns_share)?;
            share("rows_share", config.rows_share)?;
            if !(config.l2 >= 0.0 && config.l2.is_finite()) {
                let (value, wanted) = (config.l2.to_string(), "0 or more");
                return Err(TrainError::Setting { name: "l2", value, wanted });
            }
            weight(config.class_weight)
        }
    }
}

/// The columns that differ somewhere in the rows that train; whether a value is there is a
/// difference too.
fn useful(columns: &[Column], rows: &[u32]) -> Result<(Vec<Column>, Vec<Warning>), TrainError> {
    let differs = |column: &Column| {
        let mut values = rows.iter().map(|row| column.values[*row as usize]);
        let first = values.next().unwrap_or(f64::NAN);
        values.any(|value| value != first && !(value.is_nan() && first.is_nan()))
    };
    let (useful, constant): (Vec<&Column>, Vec<&Column>) = columns.iter().partition(|c| differs(c));
    if useful.is_empty() {
        let names = constant.iter().map(|column| column.name.clone()).collect();
        return Err(TrainError::AllConstant(names));
    }
    let warning = |column: &&Column| Warning::Constant { column: column.name.clone() };
    let warnings = constant.iter().map(warning).collect();
    Ok((useful.into_iter().cloned().collect(), warnings))
}

fn leaking(table: &Table, columns: &[Column], rows: &[u32]) -> Vec<Warning> {
    let labels = table.labels_of(rows);
    let mut warnings = Vec::new();
    for column in columns {
        // A missing value counts as lowest; the order of finite numbers is that of their bits.
        let rank = |row: &u32| match column.values[*row as usize] {
            value if value.is_nan() => i64::MIN,
            value => ordered(value),
        };
        let ranks: Vec<i64> = rows.iter().map(rank).collect();
        let auc = judge::auc(&ranks, &labels).unwrap_or(0.5);
        let auc = auc.max(1.0 - auc);
        if auc >= LEAK_AUC {
            warnings.push(Warning::Leaking { column: column.name.clone(), auc });
        }
    }
    warnings
}

/// An integer that is ordered as the number is.
fn ordered(value: f64) -> i64 {
    let bits = (value + 0.0).to_bits() as i64;
    if bits < 0 { i64::MIN - bits } else { bits }
}

/// Tries the weights of the path on the last rows of the training, and trains with the best on all.
fn path(
    table: &Table,
    columns: &[Column],
    inputs: &[Input],
    rows: &[u32],
    config: &LogisticConfig,
) -> Result<Logistic, TrainError> {
    let prepared =
        |rows: &[u32]| Prepared::new(columns, inputs, rows, table.positive(), config.class_weight);
    let mut best = (f64::MIN, config.l2[0]);
    // Each fit begins where the one before it ended.
    let mut near = Vec::new();
    let mut by_time = rows.to_vec();
    by_time.sort_by_key(|row| (table.times()[*row as usize], *row));
    let held_out = (rows.len() as f64 * config.validation_share) as usize;
    let (fitted, validation) = by_time.split_at(rows.len() - held_out);
    let both = |rows: &[u32]| {
        let labels = table.labels_of(rows);
        labels.contains(&true) && labels.contains(&false)
    };
    if config.l2.len() > 1 && both(fitted) && both(validation) {
        let labels = table.labels_of(validation);
        let prepared = prepared(fitted)?;
        for l2 in &config.l2 {
            let logistic = prepared.fit(*l2, config.iterations_max, &mut near)?;
            let raw: Vec<i64> = validation
                .iter()
                .map(|row| logistic.raw(columns.iter().map(|c| c.values[*row as usize])))
                .collect();
            let reached = judge::average_precision(&raw, &labels).unwrap_or(0.0);
            if reached > best.0 {
                best = (reached, *l2);
            }
        }
    }
    Ok(prepared(rows)?.fit(best.1, config.iterations_max, &mut near)?)
}

fn derived_values(columns: &[Column], inputs: &[Input], rows: &[u32]) -> Vec<Vec<f64>> {
    derived(inputs)
        .iter()
        .map(|derived| {
            let values = &columns[derived.input].values;
            rows.iter().map(|row| derived.value(values[*row as usize])).collect()
        })
        .collect()
}

/// What a training leaves before it is calibrated.
struct Fitted {
    scorer: Scorer,
    /// What the model itself says of a raw score.
    curve: Curve,
    /// No raw score that matters is further from 0.
    bounds: i64,
}

fn fit(
    table: &Table,
    columns: &[Column],
    inputs: &[Input],
    rows: &[u32],
    config: &TrainConfig,
    work: Work,
) -> Result<Fitted, TrainError> {
    if let Trainer::Logistic(logistic) = &config.model {
        let scorer = Scorer::Logistic(path(table, columns, inputs, rows, logistic)?);
        return Ok(Fitted { scorer, curve: Logistic::CURVE, bounds: LOGIT_MAX });
    }
    let labels = table.labels_of(rows);
    let binned = Binned::new(&derived_values(columns, inputs, rows), &labels);
    let (base, trees) = match &config.model {
        Trainer::Forest(forest) => (0, forest::forest(&binned, &labels, forest, config.seed, work)),
        Trainer::Boosting(boosting) => forest::boost(&binned, &labels, boosting, config.seed, work),
        Trainer::Tree(tree) => (0, forest::tree(&binned, &labels, tree)),
        Trainer::Logistic(_) => unreachable!("a regression has no trees"),
        Trainer::Isolation(_) => unreachable!("it is not fitted to labels"),
    };
    let unit = f64::from(1u32 << VALUE_BITS);
    let (curve, bounds) = match &config.model {
        Trainer::Boosting(_) => {
            (Curve::Logistic { slope: 1.0 / unit, shift: 0.0 }, 64 << VALUE_BITS)
        }
        _ => {
            let most = (trees.len() as i64) << VALUE_BITS;
            (Curve::Share { slope: 1.0 / most as f64 }, most)
        }
    };
    Ok(Fitted { scorer: flat(base, binned.edges, trees), curve, bounds })
}

fn flat(base: i64, edges: Vec<Edges>, trees: Vec<Tree>) -> Scorer {
    let file = TreesFile { base, edges, trees };
    Scorer::Trees(Flat::new(file).expect("what was grown is sound"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::table::MISSING;

    fn table() -> Table {
        let mut random = Random::new(5, 0);
        let mut column = |name: &str| Column::new(name, (0..2000).map(|_| Some(random.unit())));
        let columns = vec![column("a"), column("b"), column("c")];
        let labels = (0..2000).map(|row| columns[0].values[row] > 0.9).collect();
        Table::new(columns, labels, (0..2000).collect()).unwrap()
    }

    fn refused(model: &str) -> String {
        let identity = Identity { name: "test", catalogue_hash: "" };
        let config = match serde_json::from_str(&format!(r#"{{"model": {model}}}"#)) {
            Ok(config) => config,
            Err(error) => return error.to_string(),
        };
        let error = train(&table(), &config, identity, Work::default()).unwrap_err();
        error.to_string()
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        let rows = [
            (r#"{"kind": "forest", "trees": 0}"#, "trees is 0; it must be from 1 to 1000"),
            (r#"{"kind": "forest", "depth_max": 65}"#, "depth_max is 65; it must be from 1 to 64"),
            (r#"{"kind": "forest", "sample_share": 0}"#, "sample_share is 0; it must be more than"),
            (r#"{"kind": "forest", "leaf_rows": 5}"#, "unknown field `leaf_rows`"),
            (r#"{"kind": "boosting", "l2": -1.0}"#, "l2 is -1; it must be 0 or more"),
            (r#"{"kind": "tree", "class_weight": {"positive": 0}}"#, "class_weight is 0"),
            (r#"{"kind": "logistic", "l2": []}"#, "l2 is []"),
            (r#"{"kind": "network"}"#, "unknown variant `network`"),
            (
                r#"{"kind": "tree"}, "calibration": {"scale": "anomaly"}"#,
                "scale is anomaly; it must be probability or log_odds",
            ),
        ];
        for (model, expected) in rows {
            let found = refused(model);
            assert!(found.contains(expected), "{model}: {found}");
        }
    }

    #[test]
    fn what_cannot_be_trained_on_is_named() {
        let identity = Identity { name: "test", catalogue_hash: "" };
        let error = |table: &Table, config: &TrainConfig| {
            train(table, config, identity, Work::default()).unwrap_err().to_string()
        };
        let mut config: TrainConfig =
            serde_json::from_str(r#"{"model": {"kind": "tree"}}"#).unwrap();
        let honest = Table::new(table().columns().to_vec(), vec![false; 2000], vec![0; 2000]);
        let one = error(&honest.unwrap(), &config);
        assert!(one.contains("0 of them with the label; it needs rows with and without"), "{one}");
        let level = vec![Column::new("level", vec![Some(2.0); 2000])];
        let (labels, times) = (table().positive().to_vec(), table().times().to_vec());
        let level = Table::new(level, labels, times).unwrap();
        assert!(error(&level, &config).contains("no column tells any row from another: level"));
        config.nulls.columns.insert("d".to_owned(), crate::NullPolicy::Median);
        assert!(error(&table(), &config).contains("the null policy names d"));
        config.nulls.columns.clear();
        config.split.calibration_share = 0.0;
        assert!(error(&table(), &config).contains("the calibration has no rows"));
    }

    #[test]
    fn an_anomaly_model_knows_what_is_odd_without_labels() {
        let mut columns = table().columns().to_vec();
        for column in &mut columns {
            column.values[77] = 6.0;
        }
        columns[1].values[5] = MISSING;
        let (labels, times) = (table().positive().to_vec(), table().times().to_vec());
        let table = Table::new(columns, labels, times).unwrap();
        let rows: Vec<u32> = (0..2000).collect();
        let identity = Identity { name: "odd", catalogue_hash: "" };
        let model = |threads| {
            let work = Work { threads, ..Work::default() };
            let (config, nulls) = (IsolationConfig::default(), NullConfig::default());
            train_anomaly(&table, &rows, &config, &nulls, 3, identity, work).unwrap()
        };
        let (model, other) = (model(1), model(2));
        assert_eq!(model.to_json(), other.to_json());
        assert_eq!((model.scale(), model.scale().probability_of(500)), (Scale::Anomaly, None));
        // As such artefacts were written before they had a scale of their own.
        let old = model.to_json().replace(r#""scale":"anomaly""#, r#""scale":"probability""#);
        assert_ne!(old, model.to_json());
        assert_eq!(Model::from_json(&old).unwrap().scale(), Scale::Anomaly);
        assert_eq!(Model::from_json(&model.to_json()).unwrap(), model);
        let odd = model.score(&table.row(77));
        assert!(odd > 650, "{odd}");
        let rest = rows.iter().filter(|row| **row != 77);
        let most = rest.map(|row| model.score(&table.row(*row as usize))).max().unwrap();
        assert!(odd > most, "{odd} {most}");
        let why = model.explain(&table.row(77));
        let adds: i64 = why.contributions.iter().map(|contribution| contribution.adds).sum();
        assert_eq!(why.bias + adds, model.raw(&table.row(77)));
        assert_eq!(why.strongest(2).len(), 2);
        assert!(why.contributions.iter().all(|contribution| contribution.adds > 0));
    }
}
