//! Device farms (羊毛党): many accounts on few devices that grab from other people's packets within
//! milliseconds, and hand the money on every night.

use std::collections::BTreeMap;

use super::{by, recruit};
use crate::event::Kind;
use crate::simulate::figures::{GroupType, HOUR, MINUTE};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Typology};
use crate::simulate::world::{Account, Event, Farm, Group, SchemeId, Transfer, World, new_ip};

/// After so many claims of a farm the evidence is there for anyone to see.
const CLAIMS_TELLING: usize = 10;
/// Less than this stays on an account, fen.
const HARVEST_FEN_MIN: i64 = 100;

pub(super) fn infiltrate(world: &mut World, difficulty: Difficulty, rng: &mut Rng) {
    let count = by(difficulty, 36, 24, 16);
    let devices = by(difficulty, 2, 6, 16);
    let starts = world.start + 6 * HOUR;
    let scheme = world.fraud(Typology::DeviceFarm, starts + 6 * HOUR, rng);
    let accounts = recruit(world, 1 + count, difficulty, rng);
    let (head, accounts) = (accounts[0], &accounts[1..]);
    world.role(scheme, head, "collector", true);
    let shared: Vec<u32> = (0..devices).map(|_| world.new_device()).collect();
    let net = new_ip(rng) & !0xFF;
    let registered = world.person(accounts[0]).registered_at;
    for (at, &account) in accounts.iter().enumerate() {
        world.role(scheme, account, "farm", true);
        let gap = by(difficulty, 3 * MINUTE, 45 * MINUTE, 20 * HOUR);
        let person = &mut world.people[account.0 as usize];
        person.device = shared[at % shared.len()];
        // Bought one after the other; the hard kind has an address of the same network each.
        person.registered_at = (registered + at as i64 * gap).min(starts - 7 * HOUR);
        let host = by(difficulty, 1, 1 + at as u32 % 4, 1 + at as u32);
        person.ips = [net + host; 2];
    }
    join_groups(world, difficulty, accounts, starts, scheme, rng);
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
            matches!(info.kind, GroupType::Business | GroupType::Stranger) && info.farm.is_none()
        })
        .collect();
    for group in rng.sample(&open, by(difficulty, 4, 4, 5)) {
        let members = rng.sample(accounts, by(difficulty, 20, 12, 8));
        for &account in &members {
            let since = starts + rng.between(0, by(difficulty, 10 * MINUTE, 5 * HOUR, 20 * HOUR));
            let joined = Event { group: Some(group), ..world.act(since, Kind::Join, account) };
            world.emit(joined);
        }
        world.groups[group.0 as usize].farm = Some(Farm {
            accounts: members,
            latency_ms: by(difficulty, 180, 600, 1_500),
            latency_sigma: by(difficulty, 0.2, 0.35, 0.5),
            appetite: by(difficulty, 0.95, 0.7, 0.4),
            shares_max: by(difficulty, 8, 3, 2),
            scheme,
            since: starts + by(difficulty, 10 * MINUTE, 5 * HOUR, 20 * HOUR),
        });
    }
}

/// Every farm's accounts pass on each night what they have grabbed.
pub(super) fn harvest(world: &mut World) {
    let mut grabbed: BTreeMap<(u32, Account, i64), i64> = BTreeMap::new();
    let mut times: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    for event in &world.events {
        let (Kind::Claim, Some(scheme), Some(account)) = (event.kind, event.scheme, event.account)
        else {
            continue;
        };
        if world.schemes[scheme.0 as usize].name == Typology::DeviceFarm.name() {
            times.entry(scheme.0).or_default().push(event.time);
            let day = (event.time - world.start) / (24 * HOUR);
            *grabbed.entry((scheme.0, account, day)).or_default() += event.amount_fen.unwrap_or(0);
        }
    }
    for (scheme, mut times) in times {
        times.sort_unstable();
        let telling = times[CLAIMS_TELLING.min(times.len()) - 1];
        world.schemes[scheme as usize].detectable_from = telling;
    }
    let mut rng = world.rng("harvest", 0);
    let mut kept: BTreeMap<Account, i64> = BTreeMap::new();
    for ((scheme, account, day), fen) in grabbed {
        let kept = kept.entry(account).or_default();
        *kept += fen;
        if *kept >= HARVEST_FEN_MIN {
            let roles = &world.schemes[scheme as usize].roles;
            // The head is the first who was put down.
            let head = roles[0].0;
            let amount_fen = std::mem::take(kept);
            let time = world.midnight(day + 1) + rng.between(10 * MINUTE, 5 * HOUR);
            world.transfer(Transfer {
                time,
                from: account,
                to: head,
                amount_fen,
                text: "",
                funding: "balance",
                group: None,
                scheme: Some(SchemeId(scheme)),
            });
        }
    }
}
