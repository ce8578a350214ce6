//! Reading a labels file: CSV, JSON lines (both also .gz and .zst) or Parquet, by its name as that
//! of an event file tells it.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use serde_json::Value;

use super::labels::{BadLabel, COLUMNS, COLUMNS_REQUIRED, Labels, LabelsBuilder};
use crate::csv_cells::{self, Line};
use crate::diagnostic::{Diagnostic, Failure, Message, Severity, Sources, did_you_mean_hint};
use crate::event::{Pseudonyms, Raw};
use crate::parquet_file::{self, Batches};
use crate::source::{Compression, Format, format_of, unknown_extension};

/// The most mistakes that are shown of one file; how many more there are is said.
const SHOWN_MAX: usize = 20;

impl Labels {
    /// Reads a labels file, of which `pseudonyms` replace the ids of accounts and groups. A file that
    /// cannot be read, a missing column and every bad row are mistakes of the input (exit 2).
    pub fn read(path: &Path, pseudonyms: Option<&Pseudonyms>) -> Result<Labels, Failure> {
        let Some((format, compression)) = format_of(path) else {
            return Err(Failure::Input(vec![unknown_extension(path)], Sources::default()));
        };
        let builder = LabelsBuilder::with_pseudonyms(pseudonyms);
        if format == Format::Parquet {
            return read_parquet(path, builder).map_err(|bad| failure(path, bad, None));
        }
        let bytes = read_bytes(path, compression).map_err(|error| {
            let message = Message { en: error.to_string(), zh: format!("无法读取：{error}") };
            failure(path, vec![BadLabel { line: 0, span: None, message }], None)
        })?;
        let is_csv = format == Format::Csv;
        let parsed = if is_csv { parse_csv(&bytes, builder) } else { parse_json(&bytes, builder) };
        parsed.map_err(|bad| failure(path, bad, Some(&String::from_utf8_lossy(&bytes))))
    }

    /// That columns of the file at `path`, which these are, are left alone and have nearly the name of
    /// one that would be read and is not there.
    pub fn warnings(&self, path: &Path) -> Vec<Diagnostic> {
        let absent = || COLUMNS.into_iter().filter(|column| !self.columns.contains(*column));
        let warning = |name: &String| {
            let hint = did_you_mean_hint(name, absent())?;
            let message =
                Message::new(format!("column `{name}` is ignored"), format!("列 `{name}` 被忽略"));
            let warning = Diagnostic::error("ignored-column", path, None, message);
            Some(Diagnostic { severity: Severity::Warning, hint: Some(hint), ..warning })
        };
        let unread = self.columns.iter().filter(|name| !COLUMNS.contains(&name.as_str()));
        unread.filter_map(warning).collect()
    }
}

fn read_bytes(path: &Path, compression: Compression) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    match compression {
        Compression::Gzip => flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes)?,
        Compression::Zstd => zstd::Decoder::new(file)?.read_to_end(&mut bytes)?,
        Compression::None => std::io::BufReader::new(file).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

fn failure(path: &Path, bad: Vec<BadLabel>, text: Option<&str>) -> Failure {
    let mut sources = Sources::default();
    if let Some(text) = text {
        sources.add(path, text);
    }
    let total = bad.len();
    let mut diagnostics: Vec<Diagnostic> = bad
        .into_iter()
        .take(SHOWN_MAX)
        .map(|BadLabel { line, span, message }| Diagnostic {
            severity: Severity::Error,
            code: "bad-label",
            file: path.to_owned(),
            span,
            message: if line == 0 {
                message
            } else {
                Message {
                    en: format!("line {line}: {}", message.en),
                    zh: format!("第 {line} 行：{}", message.zh),
                }
            },
            hint: None,
        })
        .collect();
    if let Some(last) = diagnostics.last_mut().filter(|_| total > SHOWN_MAX) {
        let more = total - SHOWN_MAX;
        last.hint = Some(Message {
            en: format!("{more} more lines of this file are wrong"),
            zh: format!("该文件还有 {more} 行有误"),
        });
    }
    Failure::Input(diagnostics, sources)
}

fn whole(en: impl Into<String>, zh: impl Into<String>) -> Vec<BadLabel> {
    vec![BadLabel { line: 0, span: None, message: Message { en: en.into(), zh: zh.into() } }]
}

/// Where each of [`COLUMNS`] stands among `header`, which names no column twice.
fn find_columns(header: &[&str]) -> Result<[Option<usize>; 7], Vec<BadLabel>> {
    let twice = |(at, name): &(usize, &&str)| !name.is_empty() && header[..*at].contains(*name);
    if let Some((_, name)) = header.iter().enumerate().find(twice) {
        return Err(whole(
            format!("the header names column `{name}` twice"),
            format!("表头中列 `{name}` 出现了两次"),
        ));
    }
    let places = COLUMNS.map(|column| header.iter().position(|name| *name == column));
    let absent = |&at: &usize| places[at].is_none();
    let missing: Vec<&str> = (0..COLUMNS_REQUIRED).filter(absent).map(|at| COLUMNS[at]).collect();
    if missing.is_empty() {
        return Ok(places);
    }
    let (missing, found) = (missing.join(", "), header.join(", "));
    Err(whole(
        format!("no column {missing}; the columns are {found}"),
        format!("缺少列 {missing}；现有列：{found}"),
    ))
}

fn parse_csv(bytes: &[u8], mut builder: LabelsBuilder<'_>) -> Result<Labels, Vec<BadLabel>> {
    let mut rows = csv_cells::lines(bytes);
    let Some(header) = rows.next() else { return Err(whole("the file is empty", "文件为空")) };
    let bad =
        |message| vec![BadLabel { line: header.number, span: Some(header.span.clone()), message }];
    let header_cells = header.cells.map_err(bad)?;
    let names: Vec<&str> = header_cells.iter().map(Cow::as_ref).collect();
    let places = find_columns(&names)?;
    names.iter().for_each(|name| builder.name_column(name));
    for Line { number, span, cells } in rows {
        let cells = match cells {
            Ok(cells) if cells.len() == names.len() => cells,
            Ok(cells) => {
                let (found, wanted) = (cells.len(), names.len());
                let message = Message {
                    en: format!("{found} cells where the header has {wanted}"),
                    zh: format!("有 {found} 个单元格，而表头有 {wanted} 个"),
                };
                builder.refuse(message, number, Some(span));
                continue;
            }
            Err(message) => {
                builder.refuse(message, number, Some(span));
                continue;
            }
        };
        let values = places.map(|place| place.map_or(Raw::Null, |at| Raw::Cell(&cells[at])));
        builder.push(values, number, Some(span));
    }
    builder.finish()
}

fn parse_json(bytes: &[u8], mut builder: LabelsBuilder<'_>) -> Result<Labels, Vec<BadLabel>> {
    let mut start = 0;
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let span = start..start + line.trim_ascii_end().len();
        start += line.len() + 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let number = index as u64 + 1;
        match serde_json::from_slice::<serde_json::Map<String, Value>>(line) {
            Ok(object) => {
                object.keys().for_each(|name| builder.name_column(name));
                let row = COLUMNS.map(|column| object.get(column).map_or(Raw::Null, raw));
                builder.push(row, number, Some(span));
            }
            Err(error) => {
                let message = Message {
                    en: format!("not a JSON object: {error}"),
                    zh: format!("不是 JSON 对象：{error}"),
                };
                builder.refuse(message, number, Some(span));
            }
        }
    }
    builder.finish()
}

fn raw(value: &Value) -> Raw<'_> {
    match value {
        Value::Null => Raw::Null,
        Value::Bool(value) => Raw::Bool(*value),
        Value::Number(number) => number.as_i64().map_or(Raw::Other, Raw::Int),
        Value::String(text) => Raw::Str(text),
        Value::Array(_) | Value::Object(_) => Raw::Other,
    }
}

fn read_parquet(path: &Path, mut builder: LabelsBuilder<'_>) -> Result<Labels, Vec<BadLabel>> {
    let unreadable = |error: &dyn std::fmt::Display| {
        whole(format!("cannot be read: {error}"), format!("无法读取：{error}"))
    };
    let reader = parquet_file::open(path).and_then(Batches::of);
    let reader = reader.map_err(|error| unreadable(&error))?;
    let mut row = 0;
    for batch in reader {
        let batch = batch.map_err(|error| unreadable(&error))?;
        push_batch(&mut builder, &batch, &mut row)?;
    }
    builder.finish()
}

fn push_batch(
    builder: &mut LabelsBuilder<'_>,
    batch: &RecordBatch,
    row: &mut u64,
) -> Result<(), Vec<BadLabel>> {
    let schema = batch.schema();
    let header: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    header.iter().for_each(|name| builder.name_column(name));
    let columns: Vec<Option<ParquetColumn>> = find_columns(&header)?
        .iter()
        .zip(COLUMNS)
        .map(|(place, name)| place.map(|at| ParquetColumn::new(name, batch.column(at))).transpose())
        .collect::<Result<_, _>>()?;
    for at in 0..batch.num_rows() {
        *row += 1;
        let values: [Raw<'_>; 7] = std::array::from_fn(|column| {
            columns[column].as_ref().map_or(Raw::Null, |column| column.value(at))
        });
        builder.push(values, *row, None);
    }
    Ok(())
}

/// A column whose type fits its meaning: strings, or times as timestamps, integers or strings.
enum ParquetColumn {
    Text(StringArray),
    Time(arrow::array::Int64Array),
}

impl ParquetColumn {
    fn new(name: &str, array: &dyn Array) -> Result<Self, Vec<BadLabel>> {
        use arrow::array::AsArray;
        let is_time = name == "known_at" || name == "detectable_from";
        let text = || cast(array, &DataType::Utf8).map(|array| array.as_string().clone());
        // A timestamp is brought to ms first: cast to an integer it would keep its own unit.
        let time = |array: &dyn Array| {
            cast(array, &DataType::Int64).map(|array| array.as_primitive::<Int64Type>().clone())
        };
        let column = match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                text().map(ParquetColumn::Text)
            }
            DataType::Dictionary(_, of) if **of == DataType::Utf8 => {
                text().map(ParquetColumn::Text)
            }
            DataType::Timestamp(_, zone) if is_time => {
                cast(array, &DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))
                    .and_then(|ms| time(&ms))
                    .map(ParquetColumn::Time)
            }
            DataType::Int64 | DataType::Int32 if is_time => time(array).map(ParquetColumn::Time),
            other => {
                return Err(whole(
                    format!("column {name} has type {other}"),
                    format!("列 {name} 的类型是 {other}"),
                ));
            }
        };
        column.map_err(|error| {
            whole(format!("column {name}: {error}"), format!("列 {name}：{error}"))
        })
    }

    fn value(&self, at: usize) -> Raw<'_> {
        match self {
            ParquetColumn::Text(array) if array.is_valid(at) => Raw::Str(array.value(at)),
            ParquetColumn::Time(array) if array.is_valid(at) => Raw::Int(array.value(at)),
            _ => Raw::Null,
        }
    }
}
