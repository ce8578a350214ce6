//! Mules (跑分): what victims pay passes through layers of accounts within minutes, a little less
//! at each hop, and leaves for the bank.

use super::{by, pick_day, public, recruit, section, time_on};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Typology};
use crate::simulate::world::{Account, SchemeId, Transfer, World};

pub(super) fn run(world: &mut World, difficulty: Difficulty, rng: &mut Rng) {
    let day = pick_day(world, 1, rng);
    let begins = time_on(world, day, 9, by(difficulty, 20, 17, 12), rng);
    let scheme = world.fraud(Typology::MulePassThrough, begins + HOUR, rng);
    let layers = layers(world, difficulty, scheme, rng);
    let victims = public(world, by(difficulty, 10, 9, 8), rng);
    let mut first_exit = None;
    let mut time = begins;
    for victim in victims {
        world.role(scheme, victim, "victim", false);
        let exit = pass_through(world, victim, &layers, time, difficulty, scheme, rng);
        first_exit = first_exit.or(exit);
        time += rng.around(by(difficulty, 6 * MINUTE, 20 * MINUTE, 45 * MINUTE), 0.6);
    }
    if let Some(exit) = first_exit {
        world.schemes[scheme.0 as usize].detectable_from = exit;
    }
}

/// The accounts of each layer; those of the last one pay out at the bank.
fn layers(
    world: &mut World,
    difficulty: Difficulty,
    scheme: SchemeId,
    rng: &mut Rng,
) -> Vec<Vec<Account>> {
    let sizes: &[i64] = by(difficulty, &[3, 1], &[4, 2], &[5, 4, 3]);
    let mut layers = Vec::new();
    for (depth, &size) in sizes.iter().enumerate() {
        let layer = recruit(world, size, difficulty, rng);
        let role = if depth + 1 == sizes.len() { "collector" } else { "mule" };
        for &account in &layer {
            world.role(scheme, account, role, true);
        }
        layers.push(layer);
    }
    layers
}

/// One victim's money on its way: when it left, if it did within the days.
fn pass_through(
    world: &mut World,
    victim: Account,
    layers: &[Vec<Account>],
    begins: i64,
    difficulty: Difficulty,
    scheme: SchemeId,
    rng: &mut Rng,
) -> Option<i64> {
    let mut fen = 100 * rng.around(by(difficulty, 4_800, 1_900, 900), 0.6).clamp(200, 50_000);
    let mut time = begins;
    let mut from = victim;
    for (depth, layer) in layers.iter().enumerate() {
        let to = *rng.pick(layer);
        let scene = if depth == 0 { "memo.victim" } else { "memo.mule" };
        let text = world.words.say(&section(scene, difficulty), &[], rng);
        let paid = world.transfer(Transfer {
            time,
            from,
            to,
            amount_fen: fen,
            text: &text,
            funding: if depth == 0 { "bank" } else { "balance" },
            group: None,
            scheme: Some(scheme),
        });
        if !paid {
            return None;
        }
        from = to;
        fen = fen * (1000 - rng.between(5, 25)) / 1000;
        let hop = by(difficulty, 3 * MINUTE, 14 * MINUTE, 70 * MINUTE);
        time += MINUTE / 2 + rng.around(hop, 0.5);
    }
    world.withdraw(time, from, fen, Some(scheme)).then_some(time)
}
