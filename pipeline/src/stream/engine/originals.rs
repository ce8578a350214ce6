//! Records as they came, for as long as one may still be refused: a dead letter has their bytes, key
//! and headers. What a snapshot brings back is without them.

use std::collections::VecDeque;

use super::super::input::{Beside, Fetched};
use crate::source::log::Arrived;

/// What waits no longer is dropped when it may be a fifth of all, and so much.
const SPARE_BYTES: usize = 1 << 20;

/// The records of partitions that may still be refused, and some that cannot any more.
pub(super) struct Originals {
    /// For each partition, by offset.
    records: Vec<VecDeque<Fetched>>,
    bytes: usize,
    /// With so many, what waits no longer is dropped.
    many: usize,
}

impl Originals {
    pub(super) fn new(partitions: usize) -> Originals {
        let records = (0..partitions).map(|_| VecDeque::new()).collect();
        Originals { records, bytes: 0, many: SPARE_BYTES }
    }

    /// Keeps the next records of a partition.
    pub(super) fn keep(&mut self, at: usize, records: impl Iterator<Item = (Arrived, Beside)>) {
        for (arrived, beside) in records {
            let record = Fetched { arrived, beside };
            self.bytes += size_of(&record);
            self.records[at].push_back(record);
        }
    }

    /// Drops records that are no events, in the order of their offsets, from among the last.
    pub(super) fn forget(&mut self, at: usize, offsets: &[u64]) {
        let Some(first) = offsets.first() else { return };
        let records = &mut self.records[at];
        let begun = records.partition_point(|record| record.arrived.offset < *first);
        for record in records.split_off(begun) {
            if offsets.binary_search(&record.arrived.offset).is_ok() {
                self.bytes -= size_of(&record);
            } else {
                records.push_back(record);
            }
        }
    }

    /// The record at an offset of a partition, if it is kept.
    pub(super) fn of(&self, (at, offset): (usize, u64)) -> Option<&Fetched> {
        let records = &self.records[at];
        let found = records.binary_search_by_key(&offset, |record| record.arrived.offset).ok()?;
        Some(&records[found])
    }

    /// Whether it is time to drop what waits no longer.
    pub(super) fn are_many(&self) -> bool {
        self.bytes > self.many
    }

    /// Drops what stands before the first offset of each partition that still waits; all of it where
    /// none does.
    pub(super) fn drop_before(&mut self, firsts: &[Option<u64>]) {
        for (records, first) in self.records.iter_mut().zip(firsts) {
            let first = first.unwrap_or(u64::MAX);
            let passed = records.partition_point(|record| record.arrived.offset < first);
            self.bytes -= records.drain(..passed).map(|record| size_of(&record)).sum::<usize>();
        }
        self.many = SPARE_BYTES + self.bytes + self.bytes / 4;
    }

    /// About how many bytes of memory they take up.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn size_of(record: &Fetched) -> usize {
    std::mem::size_of::<Fetched>() + record.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_refused_is_there_as_it_came() {
        let mut originals = Originals::new(2);
        let record = |offset: u64| {
            let value = format!("record {offset}").into_bytes();
            let key = Some(offset.to_string().into_bytes());
            (Arrived { offset, append_time: 0, value }, Beside { key, headers: None })
        };
        // Offsets have gaps where transactions end.
        originals.keep(0, [3, 4, 8].map(record).into_iter());
        originals.keep(1, [4, 5].map(record).into_iter());
        originals.keep(0, [9].map(record).into_iter());
        let found = |originals: &Originals, place| {
            let record = originals.of(place)?;
            Some((record.arrived.value.clone(), record.beside.key.clone()))
        };
        let told = |offset| Some((record(offset).0.value, record(offset).1.key));
        for (place, expected) in [((0, 8), told(8)), ((0, 5), None), ((1, 5), told(5))] {
            assert_eq!(found(&originals, place), expected, "{place:?}");
        }
        let bytes = originals.bytes();
        originals.keep(1, [6, 7, 9].map(record).into_iter());
        originals.forget(1, &[6, 9]);
        for (place, expected) in
            [((1, 5), told(5)), ((1, 6), None), ((1, 7), told(7)), ((1, 9), None)]
        {
            assert_eq!(found(&originals, place), expected, "{place:?}");
        }
        originals.forget(1, &[7]);
        assert_eq!(originals.bytes(), bytes);
        originals.drop_before(&[Some(8), None]);
        for (place, expected) in
            [((0, 4), None), ((0, 8), told(8)), ((0, 9), told(9)), ((1, 5), None)]
        {
            assert_eq!(found(&originals, place), expected, "{place:?}");
        }
        originals.drop_before(&[None, None]);
        assert_eq!(originals.bytes(), 0);
    }
}
