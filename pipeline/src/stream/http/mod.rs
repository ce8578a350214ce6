//! HTTP beside a stream: events are decided while somebody waits, labels come in, held transactions
//! are released or voided; health, readiness and metrics.
//!
//! A request only appends records to topics and waits for what the stream says of them on the
//! [`Desk`]: what is decided is decided in the one order, and a replay decides the same.

mod acts;
pub(super) mod connections;
mod decide;
mod desk;
pub(super) mod holds;
mod labels;
pub(super) mod listen;
mod log;
mod metrics;
pub(super) mod problem;
pub(super) mod routes;
pub(super) mod settings;
pub(super) mod tokens;
mod watch;

use std::net::TcpListener;
use std::sync::Arc;

use serde::Deserialize;

use self::acts::Acts;
pub use self::connections::Limits;
use self::desk::Desk;
pub(super) use self::holds::Hold;
use self::listen::Listening;
use self::log::Log;
use self::routes::App;
pub use self::settings::{Fallback, HttpConfig};
use self::tokens::Tokens;
pub(super) use self::watch::Watch;
use super::config::Config;
use super::control::Held;
use super::input::{Input, Reading, Start};
use crate::diagnostic::{Failure, Message};
use crate::run::Settings;
use crate::source::log::Decoder;

/// What must be right before a stream begins.
pub(super) struct Bound {
    http: HttpConfig,
    listener: TcpListener,
    tokens: Tokens,
}

/// A server that runs until it is ended.
pub(super) struct Server {
    pub(super) desk: Arc<Desk>,
    app: Arc<App>,
    /// Dropped last.
    _listening: Listening,
}

/// Takes the address and reads the tokens.
///
/// # Errors
/// When the address is taken (exit 3), or the file of tokens is wrong (exit 2).
pub(super) fn bind(http: &HttpConfig) -> Result<Bound, Failure> {
    let tokens = Tokens::open(http.tokens.as_deref(), http.rate)?;
    let listener = listen::take(http.listen)?;
    Ok(Bound { http: http.clone(), listener, tokens })
}

impl Server {
    /// Begins to answer for a stream that is at `held`, with what was answered and done before.
    pub(super) fn open(
        config: &Config,
        bound: Bound,
        held: &Held,
        input: &Input,
        settings: Settings,
    ) -> Result<Server, Failure> {
        let http = &bound.http;
        let slowest = settings.idle.min(http.idle).max(settings.times.allowed_lateness);
        if slowest >= http.time_limit {
            // An event waits for each partition to have one that is as late, or to be idle.
            tracing::warn!(
                time_limit_ms = http.time_limit,
                "idle or allowed_lateness is as long as time_limit: fallbacks will answer where \
                 events are few"
            );
        }
        let desk = Arc::new(Desk::new(http.answers_bytes));
        let acts = Acts::read(config, http, &desk)?;
        for fallen in &held.fallbacks {
            desk.remember_fallback(fallen);
        }
        recall(config, http.answers_bytes, &desk)?;
        let is_first = |source: &Reading| source.topic == http.topic;
        let first = input.sources.iter().position(is_first).unwrap_or(0);
        let server = Server::start(config, bound, desk, (settings, first as u32))?;
        acts.follow(server.desk.clone());
        Ok(server)
    }

    /// Begins to answer. Events are taken when the stream says that it is live.
    fn start(
        config: &Config,
        Bound { http, listener, tokens }: Bound,
        desk: Arc<Desk>,
        (settings, first_partition): (Settings, u32),
    ) -> Result<Server, Failure> {
        let schema = Arc::new(config.schema());
        let app = Arc::new(App {
            desk: desk.clone(),
            tokens,
            log: Log::open(&config.cluster, http.time_limit.max(LOG_MS_MIN))?,
            decoder: Decoder::new(schema, settings.times.max_ahead),
            control: config.control.clone(),
            first_partition,
            config: http.clone(),
        });
        let (tls, counts) = (http.tls.as_ref(), app.desk.metrics.connections());
        let routes = routes::routes(app.clone());
        let listening = Listening::begin(listener, tls, routes, (http.limits, counts))?;
        Ok(Server { desk, app, _listening: listening })
    }
}

impl Drop for Server {
    /// Answers whoever waits that nothing more is decided; the listener then lets answers go out.
    fn drop(&mut self) {
        self.desk.end();
        self.app.log.end();
    }
}

/// About the bytes of a decision with what it takes up beside them.
const DECISION_BYTES: usize = 1024;

/// What is read of a decision.
#[derive(Deserialize)]
struct Decided {
    event_id: String,
}

/// Reads back the last decisions that were committed before this start, as many as are kept: a retry may
/// come after it.
fn recall(config: &Config, bytes: usize, desk: &Desk) -> Result<(), Failure> {
    let cluster = &config.cluster;
    let partitions = Input::whole_topic(cluster, &config.output)?;
    let many = bytes / DECISION_BYTES / partitions.len().max(1);
    let there = Input::open(cluster, &partitions)?;
    let last = |source: &Reading| {
        let start = source.end.saturating_sub(many as u64).max(source.first);
        (source.topic.clone(), source.partition, Start::At(start))
    };
    let last: Vec<_> = there.sources.iter().map(last).collect();
    drop(there);
    Input::open(cluster, &last)?.read_to_end(|_, fetched| {
        let line = String::from_utf8_lossy(&fetched.arrived.value);
        // Other records of the topic are nobody's decision.
        if let Ok(Decided { event_id }) = serde_json::from_str(&line) {
            desk.recall(&event_id, &line);
        }
        Ok(())
    })
}

/// Brokers have at least so long to take a record, in ms.
const LOG_MS_MIN: i64 = 1_000;

fn failed(why: &str) -> Failure {
    Failure::Environment(Message::new(
        format!("HTTP cannot be served: {why}"),
        format!("无法提供 HTTP 服务：{why}"),
    ))
}
