//! Devices: which accounts shared devices link, as of the last graph tick but one.
//!
//! An edge links an account and a device at T if an event of the account on the device has its
//! effective time in `[T - window, T)`. Devices with more accounts than the hub limit link nobody:
//! an internet café is no ring. The *cluster* of an account is its connected component. By
//! configuration other identifiers link as devices do, each with a hub limit of its own: whatever
//! is said here of devices is said of the values of each link.
//!
//! `edges` keeps, keyed by device, the edges of devices that link at least two accounts, and
//! says how they change; `linkage` keeps the components, on one worker, over the spanning forest
//! of `forest`; `groups` keeps, keyed by account, the groups in which it acted; and `view`
//! answers, on every worker, what was true at T.

mod component;
pub(crate) mod edges;
mod forest;
pub(crate) mod groups;
pub(crate) mod latency;
pub(crate) mod linkage;
pub(crate) mod load;
mod slab;
mod spread;
pub(crate) mod view;

pub use edges::Hubs;

use crate::event::{DEVICE_ID, FieldId};

/// Links and what they make of accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clusters {
    /// Clusters are as of whole multiples of this, in ms.
    pub graph_tick: i64,
    /// How long an event links, in ms.
    pub window: i64,
    /// What links accounts.
    pub links: Vec<Link>,
}

/// An identifier that links the accounts which share a value of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name. Values of links of different names are never the same.
    pub name: String,
    /// The fields that are the identifier together; where one is null there is no value.
    pub fields: Vec<FieldId>,
    /// Values with more accounts than this link nobody.
    pub hub_limit: usize,
}

impl Clusters {
    /// What holds for the edges of one of the links.
    pub(crate) fn of(&self, link: &Link) -> ClusterOptions {
        let Clusters { graph_tick, window, .. } = *self;
        ClusterOptions { graph_tick, window, hub_limit: link.hub_limit }
    }

    /// The moment as of which a transaction at `time` sees clusters: one to two ticks before.
    pub(crate) fn known(&self, time: i64) -> i64 {
        (time.div_euclid(self.graph_tick) - 1) * self.graph_tick
    }
}

impl From<ClusterOptions> for Clusters {
    /// Clusters over shared devices.
    fn from(options: ClusterOptions) -> Clusters {
        let ClusterOptions { graph_tick, window, hub_limit } = options;
        let link = Link { name: "device".to_owned(), fields: vec![DEVICE_ID], hub_limit };
        Clusters { graph_tick, window, links: vec![link] }
    }
}

/// What a cluster over shared devices is.
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
    /// The first moment at which an event at `time` counts.
    pub(crate) fn enters(&self, time: i64) -> i64 {
        (time.div_euclid(self.graph_tick) + 1) * self.graph_tick
    }

    /// The first moment at which an event at `time` counts no more.
    pub(crate) fn leaves(&self, time: i64) -> i64 {
        self.enters(time + self.window)
    }
}

/// A change of a relation: what, when, and by how much.
pub(crate) type Change<D> = (D, i64, isize);
