//! The keepers of groups and of ties between two accounts.

use timely::dataflow::StreamVec;

use super::{Events, Wiring};
use crate::event::{ACCOUNT_ID, COUNTERPARTY_ID, GROUP_ID, PACKET_ID};
use crate::features::kept::Keeper;
use crate::features::social::groups::GroupsState;
use crate::features::social::requests::{group_requests, tie_requests};
use crate::features::social::ties::TiesState;
use crate::gather::Prepared;
use crate::keyed::{Addressing, Replies, Requests};

impl Wiring<'_> {
    /// Answers about the group of each transaction, and about its payer and payee, where something
    /// asks for them.
    pub(super) fn social<'s>(&self, events: &Events<'s>) -> Vec<StreamVec<'s, u64, Replies>> {
        let keepers = self.job.features().keepers;
        let mut answers = Vec::new();
        if keepers.has(Keeper::Groups) {
            answers.push(self.groups(events));
        }
        if keepers.has(Keeper::Ties) {
            answers.push(self.ties(events));
        }
        answers
    }

    fn groups<'s>(&self, events: &Events<'s>) -> StreamVec<'s, u64, Replies> {
        let (index, peers) = (self.index, self.peers);
        let requests = self.ask(events, "group: money", move |prepared: &Prepared| {
            let keys = prepared.keys_of([GROUP_ID, ACCOUNT_ID, COUNTERPARTY_ID, PACKET_ID]);
            let to = Addressing { origin: index, peers, first: prepared.rank };
            group_requests(&prepared.slice, prepared.bet_digits(), &keys, &to)
        });
        let family = self.job.features().kept_family(Keeper::Groups);
        let apply = |state: &mut GroupsState, batches: &[Requests], replies: &mut Replies| {
            batches.iter().for_each(|requests| state.apply(requests, replies));
        };
        let name = ("group: money", family);
        self.answers(requests, name, GroupsState::new(), apply, GroupsState::usage)
    }

    fn ties<'s>(&self, events: &Events<'s>) -> StreamVec<'s, u64, Replies> {
        let (index, peers) = (self.index, self.peers);
        let requests = self.ask(events, "pair: ties", move |prepared: &Prepared| {
            let keys = prepared.keys_of([ACCOUNT_ID, COUNTERPARTY_ID, GROUP_ID]);
            let to = Addressing { origin: index, peers, first: prepared.rank };
            tie_requests(&prepared.slice, &keys, &to)
        });
        let family = self.job.features().kept_family(Keeper::Ties);
        let apply = |state: &mut TiesState, batches: &[Requests], replies: &mut Replies| {
            batches.iter().for_each(|requests| state.apply(requests, replies));
        };
        let name = ("pair: ties", family);
        self.answers(requests, name, TiesState::new(), apply, TiesState::usage)
    }
}
