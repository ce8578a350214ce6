//! A batch run: all events through the dataflow, the decisions to a run directory or to memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use crate::dataflow::{self, Options, Planned, Steps, Summary};
use crate::job::Job;
use crate::peers::Peers;
use crate::sink::{Recorded, Recorder, Scored};

/// Parts that may wait for the recorder. Few: where it falls behind, workers wait for it while its writers
/// keep the processors busy, and not at the end, when there is nothing else to do.
const PARTS_WAITING: usize = 2;

/// Decides all events of the job into a directory; `each` sees every part in total order. Of several
/// processes it is number 0 that does so.
pub fn record(
    job: &Arc<Job>,
    options: Options,
    (directory, peers): (&Path, Option<Peers>),
    each: impl FnMut(&mut Scored) + Send + 'static,
) -> Result<(Summary, Recorded), String> {
    let features: Vec<_> =
        job.features().columns().iter().map(|(name, kind, _)| (name.clone(), *kind)).collect();
    let challenged = job.epochs.iter().any(|epoch| epoch.scorer.models().challenger.is_some());
    let recorder = Recorder::create(directory, &features, challenged)?;
    let (sender, receiver) = sync_channel::<Scored>(PARTS_WAITING);
    let thread = std::thread::spawn(move || recorder.run(&receiver, each));
    let steps = planned(job, options);
    let summary = dataflow::run_among(job, &steps, options, Some(&sender), peers);
    drop(sender);
    let recorded = thread.join().map_err(|_| "the recorder stopped".to_owned())??;
    Ok((summary?, recorded))
}

/// Decides with the other processes on all events of the job, of which process 0 records them.
pub fn follow(job: &Arc<Job>, options: Options, peers: Peers) -> Result<Summary, String> {
    dataflow::run_among(job, &planned(job, options), options, None, Some(peers))
}

/// Decides all events of the job in memory: the parts in total order.
pub fn decide(job: &Arc<Job>, options: Options) -> Result<(Summary, Vec<Scored>), String> {
    let (sender, receiver) = sync_channel::<Scored>(PARTS_WAITING);
    let thread = std::thread::spawn(move || {
        let mut parts: Vec<Scored> = receiver.into_iter().collect();
        parts.sort_by_key(|scored| scored.part);
        parts
    });
    let summary = dataflow::run(job, &planned(job, options), options, &sender);
    drop(sender);
    let parts = thread.join().map_err(|_| "the collector stopped".to_owned())?;
    Ok((summary?, parts))
}

fn planned(job: &Arc<Job>, options: Options) -> Arc<dyn Steps> {
    Arc::new(Planned::new(job.clone(), options.tick, options.batch))
}
