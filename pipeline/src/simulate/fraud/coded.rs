//! Coded settlement (暗语交易): orders in a code of everyday words, each paid by a transfer or packet
//! to one account at a fixed price a unit, across groups.

use super::{by, open_group, pick_day, public, recruit, section, time_on};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::packets::{Offer, Taker};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Typology};
use crate::simulate::world::{Account, Group, SchemeId, Transfer, World};

/// From so many settlements on the code can be read.
const SETTLED_TELLING: usize = 8;

pub(super) fn run(world: &mut World, difficulty: Difficulty, rng: &mut Rng) {
    let day = pick_day(world, 3, rng);
    let begins = time_on(world, day, 10, 16, rng);
    let dealer = recruit(world, 1, difficulty, rng)[0];
    let scheme = world.fraud(Typology::CodedSettlement, begins + HOUR, rng);
    world.role(scheme, dealer, "collector", true);
    let unit_fen = 100 * *rng.pick(by(difficulty, &[100, 200], &[88, 120, 150], &[45, 66, 75, 90]));
    let mut rooms: Vec<(Group, Vec<Account>)> = Vec::new();
    for at in 0..by(difficulty, 1, 2, 3) {
        let buyers = public(world, by(difficulty, 16, 9, 6), rng);
        for &buyer in &buyers {
            world.role(scheme, buyer, "player", false);
        }
        let members: Vec<Account> = [dealer].iter().chain(&buyers).copied().collect();
        let name = section("group.coded", difficulty);
        let opens = begins + at * 10 * MINUTE;
        rooms.push((open_group(world, &name, &members, opens, scheme, rng), buyers));
    }
    let mut time = begins + 40 * MINUTE;
    let mut taken = 0;
    for order in 0..by(difficulty, 50, 40, 36) {
        let (group, buyers) = rng.pick(&rooms).clone();
        let buyer = *rng.pick(&buyers);
        let units = rng.between(1, by(difficulty, 5, 4, 3));
        let deal = Deal { time, group, buyer, dealer, units, unit_fen, difficulty, scheme };
        taken += deal.settle(world, rng);
        if order + 1 == SETTLED_TELLING {
            world.schemes[scheme.0 as usize].detectable_from = time;
        }
        time += rng.around(by(difficulty, 9 * MINUTE, 25 * MINUTE, HOUR), 0.7);
    }
    if taken > 0 {
        world.withdraw(time + rng.between(MINUTE, HOUR), dealer, taken, Some(scheme));
    }
}

struct Deal {
    time: i64,
    group: Group,
    buyer: Account,
    dealer: Account,
    units: i64,
    unit_fen: i64,
    difficulty: Difficulty,
    scheme: SchemeId,
}

impl Deal {
    /// The order in the group, and the money for it: how much was paid.
    fn settle(&self, world: &mut World, rng: &mut Rng) -> i64 {
        let units = self.units.to_string();
        let said = [("units", units.as_str())];
        let scheme = Some(self.scheme);
        if rng.chance(by(self.difficulty, 0.8, 0.5, 0.25)) {
            let text = world.words.say(&section("chat.coded", self.difficulty), &said, rng);
            world.message(self.time - 30_000, self.buyer, self.group, text, scheme);
        }
        let text = world.words.say(&section("memo.coded", self.difficulty), &said, rng);
        let fen = self.units * self.unit_fen + by(self.difficulty, 0, 0, rng.between(-300, 300));
        if fen > 20_000 || rng.chance(0.6) {
            let paid = Transfer {
                time: self.time,
                from: self.buyer,
                to: self.dealer,
                amount_fen: fen,
                text: &text,
                funding: "bank",
                group: None,
                scheme,
            };
            return if world.transfer(paid) { fen } else { 0 };
        }
        let offer = Offer {
            time: self.time,
            sender: self.buyer,
            group: Some(self.group),
            amount_fen: fen,
            shares: 1,
            play: "exclusive",
            text: &text,
            funding: "bank",
            platform: "wechat",
            scheme,
        };
        let delay_ms = 2_000 + rng.around(30_000, 0.9);
        let taker = Taker { account: self.dealer, delay_ms, scheme };
        world.send(&offer, &[taker], rng).iter().map(|share| share.amount_fen).sum()
    }
}
