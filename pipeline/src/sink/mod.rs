//! Sinks: what becomes of decisions. Workers hand over their parts in any order; the recorder
//! puts them in total order and everything that depends on the order happens there.

pub mod entities;
pub mod lines;
pub mod log;
pub mod parquet;

use std::collections::BTreeMap;
use std::path::Path;
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
    /// For each rule, how often it could not be evaluated.
    pub not_evaluable: Vec<u64>,
    /// For each rule, how often it hit in shadow.
    pub shadow_hits: Vec<u64>,
    /// Time spent.
    pub stopwatch: Stopwatch,
}

/// Receives parts, puts them in order, and writes them: `each` sees every part in total order.
pub struct Recorder {
    decisions: Lane,
    features: Lane,
    log: Log,
    names: Names,
    recorded: Recorded,
}

impl Recorder {
    /// Opens the files of a run directory.
    pub fn create(
        directory: &Path,
        features: &[(String, Type)],
        names: Names,
    ) -> Result<Recorder, String> {
        let rules = names.rules.len();
        Ok(Recorder {
            decisions: Lane::create(&directory.join("decisions.parquet"), decisions_schema())?,
            features: Lane::create(&directory.join("features.parquet"), features_schema(features))?,
            log: Log::create(&directory.join("log"))?,
            names,
            recorded: Recorded {
                digest: blake3::hash(b""),
                decided: 0,
                events: [0; 12],
                not_evaluable: Vec::new(),
                shadow_hits: vec![0; rules],
                stopwatch: Stopwatch::default(),
            },
        })
    }

    /// Takes parts until the senders are gone. A part after a gap is never written: the run was
    /// interrupted, and its step is not whole.
    pub fn run(
        mut self,
        parts: &Receiver<Scored>,
        mut each: impl FnMut(&mut Scored, &Names),
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
        each: &mut impl FnMut(&mut Scored, &Names),
    ) -> Result<(), String> {
        let Recorder { log, recorded, names, .. } = self;
        recorded.stopwatch.time(Stage::Record, || {
            each(&mut scored, names);
            log.append(scored.batch.rows.len() as u64, &scored.lines)
        })?;
        self.recorded.decided += scored.batch.rows.len() as u64;
        for (total, more) in self.recorded.events.iter_mut().zip(scored.events) {
            *total += more;
        }
        for rule in scored.batch.shadow_hits.items() {
            self.recorded.shadow_hits[usize::from(*rule)] += 1;
        }
        let rules = scored.not_evaluable.len().max(self.recorded.not_evaluable.len());
        self.recorded.not_evaluable.resize(rules, 0);
        for (total, more) in self.recorded.not_evaluable.iter_mut().zip(&scored.not_evaluable) {
            *total += more;
        }
        if scored.batch.rows.is_empty() {
            return Ok(());
        }
        let columns = decisions_columns(&scored.batch, &self.names);
        self.decisions.send(columns)?;
        self.features.send(features_columns(&scored.batch, scored.features))
    }

    fn finish(mut self) -> Result<Recorded, String> {
        let decisions = self.decisions.close()?;
        let features = self.features.close()?;
        self.recorded.stopwatch.add(&decisions);
        self.recorded.stopwatch.add(&features);
        self.recorded.digest = self.log.close()?;
        Ok(self.recorded)
    }
}

/// One file and the thread that writes it.
struct Lane {
    sender: Option<SyncSender<Vec<ArrayRef>>>,
    thread: Option<JoinHandle<Result<Stopwatch, String>>>,
}

impl Lane {
    fn create(path: &Path, schema: SchemaRef) -> Result<Lane, String> {
        let failed = {
            let path = path.display().to_string();
            move |error: ::parquet::errors::ParquetError| format!("cannot write {path}: {error}")
        };
        let mut writer = Writer::create(path, schema).map_err(&failed)?;
        let (sender, receiver) = sync_channel::<Vec<ArrayRef>>(BATCHES_WAITING);
        let thread = std::thread::spawn(move || {
            let mut stopwatch = Stopwatch::default();
            for columns in receiver {
                stopwatch.time(Stage::Write, || writer.write(columns)).map_err(&failed)?;
            }
            stopwatch.time(Stage::Write, || writer.close()).map_err(&failed)?;
            Ok(stopwatch)
        });
        Ok(Lane { sender: Some(sender), thread: Some(thread) })
    }

    fn send(&mut self, columns: Vec<ArrayRef>) -> Result<(), String> {
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
