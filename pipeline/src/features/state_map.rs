//! States by key, in a map a key group, each forgotten when it is over: what keepers of structures
//! of their own stand on.

use std::array;
use std::collections::VecDeque;

use hashbrown::HashTable;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::state::{LOOK_AHEAD, Usage};
use crate::keyed::{KEY_GROUPS, Key};
use crate::snapshot::{self, Broken, Share, Snapshot};

/// However long a window, what has left it is looked for at least as often: a day in ms.
pub(crate) const SWEEP_MS: i64 = 86_400_000;
/// So few keys are not worth a sweep before it is due.
const KEYS_MIN: usize = 32;

/// What is kept of one key.
pub(crate) trait KeyedState: Default + Serialize + DeserializeOwned {
    /// Forgets what no moment from `moment` on can see, and gives back the room that it took.
    fn expire(&mut self, moment: i64);

    /// Whether nothing is left: it could as well be a new one.
    fn is_over(&self) -> bool;

    /// Reads what the next event reads first, to have it near.
    fn touch(&self) -> u64;

    /// Events that are remembered.
    fn events(&self) -> usize;

    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize;
}

/// One worker's states of one kind.
pub(crate) struct StateMap<S> {
    groups: Vec<Group<S>>,
}

/// The states of one key group: one big map would stall when it grows.
struct Group<S> {
    table: HashTable<Held<S>>,
    /// How many the last sweep left.
    survivors: usize,
    /// When the next sweep is due at the latest.
    sweep_at: i64,
}

struct Held<S> {
    hash: u128,
    check: u32,
    state: S,
}

impl<S: KeyedState> StateMap<S> {
    pub(crate) fn new() -> StateMap<S> {
        let group = || Group { table: HashTable::new(), survivors: 0, sweep_at: i64::MIN };
        StateMap { groups: (0..KEY_GROUPS).map(|_| group()).collect() }
    }

    /// The state of a key, if there is one.
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut S> {
        let found = self.groups[key.group()].table.find_mut(key.hash as u64, is(key));
        found.map(|held| held.verified(key))
    }

    /// The state of a key, a new one if need be. Moments do not fall; what is over by then is
    /// forgotten now and then.
    pub(crate) fn entry(&mut self, key: Key, moment: i64) -> &mut S {
        let group = &mut self.groups[key.group()];
        group.sweep_when_due(moment);
        let new = || Held { hash: key.hash, check: key.check, state: S::default() };
        let hash = |held: &Held<S>| held.hash as u64;
        let held = group.table.entry(key.hash as u64, is(key), hash).or_insert_with(new);
        held.into_mut().verified(key)
    }

    /// Reads the states of the first keys that are asked for next, [`LOOK_AHEAD`] of them: the waits
    /// for memory, which are most of the cost, then overlap.
    pub(crate) fn look_ahead(&self, keys: impl Iterator<Item = Key>) {
        let mut keys = keys.take(LOOK_AHEAD);
        let found: [Option<&Held<S>>; LOOK_AHEAD] = array::from_fn(|_| {
            let key = keys.next()?;
            self.groups[key.group()].table.find(key.hash as u64, is(key))
        });
        let touch = |held: &&Held<S>| held.state.touch();
        std::hint::black_box(found.iter().flatten().map(touch).fold(0, |all, one| all ^ one));
    }

    /// What the states take up; a walk over everything, for the report.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for group in &self.groups {
            usage.keys += group.table.len() as u64;
            usage.bytes += (group.table.capacity() * (size_of::<Held<S>>() + 1)) as u64;
            for held in &group.table {
                usage.events += held.state.events() as u64;
                usage.bytes += held.state.heap_bytes() as u64;
            }
        }
        usage
    }
}

impl<S: KeyedState> Snapshot for StateMap<S> {
    fn share(&self) -> Share {
        Share::Groups
    }

    fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>)) {
        for (number, group) in self.groups.iter().enumerate() {
            if !group.table.is_empty() {
                let held = group.table.iter().map(|held| (held.hash, held.check, &held.state));
                let held: Vec<(u128, u32, &S)> = held.collect();
                put(number, snapshot::encode(&(group.survivors, group.sweep_at, held)));
            }
        }
    }

    fn load(&mut self, number: usize, bytes: &[u8]) -> Result<(), Broken> {
        let (survivors, sweep_at, held): (_, _, Vec<(u128, u32, S)>) = snapshot::decode(bytes)?;
        let mut table = HashTable::with_capacity(held.len());
        for (hash, check, state) in held {
            let rehash = |held: &Held<S>| held.hash as u64;
            table.insert_unique(hash as u64, Held { hash, check, state }, rehash);
        }
        self.groups[number] = Group { table, survivors, sweep_at };
        Ok(())
    }
}

/// So much room of a queue is kept, however little of it is in use.
const ROOM_KEPT: usize = 16;

/// Gives room back where most of it is free: that takes less time than it took to fill.
pub(crate) fn give_back<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > ROOM_KEPT && queue.len() * 8 < queue.capacity() {
        queue.shrink_to(2 * queue.len());
    }
}

fn is<S>(key: Key) -> impl Fn(&Held<S>) -> bool {
    move |held| held.hash == key.hash
}

impl<S> Held<S> {
    fn verified(&mut self, key: Key) -> &mut S {
        assert!(self.check == key.check, "two keys share the 128-bit hash {:032x}", key.hash);
        &mut self.state
    }
}

impl<S: KeyedState> Group<S> {
    /// A sweep waits until the keys have doubled since the last one, or a day has passed: so each
    /// pays for a bounded number of looks, and memory follows the keys that are alive.
    fn sweep_when_due(&mut self, moment: i64) {
        if self.table.len() < 2 * self.survivors + KEYS_MIN && moment < self.sweep_at {
            return;
        }
        self.table.retain(|held| {
            held.state.expire(moment);
            !held.state.is_over()
        });
        self.survivors = self.table.len();
        self.sweep_at = moment.saturating_add(SWEEP_MS);
        if self.table.capacity() > 4 * (self.survivors + KEYS_MIN) {
            self.table.shrink_to(2 * self.survivors, |held| held.hash as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time of the last event of a key; a window of an hour.
    #[derive(Default, serde::Serialize, serde::Deserialize)]
    struct Last(i64);

    impl KeyedState for Last {
        fn expire(&mut self, moment: i64) {
            self.0 = if self.0 <= moment - 3_600_000 { 0 } else { self.0 };
        }

        fn is_over(&self) -> bool {
            self.0 == 0
        }

        fn touch(&self) -> u64 {
            self.0 as u64
        }

        fn events(&self) -> usize {
            1
        }

        fn heap_bytes(&self) -> usize {
            0
        }
    }

    #[test]
    fn keys_that_nobody_asks_for_again_are_gone_a_day_later() {
        let mut states: StateMap<Last> = StateMap::new();
        let key = |at: u64| Key::of(&at.to_le_bytes());
        for at in 1..=20_000 {
            states.entry(key(at), at as i64).0 = at as i64;
        }
        assert_eq!(states.usage().keys, 20_000);
        // A month later others come, one or more in every key group.
        for at in 30_000..35_000 {
            states.entry(key(at), 30 * SWEEP_MS).0 = 30 * SWEEP_MS;
        }
        assert_eq!(states.usage().keys, 5_000);
        assert!(states.get(key(1)).is_none() && states.get(key(30_000)).is_some());
    }
}
