//! The document's figures beside those of a population on disk. All is measured on the events;
//! only what no event tells (a group's type, who belongs to a ring) is taken from the labels.

use std::path::Path;

use super::figures::{self, GroupType, Zone};
use crate::diagnostic::Failure;

pub(crate) mod dwell;
mod read;
pub(crate) mod tables;

use self::tables::Tables;

/// One figure of the document, and what became of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is measured, in words; first the number of the figure in the list of all.
    pub figure: String,
    /// The document's value.
    pub target: f64,
    /// The population's value.
    pub actual: f64,
    /// The lowest value that will do.
    pub low: f64,
    /// The highest value that will do.
    pub high: f64,
    /// Of how many packets, accounts or groups.
    pub samples: usize,
    /// Whether it is only told, because the document gives no value that a population could have.
    pub context: bool,
}

impl Row {
    /// Whether the figure holds.
    pub fn holds(&self) -> bool {
        self.context || self.samples > 0 && (self.low..=self.high).contains(&self.actual)
    }

    fn new(figure: impl Into<String>, target: f64, (low, high): (f64, f64), of: Of) -> Row {
        let (actual, samples) = of;
        Row { figure: figure.into(), target, actual, low, high, samples, context: false }
    }

    /// A figure that may be off by so many hundredths of itself.
    fn near(figure: impl Into<String>, target: f64, percent: f64, of: Of) -> Row {
        Row::within(figure, target, target * percent / 100.0, of)
    }

    /// A figure that may be off by `slack`.
    fn within(figure: impl Into<String>, target: f64, slack: f64, of: Of) -> Row {
        Row::new(figure, target, (target - slack, target + slack), of)
    }

    /// A figure that is a lower bound.
    fn at_least(figure: impl Into<String>, target: f64, of: Of) -> Row {
        Row::new(figure, target, (target, f64::INFINITY), of)
    }

    /// A figure that is only told.
    fn context(figure: impl Into<String>, target: f64, of: Of) -> Row {
        let any = (f64::NEG_INFINITY, f64::INFINITY);
        Row { context: true, ..Row::new(figure, target, any, of) }
    }
}

/// A value and of how many it is.
pub(crate) type Of = (f64, usize);

/// What `hongxian simulate --check` does: sets the figures of the document beside those of the
/// population in a directory.
///
/// # Errors
/// When its files cannot be read or are no population of this program.
pub fn check(dir: &Path) -> Result<Vec<Row>, Failure> {
    let tables = read::tables(dir)?;
    let mut rows = Vec::new();
    volume(&tables, &mut rows);
    hours(&tables, &mut rows);
    amounts(&tables, &mut rows);
    dwell::rows(&tables, &mut rows);
    interactions(&tables, &mut rows);
    findings(&tables, &mut rows);
    regions(&tables, &mut rows);
    ages(&tables, &mut rows);
    rows.push(Row::context("22 Douyin's participants, % of WeChat's", 60.0, (f64::NAN, 0)));
    Ok(rows)
}

/// The rows for programs; a figure that the population or the document does not have is null.
pub fn json(rows: &[Row]) -> serde_json::Value {
    let missed = rows.iter().filter(|row| !row.holds()).count();
    let figures: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "figure": row.figure,
                "target": row.target,
                "actual": row.actual,
                "from": row.low,
                "to": row.high,
                "of": row.samples,
                "context": row.context,
                "holds": row.holds(),
            })
        })
        .collect();
    serde_json::json!({ "figures": figures, "missed": missed })
}

/// The rows as a table for people.
pub fn table(rows: &[Row]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["figure", "target", "actual", "from", "to", "of", "holds"]);
    for row in rows {
        let number = |value: f64| match value.is_finite() {
            true => format!("{value:.2}"),
            false => "-".to_owned(),
        };
        table.add_row([
            row.figure.clone(),
            number(row.target),
            number(row.actual),
            number(row.low),
            number(row.high),
            row.samples.to_string(),
            match (row.context, row.holds()) {
                (true, _) => "context",
                (_, true) => "yes",
                _ => "NO",
            }
            .to_owned(),
        ]);
    }
    table.to_string()
}

/// The three types that the document tells of.
const TYPES: [GroupType; 3] = [GroupType::Family, GroupType::Interest, GroupType::Business];

fn volume(tables: &Tables, rows: &mut Vec<Row>) {
    let all = tables.packets.len();
    let days = tables.days as f64;
    let volume = "1 packets a day, millions (here scaled down)";
    rows.push(Row::context(volume, 1_000.0, (all as f64 / days / 1e6, all)));
    let in_groups = tables.packets.iter().filter(|packet| packet.group.is_some()).count();
    let target = figures::GROUP_SHARE_PERMILLE as f64 / 10.0;
    rows.push(Row::within("2 packets through groups, %", target, 1.0, share(in_groups, all)));
}

fn hours(tables: &Tables, rows: &mut Vec<Row>) {
    for kind in TYPES {
        let (from, to) = kind.habits().active;
        let mut counts = [0_usize; 48];
        for packet in tables.ordinary(kind) {
            counts[tables.half_hour(packet.time)] += 1;
        }
        let all: usize = counts.iter().sum();
        let active: usize = counts[from..to].iter().sum();
        let name = kind.name();
        rows.push(Row::at_least(
            format!("3 {name}: in its active hours, %"),
            35.0,
            share(active, all),
        ));
        let mode = (0..48).max_by_key(|&at| counts[at]).unwrap_or(0) as f64 / 2.0;
        let (low, high) = (from as f64 / 2.0, (to - 1) as f64 / 2.0);
        rows.push(Row::new(
            format!("3 {name}: most active half-hour"),
            low,
            (low, high),
            (mode, all),
        ));
    }
}

fn amounts(tables: &Tables, rows: &mut Vec<Row>) {
    for kind in TYPES {
        let target = kind.habits().mean_fen as f64 / 100.0;
        let mean = mean_yuan(tables.ordinary(kind).map(|packet| packet.fen));
        rows.push(Row::near(format!("4 {}: mean packet, yuan", kind.name()), target, 3.0, mean));
    }
    let in_band = |kind: GroupType, low: i64, high: i64| {
        let within = tables.ordinary(kind).filter(|packet| (low..=high).contains(&packet.fen));
        share(within.count(), tables.ordinary(kind).count())
    };
    rows.push(Row::at_least(
        "5 family: 1 to 20 yuan, %",
        80.0,
        in_band(GroupType::Family, 100, 2_000),
    ));
    let band = in_band(GroupType::Interest, 500, 5_000);
    rows.push(Row::within("6 interest: 5 to 50 yuan, %", 67.0, 2.0, band));
    // The harder the task (the stars in the memo) the larger the packet.
    let tasks: Vec<(i64, i64)> = tables
        .ordinary(GroupType::Business)
        .filter(|packet| packet.stars > 0)
        .map(|packet| (packet.stars.into(), packet.fen))
        .collect();
    let of = (spearman(&tasks), tasks.len());
    rows.push(Row::at_least("7 business: rank correlation of task and amount", 0.6, of));
    let ordinary = tables.packets.iter().filter(|packet| packet.ordinary).map(|packet| packet.fen);
    let target = figures::ALL_MEAN_FEN as f64 / 100.0;
    rows.push(Row::near("10 all: mean packet, yuan", target, 3.0, mean_yuan(ordinary)));
}

fn interactions(tables: &Tables, rows: &mut Vec<Row>) {
    let (acts, member_days) = (tables.acts, tables.member_days);
    for (at, name) in ["strong", "weak"].into_iter().enumerate() {
        let kind = [GroupType::Family, GroupType::Interest][at];
        let target = kind.habits().interactions_month_tenths as f64 / 10.0;
        let actual = acts[at] as f64 / member_days[at].max(1) as f64 * 30.4;
        let figure = format!("13 {name} ties: sends and claims a member and month");
        rows.push(Row::near(figure, target, 5.0, (actual, acts[at])));
    }
    for (name, kind, fen) in [
        ("family", GroupType::Family, figures::FAMILY_MEMBER_DAY_FEN),
        ("stranger", GroupType::Stranger, figures::STRANGER_MEMBER_DAY_FEN),
    ] {
        let figure = format!("14 {name}: sent a sender and day, yuan");
        rows.push(Row::near(figure, fen as f64 / 100.0, 5.0, tables.member_day(kind)));
    }
}

/// The shares of the document's findings; here there is more fraud than in life.
fn findings(tables: &Tables, rows: &mut Vec<Row>) {
    let [fraud, all] = tables.transactions;
    rows.push(Row::context("15 fraudulent transactions, %", 0.033, share(fraud, all)));
    let in_groups: Vec<_> = tables.packets.iter().filter(|p| p.group.is_some()).collect();
    let fraud = in_groups.iter().filter(|packet| packet.fraud).count();
    rows.push(Row::context(
        "15 fraudulent packets in groups, %",
        0.11,
        share(fraud, in_groups.len()),
    ));
}

fn regions(tables: &Tables, rows: &mut Vec<Row>) {
    let of_kind = |zone: Zone, kind: GroupType| {
        let groups = || tables.groups.values().filter(move |group| group.settled_in(zone));
        share(groups().filter(|group| group.kind == Some(kind)).count(), groups().count())
    };
    let target = figures::DELTA_BUSINESS_PERMILLE as f64 / 10.0;
    let of = of_kind(Zone::Delta, GroupType::Business);
    rows.push(Row::new("16 deltas: groups of business, %", target, (60.0, target + 2.0), of));
    let mean = mean_yuan(tables.in_zone(Zone::Delta, Some(GroupType::Business)));
    rows.push(Row::near("16 deltas: mean packet of business, yuan", 35.8, 3.0, mean));
    let of = of_kind(Zone::Inland, GroupType::Family);
    rows.push(Row::within("17 inland: groups of family, %", 78.0, 2.0, of));
    let mean = mean_yuan(tables.in_zone(Zone::Inland, None));
    rows.push(Row::near("17 inland: mean packet, yuan", 12.4, 3.0, mean));
    let rings: Vec<_> = tables.groups.values().filter(|group| group.fraud).collect();
    let there = rings.iter().filter(|group| figures::BANNED_PROVINCES.contains(&group.province));
    let of = share(there.count(), rings.len());
    let figure = "18 rings' groups in three provinces, %";
    if rings.len() < 2 {
        rows.push(Row::context(format!("{figure} (too few)"), 62.0, of));
        return;
    }
    // One group more or less is what rounding may do to a few.
    let slack = 3.0_f64.max(100.0 / rings.len() as f64);
    let band = ((62.0 - slack).max(0.0), (62.0 + slack).min(100.0));
    rows.push(Row::new(figure, 62.0, band, of));
}

fn ages(tables: &Tables, rows: &mut Vec<Row>) {
    let of = tables.relays_joined("18-25");
    rows.push(Row::within("19 18 to 25: join relays, %", 73.0, 2.0, of));
    rows.push(Row::within(
        "20 26 to 45: widen contacts, %",
        41.0,
        2.0,
        tables.contacts_widened("26-45"),
    ));
    rows.push(Row::within("21 46 and more: rather watch, %", 83.0, 2.0, tables.watchers("46+")));
}

fn share(part: usize, whole: usize) -> Of {
    (part as f64 * 100.0 / whole.max(1) as f64, whole)
}

fn mean_yuan(fen: impl Iterator<Item = i64>) -> Of {
    let (mut sum, mut count) = (0, 0);
    for fen in fen {
        sum += fen;
        count += 1;
    }
    (sum as f64 / count.max(1) as f64 / 100.0, count)
}

/// Spearman's rank correlation; equal values share the mean of their ranks.
fn spearman(pairs: &[(i64, i64)]) -> f64 {
    let left = ranks(pairs.iter().map(|pair| pair.0).collect());
    let right = ranks(pairs.iter().map(|pair| pair.1).collect());
    let middle = (pairs.len() as f64 - 1.0) / 2.0;
    let sum = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum()
    };
    sum(&left, &right) / libm::sqrt(sum(&left, &left) * sum(&right, &right))
}

fn ranks(values: Vec<i64>) -> Vec<f64> {
    let mut sorted = values.clone();
    sorted.sort_unstable();
    let rank = |value: i64| {
        let from = sorted.partition_point(|&other| other < value);
        let to = sorted.partition_point(|&other| other <= value);
        (from + to - 1) as f64 / 2.0
    };
    values.into_iter().map(rank).collect()
}
