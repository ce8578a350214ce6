//! What the engine can be asked to do.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::{Deserialize, Serialize};

use super::units::{Day, Fen, Span, Time};

/// A command with the client's own name for it.
///
/// The client makes the id before it sends and repeats it when it has heard nothing: the same id
/// with the same command gets the same reply and does nothing more, also where the reply was a
/// refusal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Unique among the client's commands, 1 to 64 bytes.
    pub id: &'a str,
    /// What is to be done.
    #[serde(borrow)]
    pub command: Command<'a>,
}

/// What the engine can be asked to do. An account is opened by the first command that names it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command<'a> {
    /// Money that the bank has paid in for an account, into its change (零钱).
    TopUp {
        /// Whose.
        account: &'a str,
        /// How much.
        amount: Fen,
    },
    /// Money from an account's change to its bank. A transaction: it waits for a decision.
    Withdraw {
        /// Whose.
        account: &'a str,
        /// How much.
        amount: Fen,
    },
    /// Money between two purses of one account.
    Move {
        /// Whose.
        account: &'a str,
        /// Into which of its purses; it comes from the other.
        into: Purse,
        /// How much.
        amount: Fen,
    },
    /// Money from one account to another's change. A transaction: it waits for a decision.
    Transfer {
        /// Who pays.
        account: &'a str,
        /// Who is paid.
        to: &'a str,
        /// How much.
        amount: Fen,
        /// Out of what.
        funding: Funding,
    },
    /// A new packet. A transaction: it waits for a decision, and nobody claims before.
    #[serde(borrow)]
    Send(Send<'a>),
    /// A share of a packet, please. A transaction: the share is drawn and its place is taken at
    /// once, and its money waits for a decision.
    Claim {
        /// Who asks.
        account: &'a str,
        /// Of which packet.
        packet: &'a str,
        /// The digest of the password that the claimer said, see [`password_digest`].
        guess: Option<[u8; 32]>,
        /// How close the claimer is to the sender.
        tie: Tie,
    },
    /// An account becomes a member of a group.
    Join {
        /// The group.
        group: &'a str,
        /// Who.
        account: &'a str,
    },
    /// An account leaves a group.
    Leave {
        /// The group.
        group: &'a str,
        /// Who.
        account: &'a str,
    },
    /// A group comes under review for gambling, or no longer is: no packet in it is regulated
    /// while it is.
    Watch {
        /// The group.
        group: &'a str,
        /// Whether it is under review.
        under_review: bool,
    },
    /// The cluster of accounts that share devices, to which an account now belongs.
    Link {
        /// Who.
        account: &'a str,
        /// Its cluster; none for an account of its own.
        cluster: Option<&'a str>,
    },
    /// The risk decision on a transaction.
    Decide {
        /// The id of the request that made the transaction.
        transaction: &'a str,
        /// What was decided.
        decision: Decision,
        /// By which rules.
        rules_hash: [u8; 32],
        /// On what evidence.
        evidence_hash: [u8; 32],
    },
    /// A person ends the hold of a transaction.
    Resolve {
        /// The id of the request that made the transaction.
        transaction: &'a str,
        /// How.
        #[serde(borrow)]
        resolution: Resolution<'a>,
        /// Who did it.
        actor: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A person gives frozen money of a case to an account.
    Thaw {
        /// The case.
        case: &'a str,
        /// Who gets it, into its change.
        account: &'a str,
        /// How much.
        amount: Fen,
        /// Who did it.
        actor: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// Settles a day's net with the bank, on the next day or later (T+1).
    Clear {
        /// The day.
        day: Day,
    },
    /// Nothing but the passing of time: what has fallen due is done.
    Tick,
}

impl<'a> Command<'a> {
    /// The account and the packet that it names as what it is about.
    pub fn about(&self) -> (Option<&'a str>, Option<&'a str>) {
        match *self {
            Command::TopUp { account, .. }
            | Command::Withdraw { account, .. }
            | Command::Move { account, .. }
            | Command::Transfer { account, .. }
            | Command::Join { account, .. }
            | Command::Leave { account, .. }
            | Command::Link { account, .. }
            | Command::Thaw { account, .. } => (Some(account), None),
            Command::Send(Send { account, packet, .. })
            | Command::Claim { account, packet, .. } => (Some(account), Some(packet)),
            Command::Decide { .. }
            | Command::Resolve { .. }
            | Command::Watch { .. }
            | Command::Clear { .. }
            | Command::Tick => (None, None),
        }
    }
}

/// Where an account's own money stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purse {
    /// 零钱, the balance of the wallet.
    Change,
    /// 零钱通, the money-market fund of the wallet.
    Lingqiantong,
}

/// Out of what a transaction is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Funding {
    /// A purse of the payer.
    Purse(Purse),
    /// The payer's bank, which has confirmed it.
    Bank,
}

/// A new packet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Send<'a> {
    /// Who sends it.
    pub account: &'a str,
    /// Its id, unique, 1 to 128 bytes.
    pub packet: &'a str,
    /// The group whose members may claim; none for a packet that whoever holds its link may claim.
    pub group: Option<&'a str>,
    /// How much is in it.
    pub amount: Fen,
    /// In how many shares.
    pub shares: u32,
    /// How it is played.
    #[serde(borrow)]
    pub play: Play<'a>,
    /// Out of what.
    pub funding: Funding,
    /// How strongly ties between people tilt who gets which share; off at zero.
    pub tilt: PerMille,
}

/// How a packet is played. What each means for who may claim, what they get and when is in the
/// one table [`plays`](super::plays).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Play<'a> {
    /// 拼手气: shares are drawn.
    Lucky,
    /// 普通: equal shares.
    Equal,
    /// 专属: one share for one named account, in a group one of its members.
    Exclusive {
        /// Whose it is.
        to: &'a str,
    },
    /// 接龙: shares are drawn, and whom they say sends the next packet.
    Relay {
        /// Who sends next.
        next: Next,
        /// The packet after which this one comes; none for the first.
        after: Option<&'a str>,
    },
    /// 定时: visible now, claimed from a moment on.
    Timed {
        /// From when.
        from: Time,
    },
    /// 口令: claimed by those who know the password.
    Password {
        /// See [`password_digest`].
        digest: [u8; 32],
    },
}

/// Who sends the next packet of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Next {
    /// The claimer of the largest share; of equal ones the first.
    Luckiest,
    /// The claimer of the smallest share; of equal ones the first.
    LeastLucky,
}

/// How close a claimer is to a packet's sender, among the members of the group. The service that
/// knows people's ties says so, from the time before the packet alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tie {
    /// Of the closest third.
    Close,
    /// In the middle, new or not known.
    #[default]
    None,
    /// Of the most distant third.
    Distant,
}

/// Thousandths.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PerMille(pub u16);

/// A risk decision on a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Decision {
    /// The money goes where it should.
    Allow,
    /// It goes there too, and a person looks at it.
    Review,
    /// It stands in the held account of who acted until a person ends the hold or its time is
    /// over.
    Hold {
        /// How long.
        ttl: Span,
    },
    /// It stays where it was. The share of a blocked claim is nobody else's: it goes back to the
    /// sender with the rest.
    Block,
}

/// How a person ends a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolution<'a> {
    /// The money goes on where it should have gone.
    Release,
    /// It goes back to where it came from.
    Return,
    /// It is frozen for a case.
    Freeze {
        /// The case.
        case: &'a str,
    },
}

/// The digest by which a password is kept and compared: bound to its packet, so that equal
/// passwords of two packets look different. A short password can still be found from it by trying.
pub fn password_digest(packet: &str, password: &str) -> [u8; 32] {
    static KEY: LazyLock<ContextKey> =
        LazyLock::new(|| hash_derive_key_context("hongxian 2026 packet password"));
    let mut hasher = blake3::Hasher::new_from_context_key(&KEY);
    hasher.update(&(packet.len() as u64).to_le_bytes());
    hasher.update(packet.as_bytes());
    hasher.update(password.as_bytes());
    *hasher.finalize().as_bytes()
}
