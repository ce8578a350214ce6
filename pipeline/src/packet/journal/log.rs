//! The journal: batches in order, durable once synced.

use super::checkpoint::{CHECKPOINTS, SignedCheckpoint, Trust, entry};
use super::error::{Cut, Damage, Fault, JournalError};
use super::frame::{self, BODY_BYTES_MAX, Header};
use super::ids::{BatchNumber, FrameHash, Root, Seq, Time};
use super::merkle::{Frontier, Tree};
use super::note::Signer;
use super::segment::{Depth, Follows, SEGMENT_BYTES, Walk, is_segment, segment_name};
use super::snapshot::{self, Loaded, Mark};
use super::storage::Storage;
use super::touched::{PACKET_BYTES_MAX, Touched, heads_root};
use super::verify::{Survey, log_leaf};
use crate::packet::bugs::{Bug, made};

/// A batch that the engine has applied.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The number of its first command: that after the last one of the batch before.
    pub first_sequence: Seq,
    /// How many commands it holds; it may be none.
    pub count: u32,
    /// When the engine applied it: not before the batch in front of it.
    pub time: Time,
    /// The commands and their outcomes, as the engine encodes them.
    pub body: &'a [u8],
    /// The packets that it touched, each once, in the order in which it touched them first.
    pub touched: &'a [Touched<'a>],
}

/// How a journal is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is known of its checkpoints.
    pub trust: Trust,
    /// A segment is ended before it grows past this: [`SEGMENT_BYTES`], less in tests.
    pub segment_bytes: u64,
    /// From where on it is read and checked.
    pub begin: Begin,
}

/// From where on a journal is read and checked when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Begin {
    /// From its first byte: the time grows with the journal.
    #[default]
    First,
    /// From the batch of the newest whole snapshot, whose log tree is then believed, and held
    /// against the checkpoint of that size if there is one. Damage before it goes unseen, and so
    /// do a false checkpoint of fewer batches and a false state; [`super::verify()`] finds them.
    Snapshot,
}

impl Default for Options {
    fn default() -> Options {
        Options { trust: Trust::default(), segment_bytes: SEGMENT_BYTES, begin: Begin::First }
    }
}

/// What opening a journal found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How many batches it has.
    pub batches: u64,
    /// The first batch that was read and checked.
    pub checked_from: BatchNumber,
    /// How many checkpoints its file has. None where there should be some is a sign that the file
    /// was taken away.
    pub checkpoints: u64,
    /// The unfinished end that was cut off its last segment.
    pub cut: Option<Cut>,
    /// The unfinished end that was cut off the file of checkpoints.
    pub checkpoints_cut: Option<Cut>,
}

/// Whether a storage has a journal, or what is left of one.
///
/// # Errors
/// Those of the storage.
pub fn is_begun<S: Storage>(storage: &S) -> std::io::Result<bool> {
    let of_a_journal =
        |name: &String| name == CHECKPOINTS || is_segment(name) || snapshot::is_snapshot(name);
    Ok(storage.list()?.iter().any(of_a_journal))
}

/// The durable log of the engine. One value at a time may write to a storage.
///
/// After a call has failed because of the storage, the journal is poisoned: nobody knows what is on
/// disk, so every later call fails, and the process must end and open it anew. A failed sync is
/// never tried again, because the system may have thrown the bytes away and would report success.
#[derive(Debug)]
pub struct Journal<S> {
    storage: S,
    segment_bytes: u64,
    /// The segment that is written to, and its length; none before the first batch.
    segment: Option<(String, u64)>,
    follows: Follows,
    /// Batches below this number are on disk.
    durable: BatchNumber,
    tree: Frontier,
    last_checkpoint: Option<SignedCheckpoint>,
    buffer: Vec<u8>,
    poisoned: bool,
}

impl<S: Storage> Journal<S> {
    /// Opens the journal in a storage, or begins one. It reads and checks it, from
    /// [`Options::begin`] on, and cuts off what a crash left unfinished; all that it found whole is
    /// on disk when it returns.
    ///
    /// # Errors
    /// [`JournalError::Damage`] if it is not what was written, [`JournalError::Snapshot`] if it
    /// does not fit the snapshot that it begins with, and then nothing was changed;
    /// [`JournalError::Io`].
    pub fn open(mut storage: S, options: &Options) -> Result<(Journal<S>, Recovery), JournalError> {
        let begin = match options.begin {
            Begin::First => None,
            Begin::Snapshot => snapshot::newest_mark(&storage)?,
        };
        let checked_from = begin.as_ref().map_or(BatchNumber(0), |(_, mark)| mark.batch);
        let survey = Survey::of(&storage, &options.trust, begin, |_, _| Ok(()))?;
        snapshot::remove_unfinished(&mut storage)?;
        let torn = survey.torn.iter().filter(|_| !made(Bug::UnfinishedEndStays));
        for cut in torn.chain(&survey.checkpoints.torn) {
            storage.truncate(&cut.file, cut.offset)?;
            storage.sync(&cut.file)?;
        }
        let mut segment = None;
        if let Some(last) = survey.last_segment {
            // A process that ended without a sync leaves whole frames that are only in memory yet.
            storage.sync(&last.name)?;
            let length = storage.len(&last.name)?;
            segment = Some((last.name, length));
        }
        storage.sync_directory()?;
        let recovery = Recovery {
            batches: survey.tree.size(),
            checked_from,
            checkpoints: survey.checkpoints.checkpoints.len() as u64,
            cut: survey.torn,
            checkpoints_cut: survey.checkpoints.torn,
        };
        let journal = Journal {
            storage,
            segment_bytes: options.segment_bytes,
            segment,
            follows: survey.follows,
            durable: survey.follows.batch,
            tree: survey.tree,
            last_checkpoint: survey.checkpoints.checkpoints.into_iter().next_back().map(|(_, c)| c),
            buffer: Vec::new(),
            poisoned: false,
        };
        Ok((journal, recovery))
    }

    /// Puts a batch at the end. It is durable only after the next [`Journal::sync`].
    ///
    /// # Errors
    /// What is wrong with the batch, and then nothing was written; [`JournalError::Io`] and
    /// [`JournalError::Poisoned`].
    pub fn append(&mut self, batch: &Batch<'_>) -> Result<Header, JournalError> {
        self.ready()?;
        self.check(batch)?;
        let header = Header {
            batch: self.follows.batch,
            first_sequence: batch.first_sequence,
            count: batch.count,
            time: batch.time,
            durable: self.durable,
            previous: self.hash(),
            heads_root: heads_root(batch.touched),
            body_bytes: 0,
            hash: FrameHash::GENESIS,
        };
        self.guarded(|journal| {
            if journal.segment.as_ref().is_none_or(|(_, bytes)| {
                let frame = (frame::HEADER_BYTES + batch.body.len()) as u64;
                *bytes > 0 && *bytes + frame > journal.segment_bytes
            }) {
                journal.begin_segment()?;
            }
            // Only now is `durable` known: to begin a segment is to sync the one before it.
            let durable = match made(Bug::FrameCallsItselfDurable) {
                true => header.batch,
                false => journal.durable,
            };
            let header = Header { durable, ..header };
            journal.buffer.clear();
            let header = frame::encode(&header, batch.body, &mut journal.buffer);
            let (name, bytes) = journal.segment.as_mut().expect("a segment was begun");
            let appended = journal.storage.append(name, &journal.buffer);
            if !made(Bug::FailedAppendCounts) {
                appended?;
            }
            *bytes += header.frame_bytes();
            journal.tree.push(log_leaf(&header.hash, &header.heads_root));
            journal.follows = Follows::after(&header);
            Ok(header)
        })
    }

    /// Makes all appended batches durable, and gives the number of the first that is not: the next
    /// one.
    ///
    /// # Errors
    /// [`JournalError::Io`] and [`JournalError::Poisoned`].
    pub fn sync(&mut self) -> Result<BatchNumber, JournalError> {
        self.ready()?;
        self.guarded(Journal::sync_segment)
    }

    /// The batches from a number on, read from disk one by one.
    ///
    /// # Errors
    /// [`JournalError::NoSuchBatch`] if the number is past the next batch's.
    pub fn batches_from(&self, batch: BatchNumber) -> Result<Batches<'_, S>, JournalError> {
        self.ready()?;
        if batch > self.next() {
            return Err(JournalError::NoSuchBatch(batch));
        }
        Ok(Batches { walk: Walk::from(&self.storage, batch)?, end: self.next() })
    }

    /// Signs what the journal holds now and puts the checkpoint at the end of `checkpoints.txt`;
    /// all batches are durable before. If the last one was of the same size and by the same key, it
    /// is given back and nothing is written.
    ///
    /// # Errors
    /// [`JournalError::Io`] and [`JournalError::Poisoned`].
    pub fn checkpoint(&mut self, signer: &Signer) -> Result<SignedCheckpoint, JournalError> {
        self.sync()?;
        if let Some(last) = &self.last_checkpoint
            && last.checkpoint().size == self.tree.size()
            && last.verify(signer.public()).is_ok()
        {
            return Ok(last.clone());
        }
        let checkpoint = SignedCheckpoint::sign(self.tree.size(), self.tree.root(), signer);
        self.guarded(|journal| {
            if !journal.storage.list()?.iter().any(|name| name == CHECKPOINTS) {
                journal.storage.create(CHECKPOINTS)?;
                journal.storage.sync_directory()?;
            }
            journal.storage.append(CHECKPOINTS, entry(&checkpoint).as_bytes())?;
            journal.storage.sync(CHECKPOINTS)
        })?;
        self.last_checkpoint = Some(checkpoint.clone());
        Ok(checkpoint)
    }

    /// The place that the journal has come to; none while there is no batch. It costs a copy of up
    /// to 2 kB.
    pub fn mark(&self) -> Option<Mark> {
        let batch = BatchNumber(self.tree.size().checked_sub(1)?);
        Some(Mark { batch, frame: self.hash(), tree: self.tree.clone() })
    }

    /// Keeps the engine's state at a mark of this journal, with a checkpoint of all batches so far.
    ///
    /// # Errors
    /// [`JournalError::NoSuchBatch`] if the mark is past the end; [`JournalError::Io`] and
    /// [`JournalError::Poisoned`].
    pub fn write_snapshot(
        &mut self,
        mark: &Mark,
        state: &[u8],
        signer: &Signer,
    ) -> Result<SignedCheckpoint, JournalError> {
        self.ready()?;
        if mark.batch >= self.next() {
            return Err(JournalError::NoSuchBatch(mark.batch));
        }
        if made(Bug::SnapshotRunsAhead) {
            self.guarded(|journal| snapshot::write(&mut journal.storage, mark, state))?;
        }
        let checkpoint = self.checkpoint(signer)?;
        self.guarded(|journal| snapshot::write(&mut journal.storage, mark, state))?;
        Ok(checkpoint)
    }

    /// The newest snapshot that is whole. The batches after it are [`Journal::batches_from`] the
    /// next.
    ///
    /// # Errors
    /// [`JournalError::Snapshot`] if one does not fit the journal.
    pub fn load_snapshot(&self) -> Result<Loaded, JournalError> {
        self.ready()?;
        snapshot::load(&self.storage, self.tree.size(), |batch| self.hash_of(batch))
    }

    /// The log tree with all its hashes, from which proofs are made: 64 bytes a batch, read from
    /// the headers on disk.
    ///
    /// # Errors
    /// [`JournalError::Damage`] if what is on disk is no longer what was written or read before.
    pub fn log_tree(&self) -> Result<Tree, JournalError> {
        self.ready()?;
        let mut tree = Tree::default();
        let mut walk = Walk::all(&self.storage, Depth::Headers)?;
        while tree.size() < self.tree.size()
            && let Some(found) = walk.next()?
        {
            tree.push(log_leaf(&found.header.hash, &found.header.heads_root));
        }
        match tree.root_at(self.tree.size()) {
            Some(root) if root == self.tree.root() => Ok(tree),
            _ => {
                let file = self.segment.as_ref().map_or_else(String::new, |(name, _)| name.clone());
                let (batch, fault) = (BatchNumber(tree.size()), Fault::LogTree);
                Err(Box::new(Damage { file, offset: 0, batch, fault }).into())
            }
        }
    }

    /// The hash of a batch's frame, read from its header.
    ///
    /// # Errors
    /// [`JournalError::NoSuchBatch`].
    pub fn hash_of(&self, batch: BatchNumber) -> Result<FrameHash, JournalError> {
        self.ready()?;
        if batch >= self.next() {
            return Err(JournalError::NoSuchBatch(batch));
        }
        if batch.next() == self.next() {
            return Ok(self.hash());
        }
        let mut walk = Walk::from(&self.storage, batch)?;
        let found = walk.next()?.ok_or(JournalError::NoSuchBatch(batch))?;
        Ok(found.header.hash)
    }

    /// The number of the next batch: how many there are.
    pub fn next(&self) -> BatchNumber {
        self.follows.batch
    }

    /// The number of the next command; none while there is no batch.
    pub fn next_sequence(&self) -> Option<Seq> {
        self.follows.sequence
    }

    /// Batches below this number are on disk.
    pub fn durable(&self) -> BatchNumber {
        self.durable
    }

    /// The hash of the last frame.
    pub fn hash(&self) -> FrameHash {
        self.follows.previous.unwrap_or(FrameHash::GENESIS)
    }

    /// The root of the log tree over all batches, durable or not.
    pub fn root(&self) -> Root {
        self.tree.root()
    }

    /// Where it is kept.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// Where it is kept, to make it fail.
    #[cfg(test)]
    pub(super) fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    /// Ends the journal, without a sync, and gives its storage back.
    pub fn into_storage(self) -> S {
        self.storage
    }

    fn ready(&self) -> Result<(), JournalError> {
        if self.poisoned { Err(JournalError::Poisoned) } else { Ok(()) }
    }

    /// Does what changes the storage; an error poisons the journal.
    fn guarded<T>(
        &mut self,
        change: impl FnOnce(&mut Journal<S>) -> std::io::Result<T>,
    ) -> Result<T, JournalError> {
        // Set first, so that a panic on the way leaves it poisoned too.
        self.poisoned = true;
        let done = change(self)?;
        self.poisoned = false;
        Ok(done)
    }

    fn check(&self, batch: &Batch<'_>) -> Result<(), JournalError> {
        let found = batch.first_sequence;
        if let Some(expected) = self.follows.sequence.filter(|expected| *expected != found) {
            return Err(JournalError::Sequence { found, expected });
        }
        if found.after(batch.count).is_none() {
            return Err(JournalError::SequenceEnd(found));
        }
        let found = batch.time;
        if let Some(before) = self.follows.time.filter(|before| *before > found) {
            return Err(JournalError::Time { found, before });
        }
        if batch.body.len() > BODY_BYTES_MAX {
            return Err(JournalError::BodyTooLong(batch.body.len()));
        }
        let long = batch.touched.iter().find(|touched| touched.packet.len() > PACKET_BYTES_MAX);
        match long {
            Some(touched) => Err(JournalError::PacketTooLong(touched.packet.len())),
            None => Ok(()),
        }
    }

    fn sync_segment(&mut self) -> std::io::Result<BatchNumber> {
        if self.durable < self.follows.batch {
            let (name, _) = self.segment.as_ref().expect("a batch was appended to it");
            let synced = match made(Bug::SyncIsLeftOut) {
                true => Ok(()),
                false => self.storage.sync(name),
            };
            if !made(Bug::FailedSyncCounts) {
                synced?;
            }
            self.durable = self.follows.batch;
        }
        Ok(self.durable)
    }

    /// Ends the segment and begins the next. What the old one holds is durable before the new one
    /// has a name, so only the last segment can ever be unfinished.
    fn begin_segment(&mut self) -> std::io::Result<()> {
        if !made(Bug::OldSegmentIsNotSynced) {
            self.sync_segment()?;
        }
        let name = segment_name(self.follows.batch);
        self.storage.create(&name)?;
        if !made(Bug::SegmentNameIsNotSynced) {
            self.storage.sync_directory()?;
        }
        self.segment = Some((name, 0));
        Ok(())
    }
}

/// Batches that are read from disk one by one.
#[derive(Debug)]
pub struct Batches<'s, S> {
    walk: Walk<'s, S>,
    end: BatchNumber,
}

impl<S: Storage> Batches<'_, S> {
    /// The next batch and its body; none at the end of the journal.
    ///
    /// # Errors
    /// [`JournalError::Damage`] if it is no longer what was written or read before.
    pub fn next_batch(&mut self) -> Result<Option<(Header, &[u8])>, JournalError> {
        if self.walk.follows().batch >= self.end {
            return Ok(None);
        }
        let batch = self.walk.follows().batch;
        match self.walk.next()? {
            Some(found) => Ok(Some((found.header, found.body))),
            None => Err(JournalError::NoSuchBatch(batch)),
        }
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
