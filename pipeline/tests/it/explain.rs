//! `explain` and `why-not`, by the program, against what was worked out by hand from a few events, and
//! against the decisions of the stories.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use hongxian::diagnostic::Lang;
use hongxian::explain::{self, Told, Truth};
use hongxian::finished::FinishedRun;
use serde_json::Value;

use super::support::workspace;

const HEADER: &str = "event_id,event_time,kind,account_id,counterparty_id,group_id,amount_fen,\
                      device_id,platform,text\n";

/// Payments to `cam` in the group "🧧扫雷群": 20.00 and 30.00 within ten minutes and, after ten
/// minutes and a second, 5.00; and what somebody says.
const EVENTS: &str = "\
g1,2024-02-09T20:00:00+08:00,group,,,grp,,,,🧧扫雷群
m1,2024-02-09T20:00:30+08:00,message,ada,,grp,,,,来了
pay-001,2024-02-09T20:01:00+08:00,transfer,ada,cam,grp,2000,d1,wechat,
pay-002,2024-02-09T20:02:00+08:00,transfer,bob,cam,grp,3000,d2,alipay,\"\u{1b}[31m<b>🧧扫 雷群</b>\"
pay-003,2024-02-09T20:11:01+08:00,transfer,ada,cam,grp,500,,wechat,谢谢
pay-004,2024-02-09T20:12:00+08:00,send,cam,,grp,900,d3,wechat,100-6
";

const RULES: [(&str, &str); 8] = [
    (
        "features.toml",
        "[funds.got_10m]\nover = [\"transfer\"]\nkey = [\"counterparty_id\"]\nagg = \"sum\"\n\
         window = \"10m\"\nunit = \"fen\"\ndoc = \"fen paid to the payee in 10 minutes\"\n",
    ),
    (
        "funds/collects.toml",
        "title = \"Collects\"\ntitle_zh = \"归集\"\nstatus = \"live\"\non = [\"transfer\"]\n\
         when = \"funds.got_10m >= min_in && in_list('watched', payee_id) \
         && (hour(event_time) < 6 || text.gambling >= 1)\"\nscore = 300\nfloor = \"hold\"\n\
         reason = \"{funds.got_10m} collected\"\nfalsepositives = [\"a dinner\"]\n\
         [params]\nmin_in = \"100 yuan\"\n[params.by.\"platform\"]\nalipay = { min_in = \"50 yuan\" }\n",
    ),
    (
        "funds/large.toml",
        "title = \"Large\"\nstatus = \"live\"\non = [\"transfer\"]\n\
         when = \"amount_fen + 0 >= yuan(30.01)\"\nscore = 100\nreason = \"large\"\n",
    ),
    (
        "devices/watched-device.toml",
        "title = \"Device\"\nstatus = \"live\"\non = [\"transfer\"]\nwhen = \"device_id == 'd9'\"\n\
         score = 100\nreason = \"device\"\n",
    ),
    (
        "behaviour/any-payment.toml",
        "title = \"Any\"\nstatus = \"shadow\"\non = [\"transfer\"]\nwhen = \"amount_fen > 0\"\n\
         score = 100\nreason = \"any\"\n",
    ),
    (
        "behaviour/half-written.toml",
        "title = \"Half\"\nstatus = \"draft\"\non = [\"send\"]\n\
         when = \"!(amount_fen > yuan(1) && shares > 3)\"\nscore = 100\nreason = \"half\"\n",
    ),
    (
        "lists/watched.csv",
        "value,valid_from,valid_until,added_by,reason\ncam,2024-02-01,,li,\"seen\u{1b}[2J twice\"\n\
         bob,,2024-02-01,li,long ago\n",
    ),
    ("text/phrases/own.txt", "[gambling]\n扫雷群\n"),
];

fn hongxian(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
    command.current_dir(directory).args(arguments);
    if !arguments.contains(&"--lang=zh") {
        command.arg("--lang=en");
    }
    command.output().unwrap()
}

/// A directory with the events decided by one worker (`run`) and by three (`run3`).
fn decided() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    fs::write(place.join("events.csv"), format!("{HEADER}{EVENTS}")).unwrap();
    for (file, text) in RULES {
        let path = place.join("rules").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    for (out, workers) in [("--out=run", "1"), ("--out=run3", "3")] {
        let line = ["backtest", "events.csv", "--rules=rules", out, "--workers", workers];
        let done = hongxian(place, &line);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    directory
}

fn json(done: &Output) -> Value {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn text(done: &Output) -> String {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout.clone()).unwrap()
}

#[test]
fn an_explanation_is_what_is_worked_out_by_hand() {
    let directory = decided();
    let told = json(&hongxian(directory.path(), &["explain", "run", "pay-002", "--json"]));
    let event = &told["event"];
    assert_eq!((&event["payer"], &event["payee"]), (&"bob".into(), &"cam".into()));
    assert_eq!(event["time"], "2024-02-09T20:02:00+08:00");
    assert_eq!((&event["amount_fen"], &event["group_name"]), (&3000.into(), &"🧧扫雷群".into()));
    assert_eq!(event["fields"]["device_id"], "d2");
    // 300 is a review, and the rule's floor makes it a hold.
    let decision = &told["decision"];
    assert_eq!((&decision["decision"], &decision["band"]), (&"hold".into(), &"review".into()));
    assert_eq!((&decision["score"], &decision["because_of"][0]), (&300.into(), &"collects".into()));
    assert_eq!(decision["same_rules"], true);
    let reason = &told["reasons"][0];
    assert_eq!(
        (&reason["rule"], &reason["text"]),
        (&"collects".into(), &"50.00 yuan collected".into())
    );
    let clauses = reason["condition"]["parts"].as_array().unwrap();
    assert_eq!(clauses.len(), 3);
    assert!(clauses.iter().all(|clause| clause["truth"] == "met"), "{clauses:?}");
    // 20.00 and 30.00 in ten minutes, and the parameter for Alipay.
    let operand = |clause: &Value, name: &str| -> Value {
        let operands = clause["operands"].as_array().unwrap().iter();
        operands.clone().find(|one| one["name"] == name).unwrap_or(&Value::Null).clone()
    };
    let (got, limit) = (operand(&clauses[0], "funds.got_10m"), operand(&clauses[0], "min_in"));
    assert_eq!((&got["value"], &got["shown"]), (&5000.into(), &"50.00 yuan".into()));
    assert_eq!(got["meaning"], "fen paid to the payee in 10 minutes");
    assert_eq!((&limit["value"], &limit["by"]), (&5000.into(), &"platform = alipay".into()));
    // Of the two ways one is enough; it is eight in the evening.
    let ways = clauses[2]["parts"].as_array().unwrap();
    assert_eq!((&ways[0]["truth"], &ways[1]["truth"]), (&"unmet".into(), &"met".into()));
    assert_eq!(operand(&ways[0], "hour(event_time)")["value"], 20);
    assert_eq!(told["shadow"][0]["rule"], "any-payment");
    // One fen below 30.01 yuan is nearer than a device that is another.
    let near: Vec<&str> = told["nearest"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["rule"].as_str().unwrap())
        .collect();
    assert_eq!((near, &told["missed"]), (vec!["large", "watched-device"], &2.into()));
    assert_eq!(told["nearest"][0]["short_by"], "0.01 yuan");
    assert_eq!(told["not_evaluable"].as_array().unwrap().len(), 0);
    let lists = told["lists"].as_array().unwrap();
    let of: Vec<(&str, bool)> = lists
        .iter()
        .map(|one| (one["value"].as_str().unwrap(), one["in_force"].as_bool().unwrap()))
        .collect();
    assert_eq!(of, [("cam", true), ("bob", false)]);
    assert_eq!(lists[0]["fields"].as_array().unwrap()[0], "payee_id");
    let before: Vec<&Value> = told["before"].as_array().unwrap().iter().collect();
    assert!(before.is_empty(), "neither paid before: {before:?}");
    assert_eq!(told["notes"].as_array().unwrap().len(), 0, "{told}");
}

#[test]
fn phrases_are_marked_where_they_stand_and_nothing_gets_out_of_its_line() {
    let directory = decided();
    let told = json(&hongxian(directory.path(), &["explain", "run", "pay-002", "--json"]));
    // ESC [ 3 1 m < b > 🧧 are nine characters; the phrase has a space inside.
    let mark = &told["texts"][0]["marks"][0];
    assert_eq!((&mark["start"], &mark["end"]), (&9.into(), &13.into()), "{told}");
    assert_eq!((&mark["phrase"], &mark["grade"]), (&"扫雷群".into(), &"skipped".into()));
    let name = &told["texts"][1];
    assert_eq!((&name["of"], &name["marks"][0]["start"]), (&"group.text".into(), &1.into()));
    let shown = text(&hongxian(directory.path(), &["explain", "run", "pay-002"]));
    assert!(shown.contains("<b>🧧⟦扫 雷群⟧</b>"), "{shown}");
    assert!(shown.contains("group name  🧧⟦扫雷群⟧"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no control gets to the terminal");
    let memo = json(&hongxian(directory.path(), &["explain", "run", "pay-004", "--json"]));
    assert_eq!(
        (&memo["texts"][0]["bet_memo"], &memo["texts"][0]["bet_digit"]),
        (&true.into(), &6.into())
    );
    assert_eq!(memo["reasons"].as_array().unwrap().len(), 0);
    let shown = text(&hongxian(directory.path(), &["explain", "run", "pay-004", "--lang=zh"]));
    assert!(shown.contains("⟦100-6⟧") && shown.contains("没有规则命中"), "{shown}");
}

#[test]
fn what_is_lacking_is_told_clause_by_clause() {
    let directory = decided();
    let ask = |event: &str, rule: &str| {
        let rule = format!("--rule={rule}");
        json(&hongxian(directory.path(), &["why-not", "run", event, &rule, "--json"]))
    };
    // 30.00 and 5.00 in ten minutes, for 20.00 is a second too old: 65.00 yuan below 100.00.
    let told = ask("pay-003", "collects");
    assert_eq!(told["outcome"], "miss");
    let clauses = &told["rule"]["condition"]["parts"];
    assert_eq!(
        (&clauses[0]["truth"], &clauses[0]["short_by"]),
        (&"unmet".into(), &"65.00 yuan".into())
    );
    assert_eq!(clauses[1]["truth"], "met");
    assert_eq!(clauses[2]["short_by"], "1", "a phrase is nearer than fifteen hours");
    // Of the amount 65 of 100 are lacking, and 14 of the 20 hours.
    let lacking = told["rule"]["lacking"].as_f64().unwrap();
    assert!((lacking - 1.35).abs() < 1e-9, "{lacking}");
    assert!(told["rule"]["short_by"].is_null(), "more than one number");
    let told = ask("pay-003", "watched-device");
    assert_eq!(
        (&told["outcome"], &told["rule"]["missing"][0]),
        (&"not_evaluable".into(), &"device_id".into())
    );
    assert_eq!(ask("pay-002", "collects")["outcome"], "hit");
    assert_eq!(ask("pay-004", "collects")["outcome"], "other_kind");
    let told = ask("pay-004", "half-written");
    assert_eq!((&told["outcome"], &told["runs"]), (&"not_evaluable".into(), &false.into()));
    let unknown = hongxian(directory.path(), &["why-not", "run", "pay-002", "--rule=colects"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("`collects`"));
    let explained = json(&hongxian(directory.path(), &["explain", "run", "pay-003", "--json"]));
    assert_eq!(explained["not_evaluable"][0]["rule"], "watched-device");
    let before = &explained["before"];
    assert_eq!((&before[0]["event_id"], &before[0]["role"]), (&"pay-001".into(), &"acts".into()));
    assert_eq!(before.as_array().unwrap().len(), 1, "cam paid nothing before");
}

#[test]
fn runs_by_several_workers_are_explained_alike() {
    let directory = decided();
    for event in ["pay-001", "pay-002", "pay-003", "pay-004"] {
        let [one, three] = ["run", "run3"]
            .map(|run| json(&hongxian(directory.path(), &["explain", run, event, "--json"])));
        assert_eq!(one, three, "{event}");
    }
}

#[test]
fn an_id_that_is_not_there_is_answered_with_those_that_are() {
    let directory = decided();
    let said = |id: &str| {
        let done = hongxian(directory.path(), &["explain", "run", id]);
        assert_eq!(done.status.code(), Some(2), "{id}");
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    assert!(said("pay-02").contains("nearest ids: pay-002"), "{}", said("pay-02"));
    assert!(said("m1").contains("is a message"), "{}", said("m1"));
    assert!(!said("something-else").contains("nearest"));
}

#[test]
fn an_id_that_was_used_again_is_explained_by_its_first_event() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    // A message has the id before, and another transfer after, each past the window of repeats.
    let events = "\
again,2024-02-09T20:00:00+08:00,message,ada,,grp,,,,来了
again,2024-02-09T20:02:00+08:00,transfer,ada,cam,grp,2000,d1,wechat,
other,2024-02-09T20:03:00+08:00,transfer,ada,cam,grp,700,d1,wechat,
again,2024-02-09T20:04:00+08:00,transfer,bob,cam,grp,900,d2,wechat,
";
    fs::write(place.join("events.csv"), format!("{HEADER}{events}")).unwrap();
    fs::create_dir(place.join("rules")).unwrap();
    fs::write(place.join("rules/policy.toml"), "dedup_window = \"1m\"\n").unwrap();
    let done = hongxian(place, &["backtest", "events.csv", "--rules=rules", "--out=run"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told = json(&hongxian(place, &["explain", "run", "again", "--json"]));
    assert_eq!(
        (&told["event"]["payer"], &told["event"]["amount_fen"]),
        (&"ada".into(), &2000.into())
    );
    let notes = told["notes"].to_string();
    assert!(notes.contains("1 later decision"), "{notes}");
    let told = json(&hongxian(place, &["explain", "run", "other", "--json"]));
    assert_eq!(
        (&told["event"]["amount_fen"], &told["notes"]),
        (&700.into(), &Value::Array(vec![]))
    );
}

#[test]
fn rules_that_are_others_or_gone_are_not_passed_over() {
    let directory = decided();
    let place = directory.path();
    let rule = place.join("rules/funds/collects.toml");
    let changed = fs::read_to_string(&rule).unwrap().replace("\"50 yuan\"", "\"50.01 yuan\"");
    fs::write(&rule, changed).unwrap();
    let told = json(&hongxian(place, &["explain", "run", "pay-002", "--json"]));
    assert_eq!(
        (&told["decision"]["decision"], &told["decision"]["same_rules"]),
        (&"hold".into(), &false.into())
    );
    assert_eq!(told["reasons"][0]["text"], "50.00 yuan collected", "as recorded");
    assert_eq!(told["reasons"][0]["condition"]["short_by"], "0.01 yuan", "as the rules say today");
    let note = told["notes"][0].as_str().unwrap();
    let (then, now) = (&told["decision"]["rules_hash"], &told["decision"]["rules_hash_shown"]);
    assert!([then, now].iter().all(|hash| note.contains(hash.as_str().unwrap())), "{note}");
    fs::rename(place.join("rules"), place.join("elsewhere")).unwrap();
    let told = json(&hongxian(place, &["explain", "run", "pay-002", "--json"]));
    assert!(told["reasons"][0]["condition"].is_null() && told["reasons"][0]["of"].is_null());
    assert_eq!(told["evidence"][0]["name"], "event_time");
    assert!(told["notes"][0].as_str().unwrap().contains("--rules DIR"));
    let told =
        json(&hongxian(place, &["explain", "run", "pay-002", "--rules=elsewhere", "--json"]));
    assert_eq!(told["decision"]["same_rules"], false, "given, and still not those that decided");
}

fn each_leaf(told: &Told, each: &mut dyn FnMut(&Told)) {
    match told.parts.is_empty() {
        true => each(told),
        false => told.parts.iter().for_each(|part| each_leaf(part, each)),
    }
}

/// With the shipped rules: the recorded values lead to the recorded reasons, each of whose conditions
/// is met, and no condition of a rule that is told as near is.
#[test]
fn the_stories_explain_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let rules = workspace().join("rules");
    let rules = format!("--rules={}", rules.display());
    let mut alerts = 0;
    for story in ["many-groups-one-collector", "gambling-mine-group", "device-farm"] {
        let events = workspace().join("fixtures/stories").join(story).join("events.csv");
        let out = directory.path().join(story);
        let line = ["backtest", events.to_str().unwrap(), &rules, "--out", out.to_str().unwrap()];
        let done = hongxian(directory.path(), &line);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let run = FinishedRun::open(&out).unwrap();
        let mut wanted = Vec::new();
        let each = &mut |one: hongxian::finished::Decided| {
            if one.decision != "allow" || one.row.is_multiple_of(16) {
                wanted.push(one);
            }
        };
        run.decisions(&|_, _| true, each).unwrap();
        for decided in wanted.iter().take(24) {
            let id = &decided.event_id;
            let told = explain::explain(&run, id, (None, false), Lang::En, &())
                .unwrap_or_else(|_| panic!("{id}"));
            assert_eq!(told.notes, Vec::<String>::new(), "{story} {id}");
            assert_eq!(told.reasons.len(), decided.reasons.len());
            alerts += usize::from(!told.reasons.is_empty());
            for hit in &told.reasons {
                let condition = hit.condition.as_ref().expect("its rule is there");
                assert_eq!(condition.truth, Truth::Met, "{story} {id} {}", hit.rule);
                let unmet =
                    &mut |leaf: &Told| assert_eq!(leaf.truth == Truth::Met, leaf.lacking == 0.0);
                each_leaf(condition, unmet);
            }
            assert!(told.nearest.iter().all(|one| one.lacking > 0.0), "{story} {id}");
            assert!(told.nearest.windows(2).all(|pair| pair[0].lacking <= pair[1].lacking));
            let missing = told.not_evaluable.iter().find(|one| one.missing.is_empty());
            assert!(missing.is_none(), "{story} {id}: {missing:?}");
        }
    }
    assert!(alerts > 10, "{alerts}");
}

/// The report shows up to three texts of a rule about texts, the first of those with the highest
/// score, each once, and what was found in them.
#[test]
fn the_report_marks_what_rules_about_texts_hit() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let texts = ["\"来<b>扫.雷.群\"", "扫雷群1", "扫雷群1", "吃了吗", "扫雷群2", "扫雷群3"];
    let mut csv = HEADER.to_owned();
    for (at, text) in texts.iter().enumerate() {
        let fen = if at == 5 { 50_000 } else { 100 };
        csv += &format!("e{at},2024-02-09T20:0{at}:00+08:00,transfer,ada,cam,,{fen},,,{text}\n");
    }
    fs::write(place.join("events.csv"), csv).unwrap();
    let rule = |title: &str, when: &str, score: i64| {
        format!(
            "title = \"{title}\"\nstatus = \"live\"\non = [\"transfer\"]\nwhen = \"{when}\"\n\
             score = {score}\nreason = \"{title}\"\n"
        )
    };
    for (file, text) in [
        ("text/phrases/own.txt", "[gambling]\n扫雷群\n".to_owned()),
        ("text/words.toml", rule("words", "text.gambling > 0 || amount_fen > 0", 300)),
        ("funds/much.toml", rule("much", "amount_fen >= yuan(500)", 400)),
    ] {
        let path = place.join("rules").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let done = hongxian(place, &["backtest", "events.csv", "--rules=rules", "--out=run"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let page = fs::read_to_string(place.join("run/report.html")).unwrap();
    let (_, data) = page.split_once("id=\"data\">").unwrap();
    let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    let shown: Vec<(String, i64)> = data["run"]["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert_eq!(one["rule"], "words", "the other rule is not about texts");
            let piece = |piece: &Value| match piece[1].as_bool().unwrap() {
                true => format!("[{}]", piece[0].as_str().unwrap()),
                false => piece[0].as_str().unwrap().to_owned(),
            };
            let pieces = one["pieces"].as_array().unwrap().iter().map(piece).collect();
            (pieces, one["score"].as_i64().unwrap())
        })
        .collect();
    let wanted = [("[扫雷群]3", 700), ("来<b>[扫.雷.群]", 300), ("[扫雷群]1", 300)];
    assert_eq!(shown, wanted.map(|(text, score)| (text.to_owned(), score)));
    assert!(!page.contains("来<b>"), "no text is markup");
}
