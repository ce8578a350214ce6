//! The way between engine and stream.
