//! Killed anywhere, a stream goes on as if nothing had happened; and there is one of it at a time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hongxian::stopwatch::Since;

use super::bench::{Bench, PATIENCE, Sent, claim_json};
use super::{ended, said, still_runs, until};

/// How a stream meets its end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// In its n-th transaction, when all is at the broker and nothing is committed.
    InTransaction(u64),
    /// By kill -9, so long after its start.
    After(Duration),
}

/// Where it hurts, and anywhere.
const ENDS: [End; 8] = [
    End::InTransaction(1),
    End::After(Duration::from_millis(400)),
    End::InTransaction(2),
    End::InTransaction(5),
    End::After(Duration::from_millis(1_900)),
    End::After(Duration::from_millis(900)),
    End::InTransaction(3),
    End::After(Duration::from_millis(2_700)),
];

/// Events that are sent at once.
const LOT: i64 = 20;

/// While records keep coming, the stream is killed again and again. In the end every event has one
/// decision, for a reader of what is committed, and the bytes are those of a backtest of the log.
#[test]
fn killed_anywhere_a_stream_decides_every_event_once() {
    let Some(bench) = Bench::new("killed", 3) else { return };
    let sent = send_and_kill(&bench, 50);
    let ended = bench.stream(&["--once"]);
    assert_eq!(ended["counts"]["decided"], sent);
    let decided = bench.decided();
    let ids: BTreeSet<&String> = decided.iter().collect();
    assert_eq!((decided.len(), ids.len()), (sent as usize, sent as usize));
    let digest = bench.digest();
    assert_eq!(ended["decisions_digest"], digest.as_str());
    assert_eq!(bench.replayed("2").0, digest);
}

/// Sends events that are so many ms apart, and kills the stream meanwhile; how many it were.
pub(super) fn send_and_kill(bench: &Bench, apart: i64) -> i64 {
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| send_until(bench, &enough, apart));
        ENDS.into_iter().for_each(|end| die(bench, end));
        enough.store(true, Ordering::Relaxed);
        sending.join().unwrap()
    })
}

/// Sends events in small lots until it is enough; how many it were.
fn send_until(bench: &Bench, enough: &AtomicBool, apart: i64) -> i64 {
    let mut sent = 0;
    while !enough.load(Ordering::Relaxed) {
        let event = |at: i64| Sent {
            partition: (at * 7 % 3) as i32,
            value: Some(claim_json(&format!("e{at}"), at * apart, at % 30, at).into_bytes()),
        };
        bench.send((sent..sent + LOT).map(event));
        sent += LOT;
        std::thread::sleep(Duration::from_millis(60));
    }
    sent
}

/// Starts the stream and has it die. It never ends by itself.
fn die(bench: &Bench, end: End) {
    let since = Since::now();
    match end {
        End::InTransaction(number) => {
            let mut child = bench.spawn(&["--crash-at", &number.to_string()]);
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                assert!(since.elapsed() < PATIENCE, "there is no transaction {number}");
                std::thread::sleep(Duration::from_millis(5));
            };
            assert_eq!(status.code(), None, "it ended by itself: {}", said(&mut child));
        }
        End::After(time) => {
            let mut child = bench.spawn(&[]);
            std::thread::sleep(time);
            still_runs(&mut child);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// It has nothing to write, and would else go on for ever and say that it is ready.
#[test]
fn whoever_was_there_ends_though_nothing_comes() {
    let Some(bench) = Bench::new("idle-zombie", 1) else { return };
    bench.send((0..50).map(|at| super::bench::claim(at, 0)));
    let first = bench.spawn(&[]);
    until("nothing is decided", || !bench.decided().is_empty());
    bench.stream(&["--once"]);
    let (code, said) = ended(first);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("another instance goes on with the stream"), "{said}");
    assert_eq!(bench.decided().len(), 50);
}

/// A second instance takes over, and what the first one would still write is never committed.
#[test]
fn whoever_comes_later_fences_whoever_was_there() {
    let Some(bench) = Bench::new("zombie", 2) else { return };
    let claims = |range: std::ops::Range<i64>| {
        range.map(|at| super::bench::claim(at, (at % 2) as i32)).collect::<Vec<Sent>>()
    };
    bench.send(claims(0..200));
    let mut first = bench.spawn(&[]);
    let since = Since::now();
    while bench.committed("out").is_empty() {
        still_runs(&mut first);
        assert!(since.elapsed() < PATIENCE, "nothing is decided");
        std::thread::sleep(Duration::from_millis(100));
    }
    bench.stream(&["--once"]);
    bench.send(claims(200..400));
    let since = Since::now();
    let status = loop {
        if let Some(status) = first.try_wait().unwrap() {
            break status;
        }
        assert!(since.elapsed() < PATIENCE, "the first one goes on");
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = said(&mut first);
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains("another instance goes on with the stream"), "{said}");
    let ended = bench.stream(&["--once"]);
    assert_eq!(ended["counts"]["decided"], 400);
    assert_eq!(bench.digest(), ended["decisions_digest"].as_str().unwrap());
    assert_eq!(bench.decided().into_iter().collect::<BTreeSet<_>>().len(), 400);
}
