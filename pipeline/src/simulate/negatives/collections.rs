//! Many pay one, or one pays many, for good reasons.

use super::{members, ordinary_group, paid, people, some_day};
use crate::simulate::figures::{GroupType, HOUR, MINUTE};
use crate::simulate::packets::{Fund, Offer, Play, Transfer};
use crate::simulate::random::Rng;
use crate::simulate::scenario::NegativeKind;
use crate::simulate::world::World;

/// AA 聚餐: after a dinner one of the party is paid the same amount by all others within an hour or
/// two, and has paid the restaurant himself.
pub(super) fn dinner(world: &mut World, rng: &mut Rng) {
    let kind = *rng.pick(&[GroupType::Family, GroupType::Interest]);
    let Some(group) = ordinary_group(world, kind, 7, rng) else { return };
    let party = rng.sample(&members(world, group), 16);
    if party.len() < 4 {
        return;
    }
    let begins = some_day(world, 1, rng) + 19 * HOUR + rng.between(0, 2 * HOUR);
    let scheme = world.negative(NegativeKind::DinnerCollector);
    let organiser = party[0];
    world.role(scheme, organiser, "organiser", false);
    let each_fen = 100 * rng.between(48, 188);
    let bill_fen = each_fen * party.len() as i64;
    let restaurant = *rng.pick(&world.shops);
    let bill = paid(scheme, (organiser, restaurant), bill_fen, String::new(), Fund::Bank);
    world.pay_at(begins, bill);
    let (heads, each) = (party.len().to_string(), (each_fen / 100).to_string());
    let said = [("each", each.as_str()), ("heads", heads.as_str())];
    let text = world.words.say("chat.dinner", &said, rng);
    world.say_at(begins + 3 * MINUTE, organiser, group, text, Some(scheme));
    for &guest in &party[1..] {
        let text = world.words.say("transfer.dinner", &said, rng);
        let share = paid(scheme, (guest, organiser), each_fen, text, Fund::own(rng));
        world.pay_at(begins + 5 * MINUTE + rng.around(25 * MINUTE, 0.9), share);
    }
}

/// 班费: a parent collects the class fee from every family in an evening and pays the shop later.
pub(super) fn class_fee(world: &mut World, rng: &mut Rng) {
    let Some(group) = ordinary_group(world, GroupType::Interest, 14, rng) else { return };
    let parents = members(world, group);
    let begins = some_day(world, 2, rng) + 18 * HOUR + rng.between(0, 2 * HOUR);
    let scheme = world.negative(NegativeKind::ClassFee);
    let treasurer = parents[0];
    world.role(scheme, treasurer, "treasurer", false);
    let fee_fen = *rng.pick(&[5_000, 8_000, 10_000, 15_000, 20_000]);
    let fee = (fee_fen / 100).to_string();
    let said = [("each", fee.as_str()), ("heads", "")];
    let text = world.words.say("chat.class", &said, rng);
    world.say_at(begins, treasurer, group, text, Some(scheme));
    for &parent in &parents[1..] {
        let text = world.words.say("transfer.class", &said, rng);
        let fee = paid(scheme, (parent, treasurer), fee_fen, text, Fund::own(rng));
        let fee = Transfer { group: Some(group), ..fee };
        world.pay_at(begins + MINUTE + rng.around(40 * MINUTE, 1.0), fee);
    }
    let shop = *rng.pick(&world.shops);
    let mut own = rng.split();
    world.at(begins + rng.between(16 * HOUR, 40 * HOUR), move |world| {
        let fen = world.change_fen(treasurer);
        if fen > 0 {
            let text = world.words.say("transfer.shop", &[], &mut own);
            world.pay(paid(scheme, (treasurer, shop), fen, text, Fund::Balance));
        }
    });
}

/// 随礼: half a hundred people give one couple lucky numbers on one evening.
pub(super) fn wedding(world: &mut World, rng: &mut Rng) {
    let Some(group) = ordinary_group(world, GroupType::Family, 6, rng) else { return };
    let kin = members(world, group);
    let couple = kin[0];
    let begins = some_day(world, 2, rng) + 11 * HOUR + rng.between(0, 7 * HOUR);
    let scheme = world.negative(NegativeKind::Wedding);
    world.role(scheme, couple, "couple", false);
    let mut guests = kin[1..].to_vec();
    for _ in 0..rng.between(25, 60) {
        guests.push(super::Account(rng.below(u64::from(world.ordinary)) as u32));
    }
    guests.sort_unstable();
    guests.dedup();
    for guest in guests.into_iter().filter(|&guest| guest != couple) {
        let time = begins + rng.between(0, 4 * HOUR);
        let text = world.words.say("transfer.wedding", &[], rng);
        if rng.chance(0.3) {
            let offer = Offer {
                sender: guest,
                group: None,
                amount_fen: *rng.pick(&[6_600, 8_800, 9_999, 16_800, 18_800, 20_000]),
                shares: 1,
                play: Play::Exclusive(couple),
                text,
                fund: Fund::own(rng),
                platform: "wechat",
                scheme: Some(scheme),
            };
            let takers = people(world, &[couple], Some(scheme), false, rng);
            world.send_at(time, offer, takers);
            continue;
        }
        let fen = *rng.pick(&[20_000, 20_000, 30_000, 50_000, 60_000, 66_600, 88_800, 100_000]);
        world.pay_at(time, paid(scheme, (guest, couple), fen, text, Fund::own(rng)));
    }
    world.cash_out_at(begins + 20 * HOUR + rng.between(0, 9 * HOUR), couple, Some(scheme));
}

/// 打卡返学费: a teacher gives a course's deposit back, a part a day, to those who did their homework.
pub(super) fn course_refund(world: &mut World, rng: &mut Rng) {
    let Some(group) = ordinary_group(world, GroupType::Interest, 14, rng) else { return };
    let class = members(world, group);
    let (teacher, pupils) = (class[0], &class[1..]);
    let first = some_day(world, 4, rng) + 8 * HOUR;
    let scheme = world.negative(NegativeKind::CourseRefund);
    world.role(scheme, teacher, "teacher", false);
    let fee_fen = 100 * rng.between(49, 199);
    for &pupil in pupils {
        let text = world.words.say("transfer.course", &[], rng);
        let fee = paid(scheme, (pupil, teacher), fee_fen, text, Fund::own(rng));
        world.pay_at(first + rng.between(0, 6 * HOUR), fee);
    }
    for day in 0..4 {
        let done = pupils.len() * rng.between(60, 95) as usize / 100;
        for pupil in rng.sample(pupils, done) {
            let offer = Offer {
                sender: teacher,
                group: Some(group),
                amount_fen: fee_fen / 5,
                shares: 1,
                play: Play::Exclusive(pupil),
                text: world.words.say("memo.refund", &[], rng),
                fund: Fund::Balance,
                platform: "wechat",
                scheme: Some(scheme),
            };
            let takers = people(world, &[pupil], Some(scheme), false, rng);
            let time = first + day * 24 * HOUR + 7 * HOUR + rng.between(0, 90 * MINUTE);
            world.send_at(time, offer, takers);
        }
    }
}

/// 团长: one takes the orders of many groups every evening, is paid by all, and pays the supplier.
pub(super) fn organiser(world: &mut World, rng: &mut Rng) {
    let first = some_day(world, 3, rng);
    let scheme = world.negative(NegativeKind::Organiser);
    let mut organiser = None;
    for _ in 0..rng.between(3, 8) {
        let Some(group) = ordinary_group(world, GroupType::Business, 10, rng) else { return };
        let customers = members(world, group);
        let organiser = *organiser.get_or_insert(customers[0]);
        for day in 0..3 {
            for &customer in customers.iter().filter(|&&customer| customer != organiser) {
                if !rng.chance(0.5) {
                    continue;
                }
                let time = first + day * 24 * HOUR + 15 * HOUR + rng.around(HOUR, 0.8);
                let text = world.words.say("transfer.order", &[], rng);
                let fen = rng.between(590, 9_900);
                let order = paid(scheme, (customer, organiser), fen, text, Fund::own(rng));
                world.pay_at(time, order);
            }
        }
    }
    let Some(organiser) = organiser else { return };
    world.role(scheme, organiser, "organiser", false);
    for day in 0..3 {
        let supplier = *rng.pick(&world.shops);
        let mut own = rng.split();
        world.at(first + day * 24 * HOUR + 19 * HOUR + rng.between(0, HOUR), move |world| {
            let fen = world.change_fen(organiser) * 9 / 10;
            if fen > 0 {
                let text = world.words.say("transfer.order", &[], &mut own);
                world.pay(paid(scheme, (organiser, supplier), fen, text, Fund::Balance));
            }
        });
    }
}
