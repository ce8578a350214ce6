//! What can be sent and paid.

use super::figures::DAY;
use super::random::Rng;
use super::world::{Account, Group, SchemeId};

/// The most that the mean share of a packet may be, in fen.
pub(super) const SHARE_MEAN_FEN_MAX: i64 = 20_000;
/// After so long what is unclaimed goes back, ms.
pub(super) const EXPIRY_MS: i64 = DAY;

/// How a packet is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Play {
    /// Shares are drawn.
    Lucky,
    /// Equal shares.
    Equal,
    /// One share for one.
    Exclusive(Account),
    /// The luckiest sends the next; the packet before, if any.
    Relay(Option<u32>),
    /// Can be claimed after so long, ms.
    Timed(i64),
    /// Can be claimed by who says the word.
    Password,
}

impl Play {
    /// The name in events.
    pub(super) fn name(self) -> &'static str {
        match self {
            Play::Lucky => "lucky",
            Play::Equal => "equal",
            Play::Exclusive(_) => "exclusive",
            Play::Relay(_) => "relay",
            Play::Timed(_) => "timed",
            Play::Password => "password",
        }
    }
}

/// Where money comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fund {
    /// The change.
    Balance,
    /// The money-market fund.
    Lingqiantong,
    /// The bank.
    Bank,
}

impl Fund {
    /// The name in events.
    pub(super) fn name(self) -> &'static str {
        match self {
            Fund::Balance => "balance",
            Fund::Lingqiantong => "lingqiantong",
            Fund::Bank => "bank",
        }
    }

    /// What people use when it is not what others sent.
    pub(super) fn own(rng: &mut Rng) -> Fund {
        [Fund::Lingqiantong, Fund::Bank][rng.weighted(&[45, 55])]
    }
}

/// A packet about to be sent.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    /// By whom.
    pub(super) sender: Account,
    /// Into which group; none for a packet to one person.
    pub(super) group: Option<Group>,
    /// Its total, fen.
    pub(super) amount_fen: i64,
    /// Its shares.
    pub(super) shares: i64,
    /// How it is shared out.
    pub(super) play: Play,
    /// The memo.
    pub(super) text: String,
    /// Where the money comes from.
    pub(super) fund: Fund,
    /// The app.
    pub(super) platform: &'static str,
    /// The scheme of which it is a part.
    pub(super) scheme: Option<SchemeId>,
}

/// Somebody who will try to claim a share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taker {
    /// Who.
    pub(super) account: Account,
    /// How long after the packet can be claimed, ms.
    pub(super) delay_ms: i64,
    /// The scheme of which the claim is a part.
    pub(super) scheme: Option<SchemeId>,
}

/// A share that was claimed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// By whom.
    pub(super) account: Account,
    /// When, ms.
    pub(super) time: i64,
    /// How much, fen.
    pub(super) amount_fen: i64,
    /// Of which packet.
    pub(super) packet: u32,
}

/// A transfer to be made.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    /// Who pays.
    pub(super) from: Account,
    /// Who is paid.
    pub(super) to: Account,
    /// How much, fen.
    pub(super) amount_fen: i64,
    /// The memo.
    pub(super) text: String,
    /// Where the money comes from.
    pub(super) fund: Fund,
    /// The group in which it was made, if any.
    pub(super) group: Option<Group>,
    /// The scheme of which it is a part.
    pub(super) scheme: Option<SchemeId>,
}

/// The luckiest of shares: of equal ones the first.
pub(super) fn luckiest(shares: &[Share]) -> Option<Share> {
    shares.iter().rev().max_by_key(|share| share.amount_fen).copied()
}

/// How long a person takes to claim, ms: most look at the phone, some later, a few much later; some
/// are quick with the thumb.
pub(super) fn human_delay(nimble: bool, rng: &mut Rng) -> i64 {
    let weights: &[u32] = if nimble { &[62, 30, 7, 1] } else { &[4, 72, 19, 5] };
    let delay = match rng.weighted(weights) {
        0 => 350 + rng.around(900, 0.6),
        1 => 700 + rng.around(9_000, 1.0),
        2 => 5_000 + rng.around(360_000, 1.0),
        _ => 60_000 + rng.around(3 * 3_600_000, 0.9),
    };
    delay.min(EXPIRY_MS - 1_000)
}
