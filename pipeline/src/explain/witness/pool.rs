//! The events before a transaction that may be its witness.

use std::collections::HashSet;
use std::sync::Arc;

use compact_str::CompactString;
use serde::Serialize;

use crate::diagnostic::Failure;
use crate::event::{
    ACCOUNT_ID, COUNTERPARTY_ID, Chunk, DEVICE_ID, FieldId, GROUP_ID, Kind, PACKET_ID, SUBJECT_ID,
    Schema, Type,
};
use crate::features::Features;
use crate::features::plan::Source;
use crate::finished::go_on;
use crate::source::Progress;
use crate::source::order::{Ordered, Slice};

/// Events among which a witness is looked for, the latest: each is decided on in the first trial.
const EVENTS_MAX: usize = 20_000;
/// Events that are read at once.
const READ_EVENTS: usize = 1 << 16;

/// Which earlier events are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Those that share an account, group, packet, device or another key with the transaction.
    Own,
    /// Those too that share an account, packet or device with one of these.
    TwoHops,
    /// All.
    All,
}

/// Values by which events are filed, a set for each sort of them.
pub(super) struct Keys {
    /// The fields, each with the place of its set: an account is one, whichever side it is on.
    fields: Vec<(FieldId, usize)>,
    sets: Vec<HashSet<CompactString>>,
}

/// The sets of accounts, packets and devices: over them events hang together in two hops. Over a
/// group everything would.
const HOPS: [usize; 3] = [0, 1, 2];

/// Events before a transaction, in order, and itself.
pub(super) struct Pool {
    schema: Arc<Schema>,
    chunks: Vec<Arc<Chunk>>,
    /// Chunk, row and effective time; the last is the transaction.
    events: Vec<(u32, u32, i64)>,
    /// Whether there were more.
    pub(super) cut: bool,
}

impl Keys {
    /// The keys by which the features file events, with the values of one.
    pub(super) fn of(features: &Features, transaction: &Slice) -> Keys {
        let mut fields = vec![
            (ACCOUNT_ID, 0),
            (COUNTERPARTY_ID, 0),
            (SUBJECT_ID, 0),
            (PACKET_ID, 1),
            (DEVICE_ID, 2),
            (GROUP_ID, 3),
        ];
        let mut sets = 4;
        let sources = features.families.iter().flat_map(|family| &family.key);
        for source in sources {
            let &Source::Field(field) = source else { continue };
            let known = fields.iter().any(|(held, _)| *held == field);
            if !known && features.schema.field(field).kind == Type::Str {
                fields.push((field, sets));
                sets += 1;
            }
        }
        let mut keys = Keys { fields, sets: vec![HashSet::new(); sets] };
        keys.add(&transaction.chunk, 0, |_| true);
        keys
    }

    /// The same with the accounts, packets and devices of all events of a pool.
    pub(super) fn and_of(mut self, pool: &Pool) -> Keys {
        for (chunk, row, _) in &pool.events {
            let chunk = &pool.chunks[*chunk as usize];
            self.add(chunk, *row as usize, |set| HOPS.contains(&set));
        }
        self
    }

    fn add(&mut self, chunk: &Chunk, row: usize, wanted: impl Fn(usize) -> bool) {
        for (field, set) in &self.fields {
            let value = chunk.str(*field, row);
            if wanted(*set) && !value.is_empty() && !self.sets[*set].contains(value) {
                self.sets[*set].insert(value.into());
            }
        }
    }

    fn share(&self, chunk: &Chunk, row: usize) -> bool {
        let shares =
            |(field, set): &(FieldId, usize)| self.sets[*set].contains(chunk.str(*field, row));
        self.fields.iter().any(shares)
    }
}

impl Pool {
    /// The latest events before a transaction that share a key; without keys, the latest of all.
    /// What accounts and groups said of themselves is not cut off by others: it holds for good.
    pub(super) fn gather(
        ordered: &Ordered,
        transaction: &Slice,
        keys: Option<&Keys>,
        progress: &dyn Progress,
    ) -> Result<Pool, Failure> {
        let schema = ordered.schema().clone();
        let mut parts: Vec<(Chunk, Vec<i64>)> = Vec::new();
        let mut counts = [0_usize; 2];
        let mut cut = false;
        let mut end = transaction.first as usize;
        while end > 0 && (keys.is_some() || counts.iter().sum::<usize>() < EVENTS_MAX) {
            go_on(progress)?;
            let start = end.saturating_sub(READ_EVENTS);
            let slice = ordered.slice(start..end, 0).map_err(Failure::Environment)?;
            let Slice { chunk, effective, .. } = slice;
            let mut rows: Vec<(u32, u32)> = Vec::new();
            for row in (0..chunk.len()).rev() {
                if keys.is_some_and(|keys| !keys.share(&chunk, row)) {
                    continue;
                }
                let lasting = matches!(chunk.kind(row), Kind::Account | Kind::Group);
                let count = &mut counts[usize::from(lasting)];
                cut |= *count == EVENTS_MAX;
                if *count < EVENTS_MAX {
                    *count += 1;
                    rows.push((0, row as u32));
                }
            }
            rows.reverse();
            let times = rows.iter().map(|(_, row)| effective[*row as usize]).collect();
            parts.push((Chunk::gather(&schema, &[Arc::new(chunk)], &rows), times));
            end = start;
        }
        cut |= end > 0;
        let mut pool = Pool { schema, chunks: Vec::new(), events: Vec::new(), cut };
        let own = (transaction.chunk.clone(), transaction.effective.clone());
        for (at, (chunk, times)) in (0..).zip(parts.into_iter().rev().chain([own])) {
            pool.events.extend((0..).zip(times).map(|(row, time)| (at, row, time)));
            pool.chunks.push(Arc::new(chunk));
        }
        Ok(pool)
    }

    /// How many events there are before the transaction.
    pub(super) fn earlier(&self) -> usize {
        self.events.len() - 1
    }

    /// The events at these places, with the transaction behind them, and their effective times.
    pub(super) fn with(&self, places: &[usize]) -> (Chunk, Vec<i64>) {
        let own = self.earlier();
        let places = places.iter().chain([&own]);
        let (rows, times): (Vec<(u32, u32)>, Vec<i64>) = places
            .map(|place| self.events[*place])
            .map(|(at, row, time)| ((at, row), time))
            .unzip();
        (Chunk::gather(&self.schema, &self.chunks, &rows), times)
    }
}
