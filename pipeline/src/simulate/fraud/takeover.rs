//! Account takeover (盗号): an account that has lived for years is suddenly on another device and in
//! another province, says nothing, and is emptied within minutes by packets and transfers to
//! strangers.

use super::{Shortage, by, paid, pick_day, public, recruit, section, takers, time_on};
use crate::event::Kind;
use crate::simulate::figures::{HOUR, MINUTE, PROVINCES};
use crate::simulate::packets::{Fund, Offer, Play};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Ring};
use crate::simulate::world::{Account, SchemeId, World, new_ip};

/// Payments after which it is plain.
const PAYMENTS_TELLING: u32 = 3;

pub(super) fn plan(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    let difficulty = ring.difficulty;
    let day = pick_day(world, ring, rng);
    let begins = time_on(world, day, by(difficulty, 1, 8, 9), by(difficulty, 5, 23, 22), rng);
    let victim = public(world, 1, rng)?[0];
    let payees = recruit(world, by(difficulty, 2, 3, 3), difficulty, rng)?;
    let scheme = world.fraud(ring.typology, PAYMENTS_TELLING, rng);
    world.role(scheme, victim, "taken", false);
    for &payee in &payees {
        world.role(scheme, payee, "collector", true);
    }
    let stolen = (world.new_device(), new_ip(rng), rng.pick(PROVINCES).0);
    let mut own = rng.split();
    world.at(begins, move |world| {
        Theft { victim, payees, scheme, difficulty }.run(world, stolen, &mut own);
    });
    Ok(())
}

struct Theft {
    victim: Account,
    payees: Vec<Account>,
    scheme: SchemeId,
    difficulty: Difficulty,
}

impl Theft {
    fn run(self, world: &mut World, (device, ip, province): (u32, u32, u32), rng: &mut Rng) {
        let person = &mut world.people[self.victim.0 as usize];
        let before = person.clone();
        (person.device, person.ips) = (device, [ip; 2]);
        // The hard kind goes through a machine in the same province.
        person.province = by(self.difficulty, province, province, before.province);
        let login = world.act(Kind::Login, self.victim);
        world.emit(login);
        let mut time = world.now + rng.between(20_000, 2 * MINUTE);
        for _ in 0..by(self.difficulty, 8, 6, 5) {
            self.take(world, time, rng);
            time += rng.around(by(self.difficulty, 40_000, 90_000, 6 * MINUTE), 0.6);
        }
        // Afterwards the owner gets it back.
        let victim = self.victim;
        world.at(time + rng.between(HOUR, 9 * HOUR), move |world| {
            let person = &mut world.people[victim.0 as usize];
            (person.device, person.ips) = (before.device, before.ips);
            person.province = before.province;
        });
        for &payee in &self.payees {
            let wait = by(self.difficulty, 5 * MINUTE, 40 * MINUTE, 5 * HOUR);
            world.cash_out_at(time + rng.around(wait, 0.5), payee, Some(self.scheme));
        }
    }

    fn take(&self, world: &mut World, time: i64, rng: &mut Rng) {
        let to = *rng.pick(&self.payees);
        let text = world.words.say(&section("memo.taken", self.difficulty), &[], rng);
        let scheme = self.scheme;
        world.at(time, move |world| world.tell(scheme));
        if rng.chance(0.5) {
            let fen = 100 * rng.around(by(self.difficulty, 900, 160, 45), 0.7).max(10);
            return world.pay_at(time, paid(scheme, (self.victim, to), fen, text, Fund::Bank));
        }
        let offer = Offer {
            sender: self.victim,
            group: None,
            amount_fen: by(
                self.difficulty,
                20_000,
                rng.around(9_000, 0.7).clamp(500, 20_000),
                rng.around(2_000, 0.9).clamp(300, 20_000),
            ),
            shares: 1,
            play: Play::Exclusive(to),
            text,
            fund: Fund::Bank,
            platform: "wechat",
            scheme: Some(scheme),
        };
        let slow = by(self.difficulty, 2_000, 9_000, 40_000);
        let takers = takers(&[to], scheme, rng, |rng| 1_000 + rng.around(slow, 0.9));
        world.send_at(time, offer, takers);
    }
}
