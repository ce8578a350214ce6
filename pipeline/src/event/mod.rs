//! The event: its fields, the check that turns a raw record into one, and the columnar chunk in
//! which checked events travel.
//!
//! A decoder knows a file format and nothing else: it hands each record over as raw values, and
//! [`ChunkBuilder::push`] is the only way by which a record becomes an event.

mod check;
mod chunk;
mod pseudonyms;

use std::fmt;
use std::sync::Arc;

pub use check::{ChunkBuilder, Raw, Refusal, RejectCode, parse_int};
pub(crate) use check::{FOUND_TRUE, IS_REQUIRED};
pub use chunk::{Chunk, Column, Position, Strings, Value};
pub(crate) use chunk::{Stored, short_hash, uneven_share};
pub use pseudonyms::Pseudonyms;

/// The longest accepted record, in bytes.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// The longest `event_id`, in bytes.
pub const EVENT_ID_BYTES_MAX: usize = 64;
/// The longest identifier other than `event_id`, in bytes.
pub const ID_BYTES_MAX: usize = 128;
/// The longest `text`, and the longest string in a column of one's own, in bytes.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Ten thousand million yuan: more than any payment, and small enough that sums cannot overflow.
pub const AMOUNT_FEN_MAX: i64 = 1_000_000_000_000;
/// 2000-01-01T00:00:00Z in milliseconds.
pub const TIME_MIN: i64 = 946_684_800_000;
/// 2100-01-01T00:00:00Z in milliseconds; times from here on are refused.
pub const TIME_MAX: i64 = 4_102_444_800_000;
/// The integer that stands for null in an integer column; no field accepts it as a value.
pub const NULL_INT: i64 = i64::MIN;

/// What happened. `send`, `claim`, `transfer` and `withdraw` are transactions and get a decision.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is the kind of that name")]
pub enum Kind {
    Send,
    Claim,
    Refund,
    Transfer,
    Topup,
    Withdraw,
    Message,
    Join,
    Login,
    Account,
    Group,
    Label,
}

impl Kind {
    /// Every kind, in the order of its code.
    pub const ALL: [Kind; 12] = [
        Kind::Send,
        Kind::Claim,
        Kind::Refund,
        Kind::Transfer,
        Kind::Topup,
        Kind::Withdraw,
        Kind::Message,
        Kind::Join,
        Kind::Login,
        Kind::Account,
        Kind::Group,
        Kind::Label,
    ];

    /// Every name, in the order of [`Kind::ALL`].
    pub const NAMES: [&'static str; Kind::ALL.len()] = {
        let mut names = [""; Kind::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Kind::ALL[at].name();
            at += 1;
        }
        names
    };

    /// The name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Send => "send",
            Kind::Claim => "claim",
            Kind::Refund => "refund",
            Kind::Transfer => "transfer",
            Kind::Topup => "topup",
            Kind::Withdraw => "withdraw",
            Kind::Message => "message",
            Kind::Join => "join",
            Kind::Login => "login",
            Kind::Account => "account",
            Kind::Group => "group",
            Kind::Label => "label",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Kind> {
        Some(match name {
            "send" => Kind::Send,
            "claim" => Kind::Claim,
            "refund" => Kind::Refund,
            "transfer" => Kind::Transfer,
            "topup" => Kind::Topup,
            "withdraw" => Kind::Withdraw,
            "message" => Kind::Message,
            "join" => Kind::Join,
            "login" => Kind::Login,
            "account" => Kind::Account,
            "group" => Kind::Group,
            "label" => Kind::Label,
            _ => return None,
        })
    }

    /// Whether an event of this kind gets a decision.
    pub fn is_transaction(self) -> bool {
        matches!(self, Kind::Send | Kind::Claim | Kind::Transfer | Kind::Withdraw)
    }

    /// Whether `amount_fen` is required.
    pub fn has_amount(self) -> bool {
        matches!(
            self,
            Kind::Send | Kind::Claim | Kind::Refund | Kind::Transfer | Kind::Topup | Kind::Withdraw
        )
    }

    /// The set that holds this kind alone.
    pub fn bit(self) -> KindSet {
        KindSet(1 << self as u16)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct KindSet(pub u16);

impl KindSet {
    /// The four kinds that get a decision.
    pub const TRANSACTIONS: KindSet = KindSet(
        1 << Kind::Send as u16
            | 1 << Kind::Claim as u16
            | 1 << Kind::Transfer as u16
            | 1 << Kind::Withdraw as u16,
    );
    /// The kinds of which somebody is paid, so that there is a `payee_id`.
    pub const PAID: KindSet = KindSet(1 << Kind::Claim as u16 | 1 << Kind::Transfer as u16);
    /// Every kind.
    pub const ALL: KindSet = KindSet((1 << Kind::ALL.len()) - 1);

    /// Those that both sets hold.
    #[must_use]
    pub fn and(self, other: KindSet) -> KindSet {
        KindSet(self.0 & other.0)
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of its members, for a message.
    pub(crate) fn listed(self) -> String {
        self.iter().map(Kind::name).collect::<Vec<_>>().join(", ")
    }

    /// Whether the set holds `kind`.
    pub fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u16) != 0
    }

    /// The members, in the order of their codes.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<Kind> for KindSet {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        KindSet(kinds.into_iter().fold(0, |set, kind| set | 1 << kind as u16))
    }
}

/// The type of a field, a feature or an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// A signed 64-bit integer. Money is an integer number of fen, a time or duration of ms.
    Int,
    /// A binary64 number.
    Double,
    /// True or false.
    Bool,
    /// UTF-8 text; the empty string is null.
    #[serde(rename = "string")]
    Str,
}

impl Type {
    /// Its name with the article that belongs before it.
    pub fn with_article(self) -> &'static str {
        match self {
            Type::Int => "an int",
            Type::Double => "a double",
            Type::Bool => "a bool",
            Type::Str => "a string",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Int => "int",
            Type::Double => "double",
            Type::Bool => "bool",
            Type::Str => "string",
        })
    }
}

/// A field's place in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u16);

impl FieldId {
    /// A bit of its own; fields of one's own that come after 64 have none.
    #[inline]
    pub(crate) fn bit(self) -> u64 {
        1u64.checked_shl(u32::from(self.0)).unwrap_or(0)
    }

    /// The place as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

macro_rules! standard_fields {
    ($($constant:ident $name:literal $kind:ident $rule:ident $doc:literal;)*) => {
        #[repr(u16)]
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "indices of constants")]
        enum Place { $($constant,)* }
        $(
            #[doc = $doc]
            pub const $constant: FieldId = FieldId(Place::$constant as u16);
        )*
        /// The standard fields in schema order: name, type, bound, meaning.
        pub const FIELDS: &[(&str, Type, Bound, &str)] =
            &[$(($name, Type::$kind, Bound::$rule, $doc),)*];
    };
}

/// What bounds the values of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// 1 to 64 bytes.
    EventId,
    /// Up to 128 bytes.
    Id,
    /// Up to 4096 bytes.
    Text,
    /// A time between 2000 and 2100, as an integer of ms or in RFC 3339.
    Time,
    /// The name of a kind.
    Kind,
    /// 0 to [`AMOUNT_FEN_MAX`].
    Amount,
    /// 0 or more.
    Natural,
    /// lucky, equal, exclusive, relay, timed, password.
    Play,
    /// balance, lingqiantong, bank.
    Funding,
    /// wechat, alipay, douyin, other.
    Platform,
    /// fraud, honest.
    Label,
    /// event, account, group.
    SubjectKind,
    /// Nothing but the type.
    None,
}

impl Bound {
    /// The values, where they are a closed set of names.
    pub fn values(self) -> Option<&'static [&'static str]> {
        Some(match self {
            Bound::Kind => &Kind::NAMES,
            Bound::Play => &["lucky", "equal", "exclusive", "relay", "timed", "password"],
            Bound::Funding => &["balance", "lingqiantong", "bank"],
            Bound::Platform => &["wechat", "alipay", "douyin", "other"],
            Bound::Label => &["fraud", "honest"],
            Bound::SubjectKind => &["event", "account", "group"],
            _ => return None,
        })
    }
}

standard_fields! {
    EVENT_ID "event_id" Str EventId "unique id of the event";
    EVENT_TIME "event_time" Int Time "when it happened, ms since 1970 UTC";
    KIND "kind" Str Kind "what happened";
    ACCOUNT_ID "account_id" Str Id "who acts";
    COUNTERPARTY_ID "counterparty_id" Str Id "claim: the packet's sender; transfer: the payee";
    GROUP_ID "group_id" Str Id "the group in which it happened";
    PACKET_ID "packet_id" Str Id "the red packet";
    AMOUNT_FEN "amount_fen" Int Amount "money moved, in fen";
    SEQ "seq" Int None "order of its source among equal times";
    SHARES "shares" Int Natural "number of shares of a packet";
    PLAY "play" Str Play "how a packet is shared out";
    FUNDING "funding" Str Funding "where the money comes from";
    DEVICE_ID "device_id" Str Id "the device";
    IP "ip" Str Id "the network address";
    REGION "region" Str Id "GB/T 2260 code";
    PLATFORM "platform" Str Platform "the app";
    AGE_BAND "age_band" Str Id "age band of the account";
    REGISTERED_AT "registered_at" Int Time "when the account was opened, ms since 1970 UTC";
    VERIFIED "verified" Bool None "whether the account holder's name is verified";
    TEXT "text" Str Text "memo, message or group name";
    LABEL "label" Str Label "what was found true: fraud or honest";
    TYPOLOGY "typology" Str Id "the kind of fraud";
    SUBJECT_KIND "subject_kind" Str SubjectKind "of what it was found true";
    SUBJECT_ID "subject_id" Str Id "id of the event, account or group";
}

/// The kinds of events that can have a value in a field. What was found true is taken out of all
/// that are no label; any other field may stand on an event of any kind.
pub fn carriers(field: FieldId) -> KindSet {
    if FOUND_TRUE.contains(&field) { Kind::Label.bit() } else { KindSet::ALL }
}

/// One field of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name; a column of one's own is called `extra.NAME`.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// What bounds its values.
    pub bound: Bound,
}

/// The fields of a run: the standard ones, then the `[extra.*]` columns of its mapping files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    fields: Vec<Field>,
    pseudonyms: Option<Arc<Pseudonyms>>,
}

impl Default for Schema {
    fn default() -> Self {
        let fields = FIELDS
            .iter()
            .map(|&(name, kind, bound, _)| Field { name: name.to_owned(), kind, bound })
            .collect();
        Schema { fields, pseudonyms: None }
    }
}

impl Schema {
    /// The standard fields and then `extras` (names without the `extra.` prefix), in that order.
    pub fn with_extras(extras: impl IntoIterator<Item = (String, Type)>) -> Self {
        let mut schema = Schema::default();
        schema.fields.extend(extras.into_iter().map(|(name, kind)| Field {
            name: format!("extra.{name}"),
            kind,
            bound: if kind == Type::Str { Bound::Text } else { Bound::None },
        }));
        schema
    }

    /// The same fields, where ids are replaced by pseudonyms as events are read; or are not.
    pub fn with_pseudonyms(self, pseudonyms: Option<Arc<Pseudonyms>>) -> Self {
        Schema { pseudonyms, ..self }
    }

    /// What replaces the ids of events that are read, if anything does.
    pub fn pseudonyms(&self) -> Option<&Arc<Pseudonyms>> {
        self.pseudonyms.as_ref()
    }

    /// The fields, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field at `id`.
    pub fn field(&self, id: FieldId) -> &Field {
        &self.fields[id.index()]
    }

    /// The field of that name.
    pub fn find(&self, name: &str) -> Option<FieldId> {
        let at = self.fields.iter().position(|field| field.name == name)?;
        Some(FieldId(at as u16))
    }
}
