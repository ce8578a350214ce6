//! Reasons: a text with the values of the event in it, such as
//! `"{funds.payee.fan_in_24h} collected from {funds.payee.groups_24h} groups"`.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Lang, Message};
use crate::event::Value;
use crate::expr::{self, Environment, ExprError, Program, Unit, Zone};

/// A reason ready to be filled in.
#[derive(Clone, Debug, Default)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Value(Program, Unit),
    Moment(Program, Arc<Zone>),
}

/// A piece of a reason as written: text, or the name in braces and where it stands.
enum Written {
    Text(String),
    Name(String, Range<usize>),
}

impl Template {
    /// A reason in which every name in braces must be known. `{{` and `}}` stand for one brace.
    pub fn compile(text: &str, environment: &Environment<'_>) -> Result<Self, Vec<ExprError>> {
        let mut pieces = Vec::new();
        let mut wrong = Vec::new();
        for piece in split(text)? {
            match piece {
                Written::Text(text) => pieces.push(Piece::Text(text)),
                Written::Name(name, span) => match value(&name, environment) {
                    Ok(piece) => pieces.push(piece),
                    Err(errors) => wrong
                        .extend(errors.into_iter().map(|e| ExprError { span: span.clone(), ..e })),
                },
            }
        }
        if wrong.is_empty() { Ok(Template { pieces }) } else { Err(wrong) }
    }

    /// Appends the text with the row's values filled in.
    pub fn fill(&self, row: &[Value<'_>], lang: Lang, out: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value(program, unit) => match program.value(row) {
                    Ok(value) => write_value(value, *unit, lang, out),
                    Err(_) => out.push_str(unknown(lang)),
                },
                Piece::Moment(program, zone) => match program.value(row) {
                    Ok(Value::Int(time)) => out.push_str(&zone.moment(time)),
                    _ => out.push_str(unknown(lang)),
                },
            }
        }
    }
}

fn value(name: &str, environment: &Environment<'_>) -> Result<Piece, Vec<ExprError>> {
    let program = expr::compile(&expr::parse(name)?, environment)?;
    Ok(match environment.params.get(name) {
        Some(param) => Piece::Value(program, param.unit),
        None if environment.names.is_moment(name) => {
            Piece::Moment(program, environment.zone.clone())
        }
        None => Piece::Value(program, environment.names.unit(name)),
    })
}

fn unknown(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "unknown",
        Lang::Zh => "未知",
    }
}

/// A value as a person reads it: money in yuan, durations with units, two decimals.
pub fn write_value(value: Value<'_>, unit: Unit, lang: Lang, out: &mut String) {
    let whole = match value {
        Value::Int(value) => Some(value),
        Value::Double(value) if unit != Unit::None => Some(value.round() as i64),
        _ => None,
    };
    if let (Unit::None, Some(value)) = (unit, whole) {
        out.push_str(itoa::Buffer::new().format(value));
        return;
    }
    // Writing to a string cannot fail.
    let _ = match (unit, whole, value) {
        (Unit::Yuan, Some(fen), _) => match lang {
            Lang::En => write!(out, "{} yuan", expr::format_yuan(fen)),
            Lang::Zh => write!(out, "{}元", expr::format_yuan(fen)),
        },
        (Unit::Duration, Some(ms), _) => write!(out, "{}", expr::format_duration(ms)),
        (_, _, Value::Double(value)) => write!(out, "{value:.2}"),
        (_, _, Value::Bool(value)) => write!(out, "{value}"),
        (_, _, Value::Str(text)) => write!(out, "{text}"),
        _ => write!(out, "{}", unknown(lang)),
    };
}

fn split(text: &str) -> Result<Vec<Written>, Vec<ExprError>> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        match c {
            '{' | '}' if rest.next_if(|(_, next)| *next == c).is_some() => plain.push(c),
            '{' => {
                let end = text[at..].find('}').map(|length| at + length);
                let Some(end) = end else { return Err(vec![unclosed(at..text.len())]) };
                let name = text[at + 1..end].trim();
                if name.is_empty() || !name.split('.').all(is_part) {
                    return Err(vec![not_a_name(name, at..end + 1)]);
                }
                if !plain.is_empty() {
                    pieces.push(Written::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Written::Name(name.to_owned(), at + 1..end));
                while rest.next_if(|(next, _)| *next <= end).is_some() {}
            }
            '}' => return Err(vec![unclosed(at..at + 1)]),
            c => plain.push(c),
        }
    }
    if !plain.is_empty() {
        pieces.push(Written::Text(plain));
    }
    Ok(pieces)
}

fn is_part(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn unclosed(span: Range<usize>) -> ExprError {
    let message = Message::new("a brace without its other half", "花括号不成对");
    let hint = Message::new(
        "a name stands in {braces}; a brace itself is written twice",
        "名称写在 {花括号} 中;花括号本身要写两次",
    );
    ExprError { code: "unmatched-brace", span, message, hint: Some(hint) }
}

fn not_a_name(name: &str, span: Range<usize>) -> ExprError {
    let message = Message::new(
        format!("`{name}` is not the name of a value"),
        format!("`{name}` 不是值的名称"),
    );
    let hint = Message::new(
        "declare a feature with `expr` for a computed value",
        "计算得到的值请用 `expr` 声明为特征",
    );
    ExprError { code: "not-a-name", span, message, hint: Some(hint) }
}
