//! Bankers (庄家) over several groups: players stake by transfer, a penny packet decides, the banker
//! pays the winners and keeps a rake. The groups are new each day, with the same people.

use std::rc::Rc;

use super::{
    Shortage, anyhow, by, open_group, paid, pick_day, public, recruit, section, share_of, takers,
    yuan,
};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::packets::{Fund, Offer, Play};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Ring};
use crate::simulate::world::{Account, Group, SchemeId, World};

/// Rounds a group and night: one agent sends that group's packets.
const ROUNDS: usize = 6;
/// Nights, each with groups of its own.
const NIGHTS: i64 = 3;
/// After so many rounds the evidence is there for anyone to see.
const ROUNDS_TELLING: u32 = 8;
/// What the winner of a stake is paid, in hundredths of it: the rest is the banker's.
const PAID_PERCENT: i64 = 190;

pub(super) fn plan(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    let difficulty = ring.difficulty;
    let day = pick_day(world, ring, rng);
    let tables = by(difficulty, 3, 3, 4);
    let crew = recruit(world, 1 + tables, difficulty, rng)?;
    let (banker, agents) = (crew[0], &crew[1..]);
    let hour = by(difficulty, 2, rng.between(14, 22), rng.between(12, 21));
    let first = (world.midnight(day) + hour * HOUR).max(world.start + HOUR);
    let scheme = world.fraud(ring.typology, ROUNDS_TELLING, rng);
    world.role(scheme, banker, "banker", true);
    let regulars = by(difficulty, 12, 10, 9);
    let mut crowds: Vec<Vec<Account>> = Vec::new();
    for &agent in agents {
        world.role(scheme, agent, "agent", true);
        crowds.push(public(world, ring.players.unwrap_or(regulars), rng)?);
    }
    for night in 0..NIGHTS {
        for (at, (&agent, players)) in agents.iter().zip(&mut crowds).enumerate() {
            if night > 0 {
                // The group is given up, most players move on together and a few are new.
                let left = players.len() * 4 / 5;
                let new = if ring.players.is_some() { players.len() - left } else { 2 };
                players.truncate(left);
                players.extend(public(world, new as i64, rng)?);
                players.sort_unstable();
                players.dedup();
            }
            for &player in &*players {
                world.role(scheme, player, "player", false);
            }
            let opens = first + night * 24 * HOUR + at as i64 * 25 * MINUTE;
            let members: Vec<Account> = [banker, agent].iter().chain(&*players).copied().collect();
            let group =
                open_group(world, ("group.gambling", difficulty), &members, opens, scheme, rng);
            let players = players.clone();
            let table = Table { group, scheme, difficulty, banker, agent, players };
            Rc::new(table).night(world, opens, rng);
        }
        let closes = first + night * 24 * HOUR + 3 * HOUR;
        world.cash_out_at(closes + rng.between(10 * MINUTE, HOUR), banker, Some(scheme));
    }
    Ok(())
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
    fn night(self: Rc<Self>, world: &mut World, opens: i64, rng: &mut Rng) {
        let text = world.words.say(&section("chat.gambling", self.difficulty), &[], rng);
        world.say_at(opens, self.banker, self.group, text, Some(self.scheme));
        let mut time = opens + MINUTE;
        for _ in 0..ROUNDS {
            let (table, mut own) = (self.clone(), rng.split());
            world.at(time, move |world| table.round(world, &mut own));
            time += 4 * MINUTE + rng.around(by(self.difficulty, 15_000, 40_000, 120_000), 0.5);
        }
    }

    /// Stakes by transfer, and then the agent's packet, whose shares decide: who drew an odd last
    /// digit has won.
    fn round(self: Rc<Self>, world: &mut World, rng: &mut Rng) {
        let count = rng.between(4, 6);
        let mut stakes = Vec::new();
        for player in rng.sample(&self.players, count as usize) {
            let fen = by(
                self.difficulty,
                100 * *rng.pick(&[50, 100, 100, 200, 500]),
                100 * *rng.pick(&[5, 10, 20, 30, 50, 88, 100]),
                rng.between(200, 5_000),
            );
            let text = self.say(world, "bet.banker", fen, rng);
            let transfer = paid(self.scheme, (player, self.banker), fen, text, anyhow(rng));
            world.pay_at(world.now + rng.between(1_000, 70_000), transfer);
            stakes.push((player, fen));
        }
        let amount_fen = by(self.difficulty, 100, 200, rng.between(150, 900)).max(count);
        let offer = Offer {
            sender: self.agent,
            group: Some(self.group),
            amount_fen,
            shares: stakes.len() as i64,
            play: Play::Lucky,
            text: self.say(world, "deal.banker", amount_fen, rng),
            fund: Fund::Lingqiantong,
            platform: "wechat",
            scheme: Some(self.scheme),
        };
        let players: Vec<Account> = stakes.iter().map(|(player, _)| *player).collect();
        let slow = by(self.difficulty, 2_500, 5_000, 8_000);
        let takers =
            takers(&players, self.scheme, rng, |rng| 500 + rng.around(slow, 0.8).min(25_000));
        let mut own = rng.split();
        world.send_then(world.now + 80_000, offer, takers, move |world, shares| {
            world.tell(self.scheme);
            for (player, stake) in stakes {
                if share_of(&shares, player).is_some_and(|share| share.amount_fen % 2 == 1) {
                    self.pay_winner(world, player, stake, &mut own);
                }
            }
        });
    }

    fn pay_winner(&self, world: &mut World, player: Account, stake_fen: i64, rng: &mut Rng) {
        let fen = stake_fen * PAID_PERCENT / 100;
        let wait = rng.between(5_000, by(self.difficulty, 50_000, 90_000, 110_000));
        let text = self.say(world, "settle", fen, rng);
        let transfer = paid(self.scheme, (self.banker, player), fen, text, Fund::Balance);
        world.pay_at(world.now + wait, transfer);
    }

    fn say(&self, world: &World, scene: &str, fen: i64, rng: &mut Rng) -> String {
        let (yuan, shares) = (yuan(fen), self.players.len().to_string());
        let said = [("yuan", &*yuan), ("mine", ""), ("shares", &*shares)];
        world.words.say(&section(scene, self.difficulty), &said, rng)
    }
}
