//! The components of the account-device graph, through differential-dataflow.

use differential_dataflow::VecCollection;
use differential_dataflow::operators::iterate::Iterate;

use super::edges::Edge;
use super::groups::Membership;

/// The label of each linked account: the smallest account id of its component.
pub(crate) fn labels(
    edges: VecCollection<'_, u64, Edge, isize>,
) -> VecCollection<'_, u64, (String, String), isize> {
    let by_account = edges.clone().arrange_by_key_named("Clusters: devices of accounts");
    let by_device = edges
        .clone()
        .map(|(account, device)| (device, account))
        .arrange_by_key_named("Clusters: accounts of devices");
    let own =
        edges.map(|(account, _)| account).distinct().map(|account| (account.clone(), account));
    own.clone().iterate(|scope, labels| {
        let by_account = by_account.enter(scope);
        let by_device = by_device.enter(scope);
        let own = own.enter(scope);
        let of_devices = labels
            .arrange_by_key_named("Clusters: labels")
            .join_core(by_account, |_account, label, device| Some((*device, label.clone())))
            .reduce_named("Clusters: smallest of device", smallest);
        of_devices
            .arrange_by_key_named("Clusters: labels of devices")
            .join_core(by_device, |_device, label, account| Some((account.clone(), label.clone())))
            .concat(own)
            .reduce_named("Clusters: smallest of account", smallest)
    })
}

/// How many accounts each cluster has.
pub(crate) fn sizes(
    labels: VecCollection<'_, u64, (String, String), isize>,
) -> VecCollection<'_, u64, (String, isize), isize> {
    labels.map(|(_account, label)| label).count()
}

/// In how many distinct groups the accounts of each cluster acted.
pub(crate) fn group_counts<'s>(
    labels: VecCollection<'s, u64, (String, String), isize>,
    memberships: VecCollection<'s, u64, Membership, isize>,
) -> VecCollection<'s, u64, (String, isize), isize> {
    labels
        .arrange_by_key_named("Clusters: labels of accounts")
        .join_core(
            memberships.arrange_by_key_named("Clusters: groups of accounts"),
            |_account, label, group| Some((label.clone(), *group)),
        )
        .distinct()
        .map(|(label, _group)| label)
        .count()
}

fn smallest<K>(_key: &K, labels: &[(&String, isize)], output: &mut Vec<(String, isize)>) {
    if let Some((label, _)) = labels.first() {
        output.push(((*label).clone(), 1));
    }
}
