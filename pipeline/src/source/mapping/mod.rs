//! Mapping files: what turns the columns of foreign data into the fields of events.
//!
//! ```toml
//! [columns]                     # columns that conditions read, and their types
//! TX_FRAUD = "int"
//! CHANNEL  = "string"
//!
//! [fields]                      # field = a column, or a table, or a list of tables (cases)
//! event_id        = { template = "tx{TRANSACTION_ID}" }
//! event_time      = { column = "TX_DATETIME", format = "%Y-%m-%d %H:%M:%S", zone = "UTC" }
//! kind            = [{ when = "CHANNEL == 'ATM'", constant = "withdraw" }, { constant = "transfer" }]
//! account_id      = { template = "C{CUSTOMER_ID}" }
//! counterparty_id = "TERMINAL_ID"
//! amount_fen      = { column = "TX_AMOUNT", unit = "yuan" }
//!
//! [extra.scenario]              # a column of one's own, called extra.scenario in conditions
//! column = "TX_FRAUD_SCENARIO"
//! type   = "int"
//!
//! [label]                       # a row also makes a label event, called <event_id>#label
//! delay     = "7d"              # so long after the row's own time it becomes known
//! when      = "TX_FRAUD == 1"   # then the label is fraud
//! otherwise = "honest"          # else honest; left out, there is no label, nor where `when` meets a null
//! ```
//!
//! A value comes from one of `column`, `template` and `constant`:
//! - `column` alone takes the column's value as if it carried the field's name; integers become
//!   strings where the field is one.
//! - `unit = "yuan"` takes a decimal to fen exactly. A double stands for the shortest decimal that
//!   reads back as that double. More than two decimals refuse the record, unless `round` says
//!   `half_even`, `half_up` or `down`.
//! - `format` and `zone` read a time from text (without `format`: ISO 8601), `unit` and `origin`
//!   from a number of `ns`, `us`, `ms`, `s`, `min`, `hour` or `day`. Columns of a Parquet file
//!   that are timestamps are taken as they are, local ones in `zone` (UTC if there is none).
//! - `template` puts columns in braces into text (`{{` and `}}` are braces); it is null where one
//!   of them is.
//!
//! In a list of cases the first whose `when` holds gives the value; a condition that meets a null
//! does not hold, and a row of which the condition of labels meets one has no label. The label event
//! carries every field of the row besides its own; `subject_kind`
//! (`event` if not given), `subject_id` (the row's event) and `typology` are given in `[label]`.
//! A row that makes a label counts as two records. Where `<event_id>#label` would be longer than an id may
//! be, the first 58 hexadecimal digits of the id's BLAKE3 stand in its place.

mod apply;
mod decimal;
mod parse;
mod time;
mod value;

use std::ops::Range;
use std::path::{Path, PathBuf};

pub(super) use self::apply::{Bound, ColumnKind};
use self::decimal::Rounding;
pub(crate) use self::parse::extra_columns;
use self::time::TimeRule;
use super::columns::listed;
use crate::diagnostic::{Diagnostic, Failure, Message, Severity};
use crate::document::suggest;
use crate::event::Type;
use crate::expr::Program;

/// A checked mapping file.
pub struct Mapping {
    path: PathBuf,
    text: String,
    columns: Vec<Column>,
    /// The columns that conditions read, by slot: index into `columns`, and the type.
    declared: Vec<(usize, Type)>,
    fields: Vec<(String, Rule)>,
    extras: Vec<Extra>,
    label: Option<Label>,
}

/// A column that the mapping names.
struct Column {
    name: String,
    /// Where it is first named.
    span: Range<usize>,
}

struct Extra {
    name: String,
    kind: Type,
    span: Range<usize>,
}

/// How one field gets its value: the first case that holds.
type Rule = Vec<Case>;

struct Case {
    when: Option<Program>,
    from: From,
}

enum From {
    Constant(Constant),
    /// The value of a column as it is.
    Column(usize),
    /// A decimal column, times ten to the power of `places`.
    Amount {
        column: usize,
        places: u32,
        rounding: Rounding,
    },
    Time {
        column: usize,
        rule: TimeRule,
    },
    Template(Vec<Part>),
}

enum Constant {
    Int(i64),
    Double(f64),
    Bool(bool),
    Str(String),
}

enum Part {
    Text(String),
    Column(usize),
}

struct Label {
    delay_ms: i64,
    when: Program,
    otherwise_honest: bool,
    typology: Rule,
    subject_kind: String,
    subject_id: Rule,
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Mapping {
    /// Reads and checks a mapping file; a failure holds everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Mapping, Failure> {
        match std::fs::read_to_string(path) {
            Ok(text) => Mapping::parse(path, text),
            Err(error) => Err(super::failure(
                "unreadable-file",
                path,
                format!("cannot read the mapping file: {error}"),
                format!("无法读取映射文件:{error}"),
            )),
        }
    }

    /// Checks the text of a mapping file; `path` is its name in messages.
    pub fn parse(path: &Path, text: String) -> Result<Mapping, Failure> {
        parse::mapping(path, text)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of the file, for messages and hashes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns of one's own, by name, without the `extra.` prefix.
    pub fn extras(&self) -> impl Iterator<Item = (&str, Type)> {
        self.extras.iter().map(|extra| (extra.name.as_str(), extra.kind))
    }

    /// Whether it says how `field` gets its value.
    pub(super) fn gives(&self, field: &str) -> bool {
        self.fields.iter().any(|(name, _)| name == field)
    }

    /// Where an extra column is declared.
    pub(super) fn extra_span(&self, name: &str) -> Option<Range<usize>> {
        let extra = self.extras.iter().find(|extra| extra.name == name)?;
        Some(extra.span.clone())
    }

    /// The columns that it names, each once.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// That the data in `data` has no column of the name at `column`, but those in `present`.
    pub(super) fn no_column(&self, column: usize, data: &Path, present: &[String]) -> Diagnostic {
        let Column { name, span } = &self.columns[column];
        let data = data.display();
        Diagnostic {
            severity: Severity::Error,
            code: "unknown-column",
            file: self.path.clone(),
            span: Some(span.clone()),
            message: Message::new(
                format!("there is no column `{name}` in {data}"),
                format!("{data} 中没有列 `{name}`"),
            ),
            hint: suggest(name, present.iter().map(String::as_str)).or_else(|| {
                let listed = listed(present);
                Some(Message::new(format!("its columns are {listed}"), format!("其列为 {listed}")))
            }),
        }
    }
}
