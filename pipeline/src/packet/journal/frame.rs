//! The frame: one batch as it stands on disk, the unit that is there whole or not at all.
//!
//! A segment is frames one after the other with nothing between. All numbers are little endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic: `FF` and `HXBATCH` in ASCII |
//! | 8 | 4 | version of the layout, 1 |
//! | 12 | 4 | number of commands in the batch |
//! | 16 | 4 | bytes of the body |
//! | 20 | 4 | zero |
//! | 24 | 8 | batch number, 0 for the first |
//! | 32 | 8 | sequence number of the first command |
//! | 40 | 8 | engine time at which the batch was applied, signed, nanoseconds since 1970 UTC |
//! | 48 | 8 | durable: batches below this number were on disk when this frame was written |
//! | 56 | 32 | hash of the frame before; zeros in the first |
//! | 88 | 32 | heads root: root of the tree over the packets that the batch touched |
//! | 120 | 32 | hash: BLAKE3 over the bytes 0..120 and the body |
//! | 152 | | the body, opaque here |
//!
//! Because the hash before is among the bytes that are hashed, a frame can be checked alone, and
//! two that fit together fit nowhere else. The magic begins with a byte that no UTF-8 text holds,
//! so a command's text cannot carry what looks like a frame.
//!
//! `durable` is what tells a crash from damage when several batches share one sync: a frame that is
//! broken was once whole on disk exactly if a later frame says that it was durable.

use super::ids::{BatchNumber, FrameHash, Root, Seq, Time};

/// What a frame begins with.
pub const MAGIC: [u8; 8] = *b"\xFFHXBATCH";
/// The version of the layout.
pub const VERSION: u32 = 1;
/// The bytes of a frame before its body.
pub const HEADER_BYTES: usize = 152;
/// The longest body. A batch of 16,384 commands has 4 kB a command in it, and a damaged length can
/// make a reader take no more memory than this.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// Where the hash of the frame stands; everything before it is hashed.
const HASH_AT: usize = 120;

/// What a frame says about its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The batch's number.
    pub batch: BatchNumber,
    /// The number of its first command.
    pub first_sequence: Seq,
    /// How many commands it holds.
    pub count: u32,
    /// When the engine applied it.
    pub time: Time,
    /// Batches below this number were on disk when the frame was written.
    pub durable: BatchNumber,
    /// The hash of the frame before.
    pub previous: FrameHash,
    /// The root of the tree over the packets that the batch touched.
    pub heads_root: Root,
    /// The length of the body.
    pub body_bytes: u32,
    /// The hash of this frame.
    pub hash: FrameHash,
}

impl Header {
    /// The length of the frame, body included.
    pub fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }
}

/// What is wrong with the bytes of a frame, and at which of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} (byte {at} of the frame)")]
pub struct FrameError {
    /// Offset from the start of the frame.
    pub at: u64,
    /// What is wrong there.
    pub fault: FrameFault,
}

/// What can be wrong with the bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// The bytes end before the frame does.
    #[error("the frame has {needed} bytes and {found} are there")]
    Short {
        /// Bytes of the frame, or of its header where not even that is there.
        needed: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The first bytes are not those of a frame.
    #[error("no frame begins here")]
    Magic,
    /// Another layout.
    #[error("version {0} of the layout is not known")]
    Version(u32),
    /// The unused bytes are used.
    #[error("bytes that must be zero are not")]
    Reserved,
    /// A length that no frame has.
    #[error("a body of {0} bytes is longer than any that is written")]
    BodyTooLong(u32),
    /// The frame says of itself or of later ones that they were on disk before it was written.
    #[error("batch {batch} cannot have been written when batches below {durable} were durable")]
    Durable {
        /// The batch.
        batch: u64,
        /// What it says.
        durable: u64,
    },
    /// The bytes are not those that were hashed.
    #[error("the bytes are not those that were hashed")]
    Hash,
}

impl FrameFault {
    /// The stable name of the kind of fault.
    pub fn code(&self) -> &'static str {
        match self {
            FrameFault::Short { .. } => "frame-short",
            FrameFault::Magic => "frame-magic",
            FrameFault::Version(_) => "frame-version",
            FrameFault::Reserved => "frame-reserved",
            FrameFault::BodyTooLong(_) => "frame-body-too-long",
            FrameFault::Durable { .. } => "frame-durable",
            FrameFault::Hash => "frame-hash",
        }
    }
}

/// Puts a frame at the end of `out` and gives its header back with the length and the hash filled
/// in; what `header` has in their place is not read.
///
/// # Panics
/// If the body is longer than [`BODY_BYTES_MAX`].
pub fn encode(header: &Header, body: &[u8], out: &mut Vec<u8>) -> Header {
    assert!(body.len() <= BODY_BYTES_MAX, "the writer checks the length first");
    let body_bytes = body.len() as u32;
    let start = out.len();
    out.reserve(HEADER_BYTES + body.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&header.count.to_le_bytes());
    out.extend_from_slice(&body_bytes.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.batch.0.to_le_bytes());
    out.extend_from_slice(&header.first_sequence.0.to_le_bytes());
    out.extend_from_slice(&header.time.0.to_le_bytes());
    out.extend_from_slice(&header.durable.0.to_le_bytes());
    out.extend_from_slice(&header.previous.0);
    out.extend_from_slice(&header.heads_root.0);
    let hash = hash(&out[start..], body);
    out.extend_from_slice(&hash.0);
    out.extend_from_slice(body);
    Header { body_bytes, hash, ..*header }
}

/// Reads a header. Whether the bytes are those that were hashed only [`decode`] can tell.
///
/// # Errors
/// The first fault, with its offset.
pub fn decode_header(bytes: &[u8]) -> Result<Header, FrameError> {
    let fault = |at, fault| Err(FrameError { at, fault });
    let found = bytes.len() as u64;
    if !MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) {
        return fault(0, FrameFault::Magic);
    }
    let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return fault(found, FrameFault::Short { needed: HEADER_BYTES as u64, found });
    };
    let version = u32::from_le_bytes(field(header, 8));
    if version != VERSION {
        return fault(8, FrameFault::Version(version));
    }
    let body_bytes = u32::from_le_bytes(field(header, 16));
    if body_bytes as usize > BODY_BYTES_MAX {
        return fault(16, FrameFault::BodyTooLong(body_bytes));
    }
    if field::<4>(header, 20) != [0; 4] {
        return fault(20, FrameFault::Reserved);
    }
    let batch = u64::from_le_bytes(field(header, 24));
    let durable = u64::from_le_bytes(field(header, 48));
    if durable > batch {
        return fault(48, FrameFault::Durable { batch, durable });
    }
    Ok(Header {
        batch: BatchNumber(batch),
        first_sequence: Seq(u64::from_le_bytes(field(header, 32))),
        count: u32::from_le_bytes(field(header, 12)),
        time: Time(i64::from_le_bytes(field(header, 40))),
        durable: BatchNumber(durable),
        previous: FrameHash(field(header, 56)),
        heads_root: Root(field(header, 88)),
        body_bytes,
        hash: FrameHash(field(header, HASH_AT)),
    })
}

/// Reads the frame that `bytes` begins with, and checks its hash. Bytes after it are not looked at.
///
/// # Errors
/// The first fault, with its offset.
pub fn decode(bytes: &[u8]) -> Result<(Header, &[u8]), FrameError> {
    let header = decode_header(bytes)?;
    let found = bytes.len() as u64;
    let needed = header.frame_bytes();
    if found < needed {
        return Err(FrameError { at: found, fault: FrameFault::Short { needed, found } });
    }
    let body = &bytes[HEADER_BYTES..needed as usize];
    if hash(&bytes[..HASH_AT], body) != header.hash {
        return Err(FrameError { at: HASH_AT as u64, fault: FrameFault::Hash });
    }
    Ok((header, body))
}

fn hash(start: &[u8], body: &[u8]) -> FrameHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(start).update(body);
    FrameHash(*hasher.finalize().as_bytes())
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    header[at..at + N].try_into().expect("a field of the header")
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn example() -> Header {
        Header {
            batch: BatchNumber(7),
            first_sequence: Seq(1000),
            count: 3,
            time: Time(-5),
            durable: BatchNumber(6),
            previous: FrameHash([1; 32]),
            heads_root: Root([2; 32]),
            body_bytes: 0,
            hash: FrameHash([0; 32]),
        }
    }

    /// A reader written from the table alone, field by field.
    #[test]
    fn the_bytes_are_those_of_the_table() {
        let mut bytes = b"before".to_vec();
        encode(&example(), b"body", &mut bytes);
        let frame = &bytes[6..];
        let mut expected = b"\xFFHXBATCH\x01\0\0\0\x03\0\0\0\x04\0\0\0\0\0\0\0".to_vec();
        expected.extend(b"\x07\0\0\0\0\0\0\0\xE8\x03\0\0\0\0\0\0");
        expected.extend(b"\xFB\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x06\0\0\0\0\0\0\0");
        expected.extend([1; 32]);
        expected.extend([2; 32]);
        let mut hashed = expected.clone();
        hashed.extend(b"body");
        expected.extend(blake3::hash(&hashed).as_bytes());
        expected.extend(b"body");
        assert_eq!(frame, expected);
    }

    #[test]
    fn a_cut_frame_says_where_it_ends() {
        let mut bytes = Vec::new();
        encode(&example(), b"body", &mut bytes);
        for end in 0..bytes.len() {
            let needed = if end < HEADER_BYTES { HEADER_BYTES } else { bytes.len() } as u64;
            let fault = FrameFault::Short { needed, found: end as u64 };
            assert_eq!(decode(&bytes[..end]), Err(FrameError { at: end as u64, fault }));
        }
    }

    #[test]
    fn each_changed_field_has_its_fault() {
        let mut bytes = Vec::new();
        encode(&example(), b"body", &mut bytes);
        let rows: [(usize, &str); 12] = [
            (0, "frame-magic"),
            (8, "frame-version"),
            (12, "frame-hash"),
            (19, "frame-body-too-long"),
            (20, "frame-reserved"),
            (24, "frame-hash"),
            (32, "frame-hash"),
            (40, "frame-hash"),
            (55, "frame-durable"),
            (56, "frame-hash"),
            (119, "frame-hash"),
            (152, "frame-hash"),
        ];
        for (at, code) in rows {
            let mut changed = bytes.clone();
            changed[at] ^= 0x80;
            assert_eq!(decode(&changed).unwrap_err().fault.code(), code, "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            batch: u64, first: u64, count: u32, time: i64, durable: u64,
            previous: [u8; 32], root: [u8; 32], body in vec(any::<u8>(), 0..300),
            after in vec(any::<u8>(), 0..9),
        ) {
            let header = Header {
                batch: BatchNumber(batch.max(durable)),
                first_sequence: Seq(first),
                count,
                time: Time(time),
                durable: BatchNumber(batch.min(durable)),
                previous: FrameHash(previous),
                heads_root: Root(root),
                ..example()
            };
            let mut bytes = Vec::new();
            let written = encode(&header, &body, &mut bytes);
            prop_assert_eq!(bytes.len() as u64, written.frame_bytes());
            bytes.extend(after);
            prop_assert_eq!(decode(&bytes), Ok((written, &body[..])));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..400)) {
            let mut with_magic = MAGIC.to_vec();
            with_magic.extend(&bytes);
            prop_assert!(decode(&bytes).is_err() && decode(&with_magic).is_err());
        }
    }
}
