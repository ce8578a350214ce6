//! The definitions of an account's flows in plain lines: everything is matched from scratch, out of
//! the whole history, each time. Nothing here is fast, and nothing here uses what it judges.

use std::collections::BTreeSet;

use super::flows::{Flow, Flowed};

const DAY: i64 = 86_400_000;

/// One movement of an account's money.
#[derive(Clone, Copy, Debug)]
pub(super) struct Movement {
    pub(super) time: i64,
    pub(super) flow: Flow,
    pub(super) fen: i64,
}

/// The three features of an account at `now`, out of all its movements until then.
pub(super) fn flowed(history: &[Movement], now: i64) -> Flowed {
    let window: Vec<&Movement> =
        history.iter().filter(|movement| movement.time > now - DAY).collect();
    let (mut receipts, mut received) = (Vec::new(), 0_i128);
    let (mut matched, mut waited) = (0_i128, 0_i128);
    for movement in &window {
        match movement.flow {
            Flow::Receipt => {
                receipts.push((movement.time, movement.fen));
                received += i128::from(movement.fen);
            }
            Flow::Credit => {}
            Flow::Spend | Flow::BankSpend => {
                let mut wanted = movement.fen;
                for (time, left) in &mut receipts {
                    let taken = wanted.min(*left);
                    wanted -= taken;
                    *left -= taken;
                    matched += i128::from(taken);
                    waited += i128::from(taken) * i128::from(movement.time - *time);
                }
            }
        }
    }
    Flowed {
        residence_minutes: (matched > 0).then(|| waited as f64 / (matched * 60_000) as f64),
        recirculated: (received > 0).then(|| matched as f64 / received as f64),
        turnover: turnover(history, now),
    }
}

/// Money spent in the window over the mean balance.
fn turnover(history: &[Movement], now: i64) -> Option<f64> {
    // An account is first seen anew after 90 days without movements: what was before is forgotten.
    let next = |at: usize| history.get(at + 1).map_or(now, |movement| movement.time);
    let quiet = (0..history.len()).rev().find(|at| next(*at) - history[*at].time >= 90 * DAY);
    let history = &history[quiet.map_or(0, |at| at + 1)..];
    // First sight is anew after a day without movements in which nothing was left.
    let (mut sight, mut last, mut balance) = (now, i64::MIN, 0);
    let mut steps = Vec::new();
    for movement in history {
        if last == i64::MIN || (balance == 0 && last <= movement.time - DAY) {
            sight = movement.time;
        }
        last = movement.time;
        balance = match movement.flow {
            Flow::Receipt | Flow::Credit => balance + movement.fen,
            Flow::Spend => 0.max(balance - movement.fen),
            Flow::BankSpend => balance,
        };
        steps.push((movement.time, balance));
    }
    let start = sight.max(now - DAY);
    let mut area = 0_i128;
    for (at, (from, balance)) in steps.iter().enumerate() {
        let until = steps.get(at + 1).map_or(now, |(time, _)| *time);
        let length = until - start.max(*from);
        area += i128::from(length.max(0)) * i128::from(*balance);
    }
    let of_balance =
        |movement: &&Movement| movement.time > now - DAY && movement.flow == Flow::Spend;
    let spent: i128 =
        history.iter().filter(of_balance).map(|movement| i128::from(movement.fen)).sum();
    (area > 0).then(|| (spent * i128::from(now - start)) as f64 / area as f64)
}

/// A claim or transfer from one account to another; group 0 is null.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub(super) time: i64,
    pub(super) payer: u64,
    pub(super) payee: u64,
    pub(super) group: u64,
    pub(super) fen: i64,
}

/// The fen that reached `account` through one other as of `moment`, and the distinct groups of the
/// first hops; `hops` are in total order.
pub(super) fn chained(hops: &[Hop], account: u64, moment: i64) -> (i128, usize) {
    let (mut fen, mut groups) = (0, BTreeSet::new());
    let mut left: Vec<i64> = hops.iter().map(|hop| hop.fen).collect();
    for (second, hop) in hops.iter().enumerate().filter(|(_, hop)| hop.time < moment) {
        let mut wanted = hop.fen;
        for first in 0..second {
            let into = &hops[first];
            if into.payee != hop.payer || into.time <= hop.time - DAY {
                continue;
            }
            let taken = wanted.min(left[first]);
            left[first] -= taken;
            wanted -= taken;
            let counts = hop.payee == account && into.payer != account && taken > 0;
            if counts && hop.time >= moment - DAY {
                fen += i128::from(taken);
                groups.insert(into.group);
            }
        }
    }
    groups.remove(&0);
    (fen, groups.len())
}

/// The edges from payer to payee as of `moment`, and the accounts with more than `most`
/// counterparties on a side.
fn graph(hops: &[Hop], moment: i64, most: usize) -> (BTreeSet<(u64, u64)>, BTreeSet<u64>) {
    let seen = hops.iter().filter(|hop| hop.time < moment && hop.time >= moment - DAY);
    let edges: BTreeSet<(u64, u64)> = seen.map(|hop| (hop.payer, hop.payee)).collect();
    let large = |one: &u64| {
        let paid = edges.iter().filter(|(payer, _)| payer == one).count();
        let paying = edges.iter().filter(|(_, payee)| payee == one).count();
        paid > most || paying > most
    };
    let cut = edges.iter().flat_map(|(payer, payee)| [*payer, *payee]).filter(large).collect();
    (edges, cut)
}

/// The shortest cycle of up to four accounts through `account`, over all simple paths, and the
/// edges that were left out: its own, and where there is none of two or three also those of the
/// accounts that it paid or was paid by.
pub(super) fn cycle4(hops: &[Hop], account: u64, moment: i64, most: usize) -> (Option<i64>, usize) {
    let (edges, cut) = graph(hops, moment, most);
    let mut paths = vec![vec![account]];
    let mut shortest = None;
    for length in 1..=4 {
        let mut longer = Vec::new();
        for path in &paths {
            for (_, to) in edges.iter().filter(|(from, _)| Some(from) == path.last()) {
                let kept = !cut.contains(to) && !cut.contains(&account);
                if kept && *to == account {
                    shortest = shortest.or(Some(length));
                } else if kept && !path.contains(to) {
                    longer.push(path.iter().copied().chain([*to]).collect());
                }
            }
        }
        paths = longer;
    }
    let mut near = BTreeSet::from([account]);
    if !matches!(shortest, Some(2 | 3)) && !cut.contains(&account) {
        let others = edges.iter().filter(|(payer, payee)| *payer == account || *payee == account);
        near.extend(others.flat_map(|(payer, payee)| [*payer, *payee]));
        near.retain(|one| !cut.contains(one));
    }
    let is_left_out = |(payer, payee): &&(u64, u64)| {
        (near.contains(payer) || near.contains(payee))
            && (cut.contains(payer) || cut.contains(payee))
    };
    (shortest, edges.iter().filter(is_left_out).count())
}

/// The shortest cycle through `account` as of `moment`, and how many of its edges were left out
/// because an account on them has more than `most` counterparties on a side.
pub(super) fn cycle(hops: &[Hop], account: u64, moment: i64, most: usize) -> (Option<i64>, usize) {
    let (edges, cut) = graph(hops, moment, most);
    let cut = |one: u64| cut.contains(&one);
    let own = edges.iter().filter(|(payer, payee)| *payer == account || *payee == account);
    let left_out = own.filter(|(payer, payee)| cut(*payer) || cut(*payee)).count();
    let kept: BTreeSet<(u64, u64)> =
        edges.iter().copied().filter(|(payer, payee)| !cut(*payer) && !cut(*payee)).collect();
    let mut reached = BTreeSet::from([account]);
    for hops in 1..=3 {
        let next = kept.iter().filter(|(payer, _)| reached.contains(payer));
        reached = next.map(|(_, payee)| *payee).collect();
        if reached.contains(&account) {
            return (Some(hops), left_out);
        }
    }
    (None, left_out)
}
