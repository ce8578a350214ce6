//! What the engine does, as events of the pipeline: the transactions that wait for a decision, and
//! what else the features count.
//!
//! The event of a command has the command's id, so that the decision on it names the transaction.
//! What the engine does by itself has an id that begins with [`OWN`].

use std::borrow::Cow;

use serde::Serialize;

use super::command::{Command, Funding, Purse, Request};
use super::engine::Engine;
use super::reply::{Done, Effect, Happening, Reply};
use super::units::{Fen, Time};
use crate::event::Kind;

/// The beginning of ids that no client may use.
pub const OWN: &str = "engine:";

/// Nanoseconds in the millisecond that is an event's time.
const NS_IN_MS: i64 = 1_000_000;

/// An event that the engine made. Its fields are those of the event contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the event contract")]
pub struct Happened<'a> {
    pub event_id: Cow<'a, str>,
    pub event_time: i64,
    pub kind: &'static str,
    pub account_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparty_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_fen: Option<u64>,
    /// The moment within the millisecond: no two events of an engine have one moment.
    pub seq: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub play: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub funding: Option<&'static str>,
}

impl<'a> Happened<'a> {
    fn new(id: impl Into<Cow<'a, str>>, time: Time, kind: Kind, account: &'a str) -> Happened<'a> {
        Happened {
            event_id: id.into(),
            event_time: time.ms(),
            kind: kind.name(),
            account_id: account,
            counterparty_id: None,
            group_id: None,
            packet_id: None,
            amount_fen: None,
            seq: time.0.rem_euclid(NS_IN_MS),
            shares: None,
            play: None,
            funding: None,
        }
    }

    fn amount(self, amount: Fen) -> Happened<'a> {
        Happened { amount_fen: Some(amount.0), ..self }
    }
}

/// What a command that was executed is to others; none where it was refused or is nobody's affair
/// but the account's. The engine is as it is after the command or later in its batch.
pub fn of_command<'a>(
    request: &Request<'a>,
    reply: &Reply,
    engine: &'a Engine,
) -> Option<Happened<'a>> {
    let done = reply.result.ok()?;
    let new = |kind, account| Happened::new(request.id, reply.time, kind, account);
    Some(match request.command {
        Command::TopUp { account, amount } => new(Kind::Topup, account).amount(amount),
        Command::Withdraw { account, amount } => {
            let funding = Some(funding_name(Funding::Purse(Purse::Change)));
            Happened { funding, ..new(Kind::Withdraw, account).amount(amount) }
        }
        Command::Transfer { account, to, amount, funding } => Happened {
            counterparty_id: Some(to),
            funding: Some(funding_name(funding)),
            ..new(Kind::Transfer, account).amount(amount)
        },
        Command::Send(send) => Happened {
            group_id: send.group,
            packet_id: Some(send.packet),
            shares: Some(send.shares),
            play: Some(send.play.rules().name),
            funding: Some(funding_name(send.funding)),
            ..new(Kind::Send, send.account).amount(send.amount)
        },
        Command::Claim { account, packet, .. } => {
            let Done::Claimed { amount, .. } = done else { return None };
            let view = engine.packet(packet)?;
            Happened {
                counterparty_id: Some(view.sender),
                group_id: view.group,
                packet_id: Some(packet),
                ..new(Kind::Claim, account).amount(amount)
            }
        }
        Command::Join { group, account } => {
            Happened { group_id: Some(group), ..new(Kind::Join, account) }
        }
        _ => return None,
    })
}

/// What the engine did by itself: of that, what others see is that money comes back.
pub fn of_effect<'a>(effect: &Effect, engine: &'a Engine) -> Option<Happened<'a>> {
    let Happening::Refunded { packet, amount } = effect.what else { return None };
    let name = engine.packet_name(packet)?;
    let view = engine.packet(name)?;
    // No other refund of any engine has this packet and this moment.
    let id = own_id("refund", &format!("{name}\n{}", effect.time.0));
    Some(Happened {
        group_id: view.group,
        packet_id: Some(name),
        ..Happened::new(id, effect.time, Kind::Refund, view.sender).amount(amount)
    })
}

/// The id of something that is done to what has that name: always the same one, and of a length
/// that ids may have.
pub fn own_id(what: &str, name: &str) -> String {
    let hash = blake3::hash(name.as_bytes()).to_hex();
    format!("{OWN}{what}:{}", &hash[..32])
}

fn funding_name(funding: Funding) -> &'static str {
    match funding {
        Funding::Purse(Purse::Change) => "balance",
        Funding::Purse(Purse::Lingqiantong) => "lingqiantong",
        Funding::Bank => "bank",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::command::{Decision, PerMille, Play, Send, Tie};
    use crate::packet::draw::MasterSecret;
    use crate::packet::limits::Limits;

    const NOW: Time = Time::from_ms(1_707_480_000_000);

    fn show(happened: Option<Happened<'_>>) -> String {
        happened.map_or_else(|| "nothing".to_owned(), |one| serde_json::json!(one).to_string())
    }

    fn without_draws(text: &str) -> serde_json::Value {
        serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
    }

    /// Each command that moves money is the event that the contract has for it; what is refused or
    /// only written down is none.
    #[test]
    fn commands_are_the_events_of_the_contract() {
        let mut engine = Engine::new(Limits::default(), MasterSecret::new([1; 32]));
        let mut at = 0;
        let mut ask = |id: &str, command: Command<'_>| {
            at += 1;
            let request = Request { id, command };
            let reply = engine.apply(Time::from_ms(NOW.ms() + at), &request).unwrap();
            let shown = show(of_command(&request, &reply, &engine));
            (reply, shown)
        };
        let json = |fields: &str| without_draws(&format!("{{{fields}}}"));
        let (_, topup) = ask("r1", Command::TopUp { account: "ada", amount: Fen(1_000) });
        assert_eq!(
            without_draws(&topup),
            json(
                r#""event_id":"r1","event_time":1707480000001,"kind":"topup","account_id":"ada",
                   "amount_fen":1000,"seq":0"#
            )
        );
        let (_, join) = ask("r2", Command::Join { group: "g", account: "ada" });
        assert_eq!(
            without_draws(&join),
            json(
                r#""event_id":"r2","event_time":1707480000002,"kind":"join","account_id":"ada",
                   "group_id":"g","seq":0"#
            )
        );
        ask("r3", Command::Join { group: "g", account: "bo" });
        let send = Send {
            account: "ada",
            packet: "p",
            group: Some("g"),
            amount: Fen(10),
            shares: 1,
            play: Play::Lucky,
            funding: Funding::Purse(Purse::Change),
            tilt: PerMille(0),
        };
        let (_, sent) = ask("r4", Command::Send(send));
        assert_eq!(
            without_draws(&sent),
            json(
                r#""event_id":"r4","event_time":1707480000004,"kind":"send","account_id":"ada",
                   "group_id":"g","packet_id":"p","amount_fen":10,"seq":0,"shares":1,
                   "play":"lucky","funding":"balance""#
            )
        );
        let claim = Command::Claim { account: "bo", packet: "p", guess: None, tie: Tie::None };
        assert_eq!(ask("r5", claim).1, "nothing", "it is refused before the sending is decided");
        let allow = Command::Decide {
            transaction: "r4",
            decision: Decision::Allow,
            rules_hash: [0; 32],
            evidence_hash: [0; 32],
        };
        assert_eq!(ask("r6", allow).1, "nothing");
        let (_, claimed) = ask("r7", claim);
        assert_eq!(
            without_draws(&claimed),
            json(
                r#""event_id":"r7","event_time":1707480000007,"kind":"claim","account_id":"bo",
                   "counterparty_id":"ada","group_id":"g","packet_id":"p","amount_fen":10,"seq":0"#
            )
        );
        let transfer =
            Command::Transfer { account: "ada", to: "cy", amount: Fen(5), funding: Funding::Bank };
        assert_eq!(
            without_draws(&ask("r8", transfer).1),
            json(
                r#""event_id":"r8","event_time":1707480000008,"kind":"transfer","account_id":"ada",
                   "counterparty_id":"cy","amount_fen":5,"seq":0,"funding":"bank""#
            )
        );
        let (_, out) = ask("r9", Command::Withdraw { account: "ada", amount: Fen(7) });
        assert_eq!(
            without_draws(&out),
            json(
                r#""event_id":"r9","event_time":1707480000009,"kind":"withdraw","account_id":"ada",
                   "amount_fen":7,"seq":0,"funding":"balance""#
            )
        );
        let into = Purse::Lingqiantong;
        let (_, moved) = ask("r10", Command::Move { account: "ada", into, amount: Fen(1) });
        assert_eq!(moved, "nothing", "it stays the account's");
    }

    /// What nobody claimed comes back as a refund of the packet to its sender, at its own moment.
    #[test]
    fn what_comes_back_is_a_refund() {
        let limits = Limits { decisions_awaited: false, ..Limits::default() };
        let mut engine = Engine::new(limits, MasterSecret::new([1; 32]));
        let send = Send {
            account: "ada",
            packet: "p",
            group: None,
            amount: Fen(10),
            shares: 2,
            play: Play::Equal,
            funding: Funding::Bank,
            tilt: PerMille(0),
        };
        engine.apply(NOW, &Request { id: "r1", command: Command::Send(send) }).unwrap();
        let claim = Command::Claim { account: "bo", packet: "p", guess: None, tie: Tie::None };
        engine.apply(NOW, &Request { id: "r2", command: claim }).unwrap();
        engine.take_effects();
        engine.advance(Time::from_ms(NOW.ms() + 25 * 3_600_000));
        let effects = engine.take_effects();
        let events: Vec<Happened<'_>> =
            effects.iter().filter_map(|effect| of_effect(effect, &engine)).collect();
        let [refund] = &events[..] else { panic!("{events:?}") };
        assert_eq!((refund.kind, refund.account_id), ("refund", "ada"));
        assert_eq!((refund.packet_id, refund.amount_fen), (Some("p"), Some(5)));
        assert!(refund.event_id.starts_with(OWN) && refund.event_id.len() <= 64);
    }
}
