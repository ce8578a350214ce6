//! What is held in memory follows the keys that are alive, and not how many there have been.

use std::path::Path;

use hongxian::dataflow::{StateUse, Summary};
use hongxian::event::Schema;
use hongxian::features::declare;

use crate::support::{Ev, START, chunk, declared_features, job, options};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Accounts that act on one day and never again.
const ACCOUNTS: i64 = 300;
const CLAIMS: i64 = 12;

/// Every aggregate, over a day of claims by `key`.
fn declarations(key: &str) -> String {
    let field = |field: &str| format!("field = '{field}'\n");
    let rows = [
        ("count", String::new()),
        ("since_last", String::new()),
        ("ratio_to_mean", String::new()),
        ("sum", String::new()),
        ("min", String::new()),
        ("max", String::new()),
        ("stddev", String::new()),
        ("quantile", "q = 0.5\n".to_owned()),
        ("first", field("text")),
        ("last", field("text")),
        ("distinct", field("event_id")),
        ("top_share", field("counterparty_id")),
        ("entropy", field("amount_fen % 100")),
    ];
    rows.iter()
        .enumerate()
        .map(|(at, (agg, more))| {
            let window = ["24h", "day", "1h"][at % 3];
            format!(
                "[t.{agg}]\nover = ['claim']\nkey = ['{key}']\nagg = '{agg}'\n{more}\
                 window = '{window}'\n"
            )
        })
        .collect()
}

/// Days on each of which other accounts act; where `announced`, each begins with what is known
/// of it.
fn days(days: i64, announced: bool) -> Vec<Ev> {
    let mut events = Vec::new();
    let mut add = |time: i64, kind, account: i64, nth: i64| {
        events.push(Ev {
            id: format!("e{account}-{nth}"),
            time,
            kind,
            account: format!("u{account}"),
            counterparty: format!("s{nth}"),
            group: "g".to_owned(),
            amount: Some(100 + nth),
            text: format!("a memo {account} {nth}"),
            ..Ev::default()
        });
    };
    for account in 0..days * ACCOUNTS {
        let (day, at) = (account / ACCOUNTS, account % ACCOUNTS);
        let start = START + day * DAY + at * 10_000;
        if announced {
            add(start, "account", account, -1);
        }
        (0..CLAIMS).for_each(|nth| add(start + nth * HOUR / 2, "claim", account, nth));
    }
    events
}

fn run(events: &[Ev], toml: &str) -> Summary {
    let (read, wrong) = declare::read(Path::new("features.toml"), toml, &Schema::default());
    assert_eq!(wrong, []);
    let job = job(vec![chunk(events)], declared_features(read.list), true);
    hongxian::backtest::decide(&job, options(2, 1_000, 1_000)).unwrap().0
}

/// Keys, events and bytes, in days' worth: of the whole history over what one day leaves.
fn growth(announced: bool, toml: &str) -> [f64; 3] {
    let [one, many] = [1, 50].map(|count| run(&days(count, announced), toml).state["account_id"]);
    [(one.keys, many.keys), (one.events, many.events), (one.bytes, many.bytes)]
        .map(|(one, many)| many as f64 / one as f64)
}

/// What the accounts of so many days, each announced, leave.
fn left(count: i64, toml: &str) -> StateUse {
    run(&days(count, true), toml).state["account_id"]
}

#[test]
fn keys_of_fifty_days_take_up_about_one_days_memory() {
    let [keys, events, bytes] = growth(false, &declarations("account_id"));
    // A key that has gone quiet is dropped within the longest window after its last is over.
    assert!(keys < 3.0, "{keys} days' keys");
    assert!(events < 3.0, "{events} days' events");
    assert!(bytes < 3.0, "{bytes} days' bytes");
}

/// What an `account` event said is kept for good, and nothing else of an account that has gone
/// quiet: it sleeps.
#[test]
fn what_is_known_of_an_account_does_not_keep_its_past() {
    let toml = declarations("account_id") + "[t.memo]\nexpr = 'account.amount_fen'\n";
    let [keys, events, bytes] = growth(true, &toml);
    assert!(keys < 3.0, "{keys} days' keys");
    assert!(events < 3.0, "{events} days' events");
    assert!(bytes < 6.0, "{bytes} days' bytes");
    let (fifty, hundred) = (left(50, &toml), left(100, &toml));
    assert_eq!(fifty.keys + fifty.asleep, 50 * ACCOUNTS as u64, "none is forgotten");
    assert_eq!(hundred.keys + hundred.asleep, 100 * ACCOUNTS as u64);
    let an_account = (hundred.bytes - fifty.bytes) as f64 / (50 * ACCOUNTS) as f64;
    assert!(an_account < 100.0, "{an_account} bytes an account that has gone quiet");
}

/// All claims in one group within one window: what is held of an event stays what it was, however
/// many there are.
#[test]
fn a_hot_key_takes_up_no_more_an_event_than_a_smaller_one() {
    let bytes_an_event = |claims: i64| {
        let claim = |at: i64| Ev {
            id: format!("e{at}"),
            time: START + at,
            kind: "claim",
            account: format!("u{}", at % 5_000),
            counterparty: format!("s{}", at % 100),
            group: "g".to_owned(),
            amount: Some(at * 7_919 % 20_000),
            text: "a memo".to_owned(),
            ..Ev::default()
        };
        let events: Vec<Ev> = (0..claims).map(claim).collect();
        let usage = run(&events, &declarations("group_id")).state["group_id"];
        assert_eq!((usage.keys, usage.events), (1, 2 * claims as u64), "all claims, and the texts");
        usage.bytes as f64 / claims as f64
    };
    let (small, large) = (bytes_an_event(2_000), bytes_an_event(50_000));
    assert!(large < small * 1.5, "{small} bytes an event of 2,000, {large} of 50,000");
}

/// A key that lives on gives back what a burst of values took up, once the burst has left its
/// windows.
#[test]
fn a_burst_of_values_leaves_nothing_behind_in_a_key_that_lives_on() {
    let toml = "[t.top_share]\nover = ['claim']\nkey = ['account_id']\nagg = 'top_share'\n\
                field = 'counterparty_id'\nwindow = '24h'\n\
                [t.entropy]\nover = ['claim']\nkey = ['account_id']\nagg = 'entropy'\n\
                field = 'amount_fen'\nwindow = '24h'\n";
    let bytes = |burst: i64| {
        let claim = |at: i64, time: i64| Ev {
            id: format!("e{at}"),
            time,
            kind: "claim",
            account: "u".to_owned(),
            // One of them again and again, and others once each.
            counterparty: if at % 2 == 0 { "s".to_owned() } else { format!("s{at}") },
            amount: Some(at),
            ..Ev::default()
        };
        let hourly = (0..72).map(|hour| claim(burst + hour, START + hour * HOUR + 1));
        let events: Vec<Ev> = (0..burst).map(|at| claim(at, START)).chain(hourly).collect();
        let usage = run(&events, toml).state["account_id"];
        assert_eq!((usage.keys, usage.events), (1, 24));
        usage.bytes
    };
    let (calm, after_burst) = (bytes(0), bytes(4_000));
    assert!(after_burst < 2 * calm, "{after_burst} bytes, and {calm} without the burst");
}
