//! Models trained elsewhere: two-class classifiers in ONNX files, as LightGBM, XGBoost and
//! scikit-learn export them.
//!
//! These exports are made of operations of ai.onnx.ml, of which tract-onnx 0.22 knows only the tree
//! ensemble: it has no ZipMap, LinearClassifier, Normalizer or Scaler, so that it loads none of
//! them whole. They are few and simple, and are read here without a further crate; deep networks
//! are not.

mod graph;
mod trees;
mod wire;

use std::path::Path;
use std::{fs, io};

use thiserror::Error;

use crate::score::SCORE_MAX;
use crate::table::MISSING;
use graph::{Graph, NodeProto};
use trees::{Post, Trees};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A classifier from an ONNX file.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    inputs: Vec<OnnxInput>,
    steps: Vec<Step>,
    /// Values that are kept while a row is scored, the inputs first.
    slots: usize,
    /// The slot that has the scores of both classes.
    result: usize,
    hash: String,
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
    /// It has other than two classes.
    #[error("the model does not tell two classes apart")]
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

#[derive(Clone, Debug)]
struct Step {
    op: Op,
    inputs: Vec<usize>,
    output: usize,
}

#[derive(Clone, Debug)]
enum Op {
    /// The values of its inputs one after the other.
    Concat,
    Scaler {
        offset: Vec<f64>,
        scale: Vec<f64>,
    },
    Trees(Trees),
    Linear {
        coefficients: Vec<f64>,
        intercepts: Vec<f64>,
        post: Post,
    },
    /// Divides by the sum of the absolute values.
    NormalizeL1,
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
        let mut names: Vec<String> = Vec::new();
        let mut widths: Vec<usize> = Vec::new();
        let mut inputs = Vec::new();
        for (name, width) in &graph.inputs {
            let width = usize::try_from(width.unwrap_or(0)).unwrap_or(0);
            if !(1..=1 << 16).contains(&width) {
                return Err(OnnxError::Unsupported(format!("an input {name} of no fixed width")));
            }
            names.push(name.clone());
            widths.push(width);
            inputs.push(OnnxInput { name: name.clone(), width });
        }
        let mut steps = Vec::new();
        for node in &graph.nodes {
            read_node(node, &mut names, &mut widths, &mut steps)?;
        }
        let mut outputs = graph.outputs.iter().filter_map(|name| slot(&names, name));
        let result = outputs.rfind(|slot| widths[*slot] == 2).ok_or(OnnxError::Classes)?;
        let hash = blake3::hash(bytes).to_hex().to_string();
        Ok(OnnxModel { inputs, steps, slots: names.len(), result, hash })
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
        let mut slots: Vec<Vec<f64>> = vec![Vec::new(); self.slots];
        let mut at = 0;
        for (slot, input) in slots.iter_mut().zip(&self.inputs) {
            // A tensor of floats holds 32 bits a value.
            let value = |value: &f64| f64::from(*value as f32);
            slot.extend(values[at..at + input.width].iter().map(value));
            at += input.width;
        }
        assert_eq!(at, values.len(), "one value a feature");
        for step in &self.steps {
            let mut row: Vec<f64> = Vec::new();
            step.inputs.iter().for_each(|input| row.extend(&slots[*input]));
            slots[step.output] = step.op.run(row);
        }
        slots[self.result][1]
    }

    /// The probability in thousandths, 0 to [`SCORE_MAX`]; None where there is no probability.
    ///
    /// # Panics
    /// If there are not as many values as features.
    pub fn score(&self, values: &[f64]) -> Option<i64> {
        let probability = self.probability(values);
        (!probability.is_nan()).then(|| {
            let score = (probability.clamp(0.0, 1.0) * SCORE_MAX as f64).round();
            score as i64
        })
    }

    /// The score of rows that may lack values, by columns: `columns[at][row]`.
    pub fn scores(&self, columns: &[&[f64]]) -> Vec<Option<i64>> {
        let rows = columns.first().map_or(0, |column| column.len());
        let mut values = vec![MISSING; columns.len()];
        let score = |row: usize| {
            for (value, column) in values.iter_mut().zip(columns) {
                *value = column[row];
            }
            self.score(&values)
        };
        (0..rows).map(score).collect()
    }
}

fn slot(names: &[String], name: &str) -> Option<usize> {
    names.iter().rposition(|known| known == name)
}

/// Adds a node's step and the slot of the output that is wanted of it.
fn read_node(
    node: &NodeProto,
    names: &mut Vec<String>,
    widths: &mut Vec<usize>,
    steps: &mut Vec<Step>,
) -> Result<(), OnnxError> {
    // What only uses a label that nobody asks for has no input here, and is left out.
    let known: Option<Vec<usize>> = node.inputs.iter().map(|name| slot(names, name)).collect();
    let Some(inputs) = known.filter(|inputs| !inputs.is_empty()) else { return Ok(()) };
    let width: usize = inputs.iter().map(|input| widths[*input]).sum();
    if let Some(name) = node.unread() {
        return Err(OnnxError::Unsupported(format!("attribute {name} of {}", node.op)));
    }
    let doubles = |name| node.floats(name).iter().map(|f| f64::from(*f)).collect::<Vec<f64>>();
    let fits = |good: bool, what| if good { Ok(()) } else { Err(OnnxError::Broken(what)) };
    // The first output of a classifier is the label, the second the scores.
    let (op, output, width) = match node.op.as_str() {
        "Identity" | "Cast" | "ZipMap" | "FeatureVectorizer" => (Op::Concat, 0, width),
        "Concat" => {
            fits(matches!(node.number("axis"), Some(1 | -1)), "axis of Concat")?;
            (Op::Concat, 0, width)
        }
        "Scaler" => {
            let (offset, scale) = (doubles("offset"), doubles("scale"));
            fits(offset.len() == width && scale.len() == width, "Scaler")?;
            (Op::Scaler { offset, scale }, 0, width)
        }
        "Normalizer" if node.text("norm") == "L1" => (Op::NormalizeL1, 0, width),
        "TreeEnsembleClassifier" => {
            let trees = Trees::read(node)?;
            fits(trees.features() <= width, "tree ensemble")?;
            (Op::Trees(trees), 1, 2)
        }
        "LinearClassifier" => {
            let (coefficients, intercepts) = (doubles("coefficients"), doubles("intercepts"));
            if intercepts.len() != 2 {
                return Err(OnnxError::Classes);
            }
            fits(coefficients.len() == 2 * width, "LinearClassifier")?;
            (Op::Linear { coefficients, intercepts, post: Post::read(node)? }, 1, 2)
        }
        other => return Err(OnnxError::Unsupported(format!("the operation {other}"))),
    };
    let name = node.outputs.get(output).ok_or(OnnxError::Broken("list of outputs"))?;
    steps.push(Step { op, inputs, output: names.len() });
    names.push(name.clone());
    widths.push(width);
    Ok(())
}

impl Op {
    fn run(&self, row: Vec<f64>) -> Vec<f64> {
        match self {
            Op::Concat => row,
            Op::Scaler { offset, scale } => {
                let both = offset.iter().zip(scale);
                row.iter().zip(both).map(|(value, (o, s))| (value - o) * s).collect()
            }
            Op::Trees(trees) => trees.scores(&row).to_vec(),
            Op::Linear { coefficients, intercepts, post } => {
                let sum = |class: usize| {
                    let of = &coefficients[class * row.len()..][..row.len()];
                    let terms = of.iter().zip(&row).map(|(weight, value)| weight * value);
                    intercepts[class] + terms.sum::<f64>()
                };
                post.of_two([sum(0), sum(1)]).to_vec()
            }
            Op::NormalizeL1 => {
                let sum: f64 = row.iter().map(|value| value.abs()).sum();
                if sum == 0.0 { row } else { row.iter().map(|value| value / sum).collect() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = include_str!("../../tests/oracle/onnx.json");
    const FILES: [(&str, &[u8]); 4] = [
        ("lightgbm", include_bytes!("../../tests/oracle/lightgbm.onnx")),
        ("xgboost", include_bytes!("../../tests/oracle/xgboost.onnx")),
        ("forest", include_bytes!("../../tests/oracle/forest.onnx")),
        ("logistic", include_bytes!("../../tests/oracle/logistic.onnx")),
    ];

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
        }
    }

    #[test]
    fn features_are_known_by_name_or_must_be_named() {
        let model = |name: &str| {
            let (_, bytes) = FILES.iter().find(|(file, _)| *file == name).unwrap();
            OnnxModel::from_bytes(bytes).unwrap()
        };
        let names: Vec<String> = ["amount", "count", "gap"].map(str::to_owned).into();
        assert_eq!(model("logistic").feature_names(None).unwrap(), names);
        let refused = model("forest").feature_names(None).unwrap_err().to_string();
        assert_eq!(refused, "the model takes 3 features, and 0 names were given");
        assert_eq!(model("forest").feature_names(Some(&names)).unwrap(), names);
        assert!(model("forest").feature_names(Some(&names[..2])).is_err());
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
