//! Coded settlement (暗语交易): orders in a code of everyday words, each paid by a transfer or packet
//! to one account at a fixed price a unit, across groups. The code words change every week.

use super::{
    Shortage, by, memo_in_group, open_group, paid, pick_day, public, recruit, section, takers,
    time_on,
};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::packets::{Fund, Offer, Play};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Ring};
use crate::simulate::world::{Account, Group, SchemeId, World};

/// From so many settlements on the code can be read.
const SETTLED_TELLING: u32 = 8;
/// Words of the code in a week.
const BOOK_WORDS: usize = 6;

pub(super) fn plan(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    let difficulty = ring.difficulty;
    let day = pick_day(world, ring, rng);
    let begins = time_on(world, day, 10, 16, rng);
    let dealer = recruit(world, 1, difficulty, rng)?[0];
    let scheme = world.fraud(ring.typology, SETTLED_TELLING, rng);
    world.role(scheme, dealer, "collector", true);
    let prices: &[i64] = by(difficulty, &[100, 200], &[38, 58, 88, 120], &[6, 9, 15, 22]);
    let unit_fen = 100 * *rng.pick(prices);
    let book = world.words.section("code.books");
    let week = (day / 7) as usize;
    let words: Vec<&'static str> =
        (0..BOOK_WORDS).map(|at| book[(week * BOOK_WORDS + at) % book.len()].line).collect();
    let word = *rng.pick(&words);
    let mut rooms: Vec<(Group, Vec<Account>)> = Vec::new();
    for at in 0..by(difficulty, 1, 2, 3) {
        let buyers = public(world, by(difficulty, 16, 9, 6), rng)?;
        for &buyer in &buyers {
            world.role(scheme, buyer, "player", false);
        }
        let members: Vec<Account> = [dealer].iter().chain(&buyers).copied().collect();
        let opens = begins + at * 10 * MINUTE;
        rooms.push((
            open_group(world, ("group.coded", difficulty), &members, opens, scheme, rng),
            buyers,
        ));
    }
    let mut time = begins + 50 * MINUTE;
    for _ in 0..by(difficulty, 50, 40, 36) {
        let (group, buyers) = rng.pick(&rooms).clone();
        let buyer = *rng.pick(&buyers);
        let units = rng.between(1, by(difficulty, 5, 4, 3));
        let deal = Deal { group, buyer, dealer, units, unit_fen, difficulty, scheme, word };
        let mut own = rng.split();
        world.at(time, move |world| deal.settle(world, &mut own));
        time += rng.around(by(difficulty, 9 * MINUTE, 25 * MINUTE, HOUR), 0.7);
    }
    for night in 0..3 {
        let closes = world.midnight(day + night + 1) - rng.between(MINUTE, HOUR);
        world.cash_out_at(closes, dealer, Some(scheme));
    }
    Ok(())
}

struct Deal {
    group: Group,
    buyer: Account,
    dealer: Account,
    units: i64,
    unit_fen: i64,
    difficulty: Difficulty,
    scheme: SchemeId,
    word: &'static str,
}

impl Deal {
    /// The order in the group, and the money for it.
    fn settle(&self, world: &mut World, rng: &mut Rng) {
        let units = self.units.to_string();
        let said = [("units", units.as_str()), ("word", self.word)];
        let scheme = Some(self.scheme);
        if rng.chance(by(self.difficulty, 0.8, 0.5, 0.25)) {
            let text = world.words.say(&section("chat.coded", self.difficulty), &said, rng);
            world.say_at(world.now, self.buyer, self.group, text, scheme);
        }
        world.tell(self.scheme);
        let text = world.words.say(&section("memo.coded", self.difficulty), &said, rng);
        let fen = self.units * self.unit_fen + by(self.difficulty, 0, 0, rng.between(-300, 300));
        let time = world.now + 30_000;
        let pair = (self.buyer, self.dealer);
        if fen > 20_000 || rng.chance(0.6) {
            return world.pay_at(time, paid(self.scheme, pair, fen, text, Fund::Bank));
        }
        let group = (self.difficulty != Difficulty::Hard).then_some(self.group);
        let offer = Offer {
            sender: self.buyer,
            group,
            amount_fen: fen,
            shares: 1,
            play: Play::Exclusive(self.dealer),
            text: memo_in_group(world, self.difficulty, group, text),
            fund: Fund::Bank,
            platform: "wechat",
            scheme,
        };
        let takers =
            takers(&[self.dealer], self.scheme, rng, |rng| 2_000 + rng.around(30_000, 0.9));
        world.send_at(time, offer, takers);
    }
}
