//! What anyone may look at: an account, a packet, a transaction.

use serde_json::{Value, json};

use crate::packet::engine::Engine;
use crate::packet::json::shown;

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
            Look::Packet(id) => Some(json!(shown(id, engine)?)),
            Look::Transaction(id) => {
                let transaction = engine.transaction(id)?;
                Some(json!({
                    "transaction": id,
                    "seq": transaction.seq.0,
                    "account": transaction.account,
                    "amount_fen": transaction.amount,
                    "settlement": transaction.settlement,
                }))
            }
        }
    }
}
