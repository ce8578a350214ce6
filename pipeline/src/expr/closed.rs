//! Comparisons with what a value can never be: `kind == 'clam'`, `hour(event_time) == 24`. They are
//! slips, and would make a rule that never hits.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

use super::ast::{Ast, Node, Operator};
use super::check::Checker;
use super::eval::{Compare, Int, Typed};
use super::{Constant, Environment, Param};
use crate::diagnostic::{Message, did_you_mean_hint};

/// The texts that an expression can give, where they are a closed set.
pub fn texts(ast: &Ast, environment: &Environment<'_>) -> Option<BTreeSet<String>> {
    let both = |one: &Ast, other: &Ast| {
        let mut all = texts(one, environment)?;
        all.extend(texts(other, environment)?);
        Some(all)
    };
    match &ast.node {
        Node::Str(text) => Some(BTreeSet::from([text.clone()])),
        Node::Name(name) => match environment.params.get(name) {
            Some(param) => Some(texts_of(param).map(str::to_owned).collect()),
            None if environment.conditions.contains_key(name) => None,
            None => Some(environment.names.values(name)?.into_iter().collect()),
        },
        Node::If(_, yes, no) => both(yes, no),
        Node::Binary(Operator::Otherwise, first, second) => both(first, second),
        _ => None,
    }
}

/// What is said of a text that `side` can never be, and what may be meant.
pub fn never(side: &str, text: &str, known: &[&str]) -> (Message, Option<Message>) {
    let listed = known.join(", ");
    let message = Message::new(
        format!("`{side}` is never `{text}`: it is one of {listed}"),
        format!("`{side}` 不可能为 `{text}`,只能是 {listed} 之一"),
    );
    (message, did_you_mean_hint(text, known.iter().copied()))
}

/// The texts among a parameter's values.
fn texts_of(param: &Param) -> impl Iterator<Item = &str> {
    let others = param.by.iter().flat_map(|(_, values)| values.iter().map(|(_, value)| value));
    std::iter::once(&param.default).chain(others).filter_map(|value| match value {
        Constant::Str(text) => Some(text.as_str()),
        _ => None,
    })
}

impl Checker<'_> {
    /// Notes each text that `constant` stands for, a literal or a parameter, and that `side` can
    /// never be.
    pub(super) fn refuse_texts(&mut self, side: &Ast, constant: &Ast) -> Option<()> {
        let environment = self.environment;
        let of_param = |ast: &Ast| match &ast.node {
            Node::Name(name) => environment.params.get(name),
            _ => None,
        };
        if matches!(side.node, Node::Str(_)) || of_param(side).is_some() {
            return Some(());
        }
        let wanted: Vec<&str> = match (&constant.node, of_param(constant)) {
            (Node::Str(text), _) => vec![text],
            (_, Some(param)) => texts_of(param).collect(),
            _ => return Some(()),
        };
        let Some(known) = texts(side, environment).filter(|_| !wanted.is_empty()) else {
            return Some(());
        };
        let mut fine = Some(());
        for text in wanted.into_iter().filter(|text| !known.contains(*text)) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let (message, hint) = never(&side.canonical(), text, &known);
            self.fail("unknown-value", &constant.span, message, hint);
            fine = None;
        }
        fine
    }

    /// Notes a number that the hour or the weekday, which `side` is, can never be, or with which it
    /// always or never compares so. One beyond the ends is no slip: `hour(event_time) < 24`.
    pub(super) fn refuse_clock(
        &mut self,
        compare: Compare,
        (side, constant): (&Typed, &Typed),
        span: &Range<usize>,
    ) -> Option<()> {
        let Typed::Int(Int::Constant(value)) = *constant else { return Some(()) };
        let (bounds, en, zh): (RangeInclusive<i64>, _, _) = match side {
            Typed::Int(Int::Hour(..)) => (0..=23, "an hour is 0 to 23", "小时为 0 至 23"),
            Typed::Int(Int::Weekday(..)) => {
                (1..=7, "a weekday is 1 (Monday) to 7 (Sunday)", "星期为 1(星期一)至 7(星期日)")
            }
            _ => return Some(()),
        };
        let (least, most) = (*bounds.start(), *bounds.end());
        let (said, said_zh) = match compare {
            Compare::Equal | Compare::NotEqual if !bounds.contains(&value) => {
                (format!("never {value}"), format!("不会是 {value}"))
            }
            Compare::Equal | Compare::NotEqual => return Some(()),
            _ if bounds.clone().all(|one| !compare.holds(one, value)) => {
                ("so this is never true".to_owned(), "因此该比较永不成立".to_owned())
            }
            _ if (least - 1..=most + 1).contains(&value) => return Some(()),
            _ => ("so this is always true".to_owned(), "因此该比较恒成立".to_owned()),
        };
        let message = Message::new(format!("{en}, {said}"), format!("{zh},{said_zh}"));
        self.fail("unknown-value", span, message, None).map(|_| ())
    }
}
