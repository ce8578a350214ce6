//! Ordinary life in groups: who sends when, how packets are shared out, what is said. Each midnight
//! the day is planned; what people do then is decided when they do it.

use super::amounts::{Amounts, Planned};
use super::clockwork::Act;
use super::figures::{DAY, GroupType, HOUR, MINUTE, zone_of};
use super::outside;
use super::packets::{Fund, Offer, Play, SHARE_MEAN_FEN_MAX, Taker, human_delay, luckiest};
use super::random::{Deck, Rng};
use super::relays::Relays;
use super::scenario::{Festival, Scenario};
use super::society;
use super::talk::{LOOKALIKE, chat_scene};
use super::world::{Account, Age, Group, GroupInfo, SchemeId, World};
use crate::event::Kind;

/// One in so many sessions of a family or of interest is a relay (接龙).
const RELAY_ONE_IN: u64 = 9;
/// One in so many sessions of the eve falls on midnight.
const BURST_ONE_IN: u64 = 5;
/// So many packets in a hundred are not claimed to the last share.
const LEFT_OVER_PERCENT: u64 = 10;

/// Numbers of packets of a session in a deck, and the most of them.
const SESSION_CARDS: usize = 100;
const SESSION_PACKETS_MAX: i64 = 12;

/// What ordinary life remembers from day to day.
pub(super) struct Life {
    festival: Option<Festival>,
    planners: Vec<Planner>,
    pub(super) amounts: Amounts,
    /// Families with more than one member.
    pub(super) families: Vec<Group>,
    burst: Option<SchemeId>,
    relays: Relays,
    pub(super) rng: Rng,
}

/// A packet that somebody means to send.
#[derive(Debug)]
pub(super) struct Plan {
    group: Group,
    sender: Account,
    shares: i64,
    /// How many will try to claim.
    takers: i64,
    burst: bool,
    /// In a relay: the packet before, the amount, and how many follow.
    relay: Option<(Option<u32>, Option<i64>, i64)>,
}

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

/// Days with the bustle of any other, counted from 0.
pub(super) fn ordinary_days(scenario: &Scenario) -> impl Iterator<Item = i64> {
    let festival = scenario.festival;
    let bustle = move |day: &i64| bustle_tenths(festival, GroupType::Family, *day) == 10;
    (0..scenario.days).filter(bustle)
}

/// Begins ordinary life. Everybody and everything that there is before must be there.
pub(super) fn begin(world: &mut World, scenario: &Scenario) {
    society::snapshot(world);
    let festival = scenario.festival;
    let planners: Vec<Planner> =
        GroupType::ALL.into_iter().map(|kind| Planner::new(world, kind)).collect();
    let planned = expected(world, festival, &planners);
    let mut rng = world.rng("amounts", 0);
    let amounts = Amounts::new(&planned, outside::direct_count(planned.total()), &mut rng);
    let families = (0..world.groups.len() as u32)
        .map(Group)
        .filter(|&group| world.group(group).kind == GroupType::Family)
        .filter(|&group| world.group(group).settled() && world.group(group).members.len() > 1)
        .collect();
    let burst = festival.map(|_| world.honest("festival-peak"));
    let rng = world.rng("life", 0);
    let relays = Relays::default();
    let life = Life { festival, planners, amounts, families, burst, relays, rng };
    world.life = Some(Box::new(life));
    world.each_midnight(|world, day| {
        let Some(mut life) = world.life.take() else { return };
        for planner in &mut life.planners {
            planner.plan_day(world, life.festival, day);
        }
        chat(world, life.festival, day, &mut life.rng);
        outside::day(world, &mut life, day);
        world.life = Some(life);
    });
}

impl Life {
    /// The packets of a day in groups, about, as planned until now.
    pub(super) fn planned_today(&mut self) -> i64 {
        self.planners.iter_mut().map(|planner| std::mem::take(&mut planner.today)).sum()
    }

    pub(super) fn bustle_tenths(&self, kind: GroupType, day: i64) -> i64 {
        bustle_tenths(self.festival, kind, day)
    }
}

/// How many packets of each type each zone will send, about.
fn expected(world: &World, festival: Option<Festival>, planners: &[Planner]) -> Planned {
    let mut expected = [[0.0; 3]; 4];
    for (at, info) in world.groups.iter().enumerate() {
        let Some(planner) = planners.get(info.kind as usize) else { continue };
        let days: i64 = (0..world.days())
            .filter(|&day| info.lives_from(world.midnight(day)).is_some())
            .map(|day| bustle_tenths(festival, info.kind, day))
            .sum();
        let acts = planner.daily(info.members.len()) * planner.activity[at] * days as f64 / 10.0;
        let habits = info.kind.habits();
        let weight: u32 = habits.shares.iter().map(|(_, weight)| weight).sum();
        let shares: f64 =
            habits.shares.iter().map(|(shares, weight)| *shares as f64 * f64::from(*weight)).sum();
        expected[info.kind as usize][zone_of(info.province) as usize] +=
            acts / (1.0 + shares / f64::from(weight));
    }
    Planned(expected.map(|zones| zones.map(|packets| packets as i64)))
}

struct Planner {
    kind: GroupType,
    rng: Rng,
    /// Sends and claims that are due and not yet planned; carried from group to group, so that a
    /// type as a whole has the interactions that the document gives.
    due: f64,
    /// Numbers of packets of sessions that are no relays.
    packets: Deck,
    /// How busy each group is, by its number.
    activity: Vec<f64>,
    /// Packets planned since that was last asked.
    today: i64,
}

impl Planner {
    fn new(world: &World, kind: GroupType) -> Planner {
        let mut rng = world.rng("plan", kind as u64);
        let mean = kind.habits().sends_day_hundredths as f64 / 100.0;
        // A relay's packets have a sender each, so the others must send more to keep the mean.
        let relayed = if relays(kind) { 0.11 } else { 0.0 };
        let packets_mean = mean * (1.0 - relayed) / (1.0 - relayed * mean);
        let activity = activity(world, kind, &mut rng);
        // One more is as likely after any: of so many cards the n-th part have more than that.
        let more = 1.0 - 1.0 / packets_mean;
        let packets = |at: usize| {
            let left = 1.0 - (at as f64 + 0.5) / SESSION_CARDS as f64;
            (1 + (libm::log(left) / libm::log(more)) as i64).min(SESSION_PACKETS_MAX)
        };
        let packets = Deck::new((0..SESSION_CARDS).map(packets).collect());
        Planner { kind, rng, due: 0.0, packets, activity, today: 0 }
    }

    /// Sends and claims of a group of so many on an ordinary day.
    fn daily(&self, members: usize) -> f64 {
        let monthly = self.kind.habits().interactions_month_tenths as f64 / 10.0;
        monthly / 30.4 * members as f64
    }

    fn plan_day(&mut self, world: &mut World, festival: Option<Festival>, day: i64) {
        let tenths = bustle_tenths(festival, self.kind, day);
        let eve = festival.is_some_and(|festival| festival.eve == day);
        for group in (0..self.activity.len() as u32).map(Group) {
            let info = world.group(group);
            if info.kind != self.kind {
                continue;
            }
            let Some(since) = info.lives_from(world.now) else { continue };
            let members = info.members_at(since).count();
            let activity = self.activity[group.0 as usize];
            self.due += self.daily(members) * tenths as f64 / 10.0 * activity;
            if self.due <= 0.0 {
                continue;
            }
            let keen = [false, true].map(|relay| claimers(world, info, since, relay));
            let mut senders: Vec<Account> = info.members_at(since).collect();
            self.rng.shuffle(&mut senders);
            // Few send and many claim: in groups of business it is the owner and who works for him.
            if self.kind == GroupType::Business {
                senders.truncate(8);
            }
            let mut next = 0;
            while self.due > 0.0 && !senders.is_empty() {
                let sender = senders[next % senders.len()];
                next += 1;
                self.session(world, (group, sender), (day, since), keen, eve);
            }
        }
    }

    /// A run of packets in one group, all by one sender, or each by the luckiest of the one before.
    fn session(
        &mut self,
        world: &mut World,
        (group, sender): (Group, Account),
        (day, since): (i64, i64),
        keen: [i64; 2],
        eve: bool,
    ) {
        let rng = &mut self.rng;
        let burst = self.kind == GroupType::Family && eve && rng.below(BURST_ONE_IN) == 0;
        let relay = !burst && relays(self.kind) && rng.below(RELAY_ONE_IN) == 0;
        let relay = relay && keen[1] > 3;
        let packets = if relay { rng.between(2, 4) } else { self.packets.deal(rng) };
        let midnight = world.midnight(day);
        let mut time = if burst {
            midnight + DAY + rng.around(2 * MINUTE, 0.8)
        } else {
            let half_hour = rng.weighted(&self.kind.habits().half_hours) as i64;
            midnight + half_hour * 30 * MINUTE + rng.between(0, 30 * MINUTE - 1)
        };
        time = time.max(world.start + HOUR / 6);
        if time < since {
            time = since + rng.between(0, HOUR);
        }
        self.today += packets;
        let follow = relay.then_some((None, None, packets - 1));
        for _ in 0..if relay { 1 } else { packets } {
            let (shares, takers) = self.shares(keen[usize::from(relay)], relay);
            self.due -= (1 + takers) as f64 * if relay { packets as f64 } else { 1.0 };
            let plan = Plan { group, sender, shares, takers, burst, relay: follow };
            world.plan(time, Act::Packet(Box::new(plan)));
            time += 20_000 + self.rng.around(3 * MINUTE, 0.8);
        }
    }

    /// Shares of a packet, and how many of them will be claimed.
    fn shares(&mut self, keen: i64, relay: bool) -> (i64, i64) {
        let rng = &mut self.rng;
        let table = self.kind.habits().shares;
        let at = rng.weighted(&table.iter().map(|(_, weight)| *weight).collect::<Vec<u32>>());
        let able = (keen - 1).max(0);
        // A relay goes on only when all its shares are taken.
        let shares = table[at].0.min(if relay { able } else { keen.max(2) });
        let left_over = !relay && rng.below(100) < LEFT_OVER_PERCENT;
        let takers = if left_over { rng.between(0, shares - 1) } else { shares };
        (shares, takers.min(able))
    }
}

/// How many members take part, those left out who would rather watch.
fn claimers(world: &World, info: &GroupInfo, since: i64, relay: bool) -> i64 {
    let keen = |&member: &Account| keenness(world, member, relay) >= 1.0;
    info.members_at(since).filter(keen).count() as i64
}

/// How many times as busy as its type each group is: some are loud and some silent, and over all
/// days of members of the type, those of rings' groups left out, it is once.
fn activity(world: &World, kind: GroupType, rng: &mut Rng) -> Vec<f64> {
    let mut activity: Vec<f64> = world.groups.iter().map(|_| rng.lognormal(1.0, 0.6)).collect();
    let midnights: Vec<i64> = (0..world.days()).map(|day| world.midnight(day)).collect();
    let (mut weighted, mut all) = (0.0, 0.0);
    for (info, activity) in world.groups.iter().zip(&activity) {
        let ring = info.scheme.is_some_and(|scheme| world.scheme(scheme).fraud);
        if info.kind != kind || ring {
            continue;
        }
        let since = midnights.iter().filter_map(|&midnight| info.lives_from(midnight));
        let days = since.map(|since| info.members_at(since).count()).sum::<usize>() as f64;
        weighted += activity * days;
        all += days;
    }
    for activity in &mut activity {
        *activity *= all / weighted;
    }
    activity
}

fn relays(kind: GroupType) -> bool {
    matches!(kind, GroupType::Family | GroupType::Interest)
}

/// Somebody sends a packet as planned.
pub(super) fn send(world: &mut World, plan: Plan) {
    let Some(mut life) = world.life.take() else { return };
    let rng = &mut life.rng;
    let info = world.group(plan.group);
    let (kind, zone) = (info.kind, zone_of(info.province));
    // In a relay the amount mostly stays.
    let stays = plan.relay.and_then(|(_, fen, _)| fen).filter(|_| rng.chance(0.6));
    let fen = match stays {
        Some(fen) => {
            life.amounts.repeat(kind, zone, fen);
            fen
        }
        None => life.amounts.in_group(kind, zone, rng),
    };
    let amount_fen = fen.clamp(plan.shares, plan.shares * SHARE_MEAN_FEN_MAX);
    let play = match plan.relay {
        Some((before, ..)) => Play::Relay(before),
        None => play_of(amount_fen, plan.shares, rng),
    };
    let (scene, mut usual) = memo(world, kind, amount_fen, &plan, rng);
    if disguised(world, plan.group) {
        usual = world.talk.usual_memo(&world.words, plan.group);
    }
    let text = match scene {
        // What is paid and whose turn it is has to be said.
        "memo.task" | "memo.relay" => usual,
        _ => world.talk.memo(&world.words, plan.group, usual),
    };
    let offer = Offer {
        sender: plan.sender,
        group: Some(plan.group),
        amount_fen,
        shares: plan.shares,
        play,
        text,
        fund: Fund::own(rng),
        platform: "wechat",
        scheme: life.burst.filter(|_| plan.burst),
    };
    life.relays.present(plan.group, plan.sender, world.person(plan.sender));
    if plan.relay.is_some() {
        let members: Vec<Account> = world.group(plan.group).members_at(world.now).collect();
        life.relays.offer(plan.group, &mut world.people, &members);
    }
    let takers = takers_of(world, &offer, plan.takers, &mut life.rng);
    for &Taker { account, .. } in &takers {
        life.relays.present(plan.group, account, world.person(account));
        if plan.relay.is_some() {
            life.relays.joins(account);
        }
    }
    world.life = Some(life);
    match plan.relay {
        Some((_, _, follow)) if follow > 0 => {
            let next = Box::new(move |world: &mut World, shares: Vec<super::packets::Share>| {
                let Some(best) = luckiest(&shares) else { return };
                if shares.len() as i64 != plan.shares {
                    return;
                }
                let relay = Some((Some(best.packet), Some(amount_fen), follow - 1));
                let next = Plan { sender: best.account, relay, ..plan };
                let wait = 8_000 + (shares.len() as i64 * 3_700 + best.time) % 40_000;
                world.plan(world.now + wait, Act::Packet(Box::new(next)));
            });
            world.send(offer, takers, Some(next));
        }
        _ => world.send(offer, takers, None),
    }
}

fn play_of(amount_fen: i64, shares: i64, rng: &mut Rng) -> Play {
    if amount_fen % shares == 0 && rng.chance(0.4) {
        return Play::Equal;
    }
    match rng.weighted(&[10, 2, 1]) {
        0 => Play::Lucky,
        1 => Play::Password,
        _ => Play::Timed(rng.between(1, 20) * MINUTE),
    }
}

/// What most would write on a packet, and of which section of phrases it is.
fn memo(
    world: &World,
    kind: GroupType,
    amount_fen: i64,
    plan: &Plan,
    rng: &mut Rng,
) -> (&'static str, String) {
    let scene = match kind {
        _ if plan.relay.is_some() => "memo.relay",
        GroupType::Family if plan.burst => "memo.midnight",
        GroupType::Family => "memo.family",
        GroupType::Interest => "memo.interest",
        GroupType::Business if rng.chance(0.6) => "memo.task",
        GroupType::Business => "memo.business",
        GroupType::Stranger => "memo.stranger",
    };
    // Many packets carry the greeting that stands there already.
    if scene != "memo.task" && rng.chance(0.4) {
        return (scene, world.words.say("memo.default", &[], rng));
    }
    let stars = stars(amount_fen, rng).to_string();
    let hour = ((world.now - world.start).rem_euclid(DAY) / HOUR).to_string();
    (scene, world.words.say(scene, &[("stars", &stars), ("hour", &hour)], rng))
}

/// How hard the task was that a packet pays: the dearer the harder, not strictly.
fn stars(amount_fen: i64, rng: &mut Rng) -> i64 {
    let felt = rng.lognormal(amount_fen as f64, 0.6) as i64;
    1 + [900, 1_800, 3_200, 6_000].iter().filter(|bound| felt > **bound).count() as i64
}

/// Who claims: accounts that grab for a ring if it has any here, then members by how keen they are.
fn takers_of(world: &World, offer: &Offer, count: i64, rng: &mut Rng) -> Vec<Taker> {
    let Some(group) = offer.group else { return Vec::new() };
    let info = world.group(group);
    let mut takers = Vec::new();
    let farm = info.farm.as_ref().filter(|farm| farm.since <= world.now);
    if let Some(farm) = farm.filter(|farm| rng.chance(farm.appetite)) {
        let shares = rng.between(1, farm.shares_max).min(offer.shares);
        for account in rng.sample(&farm.accounts, shares as usize) {
            let delay_ms = rng.around(farm.latency_ms, farm.latency_sigma).max(60);
            takers.push(Taker { account, delay_ms, scheme: Some(farm.scheme) });
        }
    }
    let sender_claims = rng.chance(0.2);
    let relay = matches!(offer.play, Play::Relay(_));
    let mut keen: Vec<(f64, Account)> = info
        .members_at(world.now)
        .filter(|&member| member != offer.sender || sender_claims)
        .map(|member| (keenness(world, member, relay), member))
        .filter(|(weight, _)| *weight > 0.0)
        .collect();
    // Each comes after an exponential time of his own rate: the first are a weighted sample.
    for (weight, _) in &mut keen {
        *weight = -libm::log(rng.unit()) / *weight;
    }
    keen.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    keen.truncate(count as usize);
    let scheme = offer.scheme;
    takers.extend(keen.into_iter().map(|(_, account)| {
        let delay_ms = human_delay(world.person(account).nimble, rng);
        // Those in a relay wait for each other.
        let delay_ms = if relay { delay_ms.min(20_000 + delay_ms % 60_000) } else { delay_ms };
        Taker { account, delay_ms, scheme }
    }));
    takers
}

fn keenness(world: &World, account: Account, relay: bool) -> f64 {
    let person = world.person(account);
    match person.age {
        _ if person.watches => {
            if relay {
                0.0
            } else {
                0.02
            }
        }
        Age::Young if relay && person.plays_relay => 12.0,
        Age::Young if relay => 0.0,
        Age::Young => 1.4,
        _ => 1.0,
    }
}

/// Plans what is said in groups on a day.
fn chat(world: &mut World, festival: Option<Festival>, day: i64, rng: &mut Rng) {
    for group in (0..world.groups.len() as u32).map(Group) {
        let info = world.group(group);
        let gone = world.meeting(group) != group;
        let lives = info.lives_from(world.now).filter(|_| !info.taciturn && !gone);
        let Some(since) = lives else { continue };
        let kind = info.kind;
        let members: Vec<Account> = info.members_at(since).collect();
        let tenths = bustle_tenths(festival, kind, day).min(40);
        let mean = members.len() as f64 * 0.13 * tenths as f64 / 10.0;
        if opened_by_ring(info) {
            let mut own = world.talk.rng.split();
            // In a group of four or five a message is due every other day: the part of one that is
            // left is a chance of one.
            let count = own.lognormal(mean, 0.5) + own.unit();
            let guise = world.talk.guise(group);
            chat_in(world, (group, guise), &members, (since, count as i64), &mut own);
        } else {
            let count = rng.lognormal(mean, 0.5) as i64;
            chat_in(world, (group, kind), &members, (since, count), rng);
        }
    }
}

/// Whether a ring has opened a group within the days: what is said there is drawn apart.
fn opened_by_ring(info: &GroupInfo) -> bool {
    !info.settled() && info.scheme.is_some()
}

/// Plans so much of what is said in a group on a day, from a time on.
fn chat_in(
    world: &mut World,
    (group, kind): (Group, GroupType),
    members: &[Account],
    (since, count): (i64, i64),
    rng: &mut Rng,
) {
    for _ in 0..count.min(members.len() as i64 * 3) {
        let half_hour = rng.weighted(&kind.habits().half_hours) as i64;
        let within = rng.between(60_000, 30 * MINUTE - 1);
        let time = world.now + half_hour * 30 * MINUTE + within;
        let who = *rng.pick(members);
        let time = if time < since { since + within } else { time };
        world.plan(time, Act::Chat(who, group));
    }
}

/// Somebody says something, or keeps it to himself.
pub(super) fn say(world: &mut World, who: Account, group: Group) {
    let Some(mut life) = world.life.take() else { return };
    let info = world.group(group);
    let who = world.acting(who, info.scheme);
    let mut text = String::new();
    if !opened_by_ring(info) {
        let lookalike = life.rng.chance(LOOKALIKE);
        let scene = if lookalike { "chat.lookalike" } else { chat_scene(info.kind) };
        text = world.words.say(scene, &[], &mut life.rng);
    }
    if disguised(world, group) {
        text = world.talk.chat_of_ring(&world.words, group);
    }
    life.relays.present(group, who, world.person(who));
    world.life = Some(life);
    if !world.talk.hushes(group, who) {
        let event = world.act(Kind::Message, who);
        world.emit(super::world::Event { group: Some(group), text, ..event });
    }
}

/// Whether a group is of a ring in which people write as in others.
fn disguised(world: &World, group: Group) -> bool {
    let info = world.group(group);
    !info.taciturn && info.scheme.is_some_and(|scheme| world.scheme(scheme).fraud)
}
