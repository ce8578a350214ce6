//! Who there is: people with their ages and places, families, groups of interest and business.

use super::figures::{
    DAY, DELTA_BUSINESS_PERMILLE, GroupType, HOUR, INLAND_FAMILY_PERMILLE,
    MIDDLE_CONTACTS_PERMILLE, MINUTE, OLDER_WATCHERS_PERMILLE, PROVINCES, TURNOVER_DAYS_MIN,
    YOUNG_RELAY_PERMILLE, Zone,
};
use super::random::Rng;
use super::scenario::Scenario;
use super::world::{
    Account, Age, Event, GATHER_MS, Group, GroupInfo, Holder, Member, Person, SchemeId, World,
};
use crate::event::Kind;

/// Of a thousand people of each age, how many the groups of interest and business draw on.
const YOUNG_CONTACTS_PERMILLE: u64 = 500;
const OLDER_CONTACTS_PERMILLE: u64 = 120;

/// Of a thousand of the elderly, the ones who would rather watch and in two weeks take so much that it
/// does not show.
const TEMPTED_PERMILLE: u64 = 8;

/// Of a thousand ordinary groups, those that are opened on a day, and most of them in all: a rule that
/// takes every new group for a ring's is wrong about these.
const NEW_A_DAY_PERMILLE: i64 = 15;
const NEW_PERMILLE_MAX: i64 = 300;

/// Fills an empty world with people and groups.
pub(super) fn settle(world: &mut World, scenario: &Scenario) {
    let zones = zones(&scenario.groups);
    settle_families(world, scenario, &zones[GroupType::Family as usize]);
    give_traits(world, scenario);
    open_shops(world, scenario);
    for kind in [GroupType::Interest, GroupType::Business, GroupType::Stranger] {
        gather(world, kind, &zones[kind as usize], scenario.days);
    }
}

/// The zones of the groups of each type, such that in the deltas business groups and inland
/// family groups have the share that the document gives, as far as the counts allow it.
fn zones(groups: &[i64; 4]) -> [Vec<Zone>; 4] {
    let [family, interest, business, stranger] = *groups;
    let business_delta = (business * 2 / 3).max(1);
    let delta_others = business_delta * (1000 - DELTA_BUSINESS_PERMILLE) / DELTA_BUSINESS_PERMILLE;
    let interest_delta = (delta_others / 5).min(interest / 2);
    let family_delta = (delta_others - interest_delta).min(family / 2);
    let family_inland = (family - family_delta) * 3 / 4;
    let inland_others = family_inland * (1000 - INLAND_FAMILY_PERMILLE) / INLAND_FAMILY_PERMILLE;
    // Interest groups first: strangers and business would be dear, and mean packets are given too.
    let interest_inland = inland_others.min(interest - interest_delta);
    let business_inland =
        (inland_others - interest_inland).min((business - business_delta) * 3 / 4);
    let stranger_inland =
        (inland_others - interest_inland - business_inland).clamp(0, stranger / 2);
    let split = |all: i64, delta: i64, inland: i64| {
        let mut zones = vec![Zone::Delta; delta as usize];
        zones.resize((delta + inland) as usize, Zone::Inland);
        zones.resize(all as usize, Zone::Rest);
        zones
    };
    [
        split(family, family_delta, family_inland),
        split(interest, interest_delta, interest_inland),
        split(business, business_delta, business_inland),
        split(stranger, 0, stranger_inland),
    ]
}

/// A province of a zone, the larger ones more often.
fn province(zone: Zone, rng: &mut Rng) -> u32 {
    let weights: Vec<u32> =
        PROVINCES.iter().map(|&(_, at, weight)| if at == zone { weight } else { 0 }).collect();
    PROVINCES[rng.weighted(&weights)].0
}

/// Families come first, each with accounts of its own while there are any to be had; later groups
/// are of friends and colleagues, and take people whom the families already hold. So do those that
/// are opened within the days: for a journey, a reunion, a birthday.
fn settle_families(world: &mut World, scenario: &Scenario, zones: &[Zone]) {
    let mut rng = world.rng("families", 0);
    let new = NewGroups::of(zones.len(), scenario.days);
    let (new, mut old): (Vec<usize>, Vec<usize>) =
        (0..zones.len()).partition(|&at| new.contains(at));
    rng.shuffle(&mut old);
    let (low, high) = GroupType::Family.habits().members;
    for zone in old.into_iter().map(|at| zones[at]) {
        let size = rng.between(low, high);
        let home = province(zone, &mut rng);
        let left = scenario.accounts - world.people.len() as i64;
        if left < size {
            befriend(world, (home, size), false, &mut rng);
            continue;
        }
        let members: Vec<Account> =
            (0..size).map(|_| add_relative(world, home, &mut rng)).collect();
        found(world, (GroupType::Family, home), "group.family", &members, false, &mut rng);
    }
    while (world.people.len() as i64) < scenario.accounts {
        let zone = [Zone::Delta, Zone::Inland, Zone::Rest][rng.weighted(&[30, 45, 25])];
        let home = province(zone, &mut rng);
        add_relative(world, home, &mut rng);
    }
    for zone in new.into_iter().map(|at| zones[at]) {
        let home = province(zone, &mut rng);
        let size = rng.between(low, high);
        befriend(world, (home, size), true, &mut rng);
    }
    world.ordinary = world.people.len() as u32;
}

/// A group of people who are there already, so many about.
fn befriend(world: &mut World, (home, size): (u32, i64), new: bool, rng: &mut Rng) {
    let known = world.people.len() as u64;
    let mut friends: Vec<Account> = (0..size).map(|_| Account(rng.below(known) as u32)).collect();
    friends.sort_unstable();
    friends.dedup();
    rng.shuffle(&mut friends);
    found(world, (GroupType::Family, home), "group.friends", &friends, new, rng);
}

/// The groups of a type that are opened within the days, evenly among all: as these come zone by zone,
/// those that are there before keep the zones' shares.
struct NewGroups {
    new: usize,
    all: usize,
}

impl NewGroups {
    fn of(all: usize, days: i64) -> NewGroups {
        let permille = (NEW_A_DAY_PERMILLE * days).min(NEW_PERMILLE_MAX);
        NewGroups { new: (all * permille as usize + 500) / 1000, all }
    }

    fn contains(&self, at: usize) -> bool {
        self.new * (at + 1) / self.all > self.new * at / self.all
    }
}

fn add_relative(world: &mut World, home: u32, rng: &mut Rng) -> Account {
    let age = [Age::Young, Age::Middle, Age::Older][rng.weighted(&[25, 42, 33])];
    // Some of the young work far from home.
    let away = age != Age::Older && rng.chance(0.2);
    let lives = if away { province(Zone::Delta, rng) } else { home };
    world.add_person(age, lives, rng)
}

fn give_traits(world: &mut World, scenario: &Scenario) {
    if scenario.customs.watchers_by_family {
        let mut rng = world.rng("watchers", 0);
        let tempted = if scenario.days >= TURNOVER_DAYS_MIN { TEMPTED_PERMILLE } else { 0 };
        spread(&mut world.people, Age::Older, OLDER_WATCHERS_PERMILLE + tempted, &mut rng);
    }
    let mut rng = world.rng("traits", 0);
    let mut give = |people: &mut [Person], age: Age, permille: u64, set: fn(&mut Person)| {
        let mut able: Vec<usize> = (0..people.len()).filter(|&at| people[at].age == age).collect();
        rng.shuffle(&mut able);
        let count = (able.len() as u64 * permille + 500) / 1000;
        for &at in able.iter().take(count as usize) {
            set(&mut people[at]);
        }
    };
    let people = &mut world.people;
    give(people, Age::Young, YOUNG_RELAY_PERMILLE, |person| person.plays_relay = true);
    give(people, Age::Young, YOUNG_CONTACTS_PERMILLE, |person| person.widens_contacts = true);
    give(people, Age::Middle, MIDDLE_CONTACTS_PERMILLE, |person| person.widens_contacts = true);
    give(people, Age::Older, OLDER_CONTACTS_PERMILLE, |person| person.widens_contacts = true);
    if !scenario.customs.watchers_by_family {
        give(people, Age::Older, OLDER_WATCHERS_PERMILLE, |person| person.watches = true);
    }
}

/// Makes so many of an age watchers, evenly in the order of people, who come family by family: then
/// also of a few hundred of them the share is the document's.
fn spread(people: &mut [Person], age: Age, permille: u64, rng: &mut Rng) {
    let mut due = rng.below(1000);
    for person in people.iter_mut().filter(|person| person.age == age) {
        due += permille;
        person.watches = due >= 1000;
        due %= 1000;
    }
}

/// One shop for every hundred accounts, and a few at least.
fn open_shops(world: &mut World, scenario: &Scenario) {
    let mut rng = world.rng("shops", 0);
    for _ in 0..(scenario.accounts / 100).max(5) {
        let zone = [Zone::Delta, Zone::Inland, Zone::Rest][rng.weighted(&[40, 35, 25])];
        let home = province(zone, &mut rng);
        let shop = world.add_person(Age::Middle, home, &mut rng);
        world.people[shop.0 as usize].shop = true;
        world.people[shop.0 as usize].verified = true;
        world.shops.push(shop);
    }
}

/// Groups of a type, filled from those who widen their contacts, each of whom is taken in turn.
fn gather(world: &mut World, kind: GroupType, zones: &[Zone], days: i64) {
    let mut rng = world.rng("gather", kind as u64);
    let mut able: Vec<Account> = (0..world.ordinary)
        .map(Account)
        .filter(|&account| world.person(account).widens_contacts)
        .collect();
    rng.shuffle(&mut able);
    let mut next = 0;
    let (low, high) = kind.habits().members;
    let new = NewGroups::of(zones.len(), days);
    for (at, &zone) in zones.iter().enumerate() {
        let size = (rng.between(low, high) as usize).min(able.len());
        let members: Vec<Account> = (0..size).map(|at| able[(next + at) % able.len()]).collect();
        next += size;
        let home = province(zone, &mut rng);
        let scene = match kind {
            GroupType::Business => "group.business",
            GroupType::Stranger => "group.stranger",
            _ => "group.interest",
        };
        found(world, (kind, home), scene, &members, new.contains(at), &mut rng);
    }
}

/// A group that is there already, or is opened on one of the days; then its members join within the
/// hour.
fn found(
    world: &mut World,
    (kind, province): (GroupType, u32),
    scene: &str,
    members: &[Account],
    new: bool,
    rng: &mut Rng,
) {
    let name = world.words.say(scene, &[], rng);
    let day = world.midnight(rng.between(0, world.days() - 1));
    let opened_at = new.then(|| day + rng.between(8 * HOUR, 21 * HOUR));
    let end = world.end;
    let first = opened_at.unwrap_or(world.start);
    let member = |(at, &account): (usize, &Account)| {
        // In groups that are open to all some come only later.
        let late = kind != GroupType::Family && at > 4 && rng.chance(0.12);
        let since = match opened_at {
            _ if late => rng.between(first + HOUR, end - 1),
            Some(opened_at) if at > 0 => opened_at + rng.between(MINUTE, GATHER_MS),
            Some(opened_at) => opened_at,
            None => first - DAY,
        };
        Member { account, since }
    };
    let members: Vec<Member> = members.iter().enumerate().map(member).collect();
    let (farm, scheme, taciturn) = (None, None, false);
    let group = GroupInfo { kind, province, name, opened_at, members, farm, scheme, taciturn };
    let group = world.add_group(group);
    if let Some(opened_at) = opened_at {
        announce(world, group, opened_at, None);
    }
}

/// The stream opens with what is known of the accounts and groups that exist already, those of rings
/// among them: in an order that tells nothing of anybody.
pub(super) fn snapshot(world: &mut World) {
    let mut rng = world.rng("snapshot", 0);
    let start = world.start;
    let mut accounts: Vec<Account> = (0..world.people.len() as u32).map(Account).collect();
    rng.shuffle(&mut accounts);
    for (at, account) in (0..).zip(accounts) {
        introduce(world, account, start + at / SNAPSHOT_MS);
    }
    let all = (0..world.groups.len() as u32).map(Group);
    let mut groups: Vec<Group> = all.filter(|&group| world.group(group).settled()).collect();
    rng.shuffle(&mut groups);
    for (at, group) in (0..).zip(groups) {
        announce(world, group, start + 1000 + at / SNAPSHOT_MS, None);
    }
}

/// Accounts and groups of the snapshot in a millisecond.
const SNAPSHOT_MS: i64 = 20;

/// Plans the `account` event that tells an account's attributes as they are then.
pub(super) fn introduce(world: &mut World, account: Account, time: i64) {
    world.at(time, move |world| {
        let person = world.person(account);
        let Person { age, registered_at, verified, .. } = *person;
        let holder = Some(Holder { age, registered_at, verified });
        let event = world.act(Kind::Account, account);
        world.emit(Event { device: None, ip: None, holder, ..event });
    });
}

/// Plans the `group` event that tells a group's name and owner.
pub(super) fn announce(world: &mut World, group: Group, time: i64, scheme: Option<SchemeId>) {
    world.at(time, move |world| {
        let info = world.group(group);
        let (text, owner, region) =
            (info.name.clone(), info.members[0].account, Some(info.province));
        let event = world.act(Kind::Group, owner);
        let group = Some(group);
        world.emit(Event { group, text, region, device: None, ip: None, scheme, ..event });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_the_shares_of_the_document() {
        let counts = [600, 90, 110, 20];
        let zones = zones(&counts);
        let count = |kind: usize, zone: Zone| zones[kind].iter().filter(|at| **at == zone).count();
        let all = |zone: Zone| (0..4).map(|kind| count(kind, zone)).sum::<usize>();
        for (kind, wanted) in counts.into_iter().enumerate() {
            assert_eq!(zones[kind].len() as i64, wanted);
        }
        let delta = count(2, Zone::Delta) * 1000 / all(Zone::Delta);
        let inland = count(0, Zone::Inland) * 1000 / all(Zone::Inland);
        assert!((600..660).contains(&delta), "{delta}");
        assert!((770..790).contains(&inland), "{inland}");
    }
}
