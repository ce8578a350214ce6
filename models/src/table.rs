//! Training data by columns, checked once.

use thiserror::Error;

/// One input of a model over all rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its values; None where there is none.
    pub values: Vec<Option<f64>>,
}

/// Columns of one length with a label a row, fit to train on.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<Column>,
    positive: Vec<bool>,
}

/// Why columns are no training data.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TableError {
    /// There is nothing to learn from.
    #[error("there are no rows or no columns")]
    Empty,
    /// A column is not as long as the labels.
    #[error("column {name} has {rows} rows, and there are {labels} labels")]
    Length {
        /// The column.
        name: String,
        /// Its length.
        rows: usize,
        /// The number of labels.
        labels: usize,
    },
    /// Two columns have one name.
    #[error("two columns are called {0}")]
    Repeated(String),
    /// An infinity or a NaN; what is missing is None.
    #[error("column {name} has a value that is not finite, in row {row}")]
    NotFinite {
        /// The column.
        name: String,
        /// The row, from 0.
        row: usize,
    },
    /// Only one class.
    #[error("all {rows} rows have the label {positive}; a model needs both")]
    OneClass {
        /// The number of rows.
        rows: usize,
        /// The label that all have.
        positive: bool,
    },
    /// Columns that tell no row from another.
    #[error("these columns have one value only and teach nothing: {}", .0.join(", "))]
    Constant(Vec<String>),
}

impl Table {
    /// Checks the columns and their labels (true: what the model is to find).
    pub fn new(columns: Vec<Column>, positive: Vec<bool>) -> Result<Table, TableError> {
        if columns.is_empty() || positive.is_empty() {
            return Err(TableError::Empty);
        }
        for (at, column) in columns.iter().enumerate() {
            let (name, rows) = (column.name.clone(), column.values.len());
            if rows != positive.len() {
                return Err(TableError::Length { name, rows, labels: positive.len() });
            }
            if columns[..at].iter().any(|earlier| earlier.name == name) {
                return Err(TableError::Repeated(name));
            }
            let not_finite = |value: &Option<f64>| value.is_some_and(|value| !value.is_finite());
            if let Some(row) = column.values.iter().position(not_finite) {
                return Err(TableError::NotFinite { name, row });
            }
        }
        if positive.iter().all(|label| *label == positive[0]) {
            return Err(TableError::OneClass { rows: positive.len(), positive: positive[0] });
        }
        let constant = columns.iter().filter(|column| column.is_constant());
        let constant: Vec<String> = constant.map(|column| column.name.clone()).collect();
        if !constant.is_empty() {
            return Err(TableError::Constant(constant));
        }
        Ok(Table { columns, positive })
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The labels.
    pub fn positive(&self) -> &[bool] {
        &self.positive
    }
}

impl Column {
    pub(crate) fn present(&self) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().flatten().copied()
    }

    /// Whether the values that are there are all one.
    fn is_constant(&self) -> bool {
        let first = self.present().next();
        self.present().all(|value| Some(value) == first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, values: &[Option<f64>]) -> Column {
        Column { name: name.to_owned(), values: values.to_vec() }
    }

    #[test]
    fn what_cannot_be_learnt_from_is_refused_by_name() {
        let good = column("good", &[Some(1.0), None, Some(2.0)]);
        let labels = vec![true, false, true];
        let refused = |columns: &[Column], labels: &[bool]| {
            Table::new(columns.to_vec(), labels.to_vec()).unwrap_err()
        };
        assert!(Table::new(vec![good.clone()], labels.clone()).is_ok());
        assert_eq!(refused(&[], &labels), TableError::Empty);
        assert_eq!(refused(std::slice::from_ref(&good), &[]), TableError::Empty);
        assert_eq!(
            refused(std::slice::from_ref(&good), &[true; 3]),
            TableError::OneClass { rows: 3, positive: true }
        );
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
        let same = column("same", &[Some(3.0), None, Some(3.0)]);
        let absent = column("absent", &[None; 3]);
        assert_eq!(
            refused(&[same, good, absent], &labels),
            TableError::Constant(vec!["same".to_owned(), "absent".to_owned()]),
            "all of them at once"
        );
    }
}
