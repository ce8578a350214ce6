//! What the oracle expects of decisions, of people's acts and of time.

use super::{Kind, Oracle, Phase, Place, Transaction, amount_allowed, change_of, named};
use crate::packet::command::{Decision, Resolution};
use crate::packet::engine::{ID_BYTES_MAX, REASON_BYTES_MAX};
use crate::packet::reply::{Done, Happening, Refusal, Settlement};
use crate::packet::units::{Day, Fen, Time};

impl Oracle {
    pub(super) fn decide(
        &mut self,
        id: &str,
        decision: Decision,
        now: Time,
    ) -> Result<Done, Refusal> {
        let transaction = self.transactions.get(id).ok_or(Refusal::TransactionUnknown)?;
        if let Decision::Hold { ttl } = decision
            && ttl > self.limits.hold_max()
        {
            return Err(Refusal::HoldTooLong);
        }
        match transaction.decision {
            None => self.settle(id, decision, now),
            Some(first) if first == decision => {}
            Some(_) => return Err(Refusal::DecidedOtherwise),
        }
        Ok(Done::Decided(self.transactions[id].settlement))
    }

    /// The first decision takes effect.
    pub(super) fn settle(&mut self, id: &str, decision: Decision, now: Time) {
        let transaction = self.transactions.get_mut(id).unwrap();
        transaction.decision = Some(decision);
        let Transaction { reservation, ref from, ref account, fen, seq, .. } = *transaction;
        match decision {
            Decision::Allow | Decision::Review => {
                self.movements.settle(reservation, Phase::Posted);
                transaction.settlement = Settlement::Posted;
            }
            Decision::Hold { ttl } => {
                self.movements.settle(reservation, Phase::GivenUp);
                let held = Place::Held(account.clone());
                self.movements.add(from, &held, fen, Phase::Posted);
                transaction.settlement = Settlement::Held;
                transaction.held_until = Some(now.after(ttl));
            }
            Decision::Block => {
                self.movements.settle(reservation, Phase::GivenUp);
                transaction.settlement = Settlement::Voided;
            }
        }
        if matches!(decision, Decision::Review | Decision::Hold { .. }) {
            self.queue.insert(seq);
        }
        self.settled(id, now);
    }

    /// What follows from a transaction's new settlement.
    fn settled(&mut self, id: &str, now: Time) {
        let transaction = &self.transactions[id];
        if transaction.settlement != Settlement::Held {
            self.waiting.remove(id);
        }
        match (transaction.kind.clone(), transaction.settlement) {
            (Kind::Send(packet), Settlement::Posted | Settlement::Released) => {
                self.open(&packet, now);
            }
            (
                Kind::Send(packet),
                Settlement::Voided | Settlement::Returned | Settlement::Frozen,
            ) => self.packets.get_mut(&packet).unwrap().blocked = true,
            (Kind::Claim(packet), _) => self.close_if_over(&packet, now),
            _ => {}
        }
    }

    pub(super) fn fall_back(&mut self, id: &str, now: Time) {
        let transaction = &self.transactions[id];
        let decision = match transaction.fen < self.limits.fallback_allow_fen_below {
            true => Decision::Allow,
            false => Decision::Hold { ttl: self.limits.hold_max() },
        };
        self.tell(now, Happening::FellBack { transaction: transaction.seq, decision });
        self.settle(id, decision, now);
    }

    pub(super) fn resolve(
        &mut self,
        id: &str,
        resolution: Resolution<'_>,
        actor: &str,
        reason: &str,
        now: Time,
    ) -> Result<Done, Refusal> {
        answered_for(actor, reason)?;
        let transaction = self.transactions.get(id).ok_or(Refusal::TransactionUnknown)?;
        let reviewed = transaction.decision == Some(Decision::Review);
        if reviewed && resolution == Resolution::Release && self.queue.remove(&transaction.seq) {
            return Ok(Done::Decided(Settlement::Posted));
        }
        if transaction.settlement != Settlement::Held {
            return Err(Refusal::NotHeld);
        }
        if let Resolution::Freeze { case } = resolution {
            named(case)?;
        }
        self.unhold(id, resolution, now);
        Ok(Done::Decided(self.transactions[id].settlement))
    }

    pub(super) fn end_hold(&mut self, id: &str, now: Time) {
        let (resolution, settlement) = match self.limits.hold_releases_on_expiry {
            true => (Resolution::Release, Settlement::Released),
            false => (Resolution::Return, Settlement::Returned),
        };
        let transaction = self.transactions[id].seq;
        self.tell(now, Happening::HoldEnded { transaction, settlement });
        self.unhold(id, resolution, now);
    }

    fn unhold(&mut self, id: &str, resolution: Resolution<'_>, now: Time) {
        let transaction = self.transactions.get_mut(id).unwrap();
        let (to, settlement) = match resolution {
            Resolution::Release => {
                let to = match transaction.kind {
                    Kind::Withdraw => Place::Transit(now.day()),
                    _ => transaction.to.clone(),
                };
                (to, Settlement::Released)
            }
            Resolution::Return => (transaction.back.clone(), Settlement::Returned),
            Resolution::Freeze { case } => {
                self.cases.insert(case.to_owned());
                (Place::Frozen(case.to_owned()), Settlement::Frozen)
            }
        };
        transaction.settlement = settlement;
        let held = Place::Held(transaction.account.clone());
        self.movements.add(&held, &to, transaction.fen, Phase::Posted);
        self.queue.remove(&transaction.seq);
        self.settled(id, now);
    }

    pub(super) fn thaw(
        &mut self,
        case: &str,
        account: &str,
        amount: Fen,
        actor: &str,
        reason: &str,
    ) -> Result<Done, Refusal> {
        answered_for(actor, reason)?;
        if !self.cases.contains(case) {
            return Err(Refusal::CaseUnknown);
        }
        named(account)?;
        let fen = amount_allowed(amount)?;
        let from = Place::Frozen(case.to_owned());
        self.funded(&from, fen)?;
        self.movements.add(&from, &change_of(account), fen, Phase::Posted);
        Ok(Done::Applied)
    }

    pub(super) fn clear(&mut self, day: Day) -> Result<Done, Refusal> {
        if self.clock < day.end().after(self.limits.decision_max()) {
            return Err(Refusal::DayNotOver);
        }
        if !self.cleared.insert(day) {
            return Err(Refusal::DayCleared);
        }
        let transit = Place::Transit(day);
        let net = i64::try_from(-self.movements.balance(&transit)).unwrap();
        let (from, to) = match net >= 0 {
            true => (Place::Bank, transit),
            false => (transit, Place::Bank),
        };
        self.movements.add(&from, &to, net.unsigned_abs(), Phase::Posted);
        Ok(Done::Cleared { net })
    }
}

/// A person has a name and a reason.
fn answered_for(actor: &str, reason: &str) -> Result<(), Refusal> {
    let said = |text: &str, bytes_max| !text.trim().is_empty() && text.len() <= bytes_max;
    match said(actor, ID_BYTES_MAX) && said(reason, REASON_BYTES_MAX) {
        true => Ok(()),
        false => Err(Refusal::ActorOrReasonMissing),
    }
}
