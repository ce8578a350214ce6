//! `hongxian packet run`.

use std::io::{BufRead as _, BufWriter, Write as _};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};

use super::place::{self, Keys};
use crate::cli::environment;
use crate::diagnostic::Failure;
use crate::packet::durable::{BATCH_MAX, Durable, Opened};
use crate::packet::engine::{Engine, Rejected};
use crate::packet::journal::{Directory, Options, Trust};
use crate::packet::json::{self, Line, Outcome};
use crate::packet::limits::Limits;
use crate::packet::reply::{Effect, Reply};
use crate::packet::units::Time;

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;
/// A snapshot is written after so many commands: executing as many again takes about a second.
const SNAPSHOT_COMMANDS: u64 = 1_000_000;
/// A checkpoint is written after so many batches.
const CHECKPOINT_BATCHES: u64 = 10_000;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Keep a journal in this directory: every outcome is printed once its command is on disk.
    /// Without it everything is forgotten at the end.
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Limits for a new journal, a TOML file [default: the shipped limits]
    #[arg(long, value_name = "FILE")]
    limits: Option<PathBuf>,
    /// What says what time it is: the machine, or `at` in each command
    #[arg(long, value_enum, default_value_t = Clock::Machine)]
    clock: Clock,
    /// Pay everything at once instead of waiting for decisions (a new journal)
    #[arg(long)]
    no_decisions: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Clock {
    Machine,
    Commands,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut limits = arguments.limits.as_deref().map(place::limits).transpose()?;
    if arguments.no_decisions {
        let given = limits.unwrap_or_default();
        limits = Some(Limits { decisions_awaited: false, ..given });
    }
    let lines = read_lines();
    match &arguments.journal {
        Some(directory) => {
            let keys = Keys::open(directory)?;
            let storage =
                Directory::open(directory).map_err(|error| place::at(directory, &error))?;
            let trust = Trust { key: Some(keys.signer.public().clone()), ..Trust::default() };
            let options = Options { trust, ..Options::default() };
            let (durable, opened) =
                Durable::open(storage, &options, limits, &keys.draws).map_err(place::failure)?;
            tell(&opened);
            Journalled { durable, keys, commands: 0, batches: 0 }.serve(&lines, arguments.clock)
        }
        None => {
            let secret = Keys::random()?.draws;
            let engine = Engine::new(limits.unwrap_or_default(), secret);
            Forgetful { engine, clock: Time(0) }.serve(&lines, arguments.clock)
        }
    }
}

/// What opening a journal found, for whoever started the program.
fn tell(opened: &Opened) {
    let Opened { recovery, snapshot, passed_over, replayed } = opened;
    for cut in recovery.cut.iter().chain(&recovery.checkpoints_cut) {
        eprintln!("cut off what a crash left unfinished: {cut}");
    }
    for passed_over in passed_over {
        eprintln!("passed over a snapshot: {passed_over}");
    }
    if recovery.batches > 1 {
        let from = snapshot.map_or_else(String::new, |batch| format!(" after batch {batch}"));
        eprintln!("{} batches, {replayed} executed again{from}", recovery.batches);
    }
}

/// What executes batches of lines.
trait Server: Sized {
    /// Begins a batch.
    fn begin(&mut self, clock: Time);
    /// Executes a command of the batch.
    fn apply(&mut self, request: &crate::packet::command::Request<'_>) -> Result<Reply, Rejected>;
    /// The engine, with the effects of the batch so far.
    fn engine(&self) -> &Engine;
    /// Ends the batch and makes it durable. Gives its effects.
    fn end(&mut self) -> Result<Vec<Effect>, Failure>;
    /// The end of all.
    fn finish(&mut self) -> Result<(), Failure>;

    fn serve(mut self, lines: &Receiver<Read>, clock: Clock) -> Result<(), Failure> {
        let mut out = BufWriter::new(std::io::stdout().lock());
        let mut batch: Vec<Vec<u8>> = Vec::new();
        let mut number = 0;
        while let Ok(first) = lines.recv() {
            batch.clear();
            for line in std::iter::once(first).chain(lines.try_iter().take(BATCH_MAX - 1)) {
                batch.push(line.map_err(|error| environment(error.to_string()))?);
            }
            number = self.batch(&batch, number, clock, &mut out)?;
            out.flush().map_err(|error| environment(error.to_string()))?;
        }
        self.finish()
    }

    /// Executes lines as one batch or, where the clock is theirs, as one for each time.
    fn batch(
        &mut self,
        lines: &[Vec<u8>],
        before: u64,
        clock: Clock,
        out: &mut impl std::io::Write,
    ) -> Result<u64, Failure> {
        let parsed: Vec<Result<Line<'_>, String>> = lines.iter().map(|line| parse(line)).collect();
        let mut answers: Vec<Answer<'_>> = Vec::with_capacity(parsed.len());
        let mut effects: Vec<Effect> = Vec::new();
        let mut now = match clock {
            Clock::Machine => Some(place::clock()),
            Clock::Commands => None,
        };
        let mut begun = false;
        for (at, line) in parsed.iter().enumerate() {
            let number = before + at as u64 + 1;
            let request = match line {
                Ok(line) => match (clock, line.at) {
                    (Clock::Machine, Some(_)) => {
                        Err("`at` is for --clock commands alone".to_owned())
                    }
                    (Clock::Commands, None) => {
                        Err("`at` is missing: --clock commands needs it".to_owned())
                    }
                    (_, moment) => json::command(line).map(|request| (request, moment)),
                },
                Err(error) => Err(error.clone()),
            };
            let (request, moment) = match request {
                Ok(request) => request,
                Err(error) => {
                    answers.push(Answer::Mistake(format!("line {number}: {error}")));
                    continue;
                }
            };
            let moment = moment.map(|moment| moment.0).or(now).unwrap_or_default();
            if begun && now != Some(moment) {
                effects.extend(self.end()?);
                begun = false;
            }
            if !begun {
                now = Some(moment);
                self.begin(moment);
                begun = true;
            }
            let first = effects.len() + self.engine().effects().len();
            let reply = self.apply(&request);
            let last = effects.len() + self.engine().effects().len();
            answers.push(Answer::Reply(request.id, reply, first..last));
        }
        if begun {
            effects.extend(self.end()?);
        }
        for answer in answers {
            let outcome = match answer {
                Answer::Mistake(error) => Outcome::mistake(None, error),
                Answer::Reply(id, reply, range) => {
                    json::outcome(id, reply, &effects[range], self.engine())
                }
            };
            serde_json::to_writer(&mut *out, &outcome)
                .map_err(|error| environment(error.to_string()))?;
            out.write_all(b"\n").map_err(|error| environment(error.to_string()))?;
        }
        Ok(before + lines.len() as u64)
    }
}

enum Answer<'a> {
    Mistake(String),
    /// With the effects between this command and the one before, by their places in the batch.
    Reply(&'a str, Result<Reply, Rejected>, Range<usize>),
}

/// An engine whose journal is on disk.
struct Journalled {
    durable: Durable<Directory>,
    keys: Keys,
    /// Since the last snapshot.
    commands: u64,
    /// Since the last checkpoint.
    batches: u64,
}

impl Server for Journalled {
    fn begin(&mut self, clock: Time) {
        self.durable.begin(clock);
    }

    fn apply(&mut self, request: &crate::packet::command::Request<'_>) -> Result<Reply, Rejected> {
        self.commands += 1;
        self.durable.apply(request)
    }

    fn engine(&self) -> &Engine {
        self.durable.engine()
    }

    fn end(&mut self) -> Result<Vec<Effect>, Failure> {
        let effects = self.durable.commit().map_err(place::failure)?;
        self.durable.sync().map_err(place::failure)?;
        self.batches += 1;
        if self.commands >= SNAPSHOT_COMMANDS {
            (self.commands, self.batches) = (0, 0);
            self.durable.snapshot(&self.keys.signer).map_err(place::failure)?;
        } else if self.batches >= CHECKPOINT_BATCHES {
            self.batches = 0;
            self.finish()?;
        }
        Ok(effects)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let checkpoint = self.durable.journal_mut().checkpoint(&self.keys.signer);
        checkpoint.map_err(|error| place::failure(error.into()))?;
        Ok(())
    }
}

/// An engine that is gone when the program ends.
struct Forgetful {
    engine: Engine,
    clock: Time,
}

impl Server for Forgetful {
    fn begin(&mut self, clock: Time) {
        self.clock = clock;
    }

    fn apply(&mut self, request: &crate::packet::command::Request<'_>) -> Result<Reply, Rejected> {
        self.engine.apply(self.clock, request)
    }

    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn end(&mut self) -> Result<Vec<Effect>, Failure> {
        self.engine.end_batch();
        Ok(self.engine.take_effects())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

fn parse(line: &[u8]) -> Result<Line<'_>, String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("longer than {LINE_BYTES_MAX} bytes"));
    }
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

type Read = std::io::Result<Vec<u8>>;

/// The lines of standard input, read beside the work; when many wait, reading waits.
fn read_lines() -> Receiver<Read> {
    let (sender, receiver) = sync_channel(2 * BATCH_MAX);
    std::thread::spawn(move || {
        let input = std::io::stdin().lock();
        for line in input.split(b'\n') {
            let line = line.map(|mut line| {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                line
            });
            if line.as_ref().is_ok_and(|line| line.is_empty()) {
                continue;
            }
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
