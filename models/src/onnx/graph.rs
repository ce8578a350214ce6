//! The messages of an ONNX file: a graph of nodes with attributes.

use std::collections::BTreeSet;

use super::OnnxError;
use super::wire::{Field, fields, floats, integers};

/// The types of numbers that are read, as files have them.
pub(crate) const FLOAT: u64 = 1;
pub(crate) const DOUBLE: u64 = 11;

/// A graph.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<NodeProto>,
    /// Name and width of each input; a width of None is not said.
    pub(crate) inputs: Vec<(String, Option<u64>)>,
    pub(crate) constants: Vec<Constant>,
    pub(crate) outputs: Vec<String>,
}

/// A value that is in the file, not in the row.
#[derive(Debug, Default)]
pub(crate) struct Constant {
    pub(crate) name: String,
    /// None where it is no single value or row of numbers.
    pub(crate) values: Option<Vec<f64>>,
}

/// An operation.
#[derive(Debug, Default)]
pub(crate) struct NodeProto {
    pub(crate) op: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    attributes: Vec<Attribute>,
}

#[derive(Debug, Default)]
struct Attribute {
    name: String,
    float: f32,
    number: i64,
    text: String,
    floats: Vec<f32>,
    integers: Vec<i64>,
    texts: Vec<String>,
    other: bool,
}

impl Graph {
    /// Reads the graph of a model.
    pub(crate) fn read(bytes: &[u8]) -> Result<Graph, OnnxError> {
        let graph = fields(bytes)?.into_iter().rfind(|(number, _)| *number == 7);
        let mut read = Graph::default();
        for (number, field) in fields(graph.ok_or(OnnxError::NotOnnx)?.1.bytes()?)? {
            match number {
                1 => read.nodes.push(NodeProto::read(field.bytes()?)?),
                5 => read.constants.push(Constant::read(field.bytes()?)?),
                11 => read.inputs.push(input(field.bytes()?)?),
                12 => read.outputs.push(input(field.bytes()?)?.0),
                _ => {}
            }
        }
        // Old files list constants among the inputs, too.
        read.inputs.retain(|(name, _)| read.constants.iter().all(|one| one.name != *name));
        Ok(read)
    }

    /// The nodes that an output hangs on, in their order, and the names of all that they read.
    pub(crate) fn needed<'g>(&'g self, output: &'g str) -> (Vec<&'g NodeProto>, BTreeSet<&'g str>) {
        let mut wanted = BTreeSet::from([output]);
        let mut nodes = Vec::new();
        for node in self.nodes.iter().rev() {
            if node.outputs.iter().any(|name| wanted.contains(name.as_str())) {
                wanted.extend(node.inputs.iter().map(String::as_str));
                nodes.push(node);
            }
        }
        nodes.reverse();
        (nodes, wanted)
    }
}

impl Constant {
    fn read(bytes: &[u8]) -> Result<Constant, OnnxError> {
        let mut read = Constant::default();
        let (mut dimensions, mut kind, mut bits) = (Vec::new(), 0, &[][..]);
        for (number, field) in fields(bytes)? {
            match number {
                1 => integers(field, &mut dimensions)?,
                2 => kind = field.number()?,
                // Floats, doubles and raw data are the same bytes.
                4 | 9 | 10 => bits = field.bytes()?,
                8 => read.name = field.text()?,
                _ => {}
            }
        }
        let values: Vec<f64> = match kind {
            FLOAT => words(bits).map(|word| f64::from(f32::from_le_bytes(word))).collect(),
            DOUBLE => words(bits).map(f64::from_le_bytes).collect(),
            _ => return Ok(read),
        };
        let width = dimensions.last().map_or(Some(1), |width| usize::try_from(*width).ok());
        let is_row = width == Some(values.len()) && !values.is_empty();
        read.values = is_row.then_some(values);
        Ok(read)
    }
}

impl NodeProto {
    fn read(bytes: &[u8]) -> Result<NodeProto, OnnxError> {
        let mut node = NodeProto::default();
        for (number, field) in fields(bytes)? {
            match number {
                1 => node.inputs.push(field.text()?),
                2 => node.outputs.push(field.text()?),
                4 => node.op = field.text()?,
                5 => node.attributes.push(Attribute::read(field.bytes()?)?),
                _ => {}
            }
        }
        Ok(node)
    }

    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    pub(crate) fn floats(&self, name: &str) -> &[f32] {
        self.attribute(name).map_or(&[], |attribute| &attribute.floats)
    }

    pub(crate) fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name).map(|attribute| attribute.float)
    }

    pub(crate) fn integers(&self, name: &str) -> &[i64] {
        self.attribute(name).map_or(&[], |attribute| &attribute.integers)
    }

    pub(crate) fn texts(&self, name: &str) -> &[String] {
        self.attribute(name).map_or(&[], |attribute| &attribute.texts)
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.attribute(name).map_or("", |attribute| &attribute.text)
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.attribute(name).map(|attribute| attribute.number)
    }

    /// The name of an attribute that is a tensor or a graph, which no operation read here has.
    pub(crate) fn unread(&self) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.other).map(|a| a.name.as_str())
    }
}

impl Attribute {
    fn read(bytes: &[u8]) -> Result<Attribute, OnnxError> {
        let mut attribute = Attribute::default();
        for (number, field) in fields(bytes)? {
            match number {
                1 => attribute.name = field.text()?,
                2 => attribute.float = f32::from_bits(field.number()? as u32),
                3 => attribute.number = field.number()? as i64,
                4 => attribute.text = field.text()?,
                5 | 6 | 10 | 11 => attribute.other = true,
                7 => floats(field, &mut attribute.floats)?,
                8 => integers(field, &mut attribute.integers)?,
                9 => attribute.texts.push(field.text()?),
                _ => {}
            }
        }
        Ok(attribute)
    }
}

/// The whole words of some bytes.
fn words<const BYTES: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; BYTES]> + '_ {
    bytes.chunks_exact(BYTES).filter_map(|word| word.try_into().ok())
}

/// Name and width of an input: the last dimension of its tensor.
fn input(bytes: &[u8]) -> Result<(String, Option<u64>), OnnxError> {
    let (mut name, mut width) = (String::new(), None);
    for (number, field) in fields(bytes)? {
        match number {
            1 => name = field.text()?,
            2 => {
                let tensor = last(field, 1)?;
                let shape = tensor.map(|tensor| last(tensor, 2)).transpose()?.flatten();
                let dimension = shape.map(|shape| last(shape, 1)).transpose()?.flatten();
                let value = dimension.map(|dimension| last(dimension, 1)).transpose()?.flatten();
                width = value.and_then(|value| value.number().ok());
            }
            _ => {}
        }
    }
    Ok((name, width))
}

/// The last field of a number within a message.
fn last(message: Field<'_>, wanted: u64) -> Result<Option<Field<'_>>, OnnxError> {
    let of_number = fields(message.bytes()?)?.into_iter().rfind(|(number, _)| *number == wanted);
    Ok(of_number.map(|(_, field)| field))
}
