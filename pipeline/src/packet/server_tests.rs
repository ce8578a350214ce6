//! What is told is on disk, whatever fails, and the engine does not wait for the disk.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;
use crate::packet::command::{Command, Decision, Funding, PerMille, Play, Purse, Send, Tie};
use crate::packet::draw::MasterSecret;
use crate::packet::durable::{Auditor, Opened};
use crate::packet::journal::memory::Memory;
use crate::packet::journal::{Begin, Directory, Options, Trust, verify};
use crate::packet::units::Fen;

const START_MS: i64 = 1_707_480_000_000;
const PACKETS: u32 = 12;

/// A disk that stays when the server is gone.
#[derive(Clone, Default)]
struct Shared {
    disk: Arc<Mutex<Memory>>,
    /// A sync waits for a word through this, where there is one.
    gate: Option<Arc<Mutex<Receiver<()>>>>,
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Memory) -> T) -> T {
        act(&mut self.disk.lock().unwrap())
    }

    /// What is left when the machine crashes now.
    fn crashed(&self) -> Memory {
        self.with(|disk| disk.crashed())
    }
}

impl Storage for Shared {
    fn list(&self) -> std::io::Result<Vec<String>> {
        self.with(|disk| disk.list())
    }
    fn len(&self, name: &str) -> std::io::Result<u64> {
        self.with(|disk| disk.len(name))
    }
    fn read(&self, name: &str) -> std::io::Result<Vec<u8>> {
        self.with(|disk| disk.read(name))
    }
    fn read_range(&self, name: &str, offset: u64, bytes: usize) -> std::io::Result<Vec<u8>> {
        self.with(|disk| disk.read_range(name, offset, bytes))
    }
    fn create(&mut self, name: &str) -> std::io::Result<()> {
        self.with(|disk| disk.create(name))
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.with(|disk| disk.append(name, bytes))
    }
    fn sync(&mut self, name: &str) -> std::io::Result<()> {
        if let Some(gate) = &self.gate {
            let word = gate.lock().unwrap().recv_timeout(Duration::from_secs(20));
            word.expect("the next batch is executed while this one is synced");
        }
        self.with(|disk| disk.sync(name))
    }
    fn truncate(&mut self, name: &str, bytes: u64) -> std::io::Result<()> {
        self.with(|disk| disk.truncate(name, bytes))
    }
    fn rename(&mut self, from: &str, to: &str) -> std::io::Result<()> {
        self.with(|disk| disk.rename(from, to))
    }
    fn remove(&mut self, name: &str) -> std::io::Result<()> {
        self.with(|disk| disk.remove(name))
    }
    fn sync_directory(&mut self) -> std::io::Result<()> {
        self.with(|disk| disk.sync_directory())
    }
}

/// Packets of three shares with their claims and decisions: a batch of commands for each packet,
/// and one at the end in which only the clock moves on.
fn batches() -> Vec<Vec<(String, Command<'static>)>> {
    let mut batches =
        vec![vec![("t".to_owned(), Command::TopUp { account: "ada", amount: Fen(50_000) })]];
    for packet in 0..PACKETS {
        let name: &'static str = Box::leak(format!("p{packet}").into_boxed_str());
        let sent: &'static str = Box::leak(format!("s{packet}").into_boxed_str());
        let send = Send {
            account: "ada",
            packet: name,
            group: None,
            amount: Fen(700),
            shares: 3,
            play: Play::Lucky,
            funding: Funding::Purse(Purse::Change),
            tilt: PerMille(0),
        };
        let decide = Command::Decide {
            transaction: sent,
            decision: Decision::Allow,
            rules_hash: [1; 32],
            evidence_hash: [2; 32],
        };
        let mut batch =
            vec![(sent.to_owned(), Command::Send(send)), (format!("d{packet}"), decide)];
        batch.extend([(1, "bo"), (2, "cy"), (3, "bo")].map(|(at, account)| {
            let tie = Tie::None;
            let id = format!("c{packet}-{at}");
            (id, Command::Claim { account, packet: name, guess: None, tie })
        }));
        batches.push(batch);
    }
    batches
}

fn clock(batch: usize) -> Time {
    Time::from_ms(START_MS + 10 * batch as i64)
}

fn durable<S: Storage>(storage: S, begin: Begin) -> Result<(Durable<S>, Opened), DurableError> {
    let options = Options { begin, ..Options::default() };
    Durable::open(storage, &options, None, &MasterSecret::new([7; 32]))
}

fn signer() -> Signer {
    Signer::new("example.org/test", &[9; 32]).unwrap()
}

/// No checkpoint because time has passed.
fn ever() -> Pace {
    Pace { checkpoint_still: Duration::MAX, checkpoint_latest: Duration::MAX, ..Pace::default() }
}

/// Sends all batches to a server, and stops where it does.
fn send(server: &mut Server<Vec<Reply>>) -> Result<(), ServerError> {
    for (number, batch) in batches().iter().enumerate() {
        let requests: Vec<Request<'_>> =
            batch.iter().map(|(id, command)| Request { id, command: *command }).collect();
        let mut replies = Vec::new();
        server.begin(clock(number));
        server.execute(&requests, None, |_, reply, _| replies.push(reply.unwrap()));
        server.end();
        server.tell(replies)?;
    }
    Ok(())
}

/// The replies without threads and without a crash.
fn expected() -> Vec<Reply> {
    let (mut disk, _) = durable(Memory::default(), Begin::First).unwrap();
    resend(&mut disk)
}

fn resend(disk: &mut Durable<Memory>) -> Vec<Reply> {
    let mut replies = Vec::new();
    for (number, batch) in batches().iter().enumerate() {
        disk.begin(clock(number));
        for (id, command) in batch {
            replies.push(disk.apply(&Request { id, command: *command }).unwrap());
        }
        disk.commit().unwrap();
        disk.sync().unwrap();
    }
    disk.engine().audit();
    replies
}

#[test]
fn what_is_told_is_on_disk_whatever_call_of_the_disk_fails() {
    let expected = expected();
    let pace = Pace { snapshot_commands: 20, checkpoint_batches: 4, ..ever() };
    let mut failures = 0;
    for beside in [false, true] {
        for call in ["create", "append", "sync", "rename", "sync_directory", "remove"] {
            for good in 0.. {
                let shared = Shared::default();
                let (disk, _) = durable(shared.clone(), Begin::First).unwrap();
                shared.with(|disk| (disk.fails, disk.torn_bytes) = (Some((call, good)), 60));
                let heard = Arc::new(Mutex::new(Vec::new()));
                let (told, watched) = (heard.clone(), shared.clone());
                let tell = move |replies: Vec<Reply>| {
                    let mut told = told.lock().unwrap();
                    told.extend(replies);
                    // Even if the machine crashes at this very moment.
                    let (left, _) = durable(watched.crashed(), Begin::First).unwrap();
                    assert!(left.engine().commands() >= told.len() as u64);
                    Ok(())
                };
                let other = beside.then(|| shared.clone());
                let mut server = Server::durable(disk, other, signer(), pace, tell);
                let sent = send(&mut server);
                let done = sent.and_then(|()| server.finish());
                let heard = heard.lock().unwrap().clone();
                if done.is_ok() {
                    assert_eq!(heard, expected, "nothing failed");
                    break;
                }
                failures += 1;
                for begin in [Begin::First, Begin::Snapshot] {
                    let (mut disk, _) = durable(shared.crashed(), begin).unwrap();
                    let again = resend(&mut disk);
                    assert_eq!(again, expected, "{call} {good}");
                    assert_eq!(again[..heard.len()], heard, "{call} {good}: told");
                }
            }
        }
    }
    assert!(failures > 40, "{failures} failures");
}

#[test]
fn the_next_batch_is_executed_while_one_is_on_its_way_to_disk() {
    let (open, gate) = channel();
    let shared = Shared::default();
    let (disk, _) = durable(shared.clone(), Begin::First).unwrap();
    let (_, mut journal) = disk.into_parts();
    journal.checkpoint(&signer()).unwrap();
    drop(journal);
    let gated = Shared { gate: Some(Arc::new(Mutex::new(gate))), ..shared };
    // Opening syncs once.
    open.send(()).unwrap();
    let (disk, _) = durable(gated, Begin::First).unwrap();
    let (heard, told) = channel();
    let tell = move |replies: Vec<Reply>| heard.send(replies).map_err(std::io::Error::other);
    let mut server = Server::durable(disk, None, signer(), ever(), tell);
    let mut before = server.engine().commands();
    for (number, batch) in batches().iter().enumerate().take(2) {
        server.begin(clock(number));
        for (id, command) in batch {
            server.execute(&[Request { id, command: *command }], None, |_, reply, _| {
                assert!(reply.is_ok());
            });
        }
        server.end();
        server.tell(Vec::new()).unwrap();
        assert!(server.engine().commands() > before, "batch {number} is executed");
        before = server.engine().commands();
        assert!(told.try_recv().is_err(), "and nobody is told of it");
    }
    // One sync each at most, and one for the checkpoint.
    (0..8).for_each(|_| open.send(()).unwrap());
    server.finish().unwrap();
    assert_eq!(told.iter().count(), 2);
}

#[test]
fn a_snapshot_written_beside_is_where_the_next_run_begins() {
    let place = tempfile::tempdir().unwrap();
    let storage = Directory::open(place.path()).unwrap();
    let beside = storage.beside();
    let (disk, _) = durable(storage, Begin::First).unwrap();
    let pace = Pace { snapshot_commands: 10, checkpoint_batches: 1_000, ..ever() };
    let mut server = Server::durable(disk, Some(beside), signer(), pace, |_| Ok(()));
    send(&mut server).unwrap();
    server.finish().unwrap();

    let read = || Directory::read_only(place.path()).unwrap();
    let snapshots = read().list().unwrap();
    let snapshots = snapshots.iter().filter(|name| name.starts_with("snapshot-")).count();
    assert!((1..=2).contains(&snapshots), "{snapshots} snapshots are kept");
    let open = |begin| durable(Directory::open(place.path()).unwrap(), begin).unwrap();
    let state = |disk: Durable<Directory>| disk.into_parts().0.state();
    let (disk, opened) = open(Begin::Snapshot);
    assert!(opened.snapshot.is_some());
    assert!(opened.replayed < u64::from(PACKETS), "{} executed again", opened.replayed);
    assert_eq!(opened.recovery.checked_from.0, opened.snapshot.unwrap());
    let from_snapshot = state(disk);
    // With the snapshots taken away everything is executed again.
    for name in read().list().unwrap().iter().filter(|name| name.starts_with("snapshot-")) {
        std::fs::remove_file(place.path().join(name)).unwrap();
    }
    let (disk, opened) = open(Begin::First);
    assert_eq!(opened.replayed, u64::from(PACKETS) + 1);
    assert!(state(disk) == from_snapshot, "the same state, byte for byte");

    let trust = Trust { key: Some(signer().public().clone()), ..Trust::default() };
    let mut auditor = Auditor::new(MasterSecret::new([7; 32]), ());
    let verified = verify(&read(), &trust, Some(&mut auditor)).unwrap();
    assert_eq!(verified.commands as usize, batches().concat().len());
}

#[test]
fn who_keeps_no_journal_is_told_at_once() {
    let (heard, told) = channel();
    let tell = move |replies: Vec<Reply>| heard.send(replies).map_err(std::io::Error::other);
    let engine = Engine::new(Default::default(), MasterSecret::new([7; 32]));
    let mut server = Server::forgetful(engine, tell);
    send(&mut server).unwrap();
    server.finish().unwrap();
    assert_eq!(told.iter().flatten().collect::<Vec<_>>(), expected());
}

/// What was told a moment ago is under a checkpoint though nothing else comes: a byte of it that is
/// changed is not taken for what a crash left unfinished.
#[test]
fn what_was_told_has_a_checkpoint_soon_and_cannot_be_changed_unseen() {
    let place = tempfile::tempdir().unwrap();
    let (disk, _) = durable(Directory::open(place.path()).unwrap(), Begin::First).unwrap();
    let pace = Pace { checkpoint_still: Duration::from_millis(20), ..ever() };
    let mut server = Server::durable(disk, None, signer(), pace, |_| Ok(()));
    send(&mut server).unwrap();
    let is_seen = || {
        let copy = tempfile::tempdir().unwrap();
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(place.path()).unwrap().map(Result::unwrap) {
            let to = copy.path().join(entry.file_name());
            std::fs::copy(entry.path(), &to).unwrap();
            segments.extend(to.extension().is_some_and(|kind| kind == "log").then_some(to));
        }
        let last = segments.iter().max().unwrap();
        let mut bytes = std::fs::read(last).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(last, bytes).unwrap();
        verify(&Directory::read_only(copy.path()).unwrap(), &Trust::default(), None).is_err()
    };
    let soon = (0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        is_seen()
    });
    assert!(soon, "while the server goes on");
    server.finish().unwrap();
}
