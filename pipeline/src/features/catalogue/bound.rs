//! Models among the features are held to the definitions of what they read.

use super::{Catalogue, Features, problem};
use crate::diagnostic::{Diagnostic, Message};
use crate::features::declare::Body;
use crate::features::learnt::{Learnt, kind};

impl Catalogue {
    /// What the models of declared features cannot read as it is computed now.
    pub(super) fn learnt_differ(&self, features: &Features) -> Vec<Diagnostic> {
        if !self.settled {
            return Vec::new();
        }
        let differ = |declaration: &super::Declaration| {
            let Body::Learnt { learnt, span } = &declaration.body else { return None };
            let names = differing(learnt, features);
            (!names.is_empty()).then(|| self.says_of_model(span.clone(), OTHERWISE, &names))
        };
        self.declarations.iter().filter_map(differ).collect()
    }

    pub(super) fn says_of_model(
        &self,
        span: std::ops::Range<usize>,
        (code, en, zh): (&'static str, &str, &str),
        names: &[String],
    ) -> Diagnostic {
        let (list, list_zh) = (names.join(", "), names.join("、"));
        let message = Message { en: format!("{en}: {list}"), zh: format!("{zh}:{list_zh}") };
        let hint = Message::new(
            "train it again on a run with these rules, or bring back what it was trained on",
            "请用这些规则的运行重新训练,或恢复训练时的定义",
        );
        problem(code, &self.file, span, message, Some(hint))
    }
}

const OTHERWISE: (&str, &str, &str) = (
    "model-input-differs",
    "the model cannot read what is computed otherwise than when it was trained, or hangs on earlier \
     decisions",
    "模型无法读取与训练时定义不同、或依赖先前决策的特征",
);

/// The inputs that are of another type or definition than in training, or hang on decisions.
fn differing(learnt: &Learnt, features: &Features) -> Vec<String> {
    let inputs = learnt.model.inputs().iter();
    let differs = |input: &&models::Input| {
        features.definition(&input.name).is_none_or(|held| {
            held.of_decisions
                || kind(held.kind) != Some(input.kind)
                || (!input.definition.is_empty() && input.definition != held.hash)
        })
    };
    inputs.filter(differs).map(|input| input.name.clone()).collect()
}
