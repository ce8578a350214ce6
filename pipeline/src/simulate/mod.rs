//! Populations: people, groups and what they send each other, made from a scenario and a seed.
//!
//! Everything that moves money runs on the packet engine ([`engine`](crate::packet::engine)), one
//! for all: it draws the shares, refuses who comes too late, pays back what is left and knows what
//! everybody has; what people do next follows from what it answered. The same scenario and seed
//! give the same bytes on every machine, and the figures of the domain document ([`figures`]) hold
//! in what comes out, which [`fidelity`] shows.
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
//! simulate::run(&scenario, 1, |batch| events += batch.len());
//! assert!(events > 500);
//! # Ok(())
//! # }
//! ```

mod amounts;
mod clockwork;
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
mod scenario;
#[cfg(test)]
mod separation;
mod society;
#[cfg(test)]
mod tests;
mod turnover;
mod words;
pub mod world;

use std::path::Path;
use std::sync::mpsc::sync_channel;

pub use self::fidelity::Row;
pub use self::labels::Label;
pub use self::options::{Customs, Noise};
pub use self::scenario::{
    DIFFICULTIES, Difficulty, Festival, Negative, NegativeKind, Ring, Scenario, Typology, Variant,
};

use self::output::Output;
use self::world::{Event, World};
use crate::diagnostic::Failure;

/// Batches of events that may wait to be written down.
const BATCHES_AHEAD: usize = 16;

/// Makes the population of a scenario and a seed: its events are handed over in batches, in total
/// order and on a thread of their own. What is left is the world at the end of its days.
pub fn run(scenario: &Scenario, seed: u64, mut take: impl FnMut(Vec<Event>) + Send) -> World {
    let (sender, batches) = sync_channel(BATCHES_AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(|| batches.into_iter().for_each(&mut take));
        let mut world = World::new(scenario, seed, sender);
        society::settle(&mut world, scenario);
        negatives::plan(&mut world, scenario);
        fraud::plan(&mut world, scenario);
        life::begin(&mut world, scenario);
        world.run();
        world
    })
}

/// What `hongxian simulate` does: makes the population of a scenario and writes it to `out`.
pub fn command(scenario: &Scenario, seed: u64, out: &Path) -> Result<(), Failure> {
    let mut output = Output::create(out, scenario, seed)?;
    let world = run(scenario, seed, |batch| output.write(&batch));
    output.finish(&world, scenario)
}
