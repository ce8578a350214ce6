//! What the built-in features of groups and ties are, by their documentation read word for word:
//! each value is computed from scratch out of the whole history. Nothing here is fast, and nothing
//! here uses the state that it judges.

use std::collections::{BTreeMap, BTreeSet};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What an event does to a group's money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Send,
    Claim,
    Refund,
    Transfer,
    /// A transaction that only asks.
    Withdraw,
}

/// An event with plain fields. An empty string is null. `time` is the effective one.
#[derive(Clone, Debug)]
pub(crate) struct Deal {
    pub(crate) time: i64,
    pub(crate) what: What,
    pub(crate) group: String,
    pub(crate) account: String,
    pub(crate) counterparty: String,
    pub(crate) packet: String,
    pub(crate) amount: i64,
    /// The digit that the text of a packet announces.
    pub(crate) digit: Option<i64>,
    /// Of a claim: how long after the sending it came, as the packet's keeper says.
    pub(crate) latency: Option<i64>,
}

/// The features of a transaction that the state of its group answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) turnover: i64,
    pub(crate) net_winner_share: Option<f64>,
    pub(crate) rake: i64,
    pub(crate) mine_payouts: i64,
    pub(crate) mine_payouts_cut: i64,
    pub(crate) stranger_share: Option<f64>,
    /// 10 %, 50 % and 90 %.
    pub(crate) latency: [Option<i64>; 3],
    pub(crate) latency_spread: Option<i64>,
}

/// What is known of the group of `deals[at]` at that transaction; none where it has no group.
/// `deals` are in total order.
pub(crate) fn group(deals: &[Deal], at: usize) -> Option<Known> {
    let (now, group) = (deals[at].time, &deals[at].group);
    if group.is_empty() {
        return None;
    }
    let past: Vec<&Deal> = deals[..=at].iter().filter(|deal| deal.group == *group).collect();
    let day: Vec<&Deal> = past.iter().copied().filter(|deal| deal.time > now - DAY).collect();
    let latencies = latencies(&past, now);
    let latency = [10, 50, 90].map(|percent| nearest_rank(&latencies, percent));
    let (mine_payouts, mine_payouts_cut) = mine_payouts(&past, now);
    Some(Known {
        turnover: turnover(&day),
        net_winner_share: net_winner_share(&day),
        rake: rake(&day),
        mine_payouts,
        mine_payouts_cut,
        stranger_share: stranger_share(&past, now),
        latency,
        latency_spread: latency[2].zip(latency[0]).map(|(high, low)| high - low),
    })
}

/// In how many groups payer and payee of `deals[at]` dealt with each other within 30 days; none
/// where one of the two is not known.
pub(crate) fn tie_groups(deals: &[Deal], at: usize) -> Option<i64> {
    let (one, other) = sides(&deals[at])?;
    let between = |deal: &&Deal| {
        let sides = sides(deal);
        deal.time > deals[at].time - 30 * DAY
            && (sides == Some((one, other)) || sides == Some((other, one)))
            && one != other
            && !deal.group.is_empty()
    };
    let groups: BTreeSet<&str> =
        deals[..=at].iter().filter(between).map(|deal| deal.group.as_str()).collect();
    Some(groups.len() as i64)
}

/// Who pays whom with a claim or a transfer.
fn sides(deal: &Deal) -> Option<(&str, &str)> {
    let (payer, payee) = match deal.what {
        What::Claim => (&deal.counterparty, &deal.account),
        What::Transfer => (&deal.account, &deal.counterparty),
        _ => return None,
    };
    (!payer.is_empty() && !payee.is_empty()).then_some((payer, payee))
}

fn turnover(day: &[&Deal]) -> i64 {
    let puts_in = |deal: &&&Deal| matches!(deal.what, What::Send | What::Transfer);
    day.iter().filter(puts_in).map(|deal| deal.amount).sum()
}

/// Of each member with money in the window: what it paid, and what it received.
fn members(day: &[&Deal]) -> BTreeMap<String, (i64, i64)> {
    let mut members: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for deal in day {
        let mut book = |who: &str, paid: i64, received: i64| {
            if !who.is_empty() {
                let member = members.entry(who.to_owned()).or_default();
                member.0 += paid;
                member.1 += received;
            }
        };
        match deal.what {
            What::Send => book(&deal.account, deal.amount, 0),
            What::Claim | What::Refund => book(&deal.account, 0, deal.amount),
            What::Transfer => {
                book(&deal.account, deal.amount, 0);
                book(&deal.counterparty, 0, deal.amount);
            }
            What::Withdraw => {}
        }
    }
    members
}

fn net_winner_share(day: &[&Deal]) -> Option<f64> {
    let gross = turnover(day);
    let nets = members(day).into_values().map(|(paid, received)| received - paid);
    let best = nets.max().unwrap_or(0).max(0);
    (gross > 0).then(|| best as f64 / gross as f64)
}

fn rake(day: &[&Deal]) -> i64 {
    let members = members(day);
    let Some(least) = members.values().map(|(paid, _)| *paid).min() else { return 0 };
    members.values().filter(|(paid, _)| *paid == least).map(|(paid, got)| (got - paid).max(0)).sum()
}

/// The sending of a claim's packet in its group: the first of its id that is still known. It is forgotten 72
/// hours after the packet's last event, and where it was not claimed or refunded 193 hours and 2
/// seconds later than that.
fn send_of<'d>(past: &[&'d Deal], claim: usize) -> Option<&'d Deal> {
    struct Held<'d> {
        send: &'d Deal,
        last: i64,
        begun: bool,
    }
    let packet = &past[claim].packet;
    let mut held: Option<Held> = None;
    let of_packet = |deal: &&&Deal| !packet.is_empty() && deal.packet == *packet;
    for deal in past[..=claim].iter().filter(of_packet) {
        let waits = |begun: bool| if begun { 0 } else { 193 * HOUR + 2_000 };
        held = held.filter(|held| deal.time <= held.last + 72 * HOUR + waits(held.begun));
        match deal.what {
            What::Send => match &mut held {
                Some(held) => held.last = deal.time,
                None => held = Some(Held { send: deal, last: deal.time, begun: false }),
            },
            What::Claim | What::Refund => {
                if let Some(held) = &mut held {
                    (held.last, held.begun) = (deal.time, true);
                }
            }
            What::Transfer | What::Withdraw => {}
        }
    }
    held.map(|held| held.send)
}

fn latencies(past: &[&Deal], now: i64) -> Vec<i64> {
    let recent = |deal: &&&Deal| deal.what == What::Claim && deal.time > now - HOUR;
    let mut latencies: Vec<i64> =
        past.iter().filter(recent).filter_map(|deal| deal.latency).collect();
    latencies.sort_unstable();
    latencies
}

/// The smallest value such that so many percent of all are no larger.
fn nearest_rank(sorted: &[i64], percent: usize) -> Option<i64> {
    (1..=sorted.len())
        .find(|rank| rank * 100 >= percent * sorted.len())
        .map(|rank| sorted[rank - 1])
}

fn stranger_share(past: &[&Deal], now: i64) -> Option<f64> {
    let (mut strangers, mut all) = (0, 0);
    for (at, claim) in past.iter().enumerate() {
        let Some((payer, payee)) = sides(claim) else { continue };
        if claim.what != What::Claim || claim.time <= now - DAY || payer == payee {
            continue;
        }
        let knows = |deal: &&Deal| {
            let sides = sides(deal);
            deal.time > claim.time - 30 * DAY
                && (sides == Some((payer, payee)) || sides == Some((payee, payer)))
        };
        all += 1;
        strangers += i64::from(!past[..at].iter().any(knows));
    }
    (all > 0).then(|| strangers as f64 / all as f64)
}

/// A claim whose share ends in the digit that its packet announced.
struct Loss<'d> {
    claim: &'d Deal,
    send: &'d Deal,
    settled: bool,
}

/// A transfer that pays a loss.
struct Payment {
    time: i64,
    /// To the amount of the packet, in lowest terms.
    ratio: (i64, i64),
    /// Whether that ratio was seen before in the group, when the payment was made.
    repeats: bool,
}

/// The ratios of payments of the 30 days before `now`, of which 64 are kept: those last seen.
fn ratios_known(payments: &[Payment], now: i64) -> Vec<(i64, i64)> {
    let recent = payments.iter().rev().take_while(|payment| payment.time > now - 30 * DAY);
    let mut last_seen: Vec<(i64, i64)> = Vec::new();
    for payment in recent {
        if !last_seen.contains(&payment.ratio) {
            last_seen.push(payment.ratio);
        }
    }
    last_seen.truncate(64);
    last_seen
}

/// The payments of the day that repeat a ratio, and how often in it a limit bit.
fn mine_payouts(past: &[&Deal], now: i64) -> (i64, i64) {
    let mut losses: Vec<Loss> = Vec::new();
    let mut cuts: Vec<i64> = Vec::new();
    let mut payments: Vec<Payment> = Vec::new();
    for (at, deal) in past.iter().enumerate() {
        if deal.what == What::Claim {
            let Some(send) = send_of(past, at) else { continue };
            let loses = send.digit == Some(deal.amount % 10)
                && send.amount > 0
                && send.account != deal.account;
            if loses {
                let of_pair = |loss: &&Loss| {
                    loss.claim.account == deal.account && loss.send.account == send.account
                };
                let gives_way = losses.iter().filter(of_pair).rev().nth(7);
                let open = |loss: &Loss| !loss.settled && loss.claim.time > deal.time - MINUTE;
                cuts.extend(gives_way.filter(|loss| open(loss)).map(|_| deal.time));
                losses.push(Loss { claim: deal, send, settled: false });
            }
        }
        if deal.what != What::Transfer || deal.amount == 0 {
            continue;
        }
        let of_pair = |loss: &&mut Loss| {
            loss.claim.account == deal.account && loss.send.account == deal.counterparty
        };
        let latest = losses.iter_mut().filter(of_pair).rev().take(8);
        let open = |loss: &&mut Loss| !loss.settled && loss.claim.time > deal.time - MINUTE;
        let mut open: Vec<&mut Loss> = latest.filter(open).collect();
        open.reverse();
        let ratio = |loss: &Loss| lowest_terms(deal.amount, loss.send.amount);
        let seen = ratios_known(&payments, deal.time);
        let known = |loss: &&mut Loss| seen.contains(&ratio(loss));
        let taken = open.iter().position(known).unwrap_or(0);
        if let Some(loss) = open.get_mut(taken) {
            loss.settled = true;
            let ratio = ratio(loss);
            let repeats = seen.contains(&ratio);
            cuts.extend((!repeats && seen.len() == 64).then_some(deal.time));
            payments.push(Payment { time: deal.time, ratio, repeats });
        }
    }
    let payouts = payments.iter().filter(|payment| payment.repeats && payment.time > now - DAY);
    (payouts.count() as i64, cuts.iter().filter(|time| **time > now - DAY).count() as i64)
}

fn lowest_terms(above: i64, below: i64) -> (i64, i64) {
    let common = (1..=above.min(below)).rev().find(|by| above % by == 0 && below % by == 0);
    let common = common.unwrap_or(1);
    (above / common, below / common)
}
