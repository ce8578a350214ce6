//! Keyed by device: the edges that link accounts, and when they come and go.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::{Change, ClusterOptions};
use crate::event::Strings;

/// Up to so many accounts of a device are searched one by one.
const FEW: usize = 16;

/// An edge between an account and a device that 128 bits stand for.
pub(crate) type Edge = (String, u128);

/// The accounts of each device, with when each was last seen there.
pub(crate) struct SharedEdges {
    options: ClusterOptions,
    devices: HashMap<u128, Accounts, FxBuildHasher>,
    /// What becomes true at a moment to come.
    arrivals: BTreeMap<i64, Arrivals>,
    /// When each edge is to be looked at again: device and account.
    due: BTreeMap<i64, Vec<(u128, u128)>>,
}

/// Events of accounts on devices that may make edges at one moment.
#[derive(Default)]
struct Arrivals {
    seen: Vec<Seen>,
    /// The accounts' ids, in the same places.
    names: Strings,
}

#[derive(Clone, Copy)]
struct Seen {
    device: u128,
    account: u128,
    time: i64,
}

/// An account on a device.
struct Account {
    name: Box<str>,
    last: i64,
}

/// The accounts of one device, by the 128 bits that stand for each.
enum Accounts {
    Few(Vec<(u128, Account)>),
    Many(BTreeMap<u128, Account>),
}

impl SharedEdges {
    pub(crate) fn new(options: ClusterOptions) -> SharedEdges {
        SharedEdges {
            options,
            devices: HashMap::default(),
            arrivals: BTreeMap::new(),
            due: BTreeMap::new(),
        }
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
    pub(crate) fn advance(&mut self, until: i64, changes: &mut Vec<Change<Edge>>) {
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

    fn step(&mut self, now: i64, changes: &mut Vec<Change<Edge>>) {
        let mut touched: BTreeMap<u128, Touched> = BTreeMap::new();
        let arrivals = self.arrivals.remove(&now).unwrap_or_default();
        for (at, seen) in arrivals.seen.iter().enumerate() {
            let accounts = self.devices.entry(seen.device).or_insert(Accounts::Few(Vec::new()));
            if let Some(held) = accounts.get_mut(seen.account) {
                held.last = held.last.max(seen.time);
                continue;
            }
            let touch = touched.entry(seen.device).or_insert_with(|| Touched::new(accounts.len()));
            let name = arrivals.names.get(at);
            accounts.insert(seen.account, Account { name: name.into(), last: seen.time });
            touch.added.push(name.into());
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
            if leaves > now {
                self.due.entry(leaves).or_default().push((device, account));
                continue;
            }
            let touch = touched.entry(device).or_insert_with(|| Touched::new(accounts.len()));
            touch.removed.extend(accounts.remove(account).map(|account| account.name));
        }
        for (device, touch) in touched {
            let Some(accounts) = self.devices.get(&device) else {
                continue;
            };
            self.tell(device, accounts, &touch, now as u64, changes);
            if accounts.len() == 0 {
                self.devices.remove(&device);
            }
        }
    }

    /// Only devices with at least two accounts, and not more than the hub limit, link.
    fn tell(
        &self,
        device: u128,
        accounts: &Accounts,
        touch: &Touched,
        now: u64,
        changes: &mut Vec<Change<Edge>>,
    ) {
        let links = |count: usize| (2..=self.options.hub_limit).contains(&count);
        let mut change = |account: &str, by| {
            changes.push(((account.to_owned(), device), now, by));
        };
        match (links(touch.before), links(accounts.len())) {
            (false, false) => {}
            (false, true) => accounts.each(|account| change(account, 1)),
            (true, false) => {
                accounts.each(|account| change(account, -1));
                touch.removed.iter().for_each(|account| change(account, -1));
                touch.added.iter().for_each(|account| change(account, 1));
            }
            (true, true) => {
                touch.removed.iter().for_each(|account| change(account, -1));
                touch.added.iter().for_each(|account| change(account, 1));
            }
        }
    }
}

/// What happens to a device at one moment.
struct Touched {
    before: usize,
    added: Vec<Box<str>>,
    removed: Vec<Box<str>>,
}

impl Touched {
    fn new(before: usize) -> Touched {
        Touched { before, added: Vec::new(), removed: Vec::new() }
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

    fn each(&self, mut found: impl FnMut(&str)) {
        match self {
            Accounts::Few(accounts) => {
                accounts.iter().for_each(|(_, account)| found(&account.name))
            }
            Accounts::Many(accounts) => accounts.values().for_each(|account| found(&account.name)),
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
                seen.push((time, format!("u{account}"), u128::from(device)));
                edges.see(u128::from(device), u128::from(account), &format!("u{account}"), time);
            }
            edges.advance(time, &mut changes);
            for moment in (0..=time).step_by(graph_tick as usize) {
                let mut told: BTreeMap<(String, u128), isize> = BTreeMap::new();
                for (edge, at, by) in &changes {
                    if *at as i64 <= moment {
                        *told.entry(edge.clone()).or_default() += by;
                    }
                }
                told.retain(|_, count| *count != 0);
                let mut linked: BTreeMap<u128, BTreeSet<&str>> = BTreeMap::new();
                for (at, account, device) in &seen {
                    if *at < moment && *at >= moment - window {
                        linked.entry(*device).or_default().insert(account);
                    }
                }
                linked.retain(|_, accounts| (2..=hub_limit).contains(&accounts.len()));
                let expected: BTreeMap<(String, u128), isize> = linked
                    .iter()
                    .flat_map(|(device, accounts)| {
                        accounts.iter().map(|account| ((account.to_string(), *device), 1))
                    })
                    .collect();
                prop_assert_eq!(told, expected, "as of {}", moment);
            }
        }
    }
}
