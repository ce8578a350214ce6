//! What the value of each name rests on, as a hash: a model is bound to the definitions of what it
//! reads, and refused where they have changed; a new feature beside them does not concern it.
//!
//! A definition is the normal form of what computes the value, and the definitions of what that
//! reads. Documentation and units are no part of it. Nor is what lists and phrases hold: they
//! change every day, and a feature over them means the same.

use std::collections::{BTreeMap, BTreeSet};

use super::{Catalogue, Context, Features};
use crate::event::{Type, Value};
use crate::expr;
use crate::features::declare::{Body, Windowed};
use crate::features::entries::{EntrySource, attribute};
use crate::features::kept::{self, Keeper};
use crate::features::plan::CLUSTER_ID;

/// Goes up when what is built in computes something else under a name that it had before.
const BUILT_IN_VERSION: u32 = 1;
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
        let Definition { hash, of_decisions, .. } = of_text?;
        let mut hasher = Hasher::new("is");
        hasher.part(hash);
        hasher.part(value);
        let (hash, reads) = (hasher.end(), BTreeSet::from([text.to_owned()]));
        Some(Definition { kind: Type::Bool, hash, of_decisions: *of_decisions, reads })
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
        let built_in = |what: &str| format!("{what} {BUILT_IN_VERSION}");
        let none = BTreeSet::new();
        match source {
            EntrySource::Field(_) => ("field".to_owned(), none),
            EntrySource::Payer | EntrySource::Payee => (built_in("side"), none),
            EntrySource::Text(_) => (built_in("text"), none),
            EntrySource::Cluster(_) => (built_in(&clusters(context)), none),
            EntrySource::Kept(at) => {
                let cycles = [Keeper::Cycles, Keeper::LongCycles];
                let counts = kept::keeper(*at).is_some_and(|keeper| cycles.contains(&keeper));
                let limit = if counts { context.counterparties_max } else { 0 };
                (built_in(&format!("kept tick {} most {limit}", context.graph_tick)), none)
            }
            EntrySource::Attribute => match attribute(name) {
                Some(windowed) => windowed_body(&windowed, context),
                None => (built_in("attribute"), none),
            },
            EntrySource::Declared(at) => match &self.declarations[*at].body {
                Body::Windowed(windowed) => windowed_body(windowed, context),
                Body::Expr { source, .. } => {
                    let (text, names) = expression(source, context);
                    (format!("expr {text}"), names)
                }
            },
        }
    }
}

fn windowed_body(windowed: &Windowed, context: &Context<'_>) -> (String, BTreeSet<String>) {
    let over: Vec<&str> = windowed.over.iter().map(|kind| kind.name()).collect();
    let (where_, mut names) = match &windowed.where_ {
        Some((source, _)) => expression(source, context),
        None => (String::new(), BTreeSet::new()),
    };
    names.extend(windowed.key.iter().chain(&windowed.at).cloned());
    let linked = if windowed.uses_clusters() { clusters(context) } else { String::new() };
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
fn clusters(context: &Context<'_>) -> String {
    format!("clusters {:?}", context.clusters)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::event::Schema;
    use crate::features::Features;
    use crate::rules;

    const BASE: &str = "
        [behaviour.claims_10m]
        over = ['claim']
        where = 'is_large && amount_fen >= 100'
        key = ['account_id']
        agg = 'count'
        window = '10m'
        doc = 'claims'

        [behaviour.night]
        expr = 'hour(event_time) < 6'

        [behaviour.night_claims]
        expr = 'behaviour.night ? behaviour.claims_10m : 0'
    ";
    const POLICY: &str = "time_zone = 'Asia/Shanghai'\n";
    const CONDITIONS: &str = "is_large = 'amount_fen > 5'\n";

    fn features(declared: &str, policy: &str, conditions: &str) -> Features {
        let directory = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            std::fs::write(directory.path().join(file), text).unwrap();
        };
        write("features.toml", declared);
        write("policy.toml", policy);
        write("conditions.toml", conditions);
        let loaded = rules::load(Some(directory.path()), &Arc::new(Schema::default()));
        match loaded {
            Ok(loaded) => loaded.features,
            Err(wrong) => panic!("{wrong:?}"),
        }
    }

    #[test]
    fn a_definition_is_another_when_what_it_rests_on_is_and_only_then() {
        let names = ["behaviour.claims_10m", "behaviour.night", "behaviour.night_claims"];
        let other_names = ["amount_fen", "devices.cluster_accounts", "kind=claim"];
        let of = |features: &Features| {
            let all: Vec<&str> = names.into_iter().chain(other_names).collect();
            features.definitions(&all).unwrap()
        };
        let base = features(BASE, POLICY, CONDITIONS);
        let changes = |declared: &str, policy: &str, conditions: &str| -> String {
            let (before, after) = (of(&base), of(&features(declared, policy, conditions)));
            let changed = |(a, b): (&String, &String)| if a == b { '.' } else { 'x' };
            before.iter().zip(&after).map(changed).collect()
        };
        let edit = |from: &str, to: &str| {
            assert!(BASE.contains(from), "{from}");
            BASE.replace(from, to)
        };
        let more = format!("{BASE}\n[behaviour.new]\nexpr = 'amount_fen'\n");
        let clusters = format!("{POLICY}[clusters]\nwindow = '3d'\n");
        for (declared, policy, conditions, expected) in [
            (BASE.to_owned(), POLICY, CONDITIONS, "......"),
            (more, POLICY, CONDITIONS, "......"),
            (edit("doc = 'claims'", "doc = 'n'\nunit = 'claims'"), POLICY, CONDITIONS, "......"),
            (edit("is_large && amount_fen", "is_large&&amount_fen"), POLICY, CONDITIONS, "......"),
            (edit(">= 100", ">= 101"), POLICY, CONDITIONS, "x.x..."),
            (edit("'10m'", "'11m'"), POLICY, CONDITIONS, "x.x..."),
            (edit("['account_id']", "['device_id']"), POLICY, CONDITIONS, "x.x..."),
            (edit("['claim']", "['claim', 'send']"), POLICY, CONDITIONS, "x.x..."),
            (edit("< 6", "< 7"), POLICY, CONDITIONS, ".xx..."),
            (BASE.to_owned(), "time_zone = 'Asia/Tokyo'\n", CONDITIONS, ".xx..."),
            (BASE.to_owned(), POLICY, "is_large = 'amount_fen > 6'\n", "x.x..."),
            (BASE.to_owned(), &clusters, CONDITIONS, "....x."),
        ] {
            assert_eq!(changes(&declared, policy, conditions), expected, "{declared}{policy}");
        }
    }

    #[test]
    fn what_hangs_on_decisions_says_so_and_so_does_what_reads_it() {
        let declared = "
            [funds.a]
            expr = 'funds.payer.cycle4_24h ?? 0'
            [funds.b]
            expr = 'funds.a + 1'
            [funds.c]
            expr = 'amount_fen'
        ";
        let features = features(declared, POLICY, "");
        let hangs = |name: &str| features.definition(name).unwrap().of_decisions;
        assert_eq!(["funds.a", "funds.b", "funds.c"].map(hangs), [true, true, false]);
        assert_eq!(features.name_with_dots("funds_b"), Some("funds.b"));
    }

    #[test]
    fn names_that_are_not_there_are_named() {
        let features = features(BASE, POLICY, CONDITIONS);
        let wanted = ["behaviour.night", "behaviour.day", "amount_fen=3", "kind=", "kind=claim"];
        let missing = features.definitions(&wanted).unwrap_err();
        assert_eq!(missing, ["behaviour.day", "amount_fen=3", "kind="]);
        let [claim, send] = ["kind=claim", "kind=send"].map(|name| features.definition(name));
        assert_ne!(claim, send);
    }

    #[test]
    fn the_hash_of_the_catalogue_is_that_of_all_definitions() {
        let hash = |declared: &str| features(declared, POLICY, CONDITIONS).catalogue_hash();
        assert_eq!(hash(BASE), hash(BASE));
        assert_ne!(hash(BASE), hash(&format!("{BASE}\n[behaviour.new]\nexpr = 'amount_fen'\n")));
    }
}
