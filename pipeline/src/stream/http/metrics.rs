//! What is measured of a stream, as Prometheus reads it. Labels are names of rules, topics, routes
//! and the like, never of people.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::super::control::Counted;
use super::super::ends::{UNHEARD, lock};
use super::super::snapshots::Figures;
use super::super::uploads;
use super::connections::Counts;
use crate::changes::Deciders;
use crate::decision::Verdict;
use crate::snapshot::Stored;
use crate::stopwatch::Since;

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter<u64, AtomicU64>>;
type Gauges = Family<Labels, Gauge<i64, AtomicI64>>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// From a quarter of a millisecond to a minute.
const SECONDS: [f64; 18] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 20.0, 30.0, 60.0,
];

/// The metrics of a stream.
pub(in crate::stream) struct Metrics {
    registry: Registry,
    records: Counters,
    decisions: Counters,
    rule_hits: Counters,
    not_evaluable: Counters,
    findings: Counters,
    lag: Gauges,
    watermark: Gauges,
    paused: Gauges,
    waiting_events: Gauge<i64, AtomicI64>,
    waiting_bytes: Gauge<i64, AtomicI64>,
    live: Gauge<i64, AtomicI64>,
    holds: Gauge<i64, AtomicI64>,
    to_decided: Histogram,
    to_committed: Histogram,
    commits: Histogram,
    requests: Counters,
    request_seconds: Histograms,
    connections: Counts,
    snapshots: Counters,
    snapshot_bytes: Gauges,
    snapshot_seconds: Family<Labels, Gauge<f64, AtomicU64>>,
    reloads: Counters,
    rules: Gauges,
    model: Gauges,
    challenger: Gauges,
    /// The largest lag where all are known, and when the stream told it.
    lag_max: Mutex<Option<(Option<u64>, Since)>>,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("hongxian"),
            records: Family::default(),
            decisions: Family::default(),
            rule_hits: Family::default(),
            not_evaluable: Family::default(),
            findings: Family::default(),
            lag: Family::default(),
            watermark: Family::default(),
            paused: Family::default(),
            waiting_events: Gauge::default(),
            waiting_bytes: Gauge::default(),
            live: Gauge::default(),
            holds: Gauge::default(),
            to_decided: seconds(),
            to_committed: seconds(),
            commits: seconds(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            connections: Counts::default(),
            snapshots: Family::default(),
            snapshot_bytes: Family::default(),
            snapshot_seconds: Family::default(),
            reloads: Family::default(),
            rules: Family::default(),
            model: Family::default(),
            challenger: Family::default(),
            lag_max: Mutex::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let Metrics { registry, .. } = self;
        let mut add = |name, help, metric| registry.register(name, help, metric);
        add(
            "records",
            "Records since the stream began, by what became of them",
            self.records.clone(),
        );
        add("decisions", "Decisions of this process, by action", self.decisions.clone());
        add("rule_hits", "Hits of live rules in this process", self.rule_hits.clone());
        let help = "Events for which a rule could not be evaluated, in this process";
        add("not_evaluable", help, self.not_evaluable.clone());
        let help =
            "What the referee finds against the laws of packets, by finding, in this process";
        add("packet_findings", help, self.findings.clone());
        let help = "Rules that were read while the stream ran, by what became of them";
        add("rules_reloads", help, self.reloads.clone());
        // A first one shows as a rise only where there was a figure before.
        for result in ["taken", "refused", "unchanged"] {
            drop(self.reloads.get_or_create(&label("result", result)));
        }
        add("http_requests", "Requests by route and status", self.requests.clone());
        let help = "Records that are in a partition and were not read";
        registry.register("partition_lag_records", help, self.lag.clone());
        let help = "Watermark of a partition, ms since 1970 UTC; absent before its first event";
        registry.register("partition_watermark_ms", help, self.watermark.clone());
        let help = "1 where a partition is max_skew ahead of another, and is not read";
        registry.register("partition_paused", help, self.paused.clone());
        let help = "Events that wait for others before them";
        registry.register("waiting_events", help, self.waiting_events.clone());
        let help = "Memory of events that wait";
        registry.register_with_unit("waiting", help, Unit::Bytes, self.waiting_bytes.clone());
        registry.register("live", "1 when the past is replayed", self.live.clone());
        registry.register("holds_open", "Transactions that wait for a person", self.holds.clone());
        let help = "1 for the hash of the rules that came into force last";
        registry.register("rules_info", help, self.rules.clone());
        let help = "1 for the hash of the model that scores now; none where there is none";
        registry.register("model_info", help, self.model.clone());
        let help = "1 for the hash of the challenger that is watched now";
        registry.register("challenger_info", help, self.challenger.clone());
        for (name, help, metric) in [
            ("append_to_decided", "From a record's append to its decision", &self.to_decided),
            ("append_to_committed", "From a record's append to the commit", &self.to_committed),
            ("commit", "How long a commit took", &self.commits),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
        }
        let help =
            "Snapshots that this process wrote, or put to the object store, could not, or skipped";
        registry.register("snapshots", help, self.snapshots.clone());
        let help = "Bytes of the last snapshot, on disk and before compression";
        registry.register_with_unit("snapshot", help, Unit::Bytes, self.snapshot_bytes.clone());
        let help = "How long the stream stood still for the last snapshot, how long it took to write, \
                    how long to put to the object store, and how old the newest is in both";
        let seconds = self.snapshot_seconds.clone();
        registry.register_with_unit("snapshot", help, Unit::Seconds, seconds);
        self.connections.register(registry);
        let help = "How long requests took, by route";
        registry.register_with_unit(
            "http_request",
            help,
            Unit::Seconds,
            self.request_seconds.clone(),
        );
    }

    /// What is counted of connections.
    pub(super) fn connections(&self) -> Counts {
        self.connections.clone()
    }

    /// Counts a decision and the live rules that hit.
    pub(super) fn decided<'r>(&self, verdict: Verdict, rules: impl Iterator<Item = &'r str>) {
        self.decisions.get_or_create(&label("decision", verdict.name())).inc();
        for rule in rules {
            self.rule_hits.get_or_create(&label("rule", rule)).inc();
        }
    }

    /// Counts events for which a rule could not be evaluated.
    pub(super) fn not_evaluable(&self, rule: &str, events: u64) {
        self.not_evaluable.get_or_create(&label("rule", rule)).inc_by(events);
    }

    /// Counts an event that breaks a law of packets.
    pub(super) fn finding(&self, finding: &'static str, kind: &'static str) {
        let labels = vec![("finding", finding.to_owned()), ("kind", kind.to_owned())];
        self.findings.get_or_create(&labels).inc();
    }

    /// How long after its append a record was decided, and committed.
    pub(super) fn latency(&self, committed: bool, ms: i64) {
        let histogram = if committed { &self.to_committed } else { &self.to_decided };
        histogram.observe(ms.max(0) as f64 / 1_000.0);
    }

    /// How long a commit took.
    pub(in crate::stream) fn committed(&self, took: Duration) {
        self.commits.observe(took.as_secs_f64());
    }

    /// What became of records since the stream began.
    pub(in crate::stream) fn counts(&self, counts: Counted) {
        let Counted { decided, applied, rejected, duplicates } = counts;
        for (what, count) in [
            ("decided", decided),
            ("applied", applied),
            ("rejected", rejected),
            ("duplicate", duplicates),
        ] {
            let counter = self.records.get_or_create(&label("outcome", what));
            counter.inner().store(count, Ordering::Relaxed);
        }
    }

    /// How far a partition is: lag in records where it is known, and watermark in ms.
    pub(in crate::stream) fn partition(
        &self,
        (topic, partition): (&str, i32),
        lag: Option<u64>,
        watermark: i64,
        paused: bool,
    ) {
        let labels = vec![("topic", topic.to_owned()), ("partition", partition.to_string())];
        self.paused.get_or_create(&labels).set(i64::from(paused));
        match lag {
            Some(lag) => drop(self.lag.get_or_create(&labels).set(lag as i64)),
            // An old figure would be taken for news.
            None => drop(self.lag.remove(&labels)),
        }
        if watermark > i64::MIN {
            self.watermark.get_or_create(&labels).set(watermark);
        }
    }

    /// What waits, whether the stream is live, and how far it is behind.
    pub(in crate::stream) fn state(
        &self,
        (events, bytes): (usize, usize),
        live: bool,
        lag: Option<u64>,
    ) {
        self.waiting_events.set(events as i64);
        self.waiting_bytes.set(bytes as i64);
        self.live.set(i64::from(live));
        *lock(&self.lag_max) = Some((lag, Since::now()));
    }

    /// What is measured of snapshots.
    pub(in crate::stream) fn snapshots(&self, figures: &Figures) {
        for (outcome, count) in [("written", figures.written), ("failed", figures.failed)] {
            let counter = self.snapshots.get_or_create(&label("outcome", outcome));
            counter.inner().store(count, Ordering::Relaxed);
        }
        let (written, took) = figures.stored.unzip();
        let seconds = [("pause", Some(figures.pause)), ("write", took), ("age", figures.age())];
        for (what, time) in seconds {
            if let Some(time) = time {
                let gauge = self.snapshot_seconds.get_or_create(&label("of", what));
                gauge.set(time.as_secs_f64());
            }
        }
        if let Some(uploads) = &figures.uploads {
            let uploads::Figures { put, failed, skipped, took, since } = *uploads;
            for (outcome, count) in [("put", put), ("put-failed", failed), ("put-skipped", skipped)]
            {
                let counter = self.snapshots.get_or_create(&label("outcome", outcome));
                counter.inner().store(count, Ordering::Relaxed);
            }
            for (what, time) in [("put", took), ("put-age", Some(since.elapsed()))] {
                if let Some(time) = time {
                    self.snapshot_seconds.get_or_create(&label("of", what)).set(time.as_secs_f64());
                }
            }
        }
        if let Some(Stored { stored, bytes }) = written {
            for (what, bytes) in [("disk", stored), ("state", bytes)] {
                self.snapshot_bytes.get_or_create(&label("of", what)).set(bytes as i64);
            }
        }
    }

    /// Counts rules that were read again, by what became of them.
    pub(in crate::stream) fn reload(&self, result: &'static str) {
        self.reloads.get_or_create(&label("result", result)).inc();
    }

    /// The rules and models that are in force.
    pub(in crate::stream) fn deciders(&self, deciders: &Deciders) {
        let Deciders { rules_hash, model_hash, challenger_hash } = deciders;
        for (info, hash) in [
            (&self.rules, Some(rules_hash)),
            (&self.model, model_hash.as_ref()),
            (&self.challenger, challenger_hash.as_ref()),
        ] {
            info.clear();
            if let Some(hash) = hash {
                info.get_or_create(&label("hash", hash)).set(1);
            }
        }
    }

    /// How many transactions wait for a person.
    pub(super) fn holds(&self, open: usize) {
        self.holds.set(open as i64);
    }

    /// A request that was answered.
    pub(super) fn request(&self, route: &'static str, status: u16, took: Duration) {
        let labels = vec![("route", route.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
        let route = label("route", route);
        self.request_seconds.get_or_create(&route).observe(took.as_secs_f64());
    }

    /// Records that the partition which is most behind has and that were not read; none where that
    /// is not known, as where the stream stands still because brokers do not take a commit.
    pub(super) fn lag(&self) -> Option<u64> {
        self.lag_told()?
    }

    /// The largest lag, as far as all are known; none where the stream has said nothing for long.
    fn lag_told(&self) -> Option<Option<u64>> {
        let told = *lock(&self.lag_max);
        told.filter(|(_, told)| told.elapsed() < UNHEARD).map(|(lag, _)| lag)
    }

    /// The text that Prometheus reads.
    pub(super) fn text(&self) -> String {
        if self.lag_told().is_none() {
            self.lag.clear();
        }
        let mut text = String::new();
        // A string takes everything.
        let _ = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &of_process()))
            .and_then(|()| encode_eof(&mut text));
        text
    }
}

/// What Prometheus calls the same of every process: state, most of all, is in this.
fn of_process() -> Registry {
    let mut registry = Registry::default();
    if let Some(bytes) = resident_bytes() {
        let resident: Gauge<i64, AtomicI64> = Gauge::default();
        resident.set(bytes);
        let help = "Memory of this process that is not swapped out";
        registry.register_with_unit("process_resident_memory", help, Unit::Bytes, resident);
    }
    registry
}

/// Where the system tells it, as Linux does.
fn resident_bytes() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<i64>().ok()? * 1024)
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stopwatch::Since;

    /// The dashboard asks for what there is; counts and buckets are what was observed.
    #[test]
    fn the_dashboard_asks_for_metrics_that_there_are() {
        let metrics = Metrics::default();
        metrics.decided(Verdict::Hold, ["many"].into_iter());
        metrics.not_evaluable("many", 3);
        metrics.finding("refund_short", "refund");
        metrics.latency(false, 7);
        metrics.latency(true, 70);
        metrics.committed(Duration::from_millis(3));
        metrics.counts(Counted { decided: 5, applied: 4, rejected: 3, duplicates: 2 });
        metrics.partition(("events", 1), Some(12), 1_000, true);
        metrics.state((3, 400), true, Some(12));
        metrics.holds(1);
        metrics.reload("taken");
        let deciders = |rules: &str, model: &str| Deciders {
            rules_hash: rules.to_owned(),
            model_hash: Some(model.to_owned()),
            challenger_hash: None,
        };
        metrics.deciders(&deciders("old", "m1"));
        metrics.deciders(&deciders("new", "m2"));
        let stored = Stored { stored: 7, bytes: 9 };
        metrics.snapshots(&Figures {
            written: 2,
            failed: 1,
            pause: Duration::from_millis(12),
            stored: Some((stored, Duration::from_secs(3))),
            since: Some(Since::now()),
            uploads: Some(uploads::Figures {
                put: 4,
                failed: 0,
                skipped: 5,
                took: Some(Duration::from_millis(1500)),
                since: Since::now(),
            }),
        });
        metrics.request("/v1/decide", 200, Duration::from_millis(4));
        let text = metrics.text();
        for line in [
            "hongxian_records_total{outcome=\"decided\"} 5",
            "hongxian_rule_hits_total{rule=\"many\"} 1",
            "hongxian_not_evaluable_total{rule=\"many\"} 3",
            "hongxian_packet_findings_total{finding=\"refund_short\",kind=\"refund\"} 1",
            "hongxian_append_to_decided_seconds_bucket{le=\"0.01\"} 1",
            "hongxian_append_to_committed_seconds_bucket{le=\"0.05\"} 0",
            "hongxian_partition_lag_records{topic=\"events\",partition=\"1\"} 12",
            "hongxian_partition_paused{topic=\"events\",partition=\"1\"} 1",
            "hongxian_waiting_bytes 400",
            "hongxian_rules_reloads_total{result=\"taken\"} 1",
            "hongxian_rules_reloads_total{result=\"refused\"} 0",
            "hongxian_http_connections 0",
            "hongxian_http_connections_refused_total 0",
            "hongxian_rules_info{hash=\"new\"} 1",
            "hongxian_model_info{hash=\"m2\"} 1",
            "hongxian_snapshots_total{outcome=\"failed\"} 1",
            "hongxian_snapshot_seconds{of=\"pause\"} 0.012",
            "hongxian_snapshot_seconds{of=\"age\"} ",
            "hongxian_snapshot_seconds{of=\"put\"} 1.5",
            "hongxian_snapshot_seconds{of=\"put-age\"} ",
            "hongxian_snapshots_total{outcome=\"put-skipped\"} 5",
            "hongxian_snapshot_bytes{of=\"disk\"} 7",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(text.ends_with("# EOF\n"));
        metrics.partition(("events", 1), None, 7, true);
        let lag = "hongxian_partition_lag_records{";
        assert!(text.contains(lag) && !metrics.text().contains(lag), "an old lag is none");
        let resident =
            text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        let resident: u64 = resident.expect("of Linux").parse().expect("a number");
        assert!((1 << 20..1 << 40).contains(&resident), "{resident} bytes");
        let dashboard = include_str!("../../../../scripts/deploy/grafana.json");
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        let mut asked = 0;
        for part in dashboard.split("hongxian_").skip(1) {
            let name: String = part.chars().take_while(|c| is_name(*c)).collect();
            assert!(text.contains(&format!("\nhongxian_{name}")), "{name}");
            asked += 1;
        }
        assert!(asked > 10);
    }
}
