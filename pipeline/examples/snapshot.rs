//! How large a snapshot is and how long it takes, for so many accounts:
//!
//! ```sh
//! cargo run --release -p hongxian --example snapshot -- ACCOUNTS [RULES]
//! ```
//!
//! People in groups of twenty, two to a device, send, claim and transfer for a day, three events
//! each, under all rules and features. While the state is saved nothing is decided: that is the
//! pause. To be run on a machine that does nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hongxian::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, Chunk, ChunkBuilder, DEVICE_ID, EVENT_ID, EVENT_TIME,
    GROUP_ID, KIND, PACKET_ID, PLAY, Position, Raw, SHARES, Schema,
};
use hongxian::run::Session;
use hongxian::snapshot::{State, Store};
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
    let rules = arguments.get(1).map_or("rules", String::as_str);
    match accounts {
        Some(accounts) => measure(accounts, Path::new(rules)),
        None => eprintln!("say for how many accounts, and where the rules are"),
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
    let text = |text: &'static str| Raw::Str(text.as_bytes());
    let mut values = vec![
        (EVENT_ID, Raw::Str(id.as_bytes())),
        (EVENT_TIME, Raw::Int(time(at, accounts))),
        (KIND, text(kind)),
        (ACCOUNT_ID, Raw::Str(who.as_bytes())),
        (GROUP_ID, Raw::Str(group_id.as_bytes())),
        (DEVICE_ID, Raw::Str(device.as_bytes())),
        (AMOUNT_FEN, Raw::Int((drawn >> 50) as i64 + 100)),
    ];
    match kind {
        "send" => values.extend([(SHARES, Raw::Int(10)), (PLAY, text("lucky"))]),
        _ => values.push((COUNTERPARTY_ID, Raw::Str(other.as_bytes()))),
    }
    if kind != "transfer" {
        values.push((PACKET_ID, Raw::Str(packet.as_bytes())));
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

fn measure(accounts: u64, rules: &Path) {
    let schema = Arc::new(Schema::default());
    let empty = Since::now();
    let mut session = Session::with_workers(Some(rules), &schema, WORKERS).expect(FAILED);
    let empty = empty.elapsed();
    let all: Vec<u64> = (0..accounts * EVENTS).collect();
    let since = Since::now();
    // Each has a moment of its own.
    for step in all.chunks(STEP) {
        let effective: Vec<i64> = step.iter().map(|at| time(*at, accounts)).collect();
        let until = effective.last().expect("a step has events") + 1;
        session.feed(chunk(&schema, step, accounts), effective, until);
        while session.next_part(true).ok().flatten().is_some() {}
    }
    println!("{accounts} accounts, {} events in {:?}", all.len(), since.elapsed());
    let mut pauses: Vec<Duration> = Vec::new();
    let mut state = State::default();
    for _ in 0..3 {
        let since = Since::now();
        state = session.save().expect(FAILED);
        pauses.push(since.elapsed());
    }
    let mut keepers: BTreeMap<&str, u64> = BTreeMap::new();
    for part in &state.parts {
        *keepers.entry(&part.keeper).or_default() += part.bytes.len() as u64;
    }
    let total: u64 = keepers.values().sum();
    println!("{:.1} MB, pauses {pauses:?}", megabytes(total));
    let mut keepers: Vec<(&str, u64)> = keepers.into_iter().collect();
    keepers.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    keepers.iter().take(12).for_each(|(name, bytes)| println!("  {:.1} {name}", megabytes(*bytes)));
    let directory = tempfile::tempdir().expect(FAILED);
    let store = Store::new(directory.path(), 1);
    let since = Since::now();
    let written = store.write(1, serde_json::json!({}), &state).expect(FAILED);
    println!("written in {:?}: {:.1} MB", since.elapsed(), megabytes(written.stored));
    let since = Since::now();
    let (_, _, read) = store.newest(|_, _| Ok(())).expect(FAILED).snapshot.expect(FAILED);
    println!("read in {:?}", since.elapsed());
    assert_eq!(read, state);
    let since = Since::now();
    let mut restored = Session::restore(Some(rules), &schema, WORKERS + 1, read).expect(FAILED);
    let again = restored.save().expect(FAILED);
    println!("restored and saved again in {:?}; a session begins in {empty:?}", since.elapsed());
    assert_eq!(again.until, state.until);
}
