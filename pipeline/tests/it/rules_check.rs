//! `hongxian rules check --json`, as a build server sees it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::support::workspace;

/// What is printed, and the exit code; nothing else may be said beside it.
fn check(rules: &Path) -> (Value, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_hongxian"))
        .args(["rules", "check", "--json", "--rules"])
        .arg(rules)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code())
}

const FEATURES: &str = "\
[behaviour.claims_1h]
over = ['claim']
key = ['account_id']
agg = 'count'
window = '1h'
unit = 'claims'

[behaviour.mean_1h]
over = ['claim']
key = ['account_id']
agg = 'mean'
window = '1h'

[behaviour.many]
expr = 'behaviour.claims_1h > 3'
";

fn rule(status: &str, when: &str, more: &str) -> String {
    format!(
        "title = 'a rule'\nstatus = '{status}'\non = ['claim']\nwhen = '{when}'\nscore = 10\n\
         reason = 'so it is'\n{more}"
    )
}

fn write(directory: &Path, file: &str, text: &str) {
    let path = directory.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_good_directory_is_described() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path();
    write(rules, "features.toml", FEATURES);
    write(rules, "policy.toml", "[features]\ncolumns = \"used\"\n");
    write(rules, "behaviour/one.toml", &rule("live", "behaviour.many", ""));
    write(rules, "funds/two.toml", &rule("shadow", "amount_fen > 1", ""));
    write(rules, "funds/three.toml", &rule("draft", "amount_fen > 1", ""));
    let (found, code) = check(rules);
    assert_eq!(code, Some(0));
    assert_eq!(
        (&found["status"], &found["errors"], &found["warnings"], &found["diagnostics"]),
        (&json!("ok"), &json!(0), &json!(0), &json!([]))
    );
    let wanted = json!({
        "all": 3,
        "running": 2,
        "by_status": { "draft": 1, "live": 1, "retired": 0, "shadow": 1 },
        "by_dimension": {
            "behaviour": 1, "devices": 0, "funds": 2, "packet": 0, "social": 0, "text": 0
        },
    });
    assert_eq!(found["rules"], wanted);
    let features = found["features"].as_array().unwrap();
    let declared = json!([
        {
            "name": "behaviour.claims_1h", "type": "int", "unit": "claims", "family": "account_id"
        },
        { "name": "behaviour.mean_1h", "type": "double", "unit": "", "family": "account_id" },
        { "name": "behaviour.many", "type": "bool", "unit": "", "family": null },
    ]);
    assert_eq!(json!(features[..3]), declared);
    // Both are over the same claims, which are kept once.
    let families = found["families"].as_array().unwrap();
    assert_eq!(families.len(), 1);
    assert_eq!(families[0]["family"], "account_id");
    let shared = json!(["behaviour.claims_1h", "behaviour.mean_1h"]);
    assert_eq!(families[0]["streams"][0]["features"], shared);
    assert!(families[0]["bytes_per_key"].as_u64() > families[0]["bytes_per_event"].as_u64());
}

/// The hash is the one that stands in decisions, and the features are the columns of the file.
#[test]
fn what_is_shipped_is_described_as_it_runs() {
    let (found, code) = check(&workspace().join("rules"));
    assert_eq!((code, &found["status"]), (Some(0), &json!("ok")));
    let directory = tempfile::tempdir().unwrap();
    let story = workspace().join("fixtures/stories/class-fee/events.csv");
    let run = Command::new(env!("CARGO_BIN_EXE_hongxian"))
        .arg("backtest")
        .args([&story, Path::new("--rules"), &workspace().join("rules"), Path::new("--out")])
        .arg(directory.path())
        .output()
        .unwrap();
    assert!(run.status.success());
    let metrics = fs::read_to_string(directory.path().join("metrics.json")).unwrap();
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    assert_eq!(found["rules_hash"], metrics["rules_hash"]);
    let families = found["families"].as_array().unwrap().iter().map(|family| &family["family"]);
    for family in families.map(|family| family.as_str().unwrap()) {
        assert!(metrics["state"].get(family).is_some(), "{family}");
        for part in ["requests", "state"] {
            let spent = &metrics["operators"][format!("{family}: {part}")];
            assert!(spent.as_f64() > Some(0.0), "what {family} costs, {part}");
        }
    }
    let columns = super::digest::read_parquet(&directory.path().join("features.parquet"));
    let columns = columns.schema();
    let columns: Vec<&str> =
        columns.fields().iter().skip(1).map(|one| one.name().as_str()).collect();
    let features = found["features"].as_array().unwrap();
    let features: Vec<&str> = features.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(features, columns);
}

#[test]
fn a_warning_is_told_and_does_not_fail() {
    let directory = tempfile::tempdir().unwrap();
    let params = "[params]\nleast = 3\n";
    write(directory.path(), "funds/one.toml", &rule("live", "amount_fen > 1", params));
    let (found, code) = check(directory.path());
    assert_eq!(code, Some(0));
    assert_eq!((&found["status"], &found["warnings"]), (&json!("warnings"), &json!(1)));
    let one = &found["diagnostics"][0];
    assert_eq!(
        (&one["code"], &one["severity"], &one["line"], &one["column"]),
        (&json!("unused-param"), &json!("warning"), &json!(8), &json!(1))
    );
    assert_eq!(found["rules"]["all"], 1);
}

#[test]
fn mistakes_are_told_with_their_places() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "funds/one.toml", &rule("live", "amount_fan > 1", ""));
    let (found, code) = check(directory.path());
    assert_eq!(code, Some(2));
    assert_eq!((&found["status"], &found["errors"]), (&json!("errors"), &json!(1)));
    assert_eq!(found["rules"], Value::Null);
    assert_eq!(found["rules_hash"], Value::Null);
    assert_eq!(found["features"], Value::Null);
    assert_eq!(found["families"], Value::Null);
    let one = &found["diagnostics"][0];
    assert_eq!(
        (&one["code"], &one["line"], &one["column"]),
        (&json!("unknown-name"), &json!(4), &json!(9))
    );
    assert!(one["hint"].as_str().unwrap().contains("amount_fen"), "{one}");
    let missing = check(&directory.path().join("none"));
    assert_eq!(
        (missing.1, &missing.0["diagnostics"][0]["code"]),
        (Some(2), &json!("no-directory"))
    );
}
