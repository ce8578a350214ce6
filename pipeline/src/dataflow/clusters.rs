//! The clusters' part of the dataflow: keyed by device, by account, on the one worker that has the
//! graph, and then what is known of them beside each slice.

mod graph;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};
use timely::progress::Antichain;

use super::keepers::Settled;
use super::{Events, Wiring};
use crate::event::{ACCOUNT_ID, GROUP_ID};
use crate::features::devices::edges::{EdgeChange, EdgeStep, EdgesIn, EdgesOut, SharedEdges};
use crate::features::devices::groups::{AccountGroups, GroupIn, Membership};
use crate::features::devices::view::{Changes, ClusterView};
use crate::features::devices::{Change, ClusterOptions, Clusters, Link};
use crate::features::state::LOOK_AHEAD;
use crate::gather::Prepared;
use crate::keyed::{Addressing, KEY_GROUPS, Key, Replies, Requests, halves, whole};
use crate::snapshot::{self, Broken, Share, Snapshot};

use graph::{GraphKeeper, GraphKept, graph};

impl Wiring<'_> {
    /// The clusters of accounts: how many groups each account acted in, and the events with the
    /// cluster of each one's account.
    pub(super) fn clusters<'s>(
        &self,
        events: &Events<'s>,
        clusters: &Clusters,
    ) -> (StreamVec<'s, u64, Replies>, Events<'s>) {
        let (index, peers) = (self.index, self.peers);
        let to = move |rank| Addressing { origin: index, peers, first: rank };
        let links = clusters.links.clone();
        let devices = self.ask(events, "clusters: links", move |prepared: &Prepared| {
            link_requests(prepared, &links, &to(prepared.rank))
        });
        let groups = self.ask(events, "clusters: groups", move |prepared| {
            group_requests(prepared, &to(prepared.rank))
        });
        let edges = self.shared_edges(devices, clusters);
        let family = self.job.features().cluster_family();
        let keeper = Keeper::new(clusters.clone(), family, self.reached.clone());
        let keeper = self.keepers.keep("clusters: groups", keeper);
        let settled = self.keepers.settles(|until| until);
        let (replies, memberships) = account_groups(groups, edges.clone(), keeper, settled);
        let (reached, of) = (self.reached.clone(), clusters.clone());
        let last = move || of.known(reached.load(Ordering::Relaxed));
        let changes = graph(edges, memberships, last, self.graph(clusters));
        (replies, self.annotate(events, changes, clusters))
    }

    /// The graph as it is kept, and where it says how far it is.
    fn graph(&self, clusters: &Clusters) -> GraphKept {
        let kept = self.keepers.keep("clusters: graph", GraphKeeper::default());
        (kept, [self.keepers.settles(|until| until), self.settles_graph(clusters)])
    }

    /// How far what is as of moments of the graph has to be.
    fn settles_graph(&self, clusters: &Clusters) -> Settled {
        let clusters = clusters.clone();
        self.keepers.settles(move |until| (clusters.known(until as i64) + 1).max(0) as u64)
    }

    /// Keyed by device: how the edges that link accounts change.
    fn shared_edges<'s>(
        &self,
        requests: StreamVec<'s, u64, Requests>,
        clusters: &Clusters,
    ) -> StreamVec<'s, u64, EdgeChange> {
        let (reached, summary) = (self.reached.clone(), self.summary.clone());
        let names: Vec<String> = clusters.links.iter().map(|link| link.name.clone()).collect();
        let of_link = |link: &Link| SharedEdges::new(clusters.of(link));
        let parts = clusters.links.iter().flat_map(|link| (0..PARTS).map(move |_| of_link(link)));
        let parts = self
            .keepers
            .keep("clusters: links", LinkParts { parts: parts.collect(), first: self.index });
        let settled = self.keepers.settles(|until| until);
        let scope = requests.scope();
        requests.unary_frontier::<CapacityContainerBuilder<Vec<EdgeChange>>, _, _, _>(
            Exchange::new(|requests: &Requests| u64::from(requests.destination)),
            "clusters: links: state",
            |initial, info| {
                let activator = scope.activator_for(info.address);
                let mut held = Some(initial);
                let mut waiting: BTreeMap<u64, Vec<Requests>> = BTreeMap::new();
                let mut changes = Vec::new();
                // A pass over all parts: until when, and which part is next.
                let mut pass: Option<(Option<u64>, usize)> = None;
                move |(input, frontier), output| {
                    let parts = &mut parts.borrow_mut().parts;
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
                        step.remove().iter().for_each(|requests| see(parts, requests));
                    }
                    let now = frontier.frontier().first().copied();
                    let (known, mut next) = pass.take().unwrap_or((now, 0));
                    let until = known.map(|known| known as i64);
                    let until = until.unwrap_or_else(|| reached.load(Ordering::Relaxed));
                    while next < parts.len() && changes.len() < CHANGES_A_TURN {
                        parts[next].advance(until, &mut changes);
                        next += 1;
                    }
                    output.session(&capability).give_iterator(changes.drain(..));
                    if next < parts.len() {
                        pass = Some((known, next));
                    } else if let Some(known) = known {
                        capability.downgrade(&known);
                    } else {
                        held = None;
                        let hubs = &mut summary.borrow_mut().hubs;
                        for (link, parts) in names.iter().zip(parts.chunks(PARTS)) {
                            let of_link = hubs.entry(link.clone()).or_default();
                            parts.iter().for_each(|part| of_link.add(part.hubs()));
                        }
                        return;
                    }
                    if pass.is_some() || known != now {
                        activator.activate();
                    } else {
                        settled.set(now);
                    }
                }
            },
        )
    }

    /// Puts beside each slice what is known of the clusters of its accounts, once it is.
    fn annotate<'s>(
        &self,
        events: &Events<'s>,
        changes: StreamVec<'s, u64, Changes>,
        clusters: &Clusters,
    ) -> Events<'s> {
        let clusters = clusters.clone();
        let keyed = self.job.features().families.iter().any(|family| family.uses_clusters());
        let view = self.keepers.keep("clusters: view", ClusterView::default());
        let settled = [self.keepers.settles(|until| until), self.settles_graph(&clusters)];
        let mut builder = OperatorBuilder::new("clusters: of slices".to_owned(), events.scope());
        let mut events = builder.new_input(events.clone(), Pipeline);
        let mut changes = builder.new_input(changes, Pipeline);
        // How clusters change holds a step back only as far as the step looks, one to two graph
        // ticks behind it: the operator's own capability says when it is done.
        let with = |input| (input, Antichain::from_elem(Default::default()));
        let (annotated, stream) = builder.new_output_connection::<Vec<_>, _>([with(0)]);
        let mut annotated =
            OutputBuilder::<_, CapacityContainerBuilder<Vec<Rc<Prepared>>>>::from(annotated);
        builder.build(move |capabilities| {
            drop(capabilities);
            let mut waiting: BTreeMap<u64, (Capability<u64>, Vec<Rc<Prepared>>)> = BTreeMap::new();
            move |frontiers| {
                let view = &mut *view.borrow_mut();
                let mut annotated = annotated.activate();
                events.for_each_stamp(|stamp, slices| {
                    let Some(&time) = stamp.least() else { return };
                    let Some(capability) = stamp.retain_least(0) else {
                        return;
                    };
                    let held = waiting.entry(time).or_insert_with(|| (capability, Vec::new()));
                    held.1.extend(slices.flat_map(|slices| slices.drain(..)));
                });
                changes.for_each_stamp(|_, changes| {
                    changes.flat_map(|changes| changes.drain(..)).for_each(|one| view.take(one));
                });
                while let Some(step) = waiting.first_entry() {
                    let last = step.get().1.iter().filter_map(|one| one.slice.effective.last());
                    let seen = last.max().map(|last| clusters.known(*last).max(0) as u64);
                    if seen.is_some_and(|seen| frontiers[1].less_equal(&seen)) {
                        break;
                    }
                    let (capability, slices) = step.remove();
                    for slice in &slices {
                        slice.annotate(view, &clusters, keyed);
                    }
                    annotated.session(&capability).give_iterator(slices.into_iter());
                }
                for (settled, frontier) in settled.iter().zip(frontiers) {
                    settled.set(frontier.frontier().first().copied());
                }
            }
        });
        stream
    }
}

/// One worker's devices and other values that link.
struct LinkParts {
    parts: Vec<SharedEdges>,
    /// The first key group of the worker.
    first: usize,
}

impl Snapshot for LinkParts {
    fn share(&self) -> Share {
        Share::Groups
    }

    fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>)) {
        let parts: Vec<Vec<EdgesOut<'_>>> =
            self.parts.iter().map(|part| part.save(self.first)).collect();
        for group in 0..KEY_GROUPS {
            let own = parts.iter().map(|groups| &groups[group]).enumerate();
            let own: Vec<(usize, &EdgesOut<'_>)> = own.filter(|(_, own)| !own.is_empty()).collect();
            if !own.is_empty() {
                put(group, snapshot::encode(&own));
            }
        }
    }

    fn load(&mut self, _: usize, bytes: &[u8]) -> Result<(), Broken> {
        for (at, kept) in snapshot::decode::<Vec<(usize, EdgesIn)>>(bytes)? {
            let part = self.parts.get_mut(at);
            part.ok_or_else(|| Broken(format!("there is no part {at}")))?.load(kept);
        }
        Ok(())
    }
}

/// The devices of a worker are kept in so many parts: all that changes at one graph tick is many
/// milliseconds of work, and other operators have their turn between two parts.
const PARTS: usize = 16;
/// From so many changes on they do.
const CHANGES_A_TURN: usize = 2_000;

/// Requests to the keeper of each value that links: the account that acted with it.
fn link_requests(prepared: &Prepared, links: &[Link], to: &Addressing) -> Vec<Requests> {
    let slice = &prepared.slice;
    let mut batches = Requests::batches(to, slice.chunk.len(), 2);
    let [accounts] = prepared.keys_of([ACCOUNT_ID]);
    for (at, link) in links.iter().enumerate() {
        let columns: Vec<Rc<[Key]>> =
            link.fields.iter().flat_map(|field| prepared.keys_of([*field])).collect();
        let name = Key::of(link.name.as_bytes());
        for row in 0..slice.chunk.len() {
            let account = accounts[row];
            let value = columns.iter().fold(name, |key, column| key.join(column[row]));
            if value == Key::NULL || account == Key::NULL {
                continue;
            }
            let batch = &mut batches[value.group() % to.peers];
            batch.push(row, value, slice.effective[row], at as u32, 0);
            batch.words.extend(halves(account.hash));
            batch.texts.push(slice.chunk.str(ACCOUNT_ID, row));
        }
    }
    batches
}

/// Requests to the keeper of each event's account: the group in which it acted, and for
/// transactions the question in how many it did.
fn group_requests(prepared: &Prepared, to: &Addressing) -> Vec<Requests> {
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

fn see(parts: &mut [SharedEdges], requests: &Requests) {
    for at in 0..requests.asked.len() {
        let (device, name) = (requests.key(at).hash, requests.texts.get(at));
        let account = whole(&requests.words[2 * at..2 * at + 2]);
        let part = requests.asked[at].streams as usize * PARTS + (device >> 80) as usize % PARTS;
        parts[part].see(device, account, name, requests.asked[at].time);
    }
}

/// Keyed by account: counts groups, and tells the groups of linked accounts.
fn account_groups<'s>(
    requests: StreamVec<'s, u64, Requests>,
    edges: StreamVec<'s, u64, EdgeChange>,
    keeper: Rc<RefCell<Keeper>>,
    settled: Settled,
) -> (StreamVec<'s, u64, Replies>, StreamVec<'s, u64, Change<Membership>>) {
    let mut builder = OperatorBuilder::new("clusters: groups: state".to_owned(), requests.scope());
    let by_worker = Exchange::new(|requests: &Requests| u64::from(requests.destination));
    let by_account =
        Exchange::new(|change: &EdgeChange| Key { hash: change.account, check: 0 }.group() as u64);
    let mut requests = builder.new_input(requests, by_worker);
    let mut edges = builder.new_input(edges, by_account);
    let (replies, replies_stream) = builder.new_output::<Vec<Replies>>();
    let (memberships, memberships_stream) = builder.new_output::<Vec<Change<Membership>>>();
    let mut replies = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(replies);
    let mut memberships = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(memberships);
    builder.build(move |mut capabilities| {
        let mut held = capabilities.pop();
        drop(capabilities);
        move |frontiers| {
            let keeper = &mut *keeper.borrow_mut();
            let (mut replies, mut memberships) = (replies.activate(), memberships.activate());
            requests.for_each_stamp(|stamp, batches| {
                let Some(&time) = stamp.least() else { return };
                let Some(capability) = stamp.retain_least(0) else {
                    return;
                };
                let held = keeper.waiting.entry(time).or_insert_with(|| (capability, Vec::new()));
                held.1.extend(batches.flat_map(|batches| batches.drain(..)));
            });
            edges.for_each_stamp(|_, changes| {
                for change in changes.flat_map(|changes| changes.drain(..)) {
                    let by = match change.step {
                        EdgeStep::Link { .. } => 1,
                        EdgeStep::Cut => -1,
                        EdgeStep::Hold { .. } => continue,
                    };
                    let moment = keeper.edges.entry(change.at).or_default();
                    *moment.entry(change.account).or_default() += by;
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
            settled.set(events.into_iter().chain(known).min());
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

/// Brings requests and edges together in the order of time.
struct Keeper {
    clusters: Clusters,
    family: u32,
    /// The last moment of the run, once there is no more.
    reached: Arc<AtomicI64>,
    state: AccountGroups,
    waiting: BTreeMap<u64, (Capability<u64>, Vec<Requests>)>,
    /// For each moment, how many edges accounts gain or lose.
    edges: BTreeMap<i64, BTreeMap<u128, i64>>,
    changes: Vec<Change<Membership>>,
}

impl Snapshot for Keeper {
    fn share(&self) -> Share {
        Share::Groups
    }

    fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>)) {
        let mut edges: Vec<Vec<(i64, u128, i64)>> = vec![Vec::new(); KEY_GROUPS];
        for (moment, accounts) in &self.edges {
            for (account, by) in accounts {
                let group = Key { hash: *account, check: 0 }.group();
                edges[group].push((*moment, *account, *by));
            }
        }
        for (group, (kept, edges)) in self.state.save().into_iter().zip(edges).enumerate() {
            put(group, snapshot::encode(&(kept, edges)));
        }
    }

    fn load(&mut self, number: usize, bytes: &[u8]) -> Result<(), Broken> {
        let (kept, edges): (GroupIn, Vec<(i64, u128, i64)>) = snapshot::decode(bytes)?;
        self.state.load(number, kept);
        for (moment, account, by) in edges {
            self.edges.entry(moment).or_default().insert(account, by);
        }
        Ok(())
    }
}

impl Keeper {
    fn new(clusters: Clusters, family: u32, reached: Arc<AtomicI64>) -> Keeper {
        let Clusters { graph_tick, window, .. } = clusters;
        Keeper {
            state: AccountGroups::new(ClusterOptions { graph_tick, window, hub_limit: 0 }),
            clusters,
            family,
            reached,
            waiting: BTreeMap::new(),
            edges: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    /// The next step of which all requests are there, and all edges as of its transactions.
    fn next_step(
        &mut self,
        events: Option<u64>,
        known: Option<u64>,
    ) -> Option<(Capability<u64>, Vec<Requests>)> {
        let step = self.waiting.first_entry()?;
        if events.is_some_and(|events| events <= *step.key()) {
            return None;
        }
        let last = step.get().1.iter().filter_map(|requests| requests.asked.last());
        let needed = last.map(|asked| asked.time).max();
        let needed = needed.map_or(0, |last| self.clusters.known(last));
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
                let keys = requests.keys_from(at).map(|key| key.hash);
                self.state.look_ahead(keys.take(LOOK_AHEAD));
            }
            let (account, time) = (requests.key(at).hash, requests.asked[at].time);
            let moment = self.clusters.known(time);
            self.step_until(moment);
            if group != [0, 0] {
                self.state.act(account, [group[0], group[1]], time);
            }
            if requests.asked[at].lookups != 0 {
                replies.rows.push(requests.asked[at].row);
                replies.lookups.push(1);
                replies.values.push(self.state.count(account, moment) as u64);
            }
        }
        replies
    }

    /// Applies edges and what falls due, in order, until a moment that is known whole.
    fn step_until(&mut self, moment: i64) {
        loop {
            let due = self.state.next_due();
            let linked = self.edges.keys().next().copied();
            let Some(now) = due.into_iter().chain(linked).min() else {
                return;
            };
            if now > moment {
                return;
            }
            if due == Some(now) {
                self.state.step(now, &mut self.changes);
            }
            for (account, by) in self.edges.remove(&now).unwrap_or_default() {
                if by != 0 {
                    self.state.link(account, by, now, &mut self.changes);
                }
            }
        }
    }

    /// Applies what no request to come can look behind, and says from when on there may be more.
    fn catch_up(&mut self, events: Option<u64>, known: Option<u64>) -> Option<u64> {
        // Requests that wait for edges look as far back as those that have not come.
        let first = events.into_iter().chain(self.waiting.keys().next().copied()).min();
        let end = || self.reached.load(Ordering::Relaxed);
        let moment = self.clusters.known(first.map_or_else(end, |first| first as i64));
        let settled = known.map_or(moment, |known| moment.min(known as i64 - 1));
        self.step_until(settled);
        if first.is_none() && settled == moment {
            return None;
        }
        Some((settled + 1).max(0) as u64)
    }
}
