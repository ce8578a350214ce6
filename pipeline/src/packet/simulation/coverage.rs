//! What the seeds reached, so that a workload that no longer gets somewhere is noticed.

use std::collections::BTreeMap;
use std::fmt;

use crate::packet::engine::{PacketState, Rejected};
use crate::packet::reply::{Done, Effect, Happening, Refusal, Reply, Settlement};

/// How often each was reached, by its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Coverage {
    counts: BTreeMap<String, u64>,
}

impl Coverage {
    pub(super) fn rejected(&mut self, why: Rejected) {
        self.count("rejected", format!("{why:?}"));
    }

    pub(super) fn repeated(&mut self) {
        self.count("repeated", "request".to_owned());
    }

    pub(super) fn replied(&mut self, reply: &Reply) {
        match reply.result {
            Err(refusal) => self.count("refusal", format!("{refusal:?}")),
            Ok(Done::Claimed { tilt: Some(_), .. }) => self.count("done", "Tilted".to_owned()),
            Ok(done) => self.count("done", name(&format!("{done:?}"))),
        }
    }

    pub(super) fn happened(&mut self, effect: &Effect) {
        self.count("happening", happening(&effect.what).to_owned());
    }

    pub(super) fn packet(&mut self, state: PacketState) {
        self.count("packet", format!("{state:?}"));
    }

    pub(super) fn transaction(&mut self, settlement: Settlement) {
        self.count("transaction", format!("{settlement:?}"));
    }

    pub(super) fn add(&mut self, other: &Coverage) {
        for (name, count) in &other.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
    }

    /// # Panics
    /// When something was never reached.
    pub(super) fn assert_complete(&self) {
        let mut all = Vec::new();
        all.extend(REFUSALS.iter().map(|refusal| format!("refusal {refusal:?}")));
        all.extend(STATES.iter().map(|state| format!("packet {state:?}")));
        all.extend(SETTLEMENTS.iter().map(|settlement| format!("transaction {settlement:?}")));
        all.extend(HAPPENINGS.iter().map(|name| format!("happening {name}")));
        all.extend(["rejected IdInvalid", "rejected IdTaken", "done Tilted"].map(str::to_owned));
        all.retain(|name| !self.counts.contains_key(name));
        assert!(all.is_empty(), "no seed reached {all:?} of {self}");
    }

    fn count(&mut self, kind: &str, name: String) {
        *self.counts.entry(format!("{kind} {name}")).or_default() += 1;
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts.iter().try_for_each(|(name, count)| writeln!(f, "{count:>9} {name}"))
    }
}

/// The first word of a debug text.
fn name(debug: &str) -> String {
    debug.split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// Every refusal.
const REFUSALS: [Refusal; Refusal::DayCleared as usize + 1] = [
    Refusal::IdInvalid,
    Refusal::AmountZero,
    Refusal::AmountTooLarge,
    Refusal::FundsInsufficient,
    Refusal::LedgerFull,
    Refusal::SameAccount,
    Refusal::PacketIdTaken,
    Refusal::SharesOutOfLimits,
    Refusal::ShareAmountOutOfLimits,
    Refusal::SharesUneven,
    Refusal::SharesNotOne,
    Refusal::ReleaseOutOfLimits,
    Refusal::TiltTooStrong,
    Refusal::DailyLimit,
    Refusal::RelayNotFinished,
    Refusal::RelayNotYourTurn,
    Refusal::RelayWentOn,
    Refusal::NotMember,
    Refusal::PacketUnknown,
    Refusal::PacketWaiting,
    Refusal::PacketBlocked,
    Refusal::PacketNotYetOpen,
    Refusal::PacketExpired,
    Refusal::PacketExhausted,
    Refusal::NotNamed,
    Refusal::ClaimedAlready,
    Refusal::SenderMayNotClaim,
    Refusal::PasswordWrong,
    Refusal::GuessesTooMany,
    Refusal::TransactionUnknown,
    Refusal::DecidedOtherwise,
    Refusal::NotHeld,
    Refusal::HoldTooLong,
    Refusal::ActorOrReasonMissing,
    Refusal::CaseUnknown,
    Refusal::DayNotOver,
    Refusal::DayCleared,
];
const STATES: [PacketState; PacketState::Blocked as usize + 1] = [
    PacketState::Waiting,
    PacketState::Open,
    PacketState::Exhausted,
    PacketState::Expired,
    PacketState::Closed,
    PacketState::Blocked,
];
const SETTLEMENTS: [Settlement; Settlement::Frozen as usize + 1] = [
    Settlement::Undecided,
    Settlement::Posted,
    Settlement::Voided,
    Settlement::Held,
    Settlement::Released,
    Settlement::Returned,
    Settlement::Frozen,
];
const HAPPENINGS: [&str; 7] =
    ["FellBack", "HoldEnded", "Opened", "Exhausted", "Expired", "Refunded", "Closed"];

/// The name of a happening. A new one does not compile until it has a name here.
fn happening(what: &Happening) -> &'static str {
    match what {
        Happening::FellBack { .. } => "FellBack",
        Happening::HoldEnded { .. } => "HoldEnded",
        Happening::Opened { .. } => "Opened",
        Happening::Exhausted { .. } => "Exhausted",
        Happening::Expired { .. } => "Expired",
        Happening::Refunded { .. } => "Refunded",
        Happening::Closed { .. } => "Closed",
    }
}
