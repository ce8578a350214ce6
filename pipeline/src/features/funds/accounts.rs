//! What is kept by account, in a map a key group, and forgotten when it is over.

use hashbrown::HashTable;

use super::flows::WINDOW_MS;
use crate::keyed::{KEY_GROUPS, Key};

/// What is kept of one account.
pub(crate) trait Kept: Default {
    /// Forgets what no moment from `moment` on can see.
    fn expire(&mut self, moment: i64);

    /// Whether nothing is left: the account could as well be a new one.
    fn is_over(&self) -> bool;

    /// Reads what is touched first, to have it near.
    fn touch(&self) -> u64;

    /// Events that are remembered.
    fn events(&self) -> usize;

    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize;
}

/// One worker's part of the accounts.
pub(crate) struct Accounts<S> {
    groups: Vec<Group<S>>,
}

struct Group<S> {
    table: HashTable<Account<S>>,
    /// Accounts that the last sweep left.
    survivors: usize,
    /// When the next sweep is due at the latest.
    sweep_at: i64,
}

struct Account<S> {
    hash: u128,
    check: u32,
    state: S,
}

impl<S: Kept> Accounts<S> {
    pub(crate) fn new() -> Accounts<S> {
        let group = || Group { table: HashTable::new(), survivors: 0, sweep_at: i64::MIN };
        Accounts { groups: (0..KEY_GROUPS).map(|_| group()).collect() }
    }

    /// What is kept of an account, if it is known.
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut S> {
        let found = self.groups[key.group()].table.find_mut(key.hash as u64, of(key));
        found.map(|account| {
            account.verify(key);
            &mut account.state
        })
    }

    /// What is kept of an account, which is new where it is not known; forgets at times what is
    /// over at `moment`.
    pub(crate) fn entry(&mut self, key: Key, moment: i64) -> &mut S {
        let group = &mut self.groups[key.group()];
        group.sweep_when_due(moment);
        let new = || Account { hash: key.hash, check: key.check, state: S::default() };
        let hash = |account: &Account<S>| account.hash as u64;
        let account = group.table.entry(key.hash as u64, of(key), hash).or_insert_with(new);
        let account = account.into_mut();
        account.verify(key);
        &mut account.state
    }

    /// Reads accounts that are asked for next: the waits for memory, which are most of the cost,
    /// then overlap.
    pub(crate) fn look_ahead(&self, keys: impl Iterator<Item = Key>) {
        let touch = |key: Key| {
            let found = self.groups[key.group()].table.find(key.hash as u64, of(key));
            found.map_or(0, |account| account.state.touch())
        };
        std::hint::black_box(keys.fold(0, |all, key| all ^ touch(key)));
    }

    /// How many accounts are remembered, how many of their events, and the bytes that this takes.
    pub(crate) fn usage(&self) -> (u64, u64, u64) {
        let mut usage = (0, 0, 0);
        for group in &self.groups {
            usage.0 += group.table.len() as u64;
            usage.2 += (group.table.capacity() * (size_of::<Account<S>>() + 1)) as u64;
            for account in &group.table {
                usage.1 += account.state.events() as u64;
                usage.2 += account.state.heap_bytes() as u64;
            }
        }
        usage
    }
}

fn of<S>(key: Key) -> impl Fn(&Account<S>) -> bool {
    move |account| account.hash == key.hash
}

impl<S> Account<S> {
    fn verify(&self, key: Key) {
        assert!(self.check == key.check, "two keys share the 128-bit hash {:032x}", key.hash);
    }
}

impl<S: Kept> Group<S> {
    /// A sweep waits until the accounts have doubled since the last one, or a window has passed: so
    /// each pays for a bounded number of looks, and memory follows the accounts that are alive.
    fn sweep_when_due(&mut self, moment: i64) {
        const ACCOUNTS_MIN: usize = 32;
        if self.table.len() < 2 * self.survivors + ACCOUNTS_MIN && moment < self.sweep_at {
            return;
        }
        self.table.retain(|account| {
            account.state.expire(moment);
            !account.state.is_over()
        });
        self.survivors = self.table.len();
        self.sweep_at = moment.saturating_add(WINDOW_MS);
        if self.table.capacity() > 4 * (self.survivors + ACCOUNTS_MIN) {
            self.table.shrink_to(2 * self.survivors, |account| account.hash as u64);
        }
    }
}
