//! Parquet: integers of any width, doubles, booleans, strings and binaries (also dictionaries),
//! timestamps of any unit floored to milliseconds. Decimals are read through a mapping only, and so
//! are times in what is no time.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, LargeBinaryArray,
    LargeStringArray, RecordBatch, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Float32Type, Int64Type, Schema as ArrowSchema, TimeUnit, UInt64Type,
};
use arrow::util::display::array_value_to_string;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as Physical;
use parquet::schema::types::{SchemaDescriptor, Type as ParquetType};

use super::mapping::ColumnKind;
use super::reject::RAW_BYTES_MAX;
use super::sink::{Row, Sink, Target};
use crate::event::{Bound, FIELDS, Raw};
use crate::parquet_file::{Batches, damaged, footer};

/// Rows that are decoded at a time: a batch of all columns stays in the cache.
const BATCH_ROWS: usize = 8192;
/// Rows a step, so that one large row group still occupies every thread.
const STEP_ROWS: usize = 1 << 17;

const DAY_MS: i64 = 86_400_000;

/// A Parquet file whose footer has been read.
pub(super) struct ParquetFile {
    metadata: ArrowReaderMetadata,
    names: Vec<String>,
    /// What is made of each column; the others are not read.
    wanted: Vec<Option<Meaning>>,
}

/// What the values of a column may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Those of a field.
    Field,
    /// Those of a field that is a time.
    Time,
    /// What a mapping says, of decimals and times too.
    Mapped,
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
        let metadata = footer(&file, ArrowReaderOptions::default())?;
        let metadata = footer(&file, texts_as_bytes(&metadata)?)?;
        let names: Vec<String> =
            metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
        let wanted = vec![None; names.len()];
        Ok(ParquetFile { metadata, names, wanted })
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
        match target {
            Target::Fields(fields) => {
                for (field, column) in fields {
                    let bound = FIELDS.get(field.index()).map(|(_, _, bound, _)| *bound);
                    let is_time = bound == Some(Bound::Time);
                    self.wanted[*column] =
                        Some(if is_time { Meaning::Time } else { Meaning::Field });
                }
            }
            Target::Mapped(bound) => {
                bound.columns().for_each(|column| self.wanted[column] = Some(Meaning::Mapped));
            }
        }
    }

    /// The parts in which it is read, told one at a time: a damaged number of rows makes no list of them.
    pub(super) fn steps(&self) -> impl Iterator<Item = Rows> + use<> {
        let groups = self.metadata.metadata().clone();
        let mut first = 1u64;
        (0..groups.num_row_groups()).flat_map(move |group| {
            let metadata = groups.row_group(group);
            let rows = usize::try_from(metadata.num_rows()).unwrap_or(0);
            let group_bytes = u64::try_from(metadata.compressed_size()).unwrap_or(0);
            let group_first = first;
            first = first.saturating_add(rows as u64);
            (0..rows).step_by(STEP_ROWS).map(move |offset| {
                let count = STEP_ROWS.min(rows - offset);
                let disk_bytes = (u128::from(group_bytes) * count as u128 / rows as u128) as u64;
                Rows { group, offset, first: group_first + offset as u64, count, disk_bytes }
            })
        })
    }

    pub(super) fn decode(&self, path: &Path, rows: &Rows, sink: &mut Sink<'_>) -> io::Result<()> {
        let roots = (0..self.wanted.len()).filter(|&column| self.wanted[column].is_some());
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), roots);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            File::open(path)?,
            self.metadata.clone(),
        )
        .with_row_groups(vec![rows.group])
        .with_offset(rows.offset)
        .with_limit(rows.count)
        .with_batch_size(BATCH_ROWS)
        .with_projection(mask);
        let mut at = rows.first;
        for batch in Batches::of(builder)? {
            let batch = batch?;
            self.decode_batch(&batch, at, sink)?;
            at += batch.num_rows() as u64;
        }
        if at - rows.first != rows.count as u64 {
            return Err(damaged("it has fewer rows than its footer says"));
        }
        Ok(())
    }

    fn decode_batch(&self, batch: &RecordBatch, first: u64, sink: &mut Sink<'_>) -> io::Result<()> {
        let mut read = batch.columns().iter();
        let columns = self.wanted.iter().map(|wanted| match wanted {
            Some(meaning) => {
                read.next().map_or(Ok(Values::Null), |array| Values::of(array, *meaning))
            }
            None => Ok(Values::Null),
        });
        let columns = columns.collect::<io::Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let at = first + row as u64;
            sink.record(&BatchRow { columns: &columns, row }, at, || json(batch, row));
        }
        Ok(())
    }
}

/// Has texts read as the bytes that they are: one that is not UTF-8 would else end the reading, where it
/// is its row alone that is to be refused.
fn texts_as_bytes(known: &ArrowReaderMetadata) -> io::Result<ArrowReaderOptions> {
    let root = known.parquet_schema().root_schema();
    let columns = root.get_fields().iter().map(|column| {
        let info = column.get_basic_info();
        if !column.is_primitive() || column.get_physical_type() != Physical::BYTE_ARRAY {
            return Ok(column.clone());
        }
        let bytes = ParquetType::primitive_type_builder(column.name(), Physical::BYTE_ARRAY)
            .with_repetition(info.repetition())
            .with_id(info.has_id().then(|| info.id()));
        bytes.build().map(Arc::new)
    });
    let columns = columns.collect::<Result<_, _>>()?;
    let root = ParquetType::group_type_builder(root.name()).with_fields(columns).build()?;
    let fields = known.schema().fields().iter().map(|field| {
        let is_text = |kind: &DataType| {
            matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        };
        let kind = match field.data_type() {
            DataType::Dictionary(_, values) if is_text(values) => DataType::Binary,
            kind if is_text(kind) => DataType::Binary,
            _ => return field.clone(),
        };
        Arc::new(Field::clone(field).with_data_type(kind))
    });
    let fields: Vec<Arc<Field>> = fields.collect();
    Ok(ArrowReaderOptions::new()
        .with_parquet_schema(Arc::new(SchemaDescriptor::new(Arc::new(root))))
        .with_schema(Arc::new(ArrowSchema::new(fields))))
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
    fn of(array: &ArrayRef, meaning: Meaning) -> io::Result<Values> {
        use DataType::*;
        let (mapped, may_be_time) = (meaning == Meaning::Mapped, meaning != Meaning::Field);
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
            Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => {
                let bytes: LargeBinaryArray = to(&LargeBinary)?.as_binary().clone();
                // Nearly always all of them are texts, which is known of all at once.
                match LargeStringArray::try_from_binary(bytes.clone()) {
                    Ok(texts) => Values::Str(texts),
                    Err(_) => Values::Binary(bytes),
                }
            }
            Timestamp(..) | Date32 | Date64 if !may_be_time => Values::Other(array.clone()),
            Timestamp(unit, _) => Values::Time(milliseconds(&to(&Int64)?, *unit)),
            Date32 => Values::Time(to(&Int64)?.as_primitive::<Int64Type>().unary(|d| d * DAY_MS)),
            Date64 => Values::Time(to(&Int64)?.as_primitive().clone()),
            Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) if mapped => {
                Values::Decimal(to(&LargeUtf8)?.as_string().clone())
            }
            Dictionary(_, values) => return Values::of(&to(values)?, meaning),
            _ => Values::Other(array.clone()),
        })
    }

    fn get(&self, row: usize) -> Raw<'_> {
        match self {
            Values::Null => Raw::Null,
            Values::Bool(array) if array.is_valid(row) => Raw::Bool(array.value(row)),
            Values::Int(array) if array.is_valid(row) => Raw::Int(array.value(row)),
            Values::Unsigned(array) if array.is_valid(row) => {
                let value = array.value(row);
                i64::try_from(value).map_or(Raw::Natural(value), Raw::Int)
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
        let bytes = array.as_binary_opt::<i32>().filter(|bytes| bytes.is_valid(row));
        let value = match bytes.map(|bytes| std::str::from_utf8(bytes.value(row))) {
            Some(Ok(text)) => text.to_owned(),
            _ => array_value_to_string(array, row).unwrap_or_default(),
        };
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
