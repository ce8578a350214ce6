//! What must hold whatever bytes the packet engine is given: as a journal, and as lines of commands.
//!
//! The suite runs the same checks on random input, without a nightly compiler
//! (`pipeline/tests/it/packet_bytes.rs`, which includes this file).

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use hongxian::packet::draw::MasterSecret;
use hongxian::packet::engine::Engine;
use hongxian::packet::journal::ids::{BatchNumber, Seq, Time};
use hongxian::packet::journal::segment::segment_name;
use hongxian::packet::journal::{Batch, Journal, Options, Storage, Trust, frame, verify};
use hongxian::packet::json::{self, Line};
use hongxian::packet::limits::Limits;
use hongxian::packet::units;

/// Batches of the journal that is damaged: the last is never whole without those before.
const BATCHES: u64 = 5;
/// So many changes to a journal: more would leave nothing of it.
const CHANGES_MAX: usize = 8;
/// Lines of an input: more find nothing new and take longer.
const LINES_MAX: usize = 40;

/// Bytes as a frame, as a segment, and as changes to a segment that was whole.
///
/// What decodes as a frame is encoded to the same bytes. A journal that opens opens again, as it is
/// then and without another cut, and verifies.
pub fn journal(bytes: &[u8]) {
    if let Ok((header, body)) = frame::decode(bytes) {
        let mut again = Vec::new();
        assert_eq!(frame::encode(&header, body, &mut again), header);
        assert_eq!(again, bytes[..again.len()]);
    }
    let mut files = Files::default();
    *files.file(&segment_name(BatchNumber(0))) = bytes.to_vec();
    reopened(files);
    damaged(bytes);
}

/// Opens a journal, and then once more; what the batches hold, if it opens.
fn reopened(files: Files) -> Option<Vec<Vec<u8>>> {
    // It may say what it likes of what is damaged, but not panic.
    let _ = verify(&files, &Trust::default(), None);
    let (journal, recovery) = Journal::open(files, &Options::default()).ok()?;
    let bodies = bodies(&journal);
    assert_eq!(bodies.len() as u64, recovery.batches);
    let files = journal.into_storage();
    let verified = verify(&files, &Trust::default(), None).expect("what opened is whole");
    assert_eq!(verified.batches, recovery.batches);
    let (journal, again) = Journal::open(files, &Options::default()).expect("it opened before");
    assert_eq!((again.batches, again.cut.is_none()), (recovery.batches, true));
    Some(bodies).filter(|held| *held == self::bodies(&journal))
}

fn bodies(journal: &Journal<Files>) -> Vec<Vec<u8>> {
    let mut batches = journal.batches_from(BatchNumber(0)).expect("it is open");
    let mut bodies = Vec::new();
    while let Some((header, body)) = batches.next_batch().expect("it was read when it opened") {
        assert_eq!(header.batch, BatchNumber(bodies.len() as u64));
        bodies.push(body.to_vec());
    }
    bodies
}

fn body(batch: u64) -> Vec<u8> {
    (0..40 + 13 * batch).map(|at| (at * 7 + batch) as u8).collect()
}

/// Takes three bytes for a change to a journal: where, and by what the byte there changes; 0 cuts.
/// A journal that opens all the same holds what was written, up to some batch: nothing else, in no
/// other order.
fn damaged(bytes: &[u8]) {
    let new = Journal::open(Files::default(), &Options::default());
    let (mut journal, _) = new.expect("a new journal");
    for batch in 0..BATCHES {
        let (time, body) = (Time(batch as i64), body(batch));
        let first_sequence = Seq(batch + 1);
        let batch = Batch { first_sequence, count: 1, time, body: &body, touched: &[] };
        journal.append(&batch).expect("it follows");
        if bytes.len().is_multiple_of(2) {
            journal.sync().expect("in memory");
        }
    }
    let mut files = journal.into_storage();
    let segment = files.file(&segment_name(BatchNumber(0)));
    for change in bytes.chunks_exact(3).take(CHANGES_MAX) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % segment.len().max(1);
        match (change[2], segment.get_mut(at)) {
            (0, _) => segment.truncate(at),
            (by, Some(byte)) => *byte ^= by,
            (_, None) => {}
        }
    }
    if let Some(held) = reopened(files) {
        assert!(held.len() as u64 <= BATCHES);
        assert!(held.iter().zip(0..).all(|(held, batch)| *held == body(batch)), "as written");
    }
}

/// Lines of JSON as commands; how many were executed.
///
/// Whatever is asked, the money and the claims stay as they must be, outcomes are JSON, and an
/// engine that is written down and read again after each line answers the same.
pub fn commands(bytes: &[u8]) -> usize {
    let secret = MasterSecret::new([7; 32]);
    let mut engine = Engine::new(Limits::default(), secret.clone());
    let mut restarted = Engine::new(Limits::default(), secret.clone());
    let mut clock = units::Time(1_707_480_000_000_000_000);
    let mut executed = 0;
    for line in bytes.split(|byte| *byte == b'\n').take(LINES_MAX) {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else { continue };
        clock = line.at.as_ref().map_or(clock, |at| at.0);
        let Ok(request) = json::command(&line) else { continue };
        let reply = engine.apply(clock, &request);
        assert_eq!(restarted.apply(clock, &request), reply, "the same answer after a restart");
        let effects = engine.take_effects();
        assert_eq!(restarted.take_effects(), effects);
        let outcome = json::outcome(request.id, reply, &effects, &engine);
        let outcome = serde_json::to_string(&outcome).expect("an outcome is JSON");
        assert!(!outcome.contains('\n'), "one a line");
        engine.end_batch();
        engine.audit();
        restarted.end_batch();
        let written = postcard::to_allocvec(&restarted).expect("an engine can be written");
        let read: Engine = postcard::from_bytes(&written).expect("and read");
        restarted = read.restored(secret.clone());
        executed += 1;
    }
    executed
}

/// Files in memory.
#[derive(Clone, Debug, Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    fn file(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.entry(name.to_owned()).or_default()
    }

    fn held(&self, name: &str) -> io::Result<&Vec<u8>> {
        self.0.get(name).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn held_mut(&mut self, name: &str) -> io::Result<&mut Vec<u8>> {
        self.0.get_mut(name).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Storage for Files {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.held(name)?.len() as u64)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.held(name).cloned()
    }

    fn read_range(&self, name: &str, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let file = self.held(name)?;
        let rest = &file[(offset as usize).min(file.len())..];
        Ok(rest[..bytes.min(rest.len())].to_vec())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        match self.0.insert(name.to_owned(), Vec::new()) {
            None => Ok(()),
            Some(_) => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.held_mut(name)?.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        self.held_mut(name)?.truncate(bytes as usize);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let file = self.0.remove(from).ok_or(ErrorKind::NotFound)?;
        self.0.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        Ok(())
    }
}
