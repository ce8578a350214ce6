//! How the processes of a cluster keep step, over a small dataflow of its own.
//!
//! Process 0 *leads*: its first worker says which steps there are, when to save and when it is over,
//! to the first worker of every other process, which tells the workers beside it. So all read
//! the same steps, whoever is interrupted. Where only process 0 has the events, their part of a step
//! comes with it. The others tell what they have saved and found, and that they were interrupted.
//!
//! Connections keep the order of what is sent from worker to worker, and nothing here waits for a
//! frontier: times only have what was said leave.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Input;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::{InputHandle, Scope, StreamVec};
use timely::worker::Worker;

use super::shared::Shared;
use super::steps::{StepPart, Steps};
use super::work::share;
use super::{PARKED_MAX, Summary};
use crate::snapshot::{Handed, Part, Saved, State};
use crate::source::order::Step;

/// Why a process has ended that was asked to before process 0 said where the run begins.
pub(crate) const BEFORE_BEGIN: &str = "it was asked to end before the run had begun";

/// What process 0 says to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Lead {
    to: u64,
    said: Said,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Said {
    /// A part of what the run goes on from.
    Restored(Part),
    /// It goes on after that time, from the parts before.
    GoesOn(Option<i64>),
    /// It begins at the beginning.
    Begins,
    /// The step is read, and the events of it that the process has not itself.
    Step { number: usize, step: Step, part: Option<StepPart> },
    /// All is to be saved, under this number.
    Save(u64),
    /// There are no more steps; whether all meet again.
    End { again: bool },
}

/// What workers of other processes tell process 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Tell {
    /// It was asked to end.
    Interrupted,
    /// A part of what a worker keeps.
    Kept(usize, Part),
    /// Those were all parts of that worker.
    Saved(usize),
    /// What a worker found.
    Found(Summary),
}

/// Where a worker is in its cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    index: usize,
    peers: usize,
    /// Workers of a process.
    workers: usize,
}

impl Seat {
    pub(super) fn of(worker: &Worker, workers: usize) -> Seat {
        Seat { index: worker.index(), peers: worker.peers(), workers }
    }

    /// Whether this worker is one of process 0, where all decisions go.
    pub(super) fn leads(self) -> bool {
        self.index < self.workers
    }

    /// Whether it speaks for its process.
    fn speaks(self) -> bool {
        self.index.is_multiple_of(self.workers)
    }

    /// The first workers of the other processes.
    fn others(self) -> impl Iterator<Item = usize> {
        (self.workers..self.peers).step_by(self.workers)
    }

    /// The worker of process 0 that takes in what another process decided, by its number.
    pub(super) fn receiver(self, part: usize) -> u64 {
        (part % self.workers) as u64
    }

    /// The workers of the process of worker `first`.
    fn beside(self, first: usize) -> std::ops::Range<usize> {
        first..first + self.workers
    }
}

type Speech<T> = InputHandle<u64, CapacityContainerBuilder<Vec<T>>>;

/// Has what was said leave.
fn leave<T: Clone + 'static>(speech: &mut Speech<T>) {
    let next = speech.time() + 1;
    speech.advance_to(next);
}

/// A worker's part in keeping step.
pub(super) struct Control {
    seat: Seat,
    shared: Arc<Shared>,
    steps: Arc<dyn Steps>,
    lead: Speech<Lead>,
    tell: Speech<Tell>,
    /// Set where this process is to end, in process 0 also where another one is.
    interrupted: Arc<AtomicBool>,
    /// Whether it has told that it was interrupted.
    told: bool,
}

impl Control {
    /// Builds the dataflow, in every worker before any other.
    pub(super) fn new(
        worker: &mut Worker,
        seat: Seat,
        shared: &Arc<Shared>,
        steps: &Arc<dyn Steps>,
        interrupted: &Arc<AtomicBool>,
    ) -> Control {
        if !seat.leads() {
            shared.follow();
        }
        let (mut lead, mut tell) = (InputHandle::new(), InputHandle::new());
        worker.dataflow_named::<u64, _, _>("Cluster", |scope: Scope<'_, u64>| {
            hear_lead(scope.input_from(&mut lead), shared.clone(), steps.clone());
            let told = scope.input_from(&mut tell);
            hear_told(told, shared.clone(), steps.clone(), interrupted.clone());
        });
        let (shared, steps, interrupted) = (shared.clone(), steps.clone(), interrupted.clone());
        Control { seat, shared, steps, lead, tell, interrupted, told: false }
    }

    /// Where the run goes on, as process 0 has it.
    pub(super) fn restored(&mut self, worker: &mut Worker) -> Option<Arc<Saved>> {
        if !self.seat.leads() {
            let shared = &self.shared;
            let waits = || {
                if self.interrupted.load(Ordering::Relaxed) {
                    shared.fail(BEFORE_BEGIN.to_owned());
                }
                shared.restored.get().is_none() && shared.goes_on()
            };
            worker.step_or_park_while(PARKED_MAX, waits);
            return self.shared.restored.get().cloned().flatten();
        }
        let state = self.steps.restored();
        if self.seat.speaks() {
            for part in state.iter().flat_map(|state| &state.parts) {
                match part.read() {
                    Ok(bytes) => {
                        let (keeper, number) = (part.keeper.clone(), part.number);
                        let part = Part { keeper, number, bytes: bytes.into_owned() };
                        self.say(|_| Said::Restored(part.clone()));
                    }
                    Err(broken) => self.shared.fail(broken.0),
                }
                worker.step();
            }
            self.say(|_| match &state {
                Some(state) => Said::GoesOn(state.until),
                None => Said::Begins,
            });
        }
        state
    }

    /// Process 0 reads the next step.
    pub(super) fn step(&mut self, number: usize, step: &Step) {
        if !(self.seat.leads() && self.seat.speaks()) {
            return;
        }
        let (steps, seat) = (self.steps.clone(), self.seat);
        self.say(|first| {
            let workers = seat.beside(first);
            let of = |worker| share(&step.events, worker, seat.peers);
            let share = of(workers.start).start..of(workers.end - 1).end;
            let part = steps.part(number, share);
            Said::Step { number, step: step.clone(), part }
        });
    }

    /// Process 0 has all saved.
    pub(super) fn save(&mut self, number: u64) {
        if self.seat.leads() && self.seat.speaks() {
            self.say(|_| Said::Save(number));
        }
    }

    /// What this worker keeps goes to process 0.
    pub(super) fn saved(&mut self, handed: Handed) {
        if self.seat.leads() {
            self.steps.saved(handed);
            return;
        }
        let index = self.seat.index;
        for part in handed.into_parts() {
            self.tell.send(Tell::Kept(index, part));
        }
        self.tell.send(Tell::Saved(index));
        leave(&mut self.tell);
    }

    /// Whether this process is to end by itself; one that follows tells process 0 instead.
    pub(super) fn interrupted(&mut self) -> bool {
        let interrupted = self.interrupted.load(Ordering::Relaxed);
        if self.seat.leads() {
            return interrupted;
        }
        if interrupted && self.seat.speaks() && !self.told {
            self.told = true;
            self.tell.send(Tell::Interrupted);
            leave(&mut self.tell);
        }
        false
    }

    /// There are no more steps.
    pub(super) fn end(&mut self) {
        if self.seat.leads() && self.seat.speaks() {
            let again = self.steps.meets_again();
            self.say(|_| Said::End { again });
        }
    }

    /// The last word: what this worker found.
    pub(super) fn close(mut self, summary: &Summary) {
        if !self.seat.leads() {
            self.tell.send(Tell::Found(summary.clone()));
        }
    }

    fn say(&mut self, said: impl Fn(usize) -> Said) {
        for first in self.seat.others() {
            self.lead.send(Lead { to: first as u64, said: said(first) });
        }
        leave(&mut self.lead);
    }
}

/// The first worker of a process that follows hears what process 0 says.
fn hear_lead(lead: StreamVec<'_, u64, Lead>, shared: Arc<Shared>, steps: Arc<dyn Steps>) {
    let to = Exchange::new(|lead: &Lead| lead.to);
    lead.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(to, "Cluster: led", |_, _| {
        let mut parts = Vec::new();
        move |input, _| {
            input.for_each(|_, said| {
                for Lead { said, .. } in said.drain(..) {
                    match said {
                        Said::Restored(part) => parts.push(part),
                        Said::GoesOn(until) => {
                            let state = State { until, parts: take(&mut parts) };
                            let _ = shared.restored.set(Some(Arc::new(state.into())));
                        }
                        Said::Begins => {
                            let _ = shared.restored.set(None);
                        }
                        Said::Step { number, step, part } => match steps.take(number, step, part) {
                            Ok(()) => shared.allow(number + 1),
                            Err(why) => shared.fail(why),
                        },
                        Said::Save(number) => steps.ask(number),
                        Said::End { again } => {
                            shared.end();
                            steps.no_more(again);
                        }
                    }
                }
            });
        }
    });
}

/// The first worker of all hears what the others tell.
fn hear_told(
    told: StreamVec<'_, u64, Tell>,
    shared: Arc<Shared>,
    steps: Arc<dyn Steps>,
    interrupted: Arc<AtomicBool>,
) {
    let to_first = Exchange::new(|_: &Tell| 0);
    told.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(to_first, "Cluster: told", |_, _| {
        let mut kept: BTreeMap<usize, Vec<Part>> = BTreeMap::new();
        move |input, _| {
            input.for_each(|_, told| {
                for told in told.drain(..) {
                    match told {
                        Tell::Interrupted if steps.end_asked() => {}
                        Tell::Interrupted => interrupted.store(true, Ordering::Relaxed),
                        Tell::Kept(worker, part) => kept.entry(worker).or_default().push(part),
                        Tell::Saved(worker) => {
                            let parts = kept.remove(&worker).unwrap_or_default();
                            steps.saved(Handed::parts(parts));
                        }
                        Tell::Found(summary) => shared.add(summary),
                    }
                }
            });
        }
    });
}
