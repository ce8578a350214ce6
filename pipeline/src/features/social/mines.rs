//! Payments that look like what the loser of a mine packet (扫雷) owes: whoever draws a share that
//! ends in the announced digit pays the packet's sender a fixed multiple of the packet.

use std::collections::VecDeque;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::group::{Id, KNOWN_WINDOW_MS, MONEY_WINDOW_MS};
use crate::features::state_map::give_back;

/// How long after a losing claim a payment can be for it.
pub(crate) const SETTLED_WITHIN_MS: i64 = 60_000;
/// Of the losing claims of one member of packets of one sender only so many, the latest, can be
/// paid for: who loses more in a minute is no person, and a payment must not search thousands.
pub(crate) const LOSSES_MAX: usize = 8;
/// How long after the last payment of a ratio another one repeats it: as long as people know each
/// other.
pub(crate) const RATIO_KNOWN_MS: i64 = KNOWN_WINDOW_MS;
/// A group knows so many ratios, those last seen: a game has one or a few, and who pays a different
/// one each time must not make a payment slow.
pub(crate) const RATIOS_MAX: usize = 64;

/// The losses and payments of one group.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Mines {
    /// Losses by loser and sender, oldest first.
    losses: HashMap<(Id, Id), VecDeque<Loss>, FxBuildHasher>,
    /// When losses of whom came, oldest first; also of those that gave way to later ones.
    order: VecDeque<(i64, (Id, Id))>,
    /// When the payments of the window were made that repeated a ratio, oldest first.
    payouts: VecDeque<i64>,
    /// The ratios of payments with when each was last seen, the one longest not seen first.
    ratios: VecDeque<(Ratio, i64)>,
    /// When a limit bit in the window, oldest first: a loss that was not paid gave way to a later
    /// one, or a ratio that was still known to another.
    cuts: VecDeque<i64>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Loss {
    time: i64,
    /// The amount of the packet.
    face: i64,
    settled: bool,
}

/// A payment over the amount of its packet, in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ratio(i64, i64);

impl Mines {
    /// `loser` drew the announced digit from a packet of `face` fen.
    pub(super) fn lost(&mut self, loser: Id, sender: Id, face: i64, time: i64) {
        let losses = self.losses.entry((loser, sender)).or_default();
        if losses.len() == LOSSES_MAX && losses.pop_front().is_some_and(|loss| !loss.settled) {
            self.cuts.push_back(time);
        }
        losses.push_back(Loss { time, face, settled: false });
        self.order.push_back((time, (loser, sender)));
    }

    /// A transfer: it settles the oldest open loss with a ratio that was seen before, or else the
    /// oldest open loss.
    pub(super) fn paid(&mut self, payer: Id, payee: Id, fen: i64, time: i64) {
        let Some(losses) = self.losses.get_mut(&(payer, payee)) else { return };
        if fen == 0 {
            return;
        }
        let ratios = &self.ratios;
        let mut open = losses.iter_mut().filter(|loss| !loss.settled);
        let Some(first) = open.next() else { return };
        let known = |face: i64| {
            let ratio = Ratio::of(fen, face);
            ratios.iter().any(|(held, _)| *held == ratio)
        };
        let loss = if known(first.face) {
            first
        } else {
            open.find(|loss| known(loss.face)).unwrap_or(first)
        };
        loss.settled = true;
        let ratio = Ratio::of(fen, loss.face);
        self.saw(ratio, time);
    }

    /// A payment with this ratio was made. Whether it repeats one is for good: what goes later
    /// takes nothing from it.
    fn saw(&mut self, ratio: Ratio, time: i64) {
        if let Some(at) = self.ratios.iter().position(|(held, _)| *held == ratio) {
            self.ratios.remove(at);
            self.payouts.push_back(time);
        } else if self.ratios.len() == RATIOS_MAX {
            self.ratios.pop_front();
            self.cuts.push_back(time);
        }
        self.ratios.push_back((ratio, time));
    }

    /// Payments of the window that repeated a ratio.
    pub(super) fn payouts(&self) -> i64 {
        self.payouts.len() as i64
    }

    /// How often a limit bit in the window.
    pub(super) fn cuts(&self) -> i64 {
        self.cuts.len() as i64
    }

    /// Lets go what no window holds at `now`. Whether anything is left.
    pub(super) fn expire(&mut self, now: i64) -> bool {
        let until = now.saturating_sub(SETTLED_WITHIN_MS);
        while let Some((time, pair)) = self.order.front().filter(|(time, _)| *time <= until) {
            if let Some(losses) = self.losses.get_mut(pair) {
                if losses.front().is_some_and(|loss| loss.time <= *time) {
                    losses.pop_front();
                }
                if losses.is_empty() {
                    self.losses.remove(pair);
                }
            }
            self.order.pop_front();
        }
        let until = now.saturating_sub(MONEY_WINDOW_MS);
        for times in [&mut self.payouts, &mut self.cuts] {
            while times.front().is_some_and(|time| *time <= until) {
                times.pop_front();
            }
            give_back(times);
        }
        let until = now.saturating_sub(RATIO_KNOWN_MS);
        while self.ratios.front().is_some_and(|(_, last)| *last <= until) {
            self.ratios.pop_front();
        }
        give_back(&mut self.order);
        !self.order.is_empty() || !self.ratios.is_empty() || !self.cuts.is_empty()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        const LOSSES_BYTES: usize = 4 * size_of::<Loss>();
        self.losses.capacity() * (size_of::<((Id, Id), VecDeque<Loss>)>() + 1)
            + self.losses.len() * LOSSES_BYTES
            + self.order.capacity() * size_of::<(i64, (Id, Id))>()
            + (self.payouts.capacity() + self.cuts.capacity()) * size_of::<i64>()
            + self.ratios.capacity() * size_of::<(Ratio, i64)>()
    }
}

impl Ratio {
    fn of(paid: i64, face: i64) -> Ratio {
        let (mut common, mut rest) = (paid, face);
        while rest != 0 {
            (common, rest) = (rest, common % rest);
        }
        Ratio(paid / common, face / common)
    }
}
