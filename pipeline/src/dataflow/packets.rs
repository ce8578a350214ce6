//! The referee's two families: packets, and the accounts that are told what was found of their
//! shares and refunds.
//!
//! What a packet's keeper finds goes on to the account's keeper within the same step. That one
//! waits for the step to be whole, as every keeper does, and then has both what there is to tell
//! and the lookups; so nothing waits for an answer to itself.

use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::core::OkErr;

use super::{Events, Wiring, Work};
use crate::event::{ACCOUNT_ID, COUNTERPARTY_ID, GROUP_ID, PACKET_ID};
use crate::features::kept::Keeper;
use crate::features::state::Usage;
use crate::gather::Prepared;
use crate::keyed::{Addressing, Replies, Requests};
use crate::packet::requests::{FortunesState, RefereeState, account_lookups, packet_requests};

impl Wiring<'_> {
    /// Answers about the packets of each transaction and, where something asks for them, about
    /// its account.
    #[expect(clippy::result_large_err, reason = "it parts two streams, and neither is an error")]
    pub(super) fn referee<'s>(&self, events: &Events<'s>) -> Vec<StreamVec<'s, u64, Replies>> {
        let (index, peers) = (self.index, self.peers);
        let to = move |first| Addressing { origin: index, peers, first };
        let requests = self.ask(events, "Requests: packets", move |prepared: &Prepared| {
            let keys = prepared.keys_of([PACKET_ID, ACCOUNT_ID, COUNTERPARTY_ID, GROUP_ID]);
            packet_requests(&prepared.slice, &keys, &to(prepared.rank))
        });
        let features = self.job.features();
        let packets = self.packets(requests, features.kept_family(Keeper::Packets));
        let (answers, tidings) = packets.ok_err(|found| found);
        if !features.keepers.has(Keeper::Fortunes) {
            return vec![answers];
        }
        let lookups = self.ask(events, "Requests: accounts of packets", move |prepared| {
            let [accounts] = prepared.keys_of([ACCOUNT_ID]);
            account_lookups(&prepared.slice, &accounts, &to(prepared.rank))
        });
        let requests = events.scope().concatenate([lookups, tidings]);
        vec![answers, self.accounts(requests, features.kept_family(Keeper::Fortunes))]
    }

    fn packets<'s>(
        &self,
        requests: StreamVec<'s, u64, Requests>,
        family: u32,
    ) -> StreamVec<'s, u64, Result<Replies, Requests>> {
        let mut state = RefereeState::new(self.peers);
        self.keyed(requests, "packet: referee", move |work| match work {
            Work::Apply(batches, found) => {
                for requests in batches {
                    let mut replies = Replies::to(requests, family);
                    let tidings = state.apply(requests, &mut replies);
                    found.push(Ok(replies));
                    found.extend(tidings.into_iter().map(Err));
                }
                Usage::default()
            }
            Work::Measure => Usage { keys: state.len() as u64, ..Usage::default() },
        })
    }

    fn accounts<'s>(
        &self,
        requests: StreamVec<'s, u64, Requests>,
        family: u32,
    ) -> StreamVec<'s, u64, Replies> {
        let mut state = FortunesState::new();
        self.keyed(requests, "packet: accounts", move |work| match work {
            Work::Apply(batches, found) => {
                let mut replies = Replies::to(&batches[0], family);
                state.apply(batches, &mut replies);
                found.push(replies);
                Usage::default()
            }
            Work::Measure => {
                let (keys, events) = state.len();
                Usage { keys: keys as u64, events: events as u64, bytes: 0 }
            }
        })
    }
}
