//! Verification against an operator who rewrites the journal, and knows how.

use super::super::checkpoint::SignedCheckpoint;
use super::super::error::{Damage, OUTSIDE};
use super::super::frame;
use super::super::ids::BatchNumber;
use super::super::log::{Batch, Journal, Options};
use super::super::memory::Memory;
use super::super::note::Signer;
use super::super::segment::segment_name;
use super::super::toy::{Toy, append, body, journal, options, signer, written};
use super::*;

fn trust(checkpoints: &[&SignedCheckpoint]) -> Trust {
    let checkpoints = checkpoints.iter().map(|signed| signed.note().to_owned()).collect();
    Trust { key: Some(signer().public().clone()), checkpoints }
}

/// Adds a checkpoint of all batches by a key.
fn checked(storage: Memory, signer: &Signer) -> (Memory, SignedCheckpoint) {
    let mut journal = Journal::open(storage, &options()).unwrap().0;
    let checkpoint = journal.checkpoint(signer).unwrap();
    (journal.into_storage(), checkpoint)
}

/// The first place that is wrong, once with and once without executing the batches again.
fn damage(storage: &Memory, trust: &Trust) -> Damage {
    match verify(storage, trust, Some(&mut Toy::default())).unwrap_err() {
        JournalError::Damage(damage) => *damage,
        error => panic!("{error}"),
    }
}

#[test]
fn a_good_journal_is_counted() {
    let (storage, checkpoint) = checked(journal(11), &signer());
    let verified = verify(&storage, &trust(&[&checkpoint]), Some(&mut Toy::default())).unwrap();
    let bodies = (0..11).map(|batch| body(BatchNumber(batch)).len() as u64).sum::<u64>();
    assert_eq!((verified.batches, verified.commands), (11, bodies / 9));
    assert_eq!(verified.bytes, bodies + 11 * frame::HEADER_BYTES as u64);
    assert_eq!(verified.root, checkpoint.checkpoint().root);
    assert_eq!((verified.checkpoints, verified.checkpoints_outside), (1, 1));
    assert_eq!(verified.unfinished, None);
    let empty = verify(&Memory::default(), &trust(&[]), None).unwrap();
    assert_eq!((empty.batches, empty.hash), (0, FrameHash::GENESIS));
}

#[test]
fn an_unfinished_end_is_told_and_left_as_it_is() {
    let (mut storage, _) = checked(journal(11), &signer());
    let name = storage.files.keys().rfind(|name| name.ends_with(".log")).unwrap();
    let (name, length) = (name.clone(), storage.files[name].len() as u64);
    storage.file(&name).extend(b"\xFFHXBA");
    let before = storage.files.clone();
    let verified = verify(&storage, &trust(&[]), Some(&mut Toy::default())).unwrap();
    let cut = Cut { file: name, offset: length, bytes: 5, whole_frames: 0 };
    assert_eq!((verified.batches, verified.unfinished), (11, Some(cut)));
    assert_eq!(storage.files, before);
}

/// An engine that gives something else than the first did, at one batch.
struct Wrong {
    toy: Toy,
    at: u64,
    how: fn(Vec<Touched<'_>>) -> Result<Vec<Touched<'_>>, String>,
}

impl Replay for Wrong {
    fn batch<'a>(
        &'a mut self,
        header: &Header,
        body: &'a [u8],
    ) -> Result<Vec<Touched<'a>>, String> {
        let touched = self.toy.apply(body)?;
        if header.batch.0 == self.at { (self.how)(touched) } else { Ok(touched) }
    }

    fn is_state(&mut self, state: &[u8]) -> bool {
        self.toy.is_state(state)
    }
}

#[test]
fn an_engine_that_does_not_come_to_the_same_is_caught_at_that_batch() {
    let storage = journal(11);
    type How = fn(Vec<Touched<'_>>) -> Result<Vec<Touched<'_>>, String>;
    let rows: [(How, &str); 5] = [
        (|_| Err("no such packet".into()), "batch-replay"),
        (|mut touched| Ok(touched.pop().into_iter().collect()), "batch-heads-root"),
        (|touched| Ok([&touched[..], &touched[..1]].concat()), "batch-packet-twice"),
        (
            |mut touched| {
                touched[0].claims += 1;
                Ok(touched)
            },
            "batch-heads-root",
        ),
        (
            |mut touched| {
                touched.reverse();
                Ok(touched)
            },
            "batch-heads-root",
        ),
    ];
    for (how, code) in rows {
        let mut engine = Wrong { toy: Toy::default(), at: 6, how };
        let error = verify(&storage, &Trust::default(), Some(&mut engine)).unwrap_err();
        let JournalError::Damage(damage) = error else { panic!("{error}") };
        assert_eq!((damage.fault.code(), damage.batch), (code, BatchNumber(6)));
        assert!(storage.files.contains_key(&damage.file));
    }
}

#[test]
fn heads_that_the_operator_made_up_are_caught_by_executing_again() {
    let mut journal = Journal::open(Memory::default(), &options()).unwrap().0;
    let mut toy = Toy::default();
    append(&mut journal, &mut toy, &body(BatchNumber(0)));
    let next = body(BatchNumber(1));
    let mut touched = toy.apply(&next).unwrap();
    touched[0].head.0[0] ^= 1;
    let batch = Batch {
        first_sequence: journal.next_sequence().unwrap(),
        count: 2,
        time: Default::default(),
        body: &next,
        touched: &touched,
    };
    journal.append(&batch).unwrap();
    let storage = journal.into_storage();
    assert!(verify(&storage, &Trust::default(), None).is_ok(), "the frames are whole");
    let damage = damage(&storage, &Trust::default());
    assert_eq!((damage.fault.code(), damage.batch.0), ("batch-heads-root", 1));
}

/// The operator rewrites everything in the directory, with the engine and the right hashes. What is
/// left to catch it is a checkpoint, in the file or kept elsewhere.
#[test]
fn each_way_to_rewrite_the_whole_journal_has_its_error() {
    let other_key = Signer::new("example.org/packets", &[8; 32]).unwrap();
    let other_log = Signer::new("example.org/others", &[7; 32]).unwrap();
    let (honest, at_9) = checked(journal(9), &signer());
    let (honest, at_12) = checked(grown(honest, 12), &signer());
    let file = |storage: &Memory| storage.files[CHECKPOINTS].clone();
    let with = |mut storage: Memory, checkpoints: Vec<u8>| {
        storage.files.insert(CHECKPOINTS.into(), checkpoints);
        storage
    };
    let entry = |signed: &SignedCheckpoint| format!("{}\n", signed.note()).into_bytes();
    let (rolled_back, at_6) = checked(journal(6), &signer());
    let (forked, fork_9) = checked(written(9, 5), &signer());
    let both = [file(&honest), entry(&fork_9)].concat();
    let later = [entry(&at_12), entry(&at_9)].concat();
    let none: &[&SignedCheckpoint] = &[];

    assert!(verify(&honest, &trust(&[&at_6, &at_9, &at_12]), None).is_ok());
    assert!(verify(&rolled_back, &trust(none), None).is_ok(), "nothing outside to compare with");
    assert!(verify(&forked, &trust(&[&at_6]), None).is_err());
    type Row<'a> = (&'a str, Memory, &'a [&'a SignedCheckpoint], &'a str, (&'a str, u64));
    let rows: [Row<'_>; 9] = [
        (
            "cut, file kept",
            with(journal(10), file(&honest)),
            none,
            "checkpoint-truncated",
            (CHECKPOINTS, 10),
        ),
        ("rolled back, file too", rolled_back, &[&at_9], "checkpoint-truncated", (OUTSIDE, 6)),
        (
            "rolled back and grown anew",
            forked.clone(),
            &[&at_9],
            "checkpoint-equivocation",
            (OUTSIDE, 9),
        ),
        (
            "forked, no file",
            with(forked.clone(), vec![]),
            &[&at_9],
            "checkpoint-forked",
            (OUTSIDE, 9),
        ),
        (
            "forked, honest file",
            with(written(12, 5), file(&honest)),
            none,
            "checkpoint-forked",
            (CHECKPOINTS, 9),
        ),
        (
            "two versions in the file",
            with(journal(12), [entry(&at_9), both].concat()),
            none,
            "checkpoint-equivocation",
            (CHECKPOINTS, 9),
        ),
        (
            "smaller after larger",
            with(journal(12), later),
            none,
            "checkpoint-rolled-back",
            (CHECKPOINTS, 9),
        ),
        (
            "signed by another key",
            checked(written(9, 5), &other_key).0,
            none,
            "note-unknown-key",
            (CHECKPOINTS, 9),
        ),
        (
            "signed for another log",
            checked(journal(9), &other_log).0,
            none,
            "note-unknown-key",
            (CHECKPOINTS, 9),
        ),
    ];
    for (what, storage, outside, code, (file, batch)) in rows {
        let damage = damage(&storage, &trust(outside));
        assert_eq!(
            (damage.fault.code(), &damage.file[..], damage.batch.0),
            (code, file, batch),
            "{what}"
        );
        assert!(Journal::open(storage, &Options { trust: trust(outside), ..options() }).is_err());
    }
}

/// The journal with batches up to that number.
fn grown(storage: Memory, batches: u64) -> Memory {
    let mut journal = Journal::open(storage, &options()).unwrap().0;
    let mut toy = Toy::default();
    (0..journal.next().0).for_each(|batch| drop(toy.apply(&body(BatchNumber(batch)))));
    for batch in (journal.next().0..batches).map(BatchNumber) {
        append(&mut journal, &mut toy, &body(batch));
        journal.sync().unwrap();
    }
    journal.into_storage()
}

#[test]
fn a_checkpoint_that_is_none_is_refused() {
    let sign = |text: &str| signer().sign(text);
    let root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let own = "example.org/packets";
    let rows = [
        ("no note".to_owned(), "note-malformed"),
        (sign("one line\n"), "checkpoint-malformed"),
        (sign(&format!("{own}\n07\n{root}\n")), "checkpoint-malformed"),
        (sign(&format!("{own}\n-7\n{root}\n")), "checkpoint-malformed"),
        (sign(&format!("{own}\n7\n{}\n", &root[4..])), "checkpoint-malformed"),
        (sign(&format!("{own}\n7\n{root}\nmore\n")), "checkpoint-malformed"),
        (sign(&format!("example.org/others\n7\n{root}\n")), "checkpoint-origin"),
    ];
    for (note, code) in rows {
        let trust = Trust { checkpoints: vec![note.clone()], ..trust(&[]) };
        assert_eq!(damage(&journal(9), &trust).fault.code(), code, "{note}");
    }
}

#[test]
fn what_is_wrong_is_said_with_file_offset_and_batch() {
    let mut storage = journal(9);
    let first = segment_name(BatchNumber(0));
    storage.file(&first)[170] ^= 1;
    let damage = damage(&storage, &Trust::default());
    assert_eq!(
        damage.to_string(),
        "batches-00000000000000000000.log at byte 161, batch 1: version 257 of the layout is not \
         known (byte 8 of the frame), and this is no crash's doing: the batch had been on disk, \
         whole"
    );
}

/// What a checkpoint denies to be a crash's doing is named where it stands, in the log.
#[test]
fn a_broken_last_frame_under_a_checkpoint_is_named_by_its_own_place() {
    let (mut storage, checkpoint) = checked(journal(9), &signer());
    let name = storage.files.keys().rfind(|name| name.ends_with(".log")).unwrap().clone();
    *storage.file(&name).last_mut().unwrap() ^= 1;
    let by_file = damage(&storage, &trust(&[]));
    storage.files.remove(CHECKPOINTS);
    let by_outside = damage(&storage, &trust(&[&checkpoint]));
    assert_eq!(by_file, by_outside);
    assert_eq!((&by_file.file, by_file.batch.0), (&name, 8));
    let text = by_file.to_string();
    assert!(text.contains("a checkpoint of 9 batches says that the batch was on disk"), "{text}");
}

#[test]
fn checkpoints_kept_elsewhere_are_read_as_they_were_given_away() {
    let (storage, first) = checked(journal(9), &signer());
    let (storage, second) = checked(grown(storage, 12), &signer());
    let file = &storage.files[CHECKPOINTS];
    let sizes = |bytes: &[u8]| -> Result<(Vec<u64>, bool), &'static str> {
        let read = CheckpointFile::read_outside(bytes).map_err(|damage| damage.fault.code())?;
        let sizes = read.checkpoints.iter().map(|(_, signed)| signed.checkpoint().size);
        Ok((sizes.collect(), read.torn.is_some()))
    };
    let notes = [format!("{}\n", first.note()), second.note().to_owned()].concat();
    assert_eq!(sizes(file), Ok((vec![9, 12], false)));
    assert_eq!(sizes(notes.as_bytes()), Ok((vec![9, 12], false)), "no empty line at the end");
    assert_eq!(sizes(second.note().as_bytes()), Ok((vec![12], false)));
    assert_eq!(sizes(&file[..file.len() - 40]), Ok((vec![9], true)));
    for none in ["", "\n", "example.org/packets\n", &first.note()[..first.note().len() - 9]] {
        assert_eq!(sizes(none.as_bytes()), Err("note-malformed"), "{none}");
    }
}
