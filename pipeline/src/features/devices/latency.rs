//! Keyed by device: how long after its sending a packet is claimed there, and how regularly.
//!
//! What the packet's keeper knows of a claim goes on to the device's keeper within the same step.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::features::kept::{Row, RowKind};
use crate::features::state::{Usage, stddev};
use crate::features::state_map::{KeyedState, StateMap, give_back};
use crate::keyed::{Key, Replies, Requests, by_row};
use crate::snapshot::kept_in;

/// How far back the spread looks.
const WINDOW_MS: i64 = 24 * 3_600_000;

/// What the keeper answers.
pub(crate) const ROWS: &[Row] = &[Row {
    name: "devices.claim_latency_spread_24h",
    kind: RowKind::Double,
    doc: "population standard deviation of the times from sending to claim \
          (devices.claim_latency_ms, which is null where the packet is forgotten) of all \
          claims on this device in 24 hours, this one included",
    doc_zh: "24小时内在本设备上领取红包的时延(devices.claim_latency_ms,红包不再记得时为空)\
             的总体标准差(含本次)",
    unit: "ms",
    misleads: "people are seconds apart and programs a few milliseconds, but two claims that happen \
               to be alike are too; null without a device or a claim of a packet whose sending was \
               seen; a claim of a packet that is forgotten does not count, \
               and a reused packet id makes one look slow",
}];

/// One worker's part of the devices.
pub(crate) struct Latencies {
    devices: StateMap<Device>,
}

/// What was claimed on one device.
#[derive(Default, Serialize, Deserialize)]
struct Device {
    /// Time and latency of each claim in the window, in ms.
    claims: VecDeque<(i64, i64)>,
    sum: i128,
    squares: i128,
}

kept_in!(Latencies, devices);

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies { devices: StateMap::new() }
    }

    /// Applies the batches of one slice: of each row first the claim, then the lookup.
    pub(crate) fn apply(&mut self, batches: &[Requests], replies: &mut Replies) {
        for (nth, at) in by_row(batches) {
            let (batch, time) = (&batches[nth], batches[nth].asked[at].time);
            // The packet's keeper knows no more of a device than its hash.
            let key = Key { check: 0, ..batch.key(at) };
            if batch.asked[at].lookups == 0 {
                self.devices.entry(key, time).claimed(time, batch.words[at] as i64);
                continue;
            }
            let device = self.devices.get(key);
            let Some(spread) = device.and_then(|device| device.spread(time)) else { continue };
            replies.rows.push(batch.asked[at].row);
            replies.lookups.push(1);
            replies.values.push(spread.to_bits());
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.devices.usage()
    }
}

impl Device {
    fn claimed(&mut self, time: i64, latency: i64) {
        self.expire(time);
        self.claims.push_back((time, latency));
        self.count(latency, 1);
    }

    fn spread(&mut self, time: i64) -> Option<f64> {
        self.expire(time);
        let count = self.claims.len() as u64;
        (count > 0).then(|| stddev(self.sum, self.squares, count))
    }

    fn count(&mut self, latency: i64, by: i128) {
        let latency = i128::from(latency);
        self.sum += by * latency;
        self.squares += by * latency * latency;
    }
}

impl KeyedState for Device {
    fn expire(&mut self, moment: i64) {
        while let Some(&(time, latency)) = self.claims.front()
            && time <= moment - WINDOW_MS
        {
            self.claims.pop_front();
            self.count(latency, -1);
        }
        give_back(&mut self.claims);
    }

    fn is_over(&self) -> bool {
        self.claims.is_empty()
    }

    fn touch(&self) -> u64 {
        self.claims.front().map_or(0, |(time, _)| *time as u64)
    }

    fn events(&self) -> usize {
        self.claims.len()
    }

    fn heap_bytes(&self) -> usize {
        self.claims.capacity() * size_of::<(i64, i64)>()
    }
}
