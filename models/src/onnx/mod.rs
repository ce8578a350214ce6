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

use std::ops::Range;
use std::path::Path;
use std::{fs, io};

use thiserror::Error;

use crate::score::SCORE_MAX;
use crate::table::MISSING;
use graph::{Graph, NodeProto};
use trees::{Post, Trees};

/// The most values that are kept while a row is scored.
const VALUES_MAX: usize = 1 << 20;
/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A classifier from an ONNX file.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    inputs: Vec<OnnxInput>,
    steps: Vec<Step>,
    /// Values that are kept while a row is scored, those of the inputs first.
    values: usize,
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
    /// Where among the values of a row its inputs and its output are.
    inputs: Vec<Range<usize>>,
    output: Range<usize>,
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
        let mut steps = Vec::new();
        for node in &graph.nodes {
            steps.extend(read_node(node, &mut slots)?);
        }
        let mut outputs = graph.outputs.iter().filter_map(|name| slots.find(name));
        let result = outputs.rfind(|place| place.len() == 2).ok_or(OnnxError::Classes)?.start;
        let hash = blake3::hash(bytes).to_hex().to_string();
        Ok(OnnxModel { inputs, steps, values: slots.values, result, hash })
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
        Room { values: vec![MISSING; self.values], row: Vec::new() }
    }

    /// The probability of the second class, of the features at the front of the room.
    fn run(&self, Room { values, row }: &mut Room) -> f64 {
        // A tensor of floats holds 32 bits a value.
        values[..self.features()].iter_mut().for_each(|value| *value = f64::from(*value as f32));
        for step in &self.steps {
            row.clear();
            step.inputs.iter().for_each(|input| row.extend_from_slice(&values[input.clone()]));
            step.op.run(row, &mut values[step.output.clone()]);
        }
        values[self.result + 1]
    }
}

fn thousandths(probability: f64) -> Option<i64> {
    let score = (probability.clamp(0.0, 1.0) * SCORE_MAX as f64).round();
    (!probability.is_nan()).then_some(score as i64)
}

/// The names of a graph, and where among the values of a row each is.
#[derive(Default)]
struct Slots {
    places: Vec<(String, Range<usize>)>,
    values: usize,
}

impl Slots {
    /// A place of its own for a name.
    fn add(&mut self, name: &str, width: usize) -> Result<Range<usize>, OnnxError> {
        let place = self.values..self.values.saturating_add(width);
        if place.end > VALUES_MAX {
            return Err(OnnxError::Unsupported(format!("more than {VALUES_MAX} values a row")));
        }
        self.values = place.end;
        self.places.push((name.to_owned(), place.clone()));
        Ok(place)
    }

    /// The place that a name had last.
    fn find(&self, name: &str) -> Option<Range<usize>> {
        self.places.iter().rfind(|(known, _)| known == name).map(|(_, place)| place.clone())
    }
}

/// A node's step, with a slot for the output that is wanted of it.
fn read_node(node: &NodeProto, slots: &mut Slots) -> Result<Option<Step>, OnnxError> {
    // What only uses a label that nobody asks for has no input here, and is left out.
    let known: Option<Vec<Range<usize>>> =
        node.inputs.iter().map(|name| slots.find(name)).collect();
    let Some(inputs) = known.filter(|inputs| !inputs.is_empty()) else { return Ok(None) };
    let width = inputs.iter().map(Range::len).fold(0, usize::saturating_add);
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
    let output = slots.add(name, width)?;
    Ok(Some(Step { op, inputs, output }))
}

impl Op {
    /// What becomes of a row, which the output has room for.
    fn run(&self, row: &[f64], output: &mut [f64]) {
        match self {
            Op::Concat => output.copy_from_slice(row),
            Op::Scaler { offset, scale } => {
                let both = offset.iter().zip(scale);
                for ((output, value), (offset, scale)) in output.iter_mut().zip(row).zip(both) {
                    *output = (value - offset) * scale;
                }
            }
            Op::Trees(trees) => output.copy_from_slice(&trees.scores(row)),
            Op::Linear { coefficients, intercepts, post } => {
                let sum = |class: usize| {
                    let of = &coefficients[class * row.len()..][..row.len()];
                    let terms = of.iter().zip(row).map(|(weight, value)| weight * value);
                    intercepts[class] + terms.sum::<f64>()
                };
                output.copy_from_slice(&post.of_two([sum(0), sum(1)]));
            }
            Op::NormalizeL1 => {
                let sum: f64 = row.iter().map(|value| value.abs()).sum();
                let divisor = if sum == 0.0 { 1.0 } else { sum };
                for (output, value) in output.iter_mut().zip(row) {
                    *output = value / divisor;
                }
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
