//! The stories under `fixtures/stories` are decided as they tell.
//!
//! `decisions.csv` of a story has a line a transaction: id, decision, score, live rules that hit. It
//! was compared with what `story.md` says should be decided, and a change of it is to be read like
//! that too. Where the file is missing, the test writes it and fails: delete it after a change of rules.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use hongxian::run::{self, Events, ModelPaths, Outcome, Request};
use hongxian::sink::lines;

use super::digest::read_parquet;
use super::support::{options, workspace};

fn stories() -> Vec<PathBuf> {
    let directory = fs::read_dir(workspace().join("fixtures/stories")).unwrap();
    let mut stories: Vec<PathBuf> = directory
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("story.md").is_file())
        .collect();
    stories.sort();
    stories
}

fn events(story: &Path) -> PathBuf {
    let is_events = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == "events");
    fs::read_dir(story).unwrap().map(|entry| entry.unwrap().path()).find(is_events).unwrap()
}

/// What the shipped rules decide in a story, a line a transaction.
fn decide(story: &Path, out: &Path) -> (Outcome, String) {
    let request = Request {
        events: Events::Files { paths: vec![events(story)], maps: Vec::new() },
        pseudonyms: None,
        labels: Some(story.join("labels.csv")).filter(|labels| labels.is_file()),
        rules: Some(workspace().join("rules")),
        models: ModelPaths::default(),
        out: out.to_owned(),
        options: options(2, 1_000, 64),
        warmup: 0,
        rejects_max: None,
        sort_memory: hongxian::run::SORT_MEMORY,
        place: None,
    };
    let Ok(outcome) = run::run(&request, &(), Default::default()) else {
        panic!("{} does not run", story.display())
    };
    let mut table = "event_id,decision,score,rules\n".to_owned();
    let mut lines = String::new();
    lines::write(&read_parquet(&out.join("decisions.parquet")), &mut lines).unwrap();
    for line in lines.lines() {
        let decision: serde_json::Value = serde_json::from_str(line).unwrap();
        let reasons = decision["reasons"].as_array().unwrap();
        let rules: Vec<&str> =
            reasons.iter().map(|reason| reason["rule"].as_str().unwrap()).collect();
        let (id, verdict) = (&decision["event_id"], &decision["decision"]);
        let (id, verdict) = (id.as_str().unwrap(), verdict.as_str().unwrap());
        writeln!(table, "{id},{verdict},{},{}", decision["score"], rules.join(" ")).unwrap();
    }
    (outcome, table)
}

#[test]
fn stories_are_decided_as_they_tell() {
    let out = tempfile::tempdir().unwrap();
    let stories = stories();
    assert!(stories.len() >= 8, "{stories:?}");
    for story in &stories {
        let (_, decided) = decide(story, out.path());
        let file = story.join("decisions.csv");
        let Ok(blessed) = fs::read_to_string(&file) else {
            fs::write(&file, decided).unwrap();
            panic!("{} is new: read it beside story.md", file.display());
        };
        let differing: Vec<(&str, &str)> =
            blessed.lines().zip(decided.lines()).filter(|(left, right)| left != right).collect();
        assert!(decided == blessed, "{}: blessed and decided: {differing:#?}", story.display());
    }
}

/// Stories and populations call one thing by one name, so that they can be judged together.
#[test]
fn typologies_of_stories_are_those_of_populations() {
    let told = fs::read_to_string(workspace().join("fixtures/populations/README.md")).unwrap();
    let (mut labels, mut missing) = (0, BTreeSet::new());
    for story in stories() {
        let Ok(text) = fs::read_to_string(story.join("labels.csv")) else { continue };
        for line in text.lines().skip(1) {
            let typology = line.split(',').nth(3).unwrap().to_owned();
            labels += 1;
            if !typology.is_empty() && !told.contains(&format!("| `{typology}` |")) {
                missing.insert(typology);
            }
        }
    }
    assert!(labels > 100 && missing.is_empty(), "{labels} labels, {missing:?}");
}

/// The table of the story says of each line what becomes of it.
#[test]
fn broken_input_is_accounted_for_line_by_line() {
    let out = tempfile::tempdir().unwrap();
    let story = workspace().join("fixtures/stories/broken-input");
    let (outcome, _) = decide(&story, out.path());
    let counts = &outcome.facts.counts;
    assert_eq!((counts.read, counts.decided, counts.rejected, counts.duplicates), (23, 3, 19, 1));
    let told = fs::read_to_string(story.join("story.md")).unwrap();
    let row = |line: &str| -> Option<(u64, String)> {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let code = cells.get(3)?.strip_prefix('`')?.strip_suffix('`')?;
        Some((cells.get(1)?.parse().ok()?, code.to_owned()))
    };
    let expected: Vec<(u64, String)> = told.lines().filter_map(row).collect();
    assert_eq!(expected.len(), 19);
    let rejects = fs::read_to_string(out.path().join("rejects.jsonl")).unwrap();
    let found = rejects.lines().map(|line| {
        let reject: serde_json::Value = serde_json::from_str(line).unwrap();
        (reject["line"].as_u64().unwrap(), reject["code"].as_str().unwrap().to_owned())
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
}
