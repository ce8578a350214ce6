//! A vector in blocks: one that grows by moving would stall for tens of milliseconds at a million
//! places.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// So many values make a block.
const BLOCK: usize = 1 << 14;

/// Values by place, in blocks that never move.
#[derive(Serialize, Deserialize)]
pub(crate) struct Slab<T> {
    blocks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { blocks: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, value: T) {
        if self.len.is_multiple_of(BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        if let Some(last) = self.blocks.last_mut() {
            last.push(value);
        }
        self.len += 1;
    }

    /// What the blocks take up.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK * size_of::<T>()
    }
}

impl<T> Index<usize> for Slab<T> {
    type Output = T;

    fn index(&self, at: usize) -> &T {
        &self.blocks[at / BLOCK][at % BLOCK]
    }
}

impl<T> IndexMut<usize> for Slab<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.blocks[at / BLOCK][at % BLOCK]
    }
}
