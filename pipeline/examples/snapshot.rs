//! How large a snapshot is and how long it takes, for so many accounts:
//!
//! ```sh
//! cargo run --release -p hongxian --example snapshot -- ACCOUNTS [RULES]
//! ```
//!
//! People in groups of twenty, two to a device, send, claim and transfer for a day, three events
//! each, under all rules and features. While the state is frozen nothing is decided: that is the
//! pause. While it is written more events are decided, at a rate that is compared with before and
//! after; then another process goes on from it. To be run on a machine that does nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hongxian::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, Chunk, ChunkBuilder, DEVICE_ID, EVENT_ID, EVENT_TIME,
    GROUP_ID, KIND, PACKET_ID, PLAY, Position, Raw, SHARES, Schema,
};
use hongxian::run::Session;
use hongxian::snapshot::{Store, Stored, tidy};
use hongxian::stopwatch::Since;

/// Events of an account.
const EVENTS: u64 = 3;
/// Events of a step.
const STEP: usize = 20_000;
const WORKERS: usize = 2;
/// 2024-02-09T12:00:00Z.
const START: i64 = 1_707_480_000_000;
const DAY: i64 = 86_400_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let accounts = arguments.first().and_then(|text| text.parse().ok());
    let rules = Path::new(arguments.get(1).map_or("rules", String::as_str));
    match (accounts, arguments.get(2)) {
        (Some(_), Some(directory)) => restore(Path::new(directory), rules),
        (Some(accounts), None) => measure(accounts, rules),
        _ => eprintln!("say for how many accounts, and where the rules are"),
    }
}

/// When event number `at` happens.
fn time(at: u64, accounts: u64) -> i64 {
    START + (at as i64) * DAY / (accounts * EVENTS) as i64
}

fn push(builder: &mut ChunkBuilder, at: u64, accounts: u64) {
    // A number that looks drawn.
    let drawn = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (account, near) = (at % accounts, (drawn >> 40) % 20);
    let (group, other) = (account / 20, (account / 20 * 20 + near) % accounts);
    let kind = ["send", "claim", "transfer"][(drawn >> 20) as usize % 3];
    let (id, who, group_id) = (format!("e{at}"), format!("u{account}"), format!("g{group}"));
    let (other, device) = (format!("u{other}"), format!("d{}", account / 2));
    let packet = format!("p{group}-{}", at % 3);
    let text = |text: &'static str| Raw::Str(text);
    let mut values = vec![
        (EVENT_ID, Raw::Str(&id)),
        (EVENT_TIME, Raw::Int(time(at, accounts))),
        (KIND, text(kind)),
        (ACCOUNT_ID, Raw::Str(&who)),
        (GROUP_ID, Raw::Str(&group_id)),
        (DEVICE_ID, Raw::Str(&device)),
        (AMOUNT_FEN, Raw::Int((drawn >> 50) as i64 + 100)),
    ];
    match kind {
        "send" => values.extend([(SHARES, Raw::Int(10)), (PLAY, text("lucky"))]),
        _ => values.push((COUNTERPARTY_ID, Raw::Str(&other))),
    }
    if kind != "transfer" {
        values.push((PACKET_ID, Raw::Str(&packet)));
    }
    builder.push(values, Position { source: 0, at }).expect("it is an event");
}

fn chunk(schema: &Arc<Schema>, step: &[u64], accounts: u64) -> Chunk {
    let mut builder = ChunkBuilder::new(schema.clone());
    step.iter().for_each(|at| push(&mut builder, *at, accounts));
    builder.finish()
}

const FAILED: &str = "it cannot be measured";

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A figure of the memory of a process, in MB.
fn memory(process: &str, file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1e3
}

/// A session that is fed.
struct Fed {
    session: Session,
    schema: Arc<Schema>,
    accounts: u64,
    next: u64,
}

impl Fed {
    /// Feeds so many events; how many a second, and the longest that a step took.
    fn feed(&mut self, events: u64) -> (f64, Duration) {
        let (begun, mut longest) = (Since::now(), Duration::ZERO);
        let all: Vec<u64> = (self.next..self.next + events).collect();
        self.next += events;
        // Each has a moment of its own.
        for step in all.chunks(STEP) {
            let since = Since::now();
            let effective: Vec<i64> = step.iter().map(|at| time(*at, self.accounts)).collect();
            let until = effective.last().expect("a step has events") + 1;
            self.session.feed(chunk(&self.schema, step, self.accounts), effective, until);
            while self.session.next_part(true).ok().flatten().is_some() {}
            longest = longest.max(since.elapsed());
        }
        (events as f64 / begun.elapsed().as_secs_f64(), longest)
    }
}

fn measure(accounts: u64, rules: &Path) {
    let schema = Arc::new(Schema::default());
    let session = Session::with_workers(Some(rules), &schema, WORKERS).expect(FAILED);
    let mut fed = Fed { session, schema, accounts, next: 0 };
    let (rate, _) = fed.feed(accounts * EVENTS);
    let resident = memory("self", "status", "VmRSS");
    println!("{accounts} accounts, {rate:.0} events/s, {resident:.0} MB resident");
    let directory = tempfile::tempdir().expect(FAILED);
    let store = Store::new(directory.path(), 1);
    for round in 0..4 {
        let since = Since::now();
        // The first one shows what it costs without.
        let tidied = if round == 0 { 0 } else { tidy() };
        let tidied = (since.elapsed(), megabytes(tidied as u64));
        let (before, step) = fed.feed(10 * STEP as u64);
        let draft = store.begin().expect(FAILED);
        let since = Since::now();
        let frozen = fed.session.freeze(&draft).expect(FAILED);
        let pause = since.elapsed();
        let writers = frozen.writers();
        let since = Since::now();
        let (begun, finished) = (&since, &store);
        let (during, longest, most, (stored, took)) = std::thread::scope(|scope| {
            let write = move || {
                let stored = finished.finish(&draft, round, serde_json::json!({}), frozen);
                (stored.expect(FAILED), begun.elapsed())
            };
            let writing = scope.spawn(write);
            let (mut rates, mut longest, mut most) = (Vec::new(), Duration::ZERO, 0.0_f64);
            while !writing.is_finished() {
                let (rate, step) = fed.feed(2 * STEP as u64);
                rates.push(rate);
                longest = longest.max(step);
                let own = |child: &u32| memory(&child.to_string(), "smaps_rollup", "Pss");
                let sum =
                    memory("self", "smaps_rollup", "Pss") + writers.iter().map(own).sum::<f64>();
                most = most.max(sum);
            }
            let mean = rates.len() as f64 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>();
            (mean, longest, most, writing.join().expect(FAILED))
        });
        let (after, _) = fed.feed(10 * STEP as u64);
        println!("large pages: {:.0} MB in {:?}", tidied.1, tidied.0);
        println!("  pause {pause:?}, written in {took:?} by {} processes", writers.len());
        let Stored { stored, bytes } = stored;
        println!("  {:.1} MB, on disk {:.1} MB", megabytes(bytes), megabytes(stored));
        println!("  events/s before {before:.0}, meanwhile {during:.0}, after {after:.0}");
        println!("  longest step before {step:?}, meanwhile {longest:?}; at most {most:.0} MB");
    }
    let since = Since::now();
    let copied = fed.session.save().expect(FAILED);
    println!("copied in memory: pause {:?}, {} parts", since.elapsed(), copied.parts.len());
    drop((copied, fed));
    let this = std::env::current_exe().expect(FAILED);
    let arguments =
        [accounts.to_string().as_ref(), rules.as_os_str(), directory.path().as_os_str()]
            .map(std::ffi::OsStr::to_owned);
    let done = std::process::Command::new(this).args(arguments).status().expect(FAILED);
    assert!(done.success());
}

/// In a process of its own, to see how much memory it takes.
fn restore(directory: &Path, rules: &Path) {
    let schema = Arc::new(Schema::default());
    let since = Since::now();
    let found = Store::new(directory, 1).newest(|_, _| Ok(())).expect(FAILED);
    let (_, _, saved) = found.snapshot.expect(FAILED);
    let checked = since.elapsed();
    let mut session = Session::restore(Some(rules), &schema, WORKERS + 1, saved).expect(FAILED);
    // It has come up when it answers.
    let empty = tempfile::tempdir().expect(FAILED);
    let draft = Store::new(empty.path(), 1).begin().expect(FAILED);
    drop(session.freeze(&draft).expect(FAILED));
    let took = since.elapsed();
    let (most, now) = (memory("self", "status", "VmHWM"), memory("self", "status", "VmRSS"));
    println!("restored by {} workers in {took:?}, of which checking {checked:?}", WORKERS + 1);
    println!("  at most {most:.0} MB resident, {now:.0} MB in the end");
}
