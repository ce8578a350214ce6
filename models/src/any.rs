//! An artefact of either shape, for whoever takes both.

use std::path::Path;

use crate::classes::{Classes, FORMAT};
use crate::model::{ArtefactError, read_bounded};
use crate::{Input, Model};

/// A model of one score, or of several classes.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyModel {
    /// It gives a score.
    Score(Box<Model>),
    /// It gives a class and the score of that.
    Classes(Box<Classes>),
}

impl AnyModel {
    /// Reads the `model.json` of a directory, or a file of any name.
    pub fn load(path: &Path) -> Result<AnyModel, ArtefactError> {
        let text = read_bounded(path)?;
        if text.contains(&format!("\"{FORMAT}\"")) {
            return Classes::from_json(&text).map(|classes| AnyModel::Classes(Box::new(classes)));
        }
        Model::from_json(&text).map(|model| AnyModel::Score(Box::new(model)))
    }

    /// What it reads.
    pub fn inputs(&self) -> &[Input] {
        match self {
            AnyModel::Score(model) => model.inputs(),
            AnyModel::Classes(classes) => classes.inputs(),
        }
    }

    /// The hash of the artefact.
    pub fn hash(&self) -> String {
        match self {
            AnyModel::Score(model) => model.hash(),
            AnyModel::Classes(classes) => classes.hash(),
        }
    }

    /// The score of a row and, where there are classes, the one that it is of.
    ///
    /// # Panics
    /// If there are not as many values as inputs.
    pub fn say(&self, values: &[f64]) -> (i64, Option<&str>) {
        match self {
            AnyModel::Score(model) => (model.score(values), None),
            AnyModel::Classes(classes) => {
                let (class, score) = classes.class(values);
                (score, Some(&classes.names()[class]))
            }
        }
    }
}
