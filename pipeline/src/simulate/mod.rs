//! Populations: people, groups and what they send each other, made from a scenario and a seed.
//!
//! Everything that moves money runs on the packet engine ([`engine`](crate::packet::engine)), one
//! for all: it draws the shares, refuses who comes too late, pays back what is left and knows what
//! everybody has; what people do next follows from what it answered. The same scenario and seed
//! give the same bytes on every machine, and the figures of the domain document ([`figures`]) hold
//! in what comes out, which [`fidelity`] shows.
//!
//! With rules ([`run_with_rules`]) it is a closed loop: what happens is decided on by the one
//! dataflow, the decisions settle the engine's transactions, and people react.
//!
//! ```
//! # fn main() -> Result<(), hongxian::diagnostic::Failure> {
//! use hongxian::simulate::{self, Scenario};
//! let text = r#"
//!     title = "a quiet village"
//!     start = "2024-03-01"
//!     days = 2
//!     accounts = 200
//!     groups = { family = 20, interest = 2, business = 2, stranger = 2 }
//! "#;
//! let scenario = Scenario::parse("village.toml".as_ref(), text)?;
//! let mut events = 0;
//! simulate::run(&scenario, 1, |batch| events += batch.len())?;
//! assert!(events > 500);
//! # Ok(())
//! # }
//! ```

mod agenda;
mod amounts;
mod clockwork;
mod closed;
pub mod fidelity;
pub mod figures;
mod fraud;
mod labels;
mod life;
pub mod names;
mod negatives;
mod noise;
mod options;
mod outside;
mod output;
mod packets;
mod purses;
mod random;
mod relays;
mod scenario;
#[cfg(test)]
mod separation;
mod society;
mod talk;
#[cfg(test)]
mod tests;
mod turnover;
mod words;
pub mod world;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;

pub use self::closed::{DeskWork, Ended, Flow, Honest, Money, Report, RingMoney, terminal};
pub use self::fidelity::Row;
pub use self::labels::Label;
pub use self::options::{Customs, Noise};
pub use self::scenario::{
    DIFFICULTIES, Difficulty, Festival, Negative, NegativeKind, Reactions, Ring, Scenario,
    Typology, Variant,
};

use self::closed::Closed;
use self::output::Output;
use self::world::{Event, World};
use crate::dataflow::Options;
use crate::diagnostic::{Failure, Message};
use crate::run::{self, Events, ModelPaths, Request, SORT_MEMORY};

/// Batches of events that may wait to be written down.
const BATCHES_AHEAD: usize = 16;

/// Makes the population of a scenario and a seed: its events are handed over in batches, in total
/// order and on a thread of their own. What is left is the world at the end of its days.
///
/// # Errors
/// When a ring needs more people, or look-alikes more groups, than there are (exit 2); nothing was
/// handed over then.
pub fn run(
    scenario: &Scenario,
    seed: u64,
    take: impl FnMut(Vec<Event>) + Send,
) -> Result<World, Failure> {
    live(scenario, seed, None, take)
}

/// The same, with rules that decide on what happens where there are any.
fn live(
    scenario: &Scenario,
    seed: u64,
    closed: Option<Box<Closed>>,
    mut take: impl FnMut(Vec<Event>) + Send,
) -> Result<World, Failure> {
    let (sender, batches) = sync_channel(BATCHES_AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(|| batches.into_iter().for_each(&mut take));
        let mut world = World::new(scenario, seed, closed, sender);
        society::settle(&mut world, scenario);
        negatives::plan(&mut world, scenario)?;
        fraud::plan(&mut world, scenario)?;
        life::begin(&mut world, scenario);
        world.run();
        Ok(world)
    })
}

/// What `hongxian simulate` does: makes the population of a scenario and writes it to `out`.
pub fn command(scenario: &Scenario, seed: u64, out: &Path) -> Result<(), Failure> {
    let mut output = Output::create(out, scenario, seed)?;
    match run(scenario, seed, |batch| output.write(&batch)) {
        Ok(world) => output.finish(&world, scenario),
        Err(failure) => Err(output.give_up(failure)),
    }
}

/// What `hongxian simulate --with-rules` does: the rules, and a model if there is one, decide on the
/// population while it lives, the decisions settle its money, and people do something about them.
/// Beside the population, `out` holds `loop.json` and the run directory `run/` of a backtest of the
/// events.
///
/// When `interrupted` is set, the world ends after the decisions of its tick: what it lived is
/// written, without a backtest, and [`Ended::interrupted_at`] says until when that is.
///
/// # Errors
/// Also when that backtest does not decide to the byte as was decided live: exit 1.
pub fn run_with_rules(
    scenario: &Scenario,
    seed: u64,
    (rules, models): (&Path, &ModelPaths),
    out: &Path,
    interrupted: &Arc<AtomicBool>,
) -> Result<Ended, Failure> {
    let closed = Closed::new((rules, models), scenario, seed, interrupted.clone())?;
    let mut output = Output::create(out, scenario, seed)?;
    let mut world = match live(scenario, seed, Some(Box::new(closed)), |batch| output.write(&batch))
    {
        Ok(world) => world,
        Err(failure) => return Err(output.give_up(failure)),
    };
    let closed = world.closed.take().unwrap_or_else(|| unreachable!("it was given"));
    let ended = closed.finish(&world)?;
    output.finish(&world, scenario)?;
    let digest = ended.digest.to_hex();
    let told = match ended.interrupted_at {
        None => run_directory((rules, models), out, interrupted)?,
        Some(_) => None,
    };
    if let Some(told) = told.filter(|told| told != digest.as_str()) {
        return Err(Failure::No(Message::new(
            format!("the decisions of the backtest ({told}) are not those of the loop ({digest})"),
            format!("回测的决策（{told}）与闭环的决策（{digest}）不一致"),
        )));
    }
    let path = out.join(output::LOOP);
    std::fs::write(&path, format!("{:#}\n", ended.json())).map_err(|error| {
        let path = path.display();
        let message = format!("cannot write {path}: {error}");
        Failure::Environment(Message::new(message, format!("无法写入 {path}：{error}")))
    })?;
    Ok(ended)
}

/// Events of a step of the backtest, at least: as `hongxian backtest` has it.
const BATCH: usize = 65_536;

/// Runs the population's events through a backtest into its run directory: the digest of the
/// decisions, or none where it was interrupted, which the run directory then says.
fn run_directory(
    (rules, models): (&Path, &ModelPaths),
    out: &Path,
    interrupted: &Arc<AtomicBool>,
) -> Result<Option<String>, Failure> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let request = Request {
        events: Events::Files { paths: vec![out.join("events.parquet")], maps: Vec::new() },
        pseudonyms: None,
        labels: Some(out.join("labels.parquet")),
        rules: Some(rules.to_owned()),
        models: models.clone(),
        out: out.join(output::RUN),
        options: Options { workers, tick: 1_000, batch: BATCH, sorted: true },
        warmup: 0,
        rejects_max: Some(0),
        sort_memory: SORT_MEMORY,
        place: None,
    };
    let facts = run::run(&request, &(), interrupted.clone())?.facts;
    Ok((!facts.partial).then_some(facts.decisions_digest))
}
