//! How long a decision takes when events come at a rate, without a broker: the engine of a stream on
//! records in memory.
//!
//! ```sh
//! cargo run --release -p hongxian --example paced -- EVENTS RULES RATE WORKERS TICK_MS
//! ```
//!
//! The events are made records of JSON first, as Kafka would hold them. Then each is due at its place
//! over RATE, in events a second (0: all at once, which shows what is sustained): it is decoded, put in
//! its place among those that wait, leaves when a watermark has passed its tick, goes through the
//! dataflow, and is decided when its canonical line is there. From due to decided is its latency. One
//! JSON object is printed. `scripts/bench stream` makes the events, spread evenly over time at that very
//! rate, and runs this on a machine that does nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hongxian::event::{EVENT_TIME, Schema};
use hongxian::run::Session;
use hongxian::source::log::{Arrived, Decoder, Watermark};
use hongxian::source::order::Waiting;
use hongxian::source::{Input, read_all};
use hongxian::stopwatch::Since;

/// Records that are decoded at once, as a consumer's queue gives them.
const RECORDS_MAX: usize = 8_192;
/// Steps that may wait for their decisions while more is read, as in a stream.
const STEPS_MAX: usize = 4;
/// How long there is nothing to do until the next record may be due.
const NAP: Duration = Duration::from_micros(200);

const FAILED: &str = "it cannot be measured";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers = || arguments.iter().skip(2).map(|text| text.parse::<u64>());
    match (&arguments[..], numbers().collect::<Result<Vec<_>, _>>().as_deref()) {
        ([events, rules, ..], Ok([rate, workers, tick])) => {
            let paced = Paced { rate: *rate, workers: *workers as usize, tick: *tick as i64 };
            paced.measure(&records(Path::new(events)), Path::new(rules));
        }
        _ => eprintln!("say EVENTS RULES RATE WORKERS TICK_MS"),
    }
}

struct Paced {
    /// Events a second; 0: all are due at once.
    rate: u64,
    workers: usize,
    /// In ms of event time.
    tick: i64,
}

/// The events of a file as records, appended at their own times.
fn records(events: &Path) -> Vec<Arrived> {
    let schema = Arc::new(Schema::default());
    let read = read_all(&[Input::plain(events)], &schema, &()).expect(FAILED);
    assert!(read.rejects.is_empty(), "every line is an event");
    let mut records = Vec::new();
    for chunk in &read.chunks {
        for row in 0..chunk.len() {
            records.push(Arrived {
                offset: records.len() as u64,
                append_time: chunk.int(EVENT_TIME, row),
                value: chunk.to_json(row).to_string().into_bytes(),
            });
        }
    }
    records
}

impl Paced {
    fn measure(&self, records: &[Arrived], rules: &Path) {
        let schema = Arc::new(Schema::default());
        let opened = Session::with_workers(Some(rules), &schema, self.workers);
        let mut session = opened.expect(FAILED);
        let settings = session.settings();
        let decoder = Decoder::new(schema.clone(), settings.times.max_ahead);
        let mut waiting = Waiting::new(schema, settings.dedup_window);
        let mut watermark = Watermark::new(settings.times.allowed_lateness, []);
        let mut latencies: Vec<u64> = Vec::with_capacity(records.len());
        let (mut taken, mut until, mut bytes) = (0, i64::MIN, 0);
        let since = Since::now();
        while latencies.len() < records.len() {
            let due = self.due(since.elapsed(), records.len()).min(taken + RECORDS_MAX);
            let nothing_new = due == taken;
            if !nothing_new {
                let block = decoder.decode(0, &records[taken..due]);
                for chunk in block.chunks {
                    let at = |row: usize| (chunk.position(row).at, chunk.int(EVENT_TIME, row));
                    let rows = (0..chunk.len()).map(at);
                    let effective: Vec<i64> =
                        rows.map(|(at, time)| watermark.accept(at, time)).collect();
                    waiting.push(chunk, &effective);
                }
                taken = due;
            }
            // Nothing comes after the last one.
            let low = if taken == records.len() { i64::MAX } else { watermark.time() };
            let reached = low.div_euclid(self.tick).saturating_mul(self.tick);
            if reached > until && !waiting.is_empty() {
                until = reached.min(watermark.event_time_max().saturating_add(1));
                let left = waiting.take(until);
                assert_eq!((left.duplicates, left.refused.len()), (0, 0), "ids are unique");
                if !left.chunk.is_empty() {
                    session.feed(left.chunk, left.effective, until);
                }
            }
            let mut decided = false;
            loop {
                let wait = session.under_way() > STEPS_MAX;
                let Some(scored) = session.next_part(wait).expect(FAILED) else { break };
                decided = true;
                bytes += scored.lines().len();
                let now = since.elapsed();
                let each = scored.batch.rows.iter().map(|row| {
                    let at = scored.batch.slice.chunk.position(*row as usize).at;
                    now.saturating_sub(self.due_at(at)).as_micros() as u64
                });
                latencies.extend(each);
            }
            if nothing_new && !decided {
                std::thread::sleep(NAP);
            }
        }
        let seconds = since.elapsed().as_secs_f64();
        latencies.sort_unstable();
        // The value below which so many thousandths of them are, in ms.
        let quantile = |thousandths: usize| -> f64 {
            let at = latencies.len() * thousandths / 1_000;
            latencies[at.min(latencies.len() - 1)] as f64 / 1_000.0
        };
        let told = serde_json::json!({
            "events": records.len(),
            "offered_per_s": self.rate,
            "events_per_s": (records.len() as f64 / seconds).round(),
            "workers": self.workers,
            "tick_ms": self.tick,
            "line_bytes": bytes,
            "latency_ms": {
                "p50": quantile(500),
                "p99": quantile(990),
                "p999": quantile(999),
                "max": quantile(1_000),
            },
        });
        println!("{told}");
    }

    /// How many events are due so long after the beginning.
    fn due(&self, elapsed: Duration, all: usize) -> usize {
        match self.rate {
            0 => all,
            rate => (elapsed.as_micros() as u64 * rate / 1_000_000).min(all as u64) as usize,
        }
    }

    /// When an event is due.
    fn due_at(&self, at: u64) -> Duration {
        Duration::from_micros((at * 1_000_000).checked_div(self.rate).unwrap_or(0))
    }
}
