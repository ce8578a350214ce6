//! Enforced verdicts: from files to decisions, against decisions that were worked out by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use hongxian::diagnostic::Failure;
use hongxian::event::Schema;
use hongxian::run::{self, Events, ModelPaths, Outcome, Request};
use hongxian::sink::{self, lines};
use serde_json::{Value, json};

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

/// The rules hold 100 yuan, block 1,000, review 2, and allow 3 whatever else is said, short of a
/// block; what they decide is all that an amount says.
const RULES: [(&str, &str); 4] = [
    ("trusted", "when = 'amount_fen == yuan(3)'\neffect = 'allow'"),
    (
        "large",
        "when = 'amount_fen >= yuan(100) && amount_fen < yuan(1000)'\nfloor = 'hold'\nscore = 10",
    ),
    ("huge", "when = 'amount_fen >= yuan(1000)'\nfloor = 'block'\nscore = 10"),
    // Without a score as verdicts are, and after them in the order of names.
    ("watched", "when = 'amount_fen == yuan(2)'\nfloor = 'review'\nscore = 0"),
];

/// Verdicts that raise decisions in [`TOLD`]: of what, since which minute and until which.
const BANNED_G3: Held = ("ban", "group", "g3", 32, 62);
const BANNED_PLAYER: Held = ("ban", "account", "player", 20, 140);
const RESTRICTED_USER: Held = ("restrict", "account", "user", 2, 62);
const RESTRICTED_USER_LONGER: Held = ("restrict", "account", "user", 2, 64);

type Held = (&'static str, &'static str, &'static str, i64, i64);

/// Ms after the start, account, group, yuan, what is decided, and which verdicts raised it to that.
type Row = (i64, &'static str, &'static str, i64, &'static str, &'static [Held]);

/// Ids are places in this table, which is in total order.
const TOLD: &[Row] = &[
    // `slow` is held twice, ten minutes apart: the first is no longer within ten minutes.
    (0, "slow", "g1", 150, "hold", &[]),
    // `user` is restricted by the second hold, from 2 to 62 minutes. What was before stays.
    (0, "user", "g1", 50, "allow", &[]),
    (MINUTE, "user", "g1", 150, "hold", &[]),
    (MINUTE + 1, "user", "g1", 1, "allow", &[]),
    (2 * MINUTE, "user", "g1", 150, "hold", &[]),
    (2 * MINUTE, "user", "g1", 1, "hold", &[RESTRICTED_USER]),
    (3 * MINUTE, "other", "g1", 1, "allow", &[]),
    (3 * MINUTE, "user", "g4", 1, "hold", &[RESTRICTED_USER]),
    (4 * MINUTE, "user", "g1", 1_000, "block", &[]),
    // A rule that allows overrides the floor of a restriction, and not that of a ban.
    (4 * MINUTE + 1, "user", "g1", 3, "allow", &[]),
    // `player` is banned by the second block, from 20 to 140 minutes.
    (5 * MINUTE, "player", "g2", 1_500, "block", &[]),
    (6 * MINUTE, "player", "g2", 20, "allow", &[]),
    (10 * MINUTE, "slow", "g1", 150, "hold", &[]),
    (11 * MINUTE, "slow", "g1", 1, "allow", &[]),
    (20 * MINUTE, "player", "g2", 1_500, "block", &[]),
    (21 * MINUTE, "player", "g2", 1, "block", &[BANNED_PLAYER]),
    // Two of the rules' blocks in `g2`, and one that the ban brought: the group is not banned.
    (22 * MINUTE, "other", "g2", 1, "allow", &[]),
    (22 * MINUTE, "player", "", 1, "block", &[BANNED_PLAYER]),
    (22 * MINUTE + 1, "player", "g2", 3, "block", &[BANNED_PLAYER]),
    // A rule may decide less than the verdict, and is a reason too.
    (23 * MINUTE, "player", "g2", 150, "block", &[BANNED_PLAYER]),
    // `g3` is banned by the third, from 32 to 62 minutes.
    (30 * MINUTE, "one", "g3", 1_500, "block", &[]),
    (31 * MINUTE, "two", "g3", 1_500, "block", &[]),
    (31 * MINUTE, "other", "g3", 1, "allow", &[]),
    (32 * MINUTE, "three", "g3", 1_500, "block", &[]),
    (33 * MINUTE, "member", "g3", 1, "block", &[BANNED_G3]),
    (34 * MINUTE, "member", "g3", 1, "block", &[BANNED_G3]),
    // Both the account and the group, or the one that says more.
    (34 * MINUTE, "player", "g3", 1, "block", &[BANNED_PLAYER, BANNED_G3]),
    (34 * MINUTE, "user", "g3", 1, "block", &[BANNED_G3]),
    // What the group's ban brought is no evidence against its members.
    (35 * MINUTE, "member", "g1", 1, "allow", &[]),
    (62 * MINUTE - 1, "member", "g3", 1, "block", &[BANNED_G3]),
    (62 * MINUTE - 1, "user", "g1", 1, "hold", &[RESTRICTED_USER_LONGER]),
    (62 * MINUTE, "member", "g3", 1, "allow", &[]),
    // What the restriction brought did not lengthen it; the block at 4 minutes did, to 64.
    (63 * MINUTE, "user", "g1", 1, "hold", &[RESTRICTED_USER_LONGER]),
    (63 * MINUTE + 1, "user", "g1", 2, "hold", &[RESTRICTED_USER_LONGER]),
    (64 * MINUTE, "user", "g1", 1, "allow", &[]),
    (64 * MINUTE + 1, "user", "g1", 2, "review", &[]),
    (139 * MINUTE, "late", "g1", 150, "hold", &[]),
    (140 * MINUTE - 1, "player", "g2", 1, "block", &[BANNED_PLAYER]),
    (140 * MINUTE, "player", "g2", 1, "allow", &[]),
    (141 * MINUTE, "late", "g1", 150, "hold", &[]),
];

/// The rules under a policy that begins with `more`.
fn write_rules(directory: &Path, more: &str) {
    fs::create_dir_all(directory.join("funds")).unwrap();
    fs::write(directory.join("policy.toml"), format!("{more}{POLICY}")).unwrap();
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
    for (at, (after, account, group, yuan, ..)) in TOLD.iter().enumerate() {
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
        pseudonyms: None,
        labels: None,
        rules: Some(directory.join("rules")),
        models: ModelPaths::default(),
        out: directory.join(format!("run{workers}")),
        options: options(workers, 1_000, 4),
        warmup: 0,
        rejects_max: None,
        sort_memory: hongxian::run::SORT_MEMORY,
        place: None,
    };
    match run::run(&request, &(), Default::default()) {
        Ok(outcome) => outcome,
        Err(failure) => panic!("{}", failure.render(hongxian::diagnostic::Lang::En, false)),
    }
}

/// What was written, in total order.
fn decisions(out: &Path) -> Vec<Value> {
    let mut stored = String::new();
    lines::write(&read_parquet(&out.join("decisions.parquet")), &mut stored).unwrap();
    stored.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn enforced_verdicts_are_floors_of_later_decisions_until_they_end() {
    let directory = tempfile::tempdir().unwrap();
    write_rules(&directory.path().join("rules"), "");
    write_events(&directory.path().join("events.csv"));
    let [one, two, four] = [1, 2, 4].map(|workers| decide(directory.path(), workers));

    let out = directory.path().join("run1");
    let found: Vec<String> = decisions(&out)
        .iter()
        .map(|decision| {
            format!("{} {}", decision["event_id"], decision["decision"]).replace('"', "")
        })
        .collect();
    let told = TOLD.iter().enumerate().map(|(at, row)| format!("e{at:03} {}", row.4));
    assert_eq!(found, told.collect::<Vec<_>>());

    // What is written is what is digested, and not what was decided before the floors.
    let digest = sink::parquet::digest([out.join("decisions.parquet")]).unwrap();
    for outcome in [&one, &two, &four] {
        assert_eq!(outcome.facts.decisions_digest, digest.to_hex().to_string());
    }
}

/// `user` is let off at 3 minutes: the two holds before that restrict him no longer, and count no more
/// beside the block that comes after it. What `g3` brings on him stays.
#[test]
fn whoever_is_let_off_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    write_rules(&rules, "");
    let lifted = |list: &str| POLICY.replacen("enforce", &format!("lift = '{list}'\nenforce"), 1);
    fs::write(rules.join("policy.toml"), lifted("let-off")).unwrap();
    fs::create_dir(rules.join("lists")).unwrap();
    let list = |from: &str| {
        let text =
            format!("value,valid_from,valid_until,added_by,reason\nuser,{from},,li,by mistake\n");
        fs::write(rules.join("lists/let-off.csv"), text).unwrap();
    };
    let moment = jiff::Timestamp::from_millisecond(START + 3 * MINUTE).unwrap();
    list(&moment.to_string());
    write_events(&directory.path().join("events.csv"));
    decide(directory.path(), 2);
    let found = decisions(&directory.path().join("run2"));
    let told = TOLD.iter().map(|&(after, account, group, yuan, decided, _)| {
        let is_free =
            account == "user" && after >= 3 * MINUTE && group != "g3" && decided == "hold";
        match is_free {
            true if yuan == 2 => "review",
            true => "allow",
            false => decided,
        }
    });
    let found: Vec<&str> = found.iter().map(|one| one["decision"].as_str().unwrap()).collect();
    assert_eq!(found, told.collect::<Vec<_>>());
    assert_ne!(found, TOLD.iter().map(|row| row.4).collect::<Vec<_>>());

    let schema = Arc::new(Schema::default());
    let wrong = || match hongxian::rules::load(Some(&rules), &schema) {
        Err(Failure::Input(found, _)) => found[0].message.en.clone(),
        _ => panic!("it is taken"),
    };
    list("");
    assert_eq!(wrong(), "list `let-off` does not say when `user` is let off");
    fs::write(rules.join("policy.toml"), lifted("let-of")).unwrap();
    assert_eq!(wrong(), "there is no list `let-of`");
}

/// What stands at the end: only `late`'s restriction has not ended.
#[test]
fn a_verdict_is_told_while_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    write_rules(&directory.path().join("rules"), "");
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

/// The hour of the start in Shanghai, and so many minutes.
fn clock(minutes: i64) -> String {
    assert_eq!(START, 1_707_480_000_000, "2024-02-09T20:00:00+08:00");
    format!("2024-02-09T{:02}:{:02}:00+08:00", 20 + minutes / 60, minutes % 60)
}

fn told(held: &Held, zh: bool) -> String {
    let (what, kind, id, since, until) = *held;
    let (since, until) = (clock(since), clock(until));
    if zh {
        let kind = if kind == "group" { "群" } else { "账户" };
        let what = if what == "ban" { "封禁" } else { "限制" };
        return format!("{kind} {id} 自 {since} 起被{what}，至 {until} 止");
    }
    let what = if what == "ban" { "banned" } else { "restricted" };
    format!("{kind} {id} is {what} since {since}, until {until}")
}

/// The reasons of a row of the table: the rules', and the verdicts' among them.
fn reasons(yuan: i64, held: &[Held], zh: bool) -> Value {
    let rule = match yuan {
        2 => Some(("watched", 0)),
        3 => Some(("trusted", 0)),
        100..1_000 => Some(("large", 10)),
        1_000.. => Some(("huge", 10)),
        _ => None,
    };
    let mut reasons: Vec<Value> = Vec::new();
    if let Some((rule, score)) = rule {
        reasons.push(json!({"rule": rule, "score": score, "text": rule}));
    }
    if let Some((what, ..)) = held.first() {
        let texts: Vec<String> = held.iter().map(|one| told(one, zh)).collect();
        let text = texts.join(if zh { "；" } else { "; " });
        let reason = json!({"rule": format!("verdict:{what}"), "score": 0, "text": text});
        // By score, then by name: of all rules only `watched` comes after.
        reasons.insert(reasons.len() - usize::from(yuan == 2), reason);
    }
    Value::Array(reasons)
}

/// A decision that a verdict raised says so, in the language of the policy; nothing else says
/// anything but what it says where verdicts are not enforced, and no rule has a hit more.
#[test]
fn a_decision_that_a_verdict_raised_says_whose_and_how_long() {
    for zh in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let rules = directory.path().join("rules");
        let language = if zh { "language = 'zh'\n" } else { "" };
        write_rules(&rules, language);
        write_events(&directory.path().join("events.csv"));
        let enforced = decide(directory.path(), 2);
        let found = decisions(&directory.path().join("run2"));
        for ((_, _, _, yuan, _, held), line) in TOLD.iter().zip(&found) {
            assert_eq!(line["reasons"], reasons(*yuan, held, zh), "{line}");
        }

        let text = format!("{language}{POLICY}").replace("enforce = true", "enforce = false");
        fs::write(rules.join("policy.toml"), text).unwrap();
        let free = decide(directory.path(), 1);
        for (row, (mut plain, mut line)) in
            TOLD.iter().zip(decisions(&directory.path().join("run1")).into_iter().zip(found))
        {
            let own: &[&str] = if row.5.is_empty() { &[] } else { &["decision", "reasons"] };
            for key in own.iter().chain(&["rules_hash"]) {
                (plain[key], line[key]) = (Value::Null, Value::Null);
            }
            assert_eq!(plain, line);
        }
        let hits = |outcome: &Outcome| -> Vec<(String, u64)> {
            let rules = outcome.judgement.rules.iter();
            rules.map(|one| (one.rule.id.clone(), one.hits.count)).collect()
        };
        assert_eq!(hits(&enforced), hits(&free));
        let count =
            |least, most| TOLD.iter().filter(|row| (least..most).contains(&row.3)).count() as u64;
        let told = [("huge", 1_000, 9_999), ("large", 100, 1_000), ("trusted", 3, 4)]
            .into_iter()
            .chain([("watched", 2, 3)])
            .map(|(id, least, most)| (id.to_owned(), count(least, most)));
        assert_eq!(hits(&enforced), told.collect::<Vec<_>>());
    }
}
