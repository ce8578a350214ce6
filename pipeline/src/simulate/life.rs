//! Ordinary life in groups: who sends when, how the packets are shared out, what is said.
//!
//! It is planned first and lived afterwards, because the mean packet of a zone can only be met
//! when it is known how many packets each zone will send.

use super::amounts::{Amounts, Planned};
use super::figures::{DAY, GroupType, HOUR, MINUTE, zone_of};
use super::packets::{Offer, Taker, human_delay};
use super::random::Rng;
use super::scenario::Festival;
use super::world::{Account, Age, Group, SchemeId, World};

/// A run of packets in one group, all by one sender, or each by the luckiest of the one before.
#[derive(Clone, Debug)]
pub(super) struct Session {
    group: Group,
    sender: Account,
    /// When each packet is sent, ms.
    times: Vec<i64>,
    /// Of each packet, the shares and how many claim.
    shares: Vec<(i64, i64)>,
    relay: bool,
    /// Sent at the stroke of midnight.
    burst: bool,
}

/// One in so many sessions of a family or of interest is a relay (接龙).
const RELAY_ONE_IN: u64 = 9;
/// One in so many sessions of the eve falls on midnight.
const BURST_ONE_IN: u64 = 5;
/// So many packets in a hundred are not claimed to the last share.
const LEFT_OVER_PERCENT: u64 = 10;

/// How many times the sessions of an ordinary day a type of group has, in tenths.
pub(super) fn bustle_tenths(festival: Option<Festival>, kind: GroupType, day: i64) -> i64 {
    let Some(Festival { eve, peak }) = festival else { return 10 };
    if kind != GroupType::Family {
        // Shops are shut and courses have a break.
        return if (eve..eve + 3).contains(&day) { 6 } else { 10 };
    }
    let tenths = match day - eve {
        0 => 10 * peak,
        1 => 6 * peak,
        2 => 4 * peak,
        3 => 2 * peak,
        _ => 10,
    };
    tenths.max(10)
}

/// Plans the ordinary days of all groups.
pub(super) fn plan(world: &World, festival: Option<Festival>) -> (Vec<Session>, Planned) {
    let mut sessions = Vec::new();
    let mut planned = Planned::default();
    for kind in GroupType::ALL {
        let mut planner = Planner::new(world, kind, festival);
        let groups: Vec<Group> = (0..world.groups.len() as u32)
            .map(Group)
            .filter(|&group| world.group(group).kind == kind)
            .collect();
        for day in 0..world.days() {
            for &group in &groups {
                planner.plan_day(group, day, &mut sessions);
            }
        }
    }
    for session in &sessions {
        let info = world.group(session.group);
        planned.add(info.kind, zone_of(info.province), session.times.len() as i64);
    }
    (sessions, planned)
}

struct Planner<'w> {
    world: &'w World,
    kind: GroupType,
    festival: Option<Festival>,
    rng: Rng,
    /// Sends and claims that are due and not yet planned; carried from group to group, so that a
    /// type as a whole has the interactions that the document gives.
    due: f64,
    /// Mean number of packets of a session that is no relay.
    packets_mean: f64,
    /// How busy each group is, by its number.
    activity: Vec<f64>,
}

impl<'w> Planner<'w> {
    fn new(world: &'w World, kind: GroupType, festival: Option<Festival>) -> Planner<'w> {
        let mut rng = world.rng("plan", kind as u64);
        let mean = kind.habits().sends_day_hundredths as f64 / 100.0;
        // A relay's packets have a sender each, so the others must send more to keep the mean.
        let relayed = if relays(kind) { 0.11 } else { 0.0 };
        let packets_mean = mean * (1.0 - relayed) / (1.0 - relayed * mean);
        let activity = activity(world, kind, &mut rng);
        Planner { world, kind, festival, rng, due: 0.0, packets_mean, activity }
    }

    fn plan_day(&mut self, group: Group, day: i64, sessions: &mut Vec<Session>) {
        let midnight = self.world.midnight(day);
        let info = self.world.group(group);
        let members = info.members_at(midnight).count();
        let tenths = bustle_tenths(self.festival, self.kind, day);
        let monthly = self.kind.habits().interactions_month_tenths as f64 / 10.0;
        let daily = monthly / 30.4 * members as f64 * tenths as f64 / 10.0;
        self.due += daily * self.activity[group.0 as usize];
        let mut senders: Vec<Account> = info.members_at(midnight).collect();
        self.rng.shuffle(&mut senders);
        // Few send and many claim: in groups of business it is the owner and who works for him.
        if self.kind == GroupType::Business {
            senders.truncate(8);
        }
        let mut next = 0;
        while self.due > 0.0 && !senders.is_empty() {
            let sender = senders[next % senders.len()];
            next += 1;
            let session = self.session(group, sender, day, senders.len() as i64);
            self.due -= session.shares.iter().map(|(_, takers)| 1 + takers).sum::<i64>() as f64;
            sessions.push(session);
        }
    }

    fn session(&mut self, group: Group, sender: Account, day: i64, members: i64) -> Session {
        let rng = &mut self.rng;
        let eve = self.festival.is_some_and(|festival| festival.eve == day);
        let burst = self.kind == GroupType::Family && eve && rng.below(BURST_ONE_IN) == 0;
        let relay = !burst && relays(self.kind) && rng.below(RELAY_ONE_IN) == 0;
        let packets = if relay {
            rng.between(2, 4)
        } else {
            let mut packets = 1;
            while packets < 12 && rng.chance(1.0 - 1.0 / self.packets_mean) {
                packets += 1;
            }
            packets
        };
        let midnight = self.world.midnight(day);
        let mut time = if burst {
            midnight + DAY + rng.around(2 * MINUTE, 0.8)
        } else {
            let half_hour = rng.weighted(&self.kind.habits().half_hours) as i64;
            midnight + half_hour * 30 * MINUTE + rng.between(0, 30 * MINUTE - 1)
        };
        time = time.max(self.world.start + HOUR / 6);
        let mut times = Vec::new();
        let mut shares = Vec::new();
        for _ in 0..packets {
            times.push(time);
            time += 20_000 + self.rng.around(3 * MINUTE, 0.8);
            shares.push(self.shares(members));
        }
        Session { group, sender, times, shares, relay, burst }
    }

    /// Shares of a packet, and how many of them will be claimed.
    fn shares(&mut self, members: i64) -> (i64, i64) {
        let rng = &mut self.rng;
        let table = self.kind.habits().shares;
        let weights: Vec<u32> = table.iter().map(|(_, weight)| *weight).collect();
        let shares = table[rng.weighted(&weights)].0.min(members.max(2));
        let able = (members - 1).max(1);
        let left_over = rng.below(100) < LEFT_OVER_PERCENT;
        let takers = if left_over { rng.between(0, shares - 1) } else { shares };
        (shares, takers.min(able))
    }
}

/// How many times as busy as its type each group is: some are loud and some silent, and over all
/// members of the type it is once.
fn activity(world: &World, kind: GroupType, rng: &mut Rng) -> Vec<f64> {
    let mut activity: Vec<f64> = world.groups.iter().map(|_| rng.lognormal(1.0, 0.6)).collect();
    let (mut weighted, mut members) = (0.0, 0.0);
    for (info, activity) in world.groups.iter().zip(&activity) {
        if info.kind == kind {
            weighted += activity * info.members.len() as f64;
            members += info.members.len() as f64;
        }
    }
    for activity in &mut activity {
        *activity *= members / weighted;
    }
    activity
}

fn relays(kind: GroupType) -> bool {
    matches!(kind, GroupType::Family | GroupType::Interest)
}

/// Lives the planned sessions.
pub(super) fn live(world: &mut World, sessions: &[Session], amounts: &mut Amounts) {
    let burst = sessions.iter().filter(|session| session.burst).flat_map(|s| &s.times).min();
    let burst = burst.copied().map(|time| world.honest("festival-peak", time));
    for (number, session) in sessions.iter().enumerate() {
        let mut rng = world.rng("session", number as u64);
        live_session(world, session, amounts, burst.filter(|_| session.burst), &mut rng);
    }
}

fn live_session(
    world: &mut World,
    session: &Session,
    amounts: &mut Amounts,
    scheme: Option<SchemeId>,
    rng: &mut Rng,
) {
    let info = world.group(session.group);
    let (kind, zone) = (info.kind, zone_of(info.province));
    let mut sender = session.sender;
    let mut fen = amounts.in_group(kind, zone, rng);
    for (at, (&time, &(shares, takers))) in session.times.iter().zip(&session.shares).enumerate() {
        // In a relay the amount stays; a sender on his own varies it.
        if at > 0 && !(session.relay && rng.chance(0.6)) {
            fen = amounts.in_group(kind, zone, rng);
        }
        let amount_fen = fen.clamp(shares, shares * super::packets::SHARE_MEAN_FEN_MAX);
        let play = play_of(session.relay, amount_fen, shares, rng);
        let (text, funding) = (memo(world, kind, amount_fen, session, time, rng), funding(rng));
        let offer = Offer {
            time,
            sender,
            group: Some(session.group),
            amount_fen,
            shares,
            play,
            text: &text,
            funding,
            platform: "wechat",
            scheme,
        };
        let takers = takers_of(world, &offer, takers, rng);
        let claimed = world.send(&offer, &takers, rng);
        // Of equal luckiest shares the earliest counts.
        let luckiest = claimed.iter().rev().max_by_key(|share| share.amount_fen);
        if let (true, Some(luckiest)) = (session.relay, luckiest) {
            sender = luckiest.account;
        }
    }
}

fn play_of(relay: bool, amount_fen: i64, shares: i64, rng: &mut Rng) -> &'static str {
    match (relay, amount_fen % shares) {
        (true, _) => "relay",
        (false, 0) if rng.chance(0.4) => "equal",
        (false, _) => ["lucky", "password", "timed"][rng.weighted(&[5, 1, 1])],
    }
}

/// Where the money of a packet or transfer comes from, when it is not what others sent.
pub(super) fn funding(rng: &mut Rng) -> &'static str {
    ["lingqiantong", "bank"][rng.weighted(&[45, 55])]
}

fn memo(
    world: &World,
    kind: GroupType,
    amount_fen: i64,
    session: &Session,
    time: i64,
    rng: &mut Rng,
) -> String {
    let scene = match kind {
        _ if session.relay => "memo.relay",
        GroupType::Family if session.burst => "memo.midnight",
        GroupType::Family => "memo.family",
        GroupType::Interest => "memo.interest",
        GroupType::Business if rng.chance(0.6) => "memo.task",
        GroupType::Business => "memo.business",
        GroupType::Stranger => "memo.stranger",
    };
    // Half of all packets carry the greeting that stands there already.
    if scene != "memo.task" && rng.chance(0.4) {
        return world.words.say("memo.default", &[], rng);
    }
    let stars = stars(amount_fen, rng).to_string();
    let hour = ((time - world.start).rem_euclid(DAY) / HOUR).to_string();
    world.words.say(scene, &[("stars", &stars), ("hour", &hour)], rng)
}

/// How hard the task was that a packet pays: the dearer the harder, not strictly.
fn stars(amount_fen: i64, rng: &mut Rng) -> i64 {
    let felt = rng.lognormal(amount_fen as f64, 0.6) as i64;
    1 + [900, 1_800, 3_200, 6_000].iter().filter(|bound| felt > **bound).count() as i64
}

/// Who claims: a farm's accounts if it has any here, then members by how keen they are.
fn takers_of(world: &World, offer: &Offer<'_>, count: i64, rng: &mut Rng) -> Vec<Taker> {
    let Some(group) = offer.group else { return Vec::new() };
    let info = world.group(group);
    let mut takers = Vec::new();
    let farm = info.farm.as_ref().filter(|farm| farm.since <= offer.time);
    if let Some(farm) = farm.filter(|farm| rng.chance(farm.appetite)) {
        let shares = rng.between(1, farm.shares_max).min(offer.shares);
        for account in rng.sample(&farm.accounts, shares as usize) {
            let delay_ms = rng.around(farm.latency_ms, farm.latency_sigma).max(60);
            takers.push(Taker { account, delay_ms, scheme: Some(farm.scheme) });
        }
    }
    let sender_claims = rng.chance(0.2);
    let mut keen: Vec<(f64, Account)> = info
        .members_at(offer.time)
        .filter(|&member| member != offer.sender || sender_claims)
        .map(|member| (keenness(world, member, offer.play), member))
        .filter(|(weight, _)| *weight > 0.0)
        .collect();
    // Each comes after an exponential time of his own rate: the first are a weighted sample.
    for (weight, _) in &mut keen {
        *weight = -libm::log(rng.unit()) / *weight;
    }
    keen.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    keen.truncate(count as usize);
    let mut delays: Vec<i64> = keen.iter().map(|_| human_delay(rng)).collect();
    delays.sort_unstable();
    let scheme = offer.scheme;
    takers.extend(keen.into_iter().zip(delays).map(|((_, account), delay_ms)| Taker {
        account,
        delay_ms,
        scheme,
    }));
    takers
}

fn keenness(world: &World, account: Account, play: &str) -> f64 {
    let person = world.person(account);
    match (play, person.age) {
        ("relay", Age::Young) if person.plays_relay => 12.0,
        ("relay", Age::Young) => 0.0,
        _ if person.watches => 0.35,
        (_, Age::Young) => 1.4,
        _ => 1.0,
    }
}

/// What is said in groups, and the packets' thanks.
pub(super) fn chat(world: &mut World, festival: Option<Festival>) {
    for group in 0..world.groups.len() as u32 {
        let mut rng = world.rng("chat", u64::from(group));
        let info = world.group(Group(group));
        if info.opened_at.is_some() {
            continue;
        }
        let kind = info.kind;
        let scene = match kind {
            GroupType::Family => "chat.family",
            GroupType::Interest => "chat.interest",
            GroupType::Business => "chat.business",
            GroupType::Stranger => "chat.stranger",
        };
        for day in 0..world.days() {
            let midnight = world.midnight(day);
            let members: Vec<Account> = world.group(Group(group)).members_at(midnight).collect();
            let tenths = bustle_tenths(festival, kind, day).min(40);
            let mean = members.len() as f64 * 0.13 * tenths as f64 / 10.0;
            let count = rng.lognormal(mean, 0.5) as i64;
            for _ in 0..count.min(members.len() as i64 * 3) {
                let half_hour = rng.weighted(&kind.habits().half_hours) as i64;
                let time =
                    midnight + half_hour * 30 * MINUTE + rng.between(60_000, 30 * MINUTE - 1);
                let who = *rng.pick(&members);
                let scene = if rng.chance(0.04) { "chat.lookalike" } else { scene };
                let text = world.words.say(scene, &[], &mut rng);
                world.message(time, who, Group(group), text, None);
            }
        }
    }
}
