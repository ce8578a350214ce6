//! Brushing and rebate (刷单返利): members advance money for "tasks" and get it back with a
//! commission, a little more each time, until the last and largest payment is not returned.

use super::{by, open_group, pick_day, public, recruit, section, yuan};
use crate::simulate::figures::{HOUR, MINUTE};
use crate::simulate::packets::{Offer, SHARE_MEAN_FEN_MAX, Taker};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Typology};
use crate::simulate::world::{Account, Group, SchemeId, Transfer, World};

pub(super) fn run(world: &mut World, difficulty: Difficulty, rng: &mut Rng) {
    let day = pick_day(world, 2, rng);
    let crew = recruit(world, 2, difficulty, rng);
    let (desk, till) = (crew[0], by(difficulty, crew[0], crew[1], crew[1]));
    let victims = public(world, by(difficulty, 14, 11, 9), rng);
    let opens = world.midnight(day) + 14 * HOUR;
    let scheme = world.fraud(Typology::BrushingRebate, opens + 2 * HOUR, rng);
    world.role(scheme, desk, "operator", true);
    world.role(scheme, till, "collector", true);
    for &victim in &victims {
        world.role(scheme, victim, "victim", false);
    }
    let members: Vec<Account> = crew.iter().chain(&victims).copied().collect();
    let name = section("group.brushing", difficulty);
    let group = open_group(world, &name, &members, opens, scheme, rng);
    let shop = Shop { group, scheme, difficulty, desk, till };
    for at in 0..by(difficulty, 5, 3, 2) {
        let text = world.words.say(&section("chat.brushing", difficulty), &[], rng);
        world.message(opens + (5 + 20 * at) * MINUTE, desk, group, text, Some(scheme));
    }
    let mut taken = 0;
    let mut last = opens;
    let mut lost: Vec<i64> = Vec::new();
    for &victim in &victims {
        let (time, fen, first_loss) = shop.milk(world, victim, opens, rng);
        last = last.max(time);
        taken += fen;
        lost.extend(first_loss);
    }
    lost.sort_unstable();
    if let Some(&first) = lost.first() {
        world.schemes[scheme.0 as usize].detectable_from = first;
    }
    if taken > 0 {
        world.withdraw(last + rng.between(10 * MINUTE, HOUR), till, taken, Some(scheme));
    }
}

struct Shop {
    group: Group,
    scheme: SchemeId,
    difficulty: Difficulty,
    desk: Account,
    till: Account,
}

impl Shop {
    /// One victim's ladder: the last time, what was gained, and when money first stayed away.
    fn milk(
        &self,
        world: &mut World,
        victim: Account,
        opens: i64,
        rng: &mut Rng,
    ) -> (i64, i64, Option<i64>) {
        let mut time = opens + rng.between(5 * MINUTE, HOUR);
        let steps = by(self.difficulty, 4, 3, 3);
        let mut stake_fen =
            100 * by(self.difficulty, 50, rng.between(30, 80), rng.between(40, 120));
        let mut gained = 0;
        for step in 0..steps {
            if !self.pay_in(world, time, victim, stake_fen, rng) {
                break;
            }
            gained += stake_fen;
            if step + 1 == steps {
                return (time, gained, Some(time));
            }
            let wait = rng.around(by(self.difficulty, 12 * MINUTE, 35 * MINUTE, 80 * MINUTE), 0.4);
            gained -= self.pay_back(world, time + wait, victim, stake_fen, rng);
            time += wait + rng.between(5 * MINUTE, 25 * MINUTE);
            stake_fen = stake_fen * by(self.difficulty, 40, 25, 20) / 10 / 100 * 100;
        }
        (time, gained, None)
    }

    fn pay_in(
        &self,
        world: &mut World,
        time: i64,
        victim: Account,
        amount_fen: i64,
        rng: &mut Rng,
    ) -> bool {
        let text = world.words.say(&section("memo.advance", self.difficulty), &[], rng);
        world.transfer(Transfer {
            time,
            from: victim,
            to: self.till,
            amount_fen,
            text: &text,
            funding: "bank",
            group: None,
            scheme: Some(self.scheme),
        })
    }

    /// Pays the advance back with a commission: in packets as far as their limit goes.
    fn pay_back(
        &self,
        world: &mut World,
        time: i64,
        victim: Account,
        stake_fen: i64,
        rng: &mut Rng,
    ) -> i64 {
        let percent = by(self.difficulty, 110, rng.between(104, 108), rng.between(102, 105));
        let amount_fen = stake_fen * percent / 100;
        let said = yuan(amount_fen);
        let said = [("yuan", said.as_str())];
        let text = world.words.say(&section("memo.rebate", self.difficulty), &said, rng);
        let scheme = Some(self.scheme);
        if amount_fen > SHARE_MEAN_FEN_MAX {
            let (from, to, funding, group) = (self.desk, victim, "balance", None);
            let paid = Transfer { time, from, to, amount_fen, text: &text, funding, group, scheme };
            return if world.transfer(paid) { amount_fen } else { 0 };
        }
        let offer = Offer {
            time,
            sender: self.desk,
            group: Some(self.group),
            amount_fen,
            shares: 1,
            play: "exclusive",
            text: &text,
            funding: "balance",
            platform: "wechat",
            scheme,
        };
        let taker = Taker { account: victim, delay_ms: 2_000 + rng.around(15_000, 0.9), scheme };
        world.send(&offer, &[taker], rng).iter().map(|share| share.amount_fen).sum()
    }
}
