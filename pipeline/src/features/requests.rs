//! The requests of a slice of events to a declared family.

use std::rc::Rc;

use super::plan::{Carried, Family, Form, Source};
use crate::event::{Chunk, Column, FieldId, NULL_INT, Type};
use crate::keyed::{Addressing, Key, NULL_TEXT, Requests, halves};

/// Keys of a slice's values by source, each computed once.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    columns: Vec<(Source, Rc<[Key]>)>,
}

impl Keys {
    /// The keys of a field's values, row by row.
    pub(crate) fn of(&mut self, chunk: &Chunk, field: FieldId) -> Rc<[Key]> {
        let at = self.column(chunk, Source::Field(field));
        self.columns[at].1.clone()
    }

    /// Takes the keys of a source that the events themselves do not say.
    pub(crate) fn put(&mut self, source: Source, keys: Rc<[Key]>) {
        self.columns.push((source, keys));
    }

    fn column(&mut self, chunk: &Chunk, source: Source) -> usize {
        if let Some(at) = self.columns.iter().position(|(held, _)| *held == source) {
            return at;
        }
        let keys = (0..chunk.len()).map(|row| key_of(chunk, source, row)).collect();
        self.columns.push((source, keys));
        self.columns.len() - 1
    }

    fn joined<'k>(&'k self, columns: &'k [usize]) -> impl Fn(usize) -> Key + 'k {
        move |row| {
            let key = |column: &usize| self.columns[*column].1[row];
            let first = columns.first().map_or(Key::NULL, key);
            columns.iter().skip(1).map(key).fold(first, Key::join)
        }
    }
}

/// The key of one value; the cluster's is put beside, or there are no clusters.
pub(crate) fn key_of(chunk: &Chunk, source: Source, row: usize) -> Key {
    match source {
        Source::Payer => Key::of(chunk.payer(row).as_bytes()),
        Source::Payee => Key::of(chunk.payee(row).as_bytes()),
        Source::Cluster => Key::NULL,
        Source::Field(field) => match chunk.column(field) {
            Column::Int(values) if values[row] != NULL_INT => Key::of(&values[row].to_le_bytes()),
            Column::Double(values) if !values[row].is_nan() => {
                Key::of(&(values[row] + 0.0).to_bits().to_le_bytes())
            }
            Column::Bool(values) if values[row] < 2 => Key::of(&[values[row]]),
            Column::Int(_) | Column::Double(_) | Column::Bool(_) => Key::NULL,
            Column::Absent | Column::Str(_) => Key::of(chunk.str(field, row).as_bytes()),
        },
    }
}

/// The requests of a slice to one family, a batch for each worker, the empty ones too: they tell
/// the worker that nothing is missing.
///
/// `passes(condition, row)` says whether a stream's condition holds.
pub(crate) fn requests(
    family: &Family,
    chunk: &Chunk,
    effective: &[i64],
    keys: &mut Keys,
    to: &Addressing,
    passes: &dyn Fn(usize, usize) -> bool,
) -> Vec<Requests> {
    let mut batches = Requests::batches(to, chunk.len(), family.words());
    let columns: Vec<usize> = family.key.iter().map(|&key| keys.column(chunk, key)).collect();
    let looked_up: Vec<Vec<usize>> = family
        .lookups
        .iter()
        .map(|lookup| lookup.at.iter().map(|&at| keys.column(chunk, at)).collect())
        .collect();
    let carried: Vec<(Carried, usize)> = family
        .carried
        .iter()
        .map(|carried| match carried.form {
            Form::Hash => (*carried, keys.column(chunk, carried.source)),
            _ => (*carried, 0),
        })
        .collect();
    let key = keys.joined(&columns);
    let at: Vec<_> = looked_up.iter().map(|columns| keys.joined(columns)).collect();
    let mut wanted: Vec<(Key, u32)> = Vec::new();
    for (row, &time) in effective.iter().enumerate() {
        let kind = chunk.kind(row);
        let mut streams = 0;
        for (bit, stream) in family.streams.iter().enumerate() {
            let holds = stream.over.contains(kind)
                && stream.where_.as_ref().is_none_or(|condition| passes(condition.index, row))
                && stream.non_null.is_none_or(|word| is_present(family, chunk, word, row));
            streams |= u32::from(holds) << bit;
        }
        let filed = if streams == 0 { Key::NULL } else { key(row) };
        wanted.clear();
        if filed != Key::NULL {
            wanted.push((filed, 0));
        }
        if kind.is_transaction() {
            for (bit, at) in at.iter().enumerate() {
                let under = at(row);
                match wanted.iter_mut().find(|(key, _)| *key == under) {
                    _ if under == Key::NULL => {}
                    Some((_, lookups)) => *lookups |= 1 << bit,
                    None => wanted.push((under, 1 << bit)),
                }
            }
        }
        for &(key, lookups) in &wanted {
            let batch = &mut batches[key.group() % to.peers];
            let streams = if key == filed { streams } else { 0 };
            batch.push(row, key, time, streams, lookups);
            if streams != 0 {
                for (carried, column) in &carried {
                    batch.carry(chunk, keys, carried, *column, row);
                }
            }
        }
    }
    batches
}

fn is_present(family: &Family, chunk: &Chunk, word: usize, row: usize) -> bool {
    let source = family.carried.iter().find(|carried| carried.word == word);
    source.is_some_and(|carried| key_of(chunk, carried.source, row) != Key::NULL)
}

impl Requests {
    fn carry(&mut self, chunk: &Chunk, keys: &Keys, carried: &Carried, column: usize, row: usize) {
        let int = || match carried.source {
            Source::Field(field) => chunk.int(field, row),
            Source::Payer | Source::Payee | Source::Cluster => NULL_INT,
        };
        match carried.form {
            Form::Int => self.words.push(int() as u64),
            Form::Hash => {
                self.words.extend(halves(keys.columns[column].1[row].hash));
            }
            Form::Remainder(divisor) => {
                let value = int();
                let null = value == NULL_INT;
                let remainder = if null { 0 } else { (value % divisor) as u64 };
                // A one in the high word tells a remainder of zero from null.
                self.words.extend([spread(remainder), u64::from(!null)]);
            }
            Form::Exact(kind) => {
                let word = self.exact(chunk, carried.source, kind, row);
                self.words.push(word);
            }
        }
    }

    fn exact(&mut self, chunk: &Chunk, source: Source, kind: Type, row: usize) -> u64 {
        let text = match (source, kind) {
            (Source::Payer, _) => chunk.payer(row),
            (Source::Payee, _) => chunk.payee(row),
            (Source::Cluster, _) => unreachable!("a declaration keeps no text of a cluster"),
            (Source::Field(field), Type::Str) => chunk.str(field, row),
            (Source::Field(field), _) => return word_of(chunk, field, row),
        };
        if text.is_empty() {
            return NULL_TEXT;
        }
        self.texts.push(text);
        (self.texts.len() - 1) as u64
    }
}

fn word_of(chunk: &Chunk, field: FieldId, row: usize) -> u64 {
    match chunk.column(field) {
        Column::Int(values) => values[row] as u64,
        Column::Double(values) => values[row].to_bits(),
        Column::Bool(values) => u64::from(values[row]),
        Column::Str(_) => NULL_TEXT,
        Column::Absent => null_word(chunk.schema().field(field).kind),
    }
}

/// The word that stands for null in a value of that type.
pub(crate) fn null_word(kind: Type) -> u64 {
    match kind {
        Type::Int => NULL_INT as u64,
        Type::Double => f64::NAN.to_bits(),
        Type::Bool => 2,
        Type::Str => NULL_TEXT,
    }
}

/// Spreads a small number over 64 bits, for maps that index by the low bits; it is one to one.
fn spread(value: u64) -> u64 {
    value.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
