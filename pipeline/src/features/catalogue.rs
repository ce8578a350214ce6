//! The catalogue: every name that a condition, a rule or a report may use, with its type and
//! meaning, and how its value is come by.

mod bound;
mod carried;
mod definitions;
mod person;
mod settle;
mod whose;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::built_in;
use super::cost::FamilyCost;
use super::declare::{Agg, Body, Declaration, Windowed};
use super::devices::Clusters;
use super::entries::{Entry, EntrySource, add_built_in, add_fields, attribute, declared};
use super::kept::{self, Keeper, Keepers, OUTCOME};
use super::learnt::Answer;
use super::plan::{Definition, Family, Plan};
use super::text::Lexicon;
use crate::diagnostic::{Diagnostic, Message, Severity};
use crate::document::located;
use crate::event::{Column, FieldId, KindSet, Schema, Type};
use crate::expr::{
    self, Ast, Environment, ExprError, List, Names, Param, Program, Slot, Unit, Zone,
};

pub(crate) use carried::over_labels;
pub use definitions::{Definition as NameDefinition, Definitions, coded, number};
pub use whose::Whose;

/// What is known of the cluster of accounts that shared devices link to the acting one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cluster {
    /// Number of its accounts.
    Accounts,
    /// Number of distinct groups in which they acted.
    Groups,
    /// Its smallest account id.
    Id,
}

/// Where the value of a slot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotSource {
    /// A field of the event.
    Field(FieldId),
    /// The derived `payer_id`.
    Payer,
    /// The derived `payee_id`.
    Payee,
    /// A windowed feature, by its place in the plan.
    Windowed(usize),
    /// A feature computed from other values, by its place among those.
    Computed(usize),
    /// A text feature, by its place in [`super::text::entries`].
    Text(usize),
    /// A feature that a keeper answers, by its place among those.
    Kept(usize),
    /// The cluster of the acting account.
    Cluster(Cluster),
    /// Nothing: only other rules of the run have that name.
    Nowhere,
}

impl SlotSource {
    /// Whether the value is the event's own, known before any state is asked.
    pub fn is_own(self) -> bool {
        matches!(
            self,
            SlotSource::Field(_) | SlotSource::Payer | SlotSource::Payee | SlotSource::Text(_)
        )
    }

    /// Whether the value is read in the event's text.
    pub fn is_text(self) -> bool {
        matches!(self, SlotSource::Text(_))
    }
}

/// The names of a run. As [`Names`] it gives a slot to each name when it is first used, so that a
/// row holds no value that nobody reads.
pub struct Catalogue {
    schema: Arc<Schema>,
    file: PathBuf,
    /// The text of the file, in which mistakes are shown.
    text: String,
    entries: BTreeMap<String, Entry>,
    /// Those of the file, then those that are built in and of which it says nothing.
    declarations: Vec<Declaration>,
    /// How many are of the file.
    own: usize,
    /// Whether what is computed is known to rest on no circle.
    settled: bool,
    /// Of what is computed: the kinds of transactions on which it can have a value.
    computed_on: BTreeMap<String, KindSet>,
    used: RefCell<Used>,
}

/// Which built-in features a run computes and `features.parquet` holds, beside those that the
/// rules directory declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// All.
    All,
    /// Those that rules and declared features use.
    Used,
}

#[derive(Clone, Default)]
struct Used {
    slots: Vec<String>,
    attributes: BTreeSet<String>,
    /// What is computed and stored beside that.
    asked: BTreeSet<String>,
}

/// What rules may also call a feature, beside its name.
const SHORT_NAMES: [(&str, &str); 1] = [("group.type", "social.group.type")];

/// The name in the catalogue of what a rule names.
fn full_name(name: &str) -> &str {
    SHORT_NAMES.iter().find(|(short, _)| *short == name).map_or(name, |(_, full)| full)
}

impl Names for Catalogue {
    fn lookup(&self, name: &str) -> Option<(Slot, Type)> {
        let name = full_name(name);
        let entry = self.entries.get(name)?;
        let mut used = self.used.borrow_mut();
        if entry.source == EntrySource::Attribute {
            used.attributes.insert(name.to_owned());
        }
        let at = used.slots.iter().position(|held| held == name).unwrap_or_else(|| {
            used.slots.push(name.to_owned());
            used.slots.len() - 1
        });
        Some((Slot(at as u16), entry.kind))
    }

    fn all(&self) -> Vec<String> {
        let short = SHORT_NAMES.iter().map(|(short, _)| (*short).to_owned());
        self.entries.keys().cloned().chain(short).collect()
    }

    fn unit(&self, name: &str) -> Unit {
        match self.entries.get(full_name(name)).map(|entry| entry.unit.as_str()) {
            Some("fen") => Unit::Yuan,
            Some("ms") => Unit::Duration,
            _ => Unit::None,
        }
    }

    fn is_moment(&self, name: &str) -> bool {
        self.entries.get(full_name(name)).is_some_and(|entry| entry.unit == "ms since 1970 UTC")
    }

    fn values(&self, name: &str) -> Option<Vec<String>> {
        self.entries.get(full_name(name))?.values.clone()
    }
}

/// What features are compiled with besides their own names.
pub struct Context<'c> {
    /// Named conditions.
    pub conditions: &'c BTreeMap<String, Ast>,
    /// Lists and calendars.
    pub lists: &'c BTreeMap<String, Arc<List>>,
    /// The time zone of `hour`, `weekday` and the window "day".
    pub zone: &'c Arc<Zone>,
    /// How clusters of accounts are made; none: the cluster features are null.
    pub clusters: Option<Clusters>,
    /// Features over graphs are as of whole multiples of this, in ms.
    pub graph_tick: i64,
    /// An account with more payees, or payers, than this in 24 hours is on no cycle of money.
    pub counterparties_max: usize,
    /// Which built-in features there are in the output.
    pub columns: Columns,
}

/// Features ready to run. Where rules change during a run, those of each rules directory: what
/// they read is their own, and schema, plan, families, clusters and zone are those of all.
#[derive(Clone)]
pub struct Features {
    pub(crate) schema: Arc<Schema>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) families: Vec<Arc<Family>>,
    /// The program of each of the plan's conditions; none where only other rules have it.
    pub(crate) conditions: Vec<Option<Program>>,
    /// What those others lend.
    pub(crate) lent: Vec<Lent>,
    /// Features whose window is not full when the rules come into force: place in the plan, and
    /// the effective time from which on it is.
    pub(crate) warming: Vec<(usize, i64)>,
    /// Where each slot's value comes from.
    pub(crate) slots: Vec<SlotSource>,
    /// Features computed from other values, in an order in which each finds what it needs.
    pub(crate) computed: Vec<Computed>,
    /// The columns of `features.parquet`.
    pub(crate) columns: Vec<(String, Type, SlotSource)>,
    pub(crate) lexicon: Arc<Lexicon>,
    /// The keepers that something asks.
    pub(crate) keepers: Keepers,
    /// How clusters of accounts are made; none where nothing asks for them.
    pub(crate) clusters: Option<Clusters>,
    /// Features over graphs are as of whole multiples of this, in ms.
    pub(crate) graph_tick: i64,
    /// An account with more payees, or payers, than this in 24 hours is on no cycle of money.
    pub(crate) counterparties_max: usize,
    pub(crate) zone: Arc<Zone>,
    /// What each name of the catalogue is, computed or not.
    definitions: Definitions,
}

/// Conditions that other rules of a run have.
#[derive(Clone)]
pub(crate) struct Lent {
    pub(crate) features: Arc<Features>,
    /// Their places in the plan.
    pub(crate) conditions: Vec<usize>,
}

/// A feature computed from other values of its row.
#[derive(Clone)]
pub(crate) struct Computed {
    pub(crate) name: String,
    pub(crate) slot: Option<usize>,
    pub(crate) formula: Formula,
}

/// How a computed feature is come by.
#[derive(Clone)]
pub(crate) enum Formula {
    /// An analyst's expression.
    Expr(Program),
    /// The transaction's amount over a mean, by the mean's place in the plan.
    Ratio(usize),
    /// What a trained model says.
    Learnt(Answer),
}

impl Features {
    /// The columns of `features.parquet`: name, type, and where the value comes from.
    pub fn columns(&self) -> &[(String, Type, SlotSource)] {
        &self.columns
    }

    /// What each family of features is expected to take up in memory.
    pub fn costs(&self) -> Vec<FamilyCost> {
        let cost =
            |family: &Arc<Family>| FamilyCost::new(family, &self.schema, &self.plan.features);
        self.families.iter().map(cost).collect()
    }

    /// Everything that says how state is laid out and what is in it, as text: the same for two runs
    /// exactly if one may go on with the state of the other.
    pub(crate) fn layout(&self) -> String {
        let fields: Vec<(&str, Type)> =
            self.schema.fields().iter().map(|field| (field.name.as_str(), field.kind)).collect();
        let Features { families, keepers, clusters, graph_tick, counterparties_max, .. } = self;
        let zone = &self.zone;
        format!(
            "{fields:?} {families:?} {keepers:?} {clusters:?} {graph_tick} {counterparties_max} \
             {zone:?}"
        )
    }

    /// The number of a keeper's answers among those of the families.
    pub(crate) fn kept_family(&self, keeper: Keeper) -> u32 {
        (self.families.len() + keeper as usize) as u32
    }

    /// The number of the answers about how many groups an account acted in.
    pub(crate) fn cluster_family(&self) -> u32 {
        (self.families.len() + kept::COUNT) as u32
    }

    /// The features that are null when the rules come into force, and the effective time from
    /// which on each has a value: what is new or changed has no full window before.
    pub fn warming(&self) -> impl Iterator<Item = (&str, i64)> {
        let named = |(at, until): &(usize, i64)| (self.plan.features[*at].0.as_str(), *until);
        self.warming.iter().map(named)
    }

    /// Empty columns for the computed features.
    pub(crate) fn computed_columns(&self) -> Vec<Column> {
        let kind = |computed: &Computed| match &computed.formula {
            Formula::Expr(program) => program.kind(),
            Formula::Ratio(_) => Type::Double,
            Formula::Learnt(answer) => answer.kind(),
        };
        self.computed.iter().map(|computed| Column::empty(kind(computed))).collect()
    }
}

impl Catalogue {
    /// All names that events of `schema`, the declarations of `file` and the lexicon give, and
    /// which of the declarations take a name that something else has.
    pub fn new(
        schema: Arc<Schema>,
        (file, text): (&Path, &str),
        mut declarations: Vec<Declaration>,
        lexicon: &Lexicon,
    ) -> (Catalogue, Vec<Diagnostic>) {
        let own = declarations.len();
        let said = |one: &Declaration| declarations.iter().any(|held| held.name == one.name);
        let built_in: Vec<_> = built_in::declarations(&schema);
        let unsaid: Vec<_> = built_in.into_iter().filter(|one| !said(one)).collect();
        declarations.extend(unsaid);
        let mut entries = BTreeMap::new();
        add_fields(&mut entries, &schema);
        add_built_in(&mut entries, lexicon);
        let mut diagnostics = Vec::new();
        for (at, declaration) in declarations.iter().enumerate() {
            if let Some(held) = entries.get(&declaration.name) {
                diagnostics.push(taken(file, declaration, held));
                continue;
            }
            entries.insert(declaration.name.clone(), declared(&schema, declaration, at));
        }
        let catalogue = Catalogue {
            schema,
            file: file.to_owned(),
            text: text.to_owned(),
            entries,
            declarations,
            own,
            settled: false,
            computed_on: BTreeMap::new(),
            used: RefCell::default(),
        };
        (catalogue, diagnostics)
    }

    /// The name of each slot that has been given out, in order.
    pub fn slot_names(&self) -> Vec<String> {
        self.used.borrow().slots.clone()
    }

    /// The entries by name.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// The features that are computed from other values, built-in ones included.
    pub(crate) fn computed(&self) -> impl Iterator<Item = &str> {
        let is_computed = |one: &&Declaration| !matches!(one.body, Body::Windowed(_));
        self.declarations.iter().filter(is_computed).map(|one| one.name.as_str())
    }

    /// Compiles all features, once the rules have named what they use.
    pub fn compile(
        &self,
        order: &[String],
        context: &Context<'_>,
        lexicon: Arc<Lexicon>,
    ) -> Result<Features, Vec<Diagnostic>> {
        let no_params = BTreeMap::new();
        let environment = self.environment(context, &no_params);
        let mut diagnostics = Vec::new();
        let wanted = self.wanted(context);
        let mut definitions: Vec<Definition> = Vec::new();
        let mut conditions: BTreeMap<String, Program> = BTreeMap::new();
        for declaration in self.declarations.iter().filter(|one| wanted.contains(&one.name)) {
            let Body::Windowed(windowed) = &declaration.body else {
                continue;
            };
            match self.condition(windowed, &environment) {
                Ok(where_) => {
                    let mut windowed = windowed.clone();
                    windowed.where_ = where_.as_ref().map(|(text, _)| (text.clone(), 0..0));
                    conditions.extend(where_);
                    definitions.push(Definition { name: declaration.name.clone(), windowed });
                }
                Err(errors) => diagnostics.extend(errors),
            }
        }
        let order: Vec<&String> = order.iter().filter(|name| wanted.contains(*name)).collect();
        let programs = self.programs(&order, &environment, &mut diagnostics);
        let attributes = self.used.borrow().attributes.clone();
        let implicit = attributes
            .into_iter()
            .filter_map(|name| attribute(&name).map(|windowed| Definition { name, windowed }));
        definitions.extend(implicit);
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let plan = Plan::new(&self.schema, definitions);
        let features = self.assemble(plan, (conditions, programs), &wanted, lexicon, context);
        let differ = self.learnt_differ(&features);
        if differ.is_empty() { Ok(features) } else { Err(differ) }
    }

    /// The declarations that are computed: those of the file, and of the built-in ones all or
    /// those that something uses.
    fn wanted(&self, context: &Context<'_>) -> BTreeSet<String> {
        let name = |declaration: &Declaration| declaration.name.clone();
        let (own, built_in) = self.declarations.split_at(self.own);
        let mut wanted: BTreeSet<String> = own.iter().map(name).collect();
        if context.columns == Columns::All {
            wanted.extend(built_in.iter().map(name));
            return wanted;
        }
        let mut waiting = self.used.borrow().slots.clone();
        waiting.extend(self.used.borrow().asked.iter().cloned());
        while let Some(name) = waiting.pop() {
            let Some(declaration) = built_in.iter().find(|one| one.name == name) else { continue };
            if wanted.insert(name)
                && let Body::Expr { source, .. } = &declaration.body
                && let Ok(ast) = expr::parse(source)
            {
                waiting.extend(ast.names());
            }
        }
        wanted
    }

    fn programs(
        &self,
        order: &[&String],
        environment: &Environment<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<(String, Formula)> {
        let mut programs = Vec::new();
        for name in order {
            let found = self.declarations.iter().find(|declaration| declaration.name == **name);
            let (source, span) = match found.map(|declaration| &declaration.body) {
                Some(Body::Expr { source, span }) => (source, span),
                Some(Body::Learnt { learnt, .. }) => {
                    let slot = |name: &str| self.lookup(name).map(|(slot, _)| usize::from(slot.0));
                    let answer = learnt.answer(slot).map(Formula::Learnt);
                    programs.extend(answer.map(|answer| ((*name).clone(), answer)));
                    continue;
                }
                _ => continue,
            };
            let compiled = expr::parse(source).and_then(|ast| expr::compile(&ast, environment));
            match compiled {
                Ok(program) => programs.push(((*name).clone(), Formula::Expr(program))),
                Err(errors) => diagnostics.extend(self.located(errors, span)),
            }
        }
        programs
    }

    fn assemble(
        &self,
        mut plan: Plan,
        (mut conditions, programs): (BTreeMap<String, Program>, Vec<(String, Formula)>),
        wanted: &BTreeSet<String>,
        lexicon: Arc<Lexicon>,
        context: &Context<'_>,
    ) -> Features {
        let place = |name: &str| plan.features.iter().position(|(held, _)| held == name);
        let ratios = self.declarations.iter().filter_map(|declaration| match &declaration.body {
            Body::Windowed(windowed) if windowed.agg == Agg::RatioToMean => {
                Some((declaration.name.clone(), Formula::Ratio(place(&declaration.name)?)))
            }
            _ => None,
        });
        let formulas: Vec<(String, Formula)> = ratios.chain(programs).collect();
        let source = |name: &str| -> SlotSource {
            if let Some(at) = formulas.iter().position(|(held, _)| held == name) {
                return SlotSource::Computed(at);
            }
            match &self.entries[name].source {
                EntrySource::Field(field) => SlotSource::Field(*field),
                EntrySource::Payer => SlotSource::Payer,
                EntrySource::Payee => SlotSource::Payee,
                EntrySource::Text(at) => SlotSource::Text(*at),
                EntrySource::Kept(at) => SlotSource::Kept(*at),
                EntrySource::Cluster(cluster) => SlotSource::Cluster(*cluster),
                EntrySource::Declared(_) | EntrySource::Attribute => {
                    SlotSource::Windowed(place(name).unwrap_or(usize::MAX))
                }
            }
        };
        let used = self.used.borrow();
        let slots: Vec<SlotSource> = used.slots.iter().map(|name| source(name)).collect();
        let slot_of = |name: &str| used.slots.iter().position(|held| held == name);
        let column = |name: &String| (name.clone(), self.entries[name].kind, source(name));
        let declared = self.declarations.iter().map(|declaration| &declaration.name);
        let declared = declared.filter(|name| wanted.contains(*name));
        let shown = |name: &str| {
            context.columns == Columns::All || slot_of(name).is_some() || used.asked.contains(name)
        };
        // The referee's finding is in the decision.
        let built_in = self.entries.iter().filter(|(name, entry)| match entry.source {
            EntrySource::Text(_) | EntrySource::Cluster(_) => shown(name),
            EntrySource::Kept(at) => at != OUTCOME && shown(name),
            _ => false,
        });
        let columns: Vec<_> = declared
            .chain(built_in.map(|(name, _)| name))
            .chain(&used.attributes)
            .map(column)
            .collect();
        let read = || slots.iter().copied().chain(columns.iter().map(|(.., source)| *source));
        let keepers = Keepers::of(read().filter_map(|source| match source {
            SlotSource::Kept(at) => Some(at),
            _ => None,
        }));
        let linked = read().any(|source| matches!(source, SlotSource::Cluster(_)))
            || plan.families.iter().any(Family::uses_clusters);
        let computed = formulas
            .iter()
            .map(|(name, _)| slot_of(name))
            .collect::<Vec<_>>()
            .into_iter()
            .zip(formulas)
            .map(|(slot, (name, formula))| Computed { name, slot, formula })
            .collect();
        let families = std::mem::take(&mut plan.families).into_iter().map(Arc::new).collect();
        Features {
            schema: self.schema.clone(),
            conditions: plan.conditions.iter().map(|(_, text)| conditions.remove(text)).collect(),
            lent: Vec::new(),
            plan: Arc::new(plan),
            families,
            warming: Vec::new(),
            slots,
            computed,
            columns,
            lexicon,
            keepers,
            clusters: context.clusters.clone().filter(|_| linked),
            graph_tick: context.graph_tick,
            counterparties_max: context.counterparties_max,
            zone: context.zone.clone(),
            definitions: match self.settled {
                true => self.definitions(context),
                false => Definitions::default(),
            },
        }
    }

    fn environment<'e>(
        &'e self,
        context: &Context<'e>,
        params: &'e BTreeMap<String, Param>,
    ) -> Environment<'e> {
        Environment {
            names: self,
            params,
            conditions: context.conditions,
            lists: context.lists,
            zone: context.zone,
        }
    }

    /// A stream's condition, which may use the event's own values only, in its normal form with
    /// named conditions in place of their names.
    fn condition(
        &self,
        windowed: &Windowed,
        environment: &Environment<'_>,
    ) -> Result<Option<(String, Program)>, Vec<Diagnostic>> {
        let Some((source, span)) = &windowed.where_ else {
            return Ok(None);
        };
        let ast = expr::parse(source).map_err(|errors| self.located(errors, span))?;
        let own = |name: &String| {
            self.entries.get(name).is_none_or(|entry| {
                matches!(
                    entry.source,
                    EntrySource::Field(_)
                        | EntrySource::Payer
                        | EntrySource::Payee
                        | EntrySource::Text(_)
                )
            })
        };
        if let Some(name) = names_of(&ast, environment.conditions).iter().find(|name| !own(name)) {
            return Err(vec![self.not_own(name, span.clone())]);
        }
        let program =
            expr::compile(&ast, environment).map_err(|errors| self.located(errors, span))?;
        if program.kind() != Type::Bool {
            return Err(vec![self.not_a_condition(program.kind(), span.clone())]);
        }
        let filed = windowed.filed(&self.schema);
        if let Some(error) = self.never_true(&ast, filed, environment.conditions) {
            return Err(self.located(vec![error], span));
        }
        Ok(Some((ast.expanded(environment.conditions).canonical(), program)))
    }

    fn located(&self, errors: Vec<ExprError>, literal: &std::ops::Range<usize>) -> Vec<Diagnostic> {
        let locate = |error| located(&self.file, &self.text, literal, error);
        errors.into_iter().map(locate).collect()
    }

    fn not_a_condition(&self, kind: Type, span: std::ops::Range<usize>) -> Diagnostic {
        let message = Message::new(
            format!("this is {}, and a condition is true or false", kind.with_article()),
            format!("类型是 {kind},而条件应为真或假"),
        );
        problem("not-a-condition", &self.file, span, message, None)
    }

    fn not_own(&self, name: &str, span: std::ops::Range<usize>) -> Diagnostic {
        problem(
            "where-uses-feature",
            &self.file,
            span,
            Message {
                en: format!("`{name}` is not a field of the contributing event"),
                zh: format!("`{name}` 不是贡献事件自身的字段"),
            },
            Some(Message {
                en: "`where` sees the event's own fields and text features only".to_owned(),
                zh: "`where` 只能使用事件自身的字段和文本特征".to_owned(),
            }),
        )
    }
}

/// The names that an expression uses, those of the conditions that it names included.
fn names_of(ast: &Ast, conditions: &BTreeMap<String, Ast>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<String> = ast.names().into_iter().collect();
    while let Some(name) = waiting.pop() {
        if let Some(condition) = conditions.get(&name)
            && !found.contains(&name)
        {
            waiting.extend(condition.names());
        }
        found.insert(name);
    }
    found
}

fn problem(
    code: &'static str,
    file: &Path,
    span: std::ops::Range<usize>,
    message: Message,
    hint: Option<Message>,
) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code,
        file: file.to_owned(),
        span: Some(span),
        message,
        hint,
    }
}

fn taken(file: &Path, declaration: &Declaration, held: &Entry) -> Diagnostic {
    let name = &declaration.name;
    let doc = &held.doc;
    problem(
        "name-taken",
        file,
        declaration.span.clone(),
        Message {
            en: format!("the name `{name}` is taken: {doc}"),
            zh: format!("名称 `{name}` 已被占用:{}", held.doc_zh),
        },
        None,
    )
}
