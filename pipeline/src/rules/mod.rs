//! Rules: what analysts write, checked as a whole and compiled once.
//!
//! [`mod@file`] reads one rule with its [`timeline`]s, [`policy`] and [`lists`] what stands beside
//! rules, [`set`] a whole directory: nothing runs while anything in it is wrong. [`mod@fmt`] and
//! [`docs`] are for those who write and read them.

pub mod blend;
mod canonical;
mod check;
pub mod docs;
pub mod file;
mod files;
pub mod fmt;
pub mod links;
pub mod lists;
pub mod overview;
mod params;
pub mod policy;
pub mod set;
mod template;
pub mod timeline;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use blend::SCORE_MAX;
pub use files::DIMENSIONS;
pub use policy::Policy;
pub use set::{Lifts, Loaded, Rule, RuleSet, Vocabulary, load, load_with};
pub use template::{Template, write_value};
