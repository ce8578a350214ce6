//! Decisions read back from Parquet, as the canonical lines that they were.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use arrow::array::{
    Array, AsArray as _, BooleanArray, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMillisecondType};

use super::parquet::decisions_schema;
use crate::decision::quote;
use crate::parquet_file::{self, Batches};

/// The decisions of files, one line after the other.
pub struct LineReader {
    /// The files that come after the one in hand, the next one first.
    files: VecDeque<PathBuf>,
    batches: Option<Batches>,
    /// Those of the batch in hand.
    lines: String,
    /// Where the next one starts.
    at: usize,
}

impl LineReader {
    /// Opens a `decisions.parquet`.
    pub fn open(path: &Path) -> Result<LineReader, String> {
        LineReader::of([path.to_owned()])
    }

    /// Opens files that come one after the other.
    pub fn of(paths: impl IntoIterator<Item = PathBuf>) -> Result<LineReader, String> {
        let files = paths.into_iter().collect();
        let mut reader = LineReader { files, batches: None, lines: String::new(), at: 0 };
        reader.next_file()?;
        Ok(reader)
    }

    /// The next decision with the newline at its end; none after the last.
    pub fn next_line(&mut self) -> Result<Option<&str>, String> {
        while self.at == self.lines.len() {
            let Some(batches) = &mut self.batches else { return Ok(None) };
            let Some(batch) = batches.next() else {
                self.next_file()?;
                continue;
            };
            self.lines.clear();
            self.at = 0;
            write(&batch.map_err(|error| error.to_string())?, &mut self.lines)?;
        }
        let rest = &self.lines[self.at..];
        // Canonical JSON has no newline but the one at its end.
        let line = rest.find('\n').map_or(rest, |end| &rest[..=end]);
        self.at += line.len();
        Ok(Some(line))
    }

    fn next_file(&mut self) -> Result<(), String> {
        self.batches = match self.files.pop_front() {
            None => None,
            Some(path) => {
                let builder = parquet_file::open(&path).map_err(|error| error.to_string())?;
                let held = builder.schema();
                for wanted in decisions_schema().fields() {
                    if held.column_with_name(wanted.name()).is_none() {
                        return Err(format!("it has no column {}", wanted.name()));
                    }
                }
                Some(Batches::of(builder).map_err(|error| error.to_string())?)
            }
        };
        Ok(())
    }
}

/// Appends the canonical line of each decision of a batch of `decisions.parquet`.
pub fn write(batch: &RecordBatch, out: &mut String) -> Result<(), String> {
    let columns = batch.schema();
    for row in 0..batch.num_rows() {
        for (at, field) in columns.fields().iter().enumerate() {
            out.push_str(if at == 0 { "{" } else { "," });
            quote(out, field.name());
            out.push(':');
            write_value(field.name(), batch.column(at), row, out)?;
        }
        out.push_str("}\n");
    }
    Ok(())
}

fn write_value(name: &str, array: &dyn Array, row: usize, out: &mut String) -> Result<(), String> {
    let wrong = || format!("the column {name} is a {}", array.data_type());
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Utf8 => quote(out, array.as_string::<i32>().value(row)),
        DataType::Int64 => {
            out.push_str(&array.as_primitive::<Int64Type>().value(row).to_string());
        }
        DataType::Timestamp(..) => {
            let times = array.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(wrong)?;
            out.push_str(&times.value(row).to_string());
        }
        DataType::Boolean => {
            let values: &BooleanArray = array.as_boolean();
            out.push_str(if values.value(row) { "true" } else { "false" });
        }
        DataType::Dictionary(..) => {
            let one = cast(&array.slice(row, 1), &DataType::Utf8).map_err(|e| e.to_string())?;
            quote(out, one.as_string::<i32>().value(0));
        }
        DataType::List(_) if name == "reasons" => {
            let items = array.as_list::<i32>().value(row);
            write_reasons(items.as_struct(), out)?;
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let items: &StringArray = items.as_string();
            write_each(items.len(), '[', ']', out, |at, out| quote(out, items.value(at)));
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let keys: &StringArray = keys.as_string_opt().ok_or_else(wrong)?;
            let values: &StringArray = values.as_string_opt().ok_or_else(wrong)?;
            write_each(keys.len(), '{', '}', out, |at, out| {
                quote(out, keys.value(at));
                out.push(':');
                out.push_str(values.value(at));
            });
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

fn write_reasons(items: &StructArray, out: &mut String) -> Result<(), String> {
    let wrong = || "reasons are not a list of rule, score and text".to_owned();
    let column = |name| items.column_by_name(name).ok_or_else(wrong);
    let rules: &StringArray = column("rule")?.as_string_opt().ok_or_else(wrong)?;
    let texts: &StringArray = column("text")?.as_string_opt().ok_or_else(wrong)?;
    let scores: &Int64Array = column("score")?.as_primitive_opt().ok_or_else(wrong)?;
    write_each(items.len(), '[', ']', out, |at, out| {
        out.push_str("{\"rule\":");
        quote(out, rules.value(at));
        out.push_str(&format!(",\"score\":{},\"text\":", scores.value(at)));
        if texts.is_null(at) {
            out.push_str("null");
        } else {
            quote(out, texts.value(at));
        }
        out.push('}');
    });
    Ok(())
}

fn write_each(
    len: usize,
    open: char,
    close: char,
    out: &mut String,
    mut write: impl FnMut(usize, &mut String),
) {
    out.push(open);
    for at in 0..len {
        if at > 0 {
            out.push(',');
        }
        write(at, out);
    }
    out.push(close);
}
