//! A map from keys to states that end: what is quiet for longer than its longest window is dropped.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::features::state::Usage;
use crate::keyed::{KEY_GROUPS, Key};

/// A state of which nothing is left in the end.
pub(crate) trait Ending: Default {
    /// Its longest window in ms.
    const LONGEST_MS: i64;

    /// The effective time from which on nothing of it is in any window.
    fn ends(&self) -> i64;

    /// Lets go what no window holds at `time`, and the room that it took.
    fn rest(&mut self, time: i64);

    /// How many events are kept.
    fn events(&self) -> usize;

    /// Heap bytes in use.
    fn heap_bytes(&self) -> usize;
}

/// One worker's states of one kind, by key group.
pub(crate) struct States<S> {
    parts: Vec<Part<S>>,
}

struct Part<S> {
    states: HashMap<u128, Held<S>, FxBuildHasher>,
    /// How many the last sweep left.
    survivors: usize,
    /// When the next sweep is due at the latest.
    sweep_at: i64,
}

struct Held<S> {
    check: u32,
    state: S,
}

impl<S: Ending> States<S> {
    pub(crate) fn new() -> States<S> {
        let part = |_| Part { states: HashMap::default(), survivors: 0, sweep_at: i64::MIN };
        States { parts: (0..KEY_GROUPS).map(part).collect() }
    }

    /// The state of a key at `time`, if there is one.
    pub(crate) fn find(&mut self, key: Key, time: i64) -> Option<&mut S> {
        let part = self.part(key, time);
        let held = part.states.get_mut(&key.hash)?;
        check(key, held.check);
        Some(&mut held.state)
    }

    /// The state of a key at `time`, which is not before any time so far; a new one if need be.
    pub(crate) fn entry(&mut self, key: Key, time: i64) -> &mut S {
        let part = self.part(key, time);
        part.sweep_when_grown(time);
        let fresh = || Held { check: key.check, state: S::default() };
        let held = part.states.entry(key.hash).or_insert_with(fresh);
        check(key, held.check);
        &mut held.state
    }

    /// The state of a key, if there is one, only to be looked at.
    pub(crate) fn peek(&self, key: Key) -> Option<&S> {
        self.parts[key.group()].states.get(&key.hash).map(|held| &held.state)
    }

    /// What the states take up; a walk over everything, for the report.
    pub(crate) fn usage(&self) -> Usage {
        let slot = size_of::<(u128, Held<S>)>() + 1;
        let sum = |of: &dyn Fn(&Part<S>) -> usize| self.parts.iter().map(of).sum::<usize>() as u64;
        let over = |of: fn(&S) -> usize| {
            sum(&|part| part.states.values().map(|held| of(&held.state)).sum())
        };
        let slots = sum(&|part| part.states.capacity() * slot);
        Usage {
            keys: sum(&|part| part.states.len()),
            events: over(S::events),
            bytes: slots + over(S::heap_bytes),
        }
    }

    fn part(&mut self, key: Key, time: i64) -> &mut Part<S> {
        let part = &mut self.parts[key.group()];
        if time >= part.sweep_at {
            part.sweep(time);
        }
        part
    }
}

fn check(key: Key, held: u32) {
    assert!(held == key.check, "two keys share the 128-bit hash {:032x}", key.hash);
}

impl<S: Ending> Part<S> {
    /// A sweep waits until the keys have doubled since the last one, or the longest window has
    /// passed: so each key pays for a bounded number of looks, and memory follows the live keys.
    fn sweep_when_grown(&mut self, now: i64) {
        const KEYS_MIN: usize = 32;
        if self.states.len() >= 2 * self.survivors + KEYS_MIN {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: i64) {
        self.states.retain(|_, held| {
            let lives = held.state.ends() > now;
            if lives {
                held.state.rest(now);
            }
            lives
        });
        if self.states.len() * 8 < self.states.capacity() {
            self.states.shrink_to(2 * self.states.len());
        }
        self.survivors = self.states.len();
        self.sweep_at = now.saturating_add(S::LONGEST_MS);
    }
}
