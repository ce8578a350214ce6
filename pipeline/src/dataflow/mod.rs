//! The one dataflow: every way of running Hongxian goes through here.
//!
//! A worker reads its slice of each step, asks the owners of the slice's keys, gathers their
//! answers, scores, and hands the decisions on. Events never leave the worker that read them.

mod clusters;
mod control;
mod funds;
mod keepers;
mod operators;
mod packets;
mod score;
mod shared;
mod social;
mod steps;
mod work;

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use timely::CommunicationConfig;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Capability, Concatenate};
use timely::dataflow::{ProbeHandle, StreamVec};
use timely::execute::execute_from;

pub(crate) use self::control::BEFORE_BEGIN;
pub use self::steps::{Learn, Live, Next, Planned, StepPart, Steps};

use self::control::Seat;
use self::keepers::Keepers;
use self::shared::Shared;
use self::work::Running;

use crate::features::devices::Hubs;
use crate::features::plan::Family;
use crate::features::requests::requests;
use crate::features::state::{FamilyState, Usage};
use crate::gather::Prepared;
use crate::job::Job;
use crate::keyed::{Addressing, Replies, Requests};
use crate::peers::{self, Peers};
use crate::sink::Scored;
use crate::snapshot::Snapshot;
use crate::stopwatch::{Stage, Stopwatch};

/// Steps that may be under way at once: enough to keep workers busy, few enough to bound memory.
const STEPS_AHEAD: usize = 3;

/// A worker with nothing to do sleeps until another sends it something, or so long at most: where
/// there are more workers than cores, one that spins keeps the one that it waits for from running.
const PARKED_MAX: Option<Duration> = Some(Duration::from_millis(1));

/// How the events are cut up. None of it can change a result.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Number of workers.
    pub workers: usize,
    /// Length of a tick, in ms.
    pub tick: i64,
    /// Events of a step, at least; a step holds whole ticks.
    pub batch: usize,
    /// Whether operators put each step's requests in total order. Only the negative control of
    /// the order tests says no.
    pub sorted: bool,
}

/// What the workers found beside the decisions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Steps done; fewer than planned where the run was interrupted.
    pub steps: usize,
    /// Events of those steps.
    pub events: u64,
    /// State by family.
    pub state: BTreeMap<String, StateUse>,
    /// For each link, the values that linked nobody, for they had too many accounts.
    pub hubs: BTreeMap<String, Hubs>,
    /// Time by stage, summed over workers.
    pub stopwatch: Stopwatch,
    /// Seconds by operator, summed over workers.
    pub operators: BTreeMap<String, f64>,
}

/// What one family's state took up at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateUse {
    /// Keys of which something is in a window.
    pub keys: u64,
    /// Keys of which nothing is left but what stays for good: they take up some fifty bytes each.
    pub asleep: u64,
    /// Events that rings still hold.
    pub events: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Summary {
    /// Adds what another worker found.
    fn add(&mut self, part: Summary) {
        self.steps = self.steps.min(part.steps);
        self.events += part.events;
        self.stopwatch.add(&part.stopwatch);
        for (link, hubs) in part.hubs {
            self.hubs.entry(link).or_default().add(hubs);
        }
        for (operator, seconds) in part.operators {
            *self.operators.entry(operator).or_default() += seconds;
        }
        for (family, usage) in part.state {
            let total = self.state.entry(family).or_default();
            total.keys += usage.keys;
            total.asleep += usage.asleep;
            total.events += usage.events;
            total.bytes += usage.bytes;
        }
    }

    /// Adds to a family's state: a key with many features has several.
    fn add_state(&mut self, family: &str, usage: Usage) {
        let total = self.state.entry(family.to_owned()).or_default();
        total.keys += usage.keys;
        total.asleep += usage.asleep;
        total.events += usage.events;
        total.bytes += usage.bytes;
    }
}

/// Runs all steps through the dataflow; decisions go to `sink`, slice by slice. An error is a
/// worker that panicked or could not read its events: the others then stop.
pub fn run(
    job: &Arc<Job>,
    steps: &Arc<dyn Steps>,
    options: Options,
    sink: &SyncSender<Scored>,
) -> Result<Summary, String> {
    run_among(job, steps, options, Some(sink), None)
}

/// The same in one of several processes, or in one alone. Process 0 needs a sink, to which the
/// decisions of all go, and has what the workers of all found; the others have only their own.
/// An error is also a process that was lost: then all of them end.
pub fn run_among(
    job: &Arc<Job>,
    steps: &Arc<dyn Steps>,
    options: Options,
    sink: Option<&SyncSender<Scored>>,
    peers: Option<Peers>,
) -> Result<Summary, String> {
    let shared = Arc::new(Shared::default());
    let is_cluster = peers.as_ref().is_some_and(|peers| peers.processes() > 1);
    let (builders, threads) = match peers.filter(|_| is_cluster) {
        Some(peers) => {
            let allocators = peers.allocators(&shared.watch);
            let allocators = allocators.map_err(|error| format!("cannot connect: {error}"))?;
            let (builders, threads) = allocators.split();
            (builders, Some(threads))
        }
        None => (CommunicationConfig::Process(options.workers).try_build()?.0, None),
    };
    let (job, steps, sink) = (job.clone(), steps.clone(), sink.cloned());
    let own = shared.clone();
    let config = timely::WorkerConfig::default();
    let guards = execute_from(builders, Box::new(()), config, move |worker| {
        let running = Running { job: &job, options, steps: &steps, shared: &own, is_cluster };
        let all = AssertUnwindSafe(|| running.work(worker, sink.clone()));
        let done = catch_unwind(all);
        let done = done.unwrap_or_else(|payload| Err(failure(worker.index(), &*payload)));
        if done.is_err() {
            own.watch.fail();
        }
        // What is left after a failure would wait for its like on the worker that failed.
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
        done
    })?;
    let parts = guards.join();
    if let Some(threads) = threads {
        peers::part(threads, &shared.watch);
    }
    if let Some(why) = shared.why() {
        return Err(why);
    }
    let mut summary = Summary { steps: usize::MAX, ..Summary::default() };
    for part in parts {
        summary.add(part??);
    }
    shared.take_others().into_iter().for_each(|part| summary.add(part));
    Ok(summary)
}

/// What is said of a worker that panicked; the panic itself has said where on standard error.
fn failure(worker: usize, payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let said = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    format!("worker {worker} failed, which is a mistake in this program: {said}")
}

/// What the operators of one worker share while they are built.
struct Wiring<'w> {
    job: &'w Arc<Job>,
    options: Options,
    index: usize,
    peers: usize,
    /// Its place in a cluster, if it is one of several processes.
    seat: Option<Seat>,
    summary: &'w Rc<RefCell<Summary>>,
    /// See [`Shared::reached`].
    reached: &'w Arc<AtomicI64>,
    keepers: &'w Keepers,
}

type Events<'s> = StreamVec<'s, u64, Rc<Prepared>>;

impl Wiring<'_> {
    /// The whole dataflow, from a worker's slices to decisions.
    fn build(
        &self,
        events: Events<'_>,
        sink: Option<SyncSender<Scored>>,
        probe: &ProbeHandle<u64>,
    ) {
        let scope = events.scope();
        let (mut replies, latencies) = self.referee(&events);
        replies.extend(self.funds(&events));
        replies.extend(self.social(&events, latencies));
        let annotated = match &self.job.features().clusters {
            Some(clusters) => {
                let (counts, annotated) = self.clusters(&events, clusters);
                replies.push(counts);
                annotated
            }
            None => events.clone(),
        };
        for (at, family) in self.job.features().families.iter().enumerate() {
            let events = if family.uses_clusters() { &annotated } else { &events };
            replies.push(self.family(events, at));
        }
        let replies = scope.concatenate(replies);
        self.score(annotated, replies, sink, probe);
    }

    fn family<'s>(&self, events: &Events<'s>, at: usize) -> StreamVec<'s, u64, Replies> {
        let family = self.job.features().families[at].clone();
        let name = family.name(&self.job.features().schema);
        let (index, peers) = (self.index, self.peers);
        let asked = family.clone();
        let ask = move |prepared: &Prepared| family_requests(&asked, prepared, index, peers);
        let requests = self.ask(events, &name, ask);
        let state = FamilyState::new(family, self.job.features().zone.clone());
        let apply = |state: &mut FamilyState, batches: &[Requests], replies: &mut Replies| {
            batches.iter().for_each(|requests| state.apply(requests, replies));
        };
        self.answers(requests, (&name, at as u32), state, apply, FamilyState::usage)
    }

    /// Makes each slice's requests to a family or keeper, a batch for each worker.
    fn ask<'s>(
        &self,
        events: &Events<'s>,
        family: &str,
        ask: impl Fn(&Prepared) -> Vec<Requests> + 'static,
    ) -> StreamVec<'s, u64, Requests> {
        let summary = self.summary.clone();
        events.clone().unary::<CapacityContainerBuilder<Vec<Requests>>, _, _, _>(
            Pipeline,
            &format!("{family}: requests"),
            |_, _| {
                move |input, output| {
                    input.for_each_stamp(|stamp, slices| {
                        let Some(capability) = stamp.retain_least(0) else {
                            return;
                        };
                        for prepared in slices.flat_map(|slices| slices.drain(..)) {
                            let batches = summary
                                .borrow_mut()
                                .stopwatch
                                .time(Stage::Requests, || ask(&prepared));
                            output.session(&capability).give_iterator(batches.into_iter());
                        }
                    });
                }
            },
        )
    }

    /// Brings requests to the owners of their keys and applies each step's in total order. What the
    /// state finds goes on.
    fn keyed<'s, S: Snapshot + 'static, Found: Clone + 'static>(
        &self,
        requests: StreamVec<'s, u64, Requests>,
        name: &str,
        state: S,
        mut work: impl FnMut(&mut S, Work<'_, Found>) -> Usage + 'static,
    ) -> StreamVec<'s, u64, Found> {
        let state = self.keepers.keep(name, state);
        let settled = self.keepers.settles(|until| until);
        let sorted = self.options.sorted;
        let summary = self.summary.clone();
        let label = name.to_owned();
        requests.unary_frontier::<CapacityContainerBuilder<Vec<Found>>, _, _, _>(
            Exchange::new(|requests: &Requests| u64::from(requests.destination)),
            &format!("{name}: state"),
            |initial, _| {
                drop(initial);
                let mut waiting: BTreeMap<u64, (Capability<u64>, Vec<Requests>)> = BTreeMap::new();
                let mut measured = false;
                move |(input, frontier), output| {
                    input.for_each_stamp(|stamp, batches| {
                        let Some(&time) = stamp.least() else { return };
                        let Some(capability) = stamp.retain_least(0) else {
                            return;
                        };
                        let held = waiting.entry(time).or_insert_with(|| (capability, Vec::new()));
                        held.1.extend(batches.flat_map(|batches| batches.drain(..)));
                    });
                    while let Some(step) = waiting.first_entry() {
                        if frontier.less_equal(step.key()) {
                            break;
                        }
                        let (capability, mut batches) = step.remove();
                        let slice = |requests: &Requests| (requests.first, requests.origin);
                        if sorted {
                            batches.sort_by_key(slice);
                        }
                        let found = summary.borrow_mut().stopwatch.time(Stage::State, || {
                            let mut found = Vec::with_capacity(batches.len());
                            for batches in batches.chunk_by(|one, next| slice(one) == slice(next)) {
                                work(&mut state.borrow_mut(), Work::Apply(batches, &mut found));
                            }
                            found
                        });
                        output.session(&capability).give_iterator(found.into_iter());
                    }
                    settled.set(frontier.frontier().first().copied());
                    if frontier.frontier().is_empty() && !measured {
                        measured = true;
                        let usage = work(&mut state.borrow_mut(), Work::Measure);
                        summary.borrow_mut().add_state(&label, usage);
                    }
                }
            },
        )
    }

    /// Brings requests to a keeper whose answers have the number `family`.
    fn answers<'s, S: Snapshot + 'static>(
        &self,
        requests: StreamVec<'s, u64, Requests>,
        (name, family): (&str, u32),
        state: S,
        apply: fn(&mut S, &[Requests], &mut Replies),
        usage: fn(&S) -> Usage,
    ) -> StreamVec<'s, u64, Replies> {
        self.keyed(requests, name, state, move |state, work| match work {
            Work::Apply(batches, found) => {
                let mut replies = Replies::to(&batches[0], family);
                apply(state, batches, &mut replies);
                found.push(replies);
                Usage::default()
            }
            Work::Measure => usage(state),
        })
    }
}

/// What is asked of a keyed operator's state.
enum Work<'w, Found> {
    /// All batches of one slice of a step, slice by slice in total order.
    Apply(&'w [Requests], &'w mut Vec<Found>),
    Measure,
}

fn family_requests(
    family: &Family,
    prepared: &Prepared,
    index: usize,
    peers: usize,
) -> Vec<Requests> {
    let passes = |condition: usize, row: usize| prepared.passes(condition, row);
    requests(
        family,
        &prepared.slice.chunk,
        &prepared.slice.effective,
        &mut prepared.keys.borrow_mut(),
        &Addressing { origin: index, peers, first: prepared.rank },
        &passes,
    )
}
