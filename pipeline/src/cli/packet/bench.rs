//! `hongxian packet bench`: an open loop of clients beside the engine.
//!
//! A client sends packets of ten shares at a rate, whatever the engine does with them. When the
//! engine has answered that a packet is written down, its sending is decided; when that is answered,
//! ten people claim; and each claim is decided. The time of a packet runs from the moment at which
//! it should have been sent to the answer of the last claim that got a share.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use super::place::{self, Keys};
use crate::cli::{JsonAnyway, environment, print};
use crate::diagnostic::Failure;
use crate::packet::command::{
    Command, Decision, Funding, PerMille, Play, Purse, Request, Send, Tie,
};
use crate::packet::durable::BATCH_MAX;
use crate::packet::engine::{AHEAD, Engine};
use crate::packet::journal::Begin;
use crate::packet::limits::Limits;
use crate::packet::server::{Pace, Server};
use crate::packet::units::Fen;

/// Shares of a packet.
const SHARES: u32 = 10;
/// Fen of a packet.
const PACKET_FEN: Fen = Fen(1_000);
/// Those who want a share of the one hot packet.
const HOT_CLAIMERS: u32 = 10_000;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Claims a second that are offered
    #[arg(long, default_value_t = 150_000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    rate: u32,
    /// For how long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Keep a journal in this new directory: an answer counts once it is on disk
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Accounts that send and claim
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(100..=50_000_000))]
    accounts: u32,
    /// Pay at once instead of in two steps with a decision on each
    #[arg(long)]
    no_decisions: bool,
    /// Write a snapshot after so many commands, as `packet run` does after a million [default: none]
    #[arg(long, value_name = "N", requires = "journal", value_parser = clap::value_parser!(u64).range(1..))]
    snapshot_commands: Option<u64>,
    #[command(flatten)]
    _json: JsonAnyway,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    super::super::end_on_ctrl_c();
    let limits = Limits { decisions_awaited: !arguments.no_decisions, ..Limits::default() };
    let (to_client, answers) = std::sync::mpsc::channel::<Vec<Answer>>();
    let tell = move |answers: Vec<Answer>| {
        // A client that has gone has heard all that it wanted.
        to_client.send(answers).or(Ok(()))
    };
    let mut server = match &arguments.journal {
        None => Server::forgetful(Engine::new(limits, Keys::random()?.draws), tell),
        Some(directory) => {
            if directory.join(place::SECRET).exists() {
                return Err(place::usage(
                    format!("there is a journal in {}: name a new directory", directory.display()),
                    format!("{} 中已有日志,请指定新目录", directory.display()),
                ));
            }
            let snapshot_commands = arguments.snapshot_commands.unwrap_or(u64::MAX);
            let pace = Pace { snapshot_commands, ..Pace::default() };
            place::server(directory, Some(limits), Begin::First, pace, tell)?.0
        }
    };
    fill(&mut server, arguments.accounts)?;
    let measured = measure(arguments, &mut server, answers)?;
    server.finish().map_err(place::stopped)?;
    print(&format!("{}\n", measured.json()));
    Ok(())
}

/// Gives every account money to send.
fn fill(server: &mut Server<Vec<Answer>>, accounts: u32) -> Result<(), Failure> {
    let mut requests = Requests::default();
    for account in 0..accounts {
        requests.add(Ask::TopUp { account }, accounts);
        if requests.asks.len() == BATCH_MAX || account + 1 == accounts {
            execute(server, &[std::mem::take(&mut requests)])?;
        }
    }
    Ok(())
}

/// Executes requests as they come from clients: a batch.
fn execute(server: &mut Server<Vec<Answer>>, requests: &[Requests]) -> Result<(), Failure> {
    server.begin(place::clock());
    let mut answers = Vec::with_capacity(requests.iter().map(|some| some.asks.len()).sum());
    for requests in requests {
        for block in requests.asks.chunks(AHEAD) {
            let bytes: Vec<&[u8]> =
                block.iter().map(|(_, range)| &requests.bytes[range.clone()]).collect();
            let decoded: Vec<Request<'_>> = bytes
                .iter()
                .map(|bytes| postcard::from_bytes(bytes).expect("as it was sent"))
                .collect();
            server.execute(&decoded, Some(&bytes), |at, reply, _| {
                let refused = reply.expect("every id is new").result.is_err();
                answers.push((block[at].0, refused));
            });
        }
    }
    server.end();
    server.tell(answers).map_err(place::stopped)
}

/// What a client asks for. The packet's number tells the rest.
#[derive(Clone, Copy)]
enum Ask {
    TopUp { account: u32 },
    Send { packet: u32 },
    DecideSend { packet: u32 },
    Claim { packet: u32, place: u32 },
    DecideClaim { packet: u32, place: u32 },
}

/// An answer, with whether it was a refusal.
type Answer = (Ask, bool);

#[derive(Default)]
struct Measured {
    offered: u32,
    seconds: f64,
    claims: u64,
    refused: u64,
    packets: u64,
    cpu_ns: u64,
    /// A packet's time, in microseconds.
    times_us: Vec<u64>,
}

impl Measured {
    fn json(&self) -> serde_json::Value {
        let mut times = self.times_us.clone();
        times.sort_unstable();
        let at = |q: f64| {
            let rank = (q * times.len() as f64).ceil() as usize;
            times.get(rank.saturating_sub(1)).map_or(0.0, |&us| us as f64 / 1000.0)
        };
        let sum: u64 = times.iter().sum();
        let mean = sum as f64 / 1000.0 / times.len().max(1) as f64;
        let done = self.claims as f64 / self.seconds;
        let three = |ms: f64| (ms * 1000.0).round() / 1000.0;
        serde_json::json!({
            "offered": self.offered,
            "done_per_s": done.round(),
            "create_to_allocated_ms": {
                "mean": three(mean),
                "p50": three(at(0.5)),
                "p99": three(at(0.99)),
                "p999": three(at(0.999)),
                "max": three(at(1.0)),
            },
            "cpu_ns_per_claim": self.cpu_ns.checked_div(self.claims),
            "claims": self.claims,
            "refused": self.refused,
            "packets_allocated": self.packets,
            "seconds": three(self.seconds),
        })
    }
}

/// Offers the load and measures until all that was offered is answered.
fn measure(
    arguments: &Arguments,
    server: &mut Server<Vec<Answer>>,
    answers: Receiver<Vec<Answer>>,
) -> Result<Measured, Failure> {
    let (to_server, requests) = sync_channel::<Requests>(1024);
    let client = Client::new(arguments, to_server, answers);
    let cpu = cpu_ns()?;
    std::thread::scope(|scope| {
        let client = scope.spawn(move || client.run());
        let mut waiting = None;
        while let Some(batch) = next_batch(&requests, &mut waiting) {
            execute(server, &batch)?;
        }
        let mut measured = client.join().expect("the client does not panic");
        measured.cpu_ns = cpu_ns()? - cpu;
        Ok(measured)
    })
}

/// What waits for the engine, no more than a batch; none when the clients are done.
fn next_batch(
    requests: &Receiver<Requests>,
    waiting: &mut Option<Requests>,
) -> Option<Vec<Requests>> {
    let first = waiting.take().or_else(|| requests.recv().ok())?;
    let mut count = first.asks.len();
    let mut batch = vec![first];
    while let Ok(more) = requests.try_recv() {
        if count + more.asks.len() > BATCH_MAX {
            *waiting = Some(more);
            break;
        }
        count += more.asks.len();
        batch.push(more);
    }
    Some(batch)
}

/// Requests as they would come over a network.
#[derive(Default)]
struct Requests {
    bytes: Vec<u8>,
    asks: Vec<(Ask, Range<usize>)>,
}

impl Requests {
    /// Writes down what a client asks for, ids and all.
    fn add(&mut self, ask: Ask, accounts: u32) {
        let account_id = |account: u32| Id::of("u").number(account, 8);
        let packet_id = |packet: u32| Id::of("p").number(packet, 10);
        let sent = |packet: u32| Id::of("s").number(packet, 1);
        let claimed = |packet, place| Id::of("c").number(packet, 1).then("-").number(place, 1);
        match ask {
            Ask::TopUp { account } => {
                let id = Id::of("top").number(account, 1);
                let (account, amount) = (&account_id(account), Fen(100_000_000));
                self.push(ask, &id, Command::TopUp { account, amount });
            }
            Ask::Send { packet } => {
                let send = Send {
                    account: &account_id(sender(packet, accounts)),
                    packet: &packet_id(packet),
                    group: None,
                    amount: PACKET_FEN,
                    shares: SHARES,
                    play: Play::Lucky,
                    funding: Funding::Purse(Purse::Change),
                    tilt: PerMille(0),
                };
                self.push(ask, &sent(packet), Command::Send(send));
            }
            Ask::Claim { packet, place } => {
                let command = Command::Claim {
                    account: &account_id(claimer(packet, place, accounts)),
                    packet: &packet_id(packet),
                    guess: None,
                    tie: Tie::None,
                };
                self.push(ask, &claimed(packet, place), command);
            }
            Ask::DecideSend { packet } => self.decide(ask, &sent(packet)),
            Ask::DecideClaim { packet, place } => self.decide(ask, &claimed(packet, place)),
        }
    }

    fn decide(&mut self, ask: Ask, transaction: &str) {
        let command = Command::Decide {
            transaction,
            decision: Decision::Allow,
            rules_hash: [1; 32],
            evidence_hash: [2; 32],
        };
        self.push(ask, &Id::of("d").then(transaction), command);
    }

    fn push(&mut self, ask: Ask, id: &str, command: Command<'_>) {
        let mut buffer = [0; 512];
        let bytes = postcard::to_slice(&Request { id, command }, &mut buffer)
            .expect("a request of this load fits");
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.asks.push((ask, start..self.bytes.len()));
    }
}

/// An id, made without the heap and the formatter: with them the clients took two fifths of all
/// instructions, and what is to be measured is the engine.
struct Id {
    bytes: [u8; 32],
    length: usize,
}

impl Id {
    fn of(text: &str) -> Id {
        Id { bytes: [0; 32], length: 0 }.then(text)
    }

    #[must_use]
    fn then(mut self, text: &str) -> Id {
        self.bytes[self.length..][..text.len()].copy_from_slice(text.as_bytes());
        self.length += text.len();
        self
    }

    /// A number of so many digits at least.
    #[must_use]
    fn number(self, number: u32, digits_min: usize) -> Id {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(number);
        self.then(&"0000000000"[..digits_min.saturating_sub(digits.len())]).then(digits)
    }
}

impl std::ops::Deref for Id {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("it was put together of texts")
    }
}

/// Spread over the accounts, the same in every run.
fn sender(packet: u32, accounts: u32) -> u32 {
    (u64::from(packet).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as u32 % accounts
}

/// Distinct for the places of a packet.
fn claimer(packet: u32, place: u32, accounts: u32) -> u32 {
    let first = sender(packet.wrapping_add(1 << 31), accounts);
    (u64::from(first) + u64::from(place)).rem_euclid(u64::from(accounts)) as u32
}

/// The clients, all in one thread.
struct Client {
    to_server: SyncSender<Requests>,
    answers: Receiver<Vec<Answer>>,
    decisions: bool,
    packets: u32,
    interval_ns: f64,
    accounts: u32,
    /// The packet that ten thousand people want.
    hot: u32,
    hot_claimers: u32,
    /// By packet: shares still to be answered.
    open: Vec<u8>,
    measured: Measured,
}

impl Client {
    fn new(
        arguments: &Arguments,
        to_server: SyncSender<Requests>,
        answers: Receiver<Vec<Answer>>,
    ) -> Client {
        let Arguments { rate, seconds, accounts, no_decisions, .. } = *arguments;
        let packets = (u64::from(rate) * u64::from(seconds) / u64::from(SHARES)) as u32;
        Client {
            to_server,
            answers,
            decisions: !no_decisions,
            accounts,
            packets,
            interval_ns: 1e9 * f64::from(SHARES) / f64::from(rate),
            hot: packets / 2,
            hot_claimers: HOT_CLAIMERS.min(accounts),
            open: vec![SHARES as u8; packets as usize],
            measured: Measured { offered: rate, ..Measured::default() },
        }
    }

    fn run(mut self) -> Measured {
        let start = place::clock();
        let mut sent = 0;
        // The accounts' first money is answered, too.
        let mut unanswered = u64::from(self.accounts);
        loop {
            let since = place::clock().0 - start.0;
            let due = ((since as f64 / self.interval_ns) as u32 + 1).min(self.packets);
            let mut asks: Vec<Ask> = (sent..due).map(|packet| Ask::Send { packet }).collect();
            sent = due;
            let mut heard = self.answers.try_recv();
            while let Ok(answers) = heard {
                unanswered -= answers.len() as u64;
                let now = place::clock().0 - start.0;
                for answer in answers {
                    self.react(answer, now, &mut asks);
                }
                heard = self.answers.try_recv();
            }
            if let Err(TryRecvError::Disconnected) = heard {
                // The server had to stop.
                break;
            }
            if !asks.is_empty() {
                unanswered += asks.len() as u64;
                if !self.ask(&asks) {
                    break;
                }
            } else if sent == self.packets && unanswered == 0 {
                break;
            } else {
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        }
        self.measured.seconds = (place::clock().0 - start.0) as f64 / 1e9;
        self.measured
    }

    /// Sends what is asked for, in parts that fit in a batch; false when nobody listens.
    fn ask(&self, asks: &[Ask]) -> bool {
        asks.chunks(BATCH_MAX / 4).all(|part| {
            let mut requests = Requests::default();
            part.iter().for_each(|ask| requests.add(*ask, self.accounts));
            self.to_server.send(requests).is_ok()
        })
    }

    fn react(&mut self, (ask, refused): Answer, now_ns: i64, asks: &mut Vec<Ask>) {
        match ask {
            Ask::Send { packet } if self.decisions => asks.push(Ask::DecideSend { packet }),
            Ask::Send { packet } | Ask::DecideSend { packet } => {
                let claimers = if packet == self.hot { self.hot_claimers } else { SHARES };
                asks.extend((0..claimers).map(|place| Ask::Claim { packet, place }));
            }
            Ask::Claim { .. } if refused => self.measured.refused += 1,
            Ask::Claim { packet, place } => {
                self.measured.claims += 1;
                if self.decisions {
                    asks.push(Ask::DecideClaim { packet, place });
                }
                let open = &mut self.open[packet as usize];
                *open -= 1;
                if *open == 0 {
                    let sent_ns = f64::from(packet) * self.interval_ns;
                    let took_us = (now_ns as f64 - sent_ns).max(0.0) / 1000.0;
                    self.measured.times_us.push(took_us as u64);
                    self.measured.packets += 1;
                }
            }
            Ask::DecideClaim { .. } | Ask::TopUp { .. } => {}
        }
    }
}

/// Processor time of this process so far, by the kernel's accounts (a hundredth of a second exact).
fn cpu_ns() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/stat")
        .map_err(|error| environment(format!("processor time is not known here: {error}")))?;
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = |at: usize| fields.split_whitespace().nth(at).and_then(|ticks| ticks.parse().ok());
    // Fields 14 and 15 of proc_pid_stat(5), the name and the number before it left out.
    let user: u64 = ticks(11).unwrap_or(0);
    let system: u64 = ticks(12).unwrap_or(0);
    Ok((user + system) * 10_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_as_the_formatter_writes_them() {
        for number in [0, 7, 10, 99_999, 12_345_678, u32::MAX] {
            assert_eq!(&*Id::of("u").number(number, 8), format!("u{number:08}"));
            assert_eq!(&*Id::of("p").number(number, 10), format!("p{number:010}"));
            let claim = Id::of("dc").number(number, 1).then("-").number(number, 1);
            assert_eq!(&*claim, format!("dc{number}-{number}"));
        }
    }
}
