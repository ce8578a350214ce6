//! What models say of the transactions of a slice, and why.
//!
//! A model reads nothing that hangs on decisions, so its scores are known before any decision is
//! made, by columns, and stay what they are when a decision is made anew.

use std::ops::Range;

use super::{Columns, Gathered, fill_own, slots, text_value};
use crate::decision::{Added, Verdict};
use crate::event::{AMOUNT_FEN, Column, NULL_INT, Value};
use crate::features::catalogue::{Features, SlotSource, number};
use crate::features::kept::OUTCOME;
use crate::model::{Bind, Bound};
use crate::score::{Opinion, Scorer};
use crate::sink::Scored;

/// Rows that are scored at once: their inputs fit in the cache, and a forest likes many.
const BLOCK_ROWS: usize = 4096;

/// The scores of a slice's transactions; empty where there is no such model.
#[derive(Default)]
pub(super) struct Opinions {
    champion: Vec<i64>,
    challenger: Vec<i64>,
}

impl Opinions {
    /// Asks the models, if there are any.
    pub(super) fn of(
        scorer: &Scorer,
        features: &Features,
        rows: &[u32],
        columns: &Columns<'_>,
    ) -> Opinions {
        let models = scorer.models();
        if models.all().next().is_none() {
            return Opinions::default();
        }
        let rests_on = models.all().flat_map(|bound| bound.computed.iter().copied());
        let mut wanted: Vec<usize> = rests_on.collect();
        wanted.sort_unstable();
        wanted.dedup();
        let computed = computed(features, &wanted, rows, columns);
        let given = Given { columns, rows, computed: &computed };
        let scores = |bound: &Option<Bound>| {
            bound.as_ref().map_or_else(Vec::new, |bound| given.scores(bound))
        };
        Opinions { champion: scores(&models.champion), challenger: scores(&models.challenger) }
    }

    pub(super) fn at(&self, at: usize) -> Opinion {
        let of = |scores: &[i64]| scores.get(at).copied().filter(|score| *score != NULL_INT);
        Opinion { champion: of(&self.champion), challenger: of(&self.challenger) }
    }
}

/// The computed features that are wanted, each in its place among all; the others stay empty.
fn computed(
    features: &Features,
    wanted: &[usize],
    rows: &[u32],
    columns: &Columns<'_>,
) -> Vec<Column> {
    let mut computed = features.computed_columns();
    if wanted.is_empty() {
        return computed;
    }
    let (own, given) = slots(features);
    let mut values: Vec<Value<'_>> = vec![Value::Null; features.slots.len()];
    for (at, row) in rows.iter().enumerate() {
        fill_own(columns.prepared.told(), features, &own, *row as usize, &mut values);
        columns.fill(&given, at, &mut values);
        let amount = columns.prepared.slice.chunk.int(AMOUNT_FEN, *row as usize);
        for place in wanted {
            let feature = &features.computed[*place];
            let value = columns.compute(feature, at, amount, &values);
            if let Some(slot) = feature.slot {
                values[slot] = value;
            }
            computed[*place].push(value);
        }
    }
    computed
}

/// Everything from which a model's inputs are read.
struct Given<'g, 'c> {
    columns: &'g Columns<'c>,
    rows: &'g [u32],
    computed: &'g [Column],
}

impl Given<'_, '_> {
    /// The scores of all rows; [`NULL_INT`] where the model has no answer.
    fn scores(&self, bound: &Bound) -> Vec<i64> {
        let mut scores = Vec::with_capacity(self.rows.len());
        let mut inputs: Vec<Vec<f64>> = vec![Vec::new(); bound.inputs().len()];
        for first in (0..self.rows.len()).step_by(BLOCK_ROWS) {
            let block = first..self.rows.len().min(first + BLOCK_ROWS);
            for (input, values) in bound.inputs().iter().zip(&mut inputs) {
                values.clear();
                self.read(input, block.clone(), values);
            }
            let columns: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
            let found = bound.artefact().scores(&columns).into_iter();
            scores.extend(found.map(|score| score.unwrap_or(NULL_INT)));
        }
        scores
    }

    fn read(&self, input: &Bind, block: Range<usize>, into: &mut Vec<f64>) {
        let Columns { prepared, kept, clusters, .. } = self.columns;
        let rows = self.rows[block.clone()].iter().map(|row| *row as usize);
        let chunk = &prepared.slice.chunk;
        let coded = input.coded.as_deref();
        let read = |value| number(value, coded);
        match input.source {
            SlotSource::Windowed(at) => self.gathered(at, coded, block, into),
            SlotSource::Kept(at) => self.gathered(kept + at, coded, block, into),
            SlotSource::Computed(at) => {
                into.extend(block.map(|row| read(self.computed[at].value(row))));
            }
            SlotSource::Cluster(cluster) => {
                into.extend(block.map(|row| read(clusters.value(cluster, row))));
            }
            SlotSource::Text(at) => into.extend(rows.map(|row| whole(prepared.texts[at][row]))),
            SlotSource::Field(field) => into.extend(rows.map(|row| read(chunk.value(field, row)))),
            SlotSource::Payer => into.extend(rows.map(|row| read(text_value(chunk.payer(row))))),
            SlotSource::Payee => into.extend(rows.map(|row| read(text_value(chunk.payee(row))))),
            SlotSource::Nowhere => into.extend(block.map(|_| f64::NAN)),
        }
    }

    fn gathered(&self, at: usize, coded: Option<&str>, block: Range<usize>, into: &mut Vec<f64>) {
        match &self.columns.gathered[at] {
            Gathered::Int(values) if coded.is_none() => {
                into.extend(values[block].iter().map(|value| whole(*value)));
            }
            Gathered::Double(values) if coded.is_none() => into.extend(&values[block]),
            _ => into.extend(block.map(|row| number(self.columns.gathered(at, row), coded))),
        }
    }
}

fn whole(value: i64) -> f64 {
    if value == NULL_INT { f64::NAN } else { value as f64 }
}

/// Says of each decision to whose score the model added by how much, and of alerts why.
pub(super) fn tell(scorer: &Scorer, scored: &mut Scored) {
    let Some(bound) = &scorer.models().champion else { return };
    let lang = scorer.policy().language;
    let mut added = Vec::new();
    for at in 0..scored.batch.rows.len() {
        let batch = &scored.batch;
        let (score, model) = (batch.scores[at] - batch.rule_scores[at], batch.model_scores[at]);
        if score <= 0 {
            continue;
        }
        let text = if batch.verdicts[at] == Verdict::Allow {
            Bound::score_told(model, lang)
        } else {
            let shown = |input: usize| value_of(scored, &bound.inputs()[input], at);
            let read = |(nth, input): (usize, &Bind)| number(shown(nth), input.coded.as_deref());
            let values: Vec<f64> = bound.inputs().iter().enumerate().map(read).collect();
            bound.told(model, &values, shown, lang)
        };
        added.push(Added { at, score, text });
    }
    scored.batch.added = added;
}

/// The value of a decided transaction that an input is made of.
fn value_of<'s>(scored: &'s Scored, input: &Bind, at: usize) -> Value<'s> {
    if let Some(column) = input.column {
        return scored.features[column].value(at);
    }
    let chunk = &scored.batch.slice.chunk;
    let row = scored.batch.rows[at] as usize;
    match input.source {
        SlotSource::Field(field) => chunk.value(field, row),
        SlotSource::Payer => text_value(chunk.payer(row)),
        SlotSource::Payee => text_value(chunk.payee(row)),
        SlotSource::Kept(OUTCOME) => text_value(scored.batch.outcomes.get(at)),
        _ => Value::Null,
    }
}
