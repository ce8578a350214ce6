//! What a slice of events asks of the keepers of funds.

use std::rc::Rc;

use super::flows::Flow;
use super::keepers::{EDGE, GRAPH_WORDS, HOP_IN, HOP_OUT, PASSING_WORDS, PAYEE, PAYER, stream_of};
use crate::event::{AMOUNT_FEN, Chunk, FUNDING, Kind};
use crate::keyed::{Addressing, Key, Requests, halves};
use crate::source::order::Slice;

/// The keys of a slice's accounts, counterparties and groups, row by row.
pub(crate) type SliceKeys = [Rc<[Key]>; 3];

/// Who pays and who is paid, either of them null where there is none.
pub(crate) fn sides(kind: Kind, account: Key, counterparty: Key) -> (Key, Key) {
    match kind {
        Kind::Send | Kind::Withdraw => (account, Key::NULL),
        Kind::Claim => (counterparty, account),
        Kind::Transfer => (account, counterparty),
        _ => (Key::NULL, Key::NULL),
    }
}

/// How an event changes what the account that acts has.
fn flow_of(chunk: &Chunk, row: usize) -> Option<Flow> {
    match chunk.kind(row) {
        Kind::Claim => Some(Flow::Receipt),
        Kind::Refund | Kind::Topup => Some(Flow::Credit),
        Kind::Withdraw => Some(Flow::Spend),
        Kind::Send | Kind::Transfer if chunk.str(FUNDING, row) == "bank" => Some(Flow::BankSpend),
        Kind::Send | Kind::Transfer => Some(Flow::Spend),
        _ => None,
    }
}

/// Requests to the keepers of flows, a batch for each worker.
pub(crate) fn flow_requests(
    slice: &Slice,
    [accounts, counterparties, _]: &SliceKeys,
    to: &Addressing,
) -> Vec<Requests> {
    let chunk = &slice.chunk;
    let mut batches = Requests::batches(to, chunk.len(), 1);
    for row in 0..chunk.len() {
        let Some(flow) = flow_of(chunk, row) else { continue };
        let (kind, acts) = (chunk.kind(row), accounts[row]);
        let (payer, payee) = sides(kind, acts, counterparties[row]);
        let lookup = |side: Key, bit| if side == acts { bit } else { 0 };
        let asked = lookup(payer, PAYER) | lookup(payee, PAYEE);
        let mut push = |key: Key, flow: Option<Flow>, lookups| {
            if key == Key::NULL {
                return;
            }
            let batch = &mut batches[key.group() % to.peers];
            let stream = flow.map_or(0, stream_of);
            batch.push(row, key, slice.effective[row], stream, lookups);
            batch.words.extend(flow.map(|_| chunk.int(AMOUNT_FEN, row) as u64));
        };
        // A transfer to oneself moves nothing.
        let other = if acts == payer { payee } else { payer };
        let to_oneself = kind == Kind::Transfer && acts == other;
        push(acts, Some(flow).filter(|_| !to_oneself), asked);
        if other != acts {
            let receives = kind == Kind::Transfer;
            let bit = if receives { PAYEE } else { PAYER };
            push(other, receives.then_some(Flow::Receipt), bit);
        }
    }
    batches
}

/// The claims and transfers from one account to another, for those who pass them on.
pub(crate) fn hop_requests(
    slice: &Slice,
    [accounts, counterparties, groups]: &SliceKeys,
    to: &Addressing,
) -> Vec<Requests> {
    let chunk = &slice.chunk;
    let mut batches = Requests::batches(to, 2 * chunk.len(), PASSING_WORDS);
    for row in 0..chunk.len() {
        let kind = chunk.kind(row);
        let (payer, payee) = sides(kind, accounts[row], counterparties[row]);
        if payer == Key::NULL || payee == Key::NULL || payer == payee {
            continue;
        }
        let (time, fen) = (slice.effective[row], chunk.int(AMOUNT_FEN, row) as u64);
        let out = &mut batches[payer.group() % to.peers];
        out.push(row, payer, time, HOP_OUT, 0);
        let [low, high] = halves(payee.hash);
        out.words.extend([fen, low, high, u64::from(payee.check)]);
        let into = &mut batches[payee.group() % to.peers];
        into.push(row, payee, time, HOP_IN, 0);
        into.words.extend([fen, payer.hash as u64, groups[row].hash as u64, 0]);
    }
    batches
}

/// Lookups of the payers and payees of a slice's transactions, a batch for each worker.
pub(crate) fn side_lookups(
    slice: &Slice,
    [accounts, counterparties, _]: &SliceKeys,
    to: &Addressing,
) -> Vec<Requests> {
    let chunk = &slice.chunk;
    let mut batches = Requests::batches(to, 2 * chunk.len(), 0);
    for row in 0..chunk.len() {
        let (payer, payee) = sides(chunk.kind(row), accounts[row], counterparties[row]);
        let mut push = |key: Key, lookups| {
            if key != Key::NULL {
                let batch = &mut batches[key.group() % to.peers];
                batch.push(row, key, slice.effective[row], 0, lookups);
            }
        };
        if payer == payee {
            push(payer, PAYER | PAYEE);
        } else {
            push(payer, PAYER);
            push(payee, PAYEE);
        }
    }
    batches
}

/// The claims and transfers from one account to another, for every worker's graph, and the lookups
/// of the slice's transactions for this worker's own.
pub(crate) fn graph_requests(
    slice: &Slice,
    [accounts, counterparties, _]: &SliceKeys,
    to: &Addressing,
) -> Vec<Requests> {
    let chunk = &slice.chunk;
    // Each batch holds all rows.
    let mut batches = Requests::batches(to, to.peers * chunk.len(), GRAPH_WORDS);
    for row in 0..chunk.len() {
        let (payer, payee) = sides(chunk.kind(row), accounts[row], counterparties[row]);
        let lookup = |side: Key, bit| if side == Key::NULL { 0 } else { bit };
        let asked = lookup(payer, PAYER) | lookup(payee, PAYEE);
        let is_edge = asked == PAYER | PAYEE && payer != payee;
        let [low, high] = halves(payee.hash);
        for (destination, batch) in batches.iter_mut().enumerate() {
            let asked = if destination == to.origin { asked } else { 0 };
            if asked != 0 || is_edge {
                let stream = if is_edge { EDGE } else { 0 };
                batch.push(row, payer, slice.effective[row], stream, asked);
                batch.words.extend([low, high, u64::from(payee.check)]);
            }
        }
    }
    batches
}
