//! Money that goes in a circle: the shortest directed cycle of two or three accounts through one.
//!
//! The graph as of a moment has an edge from payer to payee where a claim or transfer from one
//! account to another happened in the 24 hours before; the order of the events in time does not
//! matter. Each worker has the whole graph, for a cycle goes through any accounts; it counts the
//! cycles through each account as edges come and go, so that a lookup costs nothing.
//!
//! Accounts with more counterparties on a side than [`COUNTERPARTIES_MAX`] are *cut*: they lie on
//! no cycle that is found. Whether an account is cut is a function of the graph, and a lookup says
//! how many edges of its account lead to or from one that is.
//!
//! From moment to moment, first all edges go that go, and then those come that come. An account is
//! cut at once when it grows too large, and stops being cut only at the end: so none is cut that
//! is not at the moment, and no list that is searched is longer than the limit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hashbrown::{HashMap, HashTable};
use rustc_hash::FxBuildHasher;

use super::GraphTick;
use super::flows::WINDOW_MS;
use crate::keyed::Key;

/// An account with more distinct payees, or payers, than this in 24 hours is cut. The cost of an
/// edge grows with it, and that of cutting an account with its square; people pay fewer in a day.
pub(crate) const COUNTERPARTIES_MAX: usize = 64;

/// What is known of the cycles through an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cycle {
    /// Hops of the shortest: 2 or 3.
    pub(crate) hops: Option<i64>,
    /// Edges of the account that were left out because an account on them is cut.
    pub(crate) left_out: usize,
}

/// The graph as of a moment, and the edges that come after it.
pub(crate) struct Graph {
    tick: GraphTick,
    most: usize,
    /// The accounts on edges, by slot; free slots have a null key.
    accounts: Vec<Account>,
    free: Vec<u32>,
    slots: HashTable<u32>,
    /// The moment from which on each edge is gone, if nothing more happens on it.
    edges: HashMap<Edge, i64, FxBuildHasher>,
    /// What has happened and does not count yet, in the order of time.
    pending: VecDeque<Hop>,
    /// When each edge is to be looked at again.
    due: BTreeMap<i64, Vec<Edge>>,
    /// Cut accounts that may have become small enough.
    shrunk: Vec<u32>,
    /// Room for the third accounts of cycles.
    thirds: Vec<u32>,
    moment: i64,
}

/// Slots of payer and payee.
type Edge = (u32, u32);

#[derive(Clone, Copy, Debug)]
struct Hop {
    time: i64,
    payer: Key,
    payee: Key,
}

#[derive(Debug)]
struct Account {
    key: Key,
    /// Accounts that it paid, and that paid it.
    payees: Few,
    payers: Few,
    /// Cycles of two and of three accounts through it.
    twos: u32,
    threes: u32,
    /// Its edges to and from accounts that are cut.
    to_cut: u32,
    is_cut: bool,
}

/// Slots without order: a list while there are few.
#[derive(Debug)]
enum Few {
    List(Vec<u32>),
    Many(BTreeSet<u32>),
}

impl Graph {
    pub(crate) fn new(tick: GraphTick, most: usize) -> Graph {
        Graph {
            tick,
            most,
            accounts: Vec::new(),
            free: Vec::new(),
            slots: HashTable::new(),
            edges: HashMap::default(),
            pending: VecDeque::new(),
            due: BTreeMap::new(),
            shrunk: Vec::new(),
            thirds: Vec::new(),
            moment: i64::MIN,
        }
    }

    /// Takes a claim or transfer between two accounts; they come in the order of time.
    pub(crate) fn hop(&mut self, time: i64, payer: Key, payee: Key) {
        self.advance(self.tick.known(time));
        self.pending.push_back(Hop { time, payer, payee });
    }

    /// What is known of an account as a transaction at `time` sees it; times do not fall.
    pub(crate) fn at(&mut self, account: Key, time: i64) -> Cycle {
        self.advance(self.tick.known(time));
        let Some(slot) = self.slot(account) else {
            return Cycle { hops: None, left_out: 0 };
        };
        let account = &self.accounts[slot as usize];
        if account.is_cut {
            return Cycle { hops: None, left_out: account.payees.len() + account.payers.len() };
        }
        let hops = match (account.twos, account.threes) {
            (1.., _) => Some(2),
            (0, 1..) => Some(3),
            (0, 0) => None,
        };
        Cycle { hops, left_out: account.to_cut as usize }
    }

    /// Brings the graph to a moment.
    fn advance(&mut self, moment: i64) {
        if moment <= self.moment {
            return;
        }
        self.moment = moment;
        let count = self.pending.partition_point(|hop| hop.time < moment);
        let mut coming = Vec::with_capacity(count);
        for hop in self.pending.drain(..count).collect::<Vec<_>>() {
            // Most often an edge that is there only stays longer.
            let gone = self.tick.enters(hop.time + WINDOW_MS);
            let edge = self.slot(hop.payer).zip(self.slot(hop.payee));
            match edge.and_then(|edge| self.edges.get_mut(&edge)) {
                Some(held) => *held = gone,
                None => coming.push((hop, gone)),
            }
        }
        while let Some(due) = self.due.first_entry()
            && *due.key() <= moment
        {
            for edge in due.remove() {
                let gone = self.edges[&edge];
                if gone <= moment {
                    self.go(edge);
                } else {
                    self.due.entry(gone).or_default().push(edge);
                }
            }
        }
        for (hop, gone) in coming {
            if gone > moment {
                self.come(hop, gone);
            }
        }
        for slot in std::mem::take(&mut self.shrunk) {
            let account = &self.accounts[slot as usize];
            if account.is_cut && !account.is_large(self.most) {
                self.cut(slot, false);
            }
        }
    }

    fn slot(&self, key: Key) -> Option<u32> {
        let found = self
            .slots
            .find(key.hash as u64, |slot| self.accounts[*slot as usize].key.hash == key.hash)?;
        let check = self.accounts[*found as usize].key.check;
        assert!(check == key.check, "two keys share the 128-bit hash {:032x}", key.hash);
        Some(*found)
    }

    fn slot_or_new(&mut self, key: Key) -> u32 {
        if let Some(slot) = self.slot(key) {
            return slot;
        }
        let slot = self.free.pop().unwrap_or(self.accounts.len() as u32);
        let account = Account::new(key);
        match self.accounts.get_mut(slot as usize) {
            Some(held) => *held = account,
            None => self.accounts.push(account),
        }
        let accounts = &self.accounts;
        let hash = |slot: &u32| accounts[*slot as usize].key.hash as u64;
        self.slots.insert_unique(key.hash as u64, slot, hash);
        slot
    }

    fn come(&mut self, hop: Hop, gone: i64) {
        let edge = (self.slot_or_new(hop.payer), self.slot_or_new(hop.payee));
        if let Some(held) = self.edges.get_mut(&edge) {
            *held = gone;
            return;
        }
        self.edges.insert(edge, gone);
        self.due.entry(gone).or_default().push(edge);
        self.count(edge, true);
        let (payer, payee) = edge;
        self.accounts[payer as usize].payees.insert(payee, self.most);
        self.accounts[payee as usize].payers.insert(payer, self.most);
        for slot in [payer, payee] {
            let account = &self.accounts[slot as usize];
            if !account.is_cut && account.is_large(self.most) {
                self.cut(slot, true);
            }
        }
    }

    fn go(&mut self, edge: Edge) {
        self.edges.remove(&edge);
        let (payer, payee) = edge;
        self.accounts[payer as usize].payees.remove(payee, self.most);
        self.accounts[payee as usize].payers.remove(payer, self.most);
        self.count(edge, false);
        for slot in [payer, payee] {
            let account = &mut self.accounts[slot as usize];
            if account.is_cut && !account.is_large(self.most) {
                self.shrunk.push(slot);
            }
            if account.payees.len() + account.payers.len() == 0 {
                self.forget(slot);
            }
        }
    }

    fn forget(&mut self, slot: u32) {
        let key = std::mem::replace(&mut self.accounts[slot as usize], Account::new(Key::NULL)).key;
        if let Ok(found) = self.slots.find_entry(key.hash as u64, |held| *held == slot) {
            found.remove();
        }
        self.free.push(slot);
    }

    /// Counts the cycles that an edge closes, or opens; it is not among its accounts' lists.
    fn count(&mut self, (payer, payee): Edge, comes: bool) {
        let (from, to) = (&self.accounts[payer as usize], &self.accounts[payee as usize]);
        let (from_cut, to_cut) = (from.is_cut, to.is_cut);
        if from_cut || to_cut {
            self.accounts[payer as usize].to_cut.change(u32::from(to_cut), comes);
            self.accounts[payee as usize].to_cut.change(u32::from(from_cut), comes);
            return;
        }
        let twos = u32::from(to.payees.list().contains(&payer));
        let mut thirds = std::mem::take(&mut self.thirds);
        in_both(to.payees.list(), from.payers.list(), &mut thirds);
        thirds.retain(|third| !self.accounts[*third as usize].is_cut);
        for third in &thirds {
            self.accounts[*third as usize].threes.change(1, comes);
        }
        for slot in [payer, payee] {
            let account = &mut self.accounts[slot as usize];
            account.twos.change(twos, comes);
            account.threes.change(thirds.len() as u32, comes);
        }
        self.thirds = thirds;
    }

    /// Cuts an account, or takes it back: the cycles through it no longer count, or count again.
    fn cut(&mut self, slot: u32, cut: bool) {
        let account = &mut self.accounts[slot as usize];
        account.is_cut = cut;
        let (payees, payers) = (account.payees.list().to_vec(), account.payers.list().to_vec());
        let (mut twos, mut threes) = (0, 0);
        for other in payees.iter().chain(&payers) {
            self.accounts[*other as usize].to_cut.change(1, cut);
        }
        let mut lasts = std::mem::take(&mut self.thirds);
        for &next in &payees {
            if self.accounts[next as usize].is_cut {
                continue;
            }
            if payers.contains(&next) {
                twos += 1;
                self.accounts[next as usize].twos.change(1, !cut);
            }
            in_both(self.accounts[next as usize].payees.list(), &payers, &mut lasts);
            lasts.retain(|last| !self.accounts[*last as usize].is_cut);
            for last in &lasts {
                self.accounts[*last as usize].threes.change(1, !cut);
            }
            self.accounts[next as usize].threes.change(lasts.len() as u32, !cut);
            threes += lasts.len() as u32;
        }
        self.thirds = lasts;
        let account = &mut self.accounts[slot as usize];
        (account.twos, account.threes) = if cut { (0, 0) } else { (twos, threes) };
    }

    /// How many accounts and edges there are, and the bytes that they take.
    pub(crate) fn usage(&self) -> (u64, u64, u64) {
        let lists: usize = self.accounts.iter().map(Account::heap_bytes).sum();
        let due: usize = self.due.values().map(|edges| edges.capacity() * size_of::<Edge>()).sum();
        let bytes = lists
            + due
            + self.accounts.capacity() * size_of::<Account>()
            + self.slots.capacity() * 5
            + self.edges.capacity() * (size_of::<(Edge, i64)>() + 1)
            + self.pending.capacity() * size_of::<Hop>();
        (self.slots.len() as u64, self.edges.len() as u64, bytes as u64)
    }
}

/// Counting up and down.
trait Change {
    fn change(&mut self, by: u32, up: bool);
}

impl Change for u32 {
    fn change(&mut self, by: u32, up: bool) {
        *self = if up { *self + by } else { *self - by };
    }
}

/// What is in both of two short lists.
fn in_both(one: &[u32], other: &[u32], found: &mut Vec<u32>) {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    found.clear();
    found.extend(short.iter().filter(|slot| long.contains(slot)));
}

impl Account {
    fn new(key: Key) -> Account {
        let few = || Few::List(Vec::new());
        Account { key, payees: few(), payers: few(), twos: 0, threes: 0, to_cut: 0, is_cut: false }
    }

    fn is_large(&self, most: usize) -> bool {
        self.payees.len() > most || self.payers.len() > most
    }

    fn heap_bytes(&self) -> usize {
        self.payees.heap_bytes() + self.payers.heap_bytes()
    }
}

impl Few {
    fn len(&self) -> usize {
        match self {
            Few::List(list) => list.len(),
            Few::Many(set) => set.len(),
        }
    }

    /// The list, which there is of every account that is not cut and of one that is cut just now.
    fn list(&self) -> &[u32] {
        match self {
            Few::List(list) => list,
            Few::Many(_) => unreachable!("an account with many counterparties is cut"),
        }
    }

    /// Adds what is not there.
    fn insert(&mut self, slot: u32, most: usize) {
        match self {
            Few::List(list) if list.len() <= 2 * most => list.push(slot),
            Few::List(list) => {
                let many = std::mem::take(list).into_iter().chain([slot]);
                *self = Few::Many(many.collect());
            }
            Few::Many(set) => {
                set.insert(slot);
            }
        }
    }

    fn remove(&mut self, slot: u32, most: usize) {
        match self {
            Few::List(list) => {
                if let Some(at) = list.iter().position(|held| *held == slot) {
                    list.swap_remove(at);
                }
            }
            Few::Many(set) => {
                set.remove(&slot);
                if set.len() <= most {
                    *self = Few::List(set.iter().copied().collect());
                }
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Few::List(list) => list.capacity() * 4,
            // A leaf of eleven, more than half full as a rule.
            Few::Many(set) => set.len() * 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::oracle::{Hop, cycle};
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn hops() -> impl Strategy<Value = Vec<Hop>> {
        let gap =
            prop::sample::select(vec![0, 0, 1, 7, 7, HOUR, HOUR, 5 * HOUR, 11 * HOUR, 24 * HOUR]);
        let hop = (gap, 1_u64..9, 1_u64..9);
        prop::collection::vec(hop, 1..160).prop_map(|parts| {
            let mut time = 1_707_480_000_000;
            let hop = |(gap, payer, payee)| {
                time += gap;
                Hop { time, payer, payee, group: 0, fen: 1 }
            };
            parts.into_iter().map(hop).filter(|hop| hop.payer != hop.payee).collect()
        })
    }

    fn key(account: u64) -> Key {
        Key::of(&account.to_le_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(800))]

        #[test]
        fn equal_the_definition(
            hops in hops(),
            tick in prop::sample::select(vec![7, HOUR]),
            most in 1_usize..5,
            every in 1_usize..5,
        ) {
            let mut graph = Graph::new(GraphTick(tick), most);
            for (at, hop) in hops.iter().enumerate() {
                graph.hop(hop.time, key(hop.payer), key(hop.payee));
                if at % every != 0 {
                    continue;
                }
                let moment = (hop.time.div_euclid(tick) - 1) * tick;
                for account in 1..9 {
                    let (hops, left_out) = cycle(&hops[..=at], account, moment, most);
                    let found = graph.at(key(account), hop.time);
                    prop_assert_eq!(found, Cycle { hops, left_out }, "of {} at {}", account, at);
                }
            }
        }
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut graph = Graph::new(GraphTick(10_000), COUNTERPARTIES_MAX);
        for at in 0..10_000 {
            let time = at as i64 * HOUR;
            graph.hop(time, key(at), key(at + 1));
            graph.at(key(at), time);
        }
        let (accounts, edges, bytes) = graph.usage();
        assert!(accounts < 30 && edges < 30 && bytes < 10_000, "{accounts} {edges} {bytes}");
    }
}
