//! JSON lines: an object a line, read straight into raw values; no tree is built.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use hashbrown::HashMap;
use memchr::memchr;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess};

use super::sink::{Row, Sink};
use super::{malformed, not_utf8, too_long};
use crate::event::{RECORD_BYTES_MAX, Raw, Refusal};

/// How deep arrays and objects may nest. No field holds either, and the reader recurses.
const DEPTH_MAX: usize = 64;

/// Of the keys that mean nothing, how many different ones a block remembers for the warning.
const UNKNOWN_KEYS_MAX: usize = 64;

/// The keys that are read, in the order of their columns.
pub(super) struct Keys {
    names: Vec<String>,
    columns: HashMap<String, usize>,
}

impl Keys {
    pub(super) fn new(names: Vec<String>) -> Self {
        let columns = names.iter().cloned().enumerate().map(|(at, name)| (name, at)).collect();
        Keys { names, columns }
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

/// What the keys of a block were.
#[derive(Default)]
pub(super) struct Seen {
    /// By column: whether any record had it.
    pub(super) columns: Vec<bool>,
    /// Keys that are not read, a few of them.
    pub(super) unknown: BTreeSet<String>,
}

impl Seen {
    /// Whether any record had the key.
    pub(super) fn has(&self, keys: &Keys, name: &str) -> bool {
        let column = keys.names().iter().position(|key| key == name);
        column.is_some_and(|column| self.columns.get(column) == Some(&true))
    }

    /// The keys that records had.
    pub(super) fn names(&self, keys: &Keys) -> Vec<String> {
        let read = keys.names().iter().zip(&self.columns);
        let read = read.filter(|(_, seen)| **seen).map(|(name, _)| name);
        read.chain(&self.unknown).cloned().collect()
    }

    pub(super) fn merge(&mut self, other: Seen) {
        self.columns.resize(other.columns.len(), false);
        for (seen, other) in self.columns.iter_mut().zip(other.columns) {
            *seen |= other;
        }
        let room = UNKNOWN_KEYS_MAX.saturating_sub(self.unknown.len());
        self.unknown.extend(other.unknown.into_iter().take(room));
    }
}

/// Decodes a block of whole lines, the first of which is `line`.
pub(super) fn decode(bytes: &[u8], mut line: u64, keys: &Keys, sink: &mut Sink<'_>) -> Seen {
    let mut record = Record::new(keys);
    let mut at = 0;
    while at < bytes.len() {
        let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end);
        let text = &bytes[at..end];
        if !text.iter().all(u8::is_ascii_whitespace) {
            match record.read(text) {
                Ok(()) => sink.record(&record, line, || text.to_vec()),
                Err(refusal) => sink.refuse(line, refusal, text),
            }
        }
        line += 1;
        at = end + 1;
    }
    record.seen
}

/// The object of one line. Kept from line to line for its memory.
pub(super) struct Record<'k, 'b> {
    keys: &'k Keys,
    /// By column; none where the line does not have the key.
    slots: Vec<Option<Slot<'b>>>,
    /// Strings in which an escape had to be undone.
    unescaped: String,
    /// Columns in the order in which the previous line had them: lines tend to be alike, and to
    /// compare with the expected key is cheaper than to look the key up.
    order: Vec<usize>,
    unknown: Vec<Cow<'b, str>>,
    pub(super) seen: Seen,
}

#[derive(Clone)]
enum Slot<'b> {
    Null,
    Bool(bool),
    Int(i64),
    Natural(u64),
    Double(f64),
    Str(&'b str),
    Unescaped(Range<usize>),
    Other,
}

impl Row for Record<'_, '_> {
    fn get(&self, column: usize) -> Raw<'_> {
        match &self.slots[column] {
            None | Some(Slot::Null) => Raw::Null,
            Some(Slot::Bool(value)) => Raw::Bool(*value),
            Some(Slot::Int(value)) => Raw::Int(*value),
            Some(Slot::Natural(value)) => Raw::Natural(*value),
            Some(Slot::Double(value)) => Raw::Double(*value),
            Some(Slot::Str(text)) => Raw::Str(text),
            Some(Slot::Unescaped(range)) => Raw::Str(&self.unescaped[range.clone()]),
            Some(Slot::Other) => Raw::Other,
        }
    }
}

impl<'k, 'b> Record<'k, 'b> {
    pub(super) fn new(keys: &'k Keys) -> Self {
        let columns = keys.names.len();
        Record {
            keys,
            slots: vec![None; columns],
            unescaped: String::new(),
            order: Vec::new(),
            unknown: Vec::new(),
            seen: Seen { columns: vec![false; columns], unknown: BTreeSet::new() },
        }
    }

    /// Reads the object; on a refusal nothing of it is to be used.
    pub(super) fn read(&mut self, text: &'b [u8]) -> Result<(), Refusal> {
        if text.len() > RECORD_BYTES_MAX {
            return Err(too_long());
        }
        let text = simdutf8::basic::from_utf8(text).map_err(|_| not_utf8())?;
        if is_too_deep(text, 4 * DEPTH_MAX) {
            return Err(malformed(format!("not a JSON object: {}", too_deep())));
        }
        self.slots.fill(None);
        self.unescaped.clear();
        self.unknown.clear();
        let mut json = sonic_rs::Deserializer::from_str(text);
        let read = Object(self).deserialize(&mut json).and_then(|()| json.end());
        read.map_err(|error| {
            // The reader's message goes on with an excerpt; the raw record is kept anyway.
            let message = error.to_string();
            malformed(format!("not a JSON object: {}", message.lines().next().unwrap_or("")))
        })?;
        self.unknown.sort_unstable();
        match self.unknown.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(malformed(format!("the key {:?} occurs twice", pair[0]))),
            None => Ok(()),
        }
    }

    fn see_unknown(&mut self, key: Cow<'b, str>) {
        let unknown = &mut self.seen.unknown;
        if unknown.len() < UNKNOWN_KEYS_MAX && !unknown.contains(&*key) {
            unknown.insert(key.clone().into_owned());
        }
        self.unknown.push(key);
    }
}

/// Reads the object of a line into its record.
struct Object<'r, 'k, 'b>(&'r mut Record<'k, 'b>);

impl<'b> DeserializeSeed<'b> for Object<'_, '_, 'b> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'b> de::Visitor<'b> for Object<'_, '_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<(), A::Error> {
        let record = self.0;
        let mut place = 0;
        loop {
            let expected = record.order.get(place).copied();
            match map.next_key_seed(Key { keys: record.keys, expected })? {
                None => return Ok(()),
                Some(Ok(column)) => {
                    let unescaped = &mut record.unescaped;
                    let slot = map.next_value_seed(Value { unescaped })?;
                    if record.slots[column].replace(slot).is_some() {
                        let name = &record.keys.names[column];
                        return Err(de::Error::custom(format!("the key {name} occurs twice")));
                    }
                    record.seen.columns[column] = true;
                    if expected != Some(column) {
                        record.order.truncate(place);
                        record.order.push(column);
                    }
                    place += 1;
                }
                Some(Err(key)) => {
                    map.next_value_seed(Skip { depth: 0 })?;
                    record.see_unknown(key);
                }
            }
        }
    }
}

/// Reads a key: its column, or the key itself if it has none.
struct Key<'k> {
    keys: &'k Keys,
    expected: Option<usize>,
}

impl Key<'_> {
    fn column(&self, key: &str) -> Option<usize> {
        match self.expected {
            Some(column) if self.keys.names[column] == key => Some(column),
            _ => self.keys.columns.get(key).copied(),
        }
    }
}

impl<'b> DeserializeSeed<'b> for Key<'_> {
    type Value = Result<usize, Cow<'b, str>>;

    fn deserialize<D: Deserializer<'b>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'b> de::Visitor<'b> for Key<'_> {
    type Value = Result<usize, Cow<'b, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'b str) -> Result<Self::Value, E> {
        Ok(self.column(key).ok_or(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.column(key).ok_or_else(|| Cow::Owned(key.to_owned())))
    }
}

/// Reads the value of a key that has a column.
struct Value<'r> {
    unescaped: &'r mut String,
}

impl<'b> DeserializeSeed<'b> for Value<'_> {
    type Value = Slot<'b>;

    fn deserialize<D: Deserializer<'b>>(self, json: D) -> Result<Slot<'b>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'b> de::Visitor<'b> for Value<'_> {
    type Value = Slot<'b>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Slot<'b>, E> {
        Ok(Slot::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Slot<'b>, E> {
        Ok(Slot::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Slot<'b>, E> {
        Ok(Slot::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Slot<'b>, E> {
        Ok(i64::try_from(value).map_or(Slot::Natural(value), Slot::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Slot<'b>, E> {
        Ok(Slot::Double(value))
    }

    fn visit_borrowed_str<E>(self, text: &'b str) -> Result<Slot<'b>, E> {
        Ok(Slot::Str(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Slot<'b>, E> {
        let start = self.unescaped.len();
        self.unescaped.push_str(text);
        Ok(Slot::Unescaped(start..self.unescaped.len()))
    }

    fn visit_seq<A: SeqAccess<'b>>(self, seq: A) -> Result<Slot<'b>, A::Error> {
        Skip { depth: 0 }.visit_seq(seq).map(|()| Slot::Other)
    }

    fn visit_map<A: MapAccess<'b>>(self, map: A) -> Result<Slot<'b>, A::Error> {
        Skip { depth: 0 }.visit_map(map).map(|()| Slot::Other)
    }
}

/// Whether brackets stand inside each other on more levels than that: the reader goes down into values
/// of a type that it does not expect, and could run out of stack.
pub(super) fn is_too_deep(text: &str, levels_max: usize) -> bool {
    // Nearly no text has as many bytes, or as many brackets among them.
    if text.len() <= levels_max {
        return false;
    }
    let brackets = text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if brackets <= levels_max {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > levels_max {
            return true;
        }
    }
    false
}

/// What is said of a record that is nested too deep.
fn too_deep() -> String {
    format!("more than {DEPTH_MAX} levels deep")
}

/// Reads past a value that no field can hold, checking that it is JSON.
#[derive(Clone, Copy)]
struct Skip {
    depth: usize,
}

impl Skip {
    fn deeper<E: de::Error>(self) -> Result<Skip, E> {
        match self.depth + 1 {
            DEPTH_MAX => Err(E::custom(too_deep())),
            depth => Ok(Skip { depth }),
        }
    }
}

impl<'b> DeserializeSeed<'b> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'b> de::Visitor<'b> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while map.next_key_seed(inner)?.is_some() {
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}
