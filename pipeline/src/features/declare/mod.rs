//! Declared features: what an analyst writes in `features.toml`.
//!
//! The path of a table is the feature's name. A table has either `expr`, a value computed from
//! other values of the transaction, or `model`, what a trained model says of them, or `agg`, a
//! value over the events of a window:
//!
//! ```toml
//! [behaviour.claims_10m]
//! over   = ["claim"]
//! key    = ["account_id"]
//! agg    = "count"
//! window = "10m"
//! doc    = "claims by this account"
//! ```

mod parse;

use std::ops::Range;

pub(crate) use parse::read_built_in;
pub use parse::{Declarations, read};

use super::learnt::Learnt;
use super::plan::{CLUSTER_ID, Source};
use crate::event::{KindSet, Schema};

/// The keys of a feature's table, in the order in which they are written.
pub const FEATURE_KEYS: &[&str] = &[
    "expr",
    "model",
    "gives",
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
    "doc",
    "doc_zh",
    "unit",
    "misleads",
];

/// The longest window: what a window holds is state, and 90 days is what the contract promises.
pub const WINDOW_MS_MAX: i64 = 90 * 86_400_000;

/// One declared feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    /// Its dotted name.
    pub name: String,
    /// Where its name stands in the file.
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

/// How a declared feature is come by.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Over the events of a window.
    Windowed(Windowed),
    /// From other values of the transaction.
    Expr {
        /// The expression.
        source: String,
        /// Where its literal stands in the file.
        span: Range<usize>,
    },
    /// What a trained model says of other values of the transaction.
    Learnt {
        /// The model.
        learnt: Learnt,
        /// Where its path stands in the file.
        span: Range<usize>,
    },
}

/// An aggregate over the events of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Windowed {
    /// The kinds of the contributing events.
    pub over: KindSet,
    /// A condition on the contributing event, and where its literal stands in the file.
    pub where_: Option<(String, Range<usize>)>,
    /// The fields of the contributing event under which it is filed.
    pub key: Vec<String>,
    /// The fields of the transaction that look it up, as many as in `key`.
    pub at: Vec<String>,
    /// What is computed.
    pub agg: Agg,
    /// Over how long.
    pub window: Window,
    /// Whether the transaction itself counts, where it contributes.
    pub include_current: bool,
}

impl Windowed {
    /// Whether it files, looks up or counts by the cluster of an account.
    pub(crate) fn uses_clusters(&self) -> bool {
        let field = match &self.agg {
            Agg::Distinct(field) | Agg::TopShare(field) | Agg::Entropy(field, _) => Some(field),
            _ => None,
        };
        self.key.iter().chain(&self.at).chain(field).any(|name| name == CLUSTER_ID)
    }

    /// The kinds of events that are filed: those of which every part of the key has a value.
    pub(crate) fn filed(&self, schema: &Schema) -> KindSet {
        carriers_of_all(&self.key, self.over, schema)
    }

    /// The kinds of transactions that look something up.
    pub(crate) fn looked_up(&self, schema: &Schema) -> KindSet {
        carriers_of_all(&self.at, KindSet::TRANSACTIONS, schema)
    }
}

/// Of these kinds those that can have a value of each field.
fn carriers_of_all(fields: &[String], kinds: KindSet, schema: &Schema) -> KindSet {
    let sources = fields.iter().filter_map(|field| Source::find(schema, field));
    sources.fold(kinds, |kinds, source| kinds.and(source.carriers()))
}

/// How far back a windowed feature looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// That many milliseconds.
    Span(i64),
    /// The calendar day so far. Where clocks go back over midnight the day begins at the first of
    /// the two, so that what is counted twice on the clock counts for both days.
    Day,
    /// Everything since the start; attributes of accounts and groups, and what is built in.
    Forever,
}

/// What is computed over the events of a window. Each text is the name of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Agg {
    /// How many events.
    Count,
    /// The sum of an integer field.
    Sum(String),
    /// Its smallest value.
    Min(String),
    /// Its largest value.
    Max(String),
    /// A field's value in the first event.
    First(String),
    /// A field's value in the last event.
    Last(String),
    /// The mean of an integer field.
    Mean(String),
    /// Its population standard deviation.
    Stddev(String),
    /// How many distinct values a field has.
    Distinct(String),
    /// A quantile of an integer field by nearest rank, from 0 to 1.
    Quantile(String, f64),
    /// Milliseconds since the latest event before the transaction.
    SinceLast,
    /// Milliseconds since the first event ever; only built-in features have it, for what it keeps
    /// stays for good.
    SinceFirst,
    /// The transaction's amount over the mean amount of the events.
    RatioToMean,
    /// The share of a field's most frequent value.
    TopShare(String),
    /// The entropy of a field in bits, or of its remainder by a divisor.
    Entropy(String, Option<i64>),
}

impl Agg {
    /// The field that it reads.
    pub(crate) fn field(&self) -> Option<&str> {
        match self {
            Agg::Count | Agg::SinceLast | Agg::SinceFirst | Agg::RatioToMean => None,
            Agg::Sum(field)
            | Agg::Min(field)
            | Agg::Max(field)
            | Agg::First(field)
            | Agg::Last(field)
            | Agg::Mean(field)
            | Agg::Stddev(field)
            | Agg::Distinct(field)
            | Agg::Quantile(field, _)
            | Agg::TopShare(field)
            | Agg::Entropy(field, _) => Some(field),
        }
    }
}
