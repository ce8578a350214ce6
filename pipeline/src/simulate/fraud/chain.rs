//! Collector chains (层层归集): what collectors drain from groups goes on from layer to layer within
//! minutes, a little less at each hop, to accounts that lay idle before, and leaves for the bank.

use super::{Shortage, by, collector, paid, pick_day, recruit, section, time_on};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::packets::Fund;
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Ring};
use crate::simulate::world::{Account, SchemeId, World};

/// From so many hops on the chain is plain.
const HOPS_TELLING: u32 = 3;
/// Less than this is not worth a hop, fen.
const HOP_FEN_MIN: i64 = 1_000;

pub(super) fn plan(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    let difficulty = ring.difficulty;
    let day = pick_day(world, ring, rng);
    let begins = time_on(world, day, 9, by(difficulty, 20, 14, 11), rng);
    let scheme = world.fraud(ring.typology, HOPS_TELLING, rng);
    let first = recruit(world, by(difficulty, 2, 2, 3), difficulty, rng)?;
    let mut chain = Vec::new();
    for depth in 0..by(difficulty, 2, 3, 3) {
        let link = recruit(world, 1, difficulty, rng)?[0];
        let last = depth + 1 == by(difficulty, 2, 3, 3);
        world.role(scheme, link, if last { "collector" } else { "mule" }, true);
        chain.push(link);
    }
    for &account in &first {
        world.role(scheme, account, "collector", true);
    }
    let ended = collector::drain(world, scheme, difficulty, &first, begins, rng)?;
    // Several times while it lasts, and once at the end.
    let rounds = by(difficulty, 3, 3, 4);
    for round in 1..=rounds {
        let time = begins + (ended - begins) * round / rounds + 3 * MINUTE;
        for &account in &first {
            let (chain, mut own) = (chain.clone(), rng.split());
            world.at(time, move |world| {
                hop(world, account, &chain, difficulty, scheme, &mut own);
            });
        }
    }
    Ok(())
}

/// All that an account has goes to the next of the chain, less what it may keep.
fn hop(
    world: &mut World,
    from: Account,
    chain: &[Account],
    difficulty: Difficulty,
    scheme: SchemeId,
    rng: &mut Rng,
) {
    let fen = world.change_fen(from) * (1000 - rng.between(10, 30)) / 1000;
    if fen < HOP_FEN_MIN {
        return;
    }
    let Some((&to, rest)) = chain.split_first() else {
        world.cash_out_at(world.now, from, Some(scheme));
        return;
    };
    let text = world.words.say(&section("memo.mule", difficulty), &[], rng);
    world.pay(paid(scheme, (from, to), fen, text, Fund::Balance));
    world.tell(scheme);
    let wait = by(difficulty, 5 * MINUTE, 20 * MINUTE, 3 * HOUR);
    let (rest, mut own) = (rest.to_vec(), rng.split());
    world.at(world.now + MINUTE + rng.around(wait, 0.5), move |world| {
        hop(world, to, &rest, difficulty, scheme, &mut own);
    });
}
