//! Whatever is cut into two at any moment, saved, and gone on with by other workers, decides as
//! what was never interrupted: every feature of every transaction, and every decision.

mod beside;
mod sessions;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use hongxian::dataflow::{self, Live, Options, Steps};
use hongxian::event::Schema;
use hongxian::features::declare;
use hongxian::features::devices::ClusterOptions;
use hongxian::job::Job;
use hongxian::snapshot::State;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use crate::support::{Ev, Row, START, chunk, features, job, refereed_parts};

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// Longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// One of every aggregate, over several keys and windows: what is read of a state is all of it.
const DECLARED: &str = r#"
[t.count]
over = ["claim"]
key = ["account_id"]
agg = "count"
window = "1h"
[t.count_day]
over = ["claim"]
key = ["account_id"]
agg = "count"
window = "day"
[t.sum]
over = ["claim", "transfer", "send"]
key = ["payee_id"]
at = ["account_id"]
agg = "sum"
window = "30d"
[t.min]
over = ["transfer"]
key = ["account_id"]
agg = "min"
window = "1d"
[t.max]
over = ["transfer"]
key = ["account_id"]
agg = "max"
window = "2h"
[t.first]
over = ["login", "claim", "transfer"]
key = ["account_id"]
agg = "first"
field = "device_id"
window = "1d"
[t.last]
over = ["login", "claim", "transfer"]
key = ["account_id"]
agg = "last"
field = "group_id"
window = "90d"
[t.mean]
over = ["claim"]
key = ["group_id"]
agg = "mean"
window = "1d"
[t.stddev]
over = ["claim"]
key = ["group_id"]
agg = "stddev"
window = "1h"
[t.distinct]
over = ["claim", "login"]
key = ["device_id"]
agg = "distinct"
field = "account_id"
window = "1d"
[t.distinct_groups]
over = ["claim", "send", "transfer"]
key = ["account_id"]
agg = "distinct"
field = "group_id"
window = "1h"
[t.quantile]
over = ["claim", "transfer"]
key = ["group_id"]
agg = "quantile"
q = 0.5
window = "1d"
[t.since]
over = ["claim"]
key = ["account_id"]
agg = "since_last"
window = "1d"
[t.ratio]
over = ["transfer"]
key = ["account_id"]
agg = "ratio_to_mean"
window = "30d"
[t.top]
over = ["claim", "transfer"]
key = ["account_id"]
agg = "top_share"
field = "counterparty_id"
window = "1d"
[t.entropy]
over = ["claim", "transfer"]
key = ["group_id"]
agg = "entropy"
field = "account_id"
window = "1h"
[t.of_cluster]
over = ["claim", "transfer"]
key = ["cluster_id"]
agg = "sum"
window = "1d"
"#;

const KINDS: [&str; 10] = [
    "send", "claim", "claim", "claim", "transfer", "transfer", "refund", "topup", "withdraw",
    "login",
];

/// Gap, kind, account, other side, device, group, packet, fen.
type Part = (i64, usize, (u8, u8, u8, u8, u8), i64);

/// A lively little world, with pauses now and then to the ends of windows.
fn events(most: usize) -> impl Strategy<Value = Vec<Ev>> {
    let pauses = vec![0, 0, 0, 1, 10 * SECOND, HOUR, 5 * HOUR, DAY, 3 * DAY, 30 * DAY];
    let gap = prop_oneof![12 => 0i64..20 * SECOND, 2 => prop::sample::select(pauses)];
    let fen = prop::sample::select(vec![1i64, 2, 7, 11, 100, 600, 1_150, 4_000]);
    let who = (1u8..10, 0u8..10, 0u8..6, 0u8..4, 0u8..6);
    let part = (gap, 0..KINDS.len(), who, fen);
    prop::collection::vec(part, 20..most).prop_map(|parts| {
        let mut time = START;
        parts.into_iter().enumerate().map(|(at, part)| event_of(at, part, &mut time)).collect()
    })
}

fn event_of(at: usize, (gap, kind, who, fen): Part, time: &mut i64) -> Ev {
    let (account, other, device, group, packet) = who;
    let numbered = |name: &str, number: u8| match number {
        0 => String::new(),
        number => format!("{name}{number}"),
    };
    *time += gap;
    let kind = KINDS[kind];
    let two = ["claim", "transfer"].contains(&kind);
    let of_packet = ["send", "claim", "refund"].contains(&kind);
    Ev {
        id: format!("e{at:04}"),
        time: *time,
        kind,
        account: format!("u{account}"),
        counterparty: if two { numbered("u", other) } else { String::new() },
        group: numbered("g", group),
        packet: if of_packet { numbered("p", packet) } else { String::new() },
        device: numbered("d", device),
        amount: Some(fen),
        shares: (kind == "send").then_some(5),
        play: if kind == "send" { "lucky" } else { "" },
        text: if kind == "send" { "100-7".to_owned() } else { String::new() },
        ..Ev::default()
    }
}

fn a_job(graph_tick: i64) -> Arc<Job> {
    let (declared, wrong) = declare::read(Path::new("features.toml"), DECLARED, &Schema::default());
    assert!(wrong.is_empty(), "{wrong:?}");
    let clusters = ClusterOptions { graph_tick, hub_limit: 4, window: 2 * DAY };
    job(Vec::new(), features(declared.list, Some(clusters)), true)
}

/// The steps of events: some hold many, and no moment is divided.
fn steps(events: &[Ev], most: usize) -> Vec<&[Ev]> {
    let mut steps = Vec::new();
    let mut rest = events;
    while !rest.is_empty() {
        let last = rest[most.min(rest.len()) - 1].time;
        let (step, later) = rest.split_at(rest.partition_point(|event| event.time <= last));
        steps.push(step);
        rest = later;
    }
    steps
}

type Rows = Vec<(String, String, Row)>;

/// Runs steps with so many workers, from a state on; what comes out, and the state at the end.
fn run(job: &Arc<Job>, steps: &[&[Ev]], workers: usize, from: Option<State>) -> (Rows, State) {
    let live = Arc::new(match from {
        Some(state) => Live::restored(workers, Arc::new(state.into())),
        None => Live::new(workers),
    });
    let (feed, own): (Arc<dyn Steps>, Arc<Job>) = (live.clone(), job.clone());
    let (sender, parts) = sync_channel(workers);
    let options = Options { workers, tick: 1, batch: 1, sorted: true };
    let run = move || dataflow::run(&own, &feed, options, &sender).map(drop);
    let thread = std::thread::spawn(run);
    let mut rows = Vec::new();
    for step in steps {
        let effective = step.iter().map(|event| event.time).collect();
        let until = step.last().expect("a step has events").time + 1;
        live.feed(chunk(step), effective, until);
        let part = |_| parts.recv_timeout(PATIENCE).expect("a step is decided");
        let mut decided: Vec<_> = (0..workers).map(part).collect();
        decided.sort_by_key(|scored| scored.part);
        rows.extend(refereed_parts(job, &decided));
    }
    let state = live.save(PATIENCE).expect("all that was fed is done");
    live.end();
    thread.join().expect("no worker failed").expect("the run came to its end");
    (rows, state)
}

/// What differs between a run that is cut at a step and one that is not.
fn difference(
    job: &Arc<Job>,
    steps: &[&[Ev]],
    (cut, before, after): (usize, usize, usize),
    leave_out: Option<&str>,
) -> Option<String> {
    let (whole, _) = run(job, steps, 2, None);
    let (first, mut state) = run(job, &steps[..cut], before, None);
    state.parts.retain(|part| Some(part.keeper.as_str()) != leave_out);
    let (second, _) = run(job, &steps[cut..], after, Some(state));
    let cut: Vec<_> = first.into_iter().chain(second).collect();
    assert_eq!(cut.len(), whole.len());
    let (one, other) = cut.iter().zip(&whole).find(|(one, other)| one != other)?;
    let names = one.2.iter().zip(&other.2).filter(|(one, other)| one != other);
    Some(format!("{}: {:?} {:?} {:?}", one.0, one.1, other.1, names.collect::<Vec<_>>()))
}

const WORKERS: [(usize, usize); 4] = [(1, 3), (3, 1), (2, 4), (1, 1)];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_run_goes_on_at_another_number_of_workers_as_if_never_cut(
        events in events(240),
        graph_tick in prop::sample::select(vec![7 * SECOND, HOUR]),
        most in 1usize..30,
        at in any::<prop::sample::Index>(),
        workers in prop::sample::select(WORKERS.to_vec()),
    ) {
        let steps = steps(&events, most);
        let job = a_job(graph_tick);
        let cut = at.index(steps.len() + 1);
        let found = difference(&job, &steps, (cut, workers.0, workers.1), None);
        prop_assert_eq!(found, None);
    }
}

/// The negative control: whichever keeper's state is left out, the test above sees it.
#[test]
fn the_state_of_every_keeper_is_missed_where_it_is_left_out() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let job = a_job(7 * SECOND);
    let mut unseen: Option<BTreeSet<String>> = None;
    for _ in 0..12 {
        let events = events(300).new_tree(&mut runner).expect("events").current();
        let steps = steps(&events, 10);
        let cut = steps.len() / 2;
        let (whole, _) = run(&job, &steps, 1, None);
        let (first, state) = run(&job, &steps[..cut], 1, None);
        let names = || state.parts.iter().map(|part| part.keeper.clone()).collect();
        let left = unseen.get_or_insert_with(names);
        for keeper in left.clone() {
            let mut state = state.clone();
            state.parts.retain(|part| part.keeper != keeper);
            // A worker that misses what it knows must have had may also stop.
            let going_on =
                std::panic::AssertUnwindSafe(|| run(&job, &steps[cut..], 1, Some(state)).0);
            let second = std::panic::catch_unwind(going_on);
            if second.map_or(true, |second| second[..] != whole[first.len()..]) {
                left.remove(&keeper);
            }
        }
        if left.is_empty() {
            return;
        }
    }
    panic!("nobody misses {unseen:?}");
}
