//! Crashes: whatever call of the disk fails, and whatever of the last writes is lost, a client that
//! sends again what it has not heard of ends where it would have ended without the crash, and what
//! it was told stays true.

use super::*;

use crate::packet::command::{
    Command, Decision, Funding, Next, PerMille, Play, Purse, Resolution, Send, Tie,
};
use crate::packet::journal::memory::Memory;
use crate::packet::journal::{Trust, verify};
use crate::packet::units::{Fen, Span};

/// Requests with their times, in ms from the start, and their ids.
fn story() -> Vec<(i64, String, Command<'static>)> {
    let send = |packet, shares, play| {
        Command::Send(Send {
            account: "ada",
            packet,
            group: None,
            amount: Fen(900),
            shares,
            play,
            funding: Funding::Purse(Purse::Change),
            tilt: PerMille(if packet == "p2" { 100 } else { 0 }),
        })
    };
    let claim = |packet, account| Command::Claim { account, packet, guess: None, tie: Tie::Close };
    let decide = |transaction, decision| Command::Decide {
        transaction,
        decision,
        rules_hash: [1; 32],
        evidence_hash: [2; 32],
    };
    let hold = Decision::Hold { ttl: Span::from_seconds(7_200) };
    let release = |transaction| Command::Resolve {
        transaction,
        resolution: Resolution::Release,
        actor: "lin",
        reason: "known",
    };
    let relay = Play::Relay { next: Next::Luckiest, after: None };
    let commands = [
        (1, "t", Command::TopUp { account: "ada", amount: Fen(5_000) }),
        (1, "s1", send("p1", 3, Play::Lucky)),
        (1, "s2", send("p2", 3, relay)),
        (1, "d1", decide("s1", Decision::Allow)),
        (0, "d2", decide("s2", Decision::Review)),
        (1, "c1", claim("p1", "bo")),
        (0, "c2", claim("p1", "cy")),
        (0, "c3", claim("p2", "bo")),
        (1, "c4", claim("p2", "cy")),
        (1, "c5", claim("p2", "dee")),
        (1, "e1", decide("c1", Decision::Block)),
        (0, "e2", decide("c2", hold)),
        (0, "e3", decide("c3", Decision::Allow)),
        (500, "w", Command::Withdraw { account: "bo", amount: Fen(1) }),
        (60_000, "r", release("c2")),
        (
            0,
            "x",
            Command::Transfer {
                account: "cy",
                to: "bo",
                amount: Fen(9_999),
                funding: Funding::Purse(Purse::Change),
            },
        ),
        (90_000_000, "k", Command::Tick),
        (0, "l", Command::Clear { day: Time::from_ms(START_MS).day() }),
    ];
    let mut at = 0;
    let timed = commands.map(|(later, id, command)| {
        at += later;
        (at, id.to_owned(), command)
    });
    timed.into()
}

const START_MS: i64 = 1_707_480_000_000;
/// Requests of a batch.
const BATCH: usize = 3;

type Disk = Durable<Memory>;

fn open(storage: Memory) -> Result<Disk, DurableError> {
    open_at(storage, Begin::Snapshot).map(|(disk, _)| disk)
}

fn open_at(storage: Memory, begin: Begin) -> Result<(Disk, Opened), DurableError> {
    let (options, secret) = (Options { begin, ..Options::default() }, MasterSecret::new([7; 32]));
    Durable::open(storage, &options, None, &secret)
}

fn signer() -> Signer {
    Signer::new("example.org/test", &[9; 32]).unwrap()
}

/// The first place of a journal that is wrong, executed again.
fn verified(storage: &Memory) -> Result<u64, JournalError> {
    let mut auditor = Auditor::new(MasterSecret::new([7; 32]), ());
    verify(storage, &Trust::default(), Some(&mut auditor)).map(|verified| verified.snapshots)
}

/// Sends the whole story, as far as the disk goes along; `heard` gets the replies that were told.
fn send(disk: &mut Disk, heard: &mut Vec<Reply>, snapshots: bool) -> Result<(), DurableError> {
    let story = story();
    heard.clear();
    let batches = story.chunk_by(|one, next| next.0 - one.0 < 100);
    let batches = batches.flat_map(|near| near.chunks(BATCH));
    for (number, batch) in batches.enumerate() {
        let mut replies = Vec::new();
        disk.begin(Time::from_ms(START_MS + batch[0].0));
        for (_, id, command) in batch {
            replies.push(disk.apply(&Request { id, command: *command }).unwrap());
        }
        disk.commit()?;
        disk.sync()?;
        heard.extend(replies);
        if snapshots && number % 2 == 1 {
            disk.snapshot(&signer())?;
        }
    }
    Ok(())
}

fn without_crash(snapshots: bool) -> (Vec<Reply>, Memory) {
    let mut disk = open(Memory::default()).unwrap();
    let mut heard = Vec::new();
    send(&mut disk, &mut heard, snapshots).unwrap();
    disk.engine().audit();
    let results: Vec<_> = heard.iter().map(|reply| reply.result.is_ok()).collect();
    assert_eq!(results.iter().filter(|done| !**done).count(), 1, "only the overdraft: {heard:?}");
    (heard, disk.journal.into_storage())
}

#[test]
fn after_a_crash_at_any_call_of_the_disk_all_goes_on_as_without_it() {
    for snapshots in [false, true] {
        let (expected, whole) = without_crash(snapshots);
        let mut crashes = 0;
        for call in ["create", "append", "sync", "rename", "sync_directory", "remove"] {
            let calls = whole.calls.iter().filter(|(name, _)| *name == call).count();
            for (good, torn) in (0..calls).flat_map(|good| [(good, 0), (good, 50)]) {
                let mut storage = Memory::default();
                (storage.fails, storage.torn_bytes) = (Some((call, good)), torn);
                let mut heard = Vec::new();
                // The machine crashes with all that was not synced, or the process alone does.
                let (crashed, survived) = match open(storage.clone()) {
                    // The failure hit the making of the journal itself.
                    Err(_) => continue,
                    Ok(mut disk) => {
                        let failed = send(&mut disk, &mut heard, snapshots).is_err();
                        assert!(failed, "{call} {good} failed and nobody was told");
                        let mut survived = disk.journal.into_storage();
                        survived.fails = None;
                        (survived.crashed(), survived)
                    }
                };
                for disk in [crashed, survived] {
                    let mut disk = open(disk).unwrap();
                    let mut again = Vec::new();
                    send(&mut disk, &mut again, false).unwrap();
                    assert_eq!(again, expected, "{call} {good}");
                    assert_eq!(again[..heard.len()], heard, "what was told stays true");
                    disk.engine().audit();
                    crashes += 1;
                }
            }
        }
        assert!(crashes > 30, "{crashes} crashes");
    }
}

#[test]
fn a_journal_cut_at_any_byte_goes_on_as_if_it_had_not_been() {
    let (expected, whole) = without_crash(false);
    let name = whole.files.keys().find(|name| name.ends_with(".log")).unwrap().clone();
    // The first batch says what engine this is: without it a new journal is begun.
    for length in 0..=whole.files[&name].len() {
        let mut cut = whole.clone();
        cut.file(&name).truncate(length);
        let mut disk = open(cut).unwrap();
        let mut again = Vec::new();
        send(&mut disk, &mut again, false).unwrap();
        assert_eq!(again, expected, "cut at {length}");
    }
}

#[test]
fn a_snapshot_shortens_what_is_executed_again_and_changes_nothing() {
    let (expected, whole) = without_crash(true);
    assert_eq!(verified(&whole).unwrap(), 2, "what is written is what executing it comes to");
    let (mut disk, opened) = open_at(whole, Begin::Snapshot).unwrap();
    assert!(opened.snapshot.is_some() && opened.replayed < 3, "{opened:?}");
    disk.engine().audit();
    let mut again = Vec::new();
    send(&mut disk, &mut again, false).unwrap();
    assert_eq!(again, expected);
}

/// Whoever can write to the directory can write the state of another engine, hash and all.
#[test]
fn a_false_state_is_believed_at_a_snapshot_alone_and_found_by_executing_the_journal() {
    let (_, whole) = without_crash(false);
    let (mut honest, _) = open_at(whole, Begin::First).unwrap();
    let expected = honest.executor.state();
    let mut richer = open(Memory::default()).unwrap();
    send(&mut richer, &mut Vec::new(), false).unwrap();
    richer.begin(richer.engine().clock());
    let command = Command::TopUp { account: "bo", amount: Fen(1_000) };
    richer.apply(&Request { id: "more", command }).unwrap();
    richer.commit().unwrap();
    let mark = honest.journal.mark().unwrap();
    honest.journal.write_snapshot(&mark, &richer.executor.state(), &signer()).unwrap();
    let forged = honest.journal.into_storage();

    let (disk, opened) = open_at(forged.clone(), Begin::Snapshot).unwrap();
    assert!(opened.snapshot.is_some() && disk.executor.state() != expected);
    let (disk, opened) = open_at(forged.clone(), Begin::First).unwrap();
    assert_eq!((opened.snapshot, opened.replayed), (None, mark.batch().0));
    assert!(disk.executor.state() == expected, "no snapshot is believed");
    match verified(&forged).unwrap_err() {
        JournalError::Damage(damage) => {
            assert_eq!(damage.fault.code(), "snapshot-state");
            assert!(damage.file.starts_with("snapshot-"), "{damage}");
        }
        error => panic!("{error}"),
    }
}

/// No journal gets a batch of repeats, so it may leave nothing in the state either: what it had moved
/// would be missing where the journal is executed again.
#[test]
fn a_batch_in_which_nothing_happens_leaves_no_trace() {
    let (_, whole) = without_crash(true);
    let mut disk = open(whole).unwrap();
    let (clock, batches) = (disk.engine().clock(), disk.journal().next());
    let (_, id, command) = story().remove(17);
    let later = Time::from_ms(START_MS + 40 * 86_400_000);
    for (id, command, batch) in [(&*id, command, 0), ("new", Command::Tick, 1)] {
        disk.begin(later);
        disk.apply(&Request { id, command }).unwrap();
        disk.commit().unwrap();
        disk.sync().unwrap();
        disk.snapshot(&signer()).unwrap();
        assert_eq!(disk.engine().clock(), if batch == 0 { clock } else { later });
        assert_eq!(disk.journal().next().0, batches.0 + batch);
    }
    let state = disk.executor.state();
    let storage = disk.journal.into_storage();
    assert_eq!(verified(&storage).unwrap(), 2);
    for begin in [Begin::First, Begin::Snapshot] {
        let (disk, _) = open_at(storage.clone(), begin).unwrap();
        assert!(disk.executor.state() == state, "{begin:?}");
    }
}

#[test]
fn another_secret_and_other_limits_are_refused() {
    let (_, whole) = without_crash(false);
    let options = Options::default();
    let other = MasterSecret::new([8; 32]);
    let opened = Durable::open(whole.clone(), &options, None, &other);
    assert!(matches!(opened, Err(DurableError::SecretDiffers)));
    let limits = Limits { shares_max: 7, ..Limits::default() };
    let secret = MasterSecret::new([7; 32]);
    let opened = Durable::open(whole, &options, Some(limits), &secret);
    assert!(matches!(opened, Err(DurableError::LimitsDiffer)));
}

#[test]
fn an_outcome_that_is_not_the_engines_is_found_when_it_is_executed_again() {
    let (_, whole) = without_crash(false);
    // Whoever writes the journal could write another amount into it, hashes and all.
    let mut forged = Journal::open(Memory::default(), &Options::default()).unwrap().0;
    let (honest, _) = Journal::open(whole, &Options::default()).unwrap();
    let mut batches = honest.batches_from(crate::packet::journal::ids::BatchNumber(0)).unwrap();
    let mut changed = false;
    while let Some((header, body)) = batches.next_batch().unwrap() {
        let mut body = body.to_vec();
        let top_up = b"\x03ada\x88\x27";
        if let Some(at) = body.windows(top_up.len()).position(|bytes| bytes == top_up) {
            body[at + top_up.len() - 1] -= 1;
            changed = true;
        }
        let batch = Batch {
            first_sequence: header.first_sequence,
            count: header.count,
            time: header.time,
            body: &body,
            touched: &[],
        };
        forged.append(&batch).unwrap();
    }
    assert!(changed, "5,000 fen for ada stand in the journal");
    forged.sync().unwrap();
    let opened = open(forged.into_storage());
    assert!(matches!(opened, Err(DurableError::Differs { .. })), "{:?}", opened.err());
}

#[test]
fn a_clock_that_has_gone_back_since_the_last_run_stands_still() {
    let (heard, whole) = without_crash(false);
    let mut disk = open(whole).unwrap();
    disk.begin(Time::from_ms(START_MS - 3_600_000));
    let reply = disk.apply(&Request { id: "later", command: Command::Tick }).unwrap();
    disk.commit().unwrap();
    disk.sync().unwrap();
    assert!(reply.time > heard.last().unwrap().time);
    open(disk.journal.into_storage()).unwrap().engine().audit();
}
