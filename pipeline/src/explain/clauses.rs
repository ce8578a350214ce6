//! A rule's condition on one transaction: which clauses were met, by which values.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::diagnostic::Lang;
use crate::event::Value;
use crate::expr::{self, Ast, Clause, Constant, Environment, Join, Param, Shortfall, Unit, Zone};
use crate::rules::{Loaded, Rule, write_value};

/// What is lacking where any change at all would do.
const LACKING_LEAST: f64 = 1e-9;

/// Whether a clause is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It is.
    Met,
    /// It is not.
    Unmet,
    /// A value that it needs is missing, or does not fit.
    NotEvaluable,
}

/// A clause of a condition on one transaction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    /// What it says, in the one normal spelling.
    pub text: String,
    /// How its parts make up its outcome: `all`, `any`, `not`, or the name of a condition; none
    /// where it has no parts.
    pub join: Option<String>,
    /// Whether it is met.
    pub truth: Truth,
    /// By how much one number would have to change to meet it, where that alone is lacking.
    pub short_by: Option<String>,
    /// How much is lacking: 0 where it is met, 1 a clause that is wholly unmet.
    pub lacking: f64,
    /// The values that it saw.
    pub operands: Vec<Operand>,
    /// Its parts.
    pub parts: Vec<Told>,
}

/// A value that a clause saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operand {
    /// The field, feature or parameter, or an expression of them.
    pub name: String,
    /// The value as it is computed with: money in fen, durations in ms; null where it is missing.
    pub value: serde_json::Value,
    /// The value as a person reads it.
    pub shown: String,
    /// `value` (a field or feature), `param` or `computed`.
    pub what: &'static str,
    /// For a parameter that differs by a field: the field, and its value where that decided.
    pub by: Option<String>,
    /// What it measures, in the language of the explanation.
    pub meaning: String,
}

/// The values of a transaction, and what conditions are compiled with.
pub(super) struct Bench<'b> {
    pub(super) loaded: &'b Loaded,
    /// By slot.
    pub(super) row: Vec<Value<'b>>,
    pub(super) lang: Lang,
    pub(super) zone: &'b Zone,
}

impl Bench<'_> {
    /// A rule's condition on the transaction; none where the rule has no condition, which no rule
    /// that was loaded has.
    pub(super) fn tell(&self, rule: &Rule) -> Option<Told> {
        let (_, ast) = rule.file.when.as_ref()?;
        let clause = ast.clauses(&self.loaded.vocabulary.conditions);
        let params = &rule.file.params.values;
        Some(self.clause(&clause, params, &self.loaded.environment(params)))
    }

    fn clause(
        &self,
        clause: &Clause,
        params: &BTreeMap<String, Param>,
        environment: &Environment<'_>,
    ) -> Told {
        let (truth, short) = self.outcome(&clause.ast, environment);
        // Names that parts have are shown there.
        let operands = match clause.parts.is_empty() {
            true => self.operands(&clause.ast, params, environment),
            false => Vec::new(),
        };
        let parts: Vec<Told> =
            clause.parts.iter().map(|part| self.clause(part, params, environment)).collect();
        let lacking = match (truth, &clause.join) {
            (Truth::Met, _) => 0.0,
            (_, Join::All) => parts.iter().map(|part| part.lacking).sum(),
            (_, Join::Any) => parts.iter().map(|part| part.lacking).fold(f64::INFINITY, f64::min),
            (_, Join::Named(_)) => parts.iter().map(|part| part.lacking).sum(),
            (_, Join::Not) => 1.0,
            (_, Join::None) => self.lacking(&clause.ast, environment),
        };
        let join = match &clause.join {
            Join::All => Some("all".to_owned()),
            Join::Any => Some("any".to_owned()),
            Join::Not => Some("not".to_owned()),
            Join::Named(name) => Some(name.clone()),
            Join::None => None,
        };
        let short_by = short.map(|short| short.to_string());
        let text = clause.ast.canonical();
        Told { text, join, truth, short_by, lacking, operands, parts }
    }

    fn outcome(&self, ast: &Ast, environment: &Environment<'_>) -> (Truth, Option<Shortfall>) {
        let Ok(program) = expr::compile(ast, environment) else {
            return (Truth::NotEvaluable, None);
        };
        match program.test(&self.row) {
            Ok(true) => (Truth::Met, None),
            Ok(false) => (Truth::Unmet, program.shortfall(&self.row)),
            Err(_) => (Truth::NotEvaluable, program.shortfall(&self.row)),
        }
    }

    /// How much of a single clause is lacking: of a comparison of numbers, the part of the larger
    /// side by which the sides are apart, from 0 to 1; of anything else, all.
    fn lacking(&self, ast: &Ast, environment: &Environment<'_>) -> f64 {
        let number = |side: &Ast| match self.value(side, environment)? {
            (Constant::Int(value), _) => Some(value as f64),
            (Constant::Double(value), _) => Some(value),
            _ => None,
        };
        let Some((left, right)) = ast.sides() else { return 1.0 };
        let (Some(left), Some(right)) = (number(left), number(right)) else { return 1.0 };
        let larger = left.abs().max(right.abs());
        if larger == 0.0 {
            return 1.0;
        }
        // Of `a > b` with equal sides hardly anything is lacking, and not nothing.
        ((left - right).abs() / larger).clamp(LACKING_LEAST, 1.0)
    }

    fn value(&self, ast: &Ast, environment: &Environment<'_>) -> Option<(Constant, Unit)> {
        let (program, unit) = expr::compile_with_unit(ast, environment).ok()?;
        let value = program.value(&self.row).ok()?;
        Some((Constant::of(value)?, unit))
    }

    /// What a clause without parts saw: the names in it, and the sides of a comparison that are more
    /// than a name.
    fn operands(
        &self,
        ast: &Ast,
        params: &BTreeMap<String, Param>,
        environment: &Environment<'_>,
    ) -> Vec<Operand> {
        let mut operands = Vec::new();
        for name in ast.names() {
            // The moment at which a list is asked is the transaction's own.
            if name == "event_time" && !ast.canonical().contains("event_time") {
                continue;
            }
            operands.push(self.named(&name, params, environment));
        }
        let sides = ast.sides().into_iter().flat_map(|(left, right)| [left, right]);
        for side in sides.filter(|side| side.as_name().is_none() && !side.is_literal()) {
            let text = side.canonical();
            let value = self.value(side, environment);
            operands.push(self.operand(&text, value, "computed", None));
        }
        operands
    }

    fn named(
        &self,
        name: &str,
        params: &BTreeMap<String, Param>,
        environment: &Environment<'_>,
    ) -> Operand {
        let value = expr::parse(name).ok().and_then(|ast| self.value(&ast, environment));
        let Some(param) = params.get(name) else {
            return self.operand(name, value, "value", None);
        };
        let by = param.by.as_ref().map(|(field, cases)| {
            let held = expr::parse(field).ok().and_then(|ast| self.value(&ast, environment));
            let held = held.map(|(held, _)| plain(&held));
            match held.filter(|held| cases.iter().any(|(case, _)| case == held)) {
                Some(held) => format!("{field} = {held}"),
                None => field.clone(),
            }
        });
        self.operand(name, value, "param", by)
    }

    pub(super) fn operand(
        &self,
        name: &str,
        value: Option<(Constant, Unit)>,
        what: &'static str,
        by: Option<String>,
    ) -> Operand {
        let entry = self.loaded.catalogue.entries().get(name);
        let meaning = entry.map(|entry| match self.lang {
            Lang::En => entry.doc.clone(),
            Lang::Zh => entry.doc_zh.clone(),
        });
        let moment = entry.is_some_and(|entry| entry.unit == "ms since 1970 UTC");
        let shown = match &value {
            None => match self.lang {
                Lang::En => "missing".to_owned(),
                Lang::Zh => "缺失".to_owned(),
            },
            Some((Constant::Int(time), _)) if moment => self.zone.moment(*time),
            Some((value, unit)) => {
                let mut shown = String::new();
                write_value(value.value(), *unit, self.lang, &mut shown);
                shown
            }
        };
        Operand {
            name: name.to_owned(),
            value: value.as_ref().map_or(serde_json::Value::Null, |(value, _)| json(value)),
            shown,
            what,
            by,
            meaning: meaning.unwrap_or_default(),
        }
    }
}

impl Told {
    /// The names without a value in the clauses that could not be evaluated.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.gather_missing(&mut names);
        names.sort();
        names.dedup();
        names
    }

    fn gather_missing(&self, names: &mut Vec<String>) {
        if self.truth != Truth::NotEvaluable {
            return;
        }
        let missing = self.operands.iter().filter(|one| one.value.is_null() && one.what == "value");
        names.extend(missing.map(|one| one.name.clone()));
        self.parts.iter().for_each(|part| part.gather_missing(names));
    }
}

/// A value as JSON.
pub(super) fn json(value: &Constant) -> serde_json::Value {
    match value {
        Constant::Int(value) => (*value).into(),
        Constant::Double(value) => (*value).into(),
        Constant::Bool(value) => (*value).into(),
        Constant::Str(value) => value.clone().into(),
    }
}

/// A value as it stands as a key of `params.by`.
fn plain(value: &Constant) -> String {
    match value {
        Constant::Int(value) => value.to_string(),
        Constant::Double(value) => value.to_string(),
        Constant::Bool(value) => value.to_string(),
        Constant::Str(value) => value.clone(),
    }
}
