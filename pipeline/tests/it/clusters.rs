//! Clusters of accounts over devices, against breadth-first search from the definition.

use std::collections::{BTreeMap, BTreeSet};

use hongxian::features::devices::ClusterOptions;
use proptest::prelude::*;

use crate::support::{Ev, START, chunk, features, job, options, rows, seen};

/// Accounts, distinct groups and smallest id of the account's component as of T.
fn cluster(events: &[Ev], at: usize, options: &ClusterOptions) -> (usize, usize, String) {
    let tick = options.graph_tick;
    let moment = (events[at].time.div_euclid(tick) - 1) * tick;
    let in_window = |ev: &&Ev| ev.time < moment && ev.time >= moment - options.window;
    let seen: Vec<&Ev> = events.iter().filter(in_window).collect();
    let mut on_device: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for ev in seen.iter().filter(|ev| !ev.device.is_empty()) {
        on_device.entry(&ev.device).or_default().insert(&ev.account);
    }
    on_device.retain(|_, accounts| accounts.len() <= options.hub_limit);
    let mut component = BTreeSet::from([events[at].account.as_str()]);
    loop {
        let size = component.len();
        for accounts in on_device.values() {
            if accounts.iter().any(|account| component.contains(account)) {
                component.extend(accounts);
            }
        }
        if component.len() == size {
            break;
        }
    }
    let groups: BTreeSet<&str> = seen
        .iter()
        .filter(|ev| component.contains(ev.account.as_str()) && !ev.group.is_empty())
        .map(|ev| ev.group.as_str())
        .collect();
    let smallest = component.first().expect("the account itself").to_string();
    (component.len(), groups.len(), smallest)
}

fn events() -> impl Strategy<Value = Vec<Ev>> {
    let event = (0i64..400, 0u8..9, 0u8..5, 0u8..6, prop::bool::weighted(0.5));
    prop::collection::vec(event, 1..120).prop_map(|parts| {
        let mut time = START;
        let event = |(at, (gap, account, device, group, claim)): (usize, _)| {
            time += gap;
            seen(at, time, (account, device, group), claim)
        };
        parts.into_iter().enumerate().map(event).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn equal_breadth_first_search_however_cut(
        events in events(),
        graph_tick in prop::sample::select(vec![7, 50, 500]),
        window in prop::sample::select(vec![300, 2_000, 1_000_000]),
        hub_limit in 2usize..6,
        workers in 1usize..4,
        tick in prop::sample::select(vec![5, 1_000, 3_600_000]),
        batch in prop::sample::select(vec![1, 7, 10_000]),
    ) {
        let clusters = ClusterOptions { graph_tick, window, hub_limit };
        let features = features(Vec::new(), Some(clusters));
        let job = job(vec![chunk(&events)], features, true);
        for (id, row) in rows(&job, options(workers, tick, batch)) {
            let at = events.iter().position(|ev| ev.id == id).expect("the event");
            let (accounts, groups, smallest) = cluster(&events, at, &clusters);
            prop_assert_eq!(&row["devices.cluster_accounts"], &accounts.to_string(), "{}", id);
            prop_assert_eq!(&row["devices.cluster_id"], &smallest, "{}", id);
            prop_assert_eq!(&row["devices.cluster_groups"], &groups.to_string(), "{}", id);
        }
    }
}
