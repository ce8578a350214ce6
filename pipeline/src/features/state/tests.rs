//! Keys that have gone quiet, and what of them stays for good.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::event::{
    ACCOUNT_ID, AMOUNT_FEN, ChunkBuilder, EVENT_ID, EVENT_TIME, GROUP_ID, KIND, NULL_INT, Position,
    Raw, Schema, TEXT,
};
use crate::features::declare::{self, Body};
use crate::features::plan::{Definition, Plan};
use crate::features::requests::{Keys, requests};
use crate::keyed::{Addressing, NULL_TEXT};

const DAY: i64 = 86_400_000;
/// 2024-02-09T12:00:00Z.
const START: i64 = 1_707_480_000_000;

/// Windows of a day over the claims in a group; `count` is the first of them.
const OF_A_DAY: &str = "agg = 'count'\n
agg = 'stddev'\n
agg = 'quantile'\nq = 0.5\n
agg = 'max'\n
agg = 'top_share'\nfield = 'account_id'\n
agg = 'distinct'\nfield = 'account_id'\n";

/// An event in a group: when, which, and whether it is a claim, or a send, which only looks up.
type Event = (i64, u64, bool);

/// The family of claims by group, with features of a day and, before them, these without an end.
fn family(ever: &[&str]) -> Arc<Family> {
    let of_a_day = OF_A_DAY.split("\n\n").map(|agg| (agg, "1d"));
    let all = ever.iter().map(|agg| (*agg, "ever")).chain(of_a_day);
    let table = |(at, (agg, window)): (usize, (&str, &str))| {
        format!("[t.f{at}]\nover = ['claim']\nkey = ['group_id']\nwindow = '{window}'\n{agg}\n")
    };
    let toml: String = all.enumerate().map(table).collect();
    let schema = Schema::default();
    let (read, wrong) = declare::read_built_in(Path::new("built_in.toml"), &toml, &schema);
    assert_eq!(wrong, []);
    let definitions = read.list.into_iter().map(|one| match one.body {
        Body::Windowed(windowed) => Definition { name: one.name, windowed },
        other => panic!("{other:?} has a window"),
    });
    let mut families = Plan::new(&schema, definitions.collect()).families;
    assert_eq!(families.len(), 1, "all have one key");
    Arc::new(families.remove(0))
}

fn fresh(family: &Arc<Family>) -> FamilyState {
    FamilyState::new(family.clone(), Arc::new(Zone::new("Asia/Shanghai").expect("the zone")))
}

/// Applies events, each with the memo `memo GROUP`.
fn apply(state: &mut FamilyState, events: &[Event]) -> Replies {
    let mut chunk = ChunkBuilder::new(Arc::new(Schema::default()));
    for (at, (time, group, claim)) in events.iter().enumerate() {
        let (id, group, memo) = (format!("e{at}"), format!("g{group}"), format!("memo {group}"));
        let values = [
            (EVENT_ID, Raw::Str(&id)),
            (EVENT_TIME, Raw::Int(*time)),
            (KIND, Raw::Str(if *claim { "claim" } else { "send" })),
            (ACCOUNT_ID, Raw::Str("u")),
            (GROUP_ID, Raw::Str(&group)),
            (AMOUNT_FEN, Raw::Int(100)),
            (TEXT, Raw::Str(&memo)),
        ];
        chunk.push(values, Position { source: 0, at: at as u64 }).expect("a good event");
    }
    let times: Vec<i64> = events.iter().map(|event| event.0).collect();
    let to = Addressing { origin: 0, peers: 1, first: 0 };
    let (family, keys) = (state.family.clone(), &mut Keys::default());
    let batches = requests(&family, &chunk.finish(), &times, keys, &to, &|_, _| true);
    let mut replies = Replies::to(&batches[0], 0);
    state.apply(&batches[0], &mut replies);
    replies
}

fn claims(time: i64, groups: std::ops::Range<u64>) -> Vec<Event> {
    groups.map(|group| (time, group, true)).collect()
}

/// Groups of which there is at least one in each key group, and which are no others.
fn others(time: i64) -> Vec<Event> {
    claims(time, 1_000_000..1_005_000)
}

const FIRST: &str = "agg = 'since_first'";
const MEMO: &str = "agg = 'last'\nfield = 'text'";

#[test]
fn ten_thousand_quiet_keys_take_up_less_than_a_hundred_bytes_each() {
    let family = family(&[FIRST]);
    let mut with = fresh(&family);
    apply(&mut with, &claims(START, 0..10_000));
    let alive = with.usage();
    assert_eq!((alive.keys, alive.asleep), (10_000, 0));
    assert!(alive.bytes > 400 * alive.keys, "{alive:?}");

    let mut without = fresh(&family);
    for state in [&mut with, &mut without] {
        apply(state, &others(START + 30 * DAY));
    }
    let (with, without) = (with.usage(), without.usage());
    assert_eq!((with.keys, with.asleep), (5_000, 10_000));
    assert_eq!((without.keys, without.asleep), (5_000, 0));
    let bytes = (with.bytes - without.bytes) as f64 / 10_000.0;
    assert!(bytes < 100.0, "{bytes} bytes a key that sleeps");
    assert_eq!(with.events, without.events, "nothing else is left of them");
}

#[test]
fn a_key_that_sleeps_wakes_as_it_was_also_after_a_snapshot() {
    let family = family(&[FIRST, MEMO]);
    let mut state = fresh(&family);
    apply(&mut state, &claims(START, 0..300));
    let now = START + 30 * DAY;
    apply(&mut state, &others(now));
    assert_eq!(state.usage().asleep, 300);

    let mut restored = fresh(&family);
    state.save(&mut |number, bytes| restored.load(number, &bytes).expect("what was written"));
    assert_eq!(restored.usage().asleep, 300);
    for state in [&mut state, &mut restored] {
        let next = [(now + 1, 5, false), (now + 2, 6, true), (now + 3, 400, false)];
        let replies = apply(state, &next);
        // Answers come by key group.
        let values = replies.values.chunks(replies.values.len() / 3);
        let by_row: BTreeMap<&u32, &[u64]> = replies.rows.iter().zip(values).collect();
        let found: Vec<(i64, String, u64)> = by_row
            .into_values()
            .map(|row| {
                let memo =
                    if row[1] == NULL_TEXT { "" } else { replies.texts.get(row[1] as usize) };
                (row[0] as i64, memo.to_owned(), row[2])
            })
            .collect();
        let expected = [
            (30 * DAY + 1, "memo 5".to_owned(), 0),
            (30 * DAY + 2, "memo 6".to_owned(), 1),
            (NULL_INT, String::new(), 0),
        ];
        assert_eq!(found, expected, "of one that is looked up, one that claims, one never seen");
        let usage = state.usage();
        assert_eq!((usage.keys, usage.asleep), (5_002, 298));
        // What was woken falls asleep again, and nothing is lost by that.
        apply(state, &others(now + 30 * DAY));
        assert_eq!(state.usage().asleep, 300);
        let replies = apply(state, &[(now + 30 * DAY, 6, false)]);
        assert_eq!(replies.values[0] as i64, 60 * DAY);
        assert_eq!(replies.texts.get(replies.values[1] as usize), "memo 6");
    }
}

#[test]
fn where_nobody_is_alive_those_that_sleep_are_saved_all_the_same() {
    let family = family(&[FIRST]);
    let mut state = fresh(&family);
    apply(&mut state, &claims(START, 0..300));
    // An event of no known key is a sweep, and leaves nothing alive.
    let lookups: Vec<Event> = (1_000_000..1_005_000).map(|at| (START + DAY, at, false)).collect();
    apply(&mut state, &lookups);
    assert_eq!((state.usage().keys, state.usage().asleep), (0, 300));
    let mut restored = fresh(&family);
    state.save(&mut |number, bytes| restored.load(number, &bytes).expect("what was written"));
    let age = apply(&mut restored, &[(START + DAY, 299, false)]).values[0];
    assert_eq!(age as i64, DAY);
}

#[test]
fn values_that_are_counted_for_good_keep_their_keys_awake() {
    let mut state = fresh(&family(&["agg = 'distinct'\nfield = 'account_id'"]));
    apply(&mut state, &claims(START, 0..300));
    apply(&mut state, &others(START + 30 * DAY));
    assert_eq!((state.usage().keys, state.usage().asleep), (5_300, 0));
    assert_eq!(apply(&mut state, &[(START + 30 * DAY, 7, false)]).values[..2], [1, 0]);
}
