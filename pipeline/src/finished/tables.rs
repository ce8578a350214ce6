//! The Parquet files of a run, read back row by row or by columns.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    new_null_array,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{
    DataType, FieldRef, Int64Type, Schema, SchemaRef, TimestampMillisecondType,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{FinishedRun, damaged};
use crate::diagnostic::Failure;
use crate::parquet_file;

/// One reason of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule, or the verdict that raised it.
    pub rule: String,
    /// What it added to the score.
    pub score: i64,
    /// What it says to a person.
    pub text: String,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Its place among the transactions, from 0: the row of its features too.
    pub row: usize,
    /// The transaction.
    pub event_id: String,
    /// When it happened, ms.
    pub event_time: i64,
    /// Its kind.
    pub kind: String,
    /// Who acts.
    pub account_id: String,
    /// The other side; empty where there is none.
    pub counterparty_id: String,
    /// The group; empty where there is none.
    pub group_id: String,
    /// What moves, in fen.
    pub amount_fen: i64,
    /// What was decided.
    pub decision: String,
    /// From 0 to 1000.
    pub score: i64,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// A verdict on an account or a group at the end of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// `account` or `group`.
    pub subject_kind: String,
    /// Its id.
    pub subject_id: String,
    /// `restrict` or `ban`.
    pub verdict: String,
    /// Since when, ms.
    pub since: i64,
    /// Until when, ms; none: until it is lifted by hand.
    pub until: Option<i64>,
}

impl FinishedRun {
    /// Hands over, in order, the decisions on transactions whose account and counterparty are
    /// `wanted`.
    ///
    /// # Errors
    /// When decisions.parquet cannot be read.
    pub fn decisions(
        &self,
        wanted: &dyn Fn(&str, &str) -> bool,
        each: &mut dyn FnMut(Decided),
    ) -> Result<(), Failure> {
        const COLUMNS: [&str; 10] = [
            "event_id",
            "event_time",
            "kind",
            "account_id",
            "counterparty_id",
            "group_id",
            "amount_fen",
            "decision",
            "score",
            "reasons",
        ];
        let mut first = 0;
        self.read("decisions.parquet", &|name| COLUMNS.contains(&name), &mut |batch| {
            read_decisions(batch, first, wanted, each)?;
            first += batch.num_rows();
            Ok(())
        })
    }

    /// The names of its features, in order.
    ///
    /// # Errors
    /// When features.parquet cannot be read.
    pub fn feature_names(&self) -> Result<Vec<String>, Failure> {
        Ok(self.feature_types()?.into_iter().map(|(name, _)| name).collect())
    }

    /// The features and the types of their columns, in order.
    ///
    /// # Errors
    /// When features.parquet cannot be read.
    pub fn feature_types(&self) -> Result<Vec<(String, DataType)>, Failure> {
        let schema = self.table_schema("features.parquet")?;
        let columns = schema.fields().iter().filter(|field| field.name() != "event_id");
        Ok(columns.map(|field| (field.name().clone(), field.data_type().clone())).collect())
    }

    /// Hands over some columns of all decisions, a batch of rows at a time, with the place of its
    /// first row among the transactions.
    ///
    /// # Errors
    /// When decisions.parquet cannot be read, or `each` says what is wrong with it.
    pub fn decision_columns(
        &self,
        wanted: &[&str],
        each: &mut dyn FnMut(usize, &RecordBatch) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let mut first = 0;
        self.read("decisions.parquet", &|name| wanted.contains(&name), &mut |batch| {
            each(first, batch)?;
            first += batch.num_rows();
            Ok(())
        })
    }

    /// Hands over features of all transactions, a batch of rows at a time, with the place of its
    /// first row among the transactions; `wanted` says which columns are read.
    ///
    /// # Errors
    /// When features.parquet cannot be read.
    pub fn features(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        each: &mut dyn FnMut(usize, &RecordBatch),
    ) -> Result<(), Failure> {
        let mut first = 0;
        self.read("features.parquet", wanted, &mut |batch| {
            each(first, batch);
            first += batch.num_rows();
            Ok(())
        })
    }

    /// Some columns of `decisions.parquet` or `features.parquet`, as many rows at a time as are asked
    /// for.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn rows(
        &self,
        file: &str,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<RowReader, Failure> {
        let mut files: Vec<PathBuf> = self.files(file).collect();
        files.reverse();
        let path = files.pop().unwrap_or_default();
        let schema = projected(&self.table_schema(file)?, wanted);
        let batches = batches(&path, &schema).map_err(|error| damaged(&path, &error))?;
        Ok(RowReader { files, path, batches, held: Vec::new() })
    }

    /// The columns of a table, of which nothing is read before it is held to what was written: those of
    /// all its parts, for rules that came into force on the way may have brought features, which the
    /// parts before have not.
    pub(super) fn table_schema(&self, file: &str) -> Result<SchemaRef, Failure> {
        self.check_written(file)?;
        let mut fields: Vec<FieldRef> = Vec::new();
        for path in self.files(file) {
            let part = open(&path).map_err(|error| damaged(&path, &error))?.schema().clone();
            for field in part.fields() {
                if fields.iter().all(|held| held.name() != field.name()) {
                    fields.push(field.clone());
                }
            }
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    /// The verdicts on accounts and groups at its end.
    ///
    /// # Errors
    /// When entities.parquet cannot be read.
    pub fn entities(&self) -> Result<Vec<Entity>, Failure> {
        let mut found = Vec::new();
        let Some(part) = self.parts.last() else { return Ok(found) };
        self.check_written("entities.parquet")?;
        let path = part.join("entities.parquet");
        let each = &mut |batch: &RecordBatch| {
            let (kinds, ids) = (strings(batch, "subject_kind")?, strings(batch, "subject_id")?);
            let verdicts = strings(batch, "verdict")?;
            let (since, until) = (times(batch, "since")?, times(batch, "until")?);
            for row in 0..batch.num_rows() {
                found.push(Entity {
                    subject_kind: kinds.value(row).to_owned(),
                    subject_id: ids.value(row).to_owned(),
                    verdict: verdicts.value(row).to_owned(),
                    since: since.value(row),
                    until: until.is_valid(row).then(|| until.value(row)),
                });
            }
            Ok(())
        };
        let whole = open(&path).map(|file| file.schema().clone());
        let scanned = whole.and_then(|schema| scan(&path, &schema, each));
        scanned.map_err(|error| damaged(&path, &error))?;
        Ok(found)
    }

    pub(super) fn read(
        &self,
        file: &str,
        wanted: &dyn Fn(&str) -> bool,
        each: &mut dyn FnMut(&RecordBatch) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let schema = projected(&self.table_schema(file)?, wanted);
        for path in self.files(file) {
            scan(&path, &schema, each).map_err(|error| damaged(&path, &error))?;
        }
        Ok(())
    }
}

/// Rows of files on their way.
pub(crate) struct RowReader {
    /// The files that come after the one in hand, the last one first.
    files: Vec<PathBuf>,
    path: PathBuf,
    batches: Batches,
    /// What was read and not handed out, the next rows first.
    held: Vec<RecordBatch>,
}

impl RowReader {
    /// The next rows.
    ///
    /// # Errors
    /// When a file cannot be read, or there are fewer.
    pub(crate) fn take(&mut self, rows: usize) -> Result<RecordBatch, Failure> {
        self.read(rows).map_err(|error| damaged(&self.path, &error))
    }

    fn read(&mut self, rows: usize) -> Result<RecordBatch, String> {
        let mut held: usize = self.held.iter().map(RecordBatch::num_rows).sum();
        while held < rows {
            let Some(batch) = self.batches.next() else {
                self.next_file()?;
                continue;
            };
            let batch = batch?;
            held += batch.num_rows();
            self.held.push(batch);
        }
        let all =
            concat_batches(&self.batches.schema, &self.held).map_err(|error| error.to_string())?;
        self.held = vec![all.slice(rows, held - rows)];
        Ok(all.slice(0, rows))
    }

    fn next_file(&mut self) -> Result<(), String> {
        let next = self.files.pop().ok_or("it has fewer rows than the run decisions")?;
        self.path = next;
        self.batches = batches(&self.path, &self.batches.schema)?;
        Ok(())
    }
}

pub(super) fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, String> {
    parquet_file::open(path).map_err(|error| error.to_string())
}

/// Rows of a part with columns of its table.
struct Batches {
    reader: parquet_file::Batches,
    schema: SchemaRef,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?.map_err(|error| error.to_string());
        Some(batch.and_then(|batch| widened(&batch, &self.schema)))
    }
}

/// Rows with those columns; one that the part has not is null.
pub(super) fn widened(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let column = |field: &FieldRef| match batch.column_by_name(field.name()) {
        Some(column) => column.clone(),
        None => new_null_array(field.data_type(), batch.num_rows()),
    };
    let columns = schema.fields().iter().map(column).collect();
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let wide = RecordBatch::try_new_with_options(schema.clone(), columns, &rows);
    wide.map_err(|error| error.to_string())
}

fn projected(schema: &SchemaRef, wanted: &dyn Fn(&str) -> bool) -> SchemaRef {
    let fields = schema.fields().iter().filter(|field| wanted(field.name())).cloned();
    Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()))
}

fn batches(path: &Path, schema: &SchemaRef) -> Result<Batches, String> {
    let builder = open(path)?;
    let wanted = |name: &str| schema.field_with_name(name).is_ok();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots(builder.schema(), &wanted));
    let builder = builder.with_projection(mask).with_batch_size(1 << 13);
    let reader = parquet_file::Batches::of(builder).map_err(|error| error.to_string())?;
    Ok(Batches { reader, schema: schema.clone() })
}

fn scan(
    path: &Path,
    schema: &SchemaRef,
    each: &mut dyn FnMut(&RecordBatch) -> Result<(), String>,
) -> Result<(), String> {
    batches(path, schema)?.try_for_each(|batch| each(&batch?))
}

fn roots(schema: &Schema, wanted: &dyn Fn(&str) -> bool) -> Vec<usize> {
    let named = |(at, field): (usize, &std::sync::Arc<arrow::datatypes::Field>)| {
        wanted(field.name()).then_some(at)
    };
    schema.fields().iter().enumerate().filter_map(named).collect()
}

fn read_decisions(
    batch: &RecordBatch,
    first: usize,
    wanted: &dyn Fn(&str, &str) -> bool,
    each: &mut dyn FnMut(Decided),
) -> Result<(), String> {
    let [ids, kinds, accounts, others, groups, decisions] =
        ["event_id", "kind", "account_id", "counterparty_id", "group_id", "decision"]
            .map(|name| strings(batch, name));
    let (ids, kinds, accounts) = (ids?, kinds?, accounts?);
    let (others, groups, decisions) = (others?, groups?, decisions?);
    let (amounts, scores) = (ints(batch, "amount_fen")?, ints(batch, "score")?);
    let event_times = times(batch, "event_time")?;
    let reasons = column(batch, "reasons")?;
    let reasons = reasons.as_list_opt::<i32>().ok_or("its reasons are no lists")?;
    for row in 0..batch.num_rows() {
        if !wanted(accounts.value(row), others.value(row)) {
            continue;
        }
        each(Decided {
            row: first + row,
            event_id: ids.value(row).to_owned(),
            event_time: event_times.value(row),
            kind: kinds.value(row).to_owned(),
            account_id: accounts.value(row).to_owned(),
            counterparty_id: others.value(row).to_owned(),
            group_id: groups.value(row).to_owned(),
            amount_fen: amounts.value(row),
            decision: decisions.value(row).to_owned(),
            score: scores.value(row),
            reasons: read_reasons(&reasons.value(row))?,
        });
    }
    Ok(())
}

pub(crate) fn read_reasons(items: &ArrayRef) -> Result<Vec<Reason>, String> {
    let items = items.as_struct_opt().ok_or("its reasons are no records")?;
    let column = |name: &str| items.column_by_name(name).ok_or(format!("a reason has no {name}"));
    let (rules, texts) = (text(column("rule")?)?, text(column("text")?)?);
    let scores = column("score")?.as_primitive_opt::<Int64Type>().ok_or("a score is no integer")?;
    let reason = |at| Reason {
        rule: rules.value(at).to_owned(),
        score: scores.value(at),
        text: texts.value(at).to_owned(),
    };
    Ok((0..items.len()).map(reason).collect())
}

pub(crate) fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef, String> {
    batch.column_by_name(name).ok_or_else(|| format!("it has no column {name}"))
}

pub(super) fn text(array: &ArrayRef) -> Result<StringArray, String> {
    let plain = cast(array, &DataType::Utf8).map_err(|error| error.to_string())?;
    Ok(plain.as_string::<i32>().clone())
}

/// A column of texts, also of a dictionary; the value of a null is empty.
pub(crate) fn strings(batch: &RecordBatch, name: &str) -> Result<StringArray, String> {
    text(column(batch, name)?)
}

pub(crate) fn ints(batch: &RecordBatch, name: &str) -> Result<Int64Array, String> {
    let found = column(batch, name)?.as_primitive_opt::<Int64Type>().cloned();
    found.ok_or_else(|| format!("the column {name} has no integers"))
}

pub(crate) fn times(
    batch: &RecordBatch,
    name: &str,
) -> Result<arrow::array::TimestampMillisecondArray, String> {
    let found = column(batch, name)?.as_primitive_opt::<TimestampMillisecondType>().cloned();
    found.ok_or_else(|| format!("the column {name} has no times"))
}
