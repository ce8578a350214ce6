//! Brushing and rebate (刷单返利): members advance money for "tasks" in the afternoon and get it back
//! with a commission an hour or two later. In the scam the tasks grow, and the last and largest
//! payment is not returned (连环单).

use std::rc::Rc;

use super::{
    Shortage, by, memo_in_group, open_group, paid, pick_day, public, recruit, section, takers, yuan,
};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::packets::{Fund, Offer, Play, SHARE_MEAN_FEN_MAX};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Ring, Typology};
use crate::simulate::world::{Account, Group, SchemeId, World};

/// From so many rebates (or, in the scam, losses) on it is plain.
const REBATES_TELLING: u32 = 6;
const LOSSES_TELLING: u32 = 1;

pub(super) fn plan(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    let difficulty = ring.difficulty;
    let scam = ring.typology == Typology::BrushingScam;
    let day = pick_day(world, ring, rng);
    let crew = recruit(world, 2, difficulty, rng)?;
    let (desk, till) = (crew[0], by(difficulty, crew[0], crew[1], crew[1]));
    let members = public(world, by(difficulty, 14, 11, 9), rng)?;
    let opens = world.midnight(day) + 14 * HOUR;
    let telling = if scam { LOSSES_TELLING } else { REBATES_TELLING };
    let scheme = world.fraud(ring.typology, telling, rng);
    world.role(scheme, desk, "operator", true);
    world.role(scheme, till, "collector", true);
    for &member in &members {
        world.role(scheme, member, if scam { "victim" } else { "brusher" }, false);
    }
    let all: Vec<Account> = crew.iter().chain(&members).copied().collect();
    let group = open_group(world, ("group.brushing", difficulty), &all, opens, scheme, rng);
    for at in 0..by(difficulty, 5, 3, 2) {
        let text = world.words.say(&section("chat.brushing", difficulty), &[], rng);
        world.say_at(opens + (5 + 20 * at) * MINUTE, desk, group, text, Some(scheme));
    }
    let shop = Rc::new(Shop { group, scheme, difficulty, desk, till, scam });
    for day in 0..if scam { 1 } else { 2 } {
        for &member in &members {
            let time = opens + day * 24 * HOUR + rng.between(5 * MINUTE, HOUR);
            let (shop, mut own) = (shop.clone(), rng.split());
            let stake = by(difficulty, 5_000, 100 * rng.between(12, 50), rng.between(500, 2_800));
            world.at(time, move |world| shop.task(world, member, stake, 0, &mut own));
        }
    }
    for night in 0..2 {
        let closes = opens + night * 24 * HOUR + 7 * HOUR + rng.between(10 * MINUTE, HOUR);
        world.cash_out_at(closes, till, Some(scheme));
    }
    Ok(())
}

struct Shop {
    group: Group,
    scheme: SchemeId,
    difficulty: Difficulty,
    desk: Account,
    till: Account,
    scam: bool,
}

impl Shop {
    /// One task of one member: paid in, paid back, and on to the next.
    fn task(
        self: Rc<Self>,
        world: &mut World,
        member: Account,
        stake_fen: i64,
        step: i64,
        rng: &mut Rng,
    ) {
        let text = world.words.say(&section("memo.advance", self.difficulty), &[], rng);
        world.pay(paid(self.scheme, (member, self.till), stake_fen, text, Fund::Bank));
        let steps = by(self.difficulty, 4, 3, 3);
        if step + 1 == steps && self.scam {
            return world.tell(self.scheme);
        }
        let median = match self.scam {
            true => by(self.difficulty, 12 * MINUTE, 35 * MINUTE, 80 * MINUTE),
            false => by(self.difficulty, 30 * MINUTE, 60 * MINUTE, 90 * MINUTE),
        };
        let wait = rng.around(median, 0.4);
        let mut own = rng.split();
        let shop = self.clone();
        world.at(world.now + wait, move |world| {
            shop.pay_back(world, member, stake_fen, &mut own);
        });
        if step + 1 < steps {
            let growth = match self.scam {
                true => by(self.difficulty, 40, 25, 20),
                false => 10,
            };
            let next_fen = (stake_fen * growth / 10 / 100 * 100).max(100);
            let time = world.now + wait + rng.between(5 * MINUTE, 25 * MINUTE);
            let mut own = rng.split();
            world.at(time, move |world| self.task(world, member, next_fen, step + 1, &mut own));
        }
    }

    /// Pays the advance back with a commission: in a packet as far as its limit goes.
    fn pay_back(&self, world: &mut World, member: Account, stake_fen: i64, rng: &mut Rng) {
        let percent = by(self.difficulty, 110, rng.between(104, 108), rng.between(102, 105));
        let amount_fen = stake_fen * percent / 100;
        let said = yuan(amount_fen);
        let said = [("yuan", said.as_str())];
        let text = world.words.say(&section("memo.rebate", self.difficulty), &said, rng);
        if !self.scam {
            world.tell(self.scheme);
        }
        if amount_fen > SHARE_MEAN_FEN_MAX {
            let pair = (self.desk, member);
            return world.pay(paid(self.scheme, pair, amount_fen, text, Fund::Balance));
        }
        let group = (self.difficulty != Difficulty::Hard).then_some(self.group);
        let offer = Offer {
            sender: self.desk,
            group,
            amount_fen,
            shares: 1,
            play: Play::Exclusive(member),
            text: memo_in_group(world, self.difficulty, group, text),
            fund: Fund::Balance,
            platform: "wechat",
            scheme: Some(self.scheme),
        };
        let takers = takers(&[member], self.scheme, rng, |rng| 2_000 + rng.around(15_000, 0.9));
        world.send(offer, takers, None);
    }
}
