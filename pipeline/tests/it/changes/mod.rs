//! A change of rules inside an input log: event by event it is as if the new rules had run alone
//! from the beginning, but for features that have no full window yet, and none of it depends on
//! how the run is cut up.

mod live;
mod setup;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hongxian::diagnostic::Lang;
use hongxian::event::Schema;
use hongxian::rules::file::Status;
use hongxian::run::Events;
use hongxian::source::{self, Input};
use proptest::prelude::*;
use serde_json::{Value, json};

use self::setup::{
    COUNT, COUNT_SHORTER, Declared, File, RULES, Ran, Rules, SUM, TODAY, backfilled, change,
    declared, rule, run, written,
};
use crate::input_log::{Body, Log, Record, claim, expected, history, ran};
use crate::support::{Ev, START, workspace};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// Workers, tick, batch.
const CUTS: [(usize, i64, usize); 6] = [
    (1, 1_000, 10_000),
    (2, 5, 1),
    (3, 1_000, 64),
    (4, 3_600_000, 1),
    (4, 5, 10_000),
    (2, 3_600_000, 64),
];

fn ids(list: &Value, key: Option<&str>) -> Vec<String> {
    let id = |one: &Value| key.map_or(one, |key| &one[key]).as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(id).collect()
}

/// The contract in plain lines: the rules and when they begin, of two at one time the later line.
fn phases(first: usize, changes: &[(i64, usize)]) -> Vec<(i64, usize)> {
    let mut phases = vec![(i64::MIN, first)];
    let mut sorted = changes.to_vec();
    sorted.sort_by_key(|(time, _)| *time);
    for change in sorted {
        if phases.last().unwrap().0 == change.0 {
            phases.pop();
        }
        phases.push(change);
    }
    phases
}

/// When the feature of a phase has a full window, if the first event is at `first`.
fn full_from(phases: &[(i64, usize)], phase: usize, name: &str, first: i64) -> i64 {
    let (start, rules) = phases[phase];
    // What is computed from others waits for them.
    let name = if name == "t.twice" { "t.count" } else { name };
    let Some(body) = RULES[rules].has(name) else { return i64::MIN };
    if start <= first {
        return i64::MIN;
    }
    if RULES[phases[phase - 1].1].has(name) == Some(body) {
        return full_from(phases, phase - 1, name, first);
    }
    let window = body.split("window = '").nth(1).unwrap().split('\'').next().unwrap();
    match window.strip_suffix('m') {
        Some(minutes) => start + minutes.parse::<i64>().unwrap() * MINUTE,
        None => {
            // Midnight in Shanghai, eight hours ahead.
            let (day, ahead) = (24 * HOUR, 8 * HOUR);
            (start + ahead + day - 1).div_euclid(day) * day - ahead
        }
    }
}

/// Compares a run with those of each rules directory alone, transaction by transaction.
fn compare(found: &Ran, alone: &[Ran], phases: &[(i64, usize)], first: i64) {
    let names: BTreeSet<&str> =
        RULES.iter().flat_map(|rules| rules.features).map(|(name, _)| *name).collect();
    let (mut hits, mut shadow) = (BTreeMap::new(), BTreeMap::new());
    for (at, line) in found.lines.iter().enumerate() {
        let time = line["effective_time"].as_i64().unwrap();
        let phase = phases.iter().rposition(|(start, _)| *start <= time).unwrap();
        let rules = &RULES[phases[phase].1];
        let other = &alone[phases[phase].1];
        let warming = |name: &str| time < full_from(phases, phase, name, first);
        for name in &names {
            let none = String::new();
            let given = found.features[at].get(*name).unwrap_or(&none);
            let expected = match rules.has(name) {
                Some(_) if !warming(name) => &other.features[at][*name],
                _ => &none,
            };
            assert_eq!(given, expected, "{name} of {line}");
        }
        for hit in ids(&line["reasons"], Some("rule")) {
            *hits.entry(hit).or_insert(0) += 1;
        }
        for hit in ids(&line["shadow_hits"], None) {
            *shadow.entry(hit).or_insert(0) += 1;
        }
        let cold = |id: &String| rules.rules.iter().any(|one| one.0 == id && warming(one.4));
        if rules.features.iter().any(|(name, _)| warming(name)) {
            for (key, id) in [("reasons", Some("rule")), ("shadow_hits", None)] {
                let mut expected = ids(&other.lines[at][key], id);
                expected.retain(|id| !cold(id));
                assert_eq!(ids(&line[key], id), expected, "{key} of {line}");
            }
            assert_eq!(line["rules_hash"], other.lines[at]["rules_hash"]);
        } else {
            assert_eq!(line, &other.lines[at]);
        }
    }
    let rules = &found.outcome.judgement.rules;
    let judged = rules.iter().map(|one| (one.rule.id.clone(), one.hits.count));
    let judged: BTreeMap<String, u64> = judged.filter(|(_, count)| *count > 0).collect();
    assert_eq!(judged, hits, "the judge's hits are by id");
    assert_eq!(found.count_of(&found.outcome.facts.shadow_hits), shadow);
}

/// A log, the rules with which it begins, and changes: a place in the order of events, ms after
/// that event's effective time, and the rules.
fn histories() -> impl Strategy<Value = (Log, i64, usize, Vec<(i64, usize)>)> {
    let after = prop::sample::select(vec![0, 0, 0, 1, -1, 30_000, -100_000]);
    let change = (any::<prop::sample::Index>(), after, 0usize..3);
    let lateness = prop::sample::select(vec![0, 2 * MINUTE]);
    (history(), lateness, 0usize..3, prop::collection::vec(change, 0..5)).prop_map(
        |(mut log, lateness, first, changes)| {
            log.header = format!("allowed_lateness = \"{}s\"\n", lateness / 1_000);
            let order = expected(&log, lateness, 5 * MINUTE);
            let time = |at: prop::sample::Index| match order.len() {
                0 => START,
                count => order[at.index(count)].1,
            };
            let changes: Vec<(i64, usize)> =
                changes.into_iter().map(|(at, after, rules)| (time(at) + after, rules)).collect();
            let start = order.first().map_or(START, |first| first.1);
            (log, start, first, changes)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn after_a_change_it_is_as_if_the_new_rules_had_run_alone(
        (log, start, first, changes) in histories()
    ) {
        let rules: Vec<Vec<File>> = RULES.iter().map(Rules::files).collect();
        let plain = written(&log, &rules);
        let decides = log.records.iter().flatten().any(|record| match &record.body {
            Body::Event(ev) => ev.kind == "claim" && ev.time <= record.append_time + 5 * MINUTE,
            Body::Bytes(_) => false,
        });
        prop_assume!(decides);
        let alone: Vec<Ran> = (0..RULES.len()).map(|at| run(&plain, at, CUTS[0])).collect();
        let phases = phases(first, &changes);
        let control = changes.iter().map(|(time, rules)| backfilled(*time, *rules)).collect();
        let changed = written(&Log { control, ..log.clone() }, &rules);
        // As if all had come before the first event.
        compare(&run(&changed, first, CUTS[1]), &alone, &phases, i64::MAX);
        let control = changes.iter().map(|(time, rules)| change(*time, *rules)).collect();
        let changed = written(&Log { control, ..log }, &rules);
        let found = run(&changed, first, CUTS[0]);
        compare(&found, &alone, &phases, start);
        for cut in &CUTS[1..] {
            let again = run(&changed, first, *cut);
            prop_assert_eq!(&again.lines, &found.lines, "cut {:?}", cut);
            prop_assert_eq!(&again.features, &found.features, "cut {:?}", cut);
            prop_assert_eq!(&again.outcome.facts, &found.outcome.facts, "cut {:?}", cut);
        }
    }
}

/// Claims in one partition.
fn claims(events: impl IntoIterator<Item = Ev>, control: String) -> Log {
    let record = |(offset, ev): (usize, Ev)| Record {
        offset: offset as u64,
        append_time: ev.time,
        body: Body::Event(ev),
    };
    let records = vec![events.into_iter().enumerate().map(record).collect()];
    Log { records, control, ..Log::default() }
}

/// A rule that ever decided is judged as a live one, whatever it was before or after.
#[test]
fn a_rule_is_live_to_the_judge_if_it_ever_was() {
    // Its name, its status at first and after the change, and what the judge takes it for.
    let told = [
        ("draft-then-shadow", "draft", "shadow", Status::Shadow),
        ("live-then-draft", "live", "draft", Status::Live),
        ("live-to-the-end", "live", "live", Status::Live),
        ("never-run", "draft", "retired", Status::Retired),
        ("shadow-then-live", "shadow", "live", Status::Live),
        ("shadow-then-retired", "shadow", "retired", Status::Shadow),
    ];
    let rules = [0, 1].map(|phase| {
        let file = |row: &(&str, &'static str, &'static str, Status)| {
            let path = format!("funds/{}.toml", row.0).leak();
            rule(path, [row.1, row.2][phase], 1, "amount_fen > 0")
        };
        told.iter().map(file).collect::<Vec<File>>()
    });
    let events = (0..4).map(|at| claim(&format!("e{at}"), at * MINUTE, "u"));
    let log = written(&claims(events, change(START + 2 * MINUTE, 1)), &rules);
    let found = run(&log, 0, CUTS[1]).outcome.judgement.rules;
    let found: Vec<(&str, Status)> =
        found.iter().map(|one| (one.rule.id.as_str(), one.rule.status)).collect();
    assert_eq!(found, told.map(|row| (row.0, row.3)));
}

/// The event at the very time is the new rules', with all that share its time; what is new is null
/// until a full window has passed, and what is not goes on. All of it is told.
#[test]
fn a_change_holds_from_its_very_time_on() {
    let minutes = [0, 5, 9, 10, 10, 12, 13, 14];
    let events = minutes.iter().enumerate().map(|(at, minute)| {
        let ev = claim(&format!("e{at}"), minute * MINUTE, "u");
        // One ms before the change.
        if at == 2 { Ev { time: START + 10 * MINUTE - 1, ..ev } } else { ev }
    });
    let log = claims(events, change(START + 10 * MINUTE, 1));
    let filled = Log { control: backfilled(START + 10 * MINUTE, 1), ..log.clone() };
    let of = |declared_: &[Declared], score| {
        vec![declared(declared_), rule("funds/many.toml", "live", score, "t.count >= 2")]
    };
    let rules = [of(&[COUNT, SUM], 300), of(&[COUNT_SHORTER, SUM], 600)];
    let log = written(&log, &rules);
    let found = run(&log, 0, (2, HOUR, 64));
    let facts = &found.outcome.facts;
    let hashes = [facts.rules_hash.clone(), facts.changes[0].rules_hash.clone()];
    for (at, line) in found.lines.iter().enumerate() {
        assert_eq!(line["rules_hash"], hashes[usize::from(at >= 3)], "{line}");
    }
    let counts = found.feature("t.count");
    // Three minutes after the change its window holds the claims of (10, 13].
    assert_eq!(
        counts.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
        ["1", "2", "3", "", "", "", "2", "3"]
    );
    // Backfilled, it has those of (7, 10] at once.
    let filled = run(&written(&filled, &rules), 0, (2, HOUR, 64));
    let counts = filled.feature("t.count");
    let counts: Vec<&str> = counts.iter().map(|(_, value)| &**value).collect();
    assert_eq!(counts, ["1", "2", "3", "2", "3", "4", "2", "3"]);
    assert_eq!(filled.outcome.facts.changes[0].warming, []);
    let sums = found.feature("t.sum").iter().map(|(_, value)| *value).collect::<Vec<_>>();
    assert_eq!(sums, ["100", "100", "200", "200", "300", "400", "500", "600"]);
    assert_eq!(found.line("e2")["decision"], "review");
    assert_eq!(found.line("e3")["decision"], "allow");
    assert_eq!(found.line("e6")["decision"], "hold");
    assert_eq!(found.count_of(&facts.not_evaluable), BTreeMap::from([("many".to_owned(), 3)]));
    assert_eq!(found.outcome.judgement.rules.len(), 1, "a rule is one, however often it changes");
    assert_eq!(found.outcome.judgement.rules[0].hits.count, 4);
    assert_eq!(found.outcome.judgement.rules[0].marginal, 4);

    let until = START + 13 * MINUTE;
    let told = fs::read_to_string(found.directory.path().join("run.toml")).unwrap();
    let told: toml_edit::DocumentMut = told.parse().unwrap();
    let table = told["changes"].as_array_of_tables().unwrap().get(0).unwrap();
    assert_eq!(table["effective_time"].as_integer(), Some(START + 10 * MINUTE));
    assert_eq!(table["rules"].as_str(), Some("rules-1"));
    assert_eq!(table["rules_hash"].as_str(), Some(&*hashes[1]));
    assert_eq!(table["warming_until"]["t.count"].as_integer(), Some(until));
    assert_eq!(table["warming_until"].as_inline_table().unwrap().len(), 1);
    assert_eq!(found.outcome.metrics["changes"][0]["warming"][0]["until"], until);
}

/// Rules that are in force before the first event are so from the beginning, and those of a change
/// after the last event decide nothing.
#[test]
fn a_change_outside_the_events_is_no_change_inside() {
    let rules: Vec<Vec<File>> = RULES.iter().map(Rules::files).collect();
    let events = || (0..30).map(|at| claim(&format!("e{at:02}"), at * 20_000, "u"));
    let of = |first, changes: &[(i64, usize)]| {
        let control = changes.iter().map(|(time, rules)| change(*time, *rules)).collect();
        run(&written(&claims(events(), control), &rules), first, CUTS[2])
    };
    let (one, two) = (of(0, &[]), of(1, &[]));
    assert_ne!(one.lines, two.lines);
    assert_eq!(of(0, &[(START, 1)]).lines, two.lines);
    assert_eq!(of(0, &[(START - HOUR, 2), (START - HOUR, 0), (START - 1, 1)]).lines, two.lines);
    let after = of(1, &[(START + HOUR, 0)]);
    assert_eq!(after.outcome.facts.decisions_digest, two.outcome.facts.decisions_digest);
    assert!(after.outcome.facts.changes.is_empty(), "it is no part of what happened");
    let judged = |run: &Ran| run.outcome.judgement.rules.clone();
    assert_eq!(judged(&after), judged(&two), "nor are its rules");
}

const LISTED: Declared = (
    "t.listed",
    "over = ['claim']\nwhere = \"in_list('watched', counterparty_id)\"\nkey = ['account_id']\n\
     agg = 'count'\nwindow = '1h'",
);
const SPOKEN: Declared = (
    "t.spoken",
    "over = ['message']\nwhere = 'text.gambling > 0'\nkey = ['account_id']\nagg = 'count'\n\
     window = '1h'",
);

/// Rules that count by a list and a phrase.
fn listening(listed: &str, phrase: &str) -> Vec<File> {
    let list = format!("value,valid_from,valid_until,added_by,reason\n{listed},,,x,x\n");
    vec![
        declared(&[LISTED, SPOKEN]),
        ("lists/watched.csv", list),
        ("text/phrases/all.txt", format!("[gambling]\n{phrase}\n")),
    ]
}

/// Claims of senders that one or the other list has, and messages with one or the other phrase, half
/// of them in the first five minutes.
fn spoken() -> Vec<Ev> {
    let from = |id: &str, minute: i64, counterparty: &str| Ev {
        counterparty: counterparty.to_owned(),
        ..claim(id, minute * MINUTE, "u")
    };
    let says = |id: &str, minute: i64, text: &str| Ev {
        kind: "message",
        text: text.to_owned(),
        counterparty: String::new(),
        amount: None,
        ..claim(id, minute * MINUTE, "u")
    };
    vec![
        from("a", 0, "x"),
        from("b", 1, "y"),
        says("m", 2, "快来扫雷"),
        says("n", 3, "今天上分"),
        from("c", 4, "x"),
        from("d", 5, "x"),
        says("o", 6, "快来扫雷"),
        says("p", 7, "今天上分"),
        from("e", 8, "y"),
    ]
}

/// Whether an event contributes is for the rules of its time: their lists and phrases. Changed
/// ones do not make the feature another.
#[test]
fn lists_and_phrases_decide_on_the_events_of_their_time() {
    let log = claims(spoken(), change(START + 5 * MINUTE, 1));
    let log = written(&log, &[listening("x", "扫雷"), listening("y", "上分")]);
    let found = run(&log, 0, (2, HOUR, 64));
    let expected = [("a", "1"), ("b", "1"), ("c", "2"), ("d", "2"), ("e", "3")];
    assert_eq!(found.feature("t.listed"), expected);
    let expected = [("a", "0"), ("b", "0"), ("c", "1"), ("d", "1"), ("e", "2")];
    assert_eq!(found.feature("t.spoken"), expected);
    assert_eq!(found.outcome.facts.changes[0].warming, []);
}

/// Rules before a change that have no such condition had no lists and phrases for it: what the change
/// brings is as if its own had been there. Rules after it that drop the feature do not make what comes
/// meanwhile uncounted.
#[test]
fn what_a_change_brings_has_counted_what_came_before() {
    let control = backfilled(START + 5 * MINUTE, 1)
        + &backfilled(START + 5 * MINUTE + 1, 0)
        + &backfilled(START + 8 * MINUTE, 1);
    let log = claims(spoken(), control);
    let log = written(&log, &[vec![declared(&[COUNT])], listening("y", "上分")]);
    let found = run(&log, 0, (2, HOUR, 64));
    let expected = [("a", ""), ("b", ""), ("c", ""), ("d", "1"), ("e", "2")];
    assert_eq!(found.feature("t.listed"), expected);
    assert_eq!(found.feature("t.spoken"), expected);
}

/// A named condition is what it stands for: writing it out changes nothing, another meaning does.
#[test]
fn a_named_condition_is_what_it_stands_for() {
    let of = |where_: &str, meaning: &str| -> Vec<File> {
        let table = format!(
            "[t.small]\nover = ['claim']\nwhere = '{where_}'\nkey = ['account_id']\n\
             agg = 'count'\nwindow = '10m'\ndoc = 'x'\n"
        );
        vec![("features.toml", table), ("conditions.toml", format!("small = '{meaning}'\n"))]
    };
    let sets = [
        of("small && amount_fen > 1", "amount_fen > 0 && amount_fen < 500"),
        of("amount_fen > 0 && amount_fen < 500 && amount_fen > 1", "amount_fen < 7"),
        of("small && amount_fen > 1", "amount_fen > 0 && amount_fen < 501"),
    ];
    let events = (0..3).map(|at| claim(&format!("e{at}"), at * MINUTE, "u"));
    let control = change(START + MINUTE, 1) + &change(START + 2 * MINUTE, 2);
    let found = run(&written(&claims(events, control), &sets), 0, CUTS[1]);
    let values: Vec<&str> = found.feature("t.small").iter().map(|(_, value)| *value).collect();
    assert_eq!(values, ["1", "2", ""]);
}

/// What decisions added up to on an account is not forgotten when rules change.
#[test]
fn verdicts_outlast_the_rules_that_led_to_them() {
    let policy = "[verdicts.account]\nenforce = true\nban = { decisions = 1 }\n".to_owned();
    let strict = rule("funds/strict.toml", "live", 900, "account_id == 'u'");
    let sets = [vec![("policy.toml", policy.clone()), strict], vec![("policy.toml", policy)]];
    let events = ["u", "u", "v"].into_iter().enumerate();
    let events = events.map(|(at, who)| claim(&format!("e{at}"), at as i64 * MINUTE, who));
    let found = run(&written(&claims(events, change(START + MINUTE, 1)), &sets), 0, CUTS[1]);
    let decided: Vec<&Value> = found.lines.iter().map(|line| &line["decision"]).collect();
    assert_eq!(decided, ["block", "block", "allow"]);
    assert_eq!(found.line("e1")["score"], 0);
}

/// A calendar day is a full window from its midnight on, in the policy's time zone; a change at
/// midnight leaves nothing to wait for.
#[test]
fn a_calendar_day_is_full_from_midnight_on() {
    let midnight = 4 * HOUR;
    let times = [0, HOUR, midnight - 1, midnight, midnight + HOUR];
    let events = || (0..).zip(times).map(|(at, after)| claim(&format!("e{at}"), after, "u"));
    let sets = [vec![], vec![declared(&[TODAY])]];
    let rows = [
        (HOUR, ["", "", "", "1", "1"], Some(midnight)),
        (midnight - 1, ["", "", "", "1", "1"], Some(midnight)),
        (midnight, ["", "", "", "1", "1"], None),
        (midnight + 1, ["", "", "", "", ""], Some(midnight + 24 * HOUR)),
    ];
    for (after, expected, until) in rows {
        let log = written(&claims(events(), change(START + after, 1)), &sets);
        let found = run(&log, 0, CUTS[0]);
        let values: Vec<&str> = found.feature("t.today").iter().map(|(_, value)| *value).collect();
        assert_eq!(values, expected, "a change after {after}");
        let told = &found.outcome.facts.changes[0].warming;
        assert_eq!(told.first().map(|one| one.until), until.map(|until| START + until));
    }
}

/// Everything that is shipped, clusters included: a change to the same rules at any time is none.
#[test]
fn a_change_to_the_same_rules_changes_nothing() {
    let stories = ["device-farm", "gambling-mine-group", "class-fee"];
    let story = |name| workspace().join("fixtures/stories").join(name).join("events.csv");
    let inputs: Vec<Input> =
        stories.into_iter().map(|name| Input::plain(story(name))).collect::<Vec<_>>();
    let Ok(read) = source::read_all(&inputs, &std::sync::Arc::new(Schema::default()), &()) else {
        panic!("the stories are good");
    };
    let mut times = Vec::new();
    let mut lines = String::new();
    for chunk in &read.chunks {
        for row in 0..chunk.len() {
            let time = chunk.int(hongxian::event::EVENT_TIME, row);
            let (offset, value) = (times.len(), chunk.to_json(row));
            lines += &format!("{{\"offset\":{offset},\"append_time\":{time},\"value\":{value}}}\n");
            times.push(time);
        }
    }
    times.sort_unstable();
    let log = |control: String| {
        // The lines are in the order of stories: with that much lateness none is late.
        let header = "allowed_lateness = \"1d\"\n".to_owned();
        let log = Log { records: vec![Vec::new()], header, control, ..Log::default() }.write();
        fs::write(log.path().join("partitions/0.jsonl"), &lines).unwrap();
        copy(&workspace().join("rules"), &log.path().join("rules-0"));
        log
    };
    let plain = run(&log(String::new()), 0, CUTS[0]);
    let places = (1..12).map(|nth| times[nth * times.len() / 12] + (nth as i64 % 3) * 3_333);
    let changed = log(places.map(|time| change(time, 0)).collect());
    for cut in CUTS {
        let found = run(&changed, 0, cut);
        assert_eq!(found.outcome.facts.changes.len(), 11);
        assert_eq!(
            found.outcome.facts.decisions_digest, plain.outcome.facts.decisions_digest,
            "cut {cut:?}"
        );
        assert_eq!(found.features, plain.features, "cut {cut:?}");
        assert_eq!(found.outcome.judgement, plain.outcome.judgement, "cut {cut:?}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// What is said of a log with that `control.jsonl` and those rules, with which nothing runs.
fn refused(control: String, rules: &[Vec<File>]) -> String {
    refused_in_both(control, rules)[0].clone()
}

/// The same in English and in Chinese.
fn refused_in_both(control: String, rules: &[Vec<File>]) -> [String; 2] {
    let log = written(&claims([claim("e", 0, "u")], control), rules);
    let rules: PathBuf = log.path().join("rules-0");
    let events = Events::Log { path: log.path().to_owned(), lateness: None };
    let Err(failure) = ran(events, Some(rules), CUTS[0]) else { panic!("it ran") };
    assert_eq!(failure.exit_code(), 2);
    let said = [Lang::En, Lang::Zh].map(|lang| failure.render(lang, false));
    assert!(said[1].contains("错误"));
    said
}

/// What a run as a whole depends on cannot change inside it.
#[test]
fn what_holds_for_a_run_cannot_change_inside() {
    let rows = [
        ("time_zone = 'UTC'", "time_zone"),
        ("graph_tick = '1s'", "graph_tick"),
        ("dedup_window = '1d'", "dedup_window"),
        ("allowed_lateness = '1s'", "allowed_lateness"),
        ("max_ahead = '1m'", "max_ahead"),
        ("[devices]\nhub_limit = 7", "clusters.links"),
        ("[clusters]\nenabled = false", "clusters.enabled"),
        ("[clusters]\nwindow = '1d'", "clusters.window"),
        ("[funds]\ncounterparties_max = 9", "funds.counterparties_max"),
        ("[verdicts.account]\nenforce = true", "verdicts.account"),
        ("[verdicts.group]\nban = false", "verdicts.group"),
    ];
    let control = format!("\n{}", change(START + MINUTE, 1));
    for (policy, name) in rows {
        let said = refused(control.clone(), &[vec![], vec![("policy.toml", policy.to_owned())]]);
        let parts = ["fixed-setting", "control.jsonl:2:1", &format!("`{name}` cannot change")];
        for part in parts {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
        assert_eq!(said.matches("fixed-setting").count(), 1, "{said}");
    }
}

/// In Chinese nothing is English but what stands so in a file: names of settings, and durations.
#[test]
fn what_cannot_change_is_told_in_chinese() {
    let policy = "[verdicts.account]\nenforce = true\nrestrict = { decisions = 2 }\nban = false";
    let rules = [vec![], vec![("policy.toml", policy.to_owned())]];
    let [_, said] = refused_in_both(change(START + MINUTE, 1), &rules);
    let told = said.lines().find(|line| line.contains("不能在运行中改变")).expect("a line");
    let told = told.split_once("`verdicts.account`").expect("the setting").1;
    let words = told.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let english: Vec<&str> =
        words.filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic())).collect();
    assert_eq!(english, Vec::<&str>::new(), "{said}");
    for part in ["7d 内有 2 次决策为暂缓或更严", "直至人工解除", "封禁:从不", "强制执行"]
    {
        assert!(told.contains(part), "{part} is not in\n{said}");
    }
}

/// What the log says of times holds whatever rules say, and rules that are undone at the moment at
/// which they come are never in force.
#[test]
fn what_is_never_in_force_may_say_what_it_likes() {
    let policy = |text: &str| vec![("policy.toml", text.to_owned())];
    let rules = [
        policy("allowed_lateness = '1s'"),
        policy("allowed_lateness = '5s'\nmax_ahead = '1m'"),
        policy("graph_tick = '1s'"),
    ];
    let events = (0..5).map(|at| claim(&format!("e{at}"), at * 20_000, "u"));
    let control = change(START + MINUTE, 2) + &change(START + MINUTE, 1);
    let header = "allowed_lateness = \"2s\"\nmax_ahead = \"5m\"\n".to_owned();
    let log = written(&Log { header, ..claims(events, control) }, &rules);
    let told = run(&log, 0, CUTS[1]).outcome.facts.changes;
    assert_eq!(told.iter().map(|one| one.rules.as_str()).collect::<Vec<_>>(), ["rules-1"]);
}

/// All mistakes of all directories at once, each at its place, and nothing runs.
#[test]
fn all_mistakes_of_all_rules_are_said_at_once() {
    let bad = |when: &str| vec![rule("funds/bad.toml", "live", 1, when)];
    let control = change(START, 1) + &change(START + 1, 9) + &change(START + 2, 2);
    let said = refused(control, &[bad("a.b > 1"), bad("c.d > 1"), bad("1 +")]);
    let parts = [
        "rules-0/funds/bad.toml",
        "rules-1/funds/bad.toml",
        "rules-2/funds/bad.toml",
        "control.jsonl:2:1",
        "rules-9",
    ];
    for part in parts {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    let typed = |agg: &str| {
        let body = format!("over = ['claim']\nkey = ['account_id']\nagg = '{agg}'\nwindow = '1m'");
        vec![declared(&[("t.x", body.leak())])]
    };
    let said = refused(
        change(START, 1) + &change(START, 2),
        &[typed("sum"), typed("count"), typed("mean")],
    );
    assert!(said.contains("feature-type-changed") && said.contains("control.jsonl:2:1"), "{said}");
    assert!(said.contains("`t.x`"), "{said}");
    for (time, rules, part) in
        [(5, "rules-0", "outside"), (START, "/rules", "relative"), (START, "", "relative")]
    {
        let line = json!({"kind": "change", "effective_time": time, "rules": rules});
        let said = refused(format!("{line}\n"), &[vec![]]);
        assert!(said.contains("bad-control") && said.contains(part), "{part} is not in\n{said}");
    }
}

/// A line may say which rules it means: then others in their place are refused, and both are named.
#[test]
fn a_change_may_say_the_hash_of_its_rules() {
    let rules = |score| [vec![], vec![rule("funds/any.toml", "live", score, "amount_fen > 0")]];
    let log =
        |control| claims((0..3).map(|at| claim(&format!("e{at}"), at * MINUTE, "u")), control);
    let decided = |score, control| run(&written(&log(control), &rules(score)), 0, CUTS[1]);
    let silent = || change(START + MINUTE, 1);
    let [(hash, digest), (other, _)] = [300, 301].map(|score| {
        let found = decided(score, silent());
        let hash = found.line("e2")["rules_hash"].as_str().unwrap().to_owned();
        (hash, found.outcome.facts.decisions_digest)
    });
    let telling = |hash: &str| silent().replace('}', &format!(",\"rules_hash\":\"{hash}\"}}"));

    assert_eq!(decided(300, telling(&hash)).outcome.facts.decisions_digest, digest);

    let said = refused_in_both(format!("\n{}", telling(&hash)), &rules(301));
    let hint = ["put the rules back as they were", "请恢复当时的规则"];
    for (said, hint) in said.iter().zip(hint) {
        let parts = ["rules-hash-differs", "control.jsonl:2:1", "rules-1", &hash, &other, hint];
        for part in parts {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
    }
    for wrong in ["", "abc", &hash.replace(|c: char| c.is_ascii_digit(), "A"), &hash[1..]] {
        let said = refused(telling(wrong), &rules(300));
        assert!(said.contains("bad-control") && said.contains("64 digits"), "{said}");
    }
}
