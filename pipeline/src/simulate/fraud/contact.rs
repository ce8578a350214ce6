//! Contact diversion (引流): tiny packets whose memos carry a contact lure members of other
//! people's groups away, and some of them pay.

use super::{by, pick_day, recruit, section, time_on};
use crate::event::Kind;
use crate::simulate::figures::{GroupType, HOUR, MINUTE};
use crate::simulate::packets::{Offer, Taker, human_delay};
use crate::simulate::random::Rng;
use crate::simulate::scenario::{Difficulty, Typology};
use crate::simulate::world::{Account, Event, Group, Member, SchemeId, Transfer, World};

pub(super) fn run(world: &mut World, difficulty: Difficulty, rng: &mut Rng) {
    let day = pick_day(world, 2, rng);
    let begins = time_on(world, day, 9, 18, rng);
    let crew = recruit(world, 2, difficulty, rng);
    let scheme = world.fraud(Typology::ContactDiversion, begins + HOUR, rng);
    world.role(scheme, crew[0], "lure", true);
    world.role(scheme, crew[1], "collector", true);
    // The contact is a handle that no messenger knows: digits would be somebody's.
    let code =
        format!("{}_{}", *rng.pick(&["xhong", "vvfuli", "aa88k", "qqtea"]), rng.between(10, 99));
    let open: Vec<Group> = (0..world.groups.len() as u32)
        .map(Group)
        .filter(|&group| {
            let info = world.group(group);
            info.scheme.is_none() && matches!(info.kind, GroupType::Interest | GroupType::Stranger)
        })
        .collect();
    let mut time = begins;
    let mut lured: Vec<(Account, i64)> = Vec::new();
    let count = by(difficulty, 6, 5, 4);
    for (at, group) in rng.sample(&open, count).into_iter().enumerate() {
        let joined = Event { group: Some(group), ..world.act(time, Kind::Join, crew[0]) };
        world.emit(joined);
        world.groups[group.0 as usize].members.push(Member { account: crew[0], since: time });
        time += rng.around(by(difficulty, 2 * MINUTE, 10 * MINUTE, 50 * MINUTE), 0.4);
        lured.extend(lure(world, group, time, crew[0], &code, difficulty, scheme, rng));
        if at == 1 {
            world.schemes[scheme.0 as usize].detectable_from = time;
        }
        time += rng.around(by(difficulty, 6 * MINUTE, 25 * MINUTE, HOUR), 0.4);
    }
    charge(world, &lured, crew[1], difficulty, scheme, rng);
}

/// A few packets and a message in one group: who opened them, and when.
#[expect(clippy::too_many_arguments, reason = "one scene, told once")]
fn lure(
    world: &mut World,
    group: Group,
    time: i64,
    sender: Account,
    code: &str,
    difficulty: Difficulty,
    scheme: SchemeId,
    rng: &mut Rng,
) -> Vec<(Account, i64)> {
    let said = [("code", code)];
    let text = world.words.say(&section("chat.contact", difficulty), &said, rng);
    world.message(time - 20_000, sender, group, text, Some(scheme));
    let members: Vec<Account> =
        world.group(group).members_at(time).filter(|&member| member != sender).collect();
    let mut opened = Vec::new();
    let mut time = time;
    for _ in 0..by(difficulty, 3, 2, 1) {
        let shares = rng.between(4, 8);
        let text = world.words.say(&section("memo.contact", difficulty), &said, rng);
        let offer = Offer {
            time,
            sender,
            group: Some(group),
            amount_fen: by(difficulty, 100, rng.between(100, 300), rng.between(300, 1_200))
                .max(shares),
            shares,
            play: "lucky",
            text: &text,
            funding: "bank",
            platform: "wechat",
            scheme: Some(scheme),
        };
        // Whoever opens it is no part of the fraud: the claims are honest.
        let takers: Vec<Taker> = rng
            .sample(&members, shares as usize)
            .into_iter()
            .map(|account| Taker { account, delay_ms: human_delay(rng), scheme: None })
            .collect();
        let shares = world.send(&offer, &takers, rng);
        opened.extend(shares.into_iter().map(|share| (share.account, share.time)));
        time += rng.around(by(difficulty, 30_000, 2 * MINUTE, 10 * MINUTE), 0.4);
    }
    opened
}

/// Some of those who were lured pay for what they were promised.
fn charge(
    world: &mut World,
    lured: &[(Account, i64)],
    collector: Account,
    difficulty: Difficulty,
    scheme: SchemeId,
    rng: &mut Rng,
) {
    let mut taken = 0;
    let mut last = None;
    for (victim, opened) in rng.sample(lured, by(difficulty, 12, 9, 7)) {
        let time = opened + rng.around(by(difficulty, 30 * MINUTE, 90 * MINUTE, 5 * HOUR), 0.5);
        let fen = by(
            difficulty,
            100 * *rng.pick(&[99, 199, 299]),
            100 * rng.between(80, 320),
            100 * rng.between(40, 400),
        );
        world.role(scheme, victim, "victim", false);
        let text = world.words.say(&section("memo.charge", difficulty), &[], rng);
        let paid = world.transfer(Transfer {
            time,
            from: victim,
            to: collector,
            amount_fen: fen,
            text: &text,
            funding: "bank",
            group: None,
            scheme: Some(scheme),
        });
        if paid {
            taken += fen;
            last = last.max(Some(time));
        }
    }
    if let Some(last) = last {
        world.withdraw(last + rng.around(30 * MINUTE, 0.4), collector, taken, Some(scheme));
    }
}
