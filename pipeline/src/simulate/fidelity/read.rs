//! Reads the files of a population.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use parquet::arrow::ProjectionMask;
use rustc_hash::FxHashMap;

use super::tables::{AccountSeen, Packet, Tables};
use crate::diagnostic::{Failure, Message};
use crate::event::Kind;
use crate::parquet_file::{self, Batches};
use crate::simulate::figures::{GroupType, MINUTE};
use crate::simulate::output::{FRAME_KEY, LABELS, MEMBERS_KEY, TRUTH};

/// What a label says of an event.
#[derive(Clone, Copy)]
struct Part {
    fraud: bool,
    /// Of the rush at midnight, which is ordinary life.
    peak: bool,
}

/// Reads a population.
pub(super) fn tables(dir: &Path) -> Result<Tables, Failure> {
    let mut tables = Tables::default();
    // The figures are those of the truth.
    let path = Some(dir.join(TRUTH)).filter(|path| path.exists());
    let path = path.unwrap_or_else(|| dir.join(LABELS));
    let parts = labels(&path, &mut tables).map_err(|error| unreadable(&path, &*error))?;
    let path = dir.join("events.parquet");
    events(&path, &parts, &mut tables).map_err(|error| unreadable(&path, &*error))?;
    Ok(tables)
}

type Result2<T> = Result<T, Box<dyn std::error::Error>>;

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Failure {
    let message = Message::new(
        format!("this is no population that can be read: {error}"),
        format!("无法读取该仿真数据：{error}"),
    );
    Failure::file("unreadable-file", path, message, None)
}

fn labels(path: &Path, tables: &mut Tables) -> Result2<FxHashMap<u32, Part>> {
    let mut parts = FxHashMap::default();
    for batch in Batches::of(parquet_file::open(path)?)? {
        let batch = batch?;
        let [kinds, ids, labels, typologies, roles] =
            ["subject_kind", "subject_id", "label", "typology", "role"]
                .map(|name| strings(&batch, name));
        let (kinds, ids, labels) = (kinds?, ids?, labels?);
        let (typologies, roles) = (typologies?, roles?);
        for row in 0..batch.num_rows() {
            let id = number(ids.value(row)).ok_or("an id that is no letter and number")?;
            let fraud = labels.value(row) == "fraud";
            let typology = typologies.value(row);
            match kinds.value(row) {
                "event" => {
                    parts.insert(id, Part { fraud, peak: typology == "festival-peak" });
                }
                "account" => {
                    tables.accounts.entry(id).or_default().ringed = fraud;
                }
                _ => {
                    let group = tables.groups.entry(id).or_default();
                    group.fraud = fraud;
                    group.gambles = fraud && typology.starts_with("gambling");
                    let named = |kind: &GroupType| kind.name() == roles.value(row);
                    group.kind = GroupType::ALL.into_iter().find(named);
                }
            }
        }
    }
    Ok(parts)
}

fn events(path: &Path, parts: &FxHashMap<u32, Part>, tables: &mut Tables) -> Result2<()> {
    let builder = parquet_file::open(path)?;
    let told = |key: &str| {
        let pairs = builder.metadata().file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.clone()
    };
    let frame = told(FRAME_KEY).ok_or("it was not made by `hongxian simulate`")?;
    let mut fields = frame.split(';');
    let mut next = || fields.next().ok_or("its frame is cut short");
    tables.start = next()?.parse()?;
    tables.days = next()?.parse()?;
    for day in next()?.split(',').filter(|day| !day.is_empty()) {
        tables.ordinary_days.insert(day.parse()?);
    }
    let days = told(MEMBERS_KEY).ok_or("it was not finished")?;
    let (strong, weak) = days.split_once(';').ok_or("its days of members are cut short")?;
    tables.member_days = [strong.parse()?, weak.parse()?];
    let columns = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    let batches = Batches::of(builder.with_projection(columns).with_batch_size(BATCH_ROWS))?;
    // One thread unpacks the columns, and this one looks at what is in them.
    std::thread::scope(|scope| {
        let (sender, unpacked) = sync_channel(BATCHES_AHEAD);
        scope.spawn(move || {
            // Whoever has met a mistake takes no more.
            let _ = batches.into_iter().try_for_each(|batch| sender.send(batch));
        });
        unpacked.into_iter().try_for_each(|batch| read_batch(&batch?, parts, tables))
    })
}

/// Rows that are looked at together.
const BATCH_ROWS: usize = 8192;
/// Batches that may wait to be looked at.
const BATCHES_AHEAD: usize = 4;
/// What is looked at.
const COLUMNS: [&str; 12] = [
    "event_id",
    "event_time",
    "kind",
    "account_id",
    "group_id",
    "packet_id",
    "amount_fen",
    "play",
    "funding",
    "region",
    "age_band",
    "text",
];

/// The columns that are looked at.
struct Columns<'b> {
    ids: &'b StringArray,
    kinds: &'b StringArray,
    accounts: &'b StringArray,
    groups: &'b StringArray,
    packets: &'b StringArray,
    plays: &'b StringArray,
    fundings: &'b StringArray,
    regions: &'b StringArray,
    ages: &'b StringArray,
    texts: &'b StringArray,
    amounts: &'b Int64Array,
}

fn read_batch(
    batch: &RecordBatch,
    parts: &FxHashMap<u32, Part>,
    tables: &mut Tables,
) -> Result2<()> {
    let columns = Columns {
        ids: strings(batch, "event_id")?,
        kinds: strings(batch, "kind")?,
        accounts: strings(batch, "account_id")?,
        groups: strings(batch, "group_id")?,
        packets: strings(batch, "packet_id")?,
        plays: strings(batch, "play")?,
        fundings: strings(batch, "funding")?,
        regions: strings(batch, "region")?,
        ages: strings(batch, "age_band")?,
        texts: strings(batch, "text")?,
        amounts: batch
            .column_by_name("amount_fen")
            .and_then(|column| column.as_primitive_opt::<Int64Type>())
            .ok_or("it has no amounts")?,
    };
    let times = batch
        .column_by_name("event_time")
        .and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>())
        .ok_or("it has no times")?;
    for row in 0..batch.num_rows() {
        columns.read(row, times.value(row), parts, tables)?;
    }
    Ok(())
}

impl Columns<'_> {
    fn read(
        &self,
        row: usize,
        time: i64,
        parts: &FxHashMap<u32, Part>,
        tables: &mut Tables,
    ) -> Result2<()> {
        let part = number(self.ids.value(row)).and_then(|id| parts.get(&id)).copied();
        let kind = Kind::parse(self.kinds.value(row)).ok_or("an unknown kind")?;
        let group = number(self.groups.value(row));
        let fen = self.amounts.value(row);
        if kind.is_transaction() {
            tables.transactions[1] += 1;
            tables.transactions[0] += usize::from(part.is_some_and(|part| part.fraud));
        }
        let Some(account) = number(self.accounts.value(row)) else { return Ok(()) };
        if let Some(group) = group.filter(|_| kind != Kind::Group && kind != Kind::Refund) {
            tables.present(group, account);
        }
        match kind {
            Kind::Account => {
                let seen: &mut AccountSeen = tables.accounts.entry(account).or_default();
                seen.age_band = self.ages.value(row).to_owned();
            }
            Kind::Group => {
                let opened = time - tables.start;
                let seen = tables.groups.entry(group.unwrap_or_default()).or_default();
                seen.province = self.regions.value(row).parse()?;
                seen.settled = opened < MINUTE;
            }
            Kind::Send => {
                let text = self.texts.value(row);
                tables.sent(Packet {
                    time,
                    sender: account,
                    group,
                    fen,
                    fraud: part.is_some_and(|part| part.fraud),
                    ordinary: part.is_none_or(|part| part.peak),
                    relay: self.plays.value(row) == "relay",
                    stars: stars(text).unwrap_or(0),
                });
            }
            Kind::Claim => {
                let id = number(self.packets.value(row)).ok_or("a claim of no packet")?;
                let packet = *tables.packets.get(id as usize - 1).ok_or("an unknown packet")?;
                let scheme = part.is_some_and(|part| !part.peak);
                tables.claimed(packet, account, scheme);
                if !tables.accounts.get(&account).is_some_and(|seen| seen.ringed) {
                    let flow = tables.flow(group);
                    tables.books.receive(account, flow, time, fen);
                }
            }
            Kind::Transfer | Kind::Withdraw if self.fundings.value(row) == "balance" => {
                tables.books.pay(account, time, fen);
            }
            _ => {}
        }
        Ok(())
    }
}

fn strings<'b>(batch: &'b RecordBatch, name: &str) -> Result2<&'b StringArray> {
    let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    Ok(column.ok_or_else(|| format!("it has no column {name} of texts"))?)
}

/// The number behind the letter of an id.
fn number(id: &str) -> Option<u32> {
    id.get(1..)?.parse().ok()
}

/// The stars of a task, where the memo of a packet tells them.
fn stars(memo: &str) -> Option<u8> {
    const TASKS: [&str; 8] = ["任务", "拉新", "推广", "难度", "等级", "地推", "试用", "问卷"];
    let task = memo.contains("星任务") || TASKS.iter().any(|word| memo.starts_with(word));
    let digit = memo.chars().find_map(|c| c.to_digit(10))?;
    (task && (1..=5).contains(&digit)).then_some(digit as u8)
}
