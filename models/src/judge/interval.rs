//! Intervals by drawing again from what was judged (the bootstrap).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// The share of replicates on each side that an interval leaves out.
const TAIL: f64 = 0.025;

/// A figure with the interval of 95 percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What was measured.
    pub value: f64,
    /// 2.5 percent of the replicates are below.
    pub low: f64,
    /// 2.5 percent of the replicates are above.
    pub high: f64,
}

/// Rows that are drawn together, since they are not independent: those of a ring, of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    of_row: Vec<u32>,
    count: usize,
}

impl Blocks {
    /// Each row apart.
    pub fn rows(rows: usize) -> Blocks {
        Blocks { of_row: (0..rows as u32).collect(), count: rows }
    }

    /// Rows of one key together; a row without a key is apart.
    pub fn by_key(keys: impl IntoIterator<Item = Option<i64>>) -> Blocks {
        let mut known: BTreeMap<i64, u32> = BTreeMap::new();
        let mut count = 0;
        let mut next = || {
            count += 1;
            count - 1
        };
        let block = |key: Option<i64>| match key {
            Some(key) => *known.entry(key).or_insert_with(&mut next),
            None => next(),
        };
        // The closure borrows the counter: collect before it is read.
        let of_row = keys.into_iter().map(block).collect();
        Blocks { of_row, count: count as usize }
    }

    /// The number of blocks.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How often each row was drawn, when its block was drawn so often.
    pub fn of_rows(&self, times: &[u32]) -> Vec<u32> {
        self.of_row.iter().map(|block| times[*block as usize]).collect()
    }
}

/// Measures a figure, then measures it again on `replicates` draws of as many units as there are,
/// with replacement; the metric is given how often each unit was drawn. None where the figure
/// cannot be measured; draws on which it cannot are left out.
pub fn resample(
    units: usize,
    replicates: usize,
    seed: u64,
    metric: impl Fn(&[u32]) -> Option<f64>,
) -> Option<Figure> {
    let value = metric(&vec![1; units])?;
    let mut values = Vec::with_capacity(replicates);
    for replicate in 0..replicates {
        let mut random = Random::new(seed, replicate as u64);
        let mut times = vec![0; units];
        (0..units).for_each(|_| times[random.below(units)] += 1);
        values.extend(metric(&times));
    }
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let at = (values.len() as f64 * share) as usize;
        values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(value)
    };
    Some(Figure { value, low: at(TAIL), high: at(1.0 - TAIL) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_share_is_the_one_of_the_textbook() {
        // 300 of 1000: 0.3 +- 1.96 x sqrt(0.3 x 0.7 / 1000) = 0.2716 to 0.3284.
        let share = |times: &[u32]| Some(f64::from(times[..300].iter().sum::<u32>()) / 1000.0);
        let figure = resample(1000, 2000, 1, share).unwrap();
        assert_eq!(figure.value, 0.3);
        assert!((figure.low - 0.2716).abs() < 0.003, "{figure:?}");
        assert!((figure.high - 0.3284).abs() < 0.003, "{figure:?}");
        assert_eq!(resample(1000, 2000, 1, share), Some(figure));
    }

    #[test]
    fn blocks_are_drawn_whole() {
        let blocks = Blocks::by_key([Some(7), None, Some(7), Some(2)]);
        assert_eq!(blocks.count(), 3);
        assert_eq!(blocks.of_rows(&[2, 0, 1]), [2, 0, 2, 1]);
        // Rows that come in tens of one kind tell less than rows that come alone.
        let positive: Vec<bool> = (0..1000).map(|row| row / 10 % 3 == 0).collect();
        let width = |blocks: Blocks| {
            let share = |times: &[u32]| {
                let times = blocks.of_rows(times);
                let with: u32 =
                    times.iter().zip(&positive).filter(|(_, p)| **p).map(|(t, _)| t).sum();
                Some(f64::from(with) / f64::from(times.iter().sum::<u32>()))
            };
            let figure = resample(blocks.count(), 400, 1, share).unwrap();
            figure.high - figure.low
        };
        let apart = width(Blocks::rows(1000));
        let together = width(Blocks::by_key((0..1000).map(|row| Some(row / 10))));
        assert!(together > 2.5 * apart, "{together} {apart}");
    }
}
