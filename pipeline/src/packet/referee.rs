//! The referee: does the incoming stream obey the laws of a red packet?
//!
//! Sends, claims and refunds are held to the engine's rules: a packet is within the limits, its
//! shares go to distinct people while it is open, each gets what the play allows, the last one
//! takes what is left, and the rest goes back once. A stream that breaks these laws is itself a
//! finding.
//!
//! The referee sees less than the engine, and never accuses where it cannot know:
//! - what is null is in order;
//! - a claim that the engine would have refused (by anyone else, too late, twice, of more than
//!   there is) takes no share, so that those who come after are not accused for it;
//! - a packet whose sending was decided late opened late, and a timed one when its sender said; the
//!   stream tells neither. Its day runs from the first claim at the latest, and without one from
//!   the longest possible wait: a hold, or the farthest moment of a timed packet;
//! - a refund may give back shares whose claims were blocked; the stream does not tell which;
//! - of a packet that nobody claimed the stream does not tell whether it ever opened: only the rest of
//!   one that was claimed is missed when it does not go back.
//!
//! Laws of time look at when events happened, not at when they came.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

pub use super::finding::Finding;
use super::limits::Limits;
use super::luck::Ranks;
use super::plays::{AmountPolicy, Rules};
use super::split::{Rank, rank};
use super::units::Fen;
use crate::event::{Kind, NULL_INT};
use crate::snapshot::{self, Broken};

const HOUR_MS: i64 = 3_600_000;
/// A packet is remembered for this long after its last event, so that a late claim is still
/// recognised as late and not as a claim of an unknown packet.
pub(crate) const PACKET_KEPT_MS: i64 = 72 * HOUR_MS;
/// How late a timer of a system may be that opens packets whose wait is over.
const TIMER_LATE_MS: i64 = HOUR_MS;
/// A stream whose packets do not tell their shares must not make the referee slow: so many
/// claimers are remembered.
const CLAIMERS_MAX: usize = 1_000;

/// An event of a packet, as the referee sees it. An id is 128 or 64 bits that stand for it, and 0
/// where it is null.
#[derive(Clone, Copy, Debug)]
pub struct PacketEvent {
    /// The packet.
    pub packet: u128,
    /// Send, claim or refund; others are ignored.
    pub kind: Kind,
    /// Effective time.
    pub time: i64,
    /// When it happened: the effective time, or earlier where the event came late.
    pub event_time: i64,
    /// Whether its source says in which order it was among others at the same moment.
    pub sequenced: bool,
    /// Fen.
    pub amount: i64,
    /// Number of shares on a send; [`NULL_INT`] where it is not known.
    pub shares: i64,
    /// The play on a send, where it is known.
    pub play: Option<&'static Rules>,
    /// The account that acts: sender, claimer, or who gets the refund.
    pub account: u128,
    /// On a claim the packet's sender.
    pub counterparty: u64,
    /// The group.
    pub group: u64,
}

/// What the referee says of an event. The packet's figures are as after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ruling {
    /// The law that it breaks; of several the one that the engine looks at first.
    pub finding: Finding,
    /// Where this claim's share stands under the law of the split.
    pub share_rank: Option<Rank>,
    /// See [`Ranks::deviation`].
    pub split_deviation: Option<f64>,
    /// Shares that were taken; none where the sending was not seen.
    pub shares_taken: Option<i64>,
    /// Fen that were not; none where the sending was not seen.
    pub left: Option<i64>,
    /// Of a claim: ms since the sending, which is the first one known under the packet's id; none
    /// where it was not seen, or is forgotten.
    pub latency: Option<i64>,
    /// The account that sent the packet, where that is known.
    pub sender: Option<u128>,
    /// What the event changes of what is owed to it.
    pub rest: Option<Rest>,
}

/// What is owed to who sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// What nobody claims goes back until then, in ms of effective time.
    Due(i64),
    /// Nothing: all is claimed, or the rest went back.
    Settled,
}

/// What is held against packets, in the stream's units.
#[derive(Clone, Copy, Debug)]
pub struct Law {
    shares_max: i64,
    share_mean_max: i64,
    open_ms: i64,
    /// The latest opening after the sending.
    opening_ms: i64,
}

impl Law {
    /// The laws with these limits.
    pub fn new(limits: &Limits) -> Law {
        let waits = limits.timed_ahead_hours_max.max(limits.hold_hours_max);
        let opening_ms = i64::from(waits) * HOUR_MS + i64::from(limits.decision_ms_max);
        Law {
            shares_max: limits.shares_max.into(),
            share_mean_max: limits.share_mean_fen_max.into(),
            open_ms: i64::from(limits.open_hours) * HOUR_MS,
            opening_ms: opening_ms + TIMER_LATE_MS,
        }
    }

    /// When the rest of a packet has gone back that was first claimed then.
    fn returned_by(&self, claimed_at: i64) -> i64 {
        claimed_at.saturating_add(self.open_ms + TIMER_LATE_MS)
    }

    /// How much longer a packet is remembered that nobody has claimed: it may be waiting to open,
    /// and is open for a day then.
    pub(crate) fn unclaimed_kept_ms(&self) -> i64 {
        self.opening_ms + self.open_ms
    }

    /// What the engine would say of a sending, but for the packet's id.
    fn of_sending(&self, event: &PacketEvent) -> Finding {
        let single = event.play.is_some_and(|play| play.single);
        let equal = event.play.is_some_and(|play| play.amounts == AmountPolicy::Equal);
        match event.shares {
            NULL_INT if event.amount == 0 => Finding::ShareAmountOutOfLimits,
            NULL_INT => Finding::Ok,
            shares if shares < 1 || shares > self.shares_max => Finding::SharesOutOfLimits,
            shares if single && shares != 1 => Finding::SharesNotOne,
            shares if event.amount < shares || event.amount > shares * self.share_mean_max => {
                Finding::ShareAmountOutOfLimits
            }
            shares if equal && event.amount % shares != 0 => Finding::SharesUneven,
            _ => Finding::Ok,
        }
    }
}

/// The packets that are open or were lately.
#[derive(Debug)]
pub struct Referee {
    law: Law,
    packets: HashTable<Packet>,
    survivors: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Packet {
    id: u128,
    /// When its last event came.
    touched_at: i64,
    /// Null until its sending is seen.
    sending: Option<Sending>,
    /// When it was refunded.
    refunded_at: Option<i64>,
    /// The earliest claim.
    claimed_at: i64,
    claims: i64,
    claimed: i64,
    least: i64,
    claimers: Vec<u128>,
    /// Whether all of it was seen from its sending on, as far as the stream tells.
    whole: bool,
    /// Whether the law of the split can be held against the next share.
    in_order: bool,
    last_claim_at: i64,
    ranks: Ranks,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sending {
    at: i64,
    sender: u128,
    group: u64,
    total: i64,
    shares: Option<i64>,
    amounts: Option<AmountPolicy>,
}

impl Referee {
    /// A referee who has seen nothing yet.
    pub fn new(law: Law) -> Referee {
        Referee { law, packets: HashTable::new(), survivors: 0 }
    }

    /// Takes the next event in total order and says what it finds.
    pub fn judge(&mut self, event: &PacketEvent) -> Option<Ruling> {
        let law = self.law;
        Some(match event.kind {
            Kind::Send => {
                let packet = self.packet(event);
                let before = packet.rest(&law);
                let finding = packet.send(event, &law);
                Ruling { rest: packet.rest_after(before, &law), ..packet.ruling(finding, None) }
            }
            Kind::Claim => {
                let packet = self.packet(event);
                let before = packet.rest(&law);
                let (finding, share_rank) = packet.claim(event, &law);
                let latency = packet.sending.map(|sending| event.event_time - sending.at);
                let rest = packet.rest_after(before, &law);
                Ruling { latency, rest, ..packet.ruling(finding, share_rank) }
            }
            Kind::Refund => match self.find(event) {
                Some(packet) => {
                    let before = packet.rest(&law);
                    let finding = packet.refund(event, &law);
                    Ruling { rest: packet.rest_after(before, &law), ..packet.ruling(finding, None) }
                }
                None => Ruling::unknown(Finding::RefundUnknown),
            },
            _ => return None,
        })
    }

    /// How many packets are remembered.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// All that is remembered, as bytes.
    pub(crate) fn save(&self) -> Vec<u8> {
        snapshot::encode(&(self.survivors, self.packets.iter().collect::<Vec<&Packet>>()))
    }

    /// Remembers what was saved, and nothing else.
    pub(crate) fn load(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let (survivors, packets): (usize, Vec<Packet>) = snapshot::decode(bytes)?;
        self.survivors = survivors;
        self.packets = HashTable::with_capacity(packets.len());
        for packet in packets {
            self.packets.insert_unique(packet.id as u64, packet, |packet| packet.id as u64);
        }
        Ok(())
    }

    /// Whether no packet is remembered.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    fn find(&mut self, event: &PacketEvent) -> Option<&mut Packet> {
        let packet =
            self.packets.find_mut(event.packet as u64, |packet| packet.id == event.packet)?;
        if packet.is_forgotten(event.time, &self.law) {
            return None;
        }
        packet.touched_at = event.time;
        Some(packet)
    }

    /// The packet, which is new where it is not known or forgotten.
    fn packet(&mut self, event: &PacketEvent) -> &mut Packet {
        self.sweep_when_due(event.time);
        let new = || Packet::new(event.packet, event.time);
        let hash = |packet: &Packet| packet.id as u64;
        let same = |packet: &Packet| packet.id == event.packet;
        let packet =
            self.packets.entry(event.packet as u64, same, hash).or_insert_with(new).into_mut();
        if packet.is_forgotten(event.time, &self.law) {
            *packet = new();
        }
        packet.touched_at = event.time;
        packet
    }

    /// Forgets what is over, once the packets have doubled since the last look.
    fn sweep_when_due(&mut self, now: i64) {
        if self.packets.len() >= 2 * self.survivors + 64 {
            self.packets.retain(|packet| !packet.is_forgotten(now, &self.law));
            self.survivors = self.packets.len();
        }
    }
}

impl Ruling {
    fn unknown(finding: Finding) -> Ruling {
        Ruling {
            finding,
            share_rank: None,
            split_deviation: None,
            shares_taken: None,
            left: None,
            latency: None,
            sender: None,
            rest: None,
        }
    }
}

impl Packet {
    fn new(id: u128, now: i64) -> Packet {
        Packet {
            id,
            touched_at: now,
            sending: None,
            refunded_at: None,
            claimed_at: i64::MAX,
            claims: 0,
            claimed: 0,
            least: i64::MAX,
            claimers: Vec::new(),
            whole: true,
            in_order: true,
            last_claim_at: i64::MIN,
            ranks: Ranks::default(),
        }
    }

    /// A packet that nobody has claimed may still be waiting to open.
    fn is_forgotten(&self, now: i64, law: &Law) -> bool {
        let waits = self.claims == 0 && self.refunded_at.is_none() && self.sending.is_some();
        let kept = PACKET_KEPT_MS + if waits { law.unclaimed_kept_ms() } else { 0 };
        now > self.touched_at + kept
    }

    /// What is owed to its sender; none where it is not known that the packet ever opened.
    fn rest(&self, law: &Law) -> Option<Rest> {
        let sending = self.sending?;
        if self.refunded_at.is_some() || self.claimed >= sending.total {
            return Some(Rest::Settled);
        }
        (self.claims > 0).then(|| Rest::Due(law.returned_by(self.claimed_at)))
    }

    /// The same, where it is not what it was `before`.
    fn rest_after(&self, before: Option<Rest>, law: &Law) -> Option<Rest> {
        self.rest(law).filter(|rest| before != Some(*rest))
    }

    fn ruling(&self, finding: Finding, share_rank: Option<Rank>) -> Ruling {
        let Some(sending) = &self.sending else {
            return Ruling::unknown(finding);
        };
        Ruling {
            finding,
            share_rank,
            split_deviation: self.ranks.deviation(),
            shares_taken: Some(self.claims),
            left: Some(sending.total.saturating_sub(self.claimed)),
            latency: None,
            sender: Some(sending.sender).filter(|sender| *sender != 0),
            rest: None,
        }
    }

    fn send(&mut self, event: &PacketEvent, law: &Law) -> Finding {
        if self.sending.is_some() {
            self.whole = false;
            return Finding::PacketReused;
        }
        let claimed_before = self.claims > 0;
        self.whole &= !claimed_before;
        self.sending = Some(Sending {
            at: event.event_time,
            sender: event.account,
            group: event.group,
            total: event.amount,
            shares: (event.shares != NULL_INT).then_some(event.shares),
            amounts: event.play.map(|play| play.amounts),
        });
        // At one moment only a source that numbers its events says which was first.
        let before = self.claimed_at < event.event_time;
        if claimed_before && before { Finding::SentAfterClaims } else { law.of_sending(event) }
    }

    fn claim(&mut self, event: &PacketEvent, law: &Law) -> (Finding, Option<Rank>) {
        let Some(sending) = self.sending else {
            // Its sending may still come; those who claimed are then known.
            if !self.claimers.contains(&event.account) {
                self.take(event);
            }
            return (Finding::PacketUnknown, None);
        };
        if let Some(finding) = self.refusal(&sending, event, law) {
            self.whole = false;
            return (finding, None);
        }
        let (finding, share_rank) = self.weigh(&sending, event);
        if let Some(rank) = &share_rank {
            self.ranks.add(rank);
        }
        self.take(event);
        (finding, share_rank)
    }

    /// Why the engine would not give this account a share of this amount now.
    fn refusal(&self, sending: &Sending, event: &PacketEvent, law: &Law) -> Option<Finding> {
        let time = event.event_time;
        let opened_by = self.claimed_at.min(sending.at.saturating_add(law.opening_ms));
        let differ = |held: u64, said: u64| held != 0 && said != 0 && held != said;
        let full = sending.shares.is_some_and(|shares| self.claims >= shares);
        Some(if self.refunded_at.is_some_and(|refunded| time >= refunded) {
            Finding::AfterRefund
        } else if time > opened_by.saturating_add(law.open_ms) {
            Finding::Expired
        } else if differ(sending.sender as u64, event.counterparty) {
            Finding::OtherSender
        } else if differ(sending.group, event.group) {
            Finding::OtherGroup
        } else if self.claimers.contains(&event.account) {
            Finding::ClaimedTwice
        } else if full {
            Finding::TooManyClaims
        } else if event.amount == 0 {
            Finding::ClaimOfNothing
        } else if self.claimed.saturating_add(event.amount) > sending.total {
            Finding::Overdrawn
        } else {
            return None;
        })
    }

    /// Whether the amount is one that the play allows, and the rank of a drawn one.
    fn weigh(&mut self, sending: &Sending, event: &PacketEvent) -> (Finding, Option<Rank>) {
        let (Some(shares), before) = (sending.shares, sending.total - self.claimed) else {
            return (Finding::Ok, None);
        };
        let shares_left = shares - self.claims;
        if sending.amounts == Some(AmountPolicy::Equal) && sending.total % shares == 0 {
            let unequal = event.amount != sending.total / shares;
            return (if unequal { Finding::ShareUnequal } else { Finding::Ok }, None);
        }
        // Whoever comes after the one who took the reserve is not accused of it.
        if before >= shares_left && before - event.amount < shares_left - 1 {
            self.in_order = false;
            return (Finding::ReserveShort, None);
        }
        match sending.amounts {
            None | Some(AmountPolicy::Equal) => (Finding::Ok, None),
            Some(AmountPolicy::Drawn) if !self.whole => (Finding::Ok, None),
            Some(AmountPolicy::Drawn) if shares_left == 1 => {
                let remainder = event.amount < before;
                (if remainder { Finding::RemainderLeft } else { Finding::Ok }, None)
            }
            Some(AmountPolicy::Drawn) => {
                // Claims in another order than the draws say nothing about the law.
                let known = event.event_time > self.last_claim_at
                    || (event.event_time == self.last_claim_at && event.sequenced);
                self.in_order &= known;
                let shares_left = u32::try_from(shares_left).ok();
                let lawful = self.in_order && before >= i64::from(shares_left.unwrap_or(u32::MAX));
                let Some(shares_left) = shares_left.filter(|_| lawful) else {
                    return (Finding::Ok, None);
                };
                let share_rank = rank(Fen(before as u64), shares_left, Fen(event.amount as u64));
                self.in_order = share_rank.is_some();
                let finding =
                    if share_rank.is_some() { Finding::Ok } else { Finding::ShareImpossible };
                (finding, share_rank)
            }
        }
    }

    fn take(&mut self, event: &PacketEvent) {
        self.claims += 1;
        self.claimed = self.claimed.saturating_add(event.amount);
        self.least = self.least.min(event.amount);
        self.claimed_at = self.claimed_at.min(event.event_time);
        self.last_claim_at = self.last_claim_at.max(event.event_time);
        if self.claimers.len() < CLAIMERS_MAX {
            self.claimers.push(event.account);
        }
    }

    fn refund(&mut self, event: &PacketEvent, law: &Law) -> Finding {
        let Some(sending) = self.sending else {
            return Finding::RefundUnknown;
        };
        let left = sending.total - self.claimed;
        let more = event.amount - left;
        // The money of a blocked claim goes back with the rest, so more than is left is as much as
        // some of the claims. Which ones the stream does not tell.
        let claims = more == 0 || (more >= self.least && more <= self.claimed);
        let differs = sending.group != 0 && event.group != 0 && sending.group != event.group;
        let finding = if self.refunded_at.is_some() {
            Finding::RefundedTwice
        } else if event.event_time < sending.at + law.open_ms {
            Finding::RefundEarly
        } else if event.account != sending.sender {
            Finding::OtherSender
        } else if differs {
            Finding::OtherGroup
        } else if !self.whole {
            // Claims that the engine would have refused may have been paid all the same.
            Finding::Ok
        } else if more < 0 {
            Finding::RefundShort
        } else if !claims {
            Finding::RefundExcess
        } else {
            Finding::Ok
        };
        let at = self.refunded_at.unwrap_or(i64::MAX);
        self.refunded_at = Some(at.min(event.event_time));
        finding
    }
}

#[cfg(test)]
#[path = "referee_tests.rs"]
mod tests;
