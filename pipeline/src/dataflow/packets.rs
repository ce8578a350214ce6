//! The referee's families: packets, the accounts that are told what was found of their shares and
//! refunds, and the devices and groups (see `social`) that are told how long claims there took.
//!
//! What a packet's keeper finds goes on to the other keepers within the same step. Each of them
//! waits for the step to be whole, as every keeper does, and then has both what there is to tell
//! and the lookups; so nothing waits for an answer to itself.

use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::vec::Partition;

use super::{Events, Wiring, Work};
use crate::event::{ACCOUNT_ID, COUNTERPARTY_ID, DEVICE_ID, FieldId, GROUP_ID, PACKET_ID};
use crate::features::devices::latency::Latencies;
use crate::features::kept::Keeper;
use crate::features::senders::Senders;
use crate::features::state::Usage;
use crate::gather::Prepared;
use crate::keyed::{Addressing, Key, Replies, Requests};
use crate::packet::requests::{FortunesState, RefereeState, TOLD, packet_requests};

impl Wiring<'_> {
    /// Answers about the packets of each transaction and, where something asks for them, about
    /// its account and device; and what groups are to be told.
    pub(super) fn referee<'s>(
        &self,
        events: &Events<'s>,
    ) -> (Vec<StreamVec<'s, u64, Replies>>, StreamVec<'s, u64, Requests>) {
        let (index, peers) = (self.index, self.peers);
        let to = move |first| Addressing { origin: index, peers, first };
        let requests = self.ask(events, "packet: referee", move |prepared: &Prepared| {
            let keys =
                prepared.keys_of([PACKET_ID, ACCOUNT_ID, COUNTERPARTY_ID, GROUP_ID, DEVICE_ID]);
            packet_requests(&prepared.slice, &keys, &to(prepared.rank))
        });
        let features = self.job.features();
        let packets = self.packets(requests, features.kept_family(Keeper::Packets));
        let (packets, tidings) = packets.ok_err(|found| found);
        let mut answers = vec![packets];
        let tidings = tidings.partition(TOLD as u64, |(to, requests)| (to as u64, requests));
        let Ok([shares, claims, of_groups, sent]) = <[_; TOLD]>::try_from(tidings) else {
            unreachable!("it is parted in so many");
        };
        if features.keepers.has(Keeper::Fortunes) {
            let asked = self.ask(events, "packet: accounts", move |prepared| {
                lookups(prepared, ACCOUNT_ID, &to(prepared.rank))
            });
            let requests = events.scope().concatenate([asked, shares]);
            let name = ("packet: accounts", features.kept_family(Keeper::Fortunes));
            let usage = |state: &FortunesState| {
                let (keys, events) = state.len();
                Usage { keys: keys as u64, events: events as u64, ..Usage::default() }
            };
            answers.push(self.answers(
                requests,
                name,
                FortunesState::new(),
                FortunesState::apply,
                usage,
            ));
        }
        if features.keepers.has(Keeper::Senders) {
            let asked = self.ask(events, "packet: senders", move |prepared| {
                lookups(prepared, ACCOUNT_ID, &to(prepared.rank))
            });
            let requests = events.scope().concatenate([asked, sent]);
            let name = ("packet: senders", features.kept_family(Keeper::Senders));
            let (apply, usage) = (Senders::apply, Senders::usage);
            answers.push(self.answers(requests, name, Senders::new(), apply, usage));
        }
        if features.keepers.has(Keeper::Latencies) {
            let asked = self.ask(events, "devices: claims", move |prepared| {
                lookups(prepared, DEVICE_ID, &to(prepared.rank))
            });
            let requests = events.scope().concatenate([asked, claims]);
            let name = ("devices: claims", features.kept_family(Keeper::Latencies));
            let (apply, usage) = (Latencies::apply, Latencies::usage);
            answers.push(self.answers(requests, name, Latencies::new(), apply, usage));
        }
        (answers, of_groups)
    }

    fn packets<'s>(
        &self,
        requests: StreamVec<'s, u64, Requests>,
        family: u32,
    ) -> StreamVec<'s, u64, Result<Replies, (usize, Requests)>> {
        // In the order of `Told`.
        let listeners = [Keeper::Fortunes, Keeper::Latencies, Keeper::Groups, Keeper::Senders];
        let listens = listeners.map(|keeper| self.job.features().keepers.has(keeper));
        let state = RefereeState::new(self.peers, listens);
        self.keyed(requests, "packet: referee", state, move |state, work| match work {
            Work::Apply(batches, found) => {
                for requests in batches {
                    let mut replies = Replies::to(requests, family);
                    let tidings = state.apply(requests, &mut replies);
                    found.push(Ok(replies));
                    for (to, batches) in tidings.into_iter().enumerate() {
                        found.extend(batches.into_iter().map(|batch| Err((to, batch))));
                    }
                }
                Usage::default()
            }
            Work::Measure => Usage { keys: state.len() as u64, ..Usage::default() },
        })
    }
}

/// Lookups of a slice's transactions under the keys of a field, a batch for each worker.
fn lookups(prepared: &Prepared, field: FieldId, to: &Addressing) -> Vec<Requests> {
    let slice = &prepared.slice;
    let [keys] = prepared.keys_of([field]);
    let mut batches = Requests::batches(to, slice.chunk.len(), 0);
    for (row, key) in keys.iter().enumerate() {
        if slice.chunk.kind(row).is_transaction() && *key != Key::NULL {
            batches[key.group() % to.peers].push(row, *key, slice.effective[row], 0, 1);
        }
    }
    batches
}
