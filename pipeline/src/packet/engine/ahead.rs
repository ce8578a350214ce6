//! A look at what is to come, so that it is near when it is needed.
//!
//! A command touches a dozen places all over memory, each a wait of its own. Looked up for many
//! commands at a time, the waits overlap. Nothing depends on it but the time.

use std::hint::black_box;

use super::Engine;
use super::ids::Ids;
use super::transaction::Kind;
use crate::packet::command::{Command, Purse, Request};
use crate::packet::ledger::Place;

/// So many commands at a time: what they touch fits in the nearest cache that is not tiny.
pub const AHEAD: usize = 128;

/// What a command will touch, as far as it is known so far.
#[derive(Clone, Copy, Default)]
struct Touch {
    account: Option<u32>,
    packet: Option<u64>,
    executed: Option<u64>,
    transaction: Option<u64>,
}

impl Engine {
    /// Looks up what commands will touch, at most [`AHEAD`] of them with profit.
    pub fn look_ahead(&self, requests: &[Request<'_>]) {
        let mut touches = [Touch::default(); AHEAD];
        let touches = &mut touches[..requests.len().min(AHEAD)];
        for (touch, request) in touches.iter_mut().zip(requests) {
            black_box(self.ids.touch(Ids::hash(request.id)));
            *touch = self.named(&request.command);
        }
        let mut near = 0;
        for touch in &mut *touches {
            let executed = touch.executed.and_then(|number| self.executed.get(number));
            touch.transaction = executed.and_then(|executed| executed.transaction);
            near ^= touch.account.map_or(0, |account| self.accounts.text(account).len() as u64);
        }
        for touch in &mut *touches {
            let transaction = touch.transaction.and_then(|number| self.transactions.get(number));
            if let Some(transaction) = transaction {
                touch.account = Some(transaction.account);
                if let Kind::Send { packet } | Kind::Claim { packet } = transaction.kind {
                    touch.packet = Some(packet);
                }
            }
        }
        for touch in &*touches {
            if let Some(account) = touch.account {
                near ^= self.ledger.balance(Place::Purse(account, Purse::Change)).credits.0;
                near ^= self.ledger.balance(Place::Held(account)).credits.0;
                near ^= self.people.get(account.into()).map_or(0, |one| u64::from(one.digest[0]));
            }
            if let Some(packet) = touch.packet {
                near ^= self.ledger.balance(Place::Escrow(packet)).credits.0;
                near ^= self.packets.get(packet).map_or(0, |packet| packet.nearby());
            }
        }
        black_box(near);
    }

    /// What a command names, as far as numbers are found without a look at the names themselves: a
    /// wrong guess costs nothing but time.
    fn named(&self, command: &Command<'_>) -> Touch {
        let touch = Touch::default();
        match *command {
            Command::TopUp { account, .. }
            | Command::Withdraw { account, .. }
            | Command::Move { account, .. }
            | Command::Transfer { account, .. } => {
                Touch { account: self.accounts.guess(account), ..touch }
            }
            Command::Send(ref send) => {
                black_box(self.guess_packet(send.packet));
                Touch { account: self.accounts.guess(send.account), ..touch }
            }
            Command::Claim { account, packet, .. } => Touch {
                account: self.accounts.guess(account),
                packet: self.guess_packet(packet),
                ..touch
            },
            Command::Decide { transaction, .. } | Command::Resolve { transaction, .. } => {
                Touch { executed: self.ids.touch(Ids::hash(transaction)), ..touch }
            }
            _ => touch,
        }
    }
}
