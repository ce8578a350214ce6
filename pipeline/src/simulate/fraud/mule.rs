//! Mules (跑分): what victims pay passes through layers of accounts within minutes, a little less
//! at each hop, and leaves for the bank.

use super::{Shortage, by, paid, pick_day, public, recruit, section, time_on};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::packets::Fund;
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Ring};
use crate::simulate::world::{Account, SchemeId, World};

pub(super) fn plan(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    let difficulty = ring.difficulty;
    let day = pick_day(world, ring, rng);
    let mut time = time_on(world, day, 9, by(difficulty, 20, 17, 12), rng);
    // The first exit to the bank shows what it is.
    let scheme = world.fraud(ring.typology, 1, rng);
    let layers = layers(world, difficulty, scheme, rng)?;
    for victim in public(world, by(difficulty, 10, 9, 8), rng)? {
        world.role(scheme, victim, "victim", false);
        pass_through(world, victim, &layers, time, difficulty, scheme, rng);
        time += rng.around(by(difficulty, 6 * MINUTE, 20 * MINUTE, 45 * MINUTE), 0.6);
    }
    Ok(())
}

/// The accounts of each layer; those of the last one pay out at the bank.
fn layers(
    world: &mut World,
    difficulty: Difficulty,
    scheme: SchemeId,
    rng: &mut Rng,
) -> Result<Vec<Vec<Account>>, Shortage> {
    let sizes: &[i64] = by(difficulty, &[3, 1], &[4, 2], &[5, 4, 3]);
    let mut layers = Vec::new();
    for (depth, &size) in sizes.iter().enumerate() {
        let layer = recruit(world, size, difficulty, rng)?;
        let role = if depth + 1 == sizes.len() { "collector" } else { "mule" };
        for &account in &layer {
            world.role(scheme, account, role, true);
        }
        layers.push(layer);
    }
    Ok(layers)
}

/// One victim's money on its way.
fn pass_through(
    world: &mut World,
    victim: Account,
    layers: &[Vec<Account>],
    begins: i64,
    difficulty: Difficulty,
    scheme: SchemeId,
    rng: &mut Rng,
) {
    let median = by(difficulty, 480_000, 26_000, 3_200);
    let mut fen = rng.around(median, 0.9).clamp(1_000, 5_000_000);
    if difficulty != Difficulty::Hard {
        fen = fen / 100 * 100;
    }
    let mut time = begins;
    let mut from = victim;
    for (depth, layer) in layers.iter().enumerate() {
        let to = *rng.pick(layer);
        let scene = if depth == 0 { "memo.victim" } else { "memo.mule" };
        let text = world.words.say(&section(scene, difficulty), &[], rng);
        let fund = if depth == 0 { Fund::Bank } else { Fund::Balance };
        world.pay_at(time, paid(scheme, (from, to), fen, text, fund));
        from = to;
        fen = fen * (1000 - rng.between(5, 25)) / 1000;
        let hop = by(difficulty, 3 * MINUTE, 25 * MINUTE, 3 * HOUR);
        time += MINUTE / 2 + rng.around(hop, 0.6);
    }
    world.at(time, move |world| {
        world.withdraw(from, fen, Some(scheme));
        world.tell(scheme);
    });
    debug_assert!(time - begins < 48 * HOUR || difficulty == Difficulty::Hard);
}
