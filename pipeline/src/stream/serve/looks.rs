//! What anyone may look at: an account, a packet, a transaction.

use serde_json::{Value, json};

use crate::packet::engine::{Engine, PacketState};

/// What somebody wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Account(String),
    Packet(String),
    Transaction(String),
}

impl Look {
    /// What there is to see; none where there is no such thing, or it is forgotten.
    pub(super) fn at(&self, engine: &Engine) -> Option<Value> {
        match self {
            Look::Account(id) => {
                let wallet = engine.wallet(id)?;
                Some(json!({
                    "account": id,
                    "change_fen": wallet.change,
                    "lingqiantong_fen": wallet.lingqiantong,
                    "reserved_fen": wallet.reserved,
                    "held_fen": wallet.held,
                }))
            }
            Look::Packet(id) => {
                let packet = engine.packet(id)?;
                let parts = packet.parts;
                let claims = packet.claims.iter().map(|claim| {
                    json!({
                        "account": engine.account_name(claim.account),
                        "amount_fen": claim.amount,
                    })
                });
                Some(json!({
                    "packet": id,
                    "account": packet.sender,
                    "group": packet.group,
                    "state": state_name(packet.state),
                    "amount_fen": parts.total(),
                    "paid_fen": parts.paid,
                    "held_fen": parts.held,
                    "undecided_fen": parts.undecided,
                    "refunded_fen": parts.refunded,
                    "claims": claims.collect::<Vec<Value>>(),
                }))
            }
            Look::Transaction(id) => {
                let transaction = engine.transaction(id)?;
                Some(json!({
                    "transaction": id,
                    "account": transaction.account,
                    "amount_fen": transaction.amount,
                    "settlement": transaction.settlement,
                }))
            }
        }
    }
}

fn state_name(state: PacketState) -> &'static str {
    match state {
        PacketState::Waiting => "waiting",
        PacketState::Open => "open",
        PacketState::Exhausted => "exhausted",
        PacketState::Expired => "expired",
        PacketState::Closed => "closed",
        PacketState::Blocked => "blocked",
    }
}
