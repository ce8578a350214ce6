//! Recovery: every cut and every changed bit, lost sectors, and segments that are not as written.

use super::super::checkpoint::{CHECKPOINTS, Trust};
use super::super::log::{Journal, Options};
use super::super::memory::Memory;
use super::super::toy::{Toy, append, body, journal, signer};
use super::super::verify::verify;
use super::*;

const BATCHES: u64 = 7;
const FIRST: &str = "batches-00000000000000000000.log";

/// A journal of one segment, each batch synced by itself, and where each frame ends.
fn one_segment() -> (Memory, Vec<usize>) {
    let mut storage = journal(BATCHES);
    let all: Vec<u8> = storage.files.values().flatten().copied().collect();
    storage.files = [(FIRST.to_owned(), all)].into();
    let mut ends = vec![0];
    let mut walk = Walk::all(&storage, Depth::Whole).unwrap();
    while let Some(found) = walk.next().unwrap() {
        ends.push((found.offset + found.header.frame_bytes()) as usize);
    }
    assert_eq!(ends.len() as u64, BATCHES + 1);
    (storage, ends)
}

/// The same with a checkpoint of all batches.
fn with_checkpoint(storage: &Memory) -> Memory {
    let mut journal = Journal::open(storage.clone(), &Options::default()).unwrap().0;
    journal.checkpoint(&signer()).unwrap();
    journal.into_storage()
}

fn trusting() -> Options {
    let trust = Trust { key: Some(signer().public().clone()), checkpoints: Vec::new() };
    Options { trust, ..Options::default() }
}

/// The damage for which a journal is refused, and that nothing was changed.
fn refused(storage: &Memory, options: &Options) -> Damage {
    let verified = verify(storage, &options.trust, None).unwrap_err();
    let calls = storage.calls.len();
    let opened = Journal::open(storage.clone(), options).map(|_| calls).unwrap_err();
    match (verified, opened) {
        (JournalError::Damage(verified), JournalError::Damage(opened)) => {
            assert_eq!(verified, opened, "opening and verifying see the same");
            *opened
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cut_at_any_byte_leaves_exactly_the_whole_batches() {
    let (storage, ends) = one_segment();
    let checked = with_checkpoint(&storage);
    let file = &storage.files[FIRST];
    for length in 0..=file.len() {
        let mut cut = storage.clone();
        cut.file(FIRST).truncate(length);
        let (mut journal, recovery) = Journal::open(cut, &Options::default()).unwrap();
        let whole = ends.partition_point(|end| *end <= length) - 1;
        let torn = (length > ends[whole]).then(|| Cut {
            file: FIRST.into(),
            offset: ends[whole] as u64,
            bytes: (length - ends[whole]) as u64,
            whole_frames: 0,
        });
        assert_eq!((recovery.batches, recovery.cut), (whole as u64, torn), "length {length}");
        assert_eq!(journal.storage().files[FIRST], file[..ends[whole]], "length {length}");

        let mut toy = Toy::default();
        (0..whole as u64).for_each(|batch| drop(toy.apply(&body(BatchNumber(batch)))));
        for batch in (whole as u64..BATCHES).map(BatchNumber) {
            append(&mut journal, &mut toy, &body(batch));
            journal.sync().unwrap();
        }
        assert_eq!(&journal.storage().files[FIRST], file, "it goes on from length {length}");

        if length < file.len() {
            let mut cut = checked.clone();
            cut.file(FIRST).truncate(length);
            let damage = refused(&cut, &trusting());
            assert_eq!(
                (damage.fault.code(), damage.batch.0),
                ("checkpoint-truncated", whole as u64)
            );
        }
    }
}

/// A changed bit is never accepted. In the last frame it looks like a crash, and is cut off and
/// reported; with a checkpoint it is refused there too.
#[test]
fn a_changed_bit_at_any_byte_is_never_accepted() {
    let (storage, ends) = one_segment();
    let checked = with_checkpoint(&storage);
    let last = ends[ends.len() - 2];
    for bit in 0..storage.files[FIRST].len() * 8 {
        let byte = bit / 8;
        let flip = |storage: &Memory| {
            let mut changed = storage.clone();
            changed.file(FIRST)[byte] ^= 1 << (bit % 8);
            changed
        };
        let batch = ends.partition_point(|end| *end <= byte) as u64 - 1;
        let changed = flip(&storage);
        if byte < last {
            let damage = refused(&changed, &Options::default());
            assert_eq!(damage.file, FIRST);
            assert_eq!(damage.batch.0, batch, "bit {bit}: {damage}");
            assert_eq!(damage.offset, ends[batch as usize] as u64, "bit {bit}: {damage}");
        } else {
            let (_, recovery) = Journal::open(changed, &Options::default()).unwrap();
            let cut = recovery.cut.expect("the cut is reported");
            assert_eq!((recovery.batches, cut.offset), (BATCHES - 1, last as u64), "bit {bit}");
        }
        let damage = refused(&flip(&checked), &trusting());
        let expected = if byte < last { batch } else { BATCHES - 1 };
        assert_eq!(damage.batch.0, expected, "bit {bit}: {damage}");
    }
}

/// A crash may lose any of the 512-byte sectors that were not synced, also those before others that
/// were kept. Each such disk must open, with all batches that were durable.
#[test]
fn any_loss_of_sectors_that_were_not_synced_is_recovered_from() {
    let large = |batch: u64| -> Vec<u8> {
        (0..60)
            .flat_map(|at| [&b"a"[..], &(batch * 1000 + at).to_le_bytes()[..]].concat())
            .collect()
    };
    let mut journal = Journal::open(Memory::default(), &Options::default()).unwrap().0;
    let mut toy = Toy::default();
    for batch in 0..5 {
        append(&mut journal, &mut toy, &large(batch));
        if batch == 1 {
            journal.sync().unwrap();
        }
    }
    let hashes: Vec<_> = (0..5).map(|b| journal.hash_of(BatchNumber(b)).unwrap()).collect();
    let storage = journal.into_storage();
    let (length, synced) = (storage.files[FIRST].len(), storage.synced[FIRST].len());
    let sectors: Vec<usize> = (synced / 512..length.div_ceil(512)).collect();
    assert!(sectors.len() >= 5 && sectors.len() < 10);
    let mut counts = [0; 6];
    let mut whole_frames = 0;
    for lost in 0..1_usize << sectors.len() {
        for kept in 0..=sectors.len() {
            let mut crashed = storage.clone();
            let file = crashed.file(FIRST);
            for (place, sector) in sectors.iter().enumerate() {
                if lost >> place & 1 == 1 {
                    file[(sector * 512).max(synced)..length.min((sector + 1) * 512)].fill(0);
                }
            }
            file.truncate(length.min(((sectors[0] + kept) * 512).max(synced)));
            let (journal, recovery) = Journal::open(crashed, &Options::default()).unwrap();
            let batches = recovery.batches as usize;
            assert!((2..=5).contains(&batches));
            assert_eq!(journal.hash(), hashes[batches - 1]);
            counts[batches] += 1;
            whole_frames += recovery.cut.map_or(0, |cut| cut.whole_frames);
            let again = Journal::open(journal.into_storage(), &Options::default()).unwrap().1;
            assert_eq!((again.batches as usize, again.cut), (batches, None));
        }
    }
    assert!(counts[2..].iter().all(|count| *count > 0), "{counts:?}");
    assert!(whole_frames > 0, "some were lost in front of whole ones");
}

#[test]
fn the_same_loss_after_a_later_sync_is_damage() {
    let (storage, ends) = one_segment();
    for batch in 0..BATCHES as usize - 1 {
        let mut changed = storage.clone();
        changed.file(FIRST)[ends[batch]..ends[batch + 1]].fill(0);
        let damage = refused(&changed, &Options::default());
        assert_eq!((damage.fault.code(), damage.batch.0), ("frame-magic", batch as u64));
    }
}

/// Rows: what was done to the frames of seven batches, then the fault and its batch.
#[test]
fn frames_that_were_moved_or_written_anew_are_refused_with_their_place() {
    let (storage, ends) = one_segment();
    let file = &storage.files[FIRST];
    let frame = |batch: usize| &file[ends[batch]..ends[batch + 1]];
    let join = |batches: &[usize]| batches.iter().flat_map(|b| frame(*b)).copied().collect();
    // An edit by someone who knows the layout: the body is changed and the frame hashed again.
    let edited = |batch: usize, change: &dyn Fn(&mut Header)| {
        let (mut header, body) = frame::decode(frame(batch)).unwrap();
        let mut body = body.to_vec();
        body[1] ^= 1;
        change(&mut header);
        let mut bytes = file[..ends[batch]].to_vec();
        frame::encode(&header, &body, &mut bytes);
        bytes.extend_from_slice(&file[ends[batch + 1]..]);
        bytes
    };
    let broken = [&file[..ends[5]], &[0; 100], frame(1)].concat();
    let rows: [(&str, Vec<u8>, &str, u64); 10] = [
        ("an old frame behind a broken one", broken, "frame-magic", 5),
        ("swap", join(&[0, 1, 3, 2, 4, 5, 6]), "batch-number", 2),
        ("drop", join(&[0, 1, 3, 4, 5, 6]), "batch-number", 2),
        ("drop the first", join(&[1, 2, 3, 4, 5, 6]), "batch-number", 0),
        ("repeat", join(&[0, 1, 1, 2, 3, 4, 5, 6]), "batch-number", 2),
        ("edit", edited(3, &|_| ()), "batch-previous-hash", 4),
        ("other hash before", edited(3, &|h| h.previous.0[5] ^= 1), "batch-previous-hash", 3),
        ("commands left out", edited(3, &|h| h.first_sequence.0 += 1), "batch-sequence", 3),
        ("clock back", edited(3, &|h| h.time.0 -= 1001), "batch-time", 3),
        ("a gap of zeros", [frame(0), &[0; 512], &file[ends[1]..]].concat(), "frame-magic", 1),
    ];
    for (what, bytes, code, batch) in rows {
        let mut changed = storage.clone();
        changed.files.insert(FIRST.into(), bytes);
        let damage = refused(&changed, &Options::default());
        assert_eq!((damage.fault.code(), damage.batch.0), (code, batch), "{what}: {damage}");
    }
}

#[test]
fn segments_that_are_missing_renamed_or_cut_are_refused() {
    let storage = journal(12);
    let names: Vec<String> = storage.files.keys().cloned().collect();
    assert!(names.len() > 3);
    let code = |changed: &Memory| refused(changed, &Options::default()).fault.code();
    for (at, name) in names.iter().enumerate() {
        let mut without = with_checkpoint(&storage);
        let bytes = without.files.remove(name).unwrap();
        let is_last = at + 1 == names.len();
        if !is_last {
            assert_eq!(code(&without), "segment-missing", "{name}");
            for length in 0..bytes.len() {
                let mut cut = storage.clone();
                cut.file(name).truncate(length);
                let code = code(&cut);
                assert!(code == "frame-short" || code == "segment-missing", "{name}: {code}");
            }
        }
        let damage = refused(&without, &trusting());
        let expected = if is_last { "checkpoint-truncated" } else { "segment-missing" };
        assert_eq!(damage.fault.code(), expected, "{name}");

        let mut renamed = storage.clone();
        let bytes = renamed.files.remove(name).unwrap();
        renamed.files.insert(name.replace(".log", ".old"), bytes.clone());
        assert_eq!(code(&renamed), "segment-name");
        let mut twice = storage.clone();
        twice.files.insert(segment_name(BatchNumber(1)), bytes);
        assert_eq!(code(&twice), "segment-overlap");
    }
}

#[test]
fn a_last_segment_without_a_frame_is_what_a_crash_leaves() {
    let mut storage = journal(12);
    storage.files.insert(segment_name(BatchNumber(12)), Vec::new());
    let (mut journal, recovery) = Journal::open(storage, &Options::default()).unwrap();
    assert_eq!((recovery.batches, recovery.cut), (12, None));
    append(&mut journal, &mut Toy::default(), b"abbbbbbbb");
    journal.sync().unwrap();
    let again = Journal::open(journal.into_storage(), &Options::default()).unwrap();
    assert_eq!(again.1.batches, 13);
}

/// Three checkpoints; the end of the last one is in the second sector of the file.
fn with_three_checkpoints() -> (Memory, [usize; 4]) {
    let mut journal = Journal::open(journal(3), &Options::default()).unwrap().0;
    let mut ends = [0; 4];
    for end in &mut ends[1..] {
        journal.checkpoint(&signer()).unwrap();
        *end = journal.storage().files[CHECKPOINTS].len();
        append(&mut journal, &mut Toy::default(), b"abbbbbbbb");
        journal.sync().unwrap();
    }
    assert!(ends[2] < 512 && 512 < ends[3], "{ends:?}");
    (journal.into_storage(), ends)
}

#[test]
fn a_broken_end_of_the_checkpoints_is_cut_and_any_other_change_refused() {
    let (storage, ends) = with_three_checkpoints();
    let length = ends[3];
    for cut in 0..length {
        let mut torn = storage.clone();
        torn.file(CHECKPOINTS).truncate(cut);
        let (journal, recovery) = Journal::open(torn, &trusting()).unwrap();
        let kept = ends[ends.partition_point(|end| *end <= cut) - 1];
        let bytes = recovery.checkpoints_cut.map_or(0, |cut| cut.bytes);
        assert_eq!(bytes, (cut - kept) as u64, "cut at {cut}");
        assert_eq!(journal.storage().files[CHECKPOINTS].len(), kept, "cut at {cut}");
    }
    // A sector of the last one that was lost, in whole or in part, also in front of one that was kept.
    for from in ends[2]..length {
        let end = if from < 512 { 512 } else { length };
        let mut zeros = storage.clone();
        zeros.file(CHECKPOINTS)[from..end].fill(0);
        let (_, recovery) = Journal::open(zeros, &trusting()).unwrap();
        let cut = recovery.checkpoints_cut.expect("it is reported");
        assert_eq!(cut.offset, ends[2] as u64, "zeros from {from}");
        if from + 1 < end {
            let mut zeros = storage.clone();
            zeros.file(CHECKPOINTS)[from..end - 1].fill(0);
            let damage = refused(&zeros, &trusting());
            assert_eq!(damage.file, CHECKPOINTS, "no sector ends before {end}");
        }
    }
}

#[test]
fn no_bit_of_the_checkpoints_can_be_changed_unseen() {
    let (storage, ends) = with_three_checkpoints();
    for bit in 0..ends[3] * 8 {
        let mut changed = storage.clone();
        changed.file(CHECKPOINTS)[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(refused(&changed, &trusting()).file, CHECKPOINTS, "bit {bit}");
    }
}
