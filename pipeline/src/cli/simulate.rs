//! `hongxian simulate`.

use std::path::PathBuf;

use super::print;
use crate::diagnostic::{Failure, Message};
use crate::simulate::{self, DIFFICULTIES, Difficulty, Scenario, fidelity};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Scenario file
    #[arg(required_unless_present = "check")]
    scenario: Option<PathBuf>,
    /// The same seed gives the same events
    #[arg(long, required_unless_present = "check")]
    seed: Option<u64>,
    /// Directory for events.parquet and labels.parquet
    #[arg(long, required_unless_present = "check")]
    out: Option<PathBuf>,
    /// How well all rings hide, whatever the scenario says: easy, medium or hard
    #[arg(long, value_parser = difficulty)]
    difficulty: Option<Difficulty>,
    /// Only sets the document's figures beside those of a population; exits 1 when one is missed
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "seed", "out", "difficulty"])]
    check: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(dir) = &arguments.check {
        let rows = fidelity::check(dir)?;
        print(&fidelity::table(&rows));
        let missed = rows.iter().filter(|row| !row.holds()).count();
        return if missed == 0 { Ok(()) } else { Err(missing(missed)) };
    }
    let (Some(scenario), Some(seed), Some(out)) =
        (&arguments.scenario, arguments.seed, &arguments.out)
    else {
        unreachable!("they are required without --check");
    };
    let scenario = Scenario::read(scenario, arguments.difficulty)?;
    simulate::command(&scenario, seed, out)?;
    print(&fidelity::table(&fidelity::check(out)?));
    Ok(())
}

fn missing(missed: usize) -> Failure {
    Failure::No(Message::new(
        format!("{missed} of the document's figures are missed"),
        format!("有 {missed} 项数据未达到文档的数值"),
    ))
}

fn difficulty(text: &str) -> Result<Difficulty, String> {
    let found = DIFFICULTIES.iter().find(|(name, _)| *name == text);
    found.map(|(_, difficulty)| *difficulty).ok_or_else(|| "easy, medium or hard".to_owned())
}
