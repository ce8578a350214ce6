//! Sinks: what becomes of decisions. Workers hand over their parts in any order; the recorder
//! puts them in total order and everything that depends on the order happens there.

pub mod entities;
pub mod lines;
pub mod log;
pub mod parquet;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;

use self::log::Log;
use self::parquet::{
    Writer, decisions_columns, decisions_schema, features_columns, features_schema,
};
use crate::decision::{DecisionBatch, Names};
use crate::event::{Column, Type};
use crate::stopwatch::{Stage, Stopwatch};

/// The decisions on one slice, with their feature row and canonical lines.
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
    /// The decisions as canonical JSON lines.
    pub lines: String,
    /// Events of the slice, by kind.
    pub events: [u64; 12],
    /// For each rule, how often it could not be evaluated.
    pub not_evaluable: Vec<u64>,
}

/// Batches that may wait for a writer.
const BATCHES_WAITING: usize = 4;

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
    /// Time spent.
    pub stopwatch: Stopwatch,
}

/// Receives parts, puts them in order, and writes them: `each` sees every part in total order.
pub struct Recorder {
    decisions: Lane,
    features: Lane,
    log: Log,
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
    pub fn create(directory: &Path, features: &[(String, Type)]) -> Result<Recorder, String> {
        Ok(Recorder {
            decisions: Lane::create(&directory.join("decisions.parquet"), decisions_schema())?,
            features: Lane::create(&directory.join("features.parquet"), features_schema(features))?,
            log: Log::create(&directory.join("log"))?,
            recorded: Recorded {
                digest: blake3::hash(b""),
                decided: 0,
                events: [0; 12],
                not_evaluable: BTreeMap::new(),
                shadow_hits: BTreeMap::new(),
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
                self.record(scored, &mut each)?;
                next += 1;
            }
        }
        self.finish()
    }

    fn record(
        &mut self,
        mut scored: Scored,
        each: &mut impl FnMut(&mut Scored),
    ) -> Result<(), String> {
        let Recorder { log, recorded, counts, .. } = self;
        recorded.stopwatch.time(Stage::Record, || {
            each(&mut scored);
            log.append(scored.batch.rows.len() as u64, &scored.lines)
        })?;
        self.recorded.decided += scored.batch.rows.len() as u64;
        for (total, more) in self.recorded.events.iter_mut().zip(scored.events) {
            *total += more;
        }
        if !Arc::ptr_eq(&counts.names, &scored.names) {
            std::mem::replace(counts, RuleCounts::new(&scored.names)).add_to(&mut self.recorded);
        }
        counts.count(&scored);
        if scored.batch.rows.is_empty() {
            return Ok(());
        }
        let Scored { batch, names, features, .. } = scored;
        let batch = Arc::new(batch);
        let decided = batch.clone();
        self.decisions.send(Box::new(move || decisions_columns(&decided, &names)))?;
        self.features.send(Box::new(move || features_columns(&batch, features)))
    }

    fn finish(mut self) -> Result<Recorded, String> {
        let decisions = self.decisions.close()?;
        let features = self.features.close()?;
        self.recorded.stopwatch.add(&decisions);
        self.recorded.stopwatch.add(&features);
        self.counts.add_to(&mut self.recorded);
        self.recorded.digest = self.log.close()?;
        Ok(self.recorded)
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

/// One file and the thread that writes it.
struct Lane {
    sender: Option<SyncSender<MakeColumns>>,
    thread: Option<JoinHandle<Result<Stopwatch, String>>>,
}

impl Lane {
    fn create(path: &Path, schema: SchemaRef) -> Result<Lane, String> {
        let failed = {
            let path = path.display().to_string();
            move |error: ::parquet::errors::ParquetError| format!("cannot write {path}: {error}")
        };
        let mut writer = Writer::create(path, schema).map_err(&failed)?;
        let (sender, receiver) = sync_channel::<MakeColumns>(BATCHES_WAITING);
        let thread = std::thread::spawn(move || {
            let mut stopwatch = Stopwatch::default();
            for make in receiver {
                stopwatch.time(Stage::Write, || writer.write(make())).map_err(&failed)?;
            }
            stopwatch.time(Stage::Write, || writer.close()).map_err(&failed)?;
            Ok(stopwatch)
        });
        Ok(Lane { sender: Some(sender), thread: Some(thread) })
    }

    fn send(&mut self, columns: MakeColumns) -> Result<(), String> {
        match &self.sender {
            Some(sender) if sender.send(columns).is_ok() => Ok(()),
            // The writer has stopped: its own error says why.
            _ => self.close().map(|_| ()),
        }
    }

    fn close(&mut self) -> Result<Stopwatch, String> {
        self.sender = None;
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| "a writer stopped".to_owned())?,
            None => Ok(Stopwatch::default()),
        }
    }
}
