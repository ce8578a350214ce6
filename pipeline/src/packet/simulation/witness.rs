//! A bystander, who sees requests, replies and happenings, knows neither the master secret nor the
//! engine's state, and checks what anybody can: that each packet's receipts form one chain, and
//! that the shares are those of the secret that was committed to.

use std::collections::BTreeMap;

use crate::packet::chain;
use crate::packet::command::{Command, Request, Tie};
use crate::packet::draw::commitment;
use crate::packet::plays::AmountPolicy;
use crate::packet::reply::{Digest, Done, Effect, Happening, Reply, Seq, Tilted};
use crate::packet::tilt::all_shares;
use crate::packet::units::{Fen, Time};

/// What is known of a packet from outside.
#[derive(Clone)]
struct Seen {
    seq: Seq,
    amount: Fen,
    shares: u32,
    drawn: bool,
    tilt: u16,
    commitment: Digest,
    head: Digest,
    claims: Vec<(Fen, Tie, Option<Tilted>)>,
    refunded: Fen,
}

/// The bystander.
#[derive(Clone, Default)]
pub(super) struct Witness {
    packets: BTreeMap<String, Seen>,
}

impl Witness {
    /// Sees a request that was executed now, and all that happened until its reply.
    pub(super) fn see(
        &mut self,
        request: &Request<'_>,
        reply: &Reply,
        effects: &[Effect],
    ) -> Result<(), String> {
        let before = effects.iter().take_while(|effect| effect.time < reply.time).count();
        let (before, after) = effects.split_at(before);
        before.iter().try_for_each(|effect| self.see_effect(effect))?;
        let packet = match (request.command, reply.result) {
            (Command::Send(send), Ok(Done::Sent { commitment })) => {
                let seen = Seen {
                    seq: reply.seq,
                    amount: send.amount,
                    shares: send.shares,
                    drawn: send.play.rules().amounts == AmountPolicy::Drawn,
                    tilt: send.tilt.0,
                    commitment,
                    head: chain::origin(&send, reply.time, &commitment),
                    claims: Vec::new(),
                    refunded: Fen::ZERO,
                };
                self.packets.insert(send.packet.to_owned(), seen);
                Some(send.packet)
            }
            (
                Command::Claim { account, packet, tie, .. },
                Ok(Done::Claimed { index, amount, tilt }),
            ) => {
                self.see_claim(packet, account, reply.time, index, (amount, tie, tilt))?;
                Some(packet)
            }
            (Command::Claim { packet, .. }, Err(_)) if reply.head.is_some() => Some(packet),
            _ => None,
        };
        // A receipt is the head at its own link, whatever follows from the claim.
        if let Some(seen) = packet.and_then(|packet| self.packets.get(packet))
            && reply.head != Some(seen.head)
        {
            return Err("a bystander gets another head".to_owned());
        }
        after.iter().try_for_each(|effect| self.see_effect(effect))
    }

    /// The head that a packet's receipts lead to.
    pub(super) fn head(&self, packet: &str) -> Option<Digest> {
        self.packets.get(packet).map(|seen| seen.head)
    }

    fn see_claim(
        &mut self,
        packet: &str,
        account: &str,
        time: Time,
        index: u32,
        claim: (Fen, Tie, Option<Tilted>),
    ) -> Result<(), String> {
        let seen = self.packets.get_mut(packet).ok_or("a share of a packet nobody sent")?;
        if index as usize != seen.claims.len() || index >= seen.shares {
            return Err(format!("share {index} after {} of {}", seen.claims.len(), seen.shares));
        }
        if claim.0 == Fen::ZERO {
            return Err("a share of nothing".to_owned());
        }
        seen.claims.push(claim);
        let record = chain::claim(index, claim.0, time, &chain::account_digest(account));
        seen.head = chain::extend(&seen.head, &record);
        Ok(())
    }

    pub(super) fn see_effect(&mut self, effect: &Effect) -> Result<(), String> {
        match effect.what {
            Happening::Refunded { packet, amount } => {
                self.of(packet)?.1.refunded += amount;
                Ok(())
            }
            Happening::Closed { packet, secret } => {
                let (name, seen) = self.of(packet)?;
                if commitment(&name, &secret) != seen.commitment {
                    return Err(format!("the secret of {name} is not the one committed to"));
                }
                let claims = seen.claims.len() as u32;
                let record = chain::close(claims, seen.refunded, effect.time, &secret);
                seen.head = chain::extend(&seen.head, &record);
                seen.check_shares(&secret).map_err(|mistake| format!("{name}: {mistake}"))
            }
            _ => Ok(()),
        }
    }

    fn of(&mut self, packet: Seq) -> Result<(String, &mut Seen), String> {
        let found = self.packets.iter_mut().find(|(_, seen)| seen.seq == packet);
        let (name, seen) = found.ok_or("something happened to a packet that nobody sent")?;
        Ok((name.clone(), seen))
    }
}

impl Seen {
    /// Draws the shares again, now that the secret is known.
    fn check_shares(&self, secret: &Digest) -> Result<(), String> {
        let got: Vec<Fen> = self.claims.iter().map(|claim| claim.0).collect();
        let equal = Fen(self.amount.0 / u64::from(self.shares));
        let drawn = match self.drawn {
            true => all_shares(secret, self.amount, self.shares),
            false => vec![equal; self.shares as usize],
        };
        if !self.drawn || self.tilt == 0 {
            return match drawn.starts_with(&got) {
                true => Ok(()),
                false => Err(format!("{got:?} were given of {drawn:?}")),
            };
        }
        // Who got which depends on ties; the shares as a whole do not.
        let mut left = drawn.clone();
        for &(amount, tie, tilted) in &self.claims {
            let at = left.iter().position(|&share| share == amount);
            let at = at.ok_or_else(|| format!("{got:?} were given of {drawn:?}"))?;
            left.swap_remove(at);
            let leant = match (tie, tilted) {
                (Tie::Close, Some(Tilted { first, second })) => first.max(second),
                (Tie::Distant, Some(Tilted { first, second })) => first.min(second),
                (Tie::None, Some(_)) => return Err("no tie, and yet tilted".to_owned()),
                (_, None) => amount,
            };
            if leant != amount {
                return Err(format!("{amount} for a {tie:?} claimer of {tilted:?}"));
            }
        }
        Ok(())
    }
}
