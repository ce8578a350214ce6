//! A trained model: what it reads, how it scores, what it was made from, and its file.

use std::path::Path;
use std::{fs, io};

use multiversion::multiversion;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bins::{Edges, Search};
use crate::calibrate::{Levels, Scale};
use crate::card::card;
use crate::forest::{BLOCK_ROWS, BLOCKS, Flat, ROWS_ALONE, Scratch, TreesFile};
use crate::inputs::{Derived, Input, NamesDiffer, derived, places};
use crate::logistic::Logistic;
use crate::table::{COLUMNS_MAX, Column, Kind, MISSING};
use crate::train::{Identity, TrainingFacts};

/// What an artefact of this shape says it is.
const FORMAT: &str = "hongxian-model-3";
/// The artefact within a model's directory.
pub(crate) const MODEL_FILE: &str = "model.json";
/// The card beside it.
pub(crate) const CARD_FILE: &str = "card.md";
/// The largest artefact that is read: some 20 million nodes.
pub const ARTEFACT_BYTES_MAX: usize = 256 << 20;

/// How a model scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Logistic regression; raw scores are logits in units of 2^-20.
    Logistic,
    /// One decision tree; raw scores are shares in units of 2^-16.
    Tree,
    /// A random forest; raw scores are sums of shares in units of 2^-16, one a tree.
    Forest,
    /// Gradient boosting; raw scores are logits in units of 2^-16.
    Boosting,
    /// An isolation forest, trained without labels; raw scores are minus the sum of path lengths in
    /// units of 2^-16.
    Isolation,
}

/// A trained model. [`crate::train`] makes one, [`Model::from_json`] reads one.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    head: Head,
    scorer: Scorer,
    derived: Vec<Derived>,
}

/// What a model is, beside its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) format: String,
    pub(crate) name: String,
    pub(crate) kind: ModelKind,
    pub(crate) inputs: Vec<Input>,
    /// The hash of the catalogue that the inputs were computed with, as the caller gave it.
    pub(crate) catalogue_hash: String,
    pub(crate) levels: Levels,
    /// What it was made from; a model that was not judged has none.
    pub(crate) training: Option<Box<TrainingFacts>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scorer {
    Logistic(Logistic),
    Trees(Flat),
}

/// The artefact as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File<H> {
    head: H,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logistic: Option<Logistic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trees: Option<TreesFile>,
}

/// Why a text is no artefact.
#[derive(Debug, Error)]
pub enum ArtefactError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Read(String, io::Error),
    /// More than a model can be.
    #[error("{0} bytes are more than the {ARTEFACT_BYTES_MAX} of the largest model")]
    TooLarge(usize),
    /// Not the JSON of a model.
    #[error("not the artefact of a model: {0}")]
    Json(#[from] serde_json::Error),
    /// Of another shape.
    #[error("the format is {0:?}, and this program reads {FORMAT:?}")]
    Format(String),
    /// Numbers that no training leaves.
    #[error("the model's {0} cannot be: no training leaves it so")]
    Unsound(&'static str),
}

/// What one input of a row adds to its raw score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// The input's place in [`Model::inputs`].
    pub input: usize,
    /// What it adds, in the units of the raw score; below 0 it speaks for an honest row.
    pub adds: i64,
}

/// Why a row has its raw score: the bias and the contributions add up to it exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The raw score of a row of which nothing is known.
    pub bias: i64,
    /// One for each input, in their order.
    pub contributions: Vec<Contribution>,
}

/// Which column each input of a model is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding(Vec<usize>);

impl Model {
    pub(crate) fn new(head: Head, scorer: Scorer) -> Model {
        let derived = derived(&head.inputs);
        Model { head, scorer, derived }
    }

    pub(crate) fn head(
        identity: Identity,
        kind: ModelKind,
        inputs: Vec<Input>,
        levels: Levels,
    ) -> Head {
        Head {
            format: FORMAT.to_owned(),
            name: identity.name.to_owned(),
            kind,
            inputs,
            catalogue_hash: identity.catalogue_hash.to_owned(),
            levels,
            training: None,
        }
    }

    pub(crate) fn set_levels(&mut self, levels: Levels) {
        self.head.levels = levels;
    }

    pub(crate) fn set_training(&mut self, facts: TrainingFacts) {
        self.head.training = Some(Box::new(facts));
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// How it scores.
    pub fn kind(&self) -> ModelKind {
        self.head.kind
    }

    /// What it reads, in the order in which [`Model::raw`] takes the values.
    pub fn inputs(&self) -> &[Input] {
        &self.head.inputs
    }

    /// The hash of the feature catalogue that it was trained with.
    pub fn catalogue_hash(&self) -> &str {
        &self.head.catalogue_hash
    }

    /// How raw scores become scores.
    pub fn levels(&self) -> &Levels {
        &self.head.levels
    }

    /// What a score says. Artefacts of isolation forests used to call theirs probabilities.
    pub fn scale(&self) -> Scale {
        match self.head.kind {
            ModelKind::Isolation => Scale::Anomaly,
            _ => self.head.levels.scale,
        }
    }

    /// What it was made from, if it was judged.
    pub fn training(&self) -> Option<&TrainingFacts> {
        self.head.training.as_deref()
    }

    /// Finds the inputs among columns; an error names what is not there or of another kind.
    pub fn bind(&self, available: &[(&str, Kind)]) -> Result<Binding, NamesDiffer> {
        places(&self.head.inputs, available).map(Binding)
    }

    /// The raw score of one row: larger is riskier; its unit is the kind's. A value that is not
    /// finite is missing.
    ///
    /// # Panics
    /// If there are not as many values as inputs.
    pub fn raw(&self, values: &[f64]) -> i64 {
        assert_eq!(values.len(), self.head.inputs.len(), "one value an input");
        match &self.scorer {
            Scorer::Logistic(logistic) => logistic.raw(values.iter().copied()),
            Scorer::Trees(flat) => flat.raw(&self.bins(flat, values)),
        }
    }

    /// The score of one row, 0 to [`crate::SCORE_MAX`]; what it says is [`Model::scale`].
    ///
    /// # Panics
    /// If there are not as many values as inputs.
    pub fn score(&self, values: &[f64]) -> i64 {
        self.head.levels.score(self.raw(values))
    }

    /// Why a row has its raw score.
    ///
    /// # Panics
    /// If there are not as many values as inputs.
    pub fn explain(&self, values: &[f64]) -> Explanation {
        assert_eq!(values.len(), self.head.inputs.len(), "one value an input");
        let (bias, adds) = match &self.scorer {
            Scorer::Logistic(logistic) => logistic.contributions(values),
            Scorer::Trees(flat) => {
                let (bias, of_derived) = flat.contributions(&self.bins(flat, values));
                let mut adds = vec![0; values.len()];
                for (derived, add) in self.derived.iter().zip(of_derived) {
                    adds[derived.input] += add;
                }
                (bias, adds)
            }
        };
        let contribution = |(input, adds)| Contribution { input, adds };
        Explanation {
            bias,
            contributions: adds.into_iter().enumerate().map(contribution).collect(),
        }
    }

    /// The raw scores of many rows, a column an input in the order of [`Model::inputs`].
    ///
    /// # Panics
    /// If the columns are not as many as the inputs or not of one length.
    pub fn raw_columns(&self, columns: &[&[f64]]) -> Vec<i64> {
        assert_eq!(columns.len(), self.head.inputs.len(), "one column an input");
        let rows = columns.first().map_or(0, |column| column.len());
        assert!(columns.iter().all(|column| column.len() == rows), "columns of one length");
        match &self.scorer {
            Scorer::Logistic(logistic) => (0..rows)
                .map(|row| logistic.raw(columns.iter().map(|column| column[row])))
                .collect(),
            Scorer::Trees(flat) => self.raw_blocks(flat, columns, rows),
        }
    }

    /// The raw scores of rows of columns that a binding found.
    pub fn raw_rows(&self, columns: &[Column], binding: &Binding, rows: &[u32]) -> Vec<i64> {
        let gathered: Vec<Vec<f64>> = binding
            .0
            .iter()
            .map(|at| rows.iter().map(|row| columns[*at].values[*row as usize]).collect())
            .collect();
        self.raw_columns(&gathered.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    fn raw_blocks(&self, flat: &Flat, columns: &[&[f64]], rows: usize) -> Vec<i64> {
        if rows < ROWS_ALONE {
            let row = |row| columns.iter().map(move |column| column[row]).collect::<Vec<f64>>();
            return (0..rows).map(|at| flat.raw(&self.bins(flat, &row(at)))).collect();
        }
        let mut raw = Vec::with_capacity(rows);
        let mut scratch = Scratch::default();
        for start in (0..rows).step_by(BLOCK_ROWS * BLOCKS) {
            let here = start..rows.min(start + BLOCK_ROWS * BLOCKS);
            let blocks = here.len().div_ceil(BLOCK_ROWS);
            let bins = scratch.bins(blocks, self.derived.len());
            for (column, how) in self.derived.iter().zip(flat.searches()).enumerate() {
                put(how, &columns[how.0.input][here.clone()], column, bins);
            }
            flat.raw_blocks(&mut scratch);
            let sums = scratch.sums.iter().flatten().take(here.len());
            raw.extend(sums.map(|sum| i64::from(*sum)));
        }
        raw
    }

    fn bins(&self, flat: &Flat, values: &[f64]) -> Vec<u8> {
        let bin =
            |(derived, edges): (&Derived, &Edges)| edges.bin(derived.value(values[derived.input]));
        self.derived.iter().zip(flat.edges()).map(bin).collect()
    }

    /// The artefact: the same model is the same bytes.
    pub fn to_json(&self) -> String {
        // Names and finite numbers only: nothing in it can fail to be written.
        serde_json::to_string(&self.file()).expect("a model is JSON")
    }

    pub(crate) fn file(&self) -> File<&Head> {
        let (logistic, trees) = match &self.scorer {
            Scorer::Logistic(logistic) => (Some(logistic.clone()), None),
            Scorer::Trees(flat) => (None, Some(flat.file().clone())),
        };
        File { head: &self.head, logistic, trees }
    }

    /// The hash of the artefact, BLAKE3 in hexadecimal.
    pub fn hash(&self) -> String {
        blake3::hash(self.to_json().as_bytes()).to_hex().to_string()
    }

    /// Writes `model.json` and, for a model that was judged, `card.md` into a directory, which is
    /// made.
    pub fn save(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        if let Some(facts) = self.training() {
            write_whole(&directory.join(CARD_FILE), &card(self.name(), &self.hash(), facts))?;
        }
        write_whole(&directory.join(MODEL_FILE), &self.to_json())
    }

    /// Reads the `model.json` of a directory, or a file of any name.
    pub fn load(path: &Path) -> Result<Model, ArtefactError> {
        Model::from_json(&read_bounded(path)?)
    }

    /// Reads an artefact, and trusts none of it.
    pub fn from_json(text: &str) -> Result<Model, ArtefactError> {
        if text.len() > ARTEFACT_BYTES_MAX {
            return Err(ArtefactError::TooLarge(text.len()));
        }
        Model::of_file(serde_json::from_str(text)?)
    }

    pub(crate) fn of_file(file: File<Head>) -> Result<Model, ArtefactError> {
        let head = file.head;
        if head.format != FORMAT {
            return Err(ArtefactError::Format(head.format));
        }
        if !head.levels.is_sound() {
            return Err(ArtefactError::Unsound("table of levels"));
        }
        if head.levels.scale == Scale::Anomaly && head.kind != ModelKind::Isolation {
            return Err(ArtefactError::Unsound("scale"));
        }
        if head.inputs.len() > COLUMNS_MAX {
            return Err(ArtefactError::Unsound("number of inputs"));
        }
        if head.inputs.iter().any(|input| input.fill.is_some_and(|fill| !fill.is_finite())) {
            return Err(ArtefactError::Unsound("value that stands for a missing one"));
        }
        let scorer = match (file.logistic, file.trees, head.kind) {
            (Some(logistic), None, ModelKind::Logistic) => {
                if !logistic.is_sound(head.inputs.len()) {
                    return Err(ArtefactError::Unsound("table of coefficients"));
                }
                Scorer::Logistic(logistic)
            }
            (None, Some(trees), kind) if kind != ModelKind::Logistic => {
                let columns = derived(&head.inputs).len();
                let sound = trees.edges.len() == columns;
                let flat = Some(trees).filter(|_| sound).and_then(Flat::new);
                Scorer::Trees(flat.ok_or(ArtefactError::Unsound("forest"))?)
            }
            _ => return Err(ArtefactError::Unsound("kind")),
        };
        Ok(Model::new(head, scorer))
    }
}

/// Puts values in bins, in the place `column` of blocks of rows; what is over in the last block
/// counts as missing.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx2", "x86_64+avx2"))]
fn put(
    (derived, search): (&Derived, &Search),
    values: &[f64],
    column: usize,
    blocks: &mut [Vec<[u8; BLOCK_ROWS]>],
) {
    let mut rest = [MISSING; BLOCK_ROWS];
    for (values, block) in values.chunks(BLOCK_ROWS).zip(blocks) {
        let values = values.try_into().unwrap_or_else(|_| {
            rest[..values.len()].copy_from_slice(values);
            &rest
        });
        search.bins(&derived.values(values), &mut block[column]);
    }
}

/// Writes a file under another name first: whoever stops the program finds the old one or the new
/// one, and never half of it.
pub(crate) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, text)?;
    fs::rename(part, path)
}

/// The text of an artefact: the `model.json` of a directory, or a file of any name.
pub(crate) fn read_bounded(path: &Path) -> Result<String, ArtefactError> {
    let path = if path.is_dir() { path.join(MODEL_FILE) } else { path.to_owned() };
    let read = |error| ArtefactError::Read(path.display().to_string(), error);
    let bytes = fs::metadata(&path).map_err(read)?.len() as usize;
    if bytes > ARTEFACT_BYTES_MAX {
        return Err(ArtefactError::TooLarge(bytes));
    }
    fs::read_to_string(&path).map_err(read)
}

impl Explanation {
    /// The inputs that move the raw score most, either way, the strongest first; ties in the order
    /// of the inputs, and what moves nothing never.
    pub fn strongest(&self, count: usize) -> Vec<Contribution> {
        let mut moved: Vec<Contribution> =
            self.contributions.iter().filter(|moved| moved.adds != 0).cloned().collect();
        moved.sort_by_key(|moved| (std::cmp::Reverse(moved.adds.unsigned_abs()), moved.input));
        moved.truncate(count);
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{JudgeConfig, Witness, judge};
    use crate::table::{Codes, Table};
    use crate::train::{Trained, train};
    use crate::{TrainConfig, Work};

    const DAY: i64 = 86_400_000;

    /// 3000 rows of 30 days, in rings of ten; a few columns with holes, and one that is constant.
    pub(crate) fn table() -> Table {
        let mut random = crate::random::Random::new(11, 0);
        let rows = 3000;
        let mut column = |name: &str, holes: bool| {
            let value = |random: &mut crate::random::Random| {
                let value = random.unit();
                (!holes || random.below(5) > 0).then_some((value * 1000.0).round())
            };
            Column::new(name, (0..rows).map(|_| value(&mut random)))
        };
        let mut columns = vec![column("a", false), column("b", true), column("c|d", false)];
        columns.push(Column::new("level", vec![Some(1.0); rows]));
        let label = |row: usize| {
            let b = columns[1].values[row];
            columns[0].values[row] + if b.is_nan() { 300.0 } else { b } > 1300.0
        };
        let labels = (0..rows).map(label).collect();
        let times = (0..rows as i64).map(|row| row * DAY / 100).collect();
        let names: Vec<String> = (0..rows).map(|row| format!("ring-{}", row % 300)).collect();
        let groups = Codes::new(names.iter().map(|name| Some(name.as_str())));
        Table::new(columns, labels, times).unwrap().with_groups(groups).unwrap()
    }

    fn config(kind: &str) -> TrainConfig {
        let text = format!(
            r#"{{"model": {{"kind": "{kind}"}}, "split": {{"label_delay": {}, "by_group": true}},
                "nulls": {{"columns": {{"b": "indicator"}}}}}}"#,
            2 * DAY
        );
        serde_json::from_str(&text).unwrap()
    }

    fn judged(kind: &str, threads: usize) -> Trained {
        let (table, config) = (table(), config(kind));
        let work = Work { threads, ..Work::default() };
        let identity = Identity { name: "test", catalogue_hash: "c0ffee" };
        let mut trained = train(&table, &config, identity, work).unwrap();
        let amounts: Vec<i64> = (0..3000).collect();
        let cards: Vec<u64> = (0..3000).map(|row| row % 700).collect();
        let names = ["ring", "mule"];
        let typologies = Codes::new((0..3000).map(|row| Some(names[row % 2])));
        let witness = Witness {
            amounts_fen: Some(&amounts),
            cards: Some(&cards),
            typologies: Some(&typologies),
        };
        let judging = JudgeConfig { replicates: 20, ..JudgeConfig::default() };
        let judgement = judge(&trained, &table, witness, &judging, 1, work);
        trained.keep_facts("made up", &config, judgement);
        trained
    }

    #[test]
    fn every_kind_learns_explains_and_comes_back() {
        let table = table();
        for kind in ["logistic", "tree", "forest", "boosting"] {
            let trained = judged(kind, 1);
            let model = &trained.model;
            let facts = model.training().unwrap();
            let auc = facts.judgement.auc.unwrap();
            assert!(auc.value > 0.9 && auc.low <= auc.value && auc.value <= auc.high, "{kind}");
            let names: Vec<&str> = model.inputs().iter().map(|i| i.name.as_str()).collect();
            assert_eq!(names, ["a", "b", "c|d"], "{kind}: the level column is left out");
            let most = &facts.judgement.importances[0].input;
            assert!(["a", "b"].contains(&most.as_str()), "{kind}: {most}");
            let read = Model::from_json(&model.to_json()).unwrap();
            assert_eq!(&read, model, "{kind}");
            let rows: Vec<u32> = (0..3000).collect();
            let raw = crate::raw_of(&read, &table, &rows);
            for (row, expected) in raw.iter().enumerate() {
                let mut values = table.row(row);
                values.truncate(3);
                assert_eq!(*expected, model.raw(&values), "{kind} {row}");
                let why = model.explain(&values);
                let adds: i64 = why.contributions.iter().map(|c| c.adds).sum();
                assert_eq!(why.bias + adds, *expected, "{kind} {row}");
                assert!((0..=1000).contains(&model.score(&values)));
            }
            for count in [0, 1, 7, 8, 63, 64, 65, 1023, 1025] {
                let columns: Vec<&[f64]> = table.columns()[..3]
                    .iter()
                    .map(|column| &column.values[500..500 + count])
                    .collect();
                assert_eq!(model.raw_columns(&columns), raw[500..500 + count], "{kind} {count}");
            }
            assert_eq!(model.raw(&[f64::INFINITY; 3]), model.raw(&[MISSING; 3]), "{kind}");
        }
    }

    #[test]
    fn the_same_inputs_are_the_same_bytes() {
        for kind in ["forest", "boosting", "logistic"] {
            let (one, other) = (judged(kind, 1), judged(kind, 3));
            assert_eq!(one.model.to_json(), other.model.to_json(), "{kind}");
            assert_eq!(one.model.hash(), other.model.hash());
        }
    }

    #[test]
    fn a_directory_holds_the_model_and_its_card() {
        let directory = std::env::temp_dir().join(format!("models-{}", std::process::id()));
        let trained = judged("forest", 1);
        trained.model.save(&directory).unwrap();
        assert_eq!(Model::load(&directory).unwrap(), trained.model);
        let card = fs::read_to_string(directory.join(CARD_FILE)).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        let wanted = [
            "## Intended use",
            "## Metrics",
            "| AUC ROC | 0.9",
            "| Card Precision@100 |",
            "mule",
            "| c\\|d |",
            "column level has one value",
            &trained.model.hash(),
            "made up",
        ];
        for words in wanted {
            assert!(card.contains(words), "{words:?} is not in the card:\n{card}");
        }
        assert!(matches!(Model::load(&directory), Err(ArtefactError::Read(..))));
    }

    #[test]
    fn a_broken_artefact_is_refused() {
        let model = judged("boosting", 1).model;
        let refused = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut json: serde_json::Value = serde_json::from_str(&model.to_json()).unwrap();
            change(&mut json);
            Model::from_json(&json.to_string()).unwrap_err().to_string()
        };
        let format = refused(&|json| json["head"]["format"] = "another".into());
        assert!(format.contains("another") && format.contains(FORMAT), "{format}");
        assert!(refused(&|json| json["head"]["kind"] = "logistic".into()).contains("kind"));
        assert!(refused(&|json| json["head"]["levels"]["from"] = [3, 2].into()).contains("levels"));
        let scale = refused(&|json| json["head"]["levels"]["scale"] = "anomaly".into());
        assert!(scale.contains("scale"), "{scale}");
        assert!(refused(&|json| json["trees"]["edges"][0] = [3.0, 2.0].into()).contains("forest"));
        assert!(refused(&|json| json["trees"]["edges"] = serde_json::json!([])).contains("forest"));
        assert!(refused(&|json| json["more"] = 1.into()).contains("more"));
    }

    #[test]
    fn a_column_that_knows_the_answer_is_named() {
        let table = table();
        let mut columns = table.columns().to_vec();
        let knows = table.positive().iter().map(|label| Some(if *label { 0.0 } else { 1.0 }));
        columns.push(Column::new("chargeback", knows));
        let (labels, times) = (table.positive().to_vec(), table.times().to_vec());
        let table = Table::new(columns, labels, times).unwrap();
        let mut config = config("tree");
        config.split.by_group = false;
        let identity = Identity { name: "test", catalogue_hash: "c0ffee" };
        let trained = train(&table, &config, identity, Work::default()).unwrap();
        let said: Vec<String> = trained.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 2);
        assert!(said[0].contains("level"), "{said:?}");
        assert!(said[1].contains("chargeback") && said[1].contains("1.0000"), "{said:?}");
    }

    #[test]
    fn scores_are_calibrated_on_rows_of_their_own() {
        for (method, cross) in [("platt", false), ("isotonic", false), ("isotonic", true)] {
            let mut config = config("forest");
            config.calibration.method =
                serde_json::from_value(serde_json::Value::from(method)).unwrap();
            if cross {
                config.calibration.rows = crate::CalibrationRows::CrossFit(4);
                config.split.calibration_share = 0.0;
            }
            let (table, identity) = (table(), Identity { name: "t", catalogue_hash: "-" });
            let trained = train(&table, &config, identity, Work::default()).unwrap();
            let judging =
                JudgeConfig { replicates: 1, importance_repeats: 0, ..JudgeConfig::default() };
            let judgement =
                judge(&trained, &table, Witness::default(), &judging, 1, Work::default());
            let error = judgement.calibration_error.unwrap();
            assert!(error < 0.05, "{method} {error}");
        }
    }
}
