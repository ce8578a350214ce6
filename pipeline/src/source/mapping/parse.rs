//! From the text of a mapping file to a checked mapping; everything that is wrong is found at once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::value::Target;
use super::{Case, Column, Extra, From, Label, Mapping, Rule};
use crate::diagnostic::{Failure, Message, Sources};
use crate::document::{Node, Reader, Text, suggest};
use crate::event::{Bound, FIELDS, Type};
use crate::expr::{self, Environment, Names, Program, Slot, Zone};

/// The longest delay of a label: as long as an event time can be moved and stay in its bounds.
const DELAY_MS_MAX: i64 = 100 * 366 * 86_400_000;

/// The types of columns of one's own, by the names they have in files.
const TYPES: &[(&str, Type)] =
    &[("int", Type::Int), ("double", Type::Double), ("bool", Type::Bool), ("string", Type::Str)];

/// Whether a column of one's own may have that name.
fn is_extra_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The own columns that `[extra]` names, each with its type: `NAME = "TYPE"`.
pub(crate) fn extra_columns(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Vec<(String, Type)> {
    let mut extras = Vec::new();
    for (key, node) in reader.table(root, "extra").into_iter().flatten() {
        let name: &str = key.get_ref();
        if !is_extra_name(name) {
            let message = Message::new(
                format!("`{name}` is no name for an extra column"),
                format!("`{name}` 不能作为附加列的名称"),
            );
            reader.fail("bad-name", key.span(), message, None);
        }
        let kind = reader.as_string(name, node);
        if let Some(kind) = kind.and_then(|kind| reader.choice(name, &kind, TYPES)) {
            extras.push((name.to_owned(), kind));
        }
    }
    extras
}

pub(super) fn mapping(path: &Path, text: String) -> Result<Mapping, Failure> {
    let mut parser =
        Parser { reader: Reader::new(path, &text), columns: Vec::new(), declared: Vec::new() };
    let parts = parser.document();
    let Parser { reader, columns, declared } = parser;
    let found = reader.finish();
    match parts {
        Some(Parts { fields, extras, label }) if found.is_empty() => {
            let declared = declared.into_iter().map(|(_, column, kind)| (column, kind)).collect();
            Ok(Mapping { path: path.to_owned(), text, columns, declared, fields, extras, label })
        }
        _ => {
            let mut sources = Sources::default();
            sources.add(path, text.as_str());
            Err(Failure::Input(found, sources))
        }
    }
}

struct Parts {
    fields: Vec<(String, Rule)>,
    extras: Vec<Extra>,
    label: Option<Label>,
}

pub(super) struct Parser<'t> {
    pub(super) reader: Reader<'t>,
    columns: Vec<Column>,
    /// What conditions may read, by slot: its name there, its column and type.
    declared: Vec<(String, usize, Type)>,
}

impl Names for Parser<'_> {
    fn lookup(&self, name: &str) -> Option<(Slot, Type)> {
        let slot = self.declared.iter().position(|(declared, ..)| declared == name)?;
        Some((Slot(slot as u16), self.declared[slot].2))
    }

    fn all(&self) -> Vec<String> {
        self.declared.iter().map(|(name, ..)| name.clone()).collect()
    }
}

impl<'t> Parser<'t> {
    fn document(&mut self) -> Option<Parts> {
        let root = self.reader.parse();
        let root_span = root.span().start..root.span().start;
        let root = root.into_inner();
        self.reader.known_keys(&root, &["doc", "columns", "fields", "extra", "label"]);
        self.reader.required_keys(&root, root_span, &["fields"]);
        self.reader.string(&root, "doc");
        if let Some(table) = self.reader.table(&root, "columns") {
            self.declare(table);
        }
        let mut fields = Vec::new();
        if let Some(table) = self.reader.table(&root, "fields") {
            let span = root.get("fields").map_or(0..0, |node| node.span());
            self.fields(table, span, root.contains_key("label"), &mut fields);
        }
        let mut extras = Vec::new();
        if let Some(table) = self.reader.table(&root, "extra") {
            self.extras(table, &mut fields, &mut extras);
        }
        let label = match root.get("label") {
            Some(node) => Some(self.label(node)?),
            None => None,
        };
        Some(Parts { fields, extras, label })
    }

    /// `[columns]`: `NAME = "type"`, or `name = { column = "NAME", type = "type" }`.
    fn declare(&mut self, table: &DeTable<'t>) {
        for (key, node) in table {
            let name = key.get_ref().to_string();
            let (column, kind) = match node.get_ref() {
                DeValue::Table(inner) => {
                    self.reader.known_keys(inner, &["column", "type"]);
                    self.reader.required_keys(inner, node.span(), &["type"]);
                    let column = self.reader.string(inner, "column");
                    let column = match column {
                        Some(column) => self.column(column.get_ref(), column.span()),
                        None => self.column(&name, key.span()),
                    };
                    (column, self.reader.string(inner, "type"))
                }
                _ => (self.column(&name, key.span()), self.reader.as_string(&name, node)),
            };
            let kind = kind.and_then(|kind| self.reader.choice("type", &kind, TYPES));
            if let Some(kind) = kind {
                self.declared.push((name, column, kind));
            }
        }
    }

    fn fields(
        &mut self,
        table: &DeTable<'t>,
        span: Range<usize>,
        has_label: bool,
        fields: &mut Vec<(String, Rule)>,
    ) {
        self.reader.required_keys(table, span, &["event_id", "event_time", "kind"]);
        for (key, node) in table {
            let name: &str = key.get_ref();
            let Some(at) = FIELDS.iter().position(|(field, ..)| *field == name) else {
                let message =
                    Message::new(format!("unknown field `{name}`"), format!("未知字段 `{name}`"));
                let hint = suggest(name, FIELDS.iter().map(|(field, ..)| *field)).or_else(|| {
                    Some(Message::new(
                        format!("a column of your own is declared as [extra.{name}]"),
                        format!("自有列请声明为 [extra.{name}]"),
                    ))
                });
                self.reader.fail("unknown-field", key.span(), message, hint);
                continue;
            };
            let of_label = ["label", "typology", "subject_kind", "subject_id"].contains(&name);
            if has_label && of_label {
                let message = Message::new(
                    format!("`{name}` is a field of the event that [label] makes"),
                    format!("`{name}` 是 [label] 所生成事件的字段"),
                );
                self.reader.fail("label-field", key.span(), message, None);
            }
            let (_, kind, bound, _) = FIELDS[at];
            if let Some(rule) = self.rule(name, kind, bound, node, &[]) {
                fields.push((name.to_owned(), rule));
            }
        }
    }

    fn extras(
        &mut self,
        table: &DeTable<'t>,
        fields: &mut Vec<(String, Rule)>,
        extras: &mut Vec<Extra>,
    ) {
        for (key, node) in table {
            let name: &str = key.get_ref();
            if !is_extra_name(name) {
                let message = Message::new(
                    format!("`{name}` is no name for an extra column"),
                    format!("`{name}` 不能作为附加列的名称"),
                );
                let hint = Message::new(
                    "a name is a lower-case letter and then lower-case letters, digits and _",
                    "名称以小写字母开头,由小写字母、数字和 _ 组成",
                );
                self.reader.fail("bad-name", key.span(), message, Some(hint));
            }
            let Some(table) = self.reader.as_table(name, node) else { continue };
            self.reader.required_keys(table, key.span(), &["type"]);
            let kind = self.reader.string(table, "type");
            let Some(kind) = kind.and_then(|kind| self.reader.choice("type", &kind, TYPES)) else {
                continue;
            };
            let bound = if kind == Type::Str { Bound::Text } else { Bound::None };
            let rule = match table.get("cases") {
                Some(cases) => {
                    self.reader.known_keys(table, &["type", "cases"]);
                    self.rule(name, kind, bound, cases, &[])
                }
                None => self.rule(name, kind, bound, node, &["type"]),
            };
            if let Some(rule) = rule {
                fields.push((format!("extra.{name}"), rule));
                extras.push(Extra { name: name.to_owned(), kind, span: key.span() });
            }
        }
    }

    fn label(&mut self, node: &Node<'t>) -> Option<Label> {
        let table = self.reader.as_table("label", node)?;
        let known = ["delay", "when", "otherwise", "typology", "subject_kind", "subject_id"];
        self.reader.known_keys(table, &known);
        self.reader.required_keys(table, node.span(), &["delay", "when"]);
        let delay = self.reader.duration(table, "delay", 0..=DELAY_MS_MAX);
        let when = self.reader.string(table, "when").and_then(|when| self.condition(&when));
        let otherwise = self.reader.string(table, "otherwise").and_then(|otherwise| {
            self.reader.choice("otherwise", &otherwise, &[("honest", true), ("none", false)])
        });
        let subject_kind = self.reader.string(table, "subject_kind").and_then(|kind| {
            let kinds = [("event", "event"), ("account", "account"), ("group", "group")];
            self.reader.choice("subject_kind", &kind, &kinds)
        });
        let mut optional = |name: &str| match table.get(name) {
            Some(node) => self.rule(name, Type::Str, Bound::Id, node, &[]),
            None => Some(Vec::new()),
        };
        let typology = optional("typology");
        let subject_id = optional("subject_id");
        if subject_kind.is_some_and(|kind| kind != "event") && !table.contains_key("subject_id") {
            let message = Message::new(
                "a label of an account or a group needs its `subject_id`",
                "账户或群的标签需要 `subject_id`",
            );
            self.reader.fail("missing-key", node.span(), message, None);
        }
        Some(Label {
            delay_ms: delay?,
            when: when?,
            otherwise_honest: otherwise.unwrap_or(false),
            typology: typology?,
            subject_kind: subject_kind.unwrap_or("event").to_owned(),
            subject_id: subject_id?,
        })
    }

    /// How a field gets its value: the name of a column, one case, or a list of cases.
    fn rule(
        &mut self,
        name: &str,
        kind: Type,
        bound: Bound,
        node: &Node<'t>,
        other_keys: &[&str],
    ) -> Option<Rule> {
        let target = Target { name, kind, bound };
        match node.get_ref() {
            DeValue::String(column) => {
                let column = self.column(column, node.span());
                Some(vec![Case { when: None, from: From::Column(column) }])
            }
            DeValue::Table(table) => {
                Some(vec![self.case(target, table, node.span(), other_keys)?])
            }
            DeValue::Array(cases) => {
                let mut rule = Rule::new();
                let mut whole = true;
                for node in cases.iter() {
                    if rule.last().is_some_and(|case| case.when.is_none()) {
                        let message = Message::new(
                            "this case is never reached: the one before it has no `when`",
                            "永远不会到达此分支:前一分支没有 `when`",
                        );
                        self.reader.fail("unreachable-case", node.span(), message, None);
                    }
                    let case = self.reader.as_table(name, node);
                    match case.and_then(|table| self.case(target, table, node.span(), &[])) {
                        Some(case) => rule.push(case),
                        None => whole = false,
                    }
                }
                whole.then_some(rule)
            }
            _ => self.reader.wrong_type(
                name,
                node,
                ("a column, a table or a list of cases", "列名、表或分支列表"),
            ),
        }
    }

    fn case(
        &mut self,
        target: Target<'_>,
        table: &DeTable<'t>,
        span: Range<usize>,
        other_keys: &[&str],
    ) -> Option<Case> {
        let own =
            ["when", "column", "constant", "template", "unit", "round", "format", "zone", "origin"];
        self.reader.known_keys(table, &[&own[..], other_keys].concat());
        let when = match self.reader.string(table, "when") {
            Some(when) => Some(self.condition(&when)?),
            None if table.contains_key("when") => return None,
            None => None,
        };
        let sources: Vec<&str> = ["column", "constant", "template"]
            .into_iter()
            .filter(|key| table.contains_key(*key))
            .collect();
        let from = match sources[..] {
            ["column"] => self.column_case(target, table, span)?,
            [other] => {
                for key in ["unit", "round", "format", "zone", "origin"] {
                    self.only_with("column", table, key);
                }
                if other == "constant" {
                    From::Constant(self.constant(target, table.get(other)?)?)
                } else {
                    let template = self.reader.string(table, other)?;
                    From::Template(self.template(target, &template)?)
                }
            }
            _ => {
                let message = Message::new(
                    format!("`{}` needs one of `column`, `template` and `constant`", target.name),
                    format!("`{}` 需要 `column`、`template`、`constant` 之一", target.name),
                );
                self.reader.fail("value-source", span, message, None);
                return None;
            }
        };
        Some(Case { when, from })
    }

    fn condition(&mut self, text: &Text) -> Option<Program> {
        let zone = Arc::new(Zone::new("UTC").expect("UTC is built in"));
        let (params, conditions, lists) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let compiled = expr::parse(text.get_ref()).and_then(|ast| {
            let environment = Environment {
                names: self,
                params: &params,
                conditions: &conditions,
                lists: &lists,
                zone: &zone,
            };
            expr::compile(&ast, &environment)
        });
        match compiled {
            Ok(program) if program.kind() == Type::Bool => Some(program),
            Ok(program) => {
                let kind = program.kind();
                let message = Message::new(
                    format!("the condition is {kind}, not true or false"),
                    format!("条件的类型是 {kind},应为真假值"),
                );
                self.reader.fail("condition-type", text.span(), message, None);
                None
            }
            Err(errors) => {
                self.reader.fail_expression(&text.span(), errors);
                None
            }
        }
    }

    /// The place of a column among those that the mapping names.
    pub(super) fn column(&mut self, name: &str, span: Range<usize>) -> usize {
        match self.columns.iter().position(|column| column.name == name) {
            Some(at) => at,
            None => {
                self.columns.push(Column { name: name.to_owned(), span });
                self.columns.len() - 1
            }
        }
    }
}
