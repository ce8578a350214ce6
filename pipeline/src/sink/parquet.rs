//! Decisions and features as Parquet, a batch of columns at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, ListArray,
    MapArray, RecordBatch, StringArray, StructArray, TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::lines::LineReader;
use super::written::{Hashed, Written};
use crate::decision::{DecisionBatch, Evidence, Lists, Names};
use crate::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, Chunk, Column, EVENT_ID, EVENT_TIME, FieldId,
    GROUP_ID, KIND, NULL_INT, PACKET_ID, Position, Schema as EventSchema, Strings, Type,
};
use crate::source::intake::EFFECTIVE_TIME;
use crate::source::order::Slice;

/// Rows of a row group: large enough for scans, small enough that what is written of the last one when
/// all is decided takes no time.
const ROW_GROUP_ROWS: usize = 1 << 17;

/// Columns whose values repeat: a dictionary says each once.
const REPEATING: [&str; 11] = [
    "late",
    "kind",
    "group_id",
    "decision",
    "score",
    "rule_score",
    "outcome",
    "rules_hash",
    "model_hash",
    "reasons.list.element.rule",
    "evidence.key_value.key",
];

/// Texts that say nearly the same again and again.
const COMPRESSED: [&str; 2] = ["reasons.list.element.text", "evidence.key_value.value"];

/// A Parquet file in the making.
pub struct Writer {
    writer: ArrowWriter<Hashed>,
    schema: SchemaRef,
}

impl Writer {
    /// Creates the file.
    pub fn create(path: &Path, schema: SchemaRef) -> parquet::errors::Result<Writer> {
        let file = Hashed::create(path)?;
        let mut properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
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
        Ok(Writer { writer, schema })
    }

    /// Appends a batch.
    pub fn write(&mut self, columns: Vec<ArrayRef>) -> parquet::errors::Result<()> {
        self.writer.write(&RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// Writes the footer, and says what was written.
    pub fn close(self) -> parquet::errors::Result<Written> {
        Ok(self.writer.into_inner()?.written())
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
        words(challenger.verdicts.iter().map(|verdict| verdict.name())),
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
            _ if id == KIND => words(rows.clone().map(|row| chunk.kind(row).name())),
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
    let pick = |from: &dyn Fn(usize) -> i64| -> Vec<i64> {
        rows.iter().map(|row| from(*row as usize)).collect()
    };
    let time = |values: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from(values).with_timezone("UTC"))
    };
    vec![
        strings_at(chunk, EVENT_ID, rows),
        time(pick(&|row| chunk.int(EVENT_TIME, row))),
        time(pick(&|row| batch.slice.effective[row])),
        Arc::new(
            rows.iter().map(|row| Some(batch.slice.late(*row as usize))).collect::<BooleanArray>(),
        ),
        words(rows.iter().map(|row| chunk.kind(*row as usize).name())),
        strings_at(chunk, ACCOUNT_ID, rows),
        strings_at(chunk, COUNTERPARTY_ID, rows),
        strings_at(chunk, GROUP_ID, rows),
        strings_at(chunk, PACKET_ID, rows),
        ints(pick(&|row| chunk.int(AMOUNT_FEN, row))),
        words(batch.verdicts.iter().map(|verdict| verdict.name())),
        ints(batch.scores.clone()),
        ints(batch.rule_scores.clone()),
        ints(batch.model_scores.clone()),
        reasons(batch, names),
        evidence(&batch.evidence, names),
        words((0..rows.len()).map(|at| batch.outcomes.get(at))),
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

fn strings<'s>(strings: impl Iterator<Item = &'s str>, len: usize) -> ArrayRef {
    let mut all = Strings::with_room(len);
    strings.for_each(|string| all.push(string));
    strings_of(all)
}

/// Empty strings are null.
fn strings_of(strings: Strings) -> ArrayRef {
    let (ends, text) = strings.into_parts();
    let mut offsets: Vec<i32> = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.extend(ends.iter().map(|end| *end as i32));
    let nulls = nulls(&offsets.windows(2).map(|ends| ends[0] < ends[1]).collect::<Vec<_>>());
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Arc::new(StringArray::new(offsets, text.into_bytes().into(), nulls))
}

/// Which values are there; none where all are.
fn nulls(present: &[bool]) -> Option<NullBuffer> {
    let all = present.iter().fold(true, |all, present| all & present);
    (!all).then(|| NullBuffer::from(present))
}

fn ints(values: Vec<i64>) -> ArrayRef {
    let present = nulls(&values.iter().map(|value| *value != NULL_INT).collect::<Vec<_>>());
    Arc::new(Int64Array::new(values.into(), present))
}

/// Few distinct words: a dictionary; empty is null.
fn words<'s>(words: impl Iterator<Item = &'s str>) -> ArrayRef {
    let mut values: Vec<&str> = Vec::new();
    let mut last = 0;
    let keys: Int32Array = words
        .map(|word| {
            if word.is_empty() {
                return None;
            }
            if values.get(last) != Some(&word) {
                last = values.iter().position(|held| *held == word).unwrap_or_else(|| {
                    values.push(word);
                    values.len() - 1
                });
            }
            Some(last as i32)
        })
        .collect();
    Arc::new(DictionaryArray::new(keys, Arc::new(StringArray::from(values))))
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
            let present = nulls(&values.iter().map(|value| !value.is_nan()).collect::<Vec<_>>());
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
    let (mut found, mut ends) = (Vec::with_capacity(batch.hits.items().len()), vec![0]);
    for at in 0..batch.rows.len() {
        batch.each_reason(at, names, |reason| found.push(reason));
        ends.push(found.len() as i32);
    }
    let rules = strings(found.iter().map(|reason| reason.rule), found.len());
    let scores: Int64Array = found.iter().map(|reason| Some(reason.score)).collect();
    let texts = strings(found.iter().map(|reason| reason.text), found.len());
    let items = StructArray::new(reason_fields(), vec![rules, Arc::new(scores), texts], None);
    let offsets = OffsetBuffer::new(ends.into());
    Arc::new(ListArray::new(reasons_item(), offsets, Arc::new(items), None))
}

fn evidence(evidence: &Lists<(u16, Evidence)>, names: &Names) -> ArrayRef {
    let items = evidence.items();
    let keys = items.iter().map(|(name, _)| names.evidence[usize::from(*name)].as_str());
    let keys = strings(keys, items.len());
    let mut texts = Strings::default();
    let mut json = String::new();
    for (_, value) in items {
        json.clear();
        value.write_json(&mut json);
        texts.push(&json);
    }
    let values = strings_of(texts);
    let entries = StructArray::new(evidence_fields(), vec![keys, values], None);
    Arc::new(MapArray::new(evidence_item(), offsets(evidence), entries, None, false))
}

fn shadow_hits(lists: &Lists<u16>, names: &Names) -> ArrayRef {
    let items = lists.items();
    let ids = items.iter().map(|rule| names.rules[usize::from(*rule)].0.as_str());
    let ids = strings(ids, items.len());
    Arc::new(ListArray::new(shadow_item(), offsets(lists), ids, None))
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
