//! `rules fmt`: one order of keys, one spacing and one spelling of expressions; comments stay with what
//! they stand at, and those at the head of a rule at its head.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Key, RawString, Table, TableLike, Value};

use super::file::RULE_KEYS;
use super::files::DIMENSIONS;
use super::timeline::{EXPECT_KEYS, TEST_KEYS};
use crate::expr;
use crate::features::declare::FEATURE_KEYS;

/// Keys whose values are expressions.
const EXPRESSION_KEYS: [&str; 3] = ["when", "where", "expr"];

/// The TOML files of a rules directory: its parts, then its rules.
pub fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = toml_files(directory)?;
    for dimension in DIMENSIONS {
        let folder = directory.join(dimension);
        if folder.is_dir() {
            files.extend(toml_files(&folder)?);
        }
    }
    Ok(files)
}

fn toml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<io::Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.is_file() && path.extension().is_some_and(|held| held == "toml"));
    paths.sort();
    Ok(paths)
}

/// The text of a file of a rules directory as it should be written; none where it is not TOML or
/// of no kind that has an order. `path` is below the rules directory.
pub fn format(path: &Path, text: &str) -> Option<String> {
    // By its first line an editor knows the schema: it is no comment of the key below it.
    let schema = text.split_inclusive('\n').next().filter(|line| line.starts_with("#:schema"));
    let (schema, text) = text.split_at(schema.map_or(0, str::len));
    let mut document: DocumentMut = text.parse().ok()?;
    match path.to_str()? {
        // Its comments stand in a column of their own.
        "policy.toml" => return Some(ended(format!("{schema}{document}"))),
        "conditions.toml" => spell_all(&mut document),
        "features.toml" => order_features(document.as_table_mut()),
        _ => order_rule(&mut document),
    }
    space(document.as_table_mut());
    Some(ended(format!("{schema}{document}")))
}

/// One newline at the end, whatever the editor left.
fn ended(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn order_rule(document: &mut DocumentMut) {
    let root = document.as_table_mut();
    let head = take_head(root);
    root.sort_values_by(|a, _, b, _| by_place(RULE_KEYS, a, b));
    put_head(root, &head);
    spell(root);
    if let Some(tests) = root.get_mut("test").and_then(Item::as_array_of_tables_mut) {
        for test in tests.iter_mut() {
            test.sort_values_by(|a, _, b, _| by_place(TEST_KEYS, a, b));
            // Values that are spread over lines would leave their blanks and comments behind.
            if let Some(Value::InlineTable(expect)) =
                test.get_mut("expect").and_then(Item::as_value_mut)
                && !expect.to_string().trim().contains('\n')
            {
                expect.sort_values_by(|a, _, b, _| by_place(EXPECT_KEYS, a, b));
            }
        }
    }
}

/// Takes off the first key the comments that are the file's: those before a blank line, or all.
fn take_head(root: &mut Table) -> String {
    let Some((mut key, Item::Value(_))) = root.iter_mut().next() else { return String::new() };
    let prefix = text(key.leaf_decor().prefix());
    let end = prefix.rfind("\n\n").map_or(prefix.len(), |at| at + 2);
    let (head, own) = prefix.split_at(end);
    if !head.contains('#') {
        return String::new();
    }
    key.leaf_decor_mut().set_prefix(own);
    head.to_owned()
}

fn put_head(root: &mut Table, head: &str) {
    let Some((mut key, _)) = root.iter_mut().next() else { return };
    let own = text(key.leaf_decor().prefix());
    key.leaf_decor_mut().set_prefix(format!("{head}{own}"));
}

fn text(raw: Option<&RawString>) -> String {
    raw.and_then(RawString::as_str).unwrap_or("").to_owned()
}

/// One blank on each side of `=`, and between the items of what stands on one line.
fn space(table: &mut Table) {
    for (mut key, item) in table.iter_mut() {
        match item {
            Item::Value(value) => {
                let before = text(key.leaf_decor().prefix());
                if !before.contains('#') {
                    key.leaf_decor_mut().set_prefix("\n".repeat(before.matches('\n').count()));
                }
                key.leaf_decor_mut().set_suffix(" ");
                space_value(value);
                let after = text(value.decor().suffix());
                let comment = after.find('#').map_or("", |at| if at == 0 { " " } else { "" });
                let after = if after.contains('#') { after.trim_end() } else { "" };
                *value.decor_mut() = toml_edit::Decor::new(" ", format!("{comment}{after}"));
            }
            Item::Table(inner) => space(inner),
            Item::ArrayOfTables(tables) => tables.iter_mut().for_each(space),
            Item::None => {}
        }
    }
}

/// What an author spread over lines stays so.
fn space_value(value: &mut Value) {
    let spread = value.to_string().trim().contains('\n');
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(space_value);
            if !spread {
                items.fmt();
            }
        }
        Value::InlineTable(items) => {
            items.iter_mut().for_each(|(_, item)| space_value(item));
            if !spread {
                items.fmt();
            }
        }
        _ => {}
    }
}

/// Every table with a value of its own is a feature.
fn order_features(table: &mut toml_edit::Table) {
    table.sort_values_by(|a, _, b, _| by_place(FEATURE_KEYS, a, b));
    spell(table);
    for (_, item) in table.iter_mut() {
        if let Some(inner) = item.as_table_mut() {
            order_features(inner);
        }
    }
}

fn by_place(order: &[&str], a: &Key, b: &Key) -> std::cmp::Ordering {
    place(order, a.get()).cmp(&place(order, b.get()))
}

fn place(order: &[&str], key: &str) -> usize {
    order.iter().position(|held| *held == key).unwrap_or(order.len())
}

fn spell_all(document: &mut DocumentMut) {
    for (_, item) in document.as_table_mut().iter_mut() {
        spell_value(item);
    }
}

fn spell(table: &mut dyn TableLike) {
    for key in EXPRESSION_KEYS {
        if let Some(item) = table.get_mut(key) {
            spell_value(item);
        }
    }
}

/// Writes an expression in its normal spelling. One that an author spread over lines keeps them,
/// and one with a mistake is left for `rules check`.
fn spell_value(item: &mut Item) {
    let Some(Value::String(text)) = item.as_value_mut() else { return };
    if text.value().contains('\n') {
        return;
    }
    let Ok(ast) = expr::parse(text.value()) else { return };
    let canonical = ast.canonical();
    if *text.value() != canonical {
        let decor = text.decor().clone();
        let mut spelt = toml_edit::Formatted::new(canonical);
        *spelt.decor_mut() = decor;
        *text = spelt;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_expressions_spelt_and_comments_kept() {
        let text = "\
# the file's own words
status = \"live\" # since June
# what it looks for
when = \"a>=1&&( b<2 )\"
title = \"T\"

[params]
# five thousand
min = 1

[[test]]
expect = { hit = true, event = \"last\" }
name = \"one\"
given = [
  \"0s claim - u1 amount=1\", # the first
]
";
        let formatted = format(Path::new("funds/x.toml"), text).unwrap();
        for comment in ["the file's own words", "since June", "what it looks for", "the first"] {
            assert!(formatted.contains(comment), "{comment}\n{formatted}");
        }
        assert!(formatted.contains("when = \"a >= 1 && b < 2\"\n"), "{formatted}");
        assert!(formatted.starts_with("# the file's own words\ntitle"), "{formatted}");
        let place = |text: &str| formatted.find(text).unwrap();
        assert!(place("title") < place("status") && place("status") < place("when"));
        assert!(place("name = ") < place("given") && place("given") < place("expect"));
        assert!(formatted.contains("{ event = \"last\", hit = true }"), "{formatted}");
        assert_eq!(format(Path::new("funds/x.toml"), &formatted).unwrap(), formatted);
    }

    #[test]
    fn blanks_are_one_and_what_is_spread_over_lines_stays_so() {
        let text = "\
title='T'
status=\"live\"# since June
  on = [\"send\",   \"claim\" ,]
when=\"true\"
score=   300   
reason = \"r\"
tags = [
  \"a\",   # one
  \"b\",
]

[params]
min   =\"5 yuan\"   # and no more
by.\"group.type\".family = {min=\"6 yuan\" }

[[test]]
name=\"n\"
given=[\"0s claim - u1 amount=1\",\"1s claim - u1 amount=1\"]
expect=[{event=1,hit=false},{ event = 2,hit =   true}]
";
        let wanted = "\
title = 'T'
status = \"live\" # since June
on = [\"send\", \"claim\"]
when = \"true\"
score = 300
reason = \"r\"
tags = [
  \"a\",   # one
  \"b\",
]

[params]
min = \"5 yuan\"   # and no more
by.\"group.type\".family = { min = \"6 yuan\" }

[[test]]
name = \"n\"
given = [\"0s claim - u1 amount=1\", \"1s claim - u1 amount=1\"]
expect = [{ event = 1, hit = false }, { event = 2, hit = true }]
";
        assert_eq!(format(Path::new("funds/x.toml"), text).unwrap(), wanted);
        assert_eq!(format(Path::new("funds/x.toml"), wanted).unwrap(), wanted);
    }

    #[test]
    fn the_comment_at_the_head_stays_there() {
        let rows = [
            (
                "# of the file\nstatus = \"live\"\ntitle = \"T\"\n",
                "# of the file\ntitle = \"T\"\nstatus = \"live\"\n",
            ),
            (
                "# of the file\n\n# of the status\nstatus = \"live\"\n# of the title\ntitle = \"T\"\n",
                "# of the file\n\n# of the title\ntitle = \"T\"\n# of the status\nstatus = \"live\"\n",
            ),
            (
                "#:schema ../rule.schema.json\n# of the file\n\nstatus = \"live\"\ntitle = \"T\"\n",
                "#:schema ../rule.schema.json\n# of the file\n\ntitle = \"T\"\nstatus = \"live\"\n",
            ),
        ];
        for (text, wanted) in rows {
            assert_eq!(format(Path::new("funds/x.toml"), text).unwrap(), wanted);
            assert_eq!(format(Path::new("funds/x.toml"), wanted).unwrap(), wanted);
        }
    }

    #[test]
    fn the_schema_stays_on_the_first_line() {
        let text = "#:schema ../rule.schema.json\nstatus = \"live\"\ntitle = \"T\"\n";
        let formatted = format(Path::new("funds/x.toml"), text).unwrap();
        let wanted = "#:schema ../rule.schema.json\ntitle = \"T\"\nstatus = \"live\"\n";
        assert_eq!(formatted, wanted);
    }

    #[test]
    fn what_is_not_toml_is_left_alone() {
        assert_eq!(format(Path::new("funds/x.toml"), "a = = 1"), None);
        let text = "[behaviour.x]\nwindow = \"1h\"\nover = [\"claim\"]\nwhere = \"a  == 1\"\n";
        let formatted = format(Path::new("features.toml"), text).unwrap();
        let wanted = "[behaviour.x]\nover = [\"claim\"]\nwhere = \"a == 1\"\nwindow = \"1h\"\n";
        assert_eq!(formatted, wanted);
        let text = "night = \"hour(event_time)<6\"\n";
        let formatted = format(Path::new("conditions.toml"), text).unwrap();
        assert_eq!(formatted, "night = \"hour(event_time) < 6\"\n");
    }
}
