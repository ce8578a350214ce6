//! Steps that are fed while the run goes on: each is decided before the next is there, as if all
//! had been planned.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use hongxian::dataflow::{self, Live, Options, Steps};
use hongxian::event::Schema;
use hongxian::features::Features;
use hongxian::features::declare;
use hongxian::features::devices::ClusterOptions;
use proptest::prelude::*;

use crate::support::{Ev, START, chunk, features, job, options, seen};

/// Longer than any step takes; a step that is not decided by then waits for something that will
/// never come.
const PATIENCE: Duration = Duration::from_secs(60);

const DECLARED: &str = r#"
[t.count]
over = ["claim"]
key = ["account_id"]
agg = "count"
window = "10m"

[t.groups]
over = ["claim", "login"]
key = ["device_id"]
agg = "distinct"
field = "group_id"
window = "1h"
"#;

/// Counts, and clusters as of ticks of a second.
fn all() -> Features {
    let (declared, wrong) = declare::read(Path::new("features.toml"), DECLARED, &Schema::default());
    assert!(wrong.is_empty(), "{wrong:?}");
    let clusters = ClusterOptions { graph_tick: 1_000, hub_limit: 4, window: 20_000 };
    features(declared.list, Some(clusters))
}

fn planned(events: &[Ev]) -> String {
    let job = job(vec![chunk(events)], all(), true);
    let (_, parts) = hongxian::backtest::decide(&job, options(2, 1_000, 16)).unwrap();
    parts.iter().map(|part| part.lines()).collect()
}

/// Feeds the events cut before each of the times, in lock-step. Some steps have no events.
fn fed(events: &[Ev], cuts: &[i64], workers: usize) -> String {
    let job = job(Vec::new(), all(), true);
    let live = Arc::new(Live::new(workers));
    let steps: Arc<dyn Steps> = live.clone();
    let (sender, parts) = sync_channel(workers);
    let options = Options { workers, tick: 1, batch: 1, sorted: true };
    let run = move || dataflow::run(&job, &steps, options, &sender).map(drop);
    let thread = std::thread::spawn(run);
    let mut lines = String::new();
    let mut rest = events;
    for until in cuts.iter().copied().chain(events.last().map(|last| last.time + 1)) {
        let (now, later) = rest.split_at(rest.partition_point(|event| event.time < until));
        rest = later;
        let effective = now.iter().map(|event| event.time).collect();
        live.feed(chunk(now), effective, until);
        let mut step: Vec<_> = (0..workers)
            .map(|_| parts.recv_timeout(PATIENCE).expect("a step is decided without the next"))
            .collect();
        step.sort_by_key(|scored| scored.part);
        step.iter().for_each(|scored| lines.push_str(&scored.lines()));
    }
    live.end();
    thread.join().expect("no worker failed").expect("the run came to its end");
    lines
}

fn history() -> impl Strategy<Value = Vec<Ev>> {
    let event = (0i64..900, 0u8..9, 0u8..5, 0u8..6, prop::bool::weighted(0.6));
    prop::collection::vec(event, 1..80).prop_map(|parts| {
        let mut time = START;
        let event = |(at, (gap, account, device, group, claim)): (usize, _)| {
            // A third at the very moment of the one before.
            time += if gap < 300 { 0 } else { gap };
            let packet = if claim { format!("p{group}") } else { String::new() };
            Ev { packet, ..seen(at, time, (account, device, group), claim) }
        };
        parts.into_iter().enumerate().map(event).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_step_is_decided_without_the_next_and_as_if_planned(
        events in history(),
        cuts in prop::collection::btree_set(1i64..40_000, 0..30),
        workers in 1usize..4,
    ) {
        let end = events.last().map_or(START, |last| last.time);
        let cuts: Vec<i64> = cuts.into_iter().map(|cut| START + cut).collect();
        let cuts: Vec<i64> = cuts.into_iter().filter(|cut| *cut <= end).collect();
        prop_assert_eq!(fed(&events, &cuts, workers), planned(&events));
    }
}

/// Who feeds events out of order, or behind the time that was promised, is told at once.
#[test]
fn what_breaks_the_promise_of_a_step_is_refused() {
    let event = |id: &str, time: i64| Ev {
        id: id.to_owned(),
        time: START + time,
        kind: "login",
        account: "u".to_owned(),
        ..Ev::default()
    };
    let feed = |steps: &[(Vec<Ev>, i64)]| {
        let live = Live::new(1);
        for (events, until) in steps {
            let effective = events.iter().map(|event| event.time).collect();
            live.feed(chunk(events), effective, START + until);
        }
    };
    let refused = |steps: &[(Vec<Ev>, i64)]| std::panic::catch_unwind(|| feed(steps)).is_err();
    let [first, second, third] = [("a", 1), ("b", 1), ("c", 5)].map(|(id, at)| event(id, at));
    let (both, last) = (vec![first.clone(), second.clone()], vec![third]);
    assert!(!refused(&[(both, 2), (last.clone(), 6)]));
    assert!(refused(&[(vec![second, first.clone()], 2)]), "out of order");
    assert!(refused(&[(last, 5)]), "not before its end");
    assert!(refused(&[(vec![], 3), (vec![first], 6)]), "behind the step before");
    assert!(refused(&[(vec![], 3), (vec![], 3)]), "no time passes");
}
