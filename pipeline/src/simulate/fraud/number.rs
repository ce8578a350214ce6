//! Number games (牛牛, 大小单双): a penny packet of the banker's is the dice. In niu-niu the last two
//! digits of each share are added and the higher beats the banker's; in big-small the last digit of
//! the player's share is big or small, odd or even. Stakes and winnings go by transfer.

use std::rc::Rc;

use super::{
    Crowd, Shortage, anyhow, by, open_group, paid, pick_day, recruit, section, share_of, takers,
    yuan,
};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::packets::{Fund, Offer, Play, Share};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Ring, Typology};
use crate::simulate::world::{Account, Group, SchemeId, World};

/// After so many rounds the evidence is there for anyone to see.
const ROUNDS_TELLING: u32 = 8;
/// Out of a hundred fen won, the owner keeps so many.
const RAKE_PERCENT: i64 = 5;

pub(super) fn plan(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    let difficulty = ring.difficulty;
    let day = pick_day(world, ring, rng);
    let crew = recruit(world, 2, difficulty, rng)?;
    let crowd = Crowd::drawn(world, ring, by(difficulty, 30, 24, 18), rng)?;
    let hour = by(difficulty, 1, rng.between(13, 21), rng.between(10, 20));
    let opens = (world.midnight(day) + hour * HOUR).max(world.start + HOUR);
    let scheme = world.fraud(ring.typology, ROUNDS_TELLING, rng);
    world.role(scheme, crew[0], "banker", true);
    world.role(scheme, crew[1], "agent", true);
    for &player in crowd.regulars() {
        world.role(scheme, player, "player", false);
    }
    let members: Vec<Account> = crew.iter().chain(&crowd.everybody).copied().collect();
    let group = open_group(world, ("group.gambling", difficulty), &members, opens, scheme, rng);
    let text = world.words.say(&section("chat.gambling", difficulty), &[], rng);
    world.say_at(opens, crew[0], group, text, Some(scheme));
    let game = Game {
        group,
        scheme,
        difficulty,
        niu_niu: ring.typology == Typology::GamblingNiuNiu,
        banker: crew[0],
        agent: crew[1],
        crowd,
    };
    let game = Rc::new(game);
    let mut time = opens + MINUTE;
    for _ in 0..by(difficulty, 20, 16, 12) {
        let (playing, mut own) = (game.clone(), rng.split());
        world.at(time, move |world| playing.round(world, &mut own));
        time += 2 * MINUTE + rng.around(by(difficulty, MINUTE, 2 * MINUTE, 5 * MINUTE), 0.4);
    }
    world.cash_out_at(time + rng.between(10 * MINUTE, HOUR), crew[0], Some(scheme));
    Ok(())
}

struct Game {
    group: Group,
    scheme: SchemeId,
    difficulty: Difficulty,
    niu_niu: bool,
    banker: Account,
    agent: Account,
    crowd: Crowd,
}

impl Game {
    fn round(self: Rc<Self>, world: &mut World, rng: &mut Rng) {
        let count = rng.between(3, 5) as usize;
        let mut bets = Vec::new();
        for player in self.crowd.seats(world, self.scheme, count, rng) {
            let fen = by(
                self.difficulty,
                100 * *rng.pick(&[50, 100, 200, 300, 500]),
                100 * *rng.pick(&[5, 10, 20, 30, 50, 66, 100]),
                rng.between(200, 4_500),
            );
            let scene = section("bet.banker", self.difficulty);
            let text = world.words.say(&scene, &[("yuan", &yuan(fen))], rng);
            let stake = paid(self.scheme, (player, self.banker), fen, text, anyhow(rng));
            world.pay_at(world.now + rng.between(1_000, 50_000), stake);
            bets.push((player, fen, rng.below(4)));
        }
        // The banker's agent draws too: the share that the others play against.
        let mut drawers: Vec<Account> = bets.iter().map(|bet| bet.0).collect();
        drawers.push(self.agent);
        let said = [("yuan", "1"), ("shares", "3"), ("mine", "")];
        let offer = Offer {
            sender: self.agent,
            group: Some(self.group),
            amount_fen: by(self.difficulty, 100, rng.between(100, 300), rng.between(120, 900)),
            shares: drawers.len() as i64,
            play: Play::Lucky,
            text: world.words.say(&section("deal.banker", self.difficulty), &said, rng),
            fund: Fund::Lingqiantong,
            platform: "wechat",
            scheme: Some(self.scheme),
        };
        let slow = by(self.difficulty, 2_500, 5_000, 8_000);
        let takers =
            takers(&drawers, self.scheme, rng, |rng| 500 + rng.around(slow, 0.8).min(25_000));
        let mut own = rng.split();
        world.send_then(world.now + MINUTE, offer, takers, move |world, shares| {
            world.tell(self.scheme);
            let house = share_of(&shares, self.agent);
            for (player, stake, bet) in bets {
                let won = share_of(&shares, player).and_then(|share| self.won(share, house?, bet));
                if let Some(times) = won {
                    self.pay_out(world, player, stake * (1 + times), &mut own);
                }
            }
        });
    }

    /// How many times the stake was won, if it was.
    fn won(&self, share: Share, house: Share, bet: u64) -> Option<i64> {
        let (own, digit) = (points(share.amount_fen), share.amount_fen % 10);
        if self.niu_niu {
            // Niu-niu itself, ten points, is paid double.
            return (own > points(house.amount_fen)).then_some(if own == 10 { 2 } else { 1 });
        }
        let hit = match bet {
            0 => digit >= 5,
            1 => digit < 5,
            2 => digit % 2 == 1,
            _ => digit % 2 == 0,
        };
        hit.then_some(1)
    }

    fn pay_out(&self, world: &mut World, player: Account, fen: i64, rng: &mut Rng) {
        let fen = fen * (100 - RAKE_PERCENT) / 100;
        let text = world.words.say(&section("settle", self.difficulty), &[], rng);
        let wait = 4_000 + rng.around(20_000, 0.6).min(80_000);
        let prize = paid(self.scheme, (self.banker, player), fen, text, Fund::Balance);
        world.pay_at(world.now + wait, prize);
    }
}

/// The points of a share: the last two digits added, of which the last digit counts and 0 is ten.
fn points(fen: i64) -> i64 {
    match (fen / 10 % 10 + fen % 10) % 10 {
        0 => 10,
        points => points,
    }
}

#[cfg(test)]
mod tests {
    use super::points;

    #[test]
    fn the_last_two_digits_are_added() {
        // 10.31 yuan has four points, and 1.55 has ten.
        assert_eq!([1_031, 155, 7, 100].map(points), [4, 10, 7, 10]);
    }
}
