//! The entries of the catalogue that nobody declares: fields, attributes, built-in features.

use std::collections::BTreeMap;

use super::catalogue::Cluster;
use super::declare::{Agg, Body, Declaration, Window, Windowed};
use super::kept;
use super::plan::Source;
use super::text::{self, Lexicon};
use crate::event::{FIELDS, FieldId, Kind, KindSet, Schema, Type};

/// The sides of a transaction whose attributes can be read, with the events that carry them and
/// the field of the transaction that names the side.
const SIDES: [(&str, Kind, &str, &str); 4] = [
    ("payer", Kind::Account, "account_id", "payer_id"),
    ("payee", Kind::Account, "account_id", "payee_id"),
    ("account", Kind::Account, "account_id", "account_id"),
    ("group", Kind::Group, "group_id", "group_id"),
];

/// The names and meanings of the standard fields in Chinese, in the order of [`FIELDS`].
const FIELDS_ZH: [(&str, &str); FIELDS.len()] = [
    ("事件编号", "事件的唯一编号"),
    ("发生时间", "发生时间,1970 年起的毫秒数(UTC)"),
    ("事件类型", "发生了什么:发包、领取、转账等"),
    ("行为账号", "发起事件的账号"),
    ("对方账号", "对方账号:领取时为发包人,转账时为收款人"),
    ("群", "所在的群"),
    ("红包", "红包编号"),
    ("金额", "金额(分)"),
    ("次序", "同一时刻内的先后次序"),
    ("份数", "红包份数"),
    ("玩法", "红包玩法"),
    ("资金来源", "付款资金从何而来"),
    ("设备", "所用设备的编号"),
    ("网络地址", "所用网络的地址"),
    ("地区", "行政区划代码(GB/T 2260)"),
    ("平台", "所用的应用"),
    ("年龄段", "账号的年龄段"),
    ("注册时间", "账号注册时间,1970 年起的毫秒数(UTC)"),
    ("是否实名", "账号是否已实名认证"),
    ("文本", "附言、消息或群名"),
    ("认定结果", "事后认定:fraud 或 honest"),
    ("欺诈类型", "属于哪一类欺诈"),
    ("认定对象种类", "认定对象的种类"),
    ("认定对象编号", "认定对象的编号"),
];

/// One name of the catalogue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its type.
    pub kind: Type,
    /// What a field is called in Chinese; empty for all else, whose meaning is said instead.
    pub name_zh: String,
    /// What it means.
    pub doc: String,
    /// What it means, in Chinese.
    pub doc_zh: String,
    /// Its unit; empty where there is none.
    pub unit: String,
    /// When it misleads.
    pub misleads: String,
    /// The texts that its values can be, where they are a closed set.
    pub values: Option<Vec<String>>,
    pub(super) source: EntrySource,
}

impl Entry {
    /// Whether it is what an `account` or `group` event last said of a side of the transaction.
    pub fn is_attribute(&self) -> bool {
        self.source == EntrySource::Attribute
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EntrySource {
    Field(FieldId),
    Payer,
    Payee,
    /// Index among the declarations.
    Declared(usize),
    Text(usize),
    /// Place among the kept features.
    Kept(usize),
    Cluster(Cluster),
    Attribute,
}

pub(super) fn entry(kind: Type, source: EntrySource, doc: &str, doc_zh: &str, unit: &str) -> Entry {
    Entry {
        kind,
        name_zh: String::new(),
        doc: doc.to_owned(),
        doc_zh: doc_zh.to_owned(),
        unit: unit.to_owned(),
        misleads: String::new(),
        values: None,
        source,
    }
}

/// The values of a field, where they are a closed set.
fn values_of(schema: &Schema, field: FieldId) -> Option<Vec<String>> {
    let values = schema.field(field).bound.values()?;
    Some(values.iter().map(|value| (*value).to_owned()).collect())
}

pub(super) fn add_fields(entries: &mut BTreeMap<String, Entry>, schema: &Schema) {
    for (at, field) in schema.fields().iter().enumerate() {
        let doc = FIELDS.get(at).map_or("a column of one's own", |(_, _, _, doc)| doc);
        let unit = match field.name.as_str() {
            "amount_fen" => "fen",
            "event_time" | "registered_at" => "ms since 1970 UTC",
            _ => "",
        };
        let source = EntrySource::Field(FieldId(at as u16));
        let (name_zh, doc_zh) = FIELDS_ZH.get(at).copied().unwrap_or(("", "自有数据列"));
        let own = entry(field.kind, source, doc, doc_zh, unit);
        let values = values_of(schema, FieldId(at as u16));
        let own = Entry { name_zh: name_zh.to_owned(), values: values.clone(), ..own };
        entries.insert(field.name.clone(), own);
        for (side, _, _, by) in SIDES {
            let doc = format!("{}, as last said of the {by}: {doc}", field.name);
            let doc_zh = format!("{by} 最近一次登记的 {}:{doc_zh}", field.name);
            let of_side = entry(field.kind, EntrySource::Attribute, &doc, &doc_zh, unit);
            let (name_zh, values) = (name_zh.to_owned(), values.clone());
            let of_side = Entry { name_zh, values, ..of_side };
            entries.insert(format!("{side}.{}", field.name), of_side);
        }
    }
    let sides = [
        ("payer_id", EntrySource::Payer, "who pays", "付款方", "付款的账号"),
        ("payee_id", EntrySource::Payee, "who is paid", "收款方", "收款的账号"),
    ];
    for (name, source, doc, name_zh, doc_zh) in sides {
        let side = entry(Type::Str, source, doc, doc_zh, "");
        entries.insert(name.to_owned(), Entry { name_zh: name_zh.to_owned(), ..side });
    }
}

pub(super) fn add_built_in(entries: &mut BTreeMap<String, Entry>, lexicon: &Lexicon) {
    for (at, text) in text::entries(lexicon).into_iter().enumerate() {
        let mut entry =
            entry(text.kind, EntrySource::Text(at), &text.doc, &text.doc_zh, &text.unit);
        entry.misleads = text.misleads;
        entries.insert(text.name, entry);
    }
    kept::add(entries);
    let clusters = [
        (
            "devices.cluster_accounts",
            Type::Int,
            Cluster::Accounts,
            "accounts linked to this one by shared devices, itself included",
            "通过共享设备与该账号相连的账号数(含自身)",
            "accounts",
        ),
        (
            "devices.cluster_groups",
            Type::Int,
            Cluster::Groups,
            "distinct groups in which the linked accounts acted",
            "相连账号活动过的群数",
            "groups",
        ),
        (
            "devices.cluster_id",
            Type::Str,
            Cluster::Id,
            "smallest account_id among the linked accounts",
            "相连账号中最小的 account_id",
            "",
        ),
    ];
    for (name, kind, cluster, doc, doc_zh, unit) in clusters {
        let mut entry = entry(kind, EntrySource::Cluster(cluster), doc, doc_zh, unit);
        entry.misleads =
            "as of the graph tick before last; devices with more accounts than hub_limit link nobody: \
             devices.accounts_30d tells of the transaction's own, and the report of a run how often \
             that was so"
                .to_owned();
        entries.insert(name.to_owned(), entry);
    }
}

pub(super) fn declared(schema: &Schema, declaration: &Declaration, at: usize) -> Entry {
    let kind = match &declaration.body {
        // The type of an expression is found when all names are known.
        Body::Expr { .. } => Type::Int,
        Body::Learnt { learnt, .. } => learnt.gives.kind(),
        Body::Windowed(windowed) => match &windowed.agg {
            Agg::First(field) | Agg::Last(field) => {
                Source::find(schema, field).map_or(Type::Int, |source| source.kind(schema))
            }
            Agg::Mean(_)
            | Agg::Stddev(_)
            | Agg::RatioToMean
            | Agg::TopShare(_)
            | Agg::Entropy(..) => Type::Double,
            _ => Type::Int,
        },
    };
    let values = match &declaration.body {
        Body::Expr { .. } => None,
        Body::Learnt { learnt, .. } => learnt.classes(),
        Body::Windowed(Windowed { agg: Agg::First(field) | Agg::Last(field), .. }) => {
            schema.find(field).and_then(|field| values_of(schema, field))
        }
        Body::Windowed(_) => None,
    };
    Entry {
        kind,
        name_zh: String::new(),
        values,
        doc: declaration.doc.clone(),
        doc_zh: declaration.doc_zh.clone(),
        unit: declaration.unit.clone(),
        misleads: declaration.misleads.clone(),
        source: EntrySource::Declared(at),
    }
}

/// The feature behind `payer.verified` and the like: what was last said of that side.
pub(super) fn attribute(name: &str) -> Option<Windowed> {
    let (side, field) = name.split_once('.')?;
    let (_, kind, key, at) = SIDES.into_iter().find(|(held, ..)| *held == side)?;
    Some(Windowed {
        over: KindSet::from_iter([kind]),
        where_: None,
        key: vec![key.to_owned()],
        at: vec![at.to_owned()],
        agg: Agg::Last(field.to_owned()),
        window: Window::Forever,
        include_current: true,
    })
}
