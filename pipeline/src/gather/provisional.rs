//! Decisions of which some hang on alerts that the workers have yet to agree on.

use std::rc::Rc;

use super::{Prepared, opinions};
use crate::alerts::Share;
use crate::decision::{DecisionBatch, Verdict};
use crate::event::{ACCOUNT_ID, COUNTERPARTY_ID, Column, NULL_INT, Type, Value};
use crate::features::catalogue::{Features, Formula, SlotSource};
use crate::features::funds::requests::sides;
use crate::features::kept;
use crate::job::{Epoch, Job};
use crate::keyed::Key;
use crate::score::Opinion;
use crate::sink::Scored;

/// Whether there was an alert on the payer, and on the payee.
pub(super) type Alerted = [bool; 2];

/// What is decided on a slice by what is known of the others' alerts.
pub(crate) struct Provisional {
    pub(super) scored: Scored,
    /// What was known of each transaction's sides; nothing where no feature asks. The columns of
    /// such features are as if there had been alerts on all.
    pub(super) alerted: Vec<Alerted>,
}

/// The features that are null unless there was an alert on a side.
pub(super) struct OfAlerted(Vec<OfSide>);

pub(super) struct OfSide {
    /// 0 is the payer, 1 the payee.
    side: usize,
    /// The feature's place among the kept ones.
    pub(super) feature: usize,
    column: usize,
    /// Where it is read from when something is decided by it.
    slot: Option<usize>,
}

impl OfAlerted {
    pub(super) fn among(features: &Features) -> OfAlerted {
        let of_side = |(column, (.., source)): (usize, &(String, Type, SlotSource))| {
            let SlotSource::Kept(feature) = *source else { return None };
            let side = kept::side_of_alerted(feature)?;
            let slot = features.slots.iter().position(|slot| slot == source);
            Some(OfSide { side, feature, column, slot })
        };
        OfAlerted(features.columns().iter().enumerate().filter_map(of_side).collect())
    }

    /// On whose alerts something hangs, if `is_there` says which have a value.
    pub(super) fn hangs(&self, is_there: impl Fn(&OfSide) -> bool) -> [bool; 2] {
        let mut hangs = [false; 2];
        for of in &self.0 {
            hangs[of.side] |= is_there(of);
        }
        hangs
    }

    /// Makes the values in the slots null that nobody may see.
    pub(super) fn forget(&self, alerted: Alerted, values: &mut [Value<'_>]) {
        for of in self.0.iter().filter(|of| !alerted[of.side]) {
            if let Some(slot) = of.slot {
                values[slot] = Value::Null;
            }
        }
    }

    /// Whether something is decided by a value that is seen with one of these and not the other.
    fn decides(&self, [was, is]: [Alerted; 2], scored: &Scored, at: usize) -> bool {
        let changed = self.0.iter().filter(|of| was[of.side] != is[of.side]);
        changed.into_iter().any(|of| of.slot.is_some() && of.is_there(scored, at))
    }
}

impl OfSide {
    fn is_there(&self, scored: &Scored, at: usize) -> bool {
        matches!(&scored.features[self.column], Column::Int(values) if values[at] != NULL_INT)
    }
}

/// Who acts, who pays and who is paid, in each row of a slice.
pub(super) struct Sides<'p> {
    prepared: &'p Prepared,
    accounts: Rc<[Key]>,
    counterparties: Rc<[Key]>,
}

impl<'p> Sides<'p> {
    pub(super) fn of(prepared: &'p Prepared) -> Sides<'p> {
        let [accounts, counterparties] = prepared.keys_of([ACCOUNT_ID, COUNTERPARTY_ID]);
        Sides { prepared, accounts, counterparties }
    }

    /// What is known of the sides on whose alerts something hangs.
    pub(super) fn alerted(&self, row: usize, hangs: [bool; 2], share: &Share<'_>) -> Alerted {
        if hangs == [false; 2] {
            return hangs;
        }
        let slice = &self.prepared.slice;
        let kind = slice.chunk.kind(row);
        let (payer, payee) = sides(kind, self.accounts[row], self.counterparties[row]);
        let alerted = |side| share.is_alerted(side, slice.effective[row]);
        [hangs[0] && alerted(payer), hangs[1] && alerted(payee)]
    }

    /// A decision other than allow is an alert.
    pub(super) fn note(&self, row: usize, verdict: Verdict, share: &mut Share<'_>) {
        if verdict != Verdict::Allow {
            share.alert(self.accounts[row], self.prepared.slice.effective[row]);
        }
    }
}

impl Provisional {
    /// Decides anew where something else is known by now.
    pub(crate) fn revise(&mut self, job: &Job, prepared: &Prepared, share: &mut Share<'_>) {
        let Epoch { features, scorer, .. } = &job.epoch(prepared.epoch);
        let Provisional { scored, alerted } = self;
        let of_alerted = OfAlerted::among(features);
        let sides = Sides::of(prepared);
        let batch = || DecisionBatch::new(scored.batch.slice.clone());
        let (mut withdrawn, mut revised) = (batch(), batch());
        let (mut before, mut now) = (scorer.decider(), scorer.decider());
        let mut places = Vec::new();
        let mut computed = Vec::new();
        for (at, alerted) in alerted.iter_mut().enumerate() {
            let row = scored.batch.rows[at] as usize;
            let mut verdict = scored.batch.verdicts[at];
            let is_there = |of: &OfSide| of.is_there(scored, at);
            let hangs = of_alerted.hangs(is_there);
            let was = std::mem::replace(alerted, sides.alerted(row, hangs, share));
            if of_alerted.decides([was, *alerted], scored, at) {
                let kind = prepared.slice.chunk.kind(row);
                let mut values = features.row(scored, at);
                let unseen = values.clone();
                of_alerted.forget(*alerted, &mut values);
                computed.push(features.recompute(scored, at, &mut values));
                // What models say hangs on no alert.
                let opinion = Opinion::recorded(&scored.batch, at);
                verdict = now.decide(kind, &values, None, opinion, &mut revised);
                places.push(at);
                // What could not be evaluated then is not to be counted.
                let mut values = unseen;
                of_alerted.forget(was, &mut values);
                features.recompute(scored, at, &mut values);
                before.decide(kind, &values, None, opinion, &mut withdrawn);
            }
            sides.note(row, verdict, share);
        }
        let columns = features.recomputed_columns(scored, &places, &computed);
        for (at, column) in columns {
            scored.features[at] = column;
        }
        scored.batch.replace(&places, &revised);
        let counts = now.not_evaluable().into_iter().zip(before.not_evaluable());
        for (count, (now, before)) in scored.not_evaluable.iter_mut().zip(counts) {
            *count = *count + now - before;
        }
    }

    /// What is decided, now that all alerts are agreed: nobody sees what hangs on one that there
    /// was not.
    pub(crate) fn finish(self, job: &Job) -> Scored {
        let Provisional { mut scored, alerted } = self;
        let Epoch { features, scorer, .. } = &job.epoch(scored.epoch);
        for of in OfAlerted::among(features).0 {
            let Column::Int(values) = &mut scored.features[of.column] else { continue };
            for (value, alerted) in values.iter_mut().zip(&alerted) {
                if !alerted[of.side] {
                    *value = NULL_INT;
                }
            }
        }
        opinions::tell(scorer, &mut scored);
        scored
    }
}

impl Features {
    /// What is computed from a row's values, which are otherwise than when it was first decided.
    fn recompute<'v>(
        &'v self,
        scored: &'v Scored,
        at: usize,
        values: &mut [Value<'v>],
    ) -> Vec<Value<'v>> {
        let mut computed = Vec::new();
        for (nth, feature) in self.computed.iter().enumerate() {
            let value = match &feature.formula {
                Formula::Expr(program) => program.value(values).unwrap_or(Value::Null),
                // It hangs on no alert.
                Formula::Ratio(_) | Formula::Learnt(_) => {
                    self.stored(scored, SlotSource::Computed(nth), at)
                }
            };
            if let Some(slot) = feature.slot {
                values[slot] = value;
            }
            computed.push(value);
        }
        computed
    }

    /// The columns of computed features that are otherwise with the values computed in some places.
    fn recomputed_columns(
        &self,
        scored: &Scored,
        places: &[usize],
        computed: &[Vec<Value<'_>>],
    ) -> Vec<(usize, Column)> {
        let mut columns = Vec::new();
        for (nth, (_, kind, source)) in self.columns().iter().enumerate() {
            let SlotSource::Computed(feature) = *source else { continue };
            let held = &scored.features[nth];
            let mut anew = places.iter().zip(computed);
            if anew.all(|(at, computed)| computed[feature] == held.value(*at)) {
                continue;
            }
            let mut anew = places.iter().zip(computed).peekable();
            let mut column = Column::empty(*kind);
            for at in 0..scored.batch.rows.len() {
                let computed = anew.next_if(|(place, _)| **place == at);
                column.push(computed.map_or_else(|| held.value(at), |(_, values)| values[feature]));
            }
            columns.push((nth, column));
        }
        columns
    }
}
