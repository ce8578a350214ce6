//! Transactions: what waits for a decision, what a decision does, and how a hold ends.

use serde::{Deserialize, Serialize};

use super::due::Due;
use super::packet::PacketState;
use super::{Engine, Step, check_id, id_hash};
use crate::packet::bugs::{Bug, made};
use crate::packet::command::{Decision, Funding, Purse, Resolution};
use crate::packet::ledger::Place;
use crate::packet::reply::{Done, Happening, Refusal, Seq, Settlement};
use crate::packet::units::{Day, Fen, Time};

/// What kind of transaction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Send { packet: u64, funding: Funding },
    Claim { packet: u64 },
    Transfer { payee: u32, funding: Funding },
    Withdraw,
}

/// Money that waits for a decision, or had one. (One fills a line of the processor's cache.)
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Transaction {
    pub(super) seq: Seq,
    pub(super) kind: Kind,
    /// Who acts.
    pub(super) account: u32,
    /// On which it was begun.
    day: Day,
    pub(super) amount: Fen,
    pub(super) settlement: Settlement,
    pub(super) decision: Option<Decision>,
}

impl Transaction {
    /// Where its money comes from.
    pub(super) fn from(&self) -> Place {
        match self.kind {
            Kind::Claim { packet } => Place::Escrow(packet),
            Kind::Withdraw => Place::Purse(self.account, Purse::Change),
            Kind::Send { funding, .. } | Kind::Transfer { funding, .. } => match funding {
                Funding::Purse(purse) => Place::Purse(self.account, purse),
                Funding::Bank => Place::Transit(self.day),
            },
        }
    }

    /// Where its money goes.
    pub(super) fn to(&self) -> Place {
        match self.kind {
            Kind::Send { packet, .. } => Place::Escrow(packet),
            Kind::Claim { .. } => Place::Purse(self.account, Purse::Change),
            Kind::Transfer { payee, .. } => Place::Purse(payee, Purse::Change),
            Kind::Withdraw => Place::Transit(self.day),
        }
    }

    /// The packet that it is about.
    pub(super) fn packet(&self) -> Option<u64> {
        match self.kind {
            Kind::Send { packet, .. } | Kind::Claim { packet } => Some(packet),
            Kind::Transfer { .. } | Kind::Withdraw => None,
        }
    }
}

impl Engine {
    /// Reserves a transaction's money and writes it down; without awaited decisions it is paid at
    /// once.
    pub(super) fn begin(
        &mut self,
        step: &mut Step,
        kind: Kind,
        amount: Fen,
    ) -> Result<u64, Refusal> {
        let transaction = Transaction {
            seq: step.seq,
            kind,
            account: step.account.expect("a transaction has an account"),
            day: step.time.day(),
            amount,
            settlement: Settlement::Undecided,
            decision: None,
        };
        self.ledger.reserve(transaction.from(), transaction.to(), amount)?;
        let number = self.transactions.push(transaction);
        step.transaction = Some(number);
        Ok(number)
    }

    /// Lets a transaction that was begun wait for its decision, or takes it as allowed where none
    /// are awaited.
    pub(super) fn await_decision(&mut self, number: u64, time: Time) {
        if self.limits.decisions_awaited {
            self.agenda.add(time.after(self.limits.decision_max()), Due::Decision(number));
        } else {
            self.settle(number, Decision::Allow, time);
        }
    }

    pub(super) fn decide(
        &mut self,
        step: &mut Step,
        transaction: &str,
        decision: Decision,
    ) -> Result<Done, Refusal> {
        let number = self.named_transaction(step, transaction)?;
        let known = self.transactions[number];
        if let Decision::Hold { ttl } = decision
            && ttl > self.limits.hold_max()
        {
            return Err(Refusal::HoldTooLong);
        }
        match known.decision {
            None => self.settle(number, decision, step.time),
            Some(first) if first == decision => {}
            Some(_) if made(Bug::SecondDecisionWins) => {
                self.transactions[number].decision = Some(decision);
            }
            Some(_) => return Err(Refusal::DecidedOtherwise),
        }
        Ok(Done::Decided(self.transactions[number].settlement))
    }

    pub(super) fn resolve(
        &mut self,
        number: u64,
        time: Time,
        resolution: Resolution<'_>,
    ) -> Result<Done, Refusal> {
        let known = self.transactions[number];
        let reviewed = known.decision == Some(Decision::Review)
            && resolution == Resolution::Release
            && self.queue.remove(&known.seq);
        if reviewed {
            return Ok(Done::Decided(known.settlement));
        }
        if known.settlement != Settlement::Held {
            return Err(Refusal::NotHeld);
        }
        let end = match resolution {
            Resolution::Release => End::Release,
            Resolution::Return => End::Return,
            Resolution::Freeze { case } => {
                check_id(case)?;
                let case = self.case(case);
                End::Freeze(case)
            }
        };
        self.end_hold(number, end, time);
        Ok(Done::Decided(self.transactions[number].settlement))
    }

    /// A decision that was not taken in time is the policy's.
    pub(super) fn fall_back(&mut self, number: u64) {
        let known = self.transactions[number];
        if known.decision.is_some() {
            return;
        }
        let bound = u64::from(made(Bug::FallbackAllowsItsBound));
        let decision = match known.amount.0 < self.limits.fallback_allow_fen_below + bound {
            true => Decision::Allow,
            false => Decision::Hold { ttl: self.limits.hold_max() },
        };
        let time = self.tick();
        self.happen(time, Happening::FellBack { transaction: known.seq, decision });
        self.settle(number, decision, time);
    }

    /// A hold that nobody ended ends as the limits say.
    pub(super) fn hold_over(&mut self, number: u64) {
        // One that a person ended may be forgotten by now.
        let Some(&known) = self.transactions.get(number) else { return };
        if known.settlement != Settlement::Held {
            return;
        }
        let time = self.tick();
        let (end, settlement) = match self.limits.hold_releases_on_expiry {
            true => (End::Release, Settlement::Released),
            false => (End::Return, Settlement::Returned),
        };
        self.happen(time, Happening::HoldEnded { transaction: known.seq, settlement });
        self.end_hold(number, end, time);
    }

    /// Does what a decision says, for a transaction without one.
    fn settle(&mut self, number: u64, decision: Decision, time: Time) {
        let transaction = &self.transactions[number];
        let Transaction { seq, account, amount, kind, settlement, .. } = *transaction;
        let (from, to) = (transaction.from(), transaction.to());
        assert_eq!(settlement, Settlement::Undecided, "the first decision");
        let settlement = match decision {
            Decision::Allow | Decision::Review => {
                self.ledger.settle(from, to, amount);
                Settlement::Posted
            }
            Decision::Hold { ttl } => {
                self.ledger.cancel(from, to, amount);
                let held = self.ledger.post(from, Place::Held(account), amount);
                held.expect("what was reserved is there");
                let late = i64::from(made(Bug::HoldEndsOneMomentLate));
                self.agenda.add(Time(time.after(ttl).0 + late), Due::Hold(number));
                Settlement::Held
            }
            Decision::Block => {
                self.ledger.cancel(from, to, amount);
                Settlement::Voided
            }
        };
        let reviewed = decision == Decision::Review && !made(Bug::ReviewIsNotQueued);
        if reviewed || matches!(decision, Decision::Hold { .. }) {
            self.queue.insert(seq);
        }
        let transaction = &mut self.transactions[number];
        transaction.decision = Some(decision);
        transaction.settlement = settlement;
        match kind {
            Kind::Send { packet, .. } => self.sending_decided(packet, settlement, time),
            Kind::Claim { packet } => {
                let parts = &mut self.packets[packet].parts;
                parts.undecided -= amount;
                *match settlement {
                    Settlement::Posted => &mut parts.paid,
                    Settlement::Held => &mut parts.held,
                    _ if made(Bug::BlockedShareIsDrawnAgain) => &mut parts.remaining,
                    _ => &mut parts.voided,
                } += amount;
                self.packets[packet].undecided -= 1;
                self.close_when_over(packet, time);
            }
            Kind::Transfer { .. } | Kind::Withdraw => {}
        }
    }

    fn end_hold(&mut self, number: u64, end: End, time: Time) {
        let transaction = self.transactions[number];
        let Transaction { seq, account, amount, kind, .. } = transaction;
        let (to, settlement) = match end {
            End::Release => (released_to(&transaction, time), Settlement::Released),
            End::Return => (self.returned_to(&transaction), Settlement::Returned),
            End::Freeze(case) => (Place::Frozen(case), Settlement::Frozen),
        };
        self.ledger.post(Place::Held(account), to, amount).expect("what is held is there");
        self.queue.remove(&seq);
        self.transactions[number].settlement = settlement;
        match kind {
            Kind::Send { packet, .. } => self.sending_decided(packet, settlement, time),
            Kind::Claim { packet } => {
                let parts = &mut self.packets[packet].parts;
                parts.held -= amount;
                *match settlement {
                    Settlement::Released => &mut parts.paid,
                    Settlement::Frozen => &mut parts.frozen,
                    _ => &mut parts.returned,
                } += amount;
            }
            Kind::Transfer { .. } | Kind::Withdraw => {}
        }
    }

    /// Back to where it came from: a share to the packet's sender, what a bank paid to the change of
    /// who paid it.
    fn returned_to(&self, transaction: &Transaction) -> Place {
        let to_account = Place::Purse(transaction.account, Purse::Change);
        match (transaction.kind, transaction.from()) {
            (Kind::Claim { .. }, _) if made(Bug::HeldShareReturnsToClaimer) => to_account,
            (Kind::Claim { packet }, _) => {
                let packet = &self.packets[packet];
                Place::Purse(packet.sender, packet.refund_into)
            }
            (_, Place::Transit(_)) => to_account,
            (_, from) => from,
        }
    }

    fn sending_decided(&mut self, packet: u64, settlement: Settlement, time: Time) {
        match settlement {
            Settlement::Posted | Settlement::Released => self.open(packet, time),
            Settlement::Held | Settlement::Undecided => {}
            Settlement::Voided | Settlement::Returned | Settlement::Frozen => {
                let packet = &mut self.packets[packet];
                packet.state = PacketState::Blocked;
                packet.over_at = Some(time);
                let relay = packet.relay.filter(|_| !made(Bug::BlockedSendingEndsRelay));
                if let Some(before) = relay.and_then(|relay| relay.after)
                    && let Some(before) = self.packets.get_mut(before)
                    && let Some(relay) = &mut before.relay
                {
                    relay.went_on = false;
                }
            }
        }
    }

    /// The transaction that the command of an id made.
    pub(super) fn named_transaction(&self, step: &mut Step, id: &str) -> Result<u64, Refusal> {
        let executed = self.executed_as(id_hash(id)).ok_or(Refusal::TransactionUnknown)?;
        let number = executed.1.transaction.ok_or(Refusal::TransactionUnknown)?;
        let transaction = self.transactions.get(number).ok_or(Refusal::TransactionUnknown)?;
        step.account = Some(transaction.account);
        step.packet = transaction.packet().or(step.packet);
        Ok(number)
    }
}

/// Where the money of a transaction goes after a hold: a withdrawal through the transit of the day on
/// which it goes.
fn released_to(transaction: &Transaction, time: Time) -> Place {
    match transaction.kind {
        Kind::Withdraw => Place::Transit(time.day()),
        _ => transaction.to(),
    }
}

/// How a hold ends.
#[derive(Clone, Copy)]
enum End {
    Release,
    Return,
    Freeze(u32),
}
