//! The packets of a group that can still be claimed, and how long claims in it took.

use std::collections::VecDeque;
use std::sync::LazyLock;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::group::{Id, NOBODY, give_back_map};
use crate::features::state::quantile::{QUANTILE_UNIT, Quantile};
use crate::features::state_map::give_back;
use crate::packet::limits::Limits;
use crate::packet::referee::{Law, PACKET_KEPT_MS};

/// The window of latencies: an hour.
pub(crate) const LATENCY_WINDOW_MS: i64 = 3_600_000;
/// The quantiles that are kept.
const QUANTILES: [u64; 3] = [QUANTILE_UNIT / 10, QUANTILE_UNIT / 2, QUANTILE_UNIT * 9 / 10];

/// How much longer a packet is known whose shares nobody has claimed: as long as the referee knows
/// it.
static UNCLAIMED_KEPT_MS: LazyLock<i64> =
    LazyLock::new(|| Law::new(&Limits::default()).unclaimed_kept_ms());

/// The packets sent in the group that may still be claimed, known as the referee knows them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Packets {
    by_id: HashMap<Id, Sent, FxBuildHasher>,
    /// When each was sent or last looked at, earliest first: the next look is due after
    /// [`PACKET_KEPT_MS`].
    order: VecDeque<(i64, Id)>,
}

/// The sending of a packet: under an id that is used again, the first one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) sender: Id,
    pub(super) face: i64,
    /// When the packet's last event came.
    touched: i64,
    digit: Option<u8>,
    /// Whether any of it was claimed, or went back.
    is_begun: bool,
}

impl Sent {
    /// Whether a share ends in the digit that the packet announces.
    pub(super) fn announces(&self, fen: i64) -> bool {
        self.digit.is_some_and(|digit| i64::from(digit) == fen % 10)
    }

    fn is_forgotten(&self, now: i64) -> bool {
        let waits = if self.is_begun { 0 } else { *UNCLAIMED_KEPT_MS };
        now > self.touched + PACKET_KEPT_MS + waits
    }
}

impl Packets {
    /// A packet is sent. Under the id of one that is still known it changes nothing but when that
    /// is forgotten.
    pub(super) fn sent(&mut self, packet: Id, sender: Id, face: i64, digit: Option<u8>, time: i64) {
        if packet == NOBODY {
            return;
        }
        let new = Sent { sender, face, touched: time, digit, is_begun: false };
        match self.by_id.get_mut(&packet) {
            Some(held) if held.is_forgotten(time) => *held = new,
            Some(held) => held.touched = time,
            None => {
                self.by_id.insert(packet, new);
                self.order.push_back((time, packet));
            }
        }
    }

    /// A claim or the refund of a packet comes: how it was sent, if that is known.
    pub(super) fn begun(&mut self, packet: Id, time: i64) -> Option<Sent> {
        let sent = self.by_id.get_mut(&packet).filter(|sent| !sent.is_forgotten(time))?;
        (sent.touched, sent.is_begun) = (time, true);
        Some(*sent)
    }

    /// Lets go what is forgotten, at the latest when it has been so for as long as it was known.
    pub(super) fn expire(&mut self, now: i64) {
        let until = now - PACKET_KEPT_MS;
        while let Some(&(_, packet)) = self.order.front().filter(|(time, _)| *time < until) {
            self.order.pop_front();
            if self.by_id.get(&packet).is_some_and(|sent| !sent.is_forgotten(now)) {
                self.order.push_back((now, packet));
            } else {
                self.by_id.remove(&packet);
            }
        }
        give_back(&mut self.order);
        give_back_map(&mut self.by_id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Reads the oldest, to have it near.
    pub(super) fn touch(&self) -> u64 {
        self.order.front().map_or(0, |(_, packet)| packet.0)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.by_id.capacity() * (size_of::<(Id, Sent)>() + 1) + self.order.capacity() * 16
    }
}

/// How long after its packet each claim of the window came.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Latencies {
    /// When each was claimed, and how long it took; oldest first.
    claims: VecDeque<(i64, i64)>,
    sorted: Sorted,
}

impl Latencies {
    pub(super) fn enter(&mut self, time: i64, latency: i64) {
        self.claims.push_back((time, latency));
        self.sorted.insert(latency);
    }

    pub(super) fn expire(&mut self, now: i64) {
        let until = now.saturating_sub(LATENCY_WINDOW_MS);
        while let Some((_, latency)) = self.claims.front().filter(|(time, _)| *time <= until) {
            self.sorted.remove(*latency);
            self.claims.pop_front();
            if self.claims.len() <= FEW_AGAIN && matches!(self.sorted, Sorted::Many(_)) {
                let mut few: Vec<i64> = self.claims.iter().map(|(_, latency)| *latency).collect();
                few.sort_unstable();
                self.sorted = Sorted::Few(few);
            }
        }
        give_back(&mut self.claims);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    pub(super) fn quantiles(&self) -> [Option<i64>; QUANTILES.len()] {
        self.sorted.quantiles()
    }

    /// Reads the quantiles and the oldest, to have them near.
    pub(super) fn touch(&self) -> u64 {
        let oldest = self.claims.front().map_or(0, |(_, latency)| *latency);
        let quantiles = self.quantiles().map(|value| value.unwrap_or(0));
        quantiles.iter().fold(oldest, |all, value| all ^ value) as u64
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.claims.capacity() * 16 + self.sorted.heap_bytes()
    }
}

/// Up to so many latencies are one sorted list, which is more than nearly any group has in an hour;
/// trees for them would cost several times as much.
const FEW_MAX: usize = 128;
/// When so few are left, they are a list again.
const FEW_AGAIN: usize = FEW_MAX / 4;

/// Latencies in order.
#[derive(Debug, Serialize, Deserialize)]
enum Sorted {
    Few(Vec<i64>),
    Many(Box<[Quantile; QUANTILES.len()]>),
}

impl Default for Sorted {
    fn default() -> Self {
        Sorted::Few(Vec::new())
    }
}

impl Sorted {
    fn insert(&mut self, latency: i64) {
        match self {
            Sorted::Few(few) if few.len() < FEW_MAX => {
                few.insert(few.partition_point(|held| *held < latency), latency);
            }
            Sorted::Few(few) => {
                let few = std::mem::take(few);
                *self = Sorted::Many(Box::default());
                few.into_iter().chain([latency]).for_each(|latency| self.insert(latency));
            }
            Sorted::Many(quantiles) => {
                for (quantile, q) in quantiles.iter_mut().zip(QUANTILES) {
                    quantile.insert(latency, q);
                }
            }
        }
    }

    /// Takes away a latency that is there.
    fn remove(&mut self, latency: i64) {
        match self {
            Sorted::Few(few) => {
                few.remove(few.partition_point(|held| *held < latency));
            }
            Sorted::Many(quantiles) => {
                for (quantile, q) in quantiles.iter_mut().zip(QUANTILES) {
                    quantile.remove(latency, q);
                }
            }
        }
    }

    fn quantiles(&self) -> [Option<i64>; QUANTILES.len()] {
        match self {
            Sorted::Few(few) => QUANTILES.map(|q| {
                let rank = (q * few.len() as u64).div_ceil(QUANTILE_UNIT);
                few.get((rank as usize).checked_sub(1)?).copied()
            }),
            Sorted::Many(quantiles) => quantiles.each_ref().map(Quantile::value),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Sorted::Few(few) => few.capacity() * 8,
            Sorted::Many(quantiles) => quantiles.iter().map(Quantile::heap_bytes).sum(),
        }
    }
}
