//! One decision of a run with all that its record holds, and the values of its features.

use std::collections::BTreeMap;
use std::fs::File;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::tables::{column, ints, open, read_reasons, strings, text, times, widened};
use super::{FinishedRun, Reason, damaged};
use crate::diagnostic::Failure;
use crate::expr::Constant;
use crate::parquet_file::Batches;

/// A decision as it was recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Its place among the transactions, from 0.
    pub row: usize,
    /// How many later decisions are on the same id: it may be used again after the dedup window.
    pub later: usize,
    /// The transaction.
    pub event_id: String,
    /// When it happened, ms.
    pub event_time: i64,
    /// Where it stands in the order, ms.
    pub effective_time: i64,
    /// Its kind.
    pub kind: String,
    /// Who acts.
    pub account_id: String,
    /// The other side; empty where there is none.
    pub counterparty_id: String,
    /// The group; empty where there is none.
    pub group_id: String,
    /// What was decided.
    pub decision: String,
    /// From 0 to 1000.
    pub score: i64,
    /// The rules' part of it.
    pub rule_score: i64,
    /// The model's part of it; none where there was no model.
    pub model_score: Option<i64>,
    /// Why.
    pub reasons: Vec<Reason>,
    /// The values that rules used that hit: name, and the value as JSON.
    pub evidence: BTreeMap<String, String>,
    /// The referee's finding; empty where there is none.
    pub outcome: String,
    /// The rules in shadow that hit.
    pub shadow_hits: Vec<String>,
    /// The hash of the rules that decided.
    pub rules_hash: String,
    /// The hash of the model that took part; empty where there was none.
    pub model_hash: String,
}

impl FinishedRun {
    /// The first decision on an event of that id; none where there is none.
    ///
    /// # Errors
    /// When decisions.parquet cannot be read.
    pub fn record(&self, event_id: &str) -> Result<Option<Record>, Failure> {
        let (mut first, mut found) = (0, Vec::new());
        let look = &mut |batch: &RecordBatch| {
            let ids = strings(batch, "event_id")?;
            let own = ids.iter().enumerate().filter(|(_, id)| *id == Some(event_id));
            found.extend(own.map(|(at, _)| first + at));
            first += batch.num_rows();
            Ok(())
        };
        self.read("decisions.parquet", &|name| name == "event_id", look)?;
        let Some(&row) = found.first() else { return Ok(None) };
        let mut record = None;
        self.row("decisions.parquet", row, &mut |batch| {
            record = Some(Record { row, later: found.len() - 1, ..read_record(batch)? });
            Ok(())
        })?;
        Ok(record)
    }

    /// The values of the features of the transaction at `row`, by name; none where it has no value.
    ///
    /// # Errors
    /// When features.parquet cannot be read.
    pub fn feature_values(
        &self,
        row: usize,
    ) -> Result<BTreeMap<String, Option<Constant>>, Failure> {
        let mut values = BTreeMap::new();
        self.row("features.parquet", row, &mut |batch| {
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                if field.name() != "event_id" {
                    values.insert(field.name().clone(), constant(column)?);
                }
            }
            Ok(())
        })?;
        Ok(values)
    }

    /// One row of a table, with all columns.
    fn row(
        &self,
        file: &str,
        mut row: usize,
        each: &mut dyn FnMut(&RecordBatch) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let schema = self.table_schema(file)?;
        for path in self.files(file) {
            let failed = |error: String| damaged(&path, &error);
            let builder = open(&path).map_err(failed)?;
            let rows = builder.metadata().file_metadata().num_rows() as usize;
            if row < rows {
                let each = &mut |batch: &RecordBatch| each(&widened(batch, &schema)?);
                return one_row(builder, row, each).map_err(failed);
            }
            row -= rows;
        }
        Ok(())
    }
}

fn one_row(
    builder: ParquetRecordBatchReaderBuilder<File>,
    row: usize,
    each: &mut dyn FnMut(&RecordBatch) -> Result<(), String>,
) -> Result<(), String> {
    let reader = Batches::of(builder.with_offset(row).with_limit(1));
    for batch in reader.map_err(|error| error.to_string())? {
        each(&batch.map_err(|error| error.to_string())?)?;
    }
    Ok(())
}

fn constant(column: &dyn Array) -> Result<Option<Constant>, String> {
    if column.is_null(0) {
        return Ok(None);
    }
    Ok(Some(match column.data_type() {
        DataType::Int64 => Constant::Int(column.as_primitive::<Int64Type>().value(0)),
        DataType::Float64 => Constant::Double(column.as_primitive::<Float64Type>().value(0)),
        DataType::Boolean => Constant::Bool(column.as_boolean().value(0)),
        DataType::Utf8 => Constant::Str(column.as_string::<i32>().value(0).to_owned()),
        other => return Err(format!("a feature is of the type {other}")),
    }))
}

/// The record in the only row of a batch; where it stands is for the caller to say.
fn read_record(batch: &RecordBatch) -> Result<Record, String> {
    let string = |name: &str| strings(batch, name).map(|found| found.value(0).to_owned());
    let int = |name: &str| ints(batch, name).map(|found| found.value(0));
    let models = ints(batch, "model_score")?;
    let reasons = column(batch, "reasons")?;
    let reasons = reasons.as_list_opt::<i32>().ok_or("its reasons are no lists")?;
    let shadow = column(batch, "shadow_hits")?;
    let shadow =
        text(&shadow.as_list_opt::<i32>().ok_or("its shadow hits are no lists")?.value(0))?;
    let evidence = column(batch, "evidence")?;
    let evidence = evidence.as_map_opt().ok_or("its evidence is no map")?.value(0);
    let (names, values) = (text(evidence.column(0))?, text(evidence.column(1))?);
    let evidence = names
        .iter()
        .zip(values.iter())
        .filter_map(|(name, value)| Some((name?.to_owned(), value.unwrap_or("null").to_owned())));
    Ok(Record {
        row: 0,
        later: 0,
        event_id: string("event_id")?,
        event_time: times(batch, "event_time")?.value(0),
        effective_time: times(batch, "effective_time")?.value(0),
        kind: string("kind")?,
        account_id: string("account_id")?,
        counterparty_id: string("counterparty_id")?,
        group_id: string("group_id")?,
        decision: string("decision")?,
        score: int("score")?,
        rule_score: int("rule_score")?,
        model_score: models.is_valid(0).then(|| models.value(0)),
        reasons: read_reasons(&reasons.value(0))?,
        evidence: evidence.collect(),
        outcome: string("outcome")?,
        shadow_hits: shadow.iter().flatten().map(str::to_owned).collect(),
        rules_hash: string("rules_hash")?,
        model_hash: string("model_hash")?,
    })
}
