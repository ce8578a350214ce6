//! A finished population: its events in total order with their names, and what is true of whom.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::random::Rng;
use super::world::{Account, Event, Group, GroupInfo, Person, Scheme, SchemeId, World};
use crate::diagnostic::{Failure, Message};
use crate::event::{self, Chunk, ChunkBuilder, Column, FieldId, Kind, NULL_INT, Position, Raw};

/// Events of a chunk.
const CHUNK_EVENTS: usize = 1 << 16;

/// What is true of an event, an account or a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// `event`, `account` or `group`.
    pub subject_kind: &'static str,
    /// Its id.
    pub subject_id: String,
    /// Whether it is fraud, else honest.
    pub fraud: bool,
    /// The typology, or the honest behaviour that resembles one.
    pub typology: Option<&'static str>,
    /// As what an account takes part; the type of an honest group.
    pub role: Option<&'static str>,
    /// When it becomes known, ms.
    pub known_at: Option<i64>,
    /// From when the evidence is complete, ms.
    pub detectable_from: Option<i64>,
}

/// A population.
#[derive(Debug)]
pub struct Population {
    /// When activity begins, ms.
    pub start: i64,
    /// When it ends, ms; refunds follow within another day.
    pub end: i64,
    /// Everybody with an account, ordinary people first.
    pub people: Vec<Person>,
    /// How many are ordinary people, neither shops nor of a ring.
    pub ordinary: usize,
    /// Every group.
    pub groups: Vec<GroupInfo>,
    /// Frauds, and what resembles them.
    pub schemes: Vec<Scheme>,
    /// What happened, in total order.
    pub events: Vec<Event>,
    /// What is true, sorted by subject.
    pub labels: Vec<Label>,
    /// Days with the bustle of an ordinary day, counted from 0.
    pub ordinary_days: Vec<i64>,
    names: Names,
}

/// Numbers that stand behind ids. They are scattered, so that neighbours in the making (accounts
/// of one family or ring) are no neighbours by id.
#[derive(Clone, Debug)]
struct Names {
    offset: u64,
}

impl Names {
    /// A number of seven digits that no other index has.
    fn scatter(&self, index: u32, factor: u64) -> u64 {
        const IDS: u64 = 10_000_000;
        // The factors have neither 2 nor 5 in them, so no two indices below IDS meet.
        (u64::from(index) * factor + self.offset) % IDS
    }

    fn account(&self, account: Account) -> String {
        format!("u{:07}", self.scatter(account.0, 7_368_787))
    }

    fn group(&self, group: Group) -> String {
        format!("g{:07}", self.scatter(group.0, 3_276_509))
    }

    fn device(&self, device: u32) -> String {
        format!("d{:07}", self.scatter(device, 5_915_587))
    }
}

impl Population {
    /// Puts what happened into order, names everything and writes the labels.
    pub(super) fn of(world: World, ordinary_days: Vec<i64>) -> Population {
        let mut rng = Rng::named(world.seed, "names", 0);
        let names = Names { offset: rng.below(10_000_000) };
        let mut events = world.events;
        // The sort is stable: what a part of the world did first comes first among equal times.
        events.sort_by_key(|event| event.time);
        number_packets(&mut events);
        let mut population = Population {
            start: world.start,
            end: world.end,
            people: world.people,
            ordinary: world.ordinary as usize,
            groups: world.groups,
            schemes: world.schemes,
            events,
            labels: Vec::new(),
            ordinary_days,
            names,
        };
        population.labels = population.labels();
        population
    }

    /// The id of an account.
    pub fn account_id(&self, account: Account) -> String {
        self.names.account(account)
    }

    /// The id of a group.
    pub fn group_id(&self, group: Group) -> String {
        self.names.group(group)
    }

    /// The id of the event at an index.
    pub fn event_id(&self, index: usize) -> String {
        format!("e{:07}", index + 1)
    }

    /// The scheme of that number.
    pub fn scheme(&self, scheme: SchemeId) -> &Scheme {
        &self.schemes[scheme.0 as usize]
    }

    /// Whether the event at an index is part of a fraud.
    pub fn is_fraud(&self, event: &Event) -> bool {
        event.scheme.is_some_and(|scheme| self.scheme(scheme).fraud)
    }

    fn labels(&self) -> Vec<Label> {
        let mut labels = BTreeMap::new();
        // Fraud first: a subject has one label, and what it did for a ring outweighs the rest.
        for fraud in [true, false] {
            self.label_events(fraud, &mut labels);
            self.label_accounts(fraud, &mut labels);
            self.label_groups(fraud, &mut labels);
        }
        labels.into_values().collect()
    }

    fn label_events(&self, fraud: bool, labels: &mut Labels) {
        for (at, event) in self.events.iter().enumerate() {
            let Some(scheme) = event.scheme.map(|scheme| self.scheme(scheme)) else { continue };
            if scheme.fraud == fraud && event.kind.is_transaction() {
                let known_at = event.time.max(scheme.detectable_from) + scheme.known_after;
                let label = label("event", self.event_id(at), scheme, None, known_at);
                insert(labels, label);
            }
        }
    }

    fn label_accounts(&self, fraud: bool, labels: &mut Labels) {
        for scheme in &self.schemes {
            let known_at = scheme.detectable_from + scheme.known_after;
            for &(account, role, guilty) in &scheme.roles {
                if guilty == fraud {
                    let id = self.account_id(account);
                    let mut label = label("account", id, scheme, Some(role), known_at);
                    label.fraud = guilty;
                    insert(labels, label);
                }
            }
        }
    }

    fn label_groups(&self, fraud: bool, labels: &mut Labels) {
        for (at, info) in self.groups.iter().enumerate() {
            let scheme = info.scheme.map(|scheme| self.scheme(scheme));
            if scheme.is_some_and(|scheme| scheme.fraud) != fraud {
                continue;
            }
            let id = self.group_id(Group(at as u32));
            let label = match scheme {
                Some(scheme) => {
                    let role = (!scheme.fraud).then(|| info.kind.name());
                    label("group", id, scheme, role, scheme.detectable_from + scheme.known_after)
                }
                None => Label {
                    subject_kind: "group",
                    subject_id: id,
                    fraud: false,
                    typology: None,
                    role: Some(info.kind.name()),
                    known_at: None,
                    detectable_from: None,
                },
            };
            insert(labels, label);
        }
    }

    /// The events as checked chunks, in total order.
    pub fn chunks(&self) -> Vec<Chunk> {
        let schema = Arc::new(event::Schema::default());
        let mut builder = ChunkBuilder::new(schema);
        let mut chunks = Vec::new();
        for (at, event) in self.events.iter().enumerate() {
            self.push(&mut builder, at, event);
            if builder.len() == CHUNK_EVENTS || at + 1 == self.events.len() {
                chunks.push(builder.finish());
            }
        }
        chunks
    }

    fn push(&self, builder: &mut ChunkBuilder, at: usize, event: &Event) {
        let account = event.account.map(|account| self.account_id(account));
        let counterparty = event.counterparty.map(|account| self.account_id(account));
        let group = event.group.map(|group| self.group_id(group));
        let packet = event.packet.map(|packet| format!("p{packet:07}"));
        let device = event.device.map(|device| self.names.device(device));
        let ip = event.ip.map(|ip| std::net::Ipv4Addr::from(ip).to_string());
        let region = self.region(event).map(|region| region.to_string());
        let person = event.account.filter(|_| event.kind == Kind::Account);
        let person = person.map(|account| &self.people[account.0 as usize]);
        let id = self.event_id(at);
        let text = |value: &'_ Option<String>| value.clone().unwrap_or_default();
        let strings = [
            (event::EVENT_ID, id),
            (event::KIND, event.kind.name().to_owned()),
            (event::ACCOUNT_ID, text(&account)),
            (event::COUNTERPARTY_ID, text(&counterparty)),
            (event::GROUP_ID, text(&group)),
            (event::PACKET_ID, text(&packet)),
            (event::PLAY, event.play.to_owned()),
            (event::FUNDING, event.funding.to_owned()),
            (event::DEVICE_ID, text(&device)),
            (event::IP, text(&ip)),
            (event::REGION, text(&region)),
            (event::PLATFORM, event.platform.to_owned()),
            (event::AGE_BAND, person.map_or("", |person| person.age.band()).to_owned()),
            (event::TEXT, event.text.clone()),
        ];
        let integers = [
            (event::EVENT_TIME, Some(event.time)),
            (event::SEQ, Some(at as i64 + 1)),
            (event::AMOUNT_FEN, event.amount_fen),
            (event::SHARES, event.shares),
            (event::REGISTERED_AT, person.map(|person| person.registered_at)),
        ];
        let values = strings
            .iter()
            .map(|(field, value)| (*field, Raw::Str(value.as_bytes())))
            .chain(
                integers
                    .into_iter()
                    .map(|(field, value)| (field, value.map_or(Raw::Null, Raw::Int))),
            )
            .chain([(
                event::VERIFIED,
                person.map_or(Raw::Null, |person| Raw::Bool(person.verified)),
            )]);
        let position = Position { source: 0, at: at as u64 };
        if let Err(refusal) = builder.push(values, position) {
            // The generator makes events within the bounds that it is built with.
            unreachable!("{refusal:?}: {event:?}");
        }
    }

    /// The region of an event: of the group for a group, else of the person.
    fn region(&self, event: &Event) -> Option<u32> {
        if let (Kind::Group, Some(group)) = (event.kind, event.group) {
            return Some(self.groups[group.0 as usize].province);
        }
        let told = event.kind == Kind::Account || event.ip.is_some();
        event.account.filter(|_| told).map(|account| self.people[account.0 as usize].province)
    }
}

/// Labels by kind and id of their subject.
type Labels = BTreeMap<(&'static str, String), Label>;

fn insert(labels: &mut Labels, label: Label) {
    labels.entry((label.subject_kind, label.subject_id.clone())).or_insert(label);
}

fn label(
    subject_kind: &'static str,
    subject_id: String,
    scheme: &Scheme,
    role: Option<&'static str>,
    known_at: i64,
) -> Label {
    Label {
        subject_kind,
        subject_id,
        fraud: scheme.fraud,
        typology: Some(scheme.name),
        role,
        known_at: Some(known_at),
        detectable_from: scheme.fraud.then_some(scheme.detectable_from),
    }
}

/// Gives packets numbers in the order in which they are sent: the order in which the world was
/// made would tell rings from families.
fn number_packets(events: &mut [Event]) {
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    for event in events {
        if let Some(packet) = &mut event.packet {
            let next = numbers.len() as u32 + 1;
            *packet = *numbers.entry(*packet).or_insert(next);
        }
    }
}

/// Writes `events.parquet` and `labels.parquet` into a directory, which is made if need be.
pub fn write(population: &Population, out: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(out).map_err(|error| unwritable(out, &error))?;
    let path = out.join("events.parquet");
    write_events(population, &path).map_err(|error| unwritable(&path, &error))?;
    let path = out.join("labels.parquet");
    write_labels(population, &path).map_err(|error| unwritable(&path, &error))
}

fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let path = path.display();
    Failure::Environment(Message::new(
        format!("cannot write {path}: {error}"),
        format!("无法写入 {path}：{error}"),
    ))
}

/// Settings under which equal populations make equal files, and small ones.
fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(15).unwrap_or_default();
    // Consecutive numbers shrink to nothing as differences, and dictionaries would keep them whole.
    let delta = |column: &str| ColumnPath::from(column);
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by("hongxian simulate".to_owned())
        .set_column_dictionary_enabled(delta("event_id"), false)
        .set_column_encoding(delta("event_id"), Encoding::DELTA_BYTE_ARRAY)
        .set_column_dictionary_enabled(delta("event_time"), false)
        .set_column_encoding(delta("event_time"), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(delta("seq"), false)
        .set_column_encoding(delta("seq"), Encoding::DELTA_BINARY_PACKED)
        .build()
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn times(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(values).with_timezone("UTC"))
}

fn write_events(population: &Population, path: &Path) -> parquet::errors::Result<()> {
    let fields: Vec<(FieldId, &str)> = event::FIELDS
        .iter()
        .enumerate()
        .filter(|(_, field)| !LABEL_FIELDS.contains(&field.0))
        .map(|(at, field)| (FieldId(at as u16), field.0))
        .collect();
    let schema = Arc::new(ArrowSchema::new(
        fields.iter().map(|&(id, name)| Field::new(name, arrow_type(id), true)).collect::<Vec<_>>(),
    ));
    let mut writer = ArrowWriter::try_new(File::create(path)?, schema.clone(), Some(properties()))?;
    for chunk in population.chunks() {
        let columns = fields.iter().map(|&(id, _)| column(&chunk, id)).collect();
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
    }
    writer.close()?;
    Ok(())
}

/// Fields that only `label` events have: labels go into a file of their own.
const LABEL_FIELDS: [&str; 4] = ["label", "typology", "subject_kind", "subject_id"];

fn arrow_type(field: FieldId) -> DataType {
    let (_, kind, bound, _) = event::FIELDS[field.index()];
    match (kind, bound) {
        (_, event::Bound::Time) => time_type(),
        (event::Type::Int, _) => DataType::Int64,
        (event::Type::Double, _) => DataType::Float64,
        (event::Type::Bool, _) => DataType::Boolean,
        (event::Type::Str, _) => DataType::Utf8,
    }
}

fn column(chunk: &Chunk, field: FieldId) -> ArrayRef {
    let rows = 0..chunk.len();
    let integer = |row| Some(chunk.int(field, row)).filter(|value| *value != NULL_INT);
    match arrow_type(field) {
        DataType::Timestamp(..) => times(rows.map(integer).collect()),
        DataType::Int64 => Arc::new(Int64Array::from_iter(rows.map(integer))),
        DataType::Boolean => {
            let value = |row| match chunk.column(field) {
                Column::Bool(values) => Some(values[row]).filter(|value| *value < 2),
                _ => None,
            };
            Arc::new(BooleanArray::from_iter(rows.map(|row| value(row).map(|value| value == 1))))
        }
        _ => {
            let value = |row| Some(chunk.str(field, row)).filter(|value| !value.is_empty());
            Arc::new(StringArray::from_iter(rows.map(value)))
        }
    }
}

fn write_labels(population: &Population, path: &Path) -> parquet::errors::Result<()> {
    let labels = &population.labels;
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
    let mut writer = ArrowWriter::try_new(File::create(path)?, schema.clone(), Some(properties()))?;
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    writer.close()?;
    Ok(())
}
