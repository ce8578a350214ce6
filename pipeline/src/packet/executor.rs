//! The engine while it makes batches: commands are executed, and with their results become the body
//! of a batch that a journal can hold.
//!
//! It waits for nothing. Whether the batch is written down at once ([`durable`](super::durable)),
//! by a thread beside it ([`server`](super::server)) or not at all is the affair of who takes it.

use std::io::{BufWriter, Write};

use compact_str::CompactString;
use serde::Serialize;

use super::command::Request;
use super::engine::{Engine, Rejected};
use super::journal::ids::Head;
use super::journal::{Batch, Header, Journal, JournalError, Storage, Touched};
use super::reply::{Digest, Effect, Reply, Seq};
use super::units::Time;

/// The engine with the batch that is being made.
#[derive(Debug)]
pub struct Executor {
    engine: Engine,
    clock: Time,
    first: u64,
    count: u32,
    /// Whether batches get a body and the heads of chains, for a journal.
    written: bool,
    /// Whether the last batch left something for a journal.
    settled: bool,
    body: Vec<u8>,
}

/// A batch that was executed. Nobody may be told of it before it is on disk.
#[derive(Debug, Default)]
pub struct Executed {
    /// What the engine did beside its replies.
    pub effects: Vec<Effect>,
    first: Seq,
    count: u32,
    time: Time,
    /// Commands with their results, then the effects.
    body: Vec<u8>,
    grown: Vec<Grown>,
}

/// A packet whose chain has grown in a batch, as it is after it.
#[derive(Debug)]
struct Grown {
    packet: CompactString,
    head: Digest,
    links: u32,
}

impl Executor {
    /// An executor of an engine, which may be new.
    pub fn new(engine: Engine) -> Executor {
        // A clock that has gone back since stands still, as it does within one run.
        let clock = engine.clock().max(Time(0));
        let (written, settled) = (true, true);
        Executor { engine, clock, first: 0, count: 0, written, settled, body: Vec::new() }
    }

    /// An executor whose batches no journal gets.
    pub fn forgetful(engine: Engine) -> Executor {
        Executor { written: false, ..Executor::new(engine) }
    }

    /// See [`Engine::make_ready`].
    pub fn make_ready(&mut self) {
        self.engine.make_ready();
    }

    /// The engine, as it is with all commands so far.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Begins a batch at what the caller's clock shows.
    pub fn begin(&mut self, clock: Time) {
        self.clock = clock.max(self.clock);
        self.first = self.engine.commands();
        self.count = 0;
        self.body.clear();
    }

    /// Executes a command in the batch.
    ///
    /// # Errors
    /// As [`Engine::apply`].
    pub fn apply(&mut self, request: &Request<'_>) -> Result<Reply, Rejected> {
        if !self.written {
            return self.apply_encoded(request, &encode(request));
        }
        let start = self.body.len();
        append(&mut self.body, request);
        self.apply_written(request, start)
    }

    /// As [`apply`](Self::apply), for a caller that has the request's postcard bytes already.
    ///
    /// # Errors
    /// As [`Engine::apply`].
    pub fn apply_encoded(
        &mut self,
        request: &Request<'_>,
        bytes: &[u8],
    ) -> Result<Reply, Rejected> {
        if !self.written {
            let before = self.engine.commands();
            let reply = self.engine.apply_encoded(self.clock, request, bytes);
            self.count += (self.engine.commands() - before) as u32;
            return reply;
        }
        let start = self.body.len();
        self.body.extend_from_slice(bytes);
        self.apply_written(request, start)
    }

    /// Executes the request that the batch's body holds from a byte on.
    fn apply_written(&mut self, request: &Request<'_>, start: usize) -> Result<Reply, Rejected> {
        let before = self.engine.commands();
        let reply = self.engine.apply_encoded(self.clock, request, &self.body[start..]);
        match &reply {
            Ok(reply) if self.engine.commands() > before => {
                append(&mut self.body, &reply.result);
                self.count += 1;
            }
            _ => self.body.truncate(start),
        }
        reply
    }

    /// Ends the batch: what has fallen due without a command is done.
    ///
    /// # Panics
    /// When the engine is not as it must be: nobody may be told of the batch then.
    pub fn end(&mut self) -> Executed {
        self.engine.finish(self.clock);
        let effects = self.engine.take_effects();
        self.settled = self.count > 0 || !effects.is_empty();
        if !self.settled {
            return Executed::default();
        }
        if !self.written {
            self.engine.end_batch();
            let (first, count, time) = (Seq(self.first), self.count, self.clock);
            return Executed { effects, first, count, time, ..Executed::default() };
        }
        append(&mut self.body, &effects);
        let grown = self.engine.heads().map(|head| Grown {
            packet: head.packet.into(),
            head: head.head,
            links: head.links,
        });
        let grown = grown.collect();
        self.engine.end_batch();
        // The next batch will be about as long.
        let next = Vec::with_capacity(self.body.len());
        Executed {
            effects,
            first: Seq(self.first),
            count: self.count,
            time: self.clock,
            body: std::mem::replace(&mut self.body, next),
            grown,
        }
    }

    /// Whether the state is what the batches of a journal come to. After one in which nothing happened,
    /// and which no journal got, things may be off the agenda that had nothing to do any more.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// The engine's state, from which it can be taken up again.
    pub fn state(&self) -> Vec<u8> {
        encode(&self.engine)
    }

    /// Writes the engine's [`state`](Self::state) as it comes, without a copy of all of it.
    pub(super) fn write_state(&self, to: impl std::io::Write) -> std::io::Result<()> {
        let mut to = BufWriter::with_capacity(1 << 20, to);
        let mut failed = Ok(());
        let written = postcard::serialize_with_flavor(
            &self.engine,
            Passing { to: &mut to, failed: &mut failed },
        );
        failed?;
        written.map_err(std::io::Error::other)?;
        to.flush()
    }
}

impl Executed {
    /// Whether nothing happened, so that there is nothing to write down.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.effects.is_empty()
    }

    /// How many commands are in it.
    pub fn commands(&self) -> u32 {
        self.count
    }

    /// Puts the batch at the end of a journal; one in which nothing happened is left out. It is
    /// durable after the next [`Journal::sync`].
    ///
    /// # Errors
    /// Those of the journal.
    pub fn append_to<S: Storage>(
        &self,
        journal: &mut Journal<S>,
    ) -> Result<Option<Header>, JournalError> {
        if self.is_empty() {
            return Ok(None);
        }
        assert!(!self.body.is_empty(), "a batch that was made for a journal");
        let touched: Vec<Touched<'_>> = self.grown.iter().map(Grown::touched).collect();
        let header = journal.append(&Batch {
            first_sequence: self.first,
            count: self.count,
            time: self.time,
            body: &self.body,
            touched: &touched,
        })?;
        Ok(Some(header))
    }
}

impl Grown {
    fn touched(&self) -> Touched<'_> {
        Touched { packet: self.packet.as_bytes(), head: Head(self.head), claims: self.links }
    }
}

/// A value in the postcard format.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("what is in memory can be written to memory")
}

fn append(bytes: &mut Vec<u8>, value: &impl Serialize) {
    postcard::serialize_with_flavor(value, Appending(bytes))
        .expect("what is in memory can be written to memory");
}

/// Writes at the end of bytes that are there.
struct Appending<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Appending<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Passes bytes on, and keeps the error where they cannot be.
struct Passing<'a, W> {
    to: W,
    failed: &'a mut std::io::Result<()>,
}

impl<W: Write> postcard::ser_flavors::Flavor for Passing<'_, W> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.to.write_all(bytes).map_err(|error| {
            *self.failed = Err(error);
            postcard::Error::SerializeBufferFull
        })
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
