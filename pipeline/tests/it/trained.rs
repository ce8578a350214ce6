//! The models that are shipped fit the features as they are: a feature that is defined otherwise
//! shows here, and `scripts/models` trains anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use hongxian::event::Schema;
use hongxian::rules;
use models::AnyModel;

use super::diff::copy;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn shipped_models_read_the_features_as_they_are_defined() {
    let loaded = rules::load(Some(&root().join("rules")), &Arc::new(Schema::default()));
    let Ok(loaded) = loaded else { panic!("good rules") };
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("models/trained")).unwrap() {
        let directory = entry.unwrap().path();
        let model = AnyModel::load(&directory).unwrap();
        let differing: Vec<&str> = model
            .inputs()
            .iter()
            .filter(|input| {
                let held = loaded.features.definition(&input.name);
                input.definition.is_empty() || held.is_none_or(|held| held.hash != input.definition)
            })
            .map(|input| input.name.as_str())
            .collect();
        let name = directory.file_name().unwrap().to_string_lossy().into_owned();
        assert!(differing.is_empty(), "{name} reads {differing:?}: run scripts/models");
        let card = fs::read_to_string(directory.join("card.md")).unwrap();
        assert!(card.contains(&model.hash()), "{name}: the card is of another model");
        assert!(directory.join("train.toml").exists(), "{name}");
        found.push(name);
    }
    found.sort_unstable();
    assert_eq!(found, ["account-role", "group-type"]);
}

/// Types of groups and roles of accounts by the shipped models, beside the shipped rules.
#[test]
fn shipped_models_say_the_same_at_any_number_of_workers() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let rules = here.join("rules");
    copy(&root().join("rules"), &rules);
    let declared = fs::read_to_string(root().join("rules/features.toml")).unwrap();
    let trained = root().join("models/trained");
    let model = |feature: &str, name: &str, gives: &str| {
        let path = trained.join(name);
        format!("[{feature}]\nmodel = {path:?}\ngives = '{gives}'\n")
    };
    let features = [
        declared,
        model("social.group.type_model", "group-type", "class"),
        model("social.account.role", "account-role", "class"),
        model("social.account.role_score", "account-role", "score"),
    ];
    fs::write(rules.join("features.toml"), features.join("\n")).unwrap();
    let stories = ["device-farm", "collector-chain", "coded-settlement"];
    let events = stories.map(|story| root().join(format!("fixtures/stories/{story}/events.csv")));
    let run = |workers: &str, batch: &str| {
        let done = Command::new(env!("CARGO_BIN_EXE_hongxian"))
            .current_dir(here)
            .arg("backtest")
            .args(&events)
            .args(["--rules=rules", "--out", workers, "--workers", workers, "--batch", batch])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        fs::read(here.join(workers).join("features.parquet")).unwrap()
    };
    let one = run("1", "10000");
    assert!(one == run("2", "7") && one == run("4", "64"), "features differ");
    let lens = Command::new(env!("CARGO_BIN_EXE_hongxian"))
        .current_dir(here)
        .args(["lens", "1", "--json", "--lang=en"])
        .output()
        .unwrap();
    let lens: serde_json::Value = serde_json::from_slice(&lens.stdout).unwrap();
    let sections = lens["sections"].as_array().unwrap();
    let roles = sections.iter().find(|section| section["id"] == "roles").unwrap();
    assert_eq!(roles["rows"].as_array().unwrap().len(), 1, "the run has no labels");
}
