//! Keyed by device: the edges that link accounts, and when they come and go.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::{Change, ClusterOptions};

/// Up to so many accounts of a device stand in one sorted block.
const FEW: usize = 32;

/// An edge between an account and a device that 128 bits stand for.
pub(crate) type Edge = (String, u128);

/// The accounts of each device, with when each was last seen there.
pub(crate) struct SharedEdges {
    options: ClusterOptions,
    devices: HashMap<u128, Accounts, FxBuildHasher>,
    /// What becomes true at a moment to come.
    arrivals: BTreeMap<i64, Vec<Seen>>,
    /// When each edge is to be looked at again.
    due: BTreeMap<i64, Vec<(u128, Box<str>)>>,
}

struct Seen {
    device: u128,
    account: Box<str>,
    time: i64,
}

enum Accounts {
    Few(Vec<(Box<str>, i64)>),
    Many(BTreeMap<Box<str>, i64>),
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
    pub(crate) fn see(&mut self, device: u128, account: &str, time: i64) {
        let at = self.arrivals.entry(self.options.enters(time)).or_default();
        at.push(Seen { device, account: account.into(), time });
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
        for seen in self.arrivals.remove(&now).unwrap_or_default() {
            let accounts = self.devices.entry(seen.device).or_insert(Accounts::Few(Vec::new()));
            let touch = touched.entry(seen.device).or_insert_with(|| Touched::new(accounts.len()));
            if accounts.see(&seen.account, seen.time) {
                let again = self.due.entry(self.options.leaves(seen.time)).or_default();
                again.push((seen.device, seen.account.clone()));
                touch.added.push(seen.account);
            }
        }
        for (device, account) in self.due.remove(&now).unwrap_or_default() {
            let Some(accounts) = self.devices.get_mut(&device) else {
                continue;
            };
            let Some(last) = accounts.last_seen(&account) else {
                continue;
            };
            let leaves = self.options.leaves(last);
            if leaves > now {
                self.due.entry(leaves).or_default().push((device, account));
                continue;
            }
            let touch = touched.entry(device).or_insert_with(|| Touched::new(accounts.len()));
            accounts.remove(&account);
            touch.removed.push(account);
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

    /// Notes when the account was seen, and whether it is new to the device.
    fn see(&mut self, account: &str, time: i64) -> bool {
        match self {
            Accounts::Few(accounts) => {
                match accounts.binary_search_by(|(held, _)| (**held).cmp(account)) {
                    Ok(at) => {
                        accounts[at].1 = accounts[at].1.max(time);
                        return false;
                    }
                    Err(at) => accounts.insert(at, (account.into(), time)),
                }
                if accounts.len() > FEW {
                    *self = Accounts::Many(std::mem::take(accounts).into_iter().collect());
                }
                true
            }
            Accounts::Many(accounts) => match accounts.get_mut(account) {
                Some(last) => {
                    *last = (*last).max(time);
                    false
                }
                None => accounts.insert(account.into(), time).is_none(),
            },
        }
    }

    fn last_seen(&self, account: &str) -> Option<i64> {
        match self {
            Accounts::Few(accounts) => {
                let at = accounts.binary_search_by(|(held, _)| (**held).cmp(account)).ok()?;
                Some(accounts[at].1)
            }
            Accounts::Many(accounts) => accounts.get(account).copied(),
        }
    }

    fn remove(&mut self, account: &str) {
        match self {
            Accounts::Few(accounts) => accounts.retain(|(held, _)| **held != *account),
            Accounts::Many(accounts) => {
                accounts.remove(account);
            }
        }
    }

    fn each(&self, mut found: impl FnMut(&str)) {
        match self {
            Accounts::Few(accounts) => accounts.iter().for_each(|(account, _)| found(account)),
            Accounts::Many(accounts) => accounts.keys().for_each(|account| found(account)),
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
                edges.see(u128::from(device), &format!("u{account}"), time);
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
