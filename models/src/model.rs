//! A trained model: what it reads, how it scores, what it was made from, and its file.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bins::Edges;
use crate::calibrate::Levels;
use crate::forest::{BLOCK_ROWS, Flat, Scratch, TreesFile};
use crate::inputs::{Derived, Input, NamesDiffer, derived, places};
use crate::logistic::Logistic;
use crate::table::{Column, Kind};
use crate::train::Identity;

/// What an artefact of this shape says it is.
const FORMAT: &str = "hongxian-model-2";
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
    /// Facts of the training, for people: see [`crate::TrainingFacts`].
    pub(crate) training: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scorer {
    Logistic(Logistic),
    Trees(Flat),
}

/// The artefact as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<H> {
    head: H,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logistic: Option<Logistic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trees: Option<TreesFile>,
}

/// Why a text is no artefact.
#[derive(Debug, Error)]
pub enum ArtefactError {
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
            training: serde_json::Value::Null,
        }
    }

    pub(crate) fn set_levels(&mut self, levels: Levels) {
        self.head.levels = levels;
    }

    pub(crate) fn set_training(&mut self, facts: serde_json::Value) {
        self.head.training = facts;
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

    /// The facts of its training as they stand in the artefact.
    pub fn training(&self) -> &serde_json::Value {
        &self.head.training
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

    /// The score of one row, 0 to [`crate::SCORE_MAX`]; what it says is [`Levels::scale`].
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
        let mut raw = Vec::with_capacity(rows);
        let mut bins = vec![[0u8; BLOCK_ROWS]; self.derived.len()];
        let mut scratch = Scratch::default();
        for start in (0..rows).step_by(BLOCK_ROWS) {
            let here = BLOCK_ROWS.min(rows - start);
            for ((derived, edges), bins) in self.derived.iter().zip(flat.edges()).zip(&mut bins) {
                let values = &columns[derived.input][start..start + here];
                for (bin, value) in bins.iter_mut().zip(values) {
                    *bin = edges.bin(derived.value(*value));
                }
            }
            let sums = flat.raw_block(&bins, &mut scratch);
            raw.extend(sums[..here].iter().map(|sum| i64::from(*sum)));
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
        let (logistic, trees) = match &self.scorer {
            Scorer::Logistic(logistic) => (Some(logistic.clone()), None),
            Scorer::Trees(flat) => (None, Some(flat.file().clone())),
        };
        // Names and finite numbers only: nothing in it can fail to be written.
        serde_json::to_string(&File { head: &self.head, logistic, trees }).expect("a model is JSON")
    }

    /// The hash of the artefact, BLAKE3 in hexadecimal.
    pub fn hash(&self) -> String {
        blake3::hash(self.to_json().as_bytes()).to_hex().to_string()
    }

    /// Reads an artefact, and trusts none of it.
    pub fn from_json(text: &str) -> Result<Model, ArtefactError> {
        if text.len() > ARTEFACT_BYTES_MAX {
            return Err(ArtefactError::TooLarge(text.len()));
        }
        let file: File<Head> = serde_json::from_str(text)?;
        let head = file.head;
        if head.format != FORMAT {
            return Err(ArtefactError::Format(head.format));
        }
        if !head.levels.is_sound() {
            return Err(ArtefactError::Unsound("table of levels"));
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

impl Explanation {
    /// The inputs that move the raw score most, either way, the strongest first; ties in the order of
    /// the inputs, and what moves nothing never.
    pub fn strongest(&self, count: usize) -> Vec<Contribution> {
        let mut moved: Vec<Contribution> =
            self.contributions.iter().filter(|moved| moved.adds != 0).cloned().collect();
        moved.sort_by_key(|moved| (std::cmp::Reverse(moved.adds.unsigned_abs()), moved.input));
        moved.truncate(count);
        moved
    }
}
