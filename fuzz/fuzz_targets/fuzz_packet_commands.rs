//! Lines of JSON as commands of the packet engine.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzz::packets::commands(bytes);
});
