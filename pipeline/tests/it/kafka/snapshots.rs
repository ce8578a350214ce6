//! A stream with snapshots: killed anywhere it goes on from the newest one that is whole, and needs
//! no input from before it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use hongxian::stopwatch::Since;

use super::bench::{Bench, Sent, claim, claim_json};
use super::{ended, signal, still_runs, until};

impl Bench {
    /// Snapshots at each commit, if the one before is on disk.
    pub(super) fn with_snapshots(&self) {
        let text = fs::read_to_string(self.config()).unwrap();
        let text = format!("{text}[snapshots]\ndir = 'snapshots'\ninterval = '1ms'\nkeep = 2\n");
        fs::write(self.config(), text).unwrap();
    }

    /// The snapshots that are there, the newest last.
    pub(super) fn snapshots(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path("snapshots")) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        let is_hidden =
            |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('.');
        paths.retain(|path| !is_hidden(path));
        paths.sort();
        paths
    }

    /// Runs the stream to its end; what it tells on standard error.
    pub(super) fn told(&self) -> String {
        let output = self.command(&["--once"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    }
}

/// Records before the newest snapshot are gone: the stream goes on, at another number of workers.
/// Where the newest one is broken, it goes on from the one before; without any it cannot.
#[test]
fn a_stream_goes_on_without_the_input_from_before_its_snapshot() {
    let Some(bench) = Bench::new("snapshots", 1) else { return };
    bench.with_snapshots();
    let mut sent = 0;
    let mut send = |many: i64| {
        bench.send((sent..sent + many).map(|at| claim(at, 0)));
        sent += many;
    };
    send(200);
    bench.stream(&["--once"]);
    bench.delete_before(200);
    send(100);
    let said = bench.told();
    assert!(said.contains("going on from the snapshot at 200 decisions"), "{said}");
    let snapshots = bench.snapshots();
    assert_eq!(snapshots.len(), 2, "as many as are kept: {snapshots:?}");
    send(100);
    let ended = bench.stream(&["--once", "--workers", "3"]);
    assert_eq!(ended["counts"]["decided"], 400);
    assert_eq!(ended["decisions_digest"], bench.digest().as_str());

    // Half of the newest one is gone.
    let newest = bench.snapshots().pop().unwrap();
    let parts = newest.join("parts-0");
    let bytes = fs::read(&parts).unwrap();
    fs::write(&parts, &bytes[..bytes.len() / 2]).unwrap();
    send(100);
    let said = bench.told();
    let shown = newest.display().to_string();
    assert!(
        said.contains(&format!("the snapshot {shown} is passed over, it is not whole")),
        "{said}"
    );
    assert!(said.contains("going on from the snapshot at"), "{said}");
    let decided = bench.decided();
    assert_eq!(decided.len(), 500);
    assert_eq!(decided.iter().collect::<BTreeSet<_>>().len(), 500);

    // The negative control: there is none.
    fs::remove_dir_all(bench.path("snapshots")).unwrap();
    let said = bench.fails(&["--once"], 3);
    assert!(said.contains("needs those from 0 on: retention has removed them"), "{said}");
}

/// Killed while snapshots are written all the time, three partitions, late records and broken ones
/// among them: the bytes are those of a backtest of the whole log.
#[test]
fn killed_while_snapshots_are_written_a_stream_decides_the_same() {
    let Some(bench) = Bench::new("killsnap", 3) else { return };
    bench.with_snapshots();
    let mut sent = 0_i64;
    let mut from_snapshots = 0;
    for round in 0..8_u64 {
        let event = |at: i64| {
            let partition = (at * 7 % 3) as i32;
            // Partitions are seconds apart, so that something always waits; some are no records.
            let time = at * 300 - i64::from(partition) * 1_500 + 5_000;
            let id = if at % 50 == 49 { at - 1 } else { at };
            let json = claim_json(&format!("e{id}"), time, at % 30, at);
            let value = if at % 41 == 40 { "{".to_owned() } else { json };
            Sent { partition, value: Some(value.into_bytes()) }
        };
        let before = bench.snapshots();
        let mut child = bench.spawn(&["--workers", &(1 + round % 3).to_string()]);
        for _ in 0..4 {
            bench.send((sent..sent + 60).map(event));
            sent += 60;
            std::thread::sleep(Duration::from_millis(150 + 97 * round));
        }
        // On a slow machine it has hardly begun by then: now and then it comes to a snapshot.
        let (since, most) = (Since::now(), Duration::from_secs(15));
        while round % 3 == 0 && bench.snapshots() == before && since.elapsed() < most {
            std::thread::sleep(Duration::from_millis(20));
        }
        still_runs(&mut child);
        child.kill().unwrap();
        child.wait().unwrap();
        from_snapshots += usize::from(!bench.snapshots().is_empty());
    }
    assert!(from_snapshots > 0, "no snapshot was written");
    let said = bench.told();
    assert!(said.contains("going on from the snapshot"), "{said}");
    let ended = bench.stream(&["--once"]);
    let digest = bench.digest();
    assert_eq!(ended["decisions_digest"], digest.as_str());
    let (replayed, counts) = bench.replayed("2");
    assert_eq!(replayed, digest);
    let (rejected, duplicates) = (&ended["counts"]["rejected"], &ended["counts"]["duplicates"]);
    assert_eq!((&counts["rejected"], &counts["duplicates"]), (rejected, duplicates));
    assert!(rejected.as_u64() > Some(10), "{ended}");
}

/// Ended while events wait of which no commit speaks, a stream does not read them twice.
#[test]
fn what_waits_when_a_stream_ends_is_not_read_again() {
    let Some(bench) = Bench::new("endsnap", 2) else { return };
    bench.with_snapshots();
    // No partition is moved on for being idle.
    let policy = bench.rules().join("policy.toml");
    let text = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, text.replace("idle_ms = 100", "idle_ms = 600000")).unwrap();
    let child = bench.spawn(&[]);
    bench.send((0..20).map(|at| claim(at, (at % 2) as i32)));
    until("nothing is decided", || !bench.decided().is_empty());
    // Ahead of the other partition: they are read, and nothing becomes of them.
    bench.send((20..60).map(|at| claim(at, 0)));
    std::thread::sleep(Duration::from_secs(1));
    signal(&child, "-TERM");
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    let once = bench.stream(&["--once"]);
    assert_eq!(
        (&once["counts"]["decided"], &once["counts"]["duplicates"]),
        (&60.into(), &0.into())
    );
    // Nor does a stream that has no snapshot come to anything else.
    fs::remove_dir_all(bench.path("snapshots")).unwrap();
    assert_eq!(bench.stream(&["--once"])["counts"], once["counts"]);
}

/// Two streams do not write into one directory: the second one says whose it is, and ends before
/// it takes its name; the first one goes on. What another version left there is not used.
#[test]
fn a_snapshot_of_another_stream_is_refused_by_name() {
    let Some(bench) = Bench::new("othersnap", 1) else { return };
    let Some(other) = Bench::new("othersnap2", 1) else { return };
    bench.with_snapshots();
    bench.send((0..50).map(|at| claim(at, 0)));
    bench.stream(&["--once"]);
    other.send((0..70).map(|at| claim(at, 0)));
    let text = fs::read_to_string(other.config()).unwrap();
    let shared = bench.path("snapshots").display().to_string();
    fs::write(other.config(), format!("{text}[snapshots]\ndir = '{shared}'\n")).unwrap();
    let before = bench.snapshots();
    let said = other.fails(&["--once"], 2);
    assert!(said.contains("is that of the stream othersnap-"), "{said}");
    assert!(said.contains("give each stream one of its own"), "{said}");
    assert!(other.committed("control").is_empty(), "it has not begun");
    assert_eq!(bench.snapshots(), before);
    fs::remove_file(bench.path("snapshots/.stream")).unwrap();
    let said = other.told();
    assert!(said.contains("it is of another stream, of one with other rules"), "{said}");
    assert_eq!(other.decided().len(), 70);
}

/// Where no file may grow to what a snapshot needs, as on a full disk: that is told, the stream goes
/// on and decides all, and the snapshot before is used.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_and_the_stream_goes_on() {
    let Some(bench) = Bench::new("fullsnap", 1) else { return };
    bench.with_snapshots();
    bench.send((0..30).map(|at| claim(at, 0)));
    bench.stream(&["--once"]);
    let before = bench.snapshots();
    bench.send((30..1_000).map(|at| claim(at, 0)));
    let stream = bench.command(&["--once"]);
    let mut limited = Command::new("prlimit");
    limited.arg("--fsize=8192:8192").arg(stream.get_program()).args(stream.get_args());
    let output = limited.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("cannot be used: File too large"), "{said}");
    assert!(bench.snapshots().contains(before.last().unwrap()), "{:?}", bench.snapshots());
    assert_eq!(bench.decided().len(), 1_000);
    let said = bench.told();
    assert!(said.contains("going on from the snapshot at"), "{said}");
    assert_eq!(bench.decided().len(), 1_000);
}

/// What was decided before the input came to rest is in a snapshot when one is due, though no commit
/// comes after that.
#[test]
fn a_stream_whose_input_rests_takes_the_snapshot_that_is_due() {
    let Some(bench) = Bench::new("rests", 1) else { return };
    let text = fs::read_to_string(bench.config()).unwrap();
    let text = format!("{text}[snapshots]\ndir = 'snapshots'\ninterval = '4s'\nkeep = 2\n");
    fs::write(bench.config(), text).unwrap();
    let mut child = bench.spawn(&[]);
    bench.send((0..50).map(|at| claim(at, 0)));
    until("not all is decided", || bench.decided().len() == 50);
    until("no snapshot is taken", || !bench.snapshots().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    let said = bench.told();
    assert!(said.contains("going on from the snapshot at 50 decisions"), "{said}");
}

/// A topic that was made anew and is as long has nothing of what was read: the stream does not go on, nor
/// is it exported as its log. With the same records it is the same topic.
#[test]
fn a_topic_that_was_made_anew_is_known_by_the_last_record_that_was_read() {
    let Some(bench) = Bench::new("anew", 1) else { return };
    bench.with_snapshots();
    bench.send((0..60).map(|at| claim(at, 0)));
    let before = bench.stream(&["--once"]);
    bench.make_anew();
    bench.send((100..200).map(|at| claim(at, 0)));
    let said = bench.fails(&["--once"], 3);
    assert!(
        said.contains("has another record at offset 59 than the stream had read there"),
        "{said}"
    );
    let mut export = super::bench::hongxian();
    export.arg("input-log").arg(bench.config()).arg("--out").arg(bench.path("log"));
    assert_eq!(export.output().unwrap().status.code(), Some(3));
    bench.make_anew();
    bench.send((0..60).map(|at| claim(at, 0)));
    let after = bench.stream(&["--once"]);
    assert_eq!(
        (&after["counts"], &after["decisions_digest"]),
        (&before["counts"], &before["decisions_digest"])
    );
    bench.send((60..80).map(|at| claim(at, 0)));
    assert_eq!(bench.stream(&["--once"])["counts"]["decided"], 80);
}

/// A stream of this name, with these settings, whose topics are gone, left snapshots that are no
/// further than this one is now.
#[test]
fn a_snapshot_of_a_stream_that_is_no_more_is_passed_over() {
    let Some(bench) = Bench::new("nomore", 1) else { return };
    bench.with_snapshots();
    bench.send((0..60).map(|at| claim(at, 0)));
    bench.stream(&["--once"]);
    let (snapshots, kept) = (bench.path("snapshots"), bench.path("kept"));
    fs::rename(&snapshots, &kept).unwrap();
    for topic in ["control", "out", "dead"] {
        bench.delete(topic);
    }
    for sent in [60, 90] {
        bench.send((sent..sent + 30).map(|at| claim(at, 0)));
        bench.stream(&["--once"]);
    }
    fs::remove_dir_all(&snapshots).unwrap();
    fs::rename(&kept, &snapshots).unwrap();
    let said = bench.told();
    assert!(said.contains("of one of this name whose topics are gone"), "{said}");
    assert!(!said.contains("going on from the snapshot"), "{said}");
    assert_eq!(bench.decided().len(), 120);
}
