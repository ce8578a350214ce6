//! The graph of accounts and devices, on one worker: an edge may join any two accounts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;

use super::super::keepers::{OWNER, Settled};
use crate::features::devices::Change;
use crate::features::devices::edges::EdgeChange;
use crate::features::devices::groups::Membership;
use crate::features::devices::linkage::{Linkage, Moment};
use crate::features::devices::view::Changes;
use crate::snapshot::{self, Broken, Share, Snapshot};

/// So many visits are done at a time, a few milliseconds: then other operators have their turn.
const VISITS: u64 = 20_000;

/// The graph, and what becomes of it at moments that are not whole yet.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct GraphKeeper {
    waiting: BTreeMap<i64, Moment>,
    linkage: Linkage,
}

/// The graph as it is kept, and how far its edges and its memberships are.
pub(super) type GraphKept = (Rc<RefCell<GraphKeeper>>, [Settled; 2]);

impl Snapshot for GraphKeeper {
    fn share(&self) -> Share {
        Share::Owner
    }

    fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>)) {
        assert!(!self.linkage.is_busy(), "between two steps no moment is under way");
        put(0, snapshot::encode(self));
    }

    fn load(&mut self, _: usize, bytes: &[u8]) -> Result<(), Broken> {
        *self = snapshot::decode(bytes)?;
        Ok(())
    }
}

/// How clusters change, told to every worker in the order of moments. `last` is the last moment
/// that anyone asks of, once there are no more events: of later ones the memberships are not told.
pub(super) fn graph<'s>(
    edges: StreamVec<'s, u64, EdgeChange>,
    memberships: StreamVec<'s, u64, Change<Membership>>,
    last: impl Fn() -> i64 + 'static,
    (kept, settled): GraphKept,
) -> StreamVec<'s, u64, Changes> {
    let mut builder = OperatorBuilder::new("Devices: clusters".to_owned(), edges.scope());
    let scope = edges.scope();
    let mut edges = builder.new_input(edges, Exchange::new(|_: &EdgeChange| OWNER as u64));
    let mut memberships =
        builder.new_input(memberships, Exchange::new(|_: &Change<Membership>| OWNER as u64));
    let (output, stream) = builder.new_output::<Vec<Changes>>();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(output);
    let activator = scope.activator_for(builder.operator_info().address);
    builder.build(move |mut capabilities| {
        let mut held = capabilities.pop();
        move |frontiers| {
            let GraphKeeper { waiting, linkage } = &mut *kept.borrow_mut();
            let mut output = output.activate();
            edges.for_each_stamp(|_, changes| {
                for change in changes.flat_map(|changes| changes.drain(..)) {
                    moment(waiting, change.at).edges.push(change);
                }
            });
            memberships.for_each_stamp(|_, changes| {
                for (membership, time, by) in changes.flat_map(|changes| changes.drain(..)) {
                    moment(waiting, time).memberships.push((membership, by));
                }
            });
            let Some(capability) = &mut held else { return };
            let until = |at: usize| frontiers[at].frontier().first().copied();
            let (edges_known, told) = (until(0), until(1));
            let is_whole = |time: i64| {
                edges_known.is_none_or(|known| time < known as i64)
                    && told.map_or_else(|| time <= last(), |told| time < told as i64)
            };
            let limit = linkage.visits() + VISITS;
            while linkage.visits() < limit {
                if !linkage.is_busy() {
                    let first = waiting.first_entry().filter(|first| is_whole(*first.key()));
                    let Some(first) = first else { break };
                    capability.downgrade(&(*first.key() as u64).max(*capability.time()));
                    linkage.begin(first.remove());
                }
                let done = linkage.work(limit - linkage.visits());
                if let Some(changes) = done.filter(|changes| !changes.is_empty()) {
                    output.session(&capability).give(changes);
                }
            }
            if linkage.is_busy() || waiting.keys().next().is_some_and(|next| is_whole(*next)) {
                activator.activate();
                return;
            }
            settled[0].set(edges_known);
            settled[1].set(told);
            match edges_known.into_iter().chain(told).min() {
                Some(known) => capability.downgrade(&known),
                None => held = None,
            }
        }
    });
    stream.broadcast()
}

fn moment(waiting: &mut BTreeMap<i64, Moment>, time: i64) -> &mut Moment {
    waiting.entry(time).or_insert_with(|| Moment { time, ..Moment::default() })
}
