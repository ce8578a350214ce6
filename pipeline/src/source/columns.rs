//! What the columns of a file mean: its header is checked before any of its records is read.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Input, finding};
use crate::diagnostic::{Diagnostic, Failure, Message, Severity, Sources};
use crate::event::{EVENT_ID, EVENT_TIME, FIELDS, FieldId, KIND, Schema, Type};

/// The columns without which no record can be an event.
const REQUIRED: [FieldId; 3] = [EVENT_ID, EVENT_TIME, KIND];

/// How many letters a column's name may be away from a field's to be taken for a slip.
const SLIP_MAX: usize = 2;

/// The schema of a run; two mapping files that give one extra column different types are refused.
pub(super) fn schema(inputs: &[Input]) -> Result<Schema, Failure> {
    let mut extras: BTreeMap<&str, (Type, &super::Mapping)> = BTreeMap::new();
    let mut conflicts = Vec::new();
    let mut sources = Sources::default();
    for mapping in inputs.iter().filter_map(|input| input.mapping.as_deref()) {
        for (name, kind) in mapping.extras() {
            let (first, other) = *extras.entry(name).or_insert((kind, mapping));
            if first == kind {
                continue;
            }
            let other = other.path().display();
            sources.add(mapping.path(), mapping.text());
            conflicts.push(Diagnostic {
                severity: Severity::Error,
                code: "extra-type",
                file: mapping.path().to_owned(),
                span: mapping.extra_span(name),
                message: Message::new(
                    format!("extra.{name} is {kind} here and {first} in {other}"),
                    format!("extra.{name} 在此处是 {kind},在 {other} 中是 {first}"),
                ),
                hint: None,
            });
        }
    }
    if !conflicts.is_empty() {
        return Err(Failure::Input(conflicts, sources));
    }
    let extras = extras.into_iter().map(|(name, (kind, _))| (name.to_owned(), kind));
    Ok(Schema::with_extras(extras))
}

/// That a header names a column twice, and a column without which nothing can be read is missing.
pub(super) fn check_names(path: &Path, names: &[String]) -> Vec<Diagnostic> {
    let mut seen = Vec::new();
    let mut found = Vec::new();
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    for pair in sorted.windows(2) {
        // Columns without a name (an index, a trailing comma) are ignored like any other.
        if pair[0] == pair[1] && !pair[0].is_empty() && seen.last() != Some(&pair[0]) {
            seen.push(pair[0]);
            let name = pair[0];
            let message = Message::new(
                format!("the header names column `{name}` twice"),
                format!("表头中列 `{name}` 出现了两次"),
            );
            found.push(finding(Severity::Error, "repeated-column", path, message, None));
        }
    }
    found
}

/// The columns that carry the names of fields, and what is wrong with the others.
pub(super) fn fields(
    path: &Path,
    names: &[String],
    schema: &Schema,
) -> (Vec<(FieldId, usize)>, Vec<Diagnostic>) {
    let mut fields = Vec::new();
    let mut unknown = Vec::new();
    for (column, name) in names.iter().enumerate() {
        match schema.find(name) {
            Some(field) => fields.push((field, column)),
            None => unknown.push(name.as_str()),
        }
    }
    let has = |field: FieldId| fields.iter().any(|(found, _)| *found == field);
    let mut found: Vec<Diagnostic> = REQUIRED
        .into_iter()
        .filter(|field| !has(*field))
        .map(|field| missing_column(path, FIELDS[field.index()].0, &unknown, names))
        .collect();
    found.extend(slips(path, unknown.iter().copied(), &|name| schema.find(name).is_some_and(has)));
    (fields, found)
}

pub(super) fn missing_column(
    path: &Path,
    field: &str,
    unknown: &[&str],
    names: &[String],
) -> Diagnostic {
    let message =
        Message::new(format!("the file has no column `{field}`"), format!("文件缺少列 `{field}`"));
    let hint = match unknown.iter().find(|name| is_slip(name, field)) {
        Some(name) => {
            Message::new(format!("did you mean `{name}`?"), format!("是否应为 `{name}`?"))
        }
        None => {
            let listed = listed(names);
            Message::new(
                format!("its columns are {listed}; a mapping file (--map) makes fields of them"),
                format!("其列为 {listed};可用映射文件(--map)转换为字段"),
            )
        }
    };
    finding(Severity::Error, "missing-column", path, message, Some(hint))
}

/// The names of columns for a message; a wide file is cut short.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown}, ...") } else { shown }
}

/// A warning for each name that means nothing but is nearly that of a field which is not there.
pub(super) fn slips<'n>(
    path: &Path,
    unknown: impl Iterator<Item = &'n str>,
    present: &dyn Fn(&str) -> bool,
) -> Vec<Diagnostic> {
    let warning = |name: &str| {
        let (field, ..) = FIELDS
            .iter()
            .filter(|(field, ..)| !present(field) && is_slip(name, field))
            .min_by_key(|(field, ..)| strsim::osa_distance(&name.to_lowercase(), field))?;
        let message =
            Message::new(format!("column `{name}` is ignored"), format!("列 `{name}` 被忽略"));
        let hint = Message::new(format!("did you mean `{field}`?"), format!("是否应为 `{field}`?"));
        Some(finding(Severity::Warning, "ignored-column", path, message, Some(hint)))
    };
    unknown.filter_map(warning).collect()
}

/// That the object under the key `extra` is not read.
pub(super) fn nested_extra(path: &Path) -> Diagnostic {
    let message = Message::new("the key `extra` is ignored", "键 `extra` 被忽略");
    let hint = Message::new(
        "a column of your own is a key of the record itself, as \"extra.NAME\"",
        "自有列是记录本身的键，写作 \"extra.NAME\"",
    );
    finding(Severity::Warning, "ignored-column", path, message, Some(hint))
}

/// Whether `name` is the field's name but for case or a slip of the pen.
fn is_slip(name: &str, field: &str) -> bool {
    // Names of two or three letters are within two of nearly anything short.
    let allowed = SLIP_MAX.min(field.len() / 3);
    strsim::osa_distance(&name.to_lowercase(), field) <= allowed
}
