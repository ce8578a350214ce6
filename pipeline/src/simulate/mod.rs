//! Populations: people, groups and what they send each other, made from a scenario and a seed.
//!
//! The same scenario and seed give the same bytes on every machine. The figures of the domain
//! document ([`figures`]) hold in what comes out, which [`fidelity()`] shows; every packet obeys
//! the laws of packets: no more claims than shares, one claim a member, and claims and refund
//! together are the amount that was sent. Balances are not modelled: `funding` says where money
//! comes from, and ordinary people spend from their balance only what packets have brought them.
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
//! let population = simulate::run(&scenario, 1);
//! assert!(population.events.len() > 500);
//! # Ok(())
//! # }
//! ```

mod amounts;
pub mod fidelity;
pub mod figures;
mod fraud;
mod life;
mod negatives;
mod packets;
mod population;
mod private;
mod random;
mod scenario;
mod society;
#[cfg(test)]
mod tests;
mod words;
pub mod world;

use std::path::Path;

pub use self::fidelity::{Row, fidelity};
pub use self::population::{Label, Population, write};
pub use self::scenario::{Difficulty, Festival, Negative, NegativeKind, Ring, Scenario, Typology};

use self::amounts::Amounts;
use self::figures::GroupType;
use self::world::World;
use crate::diagnostic::Failure;
use crate::event::Kind;

/// Makes the population of a scenario and a seed.
pub fn run(scenario: &Scenario, seed: u64) -> Population {
    let festival = scenario.festival;
    let mut world = World::new(scenario, seed);
    society::settle(&mut world, scenario);
    negatives::share_devices(&mut world, scenario);
    fraud::infiltrate(&mut world, scenario);

    let (sessions, planned) = life::plan(&world, festival);
    let mut rng = world.rng("amounts", 0);
    let direct = private::direct_count(planned.total());
    let mut amounts = Amounts::new(&planned, direct, &mut rng);
    life::live(&mut world, &sessions, &mut amounts);
    negatives::run(&mut world, scenario);
    fraud::run(&mut world, scenario);

    let in_group = |event: &&world::Event| event.kind == Kind::Send && event.group.is_some();
    let in_groups = world.events.iter().filter(in_group).count() as i64;
    let direct = private::direct_count(in_groups);
    private::direct(&mut world, direct, festival, &mut amounts);
    private::spend(&mut world);
    private::log_in(&mut world, festival);
    life::chat(&mut world, festival);

    let bustle = |day: &i64| life::bustle_tenths(festival, GroupType::Family, *day) == 10;
    let ordinary_days = (0..scenario.days).filter(bustle).collect();
    Population::of(world, ordinary_days)
}

/// What `hongxian simulate` does: reads the scenario, makes the population, writes it to `out`.
pub fn command(scenario: &Path, seed: u64, out: &Path) -> Result<Population, Failure> {
    let scenario = Scenario::read(scenario)?;
    let population = run(&scenario, seed);
    write(&population, out)?;
    Ok(population)
}
