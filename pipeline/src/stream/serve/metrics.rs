//! What is measured of the packet engine beside a stream, as Prometheus reads it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::packet::reply::{Effect, Happening, Settlement};
use crate::stream::http::connections::Counts;

type Counters = Family<Vec<(&'static str, String)>, Counter<u64, AtomicU64>>;

/// What a record of the stream was to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// About a transaction of the engine.
    Ours,
    /// About somebody else's, or one that is forgotten.
    Foreign,
    /// What the engine itself has said of holds.
    Own,
    /// About an event of somebody else that has the id of a transaction of the engine.
    Another,
    /// Nothing that can be understood.
    Malformed,
    /// Read again after a restart: it was done before.
    Repeat,
    /// Another decision after the engine had fallen back on its own.
    Late,
    /// Refused for another reason.
    Refused,
}

/// The metrics of the packet engine.
pub(super) struct Metrics {
    registry: Registry,
    commands: Counters,
    settled: Counters,
    fallbacks: Counter<u64, AtomicU64>,
    heard: Counters,
    not_done: Counters,
    published: Counter<u64, AtomicU64>,
    under_way: Gauge<i64, AtomicI64>,
    connections: Counts,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("hongxian_packet"),
            commands: Family::default(),
            settled: Family::default(),
            fallbacks: Counter::default(),
            heard: Family::default(),
            not_done: Family::default(),
            published: Counter::default(),
            under_way: Gauge::default(),
            connections: Counts::default(),
        };
        let Metrics {
            registry,
            commands,
            settled,
            fallbacks,
            heard,
            not_done,
            published,
            under_way,
            connections,
        } = &mut metrics;
        let help = "Commands of clients, by what came of them";
        registry.register("commands", help, commands.clone());
        let help = "Transactions that settled as the stream decided or a person did";
        registry.register("settled", help, settled.clone());
        let help = "Transactions on which nothing was decided in time: the limits' fallback binds";
        registry.register("fallbacks", help, fallbacks.clone());
        let help =
            "Records of the stream's decisions and of holds, by what they were to the engine";
        registry.register("heard", help, heard.clone());
        let help = "Of those about its transactions, what the engine did not do, and why";
        registry.register("not_done", help, not_done.clone());
        let help = "Events that brokers have taken";
        registry.register("events_published", help, published.clone());
        let help = "Events that brokers have not taken yet";
        registry.register("events_under_way", help, under_way.clone());
        connections.register(registry);
        metrics
    }
}

impl Metrics {
    /// What is counted of connections.
    pub(super) fn connections(&self) -> Counts {
        self.connections.clone()
    }

    pub(super) fn command(&self, result: &'static str) {
        self.commands.get_or_create(&vec![("result", result.to_owned())]).inc();
    }

    pub(super) fn settled(&self, settlement: Settlement) {
        let name = match settlement {
            Settlement::Undecided => "undecided",
            Settlement::Posted => "posted",
            Settlement::Voided => "voided",
            Settlement::Held => "held",
            Settlement::Released => "released",
            Settlement::Returned => "returned",
            Settlement::Frozen => "frozen",
        };
        self.settled.get_or_create(&vec![("settlement", name.to_owned())]).inc();
    }

    pub(super) fn came(&self, came: Came) {
        let (family, label, name) = match came {
            Came::Ours => (&self.heard, "record", "ours"),
            Came::Foreign => (&self.heard, "record", "foreign"),
            Came::Own => (&self.heard, "record", "own"),
            Came::Another => (&self.heard, "record", "another"),
            Came::Malformed => (&self.heard, "record", "malformed"),
            Came::Repeat => (&self.not_done, "why", "repeat"),
            Came::Late => (&self.not_done, "why", "late"),
            Came::Refused => (&self.not_done, "why", "refused"),
        };
        family.get_or_create(&vec![(label, name.to_owned())]).inc();
    }

    pub(super) fn effects(&self, effects: &[Effect]) {
        let fell_back = |effect: &&Effect| matches!(effect.what, Happening::FellBack { .. });
        self.fallbacks.inc_by(effects.iter().filter(fell_back).count() as u64);
    }

    pub(super) fn events(&self, published: u64, under_way: u64) {
        self.published.inner().store(published, Ordering::Relaxed);
        self.under_way.set(under_way as i64);
    }

    /// The text that Prometheus reads.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // A string takes everything.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
