//! What happens outside groups: packets between two people, logging in, putting money in, and what
//! is paid every day.

use super::clockwork::Act;
use super::figures::{ALL_MEAN_FEN, DAY, GROUP_SHARE_PERMILLE, GroupType, HOUR, MINUTE};
use super::life::Life;
use super::packets::{EXPIRY_MS, Fund, Offer, Play, SHARE_MEAN_FEN_MAX, Taker, Transfer};
use super::random::Rng;
use super::world::{Account, World};

/// Packets from person to person for so many packets in groups, as the document has it.
pub(super) fn direct_count(in_groups: i64) -> i64 {
    in_groups * (1000 - GROUP_SHARE_PERMILLE) / GROUP_SHARE_PERMILLE
}

/// Plans a day.
pub(super) fn day(world: &mut World, life: &mut Life, day: i64) {
    let busy = life.bustle_tenths(GroupType::Family, day);
    direct(world, life);
    for account in (0..world.people.len() as u32).map(Account) {
        live(world, account, busy > 10, &mut life.rng);
    }
    shut_shops(world, day, &mut life.rng);
}

/// Packets between people who share a family group: so many that, with those of the day before made
/// up for, the share of packets in groups is the document's.
fn direct(world: &mut World, life: &mut Life) {
    let [in_groups, outside] = world.bank.sent;
    let today = life.planned_today();
    let count = direct_count(in_groups + today) - outside;
    let percent = scale(world, today, count, life.amounts.direct_mean_fen());
    for _ in 0..count {
        let rng = &mut life.rng;
        let half_hour = rng.weighted(&GroupType::Family.habits().half_hours) as i64;
        let time = world.now + half_hour * 30 * MINUTE + rng.between(10 * MINUTE, 30 * MINUTE - 1);
        let group = *rng.pick(&life.families);
        let members: Vec<Account> = world.group(group).members_at(world.now).collect();
        let (sender, payee) = pair(&members, rng);
        let fen = (life.amounts.direct(rng) * percent / 100).max(1);
        let scene = if rng.chance(0.5) { "memo.default" } else { "memo.direct" };
        let offer = Offer {
            sender,
            group: None,
            amount_fen: fen.min(SHARE_MEAN_FEN_MAX),
            shares: 1,
            play: Play::Exclusive(payee),
            text: world.words.say(scene, &[], rng),
            fund: Fund::own(rng),
            platform: ["wechat", "alipay", "douyin", "other"][rng.weighted(&[92, 5, 2, 1])],
            scheme: None,
        };
        // A few are never opened.
        let delay_ms =
            if rng.chance(0.03) { EXPIRY_MS } else { 2_000 + rng.around(5 * MINUTE, 1.4) };
        world.send_at(time, offer, vec![Taker { account: payee, delay_ms, scheme: None }]);
    }
}

/// How much of what they usually are, in hundredths, amounts from person to person must be, so that
/// all ordinary packets have the mean that the document gives.
fn scale(world: &World, today: i64, count: i64, usual_fen: i64) -> i64 {
    let [(groups, group_fen), (direct, direct_fen)] = world.bank.ordinary;
    let today_fen = group_fen * today / groups.max(1);
    if groups < 100 || count <= 0 {
        return 100;
    }
    let wanted = ALL_MEAN_FEN * (groups + today + direct + count);
    let left = wanted - group_fen - today_fen - direct_fen;
    (left * 100 / count / usual_fen).clamp(50, 200)
}

fn pair(members: &[Account], rng: &mut Rng) -> (Account, Account) {
    let one = rng.below(members.len() as u64) as usize;
    let other = rng.below(members.len() as u64 - 1) as usize;
    (members[one], members[if other < one { other } else { other + 1 }])
}

/// One person's day: logging in now and then, putting money in, and paying for this and that.
fn live(world: &mut World, account: Account, busy: bool, rng: &mut Rng) {
    let person = world.person(account);
    if person.shop || person.registered_at > world.now {
        return;
    }
    let (ringed, midnight) = (person.ringed, world.now);
    if rng.chance(if busy { 0.22 } else { 0.14 }) {
        world.plan(midnight + rng.between(6 * HOUR, 23 * HOUR), Act::Login(account));
    }
    if ringed {
        return;
    }
    if rng.chance(0.02) {
        let fen = *rng.pick(&[5_000, 10_000, 10_000, 20_000, 30_000, 50_000, 100_000]);
        let time = midnight + rng.between(8 * HOUR, 22 * HOUR);
        world.at(time, move |world| world.put_in(account, fen));
    }
    if rng.chance(EVERYDAY) {
        everyday(world, account, rng);
    }
}

/// How likely somebody pays on a day from what packets did not bring.
const EVERYDAY: f64 = 0.28;

/// A payment that has nothing to do with packets, from a breakfast to the rent.
fn everyday(world: &mut World, from: Account, rng: &mut Rng) {
    let shop = rng.chance(0.6);
    let to = match shop {
        true => *rng.pick(&world.shops),
        false => Account(rng.below(u64::from(world.ordinary)) as u32),
    };
    if to == from {
        return;
    }
    let scene = if shop { "transfer.shop" } else { "transfer.friend" };
    let text = world.words.say(scene, &[], rng);
    let fen = rng.around(5_500, 1.3).clamp(200, 2_000_000);
    // Larger sums are mostly round.
    let amount_fen = if fen > 5_000 && rng.chance(0.7) { fen / 1_000 * 1_000 } else { fen };
    let fund = Fund::own(rng);
    let (group, scheme) = (None, None);
    let half_hour = match rng.chance(0.12) {
        // The night market, the taxi home, the online shop.
        true => rng.between(44, 53) % 48,
        false => rng.weighted(&GroupType::Interest.habits().half_hours) as i64,
    };
    let time = world.now + half_hour * 30 * MINUTE + rng.between(0, 30 * MINUTE - 1);
    world.pay_at(time, Transfer { from, to, amount_fen, text, fund, group, scheme });
}

/// Shops take what they have earned to the bank, each every few days.
fn shut_shops(world: &mut World, day: i64, rng: &mut Rng) {
    for at in 0..world.shops.len() {
        let shop = world.shops[at];
        if (day + shop.0 as i64) % 3 == 0 {
            let time = world.now + DAY - 3 * HOUR + rng.between(0, 150 * MINUTE);
            world.cash_out_at(time, shop, None);
        }
    }
}
