//! The operations of exports, each on one row.

use std::ops::Range;

use super::OnnxError;
use super::graph::{Constant, DOUBLE, FLOAT, NodeProto};
use super::trees::{Post, Trees};
use crate::table::MISSING;

/// The operations that are read: Cast only to floats, Normalizer L1 and L2, arithmetic of values
/// with each other and with constants, all along the columns.
pub const OPERATIONS: [&str; 14] = [
    "Add",
    "Cast",
    "Concat",
    "Div",
    "FeatureVectorizer",
    "Identity",
    "Imputer",
    "LinearClassifier",
    "Mul",
    "Normalizer",
    "Scaler",
    "Sub",
    "TreeEnsembleClassifier",
    "ZipMap",
];

/// The most values that are kept while a row is scored.
const VALUES_MAX: usize = 1 << 20;

/// An operation with the places of what it reads and writes.
#[derive(Clone, Debug)]
pub(super) struct Step {
    op: Op,
    /// Where among the values of a row its inputs and its output are.
    inputs: Vec<Range<usize>>,
    output: Range<usize>,
}

#[derive(Clone, Debug)]
enum Op {
    /// The values of its inputs one after the other.
    Concat,
    /// Two inputs value by value, the first of which is so long; a single value stands for a row of
    /// them.
    Arithmetic {
        first: usize,
        by: fn(f64, f64) -> f64,
    },
    Scaler {
        offset: Vec<f64>,
        scale: Vec<f64>,
    },
    /// Puts values in the place of one that stands for missing.
    Imputer {
        replaced: f64,
        values: Vec<f64>,
    },
    Trees(Trees),
    Linear {
        coefficients: Vec<f64>,
        intercepts: Vec<f64>,
        post: Post,
    },
    /// Divides by the sum of the absolute values.
    NormalizeL1,
    /// Divides by the root of the sum of squares.
    NormalizeL2,
}

/// The names of a graph, and where among the values of a row each is.
#[derive(Default)]
pub(super) struct Slots {
    places: Vec<(String, Range<usize>)>,
    values: Vec<f64>,
}

impl Slots {
    /// A place of its own for a name.
    pub(super) fn add(&mut self, name: &str, width: usize) -> Result<Range<usize>, OnnxError> {
        let place = self.values.len()..self.values.len().saturating_add(width);
        if place.end > VALUES_MAX {
            return Err(OnnxError::Unsupported(format!("more than {VALUES_MAX} values a row")));
        }
        self.values.resize(place.end, MISSING);
        self.places.push((name.to_owned(), place.clone()));
        Ok(place)
    }

    /// A place whose values are the same for all rows.
    pub(super) fn add_constant(&mut self, constant: &Constant) -> Result<(), OnnxError> {
        let Constant { name, values } = constant;
        let no_row =
            || OnnxError::Unsupported(format!("a constant {name} that is no row of numbers"));
        let values = values.as_ref().ok_or_else(no_row)?;
        let place = self.add(name, values.len())?;
        self.values[place].copy_from_slice(values);
        Ok(())
    }

    /// The place that a name had last.
    pub(super) fn find(&self, name: &str) -> Option<Range<usize>> {
        self.places.iter().rfind(|(known, _)| known == name).map(|(_, place)| place.clone())
    }

    /// What a row begins with.
    pub(super) fn into_values(self) -> Vec<f64> {
        self.values
    }
}

impl Step {
    /// A node's step, with a slot for the output that is wanted of it.
    pub(super) fn read(node: &NodeProto, slots: &mut Slots) -> Result<Step, OnnxError> {
        if !OPERATIONS.contains(&node.op.as_str()) {
            return Err(OnnxError::Operation(node.op.clone()));
        }
        if let Some(name) = node.unread() {
            return Err(OnnxError::Unsupported(format!("attribute {name} of {}", node.op)));
        }
        // What has no place is a label.
        let inputs: Option<Vec<_>> = node.inputs.iter().map(|name| slots.find(name)).collect();
        let inputs = inputs.filter(|inputs| !inputs.is_empty()).ok_or(OnnxError::Classes)?;
        let (op, width) = Op::read(node, &inputs)?;
        // The first output of a classifier is the label, the second the scores.
        let output = usize::from(matches!(op, Op::Trees(_) | Op::Linear { .. }));
        let name = node.outputs.get(output).ok_or(OnnxError::Broken("list of outputs"))?;
        let output = slots.add(name, width)?;
        Ok(Step { op, inputs, output })
    }

    /// Works out the output; `row` is room for the inputs, one after the other.
    pub(super) fn run(&self, values: &mut [f64], row: &mut Vec<f64>) {
        row.clear();
        self.inputs.iter().for_each(|input| row.extend_from_slice(&values[input.clone()]));
        self.op.run(row, &mut values[self.output.clone()]);
    }
}

impl Op {
    /// A node's operation and the width of its output.
    fn read(node: &NodeProto, inputs: &[Range<usize>]) -> Result<(Op, usize), OnnxError> {
        let width = inputs.iter().map(Range::len).fold(0, usize::saturating_add);
        let doubles = |name| node.floats(name).iter().map(|f| f64::from(*f)).collect::<Vec<f64>>();
        // A single one is for every column.
        let each = |name| match doubles(name)[..] {
            [one] => vec![one; width],
            ref all => all.to_vec(),
        };
        let fits = |good: bool, what| if good { Ok(()) } else { Err(OnnxError::Broken(what)) };
        let unsupported = |what| Err(OnnxError::Unsupported(format!("{} {what}", node.op)));
        Ok(match node.op.as_str() {
            "Identity" | "ZipMap" | "FeatureVectorizer" => (Op::Concat, width),
            "Cast" => match node.number("to").and_then(|kind| u64::try_from(kind).ok()) {
                Some(FLOAT | DOUBLE) => (Op::Concat, width),
                _ => return unsupported("to other than floats"),
            },
            "Concat" => {
                fits(matches!(node.number("axis"), Some(1 | -1)), "axis of Concat")?;
                (Op::Concat, width)
            }
            "Add" => Op::arithmetic(inputs, |a, b| a + b)?,
            "Sub" => Op::arithmetic(inputs, |a, b| a - b)?,
            "Mul" => Op::arithmetic(inputs, |a, b| a * b)?,
            "Div" => Op::arithmetic(inputs, |a, b| a / b)?,
            "Scaler" => {
                let (offset, scale) = (each("offset"), each("scale"));
                fits(offset.len() == width && scale.len() == width, "Scaler")?;
                (Op::Scaler { offset, scale }, width)
            }
            "Imputer" => {
                let values = each("imputed_value_floats");
                fits(values.len() == width, "Imputer")?;
                let replaced = f64::from(node.float("replaced_value_float").unwrap_or(0.0));
                (Op::Imputer { replaced, values }, width)
            }
            "Normalizer" => match node.text("norm") {
                "L1" => (Op::NormalizeL1, width),
                "L2" => (Op::NormalizeL2, width),
                _ => return unsupported("other than L1 and L2"),
            },
            "TreeEnsembleClassifier" => {
                let trees = Trees::read(node)?;
                fits(trees.features() <= width, "tree ensemble")?;
                (Op::Trees(trees), 2)
            }
            "LinearClassifier" => {
                let (coefficients, intercepts) = (doubles("coefficients"), doubles("intercepts"));
                if intercepts.len() != 2 {
                    return Err(OnnxError::Classes);
                }
                fits(coefficients.len() == 2 * width, "LinearClassifier")?;
                (Op::Linear { coefficients, intercepts, post: Post::read(node)? }, 2)
            }
            other => return Err(OnnxError::Operation(other.to_owned())),
        })
    }

    fn arithmetic(
        inputs: &[Range<usize>],
        by: fn(f64, f64) -> f64,
    ) -> Result<(Op, usize), OnnxError> {
        let [a, b] = inputs else { return Err(OnnxError::Broken("arithmetic")) };
        let (first, second) = (a.len(), b.len());
        if first == 0 || second == 0 || !(first == second || first == 1 || second == 1) {
            return Err(OnnxError::Broken("arithmetic"));
        }
        Ok((Op::Arithmetic { first, by }, first.max(second)))
    }

    /// What becomes of a row, which the output has room for.
    fn run(&self, row: &[f64], output: &mut [f64]) {
        match self {
            Op::Concat => output.copy_from_slice(row),
            Op::Arithmetic { first, by } => {
                let (first, second) = row.split_at(*first);
                for (at, output) in output.iter_mut().enumerate() {
                    *output = by(first[at % first.len()], second[at % second.len()]);
                }
            }
            Op::Scaler { offset, scale } => {
                let both = offset.iter().zip(scale);
                for ((output, value), (offset, scale)) in output.iter_mut().zip(row).zip(both) {
                    *output = (value - offset) * scale;
                }
            }
            Op::Imputer { replaced, values } => {
                for ((output, value), instead) in output.iter_mut().zip(row).zip(values) {
                    let is_it = value == replaced || value.is_nan() && replaced.is_nan();
                    *output = if is_it { *instead } else { *value };
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
                divide(row, row.iter().map(|value| value.abs()).sum(), output);
            }
            Op::NormalizeL2 => {
                divide(row, row.iter().map(|value| value * value).sum::<f64>().sqrt(), output);
            }
        }
    }
}

/// Values divided by their norm, but by nothing where that is 0.
fn divide(row: &[f64], norm: f64, output: &mut [f64]) {
    let divisor = if norm == 0.0 { 1.0 } else { norm };
    output.iter_mut().zip(row).for_each(|(output, value)| *output = value / divisor);
}
