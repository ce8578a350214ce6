//! Packets: sent, shared out, claimed, and what is left paid back after a day.

use super::figures::DAY;
use super::random::Rng;
use super::world::{Account, Event, Group, SchemeId, World};
use crate::event::Kind;

/// The most that the mean share of a packet may be, in fen.
pub(super) const SHARE_MEAN_FEN_MAX: i64 = 20_000;
/// The most shares of a packet.
pub(super) const SHARES_MAX: i64 = 100;
/// After so long what is unclaimed goes back, ms.
pub(super) const EXPIRY_MS: i64 = DAY;

/// A packet about to be sent.
#[derive(Clone, Debug)]
pub struct Offer<'o> {
    /// When, ms.
    pub time: i64,
    /// By whom.
    pub sender: Account,
    /// Into which group; none for a packet to one person.
    pub group: Option<Group>,
    /// Its total, fen.
    pub amount_fen: i64,
    /// Its shares.
    pub shares: i64,
    /// How it is shared out.
    pub play: &'static str,
    /// The memo.
    pub text: &'o str,
    /// Where the money comes from.
    pub funding: &'static str,
    /// The app.
    pub platform: &'static str,
    /// The scheme of which it is a part.
    pub scheme: Option<SchemeId>,
}

/// Somebody who will claim a share.
#[derive(Clone, Copy, Debug)]
pub struct Taker {
    /// Who.
    pub account: Account,
    /// How long after the packet, ms.
    pub delay_ms: i64,
    /// The scheme of which the claim is a part.
    pub scheme: Option<SchemeId>,
}

/// A share that was claimed.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// By whom.
    pub account: Account,
    /// When, ms.
    pub time: i64,
    /// How much, fen.
    pub amount_fen: i64,
}

impl World {
    /// Sends a packet and lets the takers claim, the quickest first; those who come after the
    /// last share or the packet's expiry get nothing. A packet after the last day is not sent,
    /// and then nobody has a share.
    pub fn send(&mut self, offer: &Offer<'_>, takers: &[Taker], rng: &mut Rng) -> Vec<Share> {
        let Offer { time, amount_fen, shares, .. } = *offer;
        assert!((1..=SHARES_MAX).contains(&shares), "{offer:?}");
        assert!((shares..=shares * SHARE_MEAN_FEN_MAX).contains(&amount_fen), "{offer:?}");
        if time >= self.end {
            return Vec::new();
        }
        self.packets += 1;
        let packet = Some(self.packets);
        let sent = Event {
            group: offer.group,
            packet,
            amount_fen: Some(amount_fen),
            shares: Some(shares),
            play: offer.play,
            funding: offer.funding,
            platform: offer.platform,
            text: offer.text.to_owned(),
            scheme: offer.scheme,
            ..self.act(time, Kind::Send, offer.sender)
        };
        self.events.push(sent);
        let claims = share_out(offer, &in_time(offer, takers), rng);
        let mut left_fen = amount_fen;
        for (share, scheme) in &claims {
            left_fen -= share.amount_fen;
            let claimed = Event {
                counterparty: Some(offer.sender),
                group: offer.group,
                packet,
                amount_fen: Some(share.amount_fen),
                platform: offer.platform,
                scheme: *scheme,
                ..self.act(share.time, Kind::Claim, share.account)
            };
            self.events.push(claimed);
        }
        assert!(left_fen >= 0, "more was claimed than sent: {offer:?}");
        if left_fen > 0 {
            self.refund(offer, packet, left_fen);
        }
        claims.into_iter().map(|(share, _)| share).collect()
    }

    fn refund(&mut self, offer: &Offer<'_>, packet: Option<u32>, left_fen: i64) {
        let event = Event {
            group: offer.group,
            packet,
            amount_fen: Some(left_fen),
            platform: offer.platform,
            device: None,
            ip: None,
            ..self.act(offer.time + EXPIRY_MS, Kind::Refund, offer.sender)
        };
        self.events.push(event);
    }
}

/// Those who get a share, in the order in which they come.
fn in_time(offer: &Offer<'_>, takers: &[Taker]) -> Vec<Taker> {
    let mut takers: Vec<Taker> =
        takers.iter().copied().filter(|taker| taker.delay_ms < EXPIRY_MS).collect();
    takers.sort_by_key(|taker| (taker.delay_ms, taker.account));
    takers.truncate(offer.shares as usize);
    takers
}

fn share_out(offer: &Offer<'_>, takers: &[Taker], rng: &mut Rng) -> Vec<(Share, Option<SchemeId>)> {
    let mut left = Left { amount_fen: offer.amount_fen, shares: offer.shares };
    let equal = (offer.play == "equal").then(|| offer.amount_fen / offer.shares);
    if equal.is_some() {
        assert_eq!(offer.amount_fen % offer.shares, 0, "equal shares: {offer:?}");
    }
    let claims = takers.iter().map(|taker| {
        let amount_fen = equal.unwrap_or_else(|| left.draw(rng));
        let time = offer.time + taker.delay_ms.max(1);
        (Share { account: taker.account, time, amount_fen }, taker.scheme)
    });
    claims.collect()
}

/// What is left of a packet whose shares are drawn by luck.
///
/// One fen is kept for each share still to come; of the rest a share gets from nothing to twice
/// the mean, all whole amounts alike, where the bound is rounded up or down at random so that its
/// mean is exact. Every place then has the same expected share, to the fen.
#[derive(Debug)]
struct Left {
    amount_fen: i64,
    shares: i64,
}

impl Left {
    fn draw(&mut self, rng: &mut Rng) -> i64 {
        let share = if self.shares == 1 {
            self.amount_fen
        } else {
            let free = 2 * (self.amount_fen - self.shares);
            let bound = free / self.shares;
            let odd = free % self.shares;
            let bound = bound + i64::from(rng.below(self.shares as u64) < odd as u64);
            1 + rng.between(0, bound)
        };
        self.amount_fen -= share;
        self.shares -= 1;
        share
    }
}

/// How long a person takes to claim, ms: most look at the phone, some later, a few much later.
pub(super) fn human_delay(rng: &mut Rng) -> i64 {
    let delay = match rng.weighted(&[76, 19, 5]) {
        0 => 700 + rng.around(9_000, 1.0),
        1 => 5_000 + rng.around(360_000, 1.0),
        _ => 60_000 + rng.around(3 * 3_600_000, 0.9),
    };
    delay.min(EXPIRY_MS - 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_the_same_mean_share() {
        const TRIALS: i64 = 100_000;
        let mut rng = Rng::named(1, "split", 0);
        let mut sums = [0_i64; 5];
        for _ in 0..TRIALS {
            let mut left = Left { amount_fen: 12, shares: 5 };
            for sum in &mut sums {
                let share = left.draw(&mut rng);
                assert!(share >= 1);
                *sum += share;
            }
            assert_eq!((left.amount_fen, left.shares), (0, 0));
        }
        // The standard error of a sum is below 500; floor-and-clamp splits miss by 30,000.
        assert!(sums.iter().all(|sum| sum.abs_diff(TRIALS * 12 / 5) < 2_000), "{sums:?}");
    }
}
