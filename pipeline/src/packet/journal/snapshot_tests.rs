//! Snapshots that are cut, changed, or of another journal.

use super::super::log::{Journal, Options};
use super::super::memory::Memory;
use super::super::toy::{journal, options, signer, written};
use super::*;

const FIRST: BatchNumber = BatchNumber(3);
const SECOND: BatchNumber = BatchNumber(8);

/// A journal with two snapshots.
fn with_snapshots() -> Memory {
    let mut journal = Journal::open(journal(10), &options()).unwrap().0;
    journal.write_snapshot(FIRST, b"the state after 3", &signer()).unwrap();
    journal.write_snapshot(SECOND, b"the state after 8", &signer()).unwrap();
    journal.into_storage()
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
    journal.write_snapshot(BatchNumber(9), b"the state after 9", &signer()).unwrap();
    let found: Vec<_> =
        journal.storage().files.keys().filter(|name| name.starts_with(PREFIX)).cloned().collect();
    assert_eq!(found, [file_name(SECOND), file_name(BatchNumber(9))]);
    assert_eq!(journal.load_snapshot().unwrap().snapshot, Some(state(BatchNumber(9))));
    assert!(journal.write_snapshot(BatchNumber(10), b"", &signer()).is_err());
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
            let result = journal.write_snapshot(batch, b"the state after 9", &signer());
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
