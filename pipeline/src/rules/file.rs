//! One rule file, as written and checked for all that can be known without the catalogue.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::decision::Verdict;
use crate::diagnostic::{Diagnostic, Message};
use crate::document::{Node, Reader, Text, integer_of};
use crate::event::{Kind, KindSet};
use crate::expr::{Constant, Param, Unit, duration, yuan};
use crate::features::declare::kinds;

/// The keys of a rule file.
pub const KEYS: [&str; 18] = [
    "title",
    "title_zh",
    "description",
    "owner",
    "references",
    "status",
    "rollout",
    "on",
    "when",
    "score",
    "floor",
    "effect",
    "reason",
    "reason_zh",
    "falsepositives",
    "params",
    "test",
    "tags",
];

/// Whether a rule runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Checked, not run.
    Draft,
    /// Run, and shown, and without effect.
    Shadow,
    /// Run with effect.
    Live,
    /// Kept for the record, not run.
    Retired,
}

impl Status {
    /// Every status with its name.
    pub const ALL: [(&str, Status); 4] = [
        ("draft", Status::Draft),
        ("shadow", Status::Shadow),
        ("live", Status::Live),
        ("retired", Status::Retired),
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        Status::ALL.iter().find(|(_, status)| *status == self).map_or("", |(name, _)| name)
    }
}

/// A share of the values of one name, the same ones each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// 0 to 100.
    pub percent: i64,
    /// The name.
    pub by: Text,
}

/// A rule as written.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// The file's stem.
    pub id: String,
    /// The file.
    pub path: PathBuf,
    /// The dimension: the folder in which it stands.
    pub dimension: String,
    /// A short title, in English and Chinese.
    pub title: String,
    /// In Chinese.
    pub title_zh: String,
    /// What it is about, at length.
    pub description: String,
    /// Whether it runs.
    pub status: Status,
    /// For whom it runs; none: for all.
    pub rollout: Option<Rollout>,
    /// The kinds of transactions that it looks at.
    pub on: KindSet,
    /// The condition.
    pub when: Text,
    /// What a hit adds to the score.
    pub score: i64,
    /// What a hit decides at least.
    pub floor: Verdict,
    /// Whether a hit allows.
    pub allows: bool,
    /// The reason given, with names in braces.
    pub reason: Text,
    /// In Chinese.
    pub reason_zh: Option<Text>,
    /// Honest cases that look alike.
    pub falsepositives: Vec<String>,
    /// Parameters by name.
    pub params: BTreeMap<String, Param>,
}

/// Reads a rule file: the rule if enough of it is there, and every mistake.
pub fn read(path: &Path, text: &str) -> (Option<RuleFile>, Vec<Diagnostic>) {
    let mut reader = Reader::new(path, text);
    let root = reader.parse();
    let rule = rule(&mut reader, path, root.get_ref(), 0..text.find('\n').unwrap_or(text.len()));
    (rule, reader.finish())
}

fn rule(
    reader: &mut Reader<'_>,
    path: &Path,
    table: &DeTable<'_>,
    top: Range<usize>,
) -> Option<RuleFile> {
    reader.known_keys(table, &KEYS);
    reader.required_keys(table, top, &["title", "status", "on", "when", "score", "reason"]);
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let id = stem(path).unwrap_or_default();
    let dimension = path.parent().and_then(stem).unwrap_or_default();
    let mut words = |key| reader.string(table, key).map(Text::into_inner).unwrap_or_default();
    let (title, title_zh, description) = (words("title"), words("title_zh"), words("description"));
    let status = reader.string(table, "status");
    let status = status.and_then(|text| reader.choice("status", &text, &Status::ALL));
    let rollout = rollout(reader, table);
    let on = kinds(reader, table, "on");
    check_transactions(reader, table, on);
    let when = reader.string(table, "when");
    let score = reader.integer(table, "score", 0..=1000);
    let floor = reader.string(table, "floor").and_then(|text| {
        let floors = [Verdict::Review, Verdict::Hold, Verdict::Block];
        reader.choice("floor", &text, &floors.map(|verdict| (verdict.name(), verdict)))
    });
    let effect = reader.string(table, "effect");
    let allows = effect.and_then(|text| reader.choice("effect", &text, &[("allow", true)]));
    let reason = reader.string(table, "reason");
    let reason_zh = reader.string(table, "reason_zh");
    let falsepositives = reader.strings(table, "falsepositives").unwrap_or_default();
    let params = params(reader, table);
    Some(RuleFile {
        id,
        path: path.to_owned(),
        dimension,
        title,
        title_zh,
        description,
        status: status?,
        rollout,
        on: on?,
        when: when?,
        score: score?,
        floor: floor.unwrap_or(Verdict::Allow),
        allows: allows.unwrap_or(false),
        reason: reason?,
        reason_zh,
        falsepositives: falsepositives.into_iter().map(Text::into_inner).collect(),
        params,
    })
}

fn check_transactions(reader: &mut Reader<'_>, table: &DeTable<'_>, on: Option<KindSet>) {
    let other = on.and_then(|on| on.iter().find(|kind: &Kind| !kind.is_transaction()));
    if let Some(kind) = other {
        let span = table.get("on").map_or(0..0, Node::span);
        let name = kind.name();
        let message = Message::new(
            format!("`{name}` is not a transaction and gets no decision"),
            format!("`{name}` 不是交易,不作决策"),
        );
        let hint = Message::new(
            "write send, claim, transfer or withdraw",
            "可写 send、claim、transfer、withdraw",
        );
        reader.fail("not-a-transaction", span, message, Some(hint));
    }
}

fn rollout(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Rollout> {
    let inner = reader.table(table, "rollout")?;
    let span = table.get("rollout").map_or(0..0, Node::span);
    reader.known_keys(inner, &["percent", "by"]);
    reader.required_keys(inner, span, &["percent", "by"]);
    let percent = reader.integer(inner, "percent", 0..=100);
    let by = reader.string(inner, "by");
    Some(Rollout { percent: percent?, by: by? })
}

fn params(reader: &mut Reader<'_>, table: &DeTable<'_>) -> BTreeMap<String, Param> {
    let mut params = BTreeMap::new();
    let Some(inner) = reader.table(table, "params") else { return params };
    for (name, node) in inner.iter().filter(|(name, _)| name.get_ref() != "by") {
        if let Some((default, unit)) = constant(reader, name.get_ref(), node) {
            params.insert(name.get_ref().to_string(), Param { default, unit, by: None });
        }
    }
    let Some(by) = inner.get("by").and_then(|_| reader.table(inner, "by")) else {
        return params;
    };
    for (field, values) in by {
        let Some(values) = reader.as_table(field.get_ref(), values) else { continue };
        for (value, changed) in values {
            let Some(changed) = reader.as_table(value.get_ref(), changed) else { continue };
            for (name, node) in changed {
                let case = (field.get_ref().as_ref(), value.get_ref().as_ref());
                change(reader, &mut params, case, name, node);
            }
        }
    }
    params
}

/// One parameter's value where a field has a value.
fn change(
    reader: &mut Reader<'_>,
    params: &mut BTreeMap<String, Param>,
    (field, value): (&str, &str),
    name: &toml::Spanned<std::borrow::Cow<'_, str>>,
    node: &Node<'_>,
) {
    let Some((constant, unit)) = constant(reader, name.get_ref(), node) else { return };
    let Some(param) = params.get_mut(name.get_ref().as_ref()) else {
        let message = Message::new(
            format!("there is no parameter `{}`", name.get_ref()),
            format!("没有参数 `{}`", name.get_ref()),
        );
        reader.fail("unknown-param", name.span(), message, None);
        return;
    };
    let same = param.default.kind() == constant.kind() && param.unit == unit;
    let by = param.by.get_or_insert_with(|| (field.to_owned(), Vec::new()));
    if !same || by.0 != field {
        let message = Message::new(
            "a parameter varies by one field, with values of one type and unit",
            "一个参数只能按一个字段变化,且类型和单位相同",
        );
        reader.fail("bad-param", node.span(), message, None);
        return;
    }
    by.1.push((value.to_owned(), constant));
}

fn constant(reader: &mut Reader<'_>, name: &str, node: &Node<'_>) -> Option<(Constant, Unit)> {
    let plain = |constant| Some((constant, Unit::None));
    match node.get_ref() {
        DeValue::Boolean(value) => plain(Constant::Bool(*value)),
        DeValue::Float(value) => match value.as_str().replace('_', "").parse() {
            Ok(value) => plain(Constant::Double(value)),
            Err(_) => reader.wrong_type(name, node, ("a number", "数字")),
        },
        DeValue::Integer(_) => plain(Constant::Int(integer_of(node.get_ref())?)),
        DeValue::String(text) => {
            if let Some(amount) = text.strip_suffix("yuan").map(str::trim) {
                return match yuan(amount) {
                    Some(fen) => Some((Constant::Int(fen), Unit::Yuan)),
                    None => reader.wrong_type(name, node, ("an amount", "金额")),
                };
            }
            match duration(text) {
                Some(ms) => Some((Constant::Int(ms), Unit::Duration)),
                None => plain(Constant::Str(text.to_string())),
            }
        }
        _ => reader.wrong_type(name, node, ("a number, an amount or a text", "数字、金额或文本")),
    }
}
