//! Ids as keyed pseudonyms: who holds the key can tell which id a pseudonym is of by making it again,
//! and nobody else can.
//!
//! All ids share one name space, as accounts do on both sides of a transfer and in labels and lists.
//! `event_id` stays: by it a decision goes back to the system that asked for it.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{ACCOUNT_ID, COUNTERPARTY_ID, DEVICE_ID, FieldId, GROUP_ID, IP, PACKET_ID};
use crate::diagnostic::{Failure, Message};

/// The fields that are replaced; `subject_id` is too, but for that of an event.
pub(super) const REPLACED: [FieldId; 6] =
    [ACCOUNT_ID, COUNTERPARTY_ID, GROUP_ID, PACKET_ID, DEVICE_ID, IP];

/// The least bytes of a key file: as many as the key that is made of it.
const KEY_BYTES_MIN: usize = 32;
/// The most: a larger file is some other file, named by mistake.
const KEY_BYTES_MAX: u64 = 4096;
/// Bits by which everybody may read a file.
const READ_BY_ALL: u32 = 0o004;

// What each use of the key is for keeps the uses apart.
const KEY_CONTEXT: &str = "hongxian 2026 key of pseudonyms";
const FINGERPRINT_CONTEXT: &str = "hongxian 2026 fingerprint of a key of pseudonyms";
/// Bytes of a fingerprint.
const FINGERPRINT_BYTES: usize = 8;
/// Bytes of a pseudonym: with 2^40 ids two share one with a chance of 2^-49.
const PSEUDONYM_BYTES: usize = 16;

/// A key, and the pseudonyms that it gives.
#[derive(Clone)]
pub struct Pseudonyms {
    key: [u8; 32],
    fingerprint: String,
    path: PathBuf,
    is_open: bool,
}

impl Pseudonyms {
    /// Reads a key file, of which all bytes count.
    ///
    /// # Errors
    /// When it cannot be read, or has too few bytes or too many (exit 2).
    pub fn read(path: &Path) -> Result<Pseudonyms, Failure> {
        let unreadable = |error: std::io::Error| {
            let message = Message::new(
                format!("cannot read the key: {error}"),
                format!("无法读取密钥：{error}"),
            );
            Failure::file("unreadable-key", path, message, None)
        };
        let held = std::fs::metadata(path).map_err(unreadable)?;
        if held.len() > KEY_BYTES_MAX {
            return Err(wrong_size(path, held.len()));
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        if bytes.len() < KEY_BYTES_MIN {
            return Err(wrong_size(path, bytes.len() as u64));
        }
        let fingerprint = blake3::derive_key(FINGERPRINT_CONTEXT, &bytes);
        Ok(Pseudonyms {
            key: blake3::derive_key(KEY_CONTEXT, &bytes),
            fingerprint: hex(&fingerprint[..FINGERPRINT_BYTES]),
            path: path.to_owned(),
            is_open: held.permissions().mode() & READ_BY_ALL != 0,
        })
    }

    /// The pseudonym of an id.
    pub fn of(&self, id: &str) -> String {
        hex(&blake3::keyed_hash(&self.key, id.as_bytes()).as_bytes()[..PSEUDONYM_BYTES])
    }

    /// By which two keys are told apart; it tells nothing of the key.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The key file, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// That everybody on the machine may read the key, if so.
    pub fn warning(&self) -> Option<Message> {
        let path = self.path.display();
        self.is_open.then(|| {
            Message::new(
                format!("everybody on this machine may read the key in {path}: chmod 600 {path}"),
                format!("本机所有用户均可读取密钥 {path}：请执行 chmod 600 {path}"),
            )
        })
    }
}

impl PartialEq for Pseudonyms {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Pseudonyms {}

impl fmt::Debug for Pseudonyms {
    /// Without the key, which is not to be in any message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pseudonyms").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    bytes.iter().flat_map(digits).collect()
}

fn wrong_size(path: &Path, bytes: u64) -> Failure {
    let message = Message::new(
        format!("a key has from {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes, and this file {bytes}"),
        format!("密钥须为 {KEY_BYTES_MIN} 至 {KEY_BYTES_MAX} 字节，而该文件为 {bytes} 字节"),
    );
    let make = "head -c 32 /dev/urandom > KEYFILE && chmod 600 KEYFILE";
    let hint = Message::new(format!("make one: {make}"), format!("生成密钥：{make}"));
    Failure::file("bad-key", path, message, Some(hint))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::super::*;
    use super::*;

    fn key(bytes: &[u8], mode: u32) -> Result<Pseudonyms, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Pseudonyms::read(&path)
    }

    #[test]
    fn a_short_key_is_refused_and_one_that_all_may_read_is_told_of() {
        assert_eq!(key(&[7; 31], 0o600).unwrap_err().exit_code(), 2);
        assert_eq!(key(&[7; 4097], 0o600).unwrap_err().exit_code(), 2);
        assert!(key(&[7; 32], 0o600).unwrap().warning().is_none());
        assert!(key(&[7; 32], 0o644).unwrap().warning().is_some());
    }

    #[test]
    fn one_key_gives_one_pseudonym_and_another_key_another() {
        let (one, same, other) = (key(&[7; 32], 0o600), key(&[7; 32], 0o600), key(&[8; 32], 0o600));
        let (one, same, other) = (one.unwrap(), same.unwrap(), other.unwrap());
        assert_eq!((one.of("u1"), &one), (same.of("u1"), &same));
        assert_ne!(one.of("u1"), one.of("u2"));
        assert_ne!((one.of("u1"), &one), (other.of("u1"), &other));
        assert!(!format!("{one:?}").contains('7'.to_string().repeat(3).as_str()));
    }

    #[test]
    fn ids_are_replaced_and_all_else_stays() {
        let names = Arc::new(key(&[7; 32], 0o600).unwrap());
        let schema = Schema::default().with_pseudonyms(Some(names.clone()));
        let mut builder = ChunkBuilder::new(Arc::new(schema));
        let ids = [ACCOUNT_ID, COUNTERPARTY_ID, GROUP_ID, PACKET_ID, DEVICE_ID, IP];
        let rest = [(REGION, "440100"), (TEXT, "u1"), (EVENT_ID, "u1"), (KIND, "login")];
        let values = ids.map(|field| (field, Raw::Str("u1"))).into_iter();
        let values = values.chain(rest.map(|(field, text)| (field, Raw::Str(text))));
        let values = values.chain([(EVENT_TIME, Raw::Int(1_707_480_000_000))]);
        builder.push(values, Position { source: 0, at: 1 }).unwrap();
        let chunk = builder.finish();
        for field in ids {
            assert_eq!(chunk.str(field, 0), names.of("u1"));
        }
        for (field, text) in rest {
            assert_eq!(chunk.str(field, 0), text);
        }
    }

    #[test]
    fn the_subject_of_a_label_is_replaced_unless_it_is_an_event_whatever_comes_first() {
        let names = Arc::new(key(&[7; 32], 0o600).unwrap());
        let schema = Arc::new(Schema::default().with_pseudonyms(Some(names.clone())));
        let mut builder = ChunkBuilder::new(schema);
        for (kind, first) in [("account", true), ("account", false), ("event", true)] {
            let subject = (SUBJECT_ID, Raw::Str("x"));
            let values = [
                (EVENT_ID, Raw::Str("l")),
                (EVENT_TIME, Raw::Int(1_707_480_000_000)),
                (KIND, Raw::Str("label")),
                if first { subject } else { (SUBJECT_KIND, Raw::Str(kind)) },
                if first { (SUBJECT_KIND, Raw::Str(kind)) } else { subject },
            ];
            builder.push(values, Position { source: 0, at: 1 }).unwrap();
        }
        let chunk = builder.finish();
        let subjects = [0, 1, 2].map(|row| chunk.str(SUBJECT_ID, row));
        assert_eq!(subjects, [&*names.of("x"), &names.of("x"), "x"]);
    }
}
