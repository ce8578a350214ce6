//! From a raw record to an event: the one check for every format.

use std::sync::Arc;

use super::pseudonyms::REPLACED;
use super::{
    ACCOUNT_ID, AMOUNT_FEN, AMOUNT_FEN_MAX, Bound, Chunk, Column, EVENT_ID, EVENT_ID_BYTES_MAX,
    EVENT_TIME, FIELDS, Field, FieldId, ID_BYTES_MAX, KIND, Kind, LABEL, NULL_INT, Position,
    SUBJECT_ID, SUBJECT_KIND, Schema, TEXT_BYTES_MAX, TIME_MAX, TIME_MIN, TYPOLOGY, Type, Value,
};

/// A value as a decoder found it, before any check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Raw<'a> {
    /// Nothing there.
    Null,
    /// Text of a format without types (a CSV cell): parsed by the field's type; empty is null.
    Cell(&'a str),
    /// A string of a format with types.
    Str(&'a str),
    /// Bytes where a string should be, and they are not UTF-8.
    NotUtf8,
    /// An integer.
    Int(i64),
    /// An integer beyond those, as ids may be; no field of the event itself holds one.
    Natural(u64),
    /// A number that is not an integer, or one written as `1.0` or `1e2`.
    Double(f64),
    /// A truth value.
    Bool(bool),
    /// An array, an object, or a number beyond 64 bits.
    Other,
}

/// Why a record was refused. The codes are part of the contract of `rejects.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectCode {
    /// The record could not be read in its format at all.
    Malformed,
    /// A value has another type than its field.
    WrongType,
    /// A required field is missing or null.
    MissingField,
    /// A value is out of bounds.
    OutOfBounds,
    /// The kind is none of the twelve.
    UnknownKind,
    /// The time is outside 2000..2100.
    TimeOutOfRange,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// The record is longer than 1 MiB.
    TooLong,
    /// The id was used before by an event with another body.
    IdConflict,
    /// Older than the watermark by more than the dedup window.
    TooOld,
    /// Later than its append time by more than `max_ahead`.
    TimeAhead,
}

impl RejectCode {
    /// Every code, in order.
    pub const ALL: [RejectCode; 11] = [
        RejectCode::Malformed,
        RejectCode::WrongType,
        RejectCode::MissingField,
        RejectCode::OutOfBounds,
        RejectCode::UnknownKind,
        RejectCode::TimeOutOfRange,
        RejectCode::InvalidUtf8,
        RejectCode::TooLong,
        RejectCode::IdConflict,
        RejectCode::TooOld,
        RejectCode::TimeAhead,
    ];

    /// The code in `rejects.jsonl`.
    pub fn name(self) -> &'static str {
        match self {
            RejectCode::Malformed => "malformed",
            RejectCode::WrongType => "wrong_type",
            RejectCode::MissingField => "missing_field",
            RejectCode::OutOfBounds => "out_of_bounds",
            RejectCode::UnknownKind => "unknown_kind",
            RejectCode::TimeOutOfRange => "time_out_of_range",
            RejectCode::InvalidUtf8 => "invalid_utf8",
            RejectCode::TooLong => "too_long",
            RejectCode::IdConflict => "id_conflict",
            RejectCode::TooOld => "too_old",
            RejectCode::TimeAhead => "time_ahead",
        }
    }
}

/// How the detail of a missing field ends, after its name.
pub(crate) const IS_REQUIRED: &str = " is required";

/// A refusal: the code, and what exactly was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: RejectCode,
    /// One sentence: the field, and what was found there.
    pub detail: String,
}

impl Refusal {
    /// A refusal with that code and detail.
    pub fn new(code: RejectCode, detail: impl Into<String>) -> Self {
        Refusal { code, detail: detail.into() }
    }
}

/// Checks raw records and gathers those that pass into a [`Chunk`].
///
/// Values go straight into their columns, and a refused record is taken out again: nearly all
/// records pass, and this way each value is copied once.
#[derive(Debug)]
pub struct ChunkBuilder {
    chunk: Chunk,
    /// The columns that are not absent, in the order in which they came to be.
    live: Vec<FieldId>,
    /// Those of them that have a bit.
    live_bits: u64,
    /// How many events there is room for in a new column.
    room: usize,
}

/// The fields that only label events have: what was found true, and of whom.
pub(crate) const FOUND_TRUE: [FieldId; 4] = [LABEL, TYPOLOGY, SUBJECT_KIND, SUBJECT_ID];

/// What is known of the record in hand.
#[derive(Default)]
struct Record {
    kind: Option<Kind>,
    /// The fields that are not null, a bit each as far as there are bits.
    present: u64,
}

impl ChunkBuilder {
    /// An empty builder.
    pub fn new(schema: Arc<Schema>) -> Self {
        ChunkBuilder::with_room(schema, 0)
    }

    /// An empty builder with room for that many events.
    pub fn with_room(schema: Arc<Schema>, room: usize) -> Self {
        let fields = schema.fields.len();
        ChunkBuilder {
            chunk: Chunk {
                schema,
                kinds: Vec::with_capacity(room),
                columns: vec![Column::Absent; fields],
                positions: Vec::with_capacity(room),
            },
            live: Vec::new(),
            live_bits: 0,
            room,
        }
    }

    /// The number of events so far.
    pub fn len(&self) -> usize {
        self.chunk.len()
    }

    /// Whether there are none so far.
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty()
    }

    /// The events so far.
    pub fn so_far(&self) -> &Chunk {
        &self.chunk
    }

    /// Checks one record: its values by field, each field at most once, and fields that are not
    /// named are null. A refused record leaves the builder as it was.
    pub fn push<'a>(
        &mut self,
        values: impl IntoIterator<Item = (FieldId, Raw<'a>)>,
        position: Position,
    ) -> Result<(), Refusal> {
        self.push_until(values, position, i64::MAX)
    }

    /// The same, where the event may be no later than `latest`.
    pub fn push_until<'a>(
        &mut self,
        values: impl IntoIterator<Item = (FieldId, Raw<'a>)>,
        position: Position,
        latest: i64,
    ) -> Result<(), Refusal> {
        let live_before = self.live.len();
        let pushed = self.push_values(values);
        match pushed.and_then(|found| self.check_latest(latest).map(|()| found)) {
            Ok((kind, present)) => {
                self.replace_ids();
                self.append(kind, present, position);
                Ok(())
            }
            Err(refusal) => {
                self.roll_back(live_before);
                Err(refusal)
            }
        }
    }

    /// The chunk, leaving the builder empty.
    pub fn finish(&mut self) -> Chunk {
        let schema = self.chunk.schema.clone();
        std::mem::replace(self, ChunkBuilder::new(schema)).chunk
    }

    /// The kind of the record, and the bits of the fields that have got a value.
    fn push_values<'a>(
        &mut self,
        values: impl IntoIterator<Item = (FieldId, Raw<'a>)>,
    ) -> Result<(Kind, u64), Refusal> {
        let mut record = Record::default();
        for (id, raw) in values {
            if id == KIND {
                record.kind = check_kind(raw, &self.chunk.schema)?;
            } else if !matches!(raw, Raw::Null | Raw::Cell("") | Raw::Str("")) {
                self.push_value(id, raw)?;
                assert_eq!(record.present & id.bit(), 0, "a record names each field at most once");
                record.present |= id.bit();
            }
        }
        let kind = record.kind.ok_or_else(|| missing("kind"))?;
        record.check_required(kind)?;
        if kind != Kind::Label && FOUND_TRUE.iter().any(|field| record.has(*field)) {
            self.forget_found_true();
            FOUND_TRUE.iter().for_each(|field| record.present &= !field.bit());
        }
        Ok((kind, record.present))
    }

    /// Takes what was found true out of the record in hand, which is no label: rules know of it by label
    /// events alone, from the time on at which it became known.
    fn forget_found_true(&mut self) {
        let rows = self.chunk.kinds.len();
        for field in FOUND_TRUE {
            self.chunk.columns[field.index()].truncate(rows);
        }
    }

    /// Checks the time of the record in hand, which is not null.
    fn check_latest(&self, latest: i64) -> Result<(), Refusal> {
        let Column::Int(times) = &self.chunk.columns[EVENT_TIME.index()] else { return Ok(()) };
        match times.last() {
            Some(&time) if time > latest => {
                let detail = format!("event_time is {time}, and could be {latest} at most");
                Err(Refusal::new(RejectCode::TimeAhead, detail))
            }
            _ => Ok(()),
        }
    }

    fn push_value(&mut self, id: FieldId, raw: Raw<'_>) -> Result<(), Refusal> {
        let schema = &self.chunk.schema;
        let field = &schema.fields[id.index()];
        let column = &mut self.chunk.columns[id.index()];
        if let Column::Absent = column {
            *column = Column::with_room(field.kind, self.room);
            self.live.push(id);
            self.live_bits |= id.bit();
            for _ in 0..self.chunk.kinds.len() {
                column.push(Value::Null);
            }
        }
        match column {
            Column::Int(values) => values.push(check_int(field, raw)?),
            Column::Double(values) => values.push(check_double(field, raw)?),
            Column::Bool(values) => values.push(u8::from(check_bool(field, raw)?)),
            Column::Str(values) => values.push(check_str(field, raw, schema)?),
            Column::Absent => unreachable!("a column of its type was put there above"),
        }
        Ok(())
    }

    /// Puts pseudonyms in place of the ids of the record in hand, which has passed.
    fn replace_ids(&mut self) {
        let Some(pseudonyms) = self.chunk.schema.pseudonyms() else { return };
        let row = self.chunk.kinds.len();
        // The subject of a label is an id of what is judged, and may be an event's.
        let of_event = match &self.chunk.columns[SUBJECT_KIND.index()] {
            Column::Str(kinds) => kinds.len() > row && kinds.get(row) == "event",
            _ => false,
        };
        let subject = (!of_event).then_some(SUBJECT_ID);
        for field in REPLACED.into_iter().chain(subject) {
            if let Column::Str(values) = &mut self.chunk.columns[field.index()]
                && values.len() > row
            {
                let pseudonym = pseudonyms.of(values.get(row));
                values.replace_last(row, &pseudonym);
            }
        }
    }

    /// Ends the record in hand, of which the fields `present` have a value: the others get a null.
    fn append(&mut self, kind: Kind, present: u64, position: Position) {
        self.chunk.kinds.push(kind);
        self.chunk.positions.push(position);
        let mut absent = self.live_bits & !present;
        while absent != 0 {
            self.chunk.columns[absent.trailing_zeros() as usize].push(Value::Null);
            absent &= absent - 1;
        }
        let rows = self.chunk.kinds.len();
        for id in self.live.iter().filter(|id| id.bit() == 0) {
            let column = &mut self.chunk.columns[id.index()];
            if column.len() < rows {
                column.push(Value::Null);
            }
            assert_eq!(column.len(), rows, "a record names each field at most once");
        }
    }

    fn roll_back(&mut self, live_before: usize) {
        for id in self.live.drain(live_before..) {
            self.chunk.columns[id.index()] = Column::Absent;
            self.live_bits &= !id.bit();
        }
        let rows = self.chunk.kinds.len();
        for id in &self.live {
            self.chunk.columns[id.index()].truncate(rows);
        }
    }
}

impl Record {
    fn has(&self, field: FieldId) -> bool {
        self.present & field.bit() != 0
    }

    fn check_required(&self, kind: Kind) -> Result<(), Refusal> {
        let account = !matches!(kind, Kind::Group | Kind::Label);
        let required = [
            (EVENT_ID, true),
            (EVENT_TIME, true),
            (ACCOUNT_ID, account),
            (AMOUNT_FEN, kind.has_amount()),
        ];
        match required.iter().find(|(field, needed)| *needed && !self.has(*field)) {
            Some((field, _)) => Err(missing(FIELDS[field.index()].0)),
            None => Ok(()),
        }
    }
}

fn missing(field: &str) -> Refusal {
    Refusal::new(RejectCode::MissingField, format!("{field}{IS_REQUIRED}"))
}

fn check_kind(raw: Raw<'_>, schema: &Schema) -> Result<Option<Kind>, Refusal> {
    let name = match raw {
        Raw::Null | Raw::Cell("") | Raw::Str("") => return Ok(None),
        Raw::Cell(text) | Raw::Str(text) => text,
        Raw::NotUtf8 => return Err(not_utf8("kind")),
        _ => return Err(Refusal::new(RejectCode::WrongType, "kind is not a string")),
    };
    match Kind::parse(name) {
        Some(kind) => Ok(Some(kind)),
        None => {
            Err(Refusal::new(RejectCode::UnknownKind, format!("kind is {}", quoted(name, schema))))
        }
    }
}

fn check_str<'a>(field: &Field, raw: Raw<'a>, schema: &Schema) -> Result<&'a str, Refusal> {
    let text = match raw {
        Raw::Cell(text) | Raw::Str(text) => text,
        Raw::NotUtf8 => return Err(not_utf8(&field.name)),
        _ => return Err(wrong_type(field)),
    };
    check_text(field, text, schema)?;
    Ok(text)
}

fn check_int(field: &Field, raw: Raw<'_>) -> Result<i64, Refusal> {
    let value = match raw {
        Raw::Int(value) => value,
        Raw::Cell(text) => match parse_int(text.as_bytes()) {
            Some(value) => value,
            None if field.bound == Bound::Time => parse_time(field, text)?,
            None => return Err(wrong_type(field)),
        },
        Raw::Str(text) if field.bound == Bound::Time => parse_time(field, text)?,
        Raw::NotUtf8 if field.bound == Bound::Time => return Err(not_utf8(&field.name)),
        _ => return Err(wrong_type(field)),
    };
    let (low, high, code) = match field.bound {
        Bound::Time => (TIME_MIN, TIME_MAX - 1, RejectCode::TimeOutOfRange),
        Bound::Amount => (0, AMOUNT_FEN_MAX, RejectCode::OutOfBounds),
        Bound::Natural => (0, i64::MAX, RejectCode::OutOfBounds),
        _ => (NULL_INT + 1, i64::MAX, RejectCode::OutOfBounds),
    };
    if value < low || value > high {
        let detail = format!("{} is {value}, outside {low}..={high}", field.name);
        return Err(Refusal::new(code, detail));
    }
    Ok(value)
}

fn check_double(field: &Field, raw: Raw<'_>) -> Result<f64, Refusal> {
    let value = match raw {
        Raw::Double(value) => value,
        Raw::Int(value) => value as f64,
        Raw::Cell(text) => text.parse().map_err(|_| wrong_type(field))?,
        _ => return Err(wrong_type(field)),
    };
    if !value.is_finite() {
        let detail = format!("{} is not a finite number", field.name);
        return Err(Refusal::new(RejectCode::OutOfBounds, detail));
    }
    Ok(value)
}

fn check_bool(field: &Field, raw: Raw<'_>) -> Result<bool, Refusal> {
    match raw {
        Raw::Bool(value) => Ok(value),
        Raw::Cell("true") => Ok(true),
        Raw::Cell("false") => Ok(false),
        _ => Err(wrong_type(field)),
    }
}

fn check_text(field: &Field, text: &str, schema: &Schema) -> Result<(), Refusal> {
    let bytes_max = match field.bound {
        Bound::EventId => EVENT_ID_BYTES_MAX,
        Bound::Id => ID_BYTES_MAX,
        _ => TEXT_BYTES_MAX,
    };
    if text.len() > bytes_max {
        let detail = format!("{} has {} bytes, more than {bytes_max}", field.name, text.len());
        return Err(Refusal::new(RejectCode::OutOfBounds, detail));
    }
    let Some(allowed) = field.bound.values() else { return Ok(()) };
    if !allowed.contains(&text) {
        let detail = format!(
            "{} is {}, not one of {}",
            field.name,
            quoted(text, schema),
            allowed.join(", ")
        );
        return Err(Refusal::new(RejectCode::OutOfBounds, detail));
    }
    Ok(())
}

/// A plain decimal integer; no sign but `-`, no blanks.
pub fn parse_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    if digits.len() <= 18 {
        // Eighteen digits cannot overflow.
        for &digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
        }
        return Some(if negative { -value } else { value });
    }
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// RFC 3339 with an offset; finer than a millisecond is floored.
fn parse_time(field: &Field, text: &str) -> Result<i64, Refusal> {
    let (whole, fraction, offset) = parts_of_time(text).ok_or_else(|| wrong_type(field))?;
    let time: Result<jiff::Timestamp, _> = match fraction.get(MS_DIGITS..) {
        // Of as many digits as there are the first three count.
        Some(finer) if !finer.is_empty() => {
            format!("{whole}{}{offset}", &fraction[..MS_DIGITS]).parse()
        }
        _ => text.parse(),
    };
    let time = time.map_err(|_| wrong_type(field))?;
    Ok(time.as_nanosecond().div_euclid(1_000_000) as i64)
}

/// The point and the digits of milliseconds.
const MS_DIGITS: usize = 4;

/// A time in the form of RFC 3339: to the second, what is finer (with its point) and the offset. The
/// parser of times takes forms of ISO 8601 beside it, which other readers of the same data would not.
fn parts_of_time(text: &str) -> Option<(&str, &str, &str)> {
    let (whole, rest) = text.split_at_checked("0000-00-00T00:00:00".len())?;
    let formed = whole.bytes().zip(*b"0000-00-00T00:00:00").all(|(found, form)| match form {
        b'0' => found.is_ascii_digit(),
        b'T' => matches!(found, b'T' | b't' | b' '),
        mark => found == mark,
    });
    let (fraction, offset) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
    let digits = fraction.is_empty()
        || fraction.strip_prefix('.').is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
        });
    let zone = match offset.as_bytes() {
        [b'Z' | b'z'] => true,
        [_, hour @ .., b':', b'0'..=b'5', _] => hour.len() == 2 && hour <= b"23".as_slice(),
        _ => false,
    };
    (formed && digits && zone).then_some((whole, fraction, offset))
}

fn not_utf8(field: &str) -> Refusal {
    Refusal::new(RejectCode::InvalidUtf8, format!("{field} has bytes that are not UTF-8"))
}

fn wrong_type(field: &Field) -> Refusal {
    let wanted = match (field.kind, field.bound) {
        (_, Bound::Time) => "an integer of ms or an RFC 3339 time with offset",
        (Type::Int, _) => "an integer",
        (Type::Double, _) => "a number",
        (Type::Bool, _) => "true or false",
        (Type::Str, _) => "a string",
    };
    Refusal::new(RejectCode::WrongType, format!("{} is not {wanted}", field.name))
}

/// The first characters of hostile text, escaped, for a message; where ids are replaced, none, for they
/// may be an id that came into the wrong column.
fn quoted(text: &str, schema: &Schema) -> String {
    if schema.pseudonyms().is_some() {
        return "something that is not shown".to_owned();
    }
    const SHOWN: usize = 40;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("{shown:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    fn refused(values: &[(FieldId, Raw<'_>)]) -> RejectCode {
        let mut builder = ChunkBuilder::new(Arc::new(Schema::default()));
        let at = Position { source: 0, at: 1 };
        let refusal = builder.push(values.iter().copied(), at).unwrap_err();
        assert!(builder.is_empty(), "a refused record must leave no trace");
        refusal.code
    }

    const GOOD: [(FieldId, Raw<'static>); 5] = [
        (EVENT_ID, Raw::Str("e1")),
        (EVENT_TIME, Raw::Str("2024-02-09T20:00:00.0009+08:00")),
        (KIND, Raw::Str("claim")),
        (ACCOUNT_ID, Raw::Str("u1")),
        (AMOUNT_FEN, Raw::Int(1)),
    ];

    #[test]
    fn a_good_record_is_kept_as_written() {
        let mut builder = ChunkBuilder::new(Arc::new(Schema::default()));
        builder.push(GOOD, Position { source: 0, at: 1 }).unwrap();
        let chunk = builder.finish();
        assert_eq!(chunk.int(EVENT_TIME, 0), 1_707_480_000_000, "finer than ms is floored");
        assert_eq!((chunk.payer(0), chunk.payee(0)), ("", "u1"));
    }

    #[test]
    fn what_the_contract_refuses_is_refused() {
        let long = "x".repeat(65);
        let with = |field, raw| {
            let mut values = GOOD.to_vec();
            values.retain(|(id, _)| *id != field);
            values.push((field, raw));
            refused(&values)
        };
        use RejectCode::*;
        assert_eq!(with(AMOUNT_FEN, Raw::Double(1.0)), WrongType);
        assert_eq!(with(AMOUNT_FEN, Raw::Str("1")), WrongType);
        assert_eq!(with(AMOUNT_FEN, Raw::Cell("1e2")), WrongType);
        assert_eq!(with(AMOUNT_FEN, Raw::Cell("+1")), WrongType);
        assert_eq!(with(AMOUNT_FEN, Raw::Int(-1)), OutOfBounds);
        assert_eq!(with(AMOUNT_FEN, Raw::Null), MissingField);
        assert_eq!(with(ACCOUNT_ID, Raw::Cell("")), MissingField);
        assert_eq!(with(KIND, Raw::Str("Claim")), UnknownKind);
        assert_eq!(with(EVENT_TIME, Raw::Int(TIME_MAX)), TimeOutOfRange);
        assert_eq!(with(EVENT_TIME, Raw::Str("2024-02-09T20:00:00")), WrongType);
        assert_eq!(with(ACCOUNT_ID, Raw::NotUtf8), InvalidUtf8);
        assert_eq!(with(EVENT_ID, Raw::Str(&long)), OutOfBounds);
        assert_eq!(with(PLATFORM, Raw::Str("qq")), OutOfBounds);
    }

    /// The forms of RFC 3339, section 5.6, and what ISO 8601 and RFC 9557 have beside them.
    #[test]
    fn times_are_those_of_rfc_3339_and_no_others() {
        let read = |text: &'static str| {
            let mut values = GOOD.to_vec();
            values[1].1 = Raw::Str(text);
            let mut builder = ChunkBuilder::new(Arc::new(Schema::default()));
            let pushed = builder.push(values, Position { source: 0, at: 1 });
            pushed.map(|()| builder.finish().int(EVENT_TIME, 0) - 1_707_480_000_000)
        };
        for (text, ms) in [
            ("2024-02-09T12:00:00Z", 0),
            ("2024-02-09t12:00:00z", 0),
            ("2024-02-09 20:00:00+08:00", 0),
            ("2024-02-09T06:30:00.5-05:30", 500),
            ("2024-02-09T12:00:00.0019999Z", 1),
            ("2024-02-09T12:00:00.001999999999999Z", 1),
        ] {
            assert_eq!(read(text), Ok(ms), "{text}");
        }
        for text in [
            "2024-02-09T20:00:00",
            "2024-02-09T12:00Z",
            "20240209T120000Z",
            "2024-02-09T20:00:00+0800",
            "2024-02-09T20:00:00+08",
            "2024-02-09T12:00:00,5Z",
            "2024-02-09T12:00:00.Z",
            "2024-02-09T20:00:00+08:00[Asia/Shanghai]",
            "2024-02-09T20:00:00+24:00",
            "2024-02-09T20:00:00+08:60",
            "2024-02-30T12:00:00Z",
            "2024-02-09T12:00:00Z ",
            "+002024-02-09T12:00:00Z",
        ] {
            assert_eq!(
                read(text).map_err(|refusal| refusal.code),
                Err(RejectCode::WrongType),
                "{text}"
            );
        }
    }

    #[test]
    fn the_documentation_has_every_field_kind_and_code() {
        let text = include_str!("../../../fixtures/mappings/README.md");
        let fields = FIELDS.iter().map(|(name, ..)| *name);
        for name in fields.chain(RejectCode::ALL.map(RejectCode::name)) {
            assert!(text.contains(&format!("`{name}`")), "{name}");
        }
        let row = text.lines().find(|line| line.starts_with("| `kind`")).unwrap();
        let kinds = Kind::ALL.map(Kind::name).join(", ");
        assert!(row.contains(&kinds), "{row}");
    }

    #[test]
    fn every_kind_has_the_name_that_it_is_read_by() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.name()), Some(kind));
        }
    }

    #[test]
    fn a_refused_record_leaves_no_trace_in_any_column() {
        let mut builder = ChunkBuilder::new(Arc::new(Schema::default()));
        let at = Position { source: 0, at: 1 };
        let with = |text: &'static str, shares| {
            let mut values = GOOD.to_vec();
            values.extend([(TEXT, Raw::Cell(text)), (SHARES, shares), (VERIFIED, Raw::Null)]);
            values
        };
        builder.push(with("", Raw::Null), at).unwrap();
        builder.push(with("unlucky", Raw::Bool(true)), at).unwrap_err();
        assert!(matches!(builder.so_far().column(TEXT), Column::Absent));
        builder.push(with("first", Raw::Null), at).unwrap();
        builder.push(with("unlucky", Raw::Bool(true)), at).unwrap_err();
        builder.push(with("", Raw::Int(3)), at).unwrap();
        let chunk = builder.finish();
        let rows = |field| (0..chunk.len()).map(|row| chunk.value(field, row)).collect::<Vec<_>>();
        assert_eq!(rows(TEXT), [Value::Null, Value::Str("first"), Value::Null]);
        assert_eq!(rows(SHARES), [Value::Null, Value::Null, Value::Int(3)]);
        assert_eq!(rows(EVENT_ID), [Value::Str("e1"); 3]);
        assert!(matches!(chunk.column(VERIFIED), Column::Absent));
    }

    #[test]
    fn integers_parse_to_both_ends_and_not_beyond() {
        assert_eq!(parse_int(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_int(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_int(b"9223372036854775808"), None);
        assert_eq!(parse_int(b""), None);
        assert_eq!(parse_int(b"-"), None);
        assert_eq!(parse_int(b" 1"), None);
    }
}
