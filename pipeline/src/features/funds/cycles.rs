//! Money that goes in a circle: the shortest directed cycle of two or three accounts through one.
//!
//! The graph as of a moment has an edge from payer to payee where a claim or transfer from one
//! account to another happened in the 24 hours before; the order of the events in time does not
//! matter. Each worker has the whole graph, for a cycle goes through any accounts; it counts the
//! cycles through each account as edges come and go, so that a lookup costs nothing.
//!
//! Accounts with more counterparties on a side than a limit are *cut*: they lie on no cycle that is
//! found. Whether an account is cut is a function of the graph, and a lookup says how many edges of
//! its account lead to or from one that is. The cost of an edge grows with the limit, and that of
//! cutting an account with its square.
//!
//! From moment to moment, first all edges go that go, and then those come that come. An account is
//! cut at once when it grows too large, and stops being cut only at the end: so none is cut that
//! is not at the moment, and no list that is searched is longer than the limit.

mod four;

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Index, IndexMut};

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::GraphTick;
use super::flows::WINDOW_MS;
use super::neighbours::{Among, Payees, Payers, in_both};
use crate::features::state::LOOK_AHEAD;
use crate::keyed::{KEY_GROUPS, Key, halves, whole};
use crate::snapshot::{self, Broken, Share, Snapshot};

/// What is known of the cycles through an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cycle {
    /// Hops of the shortest: 2 or 3, or 4 where such were sought.
    pub(crate) hops: Option<i64>,
    /// Edges of the account that were left out because an account on them is cut.
    pub(crate) left_out: usize,
}

/// An account of the graph, as long as nothing is taken or asked at a later time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

/// The graph as of a moment, and the edges that come after it.
pub(crate) struct Graph {
    tick: GraphTick,
    /// An account with more distinct payees, or payers, than this in 24 hours is cut.
    most: usize,
    accounts: Pages,
    free: Vec<u32>,
    /// The slots of the accounts, by key group.
    slots: Vec<HashTable<u32>>,
    /// What has happened and does not count yet, in the order of time.
    pending: VecDeque<Hop>,
    /// When each edge is to be looked at again.
    due: BTreeMap<i64, Vec<Edge>>,
    /// Accounts of which something went: perhaps they are to be cut no more, or forgotten.
    shrunk: Vec<u32>,
    /// Room for accounts of cycles.
    thirds: Vec<u32>,
    moment: i64,
}

/// Slots of payer and payee.
type Edge = (u32, u32);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Hop {
    time: i64,
    edge: Edge,
}

#[derive(Debug, Serialize, Deserialize)]
struct Account {
    key: [u64; 2],
    check: u32,
    /// Hops that wait for their moment.
    waiting: u32,
    /// Cycles of two and of three accounts through it.
    twos: u32,
    threes: u32,
    /// Its edges to and from accounts that are cut.
    to_cut: u32,
    is_cut: bool,
    payees: Payees,
    payers: Payers,
}

impl Graph {
    pub(crate) fn new(tick: GraphTick, most: usize) -> Graph {
        Graph {
            tick,
            most,
            accounts: Pages::default(),
            free: Vec::new(),
            slots: (0..KEY_GROUPS).map(|_| HashTable::new()).collect(),
            pending: VecDeque::new(),
            due: BTreeMap::new(),
            shrunk: Vec::new(),
            thirds: Vec::new(),
            moment: i64::MIN,
        }
    }

    /// Takes a claim or transfer between two accounts, and says where they stand; times do not
    /// fall.
    pub(crate) fn hop(&mut self, time: i64, payer: Key, payee: Key) -> [Slot; 2] {
        self.advance(self.tick.known(time));
        let edge = (self.slot_or_new(payer), self.slot_or_new(payee));
        self.accounts[edge.0].waiting += 1;
        self.accounts[edge.1].waiting += 1;
        self.pending.push_back(Hop { time, edge });
        [Slot(edge.0), Slot(edge.1)]
    }

    /// Where an account stands that may be on an edge as a transaction at `time` sees it.
    pub(crate) fn find(&mut self, account: Key, time: i64) -> Option<Slot> {
        self.advance(self.tick.known(time));
        self.slot(account).map(Slot)
    }

    /// What is known of an account.
    pub(crate) fn of(&self, slot: Slot) -> Cycle {
        let account = &self.accounts[slot.0];
        if account.is_cut {
            return Cycle { hops: None, left_out: account.degree() };
        }
        let hops = match (account.twos, account.threes) {
            (1.., _) => Some(2),
            (0, 1..) => Some(3),
            (0, 0) => None,
        };
        Cycle { hops, left_out: account.to_cut as usize }
    }

    /// Reads accounts that are asked for next: the waits for memory then overlap.
    pub(crate) fn look_ahead(&self, keys: impl Iterator<Item = Key>) {
        let slots = keys.filter_map(|key| self.slot(key));
        std::hint::black_box(slots.fold(0, |all, slot| all ^ self.accounts[slot].touch()));
    }

    /// Brings the graph to a moment.
    fn advance(&mut self, moment: i64) {
        if moment <= self.moment {
            return;
        }
        self.moment = moment;
        let coming = self.stay(moment);
        while let Some(due) = self.due.first_entry()
            && *due.key() <= moment
        {
            let (now, edges) = due.remove_entry();
            for edges in edges.chunks(LOOK_AHEAD) {
                self.look_ahead_edges(edges.iter().copied());
                edges.iter().for_each(|edge| self.go_or_stay(*edge, now, moment));
            }
        }
        for hop in coming {
            let gone = self.tick.enters(hop.time + WINDOW_MS);
            if gone > moment {
                self.come(hop.edge, gone);
            }
            self.shrunk.extend([hop.edge.0, hop.edge.1]);
        }
        for slot in std::mem::take(&mut self.shrunk) {
            let account = &self.accounts[slot];
            if account.is_cut && !account.is_large(self.most) {
                self.cut(slot, false);
            }
            let account = &self.accounts[slot];
            if account.degree() == 0 && account.waiting == 0 && account.key != [0; 2] {
                self.forget(slot);
            }
        }
    }

    /// Takes the hops that count from `moment` on. Most often the edge is there and only stays
    /// longer; the others are returned.
    fn stay(&mut self, moment: i64) -> Vec<Hop> {
        let mut left = self.pending.partition_point(|hop| hop.time < moment);
        let mut coming = Vec::with_capacity(left);
        while left > 0 {
            let block = left.min(LOOK_AHEAD);
            self.look_ahead_edges(self.pending.iter().take(block).map(|hop| hop.edge));
            for hop in self.pending.drain(..block) {
                let gone = self.tick.number(self.tick.enters(hop.time + WINDOW_MS));
                let (payer, payee) = hop.edge;
                self.accounts[payer].waiting -= 1;
                self.accounts[payee].waiting -= 1;
                if !self.accounts[payer].payees.stay(payee, gone) {
                    coming.push(hop);
                }
            }
            left -= block;
        }
        coming
    }

    /// Reads the accounts of edges that are looked at next.
    fn look_ahead_edges(&self, edges: impl Iterator<Item = Edge>) {
        let touch = |(payer, payee)| self.accounts[payer].touch() ^ self.accounts[payee].touch();
        std::hint::black_box(edges.fold(0, |all, edge| all ^ touch(edge)));
    }

    fn slot(&self, key: Key) -> Option<u32> {
        let same = |slot: &u32| self.accounts[*slot].key == halves(key.hash);
        let slot = *self.slots[key.group()].find(key.hash as u64, same)?;
        let check = self.accounts[slot].check;
        assert!(check == key.check, "two keys share the 128-bit hash {:032x}", key.hash);
        Some(slot)
    }

    fn slot_or_new(&mut self, key: Key) -> u32 {
        if let Some(slot) = self.slot(key) {
            return slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| self.accounts.push());
        let account = &mut self.accounts[slot];
        (account.key, account.check) = (halves(key.hash), key.check);
        let accounts = &self.accounts;
        let hash = |slot: &u32| accounts[*slot].key[0];
        self.slots[key.group()].insert_unique(key.hash as u64, slot, hash);
        slot
    }

    /// Forgets an account that is on no edge and waits for none.
    fn forget(&mut self, slot: u32) {
        let account = std::mem::replace(&mut self.accounts[slot], Account::new());
        let key = Key { hash: whole(&account.key), check: account.check };
        if let Ok(found) = self.slots[key.group()].find_entry(account.key[0], |at| *at == slot) {
            found.remove();
        }
        self.free.push(slot);
    }

    fn come(&mut self, edge: Edge, gone: i64) {
        let (payer, payee) = edge;
        let number = self.tick.number(gone);
        // It may have come twice since the moment before.
        if self.accounts[payer].payees.stay(payee, number) {
            return;
        }
        self.due.entry(gone).or_default().push(edge);
        self.count(edge, true);
        self.accounts[payer].payees.insert(payee, number, self.most);
        self.accounts[payee].payers.insert(payer, self.most);
        for slot in [payer, payee] {
            let account = &self.accounts[slot];
            if !account.is_cut && account.is_large(self.most) {
                self.cut(slot, true);
            }
        }
    }

    /// Takes an edge that was due to go at `now` away, unless it stays beyond `moment`.
    fn go_or_stay(&mut self, edge: Edge, now: i64, moment: i64) {
        let (payer, payee) = edge;
        let gone = self.accounts[payer].payees.gone(payee);
        let gone = self.tick.moment(gone, now);
        if gone > moment {
            self.due.entry(gone).or_default().push(edge);
            return;
        }
        self.accounts[payer].payees.remove(payee, self.most);
        self.accounts[payee].payers.remove(payer, self.most);
        self.count(edge, false);
        self.shrunk.extend([payer, payee]);
    }

    /// Counts the cycles that an edge closes, or opens; it is not among its accounts' lists.
    fn count(&mut self, (payer, payee): Edge, comes: bool) {
        let (from, to) = (&self.accounts[payer], &self.accounts[payee]);
        let (from_cut, to_cut) = (from.is_cut, to.is_cut);
        if from_cut || to_cut {
            self.accounts[payer].to_cut.change(u32::from(to_cut), comes);
            self.accounts[payee].to_cut.change(u32::from(from_cut), comes);
            return;
        }
        let mut thirds = std::mem::take(&mut self.thirds);
        let twos = u32::from(from.payers.list().contains(&payee));
        in_both(to.payees.list(), from.payers.list(), &mut thirds);
        thirds.retain(|third| !self.accounts[*third].is_cut);
        for third in &thirds {
            self.accounts[*third].threes.change(1, comes);
        }
        for slot in [payer, payee] {
            let account = &mut self.accounts[slot];
            account.twos.change(twos, comes);
            account.threes.change(thirds.len() as u32, comes);
        }
        self.thirds = thirds;
    }

    /// Cuts an account, or takes it back: the cycles through it no longer count, or count again.
    fn cut(&mut self, slot: u32, cut: bool) {
        let account = &mut self.accounts[slot];
        account.is_cut = cut;
        let payees: Vec<u32> = account.payees.list().iter().map(|(payee, _)| *payee).collect();
        let payers = account.payers.list().to_vec();
        let (mut twos, mut threes) = (0, 0);
        for other in payees.iter().chain(&payers) {
            self.accounts[*other].to_cut.change(1, cut);
        }
        let mut lasts = std::mem::take(&mut self.thirds);
        let payers = Among::new(payers);
        for &next in &payees {
            if self.accounts[next].is_cut {
                continue;
            }
            if payers.contains(next) {
                twos += 1;
                self.accounts[next].twos.change(1, !cut);
            }
            lasts.clear();
            let after = self.accounts[next].payees.list().iter().map(|(last, _)| *last);
            let closes = |last: &u32| payers.contains(*last) && !self.accounts[*last].is_cut;
            lasts.extend(after.filter(closes));
            for last in &lasts {
                self.accounts[*last].threes.change(1, !cut);
            }
            self.accounts[next].threes.change(lasts.len() as u32, !cut);
            threes += lasts.len() as u32;
        }
        self.thirds = lasts;
        let account = &mut self.accounts[slot];
        (account.twos, account.threes) = if cut { (0, 0) } else { (twos, threes) };
    }

    /// How many accounts and edges there are, and the bytes that they take.
    pub(crate) fn usage(&self) -> (u64, u64, u64) {
        let mut usage = (0, 0, 0);
        for account in self.accounts.0.iter().flatten() {
            usage.0 += u64::from(account.key != [0; 2]);
            usage.1 += account.payees.len() as u64;
            usage.2 += account.payees.heap_bytes() + account.payers.heap_bytes();
        }
        let due: usize = self.due.values().map(|edges| edges.capacity() * size_of::<Edge>()).sum();
        let slots: usize = self.slots.iter().map(|slots| slots.capacity() * 5).sum();
        let pages = self.accounts.0.len() * PAGE * size_of::<Account>();
        let pending = self.pending.capacity() * size_of::<Hop>();
        (usage.0, usage.1, (usage.2 + due + slots + pages + pending) as u64)
    }
}

impl Snapshot for Graph {
    fn share(&self) -> Share {
        Share::Whole
    }

    fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>)) {
        let Graph { accounts, free, pending, due, shrunk, moment, .. } = self;
        put(0, snapshot::encode(&(accounts, free, pending, due, shrunk, moment)));
    }

    fn load(&mut self, _: usize, bytes: &[u8]) -> Result<(), Broken> {
        (self.accounts, self.free, self.pending, self.due, self.shrunk, self.moment) =
            snapshot::decode(bytes)?;
        for page in &mut self.accounts.0 {
            page.reserve_exact(PAGE - page.len());
        }
        let accounts = &self.accounts;
        let hash = |slot: &u32| accounts[*slot].key[0];
        for (slot, account) in (0..).zip(accounts.0.iter().flatten()) {
            if account.key != [0; 2] {
                let key = Key { hash: whole(&account.key), check: account.check };
                self.slots[key.group()].insert_unique(account.key[0], slot, hash);
            }
        }
        Ok(())
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

impl Account {
    /// The account of a free slot.
    fn new() -> Account {
        Account {
            key: [0; 2],
            check: 0,
            waiting: 0,
            twos: 0,
            threes: 0,
            to_cut: 0,
            is_cut: false,
            payees: Payees::default(),
            payers: Payers::default(),
        }
    }

    fn degree(&self) -> usize {
        self.payees.len() + self.payers.len()
    }

    fn is_large(&self, most: usize) -> bool {
        self.payees.len() > most || self.payers.len() > most
    }

    fn touch(&self) -> u32 {
        self.payees.touch() ^ self.payers.touch() ^ self.to_cut
    }
}

/// Accounts of a page: memory grows page by page, for one big array would stall when it grows.
const PAGE: usize = 1 << 12;

/// The accounts, by slot.
#[derive(Default, Serialize, Deserialize)]
struct Pages(Vec<Vec<Account>>);

impl Pages {
    /// Adds an account, and says where.
    fn push(&mut self) -> u32 {
        if self.0.last().is_none_or(|page| page.len() == PAGE) {
            self.0.push(Vec::with_capacity(PAGE));
        }
        let pages = self.0.len();
        let page = &mut self.0[pages - 1];
        page.push(Account::new());
        ((pages - 1) * PAGE + page.len() - 1) as u32
    }
}

impl Index<u32> for Pages {
    type Output = Account;

    fn index(&self, slot: u32) -> &Account {
        &self.0[slot as usize / PAGE][slot as usize % PAGE]
    }
}

impl IndexMut<u32> for Pages {
    fn index_mut(&mut self, slot: u32) -> &mut Account {
        &mut self.0[slot as usize / PAGE][slot as usize % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::oracle::{Hop, cycle, cycle4};
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
                    let slot = graph.find(key(account), hop.time);
                    let found = slot.map_or_else(Cycle::default, |slot| graph.of(slot));
                    prop_assert_eq!(found, Cycle { hops, left_out }, "of {} at {}", account, at);
                }
                for account in 1..9 {
                    let (hops, left_out) = cycle4(&hops[..=at], account, moment, most);
                    let slot = graph.find(key(account), hop.time);
                    let found = slot.map_or_else(Cycle::default, |slot| graph.up_to_four(slot));
                    prop_assert_eq!(found, Cycle { hops, left_out }, "of {} at {}", account, at);
                }
            }
        }
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut graph = Graph::new(GraphTick(10_000), 64);
        for at in 0..10_000 {
            let time = at as i64 * HOUR;
            graph.hop(time, key(at), key(at + 1));
            graph.find(key(at), time);
        }
        let (accounts, edges, bytes) = graph.usage();
        assert!(accounts < 30 && edges < 30 && bytes < 500_000, "{accounts} {edges} {bytes}");
    }
}
