//! What was stopped and what honest people suffered, counted while it happens.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::rings::Rings;
use super::{Counted, Subject, World};
use crate::decision::Verdict;
use crate::simulate::world::Account;

/// Transactions and what they add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Money {
    /// How many.
    pub transactions: u64,
    /// Fen.
    pub fen: i64,
}

impl Money {
    pub(super) fn add(&mut self, fen: i64) {
        self.transactions += 1;
        self.fen += fen;
    }
}

/// What became of money. A packet and its shares are transactions of their own, as everywhere, but
/// their money is the same and counts once: with the packet when it is sent, and where a share is
/// then stopped, from there on as stopped. A share of a packet that is not of this fraud counts by
/// itself. So what was attempted is what was stopped, moved, and still held at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// All that somebody wanted to move.
    pub attempted: Money,
    /// Blocked, or given back after a hold.
    pub stopped: Money,
    /// Let through, at once or after a hold: in a packet of which no share is stopped or held.
    pub moved: Money,
}

/// The rings of a typology.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RingMoney {
    /// How many rings there were.
    pub rings: u64,
    /// How many of them gave up a group or an account for another.
    pub rings_moved: u64,
    /// How many gave up for good.
    pub rings_given_up: u64,
    /// All their money.
    pub all: Flow,
    /// Of that, what they wanted to move after they had given up the first group or account.
    pub after_moving: Flow,
}

/// What honest people suffered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Honest {
    /// All that they wanted to move; the money of a packet and its shares counts once, as in
    /// [`Flow`].
    pub attempted: Money,
    /// What was held.
    pub held: Money,
    /// What of it went back in the end.
    pub returned: Money,
    /// What was blocked.
    pub blocked: Money,
    /// What of the held and blocked was of accounts that also work for a ring, on their own behalf.
    pub of_ring_accounts: Money,
    /// How many people had something held or blocked, those with such an account left out.
    pub people: u64,
    /// Median time from hold to its end, hours; none where nothing was held.
    pub hours_waited_median: Option<f64>,
    /// Blocked payments that were to be tried once more.
    pub retried: u64,
    /// Of those, how many were let through.
    pub retried_through: u64,
    /// Transactions that were given up.
    pub gave_up: Money,
    /// How many of these people gave up something.
    pub people_gave_up: u64,
    /// What people who had given up something did not even try while they remembered.
    pub forgone: Money,
}

/// What the review desk did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeskWork {
    /// Held transactions that were looked at.
    pub looked_at: u64,
    /// Honest ones among them.
    pub honest: u64,
    /// Those that were decided against what is true.
    pub mistakes: u64,
    /// Holds that ended because their time was over.
    pub ran_out: u64,
}

/// What rules did to a population.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Rings by typology.
    pub typologies: BTreeMap<&'static str, RingMoney>,
    /// Groups that rings opened in the place of others.
    pub groups_opened: u64,
    /// Accounts that rings bought in the place of others.
    pub accounts_bought: u64,
    /// Everybody whose transaction belongs to no fraud.
    pub honest: Honest,
    /// The review desk.
    pub desk: DeskWork,
}

/// The report in the making.
#[derive(Default)]
pub(super) struct Tally {
    typologies: BTreeMap<&'static str, RingMoney>,
    pub(super) honest: Honest,
    desk: DeskWork,
    /// Who had something held or blocked, and what.
    people: BTreeMap<Account, Money>,
    people_gave_up: BTreeSet<Account>,
    /// How long holds of honest people took, ms.
    waits: Vec<i64>,
    held_ended: u64,
}

impl Tally {
    /// A transaction was decided; `again` says whether it was tried the second time.
    pub(super) fn decided(
        &mut self,
        subject: &Subject,
        counted: Counted,
        verdict: Verdict,
        again: bool,
    ) {
        let fen = subject.amount_fen;
        let new = if counted.share { 0 } else { fen };
        let through = verdict <= Verdict::Review;
        self.flows(counted, |flow| {
            flow.attempted.add(new);
            match verdict {
                Verdict::Hold | Verdict::Block => flow.moved.fen -= fen - new,
                _ => flow.moved.add(new),
            }
            if verdict == Verdict::Block {
                flow.stopped.add(fen);
            }
        });
        if counted.fraud.is_some() {
            return;
        }
        self.honest.attempted.add(new);
        self.honest.retried_through += u64::from(again && through);
        match verdict {
            Verdict::Hold => self.honest.held.add(fen),
            Verdict::Block => self.honest.blocked.add(fen),
            _ => return,
        }
        self.people.entry(subject.actor).or_default().add(fen);
    }

    /// A hold has ended after so long, in ms.
    pub(super) fn hold_ended(
        &mut self,
        subject: &Subject,
        counted: Counted,
        released: bool,
        waited: i64,
    ) {
        let fen = subject.amount_fen;
        self.held_ended += 1;
        self.flows(counted, |flow| match released {
            true => flow.moved.add(fen),
            false => flow.stopped.add(fen),
        });
        if counted.fraud.is_none() {
            self.waits.push(waited);
            if !released {
                self.honest.returned.add(fen);
            }
        }
    }

    fn flows(&mut self, counted: Counted, add: impl Fn(&mut Flow)) {
        let Some(typology) = counted.fraud else { return };
        let money = self.typologies.entry(typology).or_default();
        add(&mut money.all);
        if counted.after_move {
            add(&mut money.after_moving);
        }
    }

    pub(super) fn gave_up(&mut self, subject: &Subject) {
        self.honest.gave_up.add(subject.amount_fen);
        self.people_gave_up.insert(subject.actor);
    }

    pub(super) fn looked(&mut self, mistake: bool, honest: bool) {
        self.desk.looked_at += 1;
        self.desk.honest += u64::from(honest);
        self.desk.mistakes += u64::from(mistake);
    }

    pub(super) fn finish(mut self, world: &World, rings: &Rings) -> Report {
        for (at, scheme) in world.schemes.iter().enumerate().filter(|(_, scheme)| scheme.fraud) {
            let id = Some(crate::simulate::world::SchemeId(at as u32));
            let money = self.typologies.entry(scheme.name).or_default();
            money.rings += 1;
            money.rings_moved += u64::from(rings.has_moved(id));
            money.rings_given_up += u64::from(rings.has_given_up(id));
        }
        self.waits.sort_unstable();
        let median = self.waits.get(self.waits.len() / 2);
        let roles = world.schemes.iter().flat_map(|scheme| &scheme.roles);
        let guilty: BTreeSet<Account> =
            roles.filter(|(.., guilty)| *guilty).map(|(account, ..)| *account).collect();
        let innocent = |account: &&Account| !guilty.contains(account);
        let mut of_ring_accounts = Money::default();
        for (_, money) in self.people.iter().filter(|(account, _)| guilty.contains(account)) {
            of_ring_accounts.transactions += money.transactions;
            of_ring_accounts.fen += money.fen;
        }
        Report {
            typologies: self.typologies,
            groups_opened: rings.groups_opened,
            accounts_bought: rings.accounts_bought,
            honest: Honest {
                of_ring_accounts,
                people: self.people.keys().filter(innocent).count() as u64,
                people_gave_up: self.people_gave_up.iter().filter(innocent).count() as u64,
                hours_waited_median: median.map(|ms| *ms as f64 / 3_600_000.0),
                ..self.honest
            },
            desk: DeskWork { ran_out: self.held_ended - self.desk.looked_at, ..self.desk },
        }
    }
}
