//! What happens outside groups: packets between two people, logging in, topping up, and what
//! becomes of the money that packets bring.

use std::collections::BTreeMap;

use super::amounts::Amounts;
use super::figures::{
    DAY, GAMBLING_DWELL_MS, GROUP_SHARE_PERMILLE, GroupType, HOUR, MINUTE, RECIRCULATED_PERMILLE,
};
use super::life::{bustle_tenths, funding};
use super::packets::{EXPIRY_MS, Offer, Taker};
use super::random::{Deck, Rng, normal_quantile};
use super::scenario::Festival;
use super::world::{Account, Event, Group, Transfer, World};
use crate::event::Kind;

/// Packets from person to person for so many packets in groups, as the document has it.
pub(super) fn direct_count(in_groups: i64) -> i64 {
    in_groups * (1000 - GROUP_SHARE_PERMILLE) / GROUP_SHARE_PERMILLE
}

/// Sends `count` packets between people who share a family group.
pub(super) fn direct(
    world: &mut World,
    count: i64,
    festival: Option<Festival>,
    amounts: &mut Amounts,
) {
    let mut rng = world.rng("direct", 0);
    let families: Vec<Group> = (0..world.groups.len() as u32)
        .map(Group)
        .filter(|&group| world.group(group).kind == GroupType::Family)
        .filter(|&group| world.group(group).members.len() > 1)
        .collect();
    let weights: Vec<u32> = (0..world.days())
        .map(|day| bustle_tenths(festival, GroupType::Family, day) as u32)
        .collect();
    for _ in 0..count {
        let day = rng.weighted(&weights) as i64;
        let half_hour = rng.weighted(&GroupType::Family.habits().half_hours) as i64;
        let within = rng.between(10 * MINUTE, 30 * MINUTE - 1);
        let time = world.midnight(day) + half_hour * 30 * MINUTE + within;
        let group = *rng.pick(&families);
        let members: Vec<Account> = world.group(group).members_at(time).collect();
        let pair = rng.sample(&members, 2);
        direct_packet(world, time, (pair[0], pair[1]), amounts.direct(&mut rng), &mut rng);
    }
}

fn direct_packet(
    world: &mut World,
    time: i64,
    (sender, payee): (Account, Account),
    fen: i64,
    rng: &mut Rng,
) {
    let scene = if rng.chance(0.5) { "memo.default" } else { "memo.direct" };
    let text = world.words.say(scene, &[], rng);
    let offer = Offer {
        time,
        sender,
        group: None,
        amount_fen: fen.min(super::packets::SHARE_MEAN_FEN_MAX),
        shares: 1,
        play: "exclusive",
        text: &text,
        funding: funding(rng),
        platform: ["wechat", "alipay", "douyin", "other"][rng.weighted(&[92, 5, 2, 1])],
        scheme: None,
    };
    // A few are never opened.
    let delay_ms = if rng.chance(0.03) { EXPIRY_MS } else { 2_000 + rng.around(5 * MINUTE, 1.4) };
    world.send(&offer, &[Taker { account: payee, delay_ms, scheme: None }], rng);
}

/// Everybody logs in now and then, and some put money in.
pub(super) fn log_in(world: &mut World, festival: Option<Festival>) {
    let mut rng = world.rng("login", 0);
    for day in 0..world.days() {
        let busy = bustle_tenths(festival, GroupType::Family, day) > 10;
        for account in (0..world.people.len() as u32).map(Account) {
            let person = world.person(account);
            if person.shop || person.registered_at > world.midnight(day) {
                continue;
            }
            if rng.chance(if busy { 0.22 } else { 0.14 }) {
                let time = world.midnight(day) + rng.between(6 * HOUR, 23 * HOUR);
                let login = world.act(time, Kind::Login, account);
                world.emit(login);
            }
            if !world.person(account).ringed && rng.chance(0.03) {
                let time = world.midnight(day) + rng.between(8 * HOUR, 22 * HOUR);
                let fen = *rng.pick(&[5_000, 10_000, 10_000, 20_000, 30_000, 50_000, 100_000]);
                let topup =
                    Event { amount_fen: Some(fen), ..world.act(time, Kind::Topup, account) };
                world.emit(topup);
            }
        }
    }
}

/// Waits are drawn so much shorter than the document's median stay, in hundredths: over a long wait
/// more money comes together, which draws the median of the money up.
const WAIT_PERCENT: i64 = 86;

/// What a packet brought somebody.
#[derive(Clone, Copy, Debug)]
struct Receipt {
    time: i64,
    fen: i64,
    dwell_ms: i64,
}

/// Ordinary people spend what packets brought them: after a while, all of it at once, at a shop,
/// to a friend, or to the bank. A few keep it.
pub(super) fn spend(world: &mut World) {
    let mut receipts: BTreeMap<Account, Vec<Receipt>> = BTreeMap::new();
    for event in &world.events {
        let (Kind::Claim, Some(account), Some(fen)) = (event.kind, event.account, event.amount_fen)
        else {
            continue;
        };
        if !world.person(account).ringed {
            let dwell_ms = dwell_ms(world, event);
            receipts.entry(account).or_default().push(Receipt { time: event.time, fen, dwell_ms });
        }
    }
    let mut rng = world.rng("spend", 0);
    let keepers = keepers(&receipts, &mut rng);
    let mut patience = patience();
    for (account, mut received) in receipts {
        received.sort_by_key(|receipt| (receipt.time, receipt.fen));
        if !keepers.contains(&account) {
            spend_all(world, account, &received, &mut patience, &mut rng);
        }
    }
}

fn dwell_ms(world: &World, claim: &Event) -> i64 {
    let Some(group) = claim.group else { return GroupType::Family.habits().dwell_ms };
    let info = world.group(group);
    let gambling = info.scheme.is_some_and(|scheme| {
        let scheme = &world.schemes[scheme.0 as usize];
        scheme.fraud && scheme.name.starts_with("gambling")
    });
    // Gamblers' money comes in a packet every few minutes, so still more of it comes together.
    if gambling { GAMBLING_DWELL_MS * 88 / 100 } else { info.kind.habits().dwell_ms }
}

/// Those who keep what they get: of those who got about as much, one in so many, so that the share
/// of the money that stays is the document's.
fn keepers(receipts: &BTreeMap<Account, Vec<Receipt>>, rng: &mut Rng) -> Vec<Account> {
    // Some of what is spent is spent after more than a day, so fewer keep than do not recirculate.
    const LATE_PERMILLE: i64 = 7;
    let one_in = 1000 / (1000 - RECIRCULATED_PERMILLE - LATE_PERMILLE);
    let mut by_sum: Vec<(i64, Account)> = receipts
        .iter()
        .map(|(account, received)| (received.iter().map(|r| r.fen).sum(), *account))
        .collect();
    by_sum.sort_unstable();
    let mut keepers: Vec<Account> =
        by_sum.chunks(one_in as usize).map(|alike| rng.pick(alike).1).collect();
    keepers.sort_unstable();
    keepers
}

/// How many times the usual wait people wait, in thousandths: lognormal about 1.
fn patience() -> Deck {
    const CARDS: usize = 60;
    let z = |at: usize| normal_quantile((at as f64 + 0.5) / CARDS as f64);
    Deck::new((0..CARDS).map(|at| (1_000.0 * libm::exp(0.8 * z(at))) as i64).collect())
}

fn spend_all(
    world: &mut World,
    account: Account,
    received: &[Receipt],
    patience: &mut Deck,
    rng: &mut Rng,
) {
    let mut at = 0;
    while at < received.len() {
        let first = received[at];
        let patience = patience.deal(rng) as f64 / 1_000.0;
        // What comes meanwhile is spent along with it. The wait counts from the money's mean time,
        // so that the median stay is the median wait however the money comes in; it is as short as
        // that of the most fleeting money.
        let (mut fen, mut moment, mut dwell_ms) = (0_i64, 0_i128, first.dwell_ms);
        let wait = |dwell_ms: i64| {
            let wait = (dwell_ms * WAIT_PERCENT / 100) as f64 * patience;
            (wait as i64).clamp(MINUTE, 5 * DAY)
        };
        let mut due = first.time + wait(dwell_ms);
        let mut last = first.time;
        while at < received.len() && received[at].time < due {
            let receipt = received[at];
            fen += receipt.fen;
            moment += i128::from(receipt.fen) * i128::from(receipt.time - first.time);
            last = receipt.time;
            dwell_ms = dwell_ms.min(receipt.dwell_ms);
            due = first.time + (moment / i128::from(fen)) as i64 + wait(dwell_ms);
            at += 1;
        }
        let time = due.max(last + 1_000);
        pay_out(world, account, time, fen, rng);
    }
}

fn pay_out(world: &mut World, account: Account, time: i64, fen: i64, rng: &mut Rng) {
    if rng.chance(0.15) {
        world.withdraw(time, account, fen, None);
        return;
    }
    let shop = rng.chance(0.7);
    let to = if shop {
        *rng.pick(&world.shops)
    } else {
        Account(rng.below(u64::from(world.ordinary)) as u32)
    };
    if to == account {
        world.withdraw(time, account, fen, None);
        return;
    }
    let scene = if shop { "transfer.shop" } else { "transfer.friend" };
    let text = world.words.say(scene, &[], rng);
    let funding = "balance";
    let (group, scheme) = (None, None);
    world.transfer(Transfer {
        time,
        from: account,
        to,
        amount_fen: fen,
        text: &text,
        funding,
        group,
        scheme,
    });
}
