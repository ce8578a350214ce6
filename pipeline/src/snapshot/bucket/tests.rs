//! What is put, in which order, what stays, and what is found of it, on a store on which things go
//! wrong.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::faults::{Faults, state, written};
use super::*;

const US: &str = "stream a\n";
/// A file of a snapshot has several pieces of this length.
const SMALL: u64 = 64;

/// What somebody on a new machine finds: the number, and what was passed over.
fn found(faults: &Arc<Faults>) -> (Option<u64>, Vec<String>) {
    let (_directory, empty) = written(&[], 2);
    found_beside(faults, &empty)
}

fn found_beside(faults: &Arc<Faults>, local: &Store) -> (Option<u64>, Vec<String>) {
    let found = faults.bucket(SMALL).newest(local, |_, _| Ok(())).unwrap();
    let told = found.passed_over.iter().map(|(path, why)| why.tell(path).en).collect();
    let Some((number, about, saved)) = found.snapshot else { return (None, told) };
    assert_eq!((about, saved.read().unwrap()), (number.into(), state(number as u8)));
    // And it is on disk from now on.
    let here = local.newest(|_, _| Ok(())).unwrap().snapshot;
    assert_eq!(here.map(|(number, _, _)| number), Some(number));
    (Some(number), told)
}

/// The objects that are there.
fn objects(faults: &Faults) -> Vec<String> {
    let runtime = Builder::new_current_thread().build().unwrap();
    let listed: Vec<ObjectMeta> = runtime.block_on(faults.inner.list(None).try_collect()).unwrap();
    listed.iter().map(|meta| meta.location.to_string()).collect()
}

/// The numbers of the snapshots of which there is anything, and whether they are whole.
fn numbers(faults: &Arc<Faults>) -> Vec<(u64, bool)> {
    let listed = faults.bucket(SMALL).list().unwrap();
    listed.iter().map(|listed| (listed.number, listed.is_whole())).collect()
}

/// A store that has the snapshots of these numbers.
fn stored(numbers: &[u64], keep: usize) -> (tempfile::TempDir, Store, Arc<Faults>) {
    let (directory, local) = written(numbers, numbers.len().max(keep));
    let local = Store::new(local.path(0).parent().unwrap(), keep);
    let faults = Faults::new();
    let bucket = faults.bucket(SMALL);
    for number in numbers {
        bucket.put(&local, *number, US).unwrap();
    }
    (directory, local, faults)
}

#[test]
fn an_address_has_a_bucket_and_a_prefix() {
    for (text, reads) in [
        ("s3://bucket/some/prefix", true),
        ("s3://bucket/prefix/", true),
        ("s3://bucket", false),
        ("s3://bucket/", false),
        ("s3:///prefix", false),
        ("s3://bucket/a//b", false),
        ("gs://bucket/prefix", false),
        ("bucket/prefix", false),
    ] {
        assert_eq!(Address::parse(text).is_some(), reads, "{text}");
    }
}

/// Whoever lists at any moment sees no manifest of which not all pieces are there.
#[test]
fn the_manifest_is_put_last_and_the_pieces_are_the_files() {
    let (_directory, local, faults) = stored(&[7], 2);
    let puts = faults.puts.lock().unwrap().clone();
    assert_eq!(puts[0], "some/prefix/.stream");
    assert!(puts.len() > 4, "several pieces: {puts:?}");
    let folder = puts[1].rsplit_once('/').unwrap().0.to_owned();
    assert!(folder.starts_with("some/prefix/00000000000000000007-"), "{folder}");
    assert_eq!(puts.last().unwrap(), &format!("{folder}/manifest.json"));
    let length = std::fs::metadata(local.path(7).join("parts-0")).unwrap().len();
    let expected = (0..length).step_by(64).map(|at| format!("{folder}/parts-0.{at:012}"));
    assert_eq!(puts[1..puts.len() - 1], expected.collect::<Vec<_>>());
    assert_eq!(found(&faults), (Some(7), Vec::new()));
}

/// The store fails at each put in turn: the one before is found as if nothing had happened, and who
/// tries again puts only what is missing.
#[test]
fn a_put_that_breaks_off_is_not_seen_and_goes_on_where_it_was() {
    let whole = stored(&[1, 2], 2).2.puts.lock().unwrap().len();
    let first = stored(&[1], 2).2.puts.lock().unwrap().len();
    for succeed in 0..whole - first {
        let (_directory, local, faults) = stored(&[1], 2);
        local.write(2, serde_json::json!(2), &state(2)).unwrap();
        *faults.puts_left.lock().unwrap() = Some(succeed);
        let bucket = faults.bucket(SMALL);
        let why = bucket.put(&local, 2, US).unwrap_err();
        assert!(matches!(&why, NotPut::Away(why) if why.contains("no put more")), "{why:?}");
        assert_eq!(found(&faults), (Some(1), Vec::new()), "after {succeed} puts");
        *faults.puts_left.lock().unwrap() = Some(whole - first - succeed);
        bucket.put(&local, 2, US).unwrap();
        assert_eq!(*faults.puts_left.lock().unwrap(), Some(0), "just what was missing");
        assert_eq!(found(&faults), (Some(2), Vec::new()));
        // Once more changes nothing.
        bucket.put(&local, 2, US).unwrap();
    }
}

/// The last are kept. What is left of an older one that never was whole goes; a newer one that is on
/// its way is another instance's, and stays.
#[test]
fn the_last_are_kept_and_pieces_of_older_ones_removed() {
    let (_directory, _local, faults) = stored(&[1, 2, 30, 200], 2);
    assert_eq!(numbers(&faults), [(30, true), (200, true)]);
    let (_other, local) = written(&[150, 201, 202], 3);
    for number in [150, 202] {
        *faults.puts_left.lock().unwrap() = Some(2);
        faults.bucket(SMALL).put(&local, number, US).unwrap_err();
    }
    assert_eq!(numbers(&faults), [(30, true), (150, false), (200, true), (202, false)]);
    *faults.puts_left.lock().unwrap() = None;
    let local = Store::new(local.path(0).parent().unwrap(), 2);
    faults.bucket(SMALL).put(&local, 201, US).unwrap();
    assert_eq!(numbers(&faults), [(200, true), (201, true), (202, false)]);
    assert_eq!(found(&faults), (Some(201), Vec::new()));
}

/// Each object of the newest in turn changed, cut, or gone: that is seen and said, and the one before
/// is used.
#[test]
fn a_damaged_snapshot_is_passed_over_for_the_one_before() {
    let (_directory, _local, faults) = stored(&[1, 2], 2);
    let runtime = Builder::new_current_thread().build().unwrap();
    let newest = objects(&faults).into_iter().filter(|key| key.contains("/00000000000000000002-"));
    for key in newest {
        let key = Key::from(key);
        let bytes = faults.bucket(SMALL).get(&key).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        let mut longer = bytes.clone();
        longer.push(0);
        let put = |bytes: &[u8]| {
            let bytes = bytes.to_vec();
            runtime.block_on(faults.inner.put(&key, bytes.into())).unwrap();
        };
        for changed in [flipped, bytes[..bytes.len() / 2].to_vec(), longer] {
            put(&changed);
            let (number, told) = found(&faults);
            assert_eq!((number, told.len()), (Some(1), 1), "{key}: {told:?}");
            assert!(
                told[0].contains("the snapshot s3://bucket/some/prefix/00000000000000000002-"),
                "{told:?}"
            );
        }
        runtime.block_on(faults.inner.delete(&key)).unwrap();
        let (number, told) = found(&faults);
        // Without its manifest it is none, which needs no word.
        let words = usize::from(!key.as_ref().ends_with(MANIFEST));
        assert_eq!((number, told.len()), (Some(1), words), "{key}: {told:?}");
        put(&bytes);
        assert_eq!(found(&faults), (Some(2), Vec::new()));
    }
}

/// While it is being read, at each object in turn, another instance puts a newer one and removes this
/// one: the newer one is found.
#[test]
fn a_snapshot_that_is_removed_under_reading_is_looked_for_again() {
    let many = stored(&[1], 1).2.puts.lock().unwrap().len() - 1;
    for at in 0..many {
        let (_directory, local, faults) = stored(&[1], 1);
        local.write(2, serde_json::json!(2), &state(2)).unwrap();
        let (other, gets) = (faults.beside(), AtomicUsize::new(0));
        *faults.before_get.lock().unwrap() = Some(Box::new(move |_| {
            if gets.fetch_add(1, Ordering::Relaxed) == at {
                let (local, other) = (local.clone(), other.clone());
                let put = move || other.bucket(SMALL).put(&local, 2, US).map(drop);
                // A thread of its own, for this one is in a runtime.
                std::thread::spawn(put).join().unwrap().unwrap();
            }
        }));
        assert_eq!(found(&faults), (Some(2), Vec::new()), "removed at object {at}");
    }
}

/// Two who put different ones under one number, by turns, as one that is fenced and the one that goes
/// on: each is whole.
#[test]
fn two_of_one_number_are_not_in_each_others_way() {
    let (_directory, local) = written(&[1], 2);
    let (_other, others) = written(&[], 2);
    others.write(1, serde_json::json!("other"), &state(9)).unwrap();
    let faults = Faults::new();
    *faults.puts_left.lock().unwrap() = Some(3);
    faults.bucket(SMALL).put(&others, 1, US).unwrap_err();
    *faults.puts_left.lock().unwrap() = None;
    faults.bucket(SMALL).put(&local, 1, US).unwrap();
    assert_eq!(found(&faults), (Some(1), Vec::new()));
    faults.bucket(SMALL).put(&others, 1, US).unwrap();
    assert_eq!(numbers(&faults), [(1, true), (1, true)]);
}

#[test]
fn a_prefix_is_that_of_one_stream() {
    let (_directory, local, faults) = stored(&[1], 2);
    let before = objects(&faults);
    let why = faults.bucket(SMALL).put(&local, 1, "stream b\n").unwrap_err();
    assert!(matches!(&why, NotPut::Another(owner) if owner == US), "{why:?}");
    assert_eq!(faults.bucket(SMALL).owner().unwrap().as_deref(), Some(US));
    assert_eq!(objects(&faults), before);
    // One that was faster by a hair: it was nobody's when it was asked.
    let faults = Faults::new();
    faults.set_stuck(true);
    let slower = {
        let (faults, local) = (faults.clone(), local.clone());
        std::thread::spawn(move || faults.bucket(SMALL).put(&local, 1, US))
    };
    while faults.puts.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    faults.beside().bucket(SMALL).claim("stream b\n").unwrap();
    faults.set_stuck(false);
    let why = slower.join().unwrap().unwrap_err();
    assert!(matches!(&why, NotPut::Another(owner) if owner == "stream b\n"), "{why:?}");
    assert_eq!(objects(&faults), ["some/prefix/.stream"]);
}

/// What is on disk is used where it is the newest, and taken from the store where it is broken.
#[test]
fn the_newest_is_used_wherever_it_is() {
    let (_directory, local, faults) = stored(&[1, 2], 2);
    *faults.before_get.lock().unwrap() = Some(Box::new(|key| panic!("{key} is read")));
    assert_eq!(found_beside(&faults, &local), (Some(2), Vec::new()));
    local.write(3, serde_json::json!(3), &state(3)).unwrap();
    assert_eq!(found_beside(&faults, &local), (Some(3), Vec::new()));
    *faults.before_get.lock().unwrap() = None;
    std::fs::remove_dir_all(local.path(3)).unwrap();
    std::fs::write(local.path(2).join("parts-0"), "x").unwrap();
    let (number, told) = found_beside(&faults, &local);
    assert_eq!((number, told.len()), (Some(2), 1), "{told:?}");
    assert_eq!(found_beside(&faults, &local), (Some(2), Vec::new()), "in place of the broken one");
}

/// What does not fit is not fetched: only its manifest is read.
#[test]
fn what_cannot_be_used_is_not_fetched() {
    let (_directory, _local, faults) = stored(&[1, 2], 2);
    let (_empty, empty) = written(&[], 2);
    let fits = |number, _: &serde_json::Value| match number {
        2 => Err(Message::new("it is of something else", "")),
        _ => Ok(()),
    };
    *faults.before_get.lock().unwrap() = Some(Box::new(|key| {
        assert!(!key.as_ref().contains("0002-") || key.as_ref().ends_with(MANIFEST), "{key}");
    }));
    let found = faults.bucket(SMALL).newest(&empty, fits).unwrap();
    assert_eq!(found.snapshot.unwrap().0, 1);
    assert!(found.passed_over[0].1.tell(Path::new("x")).en.contains("it is of something else"));
}

#[test]
fn a_store_that_is_away_is_told_and_what_is_on_disk_is_used() {
    let (_directory, local, faults) = stored(&[1], 2);
    *faults.away.lock().unwrap() = true;
    let found = faults.bucket(SMALL).newest(&local, |_, _| Ok(())).unwrap();
    assert_eq!(found.snapshot.unwrap().0, 1);
    assert!(found.away.unwrap().contains("nobody answers"));
    let why = faults.bucket(SMALL).put(&local, 1, US).unwrap_err();
    assert!(matches!(why, NotPut::Away(_)), "{why:?}");
}

/// Servers repeat the key in what they answer, and some the token.
#[test]
fn what_a_server_answered_is_not_told() {
    let status = "Error performing PUT http://host:1/a in 1s - Server returned non-2xx status code: 403 \
                  Forbidden";
    for answer in ["", ": <Error><AWSAccessKeyId>AKIA", ": {\"token\": \"AKIA\"}", "\n<Error>AKIA"]
    {
        let error = Error::Generic { store: "S3", source: format!("{status}{answer}").into() };
        assert_eq!(told(&error), format!("Generic S3 error: {status}"));
    }
    // What is behind an error of another kind is.
    let refused = io::Error::other("connection refused");
    let source = io::Error::other(Error::NotFound { path: "a".to_owned(), source: refused.into() });
    let error = Error::Generic { store: "S3", source: source.into() };
    assert!(told(&error).ends_with("connection refused"), "{}", told(&error));
}
