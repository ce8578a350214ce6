//! Features that the program declares itself, against their definitions in plain lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use hongxian::event::Schema;
use hongxian::features::declare;
use hongxian::rules::load;
use proptest::prelude::*;

use crate::late;
use crate::support::{Ev, Row, START, chunk, features, job, options, refereed, rows};

const HOUR: i64 = 3_600_000;
const KINDS: [&str; 12] = [
    "send", "claim", "refund", "transfer", "topup", "withdraw", "message", "join", "login",
    "account", "group", "label",
];
const TRANSACTIONS: [&str; 4] = ["send", "claim", "transfer", "withdraw"];

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

/// What the features of the transaction at `at` are by their definitions; of the claims those
/// `refused` took no share.
fn expected(events: &[Ev], at: usize, refused: &BTreeSet<String>) -> Row {
    let now = &events[at];
    let within = |ev: &&Ev, hours: i64| ev.time > now.time - hours * HOUR;
    let seen = &events[..=at];
    let mut row = Row::new();
    let distinct = |values: Vec<&str>| {
        values.into_iter().filter(|value| !value.is_empty()).collect::<BTreeSet<_>>().len()
    };
    let mut give = |name: String, value: Option<String>| {
        row.insert(name, value.unwrap_or_else(|| "null".to_owned()));
    };
    for (side, account) in [("payer", payer(now)), ("payee", payee(now))] {
        let name = |feature: &str| format!("funds.{side}.{feature}_24h");
        let known = !account.is_empty();
        let day = || seen.iter().filter(|ev| within(ev, 24));
        let receipts: Vec<&Ev> = day()
            .filter(|ev| ["claim", "transfer"].contains(&ev.kind) && payee(ev) == account)
            .collect();
        let paid =
            |ev: &&Ev| ["send", "transfer", "withdraw"].contains(&ev.kind) && payer(ev) == account;
        let fen = |ev: &Ev| ev.amount.unwrap_or(0);
        let fan_in: i64 = receipts.iter().map(|ev| fen(ev)).sum();
        let fan_out: i64 = day().filter(paid).map(fen).sum();
        let groups = distinct(receipts.iter().map(|ev| ev.group.as_str()).collect());
        let payers = distinct(receipts.iter().map(|ev| payer(ev)).collect());
        let ratio = (fan_in != 0).then(|| format!("{:?}", fan_out as f64 / fan_in as f64));
        give(name("fan_in"), known.then(|| fan_in.to_string()));
        give(name("fan_out"), known.then(|| fan_out.to_string()));
        give(name("groups"), known.then(|| groups.to_string()));
        give(name("payers"), known.then(|| payers.to_string()));
        give(name("pass_through"), ratio.filter(|_| known));
    }
    let on_device = |hours| {
        let same = seen.iter().filter(|ev| within(ev, hours) && ev.device == now.device);
        distinct(same.map(|ev| ev.account.as_str()).collect()).to_string()
    };
    let device = !now.device.is_empty();
    give("devices.accounts_24h".to_owned(), device.then(|| on_device(24)));
    give("devices.accounts_30d".to_owned(), device.then(|| on_device(24 * 30)));
    let of_account = seen.iter().filter(|ev| within(ev, 24 * 30) && ev.account == now.account);
    let devices = distinct(of_account.map(|ev| ev.device.as_str()).collect());
    give("devices.of_account_30d".to_owned(), Some(devices.to_string()));
    let first = seen.iter().find(|ev| ev.device == now.device && ev.account == now.account);
    let known_for = first.map_or(0, |ev| now.time - ev.time);
    let known_for = device.then_some(known_for);
    give("devices.known_for".to_owned(), known_for.map(|ms| ms.to_string()));
    let new = known_for.map(|ms| (ms < 24 * HOUR).to_string());
    give("devices.new_for_account".to_owned(), new);
    let waited = latency(events, at, refused);
    give("devices.claim_latency_ms".to_owned(), waited.map(|ms| ms.to_string()));
    let same = seen.iter().enumerate().filter(|(_, ev)| within(ev, 24) && ev.device == now.device);
    let waits: Vec<i64> = same.filter_map(|(at, _)| latency(events, at, refused)).collect();
    let hasty = |at: usize| latency(events, at, refused).is_some_and(|ms| (0..600).contains(&ms));
    let own = seen
        .iter()
        .enumerate()
        .filter(|(_, ev)| within(ev, 24 * 7) && ev.account == now.account && !ev.group.is_empty());
    let hasty = own.filter(|(at, _)| hasty(*at)).count();
    give("behaviour.hasty_claims_7d".to_owned(), Some(hasty.to_string()));
    let spread = (device && !waits.is_empty()).then(|| format!("{:?}", spread(&waits)));
    give("devices.claim_latency_spread_24h".to_owned(), spread);
    row
}

/// What is known of a packet.
#[derive(Default)]
struct Packet {
    /// When it was first sent.
    sent: Option<i64>,
    /// When its last event came.
    last: i64,
    /// Whether a share of it was taken, or it was refunded.
    is_begun: bool,
}

impl Packet {
    /// 72 hours after its last event; if it was sent and may still wait to open, later by its
    /// longest wait and the day in which it is open: 193 hours and 2 seconds.
    fn is_forgotten(&self, now: i64) -> bool {
        let waits = self.sent.is_some() && !self.is_begun;
        now > self.last + 72 * HOUR + if waits { 193 * HOUR + 2_000 } else { 0 }
    }
}

/// How long after the first sending of its packet that is still known the claim at `at` happened.
pub(crate) fn latency(events: &[Ev], at: usize, refused: &BTreeSet<String>) -> Option<i64> {
    let claim = &events[at];
    if claim.kind != "claim" || claim.packet.is_empty() {
        return None;
    }
    let mut packet: Option<Packet> = None;
    for ev in events[..=at].iter().filter(|ev| ev.packet == claim.packet) {
        packet = packet.filter(|packet| !packet.is_forgotten(ev.time));
        if ["send", "claim"].contains(&ev.kind) {
            packet.get_or_insert_default();
        }
        let Some(packet) =
            packet.as_mut().filter(|_| ["send", "claim", "refund"].contains(&ev.kind))
        else {
            continue;
        };
        packet.last = ev.time;
        match ev.kind {
            "send" => {
                packet.sent.get_or_insert(ev.time - ev.late);
            }
            "claim" => packet.is_begun |= !refused.contains(&ev.id),
            _ => packet.is_begun |= packet.sent.is_some(),
        }
    }
    Some(claim.time - claim.late - packet?.sent?)
}

/// The findings on claims that took no share; the referee has tests of its own.
pub(crate) const REFUSALS: [&str; 8] = [
    "after_refund",
    "expired",
    "other_sender",
    "other_group",
    "claimed_twice",
    "too_many_claims",
    "claim_of_nothing",
    "overdrawn",
];

/// Population standard deviation, of integers and with division and root last.
fn spread(values: &[i64]) -> f64 {
    let n = values.len() as i64;
    let (sum, squares) = values.iter().fold((0, 0), |(sum, squares), x| (sum + x, squares + x * x));
    ((n * squares - sum * sum) as f64 / (n as f64 * n as f64)).sqrt()
}

/// Gap, kind, account, other side, group, device, packet, fen.
type Part = (i64, usize, u8, u8, u8, u8, u8, i64);

fn events() -> impl Strategy<Value = Vec<Ev>> {
    let long = vec![24 * HOUR, 72 * HOUR, 72 * HOUR + 1, 96 * HOUR, 265 * HOUR + 2_001];
    let gap = prop_oneof![
        2 => Just(0),
        3 => 1..HOUR,
        1 => prop::sample::select(long),
        1 => 20 * HOUR..40 * HOUR
    ];
    let event = (gap, 0usize..KINDS.len(), 1u8..5, 0u8..5, 0u8..4, 0u8..4, 0u8..4, 0i64..900);
    prop::collection::vec(event, 1..70).prop_map(|parts| {
        let mut time = START;
        let mut build = |(at, part): (usize, Part)| {
            let (gap, kind, account, other, group, device, packet, fen) = part;
            let numbered = |name: &str, number: u8| match number {
                0 => String::new(),
                number => format!("{name}{number}"),
            };
            time += gap;
            Ev {
                id: format!("e{at:03}"),
                time,
                kind: KINDS[kind],
                account: format!("u{account}"),
                counterparty: numbered("u", other),
                group: numbered("g", group),
                device: numbered("d", device),
                // Ids are used again and again.
                packet: numbered("p", packet),
                amount: Some(fen),
                ..Ev::default()
            }
        };
        parts.into_iter().enumerate().map(&mut build).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn built_in_features_are_their_definitions(
        events in events(),
        arrivals in late::arrivals(),
        workers in 1usize..4,
        batch in prop::sample::select(vec![1, 7, 10_000]),
    ) {
        let (job, events) = late::job(events, arrivals.as_ref(), features(Vec::new(), None));
        let found = refereed(&job, options(workers, 1_000, batch));
        let refusals = found.iter().filter(|(_, outcome, _)| REFUSALS.contains(&outcome.as_str()));
        let refused: BTreeSet<String> = refusals.map(|(id, ..)| id.clone()).collect();
        let rows: BTreeMap<String, Row> = found.into_iter().map(|(id, _, row)| (id, row)).collect();
        for (at, ev) in events.iter().enumerate() {
            if !TRANSACTIONS.contains(&ev.kind) {
                continue;
            }
            for (name, value) in expected(&events, at, &refused) {
                prop_assert_eq!(&rows[&ev.id][&name], &value, "{} of {}", name, &ev.id);
            }
        }
    }
}

/// A rules directory with these two files.
fn directory(policy: &str, features: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("policy.toml"), policy).unwrap();
    fs::write(directory.path().join("features.toml"), features).unwrap();
    directory
}

fn names(directory: &tempfile::TempDir) -> Vec<String> {
    let loaded = load(Some(directory.path()), &Arc::new(Schema::default())).unwrap();
    loaded.features.columns().iter().map(|(name, ..)| name.clone()).collect()
}

#[test]
fn of_what_is_built_in_a_run_may_hold_only_what_is_used() {
    let declared = "[funds.double_back]\nexpr = \"2.0 * funds.payer.pass_through_24h\"\n";
    let used = directory("[features]\ncolumns = \"used\"\n", declared);
    let expected = [
        "funds.double_back",
        "funds.payer.fan_in_24h",
        "funds.payer.fan_out_24h",
        "funds.payer.pass_through_24h",
    ];
    assert_eq!(names(&used), expected);
    let all = names(&directory("", declared));
    assert!(all.len() > 20 && expected.iter().all(|name| all.iter().any(|held| held == name)));
}

#[test]
fn a_declaration_takes_the_place_of_what_is_built_in() {
    let toml = "[funds.payer.fan_in_24h]\nover = ['topup']\nkey = ['account_id']\nat = ['payer_id']\n\
                agg = 'count'\nwindow = '24h'\n";
    let (read, wrong) =
        declare::read(std::path::Path::new("features.toml"), toml, &Schema::default());
    assert_eq!(wrong, []);
    let event = |id: &str, kind| Ev {
        id: id.to_owned(),
        time: START,
        kind,
        account: "u1".to_owned(),
        amount: Some(500),
        ..Ev::default()
    };
    let events = [event("a", "topup"), event("b", "topup"), event("c", "send")];
    let job = job(vec![chunk(&events)], features(read.list, None), true);
    let found = rows(&job, options(1, 1_000, 7));
    assert_eq!(found[0].1["funds.payer.fan_in_24h"], "2");
    assert_eq!(found[0].1["funds.payer.pass_through_24h"], "250.0");
}
