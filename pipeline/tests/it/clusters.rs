//! Clusters of accounts over devices, against breadth-first search from the definition.

use std::collections::{BTreeMap, BTreeSet};

use hongxian::event::{DEVICE_ID, GROUP_ID, PACKET_ID};
use hongxian::features::devices::{ClusterOptions, Clusters, Link};
use proptest::prelude::*;

use crate::late;
use crate::support::{Ev, START, features, linked_features, options, rows, seen};

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
        arrivals in late::arrivals(),
        graph_tick in prop::sample::select(vec![7, 50, 500]),
        window in prop::sample::select(vec![300, 2_000, 1_000_000]),
        hub_limit in 2usize..6,
        workers in 1usize..4,
        tick in prop::sample::select(vec![5, 1_000, 3_600_000]),
        batch in prop::sample::select(vec![1, 7, 10_000]),
    ) {
        let clusters = ClusterOptions { graph_tick, window, hub_limit };
        let features = features(Vec::new(), Some(clusters));
        let (job, events) = late::job(events, arrivals.as_ref(), features);
        for (id, row) in rows(&job, options(workers, tick, batch)) {
            let at = events.iter().position(|ev| ev.id == id).expect("the event");
            let (accounts, groups, smallest) = cluster(&events, at, &clusters);
            prop_assert_eq!(&row["devices.cluster_accounts"], &accounts.to_string(), "{}", id);
            prop_assert_eq!(&row["devices.cluster_id"], &smallest, "{}", id);
            prop_assert_eq!(&row["devices.cluster_groups"], &groups.to_string(), "{}", id);
        }
    }
}

/// A link as the definition has it: the value that an event has, if it has one, and the hub limit.
type Linking = (fn(&Ev) -> Option<(&'static str, Vec<String>)>, usize);

/// Size and smallest id of the account's component, over several links.
fn cluster_by_links(
    events: &[Ev],
    at: usize,
    (graph_tick, window): (i64, i64),
    links: &[Linking],
) -> (usize, String) {
    let moment = (events[at].time.div_euclid(graph_tick) - 1) * graph_tick;
    let in_window = |ev: &&Ev| ev.time < moment && ev.time >= moment - window;
    let mut sharing: Vec<BTreeSet<&str>> = Vec::new();
    for (value, hub_limit) in links {
        let mut with: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        for ev in events.iter().filter(in_window) {
            if let Some(value) = value(ev) {
                with.entry(value).or_default().insert(&ev.account);
            }
        }
        sharing.extend(with.into_values().filter(|accounts| accounts.len() <= *hub_limit));
    }
    let mut component = BTreeSet::from([events[at].account.as_str()]);
    loop {
        let size = component.len();
        for accounts in &sharing {
            if accounts.iter().any(|account| component.contains(account)) {
                component.extend(accounts);
            }
        }
        if component.len() == size {
            let smallest = component.first().expect("the account itself").to_string();
            return (size, smallest);
        }
    }
}

fn linked_events() -> impl Strategy<Value = Vec<Ev>> {
    let packets = prop::collection::vec(0u8..4, 120);
    (events(), packets).prop_map(|(mut events, packets)| {
        for (event, packet) in events.iter_mut().zip(packets) {
            // The same text as a device's: values of different links are never the same.
            event.packet = if packet == 0 { String::new() } else { format!("d{packet}") };
        }
        events
    })
}

fn device(ev: &Ev) -> Option<(&'static str, Vec<String>)> {
    (!ev.device.is_empty()).then(|| ("device", vec![ev.device.clone()]))
}

fn place(ev: &Ev) -> Option<(&'static str, Vec<String>)> {
    let whole = !ev.packet.is_empty() && !ev.group.is_empty();
    whole.then(|| ("place", vec![ev.packet.clone(), ev.group.clone()]))
}

fn packet(ev: &Ev) -> Option<(&'static str, Vec<String>)> {
    (!ev.packet.is_empty()).then(|| ("packet", vec![ev.packet.clone()]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn further_links_join_as_devices_do(
        events in linked_events(),
        arrivals in late::arrivals(),
        graph_tick in prop::sample::select(vec![7, 50, 500]),
        window in prop::sample::select(vec![300, 2_000, 1_000_000]),
        hubs in (2usize..6, 2usize..4, 2usize..4),
        chosen in prop::sample::subsequence(vec![0usize, 1, 2], 0..=3),
        workers in 1usize..4,
        batch in prop::sample::select(vec![1, 7, 10_000]),
    ) {
        let all: [(&str, Vec<_>, Linking); 3] = [
            ("device", vec![DEVICE_ID], (device, hubs.0)),
            ("place", vec![PACKET_ID, GROUP_ID], (place, hubs.1)),
            ("packet", vec![PACKET_ID], (packet, hubs.2)),
        ];
        let link = |at: &usize| {
            let (name, fields, (_, hub_limit)) = &all[*at];
            Link { name: (*name).to_owned(), fields: fields.clone(), hub_limit: *hub_limit }
        };
        let clusters = Clusters { graph_tick, window, links: chosen.iter().map(link).collect() };
        let links: Vec<Linking> = chosen.iter().map(|at| all[*at].2).collect();
        let features = linked_features(Vec::new(), Some(clusters));
        let (job, events) = late::job(events, arrivals.as_ref(), features);
        for (id, row) in rows(&job, options(workers, 1_000, batch)) {
            let at = events.iter().position(|ev| ev.id == id).expect("the event");
            let (accounts, smallest) =
                cluster_by_links(&events, at, (graph_tick, window), &links);
            prop_assert_eq!(&row["devices.cluster_accounts"], &accounts.to_string(), "{}", id);
            prop_assert_eq!(&row["devices.cluster_id"], &smallest, "{}", id);
        }
    }
}
