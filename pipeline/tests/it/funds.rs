//! Features of accounts' funds, against their definitions in plain lines: everything is matched
//! from scratch for each transaction.

use std::collections::{BTreeMap, BTreeSet};

use hongxian::features::devices::ClusterOptions;
use proptest::prelude::*;

use crate::late;
use crate::support::{Ev, Row, START, chunk, features, job, options, rows};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const KINDS: [&str; 9] =
    ["claim", "claim", "transfer", "transfer", "send", "withdraw", "refund", "topup", "login"];

fn payer(ev: &Ev) -> &str {
    match ev.kind {
        "send" | "transfer" | "withdraw" => &ev.account,
        "claim" => &ev.counterparty,
        _ => "",
    }
}

fn payee(ev: &Ev) -> &str {
    match ev.kind {
        "claim" => &ev.account,
        "transfer" => &ev.counterparty,
        _ => "",
    }
}

fn fen(ev: &Ev) -> i64 {
    ev.amount.unwrap_or(0)
}

/// What an event adds to receipts, to spends and to the balance of an account.
fn moved(ev: &Ev, account: &str) -> (i64, i64, i64) {
    let (fen, bank) = (fen(ev), ev.funding == "bank");
    let transfer = ev.kind == "transfer";
    if transfer && ev.account == ev.counterparty {
        return (0, 0, 0);
    }
    match ev.kind {
        "claim" | "transfer" if payee(ev) == account => (fen, 0, fen),
        "refund" | "topup" if ev.account == account => (0, 0, fen),
        "send" | "transfer" if payer(ev) == account && bank => (0, fen, 0),
        "send" | "transfer" | "withdraw" if payer(ev) == account => (0, fen, -fen),
        _ => (0, 0, 0),
    }
}

/// Whether an event moves an account's money, be it 0 fen.
fn moves(ev: &Ev, account: &str) -> bool {
    let one = Ev { amount: Some(1), ..ev.clone() };
    moved(&one, account) != (0, 0, 0)
}

/// The events that move an account's money, since it was last first seen: after 90 days without any
/// it is forgotten.
fn known<'e>(seen: &'e [Ev], account: &str, now: i64) -> Vec<&'e Ev> {
    let mut own: Vec<&Ev> = Vec::new();
    for ev in seen.iter().filter(|ev| moves(ev, account)) {
        if own.last().is_some_and(|last| ev.time - last.time >= 90 * DAY) {
            own.clear();
        }
        own.push(ev);
    }
    if own.last().is_some_and(|last| now - last.time >= 90 * DAY) {
        own.clear();
    }
    own
}

/// Mean minutes of residence, share recirculated, turnover.
fn flows(seen: &[Ev], account: &str, now: i64) -> [Option<f64>; 3] {
    let own = known(seen, account, now);
    let mut left: Vec<(i64, i64)> = Vec::new();
    let (mut received, mut matched, mut waited, mut spent) = (0, 0, 0, 0);
    for ev in own.iter().filter(|ev| ev.time > now - DAY) {
        let (receipt, mut wanted, change) = moved(ev, account);
        left.push((ev.time, receipt));
        received += receipt;
        spent += (-change).max(0);
        for (time, left) in &mut left {
            let taken = wanted.min(*left);
            (wanted, *left) = (wanted - taken, *left - taken);
            matched += taken;
            waited += taken * (ev.time - *time);
        }
    }
    // The balance millisecond by millisecond would do; here it is from event to event.
    let (mut sight, mut balance, mut area) = (now, 0, 0);
    for (at, ev) in own.iter().enumerate() {
        let quiet = at == 0 || own[at - 1].time <= ev.time - DAY;
        if quiet && balance == 0 {
            sight = ev.time;
        }
        balance = (balance + moved(ev, account).2).max(0);
        let until = own.get(at + 1).map_or(now, |next| next.time);
        let from = ev.time.max(now - DAY);
        area += balance * (until - from).max(0);
    }
    let length = now - sight.max(now - DAY);
    [
        (matched > 0).then(|| waited as f64 / (matched * 60_000) as f64),
        (received > 0).then(|| matched as f64 / received as f64),
        (area > 0).then(|| (spent * length) as f64 / area as f64),
    ]
}

/// The fen that reached an account through one other as of `moment`, and the groups of the first
/// hops.
fn chains(events: &[Ev], account: &str, moment: i64) -> (i64, usize) {
    let is_hop =
        |ev: &&Ev| !payer(ev).is_empty() && !payee(ev).is_empty() && payer(ev) != payee(ev);
    let hops: Vec<&Ev> = events.iter().filter(|ev| ev.time < moment).filter(is_hop).collect();
    let mut left: Vec<i64> = hops.iter().map(|ev| fen(ev)).collect();
    let (mut through, mut groups) = (0, BTreeSet::new());
    for (at, out) in hops.iter().enumerate() {
        let mut wanted = fen(out);
        for (nth, into) in hops[..at].iter().enumerate() {
            if payee(into) != payer(out) || into.time <= out.time - DAY {
                continue;
            }
            let taken = wanted.min(left[nth]);
            (wanted, left[nth]) = (wanted - taken, left[nth] - taken);
            let ends_here = payee(out) == account && payer(into) != account;
            if ends_here && taken > 0 && out.time >= moment - DAY {
                through += taken;
                groups.insert(&into.group);
            }
        }
    }
    groups.retain(|group| !group.is_empty());
    (through, groups.len())
}

/// The shortest cycle through an account as of `moment`, and its edges to or from accounts with
/// more than 64 counterparties on a side.
fn cycles(events: &[Ev], account: &str, moment: i64) -> (Option<usize>, usize) {
    let seen = events.iter().filter(|ev| ev.time < moment && ev.time >= moment - DAY);
    let edges = seen.map(|ev| (payer(ev), payee(ev)));
    let edges: BTreeSet<(&str, &str)> =
        edges.filter(|(from, to)| !from.is_empty() && !to.is_empty() && from != to).collect();
    let cut = |one: &str| {
        edges.iter().filter(|(from, _)| *from == one).count() > 64
            || edges.iter().filter(|(_, to)| *to == one).count() > 64
    };
    let is_left_out = |(from, to): &&(&str, &str)| cut(from) || cut(to);
    let own = edges.iter().filter(|(from, to)| *from == account || *to == account);
    let left_out = own.filter(is_left_out).count();
    let kept: Vec<_> = edges.iter().filter(|edge| !is_left_out(edge)).collect();
    let mut reached = BTreeSet::from([account]);
    for hops in 1..=3 {
        let next = kept.iter().filter(|(from, _)| reached.contains(from));
        reached = next.map(|(_, to)| *to).collect();
        if reached.contains(account) {
            return (Some(hops), left_out);
        }
    }
    (None, left_out)
}

fn expected(events: &[Ev], at: usize, graph_tick: i64) -> Row {
    let now = &events[at];
    let moment = (now.time.div_euclid(graph_tick) - 1) * graph_tick;
    let mut row = Row::new();
    for (side, account) in [("payer", payer(now)), ("payee", payee(now))] {
        let known = !account.is_empty();
        let mut give = |name: &str, value: Option<String>| {
            let value = value.filter(|_| known).unwrap_or_else(|| "null".to_owned());
            row.insert(format!("funds.{side}.{name}"), value);
        };
        let doubles = flows(&events[..=at], account, now.time);
        let names = ["residence_24h_minutes", "recirculated_24h", "turnover_24h"];
        for (name, value) in names.iter().zip(doubles) {
            give(name, value.map(|value| format!("{value:?}")));
        }
        let (through, groups) = chains(events, account, moment);
        give("chain_2hop_24h", Some(through.to_string()));
        give("chain_groups_24h", Some(groups.to_string()));
        let (hops, left_out) = cycles(events, account, moment);
        give("cycle_24h", hops.map(|hops| hops.to_string()));
        give("cycle_cut_24h", Some(left_out.to_string()));
    }
    row
}

/// Gap, kind, account, other side, group, fen, funding.
type Part = (i64, &'static str, u8, u8, u8, i64, &'static str);

fn events() -> impl Strategy<Value = Vec<Ev>> {
    let gap = prop_oneof![
        4 => Just(0),
        4 => 1..20_i64,
        4 => 1..HOUR,
        1 => Just(DAY),
        1 => 20 * HOUR..30 * HOUR,
        1 => prop::sample::select(vec![90 * DAY - 1, 90 * DAY, 91 * DAY]),
    ];
    let fen = prop_oneof![Just(0_i64), 1_i64..20, 1_i64..3_000];
    let funding = prop::sample::select(vec!["", "balance", "lingqiantong", "bank"]);
    let kind = prop::sample::select(KINDS.to_vec());
    let event = (gap, kind, 1u8..5, 0u8..5, 0u8..4, fen, funding);
    prop::collection::vec(event, 1..90).prop_map(|parts| {
        let mut time = START;
        let build = |(at, part): (usize, Part)| {
            let (gap, kind, account, other, group, fen, funding) = part;
            let numbered = |name: &str, number: u8| match number {
                0 => String::new(),
                number => format!("{name}{number}"),
            };
            time += gap;
            let funded = ["send", "transfer"].contains(&kind);
            Ev {
                id: format!("e{at:03}"),
                time,
                kind,
                account: format!("u{account}"),
                counterparty: numbered("u", other),
                group: numbered("g", group),
                amount: Some(fen),
                funding: if funded { funding } else { "" },
                ..Ev::default()
            }
        };
        parts.into_iter().enumerate().map(build).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn funds_are_their_definitions_however_cut(
        events in events(),
        arrivals in late::arrivals(),
        graph_tick in prop::sample::select(vec![7, 1_000, HOUR]),
        workers in 1usize..4,
        tick in prop::sample::select(vec![5, 1_000, HOUR]),
        batch in prop::sample::select(vec![1, 7, 10_000]),
    ) {
        let clusters = ClusterOptions { graph_tick, ..ClusterOptions::default() };
        let features = features(Vec::new(), Some(clusters));
        let (job, events) = late::job(events, arrivals.as_ref(), features);
        let rows: BTreeMap<String, Row> =
            rows(&job, options(workers, tick, batch)).into_iter().collect();
        for (at, ev) in events.iter().enumerate() {
            let Some(row) = rows.get(&ev.id) else { continue };
            for (name, value) in expected(&events, at, graph_tick) {
                prop_assert_eq!(&row[&name], &value, "{} of {}", name, &ev.id);
            }
        }
    }
}

/// A shop that 64 pay lies on cycles; one that 65 pay is cut, and both sides are told.
#[test]
fn whom_too_many_pay_is_on_no_cycle_and_that_is_said() {
    let transfer = |at: usize, time: i64, from: &str, to: &str| Ev {
        id: format!("e{at:03}"),
        time,
        kind: "transfer",
        account: from.to_owned(),
        counterparty: to.to_owned(),
        amount: Some(100),
        ..Ev::default()
    };
    for (payers, hops, customers_cut, shops_cut) in [(64, "2", "0", "0"), (65, "null", "2", "66")] {
        let customers = (0..payers).map(|at| transfer(at, START, &format!("u{at}"), "shop"));
        let mut events: Vec<Ev> = customers.collect();
        events.push(transfer(payers, START, "shop", "u0"));
        events.push(transfer(payers + 1, START + 20_000, "u0", "shop"));
        let job = job(vec![chunk(&events)], features(Vec::new(), None), true);
        let found = rows(&job, options(2, 1_000, 7));
        let (_, row) = found.last().expect("a transfer");
        assert_eq!(row["funds.payer.cycle_24h"], hops);
        assert_eq!(row["funds.payee.cycle_24h"], hops);
        assert_eq!(row["funds.payer.cycle_cut_24h"], customers_cut);
        assert_eq!(row["funds.payee.cycle_cut_24h"], shops_cut);
    }
}
