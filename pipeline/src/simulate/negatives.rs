//! Honest people who look like fraud: what a rule must leave alone.

mod collections;
mod devices;
mod parties;

use super::figures::GroupType;
use super::packets::{Fund, Taker, Transfer, human_delay};
use super::random::Rng;
use super::scenario::{NegativeKind, Scenario};
use super::world::{Account, Group, SchemeId, World};

/// Plans all of them. Groups and people must be there.
pub(super) fn plan(world: &mut World, scenario: &Scenario) {
    let eve = scenario.festival.map(|festival| festival.eve);
    let mut number = 0;
    for negative in &scenario.negatives {
        for _ in 0..negative.count {
            let mut rng = world.rng(negative.kind.name(), number);
            act(world, negative.kind, eve, &mut rng);
            number += 1;
        }
    }
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
        let info = world.group(group);
        let free = info.settled() && info.scheme.is_none();
        if free && info.kind == kind && info.members.len() >= least {
            return Some(group);
        }
    }
    None
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
