//! Honest people who look like fraud: what a rule must leave alone.

mod collections;
mod devices;
mod parties;

use super::figures::GroupType::{self, Business, Family, Interest};
use super::packets::{Fund, Taker, Transfer, human_delay};
use super::random::Rng;
use super::scenario::{NegativeKind, Scenario};
use super::world::{Account, Group, GroupInfo, SchemeId, World};
use crate::diagnostic::{Failure, Message};

/// Plans all of them. Groups and people must be there.
///
/// # Errors
/// When there are fewer groups than occurrences of a kind, each of which is in one (exit 2).
pub(super) fn plan(world: &mut World, scenario: &Scenario) -> Result<(), Failure> {
    for &(_, kind) in NegativeKind::ALL {
        check(world, scenario, kind)?;
    }
    let eve = scenario.festival.map(|festival| festival.eve);
    let mut number = 0;
    for negative in &scenario.negatives {
        for _ in 0..negative.count {
            let mut rng = world.rng(negative.kind.name(), number);
            act(world, negative.kind, eve, &mut rng);
            number += 1;
        }
    }
    Ok(())
}

/// In groups of which types a kind occurs, and how many members they have at least; none where it
/// needs no group.
fn wanted(kind: NegativeKind) -> (&'static [GroupType], usize) {
    match kind {
        NegativeKind::FamilyRoundRobin => (&[Family], 7),
        NegativeKind::StudentRelay => (&[Interest], 12),
        NegativeKind::ShopOpening => (&[Business], 12),
        NegativeKind::MovedGroup => (&[Interest, Business], 12),
        NegativeKind::DinnerCollector => (&[Family, Interest], 7),
        NegativeKind::ClassFee | NegativeKind::CourseRefund => (&[Interest], 14),
        NegativeKind::Wedding => (&[Family], 6),
        NegativeKind::Organiser => (&[Business], 10),
        NegativeKind::FamilyTablet => (&[Family], 4),
        NegativeKind::InternetCafe | NegativeKind::Traveller => (&[], 0),
    }
}

/// Refuses more occurrences of a kind than there are groups for them, else the same people would
/// marry again and again, or nothing would happen.
fn check(world: &World, scenario: &Scenario, kind: NegativeKind) -> Result<(), Failure> {
    let (types, least) = wanted(kind);
    let count = |of: NegativeKind| {
        let counts = scenario.negatives.iter().filter(|negative| negative.kind == of);
        counts.map(|negative| negative.count).sum::<i64>()
    };
    // A relay keeps its group to itself.
    let kept = [NegativeKind::FamilyRoundRobin, NegativeKind::StudentRelay];
    let kept =
        kept.into_iter().filter(|&other| other != kind && types.contains(&wanted(other).0[0]));
    let kept: i64 = kept.map(count).sum();
    let able = world.groups.iter().filter(|info| types.iter().any(|&t| fits(info, t, least)));
    let able = (able.count() as i64 - kept).max(0);
    let (wanted, name) = (count(kind), kind.name());
    if types.is_empty() || wanted <= able {
        return Ok(());
    }
    let listed: Vec<&str> = types.iter().map(|kind| kind.name()).collect();
    let listed = listed.join(", ");
    Err(Failure::Usage(Message::new(
        format!(
            "too few groups: the scenario has {wanted} times {name}, and only {able} groups are left \
             for it ({listed}, of {least} members and more, there from the beginning); give more \
             `groups`, or a smaller `count`"
        ),
        format!(
            "群不足：场景中有 {wanted} 次 {name}，而可用的群只有 {able} 个（{listed}，至少 {least} 名成员，\
             且一开始就在）；请增大 `groups`，或减小 `count`"
        ),
    )))
}

fn act(world: &mut World, kind: NegativeKind, eve: Option<i64>, rng: &mut Rng) {
    match kind {
        NegativeKind::FamilyRoundRobin => parties::family_round_robin(world, eve, rng),
        NegativeKind::StudentRelay => parties::student_relay(world, rng),
        NegativeKind::ShopOpening => parties::shop_opening(world, rng),
        NegativeKind::MovedGroup => parties::moved_group(world, rng),
        NegativeKind::DinnerCollector => collections::dinner(world, rng),
        NegativeKind::ClassFee => collections::class_fee(world, rng),
        NegativeKind::Wedding => collections::wedding(world, rng),
        NegativeKind::CourseRefund => collections::course_refund(world, rng),
        NegativeKind::Organiser => collections::organiser(world, rng),
        NegativeKind::FamilyTablet => devices::family_tablet(world, rng),
        NegativeKind::InternetCafe => devices::internet_cafe(world, rng),
        NegativeKind::Traveller => devices::traveller(world, rng),
    }
}

/// Tries to find a group that is as it should be: beyond them there is none.
const TRIES: usize = 400;

/// A settled group of a type that belongs to nothing special yet and has so many members at least.
fn ordinary_group(world: &World, kind: GroupType, least: usize, rng: &mut Rng) -> Option<Group> {
    for _ in 0..TRIES {
        let group = Group(rng.below(world.groups.len() as u64) as u32);
        if fits(world.group(group), kind, least) {
            return Some(group);
        }
    }
    None
}

fn fits(info: &GroupInfo, kind: GroupType, least: usize) -> bool {
    let free = info.settled() && info.scheme.is_none();
    free && info.kind == kind && info.members.len() >= least
}

fn members(world: &World, group: Group) -> Vec<Account> {
    world.group(group).members_at(world.start).collect()
}

/// A time of a day for which so many days are left.
fn some_day(world: &World, span: i64, rng: &mut Rng) -> i64 {
    world.midnight(rng.between(0, (world.days() - span).max(0)))
}

/// People who claim as people do.
fn people(
    world: &World,
    accounts: &[Account],
    scheme: Option<SchemeId>,
    quick: bool,
    rng: &mut Rng,
) -> Vec<Taker> {
    let one = |&account: &Account| {
        let nimble = world.person(account).nimble;
        let delay_ms = match quick {
            true => (400 + rng.around(if nimble { 900 } else { 5_000 }, 0.8)).min(20 * 60_000),
            false => human_delay(nimble, rng),
        };
        Taker { account, delay_ms, scheme }
    };
    accounts.iter().map(one).collect()
}

/// A transfer that belongs to a look-alike.
fn paid(
    scheme: SchemeId,
    (from, to): (Account, Account),
    amount_fen: i64,
    text: String,
    fund: Fund,
) -> Transfer {
    Transfer { from, to, amount_fen, text, fund, group: None, scheme: Some(scheme) }
}
