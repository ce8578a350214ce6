//! What only happens at a large scale or at a moment that dice do not find.

use super::World;
use super::workload::encode;
use crate::packet::command::{
    Command, Decision, Funding, PerMille, Play, Purse, Request, Resolution, Send, Tie,
};
use crate::packet::draw::MasterSecret;
use crate::packet::engine::{Engine, PacketState, Rejected};
use crate::packet::limits::Limits;
use crate::packet::reply::{Done, Happening, Refusal};
use crate::packet::units::{Fen, Span, Time};

const START: Time = Time::from_ms(1_707_480_000_000);

fn later(time: Time, hours: u32) -> Time {
    time.after(Span::from_seconds(hours * 3_600))
}

fn packet(name: &str, amount: u64, shares: u32) -> Send<'_> {
    Send {
        account: "ada",
        packet: name,
        group: None,
        amount: Fen(amount),
        shares,
        play: Play::Lucky,
        funding: Funding::Purse(Purse::Change),
        tilt: PerMille(0),
    }
}

fn decide(transaction: &str, decision: Decision) -> Command<'_> {
    Command::Decide { transaction, decision, rules_hash: [0; 32], evidence_hash: [0; 32] }
}

impl World {
    #[track_caller]
    fn must(&mut self, clock: Time, id: &str, command: Command<'_>) -> Result<Done, Refusal> {
        let bytes = encode(id, command);
        let asked = self.play("this test alone", |world| world.ask(clock, &bytes));
        asked.unwrap_or_else(|mistake| panic!("{mistake}"));
        self.replies[id].result
    }

    #[track_caller]
    fn must_end_batch(&mut self) {
        let ended = self.play("this test alone", |world| {
            world.end_batch()?;
            world.end_second_batch(true)
        });
        ended.unwrap_or_else(|mistake| panic!("{mistake}"));
    }
}

/// Ten thousand people claim one packet of 9,900 shares; one of a hundred shares is blocked.
#[test]
fn a_hot_packet() {
    const SHARES: u32 = 9_900;
    let limits = Limits { shares_max: 10_000, ..Limits::default() };
    let mut world = World::new(limits, [1; 32]);
    world.must(START, "money", Command::TopUp { account: "ada", amount: Fen(2_000_000) }).unwrap();
    world.must(START, "p", Command::Send(packet("p", 2_000_000, SHARES))).unwrap();
    world.must(START, "open", decide("p", Decision::Allow)).unwrap();
    let mut refused = 0;
    for person in 0..10_000_u32 {
        let (id, account) = (format!("c{person}"), format!("person {person}"));
        let claim = Command::Claim { account: &account, packet: "p", guess: None, tie: Tie::None };
        match world.must(START, &id, claim) {
            Ok(Done::Claimed { index, .. }) => {
                assert_eq!(index, person);
                let blocked = person % 100 == 99;
                let decision = if blocked { Decision::Block } else { Decision::Allow };
                world.must(START, &format!("d{person}"), decide(&id, decision)).unwrap();
            }
            refusal => {
                assert_eq!(refusal, Err(Refusal::PacketExhausted));
                refused += 1;
            }
        }
        if person % 4_000 == 3_999 {
            world.must_end_batch();
        }
    }
    assert_eq!(refused, 100);
    // The blocked shares go back at the end, and not before.
    assert_eq!(world.engine.packet("p").unwrap().state, PacketState::Exhausted);
    let blocked = world.engine.packet("p").unwrap().parts.voided;
    assert!(blocked > Fen::ZERO);
    world.must(later(START, 25), "end", Command::Tick).unwrap();
    assert_eq!(world.engine.packet("p").unwrap().parts.refunded, blocked);
    world.must_end_batch();
}

/// A hundred packets that were opened while the clock stood end at one tick of it, in the order in
/// which they were opened.
#[test]
fn a_hundred_packets_expire_at_one_tick() {
    let limits = Limits { decisions_awaited: false, ..Limits::default() };
    let mut world = World::new(limits, [2; 32]);
    world.must(START, "money", Command::TopUp { account: "ada", amount: Fen(10_000) }).unwrap();
    for number in 0..100_u32 {
        let name = format!("p{number}");
        world.must(START, &name, Command::Send(packet(&name, 100, 2))).unwrap();
        if number % 2 == 0 {
            let (id, account) = (format!("c{number}"), "bo");
            let claim = Command::Claim { account, packet: &name, guess: None, tie: Tie::None };
            world.must(START, &id, claim).unwrap();
        }
    }
    world.must(later(START, 25), "end", Command::Tick).unwrap();
    let happened = world.effects.iter();
    let expired = happened.filter(|effect| matches!(effect.what, Happening::Expired { .. }));
    let moments: Vec<Time> = expired.map(|effect| effect.time).collect();
    assert_eq!(moments.len(), 100);
    assert_eq!(moments[0], later(START, 25), "one after the other, from the tick on");
    assert!(moments.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1));
    let got = world.engine.wallet("bo").unwrap().change;
    assert_eq!(world.engine.wallet("ada").unwrap().change, Fen(10_000) - got);
    world.must_end_batch();
}

/// While the clock stands the engine's moments run ahead of it. A day must not be cleared then
/// while one of its transactions still waits: the decision falls due by the clock.
#[test]
fn a_day_is_not_cleared_while_its_last_transaction_waits() {
    let mut world = World::new(Limits::default(), [3; 32]);
    let money = Command::TopUp { account: "ada", amount: Fen(100_000) };
    world.must(START, "money", money).unwrap();
    let day = START.day();
    let last = Time(day.end().0 - 1);
    let out = Command::Withdraw { account: "ada", amount: Fen(50_000) };
    world.must(last, "out", out).unwrap();
    let almost = Time(last.after(Limits::default().decision_max()).0 - 1);
    for number in 0..10 {
        let cleared = world.must(almost, &format!("early {number}"), Command::Clear { day });
        assert_eq!(cleared, Err(Refusal::DayNotOver));
    }
    let over = Time(almost.0 + 2);
    // The withdrawal was held by then, so it is no part of the day.
    let cleared = world.must(over, "clear", Command::Clear { day });
    assert_eq!(cleared, Ok(Done::Cleared { net: 100_000 }));
    world.must_end_batch();
}

/// Limits with a short memory, so that a test can outlive it.
fn short_memory() -> Limits {
    Limits {
        open_hours: 1,
        timed_ahead_hours_max: 0,
        hold_hours_max: 1,
        memory_hours: 6,
        ..Limits::default()
    }
}

/// Commands that the engine keeps or forgets together, and some more.
const MANY: u32 = 150;

/// An id that was forgotten may be used again, for one command, which then is executed once.
#[test]
fn a_forgotten_id_is_an_id_like_others() {
    let mut engine = Engine::new(short_memory(), MasterSecret::new([4; 32]));
    let mut ask = |clock, id: &str, amount| {
        let command = Command::TopUp { account: "ada", amount: Fen(amount) };
        engine.apply(clock, &Request { id, command })
    };
    for number in 0..MANY {
        ask(START, &format!("r{number}"), 1).unwrap().result.unwrap();
    }
    let late = later(START, 7);
    ask(late, "tick", 1).unwrap().result.unwrap();
    for number in 0..100 {
        let id = format!("r{number}");
        let first = ask(late, &id, 2).unwrap();
        assert!(first.seq.0 > u64::from(MANY), "{id} was forgotten");
        assert_eq!(ask(late, &id, 2), Ok(first), "the same command again: the same reply");
        assert_eq!(ask(late, &id, 3), Err(Rejected::IdTaken));
    }
    let change = engine.wallet("ada").unwrap().change;
    assert_eq!(change, Fen(u64::from(MANY) + 1 + 200));
}

#[track_caller]
fn ask(engine: &mut Engine, clock: Time, id: &str, command: Command<'_>) {
    let reply = engine.apply(clock, &Request { id, command }).unwrap();
    reply.result.unwrap_or_else(|refusal| panic!("{id}: {refusal}"));
}

/// The clock leaps over the whole memory while money waits for decisions: what is not over is not
/// forgotten, however old it is.
#[test]
fn what_is_not_over_is_not_forgotten() {
    let mut engine = Engine::new(short_memory(), MasterSecret::new([5; 32]));
    let mut clock = START;
    let money = u64::from(MANY) * 30_000;
    ask(&mut engine, clock, "money", Command::TopUp { account: "ada", amount: Fen(money) });
    for number in 0..MANY {
        let name = format!("p{number}");
        ask(&mut engine, clock, &name, Command::Send(packet(&name, 30_000, 2)));
    }
    // Nobody decided: the fallback holds the money when the clock comes back.
    clock = later(clock, 100);
    ask(&mut engine, clock, "back", Command::Tick);
    engine.end_batch();
    engine.audit();
    assert_eq!(engine.wallet("ada").unwrap().held, Fen(money));
    // A person releases one, and it can be claimed; the holds of the others end.
    let (actor, reason) = ("ann", "a letter");
    let resolution = Resolution::Release;
    let release = Command::Resolve { transaction: "p0", resolution, actor, reason };
    ask(&mut engine, clock, "release", release);
    let claim = Command::Claim { account: "bo", packet: "p0", guess: None, tie: Tie::None };
    ask(&mut engine, clock, "claim", claim);
    ask(
        &mut engine,
        clock,
        "hold",
        decide("claim", Decision::Hold { ttl: Span::from_seconds(60) }),
    );
    clock = later(clock, 200);
    ask(&mut engine, clock, "end", Command::Tick);
    engine.end_batch();
    engine.audit();
    assert_eq!(engine.wallet("ada").unwrap().change, Fen(money));
    // Now all is over, and after as long again the ids are free.
    clock = later(clock, 200);
    ask(&mut engine, clock, "much later", Command::Tick);
    ask(&mut engine, clock, "p1", Command::Tick);
    engine.audit();
}

/// Holds that began late, when the clock came back, and that people ended at once: their
/// transactions are old and can be forgotten before the time is over for which they were held.
#[test]
fn a_hold_may_be_forgotten_before_its_time_is_over() {
    let limits = Limits { hold_hours_max: 5, ..short_memory() };
    let mut engine = Engine::new(limits, MasterSecret::new([7; 32]));
    for number in 0..MANY {
        let (to, amount, funding) = ("bo", Fen(30_000), Funding::Bank);
        let transfer = Command::Transfer { account: "ada", to, amount, funding };
        ask(&mut engine, START, &format!("t{number}"), transfer);
    }
    let back = later(START, 7);
    for number in 0..MANY {
        let transaction = &format!("t{number}");
        let (resolution, actor, reason) = (Resolution::Release, "ann", "a letter");
        let release = Command::Resolve { transaction, resolution, actor, reason };
        ask(&mut engine, back, &format!("r{number}"), release);
    }
    ask(&mut engine, later(START, 8), "forget", Command::Tick);
    ask(&mut engine, later(START, 8), "t1", Command::Tick);
    ask(&mut engine, later(START, 13), "over", Command::Tick);
    assert_eq!(engine.wallet("bo").unwrap().change, Fen(u64::from(MANY) * 30_000));
    engine.audit();
}

/// A share may be known longer than all else of its packet: what is asked about it is answered.
#[test]
fn a_packet_is_remembered_as_long_as_its_shares() {
    let limits = Limits {
        decisions_awaited: false,
        timed_ahead_hours_max: 5,
        memory_hours: 8,
        ..short_memory()
    };
    let mut engine = Engine::new(limits, MasterSecret::new([6; 32]));
    let play = Play::Timed { from: later(START, 5) };
    for number in 0..MANY {
        let name = format!("p{number}");
        let funding = Funding::Bank;
        let send = Command::Send(Send { play, funding, ..packet(&name, 2, 2) });
        ask(&mut engine, START, &name, send);
    }
    let opened = later(START, 5);
    let claim = Command::Claim { account: "bo", packet: "p0", guess: None, tie: Tie::None };
    ask(&mut engine, opened, "claim", claim);
    let late = later(START, 15);
    ask(&mut engine, late, "much later", Command::Tick);
    ask(&mut engine, late, "p1", Command::Tick);
    ask(&mut engine, late, "again", decide("claim", Decision::Allow));
    engine.end_batch();
    engine.audit();
}
