//! The referee: does the incoming stream obey the laws of a red packet?
//!
//! A packet is sent once, its shares go to distinct people, no more of them than it has, no more
//! money than it holds, within 24 hours and not after the rest went back. A stream that breaks
//! these laws is itself a finding.

use hashbrown::HashTable;

use crate::event::{Kind, NULL_INT};

/// Unclaimed money goes back after this long; a later claim is a finding.
pub const PACKET_OPEN_MS: i64 = 24 * 3_600_000;
/// A packet is remembered for this long after its last event, so that a late claim is still
/// recognised as late and not as a claim of an unknown packet.
const PACKET_KEPT_MS: i64 = 72 * 3_600_000;

/// What the referee says of a send or a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Finding {
    /// All laws hold so far.
    Ok,
    /// A claim of a packet whose sending was never seen.
    PacketUnknown,
    /// A second packet with the id of one that is still remembered.
    PacketReused,
    /// A second claim by the same account.
    ClaimedTwice,
    /// More claims than shares.
    TooManyClaims,
    /// The claims add up to more than the packet held.
    Overdrawn,
    /// A claim more than 24 hours after the sending.
    Expired,
    /// A claim after the rest of the packet went back to its sender.
    AfterRefund,
}

impl Finding {
    /// Every finding, in the order of its code.
    pub const ALL: [Finding; 8] = [
        Finding::Ok,
        Finding::PacketUnknown,
        Finding::PacketReused,
        Finding::ClaimedTwice,
        Finding::TooManyClaims,
        Finding::Overdrawn,
        Finding::Expired,
        Finding::AfterRefund,
    ];

    /// The name in the decision record's `outcome`.
    pub fn name(self) -> &'static str {
        match self {
            Finding::Ok => "ok",
            Finding::PacketUnknown => "packet_unknown",
            Finding::PacketReused => "packet_reused",
            Finding::ClaimedTwice => "claimed_twice",
            Finding::TooManyClaims => "too_many_claims",
            Finding::Overdrawn => "overdrawn",
            Finding::Expired => "expired",
            Finding::AfterRefund => "after_refund",
        }
    }
}

/// An event of a packet, as the referee sees it.
#[derive(Clone, Copy, Debug)]
pub struct PacketEvent {
    /// 128 bits that stand for the packet's id.
    pub packet: u128,
    /// Send, claim or refund; others are ignored.
    pub kind: Kind,
    /// Effective time.
    pub time: i64,
    /// Fen.
    pub amount: i64,
    /// Number of shares on a send; [`NULL_INT`] where it is not known.
    pub shares: i64,
    /// 128 bits that stand for the account.
    pub account: u128,
}

/// The packets that are open or were lately.
#[derive(Debug, Default)]
pub struct Referee {
    packets: HashTable<Packet>,
    survivors: usize,
}

#[derive(Debug)]
struct Packet {
    id: u128,
    sent_at: i64,
    touched_at: i64,
    total: i64,
    shares: i64,
    claimed: i64,
    refunded: bool,
    claimers: Vec<u128>,
}

impl Referee {
    /// Takes the next event in total order and says what it finds.
    pub fn judge(&mut self, event: &PacketEvent) -> Option<Finding> {
        match event.kind {
            Kind::Send => Some(self.send(event)),
            Kind::Claim => Some(match self.find(event) {
                Some(packet) => packet.claim(event),
                None => Finding::PacketUnknown,
            }),
            Kind::Refund => {
                if let Some(packet) = self.find(event) {
                    packet.refunded = true;
                }
                None
            }
            _ => None,
        }
    }

    /// How many packets are remembered.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether no packet is remembered.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    fn find(&mut self, event: &PacketEvent) -> Option<&mut Packet> {
        let packet =
            self.packets.find_mut(event.packet as u64, |packet| packet.id == event.packet)?;
        if packet.is_forgotten(event.time) {
            return None;
        }
        packet.touched_at = event.time;
        Some(packet)
    }

    fn send(&mut self, event: &PacketEvent) -> Finding {
        if self.find(event).is_some() {
            return Finding::PacketReused;
        }
        self.sweep_when_due(event.time);
        let packet = Packet {
            id: event.packet,
            sent_at: event.time,
            touched_at: event.time,
            total: event.amount,
            shares: if event.shares == NULL_INT { i64::MAX } else { event.shares },
            claimed: 0,
            refunded: false,
            claimers: Vec::new(),
        };
        let id = event.packet as u64;
        match self.packets.find_mut(id, |held| held.id == packet.id) {
            Some(forgotten) => *forgotten = packet,
            None => {
                self.packets.insert_unique(id, packet, |packet| packet.id as u64);
            }
        }
        Finding::Ok
    }

    /// Forgets what is over, once the packets have doubled since the last look.
    fn sweep_when_due(&mut self, now: i64) {
        if self.packets.len() >= 2 * self.survivors + 64 {
            self.packets.retain(|packet| !packet.is_forgotten(now));
            self.survivors = self.packets.len();
        }
    }
}

impl Packet {
    fn is_forgotten(&self, now: i64) -> bool {
        now > self.touched_at + PACKET_KEPT_MS
    }

    fn claim(&mut self, event: &PacketEvent) -> Finding {
        let finding = if self.refunded {
            Finding::AfterRefund
        } else if event.time > self.sent_at + PACKET_OPEN_MS {
            Finding::Expired
        } else if self.claimers.contains(&event.account) {
            Finding::ClaimedTwice
        } else if self.claimers.len() as i64 >= self.shares {
            Finding::TooManyClaims
        } else if self.claimed.saturating_add(event.amount) > self.total {
            Finding::Overdrawn
        } else {
            Finding::Ok
        };
        self.claimed = self.claimed.saturating_add(event.amount);
        if finding != Finding::ClaimedTwice && self.claimers.len() < CLAIMERS_MAX {
            self.claimers.push(event.account);
        }
        finding
    }
}

/// A packet has at most 100 shares by default; a stream that goes on claiming far beyond its
/// shares must not make the referee slow.
const CLAIMERS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_law_has_its_finding() {
        let hour = 3_600_000;
        let event = |kind, time, amount, account| PacketEvent {
            packet: 7,
            kind,
            time,
            amount,
            shares: if kind == Kind::Send { 3 } else { NULL_INT },
            account,
        };
        let mut referee = Referee::default();
        let mut judge = |kind, time, amount, account| {
            referee.judge(&event(kind, time, amount, account)).map(Finding::name)
        };
        assert_eq!(judge(Kind::Claim, 0, 10, 1), Some("packet_unknown"));
        assert_eq!(judge(Kind::Send, 0, 100, 9), Some("ok"));
        assert_eq!(judge(Kind::Send, 1, 100, 9), Some("packet_reused"));
        assert_eq!(judge(Kind::Claim, 1, 60, 1), Some("ok"));
        assert_eq!(judge(Kind::Claim, 2, 1, 1), Some("claimed_twice"));
        assert_eq!(judge(Kind::Claim, 3, 40, 2), Some("overdrawn"));
        assert_eq!(judge(Kind::Claim, 24 * hour + 1, 1, 3), Some("expired"));
        assert_eq!(judge(Kind::Claim, 5, 1, 4), Some("too_many_claims"));
        assert_eq!(judge(Kind::Refund, 24 * hour, 0, 9), None);
        assert_eq!(judge(Kind::Claim, 6, 1, 5), Some("after_refund"));
        assert_eq!(judge(Kind::Send, 200 * hour, 100, 9), Some("ok"), "ids may come round again");
    }

    #[test]
    fn a_whole_packet_claimed_by_its_shares_is_ok() {
        let mut referee = Referee::default();
        let mut event =
            PacketEvent { packet: 1, kind: Kind::Send, time: 0, amount: 6, shares: 3, account: 9 };
        referee.judge(&event);
        for account in 1..=3 {
            event = PacketEvent {
                kind: Kind::Claim,
                amount: 2,
                account,
                time: account as i64,
                ..event
            };
            assert_eq!(referee.judge(&event), Some(Finding::Ok));
        }
    }
}
