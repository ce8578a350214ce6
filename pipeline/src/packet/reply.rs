//! What the engine answers, and what it does by itself when time passes.

use serde::{Deserialize, Serialize};

use super::command::Decision;
use super::units::{Fen, Time};

pub use super::units::Seq;

/// A 256-bit hash: of a packet's chain, of a secret's commitment.
pub type Digest = [u8; 32];

/// The answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The command's place in the sequence.
    pub seq: Seq,
    /// The moment that the engine gave it.
    pub time: Time,
    /// What was done, or why nothing was.
    pub result: Result<Done, Refusal>,
    /// The wallet, afterwards, of the account that the command or its transaction is of, also where it
    /// was refused; none where the command is of none.
    pub wallet: Option<Wallet>,
    /// The head of the packet's chain afterwards, that of a claim at its own link: the receipt for
    /// the order so far.
    pub head: Option<Digest>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Done {
    /// It was written down, or money was moved at once.
    Applied,
    /// The packet is made; its money waits for a decision (or, with no decisions awaited, it is
    /// open).
    Sent {
        /// What the packet's secret was, in a form that does not tell it yet, see
        /// [`draw::commitment`](super::draw::commitment).
        commitment: Digest,
    },
    /// A share is the claimer's; its money waits for a decision (or has been paid).
    Claimed {
        /// Its place in the order of the packet's claims, from 0.
        index: u32,
        /// How much.
        amount: Fen,
        /// How the tie between claimer and sender tilted the choice, where it did.
        tilt: Option<Tilted>,
    },
    /// The transaction is written down; its money waits for a decision (or has been paid).
    Waiting,
    /// The transaction's state after a decision or a person's act.
    Decided(Settlement),
    /// The day's net with the bank, in fen: what the bank pays in, or with a minus what it is paid.
    Cleared {
        /// Fen.
        net: i64,
    },
}

/// How a tie tilted a choice: of two shares that were still there, the larger or the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tilted {
    /// The one that would have been given.
    pub first: Fen,
    /// The one that it was compared with.
    pub second: Fen,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// No decision yet: its money is reserved where it was.
    Undecided,
    /// Paid, by a decision to allow or to review.
    Posted,
    /// Not paid, by a decision to block.
    Voided,
    /// In the held account of who acted.
    Held,
    /// Paid after a hold.
    Released,
    /// Given back after a hold.
    Returned,
    /// Frozen for a case after a hold.
    Frozen,
}

/// What an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wallet {
    /// 零钱, what can be spent of it.
    pub change: Fen,
    /// 零钱通, what can be spent of it.
    pub lingqiantong: Fen,
    /// Reserved in either for transactions without a decision.
    pub reserved: Fen,
    /// Held.
    pub held: Fen,
}

/// Why a command was refused. It changes nothing.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// See its message, as for all.
    #[error("an id is empty or longer than its limit")]
    IdInvalid,
    /// Amount of nothing.
    #[error("the amount is zero")]
    AmountZero,
    /// Over [`Fen::MAX`].
    #[error("the amount is more than one command may move")]
    AmountTooLarge,
    /// Not enough to spend, reservations counted.
    #[error("there is less to spend than the amount")]
    FundsInsufficient,
    /// More money than there can be.
    #[error("there would be more money than the ledger can count")]
    LedgerFull,
    /// Paid to oneself.
    #[error("payer and payee are the same account")]
    SameAccount,
    /// Another packet has the id.
    #[error("another packet has this id")]
    PacketIdTaken,
    /// No share, or more than allowed.
    #[error("the number of shares is out of its limits")]
    SharesOutOfLimits,
    /// Less than the least share for each, or a mean over its limit.
    #[error("the amount a share is out of its limits")]
    ShareAmountOutOfLimits,
    /// Equal shares that do not come out even.
    #[error("the amount cannot be divided into equal shares")]
    SharesUneven,
    /// An exclusive packet in more than one share.
    #[error("an exclusive packet has one share")]
    SharesNotOne,
    /// Timed into the past or too far ahead.
    #[error("the moment of a timed packet is past or too far ahead")]
    ReleaseOutOfLimits,
    /// Stronger than allowed.
    #[error("the tilt is stronger than its limit")]
    TiltTooStrong,
    /// Over a limit of a day.
    #[error("the sender has reached a limit of the day")]
    DailyLimit,
    /// The packet after which it should come is unknown, or no relay, or not all claimed.
    #[error("there is no finished relay packet that this one could follow")]
    RelayNotFinished,
    /// Another has to send.
    #[error("it is another account's turn to send")]
    RelayNotYourTurn,
    /// Sent already.
    #[error("the relay has gone on already")]
    RelayWentOn,
    /// The sender is not in the group, or the claimer.
    #[error("the account is not a member of the group")]
    NotMember,
    /// No such packet.
    #[error("there is no such packet")]
    PacketUnknown,
    /// No decision on the sending yet, or it is held.
    #[error("the packet waits for its own decision")]
    PacketWaiting,
    /// The sending was blocked or given back.
    #[error("the packet was blocked")]
    PacketBlocked,
    /// A timed packet before its moment.
    #[error("the packet opens later")]
    PacketNotYetOpen,
    /// Its time is over.
    #[error("the packet has expired")]
    PacketExpired,
    /// All shares are taken.
    #[error("all shares are taken")]
    PacketExhausted,
    /// It is another's.
    #[error("the packet is for another account")]
    NotNamed,
    /// One share each.
    #[error("the account has a share of this packet")]
    ClaimedAlready,
    /// The sender may not claim, by the limits.
    #[error("the sender may not claim")]
    SenderMayNotClaim,
    /// Wrong or no password.
    #[error("the password is wrong")]
    PasswordWrong,
    /// Too many wrong guesses by this account.
    #[error("too many wrong passwords")]
    GuessesTooMany,
    /// No transaction by that id.
    #[error("there is no such transaction")]
    TransactionUnknown,
    /// The first decision was another.
    #[error("the transaction was decided otherwise")]
    DecidedOtherwise,
    /// Nothing to end.
    #[error("the transaction is not held")]
    NotHeld,
    /// Longer than allowed.
    #[error("the hold is longer than its limit")]
    HoldTooLong,
    /// A person's act without name or reason.
    #[error("an act of a person needs an actor and a reason")]
    ActorOrReasonMissing,
    /// No such case.
    #[error("there is no such case")]
    CaseUnknown,
    /// Today, or with transactions that may still be posted into it.
    #[error("the day is not over")]
    DayNotOver,
    /// Done before.
    #[error("the day was cleared before")]
    DayCleared,
}

/// Something that the engine did because its time had come, or that follows from a command beside
/// its own result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// When.
    pub time: Time,
    /// What.
    pub what: Happening,
}

/// What an [`Effect`] is. A packet is named by the command that sent it, an account by the engine's
/// number for it, see [`Engine::account_name`](super::engine::Engine::account_name).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happening {
    /// No decision came in time: the policy's, by amount, was taken.
    FellBack {
        /// The command that made the transaction.
        transaction: Seq,
        /// What was decided.
        decision: Decision,
    },
    /// A hold's time was over.
    HoldEnded {
        /// The command that made the transaction.
        transaction: Seq,
        /// What became of it.
        settlement: Settlement,
    },
    /// Claims are possible from now on.
    Opened {
        /// The packet.
        packet: Seq,
    },
    /// The last share was taken.
    Exhausted {
        /// The packet.
        packet: Seq,
        /// The claimer of the largest share; of equal ones the first.
        luckiest: u32,
        /// Who has to send the next packet, in a relay.
        next: Option<u32>,
    },
    /// Its time was over.
    Expired {
        /// The packet.
        packet: Seq,
    },
    /// What nobody got has gone back to the sender.
    Refunded {
        /// The packet.
        packet: Seq,
        /// How much.
        amount: Fen,
    },
    /// Nothing more will happen to it; its secret is told, so that anyone can draw its shares
    /// again.
    Closed {
        /// The packet.
        packet: Seq,
        /// The secret of its draws.
        secret: Digest,
    },
}
