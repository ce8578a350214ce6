//! The accounts that matter to a judgement: those with an alert, and those that committed fraud.

use std::cmp::Reverse;
use std::hint::black_box;

use compact_str::CompactString;
use hashbrown::HashTable;
use serde::Serialize;

use super::ids;
use crate::score::Verdict;

/// How many accounts the report names.
const NAMED_MAX: usize = 20;

/// An account that got alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountFinding {
    /// Its id.
    pub account_id: String,
    /// Its highest score.
    pub score_max: u16,
    /// Transactions that were not allowed.
    pub alerts: u64,
    /// Of these the held and blocked.
    pub stops: u64,
    /// Money in its alerts.
    pub alert_fen: i64,
    /// Of this the held and blocked.
    pub stopped_fen: i64,
    /// When it got its first alert.
    pub first_alert: i64,
    /// Whether a label that judges first says fraud; none without labels.
    pub fraud: Option<bool>,
}

#[derive(Clone, Copy)]
struct Account {
    first_alert: i64,
    alert_fen: i64,
    stopped_fen: i64,
    alerts: u32,
    stops: u32,
    score_max: u16,
    /// A bit a kind of subject: whether a transaction of this account was fraud by those labels.
    fraud: u8,
    /// The same of the warm-up, which is not judged: nobody who is known from it is honest.
    fraud_before: u8,
    /// Whether it was stopped in the warm-up: what it does later is done by one that is stopped already.
    stopped_before: bool,
}

const NEW: Account = Account {
    first_alert: i64::MAX,
    alert_fen: 0,
    stopped_fen: 0,
    alerts: 0,
    stops: 0,
    score_max: 0,
    fraud: 0,
    fraud_before: 0,
    stopped_before: false,
};

impl Account {
    fn is_stopped(&self) -> bool {
        self.stops > 0 || self.stopped_before
    }
}

/// How many accounts of which truth were met by alerts and stops. An account whose fraud is all in
/// the warm-up is counted as neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AccountsTouched {
    /// Accounts with fraud.
    pub fraud: u64,
    /// Of these with an alert.
    pub fraud_alerted: u64,
    /// Of these with a hold or block.
    pub fraud_stopped: u64,
    /// Accounts with an alert, all of whose transactions are honest, also in the warm-up.
    pub honest_alerted: u64,
    /// Of these with a hold or block.
    pub honest_stopped: u64,
}

#[derive(Default)]
pub(super) struct Accounts {
    table: HashTable<Entry>,
    /// The stopped ones once more. Of most transactions nothing is asked but whether their account
    /// is one, and these few are near the processor when all accounts are not.
    stopped: HashTable<CompactString>,
}

/// An account and what is known of it: as long as a line of a processor's cache.
type Entry = (CompactString, Account);

/// One transaction, as far as its account is concerned.
pub(super) struct Act {
    pub(super) verdict: Verdict,
    pub(super) score: u16,
    pub(super) fen: i64,
    pub(super) time: i64,
    pub(super) fraud: u8,
}

impl Accounts {
    /// Looks up the account of a transaction that is about to be added, so that the waits for the
    /// memory of several overlap. Of one that is allowed, whether its account is stopped by now.
    #[inline]
    pub(super) fn look_ahead(&self, hash: u64, id: &str, verdict: Verdict) -> bool {
        if verdict == Verdict::Allow {
            return self.is_stopped(hash, id);
        }
        black_box(self.table.find(hash, |(held, _)| held.len() == id.len()).is_some());
        false
    }

    /// Enters a transaction and says whether its account had been stopped before it, which is known
    /// already if `stopped`. An account is kept from its first alert or fraud on, so that memory
    /// follows findings and not people.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, id: &str, act: &Act, stopped: bool) -> bool {
        let alert = act.verdict > Verdict::Allow;
        if !alert && act.fraud == 0 {
            return stopped || self.is_stopped(hash, id);
        }
        let account = self.account(hash, id);
        let stopped_before = account.is_stopped();
        account.fraud |= act.fraud;
        if alert {
            account.alerts = account.alerts.saturating_add(1);
            account.alert_fen = account.alert_fen.saturating_add(act.fen);
            account.first_alert = account.first_alert.min(act.time);
            account.score_max = account.score_max.max(act.score);
        }
        if act.verdict >= Verdict::Hold {
            account.stops = account.stops.saturating_add(1);
            account.stopped_fen = account.stopped_fen.saturating_add(act.fen);
            if !stopped_before {
                self.note_stopped(hash, id);
            }
        }
        stopped_before
    }

    /// Enters a transaction of the warm-up that is fraud, or is stopped.
    pub(super) fn add_before(&mut self, hash: u64, id: &str, fraud: u8, stopped: bool) {
        if fraud == 0 && !stopped {
            return;
        }
        let account = self.account(hash, id);
        let stopped_before = account.is_stopped();
        account.fraud_before |= fraud;
        account.stopped_before |= stopped;
        if stopped && !stopped_before {
            self.note_stopped(hash, id);
        }
    }

    fn account(&mut self, hash: u64, id: &str) -> &mut Account {
        let entry = self.table.entry(hash, |(held, _)| held == id, |(held, _)| ids::hash(held));
        &mut entry.or_insert_with(|| (id.into(), NEW)).into_mut().1
    }

    fn is_stopped(&self, hash: u64, id: &str) -> bool {
        self.stopped.find(hash, |held| held == id).is_some()
    }

    fn note_stopped(&mut self, hash: u64, id: &str) {
        self.stopped.insert_unique(hash, id.into(), |held| ids::hash(held));
    }

    fn each(&self) -> impl Iterator<Item = &Account> {
        self.table.iter().map(|(_, account)| account)
    }

    /// Accounts with an alert, and with a hold or block.
    pub(super) fn alerted(&self) -> (u64, u64) {
        let count =
            |test: fn(&Account) -> bool| self.each().filter(|account| test(account)).count() as u64;
        (count(|account| account.alerts > 0), count(|account| account.stops > 0))
    }

    /// By the truth of the kind of subject whose bit is `bit`.
    pub(super) fn touched(&self, bit: u8) -> AccountsTouched {
        let mut touched = AccountsTouched::default();
        for account in self.each() {
            let (alerted, stopped) = (u64::from(account.alerts > 0), u64::from(account.stops > 0));
            if account.fraud & bit != 0 {
                touched.fraud += 1;
                touched.fraud_alerted += alerted;
                touched.fraud_stopped += stopped;
            } else if account.fraud_before & bit == 0 {
                touched.honest_alerted += alerted;
                touched.honest_stopped += stopped;
            }
        }
        touched
    }

    /// The accounts to look at first: by score, then money, then id. `bit` is that of the labels
    /// that judge first, if there are any.
    pub(super) fn top(&self, bit: Option<u8>) -> Vec<AccountFinding> {
        let alerted = |(_, account): &&Entry| account.alerts > 0;
        let mut order: Vec<&Entry> = self.table.iter().filter(alerted).collect();
        if order.len() > NAMED_MAX {
            order.select_nth_unstable_by_key(NAMED_MAX, place);
            order.truncate(NAMED_MAX);
        }
        order.sort_unstable_by_key(place);
        let finding = |(id, account): &Entry| AccountFinding {
            account_id: id.to_string(),
            score_max: account.score_max,
            alerts: account.alerts.into(),
            stops: account.stops.into(),
            alert_fen: account.alert_fen,
            stopped_fen: account.stopped_fen,
            first_alert: account.first_alert,
            fraud: bit.map(|bit| (account.fraud | account.fraud_before) & bit != 0),
        };
        order.into_iter().map(finding).collect()
    }
}

/// What stands first has the highest score, then the most money; no two are equal.
fn place<'a>(&(id, account): &&'a Entry) -> (Reverse<(u16, i64)>, &'a str) {
    (Reverse((account.score_max, account.alert_fen)), id)
}
