//! Sources.
pub mod order;
