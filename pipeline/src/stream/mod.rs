//! The pipeline on Kafka: events from topics, decisions to a topic, each exactly once; killed
//! anywhere, it goes on as if nothing had happened.
//!
//! A stream reads its partitions side by side ([`Config::input`]), and the rest is as in a replay
//! of an input log: a partition has a watermark, an event an effective time, and all events one
//! total order. What is before the smallest watermark, in whole ticks, goes through the one dataflow.
//! Its decisions are written in transactions, together with the dead letters and with how far the
//! stream is. What a partition without records is moved on by, a heartbeat, is committed before
//! anything is decided by it. So what decides is the input log alone: `input-log` exports it, and
//! `backtest --input-log` of it decides the same bytes.
//!
//! On start a stream fences whoever had its name before, reads how far that was, and replays its
//! input from its newest [snapshot](Snapshots) that is whole, or without one from the beginning; what
//! was committed is decided again in silence and compared by digest. With snapshots the input topics
//! need not keep what is before them. In a cluster process 0 does all of this, and what it feeds its
//! session is shared out among the workers of all. `http` answers who waits for a decision, beside
//! all of this. `serve` is a program of its own beside a stream: the packet engine, whose money moves
//! as the stream decides.

mod added;
mod bundle;
mod cluster;
mod config;
mod connect;
mod control;
mod day_files;
mod days;
mod digest;
mod ends;
mod engine;
mod export;
mod http;
mod input;
mod known;
mod live;
mod output;
mod produce;
mod reader;
mod reload;
mod rules;
mod serve;
mod shadow;
mod start;
mod snapshots;
mod told;
mod uploads;

pub use self::cluster::{CONNECT_LIMIT_MS, Cluster};
pub use self::config::{Config, Overrides};
pub use self::connect::Tell;
pub use self::control::Counted;
pub use self::days::Settings as DaysConfig;
pub use self::digest::digest;
pub use self::export::{Exported, Span, export};
pub use self::http::{Fallback, HttpConfig, Limits};
pub use self::live::{Ended, How, Progress, follow, stream};
pub use self::produce::{Produced, Request as Produce, produce};
pub use self::serve::{
    Crash, CrashPlace, Opening, PacketConfig, Served, Serving, Teller, Told, serve,
};
pub use self::snapshots::Settings as Snapshots;
