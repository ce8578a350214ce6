//! Contact diversion (引流): tiny packets whose memos carry a contact lure members of other
//! people's groups away, and some of them pay.

use super::{Shortage, by, paid, pick_day, recruit, section, time_on};
use crate::simulate::clockwork::Act;
use crate::simulate::figures::{GroupType, HOUR, MINUTE};
use crate::simulate::packets::{Fund, Offer, Play, Taker, human_delay};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Ring};
use crate::simulate::world::{Account, Group, SchemeId, World};

/// From so many lured groups on it is plain.
const GROUPS_TELLING: u32 = 2;

pub(super) fn plan(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    let difficulty = ring.difficulty;
    let day = pick_day(world, ring, rng);
    let mut time = time_on(world, day, 9, 18, rng);
    let crew = recruit(world, 2, difficulty, rng)?;
    let (sender, till) = (crew[0], crew[1]);
    let scheme = world.fraud(ring.typology, GROUPS_TELLING, rng);
    world.role(scheme, sender, "lure", true);
    world.role(scheme, till, "collector", true);
    // The contact is a handle that no messenger knows: digits would be somebody's.
    let handle = *rng.pick(&["xhong", "vvfuli", "aa88k", "qqtea"]);
    let code = format!("{handle}_{}", rng.between(10, 99));
    let open: Vec<Group> = (0..world.groups.len() as u32)
        .map(Group)
        .filter(|&group| {
            let info = world.group(group);
            let free = info.settled() && info.scheme.is_none();
            free && matches!(info.kind, GroupType::Interest | GroupType::Stranger)
        })
        .collect();
    let count = by(difficulty, 6, 5, 4);
    let buyers = by(difficulty, 2, 2, 2);
    for group in rng.sample(&open, count) {
        world.plan(time, Act::Join(sender, group, Some(scheme)));
        time += MINUTE + rng.around(by(difficulty, 2 * MINUTE, 10 * MINUTE, 50 * MINUTE), 0.4);
        let lure = Lure { group, sender, till, code: code.clone(), difficulty, scheme, buyers };
        let mut own = rng.split();
        world.at(time, move |world| lure.cast(world, &mut own));
        time += rng.around(by(difficulty, 6 * MINUTE, 25 * MINUTE, HOUR), 0.4);
    }
    world.cash_out_at(time + rng.around(6 * HOUR, 0.3), till, Some(scheme));
    Ok(())
}

struct Lure {
    group: Group,
    sender: Account,
    till: Account,
    code: String,
    difficulty: Difficulty,
    scheme: SchemeId,
    /// How many of those who open a packet pay.
    buyers: usize,
}

impl Lure {
    /// A message and a few packets in one group.
    fn cast(self, world: &mut World, rng: &mut Rng) {
        let Lure { group, sender, till, difficulty, scheme, buyers, .. } = self;
        let said = [("code", self.code.as_str())];
        let text = world.words.say(&section("chat.contact", difficulty), &said, rng);
        world.say_at(world.now, sender, group, text, Some(scheme));
        let members: Vec<Account> =
            world.group(group).members_at(world.now).filter(|&member| member != sender).collect();
        let mut time = world.now + 20_000;
        for _ in 0..by(difficulty, 3, 2, 1) {
            let shares = rng.between(4, 8);
            let amount_fen = by(difficulty, 100, rng.between(100, 300), rng.between(200, 800));
            let offer = Offer {
                sender,
                group: Some(group),
                amount_fen: amount_fen.max(shares),
                shares,
                play: Play::Lucky,
                text: world.words.say(&section("memo.contact", difficulty), &said, rng),
                fund: Fund::Bank,
                platform: "wechat",
                scheme: Some(scheme),
            };
            // Whoever opens it is no part of the fraud: the claims are honest.
            let takers: Vec<Taker> = rng
                .sample(&members, shares as usize)
                .into_iter()
                .map(|account| {
                    let delay_ms = human_delay(world.person(account).nimble, rng);
                    Taker { account, delay_ms, scheme: None }
                })
                .collect();
            let mut own = rng.split();
            world.send_then(time, offer, takers, move |world, shares| {
                // Whoever lent the account that is paid may be in the group, and pays nothing.
                let claimers = shares.iter().map(|share| share.account);
                let claimers: Vec<Account> = claimers.filter(|&who| who != till).collect();
                for victim in own.sample(&claimers, buyers) {
                    charge(world, victim, till, difficulty, scheme, &mut own);
                }
            });
            time += rng.around(by(difficulty, 30_000, 2 * MINUTE, 10 * MINUTE), 0.4);
        }
        world.tell(scheme);
    }
}

/// Somebody who was lured pays for what was promised.
fn charge(
    world: &mut World,
    victim: Account,
    till: Account,
    difficulty: Difficulty,
    scheme: SchemeId,
    rng: &mut Rng,
) {
    let time = world.now + rng.around(by(difficulty, 10 * MINUTE, 30 * MINUTE, 2 * HOUR), 0.5);
    let fen = by(
        difficulty,
        100 * *rng.pick(&[99, 199, 299]),
        100 * rng.between(30, 220),
        100 * rng.between(6, 70),
    );
    world.role(scheme, victim, "victim", false);
    let text = world.words.say(&section("memo.charge", difficulty), &[], rng);
    world.pay_at(time, paid(scheme, (victim, till), fen, text, Fund::Bank));
}
