//! A population on disk: `events.parquet`, `labels.parquet`, and what they were made from.

use std::fs::File;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, StringBuilder,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::figures::GroupType;
use super::labels::{self, Label};
use super::life::ordinary_days;
use super::names::{Id, Names};
use super::noise;
use super::scenario::Scenario;
use super::world::{Event, World};
use crate::diagnostic::{Failure, Message};
use crate::event::{self, FieldId};

/// Written down here: where the days are that are like any other.
pub(super) const FRAME_KEY: &str = "hongxian.population";
/// Written down here: days of members of family groups and of others, on days like any other.
pub(super) const MEMBERS_KEY: &str = "hongxian.member-days";
/// What is known of the events.
pub(super) const LABELS: &str = "labels.parquet";
/// What is true of them, where something else is known.
pub(super) const TRUTH: &str = "truth.parquet";
/// What a closed loop leaves beside its events: what came of it, and a backtest of them.
pub(super) const LOOP: &str = "loop.json";
pub(super) const RUN: &str = "run";
/// Populations of more accounts are packed with less care, else it takes longer than making them.
const ACCOUNTS_PACKED: i64 = 5_000;

/// Files being written.
pub(super) struct Output {
    dir: PathBuf,
    names: Names,
    writer: ArrowWriter<File>,
    schema: Arc<ArrowSchema>,
    written: u64,
    /// The first thing that went wrong.
    error: Option<Failure>,
    careful: bool,
}

impl Output {
    /// Makes the directory if need be, and begins `events.parquet` in it.
    pub(super) fn create(dir: &Path, scenario: &Scenario, seed: u64) -> Result<Output, Failure> {
        std::fs::create_dir_all(dir).map_err(|error| unwritable(dir, &error))?;
        remove_stale(dir)?;
        let columns = COLUMNS.iter().map(|&(id, _)| {
            let (name, ..) = event::FIELDS[id.index()];
            Field::new(name, arrow_type(id), true)
        });
        let schema = Arc::new(ArrowSchema::new(columns.collect::<Vec<_>>()));
        let careful = scenario.accounts <= ACCOUNTS_PACKED;
        let path = dir.join("events.parquet");
        let frame = frame(scenario);
        let writer = File::create(&path)
            .map_err(parquet::errors::ParquetError::from)
            .and_then(|file| {
                ArrowWriter::try_new(file, schema.clone(), Some(properties(careful, Some(frame))))
            })
            .map_err(|error| unwritable(&path, &error))?;
        let (dir, names) = (dir.to_owned(), Names::new(seed));
        Ok(Output { dir, names, writer, schema, written: 0, error: None, careful })
    }

    /// Writes a batch of events; what goes wrong is told at the end.
    pub(super) fn write(&mut self, events: &[Event]) {
        if self.error.is_some() || events.is_empty() {
            return;
        }
        let (names, first) = (self.names, self.written);
        let columns = COLUMNS.iter().map(|(_, column)| column(names, first, events)).collect();
        self.written += events.len() as u64;
        let batch = RecordBatch::try_new(self.schema.clone(), columns);
        let done = batch.map_err(Into::into).and_then(|batch| self.writer.write(&batch));
        if let Err(error) = done {
            self.error = Some(unwritable(&self.dir.join("events.parquet"), &error));
        }
    }

    /// Takes the begun `events.parquet` away again, for no population comes of it.
    pub(super) fn give_up(self, failure: Failure) -> Failure {
        drop(self.writer);
        let _ = std::fs::remove_file(self.dir.join("events.parquet"));
        failure
    }

    /// Ends `events.parquet` and writes `labels.parquet`; where that is not the truth, also
    /// `truth.parquet`.
    pub(super) fn finish(mut self, world: &World, scenario: &Scenario) -> Result<(), Failure> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let [strong, weak] = member_days(world, scenario);
        let days = format!("{strong};{weak}");
        self.writer.append_key_value_metadata(KeyValue::new(MEMBERS_KEY.to_owned(), days));
        let path = self.dir.join("events.parquet");
        self.writer.close().map_err(|error| unwritable(&path, &error))?;
        let write = |labels: &[Label], name: &str| {
            let path = self.dir.join(name);
            write_labels(labels, &path, self.careful).map_err(|error| unwritable(&path, &error))
        };
        let truth = labels::of(world);
        if !scenario.noise.any() {
            return write(&truth, LABELS);
        }
        write(&truth, TRUTH)?;
        write(&noise::labels(world, scenario.noise), LABELS)
    }
}

/// Takes away what an earlier run of this program left in the directory: it is of another world, and
/// would be taken for what came of this one. A run directory is a loop's where its report is beside it;
/// any other is somebody's own.
fn remove_stale(dir: &Path) -> Result<(), Failure> {
    let gone = |path: &Path, removed: std::io::Result<()>| match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(unwritable(path, &error)),
        _ => Ok(()),
    };
    if dir.join(LOOP).exists() {
        let run = dir.join(RUN);
        gone(&run, std::fs::remove_dir_all(&run))?;
    }
    for name in [LOOP, LABELS, TRUTH] {
        let path = dir.join(name);
        gone(&path, std::fs::remove_file(&path))?;
    }
    Ok(())
}

fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let path = path.display();
    Failure::Environment(Message::new(
        format!("cannot write {path}: {error}"),
        format!("无法写入 {path}：{error}"),
    ))
}

/// Start, days and ordinary days, for whoever measures.
fn frame(scenario: &Scenario) -> KeyValue {
    let days: Vec<String> = ordinary_days(scenario).map(|day| day.to_string()).collect();
    let value = format!("{};{};{}", scenario.start, scenario.days, days.join(","));
    KeyValue::new(FRAME_KEY.to_owned(), value)
}

/// Days of members of family groups and of others, those of rings left out: no event tells who was
/// there from the beginning.
fn member_days(world: &World, scenario: &Scenario) -> [usize; 2] {
    let mut days = [0; 2];
    for day in ordinary_days(scenario) {
        let midnight = world.midnight(day);
        for info in &world.groups {
            let ring = info.scheme.is_some_and(|scheme| world.scheme(scheme).fraud);
            let Some(since) = info.lives_from(midnight).filter(|_| !ring) else { continue };
            let weak = usize::from(info.kind != GroupType::Family);
            days[weak] += info.members_at(since).count();
        }
    }
    days
}

/// Settings under which equal populations make equal files, and small ones.
fn properties(careful: bool, frame: Option<KeyValue>) -> WriterProperties {
    let level = ZstdLevel::try_new(if careful { 15 } else { 1 }).unwrap_or_default();
    // Consecutive numbers shrink to nothing as differences, and dictionaries would keep them whole.
    let of = |column: &str| ColumnPath::from(column);
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by("hongxian simulate".to_owned())
        .set_key_value_metadata(frame.map(|frame| vec![frame]))
        .set_column_dictionary_enabled(of("event_id"), false)
        .set_column_encoding(of("event_id"), Encoding::DELTA_BYTE_ARRAY)
        .set_column_dictionary_enabled(of("event_time"), false)
        .set_column_encoding(of("event_time"), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(of("seq"), false)
        .set_column_encoding(of("seq"), Encoding::DELTA_BINARY_PACKED)
        .build()
}

/// How a column is made of events, of which the first has a number.
type Make = fn(Names, u64, &[Event]) -> ArrayRef;

/// The columns: all fields but those of `label` events, whose file is another.
const COLUMNS: &[(FieldId, Make)] = &[
    (event::EVENT_ID, |names, first, events| {
        ids((0..events.len()).map(|at| Some(names.event(first + at as u64))))
    }),
    (event::EVENT_TIME, |_, _, events| {
        times(events.iter().map(|event| Some(event.time)).collect())
    }),
    (event::KIND, |_, _, events| texts(events.iter().map(|event| event.kind.name()))),
    (event::ACCOUNT_ID, |names, _, events| {
        let group = |event: &Event| event.account.map(|account| names.account(account));
        ids(events.iter().map(group))
    }),
    (event::COUNTERPARTY_ID, |names, _, events| {
        ids(events.iter().map(|event| event.counterparty.map(|account| names.account(account))))
    }),
    (event::GROUP_ID, |names, _, events| {
        ids(events.iter().map(|event| event.group.map(|group| names.group(group))))
    }),
    (event::PACKET_ID, |names, _, events| {
        ids(events.iter().map(|event| event.packet.map(|packet| names.packet(packet))))
    }),
    (event::AMOUNT_FEN, |_, _, events| integers(events, |event| event.amount_fen)),
    (event::SEQ, |_, first, events| {
        Arc::new(Int64Array::from_iter_values((first + 1..).map(|n| n as i64).take(events.len())))
    }),
    (event::SHARES, |_, _, events| integers(events, |event| event.shares)),
    (event::PLAY, |_, _, events| texts(events.iter().map(|event| event.play))),
    (event::FUNDING, |_, _, events| texts(events.iter().map(|event| event.funding))),
    (event::DEVICE_ID, |names, _, events| {
        ids(events.iter().map(|event| event.device.map(|device| names.device(device))))
    }),
    (event::IP, |_, _, events| {
        let mut builder = StringBuilder::with_capacity(events.len(), events.len() * 14);
        let mut text = String::new();
        for event in events {
            builder.append_option(event.ip.map(|ip| written(Ipv4Addr::from(ip), &mut text)));
        }
        Arc::new(builder.finish())
    }),
    (event::REGION, |_, _, events| {
        let mut buffer = itoa::Buffer::new();
        let mut builder = StringBuilder::with_capacity(events.len(), events.len() * 6);
        for event in events {
            builder.append_option(event.region.map(|region| buffer.format(region)));
        }
        Arc::new(builder.finish())
    }),
    (event::PLATFORM, |_, _, events| texts(events.iter().map(|event| event.platform))),
    (event::AGE_BAND, |_, _, events| {
        texts(events.iter().map(|event| event.holder.map_or("", |holder| holder.age.band())))
    }),
    (event::REGISTERED_AT, |_, _, events| {
        times(events.iter().map(|event| event.holder.map(|h| h.registered_at)).collect())
    }),
    (event::VERIFIED, |_, _, events| {
        let verified = events.iter().map(|event| event.holder.map(|holder| holder.verified));
        Arc::new(BooleanArray::from_iter(verified))
    }),
    (event::TEXT, |_, _, events| texts(events.iter().map(|event| event.text.as_str()))),
];

fn ids(ids: impl ExactSizeIterator<Item = Option<Id>>) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(ids.len(), ids.len() * 9);
    for id in ids {
        builder.append_option(id.as_ref().map(Id::as_str));
    }
    Arc::new(builder.finish())
}

/// An address as it is written, in `text`.
fn written(ip: Ipv4Addr, text: &mut String) -> &str {
    text.clear();
    let mut buffer = itoa::Buffer::new();
    for octet in ip.octets() {
        text.push_str(buffer.format(octet));
        text.push('.');
    }
    &text[..text.len() - 1]
}

/// Texts, the empty one as null.
fn texts<'t>(texts: impl Iterator<Item = &'t str>) -> ArrayRef {
    Arc::new(StringArray::from_iter(texts.map(|text| (!text.is_empty()).then_some(text))))
}

fn integers(events: &[Event], value: fn(&Event) -> Option<i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(events.iter().map(value)))
}

fn times(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(values).with_timezone("UTC"))
}

fn arrow_type(field: FieldId) -> DataType {
    let (_, kind, bound, _) = event::FIELDS[field.index()];
    match (kind, bound) {
        (_, event::Bound::Time) => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        (event::Type::Int, _) => DataType::Int64,
        (event::Type::Double, _) => DataType::Float64,
        (event::Type::Bool, _) => DataType::Boolean,
        (event::Type::Str, _) => DataType::Utf8,
    }
}

fn write_labels(labels: &[Label], path: &Path, careful: bool) -> parquet::errors::Result<()> {
    let text = |value: fn(&Label) -> Option<&str>| -> ArrayRef {
        Arc::new(StringArray::from_iter(labels.iter().map(value)))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("subject_kind", text(|label| Some(label.subject_kind))),
        ("subject_id", text(|label| Some(&label.subject_id))),
        ("label", text(|label| Some(if label.fraud { "fraud" } else { "honest" }))),
        ("typology", text(|label| label.typology)),
        ("role", text(|label| label.role)),
        ("known_at", times(labels.iter().map(|label| label.known_at).collect())),
        ("detectable_from", times(labels.iter().map(|label| label.detectable_from).collect())),
    ];
    let fields = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect::<Vec<_>>();
    let schema = Arc::new(ArrowSchema::new(fields));
    let properties = properties(careful, None);
    let mut writer = ArrowWriter::try_new(File::create(path)?, schema.clone(), Some(properties))?;
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    writer.close()?;
    Ok(())
}
