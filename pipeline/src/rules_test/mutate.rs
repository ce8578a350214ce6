//! `rules test --mutate`: whether the tests of a rule would notice a slip in it.
//!
//! Each small change of a rule (a comparison with another edge or sense, `&&` for `||`, a clause
//! left out, a parameter or number one unit to the side) makes a *mutant*. One that passes all tests
//! of its rule survives: whoever made that slip would not be told. Features are as of the rules as
//! they are, so the timelines run once, and what a mutant does on them is a matter of microseconds.
//! For the same reason a feature that depends on decisions (`funds.payer.cycle4_24h`) does not see
//! those of a mutant.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::expect::{self, Observed};
use super::mutate_report::{MutantsOf, Mutations};
use super::{Bench, Report, Seen};
use crate::diagnostic::{Failure, Message, Sources};
use crate::document::span_within;
use crate::event::Schema;
use crate::expr::{self, Change, Constant, Param, Program, Unit, neighbours};
use crate::rules::{Rule, write_value};

/// A change of a rule that none of its tests notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Where what was changed stands in the rule's file, in bytes.
    pub span: Range<usize>,
    /// What was changed.
    pub change: Message,
    /// The test that would notice.
    pub hint: Message,
}

/// Mutates every rule of a directory; first come its tests as they are: where one fails, nothing is
/// mutated.
pub fn mutate(
    directory: &Path,
    schema: &Arc<Schema>,
) -> Result<(Report, Option<Mutations>, Sources), Failure> {
    let (bench, sources) = Bench::load(directory, schema)?;
    let watched = bench.watch_all()?;
    let report = bench.report(&watched);
    if report.failed() > 0 {
        return Ok((report, None, sources));
    }
    let rules = bench.rules().rules.iter().zip(&watched);
    let of = rules.map(|(rule, tests)| bench.mutate(rule, tests, &sources)).collect();
    Ok((report, Some(Mutations { of }), sources))
}

impl Bench {
    fn mutate(&self, rule: &Rule, tests: &[Vec<Seen>], sources: &Sources) -> MutantsOf {
        let mut found = MutantsOf {
            rule: rule.file.id.clone(),
            file: rule.file.path.clone(),
            mutants: 0,
            survivors: Vec::new(),
        };
        let mut add = |program: Option<Program>, survivor: &dyn Fn() -> Survivor| {
            // What does not compile is a slip that the check notices.
            let Some(program) = program else { return };
            found.mutants += 1;
            if !self.is_noticed(rule, tests, &program) {
                found.survivors.push(survivor());
            }
        };
        let Some((text, ast)) = &rule.file.when else { return found };
        let params = &rule.file.params.values;
        let environment = self.vocabulary.environment(&self.catalogue, params);
        let source = sources.get(&rule.file.path).unwrap_or("");
        for mutant in ast.mutants() {
            let program = expr::compile(&mutant.ast, &environment).ok();
            add(program, &|| Survivor {
                span: span_within(source, &text.span(), &mutant.span),
                change: told(&mutant.change),
                hint: hint(&mutant.change),
            });
        }
        // One that only a reason shows changes no decision.
        let used = ast.names();
        for (name, param) in params.iter().filter(|(name, _)| used.contains(*name)) {
            for (case, changed, now, then) in changes(param) {
                let mut params = params.clone();
                params.insert(name.clone(), changed);
                let environment = self.vocabulary.environment(&self.catalogue, &params);
                let program = expr::compile(ast, &environment).ok();
                add(program, &|| {
                    let span = rule.file.params.spans.get(name).cloned().unwrap_or(0..0);
                    let (change, hint) = of_param(name, case.as_deref(), &now, &then);
                    Survivor { span, change, hint }
                });
            }
        }
        found.survivors.sort_by_key(|one| one.span.start);
        found
    }

    /// Whether some test of the rule fails with this condition in place of its own.
    fn is_noticed(&self, rule: &Rule, tests: &[Vec<Seen>], program: &Program) -> bool {
        let bands = &self.rules().policy.bands;
        let expected = rule.file.tests.iter().flat_map(|test| &test.expect);
        expected.zip(tests.iter().flatten()).any(|(expected, seen)| {
            let observed =
                seen.as_ref().map(|row| Observed::with(program, rule, &row.values(), bands));
            expect::difference(expected, observed.as_ref()).is_some()
        })
    }
}

/// Every neighbour of a parameter: the value of its field for which it holds, the parameter with it,
/// and the values as a person reads them, before and after.
fn changes(param: &Param) -> Vec<(Option<String>, Param, String, String)> {
    let mut changes = Vec::new();
    for value in neighbours(&param.default, param.unit) {
        let (now, then) = (shown(&param.default, param.unit), shown(&value, param.unit));
        changes.push((None, Param { default: value, ..param.clone() }, now, then));
    }
    let Some((field, cases)) = &param.by else { return changes };
    for (at, (case, held)) in cases.iter().enumerate() {
        for value in neighbours(held, param.unit) {
            let (now, then) = (shown(held, param.unit), shown(&value, param.unit));
            let mut cases = cases.clone();
            cases[at].1 = value;
            let changed = Param { by: Some((field.clone(), cases)), ..param.clone() };
            changes.push((Some(format!("{field} = {case}")), changed, now, then));
        }
    }
    changes
}

fn shown(value: &Constant, unit: Unit) -> String {
    if let Constant::Double(value) = value {
        return value.to_string();
    }
    let mut text = String::new();
    write_value(value.value(), unit, crate::diagnostic::Lang::En, &mut text);
    text
}

fn of_param(name: &str, case: Option<&str>, now: &str, then: &str) -> (Message, Message) {
    let (en, zh) = match case {
        Some(case) => (format!(" for {case}"), format!("（{case}）")),
        None => (String::new(), String::new()),
    };
    let change = Message::new(
        format!("`{name}`{en} may be {then} instead of {now}, and no test notices"),
        format!("`{name}`{zh}由 {now} 改为 {then},没有测试发现"),
    );
    let hint = Message::new(
        format!("test what is compared with `{name}` at exactly {now} and one unit beside it"),
        format!("请测试与 `{name}` 比较的值恰为 {now} 及相差一个单位的情形"),
    );
    (change, hint)
}

fn told(change: &Change) -> Message {
    let (en, zh) = match change {
        Change::Compare { left, from, to, right } => (
            format!("`{left} {from} {right}` may be `{left} {to} {right}`"),
            format!("`{left} {from} {right}` 改为 `{left} {to} {right}`"),
        ),
        Change::Join { left, from, to, right } => (
            format!("`{left} {from} {right}` may be `{left} {to} {right}`"),
            format!("`{left} {from} {right}` 改为 `{left} {to} {right}`"),
        ),
        Change::Dropped { clause, .. } => {
            (format!("`{clause}` may be left out"), format!("去掉 `{clause}`"))
        }
        Change::Affirmed { clause } => {
            (format!("`!` before `{clause}` may be left out"), format!("去掉 `{clause}` 前的 `!`"))
        }
        Change::NoDefault { clause } => (
            format!("the default in `{clause}` may be left out"),
            format!("去掉 `{clause}` 的默认值"),
        ),
        Change::Number { from, to } => {
            (format!("`{from}` may be `{to}`"), format!("`{from}` 改为 `{to}`"))
        }
    };
    Message::new(format!("{en}, and no test notices"), format!("{zh},没有测试发现"))
}

/// The test that is missing.
fn hint(change: &Change) -> Message {
    match change {
        Change::Compare { left, from, right, .. } => {
            let met = matches!(*from, ">=" | "<=" | "==");
            Message::new(
                format!("test `{left}` at exactly `{right}`, where this clause is {}", truth(met)),
                format!("请测试 `{left}` 恰等于 `{right}` 的情形（该条件为{}）", truth_zh(met)),
            )
        }
        Change::Join { left, from: "&&", right, .. } => Message::new(
            format!("test a miss where of `{left}` and `{right}` one is met and all else is"),
            format!("请测试 `{left}` 与 `{right}` 只满足其一、其余条件均满足时不命中"),
        ),
        Change::Join { left, right, .. } => Message::new(
            format!("test a hit where of `{left}` and `{right}` only one is met"),
            format!("请测试 `{left}` 与 `{right}` 只满足其一时命中"),
        ),
        Change::Dropped { clause, of: "&&" } => Message::new(
            format!("test a miss where all but `{clause}` is met"),
            format!("请测试除 `{clause}` 外均满足时不命中"),
        ),
        Change::Dropped { clause, .. } => Message::new(
            format!("test a hit where of these only `{clause}` is met"),
            format!("请测试其中只有 `{clause}` 满足时命中"),
        ),
        Change::Affirmed { clause } => Message::new(
            format!("test a miss where all else is met and `{clause}` too"),
            format!("请测试其余条件与 `{clause}` 均满足时不命中"),
        ),
        Change::NoDefault { .. } => {
            Message::new("test an event without that value", "请测试缺少该值的事件")
        }
        Change::Number { from, .. } => Message::new(
            format!("test what is compared with {from} exactly there and one unit beside it"),
            format!("请测试与 {from} 比较的值恰等于它及相差一个单位的情形"),
        ),
    }
}

fn truth(met: bool) -> &'static str {
    if met { "met" } else { "not met" }
}

fn truth_zh(met: bool) -> &'static str {
    if met { "真" } else { "假" }
}
