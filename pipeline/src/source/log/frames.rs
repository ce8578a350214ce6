//! The lines of a partition file: each a record with its offset and the time at which it was
//! appended. The record itself goes through the reader of JSON lines, so that it becomes the event
//! or the reject that the same line of a file would.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use sonic_rs::LazyValue;

use super::super::json::{Keys, Record, Seen, is_too_deep};
use super::super::sink::Sink;
use super::Arrived;
use crate::diagnostic::{Failure, Message};
use crate::event::RECORD_BYTES_MAX;

/// The longest line: the longest record in base64, with room for the frame around it.
pub(in crate::source) const FRAME_BYTES_MAX: usize = RECORD_BYTES_MAX / 3 * 4 + 4096;
/// The most levels of a line. A record of more than 128, which is refused in any case, stands in base64.
const LEVELS_MAX: usize = 1024;

/// The offsets of a block of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) struct Offsets {
    first: u64,
    last: u64,
    /// The line on which the first stands.
    line: u64,
}

/// A line of a partition file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame<'b> {
    offset: u64,
    append_time: i64,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<LazyValue<'b>>,
    #[serde(borrow, default)]
    raw_base64: Option<Cow<'b, str>>,
}

/// So that a value of null is a record, and one that is left out is none.
fn present<'b, D: Deserializer<'b>>(json: D) -> Result<Option<LazyValue<'b>>, D::Error> {
    LazyValue::deserialize(json).map(Some)
}

/// Decodes a block of whole lines of `path`, the first of which is `line`. A record whose time is
/// more than `max_ahead` after it was appended is refused.
pub(in crate::source) fn decode(
    bytes: &[u8],
    mut line: u64,
    (path, max_ahead): (&Path, i64),
    keys: &Keys,
    sink: &mut Sink<'_>,
) -> Result<(Seen, Option<Offsets>), Failure> {
    let mut record = Record::new(keys);
    let mut seen = Seen::default();
    let mut offsets: Option<Offsets> = None;
    let mut at = 0;
    while at < bytes.len() {
        let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end);
        let frame = read(&bytes[at..end]).map_err(|why| not_a_frame(path, line, &why))?;
        let offset = frame.offset;
        let held = offsets.get_or_insert(Offsets { first: offset, last: offset, line });
        if held.line != line {
            follows(path, line, held.last, offset)?;
            held.last = offset;
        }
        let latest = frame.append_time.saturating_add(max_ahead);
        match frame.record().map_err(|why| not_a_frame(path, line, &why))? {
            Cow::Borrowed(text) => take(&mut record, text, (offset, latest), sink),
            Cow::Owned(text) => {
                let mut own = Record::new(keys);
                take(&mut own, &text, (offset, latest), sink);
                seen.merge(own.seen);
            }
        }
        line += 1;
        at = end + 1;
    }
    seen.merge(record.seen);
    Ok((seen, offsets))
}

impl Offsets {
    /// Checks that these follow what was read of the partition before, and gives the last.
    pub(in crate::source) fn after(self, path: &Path, before: Option<u64>) -> Result<u64, Failure> {
        if let Some(before) = before {
            follows(path, self.line, before, self.first)?;
        }
        Ok(self.last)
    }
}

/// A line that is too long to be of the format.
pub(in crate::source) fn too_long(path: &Path, line: u64) -> Failure {
    not_a_frame(path, line, &format!("longer than {FRAME_BYTES_MAX} bytes"))
}

/// The record of one frame.
pub(super) fn take<'b>(
    record: &mut Record<'_, 'b>,
    text: &'b [u8],
    (offset, latest): (u64, i64),
    sink: &mut Sink<'_>,
) {
    match record.read(text) {
        Ok(()) => sink.record_until(record, offset, latest, || text.to_vec()),
        Err(refusal) => sink.refuse(offset, refusal, text),
    }
}

/// A record as a line, without the newline: as it is where it is one JSON object in a line, else in
/// base64, cut where it is refused for its length anyway.
pub(super) fn line(arrived: &Arrived) -> String {
    let Arrived { offset, append_time, value } = arrived;
    let start = format!("{{\"offset\":{offset},\"append_time\":{append_time},");
    match embedded(value) {
        Some(text) => format!("{start}\"value\":{text}}}"),
        None => {
            let raw = STANDARD.encode(&value[..value.len().min(RECORD_BYTES_MAX + 1)]);
            format!("{start}\"raw_base64\":\"{raw}\"}}")
        }
    }
}

/// The record as text, if it can stand in a line as the value of a key and be read back to the
/// byte.
fn embedded(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let fits = text.len() <= RECORD_BYTES_MAX
        && text.starts_with('{')
        && text.ends_with('}')
        && !text.contains(['\n', '\r'])
        && serde_json::from_str::<IgnoredAny>(text).is_ok();
    fits.then_some(text)
}

fn read(line: &[u8]) -> Result<Frame<'_>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    if is_too_deep(text, LEVELS_MAX) {
        return Err(format!("more than {LEVELS_MAX} levels deep"));
    }
    sonic_rs::from_str(text)
        .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
}

impl<'b> Frame<'b> {
    fn record(self) -> Result<Cow<'b, [u8]>, String> {
        match (self.value, self.raw_base64) {
            (Some(value), None) => Ok(match value.as_raw_cow() {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }),
            (None, Some(text)) => {
                STANDARD.decode(&*text).map(Cow::Owned).map_err(|_| "raw_base64 is not".to_owned())
            }
            _ => Err("it has both or neither of value and raw_base64".to_owned()),
        }
    }
}

fn follows(path: &Path, line: u64, before: u64, offset: u64) -> Result<(), Failure> {
    if before < offset {
        return Ok(());
    }
    let message = Message::new(
        format!("offset {offset} comes after offset {before}"),
        format!("偏移 {offset} 出现在偏移 {before} 之后"),
    );
    let hint = Message::new(
        "a partition file holds its records once each, in the order of their offsets",
        "分区文件应按偏移递增存放记录,每条一次",
    );
    Err(Failure::file("offset-order", &at_line(path, line), message, Some(hint)))
}

fn not_a_frame(path: &Path, line: u64, why: &str) -> Failure {
    let message = Message::new(
        format!("the line is not a record of an input log: {why}"),
        format!("该行不是输入日志的记录:{why}"),
    );
    let hint = Message::new(
        "lines are {\"offset\":0,\"append_time\":MS,\"value\":{...}}, or \"raw_base64\" in place \
         of \"value\"; a last line that was cut off while it was written may be taken out",
        "每行应为 {\"offset\":0,\"append_time\":毫秒,\"value\":{...}},或以 \"raw_base64\" 代替 \
         \"value\";写入时被截断的最后一行可以删除",
    );
    Failure::file("bad-frame", &at_line(path, line), message, Some(hint))
}

fn at_line(path: &Path, line: u64) -> PathBuf {
    PathBuf::from(format!("{}:{line}", path.display()))
}
