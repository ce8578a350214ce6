//! How many connections there may be, and for how long one may do nothing: each takes a descriptor,
//! and a stream that has none left cannot go on.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::task::{Context, Poll, ready as poll_ready};
use std::time::Duration;

use axum_server::accept::Accept;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use toml::de::DeTable;

use crate::document::Reader;

const CONNECTIONS: std::ops::RangeInclusive<i64> = 1..=1_000_000;
const CONNECTIONS_DEFAULT: i64 = 512;
/// One descriptor in so many may be a client's: the others are for brokers, snapshots and days.
const DESCRIPTORS_SHARE: u64 = 2;
/// A request is small and comes at once.
const READ_MS: std::ops::RangeInclusive<i64> = 100..=600_000;
const READ_MS_DEFAULT: i64 = 10_000;
/// Clients keep connections for the next request, most for less than a minute.
const KEEP_MS: std::ops::RangeInclusive<i64> = 100..=3_600_000;
const KEEP_MS_DEFAULT: i64 = 60_000;

/// The keys of these limits, in `[http]` and `[packet]`.
pub(in crate::stream) const LIMIT_KEYS: [&str; 3] = ["connections", "read_limit", "keep_alive"];

/// What clients may take up by being connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; more are closed at once.
    pub connections: u64,
    /// How long a first request's head, a body and each part of an answer may take.
    pub read: Duration,
    /// How long a connection may wait for its next request.
    pub keep_alive: Duration,
}

impl Limits {
    /// Reads the keys of a table.
    pub(in crate::stream) fn read(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Limits {
        let connections = reader.integer(table, "connections", CONNECTIONS);
        let mut lasting = |key, bounds, default: i64| {
            let ms = reader.duration(table, key, bounds).unwrap_or(default);
            Duration::from_millis(ms as u64)
        };
        Limits {
            read: lasting("read_limit", READ_MS, READ_MS_DEFAULT),
            keep_alive: lasting("keep_alive", KEEP_MS, KEEP_MS_DEFAULT),
            connections: connections.unwrap_or(CONNECTIONS_DEFAULT) as u64,
        }
    }

    /// The same with no more connections than this process has descriptors for.
    pub(super) fn within_descriptors(self) -> Limits {
        let Some(descriptors) = getrlimit(Resource::Nofile).current else { return self };
        let most = (descriptors / DESCRIPTORS_SHARE).max(1);
        if self.connections > most {
            tracing::warn!(
                connections = self.connections,
                descriptors,
                most,
                "fewer connections than configured: raise the limit of descriptors (ulimit -n, \
                 LimitNOFILE of systemd)"
            );
        }
        Limits { connections: self.connections.min(most), ..self }
    }
}

/// What is measured of connections.
#[derive(Clone, Default)]
pub(in crate::stream) struct Counts {
    open: Gauge<i64, AtomicI64>,
    refused: Counter<u64, AtomicU64>,
}

impl Counts {
    #[cfg(test)]
    pub(super) fn open(&self) -> i64 {
        self.open.get()
    }

    #[cfg(test)]
    pub(super) fn refused(&self) -> u64 {
        self.refused.get()
    }

    pub(in crate::stream) fn register(&self, registry: &mut Registry) {
        let help = "Connections of clients";
        registry.register("http_connections", help, self.open.clone());
        let help = "Connections that were closed at once, for there were as many as there may be";
        registry.register("http_connections_refused", help, self.refused.clone());
    }
}

/// Lets connections in.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) limits: Limits,
    pub(super) counts: Counts,
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = Connection;
    type Service = S;
    type Future = Ready<io::Result<(Connection, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Counts { open, refused } = &self.counts;
        // It gives how many there were before this one.
        let place = Place(open.clone());
        if open.inc() >= self.limits.connections as i64 {
            refused.inc();
            return ready(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        let limit = self.limits.read;
        ready(Ok((Connection { stream, stuck: None, limit, _place: place }, service)))
    }
}

/// One of the connections that there may be; given back when it is dropped.
struct Place(Gauge<i64, AtomicI64>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A connection that ends where its client takes nothing of an answer for too long.
pub(super) struct Connection {
    stream: TcpStream,
    /// Runs while nothing can be written.
    stuck: Option<Pin<Box<Sleep>>>,
    limit: Duration,
    _place: Place,
}

impl Connection {
    /// What became of a write, unless the client has been waited for too long.
    fn timed(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        poll_ready!(stuck.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timed(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.timed(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
