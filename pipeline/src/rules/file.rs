//! A rule file as it is written: its keys, types and bounds are checked here, and what its
//! expressions mean only when the names of the run are known.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::params::{self, Params};
use super::timeline::{self, Test};
use crate::decision::{MODEL, Verdict};
use crate::diagnostic::{Diagnostic, Lang, Message};
use crate::document::{Reader, Text};
use crate::event::{Kind, KindSet, Schema};
use crate::expr::{self, Ast};

/// The keys of a rule file, in the order in which `rules fmt` writes them.
pub const RULE_KEYS: &[&str] = &[
    "title",
    "title_zh",
    "description",
    "description_zh",
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
    "falsepositives_zh",
    "tags",
    "params",
    "test",
];
const REQUIRED_KEYS: &[&str] = &["title", "status", "on", "when", "reason"];

/// The largest score of a rule.
pub(crate) const SCORE_MAX: i64 = 1_000;

/// What a floor can demand, by name.
pub(super) const FLOORS: [(&str, Verdict); 3] =
    [("review", Verdict::Review), ("hold", Verdict::Hold), ("block", Verdict::Block)];

/// Whether a rule runs, and what its hits do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being written: checked and tested, not run.
    Draft,
    /// Runs beside the live rules; its hits are shown and decide nothing.
    Shadow,
    /// Decides.
    Live,
    /// No longer used: checked and tested, not run.
    Retired,
}

impl Status {
    /// Every status, by name.
    pub const ALL: [(&'static str, Status); 4] = [
        ("draft", Status::Draft),
        ("shadow", Status::Shadow),
        ("live", Status::Live),
        ("retired", Status::Retired),
    ];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Status::Draft => "draft",
            Status::Shadow => "shadow",
            Status::Live => "live",
            Status::Retired => "retired",
        }
    }

    /// Whether a rule of this status is evaluated on events.
    pub fn runs(self) -> bool {
        matches!(self, Status::Shadow | Status::Live)
    }
}

/// What a person reads about a rule; none of it changes a decision.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the key of that name")]
pub struct About {
    pub title: String,
    pub title_zh: String,
    pub description: String,
    pub description_zh: String,
    pub owner: String,
    pub references: Vec<String>,
    pub tags: Vec<String>,
    pub falsepositives: Vec<String>,
    pub falsepositives_zh: Vec<String>,
}

impl About {
    /// Which honest people the rule meets, in a language where the rule says it in that.
    pub fn innocent(&self, lang: Lang) -> &[String] {
        match lang {
            Lang::Zh if !self.falsepositives_zh.is_empty() => &self.falsepositives_zh,
            _ => &self.falsepositives,
        }
    }
}

/// A share of the values of one name, the same ones each time.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// To how many of a hundred values.
    pub percent: i64,
    /// Of which field or feature.
    pub by: Text,
}

/// A rule file, its expressions not yet checked against the names of the run.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// The file's stem.
    pub id: String,
    /// The dimension: the folder in which it stands.
    pub dimension: String,
    /// The file.
    pub path: PathBuf,
    /// What a person reads.
    pub about: About,
    /// Whether it runs.
    pub status: Status,
    /// To whom it applies.
    pub rollout: Option<Rollout>,
    /// The kinds of transactions that it looks at.
    pub on: KindSet,
    /// The condition; none where its syntax is wrong.
    pub when: Option<(Text, Ast)>,
    /// What a hit adds to the score.
    pub score: i64,
    /// What a hit decides at least.
    pub floor: Verdict,
    /// Whether a hit allows the transaction in spite of the score.
    pub allows: bool,
    /// The reason shown with a hit.
    pub reason: Option<Text>,
    /// The same in Chinese.
    pub reason_zh: Option<Text>,
    /// Parameters.
    pub params: Params,
    /// Timelines.
    pub tests: Vec<Test>,
}

impl RuleFile {
    /// Reads a rule file, and everything that is wrong with it.
    pub fn read(
        file: &Path,
        dimension: &str,
        text: &str,
        schema: &Schema,
    ) -> (RuleFile, Vec<Diagnostic>) {
        let mut reader = Reader::new(file, text);
        let root = reader.parse();
        let table = root.get_ref();
        let id = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        check_id(&mut reader, &id);
        reader.known_keys(table, RULE_KEYS);
        reader.required_keys(table, 0..0, REQUIRED_KEYS);
        let when = expression(&mut reader, table, "when");
        let (score, floor, allows) = effect(&mut reader, table);
        let params = match reader.table(table, "params") {
            Some(inner) => params::parse(&mut reader, inner),
            None => Params::default(),
        };
        let rule = RuleFile {
            dimension: dimension.to_owned(),
            path: file.to_owned(),
            about: about(&mut reader, table),
            status: status(&mut reader, table),
            rollout: rollout(&mut reader, table),
            on: kinds(&mut reader, table),
            when,
            score,
            floor: floor.unwrap_or(Verdict::Allow),
            allows,
            reason: reader.string(table, "reason"),
            reason_zh: reader.string(table, "reason_zh"),
            params,
            tests: timeline::parse_all(&mut reader, table, schema),
            id,
        };
        (rule, reader.finish())
    }
}

fn check_id(reader: &mut Reader<'_>, id: &str) {
    if id == MODEL {
        let message = Message::new(
            "`model` is no id of a rule: it stands for the model in reasons",
            "`model` 不能作为规则 id:它在理由中代表模型",
        );
        reader.fail("bad-rule-id", 0..0, message, None);
    }
    let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || !id.chars().all(plain) {
        let message = Message::new(
            format!("the file's name `{id}` cannot be the id of a rule"),
            format!("文件名 `{id}` 不能作为规则 id"),
        );
        let hint = Message::new("use letters, digits, - and _", "使用字母、数字、- 和 _");
        reader.fail("bad-rule-id", 0..0, message, Some(hint));
    }
}

fn about(reader: &mut Reader<'_>, table: &DeTable<'_>) -> About {
    let mut text = |key| reader.string(table, key).map(Spanned::into_inner).unwrap_or_default();
    let mut about = About {
        title: text("title"),
        title_zh: text("title_zh"),
        description: text("description"),
        description_zh: text("description_zh"),
        owner: text("owner"),
        ..About::default()
    };
    let mut texts = |key| {
        let texts = reader.strings(table, key).unwrap_or_default();
        texts.into_iter().map(Spanned::into_inner).collect()
    };
    about.references = texts("references");
    about.tags = texts("tags");
    about.falsepositives = texts("falsepositives");
    about.falsepositives_zh = texts("falsepositives_zh");
    about
}

fn status(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Status {
    let text = reader.string(table, "status");
    let status = text.and_then(|text| reader.choice("status", &text, &Status::ALL));
    status.unwrap_or(Status::Draft)
}

fn rollout<'t>(reader: &mut Reader<'t>, table: &DeTable<'t>) -> Option<Rollout> {
    let inner = reader.table(table, "rollout")?;
    let span = table.get("rollout")?.span();
    reader.known_keys(inner, &["percent", "by"]);
    reader.required_keys(inner, span, &["percent", "by"]);
    let percent = reader.integer(inner, "percent", 0..=100);
    let by = reader.string(inner, "by");
    Some(Rollout { percent: percent?, by: by? })
}

fn kinds(reader: &mut Reader<'_>, table: &DeTable<'_>) -> KindSet {
    let names = reader.strings(table, "on").unwrap_or_default();
    if names.is_empty()
        && let Some(node) = table.get("on")
        && matches!(node.get_ref(), DeValue::Array(items) if items.is_empty())
    {
        let message = Message::new(
            "`on` is empty, so the rule looks at nothing",
            "`on` 为空,规则不会检查任何交易",
        );
        reader.fail("empty", node.span(), message, None);
    }
    let choices: Vec<(&str, Kind)> =
        KindSet::TRANSACTIONS.iter().map(|kind| (kind.name(), kind)).collect();
    let mut kinds = Vec::new();
    for name in &names {
        match Kind::parse(name.get_ref()).filter(|kind| !kind.is_transaction()) {
            Some(kind) => not_a_transaction(reader, kind, name),
            None => kinds.extend(reader.choice("on", name, &choices)),
        }
    }
    kinds.into_iter().collect()
}

fn not_a_transaction(reader: &mut Reader<'_>, kind: Kind, name: &Text) {
    let message = Message::new(
        format!("`{}` is not a transaction, so nothing is decided on it", kind.name()),
        format!("`{}` 不是交易,不会对它作出决策", kind.name()),
    );
    let hint = Message::new(
        "transactions are send, claim, transfer and withdraw; features can look at others",
        "交易是 send、claim、transfer 和 withdraw;其他事件可用于特征",
    );
    reader.fail("not-a-transaction", name.span(), message, Some(hint));
}

fn expression(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Option<(Text, Ast)> {
    let text = reader.string(table, key)?;
    match expr::parse(text.get_ref()) {
        Ok(ast) => Some((text, ast)),
        Err(errors) => {
            reader.fail_expression(&text.span(), errors);
            None
        }
    }
}

/// `score`, `floor` and `effect`, which exclude each other in part.
fn effect(reader: &mut Reader<'_>, table: &DeTable<'_>) -> (i64, Option<Verdict>, bool) {
    let score = reader.integer(table, "score", 0..=SCORE_MAX);
    let floor =
        reader.string(table, "floor").and_then(|text| reader.choice("floor", &text, &FLOORS));
    let effect = reader
        .string(table, "effect")
        .and_then(|text| reader.choice("effect", &text, &[("allow", ())]));
    let allow = effect.is_some();
    if !table.contains_key("effect") {
        reader.required_keys(table, 0..0, &["score"]);
    }
    for (key, wrong) in
        [("score", score.is_some_and(|score| score > 0)), ("floor", floor.is_some())]
    {
        if allow && wrong {
            let span: Range<usize> = table.get(key).map_or(0..0, Spanned::span);
            let message = Message::new(
                format!("a rule with `effect = \"allow\"` has no `{key}`"),
                format!("带有 `effect = \"allow\"` 的规则没有 `{key}`"),
            );
            reader.fail("allow-and-stop", span, message, None);
        }
    }
    (score.unwrap_or(0), floor, allow)
}
