//! Frames of the packet engine's journal, as they come and as a damaged journal holds them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::packets::journal(bytes));
