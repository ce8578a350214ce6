//! The witness of a rule that hit: as few earlier events as possible that make it hit.
//!
//! Earlier events that share a key with the transaction are decided on again, in the run's own
//! pipeline and with it behind them, and taken away as long as the rule still hits. So it is known of
//! what is left that it suffices and that none of it can be left out, whatever the rule's features
//! are. Where other events made it hit too, those that are left are one witness of several: the
//! oldest are tried first, so what is left is rather new.

mod pool;
mod reduce;
mod timeline;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

pub use self::pool::Reach;
use self::pool::{Keys, Pool};
use self::reduce::{Reduced, reduce};
use super::look::Read;
use crate::backtest;
use crate::changes;
use crate::dataflow::Options;
use crate::decision;
use crate::diagnostic::{Failure, Message};
use crate::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, Chunk, DEVICE_ID, EVENT_ID, EVENT_TIME, GROUP_ID,
    NULL_INT, PACKET_ID, TEXT,
};
use crate::expr::Zone;
use crate::finished::{FinishedRun, go_on};
use crate::job::{Epoch, Job};
use crate::sink::Scored;
use crate::source::Progress;
use crate::source::order::{Arrivals, Ordered};

/// Sets of events that are tried for one rule.
const TRIALS_MAX: usize = 2_000;
/// Events that are decided on in all trials for one rule together.
const TRIED_EVENTS_MAX: usize = 4_000_000;

/// What makes a rule hit.
#[derive(Clone, Debug, Serialize)]
pub struct Witness {
    /// The rule.
    pub rule: String,
    /// Whether there is one.
    pub found: Found,
    /// The earlier events that make it hit, with the transaction behind them.
    pub events: Vec<Earlier>,
    /// Which events were looked at.
    pub reach: Reach,
    /// How many.
    pub candidates: usize,
    /// Whether there were more than are looked at: the latest were.
    pub cut: bool,
    /// How many sets of them were tried.
    pub trials: usize,
    /// These events as a test that can be put into the rule's file; none where a value cannot be
    /// written in one.
    pub test: Option<String>,
}

/// What is known of a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The events suffice, and without any one of them the rule does not hit.
    Minimal,
    /// The events suffice; whether all are needed was not tried, for the bound of trials was reached.
    Sufficient,
    /// With the events that were looked at the rule does not hit.
    None,
}

/// An event of a witness; empty is null.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "each field is the event's field of that name")]
pub struct Earlier {
    pub event_id: String,
    pub time: String,
    pub kind: &'static str,
    pub group: String,
    pub account: String,
    pub counterparty: String,
    pub amount_fen: Option<i64>,
    pub packet: String,
    pub device: String,
    pub text: String,
}

impl Read {
    /// The witness of each rule that hit, in the order of the reasons, those in shadow behind them.
    pub(super) fn witnesses(
        &self,
        run: &FinishedRun,
        progress: &dyn Progress,
    ) -> Result<Vec<Witness>, Failure> {
        let reasons = self.record.reasons.iter().map(|reason| &reason.rule);
        let hits = reasons.chain(&self.record.shadow_hits).map(String::as_str);
        let fired: Vec<&str> = hits.filter(|id| *id != decision::MODEL).collect();
        if fired.is_empty() {
            return Ok(Vec::new());
        }
        if !self.same_rules() {
            return Err(others());
        }
        // Not what stands for a rule.
        let fired: Vec<&str> = fired.into_iter().filter(|id| self.rule(id).is_some()).collect();
        let trials = Trials::new(self, run, progress)?;
        let (ordered, own) = (self.events.ordered(), &self.event.slice);
        let keys = || Keys::of(trials.features(), own);
        let (mut witnesses, mut open) = (Vec::new(), fired.clone());
        let mut pool = Pool::gather(ordered, own, Some(&keys()), progress)?;
        let mut looked_at = (Reach::Own, 0, false);
        for reach in [Reach::Own, Reach::TwoHops, Reach::All] {
            if open.is_empty() {
                break;
            }
            pool = match reach {
                Reach::Own => pool,
                Reach::TwoHops => {
                    let keys = keys().and_of(&pool);
                    Pool::gather(ordered, own, Some(&keys), progress)?
                }
                Reach::All => Pool::gather(ordered, own, None, progress)?,
            };
            looked_at = (reach, pool.earlier(), pool.cut);
            let all: Vec<usize> = (0..pool.earlier()).collect();
            let hits = trials.hits(&pool, &all)?;
            let (now, later): (Vec<&str>, Vec<&str>) =
                open.into_iter().partition(|rule| hits.contains(*rule));
            open = later;
            for rule in now {
                witnesses.push(trials.witness(rule, &pool, reach)?);
            }
        }
        let (reach, candidates, cut) = looked_at;
        witnesses.extend(open.into_iter().map(|rule| Witness {
            rule: rule.to_owned(),
            found: Found::None,
            events: Vec::new(),
            reach,
            candidates,
            cut,
            trials: 0,
            test: None,
        }));
        witnesses.sort_by_key(|one| fired.iter().position(|rule| *rule == one.rule));
        Ok(witnesses)
    }
}

/// What decides on a few events as the run decided on all.
struct Trials<'t> {
    read: &'t Read,
    zone: &'t Zone,
    epochs: Vec<Epoch>,
    dedup_window: i64,
    options: Options,
    progress: &'t dyn Progress,
}

impl<'t> Trials<'t> {
    fn new(
        read: &'t Read,
        run: &'t FinishedRun,
        progress: &'t dyn Progress,
    ) -> Result<Trials<'t>, Failure> {
        let options = Options { workers: 1, tick: 1000, batch: usize::MAX >> 1, sorted: true };
        let request = run.request(PathBuf::new(), options)?;
        let (intake, models) = (request.events.open()?, request.models.load()?);
        let rules = match run.has_changes() {
            true => request.rules,
            // Those that decided, also where they are somewhere else now.
            false => read.directory.clone(),
        };
        let ordered = read.events.ordered();
        let schema = ordered.schema();
        let timetable = changes::load(rules.as_deref(), &intake.changes(), &models, schema)?;
        let dedup_window = timetable.policy().dedup_window;
        let epochs = timetable.until(ordered.end()).epochs(ordered.start());
        let (zone, options) = (run.zone(), request.options);
        Ok(Trials { read, zone, epochs, dedup_window, options, progress })
    }

    /// The features by which events are filed: rules that come later share them.
    fn features(&self) -> &crate::features::Features {
        &self.epochs[0].features
    }

    /// The rules that hit on the transaction after these earlier events alone.
    fn hits(&self, pool: &Pool, places: &[usize]) -> Result<BTreeSet<String>, Failure> {
        go_on(self.progress)?;
        let (chunk, times) = pool.with(places);
        let arrivals = Arrivals { chunks: vec![Arc::new(chunk)], effective: Some(vec![times]) };
        let schema = self.read.events.ordered().schema().clone();
        let events = Ordered::new(schema, arrivals, self.dedup_window, true);
        let job = Arc::new(Job::with_epochs(events, self.epochs.clone(), Arc::default()));
        let decided = backtest::decide(&job, self.options);
        let (_, parts) = decided.map_err(|error| {
            Failure::Environment(Message::new(
                format!("the earlier events could not be decided on again: {error}"),
                format!("无法重新决策此前的事件：{error}"),
            ))
        })?;
        // It is the last of all.
        match parts.iter().rev().find(|part| !part.batch.rows.is_empty()) {
            Some(part) => self.hits_of_last(part),
            None => Ok(BTreeSet::new()),
        }
    }

    fn hits_of_last(&self, part: &Scored) -> Result<BTreeSet<String>, Failure> {
        let (record, names) = (&self.read.record, &part.names);
        if names.rules_hash != record.rules_hash || names.model_hash != record.model_hash {
            return Err(others());
        }
        let last = part.batch.rows.len() - 1;
        let hits = part.batch.hits.get(last).iter().chain(part.batch.shadow_hits.get(last));
        Ok(hits.map(|at| names.rules[usize::from(*at)].0.clone()).collect())
    }

    /// The witness of a rule that hits after all events of the pool.
    fn witness(&self, rule: &str, pool: &Pool, reach: Reach) -> Result<Witness, Failure> {
        let (mut trials, mut tried) = (0, 0);
        let Reduced { kept, minimal } = reduce(pool.earlier(), |places| {
            if trials == TRIALS_MAX || tried > TRIED_EVENTS_MAX {
                return Ok(None);
            }
            trials += 1;
            tried += places.len() + 1;
            Ok(Some(self.hits(pool, places)?.contains(rule)))
        })?;
        let (chunk, times) = pool.with(&kept);
        Ok(Witness {
            rule: rule.to_owned(),
            found: if minimal { Found::Minimal } else { Found::Sufficient },
            events: (0..kept.len()).map(|row| earlier(&chunk, row, self.zone)).collect(),
            reach,
            candidates: pool.earlier(),
            cut: pool.cut,
            trials,
            test: timeline::test(&chunk, &times, self.zone),
        })
    }
}

fn others() -> Failure {
    Failure::Usage(Message::new(
        "rules or model are not those that decided, or not there",
        "规则或模型已与当时不同，或已不存在",
    ))
}

fn earlier(chunk: &Chunk, row: usize, zone: &Zone) -> Earlier {
    let text = |field| chunk.str(field, row).to_owned();
    Earlier {
        event_id: text(EVENT_ID),
        time: zone.moment(chunk.int(EVENT_TIME, row)),
        kind: chunk.kind(row).name(),
        group: text(GROUP_ID),
        account: text(ACCOUNT_ID),
        counterparty: text(COUNTERPARTY_ID),
        amount_fen: Some(chunk.int(AMOUNT_FEN, row)).filter(|fen| *fen != NULL_INT),
        packet: text(PACKET_ID),
        device: text(DEVICE_ID),
        text: text(TEXT),
    }
}
