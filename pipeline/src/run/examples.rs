//! Texts for the report on which rules of the text dimension hit.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::decision::DecisionBatch;
use crate::event::{EVENT_ID, TEXT};
use crate::features::text::{Lexicon, Marked};
use crate::job::Epoch;
use crate::report::TextExample;

/// Texts that are kept of each rule: enough to see what it means, and no reading for a day.
const OF_RULE_MAX: usize = 3;
/// The dimension whose rules are about texts.
const DIMENSION: &str = "text";

/// Gathers, in total order, those with the highest scores, and of equal ones the first.
pub(super) struct Examples {
    /// For each epoch its lexicon, and the ids of the rules that are about texts, by place.
    epochs: Vec<(Arc<Lexicon>, Vec<Option<String>>)>,
    found: BTreeMap<String, Vec<TextExample>>,
}

impl Examples {
    pub(super) fn new(epochs: &[Epoch]) -> Examples {
        let of = |epoch: &Epoch| {
            let id = |rule: &crate::rules::Rule| {
                (rule.file.dimension == DIMENSION).then(|| rule.file.id.clone())
            };
            (epoch.features.lexicon.clone(), epoch.rules().iter().map(id).collect())
        };
        Examples { epochs: epochs.iter().map(of).collect(), found: BTreeMap::new() }
    }

    /// Looks at the next decisions.
    pub(super) fn observe(&mut self, epoch: usize, batch: &DecisionBatch) {
        let rules = &self.epochs[epoch].1;
        // Whoever has ids replaced does not want what people write beside their events either.
        let pseudonymous = batch.slice.chunk.schema().pseudonyms().is_some();
        if pseudonymous || rules.iter().all(Option::is_none) {
            return;
        }
        for at in 0..batch.rows.len() {
            self.observe_one(epoch, batch, at);
        }
    }

    #[inline]
    fn observe_one(&mut self, epoch: usize, batch: &DecisionBatch, at: usize) {
        let (lexicon, rules) = &self.epochs[epoch];
        for place in batch.hits.range(at) {
            let hit = usize::from(batch.hits.items()[place]);
            let Some(rule) = &rules[hit] else { continue };
            let (row, chunk) = (batch.rows[at] as usize, &batch.slice.chunk);
            let (text, score) = (chunk.str(TEXT, row), batch.scores[at]);
            let held = self.found.get(rule).map_or(&[][..], Vec::as_slice);
            let full = held.len() == OF_RULE_MAX;
            if full && held.last().is_some_and(|last| last.score >= score) {
                continue;
            }
            let Some(marked) = Marked::new("text", text, lexicon) else { continue };
            let example = TextExample {
                rule: rule.clone(),
                event_id: chunk.str(EVENT_ID, row).to_owned(),
                decision: batch.verdicts[at].name().to_owned(),
                score,
                pieces: marked.pieces(),
                phrases: marked.marks.into_iter().map(|one| (one.phrase, one.category)).collect(),
                reason: batch.reasons.get(place).to_owned(),
            };
            // The same text once more says nothing, and one without a phrase as little.
            let same = |held: &TextExample| held.pieces == example.pieces;
            if held.iter().any(same) || !example.pieces.iter().any(|(_, marked)| *marked) {
                continue;
            }
            let held = self.found.entry(rule.clone()).or_default();
            let place = held.partition_point(|one| one.score >= score);
            held.insert(place, example);
            held.truncate(OF_RULE_MAX);
        }
    }

    /// By rule, and then by score.
    pub(super) fn finish(self) -> Vec<TextExample> {
        self.found.into_values().flatten().collect()
    }
}
