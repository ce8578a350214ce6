//! The messages of an ONNX file: a graph of nodes with attributes.

use super::OnnxError;
use super::wire::{Field, fields, floats, integers};

/// A graph.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<NodeProto>,
    /// Name and width of each input; a width of None is not said.
    pub(crate) inputs: Vec<(String, Option<u64>)>,
    pub(crate) outputs: Vec<String>,
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
                11 => read.inputs.push(input(field.bytes()?)?),
                12 => read.outputs.push(input(field.bytes()?)?.0),
                _ => {}
            }
        }
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
