//! `hongxian simulate`.

use std::path::PathBuf;

use super::print;
use crate::diagnostic::Failure;
use crate::simulate;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Scenario file
    scenario: PathBuf,
    /// The same seed gives the same events
    #[arg(long)]
    seed: u64,
    /// Directory for events.parquet and labels.parquet
    #[arg(long)]
    out: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let population = simulate::command(&arguments.scenario, arguments.seed, &arguments.out)?;
    print(&simulate::fidelity::table(&simulate::fidelity(&population)));
    Ok(())
}
