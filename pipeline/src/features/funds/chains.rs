//! Money that reaches an account through one other: `A -> X -> B`, three different accounts.
//!
//! A hop is a claim or transfer, from its payer to its payee. The keeper of `X` matches what `X`
//! passes on with what it received, oldest first and in strict total order, and tells the keeper of
//! `B` what came through; that one answers as of the graph's moments.
//!
//! Nothing has to be bounded here: a hop out leaves at most one hop in partly consumed, so that
//! there are never more matches than hops.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::flows::WINDOW_MS;
use crate::features::state::recents::Recents;
use crate::features::state_map::{KeyedState, give_back};

/// What an account received in the last 24 hours and has not passed on.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Passing {
    held: VecDeque<Held>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Held {
    time: i64,
    fen: i64,
    payer: u64,
    group: u64,
}

/// Money that came through: the group of its first hop, 0 where that is null, and how much.
pub(crate) type Through = (u64, i64);

impl Passing {
    /// Takes a hop in.
    pub(crate) fn receive(&mut self, time: i64, payer: u64, group: u64, fen: i64) {
        self.expire(time);
        if fen > 0 {
            self.held.push_back(Held { time, fen, payer, group });
        }
    }

    /// Takes a hop out to `payee`, and says by group what it passes on of others' money.
    pub(crate) fn pass(&mut self, time: i64, payee: u64, mut fen: i64, through: &mut Vec<Through>) {
        through.clear();
        self.expire(time);
        while fen > 0
            && let Some(held) = self.held.front_mut()
        {
            let taken = fen.min(held.fen);
            (fen, held.fen) = (fen - taken, held.fen - taken);
            // What goes back to where it came from is passed on to nobody.
            if held.payer != payee {
                through.push((held.group, taken));
            }
            if held.fen == 0 {
                self.held.pop_front();
            }
        }
        // As a rule there is one, or they are of one group.
        if through.len() > 1 {
            through.sort_unstable_by_key(|(group, _)| *group);
            through.dedup_by(|next, kept| {
                let same = next.0 == kept.0;
                kept.1 += if same { next.1 } else { 0 };
                same
            });
        }
    }
}

impl KeyedState for Passing {
    fn expire(&mut self, moment: i64) {
        while self.held.front().is_some_and(|held| held.time <= moment - WINDOW_MS) {
            self.held.pop_front();
        }
        give_back(&mut self.held);
    }

    fn is_over(&self) -> bool {
        self.held.is_empty()
    }

    fn touch(&self) -> u64 {
        self.held.front().map_or(0, |held| held.time as u64)
    }

    fn events(&self) -> usize {
        self.held.len()
    }

    fn heap_bytes(&self) -> usize {
        self.held.capacity() * size_of::<Held>()
    }
}

/// What reached an account through others.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reached {
    links: VecDeque<Link>,
    /// How many of the oldest links count at the latest moment.
    counting: usize,
    fen: i128,
    groups: Recents,
}

/// Money of one group that came through one account by one hop.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Link {
    time: i64,
    group: u64,
    fen: i64,
}

impl Reached {
    /// Takes money that came through at `time`; times do not fall.
    pub(crate) fn reach(&mut self, time: i64, (group, fen): Through) {
        self.links.push_back(Link { time, group, fen });
    }

    /// The fen that came through, and the distinct groups of the first hops, by what happened in
    /// the 24 hours before `moment`; moments do not fall.
    pub(crate) fn at(&mut self, moment: i64) -> (i128, usize) {
        self.expire(moment);
        (self.fen, self.groups.len())
    }
}

impl KeyedState for Reached {
    fn expire(&mut self, moment: i64) {
        while let Some(link) = self.links.get(self.counting)
            && link.time < moment
        {
            self.counting += 1;
            self.fen += i128::from(link.fen);
            if link.group != 0 {
                self.groups.see([link.group, 0], link.time, &mut [], std::iter::empty());
            }
        }
        let over = |time: i64| time < moment - WINDOW_MS;
        while self.counting > 0
            && let Some(link) = self.links.front()
            && over(link.time)
        {
            self.counting -= 1;
            self.fen -= i128::from(link.fen);
            self.links.pop_front();
        }
        while self.groups.oldest().is_some_and(over) {
            self.groups.forget_oldest();
        }
        self.groups.compact(&mut [], std::iter::empty());
        give_back(&mut self.links);
    }

    fn is_over(&self) -> bool {
        self.links.is_empty()
    }

    fn touch(&self) -> u64 {
        self.links.back().map_or(0, |link| link.time as u64) ^ self.groups.touch()
    }

    fn events(&self) -> usize {
        self.links.len()
    }

    fn heap_bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>() + self.groups.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::oracle::{Hop, chained};
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn hops() -> impl Strategy<Value = Vec<Hop>> {
        let gap = prop::sample::select(vec![0, 0, 0, 1, 7, HOUR, 5 * HOUR, 11 * HOUR, 24 * HOUR]);
        let hop = (gap, 1_u64..6, 1_u64..6, 0_u64..4, 0_i64..20);
        prop::collection::vec(hop, 1..100).prop_map(|parts| {
            let mut time = 1_707_480_000_000;
            let hop = |(gap, payer, payee, group, fen)| {
                time += gap;
                Hop { time, payer, payee, group, fen }
            };
            parts.into_iter().map(hop).filter(|hop| hop.payer != hop.payee).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn equal_the_definition(hops in hops(), tick in prop::sample::select(vec![7, HOUR])) {
            let mut passing: BTreeMap<u64, Passing> = BTreeMap::new();
            let mut reached: BTreeMap<u64, Reached> = BTreeMap::new();
            let mut through = Vec::new();
            for (at, hop) in hops.iter().enumerate() {
                let out = passing.entry(hop.payer).or_default();
                out.pass(hop.time, hop.payee, hop.fen, &mut through);
                for through in &through {
                    reached.entry(hop.payee).or_default().reach(hop.time, *through);
                }
                passing.entry(hop.payee).or_default().receive(
                    hop.time, hop.payer, hop.group, hop.fen,
                );
                let moment = (hop.time.div_euclid(tick) - 1) * tick;
                for account in 1..6 {
                    let found = reached.entry(account).or_default().at(moment);
                    prop_assert_eq!(found, chained(&hops[..=at], account, moment));
                }
            }
        }
    }
}
