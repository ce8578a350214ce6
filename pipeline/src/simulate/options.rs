//! Parts of a scenario file that a population need not have.

use toml::de::DeTable;

use crate::document::Reader;

/// What people do that not every population shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Customs {
    /// So many in a hundred of those who type a packet's password mistype it first.
    pub password_slips_percent: i64,
    /// Whether those who would rather watch are spread evenly over the families; else at random.
    pub watchers_by_family: bool,
}

/// What investigators do not know or get wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// So many in a hundred rings are never found: nothing of them has a label.
    pub missed_percent: i64,
    /// For a hundred labels of fraud, so many honest subjects are labelled fraud.
    pub wrong_percent: i64,
    /// Labels are known later, each by up to so many days.
    pub late_days: i64,
}

impl Noise {
    /// Whether the labels are not just the truth.
    pub fn any(self) -> bool {
        self != Noise::default()
    }
}

const PERCENT: (i64, i64) = (0, 100);
/// As long as the longest scenario.
const LATE_DAYS: (i64, i64) = (0, 100);

/// Reads `[customs]`.
pub(super) fn customs(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Customs {
    let Some(table) = reader.table(root, "customs") else { return Customs::default() };
    reader.known_keys(table, &["password_slips_percent", "watchers_by_family"]);
    let slips = reader.integer(table, "password_slips_percent", PERCENT.0..=PERCENT.1);
    let evenly = reader.boolean(table, "watchers_by_family");
    Customs {
        password_slips_percent: slips.unwrap_or(0),
        watchers_by_family: evenly.unwrap_or(false),
    }
}

/// Reads `[labels]`.
pub(super) fn noise(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Noise {
    let Some(table) = reader.table(root, "labels") else { return Noise::default() };
    reader.known_keys(table, &["missed_percent", "wrong_percent", "late_days"]);
    let mut number = |key, (low, high)| reader.integer(table, key, low..=high).unwrap_or(0);
    Noise {
        missed_percent: number("missed_percent", PERCENT),
        wrong_percent: number("wrong_percent", PERCENT),
        late_days: number("late_days", LATE_DAYS),
    }
}
