//! The tables, one function each, with the document's figures beside their own.

use std::collections::{BTreeMap, BTreeSet};

use super::close::{Figure, close};
use super::gather::Gathered;
use super::{Cell, Column, Hours, Part, Row, SMALL_CELL, Section, Unit, Whole, Words, rounded};
use super::{places, scenes};
use crate::simulate::fidelity::dwell::Flow;
use crate::simulate::fidelity::tables::Packet;
use crate::simulate::figures::{DAY, GroupType, TURNOVER_DAYS_MIN, TURNOVER_TENTHS};

/// The half-hours of a day.
const HALF_HOURS: usize = 48;
/// A class of groups: a type of the document, gambling, or unknown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Type(GroupType),
    Gambling,
    Unknown,
}

pub(super) const CLASSES: [Class; 6] = [
    Class::Type(GroupType::Family),
    Class::Type(GroupType::Interest),
    Class::Type(GroupType::Business),
    Class::Type(GroupType::Stranger),
    Class::Gambling,
    Class::Unknown,
];

impl Class {
    pub(super) fn id(self) -> &'static str {
        match self {
            Class::Type(kind) => kind.name(),
            Class::Gambling => "gambling",
            Class::Unknown => "unknown",
        }
    }

    pub(super) fn name(self) -> Words {
        let zh = match self {
            Class::Type(GroupType::Family) => "亲友群",
            Class::Type(GroupType::Interest) => "兴趣群",
            Class::Type(GroupType::Business) => "商业群",
            Class::Type(GroupType::Stranger) => "陌生人群",
            Class::Gambling => "赌博群",
            Class::Unknown => "未知",
        };
        Words::new(self.id(), zh)
    }
}

impl Gathered {
    pub(super) fn class(&self, group: u32) -> Class {
        match self.tables.groups.get(&group) {
            Some(group) if group.gambles => Class::Gambling,
            Some(group) => group.kind.map_or(Class::Unknown, Class::Type),
            None => Class::Unknown,
        }
    }

    pub(super) fn packets_of(&self, class: Class) -> impl Iterator<Item = &Packet> + Clone {
        let packets = self.tables.packets.iter();
        packets.filter(move |packet| packet.group.is_some_and(|at| self.class(at) == class))
    }

    pub(super) fn groups_of(&self, wanted: impl Fn(u32) -> bool) -> BTreeSet<u32> {
        self.tables.groups.keys().copied().filter(|at| wanted(*at)).collect()
    }

    /// Whether the source of types names any group of a type: else nothing is known of such groups.
    pub(super) fn names(&self, kind: GroupType) -> bool {
        self.named.contains(&kind)
    }

    /// The notes, with one on the types that are not known where there are such.
    pub(super) fn with_gap(&self, mut notes: Vec<Words>) -> Vec<Words> {
        if self.events == 0 {
            return notes;
        }
        let absent: Vec<Words> = CLASSES
            .into_iter()
            .filter(|class| match class {
                Class::Type(kind) => !self.names(*kind),
                Class::Gambling => !self.names_gambling,
                Class::Unknown => false,
            })
            .map(Class::name)
            .collect();
        if !absent.is_empty() {
            let list = |of: fn(&Words) -> &str, between: &str| {
                absent.iter().map(of).collect::<Vec<_>>().join(between)
            };
            let (en, zh) = (list(|words| &words.en, ", "), list(|words| &words.zh, "、"));
            notes.push(Words::new(
                format!(
                    "-: no group is known to be of type {en} (types from: {})",
                    self.source.name()
                ),
                format!("-：没有已知类型为{zh}的群（类型来源：{}）", self.source.name()),
            ));
        }
        notes
    }

    /// The accounts in some groups.
    pub(super) fn people(&self, groups: &BTreeSet<u32>) -> usize {
        let members = groups.iter().filter_map(|group| self.members.get(group)).flatten();
        members.collect::<BTreeSet<_>>().len()
    }
}

/// All tables.
pub(super) fn all(gathered: &Gathered) -> Vec<Section> {
    vec![
        volume(gathered),
        groups(gathered),
        scenes::section(gathered),
        money(gathered),
        ties(gathered),
        places::regions(gathered),
        places::provinces(gathered),
        ages(gathered),
        platforms(gathered),
    ]
}

pub(super) fn column(id: &'static str, name: (&str, &str), unit: Unit) -> Column {
    Column { id: id.into(), name: Words::new(name.0, name.1), unit }
}

pub(super) fn row(id: impl Into<String>, name: Words, cells: Vec<Cell>) -> Row {
    Row { id: id.into(), name, cells }
}

pub(super) fn senders<'p>(packets: impl Iterator<Item = &'p Packet>) -> usize {
    packets.map(|packet| packet.sender).collect::<BTreeSet<_>>().len()
}

pub(super) fn share(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// The mean of packets in yuan, of so many senders.
pub(super) fn mean<'p>(packets: impl Iterator<Item = &'p Packet> + Clone) -> Cell {
    let (mut fen, mut count) = (0, 0_i64);
    for packet in packets.clone() {
        fen += packet.fen;
        count += 1;
    }
    Cell::of(fen as f64 / 100.0 / count.max(1) as f64, senders(packets))
}

fn volume(gathered: &Gathered) -> Section {
    let packets = &gathered.tables.packets;
    let in_groups = packets.iter().filter(|packet| packet.group.is_some());
    let all = senders(packets.iter());
    let a_day = packets.len() as f64 / gathered.tables.days.max(1) as f64;
    let through = share(in_groups.clone().count(), packets.len());
    let cells = vec![
        Cell::count(packets.len(), all),
        Cell::of(a_day, all).beside("1,000,000,000"),
        Cell::of(through, senders(in_groups)).beside("30"),
        mean(packets.iter()).beside("7.67"),
    ];
    Section {
        id: "volume",
        title: Words::new("Red packets", "红包总量"),
        columns: vec![
            column("packets", ("packets", "红包数"), Unit::Count),
            column("packets_a_day", ("a day", "日均"), Unit::Count),
            column("through_groups", ("through groups, %", "经群发放 %"), Unit::Percent),
            column("mean", ("mean, yuan", "均值（元）"), Unit::Yuan),
        ],
        rows: vec![row("all", Words::new("all", "全部"), cells)],
        notes: vec![Words::new(
            "7.67 yuan: 2.8 trillion yuan a year over 1,000 million packets a day",
            "7.67 元：年交易额 2.8 万亿元除以日均 10 亿次",
        )],
        known: Vec::new(),
    }
}

fn groups(gathered: &Gathered) -> Section {
    let in_groups = gathered.tables.packets.iter().filter(|packet| packet.group.is_some());
    let all_packets = in_groups.clone().count();
    let mut rows = Vec::new();
    for class in CLASSES {
        let groups = gathered.groups_of(|at| gathered.class(at) == class);
        if groups.is_empty() {
            continue;
        }
        rows.push(class_row(gathered, class, &groups, all_packets));
    }
    let groups = gathered.groups_of(|_| true);
    let people = gathered.people(&groups);
    let all = rows.iter().flat_map(|row| &row.cells).filter_map(|cell| cell.part);
    let all = all.fold(0, |all, part| all | part.atoms);
    let mut cells = vec![
        Cell::count(groups.len(), people).part(Whole::GroupsByType, all, groups.len()),
        Cell::count(people, people).part(Whole::PeopleByType, all, people),
        Cell::count(all_packets, senders(in_groups.clone())).part(
            Whole::PacketsByType,
            all,
            all_packets,
        ),
        mean(in_groups),
    ];
    cells.resize_with(8, Cell::default);
    rows.push(row("all", Words::new("all", "全部"), cells));
    Section {
        id: "groups",
        title: Words::new("Types of groups", "社群类型"),
        columns: vec![
            column("groups", ("groups", "群数"), Unit::Count),
            column("accounts", ("accounts", "账户"), Unit::Count),
            column("packets", ("packets", "红包数"), Unit::Count),
            column("mean", ("mean ¥", "均值（元）"), Unit::Yuan),
            column("busiest", ("busiest", "最活跃"), Unit::Clock),
            column("active", ("active %", "活跃时段 %"), Unit::Percent),
            column("from_1_to_20", ("¥1–20 %", "1-20元 %"), Unit::Percent),
            column("from_5_to_50", ("¥5–50 %", "5-50元 %"), Unit::Percent),
        ],
        rows,
        notes: vec![
            gathered.source.words(),
            Words::new(
                "active: share of packets in the document's hours, which stand beside the busiest \
                 half-hour. *: the document says that most are, and no more",
                "活跃时段：落在文档所述时段（见“最活跃”列）内的红包占比。*：文档只说集中于此区间",
            ),
        ],
        known: Vec::new(),
    }
}

fn class_row(gathered: &Gathered, class: Class, groups: &BTreeSet<u32>, all_packets: usize) -> Row {
    let packets = || gathered.packets_of(class);
    let (count, who) = (packets().count(), senders(packets()));
    debug_assert!(count <= all_packets, "a class is a part of all");
    let people = gathered.people(groups);
    let within = |low: i64, high: i64| {
        let within = packets().filter(|packet| (low..=high).contains(&packet.fen));
        Cell::of(share(within.count(), count), who)
    };
    let HalfHours { halves, in_active, .. } = HalfHours::of(gathered, class);
    let busiest = (0..HALF_HOURS).rev().max_by_key(|&at| halves[at].count).unwrap_or(0);
    let bit = CLASSES.iter().position(|one| *one == class).map_or(0, |at| 1 << at);
    let mut cells = vec![
        Cell::count(groups.len(), people).part(Whole::GroupsByType, bit, groups.len()),
        Cell::count(people, people).part(Whole::PeopleByType, bit, people),
        Cell::count(count, who).part(Whole::PacketsByType, bit, count),
        mean(packets()),
        Cell::of(busiest as f64 / 2.0, who),
        Cell::default(),
        within(100, 2_000),
        within(500, 5_000),
    ];
    let document = |cell: &mut Cell, text: &str| *cell = std::mem::take(cell).beside(text);
    let Class::Type(kind) = class else { return row(class.id(), class.name(), cells) };
    if let Some((mean, hours)) = told(kind) {
        cells[5] = Cell::of(share(in_active.count, count), who);
        if in_active.hidden {
            cells[5].hide();
        }
        document(&mut cells[3], mean);
        document(&mut cells[4], hours);
    }
    match kind {
        GroupType::Family => document(&mut cells[6], scenes::NAMED),
        GroupType::Interest => document(&mut cells[7], "67"),
        _ => {}
    }
    row(class.id(), class.name(), cells)
}

/// The document's mean packet and active hours of a type.
fn told(kind: GroupType) -> Option<(&'static str, &'static str)> {
    match kind {
        GroupType::Family => Some(("8.7", "20-22")),
        GroupType::Interest => Some(("15.2", "19:30-21")),
        GroupType::Business => Some(("28.5", "14-16")),
        GroupType::Stranger => None,
    }
}

/// What went on at which hour, by type.
pub(super) fn hours(gathered: &Gathered) -> Vec<Hours> {
    let of = |class: Class| {
        let HalfHours { halves, all, active, .. } = HalfHours::of(gathered, class);
        let percent = |one: &Figure| {
            let percent = share(one.count, all);
            (!one.hidden).then(|| rounded(percent, Unit::Percent))
        };
        let percent = halves.iter().map(percent).collect();
        (all > 0).then(|| Hours { id: class.id(), name: class.name(), percent, active })
    };
    CLASSES.into_iter().filter_map(of).collect()
}

/// The packets of a class by half-hour, where what could be had of what is hidden is hidden as well.
struct HalfHours {
    halves: Vec<Figure>,
    all: usize,
    /// The document's active hours, where it names some.
    active: Option<(usize, usize)>,
    /// The packets in them.
    in_active: Figure,
}

impl HalfHours {
    fn of(gathered: &Gathered, class: Class) -> HalfHours {
        let mut halves = vec![(0, BTreeSet::new()); HALF_HOURS];
        for packet in gathered.packets_of(class) {
            let (count, who) = &mut halves[gathered.tables.half_hour(packet.time)];
            *count += 1;
            who.insert(packet.sender);
        }
        let active = match class {
            Class::Type(kind) => told(kind).map(|_| kind.habits().active),
            _ => None,
        };
        let sum = |from: usize, to: usize| {
            let those = &halves[from..to];
            let who: BTreeSet<u32> = those.iter().flat_map(|(_, who)| who).copied().collect();
            let count = those.iter().map(|(count, _)| count).sum();
            let hidden = Cell::count(count, who.len()).small;
            let atoms = (from..to).fold(0, |atoms, at| atoms | 1 << at);
            Figure { atoms, count, accounts: who.len(), hidden, fixed: false }
        };
        let mut figures: Vec<Figure> = (0..HALF_HOURS).map(|at| sum(at, at + 1)).collect();
        let all = Figure { hidden: false, fixed: true, ..sum(0, HALF_HOURS) };
        let count = all.count;
        let (from, to) = active.unwrap_or_default();
        // What is hidden beside a small half-hour then stands for both sums.
        figures.extend([sum(from, to), all]);
        close(&mut figures);
        let in_active = figures[HALF_HOURS].clone();
        figures.truncate(HALF_HOURS);
        HalfHours { halves: figures, all: count, active, in_active }
    }
}

fn money(gathered: &Gathered) -> Section {
    // What the run tells ends with its last event, which may be long before midnight.
    let (books, end) = (&gathered.tables.books, gathered.last);
    let flows = [
        (Flow::Family, "family", "among family and friends", "亲友互发"),
        (Flow::Business, "business", "business rebates", "商业返利"),
        (Flow::Gambling, "gambling", "gambling", "赌博资金"),
        (Flow::Other, "other", "other groups", "其他群"),
    ];
    let stays = ["180", "90", "40"];
    let mut rows = Vec::new();
    for (at, (flow, id, name, zh)) in flows.into_iter().enumerate() {
        let kept = books.kept_by_most(flow, end);
        let mut cells = vec![
            Cell::count(kept.accounts, kept.accounts),
            Cell::of(kept.received_fen as f64 / 100.0, kept.accounts),
            Cell::of(kept.turnover.0, kept.turnover.1),
            Cell::of(kept.stay_minutes.0, kept.stay_minutes.1),
            Cell::default(),
        ];
        let told = match flow {
            Flow::Family => gathered.names(GroupType::Family),
            Flow::Business => gathered.names(GroupType::Business),
            Flow::Gambling => gathered.names_gambling,
            Flow::Other => true,
        };
        if !told {
            cells[..4].fill(Cell::unknown());
        }
        if let (Some(turnover), Some(stay)) = (TURNOVER_TENTHS.get(at), stays.get(at)) {
            let turnover = format!("{:.1}", *turnover as f64 / 10.0);
            cells[2] = std::mem::take(&mut cells[2]).beside(turnover);
            cells[3] = std::mem::take(&mut cells[3]).beside(*stay);
        }
        rows.push(row(id, Words::new(name, zh), cells));
    }
    let (within, told) = books.recirculated(end);
    let within = if told == 0 { f64::NAN } else { within };
    let who = books.accounts();
    let mut cells = vec![Cell::count(who, who)];
    cells.resize_with(4, Cell::default);
    cells.push(Cell::of(within, books.recirculated_accounts(end)).beside("91"));
    rows.push(row("all", Words::new("all", "全部"), cells));
    let mut notes = vec![Words::new(
        "money of packets, first in first out, until a packet, transfer or withdrawal from the \
         balance takes it (a transfer or withdrawal of unknown funding does too); what lingqiantong \
         or a bank card pays ends no stay. Each row is of the accounts that received most of their \
         money so; packets outside of groups are among family and friends. Turnover: outflow a day \
         over mean balance. Stay: median of what moves on within a day. What came in during the last 24 hours of the run is in neither the stay nor what is on \
         within a day. Whoever runs a game and keeps the takings is in it too",
        "红包资金按先进先出，至余额发红包、转账、提现为止（来源未知的转账、提现同此）；零钱通、银行卡支付不结束滞留。\
         各行只含所收多数属于该类资金的账户；群外红包计入亲友互发。周转率：日流出额除以平均余额；滞留：一天内转出部分的中位时长。\
         运行最后 24 小时内收到的资金不计入滞留与 24 小时内流转。庄家等留存资金者也计入",
    )];
    notes = gathered.with_gap(notes);
    if gathered.tables.days < TURNOVER_DAYS_MIN {
        notes.push(Words::new(
            format!("in less than {TURNOVER_DAYS_MIN} days turnover cannot be told well"),
            format!("不足 {TURNOVER_DAYS_MIN} 天时周转率不可靠"),
        ));
    }
    Section {
        id: "money",
        title: Words::new("Turnover and stay of money", "资金周转与滞留"),
        columns: vec![
            column("accounts", ("accounts", "账户"), Unit::Count),
            column("received", ("received, yuan", "收到（元）"), Unit::Yuan),
            column("turnover", ("turnover a day", "周转率（次/日）"), Unit::Number),
            column("stay", ("stay, minutes", "滞留（分钟）"), Unit::Minutes),
            column("within_a_day", ("on within a day, %", "24小时内流转 %"), Unit::Percent),
        ],
        rows,
        notes,
        known: Vec::new(),
    }
}

fn ties(gathered: &Gathered) -> Section {
    let tables = &gathered.tables;
    let strong = |at: u32| gathered.class(at) == Class::Type(GroupType::Family);
    let weak = |at: u32| matches!(gathered.class(at), Class::Type(_)) && !strong(at);
    let mut rows = Vec::new();
    let kinds = [("strong", "强关系"), ("weak", "弱关系")];
    for (at, (name, zh)) in kinds.into_iter().enumerate() {
        let belongs = |group: u32| if at == 0 { strong(group) } else { weak(group) };
        let told = GroupType::ALL
            .into_iter()
            .any(|kind| (kind == GroupType::Family) == (at == 0) && gathered.names(kind));
        if !told {
            let mut cells = vec![Cell::unknown(); 3];
            cells[1] = Cell::unknown().beside(["12.7", "45.3"][at]);
            cells.push(Cell::default());
            rows.push(row(name, Words::new(name, zh), cells));
            continue;
        }
        let people = gathered.people(&gathered.groups_of(belongs));
        let days = gathered.member_ms[at] as f64 / DAY as f64;
        let month = if days > 0.0 { tables.acts[at] as f64 / days * 30.4 } else { f64::NAN };
        let packets = tables.packets.iter().filter(|packet| packet.group.is_some_and(belongs));
        let cells = vec![
            Cell::count(people, people),
            Cell::of(month, people).beside(["12.7", "45.3"][at]),
            mean(packets),
            Cell::default(),
        ];
        rows.push(row(name, Words::new(name, zh), cells));
    }
    for (kind, document) in [(GroupType::Family, "15"), (GroupType::Stranger, "22")] {
        let (class, (yuan, days)) = (Class::Type(kind), tables.member_day(kind));
        if !gathered.names(kind) {
            let mut cells = vec![Cell::unknown(), Cell::default(), Cell::default()];
            cells.push(Cell::unknown().beside(document));
            rows.push(row(class.id(), class.name(), cells));
            continue;
        }
        let groups = gathered.groups_of(|at| gathered.class(at) == class);
        let people = gathered.people(&groups);
        let who = senders(gathered.packets_of(class));
        let yuan = if days == 0 { f64::NAN } else { yuan };
        let cells = vec![
            Cell::count(people, people),
            Cell::default(),
            Cell::default(),
            Cell::of(yuan, who).beside(document),
        ];
        rows.push(row(class.id(), class.name(), cells));
    }
    Section {
        id: "ties",
        title: Words::new("Ties", "社交关系"),
        columns: vec![
            column("accounts", ("accounts", "账户"), Unit::Count),
            column("acts", ("acts a member and month", "月均互动（次）"), Unit::Number),
            column("mean", ("mean packet, yuan", "单包均值（元）"), Unit::Yuan),
            column("sender_day", ("sent a sender and day, yuan", "客单价（元）"), Unit::Yuan),
        ],
        rows,
        notes: gathered.with_gap(vec![Words::new(
            "strong: family groups; weak: groups of interest, business and strangers. Acts: packets \
             sent and claimed; a member counts from when it was first seen in the group to the last \
             event, for a day at least, and who never acts is not seen",
            "强关系：亲友群；弱关系：兴趣、商业、陌生人群。互动：发与领红包；成员自首次出现起计至最后一个事件，\
             至少计一天，从不活动者不可见",
        )]),
        known: Vec::new(),
    }
}

/// The age bands that are listed, those of most accounts; the others are one row.
const AGES_SHOWN: usize = 20;

/// What was sent by people of an age: by whom, packets, fen.
type Sent = (BTreeSet<u32>, usize, i64);

fn ages(gathered: &Gathered) -> Section {
    let tables = &gathered.tables;
    let mut sent: BTreeMap<&str, Sent> = BTreeMap::new();
    for packet in &tables.packets {
        let age = tables.accounts.get(&packet.sender).map_or("", |seen| seen.age_band.as_str());
        let (who, count, fen) = sent.entry(age).or_default();
        who.insert(packet.sender);
        *count += 1;
        *fen += packet.fen;
    }
    let mut bands: BTreeMap<&str, usize> = BTreeMap::new();
    for seen in tables.accounts.values() {
        *bands.entry(&seen.age_band).or_default() += 1;
    }
    let everybody: usize = bands.values().sum();
    // The very name of a band could tell of somebody.
    let mut bands: Vec<(&str, usize)> =
        bands.into_iter().filter(|(_, accounts)| *accounts >= SMALL_CELL).collect();
    bands.sort_by_key(|(_, accounts)| std::cmp::Reverse(*accounts));
    bands.truncate(AGES_SHOWN);
    bands.sort_unstable();
    let few = everybody - bands.iter().map(|(_, accounts)| accounts).sum::<usize>();
    let mut rows = Vec::new();
    for (age, accounts) in bands {
        let sent = sent.remove(age).unwrap_or_default();
        rows.push(age_row(gathered, age, accounts, &sent, 1 << rows.len()));
    }
    // Whoever is not listed sends too, and that is what is left of all packets.
    let rest = sent.values().fold(Sent::default(), |mut rest, (who, count, fen)| {
        rest.0.extend(who);
        (rest.0, rest.1 + count, rest.2 + fen)
    });
    let bit = 1 << rows.len();
    if few > 0 || rest.1 > 0 {
        let packets = Cell::count(rest.1, rest.0.len()).part(Whole::PacketsByAge, bit, rest.1);
        let mut cells = vec![Cell::count(few, few), packets];
        cells.resize_with(6, Cell::default);
        rows.push(row("other", Words::new("all others", "其余"), cells));
    }
    let known = vec![Part {
        whole: Whole::PacketsByAge,
        atoms: (1 << rows.len()) - 1,
        count: tables.packets.len(),
    }];
    Section {
        id: "ages",
        title: Words::new("Age bands", "年龄层"),
        columns: vec![
            column("accounts", ("accounts", "账户"), Unit::Count),
            column("packets", ("packets sent", "发出红包"), Unit::Count),
            column("mean", ("mean, yuan", "均值（元）"), Unit::Yuan),
            column("relays", ("join relays, %", "参与接龙 %"), Unit::Percent),
            column("contacts", ("widen contacts, %", "拓展人脉 %"), Unit::Percent),
            column("watchers", ("rather watch, %", "只看少抢 %"), Unit::Percent),
        ],
        rows,
        notes: vec![Words::new(
            "join relays: of those with three relay packets in their groups; widen contacts: are in \
             a group other than of family; rather watch: claim at most 18 % of 14 packets or more \
             in their groups. Age is shown and never scores",
            "参与接龙：群内出现过至少三个接龙红包者；拓展人脉：在亲友群以外的群中；只看少抢：群内至少 14 \
             个红包而领取不超过 18%。年龄仅供展示，不参与评分",
        )],
        known,
    }
}

fn age_row(gathered: &Gathered, age: &str, accounts: usize, sent: &Sent, bit: u64) -> Row {
    let (tables, (who, count, fen)) = (&gathered.tables, sent);
    let measured = |(percent, of): (f64, usize), known: &str, document: &str| {
        let cell = if of == 0 { Cell::default() } else { Cell::of(percent, of) };
        if age == known { cell.beside(document) } else { cell }
    };
    let contacts = match gathered.named.is_empty() {
        true => Cell::unknown(),
        false => measured(tables.contacts_widened(age), "26-45", "41"),
    };
    let cells = vec![
        Cell::count(accounts, accounts),
        Cell::count(*count, who.len()).part(Whole::PacketsByAge, bit, *count),
        Cell::of(*fen as f64 / 100.0 / (*count).max(1) as f64, who.len()),
        measured(tables.relays_joined(age), "18-25", "73"),
        contacts,
        measured(tables.watchers(age), "46+", "83"),
    ];
    match age {
        "" => row("unknown", Words::new("unknown", "未知"), cells),
        known => row(known, Words::new(known, known), cells),
    }
}

fn platforms(gathered: &Gathered) -> Section {
    let people = |name: &str| gathered.platforms.get(name).map_or(0, |one| one.accounts.len());
    let wechat = people("wechat");
    let all: usize = gathered.platforms.values().map(|one| one.packets).sum();
    let mut rows = Vec::new();
    for (id, name, zh, document) in [
        ("wechat", "WeChat", "微信", None),
        ("alipay", "Alipay", "支付宝", Some("<33")),
        ("douyin", "Douyin", "抖音", Some("60")),
        ("other", "other", "其他", None),
        ("", "unknown", "未知", None),
    ] {
        let Some(platform) = gathered.platforms.get(id) else { continue };
        let who = platform.accounts.len();
        let ratio = if wechat == 0 || id.is_empty() {
            Cell::default()
        } else {
            Cell::of(share(who, wechat), who.min(wechat))
        };
        let part = |cell: Cell| {
            let bit = 1 << rows.len();
            cell.part(Whole::PacketsByPlatform, bit, platform.packets)
        };
        let cells = vec![
            Cell::count(who, who),
            part(Cell::count(platform.packets, who)),
            part(Cell::of(share(platform.packets, all), who)),
            Cell::of(platform.fen as f64 / 100.0 / platform.packets.max(1) as f64, who),
            match document {
                Some(document) => ratio.beside(document),
                None => ratio,
            },
        ];
        let id = if id.is_empty() { "unknown" } else { id };
        rows.push(row(id, Words::new(name, zh), cells));
    }
    let known =
        vec![Part { whole: Whole::PacketsByPlatform, atoms: (1 << rows.len()) - 1, count: all }];
    Section {
        id: "platforms",
        title: Words::new("Platforms", "平台"),
        columns: vec![
            column("accounts", ("who sends or claims", "收发账户"), Unit::Count),
            column("packets", ("packets", "红包数"), Unit::Count),
            column("share", ("of packets, %", "占比 %"), Unit::Percent),
            column("mean", ("mean, yuan", "均值（元）"), Unit::Yuan),
            column("of_wechat", ("accounts, % of WeChat's", "账户为微信的 %"), Unit::Percent),
        ],
        rows,
        notes: vec![Words::new(
            "60: Douyin's participants in the spring festival of 2022",
            "60：2022 年春节抖音红包活动参与人次",
        )],
        known,
    }
}
