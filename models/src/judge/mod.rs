//! How good scores are: ranking, alert budgets, money, calibration, drift, with intervals.
//!
//! Scores are integers, larger is riskier; raw scores rank more finely than scores of 0 to 1000.
//! Equal scores are never put in an order that the scores do not have: they count half (AUC), all
//! at once (average precision) or in proportion (budgets).

mod budget;
mod drift;
mod importance;
mod interval;
mod money;
mod ranking;
mod report;

pub use budget::{Budget, alerts, budget, card_precision};
pub use drift::{calibration_error, stability_index};
pub use importance::{Importance, permutation_importance};
pub use interval::{Blocks, Figure, resample};
pub use money::{CostPoint, cost_curve};
pub use ranking::{auc, average_precision};
pub use report::{
    BudgetFigures, ColumnDrift, IntervalBy, JudgeConfig, Judgement, TypologyRecall, Witness, judge,
};

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::calibrate::{Curve, Method};

    /// Made by tests/oracle/metrics.py.
    const SAID: &str = include_str!("../../tests/oracle/metrics.json");

    #[derive(Deserialize)]
    struct Set {
        scores: Vec<i64>,
        positive: Vec<u8>,
        days: Vec<i64>,
        cards: Vec<u64>,
        k: usize,
        auc: f64,
        average_precision: f64,
        card_precision: f64,
        isotonic_at: Vec<i64>,
        isotonic: Vec<f64>,
    }

    #[test]
    fn figures_are_those_of_scikit_learn_and_the_handbook() {
        let sets: Vec<Set> = serde_json::from_str(SAID).unwrap();
        assert_eq!(sets.len(), 3);
        for set in sets {
            let positive: Vec<bool> = set.positive.iter().map(|label| *label == 1).collect();
            let same = |found: f64, expected: f64| {
                assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
            };
            same(auc(&set.scores, &positive).unwrap(), set.auc);
            same(average_precision(&set.scores, &positive).unwrap(), set.average_precision);
            let of_day = card_precision(&set.scores, &positive, &set.days, &set.cards, set.k);
            same(of_day.iter().sum::<f64>() / of_day.len() as f64, set.card_precision);
            let none = Curve::Share { slope: 1.0 };
            let curve = Curve::fit(Method::Isotonic, none, &set.scores, &positive);
            for (raw, expected) in set.isotonic_at.iter().zip(set.isotonic) {
                same(curve.probability(*raw as f64), expected);
            }
        }
        assert_eq!(auc(&[1, 2], &[true, true]), None);
        assert_eq!(average_precision(&[1, 2], &[false, false]), None);
    }
}
