//! The stream's side of the desk: what it tells of each record and decision.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::control::Resume;
use super::super::ends::lock;
use super::desk::Desk;
use super::holds::Hold;
use crate::decision::Verdict;
use crate::event::{ACCOUNT_ID, AMOUNT_FEN, EVENT_ID};
use crate::sink::Scored;
use crate::source::log::Arrived;
use crate::stopwatch::unix_ms;

/// Tells the desk what becomes of records.
pub(in crate::stream) struct Watch {
    pub(in crate::stream) desk: Arc<Desk>,
    /// For each partition, when the records that are not decided were appended, by offset.
    arrivals: Vec<VecDeque<(u64, i64)>>,
    /// When records were appended whose decisions are not committed.
    uncommitted: Vec<i64>,
    scratch: Vec<u8>,
}

impl Watch {
    pub(in crate::stream) fn new(desk: Arc<Desk>, partitions: usize) -> Watch {
        let arrivals = vec![VecDeque::new(); partitions];
        Watch { desk, arrivals, uncommitted: Vec::new(), scratch: Vec::new() }
    }

    /// Hears of records that were read.
    pub(in crate::stream) fn read(&mut self, at: usize, arrived: &[Arrived]) {
        let times = arrived.iter().map(|arrived| (arrived.offset, arrived.append_time));
        self.arrivals[at].extend(times);
    }

    /// Hears of decision `at` of a part; whether it was written before this incarnation began.
    pub(in crate::stream) fn decided(
        &mut self,
        Scored { batch, names, .. }: &Scored,
        at: usize,
        (line, replayed): (&str, bool),
    ) {
        let (chunk, row) = (&batch.slice.chunk, batch.rows[at] as usize);
        let position = chunk.position(row);
        // Counted first, so that whoever has the answer finds it counted.
        if !replayed {
            let hits = batch.hits.get(at).iter();
            let rules = hits.map(|hit| names.rules[usize::from(*hit)].0.as_str());
            self.desk.metrics.decided(batch.verdicts[at], rules);
            let arrivals = &self.arrivals[position.source as usize];
            if let Ok(found) = arrivals.binary_search_by_key(&position.at, |(offset, _)| *offset) {
                let appended = arrivals[found].1;
                self.desk.metrics.latency(false, unix_ms().saturating_sub(appended));
                self.uncommitted.push(appended);
            }
        }
        let id = chunk.str(EVENT_ID, row);
        let verdict = batch.verdicts[at];
        let hold = (verdict == Verdict::Hold).then(|| Hold {
            event_id: id.to_owned(),
            account_id: chunk.str(ACCOUNT_ID, row).to_owned(),
            amount_fen: chunk.int(AMOUNT_FEN, row),
            effective_time: batch.slice.effective[row],
            decision: Some(verdict.name().to_owned()),
            score: Some(batch.scores[at]),
        });
        let body = chunk.body_hash(row, &mut self.scratch);
        self.desk.decided(id, body, line, hold);
    }

    /// Hears for which rules a part had events that could not be evaluated, and which break a law of
    /// packets.
    pub(in crate::stream) fn scored(&self, scored: &Scored) {
        let metrics = &self.desk.metrics;
        for ((rule, _), events) in scored.names.rules.iter().zip(&scored.not_evaluable) {
            if *events > 0 {
                metrics.not_evaluable(rule, *events);
            }
        }
        for (row, finding) in &scored.findings {
            let kind = scored.batch.slice.chunk.kind(*row as usize);
            metrics.finding(finding.name(), kind.name());
        }
    }

    /// Hears that everything so far is committed.
    pub(in crate::stream) fn committed(&mut self, resume: &Resume, took: Duration) {
        let now = unix_ms();
        for appended in self.uncommitted.drain(..) {
            self.desk.metrics.latency(true, now.saturating_sub(appended));
        }
        self.desk.metrics.committed(took);
        self.passed(resume);
    }

    /// Hears up to where everything is decided.
    pub(in crate::stream) fn passed(&mut self, resume: &Resume) {
        for (at, place) in resume.partitions.iter().enumerate() {
            let arrivals = &mut self.arrivals[at];
            let left = arrivals.partition_point(|(offset, _)| *offset < place.resume_offset);
            arrivals.drain(..left);
            self.desk.passed(at as u32, place.resume_offset);
        }
        self.desk.metrics.holds(lock(self.desk.holds()).counts().0);
    }
}
