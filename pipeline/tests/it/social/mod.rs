//! The features of groups and ties over whole runs: those that keepers answer against their oracle,
//! those that are declared against their documentation in plain lines.

mod oracle;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::built_in::{REFUSALS, latency};
use crate::late;
use crate::support::{Ev, Row, START, features, options, refereed};
use oracle::{Deal, Known, What};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const KINDS: [&str; 9] =
    ["send", "send", "claim", "claim", "claim", "transfer", "refund", "message", "join"];

/// Gap, kind, account, other side, group, packet, fen, digit.
type Part = (i64, usize, u8, u8, u8, u8, i64, Option<u8>);

/// Mostly a lively group that plays; sometimes a pause to the end of a window.
fn events() -> impl Strategy<Value = Vec<Ev>> {
    let gaps = prop::sample::select(vec![
        0,
        0,
        0,
        1,
        900,
        20_000,
        59_999,
        60_000,
        HOUR,
        5 * HOUR,
        DAY,
        3 * DAY,
        3 * DAY + 1,
        265 * HOUR + 2_000,
        265 * HOUR + 2_001,
        16 * DAY,
        30 * DAY,
    ]);
    let gap = prop_oneof![4 => 0i64..30_000, 1 => gaps];
    let fen = prop::sample::select(vec![0i64, 1, 2, 11, 12, 600, 1_150, 1_200, 2_400, 4_000]);
    let digit = prop::option::weighted(0.6, 1u8..3);
    let who = (1u8..5, 0u8..5, 0u8..3, 0u8..4);
    let event = (gap, 0usize..10, who, fen, digit);
    prop::collection::vec(event, 1..90).prop_map(|parts| {
        let mut time = START;
        let flat = |(gap, kind, (account, other, group, packet), fen, digit)| {
            (gap, kind, account, other, group, packet, fen, digit)
        };
        let parts = parts.into_iter().map(flat).enumerate();
        parts.map(|(at, part)| event_of(at, part, &mut time)).collect()
    })
}

fn event_of(at: usize, part: Part, time: &mut i64) -> Ev {
    let (gap, kind, account, other, group, packet, fen, digit) = part;
    let numbered = |name: &str, number: u8| match number {
        0 => String::new(),
        number => format!("{name}{number}"),
    };
    *time += gap;
    let kind = KINDS.get(kind).copied().unwrap_or("withdraw");
    let two = ["claim", "transfer"].contains(&kind);
    let announced = digit.filter(|_| kind == "send");
    Ev {
        id: format!("e{at:03}"),
        time: *time,
        kind,
        account: format!("u{account}"),
        counterparty: if two { numbered("u", other) } else { String::new() },
        group: numbered("g", group),
        packet: numbered("p", packet),
        amount: Some(fen),
        text: announced.map_or(String::new(), |digit| format!("100-{digit}")),
        ..Ev::default()
    }
}

/// Events as the oracle takes them; those that are no deal keep their place and name no group.
fn deals(events: &[Ev], refused: &BTreeSet<String>) -> Vec<Deal> {
    let deal = |(at, ev): (usize, &Ev)| {
        let what = match ev.kind {
            "send" => Some(What::Send),
            "claim" => Some(What::Claim),
            "refund" => Some(What::Refund),
            "transfer" => Some(What::Transfer),
            "withdraw" => Some(What::Withdraw),
            _ => None,
        };
        let group = if what.is_some() { ev.group.clone() } else { String::new() };
        Deal {
            time: ev.time,
            what: what.unwrap_or(What::Withdraw),
            group,
            account: ev.account.clone(),
            counterparty: ev.counterparty.clone(),
            packet: ev.packet.clone(),
            amount: ev.amount.unwrap_or(0),
            digit: ev.text.strip_prefix("100-").map(|digit| digit.parse().expect("a digit")),
            latency: latency(events, at, refused),
        }
    };
    events.iter().enumerate().map(deal).collect()
}

fn text<V: std::fmt::Debug>(value: Option<V>) -> String {
    value.map_or("null".to_owned(), |value| format!("{value:?}"))
}

/// What keepers answer.
fn kept(deals: &[Deal], at: usize) -> Row {
    let known = oracle::group(deals, at);
    let of = |read: fn(&Known) -> Option<i64>| text(known.as_ref().and_then(read));
    let share = |read: fn(&Known) -> Option<f64>| text(known.as_ref().and_then(read));
    Row::from_iter(
        [
            ("funds.group.turnover_24h", of(|known| Some(known.turnover))),
            ("funds.group.net_winner_share_24h", share(|known| known.net_winner_share)),
            ("funds.group.rake_24h", of(|known| Some(known.rake))),
            ("funds.group.mine_payouts_24h", of(|known| Some(known.mine_payouts))),
            ("funds.group.mine_payouts_cut_24h", of(|known| Some(known.mine_payouts_cut))),
            ("social.group.stranger_share_24h", share(|known| known.stranger_share)),
            ("social.group.claim_latency_p10_1h", of(|known| known.latency[0])),
            ("social.group.claim_latency_p50_1h", of(|known| known.latency[1])),
            ("social.group.claim_latency_p90_1h", of(|known| known.latency[2])),
            ("social.group.claim_latency_spread_1h", of(|known| known.latency_spread)),
            ("social.tie.groups_30d", text(oracle::tie_groups(deals, at))),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

/// The profile of the transaction's group, by the documentation.
fn profile(events: &[Ev], at: usize, mine_payouts: i64) -> Row {
    let now = &events[at];
    let past: Vec<&Ev> = events[..=at].iter().filter(|ev| ev.group == now.group).collect();
    let within = |ms: i64, kinds: &[&str]| -> Vec<&Ev> {
        let seen = past.iter().filter(|ev| ev.time > now.time - ms && kinds.contains(&ev.kind));
        seen.copied().collect()
    };
    let accounts = |events: Vec<&Ev>| {
        events.iter().map(|ev| ev.account.clone()).collect::<BTreeSet<_>>().len() as f64
    };
    let finite = |value: f64| Some(value).filter(|value| value.is_finite());
    let sends = within(30 * DAY, &["send"]);
    let count = sends.len() as f64;
    let fen: i64 = sends.iter().filter_map(|ev| ev.amount).sum();
    let mean = finite(fen as f64 / count);
    let of_hours = |from: i64, to: i64| {
        let hour = |ev: &&&Ev| (from..to).contains(&(((ev.time - ev.late) / HOUR + 8) % 24));
        finite(sends.iter().filter(hour).count() as f64 / count)
    };
    let acts = within(30 * DAY, &["send", "claim"]).len() as f64;
    let actors = accounts(within(30 * DAY, &["send", "claim", "transfer", "message"]));
    let age = past.first().map_or(0, |first| now.time - first.time);
    let days = (age as f64 / DAY as f64).clamp(1.0, 30.0);
    let monthly = finite(acts * 30.0 / (actors * days));
    let joins = within(7 * DAY, &["join"]).len() as f64;
    let today = within(DAY, &["send"]);
    let turns = finite(today.len() as f64 / accounts(today));
    let bets = sends.iter().filter(|ev| !ev.text.is_empty()).count() as f64;
    let (evening, afternoon) = (of_hours(19, 22), of_hours(14, 16));
    let points = mean.zip(monthly).map(|(mean, monthly)| {
        let sum = |marks: [(bool, i64); 3]| marks.iter().map(|(is, of)| i64::from(*is) * of).sum();
        let busy = monthly >= 24.0;
        let family: i64 = sum([(mean < 1150.0, 30), (evening > afternoon, 40), (!busy, 30)]);
        let fair = (1150.0..2081.0).contains(&mean);
        let interest: i64 = sum([(fair, 30), (evening > afternoon, 40), (busy, 30)]);
        let business: i64 = sum([(mean >= 2081.0, 30), (afternoon > evening, 40), (busy, 30)]);
        let fast = turns.is_some_and(|turns| turns >= 4.27);
        let plays: i64 = sum([(bets / count >= 0.05, 100), (fast, 30), (monthly >= 90.0, 30)]);
        let gambling = (plays + if mine_payouts > 0 { 40 } else { 0 }).min(100);
        [gambling, family, interest, business]
    });
    let names = ["gambling", "family", "interest", "business"];
    let best = points.map(|points| {
        let most = points.iter().max().expect("four");
        names[points.iter().position(|held| held == most).expect("one of them")].to_owned()
    });
    let mut row = Row::new();
    let mut give = |name: &str, value: String| {
        row.insert(format!("social.group.{name}"), value);
    };
    for (at, name) in names.iter().enumerate() {
        give(&format!("{name}_score"), text(points.map(|points| points[at])));
    }
    let hours = if best.as_deref() == Some("business") { afternoon } else { evening };
    give("off_hours_share_30d", text(best.as_ref().and(hours).map(|share| 1.0 - share)));
    give("type", best.unwrap_or("null".to_owned()));
    give("mean_packet_30d", text(mean));
    give("packets_30d", sends.len().to_string());
    give("evening_share_30d", text(evening));
    give("afternoon_share_30d", text(afternoon));
    give("night_share_30d", text(of_hours(0, 6)));
    give("growth_7d", text(finite(joins / actors)));
    give("age", age.to_string());
    give("monthly_interactions_30d", text(monthly));
    give("turns_24h", text(turns));
    give("bet_memo_share_30d", text(finite(bets / count)));
    give("fixed_share_24h", text(finite(commonest(&within(DAY, &["send"]), 1_000_000))));
    row
}

/// The share of the commonest amount, which is null without any.
fn commonest(events: &[&Ev], modulus: i64) -> f64 {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for ev in events {
        *counts.entry(ev.amount.unwrap_or(0) % modulus).or_default() += 1;
    }
    counts.values().max().map_or(f64::NAN, |most| *most as f64 / events.len() as f64)
}

/// The groups in which both sides of a dealing acted, by the documentation. Nobody acts in more
/// than are kept here.
fn common(events: &[Ev], at: usize) -> Option<usize> {
    let now = &events[at];
    let dealing = ["claim", "transfer"].contains(&now.kind) && !now.counterparty.is_empty();
    let groups = |account: &str| -> BTreeSet<&str> {
        let acts = events[..=at].iter().filter(|ev| {
            ev.account == account && !ev.group.is_empty() && ev.time > now.time - 30 * DAY
        });
        acts.map(|ev| ev.group.as_str()).collect()
    };
    let (ours, theirs) = (groups(&now.account), groups(&now.counterparty));
    let common = if now.account == now.counterparty { 0 } else { (&ours & &theirs).len() };
    dealing.then_some(common)
}

/// The tie between payer and payee, by the documentation.
fn tie(deals: &[Deal], at: usize) -> Row {
    let sides = |deal: &Deal| match deal.what {
        What::Claim => (deal.counterparty.clone(), deal.account.clone()),
        What::Transfer => (deal.account.clone(), deal.counterparty.clone()),
        _ => Default::default(),
    };
    let (payer, payee) = sides(&deals[at]);
    let count = |from: &str, to: &str| {
        let dealt = |deal: &&Deal| {
            deal.time > deals[at].time - 30 * DAY
                && sides(deal) == (from.to_owned(), to.to_owned())
                && from != to
        };
        deals[..=at].iter().filter(dealt).count() as i64
    };
    let known = !payer.is_empty() && !payee.is_empty();
    let both = known.then(|| (count(&payer, &payee), count(&payee, &payer)));
    let reciprocity = both.map(|(one, other)| one.min(other) as f64 / one.max(other) as f64);
    let reciprocity = reciprocity.filter(|share| share.is_finite());
    let strong =
        both.map(|(one, other)| one + other <= 24 && reciprocity.is_some_and(|share| share >= 0.2));
    Row::from_iter([
        ("social.tie.interactions_30d".to_owned(), text(both.map(|(one, other)| one + other))),
        ("social.tie.reciprocity_30d".to_owned(), text(reciprocity)),
        ("social.tie.strong".to_owned(), text(strong)),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn groups_and_ties_are_what_their_documentation_says(
        events in events(),
        arrivals in late::arrivals(),
        workers in 1usize..4,
        tick in prop::sample::select(vec![5, 1_000, HOUR]),
        batch in prop::sample::select(vec![1, 7, 10_000]),
    ) {
        let (job, events) = late::job(events, arrivals.as_ref(), features(Vec::new(), None));
        let found = refereed(&job, options(workers, tick, batch));
        let refused = found.iter().filter(|(_, outcome, _)| REFUSALS.contains(&outcome.as_str()));
        let refused: BTreeSet<String> = refused.map(|(id, ..)| id.clone()).collect();
        let deals = deals(&events, &refused);
        for (id, _, row) in found {
            let at = events.iter().position(|ev| ev.id == id).expect("the event");
            let mut expected = kept(&deals, at);
            expected.extend(tie(&deals, at));
            let common = common(&events, at);
            let cut = text(common.map(|_| 0));
            expected.insert("social.tie.common_groups_30d".to_owned(), text(common));
            expected.insert("social.tie.common_groups_cut_30d".to_owned(), cut);
            if let Some(known) = oracle::group(&deals, at) {
                expected.extend(profile(&events, at, known.mine_payouts));
            } else {
                expected.insert("social.group.type".to_owned(), "null".to_owned());
            }
            for (name, value) in expected {
                prop_assert_eq!(&row[&name], &value, "{} of {}", name, &id);
            }
        }
    }
}
