//! `[reactions]`: what people do about decisions, where a population runs with rules.

use toml::de::{DeTable, DeValue};

use crate::document::Reader;
use crate::simulate::figures::{DAY, HOUR, MINUTE};

/// What people, rings and the review desk do about decisions. All are chosen here: no published
/// figures were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reactions {
    /// Of a thousand honest payments that are blocked, so many are tried once more.
    pub retry_permille: i64,
    /// How long after, ms.
    pub retry_after: i64,
    /// How long whoever has given up neither sends nor pays, ms.
    pub shun: i64,
    /// Transactions that the review desk looks at in a day.
    pub desk_a_day: i64,
    /// Of a thousand of them, so many are decided against what is true.
    pub desk_errors_permille: i64,
    /// How long a transaction is held at most, ms; nobody having looked, its money goes back.
    pub hold: i64,
    /// After so many stopped transactions a ring gives up a group or an account.
    pub ring_patience: i64,
    /// How long until it has another, ms.
    pub ring_moves_after: i64,
    /// After so many a ring that is stopped again gives up for good.
    pub ring_moves_max: i64,
}

impl Default for Reactions {
    fn default() -> Reactions {
        Reactions {
            retry_permille: 600,
            retry_after: 10 * MINUTE,
            shun: 3 * DAY,
            desk_a_day: 200,
            desk_errors_permille: 20,
            hold: 48 * HOUR,
            ring_patience: 3,
            ring_moves_after: HOUR,
            ring_moves_max: 6,
        }
    }
}

/// A key, its bounds, the unit of its number in ms or none, and where its value goes.
type Key = (&'static str, i64, i64, i64, fn(&mut Reactions) -> &mut i64);

/// The longest hold is that of the engine, a week; the rest is bounded so that nothing overflows.
const KEYS: [Key; 9] = [
    ("retry_permille", 0, 1_000, 1, |reactions| &mut reactions.retry_permille),
    ("retry_minutes", 1, 10_000, MINUTE, |reactions| &mut reactions.retry_after),
    ("shun_days", 0, 100, DAY, |reactions| &mut reactions.shun),
    ("desk_a_day", 0, 1_000_000, 1, |reactions| &mut reactions.desk_a_day),
    ("desk_errors_permille", 0, 1_000, 1, |reactions| &mut reactions.desk_errors_permille),
    ("hold_hours", 1, 168, HOUR, |reactions| &mut reactions.hold),
    ("ring_patience", 1, 1_000_000, 1, |reactions| &mut reactions.ring_patience),
    ("ring_moves_minutes", 0, 10_000, MINUTE, |reactions| &mut reactions.ring_moves_after),
    ("ring_moves_max", 0, 1_000, 1, |reactions| &mut reactions.ring_moves_max),
];

pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<Reactions> {
    let mut reactions = Reactions::default();
    let Some(node) = root.get("reactions") else { return Some(reactions) };
    let DeValue::Table(table) = node.get_ref() else {
        return reader.wrong_type("reactions", node, ("a table", "表"));
    };
    reader.known_keys(table, &KEYS.map(|(name, ..)| name));
    let mut whole = true;
    for (name, least, most, unit, field) in KEYS.into_iter().filter(|key| table.contains_key(key.0))
    {
        match reader.integer(table, name, least..=most) {
            Some(number) => *field(&mut reactions) = unit * number,
            None => whole = false,
        }
    }
    whole.then_some(reactions)
}
