//! What a rule did on an event, held against what a test expects.

use super::report::Difference;
use crate::decision::Verdict;
use crate::diagnostic::Message;
use crate::event::Value;
use crate::expr::{NotEvaluable, Program, Shortfall};
use crate::rules::Rule;
use crate::rules::policy::Bands;
use crate::rules::timeline::Expectation;

/// What a rule alone did on one transaction of a timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Whether it hit.
    pub hit: bool,
    /// Whether its condition had a value.
    pub evaluable: bool,
    /// The score to which it led.
    pub score: i64,
    /// The decision to which it led.
    pub decision: Verdict,
    /// How far a miss was from a hit, where one number says it.
    pub shortfall: Option<Shortfall>,
    /// The values that it saw: a line each.
    pub used: String,
    /// Why its condition had no value, where it had none; of a mutant the names are not told.
    pub why: Option<Message>,
}

impl Observed {
    /// What `rule` does on a row of values, of an event of a kind that it looks at.
    pub fn new(rule: &Rule, row: &[Value<'_>], bands: &Bands) -> Observed {
        let (used, why) = (used(rule, row), why(rule, row));
        Observed { used, why, ..Observed::with(&rule.program, rule, row, bands) }
    }

    /// The same with another condition, and without the values that it saw.
    pub fn with(program: &Program, rule: &Rule, row: &[Value<'_>], bands: &Bands) -> Observed {
        let result = program.test(row);
        let hit = result == Ok(true);
        let (score, decision) = rule.alone(hit, bands);
        Observed {
            hit,
            evaluable: result.is_ok(),
            score,
            decision,
            shortfall: program.shortfall(row).filter(|_| !hit),
            used: String::new(),
            why: None,
        }
    }
}

/// What differs between what is expected of an event and what was seen, if anything does.
pub(super) fn difference(expected: &Expectation, seen: Option<&Observed>) -> Option<Difference> {
    let event = &expected.event;
    let Some(seen) = seen else {
        let message =
            Message::new(format!("`{event}` got no decision"), format!("`{event}` 没有得到决策"));
        return Some(Difference { span: expected.span.clone(), message, used: String::new() });
    };
    let mut wrong = Vec::new();
    if expected.hit != seen.hit || expected.evaluable.is_none() && !seen.evaluable {
        wrong.push(hit(seen));
    }
    if let Some(score) = expected.score.filter(|score| *score != seen.score) {
        let found = seen.score;
        wrong.push((
            format!("the score is {found}, not {score}"),
            format!("分数为 {found},而不是 {score}"),
        ));
    }
    if let Some(decision) = expected.decision.filter(|decision| *decision != seen.decision) {
        let (found, wanted) = (seen.decision.name(), decision.name());
        wrong.push((
            format!("the decision is {found}, not {wanted}"),
            format!("决策为 {found},而不是 {wanted}"),
        ));
    }
    if expected.evaluable.is_some_and(|evaluable| evaluable != seen.evaluable) {
        wrong.push(match seen.evaluable {
            true => ("it is evaluable".to_owned(), "规则可以求值".to_owned()),
            false => ("it is not evaluable".to_owned(), "规则无法求值".to_owned()),
        });
    }
    if let Some(wanted) = &expected.short_by {
        // A distance is compared as it is shown: what a person cannot tell apart is the same.
        let found = seen.shortfall.map(|short| short.to_string());
        if found != Some(wanted.to_string()) && expected.hit == seen.hit {
            wrong.push(distance(wanted, found));
        }
    }
    if wrong.is_empty() {
        return None;
    }
    let (en, zh): (Vec<String>, Vec<String>) = wrong.into_iter().unzip();
    let message = Message::new(
        format!("`{event}` is not as expected: {}", en.join("; ")),
        format!("`{event}` 与预期不符:{}", zh.join(";")),
    );
    Some(Difference { span: expected.span.clone(), message, used: seen.used.clone() })
}

fn hit(seen: &Observed) -> (String, String) {
    match (seen.hit, seen.evaluable, seen.shortfall) {
        (true, ..) => ("it hits".to_owned(), "规则命中".to_owned()),
        (_, false, _) => {
            let why = seen
                .why
                .clone()
                .unwrap_or_else(|| Message::new("because a value is missing", "因为缺少某个值"));
            (
                format!(
                    "it is not evaluable, which is no miss, {}; give the value, or expect \
                     `evaluable = false`",
                    why.en
                ),
                format!(
                    "规则无法求值(不等于未命中),{};请给出该值,或写明 evaluable = false",
                    why.zh
                ),
            )
        }
        (.., Some(short)) => {
            (format!("it misses, short by {short}"), format!("规则未命中,差 {short}"))
        }
        (.., None) => ("it misses".to_owned(), "规则未命中".to_owned()),
    }
}

fn distance(wanted: &Shortfall, found: Option<String>) -> (String, String) {
    match found {
        Some(found) => (
            format!("it is short by {found}, not {wanted}"),
            format!("差距为 {found},而不是 {wanted}"),
        ),
        None => (
            "no one number says how far it is from a hit".to_owned(),
            "无法用一个数说明与命中的差距".to_owned(),
        ),
    }
}

/// Why a rule's condition has no value for a row: what is missing of what it reads.
fn why(rule: &Rule, row: &[Value<'_>]) -> Option<Message> {
    let missing = match rule.program.test(row) {
        Ok(_) => return None,
        Err(NotEvaluable::Missing) => {
            let read = rule.program.slots();
            let missing = rule.uses.iter().filter(|(_, slot, _)| {
                read.contains(slot) && row[usize::from(slot.0)] == Value::Null
            });
            missing.map(|(name, ..)| format!("`{name}`")).collect::<Vec<_>>()
        }
        Err(NotEvaluable::Overflow) => {
            return Some(Message::new("because a number does not fit", "因为数值溢出"));
        }
        Err(NotEvaluable::DivisionByZero) => {
            return Some(Message::new("because it divides by zero", "因为除数为零"));
        }
    };
    let (en, zh) = match missing.as_slice() {
        [] => return None,
        [one] => (format!("because {one} is missing"), one.clone()),
        more => (format!("because of {} some are missing", more.join(", ")), more.join("、")),
    };
    Some(Message::new(en, format!("因为缺少 {zh}")))
}

fn used(rule: &Rule, row: &[Value<'_>]) -> String {
    let line = |(name, slot, _): &(String, crate::expr::Slot, crate::event::Type)| {
        let value = match row[usize::from(slot.0)] {
            Value::Null => "null".to_owned(),
            Value::Int(value) => value.to_string(),
            Value::Double(value) => format!("{value:?}"),
            Value::Bool(value) => value.to_string(),
            Value::Str(value) => format!("{value:?}"),
        };
        format!("{name} = {value}")
    };
    rule.uses.iter().map(line).collect::<Vec<_>>().join("\n")
}
