//! The lines of a JSON lines file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::check("e.jsonl", bytes, None));
