//! Everything that is tested from outside, as one program so that it links once.

mod alerts;
mod built_in;
mod changes;
#[cfg(unix)]
mod cluster;
mod clusters;
mod code_words;
mod contract;
mod cost;
mod diff;
mod digest;
mod explain;
mod enforce;
mod failure;
mod features;
mod finished;
mod funds;
mod input_log;
#[cfg(unix)]
mod interrupt;
#[cfg(feature = "kafka")]
mod kafka;
mod late;
mod lens;
mod live;
mod mistakes;
mod models;
mod oracle;
mod order;
mod packet;
mod packet_bytes;
mod profile;
mod pseudonymise;
mod referee;
mod rule_sets;
mod rules_check;
mod sorting;
mod state;
mod snapshot;
mod social;
mod stories;
mod support;
mod sweep;
mod tidy;
mod train;
mod trained;
mod verify;
mod witness;
