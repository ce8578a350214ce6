//! Rules that come into force while a session goes on: what is decided is what a backtest decides
//! whose log tells of the changes, at any number of workers, also over snapshots.

use std::path::Path;
use std::sync::Arc;

use hongxian::changes::{self, Candidate, Timetable};
use hongxian::diagnostic::Lang;
use hongxian::event::Schema;
use hongxian::model::Artefacts;
use hongxian::run::{Laid, Session};
use hongxian::source::log::Changes;
use proptest::prelude::*;
use serde_json::Value;

use super::setup::{
    COUNT, COUNT_SHORTER, File, RULES, Rules, backfilled, declared, rule, run, written,
};
use super::{CUTS, MINUTE, claims};
use crate::input_log::claim;
use crate::support::{Ev, START, chunk};

fn timetable(directory: &Path, schema: &Arc<Schema>) -> Timetable {
    let (changes, models) = (Changes::default(), Artefacts::default());
    changes::load(Some(directory), &changes, &models, schema).expect("they are right")
}

fn candidate(begun: &Timetable, directory: &Path, schema: &Arc<Schema>) -> Candidate {
    begun.candidate(Some(directory), Artefacts::default(), schema).expect("they are right")
}

/// What cannot change inside a run is shown where it stands; what stands nowhere, of the file.
#[test]
fn what_cannot_change_is_shown_at_its_key() {
    let schema = Arc::new(Schema::default());
    for (policy, place) in [
        ("# as before\nlanguage = 'en'\ngraph_tick = '1s'\n", "policy.toml:3:1"),
        ("[clusters]\nenabled = true\nwindow = '1d'\n", "policy.toml:3:1"),
        ("[devices]\nhub_limit = 7\n", "policy.toml: `clusters.links` cannot change"),
    ] {
        let rules = [vec![], vec![("policy.toml", policy.to_owned())]];
        let log = written(&claims([claim("e", 0, "u")], String::new()), &rules);
        let begun = timetable(&log.path().join("rules-0"), &schema);
        let next = log.path().join("rules-1");
        let Err(failure) = begun.candidate(Some(&next), Artefacts::default(), &schema) else {
            panic!("it is taken: {policy}")
        };
        let said = failure.render(Lang::En, false);
        assert!(said.contains("fixed-setting") && said.contains(place), "{place}: {said}");
    }
}

/// What a session does after an event.
#[derive(Clone, Debug)]
enum After {
    /// So many ms after it, rules come into force.
    Change(i64, usize),
    /// It is saved, and another goes on, with so many workers.
    Save(usize),
}

/// Feeds events one by one, with what is done after each.
fn live(
    (log, first): (&Path, usize),
    events: &[Ev],
    done: &[(usize, After)],
    workers: usize,
) -> Vec<Value> {
    let schema = Arc::new(Schema::default());
    let rules = |at: usize| log.join(format!("rules-{at}"));
    let begun = timetable(&rules(first), &schema);
    let mut to_come: Vec<Candidate> = Vec::new();
    for (_, after) in done {
        if let After::Change(_, at) = after {
            to_come.push(candidate(&begun, &rules(*at), &schema));
        }
    }
    let laid = Laid::new(begun, to_come.clone());
    let mut session = Session::of(laid, &schema, workers, None).ok().unwrap();
    let mut lines = String::new();
    let mut step: Vec<Ev> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        step.push(event.clone());
        let next = events.get(at + 1).map(|next| next.time);
        let acts = done.iter().any(|(after, _)| *after == at);
        // No moment is divided; and some steps hold many, so that a change falls inside.
        if next == Some(event.time) || (!acts && at % 3 == 1 && next.is_some()) {
            continue;
        }
        let effective = step.iter().map(|event| event.time).collect();
        session.feed(chunk(&step), effective, event.time + 1);
        step.clear();
        while let Some(scored) = session.next_part(true).ok().unwrap() {
            lines.push_str(&scored.lines());
        }
        for (_, after) in done.iter().filter(|(after, _)| *after == at) {
            match after {
                After::Change(ms, _) => {
                    let next = to_come.remove(0);
                    assert_eq!(session.lacks(&next), None);
                    let told = session.change(&next, event.time + 1 + ms);
                    assert_eq!(told.effective_time, event.time + 1 + ms);
                }
                After::Save(workers) => {
                    let state = session.save().ok().unwrap();
                    let laid = Laid::new(session.timetable().clone(), to_come.clone());
                    assert_eq!(laid.layout(), session.layout());
                    session =
                        Session::of(laid, &schema, *workers, Some(state.into())).ok().unwrap();
                }
            }
        }
    }
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Events with pauses, and what is done after which of them; changes come one after the other.
fn histories() -> impl Strategy<Value = (Vec<Ev>, Vec<(usize, After)>)> {
    let event = (0i64..9, 0u8..3, 0u8..8);
    let after = prop_oneof![
        3 => (prop::sample::select(vec![0i64, 0, 1, 30_000, 200_000]), 0usize..3)
            .prop_map(|(ms, rules)| After::Change(ms, rules)),
        1 => (1usize..4).prop_map(After::Save),
    ];
    let done = prop::collection::vec((any::<prop::sample::Index>(), after), 0..5);
    (prop::collection::vec(event, 5..80), done).prop_map(|(parts, done)| {
        let mut now = 0;
        let events: Vec<Ev> = parts
            .iter()
            .enumerate()
            .map(|(at, (gap, account, kind))| {
                now += gap * gap * 2_000;
                let mut ev = claim(&format!("e{at:03}"), now, &format!("u{account}"));
                ev.kind = if *kind == 0 { "message" } else { "claim" };
                ev
            })
            .collect();
        let mut done: Vec<(usize, After)> =
            done.into_iter().map(|(at, after)| (at.index(events.len()), after)).collect();
        done.sort_by_key(|(at, _)| *at);
        let mut last = i64::MIN;
        done.retain(|(at, after)| {
            let After::Change(ms, _) = after else { return true };
            let time = events[*at].time + 1 + ms;
            // No events of one moment are on both sides.
            let next = events.get(at + 1).map(|next| next.time);
            let taken = time > last && next != Some(events[*at].time);
            last = if taken { time } else { last };
            taken
        });
        done.retain(|(at, _)| events.get(at + 1).map(|next| next.time) != Some(events[*at].time));
        (events, done)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn what_changes_in_a_session_is_what_a_log_tells(
        (events, done) in histories(), first in 0usize..3
    ) {
        prop_assume!(events.iter().any(|event| event.kind == "claim"));
        let changes = done.iter().filter_map(|(at, after)| match after {
            After::Change(ms, rules) => Some(backfilled(events[*at].time + 1 + ms, *rules)),
            After::Save(_) => None,
        });
        let rules: Vec<Vec<File>> = RULES.iter().map(Rules::files).collect();
        let log = written(&claims(events.iter().cloned(), changes.collect()), &rules);
        let expected = run(&log, first, CUTS[0]).lines;
        for workers in [1, 2, 4] {
            let found = live((log.path(), first), &events, &done, workers);
            prop_assert_eq!(&found, &expected, "{} workers", workers);
        }
    }
}

/// The negative control: a change that comes a moment early is not what the log tells.
#[test]
fn a_change_that_comes_early_is_another() {
    let events: Vec<Ev> = (0..20).map(|at| claim(&format!("e{at:02}"), at * 20_000, "u")).collect();
    let rules: Vec<Vec<File>> = RULES.iter().map(Rules::files).collect();
    let log = written(&claims(events.clone(), backfilled(START + 160_001, 2)), &rules);
    let expected = run(&log, 0, CUTS[0]).lines;
    let after = |at, ms| live((log.path(), 0), &events, &[(at, After::Change(ms, 2))], 2);
    assert_eq!(after(8, 0), expected);
    assert_eq!(after(5, 60_000), expected, "told before it is in force");
    assert_ne!(after(7, 0), expected);
}

/// Whether all is computed that other rules need, and if not, what.
#[test]
fn a_session_says_what_it_does_not_compute() {
    let schema = Arc::new(Schema::default());
    let of = |feature, score| {
        vec![declared(&[feature]), rule("funds/many.toml", "live", score, "t.count >= 2")]
    };
    let rules = [of(COUNT, 300), of(COUNT, 600), of(COUNT_SHORTER, 300)];
    let log = written(&claims([claim("e", 0, "u")], String::new()), &rules);
    let directory = |at: usize| log.path().join(format!("rules-{at}"));
    let begun = timetable(&directory(0), &schema);
    let [same, other] = [1, 2].map(|at| candidate(&begun, &directory(at), &schema));
    let laid = Laid::new(begun, Vec::new());
    let mut session = Session::of(laid, &schema, 1, None).ok().unwrap();
    assert_eq!(session.lacks(&same), None);
    assert_eq!(session.lacks(&other), Some(vec!["t.count".to_owned()]));
    session.feed(chunk(&[claim("e", 0, "u")]), vec![START], START + 1);
    while session.next_part(true).ok().unwrap().is_some() {}
    let told = session.change(&same, START + MINUTE);
    assert_eq!(told.effective_time, START + MINUTE);
    // What a change takes away is still computed when another brings it back.
    let none = begun_again(&log.path().join("rules-3"), session.timetable(), &schema);
    session.change(&none, START + 2 * MINUTE);
    let back = candidate(session.timetable(), &directory(0), &schema);
    assert_eq!(session.lacks(&back), None);
    session.change(&back, START + 3 * MINUTE);
}

fn begun_again(directory: &Path, begun: &Timetable, schema: &Arc<Schema>) -> Candidate {
    super::setup::write_rules(directory, &[rule("funds/any.toml", "live", 1, "amount_fen > 0")]);
    candidate(begun, directory, schema)
}
