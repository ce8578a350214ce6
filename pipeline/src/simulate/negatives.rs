//! Honest people who look like fraud: what a rule must leave alone.

use super::figures::{GroupType, HOUR, MINUTE};
use super::life::funding;
use super::packets::{Offer, Taker};
use super::random::Rng;
use super::scenario::{NegativeKind, Scenario};
use super::world::{Account, Age, Group, Transfer, World, new_ip};

/// Gives families and cafés the devices that they share: before anything happens.
pub(super) fn share_devices(world: &mut World, scenario: &Scenario) {
    for_each(world, scenario, |world, kind, rng| match kind {
        NegativeKind::FamilyTablet => family_tablet(world, rng),
        NegativeKind::InternetCafe => internet_cafe(world, rng),
        _ => {}
    });
}

/// Lets the other look-alikes happen. Ordinary groups must have lived.
pub(super) fn run(world: &mut World, scenario: &Scenario) {
    let eve = scenario.festival.map(|festival| festival.eve);
    for_each(world, scenario, |world, kind, rng| match kind {
        NegativeKind::FamilyRoundRobin => family_round_robin(world, eve, rng),
        NegativeKind::DinnerCollector => dinner_collector(world, rng),
        NegativeKind::ClassFee => class_fee(world, rng),
        NegativeKind::FamilyTablet | NegativeKind::InternetCafe => {}
    });
}

fn for_each(
    world: &mut World,
    scenario: &Scenario,
    mut act: impl FnMut(&mut World, NegativeKind, &mut Rng),
) {
    let mut number = 0;
    for negative in &scenario.negatives {
        for _ in 0..negative.count {
            let mut rng = world.rng(negative.kind.name(), number);
            act(world, negative.kind, &mut rng);
            number += 1;
        }
    }
}

/// A group of a type that belongs to nothing special yet and has so many members at least.
fn ordinary_group(world: &World, kind: GroupType, least: usize, rng: &mut Rng) -> Option<Group> {
    let able: Vec<Group> = (0..world.groups.len() as u32)
        .map(Group)
        .filter(|&group| {
            let info = world.group(group);
            info.kind == kind && info.scheme.is_none() && info.members.len() >= least
        })
        .collect();
    (!able.is_empty()).then(|| *rng.pick(&able))
}

fn members(world: &World, group: Group) -> Vec<Account> {
    world.group(group).members_at(world.start).collect()
}

/// 轮番派发: on the eve everybody in a family sends in turn, the luckiest next, dozens of packets
/// of one amount within two hours. The pace is a gambling group's; the money goes round.
fn family_round_robin(world: &mut World, eve: Option<i64>, rng: &mut Rng) {
    let Some(group) = ordinary_group(world, GroupType::Family, 7, rng) else { return };
    let day = eve.unwrap_or_else(|| rng.between(0, world.days() - 1));
    let begins = world.midnight(day) + 19 * HOUR + rng.between(0, 3 * HOUR);
    let scheme = world.negative(NegativeKind::FamilyRoundRobin, begins);
    world.groups[group.0 as usize].scheme = Some(scheme);
    let family = members(world, group);
    for &account in &family {
        world.role(scheme, account, "family", false);
    }
    let stake_fen = *rng.pick(&[888, 1_000, 1_888, 2_000, 5_000]);
    let mut sender = *rng.pick(&family);
    let mut time = begins;
    for _ in 0..rng.between(24, 40) {
        let text = world.words.say("memo.relay", &[], rng);
        let shares = (family.len() as i64 - 1).min(8);
        let offer = Offer {
            time,
            sender,
            group: Some(group),
            amount_fen: stake_fen,
            shares,
            play: "relay",
            text: &text,
            funding: funding(rng),
            platform: "wechat",
            scheme: Some(scheme),
        };
        let others: Vec<Account> =
            family.iter().copied().filter(|&member| member != sender).collect();
        let takers: Vec<Taker> = rng
            .sample(&others, shares as usize)
            .into_iter()
            .map(|account| {
                let delay_ms = 900 + rng.around(7_000, 0.8).min(20 * MINUTE);
                Taker { account, delay_ms, scheme: Some(scheme) }
            })
            .collect();
        let claimed = world.send(&offer, &takers, rng);
        if let Some(luckiest) = claimed.iter().rev().max_by_key(|share| share.amount_fen) {
            sender = luckiest.account;
        }
        time += MINUTE + rng.around(90_000, 0.7);
    }
}

/// AA 聚餐: after a dinner one of the party is paid the same amount by all others within an hour or
/// two, and has paid the restaurant himself.
fn dinner_collector(world: &mut World, rng: &mut Rng) {
    let kind = *rng.pick(&[GroupType::Family, GroupType::Interest]);
    let Some(group) = ordinary_group(world, kind, 7, rng) else { return };
    let party = rng.sample(&members(world, group), 16);
    if party.len() < 4 {
        return;
    }
    let day = rng.between(0, world.days() - 1);
    let begins = world.midnight(day) + 19 * HOUR + rng.between(0, 2 * HOUR);
    let scheme = world.negative(NegativeKind::DinnerCollector, begins);
    let organiser = party[0];
    world.role(scheme, organiser, "organiser", false);
    let each_fen = 100 * rng.between(48, 188);
    let bill_fen = each_fen * party.len() as i64;
    let restaurant = *rng.pick(&world.shops);
    let bill = Transfer {
        time: begins,
        from: organiser,
        to: restaurant,
        amount_fen: bill_fen,
        text: "",
        funding: "bank",
        group: None,
        scheme: Some(scheme),
    };
    world.transfer(bill);
    let heads = party.len().to_string();
    let each = (each_fen / 100).to_string();
    let said = [("each", each.as_str()), ("heads", heads.as_str())];
    let text = world.words.say("chat.dinner", &said, rng);
    world.message(begins + 3 * MINUTE, organiser, group, text, Some(scheme));
    for &guest in &party[1..] {
        let text = world.words.say("transfer.dinner", &said, rng);
        world.transfer(Transfer {
            time: begins + 5 * MINUTE + rng.around(25 * MINUTE, 0.9),
            from: guest,
            to: organiser,
            amount_fen: each_fen,
            text: &text,
            funding: funding(rng),
            group: None,
            scheme: Some(scheme),
        });
    }
}

/// 班费: a parent collects the class fee from every family in an evening and pays the shop later.
fn class_fee(world: &mut World, rng: &mut Rng) {
    let Some(group) = ordinary_group(world, GroupType::Interest, 14, rng) else { return };
    let parents = members(world, group);
    let day = rng.between(0, (world.days() - 2).max(0));
    let begins = world.midnight(day) + 18 * HOUR + rng.between(0, 2 * HOUR);
    let scheme = world.negative(NegativeKind::ClassFee, begins);
    let treasurer = parents[0];
    world.role(scheme, treasurer, "treasurer", false);
    let fee_fen = *rng.pick(&[5_000, 8_000, 10_000, 15_000, 20_000]);
    let fee = (fee_fen / 100).to_string();
    let said = [("each", fee.as_str()), ("heads", "")];
    let text = world.words.say("chat.class", &said, rng);
    world.message(begins, treasurer, group, text, Some(scheme));
    let mut collected = 0;
    for &parent in &parents[1..] {
        let text = world.words.say("transfer.class", &said, rng);
        let paid = world.transfer(Transfer {
            time: begins + MINUTE + rng.around(40 * MINUTE, 1.0),
            from: parent,
            to: treasurer,
            amount_fen: fee_fen,
            text: &text,
            funding: funding(rng),
            group: Some(group),
            scheme: Some(scheme),
        });
        collected += if paid { fee_fen } else { 0 };
    }
    let shop = *rng.pick(&world.shops);
    if collected > 0 {
        let text = world.words.say("transfer.shop", &[], rng);
        world.transfer(Transfer {
            time: begins + rng.between(16 * HOUR, 40 * HOUR),
            from: treasurer,
            to: shop,
            amount_fen: collected,
            text: &text,
            funding: "lingqiantong",
            group: None,
            scheme: Some(scheme),
        });
    }
}

/// Three or four of a family on one tablet.
fn family_tablet(world: &mut World, rng: &mut Rng) {
    let Some(group) = ordinary_group(world, GroupType::Family, 4, rng) else { return };
    let tablet = world.new_device();
    let home = new_ip(rng);
    let scheme = world.negative(NegativeKind::FamilyTablet, world.start);
    let count = rng.between(3, 4) as usize;
    for account in rng.sample(&members(world, group), count) {
        let person = &mut world.people[account.0 as usize];
        person.device = tablet;
        person.ips[0] = home;
        world.role(scheme, account, "family", false);
    }
}

/// Two dozen of the young on the three machines of an internet café.
fn internet_cafe(world: &mut World, rng: &mut Rng) {
    let machines = [world.new_device(), world.new_device(), world.new_device()];
    let address = new_ip(rng);
    let scheme = world.negative(NegativeKind::InternetCafe, world.start);
    let young: Vec<Account> = (0..world.ordinary)
        .map(Account)
        .filter(|&account| world.person(account).age == Age::Young)
        .collect();
    for (at, account) in rng.sample(&young, 24).into_iter().enumerate() {
        let person = &mut world.people[account.0 as usize];
        person.device = machines[at % machines.len()];
        person.ips = [address; 2];
        world.role(scheme, account, "guest", false);
    }
}
