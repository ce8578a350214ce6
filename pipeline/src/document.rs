//! TOML files read with their spans, so that every mistake in a file is found in one pass and
//! each is shown where it stands.
//!
//! A [`Reader`] holds the file's text and what was found wrong in it. Its accessors take a table
//! and a key, note what does not fit, and give back what does; a caller goes on with what it has
//! and at the end asks for all findings together.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Message, Severity, did_you_mean};
use crate::expr::{self, ExprError};

/// A value of a TOML file and where it stands.
pub type Node<'t> = Spanned<DeValue<'t>>;

/// A string of a TOML file and where its literal stands, quotes included.
pub type Text = Spanned<String>;

/// One TOML file being read, and what is wrong with it so far.
#[derive(Debug)]
pub struct Reader<'t> {
    file: PathBuf,
    text: &'t str,
    found: Vec<Diagnostic>,
}

impl<'t> Reader<'t> {
    /// A reader of the file's text.
    pub fn new(file: &Path, text: &'t str) -> Self {
        Reader { file: file.to_owned(), text, found: Vec::new() }
    }

    /// The root table. Mistakes of syntax are noted, and what could still be read is given.
    pub fn parse(&mut self) -> Spanned<DeTable<'t>> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let what = error.message();
            let message = Message::new(
                format!("this is not TOML: {what}"),
                format!("不符合 TOML 语法:{what}"),
            );
            let span = error.span().unwrap_or(0..0);
            self.fail("toml-syntax", span, message, None);
        }
        root
    }

    /// Notes an error at a span of the file.
    pub fn fail(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: Message,
        hint: Option<Message>,
    ) {
        self.found.push(Diagnostic {
            severity: Severity::Error,
            code,
            file: self.file.clone(),
            span: Some(span),
            message,
            hint,
        });
    }

    /// Notes the errors of an expression that is the string literal at `literal`.
    pub fn fail_expression(&mut self, literal: &Range<usize>, errors: Vec<ExprError>) {
        let located = errors.into_iter().map(|e| located(&self.file, self.text, literal, e));
        self.found.extend(located);
    }

    /// Notes every key of `table` that is none of `known`.
    pub fn known_keys(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let message =
                Message::new(format!("unknown key `{name}`"), format!("未知的键 `{name}`"));
            let hint = suggest(name, known.iter().copied());
            self.fail("unknown-key", key.span(), message, hint);
        }
    }

    /// Notes every key of `wanted` that `table` lacks; `span` is what to point at.
    pub fn required_keys(&mut self, table: &DeTable<'_>, span: Range<usize>, wanted: &[&str]) {
        for key in wanted {
            if !table.contains_key(*key) {
                let message = Message::new(format!("`{key}` is missing"), format!("缺少 `{key}`"));
                self.fail("missing-key", span.clone(), message, None);
            }
        }
    }

    /// The string at `key`, if it is there.
    pub fn string(&mut self, table: &DeTable<'_>, key: &str) -> Option<Text> {
        let node = table.get(key)?;
        self.as_string(key, node)
    }

    /// The node as a string; `key` names it in the message.
    pub fn as_string(&mut self, key: &str, node: &Node<'_>) -> Option<Text> {
        match node.get_ref() {
            DeValue::String(text) => Some(Spanned::new(node.span(), text.clone().into_owned())),
            _ => self.wrong_type(key, node, ("a string", "字符串")),
        }
    }

    /// The array of strings at `key`, if it is there; a lone string stands for an array of one.
    pub fn strings(&mut self, table: &DeTable<'_>, key: &str) -> Option<Vec<Text>> {
        let node = table.get(key)?;
        match node.get_ref() {
            DeValue::String(_) => Some(self.as_string(key, node).into_iter().collect()),
            DeValue::Array(items) => {
                Some(items.iter().filter_map(|item| self.as_string(key, item)).collect())
            }
            _ => self.wrong_type(key, node, ("an array of strings", "字符串数组")),
        }
    }

    /// The truth value at `key`, if it is there.
    pub fn boolean(&mut self, table: &DeTable<'_>, key: &str) -> Option<bool> {
        let node = table.get(key)?;
        match node.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type(key, node, ("true or false", "true 或 false")),
        }
    }

    /// The integer at `key`, if it is there, within `bounds`.
    pub fn integer(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        bounds: RangeInclusive<i64>,
    ) -> Option<i64> {
        let node = table.get(key)?;
        let value = integer_of(node.get_ref());
        if value.is_some_and(|value| bounds.contains(&value)) {
            return value;
        }
        let Some(integer) = node.get_ref().as_integer() else {
            return self.wrong_type(key, node, ("an integer", "整数"));
        };
        // One that does not fit 64 bits is told as it stands there.
        let value = value.map_or_else(|| integer.as_str().to_owned(), |value| value.to_string());
        let (low, high) = bounds.into_inner();
        let message = Message::new(
            format!("`{key}` is {value}, outside {low} to {high}"),
            format!("`{key}` 为 {value},超出 {low} 至 {high}"),
        );
        self.fail("out-of-bounds", node.span(), message, None);
        None
    }

    /// The number at `key`, if it is there.
    pub fn number(&mut self, table: &DeTable<'_>, key: &str) -> Option<Spanned<f64>> {
        let node = table.get(key)?;
        let value = match node.get_ref() {
            DeValue::Float(value) => value.as_str().replace('_', "").parse().ok(),
            value => integer_of(value).map(|value| value as f64),
        };
        match value {
            Some(value) => Some(Spanned::new(node.span(), value)),
            None => self.wrong_type(key, node, ("a number", "数字")),
        }
    }

    /// The duration at `key` in milliseconds, if it is there, within `bounds`.
    pub fn duration(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        bounds: RangeInclusive<i64>,
    ) -> Option<i64> {
        let text = self.string(table, key)?;
        let value = expr::duration(text.get_ref());
        if let Some(value) = value.filter(|value| bounds.contains(value)) {
            return Some(value);
        }
        let (low, high) = bounds.into_inner();
        let (low, high) = (expr::format_duration(low), expr::format_duration(high));
        let message = Message::new(
            format!("`{key}` is not a duration between {low} and {high}"),
            format!("`{key}` 不是 {low} 至 {high} 之间的时长"),
        );
        let hint = Message::new(
            "write a number and a unit: ms, s, m, h or d, such as \"24h\"".to_owned(),
            "写数字和单位:ms、s、m、h 或 d,例如 \"24h\"".to_owned(),
        );
        self.fail("bad-duration", text.span(), message, Some(hint));
        None
    }

    /// The table at `key`, if it is there.
    pub fn table<'d, 'n>(&mut self, table: &'d DeTable<'n>, key: &str) -> Option<&'d DeTable<'n>> {
        let node = table.get(key)?;
        self.as_table(key, node)
    }

    /// The node as a table; `key` names it in the message.
    pub fn as_table<'d, 'n>(&mut self, key: &str, node: &'d Node<'n>) -> Option<&'d DeTable<'n>> {
        match node.get_ref() {
            DeValue::Table(inner) => Some(inner),
            _ => self.wrong_type(key, node, ("a table", "表")),
        }
    }

    /// The meaning of `text`, which must be one of the named choices.
    pub fn choice<T: Copy>(&mut self, key: &str, text: &Text, choices: &[(&str, T)]) -> Option<T> {
        let name = text.get_ref().as_str();
        if let Some((_, value)) = choices.iter().find(|(choice, _)| *choice == name) {
            return Some(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
        let listed = names.join(", ");
        let message = Message::new(
            format!("`{key}` is `{name}`, not one of {listed}"),
            format!("`{key}` 为 `{name}`,只能是 {listed} 之一"),
        );
        let hint = suggest(name, names.into_iter());
        self.fail("unknown-value", text.span(), message, hint);
        None
    }

    /// Notes that the node has another type than `wanted` (in English and Chinese).
    pub fn wrong_type<T>(&mut self, key: &str, node: &Node<'_>, wanted: (&str, &str)) -> Option<T> {
        let (found, found_zh) = type_name(node.get_ref());
        let message = Message::new(
            format!("`{key}` is {found}, not {}", wanted.0),
            format!("`{key}` 是{found_zh},应为{}", wanted.1),
        );
        self.fail("wrong-type", node.span(), message, None);
        None
    }

    /// The number of mistakes found so far.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// What is wrong with the file, in the order of the text.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|finding| finding.span.as_ref().map_or(0, |span| span.start));
        self.found
    }
}

/// A "did you mean" hint, if some candidate is close to `name`.
pub fn suggest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<Message> {
    let close = did_you_mean(name, candidates)?;
    Some(Message::new(format!("did you mean `{close}`?"), format!("是否想写 `{close}`?")))
}

/// An expression's error as a finding of the file whose string literal at `literal` it is.
pub fn located(file: &Path, text: &str, literal: &Range<usize>, error: ExprError) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: error.code,
        file: file.to_owned(),
        span: Some(span_within(text, literal, &error.span)),
        message: error.message,
        hint: error.hint,
    }
}

/// Where the bytes `within` of a decoded string stand in the file: `literal` is the span of its
/// literal there, quotes included. Escapes and the newline after an opening `"""` are counted.
pub fn span_within(text: &str, literal: &Range<usize>, within: &Range<usize>) -> Range<usize> {
    let raw = &text[literal.clone()];
    let basic = raw.starts_with('"');
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
    if raw.len() < 2 * quotes || !(basic || raw.starts_with('\'')) {
        return literal.clone();
    }
    let mut body = quotes..raw.len() - quotes;
    if quotes == 3 {
        let rest = &raw[body.clone()];
        let skipped =
            if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
        body.start += skipped;
    }
    let place =
        |wanted: usize| literal.start + body.start + raw_offset(&raw[body.clone()], wanted, basic);
    let start = place(within.start);
    start..place(within.end).max(start)
}

/// The offset in a literal's body at which the decoded string has `wanted` bytes.
fn raw_offset(body: &str, wanted: usize, basic: bool) -> usize {
    let mut decoded = 0;
    let mut rest = body.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        if decoded >= wanted {
            return at;
        }
        if c != '\\' || !basic {
            decoded += c.len_utf8();
            continue;
        }
        match rest.next() {
            Some((from, kind @ ('x' | 'u' | 'U'))) => {
                let digits = match kind {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let code = body.get(from + 1..from + 1 + digits).unwrap_or_default();
                let c = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
                decoded += c.map_or(1, char::len_utf8);
                for _ in 0..digits {
                    rest.next();
                }
            }
            // A backslash at the end of a line swallows the blanks that follow.
            Some((_, '\n' | '\r' | ' ' | '\t')) => {
                while rest.next_if(|(_, c)| c.is_ascii_whitespace()).is_some() {}
            }
            _ => decoded += 1,
        }
    }
    body.len()
}

/// A TOML integer that fits 64 bits.
pub fn integer_of(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

fn type_name(value: &DeValue<'_>) -> (&'static str, &'static str) {
    match value {
        DeValue::String(_) => ("a string", "字符串"),
        DeValue::Integer(_) => ("an integer", "整数"),
        DeValue::Float(_) => ("a number with a fraction", "小数"),
        DeValue::Boolean(_) => ("a truth value", "真假值"),
        DeValue::Datetime(_) => ("a date", "日期"),
        DeValue::Array(_) => ("an array", "数组"),
        DeValue::Table(_) => ("a table", "表"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_string_is_found_in_the_file() {
        let rows = [
            (r#"when = "a + b""#, "b"),
            (r#"when = 'a + b'"#, "b"),
            (r#"when = "\"x\" == \u4e2d b""#, "b"),
            ("when = \"\"\"\na\n+ b\"\"\"", "b"),
            ("when = '''\r\na\n+ b'''", "b"),
            ("when = \"\"\"a \\\n   + b\"\"\"", "b"),
            (r#"when = "中文 b""#, "b"),
        ];
        for (text, wanted) in rows {
            let mut reader = Reader::new(Path::new("t.toml"), text);
            let root = reader.parse();
            let literal = reader.string(root.get_ref(), "when").unwrap();
            let at = literal.get_ref().rfind(wanted).unwrap();
            let span = span_within(text, &literal.span(), &(at..at + wanted.len()));
            assert_eq!(&text[span.clone()], wanted, "{text}");
            assert_eq!(span.start, text.rfind(wanted).unwrap(), "{text}");
        }
    }
}
