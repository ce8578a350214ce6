//! A line of JSON as a command.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::packet::command::{
    Command, Decision, Funding, Next, PerMille, Play, Purse, Request, Resolution, Send, Tie,
    password_digest,
};
use crate::packet::plays::AmountPolicy;
use crate::packet::units::{Day, Fen, Span, Time};

/// The fields of a command beside `id`, `do` and `at`.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    /// What stands in `do`.
    pub name: &'static str,
    /// Those that it must have.
    pub required: &'static [&'static str],
    /// Those that it may have.
    pub optional: &'static [&'static str],
}

const fn fields(
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> Fields {
    Fields { name, required, optional }
}

/// Every command.
pub const FIELDS: [Fields; 15] = [
    fields("topup", &["account", "amount_fen"], &[]),
    fields("withdraw", &["account", "amount_fen"], &[]),
    fields("move", &["account", "amount_fen", "into"], &[]),
    fields("transfer", &["account", "to", "amount_fen"], &["funding"]),
    fields(
        "send",
        &["account", "packet", "amount_fen", "shares"],
        &["group", "play", "funding", "tilt_per_mille", "to", "next", "after", "from", "password"],
    ),
    fields("claim", &["account", "packet"], &["password", "tie"]),
    fields("join", &["group", "account"], &[]),
    fields("leave", &["group", "account"], &[]),
    fields("watch", &["group", "under_review"], &[]),
    fields("link", &["account"], &["cluster"]),
    fields("decide", &["transaction", "decision"], &["ttl_ms", "rules_hash", "evidence_hash"]),
    fields("resolve", &["transaction", "resolution", "actor", "reason"], &["case"]),
    fields("thaw", &["case", "account", "amount_fen", "actor", "reason"], &[]),
    fields("clear", &["day"], &[]),
    fields("tick", &[], &[]),
];

/// A line as it is read: any field, of the right type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "do")]
    what: Cow<'a, str>,
    /// What the clock shows, where it is not that of the machine.
    pub at: Option<Moment>,
    #[serde(borrow)]
    account: Option<Cow<'a, str>>,
    #[serde(borrow)]
    to: Option<Cow<'a, str>>,
    amount_fen: Option<u64>,
    into: Option<PurseName>,
    funding: Option<FundingName>,
    #[serde(borrow)]
    group: Option<Cow<'a, str>>,
    #[serde(borrow)]
    packet: Option<Cow<'a, str>>,
    shares: Option<u32>,
    play: Option<PlayName>,
    tilt_per_mille: Option<u16>,
    next: Option<NextName>,
    #[serde(borrow)]
    after: Option<Cow<'a, str>>,
    from: Option<Moment>,
    #[serde(borrow)]
    password: Option<Cow<'a, str>>,
    tie: Option<TieName>,
    under_review: Option<bool>,
    #[serde(borrow)]
    cluster: Option<Cow<'a, str>>,
    #[serde(borrow)]
    transaction: Option<Cow<'a, str>>,
    decision: Option<DecisionName>,
    ttl_ms: Option<u32>,
    rules_hash: Option<Hash>,
    evidence_hash: Option<Hash>,
    resolution: Option<ResolutionName>,
    #[serde(borrow)]
    actor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    case: Option<Cow<'a, str>>,
    day: Option<DayName>,
}

/// What the fields hold whose names alone do not say it.
const VALUES: [(&str, &str); 20] = [
    ("id", "1 to 64 bytes, unique among commands"),
    ("at", "the time, ms since 1970 UTC or RFC 3339 (--clock commands alone)"),
    ("*_fen", "whole fen, 1 and more"),
    ("into", "change, lingqiantong: it comes from the other one"),
    ("funding", "balance (default), lingqiantong, bank"),
    ("play", "lucky (default), equal, exclusive, relay, timed, password"),
    ("to", "who is paid; the play exclusive needs it: whose the packet is"),
    ("next", "relay alone: luckiest (default), least_lucky"),
    ("after", "relay alone: the packet before; none for the first"),
    ("from", "timed needs it: when the packet opens, as at"),
    ("password", "the play password needs it; not empty"),
    ("tilt_per_mille", "0 (default) and more, where shares are drawn (not equal, exclusive)"),
    ("tie", "to the sender: none (default), close, distant"),
    ("transaction", "the id of the command that made it"),
    ("decision", "allow, review, hold, block"),
    ("ttl_ms", "a hold needs it; 1 and more"),
    ("*_hash", "64 hexadecimal digits"),
    ("resolution", "release, return, freeze; of what is under review: release"),
    ("case", "freeze needs it"),
    ("day", "such as 2024-02-09, in China"),
];

/// Every command with its fields, and what these hold, for `--help`.
pub fn reference() -> String {
    let mut text =
        "Commands and their fields beside id and do; those in brackets may be left out:\n"
            .to_owned();
    for Fields { name, required, optional } in FIELDS {
        let optional = optional.iter().map(|field| format!("[{field}]"));
        let fields = required.iter().map(|&field| field.to_owned()).chain(optional);
        let fields: Vec<String> = fields.collect();
        text += format!("  {name:<9} {}", fields.join(" ")).trim_end();
        text += "\n";
    }
    text += "\nValues:\n";
    for (field, value) in VALUES {
        text += &format!("  {field:<15} {value}\n");
    }
    text
}

/// The id of a line that cannot be read as a command, where that can be read.
pub fn id_of(line: &[u8]) -> Option<String> {
    let fields: Map<String, Value> = serde_json::from_slice(line).ok()?;
    Some(fields.get("id")?.as_str()?.to_owned())
}

impl Line<'_> {
    /// The id of the command, or what is meant to be one.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The command of a line.
///
/// # Errors
/// Says which field is missing or does not belong there.
pub fn command<'a>(line: &'a Line<'_>) -> Result<Request<'a>, String> {
    let fields = FIELDS.iter().find(|fields| fields.name == line.what).ok_or_else(|| {
        let names: Vec<&str> = FIELDS.iter().map(|fields| fields.name).collect();
        let hint = crate::diagnostic::did_you_mean(&line.what, names.iter().copied());
        let hint = hint.map_or_else(
            || format!("one of {}", names.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        format!("`{}` is no command: {hint}", line.what)
    })?;
    let present = line.present();
    if let Some(missing) = fields.required.iter().find(|name| !present.contains(name)) {
        return Err(format!("`{missing}` is missing: {} needs it", fields.name));
    }
    let known = |name: &&str| fields.required.contains(name) || fields.optional.contains(name);
    if let Some(other) = present.iter().find(|name| !known(name)) {
        return Err(format!("`{other}` does not belong to {}", fields.name));
    }
    Ok(Request { id: &line.id, command: line.command()? })
}

impl Line<'_> {
    /// The names of the fields that it has.
    fn present(&self) -> Vec<&'static str> {
        [
            ("account", self.account.is_some()),
            ("to", self.to.is_some()),
            ("amount_fen", self.amount_fen.is_some()),
            ("into", self.into.is_some()),
            ("funding", self.funding.is_some()),
            ("group", self.group.is_some()),
            ("packet", self.packet.is_some()),
            ("shares", self.shares.is_some()),
            ("play", self.play.is_some()),
            ("tilt_per_mille", self.tilt_per_mille.is_some()),
            ("next", self.next.is_some()),
            ("after", self.after.is_some()),
            ("from", self.from.is_some()),
            ("password", self.password.is_some()),
            ("tie", self.tie.is_some()),
            ("under_review", self.under_review.is_some()),
            ("cluster", self.cluster.is_some()),
            ("transaction", self.transaction.is_some()),
            ("decision", self.decision.is_some()),
            ("ttl_ms", self.ttl_ms.is_some()),
            ("rules_hash", self.rules_hash.is_some()),
            ("evidence_hash", self.evidence_hash.is_some()),
            ("resolution", self.resolution.is_some()),
            ("actor", self.actor.is_some()),
            ("reason", self.reason.is_some()),
            ("case", self.case.is_some()),
            ("day", self.day.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, present)| present.then_some(name))
        .collect()
    }

    /// The command, once its required fields are known to be there.
    fn command(&self) -> Result<Command<'_>, String> {
        let account = self.account.as_deref().unwrap_or_default();
        let group = self.group.as_deref().unwrap_or_default();
        let transaction = self.transaction.as_deref().unwrap_or_default();
        let [actor, reason] =
            [&self.actor, &self.reason].map(|text| text.as_deref().unwrap_or_default());
        let amount = Fen(self.amount_fen.unwrap_or_default());
        Ok(match &*self.what {
            "topup" => Command::TopUp { account, amount },
            "withdraw" => Command::Withdraw { account, amount },
            "move" => Command::Move {
                account,
                into: self.into.map_or(Purse::Change, PurseName::purse),
                amount,
            },
            "transfer" => Command::Transfer {
                account,
                to: self.to.as_deref().unwrap_or_default(),
                amount,
                funding: self.funding(),
            },
            "send" => Command::Send(self.send(account, amount)?),
            "claim" => {
                let packet = self.packet.as_deref().unwrap_or_default();
                let guess = self.password.as_deref();
                Command::Claim {
                    account,
                    packet,
                    guess: guess.map(|password| password_digest(packet, password)),
                    tie: self.tie.map_or(Tie::None, TieName::tie),
                }
            }
            "join" => Command::Join { group, account },
            "leave" => Command::Leave { group, account },
            "watch" => {
                Command::Watch { group, under_review: self.under_review.unwrap_or_default() }
            }
            "link" => Command::Link { account, cluster: self.cluster.as_deref() },
            "decide" => Command::Decide {
                transaction,
                decision: self.decision()?,
                rules_hash: self.rules_hash.map_or([0; 32], |hash| hash.0),
                evidence_hash: self.evidence_hash.map_or([0; 32], |hash| hash.0),
            },
            "resolve" => {
                Command::Resolve { transaction, resolution: self.resolution()?, actor, reason }
            }
            "thaw" => {
                let case = self.case.as_deref().unwrap_or_default();
                Command::Thaw { case, account, amount, actor, reason }
            }
            "clear" => Command::Clear { day: self.day.map_or(Day(0), |day| day.0) },
            _ => Command::Tick,
        })
    }

    fn funding(&self) -> Funding {
        self.funding.map_or(Funding::Purse(Purse::Change), FundingName::funding)
    }

    fn send<'s>(&'s self, account: &'s str, amount: Fen) -> Result<Send<'s>, String> {
        let packet = self.packet.as_deref().unwrap_or_default();
        let name = self.play.unwrap_or(PlayName::Lucky);
        let own: &[(&str, bool, PlayName)] = &[
            ("to", self.to.is_some(), PlayName::Exclusive),
            ("next", self.next.is_some(), PlayName::Relay),
            ("after", self.after.is_some(), PlayName::Relay),
            ("from", self.from.is_some(), PlayName::Timed),
            ("password", self.password.is_some(), PlayName::Password),
        ];
        if let Some((field, _, play)) = own.iter().find(|(_, set, play)| *set && *play != name) {
            return Err(format!("`{field}` belongs to the play {play:?} alone").to_lowercase());
        }
        let needs = |field: &str| format!("`{field}` is missing: the play needs it");
        let play = match name {
            PlayName::Lucky => Play::Lucky,
            PlayName::Equal => Play::Equal,
            PlayName::Exclusive => {
                Play::Exclusive { to: self.to.as_deref().ok_or_else(|| needs("to"))? }
            }
            PlayName::Relay => Play::Relay {
                next: self.next.map_or(Next::Luckiest, NextName::next),
                after: self.after.as_deref(),
            },
            PlayName::Timed => Play::Timed { from: self.from.ok_or_else(|| needs("from"))?.0 },
            PlayName::Password => {
                let password = self.password.as_deref().ok_or_else(|| needs("password"))?;
                if password.is_empty() {
                    return Err("`password` is empty: everybody would know it".into());
                }
                Play::Password { digest: password_digest(packet, password) }
            }
        };
        let tilt = PerMille(self.tilt_per_mille.unwrap_or_default());
        if tilt > PerMille(0) && play.rules().amounts == AmountPolicy::Equal {
            let name = play.rules().name;
            return Err(format!("`tilt_per_mille` means nothing for {name}: no shares are drawn"));
        }
        Ok(Send {
            account,
            packet,
            group: self.group.as_deref(),
            amount,
            shares: self.shares.unwrap_or_default(),
            play,
            funding: self.funding(),
            tilt,
        })
    }

    fn decision(&self) -> Result<Decision, String> {
        Ok(match (self.decision, self.ttl_ms) {
            (Some(DecisionName::Hold), Some(0)) => {
                return Err("`ttl_ms` is 0: what is held is held for some time".into());
            }
            (Some(DecisionName::Hold), Some(ttl)) => Decision::Hold { ttl: Span::from_ms(ttl) },
            (Some(DecisionName::Hold), None) => {
                return Err("`ttl_ms` is missing: a hold needs it".into());
            }
            (_, Some(_)) => return Err("`ttl_ms` belongs to a hold alone".into()),
            (Some(DecisionName::Review), None) => Decision::Review,
            (Some(DecisionName::Block), None) => Decision::Block,
            _ => Decision::Allow,
        })
    }

    fn resolution(&self) -> Result<Resolution<'_>, String> {
        Ok(match (self.resolution, self.case.as_deref()) {
            (Some(ResolutionName::Freeze), Some(case)) => Resolution::Freeze { case },
            (Some(ResolutionName::Freeze), None) => {
                return Err("`case` is missing: freezing needs it".into());
            }
            (_, Some(_)) => return Err("`case` belongs to freezing alone".into()),
            (Some(ResolutionName::Return), None) => Resolution::Return,
            _ => Resolution::Release,
        })
    }
}

macro_rules! names {
    ($($kind:ident: $($name:ident)*;)*) => {
        $(
            #[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
            #[serde(rename_all = "snake_case")]
            enum $kind { $($name,)* }
        )*
    };
}

names! {
    PurseName: Change Lingqiantong;
    FundingName: Balance Lingqiantong Bank;
    PlayName: Lucky Equal Exclusive Relay Timed Password;
    NextName: Luckiest LeastLucky;
    TieName: Close None Distant;
    DecisionName: Allow Review Hold Block;
    ResolutionName: Release Return Freeze;
}

impl PurseName {
    fn purse(self) -> Purse {
        match self {
            PurseName::Change => Purse::Change,
            PurseName::Lingqiantong => Purse::Lingqiantong,
        }
    }
}

impl FundingName {
    fn funding(self) -> Funding {
        match self {
            FundingName::Balance => Funding::Purse(Purse::Change),
            FundingName::Lingqiantong => Funding::Purse(Purse::Lingqiantong),
            FundingName::Bank => Funding::Bank,
        }
    }
}

impl NextName {
    fn next(self) -> Next {
        match self {
            NextName::Luckiest => Next::Luckiest,
            NextName::LeastLucky => Next::LeastLucky,
        }
    }
}

impl TieName {
    fn tie(self) -> Tie {
        match self {
            TieName::Close => Tie::Close,
            TieName::None => Tie::None,
            TieName::Distant => Tie::Distant,
        }
    }
}

/// A moment: milliseconds since 1970 UTC, or RFC 3339 with an offset.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Written<'_>")]
pub struct Moment(pub Time);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written<'a> {
    Ms(i64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

impl TryFrom<Written<'_>> for Moment {
    type Error = String;

    fn try_from(written: Written<'_>) -> Result<Moment, String> {
        // Far from the ends of 64 bits, so that sums of spans stay within them.
        let in_reach = |ms: i64| (0..4_102_444_800_000).contains(&ms);
        let time = match written {
            Written::Ms(ms) if in_reach(ms) => Time::from_ms(ms),
            Written::Ms(ms) => return Err(format!("{ms} ms is not between 1970 and 2100")),
            Written::Text(text) => {
                let moment: jiff::Timestamp =
                    text.parse().map_err(|error| format!("`{text}` is no time: {error}"))?;
                if !in_reach(moment.as_millisecond()) {
                    return Err(format!("`{text}` is not between 1970 and 2100"));
                }
                Time(moment.as_nanosecond() as i64)
            }
        };
        Ok(Moment(time))
    }
}

/// A day such as `2024-02-09`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Cow<'_, str>")]
struct DayName(Day);

impl TryFrom<Cow<'_, str>> for DayName {
    type Error = String;

    fn try_from(text: Cow<'_, str>) -> Result<DayName, String> {
        let date: jiff::civil::Date =
            text.parse().map_err(|error| format!("`{text}` is no day: {error}"))?;
        let days = date.since(jiff::civil::date(1970, 1, 1)).map_err(|error| error.to_string())?;
        Ok(DayName(Day(days.get_days())))
    }
}

/// 32 bytes as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Cow<'_, str>")]
struct Hash([u8; 32]);

impl TryFrom<Cow<'_, str>> for Hash {
    type Error = String;

    fn try_from(text: Cow<'_, str>) -> Result<Hash, String> {
        let hash = blake3::Hash::from_hex(text.as_bytes());
        hash.map(|hash| Hash(*hash.as_bytes()))
            .map_err(|_| format!("`{text}` is not 64 hexadecimal digits"))
    }
}
