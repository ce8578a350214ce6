//! Groups in which two accounts both act: a keeper by account, and what puts two answers together.
//!
//! A group joins any two of its members, so that no key has a transaction's two sides. Each side's
//! keeper tells its groups to the worker that read the transaction, within the same step; there the
//! two lists are compared, and nothing is kept.

use serde::{Deserialize, Serialize};

use crate::features::state::{LOOK_AHEAD, Usage};
use crate::features::state_map::{KeyedState, StateMap};
use crate::keyed::{Addressing, Asked, Replies, Requests};
use crate::snapshot::kept_in;

/// The window of acts: 30 days.
pub(crate) const ACTS_WINDOW_MS: i64 = 30 * 24 * 3_600_000;

/// So many groups of an account are kept, those in which it acted last: each transaction carries
/// the lists of both its sides. People act in a dozen; who acts in more spreads advertisements.
pub(crate) const GROUPS_MAX: usize = 64;

/// What a request to an account's keeper is about, by bit of its streams.
pub(crate) const ACTS: u32 = 1;
pub(crate) const AS_PAYER: u32 = 2;
pub(crate) const AS_PAYEE: u32 = 4;
pub(crate) const WITH_ONESELF: u32 = 8;

/// A list's streams: of the payer or the payee, whether groups are left out, and above the length.
const IS_CUT: u32 = 16;
const LENGTH_SHIFT: u32 = 8;

/// The groups of one account.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Acts {
    /// A group's 64 bits and the last act in it, oldest first.
    groups: Vec<(u64, i64)>,
    /// The last act in a group that gave way to another.
    gave_way: Option<i64>,
}

impl Acts {
    fn act(&mut self, group: u64, time: i64) {
        self.expire(time);
        if let Some(at) = self.groups.iter().rposition(|(held, _)| *held == group) {
            self.groups.remove(at);
        } else if self.groups.len() == GROUPS_MAX {
            let (_, last) = self.groups.remove(0);
            self.gave_way = Some(last);
        }
        if self.groups.len() == self.groups.capacity() {
            // Doubling wastes more than it saves.
            self.groups.reserve_exact((self.groups.len() / 2).max(2));
        }
        self.groups.push((group, time));
    }
}

impl KeyedState for Acts {
    fn expire(&mut self, time: i64) {
        let until = time.saturating_sub(ACTS_WINDOW_MS);
        let over = self.groups.iter().take_while(|(_, last)| *last <= until).count();
        self.groups.drain(..over);
        if over > 0 && self.groups.len() * 4 < self.groups.capacity() {
            self.groups.shrink_to(self.groups.len());
        }
        self.gave_way = self.gave_way.filter(|last| *last > until);
    }

    fn is_over(&self) -> bool {
        // What gave way was older than all that is held.
        self.groups.is_empty()
    }

    fn touch(&self) -> u64 {
        self.groups.first().map_or(0, |(group, _)| *group)
    }

    fn events(&self) -> usize {
        self.groups.len()
    }

    fn heap_bytes(&self) -> usize {
        self.groups.capacity() * size_of::<(u64, i64)>()
    }
}

/// One worker's part of the accounts.
pub(crate) struct ActsState {
    accounts: StateMap<Acts>,
    peers: usize,
}

kept_in!(ActsState, accounts);

impl ActsState {
    pub(crate) fn new(peers: usize) -> ActsState {
        ActsState { accounts: StateMap::new(), peers }
    }

    /// Applies requests that are in total order: the lists that they ask for, for the worker that
    /// read the events.
    pub(crate) fn apply(&mut self, requests: &Requests) -> Requests {
        let to = Addressing {
            origin: requests.origin as usize,
            peers: self.peers,
            first: requests.first,
        };
        let mut lists = Requests::batches(&to, 0, 0).swap_remove(to.origin);
        let mut words = requests.words.iter();
        for at in 0..requests.asked.len() {
            if at % LOOK_AHEAD == 0 {
                self.accounts.look_ahead(requests.keys_from(at));
            }
            let (key, Asked { time, streams: asked, .. }) = (requests.key(at), requests.asked[at]);
            if asked & ACTS != 0
                && let Some(group) = words.next()
            {
                self.accounts.entry(key, time).act(*group, time);
            }
            if asked & !ACTS == 0 {
                continue;
            }
            let mut streams = asked & !ACTS;
            if asked & WITH_ONESELF == 0
                && let Some(acts) = self.accounts.get(key)
            {
                acts.expire(time);
                streams |= (acts.groups.len() as u32) << LENGTH_SHIFT;
                streams |= if acts.gave_way.is_some() { IS_CUT } else { 0 };
                lists.words.extend(acts.groups.iter().map(|(group, _)| *group));
            }
            lists.push(requests.asked[at].row as usize, key, time, streams, 0);
        }
        lists
    }

    /// What the state takes up now; a walk over everything, for the report.
    pub(crate) fn usage(&self) -> Usage {
        self.accounts.usage()
    }
}

/// Puts the lists of a slice's transactions together, and answers in the order of rows: how many
/// groups are on both lists, and how many of the two lists are cut.
pub(crate) fn compare(batches: &[Requests], replies: &mut Replies) {
    let mut lists = Vec::with_capacity(batches.iter().map(|batch| batch.asked.len()).sum());
    for batch in batches {
        let mut rest = batch.words.as_slice();
        for &Asked { row, streams, .. } in &batch.asked {
            let (list, after) = rest.split_at((streams >> LENGTH_SHIFT) as usize);
            rest = after;
            lists.push((row, streams, list));
        }
    }
    lists.sort_unstable_by_key(|(row, streams, _)| (*row, streams & AS_PAYEE));
    for pair in lists.chunk_by(|one, next| one.0 == next.0) {
        let (common, cut) = match pair {
            [(_, one, ours), (_, other, theirs)] => {
                let common = ours.iter().filter(|group| theirs.contains(group)).count();
                (common, (one & IS_CUT).count_ones() + (other & IS_CUT).count_ones())
            }
            // With oneself.
            _ => (0, 0),
        };
        replies.rows.push(pair[0].0);
        replies.lookups.push(1);
        replies.values.extend([common as u64, u64::from(cut)]);
    }
}

#[cfg(test)]
#[path = "common_tests.rs"]
mod tests;
