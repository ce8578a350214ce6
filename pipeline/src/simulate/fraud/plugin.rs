//! Plug-in claimers (抢红包外挂): single accounts that claim within milliseconds in every group that
//! they are in, day and night, and never say or send anything.

use super::{Shortage, by, recruit};
use crate::simulate::clockwork::Act;
use crate::simulate::figures::{GroupType, HOUR};
use crate::simulate::random::Rng;
use crate::simulate::scenario::Ring;
use crate::simulate::world::{Farm, Group, World};

/// After so many nights of taking the money out the evidence is there.
const NIGHTS_TELLING: u32 = 2;

pub(super) fn plan(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    let difficulty = ring.difficulty;
    let account = recruit(world, 1, difficulty, rng)?[0];
    let scheme = world.fraud(ring.typology, NIGHTS_TELLING, rng);
    world.role(scheme, account, "plugin", true);
    let starts = world.midnight(ring.from.unwrap_or(0)) + rng.between(3, 20) * HOUR;
    let open: Vec<Group> = (0..world.groups.len() as u32)
        .map(Group)
        .filter(|&group| {
            let info = world.group(group);
            let free = info.settled() && info.farm.is_none() && info.scheme.is_none();
            free && info.kind != GroupType::Family
        })
        .collect();
    for group in rng.sample(&open, by(difficulty, 8, 6, 5)) {
        let since = starts + rng.between(0, 6 * HOUR);
        world.plan(since, Act::Join(account, group, Some(scheme)));
        world.groups[group.0 as usize].farm = Some(Farm {
            accounts: vec![account],
            latency_ms: by(difficulty, 150, 700, 1_800),
            latency_sigma: by(difficulty, 0.15, 0.5, 0.8),
            appetite: by(difficulty, 0.97, 0.75, 0.5),
            shares_max: 1,
            scheme,
            since: since + 1,
        });
    }
    let first = (starts - world.start) / (24 * HOUR) + 1;
    for night in first..world.days() {
        let time = world.midnight(night) + rng.between(0, 23 * HOUR);
        world.cash_out_at(time, account, Some(scheme));
        world.at(time, move |world| world.tell(scheme));
    }
    Ok(())
}
