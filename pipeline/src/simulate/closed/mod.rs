//! The closed loop: what the world does is decided on while it happens, and decisions settle its
//! money.
//!
//! Time passes in ticks. What is done within one goes to the dataflow when it is over, and at that
//! moment the decisions are there: the engine posts, holds or voids, packets open, shares arrive,
//! and people do something about it. Until then money waits, and is not there to be spent. So
//! whoever sent the events to a backtest afterwards would get the same decisions, and
//! [`run_with_rules`](super::run_with_rules) does so every time.

mod desk;
mod people;
mod report;
mod rings;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use self::desk::Desk;
pub use self::report::{Ended, terminal};
use self::rings::Rings;
use self::tally::Tally;
pub use self::tally::{DeskWork, Flow, Honest, Money, Report, RingMoney};
use super::agenda::Act;
use super::clockwork::Then;
use super::names::{Id, Names};
use super::packets::{Offer, Taker, Transfer};
use super::random::Rng;
use super::scenario::{Reactions, Scenario};
use super::world::{Account, Event, Group, SchemeId, World};
use crate::decision::Verdict;
use crate::diagnostic::Failure;
use crate::event::{self, ChunkBuilder, FieldId, Position, Raw, Schema};
use crate::packet::command::{Command, Decision, Resolution};
use crate::packet::reply::{Done, Seq};
use crate::packet::units::Span;
use crate::run::{Decided, ModelPaths, Session};

/// Length of a tick, ms: a wait that nobody minds, and half of what the engine waits for a decision
/// before it falls back on its own.
const TICK: i64 = 1_000;

/// The rules at work on a world, and what is done about their decisions.
pub(super) struct Closed {
    session: Session,
    rules_hash: [u8; 32],
    /// The events since the last decisions.
    events: ChunkBuilder,
    /// When the decisions come for which transactions wait.
    tick_end: i64,
    awaited: Vec<Awaited>,
    held: BTreeMap<Seq, Held>,
    reactions: Reactions,
    desk: Desk,
    rings: Rings,
    /// Until when whoever has given up stays away.
    shunned: BTreeMap<Account, i64>,
    tally: Tally,
    /// As what the money of a packet was counted when its sending was decided.
    counted: BTreeMap<u32, Counted>,
    rng: Rng,
    /// Whether what is done now is done for the second time.
    again: bool,
    failure: Option<Failure>,
    /// Set from outside, by whoever wants it to end now.
    interrupted: Arc<AtomicBool>,
    /// Until when the world lived, where that was not its whole time.
    interrupted_at: Option<i64>,
}

/// As what money was counted: of which fraud or of none, and whether its ring had moved before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    fraud: Option<&'static str>,
    after_move: bool,
    /// Whether it is a share of money that was counted when its packet was sent.
    share: bool,
}

/// Who moves how much money.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) actor: Account,
    /// The other side: who is paid, or whose packet is claimed.
    pub(super) payee: Option<Account>,
    pub(super) group: Option<Group>,
    pub(super) amount_fen: i64,
    pub(super) scheme: Option<SchemeId>,
}

/// What is done once the money may move.
pub(super) enum What {
    Send { number: u32, opens: i64, offer: Offer, takers: Vec<Taker>, then: Option<Then> },
    Claim { packet: u32, account: Account },
    Pay(Transfer),
    Withdraw,
}

/// A transaction whose money waits for its decision.
struct Awaited {
    /// The engine's request.
    request: u64,
    seq: Seq,
    subject: Subject,
    what: What,
    again: bool,
}

/// A transaction that is held.
struct Held {
    since: i64,
    counted: Counted,
    awaited: Awaited,
}

impl Closed {
    /// Puts the rules of a directory, and models beside them, to work on a scenario.
    pub(super) fn new(
        (rules, models): (&Path, &ModelPaths),
        scenario: &Scenario,
        seed: u64,
        interrupted: Arc<AtomicBool>,
    ) -> Result<Closed, Failure> {
        let schema = Arc::new(Schema::default());
        let session = Session::open(Some(rules), models, &schema)?;
        Ok(Closed {
            rules_hash: session.rules_hash(),
            session,
            events: ChunkBuilder::new(schema),
            tick_end: scenario.start,
            awaited: Vec::new(),
            held: BTreeMap::new(),
            reactions: scenario.reactions,
            desk: Desk::default(),
            rings: Rings::default(),
            shunned: BTreeMap::new(),
            tally: Tally::default(),
            counted: BTreeMap::new(),
            rng: Rng::named(seed, "reactions", 0),
            again: false,
            failure: None,
            interrupted,
            interrupted_at: None,
        })
    }

    /// Takes note of an event for the next decisions.
    pub(super) fn take_note(&mut self, names: Names, number: u64, event: &Event) {
        let position = Position { source: 0, at: number + 1 };
        let pushed = push(&mut self.events, names, number, event, position);
        pushed.unwrap_or_else(|refusal| panic!("{event:?} is no event: {}", refusal.detail));
    }

    /// What the rules decide on all that waits.
    fn decide(&mut self) -> Result<Vec<(Awaited, Decided)>, Failure> {
        let decided = self.session.decide(self.events.finish(), self.tick_end)?;
        let awaited = std::mem::take(&mut self.awaited);
        assert_eq!(awaited.len(), decided.len(), "every transaction waits, and nothing else");
        Ok(awaited.into_iter().zip(decided).collect())
    }

    /// What came of it: the report, and the digest of the decisions.
    pub(super) fn finish(self, world: &World) -> Result<Ended, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let digest = self.session.finish()?;
        let report = self.tally.finish(world, &self.rings);
        Ok(Ended { report, digest, interrupted_at: self.interrupted_at })
    }
}

impl World {
    fn closed(&mut self) -> &mut Closed {
        self.closed.as_mut().unwrap_or_else(|| unreachable!("only where rules decide"))
    }

    /// Whether somebody wants it to end now.
    pub(super) fn is_interrupted(&mut self) -> bool {
        let (now, end) = (self.now, self.end);
        let Some(closed) = &mut self.closed else { return false };
        let interrupted = closed.interrupted.load(Ordering::Relaxed);
        if interrupted && closed.interrupted_at.is_none() && now < end {
            closed.interrupted_at = Some(now);
        }
        interrupted
    }

    /// When the decisions come for which something waits.
    pub(super) fn decided_at(&self) -> Option<i64> {
        let closed = self.closed.as_ref().filter(|closed| !closed.awaited.is_empty())?;
        Some(closed.tick_end)
    }

    /// A transaction has been written down, and its money waits.
    pub(super) fn await_decision(&mut self, seq: Seq, subject: Subject, what: What) {
        let (now, request) = (self.now, self.bank.requests);
        let closed = self.closed();
        if closed.awaited.is_empty() {
            closed.tick_end = (now.div_euclid(TICK) + 1) * TICK;
        }
        let again = closed.again;
        closed.awaited.push(Awaited { request, seq, subject, what, again });
    }

    /// A tick is over: its transactions are decided.
    pub(super) fn settle(&mut self) {
        let closed = self.closed();
        let tick_end = closed.tick_end;
        match closed.decide() {
            Ok(decided) => {
                self.now = tick_end;
                for (awaited, decided) in decided {
                    self.decided(awaited, decided);
                }
            }
            Err(failure) => {
                closed.failure = Some(failure);
                closed.awaited.clear();
                self.break_off();
            }
        }
    }

    fn decided(&mut self, awaited: Awaited, Decided { verdict, evidence }: Decided) {
        let id = self.names.request(awaited.request);
        let closed = self.closed();
        let hold = closed.reactions.hold;
        let ttl = Span::from_seconds((hold / 1000) as u32);
        let decision = match verdict {
            Verdict::Allow => Decision::Allow,
            Verdict::Review => Decision::Review,
            Verdict::Hold => Decision::Hold { ttl },
            Verdict::Block => Decision::Block,
        };
        let transaction = id.as_str();
        let (rules_hash, evidence_hash) = (closed.rules_hash, evidence);
        let command = Command::Decide { transaction, decision, rules_hash, evidence_hash };
        let reply = self.ask(command);
        assert!(matches!(reply.result, Ok(Done::Decided(_))), "it waited: {:?}", reply.result);
        let counted = self.count_as(&awaited);
        self.closed().tally.decided(&awaited.subject, counted, verdict, awaited.again);
        match verdict {
            Verdict::Allow | Verdict::Review => self.goes_through(awaited),
            Verdict::Hold => {
                let expires = reply.time.after(ttl);
                self.plan(expires.ms(), Act::Expire(expires));
                self.hold(awaited, counted);
            }
            Verdict::Block => {
                if let What::Claim { packet, .. } = awaited.what {
                    self.tried(packet);
                }
                self.blocked(awaited);
            }
        }
    }

    /// The typology of a fraudulent transaction.
    fn fraud_of(&self, subject: &Subject) -> Option<&'static str> {
        let scheme = subject.scheme.map(|scheme| self.scheme(scheme));
        scheme.filter(|scheme| scheme.fraud).map(|scheme| scheme.name)
    }

    /// As what a transaction's money is counted: a packet when it is sent, and a share as part of its
    /// packet, unless it is the fraud of another.
    fn count_as(&mut self, awaited: &Awaited) -> Counted {
        let fraud = self.fraud_of(&awaited.subject);
        let closed = self.closed();
        let after_move = closed.rings.has_moved(awaited.subject.scheme);
        let counted = Counted { fraud, after_move, share: false };
        match awaited.what {
            What::Send { number, .. } => {
                closed.counted.insert(number, counted);
                counted
            }
            What::Claim { packet, .. } => match closed.counted.get(&packet) {
                Some(sent) if sent.fraud == fraud => Counted { share: true, ..*sent },
                _ => counted,
            },
            What::Pay(_) | What::Withdraw => counted,
        }
    }

    /// The money has moved.
    fn goes_through(&mut self, awaited: Awaited) {
        let Subject { amount_fen, scheme, .. } = awaited.subject;
        match awaited.what {
            What::Send { number, opens, takers, then, .. } => {
                let id = self.names.packet(number);
                let packet = self.bank.engine.packet(id.as_str());
                let expires = packet.map(|packet| packet.expires_at);
                let expires = expires.unwrap_or_else(|| unreachable!("a packet that was sent"));
                self.open(number, opens, expires, takers, then);
            }
            What::Claim { packet, account } => {
                self.got(packet, account, amount_fen, scheme);
                self.tried(packet);
            }
            What::Pay(_) | What::Withdraw => {}
        }
    }

    /// The money stands aside. Those who play do not wait for a share that is held.
    fn hold(&mut self, awaited: Awaited, counted: Counted) {
        let subject = awaited.subject;
        let now = self.now;
        if let What::Claim { packet, .. } = awaited.what {
            self.tried(packet);
        }
        let seq = awaited.seq;
        self.closed().held.insert(seq, Held { since: now, counted, awaited });
        self.queue(seq);
        if self.fraud_of(&subject).is_some() {
            self.ring_stopped(subject);
        }
    }

    /// A person, or its time, has ended a hold.
    pub(super) fn hold_ended(&mut self, transaction: Seq, released: bool) {
        let now = self.now;
        let Some(Held { since, counted, awaited }) = self.closed().held.remove(&transaction) else {
            unreachable!("what ends was held")
        };
        let Subject { amount_fen, scheme, .. } = awaited.subject;
        let waited = now - since;
        self.closed().tally.hold_ended(&awaited.subject, counted, released, waited);
        match awaited.what {
            What::Claim { packet, account } if released => {
                self.got(packet, account, amount_fen, scheme);
            }
            _ if released => self.goes_through(awaited),
            _ if counted.fraud.is_none() => self.gives_up(awaited),
            // The ring has taken its losses when the money was held.
            _ => {}
        }
    }

    /// A person ends the hold of a transaction.
    fn resolve(&mut self, transaction: Seq, release: bool) {
        let names = self.names;
        let Some(held) = self.closed().held.get(&transaction) else { return };
        let id = names.request(held.awaited.request);
        let command = Command::Resolve {
            transaction: id.as_str(),
            resolution: if release { Resolution::Release } else { Resolution::Return },
            actor: "review-desk",
            reason: if release { "looks honest" } else { "looks fraudulent" },
        };
        let reply = self.ask(command);
        assert!(reply.result.is_ok(), "it was held: {:?}", reply.result);
        self.hold_ended(transaction, release);
    }
}

/// An id; none is null.
fn name(id: &Option<Id>) -> Raw<'_> {
    id.as_ref().map_or(Raw::Null, |id| Raw::Str(id.as_str()))
}

/// Appends an event as it would be read from `events.parquet`.
fn push(
    builder: &mut ChunkBuilder,
    names: Names,
    number: u64,
    event: &Event,
    position: Position,
) -> Result<(), event::Refusal> {
    let id = names.event(number);
    let [account, counterparty] = [event.account, event.counterparty]
        .map(|account| account.map(|account| names.account(account)));
    let group = event.group.map(|group| names.group(group));
    let packet = event.packet.map(|packet| names.packet(packet));
    let device = event.device.map(|device| names.device(device));
    let ip = event.ip.map(|ip| std::net::Ipv4Addr::from(ip).to_string()).unwrap_or_default();
    let region = event.region.map(|region| region.to_string()).unwrap_or_default();
    let int = |value: Option<i64>| value.map_or(Raw::Null, Raw::Int);
    let holder = event.holder;
    let values: [(FieldId, Raw<'_>); 20] = [
        (event::EVENT_ID, Raw::Str(id.as_str())),
        (event::EVENT_TIME, Raw::Int(event.time)),
        (event::KIND, Raw::Str(event.kind.name())),
        (event::ACCOUNT_ID, name(&account)),
        (event::COUNTERPARTY_ID, name(&counterparty)),
        (event::GROUP_ID, name(&group)),
        (event::PACKET_ID, name(&packet)),
        (event::AMOUNT_FEN, int(event.amount_fen)),
        (event::SEQ, Raw::Int(number as i64 + 1)),
        (event::SHARES, int(event.shares)),
        (event::PLAY, Raw::Str(event.play)),
        (event::FUNDING, Raw::Str(event.funding)),
        (event::DEVICE_ID, name(&device)),
        (event::IP, Raw::Str(&ip)),
        (event::REGION, Raw::Str(&region)),
        (event::PLATFORM, Raw::Str(event.platform)),
        (event::AGE_BAND, Raw::Str(holder.map_or("", |holder| holder.age.band()))),
        (event::REGISTERED_AT, int(holder.map(|holder| holder.registered_at))),
        (event::VERIFIED, holder.map_or(Raw::Null, |holder| Raw::Bool(holder.verified))),
        (event::TEXT, Raw::Str(&event.text)),
    ];
    builder.push(values, position)
}
