//! Who executes batches for clients: while one batch is on its way to disk, the next is executed.
//!
//! The thread that calls executes. With a journal there is a second thread that writes: it takes
//! the batches in their order, several at a time where they wait, makes them durable with one sync,
//! and only then tells what they came to. A third writes snapshots, so that neither waits for those: the
//! state of the moment is held by a child of the process meanwhile (`frozen`).
//!
//! A failure of the disk ends it: what was told is durable, what was not told may or may not be, and
//! clients send it again to who opens the journal next.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::command::Request;
use super::durable::{Durable, DurableError};
use super::engine::{AHEAD, Engine, Rejected};
use super::executor::{Executed, Executor};
use super::frozen::Frozen;
use super::journal::snapshot::write_beside;
use super::journal::{Journal, JournalError, Mark, Signer, Storage};
use super::reply::{Effect, Reply};
use super::units::Time;
use crate::stopwatch::Since;

/// Batches that may wait for the writer: one more than it takes to keep it busy, so that the engine
/// is held up, and requests gather, when the disk is slower than it.
const WAITING_MAX: usize = 2;
/// Batches that share a sync at most: those at the front should not wait for ever more behind.
const SYNC_BATCHES_MAX: usize = 8;

/// When snapshots and checkpoints are written.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A snapshot after so many commands.
    pub snapshot_commands: u64,
    /// A checkpoint after so many batches.
    pub checkpoint_batches: u64,
    /// One when a batch has none yet and no other has come for so long.
    pub checkpoint_still: Duration,
    /// One when a batch has had none for so long.
    pub checkpoint_latest: Duration,
}

impl Default for Pace {
    /// Executing as many commands as lie between two snapshots takes a few seconds; a checkpoint is
    /// a signature and a sync of its own, and looked at whenever the journal is opened. What no
    /// checkpoint covers cannot be told from what a crash left unfinished, if somebody changes it.
    fn default() -> Pace {
        Pace {
            snapshot_commands: 1_000_000,
            checkpoint_batches: 10_000,
            checkpoint_still: Duration::from_secs(1),
            checkpoint_latest: Duration::from_secs(10),
        }
    }
}

/// Why a server had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The journal cannot be written.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// Who should be told cannot be.
    #[error(transparent)]
    Telling(std::io::Error),
}

impl From<JournalError> for ServerError {
    fn from(error: JournalError) -> ServerError {
        ServerError::Durable(error.into())
    }
}

/// Executes batches and tells what they came to, a `T` each, once they are durable.
pub struct Server<T> {
    executor: Executor,
    clients: Clients<T>,
    pace: Pace,
    /// Executed since the last snapshot.
    commands: u64,
    /// Of the journal, without the current one.
    batches: u64,
    current: Executed,
}

type Tell<T> = Box<dyn FnMut(T) -> std::io::Result<()> + Send>;

/// How clients are told.
enum Clients<T> {
    /// At once: nothing is written down.
    Direct(Tell<T>),
    Written(Writer<T>),
}

/// The thread that writes.
struct Writer<T> {
    jobs: SyncSender<Job<T>>,
    thread: JoinHandle<Result<(), ServerError>>,
    snapshot_is_written: Arc<AtomicBool>,
    /// Where a child may write the state, for one snapshot at a time.
    scratch: Option<File>,
}

enum Job<T> {
    Batch(Executed, T),
    /// The state after the batches so far.
    Snapshot(Frozen),
}

impl<T: Send + 'static> Server<T> {
    /// A server that forgets everything when it ends.
    pub fn forgetful(
        mut engine: Engine,
        tell: impl FnMut(T) -> std::io::Result<()> + Send + 'static,
    ) -> Server<T> {
        engine.make_ready();
        let (executor, clients) = (Executor::forgetful(engine), Clients::Direct(Box::new(tell)));
        Server {
            executor,
            clients,
            pace: Pace::default(),
            commands: 0,
            batches: 0,
            current: Executed::default(),
        }
    }

    /// A server that keeps a journal. `beside` is a second handle on the journal's storage, through
    /// which snapshots are written while batches are; without one the batches wait for them. `tell`
    /// is called by the thread that writes.
    pub fn durable<S: Storage + Send + 'static>(
        durable: Durable<S>,
        beside: Option<S>,
        signer: Signer,
        pace: Pace,
        tell: impl FnMut(T) -> std::io::Result<()> + Send + 'static,
    ) -> Server<T> {
        let batches = durable.journal().next().0;
        let (mut executor, journal) = durable.into_parts();
        executor.make_ready();
        let (jobs, received) = sync_channel(WAITING_MAX);
        // Without one the state is copied.
        let scratch = beside.as_ref().and_then(Storage::scratch).and_then(Result::ok);
        let snapshot_is_written = Arc::new(AtomicBool::new(false));
        let writing = Writing {
            journal,
            signer,
            pace,
            tell: Box::new(tell),
            batches: 0,
            since: Since::now(),
            snapshots: Snapshots { beside, thread: None, busy: snapshot_is_written.clone() },
        };
        let thread = std::thread::spawn(move || writing.run(&received));
        let clients = Clients::Written(Writer { jobs, thread, snapshot_is_written, scratch });
        Server { executor, clients, pace, commands: 0, batches, current: Executed::default() }
    }

    /// The engine, as it is with all commands so far.
    pub fn engine(&self) -> &Engine {
        self.executor.engine()
    }

    /// Begins a batch at what the clock shows.
    pub fn begin(&mut self, clock: Time) {
        self.executor.begin(clock);
    }

    /// Executes commands of the batch in their order. `bytes` are the postcard bytes of each, where
    /// the caller has them. `answer` gets each one's place, its reply and how many effects of the
    /// batch have come about so far.
    pub fn execute(
        &mut self,
        requests: &[Request<'_>],
        bytes: Option<&[&[u8]]>,
        mut answer: impl FnMut(usize, Result<Reply, Rejected>, usize),
    ) {
        for (block, requests) in requests.chunks(AHEAD).enumerate() {
            self.executor.engine().look_ahead(requests);
            for (at, request) in (block * AHEAD..).zip(requests) {
                let reply = match bytes {
                    Some(bytes) => self.executor.apply_encoded(request, bytes[at]),
                    None => self.executor.apply(request),
                };
                answer(at, reply, self.executor.engine().effects().len());
            }
        }
    }

    /// Ends the batch: what has fallen due without a command is done. Gives the effects of the
    /// batch and the engine as it is now, for what is to be [told](Self::tell) of it.
    ///
    /// # Panics
    /// When the engine is not as it must be: nobody is told of the batch then.
    pub fn end(&mut self) -> (&[Effect], &Engine) {
        self.current = self.executor.end();
        (&self.current.effects, self.executor.engine())
    }

    /// How many batches the journal has, with the one that was ended, unless nothing happened in it.
    pub fn batches(&self) -> u64 {
        self.batches + u64::from(!self.current.is_empty())
    }

    /// Has clients told of the batch that was ended, once it is durable.
    ///
    /// # Errors
    /// What has stopped the writer, now or before, or the teller.
    pub fn tell(&mut self, told: T) -> Result<(), ServerError> {
        let batch = std::mem::take(&mut self.current);
        self.commands += u64::from(batch.commands());
        self.batches += u64::from(!batch.is_empty());
        match &mut self.clients {
            Clients::Direct(tell) => return tell(told).map_err(ServerError::Telling),
            Clients::Written(writer) => {
                if writer.jobs.send(Job::Batch(batch, told)).is_err() {
                    return self.stopped();
                }
                let busy = writer.snapshot_is_written.load(Ordering::Acquire);
                let early = self.commands < self.pace.snapshot_commands;
                if early || busy || !self.executor.is_settled() {
                    return Ok(());
                }
                self.commands = 0;
                writer.snapshot_is_written.store(true, Ordering::Release);
                let state = Frozen::of(&self.executor, writer.scratch.as_ref());
                if writer.jobs.send(Job::Snapshot(state)).is_err() {
                    return self.stopped();
                }
            }
        }
        Ok(())
    }

    /// Waits until all is told, and signs a last checkpoint.
    ///
    /// # Errors
    /// What has stopped the writer.
    pub fn finish(mut self) -> Result<(), ServerError> {
        self.stopped()
    }

    /// What the writer ended with, once it has.
    fn stopped(&mut self) -> Result<(), ServerError> {
        let nobody = Clients::Direct(Box::new(|_| Err(std::io::ErrorKind::BrokenPipe.into())));
        let Clients::Written(writer) = std::mem::replace(&mut self.clients, nobody) else {
            return Ok(());
        };
        drop(writer.jobs);
        writer.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// What the writer has.
struct Writing<S: Storage, T> {
    journal: Journal<S>,
    signer: Signer,
    pace: Pace,
    tell: Tell<T>,
    /// Since the last checkpoint.
    batches: u64,
    /// When the first of them came.
    since: Since,
    snapshots: Snapshots<S>,
}

impl<S: Storage + Send + 'static, T> Writing<S, T> {
    fn run(mut self, jobs: &Receiver<Job<T>>) -> Result<(), ServerError> {
        loop {
            let first = match self.next(jobs) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.checkpoint()?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut told = Vec::new();
            let mut snapshot = None;
            for job in std::iter::once(first).chain(jobs.try_iter()) {
                match job {
                    Job::Batch(executed, tell) => {
                        executed.append_to(&mut self.journal)?;
                        told.push(tell);
                    }
                    Job::Snapshot(state) => snapshot = self.journal.mark().map(|at| (at, state)),
                }
                if snapshot.is_some() || told.len() == SYNC_BATCHES_MAX {
                    break;
                }
            }
            self.journal.sync()?;
            if self.batches == 0 {
                self.since = Since::now();
            }
            self.batches += told.len() as u64;
            for told in told {
                (self.tell)(told).map_err(ServerError::Telling)?;
            }
            if self.batches >= self.pace.checkpoint_batches
                || self.since.elapsed() >= self.pace.checkpoint_latest
                || snapshot.is_some()
            {
                self.checkpoint()?;
            }
            if let Some((mark, state)) = snapshot {
                self.snapshots.begin(&mut self.journal, &self.signer, mark, state)?;
            }
        }
        self.checkpoint()?;
        self.snapshots.wait()
    }

    /// What is to be done next; a timeout when what was done is to have a checkpoint first.
    fn next(&self, jobs: &Receiver<Job<T>>) -> Result<Job<T>, RecvTimeoutError> {
        match self.batches {
            0 => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            _ => jobs.recv_timeout(self.pace.checkpoint_still),
        }
    }

    fn checkpoint(&mut self) -> Result<(), ServerError> {
        self.batches = 0;
        self.journal.checkpoint(&self.signer)?;
        Ok(())
    }
}

/// Writes snapshots, one at a time.
struct Snapshots<S> {
    beside: Option<S>,
    thread: Option<JoinHandle<(S, std::io::Result<()>)>>,
    /// Whether one is on its way, which the engine's thread set.
    busy: Arc<AtomicBool>,
}

impl<S: Storage + Send + 'static> Snapshots<S> {
    /// Begins to write the state at a mark that a checkpoint covers.
    fn begin(
        &mut self,
        journal: &mut Journal<S>,
        signer: &Signer,
        mark: Mark,
        state: Frozen,
    ) -> Result<(), ServerError> {
        self.wait()?;
        let busy = self.busy.clone();
        match self.beside.take() {
            Some(mut storage) => {
                self.thread = Some(std::thread::spawn(move || {
                    let written = match state.read() {
                        Ok(state) => write_beside(&mut storage, &mark, &state),
                        Err(error) => {
                            // The journal has all that it would have had: the next one may be luckier.
                            tracing::warn!(%error, "the engine's snapshot was not written");
                            Ok(())
                        }
                    };
                    busy.store(false, Ordering::Release);
                    (storage, written)
                }));
            }
            None => {
                let state = state.read().map_err(JournalError::from)?;
                journal.write_snapshot(&mark, &state, signer)?;
                busy.store(false, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Waits for the one that is on its way.
    fn wait(&mut self) -> Result<(), ServerError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let (storage, written) =
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.beside = Some(storage);
        Ok(written.map_err(JournalError::from)?)
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
