//! Many groups, one collector (多群归集): money comes out of many groups to one account within
//! hours, in packets below the limit, and leaves for the bank.

use super::{by, open_group, pick_day, recruit, section, time_on};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::packets::{Offer, Taker};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Typology};
use crate::simulate::world::{Account, Group, SchemeId, World};

/// From so many groups on the pattern is plain.
const GROUPS_TELLING: i64 = 4;

pub(super) fn run(world: &mut World, difficulty: Difficulty, rng: &mut Rng) {
    let day = pick_day(world, 2, rng);
    let begins = time_on(world, day, by(difficulty, 1, 10, 9), by(difficulty, 5, 18, 12), rng);
    let scheme = world.fraud(Typology::ManyGroupsOneCollector, begins + HOUR, rng);
    let collectors = recruit(world, by(difficulty, 1, 1, 2), difficulty, rng);
    for &collector in &collectors {
        world.role(scheme, collector, "collector", true);
    }
    let collected = vec![0; collectors.len()];
    let mut drain = Drain { scheme, difficulty, collectors, collected, last: begins };
    let span = by(difficulty, 50 * MINUTE, 4 * HOUR, 14 * HOUR);
    let groups = by(difficulty, 10, 8, 8);
    for at in 0..groups {
        drain.empty_group(world, begins + span * at / groups, rng);
        if at + 1 == GROUPS_TELLING {
            world.schemes[scheme.0 as usize].detectable_from = drain.last;
        }
    }
    for (&collector, &fen) in drain.collectors.iter().zip(&drain.collected) {
        if fen > 0 {
            let after = by(difficulty, 8 * MINUTE, 40 * MINUTE, 5 * HOUR);
            world.withdraw(drain.last + rng.around(after, 0.4), collector, fen, Some(scheme));
        }
    }
}

struct Drain {
    scheme: SchemeId,
    difficulty: Difficulty,
    collectors: Vec<Account>,
    /// What each of them has got, fen.
    collected: Vec<i64>,
    /// When the last of it came in, ms.
    last: i64,
}

impl Drain {
    /// A group is opened, its runners send what they hold, and the collectors take it.
    fn empty_group(&mut self, world: &mut World, opens: i64, rng: &mut Rng) {
        let runners = recruit(world, by(self.difficulty, 3, 3, 4), self.difficulty, rng);
        for &runner in &runners {
            world.role(self.scheme, runner, "mule", true);
        }
        let members: Vec<Account> = runners.iter().chain(&self.collectors).copied().collect();
        let name = section("group.front", self.difficulty);
        let group = open_group(world, &name, &members, opens, self.scheme, rng);
        let mut time = opens + rng.between(10_000, MINUTE);
        for &runner in &runners {
            let collector = rng.below(self.collectors.len() as u64) as usize;
            let others: Vec<Account> =
                runners.iter().copied().filter(|&other| other != runner).collect();
            for _ in 0..by(self.difficulty, 3, 2, 2) {
                self.hand_over(world, (time, group), (runner, collector), &others, rng);
                time +=
                    by(self.difficulty, 20_000, 3 * MINUTE, 15 * MINUTE) + rng.around(20_000, 0.6);
            }
        }
    }

    /// One packet, to the collector alone or with a decoy beside him.
    fn hand_over(
        &mut self,
        world: &mut World,
        (time, group): (i64, Group),
        (runner, collector): (Account, usize),
        others: &[Account],
        rng: &mut Rng,
    ) {
        let (difficulty, scheme) = (self.difficulty, Some(self.scheme));
        let decoys = by(difficulty, 0, 0, 1);
        let amount_fen = amount(difficulty, rng) * (1 + decoys);
        let text = world.words.say(&section("memo.collect", difficulty), &[], rng);
        let offer = Offer {
            time,
            sender: runner,
            group: Some(group),
            amount_fen,
            shares: 1 + decoys,
            play: by(difficulty, "exclusive", "exclusive", "lucky"),
            text: &text,
            funding: "bank",
            platform: "wechat",
            scheme,
        };
        let account = self.collectors[collector];
        let mut takers = vec![taker(account, difficulty, rng, self.scheme)];
        for other in rng.sample(others, decoys as usize) {
            takers.push(taker(other, difficulty, rng, self.scheme));
        }
        for share in world.send(&offer, &takers, rng) {
            self.last = self.last.max(share.time);
            if share.account == account {
                self.collected[collector] += share.amount_fen;
            }
        }
    }
}

/// Just below the limit of a share, unless the ring knows better.
fn amount(difficulty: Difficulty, rng: &mut Rng) -> i64 {
    match difficulty {
        Difficulty::Easy => 20_000,
        Difficulty::Medium => 100 * rng.between(128, 199),
        Difficulty::Hard => rng.between(6_000, 16_000),
    }
}

fn taker(account: Account, difficulty: Difficulty, rng: &mut Rng, scheme: SchemeId) -> Taker {
    let delay_ms =
        by(difficulty, 800, 1_500, 2_000) + rng.around(by(difficulty, 2_000, 9_000, 60_000), 0.8);
    Taker { account, delay_ms, scheme: Some(scheme) }
}
