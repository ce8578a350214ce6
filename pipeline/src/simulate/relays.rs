//! Who joins relays (接龙): of the young to whom several were offered, the document's share. Who of them
//! does follows from how many have by then, so that it holds of a few hundred people too.

use rustc_hash::{FxHashMap, FxHashSet};

use super::figures::YOUNG_RELAY_PERMILLE;
use super::world::{Account, Age, Group, Person};

/// From so many relays in somebody's groups on it is told whether he joins any.
pub(super) const ASKED_MIN: u32 = 3;

/// What is known of the young and their relays, as it can be seen: who has never done anything in a
/// group is not seen there.
#[derive(Debug, Default)]
pub(super) struct Relays {
    offered: FxHashMap<Group, u32>,
    present: FxHashSet<(Group, Account)>,
    seen: FxHashMap<Account, Seen>,
    /// Those to whom enough were offered, and those of them who joined one.
    asked: u64,
    joined: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    offered: u32,
    joined: bool,
}

impl Relays {
    /// Somebody does something in a group: all of its relays were offered to him too.
    pub(super) fn present(&mut self, group: Group, account: Account, person: &Person) {
        if counts(person) && self.present.insert((group, account)) {
            let offered = self.offered.get(&group).copied().unwrap_or(0);
            self.offer_to(account, offered);
        }
    }

    /// A relay is offered to the members of a group: who has seen enough of them without joining
    /// plays in this one if too few do.
    pub(super) fn offer(&mut self, group: Group, people: &mut [Person], members: &[Account]) {
        *self.offered.entry(group).or_default() += 1;
        let mut promised = 0;
        for &member in members {
            let person = &mut people[member.0 as usize];
            if !counts(person) || !self.present.contains(&(group, member)) {
                continue;
            }
            let seen = self.offer_to(member, 1);
            if seen.offered >= ASKED_MIN && !seen.joined {
                let wanted = self.asked * YOUNG_RELAY_PERMILLE;
                person.plays_relay = (self.joined + promised) * 1000 < wanted;
                promised += u64::from(person.plays_relay);
            }
        }
    }

    /// Somebody takes a share of a relay, or one more of it.
    pub(super) fn joins(&mut self, account: Account) {
        let seen = self.seen.entry(account).or_default();
        self.joined += u64::from(!seen.joined && seen.offered >= ASKED_MIN);
        seen.joined = true;
    }

    fn offer_to(&mut self, account: Account, relays: u32) -> Seen {
        let seen = self.seen.entry(account).or_default();
        let before = seen.offered;
        seen.offered += relays;
        if before < ASKED_MIN && seen.offered >= ASKED_MIN {
            self.asked += 1;
            self.joined += u64::from(seen.joined);
        }
        *seen
    }
}

/// Whether the document's share is of people like this one.
fn counts(person: &Person) -> bool {
    person.age == Age::Young && !person.hired && !person.ringed
}
