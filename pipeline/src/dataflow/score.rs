//! The last operator: it gathers the replies of each slice, scores its transactions and sends the
//! decisions off.
//!
//! Where a feature depends on earlier decisions, the workers first agree on a step's alerts (see
//! [`alerts`](crate::alerts)). What they tell each other comes back to this operator over a loop.
//! In it nothing follows from what comes back but more of the same step, for which it holds the
//! time itself: so no time waits for the loop, and the loop ends with the input.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};
use timely::dataflow::operators::{Capability, ConnectLoop, Feedback, Probe};
use timely::dataflow::{ProbeHandle, StreamVec};
use timely::progress::frontier::{Antichain, MutableAntichain};
use timely::progress::operate::FrontierInterest;

use super::control::Seat;
use super::{Events, Wiring};
use crate::alerts::{Agreement, Alerts, Share, Told, Turn};
use crate::features::funds::GraphTick;
use crate::features::kept::OF_ALERTED;
use crate::features::state::Usage;
use crate::gather::{Gatherer, Prepared, Provisional};
use crate::job::Job;
use crate::keyed::Replies;
use crate::sink::{Scored, Sent};
use crate::snapshot::{Broken, Share as Has, Snapshot};
use crate::stopwatch::Stage;

/// The name of the accounts with alerts among what takes up memory.
const ALERTED: &str = "alerts: accounts";

impl Wiring<'_> {
    pub(super) fn score<'s>(
        &self,
        events: Events<'s>,
        replies: StreamVec<'s, u64, Replies>,
        sink: Option<SyncSender<Scored>>,
        probe: &ProbeHandle<u64>,
    ) {
        let deciding = Deciding::new(self.job, self.index, self.peers);
        let deciding = self.keepers.keep(ALERTED, deciding);
        let settled = self.keepers.settles(|until| until);
        let summary = self.summary.clone();
        let scope = events.scope();
        let mut builder = OperatorBuilder::new("gather and score".to_owned(), scope);
        let mut events = builder.new_input(events, Pipeline);
        let to_origin = Exchange::new(|replies: &Replies| u64::from(replies.origin));
        let mut replies = builder.new_input(replies, to_origin);
        let agrees = deciding.borrow().agreement.is_some();
        let (handle, mut told) = agrees
            .then(|| {
                let (handle, told) = scope.feedback::<Vec<Told>>(1);
                let to_peer = Exchange::new(|told: &Told| u64::from(told.to));
                (handle, builder.new_input(told, to_peer))
            })
            .unzip();
        // Nothing follows from the loop.
        let with = |input| (input, Antichain::from_elem(Default::default()));
        let (away, done) = builder.new_output_connection::<Vec<Sent>, _>([with(0), with(1)]);
        let mut away = OutputBuilder::<_, CapacityContainerBuilder<Vec<Sent>>>::from(away);
        let own = sink.clone();
        let mut tell = handle.map(|handle| {
            let (tell, telling) = builder.new_output_connection([with(0), with(1)]);
            builder.set_notify_for(2, FrontierInterest::Never);
            telling.connect_loop(handle);
            OutputBuilder::<_, CapacityContainerBuilder<Vec<Told>>>::from(tell)
        });
        builder.build(move |capabilities| {
            drop(capabilities);
            let mut waiting: BTreeMap<u64, Gathering> = BTreeMap::new();
            move |frontiers| {
                let deciding = &mut *deciding.borrow_mut();
                events.for_each_stamp(|stamp, slices| {
                    let Some(&time) = stamp.least() else { return };
                    let held = waiting.entry(time).or_default();
                    held.open = stamp.retain_least(0);
                    held.telling = agrees.then(|| stamp.retain_least(1)).flatten();
                    held.slices.extend(slices.flat_map(|slices| slices.drain(..)));
                });
                replies.for_each_stamp(|stamp, batches| {
                    let Some(&time) = stamp.least() else { return };
                    let held = waiting.entry(time).or_default();
                    held.replies.extend(batches.flat_map(|batches| batches.drain(..)));
                });
                if let Some(told) = &mut told {
                    told.for_each(|_, told| told.drain(..).for_each(|told| deciding.hear(told)));
                }
                let mut tell = tell.as_mut().map(OutputBuilder::activate);
                let mut away = away.activate();
                // The loop's frontier is where this operator itself holds it.
                let frontiers = &frontiers[..2];
                while let Some(mut step) = waiting.first_entry() {
                    let time = *step.key();
                    if frontiers.iter().any(|frontier| frontier.less_equal(&time)) {
                        break;
                    }
                    let gathering = step.get_mut();
                    let (turn, told) = summary
                        .borrow_mut()
                        .stopwatch
                        .time(Stage::Rules, || deciding.turn(time, gathering));
                    if let (Some(tell), Some(telling)) = (&mut tell, &gathering.telling) {
                        tell.session(telling).give_iterator(told.into_iter());
                    }
                    match turn {
                        Turn::Wait => break,
                        Turn::Again => {}
                        Turn::Agreed => {
                            let mut gathering = step.remove();
                            let open = gathering.open.take();
                            for scored in deciding.finish(gathering) {
                                match (&own, &open) {
                                    // The receiver ends early only after an error that it reports.
                                    (Some(own), _) => drop(own.send(scored)),
                                    (None, Some(open)) => away.session(open).give(Sent::of(scored)),
                                    (None, None) => {}
                                }
                            }
                        }
                    }
                }
                if waiting.is_empty() {
                    let known =
                        |frontier: &MutableAntichain<u64>| frontier.frontier().first().copied();
                    settled.set(frontiers.iter().filter_map(known).min());
                }
                if waiting.is_empty()
                    && frontiers.iter().all(|frontier| frontier.frontier().is_empty())
                    && let Some(usage) = deciding.measure()
                {
                    summary.borrow_mut().add_state(ALERTED, usage);
                }
            }
        });
        match self.seat {
            Some(seat) => self.bring(done, seat, sink).probe_with(probe),
            None => done.probe_with(probe),
        };
    }

    /// Brings the decisions of other processes to where all decisions go.
    fn bring<'s>(
        &self,
        decided: StreamVec<'s, u64, Sent>,
        seat: Seat,
        sink: Option<SyncSender<Scored>>,
    ) -> StreamVec<'s, u64, Sent> {
        let job = self.job.clone();
        let to = Exchange::new(move |sent: &Sent| seat.receiver(sent.part()));
        decided.unary::<CapacityContainerBuilder<Vec<Sent>>, _, _, _>(to, "Cluster: decisions", {
            |_, _| {
                move |input, _| {
                    input.for_each(|_, decided| {
                        for sent in decided.drain(..) {
                            let epoch = job.epoch(sent.epoch);
                            let names = epoch.scorer.names();
                            let scored = sent.scored(&job.features().schema, names);
                            if let Some(sink) = &sink {
                                // As above.
                                drop(sink.send(scored));
                            }
                        }
                    });
                }
            }
        })
    }
}

/// The slices of a step that wait for their replies, and then for the others' alerts.
#[derive(Default)]
struct Gathering {
    /// Holds the step open until it is scored.
    open: Option<Capability<u64>>,
    /// Where something may still be told.
    telling: Option<Capability<u64>>,
    slices: Vec<Rc<Prepared>>,
    replies: Vec<Replies>,
    /// What is decided, slice by slice.
    decided: Vec<Provisional>,
    alerts: Alerts,
}

/// What decides on a worker's share of each step.
struct Deciding {
    job: Arc<Job>,
    index: usize,
    peers: usize,
    gatherer: Gatherer,
    /// None where no feature depends on decisions.
    agreement: Option<Agreement>,
    /// The step in hand.
    step: Option<u64>,
    measured: bool,
}

impl Snapshot for Deciding {
    fn share(&self) -> Has {
        Has::Whole
    }

    fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>)) {
        if let Some(agreement) = &self.agreement {
            agreement.save(put);
        }
    }

    fn load(&mut self, number: usize, bytes: &[u8]) -> Result<(), Broken> {
        let nobody = || Broken("no feature here depends on alerts".to_owned());
        self.agreement.as_mut().ok_or_else(nobody)?.load(number, bytes)
    }
}

impl Deciding {
    fn new(job: &Arc<Job>, index: usize, peers: usize) -> Deciding {
        let features = job.features();
        let tick = GraphTick(features.graph_tick);
        let agrees = features.keepers.has(OF_ALERTED);
        Deciding {
            job: job.clone(),
            index,
            peers,
            gatherer: Gatherer::new(features),
            agreement: agrees.then(|| Agreement::new(index, peers, tick)),
            step: None,
            measured: false,
        }
    }

    fn hear(&mut self, told: Told) {
        if let Some(agreement) = &mut self.agreement {
            agreement.hear(told);
        }
    }

    /// Goes on with a step whose replies are all there, and says what is to be told to the others.
    fn turn(&mut self, time: u64, step: &mut Gathering) -> (Turn, Vec<Told>) {
        let begins = self.step.replace(time) != Some(time);
        if begins {
            self.agreement.iter_mut().for_each(|agreement| agreement.begin(time));
            self.decide(step);
        }
        let Some(agreement) = &mut self.agreement else {
            return (Turn::Agreed, Vec::new());
        };
        if begins {
            // It may be the last whose word was waited for.
            return (Turn::Again, agreement.tell(&step.alerts, step.last()));
        }
        let turn = agreement.turn();
        if turn != Turn::Again {
            return (turn, Vec::new());
        }
        self.decide_anew(step);
        let agreement = self.agreement.as_mut();
        let told = agreement.map(|agreement| agreement.tell(&step.alerts, step.last()));
        (turn, told.unwrap_or_default())
    }

    fn decide(&self, step: &mut Gathering) {
        let mut share = self.agreement.as_ref().map(Agreement::share);
        for prepared in &step.slices {
            let decided = self.gatherer.score(&self.job, prepared, &step.replies, share.as_mut());
            step.decided.push(decided);
        }
        step.alerts = share.map(Share::finish).unwrap_or_default();
        step.replies = Vec::new();
    }

    /// Decides anew what hangs on the others' alerts.
    fn decide_anew(&self, step: &mut Gathering) {
        let Some(mut share) = self.agreement.as_ref().map(Agreement::share) else { return };
        for (prepared, decided) in step.slices.iter().zip(&mut step.decided) {
            decided.revise(&self.job, prepared, &mut share);
        }
        step.alerts = share.finish();
    }

    /// What is decided in a step that is agreed.
    fn finish(&self, step: Gathering) -> Vec<Scored> {
        let scored = |(prepared, decided): (Rc<Prepared>, Provisional)| {
            let part = prepared.slice.step * self.peers + self.index;
            Scored { part, ..decided.finish(&self.job) }
        };
        step.slices.into_iter().zip(step.decided).map(scored).collect()
    }

    /// What the alerts take up, the first time that it is asked.
    fn measure(&mut self) -> Option<Usage> {
        let again = std::mem::replace(&mut self.measured, true);
        self.agreement.as_ref().filter(|_| !again).map(Agreement::usage)
    }
}

impl Gathering {
    /// The effective time of the last event.
    fn last(&self) -> Option<i64> {
        self.slices.iter().filter_map(|prepared| prepared.slice.effective.last()).max().copied()
    }
}
