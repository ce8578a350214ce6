//! Mine groups (扫雷): the packet's memo names a digit, and whoever draws a share that ends in it
//! pays the sender a multiple of the packet at once.

use super::{by, open_group, pick_day, public, recruit, section, yuan};
use crate::simulate::figures::{GAMBLING_SENDS_DAY_HUNDREDTHS, HOUR, MINUTE};
use crate::simulate::packets::{Offer, Taker};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Typology};
use crate::simulate::world::{Account, Group, SchemeId, Transfer, World};

/// Accounts of the house that send by turns.
const HOUSE: i64 = 4;
/// After so many rounds the evidence is there for anyone to see.
const ROUNDS_TELLING: usize = 5;

pub(super) fn run(world: &mut World, difficulty: Difficulty, rng: &mut Rng) {
    let day = pick_day(world, 2, rng);
    let house = recruit(world, HOUSE, difficulty, rng);
    let players = public(world, by(difficulty, 24, 20, 16), rng);
    let opens = world.midnight(day) + by(difficulty, HOUR, HOUR / 2 + HOUR, 21 * HOUR);
    let scheme = world.fraud(Typology::GamblingMine, opens + 20 * MINUTE, rng);
    for &account in &house {
        world.role(scheme, account, "banker", true);
    }
    for &account in &players {
        world.role(scheme, account, "player", false);
    }
    let members: Vec<Account> = house.iter().chain(&players).copied().collect();
    let group =
        open_group(world, &section("group.gambling", difficulty), &members, opens, scheme, rng);
    let table = Table { group, scheme, difficulty, house, players };
    for night in 0..2 {
        table.night(world, opens + night * 24 * HOUR, night == 0, rng);
    }
}

struct Table {
    group: Group,
    scheme: SchemeId,
    difficulty: Difficulty,
    house: Vec<Account>,
    players: Vec<Account>,
}

impl Table {
    fn night(&self, world: &mut World, opens: i64, first: bool, rng: &mut Rng) {
        let rounds = (self.house.len() as i64 * GAMBLING_SENDS_DAY_HUNDREDTHS + 50) / 100;
        let mut time = opens;
        let mut won = vec![0_i64; self.house.len()];
        for round in 0..rounds as usize {
            if round % 6 == 0 {
                let text = world.words.say(&section("chat.gambling", self.difficulty), &[], rng);
                let who = self.house[0];
                world.message(time - 20_000, who, self.group, text, Some(self.scheme));
            }
            let seat = round % self.house.len();
            let (last, sum) = self.round(world, time, self.house[seat], rng);
            won[seat] += sum;
            if first && round + 1 == ROUNDS_TELLING {
                world.schemes[self.scheme.0 as usize].detectable_from = last;
            }
            time += by(self.difficulty, 2 * MINUTE, 2 * MINUTE, 3 * MINUTE)
                + rng.around(by(self.difficulty, 20_000, 60_000, 150_000), 0.5);
        }
        for (&account, &fen) in self.house.iter().zip(&won) {
            if fen > 0 {
                let after = rng.between(10 * MINUTE, 40 * MINUTE);
                world.withdraw(time + after, account, fen, Some(self.scheme));
            }
        }
    }

    /// One packet and what the losers pay: when the last of it happened, and how much was paid.
    fn round(&self, world: &mut World, time: i64, sender: Account, rng: &mut Rng) -> (i64, i64) {
        let stakes: &[i64] = by(
            self.difficulty,
            &[5_000, 5_000, 10_000],
            &[3_000, 5_000, 6_800, 8_800],
            &[2_000, 3_100, 4_700, 5_200, 6_600],
        );
        let amount_fen = *rng.pick(stakes);
        let shares = by(self.difficulty, 7, rng.between(5, 9), rng.between(5, 8));
        let mine = rng.between(0, 9);
        let said = [
            ("yuan", yuan(amount_fen)),
            ("mine", mine.to_string()),
            ("shares", shares.to_string()),
        ];
        let said = said.each_ref().map(|(name, value)| (*name, value.as_str()));
        let text = world.words.say(&section("bet.mine", self.difficulty), &said, rng);
        let offer = Offer {
            time,
            sender,
            group: Some(self.group),
            amount_fen,
            shares,
            play: "lucky",
            text: &text,
            funding: by(self.difficulty, "bank", "bank", "lingqiantong"),
            platform: "wechat",
            scheme: Some(self.scheme),
        };
        let scheme = Some(self.scheme);
        let takers = rng.sample(&self.players, shares as usize);
        let takers: Vec<Taker> = takers
            .into_iter()
            .map(|account| Taker { account, delay_ms: 400 + rng.around(3_000, 0.9), scheme })
            .collect();
        let mut last = time;
        let mut paid = 0;
        for share in world.send(&offer, &takers, rng) {
            last = last.max(share.time);
            if share.amount_fen % 10 == mine {
                let fen = amount_fen * by(self.difficulty, 100, 120, rng.between(100, 150)) / 100;
                let at = share.time + 4_000 + rng.around(14_000, 0.6).min(55_000);
                if self.settle(world, at, share.account, sender, fen, rng) {
                    paid += fen;
                    last = last.max(at);
                }
            }
        }
        (last, paid)
    }

    fn settle(
        &self,
        world: &mut World,
        time: i64,
        from: Account,
        to: Account,
        amount_fen: i64,
        rng: &mut Rng,
    ) -> bool {
        let text = world.words.say(&section("settle", self.difficulty), &[], rng);
        world.transfer(Transfer {
            time,
            from,
            to,
            amount_fen,
            text: &text,
            funding: ["lingqiantong", "bank"][rng.below(2) as usize],
            group: (self.difficulty != Difficulty::Hard).then_some(self.group),
            scheme: Some(self.scheme),
        })
    }
}
