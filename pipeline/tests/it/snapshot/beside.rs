//! Snapshots that are written while the run goes on: they are of the moment at which they were
//! frozen, and whatever becomes of the one that is written, the run and the ones before are there.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hongxian::event::Schema;
use hongxian::run::Session;
use hongxian::snapshot::{Draft, Frozen, Part, State, Store};

use super::sessions::{ENFORCED, decided};
use super::{HOUR, SECOND};
use crate::alerts::{policy, write_rules};
use crate::support::{Ev, START, chunk};

const ACCOUNTS: usize = 300;

/// Claims of many, each of a group and a device that a few share.
fn step(number: usize) -> Vec<Ev> {
    let event = |at: usize| Ev {
        id: format!("e{number}-{at:05}"),
        time: START + number as i64 * HOUR + at as i64 * SECOND / 4,
        kind: ["claim", "transfer"][at % 2],
        account: format!("u{}", (at * 7 + number) % ACCOUNTS),
        counterparty: format!("u{}", (at * 13 + number * 3) % ACCOUNTS),
        group: format!("g{}", at % 90),
        device: format!("d{}", at % 700),
        packet: if at.is_multiple_of(2) { format!("p{}", at % 50) } else { String::new() },
        amount: Some((at % 900) as i64 + 1),
        ..Ev::default()
    };
    (0..ACCOUNTS).map(event).collect()
}

/// A session, and where its snapshots go.
struct Bench {
    directory: tempfile::TempDir,
    session: Session,
    schema: Arc<Schema>,
}

impl Bench {
    fn new(workers: usize) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        write_rules(directory.path(), &format!("{}{ENFORCED}", policy(7_000, "used")), 7);
        let schema = Arc::new(Schema::default());
        let session = Session::with_workers(Some(directory.path()), &schema, workers).unwrap();
        Bench { directory, session, schema }
    }

    fn rules(&self) -> &Path {
        self.directory.path()
    }

    fn store(&self) -> Store {
        Store::new(&self.directory.path().join("snapshots"), 3)
    }

    fn newest(&self) -> Option<(u64, State)> {
        let found = self.store().newest(|_, _| Ok(())).unwrap();
        assert!(found.passed_over.is_empty(), "{:?}", found.passed_over);
        found.snapshot.map(|(number, _, saved)| (number, in_order(saved.read().unwrap())))
    }

    /// Freezes the state; whoever is to write it is stopped.
    fn freeze(&mut self) -> (Draft, Frozen) {
        let draft = self.store().begin().unwrap().stopped();
        let frozen = self.session.freeze(&draft).unwrap();
        assert!(frozen.copied().is_none(), "{:?}", frozen.copied());
        for child in frozen.writers() {
            let state = || fs::read_to_string(format!("/proc/{child}/stat")).unwrap();
            while !state().contains(") T ") {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        (draft, frozen)
    }

    fn finish(&self, number: u64, (draft, frozen): (Draft, Frozen)) -> std::io::Result<u64> {
        let stored = self.store().finish(&draft, number, serde_json::json!("x"), frozen)?;
        Ok(stored.stored)
    }
}

fn feed(session: &mut Session, number: usize) -> String {
    let events = step(number);
    let effective = events.iter().map(|event| event.time).collect();
    session.feed(chunk(&events), effective, events.last().unwrap().time + 1);
    decided(session)
}

fn signal(name: &str, frozen: &Frozen) {
    for child in frozen.writers() {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(child.to_string()).status();
        assert!(sent.unwrap().success());
    }
}

fn in_order(mut state: State) -> State {
    let place = |part: &Part| (part.keeper.clone(), part.number);
    state.parts.sort_by_key(place);
    state
}

/// What is written while steps go on is, to the byte, what was there when it was frozen; and a
/// session that goes on from there decides what the first one went on to decide.
#[test]
fn what_is_written_beside_the_run_is_of_the_moment_it_was_frozen() {
    for workers in [1, 2] {
        let mut bench = Bench::new(workers);
        for number in 0..3 {
            feed(&mut bench.session, number);
        }
        let copied = in_order(bench.session.save().unwrap());
        let frozen = bench.freeze();
        assert_eq!(frozen.1.writers().len(), workers + 1, "each thread has its own");
        let expected: Vec<String> = (3..6).map(|number| feed(&mut bench.session, number)).collect();
        // The control: what was fed meanwhile changes what would be written now.
        let now = in_order(bench.session.save().unwrap());
        assert!(now.until > copied.until && now.parts != copied.parts);
        assert_eq!(bench.newest(), None, "what is not whole is not there");
        signal("CONT", &frozen.1);
        bench.finish(1, frozen).unwrap();
        let (_, written) = bench.newest().unwrap();
        assert_eq!(written.until, copied.until);
        assert!(written == copied, "{workers} workers");
        let saved = bench.store().newest(|_, _| Ok(())).unwrap().snapshot.unwrap().2;
        let mut other = Session::restore(Some(bench.rules()), &bench.schema, 3, saved).unwrap();
        let again: Vec<String> = (3..6).map(|number| feed(&mut other, number)).collect();
        assert!(again == expected, "{workers} workers");
    }
}

/// A child that is killed, and one for which the disk is full: there is no snapshot this time, it is
/// said why, the one before is there, and the run goes on and saves again.
#[test]
fn what_cannot_be_written_leaves_the_one_before() {
    let mut bench = Bench::new(2);
    let mut whole = Bench::new(2);
    let mut lines = String::new();
    lines.push_str(&feed(&mut bench.session, 0));
    let first = bench.freeze();
    signal("CONT", &first.1);
    bench.finish(1, first).unwrap();
    let before = bench.newest();

    lines.push_str(&feed(&mut bench.session, 1));
    let killed = bench.freeze();
    signal("KILL", &killed.1);
    let told = bench.finish(2, killed).unwrap_err().to_string();
    assert!(told.contains("was killed by signal 9"), "{told}");
    assert!(bench.newest() == before);

    lines.push_str(&feed(&mut bench.session, 2));
    let full = bench.freeze();
    for child in full.1.writers() {
        // No file may grow any more, as on a full disk.
        let arguments = ["--pid", &child.to_string(), "--fsize=1:1"];
        assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
    }
    lines.push_str(&feed(&mut bench.session, 3));
    signal("CONT", &full.1);
    let told = bench.finish(3, full).unwrap_err();
    assert_eq!(told.raw_os_error(), Some(27), "too large a file: {told}");
    assert!(bench.newest() == before);
    let left: Vec<_> = fs::read_dir(bench.directory.path().join("snapshots")).unwrap().collect();
    assert_eq!(left.len(), 1, "what was written of it takes up no room: {left:?}");

    let last = bench.freeze();
    signal("CONT", &last.1);
    bench.finish(4, last).unwrap();
    assert_eq!(bench.newest().unwrap().0, 4);
    let expected: String = (0..4).map(|number| feed(&mut whole.session, number)).collect();
    assert!(lines == expected, "nothing of this changes a decision");
}

/// A snapshot that nobody finishes: whoever writes it ends with it.
#[test]
fn writers_end_with_what_they_write() {
    let mut bench = Bench::new(1);
    feed(&mut bench.session, 0);
    let (_draft, frozen) = bench.freeze();
    let writers = frozen.writers();
    drop(frozen);
    for child in writers {
        assert!(!Path::new(&format!("/proc/{child}")).exists());
    }
}
