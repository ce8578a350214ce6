//! Why a model says what it says, in a line: its score, and the features that moved it most.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::Bound;
use crate::diagnostic::Lang;
use crate::event::Value;
use crate::rules::write_value;

/// How many features a reason names.
const NAMED_MAX: usize = 3;

impl Bound {
    /// What the reason says without features: the model's own score.
    pub(crate) fn score_told(score: i64, lang: Lang) -> String {
        match lang {
            Lang::En => format!("model score {score}"),
            Lang::Zh => format!("模型分 {score}"),
        }
    }

    /// The score and the three features that moved it most, each with its value and its share of
    /// all that moved it, `+` towards fraud. `values` are those of the inputs as a model reads
    /// them, `shown` as a person does. A model made elsewhere tells its score alone.
    pub(crate) fn told<'v>(
        &self,
        score: i64,
        values: &[f64],
        shown: impl Fn(usize) -> Value<'v>,
        lang: Lang,
    ) -> String {
        let mut text = Self::score_told(score, lang);
        let Some(model) = self.artefact.trained() else { return text };
        let mut moved = model.explain(values).contributions;
        moved.retain(|one| one.adds != 0);
        let all: i128 = moved.iter().map(|one| i128::from(one.adds.unsigned_abs())).sum();
        moved.sort_by_key(|one| (Reverse(one.adds.unsigned_abs()), one.input));
        for (nth, one) in moved.iter().take(NAMED_MAX).enumerate() {
            let input = &self.inputs[one.input];
            text.push_str(match (nth, lang) {
                (0, Lang::En) => ": ",
                (0, Lang::Zh) => ":",
                (_, Lang::En) => ", ",
                (_, Lang::Zh) => "、",
            });
            text.push_str(&input.name);
            text.push_str(" = ");
            write_value(shown(one.input), input.unit, lang, &mut text);
            let share = i128::from(one.adds) * 100 / all;
            let sign = if one.adds > 0 { "+" } else { "-" };
            // Writing to a string cannot fail.
            let _ = write!(text, " ({sign}{}%)", share.abs());
        }
        text
    }
}
