//! Declared features: what an analyst writes in `features.toml`.
use crate::event::KindSet;
use std::ops::Range;

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
/// x
#[derive(Clone, Debug)]
pub enum Body {
    /// x
    Windowed(Windowed),
    /// x
    Expr {
        /// x
        source: String,
        /// x
        span: Range<usize>,
    },
}
/// x
#[derive(Clone, Debug)]
pub struct Windowed {
    /// x
    pub over: KindSet,
    /// x
    pub where_: Option<(String, Range<usize>)>,
    /// x
    pub key: Vec<String>,
    /// x
    pub at: Vec<String>,
    /// x
    pub agg: Agg,
    /// x
    pub window: Window,
    /// x
    pub include_current: bool,
}
/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// ms
    Span(i64),
    /// calendar day
    Day,
    /// no end
    Forever,
}
/// x
#[derive(Clone, Debug, PartialEq)]
pub enum Agg {
    /// x
    Count,
    /// x
    Sum(String),
    /// x
    Min(String),
    /// x
    Max(String),
    /// x
    First(String),
    /// x
    Last(String),
    /// x
    Mean(String),
    /// x
    Stddev(String),
    /// x
    Distinct(String),
    /// x
    Quantile(String, f64),
    /// x
    SinceLast,
    /// x
    RatioToMean,
    /// x
    TopShare(String),
    /// x
    Entropy(String, Option<i64>),
}
