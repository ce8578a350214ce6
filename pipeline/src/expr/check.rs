//! From an expression as written to a typed program; every mistake is found, not only the first.

use std::collections::BTreeSet;
use std::ops::Range;

use super::ast::{Ast, Node};
use super::eval::{Bool, Compare, Double, Int, Program, Str, Typed};
use super::operators::choose;
use super::{Constant, Environment, ExprError, Param, Slot, Unit};
use crate::diagnostic::{Message, did_you_mean_hint};
use crate::event::Type;

/// How deep a program is with its named conditions in place, so that no rule set can exhaust the
/// stack.
const LEVELS_MAX: usize = 192;
/// How large a program is with its named conditions in place: conditions that use each other
/// twice double at each step.
const NODES_MAX: usize = 20_000;

/// Types an expression and makes a program of it.
pub fn compile(ast: &Ast, environment: &Environment<'_>) -> Result<Program, Vec<ExprError>> {
    compile_with_unit(ast, environment).map(|(program, _)| program)
}

/// The same, with the unit of its value.
pub fn compile_with_unit(
    ast: &Ast,
    environment: &Environment<'_>,
) -> Result<(Program, Unit), Vec<ExprError>> {
    let mut checker = Checker {
        environment,
        errors: Vec::new(),
        slots: BTreeSet::new(),
        expanding: Vec::new(),
        refused: BTreeSet::new(),
        levels: 0,
        nodes: 0,
    };
    match checker.expression(ast) {
        Some((root, unit)) if checker.errors.is_empty() => {
            Ok((Program { root, slots: checker.slots.into_iter().collect() }, unit))
        }
        _ => {
            assert!(!checker.errors.is_empty(), "a refused expression has a mistake to show");
            checker.errors.sort_by_key(|error| (error.span.start, error.span.end));
            Err(checker.errors)
        }
    }
}

pub(super) struct Checker<'c> {
    pub(super) environment: &'c Environment<'c>,
    errors: Vec<ExprError>,
    pub(super) slots: BTreeSet<Slot>,
    /// The named conditions in which the expression in hand stands.
    expanding: Vec<&'c str>,
    /// The named conditions whose mistakes were shown.
    refused: BTreeSet<&'c str>,
    levels: usize,
    nodes: usize,
}

/// A typed expression and its unit; none where a mistake was found and noted.
pub(super) type Checked = Option<(Typed, Unit)>;

impl Environment<'_> {
    /// Whether the name is a parameter or a named condition.
    pub(super) fn is_own(&self, name: &str) -> bool {
        self.params.contains_key(name) || self.conditions.contains_key(name)
    }
}

impl<'c> Checker<'c> {
    pub(super) fn fail(
        &mut self,
        code: &'static str,
        span: &Range<usize>,
        message: Message,
        hint: Option<Message>,
    ) -> Checked {
        self.errors.push(ExprError { code, span: span.clone(), message, hint });
        None
    }

    pub(super) fn expression(&mut self, ast: &Ast) -> Checked {
        self.nodes += 1;
        if self.nodes > NODES_MAX || self.levels == LEVELS_MAX {
            let message = Message::new(
                "the expression with its named conditions is too large",
                "表达式展开命名条件后过大",
            );
            // One mistake, however many nodes there are beyond.
            let known = self.errors.iter().any(|error| error.code == "too-large");
            return if known { None } else { self.fail("too-large", &ast.span, message, None) };
        }
        self.levels += 1;
        let checked = self.node(ast);
        self.levels -= 1;
        checked.map(|(typed, unit)| (typed.folded(), unit))
    }

    fn node(&mut self, ast: &Ast) -> Checked {
        let plain = |typed| Some((typed, Unit::None));
        match &ast.node {
            Node::Int(value) => plain(Typed::Int(Int::Constant(*value))),
            Node::Double(value) => plain(Typed::Double(Double::Constant(*value))),
            Node::Bool(value) => plain(Typed::Bool(Bool::Constant(*value))),
            Node::Str(text) => plain(Typed::Str(Str::Constant(text.clone()))),
            Node::Name(name) => self.name(name, &ast.span),
            Node::Not(inner) => {
                let inner = self.bool(inner)?;
                plain(Typed::Bool(Bool::Not(Box::new(inner))))
            }
            Node::Negate(inner) => self.negate(inner),
            Node::And(items) => plain(Typed::Bool(Bool::And(self.bools(items)?))),
            Node::Or(items) => plain(Typed::Bool(Bool::Or(self.bools(items)?))),
            Node::Binary(operator, left, right) => self.binary(*operator, left, right, &ast.span),
            Node::If(test, yes, no) => self.conditional(test, yes, no, &ast.span),
            Node::List(_) => self.fail(
                "list-outside-in",
                &ast.span,
                Message::new("a list can stand only after `in`", "列表只能写在 `in` 之后"),
                None,
            ),
            Node::Call(name, items) => self.call(name, items, &ast.span),
            Node::Method(on, name, items) => self.method(on, name, items, &ast.span),
        }
    }

    fn name(&mut self, name: &str, span: &Range<usize>) -> Checked {
        let environment = self.environment;
        if let Some(param) = environment.params.get(name) {
            return self.param(name, param, span);
        }
        if let Some((name, condition)) = environment.conditions.get_key_value(name) {
            return self.condition(name, condition, span);
        }
        self.given(name, span)
    }

    /// A field or feature.
    fn given(&mut self, name: &str, span: &Range<usize>) -> Checked {
        let Some((slot, kind)) = self.environment.names.lookup(name) else {
            return self.unknown_name(name, span);
        };
        self.slots.insert(slot);
        let at = usize::from(slot.0);
        let typed = match kind {
            Type::Int => Typed::Int(Int::Slot(at)),
            Type::Double => Typed::Double(Double::Slot(at)),
            Type::Bool => Typed::Bool(Bool::Slot(at)),
            Type::Str => Typed::Str(Str::Slot(at)),
        };
        Some((typed, self.environment.names.unit(name)))
    }

    pub(super) fn unknown_name(&mut self, name: &str, span: &Range<usize>) -> Checked {
        let environment = self.environment;
        let hint = if name == "null" {
            Some(Message::new(
                "a missing value is asked with !has(name)",
                "判断缺失请写 !has(名称)",
            ))
        } else {
            let mut known = environment.names.all();
            known.extend(environment.params.keys().cloned());
            known.extend(environment.conditions.keys().cloned());
            did_you_mean_hint(name, known.iter().map(String::as_str))
        };
        let message =
            Message::new(format!("unknown name `{name}`"), format!("未知的名称 `{name}`"));
        self.fail("unknown-name", span, message, hint)
    }

    fn param(&mut self, name: &str, param: &Param, span: &Range<usize>) -> Checked {
        let mut typed = constant(&param.default);
        let Some((by, values)) = &param.by else { return Some((typed, param.unit)) };
        // Looked up among what is given, so that a parameter cannot depend on itself.
        let (by, _) = self.given(by, span)?;
        for (value, then) in values.iter().rev() {
            let is = match &by {
                Typed::Str(by) => {
                    Some(Bool::Strs(Compare::Equal, by.clone(), Str::Constant(value.clone())))
                }
                Typed::Int(by) => value.parse().ok().map(|value| {
                    Bool::Ints(Compare::Equal, by.clone(), Int::Constant(value), Unit::None)
                }),
                Typed::Bool(by) => value.parse().ok().map(|value| {
                    Bool::Bools(true, Box::new(by.clone()), Box::new(Bool::Constant(value)))
                }),
                Typed::Double(_) => None,
            };
            let Some(is) = is else {
                let kind = by.kind();
                let message = Message::new(
                    format!("the parameter `{name}` cannot differ for {value:?} of {}", a(kind)),
                    format!("参数 `{name}` 不能按 {kind} 类型的值 {value:?} 取值"),
                );
                return self.fail("param-by-type", span, message, None);
            };
            // A missing value is no reason not to use the default.
            let is = Bool::Otherwise(Box::new(is), Box::new(Bool::Constant(false)));
            let kinds = (param.default.kind(), then.kind());
            match choose(is, constant(then), typed) {
                Some(chosen) => typed = chosen,
                None => {
                    let message = Message::new(
                        format!(
                            "the parameter `{name}` is {} and for {value:?} {}",
                            a(kinds.0),
                            a(kinds.1)
                        ),
                        format!("参数 `{name}` 是 {},对 {value:?} 却是 {}", kinds.0, kinds.1),
                    );
                    return self.fail("param-type", span, message, None);
                }
            }
        }
        Some((typed, param.unit))
    }

    fn condition(&mut self, name: &'c str, condition: &Ast, span: &Range<usize>) -> Checked {
        if self.refused.contains(name) {
            return None;
        }
        if self.expanding.contains(&name) {
            let message = Message::new(
                format!("the condition `{name}` needs itself"),
                format!("条件 `{name}` 依赖它自身"),
            );
            return self.fail("condition-cycle", span, message, None);
        }
        self.expanding.push(name);
        let before = self.errors.len();
        let checked = self.expression(condition);
        self.expanding.pop();
        // Mistakes inside are shown where the condition is written; here, where it is used.
        for error in &mut self.errors[before..] {
            error.span = span.clone();
            error.message = Message::new(
                format!("in the condition `{name}`: {}", error.message.en),
                format!("条件 `{name}` 中:{}", error.message.zh),
            );
        }
        if checked.is_none() {
            self.refused.insert(name);
        }
        checked
    }

    fn negate(&mut self, inner: &Ast) -> Checked {
        let (typed, unit) = self.expression(inner)?;
        match typed {
            Typed::Int(int) => Some((Typed::Int(Int::Negate(Box::new(int))), unit)),
            Typed::Double(double) => Some((Typed::Double(Double::Negate(Box::new(double))), unit)),
            other => self.mismatch(&inner.span, "a number", "数字", other.kind()),
        }
    }

    pub(super) fn mismatch(
        &mut self,
        span: &Range<usize>,
        en: &str,
        zh: &str,
        found: Type,
    ) -> Checked {
        let message = Message::new(
            format!("expected {en}, found {}", a(found)),
            format!("应为{zh},实际是 {found}"),
        );
        self.fail("type-mismatch", span, message, None)
    }

    /// Several conditions; all are looked at, so that all mistakes are found.
    fn bools(&mut self, items: &[Ast]) -> Option<Vec<Bool>> {
        let bools: Vec<_> = items.iter().map(|item| self.bool(item)).collect();
        bools.into_iter().collect()
    }

    pub(super) fn bool(&mut self, ast: &Ast) -> Option<Bool> {
        match self.expression(ast)?.0 {
            Typed::Bool(bool) => Some(bool),
            other => {
                self.mismatch(&ast.span, "a condition", "条件", other.kind());
                None
            }
        }
    }

    pub(super) fn int(&mut self, ast: &Ast) -> Option<Int> {
        match self.expression(ast)?.0 {
            Typed::Int(int) => Some(int),
            other => {
                self.mismatch(&ast.span, "an int", "整数", other.kind());
                None
            }
        }
    }

    pub(super) fn str(&mut self, ast: &Ast) -> Option<Str> {
        match self.expression(ast)?.0 {
            Typed::Str(text) => Some(text),
            other => {
                self.mismatch(&ast.span, "a string", "字符串", other.kind());
                None
            }
        }
    }
}

/// A type with its article.
pub(super) fn a(kind: Type) -> &'static str {
    match kind {
        Type::Int => "an int",
        Type::Double => "a double",
        Type::Bool => "a bool",
        Type::Str => "a string",
    }
}

fn constant(constant: &Constant) -> Typed {
    match constant {
        Constant::Int(value) => Typed::Int(Int::Constant(*value)),
        Constant::Double(value) => Typed::Double(Double::Constant(*value)),
        Constant::Bool(value) => Typed::Bool(Bool::Constant(*value)),
        Constant::Str(value) => Typed::Str(Str::Constant(value.clone())),
    }
}
