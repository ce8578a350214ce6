//! The clusters' part of the dataflow: keyed by device, through differential, keyed by account.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use differential_dataflow::AsCollection;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Capability, Concatenate};

use crate::event::{ACCOUNT_ID, DEVICE_ID, GROUP_ID};
use crate::features::devices::components::{group_counts, labels, sizes};
use crate::features::devices::edges::{Edge, SharedEdges};
use crate::features::devices::groups::{AccountGroups, Membership};
use crate::features::devices::view::ClusterChange;
use crate::features::devices::{Change, ClusterOptions};
use crate::features::state::LOOK_AHEAD;
use crate::gather::Prepared;
use crate::keyed::{Addressing, Key, Replies, Requests, halves, whole};

type LabelChange = ((String, String), u64, isize);
/// A change of what is known of clusters, when, and by how much.
pub(super) type ViewChange = (ClusterChange, i64, isize);

/// Requests to the keeper of each event's device: the account that acted there.
pub(super) fn device_requests(prepared: &Prepared, to: &Addressing) -> Vec<Requests> {
    let slice = &prepared.slice;
    let mut batches = Requests::batches(to, slice.chunk.len(), 2);
    let [devices, accounts] = prepared.keys_of([DEVICE_ID, ACCOUNT_ID]);
    for row in 0..slice.chunk.len() {
        let (device, account) = (devices[row], accounts[row]);
        if device == Key::NULL || account == Key::NULL {
            continue;
        }
        let batch = &mut batches[device.group() % to.peers];
        batch.push(row, device, slice.effective[row], 1, 0);
        batch.words.extend(halves(account.hash));
        batch.texts.push(slice.chunk.str(ACCOUNT_ID, row));
    }
    batches
}

/// Requests to the keeper of each event's account: the group in which it acted, and for
/// transactions the question in how many it did.
pub(super) fn group_requests(prepared: &Prepared, to: &Addressing) -> Vec<Requests> {
    let slice = &prepared.slice;
    let mut batches = Requests::batches(to, slice.chunk.len(), 2);
    let [accounts, groups] = prepared.keys_of([ACCOUNT_ID, GROUP_ID]);
    for row in 0..slice.chunk.len() {
        let (account, group) = (accounts[row], groups[row]);
        let asks = slice.chunk.kind(row).is_transaction();
        if account == Key::NULL || (group == Key::NULL && !asks) {
            continue;
        }
        let batch = &mut batches[account.group() % to.peers];
        batch.push(row, account, slice.effective[row], 1, u32::from(asks));
        batch.words.extend(halves(group.hash));
    }
    batches
}

/// Keyed by device: how the edges that link accounts change. `reached` is the last moment of the
/// run, once there is no more.
pub(super) fn shared_edges<'s>(
    requests: StreamVec<'s, u64, Requests>,
    options: ClusterOptions,
    reached: Rc<Cell<i64>>,
) -> StreamVec<'s, u64, Change<Edge>> {
    requests.unary_frontier::<CapacityContainerBuilder<Vec<Change<Edge>>>, _, _, _>(
        Exchange::new(|requests: &Requests| u64::from(requests.destination)),
        "Devices: shared edges",
        |initial, _| {
            let mut held = Some(initial);
            let mut state = SharedEdges::new(options);
            let mut waiting: BTreeMap<u64, Vec<Requests>> = BTreeMap::new();
            let mut changes = Vec::new();
            move |(input, frontier), output| {
                input.for_each_stamp(|stamp, batches| {
                    let Some(&time) = stamp.least() else { return };
                    let held = waiting.entry(time).or_default();
                    held.extend(batches.flat_map(|batches| batches.drain(..)));
                });
                let Some(capability) = &mut held else { return };
                while let Some(step) = waiting.first_entry() {
                    if frontier.less_equal(step.key()) {
                        break;
                    }
                    for requests in step.remove() {
                        for at in 0..requests.rows.len() {
                            let (device, name) = (requests.hashes[at], requests.texts.get(at));
                            let account = whole(&requests.words[2 * at..2 * at + 2]);
                            state.see(device, account, name, requests.times[at]);
                        }
                    }
                }
                let known = frontier.frontier().first().copied();
                let end = || reached.get();
                state.advance(known.map_or_else(end, |known| known as i64), &mut changes);
                output.session(&capability).give_iterator(changes.drain(..));
                match known {
                    Some(known) => capability.downgrade(&known),
                    None => held = None,
                }
            }
        },
    )
}

/// From the edges on: the answers to group requests, and how clusters change, on every worker.
pub(super) fn clusters<'s>(
    edges: StreamVec<'s, u64, Change<Edge>>,
    requests: StreamVec<'s, u64, Requests>,
    options: ClusterOptions,
    family: u32,
    reached: &Rc<Cell<i64>>,
) -> (StreamVec<'s, u64, Replies>, StreamVec<'s, u64, ViewChange>) {
    let labels = labels(edges.as_collection()).consolidate();
    let (replies, memberships) =
        account_groups(requests, labels.clone().inner, options, family, reached.clone());
    let memberships = memberships.as_collection();
    let groups = group_counts(labels.clone(), memberships)
        .inner
        .map(|((label, groups), time, by)| (ClusterChange::Groups(label, groups), time as i64, by));
    let sizes = sizes(labels.clone())
        .inner
        .map(|((label, size), time, by)| (ClusterChange::Size(label, size), time as i64, by));
    let labels = labels.inner.map(|((account, label), time, by)| {
        (ClusterChange::Label(account, label), time as i64, by)
    });
    let scope = labels.scope();
    let changes = scope.concatenate([groups, sizes, labels]).broadcast();
    (replies, changes)
}

/// Keyed by account: counts groups, and tells the groups of linked accounts.
fn account_groups<'s>(
    requests: StreamVec<'s, u64, Requests>,
    labels: StreamVec<'s, u64, LabelChange>,
    options: ClusterOptions,
    family: u32,
    reached: Rc<Cell<i64>>,
) -> (StreamVec<'s, u64, Replies>, StreamVec<'s, u64, Change<Membership>>) {
    let mut builder =
        OperatorBuilder::new("Devices: groups of accounts".to_owned(), requests.scope());
    let by_worker = Exchange::new(|requests: &Requests| u64::from(requests.destination));
    let by_account = Exchange::new(|((account, _), _, _): &LabelChange| {
        Key::of(account.as_bytes()).group() as u64
    });
    let mut requests = builder.new_input(requests, by_worker);
    let mut labels = builder.new_input(labels, by_account);
    let (replies, replies_stream) = builder.new_output::<Vec<Replies>>();
    let (memberships, memberships_stream) = builder.new_output::<Vec<Change<Membership>>>();
    let mut replies = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(replies);
    let mut memberships = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(memberships);
    builder.build(move |mut capabilities| {
        let mut held = capabilities.pop();
        drop(capabilities);
        let mut keeper = Keeper::new(options, family, reached);
        move |frontiers| {
            let (mut replies, mut memberships) = (replies.activate(), memberships.activate());
            requests.for_each_stamp(|stamp, batches| {
                let Some(&time) = stamp.least() else { return };
                let Some(capability) = stamp.retain_least(0) else {
                    return;
                };
                let held = keeper.waiting.entry(time).or_insert_with(|| (capability, Vec::new()));
                held.1.extend(batches.flat_map(|batches| batches.drain(..)));
            });
            labels.for_each_stamp(|_, changes| {
                for ((account, _), time, by) in changes.flat_map(|changes| changes.drain(..)) {
                    let moment = keeper.labels.entry(time as i64).or_default();
                    *moment.entry(account).or_default() += by;
                }
            });
            let until = |at: usize| frontiers[at].frontier().first().copied();
            let (events, known) = (until(0), until(1));
            let Some(capability) = &mut held else { return };
            while let Some((capability, step)) = keeper.next_step(events, known) {
                for requests in step {
                    replies.session(&capability).give(keeper.apply(&requests));
                }
            }
            let next = keeper.catch_up(events, known);
            memberships.session(&capability).give_iterator(keeper.changes.drain(..));
            match next {
                Some(next) => {
                    if *capability.time() < next {
                        capability.downgrade(&next);
                    }
                }
                None => held = None,
            }
        }
    });
    (replies_stream, memberships_stream)
}

/// Brings requests and labels together in the order of time.
struct Keeper {
    options: ClusterOptions,
    family: u32,
    /// The last moment of the run, once there is no more.
    reached: Rc<Cell<i64>>,
    state: AccountGroups,
    waiting: BTreeMap<u64, (Capability<u64>, Vec<Requests>)>,
    /// For each moment, which accounts gain or lose a label; a change of label is neither.
    labels: BTreeMap<i64, BTreeMap<String, isize>>,
    changes: Vec<Change<Membership>>,
}

impl Keeper {
    fn new(options: ClusterOptions, family: u32, reached: Rc<Cell<i64>>) -> Keeper {
        Keeper {
            options,
            family,
            reached,
            state: AccountGroups::new(options),
            waiting: BTreeMap::new(),
            labels: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    /// The next step of which all requests are there, and all labels as of its transactions.
    fn next_step(
        &mut self,
        events: Option<u64>,
        known: Option<u64>,
    ) -> Option<(Capability<u64>, Vec<Requests>)> {
        let step = self.waiting.first_entry()?;
        if events.is_some_and(|events| events <= *step.key()) {
            return None;
        }
        let last = step.get().1.iter().flat_map(|requests| requests.times.last()).max();
        let needed = last.map_or(0, |last| self.options.known(*last));
        if known.is_some_and(|known| known as i64 <= needed) {
            return None;
        }
        let (capability, mut batches) = step.remove();
        batches.sort_by_key(|requests| requests.first);
        Some((capability, batches))
    }

    fn apply(&mut self, requests: &Requests) -> Replies {
        let mut replies =
            Replies { origin: requests.origin, family: self.family, ..Replies::default() };
        for (at, group) in requests.words.chunks_exact(2).enumerate() {
            if at % LOOK_AHEAD == 0 {
                self.state.look_ahead(requests.hashes[at..].iter().take(LOOK_AHEAD).copied());
            }
            let (account, time) = (requests.hashes[at], requests.times[at]);
            let moment = self.options.known(time);
            self.step_until(moment);
            if group != [0, 0] {
                self.state.act(account, [group[0], group[1]], time);
            }
            if requests.lookups[at] != 0 {
                replies.rows.push(requests.rows[at]);
                replies.lookups.push(1);
                replies.values.push(self.state.count(account, moment) as u64);
            }
        }
        replies
    }

    /// Applies labels and what falls due, in order, until a moment that is known whole.
    fn step_until(&mut self, moment: i64) {
        loop {
            let due = self.state.next_due();
            let labelled = self.labels.keys().next().copied();
            let Some(now) = due.into_iter().chain(labelled).min() else {
                return;
            };
            if now > moment {
                return;
            }
            if due == Some(now) {
                self.state.step(now, &mut self.changes);
            }
            for (account, by) in self.labels.remove(&now).unwrap_or_default() {
                let key = Key::of(account.as_bytes()).hash;
                match by {
                    0 => {}
                    1.. => self.state.link(key, &account, now, &mut self.changes),
                    _ => self.state.unlink(key, now, &mut self.changes),
                }
            }
        }
    }

    /// Applies what no request to come can look behind, and says from when on there may be more.
    fn catch_up(&mut self, events: Option<u64>, known: Option<u64>) -> Option<u64> {
        // Requests that wait for labels look as far back as those that have not come.
        let first = events.into_iter().chain(self.waiting.keys().next().copied()).min();
        let end = || self.reached.get();
        let moment = self.options.known(first.map_or_else(end, |first| first as i64));
        let settled = known.map_or(moment, |known| moment.min(known as i64 - 1));
        self.step_until(settled);
        if first.is_none() && settled == moment {
            return None;
        }
        Some((settled + 1).max(0) as u64)
    }
}
