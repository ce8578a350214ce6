//! The types of computed features, found in an order in which each finds what it needs; and what is
//! said where a declaration takes the place of a built-in feature that others cannot read as it is
//! then.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{Catalogue, Context, Used, full_name, names_of, problem};
use crate::diagnostic::{Diagnostic, Message};
use crate::event::Type;
use crate::expr::{self, Ast, Names as _};
use crate::features::built_in;
use crate::features::declare::Body;
use crate::features::entries::{EntrySource, declared};

/// How long a chain of features may be of which each is computed from the next: what walks along
/// it does so on the stack.
const CHAIN_MAX: usize = 64;

/// What is computed and not known to be possible yet, each with where its literal stands.
type Waiting = BTreeMap<String, Pending>;

/// What waits for the names that it reads.
struct Pending {
    /// The expression, whose type is found with it; none where a model reads the names.
    ast: Option<Ast>,
    names: BTreeSet<String>,
    literal: Range<usize>,
}

const MISSING: (&str, &str, &str) = (
    "model-input-missing",
    "the model reads what is not in the feature catalogue",
    "模型读取的特征不在特征目录中",
);

/// What cannot be computed, and why.
#[derive(Default)]
struct Broken {
    diagnostics: Vec<Diagnostic>,
    /// Of these nothing more is said, nor of those that read them.
    names: BTreeSet<String>,
    /// By declaration of the file: the built-in features that cannot read it.
    readers: BTreeMap<String, Vec<String>>,
}

impl Catalogue {
    /// Finds the types of the computed features, in an order in which each finds what it needs.
    /// Rules can be compiled only after that.
    pub fn settle(&mut self, context: &Context<'_>) -> Result<Vec<String>, Vec<Diagnostic>> {
        let mut waiting = self.parsed(context)?;
        let (mut order, mut broken) = (Vec::new(), Broken::default());
        // How long the longest chain below each feature is; what is built in is not counted.
        let mut chains: BTreeMap<String, usize> = BTreeMap::new();
        while !waiting.is_empty() {
            let needs = |pending: &Pending| pending.names.iter().any(|n| waiting.contains_key(n));
            let ready = waiting.iter().find(|(_, one)| !needs(one)).map(|(name, _)| name.clone());
            let Some(name) = ready else {
                broken.diagnostics.push(self.cycle(&waiting));
                break;
            };
            let Pending { ast, names, literal } =
                waiting.remove(&name).expect("it was found there");
            if names.iter().any(|read| broken.names.contains(read)) {
                broken.names.insert(name);
                continue;
            }
            let below = names.iter().filter_map(|read| chains.get(read)).max().copied();
            let chain = below.unwrap_or(0) + usize::from(self.is_own(&name));
            if chain > CHAIN_MAX {
                broken.diagnostics.push(self.too_long(&name, literal));
                broken.names.insert(name);
                continue;
            }
            chains.insert(name.clone(), chain);
            let Some(ast) = ast else {
                // A look up is a use: what the model reads is computed.
                let missing = names.into_iter().filter(|name| self.lookup(name).is_none());
                let missing: Vec<String> = missing.collect();
                if missing.is_empty() {
                    order.push(name);
                } else {
                    broken.diagnostics.push(self.says_of_model(literal, MISSING, &missing));
                    broken.names.insert(name);
                }
                continue;
            };
            // What is built in uses nothing until it is used itself.
            let before = self.is_built_in(&name).then(|| self.used.borrow().clone());
            match expr::compile(&ast, &self.environment(context, &BTreeMap::new())) {
                Ok(program) => {
                    let no_params = BTreeMap::new();
                    let values = expr::texts(&ast, &self.environment(context, &no_params));
                    if let Some(entry) = self.entries.get_mut(&name) {
                        entry.kind = program.kind();
                        entry.values = values.map(|values| values.into_iter().collect());
                    }
                    order.push(name);
                }
                Err(_) if before.is_some() => {
                    for own in names.into_iter().filter(|read| self.is_own(read)) {
                        broken.readers.entry(own).or_default().push(name.clone());
                    }
                    broken.names.insert(name);
                }
                Err(errors) => {
                    broken.diagnostics.extend(self.located(errors, &literal));
                    broken.names.insert(name);
                }
            }
            if let Some(before) = before {
                *self.used.borrow_mut() = before;
            }
        }
        if broken.names.is_empty() && broken.diagnostics.is_empty() {
            self.settled = true;
            return Ok(order);
        }
        let mut diagnostics = broken.diagnostics;
        diagnostics.extend(self.unreadable(broken.readers, context));
        Err(diagnostics)
    }

    fn parsed(&self, context: &Context<'_>) -> Result<Waiting, Vec<Diagnostic>> {
        let (mut waiting, mut diagnostics) = (Waiting::new(), Vec::new());
        for declaration in &self.declarations {
            let (ast, names, span) = match &declaration.body {
                Body::Expr { source, span } => match expr::parse(source) {
                    Ok(ast) => {
                        let names = names_of(&ast, context.conditions);
                        (Some(ast), names, span)
                    }
                    Err(errors) => {
                        diagnostics.extend(self.located(errors, span));
                        continue;
                    }
                },
                Body::Learnt { learnt, span } => (None, learnt.names(), span),
                Body::Windowed(_) => continue,
            };
            let names = names.iter().map(|name| full_name(name).to_owned()).collect();
            let pending = Pending { ast, names, literal: span.clone() };
            waiting.insert(declaration.name.clone(), pending);
        }
        if diagnostics.is_empty() { Ok(waiting) } else { Err(diagnostics) }
    }

    fn too_long(&self, name: &str, literal: Range<usize>) -> Diagnostic {
        let message = Message {
            en: format!("`{name}` ends a chain of more than {CHAIN_MAX} features"),
            zh: format!("`{name}` 所依赖的特征链超过 {CHAIN_MAX} 层"),
        };
        let hint = Message::new(
            "each is computed from the next: compute several of them in one expression",
            "链上每个特征都由下一个计算得到:请把其中几个合并为一个表达式",
        );
        problem("chain-too-long", &self.file, literal, message, Some(hint))
    }

    fn is_built_in(&self, name: &str) -> bool {
        self.declarations[self.own..].iter().any(|declaration| declaration.name == name)
    }

    fn is_own(&self, name: &str) -> bool {
        self.declarations[..self.own].iter().any(|declaration| declaration.name == name)
    }

    fn span_of(&self, name: &str) -> Range<usize> {
        let own = self.declarations[..self.own].iter().find(|one| one.name == name);
        own.map_or(0..0, |one| one.span.clone())
    }

    /// What is wrong with declarations that built-in features cannot read: their types.
    fn unreadable(
        &self,
        mut readers: BTreeMap<String, Vec<String>>,
        context: &Context<'_>,
    ) -> Vec<Diagnostic> {
        if readers.is_empty() {
            return Vec::new();
        }
        let meant = self.built_in_types(context);
        let differs = |name: &str| meant.get(name) != Some(&self.entries[name].kind);
        // A feature that also reads a declaration of the type that is meant cannot blame that one.
        if readers.keys().any(|name| differs(name)) {
            readers.retain(|name, _| differs(name));
        }
        let said = |(name, readers): (&String, &Vec<String>)| {
            let kind = self.entries[name].kind;
            let list = |between: &str| {
                let quoted: Vec<String> = readers.iter().map(|one| format!("`{one}`")).collect();
                quoted.join(between)
            };
            let message = Message {
                en: format!(
                    "`{name}` has the type {kind} here, with which what is built in and reads it \
                     cannot be computed: {}",
                    list(", ")
                ),
                zh: format!(
                    "`{name}` 在此处的类型是 {kind},读取它的内置特征无法计算:{}",
                    list("、")
                ),
            };
            let hint = meant.get(name).map(|meant| Message {
                en: format!(
                    "the built-in `{name}` has the type {meant}: keep to that, take another name, \
                     or declare those that read it too"
                ),
                zh: format!(
                    "内置的 `{name}` 的类型是 {meant}:请保持该类型,或改用其他名称,\
                     或一并声明读取它的特征"
                ),
            });
            problem("built-in-type", &self.file, self.span_of(name), message, hint)
        };
        readers.iter().map(said).collect()
    }

    /// The types of what is built in where no file declares any of it otherwise.
    fn built_in_types(&self, context: &Context<'_>) -> BTreeMap<String, Type> {
        let declarations = built_in::declarations(&self.schema);
        let undeclared = self
            .entries
            .iter()
            .filter(|(_, entry)| !matches!(entry.source, EntrySource::Declared(_)));
        let mut entries: BTreeMap<_, _> =
            undeclared.map(|(name, entry)| (name.clone(), entry.clone())).collect();
        for (at, declaration) in declarations.iter().enumerate() {
            let entry = || declared(&self.schema, declaration, at);
            entries.entry(declaration.name.clone()).or_insert_with(entry);
        }
        let mut plain = Catalogue {
            schema: self.schema.clone(),
            file: self.file.clone(),
            text: self.text.clone(),
            entries,
            declarations,
            own: 0,
            settled: false,
            computed_on: BTreeMap::new(),
            used: Used::default().into(),
        };
        let settled = plain.settle(context);
        debug_assert!(settled.is_ok(), "what is built in can be computed from what is built in");
        plain.entries.into_iter().map(|(name, entry)| (name, entry.kind)).collect()
    }

    /// Names a declaration of the file on a circle of those that wait for each other; what is built
    /// in alone has none.
    fn cycle(&self, waiting: &Waiting) -> Diagnostic {
        let next = |name: &String| {
            waiting[name].names.iter().find(|name| waiting.contains_key(*name)).cloned()
        };
        let first = waiting.keys().next().cloned();
        let mut path: Vec<String> = Vec::new();
        let mut name = first.expect("there are some that wait");
        while !path.contains(&name) {
            path.push(name.clone());
            name = next(&name).expect("each of them waits for another");
        }
        let from = path.iter().position(|held| *held == name).unwrap_or(0);
        let own = path[from..].iter().find(|held| self.is_own(held));
        let name = own.unwrap_or(&name);
        problem(
            "feature-cycle",
            &self.file,
            self.span_of(name),
            Message {
                en: format!("the feature `{name}` needs itself"),
                zh: format!("特征 `{name}` 依赖它自身"),
            },
            None,
        )
    }
}
