//! The packet engine beside a stream, so that the whole loop runs live: what clients command is
//! executed, the transactions that wait for a decision are published to the topic that the stream
//! reads, and what the stream decides settles them.
//!
//! ```text
//!  clients --commands--> engine --events--> outbox, journal --> brokers --> the stream
//!     ^                    ^                    |                             |
//!     +----- outcomes -----|--------------------+                             |
//!                          +------------- decisions, acts on holds <----------+
//! ```
//!
//! [`work`] is the loop around the engine; `packet::server` beside it brings batches to disk and tells
//! what they came to. Killed anywhere, nothing is lost and nothing done twice: an event that was not
//! acknowledged is in the [`outbox`] and published again, under the same id, which the stream counts
//! as a duplicate; decisions are read from where the journal has them, and one that is read again
//! is a command with the id that it had.

mod heard;
mod looks;
mod metrics;
mod notices;
mod outbox;
mod publish;
mod routes;
mod settings;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use self::heard::Listener;
use self::metrics::Metrics;
use self::outbox::{Found, Outbox};
use self::publish::{Published, Publisher};
use self::routes::App;
pub use self::settings::PacketConfig;
pub use self::work::{Crash, CrashPlace, Told};
use self::work::{HeardSoFar, Work, note};
use super::config::Config;
use super::connect::{Tell, ensure_topic, wait};
use super::http::listen::{self, Listening};
use super::http::tokens::Tokens;
use crate::diagnostic::{Failure, Message};
use crate::packet::server::{Server, ServerError};
use crate::packet::units::{Span, Time};
use crate::source::log::Decoder;

/// Requests, and portions of what is heard, that may wait for the engine.
const JOBS_MAX: usize = 256;

/// What tells of a batch that is on disk.
pub type Teller = Box<dyn FnMut(Told) -> std::io::Result<()> + Send>;
/// Opens the journal.
pub type Opening<'o> = Box<dyn FnOnce(Teller) -> Result<Server<Told>, Failure> + 'o>;

/// What a packet engine is given beside its configuration.
pub struct Serving<'s> {
    /// The directory of its journal.
    pub journal: &'s Path,
    /// Opens the journal.
    pub open: Opening<'s>,
    /// What time it is.
    pub clock: fn() -> Time,
    /// What it is to the program that the server has stopped.
    pub stopped: fn(ServerError) -> Failure,
    /// Set from outside, by whoever wants it to end.
    pub interrupted: Arc<AtomicBool>,
    /// Where a test has it die.
    pub crash: Option<Crash>,
    /// What whoever started it should know.
    pub tell: Tell<'s>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Served {
    /// Batches of the journal.
    pub batches: u64,
    /// Events that brokers took.
    pub published: u64,
}

/// Serves until it is told to end, or something fails.
///
/// # Errors
/// When a setting is wrong (exit 2), the journal or the outbox is damaged (exit 1), or disk or brokers
/// fail (exit 3).
pub fn serve(config: &Config, serving: Serving<'_>) -> Result<Served, Failure> {
    let packet = config.packet.as_ref().ok_or_else(no_table)?;
    let Serving { journal, open, clock, stopped, interrupted, crash, tell } = serving;
    let tokens = Tokens::open(packet.tokens.as_deref(), packet.rate)?;
    let listener = listen::take(packet.listen)?;
    let cluster = &config.cluster;
    let consumer = cluster.consumer()?;
    wait(cluster, &consumer, tell, &|| interrupted.load(Ordering::Relaxed))?;
    let by_broker = [("message.timestamp.type", "LogAppendTime")];
    ensure_topic(cluster, &consumer, (&packet.topic, 1), &by_broker)?;
    ensure_topic(cluster, &consumer, (&config.output, 1), &[])?;
    let acts = config.http.as_ref().map(|http| &*http.holds);
    if let Some(acts) = acts {
        let keep = [("retention.ms", "-1"), ("retention.bytes", "-1")];
        ensure_topic(cluster, &consumer, (acts, 1), &keep)?;
    }
    let publisher = Arc::new(Publisher::open(cluster, (&packet.topic, acts))?);
    let published = publisher.published();
    let telling = publisher.clone();
    let server = open(Box::new(move |told: Told| told.tell(&telling)))?;
    let hold = check(&server, packet)?;
    let (mut outbox, found) = Outbox::open(journal, server.batches())?;
    outbox.keep_open(|id| notices::waits(server.engine(), id));
    publish_again(&publisher, &found, &outbox, tell)?;
    let heard = Listener::open(cluster, (&config.output, acts), &found.read)?;
    let metrics = Arc::new(Metrics::default());
    let (jobs, received) = sync_channel(JOBS_MAX);
    let (live, ending) = (Arc::new(AtomicBool::new(false)), interrupted);
    let app = Arc::new(App {
        jobs: jobs.clone(),
        tokens,
        decoder: Decoder::new(Arc::new(config.schema()), i64::MAX),
        metrics: metrics.clone(),
        live: live.clone(),
        ending: ending.clone(),
        body: (packet.body_bytes, packet.limits.read),
    });
    let sources = HeardSoFar::new(heard.sources(), config.pseudonyms.clone());
    let (tls, limits) = (packet.tls.as_ref(), (packet.limits, metrics.connections()));
    let listening = Listening::begin(listener, tls, routes::routes(app), limits)?;
    let reading = ending.clone();
    let thread = std::thread::spawn(move || heard.run(&jobs, &reading));
    let work = Work {
        begun: server.batches(),
        server,
        outbox,
        published: published.clone(),
        metrics,
        clock,
        live,
        stopped,
        hold,
        has_holds: acts.is_some(),
        heard: sources,
        crash,
    };
    let worked = work.run(received, &ending);
    // Also where it failed, nobody goes on by himself.
    ending.store(true, Ordering::Relaxed);
    drop(listening);
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
    publisher.flush();
    ended(worked?, &published)
}

/// Writes down what was published at the end.
fn ended(
    (mut outbox, heard): (Outbox, HeardSoFar),
    published: &Published,
) -> Result<Served, Failure> {
    note(&mut outbox, &heard, published.batches())?;
    Ok(Served { batches: outbox.last().batches, published: published.counts().0 })
}

/// Publishes what brokers may not have, before anything new.
fn publish_again(
    publisher: &Publisher,
    found: &Found,
    outbox: &Outbox,
    tell: Tell<'_>,
) -> Result<(), Failure> {
    let unknown = &found.unknown;
    if !unknown.is_empty() {
        let (first, last) = (unknown.start, unknown.end - 1);
        tell(&Message::new(
            format!(
                "batches {first} to {last} of the journal were not executed by packet serve: what \
                 happened in them is not published, and what still waits is left to the fallback"
            ),
            format!(
                "日志中第 {first} 至 {last} 批不是由 packet serve 执行：其中的事件不发布，仍在等待的交易按后备规则处理"
            ),
        ));
    }
    let mut events = 0;
    for entry in &found.unpublished {
        events += entry.events.len();
        publisher.send(entry.batches, &entry.events).map_err(|error| {
            super::connect::failed("events cannot be published", "无法发布事件", &error)
        })?;
    }
    // What is not among them was published before.
    publisher.send(outbox.last().batches, &[]).map_err(super::connect::settings_failure)?;
    if events > 0 {
        tell(&Message::new(
            format!("{events} events of before are published again, as brokers may not have them"),
            format!("重新发布此前的 {events} 个事件，代理可能尚未收到"),
        ));
    }
    Ok(())
}

/// How long holds are, if the journal's limits allow it; they must have decisions awaited.
fn check(server: &Server<Told>, packet: &PacketConfig) -> Result<Span, Failure> {
    let limits = server.engine().limits();
    if !limits.decisions_awaited {
        return Err(Failure::Usage(Message::new(
            "the limits of this journal say that no decisions are awaited: there is nothing for a \
             stream to decide",
            "该日志的限额不等待决定：流无可决定",
        )));
    }
    let hold = Span::from_ms(packet.hold.clamp(0, i64::from(u32::MAX)) as u32);
    if hold > limits.hold_max() {
        let hours = limits.hold_hours_max;
        return Err(Failure::Usage(Message::new(
            format!("`hold` of [packet] is longer than the limits of the journal allow: {hours} h"),
            format!("[packet] 的 `hold` 超过日志限额允许的时长：{hours} 小时"),
        )));
    }
    Ok(hold)
}

fn no_table() -> Failure {
    Failure::Usage(Message::new(
        "the configuration has no [packet]: say there where to listen",
        "配置中没有 [packet]：请在其中给出监听地址",
    ))
}
