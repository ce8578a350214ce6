//! One line of a timeline: `20h claim g5 u1 payer=e amount=1000.00 as=last`.

use std::ops::Range;

use crate::diagnostic::Message;
use crate::document::suggest;
use crate::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, DEVICE_ID, FieldId, GROUP_ID, KIND, Kind, PACKET_ID,
    Schema, Type,
};
use crate::expr::{self, ExprError};

/// An event of a timeline.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its time after the start, in ms.
    pub(super) offset: i64,
    /// Its kind.
    pub(super) kind: Kind,
    /// Its name, if it has one.
    pub(super) name: Option<String>,
    /// Its values by field; the last of a field counts.
    pub(super) values: Vec<(FieldId, String)>,
    /// Whether something is wrong with it, which is noted: then it is there for its name and its
    /// number only.
    pub(super) broken: bool,
}

/// What `field=value` says: of a field, or of the line.
pub(super) enum Assignment {
    Field(FieldId, String),
    Name(String),
    At(i64),
}

type Words<'t> = Vec<(Range<usize>, &'t str)>;

/// Reads a line; spans of mistakes are in the text of the line.
pub(super) fn parse(text: &str, schema: &Schema) -> Result<Line, Vec<ExprError>> {
    let words = words(text)?;
    let mut wrong = Vec::new();
    let [offset, kind, group, account, rest @ ..] = words.as_slice() else {
        let message = Message::new(
            "a line is OFFSET KIND GROUP ACCOUNT field=value...",
            "一行的格式是 时间偏移 类型 群 账号 字段=值...",
        );
        let hint = Message::new(
            "such as \"1h claim g1 u1 payer=a amount=10.00\"; write - for no group",
            "例如 \"1h claim g1 u1 payer=a amount=10.00\";没有群时写 -",
        );
        return Err(vec![*error("timeline-line", 0..text.len(), message, Some(hint))]);
    };
    let offset_ms = duration(offset).map_err(|error| wrong.push(*error)).ok();
    let kind = Kind::parse(kind.1).or_else(|| {
        let message = Message::new(
            format!("`{}` is not a kind of event", kind.1),
            format!("`{}` 不是事件类型", kind.1),
        );
        let hint = suggest(kind.1, Kind::ALL.iter().map(|kind| kind.name()));
        wrong.push(*error("unknown-value", kind.0.clone(), message, hint));
        None
    });
    let mut line = Line {
        offset: offset_ms.unwrap_or(0),
        kind: kind.unwrap_or(Kind::Send),
        name: None,
        values: Vec::new(),
        broken: false,
    };
    for (field, (_, value)) in [(GROUP_ID, group), (ACCOUNT_ID, account)] {
        if *value != "-" {
            line.values.push((field, (*value).to_owned()));
        }
    }
    for word in rest {
        match assignment(word, line.kind, schema) {
            Ok(assignment) => line.apply(assignment),
            Err(error) => wrong.push(*error),
        }
    }
    if wrong.is_empty() { Ok(line) } else { Err(wrong) }
}

/// What stands in the place of a line that is wrong.
pub(super) fn broken(text: &str) -> Line {
    let kind = text.split_whitespace().nth(1).and_then(Kind::parse);
    let name = text.split_whitespace().find_map(|word| word.strip_prefix("as="));
    Line {
        offset: 0,
        // Whatever it was meant to be, it is not blamed for being no transaction as well.
        kind: kind.unwrap_or(Kind::Send),
        name: name.map(str::to_owned),
        values: Vec::new(),
        broken: true,
    }
}

/// Applies assignments such as `amount=999.99 at=21h` to a line.
pub(super) fn change(line: &mut Line, text: &str, schema: &Schema) -> Result<(), Vec<ExprError>> {
    let mut wrong = Vec::new();
    for word in words(text)? {
        match assignment(&word, line.kind, schema) {
            Ok(assignment) => line.apply(assignment),
            Err(error) => wrong.push(*error),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

impl Line {
    fn apply(&mut self, assignment: Assignment) {
        match assignment {
            Assignment::Field(field, value) => {
                self.values.retain(|(held, _)| *held != field);
                self.values.push((field, value));
            }
            Assignment::Name(name) => self.name = Some(name),
            Assignment::At(offset) => self.offset = offset,
        }
    }
}

fn assignment(
    (span, word): &(Range<usize>, &str),
    kind: Kind,
    schema: &Schema,
) -> Result<Assignment, Box<ExprError>> {
    let Some((name, value)) = word.split_once('=') else {
        let message = Message::new(
            format!("`{word}` is not field=value"),
            format!("`{word}` 不是 字段=值 的形式"),
        );
        return Err(error("timeline-line", span.clone(), message, None));
    };
    let value = match value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')) {
        Some(inner) => inner,
        None => value,
    };
    let value_span = span.start + name.len() + 1..span.end;
    if name == "as" {
        return Ok(Assignment::Name(value.to_owned()));
    }
    if name == "at" {
        return duration(&(value_span, value)).map(Assignment::At);
    }
    let field = field(name, span, kind, schema)?;
    if name != "amount" {
        return Ok(Assignment::Field(field, value.to_owned()));
    }
    match expr::yuan(value) {
        Some(fen) => Ok(Assignment::Field(field, fen.to_string())),
        None => {
            let message = Message::new(
                format!("`{value}` is not an amount in yuan"),
                format!("`{value}` 不是以元为单位的金额"),
            );
            let hint = Message::new("such as amount=1000.00", "例如 amount=1000.00");
            Err(error("bad-amount", value_span, message, Some(hint)))
        }
    }
}

/// The other words for fields; `payer` and `payee` name the side that does not act.
const OTHER_NAMES: [(&str, FieldId); 5] = [
    ("amount", AMOUNT_FEN),
    ("device", DEVICE_ID),
    ("packet", PACKET_ID),
    ("payer", COUNTERPARTY_ID),
    ("payee", COUNTERPARTY_ID),
];

fn field(
    name: &str,
    span: &Range<usize>,
    kind: Kind,
    schema: &Schema,
) -> Result<FieldId, Box<ExprError>> {
    let acts = match name {
        "payer" => kind != Kind::Claim,
        "payee" => kind != Kind::Transfer,
        _ => false,
    };
    let name_span = span.start..span.start + name.len();
    if acts {
        let message = Message::new(
            format!("`{name}` does not name the other side of a {}", kind.name()),
            format!("`{name}` 不是 {} 的对方", kind.name()),
        );
        let hint = Message::new(
            "payer= goes with claim and payee= with transfer; the account that acts stands in front",
            "payer= 用于 claim,payee= 用于 transfer;行为账号写在前面",
        );
        return Err(error("timeline-side", name_span, message, Some(hint)));
    }
    let found = OTHER_NAMES.iter().find(|(other, _)| *other == name).map(|(_, field)| *field);
    match found.or_else(|| schema.find(name)) {
        Some(field) if field != KIND => Ok(field),
        _ => {
            let message =
                Message::new(format!("`{name}` is not a field"), format!("`{name}` 不是字段"));
            let known = schema.fields().iter().map(|field| field.name.as_str());
            let known = known.chain(OTHER_NAMES.iter().map(|(other, _)| *other));
            let hint = suggest(name, known.chain(["as", "at"]));
            Err(error("unknown-field", name_span, message, hint))
        }
    }
}

fn duration((span, text): &(Range<usize>, &str)) -> Result<i64, Box<ExprError>> {
    expr::duration(text).ok_or_else(|| {
        let message = Message::new(
            format!("`{text}` is not a time after the start"),
            format!("`{text}` 不是相对起点的时间"),
        );
        let hint = Message::new("such as 0s, 90m, 20h or 3d", "例如 0s、90m、20h 或 3d");
        error("bad-duration", span.clone(), message, Some(hint))
    })
}

/// Words between blanks; quotes keep blanks together.
fn words(text: &str) -> Result<Words<'_>, Vec<ExprError>> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quoted = None;
    for (at, c) in text.char_indices() {
        match (c, quoted) {
            ('\'', None) => quoted = Some(at),
            ('\'', Some(_)) => quoted = None,
            _ => {}
        }
        let blank = c.is_whitespace() && quoted.is_none();
        match start {
            None if !blank => start = Some(at),
            Some(from) if blank => {
                words.push((from..at, &text[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    if let Some(from) = quoted {
        let message = Message::new("the quote is not closed", "引号没有闭合");
        return Err(vec![*error("open-string", from..text.len(), message, None)]);
    }
    if let Some(from) = start {
        words.push((from..text.len(), &text[from..]));
    }
    Ok(words)
}

/// Whether a field's values are written as they are, and not as numbers.
pub(super) fn is_text(schema: &Schema, field: FieldId) -> bool {
    schema.field(field).kind == Type::Str
}

fn error(
    code: &'static str,
    span: Range<usize>,
    message: Message,
    hint: Option<Message>,
) -> Box<ExprError> {
    Box::new(ExprError { code, span, message, hint })
}
