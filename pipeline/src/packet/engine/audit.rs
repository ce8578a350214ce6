//! What must be true of the engine, asserted also in released programs: the cheap part after every
//! batch, the whole where the caller has time for it.

use super::Engine;
use super::packet::{Packet, PacketState};
use super::transaction::{Kind, Transaction};
use crate::packet::ledger::Place;
use crate::packet::reply::Settlement;
use crate::packet::units::Fen;

impl Engine {
    /// Ends a batch: asserts what must be true of what it touched.
    ///
    /// # Panics
    /// When money or claims are not as they must be: nothing may be told of the batch then.
    pub fn end_batch(&mut self) {
        self.ledger.assert_sums();
        for number in std::mem::take(&mut self.touched) {
            // One whose end was long ago may be forgotten, when the clock leaped in the batch.
            if let Some(packet) = self.packets.get_mut(number) {
                packet.touched = false;
                self.assert_packet(number);
            }
        }
    }

    /// Looks at everything.
    ///
    /// # Panics
    /// When anything is not as it must be.
    pub fn audit(&self) {
        self.ledger.audit();
        for (number, packet) in self.packets.iter() {
            self.assert_packet(number);
            assert_claims(packet);
            assert_eq!(self.find_packet(&packet.name), Some(number), "found by its id");
        }
        self.assert_pending();
        self.assert_held();
    }

    fn assert_packet(&self, number: u64) {
        let packet = &self.packets[number];
        let escrow = self.ledger.balance(Place::Escrow(number));
        let parts = packet.parts;
        assert_eq!(parts.total(), packet.amount, "all of packet {} is somewhere", packet.name);
        assert!(packet.claims.len() <= packet.shares as usize);
        match packet.state {
            PacketState::Waiting | PacketState::Blocked => {
                assert_eq!(escrow.net(), 0, "packet {} has no money", packet.name);
                assert!(packet.claims.is_empty());
            }
            PacketState::Open | PacketState::Exhausted | PacketState::Expired => {
                assert_eq!(escrow.net(), i128::from(parts.in_escrow().0), "{}", packet.name);
                assert_eq!(escrow.reserved, parts.undecided, "{}", packet.name);
                assert_eq!(parts.refunded, Fen::ZERO, "nothing goes back before the end");
            }
            PacketState::Closed => {
                assert_eq!((escrow.net(), escrow.reserved), (0, Fen::ZERO), "{}", packet.name);
                assert_eq!((packet.undecided, parts.in_escrow()), (0, Fen::ZERO));
            }
        }
    }

    /// What is reserved is what transactions without a decision reserve, place by place.
    fn assert_pending(&self) {
        let mut reserved = std::collections::BTreeMap::<Place, Fen>::new();
        let undecided = |transaction: &&Transaction| {
            assert_eq!(
                transaction.decision.is_none(),
                transaction.settlement == Settlement::Undecided,
            );
            transaction.decision.is_none()
        };
        for transaction in self.transactions.iter().map(|(_, one)| one).filter(undecided) {
            *reserved.entry(transaction.from()).or_default() += transaction.amount;
        }
        for (place, balance) in self.ledger.places() {
            let expected = reserved.remove(&place).unwrap_or_default();
            assert_eq!(balance.reserved, expected, "reserved in {place:?}");
        }
        assert!(reserved.is_empty(), "{reserved:?}");
    }

    /// What is in held accounts is what transactions hold, and they are on the queue.
    fn assert_held(&self) {
        let mut held = std::collections::BTreeMap::<u32, Fen>::new();
        for (_, transaction) in self.transactions.iter() {
            if transaction.settlement == Settlement::Held {
                *held.entry(transaction.account).or_default() += transaction.amount;
                assert!(self.queue.contains(&transaction.seq), "a hold is on the queue");
            }
            if let Kind::Claim { packet } = transaction.kind
                && let Some(packet) = self.packets.get(packet)
            {
                let same = |claim: &&super::Claim| claim.seq == transaction.seq;
                let claim = packet.claims.iter().find(same).expect("a claim has its place");
                assert_eq!(
                    (claim.account, claim.amount),
                    (transaction.account, transaction.amount)
                );
            }
        }
        for account in 0..self.accounts.len() as u32 {
            let expected = held.get(&account).copied().unwrap_or_default();
            let balance = self.ledger.balance(Place::Held(account));
            assert_eq!(balance.net(), i128::from(expected.0), "held of {account}");
        }
    }
}

/// Shares of distinct people, none of nothing, in the order of the sequence.
fn assert_claims(packet: &Packet) {
    let mut accounts: Vec<u32> = packet.claims.iter().map(|claim| claim.account).collect();
    accounts.sort_unstable();
    assert!(accounts.windows(2).all(|pair| pair[0] < pair[1]), "one share each");
    assert!(packet.claims.iter().all(|claim| claim.amount > Fen::ZERO));
    assert!(packet.claims.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    let drawn: Fen = packet.claims.iter().map(|claim| claim.amount).sum();
    if !matches!(packet.state, PacketState::Closed) {
        assert_eq!(drawn + packet.parts.remaining, packet.amount, "drawn and still to draw");
    }
}
