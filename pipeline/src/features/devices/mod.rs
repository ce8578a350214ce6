//! Devices: which accounts shared devices link, as of the last graph tick but one.
//!
//! An edge links an account and a device at T if an event of the account on the device has its
//! effective time in `[T - window, T)`. Devices with more accounts than the hub limit link nobody:
//! an internet café is no ring. The *cluster* of an account is its connected component.
//!
//! `edges` keeps, keyed by device, the edges of devices that link at least two accounts, and
//! says how they change; differential-dataflow keeps the components of what is left
//! (`components`); `groups` keeps, keyed by account, the groups in which it acted; and
//! `view` answers, on every worker, what was true at T.

pub(crate) mod components;
pub(crate) mod edges;
pub(crate) mod groups;
pub(crate) mod latency;
pub(crate) mod view;

/// What a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterOptions {
    /// Clusters are as of whole multiples of this, in ms.
    pub graph_tick: i64,
    /// How long an event links, in ms.
    pub window: i64,
    /// Devices with more accounts than this link nobody.
    pub hub_limit: usize,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        ClusterOptions { graph_tick: 10_000, window: 30 * 86_400_000, hub_limit: 50 }
    }
}

impl ClusterOptions {
    /// The moment as of which a transaction at `time` sees clusters: one to two ticks before.
    pub(crate) fn known(&self, time: i64) -> i64 {
        (time.div_euclid(self.graph_tick) - 1) * self.graph_tick
    }

    /// The first moment at which an event at `time` counts.
    pub(crate) fn enters(&self, time: i64) -> i64 {
        (time.div_euclid(self.graph_tick) + 1) * self.graph_tick
    }

    /// The first moment at which an event at `time` counts no more.
    pub(crate) fn leaves(&self, time: i64) -> i64 {
        self.enters(time + self.window)
    }
}

/// A change of a relation: what, when, and by how much. A `Change` of differential-dataflow.
pub(crate) type Change<D> = (D, u64, isize);
