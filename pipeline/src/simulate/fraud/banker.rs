//! Bankers (庄家) over several groups: players stake by transfer, a penny packet decides, the banker
//! pays the winners and keeps a rake. The groups are new each day, with the same people.

use super::{by, open_group, pick_day, public, recruit, section, yuan};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::packets::{Offer, Taker};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Typology};
use crate::simulate::world::{Account, Group, SchemeId, Transfer, World};

/// Rounds a group and night: one agent sends that group's packets.
const ROUNDS: usize = 6;

pub(super) fn run(world: &mut World, difficulty: Difficulty, rng: &mut Rng) {
    let day = pick_day(world, 2, rng);
    let tables = by(difficulty, 3, 3, 4);
    let crew = recruit(world, 1 + tables, difficulty, rng);
    let (banker, agents) = (crew[0], &crew[1..]);
    let first = world.midnight(day) + by(difficulty, 2 * HOUR, 22 * HOUR, 20 * HOUR);
    let scheme = world.fraud(Typology::GamblingBanker, first + HOUR, rng);
    world.role(scheme, banker, "banker", true);
    let mut crowds: Vec<Vec<Account>> = Vec::new();
    for &agent in agents {
        world.role(scheme, agent, "agent", true);
        let players = public(world, by(difficulty, 12, 10, 9), rng);
        for &player in &players {
            world.role(scheme, player, "player", false);
        }
        crowds.push(players);
    }
    for night in 0..2 {
        let mut net_fen = 0;
        let mut last = first;
        for (at, (&agent, players)) in agents.iter().zip(&mut crowds).enumerate() {
            if night > 0 {
                // The group is given up, most players move on together and a few are new.
                players.truncate(players.len() * 4 / 5);
                players.extend(public(world, 2, rng));
                players.sort_unstable();
                players.dedup();
            }
            let opens = first + night * 24 * HOUR + at as i64 * 25 * MINUTE;
            let members: Vec<Account> = [banker, agent].iter().chain(&*players).copied().collect();
            let name = section("group.gambling", difficulty);
            let group = open_group(world, &name, &members, opens, scheme, rng);
            let table =
                Table { group, scheme, difficulty, banker, agent, players: players.clone() };
            let (ended, won) = table.night(world, opens, rng);
            last = last.max(ended);
            net_fen += won;
        }
        if night == 0 {
            world.schemes[scheme.0 as usize].detectable_from = last;
        }
        if net_fen > 0 {
            world.withdraw(last + rng.between(10 * MINUTE, HOUR), banker, net_fen, Some(scheme));
        }
    }
}

struct Table {
    group: Group,
    scheme: SchemeId,
    difficulty: Difficulty,
    banker: Account,
    agent: Account,
    players: Vec<Account>,
}

impl Table {
    /// Plays a night: when it ended, and the banker's net.
    fn night(&self, world: &mut World, opens: i64, rng: &mut Rng) -> (i64, i64) {
        let text = world.words.say(&section("chat.gambling", self.difficulty), &[], rng);
        world.message(opens, self.banker, self.group, text, Some(self.scheme));
        let mut time = opens + MINUTE;
        let mut net_fen = 0;
        for _ in 0..ROUNDS {
            net_fen += self.round(world, time, rng);
            time += 4 * MINUTE + rng.around(by(self.difficulty, 15_000, 40_000, 120_000), 0.5);
        }
        (time, net_fen)
    }

    fn round(&self, world: &mut World, time: i64, rng: &mut Rng) -> i64 {
        let count = rng.between(4, 6);
        let mut net_fen = 0;
        let mut stakes = Vec::new();
        for player in rng.sample(&self.players, count as usize) {
            let fen = by(
                self.difficulty,
                100 * *rng.pick(&[50, 100, 100, 200, 500]),
                100 * *rng.pick(&[30, 50, 88, 100, 188, 300]),
                100 * rng.between(20, 260),
            );
            let scene = section("bet.banker", self.difficulty);
            let at = time + rng.between(1_000, 70_000);
            if self.pay(world, at, (player, self.banker), fen, &scene, rng) {
                net_fen += fen;
                stakes.push((player, fen));
            }
        }
        let shares = self.deal(world, time + 80_000, &stakes, rng);
        for (player, stake_fen, won) in shares {
            if won {
                let fen = stake_fen * 195 / 100;
                let at = time
                    + 100_000
                    + rng.between(5_000, by(self.difficulty, 50_000, 90_000, 110_000));
                let scene = section("settle", self.difficulty);
                if self.pay(world, at, (self.banker, player), fen, &scene, rng) {
                    net_fen -= fen;
                }
            }
        }
        net_fen
    }

    /// The agent's packet, whose shares decide: who drew an odd last digit has won.
    fn deal(
        &self,
        world: &mut World,
        time: i64,
        stakes: &[(Account, i64)],
        rng: &mut Rng,
    ) -> Vec<(Account, i64, bool)> {
        if stakes.is_empty() {
            return Vec::new();
        }
        let shares = stakes.len() as i64;
        let amount_fen = by(self.difficulty, 100, 200, rng.between(150, 900)).max(shares);
        let said =
            [("yuan", yuan(amount_fen)), ("mine", String::new()), ("shares", shares.to_string())];
        let said = said.each_ref().map(|(name, value)| (*name, value.as_str()));
        let text = world.words.say(&section("deal.banker", self.difficulty), &said, rng);
        let offer = Offer {
            time,
            sender: self.agent,
            group: Some(self.group),
            amount_fen,
            shares,
            play: "lucky",
            text: &text,
            funding: "lingqiantong",
            platform: "wechat",
            scheme: Some(self.scheme),
        };
        let scheme = Some(self.scheme);
        let taker = |&(account, _): &(Account, i64)| Taker {
            account,
            delay_ms: 500 + rng.around(2_500, 0.8).min(15_000),
            scheme,
        };
        let takers: Vec<Taker> = stakes.iter().map(taker).collect();
        let drawn = world.send(&offer, &takers, rng);
        let outcome = drawn.iter().filter_map(|share| {
            let stake = stakes.iter().find(|(account, _)| *account == share.account)?;
            Some((share.account, stake.1, share.amount_fen % 2 == 1))
        });
        outcome.collect()
    }

    fn pay(
        &self,
        world: &mut World,
        time: i64,
        (from, to): (Account, Account),
        amount_fen: i64,
        scene: &str,
        rng: &mut Rng,
    ) -> bool {
        let text = world.words.say(scene, &[("yuan", &yuan(amount_fen))], rng);
        world.transfer(Transfer {
            time,
            from,
            to,
            amount_fen,
            text: &text,
            funding: ["lingqiantong", "bank"][rng.below(2) as usize],
            group: None,
            scheme: Some(self.scheme),
        })
    }
}
