//! A mapping bound to the columns of one file, and what it makes of a row.

use std::ops::Range;
use std::sync::Arc;

use super::decimal::Decimal;
use super::{Case, Constant, From, Label, Mapping, Part, Rule};
use crate::event::{
    ChunkBuilder, EVENT_ID, EVENT_ID_BYTES_MAX, EVENT_TIME, FieldId, KIND, LABEL, Position, Raw,
    Refusal, RejectCode, SUBJECT_ID, SUBJECT_KIND, Schema, TYPOLOGY, Type, Value, parse_int,
};
use crate::source::not_utf8;
use crate::source::sink::Row;

/// What a file's column is, where its raw values do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum ColumnKind {
    /// Values of some plain type.
    Plain,
    /// Timestamps, handed over in milliseconds since 1970 UTC.
    Instant,
    /// Timestamps without a zone, handed over as if they were UTC.
    LocalTime,
}

/// A mapping bound to the columns of one file.
pub(in crate::source) struct Bound {
    mapping: Arc<Mapping>,
    /// By column of the mapping: the column of the file, and what it is.
    columns: Vec<(usize, ColumnKind)>,
    /// By rule of the mapping, its extras after its fields.
    targets: Vec<(FieldId, Type)>,
}

/// The records that a row makes: its event, and its label if it makes one.
pub(in crate::source) type Results = [Option<Result<(), Refusal>>; 2];

/// A value that a rule gives: of the row, or text that stands in a scratch string.
#[derive(Clone)]
enum Given<'r> {
    Raw(Raw<'r>),
    Text(Range<usize>),
}

impl Bound {
    /// Binds to a file whose column at `place(name)` is the one of that name. The error holds the
    /// columns of the mapping that the file does not have.
    pub(in crate::source) fn new(
        mapping: Arc<Mapping>,
        schema: &Schema,
        place: impl Fn(&str) -> Option<(usize, ColumnKind)>,
    ) -> Result<Bound, Vec<usize>> {
        let places: Vec<_> = mapping.columns().map(place).collect();
        let mut missing: Vec<usize> =
            (0..places.len()).filter(|&column| places[column].is_none()).collect();
        if !missing.is_empty() {
            missing.sort_by_key(|&column| mapping.columns[column].span.start);
            return Err(missing);
        }
        let targets = mapping
            .fields
            .iter()
            .map(|(name, _)| {
                let field = schema.find(name).expect("a checked mapping names fields of its run");
                (field, schema.field(field).kind)
            })
            .collect();
        Ok(Bound { mapping, columns: places.into_iter().flatten().collect(), targets })
    }

    /// The columns of the file of which anything is made.
    pub(in crate::source) fn columns(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().map(|(column, _)| *column)
    }

    /// Makes the records of one row. Says whether it could have a label, and what is known of it
    /// does not tell which.
    pub(in crate::source) fn apply(
        &self,
        row: &impl Row,
        builder: &mut ChunkBuilder,
        position: Position,
        results: &mut Results,
    ) -> bool {
        let mut scratch = String::new();
        let given = match self.evaluate(row, &mut scratch) {
            Ok(given) => given,
            Err(refusal) => {
                results[0] = Some(Err(refusal));
                return false;
            }
        };
        let values = given.fields.iter().map(|(field, value)| (*field, value.raw(&scratch)));
        let event = builder.push(values, position);
        let accepted = event.is_ok();
        results[0] = Some(event);
        let (true, Some(label)) = (accepted, &self.mapping.label) else { return false };
        let found = match label.when.test(&given.conditions) {
            Ok(true) => "fraud",
            Ok(false) if label.otherwise_honest => "honest",
            Ok(false) => return false,
            // What is not known is not labelled.
            Err(_) => return true,
        };
        let label = (label, found);
        results[1] = Some(self.push_label(label, row, given, scratch, builder, position));
        false
    }

    fn evaluate<'r>(
        &'r self,
        row: &'r impl Row,
        scratch: &mut String,
    ) -> Result<RowValues<'r>, Refusal> {
        let conditions = self.condition_values(row)?;
        let mut fields = Vec::with_capacity(self.targets.len() + 4);
        for ((_, rule), &(field, kind)) in self.mapping.fields.iter().zip(&self.targets) {
            fields.push((field, self.value(rule, kind, row, &conditions, scratch)?));
        }
        Ok(RowValues { fields, conditions })
    }

    /// The label event of a row whose own event was accepted.
    fn push_label<'r>(
        &'r self,
        (label, found): (&'r Label, &str),
        row: &'r impl Row,
        given: RowValues<'r>,
        mut scratch: String,
        builder: &mut ChunkBuilder,
        position: Position,
    ) -> Result<(), Refusal> {
        let event = builder.so_far();
        let last = event.len() - 1;
        let subject = event.str(EVENT_ID, last).to_owned();
        let time = event.int(EVENT_TIME, last) + label.delay_ms;
        let id = label_id(&subject);
        let mut own =
            |rule: &'r Rule| self.value(rule, Type::Str, row, &given.conditions, &mut scratch);
        let (typology, subject_id) = (own(&label.typology)?, own(&label.subject_id)?);
        let subject_id = match subject_id.raw(&scratch) {
            Raw::Null => Raw::Str(&subject),
            subject_id => subject_id,
        };
        let replaced = [
            (EVENT_ID, Raw::Str(&id)),
            (EVENT_TIME, Raw::Int(time)),
            (KIND, Raw::Str("label")),
            (LABEL, Raw::Str(found)),
            (TYPOLOGY, typology.raw(&scratch)),
            (SUBJECT_KIND, Raw::Str(&label.subject_kind)),
            (SUBJECT_ID, subject_id),
        ];
        let carried = given
            .fields
            .iter()
            .filter(|(field, _)| replaced.iter().all(|(own, _)| own != field))
            .map(|(field, value)| (*field, value.raw(&scratch)));
        let result = builder.push(carried.chain(replaced), position);
        result.map_err(|refusal| Refusal {
            detail: format!("the row's label: {}", refusal.detail),
            ..refusal
        })
    }

    fn value<'r>(
        &self,
        rule: &'r Rule,
        kind: Type,
        row: &'r impl Row,
        conditions: &[Value<'_>],
        scratch: &mut String,
    ) -> Result<Given<'r>, Refusal> {
        let holds = |case: &&Case| match &case.when {
            Some(when) => when.test(conditions).unwrap_or(false),
            None => true,
        };
        match rule.iter().find(holds) {
            Some(case) => self.case_value(&case.from, kind, row, scratch),
            None => Ok(Given::Raw(Raw::Null)),
        }
    }

    fn case_value<'r>(
        &self,
        from: &'r From,
        kind: Type,
        row: &'r impl Row,
        scratch: &mut String,
    ) -> Result<Given<'r>, Refusal> {
        let value = match from {
            From::Constant(constant) => constant.raw(),
            From::Column(column) => match row.get(self.columns[*column].0) {
                Raw::Int(value) if kind == Type::Str => {
                    return Ok(Given::Text(push_int(scratch, value)));
                }
                Raw::Natural(value) if kind == Type::Str => {
                    return Ok(Given::Text(push_int(scratch, value)));
                }
                value => value,
            },
            From::Amount { column, places, rounding } => match row.get(self.columns[*column].0) {
                raw if is_null(raw) => Raw::Null,
                raw => {
                    let number =
                        Decimal::of(raw).ok_or_else(|| self.wrong(*column, "not a number"))?;
                    let amount = number.scaled(*places, *rounding);
                    Raw::Int(amount.map_err(|what| self.out_of_bounds(*column, what))?)
                }
            },
            From::Time { column, rule } => {
                let (place, time_kind) = self.columns[*column];
                let time = match (row.get(place), time_kind) {
                    (raw, _) if is_null(raw) => return Ok(Given::Raw(Raw::Null)),
                    (Raw::Int(time), ColumnKind::Instant) => Ok(time),
                    (Raw::Int(time), ColumnKind::LocalTime) => rule.localise(time),
                    (raw, _) => rule.read(raw),
                };
                Raw::Int(time.map_err(|what| self.wrong(*column, &what))?)
            }
            From::Template(parts) => return self.template(parts, row, scratch),
        };
        Ok(Given::Raw(value))
    }

    fn template<'r>(
        &self,
        parts: &[Part],
        row: &impl Row,
        scratch: &mut String,
    ) -> Result<Given<'r>, Refusal> {
        let start = scratch.len();
        for part in parts {
            let column = match part {
                Part::Text(text) => {
                    scratch.push_str(text);
                    continue;
                }
                Part::Column(column) => *column,
            };
            match row.get(self.columns[column].0) {
                raw if is_null(raw) => {
                    scratch.truncate(start);
                    return Ok(Given::Raw(Raw::Null));
                }
                Raw::Int(value) => drop(push_int(scratch, value)),
                Raw::Natural(value) => drop(push_int(scratch, value)),
                Raw::Bool(value) => scratch.push_str(if value { "true" } else { "false" }),
                Raw::Cell(text) | Raw::Str(text) => scratch.push_str(text),
                Raw::NotUtf8 => return Err(not_utf8()),
                _ => return Err(self.wrong(column, "neither text nor an integer")),
            }
        }
        Ok(Given::Text(start..scratch.len()))
    }

    /// The row as conditions read it.
    fn condition_values<'r>(&self, row: &'r impl Row) -> Result<Vec<Value<'r>>, Refusal> {
        let values = self.mapping.declared.iter().map(|&(column, kind)| {
            let raw = row.get(self.columns[column].0);
            if is_null(raw) {
                return Ok(Value::Null);
            }
            condition_value(raw, kind).ok_or_else(|| self.wrong(column, &format!("no {kind}")))
        });
        values.collect()
    }

    fn wrong(&self, column: usize, what: &str) -> Refusal {
        let name = &self.mapping.columns[column].name;
        Refusal::new(RejectCode::WrongType, format!("column {name} is {what}"))
    }

    fn out_of_bounds(&self, column: usize, what: &str) -> Refusal {
        let name = &self.mapping.columns[column].name;
        Refusal::new(RejectCode::OutOfBounds, format!("column {name} is {what}"))
    }
}

/// What the rules gave for one row.
struct RowValues<'r> {
    fields: Vec<(FieldId, Given<'r>)>,
    conditions: Vec<Value<'r>>,
}

impl<'r> Given<'r> {
    fn raw<'s>(&self, scratch: &'s str) -> Raw<'s>
    where
        'r: 's,
    {
        match self {
            Given::Raw(raw) => *raw,
            Given::Text(range) => Raw::Str(&scratch[range.clone()]),
        }
    }
}

impl Constant {
    pub(super) fn raw(&self) -> Raw<'_> {
        match self {
            Constant::Int(value) => Raw::Int(*value),
            Constant::Double(value) => Raw::Double(*value),
            Constant::Bool(value) => Raw::Bool(*value),
            Constant::Str(value) => Raw::Str(value),
        }
    }
}

fn is_null(raw: Raw<'_>) -> bool {
    matches!(raw, Raw::Null | Raw::Cell("") | Raw::Str(""))
}

fn condition_value(raw: Raw<'_>, kind: Type) -> Option<Value<'_>> {
    match (kind, raw) {
        (Type::Int, Raw::Int(value)) => Some(Value::Int(value)),
        (Type::Int, Raw::Cell(text)) => parse_int(text.as_bytes()).map(Value::Int),
        (Type::Double, Raw::Int(value)) => Some(Value::Double(value as f64)),
        (Type::Double, Raw::Double(value)) => Some(Value::Double(value)),
        (Type::Double, Raw::Cell(text)) => {
            let value: f64 = text.parse().ok()?;
            value.is_finite().then_some(Value::Double(value))
        }
        (Type::Bool, Raw::Bool(value)) => Some(Value::Bool(value)),
        (Type::Bool, Raw::Cell("true")) => Some(Value::Bool(true)),
        (Type::Bool, Raw::Cell("false")) => Some(Value::Bool(false)),
        (Type::Str, Raw::Cell(text) | Raw::Str(text)) => Some(Value::Str(text)),
        _ => None,
    }
}

/// Appends a number, and says where it stands.
fn push_int(text: &mut String, value: impl itoa::Integer) -> Range<usize> {
    let start = text.len();
    text.push_str(itoa::Buffer::new().format(value));
    start..text.len()
}

/// The id of an event's label. Where the event's own is so long that this would be none, a hash
/// stands for it.
fn label_id(event: &str) -> String {
    const END: &str = "#label";
    if event.len() + END.len() <= EVENT_ID_BYTES_MAX {
        return format!("{event}{END}");
    }
    let hash = blake3::hash(event.as_bytes()).to_hex();
    format!("{}{END}", &hash[..EVENT_ID_BYTES_MAX - END.len()])
}
