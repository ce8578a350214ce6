//! Data by columns, checked once: inputs, labels, times, and where known groups.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most rows of a table: a row's place is held in 32 bits.
pub const ROWS_MAX: usize = 1 << 31;
/// The most columns of a table: a column's place is held in 16 bits, and indicators of missing
/// values and views with missing values on top may double and double again their number.
pub const COLUMNS_MAX: usize = 1 << 13;

/// What stands where there is no value.
pub const MISSING: f64 = f64::NAN;

/// One input of a model over all rows.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its values were before they became numbers.
    pub kind: Kind,
    /// A hash of what its values depend on, or empty: a model keeps it of each of its inputs.
    pub definition: String,
    /// Its values; [`MISSING`] (any NaN) where there is none. A bool is 0 or 1.
    pub values: Vec<f64>,
}

/// What the values of a column are; a model wants its inputs of the kind that it was trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Whole numbers.
    Integer,
    /// Numbers.
    #[default]
    Double,
    /// True (1) or false (0).
    Bool,
}

/// Which of a few names each row has: its group, its typology, its card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codes {
    names: Vec<String>,
    of_row: Vec<Option<u32>>,
}

/// Columns of one length, with a label and a time a row, fit to train on or to judge with.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    positive: Vec<bool>,
    times: Vec<i64>,
    groups: Option<Codes>,
}

/// Why columns are no training data.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TableError {
    /// There is nothing to learn from.
    #[error("there are no rows or no columns")]
    Empty,
    /// More than this crate can count.
    #[error("{rows} rows of {columns} columns: the most are {ROWS_MAX} of {COLUMNS_MAX}")]
    TooLarge {
        /// The number of rows.
        rows: usize,
        /// The number of columns.
        columns: usize,
    },
    /// A column is not as long as the labels.
    #[error("column {name} has {rows} rows, and there are {labels} labels")]
    Length {
        /// The column, or what else has a value a row.
        name: String,
        /// Its length.
        rows: usize,
        /// The number of labels.
        labels: usize,
    },
    /// Two columns have one name.
    #[error("two columns are called {0}")]
    Repeated(String),
    /// An infinity; what is missing is [`MISSING`].
    #[error("column {name} has a value that is not finite, in row {row}")]
    NotFinite {
        /// The column.
        name: String,
        /// The row, from 0.
        row: usize,
    },
}

impl Column {
    /// A column of numbers that may be missing.
    pub fn new(name: impl Into<String>, values: impl IntoIterator<Item = Option<f64>>) -> Column {
        let values = values.into_iter().map(|value| value.unwrap_or(MISSING)).collect();
        Column { name: name.into(), kind: Kind::Double, definition: String::new(), values }
    }

    /// The same column, of another kind.
    pub fn of_kind(self, kind: Kind) -> Column {
        Column { kind, ..self }
    }

    /// The same column, whose values are defined by what has this hash.
    pub fn defined_by(self, definition: impl Into<String>) -> Column {
        Column { definition: definition.into(), ..self }
    }
}

impl Codes {
    /// Gives each different name a number, in order of first appearance.
    pub fn new<'n>(names: impl IntoIterator<Item = Option<&'n str>>) -> Codes {
        let mut codes = Codes::default();
        let mut known: HashMap<&str, u32> = HashMap::new();
        for name in names {
            let code = name.map(|name| {
                *known.entry(name).or_insert_with(|| {
                    codes.names.push(name.to_owned());
                    codes.names.len() as u32 - 1
                })
            });
            codes.of_row.push(code);
        }
        codes
    }

    /// The different names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of each row's name in [`Codes::names`]; None where the row has none.
    pub fn of_row(&self) -> &[Option<u32>] {
        &self.of_row
    }

    /// The name of a row.
    pub fn name(&self, row: usize) -> Option<&str> {
        self.of_row[row].map(|code| self.names[code as usize].as_str())
    }
}

impl Table {
    /// Checks the columns, their labels (true: what the model is to find) and the time of each row,
    /// in ms since 1970 or in any other unit as long as all times of one program are in it.
    pub fn new(
        columns: Vec<Column>,
        positive: Vec<bool>,
        times: Vec<i64>,
    ) -> Result<Table, TableError> {
        if columns.is_empty() || positive.is_empty() {
            return Err(TableError::Empty);
        }
        let labels = positive.len();
        if labels > ROWS_MAX || columns.len() > COLUMNS_MAX {
            return Err(TableError::TooLarge { rows: labels, columns: columns.len() });
        }
        let length = |name: &str, rows| TableError::Length { name: name.to_owned(), rows, labels };
        if times.len() != labels {
            return Err(length("times", times.len()));
        }
        let mut names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(TableError::Repeated(pair[0].to_owned()));
        }
        for column in &columns {
            if column.values.len() != labels {
                return Err(length(&column.name, column.values.len()));
            }
            if let Some(row) = column.values.iter().position(|value| value.is_infinite()) {
                return Err(TableError::NotFinite { name: column.name.clone(), row });
            }
        }
        Ok(Table { columns, positive, times, groups: None })
    }

    /// The same rows, each with the group that it belongs to (a ring, a card), if any.
    pub fn with_groups(mut self, groups: Codes) -> Result<Table, TableError> {
        if groups.of_row.len() != self.rows() {
            let (name, rows) = ("groups".to_owned(), groups.of_row.len());
            return Err(TableError::Length { name, rows, labels: self.rows() });
        }
        self.groups = Some(groups);
        Ok(self)
    }

    /// The same rows with other labels: what was known of them at another time.
    pub fn with_labels(self, positive: Vec<bool>) -> Result<Table, TableError> {
        if positive.len() != self.rows() {
            let (name, rows) = ("labels".to_owned(), positive.len());
            return Err(TableError::Length { name, rows, labels: self.rows() });
        }
        Ok(Table { positive, ..self })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.positive.len()
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The labels.
    pub fn positive(&self) -> &[bool] {
        &self.positive
    }

    /// The time of each row.
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    /// The group of each row, if the table has groups.
    pub fn groups(&self) -> Option<&Codes> {
        self.groups.as_ref()
    }

    /// The values of one row, in the order of the columns.
    pub fn row(&self, row: usize) -> Vec<f64> {
        self.columns.iter().map(|column| column.values[row]).collect()
    }

    /// The labels of some rows.
    pub fn labels_of(&self, rows: &[u32]) -> Vec<bool> {
        rows.iter().map(|row| self.positive[*row as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, values: &[Option<f64>]) -> Column {
        Column::new(name, values.iter().copied())
    }

    #[test]
    fn what_cannot_be_learnt_from_is_refused_by_name() {
        let good = column("good", &[Some(1.0), None, Some(2.0)]);
        let refused = |columns: &[Column], labels: &[bool]| {
            let times = vec![0; labels.len()];
            Table::new(columns.to_vec(), labels.to_vec(), times).unwrap_err()
        };
        let labels = [true, false, true];
        assert!(Table::new(vec![good.clone()], labels.to_vec(), vec![0; 3]).is_ok());
        assert_eq!(refused(&[], &labels), TableError::Empty);
        assert_eq!(refused(std::slice::from_ref(&good), &[]), TableError::Empty);
        assert_eq!(
            refused(std::slice::from_ref(&good), &[true, false]),
            TableError::Length { name: "good".to_owned(), rows: 3, labels: 2 }
        );
        assert_eq!(
            refused(&[good.clone(), good.clone()], &labels),
            TableError::Repeated("good".to_owned())
        );
        let infinite = column("bad", &[Some(1.0), Some(f64::INFINITY), None]);
        assert_eq!(
            refused(&[good.clone(), infinite], &labels),
            TableError::NotFinite { name: "bad".to_owned(), row: 1 }
        );
        let short = Table::new(vec![good.clone()], labels.to_vec(), vec![0; 2]).unwrap_err();
        assert!(matches!(short, TableError::Length { name, .. } if name == "times"));
        let groups = Codes::new([Some("a"), None]);
        let table = Table::new(vec![good], labels.to_vec(), vec![0; 3]).unwrap();
        let table = table.with_labels(vec![false, true, false]).unwrap();
        assert_eq!(table.positive(), [false, true, false]);
        assert!(table.clone().with_labels(vec![true]).is_err());
        assert!(matches!(table.with_groups(groups), Err(TableError::Length { .. })));
    }

    #[test]
    fn codes_give_names_back() {
        let codes = Codes::new([Some("b"), None, Some("a"), Some("b")]);
        assert_eq!(codes.of_row(), [Some(0), None, Some(1), Some(0)]);
        let names: Vec<Option<&str>> = (0..4).map(|row| codes.name(row)).collect();
        assert_eq!(names, [Some("b"), None, Some("a"), Some("b")]);
    }
}
