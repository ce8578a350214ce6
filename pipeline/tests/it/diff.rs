//! `diff`, by the program: what it says of other rules is what a backtest with them comes to, whether
//! stored features were scored anew or everything was decided again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::support::workspace;

pub(super) fn hongxian(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
    command.current_dir(place).args(arguments).arg("--lang=en").output().unwrap()
}

pub(super) fn done(place: &Path, arguments: &[&str]) -> String {
    let done = hongxian(place, arguments);
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// The events of all stories in CSV, and their labels as one file.
pub(super) fn stories(place: &Path) -> Vec<String> {
    let folder = workspace().join("fixtures/stories");
    let mut stories: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    stories.sort();
    let (mut events, mut labels) = (Vec::new(), String::new());
    for story in stories {
        let path = story.join("events.csv");
        if path.exists() {
            events.push(path.display().to_string());
        }
        let Ok(text) = fs::read_to_string(story.join("labels.csv")) else { continue };
        let (header, rows) = text.split_once('\n').unwrap();
        if labels.is_empty() {
            labels = format!("{header}\n");
        }
        labels.push_str(rows);
    }
    fs::write(place.join("labels.csv"), labels).unwrap();
    events
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            copy(&path, &to.join(entry.file_name()));
        } else {
            fs::copy(&path, to.join(entry.file_name())).unwrap();
        }
    }
}

/// Every decision of a run by its event.
fn decisions(place: &Path, run: &str) -> BTreeMap<String, String> {
    use arrow::array::AsArray as _;
    let batch = super::digest::read_parquet(&place.join(run).join("decisions.parquet"));
    let text = |name: &str| {
        let column = batch.column_by_name(name).unwrap();
        let plain = arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8).unwrap();
        plain.as_string::<i32>().iter().map(|x| x.unwrap().to_owned()).collect::<Vec<_>>()
    };
    text("event_id").into_iter().zip(text("decision")).collect()
}

/// Changes in one file of a copy of the rules: what is replaced, and by what.
type Edit = (&'static str, &'static str, &'static str);

/// Runs over the stories with the shipped rules; for each set of edits, what diff says of the rules with
/// them is held to a backtest with them.
fn hold(edits: &[(&str, &str, Vec<Edit>)]) {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let events = stories(place);
    copy(&workspace().join("rules"), &place.join("rules"));
    let backtest = |rules: &str, out: &str| {
        let mut line =
            vec!["backtest", "--labels", "labels.csv", "--warmup", "2d", "--rules", rules];
        line.extend(["--out", out]);
        line.extend(events.iter().map(String::as_str));
        done(place, &line);
    };
    backtest("rules", "run");
    let before = decisions(place, "run");
    for (name, method, edits) in edits {
        let rules = format!("rules-{name}");
        copy(&place.join("rules"), &place.join(&rules));
        for (file, from, to) in edits {
            let path = place.join(&rules).join(file);
            let text = fs::read_to_string(&path).unwrap_or_default();
            assert!(text.contains(from), "{name}: {file} has no {from}");
            // Nothing is replaced at the end.
            let text = if from.is_empty() { text + to } else { text.replacen(from, to, 1) };
            fs::write(path, text).unwrap();
        }
        let told = done(place, &["diff", "run", "--rules", &rules, "--json", "--workers=3"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["method"], *method, "{name}: {}", told["because"]);
        backtest(&rules, name);
        let read = |run: &str| -> Value {
            let text = fs::read_to_string(place.join(run).join("metrics.json")).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        let (then, now) = (read("run"), read(name));
        assert_eq!(told["rules_hash"]["after"], now["rules_hash"], "{name}");
        assert_eq!(told["judgement"]["before"], then["judgement"], "{name}");
        assert_eq!(told["judgement"]["after"], now["judgement"], "{name}");
        let mut moved: BTreeMap<(String, String), u64> = BTreeMap::new();
        for (event, is) in decisions(place, name) {
            *moved.entry((before[&event].clone(), is)).or_default() += 1;
        }
        let said = told["decisions"].as_array().unwrap().iter().map(|one| {
            let text = |key: &str| one[key].as_str().unwrap().to_owned();
            ((text("before"), text("after")), one["transactions"].as_u64().unwrap())
        });
        assert_eq!(said.collect::<BTreeMap<_, _>>(), moved, "{name}");
        let changed =
            moved.iter().filter(|((was, is), _)| was != is).map(|(_, count)| count).sum::<u64>();
        assert_eq!(told["changed"], changed, "{name}");
        // No circle of four is in the stories.
        assert!(changed > 0 || *name == "circles", "{name} changes nothing, so it shows nothing");
    }
}

const COLLECTOR: &str = "funds/many-groups-one-collector.toml";

const TRUSTED: &str = "collector,2024-01-01T00:00:00+08:00,2030-01-01T00:00:00+08:00,li,a test\n";
const NEW_RULE: &str = "title = \"New\"\nstatus = \"live\"\non = [\"transfer\"]\n\
     when = \"funds.got_3h > yuan(1)\"\nscore = 320\nreason = \"{funds.got_3h}\"\n\
     falsepositives = [\"anybody\"]\n";

#[test]
fn stored_features_scored_anew_are_a_backtest() {
    hold(&[
        ("score", "rescored", vec![(COLLECTOR, "status = \"live\"", "status = \"shadow\"")]),
        ("bands", "rescored", vec![("policy.toml", "review = 300", "review = 150")]),
        ("enforced", "rescored", vec![("policy.toml", "enforce = false", "enforce = true")]),
        ("listed", "rescored", vec![("lists/trusted.csv", "", TRUSTED)]),
    ]);
}

#[test]
fn what_is_not_stored_is_decided_again() {
    hold(&[
        (
            "feature",
            "decided_again",
            vec![
                (
                    "features.toml",
                    "",
                    "\n[funds.got_3h]\nover = [\"transfer\"]\nkey = [\"payee_id\"]\nagg = \"sum\"\n\
                     window = \"3h\"\nunit = \"fen\"\ndoc = \"fen got\"\n",
                ),
                ("funds/new-sum.toml", "", NEW_RULE),
            ],
        ),
        // A list that a feature reads by way of a named condition.
        (
            "named",
            "decided_again",
            vec![
                ("conditions.toml", "", "\ntrusts = \"in_list('trusted', payee_id)\"\n"),
                (
                    "features.toml",
                    "",
                    "\n[funds.got_trusted]\nover = [\"transfer\"]\nwhere = \"trusts\"\n\
                     key = [\"payee_id\"]\nagg = \"sum\"\nwindow = \"3h\"\nunit = \"fen\"\n\
                     doc = \"fen got\"\n",
                ),
                ("lists/trusted.csv", "", TRUSTED),
                ("policy.toml", "review = 300", "review = 10"),
            ],
        ),
        (
            "circles",
            "decided_again",
            vec![("funds/circle-after-an-alert.toml", "status = \"shadow\"", "status = \"live\"")],
        ),
        (
            "phrases",
            "decided_again",
            vec![
                ("text/phrases/gambling.txt", "", "牛肉面\n面和蛋\n百年好合\n两碗面\n"),
                ("policy.toml", "review = 300", "review = 10"),
            ],
        ),
    ]);
}

#[test]
fn the_same_rules_differ_in_nothing_and_wrong_ones_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let story = workspace().join("fixtures/stories/gambling-mine-group/events.csv");
    copy(&workspace().join("rules"), &place.join("rules"));
    let line = ["backtest", story.to_str().unwrap(), "--rules=rules", "--out=run"];
    done(place, &line);
    let text = done(place, &["diff", "run", "--rules", "rules"]);
    assert!(text.starts_with("0 of ") && !text.contains("no more\n\nRules"), "{text}");
    let told: Value =
        serde_json::from_str(&done(place, &["diff", "run", "--rules", "rules", "--json"])).unwrap();
    assert_eq!((&told["changed"], &told["alerts"]["gained"]), (&0.into(), &0.into()));
    copy(&place.join("rules"), &place.join("wrong"));
    fs::write(place.join("wrong/funds/new.toml"), "title = \"New\"\nwhen = \"nothing > 1\"\n")
        .unwrap();
    let refused = hongxian(place, &["diff", "run", "--rules", "wrong"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("new.toml"));
    assert_eq!(hongxian(place, &["diff", "nowhere", "--rules", "rules"]).status.code(), Some(2));
}

const POLICY: &str = "[verdicts.account]\nenforce = true\nrestrict = false\n\
    ban = { decisions = 2, at_least = \"block\", within = \"1h\", lasts = \"2h\", floor = \"hold\" }\n";

/// A verdict that raised decisions of the run raises them again when its features are scored anew, and
/// where other rules bring one about, it is what moved the transaction.
#[test]
fn verdicts_are_counted_on_both_sides_and_move_transactions() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    // Two blocks ban; what comes after is held.
    let mut events = "event_id,event_time,kind,account_id,counterparty_id,amount_fen\n".to_owned();
    for (at, yuan) in [2_000, 2_000, 1, 2, 600].into_iter().enumerate() {
        let time = 1_707_480_000_000_i64 + 60_000 * at as i64;
        events.push_str(&format!("e{at},{time},transfer,a,b,{}\n", yuan * 100));
    }
    fs::write(place.join("events.csv"), events).unwrap();
    let rules = |name: &str, block: i64| {
        let folder = place.join(name);
        fs::create_dir_all(folder.join("funds")).unwrap();
        fs::write(folder.join("policy.toml"), POLICY).unwrap();
        for (rule, yuan, score) in [("large", block, 900), ("some", 500, 400)] {
            let text = format!(
                "title = \"{rule}\"\nstatus = \"live\"\non = [\"transfer\"]\n\
                 when = \"amount_fen >= yuan({yuan})\"\nscore = {score}\nreason = \"{rule}\"\n"
            );
            fs::write(folder.join(format!("funds/{rule}.toml")), text).unwrap();
        }
    };
    rules("ban", 1_000);
    rules("none", 100_000);
    for name in ["ban", "none"] {
        done(place, &["backtest", "events.csv", "--rules", name, "--out", &format!("run-{name}")]);
    }
    let told = |run: &str, rules: &str| -> Value {
        let told = done(place, &["diff", run, "--rules", rules, "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["method"], "rescored", "{}", told["because"]);
        told
    };
    let ban = |told: &Value| -> [u64; 2] {
        let all = told["rules"].as_array().unwrap().iter();
        let ban = all.into_iter().find(|one| one["rule"] == "verdict:ban").unwrap();
        ["before", "after"].map(|side| ban[side].as_u64().unwrap())
    };
    assert_eq!(ban(&told("run-ban", "ban")), [3, 3], "the same rules");
    let told_of_ban = told("run-none", "ban");
    assert_eq!(ban(&told_of_ban), [0, 3]);
    let examples = told_of_ban["examples"].as_array().unwrap();
    let small = examples.iter().find(|one| one["event_id"] == "e2").unwrap();
    assert_eq!(small["decision"], serde_json::json!({ "before": "allow", "after": "hold" }));
    assert_eq!(small["rules"]["after"], serde_json::json!(["verdict:ban"]));
    assert_eq!(ban(&told("run-ban", "none")), [3, 0]);
    let text = done(place, &["diff", "run-none", "--rules", "ban"]);
    assert!(text.contains("+verdict:ban"), "{text}");
}

/// What was interrupted is not said to have had other rules on the way.
#[test]
fn a_run_that_did_not_come_to_its_end_is_refused_for_that() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let story = workspace().join("fixtures/stories/gambling-mine-group/events.csv");
    copy(&workspace().join("rules"), &place.join("rules"));
    done(place, &["backtest", story.to_str().unwrap(), "--rules=rules", "--out=run"]);
    let path = place.join("run/run.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("partial = false", "partial = true")).unwrap();
    let refused = hongxian(place, &["diff", "run", "--rules", "rules"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("did not come to its end") && !said.contains("changed"), "{said}");
}
