//! Keyed by device: the edges that link accounts, and when they come and go.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::ClusterOptions;
use super::spread::Spread;
use crate::event::Strings;
use crate::keyed::{KEY_GROUPS, Key};

/// Up to so many accounts of a device are searched one by one.
const FEW: usize = 16;

/// How an edge between an account and a device changes; 128 bits stand for each of the two.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EdgeChange {
    /// The moment from which on it is so.
    pub(crate) at: i64,
    pub(crate) account: u128,
    pub(crate) device: u128,
    pub(crate) step: EdgeStep,
}

/// What becomes of an edge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum EdgeStep {
    /// It is there; as far as is known, until that moment. The account's id comes with it.
    Link { name: CompactString, until: i64 },
    /// It stays until that moment, as far as is known. This is told before it would have gone.
    Hold { until: i64 },
    /// It is gone: its time has come, or its device has too many accounts, or only one.
    Cut,
}

/// The accounts of each device, with when each was last seen there.
pub(crate) struct SharedEdges {
    options: ClusterOptions,
    devices: Spread<u128, Accounts>,
    /// What becomes true at a moment to come.
    arrivals: BTreeMap<i64, Arrivals>,
    /// When each edge is to be looked at again: device and account.
    due: BTreeMap<i64, Vec<(u128, u128)>>,
    hubs: Hubs,
}

/// Devices, or values of another link, that linked nobody, for they had too many accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hubs {
    /// How often one came to have more accounts than its limit.
    pub times: u64,
    /// The most accounts that one of them had.
    pub accounts_max: u64,
}

impl Hubs {
    /// Adds what was found elsewhere.
    pub(crate) fn add(&mut self, other: Hubs) {
        self.times += other.times;
        self.accounts_max = self.accounts_max.max(other.accounts_max);
    }
}

/// Events of accounts on devices that may make edges at one moment.
#[derive(Default, Serialize, Deserialize)]
struct Arrivals {
    seen: Vec<Seen>,
    /// The accounts' ids, in the same places.
    names: Strings,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Seen {
    device: u128,
    account: u128,
    time: i64,
}

/// An account on a device.
#[derive(Serialize, Deserialize)]
struct Account {
    name: CompactString,
    last: i64,
}

/// The accounts of one device, by the 128 bits that stand for each.
#[derive(Serialize, Deserialize)]
enum Accounts {
    Few(Vec<(u128, Account)>),
    Many(BTreeMap<u128, Account>),
}

/// What is kept of the devices of one key group, to be written down.
#[derive(Default, Serialize)]
pub(crate) struct EdgesOut<'e> {
    devices: Vec<(u128, &'e Accounts)>,
    arrivals: Vec<(i64, Seen, &'e str)>,
    due: Vec<(i64, u128, u128)>,
    hubs: Hubs,
}

/// The same, read back.
#[derive(Default, Deserialize)]
pub(crate) struct EdgesIn {
    devices: Vec<(u128, Accounts)>,
    arrivals: Vec<(i64, Seen, CompactString)>,
    due: Vec<(i64, u128, u128)>,
    hubs: Hubs,
}

impl EdgesOut<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        let EdgesOut { devices, arrivals, due, hubs } = self;
        devices.is_empty() && arrivals.is_empty() && due.is_empty() && *hubs == Hubs::default()
    }
}

impl SharedEdges {
    /// What is kept, by key group; what was left out is told with group `first`.
    pub(crate) fn save(&self, first: usize) -> Vec<EdgesOut<'_>> {
        let group = |device: u128| Key { hash: device, check: 0 }.group();
        let mut groups: Vec<EdgesOut<'_>> = (0..KEY_GROUPS).map(|_| EdgesOut::default()).collect();
        for (device, accounts) in self.devices.iter() {
            groups[group(*device)].devices.push((*device, accounts));
        }
        for (enters, arrivals) in &self.arrivals {
            for (at, seen) in arrivals.seen.iter().enumerate() {
                let arrival = (*enters, *seen, arrivals.names.get(at));
                groups[group(seen.device)].arrivals.push(arrival);
            }
        }
        for (leaves, edges) in &self.due {
            for (device, account) in edges {
                groups[group(*device)].due.push((*leaves, *device, *account));
            }
        }
        groups[first].hubs = self.hubs;
        groups
    }

    /// Takes in what was kept of a key group.
    pub(crate) fn load(&mut self, kept: EdgesIn) {
        for (device, accounts) in kept.devices {
            self.devices.insert(device, accounts);
        }
        for (enters, seen, name) in kept.arrivals {
            let arrivals = self.arrivals.entry(enters).or_default();
            arrivals.seen.push(seen);
            arrivals.names.push(&name);
        }
        for (leaves, device, account) in kept.due {
            self.due.entry(leaves).or_default().push((device, account));
        }
        self.hubs.add(kept.hubs);
    }

    pub(crate) fn new(options: ClusterOptions) -> SharedEdges {
        SharedEdges {
            options,
            devices: Spread::default(),
            arrivals: BTreeMap::new(),
            due: BTreeMap::new(),
            hubs: Hubs::default(),
        }
    }

    /// What was left out so far.
    pub(crate) fn hubs(&self) -> Hubs {
        self.hubs
    }

    /// Takes an event of an account on a device.
    pub(crate) fn see(&mut self, device: u128, account: u128, name: &str, time: i64) {
        let enters = self.options.enters(time);
        let held = self.devices.get_mut(&device).and_then(|accounts| accounts.get_mut(account));
        // Most often the edge is there, and by this event only stays longer.
        if let Some(held) = held
            && enters <= self.options.leaves(held.last)
        {
            held.last = held.last.max(time);
            return;
        }
        let arrivals = self.arrivals.entry(enters).or_default();
        arrivals.seen.push(Seen { device, account, time });
        arrivals.names.push(name);
    }

    /// Says how the linking edges change until `until`, the end of what is known.
    pub(crate) fn advance(&mut self, until: i64, changes: &mut Vec<EdgeChange>) {
        loop {
            let next = [self.arrivals.keys().next(), self.due.keys().next()];
            let Some(now) = next.into_iter().flatten().min().copied() else {
                return;
            };
            if now > until {
                return;
            }
            self.step(now, changes);
        }
    }

    fn step(&mut self, now: i64, changes: &mut Vec<EdgeChange>) {
        let mut touched: BTreeMap<u128, Touched> = BTreeMap::new();
        let arrivals = self.arrivals.remove(&now).unwrap_or_default();
        for (at, seen) in arrivals.seen.iter().enumerate() {
            if self.options.leaves(seen.time) <= now {
                continue; // The window is shorter than a tick.
            }
            let accounts = self.devices.entry(seen.device, || Accounts::Few(Vec::new()));
            if let Some(held) = accounts.get_mut(seen.account) {
                held.last = held.last.max(seen.time);
                continue;
            }
            let touch = touched.entry(seen.device).or_insert_with(|| Touched::new(accounts.len()));
            let name = arrivals.names.get(at);
            accounts.insert(seen.account, Account { name: name.into(), last: seen.time });
            touch.added.push(seen.account);
            let again = self.due.entry(self.options.leaves(seen.time)).or_default();
            again.push((seen.device, seen.account));
        }
        for (device, account) in self.due.remove(&now).unwrap_or_default() {
            let Some(accounts) = self.devices.get_mut(&device) else {
                continue;
            };
            let Some(held) = accounts.get_mut(account) else {
                continue;
            };
            let leaves = self.options.leaves(held.last);
            let count = accounts.len();
            let touch = touched.entry(device).or_insert_with(|| Touched::new(count));
            if leaves > now {
                self.due.entry(leaves).or_default().push((device, account));
                touch.held.push(account);
            } else if accounts.remove(account).is_some() {
                touch.removed.push(account);
            }
        }
        for (device, touch) in touched {
            let Some(accounts) = self.devices.get(&device) else {
                continue;
            };
            self.tell(device, accounts, &touch, now, changes);
            let (count, limit) = (accounts.len(), self.options.hub_limit);
            if count == 0 {
                self.devices.remove(&device);
            } else if count > limit {
                let times = u64::from(touch.before <= limit);
                self.hubs.add(Hubs { times, accounts_max: count as u64 });
            }
        }
    }

    /// Only devices with at least two accounts, and not more than the hub limit, link.
    fn tell(
        &self,
        device: u128,
        accounts: &Accounts,
        touch: &Touched,
        now: i64,
        changes: &mut Vec<EdgeChange>,
    ) {
        let links = |count: usize| (2..=self.options.hub_limit).contains(&count);
        let mut change = |account: u128, step| {
            changes.push(EdgeChange { at: now, account, device, step });
        };
        let until = |account: &Account| self.options.leaves(account.last);
        let link = |account: &Account| {
            let (name, until) = (account.name.clone(), until(account));
            EdgeStep::Link { name, until }
        };
        match (links(touch.before), links(accounts.len())) {
            (false, false) => {}
            (false, true) => accounts.each(|key, account| change(key, link(account))),
            (true, false) => {
                let mut added = touch.added.clone();
                added.sort_unstable();
                accounts.each(|key, _| {
                    if added.binary_search(&key).is_err() {
                        change(key, EdgeStep::Cut);
                    }
                });
                touch.removed.iter().for_each(|account| change(*account, EdgeStep::Cut));
            }
            (true, true) => {
                touch.removed.iter().for_each(|account| change(*account, EdgeStep::Cut));
                for key in &touch.held {
                    if let Some(account) = accounts.get(*key) {
                        change(*key, EdgeStep::Hold { until: until(account) });
                    }
                }
                for key in &touch.added {
                    if let Some(account) = accounts.get(*key) {
                        change(*key, link(account));
                    }
                }
            }
        }
    }
}

/// What happens to a device at one moment.
struct Touched {
    before: usize,
    added: Vec<u128>,
    held: Vec<u128>,
    removed: Vec<u128>,
}

impl Touched {
    fn new(before: usize) -> Touched {
        Touched { before, added: Vec::new(), held: Vec::new(), removed: Vec::new() }
    }
}

impl Accounts {
    fn len(&self) -> usize {
        match self {
            Accounts::Few(accounts) => accounts.len(),
            Accounts::Many(accounts) => accounts.len(),
        }
    }

    fn get_mut(&mut self, account: u128) -> Option<&mut Account> {
        match self {
            Accounts::Few(accounts) => {
                let found = accounts.iter_mut().find(|(held, _)| *held == account);
                found.map(|(_, account)| account)
            }
            Accounts::Many(accounts) => accounts.get_mut(&account),
        }
    }

    /// Adds an account that is not there.
    fn insert(&mut self, key: u128, account: Account) {
        match self {
            Accounts::Few(accounts) if accounts.len() < FEW => accounts.push((key, account)),
            Accounts::Few(accounts) => {
                let many = std::mem::take(accounts).into_iter().chain([(key, account)]);
                *self = Accounts::Many(many.collect());
            }
            Accounts::Many(accounts) => {
                accounts.insert(key, account);
            }
        }
    }

    fn remove(&mut self, account: u128) -> Option<Account> {
        match self {
            Accounts::Few(accounts) => {
                let at = accounts.iter().position(|(held, _)| *held == account)?;
                Some(accounts.swap_remove(at).1)
            }
            Accounts::Many(accounts) => accounts.remove(&account),
        }
    }

    fn get(&self, account: u128) -> Option<&Account> {
        match self {
            Accounts::Few(accounts) => {
                let found = accounts.iter().find(|(held, _)| *held == account);
                found.map(|(_, account)| account)
            }
            Accounts::Many(accounts) => accounts.get(&account),
        }
    }

    fn each(&self, mut found: impl FnMut(u128, &Account)) {
        match self {
            Accounts::Few(accounts) => {
                accounts.iter().for_each(|(key, account)| found(*key, account))
            }
            Accounts::Many(accounts) => {
                accounts.iter().for_each(|(key, account)| found(*key, account))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// The edges told, added up, are at each moment those of the definition.
        #[test]
        fn equal_the_definition(
            events in prop::collection::vec((0i64..400, 0u8..9, 1u8..5), 1..120),
            graph_tick in prop::sample::select(vec![7i64, 50, 500]),
            window in prop::sample::select(vec![300i64, 2_000]),
            hub_limit in 2usize..6,
            cut in 1usize..30,
        ) {
            let options = ClusterOptions { graph_tick, window, hub_limit };
            let mut edges = SharedEdges::new(options);
            let (mut time, mut seen, mut changes) = (10_000, Vec::new(), Vec::new());
            for (at, (gap, account, device)) in events.into_iter().enumerate() {
                time += gap;
                if at % cut == 0 {
                    edges.advance(time, &mut changes);
                }
                seen.push((time, u128::from(account), u128::from(device)));
                edges.see(u128::from(device), u128::from(account), &format!("u{account}"), time);
            }
            edges.advance(time, &mut changes);
            let (mut hubs, mut were) = (Hubs::default(), BTreeSet::new());
            for moment in (0..=time).step_by(graph_tick as usize) {
                let mut told: BTreeMap<(u128, u128), i64> = BTreeMap::new();
                for change in changes.iter().filter(|change| change.at <= moment) {
                    let edge = (change.account, change.device);
                    match &change.step {
                        EdgeStep::Link { until, name } => {
                            prop_assert_eq!(name.as_str(), format!("u{}", change.account));
                            prop_assert_eq!(told.insert(edge, *until), None, "linked twice");
                        }
                        EdgeStep::Hold { until } => {
                            let before = told.insert(edge, *until);
                            let in_time = before.is_some_and(|held| change.at <= held);
                            prop_assert!(in_time, "held after it would have gone");
                        }
                        EdgeStep::Cut => {
                            let before = told.remove(&edge);
                            let in_time = before.is_some_and(|held| change.at <= held);
                            prop_assert!(in_time, "there is no edge after its time");
                        }
                    }
                }
                let mut linked: BTreeMap<u128, BTreeSet<u128>> = BTreeMap::new();
                for (at, account, device) in &seen {
                    if *at < moment && *at >= moment - window {
                        linked.entry(*device).or_default().insert(*account);
                    }
                }
                let large = linked.iter().filter(|(_, accounts)| accounts.len() > hub_limit);
                let large: BTreeMap<u128, usize> =
                    large.map(|(device, accounts)| (*device, accounts.len())).collect();
                for (device, count) in &large {
                    let times = u64::from(!were.contains(device));
                    hubs.add(Hubs { times, accounts_max: *count as u64 });
                }
                were = large.into_keys().collect();
                linked.retain(|_, accounts| (2..=hub_limit).contains(&accounts.len()));
                let expected: BTreeSet<(u128, u128)> = linked
                    .iter()
                    .flat_map(|(device, accounts)| {
                        accounts.iter().map(|account| (*account, *device))
                    })
                    .collect();
                let told: BTreeSet<(u128, u128)> = told.into_keys().collect();
                prop_assert_eq!(told, expected, "as of {}", moment);
            }
            prop_assert_eq!(edges.hubs(), hubs);
        }
    }
}
