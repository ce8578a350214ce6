//! The normal form of a rules directory, and its hash: two directories have one hash exactly if
//! they say the same of everything that can change a decision or its record.
//!
//! How the files are written, in which files and order, does not count; nor do titles, tests,
//! documentation, and rules that do not run.

use std::collections::BTreeMap;

use super::file::RuleFile;
use super::files::Files;
use super::params;
use crate::expr;
use crate::features::declare::{Body, Declaration, Windowed};

/// The hash of everything that can change a decision or its record.
pub(super) fn hash(files: &Files) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"hongxian rules 1\n");
    for (key, text) in sections(files) {
        // Lengths in front keep neighbouring texts apart whatever stands in them.
        for part in [&key, &text] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize()
}

/// The sections of the normal form by name.
fn sections(files: &Files) -> BTreeMap<String, String> {
    let mut sections = BTreeMap::new();
    sections.insert("policy".to_owned(), files.policy.canonical());
    sections.insert("phrases".to_owned(), files.lexicon.canonical());
    for (name, condition) in &files.conditions {
        sections.insert(format!("condition {name}"), condition.canonical());
    }
    for declaration in &files.declarations.list {
        sections.insert(format!("feature {}", declaration.name), feature(declaration));
    }
    for (name, list) in &files.lists {
        let mut text = String::new();
        for (value, times) in list.entries() {
            let mut times = times.to_vec();
            times.sort_unstable();
            text.push_str(&format!("{value:?} {times:?}\n"));
        }
        sections.insert(format!("list {name}"), text);
    }
    for rule in files.rules.iter().filter(|rule| rule.status.runs()) {
        sections.insert(format!("rule {}", rule.id), canonical_rule(rule));
    }
    sections
}

fn canonical_rule(rule: &RuleFile) -> String {
    let mut out = format!("status {}\n", rule.status.name());
    if let Some(rollout) = &rule.rollout {
        out.push_str(&format!("rollout {} {:?}\n", rollout.percent, rollout.by.get_ref()));
    }
    let on: Vec<&str> = rule.on.iter().map(|kind| kind.name()).collect();
    out.push_str(&format!("on {}\n", on.join(",")));
    if let Some((_, ast)) = &rule.when {
        out.push_str(&format!("when {}\n", ast.canonical()));
    }
    let (score, floor, allows) = (rule.score, rule.floor.name(), rule.allows);
    out.push_str(&format!("score {score} floor {floor} allows {allows}\n"));
    for reason in [&rule.reason, &rule.reason_zh].into_iter().flatten() {
        out.push_str(&format!("reason {:?}\n", reason.get_ref()));
    }
    for (name, param) in &rule.params.values {
        out.push_str(&format!("param {name} {}\n", params::canonical(param)));
    }
    out
}

fn feature(declaration: &Declaration) -> String {
    let body = match &declaration.body {
        Body::Expr { source, .. } => format!("expr {}", expression(source)),
        Body::Windowed(windowed) => canonical_window(windowed),
        Body::Learnt { learnt, .. } => format!("model {} {}", learnt.hash, learnt.gives.name()),
    };
    // The unit decides how a reason shows the value.
    format!("{body}\nunit {:?}\n", declaration.unit)
}

fn canonical_window(windowed: &Windowed) -> String {
    let over: Vec<&str> = windowed.over.iter().map(|kind| kind.name()).collect();
    let where_ = windowed.where_.as_ref().map(|(source, _)| expression(source));
    format!(
        "over {} where {:?} key {:?} at {:?} agg {:?} window {:?} include_current {}",
        over.join(","),
        where_,
        windowed.key,
        windowed.at,
        windowed.agg,
        windowed.window,
        windowed.include_current
    )
}

/// The normal spelling of an expression; one with a mistake never gets to a hash.
fn expression(source: &str) -> String {
    expr::parse(source).map_or_else(|_| source.to_owned(), |ast| ast.canonical())
}
