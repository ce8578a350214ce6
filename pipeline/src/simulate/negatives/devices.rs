//! Devices and places that are shared or change, for good reasons.

use super::{members, ordinary_group, some_day};
use crate::event::Kind;
use crate::simulate::figures::{DAY, GroupType, HOUR, PROVINCES};
use crate::simulate::random::Rng;
use crate::simulate::scenario::NegativeKind;
use crate::simulate::world::{Account, Age, World, new_ip};

/// Three or four of a family on one tablet.
pub(super) fn family_tablet(world: &mut World, rng: &mut Rng) {
    let Some(group) = ordinary_group(world, GroupType::Family, 4, rng) else { return };
    let tablet = world.new_device();
    let home = new_ip(rng);
    let scheme = world.negative(NegativeKind::FamilyTablet);
    let count = rng.between(3, 4) as usize;
    for account in rng.sample(&members(world, group), count) {
        let person = &mut world.people[account.0 as usize];
        person.device = tablet;
        person.ips[0] = home;
        world.role(scheme, account, "family", false);
    }
}

/// Two dozen of the young on the machines of an internet café.
pub(super) fn internet_cafe(world: &mut World, rng: &mut Rng) {
    const MACHINES: usize = 4;
    const GUESTS: usize = 24;
    let machines: Vec<u32> = (0..MACHINES).map(|_| world.new_device()).collect();
    let address = new_ip(rng);
    let scheme = world.negative(NegativeKind::InternetCafe);
    let mut guests: Vec<Account> = Vec::new();
    while guests.len() < GUESTS {
        let account = Account(rng.below(u64::from(world.ordinary)) as u32);
        if world.person(account).age == Age::Young && !guests.contains(&account) {
            guests.push(account);
        }
    }
    for (at, account) in guests.into_iter().enumerate() {
        let person = &mut world.people[account.0 as usize];
        person.device = machines[at % machines.len()];
        person.ips = [address; 2];
        world.role(scheme, account, "guest", false);
    }
}

/// Somebody goes to another province for some days, some with a new phone, and logs in there.
pub(super) fn traveller(world: &mut World, rng: &mut Rng) {
    let account = Account(rng.below(u64::from(world.ordinary)) as u32);
    let leaves = some_day(world, 4, rng) + rng.between(6, 20) * HOUR;
    let returns = leaves + rng.between(2, 6) * DAY;
    let scheme = world.negative(NegativeKind::Traveller);
    world.role(scheme, account, "traveller", false);
    let (ip, province) = (new_ip(rng), rng.pick(PROVINCES).0);
    let phone = rng.chance(0.4).then(|| world.new_device());
    world.at(leaves, move |world| {
        let person = &mut world.people[account.0 as usize];
        let home = person.clone();
        (person.ips, person.province) = ([ip; 2], province);
        person.device = phone.unwrap_or(person.device);
        let login = world.act(Kind::Login, account);
        world.emit(login);
        world.at(returns, move |world| {
            let person = &mut world.people[account.0 as usize];
            (person.ips, person.province) = (home.ips, home.province);
        });
    });
}
