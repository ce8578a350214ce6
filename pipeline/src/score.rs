//! stub
use crate::event::*;
use crate::packet::referee::Finding;
use crate::sink::record::{DecisionBatch, Names};
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow,
}
impl Verdict {
    pub fn name(self) -> &'static str {
        "allow"
    }
}
#[derive(Default)]
pub struct Scorer {
    pub names: Names,
}
pub struct Decider;
impl Scorer {
    pub fn decider(&self) -> Decider {
        Decider
    }
    pub fn names(&self) -> &Names {
        &self.names
    }
}
impl Decider {
    pub fn decide(
        &mut self,
        _: Kind,
        _: &[Value<'_>],
        outcome: Option<Finding>,
        batch: &mut DecisionBatch,
    ) {
        batch.verdicts.push(Verdict::Allow);
        batch.scores.push(0);
        batch.rule_scores.push(0);
        batch.model_scores.push(NULL_INT);
        batch.hits.end();
        batch.shadow_hits.end();
        batch.evidence.end();
        batch.outcomes.push(outcome.map_or("", Finding::name));
    }
    pub fn not_evaluable(self) -> Vec<u64> {
        Vec::new()
    }
}
