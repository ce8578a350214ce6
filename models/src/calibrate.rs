//! From a raw score to a score that means something: a table of integers, made once.

use serde::{Deserialize, Serialize};

use crate::score::SCORE_MAX;

/// Points of the log-odds scale in which the odds double.
const POINTS_DOUBLE: f64 = 50.0;

/// How raw scores become probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By what the model itself says: a mean of shares (forest, tree) or a logit (the others).
    None,
    /// A logistic curve of the raw score (Platt, 1999, with his targets for few rows). It keeps
    /// rows apart that the raw score keeps apart.
    #[default]
    Platt,
    /// The best curve that never falls (pool adjacent violators), straight between its steps. For
    /// many thousands of labelled rows: of few it makes few steps, and all rows of one step have
    /// one score (598 labels of the Handbook left 46 different scores where Platt's curve left
    /// 283).
    Isotonic,
}

/// What a score of 0 to 1000 says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The probability in thousandths. Where the label is rare most rows have 0.
    #[default]
    Probability,
    /// 500 for even odds, and 50 points more each time the odds double: 0 is 1 to 1024. It keeps
    /// rows apart that are all improbable.
    LogOdds,
    /// How odd a row is beside those that trained, in thousandths of the score of the isolation
    /// forest (Liu, 2008). A usual row has about 500, and no score says how probable a label is.
    Anomaly,
}

/// Which raw scores are which score: a table, so that it is the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// What the scores say.
    pub scale: Scale,
    /// The lowest raw score of score 1, of score 2, ...; as many as there are scores that a row can
    /// have, which may be fewer than 1000.
    from: Vec<i64>,
}

/// A curve from raw scores to probabilities that never falls.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Curve {
    /// 1 / (1 + exp(-(slope x raw + shift))).
    Logistic { slope: f64, shift: f64 },
    /// raw x slope, within 0 and 1.
    Share { slope: f64 },
    /// Points that rise in both coordinates; level beyond the first and last.
    Points(Vec<(f64, f64)>),
}

impl Levels {
    /// Tables a curve over all raw scores from `low` to `high`.
    pub(crate) fn new(curve: &Curve, scale: Scale, low: i64, high: i64) -> Levels {
        let mut from = Vec::new();
        for score in 1..=SCORE_MAX {
            let wanted = scale.probability(score as f64 - 0.5);
            // The first raw score whose probability is large enough; the curve never falls.
            let (mut below, mut reached) = (low - 1, high + 1);
            while reached - below > 1 {
                let middle = below + (reached - below) / 2;
                if curve.probability(middle as f64) >= wanted {
                    reached = middle;
                } else {
                    below = middle;
                }
            }
            if reached > high {
                break;
            }
            // What the lowest raw score has, all below it would have too.
            from.push(if reached == low { i64::MIN } else { reached });
        }
        Levels { scale, from }
    }

    /// A table as it is; the thresholds must not fall.
    pub(crate) fn of(scale: Scale, from: Vec<i64>) -> Levels {
        Levels { scale, from }
    }

    /// The score of a raw score, 0 to [`SCORE_MAX`].
    pub fn score(&self, raw: i64) -> i64 {
        self.from.partition_point(|from| *from <= raw) as i64
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.from.len() <= SCORE_MAX as usize && self.from.is_sorted()
    }
}

impl Scale {
    /// The probability that a score stands for; none where scores are none.
    pub fn probability_of(self, score: i64) -> Option<f64> {
        match self {
            Scale::Anomaly => None,
            Scale::LogOdds if score == 0 => Some(0.0),
            Scale::Probability | Scale::LogOdds => Some(self.probability(score as f64)),
        }
    }

    /// What a score says, from 0 to 1.
    fn probability(self, score: f64) -> f64 {
        match self {
            Scale::Probability | Scale::Anomaly => score / SCORE_MAX as f64,
            Scale::LogOdds => {
                let odds = libm::exp2((score - SCORE_MAX as f64 / 2.0) / POINTS_DOUBLE);
                odds / (1.0 + odds)
            }
        }
    }
}

impl Curve {
    /// Fits a curve to raw scores and labels. Both classes must be there.
    pub(crate) fn fit(method: Method, uncalibrated: Curve, raw: &[i64], labels: &[bool]) -> Curve {
        match method {
            Method::None => uncalibrated,
            Method::Platt => platt(raw, labels),
            Method::Isotonic => Curve::Points(isotonic(raw, labels)),
        }
    }

    pub(crate) fn probability(&self, raw: f64) -> f64 {
        match self {
            Curve::Logistic { slope, shift } => 1.0 / (1.0 + libm::exp(-(slope * raw + shift))),
            Curve::Share { slope } => (raw * slope).clamp(0.0, 1.0),
            Curve::Points(points) => {
                let after = points.partition_point(|(at, _)| *at <= raw);
                match (after.checked_sub(1).map(|at| points[at]), points.get(after).copied()) {
                    (Some((x, y)), Some((next_x, next_y))) => {
                        y + (next_y - y) * ((raw - x) / (next_x - x))
                    }
                    (Some((_, y)), None) | (None, Some((_, y))) => y,
                    (None, None) => 0.0,
                }
            }
        }
    }
}

/// Pools neighbours that fall until none does; each pool is a step, from its first to its last raw
/// score.
fn isotonic(raw: &[i64], labels: &[bool]) -> Vec<(f64, f64)> {
    struct Pool {
        first: i64,
        last: i64,
        positive: u64,
        rows: u64,
    }
    let mut rows: Vec<(i64, bool)> = raw.iter().copied().zip(labels.iter().copied()).collect();
    rows.sort_unstable();
    let mut pools: Vec<Pool> = Vec::new();
    for (raw, label) in rows {
        let positive = u64::from(label);
        match pools.last_mut() {
            Some(pool) if pool.last == raw && pool.first == raw => {
                pool.positive += positive;
                pool.rows += 1;
            }
            _ => pools.push(Pool { first: raw, last: raw, positive, rows: 1 }),
        }
    }
    let mut steps: Vec<Pool> = Vec::new();
    for pool in pools {
        steps.push(pool);
        while let [.., a, b] = steps.as_slice()
            && u128::from(a.positive) * u128::from(b.rows)
                >= u128::from(b.positive) * u128::from(a.rows)
        {
            let (last, positive, rows) = (b.last, a.positive + b.positive, a.rows + b.rows);
            let first = a.first;
            steps.truncate(steps.len() - 2);
            steps.push(Pool { first, last, positive, rows });
        }
    }
    let mut points = Vec::new();
    for step in steps {
        let share = step.positive as f64 / step.rows as f64;
        points.push((step.first as f64, share));
        if step.last > step.first {
            points.push((step.last as f64, share));
        }
    }
    points
}

/// Newton's method for a logistic curve of one variable, with Platt's targets, which keep the curve
/// from certainty that so few rows cannot give.
fn platt(raw: &[i64], labels: &[bool]) -> Curve {
    let positive = labels.iter().filter(|label| **label).count() as f64;
    let negative = labels.len() as f64 - positive;
    let targets = [1.0 / (negative + 2.0), (positive + 1.0) / (positive + 2.0)];
    let rows = raw.len() as f64;
    let mean = raw.iter().map(|raw| *raw as f64).sum::<f64>() / rows;
    let squares: f64 = raw.iter().map(|raw| (*raw as f64 - mean) * (*raw as f64 - mean)).sum();
    let scale = libm::sqrt(squares / rows).max(1.0);
    let loss = |slope: f64, shift: f64| -> f64 {
        let of = |(raw, label): (&i64, &bool)| {
            let logit = slope * (*raw as f64 - mean) / scale + shift;
            // ln(1 + exp(logit)) - target x logit, without overflow.
            logit.max(0.0) + libm::log1p(libm::exp(-logit.abs()))
                - targets[usize::from(*label)] * logit
        };
        raw.iter().zip(labels).map(of).sum()
    };
    let (mut slope, mut shift) = (0.0, libm::log((positive + 1.0) / (negative + 1.0)));
    let mut best = loss(slope, shift);
    for _ in 0..100 {
        let (mut g, mut h) = ([0.0; 2], [1e-12, 0.0, 1e-12]);
        for (raw, label) in raw.iter().zip(labels) {
            let x = (*raw as f64 - mean) / scale;
            let probability = 1.0 / (1.0 + libm::exp(-(slope * x + shift)));
            let surplus = probability - targets[usize::from(*label)];
            let curvature = probability * (1.0 - probability);
            g = [g[0] + surplus * x, g[1] + surplus];
            h = [h[0] + curvature * x * x, h[1] + curvature * x, h[2] + curvature];
        }
        if g[0].abs().max(g[1].abs()) < 1e-9 * rows {
            break;
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step =
            [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        let mut length = 1.0;
        loop {
            let (a, b) = (slope - length * step[0], shift - length * step[1]);
            let lower = loss(a, b);
            if lower < best {
                (slope, shift, best) = (a, b, lower);
                break;
            }
            length /= 2.0;
            if length < 1e-10 {
                return logistic(slope, shift, mean, scale);
            }
        }
    }
    logistic(slope, shift, mean, scale)
}

/// A raw score that says the opposite of the labels would make a curve that falls: it is level
/// then.
fn logistic(slope: f64, shift: f64, mean: f64, scale: f64) -> Curve {
    let slope = slope.max(0.0) / scale;
    Curve::Logistic { slope, shift: shift - slope * mean }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scikit-learn 1.9.1: `IsotonicRegression(out_of_bounds="clip")` on these points, at the raw
    /// scores 0, 5, ... 40.
    const RAW: [i64; 12] = [1, 3, 3, 8, 10, 14, 14, 20, 25, 30, 31, 40];
    const LABELS: [u8; 12] = [0, 1, 0, 0, 0, 1, 0, 1, 1, 0, 1, 1];

    fn labels() -> Vec<bool> {
        LABELS.iter().map(|label| *label == 1).collect()
    }

    #[test]
    fn isotonic_is_the_curve_of_its_definition() {
        let curve = Curve::Points(isotonic(&RAW, &labels()));
        // By hand: 0 | 1/4 over 3..10 | 1/2 at 14 | 2/3 over 20..30 | 1 over 31..40.
        let expected = [
            (1.0, 0.0),
            (2.0, 0.125),
            (3.0, 0.25),
            (10.0, 0.25),
            (12.0, 0.375),
            (14.0, 0.5),
            (17.0, 0.5 + 1.0 / 12.0),
            (20.0, 2.0 / 3.0),
            (30.0, 2.0 / 3.0),
            (31.0, 1.0),
            (99.0, 1.0),
            (-5.0, 0.0),
        ];
        for (raw, probability) in expected {
            let found = curve.probability(raw);
            assert!((found - probability).abs() < 1e-12, "{raw}: {found}, not {probability}");
        }
    }

    #[test]
    fn a_table_gives_the_rounded_probability_everywhere() {
        let curves = [
            Curve::Points(isotonic(&RAW, &labels())),
            platt(&RAW, &labels()),
            Curve::Share { slope: 1.0 / 40.0 },
        ];
        for curve in &curves {
            let levels = Levels::new(curve, Scale::Probability, 0, 40);
            assert!(levels.is_sound());
            for raw in 0..=40 {
                let exact = curve.probability(raw as f64) * 1000.0;
                let score = levels.score(raw);
                assert!((score as f64 - exact).abs() <= 0.5 + 1e-9, "{curve:?} {raw} {score}");
            }
            assert_eq!(levels.score(i64::MIN), levels.score(0));
            assert_eq!(levels.score(i64::MAX), levels.score(40));
        }
    }

    #[test]
    fn log_odds_double_every_fifty_points() {
        let curve = Curve::Share { slope: 1e-6 };
        let levels = Levels::new(&curve, Scale::LogOdds, 0, 1_000_000);
        let score = |probability: f64| levels.score((probability * 1e6) as i64);
        assert_eq!([score(0.0), score(0.0009), score(0.5), score(1.0)], [0, 0, 500, 1000]);
        assert_eq!([score(2.0 / 3.0 + 1e-6), score(1.0 / 3.0), score(0.8)], [550, 450, 600]);
        assert!((Scale::LogOdds.probability_of(600).unwrap() - 0.8).abs() < 1e-12);
    }

    #[test]
    fn platt_is_the_minimum_of_its_loss() {
        let Curve::Logistic { slope, shift } = platt(&RAW, &labels()) else { panic!() };
        let targets = [1.0 / 8.0, 7.0 / 8.0];
        let (mut of_slope, mut of_shift) = (0.0, 0.0);
        for (raw, label) in RAW.iter().zip(labels()) {
            let p = 1.0 / (1.0 + libm::exp(-(slope * *raw as f64 + shift)));
            of_slope += (p - targets[usize::from(label)]) * *raw as f64;
            of_shift += p - targets[usize::from(label)];
        }
        assert!(of_slope.abs() < 1e-6 && of_shift.abs() < 1e-7, "{of_slope} {of_shift}");
        let falling: Vec<bool> = labels().iter().map(|label| !label).collect();
        assert!(matches!(platt(&RAW, &falling), Curve::Logistic { slope: 0.0, .. }));
    }
}
