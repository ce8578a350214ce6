//! Signed notes: a short text and Ed25519 signatures below it, in the format
//! `c2sp.org/signed-note`.
//!
//! ```text
//! the text, one line or more
//!
//! — key-name base64(key id, 4 bytes || signature, 64 bytes)
//! ```
//!
//! Signatures by other keys are passed over, so that witnesses can add theirs. A public key is
//! written as `name+key id+base64(1 || key)`, its id being the first four bytes of `SHA-256(name ||
//! newline || 1 || key)`.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// What a signature line begins with.
pub(super) const DASH: &str = "\u{2014} ";
/// The number of Ed25519 among the kinds of signatures.
const ED25519: u8 = 1;
/// The longest note that is read: a checkpoint has about 200 bytes, each witness adds about 130.
pub const NOTE_BYTES_MAX: usize = 64 << 10;

/// Why a note or a key is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is no signed note.
    #[error("this is no signed note: {0}")]
    Malformed(&'static str),
    /// It is no public key.
    #[error("this is no public key of the form name+id+key: {0}")]
    Key(&'static str),
    /// A name that cannot stand in a note.
    #[error("`{0}` is no name of a key: it has no space, no `+` and no control character")]
    Name(String),
    /// Nobody who is trusted signed it.
    #[error("it is not signed by the key `{0}`")]
    UnknownKey(String),
    /// The trusted key's signature is wrong.
    #[error("the signature by the key `{0}` is wrong")]
    BadSignature(String),
}

impl NoteError {
    /// The stable name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            NoteError::Malformed(_) => "note-malformed",
            NoteError::Key(_) => "note-key",
            NoteError::Name(_) => "note-name",
            NoteError::UnknownKey(_) => "note-unknown-key",
            NoteError::BadSignature(_) => "note-bad-signature",
        }
    }
}

/// A key that signs, with its name. It never shows its secret.
pub struct Signer {
    key: SigningKey,
    public: PublicKey,
}

impl Signer {
    /// The key made from 32 secret bytes, which the caller drew at random and keeps.
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Signer, NoteError> {
        let key = SigningKey::from_bytes(seed);
        let public = PublicKey::new(name, key.verifying_key())?;
        Ok(Signer { key, public })
    }

    /// What others check its signatures with.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The whole note for a text.
    ///
    /// # Panics
    /// If the text is empty, does not end with a line feed or has an empty line at its end.
    pub fn sign(&self, text: &str) -> String {
        assert!(text.len() > 1 && text.ends_with('\n') && !text.ends_with("\n\n"));
        let mut bytes = self.public.id.to_vec();
        bytes.extend_from_slice(&self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n{DASH}{} {}\n", self.public.name, STANDARD.encode(bytes))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public)
    }
}

/// A key that checks signatures, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl PublicKey {
    fn new(name: &str, key: VerifyingKey) -> Result<PublicKey, NoteError> {
        let refused = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.contains(refused) {
            return Err(NoteError::Name(name.to_owned()));
        }
        let mut hasher = Sha256::new_with_prefix(name);
        hasher.update([b'\n', ED25519]);
        hasher.update(key.as_bytes());
        let [a, b, c, d, ..] = <[u8; 32]>::from(hasher.finalize());
        Ok(PublicKey { name: name.to_owned(), id: [a, b, c, d], key })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[ED25519], &self.key.as_bytes()[..]].concat();
        let id = u32::from_be_bytes(self.id);
        write!(f, "{}+{id:08x}+{}", self.name, STANDARD.encode(bytes))
    }
}

impl FromStr for PublicKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<PublicKey, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("it has three parts with `+` between"));
        };
        let bytes = STANDARD.decode(key).map_err(|_| NoteError::Key("the key is not base64"))?;
        let key = match bytes.split_first() {
            Some((&ED25519, key)) => key,
            _ => return Err(NoteError::Key("it is of another kind than Ed25519")),
        };
        let key = key.try_into().map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?;
        let key = VerifyingKey::from_bytes(key)
            .ok()
            .filter(|key| !key.is_weak())
            .ok_or(NoteError::Key("these bytes are no Ed25519 key"))?;
        let found = PublicKey::new(name, key)?;
        if id != format!("{:08x}", u32::from_be_bytes(found.id)) {
            return Err(NoteError::Key("the id is not that of the name and the key"));
        }
        Ok(found)
    }
}

/// A note as it was read. Its text is worth nothing until [`Note::verify`] has said so.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    text: &'a str,
    signatures: &'a str,
}

impl<'a> Note<'a> {
    /// Reads the form of a note: a text, an empty line, and lines of signatures.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(note: &'a str) -> Result<Note<'a>, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed("it is too long"));
        }
        if note.contains(|c: char| c.is_control() && c != '\n') {
            return Err(NoteError::Malformed("it has a control character"));
        }
        let (end, _) = note
            .match_indices("\n\n")
            .last()
            .ok_or(NoteError::Malformed("no empty line ends its text"))?;
        let (text, signatures) = (&note[..end + 1], &note[end + 2..]);
        if !signatures.ends_with('\n') {
            return Err(NoteError::Malformed("its last line is not ended"));
        }
        let note = Note { text, signatures };
        match note.signatures().find_map(Result::err) {
            Some(error) => Err(error),
            None => Ok(note),
        }
    }

    /// The text, with the line feed at its end.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Checks that the holder of `key` signed the text.
    ///
    /// # Errors
    /// [`NoteError::UnknownKey`] and [`NoteError::BadSignature`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), NoteError> {
        let mut signed = false;
        for signature in self.signatures() {
            let (name, id, signature) = signature?;
            if name != key.name || id != key.id {
                continue;
            }
            signed = <[u8; 64]>::try_from(&signature[..]).is_ok_and(|bytes| {
                let signature = Signature::from_bytes(&bytes);
                key.key.verify_strict(self.text.as_bytes(), &signature).is_ok()
            });
            if !signed {
                return Err(NoteError::BadSignature(key.name.clone()));
            }
        }
        if signed { Ok(()) } else { Err(NoteError::UnknownKey(key.name.clone())) }
    }

    /// Each signature: the key's name, the key's id and the bytes.
    fn signatures(&self) -> impl Iterator<Item = Result<(&'a str, [u8; 4], Vec<u8>), NoteError>> {
        self.signatures.lines().map(|line| {
            let bad = NoteError::Malformed("a signature is `— name base64`");
            let (name, bytes) =
                line.strip_prefix(DASH).and_then(|rest| rest.split_once(' ')).ok_or(bad.clone())?;
            let bytes = STANDARD.decode(bytes).map_err(|_| bad.clone())?;
            match bytes.split_first_chunk() {
                Some((id, signature)) if !name.is_empty() => Ok((name, *id, signature.to_vec())),
                _ => Err(bad),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the note with which Go's package `sumdb/note` is tested.
    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNX\
        gKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    /// The key of Go's checksum database.
    const GO_SUM_KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

    fn signer(name: &str, seed: u8) -> Signer {
        Signer::new(name, &[seed; 32]).unwrap()
    }

    #[test]
    fn a_note_that_go_signed_is_accepted() {
        let key: PublicKey = GO_KEY.parse().unwrap();
        assert_eq!(Note::parse(GO_NOTE).unwrap().verify(&key), Ok(()));
        assert_eq!(key.to_string(), GO_KEY);
        assert_eq!(GO_SUM_KEY.parse::<PublicKey>().unwrap().to_string(), GO_SUM_KEY);
    }

    #[test]
    fn what_is_signed_is_accepted_with_the_key_as_text() {
        let signer = signer("example.org/packets", 1);
        let note = signer.sign("one\n\ntwo\n");
        let key: PublicKey = signer.public().to_string().parse().unwrap();
        let read = Note::parse(&note).unwrap();
        assert_eq!((read.text(), read.verify(&key)), ("one\n\ntwo\n", Ok(())));
    }

    #[test]
    fn signatures_of_others_are_passed_over_and_do_not_count() {
        let (own, other) = (signer("own", 1), signer("other", 2));
        let by_other = other.sign("text\n");
        let both = own.sign("text\n") + by_other.lines().last().unwrap() + "\n";
        let note = Note::parse(&both).unwrap();
        assert_eq!(note.verify(own.public()), Ok(()));
        assert_eq!(note.verify(other.public()), Ok(()));
        let error = Note::parse(&by_other).unwrap().verify(own.public());
        assert_eq!(error, Err(NoteError::UnknownKey("own".into())));
        let same_name = signer("own", 3).sign("text\n");
        let error = Note::parse(&same_name).unwrap().verify(own.public());
        assert_eq!(error, Err(NoteError::UnknownKey("own".into())));
    }

    #[test]
    fn every_changed_bit_of_a_note_is_refused() {
        let signer = signer("own", 1);
        let note = signer.sign("origin\n12\nroot\n").into_bytes();
        for bit in 0..note.len() * 8 {
            let mut changed = note.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let accepted = std::str::from_utf8(&changed).is_ok_and(|text| {
                Note::parse(text).and_then(|n| n.verify(signer.public())).is_ok()
            });
            assert!(!accepted, "bit {bit}");
        }
    }

    #[test]
    fn what_is_no_note_or_key_says_why() {
        let long = "x".repeat(NOTE_BYTES_MAX + 1);
        for note in ["", "text\n", "text\n\n", "t\n\n— a b\n", "t\n\n— a AAAA", "t\0\n\n", &long]
        {
            let error = Note::parse(note).unwrap_err();
            assert_eq!(error.code(), "note-malformed", "{note:?}");
        }
        for key in ["", "a", "a+b", &GO_KEY[1..], &GO_KEY[..GO_KEY.len() - 4], "a+00000000+AA=="] {
            assert_eq!(key.parse::<PublicKey>().unwrap_err().code(), "note-key", "{key:?}");
        }
        for name in ["", "a b", "a+b", "a\nb"] {
            assert_eq!(Signer::new(name, &[1; 32]).unwrap_err().code(), "note-name", "{name:?}");
        }
    }
}
