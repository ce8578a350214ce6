//! The candidate terms of a text.

use std::ops::RangeInclusive;

use crate::features::text::BREAK;

/// Symbols of a term of ideographs: one alone is in too many words, and more is a sentence.
pub(super) const TERM_SYMBOLS: RangeInclusive<usize> = 2..=6;
/// Symbols of a token of letters and numbers.
const TOKEN_SYMBOLS: RangeInclusive<usize> = 2..=12;
/// The most symbols of a text that are looked at: nobody settles in an essay.
pub(super) const TEXT_SYMBOLS_MAX: usize = 64;
/// What every number is read as, so that k8 and k12 are one term.
pub(super) const NUMBER: u32 = '#' as u32;

/// A term within a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// What it is told apart by.
    pub(super) hash: u64,
    /// Its first symbol.
    pub(super) start: u8,
    /// The place after its last.
    pub(super) end: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Break,
    Number,
    Letter,
    Ideograph,
}

fn class(symbol: u32) -> Class {
    match char::from_u32(symbol) {
        _ if symbol == BREAK => Class::Break,
        _ if symbol == NUMBER => Class::Number,
        Some(c) if c.is_ascii_digit() => Class::Number,
        Some(c) if c.is_ascii_alphabetic() => Class::Letter,
        Some(c) if c.is_alphanumeric() => Class::Ideograph,
        _ => Class::Break,
    }
}

/// Makes one symbol of every number, and cuts what is too long.
pub(super) fn fold_numbers(symbols: &mut Vec<u32>) {
    let mut to = 0;
    for at in 0..symbols.len() {
        let number = class(symbols[at]) == Class::Number;
        if number && to > 0 && symbols[to - 1] == NUMBER {
            continue;
        }
        symbols[to] = if number { NUMBER } else { symbols[at] };
        to += 1;
    }
    symbols.truncate(to.min(TEXT_SYMBOLS_MAX));
}

/// The terms of a text whose numbers are folded, each once: all short stretches of ideographs,
/// tokens of letters and numbers that hold a letter, and a lone ideograph beside a number (茶3).
pub(super) fn terms(symbols: &[u32], out: &mut Vec<Term>) {
    out.clear();
    let mut start = 0;
    while start < symbols.len() {
        let kind = class(symbols[start]);
        let alike = |symbol: u32| match class(symbol) {
            Class::Break => false,
            Class::Ideograph => kind == Class::Ideograph,
            Class::Letter | Class::Number => kind != Class::Ideograph,
        };
        let mut end = start + 1;
        while end < symbols.len() && kind != Class::Break && alike(symbols[end]) {
            end += 1;
        }
        match kind {
            Class::Break => {}
            Class::Ideograph => stretches(symbols, start, end, out),
            Class::Letter | Class::Number => {
                let letters = symbols[start..end].iter().any(|at| class(*at) == Class::Letter);
                if letters && TOKEN_SYMBOLS.contains(&(end - start)) {
                    push(hash_of(&symbols[start..end]), start, end, out);
                }
            }
        }
        start = end;
    }
    lone_beside_numbers(symbols, out);
}

fn stretches(symbols: &[u32], start: usize, end: usize, out: &mut Vec<Term>) {
    for from in start..end {
        for to in from + TERM_SYMBOLS.start()..=(from + TERM_SYMBOLS.end()).min(end) {
            push(hash_of(&symbols[from..to]), from, to, out);
        }
    }
}

fn lone_beside_numbers(symbols: &[u32], out: &mut Vec<Term>) {
    let ideograph = |at: Option<usize>| {
        at.and_then(|at| symbols.get(at)).map(|s| class(*s)) == Some(Class::Ideograph)
    };
    for at in 1..symbols.len() {
        let token = match (class(symbols[at - 1]), class(symbols[at])) {
            (Class::Ideograph, Class::Number) => !ideograph(at.checked_sub(2)),
            (Class::Number, Class::Ideograph) => !ideograph(Some(at + 1)),
            _ => false,
        };
        if token {
            // 3茶 orders what 茶3 does.
            let lone = symbols[at - 1..=at].iter().find(|symbol| **symbol != NUMBER);
            let hash = hash_of(&[lone.copied().unwrap_or(NUMBER), NUMBER]);
            push(hash, at - 1, at + 1, out);
        }
    }
}

fn hash_of(symbols: &[u32]) -> u64 {
    let mut hash = 0x9E37_79B9_7F4A_7C15_u64 ^ symbols.len() as u64;
    for symbol in symbols {
        hash = (hash ^ u64::from(*symbol)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        hash ^= hash >> 32;
    }
    hash
}

fn push(hash: u64, start: usize, end: usize, out: &mut Vec<Term>) {
    if out.iter().all(|term| term.hash != hash) {
        out.push(Term { hash, start: start as u8, end: end as u8 });
    }
}

/// A term as a person reads it.
pub(super) fn spelt(symbols: &[u32]) -> String {
    symbols.iter().filter_map(|symbol| char::from_u32(*symbol)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_character_is_one_term_before_and_after_a_number() {
        let hashes = |text: &str| {
            let mut symbols: Vec<u32> = text.chars().map(u32::from).collect();
            fold_numbers(&mut symbols);
            let mut found = Vec::new();
            terms(&symbols, &mut found);
            found.iter().map(|term| term.hash).collect::<Vec<_>>()
        };
        assert_eq!(hashes("茶3"), hashes("12茶"));
        assert_ne!(hashes("茶3"), hashes("酒3"));
        assert_eq!(hashes("茶3茶").len(), 1, "once in a text");
    }

    #[test]
    fn a_text_has_these_terms() {
        let cases = [
            ("花茶", "花茶"),
            ("茶3", "茶#"),
            ("来3茶", "来# #茶"),
            ("3份花茶", "份花 份花茶 花茶"),
            ("k8 77", "k#"),
            ("d50", "d#"),
            ("vxabc99", "vxabc#"),
            ("茶", ""),
            ("123", ""),
            ("花茶花茶", "花茶 花茶花 花茶花茶 茶花 茶花茶"),
        ];
        for (text, expected) in cases {
            let mut symbols: Vec<u32> =
                text.chars().map(|c| if c == ' ' { BREAK } else { c as u32 }).collect();
            fold_numbers(&mut symbols);
            let mut found = Vec::new();
            terms(&symbols, &mut found);
            let spelt: Vec<String> = found
                .iter()
                .map(|term| spelt(&symbols[usize::from(term.start)..usize::from(term.end)]))
                .collect();
            assert_eq!(spelt.join(" "), expected, "{text}");
        }
    }
}
