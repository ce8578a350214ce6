//! Many packets in a short time, for good reasons.

use std::rc::Rc;

use super::{members, ordinary_group, people, some_day};
use crate::simulate::figures::{GroupType, HOUR, MINUTE};
use crate::simulate::packets::{Fund, Offer, Play, luckiest};
use crate::simulate::random::Rng;
use crate::simulate::scenario::NegativeKind;
use crate::simulate::world::{Account, Group, GroupInfo, Member, SchemeId, World};

/// People who send in turn, the luckiest next.
struct Round {
    group: Group,
    scheme: SchemeId,
    people: Vec<Account>,
    stake_fen: i64,
    words: &'static str,
}

/// 轮番派发: on the eve everybody in a family sends in turn, the luckiest next, dozens of packets
/// of one amount within two hours. The pace is a gambling group's; the money goes round.
pub(super) fn family_round_robin(world: &mut World, eve: Option<i64>, rng: &mut Rng) {
    let Some(group) = ordinary_group(world, GroupType::Family, 7, rng) else { return };
    let midnight = match eve {
        Some(eve) => world.midnight(eve),
        None => some_day(world, 1, rng),
    };
    let begins = midnight + 19 * HOUR + rng.between(0, 3 * HOUR);
    let scheme = world.negative(NegativeKind::FamilyRoundRobin);
    let stake_fen = *rng.pick(&[888, 1_000, 1_888, 2_000, 5_000]);
    let words = "memo.relay";
    let people = members(world, group);
    let packets = rng.between(24, 40);
    begin(world, Round { group, scheme, people, stake_fen, words }, begins, packets, rng);
}

/// 同学接龙: students pass a small packet on deep into the night.
pub(super) fn student_relay(world: &mut World, rng: &mut Rng) {
    let Some(group) = ordinary_group(world, GroupType::Interest, 12, rng) else { return };
    let begins = some_day(world, 1, rng) + 21 * HOUR + rng.between(0, 4 * HOUR);
    let scheme = world.negative(NegativeKind::StudentRelay);
    let people = rng.sample(&members(world, group), 12);
    let stake_fen = *rng.pick(&[300, 500, 666, 1_000]);
    let words = "memo.relay";
    let packets = rng.between(20, 45);
    begin(world, Round { group, scheme, people, stake_fen, words }, begins, packets, rng);
}

fn begin(world: &mut World, round: Round, begins: i64, packets: i64, rng: &mut Rng) {
    world.groups[round.group.0 as usize].scheme = Some(round.scheme);
    for &account in &round.people {
        world.role(round.scheme, account, "player", false);
    }
    let (round, mut own) = (Rc::new(round), rng.split());
    let first = *own.pick(&round.people);
    world.at(begins, move |world| send(world, round, first, None, packets, own));
}

fn send(
    world: &mut World,
    round: Rc<Round>,
    sender: Account,
    before: Option<u32>,
    left: i64,
    mut rng: Rng,
) {
    let others: Vec<Account> =
        round.people.iter().copied().filter(|&member| member != sender).collect();
    let shares = (others.len() as i64).min(8);
    let offer = Offer {
        sender,
        group: Some(round.group),
        amount_fen: round.stake_fen,
        shares,
        play: Play::Relay(before),
        text: world.words.say(round.words, &[], &mut rng),
        fund: Fund::own(&mut rng),
        platform: "wechat",
        scheme: Some(round.scheme),
    };
    let takers = rng.sample(&others, shares as usize);
    let mut takers = people(world, &takers, Some(round.scheme), true, &mut rng);
    for taker in &mut takers {
        // They wait for each other.
        taker.delay_ms = taker.delay_ms.min(45_000 + taker.delay_ms % 30_000);
    }
    let then = move |world: &mut World, taken: Vec<crate::simulate::packets::Share>| {
        let Some(best) = luckiest(&taken) else { return };
        if left > 1 && taken.len() as i64 == shares {
            let time = world.now + 6_000 + rng.around(40_000, 0.8);
            world.at(time, move |world| {
                send(world, round, best.account, Some(best.packet), left - 1, rng);
            });
        }
    };
    world.send(offer, takers, Some(Box::new(then)));
}

/// 开业: a shop rains packets into its customers' group all day.
pub(super) fn shop_opening(world: &mut World, rng: &mut Rng) {
    let Some(group) = ordinary_group(world, GroupType::Business, 12, rng) else { return };
    let all = members(world, group);
    let owner = all[0];
    let begins = some_day(world, 1, rng) + 9 * HOUR;
    let scheme = world.negative(NegativeKind::ShopOpening);
    world.role(scheme, owner, "owner", false);
    let mut time = begins;
    for _ in 0..rng.between(15, 35) {
        time += rng.around(12 * MINUTE, 0.9);
        let shares = rng.between(6, 12);
        let offer = Offer {
            sender: owner,
            group: Some(group),
            amount_fen: *rng.pick(&[1_000, 1_888, 2_000, 5_000, 6_666, 8_888]),
            shares,
            play: Play::Lucky,
            text: world.words.say("memo.opening", &[], rng),
            fund: Fund::own(rng),
            platform: "wechat",
            scheme: Some(scheme),
        };
        let customers = rng.sample(&all[1..], shares as usize);
        let takers = people(world, &customers, Some(scheme), true, rng);
        world.send_at(time, offer, takers);
    }
}

/// 换群: an owner gives up a group and all move to a new one within the hour, where life goes on.
pub(super) fn moved_group(world: &mut World, rng: &mut Rng) {
    let kind = *rng.pick(&[GroupType::Interest, GroupType::Business]);
    let Some(old) = ordinary_group(world, kind, 12, rng) else { return };
    let moves = some_day(world, 2, rng) + 9 * HOUR + rng.between(0, 10 * HOUR);
    let scheme = world.negative(NegativeKind::MovedGroup);
    let moved = members(world, old);
    let owner = moved[0];
    world.role(scheme, owner, "owner", false);
    let mut joined = vec![Member { account: owner, since: moves }];
    for &account in &moved[1..] {
        if rng.chance(0.85) {
            joined.push(Member { account, since: moves + rng.between(MINUTE, HOUR) });
        }
    }
    let everybody: Vec<Account> = joined.iter().map(|member| member.account).collect();
    let (name, province) = (world.group(old).name.clone(), world.group(old).province);
    let group = world.add_group(GroupInfo {
        kind,
        province,
        name: world.words.say("group.moved", &[("name", &name)], rng),
        opened_at: Some(moves),
        members: joined,
        farm: None,
        scheme: Some(scheme),
        taciturn: true,
    });
    crate::simulate::society::announce(world, group, moves, Some(scheme));
    let mut time = moves + HOUR;
    for _ in 0..rng.between(8, 20) {
        time += rng.around(40 * MINUTE, 0.9);
        let sender = *rng.pick(&everybody);
        let shares = rng.between(5, 10);
        let takers: Vec<Account> = rng
            .sample(&everybody, shares as usize + 1)
            .into_iter()
            .filter(|a| *a != sender)
            .collect();
        let offer = Offer {
            sender,
            group: Some(group),
            amount_fen: rng.around(1_500, 0.7).clamp(shares, 20_000),
            shares,
            play: Play::Lucky,
            text: world.words.say("memo.default", &[], rng),
            fund: Fund::own(rng),
            platform: "wechat",
            scheme: Some(scheme),
        };
        let takers = people(world, &takers, Some(scheme), false, rng);
        world.send_at(time, offer, takers);
    }
}
