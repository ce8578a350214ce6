//! `[model]` of `policy.toml`: how the score of the rules and the score of a model make one.
//!
//! All in whole numbers. A model that says nothing of a transaction adds nothing to it.

use std::ops::RangeInclusive;

use toml::de::DeTable;

use crate::document::Reader;

/// The largest score.
const SCORE_MAX: i64 = 1000;
/// Beyond ten times its score a model speaks in nothing but its extremes.
const WEIGHTS: RangeInclusive<i64> = 0..=1000;
const SCORES: RangeInclusive<i64> = 0..=SCORE_MAX;
/// Even odds on both scales of a model: below that most of its alerts would be wrong, and it would
/// touch many honest people for each fraud that it adds.
const EVEN_ODDS: i64 = 500;

/// How two scores make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blend {
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
    /// The model's score from which on it counts at all.
    pub at_least: i64,
}

impl Default for ModelPolicy {
    fn default() -> Self {
        ModelPolicy { blend: Blend::Max, weight: 100, at_least: EVEN_ODDS }
    }
}

impl ModelPolicy {
    /// The score that the model alone gives: its own by weight, and 0 below `at_least`.
    pub fn alone(&self, model: Option<i64>) -> i64 {
        let counts = model.filter(|score| *score >= self.at_least);
        counts.map_or(0, |score| (score * self.weight / 100).min(SCORE_MAX))
    }

    /// The final score of a transaction to which rules gave `rules`, 0 to 1000, and a model its
    /// own, if there is one.
    pub fn blend(&self, rules: i64, model: Option<i64>) -> i64 {
        match self.blend {
            Blend::Max => rules.max(self.alone(model)),
            Blend::Sum => (rules + self.alone(model)).min(SCORE_MAX),
            Blend::Rules => rules,
        }
    }

    /// Takes what the table says.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>, root: &DeTable<'_>) {
        let Some(table) = reader.table(root, "model") else { return };
        reader.known_keys(table, &["blend", "weight", "at_least"]);
        if let Some(text) = reader.string(table, "blend") {
            let choices = [("max", Blend::Max), ("sum", Blend::Sum), ("rules", Blend::Rules)];
            self.blend = reader.choice("blend", &text, &choices).unwrap_or(self.blend);
        }
        self.weight = reader.integer(table, "weight", WEIGHTS).unwrap_or(self.weight);
        self.at_least = reader.integer(table, "at_least", SCORES).unwrap_or(self.at_least);
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
            let policy = ModelPolicy { blend, weight, at_least };
            assert_eq!(policy.blend(rules, model), expected, "{policy:?} {rules} {model:?}");
        }
    }
}
