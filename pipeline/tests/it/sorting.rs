//! Events that do not fit in memory are sorted on disk, and nothing but that can be told from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use hongxian::diagnostic::Failure;
use hongxian::event::{Chunk, Position, Schema};
use hongxian::run::{self, Events, ModelPaths, Outcome, Request, SORT_MEMORY};
use hongxian::source::order::{Arrivals, Ordered, SortMemory, Sorter};
use proptest::prelude::*;

use super::digest::read_parquet;
use super::support::{Ev, START, chunk, features, job_of, options, workspace};

/// The dedup window of random events, in ms; their times lie within four of it.
const WINDOW: i64 = 10;

/// An event with few ids, times and bodies, so that they meet, and by how much it is late.
fn event() -> impl Strategy<Value = (Ev, i64)> {
    let seq = prop_oneof![Just(None), (-1..2_i64).prop_map(Some)];
    (0..24_u8, 0..4 * WINDOW, seq, 0..2_i64, any::<bool>(), 0..3 * WINDOW).prop_map(
        |(id, time, seq, amount, claim, late)| {
            let ev = Ev {
                id: format!("e{id}"),
                time: START + time,
                kind: if claim { "claim" } else { "message" },
                account: "u".to_owned(),
                counterparty: if claim { "s".to_owned() } else { String::new() },
                group: "g".to_owned(),
                packet: if claim { "p".to_owned() } else { String::new() },
                amount: claim.then_some(amount),
                seq,
                text: "恭喜发财".repeat(amount as usize),
                ..Ev::default()
            };
            // Most come in time.
            (ev, (late - WINDOW).max(0))
        },
    )
}

/// Up to so many events, and as many that repeat one of them, come when they may.
fn events(most: usize) -> impl Strategy<Value = Vec<(Ev, i64)>> {
    let repeats = prop::collection::vec((any::<prop::sample::Index>(), 0..WINDOW), 0..most);
    (prop::collection::vec(event(), 1..most), repeats)
        .prop_map(|(mut events, repeats)| {
            for (of, late) in repeats {
                let (ev, _) = of.get(&events).clone();
                events.push((ev, late / 4));
            }
            events
        })
        .prop_shuffle()
}

/// A part of the events as a chunk, with their effective times.
type Part = (Chunk, Option<Vec<i64>>);

/// The events in parts of up to so many, each event with its place in the whole.
fn parts(events: &[(Ev, i64)], rows: usize, late: bool) -> Vec<Part> {
    let evs: Vec<Ev> = events.iter().map(|(ev, _)| ev.clone()).collect();
    let whole = [Arc::new(chunk(&evs))];
    let schema = whole[0].schema().clone();
    let places: Vec<(u32, u32)> = (0..evs.len() as u32).map(|row| (0, row)).collect();
    let times: Vec<i64> = events.iter().map(|(ev, late)| ev.time + late).collect();
    places
        .chunks(rows)
        .zip(times.chunks(rows))
        .map(|(rows, times)| (Chunk::gather(&schema, &whole, rows), late.then(|| times.to_vec())))
        .collect()
}

fn in_memory(parts: Vec<Part>) -> Ordered {
    let (chunks, times): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let arrivals = Arrivals {
        chunks: chunks.into_iter().map(Arc::new).collect(),
        effective: times.into_iter().collect(),
    };
    Ordered::new(Arc::new(Schema::default()), arrivals, WINDOW, true)
}

fn on_disk(parts: Vec<Part>, bytes: usize, folder: &Path) -> Ordered {
    let memory = SortMemory { bytes, folder: folder.to_owned() };
    let mut sorter = Sorter::new(Arc::new(Schema::default()), Some(memory));
    for (chunk, effective) in parts {
        sorter.push(chunk, effective).unwrap();
    }
    sorter.finish(WINDOW, &|| false).unwrap()
}

/// What stands at a place of the order.
type Row = (serde_json::Value, Position, i64, bool);

fn rows(ordered: &Ordered, size: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for start in (0..ordered.len()).step_by(size) {
        let range = start..(start + size).min(ordered.len());
        let slice = ordered.slice(range.clone(), 3).unwrap();
        assert_eq!((slice.first, slice.step), (start as u64, 3));
        assert_eq!((slice.chunk.len(), slice.effective.len()), (range.len(), range.len()));
        rows.extend((0..range.len()).map(|row| {
            let (chunk, time) = (&slice.chunk, slice.effective[row]);
            (chunk.to_json(row), chunk.position(row), time, slice.late(row))
        }));
    }
    rows
}

fn assert_same(disk: &Ordered, memory: &Ordered) {
    assert_eq!((disk.len(), disk.is_empty()), (memory.len(), memory.is_empty()));
    assert_eq!((disk.start(), disk.end()), (memory.start(), memory.end()));
    assert_eq!(disk.duplicates, memory.duplicates);
    assert_eq!(disk.refused, memory.refused);
    let all = rows(memory, 1_000);
    for size in [1, 3, 17, 1_000] {
        assert_eq!(rows(disk, size), all, "slices of {size}");
    }
    let cuts = [START + 5, START + 2 * WINDOW];
    for (tick, batch) in [(1, 1), (7, 5), (1_000, 3)] {
        assert_eq!(disk.steps(tick, batch, &cuts), memory.steps(tick, batch, &cuts));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Repeated ids, bodies that differ at one place of the order, ids that come too late, and runs
    /// enough to be merged early: all is as in memory.
    #[test]
    fn what_is_sorted_on_disk_is_as_in_memory(
        events in events(80),
        rows in 1..40_usize,
        late: bool,
        bytes in prop_oneof![Just(0), 1_usize..20_000],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let memory = in_memory(parts(&events, rows, late));
        prop_assert!(memory.on_disk.is_none());
        let disk = on_disk(parts(&events, rows, late), bytes, folder.path());
        if bytes == 0 {
            let found = disk.on_disk.unwrap();
            prop_assert_eq!(found.events, events.len() as u64);
            prop_assert_eq!(found.runs, events.len().div_ceil(rows) as u64);
        }
        assert_same(&disk, &memory);
        // Whatever the order in which they came, too.
        let backwards = parts(&events, rows, late).into_iter().rev().collect();
        assert_same(&on_disk(backwards, 0, folder.path()), &memory);
        prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

/// Five hundred events, enough for several blocks.
fn logins() -> Vec<(Ev, i64)> {
    let event = |at: i64| {
        let (id, account) = (format!("e{at}"), "u".to_owned());
        (Ev { id, time: START + at, kind: "login", account, ..Ev::default() }, 0)
    };
    (0..500).map(event).collect()
}

/// Ctrl-C ends the sort, too.
#[test]
fn a_sort_can_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let memory = SortMemory { bytes: 0, folder: folder.path().to_owned() };
    let mut sorter = Sorter::new(Arc::new(Schema::default()), Some(memory));
    for (chunk, effective) in parts(&logins(), 100, false) {
        sorter.push(chunk, effective).unwrap();
    }
    let ended = sorter.finish(WINDOW, &|| true);
    assert!(matches!(ended, Err(Failure::Interrupted)), "it went on");
}

/// The events of random runs do what their test is about.
#[test]
fn the_random_events_meet() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut found: BTreeMap<&str, u64> = BTreeMap::new();
    for _ in 0..20 {
        let many = events(80).new_tree(&mut runner).unwrap().current();
        let ordered = in_memory(parts(&many, 10, true));
        for refused in &ordered.refused {
            *found.entry(refused.code.name()).or_default() += 1;
        }
        *found.entry("duplicate").or_default() += ordered.duplicates;
        *found.entry("kept").or_default() += ordered.len() as u64;
    }
    for what in ["duplicate", "id_conflict", "kept", "too_old"] {
        assert!(found.get(what).is_some_and(|count| *count > 20), "{what} in {found:?}");
    }
}

/// A file that was cut off meanwhile ends the run with an error, and the workers do not wait for the
/// one that found out. The file has no name but the one that the system gives its descriptor.
#[cfg(target_os = "linux")]
#[test]
fn a_damaged_file_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let sorted = on_disk(parts(&logins(), 100, false), 0, folder.path());
    let job = job_of(sorted, features(Vec::new(), None));
    let decide = || hongxian::backtest::decide(&job, options(3, 1, 50));
    assert_eq!(decide().unwrap().0.events, 500);
    let mut damaged = 0;
    for descriptor in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        if fs::read_link(descriptor.path()).is_ok_and(|file| file.starts_with(folder.path())) {
            let file = fs::OpenOptions::new().write(true).open(descriptor.path()).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1, "runs are gone once they are merged");
    let said = decide().map(|_| ()).expect_err("half of the events are gone");
    assert!(said.starts_with("cannot read back the events"), "{said}");
    assert!(said.contains(&folder.path().display().to_string()), "{said}");
}

/// A run of the shipped rules.
fn backtest(workers: usize, sort_memory: usize, out: &Path) -> Outcome {
    let request = Request {
        events: Events::Files {
            paths: vec![workspace().join("fixtures/populations/new-year/events.parquet")],
            maps: Vec::new(),
        },
        pseudonyms: None,
        labels: None,
        rules: Some(workspace().join("bench/batch-job")),
        models: ModelPaths::default(),
        out: out.to_owned(),
        options: options(workers, 1_000, 32_768),
        warmup: 0,
        rejects_max: None,
        sort_memory,
        place: None,
    };
    run::run(&request, &(), Default::default()).unwrap_or_else(|failure| panic!("{failure:?}"))
}

#[test]
fn a_run_over_more_than_fits_in_memory_writes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let memory = backtest(2, SORT_MEMORY, &out("memory"));
    assert!(memory.metrics["sorted_on_disk"].is_null());
    let listing = |name: &str| {
        let mut names: Vec<_> =
            fs::read_dir(out(name)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    for (workers, name) in [(1, "one"), (3, "three")] {
        let disk = backtest(workers, 4 << 20, &out(name));
        let sorted = disk.facts.sorted_on_disk.expect("it does not fit");
        assert!(sorted.runs > 2, "{sorted:?}");
        assert_eq!(disk.metrics["sorted_on_disk"]["events"], disk.facts.counts.read);
        assert_eq!(disk.facts.decisions_digest, memory.facts.decisions_digest);
        assert_eq!(disk.facts.counts, memory.facts.counts);
        let read = |name: &str, file: &str| fs::read(out(name).join(file)).unwrap();
        assert_eq!(read(name, "rejects.jsonl"), read("memory", "rejects.jsonl"));
        let features = |name: &str| read_parquet(&out(name).join("features.parquet"));
        assert_eq!(features(name), features("memory"));
        assert_eq!(listing(name), listing("memory"), "nothing of the sort is left");
    }
}

/// A disk that takes no more ends the program with exit code 3, and says which disk.
#[test]
fn a_full_disk_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let events = workspace().join("fixtures/populations/new-year/events.parquet");
    // A limit on the size of files stands for the end of the disk; in blocks of 512 bytes or more.
    let limited = "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_hongxian"), "backtest"]).arg(events);
    command.arg("--rules").arg(workspace().join("bench/batch-job")).arg("--out").arg(&out);
    let output = command.args(["--sort-memory", "4MiB", "--lang", "en"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("cannot sort events on disk in"), "{told}");
    assert!(told.contains(&out.display().to_string()), "{told}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "nothing of the sort is left");
}
