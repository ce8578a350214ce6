//! Hongxian (红线) watches group red packets and the money around them, and decides on every
//! transaction before it settles: allow, review, hold or block, with reasons.
//!
//! The modules stand in the order in which an event meets them, and each uses only those above
//! it. An event is read and checked ([`source`], [`event`]), put in its place in the total order
//! ([`source::order`]), goes through the one dataflow ([`dataflow`]): requests to the keepers of its
//! keys ([`packet`], [`features`]), answers gathered ([`gather`]), rules and score ([`rules`],
//! [`model`], [`score`]); and its decision is recorded ([`sink`]) and judged ([`judge`]). A run that
//! is over is opened again by [`finished`], held to what it says by [`verify`], set beside other
//! rules by [`mod@diff`] and [`sweep`], looked at by [`lens`], [`discover`], [`profile`] and
//! [`explain`], and learnt from by [`train`]. Live, events come from Kafka and decisions go there
//! ([`stream`]).
//!
//! ```
//! use std::sync::Arc;
//! use hongxian::event::Schema;
//!
//! // A rules directory is read as a whole: nothing runs while anything in it is wrong.
//! let loaded = hongxian::rules::load(None, &Arc::new(Schema::default())).unwrap();
//! assert_eq!(loaded.rules.rules.len(), 0, "without a directory there are no rules");
//! assert_eq!(loaded.rules.policy.bands.hold, 600, "and the policy is the documented default");
//! ```

// `eprint!` panics where standard error is closed or full: `diagnostic::to_stderr` does not.
#![warn(clippy::print_stderr)]

mod allocator;
mod unseen;
pub mod diagnostic;
mod csv_cells;
mod parquet_file;
pub mod event;
pub mod expr;
pub mod document;
pub mod stopwatch;
pub mod snapshot;
pub mod source;
pub mod keyed;
pub mod packet;
pub mod features;
pub mod decision;
pub mod rules;
pub mod model;
pub mod score;
pub mod verdicts;
pub mod sink;
pub mod job;
pub mod changes;
mod alerts;
pub mod gather;
pub mod peers;
pub mod dataflow;
pub mod backtest;
pub mod judge;
pub mod report;
pub mod run;
pub mod finished;
pub mod verify;
pub mod diff;
pub mod sweep;
pub mod simulate;
pub mod lens;
pub mod discover;
pub mod profile;
pub mod explain;
pub mod train;
pub mod rules_test;
#[cfg(feature = "kafka")]
pub mod stream;
pub mod cli;
