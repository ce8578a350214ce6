//! What a model learns from: the columns, labels and times of those transactions of a run that take
//! part.
//!
//! Columns are read a batch of rows at a time, and of each batch only the columns that the config
//! takes and the rows whose time takes part are kept.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use compact_str::CompactString;
use models::{Column, Kind, MISSING};

use super::config::Field;
use super::selection::Selection;
use super::{Steps, failed};
use crate::diagnostic::Failure;
use crate::finished::FinishedRun;

/// No name.
pub(super) const NONE: u32 = u32::MAX;

/// Names that rows have, each with a number in order of first appearance.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// The different names.
    pub(super) names: Vec<CompactString>,
    /// The number of each row's name; [`NONE`] where it has none.
    pub(super) of_row: Vec<u32>,
    known: HashMap<CompactString, u32>,
}

/// The transactions that take part, in total order.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Their places among all transactions of the run.
    pub(super) places: Vec<usize>,
    pub(super) ids: Vec<CompactString>,
    /// Effective times, ms.
    pub(super) times: Vec<i64>,
    pub(super) amounts: Vec<i64>,
    pub(super) kinds: Named,
    pub(super) accounts: Named,
    /// By what `group_by` names, if it names anything.
    pub(super) groups: Named,
}

/// Features of the rows.
#[derive(Debug, Default)]
pub(super) struct Features {
    /// Numbers and truth values, by name.
    pub(super) columns: Vec<Column>,
    /// Texts that become columns.
    pub(super) coded: Vec<(String, Named)>,
}

impl Named {
    fn push(&mut self, name: Option<&str>) {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            self.of_row.push(NONE);
            return;
        };
        let code = match self.known.get(name) {
            Some(code) => *code,
            None => {
                let code = self.names.len() as u32;
                self.names.push(name.into());
                self.known.insert(name.into(), code);
                code
            }
        };
        self.of_row.push(code);
    }

    /// The name of a row.
    pub(super) fn name(&self, row: usize) -> Option<&str> {
        self.names.get(self.of_row[row] as usize).map(CompactString::as_str)
    }
}

/// The effective times of all transactions of a run.
pub(super) fn times(run: &FinishedRun) -> Result<Vec<i64>, Failure> {
    let mut times = Vec::new();
    run.decision_columns(&["effective_time"], &mut |_, batch| {
        times.extend_from_slice(ints(batch, "effective_time")?.values());
        Ok(())
    })?;
    Ok(times)
}

/// Reads of the decisions at `places` what is known beside their features.
pub(super) fn rows(
    run: &FinishedRun,
    places: Vec<usize>,
    group_field: Option<&str>,
    steps: &Steps<'_>,
) -> Result<Rows, Failure> {
    let all = places.len();
    let mut rows = Rows { places, ..Rows::default() };
    let mut names = vec!["event_id", "effective_time", "kind", "account_id", "amount_fen"];
    names.extend(group_field);
    let mut next = 0;
    run.decision_columns(&names, &mut |first, batch| {
        let here = here(&rows.places, &mut next, first, batch.num_rows());
        let (ids, kinds) = (texts(batch, "event_id")?, texts(batch, "kind")?);
        let accounts = texts(batch, "account_id")?;
        let (times, amounts) = (ints(batch, "effective_time")?, ints(batch, "amount_fen")?);
        let groups = group_field.map(|field| texts(batch, field)).transpose()?;
        for place in here {
            let at = rows.places[place] - first;
            rows.ids.push(ids.value(at).into());
            rows.times.push(times.value(at));
            rows.amounts.push(if amounts.is_valid(at) { amounts.value(at) } else { 0 });
            rows.kinds.push(some(&kinds, at));
            rows.accounts.push(some(&accounts, at));
            if let Some(groups) = &groups {
                rows.groups.push(some(groups, at));
            }
        }
        (steps.tell)("decisions", next, all);
        Ok(())
    })?;
    Ok(rows)
}

/// Reads the features of the rows that a selection takes.
pub(super) fn features(
    run: &FinishedRun,
    rows: &mut Rows,
    selection: &Selection,
    steps: &Steps<'_>,
) -> Result<Features, Failure> {
    let all = rows.places.len();
    let column = |(name, kind): &(String, Kind)| Column {
        values: Vec::with_capacity(all),
        ..Column::new(name.clone(), []).of_kind(*kind)
    };
    let mut found = Features {
        columns: selection.numbers.iter().map(column).collect(),
        coded: selection.coded.iter().map(|name| (name.clone(), Named::default())).collect(),
    };
    let wanted = |name: &str| name == "event_id" || selection.reads(name);
    let (mut next, mut problem) = (0, None);
    run.features(&wanted, &mut |first, batch| {
        if problem.is_some() {
            return;
        }
        let here = here(&rows.places, &mut next, first, batch.num_rows());
        problem = take(&mut found, rows, (first, batch), here, selection).err();
        (steps.tell)("features", next, all);
    })?;
    match problem {
        Some(problem) => Err(failed(run, &problem)),
        None if next < all => Err(failed(run, "it has fewer rows than decisions.parquet")),
        None => {
            for field in selection.fields.iter().filter(|field| **field == Field::Amount) {
                let amounts = rows.amounts.iter().map(|amount| Some(*amount as f64));
                let column = Column::new(field.name(), amounts).of_kind(Kind::Integer);
                found.columns.push(column);
            }
            Ok(found)
        }
    }
}

/// Takes the rows `here` of a batch whose first row is at `first` of the run.
fn take(
    found: &mut Features,
    rows: &mut Rows,
    (first, batch): (usize, &RecordBatch),
    here: std::ops::Range<usize>,
    selection: &Selection,
) -> Result<(), String> {
    let ids = texts(batch, "event_id")?;
    let own = |place: usize| ids.value(rows.places[place] - first) == rows.ids[place];
    if !here.clone().all(own) {
        return Err("its rows are not those of decisions.parquet".to_owned());
    }
    for column in &mut found.columns {
        let numbers = numbers(batch, &column.name)?;
        let values = here.clone().map(|place| {
            let at = rows.places[place] - first;
            let value = if numbers.is_valid(at) { numbers.value(at) } else { MISSING };
            // What is not finite counts as missing when a model scores, too.
            if value.is_finite() { value } else { MISSING }
        });
        column.values.extend(values);
    }
    for (name, named) in &mut found.coded {
        let texts = texts(batch, name)?;
        here.clone().for_each(|place| named.push(some(&texts, rows.places[place] - first)));
    }
    if let Some(name) = &selection.group_feature {
        let texts = texts(batch, name)?;
        let places = &rows.places;
        here.for_each(|place| rows.groups.push(some(&texts, places[place] - first)));
    }
    Ok(())
}

/// Which of the places, from `next` on, lie in a batch of rows.
fn here(places: &[usize], next: &mut usize, first: usize, rows: usize) -> std::ops::Range<usize> {
    let from = *next;
    *next += places[from..].partition_point(|place| *place < first + rows);
    from..*next
}

fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef, String> {
    batch.column_by_name(name).ok_or_else(|| format!("it has no column {name}"))
}

pub(super) fn ints(batch: &RecordBatch, name: &str) -> Result<Int64Array, String> {
    let found = cast(column(batch, name)?, &DataType::Int64).map_err(|error| error.to_string())?;
    Ok(found.as_primitive::<Int64Type>().clone())
}

fn numbers(
    batch: &RecordBatch,
    name: &str,
) -> Result<arrow::array::PrimitiveArray<Float64Type>, String> {
    let column = column(batch, name)?;
    let found = cast(column, &DataType::Float64).map_err(|error| error.to_string())?;
    Ok(found.as_primitive::<Float64Type>().clone())
}

pub(super) fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray, String> {
    let found = cast(column(batch, name)?, &DataType::Utf8).map_err(|error| error.to_string())?;
    Ok(found.as_string::<i32>().clone())
}

fn some(texts: &StringArray, at: usize) -> Option<&str> {
    texts.is_valid(at).then(|| texts.value(at))
}
