//! `hongxian explain` and `hongxian why-not`.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::reading::Reading;
use super::{Shown, environment, print, with_run};
use crate::diagnostic::Failure;
use crate::explain;
use crate::report::{self, Screen};

#[derive(clap::Args)]
struct Arguments {
    /// Run directory of a backtest; its inputs are read again
    run: PathBuf,
    /// Id of the transaction
    event_id: String,
    /// Rules directory [default: the rules that decided]
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    of: Arguments,
    /// For each rule that hit, as few earlier events as make it hit, and them as a [[test]]
    #[arg(long)]
    witness: bool,
}

#[derive(clap::Args)]
pub(super) struct WhyNotArguments {
    #[command(flatten)]
    of: Arguments,
    /// Id of the rule, which is the name of its file
    #[arg(long, value_name = "ID")]
    rule: String,
}

pub(super) fn run(arguments: &ExplainArguments, shown: Shown) -> Result<(), Failure> {
    let ExplainArguments { of, witness } = arguments;
    let progress = Reading::begin(&Arc::default());
    let by = (of.rules.as_deref(), *witness);
    let found = with_run(&of.run, shown, |run| {
        explain::explain(run, &of.event_id, by, shown.lang, &progress)
    });
    progress.end();
    show(&found?.1, of.json, shown, explain::explanation)
}

pub(super) fn why_not(arguments: &WhyNotArguments, shown: Shown) -> Result<(), Failure> {
    let WhyNotArguments { of, rule } = arguments;
    let progress = Reading::begin(&Arc::default());
    let asked = (of.event_id.as_str(), rule.as_str());
    let found = with_run(&of.run, shown, |run| {
        explain::why_not(run, asked, of.rules.as_deref(), shown.lang, &progress)
    });
    progress.end();
    show(&found?.1, of.json, shown, explain::miss)
}

fn show<T: Serialize>(
    found: &T,
    json: bool,
    shown: Shown,
    terminal: impl FnOnce(&T, Screen) -> String,
) -> Result<(), Failure> {
    if json {
        let json = serde_json::to_value(found).map_err(|error| environment(error.to_string()))?;
        print(&report::json(&json));
    } else {
        let screen = Screen { lang: shown.lang, width: shown.width, rich: shown.rich };
        print(&terminal(found, screen));
    }
    Ok(())
}
