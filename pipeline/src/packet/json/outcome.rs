//! A reply as a line of JSON.

use serde::Serialize;

use crate::packet::command::Decision;
use crate::packet::engine::{Engine, Rejected};
use crate::packet::reply::{
    Digest, Done, Effect, Happening, Refusal, Reply, Settlement, Tilted, Wallet,
};

/// What a command came to.
#[derive(Debug, Serialize)]
pub struct Outcome<'a> {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// What is wrong with it, if it is no command at all: then nothing else is here but the kind of
    /// mistake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// `malformed`, `id_invalid` or `id_taken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(flatten)]
    reply: Option<ReplyFields>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    effects: Vec<EffectFields<'a>>,
}

impl<'a> Outcome<'a> {
    /// Of a line that is no command.
    pub fn mistake(id: Option<&'a str>, error: String) -> Outcome<'a> {
        Outcome {
            id,
            error: Some(error),
            code: Some("malformed"),
            reply: None,
            effects: Vec::new(),
        }
    }
}

/// The outcome of a request, with what the engine did beside it.
pub fn outcome<'a>(
    id: &'a str,
    reply: Result<Reply, Rejected>,
    effects: &[Effect],
    engine: &'a Engine,
) -> Outcome<'a> {
    match reply {
        Err(rejected) => {
            let code = match rejected {
                Rejected::IdInvalid => "id_invalid",
                Rejected::IdTaken => "id_taken",
            };
            Outcome { code: Some(code), ..Outcome::mistake(Some(id), rejected.to_string()) }
        }
        Ok(reply) => Outcome {
            id: Some(id),
            error: None,
            code: None,
            reply: Some(ReplyFields::of(&reply)),
            effects: effects.iter().map(|effect| EffectFields::of(effect, engine)).collect(),
        },
    }
}

#[derive(Debug, Default, Serialize)]
struct ReplyFields {
    seq: u64,
    time_ns: i64,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_fen: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tilted: Option<TiltedFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commitment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement: Option<Settlement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_fen: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wallet: Option<WalletFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
}

impl ReplyFields {
    fn of(reply: &Reply) -> ReplyFields {
        let fields = ReplyFields {
            seq: reply.seq.0,
            time_ns: reply.time.0,
            wallet: reply.wallet.as_ref().map(WalletFields::of),
            head: reply.head.as_ref().map(hex),
            ..ReplyFields::default()
        };
        let done = match reply.result {
            Ok(done) => done,
            Err(refusal) => {
                return ReplyFields {
                    result: "refused",
                    refusal: Some(refusal),
                    because: Some(refusal.to_string()),
                    ..fields
                };
            }
        };
        match done {
            Done::Applied => ReplyFields { result: "applied", ..fields },
            Done::Waiting => ReplyFields { result: "waiting", ..fields },
            Done::Sent { commitment } => {
                ReplyFields { result: "sent", commitment: Some(hex(&commitment)), ..fields }
            }
            Done::Claimed { index, amount, tilt } => ReplyFields {
                result: "claimed",
                index: Some(index),
                amount_fen: Some(amount.0),
                tilted: tilt.map(TiltedFields::of),
                ..fields
            },
            Done::Decided(settlement) => {
                ReplyFields { result: "decided", settlement: Some(settlement), ..fields }
            }
            Done::Cleared { net } => {
                ReplyFields { result: "cleared", net_fen: Some(net), ..fields }
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct WalletFields {
    change_fen: u64,
    lingqiantong_fen: u64,
    reserved_fen: u64,
    held_fen: u64,
}

impl WalletFields {
    fn of(wallet: &Wallet) -> WalletFields {
        WalletFields {
            change_fen: wallet.change.0,
            lingqiantong_fen: wallet.lingqiantong.0,
            reserved_fen: wallet.reserved.0,
            held_fen: wallet.held.0,
        }
    }
}

#[derive(Debug, Serialize)]
struct TiltedFields {
    first_fen: u64,
    second_fen: u64,
}

impl TiltedFields {
    fn of(tilted: Tilted) -> TiltedFields {
        TiltedFields { first_fen: tilted.first.0, second_fen: tilted.second.0 }
    }
}

#[derive(Debug, Default, Serialize)]
struct EffectFields<'a> {
    time_ns: i64,
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement: Option<Settlement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    luckiest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_fen: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl<'a> EffectFields<'a> {
    fn of(effect: &Effect, engine: &'a Engine) -> EffectFields<'a> {
        let fields = EffectFields { time_ns: effect.time.0, ..EffectFields::default() };
        match effect.what {
            Happening::FellBack { transaction, decision } => EffectFields {
                what: "fell_back",
                transaction: Some(transaction.0),
                decision: Some(decision_name(decision)),
                ..fields
            },
            Happening::HoldEnded { transaction, settlement } => EffectFields {
                what: "hold_ended",
                transaction: Some(transaction.0),
                settlement: Some(settlement),
                ..fields
            },
            Happening::Opened { packet } => {
                EffectFields { what: "opened", packet: engine.packet_name(packet), ..fields }
            }
            Happening::Exhausted { packet, luckiest, next } => EffectFields {
                what: "exhausted",
                packet: engine.packet_name(packet),
                luckiest: Some(engine.account_name(luckiest)),
                next: next.map(|account| engine.account_name(account)),
                ..fields
            },
            Happening::Expired { packet } => {
                EffectFields { what: "expired", packet: engine.packet_name(packet), ..fields }
            }
            Happening::Refunded { packet, amount } => EffectFields {
                what: "refunded",
                packet: engine.packet_name(packet),
                amount_fen: Some(amount.0),
                ..fields
            },
            Happening::Closed { packet, secret } => EffectFields {
                what: "closed",
                packet: engine.packet_name(packet),
                secret: Some(hex(&secret)),
                ..fields
            },
        }
    }
}

fn decision_name(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::Review => "review",
        Decision::Hold { .. } => "hold",
        Decision::Block => "block",
    }
}

pub(super) fn hex(digest: &Digest) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}
