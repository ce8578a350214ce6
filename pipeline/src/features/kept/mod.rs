//! Built-in features whose state is a structure of its own.
//!
//! A *keeper* is a keyed operator that answers lookups of transactions. What it answers is
//! declared here, row by row, and gathered as the answers of the declared families are: a reply
//! names the lookups that it answers by bit, and has the words of their rows in order.

mod funds;
mod groups;
mod referee;
mod ties;

use std::collections::BTreeMap;

use super::devices::latency;
use super::entries::{Entry, EntrySource, entry};
use super::senders;
use crate::event::Type;

/// A keyed operator with a structure of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Keeper {
    /// The referee of packets, keyed by packet.
    Packets,
    /// The luck and refunds of accounts, keyed by account.
    Fortunes,
    /// What became of the packets that accounts sent, keyed by account.
    Senders,
    /// When packets are claimed, keyed by device.
    Latencies,
    /// What accounts' money did in the last 24 hours, keyed by account.
    Flows,
    /// Money that reaches accounts through others, keyed by account.
    Chains,
    /// Money that goes in a circle: every worker has the whole graph.
    Cycles,
    /// The same graph, asked for longer cycles through accounts on which there was an alert.
    LongCycles,
    /// The money of groups, keyed by group.
    Groups,
    /// Where two accounts deal with each other, keyed by the pair.
    Ties,
    /// The groups in which accounts act, keyed by account.
    Common,
}

/// All keepers with the rows of each lookup, by bit.
const KEEPERS: [(Keeper, &[&[Row]]); 11] = [
    (Keeper::Packets, &[referee::PACKET]),
    (Keeper::Fortunes, &[referee::ACCOUNT]),
    (Keeper::Senders, &[senders::ROWS]),
    (Keeper::Latencies, &[latency::ROWS]),
    (Keeper::Flows, &funds::FLOWS),
    (Keeper::Chains, &funds::CHAINS),
    (Keeper::Cycles, &funds::CYCLES),
    (Keeper::LongCycles, &funds::LONG_CYCLES),
    (Keeper::Groups, &[groups::GROUP]),
    (Keeper::Ties, &[ties::TIE]),
    (Keeper::Common, &[ties::COMMON]),
];

/// The place of `packet.outcome` among the kept features.
pub(crate) const OUTCOME: usize = 0;

/// The keeper whose answers about the payer and the payee are only for those on whom there was an
/// alert.
pub(crate) const OF_ALERTED: Keeper = Keeper::LongCycles;

/// Which of payer and payee it is whose alerts a kept feature hangs on; most hang on none.
pub(crate) fn side_of_alerted(feature: usize) -> Option<usize> {
    lookups()[OF_ALERTED as usize].iter().position(|features| features.contains(&feature))
}

/// A feature that a keeper answers.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: RowKind,
    pub(crate) doc: &'static str,
    pub(crate) doc_zh: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) misleads: &'static str,
}

/// What a word of an answer is.
#[derive(Clone, Copy)]
pub(crate) enum RowKind {
    /// An integer; null where the keeper does not answer or says `NULL_INT`.
    Int,
    /// An integer that is 0 where the keeper does not answer.
    Count,
    /// The bits of a double; null where the keeper does not answer or says NaN.
    Double,
    /// A small number that stands for a name; an empty name is null.
    Name(fn(u8) -> &'static str),
}

impl RowKind {
    fn kind(self) -> Type {
        match self {
            RowKind::Int | RowKind::Count => Type::Int,
            RowKind::Double => Type::Double,
            RowKind::Name(_) => Type::Str,
        }
    }

    /// The names that it can be, where it is one.
    fn values(self) -> Option<Vec<String>> {
        let RowKind::Name(name) = self else { return None };
        let names = (0..=u8::MAX).map(name).filter(|name| !name.is_empty());
        Some(names.map(str::to_owned).collect())
    }
}

/// The keepers that a run needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keepers([bool; KEEPERS.len()]);

impl Keepers {
    /// Those of these kept features; the referee of packets is always there, for its finding is in
    /// every decision.
    pub(crate) fn of(features: impl Iterator<Item = usize>) -> Keepers {
        let mut keepers = Keepers([false; KEEPERS.len()]);
        for at in features.chain([OUTCOME]) {
            keepers.0[keeper_of(at)] = true;
        }
        keepers
    }

    /// These and those.
    pub(crate) fn and(mut self, others: Keepers) -> Keepers {
        self.0.iter_mut().zip(others.0).for_each(|(held, other)| *held |= other);
        self
    }

    pub(crate) fn has(self, keeper: Keeper) -> bool {
        self.0[keeper as usize]
    }

    /// Whether the keeper of that feature is one of them.
    pub(crate) fn answer(self, feature: usize) -> bool {
        self.0[keeper_of(feature)]
    }
}

/// The number of keepers.
pub(crate) const COUNT: usize = KEEPERS.len();

/// All kept features in order.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    KEEPERS.iter().flat_map(|(_, lookups)| lookups.iter().copied().flatten())
}

/// For each keeper and each of its lookups, the places of its features.
pub(crate) fn lookups() -> Vec<Vec<Vec<usize>>> {
    let mut places = 0..;
    let mut lookup = |rows: &&[Row]| places.by_ref().take(rows.len()).collect();
    KEEPERS.iter().map(|(_, lookups)| lookups.iter().map(&mut lookup).collect()).collect()
}

/// The keeper that answers a feature.
pub(crate) fn keeper(feature: usize) -> Option<Keeper> {
    KEEPERS.get(keeper_of(feature)).map(|(keeper, _)| *keeper)
}

/// The place among the keepers of the one that answers a feature.
fn keeper_of(feature: usize) -> usize {
    let mut first = 0;
    let holds = |(_, lookups): &(Keeper, &[&[Row]])| {
        first += lookups.iter().map(|rows| rows.len()).sum::<usize>();
        feature < first
    };
    KEEPERS.iter().position(holds).expect("a place among all features of the keepers")
}

/// Adds the kept features to the catalogue.
pub(super) fn add(entries: &mut BTreeMap<String, Entry>) {
    for (at, row) in rows().enumerate() {
        let source = EntrySource::Kept(at);
        let mut entry = entry(row.kind.kind(), source, row.doc, row.doc_zh, row.unit);
        entry.misleads = row.misleads.to_owned();
        entry.values = row.kind.values();
        entries.insert(row.name.to_owned(), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_a_place_with_its_keeper() {
        let names: Vec<&str> = rows().map(|row| row.name).collect();
        assert_eq!(names[OUTCOME], "packet.outcome");
        for (at, (keeper, lookups)) in KEEPERS.iter().enumerate() {
            assert_eq!(*keeper as usize, at, "keepers stand in the order of their names");
            let places = super::lookups()[at].concat();
            let own: Vec<&str> =
                lookups.iter().flat_map(|rows| rows.iter().map(|row| row.name)).collect();
            assert_eq!(places.iter().map(|place| names[*place]).collect::<Vec<_>>(), own);
            assert!(places.iter().all(|place| keeper_of(*place) == at));
        }
    }
}
