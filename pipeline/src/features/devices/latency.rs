//! Keyed by device: how long after its sending a packet is claimed there, and how regularly.
//!
//! What the packet's keeper knows of a claim goes on to the device's keeper within the same step.

use std::collections::VecDeque;

use hashbrown::HashTable;

use crate::features::kept::{Row, RowKind};
use crate::features::state::{Usage, stddev};
use crate::keyed::{KEY_GROUPS, Key, Replies, Requests, by_row};

/// How far back the spread looks.
const WINDOW_MS: i64 = 24 * 3_600_000;

/// What the keeper answers.
pub(crate) const ROWS: &[Row] = &[Row {
    name: "devices.claim_latency_spread_24h",
    kind: RowKind::Double,
    doc: "population standard deviation of the times from sending to claim \
          (devices.claim_latency_ms, which is null 72 hours after a packet's last event) of all \
          claims on this device in 24 hours, this one included",
    doc_zh: "24小时内在本设备上领取红包的时延(devices.claim_latency_ms,红包最后一个事件72小时后为空)\
             的总体标准差(含本次)",
    unit: "ms",
    misleads: "people are seconds apart and programs a few milliseconds, but two claims that happen \
               to be alike are too; null without a device or a claim of a packet whose sending was \
               seen; a claim more than 72 hours after its packet's event before it does not count, \
               and a reused packet id makes one look slow",
}];

/// One worker's part of the devices.
pub(crate) struct Latencies {
    groups: Vec<Devices>,
}

/// The devices of one key group.
#[derive(Default)]
struct Devices {
    map: HashTable<Device>,
    survivors: usize,
}

struct Device {
    id: u128,
    /// Time and latency of each claim in the window, in ms.
    claims: VecDeque<(i64, i64)>,
    sum: i128,
    squares: i128,
}

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies { groups: (0..KEY_GROUPS).map(|_| Devices::default()).collect() }
    }

    /// Applies the batches of one slice: of each row first the claim, then the lookup.
    pub(crate) fn apply(&mut self, batches: &[Requests], replies: &mut Replies) {
        for (nth, at) in by_row(batches) {
            let batch = &batches[nth];
            let (device, time) = (batch.hashes[at], batch.times[at]);
            let group = &mut self.groups[Key { hash: device, check: 0 }.group()];
            if batch.lookups[at] == 0 {
                group.claimed(device, time, batch.words[at] as i64);
                continue;
            }
            let Some(spread) = group.spread(device, time) else { continue };
            replies.rows.push(batch.rows[at]);
            replies.lookups.push(1);
            replies.values.push(spread.to_bits());
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for device in self.groups.iter().flat_map(|group| group.map.iter()) {
            usage.keys += 1;
            usage.events += device.claims.len() as u64;
            usage.bytes += (size_of::<Device>() + device.claims.capacity() * 16) as u64;
        }
        usage
    }
}

impl Devices {
    fn claimed(&mut self, id: u128, time: i64, latency: i64) {
        if self.map.len() >= 2 * self.survivors + 64 {
            self.map.retain(|device| {
                device.expire(time);
                !device.claims.is_empty()
            });
            self.survivors = self.map.len();
        }
        let new = || Device { id, claims: VecDeque::new(), sum: 0, squares: 0 };
        let entry = self.map.entry(id as u64, |device| device.id == id, |held| held.id as u64);
        let device = entry.or_insert_with(new).into_mut();
        device.expire(time);
        device.claims.push_back((time, latency));
        device.count(latency, 1);
    }

    fn spread(&mut self, id: u128, time: i64) -> Option<f64> {
        let device = self.map.find_mut(id as u64, |device| device.id == id)?;
        device.expire(time);
        let count = device.claims.len() as u64;
        (count > 0).then(|| stddev(device.sum, device.squares, count))
    }
}

impl Device {
    fn expire(&mut self, now: i64) {
        while let Some(&(time, latency)) = self.claims.front()
            && time <= now - WINDOW_MS
        {
            self.claims.pop_front();
            self.count(latency, -1);
        }
    }

    fn count(&mut self, latency: i64, by: i128) {
        let latency = i128::from(latency);
        self.sum += by * latency;
        self.squares += by * latency * latency;
    }
}
