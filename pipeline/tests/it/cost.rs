//! What features are said to cost in memory, against what a run measures.

use std::sync::Arc;

use hongxian::event::{Chunk, Schema};
use hongxian::job::Job;
use hongxian::rules::{self, Loaded};
use hongxian::score::Scorer;
use hongxian::source::order::{Arrivals, Ordered};
use hongxian::source::{self, Input};

use super::support::{options, workspace};

/// The population's first evening, when more and more keys are alive. Later they hold room of busier
/// hours and meet more values: on the eve of the New Year estimates are as low as 0.54 of a family
/// and 0.88 of all together.
const EVENTS: u32 = 24_000;

/// The shipped features over the shipped population. An estimate is for planning: each family that
/// matters is met to a third, and all of them together to a quarter.
#[test]
fn what_features_cost_is_what_a_run_measures() {
    let schema = Arc::new(Schema::default());
    let loaded = rules::load(Some(&workspace().join("rules")), &schema);
    let Ok(Loaded { rules, features, .. }) = loaded else { panic!("the rules are good") };
    let population = workspace().join("fixtures/populations/new-year/events.parquet");
    let Ok(read) = source::read_all(&[Input::plain(population)], &schema, &()) else {
        panic!("the population is good")
    };
    let chunks: Vec<Arc<Chunk>> = read.chunks.into_iter().map(Arc::new).collect();
    let rows = |(at, chunk): (usize, &Arc<Chunk>)| {
        (0..chunk.len() as u32).map(move |row| (at as u32, row)).collect::<Vec<_>>()
    };
    let places: Vec<(u32, u32)> =
        chunks.iter().enumerate().flat_map(rows).take(EVENTS as usize).collect();
    let chunks = vec![Arc::new(Chunk::gather(&schema, &chunks, &places))];
    let events =
        Ordered::new(schema, Arrivals { chunks, effective: None }, rules.policy.dedup_window, true);

    let costs = features.costs();
    let (features, scorer) = (Arc::new(features), Arc::new(Scorer::new(rules)));
    let job = Arc::new(Job::new(events, features, scorer, Default::default()));
    let state = hongxian::backtest::decide(&job, options(2, 1_000, 10_000)).unwrap().0.state;

    let rows: Vec<(&str, u64, u64)> = costs
        .iter()
        .map(|cost| {
            let used = state[&cost.family];
            (cost.family.as_str(), cost.bytes(used.keys, used.events), used.bytes)
        })
        .collect();
    let (estimated, measured) =
        rows.iter().fold((0, 0), |(left, right), row| (left + row.1, right + row.2));
    let within = |estimated: u64, measured: u64, share: f64| {
        (estimated as f64 / measured as f64 - 1.0).abs() < share
    };
    assert!(within(estimated, measured, 0.25), "{estimated} of {measured}: {rows:?}");
    let matter: Vec<_> = rows.iter().filter(|row| row.2 * 100 > measured).collect();
    assert!(matter.len() >= 5, "{rows:?}");
    for (family, estimated, measured) in matter {
        assert!(within(*estimated, *measured, 1.0 / 3.0), "{family}: {estimated} of {measured}");
    }
}
