//! The words of an expression.

use std::ops::Range;

use super::ExprError;
use super::parse::{Parsed, error};
use crate::diagnostic::Message;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// Without its sign: 2^63 is a token, because -2^63 is an integer.
    Int(u64),
    Double(f64),
    Str(String),
    /// A name, with its dots.
    Name(String),
    Mark(&'static str),
}

/// Longer marks first, so that `<=` is not read as `<`.
const MARKS: [&str; 22] = [
    "&&", "||", "==", "!=", "<=", ">=", "??", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":",
    "(", ")", "[", "]", ",",
];

pub(super) type Spanned = (Token, Range<usize>);

/// The tokens of an expression with their places, up to the first that is none.
pub(super) fn tokens(source: &str) -> Parsed<Vec<Spanned>> {
    let bytes = source.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'0'..=b'9' => {
                let (token, end) = number(source, at)?;
                tokens.push((token, start..end));
                at = end;
            }
            quote @ (b'\'' | b'"') => {
                let (text, end) = string(source, at, quote)?;
                tokens.push((Token::Str(text), start..end));
                at = end;
            }
            byte if is_name_start(byte) => {
                at += name_len(&bytes[at..]);
                tokens.push((Token::Name(source[start..at].to_owned()), start..at));
            }
            b'.' if bytes.get(at + 1).is_some_and(|byte| is_name_start(*byte)) => {
                // A method after a closing bracket or a string: the name keeps its dot.
                at += 1 + name_len(&bytes[at + 1..]);
                tokens.push((Token::Name(source[start..at].to_owned()), start..at));
            }
            _ => match MARKS.iter().find(|mark| source[at..].starts_with(**mark)) {
                Some(mark) => {
                    at += mark.len();
                    tokens.push((Token::Mark(mark), start..at));
                }
                None => {
                    let character = source[at..].chars().next().unwrap_or(' ');
                    let span = at..at + character.len_utf8();
                    return Err(Box::new(ExprError {
                        code: "unexpected-character",
                        span,
                        message: Message::new(
                            format!("unexpected character {character:?}"),
                            format!("意外的字符 {character:?}"),
                        ),
                        hint: mark_hint(character),
                    }));
                }
            },
        }
    }
    Ok(tokens)
}

/// The ASCII mark that was meant where an input method wrote a wide one, and the words of other
/// languages for a CEL mark.
fn mark_hint(character: char) -> Option<Message> {
    let narrow = match character {
        '\u{ff01}' => "!",
        '\u{ff05}' => "%",
        '\u{ff08}' => "(",
        '\u{ff09}' => ")",
        '\u{ff0a}' => "*",
        '\u{ff0b}' => "+",
        '\u{ff0c}' | '\u{3001}' => ",",
        '\u{ff0d}' => "-",
        '\u{ff0e}' | '\u{3002}' => ".",
        '\u{ff0f}' => "/",
        '\u{ff1a}' => ":",
        '\u{ff1c}' => "<",
        '\u{ff1e}' => ">",
        '\u{ff1f}' => "?",
        '\u{ff3b}' | '\u{3010}' => "[",
        '\u{ff3d}' | '\u{3011}' => "]",
        '\u{3000}' => " ",
        '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '\u{ff07}' | '\u{ff02}' => "'",
        '\u{2264}' => "<=",
        '\u{2265}' => ">=",
        '\u{2260}' => "!=",
        '&' | '\u{ff06}' => "&&",
        '|' | '\u{ff5c}' => "||",
        '=' | '\u{ff1d}' => "==",
        _ => return None,
    };
    Some(Message::new(format!("write `{narrow}`"), format!("请写半角 `{narrow}`")))
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

/// The length of a name and its dotted parts.
fn name_len(bytes: &[u8]) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut at = bytes.iter().take_while(|byte| is_part(byte)).count();
    while bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(|b| is_name_start(*b)) {
        at += 1;
        at += bytes[at..].iter().take_while(|byte| is_part(byte)).count();
    }
    at
}

fn number(source: &str, start: usize) -> Parsed<(Token, usize)> {
    let bytes = source.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = start + digits(start);
    let mut is_double = false;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        is_double = true;
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits((end + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            is_double = true;
            end += 1 + sign + exponent;
        }
    }
    if bytes.get(end).is_some_and(|byte| is_name_start(*byte)) {
        let tail = name_len(&bytes[end..]);
        let mut error = error(
            "bad-number",
            start..end + tail,
            "a number cannot be followed by letters",
            "数字后面不能紧跟字母",
        );
        error.hint = Some(Message::new(
            "write yuan(5000) or duration('24h') for a number with a unit",
            "带单位的数请写成 yuan(5000) 或 duration('24h')",
        ));
        return Err(error);
    }
    let text = &source[start..end];
    let token = if is_double {
        text.parse().ok().filter(|value: &f64| value.is_finite()).map(Token::Double)
    } else {
        text.parse().ok().map(Token::Int)
    };
    token.map(|token| (token, end)).ok_or_else(|| number_too_large(start..end))
}

/// The mistake of a number that no 64 bits hold.
pub(super) fn number_too_large(span: Range<usize>) -> Box<ExprError> {
    error("bad-number", span, "the number does not fit 64 bits", "该数超出 64 位")
}

fn string(source: &str, start: usize, quote: u8) -> Parsed<(String, usize)> {
    let mut text = String::new();
    let mut characters = source[start + 1..].char_indices();
    while let Some((offset, character)) = characters.next() {
        let at = start + 1 + offset;
        if character == char::from(quote) {
            return Ok((text, at + 1));
        }
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some((_, 'n')) => text.push('\n'),
            Some((_, 'r')) => text.push('\r'),
            Some((_, 't')) => text.push('\t'),
            Some((_, escaped @ ('\\' | '\'' | '"'))) => text.push(escaped),
            escaped => {
                let end = escaped.map_or(at + 1, |(_, character)| at + 1 + character.len_utf8());
                return Err(error("bad-escape", at..end, "unknown escape", "未知的转义"));
            }
        }
    }
    let (en, zh) = ("the string is not closed", "字符串没有结束");
    Err(error("open-string", start..source.len(), en, zh))
}
