//! What is remembered of the events of a run, for the tables.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array as _, AsArray as _};
use hashbrown::HashMap;
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

use super::Words;
use crate::diagnostic::{Failure, Message};
use crate::event::{
    ACCOUNT_ID, AGE_BAND, AMOUNT_FEN, EVENT_TIME, FUNDING, GROUP_ID, Kind, PACKET_ID, PLATFORM,
    PLAY, REGION, TEXT, Value,
};
use crate::finished::{Events, FinishedRun};
use crate::judge::{Labels, Subject};
use crate::simulate::fidelity::tables::{Packet, Tables};
use crate::simulate::figures::{DAY, GroupType};
use crate::source::Progress;
use crate::source::order::Slice;

/// The feature that tells the type of a transaction's group.
const TYPE_FEATURE: &str = "social.group.type";
/// The same by a trained model, where the rules declare it under this name.
const LEARNT_FEATURE: &str = "social.group.type_model";
/// Columns of one's own that may tell the type of a group, on its event.
const TYPE_EXTRAS: [&str; 2] = ["extra.group_type", "extra.type"];
/// Of types that as many of a group's transactions have, the first of these is the group's: the order
/// of the feature social.group.type. Others come after them by name.
const ORDER: [&str; 4] = ["gambling", "family", "interest", "business"];
/// Where neither tells, a group is of no known type.
const UNKNOWN: &str = "";

/// Whence the types of groups come: the first of these that tells of any group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeSource {
    /// The feature `social.group.type_model`, which a trained model gives.
    Model,
    /// The feature `social.group.type`.
    Features,
    /// The roles of groups in the labels, as the generator writes them.
    Labels,
    /// A column of one's own on group events.
    Events,
    /// Nothing tells.
    None,
}

impl TypeSource {
    /// Every source that may tell, in the order in which they are asked.
    pub const ALL: [TypeSource; 4] =
        [TypeSource::Model, TypeSource::Features, TypeSource::Labels, TypeSource::Events];

    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            TypeSource::Model => "model",
            TypeSource::Features => "features",
            TypeSource::Labels => "labels",
            TypeSource::Events => "events",
            TypeSource::None => "none",
        }
    }

    /// What it reads, for whoever asked for it in vain.
    fn reads(self) -> Words {
        match self {
            TypeSource::Model => Words::new(
                "the feature social.group.type_model on transactions in groups",
                "群内交易的特征 social.group.type_model",
            ),
            TypeSource::Features => Words::new(
                "the feature social.group.type on transactions in groups",
                "群内交易的特征 social.group.type",
            ),
            TypeSource::Labels => Words::new("labels of groups", "群标签"),
            TypeSource::Events => Words::new(
                "extra.group_type or extra.type on group events",
                "群事件上的 extra.group_type 或 extra.type",
            ),
            TypeSource::None => Words::default(),
        }
    }

    pub(super) fn words(self) -> Words {
        match self {
            TypeSource::Model => Words::new(
                format!(
                    "the model behind social.group.type_model, by what most of a group's \
                     transactions have, of as many the first of {}",
                    ORDER.join(", ")
                ),
                format!(
                    "特征 social.group.type_model 的模型，取群内多数交易的值，同数时依次取 {}",
                    ORDER.join("、")
                ),
            ),
            TypeSource::Features => Words::new(
                format!(
                    "the feature social.group.type, by what most of a group's transactions have, \
                     of as many the first of {}",
                    ORDER.join(", ")
                ),
                format!(
                    "特征 social.group.type，取群内多数交易的值，同数时依次取 {}",
                    ORDER.join("、")
                ),
            ),
            TypeSource::Labels => Words::new(
                "the labels of groups: the role of honest ones, the typology of others",
                "群标签：正常群取角色，其余取类型",
            ),
            TypeSource::Events => Words::new("the type on group events", "群事件上的类型列"),
            TypeSource::None => Words::new(
                "nothing in this run tells the type of any group, so all are unknown: labels of \
                 groups would, extra.group_type on group events, or rules with the feature \
                 social.group.type where packets are sent in groups",
                "本次运行没有任何群的类型信息，全部计为未知；群标签、群事件上的 extra.group_type，\
                 或（群内有红包时）使用特征 social.group.type 的规则可提供",
            ),
        }
    }
}

/// Everything that the tables are made of.
pub(super) struct Gathered {
    pub(super) tables: Tables,
    pub(super) source: TypeSource,
    /// The types that the source names of any group, and whether it names gambling.
    pub(super) named: Vec<GroupType>,
    pub(super) names_gambling: bool,
    pub(super) events: usize,
    pub(super) first: i64,
    pub(super) last: i64,
    /// Who is in which group.
    pub(super) members: BTreeMap<u32, BTreeSet<u32>>,
    /// How long members are seen in groups of strong ties and of weak ones, added up.
    pub(super) member_ms: [i64; 2],
    /// By what was said with it: the scenes of a packet, beside its number in the tables.
    pub(super) memos: Vec<(u32, Option<usize>)>,
    /// By platform: who acts, packets, fen.
    pub(super) platforms: BTreeMap<String, Platform>,
    /// The province of an account, where an event of it tells one.
    pub(super) provinces: BTreeMap<u32, u32>,
    /// Groups that are banned at the end, and groups that labels call fraud.
    pub(super) banned: BTreeSet<u32>,
    pub(super) found: BTreeSet<u32>,
}

/// What goes on on a platform.
#[derive(Default)]
pub(super) struct Platform {
    pub(super) accounts: BTreeSet<u32>,
    pub(super) packets: usize,
    pub(super) fen: i64,
}

/// Reads a run and gathers what the tables need.
pub(super) fn gather(
    run: &FinishedRun,
    wanted: Option<TypeSource>,
    progress: &dyn Progress,
) -> Result<Gathered, Failure> {
    let events = run.events(progress)?;
    let labels = run.labels()?;
    let mut gatherer = Gatherer::default();
    let (types, source) = types(run, &events, labels.as_ref(), (wanted, progress))?;
    let banned = run.entities()?;
    let banned: BTreeSet<String> = banned
        .into_iter()
        .filter(|entity| entity.subject_kind == "group" && entity.verdict == "ban")
        .map(|entity| entity.subject_id)
        .collect();
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    events.each_slice(progress, &mut |slice| {
        for row in 0..slice.chunk.len() {
            let time = slice.chunk.int(EVENT_TIME, row);
            (first, last) = (first.min(time), last.max(time));
        }
    })?;
    if events.is_empty() {
        (first, last) = (0, 0);
    }
    let tables = &mut gatherer.tables;
    tables.start = run.zone().day_start(first);
    tables.days = match events.is_empty() {
        true => 0,
        false => (last - tables.start).div_euclid(DAY) + 1,
    };
    tables.ordinary_days = (0..tables.days).collect();
    gatherer.groups_of(&types);
    events.each_slice(progress, &mut |slice| gatherer.slice(slice))?;
    let ids = |wanted: &dyn Fn(&str) -> bool| {
        let found = gatherer.groups.0.iter().filter(|(id, _)| wanted(id));
        found.map(|(_, at)| *at).collect::<BTreeSet<u32>>()
    };
    let is_fraud = |id: &str| {
        let label = labels.as_ref().and_then(|labels| labels.get(Subject::Group, id));
        label.is_some_and(|label| label.fraud)
    };
    let (banned, found) = (ids(&|id| banned.contains(id)), ids(&is_fraud));
    let (members, member_ms) = gatherer.members(last);
    let named = |name: &str| types.values().any(|kind| kind == name);
    Ok(Gathered {
        source,
        named: GroupType::ALL.into_iter().filter(|kind| named(kind.name())).collect(),
        names_gambling: named("gambling"),
        events: events.len(),
        first,
        last,
        members,
        member_ms,
        memos: gatherer.memos,
        platforms: gatherer.platforms,
        provinces: gatherer.provinces,
        banned,
        found,
        tables: gatherer.tables,
    })
}

/// The types of groups by id, of the source that is wanted, or of the first that knows any.
fn types(
    run: &FinishedRun,
    events: &Events,
    labels: Option<&Labels>,
    (wanted, progress): (Option<TypeSource>, &dyn Progress),
) -> Result<(BTreeMap<String, String>, TypeSource), Failure> {
    let mut others = Vec::new();
    let rest = TypeSource::ALL.into_iter().filter(|source| Some(*source) != wanted);
    for source in wanted.into_iter().chain(rest) {
        let types = types_by(run, events, labels, (source, progress))?;
        if types.values().all(|kind| kind == UNKNOWN) {
            continue;
        }
        if wanted.is_none_or(|wanted| wanted == source) {
            return Ok((types, source));
        }
        others.push(source.name());
    }
    match wanted.filter(|_| !events.is_empty()) {
        Some(wanted) => Err(untold(wanted, &others)),
        None => Ok((BTreeMap::new(), TypeSource::None)),
    }
}

/// A source was asked for that tells of no group.
fn untold(wanted: TypeSource, others: &[&str]) -> Failure {
    let (name, reads) = (wanted.name(), wanted.reads());
    let (en, zh) = match others.is_empty() {
        true => ("no other source does either".to_owned(), "其他来源也没有".to_owned()),
        false => (
            format!("these sources do: {}", others.join(", ")),
            format!("有群类型的来源：{}", others.join("、")),
        ),
    };
    Failure::Usage(Message::new(
        format!(
            "--group-types {name}: it reads {}, and in this run that tells the type of no group; {en}",
            reads.en
        ),
        format!("--group-types {name}：读取{}，而该运行中没有由此得知类型的群；{zh}", reads.zh),
    ))
}

/// The types of groups by id, as a source tells them.
fn types_by(
    run: &FinishedRun,
    events: &Events,
    labels: Option<&Labels>,
    (source, progress): (TypeSource, &dyn Progress),
) -> Result<BTreeMap<String, String>, Failure> {
    let feature = match source {
        TypeSource::Model => Some(LEARNT_FEATURE),
        TypeSource::Features => Some(TYPE_FEATURE),
        TypeSource::Labels | TypeSource::Events | TypeSource::None => None,
    };
    let mut types = BTreeMap::new();
    if let Some(feature) = feature {
        if run.feature_names()?.iter().any(|name| name == feature) {
            types = types_by_feature(run, events, feature, progress)?;
        }
        return Ok(types);
    }
    if source == TypeSource::Labels && labels.is_none() {
        return Ok(types);
    }
    events.each_slice(progress, &mut |slice| {
        let chunk = &slice.chunk;
        let extra = TYPE_EXTRAS.iter().find_map(|name| chunk.schema().find(name));
        for row in 0..chunk.len() {
            let group = chunk.str(GROUP_ID, row);
            if group.is_empty() {
                continue;
            }
            match labels.filter(|_| source == TypeSource::Labels) {
                Some(labels) if !types.contains_key(group) => {
                    types.insert(group.to_owned(), label_type(labels, group).to_owned());
                }
                None if chunk.kind(row) == Kind::Group => {
                    if let Some(Value::Str(kind)) = extra.map(|field| chunk.value(field, row)) {
                        types.insert(group.to_owned(), kind.to_owned());
                    }
                }
                _ => {}
            }
        }
    })?;
    Ok(types)
}

fn label_type<'l>(labels: &'l Labels, group: &str) -> &'l str {
    let Some(label) = labels.get(Subject::Group, group) else { return UNKNOWN };
    let name = |at: Option<u16>, of: &'l [String]| at.map(|at| of[usize::from(at)].as_str());
    if label.fraud {
        let typology = name(label.typology, labels.typologies()).unwrap_or(UNKNOWN);
        return if typology.starts_with("gambling") { "gambling" } else { UNKNOWN };
    }
    name(label.role, labels.roles()).unwrap_or(UNKNOWN)
}

fn types_by_feature(
    run: &FinishedRun,
    events: &Events,
    feature: &str,
    progress: &dyn Progress,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut names: Vec<String> = Vec::new();
    let mut of_row: Vec<u8> = Vec::new();
    run.features(&|name| name == feature, &mut |_, batch| {
        let Some(column) = batch.column(0).as_string_opt::<i32>() else { return };
        for row in 0..column.len() {
            if column.is_null(row) {
                of_row.push(u8::MAX);
                continue;
            }
            let name = column.value(row);
            let at = names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name.to_owned());
                names.len() - 1
            });
            of_row.push(at.min(254) as u8);
        }
    })?;
    let mut counts: BTreeMap<String, BTreeMap<u8, u64>> = BTreeMap::new();
    let mut transaction = 0;
    events.each_slice(progress, &mut |slice| {
        for row in 0..slice.chunk.len() {
            if !slice.chunk.kind(row).is_transaction() {
                continue;
            }
            let kind = of_row.get(transaction).copied().unwrap_or(u8::MAX);
            transaction += 1;
            let group = slice.chunk.str(GROUP_ID, row);
            if !group.is_empty() && kind != u8::MAX {
                *counts.entry(group.to_owned()).or_default().entry(kind).or_default() += 1;
            }
        }
    })?;
    let name = |at: u8| names.get(usize::from(at)).map_or(UNKNOWN, String::as_str);
    let place = |name: &str| ORDER.iter().position(|held| *held == name).unwrap_or(ORDER.len());
    let most = |counts: BTreeMap<u8, u64>| {
        let counts = counts.into_iter().map(|(at, count)| (Reverse(count), name(at)));
        let most = counts.min_by_key(|(count, name)| (*count, place(name), *name));
        most.map_or(UNKNOWN, |(_, name)| name).to_owned()
    };
    Ok(counts.into_iter().map(|(group, counts)| (group, most(counts))).collect())
}

/// Ids as numbers, in the order in which they came up.
#[derive(Default)]
struct Numbers(HashMap<String, u32, Xxh3DefaultBuilder>);

impl Numbers {
    fn of(&mut self, id: &str) -> Option<u32> {
        if id.is_empty() {
            return None;
        }
        if let Some(at) = self.0.get(id) {
            return Some(*at);
        }
        let at = self.0.len() as u32;
        self.0.insert(id.to_owned(), at);
        Some(at)
    }
}

#[derive(Default)]
struct Gatherer {
    tables: Tables,
    accounts: Numbers,
    groups: Numbers,
    packets: Numbers,
    /// When somebody was first seen in a group.
    since: BTreeMap<(u32, u32), i64>,
    memos: Vec<(u32, Option<usize>)>,
    platforms: BTreeMap<String, Platform>,
    provinces: BTreeMap<u32, u32>,
}

impl Gatherer {
    fn groups_of(&mut self, types: &BTreeMap<String, String>) {
        for (id, name) in types {
            let Some(at) = self.groups.of(id) else { continue };
            let group = self.tables.groups.entry(at).or_default();
            group.kind = GroupType::ALL.into_iter().find(|kind| kind.name() == name);
            group.gambles = name == "gambling";
        }
    }

    fn slice(&mut self, slice: &Slice) {
        for row in 0..slice.chunk.len() {
            self.event(slice, row);
        }
    }

    fn event(&mut self, slice: &Slice, row: usize) {
        let chunk = &slice.chunk;
        let kind = chunk.kind(row);
        let time = chunk.int(EVENT_TIME, row);
        let group = self.groups.of(chunk.str(GROUP_ID, row));
        if let Some(group) = group {
            let seen = self.tables.groups.entry(group).or_default();
            // The document tells of all groups, and not only of those that were there at first.
            seen.settled = true;
            // An event that tells of no region takes none away.
            if let (Kind::Group, Some(province)) = (kind, province(chunk.str(REGION, row))) {
                seen.province = province;
            }
        }
        let Some(account) = self.accounts.of(chunk.str(ACCOUNT_ID, row)) else { return };
        // Who acts is of an age, known or not.
        let seen = self.tables.accounts.entry(account).or_default();
        if kind == Kind::Account
            && let Value::Str(age) = chunk.value(AGE_BAND, row)
        {
            seen.age_band = age.to_owned();
        }
        if let Some(province) = province(chunk.str(REGION, row)).filter(|_| kind != Kind::Group) {
            self.provinces.insert(account, province);
        }
        if let Some(group) = group.filter(|_| kind != Kind::Group && kind != Kind::Refund) {
            self.tables.present(group, account);
            self.since.entry((group, account)).or_insert(time);
        }
        let fen = chunk.int(AMOUNT_FEN, row);
        let known = chunk.str(FUNDING, row);
        match kind {
            Kind::Send => {
                self.platform(chunk.str(PLATFORM, row), account, Some(fen));
                let relay = chunk.str(PLAY, row) == "relay";
                self.sent(
                    chunk.str(PACKET_ID, row),
                    chunk.str(TEXT, row),
                    Packet {
                        time,
                        sender: account,
                        group,
                        fen,
                        fraud: false,
                        ordinary: true,
                        relay,
                        stars: 0,
                    },
                );
            }
            Kind::Claim => {
                self.platform(chunk.str(PLATFORM, row), account, None);
                let packet = self.packets.0.get(chunk.str(PACKET_ID, row)).copied();
                if let Some(packet) = packet.map(|at| self.tables.packets[at as usize]) {
                    self.tables.claimed(packet, account, false);
                }
                let flow = self.tables.flow(group);
                self.tables.books.receive(account, flow, time, fen);
            }
            Kind::Transfer | Kind::Withdraw if matches!(known, "" | "balance") => {
                self.tables.books.pay(account, time, fen);
            }
            _ => {}
        }
        if kind == Kind::Send && known == "balance" {
            self.tables.books.pay(account, time, fen);
        }
    }

    fn sent(&mut self, id: &str, memo: &str, packet: Packet) {
        let at = self.tables.packets.len() as u32;
        if !id.is_empty() {
            self.packets.0.insert(id.to_owned(), at);
        }
        if !memo.is_empty() {
            self.memos.push((at, super::scenes::scene(memo)));
        }
        self.tables.sent(packet);
    }

    fn platform(&mut self, name: &str, account: u32, sent: Option<i64>) {
        if !self.platforms.contains_key(name) {
            self.platforms.insert(name.to_owned(), Platform::default());
        }
        let Some(platform) = self.platforms.get_mut(name) else { return };
        platform.accounts.insert(account);
        platform.packets += usize::from(sent.is_some());
        platform.fen += sent.unwrap_or(0);
    }

    /// Who is in which group, and how long members are seen in groups of strong ties and of weak
    /// ones: until the last event, and for a day at least, for who came just before it has acted
    /// already, which is no rate.
    fn members(&self, last: i64) -> (BTreeMap<u32, BTreeSet<u32>>, [i64; 2]) {
        let mut members: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        let mut member_ms = [0; 2];
        for (&(group, account), &since) in &self.since {
            members.entry(group).or_default().insert(account);
            if let Some(kind) = self.tables.groups.get(&group).and_then(|group| group.kind) {
                member_ms[usize::from(kind != GroupType::Family)] += (last - since).max(DAY);
            }
        }
        (members, member_ms)
    }
}

/// The province of a code of GB/T 2260: its first two digits.
fn province(region: &str) -> Option<u32> {
    let digits = region.get(..2).filter(|two| two.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse::<u32>().ok().map(|code| code * 10_000)
}
