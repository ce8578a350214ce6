//! What becomes of a transaction that was blocked: honest people try once more or give up, and
//! remember; rings take note.

use super::{Awaited, Subject, What, World};
use crate::simulate::clockwork::Act;
use crate::simulate::world::{Account, SchemeId};

impl World {
    /// A transaction is void.
    pub(super) fn blocked(&mut self, awaited: Awaited) {
        if self.fraud_of(&awaited.subject).is_some() {
            return self.ring_stopped(awaited.subject);
        }
        let closed = self.closed();
        // A share that was blocked is gone: there is nothing to try again.
        let retries = !matches!(awaited.what, What::Claim { .. })
            && !awaited.again
            && closed.rng.below(1_000) < closed.reactions.retry_permille as u64;
        let time = closed.reactions.retry_after;
        if !retries {
            return self.gives_up(awaited);
        }
        closed.tally.honest.retried += 1;
        let time = self.now + time;
        match awaited.what {
            What::Withdraw => {
                let Subject { actor, amount_fen, scheme, .. } = awaited.subject;
                self.at(time, move |world| {
                    world.closed().again = true;
                    world.withdraw(actor, amount_fen, scheme);
                    world.closed().again = false;
                });
            }
            what => self.plan(time, Act::Again(Box::new(what))),
        }
    }

    /// What was blocked is tried once more. Whoever has to put money in first may be blocked twice
    /// and try a third time.
    pub(in crate::simulate) fn try_again(&mut self, what: What) {
        self.closed().again = true;
        match what {
            What::Send { offer, takers, then, .. } => self.send(offer, takers, then),
            What::Pay(transfer) => self.pay(transfer),
            What::Claim { .. } | What::Withdraw => {}
        }
        self.closed().again = false;
    }

    /// An honest person lets it be, and does without for a time.
    pub(super) fn gives_up(&mut self, awaited: Awaited) {
        let actor = awaited.subject.actor;
        let until = self.now + self.closed().reactions.shun;
        let closed = self.closed();
        closed.tally.gave_up(&awaited.subject);
        if !matches!(awaited.what, What::Claim { .. }) {
            closed.shunned.insert(actor, until);
        }
    }

    /// Whether somebody has had enough: an honest person who has given up lately, or a ring that
    /// was stopped wherever it went.
    pub(in crate::simulate) fn stays_away(
        &mut self,
        who: Account,
        amount_fen: i64,
        scheme: Option<SchemeId>,
    ) -> bool {
        let now = self.now;
        let fraud = scheme.is_some_and(|scheme| self.scheme(scheme).fraud);
        let Some(closed) = &mut self.closed else { return false };
        if fraud {
            return closed.rings.has_given_up(scheme);
        }
        let away = closed.shunned.get(&who).is_some_and(|until| now < *until);
        if away {
            closed.tally.honest.forgone.add(amount_fen);
        }
        away
    }
}
