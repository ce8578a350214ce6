//! An exact quantile over values that come and go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The values of a window in two sorted halves, the split at the quantile's rank, so that reading
/// it is one look and a change moves at most one value across.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Quantile {
    low: Half,
    high: Half,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Half {
    counts: BTreeMap<i64, u32>,
    len: u64,
}

/// Parts of a quantile: `q = 0.5` is 500,000.
pub(crate) const QUANTILE_UNIT: u64 = 1_000_000;

impl Quantile {
    pub(crate) fn insert(&mut self, value: i64, q: u64) {
        match self.low.counts.last_key_value() {
            Some((&last, _)) if value <= last => self.low.insert(value),
            _ => self.high.insert(value),
        }
        self.balance(q);
    }

    pub(crate) fn remove(&mut self, value: i64, q: u64) {
        match self.low.counts.last_key_value() {
            Some((&last, _)) if value <= last => self.low.remove(value),
            _ => self.high.remove(value),
        }
        self.balance(q);
    }

    /// The nearest-rank quantile: the value of rank ceil(q n), at least 1.
    pub(crate) fn value(&self) -> Option<i64> {
        self.low.counts.last_key_value().map(|(value, _)| *value)
    }

    /// Heap bytes in use, roughly: a B-tree node is about two thirds full.
    pub(crate) fn heap_bytes(&self) -> usize {
        (self.low.counts.len() + self.high.counts.len()) * 18
    }

    fn balance(&mut self, q: u64) {
        let total = self.low.len + self.high.len;
        let rank = (q * total).div_ceil(QUANTILE_UNIT).clamp(u64::from(total > 0), total);
        while self.low.len < rank {
            let Some((&value, _)) = self.high.counts.first_key_value() else {
                break;
            };
            self.high.remove(value);
            self.low.insert(value);
        }
        while self.low.len > rank {
            let Some((&value, _)) = self.low.counts.last_key_value() else {
                break;
            };
            self.low.remove(value);
            self.high.insert(value);
        }
    }
}

impl Half {
    fn insert(&mut self, value: i64) {
        *self.counts.entry(value).or_default() += 1;
        self.len += 1;
    }

    fn remove(&mut self, value: i64) {
        if let Some(count) = self.counts.get_mut(&value) {
            *count -= 1;
            self.len -= 1;
            if *count == 0 {
                self.counts.remove(&value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_sorting(
            values in prop::collection::vec(-9i64..9, 1..80),
            q in 0..=QUANTILE_UNIT,
            window in 1usize..20,
        ) {
            let mut quantile = Quantile::default();
            for at in 0..values.len() {
                quantile.insert(values[at], q);
                if at >= window {
                    quantile.remove(values[at - window], q);
                }
                let mut held = values[(at + 1).saturating_sub(window)..=at].to_vec();
                held.sort_unstable();
                let rank = (q as u128 * held.len() as u128).div_ceil(QUANTILE_UNIT.into()).max(1);
                prop_assert_eq!(quantile.value(), Some(held[rank as usize - 1]));
            }
        }
    }
}
