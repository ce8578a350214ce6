//! Rules at work on values that are known already: decided and judged without the dataflow.

use std::sync::Arc;

use super::observer::{Observer, Places, judge};
use crate::job::Epoch;
use crate::judge::{Judgement, Labels};
use crate::rules::Loaded;
use crate::score::Scorer;
use crate::sink::Scored;
use crate::verdicts::Verdicts;

/// The rules of a directory, and what they come to.
pub(crate) struct Rescoring {
    scorer: Arc<Scorer>,
    observer: Observer,
}

impl Rescoring {
    /// Nothing is decided yet. Transactions before `judge_from` are not judged.
    pub(crate) fn new(loaded: Loaded, labels: Option<Labels>, judge_from: i64) -> Rescoring {
        let Loaded { rules, features, .. } = loaded;
        let verdicts = Verdicts::new(&rules.policy);
        let scorer = Arc::new(Scorer::new(rules));
        let epoch = Epoch { start: i64::MIN, features: Arc::new(features), scorer: scorer.clone() };
        let epochs = [epoch];
        let places = Arc::new(Places::new(&epochs));
        let judge = judge(&epochs, &places, labels, judge_from);
        Rescoring { observer: Observer::new(judge, &epochs, &places, verdicts), scorer }
    }

    /// What decides.
    pub(crate) fn scorer(&self) -> Arc<Scorer> {
        self.scorer.clone()
    }

    /// Takes the next decisions in total order, and raises them to the floors of enforced verdicts.
    pub(crate) fn observe(&mut self, scored: &mut Scored) {
        self.observer.observe(scored);
    }

    /// How good they were.
    pub(crate) fn finish(self) -> Judgement {
        self.observer.judge.finish()
    }
}
