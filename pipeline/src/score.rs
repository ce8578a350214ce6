//! From hits to decisions.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

pub use crate::decision::Verdict;
use crate::decision::{DecisionBatch, Evidence, Names};
use crate::diagnostic::Lang;
use crate::event::{Kind, NULL_INT, Value};
use crate::expr::NotEvaluable;
use crate::model::Bounds;
use crate::packet::referee::Finding;
use crate::rules::blend::ModelPolicy;
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
    models: Bounds,
}

/// What models say of a transaction; none where there is no such model, or it has no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opinion {
    /// The score of the model that decides with the rules.
    pub champion: Option<i64>,
    /// That of the one which is watched.
    pub challenger: Option<i64>,
}

impl Opinion {
    /// What models said of a decided transaction.
    pub(crate) fn recorded(batch: &DecisionBatch, at: usize) -> Opinion {
        let of = |scores: &[i64]| scores.get(at).copied().filter(|score| *score != NULL_INT);
        Opinion {
            champion: of(&batch.model_scores),
            challenger: of(&batch.challenger.model_scores),
        }
    }
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
            challenger_hash: String::new(),
            evidence,
        };
        let models = Bounds::default();
        Scorer { by_kind, evidence: by_rule, names: Arc::new(names), set, models }
    }

    /// The same with models, whose inputs are bound to the features that will be scored.
    pub fn with_models(mut self, models: Bounds) -> Scorer {
        let names = Arc::make_mut(&mut self.names);
        for (model, hash) in [
            (&models.champion, &mut names.model_hash),
            (&models.challenger, &mut names.challenger_hash),
        ] {
            *hash = model.as_ref().map_or_else(String::new, |one| one.artefact().hash().to_owned());
        }
        self.models = models;
        self
    }

    /// The models.
    pub fn models(&self) -> &Bounds {
        &self.models
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
    /// among all rules of the run; and with a model's score or without.
    pub fn redecider(
        &self,
        places: &[u16],
    ) -> impl Fn(&[u16], Option<i64>) -> Verdict + Send + use<> {
        let last = places.iter().max().map_or(0, |last| usize::from(*last) + 1);
        // Nothing ever hits that has no rule here.
        let mut effects = vec![(0, Verdict::Allow, false); last];
        for (place, rule) in places.iter().zip(&self.set.rules) {
            effects[usize::from(*place)] = effect(rule);
        }
        let way = Way::of(self.policy());
        move |hits, model| {
            decide(hits.iter().map(|at| effects[usize::from(*at)]), model, &way).verdict
        }
    }

    /// What the model alone would decide, and the score by which it would.
    pub fn model_alone(&self, model: Option<i64>) -> (Verdict, i64) {
        let score = self.policy().model.alone(model, &self.policy().bands);
        (band(score, &self.policy().bands), score)
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
        opinion: Opinion,
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
        let way = Way::of(scorer.policy());
        let Decided { verdict, score, rule_score } = decide(hits.clone(), opinion.champion, &way);
        batch.verdicts.push(verdict);
        batch.scores.push(score);
        batch.rule_scores.push(rule_score);
        batch.model_scores.push(opinion.champion.unwrap_or(NULL_INT));
        if scorer.models.challenger.is_some() {
            let Decided { verdict, score, .. } = decide(hits, opinion.challenger, &way);
            batch.challenger.verdicts.push(verdict);
            batch.challenger.scores.push(score);
            batch.challenger.model_scores.push(opinion.challenger.unwrap_or(NULL_INT));
        }
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

/// How a score becomes a decision.
struct Way {
    bands: Bands,
    model: ModelPolicy,
}

impl Way {
    fn of(policy: &Policy) -> Way {
        Way { bands: policy.bands, model: policy.model }
    }
}

/// A decision with the scores that led to it.
struct Decided {
    verdict: Verdict,
    score: i64,
    rule_score: i64,
}

/// Decision and score of the live hits and a model: the sum of the hits' scores, clamped, blended
/// with the model's; the higher of its band and the highest floor; but a rule that allows overrides
/// all, the model too, but for a floor of block.
fn decide(
    hits: impl Iterator<Item = (i64, Verdict, bool)>,
    model: Option<i64>,
    way: &Way,
) -> Decided {
    let (mut sum, mut floor, mut allowed) = (0, Verdict::Allow, false);
    for (more, least, allows) in hits {
        sum += more;
        floor = floor.max(least);
        allowed |= allows;
    }
    let rule_score = sum.min(SCORE_MAX);
    let score = way.model.blend(rule_score, model, &way.bands);
    let verdict = match floor {
        Verdict::Block => Verdict::Block,
        _ if allowed => Verdict::Allow,
        floor => band(score, &way.bands).max(floor),
    };
    Decided { verdict, score, rule_score }
}

fn band(score: i64, bands: &Bands) -> Verdict {
    match score {
        score if score >= bands.block => Verdict::Block,
        score if score >= bands.hold => Verdict::Hold,
        score if score >= bands.review => Verdict::Review,
        _ => Verdict::Allow,
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
        let way = Way { bands: *bands, model: ModelPolicy::default() };
        let decided = decide(hit.then(|| effect(self)).into_iter(), None, &way);
        (decided.score, decided.verdict)
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
