//! What tests share: plain events, and a run that gives each transaction's features by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hongxian::dataflow::Options;
use hongxian::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, Chunk, ChunkBuilder, Column, DEVICE_ID, EVENT_ID,
    EVENT_TIME, FUNDING, GROUP_ID, KIND, NULL_INT, PACKET_ID, PLAY, Position, Raw, SEQ, SHARES,
    Schema, TEXT,
};
use hongxian::expr::Zone;
use hongxian::features::catalogue::{Columns, Context};
use hongxian::features::declare::Declaration;
use hongxian::features::devices::{ClusterOptions, Clusters};
use hongxian::features::text::Lexicon;
use hongxian::features::{Catalogue, Features};
use hongxian::job::Job;
use hongxian::rules::{Policy, RuleSet};
use hongxian::score::Scorer;
use hongxian::sink::Scored;
use hongxian::source::order::{Arrivals, Ordered};

/// The graph tick of tests without clusters.
const GRAPH_TICK: i64 = 10_000;

/// The folder of the whole repository.
pub(crate) fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package is a folder of the workspace").to_owned()
}

/// An event as tests write it; empty and none are null.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ev {
    pub(crate) id: String,
    pub(crate) time: i64,
    /// How much later than it happened it counts: `time` is then the effective time.
    pub(crate) late: i64,
    pub(crate) kind: &'static str,
    pub(crate) account: String,
    pub(crate) counterparty: String,
    pub(crate) group: String,
    pub(crate) packet: String,
    pub(crate) device: String,
    pub(crate) amount: Option<i64>,
    pub(crate) seq: Option<i64>,
    pub(crate) text: String,
    pub(crate) shares: Option<i64>,
    pub(crate) play: &'static str,
    pub(crate) funding: &'static str,
}

/// A start for tests' clocks: 2024-02-09T12:00:00Z.
pub(crate) const START: i64 = 1_707_480_000_000;

/// A claim or a login; device and group 0 are null.
pub(crate) fn seen(at: usize, time: i64, who: (u8, u8, u8), claim: bool) -> Ev {
    let (account, device, group) = who;
    let numbered = |name: &str, number| match number {
        0 => String::new(),
        number => format!("{name}{number}"),
    };
    Ev {
        id: format!("e{at:03}"),
        time,
        kind: if claim { "claim" } else { "login" },
        account: format!("u{account}"),
        device: numbered("d", device),
        group: numbered("g", group),
        amount: Some(1),
        ..Ev::default()
    }
}

pub(crate) fn chunk(events: &[Ev]) -> Chunk {
    let mut builder = ChunkBuilder::new(Arc::new(Schema::default()));
    for (at, ev) in events.iter().enumerate() {
        let int = |value: Option<i64>| value.map_or(Raw::Null, Raw::Int);
        let values = [
            (EVENT_ID, Raw::Str(&ev.id)),
            (EVENT_TIME, Raw::Int(ev.time)),
            (KIND, Raw::Str(ev.kind)),
            (ACCOUNT_ID, Raw::Str(&ev.account)),
            (COUNTERPARTY_ID, Raw::Str(&ev.counterparty)),
            (GROUP_ID, Raw::Str(&ev.group)),
            (PACKET_ID, Raw::Str(&ev.packet)),
            (DEVICE_ID, Raw::Str(&ev.device)),
            (AMOUNT_FEN, int(ev.amount)),
            (SEQ, int(ev.seq)),
            (TEXT, Raw::Str(&ev.text)),
            (SHARES, int(ev.shares)),
            (PLAY, Raw::Str(ev.play)),
            (FUNDING, Raw::Str(ev.funding)),
        ];
        builder.push(values, Position { source: 0, at: at as u64 }).expect("a good event");
    }
    builder.finish()
}

pub(crate) fn features(
    declarations: Vec<Declaration>,
    clusters: Option<ClusterOptions>,
) -> Features {
    linked_features(declarations, clusters.map(Into::into))
}

/// The same with any links.
pub(crate) fn linked_features(
    declarations: Vec<Declaration>,
    clusters: Option<Clusters>,
) -> Features {
    features_of(&Arc::new(Schema::default()), declarations, (clusters, Columns::All))
}

/// The same without what is built in and not used.
pub(crate) fn declared_features(declarations: Vec<Declaration>) -> Features {
    features_of(&Arc::new(Schema::default()), declarations, (None, Columns::Used))
}

pub(crate) fn features_of(
    schema: &Arc<Schema>,
    declarations: Vec<Declaration>,
    (clusters, columns): (Option<Clusters>, Columns),
) -> Features {
    let lexicon = Arc::new(Lexicon::from_files(&[]).unwrap());
    let zone = Arc::new(Zone::new("Asia/Shanghai").expect("the zone"));
    let (conditions, lists) = (BTreeMap::new(), BTreeMap::new());
    let (conditions, lists, zone) = (&conditions, &lists, &zone);
    let graph_tick = clusters.as_ref().map_or(GRAPH_TICK, |clusters| clusters.graph_tick);
    let counterparties_max = 64;
    let context =
        Context { conditions, lists, zone, clusters, graph_tick, counterparties_max, columns };
    let (mut catalogue, wrong) =
        Catalogue::new(schema.clone(), (Path::new("features.toml"), ""), declarations, &lexicon);
    assert_eq!(wrong, []);
    let order = catalogue.settle(&context).unwrap();
    catalogue.compile(&order, &context, lexicon).unwrap()
}

pub(crate) fn job(chunks: Vec<Chunk>, features: Features, sorted: bool) -> Arc<Job> {
    let chunks = chunks.into_iter().map(Arc::new).collect();
    let schema = Arc::new(Schema::default());
    let arrivals = Arrivals { chunks, effective: None };
    job_of(Ordered::new(schema, arrivals, 7 * 86_400_000, sorted), features)
}

/// A job without rules.
pub(crate) fn job_of(events: Ordered, features: Features) -> Arc<Job> {
    let rules = RuleSet {
        rules: Vec::new(),
        policy: Policy::default(),
        lifts: Default::default(),
        hash: blake3::hash(b""),
    };
    let (features, scorer) = (Arc::new(features), Arc::new(Scorer::new(rules)));
    Arc::new(Job::new(events, features, scorer, Default::default()))
}

pub(crate) fn options(workers: usize, tick: i64, batch: usize) -> Options {
    Options { workers, tick, batch, sorted: true }
}

/// A transaction's features as text, by name; null is "null".
pub(crate) type Row = BTreeMap<String, String>;

/// The features of every transaction, in total order, with its id.
pub(crate) fn rows(job: &Arc<Job>, options: Options) -> Vec<(String, Row)> {
    refereed(job, options).into_iter().map(|(id, _, row)| (id, row)).collect()
}

/// The same with the referee's outcome beside the id.
pub(crate) fn refereed(job: &Arc<Job>, options: Options) -> Vec<(String, String, Row)> {
    let (_, parts) = hongxian::backtest::decide(job, options).unwrap();
    refereed_parts(job, &parts)
}

/// The same of parts that are decided.
pub(crate) fn refereed_parts(job: &Job, parts: &[Scored]) -> Vec<(String, String, Row)> {
    let mut rows = Vec::new();
    for part in parts {
        for (at, row) in part.batch.rows.iter().enumerate() {
            let id = part.batch.slice.chunk.str(EVENT_ID, *row as usize).to_owned();
            let value = |((name, _, _), column): (&(String, _, _), &Column)| {
                (name.clone(), text(column, at))
            };
            rows.push((
                id,
                part.batch.outcomes.get(at).to_owned(),
                job.features().columns().iter().zip(&part.features).map(value).collect(),
            ));
        }
    }
    rows
}

fn text(column: &Column, at: usize) -> String {
    let null = || "null".to_owned();
    match column {
        Column::Absent => null(),
        Column::Int(values) if values[at] == NULL_INT => null(),
        Column::Int(values) => values[at].to_string(),
        Column::Double(values) if values[at].is_nan() => null(),
        Column::Double(values) => format!("{:?}", values[at]),
        Column::Bool(values) if values[at] > 1 => null(),
        Column::Bool(values) => (values[at] == 1).to_string(),
        Column::Str(values) if values.get(at).is_empty() => null(),
        Column::Str(values) => values.get(at).to_owned(),
    }
}
