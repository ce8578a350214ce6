//! A rules directory as a whole: read, checked, compiled, hashed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::file::{RuleFile, Status};
use super::files::{Files, empty_lexicon};
use super::links::LinkPolicy;
use super::policy::Policy;
use super::template::Template;
use super::{canonical, check};
use crate::decision::Verdict;
use crate::diagnostic::{Diagnostic, Failure, Severity, Sources};
use crate::event::{KindSet, Schema, Type};
use crate::expr::{Ast, Constant, Environment, List, Names, Param, Program, Slot, Zone};
use crate::features::catalogue::{Catalogue, Context, Features};
use crate::features::devices::{Clusters, Link};

/// A rule ready to run.
#[derive(Clone, Debug)]
pub struct Rule {
    /// As written.
    pub file: RuleFile,
    /// The condition.
    pub program: Program,
    /// The reason.
    pub reason: Template,
    /// The reason in Chinese; the English one where the file has none.
    pub reason_zh: Template,
    /// The names that its condition and reasons use, with slot and type, by name.
    pub uses: Vec<(String, Slot, Type)>,
    /// The percentage of values, and the slot, by which it is rolled out.
    pub rollout: Option<(i64, Slot)>,
    /// The given features of each of its tests.
    pub pins: Vec<Vec<Pin>>,
}

/// A feature whose value a test gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Pin {
    /// Its place in the row.
    pub slot: Slot,
    /// Its value.
    pub value: Constant,
}

/// The lists by which verdicts are lifted, on accounts and on groups.
pub type Lifts = [Option<Arc<List>>; 2];

/// The rules of a directory.
#[derive(Clone, Debug)]
pub struct RuleSet {
    /// All rules, by id.
    pub rules: Vec<Rule>,
    /// The policy.
    pub policy: Policy,
    /// The lists by which verdicts on accounts and on groups are lifted.
    pub lifts: Lifts,
    /// BLAKE3 of the canonical form of everything that can change a decision or its record.
    pub hash: blake3::Hash,
}

/// A rules directory, loaded.
pub struct Loaded {
    /// The rules and the policy.
    pub rules: RuleSet,
    /// The features, ready to run.
    pub features: Features,
    /// Every name with its meaning.
    pub catalogue: Catalogue,
    /// What is probably not meant, though it can run.
    pub warnings: Vec<Diagnostic>,
    /// The texts of the files, in which warnings and failed tests are shown.
    pub sources: Sources,
    /// What conditions may name beside fields, features and their own parameters.
    pub vocabulary: Vocabulary,
}

/// What conditions may name beside fields, features and parameters.
pub struct Vocabulary {
    /// Named conditions.
    pub conditions: BTreeMap<String, Ast>,
    /// Lists and calendars.
    pub lists: BTreeMap<String, Arc<List>>,
    /// The zone of hours and days.
    pub zone: Arc<Zone>,
}

impl Vocabulary {
    /// What a condition with these parameters is compiled with. To be run on rows of a rules
    /// directory's own features it must name nothing that no rule of it names: such a name has no
    /// place in a row.
    pub fn environment<'e>(
        &'e self,
        names: &'e dyn Names,
        params: &'e BTreeMap<String, Param>,
    ) -> Environment<'e> {
        Environment {
            names,
            params,
            conditions: &self.conditions,
            lists: &self.lists,
            zone: &self.zone,
        }
    }
}

impl Loaded {
    /// What a condition of one of these rules is compiled with, as [`Vocabulary::environment`].
    pub fn environment<'e>(&'e self, params: &'e BTreeMap<String, Param>) -> Environment<'e> {
        self.vocabulary.environment(&self.catalogue, params)
    }
}

/// Loads a rules directory for events of a schema. What the directory leaves out has its
/// default; without a directory there are no rules and no declared features. All mistakes of all
/// files are said at once.
pub fn load(directory: Option<&Path>, schema: &Arc<Schema>) -> Result<Loaded, Failure> {
    load_with(directory, schema, &|_| {})
}

/// The same; `ask` may ask the catalogue for more than the rules use.
pub fn load_with(
    directory: Option<&Path>,
    schema: &Arc<Schema>,
    ask: &dyn Fn(&Catalogue),
) -> Result<Loaded, Failure> {
    let mut files = Files::read(directory, schema)?;
    let features_file = files.features_file();
    let text = files.sources.get(&features_file).unwrap_or("").to_owned();
    let declarations = files.declarations.list.clone();
    let place = (features_file.as_path(), text.as_str());
    let (mut catalogue, wrong) =
        Catalogue::new(schema.clone(), place, declarations, &files.lexicon);
    files.found.extend(wrong);
    let (conditions, lists, zone) =
        (files.conditions.clone(), files.lists.clone(), files.zone.clone());
    let clusters = clusters_of(&files.policy, schema);
    let (graph_tick, columns) = (files.policy.graph_tick, files.policy.columns);
    let counterparties_max = files.policy.counterparties_max as usize;
    let vocabulary = Vocabulary { conditions, lists, zone };
    let (conditions, lists) = (&vocabulary.conditions, &vocabulary.lists);
    let zone = &vocabulary.zone;
    let context =
        Context { conditions, lists, zone, clusters, graph_tick, counterparties_max, columns };
    let mut broken: BTreeSet<String> = files.declarations.broken.iter().cloned().collect();
    let order = catalogue.settle(&context).unwrap_or_else(|wrong| {
        files.found.extend(wrong);
        // Their types are not known, so nothing can be said of a rule that uses one.
        broken.extend(catalogue.computed().map(str::to_owned));
        Vec::new()
    });
    let (never, wrong) = catalogue.find_carriers(&order, conditions);
    broken.extend(never);
    files.found.extend(wrong);
    let rules = check::compile(&mut files, &catalogue, broken);
    let hash = canonical::hash(&files);
    ask(&catalogue);
    let lexicon = Arc::new(std::mem::replace(&mut files.lexicon, empty_lexicon()));
    let features = catalogue.compile(&order, &context, lexicon);
    let Files { mut found, sources, policy, .. } = files;
    let features = match features {
        Ok(features) => Some(features),
        Err(wrong) => {
            found.extend(wrong);
            None
        }
    };
    let place = |one: &Diagnostic| one.span.as_ref().map_or(0, |span| span.start);
    found.sort_by(|a, b| a.file.cmp(&b.file).then_with(|| place(a).cmp(&place(b))));
    found.dedup();
    let wrong = found.iter().any(|one| one.severity == Severity::Error);
    match features.filter(|_| !wrong) {
        Some(features) => {
            let lifts = policy.lifts.each_ref().map(|lift| {
                lift.as_ref().and_then(|lift| vocabulary.lists.get(&lift.list).cloned())
            });
            let rules = RuleSet { rules, policy, lifts, hash };
            Ok(Loaded { rules, features, catalogue, warnings: found, sources, vocabulary })
        }
        None => Err(Failure::Input(found, sources)),
    }
}

fn clusters_of(policy: &Policy, schema: &Schema) -> Option<Clusters> {
    let link = |link: &LinkPolicy| Link {
        name: link.name.clone(),
        fields: link.fields.iter().filter_map(|field| schema.find(field)).collect(),
        hub_limit: link.hub_limit as usize,
    };
    policy.devices.clusters.then(|| Clusters {
        graph_tick: policy.graph_tick,
        window: policy.devices.window,
        links: policy.devices.links.iter().map(link).collect(),
    })
}

impl RuleSet {
    /// The rules that run, with their places.
    pub fn running(&self) -> impl Iterator<Item = (usize, &Rule)> {
        let runs = |rule: &Rule| matches!(rule.file.status, Status::Live | Status::Shadow);
        self.rules.iter().enumerate().filter(move |(_, rule)| runs(rule))
    }

    /// The kinds on which some rule runs.
    pub fn kinds(&self) -> KindSet {
        KindSet(self.running().fold(0, |kinds, (_, rule)| kinds | rule.file.on.0))
    }

    /// The strictest decision that a floor can give.
    pub fn floor_max(&self) -> Verdict {
        self.running().map(|(_, rule)| rule.file.floor).max().unwrap_or(Verdict::Allow)
    }
}
