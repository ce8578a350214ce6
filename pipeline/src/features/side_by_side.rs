//! The features of several rules directories, one after the other in force, in one plan.
//!
//! A windowed feature is the same in two directories when its name and its definition are: what
//! contributes, under which key, what is computed and over how long, with named conditions in
//! place of their names. Features that differ stand side by side in the plan, and all of them see
//! the stream from its beginning. Where a directory comes into force, a feature that the one
//! before did not have is *warming*: null until a full window has passed. One that it had goes on
//! as it was, and if it was warming, until then. What was backfilled, which a stream does before rules
//! come into force, is not warming.
//!
//! What has no window is never warming: text features and expressions depend on the one
//! transaction; attributes, clusters and the referee's findings are what the whole stream told.
//!
//! Whether an event contributes is for the rules that are in force when it comes: their lists and
//! phrases decide, and changed ones do not make a feature another. Rules that have no such condition
//! borrow it of the nearest ones before them that have, or else of the next ones, as those had it when
//! what they brought was worked out over what came before.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalogue::{Features, Formula, Lent, SlotSource};
use super::declare::Window;
use super::kept::Keepers;
use super::plan::{Definition, Plan};
use crate::event::Type;
use crate::expr::Zone;

/// Features in their turn.
pub struct InTurn {
    /// From when on they are in force; of the first that says nothing.
    pub start: i64,
    /// Whether what they bring had been worked out before.
    pub backfilled: bool,
    /// The features.
    pub features: Features,
}

/// Puts features side by side that are in force one after the other, the first from the beginning.
///
/// All must be over events of one schema, in one time zone, and with the same clusters.
pub fn side_by_side(in_turn: Vec<InTurn>) -> Vec<Features> {
    let Some(InTurn { features: first, .. }) = in_turn.first().filter(|_| in_turn.len() > 1) else {
        return in_turn.into_iter().map(|turn| turn.features).collect();
    };
    let mut definitions: Vec<Definition> = Vec::new();
    let places: Vec<Vec<usize>> = in_turn
        .iter()
        .map(|InTurn { features, .. }| {
            let place = |definition| place_of(&mut definitions, definition);
            features.plan.definitions.iter().map(place).collect()
        })
        .collect();
    let mut plan = Plan::new(&first.schema, definitions);
    let families: Vec<_> = std::mem::take(&mut plan.families).into_iter().map(Arc::new).collect();
    let (plan, columns) = (Arc::new(plan), columns(&in_turn));
    let keepers = in_turn.iter().map(|turn| turn.features.keepers).reduce(Keepers::and);
    let clusters = in_turn.iter().find_map(|turn| turn.features.clusters.clone());
    let mut full_from: Option<BTreeMap<usize, i64>> = None;
    let mut all: Vec<Features> = in_turn
        .into_iter()
        .zip(places)
        .map(|(InTurn { start, backfilled, mut features }, places)| {
            let full = |place: &usize| {
                let window = plan.definitions[*place].windowed.window;
                let from = match &full_from {
                    None => i64::MIN,
                    Some(_) if backfilled => i64::MIN,
                    Some(before) => before
                        .get(place)
                        .copied()
                        .unwrap_or_else(|| window_full(window, start, &features.zone)),
                };
                (*place, from)
            };
            let full: BTreeMap<usize, i64> = places.iter().map(full).collect();
            features.rewire(&plan, &places, &columns);
            features.families.clone_from(&families);
            features.keepers = keepers.unwrap_or(features.keepers);
            features.clusters.clone_from(&clusters);
            features.warming = full
                .iter()
                .map(|(at, from)| (*at, *from))
                .filter(|(_, from)| *from > start)
                .collect();
            full_from = Some(full);
            features
        })
        .collect();
    lend(&mut all);
    all
}

/// Gives all of them the conditions of the plan that they have not themselves.
fn lend(all: &mut [Features]) {
    let lenders: Vec<Arc<Features>> = all.iter().cloned().map(Arc::new).collect();
    for (at, features) in all.iter_mut().enumerate() {
        let mut lent: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for condition in 0..features.conditions.len() {
            let has = |lender: &usize| lenders[*lender].conditions[condition].is_some();
            // It may itself be the one.
            let lender = (0..=at).rev().find(has).or_else(|| (at..lenders.len()).find(has));
            if let Some(lender) = lender.filter(|lender| *lender != at) {
                lent.entry(lender).or_default().push(condition);
            }
        }
        let of = |(lender, conditions): (usize, _)| Lent {
            features: lenders[lender].clone(),
            conditions,
        };
        features.lent = lent.into_iter().map(of).collect();
    }
}

/// The place of a definition among those that are held, to which it is added if need be.
fn place_of(held: &mut Vec<Definition>, definition: &Definition) -> usize {
    held.iter().position(|one| one == definition).unwrap_or_else(|| {
        held.push(definition.clone());
        held.len() - 1
    })
}

/// The columns of all, each name once, in the order in which they first come.
fn columns(in_turn: &[InTurn]) -> Vec<(String, Type)> {
    let mut columns: Vec<(String, Type)> = Vec::new();
    for (name, kind, _) in in_turn.iter().flat_map(|turn| &turn.features.columns) {
        if !columns.iter().any(|(held, _)| held == name) {
            columns.push((name.clone(), *kind));
        }
    }
    columns
}

/// The first moment whose window holds nothing from before `start`.
fn window_full(window: Window, start: i64, zone: &Zone) -> i64 {
    match window {
        Window::Span(span) => start.saturating_add(span),
        Window::Day => next_day(start, zone),
        Window::Forever => i64::MIN,
    }
}

/// The first moment of a local day that is not before `time`.
fn next_day(time: i64, zone: &Zone) -> i64 {
    let today = zone.day_start(time);
    if today == time {
        return time;
    }
    // No day has two days' hours, and none is skipped by a clock that is put on.
    let (mut before, mut after) = (time, today + 2 * 86_400_000);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if zone.day_start(middle) == today {
            before = middle;
        } else {
            after = middle;
        }
    }
    after
}

impl Features {
    /// The names of what these features need and a run with those others does not compute.
    pub(crate) fn beyond(&self, held: &Features) -> Vec<String> {
        let is_held = |one: &&Definition| !held.plan.definitions.contains(one);
        let windowed = self.plan.definitions.iter().filter(is_held).map(|one| one.name.clone());
        let computed = |source: &SlotSource| match source {
            SlotSource::Kept(at) => held.keepers.answer(*at),
            SlotSource::Cluster(_) => held.clusters.is_some(),
            _ => true,
        };
        let others = self.columns.iter().filter(|(_, _, source)| !computed(source));
        windowed.chain(others.map(|(name, ..)| name.clone())).collect()
    }

    /// Reads from the plan of all what it read from its own, where feature `i` is `places[i]`.
    fn rewire(&mut self, plan: &Arc<Plan>, places: &[usize], columns: &[(String, Type)]) {
        let moved = |source: SlotSource| match source {
            SlotSource::Windowed(at) => SlotSource::Windowed(places[at]),
            other => other,
        };
        for source in &mut self.slots {
            *source = moved(*source);
        }
        for computed in &mut self.computed {
            if let Formula::Ratio(mean) = &mut computed.formula {
                *mean = places[*mean];
            }
        }
        let own = std::mem::take(&mut self.columns);
        let column = |(name, kind): &(String, Type)| {
            let source = own.iter().find(|(held, ..)| held == name);
            (name.clone(), *kind, source.map_or(SlotSource::Nowhere, |(.., held)| moved(*held)))
        };
        self.columns = columns.iter().map(column).collect();
        let programs = std::mem::take(&mut self.conditions);
        let program = |(_, text): &(_, String)| {
            let at = self.plan.conditions.iter().position(|(_, held)| held == text)?;
            programs[at].clone()
        };
        self.conditions = plan.conditions.iter().map(program).collect();
        self.plan = plan.clone();
    }
}
