//! The keepers of accounts' funds: flows, money that reaches accounts through others, and cycles.
//!
//! Who passes money on tells the keeper of its payee within the same step, as the referee's packets
//! tell their accounts (see `packets`).

use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concatenate;

use super::{Events, Wiring, Work};
use crate::event::{ACCOUNT_ID, COUNTERPARTY_ID, GROUP_ID};
use crate::features::funds::GraphTick;
use crate::features::funds::keepers::{
    CYCLES, FlowsState, GraphState, LONG_CYCLES, PassingState, ReachedState,
};
use crate::features::funds::requests::{
    SliceKeys, flow_requests, graph_requests, hop_requests, side_lookups,
};
use crate::features::kept::Keeper;
use crate::features::state::Usage;
use crate::gather::Prepared;
use crate::keyed::{Addressing, Replies, Requests};
use crate::source::order::Slice;

impl Wiring<'_> {
    /// Answers about the funds of each transaction's payer and payee, as far as something asks.
    pub(super) fn funds<'s>(&self, events: &Events<'s>) -> Vec<StreamVec<'s, u64, Replies>> {
        let features = self.job.features();
        let mut answers = Vec::new();
        if features.keepers.has(Keeper::Flows) {
            answers.push(self.flows(events, features.kept_family(Keeper::Flows)));
        }
        if features.keepers.has(Keeper::Chains) {
            answers.push(self.chains(events, features.kept_family(Keeper::Chains)));
        }
        let asked = [(Keeper::Cycles, CYCLES), (Keeper::LongCycles, LONG_CYCLES)]
            .into_iter()
            .filter(|(keeper, _)| features.keepers.has(*keeper))
            .map(|(keeper, ask)| (features.kept_family(keeper), ask))
            .collect::<Vec<_>>();
        if !asked.is_empty() {
            let tick = GraphTick(features.graph_tick);
            let state = GraphState::new(tick, features.counterparties_max, asked);
            answers.push(self.cycles(events, state));
        }
        answers
    }

    /// What a slice asks, by the keys of its accounts, counterparties and groups.
    fn ask_of_sides<'s>(
        &self,
        events: &Events<'s>,
        name: &str,
        ask: fn(&Slice, &SliceKeys, &Addressing) -> Vec<Requests>,
    ) -> StreamVec<'s, u64, Requests> {
        let (origin, peers) = (self.index, self.peers);
        self.ask(events, name, move |prepared: &Prepared| {
            let keys = prepared.keys_of([ACCOUNT_ID, COUNTERPARTY_ID, GROUP_ID]);
            let to = Addressing { origin, peers, first: prepared.rank };
            ask(&prepared.slice, &keys, &to)
        })
    }

    fn flows<'s>(&self, events: &Events<'s>, family: u32) -> StreamVec<'s, u64, Replies> {
        let requests = self.ask_of_sides(events, "funds: flows", flow_requests);
        let state = FlowsState::new();
        let apply = |state: &mut FlowsState, batches: &[Requests], replies: &mut Replies| {
            batches.iter().for_each(|requests| state.apply(requests, replies));
        };
        self.answers(requests, ("funds: flows", family), state, apply, FlowsState::usage)
    }

    fn chains<'s>(&self, events: &Events<'s>, family: u32) -> StreamVec<'s, u64, Replies> {
        let hops = self.ask_of_sides(events, "funds: passing on", hop_requests);
        let lookups = self.ask_of_sides(events, "funds: chains", side_lookups);
        let passing = PassingState::new(self.peers);
        let tidings = self.keyed(hops, "funds: passing on", passing, |passing, work| match work {
            Work::Apply(batches, found) => {
                batches.iter().for_each(|requests| found.extend(passing.apply(requests)));
                Usage::default()
            }
            Work::Measure => passing.usage(),
        });
        let reached = ReachedState::new(GraphTick(self.job.features().graph_tick));
        let requests = events.scope().concatenate([lookups, tidings]);
        let chains = ("funds: chains", family);
        self.answers(requests, chains, reached, ReachedState::apply, ReachedState::usage)
    }

    fn cycles<'s>(&self, events: &Events<'s>, state: GraphState) -> StreamVec<'s, u64, Replies> {
        let requests = self.ask_of_sides(events, "funds: cycles", graph_requests);
        self.keyed(requests, "funds: cycles", state, |state, work| match work {
            Work::Apply(batches, found) => {
                batches.iter().for_each(|requests| state.apply(requests, found));
                Usage::default()
            }
            Work::Measure => state.usage(),
        })
    }
}
