//! The referee as a keyed family: packets' events go to the worker that keeps the packet.

use std::rc::Rc;

use super::referee::{PacketEvent, Referee};
use crate::event::{AMOUNT_FEN, Kind, SHARES};
use crate::keyed::{Addressing, KEY_GROUPS, Key, Replies, Requests, halves, whole};
use crate::source::order::Slice;

/// Words of a request: kind, amount, shares, account (two).
const WORDS: usize = 5;

/// The requests of a slice's packet events, a batch for each worker; `keys` are those of the
/// packets and the accounts.
pub(crate) fn packet_requests(
    slice: &Slice,
    [packets, accounts]: &[Rc<[Key]>; 2],
    to: &Addressing,
) -> Vec<Requests> {
    let chunk = &slice.chunk;
    let mut batches = Requests::batches(to, chunk.len(), WORDS);
    for row in 0..chunk.len() {
        let kind = chunk.kind(row);
        if !matches!(kind, Kind::Send | Kind::Claim | Kind::Refund) {
            continue;
        }
        let key = packets[row];
        if key == Key::NULL {
            continue;
        }
        let [low, high] = halves(accounts[row].hash);
        let batch = &mut batches[key.group() % to.peers];
        let lookup = u32::from(kind.is_transaction());
        batch.push(row, key, slice.effective[row], 1, lookup);
        batch.words.extend([
            kind as u64,
            chunk.int(AMOUNT_FEN, row) as u64,
            chunk.int(SHARES, row) as u64,
            low,
            high,
        ]);
    }
    batches
}

/// One worker's part of the referee.
pub(crate) struct RefereeState {
    groups: Vec<Referee>,
}

impl RefereeState {
    pub(crate) fn new() -> RefereeState {
        RefereeState { groups: (0..KEY_GROUPS).map(|_| Referee::default()).collect() }
    }

    /// Judges requests that are in total order; the answers are codes of findings.
    pub(crate) fn apply(&mut self, requests: &Requests, replies: &mut Replies) {
        for (at, words) in requests.words.chunks_exact(WORDS).enumerate() {
            let key = Key { hash: requests.hashes[at], check: requests.checks[at] };
            let event = PacketEvent {
                packet: key.hash,
                kind: Kind::ALL[words[0] as usize],
                time: requests.times[at],
                amount: words[1] as i64,
                shares: words[2] as i64,
                account: whole(&words[3..]),
            };
            let finding = self.groups[key.group()].judge(&event);
            if let Some(finding) = finding {
                replies.rows.push(requests.rows[at]);
                replies.lookups.push(1);
                replies.values.push(finding as u64);
            }
        }
    }

    /// How many packets are remembered.
    pub(crate) fn len(&self) -> usize {
        self.groups.iter().map(Referee::len).sum()
    }
}
