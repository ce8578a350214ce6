//! What is kept of one group: its money of a day, who dealt with whom, how fast it claims.

use std::collections::VecDeque;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::claims::{Latencies, Packets};
use super::members::Members;
use super::mines::Mines;
use crate::features::state::recents::Recents;
use crate::features::state_map::{KeyedState, give_back};

/// The window of a group's money and of its strangers: a day.
pub(crate) const MONEY_WINDOW_MS: i64 = 24 * 3_600_000;
/// How long a dealing makes two people known to each other: 30 days. A group without money for so
/// long is forgotten.
pub(crate) const KNOWN_WINDOW_MS: i64 = 30 * MONEY_WINDOW_MS;

/// An account or a packet within a group: 64 bits of its hash. In a group of a thousand members two
/// share theirs once in 10^13 groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Id(pub(crate) u64);

/// Who or what is not known.
pub(crate) const NOBODY: Id = Id(0);

/// What an event does in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deal {
    /// A packet is sent; `digit` is the one that its text announces as losing.
    Send {
        sender: Id,
        packet: Id,
        digit: Option<u8>,
    },
    /// `claimer` takes a share of a packet that `sender` sent; `latency` is the time in ms that the
    /// packet's keeper knows to have passed since, and none where it does not.
    Claim {
        claimer: Id,
        sender: Id,
        packet: Id,
        latency: Option<i64>,
    },
    /// What was left of a packet goes back.
    Refund {
        to: Id,
        packet: Id,
    },
    Transfer {
        payer: Id,
        payee: Id,
    },
}

/// What is known of a group as of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Known {
    pub(crate) turnover: i64,
    pub(crate) net_winner_share: Option<f64>,
    pub(crate) rake: i64,
    pub(crate) mine_payouts: i64,
    pub(crate) mine_payouts_cut: i64,
    pub(crate) stranger_share: Option<f64>,
    /// Of 10 %, 50 % and 90 % of claims, in ms.
    pub(crate) latency: [Option<i64>; 3],
}

/// One group.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Payments of the money window, oldest first.
    payments: VecDeque<Payment>,
    /// Fen put in by members in the window.
    gross: i64,
    members: Members,
    /// Claims of the window between two that are known, and how many of them were strangers.
    meetings: u64,
    strangers: u64,
    /// Pairs that dealt with each other, in the order in which they last did.
    pairs: Recents,
    packets: Packets,
    latencies: Latencies,
    /// Few groups play.
    mines: Option<Box<Mines>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Payment {
    time: i64,
    from: Id,
    to: Id,
    fen: i64,
    meeting: Meeting,
}

/// What a claim says of its two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Meeting {
    /// It is no claim, or has no two sides.
    None,
    Strangers,
    Known,
}

impl Group {
    /// Takes an event; events come in total order, `time` is the effective one.
    pub(crate) fn take(&mut self, deal: Deal, fen: i64, time: i64) {
        self.expire(time);
        let (from, to) = match deal {
            Deal::Send { sender, .. } => (sender, NOBODY),
            Deal::Claim { claimer, .. } => (NOBODY, claimer),
            Deal::Refund { to, .. } => (NOBODY, to),
            Deal::Transfer { payer, payee } => (payer, payee),
        };
        let meeting = self.meet(deal, time);
        self.meetings += u64::from(meeting != Meeting::None);
        self.strangers += u64::from(meeting == Meeting::Strangers);
        if from != NOBODY {
            self.gross += fen;
        }
        self.members.enter(from, to, fen);
        self.payments.push_back(Payment { time, from, to, fen, meeting });
        match deal {
            Deal::Send { sender, packet, digit } => {
                self.packets.sent(packet, sender, fen, digit, time);
            }
            Deal::Claim { claimer, packet, latency, .. } => {
                if let Some(latency) = latency {
                    self.latencies.enter(time, latency);
                }
                self.claimed(claimer, packet, fen, time);
            }
            Deal::Transfer { payer, payee } => {
                if let Some(mines) = &mut self.mines {
                    mines.paid(payer, payee, fen, time);
                }
            }
            Deal::Refund { packet, .. } => {
                self.packets.begun(packet, time);
            }
        }
    }

    /// What is known as of `time`, which is not before any event.
    pub(crate) fn known(&mut self, time: i64) -> Known {
        self.expire(time);
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        Known {
            turnover: self.gross,
            net_winner_share: share(self.members.largest_gain() as f64, self.gross as f64),
            rake: self.members.gains_of_least_payers(),
            mine_payouts: self.mines.as_ref().map_or(0, |mines| mines.payouts()),
            mine_payouts_cut: self.mines.as_ref().map_or(0, |mines| mines.cuts()),
            stranger_share: share(self.strangers as f64, self.meetings as f64),
            latency: self.latencies.quantiles(),
        }
    }

    /// Whether the two sides of a claim are strangers; after it, or a transfer, they are not.
    fn meet(&mut self, deal: Deal, time: i64) -> Meeting {
        let (one, other) = match deal {
            Deal::Claim { claimer, sender, .. } => (claimer, sender),
            Deal::Transfer { payer, payee } => (payer, payee),
            Deal::Send { .. } | Deal::Refund { .. } => return Meeting::None,
        };
        if one == NOBODY || other == NOBODY || one == other {
            return Meeting::None;
        }
        let new = self.pairs.see(pair(one, other), time, &mut [], std::iter::empty());
        match deal {
            Deal::Claim { .. } if new => Meeting::Strangers,
            Deal::Claim { .. } => Meeting::Known,
            _ => Meeting::None,
        }
    }

    fn claimed(&mut self, claimer: Id, packet: Id, fen: i64, time: i64) {
        let Some(sent) = self.packets.begun(packet, time) else { return };
        if sent.announces(fen) && sent.face > 0 && sent.sender != claimer {
            self.mines.get_or_insert_default().lost(claimer, sent.sender, sent.face, time);
        }
    }
}

impl KeyedState for Group {
    fn expire(&mut self, time: i64) {
        let day = time.saturating_sub(MONEY_WINDOW_MS);
        while let Some(payment) = self.payments.front().filter(|payment| payment.time <= day) {
            let Payment { from, to, fen, meeting, .. } = *payment;
            if from != NOBODY {
                self.gross -= fen;
            }
            self.meetings -= u64::from(meeting != Meeting::None);
            self.strangers -= u64::from(meeting == Meeting::Strangers);
            self.members.leave(from, to, fen);
            self.payments.pop_front();
        }
        give_back(&mut self.payments);
        let known = time.saturating_sub(KNOWN_WINDOW_MS);
        while self.pairs.oldest().is_some_and(|last| last <= known) {
            self.pairs.forget_oldest();
        }
        self.pairs.compact(&mut [], std::iter::empty());
        self.packets.expire(time);
        self.latencies.expire(time);
        if let Some(mines) = &mut self.mines
            && !mines.expire(time)
        {
            self.mines = None;
        }
    }

    fn is_over(&self) -> bool {
        let Group { payments, pairs, packets, latencies, mines, .. } = self;
        let quiet = payments.is_empty() && packets.is_empty() && latencies.is_empty();
        quiet && pairs.len() == 0 && mines.is_none()
    }

    fn touch(&self) -> u64 {
        let oldest = self.payments.front().map_or(0, |payment| payment.time);
        let newest = self.payments.back().map_or(0, |payment| payment.time);
        let own = self.members.touch() ^ self.latencies.touch() ^ self.packets.touch();
        own ^ self.pairs.touch() ^ (oldest ^ newest) as u64
    }

    fn events(&self) -> usize {
        self.payments.len()
    }

    fn heap_bytes(&self) -> usize {
        self.payments.capacity() * size_of::<Payment>()
            + self.members.heap_bytes()
            + self.pairs.heap_bytes()
            + self.packets.heap_bytes()
            + self.latencies.heap_bytes()
            + self.mines.as_ref().map_or(0, |mines| mines.heap_bytes())
    }
}

impl Known {
    /// How far apart the fast and the slow claims are, in ms.
    pub(crate) fn latency_spread(&self) -> Option<i64> {
        let [low, _, high] = self.latency;
        high.zip(low).map(|(high, low)| high - low)
    }
}

/// Two accounts in no order, one to one and with low bits that differ: a map indexes by the first
/// word.
fn pair(one: Id, other: Id) -> [u64; 2] {
    let (low, high) = (one.min(other), one.max(other));
    [low.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ high.0, low.0]
}

/// So much room of a map is kept, however little of it is in use.
const ROOM_KEPT: usize = 16;

/// Gives room back where most of it is free.
pub(super) fn give_back_map<V>(map: &mut HashMap<Id, V, FxBuildHasher>) {
    if map.capacity() > ROOM_KEPT && map.len() * 8 < map.capacity() {
        map.shrink_to(2 * map.len());
    }
}
