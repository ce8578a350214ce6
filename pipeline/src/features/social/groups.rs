//! The keeper of groups: requests keyed by group, answered in total order.
//!
//! How long a claim took is known to its packet's keeper alone, which tells it within the same step.

use std::iter::Peekable;

use super::group::{Deal, Group, Id, Known};
use crate::event::{Kind, NULL_INT};
use crate::features::state::{LOOK_AHEAD, Usage};
use crate::features::state_map::StateMap;
use crate::keyed::{Replies, Requests};
use crate::packet::requests::LATENCY;
use crate::snapshot::kept_in;

/// Words of a request: head, amount, account, counterparty, packet.
pub(crate) const WORDS: usize = 5;

/// A deal as the words of a request.
pub(crate) fn words_of(
    kind: Kind,
    digit: i64,
    amount: i64,
    [account, counterparty, packet]: [Id; 3],
) -> [u64; WORDS] {
    let digit = if digit == NULL_INT { 0 } else { digit as u64 + 1 };
    [kind as u64 | digit << 8, amount as u64, account.0, counterparty.0, packet.0]
}

/// The deal of these words, with its amount; `latency` is that of a claim.
fn deal_of(words: &[u64], latency: Option<i64>) -> (Deal, i64) {
    let [head, amount, account, counterparty, packet] = *words else {
        unreachable!("requests are cut by their words")
    };
    let [account, counterparty, packet] = [account, counterparty, packet].map(Id);
    let deal = match Kind::ALL[(head & 0xff) as usize] {
        Kind::Send => {
            let digit = (head >> 8).checked_sub(1).map(|digit| digit as u8);
            Deal::Send { sender: account, packet, digit }
        }
        Kind::Claim => Deal::Claim { claimer: account, sender: counterparty, packet, latency },
        Kind::Refund => Deal::Refund { to: account, packet },
        _ => Deal::Transfer { payer: account, payee: counterparty },
    };
    (deal, amount as i64)
}

/// One worker's part of the groups.
pub(crate) struct GroupsState {
    groups: StateMap<Group>,
}

kept_in!(GroupsState, groups);

impl GroupsState {
    pub(crate) fn new() -> GroupsState {
        GroupsState { groups: StateMap::new() }
    }

    /// Applies the batches of one slice, those with latencies and one of requests in total order,
    /// and answers the requests in the same order.
    pub(crate) fn apply(&mut self, batches: &[Requests], replies: &mut Replies) {
        let latencies = &mut latencies(batches).peekable();
        for requests in batches.iter().filter(|batch| !is_told(batch)) {
            self.answer(requests, latencies, replies);
        }
        assert!(latencies.next().is_none(), "each latency is of a claim that is a request");
    }

    fn answer(
        &mut self,
        requests: &Requests,
        latencies: &mut Peekable<impl Iterator<Item = (u32, i64)>>,
        replies: &mut Replies,
    ) {
        let mut words = requests.words.chunks_exact(WORDS);
        for at in 0..requests.asked.len() {
            if at % LOOK_AHEAD == 0 {
                self.groups.look_ahead(requests.keys_from(at));
            }
            let key = requests.key(at);
            let time = requests.asked[at].time;
            let told = latencies.next_if(|(row, _)| *row == requests.asked[at].row);
            let latency = told.map(|(_, latency)| latency);
            let deal = if requests.asked[at].streams == 0 { None } else { words.next() };
            let group = match deal.map(|words| deal_of(words, latency)) {
                Some((deal, fen)) => {
                    let group = self.groups.entry(key, time);
                    group.take(deal, fen, time);
                    Some(group)
                }
                None => self.groups.get(key),
            };
            if requests.asked[at].lookups != 0 {
                let known = group.map_or_else(Known::default, |group| group.known(time));
                replies.rows.push(requests.asked[at].row);
                replies.lookups.push(requests.asked[at].lookups);
                replies.values.extend(answer(&known));
            }
        }
    }

    /// What the state takes up now; a walk over everything, for the report.
    pub(crate) fn usage(&self) -> Usage {
        self.groups.usage()
    }
}

/// Whether a batch is what a packet's keeper tells.
fn is_told(batch: &Requests) -> bool {
    batch.asked.first().is_some_and(|asked| asked.streams == LATENCY)
}

/// What is told of a slice's claims, in the order of rows.
fn latencies(batches: &[Requests]) -> impl Iterator<Item = (u32, i64)> + use<> {
    let told = batches.iter().filter(|batch| is_told(batch));
    let mut latencies: Vec<(u32, i64)> = told
        .flat_map(|batch| batch.asked.iter().zip(&batch.words))
        .map(|(asked, word)| (asked.row, *word as i64))
        .collect();
    // A row has one packet, and so one latency.
    latencies.sort_unstable();
    latencies.into_iter()
}

/// The words of an answer, in the order of the rows of the catalogue.
fn answer(known: &Known) -> [u64; 10] {
    let int = |value: Option<i64>| value.unwrap_or(NULL_INT) as u64;
    let double = |value: Option<f64>| value.unwrap_or(f64::NAN).to_bits();
    let [low, middle, high] = known.latency.map(int);
    [
        known.turnover as u64,
        double(known.net_winner_share),
        known.rake as u64,
        known.mine_payouts as u64,
        known.mine_payouts_cut as u64,
        double(known.stranger_share),
        low,
        middle,
        high,
        int(known.latency_spread()),
    ]
}
