//! Streams that the packet engine made: all plays, decisions of every kind, holds, blocks, refunds.

use std::collections::BTreeMap;

use hongxian::packet::command::{
    Command, Decision, Funding, Next, PerMille, Play, Purse, Request, Resolution, Send, Tie,
    password_digest,
};
use hongxian::packet::draw::MasterSecret;
use hongxian::packet::engine::Engine;
use hongxian::packet::events::{self, Happened};
use hongxian::packet::limits::Limits;
use hongxian::packet::reply::Done;
use hongxian::packet::units::{Fen, Span, Time};

use crate::support::{Ev, START};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const GROUPS: u64 = 3;
const ACCOUNTS: u64 = 40;

/// Numbers that a seed determines (Steele and others, SplitMix, 2014).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// From 0 to below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(super) fn within(&mut self, end: i64) -> i64 {
        self.below(end as u64) as i64
    }

    pub(super) fn of<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

/// How a stream is made.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) packets: u64,
    /// Whether transactions wait for decisions, of which some hold and some block.
    pub(super) decided: bool,
    pub(super) tilt: u16,
}

enum Act {
    Send { packet: u64 },
    Claim { packet: u64, account: u64 },
    Resolve { transaction: String, release: bool },
    Tick,
}

struct Maker {
    engine: Engine,
    dice: Dice,
    style: Style,
    /// What is to be done, by time in ms and number.
    agenda: BTreeMap<(i64, u64), Act>,
    planned: u64,
    requests: u64,
    /// The events that the engine made, each with its moment in ns.
    events: Vec<(i64, Ev)>,
}

/// The sends, claims and refunds of an engine, in order, each with its `seq`.
pub(super) fn stream(seed: u64, style: Style) -> Vec<Ev> {
    let limits = Limits { decisions_awaited: style.decided, ..Limits::default() };
    let mut maker = Maker {
        engine: Engine::new(limits, MasterSecret::new([seed as u8; 32])),
        dice: Dice(seed),
        style,
        agenda: BTreeMap::new(),
        planned: 0,
        requests: 0,
        events: Vec::new(),
    };
    maker.open();
    for packet in 0..style.packets {
        let time = START + maker.dice.within(5 * 24 * HOUR);
        maker.plan(time, Act::Send { packet });
    }
    (0..30 * 24 * 2).for_each(|half| maker.plan(START + half * HOUR / 2, Act::Tick));
    while let Some(((time, _), act)) = maker.agenda.pop_first() {
        maker.act(time, act);
    }
    maker.finish()
}

impl Maker {
    fn plan(&mut self, time: i64, act: Act) {
        self.planned += 1;
        self.agenda.insert((time, self.planned), act);
    }

    fn ask(&mut self, time: i64, command: Command<'_>) -> (String, Option<(Time, Done)>) {
        self.requests += 1;
        let id = format!("r{}", self.requests);
        let request = Request { id: &id, command };
        let reply = self.engine.apply(Time::from_ms(time), &request).unwrap();
        let effects = self.engine.take_effects();
        let engine = &self.engine;
        let own = events::of_command(&request, &reply, engine).map(|event| (reply.time, event));
        let others = effects.iter().map(|one| Some((one.time, events::of_effect(one, engine)?)));
        let events = own.into_iter().chain(others.flatten());
        let told = events.filter(|(_, event)| ["send", "claim", "refund"].contains(&event.kind));
        self.events.extend(told.map(|(moment, event)| (moment.0, told_as(&event))));
        (id, reply.result.ok().map(|done| (reply.time, done)))
    }

    fn open(&mut self) {
        for account in 0..ACCOUNTS {
            let id = format!("u{account}");
            let amount = Fen(1_000_000_000);
            self.ask(START - HOUR, Command::TopUp { account: &id, amount });
            for group in 0..GROUPS {
                let group = format!("g{group}");
                self.ask(START - HOUR, Command::Join { group: &group, account: &id });
            }
        }
    }

    fn act(&mut self, time: i64, act: Act) {
        match act {
            Act::Send { packet } => self.send(time, packet),
            Act::Claim { packet, account } => self.claim(time, packet, account),
            Act::Resolve { transaction, release } => {
                let resolution = if release { Resolution::Release } else { Resolution::Return };
                let transaction = &transaction;
                let (actor, reason) = ("lin", "looked at");
                self.ask(time, Command::Resolve { transaction, resolution, actor, reason });
            }
            Act::Tick => {
                self.ask(time, Command::Tick);
            }
        }
    }

    fn send(&mut self, time: i64, number: u64) {
        let packet = format!("p{number}");
        let sender = self.dice.below(ACCOUNTS);
        let named = format!("u{}", self.dice.below(ACCOUNTS));
        let account = format!("u{sender}");
        let play = *self.dice.of(&["lucky", "equal", "exclusive", "relay", "timed", "password"]);
        let shares = match play {
            "exclusive" => 1,
            _ => *self.dice.of(&[1, 2, 3, 5, 10, 30, 100]),
        };
        let mean = *self.dice.of(&[1, 2, 7, 100, 888, 20_000]);
        let extra = if play == "equal" || mean == 20_000 { 0 } else { self.dice.below(shares) };
        let from =
            time + 1 + self.dice.within(if number.is_multiple_of(2) { HOUR } else { 168 * HOUR });
        let group = format!("g{}", self.dice.below(GROUPS));
        let group = (!self.dice.below(5).is_multiple_of(5)).then_some(group);
        let send = Send {
            account: &account,
            packet: &packet,
            group: group.as_deref(),
            amount: Fen(shares * mean + extra),
            shares: shares as u32,
            play: match play {
                "lucky" => Play::Lucky,
                "equal" => Play::Equal,
                "exclusive" => Play::Exclusive { to: &named },
                "relay" => Play::Relay { next: Next::Luckiest, after: None },
                "timed" => Play::Timed { from: Time::from_ms(from) },
                _ => Play::Password { digest: password_digest(&packet, "spring") },
            },
            funding: Funding::Purse(Purse::Change),
            tilt: PerMille(self.style.tilt),
        };
        let (id, done) = self.ask(time, Command::Send(send));
        assert!(done.is_some(), "{send:?} is refused");
        self.decide(time, id);
        // Some come at once, some within the day, some as long after as a packet can wait.
        let spread = *self.dice.of(&[2, MINUTE, 30 * HOUR, 200 * HOUR]);
        let opening = if play == "timed" { from } else { time };
        for _ in 0..self.dice.below(2 * shares + 2) {
            // A few come to every packet: of them it is known how lucky they are.
            let among = *self.dice.of(&[12, ACCOUNTS + 100]);
            let account = self.dice.below(among);
            let time = opening + self.dice.within(spread);
            self.plan(time, Act::Claim { packet: number, account });
        }
        if play == "exclusive" {
            let account = named[1..].parse().unwrap();
            let time = time + self.dice.within(spread);
            self.plan(time, Act::Claim { packet: number, account });
        }
    }

    fn claim(&mut self, time: i64, packet: u64, account: u64) {
        let packet = format!("p{packet}");
        let claimer = format!("u{account}");
        let command = Command::Claim {
            account: &claimer,
            packet: &packet,
            guess: Some(password_digest(&packet, "spring")),
            tie: *self.dice.of(&[Tie::Close, Tie::None, Tie::Distant]),
        };
        let (id, done) = self.ask(time, command);
        if done.is_some() {
            self.decide(time, id);
        }
    }

    /// Decides a transaction at once, or leaves it to the fallback.
    fn decide(&mut self, time: i64, transaction: String) {
        if !self.style.decided {
            return;
        }
        let ttl = Span::from_seconds(3_600 * (1 + self.dice.below(168) as u32));
        let decision = match self.dice.below(20) {
            0 => Decision::Block,
            1..=3 => Decision::Hold { ttl },
            4 => return,
            5 => Decision::Review,
            _ => Decision::Allow,
        };
        let [rules_hash, evidence_hash] = [[0; 32]; 2];
        let command =
            Command::Decide { transaction: &transaction, decision, rules_hash, evidence_hash };
        self.ask(time, command);
        if matches!(decision, Decision::Hold { .. }) {
            let release = !self.dice.below(4).is_multiple_of(4);
            let later = time + self.dice.within(168 * HOUR);
            self.plan(later, Act::Resolve { transaction, release });
        }
    }

    fn finish(mut self) -> Vec<Ev> {
        self.events.sort_by_key(|(moment, _)| *moment);
        let mut events: Vec<Ev> = self
            .events
            .into_iter()
            .map(|(moment, event)| Ev { time: Time(moment).ms(), ..event })
            .collect();
        number(&mut events);
        for (at, event) in events.iter_mut().enumerate() {
            event.id = format!("e{at:05}");
        }
        events
    }
}

/// An event of the engine as these tests have events.
fn told_as(event: &Happened<'_>) -> Ev {
    let text = |id: Option<&str>| id.unwrap_or_default().to_owned();
    Ev {
        kind: event.kind,
        account: event.account_id.to_owned(),
        counterparty: text(event.counterparty_id),
        group: text(event.group_id),
        packet: text(event.packet_id),
        amount: event.amount_fen.map(|fen| fen as i64),
        shares: event.shares.map(i64::from),
        play: event.play.unwrap_or_default(),
        ..Ev::default()
    }
}

/// Numbers events as they stand.
pub(super) fn number(events: &mut [Ev]) {
    events.iter_mut().zip(0..).for_each(|(event, seq)| event.seq = Some(seq));
}
