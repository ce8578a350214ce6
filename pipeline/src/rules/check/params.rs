//! The parameters of a rule, and the values that its tests give.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Checker;
use crate::diagnostic::{Diagnostic, Message, Severity};
use crate::event::Type;
use crate::expr::{self, Ast, Constant, ExprError, Names, Param, Unit};
use crate::rules::file::RuleFile;
use crate::rules::params::unit_hint;
use crate::rules::set::Pin;
use crate::rules::timeline::Test;

impl Checker<'_> {
    /// The parameters of a rule; one that depends on an unknown name, which is noted, has its
    /// default, so that the condition that uses it has no mistake on top of that.
    pub(super) fn check_params(&mut self, file: &RuleFile) -> BTreeMap<String, Param> {
        let mut used: BTreeSet<String> = BTreeSet::new();
        if let Some((_, ast)) = &file.when {
            used.extend(ast.names());
        }
        let in_reasons = |name: &str| {
            let braced = format!("{{{name}}}");
            [&file.reason, &file.reason_zh]
                .into_iter()
                .flatten()
                .any(|text| text.get_ref().contains(&braced))
        };
        for (name, span) in &file.params.spans {
            self.check_free(&file.path, name, span.clone());
            if self.files.conditions.contains_key(name) {
                let message = Message::new(
                    format!("`{name}` is the name of a condition already"),
                    format!("`{name}` 已是条件的名称"),
                );
                self.fail("name-taken", &file.path, span.clone(), message, None);
            }
            if file.when.is_some() && !used.contains(name) && !in_reasons(name) {
                let message = Message::new(
                    format!("the parameter `{name}` is not used"),
                    format!("参数 `{name}` 未被使用"),
                );
                let error =
                    Diagnostic::error("unused-param", &file.path, Some(span.clone()), message);
                self.found.push(Diagnostic { severity: Severity::Warning, ..error });
            }
        }
        for (name, span) in &file.params.by_spans {
            if !self.known.contains(name) {
                self.unknown_name(file, name, span.clone());
            }
        }
        for (field, value, span) in &file.params.by_values {
            self.check_value(file, field, value, span);
        }
        let mut params = file.params.values.clone();
        for param in params.values_mut() {
            param.by.take_if(|(name, _)| !self.known.contains(name));
        }
        params
    }

    /// A value that a field or feature with a closed set of them can never have is a slip.
    fn check_value(&mut self, file: &RuleFile, name: &str, value: &str, span: &Range<usize>) {
        let Some(known) = self.catalogue.values(name) else { return };
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        if !known.contains(&value) {
            let (message, hint) = expr::never(name, value, &known);
            self.fail("unknown-value", &file.path, span.clone(), message, hint);
        }
    }

    /// What is wrong with a condition beside texts that it takes for numbers: `"5000元"` and
    /// `"5,000 yuan"` are texts, and that is said where they are written.
    pub(super) fn texts_for_numbers(
        &mut self,
        file: &RuleFile,
        (ast, params): (&Ast, &BTreeMap<String, Param>),
        names: &dyn Names,
        mut errors: Vec<ExprError>,
    ) -> Vec<ExprError> {
        let used = ast.names();
        let mut params = params.clone();
        let texts: Vec<(String, String)> = params
            .iter()
            .filter(|(name, _)| used.contains(*name))
            .filter_map(|(name, param)| match &param.default {
                Constant::Str(text) if text.starts_with(|c: char| c.is_ascii_digit()) => {
                    Some((name.clone(), text.clone()))
                }
                _ => None,
            })
            .collect();
        for (name, text) in texts {
            let number = Param { default: Constant::Int(1), unit: Unit::None, by: None };
            let as_text = params.insert(name.clone(), number);
            let left = expr::compile(ast, &self.environment(names, &params)).err();
            let left = left.unwrap_or_default();
            if left.len() >= errors.len() {
                params.extend(as_text.map(|param| (name, param)));
                continue;
            }
            errors = left;
            let message = Message::new(
                format!("`{text}` is a text, and `{name}` is used as a number"),
                format!("`{text}` 是文本,而 `{name}` 被当作数字使用"),
            );
            let span = file.params.value_spans.get(&name).cloned().unwrap_or(0..0);
            self.fail("unknown-unit", &file.path, span, message, Some(unit_hint()));
        }
        errors
    }

    /// The given features of a test, in their slots.
    pub(super) fn pins(&mut self, file: &RuleFile, test: &Test) -> Vec<Pin> {
        let mut pins = Vec::new();
        for (name, span, value) in &test.pins {
            let Some((slot, kind)) = self.catalogue.lookup(name) else {
                self.unknown_name(file, name, span.clone());
                continue;
            };
            let value = match (kind, value) {
                (Type::Double, Constant::Int(value)) => Constant::Double(*value as f64),
                (_, value) => value.clone(),
            };
            if value.kind() != kind {
                let found = value.kind();
                let message = Message::new(
                    format!(
                        "`{name}` is {}, and the value is {}",
                        kind.with_article(),
                        found.with_article()
                    ),
                    format!("`{name}` 的类型是 {kind},而值是 {found}"),
                );
                self.fail("type-mismatch", &file.path, span.clone(), message, None);
            }
            if let Constant::Str(text) = &value {
                self.check_value(file, name, text, span);
            }
            pins.push(Pin { slot, value });
        }
        pins
    }
}
