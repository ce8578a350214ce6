//! Cycles of up to four accounts, which are sought when they are asked for: counting them as edges
//! come and go would cost the square of the limit an edge.

use super::{Cycle, Graph, Slot};

/// Bits by which most accounts that are not among some others are known without a search: enough
/// for a few hundred, the accounts two hops away, and few enough to be cleared each time.
const SLOTS: usize = 1 << 12;

impl Graph {
    /// What is known of the cycles of up to four accounts through an account. Where there is none
    /// of two or three, the edges that were left out are also those of the accounts that it paid
    /// or was paid by: a cut account two hops away hides a cycle of four.
    pub(crate) fn up_to_four(&mut self, slot: Slot) -> Cycle {
        let mut cycle = self.of(slot);
        let account = &self.accounts[slot.0];
        if account.is_cut || cycle.hops.is_some() {
            return cycle;
        }
        let known = |other: &u32| !self.accounts[*other].is_cut;
        // Without a cycle of two nobody is on both sides.
        let payees = account.payees.list().iter().map(|(payee, _)| *payee).filter(known);
        let payers = account.payers.list().iter().copied().filter(known);
        let to_cut = |other: u32| self.accounts[other].to_cut as usize;
        cycle.left_out += payees.clone().chain(payers.clone()).map(to_cut).sum::<usize>();
        if payees.clone().next().is_none() {
            return cycle;
        }
        // The accounts that are two hops away against the direction of the money.
        let mut before = std::mem::take(&mut self.thirds);
        before.clear();
        payers.for_each(|payer| before.extend(self.accounts[payer].payers.list()));
        let mut perhaps = [0_u64; SLOTS / 64];
        for third in &before {
            let bit = *third as usize % SLOTS;
            perhaps[bit / 64] |= 1 << (bit % 64);
        }
        let is_before = |third: &u32| {
            let bit = *third as usize % SLOTS;
            perhaps[bit / 64] & (1 << (bit % 64)) != 0 && before.contains(third)
        };
        let meets = |payee: u32| {
            let mut after = self.accounts[payee].payees.list().iter();
            after.any(|(third, _)| is_before(third) && known(third))
        };
        if !before.is_empty() && payees.into_iter().any(meets) {
            cycle.hops = Some(4);
        }
        self.thirds = before;
        cycle
    }
}
