//! Sessions with rules: decisions, verdicts and alerts go on as well, over snapshots on disk.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use hongxian::changes;
use hongxian::event::{EVENT_TIME, Schema, Type};
use hongxian::model::Artefacts;
use hongxian::run::{Laid, Session};
use hongxian::snapshot::{State, Store};
use hongxian::source::log::{Arrived, Changes, Decoder};
use hongxian::source::order::Waiting;
use hongxian::stopwatch::Since;
use proptest::strategy::{Strategy as _, ValueTree as _};

use super::{DAY, HOUR, events, steps};
use crate::alerts::{policy, write_rules};
use crate::support::{chunk, workspace};

pub(super) const ENFORCED: &str = r#"
[verdicts.account]
enforce = true
restrict = { decisions = 2, at_least = "review", within = "3d", lasts = "7d", floor = "hold" }
ban = { decisions = 2, at_least = "hold", within = "30d", lasts = "30d", floor = "block" }
"#;

/// Takes the lines of all decisions that are fed.
pub(super) fn decided(session: &mut Session) -> String {
    let mut lines = String::new();
    while let Ok(Some(scored)) = session.next_part(true) {
        lines.push_str(&scored.lines());
    }
    lines
}

/// The state as it comes back from a disk.
fn through_a_store(state: &State) -> State {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path(), 1);
    store.write(7, serde_json::json!("x"), state).unwrap();
    let found = store.newest(|_, _| Ok(())).unwrap();
    found.snapshot.expect("it is whole").2.read().unwrap()
}

/// Rules of which an alert makes alerts and takes them away, and verdicts that raise decisions.
#[test]
fn decisions_that_hang_on_earlier_ones_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path();
    write_rules(rules, &format!("{}{ENFORCED}", policy(7_000, "used")), 7);
    let schema = Arc::new(Schema::default());
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut missed = [("verdicts", false), ("alerts: accounts", false)];
    for round in 0..10 {
        let events = events(400).new_tree(&mut runner).unwrap().current();
        let steps = steps(&events, 12);
        let feed = |session: &mut Session, steps: &[&[crate::support::Ev]]| {
            let mut lines = String::new();
            for step in steps {
                let effective = step.iter().map(|event| event.time).collect();
                session.feed(chunk(step), effective, step.last().unwrap().time + 1);
                lines.push_str(&decided(session));
            }
            lines
        };
        let mut whole = Session::with_workers(Some(rules), &schema, 2).unwrap();
        let expected = feed(&mut whole, &steps);
        let (before, after) = [(1, 3), (3, 1), (2, 4)][round % 3];
        let cut = steps.len() * (round + 1) / 11;
        let mut first = Session::with_workers(Some(rules), &schema, before).unwrap();
        let mut lines = feed(&mut first, &steps[..cut]);
        let state = first.save().unwrap();
        let restore = |state| Session::restore(Some(rules), &schema, after, state).unwrap();
        let mut second = restore(through_a_store(&state));
        assert_eq!(second.layout(), first.layout());
        let begun = lines.len();
        lines.push_str(&feed(&mut second, &steps[cut..]));
        assert_eq!(lines, expected, "round {round}");
        for (keeper, missed) in &mut missed {
            let mut state = state.clone();
            state.parts.retain(|part| part.keeper != *keeper);
            *missed |= feed(&mut restore(state), &steps[cut..]) != expected[begun..];
        }
    }
    assert!(missed.iter().all(|(_, missed)| *missed), "{missed:?}");
}

/// The events of all stories, to be let out in total order.
fn stories(schema: &Arc<Schema>) -> Waiting {
    let mut waiting = Waiting::new(schema.clone(), 7 * DAY);
    let decoder = Decoder::new(schema.clone(), HOUR);
    for story in fs::read_dir(workspace().join("fixtures/stories")).unwrap() {
        let path = story.unwrap().path().join("events.csv");
        if path.is_file() && !path.parent().unwrap().ends_with("broken-input") {
            let block = decoder.decode(0, &records(&path, schema));
            for chunk in block.chunks {
                let effective = (0..chunk.len()).map(|row| chunk.int(EVENT_TIME, row));
                let effective: Vec<i64> = effective.collect();
                waiting.push(chunk, &effective);
            }
        }
    }
    assert!(waiting.len() > 500, "{}", waiting.len());
    waiting
}

/// The lines of a file as records of a topic.
fn records(path: &Path, schema: &Schema) -> Vec<Arrived> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().clone();
    let record = |(offset, row): (usize, Result<csv::StringRecord, csv::Error>)| {
        let mut value = serde_json::Map::new();
        let row = row.unwrap();
        for (name, text) in header.iter().zip(&row).filter(|(_, text)| !text.is_empty()) {
            let kind = schema.fields().iter().find(|field| field.name == name).unwrap().kind;
            let json = match kind {
                Type::Int => text.parse::<i64>().map_or(text.into(), Into::into),
                Type::Bool => (text == "true").into(),
                _ => text.into(),
            };
            value.insert(name.to_owned(), json);
        }
        let value = serde_json::Value::Object(value).to_string().into_bytes();
        Arrived { offset: offset as u64, append_time: i64::MAX / 2, value }
    };
    reader.records().enumerate().map(record).collect()
}

/// Lets out what is before each of the times, and decides on it.
fn feed(session: &mut Session, waiting: &mut Waiting, times: &[i64]) -> String {
    let mut lines = String::new();
    for until in times {
        let left = waiting.take(*until);
        if !left.chunk.is_empty() {
            session.feed(left.chunk, left.effective, *until);
            lines.push_str(&decided(session));
        }
    }
    lines
}

/// The shipped rules, with all features, over all stories: what is kept of them is much.
#[test]
fn the_shipped_rules_go_on_over_the_stories() {
    let rules = workspace().join("rules");
    let schema = Arc::new(Schema::default());
    let last = stories(&schema).last().unwrap();
    let first = last - 400 * DAY;
    let times: Vec<i64> =
        (0..).map(|at| first + at * DAY).take_while(|time| *time < last + 2 * DAY).collect();
    let mut whole = Session::with_workers(Some(&rules), &schema, 2).unwrap();
    let expected = feed(&mut whole, &mut stories(&schema), &times);
    let decisions = expected.lines().count();
    assert!(decisions > 300 && expected.contains("\"block\""), "{decisions} decisions");
    let middle = times.len() / 2;
    // Where most of the stories happen is found by where half of the decisions are made.
    let mut waiting = stories(&schema);
    let half = times.iter().position(|time| {
        waiting.take(*time);
        waiting.len() < 400
    });
    for (cut, before, after) in [(half.unwrap_or(middle), 2, 3), (half.unwrap_or(middle) + 1, 3, 1)]
    {
        let mut waiting = stories(&schema);
        let mut first = Session::with_workers(Some(&rules), &schema, before).unwrap();
        let mut lines = feed(&mut first, &mut waiting, &times[..cut]);
        assert!(!lines.is_empty());
        let state = through_a_store(&first.save().unwrap());
        let mut second = Session::restore(Some(&rules), &schema, after, state).unwrap();
        lines.push_str(&feed(&mut second, &mut waiting, &times[cut..]));
        assert!(lines == expected, "cut at {cut}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Rules that come into force while the shipped ones decide, with all features, clusters and alerts:
/// as if the session had known of them from the beginning.
#[test]
fn the_shipped_rules_change_over_the_stories() {
    let directory = tempfile::tempdir().unwrap();
    let others = directory.path().join("rules");
    copy(&workspace().join("rules"), &others);
    let policy = fs::read_to_string(others.join("policy.toml")).unwrap();
    let policy = format!("language = \"zh\"\n{}", policy.replace("language = ", "# language = "));
    fs::write(others.join("policy.toml"), policy).unwrap();
    let schema = Arc::new(Schema::default());
    let (changes, models) = (Changes::default(), Artefacts::default());
    let begun =
        changes::load(Some(&workspace().join("rules")), &changes, &models, &schema).unwrap();
    let next = begun.candidate(Some(&others), models, &schema).unwrap();
    let last = stories(&schema).last().unwrap();
    let times: Vec<i64> = (-400..2).map(|day| last + day * DAY).collect();
    let mut waiting = stories(&schema);
    let half = times.iter().position(|time| {
        waiting.take(*time);
        waiting.len() < 300
    });
    let half = half.unwrap();
    let known = Laid::new(begun.with(&next, times[half]), Vec::new());
    let mut whole = Session::of(known, &schema, 2, None).unwrap();
    let expected = feed(&mut whole, &mut stories(&schema), &times);
    let mut waiting = stories(&schema);
    let mut live = Session::of(Laid::new(begun, Vec::new()), &schema, 3, None).unwrap();
    let mut lines = feed(&mut live, &mut waiting, &times[..=half]);
    let since = Since::now();
    assert_eq!(live.lacks(&next), None);
    let told = live.change(&next, times[half]);
    println!("{} ms to change", since.elapsed().as_millis());
    let begun = lines.lines().count();
    lines.push_str(&feed(&mut live, &mut waiting, &times[half + 1..]));
    assert!(begun > 100 && lines.lines().count() > begun + 100, "{begun}");
    assert!(lines.contains(&told.deciders.rules_hash));
    assert!(lines == expected);
}
