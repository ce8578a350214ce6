//! The records of a CSV file.
#![no_main]

use libfuzzer_sys::fuzz_target;

const HEADER: &[u8] = b"event_id,event_time,kind,account_id,amount_fen,text,verified\n";

fuzz_target!(|bytes: &[u8]| {
    fuzz::check("e.csv", bytes, None);
    fuzz::check("e.csv", &[HEADER, bytes].concat(), None);
});
