//! What a stream bears: floods of what is no event, more than fits into memory, topics that do not
//! fit what was committed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::bench::{Bench, Sent, claim, claim_json};
use super::{ended, signal, still_runs, until};
use crate::support::START;

fn poison(partition: i32, bytes: usize) -> Sent {
    Sent { partition, value: Some(vec![b'x'; bytes]) }
}

/// A partition that gets nothing but records that are no events does not hold back the others, and
/// is at its end between them; a replay decides the same.
#[test]
fn a_partition_of_refused_records_holds_nothing_up() {
    let Some(bench) = Bench::new("poisoned", 2) else { return };
    let enough = AtomicBool::new(false);
    let child = bench.spawn(&[]);
    let sent = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut sent = 0_u64;
            // Never so long without a record as makes a partition idle.
            while !enough.load(Ordering::Relaxed) {
                bench.send((0..5).map(|_| poison(1, 40)));
                sent += 5;
                std::thread::sleep(Duration::from_millis(30));
            }
            sent
        });
        bench.send((0..100).map(|at| claim(at, 0)));
        until("nothing is decided", || !bench.decided().is_empty());
        enough.store(true, Ordering::Relaxed);
        flood.join().unwrap()
    });
    signal(&child, "-TERM");
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    let once = bench.stream(&["--once"]);
    assert_eq!(once["counts"]["decided"], 100);
    assert_eq!(once["counts"]["rejected"], sent);
    assert_eq!(bench.committed("dead").len() as u64, sent, "each once");
    assert_eq!(bench.replayed("2").0, bench.digest());
}

/// The most memory that a stream takes up while it reads what there is, in MiB.
#[cfg(target_os = "linux")]
fn memory_of(bench: &Bench) -> u64 {
    let mut child = bench.spawn(&["--once"]);
    let mut most = 0;
    until("it does not end", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let line = status.unwrap_or_default();
        let line = line.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        most = most.max(kib.unwrap_or(0));
        child.try_wait().unwrap().is_some()
    });
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    most >> 10
}

/// Dead letters go out as they come: memory does not hold a burst of them, not even before any
/// partition has a watermark.
#[cfg(target_os = "linux")]
#[test]
fn a_burst_of_dead_letters_does_not_fill_memory() {
    const LARGE: usize = 400 << 10;
    const LETTERS: usize = 400;
    let Some(small) = Bench::new("burst-none", 2) else { return };
    small.send((0..5).map(|_| poison(0, LARGE)));
    let base = memory_of(&small);
    let Some(bench) = Bench::new("burst", 2) else { return };
    bench.send((0..LETTERS).map(|_| poison(0, LARGE)));
    let most = memory_of(&bench);
    assert_eq!(bench.committed("dead").len(), LETTERS);
    assert!(most < base + 110, "{most} MiB for 156 MiB of letters, {base} MiB for a few");
}

fn message(at: i64, time: i64, partition: i32) -> Sent {
    let (time, text) = (START + time, "t".repeat(4_000));
    let value = format!(
        "{{\"event_id\":\"m{at}\",\"event_time\":{time},\"kind\":\"message\",\
         \"account_id\":\"u\",\"group_id\":\"g\",\"text\":\"{text}\"}}"
    );
    Sent { partition, value: Some(value.into_bytes()) }
}

/// What is ahead of a slow partition waits at the brokers, not here; and where the contract itself
/// wants more to wait than may, the stream says so and ends.
#[test]
fn what_waits_has_a_limit() {
    let Some(bench) = Bench::new("waits", 2) else { return };
    bench.configure_with(&bench.rules(), "waiting_mib = 16\n");
    // 40 MiB ahead of a partition that catches up event by event.
    bench.send((0..10_000).map(|at| message(at, at * 100, 0)));
    bench.send((0..1_000).map(|at| {
        let json = claim_json(&format!("e{at}"), at * 1_000, at % 10, at);
        Sent { partition: 1, value: Some(json.into_bytes()) }
    }));
    let once = bench.stream(&["--once"]);
    assert_eq!(
        (&once["counts"]["decided"], &once["counts"]["applied"]),
        (&1_000.into(), &10_000.into())
    );
    // Of one moment, all of it must be there before the first of it is decided.
    bench.send((0..10_000).map(|at| message(20_000 + at, 2_000_000, 0)));
    let said = bench.fails(&["--once"], 3);
    assert!(said.contains("waiting_mib = 16"), "{said}");
}

/// A start that must fail does not end the instance that runs.
#[test]
fn a_start_that_fails_leaves_who_runs_alone() {
    let Some(bench) = Bench::new("alone", 1) else { return };
    bench.send((0..50).map(|at| claim(at, 0)));
    let mut first = bench.spawn(&[]);
    until("nothing is decided", || !bench.decided().is_empty());
    let before = std::fs::read_to_string(bench.config()).unwrap();
    std::fs::write(bench.config(), format!("{before}[extra]\nchannel = 'string'\n")).unwrap();
    let said = bench.fails(&[], 2);
    assert!(said.contains("the stream began with others"), "{said}");
    std::fs::write(bench.config(), before).unwrap();
    bench.delete_before(5);
    let said = bench.fails(&[], 3);
    assert!(said.contains("needs those from 0 on"), "{said}");
    let decided = bench.decided().len();
    bench.send((50..100).map(|at| claim(at, 0)));
    until("the first one does not go on", || bench.decided().len() > decided);
    still_runs(&mut first);
    signal(&first, "-TERM");
    assert_eq!(ended(first).0, Some(0));
}

/// Of how far a stream is there is a record with each commit, and a start reads them all: brokers may take
/// away all but the last, and are told to.
#[test]
fn a_compacted_control_topic_holds_all_that_a_stream_needs() {
    let Some(bench) = Bench::new("compacted", 2) else { return };
    bench.stream(&["--once"]);
    assert_eq!(bench.setting("control", "cleanup.policy").as_deref(), Some("compact"));
    bench.delete("control");
    let eager = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "1000"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    bench.make("control", 1, &eager);
    let resumes = || {
        let seen = bench.committed("control");
        seen.iter().filter(|seen| seen.value.starts_with(b"{\"kind\":\"resume\"")).count()
    };
    let mut most = 0;
    for round in 0..8 {
        bench.send((round * 50..round * 50 + 50).map(|at| claim(at, (at % 2) as i32)));
        bench.stream(&["--once"]);
        most = most.max(resumes());
    }
    until("nothing is taken away", || resumes() * 2 < most);
    bench.send((400..420).map(|at| claim(at, (at % 2) as i32)));
    let ended = bench.stream(&["--once"]);
    assert_eq!(ended["counts"]["decided"], 420);
    assert_eq!(ended["decisions_digest"], bench.digest().as_str());
    assert_eq!(bench.replayed("2").0, bench.digest());
}

/// A replay that cannot come to where the stream was ends, also where nobody said --once.
#[test]
fn a_replay_that_falls_short_ends() {
    let Some(bench) = Bench::new("short", 1) else { return };
    bench.send((0..20).map(|at| claim(at, 0)));
    bench.stream(&["--once"]);
    let last = bench.committed("control").pop().unwrap();
    let mut resume: serde_json::Value = serde_json::from_slice(&last.value).unwrap();
    resume["frontier"] = (resume["frontier"].as_i64().unwrap() + 1_000_000).into();
    let value = Some(resume.to_string().into_bytes());
    bench.send_to("control", [Sent { partition: 0, value }]);
    let (code, said) = ended(bench.spawn(&[]));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the input ends before what was committed is decided again"), "{said}");
}

/// Whoever reads a topic of several partitions while the stream writes to it finds no decision
/// missing.
#[test]
fn a_digest_is_never_torn() {
    let Some(bench) = Bench::new("torn", 2) else { return };
    bench.make("out", 5, &[]);
    let enough = AtomicBool::new(false);
    let child = bench.spawn(&[]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut at = 0;
            while !enough.load(Ordering::Relaxed) {
                bench.send((at..at + 40).map(|at| claim(at, (at % 2) as i32)));
                at += 40;
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        for _ in 0..12 {
            bench.digest();
        }
        enough.store(true, Ordering::Relaxed);
    });
    signal(&child, "-TERM");
    assert_eq!(ended(child).0, Some(0));
    assert_eq!(bench.stream(&["--once"])["decisions_digest"], bench.digest().as_str());
}
