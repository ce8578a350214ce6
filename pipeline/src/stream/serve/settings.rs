//! The `[packet]` part of a stream's configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::super::config::string;
use super::super::http::connections::{LIMIT_KEYS, Limits};
use super::super::http::settings::{self, BODY_KIB, BODY_KIB_DEFAULT, RATE, RATE_DEFAULT};
use crate::document::Reader;

/// A hold of less than a second helps nobody; the limits of the journal say how long one may be.
const HOLD_MS: std::ops::RangeInclusive<i64> = 1_000..=3_000_000_000;
const HOLD_MS_DEFAULT: i64 = 24 * 3_600_000;

const KEYS: [&str; 11] = [
    "listen",
    "plain",
    "tls",
    "tokens",
    "topic",
    "hold",
    "body_kib",
    "rate",
    LIMIT_KEYS[0],
    LIMIT_KEYS[1],
    LIMIT_KEYS[2],
];

/// How the packet engine beside a stream is reached, and what it does about holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Certificate chain and key, as PEM files; none: without TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The file of tokens; none: nobody can sign in.
    pub tokens: Option<PathBuf>,
    /// The input topic of the stream that gets the engine's events.
    pub topic: String,
    /// How long a held transaction waits for a person, in ms.
    pub hold: i64,
    /// The largest body of a request, in bytes.
    pub body_bytes: usize,
    /// Requests a second and actor.
    pub rate: u32,
    /// What clients may take up by being connected.
    pub limits: Limits,
}

impl PacketConfig {
    /// Reads `[packet]`; none where there is none. `inputs` are the topics that the stream reads.
    pub(in crate::stream) fn read(
        reader: &mut Reader<'_>,
        root: &DeTable<'_>,
        path: &Path,
        inputs: &[String],
    ) -> Option<PacketConfig> {
        let node = root.get("packet")?;
        let table = reader.as_table("packet", node)?;
        reader.known_keys(table, &KEYS);
        reader.required_keys(table, node.span(), &["listen"]);
        let beside = |name: String| path.parent().unwrap_or(Path::new("")).join(name);
        let tls = settings::tls(reader, table).map(|(chain, key)| (beside(chain), beside(key)));
        let plain = reader.boolean(table, "plain").unwrap_or(false);
        let body_kib = reader.integer(table, "body_kib", BODY_KIB).unwrap_or(BODY_KIB_DEFAULT);
        let rate = reader.integer(table, "rate", RATE).unwrap_or(RATE_DEFAULT) as u32;
        let hold = reader.duration(table, "hold", HOLD_MS).unwrap_or(HOLD_MS_DEFAULT);
        let topic = settings::topic(reader, table, inputs);
        Some(PacketConfig {
            listen: settings::listen(reader, table, tls.is_some() || plain)?,
            tls,
            tokens: string(reader, table, "tokens").map(beside),
            topic,
            hold,
            body_bytes: (body_kib as usize) << 10,
            rate,
            limits: Limits::read(reader, table),
        })
    }
}
