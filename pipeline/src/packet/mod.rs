//! The red packet itself: what its rules allow, checked beside the pipeline.

pub mod journal;
pub mod referee;
pub(crate) mod requests;
