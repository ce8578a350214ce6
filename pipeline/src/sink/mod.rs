//! Sinks: what becomes of decisions. Workers hand over their parts in any order; the recorder
//! puts them in total order and everything that depends on the order happens there.

mod dictionary;
pub mod entities;
pub mod lines;
pub mod log;
pub mod parquet;
mod sent;
mod written;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;

use self::log::Log;
use self::parquet::{
    Writer, challenger_columns, challenger_schema, decisions_columns, decisions_schema,
    features_columns, features_schema,
};
pub(crate) use self::sent::Sent;
pub(crate) use self::written::Hashed;
pub use self::written::Written;
use crate::decision::{DecisionBatch, Names};
use crate::event::{Column, EVENT_ID, Type};
use crate::packet::finding::Finding;
use crate::stopwatch::{Stage, Stopwatch};

/// The decisions on one slice, with their feature rows.
#[derive(Debug)]
pub struct Scored {
    /// The slice's place: step times workers, plus worker.
    pub part: usize,
    /// Which of the run's rules decided: the first, or those of a change.
    pub epoch: usize,
    /// What is the same in every decision of these rules.
    pub names: Arc<Names>,
    /// The decisions.
    pub batch: DecisionBatch,
    /// The features' columns, a row a transaction.
    pub features: Vec<Column>,
    /// Events of the slice, by kind.
    pub events: [u64; 12],
    /// For each rule, how often it could not be evaluated.
    pub not_evaluable: Vec<u64>,
    /// What the referee finds against the laws of packets, by the event's row in the slice.
    pub findings: Vec<(u32, Finding)>,
}

impl Scored {
    /// The decisions as canonical JSON lines.
    pub fn lines(&self) -> String {
        self.batch.lines(&self.names)
    }
}

/// What a challenger says of each transaction: beside the decisions and no part of them.
pub(crate) const CHALLENGER_FILE: &str = "challenger.parquet";

/// Batches that may wait for a writer; few, for the same reason as parts that wait for the recorder.
const BATCHES_WAITING: usize = 1;

/// Events that are named of those which break a law.
const BREACHES_NAMED: usize = 3;

/// Events of one kind that break one law of packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaches {
    /// How many.
    pub count: u64,
    /// The ids of the first ones.
    pub first: Vec<String>,
}

/// What the recorder knows at the end.
#[derive(Debug)]
pub struct Recorded {
    /// The digest of the decisions: BLAKE3 of their lines.
    pub digest: blake3::Hash,
    /// Transactions decided.
    pub decided: u64,
    /// Events by kind.
    pub events: [u64; 12],
    /// For each rule by its id, how often it could not be evaluated, where it ever was.
    pub not_evaluable: BTreeMap<String, u64>,
    /// For each rule by its id, how often it hit in shadow, where it ever did.
    pub shadow_hits: BTreeMap<String, u64>,
    /// The laws of packets that were broken, by kind of event.
    pub breaches: BTreeMap<(Finding, &'static str), Breaches>,
    /// The tables.
    pub files: Vec<Written>,
    /// Time spent.
    pub stopwatch: Stopwatch,
}

/// Receives parts, puts them in order, and writes them: `each` sees every part in total order.
pub struct Recorder {
    decisions: Lane<MakeColumns, Written>,
    features: Lane<MakeColumns, Written>,
    log: Lane<Logged, blake3::Hash>,
    /// What a challenger says, where there is one.
    challenger: Option<Lane<MakeColumns, Written>>,
    recorded: Recorded,
    counts: RuleCounts,
}

/// Counts of the rules that decide at present, by their places.
#[derive(Default)]
struct RuleCounts {
    names: Arc<Names>,
    not_evaluable: Vec<u64>,
    shadow_hits: Vec<u64>,
}

impl Recorder {
    /// Opens the files of a run directory.
    pub fn create(
        directory: &Path,
        features: &[(String, Type)],
        challenged: bool,
    ) -> Result<Recorder, String> {
        let challenger = directory.join(CHALLENGER_FILE);
        Ok(Recorder {
            challenger: challenged
                .then(|| columns(&challenger, challenger_schema()))
                .transpose()?,
            decisions: columns(&directory.join("decisions.parquet"), decisions_schema())?,
            features: columns(&directory.join("features.parquet"), features_schema(features))?,
            log: lines(&directory.join("log"))?,
            recorded: Recorded {
                digest: blake3::hash(b""),
                decided: 0,
                events: [0; 12],
                not_evaluable: BTreeMap::new(),
                shadow_hits: BTreeMap::new(),
                breaches: BTreeMap::new(),
                files: Vec::new(),
                stopwatch: Stopwatch::default(),
            },
            counts: RuleCounts::default(),
        })
    }

    /// Takes parts until the senders are gone. A part after a gap is never written: the run was
    /// interrupted, and its step is not whole.
    pub fn run(
        mut self,
        parts: &Receiver<Scored>,
        mut each: impl FnMut(&mut Scored),
    ) -> Result<Recorded, String> {
        let mut early: BTreeMap<usize, Scored> = BTreeMap::new();
        let mut next = 0;
        for scored in parts {
            early.insert(scored.part, scored);
            while let Some(scored) = early.remove(&next) {
                if !self.record(scored, &mut each) {
                    return self.finish();
                }
                next += 1;
            }
        }
        self.finish()
    }

    /// Whether the writers go on; why one does not is said at the end.
    fn record(&mut self, mut scored: Scored, each: &mut impl FnMut(&mut Scored)) -> bool {
        let Recorder { recorded, counts, .. } = self;
        recorded.stopwatch.time(Stage::Record, || each(&mut scored));
        self.recorded.decided += scored.batch.rows.len() as u64;
        for (total, more) in self.recorded.events.iter_mut().zip(scored.events) {
            *total += more;
        }
        let chunk = &scored.batch.slice.chunk;
        for &(row, finding) in &scored.findings {
            let law = (finding, chunk.kind(row as usize).name());
            let breaches = self.recorded.breaches.entry(law).or_default();
            breaches.count += 1;
            if breaches.first.len() < BREACHES_NAMED {
                breaches.first.push(chunk.str(EVENT_ID, row as usize).to_owned());
            }
        }
        if !Arc::ptr_eq(&counts.names, &scored.names) {
            std::mem::replace(counts, RuleCounts::new(&scored.names)).add_to(&mut self.recorded);
        }
        counts.count(&scored);
        if scored.batch.rows.is_empty() {
            return true;
        }
        let Scored { batch, names, features, .. } = scored;
        let batch = Arc::new(batch);
        let (logged, decided) = (batch.clone(), batch.clone());
        // Of what was decided before there was a challenger there is nothing to say.
        let challenged = !batch.challenger.verdicts.is_empty();
        if let Some(lane) = self.challenger.as_ref().filter(|_| challenged) {
            let batch = batch.clone();
            if !lane.send(Box::new(move || challenger_columns(&batch))) {
                return false;
            }
        }
        self.log.send((logged, names.clone()))
            && self.decisions.send(Box::new(move || decisions_columns(&decided, &names)))
            && self.features.send(Box::new(move || features_columns(&batch, features)))
    }

    fn finish(self) -> Result<Recorded, String> {
        let Recorder { decisions, features, log, challenger, mut recorded, counts } = self;
        counts.add_to(&mut recorded);
        for lane in challenger.into_iter().chain([decisions, features]) {
            recorded.files.push(lane.close(&mut recorded.stopwatch)?);
        }
        recorded.digest = log.close(&mut recorded.stopwatch)?;
        Ok(recorded)
    }
}

impl RuleCounts {
    fn new(names: &Arc<Names>) -> RuleCounts {
        let zeros = vec![0; names.rules.len()];
        RuleCounts { names: names.clone(), not_evaluable: zeros.clone(), shadow_hits: zeros }
    }

    fn count(&mut self, scored: &Scored) {
        for rule in scored.batch.shadow_hits.items() {
            self.shadow_hits[usize::from(*rule)] += 1;
        }
        for (total, more) in self.not_evaluable.iter_mut().zip(&scored.not_evaluable) {
            *total += more;
        }
    }

    /// Adds the counts of these rules to those of all rules of their ids.
    fn add_to(self, recorded: &mut Recorded) {
        for (at, (id, _)) in self.names.rules.iter().enumerate() {
            let counts = [
                (&mut recorded.not_evaluable, self.not_evaluable[at]),
                (&mut recorded.shadow_hits, self.shadow_hits[at]),
            ];
            for (totals, more) in counts.into_iter().filter(|(_, more)| *more > 0) {
                *totals.entry(id.clone()).or_default() += more;
            }
        }
    }
}

/// Makes a batch's columns on the thread that writes them.
type MakeColumns = Box<dyn FnOnce() -> Vec<ArrayRef> + Send>;

/// A lane that writes a Parquet file.
fn columns(path: &Path, schema: SchemaRef) -> Result<Lane<MakeColumns, Written>, String> {
    let failed = {
        let path = path.display().to_string();
        move |error: ::parquet::errors::ParquetError| format!("cannot write {path}: {error}")
    };
    let mut writer = Writer::create(path, schema).map_err(&failed)?;
    Ok(Lane::start(move |batches: Receiver<MakeColumns>, stopwatch| {
        for make in batches {
            stopwatch.time(Stage::Write, || writer.write(make())).map_err(&failed)?;
        }
        stopwatch.time(Stage::Write, || writer.close()).map_err(&failed)
    }))
}

/// The decisions on a slice, and what their lines need.
type Logged = (Arc<DecisionBatch>, Arc<Names>);

/// The lane that writes the log, and gives the digest.
fn lines(directory: &Path) -> Result<Lane<Logged, blake3::Hash>, String> {
    let mut log = Log::create(directory)?;
    Ok(Lane::start(move |batches: Receiver<Logged>, stopwatch| {
        for (batch, names) in batches {
            stopwatch.time(Stage::Log, || log.append(&batch, &names))?;
        }
        log.close()
    }))
}

/// One output and the thread that writes it.
struct Lane<Batch, Done> {
    sender: SyncSender<Batch>,
    thread: JoinHandle<Result<(Done, Stopwatch), String>>,
}

impl<Batch: Send + 'static, Done: Send + 'static> Lane<Batch, Done> {
    fn start(
        write: impl FnOnce(Receiver<Batch>, &mut Stopwatch) -> Result<Done, String> + Send + 'static,
    ) -> Lane<Batch, Done> {
        let (sender, receiver) = sync_channel(BATCHES_WAITING);
        let thread = std::thread::spawn(move || {
            let mut stopwatch = Stopwatch::default();
            let done = write(receiver, &mut stopwatch)?;
            Ok((done, stopwatch))
        });
        Lane { sender, thread }
    }

    /// Hands over a batch; false where the writer has stopped, and [`Lane::close`] says why.
    fn send(&self, batch: Batch) -> bool {
        self.sender.send(batch).is_ok()
    }

    fn close(self, total: &mut Stopwatch) -> Result<Done, String> {
        drop(self.sender);
        let (done, stopwatch) = self.thread.join().map_err(|_| "a writer stopped".to_owned())??;
        total.add(&stopwatch);
        Ok(done)
    }
}
