//! The one dataflow: every way of running Hongxian goes through here.
//!
//! A worker reads its slice of each step, asks the owners of the slice's keys, gathers their
//! answers, scores, and hands the decisions on. Events never leave the worker that read them.

mod clusters;
mod funds;
mod keepers;
mod operators;
mod packets;
mod score;
mod social;
mod steps;

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Capability, Concatenate, Input, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, StreamVec};

pub use self::steps::{Live, Next, Planned, Steps};

use self::keepers::Keepers;
use self::operators::OperatorTimes;

use crate::diagnostic::Message;
use crate::features::devices::Hubs;
use crate::features::plan::Family;
use crate::features::requests::requests;
use crate::features::state::{FamilyState, Usage};
use crate::gather::{Prepared, prepare};
use crate::job::Job;
use crate::keyed::{Addressing, Replies, Requests};
use crate::sink::Scored;
use crate::snapshot::Snapshot;
use crate::source::order::Step;
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
#[derive(Debug, Default)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StateUse {
    /// Keys of which something is in a window.
    pub keys: u64,
    /// Events that rings still hold.
    pub events: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Summary {
    /// Adds to a family's state: a key with many features has several.
    fn add_state(&mut self, family: &str, usage: Usage) {
        let total = self.state.entry(family.to_owned()).or_default();
        total.keys += usage.keys;
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
    let config = timely::Config::process(options.workers);
    let (job, steps, sink) = (job.clone(), steps.clone(), sink.clone());
    let shared = Shared::default();
    let guards = timely::execute(config, move |worker| {
        let all = AssertUnwindSafe(|| work(worker, &job, options, &*steps, sink.clone(), &shared));
        let done = catch_unwind(all);
        let done = done.unwrap_or_else(|payload| Err(failure(worker.index(), &*payload)));
        if done.is_err() {
            shared.failed.store(true, Ordering::Relaxed);
        }
        // What is left after a failure would wait for its like on the worker that failed.
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
        done
    })?;
    let mut summary = Summary { steps: usize::MAX, ..Summary::default() };
    for part in guards.join() {
        let part = part??;
        summary.steps = summary.steps.min(part.steps);
        summary.events += part.events;
        summary.stopwatch.add(&part.stopwatch);
        for (link, hubs) in part.hubs {
            summary.hubs.entry(link).or_default().add(hubs);
        }
        for (operator, seconds) in part.operators {
            *summary.operators.entry(operator).or_default() += seconds;
        }
        for (family, usage) in part.state {
            let total = summary.state.entry(family).or_default();
            total.keys += usage.keys;
            total.events += usage.events;
            total.bytes += usage.bytes;
        }
    }
    Ok(summary)
}

/// What the workers of a run share.
#[derive(Default)]
struct Shared {
    /// Whether one has failed.
    failed: AtomicBool,
    begun: Mutex<Begun>,
    /// The end of the last step of which any of them has read its share. An operator that sees that
    /// there is no more sees it as it stays, for then no worker reads any more.
    reached: Arc<AtomicI64>,
}

/// How far the workers are. All of them read the same steps, also where the run is interrupted: one
/// that had read a step more would wait for ever for what the others tell of it.
#[derive(Default)]
struct Begun {
    /// The steps that some worker reads or has read.
    steps: usize,
    /// Whether there are no more.
    ended: bool,
}

impl Shared {
    /// Whether a worker that has read the first `done` steps may read the next one.
    fn begin(&self, done: usize, interrupted: bool) -> bool {
        // Who panicked here had changed nothing.
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.ended |= interrupted;
        if !begun.ended {
            begun.steps = begun.steps.max(done + 1);
        }
        done < begun.steps
    }
}

/// What is said of a worker that panicked; the panic itself has said where on standard error.
fn failure(worker: usize, payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let said = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    format!("worker {worker} failed, which is a mistake in this program: {said}")
}

/// One worker: builds the dataflow, feeds its slices, waits until all is decided or a worker has
/// failed.
fn work(
    worker: &mut timely::worker::Worker,
    job: &Arc<Job>,
    options: Options,
    steps: &dyn Steps,
    sink: SyncSender<Scored>,
    shared: &Shared,
) -> Result<Summary, String> {
    let Shared { failed, reached, .. } = shared;
    let (index, peers) = (worker.index(), worker.peers());
    let mut input = InputHandle::<u64, CapacityContainerBuilder<Vec<Rc<Prepared>>>>::new();
    let probe = ProbeHandle::new();
    let summary = Rc::new(RefCell::new(Summary::default()));
    let times = OperatorTimes::listen(worker);
    let restored = steps.restored();
    let mut until = restored.as_ref().and_then(|state| state.until);
    let keepers = Keepers::new(index, peers, restored);
    worker.dataflow::<u64, _, _>(|scope| {
        let events = scope.input_from(&mut input);
        let wiring =
            Wiring { job, options, index, peers, summary: &summary, reached, keepers: &keepers };
        let (mut replies, latencies) = wiring.referee(&events);
        replies.extend(wiring.funds(&events));
        replies.extend(wiring.social(&events, latencies));
        let annotated = match &job.features().clusters {
            Some(clusters) => {
                let (counts, annotated) = wiring.clusters(&events, clusters);
                replies.push(counts);
                annotated
            }
            None => events.clone(),
        };
        for (at, family) in job.features().families.iter().enumerate() {
            let events = if family.uses_clusters() { &annotated } else { &events };
            replies.push(wiring.family(events, at));
        }
        let replies = scope.concatenate(replies);
        wiring.score(annotated, replies, sink).probe_with(&probe);
    });
    keepers.check()?;
    if let Some(until) = until {
        reached.fetch_max(until, Ordering::Relaxed);
        input.advance_to(until as u64);
    }
    let goes_on = || !failed.load(Ordering::Relaxed);
    steps.wake(std::thread::current());
    let (mut done, mut saved) = (0, 0);
    let mut under_way = VecDeque::with_capacity(STEPS_AHEAD);
    let interrupted = || job.interrupted.load(Ordering::Relaxed);
    while goes_on() {
        let step = match steps.next(done) {
            Next::Step(step) if shared.begin(done, interrupted()) => step,
            Next::Save(number) if number > saved => {
                let is_settled = || until.is_none_or(|until| keepers.are_settled(until as u64));
                worker.step_or_park_while(PARKED_MAX, || !is_settled() && goes_on());
                if goes_on() {
                    steps.saved(keepers.save());
                }
                saved = number;
                continue;
            }
            Next::Wait | Next::Save(_) if !interrupted() || shared.begin(done, true) => {
                worker.step_or_park(PARKED_MAX);
                continue;
            }
            _ => break,
        };
        let share = share(&step.events, index, peers);
        let prepared = read(job, steps, done, &step, share, &mut summary.borrow_mut())?;
        let time = step.time;
        reached.fetch_max(step.until, Ordering::Relaxed);
        input.advance_to(time as u64);
        input.send(Rc::new(prepared));
        input.advance_to(step.until as u64);
        until = Some(step.until);
        under_way.push_back(time as u64);
        if under_way.len() > STEPS_AHEAD
            && let Some(behind) = under_way.pop_front()
        {
            worker.step_or_park_while(PARKED_MAX, || probe.less_equal(&behind) && goes_on());
        } else {
            worker.step();
        }
        done += 1;
    }
    input.close();
    worker.step_or_park_while(PARKED_MAX, || !probe.done() && goes_on());
    let mut summary = std::mem::take(&mut *summary.borrow_mut());
    summary.steps = done;
    while worker.has_dataflows() && goes_on() {
        worker.step_or_park(PARKED_MAX);
    }
    summary.operators = times.seconds(worker);
    Ok(summary)
}

/// Reads a worker's share of step number `number`.
fn read(
    job: &Job,
    steps: &dyn Steps,
    number: usize,
    step: &Step,
    share: Range<usize>,
    summary: &mut Summary,
) -> Result<Prepared, String> {
    summary.events += share.len() as u64;
    let features = job.epoch(step.epoch).features;
    let prepared = summary.stopwatch.time(Stage::Prepare, || {
        let slice = steps.slice(number, share)?;
        Ok(prepare(slice, step.events.start as u64, step.epoch, &features))
    });
    prepared.map_err(|message: Message| message.en)
}

/// The part of a step that a worker reads: contiguous, so that parts are in order.
fn share(range: &Range<usize>, index: usize, peers: usize) -> Range<usize> {
    let cut = |part: usize| range.start + range.len() * part / peers;
    cut(index)..cut(index + 1)
}

/// What the operators of one worker share while they are built.
struct Wiring<'w> {
    job: &'w Arc<Job>,
    options: Options,
    index: usize,
    peers: usize,
    summary: &'w Rc<RefCell<Summary>>,
    /// See [`Shared::reached`].
    reached: &'w Arc<AtomicI64>,
    keepers: &'w Keepers,
}

type Events<'s> = StreamVec<'s, u64, Rc<Prepared>>;

impl Wiring<'_> {
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
