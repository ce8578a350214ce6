//! What the keepers of groups and ties are told of a slice of events.

use std::rc::Rc;

use super::common::{ACTS, AS_PAYEE, AS_PAYER, WITH_ONESELF};
use super::group::Id;
use super::groups::{WORDS, words_of};
use crate::event::{AMOUNT_FEN, Kind};
use crate::keyed::{Addressing, Key, Requests, halves};
use crate::source::order::Slice;

/// The requests of a slice about its groups, a batch for each worker; `digits` are those that texts
/// announce, and the keys those of groups, accounts, counterparties and packets.
pub(crate) fn group_requests(
    slice: &Slice,
    digits: &[i64],
    [groups, accounts, counterparties, packets]: &[Rc<[Key]>; 4],
    to: &Addressing,
) -> Vec<Requests> {
    let chunk = &slice.chunk;
    let mut batches = Requests::batches(to, chunk.len(), WORDS);
    for (row, &key) in groups.iter().enumerate() {
        let kind = chunk.kind(row);
        let deals = matches!(kind, Kind::Send | Kind::Claim | Kind::Refund | Kind::Transfer);
        if key == Key::NULL || !(deals || kind.is_transaction()) {
            continue;
        }
        let batch = &mut batches[key.group() % to.peers];
        let lookup = u32::from(kind.is_transaction());
        batch.push(row, key, slice.effective[row], u32::from(deals), lookup);
        if deals {
            let ids = [accounts, counterparties, packets].map(|keys| Id(keys[row].hash as u64));
            batch.words.extend(words_of(kind, digits[row], chunk.int(AMOUNT_FEN, row), ids));
        }
    }
    batches
}

/// The requests of a slice about who deals with whom, a batch for each worker; the keys are those
/// of accounts, counterparties and groups.
pub(crate) fn tie_requests(
    slice: &Slice,
    [accounts, counterparties, groups]: &[Rc<[Key]>; 3],
    to: &Addressing,
) -> Vec<Requests> {
    let chunk = &slice.chunk;
    let mut batches = Requests::batches(to, chunk.len(), 2);
    for row in 0..chunk.len() {
        if !matches!(chunk.kind(row), Kind::Claim | Kind::Transfer) {
            continue;
        }
        let (one, other, group) = (accounts[row], counterparties[row], groups[row]);
        let key = pair(one, other);
        if key == Key::NULL {
            continue;
        }
        let deals = one != other && group != Key::NULL;
        let batch = &mut batches[key.group() % to.peers];
        batch.push(row, key, slice.effective[row], u32::from(deals), 1);
        if deals {
            batch.words.extend(halves(group.hash));
        }
    }
    batches
}

/// The requests of a slice about the groups in which accounts act, a batch for each worker: every
/// event with an account and a group is an act, and dealings ask about both sides. The keys are
/// those of accounts, counterparties and groups.
pub(crate) fn act_requests(
    slice: &Slice,
    [accounts, counterparties, groups]: &[Rc<[Key]>; 3],
    to: &Addressing,
) -> Vec<Requests> {
    let chunk = &slice.chunk;
    // About half of all events are dealings, which ask twice.
    let mut batches = Requests::batches(to, chunk.len() + chunk.len() / 2, 1);
    for row in 0..chunk.len() {
        let (account, other, group) = (accounts[row], counterparties[row], groups[row]);
        let time = slice.effective[row];
        let (own, others) = match chunk.kind(row) {
            Kind::Claim | Kind::Transfer if account == Key::NULL || other == Key::NULL => (0, 0),
            Kind::Claim | Kind::Transfer if account == other => (WITH_ONESELF, 0),
            Kind::Claim => (AS_PAYEE, AS_PAYER),
            Kind::Transfer => (AS_PAYER, AS_PAYEE),
            _ => (0, 0),
        };
        let acts = account != Key::NULL && group != Key::NULL;
        if acts || own != 0 {
            let batch = &mut batches[account.group() % to.peers];
            batch.push(row, account, time, own | if acts { ACTS } else { 0 }, 0);
            batch.words.extend(acts.then_some(group.hash as u64));
        }
        if others != 0 {
            batches[other.group() % to.peers].push(row, other, time, others, 0);
        }
    }
    batches
}

/// The key of two accounts in no order.
pub(super) fn pair(one: Key, other: Key) -> Key {
    if one.hash <= other.hash { one.join(other) } else { other.join(one) }
}
