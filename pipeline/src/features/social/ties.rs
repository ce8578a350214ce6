//! Keyed by pair: in which groups two accounts deal with each other.

use serde::{Deserialize, Serialize};

use crate::features::state::recents::Recents;
use crate::features::state::{LOOK_AHEAD, Usage};
use crate::features::state_map::{KeyedState, StateMap};
use crate::keyed::{Replies, Requests};
use crate::snapshot::kept_in;

/// The window of ties: 30 days.
pub(crate) const TIE_WINDOW_MS: i64 = 30 * 24 * 3_600_000;

/// The groups in which one pair dealt, in the order in which it last did in each.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tie {
    groups: Recents,
}

impl Tie {
    /// The pair deals in a group; events come in total order.
    pub(crate) fn take(&mut self, group: [u64; 2], time: i64) {
        self.expire(time);
        self.groups.see(group, time, &mut [], std::iter::empty());
    }

    /// In how many groups it dealt.
    pub(crate) fn groups(&mut self, time: i64) -> i64 {
        self.expire(time);
        self.groups.len() as i64
    }
}

impl KeyedState for Tie {
    fn expire(&mut self, time: i64) {
        let until = time.saturating_sub(TIE_WINDOW_MS);
        while self.groups.oldest().is_some_and(|last| last <= until) {
            self.groups.forget_oldest();
        }
        self.groups.compact(&mut [], std::iter::empty());
    }

    fn is_over(&self) -> bool {
        self.groups.len() == 0
    }

    fn touch(&self) -> u64 {
        self.groups.touch()
    }

    fn events(&self) -> usize {
        self.groups.len()
    }

    fn heap_bytes(&self) -> usize {
        self.groups.heap_bytes()
    }
}

/// One worker's part of the ties.
pub(crate) struct TiesState {
    ties: StateMap<Tie>,
}

kept_in!(TiesState, ties);

impl TiesState {
    pub(crate) fn new() -> TiesState {
        TiesState { ties: StateMap::new() }
    }

    /// Applies requests that are in total order, and answers them in the same order.
    pub(crate) fn apply(&mut self, requests: &Requests, replies: &mut Replies) {
        let mut words = requests.words.chunks_exact(2);
        for at in 0..requests.asked.len() {
            if at % LOOK_AHEAD == 0 {
                self.ties.look_ahead(requests.keys_from(at));
            }
            let key = requests.key(at);
            let time = requests.asked[at].time;
            let group = if requests.asked[at].streams == 0 { None } else { words.next() };
            let tie = match group {
                Some(words) => {
                    let tie = self.ties.entry(key, time);
                    tie.take([words[0], words[1]], time);
                    Some(tie)
                }
                None => self.ties.get(key),
            };
            if requests.asked[at].lookups != 0 {
                replies.rows.push(requests.asked[at].row);
                replies.lookups.push(requests.asked[at].lookups);
                replies.values.push(tie.map_or(0, |tie| tie.groups(time)) as u64);
            }
        }
    }

    /// What the state takes up now; a walk over everything, for the report.
    pub(crate) fn usage(&self) -> Usage {
        self.ties.usage()
    }
}
