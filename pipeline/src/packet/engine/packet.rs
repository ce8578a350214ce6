//! A packet: its shares, its claims in their order, and where its money is.

use std::collections::{BTreeSet, HashSet};
use std::hash::BuildHasherDefault;

use compact_str::CompactString;
use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use crate::packet::bugs::{Bug, made};
use crate::packet::command::{Next, PerMille, Purse, Tie};
use crate::packet::draw::{Draws, Purpose};
use crate::packet::plays::{AmountPolicy, Rules, TABLE};
use crate::packet::reply::{Digest, Seq, Tilted};
use crate::packet::split;
use crate::packet::tilt::Regulated;
use crate::packet::units::{Fen, Time};

/// Where a packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PacketState {
    /// Its sending is not decided, or held.
    Waiting,
    /// Its shares can be claimed (a timed one's from its moment on).
    Open,
    /// All shares are taken, and some money may still wait for decisions.
    Exhausted,
    /// Its time is over, and some money may still wait for decisions.
    Expired,
    /// Over.
    Closed,
    /// Never opened: its sending was blocked or given back.
    Blocked,
}

/// A share that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The claimer.
    pub account: u32,
    /// Its share.
    pub amount: Fen,
    /// The command.
    pub seq: Seq,
}

/// Where the money of a packet is. The parts add up to what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// In no share yet.
    pub remaining: Fen,
    /// In shares without a decision.
    pub undecided: Fen,
    /// In shares that were blocked: nobody else's.
    pub voided: Fen,
    /// Paid, at once or after a hold.
    pub paid: Fen,
    /// Held.
    pub held: Fen,
    /// Given back to the sender after a hold.
    pub returned: Fen,
    /// Frozen for a case.
    pub frozen: Fen,
    /// Gone back to the sender at the end: remaining and voided until then.
    pub refunded: Fen,
}

impl Parts {
    /// What is still in the packet's escrow.
    pub fn in_escrow(&self) -> Fen {
        self.remaining + self.undecided + self.voided
    }

    /// All of it.
    pub fn total(&self) -> Fen {
        self.in_escrow() + self.paid + self.held + self.returned + self.frozen + self.refunded
    }
}

/// How a relay goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Relay {
    pub(super) next: Next,
    /// The packet before.
    pub(super) after: Option<u64>,
    /// Whether the next packet was sent.
    pub(super) went_on: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Packet {
    pub(super) name: CompactString,
    pub(super) seq: Seq,
    pub(super) sender: u32,
    pub(super) group: Option<u32>,
    pub(super) named: Option<u32>,
    pub(super) password: Option<Digest>,
    pub(super) relay: Option<Relay>,
    play: u8,
    pub(super) amount: Fen,
    pub(super) shares: u32,
    pub(super) tilt: PerMille,
    pub(super) refund_into: Purse,
    pub(super) state: PacketState,
    pub(super) sent_at: Time,
    /// The moment of a timed packet.
    pub(super) from: Time,
    pub(super) expires_at: Time,
    /// When it was closed or blocked.
    pub(super) over_at: Option<Time>,
    pub(super) secret: Digest,
    pub(super) head: Digest,
    pub(super) links: u32,
    pub(super) claims: Vec<Claim>,
    claimers: Claimers,
    pub(super) undecided: u32,
    pub(super) parts: Parts,
    pub(super) regulated: Option<Regulated>,
    /// Wrong passwords by account.
    pub(super) guesses: Vec<(u32, u32)>,
    /// Whether the chain has grown since the last batch.
    pub(super) touched: bool,
}

/// What a new packet is made from.
pub(super) struct Sent<'a> {
    pub(super) name: &'a str,
    pub(super) seq: Seq,
    pub(super) sender: u32,
    pub(super) group: Option<u32>,
    pub(super) named: Option<u32>,
    pub(super) password: Option<Digest>,
    pub(super) relay: Option<Relay>,
    pub(super) rules: &'static Rules,
    pub(super) amount: Fen,
    pub(super) shares: u32,
    pub(super) tilt: PerMille,
    pub(super) refund_into: Purse,
    pub(super) time: Time,
    pub(super) from: Time,
    pub(super) secret: Digest,
    pub(super) head: Digest,
}

impl Packet {
    pub(super) fn new(sent: Sent<'_>) -> Packet {
        let play = TABLE.iter().position(|rules| rules == sent.rules).expect("it is in the table");
        let regulated = (sent.tilt.0 > 0 && sent.rules.amounts == AmountPolicy::Drawn)
            .then(|| Regulated::new(&sent.secret, sent.amount, sent.shares));
        Packet {
            name: sent.name.into(),
            seq: sent.seq,
            sender: sent.sender,
            group: sent.group,
            named: sent.named,
            password: sent.password,
            relay: sent.relay,
            play: play as u8,
            amount: sent.amount,
            shares: sent.shares,
            tilt: sent.tilt,
            refund_into: sent.refund_into,
            state: PacketState::Waiting,
            sent_at: sent.time,
            from: sent.from,
            expires_at: sent.from,
            over_at: None,
            secret: sent.secret,
            head: sent.head,
            links: 0,
            claims: Vec::with_capacity(sent.shares.min(CLAIMS_FEW as u32) as usize),
            claimers: Claimers::default(),
            undecided: 0,
            parts: Parts { remaining: sent.amount, ..Parts::default() },
            regulated,
            guesses: Vec::new(),
            touched: false,
        }
    }

    /// Reads all of its own memory that a claim will need, see [`super::ahead`].
    pub(super) fn nearby(&self) -> u64 {
        let last = self.claims.last().map_or(0, |claim| u64::from(claim.account));
        let own = u64::from(self.secret[0]) ^ u64::from(self.head[0]) ^ self.parts.remaining.0;
        own ^ u64::from(self.undecided) ^ self.expires_at.0 as u64 ^ last
    }

    pub(super) fn rules(&self) -> &'static Rules {
        &TABLE[self.play as usize]
    }

    pub(super) fn shares_left(&self) -> u32 {
        self.shares - self.claims.len() as u32
    }

    pub(super) fn has_share(&self, account: u32) -> bool {
        self.claimers.contains(&self.claims, account)
    }

    /// The amount of the next share, which is taken out of what remains.
    pub(super) fn draw(&mut self, tie: Tie, tilt: PerMille) -> (Fen, Option<Tilted>) {
        let place = self.claims.len() as u32;
        let (amount, tilted) = match &mut self.regulated {
            Some(regulated) => {
                let mut draws = Draws::new(&self.secret, Purpose::Choice, place);
                regulated.take(tie, tilt, |end| draws.below(end))
            }
            None => match self.rules().amounts {
                AmountPolicy::Equal => (Fen(self.amount.0 / u64::from(self.shares)), None),
                AmountPolicy::Drawn => {
                    let mut draws = Draws::new(&self.secret, Purpose::Share, place);
                    let below = |end| draws.below(end);
                    let mut left = self.shares_left();
                    if made(Bug::ShareTakesReservedFen) && left > 2 {
                        left -= 1;
                    }
                    (split::share(self.parts.remaining, left, below), None)
                }
            },
        };
        self.parts.remaining -= amount;
        (amount, tilted)
    }

    pub(super) fn add(&mut self, claim: Claim) {
        self.claimers.add(&self.claims, claim.account);
        self.claims.push(claim);
    }

    /// The claimer of the largest share; of equal ones the first.
    pub(super) fn luckiest(&self) -> Option<u32> {
        let best = match made(Bug::LuckiestIsLastOfEqual) {
            true => self.claims.iter().max_by_key(|claim| claim.amount),
            false => self.claims.iter().rev().max_by_key(|claim| claim.amount),
        };
        best.map(|claim| claim.account)
    }

    /// Who has to send the next packet of a relay whose shares are all taken.
    pub(super) fn turn(&self) -> Option<u32> {
        match (self.shares_left(), self.relay?.next) {
            (0, Next::Luckiest) => self.luckiest(),
            (0, Next::LeastLucky) => {
                self.claims.iter().min_by_key(|claim| claim.amount).map(|claim| claim.account)
            }
            _ => None,
        }
    }
}

/// Who has a share: looked up in the claims while these are few.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Claimers(
    #[serde(serialize_with = "in_order")] Option<HashSet<u32, BuildHasherDefault<FxHasher>>>,
);

/// Writes a set in order, so that equal packets are written alike.
fn in_order<H, S: serde::Serializer>(
    set: &Option<HashSet<u32, H>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    set.as_ref().map(|set| set.iter().collect::<BTreeSet<_>>()).serialize(serializer)
}

/// From so many claims on a set is faster than a look at each. (Fewer in tests, whose packets are
/// small.)
const CLAIMS_FEW: usize = if cfg!(test) { 2 } else { 32 };

impl Claimers {
    fn contains(&self, claims: &[Claim], account: u32) -> bool {
        match &self.0 {
            Some(set) => set.contains(&account),
            None => claims.iter().any(|claim| claim.account == account),
        }
    }

    fn add(&mut self, claims: &[Claim], account: u32) {
        match &mut self.0 {
            Some(set) => {
                set.insert(account);
            }
            None if claims.len() < CLAIMS_FEW => {}
            None => {
                let earlier = claims.iter().map(|claim| claim.account);
                self.0 = Some(earlier.chain([account]).collect());
            }
        }
    }
}
