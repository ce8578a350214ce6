//! The keepers of groups and of ties between two accounts.
//!
//! Groups are told by the keepers of packets how long claims took. What two accounts have in common
//! is found where the transaction was read, from what the keepers of both tell within the same step.

use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concatenate;

use super::{Events, Wiring, Work};
use crate::event::{ACCOUNT_ID, COUNTERPARTY_ID, GROUP_ID, PACKET_ID};
use crate::features::kept::Keeper;
use crate::features::social::common::{ActsState, compare};
use crate::features::social::groups::GroupsState;
use crate::features::social::requests::{act_requests, group_requests, tie_requests};
use crate::features::social::ties::TiesState;
use crate::features::state::Usage;
use crate::gather::Prepared;
use crate::keyed::{Addressing, Replies, Requests};

impl Wiring<'_> {
    /// Answers about the group of each transaction, and about its payer and payee, where something
    /// asks for them; `latencies` are those of claims in groups.
    pub(super) fn social<'s>(
        &self,
        events: &Events<'s>,
        latencies: StreamVec<'s, u64, Requests>,
    ) -> Vec<StreamVec<'s, u64, Replies>> {
        let keepers = self.job.features().keepers;
        let mut answers = Vec::new();
        if keepers.has(Keeper::Groups) {
            answers.push(self.groups(events, latencies));
        }
        if keepers.has(Keeper::Ties) {
            answers.push(self.ties(events));
        }
        if keepers.has(Keeper::Common) {
            answers.push(self.common(events));
        }
        answers
    }

    fn groups<'s>(
        &self,
        events: &Events<'s>,
        latencies: StreamVec<'s, u64, Requests>,
    ) -> StreamVec<'s, u64, Replies> {
        let (index, peers) = (self.index, self.peers);
        let requests = self.ask(events, "group: money", move |prepared: &Prepared| {
            let keys = prepared.keys_of([GROUP_ID, ACCOUNT_ID, COUNTERPARTY_ID, PACKET_ID]);
            let to = Addressing { origin: index, peers, first: prepared.rank };
            group_requests(&prepared.slice, prepared.bet_digits(), &keys, &to)
        });
        let requests = events.scope().concatenate([requests, latencies]);
        let name = ("group: money", self.job.features().kept_family(Keeper::Groups));
        let (apply, usage) = (GroupsState::apply, GroupsState::usage);
        self.answers(requests, name, GroupsState::new(), apply, usage)
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

    fn common<'s>(&self, events: &Events<'s>) -> StreamVec<'s, u64, Replies> {
        let (index, peers) = (self.index, self.peers);
        let requests = self.ask(events, "account: groups", move |prepared: &Prepared| {
            let keys = prepared.keys_of([ACCOUNT_ID, COUNTERPARTY_ID, GROUP_ID]);
            let to = Addressing { origin: index, peers, first: prepared.rank };
            act_requests(&prepared.slice, &keys, &to)
        });
        let acts = ActsState::new(peers);
        let lists = self.keyed(requests, "account: groups", acts, move |acts, work| match work {
            Work::Apply(batches, found) => {
                found.extend(batches.iter().map(|requests| acts.apply(requests)));
                Usage::default()
            }
            Work::Measure => acts.usage(),
        });
        let name = ("pair: groups", self.job.features().kept_family(Keeper::Common));
        let apply = |_: &mut (), lists: &[Requests], replies: &mut Replies| compare(lists, replies);
        self.answers(lists, name, (), apply, |()| Usage::default())
    }
}
