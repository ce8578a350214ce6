//! Declared features: what an analyst writes in `features.toml`.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Message};
use crate::document::{Node, Reader, Text};
use crate::event::{Kind, KindSet};

/// The longest window.
const WINDOW_MS_MAX: i64 = 90 * 86_400_000;
/// The largest divisor of `field % n`.
const DIVISOR_MAX: i64 = 1_000_000_000;

/// One declared feature.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// Its dotted name.
    pub name: String,
    /// Where it stands in the file.
    pub span: Range<usize>,
    /// What it computes.
    pub body: Body,
    /// Its meaning.
    pub doc: String,
    /// Its meaning, in Chinese.
    pub doc_zh: String,
    /// Its unit.
    pub unit: String,
    /// When it misleads.
    pub misleads: String,
}

/// What a feature computes.
#[derive(Clone, Debug)]
pub enum Body {
    /// An aggregate over a window of earlier events.
    Windowed(Windowed),
    /// A value from the transaction's fields and other features.
    Expr {
        /// The expression.
        source: String,
        /// Where its literal stands in the file.
        span: Range<usize>,
    },
}

/// An aggregate over a window of earlier events.
#[derive(Clone, Debug)]
pub struct Windowed {
    /// Kinds of the contributing events.
    pub over: KindSet,
    /// A condition on the contributing event, and where its literal stands.
    pub where_: Option<(String, Range<usize>)>,
    /// Fields of the contributing event that it is filed under.
    pub key: Vec<String>,
    /// Fields of the transaction that look it up.
    pub at: Vec<String>,
    /// The aggregate.
    pub agg: Agg,
    /// The window.
    pub window: Window,
    /// Whether the transaction itself counts.
    pub include_current: bool,
}

/// How far back a feature looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// A time in ms: `(t - span, t]`.
    Span(i64),
    /// The calendar day so far.
    Day,
    /// Without end: attributes only.
    Forever,
}

/// An aggregate, with the field that it reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Agg {
    /// Number of events.
    Count,
    /// Sum.
    Sum(String),
    /// Smallest.
    Min(String),
    /// Largest.
    Max(String),
    /// First in total order.
    First(String),
    /// Last in total order.
    Last(String),
    /// Mean.
    Mean(String),
    /// Population standard deviation.
    Stddev(String),
    /// Number of distinct values.
    Distinct(String),
    /// Nearest-rank quantile.
    Quantile(String, f64),
    /// Time since the latest event before the transaction.
    SinceLast,
    /// The transaction's amount over the mean of the others.
    RatioToMean,
    /// Share of the commonest value.
    TopShare(String),
    /// Entropy of the values, or of their remainders.
    Entropy(String, Option<i64>),
}

const KEYS: [&str; 15] = [
    "over",
    "where",
    "key",
    "at",
    "agg",
    "field",
    "q",
    "window",
    "include_current",
    "approx",
    "expr",
    "doc",
    "doc_zh",
    "unit",
    "misleads",
];
const AGGS: [&str; 14] = [
    "count",
    "sum",
    "min",
    "max",
    "first",
    "last",
    "mean",
    "stddev",
    "distinct",
    "quantile",
    "since_last",
    "ratio_to_mean",
    "top_share",
    "entropy",
];

/// Reads `features.toml`: what it declares, and every mistake in it.
pub fn read(file: &Path, text: &str) -> (Vec<Declaration>, Vec<Diagnostic>) {
    let mut reader = Reader::new(file, text);
    let root = reader.parse();
    let mut declarations = Vec::new();
    walk(&mut reader, root.get_ref(), String::new(), &mut declarations);
    declarations.sort_by_key(|declaration| declaration.span.start);
    (declarations, reader.finish())
}

fn walk(reader: &mut Reader<'_>, table: &DeTable<'_>, prefix: String, out: &mut Vec<Declaration>) {
    for (key, node) in table {
        let name = if prefix.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{prefix}.{}", key.get_ref())
        };
        let DeValue::Table(inner) = node.get_ref() else {
            let message =
                Message::new(format!("`{name}` is not a table"), format!("`{name}` 不是表"));
            let hint = Message::new(
                "a feature is a table such as [behaviour.claims_10m]",
                "特征写成表,如 [behaviour.claims_10m]",
            );
            reader.fail("feature-not-table", key.span(), message, Some(hint));
            continue;
        };
        let is_feature = |node: &Node<'_>| !matches!(node.get_ref(), DeValue::Table(_));
        if inner.values().any(is_feature) || inner.is_empty() {
            out.extend(declaration(reader, &name, inner, key.span()));
        } else {
            walk(reader, inner, name, out);
        }
    }
}

fn declaration(
    reader: &mut Reader<'_>,
    name: &str,
    table: &DeTable<'_>,
    span: Range<usize>,
) -> Option<Declaration> {
    reader.known_keys(table, &KEYS);
    if !name.contains('.') {
        let message = Message::new(
            format!("the feature `{name}` has no dimension"),
            format!("特征 `{name}` 缺少维度前缀"),
        );
        let hint = Message::new(
            format!("write [behaviour.{name}], or another dimension"),
            format!("请写 [behaviour.{name}] 或其他维度"),
        );
        reader.fail("feature-name", span.clone(), message, Some(hint));
    }
    let mut words = |key| reader.string(table, key).map(Text::into_inner).unwrap_or_default();
    let (doc, doc_zh, unit, misleads) =
        (words("doc"), words("doc_zh"), words("unit"), words("misleads"));
    let body = match reader.string(table, "expr") {
        Some(source) => {
            let with_agg = ["agg", "over", "key", "at", "window", "where", "field"];
            if let Some(key) = with_agg.into_iter().find(|key| table.contains_key(*key)) {
                let message = Message::new(
                    format!("`expr` and `{key}` cannot stand together"),
                    format!("`expr` 与 `{key}` 不能同时出现"),
                );
                reader.fail("expr-with-agg", span.clone(), message, None);
            }
            Body::Expr { span: source.span(), source: source.into_inner() }
        }
        None => Body::Windowed(windowed(reader, table, span.clone())?),
    };
    Some(Declaration { name: name.to_owned(), span, body, doc, doc_zh, unit, misleads })
}

fn windowed(reader: &mut Reader<'_>, table: &DeTable<'_>, span: Range<usize>) -> Option<Windowed> {
    reader.required_keys(table, span.clone(), &["agg", "over", "key", "window"]);
    if reader.boolean(table, "approx") == Some(true) {
        let message = Message::new("all windows are exact", "所有窗口都是精确的");
        reader.fail("approx", span.clone(), message, None);
    }
    let names = |reader: &mut Reader<'_>, key| {
        let texts = reader.strings(table, key)?;
        Some(texts.into_iter().map(Text::into_inner).collect::<Vec<_>>())
    };
    let over = kinds(reader, table, "over");
    let key = names(reader, "key");
    let at = names(reader, "at");
    let agg = agg(reader, table, span);
    let window = window(reader, table);
    let where_ = reader.string(table, "where").map(|text| (text.get_ref().clone(), text.span()));
    let include_current = reader.boolean(table, "include_current").unwrap_or(true);
    let (over, key) = (over?, key?);
    let at = at.unwrap_or_else(|| key.clone());
    Some(Windowed { over, where_, key, at, agg: agg?, window: window?, include_current })
}

/// The set of kinds at `key`.
pub fn kinds(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Option<KindSet> {
    let choices = Kind::ALL.map(|kind| (kind.name(), kind));
    let texts = reader.strings(table, key)?;
    let found: Vec<Kind> =
        texts.iter().filter_map(|text| reader.choice(key, text, &choices)).collect();
    Some(found.into_iter().collect())
}

fn window(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Window> {
    let is_day =
        |node: &Node<'_>| matches!(node.get_ref(), DeValue::String(text) if text.as_ref() == "day");
    if table.get("window").is_some_and(is_day) {
        return Some(Window::Day);
    }
    reader.duration(table, "window", 1..=WINDOW_MS_MAX).map(Window::Span)
}

fn agg(reader: &mut Reader<'_>, table: &DeTable<'_>, span: Range<usize>) -> Option<Agg> {
    let text = reader.string(table, "agg")?;
    let name = reader.choice("agg", &text, &AGGS.map(|name| (name, name)))?;
    let given = reader.string(table, "field");
    let fieldless = matches!(name, "count" | "since_last" | "ratio_to_mean");
    if let Some(field) = given.as_ref().filter(|_| fieldless) {
        let message =
            Message::new(format!("`{name}` takes no field"), format!("`{name}` 不需要 field"));
        reader.fail("field-not-used", field.span(), message, None);
    }
    let needs_field = matches!(name, "first" | "last" | "distinct" | "top_share" | "entropy");
    if given.is_none() && needs_field {
        reader.required_keys(table, span.clone(), &["field"]);
        return None;
    }
    let field = given.map_or_else(|| "amount_fen".to_owned(), Text::into_inner);
    Some(match name {
        "count" => Agg::Count,
        "sum" => Agg::Sum(field),
        "min" => Agg::Min(field),
        "max" => Agg::Max(field),
        "first" => Agg::First(field),
        "last" => Agg::Last(field),
        "mean" => Agg::Mean(field),
        "stddev" => Agg::Stddev(field),
        "distinct" => Agg::Distinct(field),
        "quantile" => Agg::Quantile(field, quantile(reader, table, span)?),
        "since_last" => Agg::SinceLast,
        "ratio_to_mean" => Agg::RatioToMean,
        "top_share" => Agg::TopShare(field),
        _ => entropy(reader, table, &field)?,
    })
}

fn quantile(reader: &mut Reader<'_>, table: &DeTable<'_>, span: Range<usize>) -> Option<f64> {
    reader.required_keys(table, span, &["q"]);
    let q = reader.number(table, "q")?;
    if (0.0..=1.0).contains(q.get_ref()) {
        return Some(*q.get_ref());
    }
    let message = Message::new("`q` is not between 0 and 1", "`q` 应在 0 与 1 之间");
    reader.fail("out-of-bounds", q.span(), message, None);
    None
}

/// `field`, or `field % n`.
fn entropy(reader: &mut Reader<'_>, table: &DeTable<'_>, field: &str) -> Option<Agg> {
    let Some((name, divisor)) = field.split_once('%') else {
        return Some(Agg::Entropy(field.to_owned(), None));
    };
    let divisor = divisor.trim().parse().ok().filter(|n| (2..=DIVISOR_MAX).contains(n));
    match divisor {
        Some(divisor) => Some(Agg::Entropy(name.trim().to_owned(), Some(divisor))),
        None => {
            let span = table.get("field").map_or(0..0, Node::span);
            let message = Message::new(
                "the divisor is not an integer of at least 2",
                "除数应为不小于 2 的整数",
            );
            reader.fail("bad-divisor", span, message, None);
            None
        }
    }
}
