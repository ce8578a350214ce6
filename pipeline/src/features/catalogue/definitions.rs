//! What the value of each name rests on, as a hash: a model is bound to the definitions of what it
//! reads, and refused where they have changed; a new feature beside them does not concern it.
//!
//! A definition is the normal form of what computes the value, and the definitions of what that
//! reads. Documentation and units are no part of it. Nor is what lists and phrases hold: they
//! change every day, and a feature over them means the same.

use std::collections::{BTreeMap, BTreeSet};

use super::{Catalogue, Context, Features, Whose, full_name};
use crate::event::{Schema, Type, Value};
use crate::expr;
use crate::features::declare::{Body, Windowed};
use crate::features::devices::{Clusters, Link};
use crate::features::entries::{EntrySource, attribute};
use crate::features::kept::{self, Keeper};
use crate::features::plan::CLUSTER_ID;

/// Goes up when what is built in computes something else under a name that it had before.
const BUILT_IN_VERSION: u32 = 1;
/// The versions of those that alone compute something else since, by how their names begin: claim
/// latencies of groups were by effective times, from the first sending in the group.
const REVISED: [(&str, u32); 1] = [("social.group.claim_latency_", 2)];
/// What parts a text name from one of its values in the name of a coded column.
const IS: char = '=';

/// What a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The type of its values.
    pub kind: Type,
    /// The hash of what they depend on, in hexadecimal.
    pub hash: String,
    /// Whether they depend on earlier decisions: such a feature is another under other rules, and
    /// no model reads it, for its score would hang on the rules and on itself.
    pub of_decisions: bool,
    /// The names that it reads itself.
    pub reads: BTreeSet<String>,
    /// Its unit, which is no part of the hash.
    pub unit: String,
    /// Of whom its values tell, which the hash covers as what looks them up.
    pub whose: Whose,
}

/// The definition of every name of a catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions(BTreeMap<String, Definition>);

impl Features {
    /// A hash for each name: what its value depends on, whatever else the catalogue holds. Beside
    /// features there are fields (`amount_fen`), attributes (`payer.verified`), and for texts
    /// columns of one value each: `kind=claim` is whether the kind is claim.
    ///
    /// # Errors
    /// The names that are not in the catalogue, in their order.
    pub fn definitions(&self, names: &[impl AsRef<str>]) -> Result<Vec<String>, Vec<String>> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in names.iter().map(AsRef::as_ref) {
            match self.definitions.get(name) {
                Some(definition) => found.push(definition.hash),
                None => missing.push(name.to_owned()),
            }
        }
        if missing.is_empty() { Ok(found) } else { Err(missing) }
    }

    /// The hash over the definitions of all names.
    pub fn catalogue_hash(&self) -> String {
        let mut hasher = Hasher::new("catalogue");
        for (name, Definition { hash, .. }) in &self.definitions.0 {
            hasher.part(name);
            hasher.part(hash);
        }
        hasher.end()
    }

    /// The definition of a name, or of a column of one of its values.
    pub fn definition(&self, name: &str) -> Option<Definition> {
        self.definitions.get(name)
    }

    /// The computed features, by place, on which values of these names rest.
    pub(crate) fn computed_for<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<usize> {
        let mut rests_on = BTreeSet::new();
        let mut waiting: Vec<String> = names.map(|name| coded(name).0.to_owned()).collect();
        while let Some(name) = waiting.pop() {
            let held = self.definitions.0.get(&name);
            if rests_on.insert(name) {
                waiting.extend(held.into_iter().flat_map(|held| held.reads.iter().cloned()));
            }
        }
        let computed = self.computed.iter().enumerate();
        computed.filter(|(_, one)| rests_on.contains(&one.name)).map(|(at, _)| at).collect()
    }

    /// The name that is written so where dots may be underscores, as in the files of others.
    pub fn name_with_dots(&self, written: &str) -> Option<&str> {
        let names = self.definitions.0.keys();
        spelt(names.map(String::as_str), written)
    }
}

impl Definitions {
    fn get(&self, name: &str) -> Option<Definition> {
        if let Some(held) = self.0.get(name) {
            return Some(held.clone());
        }
        let (text, value) = name.split_once(IS)?;
        let of_text = self.0.get(text).filter(|held| held.kind == Type::Str && !value.is_empty());
        let Definition { hash, of_decisions, whose, .. } = of_text?;
        let mut hasher = Hasher::new("is");
        hasher.part(hash);
        hasher.part(value);
        let (hash, reads) = (hasher.end(), BTreeSet::from([text.to_owned()]));
        let (of_decisions, unit, whose) = (*of_decisions, String::new(), *whose);
        Some(Definition { kind: Type::Bool, hash, of_decisions, reads, unit, whose })
    }
}

/// The name among `names` that is `written`, or is where its dots are underscores.
pub(super) fn spelt<'n>(
    names: impl Iterator<Item = &'n str> + Clone,
    written: &str,
) -> Option<&'n str> {
    let exact = names.clone().find(|name| *name == written);
    exact.or_else(|| names.into_iter().find(|name| name.replace('.', "_") == written))
}

/// A name that a model reads: itself, or for a coded column the text name and the value.
pub fn coded(name: &str) -> (&str, Option<&str>) {
    name.split_once(IS).map_or((name, None), |(text, value)| (text, Some(value)))
}

/// A value as a model reads it: what is missing is NaN, also in a coded column; a bool is 0 or 1.
pub fn number(value: Value<'_>, coded: Option<&str>) -> f64 {
    match (value, coded) {
        (Value::Int(value), None) => value as f64,
        (Value::Double(value), None) => value,
        (Value::Bool(value), None) => f64::from(u8::from(value)),
        (Value::Str(text), Some(wanted)) => f64::from(u8::from(text == wanted)),
        _ => f64::NAN,
    }
}

/// A hash of texts in order, each kept apart from the next by its length.
struct Hasher(blake3::Hasher);

impl Hasher {
    fn new(what: &str) -> Hasher {
        let mut hasher = Hasher(blake3::Hasher::new());
        hasher.part("hongxian definition 1");
        hasher.part(what);
        hasher
    }

    fn part(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn end(self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

impl Catalogue {
    /// Has a name computed and stored, though no rule uses it.
    pub fn ask(&self, name: &str) {
        let Some(entry) = self.entries.get(name) else { return };
        let mut used = self.used.borrow_mut();
        if entry.source == EntrySource::Attribute {
            used.attributes.insert(name.to_owned());
        }
        used.asked.insert(name.to_owned());
    }

    /// The name that is written so where dots may be underscores, as in the files of others.
    pub fn name_with_dots(&self, written: &str) -> Option<&str> {
        spelt(self.entries.keys().map(String::as_str), written)
    }

    /// The definitions of all names.
    pub(super) fn definitions(&self, context: &Context<'_>) -> Definitions {
        let mut definitions = Definitions::default();
        for name in self.entries.keys() {
            self.define(name, context, &mut definitions);
        }
        definitions
    }

    /// The hash of a name, and whether it depends on decisions.
    fn define(&self, name: &str, context: &Context<'_>, known: &mut Definitions) -> (String, bool) {
        if let Some(held) = known.0.get(name) {
            return (held.hash.clone(), held.of_decisions);
        }
        let Some(entry) = self.entries.get(name) else { return (String::new(), false) };
        let mut definition = Definition {
            kind: entry.kind,
            hash: String::new(),
            of_decisions: false,
            reads: BTreeSet::new(),
            unit: entry.unit.clone(),
            whose: self.whose(name, &entry.source),
        };
        // A circle has been refused, but not always before this.
        known.0.insert(name.to_owned(), definition.clone());
        let mut hasher = Hasher::new(name);
        hasher.part(&entry.kind.to_string());
        let (text, reads) = self.body(name, &entry.source, context);
        hasher.part(&text);
        definition.of_decisions = match &entry.source {
            EntrySource::Kept(at) => kept::keeper(*at) == Some(kept::OF_ALERTED),
            _ => false,
        };
        for read in &reads {
            let (hash, of_decisions) = self.define(read, context, known);
            definition.of_decisions |= of_decisions;
            hasher.part(read);
            hasher.part(&hash);
        }
        if self.is_computed(&entry.source) {
            for read in reads.iter().map(|read| full_name(read)) {
                self.define(read, context, known);
                let whose = known.0.get(read).map(|of| of.whose);
                definition.whose = definition.whose.and(whose.unwrap_or_default());
            }
        }
        (definition.hash, definition.reads) = (hasher.end(), reads);
        let defined = (definition.hash.clone(), definition.of_decisions);
        known.0.insert(name.to_owned(), definition);
        defined
    }

    /// What computes a value, and the names that it reads.
    fn body(
        &self,
        name: &str,
        source: &EntrySource,
        context: &Context<'_>,
    ) -> (String, BTreeSet<String>) {
        let revised = REVISED.iter().find(|(begins, _)| name.starts_with(begins));
        let version = revised.map_or(BUILT_IN_VERSION, |(_, version)| *version);
        let built_in = |what: &str| format!("{what} {version}");
        let none = BTreeSet::new();
        match source {
            EntrySource::Field(_) => ("field".to_owned(), none),
            EntrySource::Payer | EntrySource::Payee => (built_in("side"), none),
            EntrySource::Text(_) => (built_in("text"), none),
            EntrySource::Cluster(_) => (built_in(&clusters(context, &self.schema)), none),
            EntrySource::Kept(at) => {
                let cycles = [Keeper::Cycles, Keeper::LongCycles];
                let counts = kept::keeper(*at).is_some_and(|keeper| cycles.contains(&keeper));
                let limit = if counts { context.counterparties_max } else { 0 };
                (built_in(&format!("kept tick {} most {limit}", context.graph_tick)), none)
            }
            EntrySource::Attribute => match attribute(name) {
                Some(windowed) => windowed_body(&windowed, context, &self.schema),
                None => (built_in("attribute"), none),
            },
            EntrySource::Declared(at) => match &self.declarations[*at].body {
                Body::Windowed(windowed) => windowed_body(windowed, context, &self.schema),
                Body::Expr { source, .. } => {
                    let (text, names) = expression(source, context);
                    (format!("expr {text}"), names)
                }
                Body::Learnt { learnt, .. } => {
                    (format!("model {} {}", learnt.hash, learnt.gives.name()), learnt.names())
                }
            },
        }
    }
}

fn windowed_body(
    windowed: &Windowed,
    context: &Context<'_>,
    schema: &Schema,
) -> (String, BTreeSet<String>) {
    let over: Vec<&str> = windowed.over.iter().map(|kind| kind.name()).collect();
    let (where_, mut names) = match &windowed.where_ {
        Some((source, _)) => expression(source, context),
        None => (String::new(), BTreeSet::new()),
    };
    names.extend(windowed.key.iter().chain(&windowed.at).cloned());
    let linked = if windowed.uses_clusters() { clusters(context, schema) } else { String::new() };
    names.remove(CLUSTER_ID);
    let Windowed { key, at, agg, window, include_current, .. } = windowed;
    let zone = match window {
        crate::features::declare::Window::Day => context.zone.name(),
        _ => "",
    };
    let text = format!(
        "over {} where {where_:?} key {key:?} at {at:?} agg {agg:?} window {window:?} \
         include_current {include_current} zone {zone} {linked}",
        over.join(",")
    );
    (text, names)
}

/// The normal spelling of an expression, with the zone by which it reads times, and its names.
fn expression(source: &str, context: &Context<'_>) -> (String, BTreeSet<String>) {
    let Ok(ast) = expr::parse(source) else { return (source.to_owned(), BTreeSet::new()) };
    let ast = ast.expanded(context.conditions);
    let mut text = ast.canonical();
    if ["hour(", "weekday(", "in_calendar("].iter().any(|call| text.contains(call)) {
        text = format!("{text} zone {}", context.zone.name());
    }
    (text, ast.names())
}

/// How accounts are linked; without links what is known of clusters is null.
fn clusters(context: &Context<'_>, schema: &Schema) -> String {
    let Some(Clusters { graph_tick, window, links }) = &context.clusters else {
        return "no clusters".to_owned();
    };
    let link = |link: &Link| {
        let fields: Vec<&str> =
            link.fields.iter().map(|field| schema.field(*field).name.as_str()).collect();
        format!("{} over {} to {}", link.name, fields.join(","), link.hub_limit)
    };
    let links: Vec<String> = links.iter().map(link).collect();
    format!("clusters tick {graph_tick} window {window} {}", links.join("; "))
}
