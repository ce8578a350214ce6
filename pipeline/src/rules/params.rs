//! Parameters of a rule: values with units, and other values where a field or feature says so.
//!
//! ```toml
//! [params]
//! min_in = "5000 yuan"                 # or "24h", a number, a truth value, a text
//! [params.by."group.type"]
//! business = { min_in = "20000 yuan" }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::diagnostic::Message;
use crate::document::{Node, Reader, integer_of, suggest};
use crate::expr::{self, Constant, Param, Unit};

/// The parameters of a rule and where each is named.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// By name.
    pub values: BTreeMap<String, Param>,
    /// Where the names stand in the file.
    pub spans: BTreeMap<String, Range<usize>>,
    /// Where their values stand in the file.
    pub value_spans: BTreeMap<String, Range<usize>>,
    /// The names of those whose value is wrong, which is noted.
    pub broken: BTreeSet<String>,
    /// Where the names after `params.by` stand in the file.
    pub by_spans: BTreeMap<String, Range<usize>>,
    /// Each value of such a name for which parameters differ, and where it stands in the file.
    pub by_values: Vec<(String, String, Range<usize>)>,
}

/// Reads the table `[params]`.
pub(super) fn parse<'t>(reader: &mut Reader<'t>, table: &DeTable<'t>) -> Params {
    let mut params = Params::default();
    for (key, node) in table {
        let name: &str = key.get_ref();
        if name == "by" {
            continue;
        }
        if !is_name(name) {
            let message = Message::new(
                format!("`{name}` cannot be the name of a parameter"),
                format!("`{name}` 不能作为参数名"),
            );
            let hint = Message::new(
                "use a-z, 0-9 and _, beginning with a letter",
                "使用 a-z、0-9 和 _,以字母开头",
            );
            reader.fail("bad-param-name", key.span(), message, Some(hint));
        }
        let Some((default, unit)) = value(reader, name, node) else {
            params.broken.insert(name.to_owned());
            continue;
        };
        params.values.insert(name.to_owned(), Param { default, unit, by: None });
        params.spans.insert(name.to_owned(), key.span());
        params.value_spans.insert(name.to_owned(), node.span());
    }
    if let Some(by) = reader.table(table, "by") {
        for (key, node) in by {
            params.by_spans.insert(key.get_ref().clone().into_owned(), key.span());
            if let Some(values) = reader.as_table(key.get_ref(), node) {
                parse_by(reader, key.get_ref(), values, &mut params);
            }
        }
    }
    params
}

/// The table `[params.by."field"]`: a value of the field, then the parameters that it changes.
fn parse_by<'t>(reader: &mut Reader<'t>, field: &str, table: &DeTable<'t>, params: &mut Params) {
    for (when, node) in table {
        let Some(changes) = reader.as_table(when.get_ref(), node) else { continue };
        let case = (field.to_owned(), when.get_ref().clone().into_owned(), when.span());
        params.by_values.push(case);
        for (key, node) in changes {
            let name: &str = key.get_ref();
            if params.broken.contains(name) {
                continue;
            }
            let Some(param) = params.values.get_mut(name) else {
                let message = Message::new(
                    format!("there is no parameter `{name}` to give another value"),
                    format!("没有参数 `{name}` 可供改写"),
                );
                let hint = suggest(name, params.values.keys().map(String::as_str));
                reader.fail("unknown-param", key.span(), message, hint);
                continue;
            };
            let Some((changed, unit)) = value(reader, name, node) else { continue };
            if changed.kind() != param.default.kind() || unit != param.unit {
                let message = Message::new(
                    format!("`{name}` has another type or unit here than in [params]"),
                    format!("`{name}` 在此处的类型或单位与 [params] 中不同"),
                );
                reader.fail("other-unit", node.span(), message, None);
                continue;
            }
            let (held, values) = param.by.get_or_insert_with(|| (field.to_owned(), Vec::new()));
            if held != field {
                let message = Message::new(
                    format!("`{name}` depends on `{held}` already, and cannot on `{field}` too"),
                    format!("`{name}` 已取决于 `{held}`,不能再取决于 `{field}`"),
                );
                reader.fail("two-dependencies", key.span(), message, None);
                continue;
            }
            values.push((when.get_ref().clone().into_owned(), changed));
        }
    }
}

/// A parameter's value: `"5000 yuan"`, `"24h"`, a number, a truth value or a text.
pub(super) fn value(
    reader: &mut Reader<'_>,
    key: &str,
    node: &Node<'_>,
) -> Option<(Constant, Unit)> {
    match node.get_ref() {
        DeValue::Boolean(value) => Some((Constant::Bool(*value), Unit::None)),
        DeValue::Integer(_) => match integer_of(node.get_ref()) {
            Some(value) => Some((Constant::Int(value), Unit::None)),
            None => reader.wrong_type(key, node, ("an integer of 64 bits", "64 位整数")),
        },
        DeValue::Float(value) => match value.as_str().replace('_', "").parse::<f64>() {
            Ok(value) if value.is_finite() => Some((Constant::Double(value), Unit::None)),
            _ => reader.wrong_type(key, node, ("a finite number", "有限的数")),
        },
        DeValue::String(text) => {
            let value = quantity(text);
            if value.is_none() {
                let message = Message::new(
                    format!("`{text}` has no unit that is known"),
                    format!("`{text}` 的单位未知"),
                );
                reader.fail("unknown-unit", node.span(), message, Some(unit_hint()));
            }
            value
        }
        _ => reader.wrong_type(key, node, ("a value", "单个值")),
    }
}

/// How quantities are written.
pub(super) fn unit_hint() -> Message {
    Message::new(
        "write an amount as \"5000 yuan\" and a duration as \"24h\" (ms, s, m, h, d)",
        "金额写作 \"5000 yuan\",时长写作 \"24h\"(ms、s、m、h、d)",
    )
}

/// A text as a value; none where it is a number with a unit that is not known.
pub(super) fn quantity(text: &str) -> Option<(Constant, Unit)> {
    let text = text.trim();
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-');
    let unit = number.map_or("", |at| text[at..].trim());
    let number = number.map_or("", |at| text[..at].trim());
    if unit == "yuan" {
        let fen = expr::yuan(number)?;
        return Some((Constant::Int(fen), Unit::Yuan));
    }
    if let Some(ms) = expr::duration(&text.replace(' ', "")) {
        return Some((Constant::Int(ms), Unit::Duration));
    }
    let looks_like_a_unit = !unit.is_empty() && unit.chars().all(|c| c.is_ascii_alphabetic());
    if !number.is_empty() && number != "-" && looks_like_a_unit {
        return None;
    }
    Some((Constant::Str(text.to_owned()), Unit::None))
}

/// Whether an expression can use this as a plain name.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && name.chars().all(plain)
}

/// One normal form of a parameter.
pub(super) fn canonical(param: &Param) -> String {
    let mut out = format!("{:?} {}", param.unit, canonical_constant(&param.default));
    if let Some((field, values)) = &param.by {
        let mut values: Vec<String> = values
            .iter()
            .map(|(when, value)| format!("{when:?}:{}", canonical_constant(value)))
            .collect();
        values.sort();
        out.push_str(&format!(" by {field:?} {}", values.join(",")));
    }
    out
}

fn canonical_constant(value: &Constant) -> String {
    match value {
        Constant::Int(value) => format!("int {value}"),
        Constant::Double(value) => format!("double {:016x}", value.to_bits()),
        Constant::Bool(value) => format!("bool {value}"),
        Constant::Str(value) => format!("string {value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        let rows = [
            ("5000 yuan", Some((Constant::Int(500_000), Unit::Yuan))),
            ("0.01 yuan", Some((Constant::Int(1), Unit::Yuan))),
            ("24h", Some((Constant::Int(86_400_000), Unit::Duration))),
            ("1h 30m", Some((Constant::Int(5_400_000), Unit::Duration))),
            ("wechat", Some((Constant::Str("wechat".into()), Unit::None))),
            ("100-6", Some((Constant::Str("100-6".into()), Unit::None))),
            ("330100", Some((Constant::Str("330100".into()), Unit::None))),
            ("5000 yaun", None),
            ("0.001 yuan", None),
            ("7days", None),
        ];
        for (text, value) in rows {
            assert_eq!(quantity(text), value, "{text}");
        }
    }
}
