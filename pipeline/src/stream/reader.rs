//! How an engine is given what its input has: what is behind first, what is ahead waits at the brokers,
//! and what waits in memory has its limit.

use super::config::Config;
use super::engine::Engine;
use super::input::Input;
use crate::diagnostic::{Failure, Message};
use crate::stopwatch::Since;

/// How an engine is given what its input has.
#[derive(Clone, Copy)]
pub(super) struct Reader {
    /// Whether nothing is read that came after the input was opened.
    pub(super) once: bool,
    /// See [`Config::waiting_bytes`].
    pub(super) waiting_bytes: usize,
    /// See [`Config::skew`].
    pub(super) skew: i64,
}

impl Reader {
    /// How a stream is given what comes while it goes on.
    pub(super) fn of(config: &Config) -> Reader {
        Reader { once: false, waiting_bytes: config.waiting_bytes, skew: config.skew }
    }

    /// Up to where a partition is read for now; none where that is not known.
    fn stop(self, at: usize, input: &Input, engine: &Engine) -> Option<u64> {
        engine.bound(at).or(self.once.then_some(input.sources[at].end))
    }

    /// Whether a partition is so far ahead of one that has more to read that it waits at the
    /// brokers: what is read of it could not be decided.
    pub(super) fn is_ahead(self, at: usize, input: &Input, engine: &Engine) -> bool {
        let is_read = |one: &usize| {
            let source = &input.sources[*one];
            let stop = self.stop(*one, input, engine);
            source.at_end || stop.is_some_and(|stop| source.position >= stop)
        };
        let unread = (0..input.sources.len()).filter(|one| !is_read(one));
        let behind = unread.map(|one| engine.watermark(one)).min();
        behind.is_some_and(|behind| engine.watermark(at).saturating_sub(behind) > self.skew)
    }

    /// Reads what is there, of partitions that are behind first; false where there was nothing.
    pub(super) fn read(self, input: &mut Input, engine: &mut Engine) -> Result<bool, Failure> {
        let all = 0..input.sources.len();
        let mut order: Vec<usize> = all.clone().collect();
        order.sort_by_key(|at| engine.watermark(*at));
        let mut got = false;
        for at in order {
            let behind = all.clone().map(|at| engine.watermark(at)).min().unwrap_or(i64::MIN);
            let is_full = engine.waiting_bytes() > self.waiting_bytes / 2;
            if (is_full && engine.watermark(at) > behind) || self.is_ahead(at, input, engine) {
                // What is left in its queue also keeps the client from fetching more.
                continue;
            }
            got |= self.read_of(at, input, engine)?;
        }
        Ok(got)
    }

    /// Reads what is there of one partition.
    fn read_of(self, at: usize, input: &mut Input, engine: &mut Engine) -> Result<bool, Failure> {
        let (bound, before) = (engine.bound(at), self.stop(at, input, engine));
        let was = input.sources[at].position;
        let records = input.take(at, before)?;
        let source = &mut input.sources[at];
        // A bound that was committed before the input was opened: between the last record and there
        // nothing is left to read. One that came later may be of records that have yet to arrive.
        if let Some(bound) = bound.filter(|_| source.at_end && !engine.stops_at_committed) {
            source.position = source.position.max(bound);
        }
        let (position, got) = (source.position, !records.is_empty());
        if position != was && engine.take(at, records, position) > 0 {
            input.sources[at].quiet = Since::now();
        }
        Ok(got)
    }

    /// Checks that what waits is within its limit.
    pub(super) fn check_waiting(self, engine: &Engine) -> Result<(), Failure> {
        let (bytes, limit) = (engine.waiting_bytes(), self.waiting_bytes);
        if bytes <= limit {
            return Ok(());
        }
        let mib = |bytes: usize| bytes >> 20;
        Err(Failure::Environment(Message::new(
            format!(
                "the events that wait for their turn take up {} MiB: more of one time, or of one \
                 allowed_lateness, than waiting_mib = {} lets wait",
                mib(bytes),
                mib(limit)
            ),
            format!(
                "等待处理的事件占用 {} MiB：同一时刻或同一 allowed_lateness 内的事件超过了 \
                 waiting_mib = {} 所允许的数量",
                mib(bytes),
                mib(limit)
            ),
        )))
    }
}
