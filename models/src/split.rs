//! Which rows train, calibrate and test: by time with a gap, and by group.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::table::Table;

/// How to split. Times are in the unit of the table's times (ms in Hongxian).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// The first time of training; without it, the table's first.
    pub train_from: Option<i64>,
    /// The first time of testing; without it, such that `test_share` of the rows lie at or after
    /// it.
    pub test_from: Option<i64>,
    /// The first time after testing; without it, the table ends the test.
    pub test_until: Option<i64>,
    /// The share of rows to test on where `test_from` is not given.
    pub test_share: f64,
    /// How long after a row its label is known: training ends this long before `test_from`, since
    /// on the first day of the test no later label would have been there to learn from.
    pub label_delay: i64,
    /// The share of the rows before the gap, the latest, that do not train but calibrate.
    pub calibration_share: f64,
    /// No group stands on both sides: a whole group trains or tests, by a keyed hash of its name,
    /// and its rows at the other side's times are dropped. Rows without a group go by time alone.
    pub by_group: bool,
    /// The share of groups that test, where `by_group`.
    pub test_group_share: f64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        SplitConfig {
            train_from: None,
            test_from: None,
            test_until: None,
            test_share: 0.25,
            label_delay: 0,
            calibration_share: 0.15,
            by_group: false,
            test_group_share: 0.3,
        }
    }
}

/// The rows of each part, in the table's order, and what became of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Rows to train on.
    pub train: Vec<u32>,
    /// Rows to calibrate on.
    pub calibration: Vec<u32>,
    /// Rows to test on.
    pub test: Vec<u32>,
    /// How the rows were divided.
    pub facts: SplitFacts,
}

/// What a split did, to be printed and kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitFacts {
    /// The parts, in order of time: train, calibration, test.
    pub parts: Vec<PartFacts>,
    /// Rows between training and test, whose labels were not known when the test began.
    pub gap_rows: usize,
    /// Rows before the training or after the test.
    pub outside_rows: usize,
    /// Rows dropped because their group stands on the other side.
    pub group_rows: usize,
    /// Groups that train and groups that test; 0 where groups were not asked for.
    pub groups: [usize; 2],
}

/// One part of a split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartFacts {
    /// train, calibration or test.
    pub name: String,
    /// Its rows.
    pub rows: usize,
    /// Those with the label.
    pub positive: usize,
    /// Its first time.
    pub first: Option<i64>,
    /// Its last time.
    pub last: Option<i64>,
}

/// Why there is no split.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum SplitError {
    /// A share is not between 0 and 1.
    #[error("{name} is {value}; it must be from 0 to less than 1")]
    Share {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A negative delay.
    #[error("label_delay is {0}; it cannot be negative")]
    Delay(i64),
    /// Groups were asked for, and the table has none.
    #[error("by_group is set, and the rows have no groups")]
    NoGroups,
    /// A part has one class or no rows.
    #[error(
        "the {part} part has {rows} rows, {positive} of them with the label; it needs rows with \
         and without"
    )]
    OneClass {
        /// train, calibration or test.
        part: &'static str,
        /// Its rows.
        rows: usize,
        /// Those with the label.
        positive: usize,
    },
}

/// The parts by name, in the order of [`SplitFacts::parts`].
const PARTS: [&str; 3] = ["train", "calibration", "test"];

/// Where a row stands by its time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Train,
    Calibration,
    Gap,
    Test,
    Outside,
}

impl SplitConfig {
    /// Divides the rows of a table. `seed` keys the hash of group names.
    ///
    /// # Errors
    /// When a part has one class or no rows.
    pub fn split(&self, table: &Table, seed: u64) -> Result<Split, SplitError> {
        let split = self.divide(table, seed)?;
        for PartFacts { name, rows, positive, .. } in &split.facts.parts {
            let part = PARTS.into_iter().find(|part| part == name).expect("a part has a name");
            let needed = part != "calibration" || *rows > 0;
            if needed && (*positive == 0 || positive == rows) {
                return Err(SplitError::OneClass { part, rows: *rows, positive: *positive });
            }
        }
        Ok(split)
    }

    /// The same for a training without labels: a part may be of one class.
    pub(crate) fn divide(&self, table: &Table, seed: u64) -> Result<Split, SplitError> {
        self.check(table)?;
        let times = table.times();
        let test_from = self.test_from.unwrap_or_else(|| quantile(times, 1.0 - self.test_share));
        let train_until = test_from.saturating_sub(self.label_delay);
        let train_from = self.train_from.unwrap_or(i64::MIN);
        let before: Vec<i64> =
            times.iter().copied().filter(|t| (train_from..train_until).contains(t)).collect();
        let calibration_from = if self.calibration_share > 0.0 && !before.is_empty() {
            quantile(&before, 1.0 - self.calibration_share)
        } else {
            train_until
        };
        let test_until = self.test_until.unwrap_or(i64::MAX);
        let place = |time: i64| match time {
            _ if time < train_from => Place::Outside,
            _ if time < train_until && time < calibration_from => Place::Train,
            _ if time < train_until => Place::Calibration,
            _ if time < test_from => Place::Gap,
            _ if time < test_until || self.test_until.is_none() => Place::Test,
            _ => Place::Outside,
        };
        let tests = self.groups_that_test(table, seed);
        let mut split = Split::default();
        for (row, time) in times.iter().enumerate() {
            let place = place(*time);
            let of_group = table.groups().filter(|_| self.by_group);
            let group = of_group.and_then(|groups| groups.of_row()[row]);
            let other_side = match (place, group) {
                (Place::Train | Place::Calibration, Some(group)) => tests[group as usize],
                (Place::Test, Some(group)) => !tests[group as usize],
                _ => false,
            };
            let rows = match place {
                _ if other_side => {
                    split.facts.group_rows += 1;
                    continue;
                }
                Place::Gap => {
                    split.facts.gap_rows += 1;
                    continue;
                }
                Place::Outside => {
                    split.facts.outside_rows += 1;
                    continue;
                }
                Place::Train => &mut split.train,
                Place::Calibration => &mut split.calibration,
                Place::Test => &mut split.test,
            };
            rows.push(row as u32);
        }
        let testing = tests.iter().filter(|tests| **tests).count();
        split.facts.groups = [tests.len() - testing, testing];
        split.count(table);
        Ok(split)
    }

    fn check(&self, table: &Table) -> Result<(), SplitError> {
        let shares = [
            ("test_share", self.test_share),
            ("calibration_share", self.calibration_share),
            ("test_group_share", self.test_group_share),
        ];
        for (name, value) in shares {
            if !(0.0..1.0).contains(&value) {
                return Err(SplitError::Share { name, value });
            }
        }
        if self.label_delay < 0 {
            return Err(SplitError::Delay(self.label_delay));
        }
        if self.by_group && table.groups().is_none() {
            return Err(SplitError::NoGroups);
        }
        Ok(())
    }

    /// Whether each group tests; empty where groups do not matter. The hash of the name alone
    /// decides, so that a group stays on its side when other rows come and go.
    fn groups_that_test(&self, table: &Table, seed: u64) -> Vec<bool> {
        let Some(groups) = table.groups().filter(|_| self.by_group) else {
            return Vec::new();
        };
        let mut key = [0; blake3::KEY_LEN];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let tests = |name: &String| {
            let hash = blake3::keyed_hash(&key, name.as_bytes());
            let [a, b, c, d, ..] = *hash.as_bytes();
            let unit = f64::from(u32::from_le_bytes([a, b, c, d])) / 4_294_967_296.0;
            unit < self.test_group_share
        };
        groups.names().iter().map(tests).collect()
    }
}

impl Split {
    fn count(&mut self, table: &Table) {
        for (part, rows) in PARTS.into_iter().zip([&self.train, &self.calibration, &self.test]) {
            let positive = rows.iter().filter(|row| table.positive()[**row as usize]).count();
            let times = || rows.iter().map(|row| table.times()[*row as usize]);
            self.facts.parts.push(PartFacts {
                name: part.to_owned(),
                rows: rows.len(),
                positive,
                first: times().min(),
                last: times().max(),
            });
        }
    }
}

/// The time at which `share` of the times lie before it, or as near to that as equal times allow.
fn quantile(times: &[i64], share: f64) -> i64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() as f64 * share) as usize;
    sorted[at.min(sorted.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Codes, Column};

    /// A row a day for 40 days, every third with the label, in groups of five by turns.
    fn table() -> Table {
        let column = Column::new("x", (0..40).map(|row| Some(f64::from(row))));
        let labels = (0..40).map(|row| row % 3 == 0).collect();
        let names: Vec<String> = (0..40).map(|row| format!("ring-{}", row % 8)).collect();
        Table::new(vec![column], labels, (0..40).collect())
            .unwrap()
            .with_groups(Codes::new(names.iter().map(|name| Some(name.as_str()))))
            .unwrap()
    }

    #[test]
    fn the_gap_is_the_label_delay() {
        let config = SplitConfig {
            train_from: Some(5),
            test_from: Some(25),
            test_until: Some(35),
            label_delay: 7,
            calibration_share: 0.25,
            ..SplitConfig::default()
        };
        let split = config.split(&table(), 1).unwrap();
        // Days 5 to 17 train and calibrate, 18 to 24 are the gap, 25 to 34 test.
        assert_eq!(split.train, (5..14).collect::<Vec<u32>>());
        assert_eq!(split.calibration, (14..18).collect::<Vec<u32>>());
        assert_eq!(split.test, (25..35).collect::<Vec<u32>>());
        assert_eq!((split.facts.gap_rows, split.facts.outside_rows), (7, 10));
        let positive: Vec<usize> = split.facts.parts.iter().map(|part| part.positive).collect();
        assert_eq!(positive, [3, 1, 3]);
    }

    #[test]
    fn no_group_is_on_both_sides() {
        let config =
            SplitConfig { by_group: true, test_group_share: 0.5, ..SplitConfig::default() };
        let table = table();
        let groups = table.groups().unwrap().of_row();
        for seed in 0..20 {
            let Ok(split) = config.split(&table, seed) else { continue };
            let of = |rows: &[u32]| {
                let mut of: Vec<_> = rows.iter().map(|row| groups[*row as usize]).collect();
                of.sort_unstable();
                of.dedup();
                of
            };
            let test = of(&split.test);
            let train = of(&[split.train.clone(), split.calibration.clone()].concat());
            assert!(train.iter().all(|group| !test.contains(group)), "seed {seed}");
            let kept = split.train.len() + split.calibration.len() + split.test.len();
            assert_eq!(kept + split.facts.group_rows, 40, "seed {seed}");
        }
    }

    #[test]
    fn what_cannot_be_split_is_said() {
        let table = table();
        let error = |config: SplitConfig| config.split(&table, 1).unwrap_err();
        let late = SplitConfig { test_from: Some(39), ..SplitConfig::default() };
        assert_eq!(error(late), SplitError::OneClass { part: "test", rows: 1, positive: 1 });
        let early = SplitConfig { test_from: Some(0), ..SplitConfig::default() };
        assert_eq!(error(early), SplitError::OneClass { part: "train", rows: 0, positive: 0 });
        let share = SplitConfig { test_share: 1.5, ..SplitConfig::default() };
        assert_eq!(error(share), SplitError::Share { name: "test_share", value: 1.5 });
    }
}
