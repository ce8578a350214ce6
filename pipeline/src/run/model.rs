//! The models of a run: where they are, and what a report says of them.

use std::path::PathBuf;
use std::sync::Arc;

use models::judge::Figure;
use models::{ModelKind, Scale};

use crate::diagnostic::Failure;
use crate::model::{Artefact, Artefacts};
use crate::report::{ModelFact, TrainingFact, TrainingPart};
use crate::rules::blend::ModelPolicy;

/// Inputs that a report names, the most important first.
const INPUTS_NAMED: usize = 5;

/// Where models are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelPaths {
    /// The one that decides with the rules.
    pub champion: Option<PathBuf>,
    /// One that is watched beside it; only with a champion.
    pub challenger: Option<PathBuf>,
}

impl ModelPaths {
    /// Reads them.
    ///
    /// # Errors
    /// When one cannot be used.
    pub fn load(&self) -> Result<Artefacts, Failure> {
        let load = |path: &Option<PathBuf>| -> Result<_, Failure> {
            let loaded = path.as_ref().map(|path| Artefact::load(path).map(Arc::new));
            loaded.transpose()
        };
        Ok(Artefacts { champion: load(&self.champion)?, challenger: load(&self.challenger)? })
    }
}

/// What a report says of a model whose score counts as a policy says.
pub(super) fn fact(artefact: &Artefact, policy: ModelPolicy) -> ModelFact {
    let trained = artefact.trained();
    ModelFact {
        path: artefact.path().display().to_string(),
        hash: artefact.hash().to_owned(),
        name: trained.map_or_else(String::new, |model| model.name().to_owned()),
        kind: trained.map_or("onnx", |model| kind_name(model.kind())).to_owned(),
        scale: match artefact.scale() {
            Scale::Probability => "probability",
            Scale::LogOdds => "log_odds",
            Scale::Anomaly => "anomaly",
        }
        .to_owned(),
        inputs: artefact.inputs() as u64,
        blend: policy.blend.name().to_owned(),
        weight: policy.weight,
        at_least: policy.at_least,
        at_least_per_mille: artefact.scale().probability_of(policy.at_least).map(per_mille),
        training: trained.and_then(|model| model.training()).map(|facts| {
            let part = |part: &models::PartFacts| TrainingPart {
                name: part.name.clone(),
                rows: part.rows as u64,
                fraud: part.positive as u64,
                first: part.first,
                last: part.last,
            };
            let judged = &facts.judgement;
            let important = judged.importances.iter().take(INPUTS_NAMED);
            TrainingFact {
                data: facts.data.clone(),
                parts: facts.split.parts.iter().map(part).collect(),
                auc: judged.auc.map(thousandths),
                average_precision: judged.average_precision.map(thousandths),
                important: important.map(|one| one.input.clone()).collect(),
            }
        }),
    }
}

/// A figure with the ends of its interval, in thousandths.
fn thousandths(figure: Figure) -> [i64; 3] {
    [figure.value, figure.low, figure.high].map(per_mille)
}

fn per_mille(value: f64) -> i64 {
    (value * 1000.0).round() as i64
}

fn kind_name(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::Logistic => "logistic",
        ModelKind::Tree => "tree",
        ModelKind::Forest => "forest",
        ModelKind::Boosting => "boosting",
        ModelKind::Isolation => "isolation",
    }
}
