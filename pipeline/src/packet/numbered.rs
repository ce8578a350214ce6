//! Things numbered as they come, the oldest forgotten first.

use std::collections::VecDeque;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use serde::{Deserialize, Serialize};

/// Things in a chunk: one chunk is allocated at a time, so that growing never copies what is there.
/// In tests chunks are small, so that much is forgotten.
const CHUNK: usize = if cfg!(test) { 8 } else { 4096 };

/// A list of things with numbers from 0 that can drop its front. The number of a thing never
/// changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct Numbered<T> {
    chunks: VecDeque<Vec<T>>,
    /// The number of the first thing of the first chunk.
    base: u64,
    len: u64,
    #[serde(skip)]
    ready: Ready<T>,
}

/// Chunks that a thread beside makes ready, where there is one; not for a copy.
#[derive(Debug)]
struct Ready<T>(Option<Mutex<Receiver<Vec<T>>>>);

impl<T> Default for Ready<T> {
    fn default() -> Self {
        Ready(None)
    }
}

impl<T> Clone for Ready<T> {
    fn clone(&self) -> Self {
        Ready(None)
    }
}

impl<T> Ready<T> {
    /// The next one, where it is ready.
    fn take(&self) -> Option<Vec<T>> {
        self.0.as_ref()?.lock().ok()?.try_recv().ok()
    }
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Numbered { chunks: VecDeque::new(), base: 0, len: 0, ready: Ready::default() }
    }
}

impl<T: Send + 'static> Numbered<T> {
    /// Has a thread make `count` chunks ready beforehand, for as long as the list is there. The
    /// system clears memory when it is touched for the first time, all at once where pages are large, and
    /// whoever touches it waits.
    pub fn make_ready(&mut self, count: usize) {
        let (made, ready) = sync_channel(count);
        std::thread::spawn(move || {
            loop {
                let mut chunk = Vec::with_capacity(CHUNK);
                // It has to be written; zeros alone could be asked of the system, which gives no
                // memory for them.
                chunk.spare_capacity_mut().fill_with(|| black_box(MaybeUninit::zeroed()));
                if made.send(chunk).is_err() {
                    break;
                }
            }
        });
        self.ready = Ready(Some(Mutex::new(ready)));
    }
}

impl<T> Numbered<T> {
    /// The number that the next thing will have.
    pub fn next(&self) -> u64 {
        self.len
    }

    /// Adds a thing and says its number.
    pub fn push(&mut self, thing: T) -> u64 {
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(thing),
            _ => {
                let mut chunk = self.ready.take().unwrap_or_else(|| Vec::with_capacity(CHUNK));
                chunk.push(thing);
                self.chunks.push_back(chunk);
            }
        }
        self.len += 1;
        self.len - 1
    }

    /// The thing of a number, unless it is forgotten or still to come.
    pub fn get(&self, number: u64) -> Option<&T> {
        let at = number.checked_sub(self.base)? as usize;
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    /// As [`get`](Self::get), to be changed.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let at = number.checked_sub(self.base)? as usize;
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }

    /// Forgets things of numbers below `number`, in whole chunks, and gives them, the oldest first.
    pub fn forget_before(&mut self, number: u64) -> impl Iterator<Item = T> + use<T> {
        let mut forgotten = Vec::new();
        while self.base + CHUNK as u64 <= number {
            forgotten.extend(self.chunks.pop_front());
            self.base += CHUNK as u64;
        }
        forgotten.into_iter().flatten()
    }

    /// Up to which number things can be forgotten in whole chunks, when `over` is true of the older
    /// ones and not of the newer.
    pub fn over_before(&self, over: impl Fn(&T) -> bool) -> u64 {
        let whole = self.chunks.iter().take_while(|chunk| chunk.len() == CHUNK);
        let over = whole.take_while(|chunk| chunk.last().is_some_and(&over)).count();
        self.base + (over * CHUNK) as u64
    }

    /// Up to which number things can be forgotten in whole chunks in which `over` is true of all.
    pub fn all_before(&self, over: impl Fn(&T) -> bool) -> u64 {
        let whole = self.chunks.iter().take_while(|chunk| chunk.len() == CHUNK);
        let over = whole.take_while(|chunk| chunk.iter().all(&over)).count();
        self.base + (over * CHUNK) as u64
    }

    /// The number of the first thing that is remembered.
    pub fn first(&self) -> u64 {
        self.base
    }

    /// All that are remembered, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        (self.base..).zip(self.chunks.iter().flatten())
    }
}

impl<T> std::ops::Index<u64> for Numbered<T> {
    type Output = T;

    fn index(&self, number: u64) -> &T {
        self.get(number).expect("a thing that is remembered")
    }
}

impl<T> std::ops::IndexMut<u64> for Numbered<T> {
    fn index_mut(&mut self, number: u64) -> &mut T {
        self.get_mut(number).expect("a thing that is remembered")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_made_ready_hold_things_as_others_do() {
        let mut numbered = Numbered::default();
        numbered.make_ready(2);
        let made = numbered.ready.0.as_ref().unwrap().lock().unwrap().recv().unwrap();
        assert!(made.is_empty() && made.capacity() >= CHUNK);
        let mut copy = numbered.clone();
        for value in 0..20 * CHUNK as u64 {
            assert_eq!((numbered.push(value), copy.push(value)), (value, value));
        }
        let numbers = |list: &Numbered<u64>| list.iter().map(|(_, value)| *value).collect();
        let (of_one, of_the_other): (Vec<u64>, Vec<u64>) = (numbers(&numbered), numbers(&copy));
        assert_eq!(of_one, (0..20 * CHUNK as u64).collect::<Vec<_>>());
        assert_eq!(of_one, of_the_other);
    }

    #[test]
    fn numbers_stay_when_the_front_is_forgotten() {
        let mut numbered = Numbered::default();
        let chunk = CHUNK as u64;
        let all = 2 * chunk + chunk / 2;
        for value in 0..all {
            assert_eq!(numbered.push(value), value);
        }
        let forgotten: Vec<u64> = numbered.forget_before(chunk + chunk / 2).collect();
        assert_eq!(forgotten, (0..chunk).collect::<Vec<_>>(), "whole chunks only");
        assert_eq!(numbered.first(), chunk);
        let last = 2 * chunk - 1;
        assert_eq!(numbered.over_before(|&value| value < last), chunk, "this one ends the chunk");
        assert_eq!(numbered.over_before(|&value| value <= last), 2 * chunk);
        assert_eq!(numbered.over_before(|&value| value != chunk), 2 * chunk, "its last one says");
        assert_eq!(numbered.all_before(|&value| value != chunk), chunk, "all of them say");
        assert_eq!(numbered.all_before(|_| true), 2 * chunk, "whole chunks only");
        assert_eq!(numbered.get(chunk - 1), None);
        assert_eq!(numbered[chunk], chunk);
        assert_eq!(numbered.get(all), None);
        assert_eq!(numbered.iter().count() as u64, all - chunk);
    }
}
