//! On which events a name can have a value, and what is said of an expression that needs one where
//! there never is any.

use std::collections::{BTreeMap, BTreeSet};

use super::{Catalogue, full_name};
use crate::diagnostic::{Diagnostic, Message};
use crate::event::{self, FIELDS, FOUND_TRUE, KindSet};
use crate::expr::{self, Ast, Events, ExprError};
use crate::features::declare::{Agg, Body, Windowed};
use crate::features::entries::{EntrySource, attribute};
use crate::features::plan::Source;

impl Catalogue {
    /// The kinds of events on which a name can have a value; all where that is not known.
    pub(crate) fn carriers(&self, name: &str) -> KindSet {
        let name = full_name(name);
        let Some(entry) = self.entries.get(name) else { return KindSet::ALL };
        match &entry.source {
            EntrySource::Field(field) => event::carriers(*field),
            EntrySource::Payer => Source::Payer.carriers(),
            EntrySource::Payee => Source::Payee.carriers(),
            EntrySource::Attribute => {
                attribute(name).map_or(KindSet::ALL, |windowed| self.lookups(&windowed))
            }
            EntrySource::Declared(at) => match &self.declarations[*at].body {
                Body::Windowed(windowed) => self.lookups(windowed),
                Body::Expr { .. } => self.computed_on.get(name).copied().unwrap_or(KindSet::ALL),
                Body::Learnt { .. } => KindSet::ALL,
            },
            EntrySource::Text(_) | EntrySource::Kept(_) | EntrySource::Cluster(_) => KindSet::ALL,
        }
    }

    /// The kinds of transactions that find something under what they look up.
    fn lookups(&self, windowed: &Windowed) -> KindSet {
        let filed = windowed.filed(&self.schema);
        let kept = match &windowed.agg {
            Agg::First(field) | Agg::Last(field) => Source::find(&self.schema, field),
            _ => None,
        };
        match kept {
            Some(source) if source.carriers().and(filed).is_empty() => KindSet::default(),
            _ => windowed.looked_up(&self.schema),
        }
    }

    /// Finds on which transactions the computed features can have a value, in the order in which
    /// each finds what it needs. Of the file's own that have none on any, the names and what is
    /// said of them.
    pub(crate) fn find_carriers(
        &mut self,
        order: &[String],
        conditions: &BTreeMap<String, Ast>,
    ) -> (BTreeSet<String>, Vec<Diagnostic>) {
        let (mut names, mut found) = (BTreeSet::new(), Vec::new());
        for name in order {
            let own = self.declarations.iter().position(|one| one.name == *name);
            let Some(at) = own else { continue };
            let Body::Expr { source, span } = &self.declarations[at].body else { continue };
            let Ok(ast) = expr::parse(source) else { continue };
            let carriers = |name: &str| self.carriers(name);
            let on = Events { kinds: KindSet::TRANSACTIONS, conditions, carriers: &carriers };
            let kinds = ast.kinds_with_value(&on);
            // What rests on another of these is told of with that one.
            let read = ast.expanded(conditions).written_names();
            let rests = read.iter().any(|name| names.contains(name));
            if kinds.is_empty() && at < self.own {
                if !rests {
                    let message = Message::new(
                        format!("`{name}` has a value on no transaction"),
                        format!("`{name}` 在任何交易上都没有值"),
                    );
                    let hint = self.carried_hint(&ast, &on);
                    let (code, whole) = ("never-a-value", ast.span());
                    let error = ExprError { code, span: whole, message, hint };
                    found.extend(self.located(vec![error], span));
                }
                names.insert(name.clone());
            }
            self.computed_on.insert(name.clone(), kinds);
        }
        (names, found)
    }

    /// That a condition, which has been compiled, can be true on none of these events; nothing where
    /// it can.
    pub(crate) fn never_true(
        &self,
        condition: &Ast,
        kinds: KindSet,
        conditions: &BTreeMap<String, Ast>,
    ) -> Option<ExprError> {
        let carriers = |name: &str| self.carriers(name);
        let on = Events { kinds, conditions, carriers: &carriers };
        let part = condition.never_holds(&on)?;
        let listed = kinds.listed();
        let message = Message::new(
            format!("this is never true on {listed}"),
            format!("该条件在 {listed} 上永不成立"),
        );
        let hint = self.carried_hint(part, &on);
        Some(ExprError { code: "never-true", span: part.span(), message, hint })
    }

    /// Why an expression comes to nothing on these events: what it reads is on others.
    fn carried_hint(&self, ast: &Ast, on: &Events<'_>) -> Option<Message> {
        let missing = ast.not_carried(on);
        let is_label = |name: &&String| FOUND_TRUE.iter().any(|at| FIELDS[at.index()].0 == **name);
        if missing.iter().any(|name| is_label(&name)) {
            return Some(over_labels());
        }
        let Some(name) = missing.iter().next() else {
            let kinds = on.kinds.listed();
            let asks = ast.expanded(on.conditions).written_names().contains("kind");
            return asks.then(|| {
                Message::new(format!("`kind` is {kinds} here"), format!("此处 `kind` 为 {kinds}"))
            });
        };
        let carriers = self.carriers(name);
        Some(match carriers.is_empty() {
            true => {
                Message::new(format!("`{name}` never has a value"), format!("`{name}` 从不有值"))
            }
            false => {
                let kinds = carriers.listed();
                Message::new(
                    format!("`{name}` has a value on {kinds}"),
                    format!("`{name}` 仅在 {kinds} 上有值"),
                )
            }
        })
    }
}

/// How a transaction comes to know what only labels say.
pub(crate) fn over_labels() -> Message {
    Message::new(
        "declare a feature over labels: over = [\"label\"], where = \"label == 'fraud'\"",
        "请声明基于标签的特征:over = [\"label\"], where = \"label == 'fraud'\"",
    )
}
