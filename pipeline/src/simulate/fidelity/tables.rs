//! What is remembered of the events of a population, to be measured.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasherDefault;

use indexmap::IndexMap;
use rustc_hash::FxHasher;

use super::Of;
use super::dwell::{Books, Flow};
use crate::simulate::figures::{DAY, GroupType, HOUR, Zone, zone_of};
use crate::simulate::relays::ASKED_MIN;

/// A packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) time: i64,
    pub(crate) sender: u32,
    pub(crate) group: Option<u32>,
    pub(crate) fen: i64,
    pub(crate) fraud: bool,
    /// Of ordinary life: no part of a fraud or of a look-alike, the rush at midnight excepted.
    pub(crate) ordinary: bool,
    pub(crate) relay: bool,
    /// Of the task that it pays; 0 where it pays none.
    pub(crate) stars: u8,
}

/// A group.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GroupSeen {
    pub(crate) kind: Option<GroupType>,
    pub(crate) fraud: bool,
    pub(crate) gambles: bool,
    pub(crate) province: u32,
    /// Whether it was there when the stream opened.
    pub(crate) settled: bool,
    /// Ordinary packets, and those of relays.
    packets: usize,
    relays: usize,
}

impl GroupSeen {
    /// Whether it is a group of ordinary people that was there when the stream opened, in a zone.
    pub(crate) fn settled_in(&self, zone: Zone) -> bool {
        self.settled && !self.fraud && zone_of(self.province) == zone
    }
}

/// An account.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountSeen {
    pub(crate) age_band: String,
    pub(crate) ringed: bool,
}

/// Somebody in a group.
#[derive(Clone, Copy, Debug, Default)]
struct Member {
    claims: usize,
    relays: usize,
}

/// A map in the order in which its keys came, which is fast where there are many.
pub(super) type Met<K, V> = IndexMap<K, V, BuildHasherDefault<FxHasher>>;

/// All that is remembered.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) start: i64,
    pub(crate) days: i64,
    pub(crate) ordinary_days: BTreeSet<i64>,
    pub(crate) packets: Vec<Packet>,
    pub(crate) groups: BTreeMap<u32, GroupSeen>,
    pub(crate) accounts: BTreeMap<u32, AccountSeen>,
    members: Met<(u32, u32), Member>,
    /// Fraudulent ones and all.
    pub(crate) transactions: [usize; 2],
    /// Sends and claims in groups of strong ties and of weak ones, on ordinary days.
    pub(crate) acts: [usize; 2],
    /// Days of their members.
    pub(crate) member_days: [usize; 2],
    pub(crate) books: Books,
}

impl Tables {
    pub(crate) fn end(&self) -> i64 {
        self.start + self.days * DAY
    }

    pub(crate) fn half_hour(&self, time: i64) -> usize {
        ((time - self.start).rem_euclid(DAY) / (HOUR / 2)) as usize
    }

    fn day(&self, time: i64) -> i64 {
        (time - self.start).div_euclid(DAY)
    }

    /// Somebody did something in a group.
    pub(crate) fn present(&mut self, group: u32, account: u32) {
        self.members.entry((group, account)).or_default();
    }

    pub(crate) fn sent(&mut self, packet: Packet) {
        if let Some(group) = packet.group {
            self.count(packet);
            let group = self.groups.entry(group).or_default();
            group.packets += usize::from(packet.ordinary);
            group.relays += usize::from(packet.relay && packet.ordinary);
        }
        self.packets.push(packet);
    }

    pub(crate) fn claimed(&mut self, packet: Packet, claimer: u32, scheme: bool) {
        let Some(group) = packet.group else { return };
        if !scheme {
            self.count(packet);
        }
        if let Some(member) = self.members.get_mut(&(group, claimer)).filter(|_| packet.ordinary) {
            member.claims += 1;
            member.relays += usize::from(packet.relay);
        }
    }

    /// Counts what is done with an ordinary packet on an ordinary day.
    fn count(&mut self, packet: Packet) {
        let Some(group) = packet.group.filter(|_| packet.ordinary) else { return };
        if let Some(kind) = self.groups.get(&group).and_then(|group| group.kind)
            && self.ordinary_days.contains(&self.day(packet.time))
        {
            self.acts[weak(kind)] += 1;
        }
    }

    /// Packets of ordinary life in groups of a type.
    pub(crate) fn ordinary(&self, kind: GroupType) -> impl Iterator<Item = &Packet> {
        self.packets
            .iter()
            .filter(move |packet| packet.ordinary && self.kind_of(packet) == Some(kind))
    }

    fn kind_of(&self, packet: &Packet) -> Option<GroupType> {
        self.groups.get(&packet.group?)?.kind
    }

    /// What brings the money that is claimed in a group; what goes from one to another outside of
    /// groups goes among family and friends.
    pub(crate) fn flow(&self, group: Option<u32>) -> Flow {
        let Some(group) = group else { return Flow::Family };
        match self.groups.get(&group) {
            Some(group) if group.gambles => Flow::Gambling,
            Some(group) => match group.kind {
                Some(GroupType::Family) => Flow::Family,
                Some(GroupType::Business) => Flow::Business,
                _ => Flow::Other,
            },
            None => Flow::Other,
        }
    }

    /// Amounts of ordinary packets of a zone's groups.
    pub(crate) fn in_zone(&self, zone: Zone, kind: Option<GroupType>) -> impl Iterator<Item = i64> {
        let there = move |packet: &&Packet| {
            let group = packet.group.and_then(|group| self.groups.get(&group));
            packet.ordinary
                && group.is_some_and(|group| {
                    zone_of(group.province) == zone && (kind.is_none() || group.kind == kind)
                })
        };
        self.packets.iter().filter(there).map(|packet| packet.fen)
    }

    /// Yuan of a sender in a group on a day when he sends.
    pub(crate) fn member_day(&self, kind: GroupType) -> Of {
        let mut days = BTreeSet::new();
        let mut fen = 0;
        for packet in self.ordinary(kind) {
            days.insert((packet.group, packet.sender, self.day(packet.time)));
            fen += packet.fen;
        }
        (fen as f64 / 100.0 / days.len().max(1) as f64, days.len())
    }

    fn of_age<'t>(&'t self, band: &'t str) -> impl Fn(u32) -> bool + 't {
        move |account| {
            self.accounts.get(&account).is_some_and(|seen| seen.age_band == band && !seen.ringed)
        }
    }

    /// Of an age band, in whose groups there were relays, those who joined one.
    pub(crate) fn relays_joined(&self, band: &str) -> Of {
        let band = self.of_age(band);
        let mut asked: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for (&(group, account), member) in &self.members {
            let relays = self.groups.get(&group).map_or(0, |group| group.relays);
            let (offered, joined) = asked.entry(account).or_default();
            *offered += relays;
            *joined += member.relays;
        }
        let asked: Vec<(usize, usize)> = asked
            .into_iter()
            .filter(|(account, (offered, _))| band(*account) && *offered >= ASKED_MIN as usize)
            .map(|(_, counts)| counts)
            .collect();
        super::share(asked.iter().filter(|(_, joined)| *joined > 0).count(), asked.len())
    }

    /// Of an age band, the ones who are in groups other than of family.
    pub(crate) fn contacts_widened(&self, band: &str) -> Of {
        let band = self.of_age(band);
        let mut wide = BTreeSet::new();
        for &(group, account) in self.members.keys() {
            let kind = self.groups.get(&group).and_then(|group| group.kind);
            if kind.is_some_and(|kind| weak(kind) == 1) {
                wide.insert(account);
            }
        }
        // Shops have no group at all.
        let somewhere: BTreeSet<u32> = self.members.keys().map(|key| key.1).collect();
        let all = somewhere.iter().filter(|account| band(**account)).count();
        super::share(wide.iter().filter(|account| band(**account)).count(), all)
    }

    /// Of an age band, to whom many packets were offered, the ones who took hardly any.
    pub(crate) fn watchers(&self, band: &str) -> Of {
        const OFFERED_MIN: usize = 14;
        const TAKEN_PERCENT_MAX: usize = 18;
        let band = self.of_age(band);
        let mut offered: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for (&(group, account), member) in &self.members {
            let packets = self.groups.get(&group).map_or(0, |group| group.packets);
            let (all, taken) = offered.entry(account).or_default();
            *all += packets;
            *taken += member.claims;
        }
        let offered: Vec<(usize, usize)> = offered
            .into_iter()
            .filter(|(account, (all, _))| band(*account) && *all >= OFFERED_MIN)
            .map(|(_, counts)| counts)
            .collect();
        let watch = |(all, taken): &&(usize, usize)| taken * 100 <= all * TAKEN_PERCENT_MAX;
        super::share(offered.iter().filter(watch).count(), offered.len())
    }
}

fn weak(kind: GroupType) -> usize {
    usize::from(kind != GroupType::Family)
}
