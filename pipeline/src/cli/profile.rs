//! `hongxian profile`.

use std::path::PathBuf;
use std::sync::Arc;

use super::reading::Reading;
use super::{Shown, environment, note, print, with_run};
use crate::diagnostic::{Failure, Message};
use crate::profile;
use crate::report::{self, Screen};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Run directory of a backtest; its inputs are read again
    run: PathBuf,
    /// Account id; where the run has pseudonyms, the pseudonym or what the key makes it of
    account: String,
    /// Look only at the last so many days of the run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,
    /// Print one JSON object, with more decisions and all features that moved
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let progress = Reading::begin(&Arc::default());
    let looked = with_run(&arguments.run, shown, |run| {
        profile::look(run, &arguments.account, arguments.days, &progress)
    });
    progress.end();
    let (_, profile) = looked?;
    if profile.account != arguments.account {
        let (account, pseudonym) = (&arguments.account, &profile.account);
        let message = Message::new(
            format!("ids in this run are pseudonyms: {account} is {pseudonym}"),
            format!("该运行中的编号为假名：{account} 即 {pseudonym}"),
        );
        note(&message, shown);
    }
    if arguments.json {
        let json =
            serde_json::to_value(&profile).map_err(|error| environment(error.to_string()))?;
        print(&report::json(&json));
        return Ok(());
    }
    let screen = Screen { lang: shown.lang, width: shown.width, rich: shown.rich };
    print(&profile::terminal(&profile, screen));
    Ok(())
}
