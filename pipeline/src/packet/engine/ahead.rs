//! A look at what is to come, so that it is near when it is needed.
//!
//! A command touches a dozen places all over memory, each a wait of its own. Looked up for many
//! commands at a time, the waits overlap: the more, the less else is done between them, so each loop
//! does one thing. Nothing depends on it but the time.

use std::hint::black_box;

use super::{Engine, id_hash};
use crate::packet::command::{Command, Request};
use crate::packet::ledger::Place;
use crate::packet::names;

/// So many commands at a time: what they touch fits in the nearest cache that is not tiny.
pub const AHEAD: usize = 128;

/// What a command will touch, as far as it is known so far: hashes, then numbers.
#[derive(Clone, Copy, Default)]
struct Touch {
    /// Of the command itself.
    id: u64,
    account: Option<u64>,
    packet: Option<u64>,
    /// The command, and then the transaction, that a decision is about.
    executed: Option<u64>,
}

impl Engine {
    /// Looks up what commands will touch, at most [`AHEAD`] of them with profit.
    pub fn look_ahead(&self, requests: &[Request<'_>]) {
        let mut touches = [Touch::default(); AHEAD];
        let touches = &mut touches[..requests.len().min(AHEAD)];
        for (touch, request) in touches.iter_mut().zip(requests) {
            *touch = named(request);
        }
        let mut near = 0;
        for touch in &*touches {
            near ^= self.executed_numbers.near(touch.id);
            near ^= touch.executed.map_or(0, |hash| self.executed_numbers.near(hash));
            near ^= touch.account.map_or(0, |hash| self.accounts.near(hash));
            near ^= touch.packet.map_or(0, |hash| self.packet_numbers.near(hash));
        }
        // What was a hash is now a number, if it is a right guess: a wrong one costs nothing but time.
        for touch in &mut *touches {
            touch.executed = touch.executed.and_then(|hash| self.executed_numbers.guess(hash));
            touch.account = touch.account.and_then(|hash| self.accounts.guess(hash));
            touch.packet = touch.packet.and_then(|hash| self.packet_numbers.guess(hash));
        }
        for touch in &mut *touches {
            let executed = touch.executed.and_then(|number| self.executed.get(number));
            touch.executed = executed.and_then(|executed| executed.transaction);
        }
        for touch in &mut *touches {
            let transaction = touch.executed.and_then(|number| self.transactions.get(number));
            if let Some(transaction) = transaction {
                touch.account = Some(transaction.account.into());
                touch.packet = transaction.packet();
            }
        }
        for account in touches.iter().filter_map(|touch| touch.account) {
            near ^= self.people.get(account).map_or(0, |one| u64::from(one.digest[0]));
            near ^= self.ledger.near(account as u32);
            near ^= self.accounts.text(account as u32).len() as u64;
        }
        for packet in touches.iter().filter_map(|touch| touch.packet) {
            near ^= self.ledger.balance(Place::Escrow(packet)).credits.0;
            near ^= self.packets.get(packet).map_or(0, |packet| packet.nearby());
        }
        black_box(near);
    }
}

/// The hashes of what a command names.
fn named(request: &Request<'_>) -> Touch {
    let of = |id: &str| Some(names::hash(id));
    let touch = Touch { id: id_hash(request.id) as u64, ..Touch::default() };
    match request.command {
        Command::TopUp { account, .. }
        | Command::Withdraw { account, .. }
        | Command::Move { account, .. }
        | Command::Transfer { account, .. } => Touch { account: of(account), ..touch },
        Command::Send(ref send) => {
            Touch { account: of(send.account), packet: of(send.packet), ..touch }
        }
        Command::Claim { account, packet, .. } => {
            Touch { account: of(account), packet: of(packet), ..touch }
        }
        Command::Decide { transaction, .. } | Command::Resolve { transaction, .. } => {
            Touch { executed: Some(id_hash(transaction) as u64), ..touch }
        }
        _ => touch,
    }
}
