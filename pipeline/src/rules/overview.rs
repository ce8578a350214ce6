//! What there is in a rules directory, as build servers and editors read it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::file::Status;
use super::files::DIMENSIONS;
use super::set::{Loaded, RuleSet};
use crate::diagnostic::{Diagnostic, Severity, Sources, to_json};
use crate::features::cost::FamilyCost;

/// What `hongxian rules check --json` prints. While there are errors nothing is compiled, and all
/// but the diagnostics is null.
#[derive(Debug, Serialize)]
pub struct Overview {
    /// `errors`, `warnings` or `ok`.
    pub status: &'static str,
    /// Diagnostics that keep the rules from running.
    pub errors: usize,
    /// Diagnostics that do not.
    pub warnings: usize,
    /// How many rules there are.
    pub rules: Option<RuleCounts>,
    /// The rule set's hash, as it stands in every decision.
    pub rules_hash: Option<String>,
    /// The columns of `features.parquet`, in that order.
    pub features: Option<Vec<Feature>>,
    /// What features that are filed under one key share, and its expected cost in bytes.
    pub families: Option<Vec<FamilyCost>>,
    /// Errors and warnings with file, line and column, by file and place.
    pub diagnostics: Value,
}

/// How many rules there are.
#[derive(Debug, Serialize)]
pub struct RuleCounts {
    /// All of them.
    pub all: usize,
    /// Those that a run evaluates: live and in shadow.
    pub running: usize,
    /// By status; each is there, also without rules.
    pub by_status: BTreeMap<&'static str, usize>,
    /// By dimension, which is the folder; each is there, also without rules.
    pub by_dimension: BTreeMap<&'static str, usize>,
}

/// One feature.
#[derive(Debug, Serialize)]
pub struct Feature {
    /// Its dotted name.
    pub name: String,
    /// The type of its values: int, double, bool or string.
    #[serde(rename = "type")]
    pub kind: String,
    /// Their unit; empty where there is none.
    pub unit: String,
    /// The family that holds its state; none for what is computed from one event or from clusters.
    pub family: Option<String>,
}

impl Overview {
    /// Of a directory that can run.
    pub fn of(loaded: &Loaded) -> Overview {
        let costs = loaded.features.costs();
        let rules = &loaded.rules;
        Overview {
            rules: Some(RuleCounts::of(rules)),
            rules_hash: Some(rules.hash.to_hex().to_string()),
            features: Some(features(loaded, &costs)),
            families: Some(costs),
            ..Overview::of_mistakes(&loaded.warnings, &loaded.sources)
        }
    }

    /// Of a directory that cannot.
    pub fn of_mistakes(found: &[Diagnostic], sources: &Sources) -> Overview {
        let count = |severity| found.iter().filter(|one| one.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        Overview {
            status: match (errors, warnings) {
                (0, 0) => "ok",
                (0, _) => "warnings",
                _ => "errors",
            },
            errors,
            warnings,
            rules: None,
            rules_hash: None,
            features: None,
            families: None,
            diagnostics: to_json(found, sources),
        }
    }
}

impl RuleCounts {
    fn of(set: &RuleSet) -> RuleCounts {
        let rules = || set.rules.iter().map(|rule| &rule.file);
        let by_status = |(name, status): (&'static str, Status)| {
            (name, rules().filter(|rule| rule.status == status).count())
        };
        let by_dimension =
            |name: &'static str| (name, rules().filter(|rule| rule.dimension == name).count());
        RuleCounts {
            all: set.rules.len(),
            running: set.running().count(),
            by_status: Status::ALL.into_iter().map(by_status).collect(),
            by_dimension: DIMENSIONS.into_iter().map(by_dimension).collect(),
        }
    }
}

fn features(loaded: &Loaded, costs: &[FamilyCost]) -> Vec<Feature> {
    let families: BTreeMap<&str, &str> = costs
        .iter()
        .flat_map(|cost| {
            let names = cost.streams.iter().flat_map(|stream| &stream.features);
            names.map(|name| (name.as_str(), cost.family.as_str()))
        })
        .collect();
    let entries = loaded.catalogue.entries();
    let columns = loaded.features.columns().iter();
    columns
        .map(|(name, kind, _)| Feature {
            name: name.clone(),
            kind: kind.to_string(),
            unit: entries.get(name).map(|entry| entry.unit.clone()).unwrap_or_default(),
            family: families.get(name.as_str()).map(|family| (*family).to_owned()),
        })
        .collect()
}
