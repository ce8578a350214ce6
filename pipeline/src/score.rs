//! From hits to decisions.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

pub use crate::decision::Verdict;
use crate::decision::{DecisionBatch, Evidence, Names};
use crate::diagnostic::Lang;
use crate::event::{Kind, NULL_INT, Value};
use crate::expr::NotEvaluable;
use crate::packet::referee::Finding;
use crate::rules::file::Status;
use crate::rules::policy::Bands;
use crate::rules::{Policy, Rule, RuleSet};

/// The largest score.
pub const SCORE_MAX: i64 = 1000;

/// The rules and the policy, laid out to decide.
pub struct Scorer {
    set: RuleSet,
    /// For each kind, the rules that run on it.
    by_kind: Vec<Vec<u16>>,
    /// For each rule, the values that it uses: place among the evidence names, and slot.
    evidence: Vec<Vec<(u16, u16)>>,
    names: Arc<Names>,
}

impl Scorer {
    /// Lays out the rules.
    pub fn new(set: RuleSet) -> Scorer {
        let by_kind = Kind::ALL
            .map(|kind| {
                let on = |(_, rule): &(usize, &Rule)| rule.file.on.contains(kind);
                set.running().filter(on).map(|(at, _)| at as u16).collect()
            })
            .to_vec();
        let mut evidence: Vec<String> = set
            .running()
            .flat_map(|(_, rule)| rule.uses.iter().map(|(name, ..)| name.clone()))
            .collect();
        evidence.sort();
        evidence.dedup();
        let place = |name: &String| evidence.binary_search(name).map_or(0, |at| at as u16);
        let uses =
            |rule: &Rule| rule.uses.iter().map(|(name, slot, _)| (place(name), slot.0)).collect();
        let by_rule = set.rules.iter().map(uses).collect();
        let names = Names {
            rules: set.rules.iter().map(|rule| (rule.file.id.clone(), rule.file.score)).collect(),
            rules_hash: set.hash.to_hex().to_string(),
            model_hash: String::new(),
            evidence,
        };
        Scorer { by_kind, evidence: by_rule, names: Arc::new(names), set }
    }

    /// What is the same in every decision.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// The rules.
    pub fn rules(&self) -> &RuleSet {
        &self.set
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.set.policy
    }

    /// What would be decided with other hits, which are told by `places`: the place of each rule
    /// among all rules of the run.
    pub fn redecider(&self, places: &[u16]) -> impl Fn(&[u16]) -> Verdict + Send + use<> {
        let last = places.iter().max().map_or(0, |last| usize::from(*last) + 1);
        // Nothing ever hits that has no rule here.
        let mut effects = vec![(0, Verdict::Allow, false); last];
        for (place, rule) in places.iter().zip(&self.set.rules) {
            effects[usize::from(*place)] = effect(rule);
        }
        let bands = self.set.policy.bands;
        move |hits| decide(hits.iter().map(|at| effects[usize::from(*at)]), &bands).0
    }

    /// A decider for one slice.
    pub(crate) fn decider(&self) -> Decider<'_> {
        Decider {
            scorer: self,
            hits: Vec::new(),
            shadow: Vec::new(),
            evidence: Vec::new(),
            reason: String::new(),
            not_evaluable: vec![0; self.set.rules.len()],
        }
    }
}

/// Decides row by row.
pub(crate) struct Decider<'s> {
    scorer: &'s Scorer,
    hits: Vec<u16>,
    shadow: Vec<u16>,
    evidence: Vec<(u16, u16)>,
    reason: String,
    not_evaluable: Vec<u64>,
}

impl Decider<'_> {
    /// Decides one transaction and appends the decision, which is returned too.
    pub(crate) fn decide(
        &mut self,
        kind: Kind,
        row: &[Value<'_>],
        outcome: Option<Finding>,
        batch: &mut DecisionBatch,
    ) -> Verdict {
        let scorer = self.scorer;
        self.hits.clear();
        self.shadow.clear();
        for &at in &scorer.by_kind[kind as usize] {
            let rule = &scorer.set.rules[usize::from(at)];
            match rule.program.test(row) {
                Ok(false) => {}
                Ok(true) if !rule.is_rolled_out(row) => {}
                Ok(true) if rule.file.status == Status::Live => self.hits.push(at),
                Ok(true) => self.shadow.push(at),
                Err(
                    NotEvaluable::Missing | NotEvaluable::Overflow | NotEvaluable::DivisionByZero,
                ) => {
                    self.not_evaluable[usize::from(at)] += 1;
                }
            }
        }
        let rules = &scorer.set.rules;
        self.hits.sort_by_key(|at| (-rules[usize::from(*at)].file.score, *at));
        let hits = self.hits.iter().map(|at| effect(&rules[usize::from(*at)]));
        let (verdict, score) = decide(hits, &scorer.set.policy.bands);
        batch.verdicts.push(verdict);
        batch.scores.push(score);
        batch.rule_scores.push(score);
        batch.model_scores.push(NULL_INT);
        for &at in &self.hits {
            batch.hits.push(at);
            self.reason.clear();
            let rule = &rules[usize::from(at)];
            rule.write_reason(row, scorer.policy().language, &mut self.reason);
            batch.reasons.push(&self.reason);
        }
        batch.hits.end();
        self.shadow.iter().for_each(|at| batch.shadow_hits.push(*at));
        batch.shadow_hits.end();
        self.push_evidence(row, batch);
        batch.outcomes.push(outcome.map_or("", Finding::name));
        verdict
    }

    /// For each rule, how often it could not be evaluated.
    pub(crate) fn not_evaluable(self) -> Vec<u64> {
        self.not_evaluable
    }

    fn push_evidence(&mut self, row: &[Value<'_>], batch: &mut DecisionBatch) {
        self.evidence.clear();
        for at in &self.hits {
            self.evidence.extend(&self.scorer.evidence[usize::from(*at)]);
        }
        self.evidence.sort_unstable();
        self.evidence.dedup();
        for &(name, slot) in &self.evidence {
            let value = match row[usize::from(slot)] {
                Value::Null => continue,
                Value::Int(value) => Evidence::Int(value),
                Value::Double(value) => Evidence::Double(value),
                Value::Bool(value) => Evidence::Bool(value),
                Value::Str(value) => Evidence::Str(value.into()),
            };
            batch.evidence.push((name, value));
        }
        batch.evidence.end();
    }
}

/// What a hit does: score, floor, and whether it allows.
fn effect(rule: &Rule) -> (i64, Verdict, bool) {
    (rule.file.score, rule.file.floor, rule.file.allows)
}

/// Decision and score of the live hits: the sum of their scores, clamped; the higher of its band
/// and the highest floor; but a rule that allows overrides all but a floor of block.
fn decide(hits: impl Iterator<Item = (i64, Verdict, bool)>, bands: &Bands) -> (Verdict, i64) {
    let (mut score, mut floor, mut allowed) = (0, Verdict::Allow, false);
    for (more, least, allows) in hits {
        score += more;
        floor = floor.max(least);
        allowed |= allows;
    }
    let score = score.min(SCORE_MAX);
    let band = match score {
        score if score >= bands.block => Verdict::Block,
        score if score >= bands.hold => Verdict::Hold,
        score if score >= bands.review => Verdict::Review,
        _ => Verdict::Allow,
    };
    match floor {
        Verdict::Block => (Verdict::Block, score),
        _ if allowed => (Verdict::Allow, score),
        floor => (band.max(floor), score),
    }
}

impl Rule {
    /// Appends the reason of a hit with the values of the row.
    fn write_reason(&self, row: &[Value<'_>], lang: Lang, out: &mut String) {
        let template = match lang {
            Lang::En => &self.reason,
            Lang::Zh => &self.reason_zh,
        };
        template.fill(row, lang, out);
    }

    /// The score and the decision to which a hit of this rule alone leads, or a miss.
    pub fn alone(&self, hit: bool, bands: &Bands) -> (i64, Verdict) {
        let (verdict, score) = decide(hit.then(|| effect(self)).into_iter(), bands);
        (score, verdict)
    }

    /// Whether the row is in the share for which the rule runs: the same values each time, and
    /// other values for each rule. A missing value is in no share but the whole.
    pub fn is_rolled_out(&self, row: &[Value<'_>]) -> bool {
        let Some((percent, slot)) = self.rollout else { return true };
        let value = match row[usize::from(slot.0)] {
            Value::Null => return percent == 100,
            Value::Int(value) => value.to_string(),
            Value::Double(value) => format!("{value:?}"),
            Value::Bool(value) => value.to_string(),
            Value::Str(value) => value.to_owned(),
        };
        let side = xxh3_64(format!("{}\n{value}", self.file.id).as_bytes()) % 100;
        (side as i64) < percent
    }
}

#[cfg(test)]
mod tests;
