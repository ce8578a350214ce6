//! The keepers of accounts' funds as keyed families: what is asked of them, and their answers.

use super::chains::{Passing, Reached, Through};
use super::cycles::{Cycle, Graph, Slot};
use super::flows::{Flow, Flowed, Flows};
use super::{GraphTick, Usage};
use crate::event::NULL_INT;
use crate::features::state::LOOK_AHEAD;
use crate::features::state_map::StateMap;
use crate::keyed::{Addressing, Asked, Key, Replies, Requests, whole};
use crate::snapshot::kept_in;

/// Lookups, by bit: the account as the payer and as the payee of a transaction.
pub(crate) const PAYER: u32 = 1;
pub(crate) const PAYEE: u32 = 2;

/// Streams of a request to the keeper of flows, by bit; the request carries the fen.
const FLOWS: [Flow; 4] = [Flow::Receipt, Flow::Credit, Flow::Spend, Flow::BankSpend];

/// The stream of a flow.
pub(crate) fn stream_of(flow: Flow) -> u32 {
    1 << flow as u32
}

/// One worker's part of the accounts' flows.
pub(crate) struct FlowsState {
    accounts: StateMap<Flows>,
}

kept_in!(FlowsState, accounts);

impl FlowsState {
    pub(crate) fn new() -> FlowsState {
        FlowsState { accounts: StateMap::new() }
    }

    /// Applies requests that are in total order, and answers them in the same order.
    pub(crate) fn apply(&mut self, requests: &Requests, replies: &mut Replies) {
        let mut words = requests.words.iter();
        for at in 0..requests.asked.len() {
            if at % LOOK_AHEAD == 0 {
                self.accounts.look_ahead(requests.keys_from(at));
            }
            let (key, Asked { time, streams, .. }) = (requests.key(at), requests.asked[at]);
            let state = if streams == 0 {
                self.accounts.get(key)
            } else {
                let flow = FLOWS[streams.trailing_zeros() as usize];
                let fen = words.next().map_or(0, |word| *word as i64);
                let state = self.accounts.entry(key, time);
                state.apply(time, flow, fen);
                Some(state)
            };
            if requests.asked[at].lookups != 0 {
                let flowed = state.map_or_else(Flowed::default, |state| state.at(time));
                let word = |value: Option<f64>| value.unwrap_or(f64::NAN).to_bits();
                let words = [flowed.residence_minutes, flowed.recirculated, flowed.turnover];
                answer(requests, at, &words.map(word), replies);
            }
        }
    }

    /// What the state takes up now.
    pub(crate) fn usage(&self) -> Usage {
        self.accounts.usage()
    }
}

/// Words of a request to those who pass money on: fen, then of a hop in the payer and the group, of
/// a hop out the payee's key.
pub(crate) const PASSING_WORDS: usize = 4;
/// The stream of a hop in; a hop out has another.
pub(crate) const HOP_IN: u32 = 1;
pub(crate) const HOP_OUT: u32 = 2;

/// One worker's part of the accounts that pass money on.
pub(crate) struct PassingState {
    accounts: StateMap<Passing>,
    peers: usize,
    through: Vec<Through>,
}

kept_in!(PassingState, accounts);

impl PassingState {
    pub(crate) fn new(peers: usize) -> PassingState {
        PassingState { accounts: StateMap::new(), peers, through: Vec::new() }
    }

    /// Applies requests that are in total order. Returns what payees are to be told of, a batch
    /// for each worker that there is something for.
    pub(crate) fn apply(&mut self, requests: &Requests) -> Vec<Requests> {
        let to = Addressing {
            origin: requests.origin as usize,
            peers: self.peers,
            first: requests.first,
        };
        let mut tidings = Requests::batches(&to, 0, 0);
        for (at, words) in requests.words.chunks_exact(PASSING_WORDS).enumerate() {
            if at % LOOK_AHEAD == 0 {
                self.accounts.look_ahead(requests.keys_from(at));
            }
            let (key, time) = (requests.key(at), requests.asked[at].time);
            let fen = words[0] as i64;
            if requests.asked[at].streams == HOP_IN {
                self.accounts.entry(key, time).receive(time, words[1], words[2], fen);
                continue;
            }
            let Some(passing) = self.accounts.get(key) else { continue };
            let payee = Key { hash: whole(&words[1..]), check: words[3] as u32 };
            passing.pass(time, payee.hash as u64, fen, &mut self.through);
            let batch = &mut tidings[payee.group() % self.peers];
            for (group, fen) in &self.through {
                batch.push(requests.asked[at].row as usize, payee, time, 1, 0);
                batch.words.extend([*group, *fen as u64]);
            }
        }
        tidings.retain(|batch| !batch.asked.is_empty());
        tidings
    }

    /// What the state takes up now.
    pub(crate) fn usage(&self) -> Usage {
        self.accounts.usage()
    }
}

/// One worker's part of the accounts that money reaches through others.
pub(crate) struct ReachedState {
    accounts: StateMap<Reached>,
    tick: GraphTick,
    /// The moment of the first event of the slice: what it does not see, none to come does.
    moment: i64,
    /// Where each tiding of a slice stands: row, batch, and place in it.
    order: Vec<(u32, u32, u32)>,
}

kept_in!(ReachedState, accounts);

impl ReachedState {
    pub(crate) fn new(tick: GraphTick) -> ReachedState {
        ReachedState { accounts: StateMap::new(), tick, moment: i64::MIN, order: Vec::new() }
    }

    /// Applies the batches of one slice: first what there is to tell, in the order of rows, which
    /// is that of time, and then lookups. A lookup sees only what is before its moment.
    pub(crate) fn apply(&mut self, batches: &[Requests], replies: &mut Replies) {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        // Tidings carry words, and lookups none.
        let (told, asked): (Vec<_>, Vec<_>) =
            (0..batches.len()).partition(|nth| !batches[*nth].words.is_empty());
        for nth in told {
            let places = batches[nth].asked.iter().zip(0..);
            order.extend(places.map(|(asked, at)| (asked.row, nth as u32, at)));
        }
        order.sort_unstable();
        let first = batches.iter().filter_map(|batch| batch.asked.first()).map(|asked| asked.time);
        self.moment = first.min().map_or(self.moment, |first| self.tick.known(first));
        for places in order.chunks(LOOK_AHEAD) {
            let told = |(_, nth, at): &(u32, u32, u32)| batches[*nth as usize].key(*at as usize);
            self.accounts.look_ahead(places.iter().map(told));
            places.iter().for_each(|place| self.tell(batches, *place));
        }
        for requests in asked.iter().map(|nth| &batches[*nth]) {
            for at in 0..requests.asked.len() {
                if at % LOOK_AHEAD == 0 {
                    self.accounts.look_ahead(requests.keys_from(at));
                }
                let moment = self.tick.known(requests.asked[at].time);
                let state = self.accounts.get(requests.key(at));
                let (fen, groups) = state.map_or((0, 0), |state| state.at(moment));
                let fen = i64::try_from(fen).unwrap_or(i64::MAX);
                answer(requests, at, &[fen as u64, groups as u64], replies);
            }
        }
        self.order = order;
    }

    fn tell(&mut self, batches: &[Requests], (_, nth, at): (u32, u32, u32)) {
        let (batch, at) = (&batches[nth as usize], at as usize);
        let (time, words) = (batch.asked[at].time, &batch.words[2 * at..2 * at + 2]);
        let reached = self.accounts.entry(batch.key(at), self.moment);
        reached.reach(time, (words[0], words[1] as i64));
    }

    /// What the state takes up now.
    pub(crate) fn usage(&self) -> Usage {
        self.accounts.usage()
    }
}

/// Words of a request to the graph: the payee's key.
pub(crate) const GRAPH_WORDS: usize = 3;
/// The stream of a claim or transfer from one account to another.
pub(crate) const EDGE: u32 = 1;

/// The words of the answer about an account: hops, and edges left out. There may be nothing to say.
type Ask = fn(&mut Graph, Option<Slot>) -> Option<[u64; 2]>;

/// The cycles of up to three accounts.
pub(crate) const CYCLES: Ask = |graph, slot| {
    let Cycle { hops, left_out } = slot.map(|slot| graph.of(slot)).unwrap_or_default();
    Some([hops.unwrap_or(NULL_INT) as u64, left_out as u64])
};

/// The cycles of up to four. An answer hangs on an alert, so there is none about most accounts:
/// that nothing was left out is not said.
pub(crate) const LONG_CYCLES: Ask = |graph, slot| {
    let Cycle { hops, left_out } = graph.up_to_four(slot?);
    let left_out = Some(left_out as i64).filter(|left_out| *left_out > 0);
    (hops.is_some() || left_out.is_some())
        .then(|| [hops, left_out].map(|value| value.unwrap_or(NULL_INT) as u64))
};

/// The whole graph of payments, which each worker has.
pub(crate) struct GraphState {
    graph: Graph,
    /// What is asked, with the number of its answers.
    asked: Vec<(u32, Ask)>,
}

kept_in!(GraphState, graph);

impl GraphState {
    pub(crate) fn new(tick: GraphTick, most: usize, asked: Vec<(u32, Ask)>) -> GraphState {
        GraphState { graph: Graph::new(tick, most), asked }
    }

    /// Applies requests that are in total order, and answers those of the worker's own events.
    pub(crate) fn apply(&mut self, requests: &Requests, found: &mut Vec<Replies>) {
        let first = found.len();
        found.extend(self.asked.iter().map(|(family, _)| Replies::to(requests, *family)));
        let found = &mut found[first..];
        for (at, words) in requests.words.chunks_exact(GRAPH_WORDS).enumerate() {
            let (payer, time) = (requests.key(at), requests.asked[at].time);
            let payee = Key { hash: whole(words), check: words[2] as u32 };
            if at % LOOK_AHEAD == 0 {
                self.look_ahead(requests, at);
            }
            let lookups = requests.asked[at].lookups;
            let mut slots = [None; 2];
            if requests.asked[at].streams == EDGE {
                slots = self.graph.hop(time, payer, payee).map(Some);
            } else {
                for (slot, (bit, account)) in slots.iter_mut().zip([(PAYER, payer), (PAYEE, payee)])
                {
                    if lookups & bit != 0 {
                        *slot = self.graph.find(account, time);
                    }
                }
            }
            if lookups == 0 {
                continue;
            }
            for (replies, (_, ask)) in found.iter_mut().zip(&self.asked) {
                let mut answered = 0;
                for (bit, slot) in [PAYER, PAYEE].into_iter().zip(slots) {
                    if lookups & bit != 0
                        && let Some(words) = ask(&mut self.graph, slot)
                    {
                        answered |= bit;
                        replies.values.extend(words);
                    }
                }
                if answered != 0 {
                    replies.rows.push(requests.asked[at].row);
                    replies.lookups.push(answered);
                }
            }
        }
    }

    fn look_ahead(&self, requests: &Requests, at: usize) {
        let words = requests.words.chunks_exact(GRAPH_WORDS).skip(at).take(LOOK_AHEAD);
        let payees = words.map(|words| Key { hash: whole(words), check: words[2] as u32 });
        self.graph.look_ahead(requests.keys_from(at).take(LOOK_AHEAD).chain(payees));
    }

    /// What the state takes up now.
    pub(crate) fn usage(&self) -> Usage {
        let (keys, events, bytes) = self.graph.usage();
        Usage { keys, events, bytes, ..Usage::default() }
    }
}

/// Answers a request: the same words for each of its lookups.
fn answer(requests: &Requests, at: usize, words: &[u64], replies: &mut Replies) {
    let lookups = requests.asked[at].lookups;
    replies.rows.push(requests.asked[at].row);
    replies.lookups.push(lookups);
    for _ in 0..lookups.count_ones() {
        replies.values.extend_from_slice(words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyed::halves;

    const DAY: i64 = 86_400_000;
    const ACCOUNTS: i64 = 300;

    fn key_of(account: i64) -> Key {
        Key::of(&account.to_le_bytes())
    }

    /// The requests of one event.
    fn one(key: Key, time: i64, (streams, lookups): (u32, u32), words: &[u64]) -> Requests {
        let to = Addressing { origin: 0, peers: 1, first: 0 };
        let mut batch = Requests::batches(&to, 1, words.len()).remove(0);
        batch.push(0, key, time, streams, lookups);
        batch.words.extend_from_slice(words);
        batch
    }

    /// On each of fifty days other accounts act: each receives 100 fen, passes all of it on to the
    /// next, and acts never again.
    #[test]
    fn accounts_with_nothing_left_take_up_about_one_days_memory() {
        let tick = GraphTick(10_000);
        let mut flows = FlowsState::new();
        let mut graph = GraphState::new(tick, 64, vec![(0, CYCLES), (1, LONG_CYCLES)]);
        let (mut passing, mut reached) = (PassingState::new(1), ReachedState::new(tick));
        for account in 0..50 * ACCOUNTS {
            let time = account * DAY / ACCOUNTS;
            let (payer, payee) = (key_of(account), key_of(account + 1));
            let [low, high] = halves(payee.hash);
            let check = u64::from(payee.check);
            for (key, stream) in [(payer, Flow::Spend), (payee, Flow::Receipt)] {
                let request = one(key, time, (stream_of(stream), PAYER), &[100]);
                flows.apply(&request, &mut Replies::default());
            }
            let into = one(payee, time, (HOP_IN, 0), &[100, payer.hash as u64, 7, 0]);
            let out = one(payer, time, (HOP_OUT, 0), &[100, low, high, check]);
            let mut batches = vec![one(payer, time, (0, PAYER), &[])];
            batches.extend(passing.apply(&out));
            assert!(passing.apply(&into).is_empty());
            reached.apply(&batches, &mut Replies::default());
            let edge = one(payer, time, (EDGE, PAYER), &[low, high, check]);
            graph.apply(&edge, &mut Vec::new());
        }
        let day = 2 * ACCOUNTS as u64;
        // Sweeps wait until a key group has 32 accounts, or a window has passed.
        let usages = [flows.usage(), passing.usage(), reached.usage(), graph.usage()];
        for (nth, usage) in usages.into_iter().enumerate() {
            assert!(usage.keys <= 2 * day, "{nth}: {usage:?}");
            assert!(usage.keys >= 100, "{nth}: {usage:?}");
        }
    }

    /// On each of 400 days other accounts receive something and never act again.
    #[test]
    fn accounts_with_something_left_take_up_90_days_memory() {
        const A_DAY: i64 = 20;
        let mut flows = FlowsState::new();
        for account in 0..400 * A_DAY {
            let time = account * DAY / A_DAY;
            let request = one(key_of(account), time, (stream_of(Flow::Receipt), PAYEE), &[100]);
            flows.apply(&request, &mut Replies::default());
        }
        // The sweeps of a key group may wait for a day, and for 32 accounts.
        let keys = flows.usage().keys as i64;
        assert!((90 * A_DAY..=3 * 90 * A_DAY).contains(&keys), "{keys}");
    }

    /// Two keepers tell one account within a slice; rows are in the order of time.
    #[test]
    fn what_several_keepers_tell_of_a_slice_counts_in_the_order_of_rows() {
        let mut reached = ReachedState::new(GraphTick(10));
        let account = key_of(1);
        let tell = |row: u32, time, group, fen| {
            let mut batch = one(account, time, (1, 0), &[group, fen]);
            batch.asked[0].row = row;
            batch
        };
        let mut lookup = one(account, 1_019, (0, PAYEE), &[]);
        lookup.asked[0].row = 5;
        let batches = [tell(4, 1_010, 8, 30), lookup, tell(2, 999, 7, 100), tell(1, 998, 0, 1)];
        let mut replies = Replies::default();
        reached.apply(&batches, &mut replies);
        // The lookup is as of 1000.
        assert_eq!(replies.values, [101, 1]);
        let mut replies = Replies::default();
        reached.apply(&[one(account, 1_030, (0, PAYER | PAYEE), &[])], &mut replies);
        assert_eq!(replies.values, [131, 2, 131, 2]);
    }
}
