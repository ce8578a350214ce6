//! The decisions on a slice on their way from another process.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Scored;
use crate::decision::{Added, Challenger, DecisionBatch, Evidence, Lists, Names, Verdict};
use crate::event::{Chunk, Column, Schema, Stored, Strings};
use crate::packet::finding::Finding;
use crate::source::order::Slice;

/// A [`Scored`] without what every process has: the schema, and what its rules have in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sent {
    part: usize,
    pub(crate) epoch: usize,
    events: Stored,
    effective: Vec<i64>,
    step: usize,
    first: u64,
    rows: Vec<u32>,
    verdicts: Vec<Verdict>,
    scores: Vec<i64>,
    rule_scores: Vec<i64>,
    model_scores: Vec<i64>,
    challenger: Challenger,
    hits: Lists<u16>,
    reasons: Strings,
    added: Vec<Added>,
    shadow_hits: Lists<u16>,
    evidence: Lists<(u16, Evidence)>,
    outcomes: Strings,
    features: Vec<Column>,
    kinds: [u64; 12],
    not_evaluable: Vec<u64>,
    findings: Vec<(u32, Finding)>,
}

impl Sent {
    /// Decisions as a worker has them.
    pub(crate) fn of(scored: Scored) -> Sent {
        let Scored { part, epoch, batch, features, events: kinds, .. } = scored;
        let Scored { not_evaluable, findings, .. } = scored;
        let DecisionBatch { slice, rows, verdicts, scores, rule_scores, .. } = batch;
        let DecisionBatch { model_scores, challenger, hits, reasons, added, .. } = batch;
        let DecisionBatch { raised, shadow_hits, evidence, outcomes, .. } = batch;
        assert!(raised.is_empty(), "verdicts raise decisions where all of them come together");
        let (effective, step, first) = (slice.effective.clone(), slice.step, slice.first);
        let events = match Arc::try_unwrap(slice) {
            Ok(slice) => slice.chunk,
            Err(slice) => slice.chunk.clone(),
        };
        Sent {
            part,
            epoch,
            events: events.into_stored(),
            effective,
            step,
            first,
            rows,
            verdicts,
            scores,
            rule_scores,
            model_scores,
            challenger,
            hits,
            reasons,
            added,
            shadow_hits,
            evidence,
            outcomes,
            features,
            kinds,
            not_evaluable,
            findings,
        }
    }

    /// See [`Scored::part`].
    pub(crate) fn part(&self) -> usize {
        self.part
    }

    /// The decisions; `names` are those of their epoch.
    pub(crate) fn scored(self, schema: &Arc<Schema>, names: &Arc<Names>) -> Scored {
        let chunk = Chunk::from_stored(schema, self.events);
        let slice = Slice { chunk, effective: self.effective, step: self.step, first: self.first };
        let batch = DecisionBatch {
            slice: Arc::new(slice),
            rows: self.rows,
            verdicts: self.verdicts,
            scores: self.scores,
            rule_scores: self.rule_scores,
            model_scores: self.model_scores,
            challenger: self.challenger,
            hits: self.hits,
            reasons: self.reasons,
            added: self.added,
            raised: Vec::new(),
            shadow_hits: self.shadow_hits,
            evidence: self.evidence,
            outcomes: self.outcomes,
        };
        Scored {
            part: self.part,
            epoch: self.epoch,
            names: names.clone(),
            batch,
            features: self.features,
            events: self.kinds,
            not_evaluable: self.not_evaluable,
            findings: self.findings,
        }
    }
}
