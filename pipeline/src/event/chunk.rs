//! Checked events in columns.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ACCOUNT_ID, COUNTERPARTY_ID, FieldId, KIND, Kind, NULL_INT, Schema, Type};

/// Strings of one column, end to end; the empty string is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strings {
    ends: Vec<u32>,
    text: String,
}

impl Strings {
    /// No strings yet, and room for that many; their text gets its room as they come.
    pub(crate) fn with_room(rows: usize) -> Strings {
        Strings { ends: Vec::with_capacity(rows), text: String::new() }
    }

    /// The string at `row`; empty is null.
    #[inline]
    pub fn get(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.text[start..self.ends[row] as usize]
    }

    /// Appends a string; a column holds less than 4 GiB (chunks are far smaller).
    #[inline]
    pub fn push(&mut self, value: &str) {
        self.make_room(1, value.len());
        self.text.push_str(value);
        self.ends.push(self.text.len() as u32);
    }

    /// Appends a run of strings of another column.
    fn extend(&mut self, from: &Strings, run: Range<usize>) {
        if run.is_empty() {
            return;
        }
        let start = if run.start == 0 { 0 } else { from.ends[run.start - 1] };
        let base = self.text.len() as u32;
        let bytes = from.ends[run.end - 1] - start;
        self.make_room(run.len(), bytes as usize);
        self.text.push_str(&from.text[start as usize..from.ends[run.end - 1] as usize]);
        self.ends.extend(from.ends[run].iter().map(|end| end - start + base));
    }

    /// The strings at `rows`, which rise; neighbours are copied together.
    pub(crate) fn at(&self, rows: &[u32]) -> Strings {
        let mut strings = Strings::with_room(rows.len());
        for run in rows.chunk_by(|row, next| row + 1 == *next) {
            let start = run[0] as usize;
            strings.extend(self, start..start + run.len());
        }
        strings
    }

    /// The ends of the strings in their text, and that.
    pub(crate) fn into_parts(self) -> (Vec<u32>, String) {
        (self.ends, self.text)
    }

    /// Makes room for the text of more strings. Should there be too little, there is room afterwards
    /// for as many as there is room for ends, were they as long as those so far: growing by doubling
    /// copies a column again and again, and leaves a third of it empty.
    #[inline]
    fn make_room(&mut self, rows: usize, bytes: usize) {
        if self.text.capacity() - self.text.len() < bytes {
            self.grow(rows, bytes);
        }
    }

    #[cold]
    fn grow(&mut self, rows: usize, bytes: usize) {
        /// What a few strings may ask for, and how far the others are trusted to be like those so far.
        const BYTES_MIN: usize = 4096;
        const TIMES_MAX: usize = 4;
        let (rows, bytes) = (self.ends.len() + rows, self.text.len() + bytes);
        let likely = bytes * self.ends.capacity().max(rows) / rows;
        let room = (likely + likely / 16).min(TIMES_MAX * bytes.max(BYTES_MIN)).max(bytes);
        self.text.reserve_exact(room - self.text.len());
    }

    /// Replaces the string at `row`, which is the last.
    pub(super) fn replace_last(&mut self, row: usize, value: &str) {
        self.truncate(row);
        self.push(value);
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.text.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// The values of one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Column {
    /// The field is null in every row.
    Absent,
    /// Integers; [`NULL_INT`] is null.
    Int(Vec<i64>),
    /// Doubles; NaN is null.
    Double(Vec<f64>),
    /// 0, 1, or 2 for null.
    Bool(Vec<u8>),
    /// Strings; empty is null.
    Str(Strings),
}

/// A checked value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing there.
    Null,
    /// An integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// A truth value.
    Bool(bool),
    /// A string, never empty.
    Str(&'a str),
}

/// Where a record came from: a source of the run, and its line (from 1), row (from 1, Parquet) or
/// offset (Kafka, an input log).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Index into the run's sources.
    pub source: u32,
    /// Line, row or offset.
    pub at: u64,
}

/// What a chunk is stored as: all but its schema, which is the run's.
pub(crate) type Stored = (Vec<Kind>, Vec<Column>, Vec<Position>);

/// Checked events in columns, as they were read.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub(super) schema: Arc<Schema>,
    pub(super) kinds: Vec<Kind>,
    pub(super) columns: Vec<Column>,
    pub(super) positions: Vec<Position>,
}

impl Chunk {
    /// The schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The kind of the event at `row`.
    #[inline]
    pub fn kind(&self, row: usize) -> Kind {
        self.kinds[row]
    }

    /// Where the event at `row` came from.
    pub fn position(&self, row: usize) -> Position {
        self.positions[row]
    }

    /// The column of a field. `kind` has none of its own: see [`Chunk::kind`].
    pub fn column(&self, field: FieldId) -> &Column {
        &self.columns[field.index()]
    }

    /// The integer at `row`, or [`NULL_INT`].
    #[inline]
    pub fn int(&self, field: FieldId, row: usize) -> i64 {
        match &self.columns[field.index()] {
            Column::Int(values) => values[row],
            _ => NULL_INT,
        }
    }

    /// The string at `row`; empty is null.
    #[inline]
    pub fn str(&self, field: FieldId, row: usize) -> &str {
        match &self.columns[field.index()] {
            Column::Str(values) => values.get(row),
            _ if field == KIND => self.kinds[row].name(),
            _ => "",
        }
    }

    /// The value at `row`.
    pub fn value(&self, field: FieldId, row: usize) -> Value<'_> {
        match &self.columns[field.index()] {
            Column::Absent if field == KIND => Value::Str(self.kinds[row].name()),
            column => column.value(row),
        }
    }

    /// `payer_id`: the account of a send, transfer or withdrawal, the counterparty of a claim.
    pub fn payer(&self, row: usize) -> &str {
        match self.kinds[row] {
            Kind::Send | Kind::Transfer | Kind::Withdraw => self.str(ACCOUNT_ID, row),
            Kind::Claim => self.str(COUNTERPARTY_ID, row),
            _ => "",
        }
    }

    /// `payee_id`: the account of a claim, the counterparty of a transfer.
    pub fn payee(&self, row: usize) -> &str {
        match self.kinds[row] {
            Kind::Claim => self.str(ACCOUNT_ID, row),
            Kind::Transfer => self.str(COUNTERPARTY_ID, row),
            _ => "",
        }
    }

    /// The event at `row` as a JSON object, without its null fields.
    pub fn to_json(&self, row: usize) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        for (at, field) in self.schema.fields.iter().enumerate() {
            let value = match self.value(FieldId(at as u16), row) {
                Value::Null => continue,
                Value::Int(value) => value.into(),
                Value::Double(value) => value.into(),
                Value::Bool(value) => value.into(),
                Value::Str(value) => value.into(),
            };
            object.insert(field.name.clone(), value);
        }
        serde_json::Value::Object(object)
    }

    /// Whether the events at two rows have the same body: every field equal.
    pub fn same_body(&self, row: usize, other: &Chunk, other_row: usize) -> bool {
        self.kinds[row] == other.kinds[other_row]
            && (0..self.columns.len()).all(|at| {
                let field = FieldId(at as u16);
                self.value(field, row) == other.value(field, other_row)
            })
    }

    /// A hash of the body at `row`, which tells apart what [`Chunk::same_body`] tells apart, also
    /// where somebody seeks bodies with one hash.
    pub(crate) fn body_hash(&self, row: usize, scratch: &mut Vec<u8>) -> [u64; 2] {
        scratch.clear();
        scratch.push(self.kinds[row] as u8);
        for (at, column) in self.columns.iter().enumerate() {
            let (tag, number) = match column.value(row) {
                Value::Null => continue,
                Value::Int(value) => (0, value as u64),
                // Zero has one hash, whatever its sign.
                Value::Double(value) => (1, (value + 0.0).to_bits()),
                Value::Bool(value) => (2, u64::from(value)),
                Value::Str(value) => (3, value.len() as u64),
            };
            scratch.extend((at as u16).to_le_bytes());
            scratch.push(tag);
            scratch.extend(number.to_le_bytes());
            if let Value::Str(value) = column.value(row) {
                scratch.extend(value.as_bytes());
            }
        }
        short_hash(scratch)
    }

    /// About how many bytes of memory the chunk takes up.
    pub(crate) fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(Column::bytes).sum();
        columns + self.kinds.capacity() + self.positions.capacity() * size_of::<Position>()
    }

    /// What is stored of the chunk; [`Chunk::from_stored`] makes the same chunk of it.
    pub(crate) fn stored(&self) -> impl Serialize + '_ {
        (&self.kinds, &self.columns, &self.positions)
    }

    /// What is stored of the chunk, taken out of it.
    pub(crate) fn into_stored(self) -> Stored {
        (self.kinds, self.columns, self.positions)
    }

    /// The chunk that was stored.
    pub(crate) fn from_stored(schema: &Arc<Schema>, (kinds, columns, positions): Stored) -> Chunk {
        Chunk { schema: schema.clone(), kinds, columns, positions }
    }

    /// The events at `rows` (chunk, row) of the `chunks`, in that order, as a chunk of its own.
    /// Neighbours that stay neighbours are copied together.
    pub fn gather(schema: &Arc<Schema>, chunks: &[Arc<Chunk>], rows: &[(u32, u32)]) -> Chunk {
        let runs: Vec<(&Chunk, Range<usize>)> = rows
            .chunk_by(|left, right| left.0 == right.0 && left.1 + 1 == right.1)
            .map(|run| {
                let start = run[0].1 as usize;
                (&*chunks[run[0].0 as usize], start..start + run.len())
            })
            .collect();
        let columns = (0..schema.fields.len())
            .map(|at| {
                if runs.iter().all(|(chunk, _)| matches!(chunk.columns[at], Column::Absent)) {
                    return Column::Absent;
                }
                let mut column = Column::with_room(schema.fields[at].kind, rows.len());
                for (chunk, run) in &runs {
                    column.extend(&chunk.columns[at], run.clone());
                }
                column
            })
            .collect();
        let mut gathered = Chunk {
            schema: schema.clone(),
            kinds: Vec::with_capacity(rows.len()),
            columns,
            positions: Vec::with_capacity(rows.len()),
        };
        for (chunk, run) in runs {
            gathered.kinds.extend_from_slice(&chunk.kinds[run.clone()]);
            gathered.positions.extend_from_slice(&chunk.positions[run]);
        }
        gathered
    }
}

impl Column {
    /// The value at `row`.
    pub fn value(&self, row: usize) -> Value<'_> {
        match self {
            Column::Absent => Value::Null,
            Column::Int(values) if values[row] == NULL_INT => Value::Null,
            Column::Int(values) => Value::Int(values[row]),
            Column::Double(values) if values[row].is_nan() => Value::Null,
            Column::Double(values) => Value::Double(values[row]),
            Column::Bool(values) if values[row] > 1 => Value::Null,
            Column::Bool(values) => Value::Bool(values[row] == 1),
            Column::Str(values) if values.get(row).is_empty() => Value::Null,
            Column::Str(values) => Value::Str(values.get(row)),
        }
    }

    pub(crate) fn empty(kind: Type) -> Column {
        Column::with_room(kind, 0)
    }

    /// An empty column with room for that many values.
    pub(crate) fn with_room(kind: Type, rows: usize) -> Column {
        match kind {
            Type::Int => Column::Int(Vec::with_capacity(rows)),
            Type::Double => Column::Double(Vec::with_capacity(rows)),
            Type::Bool => Column::Bool(Vec::with_capacity(rows)),
            Type::Str => Column::Str(Strings::with_room(rows)),
        }
    }

    /// Appends a run of another column of the same type, or of nulls.
    fn extend(&mut self, from: &Column, run: Range<usize>) {
        match (self, from) {
            (Column::Int(values), Column::Int(from)) => values.extend_from_slice(&from[run]),
            (Column::Double(values), Column::Double(from)) => values.extend_from_slice(&from[run]),
            (Column::Bool(values), Column::Bool(from)) => values.extend_from_slice(&from[run]),
            (Column::Str(values), Column::Str(from)) => values.extend(from, run),
            (column, _) => run.for_each(|_| column.push(Value::Null)),
        }
    }

    pub(crate) fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (Column::Int(values), Value::Int(value)) => values.push(value),
            (Column::Int(values), _) => values.push(NULL_INT),
            (Column::Double(values), Value::Double(value)) => values.push(value),
            (Column::Double(values), _) => values.push(f64::NAN),
            (Column::Bool(values), Value::Bool(value)) => values.push(u8::from(value)),
            (Column::Bool(values), _) => values.push(2),
            (Column::Str(values), Value::Str(value)) => values.push(value),
            (Column::Str(values), _) => values.push(""),
            (Column::Absent, value) => debug_assert_eq!(value, Value::Null),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Column::Absent => 0,
            Column::Int(values) => values.capacity() * size_of::<i64>(),
            Column::Double(values) => values.capacity() * size_of::<f64>(),
            Column::Bool(values) => values.capacity(),
            Column::Str(values) => {
                values.text.capacity() + values.ends.capacity() * size_of::<u32>()
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Column::Absent => 0,
            Column::Int(values) => values.len(),
            Column::Double(values) => values.len(),
            Column::Bool(values) => values.len(),
            Column::Str(values) => values.len(),
        }
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        match self {
            Column::Absent => {}
            Column::Int(values) => values.truncate(rows),
            Column::Double(values) => values.truncate(rows),
            Column::Bool(values) => values.truncate(rows),
            Column::Str(values) => values.truncate(rows),
        }
    }
}

/// Which of `shares` parts a hash falls to, by its lowest 16 bits. The last part gets twice what the
/// first gets, and those between get their place between: tables that are filled alike would all double
/// at one time, and everybody would wait for all of them.
pub(crate) fn uneven_share(hash: u64, shares: u64) -> usize {
    let x = hash & 0xffff;
    // (4x - x²) / 3 grows from 0 to 1 as x does, at first by 4/3 and at last by 2/3 of it.
    ((x * ((4 << 16) - x) / 3 * shares) >> 32) as usize
}

/// The first 128 bits of BLAKE3.
pub(crate) fn short_hash(bytes: &[u8]) -> [u64; 2] {
    let hash = blake3::hash(bytes);
    let half = |at: usize| {
        let mut half = [0; 8];
        half.copy_from_slice(&hash.as_bytes()[8 * at..8 * (at + 1)]);
        u64::from_le_bytes(half)
    };
    [half(0), half(1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ChunkBuilder, EVENT_TIME, FIELDS, KindSet, Raw};
    use crate::event::{TIME_MIN, carriers};

    /// What the kinds of fields and sides are said to be is what events of every kind come out as.
    #[test]
    fn the_kinds_that_carry_a_value_are_those_that_have_one() {
        for kind in Kind::ALL {
            let mut builder = ChunkBuilder::new(Arc::new(Schema::default()));
            let values = FIELDS.iter().enumerate().map(|(at, (_, kind_of, bound, _))| {
                let value = match (FieldId(at as u16), bound.values(), kind_of) {
                    (KIND, ..) => Raw::Str(kind.name()),
                    (EVENT_TIME, ..) => Raw::Int(TIME_MIN),
                    (_, Some(values), _) => Raw::Str(values[0]),
                    (_, _, Type::Str) => Raw::Str("x"),
                    (_, _, Type::Bool) => Raw::Bool(true),
                    _ => Raw::Int(TIME_MIN),
                };
                (FieldId(at as u16), value)
            });
            builder.push(values, Position { source: 0, at: 1 }).unwrap();
            let chunk = builder.finish();
            for (at, (name, ..)) in FIELDS.iter().enumerate() {
                let field = FieldId(at as u16);
                let has = chunk.value(field, 0) != Value::Null;
                assert_eq!(has, carriers(field).contains(kind), "{name} of {}", kind.name());
            }
            assert_eq!(!chunk.payer(0).is_empty(), KindSet::TRANSACTIONS.contains(kind));
            assert_eq!(!chunk.payee(0).is_empty(), KindSet::PAID.contains(kind));
        }
    }

    #[test]
    fn shares_are_from_one_to_two_times_as_large_and_workers_have_as_much() {
        const SHARES: usize = 256;
        let mut sizes = [0_u32; SHARES];
        let of = |hash: u64| uneven_share(hash, SHARES as u64);
        (0..1 << 16).for_each(|hash| sizes[of(hash)] += 1);
        assert!((1 << 16..1 << 17).all(|hash| of(hash) == of(hash & 0xffff)));
        assert!(sizes.is_sorted_by(|one, next| *next + 2 > *one), "{sizes:?}");
        let [first, last] = [sizes[0], sizes[SHARES - 1]];
        assert!((190..195).contains(&first) && (380..385).contains(&last), "{first} {last}");
        for workers in [2, 3, 4, 8] {
            let own = |worker: usize| sizes.iter().skip(worker).step_by(workers).sum::<u32>();
            let (least, most) = (own(0), own(workers - 1));
            assert!(most * 100 < least * 104, "{workers}: {least} {most}");
        }
    }
}
