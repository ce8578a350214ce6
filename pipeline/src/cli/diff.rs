//! `hongxian diff`.

use std::path::PathBuf;
use std::sync::Arc;

use super::backtest::BATCH;
use super::reading::Reading;
use super::{Shown, environment, opened, print};
use crate::dataflow::Options;
use crate::diagnostic::Failure;
use crate::diff;
use crate::report::{self, Screen};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Run directory of a backtest; its inputs are read again
    run: PathBuf,
    /// The other rules directory
    #[arg(long, value_name = "NEW")]
    rules: PathBuf,
    /// Worker threads, on which no result depends [default: the machine's cores]
    #[arg(long)]
    workers: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let run = opened(&arguments.run, shown)?;
    let work = tempfile::tempdir().map_err(|error| environment(error.to_string()))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = arguments.workers.unwrap_or(cores).max(1);
    let options = Options { workers, tick: 1_000, batch: BATCH, sorted: true };
    let interrupted = Arc::default();
    let progress = Reading::begin(&interrupted);
    let rules = &arguments.rules;
    let found = diff::diff(&run, rules, work.path(), options, (&progress, interrupted.clone()));
    progress.end();
    let found = found?;
    if arguments.json {
        let json = serde_json::to_value(&found).map_err(|error| environment(error.to_string()))?;
        print(&report::json(&json));
    } else {
        let screen = Screen { lang: shown.lang, width: shown.width, rich: shown.rich };
        print(&diff::terminal(&found, run.zone(), screen));
    }
    Ok(())
}
