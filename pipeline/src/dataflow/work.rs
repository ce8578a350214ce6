//! What a worker does: it reads its share of one step after the other, and waits until all is
//! decided.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::Input;
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

use super::control::{Control, Seat};
use super::keepers::Keepers;
use super::operators::OperatorTimes;
use super::shared::{May, Shared};
use super::steps::{Next, Steps};
use super::{Options, PARKED_MAX, STEPS_AHEAD, Summary, Wiring};
use crate::diagnostic::Message;
use crate::features::text::Reader;
use crate::gather::{Prepared, prepare};
use crate::job::Job;
use crate::sink::Scored;
use crate::snapshot::Handed;
use crate::source::order::Step;
use crate::stopwatch::Stage;

/// A run in one process.
#[derive(Clone, Copy)]
pub(super) struct Running<'r> {
    pub(super) job: &'r Arc<Job>,
    pub(super) options: Options,
    pub(super) steps: &'r Arc<dyn Steps>,
    pub(super) shared: &'r Arc<Shared>,
    /// Whether it is one of several.
    pub(super) is_cluster: bool,
}

impl Running<'_> {
    /// One worker: builds the dataflow, feeds its slices, waits until all is decided or a worker
    /// has failed.
    pub(super) fn work(
        self,
        worker: &mut Worker,
        sink: Option<SyncSender<Scored>>,
    ) -> Result<Summary, String> {
        let Running { job, options, steps, shared, is_cluster } = self;
        let (index, peers) = (worker.index(), worker.peers());
        let seat = is_cluster.then(|| Seat::of(worker, options.workers));
        let mut control =
            seat.map(|seat| Control::new(worker, seat, shared, steps, &job.interrupted));
        let restored = match &mut control {
            Some(control) => control.restored(worker),
            None => steps.restored(),
        };
        let mut input = InputHandle::<u64, CapacityContainerBuilder<Vec<Rc<Prepared>>>>::new();
        let probe = ProbeHandle::new();
        let summary = Rc::new(RefCell::new(Summary::default()));
        let times = OperatorTimes::listen(worker);
        let until = restored.as_ref().and_then(|state| state.until);
        let keepers = Keepers::new(index, peers, restored);
        let reached = &shared.reached;
        worker.dataflow::<u64, _, _>(|scope| {
            let events = scope.input_from(&mut input);
            let wiring = Wiring {
                job,
                options,
                index,
                peers,
                seat,
                summary: &summary,
                reached,
                keepers: &keepers,
            };
            wiring.build(events, sink, &probe);
        });
        keepers.check()?;
        if let Some(until) = until {
            reached.fetch_max(until, Ordering::Relaxed);
            input.advance_to(until as u64);
        }
        steps.wake(std::thread::current());
        let mut feeding = Feeding { control, input, probe, until, summary, keepers };
        let done = self.feed(worker, &mut feeding)?;
        let Feeding { control, input, probe, summary, .. } = feeding;
        input.close();
        let goes_on = || shared.goes_on();
        worker.step_or_park_while(PARKED_MAX, || !probe.done() && goes_on());
        let mut summary = std::mem::take(&mut *summary.borrow_mut());
        summary.steps = done;
        if let Some(control) = control {
            control.close(&summary);
        }
        while worker.has_dataflows() && goes_on() {
            worker.step_or_park(PARKED_MAX);
        }
        summary.operators = times.seconds(worker);
        Ok(summary)
    }

    /// Feeds a worker's shares of all steps, and says how many there were.
    fn feed(self, worker: &mut Worker, feeding: &mut Feeding) -> Result<usize, String> {
        let Running { job, steps, shared, .. } = self;
        let Feeding { control, input, probe, until, summary, keepers } = feeding;
        let goes_on = || shared.goes_on();
        let (index, peers) = (worker.index(), worker.peers());
        let (mut done, mut saved) = (0, 0);
        let mut reader = Reader::default();
        let mut under_way = VecDeque::with_capacity(STEPS_AHEAD);
        while goes_on() {
            let interrupted = match control {
                Some(control) => control.interrupted(),
                None => job.interrupted.load(Ordering::Relaxed),
            };
            let step = match steps.next(done) {
                Next::Step(step) => match shared.begin(done, interrupted) {
                    May::Read => step,
                    May::Wait => {
                        worker.step_or_park(PARKED_MAX);
                        continue;
                    }
                    May::End => break,
                },
                Next::Save(number) if number > saved => {
                    if let Some(control) = control {
                        control.save(number);
                    }
                    let is_settled = || until.is_none_or(|until| keepers.are_settled(until as u64));
                    worker.step_or_park_while(PARKED_MAX, || !is_settled() && goes_on());
                    if goes_on() {
                        // A process that follows has no draft, and says what it keeps.
                        let draft = steps.draft();
                        let draft = draft.as_ref().map(|draft| (draft, index as u32));
                        let handed = Handed::over(draft, &|put| keepers.save(put));
                        match control {
                            Some(control) => control.saved(handed),
                            None => steps.saved(handed),
                        }
                    }
                    saved = number;
                    continue;
                }
                Next::Wait | Next::Save(_)
                    if !interrupted || shared.begin(done, true) == May::Read =>
                {
                    worker.step_or_park(PARKED_MAX);
                    continue;
                }
                _ => break,
            };
            if let Some(control) = control {
                control.step(done, &step);
            }
            let share = share(&step.events, index, peers);
            let prepared =
                read(job, &**steps, done, &step, share, &mut reader, &mut summary.borrow_mut())?;
            let time = step.time;
            shared.reached.fetch_max(step.until, Ordering::Relaxed);
            input.advance_to(time as u64);
            input.send(Rc::new(prepared));
            input.advance_to(step.until as u64);
            *until = Some(step.until);
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
        if let Some(control) = control {
            control.end();
        }
        Ok(done)
    }
}

/// What a worker feeds, and what it looks at meanwhile.
struct Feeding {
    control: Option<Control>,
    input: InputHandle<u64, CapacityContainerBuilder<Vec<Rc<Prepared>>>>,
    probe: ProbeHandle<u64>,
    /// The end of the last step.
    until: Option<i64>,
    summary: Rc<RefCell<Summary>>,
    keepers: Keepers,
}

/// Reads a worker's share of step number `number`.
fn read(
    job: &Job,
    steps: &dyn Steps,
    number: usize,
    step: &Step,
    share: Range<usize>,
    reader: &mut Reader,
    summary: &mut Summary,
) -> Result<Prepared, String> {
    summary.events += share.len() as u64;
    let features = job.epoch(step.epoch).features;
    let prepared = summary.stopwatch.time(Stage::Prepare, || {
        let slice = steps.slice(number, share)?;
        Ok(prepare(slice, step.events.start as u64, step.epoch, &features, reader))
    });
    prepared.map_err(|message: Message| message.en)
}

/// The part of a step that a worker reads: contiguous, so that parts are in order.
pub(super) fn share(range: &Range<usize>, index: usize, peers: usize) -> Range<usize> {
    let cut = |part: usize| range.start + range.len() * part / peers;
    cut(index)..cut(index + 1)
}
