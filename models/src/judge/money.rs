//! What an alert threshold costs, in fen.

use serde::{Deserialize, Serialize};

use super::ranking::Runs;

/// The most points of a curve; more would not be seen.
const POINTS_MAX: usize = 200;

/// What it costs to alert on all rows from a score on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostPoint {
    /// The lowest score that alerts.
    pub score_from: i64,
    /// Rows from this score on.
    pub alerts: u64,
    /// The amounts of the alerted rows with the label, in fen.
    pub stopped_fen: i64,
    /// The amounts of the other rows with the label, in fen.
    pub missed_fen: i64,
    /// What was missed, and the review of all alerts.
    pub cost_fen: i64,
}

/// The cost of each threshold, the highest first; of many thresholds, some that are evenly spread
/// over the alerts and always the cheapest.
pub fn cost_curve(
    scores: &[i64],
    positive: &[bool],
    amounts_fen: &[i64],
    review_fen: i64,
) -> Vec<CostPoint> {
    let of = |row: usize| if positive[row] { amounts_fen[row] } else { 0 };
    let all: i64 = (0..scores.len()).map(of).sum();
    let runs = Runs::new(scores);
    let (mut stopped, mut start) = (0, 0);
    let mut points = Vec::new();
    for end in &runs.ends {
        stopped += runs.order[start..*end].iter().map(|row| of(*row as usize)).sum::<i64>();
        start = *end;
        let score_from = scores[runs.order[*end - 1] as usize];
        let missed = all - stopped;
        points.push(CostPoint {
            score_from,
            alerts: *end as u64,
            stopped_fen: stopped,
            missed_fen: missed,
            cost_fen: missed + review_fen * *end as i64,
        });
    }
    let cheapest = points.iter().enumerate().min_by_key(|(_, point)| point.cost_fen);
    let cheapest = cheapest.map(|(at, _)| at);
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    let kept =
        |at: usize| at.is_multiple_of(step) || Some(at) == cheapest || at + 1 == points.len();
    points.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, point)| *point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_what_is_missed_and_the_reviews() {
        let points =
            cost_curve(&[3, 9, 3, 1], &[true, true, false, true], &[500, 900, 70, 20], 100);
        let rows: Vec<_> = points
            .iter()
            .map(|point| (point.score_from, point.alerts, point.stopped_fen, point.cost_fen))
            .collect();
        assert_eq!(rows, [(9, 1, 900, 620), (3, 3, 1400, 320), (1, 4, 1420, 400)]);
        assert!(points.iter().all(|point| point.stopped_fen + point.missed_fen == 1420));
    }

    #[test]
    fn a_long_curve_keeps_its_cheapest_point() {
        let scores: Vec<i64> = (0..5000).collect();
        let positive: Vec<bool> = scores.iter().map(|score| *score >= 4321).collect();
        let points = cost_curve(&scores, &positive, &vec![1000; 5000], 10);
        assert!(points.len() <= POINTS_MAX + 2);
        let cheapest = points.iter().min_by_key(|point| point.cost_fen).unwrap();
        assert_eq!((cheapest.score_from, cheapest.cost_fen), (4321, 6790));
    }
}
