//! `hongxian lens`.

use std::path::PathBuf;
use std::sync::Arc;

use super::reading::Reading;
use super::{Shown, environment, print, with_run};
use crate::diagnostic::{Failure, unwritable};
use crate::lens::{self, TypeSource};
use crate::report::{self, Screen};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Run directory of a backtest; its inputs are read again
    run: PathBuf,
    /// HTML file to write as well: tables and plots, offline, in both languages
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// Whence the types of groups come: model (social.group.type_model), features
    /// (social.group.type), labels (the role of honest groups), events (extra.group_type on group
    /// events) [default: the first that tells of any]
    ///
    /// A source that tells of no group is an error, which names those that do. By a feature a group is
    /// of the type that most of its transactions have, of as many the first of gambling, family,
    /// interest, business.
    #[arg(long, value_name = "SOURCE", value_parser = source)]
    group_types: Option<TypeSource>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let progress = Reading::begin(&Arc::default());
    let looked =
        with_run(&arguments.run, shown, |run| lens::look(run, arguments.group_types, &progress));
    progress.end();
    let (_, lens) = looked?;
    if let Some(out) = &arguments.out {
        std::fs::write(out, lens::html(&lens))
            .map_err(|error| Failure::Environment(unwritable(out, &error)))?;
    }
    if arguments.json {
        let json = serde_json::to_value(&lens).map_err(|error| environment(error.to_string()))?;
        print(&report::json(&json));
        return Ok(());
    }
    let screen = Screen { lang: shown.lang, width: shown.width, rich: shown.rich };
    print(&lens::terminal(&lens, screen));
    if let Some(out) = &arguments.out {
        print(&format!("\n{}\n", out.display()));
    }
    Ok(())
}

fn source(text: &str) -> Result<TypeSource, String> {
    let found = TypeSource::ALL.into_iter().find(|source| source.name() == text);
    found.ok_or_else(|| TypeSource::ALL.map(TypeSource::name).join(", "))
}
