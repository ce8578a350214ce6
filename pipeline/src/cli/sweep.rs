//! `hongxian sweep`.

use std::path::PathBuf;

use super::reading::again;
use super::{Shown, environment, print, with_run};
use crate::diagnostic::Failure;
use crate::report::{self, Screen};
use crate::sweep::{self, Request};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Run directory of a backtest; its inputs are read again
    run: PathBuf,
    /// The rule
    #[arg(long, value_name = "ID")]
    rule: String,
    /// A parameter of it, or `score`, and its values: `min="1000 yuan,2000 yuan"`, `n=2..10/2`
    /// (from..to/step), or the name alone for some around the one that stands; of several, every
    /// combination
    #[arg(long = "param", value_name = "NAME[=VALUES]", required = true, value_parser = param)]
    params: Vec<(String, Option<String>)>,
    /// The rules directory [default: the run's]
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Worker threads, on which no result depends [default: the machine's cores]
    #[arg(long)]
    workers: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// `NAME`, or `NAME=VALUES`.
fn param(text: &str) -> Result<(String, Option<String>), String> {
    let (name, values) = match text.split_once('=') {
        Some((name, values)) => (name.trim(), Some(values.trim().to_owned())),
        None => (text.trim(), None),
    };
    if name.is_empty() || values.as_deref() == Some("") {
        return Err("write NAME, or NAME=VALUES".to_owned());
    }
    Ok((name.to_owned(), values))
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let request = Request {
        rule: arguments.rule.clone(),
        params: arguments.params.clone(),
        rules: arguments.rules.clone(),
    };
    let (_, found) = again(arguments.workers, |work, options, (progress, interrupted)| {
        with_run(&arguments.run, shown, |run| {
            sweep::sweep(run, &request, work, options, (progress, interrupted.clone()))
        })
    })?;
    if arguments.json {
        let json = serde_json::to_value(&found).map_err(|error| environment(error.to_string()))?;
        print(&report::json(&json));
    } else {
        let screen = Screen { lang: shown.lang, width: shown.width, rich: shown.rich };
        print(&sweep::terminal(&found, screen));
    }
    Ok(())
}
