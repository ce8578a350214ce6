//! What the columns mean: a model is bound to the definitions of what it reads.

use std::sync::Arc;

use models::Column;

use super::selection::Selection;
use super::usage;
use crate::diagnostic::Failure;
use crate::features::Features;
use crate::finished::FinishedRun;

/// The features of the run as its rules define them.
///
/// # Errors
/// When the rules are not there, or are not what they were, or changed during the run: nobody could
/// say then what the columns mean.
pub(super) fn features(run: &FinishedRun) -> Result<Features, Failure> {
    if run.has_changes() {
        // A column would be two features under one name.
        return Err(usage(
            "the rules changed during this run, and a column of it is not one feature: backtest its \
             events with one rules directory, and train on that",
            "该运行期间规则有变更，同一列并非同一特征：请用一套规则重新回测后再训练",
        ));
    }
    let schema = Arc::new(run.schema()?);
    let loaded = crate::rules::load(run.rules(), &schema)?;
    if loaded.rules.hash.to_hex().as_str() == run.rules_hash() {
        return Ok(loaded.features);
    }
    let rules = run.rules().map(|rules| rules.display().to_string()).unwrap_or_default();
    Err(usage(
        format!(
            "{rules} is not what it was when this run was made, and a model is bound to what its \
             features mean: run the backtest again, or bring the rules back"
        ),
        format!("{rules} 与该运行生成时不同，而模型须与其特征的定义绑定：请重新回测，或恢复规则"),
    ))
}

/// Takes out of a selection what hangs on earlier decisions, and gives its names: a model's score
/// would hang on the rules, and on itself.
pub(super) fn leave_out_decisions(selection: &mut Selection, features: &Features) -> Vec<String> {
    let hangs = |name: &str| features.definition(name).is_some_and(|found| found.of_decisions);
    let (out, kept): (Vec<_>, Vec<_>) =
        std::mem::take(&mut selection.numbers).into_iter().partition(|n| hangs(&n.0));
    selection.numbers = kept;
    let (mut names, texts): (Vec<String>, Vec<String>) =
        std::mem::take(&mut selection.coded).into_iter().partition(|name| hangs(name));
    selection.coded = texts;
    names.extend(out.into_iter().map(|(name, _)| name));
    names
}

/// Gives each column the hash of its definition.
///
/// # Errors
/// When the rules define no such name, as where they changed during the run.
pub(super) fn define(columns: &mut [Column], features: &Features) -> Result<(), Failure> {
    let mut strange = Vec::new();
    for column in columns {
        match features.definition(&column.name) {
            Some(found) => column.definition = found.hash,
            None => strange.push(column.name.clone()),
        }
    }
    if strange.is_empty() {
        return Ok(());
    }
    let names = strange.join(", ");
    Err(usage(
        format!(
            "the rules with which this run began do not define {names}; leave them out by \
             features.exclude"
        ),
        format!("该运行开始时的规则未定义 {names}；请用 features.exclude 排除"),
    ))
}
