//! `[model]` of `policy.toml`: how the score of the rules and the score of a model make one.
//!
//! All in whole numbers. A model that says nothing of a transaction adds nothing to it.

use std::ops::RangeInclusive;

use toml::de::DeTable;

use super::policy::Bands;
use crate::document::Reader;

/// The largest score.
pub(crate) const SCORE_MAX: i64 = 1000;
/// Beyond ten times its score a model speaks in nothing but its extremes.
const WEIGHTS: RangeInclusive<i64> = 0..=1000;
const SCORES: RangeInclusive<i64> = 0..=SCORE_MAX;
/// Odds of one to eleven on the scale of log odds. On three populations of which the model had not
/// seen its own (seeds 11 to 13), with a limit of 300 to 330 both found more than the model alone did
/// at the same number of honest accounts touched; the highest of these touched the fewest.
const AT_LEAST: i64 = 330;
/// How many of a hundred of the rules' points are added to the model's: where both see something,
/// it is more than either sees.
const AGREEMENT: i64 = 25;
/// Below odds of one to 256 a score ranks nothing that matters, and a reason on every transaction
/// would only be in the way.
const RANKS_FROM: i64 = 100;

/// How two scores make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blend {
    /// The larger of the rules' score and the model's, to which a share of the rules' is added.
    Joint,
    /// The larger of the two.
    Max,
    /// Their sum, at most 1000.
    Sum,
    /// That of the rules: the model's is recorded, and decides nothing.
    Rules,
}

impl Blend {
    /// Its name in `policy.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Blend::Joint => "joint",
            Blend::Max => "max",
            Blend::Sum => "sum",
            Blend::Rules => "rules",
        }
    }
}

/// What the score of a model counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelPolicy {
    /// How it joins that of the rules.
    pub blend: Blend,
    /// How many of a hundred of its points count.
    pub weight: i64,
    /// The model's score from which on it counts in full; below that it ranks, and alerts of itself
    /// on nothing.
    pub at_least: i64,
    /// For [`Blend::Joint`]: how many of a hundred of the rules' points the model's are raised by.
    pub agreement: i64,
}

impl Default for ModelPolicy {
    fn default() -> Self {
        ModelPolicy { blend: Blend::Joint, weight: 100, at_least: AT_LEAST, agreement: AGREEMENT }
    }
}

impl ModelPolicy {
    /// The score that the model alone gives: its own by weight; below `at_least` so much less that
    /// it stays under a review and ranks what else is let through; and nothing where it is next to
    /// certain that all is well.
    pub fn alone(&self, model: Option<i64>, bands: &Bands) -> i64 {
        let Some(model) = model else { return 0 };
        let own = (model * self.weight / 100).min(SCORE_MAX);
        if model >= self.at_least {
            return own;
        }
        if model < RANKS_FROM {
            return 0;
        }
        own.min(model * (bands.review - 1).max(0) / self.at_least)
    }

    /// The final score of a transaction to which rules gave `rules`, 0 to 1000, and a model its
    /// own, if there is one. It is never below that of the rules.
    pub fn blend(&self, rules: i64, model: Option<i64>, bands: &Bands) -> i64 {
        let own = self.alone(model, bands);
        match self.blend {
            Blend::Joint if own > 0 => {
                rules.max((own + rules * self.agreement / 100).min(SCORE_MAX))
            }
            Blend::Joint | Blend::Max => rules.max(own),
            Blend::Sum if model.is_some_and(|model| model >= self.at_least) => {
                (rules + own).min(SCORE_MAX)
            }
            Blend::Sum | Blend::Rules => rules,
        }
    }

    /// Takes what the table says.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>, root: &DeTable<'_>) {
        let Some(table) = reader.table(root, "model") else { return };
        reader.known_keys(table, &["blend", "weight", "at_least", "agreement"]);
        if let Some(text) = reader.string(table, "blend") {
            let choices = [
                ("joint", Blend::Joint),
                ("max", Blend::Max),
                ("sum", Blend::Sum),
                ("rules", Blend::Rules),
            ];
            self.blend = reader.choice("blend", &text, &choices).unwrap_or(self.blend);
        }
        self.weight = reader.integer(table, "weight", WEIGHTS).unwrap_or(self.weight);
        self.at_least = reader.integer(table, "at_least", SCORES).unwrap_or(self.at_least);
        self.agreement = reader.integer(table, "agreement", 0..=100).unwrap_or(self.agreement);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_worked_out_by_hand() {
        // Blend, weight, at least; the rules' score, the model's; the final one.
        for (blend, weight, at_least, rules, model, expected) in [
            (Blend::Max, 100, 0, 300, Some(700), 700),
            (Blend::Max, 100, 0, 700, Some(300), 700),
            (Blend::Max, 50, 0, 300, Some(701), 350),
            (Blend::Max, 100, 800, 300, Some(799), 300),
            (Blend::Max, 100, 800, 0, Some(400), 149),
            (Blend::Max, 100, 800, 0, Some(799), 298),
            (Blend::Max, 100, 800, 0, Some(99), 0),
            (Blend::Max, 10, 800, 0, Some(400), 40),
            (Blend::Joint, 100, 300, 400, Some(500), 600),
            (Blend::Joint, 100, 300, 700, Some(500), 700),
            (Blend::Joint, 100, 300, 250, Some(240), 301),
            (Blend::Joint, 100, 300, 250, Some(99), 250),
            (Blend::Joint, 100, 300, 1000, Some(1000), 1000),
            (Blend::Joint, 100, 300, 0, Some(299), 298),
            (Blend::Joint, 100, 300, 0, Some(300), 300),
            (Blend::Joint, 100, 300, 250, None, 250),
            (Blend::Max, 100, 800, 300, Some(800), 800),
            (Blend::Max, 200, 0, 0, Some(501), 1000),
            (Blend::Max, 100, 0, 300, None, 300),
            (Blend::Sum, 100, 0, 300, Some(250), 550),
            (Blend::Sum, 30, 0, 300, Some(999), 599),
            (Blend::Sum, 100, 0, 700, Some(700), 1000),
            (Blend::Sum, 100, 500, 300, Some(499), 300),
            (Blend::Sum, 0, 0, 300, Some(1000), 300),
            (Blend::Sum, 100, 0, 300, None, 300),
            (Blend::Rules, 100, 0, 300, Some(1000), 300),
        ] {
            let policy = ModelPolicy { blend, weight, at_least, agreement: 25 };
            let bands = Bands { review: 300, hold: 600, block: 850 };
            assert_eq!(
                policy.blend(rules, model, &bands),
                expected,
                "{policy:?} {rules} {model:?}"
            );
        }
    }
}
