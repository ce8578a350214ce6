//! Rings of fraud, one file a typology. What makes each typology is the same at every difficulty;
//! words, amounts, timing and accounts hide it better from easy to hard.

mod banker;
mod brushing;
mod coded;
mod collector;
mod contact;
mod farm;
mod mine;
mod mule;

use super::figures::{
    BANNED_PROVINCES, BANNED_REGION_PERMILLE, DAY, GroupType, HOUR, MINUTE, PROVINCES,
};
use super::random::Rng;
use super::scenario::{Difficulty, Ring, Scenario, Typology};
use super::society::{announce, introduce};
use super::world::{Account, Age, Event, Group, GroupInfo, Member, SchemeId, World};
use crate::event::Kind;

/// Puts device farms into ordinary groups: before the groups live, because farms grab from what
/// others send.
pub(super) fn infiltrate(world: &mut World, scenario: &Scenario) {
    for_each_ring(world, scenario, |world, ring, rng| {
        if ring.typology == Typology::DeviceFarm {
            farm::infiltrate(world, ring.difficulty, rng);
        }
    });
}

/// Lets all rings do their work. Ordinary groups must have lived.
pub(super) fn run(world: &mut World, scenario: &Scenario) {
    for_each_ring(world, scenario, |world, ring, rng| {
        let difficulty = ring.difficulty;
        match ring.typology {
            Typology::GamblingMine => mine::run(world, difficulty, rng),
            Typology::GamblingBanker => banker::run(world, difficulty, rng),
            Typology::ManyGroupsOneCollector => collector::run(world, difficulty, rng),
            Typology::BrushingRebate => brushing::run(world, difficulty, rng),
            Typology::MulePassThrough => mule::run(world, difficulty, rng),
            Typology::ContactDiversion => contact::run(world, difficulty, rng),
            Typology::CodedSettlement => coded::run(world, difficulty, rng),
            Typology::DeviceFarm => {}
        }
    });
    farm::harvest(world);
}

fn for_each_ring(
    world: &mut World,
    scenario: &Scenario,
    mut act: impl FnMut(&mut World, &Ring, &mut Rng),
) {
    let mut number = 0;
    for ring in &scenario.rings {
        for _ in 0..ring.count {
            let mut rng = world.rng(ring.typology.name(), number);
            act(world, ring, &mut rng);
            number += 1;
        }
    }
}

/// One of three values, by difficulty.
fn by<T: Copy>(difficulty: Difficulty, easy: T, medium: T, hard: T) -> T {
    match difficulty {
        Difficulty::Easy => easy,
        Difficulty::Medium => medium,
        Difficulty::Hard => hard,
    }
}

/// The name of a section of phrases at a difficulty.
fn section(scene: &str, difficulty: Difficulty) -> String {
    format!("{scene}.{}", by(difficulty, "easy", "medium", "hard"))
}

/// Accounts of the ring's own: the easier to catch, the younger.
fn recruit(world: &mut World, count: i64, difficulty: Difficulty, rng: &mut Rng) -> Vec<Account> {
    let (from, to) = by(difficulty, (1, 20), (15, 200), (120, 1_500));
    let verified = by(difficulty, 0.5, 0.75, 0.95);
    let recruits = (0..count).map(|_| {
        let (province, ..) = *rng.pick(PROVINCES);
        let age = [Age::Young, Age::Middle][rng.weighted(&[50, 50])];
        let account = world.add_person(age, province, rng);
        let start = world.start;
        let person = &mut world.people[account.0 as usize];
        person.registered_at = start - rng.between(from, to) * DAY - rng.between(0, DAY - 1);
        person.verified = rng.chance(verified);
        person.ringed = true;
        introduce(world, account, start + i64::from(account.0) / 20);
        account
    });
    recruits.collect()
}

/// Ordinary people who get drawn in.
fn public(world: &World, count: i64, rng: &mut Rng) -> Vec<Account> {
    let able: Vec<Account> = (0..world.ordinary)
        .map(Account)
        .filter(|&account| world.person(account).age != Age::Older)
        .collect();
    rng.sample(&able, count as usize)
}

/// A group that a ring opens at a time; its members join within the half-hour before.
fn open_group(
    world: &mut World,
    scene: &str,
    members: &[Account],
    time: i64,
    scheme: SchemeId,
    rng: &mut Rng,
) -> Group {
    let opened_at = time - 30 * MINUTE;
    let name = world.words.say(scene, &[], rng);
    let mut joined: Vec<Member> = members
        .iter()
        .map(|&account| Member { account, since: opened_at + rng.between(1, 25 * MINUTE) })
        .collect();
    joined[0].since = opened_at;
    let group = world.add_group(GroupInfo {
        kind: GroupType::Stranger,
        province: banned_province(world, rng),
        name,
        opened_at: Some(opened_at),
        members: joined.clone(),
        farm: None,
        scheme: Some(scheme),
    });
    announce(world, group, opened_at, Some(scheme));
    for member in &joined[1..] {
        let join =
            Event { group: Some(group), ..world.act(member.since, Kind::Join, member.account) };
        world.emit(join);
    }
    group
}

/// The provinces of rings' groups: of any number of them, the share that the document gives lies
/// in three provinces.
fn banned_province(world: &World, rng: &mut Rng) -> u32 {
    let opened = world.groups.iter().filter(|group| group.scheme.is_some()).count() as i64;
    let so_far = |groups: i64| (groups * BANNED_REGION_PERMILLE + 500) / 1000;
    if so_far(opened + 1) > so_far(opened) {
        return *rng.pick(&BANNED_PROVINCES);
    }
    loop {
        let (province, ..) = *rng.pick(PROVINCES);
        if !BANNED_PROVINCES.contains(&province) {
            return province;
        }
    }
}

/// A day on which something that takes `span` days can begin.
fn pick_day(world: &World, span: i64, rng: &mut Rng) -> i64 {
    rng.between(0, (world.days() - span).max(0))
}

/// A time of day: an hour from `from` to `to` of a day, and not before the stream has opened.
fn time_on(world: &World, day: i64, from: i64, to: i64, rng: &mut Rng) -> i64 {
    let time = world.midnight(day) + rng.between(from * HOUR, to * HOUR);
    time.max(world.start + HOUR)
}

/// An amount in yuan as people write it: without a fraction where there is none.
fn yuan(fen: i64) -> String {
    match fen % 100 {
        0 => (fen / 100).to_string(),
        rest => format!("{}.{rest:02}", fen / 100),
    }
}
