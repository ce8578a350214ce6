//! Accounts on which there was an alert: what decisions tell the features of later transactions.
//!
//! A decision other than allow is an alert on the account that acts. A feature that is only there
//! for accounts with an alert before its moment depends on decisions, and they depend on it. That
//! goes around only forwards in time: what a transaction sees is at least a graph tick before it.
//! But a step may be long, and all workers decide on their shares of it at once.
//!
//! So they *agree* on each step's alerts, in rounds. In the first, each decides on its share as if
//! there were no new alerts in the others', and tells all what alerts it found. While any of these
//! is news to a later share, each decides anew what hangs on it and tells all again. Shares
//! are in total order, so a worker depends on those with smaller numbers only: after as many rounds
//! as there are workers before it, what it tells is final. There are never more rounds than
//! workers, most often one, and what is agreed does not depend on who was faster.
//!
//! Nobody waits for anything but what the others tell of the same step. Each of them tells it as
//! soon as the step's replies are there and the step before is agreed, and replies wait for no
//! alert: the first step that is not agreed is always agreed in the end.

use std::collections::BTreeMap;

use hashbrown::HashTable;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::features::funds::GraphTick;
use crate::features::state::Usage;
use crate::keyed::{KEY_GROUPS, Key, halves};
use crate::snapshot::{self, Broken};

/// The first alert on each of some accounts: its effective time, by the account's hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alerts(FxHashMap<u128, (i64, u32)>);

/// Accounts on which there was an alert in the steps that are agreed, for as long as the run.
struct Alerted(Vec<HashTable<First>>);

/// The first alert on an account: 32 bytes, and one of the table's.
#[derive(Serialize, Deserialize)]
struct First {
    hash: [u64; 2],
    time: i64,
    check: u32,
}

/// What a worker tells another of its share of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) to: u32,
    from: u32,
    step: u64,
    round: u32,
    alerts: Alerts,
    /// The effective time of its last event.
    last: Option<i64>,
}

/// What comes of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Not all have told what they found.
    Wait,
    /// There is another round.
    Again,
    /// The step is agreed.
    Agreed,
}

/// One worker's part in the agreements.
pub(crate) struct Agreement {
    index: usize,
    peers: usize,
    tick: GraphTick,
    before: Alerted,
    step: u64,
    round: u32,
    /// What each worker told in the last round.
    found: Vec<Alerts>,
    /// What those before this one told, together.
    earlier: Alerts,
    /// What was told of the round in hand, and of later ones by those who are ahead.
    told: BTreeMap<(u64, u32), Vec<Told>>,
}

impl Agreement {
    pub(crate) fn new(index: usize, peers: usize, tick: GraphTick) -> Agreement {
        Agreement {
            index,
            peers,
            tick,
            before: Alerted((0..KEY_GROUPS).map(|_| HashTable::new()).collect()),
            step: 0,
            round: 0,
            found: vec![Alerts::default(); peers],
            earlier: Alerts::default(),
            told: BTreeMap::new(),
        }
    }

    /// Begins with the next step.
    pub(crate) fn begin(&mut self, step: u64) {
        (self.step, self.round) = (step, 0);
        self.found.fill(Alerts::default());
        self.earlier = Alerts::default();
    }

    /// Where this worker decides on its share.
    pub(crate) fn share(&self) -> Share<'_> {
        Share { agreement: self, own: Alerts::default() }
    }

    /// Notes what this worker found, and returns what it tells the others.
    pub(crate) fn tell(&mut self, alerts: &Alerts, last: Option<i64>) -> Vec<Told> {
        let (from, step, round) = (self.index as u32, self.step, self.round);
        let told = |to| Told { to, from, step, round, alerts: alerts.clone(), last };
        let (own, others) = (0..self.peers as u32).map(told).partition(|told| told.to == from);
        let own: Vec<Told> = own;
        own.into_iter().for_each(|told| self.hear(told));
        others
    }

    /// Takes what another tells.
    pub(crate) fn hear(&mut self, told: Told) {
        self.told.entry((told.step, told.round)).or_default().push(told);
    }

    /// Goes on as far as there is something to go on.
    pub(crate) fn turn(&mut self) -> Turn {
        let round = (self.step, self.round);
        if self.told.get(&round).is_none_or(|told| told.len() < self.peers) {
            return Turn::Wait;
        }
        let mut told = self.told.remove(&round).unwrap_or_default();
        told.sort_by_key(|told| told.from);
        let lasts: Vec<Option<i64>> = told.iter().map(|told| told.last).collect();
        let found: Vec<Alerts> = told.into_iter().map(|told| told.alerts).collect();
        let before = std::mem::replace(&mut self.found, found);
        let is_news = |from: usize| {
            let seen = lasts[from + 1..].iter().flatten().max().map(|last| self.tick.known(*last));
            let changed = before[from].difference(&self.found[from]);
            changed.0.values().any(|(time, _)| Some(*time) < seen)
        };
        if !(0..self.peers).any(is_news) {
            for alerts in &self.found {
                self.before.add(alerts);
            }
            return Turn::Agreed;
        }
        self.round += 1;
        assert!((self.round as usize) < self.peers, "the last worker's alerts are news to nobody");
        let mut earlier = Alerts::default();
        for alerts in &self.found[..self.index] {
            alerts.each(|account, time| earlier.add(account, time));
        }
        self.earlier = earlier;
        Turn::Again
    }

    /// The accounts with alerts, as bytes by key group.
    pub(crate) fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>)) {
        let Alerted(groups) = &self.before;
        for (number, group) in groups.iter().enumerate() {
            if !group.is_empty() {
                put(number, snapshot::encode(&group.iter().collect::<Vec<&First>>()));
            }
        }
    }

    /// Takes in the accounts of a key group.
    pub(crate) fn load(&mut self, number: usize, bytes: &[u8]) -> Result<(), Broken> {
        for first in snapshot::decode::<Vec<First>>(bytes)? {
            let rehash = |first: &First| first.hash[0];
            self.before.0[number].insert_unique(first.hash[0], first, rehash);
        }
        Ok(())
    }

    /// What the accounts take up now.
    pub(crate) fn usage(&self) -> Usage {
        let Alerted(groups) = &self.before;
        let keys: usize = groups.iter().map(HashTable::len).sum();
        let bytes: usize = groups.iter().map(HashTable::allocation_size).sum();
        Usage { keys: keys as u64, bytes: bytes as u64, ..Usage::default() }
    }
}

/// A worker's share of a step while it decides on it, transaction by transaction in total order.
pub(crate) struct Share<'a> {
    agreement: &'a Agreement,
    own: Alerts,
}

impl Share<'_> {
    /// Whether there was an alert on an account before the moment as of which a transaction at
    /// `time` sees graphs.
    pub(crate) fn is_alerted(&self, account: Key, time: i64) -> bool {
        let agreement = self.agreement;
        // Times rise from one to the next.
        let first = agreement.before.first(account);
        let first = first.or_else(|| agreement.earlier.first(account));
        let first = first.or_else(|| self.own.first(account));
        first.is_some_and(|first| first < agreement.tick.known(time))
    }

    /// Takes note of an alert.
    pub(crate) fn alert(&mut self, account: Key, time: i64) {
        if self.agreement.before.first(account).is_none() {
            self.own.add(account, time);
        }
    }

    /// The alerts that are not of steps before.
    pub(crate) fn finish(self) -> Alerts {
        self.own
    }
}

impl Alerts {
    fn first(&self, account: Key) -> Option<i64> {
        self.0.get(&account.hash).map(|(time, check)| account.time_of(*time, *check))
    }

    fn add(&mut self, account: Key, time: i64) {
        if account != Key::NULL && self.first(account).is_none_or(|first| time < first) {
            self.0.insert(account.hash, (time, account.check));
        }
    }

    fn each(&self, mut each: impl FnMut(Key, i64)) {
        self.0.iter().for_each(|(&hash, &(time, check))| each(Key { hash, check }, time));
    }

    /// Alerts that only one of the two has; of those with different times, the first.
    fn difference(&self, other: &Alerts) -> Alerts {
        let mut difference = Alerts::default();
        for (one, two) in [(self, other), (other, self)] {
            one.each(|account, time| {
                if two.first(account) != Some(time) {
                    difference.add(account, time);
                }
            });
        }
        difference
    }
}

impl Alerted {
    fn first(&self, account: Key) -> Option<i64> {
        let same = |first: &First| first.hash == halves(account.hash);
        let first = self.0[account.group()].find(account.hash as u64, same)?;
        Some(account.time_of(first.time, first.check))
    }

    fn add(&mut self, alerts: &Alerts) {
        alerts.each(|account, time| {
            // Workers are in total order: what is there is first.
            if self.first(account).is_none() {
                let Key { hash, check } = account;
                let first = First { hash: halves(hash), time, check };
                let rehash = |first: &First| first.hash[0];
                self.0[account.group()].insert_unique(hash as u64, first, rehash);
            }
        });
    }
}

impl Key {
    /// A time that is filed under this key's hash.
    fn time_of(self, time: i64, check: u32) -> i64 {
        assert!(self.check == check, "two keys share the 128-bit hash {:032x}", self.hash);
        time
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A transaction by an account: it is decided against if `seen` is how it finds the account.
    #[derive(Clone, Copy, Debug)]
    struct Act {
        time: i64,
        account: u8,
        /// Whether it depends on an alert on this other account.
        other: u8,
        /// Whether the alert is there without the other's, and with it.
        alert: [bool; 2],
    }

    fn key(account: u8) -> Key {
        Key::of(&[account])
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = (0_i64..15, 0_u8..5, 0_u8..5, any::<[bool; 2]>());
        prop::collection::vec(act, 1..60).prop_map(|parts| {
            let mut time = 0;
            let act = |(gap, account, other, alert)| {
                time += gap;
                Act { time, account, other, alert }
            };
            parts.into_iter().map(act).collect()
        })
    }

    /// The alerts, one transaction after the other.
    fn alone(acts: &[Act], tick: GraphTick) -> Vec<bool> {
        let mut found: Vec<bool> = Vec::new();
        for (at, act) in acts.iter().enumerate() {
            let seen = (0..at).any(|before| {
                let earlier = &acts[before];
                found[before] && earlier.account == act.other && earlier.time < tick.known(act.time)
            });
            found.push(act.alert[usize::from(seen)]);
        }
        found
    }

    fn decide(agreement: &Agreement, acts: &[Act]) -> (Vec<bool>, Alerts) {
        let mut share = agreement.share();
        let mut found = Vec::new();
        for act in acts {
            let alert = act.alert[usize::from(share.is_alerted(key(act.other), act.time))];
            if alert {
                share.alert(key(act.account), act.time);
            }
            found.push(alert);
        }
        (found, share.finish())
    }

    /// All workers together, each in turn; what is told arrives in an order of its own.
    fn together(acts: &[Act], tick: GraphTick, peers: usize, step: usize) -> Vec<bool> {
        let mut workers: Vec<Agreement> =
            (0..peers).map(|index| Agreement::new(index, peers, tick)).collect();
        let mut decided = Vec::new();
        for (number, acts) in acts.chunks(step).enumerate() {
            let cut = |part: usize| acts.len() * part / peers;
            let shares: Vec<&[Act]> =
                (0..peers).map(|index| &acts[cut(index)..cut(index + 1)]).collect();
            workers.iter_mut().for_each(|worker| worker.begin(number as u64));
            let mut found: Vec<(Vec<bool>, Alerts)> =
                workers.iter().zip(&shares).map(|(worker, acts)| decide(worker, acts)).collect();
            loop {
                let mut told = Vec::new();
                for ((worker, found), acts) in workers.iter_mut().zip(&found).zip(&shares) {
                    told.extend(worker.tell(&found.1, acts.last().map(|act| act.time)));
                }
                for told in told.into_iter().rev() {
                    assert_eq!(workers[told.to as usize].turn(), Turn::Wait);
                    workers[told.to as usize].hear(told);
                }
                let turns: Vec<Turn> = workers.iter_mut().map(Agreement::turn).collect();
                assert!(turns.iter().all(|turn| *turn == turns[0]), "they agree on the round");
                if turns[0] == Turn::Agreed {
                    break;
                }
                for ((worker, found), acts) in workers.iter().zip(&mut found).zip(&shares) {
                    *found = decide(worker, acts);
                }
            }
            decided.extend(found.into_iter().flat_map(|(found, _)| found));
        }
        decided
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever depends on what: alerts come and go from round to round.
        #[test]
        fn workers_agree_on_what_one_alone_decides(
            acts in acts(),
            tick in 1_i64..40,
            peers in 1_usize..9,
            step in 1_usize..70,
        ) {
            let tick = GraphTick(tick);
            prop_assert_eq!(together(&acts, tick, peers, step), alone(&acts, tick));
        }
    }

    /// Nine workers with one transaction each, every one of which depends on the one before.
    #[test]
    fn a_chain_through_all_workers_is_agreed_in_as_many_rounds() {
        let act = |at: u8| Act {
            time: 10 * i64::from(at),
            account: at,
            other: at.wrapping_sub(1),
            alert: if at % 2 == 1 { [false, true] } else { [true, false] },
        };
        let acts: Vec<Act> = (0..9).map(act).collect();
        let tick = GraphTick(1);
        assert_eq!(together(&acts, tick, 9, 9), alone(&acts, tick));
        assert!(alone(&acts, tick)[1..3].contains(&true));
    }
}
