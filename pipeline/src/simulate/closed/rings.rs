//! What rings do when they are stopped: the group is given up for a new one of the same name with the
//! same people, and the account for a fresh one, as bankers do from night to night anyway.

use std::collections::{BTreeMap, BTreeSet};

use super::{Subject, World};
use crate::simulate::figures::{DAY, MINUTE};
use crate::simulate::society::{announce, introduce};
use crate::simulate::world::{Account, Group, GroupInfo, Member, SchemeId};

/// How long it takes until the people are in the new group.
const GATHER: i64 = 30 * MINUTE;
/// How old the account is that a ring buys, days at most.
const FRESH_DAYS_MAX: i64 = 20;

/// What a ring can give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asset {
    Group(Group),
    Account(SchemeId, Account),
}

/// How rings have moved.
#[derive(Default)]
pub(super) struct Rings {
    /// Where a group has gone on.
    groups: BTreeMap<Group, Group>,
    /// Who acts in somebody's place, for a ring.
    accounts: BTreeMap<(SchemeId, Account), Account>,
    stops: BTreeMap<Asset, i64>,
    moves: BTreeMap<SchemeId, i64>,
    given_up: BTreeSet<SchemeId>,
    pub(super) groups_opened: u64,
    pub(super) accounts_bought: u64,
}

impl Rings {
    pub(super) fn has_moved(&self, scheme: Option<SchemeId>) -> bool {
        scheme.is_some_and(|scheme| self.moves.contains_key(&scheme))
    }

    pub(super) fn has_given_up(&self, scheme: Option<SchemeId>) -> bool {
        scheme.is_some_and(|scheme| self.given_up.contains(&scheme))
    }
}

impl World {
    /// Who acts for a ring by now where somebody did; for everything else, the person.
    pub(in crate::simulate) fn acting(
        &self,
        mut account: Account,
        scheme: Option<SchemeId>,
    ) -> Account {
        let (Some(closed), Some(scheme)) = (&self.closed, scheme) else { return account };
        while let Some(next) = closed.rings.accounts.get(&(scheme, account)) {
            account = *next;
        }
        account
    }

    /// Where a group meets by now.
    pub(in crate::simulate) fn meeting(&self, mut group: Group) -> Group {
        let Some(closed) = &self.closed else { return group };
        while let Some(next) = closed.rings.groups.get(&group) {
            group = *next;
        }
        group
    }

    /// A transaction of a ring was held or blocked. What it gives up is what was stopped too often:
    /// its own group, and its own accounts on either side.
    pub(super) fn ring_stopped(&mut self, subject: Subject) {
        let Some(scheme) = subject.scheme else { return };
        let own = |group: &Group| self.group(*group).scheme == Some(scheme);
        let group = subject.group.filter(own).map(Asset::Group);
        let roles = &self.scheme(scheme).roles;
        let guilty =
            |account: &Account| roles.iter().any(|(who, _, guilty)| who == account && *guilty);
        let accounts = [Some(subject.actor), subject.payee].into_iter().flatten().filter(guilty);
        let accounts = accounts.map(|account| Asset::Account(scheme, account));
        let assets: Vec<Asset> = group.into_iter().chain(accounts).collect();
        for asset in assets {
            let closed = self.closed();
            let stops = closed.rings.stops.entry(asset).or_default();
            *stops += 1;
            if *stops != closed.reactions.ring_patience {
                continue;
            }
            let moves = closed.rings.moves.entry(scheme).or_default();
            if *moves >= closed.reactions.ring_moves_max {
                closed.rings.given_up.insert(scheme);
                return;
            }
            *moves += 1;
            let time = self.now + self.closed().reactions.ring_moves_after;
            self.at(time, move |world| match asset {
                Asset::Group(group) => world.reopen(group, scheme),
                Asset::Account(_, account) => world.replace(account, scheme),
            });
        }
    }

    /// The same people under the same name; the new group is used when they are there.
    fn reopen(&mut self, old: Group, scheme: SchemeId) {
        let GroupInfo { kind, province, name, members, taciturn, .. } = self.group(old).clone();
        let now = self.now;
        let mut rng = self.closed().rng.split();
        let mut people: Vec<Account> = Vec::new();
        for member in members {
            let account = self.acting(member.account, Some(scheme));
            if !people.contains(&account) {
                people.push(account);
            }
        }
        let members = people.into_iter().enumerate().map(|(at, account)| {
            let since = if at == 0 { now } else { now + rng.between(1, 25 * MINUTE) };
            Member { account, since }
        });
        let new = GroupInfo {
            kind,
            province,
            name,
            opened_at: Some(now),
            members: members.collect(),
            farm: None,
            scheme: Some(scheme),
            taciturn,
        };
        let new = self.add_group(new);
        announce(self, new, now, Some(scheme));
        self.closed().rings.groups_opened += 1;
        self.at(now + GATHER, move |world| {
            world.closed().rings.groups.insert(old, new);
        });
    }

    /// Another account takes the place of one, in the ring's groups too; what the old one has is
    /// drawn out first, as far as that is let through.
    fn replace(&mut self, old: Account, scheme: SchemeId) {
        let fen = self.change_fen(old);
        if fen > 0 {
            self.withdraw(old, fen, Some(scheme));
        }
        let person = self.person(old);
        let (age, province) = (person.age, person.province);
        let mut rng = self.closed().rng.split();
        let new = self.add_person(age, province, &mut rng);
        let registered_at = self.now - rng.between(1, FRESH_DAYS_MAX * DAY);
        let person = &mut self.people[new.0 as usize];
        (person.registered_at, person.ringed) = (registered_at, true);
        introduce(self, new, self.now);
        let role = self.scheme(scheme).roles.iter().find(|(who, ..)| *who == old);
        let role = role.map_or("banker", |(_, role, _)| role);
        self.role(scheme, new, role, true);
        let groups = (0..self.groups.len() as u32).map(Group);
        let in_it = |group: &Group| {
            let info = self.group(*group);
            info.scheme == Some(scheme) && info.members.iter().any(|member| member.account == old)
        };
        for group in groups.filter(in_it).collect::<Vec<Group>>() {
            self.join_for(group, new, scheme);
        }
        self.closed().rings.accounts_bought += 1;
        self.closed().rings.accounts.insert((scheme, old), new);
    }

    /// A ring's account joins one of its groups.
    fn join_for(&mut self, group: Group, account: Account, scheme: SchemeId) {
        let now = self.now;
        self.groups[group.0 as usize].members.push(Member { account, since: now });
        self.join(group, account, Some(scheme));
    }
}
