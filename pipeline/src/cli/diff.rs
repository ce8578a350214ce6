//! `hongxian diff`.

use std::path::PathBuf;

use super::reading::again;
use super::{Shown, environment, print, with_run};
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
    let (run, found) = again(arguments.workers, |work, options, (progress, interrupted)| {
        with_run(&arguments.run, shown, |run| {
            diff::diff(run, &arguments.rules, work, options, (progress, interrupted.clone()))
        })
    })?;
    if arguments.json {
        let json = serde_json::to_value(&found).map_err(|error| environment(error.to_string()))?;
        print(&report::json(&json));
    } else {
        let screen = Screen { lang: shown.lang, width: shown.width, rich: shown.rich };
        print(&diff::terminal(&found, run.zone(), screen));
    }
    Ok(())
}
