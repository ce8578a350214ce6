//! The hash chain of one packet: the order of its records, which a receipt can prove.
//!
//! The chain begins with the hash of the record that created the packet, and each later record
//! moves it on: `head' = BLAKE3(head || record)`. What a record holds is the engine's affair; here
//! it is bytes. This file is the only definition of the rule: the engine, the receipts and `verify`
//! use it.

use super::ids::Head;

/// The longest record of a chain, in bytes. A head and a record together then fill two blocks of
/// BLAKE3 (128 bytes), the most that a hash in under 0.2 us can cover.
pub const RECORD_BYTES_MAX: usize = 96;

/// The head of a chain whose first record, that of the packet's creation, is `record`.
///
/// # Panics
/// If the record is longer than [`RECORD_BYTES_MAX`]: its layout is fixed in the engine's code.
pub fn start(record: &[u8]) -> Head {
    assert!(record.len() <= RECORD_BYTES_MAX, "a record has at most {RECORD_BYTES_MAX} bytes");
    Head(*blake3::hash(record).as_bytes())
}

/// The head after one more record.
///
/// # Panics
/// If the record is longer than [`RECORD_BYTES_MAX`]: its layout is fixed in the engine's code.
pub fn extend(head: Head, record: &[u8]) -> Head {
    assert!(record.len() <= RECORD_BYTES_MAX, "a record has at most {RECORD_BYTES_MAX} bytes");
    let mut bytes = [0; 32 + RECORD_BYTES_MAX];
    let end = 32 + record.len();
    bytes[..32].copy_from_slice(&head.0);
    bytes[32..end].copy_from_slice(record);
    Head(*blake3::hash(&bytes[..end]).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of the empty input stands in the BLAKE3 paper and its test vectors.
    #[test]
    fn a_chain_starts_with_the_plain_hash_of_its_first_record() {
        assert_eq!(
            start(b"").to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn a_head_is_the_hash_of_the_head_before_and_the_record() {
        for bytes in [0, 1, 32, 63, 64, RECORD_BYTES_MAX] {
            let record = vec![7; bytes];
            let head = start(b"created");
            let mut hasher = blake3::Hasher::new();
            hasher.update(&head.0).update(&record);
            assert_eq!(extend(head, &record).0, *hasher.finalize().as_bytes(), "{bytes} bytes");
        }
    }

    #[test]
    fn the_order_of_two_records_changes_the_head() {
        let head = start(b"created");
        let one_two = extend(extend(head, b"one"), b"two");
        let two_one = extend(extend(head, b"two"), b"one");
        assert_ne!(one_two, two_one);
    }
}
