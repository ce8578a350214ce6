//! Parquet: integers of any width, doubles, booleans, strings and binaries (also dictionaries),
//! timestamps of any unit floored to milliseconds. Decimals are read through a mapping only.

use std::fs::File;
use std::io;
use std::path::Path;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, LargeBinaryArray,
    LargeStringArray, RecordBatch, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Int64Type, TimeUnit, UInt64Type};
use arrow::util::display::array_value_to_string;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};

use super::mapping::ColumnKind;
use super::reject::RAW_BYTES_MAX;
use super::sink::{Row, Sink, Target};
use crate::event::Raw;

/// Rows that are decoded at a time: a batch of all columns stays in the cache.
const BATCH_ROWS: usize = 8192;
/// Rows a step, so that one large row group still occupies every thread.
const STEP_ROWS: usize = 1 << 17;

const DAY_MS: i64 = 86_400_000;

/// A Parquet file whose footer has been read.
pub(super) struct ParquetFile {
    metadata: ArrowReaderMetadata,
    names: Vec<String>,
    /// Which columns anything is made of; the others are not read.
    wanted: Vec<bool>,
    /// Whether a mapping says what its decimals mean.
    mapped: bool,
}

/// Rows of one row group.
pub(super) struct Rows {
    group: usize,
    /// The first, counted within its row group and, from 1, within the file.
    offset: usize,
    first: u64,
    pub(super) count: usize,
    /// What they take on disk, more or less.
    pub(super) disk_bytes: u64,
}

impl ParquetFile {
    pub(super) fn open(path: &Path) -> io::Result<ParquetFile> {
        let file = File::open(path)?;
        let metadata = ArrowReaderMetadata::load(&file, Default::default())?;
        let names: Vec<String> =
            metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
        let wanted = vec![true; names.len()];
        Ok(ParquetFile { metadata, names, wanted, mapped: false })
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn kinds(&self) -> Vec<ColumnKind> {
        let kind = |kind: &DataType| match kind {
            DataType::Timestamp(_, Some(_)) => ColumnKind::Instant,
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => {
                ColumnKind::LocalTime
            }
            _ => ColumnKind::Plain,
        };
        self.metadata.schema().fields().iter().map(|field| kind(field.data_type())).collect()
    }

    /// Leaves out the columns of which the target makes nothing.
    pub(super) fn read_for(&mut self, target: &Target) {
        self.mapped = matches!(target, Target::Mapped(_));
        self.wanted.fill(false);
        for column in target.columns() {
            self.wanted[column] = true;
        }
    }

    pub(super) fn steps(&self) -> Vec<Rows> {
        let mut steps = Vec::new();
        let mut first = 1;
        for (group, metadata) in self.metadata.metadata().row_groups().iter().enumerate() {
            let rows = usize::try_from(metadata.num_rows()).unwrap_or(0);
            let group_bytes = u64::try_from(metadata.compressed_size()).unwrap_or(0);
            for offset in (0..rows).step_by(STEP_ROWS) {
                let count = STEP_ROWS.min(rows - offset);
                let disk_bytes = group_bytes * count as u64 / rows as u64;
                steps.push(Rows { group, offset, first, count, disk_bytes });
                first += count as u64;
            }
        }
        steps
    }

    pub(super) fn decode(&self, path: &Path, rows: &Rows, sink: &mut Sink<'_>) -> io::Result<()> {
        let roots = (0..self.wanted.len()).filter(|&column| self.wanted[column]);
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), roots);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(
            File::open(path)?,
            self.metadata.clone(),
        )
        .with_row_groups(vec![rows.group])
        .with_offset(rows.offset)
        .with_limit(rows.count)
        .with_batch_size(BATCH_ROWS)
        .with_projection(mask)
        .build()?;
        let mut at = rows.first;
        for batch in reader {
            let batch = batch.map_err(io::Error::other)?;
            self.decode_batch(&batch, at, sink)?;
            at += batch.num_rows() as u64;
        }
        Ok(())
    }

    fn decode_batch(&self, batch: &RecordBatch, first: u64, sink: &mut Sink<'_>) -> io::Result<()> {
        let mut read = batch.columns().iter();
        let columns = self.wanted.iter().map(|wanted| match wanted {
            true => read.next().map_or(Ok(Values::Null), |array| Values::of(array, self.mapped)),
            false => Ok(Values::Null),
        });
        let columns = columns.collect::<io::Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let at = first + row as u64;
            sink.record(&BatchRow { columns: &columns, row }, at, || json(batch, row));
        }
        Ok(())
    }
}

struct BatchRow<'a> {
    columns: &'a [Values],
    row: usize,
}

impl Row for BatchRow<'_> {
    fn get(&self, column: usize) -> Raw<'_> {
        self.columns[column].get(self.row)
    }
}

/// A column of a batch in one of the few types that raw values have.
enum Values {
    Null,
    Bool(BooleanArray),
    Int(Int64Array),
    Unsigned(UInt64Array),
    Double(Float64Array),
    Str(LargeStringArray),
    Binary(LargeBinaryArray),
    /// Milliseconds since 1970.
    Time(Int64Array),
    /// Decimals as text.
    Decimal(LargeStringArray),
    /// Lists, structs and what else no field holds.
    Other(ArrayRef),
}

impl Values {
    fn of(array: &ArrayRef, mapped: bool) -> io::Result<Values> {
        use DataType::*;
        let to = |kind: &DataType| cast(array, kind).map_err(io::Error::other);
        Ok(match array.data_type() {
            Null => Values::Null,
            Boolean => Values::Bool(array.as_boolean().clone()),
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => {
                Values::Int(to(&Int64)?.as_primitive().clone())
            }
            UInt64 => Values::Unsigned(array.as_primitive::<UInt64Type>().clone()),
            Float64 => Values::Double(array.as_primitive().clone()),
            Float16 | Float32 => Values::Double(widened(&to(&Float32)?)),
            Utf8 | LargeUtf8 | Utf8View => Values::Str(to(&LargeUtf8)?.as_string().clone()),
            Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => {
                Values::Binary(to(&LargeBinary)?.as_binary().clone())
            }
            Timestamp(unit, _) => Values::Time(milliseconds(&to(&Int64)?, *unit)),
            Date32 => Values::Time(to(&Int64)?.as_primitive::<Int64Type>().unary(|d| d * DAY_MS)),
            Date64 => Values::Time(to(&Int64)?.as_primitive().clone()),
            Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) if mapped => {
                Values::Decimal(to(&LargeUtf8)?.as_string().clone())
            }
            Dictionary(_, values) => return Values::of(&to(values)?, mapped),
            _ => Values::Other(array.clone()),
        })
    }

    fn get(&self, row: usize) -> Raw<'_> {
        match self {
            Values::Null => Raw::Null,
            Values::Bool(array) if array.is_valid(row) => Raw::Bool(array.value(row)),
            Values::Int(array) if array.is_valid(row) => Raw::Int(array.value(row)),
            Values::Unsigned(array) if array.is_valid(row) => {
                i64::try_from(array.value(row)).map_or(Raw::Other, Raw::Int)
            }
            Values::Double(array) if array.is_valid(row) => Raw::Double(array.value(row)),
            Values::Str(array) if array.is_valid(row) => Raw::Str(array.value(row)),
            Values::Binary(array) if array.is_valid(row) => {
                std::str::from_utf8(array.value(row)).map_or(Raw::NotUtf8, Raw::Str)
            }
            Values::Time(array) if array.is_valid(row) => Raw::Int(array.value(row)),
            Values::Decimal(array) if array.is_valid(row) => Raw::Cell(array.value(row)),
            Values::Other(array) if array.is_valid(row) => Raw::Other,
            _ => Raw::Null,
        }
    }
}

/// Doubles that have the same shortest decimal as the singles: 0.1 stays 0.1, where a plain
/// conversion gives 0.10000000149011612.
fn widened(array: &ArrayRef) -> Float64Array {
    array
        .as_primitive::<Float32Type>()
        .unary(|single| single.to_string().parse().expect("the text of a float is a float"))
}

/// Floored; what 64 bits of milliseconds cannot hold is out of every bound anyway.
fn milliseconds(array: &ArrayRef, unit: TimeUnit) -> Int64Array {
    array.as_primitive::<Int64Type>().unary(|value| match unit {
        TimeUnit::Second => value.saturating_mul(1_000),
        TimeUnit::Millisecond => value,
        TimeUnit::Microsecond => value.div_euclid(1_000),
        TimeUnit::Nanosecond => value.div_euclid(1_000_000),
    })
}

/// A row as a JSON object of the columns that were read, for its reject.
fn json(batch: &RecordBatch, row: usize) -> Vec<u8> {
    let mut text = String::from("{");
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        if text.len() > 1 {
            text.push(',');
        }
        let value = array_value_to_string(array, row).unwrap_or_default();
        let kind = array.data_type();
        let bare = kind.is_numeric() || *kind == DataType::Boolean;
        let value = match (array.is_null(row), bare) {
            (true, _) => "null".to_owned(),
            (false, true) => value,
            (false, false) => serde_json::Value::from(value).to_string(),
        };
        text.push_str(&format!("{}:{value}", serde_json::Value::from(field.name().as_str())));
        if text.len() > RAW_BYTES_MAX {
            break;
        }
    }
    text.push('}');
    text.into_bytes()
}
