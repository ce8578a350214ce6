//! What two accounts have in common against plain counting over random histories, in which some act
//! in more groups than are kept.

use proptest::prelude::*;

use super::*;
use crate::keyed::{Key, Requests};

const DAY: i64 = 24 * 3_600_000;

/// An act of an account in a group, or a dealing of two somewhere or nowhere.
#[derive(Clone, Debug)]
struct Event {
    time: i64,
    account: u64,
    other: Option<u64>,
    group: Option<u64>,
}

/// A crowd in more groups than are kept, and a pause at the end of the window now and then.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let pause = prop_oneof![
        40 => 0..DAY / 8,
        1 => prop::sample::select(vec![15 * DAY, 30 * DAY - 1, 30 * DAY]),
    ];
    let groups = prop_oneof![Just(6u64), Just(90)];
    groups.prop_flat_map(move |groups| {
        let other = prop::option::weighted(0.3, 0u64..3);
        let event = (pause.clone(), 0u64..3, other, prop::option::weighted(0.9, 1..groups));
        prop::collection::vec(event, 1..700).prop_map(|events| {
            let mut time = 0;
            let event = |(pause, account, other, group)| {
                time += pause;
                Event { time, account, other, group }
            };
            events.into_iter().map(event).collect()
        })
    })
}

/// The groups of an account at an event: the 64 in which it acted last of 30 days, and whether
/// there are more.
fn groups_of(events: &[Event], at: usize, account: u64) -> (Vec<u64>, bool) {
    let recent = |event: &&Event| event.time > events[at].time - 30 * DAY;
    let acts = events[..=at].iter().rev().filter(recent).filter(|event| event.account == account);
    let mut groups = Vec::new();
    for group in acts.filter_map(|event| event.group) {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    let is_cut = groups.len() > 64;
    groups.truncate(64);
    (groups, is_cut)
}

fn expected(events: &[Event], at: usize) -> Option<[u64; 2]> {
    let (account, other) = (events[at].account, events[at].other?);
    if account == other {
        return Some([0, 0]);
    }
    let [(ours, one), (theirs, two)] = [account, other].map(|who| groups_of(events, at, who));
    let common = ours.iter().filter(|group| theirs.contains(group)).count();
    Some([common as u64, u64::from(one) + u64::from(two)])
}

fn key(account: u64) -> Key {
    Key::of(&account.to_le_bytes())
}

/// The requests of a slice, a batch for each worker.
fn requests(events: &[Event], peers: usize) -> Vec<Requests> {
    let to = Addressing { origin: peers - 1, peers, first: 0 };
    let mut batches = Requests::batches(&to, events.len(), 1);
    for (row, event) in events.iter().enumerate() {
        let mut ask = |account: u64, streams: u32| {
            let batch = &mut batches[key(account).group() % peers];
            batch.push(row, key(account), event.time, streams, 0);
            batch.words.extend(event.group.filter(|_| streams & ACTS != 0));
        };
        let acts = if event.group.is_some() { ACTS } else { 0 };
        match event.other {
            Some(other) if other == event.account => ask(event.account, acts | WITH_ONESELF),
            Some(other) => {
                ask(event.account, acts | AS_PAYEE);
                ask(other, AS_PAYER);
            }
            None if acts != 0 => ask(event.account, acts),
            None => {}
        }
    }
    batches
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn equals_plain_counting(events in events(), peers in 1usize..4, slice in 1usize..300) {
        let mut states: Vec<ActsState> = (0..peers).map(|_| ActsState::new(peers)).collect();
        let mut found = Vec::new();
        for (nth, part) in events.chunks(slice).enumerate() {
            let batches = requests(part, peers);
            let lists: Vec<Requests> =
                states.iter_mut().zip(&batches).map(|(state, batch)| state.apply(batch)).collect();
            prop_assert!(lists.iter().all(|list| list.destination as usize == peers - 1));
            let mut replies = Replies::to(&lists[0], 0);
            compare(&lists, &mut replies);
            let words = replies.values.chunks_exact(2).map(|words| [words[0], words[1]]);
            found.extend(replies.rows.iter().map(|row| nth * slice + *row as usize).zip(words));
        }
        let wanted = (0..events.len()).filter_map(|at| Some((at, expected(&events, at)?)));
        prop_assert_eq!(found, wanted.collect::<Vec<_>>());
    }
}

/// A keeper's memory is that of the groups in the window, and at most of those that are kept.
#[test]
fn memory_follows_the_groups_of_the_window() {
    let mut acts = Acts::default();
    (0..10_000).for_each(|at| acts.act(at, at as i64));
    assert_eq!(acts.groups.len(), GROUPS_MAX);
    assert!(acts.heap_bytes() < 2 * GROUPS_MAX * 16, "{}", acts.heap_bytes());
    acts.act(1, 30 * DAY + 9_998);
    assert_eq!((acts.groups.len(), acts.gave_way), (2, None));
    assert!(acts.heap_bytes() < 8 * 16, "{}", acts.heap_bytes());
    acts.expire(90 * DAY);
    assert!(acts.is_over());
}
