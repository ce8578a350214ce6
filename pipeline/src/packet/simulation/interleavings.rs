//! Every order of a few commands by two people around one packet, or one payment, against the
//! oracle: up to six of those named, each once, after each of their beginnings.

use super::World;
use super::workload::encode;
use crate::packet::command::{
    Command, Decision, Funding, PerMille, Play, Purse, Resolution, Send, Tie,
};
use crate::packet::limits::Limits;
use crate::packet::units::{Fen, Span, Time};

/// As many commands follow one another.
const LONG: usize = 6;

/// A command, and when it comes.
#[derive(Clone, Copy)]
struct Move(When, &'static str, Command<'static>);

#[derive(Clone, Copy)]
enum When {
    /// While the clock stands.
    Now,
    /// At the moment at which the next thing falls due.
    Due,
    /// One nanosecond before.
    BeforeDue,
    /// A day later.
    Leap,
}
use When::{BeforeDue, Due, Leap, Now};

const PACKET: Send<'static> = Send {
    account: "ada",
    packet: "p",
    group: None,
    amount: Fen(5),
    shares: 2,
    play: Play::Lucky,
    funding: Funding::Purse(Purse::Change),
    tilt: PerMille(0),
};
const SEND: Command<'static> = Command::Send(PACKET);
const SEND_OTHERWISE: Command<'static> = Command::Send(Send { amount: Fen(4), ..PACKET });
const TRANSFER: Command<'static> = Command::Transfer {
    account: "ada",
    to: "bo",
    amount: Fen(5),
    funding: Funding::Purse(Purse::Change),
};
const HOLD: Decision = Decision::Hold { ttl: Span::from_seconds(3_600) };

const fn claim(account: &'static str) -> Command<'static> {
    Command::Claim { account, packet: "p", guess: None, tie: Tie::None }
}

const fn decide(transaction: &'static str, decision: Decision) -> Command<'static> {
    Command::Decide { transaction, decision, rules_hash: [0; 32], evidence_hash: [0; 32] }
}

const fn resolve(transaction: &'static str, resolution: Resolution<'static>) -> Command<'static> {
    Command::Resolve { transaction, resolution, actor: "ann", reason: "a letter" }
}

/// A packet's life, from its sending to what goes back.
const LIFE: [Move; 8] = [
    Move(Now, "send", SEND),
    Move(Now, "d1", decide("send", Decision::Allow)),
    Move(Now, "bo", claim("bo")),
    Move(BeforeDue, "ada", claim("ada")),
    Move(Now, "d2", decide("bo", Decision::Allow)),
    Move(Now, "d3", decide("bo", Decision::Block)),
    Move(Due, "t1", Command::Tick),
    Move(Leap, "t2", Command::Tick),
];
/// Sending and share are held, and people end that.
const HOLDS: [Move; 8] = [
    Move(Now, "send", SEND),
    Move(Now, "d1", decide("send", HOLD)),
    Move(Now, "r1", resolve("send", Resolution::Release)),
    Move(Now, "bo", claim("bo")),
    Move(Now, "d2", decide("bo", HOLD)),
    Move(Now, "r2", resolve("bo", Resolution::Return)),
    Move(Now, "r3", resolve("bo", Resolution::Freeze { case: "c" })),
    Move(Due, "t1", Command::Tick),
];
/// The same again, and not quite the same.
const AGAIN: [Move; 8] = [
    Move(Now, "send", SEND),
    Move(Leap, "send", SEND),
    Move(Now, "send", SEND_OTHERWISE),
    Move(Now, "again", SEND_OTHERWISE),
    Move(Now, "d1", decide("send", Decision::Allow)),
    Move(Now, "d2", decide("send", Decision::Block)),
    Move(Now, "bo", claim("bo")),
    Move(Now, "bo again", claim("bo")),
];
/// A payment.
const PAYMENT: [Move; 8] = [
    Move(Now, "pay", TRANSFER),
    Move(Now, "out", Command::Withdraw { account: "ada", amount: Fen(1) }),
    Move(Now, "d1", decide("pay", Decision::Review)),
    Move(Now, "d2", decide("pay", HOLD)),
    Move(Now, "d3", decide("out", HOLD)),
    Move(Now, "r1", resolve("pay", Resolution::Release)),
    Move(Leap, "r2", resolve("out", Resolution::Release)),
    Move(Due, "t1", Command::Tick),
];

#[test]
fn every_order_of_a_few_commands() {
    let limits = Limits { fallback_allow_fen_below: 5, ..Limits::default() };
    let at_once = Limits { decisions_awaited: false, ..limits };
    let releases = Limits { hold_releases_on_expiry: true, ..limits };
    let mut sequences = 0;
    for (limits, moves) in [
        (limits, &LIFE),
        (at_once, &LIFE),
        (limits, &HOLDS),
        (releases, &HOLDS),
        (limits, &AGAIN),
        (limits, &PAYMENT),
    ] {
        sequences += every_order(limits, moves);
    }
    // Of eight commands every order of one to six, six times.
    assert_eq!(sequences, 6 * (8 + 56 + 336 + 1_680 + 6_720 + 20_160));
}

fn every_order(limits: Limits, moves: &[Move]) -> u32 {
    let mut world = World::new(limits, [7; 32]);
    let money = Command::TopUp { account: "ada", amount: Fen(5) };
    let start = Time::from_ms(1_707_480_000_000);
    let begun = world.ask(start, &encode("money", money));
    begun.expect("a top-up");
    follow(&world, moves, &mut Vec::new())
}

/// Tries every command that is left after those that were made.
fn follow(world: &World, moves: &[Move], made: &mut Vec<usize>) -> u32 {
    if made.len() == LONG {
        return 0;
    }
    let mut sequences = 0;
    for next in (0..moves.len()).filter(|next| !made.contains(next)).collect::<Vec<_>>() {
        let mut world = world.clone();
        made.push(next);
        let played = world.play("this test alone", |world| {
            let Move(when, id, command) = moves[next];
            let due = world.oracle.next_due().unwrap_or(world.oracle.clock);
            let clock = match when {
                Now => world.oracle.clock,
                Due => due,
                BeforeDue => Time(due.0 - 1),
                Leap => world.oracle.clock.after(Span::from_seconds(25 * 3_600)),
            };
            world.ask(clock, &encode(id, command))?;
            world.end_batch()?;
            // Half of the ways go on from an engine that was written down and read again.
            world.end_second_batch(next % 2 == 0)
        });
        if let Err(mistake) = played {
            let ids: Vec<&str> = made.iter().map(|&at| moves[at].1).collect();
            panic!("after {ids:?}: {mistake}");
        }
        sequences += 1 + follow(&world, moves, made);
        made.pop();
    }
    sequences
}
