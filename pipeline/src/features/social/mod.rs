//! Groups and the people in them: what a group's money does, how fast and between whom it is
//! claimed, in how many groups two people meet, and in how many both are.

mod claims;
pub(crate) mod common;
pub(crate) mod group;
pub(crate) mod groups;
mod members;
pub(crate) mod mines;
pub(crate) mod requests;
#[cfg(test)]
mod tests;
pub(crate) mod ties;
