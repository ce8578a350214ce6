//! Models trained elsewhere: two-class classifiers in ONNX files, as LightGBM, XGBoost and
//! scikit-learn export them.
//!
//! These exports are made of operations of ai.onnx.ml, of which tract-onnx 0.22 knows only the tree
//! ensemble: it has no ZipMap, LinearClassifier, Normalizer or Scaler, so that it loads none of
//! them whole. They are few and simple, and are read here without a further crate; deep networks
//! are not. [`OPERATIONS`] are those that are read. One of the outputs has the probabilities of two
//! classes, with ZipMap or without, and what it does not need (the label) is not looked at.

mod graph;
mod ops;
mod trees;
mod wire;

use std::path::Path;
use std::{fs, io};

use thiserror::Error;

use crate::score::SCORE_MAX;
use graph::Graph;
use ops::{Slots, Step};

pub use ops::OPERATIONS;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A classifier from an ONNX file.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    inputs: Vec<OnnxInput>,
    steps: Vec<Step>,
    /// Values that are kept while a row is scored, those of the inputs first: missing, but for the
    /// constants.
    values: Vec<f64>,
    /// Where among them the scores of both classes are.
    result: usize,
    hash: String,
}

/// What a row needs while it is scored: made once for many rows.
struct Room {
    values: Vec<f64>,
    /// The inputs of a step, one after the other.
    row: Vec<f64>,
}

/// An input of the graph: a tensor with a row a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxInput {
    /// Its name in the file.
    pub name: String,
    /// How many features it takes. One input of width 1 a feature carries the feature's name; an
    /// input of all features does not, and the caller must say what they are.
    pub width: usize,
}

/// Why a file is no model.
#[derive(Debug, Error)]
pub enum OnnxError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Read(String, io::Error),
    /// It is too large.
    #[error("{0} bytes are more than a model may have")]
    TooLarge(u64),
    /// It is no ONNX file.
    #[error("not an ONNX file")]
    NotOnnx,
    /// It has something that is not read here.
    #[error("the model has {0}, which is not supported")]
    Unsupported(String),
    /// Its parts do not fit together.
    #[error("the model's {0} is broken")]
    Broken(&'static str),
    /// It has an operation that is not read here.
    #[error(
        "the model has the operation {0}, which is not supported; those that are: {supported}",
        supported = OPERATIONS.join(", ")
    )]
    Operation(String),
    /// It has other than two classes, or only a label.
    #[error("the model has no output of the probabilities of two classes")]
    Classes,
    /// The names given are not as many as its features.
    #[error("the model takes {wanted} features, and {given} names were given")]
    Names {
        /// Features of the model.
        wanted: usize,
        /// Names given.
        given: usize,
    },
}

impl OnnxModel {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<OnnxModel, OnnxError> {
        let read = |error| OnnxError::Read(path.display().to_string(), error);
        let bytes = fs::metadata(path).map_err(read)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(OnnxError::TooLarge(bytes));
        }
        OnnxModel::from_bytes(&fs::read(path).map_err(read)?)
    }

    /// Reads the bytes of a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<OnnxModel, OnnxError> {
        let graph = Graph::read(bytes)?;
        let hash = blake3::hash(bytes).to_hex().to_string();
        // The first output is the label by custom, and no other has less to say of what is wrong.
        let mut refused = OnnxError::Classes;
        for output in graph.outputs.iter().rev() {
            match OnnxModel::of_output(&graph, output, &hash) {
                Ok(model) => return Ok(model),
                Err(error) if matches!(refused, OnnxError::Classes) => refused = error,
                Err(_) => {}
            }
        }
        Err(refused)
    }

    /// The model that has the probabilities of both classes in an output.
    fn of_output(graph: &Graph, output: &str, hash: &str) -> Result<OnnxModel, OnnxError> {
        let mut slots = Slots::default();
        let mut inputs = Vec::new();
        for (name, width) in &graph.inputs {
            let width = usize::try_from(width.unwrap_or(0)).unwrap_or(0);
            if !(1..=1 << 16).contains(&width) {
                return Err(OnnxError::Unsupported(format!("an input {name} of no fixed width")));
            }
            slots.add(name, width)?;
            inputs.push(OnnxInput { name: name.clone(), width });
        }
        let (nodes, wanted) = graph.needed(output);
        for constant in &graph.constants {
            if wanted.contains(constant.name.as_str()) {
                slots.add_constant(constant)?;
            }
        }
        let mut steps = Vec::new();
        for node in nodes {
            steps.push(Step::read(node, &mut slots)?);
        }
        let place = slots.find(output).filter(|place| place.len() == 2);
        let result = place.ok_or(OnnxError::Classes)?.start;
        Ok(OnnxModel { inputs, steps, values: slots.into_values(), result, hash: hash.to_owned() })
    }

    /// The inputs of the graph, in their order.
    pub fn inputs(&self) -> &[OnnxInput] {
        &self.inputs
    }

    /// The names of the features in the order in which [`OnnxModel::probability`] takes them: the
    /// inputs' own names where each takes one feature, else the names `given`.
    pub fn feature_names(&self, given: Option<&[String]>) -> Result<Vec<String>, OnnxError> {
        let wanted = self.inputs.iter().map(|input| input.width).sum();
        match given {
            Some(names) if names.len() == wanted => Ok(names.to_vec()),
            Some(names) => Err(OnnxError::Names { wanted, given: names.len() }),
            None if self.inputs.iter().all(|input| input.width == 1) => {
                Ok(self.inputs.iter().map(|input| input.name.clone()).collect())
            }
            None => Err(OnnxError::Names { wanted, given: 0 }),
        }
    }

    /// BLAKE3 of the file, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The probability of the second class for a row; NaN is a missing value. A model that cannot
    /// take missing values (a regression) gives NaN.
    ///
    /// # Panics
    /// If there are not as many values as features.
    pub fn probability(&self, values: &[f64]) -> f64 {
        let mut room = self.room();
        let features = self.features();
        assert_eq!(features, values.len(), "one value a feature");
        room.values[..features].copy_from_slice(values);
        self.run(&mut room)
    }

    /// The probability in thousandths, 0 to [`SCORE_MAX`]; None where there is no probability.
    ///
    /// # Panics
    /// If there are not as many values as features.
    pub fn score(&self, values: &[f64]) -> Option<i64> {
        thousandths(self.probability(values))
    }

    /// The score of rows that may lack values, by columns: `columns[at][row]`.
    ///
    /// # Panics
    /// If there are not as many columns as features.
    pub fn scores(&self, columns: &[&[f64]]) -> Vec<Option<i64>> {
        assert_eq!(self.features(), columns.len(), "one column a feature");
        let rows = columns.first().map_or(0, |column| column.len());
        let mut room = self.room();
        let score = |row: usize| {
            for (value, column) in room.values.iter_mut().zip(columns) {
                *value = column[row];
            }
            thousandths(self.run(&mut room))
        };
        (0..rows).map(score).collect()
    }

    fn features(&self) -> usize {
        self.inputs.iter().map(|input| input.width).sum()
    }

    fn room(&self) -> Room {
        Room { values: self.values.clone(), row: Vec::new() }
    }

    /// The probability of the second class, of the features at the front of the room.
    fn run(&self, Room { values, row }: &mut Room) -> f64 {
        // A tensor of floats holds 32 bits a value.
        values[..self.features()].iter_mut().for_each(|value| *value = f64::from(*value as f32));
        for step in &self.steps {
            step.run(values, row);
        }
        values[self.result + 1]
    }
}

fn thousandths(probability: f64) -> Option<i64> {
    let score = (probability.clamp(0.0, 1.0) * SCORE_MAX as f64).round();
    (!probability.is_nan()).then_some(score as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::MISSING;

    const SAID: &str = include_str!("../../tests/oracle/onnx.json");
    const FILES: [(&str, &[u8]); 10] = [
        ("lightgbm", include_bytes!("../../tests/oracle/lightgbm.onnx")),
        ("xgboost", include_bytes!("../../tests/oracle/xgboost.onnx")),
        ("forest", include_bytes!("../../tests/oracle/forest.onnx")),
        ("logistic", include_bytes!("../../tests/oracle/logistic.onnx")),
        // As lists of numbers instead of a map of labels, by pipelines with an input a feature.
        ("lightgbm-plain", include_bytes!("../../tests/oracle/lightgbm-plain.onnx")),
        ("lightgbm-named", include_bytes!("../../tests/oracle/lightgbm-named.onnx")),
        ("xgboost-named", include_bytes!("../../tests/oracle/xgboost-named.onnx")),
        ("boosting", include_bytes!("../../tests/oracle/boosting.onnx")),
        // Linear models that take missing values.
        ("imputed", include_bytes!("../../tests/oracle/imputed.onnx")),
        ("ranged", include_bytes!("../../tests/oracle/ranged.onnx")),
    ];

    fn file(name: &str) -> &'static [u8] {
        FILES.iter().find(|(file, _)| *file == name).unwrap().1
    }

    /// A file with another word, of the same length, in the place of one.
    fn reworded(name: &str, from: &str, to: &str) -> Vec<u8> {
        let mut bytes = file(name).to_vec();
        let (from, to) = (from.as_bytes(), to.as_bytes());
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(from) {
                bytes[at..at + to.len()].copy_from_slice(to);
            }
        }
        assert_ne!(bytes, file(name));
        bytes
    }

    #[test]
    fn exports_score_as_the_libraries_that_made_them() {
        let said: serde_json::Value = serde_json::from_str(SAID).unwrap();
        for (name, bytes) in FILES {
            let model = OnnxModel::from_bytes(bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
            let rows = said[name]["rows"].as_array().unwrap();
            let expected = said[name]["probabilities"].as_array().unwrap();
            assert_eq!((rows.len(), expected.len()), (25, 25));
            for (row, expected) in rows.iter().zip(expected) {
                let values = row.as_array().unwrap().iter();
                let values: Vec<f64> = values.map(|v| v.as_f64().unwrap_or(MISSING)).collect();
                let (found, expected) = (model.probability(&values), expected.as_f64().unwrap());
                assert!((found - expected).abs() < 1e-6, "{name}: {found}, not {expected}");
                let thousandths = (expected * 1000.0 - model.score(&values).unwrap() as f64).abs();
                assert!(thousandths < 0.51, "{name}");
            }
            // Many rows at once are the rows one by one, whatever the row before left behind.
            let of_row = |row: &serde_json::Value| -> Vec<f64> {
                let values = row.as_array().unwrap().iter();
                values.map(|value| value.as_f64().unwrap_or(MISSING)).collect()
            };
            let rows: Vec<Vec<f64>> = rows.iter().map(of_row).collect();
            let columns: Vec<Vec<f64>> =
                (0..rows[0].len()).map(|at| rows.iter().map(|row| row[at]).collect()).collect();
            let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            let one_by_one: Vec<_> = rows.iter().map(|row| model.score(row)).collect();
            assert_eq!(model.scores(&columns), one_by_one, "{name}");
        }
    }

    #[test]
    fn features_are_known_by_name_or_must_be_named() {
        let model = |name: &str| OnnxModel::from_bytes(file(name)).unwrap();
        let names: Vec<String> = ["amount", "count", "gap"].map(str::to_owned).into();
        assert_eq!(model("logistic").feature_names(None).unwrap(), names);
        let refused = model("forest").feature_names(None).unwrap_err().to_string();
        assert_eq!(refused, "the model takes 3 features, and 0 names were given");
        assert_eq!(model("forest").feature_names(Some(&names)).unwrap(), names);
        assert!(model("forest").feature_names(Some(&names[..2])).is_err());
    }

    #[test]
    fn what_is_not_read_is_an_error_that_says_what_is() {
        let read = |bytes: &[u8]| OnnxModel::from_bytes(bytes).map_err(|e| e.to_string());
        let said = read(&reworded("logistic", "Scaler", "Sealer")).unwrap_err();
        assert!(said.starts_with("the model has the operation Sealer, which is not"), "{said}");
        assert!(said.contains(": Add, Cast, Concat, ") && said.contains("Scaler"), "{said}");
        // The label's part of the graph is not looked at.
        for name in ["logistic", "lightgbm-plain"] {
            let model = read(&reworded(name, "Cast", "Cost")).unwrap();
            let row = [500.0, 9.0, 0.5];
            assert_eq!(model.score(&row), read(file(name)).unwrap().score(&row), "{name}");
        }
    }

    #[test]
    fn a_broken_file_is_an_error_and_never_a_panic() {
        for (name, bytes) in FILES {
            for cut in (0..bytes.len()).step_by(37) {
                // Cut short, and with one byte changed.
                let _ = OnnxModel::from_bytes(&bytes[..cut]);
                let mut changed = bytes.to_vec();
                changed[cut] ^= 0x41;
                if let Ok(model) = OnnxModel::from_bytes(&changed) {
                    let features: usize = model.inputs().iter().map(|input| input.width).sum();
                    if features < 1000 {
                        let _ = model.probability(&vec![1.0; features]);
                    }
                }
            }
            let short = OnnxModel::from_bytes(&bytes[..bytes.len() / 2]);
            assert!(short.is_err(), "{name}");
        }
        assert!(matches!(OnnxModel::from_bytes(b""), Err(OnnxError::NotOnnx)));
    }
}
