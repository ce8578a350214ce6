//! The engine with its journal: nobody is told of a command before it is on disk, and what is on
//! disk is executed again, to the same replies, when the engine is opened.
//!
//! A batch is applied at one reading of the caller's clock. Its body is the batch's requests in
//! their order, each followed by its result, and then what the engine did beside them, all in the
//! [postcard](https://postcard.jamesmunns.com/wire-format) format. The first batch of a journal has
//! no commands but the limits of the engine and the commitment to its secret.

use serde::{Deserialize, Serialize};

use super::command::Request;
use super::draw::MasterSecret;
use super::engine::{Engine, Rejected};
use super::executor::{Executor, encode};
use super::journal::ids::{BatchNumber, Head};
use super::journal::{
    Batch, Begin, Header, Journal, JournalError, Loaded, Options, Recovery, Replay, Signer,
    Storage, Touched,
};
use super::limits::Limits;
use super::reply::{Digest, Done, Effect, Refusal, Reply, Seq};
use super::units::Time;

/// The most commands of a batch: more would make those who wait longer than the disk does.
pub const BATCH_MAX: usize = 16_384;

/// Why a journal could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// The journal itself.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The secret is another than that of the journal.
    #[error("the secret is not that with which this journal was begun")]
    SecretDiffers,
    /// The limits are others than those of the journal.
    #[error("the limits are not those with which this journal was begun")]
    LimitsDiffer,
    /// A batch that does not come out as the journal says.
    #[error("batch {batch}: {what}")]
    Differs {
        /// Its number.
        batch: u64,
        /// How.
        what: String,
    },
    /// A snapshot that cannot be read.
    #[error("the snapshot of batch {batch} is not of this version: {what}")]
    Snapshot {
        /// The batch.
        batch: u64,
        /// What is wrong.
        what: String,
    },
}

/// What opening found.
#[derive(Debug)]
pub struct Opened {
    /// What the journal found.
    pub recovery: Recovery,
    /// The batch of the snapshot from which the engine was taken, if there was one.
    pub snapshot: Option<u64>,
    /// Snapshots that were passed over, with what is wrong with them.
    pub passed_over: Vec<String>,
    /// How many batches were executed again.
    pub replayed: u64,
}

/// The engine with its journal.
#[derive(Debug)]
pub struct Durable<S: Storage> {
    executor: Executor,
    journal: Journal<S>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Genesis {
    limits: Limits,
    secret: Digest,
}

impl<S: Storage> Durable<S> {
    /// Opens a journal, or begins one. `limits` are those of a new journal; given for one that
    /// exists, they must be the same. Opened from its first byte, the engine is what executing all
    /// batches comes to; opened at a snapshot, the state in that is believed.
    ///
    /// # Errors
    /// See [`DurableError`].
    pub fn open(
        storage: S,
        options: &Options,
        limits: Option<Limits>,
        secret: &MasterSecret,
    ) -> Result<(Durable<S>, Opened), DurableError> {
        let (mut journal, recovery) = Journal::open(storage, options)?;
        if journal.next().0 == 0 {
            let genesis =
                Genesis { limits: limits.unwrap_or_default(), secret: secret.commitment() };
            let body = encode(&genesis);
            journal.append(&Batch {
                first_sequence: Seq(0),
                count: 0,
                // Before all that a clock can show, that of commands told long after included.
                time: Time(0),
                body: &body,
                touched: &[],
            })?;
            journal.sync()?;
        }
        let (engine, opened) = recover(&journal, recovery, options.begin, limits, secret)?;
        Ok((Durable { executor: Executor::new(engine), journal }, opened))
    }

    /// The engine, as it is with all commands so far, those that are not durable too.
    pub fn engine(&self) -> &Engine {
        self.executor.engine()
    }

    /// The engine that executes and the journal that writes, each to go its own way.
    pub fn into_parts(self) -> (Executor, Journal<S>) {
        (self.executor, self.journal)
    }

    /// The journal.
    pub fn journal(&self) -> &Journal<S> {
        &self.journal
    }

    /// The journal, to be given a checkpoint or a snapshot.
    pub fn journal_mut(&mut self) -> &mut Journal<S> {
        &mut self.journal
    }

    /// Begins a batch at what the caller's clock shows.
    pub fn begin(&mut self, clock: Time) {
        self.executor.begin(clock);
    }

    /// Executes a command in the batch. Its reply may be told once the batch is durable; that of a
    /// command which was executed before may, too, only then.
    ///
    /// # Errors
    /// As [`Engine::apply`].
    pub fn apply(&mut self, request: &Request<'_>) -> Result<Reply, Rejected> {
        self.executor.apply(request)
    }

    /// Ends the batch: what has fallen due without a command is done, and the batch stands in the
    /// journal. Gives what the engine did beside its replies. Nothing is durable before
    /// [`sync`](Self::sync).
    ///
    /// # Errors
    /// Those of the journal.
    ///
    /// # Panics
    /// When the engine is not as it must be: nobody may be told of the batch then.
    pub fn commit(&mut self) -> Result<Vec<Effect>, DurableError> {
        let executed = self.executor.end();
        executed.append_to(&mut self.journal)?;
        Ok(executed.effects)
    }

    /// Makes all batches so far durable.
    ///
    /// # Errors
    /// Those of the disk; the journal must be opened anew then.
    pub fn sync(&mut self) -> Result<(), DurableError> {
        self.journal.sync()?;
        Ok(())
    }

    /// Writes the state of the engine beside the journal, so that opening needs not execute
    /// everything again; none after a batch in which nothing happened.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn snapshot(&mut self, signer: &Signer) -> Result<(), DurableError> {
        if let Some(mark) = self.journal.mark()
            && self.executor.is_settled()
        {
            self.journal.write_snapshot(&mark, &self.executor.state(), signer)?;
        }
        Ok(())
    }
}

/// The engine of a journal: from the newest snapshot or from nothing, and what came after executed
/// again.
fn recover<S: Storage>(
    journal: &Journal<S>,
    recovery: Recovery,
    begin: Begin,
    limits: Option<Limits>,
    secret: &MasterSecret,
) -> Result<(Engine, Opened), DurableError> {
    let genesis = genesis(journal)?;
    if genesis.secret != secret.commitment() {
        return Err(DurableError::SecretDiffers);
    }
    if limits.is_some_and(|limits| limits != genesis.limits) {
        return Err(DurableError::LimitsDiffer);
    }
    let loaded = match begin {
        Begin::First => Loaded::default(),
        Begin::Snapshot => journal.load_snapshot()?,
    };
    let passed_over =
        loaded.passed_over.iter().map(|(name, fault)| format!("{name}: {fault}")).collect();
    let (mut engine, from) = match &loaded.snapshot {
        None => (Engine::new(genesis.limits, secret.clone()), 1),
        Some(snapshot) => {
            let engine = postcard::from_bytes::<Engine>(&snapshot.state).map_err(|error| {
                DurableError::Snapshot { batch: snapshot.batch.0, what: error.to_string() }
            })?;
            (engine.restored(secret.clone()), snapshot.batch.0 + 1)
        }
    };
    let mut batches = journal.batches_from(BatchNumber(from))?;
    let mut replayed = 0;
    while let Some((header, body)) = batches.next_batch()? {
        replay(&mut engine, &header, body, &mut ())
            .map_err(|what| DurableError::Differs { batch: header.batch.0, what })?;
        engine.end_batch();
        replayed += 1;
    }
    let snapshot = loaded.snapshot.map(|snapshot| snapshot.batch.0);
    Ok((engine, Opened { recovery, snapshot, passed_over, replayed }))
}

fn genesis<S: Storage>(journal: &Journal<S>) -> Result<Genesis, DurableError> {
    let mut batches = journal.batches_from(BatchNumber(0))?;
    let first = batches.next_batch()?;
    let (_, body) = first.expect("a journal has a first batch");
    decode_genesis(body).map_err(|what| DurableError::Differs { batch: 0, what })
}

fn decode_genesis(body: &[u8]) -> Result<Genesis, String> {
    match postcard::take_from_bytes::<Genesis>(body) {
        Ok((genesis, [])) => Ok(genesis),
        Ok(_) => Err("there is more than limits and secret in the first batch".to_owned()),
        Err(error) => Err(format!("no limits and secret in the first batch: {error}")),
    }
}

/// Looks on while a journal is executed again.
pub trait Onlooker {
    /// A command is about to be executed.
    fn before(&mut self, engine: &Engine, request: &Request<'_>);
    /// It was.
    fn after(&mut self, engine: &Engine, request: &Request<'_>, reply: &Reply);
    /// The batch is at its end; these are the engine's effects in it.
    fn end(&mut self, engine: &Engine, header: &Header, effects: &[Effect]);
}

impl Onlooker for () {
    fn before(&mut self, _: &Engine, _: &Request<'_>) {}
    fn after(&mut self, _: &Engine, _: &Request<'_>, _: &Reply) {}
    fn end(&mut self, _: &Engine, _: &Header, _: &[Effect]) {}
}

/// Executes a batch again and compares what comes out.
fn replay(
    engine: &mut Engine,
    header: &Header,
    body: &[u8],
    onlooker: &mut impl Onlooker,
) -> Result<(), String> {
    let clock = header.time;
    let mut rest = body;
    for number in header.first_sequence.0..header.first_sequence.0 + u64::from(header.count) {
        if engine.commands() != number {
            return Err(format!("command {number} does not follow {}", engine.commands()));
        }
        let (request, after) = take::<Request<'_>>(rest, number)?;
        let bytes = &rest[..rest.len() - after.len()];
        let (result, after) = take::<Result<Done, Refusal>>(after, number)?;
        onlooker.before(engine, &request);
        let reply = engine.apply_encoded(clock, &request, bytes).map_err(|e| e.to_string())?;
        if engine.commands() != number + 1 {
            return Err(format!("command {number} stands in the journal twice"));
        }
        if reply.result != result {
            let got = reply.result;
            return Err(format!("command {number} gives {got:?}, the journal says {result:?}"));
        }
        onlooker.after(engine, &request, &reply);
        rest = after;
    }
    engine.advance(clock);
    let (effects, rest) = take::<Vec<Effect>>(rest, engine.commands())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes are left over", rest.len()));
    }
    let got = engine.take_effects();
    if got != effects {
        return Err("what falls due comes out otherwise than the journal says".to_owned());
    }
    onlooker.end(engine, header, &effects);
    Ok(())
}

/// Executes a whole journal again, as [`verify()`](super::journal::verify()) asks.
pub struct Auditor<O> {
    secret: MasterSecret,
    engine: Option<Engine>,
    /// Who looks on.
    pub onlooker: O,
}

impl<O> Auditor<O> {
    /// With the engine's secret, without which what is drawn cannot be drawn again.
    pub fn new(secret: MasterSecret, onlooker: O) -> Auditor<O> {
        Auditor { secret, engine: None, onlooker }
    }

    /// The engine after the batches so far.
    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }
}

impl<O: Onlooker> Replay for Auditor<O> {
    fn batch<'a>(
        &'a mut self,
        header: &Header,
        body: &'a [u8],
    ) -> Result<Vec<Touched<'a>>, String> {
        match &mut self.engine {
            None => {
                let genesis = decode_genesis(body)?;
                if genesis.secret != self.secret.commitment() {
                    return Err(DurableError::SecretDiffers.to_string());
                }
                self.engine = Some(Engine::new(genesis.limits, self.secret.clone()));
            }
            Some(engine) => {
                engine.end_batch();
                replay(engine, header, body, &mut self.onlooker)?;
            }
        }
        Ok(self.engine.as_ref().map(touched).unwrap_or_default())
    }

    fn is_state(&mut self, state: &[u8]) -> bool {
        let Some(engine) = &mut self.engine else { return false };
        engine.end_batch();
        encode(&*engine) == state
    }
}

fn touched(engine: &Engine) -> Vec<Touched<'_>> {
    let touched = engine.heads().map(|head| Touched {
        packet: head.packet.as_bytes(),
        head: Head(head.head),
        claims: head.links,
    });
    touched.collect()
}

fn take<'a, T: Deserialize<'a>>(bytes: &'a [u8], number: u64) -> Result<(T, &'a [u8]), String> {
    postcard::take_from_bytes(bytes).map_err(|error| format!("command {number}: {error}"))
}

#[cfg(test)]
#[path = "durable_tests.rs"]
mod tests;
