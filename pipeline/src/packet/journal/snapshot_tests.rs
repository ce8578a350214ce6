//! Snapshots that are cut, changed, or of another journal.

use super::super::checkpoint::Trust;
use super::super::frame;
use super::super::log::{Begin, Journal, Options};
use super::super::memory::Memory;
use super::super::toy::{Toy, append, body, journal, options, signer, written};
use super::super::verify::{Replay, verify};
use super::*;

const FIRST: BatchNumber = BatchNumber(3);
const SECOND: BatchNumber = BatchNumber(8);

/// A journal with two snapshots.
fn with_snapshots() -> Memory {
    let mut all = Journal::open(journal(10), &options()).unwrap().0;
    for batch in [FIRST, SECOND] {
        let state = state(batch).state;
        all.write_snapshot(&mark(batch), &state, &signer()).unwrap();
    }
    all.into_storage()
}

/// The mark after a batch.
fn mark(batch: BatchNumber) -> Mark {
    Journal::open(journal(batch.0 + 1), &options()).unwrap().0.mark().unwrap()
}

fn load(storage: Memory) -> Result<Loaded, JournalError> {
    Journal::open(storage, &options()).unwrap().0.load_snapshot()
}

fn state(batch: BatchNumber) -> Snapshot {
    Snapshot { batch, state: format!("the state after {batch}").into_bytes() }
}

#[test]
fn the_newest_is_loaded_and_two_are_kept() {
    let mut storage = with_snapshots();
    let loaded = load(storage.clone()).unwrap();
    assert_eq!(loaded, Loaded { snapshot: Some(state(SECOND)), passed_over: vec![] });
    storage.files.insert(UNFINISHED.into(), b"left by a crash".to_vec());
    let mut journal = Journal::open(storage, &options()).unwrap().0;
    assert!(!journal.storage().files.contains_key(UNFINISHED));
    journal.write_snapshot(&mark(BatchNumber(9)), b"the state after 9", &signer()).unwrap();
    let found: Vec<_> =
        journal.storage().files.keys().filter(|name| name.starts_with(PREFIX)).cloned().collect();
    assert_eq!(found, [file_name(SECOND), file_name(BatchNumber(9))]);
    assert_eq!(journal.load_snapshot().unwrap().snapshot, Some(state(BatchNumber(9))));
    assert!(journal.write_snapshot(&mark(BatchNumber(10)), b"", &signer()).is_err());
}

#[test]
fn no_snapshot_is_no_error() {
    assert_eq!(load(journal(2)).unwrap(), Loaded::default());
    assert_eq!(load(Memory::default()).unwrap(), Loaded::default());
}

#[test]
fn one_that_is_cut_or_changed_anywhere_falls_back_to_the_one_before() {
    let storage = with_snapshots();
    let file = file_name(SECOND);
    let falls_back = |bytes: Vec<u8>, what: &str| {
        let mut changed = storage.clone();
        changed.files.insert(file.clone(), bytes);
        let loaded = load(changed).unwrap();
        assert_eq!(loaded.snapshot, Some(state(FIRST)), "{what}");
        assert_eq!(loaded.passed_over.len(), 1, "{what}");
        assert_eq!(loaded.passed_over[0].0, file);
    };
    let bytes = &storage.files[&file];
    for end in 0..bytes.len() {
        falls_back(bytes[..end].to_vec(), &format!("cut at {end}"));
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        falls_back(changed, &format!("bit {bit}"));
    }
    falls_back([&bytes[..], b"x"].concat(), "longer");
    falls_back(storage.files[&file_name(FIRST)].clone(), "of the batch before");

    let mut both = storage.clone();
    both.file(&file).truncate(50);
    both.file(&file_name(FIRST))[0] ^= 1;
    let loaded = load(both).unwrap();
    assert_eq!(loaded.snapshot, None);
    let faults: Vec<_> = loaded.passed_over.iter().map(|(_, fault)| *fault).collect();
    let needed = HEADER_BYTES as u64;
    assert_eq!(faults, [SnapshotFault::Length { needed, found: 50 }, SnapshotFault::Magic]);
}

#[test]
fn one_of_an_earlier_version_is_passed_over_and_nothing_is_broken() {
    let mut storage = with_snapshots();
    let file = file_name(SECOND);
    let bytes = storage.file(&file);
    bytes[8..12].copy_from_slice(&(VERSION - 1).to_le_bytes());
    let hash = hash(&[&bytes[..HASH_AT], &bytes[HEADER_BYTES..]]);
    bytes[HASH_AT..HEADER_BYTES].copy_from_slice(&hash);
    let verified = verify(&storage, &Trust::default(), None).unwrap();
    assert_eq!((verified.snapshots, verified.snapshots_earlier), (1, 1));
    let loaded = load(storage.clone()).unwrap();
    assert_eq!(loaded.snapshot, Some(state(FIRST)));
    assert_eq!(loaded.passed_over, [(file.clone(), SnapshotFault::Earlier(VERSION - 1))]);
    // With another hash it is no snapshot of any version.
    storage.file(&file)[HASH_AT] ^= 1;
    assert!(verify(&storage, &Trust::default(), None).is_err());
}

#[test]
fn one_that_does_not_fit_the_journal_is_an_error() {
    let with = with_snapshots();
    let put = |mut storage: Memory| {
        for batch in [FIRST, SECOND] {
            storage.files.insert(file_name(batch), with.files[&file_name(batch)].clone());
        }
        storage
    };
    let error = load(put(journal(8))).unwrap_err();
    let file = file_name(SECOND);
    let ahead = SnapshotError::Ahead { file: file.clone(), batch: SECOND, batches: 8 };
    assert!(matches!(error, JournalError::Snapshot(found) if found == ahead));
    let error = load(put(written(10, 6))).unwrap_err();
    let other = SnapshotError::OtherJournal { file, batch: SECOND };
    assert!(matches!(error, JournalError::Snapshot(found) if found == other));
    assert!(load(put(written(10, 9))).is_ok(), "batches after the snapshot do not matter to it");
}

/// The process ends at any call of the storage: there is then the old snapshot or the new one.
#[test]
fn a_failure_at_any_step_leaves_a_whole_snapshot() {
    let calls = ["create", "append", "sync", "rename", "sync_directory", "remove"];
    let mut failed = 0;
    for (call, good) in calls.iter().flat_map(|call| (0..4).map(move |good| (*call, good))) {
        for torn_bytes in [0, 5, 100] {
            let mut journal = Journal::open(with_snapshots(), &Options::default()).unwrap().0;
            let batch = BatchNumber(9);
            journal.storage_mut().fails = Some((call, good));
            journal.storage_mut().torn_bytes = torn_bytes;
            let result = journal.write_snapshot(&mark(batch), b"the state after 9", &signer());
            failed += usize::from(result.is_err());
            let mut storage = journal.into_storage();
            storage.fails = None;
            let loaded = load(storage).unwrap();
            assert_eq!(loaded.passed_over, [], "{call} {good}");
            let found = loaded.snapshot.unwrap();
            assert!(found == state(batch) || (result.is_err() && found == state(SECOND)));
        }
    }
    assert!(failed > 15, "{failed}");
}

fn from_snapshot() -> Options {
    let trust = Trust { key: Some(signer().public().clone()), checkpoints: Vec::new() };
    Options { begin: Begin::Snapshot, trust, ..options() }
}

#[test]
fn opening_at_a_snapshot_comes_to_the_same_as_opening_at_the_first_byte() {
    for batches in 0..12 {
        let mut whole = Journal::open(journal(batches), &options()).unwrap().0;
        if let Some(mark) = whole.mark() {
            whole.write_snapshot(&mark, b"", &signer()).unwrap();
        }
        let mut storage = whole.into_storage();
        for later in 0..5 {
            let (whole, first) = Journal::open(storage.clone(), &options()).unwrap();
            let (mut ours, recovery) = Journal::open(storage.clone(), &from_snapshot()).unwrap();
            assert_eq!((ours.hash(), ours.root()), (whole.hash(), whole.root()));
            assert_eq!((ours.next(), ours.next_sequence()), (whole.next(), whole.next_sequence()));
            assert_eq!((ours.mark(), recovery.batches), (whole.mark(), batches + later));
            assert_eq!(recovery.checked_from.0, batches.saturating_sub(1));
            assert_eq!(first.checked_from.0, 0);
            append(&mut ours, &mut Toy::default(), &body(BatchNumber(later)));
            ours.checkpoint(&signer()).unwrap();
            storage = ours.into_storage();
        }
    }
}

#[test]
fn opening_at_a_snapshot_sees_what_is_wrong_from_there_on() {
    let storage = with_snapshots();
    let open = |storage: &Memory| Journal::open(storage.clone(), &from_snapshot());
    assert_eq!(open(&storage).unwrap().1.checked_from, SECOND);
    for (name, file) in storage.files.iter().filter(|(name, _)| name.ends_with(".log")) {
        let mut ends = 0;
        while let Ok((header, _)) = frame::decode(&file[ends..]) {
            for at in ends..ends + header.frame_bytes() as usize {
                let mut changed = storage.clone();
                changed.file(name)[at] ^= 4;
                if header.batch >= SECOND {
                    assert!(open(&changed).is_err(), "{name} at {at}");
                }
            }
            ends += header.frame_bytes() as usize;
        }
    }
    let first = storage.files.keys().next().unwrap();
    let mut before = storage.clone();
    before.file(first)[20] ^= 1;
    assert!(open(&before).is_ok(), "what is before is not read");
    assert!(verify(&before, &Trust::default(), None).is_err());

    // A snapshot with another log tree is held against the checkpoint of its size.
    let mut journal = Journal::open(journal(9), &options()).unwrap().0;
    journal.write_snapshot(&mark(SECOND), b"", &signer()).unwrap();
    let mut other = mark(SECOND);
    other.tree = mark(BatchNumber(16)).tree;
    other.tree = Frontier::from_peaks(9, other.tree.peaks().to_vec()).unwrap();
    write(journal.storage_mut(), &other, b"").unwrap();
    let error = open(&journal.into_storage()).unwrap_err();
    assert!(
        matches!(error, JournalError::Damage(found) if found.fault.code() == "checkpoint-forked")
    );

    let file = file_name(SECOND);
    for (shorter, batches) in
        [(journal_with(&storage, 8, 99), 8), (journal_with(&storage, 10, 6), 0)]
    {
        let expected = match batches {
            0 => SnapshotError::OtherJournal { file: file.clone(), batch: SECOND },
            batches => SnapshotError::Ahead { file: file.clone(), batch: SECOND, batches },
        };
        let error = open(&shorter).unwrap_err();
        assert!(matches!(error, JournalError::Snapshot(found) if found == expected));
    }
}

/// Another journal with the newer snapshot of this one.
fn journal_with(storage: &Memory, batches: u64, other: u64) -> Memory {
    let mut found = written(batches, other);
    found.files.insert(file_name(SECOND), storage.files[&file_name(SECOND)].clone());
    found
}

/// A journal with two snapshots of what executing it comes to.
fn with_true_snapshots() -> Memory {
    let mut all = Journal::open(journal(10), &options()).unwrap().0;
    for batch in [FIRST, SECOND] {
        all.write_snapshot(&mark(batch), &executed(batch), &signer()).unwrap();
    }
    all.into_storage()
}

/// The state after a batch.
fn executed(batch: BatchNumber) -> Vec<u8> {
    let mut toy = Toy::default();
    (0..=batch.0).for_each(|batch| drop(toy.apply(&body(BatchNumber(batch)))));
    toy.state()
}

/// What verification says of a journal, executed again or not.
fn verified(storage: &Memory, executes: bool) -> Result<u64, (String, &'static str)> {
    let mut toy = Toy::default();
    let replay = executes.then_some(&mut toy as &mut dyn Replay);
    match verify(storage, &Trust::default(), replay) {
        Ok(verified) => Ok(verified.snapshots),
        Err(JournalError::Damage(damage)) => Err((damage.file, damage.fault.code())),
        Err(error) => panic!("{error}"),
    }
}

/// Whoever can write to the directory can write a snapshot with the right hash.
#[test]
fn a_snapshot_of_another_state_is_found_by_executing_the_journal() {
    let storage = with_true_snapshots();
    assert_eq!((verified(&storage, true), verified(&storage, false)), (Ok(2), Ok(2)));
    for batch in [FIRST, SECOND] {
        let mut forged = storage.clone();
        let mut state = executed(batch);
        *state.last_mut().unwrap() ^= 1;
        write(&mut forged, &mark(batch), &state).unwrap();
        let file = file_name(batch);
        assert_eq!(verified(&forged, true), Err((file, "snapshot-state")));
        assert_eq!(verified(&forged, false), Ok(2), "nobody could know");
        assert!(Journal::open(forged, &from_snapshot()).is_ok(), "it is believed");
    }
}

#[test]
fn verification_finds_what_is_wrong_with_any_snapshot() {
    let storage = with_true_snapshots();
    for batch in [FIRST, SECOND] {
        let file = file_name(batch);
        let bytes = &storage.files[&file];
        let of = |bytes: &[u8]| {
            let mut changed = storage.clone();
            changed.files.insert(file.clone(), bytes.to_vec());
            for executes in [true, false] {
                let (named, code) = verified(&changed, executes).unwrap_err();
                assert_eq!(named, file);
                assert!(code.starts_with("snapshot-"), "{code}");
            }
        };
        for end in 0..bytes.len() {
            of(&bytes[..end]);
        }
        for byte in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[byte] ^= 1 << (byte % 8);
            of(&changed);
        }
    }
    let put = |mut other: Memory| {
        let file = file_name(SECOND);
        other.files.insert(file.clone(), storage.files[&file].clone());
        verified(&other, false).unwrap_err()
    };
    assert_eq!(put(journal(8)), (file_name(SECOND), "snapshot-ahead"));
    assert_eq!(put(written(10, 6)), (file_name(SECOND), "snapshot-other-batch"));
    let mut other = mark(SECOND);
    let peaks = mark(BatchNumber(16)).tree.peaks().to_vec();
    other.tree = Frontier::from_peaks(9, peaks).unwrap();
    let mut forged = storage.clone();
    write(&mut forged, &other, &executed(SECOND)).unwrap();
    assert_eq!(verified(&forged, true), Err((file_name(SECOND), "snapshot-log-tree")));
}
