//! Many groups, one collector (多群归集): money comes out of many groups to one account within
//! hours, in packets below the limit, and leaves for the bank.

use super::{Shortage, by, memo_in_group, open_group, pick_day, recruit, section, takers, time_on};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::packets::{Fund, Offer, Play};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Ring};
use crate::simulate::world::{Account, SchemeId, World};

/// From so many groups on the pattern is plain.
const GROUPS_TELLING: u32 = 4;

pub(super) fn plan(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    let difficulty = ring.difficulty;
    let day = pick_day(world, ring, rng);
    let begins = time_on(world, day, by(difficulty, 1, 10, 9), by(difficulty, 5, 18, 12), rng);
    let scheme = world.fraud(ring.typology, GROUPS_TELLING, rng);
    let collectors = recruit(world, by(difficulty, 1, 1, 2), difficulty, rng)?;
    for &collector in &collectors {
        world.role(scheme, collector, "collector", true);
    }
    let ended = drain(world, scheme, difficulty, &collectors, begins, rng)?;
    for &collector in &collectors {
        let after = by(difficulty, 8 * MINUTE, 40 * MINUTE, 5 * HOUR);
        world.cash_out_at(ended + rng.around(after, 0.4), collector, Some(scheme));
    }
    Ok(())
}

/// Empties groups into collectors, from a time on: when the last packet was sent.
pub(super) fn drain(
    world: &mut World,
    scheme: SchemeId,
    difficulty: Difficulty,
    collectors: &[Account],
    begins: i64,
    rng: &mut Rng,
) -> Result<i64, Shortage> {
    let span = by(difficulty, 50 * MINUTE, 4 * HOUR, 14 * HOUR);
    let groups = by(difficulty, 10, 8, 8);
    let mut last = begins;
    for at in 0..groups {
        let drain = Drain { scheme, difficulty, collectors };
        last = last.max(drain.group(world, begins + span * at / groups, rng)?);
    }
    Ok(last)
}

struct Drain<'d> {
    scheme: SchemeId,
    difficulty: Difficulty,
    collectors: &'d [Account],
}

impl Drain<'_> {
    /// A group is opened, its runners send what they hold, and the collectors take it.
    fn group(&self, world: &mut World, opens: i64, rng: &mut Rng) -> Result<i64, Shortage> {
        let (difficulty, scheme) = (self.difficulty, self.scheme);
        let runners = recruit(world, by(difficulty, 3, 3, 4), difficulty, rng)?;
        for &runner in &runners {
            world.role(scheme, runner, "mule", true);
        }
        let members: Vec<Account> = runners.iter().chain(self.collectors).copied().collect();
        let group = open_group(world, ("group.front", difficulty), &members, opens, scheme, rng);
        let mut time = opens + rng.between(10_000, MINUTE);
        for &runner in &runners {
            let collector = *rng.pick(self.collectors);
            let others: Vec<Account> =
                runners.iter().copied().filter(|&other| other != runner).collect();
            for _ in 0..by(difficulty, 3, 2, 2) {
                // The hard kind lets others have a share too.
                let decoys = by(difficulty, 0, 0, 1);
                let mut claimers = vec![collector];
                claimers.extend(rng.sample(&others, decoys as usize));
                let fen = amount(difficulty, rng);
                let said = world.words.say(&section("memo.collect", difficulty), &[], rng);
                let offer = Offer {
                    sender: runner,
                    group: Some(group),
                    amount_fen: fen * (1 + decoys),
                    shares: 1 + decoys,
                    play: by(
                        difficulty,
                        Play::Exclusive(collector),
                        Play::Exclusive(collector),
                        Play::Lucky,
                    ),
                    text: memo_in_group(world, difficulty, Some(group), said),
                    fund: Fund::Bank,
                    platform: "wechat",
                    scheme: Some(scheme),
                };
                let base = by(difficulty, 800, 1_500, 2_000);
                let slow = by(difficulty, 2_000, 15_000, 60_000);
                let takers = takers(&claimers, scheme, rng, |rng| base + rng.around(slow, 0.9));
                world.send_at(time, offer, takers);
                time += by(difficulty, 20_000, 3 * MINUTE, 15 * MINUTE) + rng.around(20_000, 0.6);
            }
        }
        world.at(time, move |world| world.tell(scheme));
        Ok(time)
    }
}

/// Just below the limit of a share, unless the ring knows better.
fn amount(difficulty: Difficulty, rng: &mut Rng) -> i64 {
    match difficulty {
        Difficulty::Easy => 20_000,
        Difficulty::Medium => rng.around(3_500, 0.8).clamp(500, 19_900),
        Difficulty::Hard => rng.around(900, 0.9).clamp(100, 16_000),
    }
}
