//! The graph against two oracles: labels spread from the definition, and differential-dataflow.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use differential_dataflow::VecCollection;
use differential_dataflow::input::Input as _;
use differential_dataflow::operators::iterate::Iterate as _;
use proptest::prelude::*;

use super::{Linkage, Moment};
use crate::features::devices::ClusterOptions;
use crate::features::devices::edges::{EdgeChange, EdgeStep, SharedEdges};
use crate::features::devices::groups::Membership;
use crate::features::devices::view::ClusterView;

/// An account's component: its smallest account, how many accounts, how many groups.
type Found = BTreeMap<u128, (String, i64, i64)>;

/// Account and device.
type Pair = (u128, u128);

fn name(account: u128) -> String {
    format!("u{account:03}")
}

/// The changes of each moment of a history of `(gap, account, device)`.
fn moments(events: &[(i64, u8, u8)], options: ClusterOptions) -> BTreeMap<i64, Vec<EdgeChange>> {
    let (mut time, mut changes) = (10_000, Vec::new());
    let mut edges = SharedEdges::new(options);
    for &(gap, account, device) in events {
        time += gap;
        let account = u128::from(account);
        edges.see(u128::from(device), account, &name(account), time);
    }
    edges.advance(time, &mut changes);
    let mut moments: BTreeMap<i64, Vec<EdgeChange>> = BTreeMap::new();
    for change in changes {
        moments.entry(change.at).or_default().push(change);
    }
    moments
}

fn follow(live: &mut BTreeSet<Pair>, changes: &[EdgeChange]) {
    for change in changes {
        let edge = (change.account, change.device);
        match change.step {
            EdgeStep::Link { .. } => drop(live.insert(edge)),
            EdgeStep::Cut => drop(live.remove(&edge)),
            EdgeStep::Hold { .. } => {}
        }
    }
}

/// The smallest account of each account's component.
fn labels(live: &BTreeSet<Pair>) -> BTreeMap<u128, u128> {
    let mut labels: BTreeMap<u128, u128> =
        live.iter().map(|(account, _)| (*account, *account)).collect();
    loop {
        let before = labels.clone();
        let mut devices: BTreeMap<u128, u128> = BTreeMap::new();
        for (account, device) in live {
            let label = devices.entry(*device).or_insert(labels[account]);
            *label = (*label).min(labels[account]);
        }
        for (account, device) in live {
            labels.entry(*account).and_modify(|label| *label = (*label).min(devices[device]));
        }
        if labels == before {
            return labels;
        }
    }
}

/// What drawn acts make of the memberships at a moment: whoever is linked no more leaves all
/// groups, and a linked account enters a group, or leaves it.
fn memberships(
    (before, after): (&BTreeSet<u128>, &BTreeSet<u128>),
    acts: impl Iterator<Item = (u128, u64)>,
    held: &mut BTreeMap<u128, BTreeSet<u64>>,
) -> Vec<(Membership, isize)> {
    let mut changes = Vec::new();
    for account in before.difference(after) {
        for group in held.remove(account).unwrap_or_default() {
            changes.push(((*account, [group, 1]), -1));
        }
    }
    let mut done = BTreeSet::new();
    for (account, group) in acts.filter(|act| after.contains(&act.0)) {
        if !done.insert((account, group)) {
            continue;
        }
        let groups = held.entry(account).or_default();
        let by = if groups.insert(group) { 1 } else { -1 };
        if by < 0 {
            groups.remove(&group);
        }
        changes.push(((account, [group, 1]), by));
    }
    changes
}

fn expected(live: &BTreeSet<Pair>, held: &BTreeMap<u128, BTreeSet<u64>>) -> Found {
    let labels = labels(live);
    let of = |label: u128| {
        let mates = || labels.iter().filter(move |(_, held)| **held == label);
        let groups: BTreeSet<u64> =
            mates().filter_map(|(mate, _)| held.get(mate)).flatten().copied().collect();
        (name(label), mates().count() as i64, groups.len() as i64)
    };
    labels.iter().map(|(account, label)| (*account, of(*label))).collect()
}

fn found(view: &ClusterView, accounts: u128) -> Found {
    let one = |account: u128| {
        let linked = view.linked(account)?;
        Some((account, (linked.id.to_owned(), linked.accounts, linked.groups)))
    };
    (0..accounts).filter_map(one).collect()
}

/// Applies a history and compares every account at every moment.
fn check(
    events: &[(i64, u8, u8)],
    options: ClusterOptions,
    acts: &[(usize, u8, u8)],
    visits: u64,
) -> Result<(), TestCaseError> {
    let (mut live, mut held) = (BTreeSet::new(), BTreeMap::new());
    let (mut linkage, mut view) = (Linkage::default(), ClusterView::default());
    let linked = |live: &BTreeSet<Pair>| live.iter().map(|edge| edge.0).collect();
    for (nth, (time, edges)) in moments(events, options).into_iter().enumerate() {
        let before: BTreeSet<u128> = linked(&live);
        follow(&mut live, &edges);
        let now = acts.iter().filter(|act| act.0 == nth);
        let now = now.map(|(_, account, group)| (u128::from(*account), u64::from(*group)));
        let memberships = memberships((&before, &linked(&live)), now, &mut held);
        linkage.begin(Moment { time, edges, memberships });
        let changes = loop {
            if let Some(changes) = linkage.work(visits) {
                break changes;
            }
        };
        view.take(changes);
        view.advance(time);
        prop_assert_eq!(found(&view, 256), expected(&live, &held), "as of {}", time);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn small_components_are_what_the_definition_says(
        events in prop::collection::vec((0i64..400, 0u8..12, 1u8..8), 1..150),
        graph_tick in prop::sample::select(vec![7i64, 50, 500]),
        window in prop::sample::select(vec![300i64, 2_000, 9_000]),
        hub_limit in 2usize..6,
        acts in prop::collection::vec((0usize..120, 0u8..12, 0u8..5), 0..60),
        visits in prop::sample::select(vec![1u64, 7, 1_000]),
    ) {
        check(&events, ClusterOptions { graph_tick, window, hub_limit }, &acts, visits)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn large_components_are_what_the_definition_says(
        events in prop::collection::vec((0i64..40, 0u8..160, 1u8..120), 300..900),
        graph_tick in prop::sample::select(vec![50i64, 200]),
        window in prop::sample::select(vec![1_000i64, 5_000]),
        hub_limit in 3usize..9,
        acts in prop::collection::vec((0usize..300, 0u8..160, 0u8..9), 0..900),
    ) {
        check(&events, ClusterOptions { graph_tick, window, hub_limit }, &acts, 50)?;
    }
}

/// The label of each linked account through differential-dataflow: its smallest account.
fn differential(edges: VecCollection<'_, u64, Pair, isize>) -> VecCollection<'_, u64, Pair, isize> {
    fn smallest<K>(_key: &K, labels: &[(&u128, isize)], output: &mut Vec<(u128, isize)>) {
        output.extend(labels.first().map(|(label, _)| (**label, 1)));
    }
    let by_account = edges.clone().arrange_by_key_named("Oracle: devices of accounts");
    let turned = edges.clone().map(|(account, device)| (device, account));
    let by_device = turned.arrange_by_key_named("Oracle: accounts of devices");
    let own = edges.map(|(account, _)| account).distinct().map(|account| (account, account));
    own.clone().iterate(|scope, labels| {
        let by_account = by_account.enter(scope);
        let by_device = by_device.enter(scope);
        labels
            .arrange_by_key_named("Oracle: labels")
            .join_core(by_account, |_account, label, device| Some((*device, *label)))
            .reduce_named("Oracle: smallest of device", smallest)
            .arrange_by_key_named("Oracle: labels of devices")
            .join_core(by_device, |_device, label, account| Some((*account, *label)))
            .concat(own.enter(scope))
            .reduce_named("Oracle: smallest of account", smallest)
    })
}

/// How the labels change, by moment.
fn labels_by_differential(
    moments: &BTreeMap<i64, Vec<EdgeChange>>,
) -> BTreeMap<i64, BTreeMap<Pair, isize>> {
    let moments = moments.clone();
    timely::execute_directly(move |worker| {
        let changes: Rc<RefCell<BTreeMap<i64, BTreeMap<Pair, isize>>>> = Rc::default();
        let seen = changes.clone();
        let mut input = worker.dataflow::<u64, _, _>(|scope| {
            let (input, edges) = scope.new_collection::<Pair, isize>();
            differential(edges).consolidate().inspect(move |(label, time, by)| {
                let mut seen = seen.borrow_mut();
                *seen.entry(*time as i64).or_default().entry(*label).or_default() += by;
            });
            input
        });
        for (time, changes) in &moments {
            input.advance_to(*time as u64);
            for change in changes {
                match change.step {
                    EdgeStep::Link { .. } => input.insert((change.account, change.device)),
                    EdgeStep::Cut => input.remove((change.account, change.device)),
                    EdgeStep::Hold { .. } => {}
                }
            }
        }
        drop(input);
        while worker.step() {}
        changes.take()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn differential_dataflow_finds_the_same_labels(
        events in prop::collection::vec((0i64..200, 0u8..60, 1u8..40), 1..400),
        hub_limit in 2usize..6,
    ) {
        let options = ClusterOptions { graph_tick: 500, window: 9_000, hub_limit };
        let moments = moments(&events, options);
        let changes = labels_by_differential(&moments);
        let (mut linkage, mut view) = (Linkage::default(), ClusterView::default());
        let mut held: BTreeMap<Pair, isize> = BTreeMap::new();
        for (time, edges) in moments {
            linkage.begin(Moment { time, edges, memberships: Vec::new() });
            view.take(linkage.work(u64::MAX).expect("there is no limit"));
            view.advance(time);
            for (label, by) in changes.get(&time).into_iter().flatten() {
                *held.entry(*label).or_default() += by;
            }
            held.retain(|_, count| *count != 0);
            let labels: BTreeMap<u128, String> =
                held.keys().map(|(account, label)| (*account, name(*label))).collect();
            let found = found(&view, 256).into_iter();
            let found: BTreeMap<u128, String> = found.map(|(at, (id, ..))| (at, id)).collect();
            prop_assert_eq!(found, labels, "as of {}", time);
        }
    }
}
