//! The plays in one table: who may claim, what they get, from when, and where the rest goes.

use serde::{Deserialize, Serialize};

use super::command::Play;

/// Who may claim, beside that each does so once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligibility {
    /// The members of its group; without a group whoever holds its link.
    Members,
    /// One named account, which must be a member, too, where there is a group.
    Named,
    /// As [`Members`](Self::Members), with the password.
    Password,
}

/// How much a claimer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AmountPolicy {
    /// Drawn by [`split::share`](super::split::share).
    Drawn,
    /// The amount by the number of shares, which must divide it.
    Equal,
}

/// From when on it can be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// As soon as its sending is decided.
    AtOnce,
    /// From a moment that the sender named.
    AtMoment,
}

/// What becomes of what nobody claimed by the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refund {
    /// Back into the sender's purse that it came from; what the bank paid into the change.
    ToSender,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Its name in commands and events.
    pub name: &'static str,
    /// Who may claim.
    pub eligibility: Eligibility,
    /// How much they get.
    pub amounts: AmountPolicy,
    /// From when on.
    pub release: Release,
    /// What becomes of the rest.
    pub refund: Refund,
    /// Whether it has one share and no more.
    pub single: bool,
}

const BASE: Rules = Rules {
    name: "lucky",
    eligibility: Eligibility::Members,
    amounts: AmountPolicy::Drawn,
    release: Release::AtOnce,
    refund: Refund::ToSender,
    single: false,
};

/// 拼手气.
pub const LUCKY: Rules = BASE;
/// 普通.
pub const EQUAL: Rules = Rules { name: "equal", amounts: AmountPolicy::Equal, ..BASE };
/// 专属.
pub const EXCLUSIVE: Rules = Rules {
    name: "exclusive",
    eligibility: Eligibility::Named,
    amounts: AmountPolicy::Equal,
    single: true,
    ..BASE
};
/// 接龙.
pub const RELAY: Rules = Rules { name: "relay", ..BASE };
/// 定时.
pub const TIMED: Rules = Rules { name: "timed", release: Release::AtMoment, ..BASE };
/// 口令.
pub const PASSWORD: Rules = Rules { name: "password", eligibility: Eligibility::Password, ..BASE };

/// Every play.
pub const TABLE: [Rules; 6] = [LUCKY, EQUAL, EXCLUSIVE, RELAY, TIMED, PASSWORD];

impl Play<'_> {
    /// The play's row of the table.
    pub fn rules(&self) -> &'static Rules {
        match self {
            Play::Lucky => &LUCKY,
            Play::Equal => &EQUAL,
            Play::Exclusive { .. } => &EXCLUSIVE,
            Play::Relay { .. } => &RELAY,
            Play::Timed { .. } => &TIMED,
            Play::Password { .. } => &PASSWORD,
        }
    }
}
