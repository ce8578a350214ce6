//! `hongxian simulate`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::reading::Reading;
use super::{Shown, end_on_ctrl_c, print};
use crate::diagnostic::{Failure, Message};
use crate::run::ModelPaths;
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
    ///
    /// What an earlier run left there (labels, truth.parquet, loop.json, and run/ beside that) is
    /// removed.
    #[arg(long, required_unless_present = "check")]
    out: Option<PathBuf>,
    /// Rules that decide on what happens while it happens
    ///
    /// Every second of simulated time, what people did goes through the rules, and the decisions
    /// settle the packet engine's transactions: allow and review pay, hold leaves the money aside
    /// until the review desk or its time ends the hold, block voids it. People react as the
    /// scenario's table reactions says: they try again or give up, rings move to other groups and
    /// accounts. DIR then also holds run/, the run directory of a backtest of the events, whose
    /// decisions must be the very ones that settled the money (else exit 1), and loop.json: what
    /// was stopped, and what honest people suffered. Ctrl-C ends the world after the decisions of its
    /// second: DIR then holds what it lived, without run/, and loop.json says so (exit 130).
    #[arg(long, value_name = "RULES", conflicts_with = "check")]
    with_rules: Option<PathBuf>,
    /// Model that decides with the rules, as `backtest --model`
    #[arg(long, value_name = "FILE", requires = "with_rules")]
    model: Option<PathBuf>,
    /// A second model that decides nothing, as `backtest --challenger`: run/ compares the two
    #[arg(long, value_name = "FILE", requires = "model")]
    challenger: Option<PathBuf>,
    /// Print one JSON object: the document's figures beside the population's, or loop.json
    #[arg(long)]
    json: bool,
    /// How well all rings hide, whatever the scenario says: easy, medium or hard
    #[arg(long, value_parser = difficulty)]
    difficulty: Option<Difficulty>,
    /// Only sets the document's figures beside those of a population; exits 1 when one is missed
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "seed", "out", "difficulty"])]
    check: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    if let Some(dir) = &arguments.check {
        let rows = fidelity::check(dir)?;
        print(&figures(&rows, arguments.json));
        let missed = rows.iter().filter(|row| !row.holds()).count();
        return if missed == 0 { Ok(()) } else { Err(missing(missed)) };
    }
    let (Some(scenario), Some(seed), Some(out)) =
        (&arguments.scenario, arguments.seed, &arguments.out)
    else {
        unreachable!("they are required without --check");
    };
    let scenario = Scenario::read(scenario, arguments.difficulty)?;
    if let Some(rules) = &arguments.with_rules {
        let models = ModelPaths {
            champion: arguments.model.clone(),
            challenger: arguments.challenger.clone(),
        };
        let interrupted = Arc::new(AtomicBool::new(false));
        let progress = Reading::begin(&interrupted);
        let ended = simulate::run_with_rules(&scenario, seed, (rules, &models), out, &interrupted);
        progress.end();
        let ended = ended?;
        print(&match arguments.json {
            true => format!("{:#}\n", ended.json()),
            false => simulate::terminal(&ended, shown.lang),
        });
        // Also where only the backtest was cut short, whose run directory says so.
        let partial = ended.interrupted_at.is_some() || interrupted.load(Ordering::Relaxed);
        return if partial { Err(Failure::Partial) } else { Ok(()) };
    }
    end_on_ctrl_c();
    simulate::command(&scenario, seed, out)?;
    print(&figures(&fidelity::check(out)?, arguments.json));
    Ok(())
}

fn figures(rows: &[fidelity::Row], json: bool) -> String {
    match json {
        true => format!("{:#}\n", fidelity::json(rows)),
        false => fidelity::table(rows),
    }
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
