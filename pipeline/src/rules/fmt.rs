//! `rules fmt`: expressions in their one normal spelling, keys in one order; comments are kept.

use toml_edit::{DocumentMut, Item, Table, Value};

use super::file::KEYS;
use crate::expr;

/// A rule or feature file, formatted. Text that is not TOML is an error with its message.
pub fn format(text: &str) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error| format!("{error}"))?;
    let root = document.as_table_mut();
    expressions(root);
    if root.contains_key("when") {
        root.sort_values_by(|left, _, right, _| place(left.get()).cmp(&place(right.get())));
    }
    let formatted = document.to_string();
    let lines: Vec<&str> = formatted.lines().map(str::trim_end).collect();
    Ok(format!("{}\n", lines.join("\n").trim_end()))
}

fn place(key: &str) -> usize {
    KEYS.iter().position(|held| *held == key).unwrap_or(KEYS.len())
}

fn expressions(table: &mut Table) {
    for (key, item) in table.iter_mut() {
        match item {
            Item::Table(inner) => expressions(inner),
            Item::Value(Value::String(text)) if ["when", "where", "expr"].contains(&key.get()) => {
                // A condition that was broken into lines was broken for its reader.
                if text.value().contains('\n') {
                    continue;
                }
                if let Ok(ast) = expr::parse(text.value()) {
                    let decor = text.decor().clone();
                    let canonical = ast.canonical();
                    if canonical != *text.value() {
                        *text = toml_edit::Formatted::new(canonical);
                        *text.decor_mut() = decor;
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_and_order_are_made_normal_and_comments_kept() {
        let text = "# why\nscore = 3\nwhen = \"a>=1&&b\"   # the heart\ntitle = \"t\"\n\n[params]\nx = 1\n";
        let formatted = format(text).unwrap();
        assert!(formatted.contains("when = \"a >= 1 && b\"   # the heart"), "{formatted}");
        assert!(formatted.find("title").unwrap() < formatted.find("when").unwrap());
        assert!(formatted.contains("# why"));
        assert_eq!(format(&formatted).unwrap(), formatted, "formatting twice changes nothing");
    }
}
