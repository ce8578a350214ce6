//! A Parquet file. A corpus of small files of several types and codecs takes it past the footer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::check("e.parquet", bytes, None));
