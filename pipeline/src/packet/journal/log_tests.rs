//! The journal as its caller uses it: append, sync, read again, fail.

use super::super::ids::Head;
use super::super::memory::Memory;
use super::super::storage::Directory;
use super::super::toy::{Toy, append, body, journal, options, signer};
use super::*;

fn open(storage: Memory) -> Journal<Memory> {
    Journal::open(storage, &options()).unwrap().0
}

#[test]
fn what_was_appended_is_read_from_any_batch_on() {
    let journal = open(journal(20));
    assert!(journal.storage().files.len() > 4, "several segments are read");
    for first in 0..=20 {
        let mut batches = journal.batches_from(BatchNumber(first)).unwrap();
        for batch in (first..20).map(BatchNumber) {
            let (header, found) = batches.next_batch().unwrap().unwrap();
            assert_eq!((header.batch, found), (batch, &body(batch)[..]));
            assert_eq!(journal.hash_of(batch).unwrap(), header.hash);
        }
        assert!(batches.next_batch().unwrap().is_none());
    }
    assert!(matches!(
        journal.batches_from(BatchNumber(21)).unwrap_err(),
        JournalError::NoSuchBatch(BatchNumber(21))
    ));
    assert!(journal.hash_of(BatchNumber(20)).is_err());
    let tree = journal.log_tree().unwrap();
    assert_eq!((tree.size(), tree.root_at(20)), (20, Some(journal.root())));
}

#[test]
fn a_journal_goes_on_after_opening_as_if_it_had_not_ended() {
    let whole = open(journal(12));
    let (mut first, mut toy) = (open(Memory::default()), Toy::default());
    for batch in (0..12).map(BatchNumber) {
        append(&mut first, &mut toy, &body(batch));
        first.sync().unwrap();
        first = open(first.into_storage());
    }
    assert_eq!(first.hash(), whole.hash());
    assert_eq!(first.root(), whole.root());
    assert_eq!(first.storage().files, whole.storage().files);
}

#[test]
fn segments_are_as_small_as_asked_for_and_named_after_their_first_batch() {
    let journal = open(journal(20));
    let mut walk = Walk::all(journal.storage(), Depth::Headers).unwrap();
    while let Some(found) = walk.next().unwrap() {
        if found.offset == 0 {
            assert_eq!(found.segment, segment_name(found.header.batch));
        }
    }
    assert!(journal.storage().files.values().all(|file| file.len() <= 600));
    let name = "batches-00000000000000000000.log";
    assert!(journal.storage().files.contains_key(name));
}

#[test]
fn a_frame_says_what_was_durable_when_it_was_written() {
    let mut journal = Journal::open(Memory::default(), &Options::default()).unwrap().0;
    let mut toy = Toy::default();
    let durable: Vec<u64> = (0..6)
        .map(|batch| {
            let header = append(&mut journal, &mut toy, &body(BatchNumber(batch)));
            if batch % 2 == 1 {
                assert_eq!(journal.sync().unwrap(), header.batch.next());
            }
            header.durable.0
        })
        .collect();
    assert_eq!(durable, [0, 0, 2, 2, 4, 4]);
    assert_eq!(journal.durable(), journal.next());

    let (mut journal, mut toy) = (open(Memory::default()), Toy::default());
    for batch in (0..9).map(BatchNumber) {
        let header = append(&mut journal, &mut toy, &body(batch));
        let begins = journal.storage().files.contains_key(&segment_name(batch));
        assert!(!begins || header.durable == batch, "a new segment is a sync of the old one");
    }
}

#[test]
fn one_sync_serves_several_batches_and_none_is_made_for_nothing() {
    let mut journal = Journal::open(Memory::default(), &Options::default()).unwrap().0;
    let mut toy = Toy::default();
    for batch in (0..5).map(BatchNumber) {
        append(&mut journal, &mut toy, &body(batch));
    }
    for _ in 0..3 {
        journal.sync().unwrap();
    }
    let syncs = journal.storage().calls.iter().filter(|(call, _)| *call == "sync").count();
    assert_eq!(syncs, 1);
}

#[test]
fn a_segment_is_durable_before_the_next_has_a_name() {
    let (mut journal, mut toy) = (open(Memory::default()), Toy::default());
    for batch in (0..9).map(BatchNumber) {
        append(&mut journal, &mut toy, &body(batch));
    }
    let storage = journal.storage();
    let mut names: Vec<_> = storage.files.keys().collect();
    assert!(names.len() > 2);
    names.pop();
    for name in names {
        assert_eq!(storage.synced[name], storage.files[name], "{name}");
    }
    let calls: Vec<_> = storage.calls.iter().map(|(call, _)| *call).collect();
    let made = calls.iter().rposition(|call| *call == "create").unwrap();
    assert_eq!(calls[made - 1..made + 3], ["sync", "create", "sync_directory", "append"]);
}

#[test]
fn a_batch_that_does_not_fit_is_refused_and_nothing_is_written() {
    let mut journal = open(journal(3));
    let before = journal.storage().files.clone();
    let next = journal.next_sequence().unwrap();
    let good = Batch { first_sequence: next, count: 1, time: Time(9000), body: b"x", touched: &[] };
    let long = [b'p'; PACKET_BYTES_MAX + 1];
    let too_long = [Touched { packet: &long, head: Head([0; 32]), claims: 0 }];
    let body = vec![0; BODY_BYTES_MAX + 1];
    let refused = |journal: &mut Journal<Memory>, batch: Batch<'_>| {
        journal.append(&batch).unwrap_err().to_string()
    };
    let journal = &mut journal;
    let again = Batch { first_sequence: Seq(next.0 - 1), ..good };
    assert!(refused(journal, again).contains("begins with command"));
    assert!(refused(journal, Batch { time: Time(1), ..good }).contains("applied at 1"));
    assert!(refused(journal, Batch { body: &body, ..good }).contains("longer than"));
    assert!(refused(journal, Batch { touched: &too_long, ..good }).contains("id of 129 bytes"));
    assert_eq!(journal.storage().files, before);
    assert_eq!(journal.append(&good).unwrap().batch, BatchNumber(3), "it is not poisoned");

    let mut new = open(Memory::default());
    let last = Batch { first_sequence: Seq(u64::MAX), ..good };
    assert!(refused(&mut new, last).contains("past the last number"));
}

/// What every call does on a journal that failed before.
fn is_poisoned(journal: &mut Journal<Memory>) {
    let calls = journal.storage().calls.len();
    let batch = Batch {
        first_sequence: journal.next_sequence().unwrap_or_default(),
        count: 0,
        time: Time(i64::MAX),
        body: b"",
        touched: &[],
    };
    let zero = BatchNumber(0);
    let mark = open(super::super::toy::journal(1)).mark().unwrap();
    for error in [
        journal.append(&batch).unwrap_err(),
        journal.sync().unwrap_err(),
        journal.checkpoint(&signer()).unwrap_err(),
        journal.write_snapshot(&mark, b"", &signer()).unwrap_err(),
        journal.load_snapshot().unwrap_err(),
        journal.batches_from(zero).map(drop).unwrap_err(),
        journal.hash_of(zero).unwrap_err(),
        journal.log_tree().map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, JournalError::Poisoned), "{error}");
    }
    assert_eq!(journal.storage().calls.len(), calls, "the storage is not asked again");
}

/// A batch of one command at the end of a journal, whatever came before.
fn append_any(journal: &mut Journal<Memory>) -> Result<Header, JournalError> {
    let body = body(journal.next());
    let touched = [Touched { packet: b"p", head: Head([1; 32]), claims: 1 }];
    let first_sequence = journal.next_sequence().unwrap_or_default();
    let time = Time(0);
    journal.append(&Batch { first_sequence, count: 1, time, body: &body, touched: &touched })
}

/// Batches, syncs and snapshots until the storage fails.
fn work(journal: &mut Journal<Memory>) -> Result<(), JournalError> {
    for _ in 0..14 {
        let header = append_any(journal)?;
        if header.batch.0 % 2 == 0 {
            journal.sync()?;
        }
        if header.batch.0 % 5 == 4 {
            journal.write_snapshot(&journal.mark().unwrap(), b"state", &signer())?;
        }
    }
    Ok(())
}

/// Each changing call of the storage fails in turn: the journal is poisoned from then on, and what
/// was reported durable is there when it is opened again, after the end of the process as after a
/// crash of the machine.
#[test]
fn any_failure_of_the_storage_poisons_the_journal_for_ever() {
    let mut poisoned = 0;
    for call in ["create", "append", "sync", "sync_directory", "rename", "remove"] {
        for (good, torn_bytes) in (0..40).flat_map(|good| [(good, 0), (good, 100)]) {
            let mut journal = open(Memory::default());
            journal.storage.fails = Some((call, good));
            journal.storage.torn_bytes = torn_bytes;
            let Err(error) = work(&mut journal) else { continue };
            assert!(matches!(error, JournalError::Io(_)), "{error}");
            is_poisoned(&mut journal);
            let (durable, hash) = (journal.durable(), journal.hash());
            let mut ended = journal.into_storage();
            ended.fails = None;
            let crashed = ended.crashed();
            for storage in [ended, crashed] {
                let (mut again, recovery) = Journal::open(storage, &options()).unwrap();
                assert!(recovery.batches >= durable.0, "{call} {good}");
                assert!(again.next().0 <= durable.0 + 2 || again.hash() == hash);
                assert!(again.load_snapshot().unwrap().passed_over.is_empty());
                // What it found it has made durable, and so is what comes after.
                let found = Journal::open(again.storage().crashed(), &options()).unwrap().0;
                assert_eq!(found.hash(), again.hash(), "{call} {good}");
                append_any(&mut again).unwrap();
                let checkpoint = again.checkpoint(&signer()).unwrap();
                let trust = Trust { key: None, checkpoints: vec![checkpoint.note().to_owned()] };
                let after = Options { trust, ..options() };
                let found = Journal::open(again.storage().crashed(), &after).unwrap().0;
                assert_eq!(found.hash(), again.hash(), "{call} {good}");
                assert_eq!(found.last_checkpoint, Some(checkpoint));
            }
            poisoned += 1;
        }
    }
    assert!(poisoned > 100, "{poisoned}");
}

#[test]
fn a_checkpoint_is_of_batches_that_are_on_disk_and_is_not_repeated() {
    let (mut journal, mut toy) = (open(Memory::default()), Toy::default());
    append(&mut journal, &mut toy, &body(BatchNumber(0)));
    let checkpoint = journal.checkpoint(&signer()).unwrap();
    assert_eq!(journal.durable(), BatchNumber(1));
    assert_eq!(checkpoint.checkpoint().root, journal.root());
    assert_eq!(checkpoint.verify(signer().public()).unwrap().size, 1);
    let file = journal.storage().files[CHECKPOINTS].clone();
    assert_eq!(journal.checkpoint(&signer()).unwrap(), checkpoint);
    let mut journal = open(journal.into_storage());
    assert_eq!(journal.checkpoint(&signer()).unwrap(), checkpoint);
    assert_eq!(journal.storage().files[CHECKPOINTS], file);
    let other = Signer::new("example.org/packets", &[8; 32]).unwrap();
    assert!(journal.checkpoint(&other).unwrap().verify(other.public()).is_ok());
}

#[test]
fn a_real_directory_does_the_same_as_memory() {
    let place = tempfile::tempdir().unwrap();
    let mut toy = Toy::default();
    let mut ours = Journal::open(Directory::open(place.path()).unwrap(), &options()).unwrap().0;
    for batch in (0..12).map(BatchNumber) {
        append(&mut ours, &mut toy, &body(batch));
        ours.sync().unwrap();
    }
    ours.write_snapshot(&ours.mark().unwrap(), b"state", &signer()).unwrap();
    let mut other = open(journal(12));
    other.write_snapshot(&other.mark().unwrap(), b"state", &signer()).unwrap();
    drop(ours);
    let directory = Directory::open(place.path()).unwrap();
    for (name, bytes) in &other.storage().files {
        assert_eq!(&directory.read(name).unwrap(), bytes, "{name}");
    }
    assert_eq!(directory.list().unwrap().len(), other.storage().files.len());
    let (again, recovery) = Journal::open(directory, &options()).unwrap();
    assert_eq!((recovery.batches, recovery.cut), (12, None));
    assert_eq!(again.load_snapshot().unwrap().snapshot.unwrap().batch, BatchNumber(11));
}
