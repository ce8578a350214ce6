//! Enforced verdicts: from files to decisions, against decisions that were worked out by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use hongxian::run::{self, Events, Outcome, Request};
use hongxian::sink::{self, lines};

use super::digest::read_parquet;
use super::support::{START, options};

const MINUTE: i64 = 60_000;

/// Two holds within ten minutes restrict an account for an hour, two blocks within an hour ban it for
/// two; three blocks within an hour ban a group for half an hour.
const POLICY: &str = r#"
[clusters]
enabled = false

[verdicts.account]
enforce = true
restrict = { decisions = 2, at_least = "hold", within = "10m", lasts = "1h", floor = "hold" }
ban = { decisions = 2, at_least = "block", within = "1h", lasts = "2h", floor = "block" }

[verdicts.group]
enforce = true
restrict = false
ban = { decisions = 3, at_least = "block", within = "1h", lasts = "30m", floor = "block" }
"#;

/// The rules hold 100 yuan, block 1,000, and allow 3 whatever else is said, short of a block; what
/// they decide is all that an amount says.
const RULES: [(&str, &str); 3] = [
    ("trusted", "when = 'amount_fen == yuan(3)'\neffect = 'allow'"),
    (
        "large",
        "when = 'amount_fen >= yuan(100) && amount_fen < yuan(1000)'\nfloor = 'hold'\nscore = 10",
    ),
    ("huge", "when = 'amount_fen >= yuan(1000)'\nfloor = 'block'\nscore = 10"),
];

/// Ms after the start, account, group, yuan, and what is decided. Ids are places in this table,
/// which is in total order.
const TOLD: &[(i64, &str, &str, i64, &str)] = &[
    // `slow` is held twice, ten minutes apart: the first is no longer within ten minutes.
    (0, "slow", "g1", 150, "hold"),
    // `user` is restricted by the second hold, from 2 to 62 minutes. What was before stays.
    (0, "user", "g1", 50, "allow"),
    (MINUTE, "user", "g1", 150, "hold"),
    (MINUTE + 1, "user", "g1", 1, "allow"),
    (2 * MINUTE, "user", "g1", 150, "hold"),
    (2 * MINUTE, "user", "g1", 1, "hold"),
    (3 * MINUTE, "other", "g1", 1, "allow"),
    (3 * MINUTE, "user", "g4", 1, "hold"),
    (4 * MINUTE, "user", "g1", 1_000, "block"),
    // A rule that allows overrides the floor of a restriction, and not that of a ban.
    (4 * MINUTE + 1, "user", "g1", 3, "allow"),
    // `player` is banned by the second block, from 20 to 140 minutes.
    (5 * MINUTE, "player", "g2", 1_500, "block"),
    (6 * MINUTE, "player", "g2", 20, "allow"),
    (10 * MINUTE, "slow", "g1", 150, "hold"),
    (11 * MINUTE, "slow", "g1", 1, "allow"),
    (20 * MINUTE, "player", "g2", 1_500, "block"),
    (21 * MINUTE, "player", "g2", 1, "block"),
    // Two of the rules' blocks in `g2`, and one that the ban brought: the group is not banned.
    (22 * MINUTE, "other", "g2", 1, "allow"),
    (22 * MINUTE, "player", "", 1, "block"),
    (22 * MINUTE + 1, "player", "g2", 3, "block"),
    // `g3` is banned by the third, from 32 to 62 minutes.
    (30 * MINUTE, "one", "g3", 1_500, "block"),
    (31 * MINUTE, "two", "g3", 1_500, "block"),
    (31 * MINUTE, "other", "g3", 1, "allow"),
    (32 * MINUTE, "three", "g3", 1_500, "block"),
    (33 * MINUTE, "member", "g3", 1, "block"),
    (34 * MINUTE, "member", "g3", 1, "block"),
    // What the group's ban brought is no evidence against its members.
    (35 * MINUTE, "member", "g1", 1, "allow"),
    (62 * MINUTE - 1, "member", "g3", 1, "block"),
    (62 * MINUTE - 1, "user", "g1", 1, "hold"),
    (62 * MINUTE, "member", "g3", 1, "allow"),
    // What the restriction brought did not lengthen it; the block at 4 minutes did, to 64.
    (63 * MINUTE, "user", "g1", 1, "hold"),
    (64 * MINUTE, "user", "g1", 1, "allow"),
    (139 * MINUTE, "late", "g1", 150, "hold"),
    (140 * MINUTE - 1, "player", "g2", 1, "block"),
    (140 * MINUTE, "player", "g2", 1, "allow"),
    (141 * MINUTE, "late", "g1", 150, "hold"),
];

fn write_rules(directory: &Path) {
    fs::create_dir_all(directory.join("funds")).unwrap();
    fs::write(directory.join("policy.toml"), POLICY).unwrap();
    for (name, body) in RULES {
        let text = format!(
            "title = '{name}'\nstatus = 'live'\non = ['claim', 'withdraw']\n{body}\n\
             reason = '{name}'\n"
        );
        fs::write(directory.join(format!("funds/{name}.toml")), text).unwrap();
    }
}

/// Claims, and withdrawals where there is no group.
fn write_events(path: &Path) {
    let mut csv =
        "event_id,event_time,kind,account_id,counterparty_id,group_id,packet_id,amount_fen\n"
            .to_owned();
    for (at, (after, account, group, yuan, _)) in TOLD.iter().enumerate() {
        let (time, fen) = (START + after, yuan * 100);
        let kind = if group.is_empty() { "withdraw,ACCOUNT,," } else { "claim,ACCOUNT,payer," };
        let kind = kind.replace("ACCOUNT", account);
        let packet = if group.is_empty() { "" } else { "p" };
        writeln!(csv, "e{at:03},{time},{kind}{group},{packet},{fen}").unwrap();
    }
    fs::write(path, csv).unwrap();
}

fn decide(directory: &Path, workers: usize) -> Outcome {
    let request = Request {
        events: Events::Files { paths: vec![directory.join("events.csv")], maps: Vec::new() },
        labels: None,
        rules: Some(directory.join("rules")),
        out: directory.join(format!("run{workers}")),
        options: options(workers, 1_000, 4),
        warmup: 0,
        rejects_max: None,
        sort_memory: hongxian::run::SORT_MEMORY,
    };
    match run::run(&request, &(), Default::default()) {
        Ok(outcome) => outcome,
        Err(failure) => panic!("{}", failure.render(hongxian::diagnostic::Lang::En, false)),
    }
}

#[test]
fn enforced_verdicts_are_floors_of_later_decisions_until_they_end() {
    let directory = tempfile::tempdir().unwrap();
    write_rules(&directory.path().join("rules"));
    write_events(&directory.path().join("events.csv"));
    let [one, two, four] = [1, 2, 4].map(|workers| decide(directory.path(), workers));

    let out = directory.path().join("run1");
    let mut stored = String::new();
    lines::write(&read_parquet(&out.join("decisions.parquet")), &mut stored).unwrap();
    let found: Vec<String> = stored
        .lines()
        .map(|line| {
            let decision: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {}", decision["event_id"], decision["decision"]).replace('"', "")
        })
        .collect();
    let told = TOLD.iter().enumerate().map(|(at, row)| format!("e{at:03} {}", row.4));
    assert_eq!(found, told.collect::<Vec<_>>());

    // What is written is what is digested, and not what was decided before the floors.
    let digest = sink::parquet::digest(&out.join("decisions.parquet")).unwrap();
    for outcome in [&one, &two, &four] {
        assert_eq!(outcome.facts.decisions_digest, digest.to_hex().to_string());
    }
}

/// What stands at the end: only `late`'s restriction has not ended.
#[test]
fn a_verdict_is_told_while_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    write_rules(&directory.path().join("rules"));
    write_events(&directory.path().join("events.csv"));
    decide(directory.path(), 2);
    let found = read_parquet(&directory.path().join("run2/entities.parquet"));
    let text = |name: &str| found.column_by_name(name).unwrap().as_string::<i32>().value(0);
    let time = |name: &str| {
        let times = found.column_by_name(name).unwrap();
        times.as_primitive::<TimestampMillisecondType>().value(0)
    };
    let count = |name: &str| {
        let counts = found.column_by_name(name).unwrap();
        counts.as_primitive::<Int64Type>().value(0)
    };
    assert_eq!(found.num_rows(), 1, "{found:?}");
    assert_eq!(
        [text("subject_kind"), text("subject_id"), text("verdict")],
        ["account", "late", "restrict"]
    );
    let since = START + 141 * MINUTE;
    assert_eq!((time("since"), time("until")), (since, since + 60 * MINUTE));
    assert!(!found.column_by_name("until").unwrap().is_null(0));
    assert_eq!([count("reviews"), count("holds"), count("blocks")], [0, 2, 0]);
}
