//! What happened when: counts in bins of time that widen as the run grows, so that a plot has
//! at most [`BINS_MAX`] of them whether the run covers an hour or a century.

use serde::Serialize;

use super::tally::Tally;
use crate::score::Verdict;

/// The most bins: more are not told apart on a screen.
pub const BINS_MAX: usize = 200;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;
/// The widths of bins; each divides the next, so that widening joins whole bins. The last makes
/// fewer than [`BINS_MAX`] of the hundred years that events may lie in.
const WIDTHS: [i64; 9] =
    [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 28 * DAY, 364 * DAY];
/// A Monday: weeks start on it.
const ORIGIN: i64 = -3 * DAY;

/// One bin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// Its first millisecond.
    pub start: i64,
    /// Transactions allowed, reviewed, held and blocked.
    pub decisions: [u64; 4],
    /// Money held and blocked.
    pub stopped_fen: i64,
    /// Fraud, by the labels that judge first: events, else accounts, else groups.
    pub fraud: Tally,
    /// Of that the held and blocked.
    pub fraud_stopped: Tally,
    /// Hits of each rule.
    pub rule_hits: Vec<u64>,
}

impl Bin {
    fn absorb(&mut self, other: &Bin) {
        for (sum, value) in self.decisions.iter_mut().zip(other.decisions) {
            *sum += value;
        }
        self.stopped_fen = self.stopped_fen.saturating_add(other.stopped_fen);
        self.fraud = self.fraud.and(other.fraud);
        self.fraud_stopped = self.fraud_stopped.and(other.fraud_stopped);
        for (sum, value) in self.rule_hits.iter_mut().zip(&other.rule_hits) {
            *sum += value;
        }
    }
}

/// The bins of a run, without a gap between first and last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// How wide a bin is.
    pub width_ms: i64,
    /// The offset of local time, by which bins are aligned.
    pub utc_offset_ms: i64,
    /// From the first to the last.
    pub bins: Vec<Bin>,
    #[serde(skip)]
    rules: usize,
    #[serde(skip)]
    level: usize,
}

impl Timeline {
    pub(super) fn new(rules: usize, utc_offset_ms: i64) -> Self {
        Timeline { width_ms: WIDTHS[0], utc_offset_ms, bins: Vec::new(), rules, level: 0 }
    }

    pub(super) fn add(&mut self, time: i64, verdict: Verdict, fen: i64, hits: &[u16], fraud: bool) {
        let bin = self.bin(time);
        bin.decisions[verdict as usize] += 1;
        let stopped = verdict >= Verdict::Hold;
        if stopped {
            bin.stopped_fen = bin.stopped_fen.saturating_add(fen);
        }
        if fraud {
            bin.fraud.add(fen);
            if stopped {
                bin.fraud_stopped.add(fen);
            }
        }
        for &rule in hits {
            bin.rule_hits[usize::from(rule)] += 1;
        }
    }

    /// The bin of `time`. Nearly always the last one, as events come in the order of effective time.
    #[inline]
    fn bin(&mut self, time: i64) -> &mut Bin {
        let at = match self.bins.last() {
            Some(last) if (0..self.width_ms).contains(&(time - last.start)) => self.bins.len() - 1,
            _ => self.place(time),
        };
        &mut self.bins[at]
    }

    #[cold]
    fn place(&mut self, time: i64) -> usize {
        loop {
            let start = self.start_of(time);
            let first = self.bins.first().map_or(start, |bin| bin.start.min(start));
            let last = self.bins.last().map_or(start, |bin| bin.start.max(start));
            if ((last - first) / self.width_ms) < BINS_MAX as i64 {
                self.fill(first, last);
                return ((start - first) / self.width_ms) as usize;
            }
            self.widen();
        }
    }

    fn start_of(&self, time: i64) -> i64 {
        let origin = ORIGIN - self.utc_offset_ms;
        origin + (time - origin).div_euclid(self.width_ms) * self.width_ms
    }

    fn fill(&mut self, first: i64, last: i64) {
        let empty = |start| Bin { start, rule_hits: vec![0; self.rules], ..Bin::default() };
        let step = self.width_ms as usize;
        let old_first = self.bins.first().map_or(first, |bin| bin.start);
        let before: Vec<Bin> = (first..old_first).step_by(step).map(empty).collect();
        let from = self.bins.last().map_or(first, |bin| bin.start + self.width_ms);
        let after: Vec<Bin> = (from..=last).step_by(step).map(empty).collect();
        self.bins.splice(0..0, before);
        self.bins.extend(after);
    }

    fn widen(&mut self) {
        self.level += 1;
        self.width_ms = WIDTHS[self.level];
        for bin in std::mem::take(&mut self.bins) {
            let start = self.start_of(bin.start);
            match self.bins.last_mut().filter(|last| last.start == start) {
                Some(last) => last.absorb(&bin),
                None => self.bins.push(Bin { start, ..bin }),
            }
        }
    }
}

/// Transactions and alerts by day of local time; days without a transaction are left out.
#[derive(Default)]
pub(super) struct Days {
    days: Vec<(i64, u64)>,
}

impl Days {
    pub(super) fn add(&mut self, local_time: i64, alert: bool) {
        let day = local_time.div_euclid(DAY);
        let at = match self.days.last() {
            Some((last, _)) if *last == day => self.days.len() - 1,
            _ => self.days.binary_search_by_key(&day, |(day, _)| *day).unwrap_or_else(|at| {
                self.days.insert(at, (day, 0));
                at
            }),
        };
        self.days[at].1 += u64::from(alert);
    }

    /// How many days had transactions.
    pub(super) fn len(&self) -> u64 {
        self.days.len() as u64
    }

    /// The most alerts of one day.
    pub(super) fn alerts_max(&self) -> u64 {
        self.days.iter().map(|(_, alerts)| *alerts).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the span and the order, nothing is lost, bins are few, aligned and gapless,
        /// and each event is in the bin of its time.
        #[test]
        fn bins_hold_everything(
            span in prop::sample::select(vec![HOUR, 3 * DAY, 40 * DAY, 3_000 * DAY, 36_000 * DAY]),
            raw in prop::collection::vec((0_i64..1_000_000, 0_u16..3), 1..80),
        ) {
            let start = 946_684_800_000;
            let offset = 8 * HOUR;
            let mut timeline = Timeline::new(3, offset);
            for &(at, rule) in &raw {
                let time = start + span / 1_000_000 * at;
                timeline.add(time, Verdict::Hold, 7, &[rule], rule == 0);
            }
            prop_assert!(timeline.bins.len() <= BINS_MAX);
            let mut expect = BTreeMap::<i64, u64>::new();
            for &(at, _) in &raw {
                let local = start + span / 1_000_000 * at + offset - ORIGIN;
                *expect.entry(local / timeline.width_ms).or_default() += 1;
            }
            let mut previous = None;
            for bin in &timeline.bins {
                let local = bin.start + offset - ORIGIN;
                prop_assert_eq!(local % timeline.width_ms, 0);
                prop_assert!(previous.is_none_or(|p| bin.start - p == timeline.width_ms));
                previous = Some(bin.start);
                let count = expect.get(&(local / timeline.width_ms)).copied().unwrap_or(0);
                prop_assert_eq!(bin.decisions, [0, 0, count, 0]);
                prop_assert_eq!(bin.rule_hits.iter().sum::<u64>(), count);
                prop_assert_eq!(bin.stopped_fen, 7 * count as i64);
                prop_assert_eq!(bin.fraud_stopped.count, bin.rule_hits[0]);
            }
        }
    }

    #[test]
    fn each_width_divides_the_next() {
        assert!(WIDTHS.windows(2).all(|pair| pair[1] % pair[0] == 0));
        assert!(36_525 * DAY / WIDTHS[WIDTHS.len() - 1] < BINS_MAX as i64);
    }

    #[test]
    fn days_are_counted_once() {
        let mut days = Days::default();
        for (day, alert) in [(3, true), (3, false), (5, true), (4, true), (5, true)] {
            days.add(day * DAY + 1, alert);
        }
        assert_eq!((days.len(), days.alerts_max()), (3, 2));
    }
}
