//! From rule files to checked rules: every name is looked up and every type is found, and all
//! mistakes of all files are said at once.

mod calendars;
mod categories;
mod params;
mod person;
mod possible;
mod truth;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use super::file::RuleFile;
use super::files::Files;
use super::set::Rule;
use super::template::Template;
use crate::diagnostic::{Diagnostic, Message};
use crate::document::{Text, located, suggest};
use crate::event::Type;
use crate::expr::{self, Environment, ExprError, Names, Param, Program, Slot, Unit};
use crate::features::Catalogue;

/// Checks every rule and condition against the names of the run. `broken` are features that have
/// a mistake of their own. Mistakes are added to those of the files.
pub(super) fn compile(
    files: &mut Files,
    catalogue: &Catalogue,
    broken: BTreeSet<String>,
) -> Vec<Rule> {
    let known = catalogue.all().into_iter().collect();
    let mut checker = Checker { files, catalogue, known, broken, found: Vec::new() };
    checker.conditions();
    let rules = files.rules.iter().filter_map(|file| checker.rule(file)).collect();
    checker.calendars();
    checker.categories();
    let found = checker.found;
    files.found.extend(found);
    rules
}

struct Checker<'c> {
    files: &'c Files,
    catalogue: &'c Catalogue,
    known: BTreeSet<String>,
    /// Features and conditions that have a mistake of their own: using one is not another.
    broken: BTreeSet<String>,
    found: Vec<Diagnostic>,
}

/// Names that remember which of them were looked up.
struct Recording<'n> {
    names: &'n dyn Names,
    used: RefCell<BTreeMap<String, (Slot, Type)>>,
}

impl Names for Recording<'_> {
    fn lookup(&self, name: &str) -> Option<(Slot, Type)> {
        let found = self.names.lookup(name)?;
        self.used.borrow_mut().insert(name.to_owned(), found);
        Some(found)
    }

    fn all(&self) -> Vec<String> {
        self.names.all()
    }

    fn unit(&self, name: &str) -> Unit {
        self.names.unit(name)
    }

    fn is_moment(&self, name: &str) -> bool {
        self.names.is_moment(name)
    }

    fn values(&self, name: &str) -> Option<Vec<String>> {
        self.names.values(name)
    }
}

impl<'c> Checker<'c> {
    fn environment<'e>(
        &'e self,
        names: &'e dyn Names,
        params: &'e BTreeMap<String, Param>,
    ) -> Environment<'e> {
        Environment {
            names,
            params,
            conditions: &self.files.conditions,
            lists: &self.files.lists,
            zone: &self.files.zone,
        }
    }

    fn text_of(&self, file: &Path) -> &'c str {
        self.files.sources.get(file).unwrap_or("")
    }

    fn fail(
        &mut self,
        code: &'static str,
        file: &Path,
        span: Range<usize>,
        message: Message,
        hint: Option<Message>,
    ) {
        let error = Diagnostic::error(code, file, Some(span), message);
        self.found.push(error.with_hint(hint));
    }

    /// Notes an expression's mistakes, but not that it uses what is broken anyway.
    fn fail_expression(&mut self, file: &Path, text: &Text, errors: Vec<ExprError>) {
        let whole = self.text_of(file);
        let own = |error: &ExprError| {
            let named = text.get_ref().get(error.span.clone()).unwrap_or("");
            !self.broken.contains(named.trim())
        };
        let own: Vec<ExprError> = errors.into_iter().filter(own).collect();
        let located = own.into_iter().map(|error| located(file, whole, &text.span(), error));
        self.found.extend(located);
    }

    /// Every condition must make sense by itself, with no rule's parameters.
    fn conditions(&mut self) {
        let file = self.files.directory.join("conditions.toml");
        let no_params = BTreeMap::new();
        for (name, text) in &self.files.condition_texts {
            self.check_free(&file, name, text.span());
            let Some(ast) = self.files.conditions.get(name) else {
                self.broken.insert(name.clone());
                continue;
            };
            match expr::compile(ast, &self.environment(self.catalogue, &no_params)) {
                Ok(program) => self.check_condition(&file, text, &program),
                Err(errors) => {
                    self.fail_expression(&file, text, errors);
                    self.broken.insert(name.clone());
                }
            }
        }
    }

    fn check_condition(&mut self, file: &Path, text: &Text, program: &Program) {
        if program.kind() == Type::Bool {
            return;
        }
        let kind = program.kind();
        let message = Message::new(
            format!("this is {}, and a condition is true or false", kind.with_article()),
            format!("类型是 {kind},而条件应为真或假"),
        );
        self.fail("not-a-condition", file, text.span(), message, None);
    }

    /// A name that would hide a field or feature is refused: an expression must say one thing.
    fn check_free(&mut self, file: &Path, name: &str, span: Range<usize>) {
        if self.known.contains(name) {
            let message = Message::new(
                format!("`{name}` is the name of a field or feature already"),
                format!("`{name}` 已是字段或特征的名称"),
            );
            self.fail("name-taken", file, span, message, None);
        }
    }

    fn rule(&mut self, file: &RuleFile) -> Option<Rule> {
        let params = self.check_params(file);
        let recording = Recording { names: self.catalogue, used: RefCell::default() };
        let program = self.when(file, &params, &recording);
        let reason = self.reason(file, file.reason.as_ref(), &params, &recording);
        let reason_zh = self.reason(file, file.reason_zh.as_ref(), &params, &recording);
        let rollout = self.rollout(file);
        let pins = file.tests.iter().map(|test| self.pins(file, test)).collect();
        self.check_expectations(file);
        let (program, reason) = (program?, reason?);
        if let Some((text, _)) = &file.when {
            self.check_condition(&file.path, text, &program);
            self.check_person_alone(file);
            if self.check_truth(file) {
                self.check_possible(file);
            }
        }
        let used = recording.used.into_inner().into_iter();
        Some(Rule {
            file: file.clone(),
            program,
            reason_zh: reason_zh.unwrap_or_else(|| reason.clone()),
            reason,
            uses: used.map(|(name, (slot, kind))| (name, slot, kind)).collect(),
            rollout: rollout?,
            pins,
        })
    }

    fn when(
        &mut self,
        file: &RuleFile,
        params: &BTreeMap<String, Param>,
        names: &Recording<'_>,
    ) -> Option<Program> {
        let (text, ast) = file.when.as_ref()?;
        match expr::compile(ast, &self.environment(names, params)) {
            Ok(program) => Some(program),
            Err(errors) => {
                let errors = self.texts_for_numbers(file, (ast, params), names, errors);
                self.fail_in_rule(file, text, errors);
                None
            }
        }
    }

    /// Notes an expression's mistakes in a rule, but not that it uses a parameter that is wrong.
    fn fail_in_rule(&mut self, file: &RuleFile, text: &Text, mut errors: Vec<ExprError>) {
        errors.retain(|error| {
            let named = text.get_ref().get(error.span.clone()).unwrap_or("");
            !file.params.broken.contains(named.trim())
        });
        self.fail_expression(&file.path, text, errors);
    }

    fn reason(
        &mut self,
        file: &RuleFile,
        text: Option<&Text>,
        params: &BTreeMap<String, Param>,
        names: &Recording<'_>,
    ) -> Option<Template> {
        let text = text?;
        let environment = self.environment(names, params);
        match Template::compile(text.get_ref(), &environment) {
            Ok(template) => Some(template),
            Err(errors) => {
                self.fail_in_rule(file, text, errors);
                None
            }
        }
    }

    /// The rollout, if there is one; none at all where its name is not known.
    fn rollout(&mut self, file: &RuleFile) -> Option<Option<(i64, Slot)>> {
        let Some(rollout) = &file.rollout else { return Some(None) };
        let by = rollout.by.get_ref();
        if let Some((slot, _)) = self.catalogue.lookup(by) {
            return Some(Some((rollout.percent, slot)));
        }
        self.unknown_name(file, by, rollout.by.span());
        None
    }

    fn unknown_name(&mut self, file: &RuleFile, name: &str, span: Range<usize>) {
        if self.broken.contains(name) {
            return;
        }
        let message = Message::new(
            format!("`{name}` is not a field or feature"),
            format!("`{name}` 不是字段或特征"),
        );
        let hint = suggest(name, self.known.iter().map(String::as_str));
        self.fail("unknown-name", &file.path, span, message, hint);
    }
}
