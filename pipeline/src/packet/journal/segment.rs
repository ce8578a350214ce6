//! Segments: the files that hold the frames, and the walk over them that every reader takes.
//!
//! A segment is named after its first batch. The walk gives the batches in order, each checked
//! against the one before it, and is the one place that decides what an unfinished end is.

use std::io;

use super::error::{Cut, Damage, Fault, JournalError};
use super::frame::{self, FrameError, FrameFault, HEADER_BYTES, Header, MAGIC};
use super::ids::{BatchNumber, FrameHash, Seq, Time};
use super::storage::Storage;

/// A segment that would grow past this is ended, and the next one begun. Its frames are hashed in
/// well under a second, and a day of 150,000 commands a second, 60 bytes each, makes about 3,000 of
/// them.
pub const SEGMENT_BYTES: u64 = 256 << 20;

const PREFIX: &str = "batches-";
const SUFFIX: &str = ".log";
/// What is read from a segment at once: enough that a call costs nothing beside the bytes.
const READ_BYTES: usize = 1 << 20;
/// What is read at once where bodies are passed over.
const READ_BYTES_FOR_HEADERS: usize = 16 << 10;

/// The name of the segment that begins with that batch.
pub fn segment_name(first: BatchNumber) -> String {
    format!("{PREFIX}{:020}{SUFFIX}", first.0)
}

/// Whether a file has the name of a segment, or of something that looks like one.
pub(super) fn is_segment(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// A segment by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) first: BatchNumber,
}

/// All segments, in order.
pub(super) fn segments<S: Storage>(storage: &S) -> Result<Vec<Segment>, JournalError> {
    let mut found = Vec::new();
    for name in storage.list()?.into_iter().filter(|name| is_segment(name)) {
        let digits = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
        let first = digits.and_then(|digits| digits.parse().ok()).map(BatchNumber);
        match first.filter(|first| segment_name(*first) == name) {
            Some(first) => found.push(Segment { name, first }),
            None => {
                let (offset, batch) = (0, BatchNumber(0));
                let fault = Fault::SegmentName;
                return Err(Box::new(Damage { file: name, offset, batch, fault }).into());
            }
        }
    }
    Ok(found)
}

/// How much of each frame a walk reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// All of it; its hash is checked.
    Whole,
    /// The header alone, for who has checked the hashes before.
    Headers,
}

/// A batch that the walk has come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'w> {
    pub(super) header: Header,
    /// Empty if the walk reads headers alone.
    pub(super) body: &'w [u8],
    pub(super) segment: &'w str,
    pub(super) offset: u64,
}

impl Found<'_> {
    pub(super) fn damage(&self, fault: Fault) -> Box<Damage> {
        let (file, batch) = (self.segment.to_owned(), self.header.batch);
        Box::new(Damage { file, offset: self.offset, batch, fault })
    }
}

/// What the next frame must follow on. Where the walk began in the middle, some of it is not known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follows {
    pub(super) batch: BatchNumber,
    pub(super) sequence: Option<Seq>,
    pub(super) time: Option<Time>,
    pub(super) previous: Option<FrameHash>,
}

impl Follows {
    /// What the first batch of all follows on.
    pub(super) const NOTHING: Follows = Follows {
        batch: BatchNumber(0),
        sequence: None,
        time: None,
        previous: Some(FrameHash::GENESIS),
    };

    fn check(&self, header: &Header) -> Result<(), Fault> {
        if header.batch != self.batch {
            return Err(Fault::Batch(header.batch));
        }
        if self.previous.is_some_and(|previous| previous != header.previous) {
            return Err(Fault::Previous);
        }
        let found = header.first_sequence;
        if let Some(expected) = self.sequence.filter(|expected| *expected != found) {
            return Err(Fault::Sequence { found, expected });
        }
        let found = header.time;
        if let Some(before) = self.time.filter(|before| *before > found) {
            return Err(Fault::Time { found, before });
        }
        Ok(())
    }

    /// What the frame after this one must follow on.
    pub(super) fn after(header: &Header) -> Follows {
        Follows {
            batch: header.batch.next(),
            sequence: header.first_sequence.after(header.count),
            time: Some(header.time),
            previous: Some(header.hash),
        }
    }
}

/// A walk over the frames of all segments.
#[derive(Debug)]
pub(super) struct Walk<'s, S> {
    storage: &'s S,
    segments: Vec<Segment>,
    /// The segment that the walk is in.
    current: usize,
    cursor: Option<Cursor<'s, S>>,
    follows: Follows,
    depth: Depth,
    torn: Option<(Cut, FrameError)>,
}

impl<'s, S: Storage> Walk<'s, S> {
    /// A walk over all batches.
    pub(super) fn all(storage: &'s S, depth: Depth) -> Result<Walk<'s, S>, JournalError> {
        let segments = segments(storage)?;
        let (current, cursor, torn) = (0, None, None);
        Ok(Walk { storage, segments, current, cursor, follows: Follows::NOTHING, depth, torn })
    }

    /// A walk from a batch on, which begins at the segment that has it.
    pub(super) fn from(storage: &'s S, batch: BatchNumber) -> Result<Walk<'s, S>, JournalError> {
        let mut walk = Walk::all(storage, Depth::Headers)?;
        walk.current = walk.segments.partition_point(|s| s.first <= batch).saturating_sub(1);
        if let Some(segment) = walk.segments.get(walk.current).filter(|s| s.first.0 > 0) {
            let batch = segment.first;
            walk.follows = Follows { batch, previous: None, ..Follows::NOTHING };
        }
        while walk.follows.batch < batch && walk.next()?.is_some() {}
        walk.depth = Depth::Whole;
        Ok(walk)
    }

    /// The last segment.
    pub(super) fn last_segment(&self) -> Option<&Segment> {
        self.segments.last()
    }

    /// What the next batch will follow on.
    pub(super) fn follows(&self) -> Follows {
        self.follows
    }

    /// The unfinished end, once the walk has come to it, and what is wrong with its first frame.
    pub(super) fn torn(&self) -> Option<&(Cut, FrameError)> {
        self.torn.as_ref()
    }

    /// The next batch; none at the end, be it finished or not.
    pub(super) fn next(&mut self) -> Result<Option<Found<'_>>, JournalError> {
        let header = loop {
            if self.torn.is_some() || (self.cursor.is_none() && !self.enter_segment()?) {
                return Ok(None);
            }
            let cursor = self.cursor.as_mut().expect("a segment was entered");
            match cursor.header(self.depth)? {
                Some(Ok(header)) => break header,
                Some(Err(error)) => self.broken(error)?,
                None => {
                    self.cursor = None;
                    self.current += 1;
                }
            }
        };
        let offset = self.cursor.as_ref().map_or(0, |cursor| cursor.at);
        if let Err(fault) = self.follows.check(&header) {
            return Err(self.damage(offset, fault));
        }
        self.follows = Follows::after(&header);
        let cursor = self.cursor.as_mut().expect("it gave the header");
        let segment = &self.segments[self.current].name;
        let body = cursor.pass(&header, self.depth);
        Ok(Some(Found { header, body, segment, offset }))
    }

    /// Opens the next segment; false if there is none.
    fn enter_segment(&mut self) -> Result<bool, JournalError> {
        let Some(segment) = self.segments.get(self.current) else { return Ok(false) };
        let (named, expected) = (segment.first, self.follows.batch);
        if named != expected {
            return Err(self.damage(0, Fault::Segment { named, expected }));
        }
        self.cursor = Some(Cursor::new(self.storage, &segment.name)?);
        Ok(true)
    }

    /// Tells an unfinished end from damage. The end of the last segment is unfinished if nothing in
    /// it shows that the broken batch was on disk before: a whole frame that says so, or one that
    /// stands where it cannot.
    fn broken(&mut self, error: FrameError) -> Result<(), JournalError> {
        let cursor = self.cursor.as_ref().expect("the frame was read from it");
        let (offset, bytes) = (cursor.at, cursor.length - cursor.at);
        let batch = self.follows.batch;
        let is_last = self.current + 1 == self.segments.len();
        if is_last {
            let file = self.segments[self.current].name.clone();
            let rest = self.storage.read_range(&file, offset, bytes as usize)?;
            let whole: Vec<Header> = memchr::memmem::find_iter(&rest, &MAGIC)
                .filter_map(|at| frame::decode(&rest[at..]).ok())
                .map(|(header, _)| header)
                .collect();
            if whole.iter().all(|later| later.batch > batch && later.durable <= batch) {
                let whole_frames = whole.len() as u64;
                self.torn = Some((Cut { file, offset, bytes, whole_frames }, error));
                return Ok(());
            }
        }
        Err(self.damage(offset, Fault::Frame(error)))
    }

    fn damage(&self, offset: u64, fault: Fault) -> JournalError {
        let file = self.segments[self.current].name.clone();
        Box::new(Damage { file, offset, batch: self.follows.batch, fault }).into()
    }
}

/// A place in a segment, with the bytes that were read from there on.
#[derive(Debug)]
struct Cursor<'s, S> {
    storage: &'s S,
    name: String,
    /// The length of the segment.
    length: u64,
    /// Where the next frame begins.
    at: u64,
    buffer: Vec<u8>,
    /// Where in the segment the buffer begins.
    buffer_at: u64,
    /// How much is read at once.
    read_bytes: usize,
}

impl<'s, S: Storage> Cursor<'s, S> {
    fn new(storage: &'s S, name: &str) -> io::Result<Cursor<'s, S>> {
        let (name, length) = (name.to_owned(), storage.len(name)?);
        let read_bytes = READ_BYTES;
        Ok(Cursor { storage, name, length, at: 0, buffer: Vec::new(), buffer_at: 0, read_bytes })
    }

    /// The header of the frame at this place, checked as deep as asked for; none at the end.
    fn header(&mut self, depth: Depth) -> io::Result<Option<Result<Header, FrameError>>> {
        let left = self.length - self.at;
        if left == 0 {
            return Ok(None);
        }
        let header = match frame::decode_header(self.peek(HEADER_BYTES)?) {
            Ok(header) => header,
            Err(error) => return Ok(Some(Err(error))),
        };
        let needed = header.frame_bytes();
        if needed > left {
            let fault = FrameFault::Short { needed, found: left };
            return Ok(Some(Err(FrameError { at: left, fault })));
        }
        match depth {
            Depth::Headers => {
                self.read_bytes = READ_BYTES_FOR_HEADERS;
                Ok(Some(Ok(header)))
            }
            Depth::Whole => {
                self.read_bytes = READ_BYTES;
                let bytes = self.peek(needed as usize)?;
                Ok(Some(frame::decode(bytes).map(|(header, _)| header)))
            }
        }
    }

    /// Goes past a frame, and gives its body.
    fn pass(&mut self, header: &Header, depth: Depth) -> &[u8] {
        let start = (self.at - self.buffer_at) as usize;
        self.at += header.frame_bytes();
        match depth {
            Depth::Headers => &[],
            Depth::Whole => {
                &self.buffer[start + HEADER_BYTES..start + header.frame_bytes() as usize]
            }
        }
    }

    /// Bytes from this place on, fewer only where the segment ends.
    fn peek(&mut self, bytes: usize) -> io::Result<&[u8]> {
        let end = (self.at + bytes as u64).min(self.length);
        let buffered = self.buffer_at + self.buffer.len() as u64;
        if end > buffered || self.at < self.buffer_at {
            let kept = buffered.saturating_sub(self.at).min(self.buffer.len() as u64) as usize;
            self.buffer.drain(..self.buffer.len() - kept);
            self.buffer_at = self.at;
            let from = self.at + kept as u64;
            let more = (bytes - kept).max(self.read_bytes).min((self.length - from) as usize);
            let read = self.storage.read_range(&self.name, from, more)?;
            if read.len() < more {
                let words = format!("{}: became shorter while it was read", self.name);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, words));
            }
            self.buffer.extend_from_slice(&read);
        }
        let start = (self.at - self.buffer_at) as usize;
        Ok(&self.buffer[start..start + (end - self.at) as usize])
    }
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
