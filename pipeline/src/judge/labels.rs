//! The labels file: what was found true of events, accounts and groups.
//!
//! Columns `subject_kind, subject_id, label` and, where known, `typology, role, known_at,
//! detectable_from`; other columns are left alone, and one that is nearly one of these is told of. [`super::read`] knows the formats.

use std::collections::BTreeSet;
use std::ops::Range;

use super::ids::{self, Ids};
use crate::diagnostic::Message;
use crate::event::{ID_BYTES_MAX, Pseudonyms, Raw, TIME_MAX, TIME_MIN, parse_int};

/// The columns that are read, in the order of [`LabelsBuilder::push`]; the first three are required.
pub const COLUMNS: [&str; 7] =
    ["subject_kind", "subject_id", "label", "typology", "role", "known_at", "detectable_from"];
/// How many of [`COLUMNS`] are required.
pub const COLUMNS_REQUIRED: usize = 3;

/// Of what something was found true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// One transaction.
    Event,
    /// An account: judges the transactions in which it acts.
    Account,
    /// A group: judges the transactions in it.
    Group,
}

impl Subject {
    /// Every kind of subject, in the order of its code.
    pub const ALL: [Subject; 3] = [Subject::Event, Subject::Account, Subject::Group];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Event => "event",
            Subject::Account => "account",
            Subject::Group => "group",
        }
    }
}

/// What was found true of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Fraud, or honest.
    pub fraud: bool,
    /// Index into [`Labels::typologies`].
    pub typology: Option<u16>,
    /// Index into [`Labels::roles`].
    pub role: Option<u16>,
    /// When it became known, ms.
    pub known_at: Option<i64>,
    /// From when it could have been seen, ms: time to detection starts here.
    pub detectable_from: Option<i64>,
}

/// The labels of one kind of subject.
#[derive(Clone, Default)]
pub(super) struct LabelSet {
    pub(super) ids: Ids,
    pub(super) labels: Vec<Label>,
}

/// All labels of a run.
#[derive(Clone, Default)]
pub struct Labels {
    pub(super) sets: [LabelSet; 3],
    pub(super) repeated: u64,
    /// The columns that the file has, read or not.
    pub(super) columns: BTreeSet<String>,
    typologies: Names,
    roles: Names,
}

impl Labels {
    /// How many subjects are labelled.
    pub fn len(&self) -> usize {
        self.sets.iter().map(|set| set.labels.len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of a subject.
    pub fn get(&self, subject: Subject, id: &str) -> Option<&Label> {
        self.find(subject, id).map(|(_, label)| label)
    }

    /// The same, with the number of the label among those of its kind of subject, from 0.
    pub fn find(&self, subject: Subject, id: &str) -> Option<(usize, &Label)> {
        let set = &self.sets[subject as usize];
        let at = set.ids.find(ids::hash(id), id)? as usize;
        Some((at, &set.labels[at]))
    }

    /// How many subjects of a kind are labelled.
    pub fn count(&self, subject: Subject) -> usize {
        self.sets[subject as usize].labels.len()
    }

    /// The id of the labelled subject that has this number among those of its kind.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn id(&self, subject: Subject, number: usize) -> &str {
        self.sets[subject as usize].ids.get(number as u32)
    }

    /// The kinds of fraud that occur, in order of first appearance.
    pub fn typologies(&self) -> &[String] {
        &self.typologies.0
    }

    /// The roles that occur, in order of first appearance.
    pub fn roles(&self) -> &[String] {
        &self.roles.0
    }
}

/// A few names, numbered; looked up one by one because there are few.
#[derive(Clone, Default)]
struct Names(Vec<String>);

/// The most typologies, and the most roles, that a labels file may hold: each gets a row of
/// the report, and a column of free text in its place would get millions.
const NAMES_MAX: usize = 1_000;

impl Names {
    fn number(&mut self, name: &str) -> Option<u16> {
        if let Some(at) = self.0.iter().position(|known| known == name) {
            return Some(at as u16);
        }
        if self.0.len() == NAMES_MAX {
            return None;
        }
        self.0.push(name.to_owned());
        Some((self.0.len() - 1) as u16)
    }
}

/// A row that is not a label: what is wrong, where in the file, and at which line or row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLabel {
    /// The line or row, from 1.
    pub line: u64,
    /// The row in bytes, for formats of text.
    pub span: Option<Range<usize>>,
    /// What is wrong with it.
    pub message: Message,
}

/// Collects rows, checks them, and keeps what is wrong.
#[derive(Default)]
pub struct LabelsBuilder<'p> {
    labels: Labels,
    pseudonyms: Option<&'p Pseudonyms>,
    lines: [Vec<u64>; 3],
    bad: Vec<BadLabel>,
}

impl<'p> LabelsBuilder<'p> {
    /// For labels whose ids are replaced as those of events are.
    pub fn with_pseudonyms(pseudonyms: Option<&'p Pseudonyms>) -> Self {
        LabelsBuilder { pseudonyms, ..LabelsBuilder::default() }
    }

    /// Notes a column that the file has.
    pub(super) fn name_column(&mut self, name: &str) {
        if !self.labels.columns.contains(name) {
            self.labels.columns.insert(name.to_owned());
        }
    }

    /// Checks and adds one row: the values of [`COLUMNS`], in that order.
    pub fn push(&mut self, row: [Raw<'_>; 7], line: u64, span: Option<Range<usize>>) {
        if let Err(message) = self.check(row, line) {
            self.refuse(message, line, span);
        }
    }

    /// Keeps a row that could not be read at all.
    pub fn refuse(&mut self, message: Message, line: u64, span: Option<Range<usize>>) {
        self.bad.push(BadLabel { line, span, message });
    }

    /// The labels, or everything that is wrong.
    pub fn finish(self) -> Result<Labels, Vec<BadLabel>> {
        if self.bad.is_empty() { Ok(self.labels) } else { Err(self.bad) }
    }

    fn check(&mut self, row: [Raw<'_>; 7], line: u64) -> Result<(), Message> {
        let [kind, id, label, typology, role, known_at, detectable_from] = row;
        let subject = choice("subject_kind", kind, &Subject::ALL.map(Subject::name))?;
        let id = text("subject_id", id)?.ok_or_else(|| required("subject_id"))?;
        let label = Label {
            fraud: choice("label", label, &["fraud", "honest"])? == 0,
            typology: name("typology", typology, &mut self.labels.typologies)?,
            role: name("role", role, &mut self.labels.roles)?,
            known_at: time("known_at", known_at)?,
            detectable_from: time("detectable_from", detectable_from)?,
        };
        match self.pseudonyms {
            Some(pseudonyms) if subject != Subject::Event as usize => {
                self.add(subject, &pseudonyms.of(id), label, line)
            }
            _ => self.add(subject, id, label, line),
        }
    }

    /// A subject may have several rows (an account that took part in two schemes): the first gives
    /// typology and role, the earliest time counts. Fraud and honest at once is a mistake.
    fn add(&mut self, subject: usize, id: &str, label: Label, line: u64) -> Result<(), Message> {
        let set = &mut self.labels.sets[subject];
        let (at, new) = set.ids.intern(ids::hash(id), id);
        if new {
            set.labels.push(label);
            self.lines[subject].push(line);
            return Ok(());
        }
        let known = &mut set.labels[at as usize];
        if known.fraud != label.fraud {
            let first = self.lines[subject][at as usize];
            return Err(Message {
                en: format!("this subject has the opposite label at line {first}"),
                zh: format!("该对象在第 {first} 行的标签与此相反"),
            });
        }
        known.known_at = earliest(known.known_at, label.known_at);
        known.detectable_from = earliest(known.detectable_from, label.detectable_from);
        self.labels.repeated += 1;
        Ok(())
    }
}

fn earliest(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    a.into_iter().chain(b).min()
}

fn required(column: &str) -> Message {
    Message { en: format!("{column} is required"), zh: format!("缺少 {column}") }
}

fn text<'a>(column: &str, raw: Raw<'a>) -> Result<Option<&'a str>, Message> {
    let text = match raw {
        Raw::Null | Raw::Cell("") | Raw::Str("") => return Ok(None),
        Raw::Cell(text) | Raw::Str(text) => text,
        Raw::NotUtf8 => {
            return Err(Message {
                en: format!("{column} has bytes that are not UTF-8"),
                zh: format!("{column} 含有非 UTF-8 字节"),
            });
        }
        _ => {
            return Err(Message {
                en: format!("{column} is not a string"),
                zh: format!("{column} 不是字符串"),
            });
        }
    };
    if text.len() > ID_BYTES_MAX {
        let bytes = text.len();
        return Err(Message {
            en: format!("{column} has {bytes} bytes, more than {ID_BYTES_MAX}"),
            zh: format!("{column} 有 {bytes} 字节，超过 {ID_BYTES_MAX}"),
        });
    }
    Ok(Some(text))
}

fn choice(column: &str, raw: Raw<'_>, choices: &[&str]) -> Result<usize, Message> {
    let found = text(column, raw)?.ok_or_else(|| required(column))?;
    choices.iter().position(|choice| *choice == found).ok_or_else(|| Message {
        en: format!("{column} is {found:?}, not one of {}", choices.join(", ")),
        zh: format!("{column} 是 {found:?}，应为 {} 之一", choices.join("、")),
    })
}

fn name(column: &str, raw: Raw<'_>, names: &mut Names) -> Result<Option<u16>, Message> {
    let Some(found) = text(column, raw)? else { return Ok(None) };
    names.number(found).map(Some).ok_or_else(|| Message {
        en: format!("{column} has more than {NAMES_MAX} different values"),
        zh: format!("{column} 的不同取值超过 {NAMES_MAX} 个"),
    })
}

fn time(column: &str, raw: Raw<'_>) -> Result<Option<i64>, Message> {
    let wrong = || Message {
        en: format!(
            "{column} is not an integer of ms or an RFC 3339 time with offset, 2000 to 2100"
        ),
        zh: format!("{column} 应为毫秒整数或带时区的 RFC 3339 时间，2000 至 2100 年"),
    };
    let ms = match raw {
        Raw::Int(ms) => ms,
        Raw::Null | Raw::Cell("") | Raw::Str("") => return Ok(None),
        Raw::Cell(text) | Raw::Str(text) => match parse_int(text.as_bytes()) {
            Some(ms) if matches!(raw, Raw::Cell(_)) => ms,
            _ => {
                let time = text.parse::<jiff::Timestamp>().map_err(|_| wrong())?;
                time.as_nanosecond().div_euclid(1_000_000) as i64
            }
        },
        _ => return Err(wrong()),
    };
    if (TIME_MIN..TIME_MAX).contains(&ms) { Ok(Some(ms)) } else { Err(wrong()) }
}
