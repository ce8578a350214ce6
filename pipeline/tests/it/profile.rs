//! `hongxian profile`, by the program: the features of an account are its own.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::support::{START, workspace};

const MINUTE: i64 = 60_000;

/// A transaction: kind, who acts, the other side, group, packet, fen.
type Tx = (&'static str, &'static str, &'static str, &'static str, &'static str, i64);

/// Others move much more than `lead`, in the same groups and with the same people.
const TRANSACTIONS: [Tx; 12] = [
    ("send", "rich", "", "g1", "p1", 9_000_000),
    ("claim", "lead", "rich", "g1", "p1", 300),
    ("transfer", "lead", "shop", "", "", 1_000),
    ("transfer", "rich", "shop", "", "", 5_000_000),
    ("transfer", "lead", "shop", "", "", 2_000),
    ("send", "lead", "", "g2", "p2", 600),
    ("claim", "bo", "lead", "g2", "p2", 250),
    ("claim", "rich", "lead", "g2", "p2", 350),
    ("transfer", "bo", "lead", "", "", 700),
    ("send", "rich", "", "g1", "p3", 8_000_000),
    ("claim", "lead", "rich", "g1", "p3", 400),
    ("withdraw", "lead", "", "", "", 100),
];

fn pays(tx: &Tx) -> bool {
    if tx.0 == "claim" { tx.2 == "lead" } else { tx.1 == "lead" }
}

fn is_paid(tx: &Tx) -> bool {
    if tx.0 == "claim" { tx.1 == "lead" } else { tx.0 == "transfer" && tx.2 == "lead" }
}

fn hongxian(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
    command.current_dir(directory).args(arguments).arg("--lang=en").output().unwrap()
}

fn told(directory: &Path, arguments: &[&str]) -> String {
    let done = hongxian(directory, arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn profile(directory: &Path) -> Value {
    serde_json::from_str(&told(directory, &["profile", "run", "lead", "--json"])).unwrap()
}

fn feature<'p>(profile: &'p Value, name: &str) -> Option<&'p Value> {
    profile["features"].as_array().unwrap().iter().find(|one| one["name"] == name)
}

/// A directory with the events, decided by these rules.
fn decided(rules: &str, prepare: impl FnOnce(&Path)) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut csv = String::from(
        "event_id,event_time,kind,account_id,counterparty_id,group_id,packet_id,amount_fen,\
         shares,device_id,registered_at\n",
    );
    writeln!(csv, "a,{START},account,lead,,,,,,,{}", START - 90 * MINUTE).unwrap();
    for (at, (kind, account, other, group, packet, fen)) in (1..).zip(TRANSACTIONS) {
        let (time, shares) = (START + at * MINUTE, if kind == "send" { "2" } else { "" });
        writeln!(
            csv,
            "e{at},{time},{kind},{account},{other},{group},{packet},{fen},{shares},d-{account},"
        )
        .unwrap();
    }
    fs::write(directory.path().join("events.csv"), csv).unwrap();
    prepare(directory.path());
    told(directory.path(), &["backtest", "events.csv", rules, "--out=run"]);
    directory
}

#[test]
fn features_of_a_profile_are_the_accounts_own_and_tell_their_unit() {
    let rules = format!("--rules={}", workspace().join("rules").display());
    let directory = decided(&rules, |_| {});
    let found = profile(directory.path());
    let count = |is: &dyn Fn(&Tx) -> bool| TRANSACTIONS.iter().filter(|tx| is(tx)).count();
    let sum = |is: &dyn Fn(&Tx) -> bool| {
        TRANSACTIONS.iter().filter(|tx| is(tx)).map(|tx| tx.5).sum::<i64>() as f64
    };
    // What it paid is what left it, and what others claimed of its packets is no second payment; but
    // it pays there too, so that the series has these transactions.
    let paid = |tx: &Tx| pays(tx) && tx.0 != "claim";
    for (name, part, values, most) in [
        ("funds.payer.fan_out_24h", "pays", count(&pays), sum(&paid)),
        ("funds.payee.fan_in_24h", "is_paid", count(&is_paid), sum(&is_paid)),
        ("behaviour.paid_24h", "acts", count(&|tx| tx.1 == "lead"), sum(&paid)),
    ] {
        let trend = feature(&found, name).unwrap_or_else(|| panic!("{name} is not there"));
        assert_eq!((&trend["part"], &trend["unit"]), (&part.into(), &"fen".into()), "{name}");
        assert_eq!(trend["values"], values, "{name}");
        assert_eq!([&trend["largest"], &trend["last"]], [most, most], "{name}");
    }
    for trend in found["features"].as_array().unwrap() {
        let name = trend["name"].as_str().unwrap();
        let others = ["social.", "funds.group.", "funds.pair", "packet.left", "devices.accounts_"];
        assert!(!others.iter().any(|begin| name.starts_with(begin)), "{name} is of something else");
        // Others' money is of tens of thousands of yuan.
        assert!(trend["unit"] != "fen" || trend["largest"].as_f64().unwrap() < 1e6, "{trend}");
        let times = ["behaviour.account_age", "devices.known_for", "devices.used_for"];
        assert!(!times.contains(&name), "{name} only tells that time has passed");
    }
    let shown = told(directory.path(), &["profile", "run", "lead"]);
    let line = |name: &str| shown.lines().find(|line| line.contains(name)).unwrap_or_default();
    let words: Vec<&str> = line("funds.payee.fan_in_24h").split_whitespace().collect();
    assert_eq!(words[1..5], ["yuan", "3.00", "14.00", "14.00"], "{shown}");
    let words: Vec<&str> = line("behaviour.since_last").split_whitespace().collect();
    assert_eq!(words[1..5], ["duration", "1m", "1m", "5m"], "{shown}");
}

/// Without the rules that declared them nobody knows whose they are; what is built in is known.
#[test]
fn of_features_whose_rules_are_gone_a_profile_says_that_it_does_not_know() {
    let own = "[behaviour.mine]\nover = ['transfer']\nkey = ['account_id']\nagg = 'count'\n\
               window = '1h'\n";
    let directory = decided("--rules=own", |here| {
        fs::create_dir(here.join("own")).unwrap();
        fs::write(here.join("own/features.toml"), own).unwrap();
    });
    let unknown = |found: &Value| found["unknown"].to_string();
    let found = profile(directory.path());
    assert_eq!(feature(&found, "behaviour.mine").unwrap()["last"], 2.0);
    assert!(!unknown(&found).contains("rules in"), "{found}");
    let file = directory.path().join("own/features.toml");
    fs::write(&file, own.replace("'1h'", "'2h'")).unwrap();
    let found = profile(directory.path());
    assert!(feature(&found, "behaviour.mine").is_some());
    assert!(unknown(&found).contains("not what they were"), "{found}");
    fs::rename(directory.path().join("own"), directory.path().join("moved")).unwrap();
    let found = profile(directory.path());
    assert!(feature(&found, "behaviour.mine").is_none());
    assert!(feature(&found, "funds.payer.fan_out_24h").is_some());
    assert!(unknown(&found).contains("whose they are: 1, behaviour.mine among them"), "{found}");
}
