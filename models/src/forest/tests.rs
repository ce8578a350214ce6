//! Forests as a whole.
