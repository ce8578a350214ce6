//! `hongxian packet run`.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::place::{self, Keys};
use crate::cli::{JsonAnyway, environment};
use crate::diagnostic::{Failure, Message, to_stderr};
use crate::packet::command::Request;
use crate::packet::durable::{BATCH_MAX, Opened};
use crate::packet::engine::Engine;
use crate::packet::journal::Begin;
use crate::packet::json::{self, Line, Outcome};
use crate::packet::limits::Limits;
use crate::packet::server::{Pace, Server, ServerError};
use crate::packet::units::Time;
use crate::source::BOM;

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;
/// While no line comes it is looked so often whether it is to end.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Keep a journal in this directory: every outcome is printed once its command is on disk.
    /// Without it everything is forgotten at the end. Its secret.key is made with it: keep it, the
    /// journal goes on with no other.
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Read, check and execute the journal from its first byte, and use no snapshot. Without it the
    /// newest snapshot is trusted: balances and all else are taken from it, and that it or the batches
    /// before it were changed is found by `packet verify` alone
    #[arg(long)]
    whole: bool,
    /// Limits for a new journal, a TOML file [default: the shipped limits]
    #[arg(long, value_name = "FILE")]
    limits: Option<PathBuf>,
    /// What says what time it is: the machine, or `at` in each command. Time never goes back: a journal
    /// that is over an hour ahead of the machine's clock goes on by commands alone
    #[arg(long, value_enum, default_value_t = Clock::Machine)]
    clock: Clock,
    /// Pay everything at once instead of waiting for decisions (a new journal)
    #[arg(long)]
    no_decisions: bool,
    #[command(flatten)]
    _json: JsonAnyway,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Clock {
    Machine,
    Commands,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let interrupted = super::super::noted_ctrl_c();
    let mut limits = arguments.limits.as_deref().map(place::limits).transpose()?;
    if arguments.no_decisions {
        let given = limits.unwrap_or_default();
        limits = Some(Limits { decisions_awaited: false, ..given });
    }
    let lines = read_lines();
    let print = |outcomes: Vec<u8>| {
        let mut out = std::io::stdout().lock();
        out.write_all(&outcomes).and_then(|()| out.flush())
    };
    let server = match &arguments.journal {
        Some(directory) => {
            let begin = if arguments.whole { Begin::First } else { Begin::Snapshot };
            let pace = Pace::default();
            let (server, opened) = match arguments.clock {
                Clock::Machine => place::server(directory, limits, begin, pace, print)?,
                Clock::Commands => {
                    place::server_by_any_clock(directory, limits, begin, pace, print)?
                }
            };
            found(&opened).iter().for_each(|line| to_stderr(&format!("{line}\n")));
            server
        }
        None => {
            let secret = Keys::random()?.draws;
            Server::forgetful(Engine::new(limits.unwrap_or_default(), secret), print)
        }
    };
    serve(server, &lines, arguments.clock, &interrupted)
}

/// What opening a journal found, for whoever started the program, a line each.
pub(super) fn found(opened: &Opened) -> Vec<String> {
    let Opened { recovery, snapshot, passed_over, replayed } = opened;
    let cuts = recovery.cut.iter().chain(&recovery.checkpoints_cut);
    let cuts = cuts.map(|cut| format!("cut off what a crash left unfinished: {cut}"));
    let passed_over = passed_over.iter().map(|one| format!("passed over a snapshot: {one}"));
    let read = (recovery.batches > 1).then(|| {
        let from = snapshot.map_or_else(String::new, |batch| format!(" after batch {batch}"));
        format!("{} batches, {replayed} executed again{from}", recovery.batches)
    });
    cuts.chain(passed_over).chain(read).collect()
}

/// Executes lines in batches, as many as wait, until there are no more, or it is interrupted: what was
/// executed is told and under a checkpoint then, too.
fn serve(
    mut server: Server<Vec<u8>>,
    lines: &Receiver<Read>,
    clock: Clock,
    interrupted: &AtomicBool,
) -> Result<(), Failure> {
    let mut before = 0;
    let mut failed = None;
    while failed.is_none() && !interrupted.load(Ordering::Relaxed) {
        let first = match lines.recv_timeout(LOOK_AGAIN) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let mut batch = Vec::new();
        for line in std::iter::once(first).chain(lines.try_iter().take(BATCH_MAX - 1)) {
            match line {
                Ok(line) => batch.push(line),
                Err(error) => failed = Some(environment(error.to_string())),
            }
        }
        execute(&mut server, &batch, before, clock).map_err(place::stopped)?;
        before += batch.len() as u64;
    }
    server.finish().map_err(place::stopped)?;
    if failed.is_none() && interrupted.load(Ordering::Relaxed) {
        failed = Some(Failure::Cut(Message::new(
            format!("interrupted after {before} lines: all of them are executed and answered"),
            format!("已中断:前 {before} 行均已执行并答复"),
        )));
    }
    failed.map_or(Ok(()), Err)
}

/// A command with the time at which it is executed, or what is wrong with its line, and its id where
/// that can be read.
type Asked<'a> = Result<(Request<'a>, Time), (Option<String>, String)>;

/// Executes lines as one batch or, where the clock is theirs, as one for each time.
fn execute(
    server: &mut Server<Vec<u8>>,
    lines: &[Vec<u8>],
    before: u64,
    clock: Clock,
) -> Result<(), ServerError> {
    let now = place::clock();
    let texts = lines;
    let lines: Vec<Result<Line<'_>, String>> = lines.iter().map(|line| parse(line)).collect();
    let asked = (before + 1..).zip(texts.iter().zip(&lines)).map(|(number, (text, line))| {
        let line = line.as_ref();
        let asked = line.map_err(Clone::clone).and_then(|line| {
            let moment = match (clock, line.at) {
                (Clock::Machine, None) => now,
                (Clock::Commands, Some(at)) => at.0,
                (Clock::Machine, Some(_)) => {
                    return Err("`at` is for --clock commands alone".to_owned());
                }
                (Clock::Commands, None) => {
                    return Err("`at` is missing: --clock commands needs it".to_owned());
                }
            };
            json::command(line).map(|request| (request, moment))
        });
        asked.map_err(|error| {
            let id = line.map_or_else(|_| json::id_of(text), |line| Some(line.id().to_owned()));
            (id, format!("line {number}: {error}"))
        })
    });
    let asked: Vec<Asked<'_>> = asked.collect();
    let mut rest = &asked[..];
    while !rest.is_empty() {
        let moment = rest.iter().flatten().next().map(|(_, moment)| *moment);
        let other = |asked: &Asked<'_>| asked.as_ref().is_ok_and(|(_, at)| Some(*at) != moment);
        let (batch, later) = rest.split_at(rest.iter().position(other).unwrap_or(rest.len()));
        let outcomes = match moment {
            Some(moment) => execute_batch(server, batch, moment),
            // Lines that ask for nothing move no clock.
            None => mistakes(batch),
        };
        server.tell(outcomes)?;
        rest = later;
    }
    Ok(())
}

/// Executes a batch. Gives its outcomes, a line each.
fn execute_batch(server: &mut Server<Vec<u8>>, asked: &[Asked<'_>], moment: Time) -> Vec<u8> {
    let requests: Vec<Request<'_>> = asked.iter().flatten().map(|(request, _)| *request).collect();
    let mut replies = Vec::with_capacity(requests.len());
    server.begin(moment);
    server.execute(&requests, None, |_, reply, effects| replies.push((reply, effects)));
    let (effects, engine) = server.end();
    // What happens after the last command, as the batch ends, is told with it.
    if let Some((_, last)) = replies.last_mut() {
        *last = effects.len();
    }
    let mut out = Vec::new();
    let mut replies = replies.into_iter();
    let mut told = 0;
    for asked in asked {
        let outcome = match asked {
            Err((id, error)) => Outcome::mistake(id.as_deref(), error.clone()),
            Ok((request, _)) => {
                let (reply, upto) = replies.next().expect("every command was executed");
                let own = &effects[std::mem::replace(&mut told, upto)..upto];
                json::outcome(request.id, reply, own, engine)
            }
        };
        write_line(&mut out, &outcome);
    }
    out
}

/// The outcomes of lines of which none is a command.
fn mistakes(asked: &[Asked<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (id, error) in asked.iter().filter_map(|asked| asked.as_ref().err()) {
        write_line(&mut out, &Outcome::mistake(id.as_deref(), error.clone()));
    }
    out
}

fn write_line(out: &mut Vec<u8>, outcome: &Outcome<'_>) {
    serde_json::to_writer(&mut *out, outcome).expect("an outcome can be written to memory");
    out.push(b'\n');
}

fn parse(line: &[u8]) -> Result<Line<'_>, String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("longer than {LINE_BYTES_MAX} bytes"));
    }
    // Values without their names would be taken in the order in which the fields stand.
    if line.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err("it is no JSON object".to_owned());
    }
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

type Read = std::io::Result<Vec<u8>>;

/// The lines of standard input, read beside the work; when many wait, reading waits.
fn read_lines() -> Receiver<Read> {
    let (sender, receiver) = sync_channel(2 * BATCH_MAX);
    std::thread::spawn(move || {
        let input = std::io::stdin().lock();
        for (at, line) in input.split(b'\n').enumerate() {
            let line = line.map(|mut line| {
                // What some editors begin a file with.
                if at == 0 && line.starts_with(BOM) {
                    line.drain(..BOM.len());
                }
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
