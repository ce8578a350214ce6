//! Features that a trained model gives: what type a group is of, how odd a transaction is.
//!
//! ```toml
//! [social.group.type_model]
//! model = "../models/trained/group-type"   # a directory of `hongxian train`, from this file on
//! gives = "class"                          # or "score", 0 to 1000
//! ```
//!
//! The model reads other features of the same transaction, so that its answer is another feature,
//! for rules, reports and models to read. It is bound as a model that scores is: to the definitions
//! of what it reads. It is in integers, and the same on any machine.

use std::collections::BTreeSet;
use std::sync::Arc;

use models::{AnyModel, Kind};

use super::catalogue::{coded, number};
use crate::event::{Type, Value};

/// A model in the place of an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Learnt {
    /// The model.
    pub model: Arc<AnyModel>,
    /// The hash of its artefact.
    pub hash: String,
    /// Which of its answers is the feature.
    pub gives: Gives,
}

/// What of a model's answer a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// The score, 0 to 1000; of a model of classes, that of the class.
    Score,
    /// The class.
    Class,
}

/// A model with the slots of its inputs.
#[derive(Clone)]
pub(crate) struct Answer {
    learnt: Learnt,
    /// The slot of each input, and for a coded one the text for which it is 1.
    inputs: Vec<(usize, Option<String>)>,
}

impl Gives {
    /// Its name in `features.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Gives::Score => "score",
            Gives::Class => "class",
        }
    }

    /// The type of the feature.
    pub fn kind(self) -> Type {
        match self {
            Gives::Score => Type::Int,
            Gives::Class => Type::Str,
        }
    }
}

impl Learnt {
    /// The names that it reads, without the values of coded columns.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.model.inputs().iter().map(|input| coded(&input.name).0.to_owned()).collect()
    }

    /// The classes that it names, if it gives one.
    pub(crate) fn classes(&self) -> Option<Vec<String>> {
        match (&*self.model, self.gives) {
            (AnyModel::Classes(classes), Gives::Class) => Some(classes.names().to_vec()),
            _ => None,
        }
    }

    /// With the slots of its inputs, given by name.
    pub(crate) fn answer(&self, slot: impl Fn(&str) -> Option<usize>) -> Option<Answer> {
        let input = |input: &models::Input| {
            let (name, value) = coded(&input.name);
            Some((slot(name)?, value.map(str::to_owned)))
        };
        let inputs: Option<Vec<_>> = self.model.inputs().iter().map(input).collect();
        Some(Answer { learnt: self.clone(), inputs: inputs? })
    }
}

impl Answer {
    /// The type of its values.
    pub(crate) fn kind(&self) -> Type {
        self.learnt.gives.kind()
    }

    /// What the model says of a row; null where nothing is known of all that it reads.
    pub(crate) fn value<'v>(&'v self, values: &[Value<'v>]) -> Value<'v> {
        let read =
            |(slot, coded): &(usize, Option<String>)| number(values[*slot], coded.as_deref());
        let read: Vec<f64> = self.inputs.iter().map(read).collect();
        if read.iter().all(|value| value.is_nan()) {
            return Value::Null;
        }
        match (self.learnt.model.say(&read), self.learnt.gives) {
            ((score, _), Gives::Score) => Value::Int(score),
            ((_, class), Gives::Class) => class.map_or(Value::Null, Value::Str),
        }
    }
}

/// The kind of a model's input that reads values of a type; texts are read as coded columns only.
pub fn kind(of: Type) -> Option<Kind> {
    match of {
        Type::Int => Some(Kind::Integer),
        Type::Double => Some(Kind::Double),
        Type::Bool => Some(Kind::Bool),
        Type::Str => None,
    }
}
