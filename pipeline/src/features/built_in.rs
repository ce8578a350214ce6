//! Features that the program declares itself, as an analyst would: every rules directory has
//! them, and its `features.toml` may declare one of them otherwise.

use std::path::Path;

use super::declare::{self, Declaration};
use crate::event::Schema;

const TEXT: &str = include_str!("built_in.toml");

/// The declarations, in the order of the file.
pub(super) fn declarations(schema: &Schema) -> Vec<Declaration> {
    let (read, wrong) = declare::read_built_in(Path::new("built_in.toml"), TEXT, schema);
    debug_assert!(wrong.is_empty(), "{wrong:?}");
    read.list
}
