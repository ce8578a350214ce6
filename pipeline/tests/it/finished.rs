//! The commands that read a run that is over, `lens`, `profile` and `text discover`, by the program
//! itself, against sums over the rows of the CSV.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use hongxian::diagnostic::{Failure, Lang};
use hongxian::features::text::Lexicon;
use hongxian::finished::FinishedRun;
use hongxian::source::Progress;
use hongxian::{discover, lens, profile};
use serde_json::Value;

use super::support::{START, workspace};

pub(super) const HEADER: &str = "event_id,event_time,kind,account_id,counterparty_id,group_id,packet_id,\
                      amount_fen,shares,funding,device_id,region,platform,age_band,text";
const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
/// The word that nobody's list has.
const CODE: &str = "雪椋";

/// The rows of a small world: a family of twelve, a shop's group of twelve, a family of three. In
/// the shop's group people say a word and pay the dealer.
fn world() -> String {
    let mut csv = format!("{HEADER}\n");
    let mut id = 0;
    let mut row = |time: i64, rest: &str| {
        id += 1;
        writeln!(csv, "e{id:05},{time},{rest}").unwrap();
    };
    let member = |group: &str, at: i64| format!("acct-{group}-{at:02}");
    for (group, region, size) in
        [("fam", "510000", 12), ("biz", "440000", 12), ("few", "510000", 3)]
    {
        row(START, &format!("group,,,g-{group},,,,,,{region},,,{group} name"));
        for at in 0..size {
            let who = member(group, at);
            // A band of one's own could tell who one is.
            let alone = group == "few" && at == 0;
            let age = if alone { "secret-band" } else { ["18-25", "26-45"][at as usize % 2] };
            row(START, &format!("account,{who},,,,,,,,{region},,{age},"));
            row(START + 1, &format!("join,{who},,g-{group},,,,,,,,,"));
        }
    }
    let mut packet = 0;
    for day in 0..14 {
        for (group, size, fen, hour) in
            [("fam", 12, 800, 0), ("biz", 12, 3_000, 18), ("few", 3, 500, 0)]
        {
            for at in 0..size {
                packet += 1;
                let time = START + day * DAY + (hour * 60 + at) * MINUTE;
                let (who, other) = (member(group, at), member(group, (at + 1) % size));
                let (fen, device) = (fen + 10 * at, format!("dev-{group}-{}", at % 4));
                let platform = if group == "few" { "alipay" } else { "wechat" };
                let place = format!("g-{group},p{packet:04}");
                row(
                    time,
                    &format!("send,{who},,{place},{fen},2,bank,{device},,{platform},,新年好"),
                );
                row(
                    time + MINUTE,
                    &format!("claim,{other},{who},{place},{},,,{device},,{platform},,", fen / 2),
                );
            }
        }
        for at in 1..8 {
            let (who, time) = (member("biz", at), START + day * DAY + at * 7 * MINUTE);
            let text = if at == 3 {
                format!("\"来{at}份{CODE}\u{1b}[31m<script>\"")
            } else {
                format!("{at}份{CODE}")
            };
            row(time, &format!("message,{who},,g-biz,,,,,,,,,{text}"));
            row(
                time + MINUTE / 2,
                &format!(
                    "transfer,{who},acct-biz-00,,,{},,balance,dev-biz-{},,wechat,,",
                    at * 1_000,
                    at % 4
                ),
            );
            let talk = ["吃了吗", "明天见", "收到了", "好的呀"][(day as usize + at as usize) % 4];
            row(time + 3 * 60 * MINUTE, &format!("message,{who},,g-fam,,,,,,,,,{talk}"));
        }
    }
    csv
}

const LABELS: &str = "subject_kind,subject_id,label,typology,role\n\
                      group,g-fam,honest,,family\ngroup,g-biz,honest,,business\n\
                      group,g-few,honest,,family\naccount,acct-biz-00,fraud,coded-settlement,collector\n";

/// A row of the CSV by column.
type Row = BTreeMap<String, String>;

fn rows(csv: &str) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let row = |record: csv::StringRecord| {
        header.iter().zip(&record).map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
    };
    reader.records().map(|record| row(record.unwrap())).collect()
}

fn fen(row: &Row) -> i64 {
    row["amount_fen"].parse().unwrap()
}

pub(super) fn hongxian(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
    command.current_dir(directory).args(arguments);
    if !arguments.contains(&"--lang=zh") {
        command.arg("--lang=en");
    }
    command.output().unwrap()
}

/// A directory with the world, decided.
fn decided() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("events.csv"), world()).unwrap();
    fs::write(directory.path().join("labels.csv"), LABELS).unwrap();
    let rules = workspace().join("rules");
    let rules = format!("--rules={}", rules.display());
    let done = hongxian(
        directory.path(),
        &["backtest", "events.csv", "--labels=labels.csv", &rules, "--out=run", "--json"],
    );
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    directory
}

pub(super) fn json(done: &Output) -> Value {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

pub(super) fn cell<'v>(lens: &'v Value, section: &str, row: &str, column: &str) -> &'v Value {
    let of = |list: &'v Value, id: &str| {
        let found = list.as_array().unwrap().iter().enumerate().find(|(_, one)| one["id"] == id);
        found.unwrap_or_else(|| panic!("no {id} in {section}"))
    };
    let section_found = of(&lens["sections"], section).1;
    let (at, _) = of(&section_found["columns"], column);
    &of(&section_found["rows"], row).1["cells"][at]
}

#[test]
fn what_goes_to_oneself_is_neither_paid_to_others_nor_received_from_them() {
    let directory = tempfile::tempdir().unwrap();
    let rows = [
        "transfer,a,a,,,10000,,,,,,,",
        "transfer,a,b,,,500,,,,,,,",
        "send,a,,g,p,300,1,,,,,,",
        "claim,a,a,g,p,300,,,,,,,",
    ];
    let mut csv = format!("{HEADER}\n");
    for (at, row) in (0..).zip(rows) {
        writeln!(csv, "e{at},{},{row}", START + at * MINUTE).unwrap();
    }
    let here = directory.path();
    fs::write(here.join("events.csv"), csv).unwrap();
    let rules = format!("--rules={}", workspace().join("rules").display());
    json(&hongxian(here, &["backtest", "events.csv", &rules, "--out=run", "--json"]));
    let profile = json(&hongxian(here, &["profile", "run", "a", "--json"]));
    assert_eq!(profile["paid"], serde_json::json!({ "count": 1, "fen": 500 }));
    assert_eq!(profile["received"], serde_json::json!({ "count": 0, "fen": 0 }));
    assert_eq!(profile["counterparties_all"], 1);
}

#[test]
fn a_lens_shows_what_the_rows_add_up_to_and_nobody() {
    let directory = decided();
    let labelled = "--group-types=labels";
    let lens = hongxian(directory.path(), &["lens", "run", labelled, "--json", "--out=lens.html"]);
    let text = String::from_utf8(lens.stdout.clone()).unwrap();
    let lens = json(&lens);
    let rows = rows(&world());
    assert_eq!(lens["group_types_from"], "labels");
    assert_eq!((&lens["events"], &lens["partial"]), (&rows.len().into(), &false.into()));
    for (kind, groups, document) in
        [("family", &["g-fam", "g-few"][..], "8.7"), ("business", &["g-biz"], "28.5")]
    {
        let sends: Vec<&Row> = rows
            .iter()
            .filter(|row| row["kind"] == "send" && groups.contains(&row["group_id"].as_str()))
            .collect();
        let sum: i64 = sends.iter().map(|row| fen(row)).sum();
        assert_eq!(cell(&lens, "groups", kind, "packets")["value"], sends.len() as f64);
        let mean = cell(&lens, "groups", kind, "mean");
        let expected = sum as f64 / 100.0 / sends.len() as f64;
        assert!((mean["value"].as_f64().unwrap() - expected).abs() < 0.0051, "{kind}: {mean}");
        assert_eq!(mean["document"], document);
        assert_eq!(cell(&lens, "groups", kind, "groups")["value"], groups.len() as f64);
    }
    // The run begins at 20:00 by the clock of Shanghai, when the family sends; the shop's group does
    // so eighteen hours later.
    assert_eq!(cell(&lens, "groups", "family", "busiest")["value"], 20.0);
    assert_eq!(cell(&lens, "groups", "business", "busiest")["value"], 14.0);
    assert_eq!(cell(&lens, "scenes", "family", "festival")["value"], 100.0);
    // Three accounts are on Alipay: hidden, and with them what would give them away.
    for platform in ["alipay", "wechat"] {
        let packets = cell(&lens, "platforms", platform, "packets");
        assert!(packets["value"].is_null() && packets["small"] == true, "{platform}: {packets}");
    }
    let page = fs::read_to_string(directory.path().join("lens.html")).unwrap();
    let guessed = json(&hongxian(directory.path(), &["lens", "run", "--json"]));
    assert_eq!(guessed["group_types_from"], "features", "they are asked first");
    let shown = hongxian(directory.path(), &["lens", "run", labelled]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for out in [&text, &page, &shown] {
        assert!(!out.contains("acct-"), "an account is named");
        assert!(!out.contains("secret-band"), "a band of one is named");
    }
    assert!(shown.contains("[c]") && shown.contains("(8.7)"), "{shown}");
    let wide =
        |line: &&str| line.chars().map(|c| 1 + usize::from(c >= '\u{2e80}')).sum::<usize>() > 100;
    assert_eq!(shown.lines().find(wide), None, "{shown}");
    assert!(page.contains("default-src 'none'") && !page.contains("{{"), "it stands on its own");
}

/// Every group of this world has as many sendings as claims, and the sendings come first.
#[test]
fn of_types_that_are_as_frequent_the_first_in_the_order_of_the_feature_is_the_groups() {
    let directory = decided();
    let here = directory.path();
    fs::create_dir(here.join("types")).unwrap();
    let feature = "[social.group.type_model]\ndoc = 'by kind'\n\
                   expr = \"kind == 'send' ? 'interest' : 'family'\"\n";
    fs::write(here.join("types/features.toml"), feature).unwrap();
    json(&hongxian(here, &["backtest", "events.csv", "--rules=types", "--out=ties", "--json"]));
    let lens = json(&hongxian(here, &["lens", "ties", "--json"]));
    assert_eq!(lens["group_types_from"], "model");
    assert_eq!(cell(&lens, "groups", "family", "groups")["value"], 3.0);
    let said = lens["group_types"]["en"].as_str().unwrap();
    assert!(said.contains("the first of gambling, family, interest, business"), "{said}");
}

/// A feature of the name gives the roles, whoever computes it.
#[test]
fn roles_of_accounts_are_what_most_of_their_transactions_say() {
    let directory = decided();
    let here = directory.path();
    fs::create_dir(here.join("roles")).unwrap();
    let feature = "[social.account.role]\ndoc = 'by amount'\n\
                   expr = \"amount_fen >= 3000 ? 'collector' : 'honest'\"\n";
    fs::write(here.join("roles/features.toml"), feature).unwrap();
    let labels = "--labels=labels.csv";
    let done =
        hongxian(here, &["backtest", "events.csv", labels, "--rules=roles", "--out=by-roles"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut counts: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for row in rows(&world()) {
        if ["send", "claim", "transfer"].contains(&row["kind"].as_str()) {
            counts.entry(row["account_id"].clone()).or_default()
                [usize::from(fen(&row) >= 3_000)] += 1;
        }
    }
    let collects = |counts: &&[u64; 2]| counts[1] >= 2;
    let collectors = counts.values().filter(collects).count();
    assert!(counts.len() >= 20, "enough that one of the two is shown");
    let lens = json(&hongxian(here, &["lens", "by-roles", "--json"]));
    for (role, count) in [("collector", collectors), ("honest", counts.len() - collectors)] {
        let shown = &cell(&lens, "roles", "all", role);
        match count < 10 {
            true => assert_eq!(shown["small"], true, "{role}: {count}"),
            false => assert_eq!(shown["value"], count as f64, "{role}"),
        }
    }
    let (account, [small, large]) = counts.iter().find(|(_, counts)| collects(counts)).unwrap();
    let profile = json(&hongxian(here, &["profile", "by-roles", account, "--json"]));
    assert_eq!(profile["role"], "collector");
    assert_eq!(profile["roles"]["collector"], *large);
    assert_eq!(profile["roles"]["honest"].as_u64().unwrap_or(0), *small);
    let none = json(&hongxian(here, &["profile", "run", account, "--json"]));
    assert!(none["role"].is_null(), "no feature tells any");
}

#[test]
fn a_profile_is_what_the_rows_of_the_account_add_up_to() {
    let directory = decided();
    let account = "acct-biz-00";
    let profile = json(&hongxian(directory.path(), &["profile", "run", account, "--json"]));
    let rows = rows(&world());
    let moved = |wanted: &dyn Fn(&Row) -> bool| {
        let found: Vec<&Row> = rows.iter().filter(|row| wanted(row)).collect();
        let sum: i64 = found.iter().map(|row| fen(row)).sum();
        serde_json::json!({ "count": found.len(), "fen": sum })
    };
    let is = |row: &Row, kind: &str, account_id: &str, other: &str| {
        row["kind"] == kind && row["account_id"] == account_id && row["counterparty_id"] == other
    };
    // The one who pays most: transfers to it, and what it claimed of that one's packets.
    let top = &profile["counterparties"][0];
    let id = top["id"].as_str().unwrap().to_owned();
    assert_eq!(id, "acct-biz-07", "who sends seven thousand fen a day");
    let received = |row: &Row| is(row, "transfer", &id, account) || is(row, "claim", account, &id);
    assert_eq!(top["received"], moved(&received));
    let paid = |row: &Row| is(row, "transfer", account, &id) || is(row, "claim", &id, account);
    assert_eq!(top["paid"], moved(&paid));
    let all_received = |row: &Row| {
        row["kind"] == "transfer" && row["counterparty_id"] == account
            || row["kind"] == "claim" && row["account_id"] == account
    };
    assert_eq!(profile["received"], moved(&all_received));
    let own = |row: &&Row| row["account_id"] == account;
    let own_sends = |row: &Row| own(&row) && row["kind"] == "send";
    assert_eq!(profile["kinds"]["send"], moved(&own_sends));
    let hours: u64 = profile["hours"].as_array().unwrap().iter().map(|h| h.as_u64().unwrap()).sum();
    assert_eq!(hours, rows.iter().filter(own).count() as u64);
    let decided: u64 =
        profile["decisions_by"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    let transactions =
        rows.iter().filter(own).filter(|row| ["send", "claim"].contains(&row["kind"].as_str()));
    assert_eq!(decided, transactions.count() as u64);
    for device in profile["devices"].as_array().unwrap() {
        let there: BTreeSet<&str> = rows
            .iter()
            .filter(|row| row["device_id"] == device["id"].as_str().unwrap())
            .map(|row| row["account_id"].as_str())
            .filter(|other| *other != account)
            .collect();
        assert_eq!(device["other_accounts"], there.len(), "{device}");
    }
    assert_eq!(profile["finding"]["typology"], "coded-settlement");
    assert_eq!(profile["attributes"]["age_band"], "18-25");
    assert_eq!(profile["groups"][0]["name"], "biz name");
    let moved = profile["features"].as_array().unwrap();
    assert!(!moved.is_empty(), "some features of it moved");
    // What was decided on the transfers to it, as the decisions of the run have it.
    let to_it = &profile["paid_to_it"];
    let transfers = rows
        .iter()
        .filter(|row| row["kind"] == "transfer" && row["counterparty_id"] == account)
        .count() as u64;
    let by = to_it["decisions_by"].as_object().unwrap();
    assert_eq!(by.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), transfers);
    let alerts = transfers - by.get("allow").map_or(0, |count| count.as_u64().unwrap());
    assert_eq!(to_it["alerts"], alerts);
    assert!(alerts > 0, "the shipped rules see the settlements: {to_it}");
    let latest = to_it["decisions"].as_array().unwrap();
    assert_eq!(latest.len() as u64, alerts.min(1_000));
    for one in latest {
        let payer = one["counterparty"].as_str().unwrap();
        let paid = |row: &Row| {
            row["event_id"] == one["event_id"].as_str().unwrap()
                && is(row, "transfer", payer, account)
        };
        assert!(rows.iter().any(paid), "{one}");
        assert_ne!(one["decision"], "allow");
    }
    assert!(moved.iter().any(|trend| trend["name"] == "funds.payee.fan_in_24h"), "{moved:?}");
    // Two days of it.
    let short = ["profile", "run", account, "--json", "--days=2"];
    let short = json(&hongxian(directory.path(), &short));
    let last: i64 = rows.iter().map(|row| row["event_time"].parse().unwrap()).max().unwrap();
    let late = |row: &Row| {
        all_received(row) && row["event_time"].parse::<i64>().unwrap() >= last - 2 * DAY
    };
    let count = rows.iter().filter(|row| late(row)).count();
    assert_eq!(short["received"]["count"], count);
    let shown = hongxian(directory.path(), &["profile", "run", account]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("found: fraud") && !shown.contains('\u{1b}'), "{shown}");
    assert!(shown.contains("decisions on money to it"), "{shown}");
    // In Chinese nothing but names, ids and what the rules say is English.
    let zh = hongxian(directory.path(), &["profile", "run", account, "--lang=zh"]);
    let zh = String::from_utf8(zh.stdout).unwrap();
    for word in ["yuan", "transfer", "review", "age_band", "verified", "true"] {
        let said = zh.split_whitespace().find(|said| *said == word);
        assert_eq!(said, None, "{word}: {zh}");
    }
    assert!(zh.contains("年龄段") && zh.contains("理由按回测时的语言保存"), "{zh}");
    let nobody = hongxian(directory.path(), &["profile", "run", ""]);
    let words = String::from_utf8(nobody.stderr).unwrap();
    assert!(nobody.status.code() == Some(2) && words.contains("empty"), "{words}");
}

#[test]
fn a_word_that_is_paid_for_is_found_with_what_was_paid() {
    let directory = decided();
    let run = ["text", "discover", "run", "--json"];
    let found = json(&hongxian(directory.path(), &run));
    let term = &found["terms"][0];
    assert!(term["term"].as_str().unwrap().contains(CODE), "{term}");
    let rows = rows(&world());
    let said: Vec<&Row> = rows.iter().filter(|row| row["text"].contains(CODE)).collect();
    assert_eq!(term["count"], said.len());
    let paid: i64 = rows.iter().filter(|row| row["kind"] == "transfer").map(fen).sum();
    assert_eq!(term["settled_fen"], paid, "every transfer of this world follows the word");
    assert_eq!(term["payee_ids"], serde_json::json!(["acct-biz-00"]));
    assert_eq!(term["group_ids"], serde_json::json!(["g-biz"]));
    assert_eq!(term["speakers"], 7);
    // Its line is one of a phrase file, and with it the word is new no more.
    let line = term["phrase_line"].as_str().unwrap();
    fs::write(directory.path().join("new.txt"), format!("{line}\n")).unwrap();
    let known = ["text", "discover", "run", "--json", "--phrases", "new.txt"];
    let known = json(&hongxian(directory.path(), &known));
    let again = known["terms"].as_array().unwrap().iter();
    assert!(again.clone().all(|one| !one["term"].as_str().unwrap().contains(CODE)), "{known}");
    let shown = hongxian(directory.path(), &["text", "discover", "run"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(CODE) && !shown.contains('\u{1b}'), "{shown}");
}

/// The rules of a run are named as they were given: from elsewhere they are missed, not done
/// without; and rules of today that are not those of then are told of.
#[test]
fn rules_that_are_gone_or_changed_are_not_passed_over() {
    let directory = decided();
    let here = directory.path();
    fs::create_dir_all(here.join("own/text/phrases")).unwrap();
    let phrases = here.join("own/text/phrases/known.txt");
    fs::write(&phrases, format!("{CODE} | category=settlement weight=10\n")).unwrap();
    let backtest = ["backtest", "events.csv", "--rules=own", "--out=again", "--json"];
    json(&hongxian(here, &backtest));
    let said = |arguments: &[&str]| {
        let done = hongxian(here, &[&["text", "discover", "again"], arguments].concat());
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    assert_eq!(said(&[]), (Some(0), String::new()), "they are what they were");
    fs::write(&phrases, "另外 | category=settlement weight=10\n").unwrap();
    let (code, words) = said(&[]);
    assert!(code == Some(0) && words.contains("not what it was"), "{code:?} {words}");
    fs::rename(here.join("own"), here.join("moved")).unwrap();
    let (code, words) = said(&[]);
    assert!(code == Some(2) && words.contains("--phrases"), "{code:?} {words}");
    let (code, words) = said(&["--phrases", "moved/text/phrases/known.txt"]);
    assert_eq!((code, words.as_str()), (Some(0), ""), "phrases that are given need no rules");
}

/// Ctrl-C at any moment ends a look at a run, with words of its own.
#[test]
fn whoever_looks_can_be_stopped_at_any_moment() {
    struct After(AtomicUsize, usize);
    impl Progress for After {
        fn stop(&self) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed) >= self.1
        }
    }
    let directory = decided();
    // Paths in run.toml are as seen from where the backtest was started.
    let path = directory.path().join("run/run.toml");
    let facts = fs::read_to_string(&path).unwrap();
    let whole = |name: &str| format!("\"{}\"", directory.path().join(name).display());
    let facts = facts
        .replace("\"events.csv\"", &whole("events.csv"))
        .replace("\"labels.csv\"", &whole("labels.csv"));
    fs::write(&path, facts).unwrap();
    let run = FinishedRun::open(&directory.path().join("run")).unwrap();
    let lexicon = Lexicon::load(&workspace().join("rules/text/phrases")).unwrap();
    type Look<'l> = (&'l str, Box<dyn Fn(&dyn Progress) -> Result<(), Failure> + 'l>);
    let looks: [Look<'_>; 3] = [
        ("lens", Box::new(|progress| lens::look(&run, None, progress).map(drop))),
        ("profile", Box::new(|p| profile::look(&run, "acct-biz-00", None, p).map(drop))),
        ("discover", Box::new(|p| discover::discover(&run.events(p)?, &lexicon, 5, p).map(drop))),
    ];
    for (name, look) in looks {
        let asked = After(AtomicUsize::new(0), usize::MAX);
        look(&asked).unwrap();
        let times = asked.0.load(Ordering::Relaxed);
        assert!(times >= 3, "{name}: it is asked while it reads and after, {times}");
        for after in 0..times {
            let failure = look(&After(AtomicUsize::new(0), after)).unwrap_err();
            assert_eq!(failure.exit_code(), 130, "{name}");
            let words = failure.render(Lang::En, false);
            assert!(words.contains("nothing is shown"), "{name}: {words}");
        }
    }
}

#[test]
fn what_is_not_this_run_is_refused() {
    let directory = decided();
    let said = |arguments: &[&str]| {
        let done = hongxian(directory.path(), arguments);
        (done.status.code().unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, words) = said(&["profile", "run", "acct-biz-0"]);
    assert!(code == 1 && words.contains("acct-biz-00"), "{code} {words}");
    let (code, words) = said(&["profile", "run", "nobody"]);
    assert!(code == 1 && !words.contains("nearest"), "nothing is near: {words}");
    let (code, words) = said(&["lens", "."]);
    assert!(code == 2 && words.contains("no finished run"), "{code} {words}");
    let path = directory.path().join("run/run.toml");
    let whole = fs::read_to_string(&path).unwrap();
    let old: Vec<&str> = whole
        .lines()
        .filter(|line| {
            !["time_zone", "dedup_window_ms", "labels_blake3"]
                .iter()
                .any(|key| line.starts_with(key))
        })
        .collect();
    fs::write(&path, old.join("\n")).unwrap();
    let (code, words) = said(&["lens", "run", "--json"]);
    assert!(code == 0 && words.contains("earlier version"), "{code} {words}");
    fs::write(&path, whole).unwrap();
    // An interrupted run is about the events that it came to; another has all of its input's.
    let path_metrics = directory.path().join("run/metrics.json");
    let metrics = fs::read_to_string(&path_metrics).unwrap();
    let mut fewer: Value = serde_json::from_str(&metrics).unwrap();
    let applied = fewer["counts"]["applied"].as_u64().unwrap() - 5;
    let reached = applied + fewer["counts"]["decided"].as_u64().unwrap();
    fewer["counts"]["applied"] = applied.into();
    fs::write(&path_metrics, fewer.to_string()).unwrap();
    let (code, words) = said(&["lens", "run"]);
    assert!(code == 2 && words.contains("backtest again"), "{code} {words}");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace("partial = false", "partial = true")).unwrap();
    let partial = json(&hongxian(directory.path(), &["lens", "run", "--json"]));
    assert_eq!((&partial["events"], &partial["partial"]), (&reached.into(), &true.into()));
    let shown = hongxian(directory.path(), &["lens", "run", "--out=lens.html"]);
    assert!(
        String::from_utf8(shown.stdout).unwrap().contains("\npartial: the run was interrupted")
    );
    let page = fs::read_to_string(directory.path().join("lens.html")).unwrap();
    assert!(page.contains("\"partial\":true"), "{page}");
    fs::write(&path, whole).unwrap();
    fs::write(&path_metrics, metrics).unwrap();
    fs::write(directory.path().join("labels.csv"), LABELS.replace("g-few", "g-new")).unwrap();
    let (code, words) = said(&["lens", "run"]);
    assert!(code == 2 && words.contains("labels.csv") && words.contains("changed"), "{words}");
    fs::write(directory.path().join("labels.csv"), LABELS).unwrap();
    let events = directory.path().join("events.csv");
    fs::write(&events, world().replace("acct-few-00", "acct-few-09")).unwrap();
    for command in [&["lens", "run"][..], &["profile", "run", "x"], &["text", "discover", "run"]] {
        let (code, words) = said(command);
        assert!(code == 2 && words.contains("events.csv") && words.contains("changed"), "{words}");
    }
    fs::remove_file(&events).unwrap();
    let (code, words) = said(&["lens", "run"]);
    assert!(code == 2 && words.contains("events.csv") && words.contains("not there"), "{words}");
}

/// A lens tells what it does not know: an empty run, and types of groups that nothing names; and an
/// event that leaves an attribute out takes none away.
#[test]
fn a_lens_does_not_take_what_it_cannot_know_for_nothing() {
    let directory = decided();
    let here = directory.path();
    fs::create_dir(here.join("plain")).unwrap();
    fs::write(here.join("plain/policy.toml"), "[features]\ncolumns = \"used\"\n").unwrap();
    let plain = |events: &str, out: &str| {
        let out = format!("--out={out}");
        json(&hongxian(here, &["backtest", events, "--rules=plain", &out, "--json"]));
    };
    plain("events.csv", "untold");
    let lens = json(&hongxian(here, &["lens", "untold", "--json"]));
    assert_eq!(lens["group_types_from"], "none");
    for (section, row, column) in [
        ("ties", "strong", "accounts"),
        ("money", "family", "accounts"),
        ("regions", "deltas", "family"),
    ] {
        let cell = cell(&lens, section, row, column);
        assert!(cell["value"].is_null() && cell["unknown"] == true, "{section} {row}: {cell}");
    }
    let shown = String::from_utf8(hongxian(here, &["lens", "untold"]).stdout).unwrap();
    assert!(shown.contains("no group is known to be of type family, interest"), "{shown}");
    // A source that was asked for by name is missed, and those that tell are named.
    for (run, source, told) in [
        ("run", "events", "these sources do: features, labels"),
        ("run", "model", "these sources do: features, labels"),
        ("untold", "features", "no other source does either"),
    ] {
        let missed = hongxian(here, &["lens", run, &format!("--group-types={source}"), "--json"]);
        let words = String::from_utf8(missed.stderr).unwrap();
        assert_eq!((missed.status.code(), missed.stdout.len()), (Some(2), 0), "{words}");
        assert!(words.contains(&format!("--group-types {source}")), "{words}");
        assert!(words.contains(told), "{words}");
    }

    // The same world, told once more of by events that have no age and no region.
    let mut again = world();
    for group in ["fam", "biz"] {
        writeln!(again, "x{group},{},group,,,g-{group},,,,,,,,,", START + 14 * DAY).unwrap();
        for at in 0..12 {
            let time = START + 14 * DAY;
            writeln!(again, "x{group}{at},{time},account,acct-{group}-{at:02},,,,,,,,,,,").unwrap();
        }
    }
    fs::write(here.join("again.csv"), again).unwrap();
    let rules = format!("--rules={}", workspace().join("rules").display());
    plain("again.csv", "again");
    let before = json(&hongxian(here, &["lens", "untold", "--json"]));
    let after = json(&hongxian(here, &["lens", "again", "--json"]));
    for (section, row) in [("ages", "18-25"), ("ages", "26-45"), ("regions", "deltas")] {
        let of = |lens: &Value| cell(lens, section, row, "accounts").clone();
        assert!(of(&before)["value"].as_f64().unwrap() >= 10.0, "{section} {row}");
        assert_eq!(of(&before), of(&after), "{section} {row}");
    }

    let run = |rows: &str| {
        fs::write(here.join("few.csv"), format!("{HEADER}\n{rows}")).unwrap();
        hongxian(here, &["backtest", "few.csv", &rules, "--out=few", "--json"])
    };
    let empty = run("");
    let said = String::from_utf8(empty.stderr).unwrap();
    assert_eq!(empty.status.code(), Some(2), "{said}");
    assert!(said.contains("few.csv: the file is empty") && !said.contains("warning"), "{said}");
    json(&run("e1,1,nonsense,a,,,,,,,,,,,\n"));
    assert_eq!(json(&hongxian(here, &["lens", "few", "--json"]))["days"], 0);
    let shown = String::from_utf8(hongxian(here, &["lens", "few"]).stdout).unwrap();
    assert!(shown.contains("no events; 1 record was") && shown.lines().count() == 1, "{shown}");
}

/// Foreign data through a mapping file, whose change is one of the run's input.
#[test]
fn a_mapped_run_is_read_again_through_its_mapping() {
    let directory = tempfile::tempdir().unwrap();
    let payments = "id,when,from,to,yuan\n\
                    p1,2024-03-01 10:00:00,ada,bo,12.50\n\
                    p2,2024-03-01 11:00:00,ada,bo,0.01\n\
                    p3,2024-03-02 10:00:00,bo,ada,3.00\n";
    let mapping = "[fields]\nevent_id = \"id\"\n\
                   event_time = { column = \"when\", format = \"%Y-%m-%d %H:%M:%S\", zone = \"UTC\" }\n\
                   kind = { constant = \"transfer\" }\naccount_id = \"from\"\n\
                   counterparty_id = \"to\"\namount_fen = { column = \"yuan\", unit = \"yuan\" }\n";
    fs::write(directory.path().join("payments.csv"), payments).unwrap();
    fs::write(directory.path().join("map.toml"), mapping).unwrap();
    let rules = format!("--rules={}", workspace().join("rules").display());
    let backtest = ["backtest", "payments.csv", "--map=map.toml", &rules, "--out=run", "--json"];
    json(&hongxian(directory.path(), &backtest));
    let profile = json(&hongxian(directory.path(), &["profile", "run", "ada", "--json"]));
    assert_eq!(profile["paid"], serde_json::json!({ "count": 2, "fen": 1_251 }));
    assert_eq!(profile["received"], serde_json::json!({ "count": 1, "fen": 300 }));
    let lens = json(&hongxian(directory.path(), &["lens", "run", "--json"]));
    assert_eq!(lens["group_types_from"], "none", "there are no groups in it");
    let said = lens["group_types"]["en"].as_str().unwrap();
    assert!(said.contains("social.group.type where packets are sent in groups"), "{said}");
    fs::write(directory.path().join("map.toml"), mapping.replace("\"yuan\" }", "\"fen\" }"))
        .unwrap();
    let done = hongxian(directory.path(), &["profile", "run", "ada"]);
    let words = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.code() == Some(2) && words.contains("map.toml"), "{words}");
}

/// A log has late events, and they come in the order in which they were decided on.
#[test]
fn a_run_of_an_input_log_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("log/partitions")).unwrap();
    let header = "version = 1\npartitions = 1\nallowed_lateness = \"1m\"\n";
    fs::write(directory.path().join("log/log.toml"), header).unwrap();
    let mut lines = String::new();
    for (offset, minute) in [0, 10, 2, 11].into_iter().enumerate() {
        let time = START + minute * MINUTE;
        writeln!(
            lines,
            "{{\"offset\":{offset},\"append_time\":{},\"value\":{{\"event_id\":\"e{offset}\",\
             \"event_time\":{time},\"kind\":\"transfer\",\"account_id\":\"ada\",\
             \"counterparty_id\":\"bo\",\"amount_fen\":100}}}}",
            START + 60 * MINUTE
        )
        .unwrap();
    }
    fs::write(directory.path().join("log/partitions/0.jsonl"), &lines).unwrap();
    let rules = format!("--rules={}", workspace().join("rules").display());
    let backtest = ["backtest", "--input-log=log", &rules, "--out=run", "--json"];
    json(&hongxian(directory.path(), &backtest));
    let profile = json(&hongxian(directory.path(), &["profile", "run", "bo", "--json"]));
    assert_eq!(profile["received"], serde_json::json!({ "count": 4, "fen": 400 }));
    fs::write(directory.path().join("log/partitions/0.jsonl"), lines.replace("100}", "200}"))
        .unwrap();
    let done = hongxian(directory.path(), &["profile", "run", "bo"]);
    let words = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.code() == Some(2) && words.contains("0.jsonl"), "{words}");
}
