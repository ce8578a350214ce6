//! Rules: what analysts write, checked as a whole and compiled once.
//!
//! [`mod@file`] reads one rule, [`policy`] and [`lists`] what stands beside rules, [`set`] a whole
//! directory: nothing runs while anything in it is wrong.

pub mod docs;
pub mod file;
pub mod fmt;
pub mod lists;
pub mod policy;
pub mod set;
pub mod timeline;

pub use policy::Policy;
pub use set::{Loaded, Rule, RuleSet, load};
