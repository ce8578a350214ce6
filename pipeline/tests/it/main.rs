//! Everything that is tested from outside, as one program so that it links once.

mod changes;
mod clusters;
mod digest;
mod features;
mod input_log;
mod oracle;
mod order;
mod rule_sets;
mod state;
mod stories;
mod support;
mod tidy;
