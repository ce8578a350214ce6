//! Device farms (羊毛党): many accounts on few devices that grab from other people's packets within
//! milliseconds, and hand the money on every night.

use super::{Shortage, by, paid, recruit};
use crate::simulate::clockwork::Act;
use crate::simulate::figures::{GroupType, HOUR, MINUTE};
use crate::simulate::packets::Fund;
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Ring};
use crate::simulate::world::{Account, Farm, Group, SchemeId, World, new_ip};

/// After so many nights of handing on the evidence is there for anyone to see.
const HANDED_TELLING: u32 = 3;
/// Less than this stays on an account, fen.
const HARVEST_FEN_MIN: i64 = 100;

pub(super) fn plan(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    let difficulty = ring.difficulty;
    let count = by(difficulty, 36, 24, 16);
    let devices = by(difficulty, 2, 10, 16);
    let starts = world.midnight(ring.from.unwrap_or(0)) + 6 * HOUR;
    let scheme = world.fraud(ring.typology, HANDED_TELLING, rng);
    let accounts = recruit(world, 1 + count, difficulty, rng)?;
    let (head, accounts) = (accounts[0], &accounts[1..]);
    world.role(scheme, head, "collector", true);
    let shared: Vec<u32> = (0..devices).map(|_| world.new_device()).collect();
    let net = new_ip(rng) & !0xFF;
    let registered = world.person(accounts[0]).registered_at;
    for (at, &account) in accounts.iter().enumerate() {
        world.role(scheme, account, "farm", true);
        let gap = by(difficulty, 3 * MINUTE, 9 * HOUR, 60 * HOUR);
        let person = &mut world.people[account.0 as usize];
        person.device = shared[at % shared.len()];
        // Bought one after the other; the hard kind has an address of the same network each.
        person.registered_at = (registered + at as i64 * gap).min(starts - 7 * HOUR);
        let host = by(difficulty, 1, 1 + at as u32 % 8, 1 + at as u32);
        person.ips = [net + host; 2];
    }
    join_groups(world, difficulty, accounts, starts, scheme, rng);
    let first = (starts - world.start) / (24 * HOUR) + 1;
    for night in first..world.days() {
        for &account in accounts {
            let time = world.midnight(night) + rng.between(10 * MINUTE, 5 * HOUR);
            world.at(time, move |world| hand_on(world, account, head, scheme));
        }
        if rng.chance(0.4) {
            world.cash_out_at(world.midnight(night) + 9 * HOUR, head, Some(scheme));
        }
    }
    Ok(())
}

fn hand_on(world: &mut World, account: Account, head: Account, scheme: SchemeId) {
    let fen = world.change_fen(account);
    if fen >= HARVEST_FEN_MIN {
        world.pay(paid(scheme, (account, head), fen, String::new(), Fund::Balance));
        world.tell(scheme);
    }
}

fn join_groups(
    world: &mut World,
    difficulty: Difficulty,
    accounts: &[Account],
    starts: i64,
    scheme: SchemeId,
    rng: &mut Rng,
) {
    let open: Vec<Group> = (0..world.groups.len() as u32)
        .map(Group)
        .filter(|&group| {
            let info = world.group(group);
            let open = matches!(info.kind, GroupType::Business | GroupType::Stranger);
            open && info.settled() && info.farm.is_none()
        })
        .collect();
    for group in rng.sample(&open, by(difficulty, 4, 4, 5)) {
        let members = rng.sample(accounts, by(difficulty, 20, 12, 8));
        for &account in &members {
            let since = starts + rng.between(0, by(difficulty, 10 * MINUTE, 5 * HOUR, 20 * HOUR));
            world.plan(since, Act::Join(account, group, Some(scheme)));
        }
        world.groups[group.0 as usize].farm = Some(Farm {
            accounts: members,
            latency_ms: by(difficulty, 180, 900, 2_500),
            latency_sigma: by(difficulty, 0.2, 0.6, 0.9),
            appetite: by(difficulty, 0.95, 0.6, 0.35),
            shares_max: by(difficulty, 8, 3, 2),
            scheme,
            since: starts + by(difficulty, 10 * MINUTE, 5 * HOUR, 20 * HOUR),
        });
    }
}
