//! Everything that is tested from outside, as one program so that it links once.

mod oracle;
mod tidy;
