//! What a crash can leave of a checkpoint that was being written: its beginning, but for sectors that
//! were never written. Anything else at the end of the file is damage.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::note::DASH;

/// A disk writes at least so much at once, at places that are multiples of it.
const SECTOR_BYTES: usize = 512;
/// The digits of the largest size.
const SIZE_DIGITS_MAX: usize = 20;
/// The bytes of a root.
const ROOT_BYTES: usize = 32;

/// Whether a checkpoint of the log `origin`, or of any where none is known, can have been written to
/// that place of a file so that these bytes are left.
pub(super) fn unfinished(bytes: &[u8], at: usize, origin: Option<&str>) -> bool {
    // A sector that was not written reads as zeros up to where the next one begins.
    let zeros_end_with_their_sector = bytes.windows(2).enumerate().all(|(place, two)| {
        two[0] != 0 || two[1] == 0 || (at + place + 1).is_multiple_of(SECTOR_BYTES)
    });
    let written = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    zeros_end_with_their_sector && begins_a_checkpoint(&bytes[..written], origin)
}

fn begins_a_checkpoint(bytes: &[u8], origin: Option<&str>) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // It ends within a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    text.split_inclusive('\n').enumerate().all(|(number, line)| {
        let (line, ended) = match line.strip_suffix('\n') {
            Some(line) => (line, true),
            None => (line, false),
        };
        match (number, origin) {
            (0, Some(origin)) if ended => line == origin,
            (0, Some(origin)) => origin.starts_with(line),
            (0, None) => is_name(line),
            (1, _) => begins_a_size(line),
            (2, _) if ended => STANDARD.decode(line).is_ok_and(|root| root.len() == ROOT_BYTES),
            (2, _) => begins_a_root(line),
            (3, _) => line.is_empty(),
            _ if ended => is_signature(line),
            _ => begins_a_signature(line),
        }
    })
}

fn is_name(line: &str) -> bool {
    !line.is_empty() && !line.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

fn begins_a_size(line: &str) -> bool {
    let canonical = line == "0" || !line.starts_with('0');
    let digits = (1..=SIZE_DIGITS_MAX).contains(&line.len());
    canonical && digits && line.bytes().all(|byte| byte.is_ascii_digit())
}

/// 43 characters and a `=`.
fn begins_a_root(line: &str) -> bool {
    let (characters, padding) = line.split_at_checked(43).unwrap_or((line, ""));
    characters.bytes().all(is_base64) && "=".starts_with(padding)
}

fn is_signature(line: &str) -> bool {
    let rest = line.strip_prefix(DASH).and_then(|rest| rest.split_once(' '));
    rest.is_some_and(|(name, bytes)| {
        is_name(name) && STANDARD.decode(bytes).is_ok_and(|bytes| bytes.len() > 4)
    })
}

fn begins_a_signature(line: &str) -> bool {
    let Some(rest) = line.strip_prefix(DASH) else { return DASH.starts_with(line) };
    match rest.split_once(' ') {
        None => rest.is_empty() || is_name(rest),
        Some((name, bytes)) => is_name(name) && bytes.trim_end_matches('=').bytes().all(is_base64),
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::entry;
    use super::super::ids::Root;
    use super::super::toy::signer;
    use super::*;
    use crate::packet::journal::SignedCheckpoint;

    #[test]
    fn every_beginning_of_a_checkpoint_can_be_finished() {
        let bytes = entry(&SignedCheckpoint::sign(1024, Root([0xfe; 32]), &signer())).into_bytes();
        for end in 0..bytes.len() {
            assert!(unfinished(&bytes[..end], 0, None), "{end}");
            assert!(unfinished(&bytes[..end], 7, Some("example.org/packets")), "{end}");
        }
    }

    #[test]
    fn what_no_checkpoint_begins_with_cannot() {
        for (text, origin) in [
            ("an origin with a space", None),
            ("example.org/others\n", Some("example.org/packets")),
            ("a\n07", None),
            ("a\n-", None),
            ("a\n\n", None),
            ("a\n7\nAAAA\n", None),
            ("a\n7\n%", None),
            ("a\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=A", None),
            ("a\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nx", None),
            ("a\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n- a", None),
            ("a\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} a %", None),
            ("a\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} a AAAA\n", None),
        ] {
            assert!(!unfinished(text.as_bytes(), 0, origin), "{text}");
        }
        assert!(!unfinished(b"a\xff", 0, None));
    }

    #[test]
    fn zeros_are_sectors_that_were_not_written() {
        let zeros_then = |zeros: usize| [&vec![0; zeros][..], b"AAAA"].concat();
        assert!(unfinished(&[0; 30], 100, None), "to the end of the file");
        assert!(unfinished(&zeros_then(412), 100, None), "to the end of the sector");
        assert!(!unfinished(&zeros_then(411), 100, None));
        assert!(!unfinished(&zeros_then(1), 100, None), "one byte that was changed");
    }
}
