//! Features: what is known of a transaction from everything before it.
//!
//! Declared features are compiled once into a [`plan`], whose families keep their `state` on the
//! workers that own its keys; [`catalogue`] is the list of all names that a condition may use.

pub mod catalogue;
pub(crate) mod built_in;
pub mod entries;
pub mod declare;
pub mod learnt;
pub(crate) mod kept;
pub mod devices;
pub(crate) mod funds;
pub mod plan;
pub(crate) mod requests;
pub(crate) mod senders;
pub mod side_by_side;
pub(crate) mod social;
pub(crate) mod state;
pub(crate) mod state_map;
pub mod cost;
pub mod text;

pub use catalogue::{Catalogue, Features, SlotSource, Whose};
pub use side_by_side::{InTurn, side_by_side};
