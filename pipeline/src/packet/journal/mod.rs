//! x
pub mod ids;
pub mod chain;
pub mod storage;
pub mod frame;
pub mod merkle;
pub mod touched;
pub mod note;
#[cfg(test)]
pub(crate) mod memory;
