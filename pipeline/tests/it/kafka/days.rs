//! What a stream decides, by day: a run that every command reads, whole after any crash.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use arrow::util::display::array_value_to_string;
use hongxian::finished::FinishedRun;

use super::bench::{Bench, Sent, claim_json, hongxian};
use super::cluster::{hosts_table, start};
use super::crashes::send_and_kill;
use super::reload::{FEATURES, RULE};
use super::{ended, signal, succeeds, until};

const HOUR: i64 = 3_600_000;

fn days_of(bench: &Bench) -> Vec<PathBuf> {
    let mut days: Vec<PathBuf> = std::fs::read_dir(bench.path("days"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("run.toml").exists())
        .collect();
    days.sort();
    days
}

/// A configuration with days, and snapshots as often as there are commits.
fn configure(bench: &Bench, more: &str) {
    bench.configure(&bench.rules());
    let text = std::fs::read_to_string(bench.config()).unwrap();
    let tables = format!(
        "[days]\ndir = 'days'\ninterval = '50ms'\n{more}\n\
         [snapshots]\ndir = 'snapshots'\ninterval = '1ms'\n"
    );
    std::fs::write(bench.config(), text + &tables).unwrap();
}

/// Events of accounts in turn, an hour apart, some a little out of order.
fn hours(range: std::ops::Range<i64>) -> impl Iterator<Item = Sent> {
    range.map(|at| {
        let after = at * HOUR - if at % 5 == 0 { 1_500 } else { 0 };
        let json = claim_json(&format!("e{at}"), after, at % 3, at);
        Sent { partition: 0, value: Some(json.into_bytes()) }
    })
}

fn run(arguments: &[&str]) -> Command {
    let mut command = hongxian();
    command.args(arguments).args(["--lang", "en"]);
    command
}

fn digest_of(path: &std::path::Path) -> String {
    succeeds(hongxian().arg("digest").arg(path)).trim().to_owned()
}

/// While a stream runs, its days together are what its topic has, and each of them is a run for
/// every command that takes one.
#[test]
fn days_that_grow_are_runs_and_together_the_topic() {
    let Some(bench) = Bench::new("days", 1) else { return };
    configure(&bench, "");
    bench.send(hours(0..60));
    let child = bench.spawn(&[]);
    let out = bench.path("days");
    let all_there = |many: usize| {
        bench.decided().len() == many && days_of(&bench).len() > 2 && {
            digest_of(&out) == bench.digest()
        }
    };
    until("the days are not those of the topic", || all_there(60));
    // The input rests meanwhile, and goes on after it.
    bench.send(hours(60..70));
    until("the days do not grow", || all_there(70));
    let rules = bench.rules();
    let rules = rules.to_str().unwrap();
    let out_name = out.to_str().unwrap();
    let verified = succeeds(&mut run(&["verify", out_name]));
    assert!(verified.contains("70 decisions") && verified.contains("every decision is the same"));
    let mut decided = 0;
    for day in days_of(&bench) {
        let name = day.to_str().unwrap();
        let metrics = std::fs::read_to_string(day.join("metrics.json")).unwrap();
        let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
        assert_eq!(metrics["decisions_digest"], digest_of(&day).as_str());
        decided += metrics["counts"]["decided"].as_u64().unwrap();
        succeeds(&mut run(&["verify", name]));
        succeeds(&mut run(&["profile", name, "u1"]));
        succeeds(&mut run(&["lens", name]));
        let diff: serde_json::Value =
            serde_json::from_str(&succeeds(&mut run(&["diff", name, "--rules", rules, "--json"])))
                .unwrap();
        assert_eq!(diff["changed"].as_u64().unwrap_or(0), 0, "the same rules: {diff}");
    }
    assert_eq!(decided, 70, "no event is of two days");
    // 31 hours after 20:00 in Shanghai, where it is the next day already.
    let place = out.join("2024-02-11");
    let told = succeeds(&mut run(&["explain", place.to_str().unwrap(), "e31"]));
    assert!(told.contains("e31"), "{told}");
    succeeds(&mut run(&["explain", out_name, "e31"]));
    succeeds(&mut run(&["why-not", out_name, "e31", "--rule", "many"]));
    signal(&child, "-TERM");
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
}

/// Killed anywhere, also inside a transaction and while parts and snapshots are written, a stream's
/// days have every decision once, in order, as the topic has.
#[test]
fn killed_anywhere_days_have_every_decision_once() {
    let Some(bench) = Bench::new("days-killed", 3) else { return };
    configure(&bench, "");
    let sent = send_and_kill(&bench, 240_000);
    let once = bench.stream(&["--once"]);
    assert_eq!(once["counts"]["decided"], sent);
    let out = bench.path("days");
    assert!(days_of(&bench).len() > 1, "{sent} events are of more than a day");
    assert_eq!(digest_of(&out), bench.digest());
    let verified = succeeds(&mut run(&["verify", out.to_str().unwrap()]));
    assert!(verified.contains("every decision is the same"), "{verified}");
}

/// So many days are kept as is said. What goes on from days that are gone says so.
#[test]
fn days_are_kept_as_long_as_is_said() {
    let Some(bench) = Bench::new("days-kept", 1) else { return };
    configure(&bench, "keep = 2");
    assert!(bench.fails(&["--once"], 2).contains("is said in the policy.toml"));
    configure(&bench, "");
    let policy = bench.rules().join("policy.toml");
    let days = |lot: i64, keep: &str| {
        std::fs::write(&policy, keep).unwrap();
        bench.send(hours(lot * 24..(lot + 1) * 24));
        bench.stream(&["--once"]);
        days_of(&bench).len()
    };
    let all = days(0, "") + days(1, "");
    assert!(days(2, "[days]\nkeep = 100000") > 3, "a policy that is wrong removes nothing: {all}");
    // It is no change of rules, and of the day that begins next it is true.
    assert_eq!(days(3, "[days]\nkeep = 2\n"), 2);
    assert_eq!(bench.changes().len(), 0);
    let out = bench.path("days");
    let output = run(&["verify", out.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("cannot be decided again alone"), "{said}");
    // The days of one stream are not another's.
    let Some(other) = Bench::new("days-other", 1) else { return };
    configure(&other, "");
    let text = std::fs::read_to_string(other.config()).unwrap();
    let text = text.replace("dir = 'days'", &format!("dir = '{}'", out.display()));
    std::fs::write(other.config(), text).unwrap();
    other.send(hours(0..3));
    let said = other.fails(&["--once"], 2);
    assert!(said.contains("are of another stream"), "{said}");
}

/// The features of a run, a line a transaction with the names of those that have a value.
fn features_of(path: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let run = FinishedRun::open(path).unwrap();
    run.features(&|_| true, &mut |_, batch| {
        for row in 0..batch.num_rows() {
            let mut line = String::new();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                let value = array_value_to_string(column, row).unwrap();
                line += &format!("{}={value} ", field.name());
            }
            lines.push(line);
        }
    })
    .unwrap();
    lines
}

/// Rules change in the middle of a day, also to such as bring features, with which parts of a day have more
/// columns; in one process and in two, killed in between. The days are the topic, their features are
/// those of a replay of the exported log, and commands read them.
#[test]
fn days_go_on_where_rules_change_in_one_process_and_in_several() {
    for processes in [1, 2] {
        let Some(bench) = Bench::new(&format!("days-changed-{processes}"), 1) else { return };
        let hosts = if processes > 1 { hosts_table(processes) } else { String::new() };
        configure(&bench, &hosts);
        let start_all = || -> Vec<Child> {
            match processes {
                1 => vec![bench.spawn(&[])],
                _ => (0..processes).map(|process| start(&bench, process, &[])).collect(),
            }
        };
        let mut sent = 0;
        let mut send = |many: i64| {
            bench.send(hours(sent..sent + many));
            sent += many;
            let there = || {
                bench.decided().len() as i64 == sent
                    && digest_of(&bench.path("days")) == bench.digest()
            };
            until("the days are not those of the topic", there);
        };
        let mut children = start_all();
        send(10);
        bench.edit(RULE, "score = 400", "score = 310");
        signal(&children[0], "-HUP");
        until("the first change", || bench.changes().len() == 1);
        send(4);
        // A feature of what is known is computed at once, one with another window beside the stream.
        let night = "[behaviour.night]\nexpr = \"hour(event_time) < 6\"\n[funds.t_count]";
        bench.edit(FEATURES, "[funds.t_count]", night);
        signal(&children[0], "-HUP");
        until("the second change", || bench.changes().len() == 2);
        send(4);
        let mut victim = children.remove(0);
        victim.kill().unwrap();
        victim.wait().unwrap();
        children.into_iter().for_each(|child| drop(ended(child)));
        let children = start_all();
        send(4);
        let wide = "[funds.wide]\nover = [\"claim\"]\nkey = [\"account_id\"]\nagg = \"sum\"\n\
                    field = \"amount_fen\"\nwindow = \"30d\"\n[funds.t_count]";
        bench.edit(FEATURES, "[funds.t_count]", wide);
        signal(&children[0], "-HUP");
        until("the third change", || bench.changes().len() == 3);
        send(20);
        signal(&children[0], "-TERM");
        children.into_iter().for_each(|child| assert_eq!(ended(child).0, Some(0)));
        let out = bench.path("days");
        let replayed = bench.replayed("2").0;
        assert_eq!((replayed, digest_of(&out)), (bench.digest(), bench.digest()));
        let features = features_of(&out);
        assert_eq!(features, features_of(&bench.path("replayed")));
        let having = |text: &str| features.iter().filter(|line| line.contains(text)).count();
        assert_eq!((features.len(), having("behaviour.night=true") > 0), (42, true));
        // An hour and a half before the change, and after it.
        assert!(having("behaviour.night= ") >= 14, "null before they were computed: {features:?}");
        let out = out.to_str().unwrap();
        for arguments in [
            &["explain", out, "e3"][..],
            &["explain", out, "e40"],
            &["why-not", out, "e40", "--rule", "many"],
            &["profile", out, "u1"],
            &["lens", out],
        ] {
            succeeds(&mut run(arguments));
        }
        let said = run(&["verify", out]).output().unwrap();
        assert!(said.status.success());
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("rules or model changed on the way"), "{said}");
    }
}

/// Rules that come into force between two days change none of them: a day that the first rules decided is
/// what it says it is, and other rules can be set beside a single day. A file that was changed is named.
#[test]
fn a_day_is_what_it_was_though_the_rules_are_others_since() {
    let Some(bench) = Bench::new("days-between", 1) else { return };
    configure(&bench, "");
    let out = bench.path("days");
    let send = |range: std::ops::Range<i64>, many: usize| {
        bench.send(hours(range));
        let there = || {
            bench.decided().len() == many
                && !days_of(&bench).is_empty()
                && digest_of(&out) == bench.digest()
        };
        until("the days are not those of the topic", there);
    };
    let child = bench.spawn(&[]);
    send(0..3, 3);
    bench.edit(RULE, "score = 400", "score = 310");
    signal(&child, "-HUP");
    until("the change", || bench.changes().len() == 1);
    // From midnight on.
    send(6..9, 6);
    signal(&child, "-TERM");
    assert_eq!(ended(child).0, Some(0));
    let said = |arguments: &[&str]| {
        let output = run(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let days = days_of(&bench);
    let [first, second] = [&days[0], &days[1]].map(|day| day.to_str().unwrap());
    let (code, why) = said(&["verify", first]);
    assert!(code == Some(0) && why.contains("were replaced since"), "{why}");
    let (out, rules) = (out.to_str().unwrap(), bench.rules());
    let rules = rules.to_str().unwrap();
    let (code, why) = said(&["verify", out]);
    assert!(code == Some(0) && why.contains("changed on the way"), "{why}");
    let (code, why) = said(&["diff", out, "--rules", rules]);
    assert!(code == Some(2) && why.contains("changed on the way"), "{why}");
    assert!(why.contains(&format!("such as {second}")), "{why}");
    succeeds(&mut run(&["diff", second, "--rules", rules]));
    let parts = std::fs::read_dir(days[1].join("parts")).unwrap();
    let part = parts.map(|part| part.unwrap().path()).next().unwrap();
    std::fs::write(part.join("features.parquet"), "other").unwrap();
    let (code, why) = said(&["diff", second, "--rules", rules]);
    assert!(code == Some(2) && why.contains("features.parquet is not what"), "{why}");
    let (code, why) = said(&["verify", out]);
    assert!(code == Some(1) && why.contains("features.parquet is not what"), "{why}");
}
