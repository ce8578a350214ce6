//! How good the best alerts of each day are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What a number of alerts a day finds, day by day.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Alerts of each day: the budget, or all rows of a day that has fewer.
    pub alerts: Vec<u64>,
    /// Rows with the label among them. Rows of one score that straddle the budget count in
    /// proportion, so this need not be whole.
    pub found: Vec<f64>,
    /// Rows with the label on each day.
    pub positive: Vec<u64>,
}

impl Budget {
    /// Of all alerts, the share with the label, where day d counts `times[d]` times. None without
    /// alerts.
    pub fn precision(&self, times: &[u32]) -> Option<f64> {
        ratio(&self.found, self.alerts.iter().map(|alerts| *alerts as f64), times)
    }

    /// Of all rows with the label, the share that was alerted, as for [`Budget::precision`].
    pub fn recall(&self, times: &[u32]) -> Option<f64> {
        ratio(&self.found, self.positive.iter().map(|positive| *positive as f64), times)
    }

    /// The precision of scores that put every row with the label first. None without alerts.
    pub fn precision_max(&self) -> Option<f64> {
        let most = self.alerts.iter().zip(&self.positive);
        let found: u64 = most.map(|(alerts, positive)| alerts.min(positive)).sum();
        let alerts: u64 = self.alerts.iter().sum();
        (alerts > 0).then(|| found as f64 / alerts as f64)
    }

    /// The number of days.
    pub fn days(&self) -> usize {
        self.alerts.len()
    }
}

fn ratio(above: &[f64], below: impl Iterator<Item = f64>, times: &[u32]) -> Option<f64> {
    let (mut all, mut of) = (0.0, 0.0);
    for ((above, below), times) in above.iter().zip(below).zip(times) {
        all += above * f64::from(*times);
        of += below * f64::from(*times);
    }
    (of > 0.0).then(|| all / of)
}

/// Takes the rows with the highest scores of each day as alerts.
pub fn budget(scores: &[i64], positive: &[bool], days: &[i64], alerts_a_day: usize) -> Budget {
    let mut budget = Budget { alerts: Vec::new(), found: Vec::new(), positive: Vec::new() };
    for mut rows in by_day(days).into_values() {
        rows.sort_unstable_by_key(|row| Reverse(scores[*row]));
        let alerts = alerts_a_day.min(rows.len());
        let (mut found, mut start) = (0.0, 0);
        while start < alerts {
            let score = scores[rows[start]];
            let run = rows[start..].iter().take_while(|row| scores[**row] == score).count();
            let with = rows[start..start + run].iter().filter(|row| positive[**row]).count();
            let taken = run.min(alerts - start);
            found += with as f64 * taken as f64 / run as f64;
            start += run;
        }
        budget.alerts.push(alerts as u64);
        budget.found.push(found);
        budget.positive.push(rows.iter().filter(|row| positive[**row]).count() as u64);
    }
    budget
}

/// Which rows are the alerts of their day; of rows of one score the earlier in the table comes
/// first.
pub fn alerts(scores: &[i64], days: &[i64], alerts_a_day: usize) -> Vec<bool> {
    let mut alerted = vec![false; scores.len()];
    for mut rows in by_day(days).into_values() {
        rows.sort_by_key(|row| Reverse(scores[*row]));
        rows.iter().take(alerts_a_day).for_each(|row| alerted[*row] = true);
    }
    alerted
}

fn by_day(days: &[i64]) -> BTreeMap<i64, Vec<usize>> {
    let mut by_day: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (row, day) in days.iter().enumerate() {
        by_day.entry(*day).or_default().push(row);
    }
    by_day
}

/// Card Precision@k of the Fraud Detection Handbook, day by day: of the k cards with the highest
/// score of the day, ties in the order of the cards, the share that has a row with the label on
/// that day. A card that was found is not looked at on later days.
pub fn card_precision(
    scores: &[i64],
    positive: &[bool],
    days: &[i64],
    cards: &[u64],
    k: usize,
) -> Vec<f64> {
    let mut found = BTreeSet::new();
    let mut of_day = Vec::new();
    for rows in by_day(days).into_values() {
        let mut of_card: BTreeMap<u64, (i64, bool)> = BTreeMap::new();
        for row in rows.into_iter().filter(|row| !found.contains(&cards[*row])) {
            let best = of_card.entry(cards[row]).or_insert((i64::MIN, false));
            *best = (best.0.max(scores[row]), best.1 | positive[row]);
        }
        let mut ranked: Vec<(u64, (i64, bool))> = of_card.into_iter().collect();
        ranked.sort_by_key(|(_, (score, _))| Reverse(*score));
        let hits = ranked.iter().take(k).filter(|(_, (_, positive))| *positive);
        let hits: Vec<u64> = hits.map(|(card, _)| *card).collect();
        of_day.push(hits.len() as f64 / k as f64);
        found.extend(hits);
    }
    of_day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tie_at_the_budget_counts_in_proportion() {
        let scores = [9, 5, 5, 5, 1, 7, 7];
        let positive = [false, true, false, true, true, true, false];
        let days = [1, 1, 1, 1, 1, 2, 2];
        let budget = budget(&scores, &positive, &days, 3);
        // Day 1: the 9, and two of three fives, of which two have the label.
        assert_eq!(budget.alerts, [3, 2]);
        assert!((budget.found[0] - 4.0 / 3.0).abs() < 1e-12);
        assert_eq!((budget.found[1], budget.positive.as_slice()), (1.0, &[3, 1][..]));
        assert!((budget.precision(&[1, 1]).unwrap() - (4.0 / 3.0 + 1.0) / 5.0).abs() < 1e-12);
        assert!((budget.recall(&[0, 2]).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(budget.precision(&[0, 0]), None);
        // Three on day 1, and the one that day 2 has.
        assert!((budget.precision_max().unwrap() - 4.0 / 5.0).abs() < 1e-12);
        assert_eq!(alerts(&scores, &days, 2), [true, true, false, false, false, true, true]);
    }
}
