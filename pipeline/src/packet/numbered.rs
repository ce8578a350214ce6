//! Things numbered as they come, the oldest forgotten first.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Things in a chunk: one chunk is allocated at a time, so that growing never copies what is there.
/// In tests chunks are small, so that much is forgotten.
const CHUNK: usize = if cfg!(test) { 8 } else { 4096 };

/// A list of things with numbers from 0 that can drop its front. The number of a thing never
/// changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Numbered<T> {
    chunks: VecDeque<Vec<T>>,
    /// The number of the first thing of the first chunk.
    base: u64,
    len: u64,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Numbered { chunks: VecDeque::new(), base: 0, len: 0 }
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
                let mut chunk = Vec::with_capacity(CHUNK);
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
