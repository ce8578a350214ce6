//! `sweep`, by the program: each setting is what a backtest with that value in the rule's file comes
//! to, whether stored features were scored or everything was decided again.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::diff::{copy, done, hongxian, stories};
use super::support::workspace;

/// A run over the stories with the shipped rules, and their events.
fn ran(place: &Path) -> Vec<String> {
    let events = stories(place);
    copy(&workspace().join("rules"), &place.join("rules"));
    backtest(place, "rules", "run", &events);
    events
}

fn backtest(place: &Path, rules: &str, out: &str, events: &[String]) {
    let mut line = vec!["backtest", "--labels", "labels.csv", "--warmup", "2d"];
    line.extend(["--rules", rules, "--out", out]);
    line.extend(events.iter().map(String::as_str));
    done(place, &line);
}

fn swept(place: &Path, arguments: &[&str]) -> Value {
    let told = done(place, &[&["sweep", "run", "--json"], arguments].concat());
    serde_json::from_str(&told).unwrap()
}

/// Holds a setting to a backtest with rules in whose file `from` is `to`.
fn hold(place: &Path, setting: &Value, events: &[String], edits: &[(&str, &str, &str)]) {
    let name = format!("by-hand-{}", fs::read_dir(place).unwrap().count());
    copy(&place.join("rules"), &place.join(&name));
    for (file, from, to) in edits {
        let path = place.join(&name).join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
    let out = format!("{name}-run");
    backtest(place, &name, &out, events);
    let metrics = fs::read_to_string(place.join(&out).join("metrics.json")).unwrap();
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    assert_eq!(setting["rules_hash"], metrics["rules_hash"], "{setting}");
    let judged = &metrics["judgement"];
    for of in ["events", "accounts"] {
        let (told, truth) = (&setting[of], &judged["truth"][of]);
        for figure in ["precision", "recall", "f1", "average_precision"] {
            assert_eq!(told[figure], truth[figure], "{of} {figure}: {setting}");
        }
        let accounts = &truth["accounts"];
        assert_eq!(told["fraud_accounts_alerted"], accounts["fraud_alerted"]);
        assert_eq!(told["honest_accounts_alerted"], accounts["honest_alerted"]);
        assert_eq!(told["honest_accounts_stopped"], accounts["honest_stopped"]);
        let fen = |decision: &str| truth["fraud"][decision]["fen"].as_i64().unwrap();
        assert_eq!(told["fraud_stopped"]["fen"], fen("hold") + fen("block"));
    }
    let told = done(place, &["diff", "run", "--rules", &name, "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&setting["alerts"], &setting["changed"]), (&told["alerts"], &told["changed"]));
}

const COLLECTOR: &str = "funds/many-groups-one-collector.toml";
const CIRCLE: &str = "funds/circle-after-an-alert.toml";

/// The setting with these values.
fn at<'s>(told: &'s Value, wanted: &[&str]) -> &'s Value {
    let mut settings = told["settings"].as_array().unwrap().iter();
    let values = |one: &Value| -> Vec<String> {
        let params = one["params"].as_array().unwrap();
        params.iter().map(|param| param["value"].as_str().unwrap().to_owned()).collect()
    };
    settings.find(|one| values(one) == wanted).unwrap_or_else(|| panic!("no {wanted:?} in {told}"))
}

#[test]
fn every_setting_is_a_backtest_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let events = ran(place);
    let of =
        ["--rule=many-groups-one-collector", "--param=min_groups=2..4/2,1000", "--param=score=100"];
    let told = swept(place, &of);
    assert_eq!((&told["method"], &told["live"]), (&"rescored".into(), &true.into()));
    assert_eq!(told["settings"].as_array().unwrap().len(), 8);
    let stands: Vec<&Value> =
        told["settings"].as_array().unwrap().iter().filter(|one| one["stands"] == true).collect();
    assert_eq!(stands, [at(&told, &["5", "400"])]);
    assert_eq!(stands[0]["changed"], 0);
    hold(place, stands[0], &events, &[]);
    let few = at(&told, &["2", "100"]);
    assert!(few["hits"]["gained"].as_u64() > Some(0), "{few}");
    hold(
        place,
        few,
        &events,
        &[
            (COLLECTOR, "min_groups = 5", "min_groups = 2"),
            (COLLECTOR, "score = 400", "score = 100"),
        ],
    );
    let none = at(&told, &["1000", "400"]);
    assert_eq!(none["hits"]["after"], 0);
    assert!(none["changed"].as_u64() > Some(0), "{none}");
    hold(place, none, &events, &[(COLLECTOR, "min_groups = 5", "min_groups = 1000")]);
    // Threads change nothing.
    assert_eq!(told, swept(place, &[&of[..], &["--workers=3"]].concat()));
    assert_eq!(told, swept(place, &[&of[..], &["--workers=1"]].concat()));
}

#[test]
fn a_rule_in_shadow_is_swept_as_if_it_decided() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let events = ran(place);
    // It reads what depends on decisions.
    let told = swept(place, &["--rule=circle-after-an-alert", "--param=min_amount=1 yuan"]);
    assert_eq!((&told["method"], &told["live"]), (&"decided_again".into(), &false.into()));
    let edits = [
        (CIRCLE, "status = \"shadow\"", "status = \"live\""),
        (CIRCLE, "min_amount = \"100 yuan\"", "min_amount = \"1 yuan\""),
    ];
    hold(place, at(&told, &["1.00 yuan"]), &events, &edits);
    let shown =
        done(place, &["sweep", "run", "--rule=circle-after-an-alert", "--param=min_amount"]);
    assert!(shown.contains("not live") && shown.contains("100.00 yuan (now)"), "{shown}");
}

#[test]
fn what_cannot_be_swept_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let story = workspace().join("fixtures/stories/gambling-mine-group/events.csv");
    copy(&workspace().join("rules"), &place.join("rules"));
    done(place, &["backtest", story.to_str().unwrap(), "--rules=rules", "--out=run"]);
    let collector = "--rule=many-groups-one-collector";
    for (arguments, part) in [
        (vec!["--rule=many-group-one-collector", "--param=score"], "did you mean `many-groups-"),
        (
            vec![collector, "--param=min_inn"],
            "no parameter `min_inn`: there are min_groups, min_in",
        ),
        (vec![collector, "--param=min_in=5000"], "write one like it"),
        (vec![collector, "--param=min_in="], "NAME=VALUES"),
        (vec![collector, "--param=score=5000"], "from 0 to 1000, not 5000"),
        (
            vec![collector, "--param=min_in=1 yuan..100 yuan/1 yuan", "--param=score"],
            "settings are more",
        ),
        (vec![collector], "--param"),
    ] {
        let refused = hongxian(place, &[vec!["sweep", "run"], arguments.clone()].concat());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    // Without labels there is still something to see.
    let shown = done(place, &["sweep", "run", collector, "--param=min_groups=2"]);
    assert!(shown.contains("Without labels") && shown.contains("5 (now)"), "{shown}");
}

/// A rule that is a link to a file elsewhere: that file is the analyst's, and stays as it is.
#[test]
#[cfg(unix)]
fn no_file_of_the_rules_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let story = workspace().join("fixtures/stories/gambling-mine-group/events.csv");
    copy(&workspace().join("rules"), &place.join("rules"));
    let (linked, elsewhere) = (place.join("rules").join(COLLECTOR), place.join("elsewhere.toml"));
    fs::rename(&linked, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &linked).unwrap();
    let text = fs::read_to_string(&elsewhere).unwrap();
    done(place, &["backtest", story.to_str().unwrap(), "--rules=rules", "--out=run"]);
    let told = swept(place, &["--rule=many-groups-one-collector", "--param=min_groups=2"]);
    let [other, stands] = ["2", "5"].map(|groups| at(&told, &[groups])["rules_hash"].clone());
    assert_ne!(other, stands, "the value was set");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), text);
}
