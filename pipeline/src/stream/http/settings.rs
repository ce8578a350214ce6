//! The `[http]` part of a stream's configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::super::config::string;
use super::connections::{LIMIT_KEYS, Limits};
use crate::decision::Verdict;
use crate::diagnostic::Message;
use crate::document::Reader;

/// An answer that takes longer helps nobody who waits at a till.
const TIME_LIMIT_MS: std::ops::RangeInclusive<i64> = 10..=60_000;
const TIME_LIMIT_MS_DEFAULT: i64 = 2_000;
/// While somebody waits a partition without events is idle after so long: events of one moment that
/// take different ways to the brokers come that far apart.
const IDLE_MS: std::ops::RangeInclusive<i64> = 10..=60_000;
const IDLE_MS_DEFAULT: i64 = 250;
/// An event has at most 1 MiB, as everywhere; an array of them some more.
pub(in crate::stream) const BODY_KIB: std::ops::RangeInclusive<i64> = 1..=16_384;
pub(in crate::stream) const BODY_KIB_DEFAULT: i64 = 1_024;
/// Requests a second and actor.
pub(in crate::stream) const RATE: std::ops::RangeInclusive<i64> = 1..=1_000_000;
pub(in crate::stream) const RATE_DEFAULT: i64 = 1_000;
/// Records that a stream may be behind and still count as ready.
const READY_LAG: std::ops::RangeInclusive<i64> = 0..=1_000_000_000;
const READY_LAG_DEFAULT: i64 = 10_000;
/// Memory for decisions that a retry may ask for: about 100,000 in 64 MiB.
const ANSWERS_MIB: std::ops::RangeInclusive<i64> = 1..=65_536;
const ANSWERS_MIB_DEFAULT: i64 = 64;

const KEYS: [&str; 17] = [
    "listen",
    "plain",
    "tls",
    "tokens",
    "topic",
    "labels",
    "holds",
    "time_limit",
    "idle",
    "body_kib",
    "rate",
    "ready_lag",
    "answers_mib",
    "fallback",
    LIMIT_KEYS[0],
    LIMIT_KEYS[1],
    LIMIT_KEYS[2],
];

/// How a stream is reached by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Certificate chain and key, as PEM files; none: without TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The file of tokens; none: nobody can sign in.
    pub tokens: Option<PathBuf>,
    /// The input topic that gets events to be decided.
    pub topic: String,
    /// The topic that gets labels.
    pub labels: String,
    /// The topic that keeps what people did with held transactions.
    pub holds: String,
    /// How long a decision is waited for, in ms.
    pub time_limit: i64,
    /// After how long without events a partition at its end is idle while somebody waits, in ms; at
    /// most the policy's `idle_ms`.
    pub idle: i64,
    /// The largest body of a request, in bytes.
    pub body_bytes: usize,
    /// Requests a second and actor.
    pub rate: u32,
    /// Records that the stream may be behind and be ready.
    pub ready_lag: u64,
    /// Memory for decisions that a retry may ask for, in bytes.
    pub answers_bytes: usize,
    /// What is answered after the time limit.
    pub fallback: Fallback,
    /// What clients may take up by being connected.
    pub limits: Limits,
}

/// What is answered where nothing is decided in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The answer on small amounts.
    pub decision: Verdict,
    /// From so many fen on an amount is large.
    pub large_fen: i64,
    /// The answer on large ones.
    pub large: Verdict,
}

impl Default for Fallback {
    /// A packet's share has a mean of at most 200 yuan: that much settles and is looked at later.
    fn default() -> Fallback {
        Fallback { decision: Verdict::Review, large_fen: 20_000, large: Verdict::Hold }
    }
}

impl Fallback {
    /// The answer on an amount in fen.
    pub fn of(&self, amount_fen: i64) -> Verdict {
        if amount_fen >= self.large_fen { self.large } else { self.decision }
    }
}

impl HttpConfig {
    /// Reads `[http]`; none where there is none. `inputs` are the topics that the stream reads.
    pub(in crate::stream) fn read(
        reader: &mut Reader<'_>,
        root: &DeTable<'_>,
        path: &Path,
        inputs: &[String],
    ) -> Option<HttpConfig> {
        let node = root.get("http")?;
        let table = reader.as_table("http", node)?;
        reader.known_keys(table, &KEYS);
        reader.required_keys(table, node.span(), &["listen"]);
        let beside = |name: String| path.parent().unwrap_or(Path::new("")).join(name);
        let tls = tls(reader, table).map(|(chain, key)| (beside(chain), beside(key)));
        let plain = reader.boolean(table, "plain").unwrap_or(false);
        let mut of =
            |key: &str, bounds, default: i64| reader.integer(table, key, bounds).unwrap_or(default);
        let body_kib = of("body_kib", BODY_KIB, BODY_KIB_DEFAULT);
        let rate = of("rate", RATE, RATE_DEFAULT) as u32;
        let ready_lag = of("ready_lag", READY_LAG, READY_LAG_DEFAULT) as u64;
        let answers_mib = of("answers_mib", ANSWERS_MIB, ANSWERS_MIB_DEFAULT);
        let time_limit = reader.duration(table, "time_limit", TIME_LIMIT_MS);
        let idle = reader.duration(table, "idle", IDLE_MS);
        let topic = topic(reader, table, inputs);
        Some(HttpConfig {
            listen: listen(reader, table, tls.is_some() || plain)?,
            tls,
            tokens: string(reader, table, "tokens").map(beside),
            labels: string(reader, table, "labels").unwrap_or_else(|| topic.clone()),
            holds: string(reader, table, "holds").unwrap_or_else(|| format!("{topic}.holds")),
            topic,
            time_limit: time_limit.unwrap_or(TIME_LIMIT_MS_DEFAULT),
            idle: idle.unwrap_or(IDLE_MS_DEFAULT),
            body_bytes: (body_kib as usize) << 10,
            rate,
            ready_lag,
            answers_bytes: (answers_mib as usize) << 20,
            fallback: fallback(reader, table),
            limits: Limits::read(reader, table),
        })
    }
}

/// Where to listen. Other machines are let in only with TLS, for tokens would else go in clear, or
/// where it is said that something in front sees to that.
pub(in crate::stream) fn listen(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    open: bool,
) -> Option<SocketAddr> {
    let text = reader.string(table, "listen")?;
    let Ok(address) = text.get_ref().parse::<SocketAddr>() else {
        let message = Message::new(
            "`listen` is an address and a port, such as 127.0.0.1:8080",
            "`listen` 须为地址与端口，例如 127.0.0.1:8080",
        );
        reader.fail("listen", text.span(), message, None);
        return None;
    };
    if !address.ip().is_loopback() && !open {
        let message =
            Message::new("other machines would send tokens in clear", "其他机器将以明文发送令牌");
        let hint = Message::new(
            "set tls = { certificate = \"PATH\", key = \"PATH\" }; or plain = true where a proxy on \
             this machine does it",
            "请设置 tls = { certificate = \"路径\", key = \"路径\" }；若由本机代理负责，则设 plain = true",
        );
        reader.fail("listen-in-clear", text.span(), message, Some(hint));
    }
    Some(address)
}

pub(in crate::stream) fn tls(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
) -> Option<(String, String)> {
    let node = table.get("tls")?;
    let tls = reader.as_table("tls", node)?;
    reader.known_keys(tls, &["certificate", "key"]);
    reader.required_keys(tls, node.span(), &["certificate", "key"]);
    string(reader, tls, "certificate").zip(string(reader, tls, "key"))
}

/// The topic of events to be decided: one that the stream reads, the first unless told otherwise.
pub(in crate::stream) fn topic(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    inputs: &[String],
) -> String {
    let first = inputs.first().cloned().unwrap_or_default();
    let Some(topic) = reader.string(table, "topic") else { return first };
    if !inputs.contains(topic.get_ref()) {
        let name = topic.get_ref();
        let message = Message::new(
            format!("the stream does not read the topic `{name}`"),
            format!("流不读取主题 `{name}`"),
        );
        reader.fail("topic-not-read", topic.span(), message, None);
    }
    topic.into_inner()
}

fn fallback(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Fallback {
    let mut fallback = Fallback::default();
    let Some(bands) = reader.table(table, "fallback") else { return fallback };
    reader.known_keys(bands, &["decision", "large_fen", "large"]);
    if let Some(fen) = reader.integer(bands, "large_fen", 0..=i64::MAX) {
        fallback.large_fen = fen;
    }
    for (key, place) in [("decision", &mut fallback.decision), ("large", &mut fallback.large)] {
        let Some(name) = reader.string(bands, key) else { continue };
        match Verdict::ALL.into_iter().find(|verdict| verdict.name() == name.get_ref()) {
            Some(verdict) => *place = verdict,
            None => {
                let message = Message::new(
                    format!("`{key}` is allow, review, hold or block"),
                    format!("`{key}` 须为 allow、review、hold 或 block"),
                );
                reader.fail("wrong-value", name.span(), message, None);
            }
        }
    }
    fallback
}
