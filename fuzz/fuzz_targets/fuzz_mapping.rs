//! A mapping file, and where it is sound a row of its columns.
#![no_main]

use std::path::Path;

use hongxian::source::Mapping;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The mapping, and after a NUL the records.
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let Ok(text) = std::str::from_utf8(parts.next().unwrap_or_default()) else { return };
    let parse = || Mapping::parse(Path::new("map.toml"), text.to_owned());
    let records = parts.next().unwrap_or_default();
    for name in ["e.csv", "e.jsonl"] {
        if let Ok(mapping) = parse() {
            fuzz::check(name, records, Some(mapping));
        }
    }
});
