//! The order contract: what is decided does not depend on how the events are cut up, shuffled or
//! shared out; and the cases in which OpenMLDB's batch and online answers once differed.

use std::path::Path;

use hongxian::event::Schema;
use hongxian::features::declare::{self, Declaration};
use proptest::prelude::*;

use crate::support::{Ev, Row, START, chunk, declared_features, features, job, options, rows};

const MINUTE: i64 = 60_000;

/// Workers, tick and batch at the ends of what is promised.
const CUTS: [(usize, i64, usize); 7] = [
    (1, 1_000, 10_000),
    (2, 5, 1),
    (3, 5, 64),
    (4, 1_000, 1),
    (4, 3_600_000, 64),
    (8, 1_000, 64),
    (8, 5, 10_000),
];

const DECLARED: &str = r#"
[t.count]
over = ["claim"]
key = ["account_id"]
agg = "count"
window = "10m"

[t.sum]
over = ["claim"]
key = ["account_id"]
agg = "sum"
window = "10m"

[t.distinct]
over = ["claim"]
key = ["account_id"]
agg = "distinct"
field = "group_id"
window = "10m"

[t.last]
over = ["claim"]
key = ["account_id"]
agg = "last"
field = "group_id"
window = "10m"
include_current = false

[t.stddev]
over = ["claim"]
key = ["group_id"]
agg = "stddev"
window = "day"

[t.received]
over = ["claim"]
key = ["account_id"]
at = ["payer_id"]
agg = "sum"
window = "90d"
"#;

fn declared() -> Vec<Declaration> {
    let (declared, diagnostics) =
        declare::read(Path::new("features.toml"), DECLARED, &Schema::default());
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    declared.list
}

/// A claim by `account` in `group`, so long after the start.
fn claim(id: &str, after: i64, account: &str, group: &str, fen: i64) -> Ev {
    Ev {
        id: id.to_owned(),
        time: START + after,
        kind: "claim",
        account: account.to_owned(),
        counterparty: "s".to_owned(),
        group: group.to_owned(),
        amount: Some(fen),
        ..Ev::default()
    }
}

fn answers(chunks: &[&[Ev]], sorted: bool, cut: (usize, i64, usize)) -> Vec<(String, Row)> {
    let chunks = chunks.iter().map(|events| chunk(events)).collect();
    let job = job(chunks, declared_features(declared()), sorted);
    let mut options = options(cut.0, cut.1, cut.2);
    options.sorted = sorted;
    rows(&job, options)
}

/// The BLAKE3 digest over the decisions' lines.
fn digest(chunks: &[&[Ev]], cut: (usize, i64, usize)) -> blake3::Hash {
    let chunks = chunks.iter().map(|events| chunk(events)).collect();
    let job = job(chunks, features(declared(), None), true);
    let (_, parts) = hongxian::backtest::decide(&job, options(cut.0, cut.1, cut.2)).unwrap();
    let mut hasher = blake3::Hasher::new();
    for part in &parts {
        hasher.update(part.lines().as_bytes());
    }
    hasher.finalize()
}

/// Checks one feature of each event, in total order, for every way of cutting the events up.
fn check(events: &[Ev], feature: &str, expected: &[(&str, &str)]) {
    for cut in CUTS {
        let found = answers(&[events], true, cut);
        let found: Vec<(&str, &str)> =
            found.iter().map(|(id, row)| (id.as_str(), row[feature].as_str())).collect();
        assert_eq!(found, expected, "{feature}, cut {cut:?}");
    }
}

/// Several threads gave other windows than one: keys interleave, each worker reads its share.
#[test]
fn openmldb_1629_threads_do_not_change_windows() {
    let events: Vec<Ev> = (0..6)
        .map(|at| {
            claim(&format!("e{at}"), at * MINUTE, ["a", "b"][at as usize % 2], "g", 100 * (at + 1))
        })
        .collect();
    let expected =
        [("e0", "100"), ("e1", "200"), ("e2", "400"), ("e3", "600"), ("e4", "900"), ("e5", "1200")];
    check(&events, "t.sum", &expected);
}

/// Rows of one time came in any order: here `seq` orders them, then the id.
#[test]
fn openmldb_1780_equal_times_have_one_order() {
    let mut events = vec![
        claim("c", 0, "a", "third", 1),
        claim("b", 0, "a", "second", 1),
        claim("z", 0, "a", "first", 1),
        claim("d", 1, "a", "fourth", 1),
    ];
    events[0].seq = Some(2);
    events[1].seq = Some(1);
    let expected = [("z", "null"), ("b", "first"), ("c", "second"), ("d", "third")];
    check(&events, "t.last", &expected);
}

/// An event exactly as old as the window is out of it, in every mode.
#[test]
fn openmldb_2256_expiry_is_exact() {
    let events = [
        claim("e0", 0, "a", "g", 1),
        claim("e1", 10 * MINUTE - 1, "a", "g", 1),
        claim("e2", 10 * MINUTE, "a", "g", 1),
        claim("e3", 20 * MINUTE, "a", "g", 1),
    ];
    check(&events, "t.count", &[("e0", "1"), ("e1", "2"), ("e2", "2"), ("e3", "1")]);
}

/// Two bodies with one id at one moment: which of them counts does not depend on the rows.
#[test]
fn the_first_of_two_bodies_at_one_moment_is_the_first_in_any_file() {
    let mut events = vec![
        claim("e0", 0, "a", "g", 20),
        claim("e0", 0, "a", "g", 3),
        claim("e1", 1, "a", "g", 1),
    ];
    let expected = answers(&[&events], true, CUTS[0]);
    assert_eq!(expected.len(), 2, "an id counts once");
    events.reverse();
    for cut in CUTS {
        assert_eq!(answers(&[&events], true, cut), expected);
    }
}

/// A transaction has the features that it would have had as the last one known.
#[test]
fn openmldb_2633_batch_equals_every_prefix() {
    let events: Vec<Ev> = (0..12)
        .map(|at| {
            claim(&format!("e{at:02}"), at * 2 * MINUTE, "a", ["g", "h", ""][at as usize % 3], at)
        })
        .collect();
    let whole = answers(&[&events], true, CUTS[0]);
    for end in 1..=events.len() {
        let prefix = answers(&[&events[..end]], true, CUTS[2]);
        assert_eq!(prefix.last(), whole.get(end - 1));
    }
}

/// Rows of the future were seen: what comes later, be it 1 ms, counts for nothing.
#[test]
fn openmldb_3749_the_future_is_not_seen() {
    let events = [
        claim("e2", 1, "a", "g", 40),
        claim("e1", 0, "a", "g", 2),
        claim("e3", 10 * MINUTE, "a", "g", 800),
    ];
    check(&events, "t.sum", &[("e1", "2"), ("e2", "42"), ("e3", "840")]);
}

/// A value that leaves the window while another event still has it is counted once.
#[test]
fn openmldb_3629_distinct_counts_what_the_window_holds() {
    let events = [
        claim("e0", 0, "a", "g", 1),
        claim("e1", MINUTE, "a", "h", 1),
        claim("e2", 2 * MINUTE, "a", "g", 1),
        claim("e3", 3 * MINUTE, "a", "", 1),
        claim("e4", 10 * MINUTE, "a", "g", 1),
        claim("e5", 11 * MINUTE, "a", "i", 1),
    ];
    let expected = [("e0", "1"), ("e1", "2"), ("e2", "2"), ("e3", "2"), ("e4", "2"), ("e5", "2")];
    check(&events, "t.distinct", &expected);
}

/// A key that is never seen again is dropped: memory follows live keys, not history.
#[test]
fn quiet_keys_are_dropped() {
    let declarations = declared().into_iter().filter(|found| found.name == "t.count").collect();
    let events: Vec<Ev> = (0..20_000)
        .map(|at| claim(&format!("e{at}"), at * MINUTE, &format!("u{at}"), "g", 1))
        .collect();
    let job = job(vec![chunk(&events)], declared_features(declarations), true);
    let (summary, _) = hongxian::backtest::decide(&job, options(2, 1_000, 64)).unwrap();
    assert!(!summary.state.is_empty());
    for (family, usage) in summary.state {
        assert!(usage.keys < 1_000, "{family} keeps {} keys", usage.keys);
    }
}

fn history() -> impl Strategy<Value = Vec<Ev>> {
    let event = (0i64..4, 0u8..4, 0u8..4, 0i64..1_000, prop::option::of(0i64..3));
    prop::collection::vec(event, 2..80).prop_map(|parts| {
        let mut time = 0;
        let event = |(at, (gap, account, group, fen, seq)): (usize, (i64, u8, u8, i64, _))| {
            time += gap * gap * MINUTE;
            let group = if group == 0 { String::new() } else { format!("g{group}") };
            let mut ev = claim(&format!("e{at:03}"), time, &format!("u{account}"), &group, fen);
            ev.counterparty = format!("u{}", (account + 1) % 4);
            ev.seq = seq;
            ev
        };
        parts.into_iter().enumerate().map(event).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Rows shuffled, in chunks, and half of them twice.
    #[test]
    fn features_and_digest_do_not_depend_on_the_cut(
        (events, shuffled) in history().prop_flat_map(|events| {
            (Just(events.clone()), Just(events).prop_shuffle())
        }),
        middle in any::<prop::sample::Index>(),
    ) {
        let (left, right) = shuffled.split_at(middle.index(shuffled.len()));
        let (expected, sum) = (answers(&[&events], true, CUTS[0]), digest(&[&events], CUTS[0]));
        for cut in CUTS {
            prop_assert_eq!(&answers(&[right, left, right], true, cut), &expected, "cut {:?}", cut);
            prop_assert_eq!(digest(&[right, left, right], cut), sum, "cut {:?}", cut);
        }
    }
}

/// Without the sort, shuffled input gives other features: the test above has power.
#[test]
fn without_the_sort_the_order_of_rows_shows() {
    let events: Vec<Ev> =
        (0..40).map(|at| claim(&format!("e{at:02}"), at * MINUTE, "a", "g", at)).collect();
    let reversed: Vec<Ev> = events.iter().rev().cloned().collect();
    let mut expected = answers(&[&events], true, CUTS[0]);
    let mut found = answers(&[&reversed], false, (1, 3_600_000, 10_000));
    expected.sort();
    found.sort();
    assert_ne!(found, expected);
}

/// Where rules change, a step ends, whatever its tick; and the times of steps rise, each later
/// than every event before it and not later than any of its own: else the dataflow would take two
/// steps for one.
#[test]
fn steps_are_cut_where_rules_change_and_their_times_rise() {
    let times = [0, 0, 3, 999, 1_000, 1_000, 1_500, 1_501, 4_000];
    let event = |(at, time): (usize, &i64)| Ev {
        id: format!("e{at}"),
        time: START + time,
        kind: "message",
        account: "u".to_owned(),
        ..Ev::default()
    };
    let events: Vec<Ev> = times.iter().enumerate().map(event).collect();
    let job = job(vec![chunk(&events)], features(declared(), None), true);
    let cuts = [3, 4, 1_000, 1_001, 1_501, 9_000].map(|cut| START + cut);
    for (tick, batch) in [(1, 1), (5, 1), (1_000, 1), (1_000, 100), (3_600_000, 2), (1, usize::MAX)]
    {
        let mut seen = Vec::new();
        let mut time = i64::MIN;
        for step in job.events.steps(tick, batch, &cuts) {
            assert!(!step.events.is_empty() && step.time > time);
            time = step.time;
            assert!(seen.iter().all(|(before, _)| *before < time), "tick {tick}");
            for at in step.events {
                assert!(START + times[at] >= time, "tick {tick}");
                seen.push((START + times[at], step.epoch));
            }
        }
        let epoch = |time: i64| cuts.iter().filter(|cut| **cut <= time).count();
        let expected: Vec<_> = times.iter().map(|at| (START + at, epoch(START + at))).collect();
        assert_eq!(seen, expected, "tick {tick}");
    }
}
