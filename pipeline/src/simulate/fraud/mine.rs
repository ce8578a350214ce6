//! Mine groups (扫雷): the packet's memo names a digit, and whoever draws a share that ends in it
//! pays the sender a multiple of the packet at once.

use std::rc::Rc;

use super::{
    Crowd, Shortage, anyhow, by, memo_in_group, open_group, pick_day, recruit, section, takers,
    yuan,
};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::packets::{Fund, Offer, Play, Share, Transfer};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Ring, Variant};
use crate::simulate::world::{Account, Group, SchemeId, World};

/// Accounts of the house that send by turns.
const HOUSE: i64 = 4;
/// Packets that each of them sends a night.
const ROUNDS_EACH: i64 = 6;
/// After so many settled losses the evidence is there for anyone to see.
const LOSSES_TELLING: u32 = 5;

pub(super) fn plan(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    let difficulty = ring.difficulty;
    let day = pick_day(world, ring, rng);
    let house = recruit(world, HOUSE, difficulty, rng)?;
    let crowd = Crowd::drawn(world, ring, by(difficulty, 24, 20, 16), rng)?;
    let begins = by(difficulty, HOUR, rng.between(17, 24) * HOUR, rng.between(18, 21) * HOUR);
    let opens = world.midnight(day) + begins;
    let scheme = world.fraud(ring.typology, LOSSES_TELLING, rng);
    for &account in &house {
        world.role(scheme, account, "banker", true);
    }
    for &account in crowd.regulars() {
        world.role(scheme, account, "player", false);
    }
    let members: Vec<Account> = house.iter().chain(&crowd.everybody).copied().collect();
    let group = open_group(world, ("group.gambling", difficulty), &members, opens, scheme, rng);
    let variant = ring.variant;
    let table = Rc::new(Table { group, scheme, difficulty, variant, house, crowd });
    for night in 0..2 {
        night_at(world, &table, opens + night * 24 * HOUR, rng);
    }
    Ok(())
}

struct Table {
    group: Group,
    scheme: SchemeId,
    difficulty: Difficulty,
    variant: Variant,
    house: Vec<Account>,
    crowd: Crowd,
}

fn night_at(world: &mut World, table: &Rc<Table>, opens: i64, rng: &mut Rng) {
    let mut time = opens;
    for round in 0..HOUSE * ROUNDS_EACH - 1 {
        if round % 6 == 0 {
            let text = world.words.say(&section("chat.gambling", table.difficulty), &[], rng);
            world.say_at(time - 20_000, table.house[0], table.group, text, Some(table.scheme));
        }
        let seat = table.house[round as usize % table.house.len()];
        let (playing, mut own) = (table.clone(), rng.split());
        world.at(time, move |world| playing.round(world, seat, &mut own));
        time += by(table.difficulty, 2 * MINUTE, 2 * MINUTE, 3 * MINUTE)
            + rng.around(by(table.difficulty, 20_000, 60_000, 150_000), 0.5);
    }
    for &account in &table.house {
        let after = rng.between(10 * MINUTE, 40 * MINUTE);
        world.cash_out_at(time + after, account, Some(table.scheme));
    }
}

impl Table {
    /// One packet; who drew the digit pays when all shares are taken.
    fn round(self: Rc<Self>, world: &mut World, sender: Account, rng: &mut Rng) {
        let stakes: &[i64] = by(
            self.difficulty,
            &[5_000, 5_000, 10_000],
            &[500, 1_000, 2_000, 3_000, 5_000],
            &[300, 600, 900, 1_500, 2_100],
        );
        let amount_fen = *rng.pick(stakes);
        let shares = by(self.difficulty, 7, rng.between(5, 9), rng.between(5, 8));
        let mine = rng.between(0, 9);
        let (said_yuan, said_mine, said_shares) =
            (yuan(amount_fen), mine.to_string(), shares.to_string());
        let said = [("yuan", &*said_yuan), ("mine", &*said_mine), ("shares", &*said_shares)];
        let offer = Offer {
            sender,
            group: Some(self.group),
            amount_fen,
            shares,
            play: Play::Lucky,
            text: world.words.say(&section("bet.mine", self.difficulty), &said, rng),
            fund: by(self.difficulty, Fund::Bank, Fund::Bank, Fund::Lingqiantong),
            platform: "wechat",
            scheme: Some(self.scheme),
        };
        let players = self.crowd.seats(world, self.scheme, shares as usize, rng);
        let slow = by(self.difficulty, 3_000, 6_000, 8_000);
        let takers =
            takers(&players, self.scheme, rng, |rng| 400 + rng.around(slow, 0.9).min(25_000));
        let mut rng = rng.split();
        world.send(
            offer,
            takers,
            Some(Box::new(move |world, shares| {
                for share in shares.iter().filter(|share| share.amount_fen % 10 == mine) {
                    self.settle(world, *share, sender, amount_fen, &mut rng);
                }
            })),
        );
    }

    fn settle(&self, world: &mut World, share: Share, to: Account, packet_fen: i64, rng: &mut Rng) {
        let percent = by(self.difficulty, 100, 120, rng.between(100, 150));
        let amount_fen = packet_fen * percent / 100;
        let text = world.words.say(&section("settle", self.difficulty), &[], rng);
        let time = world.now + 2_000 + rng.around(10_000, 0.6).min(28_000);
        let (from, scheme) = (share.account, Some(self.scheme));
        world.at(time, {
            let scheme = self.scheme;
            move |world| world.tell(scheme)
        });
        if self.variant == Variant::PaidInPackets {
            let offer = Offer {
                sender: from,
                group: Some(self.group),
                amount_fen,
                shares: 1,
                play: Play::Exclusive(to),
                text: memo_in_group(world, self.difficulty, Some(self.group), text),
                fund: anyhow(rng),
                platform: "wechat",
                scheme,
            };
            let takers = takers(&[to], self.scheme, rng, |rng| 900 + rng.around(4_000, 0.7));
            return world.send_at(time, offer, takers);
        }
        let group = (self.difficulty == Difficulty::Easy).then_some(self.group);
        let fund = anyhow(rng);
        world.pay_at(time, Transfer { from, to, amount_fen, text, fund, group, scheme });
    }
}
