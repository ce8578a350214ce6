//! `explain --witness`: held to backtests of exactly the events that it names, which know nothing of
//! how they were found, and to witnesses that were worked out by hand.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use hongxian::diagnostic::Lang;
use hongxian::explain::{self, Found};
use hongxian::finished::{Decided, FinishedRun};
use hongxian::run::{self, Events, ModelPaths, Request};
use serde_json::{Value, json};

use super::support::{options, workspace};

fn hongxian(directory: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_hongxian");
    let lang = if arguments.contains(&"--lang=zh") { None } else { Some("--lang=en") };
    Command::new(program).current_dir(directory).args(arguments).args(lang).output().unwrap()
}

fn text(done: &Output) -> String {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout.clone()).unwrap()
}

fn backtest(directory: &Path, input: &[&str], out: &str) {
    let mut line = vec!["backtest"];
    line.extend(input);
    line.extend(["--rules=rules", "--out", out]);
    text(&hongxian(directory, &line));
}

/// The rules that hit on `id` where `lines` are all that there is.
fn hits(lines: &[&str], rules: &Path, out: &Path, id: &str) -> BTreeSet<String> {
    let events = out.join("chosen.csv");
    fs::write(&events, lines.join("\n") + "\n").unwrap();
    let request = Request {
        events: Events::Files { paths: vec![events], maps: Vec::new() },
        pseudonyms: None,
        labels: None,
        rules: Some(rules.to_owned()),
        models: ModelPaths::default(),
        out: out.join("chosen"),
        options: options(1, 1_000, 1 << 20),
        warmup: 0,
        rejects_max: Some(0),
        sort_memory: hongxian::run::SORT_MEMORY,
        place: None,
    };
    let done = run::run(&request, &(), Default::default());
    done.map(drop).unwrap_or_else(|failure| panic!("{}", failure.render(Lang::En, false)));
    let run = FinishedRun::open(&request.out).ok().unwrap();
    let record = run.record(id).ok().unwrap().expect("a decision");
    record.reasons.into_iter().map(|reason| reason.rule).chain(record.shadow_hits).collect()
}

/// Of each of these stories the last transaction on which each of its first rules hit: the rule hits
/// after the events of its witness alone, and not without any one of them.
#[test]
fn witnesses_in_the_stories_suffice_and_none_of_their_events_can_go() {
    /// Rules of a story that are looked at, and events of a witness of which each is left out.
    const RULES: usize = 3;
    const LEFT_OUT: usize = 8;
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let rules = workspace().join("rules");
    let (mut minimal, mut with_events, mut of_rules) = (0, 0, BTreeSet::new());
    for story in [
        "many-groups-one-collector",
        "pass-through-mule",
        "coded-settlement",
        "brushing-rebates",
        "device-farm",
        "gambling-mine-group",
    ] {
        let events = workspace().join("fixtures/stories").join(story).join("events.csv");
        let csv = fs::read_to_string(&events).unwrap();
        let out = place.join(story);
        let line = ["backtest", events.to_str().unwrap(), "--rules", rules.to_str().unwrap()];
        text(&hongxian(place, &[&line[..], &["--out", out.to_str().unwrap()]].concat()));
        let run = FinishedRun::open(&out).ok().unwrap();
        let mut last: Vec<(String, String)> = Vec::new();
        let each = &mut |one: Decided| {
            for rule in one.reasons.into_iter().map(|reason| reason.rule) {
                match last.iter_mut().find(|(held, _)| *held == rule) {
                    Some((_, id)) => id.clone_from(&one.event_id),
                    None => last.push((rule, one.event_id.clone())),
                }
            }
        };
        run.decisions(&|_, _| true, each).ok().unwrap();
        assert!(!last.is_empty(), "{story}");
        for (rule, id) in last.iter().take(RULES) {
            let told = explain::explain(&run, id, (None, true), Lang::En, &());
            let told = told.unwrap_or_else(|failure| panic!("{}", failure.render(Lang::En, false)));
            let witnesses = told.witnesses.unwrap_or_else(|| panic!("{:?}", told.notes));
            let named: Vec<&str> = witnesses.iter().map(|one| one.rule.as_str()).collect();
            let reasons: Vec<&str> = told.reasons.iter().map(|one| one.rule.as_str()).collect();
            let in_shadow = told.shadow.iter().map(|one| one.rule.as_str());
            assert_eq!(named, reasons.into_iter().chain(in_shadow).collect::<Vec<_>>());
            let witness = witnesses.iter().find(|one| one.rule == *rule).unwrap();
            let what = format!("{story} {id} {rule}");
            assert_ne!(witness.found, Found::None, "{what}");
            let ids: Vec<&str> = witness.events.iter().map(|one| one.event_id.as_str()).collect();
            let chosen = |without: Option<&str>| -> Vec<&str> {
                let wanted = |line: &&str| {
                    let own = line.split(',').next().unwrap();
                    let kept = ids.contains(&own) && Some(own) != without;
                    own == "event_id" || own == id || kept
                };
                csv.lines().filter(wanted).collect()
            };
            let whole = chosen(None);
            assert_eq!(whole.len(), ids.len() + 2, "{what}: each is an event of the story");
            assert!(hits(&whole, &rules, place, id).contains(rule), "{what}: {ids:?}");
            if witness.found == Found::Minimal {
                minimal += 1;
                // Of long ones as many from each end.
                let (first, last) = (ids.iter().take(LEFT_OUT / 2), ids.iter().rev());
                let left_out: BTreeSet<&&str> = first.chain(last.take(LEFT_OUT / 2)).collect();
                for without in left_out {
                    let hits = hits(&chosen(Some(without)), &rules, place, id);
                    assert!(!hits.contains(rule), "{what}: {ids:?} without {without}");
                }
            }
            with_events += usize::from(!ids.is_empty());
            of_rules.insert(rule.clone());
        }
    }
    let rules = of_rules.len();
    assert!(minimal >= 12 && with_events >= 10 && rules >= 10, "{minimal} {with_events} {rules}");
}

const HEADER: &str = "event_id,event_time,kind,account_id,counterparty_id,group_id,amount_fen,\
                      device_id,text\n";

/// Money to `cam` in ten minutes, and what has nothing to do with it; `pay` is 105.00 in all.
const PAYMENTS: &str = "\
g1,2024-02-09T20:00:00+08:00,group,,,grp,,,夜宵群
m1,2024-02-09T20:00:30+08:00,message,dan,,grp,,,来了
x1,2024-02-09T20:00:40+08:00,transfer,eve,fay,other,9900,d9,
p1,2024-02-09T20:01:00+08:00,transfer,ada,cam,grp,2000,d1,
p2,2024-02-09T20:02:00+08:00,transfer,bob,cam,grp,3000,d2,\"\u{1b}[31m \"\"谢\"\"\"
p3,2024-02-09T20:03:00+08:00,transfer,ada,cam,grp,500,d1,
p4,2024-02-09T20:04:00+08:00,transfer,ada,cam,grp,4000,d1,
pay,2024-02-09T20:05:00+08:00,transfer,bob,cam,grp,1000,d2,
after,2024-02-09T20:06:00+08:00,transfer,bob,cam,grp,100,d2,
";

const RULES: [(&str, &str); 4] = [
    (
        "features.toml",
        "[funds.got_10m]\nover = [\"transfer\"]\nkey = [\"counterparty_id\"]\nagg = \"sum\"\n\
         window = \"10m\"\nunit = \"fen\"\n",
    ),
    ("funds/collects.toml", "when = \"funds.got_10m >= yuan(60)\"\nscore = 300\n"),
    ("funds/at-all.toml", "when = \"amount_fen >= 1\"\nscore = 100\n"),
    ("devices/linked.toml", "when = \"devices.cluster_accounts >= 3\"\nscore = 200\n"),
];

fn scene(events: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("events.csv"), format!("{HEADER}{events}")).unwrap();
    for (file, body) in RULES {
        let path = directory.path().join("rules").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let head = match file {
            "features.toml" => "",
            _ => "title = \"t\"\nstatus = \"live\"\non = [\"transfer\"]\nreason = \"r\"\n",
        };
        fs::write(path, format!("{head}{body}")).unwrap();
    }
    directory
}

/// The witnesses of an event in a run: rule, what was found, reach, events.
fn witnesses(place: &Path, run: &str, id: &str) -> Vec<Value> {
    let told = text(&hongxian(place, &["explain", run, id, "--witness", "--json"]));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(told["notes"].as_array().unwrap().is_empty(), "{told}");
    let of = |one: &Value| {
        let ids = one["events"].as_array().unwrap().iter();
        let ids: Vec<&Value> = ids.map(|event| &event["event_id"]).collect();
        json!([one["rule"], one["found"], one["reach"], ids])
    };
    told["witnesses"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn a_witness_is_what_is_worked_out_by_hand() {
    let directory = scene(PAYMENTS);
    let place = directory.path();
    backtest(place, &["events.csv"], "run");
    // Of what reaches 60.00 with 10.00: without the older half 30.00, 5.00 and 40.00 are left, of
    // which 5.00 can go. An amount needs nothing before it.
    let expected = [
        json!(["collects", "minimal", "own", ["p2", "p4"]]),
        json!(["at-all", "minimal", "own", []]),
    ];
    assert_eq!(witnesses(place, "run", "pay"), expected);
    // Nobody asked: nothing is said of it.
    let told = text(&hongxian(place, &["explain", "run", "pay", "--json"]));
    assert!(!told.contains("witness"), "{told}");

    let shown = text(&hongxian(place, &["explain", "run", "pay", "--witness"]));
    assert!(!shown.contains('\u{1b}'), "no control gets to the terminal");
    for said in ["after these 2 events alone", "p2", "no earlier event is needed", "[[test]]"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    assert!(!shown.contains("p3"), "{shown}");
    let shown = text(&hongxian(place, &["explain", "run", "pay", "--witness", "--lang=zh"]));
    assert!(shown.contains("仅有以下 2 个事件即命中"), "{shown}");
}

#[test]
fn a_witness_is_a_test_that_passes() {
    let directory = scene(PAYMENTS);
    let place = directory.path();
    backtest(place, &["events.csv"], "run");
    let told = text(&hongxian(place, &["explain", "run", "pay", "--witness", "--json"]));
    let told: Value = serde_json::from_str(&told).unwrap();
    for witness in told["witnesses"].as_array().unwrap() {
        let (rule, test) = (witness["rule"].as_str().unwrap(), witness["test"].as_str().unwrap());
        let file = place.join(format!("rules/funds/{rule}.toml"));
        let own = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{own}\n{test}")).unwrap();
    }
    let tested = text(&hongxian(place, &["rules", "test", "--rules=rules"]));
    assert!(tested.contains("2 tests: 2 passed"), "{tested}");
}

/// What links accounts need not share a key with the transaction.
#[test]
fn events_that_are_hops_away_are_found() {
    let login = |id: &str, minute: u32, account: &str, device: &str| {
        format!("{id},2024-02-09T20:{minute:02}:00+08:00,login,{account},,,,{device},\n")
    };
    let pay = "pay,2024-02-09T20:30:00+08:00,transfer,ada,zoe,,100,,\n";
    // Three on one device.
    let near = [
        login("a1", 1, "ada", "d1"),
        login("b1", 2, "bob", "d1"),
        login("c1", 3, "cam", "d1"),
        login("x1", 4, "eve", "d7"),
        pay.to_owned(),
    ];
    // The third over a second device.
    let far = [
        login("a1", 1, "ada", "d1"),
        login("b1", 2, "bob", "d1"),
        login("b2", 3, "bob", "d2"),
        login("c2", 4, "cam", "d2"),
        login("x1", 5, "eve", "d7"),
        pay.to_owned(),
    ];
    for (events, reach, ids) in [
        (near.concat(), "two_hops", vec!["a1", "b1", "c1"]),
        (far.concat(), "all", vec!["a1", "b1", "b2", "c2"]),
    ] {
        let directory = scene(&events);
        backtest(directory.path(), &["events.csv"], "run");
        let expected =
            [json!(["linked", "minimal", reach, ids]), json!(["at-all", "minimal", "own", []])];
        assert_eq!(witnesses(directory.path(), "run", "pay"), expected);
    }
}

#[test]
fn a_log_has_the_witnesses_of_its_files_and_several_files_those_of_one() {
    let directory = scene(PAYMENTS);
    let place = directory.path();
    backtest(place, &["events.csv"], "run");
    let wanted = witnesses(place, "run", "pay");
    let lines: Vec<&str> = PAYMENTS.lines().collect();
    for (file, half) in [("one.csv", &lines[..4]), ("two.csv", &lines[4..])] {
        fs::write(place.join(file), format!("{HEADER}{}\n", half.join("\n"))).unwrap();
    }
    backtest(place, &["two.csv", "one.csv"], "run2");
    assert_eq!(witnesses(place, "run2", "pay"), wanted);

    fs::create_dir_all(place.join("log/partitions")).unwrap();
    fs::write(place.join("log/log.toml"), "version = 1\npartitions = 1\n").unwrap();
    let names: Vec<&str> = HEADER.trim_end().split(',').collect();
    let record = |(offset, line): (usize, &&str)| {
        let cells = names
            .iter()
            .zip(line.split(','))
            .filter(|(name, cell)| !cell.is_empty() && **name != "text");
        let cell = |(name, cell): (&&str, &str)| match *name {
            "amount_fen" => ((*name).to_owned(), json!(cell.parse::<i64>().unwrap())),
            name => (name.to_owned(), json!(cell)),
        };
        let value: serde_json::Map<String, Value> = cells.map(cell).collect();
        let append_time = 1_707_480_000_000_i64 + offset as i64 * 60_000;
        let record = json!({"offset": offset, "append_time": append_time, "value": value});
        format!("{record}\n")
    };
    let records: String = lines.iter().enumerate().map(record).collect();
    fs::write(place.join("log/partitions/0.jsonl"), records).unwrap();
    backtest(place, &["--input-log=log"], "run3");
    assert_eq!(witnesses(place, "run3", "pay"), wanted);
}

#[test]
fn no_witness_is_made_up_where_rules_or_inputs_are_others() {
    let directory = scene(PAYMENTS);
    let place = directory.path();
    backtest(place, &["events.csv"], "run");
    let told = |more: &[&str]| -> Value {
        let line = [&["explain", "run", "pay", "--witness", "--json"], more].concat();
        serde_json::from_str(&text(&hongxian(place, &line))).unwrap()
    };
    let refused = |told: &Value| {
        assert!(told["witnesses"].is_null(), "{told}");
        let notes = told["notes"].to_string();
        assert!(notes.contains("no witness can be looked for"), "{notes}");
    };
    // Moved, they are still those that decided.
    fs::rename(place.join("rules"), place.join("elsewhere")).unwrap();
    refused(&told(&[]));
    let moved = told(&["--rules=elsewhere"]);
    assert_eq!(moved["witnesses"][0]["events"].as_array().unwrap().len(), 2, "{moved}");
    let rule = place.join("elsewhere/funds/collects.toml");
    fs::write(&rule, fs::read_to_string(&rule).unwrap().replace("yuan(60)", "yuan(61)")).unwrap();
    refused(&told(&["--rules=elsewhere"]));
    let events = place.join("events.csv");
    fs::write(&events, fs::read_to_string(&events).unwrap().replace("9900", "9901")).unwrap();
    let done = hongxian(place, &["explain", "run", "pay", "--witness"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("has changed"));
}
