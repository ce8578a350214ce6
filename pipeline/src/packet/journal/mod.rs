//! x
pub mod ids;
pub mod chain;
pub mod storage;
pub mod frame;
pub mod merkle;
pub mod touched;
pub mod note;
pub mod checkpoint;
pub mod error;
pub mod segment;
pub mod snapshot;
pub mod log;
pub mod verify;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
pub(crate) mod toy;
