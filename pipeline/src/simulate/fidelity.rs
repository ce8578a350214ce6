//! The document's figures beside those of a population. Everything is measured on the events, and
//! only what no event tells (a group's type, who belongs to a ring) is taken from the truth.

use std::collections::{BTreeMap, BTreeSet};

use super::figures::{self, DAY, GroupType, HOUR, Zone, zone_of};
use super::population::Population;
use super::world::{Account, Age, Event, Group, GroupInfo};
use crate::event::Kind;

mod dwell;

/// One figure of the document, and what became of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is measured, in words.
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
}

impl Row {
    /// Whether the figure holds.
    pub fn holds(&self) -> bool {
        self.samples > 0 && (self.low..=self.high).contains(&self.actual)
    }

    /// A figure that may be off by so many hundredths of itself.
    fn near(figure: impl Into<String>, target: f64, percent: f64, actual: f64, n: usize) -> Row {
        let slack = target * percent / 100.0;
        Row::within(figure, target, slack, actual, n)
    }

    /// A figure that may be off by `slack`.
    fn within(figure: impl Into<String>, target: f64, slack: f64, actual: f64, n: usize) -> Row {
        let (low, high) = (target - slack, target + slack);
        Row { figure: figure.into(), target, actual, low, high, samples: n }
    }

    /// A figure that is a lower bound.
    fn at_least(figure: impl Into<String>, target: f64, actual: f64, n: usize) -> Row {
        Row { figure: figure.into(), target, actual, low: target, high: f64::INFINITY, samples: n }
    }
}

/// Sets the figures of the document beside those of the population.
pub fn fidelity(population: &Population) -> Vec<Row> {
    let packets = Packet::all(population);
    let view = View { population, packets };
    let mut rows = Vec::new();
    view.share_in_groups(&mut rows);
    view.hours(&mut rows);
    view.amounts(&mut rows);
    view.difficulty(&mut rows);
    view.turnover(&mut rows);
    dwell::rows(population, &mut rows);
    view.interactions(&mut rows);
    view.regions(&mut rows);
    view.ages(&mut rows);
    rows
}

/// The rows as a table for people.
pub fn table(rows: &[Row]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["figure", "target", "actual", "from", "to", "of", "holds"]);
    for row in rows {
        let number = |value: f64| {
            if value.is_infinite() { "-".to_owned() } else { format!("{value:.2}") }
        };
        table.add_row([
            row.figure.clone(),
            number(row.target),
            number(row.actual),
            number(row.low),
            number(row.high),
            row.samples.to_string(),
            if row.holds() { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    table.to_string()
}

/// A packet and its claims.
struct Packet<'p> {
    sent: &'p Event,
    claims: Vec<&'p Event>,
    info: Option<&'p GroupInfo>,
    fraud: bool,
    /// Of ordinary life: no part of a fraud or of a look-alike, the rush at midnight excepted.
    ordinary: bool,
}

impl<'p> Packet<'p> {
    fn all(population: &'p Population) -> Vec<Packet<'p>> {
        let mut packets: BTreeMap<u32, Packet<'p>> = BTreeMap::new();
        for event in &population.events {
            let Some(number) = event.packet else { continue };
            if event.kind == Kind::Send {
                let scheme = event.scheme.map(|scheme| population.scheme(scheme));
                let packet = Packet {
                    sent: event,
                    claims: Vec::new(),
                    info: event.group.map(|group| &population.groups[group.0 as usize]),
                    fraud: scheme.is_some_and(|scheme| scheme.fraud),
                    ordinary: scheme.is_none_or(|scheme| scheme.name == "festival-peak"),
                };
                packets.insert(number, packet);
            } else if let (Kind::Claim, Some(packet)) = (event.kind, packets.get_mut(&number)) {
                packet.claims.push(event);
            }
        }
        packets.into_values().collect()
    }

    fn fen(&self) -> i64 {
        self.sent.amount_fen.unwrap_or(0)
    }

    fn sender(&self) -> Option<(Account, Group)> {
        self.sent.account.zip(self.sent.group)
    }
}

struct View<'p> {
    population: &'p Population,
    packets: Vec<Packet<'p>>,
}

impl<'p> View<'p> {
    /// Packets of ordinary life in groups of a type.
    fn ordinary(&self, kind: GroupType) -> impl Iterator<Item = &Packet<'p>> {
        self.packets
            .iter()
            .filter(move |packet| packet.ordinary && packet.info.is_some_and(|i| i.kind == kind))
    }

    fn day(&self, time: i64) -> i64 {
        (time - self.population.start).div_euclid(DAY)
    }

    fn share_in_groups(&self, rows: &mut Vec<Row>) {
        let all = self.packets.len();
        let in_groups = self.packets.iter().filter(|packet| packet.info.is_some()).count();
        let target = figures::GROUP_SHARE_PERMILLE as f64 / 10.0;
        let actual = percent(in_groups, all);
        rows.push(Row::within("packets through groups, %", target, 1.0, actual, all));
    }

    fn hours(&self, rows: &mut Vec<Row>) {
        for kind in [GroupType::Family, GroupType::Interest, GroupType::Business] {
            let (from, to) = kind.habits().active;
            let mut counts = [0_usize; 48];
            for packet in self.ordinary(kind) {
                let within = (packet.sent.time - self.population.start).rem_euclid(DAY);
                counts[(within / (HOUR / 2)) as usize] += 1;
            }
            let all: usize = counts.iter().sum();
            let active: usize = counts[from..to].iter().sum();
            let name = kind.name();
            let share = percent(active, all);
            rows.push(Row::at_least(format!("{name}: in its active hours, %"), 35.0, share, all));
            let mode = (0..48).max_by_key(|&at| counts[at]).unwrap_or(0) as f64 / 2.0;
            let (low, high) = (from as f64 / 2.0, (to - 1) as f64 / 2.0);
            let figure = format!("{name}: most active half-hour");
            rows.push(Row { figure, target: low, actual: mode, low, high, samples: all });
        }
    }

    fn amounts(&self, rows: &mut Vec<Row>) {
        for kind in [GroupType::Family, GroupType::Interest, GroupType::Business] {
            let fen: Vec<i64> = self.ordinary(kind).map(Packet::fen).collect();
            let target = kind.habits().mean_fen as f64 / 100.0;
            let figure = format!("{}: mean packet, yuan", kind.name());
            rows.push(Row::near(figure, target, 5.0, mean_yuan(&fen), fen.len()));
        }
        let in_band = |kind: GroupType, low: i64, high: i64| {
            let all = self.ordinary(kind).count();
            let in_band = |packet: &&Packet<'_>| (low..=high).contains(&packet.fen());
            (percent(self.ordinary(kind).filter(in_band).count(), all), all)
        };
        let (actual, all) = in_band(GroupType::Family, 100, 2_000);
        rows.push(Row::at_least("family: 1 to 20 yuan, %", 80.0, actual, all));
        let (actual, all) = in_band(GroupType::Interest, 500, 5_000);
        rows.push(Row::within("interest: 5 to 50 yuan, %", 67.0, 2.0, actual, all));
        let fen: Vec<i64> =
            self.packets.iter().filter(|packet| !packet.fraud).map(Packet::fen).collect();
        let target = figures::ALL_MEAN_FEN as f64 / 100.0;
        rows.push(Row::near(
            "all honest: mean packet, yuan",
            target,
            10.0,
            mean_yuan(&fen),
            fen.len(),
        ));
    }

    /// The harder the task (the stars in the memo) the larger the packet.
    fn difficulty(&self, rows: &mut Vec<Row>) {
        let mut pairs: Vec<(i64, i64)> = Vec::new();
        for packet in self.ordinary(GroupType::Business) {
            if let Some(stars) = stars(&packet.sent.text) {
                pairs.push((stars, packet.fen()));
            }
        }
        let actual = spearman(&pairs);
        rows.push(Row::at_least(
            "business: rank correlation of task and amount",
            0.6,
            actual,
            pairs.len(),
        ));
    }

    fn turnover(&self, rows: &mut Vec<Row>) {
        for (name, kind) in [("family", GroupType::Family), ("business", GroupType::Business)] {
            let target = kind.habits().sends_day_hundredths as f64 / 100.0;
            // The document has 1.8 for families, and 15 yuan a member-day of 8.7 yuan a packet.
            let target = if kind == GroupType::Family { 1.8 } else { target };
            let (actual, _, all) = self.member_days(|packet| {
                packet.ordinary && packet.info.is_some_and(|info| info.kind == kind)
            });
            rows.push(Row::near(
                format!("{name}: packets a sender and day"),
                target,
                8.0,
                actual,
                all,
            ));
        }
        let (actual, _, all) = self.member_days(|packet| {
            let scheme = packet.sent.scheme.map(|scheme| self.population.scheme(scheme));
            packet.sent.group.is_some()
                && scheme.is_some_and(|scheme| scheme.fraud && scheme.name.starts_with("gambling"))
        });
        let target = figures::GAMBLING_SENDS_DAY_HUNDREDTHS as f64 / 100.0;
        rows.push(Row::near("gambling: packets a sender and day", target, 6.0, actual, all));
        for (name, kind, fen) in [
            ("family", GroupType::Family, figures::FAMILY_MEMBER_DAY_FEN),
            ("stranger", GroupType::Stranger, figures::STRANGER_MEMBER_DAY_FEN),
        ] {
            let (_, actual, all) = self.member_days(|packet| {
                packet.ordinary && packet.info.is_some_and(|info| info.kind == kind)
            });
            let figure = format!("{name}: sent a sender and day, yuan");
            rows.push(Row::near(figure, fen as f64 / 100.0, 7.0, actual, all));
        }
    }

    /// Packets and yuan of a sender in a group on a day when he sends.
    fn member_days(&self, wanted: impl Fn(&Packet<'_>) -> bool) -> (f64, f64, usize) {
        let mut days = BTreeSet::new();
        let (mut packets, mut fen) = (0_usize, 0_i64);
        for packet in self.packets.iter().filter(|packet| wanted(packet)) {
            days.insert((packet.sender(), self.day(packet.sent.time)));
            packets += 1;
            fen += packet.fen();
        }
        let all = days.len().max(1) as f64;
        (packets as f64 / all, fen as f64 / 100.0 / all, days.len())
    }

    /// Sends and claims of a member a month, on days like any other.
    fn interactions(&self, rows: &mut Vec<Row>) {
        let population = self.population;
        let ordinary_days: BTreeSet<i64> = population.ordinary_days.iter().copied().collect();
        let mut member_days = [0_usize; 2];
        for info in population.groups.iter().filter(|info| info.opened_at.is_none()) {
            for day in &ordinary_days {
                let midnight = population.start + day * DAY;
                member_days[weak(info.kind)] += info.members_at(midnight).count();
            }
        }
        let mut acts = [0_usize; 2];
        for packet in self.packets.iter().filter(|packet| packet.ordinary) {
            let Some(info) = packet.info else { continue };
            if ordinary_days.contains(&self.day(packet.sent.time)) {
                let claims = packet.claims.iter().filter(|claim| claim.scheme.is_none());
                acts[weak(info.kind)] += 1 + claims.count();
            }
        }
        for (at, name) in ["strong", "weak"].into_iter().enumerate() {
            let kind = [GroupType::Family, GroupType::Interest][at];
            let target = kind.habits().interactions_month_tenths as f64 / 10.0;
            let actual = acts[at] as f64 / member_days[at].max(1) as f64 * 30.4;
            let figure = format!("{name} ties: sends and claims a member and month");
            rows.push(Row::near(figure, target, 5.0, actual, acts[at]));
        }
    }

    fn regions(&self, rows: &mut Vec<Row>) {
        let groups = || self.population.groups.iter().filter(|info| info.opened_at.is_none());
        let share = |zone: Zone, kind: GroupType| {
            let all = groups().filter(|info| zone_of(info.province) == zone).count();
            let of_kind =
                groups().filter(|info| zone_of(info.province) == zone && info.kind == kind).count();
            (percent(of_kind, all), all)
        };
        let in_zone = |zone: Zone, kind: Option<GroupType>| -> Vec<i64> {
            self.packets
                .iter()
                .filter(|packet| packet.ordinary)
                .filter(|packet| packet.info.is_some_and(|info| zone_of(info.province) == zone))
                .filter(|packet| kind.is_none() || packet.info.map(|info| info.kind) == kind)
                .map(Packet::fen)
                .collect()
        };
        let (actual, all) = share(Zone::Delta, GroupType::Business);
        rows.push(Row::at_least("deltas: groups of business, %", 60.0, actual, all));
        let fen = in_zone(Zone::Delta, Some(GroupType::Business));
        rows.push(Row::near(
            "deltas: mean packet of business, yuan",
            35.8,
            5.0,
            mean_yuan(&fen),
            fen.len(),
        ));
        let (actual, all) = share(Zone::Inland, GroupType::Family);
        rows.push(Row::within("inland: groups of family, %", 78.0, 2.0, actual, all));
        let fen = in_zone(Zone::Inland, None);
        rows.push(Row::near("inland: mean packet, yuan", 12.4, 6.0, mean_yuan(&fen), fen.len()));
        let banned: Vec<&GroupInfo> =
            self.population.groups.iter().filter(|info| info.opened_at.is_some()).collect();
        let there = |info: &&&GroupInfo| figures::BANNED_PROVINCES.contains(&info.province);
        let actual = percent(banned.iter().filter(there).count(), banned.len());
        // One group more or less is what rounding may do to a few.
        let slack = 3.0_f64.max(100.0 / banned.len().max(1) as f64);
        rows.push(Row::within(
            "rings' groups in three provinces, %",
            62.0,
            slack,
            actual,
            banned.len(),
        ));
    }

    fn ages(&self, rows: &mut Vec<Row>) {
        let population = self.population;
        let of_age = |account: Account, age: Age| {
            (account.0 as usize) < population.ordinary
                && population.people[account.0 as usize].age == age
        };
        let (mut asked, mut joined) = (BTreeSet::new(), BTreeSet::new());
        for packet in &self.packets {
            if let (Some(info), "relay") = (packet.info, packet.sent.play) {
                asked.extend(info.members_at(packet.sent.time));
                joined.extend(packet.claims.iter().filter_map(|claim| claim.account));
            }
        }
        let young = |accounts: &BTreeSet<Account>| {
            accounts.iter().filter(|account| of_age(**account, Age::Young)).count()
        };
        let actual = percent(young(&joined), young(&asked));
        rows.push(Row::within("18 to 25: join relays, %", 73.0, 4.0, actual, young(&asked)));
        let mut in_contact = BTreeSet::new();
        for info in population.groups.iter().filter(|info| info.opened_at.is_none()) {
            if info.kind != GroupType::Family {
                in_contact.extend(info.members.iter().map(|member| member.account));
            }
        }
        let middle: Vec<Account> = (0..population.ordinary as u32)
            .map(Account)
            .filter(|&account| of_age(account, Age::Middle))
            .collect();
        let wide = middle.iter().filter(|account| in_contact.contains(account)).count();
        let actual = percent(wide, middle.len());
        rows.push(Row::within("26 to 45: widen contacts, %", 41.0, 2.0, actual, middle.len()));
    }
}

/// The stars of a task, where the memo of a packet tells them.
fn stars(memo: &str) -> Option<i64> {
    const TASKS: [&str; 8] = ["任务", "拉新", "推广", "难度", "等级", "地推", "试用", "问卷"];
    let task = memo.contains("星任务") || TASKS.iter().any(|word| memo.starts_with(word));
    let digit = memo.chars().find_map(|c| c.to_digit(10))?;
    (task && (1..=5).contains(&digit)).then_some(i64::from(digit))
}

fn weak(kind: GroupType) -> usize {
    usize::from(kind != GroupType::Family)
}

fn percent(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

fn mean_yuan(fen: &[i64]) -> f64 {
    fen.iter().sum::<i64>() as f64 / fen.len().max(1) as f64 / 100.0
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
