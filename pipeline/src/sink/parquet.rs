//! Decisions and features as Parquet, a batch of columns at a time.

use std::convert::identity;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, DictionaryArray, Float64Array, Int32Array,
    Int64Array, ListArray, StringArray, StructArray, TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnDescPtr;
use rustc_hash::FxHashMap;

use super::dictionary::DictionaryChunk;
use super::lines::LineReader;
use super::written::{Hashed, Written};
use crate::decision::{DecisionBatch, Evidence, Lists, Names, Verdict};
use crate::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, Chunk, Column, EVENT_ID, EVENT_TIME, FieldId,
    GROUP_ID, KIND, Kind, NULL_INT, PACKET_ID, Position, Schema as EventSchema, Strings, Type,
};
use crate::source::intake::EFFECTIVE_TIME;
use crate::source::order::Slice;

/// Rows of a row group: large enough for scans, small enough that what is written of the last one when
/// all is decided takes no time.
const ROW_GROUP_ROWS: usize = 1 << 17;

/// Columns whose values repeat though their arrays have no dictionary: one says each once.
const REPEATING: [&str; 3] = ["group_id", "score", "rule_score"];

/// Texts that say nearly the same again and again.
const COMPRESSED: [&str; 2] = ["reasons.list.element.text", "evidence.key_value.value"];

/// What a value of the evidence takes as a text, most often: for that much there is room at once.
const EVIDENCE_BYTES: usize = 8;

/// A Parquet file in the making. Arrays that have a dictionary, with keys of 32 bits, are written with
/// that, whatever the schema says of them.
pub struct Writer {
    file: SerializedFileWriter<Hashed>,
    schema: SchemaRef,
    columns: ArrowRowGroupWriterFactory,
    /// Those of the row group in the making, and how many rows it has.
    chunks: Vec<ColumnChunk>,
    rows: usize,
}

/// A column of a row group in the making.
enum ColumnChunk {
    Plain(Box<ArrowColumnWriter>),
    Dictionary(DictionaryChunk),
}

/// The values of a column of the file, and where each list of them begins and the last one ends where it
/// has lists.
struct Leaf {
    field: FieldRef,
    values: ArrayRef,
    lists: Option<OffsetBuffer<i32>>,
}

impl Leaf {
    /// Those of an array: one, or those of the items in its lists.
    fn of(field: &FieldRef, array: &ArrayRef) -> Vec<Leaf> {
        let leaf = |field: &FieldRef, values: &ArrayRef, lists| {
            let (field, values) = (field.clone(), values.clone());
            Leaf { field, values, lists }
        };
        let Some(lists) = array.as_list_opt::<i32>() else { return vec![leaf(field, array, None)] };
        let offsets = || Some(lists.offsets().clone());
        match (lists.values().as_struct_opt(), lists.data_type()) {
            (Some(items), _) => {
                let columns = items.fields().iter().zip(items.columns());
                columns.map(|(field, values)| leaf(field, values, offsets())).collect()
            }
            (None, DataType::List(item)) => vec![leaf(item, lists.values(), offsets())],
            (None, _) => Vec::new(),
        }
    }

    fn dictionary(&self) -> Option<&DictionaryArray<Int32Type>> {
        self.values.as_dictionary_opt()
    }
}

impl ColumnChunk {
    fn append(&mut self, leaf: &Leaf) -> parquet::errors::Result<()> {
        match (self, leaf.dictionary()) {
            (ColumnChunk::Dictionary(chunk), Some(values)) => {
                chunk.append(values, leaf.lists.as_deref())
            }
            (ColumnChunk::Plain(writer), None) => {
                // The structure around the values adds nothing to a list: it is never null.
                let Leaf { field, values, lists } = leaf;
                let (field, array) = match lists {
                    None => (field.clone(), values.clone()),
                    Some(offsets) => {
                        let lists =
                            ListArray::new(field.clone(), offsets.clone(), values.clone(), None);
                        let kind = lists.data_type().clone();
                        let array: ArrayRef = Arc::new(lists);
                        (Arc::new(Field::new(field.name(), kind, false)), array)
                    }
                };
                compute_leaves(&field, &array)?.iter().try_for_each(|leaf| writer.write(leaf))
            }
            _ => {
                Err(ParquetError::General(format!("{} has two kinds of arrays", leaf.field.name())))
            }
        }
    }
}

impl Writer {
    /// Creates the file.
    pub fn create(path: &Path, schema: SchemaRef) -> parquet::errors::Result<Writer> {
        let file = Hashed::create(path)?;
        let mut properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::Chunk);
        for column in ArrowSchemaConverter::new().convert(&schema)?.columns() {
            let path = column.path();
            let name = path.string();
            if column.physical_type() == ::parquet::basic::Type::BYTE_ARRAY {
                // The least and the greatest of ids and texts help no one to skip anything.
                properties =
                    properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
            }
            properties = match column.physical_type() {
                _ if REPEATING.contains(&name.as_str()) => {
                    properties.set_column_dictionary_enabled(path.clone(), true)
                }
                _ if COMPRESSED.contains(&name.as_str()) => {
                    properties.set_column_compression(path.clone(), Compression::SNAPPY)
                }
                // Ids and numbers: their differences and lengths are small, and what is left does
                // not compress.
                ::parquet::basic::Type::BYTE_ARRAY => {
                    properties.set_column_encoding(path.clone(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
                }
                ::parquet::basic::Type::INT64 => {
                    properties.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
                }
                _ => properties,
            };
        }
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties.build()))?;
        let (file, columns) = writer.into_serialized_writer()?;
        Ok(Writer { file, schema, columns, chunks: Vec::new(), rows: 0 })
    }

    /// Appends a batch. A map comes as a list of keys with their values.
    pub fn write(&mut self, columns: Vec<ArrayRef>) -> parquet::errors::Result<()> {
        let rows = columns.first().map_or(0, |column| column.len());
        let fields = self.schema.fields().len();
        if columns.len() != fields || columns.iter().any(|column| column.len() != rows) {
            return Err(ParquetError::General("a batch is not a table of the schema".to_owned()));
        }
        let mut start = 0;
        while start < rows {
            let some = (ROW_GROUP_ROWS - self.rows).min(rows - start);
            self.append(columns.iter().map(|column| column.slice(start, some)))?;
            self.rows += some;
            start += some;
            if self.rows == ROW_GROUP_ROWS {
                self.end_row_group()?;
            }
        }
        Ok(())
    }

    /// Appends rows to the row group.
    fn append(&mut self, columns: impl Iterator<Item = ArrayRef>) -> parquet::errors::Result<()> {
        let fields = self.schema.fields().iter();
        let leaves: Vec<Leaf> =
            fields.zip(columns).flat_map(|(field, array)| Leaf::of(field, &array)).collect();
        if self.chunks.is_empty() {
            let writers =
                self.columns.create_column_writers(self.file.flushed_row_groups().len())?;
            let columns = self.file.schema_descr().columns();
            if leaves.len() != columns.len() {
                return Err(ParquetError::General("a batch has other columns".to_owned()));
            }
            let chunk =
                |((leaf, writer), column): ((&Leaf, _), &ColumnDescPtr)| match leaf.dictionary() {
                    Some(_) => ColumnChunk::Dictionary(DictionaryChunk::new(column.clone())),
                    None => ColumnChunk::Plain(Box::new(writer)),
                };
            self.chunks = leaves.iter().zip(writers).zip(columns).map(chunk).collect();
        }
        self.chunks.iter_mut().zip(&leaves).try_for_each(|(chunk, leaf)| chunk.append(leaf))
    }

    fn end_row_group(&mut self) -> parquet::errors::Result<()> {
        let mut group = self.file.next_row_group()?;
        for chunk in self.chunks.drain(..) {
            match chunk {
                ColumnChunk::Plain(writer) => writer.close()?.append_to_row_group(&mut group)?,
                ColumnChunk::Dictionary(chunk) => {
                    let (pages, result) = chunk.close()?;
                    group.append_column(&pages, result)?;
                }
            }
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    /// Writes the footer, and says what was written.
    pub fn close(mut self) -> parquet::errors::Result<Written> {
        if self.rows > 0 {
            self.end_row_group()?;
        }
        Ok(self.file.into_inner()?.written())
    }
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn reason_fields() -> Fields {
    Fields::from(vec![
        Field::new("rule", DataType::Utf8, false),
        Field::new("score", DataType::Int64, false),
        Field::new("text", DataType::Utf8, true),
    ])
}

fn evidence_fields() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ])
}

fn reasons_item() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(reason_fields()), false))
}

fn evidence_item() -> Arc<Field> {
    Arc::new(Field::new("key_value", DataType::Struct(evidence_fields()), false))
}

fn shadow_item() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Utf8, false))
}

/// The schema of `decisions.parquet`: the fields of the decision record, in order. Evidence
/// values are JSON texts, because a map has one type of value.
pub fn decisions_schema() -> SchemaRef {
    let string = |name: &str| Field::new(name, DataType::Utf8, true);
    let int = |name: &str, nullable| Field::new(name, DataType::Int64, nullable);
    let word = |name: &str, nullable| Field::new(name, dictionary(), nullable);
    Arc::new(Schema::new(vec![
        Field::new("event_id", DataType::Utf8, false),
        Field::new("event_time", time_type(), false),
        Field::new("effective_time", time_type(), false),
        Field::new("late", DataType::Boolean, false),
        word("kind", false),
        string("account_id"),
        string("counterparty_id"),
        string("group_id"),
        string("packet_id"),
        int("amount_fen", false),
        word("decision", false),
        int("score", false),
        int("rule_score", false),
        int("model_score", true),
        Field::new("reasons", DataType::List(reasons_item()), false),
        Field::new("evidence", DataType::Map(evidence_item(), false), false),
        word("outcome", true),
        Field::new("shadow_hits", DataType::List(shadow_item()), false),
        word("rules_hash", false),
        word("model_hash", true),
    ]))
}

/// The schema of `challenger.parquet`: the id, the challenger's own score, the final score with it in
/// place of the champion, and what would be decided.
pub fn challenger_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("event_id", DataType::Utf8, false),
        Field::new("challenger_model_score", DataType::Int64, true),
        Field::new("challenger_score", DataType::Int64, false),
        Field::new("challenger_decision", dictionary(), false),
    ]))
}

/// The columns of `challenger.parquet` for one batch.
pub fn challenger_columns(batch: &DecisionBatch) -> Vec<ArrayRef> {
    let challenger = &batch.challenger;
    vec![
        strings_at(&batch.slice.chunk, EVENT_ID, &batch.rows),
        ints(challenger.model_scores.clone()),
        ints(challenger.scores.clone()),
        words(challenger.verdicts.iter().copied(), Verdict::name),
    ]
}

/// The schema of `features.parquet`: the id, then a column a feature.
pub fn features_schema(features: &[(String, Type)]) -> SchemaRef {
    let id = Field::new("event_id", DataType::Utf8, false);
    let columns = features.iter().map(|(name, kind)| Field::new(name, arrow_type(*kind), true));
    Arc::new(Schema::new(std::iter::once(id).chain(columns).collect::<Vec<_>>()))
}

/// The schema of the `events.parquet` of a stream's day: the fields, then where each event stands in
/// the order, and where it came from.
pub fn events_schema(schema: &EventSchema) -> SchemaRef {
    let own = schema.fields().iter().map(|field| match field.name.as_str() {
        "kind" => Field::new("kind", dictionary(), false),
        name => Field::new(name, arrow_type(field.kind), true),
    });
    let more = [EFFECTIVE_TIME, "partition", "offset"].map(|name| {
        let kind = DataType::Int64;
        Field::new(name, kind, false)
    });
    Arc::new(Schema::new(own.chain(more).collect::<Vec<_>>()))
}

/// The columns of that for the events of a slice.
pub fn events_columns(Slice { chunk, effective, .. }: &Slice) -> Vec<ArrayRef> {
    let rows = 0..chunk.len();
    let fields = chunk.schema().fields().iter().enumerate().map(|(at, field)| {
        let id = FieldId(at as u16);
        match chunk.column(id) {
            _ if id == KIND => words(rows.clone().map(|row| chunk.kind(row)), Kind::name),
            Column::Absent => new_null_array(&arrow_type(field.kind), chunk.len()),
            column => column_array(column.clone()),
        }
    });
    let place = |of: &dyn Fn(Position) -> i64| {
        ints(rows.clone().map(|row| of(chunk.position(row))).collect())
    };
    let more = [
        ints(effective.clone()),
        place(&|position| i64::from(position.source)),
        place(&|position| position.at as i64),
    ];
    fields.chain(more).collect()
}

fn arrow_type(kind: Type) -> DataType {
    match kind {
        Type::Int => DataType::Int64,
        Type::Double => DataType::Float64,
        Type::Bool => DataType::Boolean,
        Type::Str => DataType::Utf8,
    }
}

/// The columns of `features.parquet` for one batch.
pub fn features_columns(batch: &DecisionBatch, features: Vec<Column>) -> Vec<ArrayRef> {
    let id = strings_at(&batch.slice.chunk, EVENT_ID, &batch.rows);
    std::iter::once(id).chain(features.into_iter().map(column_array)).collect()
}

/// The columns of `decisions.parquet` for one batch.
pub fn decisions_columns(batch: &DecisionBatch, names: &Names) -> Vec<ArrayRef> {
    let chunk = &batch.slice.chunk;
    let rows = &batch.rows;
    let time = |values: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from(values).with_timezone("UTC"))
    };
    let late = |at: usize| batch.slice.late(rows[at] as usize);
    vec![
        strings_at(chunk, EVENT_ID, rows),
        time(ints_at(chunk, EVENT_TIME, rows)),
        time(rows.iter().map(|row| batch.slice.effective[*row as usize]).collect()),
        Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(rows.len(), late), None)),
        words(rows.iter().map(|row| chunk.kind(*row as usize)), Kind::name),
        strings_at(chunk, ACCOUNT_ID, rows),
        strings_at(chunk, COUNTERPARTY_ID, rows),
        strings_at(chunk, GROUP_ID, rows),
        strings_at(chunk, PACKET_ID, rows),
        ints(ints_at(chunk, AMOUNT_FEN, rows)),
        words(batch.verdicts.iter().copied(), Verdict::name),
        ints(batch.scores.clone()),
        ints(batch.rule_scores.clone()),
        ints(batch.model_scores.clone()),
        reasons(batch, names),
        evidence(&batch.evidence, names),
        words((0..rows.len()).map(|at| batch.outcomes.get(at)), identity),
        shadow_hits(&batch.shadow_hits, names),
        word(&names.rules_hash, rows.len()),
        word(&names.model_hash, rows.len()),
    ]
}

fn strings_at(chunk: &Chunk, field: FieldId, rows: &[u32]) -> ArrayRef {
    match chunk.column(field) {
        Column::Str(strings) => strings_of(strings.at(rows)),
        _ => Arc::new(StringArray::new_null(rows.len())),
    }
}

fn ints_at(chunk: &Chunk, field: FieldId, rows: &[u32]) -> Vec<i64> {
    match chunk.column(field) {
        Column::Int(values) => rows.iter().map(|row| values[*row as usize]).collect(),
        _ => vec![NULL_INT; rows.len()],
    }
}

/// Empty strings are null.
fn strings_of(strings: Strings) -> ArrayRef {
    let (ends, text) = strings.into_parts();
    let mut offsets: Vec<i32> = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.extend(ends.iter().map(|end| *end as i32));
    let nulls = nulls(ends.len(), |row| offsets[row] < offsets[row + 1]);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Arc::new(StringArray::new(offsets, text.into_bytes().into(), nulls))
}

/// Which of so many values are there; none where all are.
fn nulls(rows: usize, is_there: impl Fn(usize) -> bool) -> Option<NullBuffer> {
    let all = (0..rows).fold(true, |all, row| all & is_there(row));
    (!all).then(|| NullBuffer::new(BooleanBuffer::collect_bool(rows, is_there)))
}

fn ints(values: Vec<i64>) -> ArrayRef {
    let present = nulls(values.len(), |row| values[row] != NULL_INT);
    Arc::new(Int64Array::new(values.into(), present))
}

/// The distinct values, and which of them each one is.
fn distinct<T: Copy + Eq + Hash>(values: impl Iterator<Item = T>) -> (Vec<i32>, Vec<T>) {
    let (mut places, mut held, mut last) = (FxHashMap::default(), Vec::new(), 0);
    let keys = values.map(|value| {
        // Most often it is that of the row before.
        if held.get(last) != Some(&value) {
            last = *places.entry(value).or_insert_with(|| {
                held.push(value);
                held.len() - 1
            });
        }
        last as i32
    });
    (keys.collect(), held)
}

/// Few distinct values by their names: a dictionary; empty is null.
fn words<'s, T: Copy + Eq + Hash>(
    values: impl Iterator<Item = T>,
    name: impl Fn(T) -> &'s str,
) -> ArrayRef {
    let (keys, values) = distinct(values);
    let words: Vec<&str> = values.into_iter().map(name).collect();
    let none = words.iter().position(|word| word.is_empty()).map(|none| none as i32);
    let present = nulls(keys.len(), |row| Some(keys[row]) != none);
    let keys = Int32Array::new(keys.into(), present);
    Arc::new(DictionaryArray::new(keys, Arc::new(StringArray::from(words))))
}

/// The words at these places of a dictionary.
fn words_at<'s>(places: Vec<i32>, words: impl Iterator<Item = &'s str>) -> ArrayRef {
    let words = StringArray::from_iter_values(words);
    Arc::new(DictionaryArray::<Int32Type>::new(places.into(), Arc::new(words)))
}

/// The numbers at these places of a dictionary.
fn numbers_at(places: Vec<i32>, numbers: Vec<i64>) -> ArrayRef {
    let numbers = Int64Array::from(numbers);
    Arc::new(DictionaryArray::<Int32Type>::new(places.into(), Arc::new(numbers)))
}

/// The same word in every row; empty is null.
fn word(word: &str, rows: usize) -> ArrayRef {
    if word.is_empty() {
        return new_null_array(&dictionary(), rows);
    }
    let keys = Int32Array::from(vec![0; rows]);
    Arc::new(DictionaryArray::new(keys, Arc::new(StringArray::from(vec![word]))))
}

fn column_array(column: Column) -> ArrayRef {
    match column {
        Column::Int(values) => ints(values),
        Column::Double(values) => {
            let present = nulls(values.len(), |row| !values[row].is_nan());
            Arc::new(Float64Array::new(values.into(), present))
        }
        Column::Bool(values) => Arc::new(
            values
                .iter()
                .map(|value| (*value < 2).then_some(*value == 1))
                .collect::<BooleanArray>(),
        ),
        Column::Str(strings) => strings_of(strings),
        Column::Absent => Arc::new(Int64Array::new_null(0)),
    }
}

fn offsets<T>(lists: &Lists<T>) -> OffsetBuffer<i32> {
    let ends = lists.ends().iter().map(|end| *end as i32);
    OffsetBuffer::new(std::iter::once(0).chain(ends).collect::<Vec<i32>>().into())
}

fn reasons(batch: &DecisionBatch, names: &Names) -> ArrayRef {
    let (rules, scores, texts, offsets) = if batch.added.is_empty() && batch.raised.is_empty() {
        // The reasons are those of the hits.
        let places: Vec<i32> = batch.hits.items().iter().map(|hit| i32::from(*hit)).collect();
        let scores = names.rules.iter().map(|(_, score)| *score).collect();
        let rules = words_at(places.clone(), names.rules.iter().map(|(rule, _)| rule.as_str()));
        (rules, numbers_at(places, scores), batch.reasons.clone(), offsets(&batch.hits))
    } else {
        let (mut found, mut ends) = (Vec::with_capacity(batch.hits.items().len()), vec![0]);
        for at in 0..batch.rows.len() {
            batch.each_reason(at, names, |reason| found.push(reason));
            ends.push(found.len() as i32);
        }
        let (places, scores) = distinct(found.iter().map(|reason| reason.score));
        let mut texts = Strings::with_room(found.len());
        found.iter().for_each(|reason| texts.push(reason.text));
        let rules = words(found.iter().map(|reason| reason.rule), identity);
        (rules, numbers_at(places, scores), texts, OffsetBuffer::new(ends.into()))
    };
    let columns =
        [("rule", rules, false), ("score", scores, false), ("text", strings_of(texts), true)];
    Arc::new(lists_of("element", columns, offsets))
}

fn evidence(evidence: &Lists<(u16, Evidence)>, names: &Names) -> ArrayRef {
    let items = evidence.items();
    let places = items.iter().map(|(name, _)| i32::from(*name)).collect();
    let keys = words_at(places, names.evidence.iter().map(String::as_str));
    let mut ends = Vec::with_capacity(items.len() + 1);
    ends.push(0);
    let mut json = String::with_capacity(items.len() * EVIDENCE_BYTES);
    for (_, value) in items {
        value.write_json(&mut json);
        ends.push(json.len() as i32);
    }
    let values = StringArray::new(OffsetBuffer::new(ends.into()), json.into_bytes().into(), None);
    let columns = [("key", keys, false), ("value", Arc::new(values) as ArrayRef, true)];
    Arc::new(lists_of("key_value", columns, offsets(evidence)))
}

/// Lists of structures with these columns.
fn lists_of<const N: usize>(
    item: &str,
    columns: [(&str, ArrayRef, bool); N],
    offsets: OffsetBuffer<i32>,
) -> ListArray {
    let column = |(name, values, nullable): (&str, ArrayRef, bool)| {
        (Arc::new(Field::new(name, values.data_type().clone(), nullable)), values)
    };
    let items = StructArray::from(columns.map(column).to_vec());
    let field = Arc::new(Field::new(item, items.data_type().clone(), false));
    ListArray::new(field, offsets, Arc::new(items), None)
}

fn shadow_hits(lists: &Lists<u16>, names: &Names) -> ArrayRef {
    let places = lists.items().iter().map(|rule| i32::from(*rule)).collect();
    let rules = words_at(places, names.rules.iter().map(|(rule, _)| rule.as_str()));
    let item = Arc::new(Field::new("element", rules.data_type().clone(), false));
    Arc::new(ListArray::new(item, offsets(lists), rules, None))
}

/// The digest of the decisions in files that come one after the other, from their own values.
pub fn digest(paths: impl IntoIterator<Item = PathBuf>) -> Result<blake3::Hash, String> {
    let mut lines = LineReader::of(paths)?;
    let mut hasher = blake3::Hasher::new();
    while let Some(line) = lines.next_line()? {
        hasher.update(line.as_bytes());
    }
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Input;
    use crate::source::intake::{Days, Intake, Taken};
    use crate::source::log::Times;
    use crate::source::order::{Ordered, SortMemory};

    /// What is written of events is read back, to the last field, where it stood.
    #[test]
    fn events_of_a_day_come_back_in_their_places() {
        let schema = Arc::new(EventSchema::with_extras([("channel".to_owned(), Type::Str)]));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("given.jsonl");
        let line = |id: &str, time: i64, more: &str| {
            format!(
                "{{\"event_id\":\"{id}\",\"event_time\":{time},\"kind\":\"claim\",\
                 \"account_id\":\"a\",\"counterparty_id\":\"b\",\"amount_fen\":5{more}}}\n"
            )
        };
        let start = 1_700_000_000_000_i64;
        let text = line("x", start, ",\"extra.channel\":\"c\",\"verified\":true")
            + &line("y", start - 9, ",\"text\":\"t\"");
        std::fs::write(&path, text).unwrap();
        let read = crate::source::read_all(&[Input::plain(&path)], &schema, &()).unwrap();
        assert_eq!(read.rejects, []);
        let arrivals = crate::source::order::Arrivals {
            chunks: read.chunks.into_iter().map(Arc::new).collect(),
            effective: Some(vec![vec![start, start + 7]]),
        };
        let given = Ordered::new(schema.clone(), arrivals, 1_000, true).slice(0..2, 0).unwrap();
        let file = folder.path().join("events.parquet");
        let mut writer = Writer::create(&file, events_schema(&schema)).unwrap();
        writer.write(events_columns(&given)).and_then(|()| writer.close()).unwrap();
        let days = Days { files: vec![file], extras: vec![("channel".to_owned(), Type::Str)] };
        let intake = Intake::Days(days);
        assert_eq!(intake.schema().unwrap(), *schema);
        let memory = SortMemory { bytes: 1 << 20, folder: folder.path().to_owned() };
        let taken = intake.take(&schema, Times::default(), memory, None, &()).unwrap();
        let Taken { events, rejects, .. } = taken;
        assert!(rejects.is_empty());
        let back = events.finish(1_000, &|| false).unwrap().slice(0..2, 0).unwrap();
        assert_eq!(back.effective, [start, start + 7], "the second came late");
        for row in 0..2 {
            assert_eq!(back.chunk.to_json(row), given.chunk.to_json(row));
        }
    }
}
