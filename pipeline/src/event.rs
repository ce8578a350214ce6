//! The event: its fields, the check that turns a raw record into one, and the columnar chunk in
//! which checked events travel.
//!
//! A decoder knows a file format and nothing else: it hands each record over as raw values, and
//! [`ChunkBuilder::push`] is the only way by which a record becomes an event.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The longest accepted record, in bytes.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// The longest `event_id`, in bytes.
pub const EVENT_ID_BYTES_MAX: usize = 64;
/// The longest identifier other than `event_id`, in bytes.
pub const ID_BYTES_MAX: usize = 128;
/// The longest `text`, and the longest string in a column of one's own, in bytes.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Ten thousand million yuan: more than any payment, and small enough that sums cannot overflow.
pub const AMOUNT_FEN_MAX: i64 = 1_000_000_000_000;
/// 2000-01-01T00:00:00Z in milliseconds.
pub const TIME_MIN: i64 = 946_684_800_000;
/// 2100-01-01T00:00:00Z in milliseconds; times from here on are refused.
pub const TIME_MAX: i64 = 4_102_444_800_000;
/// The integer that stands for null in an integer column; no field accepts it as a value.
pub const NULL_INT: i64 = i64::MIN;

/// What happened. `send`, `claim`, `transfer` and `withdraw` are transactions and get a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is the kind of that name")]
pub enum Kind {
    Send,
    Claim,
    Refund,
    Transfer,
    Topup,
    Withdraw,
    Message,
    Join,
    Login,
    Account,
    Group,
    Label,
}

impl Kind {
    /// Every kind, in the order of its code.
    pub const ALL: [Kind; 12] = [
        Kind::Send,
        Kind::Claim,
        Kind::Refund,
        Kind::Transfer,
        Kind::Topup,
        Kind::Withdraw,
        Kind::Message,
        Kind::Join,
        Kind::Login,
        Kind::Account,
        Kind::Group,
        Kind::Label,
    ];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Send => "send",
            Kind::Claim => "claim",
            Kind::Refund => "refund",
            Kind::Transfer => "transfer",
            Kind::Topup => "topup",
            Kind::Withdraw => "withdraw",
            Kind::Message => "message",
            Kind::Join => "join",
            Kind::Login => "login",
            Kind::Account => "account",
            Kind::Group => "group",
            Kind::Label => "label",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether an event of this kind gets a decision.
    pub fn is_transaction(self) -> bool {
        matches!(self, Kind::Send | Kind::Claim | Kind::Transfer | Kind::Withdraw)
    }

    /// Whether `amount_fen` is required.
    pub fn has_amount(self) -> bool {
        matches!(
            self,
            Kind::Send | Kind::Claim | Kind::Refund | Kind::Transfer | Kind::Topup | Kind::Withdraw
        )
    }

    /// The set that holds this kind alone.
    pub fn bit(self) -> KindSet {
        KindSet(1 << self as u16)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct KindSet(pub u16);

impl KindSet {
    /// The four kinds that get a decision.
    pub const TRANSACTIONS: KindSet = KindSet(
        1 << Kind::Send as u16
            | 1 << Kind::Claim as u16
            | 1 << Kind::Transfer as u16
            | 1 << Kind::Withdraw as u16,
    );

    /// Whether the set holds `kind`.
    pub fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u16) != 0
    }

    /// The members, in the order of their codes.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<Kind> for KindSet {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        KindSet(kinds.into_iter().fold(0, |set, kind| set | 1 << kind as u16))
    }
}

/// The type of a field, a feature or an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// A signed 64-bit integer. Money is an integer number of fen, a time or duration of ms.
    Int,
    /// A binary64 number.
    Double,
    /// True or false.
    Bool,
    /// UTF-8 text; the empty string is null.
    #[serde(rename = "string")]
    Str,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Int => "int",
            Type::Double => "double",
            Type::Bool => "bool",
            Type::Str => "string",
        })
    }
}

/// A field's place in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u16);

impl FieldId {
    /// The place as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

macro_rules! standard_fields {
    ($($constant:ident $name:literal $kind:ident $rule:ident $doc:literal;)*) => {
        #[repr(u16)]
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "indices of constants")]
        enum Place { $($constant,)* }
        $(
            #[doc = $doc]
            pub const $constant: FieldId = FieldId(Place::$constant as u16);
        )*
        /// The standard fields in schema order: name, type, bound, meaning.
        pub const FIELDS: &[(&str, Type, Bound, &str)] =
            &[$(($name, Type::$kind, Bound::$rule, $doc),)*];
    };
}

/// What bounds the values of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// 1 to 64 bytes.
    EventId,
    /// Up to 128 bytes.
    Id,
    /// Up to 4096 bytes.
    Text,
    /// A time between 2000 and 2100, as an integer of ms or in RFC 3339.
    Time,
    /// The name of a kind.
    Kind,
    /// 0 to [`AMOUNT_FEN_MAX`].
    Amount,
    /// 0 or more.
    Natural,
    /// lucky, equal, exclusive, relay, timed, password.
    Play,
    /// balance, lingqiantong, bank.
    Funding,
    /// wechat, alipay, douyin, other.
    Platform,
    /// fraud, honest.
    Label,
    /// event, account, group.
    SubjectKind,
    /// Nothing but the type.
    None,
}

standard_fields! {
    EVENT_ID "event_id" Str EventId "unique id of the event";
    EVENT_TIME "event_time" Int Time "when it happened, ms since 1970 UTC";
    KIND "kind" Str Kind "what happened";
    ACCOUNT_ID "account_id" Str Id "who acts";
    COUNTERPARTY_ID "counterparty_id" Str Id "claim: the packet's sender; transfer: the payee";
    GROUP_ID "group_id" Str Id "the group in which it happened";
    PACKET_ID "packet_id" Str Id "the red packet";
    AMOUNT_FEN "amount_fen" Int Amount "money moved, in fen";
    SEQ "seq" Int None "order of its source among equal times";
    SHARES "shares" Int Natural "number of shares of a packet";
    PLAY "play" Str Play "how a packet is shared out";
    FUNDING "funding" Str Funding "where the money comes from";
    DEVICE_ID "device_id" Str Id "the device";
    IP "ip" Str Id "the network address";
    REGION "region" Str Id "GB/T 2260 code";
    PLATFORM "platform" Str Platform "the app";
    AGE_BAND "age_band" Str Id "age band of the account";
    REGISTERED_AT "registered_at" Int Time "when the account was opened, ms since 1970 UTC";
    VERIFIED "verified" Bool None "whether the account holder's name is verified";
    TEXT "text" Str Text "memo, message or group name";
    LABEL "label" Str Label "what was found true: fraud or honest";
    TYPOLOGY "typology" Str Id "the kind of fraud";
    SUBJECT_KIND "subject_kind" Str SubjectKind "of what it was found true";
    SUBJECT_ID "subject_id" Str Id "id of the event, account or group";
}

/// One field of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name; a column of one's own is called `extra.NAME`.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// What bounds its values.
    pub bound: Bound,
}

/// The fields of a run: the standard ones, then the `[extra.*]` columns of its mapping files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    fields: Vec<Field>,
}

impl Default for Schema {
    fn default() -> Self {
        let fields = FIELDS
            .iter()
            .map(|&(name, kind, bound, _)| Field { name: name.to_owned(), kind, bound })
            .collect();
        Schema { fields }
    }
}

impl Schema {
    /// The standard fields and then `extras` (names without the `extra.` prefix), in that order.
    pub fn with_extras(extras: impl IntoIterator<Item = (String, Type)>) -> Self {
        let mut schema = Schema::default();
        schema.fields.extend(extras.into_iter().map(|(name, kind)| Field {
            name: format!("extra.{name}"),
            kind,
            bound: if kind == Type::Str { Bound::Text } else { Bound::None },
        }));
        schema
    }

    /// The fields, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field at `id`.
    pub fn field(&self, id: FieldId) -> &Field {
        &self.fields[id.index()]
    }

    /// The field of that name.
    pub fn find(&self, name: &str) -> Option<FieldId> {
        let at = self.fields.iter().position(|field| field.name == name)?;
        Some(FieldId(at as u16))
    }
}

/// A value as a decoder found it, before any check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Raw<'a> {
    /// Nothing there.
    Null,
    /// Text of a format without types (a CSV cell): parsed by the field's type; empty is null.
    Cell(&'a [u8]),
    /// A string of a format with types.
    Str(&'a [u8]),
    /// An integer.
    Int(i64),
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

/// Strings of one column, end to end; the empty string is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Strings {
    ends: Vec<u32>,
    text: String,
}

impl Strings {
    /// The string at `row`; empty is null.
    pub fn get(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.text[start..self.ends[row] as usize]
    }

    /// Appends a string; a column holds less than 4 GiB (chunks are far smaller).
    pub fn push(&mut self, value: &str) {
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
        self.text.push_str(&from.text[start as usize..from.ends[run.end - 1] as usize]);
        self.ends.extend(from.ends[run].iter().map(|end| end - start + base));
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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Index into the run's sources.
    pub source: u32,
    /// Line, row or offset.
    pub at: u64,
}

/// Checked events in columns, as they were read.
#[derive(Clone, Debug)]
pub struct Chunk {
    schema: Arc<Schema>,
    kinds: Vec<Kind>,
    columns: Vec<Column>,
    positions: Vec<Position>,
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
    pub fn int(&self, field: FieldId, row: usize) -> i64 {
        match &self.columns[field.index()] {
            Column::Int(values) => values[row],
            _ => NULL_INT,
        }
    }

    /// The string at `row`; empty is null.
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
                let mut column = Column::empty(schema.fields[at].kind);
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
        match kind {
            Type::Int => Column::Int(Vec::new()),
            Type::Double => Column::Double(Vec::new()),
            Type::Bool => Column::Bool(Vec::new()),
            Type::Str => Column::Str(Strings::default()),
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
}

/// Checks raw records and gathers those that pass into a [`Chunk`].
#[derive(Debug)]
pub struct ChunkBuilder {
    chunk: Chunk,
    /// One slot a field: the value of the record in hand, once checked.
    pending: Vec<Pending>,
    scratch: String,
}

#[derive(Clone, Debug)]
enum Pending {
    Null,
    Int(i64),
    Double(f64),
    Bool(bool),
    /// A range of the scratch string.
    Str(Range<usize>),
}

impl ChunkBuilder {
    /// An empty builder.
    pub fn new(schema: Arc<Schema>) -> Self {
        let fields = schema.fields.len();
        ChunkBuilder {
            chunk: Chunk {
                schema,
                kinds: Vec::new(),
                columns: vec![Column::Absent; fields],
                positions: Vec::new(),
            },
            pending: vec![Pending::Null; fields],
            scratch: String::new(),
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
        self.scratch.clear();
        self.pending.fill(Pending::Null);
        let mut kind = None;
        for (id, raw) in values {
            if id == KIND {
                kind = check_kind(raw)?;
            } else {
                let field = &self.chunk.schema.fields[id.index()];
                self.pending[id.index()] = check_value(field, raw, &mut self.scratch)?;
            }
        }
        let kind = kind.ok_or_else(|| missing("kind"))?;
        self.check_required(kind)?;
        self.append(kind, position);
        Ok(())
    }

    /// The chunk, leaving the builder empty.
    pub fn finish(&mut self) -> Chunk {
        let schema = self.chunk.schema.clone();
        std::mem::replace(self, ChunkBuilder::new(schema)).chunk
    }

    fn check_required(&self, kind: Kind) -> Result<(), Refusal> {
        let present = |field: FieldId| !matches!(self.pending[field.index()], Pending::Null);
        let account = !matches!(kind, Kind::Group | Kind::Label);
        let required = [
            (EVENT_ID, true),
            (EVENT_TIME, true),
            (ACCOUNT_ID, account),
            (AMOUNT_FEN, kind.has_amount()),
        ];
        match required.iter().find(|(field, needed)| *needed && !present(*field)) {
            Some((field, _)) => Err(missing(FIELDS[field.index()].0)),
            None => Ok(()),
        }
    }

    fn append(&mut self, kind: Kind, position: Position) {
        let rows = self.chunk.kinds.len();
        let columns = self.chunk.columns.iter_mut().zip(&self.chunk.schema.fields);
        for ((column, field), value) in columns.zip(&self.pending) {
            if let Column::Absent = column {
                if matches!(value, Pending::Null) {
                    continue;
                }
                *column = Column::empty(field.kind);
                for _ in 0..rows {
                    column.push(Value::Null);
                }
            }
            column.push(match value {
                Pending::Null => Value::Null,
                Pending::Int(value) => Value::Int(*value),
                Pending::Double(value) => Value::Double(*value),
                Pending::Bool(value) => Value::Bool(*value),
                Pending::Str(range) => Value::Str(&self.scratch[range.clone()]),
            });
        }
        self.chunk.kinds.push(kind);
        self.chunk.positions.push(position);
    }
}

fn missing(field: &str) -> Refusal {
    Refusal::new(RejectCode::MissingField, format!("{field} is required"))
}

fn check_kind(raw: Raw<'_>) -> Result<Option<Kind>, Refusal> {
    let name = match raw {
        Raw::Null | Raw::Cell(b"") | Raw::Str(b"") => return Ok(None),
        Raw::Cell(text) | Raw::Str(text) => text,
        _ => return Err(Refusal::new(RejectCode::WrongType, "kind is not a string")),
    };
    let name = utf8("kind", name)?;
    match Kind::parse(name) {
        Some(kind) => Ok(Some(kind)),
        None => Err(Refusal::new(RejectCode::UnknownKind, format!("kind is {}", quoted(name)))),
    }
}

fn check_value(field: &Field, raw: Raw<'_>, scratch: &mut String) -> Result<Pending, Refusal> {
    if matches!(raw, Raw::Null | Raw::Cell(b"") | Raw::Str(b"")) {
        return Ok(Pending::Null);
    }
    match field.kind {
        Type::Int => check_int(field, raw).map(Pending::Int),
        Type::Double => check_double(field, raw).map(Pending::Double),
        Type::Bool => check_bool(field, raw).map(Pending::Bool),
        Type::Str => {
            let text = match raw {
                Raw::Cell(text) | Raw::Str(text) => utf8(&field.name, text)?,
                _ => return Err(wrong_type(field)),
            };
            check_text(field, text)?;
            let start = scratch.len();
            scratch.push_str(text);
            Ok(Pending::Str(start..scratch.len()))
        }
    }
}

fn check_int(field: &Field, raw: Raw<'_>) -> Result<i64, Refusal> {
    let value = match raw {
        Raw::Int(value) => value,
        Raw::Cell(text) => match parse_int(text) {
            Some(value) => value,
            None if field.bound == Bound::Time => parse_time(field, text)?,
            None => return Err(wrong_type(field)),
        },
        Raw::Str(text) if field.bound == Bound::Time => parse_time(field, text)?,
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
        Raw::Cell(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| wrong_type(field))?,
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
        Raw::Cell(b"true") => Ok(true),
        Raw::Cell(b"false") => Ok(false),
        _ => Err(wrong_type(field)),
    }
}

fn check_text(field: &Field, text: &str) -> Result<(), Refusal> {
    let bytes_max = match field.bound {
        Bound::EventId => EVENT_ID_BYTES_MAX,
        Bound::Id => ID_BYTES_MAX,
        _ => TEXT_BYTES_MAX,
    };
    if text.len() > bytes_max {
        let detail = format!("{} has {} bytes, more than {bytes_max}", field.name, text.len());
        return Err(Refusal::new(RejectCode::OutOfBounds, detail));
    }
    let allowed: &[&str] = match field.bound {
        Bound::Play => &["lucky", "equal", "exclusive", "relay", "timed", "password"],
        Bound::Funding => &["balance", "lingqiantong", "bank"],
        Bound::Platform => &["wechat", "alipay", "douyin", "other"],
        Bound::Label => &["fraud", "honest"],
        Bound::SubjectKind => &["event", "account", "group"],
        _ => return Ok(()),
    };
    if !allowed.contains(&text) {
        let detail =
            format!("{} is {}, not one of {}", field.name, quoted(text), allowed.join(", "));
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
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// RFC 3339 with an offset; finer than a millisecond is floored.
fn parse_time(field: &Field, text: &[u8]) -> Result<i64, Refusal> {
    let text = utf8(&field.name, text)?;
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => Ok(time.as_nanosecond().div_euclid(1_000_000) as i64),
        Err(_) => Err(wrong_type(field)),
    }
}

fn utf8<'a>(field: &str, text: &'a [u8]) -> Result<&'a str, Refusal> {
    std::str::from_utf8(text).map_err(|_| {
        Refusal::new(RejectCode::InvalidUtf8, format!("{field} has bytes that are not UTF-8"))
    })
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

/// The first characters of hostile text, escaped, for a message.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("{shown:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(values: &[(FieldId, Raw<'_>)]) -> RejectCode {
        let mut builder = ChunkBuilder::new(Arc::new(Schema::default()));
        let at = Position { source: 0, at: 1 };
        let refusal = builder.push(values.iter().copied(), at).unwrap_err();
        assert!(builder.is_empty(), "a refused record must leave no trace");
        refusal.code
    }

    const GOOD: [(FieldId, Raw<'static>); 5] = [
        (EVENT_ID, Raw::Str(b"e1")),
        (EVENT_TIME, Raw::Str(b"2024-02-09T20:00:00.0009+08:00")),
        (KIND, Raw::Str(b"claim")),
        (ACCOUNT_ID, Raw::Str(b"u1")),
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
        let with = |field, raw| {
            let mut values = GOOD.to_vec();
            values.retain(|(id, _)| *id != field);
            values.push((field, raw));
            refused(&values)
        };
        use RejectCode::*;
        assert_eq!(with(AMOUNT_FEN, Raw::Double(1.0)), WrongType);
        assert_eq!(with(AMOUNT_FEN, Raw::Str(b"1")), WrongType);
        assert_eq!(with(AMOUNT_FEN, Raw::Cell(b"1e2")), WrongType);
        assert_eq!(with(AMOUNT_FEN, Raw::Cell(b"+1")), WrongType);
        assert_eq!(with(AMOUNT_FEN, Raw::Int(-1)), OutOfBounds);
        assert_eq!(with(AMOUNT_FEN, Raw::Null), MissingField);
        assert_eq!(with(ACCOUNT_ID, Raw::Cell(b"")), MissingField);
        assert_eq!(with(KIND, Raw::Str(b"Claim")), UnknownKind);
        assert_eq!(with(EVENT_TIME, Raw::Int(TIME_MAX)), TimeOutOfRange);
        assert_eq!(with(EVENT_TIME, Raw::Str(b"2024-02-09T20:00:00")), WrongType);
        assert_eq!(with(ACCOUNT_ID, Raw::Str(b"\xff")), InvalidUtf8);
        assert_eq!(with(EVENT_ID, Raw::Str(&[b'x'; 65])), OutOfBounds);
        assert_eq!(with(PLATFORM, Raw::Str(b"qq")), OutOfBounds);
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
